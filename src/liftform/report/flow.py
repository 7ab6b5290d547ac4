"""The mesh as modellers see it: quadrilaterals, valences, slivers, and whether edges follow the shape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..assets import Mesh
from ..topology import merged

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: A face whose smallest angle is below this many degrees is a sliver.
_SLIVER_DEG = 10.0
#: Faces looked at when the flow of edges is measured; more tell nothing new.
_FLOW_FACES = 6000
#: Rounds by which the shape's directions are smoothed over neighbours.
_SMOOTHING = 2
#: Edges within this many degrees of along or across count as following; at random 4 in 9 would.
_FOLLOWS_DEG = 20.0


@dataclass(frozen=True)
class Polygons:
    """quads: quadrilaterals; triangles: what remains. quad_share: of all polygons.

    regular: share of inner vertices with the ideal number of edges (4 among quads; 5 to 7 among triangles).
    slivers: share of triangles with an angle below 10 degrees. flow: of the edges where the surface bends one way only
    (limbs, rims, rounded edges), the share by length that runs along or across the bend; None where nothing does.
    """

    quads: int
    triangles: int
    quad_share: float
    regular: float | None
    slivers: float
    flow: float | None


def polygons(mesh: Mesh) -> Polygons:
    """Measure a mesh's polygons; UV seams do not count as borders."""
    positions, faces = merged(mesh)
    quads = mesh.quads
    triangles = len(faces) - 2 * quads
    return Polygons(
        quads=quads,
        triangles=triangles,
        quad_share=quads / max(quads + triangles, 1),
        regular=_regular(faces, quads),
        slivers=_slivers(positions.astype(np.float64)[faces]),
        flow=_flow(positions.astype(np.float64), faces, quads),
    )


def real_edges(faces: NDArray[np.int32], quads: int) -> Ints:
    """Directed edges (E, 2) of every polygon; the diagonals of quads are left out."""
    edges = np.stack([faces, np.roll(faces, -1, axis=1)], -1)
    real = np.ones(faces.shape, bool)
    real[: 2 * quads : 2, 2] = False  # of (a, b, c), c to a
    real[1 : 2 * quads : 2, 0] = False  # of (a, c, d), a to c
    return edges[real].astype(np.int64)


def _regular(faces: NDArray[np.int32], quads: int) -> float | None:
    edges = np.sort(real_edges(faces, quads), axis=1)
    count = int(faces.max()) + 1
    key, uses = np.unique(edges[:, 0] * count + edges[:, 1], return_counts=True)
    ends = np.stack([key // count, key % count], 1)
    valence = np.bincount(ends.ravel(), minlength=count)
    inner = valence > 0
    inner[ends[uses != 2]] = False
    if not inner.any():
        return None
    by_quads = 2 * quads > len(faces) - 2 * quads
    good = valence == 4 if by_quads else (valence >= 5) & (valence <= 7)
    return float(good[inner].mean())


def _slivers(corners: Floats) -> float:
    edges = np.roll(corners, -1, axis=1) - corners
    length = np.linalg.norm(edges, axis=2)
    # The smallest angle lies opposite the shortest edge, between the two others.
    others = np.argsort(length, axis=1)[:, 1:]
    row = np.arange(len(corners))
    a, b = edges[row, others[:, 0]], edges[row, others[:, 1]]
    product = np.maximum(length[row, others[:, 0]] * length[row, others[:, 1]], 1e-300)
    sine = np.linalg.norm(np.cross(a, b), axis=1) / product
    return float((sine < np.sin(np.radians(_SLIVER_DEG))).mean())


def _flow(positions: Floats, faces: NDArray[np.int32], quads: int) -> float | None:
    """See ``Polygons.flow``. The bend's axis is where normals vary least: the structure tensor of the normals."""
    cross = np.cross(positions[faces[:, 1]] - positions[faces[:, 0]], positions[faces[:, 2]] - positions[faces[:, 0]])
    area = np.linalg.norm(cross, axis=1)
    normals = cross / np.maximum(area, 1e-300)[:, None]
    tensor = np.stack([normals[:, i] * normals[:, j] * area for i, j in _PAIRS], 1)
    for _ in range(_SMOOTHING):
        tensor = _spread(tensor, faces, len(positions))
    chosen = np.arange(0, len(faces), max(1, len(faces) // _FLOW_FACES))
    chosen = chosen[tensor[chosen].any(1)]
    if not len(chosen):
        return None
    matrix = tensor[chosen][:, _FULL].reshape(-1, 3, 3)
    values, vectors = np.linalg.eigh(matrix / np.trace(matrix, axis1=1, axis2=2)[:, None, None])
    bends = (values[:, 1] > 0.02) & (values[:, 0] < 0.25 * values[:, 1])
    if not bends.any():
        return None
    return _following(positions, faces, quads, chosen[bends], vectors[bends, :, 0])


#: Entries of a symmetric matrix that are kept, and where each of the nine finds its value among them.
_PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
_FULL = [0, 1, 2, 1, 3, 4, 2, 4, 5]


def _spread(tensor: Floats, faces: NDArray[np.int32], count: int) -> Floats:
    """Each face's tensor becomes the sum of those around its corners."""
    flat = faces.ravel()
    of_vertex = np.stack([np.bincount(flat, np.repeat(tensor[:, k], 3), count) for k in range(tensor.shape[1])], 1)
    return np.asarray(of_vertex[faces].sum(1))


def _following(positions: Floats, faces: NDArray[np.int32], quads: int, chosen: Ints, axis: Floats) -> float:
    """Share of the chosen faces' edges, by length, within 20 degrees of their axis or square to it."""
    corners = positions[faces[chosen]]
    edges = np.roll(corners, -1, axis=1) - corners
    half = chosen < 2 * quads
    edges[half & (chosen % 2 == 0), 2] = 0  # diagonals of quads are no edges
    edges[half & (chosen % 2 == 1), 0] = 0
    length = np.linalg.norm(edges, axis=2)
    along = np.abs(np.einsum("nkj,nj->nk", edges, axis)) / np.maximum(length, 1e-300)
    follows = (along > np.cos(np.radians(_FOLLOWS_DEG))) | (along < np.sin(np.radians(_FOLLOWS_DEG)))
    return float((length * follows).sum() / max(length.sum(), 1e-300))
