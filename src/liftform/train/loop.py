"""The training loop of every network: time- or step-budgeted, resumable, on CPU or CUDA, in one process or several.

Under ``torchrun`` every process (rank) draws its own batches and the gradients are averaged; rank 0 keeps the clock,
the log and the checkpoints. On CPUs two processes of one thread train faster than one process of two threads.

What may go wrong has an answer: Ctrl-C and SIGTERM end the run after the step and write a checkpoint; a step without
finite gradients is skipped, too many in a row end the run with the batch saved for ``liftform train replay``; a
checkpoint that cannot be written is told and tried again later; a damaged one is passed over for the one before.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import DivergedError, OutputError, TerminatedError, UsageError
from ..recipe import option
from . import checkpoints, memory, muon, ranks, replay
from .curves import draw_curve, write_log

_LOG = logging.getLogger(__name__)

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
    optimiser: str = option("muon", "muon (matrices and kernels inside the network; AdamW for the rest) or adamw")
    weight_decay: float = option(0.02, "decay of matrices and kernels; biases and norms have none", low=0)
    warmup_steps: int = option(200, "steps of linear warm-up", low=0)
    final_lr: float = option(0.0, "learning rate at the end, as a share of the peak", low=0, high=1)
    decay: float = option(1.0, "last share of the budget over which the rate falls; held before", low=0, high=1)
    ema: float = option(0.998, "decay of the averaged weights (0: no average)", low=0, high=1)
    clip: float = option(1.0, "largest gradient norm", low=0)
    precision: str = option("bf16", "bf16 (autocast) or fp32")
    device: str = option("cpu", "cpu or cuda (under torchrun each process its own GPU)")
    checkpoint: Path = option(Path("out/last.pt"), "log.csv and curve.png lie beside it")  # noqa: RUF009
    every_s: float = option(180.0, "seconds between checkpoints", low=1)
    log_every: int = option(20, "steps averaged into one line of the log", low=1)
    patience: int = option(20, "steps in a row without finite gradients that end the run", low=1)
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

    Ctrl-C and SIGTERM are heard at the end of the step, on all ranks; the checkpoint is written, then KeyboardInterrupt
    or TerminatedError is raised. Any other error writes a checkpoint of the last whole step before it is passed on.
    Raises UsageError without a budget, DivergedError (see ``LoopOptions.patience``), UnreadableError when all
    checkpoints are damaged, OutputError when the last one cannot be written.
    """
    if options.minutes <= 0 and options.max_steps <= 0:
        raise UsageError("a training run needs a budget", "set minutes or max_steps in the recipe")
    ranks.join(options.device)
    memory.keep()
    run = _Run(model, loss_fn, options)
    began = run.progress.step
    source = batches(began) if callable(batches) else batches
    try:
        with _Signals() as signals:
            while run.progress.share(options) < 1.0:
                run.advance(next(source), signals)
                if signals.stop:
                    raise signals.as_error()
                if ranks.rank() == 0 and run.due():
                    run.checkpoint(on_checkpoint)
    except DivergedError:  # the last good checkpoint stays
        raise
    except BaseException:
        if ranks.rank() == 0 and run.progress.step > began:
            run.save()
        raise
    if ranks.rank() == 0:
        run.checkpoint(on_checkpoint, last=True)
    if run.average is not None:
        model.load_state_dict(run.average.state_dict())
    return run.progress


