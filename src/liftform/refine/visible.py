"""The visible surface as a small picture: where each pixel lies, how it is turned, its colour, and what is print."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..assets import FloatArray
from ..camera import Camera
from . import blend
from .observe import Observer, averaged

Bools = NDArray[np.bool_]

#: Longest side in pixels.
SIDE = 128
#: Weight from which a pixel counts as seen.
_SEEN = 0.6


@dataclass(frozen=True)
class Sheet:
    """What the photo shows, pixel by pixel, on a small picture (h, w) of the observer's window.

    color (h, w, 3) linear; known (h, w): a surface well seen; point, normal (h, w, 3); facing (h, w) cosine to the
    camera; print (h, w): 1 where the detail occurs nowhere else (a face, lettering, a highlight) - see ``unique``.
    """

    camera: Camera
    color: FloatArray
    known: Bools
    point: FloatArray
    normal: FloatArray
    facing: FloatArray
    unique: FloatArray

    @classmethod
    def of(cls, observer: Observer) -> Sheet:
        """The sheet of an observer's photo."""
        picture, camera = observer.picture, observer.picture_camera
        scale = min(1.0, SIDE / max(camera.width, camera.height))
        color = averaged(picture[..., :3], scale)
        camera = camera.resized(color.shape[1], color.shape[0])
        origin, rays = camera.rays()
        hits = observer.scene.cast(origin, rays.reshape(-1, 3))
        at = np.flatnonzero(hits.found)
        found = hits.at(at)
        shape = color.shape[:2]
        point, normal = np.zeros((2, shape[0] * shape[1], 3), np.float32)
        weight, facing = np.zeros((2, shape[0] * shape[1]), np.float32)
        point[at] = (origin + found.distance[:, None] * rays.reshape(-1, 3)[at]).astype(np.float32)
        assert observer.scene.mesh.normals is not None
        turned = observer.scene.interpolate(observer.scene.mesh.normals, found)
        normal[at] = turned / np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), 1e-12)
        weight[at] = observer(point[at], normal[at])[1]
        facing[at] = observer.facing(point[at], normal[at])
        known = (weight > _SEEN).reshape(shape)
        whole = (*shape, 3)
        sheet = cls(
            camera, color, known, point.reshape(whole), normal.reshape(whole), facing.reshape(shape), 0 * color[..., 0]
        )
        return replace(sheet, unique=unique(blend.encode(color).astype(np.float32), known))

    def pixels(self, uv: NDArray[np.floating]) -> tuple[NDArray[np.intp], Bools]:
        """Flat index of the pixel under window coordinates (..., 2) in [0, 1], and whether they lie inside."""
        height, width = self.known.shape
        with np.errstate(invalid="ignore"):
            x, y = np.floor(uv[..., 0] * width), np.floor(uv[..., 1] * height)
            inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        index = np.where(inside, y, 0).astype(np.intp) * width + np.where(inside, x, 0).astype(np.intp)
        return index, inside

    def grain(self) -> float:
        """Fine contrast (deviation of logarithmic brightness within 7 pixels) that 70 % of what is seen has."""
        from scipy.ndimage import uniform_filter

        if not self.known.any():
            return 0.0
        fine = _detail(blend.encode(self.color).astype(np.float32), self.known, 2.0).mean(-1)
        share = np.maximum(uniform_filter(self.known.astype(np.float64), 7), 1e-6)
        spread = np.maximum(uniform_filter(np.float64(fine) ** 2, 7), 0) / share
        return float(np.sqrt(np.quantile(spread[self.known], 0.3)))

    def detail(self) -> FloatArray:
        """Logarithmic colours (h, w, 3) without their slow changes, 0 where unknown."""
        return _detail(blend.encode(self.color).astype(np.float32), self.known, 0.06 * max(self.known.shape))


#: Side of a patch and distance between patches in pixels, cells (per side) in which its like must be found, and how
#: many of the cells must hold one.
_PATCH, _STRIDE, _CELLS, _PLACES = 11, 4, 4, 3
#: Print stands out: what its likes leave unexplained of it (standard deviation of logarithmic colour) is more than
#: this, this share of its own contrast, and this multiple of what is left of the picture's middling patch.
_CONTRAST, _ALONE, _OUTLIER = 0.18, 0.5, 1.3
#: A picture of strong contrast (the middling patch leaves this unexplained) of which this share finds no like is no
#: texture at all: an animal, a painted figure.
_BUSY, _UNLIKE = 0.3, 0.6
#: Logarithmic contrast to the surroundings from which a pixel can belong to a stroke.
_STROKE = 0.35


