"""What was found on a sheet -> a storey: walls with their openings, rooms with names, each with how sure it is."""

from __future__ import annotations

import math

import numpy as np
import shapely
from shapely.geometry import Point, Polygon
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union
from shapely.strtree import STRtree

from ...floorplan import OUTDOOR, Opening, Ring, Room, Storey, Wall
from .ink import polygons
from .openings import Gap
from .pieces import Piece, split
from .rooms import Space
from .walls import Walls

#: Head and sill heights (m) that plans do not show.
_DOOR_HEAD, _WINDOW_SILL, _WINDOW_HEAD = 2.0, 0.9, 2.1


def storey(
    walls: Walls, gaps: list[Gap], rails: list[Polygon], solid: BaseGeometry, spaces: list[Space], name: str
) -> Storey:
    """The elements of one floor, in metres."""
    pieces = split(solid)
    outside = _outside(solid, rails, spaces)
    elements = [_wall(f"w{k}", piece, outside, walls.sure) for k, piece in enumerate(pieces)]
    elements += [_rail(f"w{len(pieces) + k}", rail) for k, rail in enumerate(rails)]
    rooms = tuple(_room(f"r{k}", space) for k, space in enumerate(spaces))
    openings: list[Opening] = []
    for gap in sorted(gaps, key=lambda g: (round(g.a[1], 3), round(g.a[0], 3))):
        elements, host = _hosted(elements, gap, outside)
        openings.append(_opening(f"o{len(openings)}", gap, host, rooms, spaces))
    return Storey(name=name, walls=tuple(elements), openings=tuple(openings), rooms=rooms)


def ring(shape: Polygon) -> Ring:
    """Corners of a polygon's border, counter-clockwise, the first not repeated."""
    points = shapely.remove_repeated_points(shapely.geometry.polygon.orient(shape).exterior, 1e-4)
    return tuple((round(float(x), 5), round(float(y), 5)) for x, y in list(points.coords)[:-1])


def _outside(solid: BaseGeometry, rails: list[Polygon], spaces: list[Space]) -> BaseGeometry:
    """Everything that is neither wall nor room indoors."""
    indoor = [s.shape for s in spaces if not any(n.kind in OUTDOOR for n in s.names)]
    whole = unary_union([solid, *indoor]).buffer(0.02, join_style="mitre")
    return shapely.box(*solid.bounds).buffer(3.0).difference(whole)


def _wall(name: str, piece: Piece, outside: BaseGeometry, sure: float) -> Wall:
    exterior = piece.shape.buffer(0.05).intersection(outside).area > 0.02 * math.dist(piece.a, piece.b)
    plausible = 1.0 if 0.05 <= piece.thickness <= 0.5 else 0.7
    outline = ring(piece.shape)
    return Wall(
        name,
        piece.a,
        piece.b,
        piece.thickness,
        "wall",
        bool(exterior),
        outline,
        confidence=round(0.97 * sure * plausible, 3),
    )


def _rail(name: str, shape: Polygon) -> Wall:
    box = shape.minimum_rotated_rectangle
    corners = np.array(box.exterior.coords)[:4]
    sides = np.roll(corners, -1, 0) - corners
    k = int(np.argmax(np.hypot(*sides.T)))
    a = (corners[k] + corners[k - 1]) / 2
    b = a + sides[k]
    thick = float(np.hypot(*sides[(k + 1) % 4]))
    return Wall(
        name,
        (float(a[0]), float(a[1])),
        (float(b[0]), float(b[1])),
        thick,
        "railing",
        True,
        ring(shape),
        1.0,
        confidence=0.8,
    )


