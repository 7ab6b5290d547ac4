"""Rendered scenes for measuring stereo: things made from a number, seen from an arc or all around, with exact depth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..camera import Camera
from ..capture import Capture, Mask, Photo
from ..train import stereo_scenes
from ..train.rooms import view
from .stereo import Truth

Floats = NDArray[np.float64]

#: Seeds of these scenes begin here: no training scene's does.
_SEED = 740_011
#: Angle between neighbouring cameras of a row, and heights of the two rows (radians).
_STEP, _HEIGHTS = np.radians(11.0), (0.38, 0.72)
_YFOV = np.radians(40.0)


def rendered(number: int, size: int, views: int) -> tuple[Capture, Truth]:
    """Scene ``number`` as ``views`` square photos of ``size`` pixels see it, noise and exposure included.

    Even numbers are several things on a floor, odd ones a single object before nothing, with masks. The diagonal is
    that of the box of the things, without floor and walls.
    """
    scene = _scene(number)
    rng = np.random.default_rng([_SEED, number, 1])
    alone = number % 2 == 1
    whole = scene.world.corners.reshape(-1, 3) if alone else scene.marks
    low, high = whole.min(0), whole.max(0)
    centre, reach = (low + high) / 2, float(np.linalg.norm(high - low)) / 2
    distance = (1.1 if alone else 0.95) * reach / np.sin(_YFOV / 2)
    step = 2 * np.pi / max(views / 2, 1) if alone and views >= 24 else _STEP
    photos, depths, normals = [], [], []
    for k in range(views):
        turn = step * (k // 2 - (views / 2 - 1) / 2 + 0.5 * (k % 2)) + 0.3 * number
        camera = _camera(centre, distance, turn, _HEIGHTS[k % 2], size)
        rgb, depth = stereo_scenes.photograph(scene, camera, rng)
        z = np.where(np.isfinite(depth), depth, np.nan).astype(np.float32)
        image = (rgb / np.float32(255)).astype(np.float32)
        mask = Mask(np.isfinite(z).astype(np.float32), image, 1.0) if alone else None
        photos.append(Photo(image, source=f"{number}-{k:02d}", original_size=(size, size), camera=camera, mask=mask))
        depths.append(z)
        facing = view.geometry(scene.world, camera)[3].reshape(size, size, 3)
        normals.append((facing @ camera.world_from_camera[:3, :3]).astype(np.float32))
    return Capture(tuple(photos)), Truth(tuple(depths), tuple(normals), 2 * reach)


def _scene(number: int) -> stereo_scenes.Scene:
    """The first scene from this number's seed on that is of its kind."""
    for trial in range(200):
        rng = np.random.default_rng([_SEED, number, 0, trial])
        found = stereo_scenes.scene([], rng)
        sky = not _has_floor(found)
        if sky == (number % 2 == 1):
            return found
    raise AssertionError("no scene of this kind in 200")


def _has_floor(scene: stereo_scenes.Scene) -> bool:
    """Whether there is more than the things themselves."""
    points = scene.world.corners.reshape(-1, 3)
    return bool(np.ptp(points, axis=0).max() > 1.4 * np.ptp(scene.marks, axis=0).max())


def _camera(centre: Floats, distance: float, azimuth: float, height: float, size: int) -> Camera:
    away = np.array([np.sin(azimuth) * np.cos(height), np.sin(height), np.cos(azimuth) * np.cos(height)])
    to = -away
    pose = view.look_at(centre + distance * away, float(np.arctan2(to[0], to[2])), float(np.arcsin(to[1])), 0.0)
    return Camera.from_fov(size, size, float(_YFOV), pose)
