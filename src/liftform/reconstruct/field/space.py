"""How rays run through a field's grid: a box, a frustum to infinity, or a cube with all the world contracted around it.

In each of the three a straight ray is one or several straight pieces of the grid: the frustum is a projective map
(normalised device coordinates: Mildenhall et al., NeRF, ECCV 2020), the contraction a projective map on each side of
the cube (Reiser et al., MERF, SIGGRAPH 2023).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..rays import Extent

Floats = NDArray[np.float64]

BOX, CONTRACTED, FRUSTUM = 0, 1, 2
KINDS = ("box", "contracted", "frustum")
#: Pieces of one ray at most: a contracted one crosses the cube and each border between its six outer parts once.
MOST_PIECES = 12


@dataclass(frozen=True)
class Space:
    """kind: one of KINDS. frame_from_world (4, 4) float64, affine: its frame has the grid in [0, 1]^3 (box), the
    inner cube as [-1, 1]^3 (contracted), or a camera's view with tangents 1 to all sides and near distance 1 (frustum).
    """

    kind: str
    frame_from_world: Floats

    @property
    def code(self) -> int:
        """The kind as a number for kernels."""
        return KINDS.index(self.kind)

    def in_frame(self, origins: Any, directions: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Rays of the world (N, 3), (N, 3) in the frame; distances along them stay what they are."""
        turn, shift = self.frame_from_world[:3, :3], self.frame_from_world[:3, 3]
        moved = np.asarray(origins, np.float64) @ turn.T + shift
        return moved.astype(np.float32), (np.asarray(directions, np.float64) @ turn.T).astype(np.float32)

    def unit_from_world(self, points: Floats) -> Floats:
        """Where points (N, 3) of the world lie in the whole grid, [0, 1]^3; outside it for what it does not hold."""
        p = points @ self.frame_from_world[:3, :3].T + self.frame_from_world[:3, 3]
        if self.kind == "box":
            return p
        if self.kind == "frustum":
            z = np.where(p[:, 2:] > 1e-9, p[:, 2:], np.nan)
            return 0.5 + 0.5 * np.concatenate([p[:, :2] / z, 1 - 2 / z], 1)
        most = np.abs(p).max(1, keepdims=True)
        axis = np.abs(p) == most
        outer = np.where(axis, np.sign(p) * (2 - 1 / np.maximum(most, 1)), p / np.maximum(most, 1))
        return (np.where(most > 1, outer, p) + 2) / 4

    def world_from_unit(self, unit: Floats) -> Floats:
        """The inverse of ``unit_from_world``."""
        if self.kind == "box":
            p = unit
        elif self.kind == "frustum":
            z = 1 / np.maximum(1 - unit[:, 2:], 1e-9)
            p = np.concatenate([(2 * unit[:, :2] - 1) * z, z], 1)
        else:
            c = 4 * unit - 2
            most = np.abs(c).max(1, keepdims=True)
            far = 1 / np.maximum(2 - most, 1e-6)
            p = np.where(most > 1, np.where(np.abs(c) == most, np.sign(c) * far, c * far), c)
        back = np.linalg.inv(self.frame_from_world)
        return p @ back[:3, :3].T + back[:3, 3]


def space_of(extent: Extent) -> tuple[Space, Floats]:
    """The space that suits an extent, and the shape (3,) of its grid: sides relative to the longest, which is 1."""
    matrix = np.eye(4)
    if extent.kind == "forward":
        matrix = np.diag([1 / extent.tan[0], 1 / extent.tan[1], 1.0, extent.near]) @ np.linalg.inv(extent.view)
        matrix = matrix / extent.near
        matrix[3] = (0, 0, 0, 1)
        shape = np.array([extent.tan[0], extent.tan[1], 0.5 * max(extent.tan)])
        return Space("frustum", matrix), shape / shape.max()
    half = 0.5 * extent.size
    if extent.kind == "surrounded":
        matrix[:3] = np.concatenate([np.diag(1 / half), -((extent.low + half) / half)[:, None]], 1)
        return Space("contracted", matrix), extent.size / extent.size.max()
    side = extent.size
    matrix[:3] = np.concatenate([np.diag(1 / side), -(extent.low / side)[:, None]], 1)
    return Space("box", matrix), side / side.max()


@njit(cache=True)
def _clip(o, d, low, high, t0, t1):  # type: ignore[no-untyped-def]
    """The stretch (t0, t1) of a ray within a box; empty where t1 <= t0."""
    for k in range(3):
        if abs(d[k]) < 1e-12:
            if o[k] < low or o[k] > high:
                return 1.0, 0.0
            continue
        a, b = (low - o[k]) / d[k], (high - o[k]) / d[k]
        t0, t1 = max(t0, min(a, b)), min(t1, max(a, b))
    return t0, t1


