"""A mesh under repair: positions apart from attributes, every corner and face knowing what it was in the given mesh."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..assets import Mesh
from ..topology import merge_map
from . import surface

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Workpiece:
    """points (P, 3) float64: distinct positions. faces (F, 3): their corners' points.

    corner (F, 3): the given mesh's vertex whose attributes a corner keeps, -1 where they are to be interpolated.
    source (F,): the given mesh's face that a face is, or is a part of; -1 for an invented one.
    """

    points: Floats
    faces: Ints
    corner: Ints
    source: Ints

    @classmethod
    def of(cls, mesh: Mesh) -> Workpiece:
        """The whole mesh, bit-identical positions made one; faces with a corner that is not finite are left out."""
        first, point = merge_map(mesh.vertices)
        given = mesh.faces.astype(np.int64)
        sound = np.asarray(np.isfinite(mesh.vertices).all(1))[given].all(1)
        faces = point.astype(np.int64)[given]
        points = mesh.vertices[first].astype(np.float64)
        return cls(points, faces[sound], given[sound], np.flatnonzero(sound)).compacted()

    @cached_property
    def size(self) -> float:
        """Diagonal of the bounding box of what is used."""
        return surface.diagonal(self.points[surface.used(self.faces, len(self.points))]) if len(self.faces) else 0.0

    @cached_property
    def areas(self) -> Floats:
        """Area of every face (F,)."""
        return np.linalg.norm(surface.cross_products(self.points, self.faces), axis=1) / 2

    @property
    def rounded(self) -> NDArray[np.float32]:
        """The points as they will be stored."""
        return self.points.astype(np.float32)

    def with_(self, **changes: Any) -> Workpiece:
        """A copy with some fields replaced."""
        return replace(self, **changes)

    def kept(self, chosen: NDArray[Any]) -> Workpiece:
        """Only the chosen faces (mask or indices)."""
        return replace(self, faces=self.faces[chosen], corner=self.corner[chosen], source=self.source[chosen])

    def flipped(self, chosen: Bools) -> Workpiece:
        """The chosen faces (F,) turned over."""
        turn = np.where(chosen[:, None], [0, 2, 1], [0, 1, 2])
        return replace(
            self, faces=np.take_along_axis(self.faces, turn, 1), corner=np.take_along_axis(self.corner, turn, 1)
        )

    def extended(
        self, faces: Ints, points: Floats | None = None, source: Ints | None = None, corner: Ints | None = None
    ) -> Workpiece:
        """With more faces (N, 3), which may index ``points`` (M, 3) put behind the others; invented unless told."""
        return Workpiece(
            self.points if points is None else np.concatenate([self.points, points]),
            np.concatenate([self.faces, faces]),
            np.concatenate([self.corner, np.full(faces.shape, -1, np.int64) if corner is None else corner]),
            np.concatenate([self.source, np.full(len(faces), -1, np.int64) if source is None else source]),
        )

    def compacted(self) -> Workpiece:
        """Without the points that no face uses."""
        faces, old = surface.compact(self.faces, len(self.points))
        return replace(self, points=self.points[old], faces=faces.astype(np.int64))

    def mesh(self, given: Mesh) -> Mesh:
        """The repaired mesh with the given one's attributes; corners that kept theirs keep them bit for bit.

        Parts of a face interpolate its attributes; invented faces continue those of the nearest one, clamped to it, and
        their new vertices are not ``seen``.
        """
        return _Assembly(self, given).mesh()


class _Assembly:
    """Points, corners and sources made vertices with attributes again."""

    def __init__(self, work: Workpiece, given: Mesh) -> None:
        self.work, self.given = work, given
        self.invented = np.repeat(work.source < 0, 3)
        self.source = inherited(work, given)
        self.charted = given.uv is not None
        point, corner = work.faces.ravel(), self._corners()
        home = np.where(corner >= 0, corner, len(given.vertices) + (np.repeat(self.source, 3) if self.charted else 0))
        key = home * np.int64(len(work.points)) + point
        _, self.at, vertex = np.unique(key, return_index=True, return_inverse=True)
        self.faces = vertex.reshape(-1, 3).astype(np.int32)
        self.corner, self.point = corner[self.at], point[self.at]

    def _corners(self) -> Ints:
        """(3F,): of a mesh without charts, points that kept their attributes anywhere keep them everywhere."""
        corner = self.work.corner.ravel()
        if self.charted:
            return corner
        known = np.full(len(self.work.points), -1, np.int64)
        kept = np.flatnonzero(corner >= 0)[::-1]
        known[self.work.faces.ravel()[kept]] = corner[kept]
        return np.where(corner >= 0, corner, known[self.work.faces.ravel()])

    def mesh(self) -> Mesh:
        given, positions = self.given, self.work.points[self.point].astype(np.float32)
        kept = np.maximum(self.corner, 0)
        new = np.flatnonzero(self.corner < 0)
        parent = self.source[self.at[new] // 3]
        weight = clamped_weights(given, parent, self.work.points[self.point[new]])

        def carried(values: NDArray[Any] | None) -> Any:
            if values is None:
                return None
            out = values[kept]
            out[new] = np.einsum("ij,ij...->i...", weight, values[given.faces[parent]])
            return out

        seen = given.seen
        if seen is None and self.invented[self.at[new]].any():
            seen = np.ones(len(given.vertices), np.float32)
        seen = carried(seen)
        if seen is not None:
            seen[new[self.invented[self.at[new]]]] = 0.0
        return given.with_(
            vertices=positions,
            faces=self.faces,
            normals=self._normals(positions, new),
            uv=carried(given.uv),
            colors=carried(given.colors),
            seen=seen,
            confidence=carried(given.confidence),
            face_material=None if given.face_material is None else given.face_material[self.source],
            quads=0,
        )

    def _normals(self, positions: NDArray[np.float32], new: Ints) -> NDArray[np.float32] | None:
        """The given normals where they still point outward, else smooth ones."""
        if self.given.normals is None:
            return None
        smooth = surface.vertex_normals(self.work.points, self.work.faces)[self.point]
        normals = self.given.normals[np.maximum(self.corner, 0)]
        wrong = np.einsum("ij,ij->i", normals, smooth) <= 0
        wrong[new] = True
        return np.where(wrong[:, None], smooth, normals)


def inherited(work: Workpiece, given: Mesh) -> Ints:
    """A face (F,) of the given mesh for every face: its own, else that of the neighbour it was reached from."""
    source = work.source.copy()
    if (source >= 0).all():
        return source
    a, b = (h // 3 for h in surface.pairs(work.faces))
    a, b = np.r_[a, b], np.r_[b, a]
    while True:
        reached = (source[a] >= 0) & (source[b] < 0)
        if not reached.any():
            break
        source[b[reached][::-1]] = source[a[reached][::-1]]
    lost = np.flatnonzero(source < 0)
    if len(lost):
        from scipy.spatial import cKDTree

        known = np.flatnonzero(np.isfinite(given.vertices[given.faces]).all((1, 2)))
        tree = cKDTree(given.vertices[given.faces[known]].mean(1))
        source[lost] = known[tree.query(work.points[work.faces[lost]].mean(1))[1]]
    return source


def clamped_weights(given: Mesh, face: Ints, points: Floats) -> NDArray[np.float32]:
    """Barycentric weights (N, 3) of points (N, 3) projected onto faces (N,) of a mesh, clamped to the face."""
    a, b, c = surface.corners(given.vertices, given.faces[face])
    u, v, p = b - a, c - a, points - a
    uu, uv, vv = (np.einsum("ij,ij->i", x, y) for x, y in ((u, u), (u, v), (v, v)))
    pu, pv = np.einsum("ij,ij->i", p, u), np.einsum("ij,ij->i", p, v)
    area = np.maximum(uu * vv - uv * uv, 1e-300)
    weight = np.stack([np.zeros(len(a)), (vv * pu - uv * pv) / area, (uu * pv - uv * pu) / area], 1)
    weight[:, 0] = 1 - weight[:, 1] - weight[:, 2]
    weight = np.clip(np.nan_to_num(weight), 0, 1)
    return np.asarray(weight / np.maximum(weight.sum(1, keepdims=True), 1e-12), np.float32)
