"""Training of the foreground network: shards, endless batches of composites, losses, validation, the run itself."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from .. import recipe as recipes
from ..recipe import option
from ..zoo.mask_net import MaskNet
from . import backgrounds, composed, cutouts, panoramas
from .composites import composite, open_bank
from .loop import Batch, LoopOptions, Progress, fit
from .warm import warm


@dataclass(frozen=True)
class MaskData:
    """What the composites are made of, and how batches are drawn."""

    manifest: Path = option(Path("objects/manifest.jsonl"), "the corpus; only its train split is read")  # noqa: RUF009
    procedural: int = option(0, "procedural objects beside those of the corpus", low=0)
    shards: Path = option(Path("out/mask_shards"), "folder of prepared cut-outs and backgrounds")  # noqa: RUF009
    render_size: int = option(256, "pixels of a rendered frame", low=32)
    views: int = option(3, "views of each object that is not from a kit", low=1)
    kit_views: int = option(1, "views of each kit object", low=1)
    family_cap: int = option(24, "most objects of one family", low=1)
    object_shards: int = option(24, "files that the cut-outs are spread over", low=1)
    background_shards: int = option(12, "files of 200 backgrounds", low=1)
    panoramas: Path | None = option(None, "folder of equirectangular .hdr panoramas, more backgrounds")  # noqa: RUF009
    panorama_views: int = option(120, "views of each panorama", low=1)
    rooms: Path | None = option(None, "folder of room views (tar shards), more backgrounds")  # noqa: RUF009
    room_views: int = option(3000, "most room views that are used", low=1)
    textures: int = option(500, "textures for reskinning", low=1)
    composed: int = option(20, "files of 500 composites, made ahead", low=1)
    composed_size: int = option(192, "pixels of a composite", low=32)
    workers: int = option(2, "processes that prepare shards", low=1)
    batch: int = option(24, "pictures in a step", low=2)
    sizes: tuple[int, int, int, int] = option((128, 128, 128, 160), "picture sizes, drawn anew each step")
    late_sizes: tuple[int, int, int, int] = option((160, 160, 192, 192), "sizes from step late_from on")
    late_from: int = option(1_000_000, "step from which pictures are large: small ones teach more a second", low=0)
    validation: int = option(128, "held-out composites", low=1)
    validation_size: int = option(192, "their size", low=32)
    seed: int = option(0, "seed of shards and composites", low=0)


@dataclass(frozen=True)
class MaskRecipe:
    """A whole run: ``[data]`` and ``[loop]`` of the recipe file.

    threads: of torch. init: a checkpoint, whole or slim, whose weights a new run starts from, as far as they fit; those
    of the object network will do, because both have the same encoder.
    """

    data: MaskData = field(default_factory=MaskData)
    loop: LoopOptions = field(default_factory=LoopOptions)
    threads: int = 1
    init: Path | None = None


def read_recipe(path: str | Path, changes: Sequence[str] = ()) -> MaskRecipe:
    """The recipe file with ``changes`` (see ``recipe.changed``); raises UsageError on unknown keys."""
    tables = recipes.changed(recipes.read_toml(path), changes)
    data = recipes.build(MaskData, tables.pop("data", {}), f"{path} [data]")
    loop = recipes.build(LoopOptions, tables.pop("loop", {}), f"{path} [loop]")
    return replace(recipes.build(MaskRecipe, tables, str(path)), data=data, loop=loop)


def prepare(data: MaskData) -> None:
    """Write the shards that are not there yet: textures, backgrounds, blobs, rendered objects, finished composites."""
    if not (data.shards / "textures_000.json").exists():
        cutouts.write_shard(data.shards / "textures_000", backgrounds.texture_bank(data.textures, 256, data.seed))
    for k in range(data.background_shards):
        if not (data.shards / f"backgrounds_{k:03d}.json").exists():
            images = backgrounds.bank(200, 320, data.seed, 200 * k)
            cutouts.write_shard(data.shards / f"backgrounds_{k:03d}", images)
    if data.panoramas is not None and not (data.shards / "panoramas_000.json").exists():
        views = panoramas.bank(data.panoramas, data.panorama_views, data.seed)
        cutouts.write_shard(data.shards / "panoramas_000", views)
    if data.rooms is not None and not (data.shards / "rooms_000.json").exists():
        cutouts.write_shard(data.shards / "rooms_000", panoramas.rooms(data.rooms, data.room_views))
    rows = cutouts.plan(cutouts.corpus(data.manifest, data.procedural), data.views, data.kit_views, data.family_cap)
    cutouts.prepare(rows, data.shards, data.render_size, data.seed, data.object_shards, data.workers)
    composed.write(open_bank(data.shards, held=False), data.shards, data.composed, data.composed_size, data.seed)


def batches(data: MaskData, first: int) -> Iterator[Batch]:
    """Batches (image (B, S, S, 3) uint8, alpha (B, S, S) uint8) from step ``first`` on."""
    paths = sorted(data.shards.glob("composed_*.tar"))
    early = composed.batches(paths, data.batch, data.sizes, data.seed, first)
    yield from itertools.islice(early, max(0, data.late_from - first))
    yield from composed.batches(paths, data.batch, data.late_sizes, data.seed, max(first, data.late_from))


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
    mixed = F.avg_pool2d(alpha, 4)
    edge = F.interpolate(4 * mixed * (1 - mixed), scale_factor=2.0, mode="nearest")
    weight = 1 + 4 * F.interpolate(F.avg_pool2d(edge, 3, 1, 1), scale_factor=2.0, mode="nearest")
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
    held = validation_set(recipe.data)
    model = MaskNet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if recipe.init is not None:
        warm(model, recipe.init)

    def check(average: nn.Module, step: int) -> dict[str, float]:
        scores, guess = judge(average, held)
        recipe.loop.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        look(held, guess, recipe.loop.checkpoint.with_name("look.png"))
        return scores

    return fit(model, lambda first: batches(recipe.data, first), loss, recipe.loop, check)


def export_metadata(size: int) -> dict[str, Any]:
    """What the ONNX file says of itself."""
    return {"size": size, "input": "sRGB in [0, 1]", "output": "logits of the soft alpha"}
