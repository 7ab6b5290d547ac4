"""Where a mesh is broken: borders of holes, non-manifold edges, faces that cut each other, floating pieces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..assets import Mesh
from ..render import Color
from ..topology import INTERSECTION_FACE_LIMIT, components, merged, self_intersections

#: kind of defect -> (what it is called, sRGB colour it is marked in)
MARKS: dict[str, tuple[str, Color]] = {
    "borders": ("borders of holes", (0.86, 0.08, 0.12)),
    "nonmanifold": ("non-manifold edges", (0.86, 0.0, 0.78)),
    "cutting": ("faces that cut each other", (0.95, 0.52, 0.0)),
    "floating": ("floating pieces", (0.10, 0.38, 0.93)),
}
#: A piece with less than this share of the surface, beside a larger one, floats.
_FLOATING = 0.03


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
    floating, pieces = _floating(positions, faces)
    return Defects(borders, nonmanifold, cutting, floating, pieces, pairs is not None)


def _edges(positions: NDArray[np.float32], faces: NDArray[np.int32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Ends of the edges with one face, and of those with more than two."""
    edges = np.sort(np.stack([faces, np.roll(faces, -1, axis=1)], -1).reshape(-1, 2).astype(np.int64), axis=1)
    key, uses = np.unique(edges[:, 0] * len(positions) + edges[:, 1], return_counts=True)
    ends = np.stack([key // len(positions), key % len(positions)], 1)
    return positions[ends[uses == 1]], positions[ends[uses > 2]]


def _floating(positions: NDArray[np.float32], faces: NDArray[np.int32]) -> tuple[NDArray[np.bool_], int]:
    label = components(faces)
    corners = positions[faces].astype(np.float64)
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    of_part = np.bincount(label, area)
    small = of_part < _FLOATING * max(of_part.sum(), 1e-300)
    small[of_part.argmax()] = False
    return np.asarray(small[label]), int(small.sum())
