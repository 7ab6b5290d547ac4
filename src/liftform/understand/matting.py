"""From a coarse foreground map to a clean edge: guided filter at full size, and the object's own colour at its edge."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..conventions import linear_to_srgb, srgb_to_linear

FloatArray = NDArray[np.float32]

#: Longest side at which the filters' statistics are taken; their result is applied at full size (He and Sun 2015).
WORK_SIDE = 640
#: Variance of the guide's colours (0-1) under which an edge of the photo does not count as one.
_EPSILON = 1e-4
#: The guided edge is stretched about 0.5 by this factor: local linear models never quite reach 0 and 1.
_STRETCH = 2.5
#: Longest side, and radii in its pixels of the two passes, of blur-fusion.
_FUSION_SIDE = 320
_FUSION_RADII = (10, 3)

Box = tuple[float, float, float, float]


def refined_alpha(image: FloatArray, small: FloatArray, coarse: FloatArray) -> FloatArray:
    """Alpha (H, W) that follows the edges of ``image`` (H, W, 3) near the edge of a ``coarse`` map (h, w), all 0-1.

    ``small`` is the image reduced to WORK_SIDE. Colour guided filter (He, Sun and Tang 2013) of a radius of two cells
    of the coarse map; far from its edge the map is rounded to 0 or 1.
    """
    (height, width), (rows, columns) = image.shape[:2], small.shape[:2]
    target = resized_planes(coarse, columns, rows)
    radius = max(2, round(2 * max(small.shape) / max(coarse.shape)))
    near, inside = _edge_band(target, radius)
    alpha = np.zeros((height, width), np.float32)
    part, box = _region(near | inside, height, width)
    if box is None:
        return alpha
    size = part[1].stop - part[1].start, part[0].stop - part[0].start
    slopes, offset = _guided(small, target, radius)
    fine = resized_planes(offset, *size, box)
    for c in range(3):
        fine += resized_planes(slopes[..., c], *size, box) * image[part][..., c]
    fine = np.clip((fine - np.float32(0.5)) * np.float32(_STRETCH) + np.float32(0.5), 0, 1)
    sure = (resized_planes(target, *size, box) > 0.5).astype(np.float32)
    alpha[part] = sure + resized_planes(near.astype(np.float32), *size, box) * (fine - sure)
    return alpha


def _region(used: NDArray[np.bool_], height: int, width: int) -> tuple[tuple[slice, slice], Box | None]:
    """The part of a picture (height, width) that a small map (h, w) uses: its slices, and its box in the small map."""
    rows, columns = np.flatnonzero(used.any(1)), np.flatnonzero(used.any(0))
    if not len(rows):
        return (slice(0), slice(0)), None
    sy, sx = used.shape[0] / height, used.shape[1] / width
    y0, y1 = int(rows[0] / sy), min(height, int((rows[-1] + 1) / sy) + 1)
    x0, x1 = int(columns[0] / sx), min(width, int((columns[-1] + 1) / sx) + 1)
    box = (x0 * sx, y0 * sy, min(x1 * sx, used.shape[1]), min(y1 * sy, used.shape[0]))
    return (slice(y0, y1), slice(x0, x1)), box


def reduced(image: FloatArray, side: int = WORK_SIDE) -> FloatArray:
    """An image (H, W, C) with its longest side at most ``side``."""
    scale = side / max(image.shape[:2])
    if scale >= 1:
        return image
    return resized_planes(image, max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))


def resized_planes(planes: FloatArray, width: int, height: int, box: Box | None = None) -> FloatArray:
    """Planes (H, W) or (H, W, C), or a ``box`` of them, at another size as they are coded (not in linear light)."""
    from PIL import Image

    if planes.shape[:2] == (height, width) and box is None:
        return planes.copy()
    if planes.ndim == 3:
        return np.stack([resized_planes(planes[..., c], width, height, box) for c in range(planes.shape[2])], -1)
    plane = Image.fromarray(np.ascontiguousarray(planes, np.float32))
    return np.array(plane.resize((width, height), Image.Resampling.BILINEAR, box=box))


def _edge_band(target: FloatArray, radius: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Where a window of ``radius`` sees both sides of the map's edge; and where it sees only the inside."""
    from scipy.ndimage import maximum_filter, minimum_filter

    low, high = minimum_filter(target, 2 * radius + 1), maximum_filter(target, 2 * radius + 1)
    return (high > 0.1) & (low < 0.9), low >= 0.9


