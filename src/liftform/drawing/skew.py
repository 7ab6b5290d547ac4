"""How a drawing's two families of lines run: its skew, and how they converge where it was photographed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .page import meeting

FloatArray = NDArray[np.float64]
FloatImage = NDArray[np.float32]

#: Longer side that the drawing is judged at, ink points used, most skew that is straightened (radians).
_SMALL, _POINTS, _MOST = 1400, 40_000, math.radians(45)
#: Gain in sharpness at which lines are believed to converge.
_GAIN = 1.25


@dataclass(frozen=True)
class Grid:
    """turn: angle of the level lines (radians, y down); the two families' slope at the middle and its change per
    pixel across them: level lines through (0, c) rise by tan(level + level_change c), upright ones likewise.
    """

    turn: float
    level: float = 0.0
    level_change: float = 0.0
    upright: float = 0.0
    upright_change: float = 0.0

    @property
    def bent(self) -> bool:
        """Whether the lines converge."""
        return self.level_change != 0 or self.upright_change != 0


def find(flat: FloatImage, perspective: bool) -> Grid:
    """The lines' directions in a sheet with its paper at 1; ``perspective``: look for convergence too."""
    shrink = max(1, math.ceil(max(flat.shape) / _SMALL))
    rows, columns = (side // shrink * shrink for side in flat.shape)
    small = flat[:rows, :columns].reshape(rows // shrink, shrink, columns // shrink, shrink).min((1, 3))
    places = np.argwhere(small < min(0.75, max(0.3, float(np.percentile(small, 30)) - 0.15)))
    if len(places) < 200 or len(places) > 0.6 * small.size:
        return Grid(0.0)
    points = places[:, ::-1].astype(float) - np.array([small.shape[1], small.shape[0]]) / 2
    if len(points) > _POINTS:
        points = points[np.random.default_rng(0).permutation(len(points))[:_POINTS]]

    def both(angle: float) -> float:
        c, s = math.cos(angle), math.sin(angle)
        return _sharpness(points @ (-s, c)) + _sharpness(points @ (c, s))

    coarse = np.arange(-_MOST, _MOST, math.radians(0.5))
    turn = float(max(coarse, key=both))
    for step in (0.1, 0.02):
        turn = float(max(turn + math.radians(step) * np.arange(-6, 7), key=both))
    turn = turn if both(turn) > 1.02 * both(0.0) else 0.0
    if not perspective:
        return Grid(turn)
    level, change = _family(points[:, 0], points[:, 1], turn)
    upright, other = _family(points[:, 1], points[:, 0], -turn)
    straight = both(turn)
    bent = _sharpness(_levels(points[:, 0], points[:, 1], level, change))
    bent += _sharpness(_levels(points[:, 1], points[:, 0], upright, other))
    if bent < _GAIN * straight:
        return Grid(turn)
    return Grid(turn, level, change / shrink, upright, other / shrink)


def _sharpness(levels: FloatArray) -> float:
    """How much a projection gathers in few rows: the sum of its squared counts."""
    counts = np.bincount(np.rint(levels - levels.min()).astype(np.intp))
    return float((counts.astype(float) ** 2).sum())


def _levels(along: FloatArray, across: FloatArray, slope: float, change: float) -> FloatArray:
    """For each point, where the line of a converging family through it crosses the middle."""
    first = across - along * math.tan(slope)
    return across - along * np.tan(slope + change * first)


def _family(along: FloatArray, across: FloatArray, slope: float) -> tuple[float, float]:
    """(slope, change) of one family that gathers its points best."""
    reach = max(float(np.ptp(across)) / 2, 1.0)
    best, change = slope, 0.0
    for wide, fine in ((0.05, 0.01), (0.012, 0.0025), (0.003, 0.0006)):
        trials = [
            (s, c / reach)
            for s in best + np.arange(-wide, wide + 1e-9, fine)
            for c in change * reach + np.arange(-2 * wide, 2 * wide + 1e-9, 2 * fine)
        ]
        best, change = max(trials, key=lambda t: _sharpness(_levels(along, across, *t)))
    return float(best), float(change)


def quadrilateral(grid: Grid, shape: tuple[int, ...]) -> FloatArray:
    """Corners (4, 2) in pixels of a rectangle of the drawing, from two lines of either family."""
    high, wide = shape
    middle = np.array([wide / 2, high / 2])

    def level(c: float) -> tuple[FloatArray, FloatArray]:
        start: FloatArray = np.array([middle[0], middle[1] + c])
        way: FloatArray = np.array([1.0, math.tan(grid.level + grid.level_change * c)])
        return start, np.add(start, way)

    def upright(c: float) -> tuple[FloatArray, FloatArray]:
        start: FloatArray = np.array([middle[0] + c, middle[1]])
        way: FloatArray = np.array([math.tan(grid.upright + grid.upright_change * c), 1.0])
        return start, np.add(start, way)

    rows, columns = (level(-0.35 * high), level(0.35 * high)), (upright(-0.35 * wide), upright(0.35 * wide))
    order = ((0, 0), (0, 1), (1, 1), (1, 0))
    corners = [meeting(*rows[i], *columns[j]) for i, j in order]
    return np.array([c for c in corners if c is not None])
