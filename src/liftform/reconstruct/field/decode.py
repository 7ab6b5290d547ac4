"""What a ray's summed features look like from its direction: plain colour, and what a small network adds to it.

colour = plain + alpha * network(features, direction), premultiplied; the network has one hidden layer of ReLUs. All
arrays have the rays last, so that the compiler works on many at once.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .trace import CHANNELS, FAST

#: Spherical harmonics of degrees 1 to 3.
DIRECTIONS = 15
INPUTS = CHANNELS + DIRECTIONS
HIDDEN = 32
#: Numbers in a decoder: weights in, biases, weights out.
SIZE = HIDDEN * INPUTS + HIDDEN + 3 * HIDDEN


def fresh_decoder(seed: int) -> NDArray[np.float32]:
    """Weights (SIZE,) of a network that adds nothing yet: He initialisation, its last layer zero."""
    rng = np.random.default_rng(seed)
    weights = np.zeros(SIZE, np.float32)
    weights[: HIDDEN * INPUTS] = rng.normal(0, np.sqrt(2 / INPUTS), HIDDEN * INPUTS)
    return weights


@njit(cache=True, fastmath=FAST, error_model="numpy")
def harmonics(x, y, z, out):  # type: ignore[no-untyped-def]
    """Real spherical harmonics of degrees 1 to 3 (DIRECTIONS,) of a unit direction, each about 1 in the mean square."""
    c = np.float32
    out[0], out[1], out[2] = c(1.7320508) * x, c(1.7320508) * y, c(1.7320508) * z
    xx, yy, zz = x * x, y * y, z * z
    out[3], out[4], out[5] = c(3.8729833) * x * y, c(3.8729833) * y * z, c(3.8729833) * x * z
    out[6], out[7] = c(1.1180340) * (c(3) * zz - c(1)), c(1.9364917) * (xx - yy)
    out[8], out[9] = c(2.0916501) * y * (c(3) * xx - yy), c(10.246951) * x * y * z
    out[10], out[11] = c(1.6201852) * y * (c(5) * zz - c(1)), c(1.3228757) * z * (c(5) * zz - c(3))
    out[12], out[13] = c(1.6201852) * x * (c(5) * zz - c(1)), c(5.1234754) * z * (xx - yy)
    out[14] = c(2.0916501) * x * (xx - c(3) * yy)


@njit(cache=True, fastmath=FAST, error_model="numpy")
def decoded(weights, inputs, hidden, out):  # type: ignore[no-untyped-def]
    """inputs (INPUTS, N) to out (3, N); hidden (HIDDEN, N) keeps what the backward pass needs."""
    count = inputs.shape[1]
    bias, last = HIDDEN * INPUTS, HIDDEN * INPUTS + HIDDEN
    for h in range(HIDDEN):
        for n in range(count):
            hidden[h, n] = weights[bias + h]
        for i in range(INPUTS):
            w = weights[h * INPUTS + i]
            for n in range(count):
                hidden[h, n] += w * inputs[i, n]
        for n in range(count):
            hidden[h, n] = max(hidden[h, n], np.float32(0))
    for c in range(3):
        for n in range(count):
            out[c, n] = 0
        for h in range(HIDDEN):
            w = weights[last + c * HIDDEN + h]
            for n in range(count):
                out[c, n] += w * hidden[h, n]


@njit(cache=True, fastmath=FAST, error_model="numpy")
def decoded_back(weights, inputs, hidden, of_out, of_weights, of_inputs, of_hidden):  # type: ignore[no-untyped-def]
    """Backward of ``decoded``: adds to of_weights (SIZE,), writes of_inputs for the first CHANNELS rows."""
    count = inputs.shape[1]
    bias, last = HIDDEN * INPUTS, HIDDEN * INPUTS + HIDDEN
    for i in range(CHANNELS):
        for n in range(count):
            of_inputs[i, n] = 0
    for h in range(HIDDEN):
        for n in range(count):
            of_hidden[n] = 0
        for c in range(3):
            w = weights[last + c * HIDDEN + h]
            total = np.float32(0)
            for n in range(count):
                of_hidden[n] += w * of_out[c, n]
                total += of_out[c, n] * hidden[h, n]
            of_weights[last + c * HIDDEN + h] += total
        total = np.float32(0)
        for n in range(count):
            if hidden[h, n] <= 0:
                of_hidden[n] = 0
            total += of_hidden[n]
        of_weights[bias + h] += total
        for i in range(INPUTS):
            total = np.float32(0)
            for n in range(count):
                total += of_hidden[n] * inputs[i, n]
            of_weights[h * INPUTS + i] += total
        for i in range(CHANNELS):
            w = weights[h * INPUTS + i]
            for n in range(count):
                of_inputs[i, n] += w * of_hidden[n]
