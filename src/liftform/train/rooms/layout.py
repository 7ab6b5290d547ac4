"""Floor plans of synthetic rooms: read from floorplan-truth files, or cut at random from a rectangle.

Ground coordinates are (x, z) of the world in metres; the storey's floor is y = 0.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..licences import COMMERCIAL, classify

Rng = np.random.Generator
Ground = NDArray[np.float64]


@dataclass(frozen=True)
class Opening:
    """A hole in a wall between ``start`` and ``end`` metres along it, from height sill to head; door|window|opening."""

    start: float
    end: float
    sill: float
    head: float
    kind: str


@dataclass
class Wall:
    """A straight wall about its centre line a -> b (2,), which it overshoots by half its thickness."""

    a: Ground
    b: Ground
    thickness: float
    exterior: bool
    openings: list[Opening] = field(default_factory=list)

    @property
    def length(self) -> float:
        """Metres from a to b."""
        return float(np.linalg.norm(self.b - self.a))

    @property
    def along(self) -> Ground:
        """Unit vector (2,) from a to b."""
        return (self.b - self.a) / max(self.length, 1e-9)


@dataclass(frozen=True)
class Area:
    """One room: polygon (N, 2) of its inner wall faces, and what it is used for."""

    polygon: Ground
    kind: str

    @property
    def size(self) -> float:
        """Square metres."""
        x, z = self.polygon.T
        return float(abs(np.dot(x, np.roll(z, 1)) - np.dot(z, np.roll(x, 1))) / 2)

    def contains(self, points: NDArray[np.floating]) -> NDArray[np.bool_]:
        """(N,): which ground points (N, 2) lie inside."""
        return inside(self.polygon, np.asarray(points, np.float64))

    def cells(self) -> list[tuple[float, float, float, float]]:
        """The polygon as rectangles (x0, z0, x1, z1); exact when its edges follow the axes."""
        xs, zs = (np.unique(np.round(self.polygon[:, k], 4)) for k in (0, 1))
        spans = [(x0, z0, x1, z1) for x0, x1 in itertools.pairwise(xs) for z0, z1 in itertools.pairwise(zs)]
        middles = np.array([((a + c) / 2, (b + d) / 2) for a, b, c, d in spans])
        kept = self.contains(middles)
        return [span for span, keep in zip(spans, kept, strict=True) if keep]


@dataclass(frozen=True)
class Layout:
    """One storey: walls, rooms and the clear height under the ceiling."""

    walls: list[Wall]
    areas: list[Area]
    height: float
    source: str
    licence: str = "own"

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """x0, z0, x1, z1 of all walls."""
        points = np.concatenate([[w.a, w.b] for w in self.walls])
        reach = max(w.thickness for w in self.walls) / 2
        low, high = points.min(0) - reach, points.max(0) + reach
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])

    def area_at(self, points: NDArray[np.floating]) -> NDArray[np.int64]:
        """Number of the room at each ground point (N, 2), -1 outside all."""
        out = np.full(len(points), -1)
        for number, area in enumerate(self.areas):
            out[area.contains(points)] = number
        return out


def inside(polygon: Ground, points: Ground) -> NDArray[np.bool_]:
    """Even-odd test of points (N, 2) against a polygon (M, 2)."""
    a, b = polygon, np.roll(polygon, -1, axis=0)
    px, py = points[:, None, 0], points[:, None, 1]
    straddles = (a[:, 1] > py) != (b[:, 1] > py)
    rise = np.where(b[:, 1] == a[:, 1], 1e-12, b[:, 1] - a[:, 1])
    at = a[:, 0] + (py - a[:, 1]) / rise * (b[:, 0] - a[:, 0])
    out: NDArray[np.bool_] = (straddles & (px < at)).sum(1) % 2 == 1
    return out


def axis_aligned(polygon: Ground) -> bool:
    """Whether every edge follows an axis, to a centimetre."""
    edge = np.abs(np.roll(polygon, -1, axis=0) - polygon)
    return bool((edge.min(1) < 0.01).all())


def from_plan(path: Path, rng: Rng) -> Layout | None:
    """A plan in the floorplan-truth/1 schema, mirrored and stretched a little at random.

    None when it is too odd, or when its licence does not let a network be trained on it and given away.
    """
    plan = json.loads(path.read_text(encoding="utf-8"))
    if classify(plan["licence"]) not in COMMERCIAL:
        return None
    scale = rng.uniform(0.95, 1.3, 2) * rng.choice([-1, 1], 2)
    height = float(np.clip((plan.get("storey") or {}).get("height") or 2.6, 2.2, 3.6) * rng.uniform(0.95, 1.1))
    areas = [Area(np.array(r["polygon"], float) * scale, _use(str(r["type"]), rng)) for r in plan["rooms"]]
    areas = [a for a in areas if axis_aligned(a.polygon) and a.size > 0.4]
    walls = [_plan_wall(w, plan["openings"], scale, height) for w in plan["walls"] if w["kind"] == "wall"]
    if not walls or not any(a.size > 6 for a in areas):
        return None
    return Layout(walls, areas, height, path.stem, str(plan["licence"]))


def _use(kind: str, rng: Rng) -> str:
    """A plan's word for a room in ours; flats lived in otherwise than drawn."""
    if rng.random() < 0.15:
        return str(rng.choice(["office", "living", "storage", "bedroom"]))
    return _USES.get(kind.split("_1")[0].split("_2")[0], "other")


