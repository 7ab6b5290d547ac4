"""Photos made ready to give colour: linear light, trust inside the mask, and which points of a mesh each one shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...assets import FloatArray
from ...camera import Camera
from ...capture import Photo
from ...conventions import srgb_to_linear
from ...render import Scene
from ..observe import averaged

Bools = NDArray[np.bool_]

#: Cosine between normal and view below which a photo gives no colour.
GRAZING = 0.1
#: Only pixels at least this opaque give colour; those around them take the nearest such pixel's.
_SOLID = 0.9
#: Depth of a photo that is nearer than a point by this share: something that is not in the mesh stands before it.
_BEFORE = 0.05
#: Pixels at the picture's border fade out over this share of its width.
_BORDER = 0.02


@dataclass(frozen=True)
class View:
    """One photo. picture (H, W, 4): linear colour, and trust in [0, 1] that falls to 0 outside the mask and at the
    border; soft: the same at a quarter of the size, for means over faces; depth (h, w) z-distance or None."""

    camera: Camera
    picture: FloatArray
    soft: FloatArray
    depth: FloatArray | None

    @classmethod
    def of(cls, photo: Photo, shrink: float = 1.0) -> View:
        """The view of a photo with a camera, its picture averaged down to ``shrink`` times its size."""
        assert photo.camera is not None
        alpha = photo.mask.alpha if photo.mask is not None else photo.alpha
        color = srgb_to_linear(photo.image)
        trust = np.ones(color.shape[:2], np.float32)
        if alpha is not None:
            color, trust = _inside(color, alpha)
        trust = trust * _off_border(trust.shape)
        picture = averaged(np.dstack([color, trust]).astype(np.float32), shrink)
        depth = None if photo.depth is None or photo.depth.scale == "affine" else photo.depth.z
        return cls(photo.camera, picture, averaged(picture, 0.25), depth)

    def project(self, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Places (N, 2) in shares of the picture and z-depth (N,)."""
        pixels, z = self.camera.project(points)
        size = np.array([self.camera.width, self.camera.height])
        return (pixels / size).astype(np.float32), z.astype(np.float32)

    def framed(self, points: FloatArray, normals: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Places (N, 2), depth (N,) and cosine (N,) between normal and view; cosine 0 where a point lies outside the
        picture or behind the camera."""
        place, z = self.project(points)
        towards = self.camera.position.astype(np.float32) - points
        cosine = np.einsum("ij,ij->i", towards, normals) / np.maximum(np.linalg.norm(towards, axis=1), 1e-12)
        inside = (z > 0) & ((place > 0) & (place < 1)).all(1)
        return place, z, np.where(inside, cosine, 0).astype(np.float32)

    def shows(
        self, scene: Scene, points: FloatArray, normals: FloatArray, lift: float
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Places (N, 2), depth (N,), and how squarely (N,) each point is seen: its cosine, 0 where it is hidden.

        lift: how far above the surface rays to the camera start, world units.
        """
        place, z, cosine = self.framed(points, normals)
        cosine[cosine < GRAZING] = 0
        alive = np.flatnonzero(cosine)
        if self.depth is not None and len(alive):
            cosine[alive[self._before(place[alive], z[alive])]] = 0
            alive = np.flatnonzero(cosine)
        start = points[alive] + lift * normals[alive]
        cosine[alive[scene.occluded(start, self.camera.position.astype(np.float32) - start)]] = 0
        return place, z, cosine

    def _before(self, place: FloatArray, z: FloatArray) -> Bools:
        """Whether the photo's own depth shows something well in front of points."""
        assert self.depth is not None
        height, width = self.depth.shape
        x = np.clip(place[:, 0] * width, 0, width - 1).astype(np.int64)
        y = np.clip(place[:, 1] * height, 0, height - 1).astype(np.int64)
        with np.errstate(invalid="ignore"):
            return np.asarray(self.depth[y, x] < (1 - _BEFORE) * z)


def sample(picture: FloatArray, place: FloatArray) -> FloatArray:
    """The picture (H, W, C) at places (N, 2) in shares of its size, bilinear, clamped at the border."""
    height, width = picture.shape[:2]
    x = np.clip(place[:, 0] * width - 0.5, 0, max(width - 1.001, 0)).astype(np.float32)
    y = np.clip(place[:, 1] * height - 0.5, 0, max(height - 1.001, 0)).astype(np.float32)
    x0, y0 = x.astype(np.int32), y.astype(np.int32)
    fx, fy = (x - x0)[:, None], (y - y0)[:, None]
    flat, at = picture.reshape(-1, picture.shape[2]), y0 * np.int32(width) + x0
    right, down = int(width > 1), width * int(height > 1)
    above = flat[at] + fx * (flat[at + right] - flat[at])
    below = flat[at + down] + fx * (flat[at + down + right] - flat[at + down])
    return np.asarray(above + fy * (below - above), np.float32)


def _inside(color: FloatArray, alpha: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Solid colours spread outward, and trust: 1 inside, 0 from two pixels outside."""
    from scipy.ndimage import distance_transform_edt

    solid = alpha >= _SOLID
    if not solid.any():
        return color, np.zeros(alpha.shape, np.float32)
    away, near = distance_transform_edt(~solid, return_indices=True)
    return color[tuple(near)], np.clip(1.5 - 0.5 * away, 0, 1).astype(np.float32)


def _off_border(shape: tuple[int, ...]) -> FloatArray:
    """1 inside, falling to 0 at the picture's border."""

    def ramp(count: int) -> Any:
        at = np.minimum(np.arange(count) + 0.5, count - np.arange(count) - 0.5)
        return np.clip(at / max(_BORDER * max(shape), 1.0), 0, 1)

    return np.minimum(ramp(shape[0])[:, None], ramp(shape[1])[None]).astype(np.float32)
