"""Walls, openings and railings of what the network saw on a picture: polygons laid onto the ink, in pixels, y down."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import shapely
import shapely.affinity
from numpy.typing import NDArray
from scipy import ndimage
from shapely.geometry import LineString, Point, Polygon
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union

from . import edges
from .ink import polygons
from .openings import Gap
from .segment import SHELL, Seen

FloatArray = NDArray[np.float64]
FloatImage = NDArray[np.float32]

#: Smallest piece of wall and largest hole that is filled (m2); how far (m) edges move onto ink; narrowest opening (m).
_SMALLEST, _FILLED, _REACH, _NARROWEST = 0.05, 0.05, 0.1, 0.32
#: Groups of walls so far apart (m) are different drawings; thickest wall (m).
_APART, _THICKEST = 1.6, 0.7
#: Least share of a wall's border that has a room beside it.
_INDOORS = 0.22


@dataclass(frozen=True)
class Shell:
    """solid: walls with openings filled; gaps: the openings; rails: railings; all in one unit. sure: of the walls."""

    solid: BaseGeometry
    gaps: tuple[Gap, ...]
    rails: tuple[Polygon, ...]
    sure: float


def find(seen: Seen, flat: FloatImage) -> Shell:
    """The shell in pixels of the sheet (y down); empty where nothing is seen."""
    whole = seen.of(*SHELL)
    rough = [p for p in _contoured(whole, seen.zoom) if p.area > _SMALLEST * seen.px_per_m**2]
    rough = _main_group(rough, seen)
    solid = unary_union([_fitted(p, seen, flat) for p in rough]) if rough else Polygon()
    solid = _solid(solid, seen.px_per_m)
    gaps = _openings(seen, solid, flat)
    rails = _rails(seen, solid, flat)
    inside = whole > 0.5
    sure = float(whole[inside].mean()) if inside.any() else 0.0
    return Shell(solid, tuple(gaps), tuple(rails), sure)


def in_metres(shell: Shell, rows: int, unit: float) -> Shell:
    """The same with y up, in metres, of a sheet of so many ``rows`` whose pixel is ``unit`` metres."""

    def moved(shape: BaseGeometry) -> BaseGeometry:
        return shapely.affinity.affine_transform(shape, [unit, 0, 0, -unit, 0, rows * unit])

    def at(p: tuple[float, float]) -> tuple[float, float]:
        return p[0] * unit, (rows - p[1]) * unit

    gaps = tuple(replace(g, a=at(g.a), b=at(g.b), thickness=g.thickness * unit) for g in shell.gaps)
    return Shell(moved(shell.solid), gaps, tuple(moved(r) for r in shell.rails), shell.sure)


def _contoured(share: FloatImage, zoom: float, level: float = 0.5) -> list[Polygon]:
    """Polygons (pixels of the sheet) where a share is above a level."""
    from skimage.measure import find_contours

    padded = np.pad(share, 1)
    rings = []
    for contour in find_contours(padded, level):
        if len(contour) > 6 and np.array_equal(contour[0], contour[-1]):
            rings.append(Polygon((contour[:, ::-1] - 0.5) / zoom))
    whole: BaseGeometry = Polygon()
    for ring in sorted((r.buffer(0) for r in rings), key=lambda r: -r.area):
        whole = whole.symmetric_difference(ring)
    return polygons(whole)


def _main_group(parts: list[Polygon], seen: Seen) -> list[Polygon]:
    """Walls with rooms beside them, near the largest group or a large group themselves: no frames, no tables."""
    floor = seen.of("room", "swing", "fixture", "stairs", "text")
    inner = ndimage.maximum_filter((floor - seen.of("text") > 0.5).astype(np.uint8), 2 * round(0.3 * _work(seen)) + 1)
    parts = [p for p in parts if _beside(p, inner, seen) > _INDOORS]
    if len(parts) < 2:
        return parts
    groups = polygons(unary_union([p.buffer(_APART / 2 * seen.px_per_m, quad_segs=2) for p in parts]))
    worth = [sum(p.area for p in parts if g.intersects(p)) for g in groups]
    kept = [g for g, value in zip(groups, worth, strict=True) if value > 0.25 * max(worth)]
    return [p for p in parts if any(g.intersects(p) for g in kept)]


def _work(seen: Seen) -> float:
    """Pixels a metre of the shares."""
    return seen.px_per_m * seen.zoom


def _beside(part: Polygon, inner: NDArray[np.uint8], seen: Seen) -> float:
    """Share of a wall's border that has a room beside it."""
    line = part.boundary.segmentize(0.15 * seen.px_per_m)
    places = shapely.get_coordinates(line) * seen.zoom
    rows = np.clip(places[:, 1].astype(int), 0, inner.shape[0] - 1)
    columns = np.clip(places[:, 0].astype(int), 0, inner.shape[1] - 1)
    return float(inner[rows, columns].mean())


