"""Drawing a mesh of polygons onto the surface it stands for: to its nearest points and sharp edges, nothing turned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..assets import Mesh
from ..topology import merge_map, self_intersections
from . import surface
from .nearest import Nearest, sampled
from .polygons import Polygons

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: Rounds of pulling vertices to what they miss of the source, and of taking back moves that turned faces over.
_PULLS, _TAKES = 4, 8
#: Rings of faces around one that looks away that are evened out with it, at most.
_RINGS = 3
#: Points of the source looked at in each round.
_POINTS = 40_000
#: Farther than this (share of the diagonal) from the polygons, the source pulls.
_MISSED = 0.0008
#: A face may not come to lean farther from how it lay before than acos of this.
_LEAN = 0.3


class Ground:
    """The surface that polygons are drawn onto."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.nearest = Nearest(mesh)
        self.size = self.nearest.size
        _, self.points = sampled(self.nearest.corners, _POINTS, every=False)

    def at(self, points: Floats, normals: Floats) -> tuple[Floats, Floats]:
        """The nearest points of like normal (N, 3), and their distances (N,)."""
        places = self.nearest(points, normals)
        corners = self.nearest.corners[places.face]
        return np.einsum("ij,ijk->ik", places.weight.astype(np.float64), corners), places.distance.astype(np.float64)


@dataclass(frozen=True)
class Held:
    """Points (P,) that may not move freely: not at all or, given an axis, only in the plane across it at ``value``;
    all others then stay ``gap`` beyond it."""

    points: Bools
    axis: int | None = None
    value: float = 0.0
    gap: float = 0.0

    def applied(self, wanted: Floats, now: Floats) -> Floats:
        """Wanted places (P, 3) as they are allowed."""
        out = wanted.copy()
        if self.axis is None:
            out[self.points] = now[self.points]
        else:
            beyond = np.maximum(out[:, self.axis], self.value + self.gap)
            out[:, self.axis] = np.where(self.points, self.value, beyond)
        return out


def settled(polygons: Polygons, ground: Ground, held: Held) -> Polygons:
    """The polygons with vertices on the ground, corners pulled to its sharp edges; where that made the surface cut
    itself, as they were."""
    start = held.applied(polygons.points, polygons.points)
    normals = surface.vertex_normals(start, polygons.halves).astype(np.float64)
    there, _ = ground.at(start, normals)
    points = _moved(polygons.moved(start), held.applied(there, start), ground)
    for _ in range(_PULLS):
        wanted = _pulled(polygons.moved(points), ground)
        if wanted is None:
            break
        points = _moved(polygons.moved(points), held.applied(wanted, points), ground)
    plain = polygons.moved(_faced(polygons, ground, _uncrossed(polygons, start, points), held))
    better = plain.best_halves()
    worse = len(crossings(better)) > len(crossings(plain)) or len(away(better, ground)) > len(away(plain, ground))
    return plain if worse else better


def crossings(polygons: Polygons) -> Ints:
    """Points (n,) of faces that cut others, and points that share their place with another."""
    points = polygons.points.astype(np.float32)
    halves = polygons.halves
    pairs = self_intersections(points, halves)
    cut = np.zeros(0, np.int64) if pairs is None else halves[np.unique(pairs)].ravel()
    used = np.unique(halves)
    _, place = merge_map(points[used])
    return np.union1d(cut, used[np.bincount(place)[place] > 1])


def _uncrossed(polygons: Polygons, start: Floats, points: Floats) -> Floats:
    """Points moved back to the start where the surface cuts or touches itself, and around there."""
    faces, points = polygons.halves, points.copy()
    back = np.zeros(len(points), bool)
    for _ in range(_TAKES):
        bad = crossings(polygons.moved(points))
        if not len(bad):
            return points
        back[bad] = True
        back[faces[back[faces].any(1)]] = True
        points[back] = start[back]
    return points if len(crossings(polygons.moved(points))) <= len(crossings(polygons.moved(start))) else start


def away(polygons: Polygons, ground: Ground) -> Ints:
    """Faces (n,) of ``halves`` that look away from the ground beneath them."""
    halves = polygons.halves
    normals = surface.cross_products(polygons.points, halves)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-300)
    return np.flatnonzero(~ground.nearest(polygons.points[halves].mean(1), normals).like)


