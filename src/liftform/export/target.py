"""The formats liftform writes, and the check of a target before any work is done."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from ..errors import OutputError
from ..files import reason
from ..runtime import need

#: Suffix -> what is written.
FORMATS = {
    ".glb": "glTF 2.0, textured, for engines, viewers and the web",
    ".obj": "Wavefront OBJ with .mtl and textures beside it, true quads",
    ".ply": "vertex colours and how far each vertex was seen, or a point cloud, or splats",
    ".stl": "geometry alone, for printing",
    ".3mf": "geometry with colours in millimetres, for printing",
    ".usdz": "USD in one file, for AR on Apple devices (extra usd)",
    ".usda": "USD as text, textures beside it, true quads (extra usd)",
    ".usdc": "USD, binary, textures beside it, true quads (extra usd)",
    ".spz": "splats of photo sets, packed",
    ".las": "points of photo sets, for surveying tools",
}


def check_suffix(path: str | Path) -> str:
    """The lower-case suffix of ``path`` if liftform writes that format; else OutputError naming the known ones.

    Raises MissingExtraError for USD without usd-core.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        what = f"unknown output format {suffix!r}" if suffix else "the output file has no suffix"
        raise OutputError(f"{path}: {what}", f"known: {' '.join(FORMATS)}")
    if suffix.startswith(".usd") and importlib.util.find_spec("pxr") is None:
        need("pxr", "usd")
    return suffix


def check_target(path: str | Path) -> Path:
    """``path`` as a Path if an asset can be written there; else OutputError saying what is in the way.

    Meant to be called before any work: unknown suffix, missing or unwritable folder, a folder or device of that name.
    """
    path = Path(path)
    check_suffix(path)
    try:
        parent = path.resolve().parent
        if path.is_dir():
            raise OutputError(f"{path}: is a folder, not a file", "give the asset a name, as in chair.glb")
        if path.exists() and not path.is_file():
            raise OutputError(f"{path}: is not a regular file", "choose another target")
        if not parent.is_dir():
            state = "is not a folder" if parent.exists() else "does not exist"
            raise OutputError(f"{path}: the folder {parent} {state}", "create it first or choose another target")
    except (OSError, ValueError) as error:
        raise OutputError(f"{str(path)!r}: not a usable file name ({reason(error)})", "choose another") from error
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: the folder {parent} is not writable", "choose another target")
    return path
