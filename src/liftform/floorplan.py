"""What a floor plan says, as plain data in metres: walls, openings, rooms, storeys, scale; read, written and checked.

Frame: x to the right, y up the sheet, metres. The JSON is ``liftform-plan/1``, a superset of ``floorplan-truth/1``:
one storey lies flat on the top level (walls, openings, rooms ...), several lie in the list "storeys".
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from .errors import InputError, InputNotFoundError, TooLargeError, UnreadableError

Point = tuple[float, float]
Ring = tuple[Point, ...]

SCHEMA, ALSO_READ = "liftform-plan/1", ("floorplan-truth/1",)
WALL_KINDS = ("wall", "railing")
OPENING_TYPES = ("door", "window", "opening")
SUBTYPES = (
    *("single", "double", "sliding", "pocket", "folding", "entrance", "garage", "revolving"),
    *("window", "fixed", "opening"),
)
#: The vocabulary of Room.type; others are allowed and treated like "none".
ROOM_TYPES = (
    *("living_room", "dining_room", "kitchen", "bedroom", "office", "bathroom", "restroom", "washing_room"),
    *("closet", "storage", "utility", "PS", "corridor", "entrance", "stair", "balcony", "terrace", "garage", "none"),
)
WET = frozenset({"bathroom", "restroom", "washing_room"})
OUTDOOR = frozenset({"balcony", "terrace"})

#: Largest plan file (bytes) and number of elements of one kind that are read; most of a coordinate (m).
_MOST_BYTES, _MOST_PARTS, _FARTHEST = 50_000_000, 20_000, 10_000.0
#: How far (m) an opening may lie off its wall's centre line or beyond its ends; how far width may be off.
_OFF, _WIDTH_OFF = 0.05, 0.01


@dataclass(frozen=True)
class Wall:
    """A wall or railing from a to b along its centre line.

    polygon: its outline on the floor, () for the plain strip of ``thickness`` about the centre line. bulge: of a
    curved wall, the tangent of a quarter of its angle, > 0 when the arc runs counter-clockwise from a to b (as in
    DXF). height in metres or None for the storey's. confidence in [0, 1].
    """

    id: str
    a: Point
    b: Point
    thickness: float
    kind: str = "wall"
    exterior: bool = False
    polygon: Ring = ()
    height: float | None = None
    bulge: float = 0.0
    name: str = ""
    confidence: float = 1.0

    @property
    def outline(self) -> Ring:
        """The polygon, or the strip about the centre line."""
        return self.polygon or strip(self.centre_line, self.thickness)

    @property
    def centre_line(self) -> Ring:
        """Points from a to b: two, or those of the arc, at most 5 degrees apart."""
        return arc(self.a, self.b, self.bulge)


@dataclass(frozen=True)
class Opening:
    """A door, window or plain opening from a to b on the centre line of its wall (an id).

    sill and head: heights (m) above the floor. rooms: ids of those on either side, None for outside. hinge: the end
    ("a" or "b") on which the leaf hangs; swing: the side, seen from a to b, to which it opens ("left" or "right").
    """

    id: str
    type: str
    a: Point
    b: Point
    wall: str
    subtype: str = "single"
    sill: float = 0.0
    head: float = 2.0
    rooms: tuple[str | None, str | None] = (None, None)
    hinge: str | None = None
    swing: str | None = None
    confidence: float = 1.0

    @property
    def width(self) -> float:
        """Clear width in metres."""
        return math.dist(self.a, self.b)


@dataclass(frozen=True)
class Room:
    """A closed room: polygon along the inner faces of its walls, holes, and what it is called.

    type: one of ROOM_TYPES or another word; label: as the sheet says it; labels: all the words that apply.
    """

    id: str
    type: str
    polygon: Ring
    holes: tuple[Ring, ...] = ()
    label: str = ""
    labels: tuple[str, ...] = ()
    number: str = ""
    confidence: float = 1.0

    @property
    def area(self) -> float:
        """Square metres without the holes."""
        return abs(signed_area(self.polygon)) - sum(abs(signed_area(hole)) for hole in self.holes)


@dataclass(frozen=True)
class Stair:
    """A flight of stairs: its outline, the line walked upwards (a, ..., b), and the number of steps or 0."""

    id: str
    polygon: Ring
    path: Ring
    steps: int = 0
    confidence: float = 1.0


@dataclass(frozen=True)
class Column:
    """A free-standing column by its outline."""

    id: str
    polygon: Ring
    confidence: float = 1.0


@dataclass(frozen=True)
class Fixture:
    """Something fixed or furniture that the sheet shows: its kind ("wc", "bath", "sink" ...) and outline."""

    id: str
    type: str
    polygon: Ring
    confidence: float = 1.0


@dataclass(frozen=True)
class Storey:
    """One floor. elevation: of its floor (m); height: from floor to ceiling (m).

    page: of the source, from 0, or None. sheet_from_m: 3 rows of 3, the homography from metres to units of the sheet
    (pixels of the picture as loaded, y down; of a PDF or DXF its points or units), () where it is unknown.
    """

    name: str = "Floor"
    elevation: float = 0.0
    height: float = 2.4
    walls: tuple[Wall, ...] = ()
    openings: tuple[Opening, ...] = ()
    rooms: tuple[Room, ...] = ()
    stairs: tuple[Stair, ...] = ()
    columns: tuple[Column, ...] = ()
    fixtures: tuple[Fixture, ...] = ()
    page: int | None = None
    sheet_from_m: tuple[tuple[float, float, float], ...] = ()

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 of everything on it; zeros when it is empty."""
        rings = [part.outline for part in self.walls] + [room.polygon for room in self.rooms]
        points = [point for ring in rings for point in ring]
        if not points:
            return 0.0, 0.0, 0.0, 0.0
        xs, ys = zip(*points, strict=True)
        return min(xs), min(ys), max(xs), max(ys)


