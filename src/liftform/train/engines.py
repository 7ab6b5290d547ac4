"""Many independent jobs over processes: a local pool, or Ray on a cluster; a worker that dies loses nothing but time.

Both answer alike: ``each(function, jobs)`` yields (job, answer) as jobs end, in any order. Where a job took its worker
with it (out of memory, a crash in native code, a kill), it is tried again alone, and only if that fails too is the
answer WorkerDied. An exception that a job raises ends the whole run, as it would in a loop.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, TypeVar

from ..errors import UsageError
from ..runtime import need

Job = TypeVar("Job")
Answer = TypeVar("Answer")

ENGINES = ("pool", "ray")


@dataclass(frozen=True)
class WorkerDied:
    """The answer of a job whose worker process ended without one, twice."""

    reason: str = "its worker process died (out of memory, or a crash in native code)"


def each(
    function: Callable[[Job], Answer], jobs: Sequence[Job], workers: int = 2, engine: str = "pool"
) -> Iterator[tuple[Job, Answer | WorkerDied]]:
    """Run ``function`` (importable by name) on every job; at most ``workers`` at once.

    engine "pool" uses spawned processes here; "ray" the cluster that RAY_ADDRESS names, or a local Ray of ``workers``
    CPUs. Raises UsageError (unknown engine), MissingExtraError (no ray), and whatever ``function`` raises.
    """
    if engine not in ENGINES:
        raise UsageError(f"unknown engine {engine!r}", f"known: {', '.join(ENGINES)}")
    if engine == "ray":
        return _on_ray(function, jobs, workers)
    return _in_pool(function, jobs, workers)


def _in_pool(
    function: Callable[[Job], Answer], jobs: Sequence[Job], workers: int
) -> Iterator[tuple[Job, Answer | WorkerDied]]:
    waiting, suspects = list(reversed(jobs)), list[Job]()
    while waiting or suspects:
        # When a worker dies every job in flight fails with it; the guilty one shows when each is tried alone.
        alone = bool(suspects)
        batch = [suspects.pop()] if alone else waiting
        for job, answer in _until_broken(function, batch, 1 if alone else workers):
            if isinstance(answer, WorkerDied) and not alone:
                suspects.append(job)
            else:
                yield job, answer


def _until_broken(
    function: Callable[[Job], Answer], waiting: list[Job], workers: int
) -> Iterator[tuple[Job, Answer | WorkerDied]]:
    """Take jobs off the end of ``waiting`` until it is empty or the pool is broken."""
    running: dict[Future[Answer], Job] = {}
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"))
    try:
        broken = False
        while running or (waiting and not broken):
            while waiting and len(running) < workers and not broken:
                try:
                    running[pool.submit(function, waiting[-1])] = waiting[-1]
                    waiting.pop()
                except BrokenProcessPool:
                    broken = True
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                job = running.pop(future)
                try:
                    answer: Answer | WorkerDied = future.result()
                except BrokenProcessPool:
                    broken, answer = True, WorkerDied()
                yield job, answer
    finally:
        pool.shutdown(cancel_futures=True)


def _on_ray(
    function: Callable[[Job], Answer], jobs: Sequence[Job], workers: int
) -> Iterator[tuple[Job, Answer | WorkerDied]]:
    ray: Any = need("ray", "ray")
    mine = not ray.is_initialized()
    if mine:
        ray.init(**_ray_options(workers))
    remote = ray.remote(function).options(num_cpus=1, max_retries=1)
    waiting, running = list(reversed(jobs)), dict[Any, Job]()
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                job = waiting.pop()
                running[remote.remote(job)] = job
            for done in ray.wait(list(running), num_returns=1)[0]:
                yield running.pop(done), _ray_answer(ray, done)
    finally:
        for left in running:
            ray.cancel(left, force=True)
        if mine:
            ray.shutdown()


def _ray_answer(ray: Any, done: Any) -> Any:
    try:
        return ray.get(done)
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError):
        return WorkerDied()
    except ray.exceptions.RayTaskError as error:
        raise getattr(error, "cause", None) or error from error


def _ray_options(workers: int) -> dict[str, Any]:
    """A quiet Ray: the cluster of RAY_ADDRESS as it is, else a local one of ``workers`` CPUs without a web page."""
    import logging
    import os

    quiet = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": False}
    return quiet if os.environ.get("RAY_ADDRESS") else {**quiet, "num_cpus": workers, "include_dashboard": False}
