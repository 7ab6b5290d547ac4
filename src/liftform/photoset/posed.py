"""Photographs whose cameras are known: transforms.json (nerfstudio, instant-ngp), COLMAP models, Polycam's raw exports.

References: https://docs.nerf.studio/quickstart/data_conventions.html, https://colmap.github.io/format.html.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..camera import Camera
from ..conventions import GL_FROM_CV
from ..errors import InputNotFoundError, UnreadableError
from . import colmap

#: How far rotations may be from orthonormal.
_SLACK = 1e-2
_POLYCAM = ("corrected_cameras", "cameras")


@dataclass(frozen=True)
class PosedPhoto:
    """One photograph: file, camera at the file's size, lens distortion (k1, k2, p1, p2 of OpenCV), mask file."""

    path: Path
    camera: Camera
    distortion: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    mask: Path | None = None


@dataclass(frozen=True)
class PhotoSet:
    """Photographs in one world, and points (N, 3) float64 of its surfaces, if any are known.

    unposed: photographs that the set names without a pose.
    """

    photos: tuple[PosedPhoto, ...]
    points: NDArray[np.float64]
    unposed: tuple[Path, ...] = ()


def is_photo_set(folder: Path) -> bool:
    """Does the folder hold a transforms.json, a COLMAP model or Polycam's cameras?"""
    return (
        (folder / "transforms.json").is_file()
        or colmap.folder_of(folder) is not None
        or _polycam_folder(folder) is not None
    )


def read_photo_set(folder: Path) -> PhotoSet:
    """Every photograph of ``folder`` that has a pose. World axes are the set's own.

    Raises InputNotFoundError (no set there), UnreadableError (damaged, a lens that is no pinhole, a pose that is not
    finite, mirrored, scaled or no rotation at all, no posed photo).
    """
    model, keyframes = colmap.folder_of(folder), _polycam_folder(folder)
    try:
        if (folder / "transforms.json").is_file():
            found = _from_transforms(folder)
        elif model is not None:
            found = _from_colmap(folder, model)
        elif keyframes is not None:
            found = PhotoSet(tuple(_from_polycam(keyframes)), np.zeros((0, 3)))
        else:
            raise InputNotFoundError(f"{folder}: neither transforms.json nor a COLMAP model", "give a photo set")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, OSError, struct.error) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise UnreadableError(f"{folder}: its cameras cannot be read ({reason})", "export them again") from error
    if not found.photos:
        raise UnreadableError(f"{folder}: no photograph has a pose", "register them first")
    return found


def _from_transforms(folder: Path) -> PhotoSet:
    facts = json.loads((folder / "transforms.json").read_text(encoding="utf-8"))
    posed = tuple(_posed_frames(folder, facts))
    bare = tuple(_picture(folder, frame["file_path"]) for frame in facts["frames"] if "transform_matrix" not in frame)
    return PhotoSet(posed, _ply_points(folder, facts), bare)


def _posed_frames(folder: Path, facts: Any) -> Iterator[PosedPhoto]:
    for frame in facts["frames"]:
        if "transform_matrix" not in frame:  # a photo that was not registered
            continue
        own = {**facts, **frame}
        if "FISHEYE" in str(own.get("camera_model", "")).upper():
            raise ValueError(f"{frame['file_path']}: its lens model {own['camera_model']} is no pinhole")
        path = _picture(folder, frame["file_path"])
        width, height = (int(own["w"]), int(own["h"])) if "w" in own else _size(path)
        if "fl_x" in own:
            fx, fy = float(own["fl_x"]), float(own.get("fl_y", own["fl_x"]))
        else:
            fx = fy = float(0.5 * width / np.tan(0.5 * float(own["camera_angle_x"])))
        matrix = np.asarray(frame["transform_matrix"], np.float64)
        _check_pose(matrix, frame["file_path"])
        camera = Camera(
            width,
            height,
            fx,
            fy,
            float(own.get("cx", width / 2)),
            float(own.get("cy", height / 2)),
            matrix @ GL_FROM_CV,
        )
        _check_lens(camera, frame["file_path"])
        bend = tuple(float(own.get(k, 0.0)) for k in ("k1", "k2", "p1", "p2"))
        mask = folder / frame["mask_path"] if frame.get("mask_path") else None
        yield PosedPhoto(path, camera, (bend[0], bend[1], bend[2], bend[3]), mask)


