"""Asset -> file: glTF, OBJ, PLY and STL, chosen by suffix, written whole or not at all."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..assets import Mesh, PointCloud
from ..errors import OutputError
from ..files import write_whole
from ..recipe import option
from .target import FORMATS, check_suffix, check_target

__all__ = ["FORMATS", "ExportOptions", "check_suffix", "check_target", "encoded", "save"]

_MODULES = {".glb": "gltf", ".obj": "obj", ".ply": "ply", ".stl": "stl"}


@dataclass(frozen=True)
class ExportOptions:
    """How textures are stored."""

    texture_format: Literal["png", "jpeg"] = option(
        "png", "how textures are stored: png (exact) or jpeg (smaller)", keyword="texture_format"
    )
    jpeg_quality: int = option(92, "quality of jpeg textures", low=30, high=100)


def save(asset: Mesh | PointCloud, path: str | Path, options: ExportOptions | None = None) -> list[Path]:
    """Write ``asset`` (world frame) in the format of the suffix; the same asset gives the same bytes.

    .glb: everything the mesh holds; ``seen`` as the attribute _SEEN, metadata as extras. .obj: with <name>.mtl and
    <name>_color.png|jpg beside it. .ply: mesh with vertex colours and ``seen``, or a PointCloud. .stl: geometry alone.
    Coordinates are written as they are, +Y up, front to +Z; the unit in ``metadata["scale"]["unit"]`` ("metre" or
    "unknown") is noted in the file.

    Returns the files written, the asset first. Raises OutputError (unknown suffix, target unwritable, disk full, an
    asset the format cannot hold) with nothing left behind, and InputError when the asset is not valid.
    """
    path = check_target(path)
    written = write_whole(encoded(asset, path, options))
    return sorted(written, key=lambda file: file != path)


def encoded(asset: Mesh | PointCloud, path: str | Path, options: ExportOptions | None = None) -> dict[Path, bytes]:
    """What ``save`` would write: file -> bytes, for callers that write more beside it. Raises as ``save`` does."""
    path = Path(path)
    suffix = check_suffix(path)
    if isinstance(asset, PointCloud) and suffix != ".ply":
        raise OutputError(f"{path}: {suffix} files hold meshes, this is a point cloud", "save it as .ply")
    asset.validate()
    encode = importlib.import_module(f".{_MODULES[suffix]}", __name__).encode
    files: dict[Path, bytes] = encode(asset, path, options or ExportOptions())
    return files
