"""Which way is up in a picture of a scene: the direction along and across which most surfaces lie."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..camera import Camera
from ..capture import Depth
from ..conventions import view_from_camera

Floats = NDArray[np.floating[Any]]

#: Surfaces within about this angle of level or upright speak for a direction.
_SIGMA = np.radians(6.0)
#: How people hold cameras: looking down by 10 +- 30 degrees, rolled by 0 +- 5; what that weighs against the surfaces.
_HELD, _HELD_WIDTH, _ROLL_WIDTH, _HABIT = np.radians(10.0), np.radians(30.0), np.radians(5.0), 0.06
_ELEVATIONS, _ROLLS = np.radians(np.arange(-50.0, 71.0, 2.5)), np.radians(np.arange(-15.0, 16.0, 2.5))
#: Mean agreement of the surfaces under which the picture says nothing.
_LEAST = 0.25
_SAMPLES = 3000


def pose(elevation: float, roll: float) -> NDArray[np.float64]:
    """world_from_camera (4x4) of a camera at the origin that looks down by ``elevation``, turned by ``roll`` about its
    axis (clockwise as seen by the photographer); radians."""
    s, c = np.sin(roll), np.cos(roll)
    turned = np.eye(4)
    turned[:2, :2] = [[c, -s], [s, c]]
    return view_from_camera(elevation, 0.0) @ turned


def upright(depth: Depth, camera: Camera, elevation: float | None = None) -> tuple[float, float, float]:
    """(elevation, roll, agreement in [0, 1]) of the camera, radians; a given elevation is kept.

    Buildings and furniture are level and upright (Coughlan and Yuille 1999): the up direction is sought that is
    parallel or square to most normals, held near to how cameras are held. A picture that does not say gets a camera
    without roll, level or at the given elevation, and an agreement of 0.
    """
    normals = _sampled(depth.normals if depth.normals is not None else normals_of(depth.z, camera))
    if len(normals) < 50:
        return elevation or 0.0, 0.0, 0.0
    tries = _ELEVATIONS if elevation is None else np.array([elevation])
    best, roll, _ = _best(normals, tries, _ROLLS)
    near = np.radians(np.arange(-2.0, 2.1, 0.5))
    best, roll, agreement = _best(normals, best + near if elevation is None else tries, roll + near)
    return (best, roll, agreement) if agreement >= _LEAST else (elevation or 0.0, 0.0, 0.0)


def _best(normals: Floats, elevations: Floats, rolls: Floats) -> tuple[float, float, float]:
    """The likeliest pair, and the mean agreement of the normals with it."""
    e, r = (grid.ravel() for grid in np.meshgrid(elevations, rolls))
    up = np.stack([-np.sin(r) * np.cos(e), -np.cos(r) * np.cos(e), -np.sin(e)])
    cosine = np.clip(np.abs(normals @ up), 0, 1)
    level, square = np.arccos(cosine), np.arcsin(cosine)
    agreement = np.exp(-0.5 * (np.minimum(level, square) / _SIGMA) ** 2).mean(0)
    habit = ((e - _HELD) / _HELD_WIDTH) ** 2 + (r / _ROLL_WIDTH) ** 2
    k = int(np.argmax(agreement - _HABIT * habit))
    return float(e[k]), float(r[k]), float(agreement[k])


def _sampled(normals: Floats) -> Floats:
    """About 3000 unit normals (N, 3), evenly spread over the picture."""
    step = max(1, int(np.sqrt(normals.shape[0] * normals.shape[1] / _SAMPLES)))
    flat = normals[::step, ::step].reshape(-1, 3).astype(np.float64)
    length = np.linalg.norm(flat, axis=1)
    return flat[np.isfinite(length) & (length > 0.5)]


def normals_of(z: Floats, camera: Camera) -> NDArray[np.float32]:
    """Unit normals (h, w, 3) in the camera frame, towards the camera, from depth alone; zero at gaps."""
    height, width = z.shape
    scaled = camera.resized(width, height)
    y, x = np.mgrid[:height, :width] + 0.5
    points = np.stack([(x - scaled.cx) / scaled.fx * z, (y - scaled.cy) / scaled.fy * z, z], -1)
    out = np.zeros((height, width, 3), np.float32)
    if min(height, width) < 3:
        return out
    across, down = points[1:-1, 2:] - points[1:-1, :-2], points[2:, 1:-1] - points[:-2, 1:-1]
    normal = np.cross(down, across)
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    out[1:-1, 1:-1] = np.nan_to_num(normal / np.maximum(length, 1e-30))
    return out
