"""``liftform evaluate stereo``: its arguments, and the table it prints and writes into a page."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .placing_cli import Counter, Show, write_tables


def add_commands(
    commands: Any, add_shown: Callable[[argparse.ArgumentParser, Any], None], show: Show, count: Counter
) -> None:
    """Add the protocol to an argparse subparsers object, with the flags and the way of showing of the others."""
    p = commands.add_parser("stereo", help="measure depth from photo sets with known cameras, or rendered scenes")
    p.add_argument("source", help="a folder of photo sets, one set, or the word: rendered")
    p.add_argument(
        "--sets", nargs="+", default=[], metavar="NAME", help="only these; of rendered scenes, numbers (0-3)"
    )
    p.add_argument("--size", type=int, default=800, metavar="PX", help="longest side of photos and depth maps (800)")
    p.add_argument("--limit", type=int, default=0, metavar="N", help="only so many photos of a set, evenly spread")
    p.add_argument(
        "--costs", nargs="+", default=["photometric"], choices=("photometric", "learned"), help="(photometric)"
    )
    p.add_argument("--threads", type=int, default=0, help="0: as many as there are")
    p.add_argument("--sheets", type=Path, metavar="FOLDER", help="also draw photos, depth, normals and errors there")
    p.add_argument("--markdown", type=Path, metavar="FILE", help="write the table into this page")
    add_shown(p, lambda args: _stereo(args, show, count))


def _stereo(args: argparse.Namespace, show: Show, count: Counter) -> int:
    from dataclasses import replace

    from . import stereo

    how = {"size": args.size, "limit": args.limit, "threads": args.threads}
    given = stereo.cases(args.source, args.sets, args.costs, **how)
    if args.sheets:
        args.sheets.mkdir(parents=True, exist_ok=True)
        given = [replace(case, sheet=str(args.sheets / f"{case.name}-{case.costs}.png")) for case in given]
    counter, rows = count(args.quiet or args.json), []
    for row in stereo.evaluate_stereo(given):
        rows.append(row)
        counter(len(rows), len(given))
    grids = [stereo.grid(rows)]
    if args.markdown:
        write_tables(grids, args.markdown, f"stereo {args.source if args.source == 'rendered' else 'sets'}")
    show(args, grids, {"rows": [vars(row) for row in rows]})
    return 0
