"""Loose corners welded, T-junctions closed, and faces without area taken out without tearing the surface."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import surface
from .workpiece import Bools, Floats, Ints, Workpiece

#: Tolerances, as shares of the diagonal, tried one after the other on what is still open.
_STEPS = (1e-6, 1e-5, 1e-4, 5e-4)
#: A corner never moves further than this share of its shortest edge.
_REACH = 0.45
#: Edges shorter than this share of the diagonal are collapsed where a face has no area.
_SHORT = 1e-5
#: How far a corner is moved off an edge that it lies on, as a share of the diagonal.
_NUDGE = 1e-5
#: Borders of more edges than this are no T-junctions, but soup.
_MOST_BORDERS = 200_000


def welded(work: Workpiece, tolerance: float) -> Workpiece:
    """Corners of open edges made one with those within ``tolerance`` (share of the diagonal), the nearest first."""
    for share in (*(s for s in _STEPS if s < tolerance), tolerance):
        rim = rims(work.faces)
        if not len(rim):
            break
        work = _merged(work, rim, share * work.size)
    return work


def rims(faces: Ints) -> Ints:
    """Points on edges of a single face, ascending."""
    edge, _, uses = surface.undirected(faces)
    start, end = surface.half_edges(faces)
    open_ = uses[edge] == 1
    return surface.used(np.r_[start[open_], end[open_]], len(start) and int(faces.max()) + 1)


def _merged(work: Workpiece, rim: Ints, tolerance: float) -> Workpiece:
    """Rim corners within tolerance made one, unless that would put a third face at an edge."""
    from scipy.spatial import cKDTree

    reach = np.minimum(_REACH * shortest_edges(work), tolerance)[rim]
    near = cKDTree(work.points[rim], balanced_tree=False).query_pairs(tolerance, output_type="ndarray")
    gap = np.linalg.norm(work.points[rim[near[:, 0]]] - work.points[rim[near[:, 1]]], axis=1)
    near = rim[near[gap <= np.minimum(reach[near[:, 0]], reach[near[:, 1]])]]
    if not len(near):
        return work
    crowded = _crowded_points(work.faces, len(work.points))
    into = _lowest(near, len(work.points))
    faces = without_duplicates(work.with_(faces=into[work.faces])).faces
    spoilt = _crowded_points(faces, len(work.points)) & ~crowded
    if spoilt.any():
        into = np.where(spoilt[into], np.arange(len(into)), into)
    work = work.with_(faces=into[work.faces])
    return work.kept(~_repeated(work.faces)).compacted()


def _lowest(joined: Ints, count: int) -> Ints:
    """For each of ``count`` points the lowest one that pairs (N, 2) join it with."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    graph = coo_matrix((np.ones(len(joined), np.int8), joined.T), shape=(count, count))
    _, label = connected_components(graph, directed=False)
    first = np.full(count, count, np.int64)
    np.minimum.at(first, label, np.arange(count))
    return first[label]


def _crowded_points(faces: Ints, count: int) -> Bools:
    """Points (count,) at edges of three and more faces."""
    edge, _, uses = surface.undirected(faces)
    start, end = surface.half_edges(faces)
    many = uses[edge] > 2
    out = np.zeros(count, bool)
    out[start[many]] = True
    out[end[many]] = True
    return out


def shortest_edges(work: Workpiece) -> Floats:
    """Length (P,) of the shortest edge at each point, infinite without."""
    start, end = surface.half_edges(work.faces)
    length = np.linalg.norm(work.points[start] - work.points[end], axis=1)
    out = np.full(len(work.points), np.inf)
    np.minimum.at(out, np.r_[start, end], np.r_[length, length])
    return out


def _repeated(faces: Ints) -> Bools:
    """Faces with the same point twice."""
    a, b, c = faces.T
    return np.asarray((a == b) | (b == c) | (c == a))


def without_duplicates(work: Workpiece) -> Workpiece:
    """Without faces that repeat a corner, and one of every set of faces on the same three points."""
    work = work.kept(~_repeated(work.faces))
    a, b, c = np.sort(work.faces, axis=1).T
    total = np.int64(len(work.points))
    order = np.lexsort((c, a * total + b))
    same = np.zeros(len(order), bool)
    same[1:] = (np.diff(a[order]) == 0) & (np.diff(b[order]) == 0) & (np.diff(c[order]) == 0)
    if not same.any():
        return work
    repeats = np.zeros(len(order), bool)
    repeats[order[same]] = True  # lexsort is stable: the first of a set stays
    return work.kept(~repeats)


