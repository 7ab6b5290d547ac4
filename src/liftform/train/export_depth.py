"""The trained depth network as one ONNX graph that takes pictures of any size."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import OutputError
from ..zoo.depth_net import DepthNet
from .checkpoints import load_weights
from .export import WEIGHTS, to_fp16, write_graph, write_row

OUTPUTS = ("depth", "normals", "sky", "spread", "fov")


class _Plain(nn.Module):
    """The network's answer in plain units: metres, shares, tangents."""

    def __init__(self, net: DepthNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        scene = self.net(image)
        return scene.log_depth.exp(), scene.normals, scene.sky.sigmoid(), scene.log_spread.exp(), scene.log_tan.exp()


def export_depth(checkpoint: Path, out: Path = WEIGHTS / "depth.onnx") -> float:
    """The averaged weights of ``checkpoint`` as ``out``, with its row; returns its largest relative error of depth.

    Input "image" (1, 3, H, W) float32 sRGB in [0, 1], H and W multiples of 16. Outputs at half that size: "depth"
    (1, 1, h, w) metres, whose scale is a guess; "normals" (1, 3, h, w); "sky" (1, 1, h, w) in [0, 1]; "spread"
    (1, 1, h, w), expected relative error; "fov" (1,), tangent of half the angle along the longer side.
    Raises OutputError, and leaves the old file, when the exported network does not agree with the trained one.
    """
    trained = DepthNet()
    load_weights(trained, checkpoint)
    net = _Plain(trained).eval()
    part = out.with_suffix(".new")
    sizes = {name: {2: "h", 3: "w"} for name in OUTPUTS[:-1]}
    axes = {"image": {2: "H", 3: "W"}, **sizes}
    write_graph(net, (torch.rand(1, 3, 96, 128),), part, ["image"], OUTPUTS, axes)
    to_fp16(part)
    difference = max(_difference(net, part, size) for size in ((96, 128), (192, 144)))
    if difference > 0.03:
        part.unlink()
        raise OutputError(f"{out} not written: it differs from the trained network by {difference:.1%} in depth")
    os.replace(part, out)
    write_row("depth", out, "Apache-2.0 (weights); data credits in the card", "docs/models/depth.md")
    return difference


@torch.no_grad()
def _difference(net: nn.Module, file: Path, size: tuple[int, int]) -> float:
    """Largest relative difference of depth between torch and onnxruntime on a smooth random picture."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    noise = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    picture = nn.functional.interpolate(noise, size, mode="bilinear")
    theirs = session.run(["depth"], {"image": picture.numpy()})[0]
    return float(np.abs(theirs / net(picture)[0].numpy() - 1).max())
