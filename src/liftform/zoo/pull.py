"""Public models brought to this machine: from a hub, from release files by https, or from a file at hand."""

from __future__ import annotations

import logging
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any

from ..errors import UsageError, WeightsError
from ..runtime import Runtime
from . import cache
from .checkpoint import stranger
from .public import File, Public, model

log = logging.getLogger("liftform")

_CHUNK = 1 << 20
_SECONDS = 30
#: Bytes of files that are not counted in the table, so that progress has something to divide by.
_SMALL = 1 << 20


def pull(name: str, runtime: Runtime | None = None, accept: bool = False) -> dict[str, Path]:
    """role -> path of every file of a public model, downloaded where it is not here yet.

    A download that was cut off goes on where it stopped; a second process waits for the first. accept: the user has
    accepted the licence, for models whose licence asks for it. Progress is the stage "pull NAME".
    Raises UsageError (no such model, licence not accepted), WeightsError (no network, gated, not the published bytes),
    OutputError (cache not writable, disk full), MissingExtraError.
    """
    row, runtime = model(name), runtime or Runtime()
    if row.accept and not cache.accepted(name):
        if not accept:
            hint = f"read {row.page}, then liftform models pull {name} --accept-licence"
            raise UsageError(f"the licence of {name!r} ({row.weights}) asks for your consent", hint)
        cache.accept(name)
    here = {file.role: cache.find(name, file) for file in row.files}
    if all(here.values()):  # no lock: this cache may be one that others fill
        return {file.role: cache.checked(name, file, path) for file in row.files if (path := here[file.role])}
    log.info("pulling %s: %s", name, row.licence_line)
    with cache.locked(name):
        told = _Told(name, row, runtime)
        return {file.role: _one(name, row, file, told) for file in row.files}


def put(name: str, source: Path) -> list[Path]:
    """Take files of a model from ``source``, a file of the right name or a folder that holds several, into the cache.

    Returns where they lie. Raises UsageError (nothing of this model there), WeightsError (not the published bytes),
    OutputError.
    """
    row = model(name)
    if not source.exists():
        raise UsageError(f"{source}: no such file or folder", f"import a file of {row.page}")
    pairs = _in_folder(row, source) if source.is_dir() else [(file, source) for file in _meant(row, source)]
    if not pairs:
        wanted = ", ".join(file.path for file in row.files)
        raise UsageError(f"{source}: holds no file of {name!r}", f"it has: {wanted}")
    with cache.locked(name):
        return [_copied(name, file, path) for file, path in pairs]


def remove(name: str) -> list[Path]:
    """Delete the files of a model from liftform's cache and from the hub's; returns what was there."""
    row, gone = model(name), []
    with cache.locked(name):
        for file in row.files:
            while (path := cache.find(name, file)) is not None:
                _unlink(path)
                gone.append(path)
        shutil.rmtree(cache.folder(name), ignore_errors=True)
    return gone


def three_ways(name: str) -> str:
    """What to do on a machine without network."""
    row = model(name)
    folder = "HF_HOME or LIFTFORM_CACHE" if row.repository else "LIFTFORM_CACHE"
    return (
        f"with network: liftform models pull {name}; without: liftform models import {name} FILE ({row.page}); "
        f"or set {folder} to a folder that has it"
    )


class _Told:
    """Progress of several files as one stage."""

    def __init__(self, name: str, row: Public, runtime: Runtime) -> None:
        self._stage, self._progress = f"pull {name}", runtime.progress
        self._total, self._done = sum(file.size or _SMALL for file in row.files), 0

    def of(self, file: File) -> Callable[[int, int], None]:
        """A callback for (bytes that are here, all bytes or 0) of one file."""
        start, share = self._done, file.size or _SMALL
        self._done += share

        def tell(here: int, whole: int) -> None:
            part = min(1.0, here / max(whole or share, 1))
            self._progress(self._stage, min(1.0, (start + part * share) / self._total))

        return tell


def _one(name: str, row: Public, file: File, told: _Told) -> Path:
    tell = told.of(file)
    here = cache.find(name, file)
    if here is None:
        if cache.offline():
            raise WeightsError(f"{name!r} is not on this machine, and the network is switched off", three_ways(name))
        if row.repository:
            from .hub import fetch

            here = fetch(row, file, tell, three_ways(name))
        else:
            here = _from_release(name, row, file, tell)
    tell(1, 1)
    return cache.checked(name, file, here)


# -- release files: plain https --------------------------------------------------------------------------------------


def _from_release(name: str, row: Public, file: File, tell: Callable[[int, int], None]) -> Path:
    """Download beside the target and rename; what arrived before a break stays as NAME.part and is gone on with."""
    target = cache.own_path(name, file)
    cache.make_folder(target.parent)
    part = target.with_name(target.name + ".part")
    url = f"{row.source}/{file.path}"
    try:
        _download(url, part, tell, three_ways(name))
        _check_arrived(name, file, part, url)
        os.replace(part, target)
    except OSError as error:
        raise cache.disk_error(target, error) from error
    return target


