"""Packing flat charts into the unit square: largest first, each at the free place that keeps the square smallest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .raster import expand

Floats = NDArray[np.float64]
Ints = NDArray[np.integer]
Bools = NDArray[np.bool_]

#: Texels per cell of the grid on which charts are placed.
_CELL = 4
#: Charts of at least this many cells are tried in all four orientations, smaller ones in two.
_TURN_FREELY = 150


@dataclass(frozen=True)
class Layout:
    """Charts laid flat beside each other, each in a frame of its own that starts at (0, 0).

    chart (F,): chart of each face, from 0. flat (F, 3, 2): its corners in texels. touched (N, 3) int64: (chart, x, y)
    of every texel a chart touches, repeats allowed.
    """

    chart: Ints
    flat: Floats
    touched: Ints


def packed(layout: Layout, padding: float) -> Floats:
    """Corners (F, 3, 2) in [0, 1] of all charts at one scale, at least ``padding`` (in the same unit) apart.

    Half the padding stays free at the border. Charts are turned by quarter turns, never mirrored.
    """
    gap = max(1, round(padding * 850 / 2))
    while True:
        masks = _masks(layout, gap)
        cells, corner, turns = _placed(masks)
        side = cells * _CELL
        if 2 * gap >= padding * side or gap > 64:
            break
        gap += 1
    width = np.array([m.shape[1] for m in masks])[layout.chart, None] * float(_CELL)
    height = np.array([m.shape[0] for m in masks])[layout.chart, None] * float(_CELL)
    x, y = layout.flat[..., 0] + gap, layout.flat[..., 1] + gap
    turn = turns[layout.chart, None]
    turned_x = np.choose(turn, [x, y, width - x, height - y])
    turned_y = np.choose(turn, [y, width - x, height - y, x])
    return (np.stack([turned_x, turned_y], -1) + _CELL * corner[layout.chart][:, None]) / side


def _masks(layout: Layout, gap: int) -> list[Bools]:
    """The cells of every chart (rows, columns), grown by ``gap`` texels on all sides."""
    chart, x, y = layout.touched.T
    count = int(layout.chart.max()) + 1
    size = np.zeros((count, 2), np.int64)
    np.maximum.at(size, chart, layout.touched[:, 1:])
    cells = (size + 2 * gap) // _CELL + 1
    start = np.r_[0, np.cumsum(cells.prod(1))]
    flat = np.zeros(start[-1], bool)
    steps = sorted({*range(0, 2 * gap, _CELL), 2 * gap})
    for dy in steps:
        row = start[chart] + (y + dy) // _CELL * cells[chart, 0]
        for dx in steps:
            flat[row + (x + dx) // _CELL] = True
    return [flat[a:b].reshape(h, w) for a, b, (w, h) in zip(start[:-1], start[1:], cells, strict=True)]


def _placed(masks: list[Bools]) -> tuple[int, Ints, Ints]:
    """Side of the square in cells, each chart's corner (C, 2) in cells as (x, y), and its quarter turns (C,)."""
    filled = np.array([m.sum() for m in masks])
    reach = np.array([max(m.shape) for m in masks])
    room = int(2 * np.sqrt(filled.sum()) + reach.max()) + 1
    occupied = np.zeros((room, room), np.uint8)
    corner, turns = np.zeros((len(masks), 2), np.int64), np.zeros(len(masks), np.int64)
    extent = 0
    for i in np.lexsort((np.arange(len(masks)), -filled)):
        window = min(room, extent + int(reach[i]))
        longer = _or_ahead(occupied[:window, :window])
        best: tuple[int, int, int, int] | None = None
        for turn in range(4 if filled[i] >= _TURN_FREELY else 2):
            found = _best_place(longer, np.rot90(masks[i], turn))
            if best is None or found < best[:3]:
                best = (*found, turn)
        assert best is not None
        y, x = divmod(best[2], window)
        mask = np.rot90(masks[i], best[3])
        occupied[y : y + mask.shape[0], x : x + mask.shape[1]] |= mask
        corner[i], turns[i] = (x, y), best[3]
        extent = max(extent, y + mask.shape[0], x + mask.shape[1])
    return extent, corner, turns


def _or_ahead(occupied: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """For k = 0, 1, ...: whether any of the 2**k cells from each one rightwards is occupied."""
    levels = [np.ascontiguousarray(occupied)]
    while 2 ** len(levels) <= occupied.shape[1]:
        last, step = levels[-1], 2 ** (len(levels) - 1)
        levels.append(last[:, :-step] | last[:, step:])
    return levels


def _best_place(longer: list[NDArray[np.uint8]], mask: Bools) -> tuple[int, int, int]:
    """(side of the square needed, x + y, y * window + x) of the best free place; row by row, run by run."""
    window = longer[0].shape[0]
    h, w = mask.shape
    rows, columns = window - h + 1, window - w + 1
    taken = np.zeros((rows, columns), np.uint8)
    change = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    row, first = np.nonzero(change == 1)
    last = np.nonzero(change == -1)[1]
    for j, a, b in zip(row.tolist(), first.tolist(), last.tolist(), strict=True):
        level = (b - a).bit_length() - 1
        table = longer[level]
        np.bitwise_or(taken, table[j : j + rows, a : a + columns], out=taken)
        end = b - 2**level
        if end > a:
            np.bitwise_or(taken, table[j : j + rows, end : end + columns], out=taken)
    y, x = np.nonzero(taken == 0)
    side = np.maximum(y + h, x + w)
    i = np.lexsort((x, x + y, side))[0] if len(y) < 2000 else _first_of_smallest(side, x + y)
    return int(side[i]), int(x[i] + y[i]), int(y[i] * window + x[i])


def _first_of_smallest(side: Ints, total: Ints) -> np.intp:
    near = np.flatnonzero(side == side.min())
    return np.intp(near[total[near].argmin()])


def outlines(flat: Floats, edges: Bools, chart: Ints) -> Ints:
    """(chart, x, y) of the texels along chosen edges (F, 3), from corner i to i + 1 of flat (F, 3, 2) in texels."""
    face, side = np.nonzero(edges)
    a, b = flat[face, side], flat[face, (side + 1) % 3]
    steps = np.ceil(np.abs(b - a).max(1) * 1.5).astype(np.int64) + 1
    owner, k = expand(steps + 1, np.zeros(len(steps), np.int64))
    point = a[owner] + (b - a)[owner] * (k / steps[owner])[:, None]
    return np.concatenate([chart[face[owner], None], np.floor(point).astype(np.int64)], 1)
