"""Polygons of a file -> triangles, quadrilaterals first; faces with corners that do not exist are dropped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.integer[Any]]

#: Polygons with more corners are fanned even where that folds them: cutting ears takes quadratic time.
_MOST_CORNERS_FOR_EARS = 256


def triangulated(
    corners: Ints, sizes: Ints, positions: NDArray[np.floating[Any]]
) -> tuple[NDArray[np.int64], int, NDArray[np.int64]]:
    """Polygons as triangles: (corner numbers (F, 3), quadrilaterals among them, the polygon of each triangle (F,)).

    corners (C,): vertex of every corner, polygon after polygon; sizes (P,): corners of each. positions (V, 3).
    The result indexes ``corners``, so that attributes of corners can follow. As in Mesh.quads, the halves of
    quadrilaterals come first; their diagonal is the one that does not fold a concave one. Polygons with fewer than
    three corners, or with a corner outside of ``positions``, are dropped.
    """
    starts = np.cumsum(sizes) - sizes
    wrong = np.zeros(len(sizes), bool)
    outside = (corners < 0) | (corners >= len(positions))
    if outside.any():
        wrong[np.repeat(np.arange(len(sizes)), sizes)[outside]] = True
    kept = (sizes >= 3) & ~wrong
    threes, fours, more = (np.flatnonzero(kept & test) for test in (sizes == 3, sizes == 4, sizes > 4))
    quads = _unfolded(starts[fours, None] + np.arange(4), corners, positions)
    halves = quads[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3)
    fans = [_cut(np.arange(starts[p], starts[p] + sizes[p]), corners, positions) for p in more.tolist()]
    triangles = np.concatenate([halves, starts[threes, None] + np.arange(3), *fans]).astype(np.int64)
    of = [np.repeat(fours, 2), threes, np.repeat(more, [len(fan) for fan in fans])]
    return triangles, len(quads), np.concatenate(of).astype(np.int64)


def _unfolded(quads: Ints, corners: Ints, positions: NDArray[np.floating[Any]]) -> Ints:
    """Quadrilaterals (Q, 4), begun one corner later where the diagonal from their first corner would fold them."""
    if not len(quads):
        return quads
    a, b, c, d = (positions[corners[quads[:, k]]].astype(np.float64) for k in range(4))
    folded = np.einsum("ij,ij->i", np.cross(b - a, c - a), np.cross(c - a, d - a)) < 0
    return np.where(folded[:, None], np.roll(quads, -1, axis=1), quads)


def _cut(at: Ints, corners: Ints, positions: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    """One polygon's corner numbers as triangles (n - 2, 3): a fan, or cut ears where that would fold."""
    points = positions[corners[at]].astype(np.float64)
    normal = np.cross(points, np.roll(points, -1, axis=0)).sum(0)  # Newell's, about the origin
    fan = np.stack([np.zeros(len(at) - 2, int), np.arange(1, len(at) - 1), np.arange(2, len(at))], axis=1)
    a, b, c = (points[fan[:, k]] for k in range(3))
    turns = np.cross(b - a, c - a) @ normal
    if (turns >= 0).all() or len(at) > _MOST_CORNERS_FOR_EARS or not np.isfinite(points).all():
        return at[fan].astype(np.int64)
    axis = int(np.argmax(np.abs(normal)))
    flat = np.delete(points, axis, axis=1)
    if (normal[axis] < 0) != (axis == 1):  # dropping y mirrors the plane
        flat = flat * np.array([-1.0, 1.0])
    return at[np.array(_ears(flat))].astype(np.int64)


def _ears(flat: NDArray[np.float64]) -> Sequence[tuple[int, int, int]]:
    """Ear clipping of a counter-clockwise polygon (n, 2); what has no ear left is fanned."""
    left = list(range(len(flat)))
    found = []
    while len(left) > 3:
        at = next((k for k in range(len(left)) if _is_ear(flat, left, k)), 0)
        found.append((left[at - 1], left[at], left[(at + 1) % len(left)]))
        del left[at]
    return [*found, (left[0], left[1], left[2])]


def _is_ear(flat: NDArray[np.float64], left: list[int], k: int) -> bool:
    """Whether corner k turns left and no other corner lies in its triangle."""
    i, j, m = left[k - 1], left[k], left[(k + 1) % len(left)]
    a, b, c = flat[i], flat[j], flat[m]
    if _turn(a, b, c[None])[0] <= 0:
        return False
    others = flat[[n for n in left if n not in (i, j, m)]]
    inside = (_turn(a, b, others) >= 0) & (_turn(b, c, others) >= 0) & (_turn(c, a, others) >= 0)
    return not inside.any()


def _turn(a: NDArray[np.float64], b: NDArray[np.float64], c: NDArray[np.float64]) -> NDArray[np.float64]:
    """Twice the signed area of a, b and each of c (n, 2)."""
    turn: NDArray[np.float64] = (b[0] - a[0]) * (c[:, 1] - a[1]) - (b[1] - a[1]) * (c[:, 0] - a[0])
    return turn


def unified(columns: Sequence[Ints]) -> tuple[list[NDArray[np.int64]], NDArray[np.int64]]:
    """Corners that agree in all ``columns`` (C,) become one vertex: (the columns by vertex, the vertex of each corner).

    Vertices are sorted by the first column, then the others.
    """
    keys = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        span = int(column.max(initial=0)) + 1
        if int(keys.max(initial=0) + 1) * span >= 1 << 62:
            keys = np.unique(keys, return_inverse=True)[1].astype(np.int64)
        keys = keys * span + column
    _, first, index = np.unique(keys, return_index=True, return_inverse=True)
    return [np.asarray(column[first], np.int64) for column in columns], index.astype(np.int64)
