"""The training loop of every network: time- or step-budgeted, resumable, on CPU or CUDA, in one process or several.

Under ``torchrun`` every process (rank) draws its own batches and the gradients are averaged; rank 0 keeps the clock,
the log and the checkpoints. On CPUs two processes of one thread train faster than one process of two threads.
"""

from __future__ import annotations

import contextlib
import copy
import csv
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..errors import UnreadableError, UsageError
from ..recipe import option

Batch = dict[str, Tensor]
Batches = Iterator[Batch] | Callable[[int], Iterator[Batch]]
LossFn = Callable[[nn.Module, Batch], dict[str, Tensor]]
#: Called with the model carrying its averaged weights, and the step; what it returns is logged as ``val_<key>``.
OnCheckpoint = Callable[[nn.Module, int], Mapping[str, float] | None]


@dataclass(frozen=True)
class LoopOptions:
    """How long and how fast to train. Give ``minutes``, ``max_steps`` or both: the first one spent ends the run."""

    minutes: float = option(0.0, "wall-clock budget in minutes, over all resumed parts (0: none)", low=0)
    max_steps: int = option(0, "budget in optimiser steps (0: none)", low=0)
    lr: float = option(1e-3, "peak learning rate", low=0)
    weight_decay: float = option(0.02, "AdamW decay of matrices and kernels; biases and norms have none", low=0)
    warmup_steps: int = option(200, "steps of linear warm-up", low=0)
    final_lr: float = option(0.0, "learning rate at the end, as a share of the peak", low=0, high=1)
    decay: float = option(1.0, "last share of the budget over which the rate falls; held before", low=0, high=1)
    ema: float = option(0.998, "decay of the averaged weights (0: no average)", low=0, high=1)
    clip: float = option(1.0, "largest gradient norm", low=0)
    precision: str = option("bf16", "bf16 (autocast) or fp32")
    device: str = option("cpu", "cpu or cuda")
    checkpoint: Path = option(Path("out/last.pt"), "log.csv and curve.png lie beside it")  # noqa: RUF009
    every_s: float = option(180.0, "seconds between checkpoints", low=1)
    log_every: int = option(20, "steps averaged into one line of the log", low=1)
    seed: int = option(0, "seed of the loop's own random choices", low=0)


@dataclass
class Progress:
    """How far a run is: steps done, seconds spent (all resumed parts), one row of the log per ``log_every`` steps."""

    step: int = 0
    seconds: float = 0.0
    rows: list[dict[str, float]] = field(default_factory=list)

    def share(self, options: LoopOptions) -> float:
        """Elapsed part of the budget in [0, 1], by time or steps, whichever is further on."""
        by_time = self.seconds / (60.0 * options.minutes) if options.minutes > 0 else 0.0
        by_step = self.step / options.max_steps if options.max_steps > 0 else 0.0
        return min(1.0, max(by_time, by_step))


def learning_rate(progress: Progress, options: LoopOptions) -> float:
    """Linear warm-up, a plateau, then a cosine over the last ``decay`` of the budget down to ``final_lr``.

    decay 1 is the cosine of Loshchilov & Hutter 2017; a small one can be lengthened afterwards by a larger budget,
    because the plateau does not know where it ends (Hu et al. 2024, warm-up, stable, decay).
    """
    warm = min(1.0, (progress.step + 1) / max(1, options.warmup_steps))
    falling = max(0.0, (progress.share(options) - 1.0 + options.decay) / max(options.decay, 1e-9))
    cosine = 0.5 * (1.0 + math.cos(math.pi * falling))
    return options.lr * warm * (options.final_lr + (1.0 - options.final_lr) * cosine)


