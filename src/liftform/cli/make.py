"""``liftform make``: pictures in, assets, reports and previews out."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .. import batch, report
from ..errors import LiftformError, OutputError, UsageError
from ..export import FORMATS, check_target
from ..pipeline import Recipe
from ..road import GENERAL, MODELS
from ..runtime import ENGINES, PRECISIONS
from ..zoo import public
from . import terminal
from .arguments import Parser, add_common, add_options, given_options
from .models import bring

#: What each task of a public model makes, in words.
_MADE = {"object": "the shape of an object", "mask": "the foreground", "depth": "the depth"}


def parser_for(words: Sequence[str]) -> Parser:
    """The arguments, with the options of the backends that ``words`` name; raises what those raise when imported."""
    early = Parser(add_help=False)
    _add_models(early)
    args, _ = early.parse_known_args([word for word in words if word != "--"])
    return parser(Recipe().with_options(backends=_backends(args), **_given(args, tuple(MODELS))))


def parser(recipe: Recipe | None = None) -> Parser:
    """The arguments of ``liftform make``, with the options of a recipe's backends."""
    kinds = [suffix[1:] for suffix in FORMATS]
    p = Parser(
        prog="liftform make", description="Lift pictures of objects and scenes into clean, textured, checked 3D assets."
    )
    p.add_argument(
        "pictures", nargs="+", type=Path, metavar="picture", help="JPEG, PNG, WebP, TIFF, BMP, GIF, HEIC, AVIF"
    )
    p.add_argument(
        "-o",
        "--output",
        metavar="FILE|FOLDER/",
        help="the asset (.glb .obj .ply .stl) or a folder (default: beside each picture, as GLB)",
    )
    p.add_argument("--format", default="glb", choices=kinds, help="format inside a folder (default: glb)")
    p.add_argument("--report", action=argparse.BooleanOptionalAction, default=True, help="write NAME.report.json")
    p.add_argument("--html", action="store_true", help="write NAME.report.html too: the report as a page with pictures")
    p.add_argument("--preview", action=argparse.BooleanOptionalAction, default=True, help="write NAME.preview.png")
    p.add_argument(
        "--turntable", metavar="FILE|webp|gif|mp4", help="also write an animation, here or as NAME.turntable.…"
    )
    p.add_argument("--points", action="store_true", help="of a scene, write the coloured points (.ply), not the mesh")
    p.add_argument("--recipe", type=Path, metavar="FILE", help="a TOML recipe; flags win over it")
    _add_models(p)
    p.add_argument(
        "--accept-licence", action="store_true", help="you have read and accept the models' licences that ask for that"
    )
    p.add_argument(
        "--device", default=argparse.SUPPRESS, metavar="cpu|cuda[:N]|mps|xpu", help="where public models run (cpu)"
    )
    p.add_argument(
        "--precision", default=argparse.SUPPRESS, choices=PRECISIONS, help="their numbers (auto: float32, everywhere)"
    )
    p.add_argument(
        "--runtime", default=argparse.SUPPRESS, choices=ENGINES, help="who runs ONNX networks (default: onnxruntime)"
    )
    p.add_argument(
        "--seed", type=int, default=argparse.SUPPRESS, metavar="N", help="feeds every random choice (default: 0)"
    )
    p.add_argument("--threads", type=int, default=argparse.SUPPRESS, metavar="N", help="0 lets the libraries choose")
    p.add_argument("--jobs", type=int, default=1, metavar="N", help="work on several pictures at once (default: 1)")
    p.add_argument("--resume", action="store_true", help="skip pictures whose asset is newer and from the same recipe")
    add_common(p)
    add_options(p, backends=_named(recipe or Recipe()))
    return p


def _add_models(p: Parser) -> None:
    """The flags that choose backends."""
    for word, task in MODELS.items():
        flag = "--" + word.replace("_", "-")
        text = f"who makes {_MADE[task]}: auto (embedded), or a name of `liftform models`, pulled at first use"
        p.add_argument(flag, default=argparse.SUPPRESS, metavar="NAME", help=text)
    p.add_argument(
        "--backend", action="append", default=[], metavar="TASK=NAME", help="choose another backend for any task"
    )


