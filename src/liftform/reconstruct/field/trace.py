"""Along a ray through sparse bricks: the samples in occupied cells, their densities, weights and features; and back.

A grid of R lattice points a side is kept in bricks of 8^3 points. ``index`` (BX, BY, BZ) int32 numbers the bricks, 0 is
the empty one that all others share. ``cells`` (bricks,) uint64 has a bit for each 2^3 points of a brick: rays
pass cells whose bit is 0. ``density`` (bricks * 512,) holds raw numbers, density = softplus(raw + shift) after they are
interpolated (Sun et al., Direct Voxel Grid Optimization, CVPR 2022); ``features`` (bricks * 512, CHANNELS) are
interpolated, weighted and summed along the ray before anything decodes them (Hedman et al., SNeRG, ICCV 2021).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from .space import straight_pieces

#: Features of a lattice point: three of plain colour, the others for what changes with direction.
CHANNELS = 8
BRICK, POINTS = 8, 512
#: Raw density plus shift below which there is nothing.
NOTHING = -10.0
FAST = {"contract", "nsz", "arcp", "reassoc"}


@njit(cache=True, inline="always")
def _hop(place, way, size):  # type: ignore[no-untyped-def]
    """Distance to where a ray leaves the cube of this size (a power of two) that it is in."""
    far = np.float32(1e30)
    for k in range(3):
        if way[k] > 1e-9 or way[k] < -1e-9:
            base = np.float32((int(place[k]) // size) * size)
            edge = base + np.float32(size) if way[k] > 0 else base
            far = min(far, (edge - place[k]) / way[k])
    return far


@njit(cache=True, fastmath=FAST, error_model="numpy")
def corners_of(index, place, address, share):  # type: ignore[no-untyped-def]
    """Lattice points (8,) around a place of the grid, as rows of the bricks' arrays, and their shares."""
    i, j, k = int(place[0]), int(place[1]), int(place[2])
    one = np.float32(1)
    fx, fy, fz = place[0] - np.float32(i), place[1] - np.float32(j), place[2] - np.float32(k)
    gx, gy, gz = one - fx, one - fy, one - fz
    low, lower, higher, high = gx * gy, gx * fy, fx * gy, fx * fy
    share[0], share[1], share[2], share[3] = low * gz, low * fz, lower * gz, lower * fz
    share[4], share[5], share[6], share[7] = higher * gz, higher * fz, high * gz, high * fz
    x, y, z = i & 7, j & 7, k & 7
    i, j, k = i >> 3, j >> 3, k >> 3
    if x < 7 and y < 7 and z < 7:
        base = (index[i, j, k] << 9) + (x << 6) + (y << 3) + z
        address[0], address[1], address[2], address[3] = base, base + 1, base + 8, base + 9
        address[4], address[5], address[6], address[7] = base + 64, base + 65, base + 72, base + 73
        return
    x1, y1, z1 = (x + 1) & 7, (y + 1) & 7, (z + 1) & 7
    i1, j1, k1 = i + (x == 7), j + (y == 7), k + (z == 7)
    address[0] = (index[i, j, k] << 9) + (x << 6) + (y << 3) + z
    address[1] = (index[i, j, k1] << 9) + (x << 6) + (y << 3) + z1
    address[2] = (index[i, j1, k] << 9) + (x << 6) + (y1 << 3) + z
    address[3] = (index[i, j1, k1] << 9) + (x << 6) + (y1 << 3) + z1
    address[4] = (index[i1, j, k] << 9) + (x1 << 6) + (y << 3) + z
    address[5] = (index[i1, j, k1] << 9) + (x1 << 6) + (y << 3) + z1
    address[6] = (index[i1, j1, k] << 9) + (x1 << 6) + (y1 << 3) + z
    address[7] = (index[i1, j1, k1] << 9) + (x1 << 6) + (y1 << 3) + z1


@njit(cache=True, fastmath=FAST, error_model="numpy")
def traced(code, o, d, size, step, jitter, limits, grid, rows, room):  # type: ignore[no-untyped-def]
    """Follow one ray of the frame and write its samples into ``rows``; returns their number and the light that is left.

    size (3,) float32: lattice cells along each axis of the unit cube. step: of samples, in lattice cells; jitter in
    [0, 1) shifts them. limits: (light at which to stop, shift, density per unit of raw and cell). grid: (index, cells,
    density). rows: (address (M, 8) uint32, share (M, 8), slope of
    softplus (M,), alpha (M,), light (M,) before the sample, along (M,)
    path in cells, place (M, 3) unit). room: (cuts, pieces).
    """
    index, cells, density = grid
    address, share, rises, alphas, lights, alongs, places = rows
    cuts, pieces = room
    least, shift, scale = limits
    most = len(rises)
    one = np.float32(1)
    light, count, walked = one, 0, np.float32(0)
    place, way = np.empty(3, np.float32), np.empty(3, np.float32)
    made = straight_pieces(code, o, d, cuts, pieces)
    for piece in range(made):
        length = np.float32(0)
        for k in range(3):
            way[k] = (pieces[piece, 1, k] - pieces[piece, 0, k]) * size[k]
            length += way[k] * way[k]
        length = np.float32(math.sqrt(length))
        if length < 1e-6:
            continue
        for k in range(3):
            way[k] /= length
        first = math.ceil(walked / step - jitter)
        at = (np.float32(first) + jitter) * step - walked
        while at < length:
            inside = True
            for k in range(3):
                place[k] = pieces[piece, 0, k] * size[k] + way[k] * at
                inside &= place[k] >= 0 and place[k] < size[k]
            if not inside:
                at += step
                continue
            i, j, k = int(place[0]), int(place[1]), int(place[2])
            brick = index[i >> 3, j >> 3, k >> 3]
            bits = cells[brick]
            if bits == 0:
                at += step * max(np.float32(1), np.float32(math.ceil(_hop(place, way, 8) / step)))
                continue
            bit = ((i >> 1) & 3) * 16 + ((j >> 1) & 3) * 4 + ((k >> 1) & 3)
            if not (bits >> np.uint64(bit)) & np.uint64(1):
                at += step * max(np.float32(1), np.float32(math.ceil(_hop(place, way, 2) / step)))
                continue
            corners_of(index, place, address[count], share[count])
            raw = shift
            for n in range(8):
                raw += share[count, n] * density[address[count, n]]
            if raw > NOTHING:
                thick, rise = raw, one
                if raw < np.float32(15):
                    risen = one + np.float32(math.exp(raw))
                    thick, rise = np.float32(math.log(risen)), one - one / risen
                alpha = one - np.float32(math.exp(-thick * scale * step))
                rises[count], alphas[count], lights[count] = rise, alpha, light
                alongs[count] = walked + at
                for k in range(3):
                    places[count, k] = place[k] / size[k]
                count += 1
                light *= np.float32(1) - alpha
                if light < least or count == most:
                    return count, light
            at += step
        walked += length
    return count, light


