"""The trained object network as two ONNX graphs: the encoder, run once a picture, and the field, run at points."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import OutputError
from ..zoo.object_net import FIELD_SCALE, Encoding, ObjectNet
from .checkpoints import load_weights
from .export import WEIGHTS, to_fp16, write_graph, write_row

ENCODER_OUTPUTS = ("features", "code", "depth", "normals", "camera", "mirror")
FIELD_INPUTS = ("features", "code", "depth", "mirror", "alpha", "q", "tan_half", "elevation")


class _Encoder(nn.Module):
    def __init__(self, net: ObjectNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.net.encode(image))


class _Field(nn.Module):
    def __init__(self, net: ObjectNet) -> None:
        super().__init__()
        self.net = net

    def forward(
        self,
        features: Tensor,
        code: Tensor,
        depth: Tensor,
        mirror: Tensor,
        alpha: Tensor,
        q: Tensor,
        tan_half: Tensor,
        elevation: Tensor,
    ) -> Tensor:
        nothing = features.new_zeros(())
        encoding = Encoding(features, code, depth, nothing, nothing, mirror)
        return self.net.query(encoding, alpha, q, tan_half, elevation)


def export_object(net: ObjectNet, folder: Path, size_px: int = 112) -> tuple[Path, Path]:
    """Write ``object_encoder.onnx`` and ``object_field.onnx`` (float32) under ``folder``; returns their paths."""
    net = net.eval().float()
    image = torch.rand(1, 4, size_px, size_px)
    encoder, field = folder / "object_encoder.onnx", folder / "object_field.onnx"
    folder.mkdir(parents=True, exist_ok=True)
    write_graph(_Encoder(net), (image,), encoder, ["image"], ENCODER_OUTPUTS)
    with torch.no_grad():
        e = net.encode(image)
    points = torch.randn(1, 256, 3) * 0.3
    inputs = (
        e.features,
        e.code,
        e.depth,
        e.mirror,
        image[:, 3:],
        points,
        torch.tensor([0.3]),
        torch.tensor([0.2]),
    )
    axes = {"q": {1: "points"}, "field": {1: "points"}}
    write_graph(_Field(net), inputs, field, FIELD_INPUTS, ["field"], axes)
    _note(field, {"field_scale": str(FIELD_SCALE)})
    return encoder, field


def _note(path: Path, settings: dict[str, str]) -> None:
    import onnx

    model = onnx.load(str(path))
    onnx.helper.set_model_props(model, settings)
    onnx.save(model, str(path))


def install_object(checkpoint: Path, folder: Path = WEIGHTS) -> float:
    """The averaged weights of ``checkpoint`` as half-precision files with their rows; returns its largest error.

    Raises OutputError, and leaves the old files, when the exported network does not agree with the trained one.
    """
    net = ObjectNet()
    load_weights(net, checkpoint)
    with tempfile.TemporaryDirectory(dir=folder) as new:
        parts = export_object(net, Path(new))
        for part in parts:
            to_fp16(part)
        difference = _difference(net, *parts)
        if difference > 0.05:
            raise OutputError(f"{folder} not written: the field differs from the trained network by {difference:.3f}")
        for part in parts:
            os.replace(part, folder / part.name)
    for part in parts:
        write_row(
            part.stem, folder / part.name, "Apache-2.0 (weights); data credits in the card", "docs/models/object.md"
        )
    return difference


@torch.no_grad()
def _difference(net: ObjectNet, encoder: Path, field: Path) -> float:
    """Largest difference of the field between torch and onnxruntime at random points of a blurred random picture."""
    import onnxruntime

    generator = torch.Generator().manual_seed(0)
    picture = nn.functional.interpolate(torch.rand(1, 4, 8, 8, generator=generator), 112, mode="bilinear")
    points = torch.randn(1, 1024, 3, generator=generator) * 0.3
    tan_half, elevation = torch.tensor([0.3]), torch.tensor([0.2])
    net = net.eval().float()
    ours = net.query(net.encode(picture), picture[:, 3:], points, tan_half, elevation)
    first, second = (onnxruntime.InferenceSession(str(p), providers=["CPUExecutionProvider"]) for p in (encoder, field))
    maps = dict(zip(ENCODER_OUTPUTS, first.run(list(ENCODER_OUTPUTS), {"image": picture.numpy()}), strict=True))
    feed = {k: maps[k] for k in FIELD_INPUTS if k in maps}
    feed |= {"alpha": picture[:, 3:].numpy(), "q": points.numpy()}
    feed |= {"tan_half": tan_half.numpy(), "elevation": elevation.numpy()}
    theirs = second.run(None, feed)[0]
    return float(np.abs(ours.numpy()[..., 0] - theirs[..., 0]).max())
