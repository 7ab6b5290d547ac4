"""Connectivity and measures of triangle meshes as flat arrays: half-edge twins, components, fans, areas, normals.

Half-edge ``h`` belongs to face ``h // 3`` and runs from that face's corner ``h % 3`` to the next one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.floating]
Faces = NDArray[np.integer]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

#: A face is degenerate when its area is below this share of the squared bounding-box diagonal ...
MIN_AREA = 1e-11
#: ... or its smallest altitude is below this share of the diagonal (float32 positions are good to 6e-8).
MIN_ALTITUDE = 1e-6


def half_edges(faces: Faces) -> tuple[Ints, Ints]:
    """Start and end vertex of every half-edge, each (3F,)."""
    f = np.asarray(faces, np.int64)
    return f.ravel(), f[:, [1, 2, 0]].ravel()


def pairs(faces: Faces) -> tuple[Ints, Ints]:
    """Half-edges (a, b) that are each other's twin: opposite directions along an edge with exactly two half-edges."""
    start, end = half_edges(faces)
    if not len(start):
        return start, end
    key = np.minimum(start, end) * (int(max(start.max(), end.max())) + 1) + np.maximum(start, end)
    order = np.argsort(key, kind="stable")
    key = key[order]
    new = np.r_[True, key[1:] != key[:-1]]
    first = np.flatnonzero(new)
    two = first[np.diff(np.r_[first, len(key)]) == 2]
    a, b = order[two], order[two + 1]
    good = start[a] == end[b]
    return a[good], b[good]


def undirected(faces: Faces) -> tuple[Ints, Ints, Ints]:
    """Edge number of every half-edge (3F,), the half-edges ordered by edge (3F,), and the half-edges of each edge (E,).

    Edges are numbered as they come in that order, whichever way their half-edges run.
    """
    start, end = half_edges(faces)
    if not len(start):
        return start, start, start
    key = np.minimum(start, end) * (int(max(start.max(), end.max())) + 1) + np.maximum(start, end)
    order = np.argsort(key, kind="stable")
    key = key[order]
    number = np.cumsum(np.r_[False, key[1:] != key[:-1]])
    edge = np.empty(len(key), np.int64)
    edge[order] = number
    return edge, order, np.bincount(number)


def twins(faces: Faces) -> Ints | None:
    """The opposite half-edge of each half-edge (3F,), or None where the mesh is not closed, oriented, edge-manifold."""
    a, b = pairs(faces)
    if 2 * len(a) != 3 * len(faces):
        return None
    twin = np.empty(3 * len(faces), np.int64)
    twin[a], twin[b] = b, a
    return twin


def pinched(faces: Faces, twin: Ints, count: int) -> bool:
    """Whether a vertex of a closed edge-manifold mesh joins more than one fan of faces."""
    start = np.asarray(faces, np.int64).ravel()
    degree = np.bincount(start, minlength=count)
    first = np.full(count, -1, np.int64)
    first[start] = np.arange(len(start))
    active = np.flatnonzero(first >= 0)
    home = first[active]
    at, steps = home, 0
    while len(active):
        at = twin[at - at % 3 + (at + 2) % 3]
        steps += 1
        closed = at == home
        if np.any(degree[active[closed]] != steps):
            return True
        active, home, at = active[~closed], home[~closed], at[~closed]
    return False


def corners(vertices: Points, faces: Faces) -> tuple[Floats, Floats, Floats]:
    """The three corners of every face in float64, each (F, 3)."""
    v = np.asarray(vertices, np.float64)
    return v[faces[:, 0]], v[faces[:, 1]], v[faces[:, 2]]


def cross_products(vertices: Points, faces: Faces) -> Floats:
    """Face normals whose length is twice the area, (F, 3) float64."""
    a, b, c = corners(vertices, faces)
    return np.cross(b - a, c - a)


def diagonal(vertices: Points) -> float:
    """Length of the bounding box's diagonal, 0 without points."""
    return 0.0 if not len(vertices) else float(np.linalg.norm(np.ptp(np.asarray(vertices, np.float64), axis=0)))


def degenerate(vertices: Points, faces: Faces) -> NDArray[np.bool_]:
    """Faces too small or too thin to survive float32 arithmetic, (F,)."""
    a, b, c = corners(vertices, faces)
    normal = np.cross(b - a, c - a)
    double_area = np.sqrt(np.einsum("ij,ij->i", normal, normal))
    longest = np.sqrt(np.maximum.reduce([np.einsum("ij,ij->i", q - p, q - p) for p, q in ((a, b), (b, c), (c, a))]))
    d = diagonal(vertices)
    return np.asarray((double_area <= 2 * MIN_AREA * d * d) | (double_area <= MIN_ALTITUDE * d * longest))


