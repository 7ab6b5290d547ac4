"""Training data of the stereo network: tuples of neighbouring views with exact depth, of made-up scenes and of rooms.

``liftform train data stereo --recipe training/stereo.toml``. A sample holds rgb (V, H, W, 3) uint8, depth (V, H, W)
float32 z-distance (inf where nothing is), lens (V, 4) float64 fx, fy, cx, cy in pixels, pose (V, 4, 4) float64
world_from_camera, and "meta". Every shard follows from the seed and its number alone.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..camera import Camera
from ..errors import UsageError
from ..recipe import option
from . import corpus, engines, shards
from . import stereo_scenes as scenes
from .rooms import RoomOptions
from .rooms.scene import assemble, random_camera
from .rooms.view import acceptable, geometry
from .rooms.view import render as photograph_room

Rng = np.random.Generator


@dataclass(frozen=True)
class StereoDataOptions:
    """Which tuples are made."""

    out: Path = option(Path("out/shards/stereo"), "folder of the shards")  # noqa: RUF009
    manifest: Path = option(Path("../shared/objects/manifest.jsonl"), "corpus of objects")  # noqa: RUF009
    plans: Path = option(Path("../shared/plans/truth"), "folder of floor plans for rooms")  # noqa: RUF009
    shards: int = option(200, "shards to write", low=1)
    tuples: int = option(8, "tuples of views a shard", low=1)
    views: int = option(5, "views a tuple", low=2)
    height: int = option(192, "picture height in pixels", low=64)
    width: int = option(224, "picture width in pixels", low=64)
    rooms: float = option(0.25, "share of shards that show rooms and streets", low=0.0, high=1.0)
    seed: int = option(0, "another seed, other scenes")
    workers: int = option(2, "processes", low=1)


def read_recipe(path: str | Path, changes: Sequence[str] = ()) -> StereoDataOptions:
    """The section ``[data]`` of a recipe file with ``changes``; raises UsageError on unknown keys in it."""
    from .. import recipe

    tables = recipe.changed({"data": recipe.read_toml(path).get("data", {})}, changes)
    table = tables.pop("data")
    if tables:
        raise UsageError(f"{', '.join(tables)}: not an option of the data", "write data.key=value")
    return recipe.build(StereoDataOptions, table, f"{path} [data]")


def write(options: StereoDataOptions, engine: str = "pool") -> Iterator[str]:
    """Write the missing shards; yields a line for each: its name, or the name, ": " and what went wrong."""
    options.out.mkdir(parents=True, exist_ok=True)
    jobs = [(options, n) for n in range(options.shards) if not _path(options, n).exists()]
    for (_, number), answer in engines.each(_write_one, jobs, options.workers, engine):
        if isinstance(answer, engines.WorkerDied):
            yield f"{_path(options, number).name}: {answer.reason}"
        else:
            yield from answer


def _path(options: StereoDataOptions, number: int) -> Path:
    return options.out / f"stereo-{options.seed:02d}-{number:05d}.tar"


def _write_one(job: tuple[StereoDataOptions, int]) -> list[str]:
    """One shard; a tuple that fails is left out aloud."""
    options, number = job
    faults = list[str]()
    shards.write(_path(options, number), samples(options, number, faults))
    return [_path(options, number).name, *faults]


def samples(options: StereoDataOptions, number: int, faults: list[str]) -> Iterator[dict[str, Any]]:
    """The samples of one shard: two tuples of each scene; of one room alone where the shard is one of rooms."""
    rng = np.random.default_rng([options.seed, 5, number])
    kind = "room" if rng.random() < options.rooms else "things"
    source = room_tuples(options, number, rng) if kind == "room" else thing_tuples(options, rng)
    try:
        for place, (cameras, shots) in zip(range(options.tuples), source, strict=False):
            yield {
                "key": f"{options.seed:02d}-{number:05d}-{place:02d}",
                "rgb": np.stack([rgb for rgb, _ in shots]),
                "depth": np.stack([depth for _, depth in shots]),
                "lens": np.array([(c.fx, c.fy, c.cx, c.cy) for c in cameras]),
                "pose": np.stack([c.world_from_camera for c in cameras]),
                "meta": {"kind": kind},
            }
    except Exception as error:
        faults.append(f"shard {number}: {type(error).__name__}: {error}")


Shots = tuple[list[Camera], list[tuple[Any, Any]]]


@functools.lru_cache(maxsize=2)
def _rows(manifest: Path) -> list[corpus.Row]:
    """Objects of the training split that anyone may use."""
    if not manifest.exists():
        return []
    return [row for row in corpus.read_manifest(manifest) if row["licence_class"] == "public-domain"]


def thing_tuples(options: StereoDataOptions, rng: Rng) -> Iterator[Shots]:
    """Endless tuples of made-up scenes, two of each; those that show next to nothing are drawn anew."""
    while True:
        scene = scenes.scene(_rows(options.manifest), rng)
        for _ in range(2):
            cameras = scenes.cameras(scene, options.views, (options.height, options.width), rng)
            if not cameras:
                continue
            small = geometry(scene.world, cameras[0].resized(28, 24))[0]
            if (small.face >= 0).mean() > 0.25 and np.quantile(small.distance, 0.02) > 0.1:
                yield cameras, [scenes.photograph(scene, camera, rng) for camera in cameras]


def room_tuples(options: StereoDataOptions, number: int, rng: Rng) -> Iterator[Shots]:
    """Tuples of one room or street: a camera as people hold one, and others beside it that see the same place."""
    room = RoomOptions(manifest=options.manifest, plans=options.plans, seed=options.seed + 4000, outdoor=0.3)
    lighting, _ = assemble(room, number)
    while True:
        first, _, _ = random_camera(lighting, rng)
        if not acceptable(lighting.world, first, rng):
            continue
        cameras = _beside(lighting.world, first, options, rng)
        if cameras:
            yield cameras, [(s.rgb, s.depth) for s in (photograph_room(lighting, c, rng) for c in cameras)]


def _beside(world: Any, first: Camera, options: StereoDataOptions, rng: Rng) -> list[Camera]:
    """Cameras near ``first`` that see the place in its middle; none when there are not enough."""
    hits = geometry(world, first.resized(3, 3))[0]
    distance = float(hits.distance[4])
    if not np.isfinite(distance) or distance > 40:
        return []
    target = first.position + first.world_from_camera[:3, 2] * distance
    focal = float(np.exp(rng.uniform(np.log(180), np.log(600))))
    spread = distance * np.radians(np.exp(rng.uniform(np.log(2), np.log(14))))
    out = [scenes.towards(first.position, target, focal, (options.height, options.width), rng)]
    for _ in range(12 * options.views):
        if len(out) == options.views:
            return out
        position = first.position + rng.normal(0, 1, 3) * np.array([1, 0.5, 1]) * spread
        to = (target - position).astype(np.float32)
        if not world.tracer.blocked(position.astype(np.float32)[None], to[None], np.array([0.97], np.float32))[0]:
            out.append(scenes.towards(position, target, focal, (options.height, options.width), rng))
    return []
