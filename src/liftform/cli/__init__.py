"""The command line: finds the command, runs it, and turns errors into one line and an exit code.

Each command is a module with ``parser()`` and ``run(args)``; only the chosen one is imported.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import LiftformError, UsageError
from .arguments import Parser

#: command -> the line of help; the module of the same name holds it.
COMMANDS = {
    "make": "lift pictures into textured 3D assets",
    "plan": "build a floor plan at true scale",
    "poses": "find where the pictures of a set, or of a film, were taken from",
    "field": "learn a radiance field from a photo set or film",
    "views": "fly through a field: films, pictures, depths; its mesh and points",
    "fix": "make any mesh valid and usable",
    "inspect": "say what a mesh file holds and whether it is sound",
    "models": "list the networks; pull, verify, import or remove public ones",
    "train": "render, prepare data, train and export the networks (extra: train)",
    "evaluate": "measure quality and speed against truth",
}

EXAMPLES = """examples:
  liftform photo.jpg                          makes photo.glb, its report and its preview beside the picture
  liftform make chair.jpg -o chair.glb --height 0.9
  liftform make *.jpg -o assets/
  liftform plan flat.pdf -o flat.glb          a floor plan as a building of true size
  liftform poses photos/ -o poses.json        cameras and points of a photo set, for nerfstudio and others
  liftform field photos/ -o statue.field --minutes 5     then: liftform views statue.field -o clip.mp4
  liftform fix scan.obj -o scan.glb           watertight, manifold; what is sound stays as it is
  liftform inspect chair.glb

Commands may be asked for help: liftform make --help
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (see ``liftform.errors``)."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _dispatch(words)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt as stop:
        return _say("interrupted", getattr(stop, "exit_code", 130))
    except BrokenPipeError:  # the reader of our output has gone, as in `liftform models | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except LiftformError as error:
        _trace(words)
        return _say(f"error: {error}", error.exit_code)
    except Exception as error:
        _trace(words)
        return _say(f"error: unexpected {type(error).__name__}: {error} — run again with --verbose and report it", 1)


def parser() -> Parser:
    """The parser of the bare command, for its help."""
    top = Parser(
        prog="liftform",
        description="One picture in, a clean, textured, checked 3D asset out.",
        epilog=EXAMPLES,
    )
    top.add_argument("--version", action="version", version=f"liftform {__version__}")
    top.add_argument("--completion", choices=("bash", "zsh", "fish"), help="print a completion script for this shell")
    commands = top.add_subparsers(dest="command", metavar="command", title="commands")
    for name, line in COMMANDS.items():
        commands.add_parser(name, help=line, add_help=False)
    return top


def module(command: str) -> Any:
    """The module of a command: ``parser()`` and ``run(args) -> int``."""
    return importlib.import_module(f".{command}", __name__)


def _dispatch(words: list[str]) -> int:
    if words and words[0] in COMMANDS:
        chosen = module(words[0])
        grammar = chosen.parser_for(words[1:]) if hasattr(chosen, "parser_for") else chosen.parser()
        return int(chosen.run(grammar.parse_args(words[1:])))
    if words and not words[0].startswith("-"):
        return _dispatch(["make", *_pictures(words)])
    args = parser().parse_args(words)
    if args.completion:
        from .completion import script

        print(script(args.completion))
    else:
        parser().print_help()
    return 0


def _pictures(words: list[str]) -> list[str]:
    """``liftform photo.jpg`` means make; a bare word that is no file is more likely a misspelt command."""
    from ..recipe import suggest

    if "." not in words[0] and os.sep not in words[0] and not Path(words[0]).exists():
        raise UsageError(f"no command or file named {words[0]!r}", suggest(words[0], list(COMMANDS)))
    return words


def _say(line: str, code: int) -> int:
    """One line on stderr; a message never runs over several."""
    with contextlib.suppress(OSError):
        print(f"liftform: {' '.join(line.split())}", file=sys.stderr, flush=True)
    return code


def _trace(words: list[str]) -> None:
    """The whole traceback, for those who asked."""
    if "--verbose" in words or "-v" in words:
        import traceback

        traceback.print_exc()
