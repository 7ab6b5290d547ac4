"""A step that could not be learned, kept as a file: its batch, the network before it, and the command to look again.

liftform train replay out/object/bad_1234_0.pt
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UnreadableError
from . import checkpoints

LossFn = Callable[[nn.Module, dict[str, Tensor]], dict[str, Tensor]]


@dataclass(frozen=True)
class Before:
    """What a forward pass changes even when its step is left out: the random state and the batch norms' statistics."""

    random: Tensor
    buffers: list[Tensor]

    @staticmethod
    def of(buffers: Sequence[Tensor]) -> Before:
        """Copies of both, taken now."""
        return Before(torch.get_rng_state(), [b.detach().clone() for b in buffers])

    def restore(self, buffers: Sequence[Tensor]) -> None:
        """Put the statistics back; one batch without finite numbers would spoil them for ever."""
        with torch.no_grad():
            for now, then in zip(buffers, self.buffers, strict=True):
                now.copy_(then)


def save(
    path: Path,
    model: nn.Module,
    batch: dict[str, Tensor],
    losses: dict[str, Tensor],
    step: int,
    precision: str,
    before: Before,
) -> None:
    """Write everything that ``again`` needs. Raises OutputError."""
    state = {
        "network": type(model).__name__,
        "model": model.state_dict(),
        "average": {},
        "batch": {k: v.detach().cpu() for k, v in batch.items()},
        "losses": {k: float(v.detach()) for k, v in losses.items()},
        "precision": precision,
        "random": before.random,
        "step": step,
        "seconds": 0.0,
    }
    checkpoints.write(state, path, keep=False)


def read(path: Path) -> dict[str, Any]:
    """What ``save`` wrote. Raises UnreadableError for any other file."""
    state = checkpoints.read(path)
    if "batch" not in state:
        raise UnreadableError(f"{path}: a checkpoint, not a step that went wrong", "give the file named bad_*.pt")
    return state


def again(state: dict[str, Any], model: nn.Module, loss_fn: LossFn, precision: str) -> dict[str, Any]:
    """Run the saved step once more, at ``precision``, and say where the numbers cease to be finite.

    Returns "losses" and "norm" of the gradient as they come out now, and the names of what is not finite: "batch" and
    "weights" from the start, "modules" in the order in which they ran, "gradients".
    """
    from .loop import precision as context

    model.load_state_dict(state["model"])
    torch.set_rng_state(state["random"])
    modules: list[str] = []
    handles = [
        module.register_forward_hook(lambda _m, _i, out, name=name: None if _finite(out) else modules.append(name))
        for name, module in model.named_modules()
        if name
    ]
    with context(precision, torch.device("cpu")):
        losses = loss_fn(model.train(), state["batch"])
    for handle in handles:
        handle.remove()
    losses["loss"].backward()
    gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    return {
        "losses": {k: float(v.detach()) for k, v in losses.items()},
        "norm": float(torch.linalg.vector_norm(torch.stack([g.norm() for g in gradients.values()]))),
        "batch": [k for k, v in state["batch"].items() if not _finite(v)],
        "weights": [k for k, v in state["model"].items() if not _finite(v)],
        "modules": modules,
        "gradients": [n for n, g in gradients.items() if not _finite(g)],
    }


def _finite(value: Any) -> bool:
    if isinstance(value, Tensor):
        return bool(torch.isfinite(value).all())
    return all(_finite(v) for v in value) if isinstance(value, (tuple, list)) else True