def _picture(folder: Path, name: str) -> Path:
    """The named file; some exporters leave the suffix out."""
    path = folder / name
    return path if path.suffix else path.with_suffix(".png")


def _size(path: Path) -> tuple[int, int]:
    from PIL import Image

    with Image.open(path) as picture:
        return picture.size


def _check_pose(pose: NDArray[np.float64], name: str) -> None:
    """ValueError that names what is wrong with a 4x4 of a camera."""
    if pose.shape != (4, 4):
        raise ValueError(f"{name}: its pose is {' x '.join(map(str, pose.shape))} numbers, not 4 x 4")
    if not np.isfinite(pose).all():
        raise ValueError(f"{name}: its pose holds numbers that are not finite (NaN)")
    turn = pose[:3, :3]
    size = np.cbrt(abs(np.linalg.det(turn)))
    if size < 1e-9 or np.abs(turn @ turn.T / size**2 - np.eye(3)).max() > _SLACK:
        raise ValueError(f"{name}: its pose is no rotation and place")
    if np.linalg.det(turn) < 0:
        raise ValueError(f"{name}: its pose is mirrored (determinant -1): an axis was flipped without its partner")
    if abs(size - 1) > _SLACK:
        raise ValueError(f"{name}: its pose scales by {size:.3g}: take the scale out of the rotation")
    if np.abs(pose[3] - [0, 0, 0, 1]).max() > 1e-6:
        raise ValueError(f"{name}: the last row of its pose is not 0 0 0 1: was it transposed?")


def _check_lens(camera: Camera, name: str) -> None:
    numbers = (camera.fx, camera.fy, camera.cx, camera.cy)
    if not np.isfinite(numbers).all() or min(camera.fx, camera.fy, camera.width, camera.height) <= 0:
        raise ValueError(f"{name}: its focal length or size is not a positive number")


def _from_colmap(folder: Path, model: Path) -> PhotoSet:
    cameras, images, points = colmap.read(model)
    photos = []
    for name, number, quaternion, shift in images:
        width, height, p, bend = cameras[number]
        pose = np.eye(4)
        turn = colmap.rotation(quaternion)
        pose[:3, :3], pose[:3, 3] = turn.T, -turn.T @ shift
        camera = Camera(width, height, p[0], p[1], p[2], p[3], pose)
        _check_pose(pose, name)
        _check_lens(camera, name)
        masks = (folder / "masks" / f"{name}.png", (folder / "masks" / name).with_suffix(".png"))
        mask = next((path for path in masks if path.is_file()), None)
        photos.append(PosedPhoto(folder / "images" / name, camera, bend, mask))
    return PhotoSet(tuple(photos), points)


def _polycam_folder(folder: Path) -> Path | None:
    for root in (folder, folder / "keyframes"):
        if any((root / name).is_dir() and any((root / name).glob("*.json")) for name in _POLYCAM):
            return root
    return None


def _from_polycam(root: Path) -> Iterator[PosedPhoto]:
    """Polycam's raw data: one JSON a picture with t_00 .. t_23, OpenGL camera-to-world in ARKit's world (+Y up)."""
    corrected = (root / _POLYCAM[0]).is_dir()
    pictures = root / ("corrected_images" if corrected else "images")
    for path in sorted((root / _POLYCAM[0 if corrected else 1]).glob("*.json")):
        own = json.loads(path.read_text(encoding="utf-8"))
        matrix = np.eye(4)
        matrix[:3] = [[float(own[f"t_{row}{column}"]) for column in range(4)] for row in range(3)]
        _check_pose(matrix, path.name)
        fx, fy, cx, cy = (float(own[k]) for k in ("fx", "fy", "cx", "cy"))
        camera = Camera(int(own["width"]), int(own["height"]), fx, fy, cx, cy, matrix @ GL_FROM_CV)
        _check_lens(camera, path.name)
        yield PosedPhoto(pictures / f"{path.stem}.jpg", camera)


def _ply_points(folder: Path, facts: Any) -> NDArray[np.float64]:
    """Vertices of a PLY beside transforms.json, if there is one."""
    import trimesh

    named = facts.get("ply_file_path")
    path = folder / named if isinstance(named, str) else folder / "points.ply"
    if not path.is_file():
        return np.zeros((0, 3))
    cloud: Any = trimesh.load(path, process=False)
    return np.asarray(cloud.vertices, np.float64)
