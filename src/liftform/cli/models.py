"""``liftform models``: the networks that liftform runs; public ones are pulled, verified, removed by name."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import UsageError, WeightsError
from ..runtime import Runtime
from ..zoo import cache, public, weights
from ..zoo.public import size_text
from . import terminal
from .arguments import Parser, add_common

ACTIONS = {
    "list": "all networks: what for, size, licences, memory and time to expect, whether they are here (the default)",
    "pull": "download public models, or go on where a download broke off",
    "verify": "read every byte that is here and compare its sha256; all models, or those named",
    "where": "the paths of a model's files, or the folders that are searched",
    "remove": "delete a model's files from the caches",
    "import": "take a model from a FILE or folder at hand: models import NAME FILE",
}


def parser() -> Parser:
    """The arguments of ``liftform models``."""
    p = Parser(
        prog="liftform models",
        description="List the networks that liftform runs, and bring public ones to this machine.",
        epilog="actions:\n" + "\n".join(f"  {name:<8} {line}" for name, line in ACTIONS.items()),
    )
    p.add_argument("action", nargs="?", default="list", metavar="action", help=", ".join(ACTIONS))
    p.add_argument("names", nargs="*", metavar="NAME", help="models of the list")
    p.add_argument(
        "--accept-licence", action="store_true", help="you have read and accept the licence, where it asks for that"
    )
    add_common(p)
    return p


def run(args: argparse.Namespace) -> int:
    """Do what the action says; 6 when bytes are damaged or cannot be had."""
    if args.action not in ACTIONS:
        from ..recipe import suggest

        raise UsageError(f"no action named {args.action!r}", suggest(args.action, list(ACTIONS)))
    return _ACTIONS[args.action](args)


def bring(names: Iterable[str], accept: bool, told: bool, drawn: bool) -> dict[str, dict[str, Path]]:
    """Pull the models that are not here, each with its licence in one line on stderr; name -> role -> path."""
    from ..zoo.pull import pull

    found = {}
    for name in names:
        row = public.model(name)
        absent = not all(cache.find(name, file) for file in row.files)
        if told and absent and not cache.offline():
            print(f"liftform: pulling {name} ({size_text(row.size)}): {row.licence_line}", file=sys.stderr, flush=True)
        with terminal.progress(1, drawn and absent, [f"pull {name}"]) as bar:
            found[name] = pull(name, Runtime(progress=bar), accept)
    return found


# -- actions ---------------------------------------------------------------------------------------------------------


def _list(args: argparse.Namespace) -> int:
    _no_names(args)
    rows = [_embedded(name, row) for name, row in weights.table().items()]
    rows += [_public(name, whole=False) for name in public.MODELS]
    _show(args, rows)
    return _code(rows)


def _pull(args: argparse.Namespace) -> int:
    names = _names(args)
    found = bring(names, args.accept_licence, not args.quiet, not (args.quiet or args.json))
    _paths(args, {name: list(files.values()) for name, files in found.items()})
    return 0


def _verify(args: argparse.Namespace) -> int:
    rows = [_embedded(name, row) for name, row in weights.table().items() if name in (args.names or [name])]
    chosen = [name for name in args.names if name not in weights.table()] if args.names else list(public.MODELS)
    rows += [_public(name, whole=True) for name in chosen]
    if not args.names:
        rows = [row for row in rows if row["state"] != "absent"]
    _show(args, rows)
    absent = bool(args.names) and any(row["state"] == "absent" for row in rows)
    return WeightsError.exit_code if absent else _code(rows)


def _where(args: argparse.Namespace) -> int:
    if not args.names:
        folders = {"liftform (LIFTFORM_CACHE)": cache.root(), "hub (HF_HOME)": cache.hub_root()}
        if args.json:
            print(json.dumps({"liftform": str(cache.root()), "hub": str(cache.hub_root())}, indent=2))
        else:
            print("\n".join(f"{name}: {path}" for name, path in folders.items()))
        return 0
    found = {name: _here(name) for name in args.names}
    _paths(args, found)
    missing = [name for name, paths in found.items() if not paths]
    if missing:
        from ..zoo.pull import three_ways

        raise WeightsError(f"{missing[0]!r} is not on this machine", three_ways(missing[0]))
    return 0


def _remove(args: argparse.Namespace) -> int:
    from ..zoo.pull import remove

    _paths(args, {name: remove(name) for name in _names(args)})
    return 0


def _import(args: argparse.Namespace) -> int:
    from ..zoo.pull import put

    if len(args.names) < 2:
        raise UsageError("models import takes a name and a file", "as in: liftform models import u2netp u2netp.onnx")
    name, *sources = args.names
    _paths(args, {name: [path for source in sources for path in put(name, Path(source))]})
    missing = [file.path for file in public.model(name).files if cache.find(name, file) is None]
    if missing and not args.quiet:
        print(f"liftform: {name} still lacks {', '.join(missing)}", file=sys.stderr)
    return 0


_ACTIONS = {"list": _list, "pull": _pull, "verify": _verify, "where": _where, "remove": _remove, "import": _import}


def _no_names(args: argparse.Namespace) -> None:
    if args.names:
        raise UsageError(
            f"models {args.action} takes no names", f"did you mean: liftform models where {args.names[0]}?"
        )


def _names(args: argparse.Namespace) -> list[str]:
    if not args.names:
        raise UsageError(f"models {args.action} needs the name of a model", f"known: {', '.join(public.MODELS)}")
    for name in args.names:
        public.model(name)
    return list(dict.fromkeys(args.names))


# -- rows ------------------------------------------------------------------------------------------------------------


def _embedded(name: str, row: weights.Weights) -> dict[str, Any]:
    path = weights.path_of(name)
    size = path.stat().st_size if path.is_file() else None
    try:
        weights.verified_bytes(name)
        state = "verified"
    except WeightsError:
        state = "missing" if size is None else "damaged"
    facts = {"name": name, "task": name.split("_")[0], "kind": "embedded", "bytes": size, "state": state}
    licences = {"licence": row.licence, "code": "Apache-2.0", "commercial": "allowed"}
    return {**facts, **licences, "about": "in the package", "card": row.card, "files": [str(path)]}


def _public(name: str, whole: bool) -> dict[str, Any]:
    """whole: read every byte of what is here."""
    row = public.model(name)
    files: list[Path] = []
    state = "verified" if whole else "here"
    for file in row.files:
        path = cache.find(name, file)
        if path is None:
            state = "absent" if not files else "incomplete"
            break
        files.append(path)
        try:
            cache.checked(name, file, path, whole)
        except WeightsError:
            state = "damaged"
            break
    facts = {"name": name, "task": row.task, "kind": "public", "bytes": row.size or None, "state": state}
    licences = {"licence": row.weights, "code": row.code, "commercial": row.commercial}
    expected = {"memory_gb": row.memory or None, "seconds": row.seconds or None, "extra": row.extra or None}
    source = {"page": row.page, "revision": row.revision if row.repository else None}
    return {**facts, **licences, **expected, "about": row.about, **source, "files": [str(path) for path in files]}


def _here(name: str) -> list[Path]:
    if name in weights.table():
        return [weights.path_of(name)]
    return [path for file in public.model(name).files if (path := cache.find(name, file)) is not None]


def _code(rows: list[dict[str, Any]]) -> int:
    return WeightsError.exit_code if any(row["state"] in ("missing", "damaged") for row in rows) else 0


def _show(args: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    if args.json:
        print(json.dumps(rows, indent=2))
    elif not args.quiet:
        head = (
            "name",
            "task",
            "size",
            "licence: code, weights",
            "commercial use",
            "memory",
            "a picture",
            "state",
            "what for",
        )
        terminal.table("", head, [_cells(row) for row in rows])


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    weights_licence = row["licence"].split(" ")[0]
    both = row["code"] if row["code"] == weights_licence else f"{row['code']}, {weights_licence}"
    memory, seconds = row.get("memory_gb"), row.get("seconds")
    expected = (f"{memory:.1f} GB" if memory else "-", f"{seconds:.1f} s" if seconds else "-")
    return (
        row["name"],
        row["task"],
        size_text(row["bytes"] or 0),
        both,
        row["commercial"],
        *expected,
        row["state"],
        row["about"],
    )


def _paths(args: argparse.Namespace, found: dict[str, list[Path]]) -> None:
    """The files concerned: lines, or JSON."""
    if args.json:
        print(json.dumps({name: [str(path) for path in paths] for name, paths in found.items()}, indent=2))
    elif not args.quiet:
        for path in (path for paths in found.values() for path in paths):
            print(path, flush=True)