_USES = {
    "closet": "storage", "bedroom": "bedroom", "bathroom": "bath", "restroom": "bath", "washing_room": "bath",
    "corridor": "corridor", "living_room": "living", "kitchen": "kitchen", "entrance": "corridor", "foyer": "corridor",
    "hallway": "corridor", "entrance_hall": "corridor", "utility": "storage", "stair": "storage",
}  # fmt: skip


def _plan_wall(row: dict[str, Any], openings: Sequence[dict[str, Any]], scale: Ground, height: float) -> Wall:
    wall = Wall(np.array(row["a"]) * scale, np.array(row["b"]) * scale, row["thickness"], bool(row["exterior"]))
    for o in openings:
        if o["wall"] != row["id"]:
            continue
        ends = sorted(float((np.array(o[k]) * scale - wall.a) @ wall.along) for k in ("a", "b"))
        head = min(float(o["head"]), height - 0.05)
        wall.openings.append(Opening(ends[0], ends[1], float(o["sill"]), head, str(o["type"])))
    return wall


def random_layout(rng: Rng) -> Layout:
    """A rectangle cut into one to four rooms, or a corridor with rooms beside it."""
    mood = rng.random()
    if mood < 0.45:
        width, depth, most = rng.uniform(2.6, 6.5), rng.uniform(2.6, 6.5), int(rng.integers(1, 3))
    elif mood < 0.65:
        width, depth, most = rng.uniform(5, 14), rng.uniform(4, 10), int(rng.integers(1, 5))
    else:
        width, depth, most = rng.uniform(4.5, 9.5), rng.uniform(4.5, 9.5), int(rng.integers(2, 5))
    height = float(rng.choice([rng.uniform(2.3, 2.8), rng.uniform(2.4, 3.4), rng.uniform(3, 4.6)], p=[0.6, 0.3, 0.1]))
    cells = [(0.0, 0.0, float(width), float(depth))]
    cuts: list[Wall] = []
    if rng.random() < 0.3 and depth > 4:
        cells = _corridor(width, depth, cuts, rng)
    while len(cells) < most:
        cells.sort(key=lambda c: -(c[2] - c[0]) * (c[3] - c[1]))
        halves = _cut(cells[0], cuts, rng)
        if halves is None:
            break
        cells = [*halves, *cells[1:]]
    return _with_walls(cells, cuts, float(width), float(depth), height, rng)


def _corridor(width: float, depth: float, cuts: list[Wall], rng: Rng) -> list[tuple[float, float, float, float]]:
    """A corridor 1.1 to 2.2 m wide along x, rooms on one side or both."""
    wide = rng.uniform(1.1, 2.2)
    at = rng.uniform(0, depth - wide)
    lines = [z for z in (at, at + wide) if 2.2 < z < depth - 2.2]
    edges = [0.0, *lines, depth]
    for z in lines:
        cuts.append(Wall(np.array([0.0, z]), np.array([width, z]), float(rng.uniform(0.08, 0.2)), False))
    return [(0.0, float(a), float(width), float(b)) for a, b in itertools.pairwise(edges)]


def _cut(
    cell: tuple[float, float, float, float], cuts: list[Wall], rng: Rng
) -> list[tuple[float, float, float, float]] | None:
    """Split a cell by a wall across its longer side."""
    x0, z0, x1, z1 = cell
    thick = float(rng.uniform(0.08, 0.2))
    if x1 - x0 > z1 - z0:
        if x1 - x0 < 3.4:
            return None
        x = float(rng.uniform(x0 + 1.5, x1 - 1.5))
        cuts.append(Wall(np.array([x, z0]), np.array([x, z1]), thick, False))
        return [(x0, z0, x, z1), (x, z0, x1, z1)]
    if z1 - z0 < 3.4:
        return None
    z = float(rng.uniform(z0 + 1.5, z1 - 1.5))
    cuts.append(Wall(np.array([x0, z]), np.array([x1, z]), thick, False))
    return [(x0, z0, x1, z), (x0, z, x1, z1)]


