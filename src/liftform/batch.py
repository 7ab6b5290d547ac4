"""Many pictures: plan who is written where, then map ``make`` over them, in this process or in several; resumable."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import LiftformError
from .pipeline import Recipe, make
from .runtime import Progress, silent

#: Kinds of animation.
TURNTABLES = ("webp", "gif", "mp4")


@dataclass(frozen=True)
class Job:
    """One picture and the asset it becomes."""

    source: Path
    target: Path


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

    Of two inputs with the same stem the second becomes ``stem-2``, and so on.
    """
    pictures = [Path(source) for source in sources]
    wanted = [(Path(folder) if folder is not None else p.parent) / (p.stem + suffix) for p in pictures]
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
) -> Iterator[Outcome]:
    """Make every job, in order; a failing one yields its error and the next goes on.

    workers > 1 uses that many processes (progress is then silent). resume skips targets that are newer than their
    source and whose report was written by the same recipe and version.
    """
    extras = extras or Extras()
    if workers <= 1:
        yield from (_one(job, recipe, extras, resume, progress) for job in jobs)
        return
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _leave_quietly_on_interrupt)
    try:
        yield from pool.map(_one, jobs, *([same] * len(jobs) for same in (recipe, extras, resume, silent)))
    finally:
        pool.shutdown(cancel_futures=True)


def is_done(job: Job, recipe: Recipe) -> bool:
    """Is the target newer than its source, and its report from this recipe and this version of liftform?"""
    from . import __version__

    try:
        facts = json.loads(job.target.with_name(f"{job.target.stem}.report.json").read_text(encoding="utf-8"))
        newer = job.target.stat().st_mtime >= job.source.stat().st_mtime
        return bool(newer and facts["recipe_digest"] == recipe.digest and facts["liftform"] == __version__)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _one(job: Job, recipe: Recipe, extras: Extras, resume: bool, progress: Progress) -> Outcome:
    if resume and is_done(job, recipe):
        return Outcome(job, "skipped")
    from .export import check_target

    try:
        check_target(job.target)
        result = make(job.source, recipe, progress=progress)
        turntable = _turntable(job.target, extras.turntable)
        written = result.save(job.target, extras.report, extras.preview, turntable, extras.points, extras.html)
        return Outcome(job, "made", tuple(written), result.report.to_dict())
    except LiftformError as error:
        return Outcome(job, "failed", error=error)
    except Exception as error:  # a fault of ours in one picture must not end a long night of others
        wrapped = LiftformError(f"{job.source}: unexpected {type(error).__name__}: {error}", "please report it")
        wrapped.__cause__ = error
        return Outcome(job, "failed", error=wrapped)


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
