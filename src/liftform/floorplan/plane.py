"""The plane geometry of one storey by shapely: walls without overlaps, openings cut out, which room lies where."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from ..runtime import need
from .shapes import Point, Ring, arc, strip
from .types import Opening, Room, Stair, Storey, Wall

#: Corners lie on a grid of so many metres, so that neighbours agree about them.
GRID = 1e-4
#: How far beyond the faces of a wall its openings are cut; a wall of outline wider than its thickness is met too.
_BEYOND = 0.15


@dataclass(frozen=True)
class Slot:
    """The hole of one opening: a frame at its end a, x along the wall to b, y to the left, and what it passes through.

    near <= far: the faces of the wall in y, metres; angle: of x in the plan, radians.
    """

    opening: Opening
    angle: float
    near: float
    far: float

    @property
    def width(self) -> float:
        """Clear width in metres."""
        return self.opening.width


@dataclass
class Plane:
    """What a storey covers. rooms: each with its polygon, overlapping neither walls nor other rooms."""

    storey: Storey
    rooms: list[tuple[Room, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Cut the rooms off at walls and other rooms."""
        shapely = need("shapely", "plans")
        taken = self.walled
        for room in self.storey.rooms:
            shape = valid(shapely.Polygon(room.polygon, [hole for hole in room.holes if len(hole) > 2]))
            free = shapely.difference(shape, taken, grid_size=GRID)
            self.rooms.append((room, shapely.union_all(polygons(free, 1e-3))))
            taken = shapely.union(taken, free, grid_size=GRID)

    @cached_property
    def outlines(self) -> dict[str, Any]:
        """Wall id -> its outline on the grid, overlapping others: as drawn; mere strips are mitred where they meet."""
        shapely = need("shapely", "plans")
        found = {wall.id: valid(shapely.Polygon(wall.outline)) for wall in self.storey.walls}
        strips = [wall for wall in self.storey.walls if not wall.polygon and wall.kind == "wall"]
        for k, wall in enumerate(strips):
            corners = [_corner(wall, other) for other in strips[:k]]
            found[wall.id] = valid(shapely.union_all([found[wall.id], *(c for c in corners if c is not None)]))
        return found

    @cached_property
    def walled(self) -> Any:
        """Where walls stand, railings left out."""
        shapely = need("shapely", "plans")
        solid = [self.outlines[wall.id] for wall in self.storey.walls if wall.kind == "wall"]
        return shapely.union_all(solid, grid_size=GRID)

    @cached_property
    def footprint(self) -> Any:
        """Everything the storey covers: walls, rooms, railings, and what they enclose."""
        shapely = need("shapely", "plans")
        whole = shapely.union_all([*self.outlines.values(), *(shape for _, shape in self.rooms)], grid_size=GRID)
        closed = shapely.buffer(shapely.buffer(whole, 0.03, join_style="mitre"), -0.03, join_style="mitre")
        filled = [shapely.Polygon(part.exterior) for part in polygons(closed)]
        return shapely.set_precision(shapely.union_all(filled), grid_size=GRID)

    @cached_property
    def enclosed(self) -> Any:
        """Walls and all that they enclose."""
        shapely = need("shapely", "plans")
        return shapely.union_all([shapely.Polygon(part.exterior) for part in polygons(self.walled)])

    @cached_property
    def pieces(self) -> dict[str, list[Any]]:
        """Wall id -> polygons that are its own: of two that overlap, the exterior and the longer keeps the corner."""
        shapely = need("shapely", "plans")

        def rank(wall: Wall) -> tuple[bool, bool, float]:
            return wall.kind == "railing", not wall.exterior, -math.dist(wall.a, wall.b)

        order = sorted(self.storey.walls, key=rank)
        shapes = [self.outlines[wall.id] for wall in order]
        tree = shapely.STRtree(shapes)
        own = {}
        for k, wall in enumerate(order):
            before = [shapes[j] for j in sorted(tree.query(shapes[k], "intersects")) if j < k]
            left = shapely.difference(shapes[k], shapely.union_all(before), grid_size=GRID) if before else shapes[k]
            own[wall.id] = [self._split(part) for part in apart(polygons(left))]
        return own

    def _split(self, polygon: Any) -> Any:
        """A wall's polygon with corners added where rooms and other walls beside it begin and end."""
        shapely = need("shapely", "plans")
        near = self._corners[np.asarray(self._corner_tree.query(polygon, "dwithin", 0.05), int)]

        def dense(ring: Any) -> list[Point]:
            points = [(float(x), float(y)) for x, y in ring.coords]
            return [found for p, q in pairwise(points) for found in (p, *_between(p, q, near))]

        return shapely.Polygon(dense(polygon.exterior), [dense(ring) for ring in polygon.interiors])

    @cached_property
    def _corners(self) -> Any:
        """Corners (N, 2) of all rooms and walls."""
        shapely = need("shapely", "plans")
        shapes = [shape for _, shape in self.rooms] + list(self.outlines.values())
        return np.unique(shapely.get_coordinates(shapes), axis=0)

    @cached_property
    def _corner_tree(self) -> Any:
        shapely = need("shapely", "plans")
        return shapely.STRtree(shapely.points(self._corners))

    @cached_property
    def holes(self) -> dict[str, Any]:
        """Opening id -> where its wall is cut: a strip across, within the wall's outline."""
        shapely = need("shapely", "plans")
        walls = {wall.id: wall for wall in self.storey.walls}
        found = {}
        for opening in self.storey.openings:
            wall = walls[opening.wall]
            line = curved(opening, wall) if wall.bulge else (opening.a, opening.b)
            band = shapely.set_precision(shapely.Polygon(strip(line, wall.thickness + 2 * _BEYOND)), grid_size=GRID)
            found[opening.id] = shapely.intersection(
                band, shapely.buffer(self.outlines[wall.id], 2 * GRID), grid_size=GRID
            )
        return found

    def ring(self, polygon: Ring) -> Any:
        """A closed polygon as a valid shape on the grid."""
        shapely = need("shapely", "plans")
        return valid(shapely.Polygon(polygon))

    def slot(self, opening: Opening) -> Slot:
        """The frame of an opening and the faces of the wall beside it."""
        shapely = need("shapely", "plans")
        (ax, ay), (bx, by) = opening.a, opening.b
        angle = math.atan2(by - ay, bx - ax)
        corners = shapely.get_coordinates(self.holes[opening.id])
        across = (corners - (ax, ay)) @ (-math.sin(angle), math.cos(angle)) if len(corners) else np.array([-0.05, 0.05])
        return Slot(opening, angle, float(across.min()), float(across.max()))

    @cached_property
    def _room_tree(self) -> Any:
        shapely = need("shapely", "plans")
        return shapely.STRtree([shape for _, shape in self.rooms])

    def room_at(self, x: float, y: float) -> Room | None:
        """The room in which a point lies, or None."""
        shapely = need("shapely", "plans")
        found = self._room_tree.query(shapely.Point(x, y), "intersects")
        return self.rooms[int(found[0])][0] if len(found) else None

    def room_beside(self, p: Point, q: Point) -> Room | None:
        """The room to the right of a line, close to its middle, or None."""
        length = max(math.dist(p, q), 1e-9)
        nx, ny = (q[1] - p[1]) / length, (p[0] - q[0]) / length
        x, y = (p[0] + q[0]) / 2, (p[1] + q[1]) / 2
        for away in (0.03, 0.12):
            room = self.room_at(x + nx * away, y + ny * away)
            if room is not None:
                return room
        return None

    def is_inside(self, p: Point, q: Point) -> bool:
        """Whether the place to the right of a line lies within the ring of walls."""
        shapely = need("shapely", "plans")
        length = max(math.dist(p, q), 1e-9)
        x = (p[0] + q[0]) / 2 + (q[1] - p[1]) / length * 0.05
        y = (p[1] + q[1]) / 2 + (p[0] - q[0]) / length * 0.05
        return bool(shapely.contains_xy(self.enclosed, x, y))

    def steps(self, stair: Stair, count: int) -> list[list[Any]]:
        """The places of every step of a stair, lowest first: each belongs to the nearest along the path walked.

        Strips across a straight path, winders where it turns; [] without a path.
        """
        shapely = need("shapely", "plans")
        outline = valid(shapely.Polygon(stair.polygon))
        line = shapely.LineString(stair.path) if len(stair.path) > 1 else None
        if line is None or line.length < 0.2:
            return []
        middles = [line.interpolate((k + 0.5) / count, normalized=True) for k in range(count)]
        lots = shapely.voronoi_polygons(shapely.MultiPoint(middles), extend_to=outline)
        lots = [shapely.set_precision(lot, GRID) for lot in polygons(lots, 0.0)]
        tree = shapely.STRtree(middles)
        steps: list[list[Any]] = [[] for _ in middles]
        for part in apart(polygons(outline)):
            for cell, _ in cells_of(part, lots):
                steps[int(tree.nearest(cell.representative_point()))].append(cell)
        return steps


