"""Gaps in walls and what is drawn in them: hinged doors by their arcs, sliding doors, windows, plain openings."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import shapely
from shapely.geometry import LineString, Point, Polygon
from shapely.geometry.base import BaseGeometry
from shapely.strtree import STRtree

from .ink import Arc, FloatArray, Ink, joined, polygons
from .walls import THICKEST, Walls

#: Narrowest and widest gap (m) that can be an opening; widest one with nothing drawn in it.
_NARROWEST, _WIDEST, _WIDEST_PLAIN = 0.35, 7.0, 2.6
#: Radii (m) of a door leaf's arc and how far it may turn (radians).
_LEAF, _SWEEP = (0.32, 1.7), (math.radians(50), math.radians(185))
#: How far (m) a hinge may lie from the gap's end, and how far the radius may be off the width.
_HINGE_OFF, _WIDTH_OFF = 0.28, 0.22
_STEP = 0.02


@dataclass(frozen=True)
class Gap:
    """An opening: from a to b on the wall's centre line, its wall's thickness, what it is and how sure that is.

    kind, subtype: as Opening's; hinge "a" | "b" | None; swing "left" | "right" | None seen from a to b. mutual: both
    ends are ends of walls.
    """

    a: tuple[float, float]
    b: tuple[float, float]
    thickness: float
    mutual: bool = True
    kind: str = "opening"
    subtype: str = "single"
    hinge: str | None = None
    swing: str | None = None
    sure: float = 0.5

    @property
    def width(self) -> float:
        """Clear width in metres."""
        return math.dist(self.a, self.b)

    @property
    def area(self) -> Polygon:
        """The piece of wall that is missing."""
        return LineString([self.a, self.b]).buffer(self.thickness / 2, cap_style="flat")


@dataclass(frozen=True)
class _Leaf:
    """An arc as the leaf of a gap: hung at its end a or b, as wide as the whole gap or half of it, its misfit."""

    index: int
    at_a: bool
    whole: bool
    swing: str
    off: float


def find(ink: Ink, walls: Walls, blur: float = 0.0) -> list[Gap]:
    """The openings of a sheet (metres), the surest first where two claim one place. blur: size of a pixel or 0."""
    content = _Content(ink, walls, blur)
    gaps = content.all_judged(_gaps(walls.cut, max(0.004, 2 * blur)))
    gaps = [gap for gap in gaps if _plausible(gap)]
    gaps += content.doors_without_gap(gaps)
    kept: list[Gap] = []
    for gap in sorted(gaps, key=lambda g: (-_rank(g), g.width)):
        if not any(_same_place(gap, other) for other in kept):
            kept.append(gap)
    return kept


def _rank(gap: Gap) -> float:
    return gap.sure + 0.3 * gap.mutual


def _same_place(gap: Gap, other: Gap) -> bool:
    shared = gap.area.intersection(other.area).area
    return bool(shared > 0.15 * min(gap.area.area, other.area.area))


def _plausible(gap: Gap) -> bool:
    if gap.kind != "opening":
        return True
    return gap.width < _WIDEST_PLAIN and gap.mutual


def _gaps(cut: BaseGeometry, blur: float) -> list[Gap]:
    """Places where a wall's end faces another wall."""
    parts = polygons(cut)
    tree = STRtree(parts)
    found: list[Gap] = []
    ends = [end for part in parts for end in _ends(part, blur)]
    for p, q, normal in ends:
        gap = _across(p, q, normal, parts, tree)
        if gap is not None:
            found.append(gap)
    return found


def _ends(part: Polygon, blur: float) -> list[tuple[FloatArray, FloatArray, FloatArray]]:
    """(corner, corner, outward unit normal) of the short edges between two convex corners."""
    ends = []
    for index, ring in enumerate((part.exterior, *part.interiors)):
        points = shapely.get_coordinates(ring.simplify(blur))[:-1]
        if len(points) < 4:
            continue
        if ring.is_ccw != (index == 0):
            points = points[::-1]
        steps = np.roll(points, -1, 0) - points
        turn = np.roll(steps, 1, 0)[:, 0] * steps[:, 1] - np.roll(steps, 1, 0)[:, 1] * steps[:, 0]
        length = np.hypot(*steps.T)
        before = np.roll(length, 1)
        sine = turn / np.maximum(length * before, 1e-12)
        convex = sine > 0.5
        for k in range(len(points)):
            if convex[k] and convex[(k + 1) % len(points)] and 0.03 < length[k] < THICKEST:
                unit = steps[k] / length[k]
                ends.append((points[k], points[(k + 1) % len(points)], np.array([unit[1], -unit[0]])))
    return ends