@njit(cache=True, fastmath=FAST, error_model="numpy")
def gathered(count, rows, features, faint, found, total):  # type: ignore[no-untyped-def]
    """Features (M, CHANNELS) of a ray's samples that weigh at least ``faint`` into ``found``, 0 for the others, and
    their weighted sum into ``total`` (CHANNELS,)."""
    address, share, alphas, lights = rows[0], rows[1], rows[3], rows[4]
    for c in range(CHANNELS):
        total[c] = 0
    for s in range(count):
        for c in range(CHANNELS):
            found[s, c] = 0
        weight = lights[s] * alphas[s]
        if weight < faint:
            continue
        a0 = a1 = a2 = a3 = a4 = a5 = a6 = a7 = np.float32(0)  # spelt out: so they stay in one register
        for n in range(8):
            row, part = address[s, n], share[s, n]
            a0 += part * features[row, 0]
            a1 += part * features[row, 1]
            a2 += part * features[row, 2]
            a3 += part * features[row, 3]
            a4 += part * features[row, 4]
            a5 += part * features[row, 5]
            a6 += part * features[row, 6]
            a7 += part * features[row, 7]
        found[s, 0], found[s, 1], found[s, 2], found[s, 3] = a0, a1, a2, a3
        found[s, 4], found[s, 5], found[s, 6], found[s, 7] = a4, a5, a6, a7
        for c in range(CHANNELS):
            total[c] += weight * found[s, c]


@njit(cache=True, fastmath=FAST, error_model="numpy")
def scattered(count, light, rows, found, weights, slopes, into, touched):  # type: ignore[no-untyped-def]
    """Backward of ``traced`` and ``gathered``: adds a ray's gradients to those of density and features.

    weights: (step * scale, faint, pull, spread, 1 / longest path). slopes: (of the summed features (CHANNELS,), of the
    ray's alpha, target of plain colour (3,)). pull: weight of the distance of each sample's plain colour to the target
    (its weight taken as fixed); spread: weight of the distortion (Barron et al., mip-NeRF 360, CVPR 2022), whose
    samples have no length. into: (density, features) gradients; touched (bricks,) uint8 is set where they changed.
    """
    address, share, rises, alphas, lights, alongs = rows[0], rows[1], rows[2], rows[3], rows[4], rows[5]
    of_density, of_features = into
    thick, faint, pull, spread, per_path = weights
    of_sum, of_alpha, target = slopes
    one, two = np.float32(1), np.float32(2)
    behind, w_behind, ws_behind = np.float32(0), np.float32(0), np.float32(0)
    w_all, ws_all = np.float32(0), np.float32(0)
    if spread > 0:
        for s in range(count):
            w_all += lights[s] * alphas[s]
            ws_all += lights[s] * alphas[s] * alongs[s] * per_path
    slope = np.empty(CHANNELS, np.float32)
    for back in range(count):
        s = count - 1 - back
        weight = lights[s] * alphas[s]
        of_weight = np.float32(of_alpha)
        if spread > 0:
            at = alongs[s] * per_path
            before, ws_before = w_all - w_behind - weight, ws_all - ws_behind - weight * at
            of_weight += two * spread * (at * before - ws_before + ws_behind - at * w_behind)
            w_behind += weight
            ws_behind += weight * at
        if weight >= faint:
            for c in range(CHANNELS):
                of_weight += of_sum[c] * found[s, c]
                slope[c] = weight * of_sum[c]
            if pull > 0:
                for c in range(3):
                    slope[c] += two * pull * weight * (found[s, c] - target[c])
            s0, s1, s2, s3 = slope[0], slope[1], slope[2], slope[3]
            s4, s5, s6, s7 = slope[4], slope[5], slope[6], slope[7]
            for n in range(8):
                row, part = address[s, n], share[s, n]
                of_features[row, 0] += part * s0
                of_features[row, 1] += part * s1
                of_features[row, 2] += part * s2
                of_features[row, 3] += part * s3
                of_features[row, 4] += part * s4
                of_features[row, 5] += part * s5
                of_features[row, 6] += part * s6
                of_features[row, 7] += part * s7
        of_raw = thick * ((one - alphas[s]) * lights[s] * of_weight - behind) * rises[s]
        behind += weight * of_weight
        for n in range(8):
            of_density[address[s, n]] += share[s, n] * of_raw
        touched[address[s, 0] >> np.uint32(9)] = 1
        if (address[s, 0] ^ address[s, 7]) >> np.uint32(9):
            for n in range(1, 8):
                touched[address[s, n] >> np.uint32(9)] = 1
