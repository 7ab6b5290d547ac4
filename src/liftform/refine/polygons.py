"""Meshes of quadrilaterals and triangles: pairing triangles, subdividing, choosing diagonals, and their statistics."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..assets import Mesh
from . import surface

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

#: Quads worse than this (1 is a square, 0 has a straight or reflex corner, or is folded) are not made.
_WORST = 0.08
#: Triangles visited in the search for a way to pair a left-over one.
_SEARCH = 400


@dataclass(frozen=True)
class Polygons:
    """points (P, 3); quads (Q, 4) and triangles (T, 3) of their indices, counter-clockwise seen from outside."""

    points: Floats
    quads: Ints
    triangles: Ints

    @property
    def count(self) -> int:
        """Number of polygons."""
        return len(self.quads) + len(self.triangles)

    @property
    def halves(self) -> Ints:
        """All faces as triangles (F, 3), quads first, their two halves (a, b, c) and (a, c, d) one after the other."""
        return np.concatenate([self.quads[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3), self.triangles])

    def mesh(self, name: str = "object") -> Mesh:
        """A Mesh of positions alone, quads first; unused points dropped."""
        faces, old = surface.compact(self.halves, len(self.points))
        return Mesh(self.points[old].astype(np.float32), faces, quads=len(self.quads), name=name)

    def moved(self, points: Floats) -> Polygons:
        """The same polygons on other points."""
        return Polygons(points, self.quads, self.triangles)

    def best_halves(self) -> Polygons:
        """Quads begun at the corner whose diagonal folds them less, where that is no edge of anything else."""
        a, b, c, d = (self.points[self.quads[:, k]] for k in range(4))
        wanted = _agreement(b, c, d, a) > _agreement(a, b, c, d) + 1e-3
        start, end = surface.half_edges(self.halves)
        across = self.quads[:, [1, 3]]
        keys = [np.minimum(x, y) * len(self.points) + np.maximum(x, y) for x, y in ((start, end), across.T)]
        _, index, uses = np.unique(
            np.concatenate([np.unique(keys[0]), keys[1]]), return_inverse=True, return_counts=True
        )
        free = uses[index.reshape(-1)][-len(keys[1]) :] == 1 if len(keys[1]) else np.zeros(0, bool)
        turned = (wanted & free)[:, None]
        return Polygons(self.points, np.where(turned, np.roll(self.quads, -1, 1), self.quads), self.triangles)


def _agreement(a: Floats, b: Floats, c: Floats, d: Floats) -> Floats:
    """Cosine between the halves (a, b, c) and (a, c, d), less where one is thin."""
    n, m = np.cross(b - a, c - a), np.cross(c - a, d - a)
    longest = np.linalg.norm(n, axis=1) * np.linalg.norm(m, axis=1)
    return np.asarray(np.einsum("ij,ij->i", n, m) / np.maximum(longest, 1e-300))


def squareness(points: Floats, quads: Ints) -> Floats:
    """(Q,) in [0, 1]: 1 for a flat rectangle, 0 once a corner is straight or reflex, or the halves face apart."""
    p = points[quads]
    ahead, behind = np.roll(p, -1, 1) - p, np.roll(p, 1, 1) - p
    cross = np.cross(ahead, behind)
    normal = cross.sum(1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-300)
    sine = np.einsum("ijk,ik->ij", cross, normal)
    lengths = np.linalg.norm(ahead, axis=2) * np.linalg.norm(behind, axis=2)
    return np.asarray(np.clip((sine / np.maximum(lengths, 1e-300)).min(1), 0, 1))


def paired(points: Floats, triangles: Ints) -> Polygons:
    """Triangles joined in pairs to quads, the squarest first; left-over ones find a partner by moving quads aside
    along a path of pairs (augmenting paths; few triangles stay alone)."""
    a, b, quads = _joints(triangles)
    if not len(quads):
        return Polygons(points, np.zeros((0, 4), np.int64), triangles)
    value = squareness(points, quads)
    order = np.argsort(-value, kind="stable")
    order = order[value[order] > _WORST]
    partner, via = _greedy(order, a, b, len(triangles))
    _augment(partner, via, a, b, value)
    alone = np.flatnonzero(via < 0)
    return Polygons(points, quads[np.unique(via[via >= 0])], triangles[alone])


def _joints(triangles: Ints) -> tuple[Ints, Ints, Ints]:
    """Neighbours a and b (E,) across every inner edge, and the quad (E, 4) that they are together."""
    h, t = surface.pairs(triangles)
    flat = triangles.ravel()
    start, tip = flat[h - h % 3 + (h + 2) % 3], flat[t - t % 3 + (t + 2) % 3]
    return h // 3, t // 3, np.stack([flat[h], tip, flat[t], start], 1)


def _greedy(order: Ints, a: Ints, b: Ints, count: int) -> tuple[Ints, Ints]:
    """Partner of each triangle and the edge between them, -1 where alone."""
    partner, via = np.full(count, -1, np.int64), np.full(count, -1, np.int64)
    for e, i, j in zip(order.tolist(), a[order].tolist(), b[order].tolist(), strict=True):
        if via[i] < 0 and via[j] < 0:
            partner[i], partner[j] = j, i
            via[i] = via[j] = e
    return partner, via


def _augment(partner: Ints, via: Ints, a: Ints, b: Ints, value: Floats) -> None:
    """Pair left-over triangles: the cheapest alternating path to another one, pairs along it exchanged."""
    near: dict[int, list[tuple[int, int]]] = {}
    for e in np.flatnonzero(value > _WORST).tolist():
        near.setdefault(int(a[e]), []).append((int(b[e]), e))
        near.setdefault(int(b[e]), []).append((int(a[e]), e))
    for lonely in np.flatnonzero(via < 0).tolist():
        if via[lonely] < 0:
            _exchange(_path(lonely, near, partner, value), partner, via)


def _path(
    start: int, near: dict[int, list[tuple[int, int]]], partner: Ints, value: Floats
) -> list[tuple[int, int, int]]:
    """Steps (triangle, new partner, edge) of the cheapest path from a lonely triangle to another, or []."""
    reached = {start}
    back: dict[int, tuple[int, int, int]] = {}
    queue, visited = [(0.0, start)], 0
    while queue and visited < _SEARCH:
        cost, at = heapq.heappop(queue)
        visited += 1
        for other, edge in near.get(at, []):
            if other == partner[at] or other == start:
                continue
            then = int(partner[other])
            if then < 0:
                steps = [(at, other, edge)]
                while at != start:
                    before = back[at]
                    steps.append(before)
                    at = before[0]
                return steps
            if then in reached or other in reached:  # a pair is passed once, so that no triangle is used twice
                continue
            reached.add(then)
            back[then] = (at, other, edge)
            heapq.heappush(queue, (cost + 1.5 - float(value[edge]), then))
    return []


def _exchange(steps: list[tuple[int, int, int]], partner: Ints, via: Ints) -> None:
    for i, j, edge in steps:
        partner[i], partner[j] = j, i
        via[i] = via[j] = edge


def subdivided(polygons: Polygons) -> Polygons:
    """Every polygon of n corners as n quads, by the middles of its edges and of its diagonal (of a triangle, its own):
    quads alone remain, and their halves lie on the halves of before."""
    points, kinds = polygons.points, (polygons.quads, polygons.triangles)
    ends = np.concatenate([np.stack([f.ravel(), np.roll(f, -1, 1).ravel()], 1) for f in kinds])
    pairs, edge = np.unique(np.sort(ends, 1), axis=0, return_inverse=True)
    edge = edge.reshape(-1) + len(points)
    middles = points[pairs].mean(1)
    centres = [points[polygons.quads[:, [0, 2]]].mean(1), points[polygons.triangles].mean(1)]
    out, first_edge, first_centre = [], 0, len(points) + len(middles)
    for faces, centre in zip(kinds, centres, strict=True):
        own = edge[first_edge : first_edge + faces.size].reshape(faces.shape)
        middle = np.broadcast_to((first_centre + np.arange(len(faces)))[:, None], faces.shape)
        out.append(np.stack([faces, own, middle, np.roll(own, 1, 1)], -1).reshape(-1, 4))
        first_edge += faces.size
        first_centre += len(centre)
    return Polygons(np.concatenate([points, middles, *centres]), np.concatenate(out), np.zeros((0, 3), np.int64))


@dataclass(frozen=True)
class Regularity:
    """quads: share of the polygons. valence4: share of the vertices inside that join four edges. aspect, aspect_p95:
    longest over shortest edge of the quads, mean and 95 % quantile. squareness: mean, see ``squareness``."""

    quads: float
    valence4: float
    aspect: float
    aspect_p95: float
    squareness: float


def regularity(mesh: Mesh) -> Regularity:
    """Figures of a mesh's quads (vertices doubled for seams are one); NaN where it has none."""
    from ..topology import merge_map

    new = merge_map(mesh.vertices)[1]
    quads, triangles = (new[faces].astype(np.int64) for faces in mesh.polygons)
    ends = [np.stack([f.ravel(), np.roll(f, -1, 1).ravel()], 1) for f in (quads, triangles)]
    edges, uses = np.unique(np.sort(np.concatenate(ends), 1), axis=0, return_counts=True)
    valence = np.bincount(edges.ravel())
    inside = valence > 0
    inside[edges[uses == 1]] = False
    share = len(quads) / max(len(quads) + len(triangles), 1)
    regular = float((valence[inside] == 4).mean()) if inside.any() else float("nan")
    if not len(quads):
        return Regularity(share, regular, float("nan"), float("nan"), float("nan"))
    points = mesh.vertices.astype(np.float64)
    p = points[mesh.polygons[0]]
    sides = np.linalg.norm(np.roll(p, -1, 1) - p, axis=2)
    aspect = sides.max(1) / np.maximum(sides.min(1), 1e-300)
    square = squareness(points, mesh.polygons[0].astype(np.int64))
    return Regularity(share, regular, float(aspect.mean()), float(np.quantile(aspect, 0.95)), float(square.mean()))
