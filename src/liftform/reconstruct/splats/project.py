"""Gaussians of the world to ellipses of a picture (EWA splatting), colours by spherical harmonics, and all gradients.

M. Zwicker, H. Pfister, J. van Baar, M. Gross, "EWA Splatting", 2002; Kerbl et al. 2023. Ellipses are widened by 0.3
square pixels, as every public viewer does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from ...camera import Camera
from .layout import HARMONICS, LOGIT, MEAN, SCALE, TURN

Floats = NDArray[np.floating[Any]]

#: Square pixels added to both axes of every ellipse.
WIDER = 0.3
#: Contributions below this are left out, as in every public viewer.
FAINT = 1.0 / 255.0
#: The slope of the projection is taken at most this far outside the picture, as a share of half the view.
BEYOND = 1.3

#: Real spherical harmonics: sqrt(1 / 4 pi); sqrt(3 / 4 pi); sqrt(15 / 4 pi), sqrt(5 / 16 pi), sqrt(15 / 16 pi).
C0 = 0.28209479177387814
C1 = 0.4886025119029199
C2A, C2B, C2C = 1.0925484305920792, 0.31539156525252005, 0.5462742152960396


def camera_numbers(camera: Camera, near: float) -> NDArray[np.float64]:
    """A camera as the 24 numbers that the kernels read: camera_from_world (3, 4), fx, fy, cx, cy, the limits of x / z
    and y / z (low, high each), the camera's centre (3,) and the nearest z-depth that is drawn."""
    wide, high = BEYOND * camera.width / 2, BEYOND * camera.height / 2
    middle = (camera.width / 2 - camera.cx, camera.height / 2 - camera.cy)
    limits = [
        (middle[0] - wide) / camera.fx,
        (middle[0] + wide) / camera.fx,
        (middle[1] - high) / camera.fy,
        (middle[1] + high) / camera.fy,
    ]
    rest = [camera.fx, camera.fy, camera.cx, camera.cy, *limits, *camera.position, near]
    return np.concatenate([camera.camera_from_world[:3].ravel(), rest])


@njit(cache=True)
def turned(w: float, x: float, y: float, z: float) -> Floats:
    """Rotation (3, 3) of a quaternion of any length."""
    s = 2.0 / (w * w + x * x + y * y + z * z + 1e-30)
    turn = np.empty((3, 3))
    turn[0, 0], turn[0, 1], turn[0, 2] = 1 - s * (y * y + z * z), s * (x * y - w * z), s * (x * z + w * y)
    turn[1, 0], turn[1, 1], turn[1, 2] = s * (x * y + w * z), 1 - s * (x * x + z * z), s * (y * z - w * x)
    turn[2, 0], turn[2, 1], turn[2, 2] = s * (x * z - w * y), s * (y * z + w * x), 1 - s * (x * x + y * y)
    return turn


@njit(cache=True)
def harmonic(degree: int, x: float, y: float, z: float, basis: Floats) -> None:
    """The real harmonics (up to 9) of a unit direction, in the order and with the signs of Kerbl et al."""
    basis[0] = C0
    if degree > 0:
        basis[1], basis[2], basis[3] = -C1 * y, C1 * z, -C1 * x
    if degree > 1:
        basis[4], basis[5] = C2A * x * y, -C2A * y * z
        basis[6] = C2B * (2 * z * z - x * x - y * y)
        basis[7], basis[8] = -C2A * x * z, C2C * (x * x - y * y)


@njit(cache=True)
def _slopes(degree: int, x: float, y: float, z: float, along: Floats) -> Floats:
    """Gradient (3,) over the direction of the sum of harmonics weighted by ``along`` (9,)."""
    out = np.zeros(3)
    if degree > 0:
        out[0], out[1], out[2] = -C1 * along[3], -C1 * along[1], C1 * along[2]
    if degree > 1:
        out[0] += C2A * (y * along[4] - z * along[7]) - 2 * C2B * x * along[6] + 2 * C2C * x * along[8]
        out[1] += C2A * (x * along[4] - z * along[5]) - 2 * C2B * y * along[6] - 2 * C2C * y * along[8]
        out[2] += -C2A * (y * along[5] + x * along[7]) + 4 * C2B * z * along[6]
    return out


