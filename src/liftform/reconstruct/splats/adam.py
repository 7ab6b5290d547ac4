"""Adam on a table of Gaussians: only the rows that a picture shows are moved.

D. Kingma, J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

FIRST, SECOND, TINY = 0.9, 0.999, 1e-15


@njit(cache=True, fastmath=True, parallel=True)
def adam(
    table: Floats,
    gradients: Floats,
    moments: Floats,
    offsets: NDArray[np.int64],
    rates: Floats,
    reach: Floats,
    step: int,
    first: float,
    second: float,
) -> None:
    """One step, in place, of the rows i with offsets[i] < offsets[i + 1].

    moments (2, N, columns): running means of gradients and of their squares. rates (columns,): how far a number moves
    at most; those of the means (columns 0 to 2) times reach (N,). step: from 1, corrects moments that begin at zero.
    """
    kind = table.dtype.type
    b1, b2, one, tiny = kind(first), kind(second), kind(1), kind(1e-15)
    c1, c2 = kind(1 / (1 - first**step)), kind(1 / (1 - second**step))
    for i in prange(len(table)):
        if offsets[i] == offsets[i + 1]:
            continue
        for k in range(table.shape[1]):
            g = gradients[i, k]
            m = b1 * moments[0, i, k] + (one - b1) * g
            v = b2 * moments[1, i, k] + (one - b2) * g * g
            moments[0, i, k], moments[1, i, k] = m, v
            scale = reach[i] if k < 3 else one
            table[i, k] -= rates[k] * scale * m * c1 / (np.sqrt(v * c2) + tiny)
