"""A union of walls -> straight wall pieces with centre lines and thickness that together cover it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import shapely
from shapely.geometry import LineString, MultiLineString, Polygon
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union
from shapely.strtree import STRtree

from .ink import FloatArray, polygons
from .walls import THICKEST, THINNEST

#: Shortest stretch (m) of two faces that makes a wall of its own, and the smallest leftover (m2) that is kept.
_SHORTEST, _SMALLEST = 0.05, 0.0015


@dataclass(frozen=True)
class Piece:
    """A straight wall from a to b on its centre line, in metres, with its outline."""

    a: tuple[float, float]
    b: tuple[float, float]
    thickness: float
    shape: Polygon


def split(solid: BaseGeometry) -> list[Piece]:
    """Pieces of walls, longest first: strips between faces that run opposite each other, grown along the wall as far
    as it goes on; what no strip covers becomes pieces of its own.
    """
    pieces: list[Piece] = []
    for part in polygons(solid):
        pieces += _of(part)
    return pieces


def _of(part: Polygon) -> list[Piece]:
    clean = part.simplify(0.003)
    clean = clean if isinstance(clean, Polygon) and clean.is_valid else part
    edges = np.concatenate([_edges(ring, k == 0) for k, ring in enumerate((clean.exterior, *clean.interiors))])
    found = [strip for strip in (_grown(part, *pair) for pair in _facing(edges)) if strip is not None]
    kept: list[Piece] = []
    covered: BaseGeometry = Polygon()
    once = {(*np.round(np.sort(shapely.get_coordinates(p.shape), 0).ravel(), 2),): p for p in reversed(found)}
    for piece in sorted(once.values(), key=lambda piece: -math.dist(piece.a, piece.b)):
        if piece.shape.difference(covered).area > max(_SMALLEST, 0.04 * piece.shape.area):
            kept.append(piece)
            covered = unary_union([covered, piece.shape])
    left = polygons(part.difference(covered.buffer(0.002, join_style="mitre")))
    kept += [
        piece for rest in left if rest.area > _SMALLEST for piece in _leftover(rest.buffer(0.0021, join_style="mitre"))
    ]
    return kept


def _edges(ring: shapely.LinearRing, outer: bool) -> FloatArray:
    points = np.array(ring.coords)[:-1]
    if ring.is_ccw != outer:
        points = points[::-1]
    return np.stack([points, np.roll(points, -1, 0)], 1)


def _facing(edges: FloatArray) -> list[tuple[FloatArray, FloatArray]]:
    """Pairs of edges, insides towards each other, nearly parallel, as far apart as a wall is thick."""
    steps = edges[:, 1] - edges[:, 0]
    length = np.hypot(*steps.T)
    unit = steps / np.maximum(length, 1e-9)[:, None]
    inward = np.stack([-unit[:, 1], unit[:, 0]], 1)
    tree = STRtree(shapely.linestrings(edges))
    lanes = shapely.linestrings(edges + 0.5 * THICKEST * inward[:, None])
    pairs = []
    for i, lane in enumerate(lanes):
        if length[i] < _SHORTEST:
            continue
        for j in tree.query(lane.buffer(0.5 * THICKEST + 0.01, cap_style="flat")):
            if j <= i or length[j] < _SHORTEST or unit[i] @ unit[j] > -math.cos(math.radians(8)):
                continue
            apart = float((edges[j].mean(0) - edges[i, 0]) @ inward[i])
            along = np.sort((edges[j] - edges[i, 0]) @ unit[i])
            overlap = min(along[1], length[i]) - max(along[0], 0.0)
            if THINNEST * 0.8 < apart < THICKEST and overlap > _SHORTEST:
                pairs.append((edges[i], edges[j]))
    return pairs


def _grown(part: Polygon, first: FloatArray, second: FloatArray) -> Piece | None:
    """The strip between two faces, drawn out both ways while all of its width stays inside the walls."""
    way = first[1] - first[0] - (second[1] - second[0])
    way = way / np.hypot(*way)
    across = np.array([-way[1], way[0]])
    low, high = float((first @ across).mean()), float((second @ across).mean())
    spread = max(np.ptp(first @ across), np.ptp(second @ across))
    s, e = np.sort(first @ way), np.sort(second @ way)
    start, end = max(s[0], e[0]), min(s[1], e[1])
    thick = high - low
    if thick <= 0 or end - start < _SHORTEST:
        return None
    middle = (start + end) / 2

    def strip(x0: float, x1: float, inset: float) -> Polygon:
        a, b = low + inset, high - inset
        return Polygon([way * x + across * y for x, y in ((x0, a), (x1, a), (x1, b), (x0, b))])

    if spread < 0.01:
        far = 60.0
        inset = max(0.004, 0.03 * thick)
        lines = MultiLineString(
            [
                LineString([way * (middle - far) + across * y, way * (middle + far) + across * y])
                for y in (low + inset, (low + high) / 2, high - inset)
            ]
        )
        bounds = [_reach(line, way, middle) for line in shapely.intersection(list(lines.geoms), part)]
        if any(b is None for b in bounds):
            return None
        start = max(start - far, max(b[0] for b in bounds if b))
        end = min(end + far, min(b[1] for b in bounds if b))
        blocked = strip(start, end, inset).difference(part)
        if blocked.area > 0.02 * thick * (end - start):
            return None
    shape = strip(start, end, 0.0).intersection(part)
    whole = max(polygons(shape), key=lambda p: p.area, default=None)
    if whole is None or end - start < _SHORTEST:
        return None
    centre = (low + high) / 2
    a, b = way * start + across * centre, way * end + across * centre
    return Piece((float(a[0]), float(a[1])), (float(b[0]), float(b[1])), thick, whole)


def _reach(inside: BaseGeometry, way: FloatArray, middle: float) -> tuple[float, float] | None:
    """From where to where the stretch of a line that holds ``middle`` lies inside."""
    for stretch in getattr(inside, "geoms", [inside]):
        places = np.sort(shapely.get_coordinates(stretch) @ way)
        if len(places) and places[0] - 1e-6 <= middle <= places[-1] + 1e-6:
            return float(places[0]), float(places[-1])
    return None


def _leftover(rest: BaseGeometry) -> list[Piece]:
    """Pieces for what is too short, thick or bent for strips: each by its smallest turned rectangle."""
    found = []
    for shape in polygons(rest):
        box = shape.minimum_rotated_rectangle
        if not isinstance(box, Polygon) or shape.buffer(-0.003).is_empty:
            continue
        corners = np.array(box.exterior.coords)[:4]
        sides = np.roll(corners, -1, 0) - corners
        k = int(np.argmax(np.hypot(*sides.T)))
        a = (corners[k] + corners[k - 1]) / 2
        b = a + sides[k]
        thick = float(np.hypot(*sides[(k + 1) % 4]))
        if thick > 0.005 and np.hypot(*sides[k]) > 0.01:
            solid = Polygon(shape.exterior) if not shape.interiors else shape
            found.append(Piece((float(a[0]), float(a[1])), (float(b[0]), float(b[1])), thick, solid))
    return found
