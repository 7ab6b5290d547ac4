"""``liftform evaluate fusion``: its arguments; numba and what needs it are loaded only when it runs."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .placing_cli import Counter, Show


def add_commands(
    commands: Any, add_shown: Callable[[argparse.ArgumentParser, Any], None], show: Show, count: Counter
) -> None:
    """Add the protocol to an argparse subparsers object, with the flags and the way of showing of the others."""
    p = commands.add_parser("fusion", help="join depth maps of known things and paint them; distances and PSNR")
    p.add_argument("--objects", type=Path, help="folder of objects with manifest.jsonl (default: three made here)")
    p.add_argument("--count", type=int, default=4, help="objects of that folder (4)")
    p.add_argument("--size", type=int, default=240, metavar="PX", help="side of the pictures (240)")
    p.add_argument("--markdown", type=Path, metavar="FILE", help="put the tables into this page")
    add_shown(p, lambda args: _fusion(args, show, count))


def _fusion(args: argparse.Namespace, show: Show, count: Counter) -> int:
    from .fusion import evaluate_fusion, grids, write_page

    counter = count(args.quiet or args.json)
    shapes, textures = evaluate_fusion(args.objects, args.count, args.size, progress=counter)
    if args.markdown:
        write_page(shapes, textures, args.markdown, shlex.join(["liftform", *sys.argv[1:]]))
    facts = {"shapes": [vars(row) for row in shapes], "textures": [vars(row) for row in textures]}
    show(args, grids(shapes, textures), facts)
    return 0
