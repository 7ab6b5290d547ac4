"""The page in a photograph: a light quadrilateral on something darker, its shape on paper, and the lens's bend."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
FloatImage = NDArray[np.float32]

#: Longer side that the page is looked for at; least share of the photo it fills; least contrast to its ground.
_SMALL, _LEAST, _CONTRAST = 480, 0.15, 0.1
#: Longer by shorter side of papers: ISO, tabloid, letter; how far a measured shape may be off, and a mere guess.
_PAPERS = (math.sqrt(2), 17 / 11, 11 / 8.5)
_SNAP, _SNAP_GUESS = 0.025, 0.045


def find(image: FloatImage) -> FloatArray | None:
    """Corners (4, 2) of the page in pixels (top left, top right, bottom right, bottom left), or None where there is
    none: a scan, a screenshot, or a photo filled by the sheet.
    """
    from scipy import ndimage
    from shapely.geometry import Polygon

    shrink = max(1, math.ceil(max(image.shape) / _SMALL))
    rows, columns = (side // shrink * shrink for side in image.shape)
    small = image[:rows, :columns].reshape(rows // shrink, shrink, columns // shrink, shrink).max((1, 3))
    small = ndimage.median_filter(small, 5)
    light = small > _otsu(small)
    light = ndimage.binary_opening(light, iterations=2)
    labels, count = ndimage.label(light)
    if count == 0:
        return None
    largest = int(np.argmax(np.bincount(labels.ravel())[1:])) + 1
    mask = ndimage.binary_fill_holes(labels == largest)
    share = float(mask.mean())
    if not _LEAST < share < 0.97:
        return None
    ground = ~ndimage.binary_dilation(mask, iterations=3)
    if ground.mean() < 0.02 or float(np.median(small[mask]) - np.median(small[ground])) < _CONTRAST:
        return None
    if float(np.std(small[ground])) > 0.5 * float(np.median(small[mask]) - np.median(small[ground])):
        return None  # what lies around is a drawing, not a table
    edge = np.argwhere(mask & ~ndimage.binary_erosion(mask)).astype(float)[:, ::-1] + 0.5
    hull = Polygon(edge).convex_hull if len(edge) > 20 else None
    quad = None if hull is None or hull.geom_type != "Polygon" else _four(hull)
    if quad is None or abs(Polygon(quad).area / mask.sum() - 1) > 0.06:
        return None
    return _refined(image, ordered(quad * shrink), reach=2.5 * shrink)


def _otsu(values: FloatImage) -> float:
    """The threshold that parts lightness best (Otsu 1979)."""
    counts, edges = np.histogram(values, 128, (0, 1))
    weight = np.cumsum(counts)
    moment = np.cumsum(counts * (edges[:-1] + edges[1:]) / 2)
    total, mean = weight[-1], moment[-1] / weight[-1]
    between = (mean * weight - moment) ** 2 / np.maximum(weight * (total - weight), 1e-9)
    return float(edges[int(np.argmax(between)) + 1])


def _four(hull: Any) -> FloatArray | None:
    """The hull as a quadrilateral: its four longest straight sides, drawn out to where they meet."""
    for tolerance in (2.0, 3.0, 4.5, 7.0):
        ring = np.array(hull.simplify(tolerance).exterior.coords)[:-1]
        if len(ring) < 4:
            return None
        lengths = np.hypot(*(np.roll(ring, -1, 0) - ring).T)
        if np.sort(lengths)[-4:].sum() < 0.9 * lengths.sum():
            continue
        sides = sorted(np.argsort(-lengths)[:4].tolist())
        corners = []
        for k, here in enumerate(sides):
            before = sides[k - 1]
            met = meeting(ring[before], ring[(before + 1) % len(ring)], ring[here], ring[(here + 1) % len(ring)])
            if met is None:
                return None
            corners.append(met)
        return np.array(corners)
    return None


def meeting(a: FloatArray, b: FloatArray, c: FloatArray, d: FloatArray) -> FloatArray | None:
    """Where the lines a-b and c-d meet."""
    u, v = b - a, d - c
    cross = u[0] * v[1] - u[1] * v[0]
    if abs(cross) < 1e-6 * math.hypot(*u) * math.hypot(*v):
        return None
    return a + u * ((c - a)[0] * v[1] - (c - a)[1] * v[0]) / cross


def ordered(quad: FloatArray) -> FloatArray:
    """Corners clockwise as seen, the one nearest the top left first."""
    middle = quad.mean(0)
    turn = np.arctan2(quad[:, 1] - middle[1], quad[:, 0] - middle[0])
    ring = quad[np.argsort(turn)]
    return np.roll(ring, -int(np.argmin(ring.sum(1))), 0)


def sides(image: FloatImage, quad: FloatArray, reach: float) -> list[FloatArray]:
    """Points (N, 2) along each side where the lightness changes most, a fraction of a pixel fine."""
    from scipy import ndimage

    found = []
    offsets = np.arange(-reach, reach + 0.01, 0.5)
    for p, q in zip(quad, np.roll(quad, -1, 0), strict=True):
        along = (q - p) / max(float(np.hypot(*(q - p))), 1e-9)
        across = np.array([-along[1], along[0]])
        places = p + (q - p) * np.linspace(0.04, 0.96, 90)[:, None]
        grid = places[:, None] + across * offsets[:, None]
        values = ndimage.map_coordinates(image, [grid[..., 1] - 0.5, grid[..., 0] - 0.5], order=1, mode="nearest")
        slope = ndimage.gaussian_filter1d(values, 2.0, axis=1, order=1)
        peak = np.argmax(slope, 1)
        strong = slope[np.arange(len(peak)), peak] > 0.4 * np.median(slope.max(1))
        found.append((places + across * offsets[peak][:, None])[strong])
    return found


def _refined(image: FloatImage, quad: FloatArray, reach: float) -> FloatArray:
    """Corners where lines fitted to the sides' points meet."""
    lines = []
    for points, p, q in zip(sides(image, quad, reach), quad, np.roll(quad, -1, 0), strict=True):
        kept = points
        for _ in range(3):
            if len(kept) < 12:
                break
            middle = kept.mean(0)
            _, _, axes = np.linalg.svd(kept - middle)
            off = np.abs((points - middle) @ axes[1])
            kept = points[off < max(1.0, 2.5 * float(np.median(off)))]
        lines.append((p, q) if len(kept) < 12 else (middle, middle + axes[0]))
    corners = [meeting(*lines[k - 1], *lines[k]) for k in range(4)]
    if any(c is None or np.hypot(*(c - quad[k])) > 3 * reach for k, c in enumerate(corners)):
        return quad
    return ordered(np.array(corners))


