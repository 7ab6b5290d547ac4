"""Which lines and fills are walls: thin closed faces of the pens or fills that draw almost nothing else."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union
from shapely.strtree import STRtree

from .ink import FloatArray, Ink, is_hatch, lightness, polygonized, polygons

#: Thinnest and thickest wall (m); a face thicker than the latter over this share of its area is none.
THINNEST, THICKEST, _FAT_SHARE = 0.035, 0.62, 0.45
#: Share of a pen's line that must bound walls before the pen is believed to draw walls.
_PURE = 0.55
_LIGHTEST_FILL = 0.9
#: So many parallels of one pen are hatching.
_MANY = 2500


@dataclass(frozen=True)
class Walls:
    """The walls between their openings. cut: their union. style: "filled", "outlined", "hatched", "none".

    sure in [0, 1]; used (N,) bool: segments of the ink that draw them; hatch (N,) bool: those that hatch.
    """

    cut: BaseGeometry
    style: str
    sure: float
    used: NDArray[np.bool_]
    hatch: NDArray[np.bool_]
    thickness: tuple[float, ...] = field(default=())


@dataclass(frozen=True)
class _Guess:
    shapes: list[Polygon]
    length: float
    purity: float
    style: str
    segments: NDArray[np.bool_]
    weight: float = 0.0

    @property
    def worth(self) -> float:
        return self.length * self.purity**2


def find(ink: Ink) -> Walls:
    """The walls of a sheet's ink (metres); ``style`` "none" with an empty union where there are none."""
    hatch = is_hatch(ink)
    frame = _page_frame(ink)
    guesses = _from_fills(ink) + _from_pens(ink, hatch, frame)
    empty = Walls(Polygon(), "none", 0.0, np.zeros(len(hatch), bool), hatch)
    if not guesses:
        return empty
    best = max(guesses, key=lambda guess: guess.worth)
    if best.length < 3.0:
        return empty
    chosen = [g for g in guesses if g.style == best.style and g.purity > _PURE and _as_heavy(g, best)]
    shapes = [shape for guess in {id(g): g for g in [best, *chosen]}.values() for shape in guess.shapes]
    cut = unary_union([shape.buffer(1e-4, join_style="mitre") for shape in shapes]).buffer(-1e-4, join_style="mitre")
    used = np.zeros(len(hatch), bool)
    for guess in [best, *chosen]:
        used |= guess.segments
    style = best.style if best.style == "filled" or not _is_hatched(ink, hatch, cut) else "hatched"
    cut = _connected(cut)
    return Walls(cut, style, min(1.0, best.purity + 0.1 * (style != "outlined")), used, hatch)


def _as_heavy(guess: _Guess, best: _Guess) -> bool:
    """Whether another pen or fill draws walls too: as heavy a pen as the best one's, or as long."""
    if best.style == "filled":
        return guess.length > 0.1 * best.length
    return guess.length > 0.1 * best.length and guess.weight >= 0.95 * best.weight


def _page_frame(ink: Ink) -> NDArray[np.bool_]:
    """Segments that run along the border of everything drawn: frames of the sheet."""
    points = ink.segments.reshape(-1, 2)
    low, high = points.min(0), points.max(0)
    span = np.maximum(high - low, 0.0)
    if not (span > 0.75 * np.array(ink.paper)).all():
        return np.zeros(len(ink.segments), bool)
    steps = np.abs(ink.segments[:, 1] - ink.segments[:, 0])
    long = (steps > 0.8 * span).any(1)
    middle = ink.segments.mean(1)
    edge = ((middle - low) < 0.08 * span).any(1) | ((high - middle) < 0.08 * span).any(1)
    return long & edge


def wall_like(shape: Polygon) -> bool:
    """Whether a face is thin enough everywhere, or nearly, to be cut walls, and not a mere line."""
    if shape.area < 0.002:
        return False
    if shape.buffer(-THINNEST / 2).is_empty:
        return False
    fat = shape.buffer(-THICKEST / 2)
    if fat.is_empty:
        return True
    return bool(fat.buffer(THICKEST / 2).area < _FAT_SHARE * shape.area and shape.length > 8.0)


def _run(shape: Polygon) -> float:
    """Length of a thin face along its middle: half its perimeter."""
    return shape.length / 2


def _from_fills(ink: Ink) -> list[_Guess]:
    """One guess for each dark or grey fill colour."""
    guesses = []
    for colour, shapes in ink.fills:
        if lightness(colour) > _LIGHTEST_FILL or (max(colour) - min(colour) > 0.25 and lightness(colour) > 0.75):
            continue
        joined = polygons(unary_union([s.buffer(0) for s in shapes]))
        kept = [shape for shape in joined if wall_like(shape)]
        total = sum(shape.area for shape in joined)
        area = sum(shape.area for shape in kept)
        if not kept or not total:
            continue
        compact = sum(shape.area for shape in kept if shape.length < 0.8)
        length = sum(_run(s) for s in kept)
        purity = (area - 0.5 * compact) / total
        guesses.append(_Guess(kept, length, 1.15 * purity if length > 8 else 0.5 * purity, "filled", _on(ink, kept)))
    return guesses


