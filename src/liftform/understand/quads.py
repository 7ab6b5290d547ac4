"""Bright or dark four-sided fields in a picture, such as sheets of paper and cards; their corners to sub-pixel.

The picture is cut at many levels of lightness and of colourfulness; pieces whose convex hull is four-sided are kept
(after maximally stable regions: Matas, Chum, Urban, Pajdla, 2002). Sides are then fitted where the picture is steepest
across them, and corners are where sides cross, so that rounded corners do not matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Plane = NDArray[np.float32]

#: Longer side in pixels of the picture that is cut; levels it is cut at.
_SIDE, _LEVELS = 640, 14
#: Share of the picture that a field covers.
_SMALLEST, _LARGEST = 8e-4, 0.6
#: How much of its hull a field fills, and its hull of the four-sided figure around it.
_FILLED, _FOUR_SIDED = 0.90, 0.955
#: Samples along a side, without its ends; share of them that must see the edge; passes.
_SAMPLES, _ENDS, _SUPPORT, _PASSES = 48, 0.08, 0.6, 3


@dataclass(frozen=True)
class Quad:
    """corners (4, 2) in pixels, clockwise as seen, none of them first. error_px: standard error of a corner.

    support: share of the sides along which the edge was found. contrast: height of that edge, of 1. levels: at how many
    levels the field was found.
    """

    corners: Floats
    error_px: float
    support: float
    contrast: float
    levels: int = 1


def quads(image: NDArray[np.float32]) -> list[Quad]:
    """Four-sided fields of a picture (H, W, 3) sRGB in [0, 1], the largest first."""
    small, step = _reduced(image)
    full = _channels(image)
    found: list[tuple[Floats, int]] = []
    for field in _fields(small):
        corners = field * step
        at = next((k for k, (known, _) in enumerate(found) if _same(known, corners)), None)
        if at is None:
            found.append((corners, 1))
        else:
            found[at] = (found[at][0], found[at][1] + 1)
    sharp = [replace(quad, levels=levels) for corners, levels in found if (quad := refined(full, corners, 1.5 * step))]
    kept: list[Quad] = []
    for quad in sorted(sharp, key=lambda q: -area(q.corners)):
        if not any(_same(other.corners, quad.corners) for other in kept):
            kept.append(quad)
    return kept


def refined(channels: Plane, corners: Floats, reach: float) -> Quad | None:
    """A quad whose sides lie where ``channels`` (C, H, W) are steepest within ``reach`` pixels, or None."""
    for n in range(_PASSES):
        width = max(2.0, reach / 2**n)
        sides = [_side(channels, corners[k], corners[(k + 1) % 4], width) for k in range(4)]
        if any(side is None for side in sides):
            return None
        lines = [side for side in sides if side is not None]
        moved = np.array([_crossing(lines[k - 1], lines[k]) for k in range(4)])
        if not np.isfinite(moved).all() or np.linalg.norm(moved - corners, axis=1).max() > 3 * reach + 3:
            return None
        corners = moved
    error = float(np.sqrt(np.mean([line.error**2 for line in lines])))
    least = min(line.support for line in lines)
    return Quad(corners, max(error, 0.03), least, min(line.contrast for line in lines)) if _convex(corners) else None


def grey(image: NDArray[np.float32]) -> Plane:
    """Lightness as one channel (1, H, W)."""
    return (image @ np.array([0.299, 0.587, 0.114], np.float32))[None]


def _channels(image: NDArray[np.float32]) -> Plane:
    """Lightness, colourfulness and two opponent colours (4, H, W)."""
    r, g, b = np.moveaxis(image, -1, 0)
    return np.stack([grey(image)[0], image.max(2) - image.min(2), 0.5 * (r - g), 0.5 * (0.5 * (r + g) - b)])


def _reduced(image: NDArray[np.float32]) -> tuple[Plane, float]:
    """Channels of the picture averaged down to about _SIDE, and pixels of the picture per pixel of theirs."""
    step = max(1, round(max(image.shape[:2]) / _SIDE))
    height, width = (n // step * step for n in image.shape[:2])
    blocks = image[:height, :width].reshape(height // step, step, width // step, step, 3)
    return _channels(blocks.mean((1, 3), dtype=np.float32)), float(step)


def _fields(channels: Plane) -> Iterator[Floats]:
    """Corners (4, 2) in pixels of ``channels`` of every four-sided piece, at every level where it is one."""
    from scipy.ndimage import label

    for plane in channels:
        low, high = np.percentile(plane[::2, ::2], [1, 99])
        if high - low < 0.04:
            continue
        for level in np.linspace(low, high, _LEVELS + 2)[1:-1]:
            for mask in (plane > level, plane <= level):
                labels, count = label(mask)
                if count:
                    yield from _four_sided(labels)


def _four_sided(labels: NDArray[np.int32]) -> Iterator[Floats]:
    """Corners of the pieces of one cut that are four-sided and do not touch the picture's rim."""
    from scipy.ndimage import find_objects

    height, width = labels.shape
    sizes = np.bincount(labels.ravel())
    big = np.flatnonzero((sizes > 0.5 * _SMALLEST * labels.size) & (sizes < _LARGEST * labels.size))
    boxes = find_objects(labels) if len(big) else []
    for k in big[big > 0]:
        rows, columns = boxes[k - 1]
        if rows.start == 0 or columns.start == 0 or rows.stop == height or columns.stop == width:
            continue
        if sizes[k] < 0.2 * (rows.stop - rows.start) * (columns.stop - columns.start):
            continue
        corners = _corners(labels[rows, columns] == k)
        if corners is not None:
            yield corners + np.array([columns.start, rows.start])


