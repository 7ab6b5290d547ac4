"""``liftform train``: prepare data, train the networks, export them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TypeAlias

from . import data_cli

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_commands(commands: Commands) -> None:
    """Add data, object, mask, depth, familiarity, slim and export; each sets ``run(arguments) -> exit code``."""
    data = commands.add_parser("data", help="gather a corpus and prepare the networks' shards (resumes)")
    data_cli.add_commands(data.add_subparsers(metavar="what", title="what to prepare", required=True))
    for name, what in (("object", "object"), ("mask", "foreground"), ("depth", "depth")):
        train = commands.add_parser(name, help=f"train the {what} network, or go on training it")
        train.add_argument(
            "--recipe", type=Path, required=True, help=f"recipe of the run, such as training/{name}.toml"
        )
        train.set_defaults(run=_train, network=name)
    trust = commands.add_parser("familiarity", help="calibrate how far results can be trusted, on held-out objects")
    trust.add_argument("--recipe", type=Path, required=True, help="recipe, such as training/familiarity.toml")
    trust.set_defaults(run=_familiarity)
    slim = commands.add_parser("slim", help="keep only a checkpoint's averaged weights, in half precision")
    slim.add_argument("checkpoint", type=Path)
    slim.add_argument("out", type=Path)
    slim.set_defaults(run=_slim)
    export = commands.add_parser("export", help="write a checkpoint as half-precision ONNX, with its table row")
    export.add_argument("network", choices=["object", "mask", "depth"])
    export.add_argument("checkpoint", type=Path)
    export.set_defaults(run=_export)


def _train(arguments: argparse.Namespace) -> int:
    if arguments.network == "mask":
        from . import mask

        recipe = mask.read_recipe(arguments.recipe)
        progress, checkpoint = mask.train_mask(recipe), recipe.loop.checkpoint
    elif arguments.network == "depth":
        from . import depth

        depth_run = depth.read_recipe(arguments.recipe)
        progress, checkpoint = depth.train_depth(depth_run), depth_run.loop.checkpoint
    else:
        from . import object

        run = object.read_recipe(arguments.recipe)
        progress, checkpoint = object.train_object(run), run.loop.checkpoint
    print(f"{progress.step} steps in {progress.seconds / 60:.1f} min: {checkpoint}")
    return 0


def _familiarity(arguments: argparse.Namespace) -> int:
    from . import familiarity

    print(familiarity.calibrate_familiarity(familiarity.read_recipe(arguments.recipe)))
    return 0


def _slim(arguments: argparse.Namespace) -> int:
    from .loop import slim

    slim(arguments.checkpoint, arguments.out)
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from . import export

    if arguments.network == "mask":
        difference = export.export_mask(arguments.checkpoint)
        print(f"{export.WEIGHTS / 'mask.onnx'}: largest difference of alpha from torch {difference:.5f}")
        return 0
    if arguments.network == "depth":
        from .export_depth import export_depth

        difference = export_depth(arguments.checkpoint)
        print(f"{export.WEIGHTS / 'depth.onnx'}: largest difference of depth from torch {difference:.2%}")
        return 0
    from .export_object import install_object

    difference = install_object(arguments.checkpoint)
    print(f"{export.WEIGHTS}/object_*.onnx: largest difference of the field from torch {difference:.5f}")
    return 0