@dataclass(frozen=True)
class ScaleVote:
    """One cue of the scale: what it is ("printed", "bar", "dimension", "area", "door"), its text, what it says."""

    kind: str
    text: str
    metres_per_unit: float
    weight: float = 1.0


@dataclass(frozen=True)
class Scale:
    """How long a unit of the sheet is in metres, or None where nothing tells; how that is known, and what disagrees.

    origin: "given", "printed", "bar", "dimensions", "areas", "doors", "file" (a plan already in metres) or "unknown".
    error: expected relative error. conflicts: one line each.
    """

    metres_per_unit: float | None = None
    origin: str = "unknown"
    error: float = 0.0
    votes: tuple[ScaleVote, ...] = ()
    conflicts: tuple[str, ...] = ()
    confidence: float = 1.0


@dataclass(frozen=True)
class Plan:
    """A home: its storeys from the lowest up, where it came from, its scale, and what a person should check.

    auto_accept: the reader vouches for the whole sheet; checks: one line for each thing to look at.
    """

    storeys: tuple[Storey, ...]
    id: str = "plan"
    source: str = ""
    licence: str = ""
    scale: Scale = field(default_factory=lambda: Scale(1.0, "file"))
    checks: tuple[str, ...] = ()
    auto_accept: bool = False

    def validate(self) -> Plan:
        """Return self, or raise InputError with the first thing that is wrong."""
        found = problems(self)
        if found:
            more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            raise InputError(f"{self.source or self.id}: {found[0]}{more}", "correct the plan's JSON")
        return self


# -- small geometry --------------------------------------------------------------------------------------------------


def signed_area(ring: Ring) -> float:
    """Area by the shoelace formula, > 0 counter-clockwise."""
    return sum(p[0] * q[1] - q[0] * p[1] for p, q in zip(ring, (*ring[1:], ring[0]), strict=True)) / 2 if ring else 0.0


def arc(a: Point, b: Point, bulge: float) -> Ring:
    """Points from a to b along the arc of a bulge (tangent of a quarter of its angle), at most 5 degrees apart."""
    if bulge == 0.0:
        return a, b
    angle = 4 * math.atan(bulge)
    count = max(2, math.ceil(abs(math.degrees(angle)) / 5))
    off = (1 / bulge - bulge) / 4  # of the centre from the chord's middle, in chords, to the left of a -> b
    dx, dy = b[0] - a[0], b[1] - a[1]
    cx, cy = (a[0] + b[0]) / 2 - dy * off, (a[1] + b[1]) / 2 + dx * off
    turned = []
    for k in range(1, count):
        c, s = math.cos(angle * k / count), math.sin(angle * k / count)
        x, y = a[0] - cx, a[1] - cy
        turned.append((cx + c * x - s * y, cy + s * x + c * y))
    return a, *turned, b