def _fitted(part: Polygon, seen: Seen, flat: FloatImage) -> BaseGeometry:
    """A rough polygon with straight edges that lie on the ink."""
    pixel = 1 / seen.zoom
    rings: list[BaseGeometry] = []
    part = shapely.geometry.polygon.orient(part)
    for ring in (part.exterior, *part.interiors):
        if rings and Polygon(ring).area < _FILLED * seen.px_per_m**2:
            continue
        points = np.array(ring.coords)
        rough = np.array(ring.simplify(0.95 * pixel).coords)
        found = edges.regular(points, rough, pixel)
        trials = (edges.corners([_onto_ink(edge, seen, flat) for edge in found]), edges.corners(found), rough[:-1])
        rings.append(_whole(trials, Polygon(points).area))
    return rings[0].difference(unary_union(rings[1:])) if len(rings) > 1 else rings[0]


def _whole(trials: Sequence[FloatArray | None], area: float) -> BaseGeometry:
    """The first of some rings whose area is about what it should be."""
    shape: BaseGeometry = Polygon()
    for ring in trials:
        if ring is not None and len(ring) > 2:
            shape = Polygon(ring).buffer(0)
            if abs(shape.area - area) < 0.25 * area:
                return shape
    return shape


def _onto_ink(edge: edges.Edge, seen: Seen, flat: FloatImage) -> edges.Edge:
    if edge.length < 0.12 * seen.px_per_m:
        return edge
    off = edges.offset(edge, flat, _REACH * seen.px_per_m, seen.px_per_m, lambda places: _walled(seen, places))
    return edge if off is None else edge.moved(off)


def _walled(seen: Seen, places: FloatArray) -> NDArray[np.bool_]:
    """Which places lie in a wall rather than in an opening of it."""
    rows, columns = (np.clip((places[:, k] * seen.zoom).astype(int), 0, seen.shares.shape[2 - k] - 1) for k in (1, 0))
    return seen.walled[rows, columns]


def _solid(solid: BaseGeometry, px_per_m: float) -> BaseGeometry:
    """Without slits and slivers thinner than a wall."""
    thin = 0.018 * px_per_m
    shut = solid.buffer(thin, join_style="mitre").buffer(-2 * thin, join_style="mitre").buffer(thin, join_style="mitre")
    kept = [p for p in polygons(shut) if p.area > _SMALLEST * px_per_m**2]
    return unary_union([_filled(p, _FILLED * px_per_m**2) for p in kept]) if kept else Polygon()


def _filled(part: Polygon, least: float) -> Polygon:
    return Polygon(part.exterior, [ring for ring in part.interiors if Polygon(ring).area > least])


# -- openings ---------------------------------------------------------------------------------------------------------


def _openings(seen: Seen, solid: BaseGeometry, flat: FloatImage) -> list[Gap]:
    """Doors, windows and plain openings, each on its wall."""
    kinds = ("door", "window", "opening")
    shares = np.stack([seen.of(kind) for kind in kinds])
    total = shares.sum(0)
    holes = total > np.maximum(seen.of("wall"), 0.35)
    labels, _ = ndimage.label(holes)
    leading = shares.argmax(0)
    found: list[Gap] = []
    for index, window in enumerate(ndimage.find_objects(labels), 1):
        mine = labels[window] == index
        origin = np.array([window[1].start, window[0].start], float)
        for kind, mask in _by_kind(mine, leading[window], shares[(slice(None), *window)], seen):
            gap = _gap(kinds[kind], mask, shares[(slice(None), *window)], origin, seen, solid, flat)
            if gap is not None:
                found.append(gap)
    return _apart(found)


