"""The state of a field in a file, so that learning goes on where it ended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UnreadableError
from ...files import write_whole
from ...runtime import need
from .bricks import Bricks
from .state import State

_BRICKS = ("size", "index", "places", "cells", "density", "features")
_MOMENTS = ("first_density", "second_density", "first_features", "second_features")


def save(state: State, path: Path, seconds: float, seed: int) -> None:
    """Write everything that the next step needs; whole or not at all."""
    stored: Any = need("safetensors.numpy", "fields").save
    arrays = {name: getattr(state.bricks, name) for name in _BRICKS}
    arrays["cells"] = arrays["cells"].view(np.int64)
    arrays |= dict(zip(_MOMENTS, state.moments, strict=True))
    arrays |= {"decoder": state.decoder, "looks": state.looks}
    for name, (first, second) in state.small.items():
        arrays |= {f"{name}.first": first, f"{name}.second": second}
    facts = {"stage": state.stage, "number": state.number, "since": state.since, "seconds": seconds}
    facts |= {"world": state.space.frame_from_world.tolist(), "longest": state.plan.longest, "seed": seed}
    whole = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
    write_whole({path: stored(whole, {"checkpoint": json.dumps(facts)})})


def restore(state: State, path: Path, seed: int) -> float:
    """Put a saved state into a fresh one of the same pictures; returns the seconds that had been spent.

    Raises UnreadableError (damaged; other pictures, resolution or seed).
    """
    package: Any = need("safetensors", "fields")
    try:
        with package.safe_open(str(path), framework="numpy") as file:
            facts = json.loads((file.metadata() or {})["checkpoint"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        _check(state, facts, arrays, seed)
        cells = arrays["cells"].view(np.uint64)
        state.bricks = Bricks(**{**{name: arrays[name] for name in _BRICKS}, "cells": cells})
        state.make_room()
        state.moments = tuple(arrays[name] for name in _MOMENTS)
        state.decoder, state.looks = arrays["decoder"], arrays["looks"]
        names = {name.split(".")[0] for name in arrays if "." in name}
        state.small = {name: (arrays[f"{name}.first"], arrays[f"{name}.second"]) for name in names}
        state.stage, state.number, state.since = facts["stage"], facts["number"], facts["since"]
        return float(facts["seconds"])
    except (package.SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        told = f"{path}: this checkpoint cannot be gone on from ({' '.join(str(error).split())[:80]})"
        raise UnreadableError(told, "remove it, or name another") from error


def _check(state: State, facts: dict[str, Any], arrays: dict[str, Any], seed: int) -> None:
    """ValueError where the checkpoint belongs to something else."""
    if arrays["looks"].shape != state.looks.shape or not np.allclose(facts["world"], state.space.frame_from_world):
        raise ValueError("it is of other pictures or cameras")
    if facts["longest"] != state.plan.longest:
        raise ValueError(f"its resolution is {facts['longest']}, asked for is {state.plan.longest}")
    if facts["seed"] != seed:
        raise ValueError(f"its seed is {facts['seed']}")
