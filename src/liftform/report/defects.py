"""Where a mesh is broken: borders of holes, non-manifold edges, faces that cut each other, floating pieces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..assets import Mesh
from ..render import Color
from ..topology import INTERSECTION_FACE_LIMIT, components, merged, self_intersections
from .solid import sampled

#: kind of defect -> (what it is called, sRGB colour it is marked in)
MARKS: dict[str, tuple[str, Color]] = {
    "borders": ("borders of holes", (0.86, 0.08, 0.12)),
    "nonmanifold": ("non-manifold edges", (0.86, 0.0, 0.78)),
    "cutting": ("faces that cut each other", (0.95, 0.52, 0.0)),
    "floating": ("floating pieces", (0.10, 0.38, 0.93)),
}
#: A piece with less than this share of the surface ...
_SMALL = 0.03
#: ... further than this share of the diagonal from all that is larger floats.
_AWAY = 0.01
#: Points by which the larger pieces stand for that distance.
_POINTS = 20_000


@dataclass(frozen=True)
class Defects:
    """borders, nonmanifold: ends (E, 2, 3) of edges in the mesh's frame. cutting, floating (F,): which faces.

    pieces: number of floating pieces. counted: False where the mesh is too large to look for faces that cut.
    """

    borders: NDArray[np.float32]
    nonmanifold: NDArray[np.float32]
    cutting: NDArray[np.bool_]
    floating: NDArray[np.bool_]
    pieces: int
    counted: bool

    def counts(self) -> dict[str, int]:
        """Number of edges, faces or pieces of each kind, in the order of ``MARKS``."""
        return {
            "borders": len(self.borders),
            "nonmanifold": len(self.nonmanifold),
            "cutting": int(self.cutting.sum()),
            "floating": self.pieces,
        }


def defects(mesh: Mesh) -> Defects:
    """Find them all; UV seams are no defects."""
    positions, faces = merged(mesh)
    borders, nonmanifold = _edges(positions, faces)
    cutting = np.zeros(len(faces), bool)
    pairs = self_intersections(positions, faces) if len(faces) <= INTERSECTION_FACE_LIMIT else None
    if pairs is not None:
        cutting[pairs.ravel()] = True
    floating, pieces = _floating(mesh, positions, faces, pairs)
    return Defects(borders, nonmanifold, cutting, floating, pieces, pairs is not None)


def _edges(positions: NDArray[np.float32], faces: NDArray[np.int32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Ends of the edges with one face, and of those with more than two."""
    edges = np.sort(np.stack([faces, np.roll(faces, -1, axis=1)], -1).reshape(-1, 2).astype(np.int64), axis=1)
    key, uses = np.unique(edges[:, 0] * len(positions) + edges[:, 1], return_counts=True)
    ends = np.stack([key // len(positions), key % len(positions)], 1)
    return positions[ends[uses == 1]], positions[ends[uses > 2]]


def _floating(
    mesh: Mesh, positions: NDArray[np.float32], faces: NDArray[np.int32], pairs: NDArray[np.integer[Any]] | None
) -> tuple[NDArray[np.bool_], int]:
    """Faces and number of small pieces that neither cut nor come near a larger one."""
    from scipy.spatial import cKDTree

    label = components(faces)
    corners = positions[faces].astype(np.float64)
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    of_part = np.bincount(label, area)
    small = of_part < _SMALL * max(of_part.sum(), 1e-300)
    small[of_part.argmax()] = False
    if not small.any():
        return np.zeros(len(faces), bool), 0
    if pairs is not None:
        one, other = label[pairs[:, 0]], label[pairs[:, 1]]
        small[one[~small[other]]] = False
        small[other[~small[one]]] = False
    large = mesh.with_(faces=mesh.faces[~small[label]])
    points, _, _ = sampled(large, _POINTS)
    reach = _AWAY * float(np.linalg.norm(np.ptp(positions, axis=0))) + np.sqrt(area[~small[label]].sum() / _POINTS)
    index = np.flatnonzero(small[label])
    near = cKDTree(points).query(corners[index].reshape(-1, 3), distance_upper_bound=reach)[0] <= reach
    small[label[index[near.reshape(-1, 3).any(1)]]] = False
    return np.asarray(small[label]), int(small.sum())
