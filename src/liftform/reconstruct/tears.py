"""Where a depth map is torn: steps that no plane through the neighbours explains, whatever the resolution."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]

#: A step of more than this share of the depth is a tear, if it is also steeper than this many times its width.
LEAST_STEP, LEAST_SLOPE = 0.04, 6.0


def torn_edges(w: Floats, across: float, down: float) -> tuple[Bools, Bools]:
    """Torn edges of a grid of inverse depth (H, W), NaN where unknown: to the right (H, W - 1), and down (H - 1, W).

    across, down: width of a cell as a tangent of the view. Inverse depth is linear on every plane, however slanted; so
    an edge is torn where both the line through the two vertices before it and that through the two after miss its far
    end by more than a step. Edges to the unknown are torn.
    """
    right = _torn(w, max(LEAST_STEP, LEAST_SLOPE * across))
    return right, _torn(w.T, max(LEAST_STEP, LEAST_SLOPE * down)).T


def _torn(w: Floats, limit: float) -> Bools:
    """Torn edges along the rows."""
    a, b = np.asarray(w[:, :-1], np.float64), np.asarray(w[:, 1:], np.float64)
    jump = np.abs(a - b)
    forward, backward = jump.copy(), jump.copy()
    if w.shape[1] > 2:
        forward[:, 1:] = _or(np.abs(2 * a[:, 1:] - a[:, :-1] - b[:, 1:]), jump[:, 1:])
        backward[:, :-1] = _or(np.abs(2 * b[:, :-1] - b[:, 1:] - a[:, :-1]), jump[:, :-1])
    # A line that overshoots must not make a small jump look large.
    step = np.minimum(np.minimum(forward, backward), jump)
    return ~(step <= limit * np.minimum(a, b))


def _or(value: Floats, otherwise: Floats) -> Floats:
    return np.where(np.isfinite(value), value, otherwise)


def ends(right: Bools, down: Bools) -> Bools:
    """Vertices (H, W) at an end of any torn edge."""
    out = np.zeros((right.shape[0], down.shape[1]), bool)
    out[:, :-1] |= right
    out[:, 1:] |= right
    out[:-1] |= down
    out[1:] |= down
    return out


def spread(seeds: Bools, right: Bools, down: Bools, steps: int, through: Bools | None = None) -> Bools:
    """Vertices (H, W) within ``steps`` edges of the seeds, along edges that are not torn, and by way of ``through``."""
    out = seeds.copy()
    for _ in range(steps):
        before = out.copy() if through is None else out & through
        out[:, 1:] |= before[:, :-1] & ~right
        out[:, :-1] |= before[:, 1:] & ~right
        out[1:] |= before[:-1] & ~down
        out[:-1] |= before[1:] & ~down
    return out
