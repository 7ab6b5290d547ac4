"""Pictures of a field: colours, alpha and depth of a camera's view."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from .decode import HIDDEN, INPUTS, decoded
from .learn import BLOCK, LEAST, MOST, SCALE, SHIFT, SIDE, STEP, aimed, new_rows
from .space import MOST_PIECES, distance_of
from .trace import CHANNELS, FAST, gathered, traced


@njit(cache=True, parallel=True, fastmath=FAST, error_model="numpy")
def drawn(code, size, cameras, width, height, settings, grid, features, decoder, image, alpha, depth):  # type: ignore[no-untyped-def]
    """Write premultiplied colours (H, W, 3), alpha (H, W) and the median distance (H, W; NaN where alpha < 0.5)."""
    across, down = (width + SIDE - 1) // SIDE, (height + SIDE - 1) // SIDE
    for tile in prange(across * down):
        rows = new_rows(MOST)
        found = np.empty((MOST, CHANNELS), np.float32)
        cuts, pieces = np.empty(24, np.float32), np.empty((MOST_PIECES, 2, 3), np.float32)
        inputs, hidden = np.empty((INPUTS, BLOCK), np.float32), np.empty((HIDDEN, BLOCK), np.float32)
        added, total = np.empty((3, BLOCK), np.float32), np.empty(CHANNELS, np.float32)
        o, d, point = np.empty(3, np.float32), np.empty(3, np.float32), np.empty(3, np.float32)
        limits = (settings[LEAST], settings[SHIFT], settings[SCALE])
        x0, y0 = (tile % across) * SIDE, (tile // across) * SIDE
        for n in range(BLOCK):
            x, y = min(x0 + n % SIDE, width - 1), min(y0 + n // SIDE, height - 1)
            aimed(cameras, 0, np.float32(x + 0.5), np.float32(y + 0.5), o, d, inputs, n)
            count, light = traced(code, o, d, size, settings[STEP], np.float32(0.5), limits, grid, rows, (cuts, pieces))
            gathered(count, rows, features, np.float32(0), found, total)
            for c in range(CHANNELS):
                inputs[c, n] = total[c]
            alpha[y, x] = np.float32(1) - light
            depth[y, x] = np.nan
            for s in range(count):
                if rows[4][s] * (np.float32(1) - rows[3][s]) < 0.5:
                    depth[y, x] = distance_of(code, o, d, rows[6][s], point)
                    break
        decoded(decoder, inputs, hidden, added)
        for n in range(BLOCK):
            x, y = x0 + n % SIDE, y0 + n // SIDE
            if x < width and y < height:
                for c in range(3):
                    image[y, x, c] = inputs[c, n] + alpha[y, x] * added[c, n]
