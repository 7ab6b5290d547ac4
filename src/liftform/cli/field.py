"""``liftform field``: a radiance field from a photo set or a film."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ..errors import OutputError, UsageError
from ..files import write_whole
from ..poses import PosesRecipe, Road
from ..recipe import build
from . import terminal
from .arguments import Parser, add_common, add_options, given_options

_EXAMPLES = """examples:
  liftform field photos/ -o statue.field --minutes 5
  liftform field clip.mp4 -o garden.field --preview garden.png --checkpoint garden.state
  liftform views statue.field --path orbit -o clip.mp4
"""
_STAGES = ("photos", "masks", "features", "matching", "mapping", "field")


def parser() -> Parser:
    """The arguments of ``liftform field``."""
    p = Parser(prog="liftform field", description="Learn a radiance field from photos or a film.", epilog=_EXAMPLES)
    p.add_argument("source", nargs="+", help="a folder, zip archive, film, pattern, or the pictures themselves")
    p.add_argument("-o", "--output", type=Path, default=Path("scene.field"), metavar="FILE", help="(scene.field)")
    p.add_argument("--recipe", type=Path, metavar="FILE", help="a TOML recipe; flags win over it")
    p.add_argument("--seed", type=int, default=argparse.SUPPRESS, metavar="N", help="feeds every random choice")
    g = p.add_argument_group("field options")
    g.add_argument("--minutes", type=float, metavar="NUMBER", help="time to learn (default: 3)")
    g.add_argument("--steps", type=int, metavar="N", help="steps instead of a time: the same bytes every time")
    g.add_argument("--resolution", type=int, metavar="N", help="lattice cells along the longest side")
    g.add_argument("--background", choices=("auto", "white", "black", "random"), help="behind masked pictures (auto)")
    g.add_argument("--smooth", type=float, metavar="NUMBER", help="how much neighbours pull at each other (default: 1)")
    g.add_argument("--spread", type=float, metavar="NUMBER", help="against mist along rays (default: 0)")
    g.add_argument("--max-side", type=int, metavar="PX", help="longest side of the pictures (default: 800)")
    g.add_argument("--preview", type=Path, metavar="FILE", help="a PNG of how far it is, every few seconds")
    g.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="keeps the state: written now and then, gone on from"
    )
    add_common(p)
    add_options(p, "poses")
    return p


_FIELD = ("minutes", "steps", "resolution", "background", "smooth", "spread", "max_side", "preview", "checkpoint")


def run(args: argparse.Namespace) -> int:
    """Find the cameras, learn the field, write it."""
    from .. import field_file
    from ..photoset.straight import straight
    from ..reconstruct.field import FieldOptions, field

    if args.output.suffix.lower() != ".field":
        raise OutputError(f"{args.output}: fields are written as .field", "name it scene.field")
    if not args.output.absolute().parent.is_dir():
        raise OutputError(f"{args.output}: no such folder", "make it first")
    base = PosesRecipe.from_toml(args.recipe) if args.recipe else PosesRecipe()
    general = {"seed": args.seed} if hasattr(args, "seed") else {}
    recipe = base.with_options(**general, **given_options(args, "poses"))
    options = build(FieldOptions, _given(args), "options")
    source = args.source[0] if len(args.source) == 1 else args.source
    with terminal.progress(1, shown=not (args.quiet or args.json), stages=_STAGES) as bar:
        road = Road.of(recipe, bar, {})
        found = road._stage("poses", road.masked(road.photos(source)))
        made = field(options, road.runtime)(straight(found))
    named = args.output.stem
    size = len(data := field_file.encoded(made.with_(name=named)))
    write_whole({args.output: data})
    told = {"written": str(args.output), "bytes": size, "kind": made.kind, **made.metadata}
    if args.json:
        print(json.dumps(told))
    elif not args.quiet:
        stopped = ", stopped by hand" if made.metadata["interrupted"] else ""
        print(f"{made.metadata['steps']} steps in {made.metadata['seconds']:.0f} s{stopped}; {size / 1e6:.1f} MB")
        print(args.output)
    return 0


def _given(args: argparse.Namespace) -> dict[str, Any]:
    """The field's options that were given."""
    given = {name: getattr(args, name) for name in _FIELD if getattr(args, name) is not None}
    for name in ("preview", "checkpoint"):
        if name in given and not given[name].absolute().parent.is_dir():
            raise UsageError(f"--{name} {given[name]}: no such folder", "make it first")
    return given
