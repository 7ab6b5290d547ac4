"""Options: frozen dataclasses beside their backends; this module describes, reads and checks them.

A field made by ``option`` carries its help line, its flag on the command line and its keyword in Python; the command
line, the web form and TOML recipes are derived from it. Unknown keys are errors.
"""

from __future__ import annotations

import copy
import dataclasses
import difflib
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from .errors import InputNotFoundError, UsageError
from .lengths import metres

T = TypeVar("T")


def option(
    default: Any,
    help: str,
    keyword: str = "",
    low: float | None = None,
    high: float | None = None,
    length: bool = False,
    bare: Any = None,
) -> Any:
    """A dataclass field with a help line, a flat ``keyword`` (the ``--flag`` without dashes) and an allowed range.

    length: a number in metres that may also be written with its unit, "45cm" or "1ft6in". bare: what the flag means
    where it stands alone, and ``true`` in Python and TOML; ``false`` is then the default.
    """
    known = {"help": help, "keyword": keyword, "low": low, "high": high, "length": length, "bare": bare}
    return dataclasses.field(default=default, metadata=known)


def build(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """An options dataclass from plain values; raises UsageError on unknown keys, wrong types and ranges."""
    if not isinstance(values, Mapping):
        raise UsageError(f"{where} must be a table, not {values!r}", "give it options: key = value")
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(cls)
    clean = {}
    for key, value in values.items():
        if key not in fields:
            raise UsageError(f"unknown option {key!r} in {where}", suggest(key, list(fields)))
        clean[key] = _converted(value, hints[key], fields[key], f"{where}.{key}")
    return cls(**clean)


def read_toml(path: str | Path) -> dict[str, Any]:
    """The tables of a recipe file; raises InputNotFoundError or UsageError with the file's name."""
    path = Path(path)
    if not path.is_file():
        raise InputNotFoundError(f"{path}: no such recipe file", "give the path of a TOML file")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not a TOML recipe ({error})", "see docs/recipes.md") from error


def changed(tables: Mapping[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """A copy of ``tables`` with every "table.key=value" of ``changes`` put in; values as TOML has them, or plain words.

    Whether there is such an option is for ``build`` to say. Raises UsageError for anything not of that form.
    """
    out = copy.deepcopy(dict(tables))
    for change in changes:
        name, equals, text = change.partition("=")
        *sections, key = (part.strip() for part in name.split("."))
        table: Any = out
        for section in sections:
            table = table.setdefault(section, {}) if isinstance(table, dict) else None
        if not (equals and key and isinstance(table, dict)):
            raise UsageError(f"{change!r} does not set an option", "write key=value, such as loop.minutes=90")
        try:
            table[key] = tomllib.loads(f"x = {text}")["x"]
        except tomllib.TOMLDecodeError:
            table[key] = text
    return out


def suggest(wrong: str, known: list[str]) -> str:
    """A hint that names the nearest known word, or all of them."""
    near = difflib.get_close_matches(wrong, known, 1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"


def _converted(value: Any, hint: Any, field: dataclasses.Field[Any], where: str) -> Any:
    """``value`` as the field's type: int for float, list for tuple, str for Path, text for length; else UsageError."""
    if field.metadata.get("length") and isinstance(value, str):
        value = _metres(value, where)
    if isinstance(value, bool) and field.metadata.get("bare") is not None:
        value = field.metadata["bare"] if value else field.default
    union = isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union  # with a Literal, the latter
    allowed = typing.get_args(hint) if union else (hint,)
    for kind in allowed:
        ok, converted = _as(value, kind)
        if ok:
            _check_range(converted, field.metadata, where)
            return converted
    names = " or ".join(_named(kind) for kind in allowed)
    raise UsageError(f"{where} must be {names}, not {value!r}", field.metadata.get("help", ""))


def _metres(text: str, where: str) -> float:
    try:
        return metres(text)
    except UsageError as error:
        raise UsageError(f"{where}: {error.message}", error.hint) from None


def _named(kind: Any) -> str:
    """A type in words: int, none, 'auto'."""
    if typing.get_origin(kind) is typing.Literal:
        return " or ".join(repr(word) for word in typing.get_args(kind))
    return "none" if kind is type(None) else str(getattr(kind, "__name__", kind))


def _as(value: Any, kind: Any) -> tuple[bool, Any]:
    origin = typing.get_origin(kind)
    if origin is tuple:
        parts = typing.get_args(kind)
        if not isinstance(value, list | tuple) or len(value) != len(parts):
            return False, None
        items = [_as(v, k) for v, k in zip(value, parts, strict=True)]
        return all(ok for ok, _ in items), tuple(v for _, v in items)
    if origin is typing.Literal:
        return value in typing.get_args(kind), value
    if kind is type(None):
        return value is None, None
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return True, float(value)
    if kind is int and isinstance(value, bool):
        return False, None
    if kind is Path and isinstance(value, str | Path):
        return True, Path(value)
    return isinstance(kind, type) and isinstance(value, kind), value


def _check_range(value: Any, limits: Mapping[str, Any], where: str) -> None:
    low, high = limits.get("low"), limits.get("high")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    if value != value or (low is not None and value < low) or (high is not None and value > high):
        raise UsageError(f"{where} must lie between {low} and {high}, not {value}", limits.get("help", ""))