def _across(p: FloatArray, q: FloatArray, normal: FloatArray, parts: list[Polygon], tree: STRtree) -> Gap | None:
    """The gap from a wall's end (p, q) straight on to the next wall."""
    width = float(np.hypot(*(q - p)))
    unit = (q - p) / width
    inset = 0.12 * width
    a, b = p + inset * unit + 1e-3 * normal, q - inset * unit + 1e-3 * normal
    lane = Polygon([a, b, b + _WIDEST * normal, a + _WIDEST * normal])
    hits = [parts[i] for i in tree.query(lane, predicate="intersects")]
    nearest, met = math.inf, None
    for part in hits:
        inside = lane.intersection(part)
        if inside.is_empty or inside.area < 1e-5:
            continue
        away = float(((shapely.get_coordinates(inside) - p) @ normal).min())
        if away < nearest:
            nearest, met = away, inside
    if met is None or not _NARROWEST < nearest < _WIDEST:
        return None
    coordinates = shapely.get_coordinates(met)
    front = coordinates[(coordinates - p) @ normal < nearest + 0.03]
    lateral = (front - p) @ unit
    if np.ptp(lateral) < 0.25 * width:
        return None
    middle = (p + q) / 2
    end = middle + nearest * normal
    mutual = _is_end(p, q, normal, nearest, parts, tree)
    return Gap((float(middle[0]), float(middle[1])), (float(end[0]), float(end[1])), width, mutual)


def _is_end(p: FloatArray, q: FloatArray, normal: FloatArray, away: float, parts: list[Polygon], tree: STRtree) -> bool:
    """Whether what faces the end is itself a wall's end (or its corner), not the middle of a wall's side."""
    unit = (q - p) / np.hypot(*(q - p))
    for side in (p - 0.06 * unit, q + 0.06 * unit):
        probe = Point(side + (away + 0.02) * normal)
        if not any(parts[i].contains(probe) for i in tree.query(probe)):
            return True
    return False


