"""Where torch networks run and in which numbers: what was asked for, never anything else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..errors import ReconstructionError, UsageError
from ..runtime import DEVICES, PRECISIONS, Runtime, need

if TYPE_CHECKING:
    import torch


def torch_device(runtime: Runtime) -> torch.device:
    """The device that ``runtime`` names; raises UsageError when it is misspelt or this machine lacks it."""
    torch = need("torch", "torch")
    kind, _, number = runtime.device.partition(":")
    if kind not in DEVICES or (number and not number.isdecimal()):
        raise UsageError(
            f"no device named {runtime.device!r}", f"known: {', '.join(DEVICES)}, and cuda:1 for the second"
        )
    if kind == "cpu":
        return torch.device("cpu")
    room = torch.backends.mps if kind == "mps" else getattr(torch, kind, None)
    if room is None or not room.is_available():
        raise UsageError(f"this machine, or this build of torch, has no {kind!r} device", "use --device cpu")
    count = 1 if kind == "mps" else room.device_count()
    if int(number or 0) >= count:
        raise UsageError(f"there is no {runtime.device!r}, only {count} of its kind", f"use --device {kind}:0")
    return torch.device(runtime.device)


def torch_dtype(runtime: Runtime) -> torch.dtype:
    """The numbers that ``runtime.precision`` names; "auto" is float32, whose results all others are measured against.

    Raises UsageError for half precision on a CPU, which computes it wrongly or not at all.
    """
    torch = need("torch", "torch")
    if runtime.precision not in PRECISIONS:
        raise UsageError(f"no precision named {runtime.precision!r}", f"known: {', '.join(PRECISIONS)}")
    name = "float32" if runtime.precision == "auto" else runtime.precision
    if name == "float16" and runtime.device == "cpu":
        raise UsageError("float16 needs a GPU", "use --precision bfloat16, or float32")
    return getattr(torch, name)


@contextmanager
def torch_threads(runtime: Runtime) -> Iterator[None]:
    """As many threads of torch as ``runtime`` says, and afterwards as many as before."""
    torch = need("torch", "torch")
    before = torch.get_num_threads()
    torch.set_num_threads(runtime.threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def within_memory(what: str, remedy: str) -> Iterator[None]:
    """Raise ReconstructionError instead of an out-of-memory error of Python, torch or an ONNX engine; ``remedy`` says
    what to try."""
    try:
        yield
    except MemoryError as error:
        raise ReconstructionError(f"{what}: not enough memory", remedy) from error
    except Exception as error:  # onnxruntime's errors have no class of Python's among their bases
        if type(error).__name__ == "OutOfMemoryError" or any(w in str(error).lower() for w in _MEMORY):
            raise ReconstructionError(f"{what}: not enough memory on the device", remedy) from error
        raise


#: What torch says on a CPU, on MPS and on XPU, where it has no class of its own for this; and the ONNX engines.
_MEMORY = (
    *("can't allocate memory", "out of memory", "not enough memory", "out_of_resources"),
    *("bad allocation", "bad_alloc", "failed to allocate memory"),
)