def flat(points: Floats, faces: Ints, size: float) -> Bools:
    """Faces (F,) without area as storage and ``topology.health`` see it, with some margin."""
    a, b, c = surface.corners(points, faces)
    normal = np.cross(b - a, c - a)
    doubled = np.sqrt(np.einsum("ij,ij->i", normal, normal))
    longest = np.maximum.reduce([np.einsum("ij,ij->i", q - p, q - p) for p, q in ((a, b), (b, c), (c, a))])
    altitude = 3e-7 * size
    return np.asarray((doubled <= 3e-6 * longest) | (doubled <= altitude * np.sqrt(longest)))


def without_degenerate(work: Workpiece, rounds: int = 12) -> Workpiece:
    """Needles are collapsed; a flat face hands its middle corner to the neighbour behind its longest edge."""
    work = without_duplicates(work)
    for turn in range(rounds):
        bad = flat(work.rounded.astype(np.float64), work.faces, work.size)
        if not bad.any():
            break
        if turn == rounds - 1:
            work = work.kept(~bad)
            break
        collapsed = without_duplicates(_collapsed(work, bad))
        if len(collapsed.faces) < len(work.faces):
            work = collapsed
            continue
        swapped = without_duplicates(_handed_on(work, bad))
        work = _nudged(work, bad) if np.array_equal(swapped.faces, work.faces) else swapped
    return work.compacted()


def _sides(work: Workpiece, face: Ints) -> Floats:
    """Lengths (N, 3) of the edges from corner i to i + 1."""
    p = work.points[work.faces[face]]
    return np.asarray(np.linalg.norm(np.roll(p, -1, axis=1) - p, axis=2))


def _collapsed(work: Workpiece, bad: Bools) -> Workpiece:
    """Short edges of bad faces drawn into one point."""
    face = np.flatnonzero(bad)
    side = _sides(work, face)
    at = side.argmin(1)
    short = side[np.arange(len(face)), at] <= _SHORT * work.size
    face, at = face[short], at[short]
    if not len(face):
        return work
    ends = work.faces[face, at], work.faces[face, (at + 1) % 3]
    into = _lowest(np.stack(ends, 1), len(work.points))
    return work.with_(faces=into[work.faces])


