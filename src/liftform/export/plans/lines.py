"""What a drawing of a storey shows: walls cut open, leaves and arcs, panes, labels; for SVG, DXF and overlays."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from ...floorplan import Opening, Plan, Point, Storey, arc
from ...floorplan.plane import Plane, polygons
from ...runtime import need

#: Metres between storeys that are drawn side by side.
_APART = 3.0


@dataclass(frozen=True)
class Drawing:
    """A storey in lines, metres, y up.

    walls: (outer, holes) rings of the walls without their openings; railings likewise. doors, windows: polylines.
    swings: (hinge, closed end, open end) of leaves. labels: (place, lines of text). rooms: (type, outer, holes).
    """

    storey: Storey
    walls: list[tuple[list[Point], list[list[Point]]]] = field(default_factory=list)
    railings: list[tuple[list[Point], list[list[Point]]]] = field(default_factory=list)
    rooms: list[tuple[str, list[Point], list[list[Point]]]] = field(default_factory=list)
    leaves: list[tuple[Point, Point]] = field(default_factory=list)
    swings: list[tuple[Point, Point, Point]] = field(default_factory=list)
    doors: list[tuple[Point, Point]] = field(default_factory=list)
    windows: list[tuple[Point, Point]] = field(default_factory=list)
    steps: list[list[Point]] = field(default_factory=list)
    columns: list[list[Point]] = field(default_factory=list)
    labels: list[tuple[Point, tuple[str, ...]]] = field(default_factory=list)


def drawing(storey: Storey) -> Drawing:
    """The lines of a storey."""
    shapely = need("shapely", "plans")
    plane, out = Plane(storey), Drawing(storey)
    holes = shapely.union_all(list(plane.holes.values()))
    rails = [plane.outlines[wall.id] for wall in storey.walls if wall.kind == "railing"]
    out.walls.extend(_rings(shapely.difference(plane.walled, holes)))
    out.railings.extend(_rings(shapely.difference(shapely.union_all(rails), shapely.union(plane.walled, holes))))
    for room, shape in plane.rooms:
        out.rooms.extend((room.type, outer, inner) for outer, inner in _rings(shape))
        if not shape.is_empty:
            place = shape.point_on_surface() if not shape.contains(shape.centroid) else shape.centroid
            name = room.label or room.type.replace("_", " ")
            out.labels.append(((place.x, place.y), (name, f"{room.area:.1f} m2")))
    for opening in storey.openings:
        _openings(out, opening, plane)
    for stair in storey.stairs:
        for places in plane.steps(stair, stair.steps or 14):
            out.steps.extend(outer for shape in places for outer, _ in _rings(shape))
    out.columns.extend(list(column.polygon) for column in storey.columns)
    return out


def _openings(out: Drawing, opening: Opening, plane: Plane) -> None:
    slot = plane.slot(opening)
    a, b = opening.a, opening.b
    if opening.type == "window":
        sides = (slot.near, (slot.near + slot.far) / 2, slot.far)
        out.windows.extend((_beside(a, slot.angle, y), _beside(b, slot.angle, y)) for y in sides)
    elif opening.type == "door" and opening.subtype in ("sliding", "pocket", "garage", "folding", "revolving"):
        middle = ((a[0] + b[0]) / 2, (a[1] + b[1]) / 2)
        out.doors.append((_beside(a, slot.angle, 0.02), _beside(middle, slot.angle, 0.02)))
        out.doors.append((_beside(middle, slot.angle, -0.02), _beside(b, slot.angle, -0.02)))
    elif opening.type == "door":
        for hinge, closed, opened in swings(opening):
            out.leaves.append((hinge, opened))
            out.swings.append((hinge, closed, opened))


def swings(opening: Opening) -> list[tuple[Point, Point, Point]]:
    """(hinge, end of the closed leaf, end of the leaf wide open) for every hinged leaf."""
    a, b, side = opening.a, opening.b, -1.0 if opening.swing == "right" else 1.0
    middle = ((a[0] + b[0]) / 2, (a[1] + b[1]) / 2)
    both = opening.subtype == "double"
    found = []
    for end, hinge, far in (("a", a, b), ("b", b, a)):
        if not both and end != (opening.hinge or "a"):
            continue
        closed = middle if both else far
        dx, dy = closed[0] - hinge[0], closed[1] - hinge[1]
        turn = side if end == "a" else -side
        found.append((hinge, closed, (hinge[0] - turn * dy, hinge[1] + turn * dx)))
    return found


def swing_arc(hinge: Point, closed: Point, opened: Point) -> tuple[Point, ...]:
    """Points of the quarter circle that a leaf's end draws."""
    cross = (closed[0] - hinge[0]) * (opened[1] - hinge[1]) - (closed[1] - hinge[1]) * (opened[0] - hinge[0])
    return arc(closed, opened, math.copysign(math.tan(math.pi / 8), cross))


def _beside(p: Point, angle: float, y: float) -> Point:
    return p[0] - math.sin(angle) * y, p[1] + math.cos(angle) * y


def _rings(shape: Any) -> list[tuple[list[Point], list[list[Point]]]]:
    def ring(line: Any) -> list[Point]:
        return [(float(x), float(y)) for x, y in line.coords[:-1]]

    return [(ring(part.exterior), [ring(hole) for hole in part.interiors]) for part in polygons(shape)]


def offsets(plan: Plan) -> list[Point]:
    """Where each storey is drawn, so that all stand side by side, lower left corners on one line."""
    out, x = [], 0.0
    for storey in plan.storeys:
        x0, y0, x1, _ = storey.bounds
        out.append((x - x0, -y0) if len(plan.storeys) > 1 else (0.0, 0.0))
        x += x1 - x0 + _APART
    return out
