"""How alike one picture's descriptors are to another's along each pixel's line of sight: compiled, with its gradient.

The plane sweep of Collins (CVPR 1996) with the group-wise correlation of Guo et al. (CVPR 2019). Nothing is stored of
the warped descriptors: every sample is compared where it is read, so memory does not grow with their width.

Two views are related by ``turn`` (3, 3) and ``shift`` (3,) in pixels: the place (u, v) of the first at inverse depth q
lies at turn @ (u, v, 1) + q * shift of the second, homogeneous; places count from the corner, pixel centres at i + 0.5.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from ..camera import Camera

FloatArray = NDArray[np.float32]


def relation(first: Camera, second: Camera) -> tuple[FloatArray, FloatArray]:
    """(turn, shift) from the pixels of ``first`` to those of ``second``, for inverse z-depth in ``first``."""
    between = second.camera_from_world @ first.world_from_camera
    k = np.array([[second.fx, 0, second.cx], [0, second.fy, second.cy], [0, 0, 1]])
    back = np.array([[1 / first.fx, 0, -first.cx / first.fx], [0, 1 / first.fy, -first.cy / first.fy], [0, 0, 1]])
    return (k @ between[:3, :3] @ back).astype(np.float32), (k @ between[:3, 3]).astype(np.float32)


@numba.njit(cache=True, fastmath=True, inline="always")
def _place(turn: Any, shift: Any, x: int, y: int, q: float, height: int, width: int) -> Any:
    """Whether the sample lies inside, its top left pixel, and the weights right and below."""
    u, v = x + 0.5, y + 0.5
    w = turn[2, 0] * u + turn[2, 1] * v + turn[2, 2] + q * shift[2]
    if w < 1e-6:
        return False, 0, 0, 0.0, 0.0
    s = (turn[0, 0] * u + turn[0, 1] * v + turn[0, 2] + q * shift[0]) / w - 0.5
    t = (turn[1, 0] * u + turn[1, 1] * v + turn[1, 2] + q * shift[1]) / w - 0.5
    if not (s >= -0.5 and t >= -0.5 and s <= width - 0.5 and t <= height - 0.5):
        return False, 0, 0, 0.0, 0.0
    s, t = min(max(s, 0.0), width - 1.001), min(max(t, 0.0), height - 1.001)
    i, j = int(s), int(t)
    return True, i, j, np.float32(s - i), np.float32(t - j)


@numba.njit(cache=True, fastmath=True, parallel=True)
def add_likeness(
    first: Any, second: Any, turn: Any, shift: Any, base: Any, step: Any, weight: Any, total: Any, seen: Any
) -> None:
    """Add one view's likeness, times its weight, to ``total`` (h, w, D, G), and its weight to ``seen`` (h, w, D).

    first (h, w, C), second (h', w', C) float32: descriptors; base (h, w): inverse depth of hypothesis 0, the next ones
    ``step`` apart; weight (h, w): how far the view is trusted. Likeness: mean product over each of G groups of
    channels; what falls outside the second picture adds nothing to either.
    """
    h, w, channels = first.shape
    height, width, _ = second.shape
    depths, groups = total.shape[2], total.shape[3]
    size = channels // groups
    for y in numba.prange(h):
        for x in range(w):
            trust = weight[y, x]
            if trust == 0.0:
                continue
            scale = trust / np.float32(size)
            for d in range(depths):
                inside, i, j, fx, fy = _place(turn, shift, x, y, base[y, x] + d * step, height, width)
                if not inside:
                    continue
                seen[y, x, d] += trust
                a, b, c, e = (1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy
                for g in range(groups):
                    likeness = np.float32(0.0)
                    for k in range(g * size, (g + 1) * size):
                        there = (
                            a * second[j, i, k] + b * second[j, i + 1, k]
                            + c * second[j + 1, i, k] + e * second[j + 1, i + 1, k]
                        )  # fmt: skip
                        likeness += first[y, x, k] * there
                    total[y, x, d, g] += scale * likeness


@numba.njit(cache=True, fastmath=True)
def likeness_gradient(
    first: Any, second: Any, turn: Any, shift: Any, base: Any, step: Any, gradient: Any, to_first: Any, to_second: Any
) -> None:
    """Add the gradients with respect to both descriptors, of weight 1, for that of the likeness (h, w, D, G)."""
    h, w, channels = first.shape
    height, width, _ = second.shape
    depths, groups = gradient.shape[2], gradient.shape[3]
    size = channels // groups
    for y in range(h):
        for x in range(w):
            for d in range(depths):
                inside, i, j, fx, fy = _place(turn, shift, x, y, base[y, x] + d * step, height, width)
                if not inside:
                    continue
                a, b, c, e = (1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy
                for g in range(groups):
                    slope = gradient[y, x, d, g] / np.float32(size)
                    for k in range(g * size, (g + 1) * size):
                        there = (
                            a * second[j, i, k] + b * second[j, i + 1, k]
                            + c * second[j + 1, i, k] + e * second[j + 1, i + 1, k]
                        )  # fmt: skip
                        to_first[y, x, k] += slope * there
                        back = slope * first[y, x, k]
                        to_second[j, i, k] += a * back
                        to_second[j, i + 1, k] += b * back
                        to_second[j + 1, i, k] += c * back
                        to_second[j + 1, i + 1, k] += e * back
