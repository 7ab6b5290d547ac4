"""How fast TripoSG runs here: random weights, full width, few layers, and what all layers take by that.

A step's time is fixed costs plus so much a layer, so two depths tell that of 21. Memory is measured at the deeper of
the two: the weights of the layers left out (68 million a layer) come on top. On a GPU all layers are run.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from ..runtime import Runtime
from .speed import _ran
from .tables import Grid

#: Layers of the transformer that are timed, where not all of them are.
_DEPTHS = (1, 2)
#: Points that the decoder is asked: a chunk of the adapter's.
_POINTS = 8192


@dataclass(frozen=True)
class FlowTiming:
    """layers: that were run, the second figure of seconds being scaled from them. step_s: one step with guidance (two
    passes of the transformer); tokens_s: the image encoder; latents_s: the decoder's blocks, once a shape; points_s:
    per 100,000 points of its field. memory_mb: peak of the process; device_mb: of torch on a GPU; error: of half
    precision in one pass against float32 (largest difference over largest value), 0 where not compared."""

    precision: str
    device: str
    layers: int
    step_s: float
    tokens_s: float
    latents_s: float
    points_s: float
    memory_mb: float
    device_mb: float
    error: float


def measure(precisions: tuple[str, ...], device: str, threads: int, tokens: int = 2048) -> list[FlowTiming]:
    """One process for each precision."""
    found = []
    for precision in precisions:
        said = {"precision": precision, "device": device, "threads": threads, "tokens": tokens}
        run = _ran(
            ["-c", "import sys; from liftform.evaluate import flow_speed as f; f.run(sys.argv[1])", json.dumps(said)]
        )
        facts = json.loads(run.output.splitlines()[-1])
        found.append(FlowTiming(precision, device, memory_mb=run.memory_mb, **facts))
    return found


def grid(timings: list[FlowTiming]) -> Grid:
    """A column for each run."""
    names = {
        "tokens_s": "image tokens, s",
        "step_s": "one step with guidance, all 21 layers, s",
        "latents_s": "latents read, s",
        "points_s": "100,000 points of the field, s",
        "memory_mb": "peak memory, MB",
        "device_mb": "peak memory of the GPU, MB",
        "layers": "layers that were run",
        "error": "error against float32",
    }
    rows = [(title, *(f"{getattr(t, name):.4g}" for t in timings)) for name, title in names.items()]
    head = ("seconds", *(f"{t.precision}, {t.device}" for t in timings))
    return Grid("triposg, random weights of full width", head, tuple(rows))


def run(settings: str) -> None:
    """Measure one precision in this process and print it as JSON."""
    import torch

    from ..zoo import dinov2, triposg
    from ..zoo.device import torch_device, torch_dtype, torch_threads

    said = json.loads(settings)
    runtime = Runtime(threads=said["threads"], device=said["device"], precision=said["precision"])
    where, dtype = torch_device(runtime), torch_dtype(runtime)
    whole = triposg.FlowConfig()
    depths = _DEPTHS if where.type == "cpu" else (whole.num_layers,)

    def made(build: Any) -> Any:
        torch.manual_seed(0)
        with torch.device(where):
            return build().to(dtype).eval()

    def timed(call: Any) -> float:
        if where.type != "cpu":
            call()  # kernels are chosen, memory is taken
        start = time.perf_counter()
        call()
        if where.type == "cuda":
            torch.cuda.synchronize(where)
        return time.perf_counter() - start

    with torch.inference_mode(), torch_threads(runtime):
        encoder = made(lambda: dinov2.Dinov2(dinov2.Dinov2Config()))
        pixels = torch.randn(1, 3, 224, 224, device=where, dtype=dtype)
        image = encoder(pixels)
        facts: dict[str, float] = {"tokens_s": timed(lambda: encoder(pixels))}
        noise = torch.randn(1, said["tokens"], whole.in_channels, device=where)
        steps: list[float] = []
        error, schedule = 0.0, triposg.SchedulerConfig()
        for depth in depths:
            flow = made(lambda depth=depth: triposg.FlowTransformer(triposg.FlowConfig(num_layers=depth)))
            steps.append(timed(lambda flow=flow: triposg.sample(flow, image, noise, 1, 7.0, schedule)))
            if dtype != torch.float32:
                t = torch.full((1,), 500.0, device=where)
                half = flow(noise.to(dtype), t, flow.memory(image)).float()
                single = flow.float()(noise, t, flow.memory(image.float()))
                error = float((half - single).abs().max() / single.abs().max())
            del flow
        if len(steps) == 2:
            layer = (steps[1] - steps[0]) / (_DEPTHS[1] - _DEPTHS[0])
            steps = [steps[1] + layer * (whole.num_layers - _DEPTHS[1])]
        vae = made(lambda: triposg.ShapeVae(triposg.VaeConfig()))
        facts["latents_s"] = timed(lambda: vae.memory(noise))
        memory = vae.memory(noise)
        points = torch.rand(_POINTS, 3, device=where) * 2 - 1
        facts["points_s"] = timed(lambda: list(vae.chunks(points, memory, _POINTS))) * 1e5 / _POINTS
    held = torch.cuda.max_memory_allocated(where) / 1e6 if where.type == "cuda" else 0.0
    print(json.dumps({**facts, "step_s": steps[0], "layers": depths[-1], "device_mb": held, "error": error}))
