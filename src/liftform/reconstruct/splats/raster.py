"""Ellipses to a picture: cut into tiles, sorted by depth, blended front to back; and the gradients back to them.

Kerbl et al. 2023. Tiles are squares of 16 pixels whose rows are blended side by side, so that the compiler can use wide
instructions. The exponential is a polynomial of fifth degree to the 16th power: within 4e-5 where it counts. Gradients
are gathered for every tile apart and summed in a fixed order later: threads do not change the result.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]

#: Pixels along a tile.
SIDE = 16


@njit(cache=True)
def depth_order(depth: NDArray[np.float32], tiles: NDArray[np.int32]) -> NDArray[np.int32]:
    """The numbers of the Gaussians that touch a tile, nearest first (radix sort; equal depths keep their order)."""
    count = 0
    for i in range(len(depth)):
        count += tiles[i, 1] > tiles[i, 0] and tiles[i, 3] > tiles[i, 2]
    now, then = np.empty(count, np.int32), np.empty(count, np.int32)
    n = 0
    for i in range(len(depth)):
        if tiles[i, 1] > tiles[i, 0] and tiles[i, 3] > tiles[i, 2]:
            now[n] = i
            n += 1
    keys = depth.view(np.uint32)  # positive floats sort as their bits do
    for shift in (0, 11, 22):
        starts = np.zeros(2049, np.int64)
        for n in range(count):
            starts[((keys[now[n]] >> shift) & 2047) + 1] += 1
        for k in range(2048):
            starts[k + 1] += starts[k]
        for n in range(count):
            k = (keys[now[n]] >> shift) & 2047
            then[starts[k]] = now[n]
            starts[k] += 1
        now, then = then, now
    return now


@njit(cache=True)
def deal(
    order: NDArray[np.int32], tiles: NDArray[np.int32], across: int, down: int
) -> tuple[Ints, NDArray[np.int32], Ints, Ints]:
    """Which Gaussians every tile blends.

    Returns first (T + 1,): where a tile's list begins; items: Gaussians, tile by tile, nearest first; place: of each
    item, its number among all pairs when these are sorted by Gaussian; offsets (N + 1,): where a Gaussian's pairs
    begin.
    """
    first, offsets = np.zeros(across * down + 1, np.int64), np.zeros(len(tiles) + 1, np.int64)
    for i in range(len(tiles)):
        offsets[i + 1] = offsets[i] + (tiles[i, 1] - tiles[i, 0]) * (tiles[i, 3] - tiles[i, 2])
        for y in range(tiles[i, 2], tiles[i, 3]):
            for x in range(tiles[i, 0], tiles[i, 1]):
                first[y * across + x + 1] += 1
    for t in range(across * down):
        first[t + 1] += first[t]
    items, place, at = np.empty(first[-1], np.int32), np.empty(first[-1], np.int64), first.copy()
    for i in order:
        pair = offsets[i]
        for y in range(tiles[i, 2], tiles[i, 3]):
            for x in range(tiles[i, 0], tiles[i, 1]):
                t = y * across + x
                items[at[t]], place[at[t]] = i, pair
                at[t] += 1
                pair += 1
    return first, items, place, offsets


def shared_out(first: Ints, threads: int) -> Ints:
    """The tiles in an order that gives every thread, which takes a stretch of it, about the same work."""
    order = np.argsort(-np.diff(first), kind="stable")
    return np.concatenate([order[k::threads] for k in range(threads)])


@njit(cache=True, fastmath=True, parallel=True)
def blend(
    sequence: Ints,
    first: Ints,
    items: NDArray[np.int32],
    flat: Floats,
    background: Floats,
    picture: Floats,
    clear: Floats,
    used: Ints,
) -> None:
    """Blend every tile front to back over ``background`` (3,).

    flat: see ``project.project``. Out: picture (3, H, W); clear (H, W), the share of the background in every pixel;
    used (T,): how many items a tile took before nothing shone through any more.
    """
    height, width = clear.shape
    kind = picture.dtype.type
    across = (width + 15) // 16
    none, one, two, most, least, far = kind(0), kind(1), kind(2), kind(0.99), kind(1 / 255), kind(0.36)
    part, e2, e3, e4, e5, stop = kind(1 / 32), kind(1 / 2), kind(1 / 6), kind(1 / 24), kind(1 / 120), kind(1e-4)
    for n in prange(len(sequence)):
        tile = sequence[n]
        left, top = (tile % across) * 16, (tile // across) * 16
        state = np.zeros((16, 4, 16), picture.dtype)
        for y in range(16):
            for x in range(16):
                state[y, 0, x] = one
        used[tile] = first[tile + 1] - first[tile]
        for j in range(first[tile], first[tile + 1]):
            i = items[j]
            mx, my = flat[i, 0] - kind(left) - kind(0.5), flat[i, 1] - kind(top) - kind(0.5)
            a, b, c = flat[i, 2] * part, flat[i, 3] * part * two, flat[i, 4] * part
            red, green, blue, opacity = flat[i, 5], flat[i, 6], flat[i, 7], flat[i, 8]
            low, high = max(0, int(np.ceil(my - flat[i, 9]))), min(15, int(np.floor(my + flat[i, 9])))
            for y in range(low, high + 1):
                dy = kind(y) - my
                bdy, cdy = b * dy, c * dy * dy
                for x in range(16):
                    dx = kind(x) - mx
                    t = min((a * dx + bdy) * dx + cdy, far)
                    e = one - t * (one - t * (e2 - t * (e3 - t * (e4 - t * e5))))
                    e = e * e
                    e = e * e
                    e = e * e
                    alpha = min(opacity * e * e, most)
                    alpha = alpha if alpha >= least else none
                    weight = alpha * state[y, 0, x]
                    state[y, 0, x] -= weight
                    state[y, 1, x] += weight * red
                    state[y, 2, x] += weight * green
                    state[y, 3, x] += weight * blue
            if (j & 15) == 15:
                brightest = none
                for y in range(16):
                    for x in range(16):
                        brightest = max(brightest, state[y, 0, x])
                if brightest < stop:
                    used[tile] = j + 1 - first[tile]
                    break
        for y in range(min(16, height - top)):
            for x in range(min(16, width - left)):
                rest = state[y, 0, x]
                clear[top + y, left + x] = rest
                for k in range(3):
                    picture[k, top + y, left + x] = state[y, 1 + k, x] + rest * background[k]


@njit(cache=True, fastmath=True, parallel=True)
def blend_back(
    sequence: Ints,
    first: Ints,
    items: NDArray[np.int32],
    place: Ints,
    flat: Floats,
    picture: Floats,
    gradient: Floats,
    error: Floats,
    used: Ints,
    pairs: Floats,
) -> None:
    """Gradients of every (Gaussian, tile) from ``gradient`` (3, H, W), that of the blended ``picture``.

    The picture is blended once more front to back: what lies behind a Gaussian is the rest of the whole. pairs (P, 10),
    out: gradient of red, green, blue; then moments of v = alpha times its gradient over (dx, dy), the way from the
    centre: v, v dx, v dy, v dx dx, v dx dy, v dy dy; then ``error`` (H, W) by the Gaussian's share in the pixels.
    """
    height, width = error.shape
    kind = picture.dtype.type
    across = (width + 15) // 16
    none, one, two, most, least, far = kind(0), kind(1), kind(2), kind(0.99), kind(1 / 255), kind(0.36)
    part, e2, e3, e4, e5 = kind(1 / 32), kind(1 / 2), kind(1 / 6), kind(1 / 24), kind(1 / 120)
    for n in prange(len(sequence)):
        tile = sequence[n]
        left, top = (tile % across) * 16, (tile // across) * 16
        state, sums = np.zeros((16, 6, 16), picture.dtype), np.zeros((7, 16), picture.dtype)
        for y in range(min(16, height - top)):
            for x in range(min(16, width - left)):
                whole = none
                for k in range(3):
                    state[y, 2 + k, x] = gradient[k, top + y, left + x]
                    whole += gradient[k, top + y, left + x] * picture[k, top + y, left + x]
                state[y, 0, x], state[y, 1, x], state[y, 5, x] = one, whole, error[top + y, left + x]
        for j in range(first[tile], first[tile] + used[tile]):
            i = items[j]
            mx, my = flat[i, 0] - kind(left) - kind(0.5), flat[i, 1] - kind(top) - kind(0.5)
            a, b, c = flat[i, 2] * part, flat[i, 3] * part * two, flat[i, 4] * part
            red, green, blue, opacity = flat[i, 5], flat[i, 6], flat[i, 7], flat[i, 8]
            low, high = max(0, int(np.ceil(my - flat[i, 9]))), min(15, int(np.floor(my + flat[i, 9])))
            sums[:] = none
            for y in range(low, high + 1):
                dy = kind(y) - my
                bdy, cdy = b * dy, c * dy * dy
                for x in range(16):
                    dx = kind(x) - mx
                    t = min((a * dx + bdy) * dx + cdy, far)
                    e = one - t * (one - t * (e2 - t * (e3 - t * (e4 - t * e5))))
                    e = e * e
                    e = e * e
                    e = e * e
                    raw = opacity * e * e
                    alpha = min(raw, most)
                    alpha = alpha if alpha >= least else none
                    weight = alpha * state[y, 0, x]
                    shine = state[y, 2, x] * red + state[y, 3, x] * green + state[y, 4, x] * blue
                    behind = state[y, 1, x] - weight * shine
                    state[y, 1, x] = behind
                    state[y, 0, x] -= weight
                    v = weight * shine - alpha * behind / (one - alpha)
                    v = v if raw < most else none
                    sums[0, x] += weight * state[y, 2, x]
                    sums[1, x] += weight * state[y, 3, x]
                    sums[2, x] += weight * state[y, 4, x]
                    sums[3, x] += weight * state[y, 5, x]
                    sums[4, x] += v
                    sums[5, x] += v * dy
                    sums[6, x] += v * dy * dy
            _gathered(sums, mx, pairs[place[j]])
        for j in range(first[tile] + used[tile], first[tile + 1]):  # hidden by what is before them
            pairs[place[j]] = none


@njit(cache=True, fastmath=True, inline="always")
def _gathered(sums: Floats, mx: float, out: Floats) -> None:
    """One pair's row from its sums over the columns of a tile."""
    kind = sums.dtype.type
    red, green, blue, error = kind(0), kind(0), kind(0), kind(0)
    v, vx, vy, vxx, vxy, vyy = kind(0), kind(0), kind(0), kind(0), kind(0), kind(0)
    for x in range(16):
        dx = kind(x) - mx
        red, green, blue, error = red + sums[0, x], green + sums[1, x], blue + sums[2, x], error + sums[3, x]
        v, vx, vxx = v + sums[4, x], vx + sums[4, x] * dx, vxx + sums[4, x] * dx * dx
        vy, vxy, vyy = vy + sums[5, x], vxy + sums[5, x] * dx, vyy + sums[6, x]
    out[0], out[1], out[2], out[3], out[4] = red, green, blue, v, vx
    out[5], out[6], out[7], out[8], out[9] = vy, vxx, vxy, vyy, error
