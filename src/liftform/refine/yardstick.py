"""Real size from a reference in the photo: the object stands on the plane in which the reference lies.

In the camera's frame the plane is known in metres and the object up to one factor; camera and lines of sight are
shared. The factor is the one that brings the object's floor contact onto the plane.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..assets import Mesh
from ..camera import Camera
from ..capture import Photo, Reference
from ..planar import PlanePose, plane_pose

Floats = NDArray[np.float64]

#: The lowest part of an object, as a share of its height, is where it touches; of that, the share nearest the camera.
_BASE, _NEAREST = 0.04, 0.25
#: What no measurement of this kind can do better than; and how wrong the place of a corner is at best (pixels).
_FLOOR, _CORNER_PX = 0.01, 0.3
#: What mask and shape, both estimated from one picture, add: from `liftform evaluate size --road`.
_SHAPE = 0.2


def measured(mesh: Mesh, photo: Photo) -> Mesh:
    """The mesh (view frame) with metadata["reference"], if the photo has a reference of known size.

    {"kind", "name", "sure", "factor": metres per unit of the view frame, "error": expected relative error of the size,
    "measuring_error": what the reference alone would leave of it, were mask and shape exact, "tilt_deg": angle between
    the reference's plane and the floor of the view frame}. Scenes are measured where the
    reference itself lies, by the mesh's depth there.
    """
    found, camera = photo.reference, photo.camera
    if found is None or camera is None:
        return mesh
    facts: dict[str, Any] = {"kind": found.kind, "name": found.name, "sure": found.sure}
    if found.size_m is not None:
        points = mesh.vertices.astype(np.float64) @ camera.camera_from_world[:3, :3].T + camera.camera_from_world[:3, 3]
        facts |= _scene(points, found, camera) if photo.is_scene else _object(points, found, camera)
    return mesh.with_(metadata={**mesh.metadata, "reference": facts})


def _object(points: Floats, found: Reference, camera: Camera) -> dict[str, Any]:
    """Factor, its error and the tilt, of an object's points (N, 3) in the camera frame."""
    pose = _pose(found, camera)
    factor, spread = _touching(points, pose)
    parts = [_FLOOR, spread / 2, _by_corners(points, found, camera, factor), _by_focal(points, found, camera)]
    up = camera.camera_from_world[:3, 1]
    tilt = float(np.degrees(np.arccos(np.clip(up @ pose.normal, -1, 1))))
    error = float(np.linalg.norm(parts))
    facts = {"factor": factor, "error": round(float(np.hypot(error, _SHAPE)), 4), "measuring_error": round(error, 4)}
    return facts | {"tilt_deg": round(tilt, 2)}


def _pose(found: Reference, camera: Camera, offset: Floats | float = 0.0) -> PlanePose:
    assert found.size_m is not None
    return plane_pose(found.size_m, found.corners_px - [camera.cx, camera.cy] + offset, camera.fy)


def _touching(points: Floats, pose: PlanePose) -> tuple[float, float]:
    """The factor at which the near side of the base lies on the plane, and its relative spread over the whole base."""
    height = points @ pose.normal
    low, high = float(height.min()), float(height.max())
    base = points[height <= low + _BASE * (high - low)]
    depth = np.maximum(-(base @ pose.normal), 1e-9)
    factors = pose.distance / depth
    steep = depth / np.linalg.norm(base, axis=1)
    near = factors[steep >= np.quantile(steep, 1 - _NEAREST)]
    factor = float(np.median(near))
    return factor, float(np.std(factors) / factor)


def _by_corners(points: Floats, found: Reference, camera: Camera, factor: float) -> float:
    """Relative error that comes of the corners' own."""
    step = max(found.error_px, _CORNER_PX)
    changes = []
    for k in range(8):
        offset = np.zeros(8)
        offset[k] = step
        changes.append(_touching(points, _pose(found, camera, offset.reshape(4, 2)))[0] / factor - 1)
    return float(np.linalg.norm(changes))


def _by_focal(points: Floats, found: Reference, camera: Camera) -> float:
    """Relative error that comes of the focal length's: objects and plane both move with it."""
    ends = []
    for sign in (-1, 1):
        ratio = float(np.exp(sign * found.focal_error))
        other = replace(camera, fx=camera.fx * ratio, fy=camera.fy * ratio)
        ends.append(_touching(points * [1, 1, ratio], _pose(found, other))[0])
    return float(abs(np.log(ends[1] / ends[0])) / 2)


def _scene(points: Floats, found: Reference, camera: Camera) -> dict[str, Any]:
    """Of a scene: metres of the plane over the mesh's depth, where the reference lies."""
    pose = _pose(found, camera)
    rays = np.concatenate([points[:, :2] / points[:, 2:], np.ones((len(points), 1))], 1)
    pixels = rays[:, :2] * camera.fy + [camera.cx, camera.cy]
    inside = _inside(pixels, found.corners_px)
    if not inside.any():  # a small one between the vertices: the nearest of them
        inside[np.linalg.norm(pixels - found.corners_px.mean(0), axis=1).argmin()] = True
    metres = pose.distance / np.maximum(-(rays[inside] @ pose.normal), 1e-9)
    factors = metres / points[inside, 2]
    spread = float(np.std(factors) / np.median(factors))
    return {"factor": float(np.median(factors)), "error": round(float(np.hypot(spread, found.focal_error) + 0.05), 4)}


def _inside(pixels: Floats, corners: Floats) -> NDArray[np.bool_]:
    """Which pixels lie inside a convex polygon, clockwise as seen."""
    side = np.roll(corners, -1, axis=0) - corners
    to = pixels[:, None] - corners
    return np.asarray((side[:, 0] * to[..., 1] - side[:, 1] * to[..., 0] > 0).all(1), bool)