def _corners(piece: NDArray[np.bool_]) -> Floats | None:
    """Corners (4, 2) of the four-sided figure around a piece, if it fills that."""
    from scipy.ndimage import binary_fill_holes
    from scipy.spatial import ConvexHull

    left, right = piece.argmax(1), piece.shape[1] - piece[:, ::-1].argmax(1)
    rows = np.flatnonzero(piece.any(1))
    ends = [(x, y + dy) for y in rows for x in (left[y], right[y]) for dy in (0, 1)]
    hull = np.array(ends, float)[ConvexHull(np.array(ends, float)).vertices]
    whole = area(hull)
    if whole < 60 or binary_fill_holes(piece).sum() < _FILLED * whole:
        return None
    quad = _around(hull)
    if quad is None or whole < _FOUR_SIDED * area(quad) or not _convex(quad):
        return None
    return quad


def _around(hull: Floats) -> Floats | None:
    """The four-sided figure around a convex polygon: the side that costs least to leave out goes first."""
    points = list(hull)
    while len(points) > 4:
        n, best = len(points), (np.inf, 0, np.zeros(2))
        for k in range(n):
            a, b, c, d = points[k - 1], points[k], points[(k + 1) % n], points[(k + 2) % n]
            u, v = b - a, c - d
            across = u[0] * v[1] - u[1] * v[0]
            if abs(across) < 1e-9:
                continue
            s = ((c - b)[0] * v[1] - (c - b)[1] * v[0]) / across
            corner = b + s * u
            cost = 0.5 * abs((c - b)[0] * (corner - b)[1] - (c - b)[1] * (corner - b)[0])
            if s >= 0 and (corner - c) @ v >= 0 and cost < best[0]:
                best = (cost, k, corner)
        if not np.isfinite(best[0]):
            return None
        k = best[1]
        points[k] = best[2]
        del points[(k + 1) % n]
    return np.array(points) if len(points) == 4 else None


@dataclass(frozen=True)
class _Line:
    """Through ``point`` along the unit ``direction``; error: standard error of its place in pixels."""

    point: Floats
    direction: Floats
    error: float
    support: float
    contrast: float