def _handed_on(work: Workpiece, bad: Bools) -> Workpiece:
    """A bad face and the neighbour behind its longest edge become two faces that meet in the bad one's middle corner.

    Where there is no single neighbour the bad face goes; one operation a face and round.
    """
    face = np.flatnonzero(bad)
    at = _sides(work, face).argmax(1)
    edge, order, uses = surface.undirected(work.faces)
    own = 3 * face + at
    first = np.r_[0, np.cumsum(uses)[:-1]]
    both = uses[edge[own]] == 2
    one, two = order[first[edge[own]]], order[np.minimum(first[edge[own]] + 1, len(order) - 1)]
    other = np.where(one == own, two, one)
    drop = np.zeros(len(work.faces), bool)
    drop[face[~both]] = True
    own, other = own[both], other[both]
    own, other = own[free := _unjoined(work.faces, own, other)], other[free]
    # a face takes part in one operation: the one with the lowest number wins at both of its faces
    lowest = np.full(len(work.faces), len(own), np.int64)
    number = np.arange(len(own))
    np.minimum.at(lowest, own // 3, number)
    np.minimum.at(lowest, other // 3, number)
    wins = (lowest[own // 3] == number) & (lowest[other // 3] == number)
    own, other = own[wins], other[wins]
    neighbour = other // 3
    middle = work.faces.ravel()[_before(own)]
    a, b, tip = (h % 3 for h in (other, _after(other), _before(other)))
    rows = np.arange(len(own))
    old, was = work.faces[neighbour], work.corner[neighbour]
    empty = np.full(len(own), -1, np.int64)
    halves = [
        (np.stack([old[rows, a], middle, old[rows, tip]], 1), np.stack([was[rows, a], empty, was[rows, tip]], 1)),
        (np.stack([middle, old[rows, b], old[rows, tip]], 1), np.stack([empty, was[rows, b], was[rows, tip]], 1)),
    ]
    drop[own // 3] = True
    drop[neighbour] = True
    faces, corners = (np.concatenate([h[k] for h in halves]) for k in (0, 1))
    return work.kept(~drop).extended(faces, source=np.tile(work.source[neighbour], 2), corner=corners)


def _nudged(work: Workpiece, bad: Bools) -> Workpiece:
    """Middle corners of bad faces moved off the longest edge by just enough for an area."""
    face = np.flatnonzero(bad)
    at = _sides(work, face).argmax(1)
    a, b, m = (work.faces[face, (at + k) % 3] for k in range(3))
    edge = work.points[b] - work.points[a]
    edge /= np.maximum(np.linalg.norm(edge, axis=1, keepdims=True), 1e-300)
    away = work.points[m] - work.points[a]
    away -= np.einsum("ij,ij->i", away, edge)[:, None] * edge
    # where the corner lies on the edge any way off it will do
    some = np.cross(edge, np.eye(3)[np.abs(edge).argmin(1)])
    away = np.where(np.linalg.norm(away, axis=1, keepdims=True) > 1e-9 * work.size, away, some)
    away /= np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-300)
    points = work.points.copy()
    points[m] += _NUDGE * work.size * away
    return work.with_(points=points)


def _unjoined(faces: Ints, own: Ints, other: Ints) -> Bools:
    """Whether the corners opposite half-edges ``own`` and ``other`` are not joined by an edge yet."""
    start, end = surface.half_edges(faces)
    total = np.int64(int(faces.max()) + 1)
    a, b = faces.ravel()[_before(own)], faces.ravel()[_before(other)]
    wanted = np.minimum(a, b) * total + np.maximum(a, b)
    return ~np.isin(wanted, np.minimum(start, end) * total + np.maximum(start, end))


def _after(h: Ints) -> Ints:
    return h - h % 3 + (h + 1) % 3


def _before(h: Ints) -> Ints:
    return h - h % 3 + (h + 2) % 3


def without_junctions(work: Workpiece, tolerance: float) -> Workpiece:
    """Open edges split where another border's corner lies on them, within ``tolerance`` (share of the diagonal)."""
    for _ in range(4):
        found = _junctions(work, tolerance * work.size)
        if not len(found[0]):
            break
        work = without_duplicates(_split(work, *found))
    return work


def _junctions(work: Workpiece, tolerance: float) -> tuple[Ints, Ints, Floats]:
    """Half-edges, points that lie on them and how far along: at most one edge of a face at a time, in order."""
    from scipy.spatial import cKDTree

    none = np.zeros(0, np.int64)
    edge, _, uses = surface.undirected(work.faces)
    half = np.flatnonzero(uses[edge] == 1)
    if not 0 < len(half) <= _MOST_BORDERS:
        return none, none, np.zeros(0)
    start, end = (x[half] for x in surface.half_edges(work.faces))
    rim = np.unique(np.r_[start, end])
    a, b = work.points[start], work.points[end]
    length = np.linalg.norm(b - a, axis=1)
    balls: Any = cKDTree(work.points[rim]).query_ball_point((a + b) / 2, length / 2 + tolerance)
    count = np.fromiter((len(ball) for ball in balls), np.int64, len(balls))
    which = np.repeat(np.arange(len(half)), count)
    point = rim[np.concatenate([np.asarray(ball, np.int64) for ball in balls])]
    third = work.faces[half // 3]
    good = ~(third[which] == point[:, None]).any(1)
    which, point = which[good], point[good]
    axis = (b - a) / np.maximum(length, 1e-300)[:, None]
    offset = work.points[point] - a[which]
    along = np.einsum("ij,ij->i", offset, axis[which])
    away = np.linalg.norm(offset - along[:, None] * axis[which], axis=1)
    reach = np.minimum(tolerance, 0.1 * length[which])
    inside = (along > reach) & (along < length[which] - reach) & (away <= reach)
    which, point, along = which[inside], point[inside], along[inside]
    lowest = np.full(len(work.faces), len(half), np.int64)
    np.minimum.at(lowest, half[which] // 3, which)
    chosen = lowest[half[which] // 3] == which
    which, point, along = which[chosen], point[chosen], along[chosen]
    order = np.lexsort((along, which))
    return half[which[order]], point[order], along[order]


def _split(work: Workpiece, half: Ints, point: Ints, along: Floats) -> Workpiece:
    """Faces fanned out from the corner opposite a half-edge to the points on it, which come in order."""
    edges, first, count = np.unique(half, return_index=True, return_counts=True)
    face = edges // 3
    # along every split edge: its start, the points, its end
    total = count + 2
    begin = np.cumsum(total) - total
    chain, kept = np.empty(total.sum(), np.int64), np.full(total.sum(), -1, np.int64)
    inner = np.arange(len(point)) - np.repeat(first, count) + np.repeat(begin + 1, count)
    chain[inner] = point
    flat_faces, flat_corner = work.faces.ravel(), work.corner.ravel()
    for where, h in ((begin, edges), (begin + total - 1, _after(edges))):
        chain[where], kept[where] = flat_faces[h], flat_corner[h]
    step = np.ones(len(chain), bool)
    step[begin + total - 1] = False
    i = np.flatnonzero(step)
    owner = np.repeat(np.arange(len(edges)), count + 1)
    tip = _before(edges)[owner]
    faces = np.stack([chain[i], chain[i + 1], flat_faces[tip]], 1)
    corners = np.stack([kept[i], kept[i + 1], flat_corner[tip]], 1)
    source = work.source[face][owner]
    stays = np.ones(len(work.faces), bool)
    stays[face] = False
    return work.kept(stays).extended(faces, source=source, corner=corners)
