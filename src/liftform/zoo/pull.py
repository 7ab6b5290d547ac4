"""Public models brought to this machine: from a hub, from release files by https, or from a file at hand."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any

from ..errors import OutputError, UsageError, WeightsError
from ..files import reason
from ..runtime import Runtime, need
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
    pairs = [(file, path) for file in row.files if (path := _matching(source, file, len(row.files) == 1))]
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
        fetch = _from_hub if row.repository else _from_release
        here = fetch(name, row, file, tell)
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
        _download(url, part, tell)
        _check_arrived(name, file, part, url)
        os.replace(part, target)
    except OSError as error:
        raise _disk_error(target, error) from error
    return target


def _download(url: str, part: Path, tell: Callable[[int, int], None]) -> None:
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
        raise WeightsError(f"{url}: cannot be reached ({_why(error)})", _NO_NETWORK) from error
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
        raise WeightsError(f"{url}: the download broke off ({_why(error)})", "pull again: it goes on there") from error


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


_NO_NETWORK = "check the network and its proxy"


def _refused(code: int) -> str:
    return "it may have moved" if code == 404 else "try again later"


def _why(error: Exception) -> str:
    """The reason inside urllib's errors."""
    inner = getattr(error, "reason", error)
    return reason(inner) if isinstance(inner, Exception) else str(inner)


def _disk_error(target: Path, error: OSError) -> OutputError:
    if error.errno == errno.ENOSPC:
        return OutputError(f"{target}: the disk is full", "free space, or set LIFTFORM_CACHE to another disk")
    hint = "set LIFTFORM_CACHE to a folder that can be written"
    return OutputError(f"{target}: the cache cannot be written ({reason(error)})", hint)


# -- hubs ------------------------------------------------------------------------------------------------------------


def _from_hub(name: str, row: Public, file: File, tell: Callable[[int, int], None]) -> Path:
    """Download through huggingface_hub into its shared cache, which resumes and locks by itself."""
    hub = need("huggingface_hub", "torch")
    errors = need("huggingface_hub.errors", "torch")
    where = f"{row.repository} ({file.path})"
    try:
        with _quiet_hub():
            path = hub.hf_hub_download(
                row.repository,
                file.path,
                revision=row.revision,
                cache_dir=cache.hub_root(),
                endpoint=os.environ.get("HF_ENDPOINT") or None,
                library_name="liftform",
            )
    except errors.GatedRepoError as error:
        hint = f"ask for access at {row.page}, then set HF_TOKEN or run: hf auth login"
        raise WeightsError(f"{where}: its publisher lets in only those who asked", hint) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.EntryNotFoundError) as error:
        if isinstance(error, errors.LocalEntryNotFoundError):
            raise WeightsError(f"{where}: cannot be reached", three_ways(name)) from error
        raise WeightsError(f"{where}: not there any more, or only for some", three_ways(name)) from error
    except OSError as error:  # the hub's own errors of the network are OSErrors too
        if error.errno in (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EPERM):
            raise _disk_error(cache.hub_root(), error) from error
        raise WeightsError(f"{where}: cannot be reached ({_why(error)[:120]})", three_ways(name)) from error
    return Path(path)


@contextlib.contextmanager
def _quiet_hub() -> Any:
    """The hub's own bars are off while ours is drawn."""
    tools = need("huggingface_hub.utils", "torch")
    was = tools.are_progress_bars_disabled()
    tools.disable_progress_bars()
    try:
        yield
    finally:
        if not was:
            tools.enable_progress_bars()


# -- files at hand ---------------------------------------------------------------------------------------------------


def _matching(source: Path, file: File, only: bool) -> Path | None:
    """The file that ``source`` offers for a row: itself when its name or sha256 fits, else the one below it."""
    if source.is_dir():
        return next((p for p in (source / file.path, source / Path(file.path).name) if p.is_file()), None)
    return source if only or source.name == Path(file.path).name else None


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
        raise _disk_error(target, error) from error
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
        raise _disk_error(path, error) from error
