"""Layouts to draw: annotated flats and homes made up here, as walls, holes in them, railings and rooms in metres."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from shapely import affinity
from shapely.geometry import LineString, Point, Polygon, box
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union

Rng = np.random.Generator
Pair = tuple[float, float]

#: Layouts of the shared truth that test sheets are drawn of, kept out of training altogether.
TEST = frozenset(f"r2v_{k:03d}" for k in (1, 2, 3, 4, 8, 10, 12, 13, 16, 17, 18, 19))


@dataclass(frozen=True)
class Hole:
    """An opening from a to b on the wall's centre line. kind: "door", "window", "opening"; subtype as Opening's.

    Doors: hinge at end a or b ("a", "b"), swing "left" | "right" seen from a to b.
    """

    a: Pair
    b: Pair
    thickness: float
    kind: str
    subtype: str = "single"
    hinge: str = "a"
    swing: str = "left"

    @property
    def width(self) -> float:
        """Clear width in metres."""
        return math.dist(self.a, self.b)

    @property
    def area(self) -> Polygon:
        """The piece of wall that it takes."""
        return LineString([self.a, self.b]).buffer(self.thickness / 2, cap_style="flat")


@dataclass(frozen=True)
class Space:
    """A room's polygon, its type (word of the vocabulary) and its label as printed."""

    shape: Polygon
    kind: str
    label: str


@dataclass(frozen=True)
class Layout:
    """A storey. solid: walls with holes filled. parts: the walls one by one, where they may be drawn apart."""

    name: str
    solid: BaseGeometry
    parts: tuple[Polygon, ...]
    holes: tuple[Hole, ...]
    rails: tuple[Polygon, ...]
    rooms: tuple[Space, ...]

    @property
    def cut(self) -> BaseGeometry:
        """Walls with their holes cut out."""
        return self.solid.difference(unary_union([h.area.buffer(1e-3, join_style="mitre") for h in self.holes]))


def corpus(folder: Path, held: bool) -> list[Path]:
    """Files of annotated flats for training, or the tenth of them that is held out; never those of the test sheets."""
    files = sorted(p for p in folder.glob("r2v_*.json") if p.stem not in TEST)
    return [p for p in files if (int(p.stem.split("_")[1]) % 10 == 5) == held]


def annotated(path: Path) -> Layout:
    """A layout of ``floorplan-truth/1``."""
    facts = json.loads(path.read_text(encoding="utf-8"))
    walls = {w["id"]: w for w in facts["walls"]}
    parts = tuple(Polygon(w["polygon"]) for w in facts["walls"] if w["kind"] == "wall" and w.get("polygon"))
    solid = unary_union([Polygon(w["outer"], w["holes"]).buffer(0) for w in facts["wall_solid"]])
    rails = tuple(Polygon(w["polygon"]) for w in facts["walls"] if w["kind"] == "railing" and w.get("polygon"))
    rooms = tuple(Space(Polygon(r["polygon"], r["holes"]).buffer(0), r["type"], r["label"]) for r in facts["rooms"])
    holes = tuple(_hole(o, walls[o["wall"]]["thickness"]) for o in facts["openings"])
    rooms = tuple(r for r in rooms if isinstance(r.shape, Polygon))
    return Layout(path.stem, solid, parts, holes, rails, rooms)


def _hole(fact: dict[str, Any], thickness: float) -> Hole:
    a, b = tuple(fact["a"]), tuple(fact["b"])
    hinge, swing = fact.get("hinge") or "a", fact.get("swing") or "left"
    return Hole(a, b, thickness, fact["type"], fact["subtype"], hinge, swing)


def varied(layout: Layout, rng: Rng) -> Layout:
    """The same layout mirrored, turned by quarters and stretched by up to a sixth along each axis."""
    sx, sy = np.exp(rng.uniform(-0.16, 0.16, 2)) * (1, -1 if rng.random() < 0.5 else 1)
    return placed(layout, np.array([[sx, 0.0], [0.0, sy]]), 90.0 * int(rng.integers(4)))


