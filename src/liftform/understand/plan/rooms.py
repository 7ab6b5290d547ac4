"""Rooms: what walls, railings and shut openings enclose, with the names printed in them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import shapely
from shapely.geometry import LineString, Point, Polygon
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union

from ...drawing.sheet import Text
from . import grammar, labels
from .ink import FloatArray, Ink, polygonized, polygons
from .openings import Gap
from .walls import Walls

#: Smallest room (m2): what is smaller is a cavity of the wall.
SMALLEST = 0.15
#: Strips between two lines that can be a railing (m).
_RAIL = (0.02, 0.16)


@dataclass(frozen=True)
class Name:
    """A text that names a room: its type, the text, where it stands, and the area and sides printed below it."""

    kind: str
    text: str
    at: tuple[float, float]
    sure: float
    area: float | None = None
    sides: tuple[float, float] | None = None


@dataclass(frozen=True)
class Space:
    """A closed room before it is an element of the plan."""

    shape: Polygon
    names: tuple[Name, ...]
    sure: float


def names(texts: tuple[Text, ...], metres: float) -> list[Name]:
    """Room names of a sheet, in metres, with the area and the sides that stand close below them."""
    places = [(text, np.array(text.centre) * metres) for text in texts]
    extra = []
    for text, at in places:
        area, sides = grammar.area(text.text), grammar.sides(text.text)
        if area or sides:
            both = None if sides is None else (sides[0].value, sides[1].value)
            extra.append((text, at, area, both))
    found = []
    for text, at in places:
        kind = labels.room_type(text.text)
        if kind is None or text.extent[0] == 0:
            continue
        height = max(text.size, text.extent[1]) * metres
        near = [e for e in extra if math.dist(e[1], at) < 4.5 * height or e[0] is text]
        area = next((e[2] for e in sorted(near, key=lambda e: math.dist(e[1], at)) if e[2]), None)
        size = next((e[3] for e in sorted(near, key=lambda e: math.dist(e[1], at)) if e[3]), None)
        found.append(Name(kind[0], text.text, (float(at[0]), float(at[1])), kind[1] * text.sure, area, size))
    return found


def railings(ink: Ink, walls: Walls, gaps: list[Gap], solid: BaseGeometry) -> list[Polygon]:
    """Narrow strips of two lines that begin and end at walls or each other and enclose something with them."""
    usable = ~walls.hatch & ~ink.dashed & ~ink.filled & ~ink.curved
    length = np.hypot(*(ink.segments[:, 1] - ink.segments[:, 0]).T)
    near = shapely.box(*solid.bounds).buffer(4.0)
    middles = ink.segments.mean(1)
    usable &= shapely.contains_xy(near, middles[:, 0], middles[:, 1]) & (length > 0.02)
    if not usable.any() or usable.sum() > 20_000:
        return []
    taken = unary_union([solid, *[gap.area.buffer(0.04, cap_style="flat") for gap in gaps]])
    strips: list[Polygon] = []
    for pen in np.unique(ink.pen_of[usable]):
        faces = polygonized(ink.segments[usable & (ink.pen_of == pen)])
        own = [f for f in faces if _is_strip(f) and f.intersection(taken).area < 0.3 * f.area]
        if own:  # the little squares where two strips meet
            beside = unary_union(own).buffer(0.01)
            own += [
                f
                for f in faces
                if f.area < _RAIL[1] ** 2
                and f.buffer(-0.01).area
                and f.intersects(beside)
                and f.intersection(taken).area < 0.3 * f.area
                and f not in own
            ]
        strips += own
    groups = polygons(unary_union([strip.buffer(0.015, join_style="mitre") for strip in strips]))
    kept = []
    for group in groups:
        if group.intersection(solid.buffer(0.05)).is_empty:
            continue
        before = _enclosed(solid)
        after = _enclosed(unary_union([solid, group.buffer(0.02, join_style="mitre")]))
        if len(after) > len(before) or sum(s.area for s in after) > sum(s.area for s in before) + 0.5:
            kept += [strip for strip in strips if group.contains(strip.representative_point())]
    return kept


def _is_strip(face: Polygon) -> bool:
    """Narrow everywhere, and at least five times as long as wide."""
    wide = 2 * face.area / max(face.length / 2, 1e-9) / 2
    low, high = _RAIL
    return low < wide < high and face.length / 2 > 5 * wide and face.buffer(-high / 2).is_empty


def _enclosed(solid: BaseGeometry) -> list[Polygon]:
    """The bounded pieces of what is not solid."""
    if solid.is_empty:
        return []
    around = shapely.box(*solid.bounds).buffer(1.0, join_style="mitre")
    free = polygons(around.difference(solid.buffer(1e-3, join_style="mitre")))
    outside = around.exterior
    return [piece for piece in free if not piece.touches(outside) and piece.area > SMALLEST]


def idle_gaps(solid: BaseGeometry, gaps: list[Gap], found: list[Name]) -> list[Gap]:
    """Plain gaps that do not part two named rooms: nobody drew anything there, and nobody counts rooms there."""
    plain = [gap for gap in gaps if gap.kind == "opening"]
    if not plain:
        return []
    named = [s for s in _enclosed(solid) if any(s.contains(Point(name.at)) for name in found)]
    idle = []
    for gap in plain:
        beside = gap.area.buffer(0.05)
        if sum(space.intersects(beside) for space in named) < 2:
            idle.append(gap)
    return idle


def find(solid: BaseGeometry, found: list[Name]) -> list[Space]:
    """The closed rooms within walls (openings shut), with the names in them; several names split an open plan."""
    spaces = []
    for piece in _enclosed(solid):
        inner = piece.buffer(1e-3, join_style="mitre").simplify(0.004)
        if not isinstance(inner, Polygon):
            continue
        inside = [name for name in found if inner.contains(Point(name.at))]
        for shape, named in _divided(inner, _merged(inside), solid):
            sure = 0.95 if named else 0.8
            if len(named) == 1 and named[0].area:
                off = abs(shape.area / named[0].area - 1)
                sure = 0.99 if off < 0.05 else 0.9 if off < 0.15 else 0.6
            spaces.append(Space(shape, named, sure))
    return spaces


def _merged(inside: list[Name]) -> tuple[Name, ...]:
    """Names of one place without those that say the same twice close by ("Kitchen" over "K")."""
    kept: list[Name] = []
    for name in sorted(inside, key=lambda n: -n.sure):
        if not any(k.kind == name.kind and math.dist(k.at, name.at) < 1.2 for k in kept):
            kept.append(name)
    return tuple(kept)


def _divided(shape: Polygon, named: tuple[Name, ...], solid: BaseGeometry) -> list[tuple[Polygon, tuple[Name, ...]]]:
    """An open plan with several names, cut where a wall's line goes on, such that the printed areas come out."""
    if len(named) < 2 or shape.area > 400:
        return [(shape, named)]
    best: tuple[float, Polygon, Polygon] | None = None
    for line in _cuts(shape):
        parts = [p for p in polygons(shape.difference(line.buffer(5e-4))) if p.area > SMALLEST]
        if len(parts) != 2:
            continue
        score = _fit(parts, named, line)
        if score is not None and (best is None or score < best[0]):
            best = (score, parts[0], parts[1])
    if best is None:
        return [(shape, named)]
    result = []
    for part in best[1:]:
        inside = tuple(n for n in named if part.buffer(0.01).contains(Point(n.at)))
        result += _divided(part, inside, solid)
    return result


