"""``liftform evaluate``: quality and speed, measured."""

from __future__ import annotations

import argparse

from .arguments import Parser


def parser() -> Parser:
    """The protocols, each with ``run``."""
    from ..evaluate.cli import add_commands

    p = Parser(prog="liftform evaluate", description="Measure quality and speed against truth.")
    add_commands(p.add_subparsers(metavar="protocol", title="protocols", required=True))
    return p


def run(args: argparse.Namespace) -> int:
    """Run the chosen protocol."""
    return int(args.run(args) or 0)