@njit(cache=True)
def _contracted(o, d, t, axis, sign, out):  # type: ignore[no-untyped-def]
    """Unit coordinates of the point at t in the outer part of one axis and sign (axis -1: the cube); t may be inf."""
    if axis < 0:
        for k in range(3):
            out[k] = (o[k] + t * d[k] + 2.0) / 4.0
        return
    far = t > 1e12
    most = sign * (d[axis] if far else o[axis] + t * d[axis])
    for k in range(3):
        here = d[k] if far else o[k] + t * d[k]
        out[k] = (here / most + 2.0) / 4.0
    out[axis] = (sign * (2.0 if far else 2.0 - 1.0 / most) + 2.0) / 4.0


@njit(cache=True)
def _contracted_pieces(o, d, cuts, pieces):  # type: ignore[no-untyped-def]
    """The pieces between borders of the seven parts, in order along the ray."""
    count = 1
    cuts[0] = 0.0
    for a in range(3):
        for sign in (-1.0, 1.0):
            if abs(d[a]) > 1e-12:
                cuts[count] = (sign - o[a]) / d[a]
                count += 1
            for b in range(a + 1, 3):
                rate = d[a] - sign * d[b]
                if abs(rate) > 1e-12:
                    cuts[count] = (sign * o[b] - o[a]) / rate
                    count += 1
    cuts[:count].sort()
    made = 0
    for i in range(count):
        t0 = cuts[i]
        t1 = cuts[i + 1] if i + 1 < count else np.inf
        if t0 < 0.0 or t1 - t0 < 1e-9:
            continue
        middle = 0.5 * (t0 + t1) if t1 < np.inf else t0 + 1.0 + abs(t0)
        axis, most = 0, -1.0
        for k in range(3):
            here = abs(o[k] + middle * d[k])
            if here > most:
                axis, most = k, here
        sign = 1.0 if o[axis] + middle * d[axis] > 0 else -1.0
        axis = axis if most > 1.0 else -1
        if made == pieces.shape[0]:
            break
        _contracted(o, d, t0, axis, sign, pieces[made, 0])
        _contracted(o, d, t1, axis, sign, pieces[made, 1])
        made += 1
    return made


@njit(cache=True)
def straight_pieces(code, o, d, cuts, pieces):  # type: ignore[no-untyped-def]
    """Write the straight pieces of a ray of the frame, (start, end) in unit coordinates, into ``pieces``
    (MOST_PIECES, 2, 3) in order; ``cuts`` (24,) is room to work in. Returns their number."""
    if code == CONTRACTED:
        return _contracted_pieces(o, d, cuts, pieces)
    if code == BOX:
        t0, t1 = _clip(o, d, 0.0, 1.0, 0.0, np.inf)
        if not t1 > t0:
            return 0
        for k in range(3):
            pieces[0, 0, k] = o[k] + t0 * d[k]
            pieces[0, 1, k] = o[k] + t1 * d[k]
        return 1
    if d[2] < 1e-9:
        return 0
    t = max((1.0 - o[2]) / d[2], 0.0)  # where the ray passes the near plane, then the same line to infinity
    z = o[2] + t * d[2]
    start, end = pieces[0, 0], pieces[0, 1]
    for k in range(2):
        start[k] = 0.5 + 0.5 * (o[k] + t * d[k]) / z
        end[k] = 0.5 + 0.5 * d[k] / d[2]
    start[2], end[2] = 1.0 - 1.0 / z, 1.0
    for k in range(3):
        pieces[1, 0, k] = end[k] - start[k]
    t0, t1 = _clip(start, pieces[1, 0], 0.0, 1.0, 0.0, 1.0)
    if not t1 > t0:
        return 0
    for k in range(3):
        first, way = start[k], pieces[1, 0, k]
        start[k] = first + t0 * way
        end[k] = first + t1 * way
    return 1


@njit(cache=True)
def distance_of(code, o, d, unit, point):  # type: ignore[no-untyped-def]
    """How far along a ray of the frame, in its own direction's lengths, a place on it in unit coordinates lies.
    ``point`` (3,) is room to work in."""
    if code == FRUSTUM:
        return (1.0 / max(1.0 - unit[2], 1e-9) - o[2]) / d[2]
    if code == CONTRACTED:
        most = 0.0
        for k in range(3):
            point[k] = 4.0 * unit[k] - 2.0
            most = max(most, abs(point[k]))
        if most > 1.0:
            far = 1.0 / max(2.0 - most, 1e-6)
            for k in range(3):
                if abs(point[k]) == most:
                    point[k] = math.copysign(far, point[k])
                else:
                    point[k] = point[k] * far
    else:
        for k in range(3):
            point[k] = unit[k]
    along, length = 0.0, 0.0
    for k in range(3):
        along += (point[k] - o[k]) * d[k]
        length += d[k] * d[k]
    return along / length
