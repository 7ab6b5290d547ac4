"""What outlives an interruption: the state of a run in a file, and a picture of it for whoever waits."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...assets import FloatArray
from ...camera import Camera
from ...conventions import to_uint8
from ...errors import UnreadableError, UsageError
from ...files import whole_file
from .options import SplatsOptions

#: Options that say when to stop and what to write, not what is made.
_FREE = ("steps", "minutes", "checkpoint", "preview")
_ARRAYS = ("table", "moments", "gains", "gain_moments", "wrong")
_PLAIN = ("step", "seconds", "moved", "queue")


def fingerprint(options: SplatsOptions, seed: int, cameras: Sequence[Camera], pictures: Sequence[NDArray[Any]]) -> str:
    """16 hexadecimal digits that change with the options (not with when to stop), the seed, cameras and pictures."""
    chosen = {name: value for name, value in dataclasses.asdict(options).items() if name not in _FREE}
    digest = hashlib.sha256(json.dumps([chosen, seed], sort_keys=True).encode())
    for camera, planes in zip(cameras, pictures, strict=True):
        lens = [camera.fx, camera.fy, camera.cx, camera.cy]
        digest.update(np.concatenate([lens, camera.world_from_camera.ravel()]).tobytes() + planes.tobytes())
    return digest.hexdigest()[:16]


def write(path: Path, state: Any, facts: dict[str, Any]) -> None:
    """The state, whole or not at all; raises OutputError."""
    facts = {**facts, **{name: getattr(state, name) for name in _PLAIN}, "rng": state.rng.bit_generator.state}
    text = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    with whole_file(path) as beside, beside.open("wb") as file:
        np.savez(file, facts=text, **{name: getattr(state, name) for name in _ARRAYS})


def read(path: Path, state: Any, made_of: str) -> dict[str, Any]:
    """Put what was written into ``state``; what else was written with it. Raises UnreadableError (damaged) and
    UsageError (of another set, or of other options)."""
    try:
        with np.load(path, allow_pickle=False) as file:
            facts: dict[str, Any] = json.loads(file["facts"].tobytes())
            arrays = {name: file[name] for name in _ARRAYS}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UnreadableError(
            f"{path}: no checkpoint of splats ({error})", "remove it, or name another file"
        ) from error
    if facts.get("made_of") != made_of:
        raise UsageError(f"{path}: a checkpoint of other pictures or options", "remove it, or name another file")
    for name, value in [*arrays.items(), *((name, facts[name]) for name in _PLAIN)]:
        setattr(state, name, value)
    state.rng.bit_generator.state = facts["rng"]
    return facts


def write_preview(path: Path, photo: FloatArray, rendered: FloatArray) -> None:
    """A photo and its rendering (3, H, W) beside each other as a PNG; raises OutputError."""
    from PIL import Image

    pair = np.moveaxis(np.concatenate([photo, rendered], 2), 0, -1)
    with whole_file(path) as beside:
        Image.fromarray(to_uint8(np.clip(pair, 0, 1))).save(beside, format="PNG")
