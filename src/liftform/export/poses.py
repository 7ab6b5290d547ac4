"""Cameras of a photo set as nerfstudio's transforms.json, its sparse points as a PLY beside it.

Reference: https://docs.nerf.studio/quickstart/data_conventions.html.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from ..assets import PointCloud
from ..capture import Capture, Photo
from ..conventions import GL_FROM_CV
from ..lens import Lens
from . import ExportOptions, ply


def encode(capture: Capture, path: Path, folder: Path | None, extra: dict[str, Any]) -> dict[Path, bytes]:
    """transforms.json at ``path`` and <stem>.points.ply beside it.

    Lenses are for the pictures at the size of their files, upright; poses are OpenGL camera-to-world in the capture's
    world. folder: where the pictures lie; they are named relative to ``path``. Pictures without camera are listed
    without transform_matrix. extra: further entries.
    """
    points = path.with_name(f"{path.stem}.points.ply")
    facts: dict[str, Any] = {"camera_model": "OPENCV", **extra, "metric": capture.metric}
    files: dict[Path, bytes] = {}
    cloud = sparse_cloud(capture)
    if cloud is not None:
        files |= ply.encode(cloud, points, ExportOptions())
        facts["ply_file_path"] = points.name
    facts["frames"] = [_frame(photo, path, folder) for photo in capture.photos]
    return {path: (json.dumps(facts, indent=1, ensure_ascii=False) + "\n").encode(), **files}


def sparse_cloud(capture: Capture) -> PointCloud | None:
    """The sparse points as a cloud, or None where there are none."""
    if capture.sparse is None or not len(capture.sparse.points):
        return None
    return PointCloud(capture.sparse.points.astype(np.float32), capture.sparse.colors, name="sparse")


def _frame(photo: Photo, path: Path, folder: Path | None) -> dict[str, Any]:
    name = photo.source
    if folder is not None:
        name = Path(os.path.relpath(folder / photo.source, path.parent)).as_posix()
    frame: dict[str, Any] = {"file_path": name}
    if photo.camera is None:
        return frame
    width, height = photo.original_size if photo.original_size != (0, 0) else photo.size
    lens = (photo.lens or Lens.of(photo.camera)).resized(width, height)
    bend = dict(zip(("k1", "k2", "p1", "p2"), lens.distortion, strict=True))
    frame |= {"w": width, "h": height, "fl_x": lens.fx, "fl_y": lens.fy, "cx": lens.cx, "cy": lens.cy, **bend}
    if photo.exposure is not None:
        frame["exposure_stops"] = photo.exposure
    frame["transform_matrix"] = (photo.camera.world_from_camera @ GL_FROM_CV).tolist()
    return frame
