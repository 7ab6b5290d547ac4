"""How fast public models run here: random weights of full size, a picture to a mesh, seconds by stage, peak memory."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from ..runtime import Runtime
from .speed import _ran
from .tables import Grid

if TYPE_CHECKING:
    from torch import Tensor

    from ..zoo.triposr import TripoSR

#: Half the size of the shape that is cut out of the field, of the field's box.
_BALL = 0.52
#: What keeps a SiLU straight: the first neuron of every layer only passes on what it is given.
_STRAIGHT = 20.0


@dataclass(frozen=True)
class Timing:
    """One measured run, in a process of its own. stages: name -> seconds on the clock and of all processors together,
    in order; memory_mb: the process's peak; device_mb: the peak of what torch held on a GPU, 0 on a CPU; counts:
    vertices, faces."""

    model: str
    precision: str
    device: str
    threads: int
    stages: Mapping[str, tuple[float, float]]
    memory_mb: float
    device_mb: float
    counts: Mapping[str, int]

    @property
    def total(self) -> tuple[float, float]:
        """Seconds from the picture to the coloured mesh, clock and processors; loading is told apart."""
        spent = [seconds for stage, seconds in self.stages.items() if stage != "load"]
        return sum(clock for clock, _ in spent), sum(busy for _, busy in spent)


def measure_zoo(
    model: str = "triposr",
    precisions: tuple[str, ...] = ("float32", "bfloat16"),
    device: str = "cpu",
    threads: int = 0,
    resolution: int = 256,
    folder: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Timing]:
    """One run for each precision. The weights are random, but the field's: it holds a bumpy ball, as large as objects
    are, because random fields have surface everywhere. folder: keeps the weights (1.7 GB) for other programs.

    Raises UsageError for a model that has no such measurement, MissingExtraError, LiftformError when a run fails.
    """
    if model != "triposr":
        raise UsageError(f"{model!r} is not measured here", "known: triposr")
    found = []
    with tempfile.TemporaryDirectory() as temporary:
        place = folder or Path(temporary)
        place.mkdir(parents=True, exist_ok=True)
        if not (place / "planes.pt").is_file():
            _ran(["-c", _MAKER, str(place)])
        for precision in precisions:
            said = {"precision": precision, "device": device, "threads": threads, "resolution": resolution}
            run = _ran(["-c", _RUNNER, str(place), json.dumps(said)])
            facts = json.loads(run.output.splitlines()[-1])
            found.append(Timing(model, precision, device, threads, memory_mb=run.memory_mb, **facts))
            progress(len(found), len(precisions))
    return found


def grid(timings: list[Timing]) -> Grid:
    """A column for each run."""
    head = ("seconds (of processors)", *(f"{t.precision}, {t.device}" for t in timings))
    stages = [(name, [t.stages[name] for t in timings]) for name in timings[0].stages]
    stages += [("picture to mesh", [t.total for t in timings])]
    rows = [(name, *(f"{clock:.2f} ({busy:.2f})" for clock, busy in values)) for name, values in stages]
    rows += [("peak memory", *(f"{t.memory_mb:.0f} MB" for t in timings))]
    if any(t.device_mb for t in timings):
        rows += [("peak memory of the GPU", *(f"{t.device_mb:.0f} MB" for t in timings))]
    rows += [("vertices", *(f"{t.counts['vertices']:,}" for t in timings))]
    threads = timings[0].threads or "all"
    return Grid(f"{timings[0].model}, random weights of full size, {threads} threads", head, tuple(rows))


_MAKER = "import sys, pathlib; from liftform.evaluate import zoo; zoo.write_weights(pathlib.Path(sys.argv[1]))"
_RUNNER = "import sys, pathlib; from liftform.evaluate import zoo; zoo.run(pathlib.Path(sys.argv[1]), sys.argv[2])"


def write_weights(folder: Path, seed: int = 0) -> None:
    """model.ckpt: the whole network at random, its field's MLP as ``_shape`` wants it. planes.pt: the ball's planes."""
    import torch

    from ..zoo import triposr

    torch.manual_seed(seed)
    network = triposr.TripoSR(triposr.Config())
    with torch.no_grad():
        for name, value in network.named_parameters():
            if "norm" in name:
                value.fill_(1.0 if name.endswith("weight") else 0.0)
            else:
                value.normal_(0, value[0].numel() ** -0.5 if value.ndim > 1 else 0.02)
        planes = _shape(network)
    torch.save(network.state_dict(), folder / "model.ckpt")
    torch.save(planes, folder / "planes.pt")


def _shape(network: TripoSR) -> Tensor:
    """Planes (3, F, H, W) of a bumpy ball, and the MLP's weights set to read them.

    The first feature of each plane is minus half the squared distance in that plane, so that the three add up to minus
    the squared distance in space, and the first neuron of every layer passes them on; the others make random bumps.
    """
    import torch
    from torch.nn import functional as F

    config = network.config
    side = 2 * config.plane_size
    across = ((torch.arange(side) + 0.5) / side * 2 - 1) * config.radius
    planes = F.interpolate(torch.randn(3, config.features, 7, 7), (side, side), mode="bicubic")
    planes[:, 0] = -(across[:, None] ** 2 + across**2) / 2
    layers: list[Any] = list(network.decoder["layers"])[::2]  # type: ignore[call-overload]
    for i, layer in enumerate(layers):
        layer.weight.normal_(0, (2 / layer.in_features) ** 0.5)
        layer.bias.zero_()
        if layer is layers[-1]:
            break
        layer.weight[0] = 0
        passed = slice(0, None, config.features) if i == 0 else slice(0, 1)
        layer.weight[:, passed] = 0
        layer.weight[0, passed] = 1
        layer.bias[0] = 0 if i else _STRAIGHT
    layers[-1].weight[:, 0] = 0
    field = network.field(planes)
    bumps = field(torch.rand(4096, 3) * 1.7 - 0.85)[:, 0].std()
    layers[-1].weight[0] *= 2.5 / bumps
    layers[-1].weight[0, 0] = steep = 40.0
    cut = field.raw_level(25.0) - config.density_bias
    layers[-1].bias[0] = cut + steep * ((_BALL * config.radius) ** 2 - _STRAIGHT)
    return planes


def run(folder: Path, settings: str) -> None:
    """Measure one run in this process and print it as JSON."""
    import numpy as np
    import torch

    from ..reconstruct import triplane
    from ..zoo import triposr
    from ..zoo.device import torch_device, torch_dtype, torch_threads

    said = json.loads(settings)
    runtime = Runtime(threads=said["threads"], device=said["device"], precision=said["precision"])
    device = torch_device(runtime)
    stages: dict[str, tuple[float, float]] = {}
    cuda = torch.cuda if device.type == "cuda" else None

    @contextmanager
    def stage(name: str) -> Iterator[None]:
        start = time.perf_counter(), time.process_time()
        yield
        if cuda:
            cuda.synchronize(device)
        stages[name] = time.perf_counter() - start[0], time.process_time() - start[1]

    with torch.inference_mode(), torch_threads(runtime):
        with stage("load"):
            network = triplane.built(folder / "model.ckpt", {}, device, torch_dtype(runtime))
            planes = torch.load(folder / "planes.pt", weights_only=True).to(device)
        picture = np.random.default_rng(0).random((1, network.config.image_size, network.config.image_size, 3))
        image = torch.from_numpy(picture.astype(np.float32)).to(device)
        if cuda:  # the first call of a kernel compiles or chooses it
            network.planes(network.image_tokenizer(image))
        with stage("image tokens"):
            tokens = network.image_tokenizer(image)
        with stage("triplane"):
            network.planes(tokens)
        with stage("field and surface"):
            field = network.field(planes)
            vertices, faces = triplane.extracted(field, said["resolution"], triposr.ISO)
        with stage("colours"):
            field.color(torch.from_numpy(vertices).to(device)).cpu()
    held = cuda.max_memory_allocated(device) / 1e6 if cuda else 0.0
    counts = {"vertices": len(vertices), "faces": len(faces)}
    print(json.dumps({"stages": stages, "device_mb": held, "counts": counts}))