def placed(layout: Layout, scale: Any, degrees: float) -> Layout:
    """The layout scaled by a diagonal 2 x 2 matrix and turned."""
    turn = math.radians(degrees)
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    m = rotation @ scale
    flips = bool(np.linalg.det(m) < 0)

    def moved(shape: Any) -> Any:
        return affinity.affine_transform(shape, [m[0, 0], m[0, 1], m[1, 0], m[1, 1], 0, 0])

    def at(p: Pair) -> Pair:
        x, y = m @ np.array(p)
        return float(x), float(y)

    def hole(h: Hole) -> Hole:
        along = np.array(h.b) - np.array(h.a)
        across = scale @ np.array([-along[1], along[0]]) / math.hypot(*along)
        swing = {"left": "right", "right": "left"}[h.swing] if flips else h.swing
        return replace(h, a=at(h.a), b=at(h.b), thickness=h.thickness * float(np.hypot(*across)), swing=swing)

    return Layout(
        layout.name,
        moved(layout.solid),
        tuple(moved(p) for p in layout.parts),
        tuple(hole(h) for h in layout.holes),
        tuple(moved(p) for p in layout.rails),
        tuple(replace(r, shape=moved(r.shape)) for r in layout.rooms),
    )


# -- homes made up here -----------------------------------------------------------------------------------------------

_WORDS = {
    "bedroom": ("Bedroom", "BEDROOM 1", "Schlafen", "Chambre", "Dormitorio", "Camera", "Sovrum", "Slaapkamer"),
    "living_room": ("Living", "LIVING ROOM", "Wohnen", "Séjour", "Salón", "Soggiorno", "Vardagsrum", "Woonkamer"),
    "kitchen": ("Kitchen", "KITCHEN", "Küche", "Cuisine", "Cocina", "Cucina", "Kök", "Keuken"),
    "bathroom": ("Bath", "BATH", "Bad", "Bains", "Baño", "Bagno", "Badrum", "Badkamer"),
    "restroom": ("WC", "W.C.", "Toilet"),
    "corridor": ("Hall", "HALL", "Flur", "Couloir", "Pasillo", "Corridoio", "Gang"),
    "closet": ("Closet", "Abst.", "Placard", "Cl."),
    "office": ("Office", "Büro", "Bureau", "Study"),
    "balcony": ("Balcony", "Balkon", "Balcon", "Terraza"),
    "garage": ("Garage", "GARAGE"),
    "washing_room": ("Laundry", "HWR", "Cellier"),
}


def invented(rng: Rng) -> Layout:
    """A home by repeated division of a footprint, which may have notches, slanted or round sides."""
    wide, deep = rng.uniform(6, 16), rng.uniform(5, 13)
    cells = _divided(box(0, 0, wide, deep), rng, rng.uniform(7, 20))
    cells = [c for c in _trimmed(cells, wide, deep, rng) if c.area > 0.8]
    thick_in = float(rng.choice([0.06, 0.08, 0.1, 0.115, 0.12, 0.15, 0.175]))
    thick_out = max(thick_in, float(rng.choice([0.12, 0.2, 0.24, 0.3, 0.365, 0.42])))
    whole = max(_polygons(unary_union(cells)), key=lambda p: p.area)
    cells = [c for c in cells if c.representative_point().within(whole)]
    ring = LineString(whole.exterior)
    outer = [ring.buffer(thick_out / 2, join_style="mitre", cap_style="square")]
    outer += [LineString(hole).buffer(thick_out / 2, join_style="mitre") for hole in whole.interiors]
    inner, doors = _inner(cells, thick_in, thick_out, rng)
    solid = unary_union([*outer, *inner])
    solid = unary_union([p for p in _polygons(solid) if p.area > 0.05])
    free = _polygons(Polygon(whole.exterior).difference(solid))
    rooms = tuple(_named(p.simplify(0.002), rng) for p in free if p.area > 0.3)
    holes = [*doors, *_outside(whole, cells, thick_out, solid, doors, rng)]
    holes = [h for h in _apart(holes) if h.area.difference(solid).area < 0.02 * h.area.area]
    rails, extra = _balcony(whole, thick_out, rng)
    parts = tuple(_polygons(unary_union(outer))) + tuple(p for wall in inner for p in _polygons(wall))
    return Layout("invented", solid, parts, tuple(holes), rails, rooms + extra)


def _polygons(shape: BaseGeometry) -> list[Polygon]:
    if isinstance(shape, Polygon):
        return [] if shape.is_empty else [shape]
    return [p for part in getattr(shape, "geoms", ()) for p in _polygons(part)]


