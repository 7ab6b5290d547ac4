"""Outlines of thick ink with corners: where lightness crosses half, edges straightened to a fraction of a pixel."""

from __future__ import annotations

import itertools

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy import ndimage
from shapely.geometry import Polygon

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
        near = ndimage.binary_dilation(mine)  # no further, lest lines that end here leave stubs
        shade = float(np.median(flat[grown][ndimage.binary_erosion(mine, iterations=2) | mine]))
        level = (1 + shade) / 2
        local = np.where(near & ((labels[grown] == 0) | mine), flat[grown], 1.0)
        local = np.pad(local, 1, constant_values=1.0)
        origin = np.array([grown[1].start, grown[0].start]) - 0.5
        closed = [
            c[:, ::-1] + origin for c in find_contours(local, level) if len(c) > 8 and np.array_equal(c[0], c[-1])
        ]
        rings = []
        for ring in _without_stubs(closed, pen):
            shape = straightened(ring, np.concatenate(closed))
            if shape is not None and abs(Polygon(shape).area) > 20:
                rings.append(shape)
        if rings:
            found.append(Stroke(tuple(rings), 0.0, None, (shade, shade, shade), True))
    return found


def _without_stubs(contours: list[FloatArray], pen: float) -> list[FloatArray]:
    """The contours' rough corners, without the stubs of lines that end on them."""
    whole = Polygon()
    for contour in contours:
        whole = whole.symmetric_difference(Polygon(contour).buffer(0))
    reach = 0.6 * pen + 0.8
    rough = whole.simplify(_STRAY)
    opened = rough.buffer(-reach, join_style="mitre").buffer(reach, join_style="mitre").simplify(_STRAY)
    shapes = [
        shape for shape in getattr(opened, "geoms", [opened]) if isinstance(shape, Polygon) and not shape.is_empty
    ]
    return [shapely.get_coordinates(ring) for shape in shapes for ring in (shape.exterior, *shape.interiors)]


def straightened(rough: FloatArray, points: FloatArray) -> FloatArray | None:
    """A rough closed ring with its edges fitted to the contour's points beside them, corners where they meet."""
    if len(rough) < 4:
        return None
    edges = [_line(p, q, points) for p, q in itertools.pairwise(rough)]
    corners = []
    for k, here in enumerate(rough[:-1]):
        (p, u), (q, v) = edges[k - 1], edges[k]
        cross = u[0] * v[1] - u[1] * v[0]
        met = here
        if abs(cross) > 0.3:
            met = p + u * ((q - p)[0] * v[1] - (q - p)[1] * v[0]) / cross
        corners.append(met if np.hypot(*(met - here)) < 5 else here)
    shape = np.array([*corners, corners[0]])
    return shape if Polygon(shape).is_valid else rough


def _line(p: FloatArray, q: FloatArray, points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(a point, a unit direction) of an edge fitted to the contour beside it; axis-parallel where it nearly is."""
    way = q - p
    length = float(np.hypot(*way))
    if length < 1e-9:
        return p, np.array([1.0, 0.0])
    way = way / length
    local = points - p
    along, away = local @ way, local @ np.array([-way[1], way[0]])
    inset = min(3.0, 0.25 * length)
    near = points[(along > inset) & (along < length - inset) & (np.abs(away) < 2.0)]
    near = near if len(near) > 1 else np.stack([p, q])
    for axis in (0, 1):
        if abs(way[1 - axis]) * length < max(1.5, 0.02 * length):
            unit = np.zeros(2)
            unit[axis] = np.sign(way[axis]) or 1.0
            return np.median(near, 0), unit
    middle = near.mean(0)
    _, _, axes = np.linalg.svd(near - middle)
    return middle, axes[0] * (np.sign(axes[0] @ way) or 1.0)
