"""Checkpoints read without running anything they hold: safetensors, or torch files with weights_only."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import WeightsError
from ..runtime import need

if TYPE_CHECKING:
    from torch import Tensor, nn

#: Bytes; the format's own limit.
_LONGEST_HEADER = 100_000_000
_AGAIN = "remove it and pull it again"
#: Names under which training programs put the tensors of a whole checkpoint.
_WRAPPERS = ("state_dict", "model", "model_state_dict")
#: What a file begins with that is no checkpoint at all.
_STRANGERS = {
    b"<!doctype": "a web page",
    b"<html": "a web page",
    b"<?xml": "an answer of a server",
    b"version https://git-lfs": "a pointer of Git LFS, not the file it stands for",
    b'{"': "JSON, perhaps the error message of a server",
}


def read(path: Path) -> dict[str, Tensor]:
    """name -> tensor on the CPU, of a .safetensors file or a torch file; "state_dict" or "model" is unwrapped.

    What the file is decides its content, not its suffix. Raises WeightsError (missing, empty, truncated, a web page, a
    pickle with more in it than tensors), MissingExtraError without torch or safetensors.
    """
    state = contents(path)
    for word in _WRAPPERS:
        if isinstance(state.get(word), Mapping):
            state = dict(state[word])
    import torch

    strange = [name for name, value in state.items() if not isinstance(value, torch.Tensor)]
    if strange or not state:
        found = f"{strange[0]!r} is no tensor" if strange else "it holds nothing"
        raise WeightsError(f"{path}: not a checkpoint of a network ({found})", _AGAIN)
    return state


def contents(path: Path) -> dict[str, Any]:
    """Everything in the file as it is, settings beside tensors too; raises like ``read``."""
    path = Path(path)
    start = _start(path)
    need("torch", "torch")
    try:
        if _is_safetensors(start):
            found = need("safetensors.torch", "torch").load_file(path)
        else:
            found = _torch_file(path, start)
    except MemoryError:
        raise
    except pickle.UnpicklingError as error:
        if "global" in str(error).lower():  # the name of a function to be called
            raise WeightsError(
                f"{path}: holds more than tensors, and reading it would run code", "do not use it"
            ) from None
        raise WeightsError(f"{path}: damaged or truncated (no checkpoint of torch)", _AGAIN) from error
    except Exception as error:  # each library has errors of its own for bytes that end too early
        raise WeightsError(f"{path}: damaged or truncated ({_first_line(error)})", _AGAIN) from error
    if not isinstance(found, Mapping):
        raise WeightsError(f"{path}: not a checkpoint of a network, but a {type(found).__name__}", _AGAIN)
    return dict(found)


def load(model: nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    """Put ``state`` into ``model``: every name once, every shape equal. A model on the meta device takes the tensors
    themselves, so that nothing is held twice.

    Raises WeightsError that counts and names what is missing, unknown or of another shape; ``what`` names the network.
    """
    wanted = model.state_dict()
    missing = [name for name in wanted if name not in state]
    unknown = [name for name in state if name not in wanted]
    shaped = [name for name in wanted if name in state and wanted[name].shape != state[name].shape]
    faults = [*_listed("missing", missing), *_listed("unknown", unknown)]
    if shaped:
        sizes = f"{tuple(state[shaped[0]].shape)} instead of {tuple(wanted[shaped[0]].shape)}"
        faults += [f"{len(shaped)} of another shape, such as {shaped[0]} {sizes}"]
    if faults:
        raise WeightsError(f"these are not the weights of {what}: {'; '.join(faults)}", "check name and revision")
    model.load_state_dict(dict(state), strict=True, assign=any(p.is_meta for p in model.parameters()))


def settings(path: Path) -> dict[str, Any]:
    """A network's published settings, a JSON file; raises WeightsError when it is damaged or no table."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: the model's settings cannot be read", _AGAIN) from error
    if not isinstance(table, dict):
        raise WeightsError(f"{path}: the model's settings are no table", _AGAIN)
    return table


def stranger(start: bytes) -> str:
    """What a file that begins with ``start`` is instead of a checkpoint; "" where nothing tells."""
    text = start.lstrip().lower()
    return next((kind for mark, kind in _STRANGERS.items() if text.startswith(mark)), "")


def _start(path: Path) -> bytes:
    """The first bytes; WeightsError for what cannot be a checkpoint."""
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})", "pull it, or import it from a file") from error
    kind = stranger(start) if start else "an empty file"
    if kind:
        raise WeightsError(f"{path}: no weights but {kind}", _AGAIN)
    return start


def _is_safetensors(start: bytes) -> bool:
    """Eight bytes of length, then a JSON object (the format's own text)."""
    return start[8:9] == b"{" and int.from_bytes(start[:8], "little") < _LONGEST_HEADER


def _torch_file(path: Path, start: bytes) -> Any:
    """A zip of mapped tensors, or the old format, which cannot be mapped; raises pickle.UnpicklingError."""
    import warnings

    import torch

    if not start.startswith((b"PK", b"\x80")):
        raise pickle.UnpicklingError("neither safetensors nor a file of torch")
    with warnings.catch_warnings():  # about pickles of other protocols, which are refused anyway
        warnings.simplefilter("ignore", UserWarning)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=start.startswith(b"PK") or None)


def _listed(kind: str, names: list[str]) -> list[str]:
    return [f"{len(names)} {kind}, such as {', '.join(names[:3])}"] if names else []


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
