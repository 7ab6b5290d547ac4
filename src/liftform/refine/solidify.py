"""The solid road of repair: a surface remade from its winding number on a grid, sharp edges kept, always closed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import topology
from . import contour, surface
from .raster import rasterize
from .weld import flat
from .workpiece import Bools, Floats, Ints

#: Cells along the longest side unless told otherwise.
RESOLUTION = 192
#: Free cells around the surface; the grid is shifted by an odd share of a cell so that level faces miss its nodes.
_MARGIN, _SHIFT = 3, 0.3719
#: Sides of a wall: hits between the same two nodes whose normals' cosine is below this.
_WALL = -0.8
#: Faces around a corner cross only where one of them leans this far from their mean (cosine).
_FOLD = 0.6
#: Pieces of so few nodes are crumbs.
_CRUMB = 8


@dataclass(frozen=True)
class Crossings:
    """Where the lines of the grid along one axis meet the surface, in their order.

    edge (N,): flat index of the node before the hit. at (N,): share of the way to the next node. sign (N,): +1 where
    the line enters. normal (N, 3): unit.
    """

    edge: Ints
    at: Floats
    sign: NDArray[np.int8]
    normal: Floats


def solidified(
    points: Floats, faces: Ints, resolution: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.int32], dict[str, Any]]:
    """A closed manifold around all with a winding number above one half, and figures about it; no faces if nothing is.

    points (P, 3), faces (F, 3) outward. The winding number is counted along the lines of a grid in its three
    directions and decided by majority, so that small holes do no harm. Dual contouring (Ju et al. 2002) of the exact
    hits keeps sharp edges; walls thinner than a cell become about half a cell thick; features smaller than a cell go.
    """
    cells = resolution or RESOLUTION
    used = points[surface.used(faces, len(points))]
    low, extent = used.min(0), np.ptp(used, axis=0)
    step = float(extent.max()) / cells
    shape = tuple(int(n) for n in np.ceil(extent / step).astype(int) + 2 * _MARGIN)
    grid = (points - low) / step + _MARGIN - _SHIFT
    hits = [crossings(grid, faces, shape, axis) for axis in range(3)]
    votes = np.zeros(shape, np.int8)
    for axis, one in enumerate(hits):
        votes += _inside(one, shape, axis)
    inside = votes >= 2
    _keep_walls(inside, hits)
    contour.well_composed(inside)
    _tidied(inside)
    contour.well_composed(inside)
    if not inside.any():
        return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32), {"cells": cells}
    placed, triangles, moved = _untangled(*contour.dual(inside, hits))
    out = ((placed + 0.5 - (_MARGIN - _SHIFT)) * step + low).astype(np.float32)
    facts = {"cells": cells, "cell": step, "crossings_untied": moved}
    return out, triangles.astype(np.int32), facts


def crossings(grid: Floats, faces: Ints, shape: tuple[int, ...], axis: int) -> Crossings:
    """Hits of the grid's lines along ``axis``; grid (P, 3) in cells, node i of an axis at i + 0.5."""
    u, v = (axis + 1) % 3, (axis + 2) % 3
    corner = grid[faces]
    face, pixel, weight = rasterize(corner[:, :, [u, v]], shape[u], shape[v])
    depth = np.einsum("ij,ij->i", weight.astype(np.float64), corner[face, :, axis])
    normal = surface.cross_products(grid, faces)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-300)
    node = np.floor(depth - 0.5).astype(np.int64)
    good = (node >= 0) & (node < shape[axis] - 1)
    face, pixel, node, depth = face[good], pixel[good].astype(np.int64), node[good], depth[good]
    index = [np.zeros(0, np.int64)] * 3
    index[axis], index[u], index[v] = node, pixel % shape[u], pixel // shape[u]
    edge = np.ravel_multi_index(tuple(index), shape)
    order = np.lexsort((depth, edge))
    sign = np.where(normal[face, axis] < 0, 1, -1).astype(np.int8)
    return Crossings(edge[order], (depth - 0.5 - node)[order], sign[order], normal[face[order]])