def _from_pens(ink: Ink, hatch: NDArray[np.bool_], frame: NDArray[np.bool_]) -> list[_Guess]:
    """One guess for each pen's lines, and one for all lines together where no pen is pure."""
    guesses = []
    usable = ~ink.dashed & ~hatch & ~frame & ~ink.filled
    for pen in range(len(ink.pens)):
        chosen = usable & (ink.pen_of == pen)
        guess = _outlined(ink, chosen)
        if guess is not None and guess.purity > _PURE:
            guesses.append(replace(guess, weight=ink.pens[pen][1]))
    if not guesses:
        guess = _outlined(ink, usable & ~ink.curved)
        if guess is not None:
            guesses.append(guess)
    return guesses


def _outlined(ink: Ink, chosen: NDArray[np.bool_]) -> _Guess | None:
    """Thin faces that a set of lines encloses."""
    chosen = chosen & ~_flood(ink, chosen)
    if chosen.sum() < 4 or chosen.sum() > 60_000 or ink.curved[chosen].mean() > 0.85:
        return None
    faces = polygonized(ink.segments[chosen])
    kept = [face for face in faces if wall_like(face)]
    if not kept:
        return None
    kept = _without_shafts(kept)
    drawn = float(np.hypot(*(ink.segments[chosen, 1] - ink.segments[chosen, 0]).T).sum())
    bounding = unary_union([face.boundary for face in kept])
    length = sum(_run(face) for face in kept)
    return _Guess(kept, length, min(1.0, bounding.length / max(drawn, 1e-9)), "outlined", chosen)


def _flood(ink: Ink, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Lines that are most of a pen's, very many, and all of one direction: they fill areas and bound none."""
    steps = ink.segments[:, 1] - ink.segments[:, 0]
    bins = np.round(np.degrees(np.arctan2(steps[:, 1], steps[:, 0])) / 2).astype(int) % 90
    counts = np.bincount(bins[chosen], minlength=90)
    most = int(counts.argmax())
    if counts[most] < max(_MANY, 0.6 * chosen.sum()):
        return np.zeros(len(steps), bool)
    return np.asarray(chosen & (bins == most))


def _without_shafts(faces: list[Polygon]) -> list[Polygon]:
    """Thin faces without those that lie wholly in a hole of another and share all their border with it."""
    tree = STRtree(faces)
    kept = []
    for face in faces:
        around = [faces[i] for i in tree.query(face) if faces[i] is not face and faces[i].area > face.area]
        shared = sum(face.boundary.intersection(other.boundary).length for other in around)
        hole = any(Polygon(ring).buffer(0.005).contains(face) for other in around for ring in other.interiors)
        if not (hole and shared > 0.9 * face.length):
            kept.append(face)
    return kept


def _on(ink: Ink, shapes: list[Polygon]) -> NDArray[np.bool_]:
    """Segments that lie on the borders of shapes."""
    borders = unary_union([s.boundary for s in shapes]).buffer(0.01)
    shapely.prepare(borders)
    lines = shapely.linestrings(ink.segments)
    return np.asarray(shapely.contains_properly(borders, lines))


def _is_hatched(ink: Ink, hatch: NDArray[np.bool_], cut: BaseGeometry) -> bool:
    middles = ink.segments[hatch].mean(1)
    if len(middles) < 30:
        return False
    inside = shapely.contains_xy(cut.buffer(0.01), middles[:, 0], middles[:, 1])
    return bool(inside.mean() > 0.5)


def _connected(cut: BaseGeometry) -> BaseGeometry:
    """Walls without small groups far from the largest one: legends, north arrows, title blocks."""
    parts = polygons(cut)
    if len(parts) < 2:
        return cut
    grown = [part.buffer(1.6, quad_segs=2) for part in parts]
    groups = polygons(unary_union(grown))
    length = [sum(_run(p) for p in parts if g.contains(p)) for g in groups]
    longest = max(length)
    kept = [g for g, run in zip(groups, length, strict=True) if run > 0.25 * longest]
    return unary_union([p for p in parts if any(g.contains(p) for g in kept)])


def thickness_at(cut: BaseGeometry, point: FloatArray, normal: FloatArray) -> float:
    """How thick (m) the wall is through a point along a normal; 0 outside."""
    line = shapely.linestrings([point - normal, point + normal])
    inside = line.intersection(cut)
    parts = [inside] if inside.geom_type == "LineString" else list(getattr(inside, "geoms", []))
    here = shapely.points(point)
    best = [p.length for p in parts if p.distance(here) < 1e-6]
    return max(best, default=0.0) if math.isfinite(sum(best)) else 0.0
