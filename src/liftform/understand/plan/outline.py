"""Outlines of thick ink with corners: where lightness crosses half, edges straightened to a fraction of a pixel."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy import ndimage
from shapely.geometry import LinearRing, Polygon

from ...drawing.sheet import FloatArray, Stroke

#: Smallest outline (square pixels) and how far (pixels) a straight edge may stray.
_SMALLEST, _STRAY = 60.0, 1.2


def fills(flat: NDArray[np.float32], thick: NDArray[np.bool_], pen: float) -> list[Stroke]:
    """Filled strokes (pixels, y down, pixel centres at +0.5), one for each connected piece of thick ink."""
    from skimage.measure import find_contours

    if not thick.any():
        return []
    labels, _ = ndimage.label(thick)
    found: list[Stroke] = []
    for index, window in enumerate(ndimage.find_objects(labels), 1):
        area = int((labels[window] == index).sum())
        if area < _SMALLEST:
            continue
        grown = tuple(slice(max(0, s.start - 3), s.stop + 3) for s in window)
        mine = labels[grown] == index
        near = ndimage.binary_dilation(mine, iterations=2)
        shade = float(np.median(flat[grown][ndimage.binary_erosion(mine, iterations=2) | mine]))
        level = (1 + shade) / 2
        local = np.where(near & ((labels[grown] == 0) | mine), flat[grown], 1.0)
        local = np.pad(local, 1, constant_values=1.0)
        origin = np.array([grown[1].start, grown[0].start]) - 0.5
        rings = []
        for contour in find_contours(local, level):
            ring = contour[:, ::-1] + origin
            if len(ring) > 8 and np.array_equal(contour[0], contour[-1]):
                shape = straightened(ring)
                if shape is not None and abs(Polygon(shape).area) > 20:
                    rings.append(shape)
        if rings:
            found.append(Stroke(tuple(rings), 0.0, None, (shade, shade, shade), True))
    return found


def straightened(ring: FloatArray) -> FloatArray | None:
    """A closed contour as a polygon whose straight edges are fitted to all their points, corners where they meet."""
    rough = shapely.get_coordinates(LinearRing(ring).simplify(_STRAY))
    if len(rough) < 4:
        return None
    index = np.array([int(np.argmin(((ring[:-1] - p) ** 2).sum(1))) for p in rough[:-1]])
    if len(index) < 3:
        return None
    edges = []
    for start, stop in zip(index, np.roll(index, -1), strict=True):
        stop = stop if stop > start else stop + len(ring) - 1
        points = ring[np.arange(start, stop + 1) % (len(ring) - 1)]
        edges.append(_line(points))
    corners = []
    for k in range(len(edges)):
        (p, u), (q, v) = edges[k - 1], edges[k]
        cross = u[0] * v[1] - u[1] * v[0]
        here = ring[index[k]]
        met = here
        if abs(cross) > 0.3:
            met = p + u * ((q - p)[0] * v[1] - (q - p)[1] * v[0]) / cross
        corners.append(met if np.hypot(*(met - here)) < 4 else here)
    shape = np.array([*corners, corners[0]])
    polygon = Polygon(shape)
    return shape if polygon.is_valid else rough


def _line(points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(a point, a unit direction) of the line through the middle of a run; axis-parallel where it nearly is."""
    cut = max(1, len(points) // 6) if len(points) > 5 else 0
    inner = points[cut : len(points) - cut] if cut else points
    way = points[-1] - points[0]
    length = float(np.hypot(*way))
    if length < 1e-9:
        return points[0], np.array([1.0, 0.0])
    way = way / length
    for axis in (0, 1):
        if abs(way[1 - axis]) * length < max(0.9, 0.012 * length):
            unit = np.zeros(2)
            unit[axis] = np.sign(way[axis]) or 1.0
            centre = np.median(inner, 0)
            return centre, unit
    middle = inner.mean(0)
    _, _, axes = np.linalg.svd(inner - middle)
    unit = axes[0] * (np.sign(axes[0] @ way) or 1.0)
    return middle, unit