def _cuts(shape: Polygon) -> list[LineString]:
    """Lines from each reflex corner straight on along either of its edges to the other side of the room."""
    cuts = []
    for index, ring in enumerate((shape.exterior, *shape.interiors)):
        points = np.array(ring.coords)[:-1]
        if len(points) > 400:
            return []
        if ring.is_ccw != (index == 0):
            points = points[::-1]
        for k in range(len(points)):
            before, here, after = points[k - 1], points[k], points[(k + 1) % len(points)]
            u, v = here - before, here - after
            if u[0] * -v[1] - u[1] * -v[0] < -1e-6:
                cuts += [cut for way in (u, v) if (cut := _ray(shape, here, way)) is not None]
    return cuts


def _ray(shape: Polygon, start: FloatArray, way: FloatArray) -> LineString | None:
    unit = way / max(float(np.hypot(*way)), 1e-9)
    line = LineString([start + 1e-3 * unit, start + 50 * unit]).intersection(shape)
    first = min(getattr(line, "geoms", [line]), key=lambda g: g.distance(Point(start)), default=None)
    if first is None or first.is_empty or first.length < 0.3 or first.distance(Point(start)) > 0.01:
        return None
    a, b = np.array(first.coords[0]), np.array(first.coords[-1])
    return LineString([a - 0.02 * unit, b + 0.02 * unit])


def _fit(parts: list[Polygon], named: tuple[Name, ...], line: LineString) -> float | None:
    """How badly a cut suits the names: None unless each part has one; printed areas rule, else short cuts only."""
    groups = [[n for n in named if part.contains(Point(n.at))] for part in parts]
    if not all(groups):
        return None
    off = 0.0
    for part, group in zip(parts, groups, strict=True):
        if all(n.area for n in group):
            error = abs(math.log(part.area / sum(n.area or 0.0 for n in group)))
            if error > (0.12 if line.length > 2.5 else 0.6):
                return None
            off += error
        elif line.length > 2.5:
            return None
    return off + 0.02 * line.length