def strip(line: Ring, thickness: float) -> Ring:
    """Outline, counter-clockwise, of a line of some thickness with flat ends and mitred corners."""
    left, right = [], []
    for k, (x, y) in enumerate(line):
        before, after = _direction(line, max(k - 1, 0)), _direction(line, min(k, len(line) - 2))
        nx, ny = -(before[1] + after[1]), before[0] + after[0]
        half = thickness / max(nx * nx + ny * ny, 1e-9)
        left.append((x + nx * half, y + ny * half))
        right.append((x - nx * half, y - ny * half))
    return *right, *reversed(left)


def _direction(line: Ring, k: int) -> Point:
    dx, dy = line[k + 1][0] - line[k][0], line[k + 1][1] - line[k][1]
    length = max(math.hypot(dx, dy), 1e-12)
    return dx / length, dy / length


def nearest_on(line: Ring, point: Point) -> tuple[float, float]:
    """(distance of a point from a line, metres along the line to its nearest place)."""
    best, gone = (math.inf, 0.0), 0.0
    for k in range(len(line) - 1):
        length, (ux, uy) = math.dist(line[k], line[k + 1]), _direction(line, k)
        along = (point[0] - line[k][0]) * ux + (point[1] - line[k][1]) * uy
        held = min(max(along, 0.0), length)
        away = math.dist(point, (line[k][0] + ux * held, line[k][1] + uy * held))
        best, gone = min(best, (away, gone + held)), gone + length
    return best


# -- checks ----------------------------------------------------------------------------------------------------------


def problems(plan: Plan) -> list[str]:
    """Everything that is wrong with a plan, one line each: not finite, not closed, outside its wall, unknown ids."""
    if not plan.storeys:
        return ["the plan has no storey"]
    several = len(plan.storeys) > 1
    return [
        f"storey {storey.name!r}: {line}" if several else line
        for storey in plan.storeys
        for line in _problems_of_storey(storey)
    ]


def _problems_of_storey(storey: Storey) -> list[str]:
    if not _finite(storey):
        return ["numbers must be finite, and no coordinate beyond 10 km"]
    found = []
    for kind in ("walls", "openings", "rooms", "stairs", "columns", "fixtures"):
        ids = [part.id for part in getattr(storey, kind)]
        found += [f"{kind}: id {twice!r} is used twice" for twice in sorted({i for i in ids if ids.count(i) > 1})]
        for part in getattr(storey, kind):
            if not 0 <= part.confidence <= 1:
                found.append(f"{kind}: {part.id}: confidence must be in [0, 1]")
    if not 1.5 <= storey.height <= 50:
        found.append(f"the storey's height of {storey.height:g} m is not between 1.5 and 50 m")
    walls = {wall.id: wall for wall in storey.walls}
    rooms = {room.id for room in storey.rooms}
    found += [line for wall in storey.walls for line in _problems_of_wall(wall)]
    found += [line for opening in storey.openings for line in _problems_of_opening(opening, walls, rooms)]
    closed: tuple[Room | Stair | Column | Fixture, ...]
    closed = (*storey.rooms, *storey.stairs, *storey.columns, *storey.fixtures)
    for part in closed:
        fault = fault_of_ring(part.polygon)
        if fault:
            found.append(f"{type(part).__name__.lower()} {part.id}: its polygon {fault}")
    return found