def fit(
    model: nn.Module,
    batches: Batches,
    loss_fn: LossFn,
    options: LoopOptions,
    on_checkpoint: OnCheckpoint | None = None,
) -> Progress:
    """Train ``model`` in place until the budget is spent; at the end it carries the averaged (EMA) weights.

    batches yields dictionaries of tensors; give a function of the first step instead of an iterator to make a
    resumed run see the batches that the uninterrupted one would have seen. loss_fn returns scalars, of which
    "loss" is minimised and all are logged. If the checkpoint file exists the run goes on from it.
    Ctrl-C writes a checkpoint before it is passed on. Raises UsageError without a budget or on a diverged run.
    """
    if options.minutes <= 0 and options.max_steps <= 0:
        raise UsageError("a training run needs a budget", "set minutes or max_steps in the recipe")
    join()
    run = _Run(model, options)
    source = batches(run.progress.step) if callable(batches) else batches
    try:
        while run.progress.share(options) < 1.0:
            run.advance(next(source), loss_fn)
            if rank() == 0 and run.due():
                run.checkpoint(on_checkpoint)
    except KeyboardInterrupt:
        if rank() == 0:
            run.save()
        raise
    if rank() == 0:
        run.checkpoint(on_checkpoint)
    if run.average is not None:
        model.load_state_dict(run.average.state_dict())
    return run.progress


def join() -> None:
    """Join the process group that ``torchrun`` announces in the environment; does nothing outside of one."""
    if "WORLD_SIZE" in os.environ and int(os.environ["WORLD_SIZE"]) > 1 and not dist.is_initialized():
        dist.init_process_group("gloo")


def rank() -> int:
    """This process's number among those that train together; 0 when alone."""
    return dist.get_rank() if dist.is_initialized() else 0


def _average_over_ranks(model: nn.Module, progress: Progress) -> None:
    """Mean of all ranks' gradients, and rank 0's clock, so that every rank ends at the same step."""
    if not dist.is_initialized():
        return
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    flat = torch.cat([g.reshape(-1).float() for g in gradients])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for gradient, mean in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))
    clock = torch.tensor([progress.seconds], dtype=torch.float64)
    dist.broadcast(clock, 0)
    progress.seconds = float(clock)


def load_weights(model: nn.Module, checkpoint: str | Path, averaged: bool = True) -> dict[str, Any]:
    """Put the (averaged) weights of a checkpoint into ``model``; returns {"step", "seconds"}."""
    state = read_checkpoint(Path(checkpoint))
    model.load_state_dict(state["average"] if averaged and state["average"] else state["model"])
    return {"step": state["step"], "seconds": state["seconds"]}


def slim(checkpoint: str | Path, out: Path) -> None:
    """The averaged weights of a checkpoint alone, in half precision: enough to start another run from."""
    state = read_checkpoint(Path(checkpoint))
    weights = state["average"] or state["model"]
    half = {k: v.half() if v.is_floating_point() else v for k, v in weights.items()}
    part = out.with_suffix(".part")
    torch.save({"model": half, "average": {}, "step": state["step"], "seconds": state["seconds"]}, part)
    os.replace(part, out)


