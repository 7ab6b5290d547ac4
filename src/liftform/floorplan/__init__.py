"""What a floor plan says, as plain data in metres: walls, openings, rooms, storeys, scale; read, written and checked.

Frame: x to the right, y up the sheet, metres. The JSON is ``liftform-plan/1``, a superset of ``floorplan-truth/1``:
one storey lies flat on the top level (walls, openings, rooms ...), several lie in the list "storeys".
"""

from .checks import problems
from .shapes import Point, Ring, arc, nearest_on, signed_area, strip
from .text import SCHEMA, from_json, read, to_json
from .types import (
    OPENING_TYPES,
    OUTDOOR,
    ROOM_TYPES,
    SUBTYPES,
    WALL_KINDS,
    WET,
    Column,
    Fixture,
    Opening,
    Plan,
    Room,
    Scale,
    ScaleVote,
    Stair,
    Storey,
    Wall,
    kind_of,
)

__all__ = [
    "OPENING_TYPES",
    "OUTDOOR",
    "ROOM_TYPES",
    "SCHEMA",
    "SUBTYPES",
    "WALL_KINDS",
    "WET",
    "Column",
    "Fixture",
    "Opening",
    "Plan",
    "Point",
    "Ring",
    "Room",
    "Scale",
    "ScaleVote",
    "Stair",
    "Storey",
    "Wall",
    "arc",
    "from_json",
    "kind_of",
    "nearest_on",
    "problems",
    "read",
    "signed_area",
    "strip",
    "to_json",
]
