"""``liftform plan``: a floor plan in, a home at true scale out, with the plan to edit and a report."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..home import STAGES, Home, PlanRecipe, check_target, plan
from . import terminal
from .arguments import Parser, add_common, add_options, given_options

_EXAMPLES = """examples:
  liftform plan flat.pdf -o flat.glb                      # the building, flat.plan.json, a report, pictures
  liftform plan flat.plan.json -o flat.glb --ceilings     # the plan, edited by hand, built again
  liftform plan scan.png -o scan.glb --wall 8.40m         # nothing printed: the longest wall is 8.40 m
  liftform plan flat.pdf -o flat.glb -o flat.ifc -o flat.dxf --furnish --seed 3
"""


def parser() -> Parser:
    """The arguments of ``liftform plan``."""
    p = Parser(
        prog="liftform plan",
        description="Read a floor plan and build it: walls, doors, windows, floors, storey on storey, in metres.",
        epilog=_EXAMPLES,
    )
    p.add_argument("source", type=Path, help="a plan: .pdf, .png, .jpg, .tif, .webp, .dxf, or the .json of a plan")
    p.add_argument(
        "-o",
        "--output",
        action="append",
        metavar="FILE",
        help="3D (.glb .obj .usdz ...), .ifc, .dxf, .svg, .csv, .json",
    )
    p.add_argument("--report", action=argparse.BooleanOptionalAction, default=True, help="write NAME.report.json")
    p.add_argument("--preview", action=argparse.BooleanOptionalAction, default=True, help="write pictures to check")
    p.add_argument("--recipe", type=Path, metavar="FILE", help="a TOML recipe; flags win over it")
    p.add_argument("--seed", type=int, default=argparse.SUPPRESS, metavar="N", help="feeds every random choice")
    add_common(p)
    add_options(p, "plan")
    return p


def run(args: argparse.Namespace) -> int:
    """Build the home and say what is in it."""
    base = PlanRecipe.from_toml(args.recipe) if args.recipe else PlanRecipe()
    general = {"seed": args.seed} if hasattr(args, "seed") else {}
    recipe = base.with_options(**general, **given_options(args, "plan"))
    named = args.source.name.removesuffix(".json").removesuffix(".plan") if args.source.suffix == ".json" else ""
    targets = [
        check_target(path) for path in args.output or [args.source.with_name(f"{named or args.source.stem}.glb")]
    ]
    with terminal.progress(1, shown=not (args.quiet or args.json), stages=STAGES) as bar:
        home = plan(args.source, recipe, progress=bar)
        written = home.save(*targets, report=args.report, preview=args.preview)
    if args.json:
        print(json.dumps({**home.to_dict(), "written": [str(path) for path in written]}, default=str))
    elif not args.quiet:
        _show(home)
        print("\n".join(str(path) for path in written))
    return 0


def _show(home: Home) -> None:
    """Rooms and areas, the scale, and what to check."""
    facts = home.to_dict()
    several = len(home.plan.storeys) > 1
    rows = [
        [*([row["storey"]] if several else []), row["label"] or row["type"], row["type"], f"{row['area_m2']:.2f} m²"]
        for row in facts["rooms"]
    ]
    terminal.table("", [*(["storey"] if several else []), "room", "type", "area"], rows)
    area, found = facts["area_m2"], facts["storeys"]
    totals = ", ".join(f"{sum(s[kind] for s in found)} {kind}" for kind in ("walls", "doors", "windows", "rooms"))
    print(f"{totals}; {area['inside']:.1f} m² inside, {area['outdoor']:.1f} m² outdoors")
    scale = home.plan.scale
    print(f"scale: {'unknown' if scale.metres_per_unit is None else f'known from {scale.origin}'}")
    if home.auto_accept:
        print("auto-accept: yes")
    for line in home.checks:
        print(f"check: {line}")
