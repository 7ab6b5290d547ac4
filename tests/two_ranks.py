"""Run by tests/test_train_loop.py as two processes, and imported there for one: the same training, shared or alone."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from liftform.train import loop, object, ranks
from liftform.zoo.object_net import ObjectNet

STEPS, GLOBAL_BATCH, DIES_AT = 4, 4, 3


def object_loss(model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Those of the network's losses that are plain means over pictures; batch norms keep their statistics.

    The others divide by counts of the pictures at hand, so their mean over ranks is only nearly that over all.
    """
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    every = object.loss_fn(model, batch)
    kept = {k: every[k] for k in ("field", "sign", "elevation", "log_fov", "trust", "colour")}
    return {"loss": torch.stack(list(kept.values())).sum(), **kept}


def train_object(shards: Path, checkpoint: Path) -> tuple[ObjectNet, loop.Progress]:
    """STEPS steps of GLOBAL_BATCH views, shared between however many processes there are."""
    ranks.join()
    torch.manual_seed(3 + ranks.rank())  # DistributedDataParallel must bring the weights together
    torch.set_num_threads(1)
    model = ObjectNet()
    share = GLOBAL_BATCH // ranks.world()
    data = object.ObjectOptions(shards=shards, batch=share, points=48, empty_points=8, sizes=(48,) * 4, rescan_steps=0)
    corpus = object.Corpus(shards, held_out=False)
    options = loop.LoopOptions(
        optimiser="adamw",
        max_steps=STEPS,
        lr=3e-4,
        warmup_steps=1,
        precision="fp32",
        log_every=1,
        checkpoint=checkpoint,
    )
    return model, loop.fit(model, lambda step: object.batches(corpus, data, step), object_loss, options)


def noughts(first: int, dies_at: int = -1) -> Iterator[dict[str, Tensor]]:
    """Batches that do not matter; rank 1 is killed when it should make the one of step ``dies_at``."""
    for step in itertools.count(first):
        if step == dies_at and ranks.rank() == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        yield {"x": torch.full((2, 3), float(step))}


def square(model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Of what the network says."""
    return {"loss": model(batch["x"]).square().mean()}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    trained, _ = train_object(folder / "shards", folder / "shared" / "last.pt")
    torch.save(trained.state_dict(), folder / f"rank{ranks.rank()}.pt")
    short = loop.LoopOptions(optimiser="adamw", max_steps=6, checkpoint=folder / "killed" / "last.pt", precision="fp32")
    loop.fit(nn.Linear(3, 1), lambda first: noughts(first, DIES_AT), square, short)
