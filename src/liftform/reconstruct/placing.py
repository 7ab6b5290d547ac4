"""Where a shape of unknown size stands in the view frame: so that the photo's camera sees it fill the mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..assets import Mesh
from ..camera import Camera
from ..zoo.object_frame import bounding_box

FloatArray = NDArray[np.float32]

#: Each step leaves a tenth or less of what perspective kept from fitting.
_STEPS = 6
#: Rays along the picture's longer side by which the silhouettes are compared.
_RAYS = 192


@dataclass(frozen=True)
class Placed:
    """vertices (V, 3) in the view frame; overlap: intersection over union of the mesh's silhouette and the mask."""

    vertices: FloatArray
    overlap: float


def placed(vertices: FloatArray, faces: NDArray[np.int32], alpha: FloatArray, camera: Camera) -> Placed:
    """The mesh scaled, and moved across the camera's axis, until its box in the picture is that of the mask.

    vertices (V, 3): upright, front towards the camera, about as large and as far off as the object in the view frame;
    orientation and distance are kept. alpha (H, W) of the photo, camera: the photo's, in the view frame.
    """
    left, top, right, bottom = bounding_box(alpha)
    side, centre = (right - left) + (bottom - top), np.array([left + right, top + bottom]) / 2
    points = np.asarray(vertices, np.float64)
    axes = camera.world_from_camera[:3, :2]
    for _ in range(_STEPS):
        pixels, depth = camera.project(points)
        low, high = pixels.min(0), pixels.max(0)
        middle, away = (points.min(0) + points.max(0)) / 2, float(np.median(depth))
        step = (centre - (low + high) / 2) * away / (camera.fx, camera.fy)
        points = middle + (points - middle) * (side / float((high - low).sum())) + axes @ step
    found = points.astype(np.float32)
    return Placed(found, round(_overlap(Mesh(found, faces), alpha, camera), 4))


def _overlap(mesh: Mesh, alpha: FloatArray, camera: Camera) -> float:
    """Intersection over union in the picture, seen through a coarse raster of rays."""
    from ..render import Scene

    ratio = min(1.0, _RAYS / max(camera.width, camera.height))
    small = camera.resized(max(1, round(camera.width * ratio)), max(1, round(camera.height * ratio)))
    origin, rays = small.rays()
    seen = Scene(mesh).occluded(origin, rays.reshape(-1, 3)).reshape(small.height, small.width)
    rows = ((np.arange(small.height) + 0.5) * alpha.shape[0] / small.height).astype(int)
    columns = ((np.arange(small.width) + 0.5) * alpha.shape[1] / small.width).astype(int)
    shown = alpha[np.ix_(rows, columns)] > 0.5
    return float((seen & shown).sum() / max(int((seen | shown).sum()), 1))
