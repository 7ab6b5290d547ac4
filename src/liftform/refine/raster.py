"""Scan conversion of many small triangles at once: which pixel centres each one covers, exactly and without gaps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

#: Corners are snapped to this fraction of a pixel, so that edges shared by two triangles are decided exactly.
SUBPIXEL = 256


def rasterize(triangles: NDArray[np.floating], width: int, height: int) -> tuple[Ints, Ints, NDArray[np.float32]]:
    """Pixels whose centres lie inside triangles (F, 3, 2), given in pixels with centres at (i + 0.5).

    Returns face (N,), pixel (N,) as y * width + x, and barycentric weights (N, 3) float32, ordered by face then pixel.
    A centre on an edge shared by two triangles of the same orientation belongs to exactly one (top-left rule). Either
    orientation is drawn; triangles without area are not.
    """
    corners = np.rint(np.asarray(triangles, np.float64) * SUBPIXEL).astype(np.int64) - SUBPIXEL // 2
    doubled = _cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    turned = np.where((doubled < 0)[:, None, None], corners[:, [0, 2, 1]], corners)
    rows = _rows(turned, height)
    face, pixel_x, pixel_y = _spans(turned, *rows, width)
    inside = doubled[face] != 0
    face, pixel_x, pixel_y = face[inside], pixel_x[inside], pixel_y[inside]
    return face, pixel_y * width + pixel_x, _weights(corners, doubled, face, pixel_x, pixel_y)


def _cross(a: Ints, b: Ints) -> Ints:
    return np.asarray(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])


def _rows(corners: Ints, height: int) -> tuple[Ints, Ints]:
    """(face, row) of every pixel row whose centre line meets a triangle: top edge in, bottom edge out."""
    low = -(-corners[..., 1].min(1) // SUBPIXEL)
    high = -(-corners[..., 1].max(1) // SUBPIXEL)
    low, high = np.clip(low, 0, height), np.clip(high, 0, height)
    return _expand(high - low, low)


def _spans(corners: Ints, face: Ints, row: Ints, width: int) -> tuple[Ints, Ints, Ints]:
    """Pixels of each (face, row): from the left crossing (in) to the right crossing (out) of its centre line."""
    y = row * SUBPIXEL
    left = np.full(len(face), np.iinfo(np.int64).max)
    right = np.full(len(face), np.iinfo(np.int64).max)
    for i in range(3):
        p, q = corners[face, i], corners[face, (i + 1) % 3]
        down = (p[:, 1] > y) != (q[:, 1] > y)
        a = np.where((p[:, 1] < q[:, 1])[:, None], p, q)
        b = np.where((p[:, 1] < q[:, 1])[:, None], q, p)
        rise = np.where(down, b[:, 1] - a[:, 1], 1)
        # first pixel at or right of the crossing x: ceil of an exact fraction, the same for both triangles of an edge
        numerator = a[:, 0] * rise + (b[:, 0] - a[:, 0]) * (y - a[:, 1])
        first = -(-numerator // (rise * SUBPIXEL))
        left, right = (
            np.where(down, np.minimum(left, first), left),
            np.where(down, np.where(right == np.iinfo(np.int64).max, first, np.maximum(right, first)), right),
        )
    left, right = np.clip(left, 0, width), np.clip(right, 0, width)
    owner, x = _expand(np.maximum(right - left, 0), left)
    return face[owner], x, row[owner]


def _expand(count: Ints, first: Ints) -> tuple[Ints, Ints]:
    """For every i: count[i] rows (i, first[i]), (i, first[i] + 1), ..."""
    owner = np.repeat(np.arange(len(count)), count)
    before = np.cumsum(count) - count
    return owner, np.arange(len(owner)) - before[owner] + first[owner]


def _weights(corners: Ints, doubled: Ints, face: Ints, x: Ints, y: Ints) -> NDArray[np.float32]:
    """Barycentric weights (N, 3): affine in the pixel, so that each face's plane is set up once."""
    c = corners.astype(np.float64)
    area = np.where(doubled == 0, 1, doubled).astype(np.float64)
    out = np.empty((len(face), 3), np.float32)
    for i in (1, 2):
        p, q = (c[:, 2], c[:, 0]) if i == 1 else (c[:, 0], c[:, 1])
        by_x = -(q[:, 1] - p[:, 1]) / area * SUBPIXEL
        by_y = (q[:, 0] - p[:, 0]) / area * SUBPIXEL
        base = -(by_x * p[:, 0] + by_y * p[:, 1]) / SUBPIXEL
        out[:, i] = base[face] + by_x[face] * x + by_y[face] * y
    out[:, 0] = 1 - out[:, 1] - out[:, 2]
    return out