def _problems_of_wall(wall: Wall) -> list[str]:
    what = f"wall {wall.id}: "
    if wall.kind not in WALL_KINDS:
        return [f"{what}kind must be {' or '.join(WALL_KINDS)}, not {wall.kind!r}"]
    if not 0.005 <= wall.thickness <= 5:
        return [f"{what}a thickness of {wall.thickness:g} m is not between 0.005 and 5 m"]
    if math.dist(wall.a, wall.b) < 1e-3:
        return [f"{what}a and b are the same point"]
    if wall.height is not None and not 0.05 <= wall.height <= 50:
        return [f"{what}a height of {wall.height:g} m is not between 0.05 and 50 m"]
    fault = fault_of_ring(wall.outline)
    if fault:
        return [f"{what}its polygon {fault}"]
    line = wall.centre_line
    middle = line[len(line) // 2] if len(line) > 2 else ((wall.a[0] + wall.b[0]) / 2, (wall.a[1] + wall.b[1]) / 2)
    if not near_ring(wall.outline, middle, wall.thickness / 2 + _OFF):
        return [f"{what}its polygon lies elsewhere than a and b (after an edit of a or b, leave the polygon out)"]
    return []


def _problems_of_opening(opening: Opening, walls: dict[str, Wall], rooms: set[str]) -> list[str]:
    what = f"opening {opening.id}: "
    for name, value, allowed in (
        ("type", opening.type, OPENING_TYPES),
        ("subtype", opening.subtype, SUBTYPES),
        ("hinge", opening.hinge, ("a", "b", None)),
        ("swing", opening.swing, ("left", "right", None)),
    ):
        if value not in allowed:
            return [f"{what}{name} must be one of {', '.join(map(str, allowed))}, not {value!r}"]
    wall = walls.get(opening.wall)
    if wall is None:
        return [f"{what}there is no wall {opening.wall!r}"]
    if opening.width < 0.05:
        return [f"{what}a width of {opening.width:g} m is too small"]
    if not 0 <= opening.sill < opening.head:
        return [f"{what}sill ({opening.sill:g} m) and head ({opening.head:g} m) are no heights from low to high"]
    for end in (opening.a, opening.b):
        away, _ = nearest_on(wall.centre_line, end)
        if away > _OFF:
            return [f"{what}it reaches {away:.2f} m out of its wall {wall.id}"]
    return [f"{what}there is no room {room!r}" for room in opening.rooms if room is not None and room not in rooms]


def fault_of_ring(ring: Ring) -> str:
    """What is wrong with a closed polygon without its repeated end, or "": too few points, crosses itself, no area."""
    if len(ring) < 3:
        return "has fewer than three corners"
    if abs(signed_area(ring)) < 1e-6:
        return "has no area"
    if len(ring) > 2000:
        return ""
    edges = list(zip(ring, (*ring[1:], ring[0]), strict=True))
    for i, (p, q) in enumerate(edges):
        for r, s in edges[i + 2 :]:
            if _cross(p, q, r, s):
                return f"crosses itself near ({p[0]:.2f}, {p[1]:.2f})"
    return ""


def _cross(p: Point, q: Point, r: Point, s: Point) -> bool:
    """Whether two segments cross in a point inside both, and by more than rounding."""
    if max(p[0], q[0]) < min(r[0], s[0]) or max(r[0], s[0]) < min(p[0], q[0]):
        return False

    def side(a: Point, b: Point, c: Point) -> float:
        area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        return 0.0 if abs(area) <= 1e-4 * math.dist(a, b) else area

    return side(p, q, r) * side(p, q, s) < 0 and side(r, s, p) * side(r, s, q) < 0


def near_ring(ring: Ring, point: Point, reach: float) -> bool:
    """Whether a point lies in a polygon or within ``reach`` metres of its edge."""
    inside = False
    for p, q in zip(ring, (*ring[1:], ring[0]), strict=True):
        if (p[1] > point[1]) != (q[1] > point[1]):
            inside ^= point[0] < p[0] + (point[1] - p[1]) / (q[1] - p[1]) * (q[0] - p[0])
    return inside or nearest_on((*ring, ring[0]), point)[0] <= reach


def _finite(value: Any) -> bool:
    """Whether all numbers in a tree of dataclasses and tuples are finite and no farther than 10 km."""
    if dataclasses.is_dataclass(value):
        return all(_finite(getattr(value, f.name)) for f in dataclasses.fields(value) if f.name != "sheet_from_m")
    if isinstance(value, tuple):
        return all(map(_finite, value))
    return not isinstance(value, float) or abs(value) <= _FARTHEST


# -- JSON ------------------------------------------------------------------------------------------------------------


_Part = TypeVar("_Part")
_KINDS: dict[str, type[Any]] = {
    "walls": Wall,
    "openings": Opening,
    "rooms": Room,
    "stairs": Stair,
    "columns": Column,
    "fixtures": Fixture,
}
_POINTS, _RINGS, _WORDS = {"a", "b"}, {"polygon", "path"}, {"rooms", "labels"}
_TEXTS = {"id", "type", "kind", "label", "name", "number", "wall", "subtype", "hinge", "swing", "origin", "text"}
#: Told from the others, or of the older schema only; read and not kept.
_DERIVED = {"width", "area"}


def to_json(plan: Plan) -> dict[str, Any]:
    """The plan as JSON-ready data: schema ``liftform-plan/1``."""
    head = {
        "schema": SCHEMA,
        "id": plan.id,
        "source": plan.source,
        "licence": plan.licence,
        "units": "m",
        "y_axis": "up",
        "scale": _plain(plan.scale),
        "auto_accept": plan.auto_accept,
        "checks": list(plan.checks),
    }
    storeys = [_storey_to_json(storey) for storey in plan.storeys]
    return head | storeys[0] if len(storeys) == 1 else head | {"storeys": storeys}


def _storey_to_json(storey: Storey) -> dict[str, Any]:
    data: dict[str, Any] = {
        "storey": {"name": storey.name, "elevation": storey.elevation, "height": storey.height},
        "page": storey.page,
        "sheet_from_m": [list(row) for row in storey.sheet_from_m],
    }
    for kind in _KINDS:
        data[kind] = [_plain(part) for part in getattr(storey, kind)]
    for entry, opening in zip(data["openings"], storey.openings, strict=True):
        entry["width"] = round(opening.width, 6)
    for entry, room in zip(data["rooms"], storey.rooms, strict=True):
        entry["area"] = round(room.area, 4)
    counts = {f"{kind}s": sum(o.type == kind for o in storey.openings) for kind in OPENING_TYPES}
    bounds = [round(value, 6) for value in storey.bounds]
    return data | {
        "bounds": bounds,
        "counts": {"walls": len(storey.walls), "rooms": len(storey.rooms)} | counts,
        "area_m2": round(sum(room.area for room in storey.rooms if room.type not in OUTDOOR), 2),
    }


def _plain(value: Any) -> Any:
    """Dataclasses as dicts without what is at its default emptiness, tuples as lists, lengths to the micrometre."""
    if dataclasses.is_dataclass(value):
        items = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return {key: _plain(item) for key, item in items.items() if item not in (None, (), "") or key == "label"}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return round(value, 6) if isinstance(value, float) else value


def read(path: str | Path) -> Plan:
    """The plan of a JSON file, checked.

    Raises InputNotFoundError, TooLargeError, UnreadableError (no JSON, another schema) and InputError (a wrong plan).
    """
    path = Path(path)
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise TooLargeError(f"{path} has more than {_MOST_BYTES // 1_000_000} MB", "give a plan of one home")
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise InputNotFoundError(f"there is no file {path}") from None
    except OSError as error:
        raise InputNotFoundError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"{path} is not JSON: {error}", "give a plan as `liftform plan` writes it") from None
    return dataclasses.replace(from_json(data, str(path)), source=str(path)).validate()


