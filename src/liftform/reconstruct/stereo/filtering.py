"""What of the depth maps is kept: where several photos agree on a place; their mean, its error, and normals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from .levels import Sheet, lens, pair

FloatArray = NDArray[np.float32]

#: A photo agrees with a place when, sent there and back by that photo's depth, it misses by fewer pixels, and its depth
#: differs by less than this share.
_MISS_PX = np.float32(1.0)
_DIFFERENT = np.float32(0.01)
#: Photometric cost above which a place needs one more photo that agrees, and two more.
_DOUBTFUL = np.float32(0.45)
_BAD = np.float32(0.75)
#: Error of one measurement, in pixels of disparity.
_NOISE_PX = np.float32(0.2)
#: Specks are joined pixels whose inverse depths differ by less than this share; smaller ones than so many are dropped.
_JOINED = np.float32(0.01)
_SPECK = 12
#: Half of the window in which normals are fitted.
_WINDOW = 2


@dataclass(frozen=True)
class Kept:
    """What is left of one photo. inverse (H, W) float32: 1 / z, 0 where nothing; spread (H, W): expected relative
    error; views (H, W) uint8: photos that agree, itself among them; normals (H, W, 3): camera frame, towards the
    camera."""

    inverse: FloatArray
    spread: FloatArray
    views: NDArray[np.uint8]
    normals: FloatArray


def filtered(sheets: Sequence[Sheet], partners: Sequence[Sequence[int]], number: int, agree: int) -> Kept:
    """The places of photo ``number`` on which at least ``agree`` photos agree, itself among them.

    Fewer where the photo has fewer partners, but never fewer than two; more where the pictures hardly match. Depth is
    the mean of the photos that agree.
    """
    sheet, others = sheets[number], [sheets[p] for p in partners[number]]
    shape = sheet.grey.shape
    inverse, spread = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    views = np.zeros(shape, np.uint8)
    normals = np.zeros((*shape, 3), np.float32)
    if others:
        geometry = _geometry(sheet, others)
        need = max(2, min(agree, len(others) + 1)) - 1
        _agreement(sheet.planes, sheet.cost, geometry, need, inverse, spread, views)
        _without_specks(inverse, views, np.float32(_JOINED), _speck(shape))
        _normals(inverse, sheet.planes, lens(sheet.camera), normals)
    return Kept(inverse, spread, views, normals)


def _speck(shape: tuple[int, ...]) -> int:
    return max(4, round(_SPECK * max(shape) / 800))


def _geometry(sheet: Sheet, others: Sequence[Sheet]) -> tuple[Any, ...]:
    """Planes of the others end to end, where each begins, their sizes, and the way there and back."""
    size = np.array([o.grey.shape[::-1] for o in others], np.int32)
    start = np.concatenate([[0], np.cumsum(size.prod(1))[:-1]]).astype(np.int64)
    planes = np.concatenate([o.planes.reshape(-1, 3) for o in others])
    there = np.stack([pair(sheet.camera, o.camera) for o in others])
    back = np.stack([pair(o.camera, sheet.camera) for o in others])
    return planes, start, size, there, back


@njit(fastmath=True, error_model="numpy", cache=True)
def _sent(way: Any, x: Any, y: Any, w: Any) -> Any:
    """Where (x, y) with inverse depth w lies in the other view, and its inverse depth there; that is 0 behind it."""
    c = way[6] * x + way[7] * y + way[8] + w * way[11]
    if c <= np.float32(1e-9):
        return np.float32(0), np.float32(0), np.float32(0)
    px = (way[0] * x + way[1] * y + way[2] + w * way[9]) / c
    py = (way[3] * x + way[4] * y + way[5] + w * way[10]) / c
    return px, py, w / c


@njit(parallel=True, fastmath=True, error_model="numpy", cache=True)
def _agreement(planes: Any, cost: Any, geometry: Any, need: int, inverse: Any, spread: Any, views: Any) -> None:
    """Fill inverse, spread and views; 0 where fewer than ``need`` others agree."""
    others, start, size, there, back = geometry
    height, width = cost.shape
    half = np.float32(0.5)
    for y in prange(height):
        for x in range(width):
            w, wx, wy = planes[y, x, 0], planes[y, x, 1], planes[y, x, 2]
            if w <= 0:
                continue
            fx, fy = np.float32(x), np.float32(y)
            count, total, square, pixel = 0, w, np.float32(0), np.float32(0)
            for j in range(len(start)):
                px, py, _ = _sent(there[j], fx, fy, w)
                ix, iy = int(np.floor(px + half)), int(np.floor(py + half))
                if not (0 <= ix < size[j, 0] and 0 <= iy < size[j, 1]):
                    continue
                i = start[j] + iy * size[j, 0] + ix
                v = others[i, 0]
                if v <= 0:
                    continue
                v += others[i, 1] * (px - np.float32(ix)) + others[i, 2] * (py - np.float32(iy))
                qx, qy, found = _sent(back[j], px, py, v)
                if found <= 0:
                    continue
                dx, dy = qx - fx, qy - fy
                found -= wx * dx + wy * dy
                if dx * dx + dy * dy > _MISS_PX * _MISS_PX or abs(found - w) > _DIFFERENT * w:
                    continue
                count += 1
                total += found
                square += (found - w) * (found - w)
                ex, ey, _ = _sent(there[j], fx, fy, w * np.float32(1.001))
                moved = np.sqrt((ex - px) * (ex - px) + (ey - py) * (ey - py))
                pixel = max(pixel, moved)
            more = (1 if cost[y, x] > _DOUBTFUL else 0) + (1 if cost[y, x] > _BAD else 0)
            if count < need + more:
                continue
            n = np.float32(count + 1)
            mean = total / n
            var = max(square / n - (mean - w) * (mean - w), np.float32(0))
            floor = _NOISE_PX * np.float32(0.001) / max(pixel, np.float32(1e-6))
            inverse[y, x] = mean
            spread[y, x] = np.sqrt(var / (mean * mean) + floor * floor) / np.sqrt(n)
            views[y, x] = count + 1


@njit(fastmath=True, error_model="numpy", cache=True)
def _without_specks(inverse: Any, views: Any, joined: Any, least: int) -> None:
    """Drop joined pixels that are fewer than ``least``, in place."""
    height, width = inverse.shape
    done = np.zeros((height, width), np.bool_)
    stack = np.empty(height * width, np.int64)
    for first in range(height * width):
        if done[first // width, first % width] or inverse[first // width, first % width] <= 0:
            continue
        stack[0] = first
        done[first // width, first % width] = True
        filled, at = 1, 0
        while at < filled:
            y, x = stack[at] // width, stack[at] % width
            at += 1
            for k in range(4):
                i, j = y + (k == 0) - (k == 1), x + (k == 2) - (k == 3)
                if i < 0 or j < 0 or i >= height or j >= width or done[i, j] or inverse[i, j] <= 0:
                    continue
                if abs(inverse[i, j] - inverse[y, x]) <= joined * inverse[y, x]:
                    done[i, j] = True
                    stack[filled] = i * width + j
                    filled += 1
        if filled < least:
            for k in range(filled):
                inverse[stack[k] // width, stack[k] % width] = 0
                views[stack[k] // width, stack[k] % width] = 0


@njit(parallel=True, fastmath=True, error_model="numpy", cache=True)
def _normals(inverse: Any, planes: Any, lens: Any, normals: Any) -> None:
    """Unit normals (H, W, 3) of least-squares planes through the inverse depths that lie near a pixel's own plane."""
    fx, fy, cx, cy = lens
    height, width = inverse.shape
    for y in prange(height):
        for x in range(width):
            w = inverse[y, x]
            if w <= 0:
                continue
            sx, sy = planes[y, x, 1], planes[y, x, 2]
            near = np.float32(0.004) * w + np.float32(0.5) * (abs(sx) + abs(sy))
            xx, xy, yy, xw, yw, count = 0.0, 0.0, 0.0, 0.0, 0.0, 0
            for i in range(max(0, y - _WINDOW), min(height, y + _WINDOW + 1)):
                for j in range(max(0, x - _WINDOW), min(width, x + _WINDOW + 1)):
                    v, dx, dy = inverse[i, j], float(j - x), float(i - y)
                    if v <= 0 or abs(v - w - sx * dx - sy * dy) > near:
                        continue
                    xx += dx * dx
                    xy += dx * dy
                    yy += dy * dy
                    xw += dx * (v - w)
                    yw += dy * (v - w)
                    count += 1
            det = xx * yy - xy * xy
            if count >= 8 and det > 1e-3:
                sx, sy = (xw * yy - yw * xy) / det, (yw * xx - xw * xy) / det
            nx, ny = -sx * fx, -sy * fy
            nz = -(w - sx * (x - cx) - sy * (y - cy))
            length = np.sqrt(nx * nx + ny * ny + nz * nz)
            normals[y, x, 0], normals[y, x, 1], normals[y, x, 2] = nx / length, ny / length, nz / length