def polygons(shape: Any, least: float = 1e-4) -> list[Any]:
    """The polygons in any shapely geometry, those of less than ``least`` square metres left out."""
    return [part for part in getattr(shape, "geoms", [shape]) if part.geom_type == "Polygon" and part.area > least]


def apart(parts: list[Any]) -> list[Any]:
    """The polygons without whiskers thinner than a centimetre; those that touch themselves or one before them in a
    corner are made a millimetre smaller, as an edge of their solids would have four faces."""
    shapely = need("shapely", "plans")
    out: list[Any] = []
    for part in parts:
        opened = _grown(_grown(part, -0.005), 0.0051).intersection(part)
        for whole in polygons(opened if part.area - opened.area > 1e-7 else part):
            ring = shapely.get_coordinates(whole)
            loops = 1 + len(whole.interiors)
            touches = len(np.unique(ring, axis=0)) < len(ring) - loops or any(other.intersects(whole) for other in out)
            out += polygons(_grown(whole, -1e-3)) if touches else [whole]
    return [shapely.set_precision(part, GRID) for part in out]


def _grown(shape: Any, by: float) -> Any:
    shapely = need("shapely", "plans")
    return shapely.buffer(shape, by, join_style="mitre")


def cells_of(shape: Any, cutters: Sequence[Any]) -> list[tuple[Any, list[int]]]:
    """A polygon cut along the outlines of others: (part, which of them it lies in), corners agreeing."""
    shapely = need("shapely", "plans")
    if not cutters:
        return [(shape, [])]
    lines = shapely.unary_union(
        [shape.boundary, *(shapely.intersection(c.boundary, shape) for c in cutters)], grid_size=GRID
    )
    found = []
    for part in shapely.get_parts(shapely.polygonize([lines])):
        inner = part.representative_point()
        if shape.covers(inner):
            found.append((part, [k for k, cutter in enumerate(cutters) if cutter.covers(inner)]))
    return found


