"""Several processes that train as one: how they join, which device and which pictures are whose, what they agree on.

``torchrun`` says in the environment how many there are. Gradients are averaged by PyTorch's DistributedDataParallel
(Li et al., VLDB 2020), over nccl between GPUs and over gloo between CPUs.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


def join(device: str = "cpu") -> None:
    """Join the process group that ``torchrun`` announces in the environment; does nothing outside of one."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        if own_device(device).type == "cuda":
            torch.cuda.set_device(own_device(device))
        dist.init_process_group("nccl" if own_device(device).type == "cuda" else "gloo")


def rank() -> int:
    """This process's number among those that train together; 0 when alone."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def own_device(name: str) -> torch.device:
    """``name`` ("cpu", "cuda", "cuda:1"), where plain "cuda" means this process's own GPU of the machine."""
    local = os.environ.get("LOCAL_RANK")
    return torch.device("cuda", int(local)) if name == "cuda" and local is not None else torch.device(name)


def own_numbers(batch: int) -> range:
    """Which pictures of a step this process makes when each makes ``batch``: together 0 ... world * batch - 1.

    A picture that is drawn by a generator seeded with (step, its number) is therefore the same however many processes
    share the step, and no process makes another one's.
    """
    return range(rank() * batch, (rank() + 1) * batch)


class Losses(nn.Module):
    """A loss function and its network as one module, which is the form that DistributedDataParallel wants."""

    def __init__(self, model: nn.Module, loss_fn: Callable[[nn.Module, dict[str, Tensor]], dict[str, Tensor]]) -> None:
        super().__init__()
        self.model, self.loss_fn = model, loss_fn

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The losses of ``batch``; "loss" is the one that is minimised."""
        return self.loss_fn(self.model, batch)


def together(losses: Losses, device: torch.device) -> nn.Module:
    """``losses`` with gradients averaged over all processes, which start from rank 0's weights; itself when alone.

    Batch norms use each process's own pictures: their running statistics are rank 0's.
    """
    if not dist.is_initialized():
        return losses
    ids = [device] if device.type == "cuda" else None
    with warnings.catch_warnings():  # the option that torch 2.13 would rather see does not exist in earlier ones
        warnings.simplefilter("ignore", FutureWarning)
        return DistributedDataParallel(losses, device_ids=ids, broadcast_buffers=False, gradient_as_bucket_view=True)


def agree(seconds: float, stop: int, device: torch.device) -> tuple[float, int]:
    """Rank 0's clock, and the largest ``stop`` of any rank: so that all end at the same step."""
    if not dist.is_initialized():
        return seconds, stop
    told = torch.tensor([seconds if rank() == 0 else 0.0, float(stop)], dtype=torch.float64, device=device)
    dist.all_reduce(told, dist.ReduceOp.MAX)
    clock, heard = told.tolist()
    return float(clock), int(heard)


def mean(values: list[float], device: torch.device) -> list[float]:
    """Each value's mean over the processes."""
    if not dist.is_initialized() or not values:
        return values
    told = torch.tensor(values, dtype=torch.float64, device=device)
    dist.all_reduce(told)
    return [float(v) / world() for v in told.tolist()]
