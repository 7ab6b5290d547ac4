"""Training of the floor-plan network: tiles of drawn plans in shards, varied batches, losses, validation, the run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from .. import recipe as recipes
from ..recipe import option
from ..zoo.plan_net import CLASSES, PX_PER_M, PlanNet
from . import ranks, shards
from .loop import Batch, LoopOptions, Progress, fit
from .plans import damage, drawn, layouts
from .warm import warm

#: How much an error in a class counts: what is thin or rare counts more.
_WEIGHTS = {"wall": 2.0, "window": 3.0, "door": 3.0, "opening": 3.0, "railing": 3.0, "swing": 1.5, "text": 0.5}
#: Classes that carry the scale, and those whose overlap is trained on too.
_SHELL = [CLASSES.index(name) for name in ("wall", "window", "door", "opening")]
_OVERLAPPED = [CLASSES.index(name) for name in ("wall", "window", "door", "opening", "railing", "swing")]


@dataclass(frozen=True)
class PlanData:
    """What tiles are drawn, and how batches are drawn from them."""

    layouts: Path = option(Path("plans/truth"), "annotated flats (r2v_*.json); those of the test sheets are left out")  # noqa: RUF009
    invented: float = option(0.6, "share of tiles of homes made up here", low=0, high=1)
    shards: Path = option(Path("out/plan_shards"), "folder of drawn tiles")  # noqa: RUF009
    count: int = option(30, "files of tiles", low=1)
    tiles: int = option(100, "tiles in a file", low=1)
    tile: int = option(384, "pixels of a tile", low=64)
    scales: tuple[float, float] = option((20.0, 64.0), "pixels a metre, least and most")
    batch: int = option(12, "tiles in a step", low=2)
    sizes: tuple[int, int, int, int] = option((192, 224, 256, 256), "sizes of crops, drawn anew each step")
    validation: int = option(48, "held-out tiles", low=1)
    seed: int = option(0, "seed of tiles and crops", low=0)


@dataclass(frozen=True)
class PlanRecipe:
    """A whole run: ``[data]`` and ``[loop]`` of the recipe file.

    threads: of torch. init: a checkpoint or ONNX file whose weights a new run starts from.
    """

    data: PlanData = field(default_factory=PlanData)
    loop: LoopOptions = field(default_factory=LoopOptions)
    threads: int = 1
    init: Path | None = None


def read_recipe(path: str | Path, changes: Sequence[str] = ()) -> PlanRecipe:
    """The recipe file with ``changes`` (see ``recipe.changed``); raises UsageError on unknown keys."""
    tables = recipes.changed(recipes.read_toml(path), changes)
    data = recipes.build(PlanData, tables.pop("data", {}), f"{path} [data]")
    loop = recipes.build(LoopOptions, tables.pop("loop", {}), f"{path} [loop]")
    return replace(recipes.build(PlanRecipe, tables, str(path)), data=data, loop=loop)


def prepare(data: PlanData) -> None:
    """Draw the shards that are not there yet."""
    data.shards.mkdir(parents=True, exist_ok=True)
    for k in range(data.count):
        path = data.shards / f"tiles_{k:04d}.tar"
        if not path.exists():
            numbers = range(k * data.tiles, (k + 1) * data.tiles)
            shards.write(path, (tile(data, number, held=False) for number in numbers))


def tile(data: PlanData, number: int, held: bool) -> shards.Sample:
    """One drawn tile: "tile" (T, T, 2) uint8 lightness and class, "scale" pixels a metre. Same number, same tile."""
    rng = np.random.default_rng([data.seed, 71 if held else 17, number])
    while True:
        try:
            files = layouts.corpus(data.layouts, held)
            if not files or rng.random() < data.invented:
                layout = layouts.invented(rng)
            else:
                layout = layouts.varied(layouts.annotated(files[int(rng.integers(len(files)))]), rng)
            scale = float(np.exp(rng.uniform(*np.log(data.scales))))
            image, labels = damage.damaged(*drawn.picture(layout, scale, data.tile, rng), rng)
        except ValueError:  # a home that cannot be built: the next one
            continue
        whole = np.dstack([image, labels])
        return {"key": f"{number:07d}", "tile": whole, "scale": np.float32(scale)}


def batches(data: PlanData, first: int) -> Iterator[Batch]:
    """Batches from step ``first`` on: "image", "labels" (B, S, S) uint8, "scale" (B,) pixels a metre.

    Batch n is the same however the run was cut.
    """
    paths = sorted(data.shards.glob("tiles_*.tar"))
    samples = shards.stream(paths, data.seed, first * data.batch, ranks.rank(), ranks.world(), 4 * data.tiles)
    for step, _ in enumerate(iter(int, 1), first):
        rng = np.random.default_rng([data.seed, 43, step])
        size = int(rng.choice(data.sizes))
        rows = [_varied(next(samples), size, rng) for _ in range(data.batch)]
        tiles = torch.from_numpy(np.stack([row[0] for row in rows]))
        scales = torch.tensor([row[1] for row in rows], dtype=torch.float32)
        yield {"image": tiles[..., 0].contiguous(), "labels": tiles[..., 1].contiguous(), "scale": scales}


def _varied(sample: shards.Sample, size: int, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """A crop of a tile, turned by quarters, mirrored, zoomed a little, its greys bent."""
    whole, scale = sample["tile"], float(sample["scale"])
    zoom = float(np.exp(rng.uniform(-0.25, 0.25))) if rng.random() < 0.5 else 1.0
    side = min(whole.shape[0], round(size / zoom))
    x, y = (int(rng.integers(whole.shape[0] - side + 1)) for _ in range(2))
    crop = np.ascontiguousarray(whole[y : y + side, x : x + side])
    if side != size:
        image = Image.fromarray(crop[..., 0]).resize((size, size), Image.Resampling.BILINEAR)
        labels = Image.fromarray(crop[..., 1]).resize((size, size), Image.Resampling.NEAREST)
        crop, scale = np.dstack([np.asarray(image), np.asarray(labels)]), scale * size / side
    crop = np.rot90(crop, int(rng.integers(4)))
    crop = (crop[:, ::-1] if rng.random() < 0.5 else crop).copy()
    if rng.random() < 0.4:
        steps = np.linspace(0, 1, 256) ** np.exp(rng.normal(0, 0.35))
        crop[..., 0] = np.rint(255 * steps).astype(np.uint8)[crop[..., 0]]
    return crop, scale


def loss(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """Weighted cross entropy, soft overlap of the thin classes, and the scale's error where walls are.

    Soft IoU: Rahman & Wang, "Optimizing Intersection-Over-Union in Deep Neural Networks", 2016.
    """
    image = batch["image"][:, None].float() / 255
    labels = batch["labels"].long()
    answer = model(image).float()
    logits, log_scale = answer[:, :-1], answer[:, -1]
    weight = torch.tensor([_WEIGHTS.get(name, 1.0) for name in CLASSES], device=logits.device)
    cross = F.cross_entropy(logits, labels, weight)
    guess = logits.softmax(1)[:, _OVERLAPPED]
    truth = torch.stack([labels == k for k in _OVERLAPPED], 1).float()
    both, either = (guess * truth).sum((0, 2, 3)), (guess + truth - guess * truth).sum((0, 2, 3))
    iou = 1 - ((both + 20) / (either + 20)).mean()
    shell = torch.isin(labels, torch.tensor(_SHELL, device=labels.device)).float()
    wanted = torch.log2(batch["scale"] / PX_PER_M)[:, None, None]
    scale = ((log_scale - wanted).abs() * shell).sum() / shell.sum().clamp(min=1)
    return {"loss": cross + iou + 0.3 * scale, "cross": cross, "iou": iou, "scale": scale}


def validation_set(data: PlanData) -> Batch:
    """Tiles of held-out flats and of homes never drawn in training; always the same."""
    rows = [tile(data, k, held=True) for k in range(data.validation)]
    tiles = torch.from_numpy(np.stack([row["tile"] for row in rows]))
    scales = torch.tensor([float(row["scale"]) for row in rows])
    return {"image": tiles[..., 0].contiguous(), "labels": tiles[..., 1].contiguous(), "scale": scales}


@torch.no_grad()
def judge(model: nn.Module, held: Batch) -> tuple[dict[str, float], Tensor]:
    """IoU of each class over all pixels, the median error of the scale; and the classes told (N, T, T)."""
    told, off = [], []
    for i in range(0, len(held["image"]), 8):
        image = held["image"][i : i + 8, None].float() / 255
        answer = model(image).float()
        told.append(answer[:, :-1].argmax(1).byte())
        for k in range(len(image)):
            shell = torch.isin(held["labels"][i + k], torch.tensor(_SHELL, dtype=torch.uint8))
            if shell.any():
                wanted = math.log2(float(held["scale"][i + k]) / PX_PER_M)
                off.append(abs(float(answer[k, -1][shell].median()) - wanted))
    guess = torch.cat(told)
    scores = {"scale": float(np.median(off))}
    for name in ("room", "wall", "window", "door", "opening", "railing", "swing", "stairs", "fixture"):
        a, b = guess == CLASSES.index(name), held["labels"] == CLASSES.index(name)
        scores[name] = float((a & b).sum() / (a | b).sum().clamp(min=1))
    return scores, guess


_COLOURS = np.array(
    [(255, 255, 255), (225, 238, 225), (0, 0, 0), (0, 150, 255), (235, 0, 0), (255, 0, 255), (60, 60, 160),
     (255, 215, 110), (130, 130, 190), (160, 70, 200), (190, 235, 200)], np.uint8)  # fmt: skip


def look(held: Batch, guess: Tensor, path: Path, count: int = 8) -> None:
    """A PNG of held-out tiles over their true and told classes."""
    drawings = np.repeat(held["image"][:count].numpy()[..., None], 3, -1)
    rows = [drawings, _COLOURS[held["labels"][:count].numpy()], _COLOURS[guess[:count].numpy()]]
    Image.fromarray(np.concatenate([np.concatenate(list(row), 1) for row in rows], 0)).save(path)


def train_plan(recipe: PlanRecipe) -> Progress:
    """Draw what is missing, train (or go on training), leave checkpoint, log, curve and look in the run's folder."""
    torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.loop.seed)
    prepare(recipe.data)
    held = validation_set(recipe.data)
    model = PlanNet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if recipe.init is not None:
        warm(model, recipe.init)

    def check(average: nn.Module, step: int) -> dict[str, float]:
        scores, guess = judge(average, held)
        recipe.loop.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        look(held, guess, recipe.loop.checkpoint.with_name("look.png"))
        return scores

    return fit(model, lambda first: batches(recipe.data, first), loss, recipe.loop, check)
