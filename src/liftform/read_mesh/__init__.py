"""Files -> Mesh: GLB, glTF, OBJ, PLY, STL, OFF, 3MF, USD and whatever else trimesh opens, hostile ones included."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

import numpy as np

from ..assets import Mesh
from ..errors import InputError, LiftformError, UnreadableError
from . import sniff
from .source import MAX_BYTES, MAX_FACES, Found, Source, in_use, moved, opened, readable

__all__ = ["MAX_BYTES", "MAX_FACES", "read_mesh"]

#: kind -> the module whose ``read`` reads it; all others go to trimesh.
_READERS = {
    "glb": "gltf",
    "gltf": "gltf",
    "obj": "obj",
    "ply": "ply",
    "stl": "stl",
    "3mf": "threemf",
    "usd": "usd",
}
#: Suffixes offered in messages.
_COMMON = " ".join(suffixes[0] for suffixes in sniff.KINDS.values())
_Y_UP_FROM_Z_UP = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])


def read_mesh(path: str | Path, flatten: bool = True, max_faces: int = MAX_FACES) -> Mesh:
    """The triangles of a file as one Mesh: in metres where the file has a unit, +Y up where it names an up axis.

    A scene is flattened with its transforms. flatten: of several materials only the colours survive, as vertex
    colours; False: they come back in ``materials``, with every map that glTF knows. One material always keeps its
    maps (origin of uv top-left). Vertices are kept as stored (seams doubled; STL's are shared), faces with a missing
    corner are dropped, quadrilaterals of OBJ, PLY and USD are noted in ``quads``. What liftform wrote comes back:
    ``seen``, ``confidence``, metadata. The content decides what a file is, not its name.

    metadata["file"] = {"format", "warnings": what is missing or left out}; metadata["scale"] = {"unit": "metre" where
    the file says so (glTF, 3MF, USD, liftform's own), else "unknown", "size"}, unless liftform wrote one.

    Raises InputNotFoundError (no such file, a folder), UnreadableError (empty, damaged, no known format),
    TooLargeError (more than ``max_faces`` triangles, MAX_BYTES bytes, or too large textures), MissingExtraError
    (USD, or compressed glTF, without the package that reads it) and InputError (no faces, or coordinates that are not
    finite).
    """
    path = Path(path)
    source = opened(path, max_faces)
    kind = _kind(source)
    try:
        with np.errstate(all="ignore"):  # values beyond float32 become infinite, which is reported below
            found = _found(source, kind)
            mesh = _joined(source, found, flatten)
    except LiftformError:
        raise
    except Exception as error:  # a damaged file can break any assumption of its reader
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        what = f"{path}: damaged, or not a {path.suffix} file ({reason})"
        raise UnreadableError(what, "export it again") from error
    return _checked(mesh, path).validate()


def _kind(source: Source) -> str:
    """What the file is, by content, else by its suffix; raises UnreadableError when neither says."""
    from . import generic

    suffix = source.path.suffix.lower()
    promised = sniff.kind_of_suffix(suffix)
    kind = sniff.kind_of(source.data)
    if kind is not None:
        if suffix not in sniff.KINDS[kind]:
            source.note(f"its name ends in {suffix or 'nothing'}, its content is {kind.upper()}: that was believed")
        return kind
    if promised is not None:
        return promised
    if not generic.opens(suffix):
        what = suffix or "a name without suffix"
        raise UnreadableError(f"{source.path}: {what} is no known mesh format", f"use {_COMMON}")
    return suffix.lstrip(".")


def _found(source: Source, kind: str) -> Found:
    """What the reader of this kind finds."""
    if kind in _READERS:
        reader: Any = importlib.import_module(f".{_READERS[kind]}", __name__)
        found: Found = reader.read(source)
        return found
    from . import generic

    return generic.read(source, kind)


def _joined(source: Source, found: Found, flatten: bool) -> Mesh:
    """One mesh of what was found, in metres and upright as far as the file says, with its metadata."""
    from .join import joined

    parts = [part for part in found.parts if len(part.faces)]
    if not parts:
        raise InputError(f"{source.path}: has no faces", "points and lines cannot be used as a mesh")
    source.allow(sum(len(part.faces) for part in parts))
    mesh = joined(parts, flatten)
    matrix = np.diag([found.metres or 1.0] * 3 + [1.0]) @ (_Y_UP_FROM_Z_UP if found.z_up else np.eye(4))
    mesh = moved(mesh, matrix)
    mesh = mesh.with_(name=mesh.name if len(parts) == 1 and mesh.name else readable(os.fsencode(source.path.stem)))
    return mesh.with_(metadata=_metadata(source, found, mesh))


def _metadata(source: Source, found: Found, mesh: Mesh) -> dict[str, Any]:
    unit = "unknown" if found.metres is None or found.guessed else "metre"
    size = [round(float(x), 6) for x in np.ptp(mesh.vertices, axis=0)]
    scale = {"unit": unit, "factor": found.metres or 1.0, "size": size}
    return {"scale": scale, **mesh.metadata, "file": {"format": found.format, "warnings": source.notes}}


def _checked(mesh: Mesh, path: Path) -> Mesh:
    """The mesh, if it is one: finite, and not all in one point."""
    if not np.isfinite(mesh.vertices).all():
        raise InputError(f"{path}: has coordinates that are not finite", "export the file again")
    if not np.ptp(mesh.vertices[in_use(mesh)], axis=0).any():  # undecoded compressed geometry looks like that
        hint = "if it is compressed, save it uncompressed; if it is far from the origin, move it there"
        raise InputError(f"{path}: all its faces lie in one point", hint)
    return mesh
