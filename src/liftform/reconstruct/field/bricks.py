"""Sparse bricks of a grid: where values are kept, where rays stop, and how both change while a field is learnt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from .trace import BRICK, CHANNELS, FAST, POINTS, corners_of

FloatArray = NDArray[np.float32]
Bools = NDArray[np.bool_]


@dataclass
class Bricks:
    """Arrays as ``trace`` describes them. size (3,) int32: lattice cells along each axis, multiples of 8. places
    (bricks, 3) int32: of each brick in ``index``; the first is the empty brick's and means nothing.
    """

    size: NDArray[np.int32]
    index: NDArray[np.int32]
    places: NDArray[np.int32]
    cells: NDArray[np.uint64]
    density: FloatArray
    features: FloatArray

    @property
    def count(self) -> int:
        """Bricks, the empty one among them."""
        return len(self.cells)

    @property
    def grid(self) -> tuple[Any, Any, Any]:
        """What ``trace.traced`` takes."""
        return self.index, self.cells, self.density


def size_of(shape: NDArray[np.float64], longest: int) -> NDArray[np.int32]:
    """Lattice cells (3,), multiples of 8, for sides in proportion to ``shape`` of which the longest has ``longest``."""
    return (np.maximum(np.round(shape / shape.max() * longest / BRICK), 1) * BRICK).astype(np.int32)


def fresh(size: NDArray[np.int32], occupied: Bools) -> Bricks:
    """Bricks whose values are all 0 and whose cells of 2^3 are those of ``occupied`` (X / 2, Y / 2, Z / 2)."""
    index, places, cells = _layout(size, occupied)
    rows = len(places) * POINTS
    return Bricks(size, index, places, cells, np.zeros(rows, np.float32), np.zeros((rows, CHANNELS), np.float32))


def _layout(size: NDArray[np.int32], occupied: Bools) -> tuple[Any, Any, Any]:
    """index, places and cells for occupied cells; bricks are kept for all eight corners of what lies in a cell."""
    shape = size // BRICK + 1
    needed = np.zeros(shape, bool)
    at = np.argwhere(occupied)
    for corner in range(8):
        shift = np.array([corner >> 2, (corner >> 1) & 1, corner & 1])
        needed[tuple(((2 * at + 2 * shift) >> 3).T)] = True
    index = np.zeros(shape, np.int32)
    places = np.concatenate([np.zeros((1, 3), np.int64), np.argwhere(needed)]).astype(np.int32)
    index[tuple(places[1:].T)] = np.arange(1, len(places), dtype=np.int32)
    cells = np.zeros(len(places), np.uint64)
    bit = ((at[:, 0] & 3) * 16 + (at[:, 1] & 3) * 4 + (at[:, 2] & 3)).astype(np.uint64)
    np.bitwise_or.at(cells, index[tuple((at >> 2).T)], np.uint64(1) << bit)
    return index, places, cells


def occupied_cells(bricks: Bricks, least: float, drawn: Bools | None = None, wider: int = 1) -> Bools:
    """Cells (X / 2, Y / 2, Z / 2) with a lattice point with raw density above ``least``, and ``wider`` cells around.

    drawn (rows,): lattice points that some ray has drawn colour from; cells without one are left out, too.
    """
    from scipy.ndimage import maximum_filter

    found = np.zeros(bricks.size // 2, bool)
    _mark(bricks.index, bricks.places, bricks.cells, bricks.density, np.float32(least), found)
    if drawn is not None:
        used = np.zeros(bricks.size // 2, bool)
        _mark(bricks.index, bricks.places, bricks.cells, np.where(drawn, 1.0, -1.0).astype(np.float32), 0.0, used)
        found &= used
    if wider:
        found = maximum_filter(found.view(np.uint8), 2 * wider + 1) > 0
    return found


@njit(cache=True)
def _mark(index, places, cells, values, least, found):  # type: ignore[no-untyped-def]
    """Set the open cells one of whose 27 lattice points has a value above ``least``."""
    for brick in range(1, len(places)):
        for cell in range(64):
            if not (cells[brick] >> np.uint64(cell)) & np.uint64(1):
                continue
            i = places[brick, 0] * 4 + (cell >> 4)
            j = places[brick, 1] * 4 + ((cell >> 2) & 3)
            k = places[brick, 2] * 4 + (cell & 3)
            there = False
            for a in range(3):
                for b in range(3):
                    for c in range(3):
                        x, y, z = 2 * i + a, 2 * j + b, 2 * k + c
                        other = index[x >> 3, y >> 3, z >> 3]
                        there |= values[(other << 9) + ((x & 7) << 6) + ((y & 7) << 3) + (z & 7)] > least
            found[i, j, k] = there


def open_cells(bricks: Bricks) -> Bools:
    """The cells (X / 2, Y / 2, Z / 2) that rays sample."""
    found = np.zeros(bricks.size // 2, bool)
    bits = (bricks.cells[:, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
    brick, cell = np.nonzero(bits)
    at = bricks.places[brick] * 4 + np.stack([cell >> 4, (cell >> 2) & 3, cell & 3], 1)
    found[tuple(at.T)] = True
    return found


def resampled(bricks: Bricks, size: NDArray[np.int32], occupied: Bools) -> Bricks:
    """The same field on a grid of another size whose cells are at most those of ``occupied`` (of the old grid)."""
    if (size == bricks.size).all():
        grown = occupied
    else:
        at = [
            np.minimum(((np.arange(n) + 0.5) * o / n).astype(int), o - 1)
            for n, o in zip(size // 2, bricks.size // 2, strict=True)
        ]
        grown = occupied[np.ix_(*at)]
    new = fresh(size, grown)
    ratio = (bricks.size / size).astype(np.float32)
    _resample(bricks.index, bricks.density, bricks.features, bricks.size, ratio, new.places, new.density, new.features)
    return new


@njit(cache=True, parallel=True, fastmath=FAST, error_model="numpy")
def _resample(index, density, features, size, ratio, places, new_density, new_features):  # type: ignore[no-untyped-def]
    """Values of an old grid at the lattice points of a new one."""
    for brick in prange(1, len(places)):
        place = np.empty(3, np.float32)
        address, share = np.empty(8, np.uint32), np.empty(8, np.float32)
        for point in range(POINTS):
            inner = (point >> 6, (point >> 3) & 7, point & 7)
            for k in range(3):
                place[k] = np.float32(places[brick, k] * BRICK + inner[k]) * ratio[k]
                place[k] = min(place[k], np.float32(size[k]))
            corners_of(index, place, address, share)
            row = brick * POINTS + point
            for n in range(8):
                new_density[row] += share[n] * density[address[n]]
                for c in range(CHANNELS):
                    new_features[row, c] += share[n] * features[address[n], c]