def _download(url: str, part: Path, tell: Callable[[int, int], None], ways: str) -> None:
    """Append to ``part`` what it lacks of ``url``; raises WeightsError, or OSError of the disk."""
    start = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "liftform", **_range(start)})
    try:
        answer = urllib.request.urlopen(request, timeout=_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code == 416 and start:  # nothing is left to send, or the file has changed: its sha256 will tell
            return
        raise WeightsError(f"{url}: the server refuses it (HTTP {error.code})", _refused(error.code)) from error
    except (OSError, HTTPException) as error:
        raise WeightsError(f"{url}: cannot be reached ({cache.why(error)})", ways) from error
    with answer, part.open("ab" if answer.status == 206 else "wb") as file:
        here = file.tell()
        whole = here + int(answer.headers.get("Content-Length") or 0)
        while chunk := _received(answer, url):
            file.write(chunk)
            here += len(chunk)
            tell(here, whole)
    if here < whole:
        raise WeightsError(f"{url}: the download broke off at {here} of {whole} bytes", "pull again: it goes on there")


def _received(answer: Any, url: str) -> bytes:
    try:
        chunk: bytes = answer.read(_CHUNK)
        return chunk
    except (OSError, HTTPException) as error:
        raise WeightsError(
            f"{url}: the download broke off ({cache.why(error)})", "pull again: it goes on there"
        ) from error


def _check_arrived(name: str, file: File, part: Path, url: str) -> None:
    """What came is what was published; otherwise it is thrown away."""
    with part.open("rb") as stream:
        kind = stranger(stream.read(64))
    found, wanted = cache.sha256_of(part), cache.expected(name, file)
    if not kind and (not wanted or found == wanted):
        return
    size = part.stat().st_size
    part.unlink()
    if kind:
        raise WeightsError(f"{url}: sent {kind} instead of weights", "a proxy or login page may stand in between")
    raise WeightsError(
        f"{url}: {size} bytes came that are not the published ones (sha256 {found[:12]}…, expected {wanted[:12]}…)",
        "pull again; if it stays so, the file was changed at its source: do not use it",
    )


def _range(start: int) -> dict[str, str]:
    return {"Range": f"bytes={start}-"} if start else {}


def _refused(code: int) -> str:
    return "it may have moved" if code == 404 else "try again later"


# -- files at hand ---------------------------------------------------------------------------------------------------


def _in_folder(row: Public, folder: Path) -> list[tuple[File, Path]]:
    """The files of a row in a folder laid out as its repository is, or flat."""
    found = []
    for file in row.files:
        flat = len(_named(row, Path(file.path).name)) == 1
        places = [folder / file.path, *([folder / Path(file.path).name] if flat else [])]
        found += [(file, path) for path in places if path.is_file()][:1]
    return found


def _meant(row: Public, source: Path) -> list[File]:
    """Which file of a row a single file is: by name, folder, or bytes; any name will do for the only one."""
    if len(row.files) == 1:
        return list(row.files)
    named = _named(row, source.name)
    if len(named) <= 1:
        return named
    placed = [file for file in named if source.absolute().as_posix().endswith("/" + file.path)]
    return placed or [file for file in named if file.sha256 and file.sha256 == cache.sha256_of(source)]


def _named(row: Public, name: str) -> list[File]:
    return [file for file in row.files if Path(file.path).name == name]


def _copied(name: str, file: File, source: Path) -> Path:
    target = cache.own_path(name, file)
    wanted, found = cache.expected(name, file), cache.sha256_of(source)
    with source.open("rb") as stream:
        kind = stranger(stream.read(64)) if Path(file.path).suffix not in (".json", ".yaml") else ""
    if kind or (wanted and found != wanted):
        told = f"no weights but {kind}" if kind else f"sha256 {found[:12]}…, expected {wanted[:12]}…"
        raise WeightsError(f"{source}: not {file.path} of {name!r} ({told})", f"get it from {model(name).page}")
    cache.make_folder(target.parent)
    part = target.with_name(target.name + ".import")
    try:
        shutil.copyfile(source, part)
        os.replace(part, target)
    except OSError as error:
        raise cache.disk_error(target, error) from error
    finally:
        part.unlink(missing_ok=True)
    cache.note(name, file, target, found)
    return target


def _unlink(path: Path) -> None:
    """Delete a file, and the blob that a link of the hub's cache points at."""
    try:
        blob = path.resolve()
        path.unlink()
        blob.unlink(missing_ok=True)
    except OSError as error:
        raise cache.disk_error(path, error) from error