def _faced(polygons: Polygons, ground: Ground, points: Floats, held: Held) -> Floats:
    """Points around faces that look away evened out, as long as that leaves fewer of them and nothing new crosses."""
    halves, bad = polygons.halves, away(polygons.moved(points), ground)
    cut = len(crossings(polygons.moved(points))) if len(bad) else 0
    start, end = surface.half_edges(halves)
    degree = np.maximum(np.bincount(start, minlength=len(points)), 1)[:, None]
    rings = 0
    for _ in range(_TAKES):
        if not len(bad) or rings > _RINGS:
            break
        chosen = np.zeros(len(points), bool)
        chosen[halves[bad]] = True
        for _ in range(rings):
            chosen[halves[chosen[halves].any(1)]] = True
        chosen &= ~held.points
        moved = points.copy()
        for _ in range(1 + 2 * rings):
            mean = np.stack([np.bincount(start, moved[end, k], len(points)) for k in range(3)], 1) / degree
            moved = held.applied(np.where(chosen[:, None], mean, moved), points)
        still = away(polygons.moved(moved), ground)
        if len(still) < len(bad) and len(crossings(polygons.moved(moved))) <= cut:
            points, bad = moved, still
        else:
            rings += 1
    return points


def _moved(polygons: Polygons, wanted: Floats, ground: Ground) -> Floats:
    """Points moved to where they are wanted, save those of faces that would turn over, vanish, or come to look away
    from the ground."""
    points = _untangled(polygons, wanted)
    bad = np.setdiff1d(away(polygons.moved(points), ground), away(polygons, ground))
    back = np.unique(polygons.halves[bad])
    return _untangled(polygons, np.where(np.isin(np.arange(len(points)), back)[:, None], polygons.points, points))


def _untangled(polygons: Polygons, wanted: Floats) -> Floats:
    """Points moved to where they are wanted, save those of faces that would turn over or vanish."""
    faces = _both_ways(polygons)
    before = surface.cross_products(polygons.points, faces)
    before_area = np.linalg.norm(before, axis=1)
    points = wanted.copy()
    for _ in range(_TAKES):
        after = surface.cross_products(points, faces)
        area = np.linalg.norm(after, axis=1)
        bad = np.einsum("ij,ij->i", before, after) < _LEAN * before_area * area
        bad |= area < 0.05 * before_area
        bad &= before_area > 0
        if not bad.any():
            return points
        back = np.unique(faces[bad])
        points[back] = polygons.points[back]
    # what still is not right goes back whole, with all that touches it
    for _ in range(_TAKES):
        touched = np.isin(faces, back).any(1)
        back = np.unique(faces[touched])
        points[back] = polygons.points[back]
        after = surface.cross_products(points, faces)
        if not (np.einsum("ij,ij->i", before, after) < 0).any():
            return points
    return polygons.points


def _both_ways(polygons: Polygons) -> Ints:
    """All triangles that matter: both ways to halve a quad, and the triangles."""
    quads = polygons.quads
    return np.concatenate([quads[:, [0, 1, 2, 0, 2, 3, 1, 2, 3, 1, 3, 0]].reshape(-1, 3), polygons.triangles])


def _pulled(polygons: Polygons, ground: Ground) -> Floats | None:
    """Points with those moved that lie nearest to what is missed of the ground: each to the farthest it misses."""
    from scipy.spatial import cKDTree

    halves = polygons.halves
    faces = Mesh(polygons.points.astype(np.float32), halves.astype(np.int32))
    gap = Nearest(faces, 8000)(ground.points).distance / ground.size
    missed = np.flatnonzero(gap > _MISSED)
    if not len(missed):
        return None
    start, end = surface.half_edges(halves)
    length = np.linalg.norm(polygons.points[start] - polygons.points[end], axis=1)
    reach = np.zeros(len(polygons.points))
    np.maximum.at(reach, start, length)
    used = np.flatnonzero(reach > 0)
    if not len(used):
        return None
    away, near = cKDTree(polygons.points[used]).query(ground.points[missed])
    vertex = used[near]
    close = away < 0.6 * reach[vertex]
    missed, vertex = missed[close], vertex[close]
    order = np.argsort(gap[missed], kind="stable")
    out = polygons.points.copy()
    out[vertex[order]] = ground.points[missed[order]]  # the farthest is written last
    return out
