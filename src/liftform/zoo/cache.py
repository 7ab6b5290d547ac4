"""Where the files of public models lie on this machine, and what is recorded of them: sha256, consent, a lock."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..errors import OutputError, WeightsError
from ..files import reason, whole_file
from .public import File, Public, model

_CHUNK = 1 << 20


def root() -> Path:
    """LIFTFORM_CACHE, else the user's cache folder of this system; nothing is created."""
    given = os.environ.get("LIFTFORM_CACHE")
    if given:
        return Path(given).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", "~/AppData/Local")).expanduser() / "liftform" / "cache"
    if sys.platform == "darwin":
        return Path("~/Library/Caches/liftform").expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "liftform"


def hub_root() -> Path:
    """The cache that huggingface_hub shares among programs: HF_HUB_CACHE, or HF_HOME/hub, or its default."""
    given = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if given:
        return Path(given).expanduser()
    home = os.environ.get("HF_HOME") or str(Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface")
    return Path(home).expanduser() / "hub"


def offline() -> bool:
    """Whether LIFTFORM_OFFLINE or HF_HUB_OFFLINE forbids the network."""
    words = (os.environ.get(name, "").lower() for name in ("LIFTFORM_OFFLINE", "HF_HUB_OFFLINE"))
    return any(word in ("1", "true", "yes", "on") for word in words)


def folder(name: str) -> Path:
    """Where files of ``name`` lie that were pulled by https or imported."""
    return root() / "models" / name


def own_path(name: str, file: File) -> Path:
    """Where liftform itself keeps one file."""
    return folder(name) / file.path


def find(name: str, file: File) -> Path | None:
    """The file where it lies: in liftform's cache, else in the hub's; None when it is on neither."""
    own = own_path(name, file)
    if own.is_file():
        return own
    row = model(name)
    shared = _in_hub(row, file) if row.repository else None
    return shared if shared is not None and shared.is_file() else None


def _in_hub(row: Public, file: File) -> Path | None:
    """By the layout that huggingface_hub documents: refs name a commit, snapshots hold its files."""
    base = hub_root() / f"models--{row.repository.replace('/', '--')}"
    ref = base / "refs" / row.revision
    try:
        commit = ref.read_text(encoding="utf-8").strip() if ref.is_file() else row.revision
    except OSError:
        return None
    return base / "snapshots" / commit / file.path


# -- what is recorded ------------------------------------------------------------------------------------------------


def record(name: str) -> dict[str, Any]:
    """path of a file -> {"sha256", "size", "mtime_ns"}, as noted when it came; empty when nothing is noted."""
    try:
        found = json.loads((folder(name) / "record.json").read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError):
        return {}


def note(name: str, file: File, path: Path, sha256: str) -> None:
    """Record what a file was when it came."""
    stat = path.stat()
    facts = {"sha256": sha256, "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    write_json(folder(name) / "record.json", {**record(name), file.path: facts})


def expected(name: str, file: File) -> str:
    """The sha256 that a file must have: the published one, else that of its first download, else ""."""
    return file.sha256 or str(record(name).get(file.path, {}).get("sha256", ""))


def checked(name: str, file: File, path: Path, whole: bool = False) -> Path:
    """``path`` after a look at its bytes: all of them when ``whole`` or when size or time differ from the record.

    Raises WeightsError when they are not the expected ones. A file met for the first time is recorded.
    """
    known, stat = record(name).get(file.path, {}), path.stat()
    same = (known.get("size"), known.get("mtime_ns")) == (stat.st_size, stat.st_mtime_ns)
    trusted = same and file.sha256 in ("", known.get("sha256"))
    if trusted and not whole:
        return path
    found, wanted = sha256_of(path), expected(name, file)
    if wanted and found != wanted:
        raise WeightsError(
            f"{path}: not the published bytes of {name!r} (sha256 {found[:12]}…, expected {wanted[:12]}…)",
            f"liftform models remove {name}, then pull it again",
        )
    if not trusted:
        with suppress(OutputError):  # a cache that others fill may be read-only here
            note(name, file, path, found)
    return path


def sha256_of(path: Path) -> str:
    """Hexadecimal digest of a file; raises WeightsError when it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({reason(error)})", "check the disk and its permissions") from error
    return digest.hexdigest()


def accepted(name: str) -> bool:
    """Whether the licence of ``name`` was accepted on this machine."""
    return name in _consents()


def accept(name: str) -> None:
    """Note that the licence of ``name`` was accepted."""
    write_json(root() / "accepted.json", {**_consents(), name: model(name).licence_line})


def _consents() -> dict[str, str]:
    try:
        return dict(json.loads((root() / "accepted.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def write_json(path: Path, content: Any) -> None:
    """Write whole; raises OutputError that names the cache and how to choose another."""
    make_folder(path.parent)
    try:
        with whole_file(path) as beside:
            beside.write_text(json.dumps(content, indent=1, sort_keys=True), encoding="utf-8")
    except OutputError as error:
        raise OutputError(error.message, "set LIFTFORM_CACHE to a folder that can be written") from error


def make_folder(path: Path) -> None:
    """Create a folder of the cache; raises OutputError when the disk refuses."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(path, error) from error


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Alone on this machine with the files of ``name``: another process waits here until we are done.

    The system frees the lock when a process dies. Raises OutputError when the cache cannot be written.
    """
    make_folder(root() / "locks")
    path = root() / "locks" / f"{name}.lock"
    try:
        handle = path.open("a+b")
    except OSError as error:
        raise disk_error(path, error) from error
    with handle:
        _lock(handle.fileno())
        yield


def _lock(handle: int) -> None:
    """Wait for the lock of an open file; closing it frees the lock."""
    if sys.platform == "win32":
        import msvcrt

        while True:
            try:
                return msvcrt.locking(handle, msvcrt.LK_LOCK, 1)
            except OSError:  # gives up after ten seconds; a download takes longer
                continue
    import fcntl

    fcntl.flock(handle, fcntl.LOCK_EX)


def why(error: Exception) -> str:
    """What the system said, also from inside urllib's errors."""
    inner = getattr(error, "reason", error)
    return reason(inner) if isinstance(inner, Exception) else str(inner)


def disk_error(target: Path, error: OSError) -> OutputError:
    """The error to raise when the disk refuses ``target``: full, or not writable."""
    if error.errno == errno.ENOSPC:
        return OutputError(f"{target}: the disk is full", "free space, or set LIFTFORM_CACHE to another disk")
    hint = "set LIFTFORM_CACHE to a folder that can be written"
    return OutputError(f"{target}: the cache cannot be written ({reason(error)})", hint)
