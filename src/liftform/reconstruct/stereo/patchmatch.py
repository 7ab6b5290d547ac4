"""The compiled sweeps of PatchMatch with slanted planes, for one view and level; see ``cost`` for planes and costs.

Red-black sweeps (Galliani, Lasinger and Schindler 2015, Gipuma) with adaptive sampling and the weighting of views of Xu
and Tao 2019 (ACMH, ACMM). Every pixel of one colour reads only the other colour and draws its own numbers, so that the
result does not depend on the number of threads. Places are counted from pixel centres here: x = u - 0.5.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from .cost import PRIOR_PX

#: Samples of a patch, along and over all; their distance in pixels.
SIDE = 5
SAMPLES = SIDE * SIDE
STRIDE = 2
_REACH = np.float32(STRIDE * (SIDE // 2))
_EDGE = np.float32(1.001)
_ONE, _HALF, _TWO = np.float32(1), np.float32(0.5), np.float32(2)
#: Most hypotheses from other places that a pixel looks at: 1 own, 8 of neighbours, and hints.
_NEAR = 8
#: Cost of what a view cannot tell.
_BLIND = np.float32(2.0)
#: Variance of grey (of 1) below which a patch says nothing: that of noise.
_PLAIN = np.float32(1e-5)
#: Width of the bilateral weights, grey and pixels.
_GREY = np.float32(0.12)
_SPACE = np.float32(4.0)
#: The geometric error: its share of the cost a pixel, and where it ends.
_GEOMETRY = np.float32(0.12)
_MISSED = np.float32(3.0)
_PRIOR_PX = np.float32(PRIOR_PX)
#: The tangent that a random plane may be slanted by, at most; and the smallest cosine between a plane and its ray.
_SLANT = np.float32(2.0)
_GRAZING = np.float32(0.12)


def _arms() -> tuple[Any, Any]:
    """Where neighbours of the other colour are sought: 4 near V shapes and 4 far strips: dx, dy (8, 11), 0 is none."""
    near = [(0, -1), (-1, -2), (1, -2), (-2, -3), (2, -3), (-3, -4), (3, -4)]
    far = [(0, -d) for d in range(3, 25, 2)]
    across, down = np.zeros((_NEAR, 11), np.int32), np.zeros((_NEAR, 11), np.int32)
    for turn in range(4):
        for arm, places in ((turn, near), (turn + 4, far)):
            for k, (x, y) in enumerate(places):
                for _ in range(turn):
                    x, y = -y, x
                across[arm, k], down[arm, k] = x, y
    return across, down


_ACROSS, _DOWN = _arms()
_OX = np.array([(k % SIDE - SIDE // 2) * STRIDE for k in range(SAMPLES)], np.float32)
_OY = np.array([(k // SIDE - SIDE // 2) * STRIDE for k in range(SAMPLES)], np.float32)


@njit(inline="always", fastmath=True, error_model="numpy", cache=True)
def _draw(seed: Any, index: Any, number: Any) -> Any:
    """A number in [0, 1) that follows from its three arguments (splitmix64)."""
    z = (
        np.uint64(seed)
        + np.uint64(index) * np.uint64(0x9E3779B97F4A7C15)
        + np.uint64(number) * np.uint64(0xD1B54A32D192ED03)
    )
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return np.float32(z >> np.uint64(40)) * np.float32(1.0 / 16777216.0)


@njit(fastmath=True, error_model="numpy", cache=True)
def _patch(grey: Any, mask: Any, x: int, y: int, ref: Any, weight: Any) -> Any:
    """Fill the patch's greys and weights (sum 1); its weighted mean and variance."""
    height, width = grey.shape
    middle = grey[y, x]
    total, mean, square = np.float32(0), np.float32(0), np.float32(0)
    for k in range(SAMPLES):
        i, j = y + int(_OY[k]), x + int(_OX[k])
        ref[k], weight[k] = np.float32(0), np.float32(0)
        if 0 <= i < height and 0 <= j < width and mask[i, j]:
            value = grey[i, j]
            apart = (value - middle) / _GREY
            away = (_OX[k] * _OX[k] + _OY[k] * _OY[k]) / (_SPACE * _SPACE)
            share = np.exp(np.float32(-0.5) * (apart * apart + away))
            ref[k], weight[k] = value, share
            total += share
            mean += share * value
            square += share * value * value
    for k in range(SAMPLES):
        weight[k] /= total
    mean /= total
    return mean, max(square / total - mean * mean, np.float32(0))


