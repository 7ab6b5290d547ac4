"""The state of an implicit surface's optimisation in a file, from which it goes on to the same bytes."""

from __future__ import annotations

import dataclasses
import hashlib
import zipfile
from pathlib import Path

import numpy as np

from ...errors import UnreadableError, UsageError
from ...files import whole_file
from .shells import Shells
from .training import Problem, State
from .volume import Volume

_GRIDS = tuple(field.name for field in dataclasses.fields(Volume))
_SHELLS = tuple(field.name for field in dataclasses.fields(Shells))


def fingerprint(problem: Problem, steps: int) -> str:
    """What a state depends on: pictures, masks, cameras, options, seed."""
    digest = hashlib.sha256()
    for photo in problem.capture.photos:
        assert photo.camera is not None
        digest.update(np.ascontiguousarray(photo.image[::7, ::7]).tobytes())
        digest.update(photo.camera.world_from_camera.tobytes())
    told = (problem.levels, problem.costs, problem.harmonics, problem.seed, steps, problem.box.low.tolist())
    digest.update(repr(told).encode())
    return digest.hexdigest()


def save(state: State, path: Path, mark: str) -> None:
    """Write the state, whole or not at all. Raises OutputError."""
    facts = np.array([state.level, state.step, state.total, state.seconds, state.cost], np.float64)
    arrays = {f"grid.{name}": np.asarray(getattr(state.volume, name)) for name in _GRIDS}
    if state.shells is not None:
        arrays |= {f"shells.{name}": np.asarray(getattr(state.shells, name)) for name in _SHELLS}
    with whole_file(path) as part, part.open("wb") as stream:
        np.savez(stream, facts=facts, mark=np.array(mark), **arrays)  # type: ignore[arg-type]


def load(path: Path, mark: str) -> State | None:
    """The state in a file; None where there is no file.

    Raises UnreadableError (damaged), UsageError (of other pictures or options).
    """
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as data:
            held = {name: data[name] for name in data.files}
        found = str(held["mark"])
        if found != mark:
            told = f"{path}: a checkpoint of other pictures or other options"
            raise UsageError(told, "name another file, or remove it")
        grids = {name: held[f"grid.{name}"] for name in _GRIDS}
        volume = Volume(**{**grids, "unit": float(grids["unit"]), "h": float(grids["h"])})
        shells = Shells(**{name: held[f"shells.{name}"] for name in _SHELLS}) if "shells.radii" in held else None
        level, step, total, seconds, cost = held["facts"]
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UnreadableError(f"{path}: a damaged checkpoint", "remove it to begin anew") from error
    return State(int(level), int(step), int(total), float(seconds), volume, shells, float(cost))
