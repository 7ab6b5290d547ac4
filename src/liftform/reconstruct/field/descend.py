"""Adam over the bricks that a step touched, and the pull of neighbouring lattice points towards each other."""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

from .trace import BRICK, CHANNELS, FAST, POINTS

#: Decay of the means of gradients and of their squares (Kingma and Ba, Adam, ICLR 2015).
FIRST, SECOND = 0.9, 0.99


@njit(cache=True, parallel=True, fastmath=FAST, error_model="numpy")
def descended(density, features, moments, gradients, touched, rates, number):  # type: ignore[no-untyped-def]
    """One step of Adam at the lattice points that have a gradient (as DVGO's masked Adam), which is then zero again.

    moments: (first and second of density, first and second of features). gradients: (of density (lanes, N), of features
    (lanes, N, CHANNELS)). touched (lanes, bricks) uint8. rates: of density and features. number: of the step, from 1.
    """
    first_d, second_d, first_f, second_f = moments
    of_density, of_features = gradients
    lanes, bricks = touched.shape
    a, b = np.float32(FIRST), np.float32(SECOND)
    a1, b1 = np.float32(1 - FIRST), np.float32(1 - SECOND)
    root = math.sqrt(1 - SECOND**number) / (1 - FIRST**number)
    rate_d, rate_f = np.float32(rates[0] * root), np.float32(rates[1] * root)
    tiny = np.float32(1e-10)
    for brick in prange(1, bricks):
        any_lane = False
        for lane in range(lanes):
            any_lane |= touched[lane, brick] > 0
            touched[lane, brick] = 0
        if not any_lane:
            continue
        slope = np.empty(CHANNELS, np.float32)
        for row in range(brick * POINTS, (brick + 1) * POINTS):
            g = np.float32(0)
            for lane in range(lanes):
                g += of_density[lane, row]
                of_density[lane, row] = 0
            if g == 0:
                continue
            first_d[row] = a * first_d[row] + a1 * g
            second_d[row] = b * second_d[row] + b1 * g * g
            density[row] -= rate_d * first_d[row] / (math.sqrt(second_d[row]) + tiny)
            for c in range(CHANNELS):
                slope[c] = of_features[0, row, c]
                of_features[0, row, c] = 0
            for lane in range(1, lanes):
                for c in range(CHANNELS):
                    slope[c] += of_features[lane, row, c]
                    of_features[lane, row, c] = 0
            for c in range(CHANNELS):
                first = a * first_f[row, c] + a1 * slope[c]
                second = b * second_f[row, c] + b1 * slope[c] * slope[c]
                first_f[row, c], second_f[row, c] = first, second
                features[row, c] -= rate_f * first / (np.float32(math.sqrt(second)) + tiny)


@njit(cache=True, parallel=True, fastmath=FAST, error_model="numpy")
def smoothed(index, places, density, features, weights, of_density, of_features, touched):  # type: ignore[no-untyped-def]
    """Adds, at every lattice point that has a gradient of density, the gradient of half the sum of squared differences
    to its six neighbours, by weights (of density, of features). Neighbours in the empty brick do not pull.

    places (bricks, 3) int32: of the bricks in ``index``. of_density (lanes, N), of_features (lanes, N, CHANNELS),
    touched (lanes, bricks): as ``learn.learnt`` leaves them; the first lane takes what is added.
    """
    of_d, of_f = weights
    lanes = len(of_density)
    for brick in prange(1, len(places)):
        any_lane = False
        for lane in range(lanes):
            any_lane |= touched[lane, brick] > 0
        if not any_lane:
            continue
        pull = np.empty(CHANNELS, np.float32)
        place = np.empty(3, np.int64)
        for point in range(POINTS):
            row = brick * POINTS + point
            there = False
            for lane in range(lanes):
                there |= of_density[lane, row] != 0
            if not there:
                continue
            total = np.float32(0)
            for c in range(CHANNELS):
                pull[c] = 0
            for side in range(6):
                axis, way = side >> 1, 1 - 2 * (side & 1)
                place[0], place[1], place[2] = point >> 6, (point >> 3) & 7, point & 7
                place[axis] += way
                other = brick
                if place[axis] < 0 or place[axis] >= BRICK:
                    i, j, k = places[brick, 0], places[brick, 1], places[brick, 2]
                    i, j, k = i + way * (axis == 0), j + way * (axis == 1), k + way * (axis == 2)
                    if min(i, j, k) < 0 or i >= index.shape[0] or j >= index.shape[1] or k >= index.shape[2]:
                        continue
                    other = index[i, j, k]
                    place[axis] -= way * BRICK
                if other == 0:
                    continue
                near = other * POINTS + (place[0] << 6) + (place[1] << 3) + place[2]
                total += density[row] - density[near]
                for c in range(CHANNELS):
                    pull[c] += features[row, c] - features[near, c]
            of_density[0, row] += of_d * total
            for c in range(CHANNELS):
                of_features[0, row, c] += of_f * pull[c]