def from_json(data: Any, source: str = "the plan") -> Plan:
    """A plan from JSON data of ``liftform-plan/1`` or ``floorplan-truth/1``; not yet validated.

    Raises UnreadableError naming the place that is wrong. Of our own schema, unknown keys of an element are wrong.
    """
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema not in (SCHEMA, *ALSO_READ):
        raise UnreadableError(f"{source} is no plan: its schema is {schema!r}, not {SCHEMA!r}")
    strict = schema == SCHEMA
    try:
        storeys = tuple(_read_storey(entry, strict) for entry in _list(data.get("storeys", [data]), "storeys"))
        scale = _read_scale(data["scale"]) if "scale" in data else Scale(1.0, "file")
        return Plan(
            storeys,
            id=str(data.get("id", "plan")),
            source=str(data.get("source", "")),
            licence=str(data.get("licence", "")),
            scale=scale,
            checks=tuple(map(str, _list(data.get("checks", []), "checks"))),
            auto_accept=data.get("auto_accept") is True,
        )
    except _Wrong as error:
        raise UnreadableError(f"{source}: {error}", "correct the plan's JSON") from None


class _Wrong(Exception):
    """A place of the JSON that is wrong, and how."""


def _read_storey(data: Any, strict: bool) -> Storey:
    head = data.get("storey", {}) if isinstance(data, dict) else None
    if not isinstance(head, dict):
        raise _Wrong("storey must be an object")
    parts: dict[str, Any] = {}
    for kind, cls in _KINDS.items():
        entries = _list(data.get(kind, []), kind)
        parts[kind] = tuple(_read_part(cls, entry, f"{kind}[{k}]", strict) for k, entry in enumerate(entries))
    page = data.get("page")
    rows = [_ring3(row) for row in _list(data.get("sheet_from_m", []), "sheet_from_m")]
    return Storey(
        name=str(head.get("name", "Floor")),
        elevation=_number(head.get("elevation", 0.0), "storey.elevation"),
        height=_number(head.get("height", 2.4), "storey.height"),
        page=None if page is None else int(_number(page, "page")),
        sheet_from_m=tuple(rows),
        **parts,
    )