@njit(inline="always", fastmath=True, error_model="numpy", cache=True)
def _seen(pair: Any, x: Any, y: Any, w: Any) -> Any:
    """Where (x, y) with inverse depth w lies in the other view: homogeneous."""
    a = pair[0] * x + pair[1] * y + pair[2] + w * pair[9]
    b = pair[3] * x + pair[4] * y + pair[5] + w * pair[10]
    c = pair[6] * x + pair[7] * y + pair[8] + w * pair[11]
    return a, b, c


@njit(fastmath=True, error_model="numpy", cache=True)
def _correlation(
    pixels: Any, start: Any, width: Any, at: Any, slope: Any, ref: Any, weight: Any, mean: Any, var: Any
) -> Any:
    """1 - NCC of the patch with the affinely warped one around ``at`` of the picture that begins at ``start``."""
    x0, y0 = at
    j00, j01, j10, j11 = slope
    s, square, both = np.float32(0), np.float32(0), np.float32(0)
    for k in range(SAMPLES):
        px = x0 + j00 * _OX[k] + j01 * _OY[k]
        py = y0 + j10 * _OX[k] + j11 * _OY[k]
        ix, iy = np.int32(px), np.int32(py)
        fx, fy = px - np.float32(ix), py - np.float32(iy)
        i = np.uint64(start + iy * width + ix)
        up = pixels[i] + fx * (pixels[i + np.uint64(1)] - pixels[i])
        i += np.uint64(width)
        low = pixels[i] + fx * (pixels[i + np.uint64(1)] - pixels[i])
        value = up + fy * (low - up)
        share = weight[k] * value
        s += share
        square += share * value
        both += share * ref[k]
    spread = max(square - s * s, np.float32(0))
    return np.float32(1) - (both - mean * s) / np.sqrt((var + _PLAIN) * (spread + _PLAIN))


@njit(fastmath=True, error_model="numpy", cache=True)
def _view_cost(
    others: Any, j: int, x: Any, y: Any, plane: Any, ref: Any, weight: Any, mean: Any, var: Any, words: Any
) -> Any:
    """Cost of a plane (w, wx, wy) in view j."""
    pixels, alive, _, start, size, pairs, _, features, fstart, fsize, share = others
    pair = pairs[j]
    w, wx, wy = plane
    a, b, c = _seen(pair, x, y, w)
    if c <= np.float32(1e-9):
        return _BLIND
    turn = np.float32(1) / c
    px, py = a * turn, b * turn
    cx, cy = pair[6] + wx * pair[11], pair[7] + wy * pair[11]
    j00, j01 = (pair[0] + wx * pair[9] - px * cx) * turn, (pair[1] + wy * pair[9] - px * cy) * turn
    j10, j11 = (pair[3] + wx * pair[10] - py * cx) * turn, (pair[4] + wy * pair[10] - py * cy) * turn
    width, height = size[j, 0], size[j, 1]
    ex, ey = (abs(j00) + abs(j01)) * _REACH, (abs(j10) + abs(j11)) * _REACH
    if not (px >= ex and py >= ey and px + ex < np.float32(width) - _EDGE and py + ey < np.float32(height) - _EDGE):
        return _BLIND
    if alive[start[j] + int(py + _HALF) * width + int(px + _HALF)] == 0:
        return _BLIND
    cost = _correlation(pixels, start[j], width, (px, py), (j00, j01, j10, j11), ref, weight, mean, var)
    if share > 0:
        away = _words_apart(features, fstart[j], fsize[j], px, py, width, height, words)
        cost += share * (away - cost)
    return cost


