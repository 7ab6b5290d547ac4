"""Where Gaussians are wanted: faint ones are moved, and new ones set, to where the pictures are still wrong.

S. Kheradmand et al., "3D Gaussian Splatting as Markov Chain Monte Carlo", NeurIPS 2024: the number is bounded,
Gaussians that have become invisible are put where others are, noise lets the faint ones wander. Places are drawn by the
error of the pixels that a Gaussian paints (S. Rota Bulò, L. Porzi, P. Kontschieder, "Revising Densification in Gaussian
Splatting", ECCV 2024), and both halves are set apart along the longest axis.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from .layout import EDGE, LOGIT, MEAN, SCALE, TURN
from .project import turned

Floats = NDArray[np.floating[Any]]
Rng = np.random.Generator

#: Gaussians fainter than this are moved.
FAINT = 0.005


def relocated(table: Floats, moments: Floats, wrong: Floats, goal: int, rng: Rng) -> tuple[Floats, Floats]:
    """The table (N, columns) and moments (2, N, columns) with faint Gaussians moved and new ones added up to ``goal``.

    wrong (N,) >= 0: how much error a Gaussian has been part of. Each of those drawn is cut in two halves along its
    longest axis, which paint about what it painted; one half takes the place of a faint one or a row at the end.
    """
    alive = table[:, LOGIT] > np.log(FAINT / (1 - FAINT))
    faint = np.flatnonzero(~alive)
    more = max(0, goal - len(table))
    weights = np.where(alive, np.maximum(wrong, 0), 0).astype(np.float64)
    able = int(np.count_nonzero(weights))
    count = min(len(faint) + more, able)
    if count == 0:
        return table, moments
    drawn = np.sort(rng.choice(len(table), count, replace=False, p=weights / weights.sum()))
    first, second = _halves(table[drawn])
    keep = min(len(faint), count)
    table = np.concatenate([table, np.empty((count - keep, table.shape[1]), table.dtype)])
    fresh = np.zeros((2, count - keep, table.shape[1]), table.dtype)
    moments = np.concatenate([moments, fresh], axis=1)
    to = np.concatenate([faint[:keep], np.arange(len(table) - (count - keep), len(table))])
    table[drawn], table[to] = first, second
    moments[:, drawn] = 0
    moments[:, to] = 0
    return table, moments


def _halves(rows: Floats) -> tuple[Floats, Floats]:
    """Two Gaussians (N, columns) each for one, apart along its longest axis."""
    longest = rows[:, SCALE:TURN].argmax(1)
    size = np.exp(rows[np.arange(len(rows)), SCALE + longest])
    axis = np.stack(
        [turned(*row)[:, k] for row, k in zip(rows[:, TURN:LOGIT].astype(np.float64), longest, strict=True)]
    )
    first, second = rows.copy(), rows.copy()
    opacity = 1 / (1 + np.exp(-rows[:, LOGIT].astype(np.float64)))
    # Half a deviation away, and 0.6 as long, both together are at the middle what the whole was.
    each = np.clip((1 - np.sqrt(1 - opacity)) / np.exp(-0.5 * (0.5 / 0.6) ** 2), EDGE, 0.99)
    for half, way in ((first, 0.5), (second, -0.5)):
        half[:, MEAN:SCALE] += (way * size)[:, None] * axis
        half[np.arange(len(rows)), SCALE + longest] += np.log(0.6)
        half[:, LOGIT] = np.log(each / (1 - each))
    return first, second


@njit(cache=True, parallel=True)
def wander(table: Floats, noise: Floats, strength: float) -> None:
    """Move faint Gaussians by ``noise`` (N, 3), standard normal, shaped as they are; opaque ones stay (Kheradmand et
    al., equation 9). strength: standard deviation, in the Gaussian's own, of those that are invisible."""
    for i in prange(len(table)):
        opacity = 1.0 / (1.0 + np.exp(-table[i, LOGIT]))
        gate = 1.0 / (1.0 + np.exp(100.0 * (opacity - 0.05)))
        if gate < 1e-3:
            continue
        turn = turned(table[i, TURN], table[i, TURN + 1], table[i, TURN + 2], table[i, TURN + 3])
        for k in range(3):
            size = strength * gate * np.exp(table[i, SCALE + k]) * noise[i, k]
            for n in range(3):
                table[i, MEAN + n] += turn[n, k] * size