@njit(cache=True)
def _spread(row: Floats, cam: Floats, x: float, y: float, z: float, slope: Floats, shape: Floats) -> None:
    """slope (2, 3): of pixels over world places at a camera-frame place; shape (3, 3): rotation times scales."""
    fx, fy = cam[12], cam[13]
    lx, ly = min(max(x / z, cam[16]), cam[17]), min(max(y / z, cam[18]), cam[19])
    for k in range(3):
        slope[0, k] = (fx * cam[k] - fx * lx * cam[8 + k]) / z
        slope[1, k] = (fy * cam[4 + k] - fy * ly * cam[8 + k]) / z
    turn = turned(row[TURN], row[TURN + 1], row[TURN + 2], row[TURN + 3])
    for k in range(3):
        size = np.exp(row[SCALE + k])
        for i in range(3):
            shape[i, k] = turn[i, k] * size


@njit(cache=True)
def _in_camera(row: Floats, cam: Floats) -> tuple[float, float, float]:
    a, b, c = row[MEAN], row[MEAN + 1], row[MEAN + 2]
    return (
        cam[0] * a + cam[1] * b + cam[2] * c + cam[3],
        cam[4] * a + cam[5] * b + cam[6] * c + cam[7],
        cam[8] * a + cam[9] * b + cam[10] * c + cam[11],
    )


