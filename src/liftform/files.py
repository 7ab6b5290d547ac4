"""Files written whole or not at all: beside the target, then renamed."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from .errors import OutputError


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A file beside ``path`` to write into: it takes the name at the end, or vanishes after an error.

    Raises OutputError when the disk refuses (no such folder, no permission, no room).
    """
    path = Path(path)
    beside = path.with_name(f".liftform-{secrets.token_hex(8)}{path.suffix}")
    try:
        yield beside
        os.replace(beside, path)
    except OSError as error:
        raise OutputError(f"{path}: cannot write there ({reason(error)})", "choose another target") from error
    finally:
        beside.unlink(missing_ok=True)


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
        raise OutputError(f"{named}: cannot write ({reason(error)})", "free space or choose another target") from error
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


def reason(error: Exception) -> str:
    """What the system said of an error, without the path."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