def _side(channels: Plane, a: Floats, b: Floats, width: float) -> _Line | None:
    """The line along which the picture is steepest near the side from a to b."""
    from scipy.ndimage import map_coordinates

    length = float(np.linalg.norm(b - a))
    if length < 6:
        return None
    along = (b - a) / length
    across = np.array([along[1], -along[0]])
    t = np.linspace(_ENDS, 1 - _ENDS, _SAMPLES) * length
    s = np.arange(-width - 1.5, width + 1.6, 0.5)
    at = a + t[:, None, None] * along + s[:, None] * across - 0.5
    where = [at[..., 1], at[..., 0]]
    slope = np.stack([np.diff(map_coordinates(c, where, order=1, mode="nearest"), axis=1) for c in channels])
    slope = slope[:, :, :-1] + slope[:, :, 1:]  # of one pixel, at s[1:-1]
    channel = int(np.abs(slope).max(2).mean(1).argmax())
    slope = slope[channel]
    slope = np.maximum(slope * np.sign(np.median(slope[np.arange(len(t)), np.abs(slope).argmax(1)])), 0)
    return _fitted(a, along, across, t, _peak(slope, s[1:-1]), slope)


def _peak(slope: Floats, s: Floats) -> Floats:
    """Where each row is steepest: the centre of what is steep around its maximum."""
    top = slope.argmax(1)[:, None]
    near = np.abs(np.arange(slope.shape[1]) - top) <= 3
    weight = np.where(near, slope, 0) ** 2 + 1e-12
    peak: Floats = (weight * s).sum(1) / weight.sum(1)
    return peak


def _fitted(a: Floats, along: Floats, across: Floats, t: Floats, s: Floats, slope: Floats) -> _Line | None:
    """A line through the peaks, by repeated fits that leave out what lies off."""
    height = slope.max(1)
    weak = max(0.015, 0.3 * float(np.median(height)))
    used = height > weak
    middle = t.mean()
    for tolerance in (2.0, 1.0, 0.6):
        if used.sum() < 6:
            return None
        slant, offset = np.polyfit(t[used] - middle, s[used], 1, w=np.sqrt(height[used]))
        off = np.abs(s - offset - slant * (t - middle))
        used = (height > weak) & (off < max(tolerance, 2.5 * float(np.median(off[used]))))
    if used.mean() < _SUPPORT:
        return None
    direction = along + slant * across
    error = float(np.sqrt(np.mean(off[used] ** 2) / used.sum()) * 2)  # at an end of the side
    point = a + middle * along + offset * across
    return _Line(point, direction / np.linalg.norm(direction), error, float(used.mean()), float(np.median(height)))


def _crossing(p: _Line, q: _Line) -> Floats:
    turn = p.direction[0] * q.direction[1] - p.direction[1] * q.direction[0]
    gap = q.point - p.point
    reach = (gap[0] * q.direction[1] - gap[1] * q.direction[0]) / (turn if abs(turn) > 1e-9 else np.nan)
    return np.asarray(p.point + reach * p.direction)


def _convex(corners: Floats) -> bool:
    side = np.roll(corners, -1, axis=0) - corners
    after = np.roll(side, -1, axis=0)
    turn = side[:, 0] * after[:, 1] - side[:, 1] * after[:, 0]
    sharp = np.abs(turn) / (np.linalg.norm(side, axis=1) * np.linalg.norm(after, axis=1) + 1e-12)
    return bool((turn > 0).all() and (sharp > 0.2).all())


def area(corners: Floats) -> float:
    """Of a polygon (N, 2)."""
    x, y = corners.T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def _same(a: Floats, b: Floats) -> bool:
    """Whether two quads are one, wherever their corners begin."""
    limit = 0.03 * np.sqrt(area(a)) + 2
    return any(bool((np.abs(a - np.roll(b, k, axis=0)) < limit).all()) for k in range(4))
