"""A z-buffer in numba, for machines without GL: the same answers as the GL rasteriser, some times slower."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from ..camera import Camera
from ..conventions import srgb_to_linear
from .render import GBuffer, Surface, resolve

FloatArray = NDArray[np.float32]
NEAR = 0.02


class ZBufferRasteriser:
    """Perspective-correct, nearest texel, one thread."""

    def __init__(self) -> None:
        self._surface: Surface | None = None
        self._texture = np.zeros((1, 1, 3), np.float32)

    def load(self, surface: Surface) -> None:
        """Make ``surface`` the one that is drawn."""
        self._surface = surface
        self._texture = srgb_to_linear(np.divide(surface.texture, 255, dtype=np.float32))

    def draw(self, camera: Camera, supersample: int = 2) -> GBuffer:
        """The loaded surface from ``camera``; raises RuntimeError before the first ``load``."""
        if self._surface is None:
            raise RuntimeError("load a surface first")
        surface = self._surface
        big = camera.resized(camera.width * supersample, camera.height * supersample)
        pixels, depth = big.project(surface.corners)
        face, weights = _fill(pixels.astype(np.float32), depth.astype(np.float32), big.width, big.height)
        albedo = np.zeros((big.height, big.width, 4), np.float32)
        geometry = np.zeros((big.height, big.width, 4), np.float32)
        hit = face >= 0
        f, w = face[hit], weights[hit][..., None]
        uv = (surface.uv[f] * w).sum(1) % 1.0
        height, width = self._texture.shape[:2]
        rows = np.minimum((uv[:, 1] * height).astype(int), height - 1)
        columns = np.minimum((uv[:, 0] * width).astype(int), width - 1)
        albedo[hit, :3] = self._texture[rows, columns] * (surface.tint[f] * w).sum(1)
        albedo[hit, 3] = 1
        normal = (surface.normals[f] * w).sum(1)
        point = (surface.corners[f] * w).sum(1)
        away = ((point - camera.position) * normal).sum(1) > 0
        normal[away] *= -1
        geometry[hit, :3] = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
        geometry[hit, 3] = (depth[f] * w[..., 0]).sum(1)
        return resolve(albedo, geometry, supersample)


@numba.njit(cache=True)
def _fill(pixels: Any, depth: Any, width: int, height: int) -> Any:
    """Nearest face (H, W) int32, -1 outside, and its perspective-correct barycentric weights (H, W, 3).

    pixels (F, 3, 2) and depth (F, 3) of the corners; faces that reach behind the near plane are left out.
    """
    face = np.full((height, width), -1, np.int32)
    weights = np.zeros((height, width, 3), np.float32)
    nearest = np.full((height, width), np.inf, np.float32)
    for i in range(len(pixels)):
        if depth[i].min() < NEAR:
            continue
        ax, ay = pixels[i, 0]
        bx, by = pixels[i, 1]
        cx, cy = pixels[i, 2]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if abs(area) < 1e-12:
            continue
        left, right = max(0, int(min(ax, bx, cx) - 0.5)), min(width - 1, int(max(ax, bx, cx) + 0.5))
        top, bottom = max(0, int(min(ay, by, cy) - 0.5)), min(height - 1, int(max(ay, by, cy) + 0.5))
        for y in range(top, bottom + 1):
            for x in range(left, right + 1):
                px, py = x + 0.5, y + 0.5
                u = ((bx - px) * (cy - py) - (by - py) * (cx - px)) / area
                v = ((cx - px) * (ay - py) - (cy - py) * (ax - px)) / area
                w = 1 - u - v
                if u < 0 or v < 0 or w < 0:
                    continue
                a, b, c = u / depth[i, 0], v / depth[i, 1], w / depth[i, 2]
                z = 1 / (a + b + c)
                if z < nearest[y, x]:
                    nearest[y, x] = z
                    face[y, x] = i
                    weights[y, x, 0], weights[y, x, 1], weights[y, x, 2] = a * z, b * z, c * z
    return face, weights
