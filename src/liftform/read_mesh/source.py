"""A file that is being read, and what was found in it: bytes, the files beside it, limits, warnings, parts."""

from __future__ import annotations

import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..assets import Material, Mesh
from ..errors import InputError, InputNotFoundError, TooLargeError, UnreadableError

#: The most triangles that are read unless the caller says otherwise: about 1 GB of memory, whatever the format.
MAX_FACES = 6_000_000
#: The most bytes that are read from a file, or unpacked from an archive.
MAX_BYTES = 1 << 30


@dataclass
class Source:
    """A file's bytes, and what may be asked of its surroundings; ``notes`` gathers what the user should know."""

    path: Path
    data: bytes
    max_faces: int = MAX_FACES
    notes: list[str] = field(default_factory=list)
    _spent: int = 0

    def note(self, text: str) -> None:
        """Remember a warning, once."""
        if text not in self.notes:
            self.notes.append(text)

    def allow(self, faces: int) -> None:
        """Raise TooLargeError when the file holds more triangles than are read."""
        if faces > self.max_faces:
            what = f"{self.path}: has {faces:,} faces, more than the limit of {self.max_faces:,}"
            raise TooLargeError(what, "simplify or split it first, or raise max_faces where there is memory")

    def spend(self, faces: int) -> None:
        """The same, of triangles that come on top of those spent before."""
        self._spent += faces
        self.allow(self._spent)

    def damaged(self, what: str) -> UnreadableError:
        """The error for a broken file."""
        return UnreadableError(f"{self.path}: damaged ({what})", "export it again")

    def beside(self, name: str) -> bytes | None:
        """The bytes of the file that this one calls ``name``, or None: beside it or in a folder below, nowhere else.

        Absolute names (from the machine that wrote the file) and names of other case are looked for beside it.
        """
        for candidate in _candidates(self.path.parent, name):
            try:
                if candidate.is_file() and candidate.stat().st_size <= MAX_BYTES:
                    return candidate.read_bytes()
            except (OSError, ValueError):
                continue
        return None


@dataclass
class Found:
    """What a reader found: parts of at most one material each, in place, and what the format says of units and axes.

    metres: of one unit of the file, None where it does not say; guessed: it says that its unit is none to rely on.
    z_up: the file says that +Z points up.
    """

    format: str
    parts: list[Mesh]
    metres: float | None = None
    z_up: bool = False
    guessed: bool = False


def opened(path: Path, max_faces: int) -> Source:
    """The file's bytes. Raises InputNotFoundError, UnreadableError (empty) or TooLargeError, with the path in front."""
    try:
        if path.is_dir() or not path.exists():
            what = "is a folder" if path.is_dir() else "no such file"
            raise InputNotFoundError(f"{path}: {what}", "give the path of a mesh file")
        if not path.is_file():
            raise UnreadableError(f"{path}: is not a regular file", "give the path of a mesh file")
        size = path.stat().st_size
        if size > MAX_BYTES:
            limit = MAX_BYTES >> 20
            raise TooLargeError(f"{path}: {size >> 20} MiB, more than the limit of {limit} MiB", "simplify it first")
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputNotFoundError(f"{str(path)!r}: {reason}", "give the path of a mesh file") from error
    if not data:
        raise UnreadableError(f"{path}: the file is empty", "export it again")
    return Source(path, data, max_faces)


def readable(text: bytes) -> str:
    """A name from a file: UTF-8 where it is, else Latin-1; without control characters."""
    try:
        name = text.decode("utf-8")
    except UnicodeDecodeError:
        name = text.decode("latin-1")
    return "".join(c for c in name if c.isprintable()).strip()


def _candidates(folder: Path, name: str) -> Sequence[Path]:
    """Where a file called ``name`` may lie; never outside of ``folder``."""
    found = []
    for spelled in dict.fromkeys((name, urllib.parse.unquote(name))):
        parts = PurePosixPath(spelled.replace("\\", "/")).parts
        clean = [part for part in parts if part not in (".", "/")]
        if not clean or "\0" in spelled:
            continue
        if ".." not in clean and not clean[0].endswith(":"):
            found.append(folder.joinpath(*clean))
        found.append(folder / clean[-1])
        found += [other for other in _listed(folder) if other.name.lower() == clean[-1].lower()]
    root = folder.resolve()
    return [path for path in found if path.resolve().is_relative_to(root)]


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def moved(mesh: Mesh, matrix: NDArray[np.float64]) -> Mesh:
    """The part carried by a 4x4 matrix; a mirroring one turns its faces over. Raises InputError for a broken matrix."""
    if np.array_equal(matrix, np.eye(4)):
        return mesh
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise InputError("a transform is not a finite 4x4 matrix")
    linear = matrix[:3, :3]
    vertices = (mesh.vertices.astype(np.float64) @ linear.T + matrix[:3, 3]).astype(np.float32)
    normals = None if mesh.normals is None else unit_or_none(mesh.normals.astype(np.float64) @ np.linalg.pinv(linear))
    faces = turned_over(mesh) if np.linalg.det(linear) < 0 else mesh.faces
    return mesh.with_(vertices=vertices, normals=normals, faces=faces)


def compact(mesh: Mesh) -> Mesh:
    """The part without vertices that no face uses."""
    used = np.flatnonzero(in_use(mesh))
    if len(used) == len(mesh.vertices):
        return mesh
    number = np.zeros(len(mesh.vertices), np.int32)
    number[used] = np.arange(len(used), dtype=np.int32)
    fields = ("normals", "uv", "colors", "seen", "confidence")
    kept = {name: value[used] for name in fields if (value := getattr(mesh, name)) is not None}
    return mesh.with_(vertices=mesh.vertices[used], faces=number[mesh.faces], **kept)


def in_use(mesh: Mesh) -> NDArray[np.bool_]:
    """Which vertices (V,) some face has."""
    used = np.zeros(len(mesh.vertices), bool)
    used[mesh.faces] = True
    return used


def turned_over(mesh: Mesh) -> NDArray[np.int32]:
    """The faces seen from the other side; quadrilaterals keep their diagonal."""
    quads, triangles = mesh.polygons
    halves = quads[:, [0, 3, 2, 0, 2, 1]].reshape(-1, 3)
    return np.concatenate([halves, triangles[:, ::-1]]).astype(np.int32)


def unit_or_none(normals: NDArray[np.float64]) -> NDArray[np.float32] | None:
    """Rows of (V, 3) at unit length, or None when one of them has no direction."""
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    if not np.isfinite(length).all() or (length < 1e-9).any():
        return None
    unit: NDArray[np.float32] = (normals / length).astype(np.float32)
    return unit


def untextured(material: Material) -> Material:
    """The material for a surface without texture coordinates."""
    bare: dict[str, Any] = dict.fromkeys(material.textures)
    return replace(material, **bare) if bare else material
