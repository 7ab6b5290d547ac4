"""Training of the foreground network: shards, endless batches of composites, losses, validation, the run itself."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from .. import recipe as recipes
from ..recipe import option
from ..zoo.mask_net import MaskNet
from . import backgrounds, cutouts
from .composites import Bank, composite, open_bank
from .loop import Batch, LoopOptions, Progress, fit
from .textures import ByteImage


@dataclass(frozen=True)
class MaskData:
    """What the composites are made of, and how batches are drawn."""

    manifest: Path = option(Path("objects/manifest.jsonl"), "the corpus; only its train split is read")  # noqa: RUF009
    shards: Path = option(Path("out/mask_shards"), "folder of prepared cut-outs and backgrounds")  # noqa: RUF009
    render_size: int = option(256, "pixels of a rendered frame", low=32)
    views: int = option(3, "views of each object that is not from a kit", low=1)
    kit_views: int = option(1, "views of each kit object", low=1)
    family_cap: int = option(24, "most objects of one family", low=1)
    object_shards: int = option(24, "files that the cut-outs are spread over", low=1)
    background_shards: int = option(12, "files of 200 backgrounds", low=1)
    textures: int = option(500, "textures for reskinning", low=1)
    workers: int = option(2, "processes that prepare shards", low=1)
    batch: int = option(24, "pictures in a step", low=3)
    sizes: tuple[int, int, int, int] = option((128, 128, 128, 160), "picture sizes, drawn anew each step")
    late_sizes: tuple[int, int, int, int] = option((192, 192, 224, 256), "sizes from step late_from on")
    late_from: int = option(1_000_000, "step from which pictures are large: small ones teach more a second", low=0)
    loaders: int = option(1, "processes that compose pictures: 0 or 1", low=0, high=1)
    validation: int = option(128, "held-out composites", low=1)
    validation_size: int = option(256, "their size", low=32)
    seed: int = option(0, "seed of shards and composites", low=0)


@dataclass(frozen=True)
class MaskRecipe:
    """A whole run: ``[data]`` and ``[loop]`` of the recipe file, and the number of threads."""

    data: MaskData = field(default_factory=MaskData)
    loop: LoopOptions = field(default_factory=LoopOptions)
    threads: int = 1


def read_recipe(path: str | Path) -> MaskRecipe:
    """The recipe file; raises UsageError on unknown keys."""
    tables = recipes.read_toml(path)
    data = recipes.build(MaskData, tables.pop("data", {}), f"{path} [data]")
    loop = recipes.build(LoopOptions, tables.pop("loop", {}), f"{path} [loop]")
    return replace(recipes.build(MaskRecipe, tables, str(path)), data=data, loop=loop)


def prepare(data: MaskData) -> None:
    """Write the shards that are not there yet: textures, backgrounds, blobs, rendered objects."""
    if not (data.shards / "textures_000.json").exists():
        cutouts.write_shard(data.shards / "textures_000", backgrounds.texture_bank(data.textures, 256, data.seed))
    for k in range(data.background_shards):
        if not (data.shards / f"backgrounds_{k:03d}.json").exists():
            images = backgrounds.bank(200, 320, data.seed, 200 * k)
            cutouts.write_shard(data.shards / f"backgrounds_{k:03d}", images)
    rows = cutouts.plan(cutouts.corpus(data.manifest), data.views, data.kit_views, data.family_cap)
    cutouts.prepare(rows, data.shards, data.render_size, data.seed, data.object_shards, data.workers)


class Stream(IterableDataset[Batch]):
    """Endless batches from step ``first`` on: a third fresh composites, the rest those of 24 and 61 steps ago, varied.

    Composing costs nearly as much as training on the result, so each picture is used three times. A stream that starts
    in the middle recomputes what it would have remembered: batch n is the same however the run was cut.
    """

    def __init__(self, bank: Bank, data: MaskData, first: int, lags: tuple[int, int] = (24, 61)) -> None:
        self.bank, self.data, self.first, self.lags = bank, data, first, lags
        self.fresh: dict[int, list[tuple[ByteImage, ByteImage]]] = {}

    def __iter__(self) -> Iterator[Batch]:
        for step in itertools.count(self.first):
            rng = np.random.default_rng([self.data.seed, 31, step])
            size = self._size(step)
            old = [pair for lag in self.lags for pair in self._composed(step - lag if step >= lag else step // 2)]
            pairs = [*self._composed(step), *(_varied(pair, size, rng) for pair in old)]
            image, alpha = (torch.from_numpy(np.stack(part)) for part in zip(*pairs, strict=True))
            yield {"image": image, "alpha": alpha}

    def _size(self, step: int) -> int:
        sizes = self.data.sizes if step < self.data.late_from else self.data.late_sizes
        return int(np.random.default_rng([self.data.seed, 32, step]).choice(sizes))

    def _composed(self, step: int) -> list[tuple[ByteImage, ByteImage]]:
        if step not in self.fresh:
            share = self.data.batch // 3
            numbers = range(step * share, (step + 1) * share)
            self.fresh[step] = [composite(self.bank, self._size(step), self.data.seed, i) for i in numbers]
        for old in [key for key in self.fresh if key < max(self.fresh) - max(self.lags)]:
            del self.fresh[old]
        return self.fresh[step]


def _varied(pair: tuple[ByteImage, ByteImage], size: int, rng: np.random.Generator) -> tuple[ByteImage, ByteImage]:
    """The same picture mirrored, cropped a little, its channels scaled."""
    whole = pair[0].shape[0]
    side = whole * rng.uniform(0.8, 1.0)
    x, y = rng.uniform(0, whole - side, 2)
    box = (x, y, x + side, y + side)
    image, alpha = (Image.fromarray(p).resize((size, size), Image.Resampling.BILINEAR, box) for p in pair)
    gain = np.exp(rng.normal(0, 0.1, 3) + rng.normal(0, 0.1))
    coloured = np.clip(np.asarray(image)[:, ::-1] * gain, 0, 255).astype(np.uint8)
    return coloured, np.ascontiguousarray(np.asarray(alpha)[:, ::-1])


def batches(bank: Bank, data: MaskData, first: int) -> Iterator[Batch]:
    """Batches (image (B, S, S, 3) uint8, alpha (B, S, S) uint8) from step ``first`` on."""
    ahead = 4 if data.loaders else None
    return iter(DataLoader(Stream(bank, data, first), batch_size=None, num_workers=data.loaders, prefetch_factor=ahead))


def tensors(batch: Batch) -> tuple[Tensor, Tensor]:
    """image (B, 3, S, S) and alpha (B, 1, S, S), float32 in [0, 1]."""
    image = batch["image"].permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.channels_last) / 255
    return image, batch["alpha"][:, None].float() / 255


def loss(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """BCE, soft IoU and edge-weighted L1 at full size; BCE of the area-averaged alpha at strides 4, 8 and 16.

    Soft IoU: Rahman & Wang, "Optimizing Intersection-Over-Union in Deep Neural Networks", 2016.
    """
    image, alpha = tensors(batch)
    assert isinstance(model, MaskNet)
    *coarse, final = (y.float() for y in model.scales(image))
    guess = final.sigmoid()
    bce = F.binary_cross_entropy_with_logits(final, alpha)
    both, either = (guess * alpha).sum((1, 2, 3)), (guess + alpha - guess * alpha).sum((1, 2, 3))
    iou = 1 - ((both + 1) / (either + 1)).mean()
    edge = F.max_pool2d(alpha, 7, 1, 3) + F.max_pool2d(-alpha, 7, 1, 3)
    weight = 1 + 4 * edge
    l1 = ((guess - alpha).abs() * weight).sum() / weight.sum()
    deep = torch.stack(
        [F.binary_cross_entropy_with_logits(y, F.adaptive_avg_pool2d(alpha, y.shape[-1])) for y in coarse]
    ).sum()
    return {"loss": bce + iou + l1 + 0.3 * deep, "bce": bce, "iou": iou, "l1": l1, "deep": deep}


def validation_set(data: MaskData) -> Batch:
    """Held-out families on held-out backgrounds; always the same pictures."""
    bank = open_bank(data.shards, held=True)
    pairs = [composite(bank, data.validation_size, 10_000 + data.seed, i) for i in range(data.validation)]
    image, alpha = (torch.from_numpy(np.stack(part)) for part in zip(*pairs, strict=True))
    return {"image": image, "alpha": alpha}


@torch.no_grad()
def judge(model: nn.Module, held: Batch) -> tuple[dict[str, float], Tensor]:
    """Mean IoU at threshold 0.5 over pictures with a subject, MAE over all; and the predicted alphas (N, 1, S, S)."""
    parts = []
    for i in range(0, len(held["image"]), 16):
        image, _ = tensors({k: v[i : i + 16] for k, v in held.items()})
        parts.append(model(image).float().sigmoid())
    guess, alpha = torch.cat(parts), held["alpha"][:, None].float() / 255
    hit, truth = guess > 0.5, alpha > 0.5
    full = truth.sum((1, 2, 3)) > 20
    iou = (hit & truth).sum((1, 2, 3)) / (hit | truth).sum((1, 2, 3)).clamp(min=1)
    scores = {"iou": float(iou[full].mean()), "iou_median": float(iou[full].median())}
    return {**scores, "mae": float((guess - alpha).abs().mean())}, guess


def look(held: Batch, guess: Tensor, path: Path, count: int = 16) -> None:
    """A PNG of held-out pictures over their true and predicted alpha."""
    rows = [held["image"][:count].numpy()]
    for alpha in (held["alpha"][:count], (guess[:count, 0] * 255).byte()):
        rows.append(np.repeat(alpha.numpy()[..., None], 3, -1))
    sheet = Image.fromarray(np.concatenate([np.concatenate(list(row), 1) for row in rows], 0))
    sheet.resize((sheet.width // 2, sheet.height // 2)).save(path)


def train_mask(recipe: MaskRecipe) -> Progress:
    """Prepare what is missing, train (or go on training), leave checkpoint, log, curve and look in the run's folder."""
    torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.loop.seed)
    prepare(recipe.data)
    bank, held = open_bank(recipe.data.shards, held=False), validation_set(recipe.data)
    model = MaskNet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def check(average: nn.Module, step: int) -> dict[str, float]:
        scores, guess = judge(average, held)
        recipe.loop.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        look(held, guess, recipe.loop.checkpoint.with_name("look.png"))
        return scores

    return fit(model, lambda first: batches(bank, recipe.data, first), loss, recipe.loop, check)


def export_metadata(size: int) -> dict[str, Any]:
    """What the ONNX file says of itself."""
    return {"size": size, "input": "sRGB in [0, 1]", "output": "logits of the soft alpha"}
