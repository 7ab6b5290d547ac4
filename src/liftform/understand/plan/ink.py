"""A sheet's strokes as arrays in metres: segments with their pens, filled areas by colour, arcs, hatching."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import LinearRing, MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry
from shapely.ops import polygonize, unary_union

from ...drawing.sheet import Colour, Sheet, Stroke

FloatArray = NDArray[np.float64]
Pen = tuple[str, float, Colour]


@dataclass(frozen=True)
class Arc:
    """A part of a circle: centre, radius, its two ends and how far it turns (radians, up to a full circle)."""

    centre: tuple[float, float]
    radius: float
    ends: tuple[tuple[float, float], tuple[float, float]]
    sweep: float


@dataclass(frozen=True)
class Ink:
    """What is drawn, in metres. segments (N, 2, 2); pens[pen_of[i]] drew segment i; dashed, curved, filled (N,) bool.

    fills: each colour's areas. arcs: parts of circles among the strokes. paper: size of the sheet in
    metres of the building, infinite where there is none.
    """

    segments: FloatArray
    pen_of: NDArray[np.intp]
    pens: tuple[Pen, ...]
    dashed: NDArray[np.bool_]
    curved: NDArray[np.bool_]
    filled: NDArray[np.bool_]
    fills: tuple[tuple[Colour, tuple[Polygon, ...]], ...]
    arcs: tuple[Arc, ...]
    paper: tuple[float, float] = (math.inf, math.inf)


def gather(sheet: Sheet, metres: float) -> Ink:
    """The ink of a sheet whose unit is so many ``metres``."""
    on_paper = sheet.mm_per_unit is not None or sheet.image is not None
    paper = (sheet.size[0] * metres, sheet.size[1] * metres) if on_paper else (math.inf, math.inf)
    pens: dict[Pen, int] = {}
    parts: list[FloatArray] = []
    flags: list[tuple[int, bool, bool, int]] = []
    curved: list[NDArray[np.bool_]] = []
    fills: dict[Colour, list[Polygon]] = defaultdict(list)
    arcs: list[Arc] = []
    for stroke in sheet.strokes:
        if stroke.fill is not None:
            fills[_rounded(stroke.fill)] += areas(stroke, metres)
        if stroke.stroke is None and lightness(stroke.fill or (1.0, 1.0, 1.0)) > 0.6:
            continue  # the tint of a room is no line
        pen = (stroke.layer, round(stroke.width * metres, 5), _rounded(stroke.stroke or stroke.fill or (0, 0, 0)))
        index = pens.setdefault(pen, len(pens))
        for ring in stroke.rings:
            points = ring * metres
            on_arc = np.zeros(len(points) - 1, bool)
            for first, last, arc in arcs_of(points):
                on_arc[first:last] = True
                if stroke.fill is None:
                    arcs.append(arc)
            parts.append(np.stack([points[:-1], points[1:]], 1))
            curved.append(on_arc)
            flags.append((index, stroke.dashed, stroke.fill is not None, len(points) - 1))
    if not parts:
        none = np.zeros(0, bool)
        return Ink(np.zeros((0, 2, 2)), np.zeros(0, np.intp), (), none, none, none, (), ())
    counts = [count for *_, count in flags]
    return Ink(
        np.concatenate(parts),
        np.repeat([pen for pen, *_ in flags], counts),
        tuple(pens),
        np.repeat([dashed for _, dashed, *_ in flags], counts),
        np.concatenate(curved),
        np.repeat([filled for _, _, filled, _ in flags], counts),
        tuple((colour, tuple(shapes)) for colour, shapes in fills.items()),
        tuple(arcs),
        paper,
    )


def _rounded(colour: Colour) -> Colour:
    return round(colour[0], 2), round(colour[1], 2), round(colour[2], 2)


def lightness(colour: Colour) -> float:
    """Rough lightness in [0, 1] of an sRGB colour."""
    return 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2]


def areas(stroke: Stroke, metres: float) -> list[Polygon]:
    """The polygons that a filled stroke covers, by its fill rule."""
    rings = []
    for ring in stroke.rings:
        if len(ring) >= 3:
            closed = ring if np.array_equal(ring[0], ring[-1]) else np.concatenate([ring, ring[:1]])
            if len(closed) >= 4:
                rings.append(closed * metres)
    if not rings:
        return []
    if len(rings) == 1 and LinearRing(rings[0]).is_simple:
        shape = Polygon(rings[0])
        return [shape] if shape.area > 1e-8 else []
    faces = list(polygonize(unary_union([LinearRing(ring) for ring in rings])))
    kept = []
    for face in faces:
        inside = face.representative_point()
        turns = [winding(ring, inside.x, inside.y) for ring in rings]
        if sum(map(abs, turns)) % 2 if stroke.even_odd else sum(turns) != 0:
            kept.append(face)
    return polygons(unary_union(kept))


def winding(ring: FloatArray, x: float, y: float) -> int:
    """How often a closed ring turns around a point."""
    above = ring[:, 1] > y
    a, b = ring[:-1], ring[1:]
    cross = above[:-1] != above[1:]
    side = (b[:, 0] - a[:, 0]) * (y - a[:, 1]) - (x - a[:, 0]) * (b[:, 1] - a[:, 1])
    up = cross & above[1:] & (side > 0)
    down = cross & ~above[1:] & (side < 0)
    return int(up.sum() - down.sum())


def polygons(shape: BaseGeometry) -> list[Polygon]:
    """The polygons of any geometry."""
    if isinstance(shape, Polygon):
        return [shape] if not shape.is_empty else []
    if isinstance(shape, MultiPolygon) or hasattr(shape, "geoms"):
        return [p for part in shape.geoms for p in polygons(part)]
    return []


def arcs_of(points: FloatArray) -> list[tuple[int, int, Arc]]:
    """(first, last vertex, arc) of the runs of a polyline that turn evenly along a circle."""
    if len(points) < 5:
        return []
    steps = np.diff(points, axis=0)
    lengths = np.hypot(*steps.T)
    if (lengths == 0).any():
        keep = np.concatenate([[True], lengths > 0])
        if keep.sum() < 5 or keep.all():
            return []
        return []
    heading = np.unwrap(np.arctan2(steps[:, 1], steps[:, 0]))
    turn = np.diff(heading)
    bends = (np.abs(turn) > math.radians(0.8)) & (np.abs(turn) < math.radians(35))
    runs, start = [], None
    for k in range(len(turn)):
        goes_on = (
            bends[k] and start is not None and bool(turn[k] * turn[k - 1] > 0 and _even(lengths[k], lengths[k + 1]))
        )
        if not goes_on:
            if start is not None and k - start >= 3:
                runs.append((start, k + 1))
            start = k if bends[k] and _even(lengths[k], lengths[k + 1]) else None
    if start is not None and len(turn) - start >= 3:
        runs.append((start, len(turn) + 1))
    found = []
    for first, last in runs:
        arc = circle_through(points[first : last + 1])
        if arc is not None:
            found.append((first, last, arc))
    return found


def _even(a: float, b: float) -> bool:
    return bool(0.4 < a / b < 2.5)


def circle_through(points: FloatArray, tolerance: float = 0.02) -> Arc | None:
    """The arc that a run of points lies on within ``tolerance`` radii (algebraic least squares, Kåsa 1976), or None."""
    middle = points.mean(0)
    local = points - middle
    system = np.column_stack([2 * local, np.ones(len(local))])
    (x, y, c), *_ = np.linalg.lstsq(system, (local**2).sum(1), rcond=None)
    radius = math.sqrt(max(c + x * x + y * y, 0.0))
    if radius <= 0 or not math.isfinite(radius):
        return None
    away = np.hypot(local[:, 0] - x, local[:, 1] - y)
    if np.abs(away - radius).max() > tolerance * radius:
        return None
    angles = np.unwrap(np.arctan2(local[:, 1] - y, local[:, 0] - x))
    sweep = float(abs(angles[-1] - angles[0]))
    centre = (float(middle[0] + x), float(middle[1] + y))
    ends = tuple((float(p[0]), float(p[1])) for p in points[[0, -1]])
    return Arc(centre, radius, (ends[0], ends[1]), sweep)


def joined(arcs: tuple[Arc, ...]) -> tuple[Arc, ...]:
    """Arcs without repetitions, pieces of one circle that follow each other put together."""
    kept: list[Arc] = []
    for arc in sorted(arcs, key=lambda arc: (-arc.sweep * arc.radius, arc.centre)):
        for index, other in enumerate(kept):
            close = math.dist(arc.centre, other.centre) < 0.08 * other.radius
            if close and abs(arc.radius - other.radius) < 0.06 * other.radius:
                merged = _merged(other, arc)
                if merged is not None:
                    kept[index] = merged
                    break
        else:
            kept.append(arc)
    return tuple(kept)


def _merged(a: Arc, b: Arc) -> Arc | None:
    """Two arcs of one circle as one where they overlap or touch (within a tenth of a turn's quarter), else None."""

    def middle_and_half(arc: Arc) -> tuple[float, float]:
        first, last = (math.atan2(p[1] - a.centre[1], p[0] - a.centre[0]) for p in arc.ends)
        span = (last - first) % (2 * math.pi)
        if abs(span - arc.sweep) > abs(2 * math.pi - span - arc.sweep):
            first, span = last, 2 * math.pi - span
        return first + span / 2, span / 2

    (m, h), (n, k) = middle_and_half(a), middle_and_half(b)
    apart = math.remainder(n - m, 2 * math.pi)
    if abs(apart) > h + k + 0.16:
        return None
    low, high = min(m - h, m + apart - k), max(m + h, m + apart + k)

    def at(angle: float) -> tuple[float, float]:
        return a.centre[0] + a.radius * math.cos(angle), a.centre[1] + a.radius * math.sin(angle)

    return Arc(a.centre, a.radius, (at(low), at(high)), min(high - low, 2 * math.pi))


def is_hatch(ink: Ink) -> NDArray[np.bool_]:
    """Which segments are hatching: many short parallels at one angle that is not that of the long lines."""
    steps = ink.segments[:, 1] - ink.segments[:, 0]
    length = np.hypot(*steps.T)
    angle = np.degrees(np.arctan2(steps[:, 1], steps[:, 0])) % 180
    straight = ~ink.curved & ~ink.filled & (length > 0)
    bins = np.round(angle / 2).astype(int) % 90
    total = np.bincount(bins[straight], length[straight], 90)
    main = set(np.argsort(total)[-2:]) if total.any() else set()
    hatch = np.zeros(len(steps), bool)
    for index in range(90):
        members = straight & (bins == index)
        if (
            members.sum() >= 30
            and np.median(length[members]) < 1.2
            and (index not in main or _is_lattice(ink, members))
        ):
            oblique = min(index * 2 % 90, 90 - index * 2 % 90) > 6
            if oblique or _is_lattice(ink, members):
                hatch |= members & (length < 3.0)
    return hatch


def _is_lattice(ink: Ink, members: NDArray[np.bool_]) -> bool:
    """Whether parallels lie at whole multiples of one narrow spacing."""
    segments = ink.segments[members]
    step = segments[0, 1] - segments[0, 0]
    normal = np.array([-step[1], step[0]]) / max(float(np.hypot(*step)), 1e-9)
    offsets = np.unique(np.round(segments.mean(1) @ normal, 4))
    gaps = np.diff(offsets)
    gaps = gaps[gaps > 0.004]
    if len(gaps) < 20:
        return False
    spacing = float(np.median(gaps))
    phase = offsets / spacing % 1
    steady = abs(np.exp(2j * np.pi * phase).mean())
    return bool(spacing < 0.2 and steady > 0.8)


def polygonized(segments: FloatArray, grid: float = 0.0005) -> list[Polygon]:
    """The faces of the planar graph of segments; ends within ``grid`` metres are one."""
    if len(segments) == 0:
        return []
    lines = shapely.linestrings(segments)
    noded = shapely.unary_union(shapely.set_precision(lines, grid), grid_size=grid)
    return [face for face in polygonize(noded) if face.area > 1e-5]
