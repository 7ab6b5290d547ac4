"""Checkpoints of training runs: written whole, the one before kept, read with a fall-back to it when one is damaged."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import OutputError, UnreadableError
from ..files import reason

_LOG = logging.getLogger(__name__)


def previous(path: Path) -> Path:
    """Where the checkpoint before the one at ``path`` is kept."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def write(state: dict[str, Any], path: Path, keep: bool = True) -> None:
    """Write ``state`` beside ``path``, flush it to the disk, and only then let it take the name.

    keep: the checkpoint that was there stays as ``previous(path)``; say False when it is damaged. A process killed
    half-way leaves a ``.part``, which the next one overwrites. Raises OutputError (no room, no permission); then both
    older checkpoints are as they were.
    """
    part = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        if keep and path.exists():
            os.replace(path, previous(path))
        os.replace(part, path)
    except (OSError, RuntimeError) as error:  # torch wraps what the disk says in a RuntimeError
        part.unlink(missing_ok=True)
        raise OutputError(f"{path}: cannot write the checkpoint ({reason(error)})", "free some space there") from error


def read(path: str | Path) -> dict[str, Any]:
    """Everything a checkpoint holds. Raises UnreadableError for a damaged or any other file."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        state["model"], state["average"], state["step"], state["seconds"]
        return state
    except Exception as error:
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UnreadableError(f"{path}: not a checkpoint ({what})", "delete it to start afresh") from error


def newest(path: Path) -> tuple[dict[str, Any], Path] | None:
    """The state at ``path``, or, aloud, the one before when that is damaged; and where it was. None if there is none.

    Raises UnreadableError when all there is is damaged.
    """
    fault: UnreadableError | None = None
    for place in (path, previous(path)):
        if not place.exists():
            continue
        try:
            state = read(place)
        except UnreadableError as error:
            fault = fault or error
            continue
        if place != path:
            why = fault.message if fault else f"{path}: missing"
            _LOG.warning("%s: going on from step %d of %s", why, state["step"], place.name)
        return state, place
    if fault:
        raise fault
    return None


def load_weights(model: nn.Module, checkpoint: str | Path, averaged: bool = True) -> dict[str, Any]:
    """Put the (averaged) weights of a checkpoint into ``model``; returns {"step", "seconds"}."""
    state = read(checkpoint)
    model.load_state_dict(state["average"] if averaged and state["average"] else state["model"])
    return {"step": state["step"], "seconds": state["seconds"]}


def slim(checkpoint: str | Path, out: Path) -> None:
    """The averaged weights of a checkpoint alone, in half precision: enough to start another run from."""
    state = read(checkpoint)
    weights = state["average"] or state["model"]
    half = {k: v.half() if v.is_floating_point() else v for k, v in weights.items()}
    write({"model": half, "average": {}, "step": state["step"], "seconds": state["seconds"]}, out, keep=False)