@njit(fastmath=True, error_model="numpy", cache=True)
def _words_apart(features: Any, start: Any, size: Any, px: Any, py: Any, width: Any, height: Any, words: Any) -> Any:
    """1 - <f, f'>: the descriptor ``words`` and that at (px, py) of a picture (width, height)."""
    fx = (px + _HALF) * np.float32(size[0]) / np.float32(width) - _HALF
    fy = (py + _HALF) * np.float32(size[1]) / np.float32(height) - _HALF
    fx = min(max(fx, np.float32(0)), np.float32(size[0]) - _EDGE)
    fy = min(max(fy, np.float32(0)), np.float32(size[1]) - _EDGE)
    ix, iy = int(fx), int(fy)
    fx, fy = fx - np.float32(ix), fy - np.float32(iy)
    i = start + iy * size[0] + ix
    p, q, r, s = (_ONE - fx) * (_ONE - fy), fx * (_ONE - fy), (_ONE - fx) * fy, fx * fy
    total = np.float32(0)
    for k in range(len(words)):
        low = r * features[i + size[0], k] + s * features[i + size[0] + 1, k]
        total += words[k] * (p * features[i, k] + q * features[i + 1, k] + low)
    return np.float32(1) - total


@njit(fastmath=True, error_model="numpy", cache=True)
def _missed(others: Any, j: int, x: Any, y: Any, w: Any) -> Any:
    """By how many pixels a point misses when it is sent to view j and back by that view's own depth, at most 3."""
    _, _, planes, start, size, pairs, back, _, _, _, _ = others
    a, b, c = _seen(pairs[j], x, y, w)
    if c <= np.float32(1e-9):
        return _MISSED
    px, py = a / c, b / c
    width, height = size[j, 0], size[j, 1]
    if not (px > -_HALF and py > -_HALF and px < np.float32(width) - _HALF and py < np.float32(height) - _HALF):
        return _MISSED
    ix, iy = int(px + _HALF), int(py + _HALF)
    i = start[j] + iy * width + ix
    there = planes[i, 0]
    if there <= 0:
        return _MISSED
    there += planes[i, 1] * (px - np.float32(ix)) + planes[i, 2] * (py - np.float32(iy))
    a, b, c = _seen(back[j], px, py, there)
    if c <= np.float32(1e-9):
        return _MISSED
    dx, dy = a / c - x, b / c - y
    return min(np.sqrt(dx * dx + dy * dy), _MISSED)


@njit(fastmath=True, error_model="numpy", cache=True)
def _step(pairs: Any, j: int, x: Any, y: Any, w: Any) -> Any:
    """Change of inverse depth that moves a point by one pixel in view j."""
    a, b, c = _seen(pairs[j], x, y, w)
    if c <= np.float32(1e-9):
        return np.float32(0)
    dx, dy = (pairs[j, 9] - a / c * pairs[j, 11]) / c, (pairs[j, 10] - b / c * pairs[j, 11]) / c
    return np.float32(1) / max(np.sqrt(dx * dx + dy * dy), np.float32(1e-12))


@njit(fastmath=True, error_model="numpy", cache=True)
def _weigh(costs: Any, count: int, views: int, step: int, favour: Any, out: Any) -> None:
    """Weights of views (sum 1) from the costs (count, views) of all that is at hand (ACMH, equations 4 to 8)."""
    good_below = np.float32(0.8) * np.exp(np.float32(-step * step) / np.float32(90))
    total = np.float32(0)
    for j in range(views):
        good, bad, sure = 0, 0, np.float32(0)
        for i in range(count):
            m = costs[i, j]
            if m < good_below:
                good += 1
                sure += np.exp(-m * m / np.float32(0.18))
            elif m > np.float32(1.2):
                bad += 1
        out[j] = favour[j] * sure / np.float32(good) if good >= 2 and bad < 3 else np.float32(0)
        total += out[j]
    if total <= 0:
        total = _best_two(costs, count, views, out)
    for j in range(views):
        out[j] /= total


