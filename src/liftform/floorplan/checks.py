"""Everything that can be wrong with a floor plan: not finite, not closed, outside its wall, unknown ids."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from typing import Any

from .shapes import fault_of_ring, near_ring, nearest_on
from .types import OPENING_TYPES, SUBTYPES, WALL_KINDS, Column, Fixture, Opening, Plan, Room, Stair, Storey, Wall

_FARTHEST = 10_000.0  # most of a coordinate (m)
_OFF = 0.05  # how far (m) an opening may lie off its wall's centre line or beyond its ends


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
        ids = Counter(part.id for part in getattr(storey, kind))
        found += [f"{kind}: id {name!r} is used twice" for name, count in ids.items() if count > 1]
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


def _finite(value: Any) -> bool:
    """Whether all numbers in a tree of dataclasses and tuples are finite and no farther than 10 km."""
    if dataclasses.is_dataclass(value):
        return all(_finite(getattr(value, f.name)) for f in dataclasses.fields(value) if f.name != "sheet_from_m")
    if isinstance(value, tuple):
        return all(map(_finite, value))
    return not isinstance(value, float) or abs(value) <= _FARTHEST
