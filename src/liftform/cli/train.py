"""``liftform train``: the door to the workshop of the networks, which needs the extra ``train``."""

from __future__ import annotations

import argparse
from typing import Any

from ..errors import MissingExtraError
from .arguments import Parser


def parser() -> Parser:
    """The workshop's own commands, each with ``run``."""
    from ..train.cli import add_commands

    p = Parser(prog="liftform train", description="Render, prepare data, train and export the networks.")
    commands: Any = p.add_subparsers(metavar="command", title="commands", required=True)
    add_commands(commands)
    return p


def run(args: argparse.Namespace) -> int:
    """Run the chosen command of the workshop."""
    try:
        return int(args.run(args) or 0)
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        hint = "pip install 'liftform[train]'"
        raise MissingExtraError(f"training needs the package {package!r}, which is not installed", hint) from error
