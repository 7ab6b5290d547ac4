"""Few triangles over a grid of inverse depth: right triangles split where it matters, without cracks or drift."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
#: (dy, dx) -> the vertices of one class, displaced.
_View = Callable[[int, int], tuple[slice, slice]]

#: Errors that cost 1: of depth along the pixel's ray, relative; and of the texture, in grid cells. A flat triangle
#: stretches its texture evenly in space, and so unevenly in the picture: hence the second.
_DEPTH_ERROR, _DRIFT = 0.002, 0.35
#: Diagonals of a square, as displacements of its centre.
_DIAGONALS = (((-1, -1), (1, 1)), ((-1, 1), (1, -1)))


def split_costs(w: Floats, forced: Bools, block: int) -> NDArray[np.float64]:
    """What it costs not to have each vertex of a grid (H, W) in the mesh; infinite where ``forced`` says so.

    w: inverse depth (H, W), NaN where unknown; H - 1 and W - 1 are multiples of ``block``, a power of two. A vertex
    costs at least what those cost that can only follow it (Lindstrom et al. 1996): any threshold cuts without cracks.
    """
    shape = w.shape
    cost = np.pad(np.where(forced, np.inf, 0.0), block)
    value = np.pad(np.asarray(w, np.float64), block, constant_values=np.nan)
    step = 1
    while step < block:
        before = step // 2
        for row, column, ends in ((0, step, ((0, -1), (0, 1))), (step, 0, ((-1, 0), (1, 0)))):
            view = _view(shape, block, row, column, step)
            own = _own_cost(value, view, ends, step, 2 * step)
            followers = [(y, x) for y in (-before, before) for x in (-before, before)] if before else []
            _raise(cost, view, own, followers)
        view = _view(shape, block, step, step, step)
        own = np.maximum(*(_own_cost(value, view, ends, step, 2 * step * np.sqrt(2)) for ends in _DIAGONALS))
        _raise(cost, view, own, [(-step, 0), (step, 0), (0, -step), (0, step)])
        step *= 2
    return cost[block:-block, block:-block]


def _view(shape: tuple[int, ...], block: int, row: int, column: int, step: int) -> _View:
    """Vertices (row + 2 i step, column + 2 j step) of a grid that is padded by ``block``, as displaceable slices."""

    def at(dy: int, dx: int) -> tuple[slice, slice]:
        rows = slice(block + row + dy, block + shape[0] + dy, 2 * step)
        return rows, slice(block + column + dx, block + shape[1] + dx, 2 * step)

    return at


def _own_cost(value: Floats, view: _View, ends: Any, step: int, length: float) -> Floats:
    """Cost of leaving the edge between two ``ends`` whole, ``length`` cells long, at its middle vertex."""
    a, b = (value[view(y * step, x * step)] for y, x in ends)
    middle = value[view(0, 0)]
    bend = np.abs(middle - (a + b) / 2) / middle
    drift = length * np.abs(a - b) / (2 * (a + b))
    return np.nan_to_num(np.maximum(bend / _DEPTH_ERROR, drift / _DRIFT), nan=0.0)


def _raise(cost: Floats, view: _View, own: Floats, followers: list[tuple[int, int]]) -> None:
    """Each vertex costs at least its own, and as much as any of its followers."""
    here = view(0, 0)
    for vertex in (own, *(cost[view(dy, dx)] for dy, dx in followers)):
        cost[here] = np.maximum(cost[here], vertex)


def cut(costs: Floats, threshold: float, block: int) -> Ints:
    """Triangles (T, 3) of flat vertex indices of the grid: split while the middle of the longest edge costs more.

    Counter-clockwise as seen in the picture with rows counted downwards from the camera's side.
    """
    height, width = costs.shape
    flat = costs.ravel()
    y, x = (n.ravel() for n in np.mgrid[0 : height - 1 : block, 0 : width - 1 : block])
    near, far = np.stack([y, x], -1), np.stack([y + block, x + block], -1)
    upper, lower = np.stack([y, x + block], -1), np.stack([y + block, x], -1)
    # Each triangle: the ends of its longest edge, then the corner opposite.
    left = np.concatenate([far, near])
    right = np.concatenate([near, far])
    corner = np.concatenate([upper, lower])
    done = []
    while len(left):
        total = left + right
        middle = total // 2
        whole = (total % 2 == 0).all(1)
        split = whole & (flat[middle[:, 0] * width + middle[:, 1]] > threshold)
        done.append(np.stack([p[~split, 0] * width + p[~split, 1] for p in (left, right, corner)], -1))
        a, b, c, m = left[split], right[split], corner[split], middle[split]
        left, right, corner = np.concatenate([c, b]), np.concatenate([a, c]), np.concatenate([m, m])
    return np.concatenate(done)


def within_budget(costs: Floats, block: int, keep: Callable[[Ints], Ints], budget: int) -> Ints:
    """The finest mesh (at best of cost 1) of which ``keep`` leaves at most ``budget`` triangles, by bisection.

    The coarsest when not even that one is small enough.
    """
    best = keep(cut(costs, 1.0, block))
    if len(best) <= budget:
        return best
    finite = costs[np.isfinite(costs)]
    low, high = 0.0, float(np.log(max(float(finite.max(initial=1.0)), 1.0))) + 1e-6
    best = keep(cut(costs, float(np.exp(high)), block))
    for _ in range(9):
        middle = (low + high) / 2
        found = keep(cut(costs, float(np.exp(middle)), block))
        if len(found) <= budget:
            best, high = found, middle
        else:
            low = middle
    return best
