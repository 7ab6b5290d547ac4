"""The trained stereo network as four ONNX graphs, between which the likeness of descriptors is worked out."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import OutputError
from ..zoo.stereo_net import CHANNELS, DEPTHS, GROUPS, StereoNet
from .checkpoints import load_weights
from .export import WEIGHTS, to_fp16, write_graph, write_row

Arrays = tuple[Tensor, ...]


class _Coarse(nn.Module):
    """likeness (N, D, G, h, w) and seen (N, D, h, w) of each neighbour, picture (1, C, h, w) -> index (1, h, w), sure,
    trust (N, h, w)."""

    def __init__(self, net: StereoNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, likeness: Tensor, seen: Tensor, picture: Tensor) -> Arrays:
        trust = self.net.trust(likeness, seen)
        weights = trust[:, None] * seen
        shown = weights.sum(0)
        mean = (weights[:, :, None] * likeness).sum(0) / (shown[:, None] + 1e-4)
        share = shown / (trust.sum(0)[None] + 1e-4)
        found = self.net.coarse(torch.cat([mean, share[:, None]], 1), picture, likeness.shape[1])
        return found.index, found.sure, trust


class _Middle(nn.Module):
    """likeness (16, G + 1, h, w), picture (1, C, h, w) -> index (1, h, w), sure."""

    def __init__(self, net: StereoNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, likeness: Tensor, picture: Tensor) -> Arrays:
        found = self.net.middle(likeness, picture, DEPTHS[0])
        return found.index, found.sure


class _Fine(nn.Module):
    """likeness (8, G + 1, h, w), picture (1, C, h, w), start (1, h, w): inverse depth of hypothesis 0 in steps,
    coarse_sure (1, h, w) -> place (1, 2h, 2w): inverse depth in steps, log_error (1, 2h, 2w)."""

    def __init__(self, net: StereoNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, likeness: Tensor, picture: Tensor, start: Tensor, coarse_sure: Tensor) -> Arrays:
        found = self.net.fine(likeness, picture, DEPTHS[1])
        place = start + found.index
        place, log_error = self.net.finish(picture, place[:, None], found.sure[:, None], coarse_sure[:, None])
        return place[:, 0], log_error[:, 0]


def export_stereo(checkpoint: Path, folder: Path = WEIGHTS) -> float:
    """The averaged weights of ``checkpoint`` as half-precision ``stereo_*.onnx`` with their rows; returns the largest
    error of a depth, in steps of the fine stage.

    Raises OutputError, and leaves the old files, when the exported network does not agree with the trained one.
    """
    net = StereoNet()
    load_weights(net, checkpoint)
    return install(net, folder)


def install(net: StereoNet, folder: Path) -> float:
    """``net`` as the files of ``folder``, as export_stereo does."""
    net = net.eval().float()
    with tempfile.TemporaryDirectory(dir=folder) as new:
        parts = _write(net, Path(new))
        difference = max(_difference(net, part) for part in parts)
        if difference > 0.05:
            raise OutputError(
                f"{folder} not written: depth differs from the trained network's by {difference:.3f} steps"
            )
        for part in parts:
            os.replace(part, folder / part.name)
    for part in parts:
        file = folder / part.name
        write_row(part.stem, file, "Apache-2.0 (weights); data credits in the card", "docs/models/stereo.md")
    return difference


def _write(net: StereoNet, folder: Path) -> list[Path]:
    """features, coarse, middle and fine; sides and, of the coarse one, neighbours and hypotheses are free."""
    out = []
    sides = {2: "h", 3: "w"}
    maps = {1: "h", 2: "w"}
    for name, module, outputs in (
        ("features", net.features, ["eighth", "quarter", "half"]),
        ("coarse", _Coarse(net), ["index", "sure", "trust"]),
        ("middle", _Middle(net), ["index", "sure"]),
        ("fine", _Fine(net), ["place", "log_error"]),
    ):
        inputs = _example(name)
        axes: dict[str, dict[int, str]] = {k: dict(sides) for k in inputs}
        axes |= {k: dict(maps) for k in ("seen", "start", "coarse_sure") if k in inputs}
        if name == "coarse":
            axes["likeness"] = {0: "n", 1: "d", 3: "h", 4: "w"}
            axes["seen"] = {0: "n", 1: "d", 2: "h", 3: "w"}
        axes |= {k: dict(sides if name == "features" else maps) for k in outputs}
        if name == "coarse":
            axes["trust"] = {0: "n", 1: "h", 2: "w"}
        path = folder / f"stereo_{name}.onnx"
        write_graph(module, tuple(inputs.values()), path, list(inputs), outputs, axes)
        to_fp16(path)
        out.append(path)
    return out


def _example(name: str, seed: int = 0, depths: int = 32, views: int = 2, h: int = 12, w: int = 16) -> dict[str, Tensor]:
    """Inputs of one graph, at random."""
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    if name == "features":
        return {"image": torch.rand(1, 3, 8 * h, 8 * w, generator=generator)}
    if name == "coarse":
        seen = (noise(views, depths, h, w) > -1).float()
        return {"likeness": noise(views, depths, GROUPS[0], h, w), "seen": seen, "picture": noise(1, CHANNELS[0], h, w)}
    number = 1 if name == "middle" else 2
    inputs = {
        "likeness": noise(DEPTHS[number - 1], GROUPS[number] + 1, h, w),
        "picture": noise(1, CHANNELS[number], h, w),
    }
    if name == "fine":
        inputs |= {"start": noise(1, h, w), "coarse_sure": noise(1, h, w).sigmoid()}
    return inputs


@torch.no_grad()
def _difference(net: StereoNet, file: Path) -> float:
    """Largest difference of one graph's answers from torch, at another size than it was traced at; of an index, which
    may tip over where two hypotheses are alike, the 99th percentile."""
    import onnxruntime

    name = file.stem.removeprefix("stereo_")
    module = {"features": net.features, "coarse": _Coarse(net), "middle": _Middle(net), "fine": _Fine(net)}[name]
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    inputs = _example(name, 1, 48, 3, 16, 24)
    ours = module(*inputs.values())
    theirs = session.run(None, {k: v.numpy() for k, v in inputs.items()})
    scale = 0.1 if name == "features" else 1.0  # a descriptor's size says little
    pairs = zip(ours, theirs, strict=True)
    return max(float(np.quantile(np.abs(a.numpy() - b), 0.99)) * scale for a, b in pairs)