def valid(polygon: Any) -> Any:
    """A polygon made valid, on the grid."""
    shapely = need("shapely", "plans")
    whole = polygon if polygon.is_valid else shapely.make_valid(polygon)
    return shapely.set_precision(shapely.union_all(polygons(whole, 0.0)), grid_size=GRID)


def _corner(wall: Wall, other: Wall) -> Any:
    """The mitred corner of two walls that share an end, or None."""
    shapely = need("shapely", "plans")
    for mine in (wall.centre_line, wall.centre_line[::-1]):
        for theirs in (other.centre_line, other.centre_line[::-1]):
            if math.dist(mine[0], theirs[0]) < 1e-3:
                bend = [_along(theirs, other.thickness), mine[0], _along(mine, wall.thickness)]
                half = min(wall.thickness, other.thickness) / 2
                return shapely.buffer(
                    shapely.LineString(bend), half, cap_style="flat", join_style="mitre", mitre_limit=3
                )
    return None


def _along(line: Sequence[Point], length: float) -> Point:
    """A place that far from the first point towards the second."""
    (px, py), (qx, qy) = line[0], line[1]
    share = min(1.0, length / max(math.dist(line[0], line[1]), 1e-9))
    return px + (qx - px) * share, py + (qy - py) * share


def curved(opening: Opening, wall: Wall) -> tuple[Point, ...]:
    """The part of a curved wall's centre line between the ends of an opening."""
    angle = 4 * math.atan(wall.bulge)
    radius = math.dist(wall.a, wall.b) / (2 * abs(math.sin(angle / 2)))
    own = 2 * math.asin(min(1.0, opening.width / (2 * radius)))
    along = (opening.b[0] - opening.a[0]) * (wall.b[0] - wall.a[0]) + (opening.b[1] - opening.a[1]) * (
        wall.b[1] - wall.a[1]
    )
    sign = math.copysign(1.0, wall.bulge) * math.copysign(1.0, along)
    return arc(opening.a, opening.b, sign * math.tan(own / 4))


def _between(p: Point, q: Point, corners: Any) -> list[Point]:
    """Feet on p -> q of the corners that lie close beside it, in order, apart from its ends and each other."""
    length = math.dist(p, q)
    if length < 0.03 or not len(corners):
        return []
    ux, uy = (q[0] - p[0]) / length, (q[1] - p[1]) / length
    x, y = corners[:, 0] - p[0], corners[:, 1] - p[1]
    along, away = x * ux + y * uy, np.abs(y * ux - x * uy)
    feet: list[float] = []
    for t in sorted(along[(away < 0.04) & (along > 0.012) & (along < length - 0.012)].tolist()):
        if not feet or t - feet[-1] > 0.012:
            feet.append(t)
    return [(p[0] + ux * t, p[1] + uy * t) for t in feet]
