"""Nearest points of a surface, faces of like normal preferred, so that the two sides of a thin wall are not mixed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..assets import FloatArray, Mesh
from . import surface
from .raster import expand

Floats = NDArray[np.float64]

#: What a normal that is turned right round costs, as a share of the diagonal.
UNLIKE = 0.03
#: Samples laid over the surface at least, faces looked at for each point, and points worked on at once.
_SAMPLES, _CANDIDATES, _CHUNK = 60_000, 8, 1 << 14


@dataclass(frozen=True)
class Places:
    """Points of a surface: face (N,) int32, barycentric weight (N, 3), distance (N,) to the points asked for, and
    whether the face looks the same way (N,)."""

    face: NDArray[np.int32]
    weight: FloatArray
    distance: FloatArray
    like: NDArray[np.bool_]


class Nearest:
    """Finds nearest points: a tree of samples (each face has one or more) names candidates, which are then exact."""

    def __init__(self, mesh: Mesh, samples: int = _SAMPLES) -> None:
        """samples: so many are laid over the surface beside one in the middle of every face."""
        from scipy.spatial import cKDTree

        self.size = max(surface.diagonal(mesh.vertices), 1e-30)
        self.corners = np.stack(surface.corners(mesh.vertices, mesh.faces), 1)
        self.normals = mesh.face_normals().astype(np.float64)
        self._face, points = sampled(self.corners, samples)
        self._tree = cKDTree(self._keys(points, self.normals[self._face]), balanced_tree=False, compact_nodes=False)

    def __call__(self, points: NDArray[np.floating], normals: NDArray[np.floating] | None = None) -> Places:
        """Places nearest to points (N, 3); with unit normals (N, 3), where the surface looks another way counts as
        farther: by UNLIKE of the diagonal where it looks the opposite way."""
        parts = [slice(i, i + _CHUNK) for i in range(0, len(points), _CHUNK)] or [slice(0, 0)]
        found = [self._found(points[part], None if normals is None else normals[part]) for part in parts]
        return Places(*(np.concatenate(column) for column in zip(*found, strict=True)))

    def _keys(self, points: NDArray[np.floating], normals: NDArray[np.floating]) -> Floats:
        """Points (N, 6) of the space of places and normals in which the tree lives."""
        return np.concatenate([points / self.size, normals * (UNLIKE / 2)], 1)

    def _found(self, points: NDArray[np.floating], normals: NDArray[np.floating] | None) -> tuple[Any, Any, Any, Any]:
        points = np.asarray(points, np.float64)
        facing = np.zeros_like(points) if normals is None else np.asarray(normals, np.float64)
        count = min(_CANDIDATES, len(self._face))
        near = self._tree.query(self._keys(points, facing), k=[*range(1, count + 1)])[1]
        face = self._face[near]
        weight, gap = closest_on(np.repeat(points, count, axis=0), self.corners[face.ravel()])
        gap = np.sqrt(gap).reshape(face.shape)
        cosine = np.einsum("ijk,ik->ij", self.normals[face], facing)
        best = (gap / self.size - UNLIKE / 2 * cosine).argmin(1)
        rows = np.arange(len(points))
        chosen = weight.reshape(*face.shape, 3)[rows, best].astype(np.float32)
        like = (cosine[rows, best] > 0) | (normals is None)
        return face[rows, best].astype(np.int32), chosen, gap[rows, best].astype(np.float32), like


def closest_on(points: Floats, triangles: Floats) -> tuple[Floats, Floats]:
    """Barycentric weights (N, 3) of the point of each triangle (N, 3, 3) nearest to its point (N, 3), and the squared
    distance (N,). Triangles without area are segments or points."""
    a, b, c = triangles[:, 0], triangles[:, 1], triangles[:, 2]
    u, v, w = b - a, c - a, points - a
    uu, uv, vv, wu, wv = (np.einsum("ij,ij->i", p, q) for p, q in ((u, u), (u, v), (v, v), (w, u), (w, v)))
    det = uu * vv - uv * uv
    safe = np.where(det > 0, det, 1.0)
    s, t = (vv * wu - uv * wv) / safe, (uu * wv - uv * wu) / safe
    weight = np.stack([1 - s - t, s, t], 1)
    out = np.flatnonzero((weight < 0).any(1) | (det <= 0))
    nearest, ends = np.full(len(out), np.inf), np.zeros((len(out), 3))
    for i in range(3):
        p, q = triangles[out, i], triangles[out, (i + 1) % 3]
        edge, arm = q - p, points[out] - p
        along = np.einsum("ij,ij->i", arm, edge) / np.maximum(np.einsum("ij,ij->i", edge, edge), 1e-300)
        along = np.clip(along, 0, 1)
        gap = ((arm - along[:, None] * edge) ** 2).sum(1)
        better = gap < nearest
        nearest = np.where(better, gap, nearest)
        there = np.zeros((len(out), 3))
        there[:, i], there[:, (i + 1) % 3] = 1 - along, along
        ends = np.where(better[:, None], there, ends)
    weight[out] = ends
    gap = ((np.einsum("ij,ijk->ik", weight, triangles) - points) ** 2).sum(1)
    return weight, gap


def sampled(corners: Floats, count: int, every: bool = True) -> tuple[NDArray[np.int64], Floats]:
    """Face (S,) and place (S, 3) of about ``count`` samples spread by area over triangles (F, 3, 3), always the same;
    ``every``: and one in the middle of each."""
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    total = np.cumsum(area) / max(float(area.sum()), 1e-300) * count
    extra = np.diff(np.floor(np.r_[0.0, total] + 1e-9)).astype(np.int64)
    face, index = expand(extra + every, np.zeros(len(corners), np.int64))
    # the additive sequence of the plastic number (Roberts 2018), folded into the triangle; index 0 is its middle
    s, t = (np.mod(1 / 3 + index * step, 1.0) for step in (0.7548776662466927, 0.5698402909980532))
    over = s + t > 1
    s, t = np.where(over, 1 - s, s), np.where(over, 1 - t, t)
    a, b, c = corners[face, 0], corners[face, 1], corners[face, 2]
    return np.asarray(face, np.int64), np.asarray(a + s[:, None] * (b - a) + t[:, None] * (c - a))
