"""Radiance fields as files: safetensors with a header of facts (docs/fields.md), written and read, extra ``fields``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from .assets import RadianceField
from .errors import InputError, InputNotFoundError, UnreadableError
from .runtime import need

#: Name and version of the format, in every file's header.
FORMAT, VERSION = "liftform.field", 1
#: Array of the asset -> its type in a file. Density and features take half the room there.
_ARRAYS: dict[str, Any] = {
    "frame_from_world": np.float64,
    "size": np.int32,
    "places": np.int32,
    "cells": np.int64,
    "density": np.float16,
    "features": np.float16,
    "decoder": np.float32,
    "looks": np.float32,
    "backdrop": np.float32,
    "low": np.float64,
    "high": np.float64,
}
_NUMBERS = ("empty", "step", "scale")


def encoded(field: RadianceField) -> bytes:
    """The bytes of a .field file; equal fields give equal bytes. Raises InputError, MissingExtraError."""
    save: Any = need("safetensors.numpy", "fields").save
    field.validate()
    arrays = {name: _stored(getattr(field, name), kind) for name, kind in _ARRAYS.items()}
    facts = {"format": FORMAT, "version": VERSION, "kind": field.kind, "name": field.name}
    facts |= {name: getattr(field, name) for name in _NUMBERS}
    facts |= {"cameras": list(field.cameras), "metadata": field.metadata}
    data: bytes = save(arrays, {"liftform": json.dumps(facts, sort_keys=True)})
    return data


def _stored(value: Any, kind: Any) -> Any:
    if kind is np.float16:
        value = np.clip(value, -60000, 60000)
    stored = value.view(np.int64) if kind is np.int64 else value.astype(kind)
    return np.ascontiguousarray(stored)


def read(path: str | Path) -> RadianceField:
    """The field of a .field file.

    Raises InputNotFoundError, UnreadableError (damaged, something else, a newer version), MissingExtraError.
    """
    package: Any = need("safetensors", "fields")
    path = Path(path)
    if not path.is_file():
        raise InputNotFoundError(f"{path}: no such file", "give a .field file")
    try:
        with package.safe_open(str(path), framework="numpy") as file:
            facts = json.loads((file.metadata() or {})["liftform"])
            arrays = {name: file.get_tensor(name) for name in _ARRAYS}
        if facts["format"] != FORMAT:
            raise ValueError("another format")
        newer = int(facts["version"]) > VERSION
    except (package.SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        told = f"{path}: not a radiance field, or damaged ({' '.join(str(error).split())[:80]})"
        raise UnreadableError(told, "make it again: liftform field photos/") from error
    if newer:
        raise UnreadableError(f"{path}: written by a newer liftform", "update liftform")
    try:
        return _field(facts, arrays).validate()
    except (KeyError, ValueError, TypeError, AttributeError, InputError) as error:
        raise UnreadableError(f"{path}: a damaged radiance field ({error})", "make it again") from error


def _field(facts: dict[str, Any], arrays: dict[str, Any]) -> RadianceField:
    single = {name: arrays[name].astype(np.float32) for name in ("density", "features")}
    numbers: dict[str, Any] = {name: float(facts[name]) for name in _NUMBERS}
    return RadianceField(
        **{**arrays, **single, "cells": arrays["cells"].view(np.uint64)},
        **numbers,
        kind=str(facts["kind"]),
        name=str(facts["name"]),
        cameras=tuple(facts["cameras"]),
        metadata=dict(facts["metadata"]),
    )