def _read_part(cls: type[_Part], entry: Any, where: str, strict: bool) -> _Part:
    """One element; ``where`` names its place."""
    if not isinstance(entry, dict):
        raise _Wrong(f"{where} must be an object")
    known = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(entry) - set(known) - _DERIVED)
    if strict and unknown:
        raise _Wrong(f"{where} has an unknown key {unknown[0]!r}")
    missing = [name for name, f in known.items() if f.default is dataclasses.MISSING and name not in entry]
    if missing:
        raise _Wrong(f"{where} has no {missing[0]!r}")
    values = {name: _value(name, entry[name], f"{where}.{name}") for name in known if name in entry}
    part = cls(**values)
    if isinstance(part, Opening) and "width" in entry:
        said = _number(entry["width"], f"{where}.width")
        if abs(said - part.width) > _WIDTH_OFF:
            raise _Wrong(f"{where}: width {said:g} is not the distance {part.width:.3f} of a and b: move a or b")
    return part


def _value(name: str, value: Any, where: str) -> Any:
    if name in _POINTS:
        return _point(value, where)
    if name in _RINGS:
        return _ring(value, where)
    if name == "holes":
        return tuple(_ring(ring, where) for ring in _list(value, where))
    if name in _WORDS:
        return tuple(None if word is None else str(word) for word in _list(value, where))
    if name == "exterior":
        return bool(value)
    if name in _TEXTS:
        if not (value is None or isinstance(value, str | int)):
            raise _Wrong(f"{where} must be text")
        return None if value is None and name in ("hinge", "swing") else str(value)
    if name == "height" and value is None:
        return None
    return int(_number(value, where)) if name == "steps" else _number(value, where)


def _read_scale(data: Any) -> Scale:
    if not isinstance(data, dict):
        raise _Wrong("scale must be an object")
    votes = tuple(
        ScaleVote(
            str(vote.get("kind", "")),
            str(vote.get("text", "")),
            _number(vote.get("metres_per_unit"), f"scale.votes[{k}].metres_per_unit"),
            _number(vote.get("weight", 1.0), f"scale.votes[{k}].weight"),
        )
        for k, vote in enumerate(_list(data.get("votes", []), "scale.votes"))
        if isinstance(vote, dict)
    )
    unit = data.get("metres_per_unit")
    return Scale(
        None if unit is None else _number(unit, "scale.metres_per_unit"),
        str(data.get("origin", "unknown")),
        _number(data.get("error", 0.0), "scale.error"),
        votes,
        tuple(map(str, _list(data.get("conflicts", []), "scale.conflicts"))),
        _number(data.get("confidence", 1.0), "scale.confidence"),
    )


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _Wrong(f"{where} must be a finite number")
    return float(value)


def _point(value: Any, where: str) -> Point:
    pair = _list(value, where)
    if len(pair) != 2:
        raise _Wrong(f"{where} must be a point [x, y]")
    return _number(pair[0], where), _number(pair[1], where)


def _ring(value: Any, where: str) -> Ring:
    """Points without repetitions, and without the first one again at the end."""
    points = [_point(point, where) for point in _list(value, where)]
    kept = [p for k, p in enumerate(points) if k == 0 or math.dist(p, points[k - 1]) > 1e-6]
    while len(kept) > 1 and math.dist(kept[0], kept[-1]) <= 1e-6:
        kept.pop()
    return tuple(kept)


def _ring3(value: Any) -> tuple[float, float, float]:
    row = [_number(number, "sheet_from_m") for number in _list(value, "sheet_from_m")]
    if len(row) != 3:
        raise _Wrong("sheet_from_m must be three rows of three numbers")
    return row[0], row[1], row[2]


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise _Wrong(f"{where} must be a list")
    if len(value) > _MOST_PARTS:
        raise _Wrong(f"{where} has more than {_MOST_PARTS} entries")
    return value
