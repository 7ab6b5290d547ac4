"""``liftform make``: pictures in, assets, reports and previews out."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import batch, report
from ..errors import LiftformError, OutputError, UsageError
from ..export import FORMATS, check_target
from ..photoset.sources import is_set
from ..pipeline import STAGES, Recipe
from ..road import GENERAL, MODELS, keywords
from ..runtime import ENGINES, PRECISIONS
from ..zoo import public, registry
from . import terminal
from .arguments import Parser, add_common, add_options, given_options
from .models import bring

if TYPE_CHECKING:
    from ..scan import ScanRecipe

#: What each task of a public model makes, in words.
_MADE = {"object": "the shape of an object", "mask": "the foreground", "depth": "the depth"}
#: Flags of this command that mean something else than the options of that name; recipes have those too.
_OURS = ("preview",)
_EXAMPLES = """Several pictures are several assets; a folder, film, zip archive or pattern in quotes is one photo set,
and so are pictures with --set. Of a set, --distance is that between the places of two pictures: first.jpg,last.jpg=1.2m

examples:
  liftform make chair.jpg -o chair.glb --height 0.9
  liftform make *.jpg -o assets/                       # one asset a picture
  liftform make photos/ -o statue.glb                  # one asset of all pictures: measured, see docs/photosets.md
  liftform make clip.mp4 -o statue.glb --method surface
  liftform make left.jpg middle.jpg right.jpg --set -o statue.glb