def _divided(cell: Polygon, rng: Rng, largest: float) -> list[Polygon]:
    """A rectangle divided until no piece is much larger than ``largest`` square metres, now and then far smaller."""
    x0, y0, x1, y1 = cell.bounds
    w, h = x1 - x0, y1 - y0
    goal = largest * float(np.exp(rng.normal(0, 0.6)))
    if cell.area < goal or min(w, h) < 1.5 or max(w, h) < 2.6:
        return [cell]
    share = rng.uniform(0.25, 0.75)
    if w * rng.uniform(0.7, 1.4) > h:
        x = round(x0 + share * w, 2)
        halves = box(x0, y0, x, y1), box(x, y0, x1, y1)
    else:
        y = round(y0 + share * h, 2)
        halves = box(x0, y0, x1, y), box(x0, y, x1, y1)
    if min(min(p.bounds[2] - p.bounds[0], p.bounds[3] - p.bounds[1]) for p in halves) < 0.9:
        return [cell]
    return [piece for half in halves for piece in _divided(half, rng, largest)]


def _trimmed(cells: list[Polygon], wide: float, deep: float, rng: Rng) -> list[Polygon]:
    """Cells without a notch, or cut off by slanted or round sides."""
    kind = rng.random()
    frame: BaseGeometry = box(0, 0, wide, deep)
    if kind < 0.3:
        w, h = rng.uniform(0.15, 0.45, 2) * (wide, deep)
        x, y = (0, wide - w)[int(rng.integers(2))], (0, deep - h)[int(rng.integers(2))]
        frame = frame.difference(box(x, y, x + w, y + h))
    elif kind < 0.5:
        w, h = rng.uniform(0.1, 0.5, 2) * (wide, deep)
        frame = Polygon([(0, 0), (wide, 0), (wide, deep - h), (wide - w, deep), (0, deep)])
    elif kind < 0.62:
        radius = rng.uniform(0.55, 0.8) * max(wide, deep)
        frame = frame.intersection(Point(wide * rng.uniform(0.2, 0.8), deep * 0.4).buffer(radius, quad_segs=32))
    elif kind < 0.7:
        frame = frame.intersection(affinity.skew(box(0.1 * wide, 0, 0.95 * wide, deep), rng.uniform(-14, 14)))
    return [p for cell in cells for p in _polygons(cell.intersection(frame))]


def _inner(cells: Sequence[Polygon], thick: float, thick_out: float, rng: Rng) -> tuple[list[BaseGeometry], list[Hole]]:
    """Walls between cells, and the doors that join all cells."""
    walls: list[BaseGeometry] = []
    links: list[tuple[float, int, int, LineString]] = []
    open_plan = rng.random() < 0.35
    for i, j, line in _shared(cells):
        drop = open_plan and line.length > 1.5 and rng.random() < 0.25
        if not drop:
            walls.append(line.buffer(thick / 2, cap_style="square", join_style="mitre"))
            links.append((rng.random(), i, j, line))
    doors: list[Hole] = []
    group = list(range(len(cells)))
    for _, i, j, line in sorted(links, key=lambda link: link[0]):
        fresh = group[i] != group[j]
        if not fresh and rng.random() > 0.15:
            continue
        hole = _in_line(line, thick, thick_out, rng)
        if hole is None:
            continue
        doors.append(hole)
        old, new = group[j], group[i]
        group = [new if g == old else g for g in group]
    return walls, doors


def _shared(cells: Sequence[Polygon]) -> Iterator[tuple[int, int, LineString]]:
    for i, a in enumerate(cells):
        for j in range(i + 1, len(cells)):
            meet = shapely.line_merge(a.intersection(cells[j])) if a.intersects(cells[j]) else None
            for line in [] if meet is None else getattr(meet, "geoms", [meet]):
                if isinstance(line, LineString) and line.length > 0.2 and len(line.coords) == 2:
                    yield i, j, line


def _in_line(line: LineString, thick: float, thick_out: float, rng: Rng) -> Hole | None:
    """A door, or an opening without one, somewhere along an inner wall."""
    kind = rng.random()
    wide = float(rng.choice([0.62, 0.7, 0.75, 0.8, 0.85, 0.9, 1.0]))
    subtype = "single"
    if kind < 0.12:
        subtype, wide = "sliding", float(rng.uniform(0.8, 2.4))
    elif kind < 0.2:
        subtype, wide = "double", float(rng.uniform(1.1, 1.8))
    elif kind < 0.26:
        subtype = "pocket"
    elif kind < 0.31:
        subtype = "folding"
    what = "opening" if rng.random() < 0.15 else "door"
    wide = wide if what == "door" else float(rng.uniform(0.8, 2.2))
    spare = line.length - wide - thick_out - 0.12
    if spare < 0:
        return None
    near_end = rng.random() < 0.6
    start = thick_out / 2 + 0.06 + (min(spare, 0.1) if near_end else spare * rng.random())
    if rng.random() < 0.5:
        start = line.length - start - wide
    return _hole_on(line, start, wide, thick, what, subtype, rng)


