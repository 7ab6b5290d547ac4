"""Where and how things run: threads, seed, progress events, and optional packages asked for by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

from .errors import MissingExtraError

#: Called with (stage, fraction in [0, 1]); must be quick and must not raise.
Progress = Callable[[str, float], None]


def silent(stage: str, fraction: float) -> None:
    """A progress callback that shows nothing."""


@dataclass(frozen=True)
class Runtime:
    """seed feeds every random choice; threads = 0 lets the libraries choose; progress receives events."""

    seed: int = 0
    threads: int = 0
    progress: Progress = silent


def need(module: str, extra: str) -> ModuleType:
    """Import an optional module, or raise MissingExtraError naming the pip extra that brings it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"this needs the package {module.split('.')[0]!r}, which is not installed",
            f"pip install 'liftform[{extra}]'",
        ) from error
