"""Cutting a closed surface into charts that lie flat under projection: by direction, then split where they overlap."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import surface
from .packing import Layout, outlines
from .raster import rasterize

Floats = NDArray[np.float64]
Ints = NDArray[np.integer]

#: A face may lie in a chart whose plane it meets at up to acos of this (its texels are then that much sparser).
_STEEPEST = 0.2
#: How much more two neighbours like to share a direction than to follow their own normals.
_COHERENCE = 0.6
#: Advantage of the first direction, towards the picture, so that what it shows lies in few large charts.
_BONUS = np.array([0.12, 0, 0, 0, 0, 0])
#: Charts below this share of the surface try to join a neighbour.
_SMALL = 0.004
#: Side of the square, in texels, as which the whole surface is drawn to look for overlaps.
_TEST_SIZE = 700


def segmented(vertices: NDArray[np.floating], faces: NDArray[np.integer], quads: int = 0) -> Layout:
    """Charts of a closed surface, laid flat at one scale.

    Inside a chart no face is turned over and no two overlap (seen at about a thousandth of the surface's extent);
    faces keep their orientation seen from outside, with the second axis pointing down as in uv. Both halves of each of
    the first ``quads`` quadrilaterals lie in one chart; only one folded by more than about a right angle overlaps.
    """
    normals, area = _normals(vertices, faces)
    graph = _Neighbours.of(vertices, faces, quads)
    texel = float(np.sqrt(area.sum())) / _TEST_SIZE
    label = _directions(normals, area, graph)
    chart = _merged_small(graph.parts(label), normals, area, graph)
    untested = np.ones(len(faces), bool)
    flat = np.zeros((len(faces), 3, 2))
    touched = []
    for attempt in range(16):
        chart, plane = _without_steep(chart, normals, area, graph)
        which = np.flatnonzero(untested)
        local = np.unique(chart[which], return_inverse=True)[1]
        flat[which] = _laid(vertices, faces[which], plane[chart[which]], local) / texel
        face, x, y, weight = _drawn(flat[which], local)
        height = np.einsum("ijk,ik->ij", vertices[faces[which]], plane[chart[which]])
        above, below = _overlaps(face, x, y, weight, local, height)
        failed = np.isin(chart, chart[which[above]])
        sound = ~failed[which[face]]
        touched.append(np.stack([which[face[sound]], x[sound], y[sound]], 1))
        if not len(above):
            break
        untested = failed
        chart = _split(chart, which[above], which[below], graph, vertices, faces, attempt)
    inside = np.concatenate(touched)
    inside[:, 0] = chart[inside[:, 0]]
    return Layout(chart, flat, np.concatenate([inside, outlines(flat, graph.borders(chart), chart)]))


class _Neighbours:
    """Faces across each inner edge: a, b (E,) and the edge's length; the first 2 * quads faces are halves of quads."""

    def __init__(self, half_a: Ints, half_b: Ints, length: Floats, count: int, quads: int) -> None:
        self.half_a, self.half_b, self.length, self.count, self.quads = half_a, half_b, length, count, quads
        self.a, self.b = half_a // 3, half_b // 3

    @classmethod
    def of(cls, vertices: NDArray[np.floating], faces: NDArray[np.integer], quads: int) -> _Neighbours:
        h, t = surface.pairs(faces)
        start, end = surface.half_edges(faces)
        length = np.linalg.norm(vertices[start[h]].astype(np.float64) - vertices[end[h]], axis=1)
        return cls(h, t, length, len(faces), quads)

    def even(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values (F, ...) of faces, those of both halves of a quad the larger of the two."""
        out = values.copy()
        first, second = slice(0, 2 * self.quads, 2), slice(1, 2 * self.quads, 2)
        out[first] = out[second] = np.maximum(values[first], values[second])
        return out

    def borders(self, chart: Ints) -> NDArray[np.bool_]:
        """Which edges (F, 3), from corner i to the next, lie between charts."""
        border = np.ones(3 * self.count, bool)
        inner = chart[self.a] == chart[self.b]
        border[self.half_a[inner]] = border[self.half_b[inner]] = False
        return border.reshape(-1, 3)

    def parts(self, label: Ints) -> Ints:
        """Connected regions of equal label, numbered from 0."""
        from scipy.sparse import coo_matrix
        from scipy.sparse.csgraph import connected_components

        same = label[self.a] == label[self.b]
        graph = coo_matrix((np.ones(same.sum(), np.int8), (self.a[same], self.b[same])), shape=(self.count,) * 2)
        return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def _normals(vertices: NDArray[np.floating], faces: NDArray[np.integer]) -> tuple[Floats, Floats]:
    cross = surface.cross_products(vertices, faces)
    double_area = np.linalg.norm(cross, axis=1)
    return cross / np.maximum(double_area, 1e-300)[:, None], double_area / 2


def _directions(normals: Floats, area: Floats, graph: _Neighbours) -> Ints:
    """One of six directions per face, (F,): near its normal, and mostly that of its neighbours.

    Minimises the cost of labels and of borders between them by iterated conditional modes (Besag 1986), each half of
    the faces in turn.
    """
    fit = normals @ _axes(normals, area).T
    cost = graph.even(1 - fit - _BONUS + 4.0 * (fit < _STEEPEST))
    label: Ints = cost.argmin(1)
    rim = np.bincount(np.r_[graph.a, graph.b], np.r_[graph.length, graph.length], graph.count)
    share_a, share_b = graph.length / rim[graph.a], graph.length / rim[graph.b]
    half = np.arange(graph.count) % 2
    half[: 2 * graph.quads] = np.arange(2 * graph.quads) // 2 % 2
    for turn in range(24):
        near_a, near_b = label[graph.b], label[graph.a]
        agree = [
            np.bincount(graph.a, share_a * (near_a == k), graph.count)
            + np.bincount(graph.b, share_b * (near_b == k), graph.count)
            for k in range(6)
        ]
        best = (cost - 2 * _COHERENCE * np.stack(agree, 1)).argmin(1)
        label = graph.even(np.where(half == turn % 2, best, label))
    return label


def _axes(normals: Floats, area: Floats) -> Floats:
    """Six unit directions (6, 3): the front, and five that started along the axes and moved to the object's sides."""
    axes = np.array([[0, 0, 1], [0, 0, -1], [1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]], np.float64)
    for _ in range(4):
        near = (normals @ axes.T + _BONUS).argmax(1)
        for k in range(1, 6):
            total = (normals[near == k] * area[near == k, None]).sum(0)
            length = np.linalg.norm(total)
            axes[k] = total / length if length > 1e-12 else axes[k]
    return axes


def _merged_small(chart: Ints, normals: Floats, area: Floats, graph: _Neighbours) -> Ints:
    """Small charts join the neighbour with the longest common border whose plane they do not meet too steeply."""
    for _ in range(4):
        size = np.bincount(chart, area)
        plane = _planes(chart, normals, area)
        a, b = chart[graph.a], chart[graph.b]
        outer = a != b
        pair = np.stack([np.r_[a[outer], b[outer]], np.r_[b[outer], a[outer]]], 1)
        border, index = np.unique(pair, axis=0, return_inverse=True)
        length = np.bincount(index.reshape(-1), np.r_[graph.length[outer], graph.length[outer]])
        small = (size < _SMALL * area.sum())[border[:, 0]] & (size[border[:, 0]] < size[border[:, 1]])
        border, length = border[small], length[small]
        fits = _worst_fit(border, chart, normals, plane) > _STEEPEST
        border, length = border[fits], length[fits]
        if not len(border):
            break
        order = np.lexsort((-length, border[:, 0]))
        which, first = np.unique(border[order, 0], return_index=True)
        target = np.arange(len(size))
        target[which] = border[order[first], 1]
        # a chart that receives stays itself this round
        target = np.where(np.isin(np.arange(len(size)), target[which]), np.arange(len(size)), target)
        chart = np.unique(target[chart], return_inverse=True)[1]
    return chart


def _worst_fit(border: Ints, chart: Ints, normals: Floats, plane: Floats) -> Floats:
    """For pairs (chart, neighbour): the smallest cosine between the chart's faces and the neighbour's plane."""
    order = np.argsort(chart, kind="stable")
    first = np.searchsorted(chart[order], np.arange(len(plane) + 1))
    return np.array([(normals[order[first[i] : first[i + 1]]] @ plane[j]).min() for i, j in border])


def _planes(chart: Ints, normals: Floats, area: Floats) -> Floats:
    """Unit mean normal of each chart (C, 3)."""
    total = np.stack([np.bincount(chart, normals[:, k] * area) for k in range(3)], 1)
    return np.asarray(total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-300))


def _without_steep(chart: Ints, normals: Floats, area: Floats, graph: _Neighbours) -> tuple[Ints, Floats]:
    """Charts after faces too steep for their chart's plane were cut off into charts of their own, until none is."""
    while True:
        plane = _planes(chart, normals, area)
        steep = graph.even(np.einsum("ij,ij->i", normals, plane[chart]) < 0.5 * _STEEPEST)
        before, chart = chart, graph.parts(2 * chart + steep) if steep.any() else chart
        if not steep.any() or chart.max() == before.max():
            return before, plane


def _laid(vertices: NDArray[np.floating], faces: NDArray[np.integer], plane: Floats, chart: Ints) -> Floats:
    """Corners of every face (F, 3, 2) on its plane: right and down seen from outside, turned where that saves room.

    Each chart starts at (0, 0).
    """
    down = np.where(np.abs(plane[:, 1:2]) > 0.9, (0.0, 0.0, 1.0), (0.0, -1.0, 0.0))
    down = down - np.einsum("ij,ij->i", down, plane)[:, None] * plane
    down /= np.linalg.norm(down, axis=1, keepdims=True)
    right = np.cross(plane, down)
    p = vertices[faces].astype(np.float64)
    flat = np.stack([np.einsum("ijk,ik->ij", p, right), np.einsum("ijk,ik->ij", p, down)], 2)
    angle = _compact_angles(flat, chart)[chart]
    c, s = np.cos(angle)[:, None], np.sin(angle)[:, None]
    flat = np.stack([c * flat[..., 0] - s * flat[..., 1], s * flat[..., 0] + c * flat[..., 1]], 2)
    low = np.stack([_per_chart(np.minimum, flat[:, :, k].min(1), chart) for k in range(2)], 1)
    return np.asarray(flat - low[chart][:, None])


def _compact_angles(flat: Floats, chart: Ints) -> Floats:
    """Angle per chart whose bounding box is smallest; 0 unless it saves a seventh."""
    order = np.argsort(chart, kind="stable")
    first = np.searchsorted(chart[order], np.arange(chart.max() + 1))
    points = flat[order].reshape(-1, 2)
    angles = np.arange(12) * (np.pi / 24)
    box = []
    for angle in angles:
        turned = points @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        extent = np.maximum.reduceat(turned, 3 * first) - np.minimum.reduceat(turned, 3 * first)
        box.append(extent.prod(1))
    area = np.stack(box, 1)
    best = area.argmin(1)
    saves = area[np.arange(len(area)), best] < 0.86 * area[:, 0]
    return np.asarray(np.where(saves, angles[best], 0.0))


def _drawn(flat: Floats, chart: Ints) -> tuple[Ints, Ints, Ints, NDArray[np.float32]]:
    """face, x, y (N,) of every texel covered, in the frame of its chart, and barycentric weights (N, 3)."""
    high = np.stack([_per_chart(np.maximum, flat[:, :, k].max(1), chart) for k in range(2)], 1)
    corner, width, rows = _shelves(np.ceil(high).astype(np.int64) + 1)
    face, pixel, weight = rasterize(flat + corner[chart][:, None], width, rows)
    y, x = np.divmod(pixel, width)
    return face, x - corner[chart[face], 0], y - corner[chart[face], 1], weight


def _overlaps(
    face: Ints, x: Ints, y: Ints, weight: NDArray[np.float32], chart: Ints, height: Floats
) -> tuple[Ints, Ints]:
    """Faces that lie above others of their chart, and those others: (N,) and (N,), in pairs."""
    key = (chart[face] * (y.max(initial=0) + 1) + y) * (x.max(initial=0) + 1) + x
    order = np.argsort(key, kind="stable")
    key = key[order]
    same = np.flatnonzero(key[1:] == key[:-1])
    i, j = order[same], order[same + 1]
    at_i, at_j = (np.einsum("ij,ij->i", weight[k], height[face[k]]) for k in (i, j))
    swap = at_i < at_j
    return face[np.where(swap, j, i)], face[np.where(swap, i, j)]


def _per_chart(function: np.ufunc, values: Floats, chart: Ints) -> Floats:
    order = np.argsort(chart, kind="stable")
    first = np.searchsorted(chart[order], np.arange(chart.max() + 1))
    return np.asarray(function.reduceat(values[order], first))


def _shelves(size: Ints) -> tuple[Ints, int, int]:
    """Corners of boxes (C, 2) set side by side on shelves, and the width and height of it all."""
    width = max(int(size[:, 0].max()), 2048)
    corner = np.empty_like(size)
    x = y = tall = 0
    for i in np.argsort(-size[:, 1], kind="stable"):
        if x + size[i, 0] > width:
            x, y, tall = 0, y + tall, 0
        corner[i] = x, y
        x, tall = x + int(size[i, 0]), max(tall, int(size[i, 1]))
    return corner, width, y + tall


def _split(
    chart: Ints,
    above: Ints,
    below: Ints,
    graph: _Neighbours,
    vertices: NDArray[np.floating],
    faces: NDArray[np.integer],
    attempt: int,
) -> Ints:
    """Charts cut between faces that lie above and those below: all join the nearer of them along the surface."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import dijkstra

    upper = np.bincount(above, minlength=graph.count) - np.bincount(below, minlength=graph.count)
    involved = np.unique(np.r_[above, below])
    if attempt >= 6:  # stubborn: the upper faces leave by themselves
        return graph.parts(2 * chart + graph.even(np.isin(np.arange(graph.count), above)))
    inside = chart[graph.a] == chart[graph.b]
    centre = vertices[faces].astype(np.float64).mean(1)
    a, b = graph.a[inside], graph.b[inside]
    length = np.linalg.norm(centre[a] - centre[b], axis=1) + 1e-12
    network = coo_matrix((np.r_[length, length], (np.r_[a, b], np.r_[b, a])), shape=(graph.count,) * 2).tocsr()
    _, _, source = dijkstra(network, indices=involved, min_only=True, return_predecessors=True)
    side = np.where(source >= 0, upper[np.maximum(source, 0)] > 0, False)
    return graph.parts(2 * chart + graph.even(side))
