"""Compiled loops over the grid of the implicit surface: distances swept from the zero level, silhouettes in space."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np


@numba.njit(cache=True)
def _crossing(sdf: Any, h: Any, out: Any, fixed: Any) -> None:
    """Distance of nodes beside the zero level, to first order along the axes; fixed is 1 there."""
    nx, ny, nz = sdf.shape
    shape = (nx, ny, nz)
    for i in range(nx):
        for j in range(ny):
            for k in range(nz):
                f = sdf[i, j, k]
                inverse = 0.0
                for axis in range(3):
                    nearest = 1e30
                    for side in (-1, 1):
                        p = (i + side * (axis == 0), j + side * (axis == 1), k + side * (axis == 2))
                        if 0 <= p[axis] < shape[axis]:
                            g = sdf[p[0], p[1], p[2]]
                            if (f < 0) != (g < 0):
                                nearest = min(nearest, h * abs(f) / max(abs(f - g), 1e-12))
                    if nearest < 1e29:
                        inverse += 1 / max(nearest, 1e-6 * h) ** 2
                if inverse > 0:
                    out[i, j, k], fixed[i, j, k] = 1 / np.sqrt(inverse), 1
                else:
                    out[i, j, k], fixed[i, j, k] = 1e9, 0


@numba.njit(cache=True)
def _solved(a: Any, b: Any, c: Any, h: Any) -> Any:
    """The upwind solution of |grad d| = 1 from neighbours a, b, c."""
    if a > b:
        a, b = b, a
    if b > c:
        b, c = c, b
    if a > b:
        a, b = b, a
    d = a + h
    if d > b:
        d = 0.5 * (a + b + np.sqrt(max(2 * h * h - (a - b) ** 2, 0.0)))
        if d > c:
            total = a + b + c
            d = (total + np.sqrt(max(total * total - 3 * (a * a + b * b + c * c - h * h), 0.0))) / 3
    return d


@numba.njit(cache=True)
def swept(sdf: Any, h: Any, reach: Any) -> Any:
    """The signed distance (X, Y, Z) float32 to the zero level of ``sdf``, by fast sweeping (Zhao 2005), at most
    ``reach``; the sign is that of ``sdf``."""
    nx, ny, nz = sdf.shape
    out, fixed = np.empty(sdf.shape, np.float32), np.empty(sdf.shape, np.uint8)
    _crossing(sdf, h, out, fixed)
    for turn in range(8):
        for p in range(nx):
            i = p if turn & 1 else nx - 1 - p
            for q in range(ny):
                j = q if turn & 2 else ny - 1 - q
                for r in range(nz):
                    k = r if turn & 4 else nz - 1 - r
                    if fixed[i, j, k]:
                        continue
                    a = min(out[i - 1, j, k] if i else 1e9, out[i + 1, j, k] if i < nx - 1 else 1e9)
                    b = min(out[i, j - 1, k] if j else 1e9, out[i, j + 1, k] if j < ny - 1 else 1e9)
                    c = min(out[i, j, k - 1] if k else 1e9, out[i, j, k + 1] if k < nz - 1 else 1e9)
                    if min(a, b, c) < reach:
                        out[i, j, k] = min(out[i, j, k], _solved(a, b, c, h))
    for i in range(nx):
        for j in range(ny):
            for k in range(nz):
                d = min(out[i, j, k], reach)
                out[i, j, k] = -d if sdf[i, j, k] < 0 else d
    return out


@numba.njit(cache=True, parallel=True)
def outside_by(points: Any, turns: Any, places: Any, focal: Any, starts: Any, sizes: Any, maps: Any, share: Any,
               fewest: Any, out: Any) -> None:  # fmt: skip
    """out (N,): how far points (N, 3) lie outside of the silhouettes (negative: inside), in the points' unit.

    maps (M,): signed distances to the silhouettes in pixels, positive outside, of all pictures one after another,
    beginning at starts (P,), each of sizes (P, 2) columns and rows. turns (P, 3, 4): homogeneous pixels are
    turn @ (p, 1), the last being z-depth; focal (P,) pixels. The worst share of the pictures that see a point is
    forgiven;
    a point that fewer than ``fewest`` see is far outside. places: room for the worst, (N's chunks, most) floats.
    """
    pictures, most = len(sizes), places.shape[1]
    for chunk in numba.prange(len(places)):
        worst = places[chunk]
        low, high = chunk * len(points) // len(places), (chunk + 1) * len(points) // len(places)
        for n in range(low, high):
            seen = 0
            worst[:] = -1e9
            for picture in range(pictures):
                turn = turns[picture]
                x = turn[0, 0] * points[n, 0] + turn[0, 1] * points[n, 1] + turn[0, 2] * points[n, 2] + turn[0, 3]
                y = turn[1, 0] * points[n, 0] + turn[1, 1] * points[n, 1] + turn[1, 2] * points[n, 2] + turn[1, 3]
                z = turn[2, 0] * points[n, 0] + turn[2, 1] * points[n, 1] + turn[2, 2] * points[n, 2] + turn[2, 3]
                if z <= 1e-9:
                    continue
                u, v = x / z, y / z
                columns, rows = sizes[picture]
                if u < 0 or v < 0 or u >= columns or v >= rows:
                    continue
                seen += 1
                u, v = min(max(u - 0.5, 0.0), columns - 1.001), min(max(v - 0.5, 0.0), rows - 1.001)
                i, j = int(u), int(v)
                at, a, b = starts[picture] + j * columns + i, u - i, v - j
                above = maps[at] * (1 - a) + maps[at + 1] * a
                below = maps[at + columns] * (1 - a) + maps[at + columns + 1] * a
                d = (above * (1 - b) + below * b) * z / focal[picture]
                for place in range(most):
                    if d > worst[place]:
                        for later in range(most - 1, place, -1):
                            worst[later] = worst[later - 1]
                        worst[place] = d
                        break
            out[n] = worst[min(int(share * seen), most - 1)] if seen >= fewest else 1e9


@numba.njit(cache=True)
def crossed_by(start: Any, ends: Any, low: Any, h: Any, keep: Any, out: Any) -> None:
    """Add 1 to every cell of out (X, Y, Z) that a segment from ``start`` to a point of ends (N, 3) crosses, up to
    ``keep`` before its end; cells are h wide and begin at ``low``."""
    nx, ny, nz = out.shape
    for n in range(len(ends)):
        dx, dy, dz = ends[n, 0] - start[0], ends[n, 1] - start[1], ends[n, 2] - start[2]
        length = np.sqrt(dx * dx + dy * dy + dz * dz)
        steps = int((length - keep) / (0.5 * h))
        before = -1
        for step in range(steps):
            t = step * 0.5 * h / length
            i = int(np.floor((start[0] + t * dx - low[0]) / h))
            j = int(np.floor((start[1] + t * dy - low[1]) / h))
            k = int(np.floor((start[2] + t * dz - low[2]) / h))
            if 0 <= i < nx and 0 <= j < ny and 0 <= k < nz:
                cell = (i * ny + j) * nz + k
                if cell != before:
                    out[i, j, k] += 1
                    before = cell
