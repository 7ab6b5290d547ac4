"""Files written whole or not at all, and the check of a target before any work is done."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from ..errors import OutputError

#: Suffix -> what is written.
FORMATS = {
    ".glb": "glTF 2.0, textured, for engines, viewers and the web",
    ".obj": "Wavefront OBJ with .mtl and texture beside it",
    ".ply": "vertex colours and how far each vertex was seen, or a point cloud",
    ".stl": "geometry alone, for printing",
}


def check_suffix(path: str | Path) -> str:
    """The lower-case suffix of ``path`` if liftform writes that format; else OutputError naming the known ones."""
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        what = f"unknown output format {suffix!r}" if suffix else "the output file has no suffix"
        raise OutputError(f"{path}: {what}", f"known: {' '.join(FORMATS)}")
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
        raise OutputError(f"{str(path)!r}: not a usable file name ({_reason(error)})", "choose another") from error
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: the folder {parent} is not writable", "choose another target")
    return path


def write_whole(files: Mapping[Path, bytes]) -> list[Path]:
    """Write every file or none: each beside its target, flushed to the disk, then all renamed in the order given.

    When a rename fails, the files renamed before it get their old contents back. Symbolic links are followed.
    Returns the targets. Raises OutputError (no room, no permission, a folder in the way); nothing is left behind.
    """
    parts: dict[Path, Path] = {}
    try:
        for target, data in files.items():
            real = target.resolve()
            parts[real] = real.with_name(f".liftform-{secrets.token_hex(8)}.part")
            _write_synced(parts[real], data)
        _replace_all(parts)
    except (OSError, ValueError) as error:
        named = ", ".join(str(target) for target in files)
        raise OutputError(f"{named}: cannot write ({_reason(error)})", "free space or choose another target") from error
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)
    return list(files)


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _replace_all(parts: Mapping[Path, Path]) -> None:
    """Rename every part to its target; undo all when one fails."""
    backups: dict[Path, Path | None] = {}
    try:
        for target, part in parts.items():
            backup = None
            if len(parts) > 1 and target.exists():  # a single rename needs no way back
                backup = target.with_name(f"{part.name}.old")
                backups[target] = backup
                shutil.copy2(target, backup)
            os.replace(part, target)
            backups[target] = backup
    except BaseException:
        for target, backup in backups.items():
            _restore(target, backup)
        raise
    for backup in backups.values():
        if backup:
            backup.unlink()


def _restore(target: Path, backup: Path | None) -> None:
    if backup is None:
        target.unlink(missing_ok=True)
    elif backup.exists():
        os.replace(backup, target)


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
