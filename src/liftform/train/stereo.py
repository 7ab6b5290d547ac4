"""Training of the stereo network: tuples of views to batches, losses, validation, an early look, the run itself.

liftform train stereo --recipe training/stereo.toml
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from .. import recipe as recipes
from ..camera import Camera
from ..recipe import option
from ..zoo.stereo_net import StereoNet
from ..zoo.stereo_warp import relation
from .depth import Views
from .loop import Batch, LoopOptions, Progress, fit
from .photographed import photographed
from .ranks import join, rank
from .stereo_pass import Answer, through
from .warm import warm

#: Errors are cut off here, in steps of the fine stage: a pixel matched wrongly is wrong, not more and more so.
FAR_OFF = 12.0
#: Ranges of depth in which things move farther than so many pixels, from one end to the other, are cut.
REACH_PX = 180.0
#: What the two best neighbours must see of a view, at least, for it to be learned.
SHARED = 0.35


@dataclass(frozen=True)
class StereoOptions:
    """One run of the stereo network."""

    shards: Path = option(Path("out/shards/stereo"), "folder of tuples: `liftform train data stereo`")  # noqa: RUF009
    batch: int = option(2, "tuples a step", low=1)
    neighbours: tuple[int, int, int] = option((2, 3, 4), "neighbours of a view, drawn anew each step")
    depths: tuple[int, int, int] = option((32, 32, 40), "hypotheses of the coarse stage, drawn with them")
    rescan_steps: int = option(200, "steps between looks for new shards (0: never)", low=0)
    validation: int = option(48, "held-out tuples", low=1)


@dataclass(frozen=True)
class StereoRecipe:
    """A whole run: ``[stereo]`` and ``[loop]`` of the recipe file. init: a checkpoint that a new run starts from."""

    threads: int = 1
    init: Path | None = None
    stereo: StereoOptions = field(default_factory=StereoOptions)
    loop: LoopOptions = field(default_factory=LoopOptions)


def read_recipe(path: str | Path, changes: Sequence[str] = ()) -> StereoRecipe:
    """The recipe file with ``changes`` (see ``recipe.changed``); raises UsageError on unknown keys."""
    whole = recipes.read_toml(path)
    whole.pop("data", None)
    tables = recipes.changed(whole, changes)
    options = recipes.build(StereoOptions, tables.pop("stereo", {}), f"{path} [stereo]")
    loop = recipes.build(LoopOptions, tables.pop("loop", {}), f"{path} [loop]")
    return replace(recipes.build(StereoRecipe, tables, str(path)), stereo=options, loop=loop)


def batches(views: Views, options: StereoOptions, first_step: int) -> Iterator[Batch]:
    """Batches from step ``first_step`` on; each step has a generator of its own, so a resumed run sees the same."""
    step = first_step
    while True:
        if options.rescan_steps and step % options.rescan_steps == 0:
            views.scan()
        sizes = np.random.default_rng(step).integers(3, size=2)  # of the step alone: ranks must not wait for each other
        rng = np.random.default_rng([step, rank()])
        tuples = [_drawn(views, options.neighbours[sizes[0]], rng) for _ in range(options.batch)]
        yield collate(tuples, options.depths[sizes[1]], rng)
        step += 1


def _drawn(views: Views, neighbours: int, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """A random tuple, arranged; drawn anew while the neighbours see next to nothing of the view to be learned."""
    for _ in range(8):
        sample = views[int(rng.integers(len(views.places)))]
        count = len(sample["rgb"])
        first = int(rng.integers(count))
        seen = np.array([shared(sample, first, k) if k != first else -1.0 for k in range(count)])
        if np.sort(seen)[-2:].mean() > SHARED:
            break
    order = np.argsort(-seen + rng.uniform(-0.3, 0.3, count))  # mostly those that see much, sometimes another
    order = order[order != first]
    return arranged(sample, neighbours, rng, [first, *order])


def _camera(sample: dict[str, Any], number: int) -> Camera:
    """The camera of one view of a tuple."""
    height, width = sample["depth"].shape[1:]
    fx, fy, cx, cy = (float(v) for v in sample["lens"][number])
    return Camera(width, height, fx, fy, cx, cy, sample["pose"][number])


def shared(sample: dict[str, Any], first: int, other: int, every: int = 8) -> float:
    """The share of what one view of a tuple shows that another shows too, by their depths."""
    height, width = sample["depth"].shape[1:]
    a, b = (_camera(sample, k) for k in (first, other))
    rows, columns = np.mgrid[every // 2 : height : every, every // 2 : width : every]
    z = sample["depth"][first][rows, columns]
    known = np.isfinite(z)
    if not known.any():
        return 0.0
    at, there = b.project(a.unproject(np.stack([columns, rows], -1)[known] + 0.5, z[known]))
    inside = ((at >= 0) & (at < [width, height])).all(-1) & (there > 0)
    x, y = np.where(inside[:, None], at, 0).astype(int).T
    return float((inside & (np.abs(sample["depth"][other][y, x] / np.where(inside, there, 1) - 1) < 0.03)).mean())


def arranged(
    sample: dict[str, Any], neighbours: int, rng: np.random.Generator | None, chosen: Sequence[int] = ()
) -> dict[str, NDArray[Any]]:
    """One tuple with the view to be learned first: mirrored at random, its range of depth a little wider than it is.

    chosen: the views' order, by default their own. Returns rgb (V, H, W, 3) uint8; depth (H, W), NaN
    where unknown, empty (H, W) bool; turn (V - 1, 3, 3), shift (V - 1, 3), see ``stereo_warp``; ends (2,): inverse
    depth of the nearest and farthest place.
    """
    order = list(chosen or range(len(sample["rgb"])))[: neighbours + 1]
    rgb, depth = sample["rgb"][order], sample["depth"][order[0]]
    height, width = depth.shape
    cameras = [_camera(sample, k) for k in order]
    pairs = [relation(cameras[0], other) for other in cameras[1:]]
    turn, shift = np.stack([t for t, _ in pairs]), np.stack([s for _, s in pairs])
    for axis, length in ((1, width), (0, height)):
        if rng is not None and rng.random() < 0.5:
            flip = np.eye(3, dtype=np.float32)
            place = 1 - axis
            flip[place, place], flip[place, 2] = -1, length
            turn, shift = (flip @ turn @ flip).astype(np.float32), (shift @ flip.T).astype(np.float32)
            rgb, depth = np.flip(rgb, axis + 1), np.flip(depth, axis)
    empty = ~np.isfinite(depth)
    depth = np.where(empty, np.nan, depth)
    known = depth[~empty]
    near, far = (float(v) for v in (np.quantile(known, (0.002, 0.998)) if len(known) else (1.0, 2.0)))
    far = min(far, 60 * near)
    wide = (0.85, 1.2) if rng is None else (rng.uniform(0.55, 0.97), np.exp(rng.uniform(0.03, 0.8)))
    ends = np.array([1 / (near * wide[0]), 1 / (max(far, 1.02 * near) * wide[1])], np.float32)
    ends = _narrowed(ends, known, _moved(turn, shift, ends, (height, width)), rng)
    inside = (depth > 1 / ends[0]) & (depth < 1 / ends[1])
    depth = np.where(inside, depth, np.nan).astype(np.float32)
    return {"rgb": rgb, "depth": depth, "empty": empty, "turn": turn, "shift": shift, "ends": ends}


def _moved(turn: NDArray[Any], shift: NDArray[Any], ends: NDArray[np.float32], size: tuple[int, int]) -> float:
    """By how many pixels the picture's middle moves from one end of the range to the other, in the neighbour where it
    moves most."""
    middle = np.array([size[1] / 2, size[0] / 2, 1.0])
    first, last = (turn @ middle + shift * q for q in ends)
    places = [p[:, :2] / np.maximum(p[:, 2:], 1e-3) for p in (first, last)]
    return float(np.linalg.norm(places[0] - places[1], axis=1).max())


def _narrowed(
    ends: NDArray[np.float32], known: NDArray[np.floating], moved: float, rng: np.random.Generator | None
) -> NDArray[np.float32]:
    """The range, or a part of it about one of the known depths, in which nothing moves farther than ``REACH_PX``: in
    use hypotheses lie no coarser than that."""
    if moved <= REACH_PX or not len(known):
        return ends
    pick = np.median(known) if rng is None else known[rng.integers(len(known))]
    length = (ends[0] - ends[1]) * REACH_PX / moved
    low = 1 / pick - length * (0.5 if rng is None else rng.uniform(0.1, 0.9))
    low = np.clip(low, ends[1], ends[0] - length)
    return np.array([low + length, low], np.float32)


def collate(tuples: list[dict[str, NDArray[Any]]], depths: int, rng: np.random.Generator | None) -> Batch:
    """Tensors; pictures (B, V, 3, H, W) in [0, 1], some photographed anew, each its own way, with ``rng``."""
    arrays = {k: torch.from_numpy(np.ascontiguousarray(np.stack([t[k] for t in tuples]))) for k in tuples[0]}
    images = arrays.pop("rgb").permute(0, 1, 4, 2, 3).float() / 255
    if rng is not None and rng.random() < 0.5:
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        shown = photographed(images.flatten(0, 1), generator).reshape(images.shape)
        images = torch.lerp(images, shown, float(rng.uniform(0.2, 1.0)))
    arrays["turn"], arrays["shift"] = arrays["turn"].float(), arrays["shift"].float()
    return {"images": images, "depths": torch.tensor(depths), **arrays}


def loss_fn(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """All losses of one batch: each stage picks the right hypothesis, and the last says how far off it is."""
    answer = through(cast(StereoNet, model), batch)
    truth, losses = 1 / batch["depth"], dict[str, Tensor]()
    total = torch.zeros(())
    for name, stage, weight in zip(("coarse", "middle", "fine"), answer.stages, (1.0, 1.0, 1.0), strict=True):
        scale = truth.shape[-1] // stage.base.shape[-1]
        wanted = (_at(truth, scale, stage.step) - stage.base) / stage.step[:, None, None]
        count = stage.found.logits.shape[1]
        known = wanted.isfinite() & (wanted > -0.5) & (wanted < count - 0.5)
        wanted = torch.where(known, wanted, torch.zeros_like(wanted)).clamp(0, count - 1)
        right = _between(stage.found.logits.log_softmax(1), wanted)
        off = (stage.found.index - wanted).abs().clamp(max=FAR_OFF)
        losses[name] = _mean(-right + 0.5 * off, known)
        losses[f"{name}_off"] = _mean(off, known).detach()
        total = total + weight * losses[name]
    losses["depth"], losses["error"] = _last(answer, truth, batch["empty"])
    return {"loss": total + losses["depth"] + 0.3 * losses["error"], **losses}


def _last(answer: Answer, truth: Tensor, empty: Tensor) -> tuple[Tensor, Tensor]:
    """Mean error of the whole picture in steps of the fine stage, cut off, and what the forecast of it costs."""
    off = ((answer.inverse - truth) / answer.step[:, None, None]).abs()
    known = off.isfinite()
    off = torch.where(known, off, torch.zeros_like(off)).clamp(max=FAR_OFF)
    forecast = answer.log_error.clamp(-4, 5)
    told = torch.where(empty, torch.full_like(off, FAR_OFF), off.detach())
    cost = told * (-forecast).exp() + forecast
    return _mean(off, known), _mean(cost, known | empty)


def _at(truth: Tensor, scale: int, step: Tensor) -> Tensor:
    """Truth (B, H, W) at a coarser size: the mean of the four pixels about each coarse one's middle, which is right on
    planes; one of them where they differ by more than a step (B,), at edges."""
    half = scale // 2
    picked = truth[:, half::scale, half::scale]
    four = [truth[:, half - i :: scale, half - j :: scale] for i in (0, 1) for j in (0, 1)]
    mean = torch.stack(four).mean(0)
    return torch.where((mean - picked).abs() < step[:, None, None], mean, picked)


def _between(scores: Tensor, wanted: Tensor) -> Tensor:
    """Log probability (B, h, w) of a place between two hypotheses, shared out to both. scores (B, D, h, w)."""
    low = wanted.floor().clamp(max=scores.shape[1] - 2).long()
    share = wanted - low
    both = scores.gather(1, torch.stack([low, low + 1], 1))
    return both[:, 0] * (1 - share) + both[:, 1] * share


def _mean(values: Tensor, known: Tensor) -> Tensor:
    return torch.where(known, values, torch.zeros_like(values)).sum() / known.sum().clamp_min(1)


def held_out(options: StereoOptions) -> list[Batch]:
    """Held-out tuples, two a batch, always the same."""
    views = Views(options.shards, held_out=True)
    sound = [
        n
        for n in range(len(views.places))
        if np.sort([shared(views[n], 0, k) for k in (1, 2, 3, 4)])[-2:].mean() > SHARED
    ]
    numbers = np.array(sound)[np.linspace(0, len(sound) - 1, min(options.validation, len(sound))).astype(int)]
    tuples = [arranged(views[int(number)], 4, None) for number in numbers]
    return [collate(tuples[i : i + 2], 32, None) for i in range(0, len(tuples), 2)]


@torch.no_grad()
def validate(model: nn.Module, held: list[Batch]) -> dict[str, float]:
    """Means over the held-out tuples: the losses; "median" of relative error; shares within 1 % and 0.25 %."""
    sums: dict[str, float] = {}
    model.eval()
    for batch in held:
        answer = through(cast(StereoNet, model), batch)
        error = (batch["depth"] * answer.inverse - 1).abs()
        error = error[error.isfinite()]
        scores = {"median": float(error.median()), "within_1": float((error < 0.01).float().mean())}
        scores["within_025"] = float((error < 0.0025).float().mean())
        for key, value in (loss_fn(model, batch) | {k: torch.tensor(v) for k, v in scores.items()}).items():
            sums[key] = sums.get(key, 0.0) + float(value) / len(held)
    return sums


@torch.no_grad()
def look(model: nn.Module, held: list[Batch], path: Path) -> None:
    """A PNG of held-out tuples: picture, true and found inverse depth, the forecast error."""
    columns = []
    for batch in held[:: max(1, len(held) // 6)][:6]:
        answer = through(cast(StereoNet, model), batch)
        low, high = batch["ends"][0, 1], batch["ends"][0, 0]
        truth = (1 / batch["depth"][0]).nan_to_num(0.0)
        maps = [(m - low) / (high - low) for m in (truth, answer.inverse[0])] + [answer.log_error[0].exp() / 4]
        rows = [batch["images"][0, 0].permute(1, 2, 0)] + [m[..., None].expand(-1, -1, 3) for m in maps]
        columns.append(torch.cat(rows, 0).float().numpy())
    sheet = np.concatenate(columns, 1).clip(0, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((sheet * 255).astype(np.uint8)).save(path)


def train_stereo(recipe: StereoRecipe, log: Any = print) -> Progress:
    """Train, or go on training, the network of ``recipe``; checkpoints and log lie beside ``loop.checkpoint``."""
    options, loop = recipe.stereo, recipe.loop
    torch.set_num_threads(recipe.threads)
    join(loop.device)
    views, held = Views(options.shards, held_out=False), held_out(options)
    log(f"{len(views.places)} tuples to train on")

    def on_checkpoint(model: nn.Module, step: int) -> dict[str, float]:
        scores = validate(model, held)
        look(model, held, loop.checkpoint.with_name("look.png"))
        log(f"step {step}: " + "  ".join(f"{k} {v:.4f}" for k, v in scores.items()))
        return scores

    torch.manual_seed(loop.seed)
    model = StereoNet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if recipe.init is not None:
        log(f"{warm(model, recipe.init)} tensors from {recipe.init}")
    return fit(model, lambda step: batches(views, options, step), loss_fn, loop, on_checkpoint)
