"""``liftform evaluate field``: its arguments, and the table it prints."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .tables import Grid

Show = Callable[[argparse.Namespace, list[Grid], dict[str, Any]], None]


def add_commands(commands: Any, add_shown: Callable[[argparse.ArgumentParser, Any], None], show: Show) -> None:
    """Add the protocol to an argparse subparsers object, with the flags and the way of showing of the others."""
    p = commands.add_parser("field", help="score radiance fields on held-out views, beside peers given the same time")
    p.add_argument("folder", type=Path, help="a photo set with known cameras")
    p.add_argument("--minutes", type=float, default=1.0, help="time to learn (1)")
    p.add_argument("--max-side", type=int, default=400, metavar="PX", help="longest side of the pictures (400)")
    p.add_argument("--peers", nargs="*", default=[], choices=("nerf", "voxels"), help="plain peers in torch")
    p.add_argument("--masks", action=argparse.BooleanOptionalAction, default=True, help="use the set's masks (yes)")
    p.add_argument("--sheet", type=Path, metavar="FILE", help="draw the field beside held-out photos, .png")
    p.add_argument("--seed", type=int, default=0, metavar="N", help="feeds every random choice")
    add_shown(p, lambda args: _field(args, show))


def _field(args: argparse.Namespace, show: Show) -> int:
    from .field import HEAD, evaluate_field

    peers = tuple(args.peers)
    scores = list(evaluate_field(args.folder, args.minutes, args.max_side, peers, args.masks, args.sheet, args.seed))
    rows = tuple(tuple(score.cells()) for score in scores)
    show(args, [Grid(args.folder.name, HEAD, rows)], {score.name: vars(score) for score in scores})
    return 0