def _by_kind(
    mine: NDArray[np.bool_], leading: NDArray[np.intp], shares: FloatImage, seen: Seen
) -> list[tuple[int, NDArray[np.bool_]]]:
    """A connected hole as one opening, or as several where kinds stand beside each other."""
    least = _NARROWEST * seen.px_per_m * seen.zoom
    amounts = np.array([float(s[mine].sum()) for s in shares])
    several = []
    for kind in np.flatnonzero(amounts > 0.22 * amounts.sum()):
        parts, _ = ndimage.label(mine & (leading == kind))
        for index, window in enumerate(ndimage.find_objects(parts), 1):
            long = max(window[0].stop - window[0].start, window[1].stop - window[1].start)
            if long > 1.2 * least:
                several.append((int(kind), parts == index))
    if len({kind for kind, _ in several}) > 1:
        return several
    return [(int(amounts.argmax()), mine)]


def _gap(
    kind: str,
    mask: NDArray[np.bool_],
    shares: FloatImage,
    origin: FloatArray,
    seen: Seen,
    solid: BaseGeometry,
    flat: FloatImage,
) -> Gap | None:
    """One opening with its ends on the ink and its wall's faces beside it."""
    px = seen.px_per_m
    places = np.argwhere(mask)[:, ::-1] + 0.5 + origin
    weight = shares[:, mask].sum(0)
    middle = (places * weight[:, None]).sum(0) / weight.sum()
    way = _direction(places, middle, weight, solid, seen.zoom, px)
    along = (places - middle) @ way
    low, high = float(along.min()) - 0.5, float(along.max()) + 0.5
    middle, low, high = middle / seen.zoom, low / seen.zoom, high / seen.zoom
    span = _faces(solid, middle + way * (low + high) / 2, way, px)
    if span is None:
        return None
    across = np.array([-way[1], way[0]])
    centre = middle + across * (span[0] + span[1]) / 2
    thickness = span[1] - span[0]
    a, b = centre + way * low, centre + way * high
    a, b = _jambs(a, b, thickness, flat, px)
    if np.hypot(*(b - a)) < _NARROWEST * px:
        return None
    sure = float(shares.max(0)[mask].mean())
    gap = Gap((float(a[0]), float(a[1])), (float(b[0]), float(b[1])), thickness, True, kind, kind, sure=sure)
    if kind == "door":
        return _door(gap, seen)
    return replace(gap, subtype="window" if kind == "window" else "single")


def _direction(
    places: FloatArray, middle: FloatArray, weight: FloatArray, solid: BaseGeometry, zoom: float, px: float
) -> FloatArray:
    """Unit vector along the wall that an opening lies in."""
    local = (places - middle) * np.sqrt(weight)[:, None]
    values, axes = np.linalg.eigh(local.T @ local)
    way = axes[:, 1]
    if values[1] < 2.0 * values[0]:  # squat: where does the wall go on?
        reach = 1.2 * math.sqrt(len(places)) / zoom + 0.25 * px
        spot = middle / zoom
        met = [
            LineString([spot - reach * d, spot + reach * d]).intersection(solid).length
            for d in (np.array([1.0, 0.0]), np.array([0.0, 1.0]))
        ]
        way = np.array([1.0, 0.0]) if met[0] > met[1] else np.array([0.0, 1.0])
    for axis in (np.array([1.0, 0.0]), np.array([0.0, 1.0])):
        if abs(float(way @ axis)) > math.cos(math.radians(4)):
            return axis
    return np.asarray(way if way[0] > 0 else -way)


