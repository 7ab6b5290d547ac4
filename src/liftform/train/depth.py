"""Training of the depth network: rendered views to batches, validation, an early look, the run itself.

liftform train depth --recipe training/depth.toml
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
from ..errors import InputNotFoundError
from ..recipe import option
from ..zoo.depth_net import DepthNet, Scene
from .checkpoints import load_weights
from .depth_losses import all_losses
from .loop import Batch, LoopOptions, Progress, fit
from .photographed import photographed
from .ranks import join, rank
from .shards import Shard
from .warm import warm

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class DepthOptions:
    """One run of the depth network."""

    shards: Path = option(Path("out/shards/rooms"), "folder of view shards: `liftform train data`")  # noqa: RUF009
    batch: int = option(16, "views a step", low=1)
    heights: tuple[int, int, int, int] = option((96, 96, 128, 112), "picture heights, drawn anew each step")
    widths: tuple[int, int, int, int] = option((128, 128, 96, 144), "the width that goes with each height")
    late_step: int = option(1_000_000, "step from which pictures are half as large again", low=0)
    least_crop: float = option(0.65, "smallest part of a view's sides that is cut out", low=0.2, high=1)
    rescan_steps: int = option(300, "steps between looks for new shards (0: never)", low=0)
    validation: int = option(96, "held-out views", low=1)


@dataclass(frozen=True)
class DepthRecipe:
    """A whole run: ``[depth]`` and ``[loop]`` of the recipe file.

    init: a checkpoint, whole or slim, whose weights a new run starts from; those of the object network will do, because
    its encoder has the same shapes.
    """

    threads: int = 1
    init: Path | None = None
    depth: DepthOptions = field(default_factory=DepthOptions)
    loop: LoopOptions = field(default_factory=LoopOptions)


def read_recipe(path: str | Path, changes: Sequence[str] = ()) -> DepthRecipe:
    """The recipe file with ``changes`` (see ``recipe.changed``); raises UsageError on unknown keys."""
    whole = recipes.read_toml(path)
    whole.pop("rooms", None)
    tables = recipes.changed(whole, changes)
    options = recipes.build(DepthOptions, tables.pop("depth", {}), f"{path} [depth]")
    loop = recipes.build(LoopOptions, tables.pop("loop", {}), f"{path} [loop]")
    return replace(recipes.build(DepthRecipe, tables, str(path)), depth=options, loop=loop)


class Views:
    """All views of a folder's shards, read where they lie; one shard in 25 is held out. ``scan`` takes in new ones."""

    def __init__(self, folder: Path, held_out: bool) -> None:
        self.folder, self.held_out = folder, held_out
        self.shards: list[Shard] = []
        self.places: list[tuple[int, int]] = []
        self.known: set[str] = set()
        self.scan()
        if not self.places:
            raise InputNotFoundError(f"{folder}: no shards", "run `liftform train data rooms` first")

    def scan(self) -> None:
        """Open shards that have come since the last look."""
        for path in sorted(self.folder.glob("[!.]*.tar")):
            if path.name in self.known:
                continue
            self.known.add(path.name)
            if (_number(path) % 25 == 0) == self.held_out:
                self.shards.append(Shard(path))
                self.places += [(len(self.shards) - 1, i) for i in range(len(self.shards[-1]))]

    def __getitem__(self, number: int) -> dict[str, Any]:
        shard, place = self.places[number]
        return self.shards[shard].sample(place)


def _number(path: Path) -> int:
    """The number that ends a shard's name."""
    digits = "".join(c for c in path.stem if c.isdigit())
    return int(digits or 0)


def batches(views: Views, options: DepthOptions, first_step: int) -> Iterator[Batch]:
    """Batches from step ``first_step`` on; each step has a generator of its own, so a resumed run sees the same."""
    step = first_step
    while True:
        if options.rescan_steps and step % options.rescan_steps == 0:
            views.scan()
        rng = np.random.default_rng([step, rank()])
        height, width = _size(step, options)
        chosen = rng.integers(len(views.places), size=options.batch)
        yield collate([cut(views[i], height, width, rng, options.least_crop) for i in chosen], rng)
        step += 1


