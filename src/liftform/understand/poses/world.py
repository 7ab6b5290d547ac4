"""Which way is up in a set, where its floor lies and how large a metre is: from the frame of the cameras to the world.

Up: whoever takes pictures holds the camera level or on its side, so that one axis of each picture is horizontal and the
other one's mean points down; a floor of many points says it more exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...capture import Decision

Floats = NDArray[np.float64]

#: Cameras whose horizontal axes span less than this (second eigenvalue) do not tell up by themselves.
_SPAN = 0.01
#: A floor: inliers within this share of the extent, at least this share of the points, spread over this share of the
#: extent, with at most this share below it, and tilted against the cameras' up by at most this angle.
_THICK, _SUPPORT, _WIDE, _BELOW, _TILT = 0.006, 0.12, 0.3, 0.06, np.radians(20)


@dataclass(frozen=True)
class Placement:
    """world = scale * rotation @ point + shift, and what was decided on the way."""

    rotation: Floats
    shift: Floats
    scale: float
    decisions: tuple[Decision, ...]

    def points(self, points: Floats) -> Floats:
        """Points (N, 3) in the world."""
        return self.scale * points @ self.rotation.T + self.shift

    def pose(self, world_from_camera: Floats) -> Floats:
        """A camera's pose in the world."""
        out = np.eye(4)
        out[:3, :3] = self.rotation @ world_from_camera[:3, :3]
        out[:3, 3] = self.points(world_from_camera[None, :3, 3])[0]
        return out


def placed(
    poses: Mapping[int, Floats], points: Floats, scale: float | None, seed: int, said: tuple[Decision, ...] = ()
) -> Placement:
    """Upright, floor at y = 0, the middle of the points above the origin, the first camera in front (+Z).

    scale: units of the world in one of the poses' frame; None makes the median distance of cameras and points 1.
    """
    frames = np.array(list(poses.values()))
    up, sure = upward(frames[:, :3, :3])
    trimmed = _trimmed(points)
    floor = find_floor(trimmed, up, seed) if len(trimmed) >= 50 else None
    note = f"the cameras' sides agree within {sure:.1f} degrees" if np.isfinite(sure) else "from one direction only"
    if floor is not None:
        up, note = floor[0], "normal of the floor"
    middle = np.median(trimmed, 0) if len(trimmed) else frames[:, :3, 3].mean(0)
    rotation = _upright(up, frames[0, :3, 3] - middle)
    heights = trimmed @ up if len(trimmed) else frames[:, :3, 3] @ up
    low = floor[1] if floor is not None else float(np.percentile(heights, 1))
    if scale is None:
        scale = 1.0 / max(float(np.median(np.linalg.norm(frames[:, :3, 3] - middle, axis=1))), 1e-12)
    anchor = rotation @ middle
    anchor[1] = low
    told = "a plane of points" if floor is not None else "no plane found: the lowest points"
    decisions = (
        *said,
        Decision("up", [round(float(v), 4) for v in up], "estimated", note),
        Decision("floor", floor is not None, "estimated" if floor is not None else "guessed", told),
    )
    return Placement(rotation, -scale * anchor, scale, decisions)


def upward(rotations: Floats) -> tuple[Floats, float]:
    """Up (3,) of world_from_camera rotations (N, 3, 3), and how far, in degrees, the horizontal axes stray from level
    (root mean square; NaN where all cameras look one way and level had to be believed)."""
    down = (
        _unit(rotations[:, :, 1].mean(0)) if np.linalg.norm(rotations[:, :, 1].mean(0)) > 1e-6 else np.array([0, 1, 0])
    )
    level = rotations[:, :, 0]
    for _ in range(5):  # a camera on its side has its y axis level, and its x axis down or up
        sides = np.abs(rotations[:, :, 0] @ down) > np.abs(rotations[:, :, 1] @ down) + 0.3
        level = np.where(sides[:, None], rotations[:, :, 1], rotations[:, :, 0])
        values, vectors = np.linalg.eigh(level.T @ level / len(level))
        lowest = vectors[:, 0] * (1 if vectors[:, 0] @ down >= 0 else -1)
        if values[1] < _SPAN:  # level axes all along one line: down is what is square to it
            down = _unit(down - (down @ vectors[:, 2]) * vectors[:, 2])
            return -down, float("nan")
        down = lowest
    return -down, float(np.degrees(np.sqrt(((level @ down) ** 2).mean())))


def find_floor(points: Floats, up: Floats, seed: int) -> tuple[Floats, float] | None:
    """Normal (3,) and height along it of the floor among points (N, 3), by random samples; None where there is none.

    Of level planes with enough points the one of most points that has almost nothing below it.
    """
    extent = float(np.linalg.norm(np.percentile(points, 95, 0) - np.percentile(points, 5, 0)))
    rng = np.random.default_rng(seed)
    best: tuple[int, Floats, float] | None = None
    low = points[points @ up <= np.percentile(points @ up, 60)]
    for _ in range(400):
        a, b, c = low[rng.choice(len(low), 3, replace=False)]
        normal = np.cross(b - a, c - a)
        if np.linalg.norm(normal) < 1e-6 * extent**2:
            continue
        normal = _unit(normal) * (1 if normal @ up >= 0 else -1)
        if normal @ up < np.cos(_TILT):
            continue
        height = (points - a) @ normal
        count = int((np.abs(height) < _THICK * extent).sum())
        if (best is None or count > best[0]) and (height < -2 * _THICK * extent).mean() <= _BELOW:
            best = (count, normal, float(a @ normal))
    if best is None or best[0] < _SUPPORT * len(points):
        return None
    return _refined(points, best[1], best[2], _THICK * extent, extent)


def _refined(points: Floats, normal: Floats, height: float, thick: float, extent: float) -> tuple[Floats, float] | None:
    for _ in range(3):
        on = points[np.abs(points @ normal - height) < thick]
        middle = on.mean(0)
        _, spans, axes = np.linalg.svd(on - middle, full_matrices=False)
        if spans[1] / np.sqrt(len(on)) < _WIDE * extent / np.sqrt(12) / 2:  # a line, or a small patch
            return None
        normal = axes[2] * (1 if axes[2] @ normal >= 0 else -1)
        height = float(middle @ normal)
    return normal, height


def _trimmed(points: Floats) -> Floats:
    """Points (N, 3) without those far from the middle."""
    if len(points) < 10:
        return points
    away = np.linalg.norm(points - np.median(points, 0), axis=1)
    return points[away <= 4 * np.median(away)]


def _upright(up: Floats, towards: Floats) -> Floats:
    """world_from_model (3, 3) that turns ``up`` to +Y, and ``towards`` to +Z as far as it is level."""
    front = towards - (towards @ up) * up
    if np.linalg.norm(front) < 1e-9:
        front = np.cross(up, [1.0, 0, 0] if abs(up[0]) < 0.9 else [0, 1.0, 0])
    front = _unit(front)
    return np.stack([np.cross(up, front), up, front])


def _unit(vector: Floats) -> Floats:
    return np.asarray(vector / np.linalg.norm(vector), np.float64)
