"""Starting a network from what another one, or its own shipped file, has learned."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import InputNotFoundError, UnreadableError
from . import checkpoints


def warm(model: nn.Module, source: Path) -> int:
    """Start from every weight of ``source`` whose name and shape fit, the first layer without its alpha channel.

    source: a checkpoint, whole or slim, an exported ``.onnx`` file, or a pattern of such files
    (``weights/object_*.onnx``). Returns how many tensors were taken. Raises InputNotFoundError, or UnreadableError for
    a file of another kind.
    """
    own = model.state_dict()
    taken = {}
    for name, value in weights_of(source).items():
        if name == "stage2.0.weight" and value.shape[1] == 4 and own[name].shape[1] == 3:
            value = value[:, :3]
        if name in own and own[name].shape == value.shape:
            taken[name] = value.to(own[name].dtype)
    model.load_state_dict({**own, **taken})
    return len(taken)


def weights_of(source: Path) -> dict[str, Tensor]:
    """Weights by name, float32 or as they were kept; see ``warm`` for ``source`` and what is raised."""
    if source.suffix != ".onnx":
        state = checkpoints.read(source)
        weights: dict[str, Tensor] = state["average"] or state["model"]
        return weights
    files = sorted(source.parent.glob(source.name))
    if not files:
        raise InputNotFoundError(f"{source}: no such file", "give a checkpoint or an exported network")
    return {name: value for file in files for name, value in _of_graph(file).items()}


def _of_graph(file: Path) -> dict[str, Tensor]:
    """The weights in an ONNX file under the names of the network inside its wrapper ``net``.

    Half-precision storage adds a suffix and a cast; equal tensors are stored once, behind nodes of identity.
    """
    import onnx
    from onnx import numpy_helper

    try:
        graph = onnx.load(str(file)).graph
    except Exception as error:
        raise UnreadableError(f"{file}: not an ONNX file ({error})", "export the network again") from error
    found = {
        tensor.name.removesuffix("_fp16"): torch.from_numpy(numpy_helper.to_array(tensor).copy()).float()
        for tensor in graph.initializer
    }
    for node in graph.node:
        if node.op_type == "Identity" and node.input[0] in found:
            found[node.output[0]] = found[node.input[0]]
    return {name.removeprefix("net."): value for name, value in found.items()}
