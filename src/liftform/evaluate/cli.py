"""``liftform evaluate``: what each part of it takes, and what it prints."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import field_cli, fusion_cli, implicit, placing_cli, splats, stereo_cli
from .tables import Grid


def add_commands(commands: Any) -> None:
    """Add one parser for each protocol to an argparse subparsers object; each sets ``run(args) -> exit code``."""
    p = commands.add_parser("object", help="lift every case of an object bench and score the shapes")
    p.add_argument("--cases", type=Path, required=True, help="the bench's cases.jsonl")
    p.add_argument("--out", type=Path, default=Path("evaluation/object"), help="folder of predictions and records")
    p.add_argument("--limit", type=int, help="only this many cases, evenly spread")
    p.add_argument("--workers", type=int, default=1, help="processes")
    p.add_argument("--resume", action=argparse.BooleanOptionalAction, default=True, help="keep what is already made")
    p.add_argument("--recipe", type=Path, help="a TOML recipe")
    p.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables as a page too")
    _add_shown(p, _object)
    _add_trust(commands)
    _add_texture(commands)
    _add_damage(commands)
    p = commands.add_parser("finish", help="measure time and memory of mending, remaking, reducing and baking")
    p.add_argument("--faces", type=int, nargs="+", metavar="N", help="sizes of the meshes (default: 1k to 2M)")
    p.add_argument("--tasks", nargs="+", metavar="TASK", help="local solid web fix (default: all)")
    p.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables as a page too")
    _add_shown(p, _finish)
    _add_quads(commands)
    _add_plans(commands)
    p = commands.add_parser("optimise", help="what constraints at inference buy for the time they take")
    p.add_argument("--cases", type=Path, required=True, help="a bench's cases.jsonl")
    p.add_argument("--limit", type=int, help="only this many cases, evenly spread")
    p.add_argument("--values", nargs="+", metavar="N", help="values of --optimise to compare (default: 0 auto 5 20)")
    _add_shown(p, _optimise)
    p = commands.add_parser("depth", help="score depth from one picture on pairs with measured depth")
    p.add_argument("pairs", type=Path, help="folder with meta.json, rgb/ and depth/")
    p.add_argument("--sheet", type=Path, metavar="FILE", help="also draw every pair, .png or .jpg")
    p.add_argument("--baselines", action="store_true", help="the trivial baselines alone, without the network")
    _add_shown(p, _depth)
    p = commands.add_parser("poses", help="find the cameras of photo sets and compare them with known ones")
    p.add_argument("folder", type=Path, help="a folder of photo sets with transforms.json or COLMAP models")
    p.add_argument("--sets", nargs="+", default=[], metavar="NAME", help="only these (default: all)")
    p.add_argument("--max-side", type=int, default=1600, metavar="PX", help="longest side of the pictures (1600)")
    p.add_argument("--lenses", choices=("given", "unknown"), default="given", help="are lenses read? (given)")
    p.add_argument("--mapping", choices=("auto", "incremental", "global"), default="auto", help="(auto)")
    _add_shown(p, _poses)
    p = commands.add_parser("photos", help="lift pictures and lay inputs and results on one sheet")
    p.add_argument("pictures", nargs="+", type=Path)
    p.add_argument("-o", "--output", type=Path, default=Path("contact.png"), help="the sheet, .png .jpg or .webp")
    p.add_argument("--columns", type=int, default=2, help="pictures in a row")
    p.add_argument("--tile", type=int, default=224, metavar="PX", help="side of one tile")
    _add_shown(p, _photos)
    p = commands.add_parser("mask", help="score the foreground on objects stood before photographs")
    p.add_argument("photographs", nargs="+", type=Path, help="folders or files of photographs never trained on")
    p.add_argument("--cases", type=Path, required=True, help="the bench's cases.jsonl")
    p.add_argument("--limit", type=int, help="only this many cases, evenly spread")
    p.add_argument("--seed", type=int, default=0, help="of photographs, places and sizes")
    p.add_argument("--model", action="append", default=[], metavar="NAME", help="also the stage by this public network")
    p.add_argument("-o", "--output", type=Path, help="a sheet of all composites, worst first")
    _add_shown(p, _mask)
    p = commands.add_parser("speed", help="measure times, memory and sizes against the limits")
    p.add_argument("--picture", type=Path, help="what the 12-megapixel JPEG is made from (default: an example)")
    p.add_argument("--runs", type=int, default=7, help="warm runs")
    _add_shown(p, _speed)
    p = commands.add_parser("zoo", help="time a public model at full size with random weights: nothing is downloaded")
    p.add_argument("--model", default="triposr", help="which: triposr or triposg (triposr)")
    p.add_argument("--precision", nargs="+", default=["float32", "bfloat16"], help="one run each (float32 bfloat16)")
    p.add_argument("--device", default="cpu", help="where: cpu, cuda, cuda:1, mps or xpu (cpu)")
    p.add_argument("--threads", type=int, default=0, help="of torch; 0: as many as it likes")
    p.add_argument("--resolution", type=int, default=256, help="nodes along the side of the field's box (256)")
    p.add_argument("--weights", type=Path, metavar="FOLDER", help="keep the random weights there, for other programs")
    _add_shown(p, _zoo)
    placing_cli.add_commands(commands, _add_shown, _show, _counter)
    stereo_cli.add_commands(commands, _add_shown, _show, _counter)
    fusion_cli.add_commands(commands, _add_shown, _show, _counter)
    field_cli.add_commands(commands, _add_shown, _show)
    implicit.add_commands(commands, _add_shown, _show)
    splats.add_commands(commands, _add_shown, _show)


def _add_trust(commands: Any) -> None:
    p = commands.add_parser("trust", help="does it know when it is wrong? estimates beside true scores")
    p.add_argument("--cases", type=Path, required=True, help="a bench's cases.jsonl")
    p.add_argument("--out", type=Path, default=Path("evaluation/trust"), help="folder of predictions and records")
    p.add_argument(
        "--results", type=Path, help="judge this folder of an `evaluate object` run instead: nothing is lifted"
    )
    p.add_argument("--scorer", type=Path, help="the scoring program (default: the one beside the bench)")
    p.add_argument("--limit", type=int, help="only this many cases, evenly spread")
    p.add_argument("--workers", type=int, default=1, help="processes")
    p.add_argument("--collect", action="store_true", help="only predict and score: nothing is judged yet")
    p.add_argument("--picture", type=Path, metavar="FILE", help="draw the five most and least trusted results")
    p.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables as a page too")
    _add_shown(p, _trust)
    p = commands.add_parser("bias", help="score by kind of object beside how much of it was trained on")
    p.add_argument("--results", type=Path, required=True, help="the folder of an `evaluate object` or `trust` run")
    p.add_argument("--manifest", type=Path, required=True, help="the corpus's manifest.jsonl")
    p.add_argument("--markdown", type=Path, metavar="FILE", help="write the page, with its plot in images/ beside it")
    _add_shown(p, _bias)


def _add_texture(commands: Any) -> None:
    p = commands.add_parser("texture", help="fill the hidden sides in every way and compare them with the truth")
    p.add_argument("--cases", type=Path, required=True, help="a bench's cases.jsonl, ids as in the objects' manifest")
    p.add_argument("--objects", type=Path, required=True, help="folder of the true objects, with manifest.jsonl")
    p.add_argument("--limit", type=int, default=12, help="only this many cases, evenly spread")
    p.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables into this page")
    p.add_argument("--picture", type=Path, metavar="FILE", help="write the views, .jpg or .png")
    _add_shown(p, _texture)


def _add_damage(commands: Any) -> None:
    p = commands.add_parser("damage", help="break sound meshes in twelve ways and repair them, beside other tools")
    p.add_argument(
        "--objects", type=Path, help="folder of objects with manifest.jsonl (default: only shapes made here)"
    )
    p.add_argument("--cases", type=int, default=300, help="broken meshes with a known truth")
    p.add_argument("--generated", type=int, default=40, help="meshes as generators make them")
    p.add_argument("--as-they-are", type=int, default=60, help="objects repaired as they are; -1: all")
    p.add_argument("--ways", nargs="+", default=[], metavar="NAME", help="only these ways (default: all installed)")
    p.add_argument("--seed", type=int, default=0, help="of shapes, objects and damage")
    p.add_argument("--records", type=Path, metavar="FILE", help="keep results here, and go on where it stops")
    p.add_argument("--picture", type=Path, metavar="FILE", help="draw some cases before and after, .jpg or .png")
    p.add_argument("--other", type=Path, metavar="FILE", help="records of another seed, for the page")
    p.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables as a page too")
    _add_shown(p, _damage)


def _add_quads(commands: Any) -> None:
    p = commands.add_parser("quads", help="lay objects out in quads both ways: likeness, regularity, time")
    p.add_argument("--objects", type=Path, required=True, help="folder of objects with manifest.jsonl")
    p.add_argument("--count", type=int, default=30, help="objects, of all collections in turn (30)")
    p.add_argument("--faces", type=int, default=5000, help="about so many quads (5000)")
    p.add_argument("--out", type=Path, default=Path("evaluation/quads"), help="folder of meshes and records")
    p.add_argument("--picture", type=Path, metavar="FILE", help="draw a few as wires, .jpg or .png")
    p.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables as a page too")
    _add_shown(p, _quads)


def _add_plans(commands: Any) -> None:
    p = commands.add_parser("plans", help="score plans read from drawings: walls, openings, rooms, areas, scale")
    p.add_argument("drawings", type=Path, help="folder of drawings, each with its .render.json")
    p.add_argument("--truth", type=Path, required=True, help="folder of the true plans, NAME.json")
    p.add_argument("--kinds", nargs="+", default=[], metavar="KIND", help="vector raster scan photo (default: all)")
    p.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables as a page too")
    _add_shown(p, _plans)
    p = commands.add_parser("buildings", help="build plans and count solids that are closed, seconds, sound IFC files")
    p.add_argument("plans", type=Path, help="folder of plans, NAME.json")
    p.add_argument("--ifc", action="store_true", help="also check IFC files against the schema (extra ifc)")
    _add_shown(p, _buildings)


def _add_shown(parser: argparse.ArgumentParser, run: Callable[[argparse.Namespace], int]) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")
    parser.add_argument("-v", "--verbose", action="store_true", help="whole tracebacks of errors")
    parser.set_defaults(run=run)


def _object(args: argparse.Namespace) -> int:
    from ..pipeline import Recipe
    from .protocols import evaluate_object
    from .tables import grids, write_markdown

    options = {"recipe": Recipe.from_toml(args.recipe)} if args.recipe else {}
    found = evaluate_object(
        args.cases, args.out, None, args.limit, args.workers, args.resume, options, _counter(args.quiet or args.json)
    )
    if args.markdown:
        write_markdown(found, args.markdown, shlex.join(["liftform", *sys.argv[1:]]))
    _show(args, grids(found), {"records": found.records, "scores": found.scores})
    return 0


def _trust(args: argparse.Namespace) -> int:
    from . import trust, trust_tables
    from .protocols import read_cases

    counter = _counter(args.quiet or args.json)
    if args.results:
        records = trust.reused(args.results)
    else:
        records = trust.collect(args.cases, args.out, args.scorer, args.limit, args.workers, counter)
    if args.collect:
        failed = sum("error" in record for record in records)
        _show(args, [Grid(f"{len(records)} cases, {failed} failed: {args.out}", (), ())], {"records": len(records)})
        return 0
    judged = trust.judge(records, args.out)
    if args.picture:
        trust_tables.extremes(judged, {c["id"]: c["image"] for c in read_cases(args.cases)}, args.picture)
    if args.markdown:
        trust_tables.write_page(judged, records, args.markdown, shlex.join(["liftform", *sys.argv[1:]]))
    _show(args, trust_tables.grids(judged, records), trust.figures(judged))
    return 0


def _bias(args: argparse.Namespace) -> int:
    from . import bias
    from .protocols import read_scores

    found = bias.leanings(read_scores(args.results), args.manifest)
    if args.markdown:
        plot = args.markdown.parent / "images" / f"{args.markdown.stem}.png"
        bias.write_page(found, args.markdown, plot, shlex.join(["liftform", *sys.argv[1:]]))
    _show(args, [bias.grid(found)], {"categories": [vars(x) for x in found], "spearman": bias.correlation(found)})
    return 0


def _poses(args: argparse.Namespace) -> int:
    from ..poses import PosesRecipe
    from .poses import HEAD, evaluate_poses

    recipe = PosesRecipe.from_tables({"photos": {"max_side": args.max_side}}, "options")
    cameras = "lens" if args.lenses == "given" else "ignore"
    options = {"recipe": recipe, "cameras": cameras, "mapping": args.mapping}
    rows = list(evaluate_poses(args.folder, args.sets, options))
    _show(args, [Grid("", HEAD, tuple(tuple(row.cells()) for row in rows))], {row.name: vars(row) for row in rows})
    return 0


def _depth(args: argparse.Namespace) -> int:
    from .depth import evaluate_depth

    models = {}
    if not args.baselines:
        from ..understand.depth import depth_of

        models["liftform"] = depth_of
    found = evaluate_depth(args.pairs, models, args.sheet, _counter(args.quiet or args.json))
    _show(args, found.grids(), found.to_dict())
    return 0


def _texture(args: argparse.Namespace) -> int:
    from .texture import evaluate_texture, grids, write_page, write_strip

    rows = evaluate_texture(args.cases, args.objects, args.limit, progress=_counter(args.quiet or args.json))
    if args.markdown:
        write_page(rows, args.markdown, shlex.join(["liftform", *sys.argv[1:]]))
    if args.picture and rows:
        write_strip(rows, args.picture)
    _show(args, grids(rows), {row.name: {kind: vars(s) for kind, s in row.scores.items()} for row in rows})
    return 0


def _damage(args: argparse.Namespace) -> int:
    from itertools import chain

    from . import damage, damage_cases, damage_peers, damage_picture

    groups = [damage_cases.damaged(args.objects, args.cases, args.seed)]
    groups.append(damage_cases.generated(args.generated, args.seed))
    if args.objects and args.as_they_are:
        groups.append(damage_cases.as_they_are(args.objects, None if args.as_they_are < 0 else args.as_they_are))
    count = _counter(args.quiet or args.json)
    total = args.cases + args.generated + max(args.as_they_are, 0)
    ways = damage_peers.ways(tuple(args.ways))
    absent = [name for name in damage_peers.missing() if name in args.ways or not args.ways]
    if absent:
        print(f"liftform: left out, not installed: {', '.join(absent)}", file=sys.stderr)
    records = damage.evaluate_damage(chain(*groups), ways, args.records, lambda done: count(done, max(total, done + 1)))
    if args.picture:
        damage_picture.write(args.objects, args.seed, args.picture)
    if args.markdown:
        other = damage.read_records(args.other) if args.other else ()
        damage.write_page(records, args.markdown, shlex.join(["liftform", *sys.argv[1:]]), other)
    _show(args, damage.grids(records), {"records": records})
    return 0


def _quads(args: argparse.Namespace) -> int:
    from . import quads

    records = quads.evaluate_quads(args.objects, args.out, args.count, args.faces, _counter(args.quiet or args.json))
    if args.picture:
        quads.write_picture(records, args.out, args.picture)
    if args.markdown:
        quads.write_page(records, args.markdown, shlex.join(["liftform", *sys.argv[1:]]), args.picture, args.faces)
    _show(args, quads.grids(records), {"records": records})
    return 0


def _plans(args: argparse.Namespace) -> int:
    from . import plans

    rows = plans.evaluate_plans(args.drawings, args.truth, args.kinds)
    if args.markdown:
        plans.write_page(rows, args.markdown, shlex.join(["liftform", *sys.argv[1:]]))
    _show(args, plans.grids(rows), {"drawings": rows})
    return 0


def _buildings(args: argparse.Namespace) -> int:
    from . import buildings

    records = buildings.evaluate_buildings(args.plans, args.ifc)
    _show(args, buildings.grids(records), {"plans": records})
    return 0


def _finish(args: argparse.Namespace) -> int:
    from . import finish

    counter = _counter(args.quiet or args.json)
    found = finish.measure_finish(args.faces or finish.SIZES, tasks=args.tasks or tuple(finish.TASKS), progress=counter)
    if args.markdown:
        finish.write_page(found, args.markdown, shlex.join(["liftform", *sys.argv[1:]]))
    _show(args, finish.grids(found), {"records": [vars(one) for one in found]})
    return 0 if finish.within(found) else 1


def _optimise(args: argparse.Namespace) -> int:
    from .optimise import VALUES, evaluate_optimise, grid

    values = [int(v) if v.isdigit() else v for v in args.values] if args.values else VALUES
    found = evaluate_optimise(args.cases, args.limit, values, _counter(args.quiet or args.json))
    _show(args, [grid(found)], {"records": [vars(one) for one in found]})
    return 0


def _photos(args: argparse.Namespace) -> int:
    from .contact import contact_sheet

    failures = contact_sheet(
        args.pictures, args.output, None, args.tile, args.columns, _counter(args.quiet or args.json)
    )
    rows = tuple((name, reason) for name, reason in failures.items())
    made = len(args.pictures) - len(failures)
    _show(
        args,
        [Grid(f"{made} of {len(args.pictures)} lifted: {args.output}", ("failed", "why"), rows)],
        {"failures": failures},
    )
    return 0


def _mask(args: argparse.Namespace) -> int:
    from . import masks

    pictures = masks.composed(args.cases, masks.photographs(args.photographs), args.seed, args.limit)
    models = masks.candidates(args.model)
    scores = masks.score(pictures, {**models}, _counter(args.quiet or args.json))
    if args.output:
        masks.sheet(pictures, scores["whole stage"], args.output)
    seconds = {name: model.seconds for name, model in models.items()}
    names = [picture.name for picture in pictures]
    _show(args, [masks.grid(scores, models)], {"names": names, "iou": scores, "seconds": seconds})
    return 0


def _speed(args: argparse.Namespace) -> int:
    from .speed import measure_speed

    found = measure_speed(args.picture, args.runs)
    _show(args, found.grids(), {"measures": [{**vars(m), "within": m.within} for m in found.measures]})
    return 0 if all(m.within for m in found.measures) else 1


def _zoo(args: argparse.Namespace) -> int:
    from . import flow_speed, zoo

    if args.model == "triposg":
        drawn = flow_speed.measure(tuple(args.precision), args.device, args.threads)
        _show(args, [flow_speed.grid(drawn)], {"runs": [vars(run) for run in drawn]})
        return 0
    found = zoo.measure_zoo(
        *(args.model, tuple(args.precision), args.device, args.threads, args.resolution, args.weights),
        progress=_counter(args.quiet or args.json),
    )
    _show(args, [zoo.grid(found)], {"runs": [vars(run) for run in found]})
    return 0


def _show(args: argparse.Namespace, grids: list[Grid], facts: dict[str, Any]) -> None:
    """Tables on stdout, or the facts as JSON."""
    if args.json:
        print(json.dumps(facts))
    elif not args.quiet:
        from rich.console import Console

        console = Console(width=None if sys.stdout.isatty() else 140)
        for grid in grids:
            console.print(grid.rich())


def _counter(quiet: bool) -> Callable[[int, int], None]:
    """A counter on stderr for terminals."""

    def count(done: int, total: int) -> None:
        if not quiet and sys.stderr.isatty():
            print(f"\r{done} of {total}", end="\n" if done == total else "", file=sys.stderr, flush=True)

    return count
