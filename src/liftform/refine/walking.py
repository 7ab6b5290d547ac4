"""Left-over triangles of a mesh of quads walked through it until two meet and become a quad."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from .polygons import Floats, Ints, Polygons

Point = tuple[float, float, float]
Corners = tuple[int, ...]

#: Steps looked at for each triangle.
_SEARCH = 3000
#: What a step costs beside the loss of squareness, and what is taken to be still to come for every length of an edge.
_STEP, _AHEAD = 0.3, 0.5
#: So many ways through one quad are followed.
_THROUGH = 2


def completed(polygons: Polygons, least: float, patience: int = 1, farthest: float = np.inf) -> Polygons:
    """Triangles walked to each other and joined where every quad made on the way is no less square than ``least``
    (see ``squareness``); the rest stay. patience: how many times as long is looked. farthest: the most that a way may
    cost; a step costs 0.3, and what the quad that it leaves lacks in squareness.

    A triangle and the quad beside it are a pentagon, of which any corner may be cut off instead: so the triangle takes
    a step. The cheapest way to another triangle is taken. Vertices stay as they are, no edge comes twice.
    """
    if not len(polygons.triangles) or not len(polygons.quads):
        return polygons
    mesh = _Mesh(polygons, least)
    for start in range(len(polygons.quads), len(polygons.quads) + len(polygons.triangles)):
        if len(mesh.faces[start]) == 3:
            found = _way(mesh, start, patience, farthest)
            if found is not None:
                mesh.walk(found)
    quads = _turned([face for face in mesh.faces if len(face) == 4], mesh)
    triangles = [face for face in mesh.faces if len(face) == 3]
    return Polygons(polygons.points, _array(quads, 4), _array(triangles, 3))


def _turned(quads: list[Corners], mesh: _Mesh) -> list[Corners]:
    """Quads begun at another corner where their first diagonal is an edge, or the diagonal of another quad."""
    taken: dict[tuple[int, int], int] = {}
    for quad in quads:
        taken[_key(quad, 0)] = taken.get(_key(quad, 0), 0) + 1
    out = []
    for quad in quads:
        now, then = _key(quad, 0), _key(quad, 1)
        if (now in mesh.owner or now[::-1] in mesh.owner or taken[now] > 1) and not (
            then in mesh.owner or then[::-1] in mesh.owner or taken.get(then)
        ):
            taken[now] -= 1
            taken[then] = 1
            quad = quad[1:] + quad[:1]
        out.append(quad)
    return out


def _key(quad: Corners, at: int) -> tuple[int, int]:
    """The ends of a diagonal, the smaller first."""
    return min(quad[at], quad[at + 2]), max(quad[at], quad[at + 2])


def _array(faces: Sequence[Corners], sides: int) -> Ints:
    return np.asarray(faces, np.int64).reshape(-1, sides)


@dataclass(frozen=True)
class _Step:
    """Where a triangle stands: its corners, the polygon it came through, what that became, and the step before."""

    triangle: Corners
    through: int
    left: Corners
    before: _Step | None

    def passed(self, face: int) -> bool:
        """Whether the way has come through a polygon."""
        step: _Step | None = self
        while step is not None and step.through != face:
            step = step.before
        return step is not None

    def made(self, a: int, b: int) -> bool:
        """Whether the way has made an edge between a and b."""
        step: _Step | None = self
        while step is not None:
            if a in step.triangle and b in step.triangle:
                return True
            step = step.before
        return False


class _Mesh:
    """Polygons by number, () for those that are gone, and which of them has each directed edge."""

    def __init__(self, polygons: Polygons, least: float) -> None:
        self.places = polygons.points
        self.points: list[Point] = [tuple(p) for p in polygons.points.tolist()]
        sides = polygons.points[polygons.quads] - polygons.points[np.roll(polygons.quads, 1, 1)]
        self.edge = max(float(np.median(np.linalg.norm(sides, axis=2))), 1e-30)
        self.faces: list[Corners] = [tuple(f) for part in (polygons.quads, polygons.triangles) for f in part.tolist()]
        self.least = least
        self.owner: dict[tuple[int, int], int] = {}
        for number in range(len(self.faces)):
            self._own(number)

    def _own(self, number: int) -> None:
        face = self.faces[number]
        self.owner.update(dict.fromkeys(zip(face, face[1:] + face[:1], strict=True), number))

    def change(self, number: int, face: Corners) -> None:
        """Another polygon in place of one; () for none."""
        old = self.faces[number]
        for edge in zip(old, old[1:] + old[:1], strict=True):
            if self.owner.get(edge) == number:
                del self.owner[edge]
        self.faces[number] = face
        self._own(number)

    def walk(self, found: tuple[_Step, int, Corners]) -> None:
        """Carry out a way: every quad on it as it is left, the triangle at its end joined with the one that comes."""
        step: _Step | None
        step, last, joined = found
        self.change(last, joined)
        while step is not None:
            self.change(step.through, step.left)
            step = step.before

    def middles(self, faces: list[Corners]) -> Floats:
        """Middles (n, 3) of triangles."""
        return np.asarray(self.places[np.asarray(faces, np.int64).reshape(-1, 3)].mean(1))

    def far(self, triangle: Corners, goals: Floats) -> float:
        """Distance to the nearest of some places, in usual edges."""
        gap = goals - self.places[[*triangle]].mean(0)
        return float(np.sqrt(np.einsum("ij,ij->i", gap, gap).min())) / self.edge

    def joined(self, triangle: Corners, edge: int, other: Corners) -> Corners:
        """The quad of a triangle and another one across its edge from corner ``edge``."""
        u, v, w = triangle[edge], triangle[(edge + 1) % 3], triangle[(edge + 2) % 3]
        tip = next(corner for corner in other if corner not in (u, v))
        return (u, tip, v, w)

    def square(self, face: Corners) -> float:
        """``squareness`` of one quad; of a triangle, its smallest sine."""
        p = [self.points[corner] for corner in face]
        count = len(p)
        crosses, lengths = [], []
        for i in range(count):
            a = _minus(p[(i + 1) % count], p[i])
            b = _minus(p[i - 1], p[i])
            crosses.append(_cross(a, b))
            lengths.append(sqrt(_dot(a, a) * _dot(b, b)))
        normal = tuple(map(sum, zip(*crosses, strict=True)))
        length = sqrt(_dot(normal, normal))  # type: ignore[arg-type]
        if not length or not min(lengths):
            return 0.0
        return min(_dot(c, normal) / (s * length) for c, s in zip(crosses, lengths, strict=True))  # type: ignore[arg-type]


def _minus(a: Point, b: Point) -> Point:
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]


def _cross(a: Point, b: Point) -> Point:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def _dot(a: Point, b: Point) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _way(mesh: _Mesh, start: int, patience: int, farthest: float) -> tuple[_Step, int, Corners] | None:
    """The last step of the cheapest way to another triangle, that triangle, and the quad of both."""
    goals = mesh.middles([f for k, f in enumerate(mesh.faces) if len(f) == 3 and k != start])
    if not len(goals):
        return None
    queue = [(0.0, 0, 0.0, _Step(mesh.faces[start], start, (), None))]
    seen, number, times = {mesh.faces[start]}, 0, dict[int, int]()
    best: tuple[float, _Step, int, Corners] | None = None
    for _ in range(patience * _SEARCH):
        if not queue or queue[0][0] > farthest or (best and best[0] <= queue[0][0]):
            break
        _, _, cost, step = heapq.heappop(queue)
        times[step.through] = times.get(step.through, 0) + 1
        if times[step.through] > patience * _THROUGH:
            continue
        for k in range(3):
            u, v = step.triangle[k], step.triangle[(k + 1) % 3]
            beside = mesh.owner.get((v, u), -1)
            if beside < 0 or step.passed(beside):
                continue
            other = mesh.faces[beside]
            if len(other) == 3:
                quad = mesh.joined(step.triangle, k, other)
                value = mesh.square(quad) if len({*quad}) == 4 else -2.0
                if value > mesh.least and (best is None or cost + 1 - value < best[0]):
                    best = cost + 1 - value, step, beside, quad
                continue
            for triangle, left in _cuts(step.triangle, k, other):
                if triangle in seen or not _free(mesh, step, triangle):
                    continue
                value = min(mesh.square(left), 2 * mesh.square(triangle))
                if value > mesh.least:
                    seen.add(triangle)
                    number += 1
                    spent = cost + _STEP + 1 - value
                    ahead = _AHEAD * mesh.far(triangle, goals)
                    heapq.heappush(queue, (spent + ahead, number, spent, _Step(triangle, beside, left, step)))
    return best and best[1:]


def _cuts(triangle: Corners, edge: int, quad: Corners) -> list[tuple[Corners, Corners]]:
    """The other triangles, and quads left, into which a triangle and the quad across its edge can be cut."""
    u, v, w = triangle[edge], triangle[(edge + 1) % 3], triangle[(edge + 2) % 3]
    at = quad.index(v)
    c, d = quad[(at + 2) % 4], quad[(at + 3) % 4]
    ring = (v, w, u, c, d)
    if w in quad:
        return []
    cuts: list[tuple[Corners, Corners]] = []
    for i in (0, 2, 3, 4):  # not w: that is the triangle itself
        before, after = ring[i - 1], ring[(i + 1) % 5]
        cuts.append(((before, ring[i], after), (after, ring[(i + 2) % 5], ring[(i + 3) % 5], before)))
    return cuts


def _free(mesh: _Mesh, step: _Step, triangle: Corners) -> bool:
    """Whether the edge that cuts a triangle off is no edge of anything yet."""
    a, b = triangle[2], triangle[0]
    return a != b and (a, b) not in mesh.owner and (b, a) not in mesh.owner and not step.made(a, b)
