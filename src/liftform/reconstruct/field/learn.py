"""One step of learning: blocks of pixels are followed, decoded, compared with the pictures, and their gradients added.

Blocks are dealt to lanes, each with gradients of its own, so that nothing is written twice at once and the sums do not
depend on who was first.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit, prange

from .decode import DIRECTIONS, HIDDEN, INPUTS, decoded, decoded_back, harmonics
from .space import MOST_PIECES
from .trace import CHANNELS, FAST, gathered, scattered, traced

#: Pixels of a block: 8 x 8, so that its rays pass the same bricks.
SIDE, BLOCK = 8, 64
#: Samples of one ray at most.
MOST = 384
#: Places of the settings that ``learnt`` takes.
STEP, LEAST, SHIFT, SCALE, FAINT, PULL, SPREAD, SOLID, HALF, THIRD, PER_PATH, SETTINGS = range(12)


@njit(cache=True)
def new_rows(count):  # type: ignore[no-untyped-def]
    """Room for samples, see ``trace.traced``."""
    return (
        np.empty((count, 8), np.uint32),
        np.empty((count, 8), np.float32),
        np.empty(count, np.float32),
        np.empty(count, np.float32),
        np.empty(count, np.float32),
        np.empty(count, np.float32),
        np.empty((count, 3), np.float32),
    )


def new_rooms(lanes: int) -> tuple[Any, ...]:
    """Room for the samples of a block, and for their features, for each lane."""
    many = lanes * BLOCK * MOST
    rows = tuple(rows.reshape(lanes, BLOCK * MOST, *rows.shape[1:]) for rows in new_rows(many))
    return (*rows, np.empty((lanes, BLOCK * MOST, CHANNELS), np.float32))


@njit(cache=True)
def cut(rows, start, stop):  # type: ignore[no-untyped-def]
    """A stretch of the rows."""
    return (
        rows[0][start:stop],
        rows[1][start:stop],
        rows[2][start:stop],
        rows[3][start:stop],
        rows[4][start:stop],
        rows[5][start:stop],
        rows[6][start:stop],
    )


@njit(cache=True, fastmath=FAST, error_model="numpy")
def aimed(cameras, picture, x, y, o, d, inputs, n):  # type: ignore[no-untyped-def]
    """Ray of a pixel in the frame into o and d (3,); harmonics of its direction in the world into inputs[CHANNELS:, n].

    cameras: (centres, turns) of the frame and turns of the world, per picture.
    """
    centres, turns, world = cameras
    wx = world[picture, 0, 0] * x + world[picture, 0, 1] * y + world[picture, 0, 2]
    wy = world[picture, 1, 0] * x + world[picture, 1, 1] * y + world[picture, 1, 2]
    wz = world[picture, 2, 0] * x + world[picture, 2, 1] * y + world[picture, 2, 2]
    unit = np.float32(1) / np.float32(math.sqrt(wx * wx + wy * wy + wz * wz))
    seen = np.empty(DIRECTIONS, np.float32)
    harmonics(wx * unit, wy * unit, wz * unit, seen)
    for k in range(DIRECTIONS):
        inputs[CHANNELS + k, n] = seen[k]
    for k in range(3):
        o[k] = centres[picture, k]
        d[k] = turns[picture, k, 0] * x + turns[picture, k, 1] * y + turns[picture, k, 2]


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _compared(total, light, added, seen, alpha_seen, masked, backdrop, look, settings, slopes):  # type: ignore[no-untyped-def]
    """Squared error of one ray and its slopes: of the plain sum (3,), of alpha, of what the network adds (3,), and of
    the picture's look (6,).

    seen (3,) in [0, 1]; masked: against a background of any colour (settings HALF and THIRD are the mean and the mean
    square of its grey), else against ``backdrop``. look: gain and offset of the picture.
    """
    of_plain, of_added, of_look = slopes
    alpha = np.float32(1) - light
    two = np.float32(2)
    loss, of_alpha = np.float32(0), np.float32(0)
    for c in range(3):
        color = total[c] + alpha * added[c]
        if masked:
            off, gap = color - alpha_seen * seen[c], alpha - alpha_seen
            loss += off * off - two * settings[HALF] * off * gap + settings[THIRD] * gap * gap
            slope = two * (off - settings[HALF] * gap)
            of_alpha += two * (settings[THIRD] * gap - settings[HALF] * off)
        else:
            whole = color + light * backdrop[c]
            off = look[c] * whole + look[3 + c] - seen[c]
            loss += off * off
            of_look[c], of_look[3 + c] = two * off * whole, two * off
            slope = two * off * look[c]
            of_alpha -= slope * backdrop[c]
        of_plain[c] = slope
        of_added[c] = slope * alpha
        of_alpha += slope * added[c]
    if not masked:
        of_alpha -= two * settings[SOLID] * light
    return loss, of_alpha


@njit(cache=True, fastmath=FAST, error_model="numpy")
def _block(code, size, block, jitter, cameras, pictures, backdrop, looks, settings, grid, features, decoder, out, room):  # type: ignore[no-untyped-def]
    """Forward and backward of one block; adds to the gradients ``out`` and returns the sum of squared errors."""
    starts, widths, heights, colors, alphas = pictures
    of_density, of_features, of_decoder, of_looks, touched = out
    rows, found, cuts, pieces, inputs, hidden, added, of_inputs, of_added, of_hidden, totals, ends, counts = room
    picture, x0, y0 = block
    o, d = np.empty(3, np.float32), np.empty(3, np.float32)
    limits = (settings[LEAST], settings[SHIFT], settings[SCALE])
    used = 0
    for n in range(BLOCK):
        x, y = min(x0 + n % SIDE, widths[picture] - 1), min(y0 + n // SIDE, heights[picture] - 1)
        aimed(cameras, picture, np.float32(x + 0.5), np.float32(y + 0.5), o, d, inputs, n)
        mine = cut(rows, used, used + MOST)
        counts[n], ends[n] = traced(code, o, d, size, settings[STEP], jitter[n], limits, grid, mine, (cuts, pieces))
        gathered(counts[n], mine, features, settings[FAINT], found[used:], totals[n])
        for c in range(CHANNELS):
            inputs[c, n] = totals[n, c]
        used += counts[n]
    decoded(decoder, inputs, hidden, added)
    seen, of_plain = np.empty(3, np.float32), np.empty(3, np.float32)
    of_look, one_added = np.empty(6, np.float32), np.empty(3, np.float32)
    of_alphas, plains, pulls = (
        np.empty(BLOCK, np.float32),
        np.empty((BLOCK, 6), np.float32),
        np.empty(BLOCK, np.float32),
    )
    error = 0.0
    share = np.float32(1) / np.float32(BLOCK)
    masked = len(alphas) > 0
    for n in range(BLOCK):
        x, y = min(x0 + n % SIDE, widths[picture] - 1), min(y0 + n // SIDE, heights[picture] - 1)
        pixel = starts[picture] + np.int64(y) * widths[picture] + x
        for c in range(3):
            seen[c] = np.float32(colors[pixel, c]) / np.float32(255)
            one_added[c] = added[c, n]
        alpha_seen = np.float32(alphas[pixel]) / np.float32(255) if masked else np.float32(1)
        loss, of_alpha = _compared(
            totals[n],
            ends[n],
            one_added,
            seen,
            alpha_seen,
            masked,
            backdrop,
            looks[picture],
            settings,
            (of_plain, of_added[:, n], of_look),
        )
        error += loss
        of_alphas[n] = of_alpha * share
        pulls[n] = settings[PULL] * alpha_seen * share
        for c in range(3):
            of_added[c, n] *= share
            plains[n, c], plains[n, 3 + c] = of_plain[c] * share, seen[c]
            if not masked:
                of_looks[picture, c] += of_look[c] * share
                of_looks[picture, 3 + c] += of_look[3 + c] * share
    decoded_back(decoder, inputs, hidden, of_added, of_decoder, of_inputs, of_hidden)
    used = 0
    slope = np.empty(CHANNELS, np.float32)
    thick = settings[STEP] * settings[SCALE]
    for n in range(BLOCK):
        if counts[n] > 0:
            for c in range(CHANNELS):
                slope[c] = of_inputs[c, n] + (plains[n, c] if c < 3 else np.float32(0))
            weights = (thick, settings[FAINT], pulls[n], settings[SPREAD] * share, settings[PER_PATH])
            mine = cut(rows, used, used + counts[n])
            scattered(
                counts[n],
                ends[n],
                mine,
                found[used:],
                weights,
                (slope, of_alphas[n], plains[n, 3:]),
                (of_density, of_features),
                touched,
            )
        used += counts[n]
    return error


@njit(cache=True, parallel=True, fastmath=FAST, error_model="numpy")
def learnt(  # type: ignore[no-untyped-def]
    code, size, blocks, jitter, cameras, pictures, backdrop, looks, settings, grid, features, decoder, out, rooms
):
    """Gradients of the blocks (B, 3) int32 of (picture, x, y), the mean over a block, added up; returns the sum of
    squared errors.

    jitter (B, BLOCK) float32 in [0, 1). out: gradients with an axis of lanes in front: of density, features, decoder
    and looks, and which bricks they touch. rooms: of ``new_rooms``, kept from step to step: to get memory from the
    system takes longer than a step.
    """
    lanes = out[0].shape[0]
    errors = np.zeros(lanes)
    for lane in prange(lanes):
        r = rooms
        rows = (r[0][lane], r[1][lane], r[2][lane], r[3][lane], r[4][lane], r[5][lane], r[6][lane])
        room = (
            rows,
            r[7][lane],
            np.empty(24, np.float32),
            np.empty((MOST_PIECES, 2, 3), np.float32),
            np.empty((INPUTS, BLOCK), np.float32),
            np.empty((HIDDEN, BLOCK), np.float32),
            np.empty((3, BLOCK), np.float32),
            np.empty((CHANNELS, BLOCK), np.float32),
            np.empty((3, BLOCK), np.float32),
            np.empty(BLOCK, np.float32),
            np.empty((BLOCK, CHANNELS), np.float32),
            np.empty(BLOCK, np.float32),
            np.empty(BLOCK, np.int64),
        )
        mine = (out[0][lane], out[1][lane], out[2][lane], out[3][lane], out[4][lane])
        for b in range(lane, len(blocks), lanes):
            block = (blocks[b, 0], blocks[b, 1], blocks[b, 2])
            errors[lane] += _block(
                code,
                size,
                block,
                jitter[b],
                cameras,
                pictures,
                backdrop,
                looks,
                settings,
                grid,
                features,
                decoder,
                mine,
                room,
            )
    return errors.sum()