class _Run:
    """Everything that a checkpoint holds, and the clock."""

    def __init__(self, model: nn.Module, options: LoopOptions) -> None:
        torch.manual_seed(options.seed)
        self.options = options
        self.model = model.to(options.device).train()
        self.average = copy.deepcopy(model).eval().requires_grad_(False) if options.ema > 0 else None
        self.optimiser = torch.optim.AdamW(_groups(model, options.weight_decay), lr=options.lr, betas=(0.9, 0.98))
        self.progress = Progress()
        self.sums: dict[str, float] = {}
        self.bad = 0
        if options.checkpoint.exists():
            self.restore(read_checkpoint(options.checkpoint))
        self.clock = self.saved_at = time.monotonic()

    def advance(self, batch: Batch, loss_fn: LossFn) -> None:
        """One optimiser step, and the clock."""
        options, progress = self.options, self.progress
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(progress, options)
        batch = {k: v.to(options.device, non_blocking=True) for k, v in batch.items()}
        with _precision(options):
            losses = loss_fn(self.model, batch)
        self.optimiser.zero_grad(set_to_none=True)
        losses["loss"].backward()
        _average_over_ranks(self.model, self.progress)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), options.clip)
        if bool(torch.isfinite(norm)):
            self.optimiser.step()
            self._average()
            self.bad = 0
        else:
            self.bad += 1
            if self.bad > 20:
                raise UsageError("training diverged: 20 steps in a row without a finite gradient", "lower lr")
        progress.step += 1
        self._tick()
        self._log(losses)

    def _tick(self) -> None:
        now = time.monotonic()
        self.progress.seconds += now - self.clock
        self.clock = now

    def _average(self) -> None:
        if self.average is None:
            return
        decay = min(self.options.ema, (1.0 + self.progress.step) / (10.0 + self.progress.step))
        with torch.no_grad():
            mine, theirs = list(self.average.state_dict().values()), list(self.model.state_dict().values())
            floats = [(a, b) for a, b in zip(mine, theirs, strict=True) if a.is_floating_point()]
            torch._foreach_lerp_([a for a, _ in floats], [b for _, b in floats], 1.0 - decay)
            for a, b in zip(mine, theirs, strict=True):
                if not a.is_floating_point():
                    a.copy_(b)

    def _log(self, losses: dict[str, Tensor]) -> None:
        for key, value in losses.items():
            self.sums[key] = self.sums.get(key, 0.0) + float(value.detach())
        if self.progress.step % self.options.log_every == 0:
            row = {"step": float(self.progress.step), "seconds": round(self.progress.seconds, 1)}
            row["lr"] = learning_rate(self.progress, self.options)
            row.update({k: v / self.options.log_every for k, v in self.sums.items()})
            self.progress.rows.append(row)
            self.sums = {}

    def due(self) -> bool:
        """Whether it is time for a checkpoint."""
        return time.monotonic() - self.saved_at >= self.options.every_s

    def checkpoint(self, on_checkpoint: OnCheckpoint | None) -> None:
        """Validate the averaged weights, then write checkpoint, log and curve; validation counts as time spent."""
        if on_checkpoint is not None:
            judged = self.average or self.model
            was_training = judged.training
            scores = on_checkpoint(judged.eval(), self.progress.step) or {}
            judged.train(was_training)
            if self.progress.rows:
                self.progress.rows[-1].update({f"val_{k}": float(v) for k, v in scores.items()})
        self._tick()
        self.save()
        self.saved_at = time.monotonic()

    def save(self) -> None:
        """The checkpoint, log.csv and curve.png, each written whole or not at all."""
        path = self.options.checkpoint
        path.parent.mkdir(parents=True, exist_ok=True)
        state = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict() if self.average is not None else {},
            "optimiser": self.optimiser.state_dict(),
            "random": torch.get_rng_state(),
            "step": self.progress.step,
            "seconds": self.progress.seconds,
            "rows": self.progress.rows,
            "sums": self.sums,
        }
        part = path.with_suffix(".part")
        torch.save(state, part)
        os.replace(part, path)
        write_log(self.progress.rows, path.with_name("log.csv"))
        draw_curve(self.progress.rows, path.with_name("curve.png"))

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.model.load_state_dict(state["model"])
        if self.average is not None:
            self.average.load_state_dict(state["average"] or state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        torch.set_rng_state(state["random"].cpu())
        self.progress = Progress(state["step"], state["seconds"], list(state["rows"]))
        self.sums = dict(state["sums"])


def _groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    parameters = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _precision(options: LoopOptions) -> contextlib.AbstractContextManager[Any]:
    if options.precision == "fp32":
        return contextlib.nullcontext()
    if options.precision == "bf16":
        return torch.autocast(torch.device(options.device).type, torch.bfloat16)
    raise UsageError(f"unknown precision {options.precision!r}", "use bf16 or fp32")


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Everything a checkpoint holds. Raises UnreadableError for any other file."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return state
    except Exception as error:
        raise UnreadableError(f"{path}: not a checkpoint ({error})", "delete it to start afresh") from error


def write_log(rows: list[dict[str, float]], path: Path) -> None:
    """The log as CSV; columns that a row lacks stay empty."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    part = path.with_suffix(".part")
    with part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: f"{v:.6g}" for k, v in row.items()} for row in rows)
    os.replace(part, path)


def draw_curve(rows: list[dict[str, float]], path: Path) -> None:
    """The losses (left) and the validation scores (right) over steps, as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    columns = list(dict.fromkeys(key for row in rows for key in row if key not in ("step", "seconds", "lr")))
    for key in columns:
        pairs = [(row["step"], row[key]) for row in rows if key in row]
        axes, style = (right, "o-") if key.startswith("val_") else (left, "-")
        axes.plot(*zip(*pairs, strict=True), style, label=key, linewidth=1, markersize=3)
    left.set_yscale("log")
    for axes, title in ((left, "training losses"), (right, "validation")):
        axes.set_title(title)
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize=7)
    part = path.with_suffix(".part")
    figure.savefig(part, format="png", dpi=110)
    os.replace(part, path)
