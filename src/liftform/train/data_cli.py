"""``liftform train data``: what the corpus is made into, one command for each kind of shards."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

from .engines import ENGINES

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_commands(commands: Commands) -> None:
    """Add object, mask, rooms, stereo and import; each sets ``run(arguments) -> exit code``."""
    p = commands.add_parser("object", help="views, signed points and colours of every training object (resumes)")
    add_recipe(p, "recipe of the run, such as training/object.toml")
    add_engine(p)
    p.set_defaults(run=_object)
    p = commands.add_parser("mask", help="cut-outs and backgrounds for the foreground network (resumes)")
    add_recipe(p, "recipe of the run, such as training/mask.toml")
    p.set_defaults(run=_mask)
    p = commands.add_parser("rooms", help="views of synthetic rooms and streets, with depth and normals (resumes)")
    add_recipe(p, "recipe with a section [rooms]")
    add_engine(p)
    p.set_defaults(run=_rooms)
    p = commands.add_parser("stereo", help="tuples of neighbouring views with exact depth (resumes)")
    add_recipe(p, "recipe with a section [data], such as training/stereo.toml")
    add_engine(p)
    p.set_defaults(run=_stereo)
    p = commands.add_parser("import", help="pack a folder of one .npz an object, as earlier versions wrote (resumes)")
    p.add_argument("folder", type=Path)
    p.add_argument("out", type=Path, help="folder of shards")
    p.set_defaults(run=_import)


def add_recipe(parser: argparse.ArgumentParser, what: str) -> None:
    """--recipe, and --set for single options of it."""
    parser.add_argument("--recipe", type=Path, required=True, help=what)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="another value for an option of the recipe, such as --set loop.minutes=90; may be repeated",
    )


def add_engine(parser: argparse.ArgumentParser) -> None:
    """--engine and --workers."""
    parser.add_argument("--engine", choices=ENGINES, default="pool", help="processes here, or Ray on a cluster")
    parser.add_argument("--workers", type=int, metavar="N", help="jobs at once (default: the recipe's, or 2)")


def _object(args: argparse.Namespace) -> int:
    from . import data, object

    recipe = object.read_recipe(args.recipe, args.set)
    workers = args.workers or recipe.workers
    shards = recipe.object.shards
    told(data.build_shards(recipe.manifest, shards, recipe.data, workers, args.engine, recipe.procedural))
    return 0


def _mask(args: argparse.Namespace) -> int:
    from . import mask

    mask.prepare(mask.read_recipe(args.recipe, args.set).data)
    return 0


def _rooms(args: argparse.Namespace) -> int:
    from dataclasses import replace

    from . import rooms

    options = rooms.read_recipe(args.recipe, args.set)
    told(rooms.write(replace(options, workers=args.workers or options.workers), args.engine), 1)
    return 0


def _stereo(args: argparse.Namespace) -> int:
    from dataclasses import replace

    from . import stereo_data

    options = stereo_data.read_recipe(args.recipe, args.set)
    told(stereo_data.write(replace(options, workers=args.workers or options.workers), args.engine), 1)
    return 0


def _import(args: argparse.Namespace) -> int:
    from . import data

    told(data.import_arrays(args.folder, args.out))
    return 0


def told(lines: Iterable[str], every: int = 100) -> None:
    """Print each line that says why something was left out, and a count now and then."""
    made, left = 0, 0
    for line in lines:
        fault = ": " in line
        made, left = made + (not fault), left + fault
        if fault:
            print(line, flush=True)
        elif made % every == 0:
            print(f"{made} done", flush=True)
    print(f"{made} made" + (f", {left} left out" if left else ""), flush=True)
