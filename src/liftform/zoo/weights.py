"""The tables of network weights and the one place that opens them: sha256 checked, sessions cached.

Embedded networks lie in the package (``table``); public models by name are pulled at first use (``files``).
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import WeightsError
from ..runtime import Runtime

if TYPE_CHECKING:
    from .engines import Session


@dataclass(frozen=True)
class Weights:
    """One row: file name inside ``liftform/weights``, sha256 of its bytes, licence, model card in docs/."""

    file: str
    sha256: str
    licence: str
    card: str


def table() -> dict[str, Weights]:
    """name -> row, read from ``weights/table.json`` (written by ``liftform train export``)."""
    import json

    file = resources.files("liftform") / "weights" / "table.json"
    try:
        return {name: Weights(**row) for name, row in json.loads(file.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, TypeError) as error:
        raise WeightsError(f"{file}: the table of weights is missing or damaged", "reinstall liftform") from error


def path_of(name: str) -> Path:
    """Where the file of ``name`` lies; raises WeightsError when there is no such row."""
    rows = table()
    if name not in rows:
        raise WeightsError(f"no network named {name!r}", f"known: {', '.join(rows)}")
    return Path(str(resources.files("liftform") / "weights" / rows[name].file))


def verified_bytes(name: str) -> bytes:
    """The network's bytes; raises WeightsError when the file is missing or its sha256 differs from the table's."""
    path, row = path_of(name), table()[name]
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: the weights of {name!r} are missing", "reinstall liftform") from error
    if hashlib.sha256(data).hexdigest() != row.sha256:
        raise WeightsError(f"{path}: the weights of {name!r} are damaged (sha256 differs)", "reinstall liftform")
    return data


def session(name: str, runtime: Runtime | None = None) -> Session:
    """A session of an embedded network on the CPU, by the runtime's engine; opened once in this process."""
    runtime = runtime or Runtime()
    return _session(name, Runtime(threads=runtime.threads, engine=runtime.engine, precision=runtime.precision))


@functools.cache
def _session(name: str, runtime: Runtime) -> Session:
    from .engines import opened

    return opened(verified_bytes(name), runtime)


def metadata(name: str, runtime: Runtime | None = None) -> dict[str, Any]:
    """The network's own settings, stored as strings in the ONNX file's metadata."""
    return dict(session(name, runtime).get_modelmeta().custom_metadata_map)


def files(name: str, runtime: Runtime | None = None) -> dict[str, Path]:
    """role -> path of every file of a public model (rows: ``zoo.public``): those that are here, else they are pulled.

    Raises WeightsError with the ways on (pull, import, a folder that has it), UsageError (no such model, licence not
    accepted), OutputError (cache not writable), MissingExtraError.
    """
    from . import cache
    from .public import model

    row = model(name)
    here = {file.role: cache.find(name, file) for file in row.files}
    if all(here.values()):
        return {file.role: cache.checked(name, file, path) for file in row.files if (path := here[file.role])}
    from .pull import pull

    return pull(name, runtime)
