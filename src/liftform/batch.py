"""Many pictures: plan who is written where, then map ``make`` over them, in this process or in several; resumable."""

from __future__ import annotations

import glob
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import LiftformError
from .photoset.sources import is_set
from .pipeline import Recipe, make
from .runtime import Progress, silent

if TYPE_CHECKING:
    from .scan import ScanRecipe

#: Kinds of animation.
TURNTABLES = ("webp", "gif", "mp4")


@dataclass(frozen=True)
class Job:
    """One picture, or one photo set (a folder, film, archive, pattern or several pictures), and its asset."""

    source: Path | tuple[Path, ...]
    target: Path

    @property
    def is_set(self) -> bool:
        """Whether it is made from a photo set."""
        return is_set(self.source)

    @property
    def name(self) -> str:
        """The source, for people."""
        return str(self.source) if isinstance(self.source, Path) else f"{self.source[0]} and others"


@dataclass(frozen=True)
class Extras:
    """What is written beside each asset. turntable: "", a kind (beside it), or the path of such a file. points: the
    asset itself is the point cloud of a scene. html: the report also as a page."""

    report: bool = True
    preview: bool = True
    turntable: str = ""
    points: bool = False
    html: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of one job: "made" with its files and report, "skipped", or "failed" with the error."""

    job: Job
    state: str
    written: tuple[Path, ...] = ()
    report: Any = None
    error: LiftformError | None = None


def plan(sources: Iterable[str | Path], folder: str | Path | None = None, suffix: str = ".glb") -> list[Job]:
    """A target for every source, in ``folder`` or beside the source; no two alike, also where case does not count.

    Of two inputs with the same stem the second becomes ``stem-2``, and so on. A folder's asset is called as the folder
    is, and that of a pattern as the folder that its pictures lie in.
    """
    pictures = [Path(source) for source in sources]
    wanted = [(Path(folder) if folder is not None else _beside(p)) / (_stem(p) + suffix) for p in pictures]
    reserved, taken = {_key(target) for target in wanted}, set[str]()
    jobs = []
    for source, first in zip(pictures, wanted, strict=True):
        target, number = first, 1
        while _key(target) in taken or (number > 1 and _key(target) in reserved):
            number += 1
            target = first.with_name(f"{first.stem}-{number}{suffix}")
        taken.add(_key(target))
        jobs.append(Job(source, target))
    return jobs


def run(
    jobs: Sequence[Job],
    recipe: Recipe,
    extras: Extras | None = None,
    workers: int = 1,
    resume: bool = False,
    progress: Progress = silent,
    sets: ScanRecipe | None = None,
) -> Iterator[Outcome]:
    """Make every job, in order; a failing one yields its error and the next goes on.

    recipe: for single pictures; sets: for photo sets (None: the usual one). workers > 1 uses that many processes
    (progress is then silent). resume skips targets that are newer than their source and whose report was written by the
    same recipe and version.
    """
    extras = extras or Extras()
    if workers <= 1:
        yield from (_one(job, _recipe_of(job, recipe, sets), extras, resume, progress) for job in jobs)
        return
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _leave_quietly_on_interrupt)
    try:
        recipes = [_recipe_of(job, recipe, sets) for job in jobs]
        yield from pool.map(_one, jobs, recipes, *([same] * len(jobs) for same in (extras, resume, silent)))
    finally:
        pool.shutdown(cancel_futures=True)


def is_done(job: Job, recipe: Recipe) -> bool:
    """Is the target newer than its source, and its report from this recipe and this version of liftform?"""
    from . import __version__

    try:
        facts = json.loads(job.target.with_name(f"{job.target.stem}.report.json").read_text(encoding="utf-8"))
        newer = job.target.stat().st_mtime >= max(path.stat().st_mtime for path in _files(job.source))
        return bool(newer and facts["recipe_digest"] == recipe.digest and facts["liftform"] == __version__)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _recipe_of(job: Job, recipe: Recipe, sets: ScanRecipe | None) -> Recipe:
    if not job.is_set:
        return recipe
    from .scan import ScanRecipe

    return sets or ScanRecipe()


def _files(source: Path | tuple[Path, ...]) -> list[Path]:
    """The files of a source: itself, or those of a folder, list or pattern."""
    if isinstance(source, tuple):
        return list(source)
    if source.is_dir():
        return [source, *(path for path in source.rglob("*") if path.is_file())]
    if not source.exists() and glob.has_magic(str(source)):
        return [Path(name) for name in glob.glob(str(source), recursive=True)]
    return [source]


def _one(job: Job, recipe: Recipe, extras: Extras, resume: bool, progress: Progress) -> Outcome:
    if resume and is_done(job, recipe):
        return Outcome(job, "skipped")
    try:
        _check_target(job, recipe)
        result = make(job.source, recipe, progress=progress)
        turntable = _turntable(job.target, extras.turntable)
        written = result.save(job.target, extras.report, extras.preview, turntable, extras.points, extras.html)
        return Outcome(job, "made", tuple(written), result.report.to_dict())
    except LiftformError as error:
        return Outcome(job, "failed", error=error)
    except Exception as error:  # a fault of ours in one picture must not end a long night of others
        wrapped = LiftformError(f"{job.name}: unexpected {type(error).__name__}: {error}", "please report it")
        wrapped.__cause__ = error
        return Outcome(job, "failed", error=wrapped)


def _check_target(job: Job, recipe: Recipe) -> None:
    """Raise OutputError where the asset cannot be written."""
    from .export import check_target

    if not job.is_set:
        check_target(job.target)
        return
    from .scan import check_target as check

    check(job.target, str(getattr(recipe.sections["choose"].options, "method", "auto")))


def _beside(source: Path) -> Path:
    """The folder that a source lies in; of a pattern, that of its pictures' folder."""
    while glob.has_magic(str(source)) and not source.exists():
        source = source.parent
        if not glob.has_magic(str(source)):
            return source.parent
    return source.parent


def _stem(source: Path) -> str:
    """What an asset is called after its source."""
    if not glob.has_magic(str(source)) or source.exists():
        if not source.is_dir():
            return source.stem
        folder = source.resolve()
        return (folder.parent if folder.name == "images" else folder).name or "set"
    while glob.has_magic(str(source)):
        source = source.parent
    return source.resolve().name or "set"


def _leave_quietly_on_interrupt() -> None:
    """In a worker, Ctrl-C unwinds what is in hand, so that nothing is half-written; the parent does the talking."""
    import signal
    import sys

    signal.signal(signal.SIGINT, lambda number, frame: sys.exit(130))


def _turntable(target: Path, wanted: str) -> Path | None:
    """The animation's file: as given, or beside the asset when only its kind is given."""
    if not wanted:
        return None
    return target.with_name(f"{target.stem}.turntable.{wanted}") if wanted in TURNTABLES else Path(wanted)


def _key(path: Path) -> str:
    """What a case-insensitive file system takes for the same file."""
    return str(path.absolute()).casefold()