@njit(fastmath=True, error_model="numpy", cache=True)
def _best_two(costs: Any, count: int, views: int, out: Any) -> Any:
    """Where no view sees well: the two that see the least badly, by weight 1; the sum of weights."""
    chosen = np.float32(0)
    for _ in range(min(2, views)):
        best, least = -1, np.float32(9)
        for j in range(views):
            if out[j] > 0:
                continue
            lowest = np.float32(8)
            for i in range(count):
                lowest = min(lowest, costs[i, j])
            if lowest < least:
                best, least = j, lowest
        out[best] = np.float32(1)
        chosen += np.float32(1)
    return chosen


@njit(fastmath=True, error_model="numpy", cache=True)
def _allowed(plane: Any, x: Any, y: Any, lens: Any, bounds: Any) -> Any:
    """Whether a plane lies within the depths sought and is not seen edge on."""
    w, wx, wy = plane
    if not (bounds[0] <= w <= bounds[1]):
        return False
    fx, fy, cx, cy = lens
    rx, ry = (x - cx) / fx, (y - cy) / fy
    nx, ny = wx * fx, wy * fy
    nz = w - nx * rx - ny * ry
    return w > _GRAZING * np.sqrt((nx * nx + ny * ny + nz * nz) * (rx * rx + ry * ry + np.float32(1)))


@njit(fastmath=True, error_model="numpy", cache=True)
def _tilted(w: Any, nx: Any, ny: Any, x: Any, y: Any, lens: Any) -> Any:
    """The plane at inverse depth w whose normal is (nx, ny, 1) times something, camera frame."""
    fx, fy, cx, cy = lens
    along = nx * (x - cx) / fx + ny * (y - cy) / fy + np.float32(1)
    along = max(along, np.float32(0.2))
    return w, w * nx / (fx * along), w * ny / (fy * along)


@njit(fastmath=True, error_model="numpy", cache=True)
def _slant(plane: Any, x: Any, y: Any, lens: Any) -> Any:
    """(nx, ny) of a plane's normal scaled to (nx, ny, 1)."""
    w, wx, wy = plane
    fx, fy, cx, cy = lens
    nz = w - wx * (x - cx) - wy * (y - cy)
    nz = max(nz, np.float32(0.05) * w)
    return wx * fx / nz, wy * fy / nz


@njit(fastmath=True, error_model="numpy", cache=True)
def _total(others: Any, costs: Any, views: Any, x: Any, y: Any, w: Any, geometric: bool) -> Any:
    """Weighted mean of a plane's costs (V,), with the geometric errors."""
    total = np.float32(0)
    for j in range(len(views)):
        if views[j] > 0:
            m = costs[j]
            if geometric:
                m += _GEOMETRY * _missed(others, j, x, y, w)
            total += views[j] * m
    return total


@njit(fastmath=True, error_model="numpy", cache=True)
def _off_prior(prior: Any, w: Any, pixel: Any) -> Any:
    """What a hypothesis costs more because it lies off a sure proposal (its plane, most cost); pixel: inverse depth a
    pixel."""
    if prior[3] <= 0 or pixel <= 0:
        return np.float32(0)
    return prior[3] * min(abs(w - prior[0]) / (_PRIOR_PX * pixel), np.float32(1))


@njit(fastmath=True, error_model="numpy", cache=True)
def _described(features: Any, x: int, y: int, width: int, height: int, words: Any) -> None:
    """The bilinear descriptor of a pixel of the view itself, from its map (h, w, C)."""
    h, w = features.shape[:2]
    if h < 2 or w < 2:
        return
    fx = min(max((x + 0.5) * w / width - 0.5, 0.0), w - 1.001)
    fy = min(max((y + 0.5) * h / height - 0.5, 0.0), h - 1.001)
    i, j = int(fy), int(fx)
    fx, fy = fx - j, fy - i
    for k in range(len(words)):
        up = features[i, j, k] * (1 - fx) + features[i, j + 1, k] * fx
        low = features[i + 1, j, k] * (1 - fx) + features[i + 1, j + 1, k] * fx
        words[k] = np.float32(up * (1 - fy) + low * fy)


