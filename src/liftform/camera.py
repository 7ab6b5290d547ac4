"""Pinhole camera: intrinsics in pixels, OpenCV axes, world_from_camera; project and unproject."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from .conventions import view_from_camera


@dataclass(frozen=True)
class Camera:
    """A pinhole camera without lens distortion.

    width, height: image size in pixels. fx, fy: focal lengths in pixels. cx, cy: principal point in pixels,
    pixel centres at (i + 0.5). world_from_camera: 4x4 float64, OpenCV axes (+X right, +Y down, +Z forward).
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    world_from_camera: NDArray[np.float64] = field(default_factory=lambda: np.eye(4), compare=False)

    @classmethod
    def from_fov(
        cls, width: int, height: int, yfov: float, world_from_camera: NDArray[np.float64] | None = None
    ) -> Camera:
        """Camera with square pixels and a centred principal point; ``yfov`` is the vertical field of view (radians)."""
        f = 0.5 * height / np.tan(0.5 * yfov)
        pose = np.eye(4) if world_from_camera is None else world_from_camera
        return cls(width, height, float(f), float(f), width / 2, height / 2, pose)

    @classmethod
    def orbit(cls, size_px: int, yfov: float, azimuth: float, elevation: float, distance: float) -> Camera:
        """Square camera looking at the origin from (azimuth, elevation); azimuth 0 is +Z, growing towards +X."""
        from .conventions import rotation_y

        pose = np.eye(4)
        pose[:3, :3] = rotation_y(azimuth)
        return cls.from_fov(size_px, size_px, yfov, pose @ view_from_camera(elevation, distance))

    @property
    def yfov(self) -> float:
        """Vertical field of view in radians."""
        return float(2 * np.arctan(0.5 * self.height / self.fy))

    @property
    def position(self) -> NDArray[np.float64]:
        """The camera's centre in the world, (3,)."""
        return self.world_from_camera[:3, 3]

    @property
    def camera_from_world(self) -> NDArray[np.float64]:
        """Inverse of world_from_camera, 4x4."""
        return np.linalg.inv(self.world_from_camera).astype(np.float64)

    def project(self, points: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """World points (..., 3) to pixels (..., 2) and z-depth (...). Points behind the camera have depth <= 0."""
        m = self.camera_from_world
        p = np.asarray(points, np.float64) @ m[:3, :3].T + m[:3, 3]
        z = p[..., 2]
        safe = np.where(np.abs(z) < 1e-12, 1e-12, z)
        uv = np.stack([self.fx * p[..., 0] / safe + self.cx, self.fy * p[..., 1] / safe + self.cy], -1)
        return uv, z

    def unproject(self, pixels: NDArray[np.floating], depth: NDArray[np.floating]) -> NDArray[np.float64]:
        """Pixels (..., 2) and z-depth (...) to world points (..., 3)."""
        px = np.asarray(pixels, np.float64)
        z = np.asarray(depth, np.float64)
        p = np.stack([(px[..., 0] - self.cx) / self.fx * z, (px[..., 1] - self.cy) / self.fy * z, z], -1)
        return p @ self.world_from_camera[:3, :3].T + self.world_from_camera[:3, 3]

    def rays(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Origin (3,) and directions (H, W, 3) in the world through every pixel centre; one unit of z-depth long."""
        x = (np.arange(self.width) + 0.5 - self.cx) / self.fx
        y = (np.arange(self.height) + 0.5 - self.cy) / self.fy
        d = np.stack([*np.meshgrid(x, y), np.ones((self.height, self.width))], -1)
        return self.position, d @ self.world_from_camera[:3, :3].T

    def resized(self, width: int, height: int) -> Camera:
        """The same view at another image size."""
        sx, sy = width / self.width, height / self.height
        return replace(
            self, width=width, height=height, fx=self.fx * sx, fy=self.fy * sy, cx=self.cx * sx, cy=self.cy * sy
        )

    def moved(self, new_from_world: NDArray[np.float64], scale: float = 1.0) -> Camera:
        """The camera after the world is scaled by ``scale`` about its origin, then moved by ``new_from_world``."""
        pose = self.world_from_camera.copy()
        pose[:3, 3] *= scale
        return replace(self, world_from_camera=new_from_world @ pose)
