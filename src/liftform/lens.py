"""How a lens draws: focal lengths, principal point and distortion, in pixels; and pictures freed of the distortion."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .camera import Camera

Bend = tuple[float, float, float, float]


@dataclass(frozen=True)
class Lens:
    """Intrinsics of a picture as it was taken, for its own pixels (pixel centres at i + 0.5).

    width, height, fx, fy, cx, cy: as in ``Camera``. distortion: k1, k2, p1, p2 of OpenCV's radial-tangential model.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: Bend = (0.0, 0.0, 0.0, 0.0)

    @classmethod
    def of(cls, camera: Camera, distortion: Bend = (0.0, 0.0, 0.0, 0.0)) -> Lens:
        """The lens of a camera."""
        return cls(camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy, distortion)

    @property
    def is_pinhole(self) -> bool:
        """Whether straight lines stay straight."""
        return not any(self.distortion)

    def camera(self, world_from_camera: NDArray[np.float64]) -> Camera:
        """The pinhole camera at this pose that sees what the lens would without distortion."""
        return Camera(self.width, self.height, self.fx, self.fy, self.cx, self.cy, world_from_camera)

    def resized(self, width: int, height: int) -> Lens:
        """The same lens at another image size."""
        sx, sy = width / self.width, height / self.height
        return replace(
            self, width=width, height=height, fx=self.fx * sx, fy=self.fy * sy, cx=self.cx * sx, cy=self.cy * sy
        )

    def straightened(self, pixels: NDArray[np.floating]) -> NDArray[np.float64]:
        """Where points (N, 2) of the picture, in pixels, would lie without distortion; by fixed-point iteration."""
        scale, middle = np.array([self.fx, self.fy]), np.array([self.cx, self.cy])
        seen = (np.asarray(pixels, np.float64) - middle) / scale
        if self.is_pinhole:
            return seen * scale + middle
        ideal = seen.copy()
        for _ in range(20):
            moved = np.stack(bent(ideal[:, 0], ideal[:, 1], self.distortion), -1)
            ideal += seen - moved
        return ideal * scale + middle


def bent(x: Any, y: Any, distortion: Bend) -> tuple[Any, Any]:
    """Where the lens moves points (x, y) of the plane z = 1 to (OpenCV's radial-tangential model)."""
    k1, k2, p1, p2 = distortion
    r2 = x * x + y * y
    radial = 1 + r2 * (k1 + r2 * k2)
    return x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x), y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y


def undistorted(plane: NDArray[np.float32], lens: Lens) -> NDArray[np.float32]:
    """A picture or map (H, W) or (H, W, C) float32 as the lens's pinhole camera would have taken it, same size.

    Bilinear. What the picture did not show repeats its edge.
    """
    from scipy.ndimage import map_coordinates

    if lens.is_pinhole:
        return plane
    x = (np.arange(lens.width) + 0.5 - lens.cx) / lens.fx
    y = (np.arange(lens.height) + 0.5 - lens.cy) / lens.fy
    across, down = np.meshgrid(x, y)
    u, v = bent(across, down, lens.distortion)
    at = [v * lens.fy + lens.cy - 0.5, u * lens.fx + lens.cx - 0.5]
    layers = plane.reshape(*plane.shape[:2], -1)
    out = [map_coordinates(layers[..., c], at, order=1, mode="nearest") for c in range(layers.shape[2])]
    return np.stack(out, -1).reshape(plane.shape).astype(np.float32)