def bend(image: FloatImage, quad: FloatArray) -> float:
    """Radial distortion k that makes the page's sides straightest, 0 where they are straight already.

    r_straight = r (1 + k r^2), r in half diagonals from the middle of the photo (Brown 1966, first term).
    """
    points = sides(image, quad, reach=0.012 * max(image.shape))
    points = [p for p in points if len(p) > 30]
    if len(points) < 3:
        return 0.0

    def stray(k: float) -> float:
        return sum(_stray(undistorted(p, k, image.shape)) for p in points) / len(points)

    trials = np.linspace(-0.12, 0.12, 49)
    best = min(trials, key=stray)
    bow = 0.0008 * max(image.shape)
    return float(best) if stray(0.0) > max(bow, 1.6 * stray(float(best))) else 0.0


def _stray(points: FloatArray) -> float:
    """Median distance of points from the line fitted to them."""
    middle = points.mean(0)
    _, _, axes = np.linalg.svd(points - middle)
    return float(np.median(np.abs((points - middle) @ axes[1])))


def undistorted(points: FloatArray, k: float, shape: tuple[int, ...]) -> FloatArray:
    """Points of a bent photo where they lie once it is straight."""
    middle = np.array([shape[1], shape[0]]) / 2
    away = points - middle
    r2 = (away**2).sum(1, keepdims=True) / (middle @ middle)
    return middle + away * (1 + k * r2)


def straightened(image: FloatImage, k: float) -> FloatImage:
    """The photo with its radial distortion taken out."""
    from scipy import ndimage

    high, wide = image.shape
    middle = np.array([wide, high]) / 2
    xs, ys = np.meshgrid(np.arange(wide) + 0.5 - middle[0], np.arange(high) + 0.5 - middle[1])
    goal = np.hypot(xs, ys) / float(np.hypot(*middle))
    r = goal.copy()
    for _ in range(6):  # r (1 + k r^2) = goal by Newton's steps
        r -= (r * (1 + k * r * r) - goal) / (1 + 3 * k * r * r)
    share = np.where(goal > 1e-9, r / np.maximum(goal, 1e-9), 1.0)
    places = [ys * share + middle[1] - 0.5, xs * share + middle[0] - 0.5]
    return ndimage.map_coordinates(image, places, order=1, mode="nearest").astype(np.float32)