@njit(parallel=True, fastmath=True, error_model="numpy", cache=True)
def start(planes: Any, cost: Any, view: Any, others: Any, guesses: Any, seed: int, sweeps: int) -> None:
    """First planes of a view, into ``planes`` (H, W, 3) and ``cost`` (H, W).

    Of the guesses (K, H, W, 3), w = 0 where there is none, and ``sweeps`` random planes at inverse depths that lie
    evenly between the bounds, the one that the better half of the views likes best.
    """
    grey, mask, lens, bounds, favour, own, _, _ = view
    height, width = grey.shape
    views, channels = len(favour), own.shape[2]
    for y in prange(height):
        ref, weight = np.empty(SAMPLES, np.float32), np.empty(SAMPLES, np.float32)
        costs, words = np.empty(views, np.float32), np.zeros(channels, np.float32)
        for x in range(width):
            planes[y, x, 0], planes[y, x, 1], planes[y, x, 2], cost[y, x] = 0, 0, 0, _BLIND
            if not mask[y, x]:
                continue
            mean, var = _patch(grey, mask, x, y, ref, weight)
            _described(own, x, y, width, height, words)
            index, best = y * width + x, np.float32(9)
            fx, fy = np.float32(x), np.float32(y)
            for k in range(len(guesses) + sweeps):
                if k < len(guesses):
                    g = guesses[k, y, x]
                    plane = (g[0], g[1], g[2])
                else:
                    plane = _random(k - len(guesses), sweeps, fx, fy, lens, bounds, seed, index)
                if not _allowed(plane, fx, fy, lens, bounds):
                    continue
                for j in range(views):
                    costs[j] = _view_cost(others, j, fx, fy, plane, ref, weight, mean, var, words)
                costs.sort()
                half = (views + 1) // 2
                mid = np.float32(0)
                for j in range(half):
                    mid += costs[j]
                mid /= np.float32(half)
                if mid < best:
                    best = mid
                    planes[y, x, 0], planes[y, x, 1], planes[y, x, 2] = plane
            cost[y, x] = min(best, _BLIND)


@njit(fastmath=True, error_model="numpy", cache=True)
def _random(k: int, of: int, x: Any, y: Any, lens: Any, bounds: Any, seed: int, index: int) -> Any:
    """The k-th of ``of`` random planes: inverse depths spread evenly, every second one slanted."""
    w = bounds[0] + (bounds[1] - bounds[0]) * (np.float32(k) + _draw(seed, index, 3 * k)) / np.float32(of)
    slant = _SLANT * np.float32(k % 2) * np.float32(0.5)
    nx = (_TWO * _draw(seed, index, 3 * k + 1) - _ONE) * slant
    ny = (_TWO * _draw(seed, index, 3 * k + 2) - _ONE) * slant
    return _tilted(w, nx, ny, x, y, lens)


