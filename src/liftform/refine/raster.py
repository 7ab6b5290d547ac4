"""Scan conversion of many small triangles at once: which pixel centres each one covers, exactly and without gaps."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.integer]
Floats = NDArray[np.float64]

#: Corners are snapped to this fraction of a pixel, so that edges shared by two triangles are decided exactly.
SUBPIXEL = 256


#: Triangles are drawn in batches of about this many pixels, which stay in the processor's cache.
_BATCH = 1 << 17


def rasterize(triangles: NDArray[np.floating], width: int, height: int) -> tuple[Ints, Ints, NDArray[np.float32]]:
    """Pixels whose centres lie inside triangles (F, 3, 2), given in pixels with centres at (i + 0.5).

    Returns face (N,) int32, pixel (N,) int32 as y * width + x, and barycentric weights (N, 3) float32, ordered by face
    then pixel. A centre on an edge shared by two triangles of the same orientation belongs to exactly one (top-left
    rule). Either orientation is drawn; triangles without area are not. width * height must stay below 2**31.
    """
    corners = np.rint(np.asarray(triangles, np.float64) * SUBPIXEL) - SUBPIXEL / 2
    doubled = _cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    work = np.cumsum(np.abs(doubled) / (2 * SUBPIXEL**2) + 16)
    cuts = np.searchsorted(work, np.arange(0, work[-1] if len(work) else 0, _BATCH))
    cuts = np.unique(np.r_[0, cuts, len(corners)])
    parts = [_drawn(corners[i:j], doubled[i:j], i, width, height) for i, j in pairwise(cuts)]
    if not parts:
        return np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros((0, 3), np.float32)
    face, pixel, weight = (np.concatenate(column) for column in zip(*parts, strict=True))
    return face, pixel, weight


def _drawn(
    corners: Floats, doubled: Floats, offset: int, width: int, height: int
) -> tuple[Ints, Ints, NDArray[np.float32]]:
    """See ``rasterize``; corners in subpixels, faces numbered from ``offset``."""
    face, x, y = _covered(corners, width, height)
    solid = doubled[face] != 0
    if not solid.all():
        face, x, y = face[solid], x[solid], y[solid]
    pixel = (y * width + x).astype(np.int32)
    return (face + offset).astype(np.int32), pixel, _weights(corners, doubled, face, x, y)


def _cross(a: Floats, b: Floats) -> Floats:
    return np.asarray(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])


def _covered(corners: Floats, width: int, height: int) -> tuple[Ints, Ints, Ints]:
    """(face, x, y) of every covered pixel: row by row, from the left crossing (in) to the right crossing (out).

    Coordinates are whole numbers below 2**21 held in float64, so that every product and quotient below is exact enough
    to round the same way for both triangles of an edge.
    """
    order = np.argsort(corners[..., 1], axis=1, kind="stable")
    top, middle, bottom = (np.take_along_axis(corners, order[:, i, None, None], 1)[:, 0] for i in range(3))
    low = np.clip(np.ceil(top[:, 1] / SUBPIXEL), 0, height).astype(np.int64)
    high = np.clip(np.ceil(bottom[:, 1] / SUBPIXEL), 0, height).astype(np.int64)
    face, row = expand(high - low, low)
    y = row.astype(np.float64) * SUBPIXEL
    long = _crossing(top, bottom, face, y)
    upper = y < middle[face, 1]
    short = np.where(upper, _crossing(top, middle, face, y), _crossing(middle, bottom, face, y))
    left = np.clip(np.minimum(long, short), 0, width).astype(np.int64)
    right = np.clip(np.maximum(long, short), 0, width).astype(np.int64)
    owner, x = expand(right - left, left)
    return face[owner], x, row[owner]


def _crossing(a: Floats, b: Floats, face: Ints, y: Floats) -> Floats:
    """First pixel whose centre is not left of where the edges a-b (top to bottom, per face) cross the rows y."""
    rise = b[:, 1] - a[:, 1]
    run = b[:, 0] - a[:, 0]
    base = a[:, 0] * rise - run * a[:, 1]
    safe = np.where(rise > 0, rise, 1.0) * SUBPIXEL
    return np.asarray(np.ceil((base[face] + run[face] * y) / safe[face]))


def expand(count: Ints, first: Ints) -> tuple[Ints, Ints]:
    """For every i: count[i] rows (i, first[i]), (i, first[i] + 1), ..."""
    owner = np.repeat(np.arange(len(count)), count)
    before = np.cumsum(count) - count
    return owner, np.arange(len(owner)) - before[owner] + first[owner]


def _weights(corners: Floats, doubled: Floats, face: Ints, x: Ints, y: Ints) -> NDArray[np.float32]:
    """Barycentric weights (N, 3): affine in the pixel, so that each face's plane is set up once."""
    area = np.where(doubled == 0, 1.0, doubled)
    out = np.empty((len(face), 3), np.float32)
    for i in (1, 2):
        p, q = (corners[:, 2], corners[:, 0]) if i == 1 else (corners[:, 0], corners[:, 1])
        by_x = -(q[:, 1] - p[:, 1]) / area * SUBPIXEL
        by_y = (q[:, 0] - p[:, 0]) / area * SUBPIXEL
        base = -(by_x * p[:, 0] + by_y * p[:, 1]) / SUBPIXEL
        out[:, i] = base[face] + by_x[face] * x + by_y[face] * y
    out[:, 0] = 1 - out[:, 1] - out[:, 2]
    return out
