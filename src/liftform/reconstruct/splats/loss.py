"""How far a picture is from a photograph: mean absolute difference and structural similarity, with their gradient.

Z. Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity", 2004: Gaussian window of 11
pixels, sigma 1.5, zeros outside.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

_HALF = 5
#: Weights of the window.
WINDOW = np.exp(-0.5 * (np.arange(-_HALF, _HALF + 1) / 1.5) ** 2)
WINDOW /= WINDOW.sum()
STEADY_1, STEADY_2 = 0.01**2, 0.03**2


@njit(cache=True, fastmath=True, parallel=True)
def blur(planes: Floats, window: Floats, beside: Floats, out: Floats) -> None:
    """Planes (M, H, W) under the window, both ways, zeros outside; ``beside`` is room of the same size."""
    count, height, width = planes.shape
    for n in prange(count * height):
        m, y = n // height, n % height
        row, to = planes[m, y], beside[m, y]
        to[:] = 0
        for k in range(-5, 6):
            weight = window[k + 5]
            for x in range(max(0, -k), min(width, width - k)):
                to[x] += weight * row[x + k]
    for n in prange(count * height):
        m, y = n // height, n % height
        to = out[m, y]
        to[:] = 0
        for k in range(max(-5, -y), min(6, height - y)):
            weight = window[k + 5]
            row = beside[m, y + k]
            for x in range(width):
                to[x] += weight * row[x]


@njit(cache=True, fastmath=True, parallel=True)
def _products(picture: Floats, photo: Floats, out: Floats) -> None:
    """Planes (15, H, W): picture, photo, their squares and their product, each of three channels."""
    for y in prange(picture.shape[1]):
        for c in range(3):
            for x in range(picture.shape[2]):
                a, b = picture[c, y, x], photo[c, y, x]
                out[c, y, x], out[3 + c, y, x] = a, b
                out[6 + c, y, x], out[9 + c, y, x], out[12 + c, y, x] = a * a, b * b, a * b


@njit(cache=True, fastmath=True, parallel=True)
def _similar(means: Floats, value: Floats, slopes: Floats) -> None:
    """SSIM of every pixel (3, H, W), and its slopes (9, H, W) over the windowed picture, square and product."""
    kind = value.dtype.type
    one, two, steady_1, steady_2 = kind(1), kind(2), kind(STEADY_1), kind(STEADY_2)
    for y in prange(value.shape[1]):
        for c in range(3):
            for x in range(value.shape[2]):
                a, b = means[c, y, x], means[3 + c, y, x]
                a1, b1 = two * a * b + steady_1, a * a + b * b + steady_1
                a2 = two * (means[12 + c, y, x] - a * b) + steady_2
                b2 = means[6 + c, y, x] - a * a + means[9 + c, y, x] - b * b + steady_2
                s = a1 * a2 / (b1 * b2)
                value[c, y, x] = s
                slopes[c, y, x] = two * (b * (a2 - a1) / (b1 * b2) - a * s * (one / b1 - one / b2))
                slopes[3 + c, y, x] = -s / b2
                slopes[6 + c, y, x] = two * a1 / (b1 * b2)


@njit(cache=True, fastmath=True, parallel=True)
def _gradient(
    picture: Floats, photo: Floats, weight: Floats, slopes: Floats, shares: Floats, out: Floats, error: Floats
) -> None:
    """out (3, H, W): the gradient of shares[0] times the absolute differences less shares[1] times SSIM."""
    kind = picture.dtype.type
    none, two, third, plain, alike = kind(0), kind(2), kind(1 / 3), shares[0], shares[1]
    for y in prange(picture.shape[1]):
        for x in range(picture.shape[2]):
            error[y, x] = none
        for c in range(3):
            for x in range(picture.shape[2]):
                a, b = picture[c, y, x], photo[c, y, x]
                sign = plain if a > b else (-plain if a < b else none)
                bent = slopes[c, y, x] + two * a * slopes[3 + c, y, x] + b * slopes[6 + c, y, x]
                out[c, y, x] = weight[y, x] * sign - alike * bent
                error[y, x] += weight[y, x] * abs(a - b) * third


class Loss:
    """Room for one size of picture; ``share`` of the loss is 1 - SSIM, the rest the mean absolute difference."""

    def __init__(self, height: int, width: int, share: float = 0.2, kind: Any = np.float32) -> None:
        self.share = share
        self._window = WINDOW.astype(kind)
        self._planes, self._beside, self._means = (np.empty((15, height, width), kind) for _ in range(3))
        self._value, self._slopes = np.empty((3, height, width), kind), np.empty((9, height, width), kind)
        self.gradient, self.error = np.empty((3, height, width), kind), np.empty((height, width), kind)

    def __call__(self, picture: Floats, photo: Floats, weight: Floats) -> float:
        """The loss of a picture (3, H, W) before a photo (3, H, W); fills ``gradient`` (3, H, W), that of the loss over
        the picture, and ``error`` (H, W), mean absolute difference. weight (H, W) in [0, 1]: 0 where the photo says
        nothing (it counts for the differences; similarity is taken of all pixels, so give both the same there)."""
        _products(picture, photo, self._planes)
        blur(self._planes, self._window, self._beside, self._means)
        _similar(self._means, self._value, self._slopes)
        blur(self._slopes, self._window, self._beside[:9], self._means[:9])
        each = 1.0 / picture.size
        shares = np.array([(1 - self.share) * each, self.share * each], picture.dtype)
        _gradient(picture, photo, weight, self._means[:9], shares, self.gradient, self.error)
        return float((1 - self.share) * self.error.mean() + self.share * (1 - self._value.mean()))
