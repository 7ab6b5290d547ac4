"""The trained floor-plan network as one ONNX graph that takes drawings of any size."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import OutputError
from ..zoo.plan_net import CLASSES, PX_PER_M, PlanNet
from .checkpoints import load_weights
from .export import WEIGHTS, to_fp16, write_graph, write_row


class _Plain(nn.Module):
    """The network's answer in plain units: shares of classes, pixels a metre."""

    def __init__(self, net: PlanNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, drawing: Tensor) -> tuple[Tensor, Tensor]:
        answer = self.net(drawing)
        return answer[:, :-1].softmax(1), PX_PER_M * (math.log(2) * answer[:, -1:]).exp()


def export_plan(checkpoint: Path, out: Path = WEIGHTS / "plan.onnx") -> float:
    """The averaged weights of ``checkpoint`` as ``out``, with its row; returns its largest error of a class's share.

    Input "drawing" (1, 1, H, W) float32, paper 1 and ink 0, H and W multiples of 16. Outputs "classes" (1, N, H, W),
    shares that sum to 1 in the order of ``zoo.plan_net.CLASSES``, and "scale" (1, 1, H, W), pixels a metre.
    Raises OutputError, and leaves the old file, when the exported network does not agree with the trained one.
    """
    import onnx

    trained = PlanNet()
    load_weights(trained, checkpoint)
    net = _Plain(trained).eval()
    part = out.with_suffix(".new")
    sizes = {2: "H", 3: "W"}
    axes = {"drawing": sizes, "classes": sizes, "scale": sizes}
    write_graph(net, (torch.rand(1, 1, 96, 128),), part, ["drawing"], ["classes", "scale"], axes)
    model = onnx.load(str(part))
    onnx.helper.set_model_props(model, {"classes": " ".join(CLASSES), "px_per_m": str(PX_PER_M)})
    onnx.save(model, str(part))
    to_fp16(part)
    difference = max(_difference(net, part, size) for size in ((96, 128), (192, 144)))
    if difference > 0.03:
        part.unlink()
        raise OutputError(f"{out} not written: it differs from the trained network by {difference:.3f} in a share")
    os.replace(part, out)
    write_row("plan", out, "Apache-2.0 (weights); data credits in the card", "docs/models/plan.md")
    return difference


@torch.no_grad()
def _difference(net: nn.Module, file: Path, size: tuple[int, int]) -> float:
    """Largest difference of a class's share between torch and onnxruntime on a smooth random drawing."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    noise = torch.rand(1, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    drawing = nn.functional.interpolate(noise, size, mode="bilinear")
    theirs = session.run(["classes"], {"drawing": drawing.numpy()})[0]
    return float(np.abs(theirs - net(drawing)[0].numpy()).max())