class _Content:
    """What is drawn in and around gaps."""

    def __init__(self, ink: Ink, walls: Walls, blur: float) -> None:
        self.cut, self.blur = walls.cut, blur
        lines = ~walls.used & ~walls.hatch & ~ink.dashed & ~ink.curved
        self.segments = ink.segments[lines]
        self.tree = STRtree(shapely.linestrings(self.segments)) if len(self.segments) else None
        low, high = _LEAF
        arcs = [arc for arc in joined(ink.arcs) if low < arc.radius < high and _SWEEP[0] < arc.sweep < _SWEEP[1]]
        self.arcs = arcs
        self.taken: set[int] = set()

    def all_judged(self, gaps: list[Gap]) -> list[Gap]:
        """Every gap with what it is; an arc hangs in one gap only, the one that it fits best."""
        leaves = [self._leaves(gap) for gap in gaps]
        claims = [(leaf.off + 0.1 * (not gaps[k].mutual), k, leaf) for k, found in enumerate(leaves) for leaf in found]
        holder: dict[int, int] = {}
        for _, k, leaf in sorted(claims, key=lambda claim: claim[:2]):
            twin = leaf.index in holder and _same_place(gaps[holder[leaf.index]], gaps[k])
            if leaf.index not in holder or twin:
                holder.setdefault(leaf.index, k)
                self.taken.add(leaf.index)
        self._forget_leaves()
        judged = []
        for k, gap in enumerate(gaps):
            own = [leaf for leaf in leaves[k] if holder[leaf.index] == k or _same_place(gaps[holder[leaf.index]], gap)]
            judged.append(self._hinged(gap, own) if own else self._unhinged(gap))
        return judged

    def _forget_leaves(self) -> None:
        """Take the straight leaves of hung doors away from the lines, lest they shut other gaps."""
        leaves = [
            LineString([arc.centre, end]).buffer(0.07) for k in self.taken for arc in [self.arcs[k]] for end in arc.ends
        ]
        if not leaves or self.tree is None:
            return
        lines = shapely.linestrings(self.segments)
        zone = shapely.union_all(leaves)
        shapely.prepare(zone)
        kept = ~shapely.contains(zone, lines)
        self.segments = self.segments[kept]
        self.tree = STRtree(lines[kept])

    def _unhinged(self, gap: Gap) -> Gap:
        """The gap with what it is by the lines in it."""
        full, partial = self._runs(gap)
        if len(full) >= 2:
            sure = 0.9 if gap.mutual else 0.8
            return replace(gap, kind="window", subtype="window", sure=sure)
        if len(partial) >= 2 and _slides(partial):
            return replace(gap, kind="door", subtype="sliding", sure=0.9 if gap.mutual else 0.75)
        if len(full) == 1 and len(partial) < 2 and gap.mutual:
            return replace(gap, kind="window", subtype="window", sure=0.5)
        if len(partial) >= 1 and gap.width < 2.2 and gap.mutual:
            return replace(gap, kind="door", subtype="pocket", sure=0.5)
        return replace(gap, sure=0.45 if gap.width < 1.4 else 0.35)

    def _frame(self, gap: Gap) -> tuple[FloatArray, FloatArray, FloatArray]:
        a = np.array(gap.a)
        along = (np.array(gap.b) - a) / gap.width
        return a, along, np.array([-along[1], along[0]])

    def _leaves(self, gap: Gap) -> list[_Leaf]:
        """The arcs that stand on one of the gap's ends and shut it, or half of it."""
        a, along, across = self._frame(gap)
        leaves = []
        for index, arc in enumerate(self.arcs):
            centre = np.array(arc.centre) - a
            x, y = float(centre @ along), float(centre @ across)
            at_a, at_b = abs(x) < _HINGE_OFF, abs(x - gap.width) < _HINGE_OFF
            if abs(y) > gap.thickness / 2 + _HINGE_OFF or not (at_a or at_b):
                continue
            if not self._closes(arc, gap, a, along, across):
                continue
            whole, half = abs(arc.radius - gap.width), abs(arc.radius - gap.width / 2)
            narrow = arc.radius < gap.width < 2.4  # a leaf with a fixed side panel, or a frame drawn wide
            if min(whole, half) > max(_WIDTH_OFF * 0.5, 0.18 * gap.width) and not narrow:
                continue
            out = max((float((np.array(end) - a) @ across) for end in arc.ends), key=lambda value: abs(value - y)) - y
            hinge_off = min(abs(x), abs(x - gap.width))
            leaves.append(
                _Leaf(index, at_a, whole < half, "left" if out > 0 else "right", min(whole, half) + hinge_off)
            )
        return leaves

    def _hinged(self, gap: Gap, leaves: list[_Leaf]) -> Gap:
        """A door of one or two leaves."""
        single = [leaf for leaf in leaves if leaf.whole]
        if len({leaf.at_a for leaf in leaves if not leaf.whole}) == 2 and not single:
            return replace(gap, kind="door", subtype="double", hinge="a", swing=leaves[0].swing, sure=0.97)
        best = min(single or leaves, key=lambda leaf: leaf.off)
        sure = 0.97 if best.off < 0.15 else 0.7
        hinge = "a" if best.at_a else "b"
        return replace(gap, kind="door", subtype="single", hinge=hinge, swing=best.swing, sure=sure)

    def _closes(self, arc: Arc, gap: Gap, a: FloatArray, along: FloatArray, across: FloatArray) -> bool:
        """Whether one end of the arc lies in the gap's line and the other beside it."""
        local = [(float((np.array(e) - a) @ along), float((np.array(e) - a) @ across)) for e in arc.ends]
        reach = gap.thickness / 2 + 0.2
        shut = [-0.3 < x < gap.width + 0.3 and abs(y) < reach for x, y in local]
        open_ = [abs(y) > 0.55 * arc.radius for _, y in local]
        return (shut[0] and open_[1]) or (shut[1] and open_[0])

    def _runs(self, gap: Gap) -> tuple[list[float], list[tuple[float, float, float]]]:
        """Lines along the gap inside the wall: offsets of those over its whole width, (offset, from, to) of others."""
        if self.tree is None:
            return [], []
        a, along, across = self._frame(gap)
        zone = LineString([gap.a, gap.b]).buffer(gap.thickness / 2 + 0.06, cap_style="flat")
        local = (self.segments[self.tree.query(zone, predicate="intersects")] - a) @ np.stack([along, across], 1)
        flat = np.abs(local[:, 1, 1] - local[:, 0, 1]) < 0.06 * np.abs(local[:, 1, 0] - local[:, 0, 0]) + 1e-6
        inside = (np.abs(local[:, :, 1]) < gap.thickness / 2 + 0.05).all(1)
        local = local[flat & inside]
        low, high = local[:, :, 0].min(1), local[:, :, 0].max(1)
        level = local[:, :, 1].mean(1)
        full: list[float] = []
        partial: list[tuple[float, float, float]] = []
        for y in _distinct(level, 0.008 + self.blur):
            row = np.abs(level - y) < 0.008 + self.blur
            spans = _union([(float(x), float(z)) for x, z in zip(low[row], high[row], strict=True)])
            # a line that runs on far beyond the gap is an axis, a railing or a dimension line, not glass
            spans = [(x, z) for x, z in spans if z - x < gap.width + 1.2]
            cover = sum(min(z, gap.width) - max(x, 0.0) for x, z in spans if z > 0 and x < gap.width)
            if cover > 0.88 * gap.width - 5 * self.blur:
                full.append(y)
            elif cover > 0.22 * gap.width:
                partial.append((y, max(0.0, min(x for x, _ in spans)), min(gap.width, max(z for _, z in spans))))
        return full, partial

    def doors_without_gap(self, gaps: list[Gap]) -> list[Gap]:
        """Doors of arcs that no gap between wall ends explains: between two walls' sides, or the end of no wall."""
        used = [gap.area.buffer(0.25) for gap in gaps if gap.kind == "door"]
        found = []
        for index, arc in enumerate(self.arcs):
            if index in self.taken or any(area.contains(Point(arc.centre)) for area in used):
                continue
            for end, other in (arc.ends, arc.ends[::-1]):
                gap = self._from_arc(arc, end, other)
                if gap is not None:
                    found.append(gap)
                    break
        return found

    def _from_arc(self, arc: Arc, shut: tuple[float, float], away: tuple[float, float]) -> Gap | None:
        """The door that is shut when its leaf's end is at ``shut``, where walls stand at both sides of it."""
        hinge, end = np.array(arc.centre), np.array(shut)
        along = (end - hinge) / arc.radius
        across = np.array([-along[1], along[0]])
        for offset in (0.0, 0.05, -0.05, 0.1, -0.1, 0.15, -0.15):
            line = LineString([hinge - 0.4 * along + offset * across, end + 0.4 * along + offset * across])
            free = line.difference(self.cut)
            pieces = [g for g in getattr(free, "geoms", [free]) if abs(g.length - arc.radius) < 0.18]
            middle = Point((hinge + end) / 2 + offset * across)
            pieces = [g for g in pieces if g.distance(middle) < 0.05]
            if pieces:
                a, b = (tuple(map(float, c)) for c in (pieces[0].coords[0], pieces[0].coords[-1]))
                swing = "left" if float((np.array(away) - hinge) @ across) > 0 else "right"
                return Gap((a[0], a[1]), (b[0], b[1]), 0.1, False, "door", "single", "a", swing, 0.6)
        return None


def _distinct(levels: FloatArray, apart: float) -> list[float]:
    """Offsets of lines, those within a few millimetres as one."""
    found: list[float] = []
    for level in np.sort(levels):
        if not found or level - found[-1] > apart:
            found.append(float(level))
    return found


def _union(spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
    merged: list[tuple[float, float]] = []
    for low, high in sorted(spans):
        if merged and low <= merged[-1][1] + 0.03:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return merged


def _slides(partial: list[tuple[float, float, float]]) -> bool:
    """Whether panels lie beside each other on different tracks and shut the gap together."""
    low, high = min(x for _, x, _ in partial), max(z for _, _, z in partial)
    covered = _union([(x, z) for _, x, z in partial])
    return len({round(y, 3) for y, *_ in partial}) >= 2 and len(covered) == 1 and high - low > 0
