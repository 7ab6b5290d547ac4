"""From a trained network to a row of the weights table: half-precision ONNX files, checked, with their sha256."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import OutputError
from ..zoo.mask_net import MaskNet
from .checkpoints import load_weights

#: Where the package keeps its networks.
WEIGHTS = Path(__file__).resolve().parents[1] / "weights"


def write_graph(
    net: nn.Module,
    inputs: tuple[Tensor, ...],
    path: Path,
    names: Sequence[str],
    outputs: Sequence[str],
    axes: Mapping[str, Mapping[int, str]] | None = None,
) -> None:
    """``net`` as a float32 ONNX file whose inputs are ``names``; ``axes`` names those that may change their length.

    Nothing is folded, so that every weight keeps its name and shape and training can start again from the file (see
    warm); runtimes fold when they open it.
    """
    torch.onnx.export(
        net.eval(), inputs, str(path), input_names=list(names), output_names=list(outputs), dynamic_axes=axes,
        opset_version=17, dynamo=False, training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False,
    )  # fmt: skip


def to_fp16(path: Path, keep_below: int = 64) -> None:
    """Store the float32 weights of an ONNX file as float16, each followed by a Cast to float32, in place.

    Runtimes fold the casts when they open the file: half the bytes, float32 arithmetic. Tensors of fewer than
    ``keep_below`` values, and those that float16 cannot hold, stay as they are.
    """
    import onnx
    from onnx import numpy_helper

    model = onnx.load(str(path))
    graph, casts = model.graph, []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < keep_below or np.abs(values).max() > 6e4:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}_fp16"))
        casts.append(onnx.helper.make_node("Cast", [f"{name}_fp16"], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    part = path.with_suffix(".part")
    onnx.save(model, str(part))
    os.replace(part, path)


def write_row(name: str, file: Path, licence: str, card: str) -> None:
    """Set row ``name`` of the weights table beside ``file``; other rows are left alone.

    card: the model card's path from the root of the repository.
    """
    table = file.parent / "table.json"
    rows: dict[str, Any] = json.loads(table.read_text(encoding="utf-8")) if table.exists() else {}
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    rows[name] = {"file": file.name, "sha256": digest, "licence": licence, "card": card}
    part = table.with_suffix(".part")
    part.write_text(json.dumps(dict(sorted(rows.items())), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(part, table)


def export_mask(checkpoint: Path, out: Path = WEIGHTS / "mask.onnx", size: int = 192) -> float:
    """The averaged weights of ``checkpoint`` as ``out``, with its row; returns its largest error of alpha.

    Input "image" (1, 3, size, size) float32 sRGB in [0, 1]; output "logits" (1, 1, size, size) float32. size: a
    multiple of 16 near the sizes of training.
    Raises OutputError, and leaves the old file, when the exported network does not agree with the trained one.
    """
    import onnx

    net = MaskNet()
    load_weights(net, checkpoint)
    net.eval()
    image = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    part = out.with_suffix(".new")
    write_graph(net, (image,), part, ["image"], ["logits"])
    model = onnx.load(str(part))
    onnx.helper.set_model_props(model, {"size": str(size), "output": "logits of the soft alpha"})
    onnx.save(model, str(part))
    to_fp16(part)
    difference = _difference(net, part, image)
    if difference > 0.02:
        part.unlink()
        raise OutputError(f"{out} not written: it differs from the trained network by {difference:.3f} in alpha")
    os.replace(part, out)
    write_row("mask", out, "Apache-2.0 (weights); data credits in the card", "docs/models/mask.md")
    return difference


def _difference(net: nn.Module, file: Path, image: torch.Tensor) -> float:
    """Largest difference of alpha between torch and onnxruntime on noise and on a smooth picture."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    smooth = torch.nn.functional.interpolate(image[..., :8, :8], image.shape[-1], mode="bilinear")
    worst = 0.0
    for picture in (image, smooth):
        with torch.no_grad():
            ours = net(picture).sigmoid().numpy()
        theirs = session.run(["logits"], {"image": picture.numpy()})[0]
        worst = max(worst, float(np.abs(ours - 1 / (1 + np.exp(-theirs))).max()))
    return worst
