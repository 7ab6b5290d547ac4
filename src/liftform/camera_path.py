"""Paths for a camera that flies through a scene: orbit, spiral, keyframes, each a list of cameras in the world."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .camera import Camera
from .conventions import GL_FROM_CV
from .errors import InputNotFoundError, UnreadableError

Floats = NDArray[np.float64]


def looking(at: Floats, place: Floats, up: Floats) -> Floats:
    """world_from_camera (4, 4), OpenCV axes, of a camera at ``place`` (3,) that looks at ``at`` (3,); ``up`` (3,)
    stands upright in its picture."""
    forward = (at - place) / max(float(np.linalg.norm(at - place)), 1e-12)
    right = np.cross(forward, up)
    if np.linalg.norm(right) < 1e-9:
        right = np.cross(forward, [0.0, 0.0, 1.0] if abs(forward[2]) < 0.9 else [1.0, 0.0, 0.0])
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], 1)
    pose[:3, 3] = place
    return pose


def upward(cameras: Sequence[Camera]) -> Floats:
    """Unit vector (3,) that points up in the pictures: the mean of the cameras' own, or what their ring stands on."""
    own = -np.array([camera.world_from_camera[:3, 1] for camera in cameras])
    mean = own.mean(0)
    if np.linalg.norm(mean) < 0.2:
        places = np.array([camera.position for camera in cameras])
        mean = np.linalg.svd(places - places.mean(0))[2][-1]
    return np.asarray(mean / np.linalg.norm(mean))


def orbit(cameras: Sequence[Camera], middle: Floats, frames: int) -> list[Camera]:
    """Once around ``middle`` (3,), at the median distance and height of the cameras, starting near the first."""
    up = upward(cameras)
    away = np.array([camera.position for camera in cameras]) - middle
    height = float(np.median(away @ up))
    flat = away - np.outer(away @ up, up)
    radius = max(float(np.median(np.linalg.norm(flat, axis=1))), 1e-6)
    first = flat[0] / max(float(np.linalg.norm(flat[0])), 1e-9)
    if np.linalg.norm(flat[0]) < 1e-9:
        first = np.linalg.svd(up[None])[2][-1]
    side = np.cross(up, first)
    turns = 2 * np.pi * np.arange(frames) / frames
    places = [middle + height * up + radius * (np.cos(a) * first + np.sin(a) * side) for a in turns]
    return [_posed(cameras[0], looking(middle, place, up)) for place in places]


def spiral(cameras: Sequence[Camera], middle: Floats, frames: int, turns: float = 2.0) -> list[Camera]:
    """A spiral amid the cameras, as far to each side as most of them stand, always towards ``middle`` (3,): for sets
    that look one way (Mildenhall et al., Local Light Field Fusion, SIGGRAPH 2019)."""
    up = upward(cameras)
    places = np.array([camera.position for camera in cameras])
    centre = places.mean(0)
    forward = (middle - centre) / max(float(np.linalg.norm(middle - centre)), 1e-9)
    right = np.cross(forward, up)
    right /= max(float(np.linalg.norm(right)), 1e-9)
    axes = np.stack([right, np.cross(right, forward), forward])
    reach = np.percentile(np.abs((places - centre) @ axes.T), 80, axis=0)
    found = []
    for a in 2 * np.pi * turns * np.arange(frames) / frames:
        shift = reach * (np.cos(a), np.sin(a), np.sin(0.5 * a))
        found.append(_posed(cameras[0], looking(middle, centre + shift @ axes, up)))
    return found


def through(keys: Sequence[Camera], frames: int, closed: bool = False) -> list[Camera]:
    """``frames`` cameras that pass all ``keys`` smoothly: places and focal lengths by Catmull-Rom splines, turns by
    spherical interpolation. closed: back to the first at the end."""
    from scipy.spatial.transform import Rotation, Slerp

    if len(keys) == 1:
        return [keys[0]] * frames
    count = len(keys) + (1 if closed else 0)
    order = [k % len(keys) for k in range(count)]
    turns = Slerp(np.arange(count), Rotation.from_matrix([keys[k].world_from_camera[:3, :3] for k in order]))
    values = np.array([[*keys[k].position, keys[k].fx / keys[k].width, keys[k].fy / keys[k].height] for k in order])
    first = keys[0]
    found = []
    for t in np.linspace(0, count - 1, frames, endpoint=not closed):
        at = _spline(values, float(t), closed)
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = turns(t).as_matrix(), at[:3]
        camera = Camera(first.width, first.height, at[3] * first.width, at[4] * first.height, first.cx, first.cy, pose)
        found.append(camera)
    return found


def _spline(values: Floats, t: float, closed: bool) -> Floats:
    """Catmull-Rom through values (K, n) at t in [0, K - 1]."""
    last = len(values) - 1
    k = min(int(t), last - 1)
    u = t - k
    before = values[k - 1] if k else (values[last - 1] if closed else 2 * values[0] - values[1])
    after = values[k + 2] if k + 2 <= last else (values[1] if closed else 2 * values[last] - values[last - 1])
    a, b = values[k], values[k + 1]
    return np.asarray(
        a + 0.5 * u * (b - before + u * (2 * before - 5 * a + 4 * b - after + u * (3 * (a - b) + after - before)))
    )


def read_keyframes(path: str | Path, like: Camera) -> tuple[list[Camera], bool]:
    """Cameras of a JSON file, and whether the path closes; size and lens as ``like`` where the file says nothing.

    Understood: ``{"keyframes": [{"matrix": 16 numbers, row by row, "fov": degrees}], "is_cycle": false}`` (nerfstudio's
    camera paths, also under "camera_path" with "camera_to_world") and ``{"frames": [{"transform_matrix": …}]}``
    (transforms.json); all OpenGL camera-to-world. Raises InputNotFoundError, UnreadableError.
    """
    path = Path(path)
    if not path.is_file():
        raise InputNotFoundError(f"{path}: no such file", "say orbit, spiral, or give a JSON file of keyframes")
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        rows = facts.get("keyframes") or facts.get("camera_path") or facts.get("frames")
        keys = [_key(row, like) for row in rows]
        if not keys:
            raise ValueError("it holds none")
        return keys, bool(facts.get("is_cycle", False))
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        told = f"{path}: keyframes cannot be read ({' '.join(str(error).split())[:80]})"
        raise UnreadableError(told, "see docs/fields.md for the format") from error


def _key(row: dict[str, Any], like: Camera) -> Camera:
    given = next(row[name] for name in ("matrix", "camera_to_world", "transform_matrix") if name in row)
    matrix = np.asarray(given, np.float64).reshape(4, 4)
    if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix[:3, :3]) - 1) > 0.05:
        raise ValueError("a matrix is no rotation and place")
    camera = _posed(like, matrix @ GL_FROM_CV)
    if row.get("fov"):
        yfov = np.radians(float(row["fov"]))
        return Camera.from_fov(like.width, like.height, float(yfov), camera.world_from_camera)
    return camera


def _posed(like: Camera, pose: Floats) -> Camera:
    """A camera with the lens of another, its principal point in the middle."""
    return Camera(like.width, like.height, like.fx, like.fy, like.width / 2, like.height / 2, pose)