def _inside(hits: Crossings, shape: tuple[int, ...], axis: int) -> NDArray[np.int8]:
    """1 at the nodes whose winding number along the lines of ``axis`` is above one half."""
    change = np.zeros(shape, np.int16)
    stride = int(np.prod(shape[axis + 1 :]))
    np.add.at(change.reshape(-1), hits.edge + stride, hits.sign)
    np.cumsum(change, axis=axis, out=change)
    return (change > 0).astype(np.int8)


def _keep_walls(inside: Bools, hits: list[Crossings]) -> None:
    """Where a line enters and leaves a thin wall between two free nodes, the nearer node becomes the wall's."""
    flat = inside.reshape(-1)
    for axis, one in enumerate(hits):
        stride = int(np.prod(inside.shape[axis + 1 :]))
        i = np.flatnonzero((one.edge[1:] == one.edge[:-1]) & (one.sign[:-1] > 0) & (one.sign[1:] < 0))
        opposite = np.einsum("ij,ij->i", one.normal[i], one.normal[i + 1]) < _WALL
        free = ~flat[one.edge[i]] & ~flat[one.edge[i] + stride]
        i = i[opposite & free]
        middle = (one.at[i] + one.at[i + 1]) / 2
        flat[one.edge[i] + np.where(middle > 0.5, stride, 0)] = True


def _tidied(inside: Bools) -> None:
    """Free nodes that cannot be reached from the border become part of the solid, and crumbs go, in place."""
    from scipy.ndimage import label

    regions, number = label(~inside)
    if number > 1:
        inside[regions != regions[0, 0, 0]] = True
    regions, number = label(inside)
    if number > 1:
        size = np.bincount(regions.ravel())
        inside[(size <= min(_CRUMB, size[1:].max() - 1))[regions]] = False


def _untangled(
    vertices: Floats, quads: Ints, mean: Floats, centre: Floats, normals: Floats
) -> tuple[Floats, Ints, int]:
    """Vertices and triangles without crossings and flat faces: where there are some, vertices go back to the mean of
    their hits, then towards the centres of their cells, where nothing can cross. Crossings are looked for at folds."""
    moved = 0
    triangles = contour.triangulated(vertices, quads, normals)
    for turn in range(8):
        near = np.flatnonzero(_folded(vertices, triangles))
        found = topology.self_intersections(vertices.astype(np.float32), triangles[near])
        bad = near[np.unique(found)] if found is not None else near[:0]
        bad = np.union1d(bad, np.flatnonzero(flat(vertices, triangles, 1.0)))
        if not len(bad):
            break
        back = np.unique(triangles[bad])
        if turn > 2:
            touched = np.zeros(len(vertices), bool)
            touched[back] = True
            back = np.unique(triangles[touched[triangles].any(1)])
        moved += len(back)
        vertices = vertices.copy()
        vertices[back] = mean[back] if turn == 0 else (vertices[back] + centre[back]) / 2
        triangles = contour.triangulated(vertices, quads, normals)
    return vertices, triangles, moved


def _folded(vertices: Floats, triangles: Ints) -> Bools:
    """Faces (F,) with a corner around which the faces look very different ways."""
    normal = surface.cross_products(vertices, triangles)
    unit = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-300)
    mean = np.zeros_like(vertices)
    for k in range(3):
        mean[:, k] = sum(np.bincount(triangles[:, i], normal[:, k], len(vertices)) for i in range(3))
    mean /= np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-300)
    bent = np.zeros(len(vertices), bool)
    for i in range(3):
        bent[triangles[np.einsum("ij,ij->i", unit, mean[triangles[:, i]]) < _FOLD, i]] = True
    return np.asarray(bent[triangles].any(1))
