"""COLMAP's models of a photo set, text or binary: cameras, images, points.

Reference: https://colmap.github.io/format.html.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
_WHERE = ("", "sparse/0", "sparse", "colmap/sparse/0", "colmap")


def read(model: Path) -> tuple[dict[int, Any], list[Any], NDArray[np.float64]]:
    """The model in a folder: cameras, number -> (width, height, (fx, fy, cx, cy), (k1, k2, p1, p2)); images, rows of
    (name, number of camera, quaternion wxyz and shift of camera_from_world); points (N, 3).

    Raises ValueError, IndexError or struct.error where it is damaged, OSError where it is not there.
    """
    return _binary(model) if (model / "cameras.bin").is_file() else _text(model)


def folder_of(folder: Path) -> Path | None:
    """Where under ``folder`` a model lies, or None."""
    for where in _WHERE:
        for suffix in ("bin", "txt"):
            if all((folder / where / f"{name}.{suffix}").is_file() for name in ("cameras", "images")):
                return folder / where
    return None


def _lens(model: int | str, p: Any) -> tuple[tuple[float, ...], tuple[float, float, float, float]]:
    """fx, fy, cx, cy and k1, k2, p1, p2 of a COLMAP camera."""
    for name, (number, places) in _MODELS.items():
        if model in (name, number):
            v = [float(p[i]) if i >= 0 else 0.0 for i in places]
            return (v[0], v[1], v[2], v[3]), (v[4], v[5], v[6], v[7])
    raise ValueError(f"its lens model {model} is none of {', '.join(_MODELS)}")


def rotation(q: NDArray[np.float64]) -> NDArray[np.float64]:
    """camera_from_world (3, 3) of a quaternion wxyz."""
    w, x, y, z = q / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def _text(model: Path) -> tuple[Any, Any, NDArray[np.float64]]:
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


def _binary(model: Path) -> tuple[Any, Any, NDArray[np.float64]]:
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