@njit(parallel=True, fastmath=True, error_model="numpy", cache=True)
def sweep(
    planes: Any, cost: Any, view: Any, others: Any, hints: Any, colour: int, step: int, draws: Any, seed: int
) -> None:
    """One half sweep: every pixel of a colour tries its neighbours' planes, hints and changes of its own.

    hints (K, H, W, 3): planes to try, w = 0 where there is none. draws: (arms that are looked along, 4 near or
    8, random planes, changed planes, largest change in pixels of disparity, largest change of slant).
    """
    grey, mask, lens, bounds, favour, own, prior, geometric = view
    height, width = grey.shape
    views, channels, most = len(favour), own.shape[2], 1 + _NEAR + len(hints)
    arms, random, changed, far, turn = draws
    for y in prange(height):
        ref, weight = np.empty(SAMPLES, np.float32), np.empty(SAMPLES, np.float32)
        tried, costs = np.empty((most, 3), np.float32), np.empty((most, views), np.float32)
        chosen, again = np.empty(views, np.float32), np.empty(views, np.float32)
        words = np.zeros(channels, np.float32)
        for x in range((y + colour) % 2, width, 2):
            if not mask[y, x]:
                continue
            mean, var = _patch(grey, mask, x, y, ref, weight)
            _described(own, x, y, width, height, words)
            fx, fy = np.float32(x), np.float32(y)
            count = _gather(planes, cost, mask, hints, x, y, lens, bounds, arms, tried)
            if count == 0:
                continue
            for i in range(count):
                plane = (tried[i, 0], tried[i, 1], tried[i, 2])
                for j in range(views):
                    costs[i, j] = _view_cost(others, j, fx, fy, plane, ref, weight, mean, var, words)
            _weigh(costs, count, views, step, favour, chosen)
            best, least = 0, np.float32(99)
            pixel = _pixel(others, chosen, fx, fy, tried[0, 0])
            for i in range(count):
                total = _total(others, costs[i], chosen, fx, fy, tried[i, 0], geometric)
                if len(prior) > 0:
                    total += _off_prior(prior[y, x], tried[i, 0], pixel)
                if total < least:
                    best, least = i, total
            plane = (tried[best, 0], tried[best, 1], tried[best, 2])
            for k in range(random + changed):
                number = 8 * k + 1024 * (2 * step + colour)
                if k < random:
                    new = _redrawn(plane, k, fx, fy, lens, bounds, seed, y * width + x, number)
                else:
                    fade = _HALF ** np.float32(k - random)
                    new = _changed(plane, pixel * far * fade, turn * fade, fx, fy, lens, seed, y * width + x, number)
                if not _allowed(new, fx, fy, lens, bounds):
                    continue
                for j in range(views):
                    if chosen[j] > 0:
                        again[j] = _view_cost(others, j, fx, fy, new, ref, weight, mean, var, words)
                total = _total(others, again, chosen, fx, fy, new[0], geometric)
                if len(prior) > 0:
                    total += _off_prior(prior[y, x], new[0], pixel)
                if total < least:
                    plane, least = new, total
            planes[y, x, 0], planes[y, x, 1], planes[y, x, 2], cost[y, x] = plane[0], plane[1], plane[2], least


@njit(fastmath=True, error_model="numpy", cache=True)
def _pixel(others: Any, chosen: Any, x: Any, y: Any, w: Any) -> Any:
    """Inverse depth that moves a point by a pixel where it moves most, of the views that count."""
    pixel = np.float32(0)
    for j in range(len(chosen)):
        if chosen[j] > 0:
            step = _step(others[5], j, x, y, w)
            if step > 0 and (pixel == 0 or step < pixel):
                pixel = step
    return pixel


@njit(fastmath=True, error_model="numpy", cache=True)
def _gather(
    planes: Any, cost: Any, mask: Any, hints: Any, x: int, y: int, lens: Any, bounds: Any, arms: int, tried: Any
) -> int:
    """Planes to try at a pixel: its own, the best of each of so many arms, the hints; how many."""
    height, width = cost.shape
    fx, fy = np.float32(x), np.float32(y)
    count = 0
    own = (planes[y, x, 0], planes[y, x, 1], planes[y, x, 2])
    if own[0] > 0:
        tried[0, 0], tried[0, 1], tried[0, 2] = own
        count = 1
    for arm in range(arms):
        bi, bj, least = -1, -1, np.float32(1.99)
        for k in range(11):
            dx, dy = _ACROSS[arm, k], _DOWN[arm, k]
            if dx == 0 and dy == 0:
                break
            i, j = y + dy, x + dx
            if 0 <= i < height and 0 <= j < width and mask[i, j] and cost[i, j] < least:
                bi, bj, least = i, j, cost[i, j]
        if bi < 0:
            continue
        w = planes[bi, bj, 0] + planes[bi, bj, 1] * np.float32(x - bj) + planes[bi, bj, 2] * np.float32(y - bi)
        plane = (w, planes[bi, bj, 1], planes[bi, bj, 2])
        if _allowed(plane, fx, fy, lens, bounds):
            tried[count, 0], tried[count, 1], tried[count, 2] = plane
            count += 1
    for k in range(len(hints)):
        plane = (hints[k, y, x, 0], hints[k, y, x, 1], hints[k, y, x, 2])
        if plane[0] > 0 and _allowed(plane, fx, fy, lens, bounds):
            tried[count, 0], tried[count, 1], tried[count, 2] = plane
            count += 1
    return count