def _hole_on(line: LineString, start: float, wide: float, thick: float, what: str, subtype: str, rng: Rng) -> Hole:
    p, q = line.interpolate(start), line.interpolate(start + wide)
    hinge, swing = ("a", "b")[int(rng.integers(2))], ("left", "right")[int(rng.integers(2))]
    return Hole((p.x, p.y), (q.x, q.y), thick, what, subtype, hinge, swing)


def _outside(
    whole: Polygon, cells: Sequence[Polygon], thick: float, solid: BaseGeometry, doors: list[Hole], rng: Rng
) -> list[Hole]:
    """Windows along the outer walls, one or two doors to the outside, perhaps a garage door."""
    found: list[Hole] = []
    points = np.array(whole.exterior.coords)
    entrances = int(rng.integers(1, 3))
    sides = [LineString([a, b]) for a, b in itertools.pairwise(points)]
    for k in rng.permutation(len(sides)):
        line = sides[int(k)]
        place = thick / 2 + rng.uniform(0.2, 1.0)
        while place < line.length - thick / 2 - 0.9:
            what, subtype, wide = "window", "window", float(rng.uniform(0.5, 2.4))
            if entrances and rng.random() < 0.3:
                what, wide, entrances = "door", float(rng.uniform(0.8, 1.05)), entrances - 1
                subtype = str(rng.choice(["entrance", "double", "entrance", "sliding"]))
                wide *= 1.8 if subtype != "entrance" else 1.0
            elif rng.random() < 0.03:
                what, subtype, wide = "door", "garage", float(rng.uniform(2.2, 3.0))
            if place + wide < line.length - thick / 2 - 0.15:
                found.append(_hole_on(line, place, wide, thick, what, subtype, rng))
            place += wide + rng.uniform(0.3, 2.5)
    clear = solid.buffer(0)
    return [h for h in found if not _blocked(h, clear)]


def _blocked(hole: Hole, solid: BaseGeometry) -> bool:
    """Whether a wall runs into the middle of a hole."""
    along = (np.array(hole.b) - np.array(hole.a)) / hole.width
    across = np.array([-along[1], along[0]]) * (hole.thickness / 2 + 0.06)
    sides = [LineString([np.array(hole.a) + s * across, np.array(hole.b) + s * across]) for s in (1, -1)]
    return any(side.intersection(solid).length > 0.01 for side in sides)


def _apart(holes: list[Hole]) -> list[Hole]:
    kept: list[Hole] = []
    for hole in holes:
        area = hole.area.buffer(0.08)
        if not any(area.intersects(other.area) for other in kept):
            kept.append(hole)
    return kept


def _named(shape: Polygon, rng: Rng) -> Space:
    x0, y0, x1, y1 = shape.bounds
    slim = min(x1 - x0, y1 - y0)
    if shape.area < 2.2:
        kinds = ["closet", "restroom"]
    elif shape.area < 7:
        kinds = ["bathroom", "corridor", "washing_room", "restroom"] if slim < 2 else ["bathroom", "kitchen", "office"]
    else:
        kinds = ["bedroom", "living_room", "kitchen", "office", "bedroom", "garage"]
    kind = str(rng.choice(kinds))
    return Space(shape, kind, str(rng.choice(_WORDS[kind])))


def _balcony(whole: Polygon, thick: float, rng: Rng) -> tuple[tuple[Polygon, ...], tuple[Space, ...]]:
    """A balcony with railings before one side, sometimes."""
    if rng.random() > 0.4:
        return (), ()
    x0, y0, x1, _y1 = whole.bounds
    a = rng.uniform(x0, x0 + 0.5 * (x1 - x0))
    b = a + rng.uniform(0.25, 0.5) * (x1 - x0)
    deep, rail = rng.uniform(0.9, 2.2), float(rng.choice([0.04, 0.05, 0.08, 0.1]))
    if whole.intersection(box(a, y0 - 0.1, b, y0 + 0.05)).area < 0.045 * (b - a):
        return (), ()
    face = y0 - thick / 2
    line = LineString([(a, face), (a, face - deep), (b, face - deep), (b, face)])
    rails = line.buffer(rail / 2, cap_style="flat", join_style="mitre")
    floor = box(a, face - deep, b, face).difference(rails)
    inner = max(_polygons(floor), key=lambda p: p.area)
    return (rails,), (Space(inner, "balcony", str(rng.choice(_WORDS["balcony"]))),)
