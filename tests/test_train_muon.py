"""Muon: its steps are orthogonal, it goes on where it stopped, and it finds what it should."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("torch")
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from liftform.errors import UsageError
from liftform.train import checkpoints
from liftform.train.loop import Batch, LoopOptions, fit
from liftform.train.muon import Muon, hidden, orthogonal
from liftform.zoo.object_net import ObjectNet


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(20, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 2))


def loss(model: nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
    return {"loss": (model(batch["x"]) - batch["x"][:, :2]).square().mean()}


def batches(first: int) -> Iterator[Batch]:
    while True:
        yield {"x": torch.randn(16, 20, generator=torch.Generator().manual_seed(first))}
        first += 1


def options(folder: Path, steps: int, name: str = "muon") -> LoopOptions:
    base = LoopOptions(max_steps=steps, lr=0.01, warmup_steps=1, decay=0.0, precision="fp32", log_every=2)
    return dataclasses.replace(base, checkpoint=folder / "last.pt", optimiser=name)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 40), st.integers(2, 40), st.floats(-8, 8), st.integers(1, 3))
def test_steps_have_equal_singular_values_whatever_the_gradient_s_scale(
    seed: int, rows: int, columns: int, scale: float, count: int
) -> None:
    """And they keep the gradient's own directions. Singular values far below the largest are slower to come up."""
    generator = torch.Generator().manual_seed(seed)
    left = torch.linalg.qr(torch.randn(count, rows, min(rows, columns), generator=generator))[0]
    right = torch.linalg.qr(torch.randn(count, columns, min(rows, columns), generator=generator))[0]
    values = 0.1 + 0.9 * torch.rand(count, 1, min(rows, columns), generator=generator)
    made = orthogonal((left * values) @ right.mT * 10**scale)
    again = torch.linalg.svdvals(made)
    assert float(again.min()) > 0.5
    assert float(again.max()) < 1.4
    inner = left.mT @ made @ right  # diagonal where the directions were kept
    assert float((inner - torch.diag_embed(inner.diagonal(dim1=1, dim2=2))).abs().max()) < 0.15


def test_no_gradient_and_a_gradient_of_zeros_move_nothing() -> None:
    weight, idle = nn.Parameter(torch.ones(16, 16)), nn.Parameter(torch.ones(16, 16))
    weight.grad = torch.zeros(16, 16)
    Muon([weight, idle], lr=0.1).step()
    assert torch.equal(weight, torch.ones(16, 16))
    assert torch.equal(idle, torch.ones(16, 16))


def test_it_takes_the_inside_of_the_network_and_leaves_ends_and_biases() -> None:
    model = ObjectNet()
    names = {id(p): n for n, p in model.named_parameters()}
    taken = {names[id(p)] for p in hidden(model)}
    assert "stage8.1.first.0.weight" in taken
    assert "field.enter.weight" in taken
    assert not taken & {"stage2.0.weight", "surface.weight", "field.leave.weight", "pose.2.weight"}
    assert not any(name.endswith("bias") for name in taken)


def test_it_learns_and_a_resumed_run_is_the_uninterrupted_one(tmp_path: Path) -> None:
    whole = net()
    rows = fit(whole, batches, loss, options(tmp_path / "whole", 120)).rows
    assert rows[-1]["loss"] < 0.1 * rows[0]["loss"]
    for steps in (50, 120):
        part = net()
        fit(part, batches, loss, options(tmp_path / "parts", steps))
    for a, b in zip(whole.parameters(), part.parameters(), strict=True):
        assert torch.equal(a, b)


def test_another_optimiser_than_the_checkpoint_s_is_refused(tmp_path: Path) -> None:
    fit(net(), batches, loss, options(tmp_path, 3))
    before = checkpoints.read(tmp_path / "last.pt")["step"]
    with pytest.raises(UsageError, match="another optimiser than adamw"):
        fit(net(), batches, loss, options(tmp_path, 6, "adamw"))
    assert checkpoints.read(tmp_path / "last.pt")["step"] == before
    with pytest.raises(UsageError, match="unknown optimiser 'sgd'"):
        fit(net(), batches, loss, options(tmp_path / "new", 6, "sgd"))
