"""Synthetic rooms and streets for scene depth: assembled, furnished, lit and photographed, written as tar shards.

Every shard depends on the seed and its own number alone, so that any number of workers writes the same bytes and an
interrupted run goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import UsageError
from ...recipe import option
from .. import engines, shards


@dataclass(frozen=True)
class RoomOptions:
    """Which views are made."""

    out: Path = option(Path("out/shards/rooms"), "folder of the shards")  # noqa: RUF009
    manifest: Path = option(Path("../shared/objects/manifest.jsonl"), "corpus whose objects furnish rooms")  # noqa: RUF009
    plans: Path = option(Path("../shared/plans/truth"), "folder of floor plans with truth")  # noqa: RUF009
    shards: int = option(400, "shards to write", low=1)
    rooms: int = option(5, "scenes a shard", low=1)
    views: int = option(16, "views a scene", low=1)
    outdoor: float = option(0.22, "share of scenes in the open", low=0.0, high=1.0)
    seed: int = option(0, "another seed, other rooms")
    workers: int = option(2, "processes", low=1)


def read_recipe(path: str | Path, changes: Sequence[str] = ()) -> RoomOptions:
    """The section ``[rooms]`` of a recipe file with ``changes``; raises UsageError on unknown keys in it."""
    from ... import recipe

    tables = recipe.changed({"rooms": recipe.read_toml(path).get("rooms", {})}, changes)
    table = tables.pop("rooms")
    if tables:
        raise UsageError(f"{', '.join(tables)}: not an option of rooms", "write rooms.key=value")
    return recipe.build(RoomOptions, table, f"{path} [rooms]")


def shard_path(options: RoomOptions, number: int) -> Path:
    """Where shard ``number`` lies."""
    return options.out / f"rooms-{options.seed:02d}-{number:05d}.tar"


def write(options: RoomOptions, engine: str = "pool") -> Iterator[str]:
    """Write the missing shards; yields a line for each: its name, or the name, ": " and what went wrong."""
    options.out.mkdir(parents=True, exist_ok=True)
    jobs = [(options, n) for n in range(options.shards) if not shard_path(options, n).exists()]
    for (_, number), answer in engines.each(_write_one, jobs, options.workers, engine):
        if isinstance(answer, engines.WorkerDied):
            yield f"{shard_path(options, number).name}: {answer.reason}"
        else:
            yield from answer


def _write_one(job: tuple[RoomOptions, int]) -> list[str]:
    """One shard; a scene that fails is left out aloud."""
    options, number = job
    path, faults = shard_path(options, number), list[str]()
    shards.write(path, samples(options, number, faults))
    return [path.name, *faults]


def samples(options: RoomOptions, number: int, faults: list[str]) -> Iterator[dict[str, Any]]:
    """The samples of one shard, scene by scene; appends to ``faults`` why scenes are missing."""
    from .scene import scene_views

    for room in range(number * options.rooms, (number + 1) * options.rooms):
        try:
            yield from scene_views(options, room)
        except Exception as error:
            faults.append(f"scene {room}: {type(error).__name__}: {error}")
