"""Photographs whose cameras are known: transforms.json (nerfstudio, instant-ngp) and COLMAP models, text or binary.

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

#: COLMAP's camera models that are a pinhole with at most four OpenCV coefficients: number, then where each of
#: fx, fy, cx, cy, k1, k2, p1, p2 stands among the parameters (-1: zero).
_MODELS = {
    "SIMPLE_PINHOLE": (0, (0, 0, 1, 2, -1, -1, -1, -1)),
    "PINHOLE": (1, (0, 1, 2, 3, -1, -1, -1, -1)),
    "SIMPLE_RADIAL": (2, (0, 0, 1, 2, 3, -1, -1, -1)),
    "RADIAL": (3, (0, 0, 1, 2, 3, 4, -1, -1)),
    "OPENCV": (4, (0, 1, 2, 3, 4, 5, 6, 7)),
}
_PARAMETERS = (3, 4, 4, 5, 8)
_WHERE_COLMAP = ("", "sparse/0", "sparse", "colmap/sparse/0")


@dataclass(frozen=True)
class PosedPhoto:
    """One photograph: file, camera at the file's size, lens distortion (k1, k2, p1, p2 of OpenCV), mask file."""

    path: Path
    camera: Camera
    distortion: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    mask: Path | None = None


@dataclass(frozen=True)
class PhotoSet:
    """Photographs in one world, and points (N, 3) float64 of its surfaces, if any are known."""

    photos: tuple[PosedPhoto, ...]
    points: NDArray[np.float64]


def is_photo_set(folder: Path) -> bool:
    """Does the folder hold a transforms.json or a COLMAP model?"""
    return (folder / "transforms.json").is_file() or _colmap_folder(folder) is not None


def read_photo_set(folder: Path) -> PhotoSet:
    """Every photograph of ``folder`` that has a pose. World axes are the set's own.

    Raises InputNotFoundError (no set there), UnreadableError (damaged, a lens that is no pinhole, no posed photo).
    """
    model = _colmap_folder(folder)
    try:
        if (folder / "transforms.json").is_file():
            found = PhotoSet(tuple(_from_transforms(folder)), _ply_points(folder / "points.ply"))
        elif model is not None:
            found = _from_colmap(folder, model)
        else:
            raise InputNotFoundError(f"{folder}: neither transforms.json nor a COLMAP model", "give a photo set")
    except (ValueError, KeyError, IndexError, TypeError, struct.error) as error:
        raise UnreadableError(f"{folder}: its cameras cannot be read ({error})", "export them again") from error
    if not found.photos:
        raise UnreadableError(f"{folder}: no photograph has a pose", "register them first")
    return found


def _colmap_folder(folder: Path) -> Path | None:
    for where in _WHERE_COLMAP:
        for suffix in ("bin", "txt"):
            if all((folder / where / f"{name}.{suffix}").is_file() for name in ("cameras", "images")):
                return folder / where
    return None


def _from_transforms(folder: Path) -> Iterator[PosedPhoto]:
    facts = json.loads((folder / "transforms.json").read_text(encoding="utf-8"))
    for frame in facts["frames"]:
        if "transform_matrix" not in frame:  # a photo that was not registered
            continue
        own = {**facts, **frame}
        width, height = int(own["w"]), int(own["h"])
        if "fl_x" in own:
            fx, fy = float(own["fl_x"]), float(own.get("fl_y", own["fl_x"]))
        else:
            fx = fy = 0.5 * width / np.tan(0.5 * float(own["camera_angle_x"]))
        pose = np.asarray(frame["transform_matrix"], np.float64) @ GL_FROM_CV
        camera = Camera(width, height, fx, fy, float(own.get("cx", width / 2)), float(own.get("cy", height / 2)), pose)
        _check_pose(pose, frame["file_path"])
        bend = tuple(float(own.get(k, 0.0)) for k in ("k1", "k2", "p1", "p2"))
        mask = folder / frame["mask_path"] if frame.get("mask_path") else None
        yield PosedPhoto(_picture(folder, frame["file_path"]), camera, (bend[0], bend[1], bend[2], bend[3]), mask)


def _picture(folder: Path, name: str) -> Path:
    """The named file; some exporters leave the suffix out."""
    path = folder / name
    return path if path.suffix else path.with_suffix(".png")


def _check_pose(pose: NDArray[np.float64], name: str) -> None:
    turn = pose[:3, :3]
    if pose.shape != (4, 4) or not np.isfinite(pose).all() or np.abs(turn @ turn.T - np.eye(3)).max() > 1e-2:
        raise ValueError(f"{name}: its pose is no rotation and place")