"""


def parser_for(words: Sequence[str]) -> Parser:
    """The arguments, with the options of the backends that ``words`` name; raises what those raise when imported."""
    early = Parser(add_help=False)
    early.add_argument("pictures", nargs="*")
    for flags in (("-o", "--output"), ("--recipe",), ("--turntable",)):
        early.add_argument(*flags)
    for flag in ("--set", "-h", "--help"):
        early.add_argument(flag, action="store_true")
    _add_models(early)
    args, _ = early.parse_known_args([word for word in words if word != "--"])
    chosen = Recipe().with_options(backends=_backends(args, "make"), **_given(args, tuple(MODELS)))
    sets = args.set or args.h or args.help or any(is_set(word) for word in args.pictures)
    small = parser(chosen, sets=False)
    given = {word.partition("=")[0] for word in words if word.startswith("--") and word != "--"}
    if not (sets or given - set(small._option_string_actions)):
        return small
    return parser(chosen, _backends(args, "scan"))


def parser(recipe: Recipe | None = None, backends: Mapping[str, str] | None = None, sets: bool = True) -> Parser:
    """The arguments of ``liftform make``, with the options of a recipe's backends; sets: and those of photo sets, whose
    ``backends`` may be named (task -> name)."""
    kinds = [suffix[1:] for suffix in FORMATS]
    p = Parser(
        prog="liftform make",
        description="Lift pictures of objects and scenes, and photo sets, into clean, textured, checked 3D assets.",
        epilog=_EXAMPLES,
    )
    p.add_argument(
        "pictures",
        nargs="+",
        type=Path,
        metavar="picture",
        help="JPEG, PNG, WebP, TIFF, BMP, GIF, HEIC, AVIF; or a photo set: a folder, film, zip archive, 'pattern*.jpg'",
    )
    p.add_argument("--set", action="store_true", help="the pictures are one set and make one asset")
    p.add_argument(
        "-o",
        "--output",
        metavar="FILE|FOLDER/",
        help="the asset (.glb .obj .ply .stl; of a set also .field .spz) or a folder (default: beside a picture, .glb)",
    )
    p.add_argument("--format", default="glb", choices=kinds, help="format inside a folder (default: glb)")
    p.add_argument("--report", action=argparse.BooleanOptionalAction, default=True, help="write NAME.report.json")
    p.add_argument("--html", action="store_true", help="write NAME.report.html too: the report as a page with pictures")
    p.add_argument("--preview", action=argparse.BooleanOptionalAction, default=True, help="write NAME.preview.png")
    p.add_argument(
        "--turntable", metavar="FILE|webp|gif|mp4", help="also write an animation, here or as NAME.turntable.…"
    )
    p.add_argument(
        "--points",
        action="store_true",
        help="of a scene, write the coloured points (.ply), not the mesh; of a set, write its dense points beside it",
    )
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
    p.set_defaults(of_sets=sets)
    if sets:
        known = {*keywords(_named(recipe or Recipe())), *keywords(), *_OURS}
        add_options(p, "scan", backends, known, "of photo sets")
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
    jobs, extras = _jobs(args), _extras(args)
    recipe, sets = _recipes(args, jobs)
    failed = []
    bring(public.named(_named(recipe)), args.accept_licence, not args.quiet, not (args.quiet or args.json))
    stages = _stages(jobs)
    with _folders(jobs), terminal.progress(len(jobs), not (args.quiet or args.json), stages) as bar:
        for outcome in batch.run(jobs, recipe, extras, args.jobs, args.resume, bar, sets):
            bar.next()
            if outcome.error:
                failed.append(outcome)
                _complain(outcome.error, args.verbose)
            elif not args.quiet:
                _tell(outcome, args.json, brief=len(jobs) > 1 and not args.verbose)
    if failed and len(jobs) > 1:
        names = ", ".join(outcome.job.name for outcome in failed)
        print(f"liftform: {len(failed)} of {len(jobs)} pictures failed: {names}", file=sys.stderr)
    return failed[0].error.exit_code if failed and failed[0].error else 0


def _recipes(args: argparse.Namespace, jobs: list[batch.Job]) -> tuple[Recipe, ScanRecipe | None]:
    """The recipes of single pictures and of sets, as far as there are such; UsageError for a flag of neither."""
    given = {word for word in vars(args) if word in {**keywords(), **keywords(_named_of(args))}}
    if all(job.is_set for job in jobs):
        _refuse_single(args, given)
        return Recipe(), _set_recipe(args, jobs)
    if not any(job.is_set for job in jobs):
        _refuse_of_sets(args)
    base = Recipe.from_toml(args.recipe) if args.recipe else Recipe()
    chosen = base.with_options(backends=_backends(args, "make"), **_given(args, tuple(MODELS)))
    whole = chosen.with_options(**_given(args, GENERAL), **given_options(args, backends=_named(chosen)))
    return whole, _set_recipe(args, jobs) if any(job.is_set for job in jobs) else None


def _named_of(args: argparse.Namespace) -> dict[str, str]:
    """task -> backend, of single pictures, as the flags name them."""
    return _named(Recipe().with_options(backends=_backends(args, "make"), **_given(args, tuple(MODELS))))


def _refuse_single(args: argparse.Namespace, given: set[str]) -> None:
    """Raise UsageError for flags that only single pictures have."""
    from ..scan import ScanRecipe

    named = _named(ScanRecipe().with_options(backends=_backends(args, "scan")))
    wrong = sorted(given - set(keywords(named, "scan"))) + [word for word in MODELS if hasattr(args, word)]
    if wrong:
        flag = "--" + wrong[0].replace("_", "-")
        raise UsageError(f"{flag} is for single pictures, this is a photo set", "leave it out, or give the pictures")


def _refuse_of_sets(args: argparse.Namespace) -> None:
    """Raise UsageError for flags that only sets have."""
    known = {**keywords(), **keywords(_named_of(args))}
    only = set(keywords(_backends(args, "scan"), "scan")) - set(known) if args.of_sets else set()
    if wrong := sorted(only & set(vars(args))):
        flag = "--" + wrong[0].replace("_", "-")
        raise UsageError(f"{flag} is for photo sets", "give a folder or a film, or say --set")


def _set_recipe(args: argparse.Namespace, jobs: list[batch.Job]) -> ScanRecipe:
    """The recipe of sets; a suffix that only one method writes chooses it."""
    from ..scan import METHOD_OF, ScanRecipe

    base = ScanRecipe.from_toml(args.recipe) if args.recipe else ScanRecipe()
    chosen = base.with_options(backends=_backends(args, "scan"))
    given = given_options(args, "scan", _named(chosen))
    given = {word: value for word, value in given.items() if word not in _OURS}
    recipe = chosen.with_options(**_given(args, GENERAL), **given)
    suffixes = {job.target.suffix.lower() for job in jobs if job.is_set}
    only = METHOD_OF.get(suffixes.pop()) if len(suffixes) == 1 else None
    if only and getattr(recipe.sections["choose"].options, "method", "") == "auto":
        recipe = recipe.with_options(method=only)
    return recipe


def _stages(jobs: list[batch.Job]) -> Sequence[str]:
    """The stages that the bar counts."""
    if not any(job.is_set for job in jobs):
        return STAGES
    from ..scan import STAGES as OF_SETS

    return OF_SETS


def _given(args: argparse.Namespace, words: Sequence[str]) -> dict[str, Any]:
    return {word: getattr(args, word) for word in words if hasattr(args, word)}


def _named(recipe: Recipe) -> dict[str, str]:
    """task -> backend."""
    return {task: section.backend for task, section in recipe.sections.items()}


def _backends(args: argparse.Namespace, road: str) -> dict[str, str]:
    """task -> backend of --backend, those of a road; a task of neither road is left for the recipe to refuse."""
    named = dict(_pair(text) for text in args.backend)
    other = "scan" if road == "make" else "make"
    return {
        task: name
        for task, name in named.items()
        if task in registry.ROADS[road] or (road == "make" and task not in registry.ROADS[other])
    }


def _pair(text: str) -> tuple[str, str]:
    task, found, name = text.partition("=")
    if not found:
        raise UsageError(f"--backend {text!r} must read task=name", "as in --backend mask=embedded")
    return task, name


def _jobs(args: argparse.Namespace) -> list[batch.Job]:
    """Who is written where; what can be seen to fail is refused before any work."""
    sets = args.set or all(is_set(picture) for picture in args.pictures)
    suffix = ".ply" if args.points and not sets else f".{args.format}"
    if (
        args.points
        and not sets
        and args.output
        and not args.output.endswith(("/", ".ply"))
        and not Path(args.output).is_dir()
    ):
        raise UsageError(f"-o {args.output}: points are written as .ply", "as in -o scene.ply --points")
    if args.set and len(args.pictures) > 1:
        return [batch.Job(tuple(args.pictures), _target_of_set(args, suffix))]
    if args.output is None:
        return batch.plan(args.pictures, suffix=suffix)
    output = Path(args.output)
    if args.output.endswith(("/", os.sep)) or output.is_dir():
        return batch.plan(args.pictures, output, suffix)
    if len(args.pictures) > 1:
        hint = "give a folder: -o assets/; or say --set if they show one thing"
        raise UsageError(f"-o {args.output} names one file for {len(args.pictures)} pictures", hint)
    return [batch.Job(args.pictures[0], output if is_set(args.pictures[0]) else check_target(output))]


def _target_of_set(args: argparse.Namespace, suffix: str) -> Path:
    """Where the one asset of several pictures is written."""
    first = args.pictures[0]
    if args.output is None:
        return Path(batch.plan([first], suffix=suffix)[0].target)
    output = Path(args.output)
    folder = args.output.endswith(("/", os.sep)) or output.is_dir()
    return Path(batch.plan([first], output, suffix)[0].target) if folder else output


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
        line = {"source": job.name, "target": str(job.target), "state": outcome.state, "files": files}
        print(json.dumps({**line, "report": outcome.report}), flush=True)
    elif outcome.state == "skipped":
        print(f"{job.target}  (already made)", flush=True)
    elif brief:
        print(f"{job.name} -> {job.target}", flush=True)
    else:
        terminal.show(report.table(outcome.report))
        print("\n".join(str(path) for path in outcome.written), flush=True)


def _complain(error: LiftformError, verbose: bool) -> None:
    if verbose:
        import traceback

        traceback.print_exception(error)
    print(f"liftform: error: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
