"""``liftform inspect``: what mesh files hold, whether they are sound, and what they are fit for, and why."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import LiftformError, UnfitError, UsageError
from . import terminal
from .arguments import Parser, add_common

if TYPE_CHECKING:
    from ..assets import Mesh
    from ..report import Fitness, Measures
    from ..report.limits import Use

#: Rows of the table: figures worth a line, and those told only when they are not as they should be.
_ALWAYS = ("faces", "open_edges", "self_intersections", "parts")
_WHEN_WRONG = ("nonmanifold", "flipped", "degenerate")
_LATER = (
    *("wall_p1", "print_from", "overhang", "tipping", "quad_share", "regular", "flow", "texture_side", "density"),
    *("texels_across", "density_spread", "stretch", "uv_overlap", "file_bytes", "invented"),
)


def parser() -> Parser:
    """The arguments of ``liftform inspect``."""
    p = Parser(
        prog="liftform inspect",
        description="Say what mesh files hold, whether they are sound, and what they are fit for.",
    )
    p.add_argument("meshes", nargs="*", type=Path, metavar="mesh", help="GLB, glTF, OBJ, PLY, STL, OFF, 3MF, USD")
    p.add_argument("--for", dest="uses", metavar="USE,USE", help="judge these uses only: print,game,web (default: all)")
    p.add_argument("--unit", help="what one unit of the file's coordinates is: mm, cm, m, in, ft")
    p.add_argument("--html", metavar="FILE|FOLDER/", help="also write a page with pictures, one for each mesh")
    p.add_argument("--check", action="store_true", help="exit with code 9 when a mesh is not fit for one of the uses")
    p.add_argument("--limits", action="store_true", help="print every limit and its source (Markdown), and stop")
    add_common(p)
    return p


def run(args: argparse.Namespace) -> int:
    """Judge every mesh; one that cannot be read does not stop the others. Returns the first failure's exit code."""
    if args.limits:
        from ..report.gates import page

        print(page(), end="")
        return 0
    pages, uses, metres = _pages(args), _uses(args.uses), _metres(args.unit)
    code = 0
    for path, page_path in zip(args.meshes, pages, strict=True):
        try:
            _inspect(path, page_path, uses, metres, args)
        except LiftformError as error:
            if len(args.meshes) == 1:
                raise
            print(f"liftform: error: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
            code = code or error.exit_code
    return code


def describe(path: Path, mesh: Mesh, found: Measures, fitness: tuple[Fitness, ...]) -> dict[str, Any]:
    """JSON-ready facts of a mesh file: size, what its vertices carry, texture, health, measures, verdicts."""
    from ..report.facts import plain

    carried = [name for name in ("normals", "uv", "colors", "seen", "confidence") if getattr(mesh, name) is not None]
    size = found.look.maps.get("base colour")
    facts: dict[str, Any] = plain(
        {
            "file": str(path),
            "bytes": path.stat().st_size,
            "size": [round(side, 4) for side in found.extent],
            "carries": carried,
            "texture": None if size is None else list(size),
            **found.health.to_dict(),
            "warnings": _warnings(mesh),
            "measures": found.to_dict(),
            "fitness": [verdict.to_dict() for verdict in fitness],
        }
    )
    return facts


def _inspect(
    path: Path, page_path: Path | None, uses: tuple[Use, ...] | None, metres: float | None, args: argparse.Namespace
) -> None:
    """Read, measure, judge, tell; raises UnfitError when a check was asked for and failed."""
    from ..read_mesh import read_mesh
    from ..report import judge, measure, words

    mesh = read_mesh(path, flatten=False)
    found = measure(mesh, path=path, metres=metres)
    fitness = judge(found, uses)
    if page_path is not None:
        _write_page(page_path, path, mesh, found, fitness)
    if args.json:
        print(json.dumps(describe(path, mesh, found, fitness)), flush=True)
    elif not args.quiet:
        terminal.show(words.listed(str(path), _rows(mesh, found)))
        terminal.show(words.verdicts(fitness, found.picture))
    unfit = [verdict.use for verdict in fitness if verdict.fit == "no"]
    if args.check and unfit:
        raise UnfitError(f"{path}: not fit for {', '.join(unfit)}", "see the reasons, or say --for USE")


def _write_page(target: Path, path: Path, mesh: Mesh, found: Measures, fitness: tuple[Fitness, ...]) -> None:
    from ..files import write_whole
    from ..report.html import Content, page

    content = Content(path.name, mesh, found, fitness, warnings=tuple(_warnings(mesh)))
    write_whole({target: page(content)})


def _warnings(mesh: Mesh) -> list[str]:
    """What the reader of the file missed or left out."""
    facts = mesh.metadata.get("file", {})
    return [str(line) for line in facts.get("warnings", [])] if isinstance(facts, dict) else []


def _pages(args: argparse.Namespace) -> list[Path | None]:
    """The page of every mesh; raises UsageError when there is nothing to do, or one page for several meshes."""
    if not args.meshes:
        raise UsageError("give the path of a mesh", "see liftform inspect --help")
    if args.html is None:
        return [None] * len(args.meshes)
    folder = args.html.endswith("/") or Path(args.html).is_dir()
    if not folder and len(args.meshes) > 1:
        raise UsageError(f"--html {args.html} names one file for {len(args.meshes)} meshes", "give a folder: pages/")
    if not folder:
        return [Path(args.html)]
    from .. import batch

    Path(args.html).mkdir(parents=True, exist_ok=True)
    return [job.target for job in batch.plan(args.meshes, args.html, ".html")]


def _uses(text: str | None) -> tuple[Use, ...] | None:
    from ..report.gates import chosen

    return None if text is None else chosen(text.split(","))


def _metres(unit: str | None) -> float | None:
    from .. import lengths

    return None if unit is None else lengths.unit(unit)


def _rows(mesh: Mesh, found: Measures) -> list[tuple[str, str]]:
    """What the terminal shows of a mesh."""
    from ..report.html import extent
    from ..report.measures import FIGURES, written

    figures = found.figures()
    sound = [name if getattr(found.health, name) else f"NOT {name}" for name in ("watertight", "manifold", "outward")]
    size = f"{extent(found)} (real size {written('size_known', figures['size_known'])})"
    rows = [("sound", ", ".join(sound)), ("size", size)]
    rows.append(("colour", ", ".join(f"{k} {w} x {h}" for k, (w, h) in found.look.maps.items()) or found.look.color))
    names = [*_ALWAYS, *(name for name in _WHEN_WRONG if figures[name]), *_LATER]
    rows += [(FIGURES[n][0], written(n, figures[n])) for n in names if figures[n] is not None or n in _ALWAYS]
    return rows + [("warning", line) for line in _warnings(mesh)]
