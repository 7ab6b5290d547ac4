"""Starting a network from what another one of the same layout has learned."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from . import checkpoints


def warm(model: nn.Module, checkpoint: Path) -> int:
    """Start from every weight of ``checkpoint`` whose name and shape fit, the first layer without its alpha channel.

    Returns how many tensors were taken. Raises UnreadableError for a file that is not a checkpoint.
    """
    state = checkpoints.read(checkpoint)
    source = state["average"] or state["model"]
    own = model.state_dict()
    taken = {}
    for name, value in source.items():
        if name == "stage2.0.weight" and value.shape[1] == 4:
            value = value[:, :3]
        if name in own and own[name].shape == value.shape:
            taken[name] = value.to(own[name].dtype)
    model.load_state_dict({**own, **taken})
    return len(taken)