def _with_walls(
    cells: list[tuple[float, float, float, float]],
    cuts: list[Wall],
    width: float,
    depth: float,
    height: float,
    rng: Rng,
) -> Layout:
    """Outer walls, openings and rooms of a cut rectangle."""
    corners = [np.array(p) for p in ((0.0, 0.0), (width, 0.0), (width, depth), (0.0, depth))]
    thick = float(rng.uniform(0.2, 0.4))
    outer = [Wall(corners[i], corners[(i + 1) % 4], thick, True) for i in range(4)]
    dark = rng.random() < 0.12
    for wall in outer:
        _windows(wall, height, dark, rng)
    for wall in cuts:
        _passages(wall, cuts, height, rng)
    reach = {id(w): w.thickness / 2 for w in [*outer, *cuts]}
    areas = []
    for x0, z0, x1, z1 in cells:
        inset = [
            _inset(e, [*outer, *cuts], reach)
            for e in (("x", x0, z0, z1), ("z", z0, x0, x1), ("x", x1, z0, z1), ("z", z1, x0, x1))
        ]
        x0, z0, x1, z1 = x0 + inset[0], z0 + inset[1], x1 - inset[2], z1 - inset[3]
        polygon = np.array([(x0, z0), (x1, z0), (x1, z1), (x0, z1)])
        areas.append(Area(polygon, _kind(x1 - x0, z1 - z0, dark, rng)))
    return Layout([*outer, *cuts], areas, height, "procedural")


def _inset(edge: tuple[str, float, float, float], walls: list[Wall], reach: dict[int, float]) -> float:
    """Half the thickness of the wall that covers an edge of a cell."""
    axis = 0 if edge[0] == "x" else 1
    for wall in walls:
        if abs(wall.a[axis] - edge[1]) < 1e-6 and abs(wall.b[axis] - edge[1]) < 1e-6:
            low, high = sorted((wall.a[1 - axis], wall.b[1 - axis]))
            if low - 1e-6 <= edge[2] and high + 1e-6 >= edge[3]:
                return reach[id(wall)]
    raise ValueError("an edge of a room without a wall")


def _windows(wall: Wall, height: float, dark: bool, rng: Rng) -> None:
    """None, one, several or a whole band of windows in an outer wall; at times a door."""
    if dark or rng.random() < 0.35 or wall.length < 1.8:
        return
    count = int(np.clip(rng.poisson(wall.length / 3.5), 1, 4))
    pitch = wall.length / count
    sill = float(rng.choice([rng.uniform(0.7, 1.1), rng.uniform(0.0, 0.3), rng.uniform(1.1, 1.5)], p=[0.7, 0.2, 0.1]))
    head = float(np.clip(sill + rng.uniform(0.8, 1.7), 1.8, height - 0.12))
    share = rng.uniform(0.25, 0.85)
    for i in range(count):
        middle, half = (i + 0.5) * pitch, pitch * share / 2
        half = min(half, pitch / 2 - 0.25)
        if half > 0.2:
            wall.openings.append(Opening(middle - half, middle + half, sill, head, "window"))


def _passages(wall: Wall, others: list[Wall], height: float, rng: Rng) -> None:
    """Doors or wide openings in an inner wall, clear of the walls that meet it."""
    crossings = [0.0, wall.length]
    for other in others:
        for end in (other.a, other.b):
            s = float((end - wall.a) @ wall.along)
            off = float(np.linalg.norm(end - wall.a - wall.along * s))
            if other is not wall and off < 0.01 and 0.01 < s < wall.length - 0.01:
                crossings.append(s)
    crossings.sort()
    for s0, s1 in itertools.pairwise(crossings):
        room = s1 - s0 - 0.5
        if room < 0.75 or rng.random() < 0.12:
            continue
        wide = rng.random() < 0.3
        width = float(rng.uniform(min(1.0, room), room) if wide else rng.uniform(0.72, min(1.0, room)))
        start = s0 + 0.25 + float(rng.uniform(0, room - width))
        head = float(min(height - 0.06, rng.uniform(2.0, 2.15) if not wide else rng.uniform(2.0, height)))
        wall.openings.append(Opening(start, start + width, 0.0, head, "opening" if wide else "door"))


def _kind(width: float, depth: float, dark: bool, rng: Rng) -> str:
    """A use that suits the size."""
    size, narrow = width * depth, min(width, depth)
    if narrow < 2.3 and max(width, depth) > 2 * narrow:
        return "corridor"
    if size < 7:
        return str(rng.choice(["bath", "storage", "bedroom", "office", "kitchen"]))
    if dark:
        return str(rng.choice(["storage", "garage", "office", "living"]))
    return str(
        rng.choice(
            ["living", "bedroom", "kitchen", "office", "dining", "meeting", "storage"],
            p=[0.27, 0.17, 0.17, 0.18, 0.09, 0.06, 0.06],
        )
    )