@njit(fastmath=True, error_model="numpy", cache=True)
def _redrawn(plane: Any, k: int, x: Any, y: Any, lens: Any, bounds: Any, seed: int, index: int, number: int) -> Any:
    """A new inverse depth (k even), or a new slant (k odd)."""
    nx, ny = _slant(plane, x, y, lens)
    w = plane[0]
    if k % 2 == 0:
        w = bounds[0] + (bounds[1] - bounds[0]) * _draw(seed, index, number)
    else:
        nx = (_TWO * _draw(seed, index, number + 1) - _ONE) * _SLANT
        ny = (_TWO * _draw(seed, index, number + 2) - _ONE) * _SLANT
    return _tilted(w, nx, ny, x, y, lens)


@njit(fastmath=True, error_model="numpy", cache=True)
def _changed(plane: Any, far: Any, turn: Any, x: Any, y: Any, lens: Any, seed: int, index: int, number: int) -> Any:
    """The plane a little nearer or farther, and a little turned."""
    nx, ny = _slant(plane, x, y, lens)
    w = plane[0] + far * (_TWO * _draw(seed, index, number) - _ONE)
    wide = turn * (np.float32(1) + nx * nx + ny * ny)
    nx += wide * (_TWO * _draw(seed, index, number + 1) - _ONE)
    ny += wide * (_TWO * _draw(seed, index, number + 2) - _ONE)
    return _tilted(w, nx, ny, x, y, lens)


@njit(parallel=True, fastmath=True, error_model="numpy", cache=True)
def polish(planes: Any, view: Any, others: Any, refined: Any, cost: Any, reach: Any) -> None:
    """The last fraction of a pixel: a parabola through the photometric costs at ``reach`` pixels of disparity to either
    side, into refined (H, W) inverse depths; cost (H, W): the photometric cost there."""
    grey, mask, _, _, favour, own, _, _ = view
    height, width = grey.shape
    views, channels = len(favour), own.shape[2]
    for y in prange(height):
        ref, weight = np.empty(SAMPLES, np.float32), np.empty(SAMPLES, np.float32)
        costs, chosen = np.empty((3, views), np.float32), np.empty(views, np.float32)
        words = np.zeros(channels, np.float32)
        for x in range(width):
            refined[y, x], cost[y, x] = planes[y, x, 0], _BLIND
            w, wx, wy = planes[y, x, 0], planes[y, x, 1], planes[y, x, 2]
            if not mask[y, x] or w <= 0:
                continue
            mean, var = _patch(grey, mask, x, y, ref, weight)
            _described(own, x, y, width, height, words)
            fx, fy = np.float32(x), np.float32(y)
            for j in range(views):
                chosen[j] = np.float32(1)
            pixel = _pixel(others, chosen, fx, fy, w) * reach
            for i in range(3):
                plane = (w + np.float32(i - 1) * pixel, wx, wy)
                for j in range(views):
                    costs[i, j] = _view_cost(others, j, fx, fy, plane, ref, weight, mean, var, words)
            _weigh(costs, 3, views, 3, favour, chosen)
            below, here, above = np.float32(0), np.float32(0), np.float32(0)
            for j in range(views):
                below += chosen[j] * costs[0, j]
                here += chosen[j] * costs[1, j]
                above += chosen[j] * costs[2, j]
            cost[y, x] = here
            bend = below + above - _TWO * here
            if bend > np.float32(1e-6):
                shift = _HALF * (below - above) / bend
                refined[y, x] = w + pixel * min(max(shift, -_ONE), _ONE)
