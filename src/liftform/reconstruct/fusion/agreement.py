"""Which depths several views agree on: counted, averaged over those that agree, and joined to points seen once each.

The test is that of geometric consistency (Schönberger et al.: Pixelwise View Selection for Unstructured Multi-View
Stereo, 2016; Galliani et al.: Massively Parallel Multiview Stereopsis by Surface Normal Diffusion, 2015).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from ...assets import FloatArray
from ...conventions import srgb_to_linear
from .maps import Map, relative

#: Most views that one is compared with.
_MOST = 12
#: Every so many pixels along rows and columns are asked to find out which views show the same.
_SPARSE = 12
#: Cosine of the largest angle between normals that agree.
_ALIKE = 0.5
_LINEAR = srgb_to_linear(np.divide(np.arange(256), 255, dtype=np.float32))


@dataclass(frozen=True)
class Tolerance:
    """How near depths must be: ``share`` of the depth, and ``pixels`` from where the pixel started after going to the
    other view's surface and back."""

    share: float = 0.01
    pixels: float = 1.5


@dataclass(frozen=True)
class Agreed:
    """Of one view: views (h, w) uint8: other views that agree with a depth; against (h, w) uint8: views that look
    through it; z (h, w) float32: mean depth with those that agree, NaN where none is known; linear (h, w, 3) float32:
    mean colour; noise: median distance of single depths from their mean, as a share of the depth."""

    views: NDArray[np.uint8]
    against: NDArray[np.uint8]
    z: FloatArray
    linear: FloatArray
    noise: float


def partners(maps: Sequence[Map], tolerance: Tolerance, threads: int) -> list[list[int]]:
    """For each view the others that show the same surfaces, most first; 12 at most."""

    def shared(i: int) -> list[int]:
        count = np.zeros(len(maps), np.int64)
        for j in range(len(maps)):
            if j != i:
                count[j] = int((_compared(maps[i], maps[j], tolerance, _SPARSE).views > 0).sum())
        order = np.argsort(-count, kind="stable")[:_MOST]
        return [int(j) for j in order if count[j] > 0]

    return in_order(shared, range(len(maps)), threads)


def agreed(maps: Sequence[Map], i: int, others: Sequence[int], tolerance: Tolerance) -> Agreed:
    """What view i and its partners have in common."""
    sums = _Sums.of(maps[i])
    for j in others:
        _compare_into(sums, maps[i], maps[j], tolerance, 1)
    total = 1.0 + sums.weight
    z = ((np.nan_to_num(maps[i].z, nan=0, posinf=0) + sums.z) / total).astype(np.float32)
    known = np.isfinite(maps[i].z)
    several = known & (sums.views > 0)
    noise = float(np.median(np.abs(maps[i].z[several] / z[several] - 1))) if several.any() else 0.0
    linear = (_LINEAR[maps[i].colors] + sums.linear) / total[..., None]
    return Agreed(sums.views, sums.against, np.where(known, z, np.float32(np.nan)), linear.astype(np.float32), noise)


@dataclass(frozen=True)
class Points:
    """Points of one view that no earlier view gave: places (N, 3) float64 world, normals (N, 3) float32 world, linear
    (N, 3) float32, views (N,) uint8: how many views agree on them, their own counted."""

    places: NDArray[np.float64]
    normals: FloatArray
    linear: FloatArray
    views: NDArray[np.uint8]


def joined(
    maps: Sequence[Map], found: Iterator[Agreed], others: Sequence[Sequence[int]], least: int, tolerance: Tolerance
) -> Iterator[Points]:
    """View after view the points that at least ``least`` views agree on, those of earlier views left out.

    found: ``agreed`` of every view, in order.
    """
    used = [np.zeros(one.z.shape, np.bool_) for one in maps]
    for i, (one, agreement) in enumerate(zip(maps, found, strict=True)):
        sure = (agreement.views + 1 >= least) & (agreement.against <= agreement.views) & np.isfinite(one.z)
        keep = sure & ~used[i] & np.isfinite(one.normals[..., 0])
        for j in others[i]:
            if j > i:
                _claim(one.z, keep, one.lens, maps[j].z, maps[j].lens, relative(maps[j], one), tolerance.share, used[j])
        rows, columns = np.nonzero(keep)
        places = one.camera.unproject(np.stack([columns + 0.5, rows + 0.5], -1), agreement.z[keep])
        normals = one.normals[keep] @ one.camera.world_from_camera[:3, :3].T.astype(np.float32)
        yield Points(places, normals.astype(np.float32), agreement.linear[keep], agreement.views[keep] + np.uint8(1))


@dataclass(frozen=True)
class _Sums:
    views: NDArray[np.uint8]
    against: NDArray[np.uint8]
    z: FloatArray
    weight: FloatArray
    linear: FloatArray

    @classmethod
    def of(cls, one: Map) -> _Sums:
        shape = one.z.shape
        linear = np.zeros((*shape, 3), np.float32)
        z, weight = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        return cls(np.zeros(shape, np.uint8), np.zeros(shape, np.uint8), z, weight, linear)


def _compared(one: Map, other: Map, tolerance: Tolerance, step: int) -> _Sums:
    sums = _Sums.of(one)
    _compare_into(sums, one, other, tolerance, step)
    return sums


def _compare_into(sums: _Sums, one: Map, other: Map, tolerance: Tolerance, step: int) -> None:
    _compare(
        *(one.z, one.normals, one.lens, other.z, other.normals, other.lens, other.colors, relative(other, one)),
        *(tolerance.share, tolerance.pixels, step, _LINEAR),
        *(sums.views, sums.against, sums.z, sums.weight, sums.linear),
    )