def run(args: argparse.Namespace) -> int:
    """Make every picture; one that fails does not stop the others. Returns the exit code of the first failure."""
    recipe = _recipe(args)
    jobs, extras = _jobs(args), _extras(args)
    failed = []
    bring(public.named(_named(recipe)), args.accept_licence, not args.quiet, not (args.quiet or args.json))
    with _folders(jobs), terminal.progress(len(jobs), shown=not (args.quiet or args.json)) as bar:
        for outcome in batch.run(jobs, recipe, extras, args.jobs, args.resume, bar):
            bar.next()
            if outcome.error:
                failed.append(outcome)
                _complain(outcome.error, args.verbose)
            elif not args.quiet:
                _tell(outcome, args.json, brief=len(jobs) > 1 and not args.verbose)
    if failed and len(jobs) > 1:
        names = ", ".join(str(outcome.job.source) for outcome in failed)
        print(f"liftform: {len(failed)} of {len(jobs)} pictures failed: {names}", file=sys.stderr)
    return failed[0].error.exit_code if failed and failed[0].error else 0


def _recipe(args: argparse.Namespace) -> Recipe:
    base = Recipe.from_toml(args.recipe) if args.recipe else Recipe()
    chosen = base.with_options(backends=_backends(args), **_given(args, tuple(MODELS)))
    return chosen.with_options(**_given(args, GENERAL), **given_options(args, backends=_named(chosen)))


def _given(args: argparse.Namespace, words: Sequence[str]) -> dict[str, Any]:
    return {word: getattr(args, word) for word in words if hasattr(args, word)}


def _named(recipe: Recipe) -> dict[str, str]:
    """task -> backend."""
    return {task: section.backend for task, section in recipe.sections.items()}


def _backends(args: argparse.Namespace) -> dict[str, str]:
    return dict(_pair(text) for text in args.backend)


def _pair(text: str) -> tuple[str, str]:
    task, found, name = text.partition("=")
    if not found:
        raise UsageError(f"--backend {text!r} must read task=name", "as in --backend mask=embedded")
    return task, name


def _jobs(args: argparse.Namespace) -> list[batch.Job]:
    """Who is written where; what can be seen to fail is refused before any work."""
    suffix = ".ply" if args.points else f".{args.format}"
    if args.points and args.output and not args.output.endswith(("/", ".ply")) and not Path(args.output).is_dir():
        raise UsageError(f"-o {args.output}: points are written as .ply", "as in -o scene.ply --points")
    if args.output is None:
        return batch.plan(args.pictures, suffix=suffix)
    output = Path(args.output)
    if args.output.endswith(("/", os.sep)) or output.is_dir():
        return batch.plan(args.pictures, output, suffix)
    if len(args.pictures) > 1:
        raise UsageError(
            f"-o {args.output} names one file for {len(args.pictures)} pictures", "give a folder: -o assets/"
        )
    return [batch.Job(args.pictures[0], check_target(output))]


@contextmanager
def _folders(jobs: list[batch.Job]) -> Iterator[None]:
    """Create the folder that was asked for; take it away again if nothing came to lie in it."""
    created = []
    for folder in {job.target.parent for job in jobs if not job.target.parent.exists()}:
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise OutputError(f"{folder}: cannot create this folder ({error.strerror})", "choose another") from error
        created.append(folder)
    try:
        yield
    finally:
        for folder in created:
            with suppress(OSError):  # not empty: something was made
                folder.rmdir()


def _extras(args: argparse.Namespace) -> batch.Extras:
    turntable = args.turntable or ""
    if turntable and turntable not in batch.TURNTABLES:
        if Path(turntable).suffix[1:] not in batch.TURNTABLES:
            raise UsageError(f"--turntable {turntable} must be webp, gif, mp4 or such a file", "as in turn.webp")
        if len(args.pictures) > 1:
            raise UsageError("--turntable names one file for several pictures", "say --turntable webp")
    return batch.Extras(args.report, args.preview, turntable, args.points, args.html)


def _tell(outcome: batch.Outcome, as_json: bool, brief: bool) -> None:
    """What was made, on stdout: JSON, one line, or the report's table and the files."""
    job = outcome.job
    if as_json:
        files = [str(path) for path in outcome.written]
        line = {"source": str(job.source), "target": str(job.target), "state": outcome.state, "files": files}
        print(json.dumps({**line, "report": outcome.report}), flush=True)
    elif outcome.state == "skipped":
        print(f"{job.target}  (already made)", flush=True)
    elif brief:
        print(f"{job.source} -> {job.target}", flush=True)
    else:
        terminal.show(report.table(outcome.report))
        print("\n".join(str(path) for path in outcome.written), flush=True)


def _complain(error: LiftformError, verbose: bool) -> None:
    if verbose:
        import traceback

        traceback.print_exception(error)
    print(f"liftform: error: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