def _size(step: int, options: DepthOptions) -> tuple[int, int]:
    """The size depends on the step alone: processes that train together must not wait for each other."""
    number = int(np.random.default_rng(step).integers(len(options.heights)))
    height, width = options.heights[number], options.widths[number]
    if step < options.late_step:
        return height, width
    return int(1.5 * height) // 16 * 16, int(1.5 * width) // 16 * 16


def cut(
    view: dict[str, Any], height: int, width: int, rng: np.random.Generator | None, least: float = 1.0
) -> dict[str, NDArray[Any]]:
    """A window of a view at another size, and half the time its mirror image; the largest central one without ``rng``.

    view: rgb (H, W, 3) uint8, depth (H, W) metres, +inf where nothing is, normals (H, W, 3) int8, meta with yfov.
    Returns rgb (height, width, 3) uint8, depth and sky (height/2, width/2) float32 (NaN where unknown), normals,
    log_tan of the window's longer side. The window may lie off the axis, where the field of view is only nearly so.
    """
    h, w = view["depth"].shape
    side = min(w / width, h / height)
    if rng is not None:
        side *= rng.uniform(least, 1.0)
    across, down = side * width, side * height
    x, y = (0.5, 0.5) if rng is None else (0.5 + rng.uniform(-0.5, 0.5), 0.5 + rng.uniform(-0.5, 0.5))
    left, top = (w - across) * x, (h - down) * y
    rgb = Image.fromarray(view["rgb"]).resize(
        (width, height), Image.Resampling.BILINEAR, (left, top, left + across, top + down)
    )
    rows = (top + (np.arange(height // 2) + 0.5) * (2 * side)).astype(int)
    columns = (left + (np.arange(width // 2) + 0.5) * (2 * side)).astype(int)
    pick = np.ix_(rows, columns)
    depth = view["depth"][pick].astype(np.float32)
    normals = view["normals"][pick].astype(np.float32) / 127
    longest = np.tan(view["meta"]["yfov"] / 2) / h * max(across, down)
    out = {
        "rgb": np.asarray(rgb),
        "sky": np.where(np.isnan(depth), np.nan, np.isinf(depth)).astype(np.float32),
        "depth": np.where(np.isfinite(depth) & (depth > 0), depth, np.nan),
        "normals": normals,
        "log_tan": np.asarray(np.log(longest), np.float32),
    }
    return _flipped(out) if rng is not None and rng.random() < 0.5 else out


def _flipped(window: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The mirror image."""
    out = {k: v[:, ::-1] if v.ndim > 1 else v for k, v in window.items()}
    out["normals"] = out["normals"] * np.array([-1, 1, 1], np.float32)
    return out


def collate(windows: list[dict[str, NDArray[Any]]], rng: np.random.Generator | None) -> Batch:
    """Tensors: image (B, 3, H, W) in [0, 1], photographed when there is an ``rng``; targets as the losses want them."""
    arrays = {k: torch.from_numpy(np.ascontiguousarray(np.stack([v[k] for v in windows]))) for k in windows[0]}
    image = arrays["rgb"].permute(0, 3, 1, 2).float() / 255
    if rng is not None:
        image = photographed(image, torch.Generator().manual_seed(int(rng.integers(2**31))))
    return {
        "image": image.to(memory_format=torch.channels_last),
        "depth": arrays["depth"][:, None],
        "sky": arrays["sky"][:, None],
        "normals": arrays["normals"].permute(0, 3, 1, 2),
        "log_tan": arrays["log_tan"],
    }


def loss_fn(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """All losses of one batch."""
    scene = cast(Scene, model(batch["image"]))
    return all_losses(scene, batch["depth"], batch["normals"], batch["sky"], batch["log_tan"])


def held_out(options: DepthOptions) -> list[Batch]:
    """Central windows of held-out views at 144 x 192 or upright, always the same."""
    views = Views(options.shards, held_out=True)
    numbers = np.linspace(0, len(views.places) - 1, min(options.validation, len(views.places))).astype(int)
    groups: dict[bool, list[dict[str, NDArray[Any]]]] = {True: [], False: []}
    for number in numbers:
        view = views[number]
        tall = view["depth"].shape[0] > view["depth"].shape[1]
        groups[tall].append(cut(view, *((192, 144) if tall else (144, 192)), None))
    return [collate(part[i : i + 16], None) for part in groups.values() for i in range(0, len(part), 16)]


@torch.no_grad()
def validate(model: nn.Module, held: list[Batch]) -> dict[str, float]:
    """Mean of every loss over the held-out pictures; "affine" is the AbsRel that estimators are compared by."""
    sums: dict[str, float] = {}
    for batch in held:
        for key, value in loss_fn(model, batch).items():
            sums[key] = sums.get(key, 0.0) + float(value) * len(batch["image"])
    return {key: value / sum(len(b["image"]) for b in held) for key, value in sums.items()}


@torch.no_grad()
def look(model: nn.Module, batch: Batch, path: Path) -> None:
    """A PNG of up to eight held-out pictures: picture, true and predicted depth, true and predicted normals."""
    scene = cast(Scene, model(batch["image"]))
    known = batch["depth"].isfinite()
    offset = torch.where(known, scene.log_depth - batch["depth"].log(), torch.nan).flatten(1).nanmedian(1).values
    log_depth = scene.log_depth - offset.nan_to_num()[:, None, None, None]
    columns = []
    for i in range(min(8, len(batch["image"]))):
        truth = batch["depth"][i, 0].log().numpy()
        low, high = (np.nanquantile(truth, q) if known[i].any() else q for q in (0.02, 0.98))
        maps = [truth, np.where(scene.sky[i, 0].numpy() > 0, np.nan, log_depth[i, 0].numpy())]
        rows = [batch["image"][i].permute(1, 2, 0).numpy()[::2, ::2]]
        rows += [np.nan_to_num(1 - (m - low) / max(high - low, 1e-3))[..., None].repeat(3, 2) for m in maps]
        rows += [(n[i].permute(1, 2, 0).numpy() * [1, -1, -1] + 1) / 2 for n in (batch["normals"], scene.normals)]
        columns.append(np.concatenate(rows, 0))
    sheet = np.concatenate(columns, 1).clip(0, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((sheet * 255).astype(np.uint8)).save(path)


def train_depth(recipe: DepthRecipe, log: Any = print) -> Progress:
    """Train, or go on training, the network of ``recipe``; checkpoints and log lie beside ``loop.checkpoint``."""
    options, loop = recipe.depth, recipe.loop
    torch.set_num_threads(recipe.threads)
    join(loop.device)
    views, held = Views(options.shards, held_out=False), held_out(options)
    log(f"{len(views.places)} views to train on")

    def on_checkpoint(model: nn.Module, step: int) -> dict[str, float]:
        scores = validate(model, held)
        look(model, held[0], loop.checkpoint.with_name("look.png"))
        log(f"step {step}: " + "  ".join(f"{k} {v:.4f}" for k, v in scores.items()))
        return scores

    torch.manual_seed(loop.seed)
    model = DepthNet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if recipe.init is not None:
        log(f"{warm(model, recipe.init)} tensors from {recipe.init}")
    return fit(model, lambda step: batches(views, options, step), loss_fn, loop, on_checkpoint)


def load(checkpoint: Path) -> DepthNet:
    """The averaged network of a checkpoint, ready to be asked."""
    model = DepthNet()
    load_weights(model, checkpoint)
    return model.eval()
