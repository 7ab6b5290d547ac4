"""Where and how things run: threads, device, seed, progress events, and optional packages asked for by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType

from .errors import MissingExtraError

#: What a runtime may name: kinds of device ("cuda:1" is the second of its kind), numbers, and who runs ONNX networks.
DEVICES = ("cpu", "cuda", "mps", "xpu")
PRECISIONS = ("auto", "float32", "bfloat16", "float16")
ENGINES = ("onnxruntime", "openvino")

#: Called with (stage, fraction in [0, 1]); must be quick and must not raise.
Progress = Callable[[str, float], None]


def silent(stage: str, fraction: float) -> None:
    """A progress callback that shows nothing."""


@dataclass(frozen=True)
class Runtime:
    """seed feeds every random choice; threads = 0 lets the libraries choose; progress receives events.

    device: "cpu", "cuda", "cuda:1", "mps", "xpu", of public models (embedded networks run on the CPU); precision: their
    numbers, "auto" (float32), "float32", "bfloat16", "float16"; engine: who runs ONNX, "onnxruntime" or "openvino".
    """

    seed: int = 0
    threads: int = 0
    progress: Progress = silent
    device: str = "cpu"
    precision: str = "auto"
    engine: str = "onnxruntime"


def need(module: str, extra: str) -> ModuleType:
    """Import an optional module, or raise MissingExtraError naming the pip extra that brings it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"this needs the package {module.split('.')[0]!r}, which is not installed",
            f"pip install 'liftform[{extra}]'",
        ) from error


@contextmanager
def numba_threads(count: int, extra: str) -> Iterator[None]:
    """So many threads of numba's inside (0: as many as there are), afterwards as before. Raises MissingExtraError."""
    numba = need("numba", extra)
    before = numba.get_num_threads()
    try:
        if count:
            numba.set_num_threads(min(count, before))
        yield
    finally:
        numba.set_num_threads(before)
