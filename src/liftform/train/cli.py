"""``liftform train``: prepare data, train the networks, export them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path


def main(argv: list[str]) -> int:
    """Run ``liftform train ARGV``; returns the exit code. Raises LiftformError; argparse exits on wrong usage."""
    parser = argparse.ArgumentParser("liftform train", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (_add_data, _add_mask, _add_export):
        add(commands)
    options = parser.parse_args(argv)
    run: Callable[[argparse.Namespace], int] = options.run
    return run(options)


def _add_data(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("data", help="prepare a network's shards without training")
    parser.add_argument("network", choices=["mask"])
    parser.add_argument("--recipe", type=Path, required=True, help="recipe of the run")
    parser.set_defaults(run=_data)


def _data(options: argparse.Namespace) -> int:
    from . import mask

    mask.prepare(mask.read_recipe(options.recipe).data)
    return 0


def _add_mask(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("mask", help="train the foreground network, or go on training it")
    parser.add_argument("--recipe", type=Path, required=True, help="recipe of the run, such as training/mask.toml")
    parser.set_defaults(run=_mask)


def _mask(options: argparse.Namespace) -> int:
    from . import mask

    recipe = mask.read_recipe(options.recipe)
    progress = mask.train_mask(recipe)
    print(f"{progress.step} steps in {progress.seconds / 60:.1f} min: {recipe.loop.checkpoint}")
    return 0


def _add_export(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("export", help="write a checkpoint as half-precision ONNX, with its table row")
    parser.add_argument("network", choices=["mask"])
    parser.add_argument("checkpoint", type=Path)
    parser.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> int:
    from . import export

    difference = export.export_mask(options.checkpoint)
    print(f"{export.WEIGHTS / 'mask.onnx'}: largest difference of alpha from torch {difference:.5f}")
    return 0
