"""Compiled loops of the implicit surface: rays through a banded signed distance, their gradients, Adam, regularity.

Units: the longest side of the scene's box is 1; node (i, j, k) of the grid lies at h * (i, j, k). Nodes of the band
around the surface have a row; only they are learned. The opacity between two samples on a ray, f before and g after, is

    alpha = max(0, 1 - sigmoid(s g) / sigmoid(s f))            (NeuS, Wang et al. 2021, eq. 13)

which is unbiased and knows what is hidden. Gradients are written by hand. Loops run in parallel over rays, over
channels or over rows, never onto the same number, so that results do not depend on how many threads there are.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

#: Samples of one ray at most, and transmittance below which a ray ends.
MOST = 256
_DARK = 1e-4
#: Samples with less weight than this have no colour of their own.
_FAINT = 1e-4
#: Nodes along the side of a block that is skipped when no cell of it is in the band (as a power of two).
BLOCK = 2


@numba.njit(cache=True)
def _at(sdf: Any, i: Any, j: Any, k: Any, a: Any, b: Any, c: Any) -> Any:
    """Trilinear value in the cell (i, j, k) at (a, b, c) in [0, 1]^3."""
    v00 = sdf[i, j, k] * (1 - c) + sdf[i, j, k + 1] * c
    v01 = sdf[i, j + 1, k] * (1 - c) + sdf[i, j + 1, k + 1] * c
    v10 = sdf[i + 1, j, k] * (1 - c) + sdf[i + 1, j, k + 1] * c
    v11 = sdf[i + 1, j + 1, k] * (1 - c) + sdf[i + 1, j + 1, k + 1] * c
    return (v00 * (1 - b) + v01 * b) * (1 - a) + (v10 * (1 - b) + v11 * b) * a


@numba.njit(cache=True)
def _sigmoid(x: Any) -> Any:
    if x >= 0:
        return 1.0 / (1.0 + np.exp(-x))
    e = np.exp(x)
    return e / (1.0 + e)


@numba.njit(cache=True)
def _alpha(before: Any, after: Any, s: Any) -> Any:
    if after >= before:
        return 0.0
    return 1.0 - _sigmoid(s * after) / _sigmoid(s * before)


@numba.njit(cache=True)
def _entry(o: Any, d: Any, high: Any) -> Any:
    """Distances at which a ray enters and leaves the box [0, high]."""
    near, far = 0.0, 1e30
    for k in range(3):
        if abs(d[k]) < 1e-12:
            if o[k] < 0 or o[k] > high[k]:
                return 1.0, 0.0
        else:
            a, b = -o[k] / d[k], (high[k] - o[k]) / d[k]
            near, far = max(near, min(a, b)), min(far, max(a, b))
    return near, far


@numba.njit(cache=True)
def _march(o: Any, d: Any, offset: Any, sdf: Any, cells: Any, blocks: Any, h: Any, step: Any, s: Any, out: Any) -> Any:
    """Samples of one ray in the band: out (MOST, 3) gets distance, value, and 1 where the sample before is the one a
    step earlier. Returns how many."""
    nx, ny, nz = sdf.shape
    high = (h * (nx - 1), h * (ny - 1), h * (nz - 1))
    near, far = _entry(o, d, high)
    count, last, light = 0, -2, 1.0
    n = int(np.ceil(near / step - offset))
    side = h * (1 << BLOCK)
    while count < MOST:
        t = (n + offset) * step
        if t >= far:
            break
        x, y, z = (o[0] + t * d[0]) / h, (o[1] + t * d[1]) / h, (o[2] + t * d[2]) / h
        i, j, k = min(max(int(x), 0), nx - 2), min(max(int(y), 0), ny - 2), min(max(int(z), 0), nz - 2)
        if blocks[i >> BLOCK, j >> BLOCK, k >> BLOCK] == 0:
            leave = far
            for axis in range(3):
                if abs(d[axis]) > 1e-12:
                    low = (((i, j, k)[axis]) >> BLOCK) * side
                    wall = low + side if d[axis] > 0 else low
                    leave = min(leave, (wall - o[axis]) / d[axis])
            n = max(n + 1, int(np.ceil(leave / step - offset)))
            continue
        if cells[i, j, k] == 0:
            n += 1
            continue
        f = _at(sdf, i, j, k, x - i, y - j, z - k)
        out[count, 0], out[count, 1], out[count, 2] = t, f, 1.0 if last == n - 1 else 0.0
        count += 1
        if last == n - 1:
            light *= 1 - _alpha(out[count - 2, 1], f, s)
            if light < _DARK:
                break
        last = n
        n += 1
    return count


@numba.njit(cache=True)
def harmonics(x: Any, y: Any, z: Any, out: Any) -> None:
    """Real spherical harmonics of a unit direction, scaled so that the first is 1; as many as ``out`` has places."""
    out[0] = 1.0
    if len(out) >= 4:
        out[1], out[2], out[3] = y, z, x
    if len(out) >= 9:
        out[4], out[5], out[6] = x * y, y * z, 3 * z * z - 1
        out[7], out[8] = x * z, x * x - y * y


@numba.njit(cache=True)
def _color(index: Any, colors: Any, basis: Any, x: Any, y: Any, z: Any, out: Any) -> None:
    """Colour (3,) at node coordinates, seen along the direction of ``basis``."""
    i, j, k = int(x), int(y), int(z)
    a, b, c = x - i, y - j, z - k
    out[:] = 0.0
    size = len(basis)
    for corner in range(8):
        p, q, r = corner >> 2, (corner >> 1) & 1, corner & 1
        row = index[i + p, j + q, k + r]
        if row >= 0:
            w = (a if p else 1 - a) * (b if q else 1 - b) * (c if r else 1 - c)
            for channel in range(3):
                value = 0.0
                for m in range(size):
                    value += colors[row, channel * size + m] * basis[m]
                out[channel] += w * value


@numba.njit(cache=True)
def colors_at(index: Any, colors: Any, points: Any, directions: Any, basis: Any, out: Any) -> None:
    """out (N, 3): colours at node coordinates (N, 3), seen along unit directions (N, 3). basis: room for harmonics.
    Where some corners of a cell are not in the band, the others count alone."""
    nx, ny, nz = index.shape
    for n in range(len(points)):
        harmonics(directions[n, 0], directions[n, 1], directions[n, 2], basis)
        i, j, k = int(points[n, 0]), int(points[n, 1]), int(points[n, 2])
        i, j, k = min(max(i, 0), nx - 2), min(max(j, 0), ny - 2), min(max(k, 0), nz - 2)
        total = 0.0
        for corner in range(8):
            p, q, r = corner >> 2, (corner >> 1) & 1, corner & 1
            if index[i + p, j + q, k + r] >= 0:
                a, b, c = points[n, 0] - i, points[n, 1] - j, points[n, 2] - k
                total += (a if p else 1 - a) * (b if q else 1 - b) * (c if r else 1 - c)
        _color(index, colors, basis, points[n, 0], points[n, 1], points[n, 2], out[n])
        for c in range(3):
            out[n, c] = out[n, c] / total if total > 1e-3 else 0.5


@numba.njit(cache=True)
def _composed(samples: Any, count: Any, o: Any, d: Any, index: Any, colors: Any, basis: Any, h: Any, s: Any, w: Any,
              shade: Any, total: Any) -> Any:  # fmt: skip
    """Weights (MOST,) and colours (MOST, 3) of sections, each ending at a sample; total (5,) gets colour, opacity and
    weighted distance. Returns the light that is left."""
    light = 1.0
    total[:] = 0.0
    for n in range(1, count):
        w[n] = 0.0
        shade[n, :] = 0.0
        if samples[n, 2] == 0.0:
            continue
        alpha = _alpha(samples[n - 1, 1], samples[n, 1], s)
        if alpha <= 0.0:
            continue
        w[n] = light * alpha
        light *= 1 - alpha
        t = 0.5 * (samples[n - 1, 0] + samples[n, 0])
        total[4] += w[n] * t
        if w[n] > _FAINT:
            _color(index, colors, basis, (o[0] + t * d[0]) / h, (o[1] + t * d[1]) / h, (o[2] + t * d[2]) / h, shade[n])
            for c in range(3):
                total[c] += w[n] * shade[n, c]
    total[3] = 1 - light
    return light


@numba.njit(cache=True, parallel=True)
def render(origins: Any, directions: Any, sdf: Any, cells: Any, blocks: Any, index: Any, colors: Any, h: Any, step: Any,
           s: Any, out: Any) -> None:  # fmt: skip
    """out (N, 5) float32: premultiplied colour, opacity, distance times opacity, of rays with unit directions."""
    size = colors.shape[1] // 3
    chunks = (len(origins) + 255) // 256
    for chunk in numba.prange(chunks):
        samples, w, shade = np.empty((MOST, 3)), np.empty(MOST), np.empty((MOST, 3))
        basis, total = np.empty(size), np.empty(5)
        for ray in range(chunk * 256, min((chunk + 1) * 256, len(origins))):
            o, d = origins[ray], directions[ray]
            count = _march(o, d, 0.5, sdf, cells, blocks, h, step, s, samples)
            harmonics(d[0], d[1], d[2], basis)
            _composed(samples, count, o, d, index, colors, basis, h, s, w, shade, total)
            out[ray] = total


@numba.njit(cache=True)
def _loss(total: Any, light: Any, back: Any, target: Any, mask: Any, weights: Any, pull: Any) -> Any:
    """Cost of one ray; pull (4,) gets its derivatives by the colour and by the opacity.

    The colour's distance to ``target`` (premultiplied) counts as a rounded absolute value; the opacity's as a binary
    cross entropy with ``mask``, where that is not negative.
    """
    square = 0.0
    for c in range(3):
        pull[c] = total[c] + light * back[c] - target[c]
        square += pull[c] * pull[c]
    size = np.sqrt(square + 1e-4)
    for c in range(3):
        pull[c] *= weights[0] / size
    cost = weights[0] * (size - 1e-2)
    pull[3] = 0.0
    if mask >= 0:
        opacity = min(max(total[3], 1e-3), 1 - 1e-3)
        cost -= weights[1] * (mask * np.log(opacity) + (1 - mask) * np.log(1 - opacity))
        if opacity == total[3]:
            pull[3] = weights[1] * (opacity - mask) / (opacity * (1 - opacity))
    return cost


@numba.njit(cache=True, parallel=True)
def backward(origins: Any, directions: Any, offsets: Any, back: Any, targets: Any, masks: Any, weights: Any, sdf: Any,
             cells: Any, blocks: Any, index: Any, colors: Any, h: Any, step: Any, s: Any, chunk_rays: Any, points: Any,
             shades: Any, bases: Any, counts: Any, back_pull: Any, costs: Any) -> None:  # fmt: skip
    """Costs (N,) of rays, and what pulls on the grids, as lists that ``scatter`` adds up.

    points (C, L, 4): node coordinates of samples and the derivative by the value there; shades (C, L, 7): node
    coordinates of colours, derivatives by the three channels, number of the ray; counts (C, 2): how many, for each of
    the C chunks of ``chunk_rays`` rays. bases (N, S): harmonics of every ray. back_pull (N, 3): derivative by the
    background's colour.
    """
    size = colors.shape[1] // 3
    for chunk in numba.prange(len(counts)):
        samples, w, shade = np.empty((MOST, 3)), np.empty(MOST), np.empty((MOST, 3))
        total, pull, by_value = np.empty(5), np.empty(4), np.empty(MOST)
        basis = np.empty(size)
        n_points, n_shades = 0, 0
        for ray in range(chunk * chunk_rays, min((chunk + 1) * chunk_rays, len(origins))):
            o, d = origins[ray], directions[ray]
            count = _march(o, d, offsets[ray], sdf, cells, blocks, h, step, s, samples)
            harmonics(d[0], d[1], d[2], basis)
            bases[ray] = basis
            light = _composed(samples, count, o, d, index, colors, basis, h, s, w, shade, total)
            costs[ray] = _loss(total, light, back[ray], targets[ray], masks[ray], weights, pull)
            behind = -light * pull[3]
            for c in range(3):
                back_pull[ray, c] = light * pull[c]
                behind += light * pull[c] * back[ray, c]
            by_value[:count] = 0.0
            for n in range(count - 1, 0, -1):
                if w[n] <= 0.0:
                    continue
                f, g = samples[n - 1, 1], samples[n, 1]
                here = pull[0] * shade[n, 0] + pull[1] * shade[n, 1] + pull[2] * shade[n, 2]
                ratio = _sigmoid(s * g) / _sigmoid(s * f)  # 1 - alpha
                light_before = w[n] / (1 - ratio)
                q = light_before * ratio * here - behind
                by_value[n] -= q * s * _sigmoid(-s * g)
                by_value[n - 1] += q * s * _sigmoid(-s * f)
                behind += w[n] * here
                if w[n] > _FAINT and n_shades < shades.shape[1]:
                    t = 0.5 * (samples[n - 1, 0] + samples[n, 0])
                    for axis in range(3):
                        shades[chunk, n_shades, axis] = (o[axis] + t * d[axis]) / h
                        shades[chunk, n_shades, 3 + axis] = w[n] * pull[axis]
                    shades[chunk, n_shades, 6] = ray
                    n_shades += 1
            for n in range(count):
                if abs(by_value[n]) > 1e-9 and n_points < points.shape[1]:
                    for axis in range(3):
                        points[chunk, n_points, axis] = (o[axis] + samples[n, 0] * d[axis]) / h
                    points[chunk, n_points, 3] = by_value[n]
                    n_points += 1
        counts[chunk, 0], counts[chunk, 1] = n_points, n_shades


@numba.njit(cache=True)
def _scatter_values(points: Any, count: Any, index: Any, factor: Any, out: Any) -> None:
    nx, ny, nz = index.shape
    for n in range(count):
        x, y, z = points[n, 0], points[n, 1], points[n, 2]
        i, j, k = min(int(x), nx - 2), min(int(y), ny - 2), min(int(z), nz - 2)
        a, b, c = x - i, y - j, z - k
        for corner in range(8):
            p, q, r = corner >> 2, (corner >> 1) & 1, corner & 1
            row = index[i + p, j + q, k + r]
            if row >= 0:
                w = (a if p else 1 - a) * (b if q else 1 - b) * (c if r else 1 - c)
                out[row] += np.float32(factor * w * points[n, 3])


@numba.njit(cache=True)
def _scatter_channel(shades: Any, count: Any, bases: Any, index: Any, factor: Any, channel: Any, out: Any,
                     touched: Any) -> None:  # fmt: skip
    size = bases.shape[1]
    nx, ny, nz = index.shape
    for n in range(count):
        x, y, z = shades[n, 0], shades[n, 1], shades[n, 2]
        i, j, k = min(int(x), nx - 2), min(int(y), ny - 2), min(int(z), nz - 2)
        a, b, c = x - i, y - j, z - k
        g, ray = factor * shades[n, 3 + channel], int(shades[n, 6])
        for corner in range(8):
            p, q, r = corner >> 2, (corner >> 1) & 1, corner & 1
            row = index[i + p, j + q, k + r]
            if row >= 0:
                w = g * (a if p else 1 - a) * (b if q else 1 - b) * (c if r else 1 - c)
                for m in range(size):
                    out[row, channel * size + m] += np.float32(w * bases[ray, m])
                if channel == 0:
                    touched[row] = 1


@numba.njit(cache=True, parallel=True)
def scatter(points: Any, shades: Any, counts: Any, bases: Any, index: Any, factor: Any, by_sdf: Any, by_colors: Any,
            touched: Any) -> None:  # fmt: skip
    """Add the lists of ``backward``, times ``factor``, onto by_sdf (R,) and by_colors (R, 3 S); touched (R,) uint8: 1
    for rows whose colour was pulled. Every channel is a task of its own: no two write to one number."""
    for task in numba.prange(4):
        for chunk in range(len(counts)):
            if task == 3:
                _scatter_values(points[chunk], counts[chunk, 0], index, factor, by_sdf)
            else:
                _scatter_channel(shades[chunk], counts[chunk, 1], bases, index, factor, task, by_colors, touched)


@numba.njit(cache=True)
def anchor(points: Any, trust: Any, sdf: Any, index: Any, h: Any, factor: Any, by_sdf: Any) -> Any:
    """Points (N, 3), node coordinates, that lie on the surface: adds factor * trust * d/df of sqrt((f/h)^2 + 0.01) to
    by_sdf, and returns the sum of the costs. Points outside of the band count for nothing."""
    entry = np.empty((1, 4))
    cost = 0.0
    nx, ny, nz = sdf.shape
    for n in range(len(points)):
        x, y, z = points[n, 0], points[n, 1], points[n, 2]
        if x < 0 or y < 0 or z < 0 or x > nx - 1 or y > ny - 1 or z > nz - 1:
            continue
        i, j, k = min(int(x), nx - 2), min(int(y), ny - 2), min(int(z), nz - 2)
        if index[i, j, k] < 0:
            continue
        f = _at(sdf, i, j, k, x - i, y - j, z - k) / h
        size = np.sqrt(f * f + 0.01)
        cost += trust[n] * (size - 0.1)
        entry[0, 0], entry[0, 1], entry[0, 2], entry[0, 3] = x, y, z, trust[n] * f / (size * h)
        _scatter_values(entry, 1, index, factor, by_sdf)
    return cost


@numba.njit(cache=True, parallel=True)
def eikonal_flow(sdf: Any, nodes: Any, h: Any, out: Any) -> Any:
    """out (R, 3): (1 - 1 / |g|) g of the central differences g at every node of the band; returns mean (|g| - 1)^2."""
    _, ny, nz = sdf.shape
    costs = np.zeros(len(nodes), np.float32)
    for row in numba.prange(len(nodes)):
        node = nodes[row]
        i, j, k = node // (ny * nz), (node // nz) % ny, node % nz
        x = (sdf[i + 1, j, k] - sdf[i - 1, j, k]) / (2 * h)
        y = (sdf[i, j + 1, k] - sdf[i, j - 1, k]) / (2 * h)
        z = (sdf[i, j, k + 1] - sdf[i, j, k - 1]) / (2 * h)
        size = np.sqrt(x * x + y * y + z * z) + 1e-6
        scale = 1 - 1 / max(size, 0.1)
        out[row, 0], out[row, 1], out[row, 2] = scale * x, scale * y, scale * z
        costs[row] = (size - 1) ** 2
    return costs.mean()


@numba.njit(cache=True, parallel=True)
def regular(sdf: Any, nodes: Any, index: Any, flow: Any, h: Any, eikonal: Any, smooth: Any, out: Any) -> None:
    """Add to out (R,) the derivatives of eikonal * mean (|g| - 1)^2 + smooth * mean of the squared second differences
    along the axes, over h^2; flow: of ``eikonal_flow``. Nodes of the band lie two nodes or more from the grid's ends.
    """
    _, ny, nz = sdf.shape
    scale = 1.0 / len(nodes)
    for row in numba.prange(len(nodes)):
        node = nodes[row]
        i, j, k = node // (ny * nz), (node // nz) % ny, node % nz
        pull, bend = 0.0, 0.0
        for axis in range(3):
            a, b, c = (1 if axis == 0 else 0), (1 if axis == 1 else 0), (1 if axis == 2 else 0)
            before, after = index[i - a, j - b, k - c], index[i + a, j + b, k + c]
            if before >= 0:
                pull += flow[before, axis]
            if after >= 0:
                pull -= flow[after, axis]
            bend += 6 * sdf[i, j, k]
            bend -= 4 * (sdf[i - a, j - b, k - c] + sdf[i + a, j + b, k + c])
            bend += sdf[i - 2 * a, j - 2 * b, k - 2 * c] + sdf[i + 2 * a, j + 2 * b, k + 2 * c]
        out[row] += np.float32(scale * (eikonal * pull / h + smooth * 2 * bend / (h * h)))


@numba.njit(cache=True, parallel=True)
def adam_sdf(sdf: Any, nodes: Any, by_sdf: Any, m: Any, v: Any, bound: Any, rate: Any, step: Any) -> None:
    """One step of Adam on the band's values, which stay at or above ``bound`` (R,); by_sdf is emptied."""
    ny, nz = sdf.shape[1], sdf.shape[2]
    one, two = 1 - 0.9**step, 1 - 0.99**step
    for row in numba.prange(len(nodes)):
        g = by_sdf[row]
        by_sdf[row] = 0.0
        m[row] = 0.9 * m[row] + 0.1 * g
        v[row] = 0.99 * v[row] + 0.01 * g * g
        node = nodes[row]
        i, j, k = node // (ny * nz), (node // nz) % ny, node % nz
        moved = sdf[i, j, k] - rate * (m[row] / one) / (np.sqrt(v[row] / two) + 1e-12)
        sdf[i, j, k] = max(moved, bound[row])


@numba.njit(cache=True, parallel=True)
def adam_colors(colors: Any, by_colors: Any, touched: Any, m: Any, v: Any, rate: Any, fade: Any) -> None:
    """One step of Adam on the colours of touched rows; others stay as they are. fade: the share of themselves that
    coefficients beyond the first lose. by_colors and touched are emptied."""
    size = colors.shape[1] // 3
    for row in numba.prange(len(colors)):
        if touched[row] == 0:
            continue
        touched[row] = 0
        for c in range(colors.shape[1]):
            g = by_colors[row, c]
            by_colors[row, c] = 0.0
            m[row, c] = 0.9 * m[row, c] + 0.1 * g
            v[row, c] = max(0.99 * v[row, c], g * g)
            moved = colors[row, c] - rate * m[row, c] / (np.sqrt(v[row, c]) + 1e-12)
            colors[row, c] = moved if c % size == 0 else moved * (1 - fade)
