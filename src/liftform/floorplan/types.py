"""The elements of a floor plan: walls, openings, rooms, stairs, storeys, scale."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ..errors import InputError
from .shapes import Point, Ring, arc, signed_area, strip

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


def kind_of(room_type: str) -> str:
    """A type of room without the number that some lists put behind it: "bedroom_2" -> "bedroom"."""
    head, _, tail = room_type.rpartition("_")
    return head if tail.isdigit() else room_type


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
        from .checks import problems

        found = problems(self)
        if found:
            more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            raise InputError(f"{self.source or self.id}: {found[0]}{more}", "correct the plan's JSON")
        return self