def _hosted(elements: list[Wall], gap: Gap, outside: BaseGeometry) -> tuple[list[Wall], Wall]:
    """The wall that an opening lies in, joined along the gap where two pieces end there; a new one where none fits."""
    a, b = np.array(gap.a), np.array(gap.b)
    along = (b - a) / gap.width
    across = np.array([-along[1], along[0]])
    best: tuple[float, int] | None = None
    for k, wall in enumerate(elements):
        p, q = np.array(wall.a), np.array(wall.b)
        way = (q - p) / max(float(np.hypot(*(q - p))), 1e-9)
        if wall.kind != "wall" or abs(way @ across) > 0.03:
            continue
        off = abs(float(((p + q) / 2 - a) @ across))
        places = np.sort([(p - a) @ along, (q - a) @ along])
        fits = off < 0.04 and places[0] < 0.03 and places[1] > gap.width - 0.03
        if fits and (best is None or off < best[0]):
            best = (off, k)
    if best is not None:
        return elements, elements[best[1]]
    outline = ring(gap.area)
    exterior = bool(gap.area.buffer(0.05).intersection(outside).area > 0.02 * gap.width)
    wall = Wall(
        f"w{len(elements)}", gap.a, gap.b, gap.thickness, "wall", exterior, outline, confidence=round(gap.sure, 3)
    )
    return [*elements, wall], wall


def _onto(point: tuple[float, float], wall: Wall) -> tuple[float, float]:
    """The nearest place on a wall's centre line."""
    p, q, x = np.array(wall.a), np.array(wall.b), np.array(point)
    step = q - p
    share = min(max(float((x - p) @ step / max(step @ step, 1e-12)), 0.0), 1.0)
    on = p + share * step
    return float(on[0]), float(on[1])


def _opening(name: str, gap: Gap, host: Wall, rooms: tuple[Room, ...], spaces: list[Space]) -> Opening:
    a, b = np.array(gap.a), np.array(gap.b)
    across = np.array([-(b - a)[1], (b - a)[0]]) / gap.width
    reach = gap.thickness / 2 + 0.12
    sides = [_room_at((a + b) / 2 + sign * reach * across, spaces) for sign in (1, -1)]
    beside = tuple(None if k is None else rooms[k].id for k in sides)
    subtype = "entrance" if gap.kind == "door" and gap.subtype == "single" and None in beside else gap.subtype
    sill, head = (_WINDOW_SILL, _WINDOW_HEAD) if gap.kind == "window" else (0.0, _DOOR_HEAD)
    swing = gap.swing
    return Opening(
        name,
        gap.kind,
        _onto(gap.a, host),
        _onto(gap.b, host),
        host.id,
        subtype,
        sill,
        head,
        (beside[0], beside[1]),
        gap.hinge,
        swing,
        round(gap.sure, 3),
    )


def _room_at(point: np.ndarray, spaces: list[Space]) -> int | None:
    tree = STRtree([space.shape for space in spaces]) if spaces else None
    hits = [] if tree is None else [int(k) for k in tree.query(Point(point), predicate="within")]
    return min(hits) if hits else None


def _room(name: str, space: Space) -> Room:
    shape = shapely.geometry.polygon.orient(space.shape)
    holes = tuple(ring(Polygon(hole)) for hole in shape.interiors)
    kinds = tuple(dict.fromkeys(n.kind for n in space.names if n.kind != "none"))
    kind = _leading(kinds) if kinds else ("PS" if shape.area < 0.7 else "none")
    label = " / ".join(dict.fromkeys(n.text for n in space.names))
    sure = space.sure * min((n.sure for n in space.names), default=1.0)
    return Room(name, kind, ring(shape), holes, label, kinds, confidence=round(sure, 3))


def _leading(kinds: tuple[str, ...]) -> str:
    """The kind that stands for a room with several names: the most lived in."""
    order = ("living_room", "dining_room", "kitchen", "bedroom", "office", "bathroom", "washing_room", "restroom")
    return next((kind for kind in order if kind in kinds), kinds[0])


def unfilled(solid: BaseGeometry) -> BaseGeometry:
    """Walls without slits and slivers that joining pieces leaves."""
    return unary_union(polygons(solid.buffer(0.004, join_style="mitre").buffer(-0.004, join_style="mitre")))