def _box(plane: FloatArray, radius: int) -> FloatArray:
    from scipy.ndimage import uniform_filter

    return np.asarray(uniform_filter(plane, 2 * radius + 1, mode="nearest"), np.float32)


def _guided(guide: FloatArray, target: FloatArray, radius: int) -> tuple[FloatArray, FloatArray]:
    """Slopes (h, w, 3) and offset (h, w) of the local linear models target = slopes . colour + offset."""
    mean = np.stack([_box(guide[..., c], radius) for c in range(3)], -1)
    mean_target = _box(target, radius)
    cross = np.stack([_box(guide[..., c] * target, radius) for c in range(3)], -1) - mean * mean_target[..., None]
    cov = {}
    for i in range(3):
        for j in range(i, 3):
            cov[i, j] = _box(guide[..., i] * guide[..., j], radius) - mean[..., i] * mean[..., j]
    slopes = _solved(cov, cross)
    offset = mean_target - (slopes * mean).sum(-1)
    return np.stack([_box(slopes[..., c], radius) for c in range(3)], -1), _box(offset, radius)


def _solved(cov: dict[tuple[int, int], FloatArray], right: FloatArray) -> FloatArray:
    """(cov + epsilon I) x = right for every pixel, by the adjugate of the symmetric 3 x 3 matrix."""
    a, d, f = (cov[i, i] + np.float32(_EPSILON) for i in range(3))
    b, c, e = cov[0, 1], cov[0, 2], cov[1, 2]
    adj = (
        (d * f - e * e, c * e - b * f, b * e - c * d),
        (None, a * f - c * c, b * c - a * e),
        (None, None, a * d - b * b),
    )
    det = a * adj[0][0] + b * adj[0][1] + c * adj[0][2]
    x, y, z = right[..., 0], right[..., 1], right[..., 2]
    rows = (
        adj[0][0] * x + adj[0][1] * y + adj[0][2] * z,
        adj[0][1] * x + adj[1][1] * y + adj[1][2] * z,
        adj[0][2] * x + adj[1][2] * y + adj[2][2] * z,
    )
    return np.asarray(np.stack(rows, -1) / np.maximum(det, 1e-12)[..., None], np.float32)


def decontaminated(image: FloatArray, small: FloatArray, alpha: FloatArray) -> FloatArray:
    """The photo (H, W, 3) with the object's own colour wherever 0 < alpha < 1: the background's share is taken out.

    ``small`` is the image reduced. Blur-fusion foreground estimation (Forte 2021) in linear light; its means are
    taken at a reduced size, and used only at the soft pixels.
    """
    from scipy.ndimage import map_coordinates

    foreground = image.copy()
    rows, columns = np.nonzero((alpha > 0) & (alpha < 1))
    if not len(rows):
        return foreground
    colour = srgb_to_linear(reduced(small, _FUSION_SIDE))
    size = colour.shape[1], colour.shape[0]
    fore, back = _fused(colour, resized_planes(alpha, *size))
    scale = np.array([[size[1] / alpha.shape[0]], [size[0] / alpha.shape[1]]])
    at = (np.stack([rows, columns]) + 0.5) * scale - 0.5
    weight, seen = alpha[rows, columns], srgb_to_linear(image[rows, columns])
    fixed = np.empty_like(seen)
    for c in range(3):
        f = map_coordinates(fore[..., c], at, order=1, mode="nearest")
        b = map_coordinates(back[..., c], at, order=1, mode="nearest")
        fixed[:, c] = f + weight * (seen[:, c] - weight * f - (1 - weight) * b)
    foreground[rows, columns] = linear_to_srgb(fixed)
    return foreground


def _fused(colour: FloatArray, alpha: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Smooth colours of foreground and background (h, w, 3), known everywhere, by two passes of blur-fusion."""
    fore, back = colour, colour
    for radius in _FUSION_RADII:
        weight, rest = _box(alpha, radius), _box(1 - alpha, radius)
        blurred_f = np.stack([_box(fore[..., c] * alpha, radius) for c in range(3)], -1) / (weight[..., None] + 1e-5)
        blurred_b = np.stack([_box(back[..., c] * (1 - alpha), radius) for c in range(3)], -1) / (
            rest[..., None] + 1e-5
        )
        a = alpha[..., None]
        fore = np.clip(blurred_f + a * (colour - a * blurred_f - (1 - a) * blurred_b), 0, 1)
        back = blurred_b
    return fore, back