def unique(encoded: FloatArray, known: Bools) -> FloatArray:
    """How much (h, w) in [0, 1] of a picture's detail is print: drawn with contrast, and found nowhere else.

    Patches (as their low cosine coefficients) of contrast are compared with all patches that lie further away than
    their own size. A texture (stripes, weave, bark) has its like in many places; eyes, letters or a highlight have not.
    Where hardly anything has its like, all is print.
    encoded (h, w, 3): logarithmic colour, of which only what changes within 6 % of the picture is looked at.
    """
    from scipy.ndimage import binary_closing, binary_dilation, binary_fill_holes, gaussian_filter

    none = np.zeros(known.shape, np.float32)
    if known.sum() < 4 * _PATCH**2:
        return none
    detail = _detail(encoded, known, 0.06 * max(known.shape))
    codes, rows, columns = _codes(detail, known)
    if len(codes) < 2 * _CELLS:
        return none
    energy = (codes**2).sum(1)
    left = _unexplained(codes, rows, columns)
    if np.median(left) > _BUSY**2 and left.sum() > _UNLIKE * energy.sum():
        return known.astype(np.float32)
    usual = max(_CONTRAST, _OUTLIER * float(np.sqrt(np.median(left))))
    alone = np.flatnonzero((left > usual**2) & (left > _ALONE * energy))
    mark = np.zeros(known.shape, bool)
    mark[rows[alone], columns[alone]] = True
    near = gaussian_filter(mark.astype(np.float32), _PATCH / 3) * 2 * np.pi * (_PATCH / 3) ** 2
    whole = _whole_strokes(detail, known, near > 0.5)
    print_ = binary_fill_holes(binary_closing((near > 0.5) | binary_dilation(whole, iterations=2), iterations=3))
    return np.asarray(print_ & known, np.float32)


def _whole_strokes(detail: FloatArray, known: Bools, part: Bools) -> Bools:
    """The strokes of which a part stands out: connected pixels of much more contrast than is usual here. The middle of
    a line is like the rest of the line; only its ends and bends are like nothing else."""
    from scipy.ndimage import label

    strength = np.linalg.norm(detail, axis=-1)
    strong = known & (strength > max(_STROKE, 3 * float(np.median(strength[known]))))
    names, _ = label(strong, np.ones((3, 3)))
    return np.asarray(strong & np.isin(names, np.unique(names[part & strong])))


def _detail(encoded: FloatArray, known: Bools, sigma: float) -> FloatArray:
    """Colours minus their masked Gaussian mean, 0 where unknown."""
    from scipy.ndimage import gaussian_filter

    weight = gaussian_filter(known.astype(np.float32), sigma, truncate=2.5)
    out = np.zeros_like(encoded)
    for k in range(3):
        mean = gaussian_filter(np.where(known, encoded[..., k], 0), sigma, truncate=2.5) / np.maximum(weight, 1e-6)
        out[..., k] = np.where(known, encoded[..., k] - mean, 0)
    return out


def _codes(detail: FloatArray, known: Bools) -> tuple[FloatArray, NDArray[np.intp], NDArray[np.intp]]:
    """Cosine coefficients (N, 27) of the patches that are nearly all known, scaled so that their squares sum to the
    variance, and the patches' middles."""
    from scipy.ndimage import uniform_filter

    half = _PATCH // 2
    full = uniform_filter(known.astype(np.float32), _PATCH, mode="constant") > 0.8
    full[:half], full[-half:], full[:, :half], full[:, -half:] = False, False, False, False
    rows, columns = np.nonzero(full)
    keep = (rows % _STRIDE == 0) & (columns % _STRIDE == 0)
    rows, columns = rows[keep], columns[keep]
    at = (np.arange(_PATCH) + 0.5) / _PATCH
    wave = np.cos(np.pi * np.outer(np.arange(3), at)) * np.where(np.arange(3) > 0, np.sqrt(2), 1)[:, None] / _PATCH
    windows = np.lib.stride_tricks.sliding_window_view(detail, (_PATCH, _PATCH), axis=(0, 1))[
        rows - half, columns - half
    ]
    codes = np.einsum("nkyx,py,qx->nkpq", windows, wave, wave, optimize=True)
    return codes.reshape(len(rows), 27).astype(np.float32), rows, columns


def _unexplained(codes: FloatArray, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> FloatArray:
    """Squared distance of each patch to the ``_PLACES``-th best of the cells' best likes, itself left out."""
    square = (codes**2).sum(1)
    apart = square[:, None] + square - 2 * codes @ codes.T
    away = np.maximum(np.abs(rows[:, None] - rows), np.abs(columns[:, None] - columns))
    apart = np.where(away > _PATCH, np.maximum(apart, 0), np.inf)
    cell = np.empty(len(rows), np.intp)
    for axis, place in enumerate((rows, columns)):
        span = (place - place.min()) * _CELLS // (np.ptp(place) + 1)
        cell = span if axis == 0 else cell * _CELLS + span
    order = np.argsort(cell, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(cell[order]) > 0])
    best = np.sort(np.minimum.reduceat(apart[:, order], starts, axis=1), axis=1)
    found = best[:, min(_PLACES, best.shape[1]) - 1]
    return np.where(np.isfinite(found), found, square).astype(np.float32)
