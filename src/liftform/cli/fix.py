"""``liftform fix``: any mesh in, a valid one out, with its report and a picture of before and after."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..finish import STAGES, Fixed, FixRecipe, fix, spare_the_input
from ..report import words
from ..report.done import done_words
from . import terminal
from .arguments import Parser, add_common, add_options, given_options

_EXAMPLES = """examples:
  liftform fix scan.obj -o scan.glb --faces 20000 --lod 5k,1k    # fewer faces, detail kept in maps; coarser levels
  liftform fix bust.glb -o bust.obj --quads --quad-count 8000    # quads; whole in .obj, .ply and USD
  liftform fix crate.obj -o crate.glb --collision --longest 60cm --delight
"""


def parser() -> Parser:
    """The arguments of ``liftform fix``."""
    p = Parser(
        prog="liftform fix",
        description="Mend a mesh, and give it what was asked for. What is sound stays as it is, bit for bit.",
        epilog=_EXAMPLES,
    )
    p.add_argument("mesh", type=Path, help="any mesh file that `liftform inspect` reads")
    p.add_argument("-o", "--output", metavar="FILE", help="the asset (default: NAME.fixed.glb beside the mesh)")
    p.add_argument("--report", action=argparse.BooleanOptionalAction, default=True, help="write NAME.report.json")
    p.add_argument("--preview", action=argparse.BooleanOptionalAction, default=True, help="write NAME.preview.png")
    p.add_argument("--html", action="store_true", help="write NAME.report.html too: the report as a page with pictures")
    p.add_argument("--recipe", type=Path, metavar="FILE", help="a TOML recipe; flags win over it")
    p.add_argument("--seed", type=int, default=argparse.SUPPRESS, metavar="N", help="feeds every random choice")
    p.add_argument("--threads", type=int, default=argparse.SUPPRESS, metavar="N", help="0 lets the libraries choose")
    add_common(p)
    add_options(p, "fix")
    return p


def run(args: argparse.Namespace) -> int:
    """Fix the mesh and say what was done."""
    from ..export import check_target

    base = FixRecipe.from_toml(args.recipe) if args.recipe else FixRecipe()
    general = {word: getattr(args, word) for word in ("seed", "threads") if hasattr(args, word)}
    recipe = base.with_options(**general, **given_options(args, "fix"))
    target = check_target(args.output or args.mesh.with_name(f"{args.mesh.stem}.fixed.glb"))
    spare_the_input(args.mesh, target)
    with terminal.progress(1, shown=not (args.quiet or args.json), stages=STAGES) as bar:
        result = fix(args.mesh, recipe, progress=bar)
        written = result.save(target, args.report, args.preview, args.html)
    if args.json:
        print(json.dumps({**result.to_dict(), "written": [str(path) for path in written]}, default=str))
    elif not args.quiet:
        _show(result)
        print("\n".join(str(path) for path in written))
    return 0


def _show(result: Fixed) -> None:
    """Before and after, what was done, and what it is fit for."""
    was, now = result.measures_before.health, result.measures.health
    rows = [
        (name.replace("_", " "), _cell(getattr(was, name)), _cell(getattr(now, name)))
        for name in (
            "faces",
            "watertight",
            "manifold",
            "outward",
            "boundary_edges",
            "nonmanifold_edges",
            "nonmanifold_vertices",
            "flipped_edges",
            "components",
            "degenerate_faces",
            "duplicate_faces",
            "self_intersecting",
        )
    ]
    terminal.table("", ("", "before", "after"), rows)
    terminal.show(words.listed("", done_words(result.done)))
    terminal.show(words.verdicts(result.fitness, result.measures.picture))


def _cell(value: object) -> str:
    if value is None:
        return "not counted"
    return ("yes" if value else "no") if isinstance(value, bool) else f"{value:,}"
