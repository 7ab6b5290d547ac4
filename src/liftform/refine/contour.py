"""Dual contouring of a grid of inside and outside nodes: one vertex a cell, one quadrilateral an edge, a manifold."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .workpiece import Bools, Floats, Ints

#: Corners of a cell: bit k of a cell's code is the corner at (k >> 2 & 1, k >> 1 & 1, k & 1).
_CORNERS = np.array([(k >> 2 & 1, k >> 1 & 1, k & 1) for k in range(8)])
#: Where a wall has no hit: this share of the way from the inside node to the outside one.
_BLIND = 0.3
#: A cell is smooth when the mean of its hits' normals is at least this long: no edge runs through it.
_SMOOTH = 0.985
#: Eigenvalues of a cell's normals below this share of the largest say nothing about where its vertex lies.
_WEAK = 0.06
#: Vertices keep this distance from the sides of their cells, in cells.
_INSET = 0.02


def _remedies() -> NDArray[np.int8]:
    """For every code of a cell the corner to fill so that less of the surface touches itself there; -1 where it does
    not: neither a side with two diagonal corners, nor two opposite corners alone."""
    out = np.full(256, -1, np.int8)
    for code in range(256):
        bits = [code >> k & 1 for k in range(8)]
        for axis in range(3):
            for side in (0, 1):
                a, b, c, d = (k for k in range(8) if _CORNERS[k][axis] == side)
                if bits[a] == bits[d] != bits[b] == bits[c]:
                    out[code] = a if not bits[a] else b
        if out[code] < 0 and sum(bits) in (2, 6):
            odd = [k for k in range(8) if bits[k] == (sum(bits) == 2)]
            if odd[0] ^ odd[1] == 7:
                out[code] = odd[0] ^ 4 if sum(bits) == 2 else odd[0]
    return out


def well_composed(inside: Bools) -> None:
    """Fill nodes, in place, until the boundary between inside and outside is a manifold (Latecki 1997)."""
    remedy = _remedies()
    strides = np.array(inside.strides) // inside.itemsize
    corner = _CORNERS @ strides
    flat = inside.reshape(-1)
    cell, code = mixed_cells(inside)
    while len(cell):
        fix = remedy[code]
        bad = np.flatnonzero(fix >= 0)
        if not len(bad):
            break
        node = np.unique(cell[bad] + corner[fix[bad]])
        flat[node] = True
        cell = np.unique(node[:, None] - corner)
        cell = cell[_is_cell(cell, inside.shape)]
        code = _codes(flat, cell, corner)


def mixed_cells(inside: Bools) -> tuple[Ints, NDArray[np.uint8]]:
    """Cells with corners of both kinds: flat index of their lowest corner's node, ascending, and their codes."""
    low = np.logical_and.reduce([inside[_window(k)] for k in range(8)])
    high = np.logical_or.reduce([inside[_window(k)] for k in range(8)])
    at = np.flatnonzero(high & ~low)
    cell = np.ravel_multi_index(np.unravel_index(at, low.shape), inside.shape)
    corner = _CORNERS @ (np.array(inside.strides) // inside.itemsize)
    return cell, _codes(inside.reshape(-1), cell, corner)


def _window(k: int) -> tuple[slice, ...]:
    return tuple(slice(1, None) if bit else slice(None, -1) for bit in _CORNERS[k])


def _codes(flat: Bools, cell: Ints, corner: Ints) -> NDArray[np.uint8]:
    return (flat[cell[:, None] + corner].astype(np.uint16) << np.arange(8, dtype=np.uint16)).sum(1).astype(np.uint8)


def _is_cell(cell: Ints, shape: tuple[int, ...]) -> Bools:
    """Whether flat indices of nodes are lowest corners of cells."""
    good = (cell >= 0) & (cell < int(np.prod(shape)))
    where = np.unravel_index(np.where(good, cell, 0), shape)
    return np.asarray(good & np.logical_and.reduce([i < n - 1 for i, n in zip(where, shape, strict=True)]))


def dual(inside: Bools, hits: list[Any]) -> tuple[Floats, Ints, Floats, Floats, Floats]:
    """Vertices (V, 3) in nodes, outward quadrilaterals (Q, 4), the means of the hits around each vertex and the
    centres of their cells (V, 3), and the normal of each quadrilateral's hit (Q, 3), zero without."""
    shape = inside.shape
    strides = [int(s) for s in np.array(inside.strides) // inside.itemsize]
    cell, _ = mixed_cells(inside)
    number = np.full(inside.size, -1, np.int32)
    number[cell] = np.arange(len(cell), dtype=np.int32)
    base = np.stack(np.unravel_index(cell, shape), 1).astype(np.float64)
    quads, normals, places = [], [], []
    for axis in range(3):
        edge, place, normal, leaving = _edges(inside, hits[axis], axis)
        u, v = strides[(axis + 1) % 3], strides[(axis + 2) % 3]
        around = np.stack([edge - u - v, edge - v, edge, edge - u], 1)
        quad = number[around].astype(np.int64)
        quads.append(np.where(leaving[:, None], quad, quad[:, ::-1]))
        normals.append(normal)
        places.append(place)
    quad, normal, place = (np.concatenate(x) for x in (quads, normals, places))
    vertices, mean = _placed(quad, place, normal, base)
    return vertices, quad, mean, base + 0.5, normal


def _edges(inside: Bools, hits: Any, axis: int) -> tuple[Ints, Floats, Floats, Bools]:
    """Edges along ``axis`` with ends of both kinds: their first node, where the surface meets them (N, 3) in nodes,
    its normal (zero without a hit), and whether they lead outside."""
    first, second = [slice(None)] * 3, [slice(None)] * 3
    first[axis], second[axis] = slice(None, -1), slice(1, None)
    low = inside[tuple(first)]
    where = np.nonzero(low != inside[tuple(second)])
    leaving = low[where]
    edge = np.ravel_multi_index(where, inside.shape)
    wanted = np.where(leaving, -1, 1)
    usable = np.flatnonzero(np.isin(hits.edge, edge))
    key = hits.edge[usable] * 2 + (hits.sign[usable] > 0)
    order = np.argsort(key, kind="stable")
    at = np.searchsorted(key[order], edge * 2 + (wanted > 0), side="right") - 1
    pick = usable[order[np.maximum(at, 0)]] if len(usable) else np.zeros(len(edge), np.int64)
    hit = (at >= 0) & (len(usable) > 0)
    if len(usable):
        hit &= (hits.edge[pick] == edge) & (hits.sign[pick] == wanted)
    place = np.stack(where, 1).astype(np.float64)
    blind = np.where(leaving, _BLIND, 1 - _BLIND)
    place[:, axis] += np.where(hit, hits.at[pick], blind) if len(usable) else blind
    normal = np.where(hit[:, None], hits.normal[pick], 0.0) if len(usable) else np.zeros((len(edge), 3))
    return edge, place, normal, leaving


def _placed(quad: Ints, place: Floats, normal: Floats, base: Floats) -> tuple[Floats, Floats]:
    """Vertices of cells: the mean of their hits, and where an edge runs through, the point nearest to all planes of
    the hits (least squares about the mean, weak directions left alone), kept within the cell."""
    count = len(base)
    cell = quad.ravel()
    where, n = np.repeat(place, 4, axis=0), np.repeat(normal, 4, axis=0)
    hits = np.maximum(np.bincount(cell, minlength=count), 1)

    def gathered(values: Floats) -> Floats:
        return np.asarray(np.bincount(cell, values, count), np.float64)

    mean = np.stack([gathered(where[:, k]) for k in range(3)], 1) / hits[:, None]
    seen = np.maximum(gathered((n != 0).any(1).astype(np.float64)), 1)
    steady = np.linalg.norm(np.stack([gathered(n[:, k]) for k in range(3)], 1), axis=1) / seen
    sharp = np.flatnonzero((steady < _SMOOTH) & (steady > 0))
    vertices = mean.copy()
    if len(sharp):
        local = np.full(count, -1, np.int64)
        local[sharp] = np.arange(len(sharp))
        mine = np.flatnonzero(local[cell] >= 0)
        owner, n, offset = local[cell[mine]], n[mine], where[mine] - mean[cell[mine]]
        vertices[sharp] += _nearest_to_planes(owner, n, offset, len(sharp))
    inner = base + _INSET, base + 1 - _INSET
    return np.clip(vertices, *inner), np.clip(mean, *inner)


def _nearest_to_planes(owner: Ints, normal: Floats, offset: Floats, count: int) -> Floats:
    """Least-squares points (count, 3) for the planes through offset (N, 3) with normals (N, 3), by owner."""
    height = np.einsum("ij,ij->i", normal, offset)
    matrix = np.empty((count, 3, 3))
    for i in range(3):
        for j in range(i, 3):
            matrix[:, i, j] = matrix[:, j, i] = np.bincount(owner, normal[:, i] * normal[:, j], count)
    right = np.stack([np.bincount(owner, normal[:, i] * height, count) for i in range(3)], 1)
    value, vector = np.linalg.eigh(matrix)
    strong = value > _WEAK * value[:, -1:]
    inverse = np.where(strong, 1 / np.where(strong, value, 1), 0)
    along = np.einsum("nji,nj->ni", vector, right) * inverse
    return np.asarray(np.einsum("nij,nj->ni", vector, along))


def triangulated(vertices: Floats, quads: Ints, normals: Floats) -> Ints:
    """Two triangles a quadrilateral, along the diagonal whose triangles look most the way of the hit's normal."""
    p = vertices[quads]
    size = np.linalg.norm(normals, axis=1) > 0

    def unit(a: int, b: int, c: int) -> Floats:
        n = np.cross(p[:, b] - p[:, a], p[:, c] - p[:, a])
        return np.asarray(n / np.maximum(np.linalg.norm(n, axis=1, keepdims=True), 1e-300))

    def worst(one: Floats, two: Floats) -> Floats:
        aim = np.where(size[:, None], normals, one + two)
        return np.minimum(np.einsum("ij,ij->i", one, aim), np.einsum("ij,ij->i", two, aim))

    straight = worst(unit(0, 1, 2), unit(0, 2, 3)) >= worst(unit(1, 2, 3), unit(1, 3, 0))
    order = np.where(straight[:, None], [0, 1, 2, 0, 2, 3], [1, 2, 3, 1, 3, 0])
    return np.take_along_axis(quads, order, 1).reshape(-1, 3)
