"""``liftform train``: prepare data, train the networks, export them."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import TypeAlias

from ..errors import DivergedError
from . import corpus_cli, data_cli
from .data_cli import add_recipe

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_commands(commands: Commands) -> None:
    """Add data, the networks, familiarity, replay, speed, slim, export; each sets ``run(arguments) -> exit code``."""
    data = commands.add_parser("data", help="gather a corpus and prepare the networks' shards (resumes)")
    kinds = data.add_subparsers(metavar="what", title="what to prepare", required=True)
    corpus_cli.add_data_commands(kinds)
    data_cli.add_commands(kinds)
    corpus_cli.add_commands(commands)
    kinds_of_networks = {
        "object": "object",
        "mask": "foreground",
        "depth": "depth",
        "plan": "floor-plan",
        "stereo": "stereo",
    }
    for name, what in kinds_of_networks.items():
        train = commands.add_parser(name, help=f"train the {what} network, or go on training it")
        add_recipe(train, f"recipe of the run, such as training/{name}.toml")
        train.set_defaults(run=_train, network=name)
    trust = commands.add_parser("familiarity", help="calibrate how far results can be trusted, on held-out objects")
    add_recipe(trust, "recipe, such as training/familiarity.toml")
    trust.set_defaults(run=_familiarity)
    replay = commands.add_parser("replay", help="run a step that could not be learned once more, and say why")
    replay.add_argument("file", type=Path, help="bad_STEP_RANK.pt, written beside the checkpoint")
    replay.set_defaults(run=_replay)
    add_speed(commands.add_parser("speed", help="measure renders, samples and training steps a second on this machine"))
    slim = commands.add_parser("slim", help="keep only a checkpoint's averaged weights, in half precision")
    slim.add_argument("checkpoint", type=Path)
    slim.add_argument("out", type=Path)
    slim.set_defaults(run=_slim)
    export = commands.add_parser("export", help="write a checkpoint as half-precision ONNX, with its table row")
    export.add_argument("network", choices=list(kinds_of_networks))
    export.add_argument("checkpoint", type=Path)
    export.set_defaults(run=_export)


def add_speed(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``liftform train speed``."""
    parser.add_argument("--seconds", type=float, default=8.0, metavar="S", help="length of each measurement (8)")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2], metavar="N", help="how many at once (1 2)")
    parser.add_argument("--device", default="cpu", help="where the network is trained: cpu (the default) or cuda")
    parser.add_argument("--batch", type=int, default=16, help="views a step and process (16)")
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16", help="bf16 (the default) or fp32")
    parser.add_argument("--shards", type=Path, help="folder of object shards (default: made up on the spot)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.set_defaults(run=_speed)


def _train(arguments: argparse.Namespace) -> int:
    from .networks import NETWORKS

    progress, checkpoint = NETWORKS[arguments.network].run(arguments.recipe, arguments.set)
    print(f"{progress.step} steps in {progress.seconds / 60:.1f} min: {checkpoint}")
    return 0


def _replay(arguments: argparse.Namespace) -> int:
    from . import networks, replay

    state = replay.read(arguments.file)
    network = networks.of_class(state["network"])
    said = "  ".join(f"{k} {v:.4g}" for k, v in state["losses"].items())
    print(f"{state['network']}, step {state['step']}, {state['precision']}; losses then: {said}")
    fine = True
    for precision in ("bf16", "fp32"):
        found = replay.again(state, network.make(), network.loss_fn(), precision)
        losses = "  ".join(f"{k} {v:.4g}" for k, v in found["losses"].items())
        print(f"{precision}: gradient norm {found['norm']:.4g}; {losses}")
        for what in ("batch", "weights", "modules", "gradients"):
            if names := found[what]:
                fine = False
                print(f"  not finite, {len(names)} of the {what}, first: {', '.join(names[:5])}")
    return 0 if fine else DivergedError.exit_code


def _speed(arguments: argparse.Namespace) -> int:
    from . import speed

    print(speed.table(speed.Speed(**{f.name: getattr(arguments, f.name) for f in fields(speed.Speed)}), arguments.json))
    return 0


def _familiarity(arguments: argparse.Namespace) -> int:
    from . import familiarity

    print(familiarity.calibrate_familiarity(familiarity.read_recipe(arguments.recipe, arguments.set)))
    return 0


def _slim(arguments: argparse.Namespace) -> int:
    from .checkpoints import slim

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
    if arguments.network == "plan":
        from .export_plan import export_plan

        difference = export_plan(arguments.checkpoint)
        print(f"{export.WEIGHTS / 'plan.onnx'}: largest difference of a class's share from torch {difference:.5f}")
        return 0
    if arguments.network == "stereo":
        from .export_stereo import export_stereo

        difference = export_stereo(arguments.checkpoint)
        print(f"{export.WEIGHTS}/stereo_*.onnx: largest difference of depth from torch {difference:.3f} steps")
        return 0
    from .export_object import install_object

    difference = install_object(arguments.checkpoint)
    print(f"{export.WEIGHTS}/object_*.onnx: largest difference of the field from torch {difference:.5f}")
    return 0