def _faces(solid: BaseGeometry, at: FloatArray, way: FloatArray, px: float) -> tuple[float, float] | None:
    """Where the wall around an opening begins and ends across it, from a point in it."""
    across = np.array([-way[1], way[0]])
    reach = 1.2 * _THICKEST * px
    line = LineString([at - reach * across, at + reach * across]).intersection(solid)
    best = None
    for part in getattr(line, "geoms", [line]):
        if part.is_empty or part.geom_type != "LineString":
            continue
        places = np.sort((shapely.get_coordinates(part) - at) @ across)
        away = part.distance(Point(at))
        if best is None or away < best[0]:
            best = away, float(places[0]), float(places[-1])
    if best is None or best[0] > 0.12 * px or not 0.03 * px < best[2] - best[1] < _THICKEST * px:
        return None
    return best[1], best[2]


def _jambs(
    a: FloatArray, b: FloatArray, thickness: float, flat: FloatImage, px: float
) -> tuple[FloatArray, FloatArray]:
    """The ends of an opening moved onto the ends of the walls as they are drawn."""
    way = (b - a) / max(float(np.hypot(*(b - a))), 1e-9)
    across = np.array([-way[1], way[0]])
    kind = "v" if abs(way[0]) > 0.999 else "h" if abs(way[1]) > 0.999 else "o"
    out = []
    for end, sign in ((a, -1.0), (b, 1.0)):  # the wall lies beyond the end: inwards is sign * way
        half = across * thickness / 2 * sign
        edge = edges.Edge(end + half, end - half, kind)  # inward of p -> q is sign * way
        off = edges.offset(edge, flat, 0.13 * px, px)
        out.append(end if off is None else end + sign * way * off)
    return (out[0], out[1]) if float((out[1] - out[0]) @ way) > 0.6 * float((b - a) @ way) else (a, b)


def _door(gap: Gap, seen: Seen) -> Gap:
    """A door by what its leaves sweep: side, hinge, one leaf or two; sliding where nothing is swept."""
    a, b = np.array(gap.a), np.array(gap.b)
    width = float(np.hypot(*(b - a)))
    way = (b - a) / width
    across = np.array([-way[1], way[0]])
    swept = seen.of("swing")
    us, vs = np.linspace(0.06, 0.94, 15) * width, np.linspace(0.08, 0.95, 12) * width
    sides = {}
    for name, sign in (("right", 1.0), ("left", -1.0)):  # y down: + across is to the right of a to b
        grid = a + us[:, None, None] * way + sign * (gap.thickness / 2 + vs)[None, :, None] * across
        values = ndimage.map_coordinates(
            swept, [grid[..., 1] * seen.zoom - 0.5, grid[..., 0] * seen.zoom - 0.5], order=1, mode="constant"
        )
        sides[name] = values.mean(1)
    swing = max(sides, key=lambda name: float(sides[name].mean()))
    depth = sides[swing]
    full = math.pi / 4
    amount = float(depth.mean()) / full
    if amount < 0.28:
        return replace(gap, subtype="sliding", sure=0.9 * gap.sure)
    start, middle, stop = float(depth[:4].mean()), float(depth[5:10].mean()), float(depth[-4:].mean())
    if min(start, stop) > 1.15 * middle and width > 0.95 * seen.px_per_m:
        return replace(gap, subtype="double", hinge="a", swing=swing)
    return replace(gap, subtype="single", hinge="a" if start > stop else "b", swing=swing)


def _apart(gaps: list[Gap]) -> list[Gap]:
    """Of openings that claim one place, the surest."""
    kept: list[Gap] = []
    for gap in sorted(gaps, key=lambda g: -g.sure):
        if all(gap.area.intersection(o.area).area < 0.2 * min(gap.area.area, o.area.area) for o in kept):
            kept.append(gap)
    return kept


# -- railings ---------------------------------------------------------------------------------------------------------


def _rails(seen: Seen, solid: BaseGeometry, flat: FloatImage) -> list[Polygon]:
    """Railings that begin at a wall."""
    if solid.is_empty:
        return []
    near = solid.buffer(0.35 * seen.px_per_m)
    found = []
    for part in _contoured(seen.of("railing"), seen.zoom, 0.45):
        if part.area > 0.012 * seen.px_per_m**2 and part.intersects(near):
            shape = _fitted(part, seen, flat)
            found += [p for p in polygons(shape.difference(solid)) if p.area > 0.008 * seen.px_per_m**2]
    return found
