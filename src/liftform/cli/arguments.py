"""Arguments: a parser that raises UsageError, the flags all commands share, and flags made from options dataclasses."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, NoReturn

from ..errors import UsageError
from ..recipe import suggest


class Parser(argparse.ArgumentParser):
    """argparse without abbreviations, whose mistakes are UsageErrors with a suggestion instead of an exit."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False, **kwargs})

    def error(self, message: str) -> NoReturn:
        """A wrong argument."""
        raise UsageError(message, f"see {self.prog} --help")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does, but flags may stand between the inputs, and an unknown flag gets a suggestion."""
        parse = self.parse_known_args if self._subparsers else self.parse_known_intermixed_args
        known, rest = parse(self._unmistakable(sys.argv[1:] if args is None else args), namespace)
        if rest:
            flags = [flag for action in self._actions for flag in action.option_strings if flag.startswith("--")]
            near = suggest(rest[0].split("=")[0], flags)
            hint = near if near.startswith("did") else f"see {self.prog} --help"
            raise UsageError(f"unknown argument {rest[0]!r}", hint)
        return known

    def _unmistakable(self, args: Sequence[str]) -> list[str]:
        """``--front -x`` as ``--front=-x``: argparse would take the axis for a flag; and a flag that may stand alone
        with its own value where the next word is none of its: ``--quads in.obj`` as ``--quads=dominant in.obj``."""
        actions = {flag: action for action in self._actions for flag in action.option_strings}
        joined: list[str] = []
        for word, then in zip_longest(args, args[1:], fillvalue=""):
            action = actions.get(joined[-1]) if joined else None
            if action is not None and word.startswith("-") and word in (action.choices or ()):
                joined[-1] += f"={word}"
                continue
            action = actions.get(word)
            alone = action is not None and action.nargs == "?" and not _takes(action, then)
            joined.append(f"{word}={action.const}" if action is not None and alone else word)
        return joined


def _takes(action: argparse.Action, word: str) -> bool:
    """Whether a word is a value of the flag, not an input that happens to follow it."""
    if action.choices is not None:
        return word in action.choices
    return callable(action.type) and not isinstance(action.type(word), str)


def add_common(parser: argparse.ArgumentParser) -> None:
    """--json, --quiet and --verbose."""
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="print JSON instead of tables")
    shown.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")
    parser.add_argument("-v", "--verbose", action="store_true", help="more detail, and whole tracebacks of errors")


def add_options(
    parser: argparse.ArgumentParser,
    road: str = "make",
    backends: Mapping[str, str] | None = None,
    known: Collection[str] = (),
    title: str = "",
) -> None:
    """One flag for every option with a keyword of a road's backends (task -> name, else the default); what is not given
    is left out. Flags of default backends stay: that another one lacks the option is for the recipe to say.

    known: keywords that the parser has already. title: of the groups of flags, after their task."""
    from ..road import keywords
    from ..zoo import registry

    groups: dict[str, Any] = {}
    usual, chosen = keywords(road=road), keywords(backends, road)
    for word, ((task, name), *_) in {**usual, **chosen}.items():
        if word in known:
            continue
        group = groups.setdefault(task, None) or parser.add_argument_group(f"{task} options {title}".strip())
        groups[task] = group
        backend = (backends or {}).get(task, "") if word in chosen else ""
        _add_flag(group, word, *_described(registry.options_class(task, backend), name))


def given_options(
    args: argparse.Namespace, road: str = "make", backends: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The flat keywords that were given on the command line."""
    from ..road import keywords

    words = {**keywords(road=road), **keywords(backends, road)}
    return {word: getattr(args, word) for word in words if hasattr(args, word)}


def _described(cls: type[Any], name: str) -> tuple[Any, dataclasses.Field[Any]]:
    """Type hint and field of one option."""
    return typing.get_type_hints(cls)[name], {f.name: f for f in dataclasses.fields(cls)}[name]


def _add_flag(group: Any, word: str, hint: Any, field: dataclasses.Field[Any]) -> None:
    help = str(field.metadata["help"]).replace("%", "%%")
    known = "" if field.default is None or isinstance(field.default, bool) else f" (default: {_shown(field.default)})"
    settings: dict[str, Any] = {"dest": word, "default": argparse.SUPPRESS, "help": help + known}
    kinds = _kinds(hint)
    if bool in kinds:
        settings["action"] = argparse.BooleanOptionalAction
    elif typing.get_origin(kinds[0]) is typing.Literal:
        settings["choices"] = typing.get_args(kinds[0])
    elif field.metadata.get("length"):
        settings["metavar"] = "LENGTH"
    else:
        settings["metavar"] = _metavar(kinds)
        settings["type"] = lambda text: _value(text, kinds)
    if field.metadata.get("bare") is not None:
        settings |= {"nargs": "?", "const": field.metadata["bare"]}
    group.add_argument("--" + word.replace("_", "-"), **settings)


def _kinds(hint: Any) -> list[Any]:
    """The types an option may have, none left out."""
    union = isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
    return [kind for kind in (typing.get_args(hint) if union else (hint,)) if kind is not type(None)]


def _metavar(kinds: Sequence[Any]) -> str:
    if typing.get_origin(kinds[0]) is tuple:
        return ",".join("XYZW"[: len(typing.get_args(kinds[0]))])
    return {int: "N", float: "NUMBER", Path: "FILE"}.get(kinds[0], "TEXT")


def _value(text: str, kinds: Sequence[Any]) -> Any:
    """The text as the first type that takes it; otherwise the text itself, which the options then refuse by name."""
    for kind in kinds:
        try:
            if typing.get_origin(kind) is tuple:
                return tuple(
                    _value(part.strip(), [k]) for part, k in zip(text.split(","), typing.get_args(kind), strict=True)
                )
            if kind in (int, float, Path):
                return kind(text)
        except ValueError:
            continue
    return text


def _shown(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