@njit(cache=True, parallel=True)
def project(
    table: Floats, degree: int, cam: Floats, width: int, height: int, flat: Floats, tiles: NDArray[np.int32], side: int
) -> None:
    """Every Gaussian as ``cam`` sees it.

    flat (N, 12), out: centre x, y in pixels; inverse covariance xx, xy, yy; red, green, blue; opacity; half height of
    what is drawn, pixels; z-depth; a free place. tiles (N, 4) int32, out: columns [0, 1) and rows [2, 3) of squares of
    ``side`` pixels that it touches, none where it is not seen.
    """
    kind = flat.dtype.type
    for i in prange(len(table)):
        tiles[i] = 0
        row = table[i]
        x, y, z = _in_camera(row, cam)
        opacity = 1.0 / (1.0 + np.exp(-row[LOGIT]))
        if z <= cam[23] or opacity <= FAINT:
            continue
        slope, shape = np.empty((2, 3)), np.empty((3, 3))
        _spread(row, cam, x, y, z, slope, shape)
        xx, xy, yy = WIDER, 0.0, WIDER
        for k in range(3):
            u = slope[0, 0] * shape[0, k] + slope[0, 1] * shape[1, k] + slope[0, 2] * shape[2, k]
            v = slope[1, 0] * shape[0, k] + slope[1, 1] * shape[1, k] + slope[1, 2] * shape[2, k]
            xx, xy, yy = xx + u * u, xy + u * v, yy + v * v
        reach = 2.0 * np.log(opacity / FAINT)
        wide, high = np.sqrt(reach * xx), np.sqrt(reach * yy)
        u, v = cam[12] * x / z + cam[14], cam[13] * y / z + cam[15]
        if not (u + wide > 0 and u - wide < width and v + high > 0 and v - high < height):
            continue
        tiles[i, 0], tiles[i, 1] = (
            max(0, int((u - wide) // side)),
            min((width - 1) // side, int((u + wide) // side)) + 1,
        )
        tiles[i, 2], tiles[i, 3] = (
            max(0, int((v - high) // side)),
            min((height - 1) // side, int((v + high) // side)) + 1,
        )
        det = xx * yy - xy * xy
        flat[i, 0], flat[i, 1] = kind(u), kind(v)
        flat[i, 2], flat[i, 3], flat[i, 4] = kind(yy / det), kind(-xy / det), kind(xx / det)
        flat[i, 8], flat[i, 9], flat[i, 10] = kind(opacity), kind(high), kind(z)
        a, b, c = row[MEAN] - cam[20], row[MEAN + 1] - cam[21], row[MEAN + 2] - cam[22]
        far = np.sqrt(a * a + b * b + c * c)
        basis = np.empty(9)
        harmonic(degree, a / far, b / far, c / far, basis)
        for k in range(3):
            value = 0.5
            for n in range((degree + 1) ** 2):
                value += basis[n] * row[HARMONICS + 3 * n + k]
            flat[i, 5 + k] = kind(max(value, 0.0))


@njit(cache=True)
def _harmonics_back(row: Floats, degree: int, cam: Floats, flat: Floats, seen: Floats, out: Floats) -> None:
    """Gradients of harmonics and, through the direction of sight, of the mean."""
    a, b, c = row[MEAN] - cam[20], row[MEAN + 1] - cam[21], row[MEAN + 2] - cam[22]
    far = np.sqrt(a * a + b * b + c * c)
    a, b, c = a / far, b / far, c / far
    basis, along = np.zeros(9), np.zeros(9)
    harmonic(degree, a, b, c, basis)
    for k in range(3):
        if flat[5 + k] <= 0:  # darker than black: what is cut off has no gradient
            continue
        for n in range((degree + 1) ** 2):
            out[HARMONICS + 3 * n + k] = basis[n] * seen[k]
            along[n] += row[HARMONICS + 3 * n + k] * seen[k]
    if degree > 0:
        turn = _slopes(degree, a, b, c, along)
        radial = turn[0] * a + turn[1] * b + turn[2] * c
        out[MEAN] += (turn[0] - radial * a) / far
        out[MEAN + 1] += (turn[1] - radial * b) / far
        out[MEAN + 2] += (turn[2] - radial * c) / far


@njit(cache=True)
def _turn_back(w: float, x: float, y: float, z: float, g: Floats, out: Floats) -> None:
    """Gradient of a quaternion of any length from that of its rotation (3, 3)."""
    size = np.sqrt(w * w + x * x + y * y + z * z) + 1e-30
    w, x, y, z = w / size, x / size, y / size, z / size
    q = np.empty(4)
    q[0] = 2 * (x * (g[2, 1] - g[1, 2]) + y * (g[0, 2] - g[2, 0]) + z * (g[1, 0] - g[0, 1]))
    q[1] = 2 * (y * (g[0, 1] + g[1, 0]) + z * (g[0, 2] + g[2, 0]) + w * (g[2, 1] - g[1, 2])) - 4 * x * (
        g[1, 1] + g[2, 2]
    )
    q[2] = 2 * (x * (g[0, 1] + g[1, 0]) + z * (g[1, 2] + g[2, 1]) + w * (g[0, 2] - g[2, 0])) - 4 * y * (
        g[0, 0] + g[2, 2]
    )
    q[3] = 2 * (x * (g[0, 2] + g[2, 0]) + y * (g[1, 2] + g[2, 1]) + w * (g[1, 0] - g[0, 1])) - 4 * z * (
        g[0, 0] + g[1, 1]
    )
    radial = q[0] * w + q[1] * x + q[2] * y + q[3] * z
    out[TURN], out[TURN + 1] = (q[0] - radial * w) / size, (q[1] - radial * x) / size
    out[TURN + 2], out[TURN + 3] = (q[2] - radial * y) / size, (q[3] - radial * z) / size


@njit(cache=True)
def _shape_back(row: Floats, cam: Floats, flat: Floats, sums: Floats, out: Floats) -> None:
    """Gradients of mean, scales and quaternion from those of centre and covariance."""
    x, y, z = _in_camera(row, cam)
    fx, fy = cam[12], cam[13]
    slope, shape = np.empty((2, 3)), np.empty((3, 3))
    _spread(row, cam, x, y, z, slope, shape)
    a, b, c = float(flat[2]), float(flat[3]), float(flat[4])
    # Of the covariance: K V K / 2 with K its inverse and V the second moments of alpha's gradient; and twice that
    # times slope @ shape is the gradient of slope @ shape.
    p, q, r, s = (
        a * sums[6] + b * sums[7],
        a * sums[7] + b * sums[8],
        b * sums[6] + c * sums[7],
        b * sums[7] + c * sums[8],
    )
    gxx, gxy, gyy = p * a + q * b, p * b + q * c, r * b + s * c
    d_slope, d_shape = np.zeros((2, 3)), np.empty((3, 3))
    for k in range(3):
        u = slope[0, 0] * shape[0, k] + slope[0, 1] * shape[1, k] + slope[0, 2] * shape[2, k]
        v = slope[1, 0] * shape[0, k] + slope[1, 1] * shape[1, k] + slope[1, 2] * shape[2, k]
        du, dv = gxx * u + gxy * v, gxy * u + gyy * v
        for i in range(3):
            d_shape[i, k] = slope[0, i] * du + slope[1, i] * dv
            d_slope[0, i] += du * shape[i, k]
            d_slope[1, i] += dv * shape[i, k]
    for k in range(3):
        size, total = np.exp(row[SCALE + k]), 0.0
        for i in range(3):
            total += d_shape[i, k] * shape[i, k]
            d_shape[i, k] *= size
        out[SCALE + k] = total
    _turn_back(row[TURN], row[TURN + 1], row[TURN + 2], row[TURN + 3], d_shape, out)
    gu, gv = a * sums[4] + b * sums[5], b * sums[4] + c * sums[5]
    dx, dy = gu * fx / z, gv * fy / z
    dz = -(gu * fx * x + gv * fy * y) / (z * z)
    inside_x, inside_y = cam[16] < x / z < cam[17], cam[18] < y / z < cam[19]
    lx, ly = min(max(x / z, cam[16]), cam[17]), min(max(y / z, cam[18]), cam[19])
    for k in range(3):
        across, down, ahead = cam[k], cam[4 + k], cam[8 + k]
        dz -= (d_slope[0, k] * fx * (across - lx * ahead) + d_slope[1, k] * fy * (down - ly * ahead)) / (z * z)
        if inside_x:
            dx -= d_slope[0, k] * fx * ahead / (z * z)
            dz += d_slope[0, k] * fx * ahead * lx / (z * z)
        if inside_y:
            dy -= d_slope[1, k] * fy * ahead / (z * z)
            dz += d_slope[1, k] * fy * ahead * ly / (z * z)
    for k in range(3):
        out[MEAN + k] += cam[k] * dx + cam[4 + k] * dy + cam[8 + k] * dz


@njit(cache=True, parallel=True)
def project_back(
    table: Floats,
    degree: int,
    cam: Floats,
    flat: Floats,
    offsets: NDArray[np.int64],
    pairs: Floats,
    gradients: Floats,
    scores: Floats,
) -> None:
    """Gradients (N, columns) of the table, out, from what every tile gathered.

    pairs (P, 10): see ``raster.blend_back``; those of Gaussian i are [offsets[i], offsets[i + 1]), summed in that
    order. scores (N,), out: the error of the pixels that the Gaussian paints, by its share in them.
    """
    kind = gradients.dtype.type
    for i in prange(len(table)):
        scores[i] = 0
        for n in range(gradients.shape[1]):
            gradients[i, n] = 0
        if offsets[i] == offsets[i + 1]:
            continue
        sums = np.zeros(10)
        for p in range(offsets[i], offsets[i + 1]):
            for k in range(10):
                sums[k] += pairs[p, k]
        out = np.zeros(gradients.shape[1])
        _harmonics_back(table[i], degree, cam, flat[i], sums, out)
        _shape_back(table[i], cam, flat[i], sums, out)
        out[LOGIT] = sums[3] * (1.0 - flat[i, 8])
        for n in range(gradients.shape[1]):
            gradients[i, n] = kind(out[n])
        scores[i] = kind(sums[9])
