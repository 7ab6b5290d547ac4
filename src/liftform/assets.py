"""The things liftform makes, as plain data: Mesh, Material, PointCloud. They check themselves and know no algorithm."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int32]


@dataclass(frozen=True)
class Material:
    """Metallic-roughness material (glTF 2.0).

    base_color_texture: (H, W, 3) uint8, sRGB-encoded, or None. base_color: linear RGBA factor in [0, 1].
    """

    base_color_texture: NDArray[np.uint8] | None = None
    base_color: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    metallic: float = 0.0
    roughness: float = 0.9
    double_sided: bool = False
    name: str = "material"


@dataclass(frozen=True)
class Mesh:
    """Triangles in the world frame (+Y up, front +Z).

    vertices (V, 3) float32; faces (F, 3) int32, counter-clockwise seen from outside.
    normals (V, 3) float32 unit, or None. uv (V, 2) float32, origin top-left, or None: vertices on UV seams are
    doubled with bit-identical positions. colors (V, 3) float32 sRGB-encoded in [0, 1], or None.
    seen (V,) float32 in [0, 1], or None: 1 where the picture showed the surface, 0 where it was invented.
    confidence (V,) float32 in [0, 1], or None: of a finished mesh, the probability that the true surface lies within
    5 % of the longest side (see refine.trust); of a dense one, a preliminary measure of the network's agreement.
    """

    vertices: FloatArray
    faces: IntArray
    normals: FloatArray | None = None
    uv: FloatArray | None = None
    colors: FloatArray | None = None
    seen: FloatArray | None = None
    confidence: FloatArray | None = None
    material: Material | None = None
    name: str = "object"
    metadata: dict[str, Any] = field(default_factory=dict)

    def with_(self, **changes: Any) -> Mesh:
        """A copy with some fields replaced."""
        return replace(self, **changes)

    @property
    def bounds(self) -> FloatArray:
        """(2, 3): lowest and highest corner."""
        return np.stack([self.vertices.min(0), self.vertices.max(0)])

    def face_normals(self) -> FloatArray:
        """Unit normals (F, 3); zero for degenerate faces."""
        a, b, c = (self.vertices[self.faces[:, i]].astype(np.float64) for i in range(3))
        n = np.cross(b - a, c - a)
        unit: FloatArray = (n / np.maximum(np.linalg.norm(n, axis=1, keepdims=True), 1e-30)).astype(np.float32)
        return unit

    def validate(self) -> Mesh:
        """Return self, or raise InputError naming the first broken promise about shapes, types and ranges."""
        v, f = self.vertices, self.faces
        _check(v.ndim == 2 and v.shape[1] == 3 and v.dtype == np.float32, "vertices must be (V, 3) float32")
        _check(f.ndim == 2 and f.shape[1] == 3 and f.dtype == np.int32, "faces must be (F, 3) int32")
        _check(len(f) > 0, "the mesh has no faces")
        _check(bool(np.isfinite(v).all()), "vertices must be finite")
        _check(f.min() >= 0 and f.max() < len(v), "faces must index vertices")
        for name, width in (("normals", 3), ("uv", 2), ("colors", 3)):
            value = getattr(self, name)
            if value is not None:
                right = value.shape == (len(v), width) and value.dtype == np.float32
                _check(right, f"{name} must be (V, {width}) float32")
                _check(bool(np.isfinite(value).all()), f"{name} must be finite")
        for name in ("seen", "confidence"):
            value = getattr(self, name)
            if value is not None:
                _check(value.shape == (len(v),) and value.dtype == np.float32, f"{name} must be (V,) float32")
        if self.material is not None and self.material.base_color_texture is not None:
            _check(self.uv is not None, "a textured mesh needs uv")
        return self


@dataclass(frozen=True)
class PointCloud:
    """points (N, 3) float32 in the world frame; colors (N, 3) float32 sRGB in [0, 1]; normals (N, 3) unit."""

    points: FloatArray
    colors: FloatArray | None = None
    normals: FloatArray | None = None
    name: str = "points"

    def validate(self) -> PointCloud:
        """Return self, or raise InputError naming the first broken promise."""
        p = self.points
        _check(p.ndim == 2 and p.shape[1] == 3 and p.dtype == np.float32, "points must be (N, 3) float32")
        _check(len(p) > 0 and bool(np.isfinite(p).all()), "points must be finite and not empty")
        for name in ("colors", "normals"):
            value = getattr(self, name)
            _check(value is None or value.shape == p.shape, f"{name} must be (N, 3)")
        return self


def _check(ok: bool, message: str) -> None:
    if not ok:
        raise InputError(f"invalid asset: {message}")