def _from_colmap(folder: Path, model: Path) -> PhotoSet:
    read = _colmap_binary if (model / "cameras.bin").is_file() else _colmap_text
    cameras, images, points = read(model)
    photos = []
    for name, number, quaternion, shift in images:
        width, height, p, bend = cameras[number]
        pose = np.eye(4)
        turn = _rotation(quaternion)
        pose[:3, :3], pose[:3, 3] = turn.T, -turn.T @ shift
        _check_pose(pose, name)
        mask = folder / "masks" / f"{name}.png"
        camera = Camera(width, height, p[0], p[1], p[2], p[3], pose)
        photos.append(PosedPhoto(folder / "images" / name, camera, bend, mask if mask.is_file() else None))
    return PhotoSet(tuple(photos), points)


def _lens(model: int | str, p: Any) -> tuple[tuple[float, ...], tuple[float, float, float, float]]:
    """fx, fy, cx, cy and k1, k2, p1, p2 of a COLMAP camera."""
    for name, (number, places) in _MODELS.items():
        if model in (name, number):
            v = [float(p[i]) if i >= 0 else 0.0 for i in places]
            return (v[0], v[1], v[2], v[3]), (v[4], v[5], v[6], v[7])
    raise ValueError(f"its lens model {model} is none of {', '.join(_MODELS)}")


def _rotation(q: NDArray[np.float64]) -> NDArray[np.float64]:
    """camera_from_world (3, 3) of a quaternion wxyz."""
    w, x, y, z = q / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def _colmap_text(model: Path) -> tuple[Any, Any, NDArray[np.float64]]:
    def rows(name: str) -> list[str]:
        lines = (model / name).read_text(encoding="utf-8").splitlines() if (model / name).is_file() else []
        return [line for line in lines if not line.startswith("#")]

    cameras = {}
    for line in filter(str.strip, rows("cameras.txt")):
        number, kind, width, height, *p = line.split()
        cameras[int(number)] = (int(width), int(height), *_lens(kind, p))
    images = []
    for line in rows("images.txt")[::2]:  # the line after each lists its key points, and may be empty
        words = line.split(maxsplit=9)
        if words:
            v = np.array(words[1:8], np.float64)
            images.append((words[9], int(words[8]), v[:4], v[4:]))
    points = [line.split()[1:4] for line in rows("points3D.txt") if line.strip()]
    return cameras, images, np.array(points, np.float64).reshape(-1, 3)


def _colmap_binary(model: Path) -> tuple[Any, Any, NDArray[np.float64]]:
    data, at = (model / "cameras.bin").read_bytes(), 8
    cameras = {}
    for _ in range(struct.unpack_from("<Q", data)[0]):
        number, kind, width, height = struct.unpack_from("<iiQQ", data, at)
        if not 0 <= kind < len(_PARAMETERS):
            raise ValueError(f"its lens model number {kind} is none of {', '.join(_MODELS)}")
        p = struct.unpack_from(f"<{_PARAMETERS[kind]}d", data, at + 24)
        cameras[number] = (int(width), int(height), *_lens(kind, p))
        at += 24 + 8 * _PARAMETERS[kind]
    data, at = (model / "images.bin").read_bytes(), 8
    images = []
    for _ in range(struct.unpack_from("<Q", data)[0]):
        values = struct.unpack_from("<i7di", data, at)
        end = data.index(b"\0", at + 64)
        name = data[at + 64 : end].decode("utf-8")
        seen = struct.unpack_from("<Q", data, end + 1)[0]
        images.append((name, values[8], np.array(values[1:5]), np.array(values[5:8])))
        at = end + 9 + 24 * seen
    return cameras, images, _binary_points(model / "points3D.bin")


def _binary_points(path: Path) -> NDArray[np.float64]:
    if not path.is_file():
        return np.zeros((0, 3))
    data, at, points = path.read_bytes(), 8, []
    for _ in range(struct.unpack_from("<Q", data)[0]):
        points.append(struct.unpack_from("<3d", data, at + 8))
        at += 51 + 8 * struct.unpack_from("<Q", data, at + 43)[0]
    return np.array(points, np.float64).reshape(-1, 3)


def _ply_points(path: Path) -> NDArray[np.float64]:
    """Vertices of a PLY beside transforms.json, if there is one."""
    import trimesh

    if not path.is_file():
        return np.zeros((0, 3))
    cloud: Any = trimesh.load(path, process=False)
    return np.asarray(cloud.vertices, np.float64)