class _Signals:
    """While inside, Ctrl-C and SIGTERM (sent before a cluster takes a machine back) only set ``stop``; twice, they act.

    A step is never cut in the middle, and all ranks stop after the same one.
    """

    def __init__(self) -> None:
        self.stop = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Signals:
        if threading.current_thread() is threading.main_thread():
            self._before = {n: signal.signal(n, self._hear) for n in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.stop:
            raise self.as_error()
        self.stop = number

    def as_error(self) -> BaseException:
        """What the signal means."""
        return TerminatedError("told to stop") if self.stop == signal.SIGTERM else KeyboardInterrupt()


class _Run:
    """Everything that a checkpoint holds, and the clock."""

    def __init__(self, model: nn.Module, loss_fn: LossFn, options: LoopOptions) -> None:
        torch.manual_seed(options.seed)
        self.options = options
        self.device = ranks.own_device(options.device)
        self.model = model.to(self.device).train()
        self.losses = ranks.together(ranks.Losses(model, loss_fn), self.device)
        self.average = copy.deepcopy(model).eval().requires_grad_(False) if options.ema > 0 else None
        self.optimisers = _optimisers(model, options)
        self.progress = Progress()
        self.sums: dict[str, float | Tensor] = {}
        self.counted = self.skipped = self.bad = 0
        found = checkpoints.newest(options.checkpoint)
        self.sound = found is None or found[1] == options.checkpoint
        if found is not None:
            self.restore(found[0], found[1])
        if ranks.agree(0.0, self.progress.step, self.device)[1] != self.progress.step:
            hint = "let all machines share the checkpoint's folder"
            raise UsageError(f"{options.checkpoint}: not the same on every rank", hint)
        self.buffers = list(model.buffers())
        self.clock = self.saved_at = time.monotonic()

    def advance(self, batch: Batch, signals: _Signals) -> None:
        """One optimiser step, and the clock."""
        for group in (group for optimiser in self.optimisers for group in optimiser.param_groups):
            group["lr"] = learning_rate(self.progress, self.options)
        batch = {k: v.to(self.device, non_blocking=True) for k, v in batch.items()}
        before = replay.Before.of(self.buffers)
        self.model.zero_grad(set_to_none=True)
        with precision(self.options.precision, self.device):
            losses = self.losses(batch)
        losses["loss"].backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.options.clip)
        if bool(torch.isfinite(norm)):
            for optimiser in self.optimisers:
                optimiser.step()
            self._average()
            self._count(losses)
            self.bad = 0
        else:
            before.restore(self.buffers)
            self._refuse(batch, losses, before)
        self.progress.step += 1
        self._tick()
        self.progress.seconds, signals.stop = ranks.agree(self.progress.seconds, signals.stop, self.device)
        self._log()

    def _refuse(self, batch: Batch, losses: dict[str, Tensor], before: replay.Before) -> None:
        """Leave a step out; after ``patience`` of them save what could not be learned, and give up."""
        self.bad += 1
        self.skipped += 1
        step = self.progress.step
        if self.bad == 1:
            _LOG.warning("step %d: no finite gradient (loss %s): left out", step, float(losses["loss"].detach()))
        if self.bad < self.options.patience:
            return
        path = self.options.checkpoint.with_name(f"bad_{step}_{ranks.rank()}.pt")
        replay.save(path, self.model, batch, losses, step, self.options.precision, before)
        message = f"training diverged: {self.bad} steps in a row without a finite gradient; the last one is in {path}"
        raise DivergedError(message, f"see `liftform train replay {path}`, lower lr, or mend the data")

    def _tick(self) -> None:
        now = time.monotonic()
        self.progress.seconds += now - self.clock
        self.clock = now

    def _average(self) -> None:
        if self.average is None:
            return
        decay = min(self.options.ema, (1.0 + self.progress.step) / (10.0 + self.progress.step))
        mine, theirs = (list(m.state_dict().values()) for m in (self.average, self.model))
        with torch.no_grad():
            floats = [(a, b) for a, b in zip(mine, theirs, strict=True) if a.is_floating_point()]
            torch._foreach_lerp_([a for a, _ in floats], [b for _, b in floats], 1.0 - decay)
            for a, b in zip(mine, theirs, strict=True):
                if not a.is_floating_point():
                    a.copy_(b)

    def _count(self, losses: dict[str, Tensor]) -> None:
        for key, value in losses.items():  # stays on the device: reading it would make a GPU wait every step
            self.sums[key] = self.sums.get(key, 0.0) + value.detach().double()
        self.counted += 1

    def _log(self) -> None:
        if self.progress.step % self.options.log_every:
            return
        row = {"step": float(self.progress.step), "seconds": round(self.progress.seconds, 1)}
        row["lr"] = learning_rate(self.progress, self.options)
        means = [float(v) / self.counted for v in self.sums.values()]
        row.update(zip(self.sums, ranks.mean(means, self.device), strict=True))
        if self.skipped:
            row["skipped"] = float(self.skipped)
        self.progress.rows.append(row)
        self.sums, self.counted, self.skipped = {}, 0, 0

    def due(self) -> bool:
        """Whether it is time for a checkpoint."""
        return time.monotonic() - self.saved_at >= self.options.every_s

    def checkpoint(self, on_checkpoint: OnCheckpoint | None, last: bool = False) -> None:
        """Validate the averaged weights, then write checkpoint, log and curve; validation counts as time spent.

        A disk that refuses is told, and tried again when the next one is due; at the end of the run it is an error.
        """
        if on_checkpoint is not None:
            judged = self.average or self.model
            was_training = judged.training
            scores = on_checkpoint(judged.eval(), self.progress.step) or {}
            judged.train(was_training)
            if self.progress.rows:
                self.progress.rows[-1].update({f"val_{k}": float(v) for k, v in scores.items()})
        self._tick()
        self.saved_at = time.monotonic()
        try:
            self.save()
        except OutputError as error:
            if last:
                raise
            _LOG.warning("step %d: %s", self.progress.step, error)

    def save(self) -> None:
        """The checkpoint, log.csv and curve.png, each written whole or not at all. Raises OutputError."""
        path = self.options.checkpoint
        state = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict() if self.average is not None else {},
            "optimiser": [optimiser.state_dict() for optimiser in self.optimisers],
            "random": torch.get_rng_state(),
            "step": self.progress.step,
            "seconds": self.progress.seconds,
            "rows": self.progress.rows,
            "sums": {k: float(v) for k, v in self.sums.items()},
            "counted": self.counted,
            "skipped": self.skipped,
        }
        checkpoints.write(state, path, keep=self.sound)
        self.sound = True
        try:
            write_log(self.progress.rows, path.with_name("log.csv"))
            draw_curve(self.progress.rows, path.with_name("curve.png"))
        except OSError as error:
            raise OutputError(f"{path.parent}: cannot write the log ({error})", "free some space there") from error

    def restore(self, state: dict[str, Any], where: Path) -> None:
        """Go on from a checkpoint. Raises UsageError for one that holds weights alone."""
        if "optimiser" not in state:
            raise UsageError(f"{where}: weights alone, not a run to go on with", "give it as init, under another name")
        # A checkpoint of an earlier version holds the state of AdamW alone.
        saved = state["optimiser"] if isinstance(state["optimiser"], list) else [state["optimiser"]]
        if len(saved) != len(self.optimisers):
            hint = "set loop.optimiser as it was, or give the checkpoint as init of a new run"
            raise UsageError(f"{where}: begun with another optimiser than {self.options.optimiser}", hint)
        self.model.load_state_dict(state["model"])
        if self.average is not None:
            self.average.load_state_dict(state["average"] or state["model"])
        for optimiser, its in zip(self.optimisers, saved, strict=True):
            optimiser.load_state_dict(its)
        for group in self.optimisers[0].param_groups:
            group["fused"], group["foreach"] = True, None  # whatever the run was begun with
        torch.set_rng_state(state["random"].cpu())
        self.progress = Progress(state["step"], state["seconds"], list(state["rows"]))
        self.sums = dict(state["sums"])
        self.counted = state.get("counted", state["step"] % self.options.log_every)
        self.skipped = state.get("skipped", 0)


def _optimisers(model: nn.Module, options: LoopOptions) -> list[torch.optim.Optimizer]:
    """AdamW for all or for what Muon leaves; then Muon. Raises UsageError for any other name."""
    if options.optimiser not in ("muon", "adamw"):
        raise UsageError(f"unknown optimiser {options.optimiser!r}", "use muon or adamw")
    inner = muon.hidden(model) if options.optimiser == "muon" else []
    known = {id(p) for p in inner}
    others = [p for p in model.parameters() if p.requires_grad and id(p) not in known]
    groups = [
        {"params": [p for p in others if p.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0},
    ]
    # One fused kernel for all weights: half the time of the default on a CPU too.
    adam = torch.optim.AdamW(groups, lr=options.lr, betas=(0.9, 0.98), fused=True)
    return [adam, muon.Muon(inner, options.lr, options.weight_decay)] if inner else [adam]


def precision(name: str, device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """The context that a forward pass runs in. Raises UsageError for a name that is neither bf16 nor fp32."""
    if name == "fp32":
        return contextlib.nullcontext()
    if name == "bf16":
        return torch.autocast(device.type, torch.bfloat16)
    raise UsageError(f"unknown precision {name!r}", "use bf16 or fp32")