@numba.njit(cache=True, nogil=True)
def sampled(z: Any, x: float, y: float) -> Any:
    """Depth at a place in pixels: bilinear on one surface, the nearest pixel's at jumps, NaN where it is not known."""
    height, width = z.shape
    column, row = int(np.floor(x)), int(np.floor(y))
    if column < 0 or row < 0 or column >= width or row >= height:
        return np.nan
    near = z[row, column]
    fx, fy = x - 0.5, y - 0.5
    x0, y0 = int(np.floor(fx)), int(np.floor(fy))
    if x0 < 0 or y0 < 0 or x0 + 1 >= width or y0 + 1 >= height or not np.isfinite(near):
        return near
    fx -= x0
    fy -= y0
    a, b, c, d = z[y0, x0], z[y0, x0 + 1], z[y0 + 1, x0], z[y0 + 1, x0 + 1]
    most = max(max(abs(a - near), abs(b - near)), max(abs(c - near), abs(d - near)))
    if not most < 0.02 * near:  # not known at a corner, or a jump
        return near
    return (a * (1 - fx) + b * fx) * (1 - fy) + (c * (1 - fx) + d * fx) * fy


@numba.njit(cache=True, nogil=True)
def _compare(
    z: Any, normals: Any, lens: Any, z2: Any, normals2: Any, lens2: Any, colors2: Any, move: Any,
    share: float, pixels: float, step: int, linear: Any,
    views: Any, against: Any, sum_z: Any, weight: Any, sum_linear: Any,
) -> None:  # fmt: skip
    """Hold every known depth of a view against another view; see Agreed for what is added up."""
    height, width = z.shape
    high, wide = z2.shape
    for y in range(step // 2, height, step):
        for x in range(step // 2, width, step):
            d = z[y, x]
            if not np.isfinite(d):
                continue
            px, py = (x + 0.5 - lens[2]) / lens[0] * d, (y + 0.5 - lens[3]) / lens[1] * d
            qz = move[2, 0] * px + move[2, 1] * py + move[2, 2] * d + move[2, 3]
            if qz <= 1e-9:
                continue
            qx = move[0, 0] * px + move[0, 1] * py + move[0, 2] * d + move[0, 3]
            qy = move[1, 0] * px + move[1, 1] * py + move[1, 2] * d + move[1, 3]
            u, v = qx / qz * lens2[0] + lens2[2], qy / qz * lens2[1] + lens2[3]
            if u < 0 or v < 0 or u >= wide or v >= high:
                continue
            other = sampled(z2, u, v)
            if np.isnan(other):
                continue
            if other > qz * (1 + 3 * share):
                against[y, x] += 1
                continue
            if abs(other - qz) > share * qz:
                continue
            row, column = int(v), int(u)
            alike = 0.0
            for k in range(3):
                turned = move[k, 0] * normals[y, x, 0] + move[k, 1] * normals[y, x, 1] + move[k, 2] * normals[y, x, 2]
                alike += turned * normals2[row, column, k]
            if alike < _ALIKE:  # where a normal is not known this is false
                continue
            rx, ry, rz = qx / qz * other - move[0, 3], qy / qz * other - move[1, 3], other - move[2, 3]
            bz = move[0, 2] * rx + move[1, 2] * ry + move[2, 2] * rz
            if bz <= 1e-9:
                continue
            bx = (move[0, 0] * rx + move[1, 0] * ry + move[2, 0] * rz) / bz * lens[0] + lens[2]
            by = (move[0, 1] * rx + move[1, 1] * ry + move[2, 1] * rz) / bz * lens[1] + lens[3]
            if (bx - x - 0.5) ** 2 + (by - y - 0.5) ** 2 > pixels * pixels:
                continue
            views[y, x] += 1
            sum_z[y, x] += bz
            weight[y, x] += 1
            for k in range(3):
                sum_linear[y, x, k] += linear[colors2[row, column, k]]


@numba.njit(cache=True, nogil=True)
def _claim(z: Any, keep: Any, lens: Any, z2: Any, lens2: Any, move: Any, share: float, used: Any) -> None:
    """Mark the pixels of another view that show what the kept pixels of this one show."""
    height, width = z.shape
    high, wide = z2.shape
    for y in range(height):
        for x in range(width):
            if not keep[y, x]:
                continue
            d = z[y, x]
            px, py = (x + 0.5 - lens[2]) / lens[0] * d, (y + 0.5 - lens[3]) / lens[1] * d
            qz = move[2, 0] * px + move[2, 1] * py + move[2, 2] * d + move[2, 3]
            if qz <= 1e-9:
                continue
            u = (move[0, 0] * px + move[0, 1] * py + move[0, 2] * d + move[0, 3]) / qz * lens2[0] + lens2[2]
            v = (move[1, 0] * px + move[1, 1] * py + move[1, 2] * d + move[1, 3]) / qz * lens2[1] + lens2[3]
            if u < 0 or v < 0 or u >= wide or v >= high:
                continue
            other = z2[int(v), int(u)]
            if abs(other - qz) <= share * qz:
                used[int(v), int(u)] = True


def in_order(work: Callable[[int], Any], numbers: Sequence[int] | range, threads: int) -> list[Any]:
    """Results of ``work`` for every number, in order, from so many threads (0: two)."""
    with ThreadPoolExecutor(max(1, threads or 2)) as pool:
        return list(pool.map(work, numbers))
