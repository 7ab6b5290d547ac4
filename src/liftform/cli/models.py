"""``liftform models``: the networks, their size, licence and whether their bytes are the published ones."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ..errors import WeightsError
from ..zoo import weights
from . import terminal
from .arguments import Parser, add_common


def parser() -> Parser:
    """The arguments of ``liftform models``."""
    p = Parser(prog="liftform models", description="List the networks that liftform runs.")
    add_common(p)
    return p


def run(args: argparse.Namespace) -> int:
    """Print the table; 6 when any file is missing or damaged."""
    rows = [_row(name, row) for name, row in weights.table().items()]
    if args.json:
        print(json.dumps(rows, indent=2))
    elif not args.quiet:
        cells = [(r["name"], r["file"], _size(r["bytes"]), r["licence"], r["state"], r["card"]) for r in rows]
        terminal.table("", ("name", "file", "size", "licence", "bytes", "model card"), cells)
    return 0 if all(row["state"] == "verified" for row in rows) else WeightsError.exit_code


def _row(name: str, row: weights.Weights) -> dict[str, Any]:
    path = weights.path_of(name)
    size = path.stat().st_size if path.is_file() else None
    try:
        weights.verified_bytes(name)
        state = "verified"
    except WeightsError:
        state = "missing" if size is None else "damaged"
    return {"name": name, "file": row.file, "bytes": size, "licence": row.licence, "state": state, "card": row.card}


def _size(count: int | None) -> str:
    return "-" if count is None else f"{count / 1e6:.1f} MB"
