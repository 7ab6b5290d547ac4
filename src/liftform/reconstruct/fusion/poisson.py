"""Fused distances -> a field known everywhere: Poisson's equation, screened by the distances, on ever finer voxels.

The field's slope follows that of the fused distances where depth was seen, it is drawn to them as far as they are
believed, and runs on smoothly where nothing was seen, so that holes close (Kazhdan, Hoppe: Screened Poisson Surface
Reconstruction, 2013; that space seen to be free counts too is from Curless and Levoy 1996). Coarse voxels fill the
whole box; finer ones only lie about the surface found before, their border held at its values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from .agreement import in_order
from .blocks import SIDE, Blocks, packed, unpacked
from .maps import Map
from .tsdf import Volume, integrated

Values = NDArray[np.float32]

#: Cells along the longest side of the coarsest level.
_COARSE = 32
#: How strongly the field is drawn to the distances, beside its slope.
_SCREEN = 0.5
#: Over-relaxation, and rounds at the coarsest level and at finer ones.
_OVER, _FIRST, _LATER = 1.7, 120, 30
#: Blocks in which the field of the level before comes this near zero (share of where distances are cut off) are kept.
_NEAR = 0.7
_LOT = 256


def solved(
    fine: Blocks, maps: Sequence[Map], reach: float, smooth: int, threads: int, progress: Callable[[float], None]
) -> Volume:
    """The field on blocks about the surface, as fine as ``fine``, whose blocks say how far the scene reaches.

    reach: where distances are cut off, in cells of each level. smooth: passes of averaging over distances.
    """
    places = fine.places()
    low, high = places.min(0), places.max(0) + 1
    levels = max(0, int(np.ceil(np.log2((high - low).max() * SIDE / _COARSE))))
    blocks = _whole_box(fine, low, high, levels)
    field: Values | None = None
    before = blocks
    for level in range(levels, -1, -1):
        if field is not None:
            blocks = _finer(before, field, fine, level, reach)
        volume = smoothed(integrated(blocks, maps, reach, threads, lambda done: None), smooth)
        start = np.zeros(volume.distance.shape, np.float32) if field is None else _upsampled(before, field, blocks)
        held = field is not None
        field = _relaxed(volume, start / reach, reach, held, _LATER if held else _FIRST, threads) * reach
        before = blocks
        progress(1 - level / (levels + 1))
    assert field is not None
    return Volume(blocks, field, volume.weight)


def _whole_box(fine: Blocks, low: NDArray[np.int64], high: NDArray[np.int64], level: int) -> Blocks:
    """All blocks of a coarse level over the fine blocks from ``low`` to ``high``, one more on every side."""
    first, last = (low >> level) - 1, (-(-high >> level)) + 1
    axes = [np.arange(a, b, dtype=np.int64) for a, b in zip(first, last, strict=True)]
    key = packed(np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3))
    return Blocks(fine.low, fine.step * 2**level, np.sort(key))


def _finer(before: Blocks, field: Values, fine: Blocks, level: int, reach: float) -> Blocks:
    """Blocks of half the step: where the field comes near zero, and those that depth samples lie in."""
    near = np.flatnonzero(np.abs(field).min((1, 2, 3)) < _NEAR * reach)
    corner = np.stack(np.meshgrid(*[np.arange(2)] * 3, indexing="ij"), -1).reshape(-1, 3)
    halves = (before.places()[near][:, None] * 2 + corner).reshape(-1, 3)
    close = np.array([_part(field[near], c) for c in corner]).T.reshape(-1) < _NEAR * reach
    wanted = np.concatenate([packed(halves[close]), packed(np.unique(fine.places() >> level, axis=0))])
    inside = before.find(unpacked(wanted) >> 1) >= 0
    return Blocks(fine.low, fine.step * 2**level, np.unique(wanted[inside]))


def _part(field: Values, corner: NDArray[np.int64]) -> Values:
    """Smallest size (n,) of the field in one eighth of blocks (n, 8, 8, 8)."""
    a, b, c = (4 * k for k in corner)
    return np.abs(field[:, a : a + 4, b : b + 4, c : c + 4]).min((1, 2, 3))


def _upsampled(before: Blocks, field: Values, blocks: Blocks) -> Values:
    """The field of the level before, trilinear, at the nodes of a level with half the step; doubled, in cells."""
    out = np.empty((len(blocks.key), SIDE, SIDE, SIDE), np.float32)
    offsets = np.stack(np.meshgrid(*[np.arange(2)] * 3, indexing="ij"), -1).reshape(-1, 3)
    around = np.stack([before.find((blocks.places() >> 1) + o) for o in offsets], 1)
    _upsample(field, around, blocks.places(), out)
    return out


@numba.njit(cache=True, nogil=True)
def _upsample(field: Any, around: Any, places: Any, out: Any) -> None:
    for b in range(len(places)):
        for i in range(8):
            for j in range(8):
                for k in range(8):
                    x, y, z = (places[b, 0] & 1) * 8 + i, (places[b, 1] & 1) * 8 + j, (places[b, 2] & 1) * 8 + k
                    total, weight = 0.0, 0.0
                    for c in range(8):
                        u = (x >> 1) + (x & 1) * (c >> 2)
                        v = (y >> 1) + (y & 1) * ((c >> 1) & 1)
                        w = (z >> 1) + (z & 1) * (c & 1)
                        at = around[b, (u >> 3) * 4 + (v >> 3) * 2 + (w >> 3)]
                        if at >= 0:
                            total += field[at, u & 7, v & 7, w & 7]
                            weight += 1
                    out[b, i, j, k] = 2 * total / weight if weight > 0 else 0.0


def smoothed(volume: Volume, passes: int) -> Volume:
    """Distances averaged with those of the six neighbours, weighted by what they rest on."""
    around = neighbours(volume.blocks)
    distance = volume.distance
    for _ in range(passes):
        fresh = np.empty_like(distance)
        _average(distance, volume.weight, around, fresh)
        distance = fresh
    return Volume(volume.blocks, distance, volume.weight)


def neighbours(blocks: Blocks) -> NDArray[np.int64]:
    """Index (B, 6) of the blocks at -x, +x, -y, +y, -z, +z; -1 where there is none."""
    steps = np.array([[-1, 0, 0], [1, 0, 0], [0, -1, 0], [0, 1, 0], [0, 0, -1], [0, 0, 1]])
    return np.stack([blocks.find(blocks.places() + step) for step in steps], 1)


@numba.njit(cache=True, nogil=True)
def _beside(around: Any, b: int, i: int, j: int, k: int, side: int) -> Any:
    """Block and node beside a node: block -1 where there is none."""
    if side == 0:
        return (b, i - 1, j, k) if i > 0 else (around[b, 0], 7, j, k)
    if side == 1:
        return (b, i + 1, j, k) if i < 7 else (around[b, 1], 0, j, k)
    if side == 2:
        return (b, i, j - 1, k) if j > 0 else (around[b, 2], i, 7, k)
    if side == 3:
        return (b, i, j + 1, k) if j < 7 else (around[b, 3], i, 0, k)
    if side == 4:
        return (b, i, j, k - 1) if k > 0 else (around[b, 4], i, j, 7)
    return (b, i, j, k + 1) if k < 7 else (around[b, 5], i, j, 0)


@numba.njit(cache=True, nogil=True)
def _average(distance: Any, weight: Any, around: Any, out: Any) -> None:
    for b in range(len(distance)):
        for i in range(8):
            for j in range(8):
                for k in range(8):
                    own = 2 * min(weight[b, i, j, k], 1.0)
                    total, sums = own * distance[b, i, j, k], own
                    if own <= 0:
                        out[b, i, j, k] = distance[b, i, j, k]
                        continue
                    for side in range(6):
                        c, x, y, z = _beside(around, b, i, j, k, side)
                        if c >= 0:
                            w = min(weight[c, x, y, z], 1.0)
                            total += w * distance[c, x, y, z]
                            sums += w
                    out[b, i, j, k] = total / sums


def _relaxed(volume: Volume, start: Values, reach: float, held: bool, rounds: int, threads: int) -> Values:
    """The field, in shares of reach: red and black nodes in turn, over-relaxed. held: borders keep their values."""
    around = neighbours(volume.blocks)
    target = np.clip(volume.distance / np.float32(reach), -1, 1)
    field = np.where((volume.weight > 0) & (not held), target, start).astype(np.float32)
    parity = (volume.blocks.places().sum(1) * SIDE) & 1
    for _ in range(rounds):
        for color in (0, 1):

            def lot(first: int, color: int = color) -> None:
                last = min(first + _LOT, len(field))
                _relax(field, target, volume.weight, around, parity, first, last, color, held, _SCREEN, _OVER)

            in_order(lot, range(0, len(field), _LOT), threads)
    return field


@numba.njit(cache=True, nogil=True)
def _relax(
    field: Any, target: Any, weight: Any, around: Any, parity: Any, first: int, last: int, color: int, held: bool,
    screen: float, over: float,
) -> None:  # fmt: skip
    for b in range(first, last):
        for i in range(8):
            for j in range(8):
                for k in range((i + j + color + parity[b]) & 1, 8, 2):
                    w = weight[b, i, j, k]
                    sure = screen * w / (w + 0.5)
                    top, bottom = sure * target[b, i, j, k], sure
                    border = False
                    for side in range(6):
                        c, x, y, z = _beside(around, b, i, j, k, side)
                        if c < 0:
                            border = True
                            continue
                        rise = target[b, i, j, k] - target[c, x, y, z] if w > 0 and weight[c, x, y, z] > 0 else 0.0
                        top += field[c, x, y, z] + rise
                        bottom += 1
                    if border and held:
                        continue
                    value = top / bottom
                    field[b, i, j, k] += over * (value - field[b, i, j, k])
