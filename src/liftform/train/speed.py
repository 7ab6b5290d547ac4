"""How fast this machine renders, prepares and trains, by one process and by several: the figures of docs/training.md.

liftform train speed
"""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import platform
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..camera import Camera
from ..errors import LiftformError, UsageError

#: Made-up objects: enough to differ, few enough to be ready in seconds.
OBJECTS, TRIANGLES = 6, 5120


@dataclass(frozen=True)
class Speed:
    """What to measure: seconds for each figure, numbers of processes, and how the network is trained.

    shards: a folder of object shards, or None for made-up ones.
    """

    seconds: float = 8.0
    processes: tuple[int, ...] = (1, 2)
    device: str = "cpu"
    batch: int = 16
    precision: str = "bf16"
    shards: Path | None = None


def measure(speed: Speed) -> dict[str, dict[int, float]]:
    """Figure -> number of processes -> so many a second, all together. Raises LiftformError when one fails."""
    if min(speed.processes) < 1 or speed.seconds <= 0 or speed.batch < 1:
        raise UsageError("seconds, processes and batch must be positive", "see liftform train speed --help")
    with tempfile.TemporaryDirectory(prefix="liftform-speed-") as folder:
        _prepare(speed, Path(folder))
        return {
            name: {n: _together(job, speed, Path(folder), n) for n in speed.processes} for name, job in _JOBS.items()
        }


def table(speed: Speed, as_json: bool = False) -> str:
    """The figures, and how they grow with the processes, as text or JSON."""
    figures = measure(speed)
    facts = {"processor": _processor(), "cores": os.cpu_count(), "torch": torch.__version__, **asdict(speed)}
    if as_json:
        return json.dumps({"machine": facts, "per_second": figures}, indent=1, default=str)
    least = min(speed.processes)
    lines = [f"{_processor()}, {os.cpu_count()} cores, torch {torch.__version__}, {speed.device}, {speed.precision}"]
    lines.append(f"{'a second':<42}" + "".join(f"{f'{n} at once':>18}" for n in speed.processes))
    for name, by_count in figures.items():
        cells = [f"{rate:.1f} ({rate / by_count[least]:.2f}x)" for rate in by_count.values()]
        lines.append(f"{name:<42}" + "".join(f"{cell:>18}" for cell in cells))
    return "\n".join(lines)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _prepare(speed: Speed, folder: Path) -> None:
    """Made-up objects as GLB, and shards of them unless there are real ones."""
    import trimesh

    from . import data, shards

    rng = np.random.default_rng(0)
    rows = []
    for number in range(OBJECTS):
        ball: Any = trimesh.creation.icosphere(4, 0.5)
        ball.vertices *= 1 + 0.2 * np.sin(ball.vertices @ rng.normal(0, 5, (3, 3))).sum(1, keepdims=True)
        ball.visual = trimesh.visual.ColorVisuals(ball, vertex_colors=rng.integers(40, 255, (len(ball.vertices), 3)))
        path = folder / f"made_up_{number}.glb"
        ball.export(path)
        rows.append({"id": path.stem, "file": str(path), "source": "made up", "family": f"f{number}"})
    if speed.shards is None:
        options = data.DataOptions(views=4, points=4096)
        shards.write(folder / "objects-00000.tar", (data.shard(row, options) for row in rows))


def _together(job: Callable[..., float], speed: Speed, folder: Path, count: int) -> float:
    """The sum of what ``count`` processes of one thread reach at the same time."""
    context = multiprocessing.get_context("spawn")
    start, answers, port = context.Barrier(count), context.SimpleQueue(), _free_port()
    workers = [
        context.Process(target=_work, args=(job, speed, folder, n, count, port, start, answers)) for n in range(count)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if any(worker.exitcode for worker in workers):
        raise LiftformError("a process of the measurement died", "see what it said above; is there memory enough?")
    return float(sum(answers.get() for _ in workers))


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _work(
    job: Callable[..., float], speed: Speed, folder: Path, number: int, count: int, port: int, start: Any, answers: Any
) -> None:
    torch.set_num_threads(1)
    os.environ.update(RANK=str(number), LOCAL_RANK=str(number), WORLD_SIZE=str(count))
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), LP_NUM_THREADS="1")
    answers.put(job(speed, folder, start))


def _rate(once: Callable[[], int], seconds: float, start: Any) -> float:
    """How many a second: ``once`` does some and says how many. The first call warms up."""
    once()
    start.wait()
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        done += once()
    return done / (time.perf_counter() - began)


def _g_buffers(speed: Speed, folder: Path, start: Any) -> float:
    from . import meshes, render

    surface, _ = meshes.surface_of({"id": "0", "file": str(folder / "made_up_0.glb")})
    rasteriser = render.rasteriser()
    rasteriser.load(surface)
    cameras = [Camera.orbit(128, 0.6, azimuth, 0.3, 2.5) for azimuth in np.linspace(0, 6, 8)]

    def once() -> int:
        for camera in cameras:
            rasteriser.draw(camera)
        return len(cameras)

    return _rate(once, speed.seconds, start)


def _views(speed: Speed, folder: Path, start: Any) -> float:
    from . import data, meshes, render

    surface, mesh = meshes.surface_of({"id": "0", "file": str(folder / "made_up_0.glb")})
    rasteriser, rng = render.rasteriser(), np.random.default_rng(os.getpid())
    rasteriser.load(surface)

    def once() -> int:
        data.view(rasteriser, surface, mesh, rng, data.DataOptions())
        return 1

    return _rate(once, speed.seconds, start)


def _samples(speed: Speed, folder: Path, start: Any) -> float:
    batches = _batches(speed, folder, 0)
    return _rate(lambda: len(next(batches)["image"]), speed.seconds, start)


def _batches(speed: Speed, folder: Path, first: int) -> Iterator[dict[str, torch.Tensor]]:
    from . import object

    corpus = object.Corpus(speed.shards or folder, held_out=False)
    options = object.ObjectOptions(batch=speed.batch, sizes=(80, 96, 96, 112), late_step=10**9, rescan_steps=0)
    return object.batches(corpus, options, first)


def _training(speed: Speed, folder: Path, start: Any) -> float:
    """Samples made and learned: the whole step of the object network, gradients averaged between the processes."""
    from ..zoo.object_net import ObjectNet
    from . import loop, object, ranks

    ranks.join(speed.device)
    model = ObjectNet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def times(steps: int) -> list[float]:
        """When each step of a run began."""
        seen: list[float] = []

        def timed(first: int) -> Iterator[dict[str, torch.Tensor]]:
            for batch in _batches(speed, folder, first):
                seen.append(time.perf_counter())
                yield batch

        checkpoint = folder / f"{os.getpid()}_{steps}" / "last.pt"
        options = loop.LoopOptions(max_steps=steps, precision=speed.precision, device=speed.device)
        loop.fit(model, timed, object.loss_fn, dataclasses.replace(options, checkpoint=checkpoint))
        return seen

    start.wait()
    warm = times(6)
    _, steps = ranks.agree(0.0, max(3, int(speed.seconds * 3 / (warm[-1] - warm[-4]))), ranks.own_device(speed.device))
    seen = times(steps + 1)
    return speed.batch * steps / (seen[-1] - seen[0])


_JOBS: dict[str, Callable[..., float]] = {
    f"G-buffers, 128 px, {TRIANGLES} triangles": _g_buffers,
    "lit views with truth, 128 px": _views,
    "samples prepared, 80-112 px": _samples,
    "samples trained on, 80-112 px": _training,
}
