"""Muon: momentum made orthogonal, for the matrices and kernels inside a network.

References
    Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024.
    Scale of the step, so that rates of AdamW carry over: Liu et al., "Muon is scalable for LLM training", 2025.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

#: Coefficients of the quintic that brings singular values near 1 in five steps (Jordan et al. 2024).
_QUINTIC, _STEPS = (3.4445, -4.7750, 2.0315), 5
#: Root mean square of a step as a share of the learning rate: 0.2 is AdamW's (Liu et al. 2025); the object network
#: learned faster with twice that, and worse with five times.
_STEP = 0.4
#: Layers with fewer rows or columns are inputs and outputs, where orthogonal steps mean nothing.
_NARROW = 16


class Muon(torch.optim.Optimizer):
    """Steps of equal singular values along the Nesterov momentum; a kernel (O, I, h, w) is a matrix of O rows.

    lr as for AdamW (a step's root mean square is 0.4 of it), weight_decay decoupled, momentum in [0, 1).
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, weight_decay: float = 0.0, momentum: float = 0.95
    ) -> None:
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step for all parameters that have a gradient; there is no closure."""
        for group in self.param_groups:
            same: dict[tuple[int, int], list[tuple[nn.Parameter, Tensor]]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    wanted = self._wanted(parameter, group["momentum"]).flatten(1)
                    same[wanted.shape[0], wanted.shape[1]].append((parameter, wanted))
            for shape, members in same.items():  # matrices of one shape at once: their products are small
                size = _STEP * max(shape) ** 0.5 * group["lr"]
                steps = orthogonal(torch.stack([wanted for _, wanted in members]))
                for (parameter, _), step in zip(members, steps, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(step.view_as(parameter), alpha=-size)

    def _wanted(self, parameter: nn.Parameter, momentum: float) -> Tensor:
        """Nesterov's look ahead along the running sum of gradients; contiguous, rows first."""
        assert parameter.grad is not None
        gradient = parameter.grad.contiguous()
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(gradient)
        state["momentum"].mul_(momentum).add_(gradient)
        return gradient.add(state["momentum"], alpha=momentum)


def orthogonal(matrices: Tensor) -> Tensor:
    """The nearest semi-orthogonal matrices, roughly (singular values 0.7 to 1.2): (K, rows, columns), any scale.

    Newton-Schulz iteration in bfloat16, which is enough and twice as fast.
    """
    a, b, c = _QUINTIC
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = (x / x.norm(dim=(1, 2), keepdim=True).clamp_min(1e-12)).bfloat16()
    for _ in range(_STEPS):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(matrices.dtype)


def hidden(model: nn.Module) -> list[nn.Parameter]:
    """The matrices and kernels that Muon trains: neither the first nor a narrow one (outputs, depth-wise kernels)."""
    wide = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    return [p for p in wide[1:] if min(p.shape[0], p[0].numel()) >= _NARROW]