def components(faces: Faces, count: int) -> tuple[int, Ints]:
    """Number of parts connected through vertices, and the part of each vertex (count,); unused vertices count too."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    start, end = half_edges(faces)
    graph = coo_matrix((np.ones(len(start), np.int8), (start, end)), shape=(count, count))
    number, label = connected_components(graph, directed=False)
    return int(number), label.astype(np.int64)


def volumes(vertices: Points, faces: Faces) -> Floats:
    """Signed volume of the tetrahedron of each face with the bounding box's centre, (F,)."""
    v = np.asarray(vertices, np.float64)
    if not len(faces):
        return np.zeros(0)
    a, b, c = corners(v - (v.min(0) + v.max(0)) / 2, faces)
    return np.asarray(np.einsum("ij,ij->i", a, np.cross(b, c)) / 6.0)


def compact(faces: Faces, count: int) -> tuple[NDArray[np.int32], Ints]:
    """Faces renumbered to the vertices they use, and the old index of each of those vertices."""
    used = np.zeros(count, bool)
    used[np.asarray(faces).ravel()] = True
    new = np.cumsum(used) - 1
    return new[faces].astype(np.int32), np.flatnonzero(used)


def used(indices: Faces, count: int) -> Ints:
    """The vertices that occur in an array of indices below ``count``, ascending; quicker than sorting them."""
    there = np.zeros(count, bool)
    there[np.asarray(indices).ravel()] = True
    return np.flatnonzero(there)


def renumbered(labels: Ints) -> tuple[int, Ints]:
    """How many labels occur, and the labels (N,) numbered without gaps in their order; they must not be negative."""
    if not len(labels):
        return 0, labels
    there = np.zeros(int(labels.max()) + 1, bool)
    there[labels] = True
    number = np.cumsum(there) - 1
    return int(number[-1]) + 1, number[labels]


def distinct(vertices: Points) -> bool:
    """Whether no two vertices share one position."""
    v = np.ascontiguousarray(vertices, np.float32) + np.float32(0)  # -0 becomes +0
    x, y, z = v.view(np.uint32).astype(np.uint64).T
    mixed = np.sort(x * np.uint64(0x9E3779B97F4A7C15) ^ y * np.uint64(0xC2B2AE3D27D4EB4F) ^ z << np.uint64(17))
    if not (mixed[1:] == mixed[:-1]).any():
        return True
    return len(np.unique(v, axis=0)) == len(v)


def is_solid(vertices: Points, faces: Faces) -> bool:
    """Whether this is one closed, edge- and vertex-manifold, consistently outward surface without degenerate faces.

    Holds for the positions too: no two vertices lie at the same place, every vertex is used.
    """
    if len(faces) < 4 or not np.isfinite(vertices).all():
        return False
    twin = twins(faces)
    if twin is None or len(np.unique(faces)) != len(vertices) or not distinct(vertices):
        return False
    if pinched(faces, twin, len(vertices)) or components(faces, len(vertices))[0] != 1:
        return False
    return not degenerate(vertices, faces).any() and bool(volumes(vertices, faces).sum() > 0)


def vertex_normals(vertices: Points, faces: Faces) -> NDArray[np.float32]:
    """Smooth unit normals (V, 3), faces weighted by their angle at the vertex (Thürmer and Wüthrich 1998)."""
    p = corners(vertices, faces)
    n = np.cross(p[1] - p[0], p[2] - p[0])
    n /= np.maximum(np.linalg.norm(n, axis=1, keepdims=True), 1e-300)
    total = np.zeros((len(vertices), 3))
    for i in range(3):
        x, y = p[(i + 1) % 3] - p[i], p[(i + 2) % 3] - p[i]
        cosine = np.einsum("ij,ij->i", x, y) / np.maximum(np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1), 1e-300)
        weighted = n * np.arccos(np.clip(cosine, -1, 1))[:, None]
        for k in range(3):
            total[:, k] += np.bincount(faces[:, i], weighted[:, k], len(vertices))
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return np.where(length > 1e-12, total / np.maximum(length, 1e-300), (0.0, 1.0, 0.0)).astype(np.float32)