def rectangle(quad: FloatArray, shape: tuple[int, ...], whole: bool = False) -> tuple[FloatArray, tuple[int, int]]:
    """(image_from_out, (width, height)) of a page's corners. ``whole``: of everything in the photo, not the page alone.

    The page's shape follows from the perspective itself, the camera's middle and square pixels taken for granted
    (Zhang & He, "Whiteboard Scanning and Image Enhancement", 2007); a shape close to a common paper's is that paper's.
    """
    top, right, bottom, left = (float(np.hypot(*(quad[(k + 1) % 4] - quad[k]))) for k in range(4))
    measured = _ratio(quad, shape)
    ratio = measured or (top + bottom) / (left + right)
    if not whole:
        ratio = _paper(ratio, _SNAP if measured else _SNAP_GUESS)
    width = max(top, bottom)
    height = width / ratio
    if height < max(left, right):
        height = max(left, right)
        width = height * ratio
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]])
    matrix = homography(corners, quad)
    if not whole:
        return matrix, (math.ceil(width), math.ceil(height))
    frame = np.array([[0, 0], [shape[1], 0], [shape[1], shape[0]], [0, shape[0]]], float)
    out = applied(np.linalg.inv(matrix), frame)
    low, span = out.min(0), np.ptp(out, axis=0)
    shift = np.array([[1, 0, low[0]], [0, 1, low[1]], [0, 0, 1]])
    limit = 1.6 * np.array([shape[1], shape[0]])
    shrink = max(1.0, float((span / limit).max()))
    matrix = matrix @ shift @ np.diag([shrink, shrink, 1])
    return matrix / matrix[2, 2], (math.ceil(span[0] / shrink), math.ceil(span[1] / shrink))


def _paper(ratio: float, most: float) -> float:
    """The nearest common paper's shape within a relative difference, or the shape itself."""
    known = [side for paper in _PAPERS for side in (paper, 1 / paper)]
    near = min(known, key=lambda side: abs(math.log(ratio / side)))
    return near if abs(ratio / near - 1) < most else ratio


def _ratio(quad: FloatArray, shape: tuple[int, ...]) -> float | None:
    """Width by height of the rectangle that a quadrilateral shows, or None where its perspective is too weak."""
    middle = np.array([shape[1] / 2, shape[0] / 2])
    m1, m2, m4, m3 = (np.array([*(corner - middle), 1.0]) for corner in quad)  # top row, then bottom row
    k2 = (np.cross(m1, m4) @ m3) / (np.cross(m2, m4) @ m3)
    k3 = (np.cross(m1, m4) @ m2) / (np.cross(m3, m4) @ m2)
    n2, n3 = k2 * m2 - m1, k3 * m3 - m1
    if min(abs(n2[2]), abs(n3[2])) < 0.03:
        return None
    f2 = -(n2[0] * n3[0] + n2[1] * n3[1]) / (n2[2] * n3[2])
    if not (0.25 * max(shape)) ** 2 < f2 < (8 * max(shape)) ** 2:
        return None
    inverse = np.array([1 / f2, 1 / f2, 1.0])
    return float(math.sqrt((n2 * inverse) @ n2 / ((n3 * inverse) @ n3)))


def homography(source: FloatArray, target: FloatArray) -> FloatArray:
    """The 3 x 3 matrix that takes four points to four points."""
    rows = []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    solved = np.linalg.solve(np.array(rows), target.ravel())
    return np.append(solved, 1.0).reshape(3, 3)


def applied(matrix: NDArray[Any], points: NDArray[Any]) -> FloatArray:
    """Points (N, 2) through a homography."""
    mapped = points @ matrix[:, :2].T + matrix[:, 2]
    return np.asarray(mapped[:, :2] / mapped[:, 2:])


def without_rim(image: FloatImage) -> FloatImage:
    """The page with what is left of the ground along its rim painted as paper."""
    out = image.copy()
    rim = max(2, round(0.006 * max(image.shape)))
    paper = float(np.percentile(image, 80))
    for side in (out[:rim], out[-rim:], out[:, :rim], out[:, -rim:]):
        side[...] = paper
    return out
