"""Files of a model hub, fetched by huggingface_hub into the cache that it shares among programs."""

from __future__ import annotations

import contextlib
import errno
import inspect
import logging
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any

from ..errors import WeightsError
from ..runtime import need
from . import cache
from .public import File, Public

Tell = Callable[[int, int], None]

_ENDPOINT = "https://huggingface.co"
_SECONDS = 10


def fetch(row: Public, file: File, tell: Tell, ways: str) -> Path:
    """Download one file of a repository; huggingface_hub resumes and locks by itself.

    ways: what to do without network, for messages. Raises WeightsError (unreachable, gated, gone), OutputError (disk),
    MissingExtraError.
    """
    hub, errors = need("huggingface_hub", "torch"), need("huggingface_hub.errors", "torch")
    endpoint = os.environ.get("HF_ENDPOINT") or _ENDPOINT
    where = f"{row.repository} ({file.path})"
    _reach(endpoint, where, ways)
    bar = {"tqdm_class": _bar(tell)} if "tqdm_class" in inspect.signature(hub.hf_hub_download).parameters else {}
    try:
        with _quiet():
            path = hub.hf_hub_download(
                row.repository,
                file.path,
                revision=row.revision,
                cache_dir=cache.hub_root(),
                endpoint=endpoint,
                library_name="liftform",
                **bar,
            )
    except errors.GatedRepoError as error:
        hint = f"ask for access at {row.page}, then set HF_TOKEN or run: hf auth login"
        raise WeightsError(f"{where}: its publisher lets in only those who asked", hint) from error
    except errors.LocalEntryNotFoundError as error:
        raise WeightsError(f"{where}: cannot be reached", ways) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.EntryNotFoundError) as error:
        raise WeightsError(f"{where}: not there any more, or only for those who may", ways) from error
    except OSError as error:  # the hub's errors of the network are OSErrors too
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EPERM):
            raise cache.disk_error(cache.hub_root(), error) from error
        raise WeightsError(
            f"{where}: the download broke off ({_short(error)})", "pull again: it goes on there"
        ) from error
    except Exception as error:
        if type(error).__module__.split(".")[0] in ("httpx", "httpx2", "requests", "urllib3", "hf_xet"):
            raise WeightsError(f"{where}: the download broke off ({_short(error)})", ways) from error
        raise
    return Path(path)


def _reach(endpoint: str, where: str, ways: str) -> None:
    """Ask once whether there is a network at all: huggingface_hub would try for half a minute."""
    request = urllib.request.Request(endpoint, method="HEAD", headers={"User-Agent": "liftform"})
    try:
        urllib.request.urlopen(request, timeout=_SECONDS).close()
    except urllib.error.HTTPError:  # an answer, whatever it says
        return
    except (OSError, HTTPException, ValueError) as error:
        raise WeightsError(f"{where}: {endpoint} cannot be reached ({cache.why(error)})", ways) from error


def _bar(tell: Tell) -> type[Any]:
    """A bar of the hub's kind that draws nothing and tells us instead."""
    tqdm: Any = need("tqdm.auto", "torch").tqdm

    class Told(tqdm):  # type: ignore[misc]
        """Counts bytes."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self._here, self._whole = int(kwargs.get("initial") or 0), int(kwargs.get("total") or 0)
            kwargs.pop("name", None)  # a word of the hub's own bars
            super().__init__(*args, **{**kwargs, "disable": True})

        def update(self, n: float | None = 1) -> None:
            """n more bytes are here."""
            self._here += int(n or 0)
            tell(self._here, self._whole)

    return Told


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Its log lines about every attempt say nothing that our error does not."""
    log = logging.getLogger("huggingface_hub")
    was = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(was)


def _short(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
