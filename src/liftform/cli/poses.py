"""``liftform poses``: where the pictures of a set were taken from, as transforms.json and a sparse point cloud."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..poses import STAGES, Poses, PosesRecipe, poses
from . import terminal
from .arguments import Parser, add_common, add_options, given_options

_EXAMPLES = """examples:
  liftform poses photos/ -o poses.json
  liftform poses clip.mp4 -o poses.json --frames 80
  liftform poses photos/ -o poses.json --distance first.jpg,last.jpg=1.2m    # real size
  liftform poses photos/ -o poses.json --masks estimated                     # a turntable: the object moves, not you
"""
#: Decisions that are shown; all are in the file.
_SHOWN = ("given cameras", "poses", "sure", "up", "floor", "scale", "exposure", "frames")
_WARNED = ("not placed", "apart", "repeated parts", "weakly placed", "left out")


def parser() -> Parser:
    """The arguments of ``liftform poses``."""
    p = Parser(
        prog="liftform poses",
        description="Find the cameras of a photo set or film: transforms.json of nerfstudio, and coloured points.",
        epilog=_EXAMPLES,
    )
    p.add_argument("source", nargs="+", help="a folder, zip archive, film, pattern, or the pictures themselves")
    p.add_argument("-o", "--output", type=Path, default=Path("poses.json"), metavar="FILE", help="(poses.json)")
    p.add_argument("--recipe", type=Path, metavar="FILE", help="a TOML recipe; flags win over it")
    p.add_argument("--seed", type=int, default=argparse.SUPPRESS, metavar="N", help="feeds every random choice")
    add_common(p)
    add_options(p, "poses")
    return p


def run(args: argparse.Namespace) -> int:
    """Find the cameras and say how sure they are."""
    base = PosesRecipe.from_toml(args.recipe) if args.recipe else PosesRecipe()
    general = {"seed": args.seed} if hasattr(args, "seed") else {}
    recipe = base.with_options(**general, **given_options(args, "poses"))
    source = args.source[0] if len(args.source) == 1 else args.source
    with terminal.progress(1, shown=not (args.quiet or args.json), stages=STAGES) as bar:
        found = poses(source, recipe, progress=bar)
        written = found.save(args.output)
    if args.json:
        print(json.dumps({**found.to_dict(), "written": [str(path) for path in written]}, default=str))
    elif not args.quiet:
        _show(found)
        print("\n".join(str(path) for path in written))
    return 0


def _show(found: Poses) -> None:
    """What was found, and what to look at."""
    points = 0 if found.capture.sparse is None else len(found.capture.sparse.points)
    print(f"{found.placed} of {len(found.capture.photos)} pictures placed, {points} points")
    for decision in found.capture.decisions:
        if decision.what in _SHOWN:
            print(f"{decision.what}: {decision.value} ({decision.origin}; {decision.note})")
    for decision in found.capture.decisions:
        if decision.what in _WARNED:
            print(f"check: {decision.what}: {decision.value} ({decision.note})")
