"""Training of the object network: shards to batches, the whole loss, validation and an early look.

liftform train object --recipe training/object.toml
"""

from __future__ import annotations

import functools
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from .. import recipe as recipes
from ..errors import InputNotFoundError
from ..recipe import option
from ..zoo.object_net import Encoding, ObjectNet, camera_from_upright, sample, upright_from_camera
from . import losses, procedural
from .corpus import KITS
from .data import DataOptions
from .look import look
from .loop import Batch, LoopOptions, Progress, fit
from .ranks import join, own_numbers
from .shards import Shard
from .warm import warm

#: Share of batches by origin: kits are two thirds of the corpus and must not be what the network learns. Without
#: procedural objects the others have theirs in the same proportions.
SHARES = {"kits": 0.28, "furniture": 0.28, "others": 0.22, "procedural": 0.22}


#: Half the box that inference searches, along the camera's axes, in view units.
SEARCHED = np.array([0.7, 0.7, 1.25])


@dataclass(frozen=True)
class ObjectOptions:
    """One run of the object network."""

    shards: Path = option(Path("out/shards/objects"), "folder written by `liftform train data`")  # noqa: RUF009
    batch: int = option(32, "views a step", low=1)
    points: int = option(384, "signed points a view", low=16)
    empty_points: int = option(64, "of these, points anywhere in the searched space but outside the object", low=0)
    colour_points: int = option(96, "coloured surface points a view", low=16)
    sizes: tuple[int, int, int, int] = option((80, 96, 96, 112), "picture sizes, drawn anew each step")
    late_size: int = option(128, "picture size from late_step on, and of the exported network", low=32)
    late_step: int = option(3500, "step at which pictures grow to late_size", low=0)
    rescan_steps: int = option(400, "steps between looks for new shards (0: never)", low=0)
    weighting: Literal["origins", "families", "even"] = option(
        "origins", "how often an object is drawn: by origin and family, by family, or all alike"
    )
    mirror: bool = option(True, "look at a point's mirror image too (off: only to see what it is worth)")
    sign_weight: float = option(1.5, "weight of the sign of the field", low=0)
    depth_weight: float = option(3.0, "weight of the visible depth", low=0)
    normals_weight: float = option(0.2, "weight of the visible normals", low=0)


@dataclass(frozen=True)
class ObjectRecipe:
    """A whole run: ``[data]``, ``[object]`` and ``[loop]`` of the recipe file, the corpus, and how many processes.

    init: what a new run starts from, see ``warm``: a checkpoint or the shipped networks. procedural: how many objects
    that no library holds are made beside those of the manifest.
    """

    manifest: Path = Path("../shared/objects/manifest.jsonl")
    procedural: int = 0
    workers: int = 2
    threads: int = 2
    init: Path | None = None
    data: DataOptions = field(default_factory=DataOptions)
    object: ObjectOptions = field(default_factory=ObjectOptions)
    loop: LoopOptions = field(default_factory=LoopOptions)


def read_recipe(path: str | Path, changes: Sequence[str] = ()) -> ObjectRecipe:
    """The recipe file with ``changes`` (see ``recipe.changed``); raises UsageError on unknown keys."""
    tables = recipes.changed(recipes.read_toml(path), changes)
    data = recipes.build(DataOptions, tables.pop("data", {}), f"{path} [data]")
    options = recipes.build(ObjectOptions, tables.pop("object", {}), f"{path} [object]")
    loop = recipes.build(LoopOptions, tables.pop("loop", {}), f"{path} [loop]")
    return replace(recipes.build(ObjectRecipe, tables, str(path)), data=data, object=options, loop=loop)


class Corpus:
    """The objects of all shards of a folder, used where they lie; ``scan`` takes in what has been written since.

    Families are held out whole. ``corpus[i]`` is one object's sample: read-only views into the shard's memory map, so
    that a corpus larger than memory works, and processes on one machine share what is cached.
    """

    def __init__(self, folder: Path, held_out: bool, weighting: str = "origins") -> None:
        self.folder, self.held_out, self.weighting = folder, held_out, weighting
        self.known: set[str] = set()
        self.keys: set[str] = set()
        self.places: list[tuple[Shard, int]] = []
        self.origins: list[tuple[str, str]] = []
        self.scan()
        if not self.places:
            old = " (for a folder of .npz: `liftform train data import`)" if any(folder.glob("*.npz")) else ""
            raise InputNotFoundError(f"{folder}: no shards", f"run `liftform train data object` first{old}")

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, number: int) -> dict[str, Any]:
        shard, inside = self.places[number]
        return shard.sample(inside)

    def scan(self) -> None:
        """Take in new shards and recompute how often each object is drawn."""
        for path in sorted(self.folder.glob("[!.]*.tar")):
            if path.name not in self.known:
                self.known.add(path.name)
                self._take(Shard(path))
        self.weights = _weights(self.origins, self.weighting)

    def _take(self, shard: Shard) -> None:
        for number, key in enumerate(shard.keys):
            meta = shard.value(number, "meta")
            invented = meta["source"] == procedural.SOURCE  # never held out: what counts is how real things come out
            if key not in self.keys and (is_held_out(meta["family"]) and not invented) == self.held_out:
                self.keys.add(key)
                self.places.append((shard, number))
                self.origins.append((meta["family"], meta["source"]))


def is_held_out(family: str) -> bool:
    """About one family in thirty validates and is never trained on."""
    return hashlib.sha256(family.encode()).digest()[0] < 8


def origin(source: str) -> str:
    """kits, furniture, procedural or others."""
    if source == procedural.SOURCE:
        return source
    return "kits" if source in KITS else "furniture" if "sweethome" in source else "others"


def _weights(origins: Sequence[tuple[str, str]], weighting: str = "origins") -> NDArray[np.float64]:
    """Draw probability of each object from its (family, source): SHARES between origins, inside one by the square root
    of the family's size; or by the latter alone ("families"); or all alike ("even")."""
    families = Counter(family for family, _ in origins)
    raw = np.array([1.0 if weighting == "even" else families[family] ** -0.5 for family, _ in origins])
    groups = np.array([origin(source) for _, source in origins])
    for name, share in SHARES.items() if weighting == "origins" else ():
        raw[groups == name] *= share / max(raw[groups == name].sum(), 1e-9)
    return np.asarray(raw / raw.sum(), np.float64)


def batches(corpus: Corpus, options: ObjectOptions, first_step: int, augment: bool = True) -> Iterator[Batch]:
    """Batches from step ``first_step`` on, ``options.batch`` views each: this process's part of every step.

    Every view has a generator of its own, seeded by the step and its number in it, so that a resumed run sees the same,
    and two processes of 8 views see what one of 16 would.
    """
    step = first_step
    while True:
        if options.rescan_steps and step % options.rescan_steps == 0 and step > first_step:
            corpus.scan()
        rngs = [np.random.default_rng([step, int(corpus.held_out), n]) for n in own_numbers(options.batch)]
        bounds = np.cumsum(corpus.weights)
        chosen = np.searchsorted(bounds, [rng.random() * bounds[-1] for rng in rngs], "right")
        late = step >= options.late_step or not augment
        # The size depends on the step alone: processes that train together must not wait for each other.
        size = options.late_size if late else int(np.random.default_rng(step).choice(options.sizes))
        views = [_view(corpus[int(i)], rng, options, augment) for i, rng in zip(chosen, rngs, strict=True)]
        yield _collate(views, size, rngs if augment else None)
        step += 1


def _view(shard: dict[str, Any], rng: np.random.Generator, options: ObjectOptions, augment: bool) -> dict[str, Any]:
    """One view as numpy arrays: picture, targets and points moved into the camera-aligned centred frame."""
    k = int(rng.integers(len(shard["rgb"])))
    matrix = shard["view_from_object"][k]
    scale = np.cbrt(np.linalg.det(matrix[:3, :3]))
    some = rng.integers(len(shard["points"]), size=options.points)
    coloured = rng.integers(len(shard["surface"]), size=options.colour_points)
    points = np.concatenate([shard["points"][some], shard["surface"][coloured]]).astype(np.float32)
    distance = shard["distance"][some].astype(np.float32)
    _scatter(points[: options.empty_points], distance[: options.empty_points], shard, k, rng)
    normal, offset, symmetric = _mirror_target(shard["planes"], matrix)
    view = {
        "rgb": shard["rgb"][k],
        "alpha": shard["alpha"][k],
        "depth": shard["depth"][k].astype(np.float32),
        "normals": shard["normals"][k].astype(np.float32) / 127,
        "points": points @ matrix[:3, :3].T + matrix[:3, 3],
        "distance": distance * scale,
        "colours": shard["surface_rgb"][coloured].astype(np.float32) / 255,
        "elevation": shard["elevation"][k],
        "tan_half": np.tan(shard["yfov"][k] / 2),
        "plane_normal": normal,
        "plane_offset": offset,
        "symmetric": np.float32(symmetric),
    }
    return _flipped(view) if augment and rng.random() < 0.5 else view


def _scatter(
    points: NDArray[np.float32],
    distance: NDArray[np.float32],
    shard: dict[str, Any],
    view: int,
    rng: np.random.Generator,
) -> None:
    """Move points (N, 3), in place, to random places of the space searched at inference that are surely empty.

    Stored points stay near the object; without these the field was never told what lies far before or behind it.
    A place inside the object's bounding box leaves its point as it was.
    """
    matrix, elevation = shard["view_from_object"][view], np.array([shard["elevation"][view]])
    q = rng.uniform(-1, 1, (1, len(points), 3)) * SEARCHED
    upright = upright_from_camera(torch.from_numpy(q), torch.from_numpy(elevation.astype(np.float64)))[0].numpy()
    moved = (upright - matrix[:3, 3]) @ np.linalg.inv(matrix[:3, :3]).T
    low, high = shard["surface"].min(0).astype(np.float64) - 0.03, shard["surface"].max(0).astype(np.float64) + 0.03
    away = np.linalg.norm(np.maximum(np.maximum(low - moved, moved - high), 0), axis=1)
    points[away > 0] = moved[away > 0]
    distance[away > 0] = away[away > 0] + 0.03


def _mirror_target(planes: NDArray[np.float32], matrix: NDArray[np.float32]) -> tuple[Any, np.float32, bool]:
    """The plane whose reflection shows most of the hidden side: normal (x, z) nearest the viewing direction, offset."""
    if not len(planes):
        return np.zeros(2, np.float32), np.float32(0), False
    normals = np.stack([np.cos(planes), np.zeros_like(planes), np.sin(planes)], 1) @ matrix[:3, :3].T
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    best = normals[np.argmax(np.abs(normals[:, 2]))]
    return best[[0, 2]], np.float32(best @ matrix[:3, 3]), True


def _flipped(view: dict[str, Any]) -> dict[str, Any]:
    """The mirror image: x changes sign everywhere."""
    out = dict(view)
    for key in ("rgb", "alpha", "depth", "normals"):
        out[key] = view[key][:, ::-1]
    sign = np.array([-1, 1, 1], np.float32)
    out["normals"], out["points"] = out["normals"] * sign, view["points"] * sign
    # (x, z) -> (-x, z) keeps the offset, because the plane is reflected as a whole.
    out["plane_normal"] = view["plane_normal"] * sign[:2]
    return out


def _collate(views: list[dict[str, Any]], size: int, rngs: Sequence[np.random.Generator] | None) -> Batch:
    arrays = {k: torch.from_numpy(np.ascontiguousarray(np.stack([v[k] for v in views]))) for k in views[0]}
    rgb = arrays.pop("rgb").permute(0, 3, 1, 2).float() / 255
    alpha = arrays["alpha"][:, None].float() / 255
    rgb, alpha = _resized(rgb, alpha, size)
    if rngs is not None:
        generators = [torch.Generator().manual_seed(int(rng.integers(2**31))) for rng in rngs]
        rgb, alpha = _photographed(rgb, alpha, generators)
    image = torch.cat([rgb * alpha + 0.5 * (1 - alpha), alpha], 1)
    arrays["image"] = image.to(memory_format=torch.channels_last)
    arrays["alpha"] = alpha
    arrays["depth"] = arrays["depth"][:, None]
    arrays["normals"] = arrays["normals"].permute(0, 3, 1, 2)
    return arrays


def _resized(rgb: Tensor, alpha: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Pictures (B, 3, S, S) and alpha (B, 1, S, S) at another size, colours weighted by alpha."""
    if rgb.shape[-1] == size:
        return rgb, alpha
    both = torch.cat([rgb * alpha, alpha], 1)
    both = F.interpolate(both, size=(size, size), mode="bilinear", antialias=True).clamp(0, 1)
    return both[:, :3] / both[:, 3:].clamp_min(1e-3), both[:, 3:]


def _photographed(rgb: Tensor, alpha: Tensor, generators: Sequence[torch.Generator]) -> tuple[Tensor, Tensor]:
    """What cameras and masks do: white balance, gamma, contrast, grey, blur, noise, a mask a pixel too small.

    rgb (B, 3, S, S), alpha (B, 1, S, S); one generator a picture.
    """

    def normal(*shape: int) -> Tensor:
        return torch.stack([torch.randn(shape, generator=g) for g in generators])

    def chance(p: float) -> Tensor:
        return (uniform() < p).float()

    def uniform() -> Tensor:
        return torch.stack([torch.rand(1, 1, 1, generator=g) for g in generators])

    rgb = rgb.clamp_min(1e-4) ** torch.exp(0.2 * normal(1, 1, 1)) * torch.exp(0.08 * normal(3, 1, 1))
    rgb = 0.5 + (rgb - 0.5) * torch.exp(0.12 * normal(1, 1, 1))
    rgb = torch.lerp(rgb, rgb.mean(1, keepdim=True).expand_as(rgb), chance(0.04))
    both = torch.cat([rgb * alpha, alpha], 1)
    both = _mixed(both, chance(0.35) * uniform(), lambda x: F.avg_pool2d(x, 3, 1, 1))
    alpha = both[:, 3:]
    rgb = both[:, :3] / alpha.clamp_min(1e-3)
    rgb = rgb + normal(*rgb.shape[1:]) * 0.04 * uniform() ** 2
    alpha = _mixed(alpha, chance(0.12), lambda x: -F.max_pool2d(-x, 3, 1, 1))
    alpha = _mixed(alpha, chance(0.08), lambda x: F.max_pool2d(x, 3, 1, 1))
    return rgb.clamp(0, 1), alpha.clamp(0, 1)


def _mixed(x: Tensor, share: Tensor, other: Callable[[Tensor], Tensor]) -> Tensor:
    """x (B, C, S, S) mixed with ``other`` of it by share (B, 1, 1, 1), which is worked out only where it is wanted."""
    some = share.flatten().nonzero()[:, 0]
    if len(some):
        x = x.index_copy(0, some, torch.lerp(x[some], other(x[some]), share[some]))
    return x


def loss_fn(model: nn.Module, batch: Batch, options: ObjectOptions | None = None) -> dict[str, Tensor]:
    """All losses of one batch. Points are placed by the network's own elevation, as they will be at inference."""
    assert isinstance(model, ObjectNet)
    options = options or ObjectOptions()
    encoding = model.encode(batch["image"])
    elevation = encoding.camera[:, 0].detach()
    q = camera_from_upright(batch["points"], batch["elevation"])
    asked = encoding if options.mirror else _without_mirror(encoding)
    out = model.query(asked, batch["alpha"], q, batch["tan_half"], elevation)
    signed = batch["distance"].shape[1]
    pixel = q[:, :signed, :2] / (q[:, :signed, 2:] * batch["tan_half"][:, None, None] + 0.6).clamp_min(0.03)
    cover = sample(F.max_pool2d(batch["alpha"], 5, 1, 2), pixel[:, :, None])[..., 0]
    l1, sign = losses.field_loss(out[:, :signed, 0], batch["distance"], 0.3 + 0.7 * (cover > 0.5))
    depth, normals = losses.surface_losses(encoding, batch["depth"], batch["normals"], batch["alpha"])
    elevation_error, fov_error = losses.camera_losses(encoding, batch["elevation"], batch["tan_half"])
    plane, trust = losses.mirror_losses(encoding, batch["plane_normal"], batch["plane_offset"], batch["symmetric"])
    on_surface = out[:, signed:]
    colour = (on_surface[..., 1:].sigmoid() - batch["colours"]).abs().mean() + 0.3 * on_surface[..., 0].abs().mean()
    total = 3 * l1 + options.sign_weight * sign + options.depth_weight * depth + options.normals_weight * normals
    total = total + elevation_error + 0.3 * fov_error + 0.15 * plane + 0.1 * trust + 0.5 * colour
    return {
        "loss": total,
        "field": l1,
        "sign": sign,
        "depth": depth,
        "normals": normals,
        "elevation": elevation_error,
        "log_fov": fov_error,
        "plane": plane,
        "trust": trust,
        "colour": colour,
    }


def _without_mirror(encoding: Encoding) -> Encoding:
    """The same, with a plane so far away, and so little trusted, that nothing is to be seen in it."""
    nowhere = torch.tensor([1.0, 0.0, 10.0, -20.0]).to(encoding.mirror)
    return encoding._replace(mirror=nowhere.expand_as(encoding.mirror))


@torch.no_grad()
def validate(model: nn.Module, held_out: list[Batch], mirror: bool = True) -> dict[str, float]:
    """Mean losses (of the default weights) on held-out families, and the intersection over union of what is inside at
    random points."""
    assert isinstance(model, ObjectNet)
    sums: Counter[str] = Counter()
    for batch in held_out:
        values = {k: float(v) for k, v in loss_fn(model, batch, ObjectOptions(mirror=mirror)).items()}
        encoding = model.encode(batch["image"])
        encoding = encoding if mirror else _without_mirror(encoding)
        q = camera_from_upright(batch["points"], batch["elevation"])[:, : batch["distance"].shape[1]]
        guess = model.query(encoding, batch["alpha"], q, batch["tan_half"], encoding.camera[:, 0])[..., 0] < 0
        truth = batch["distance"] < 0
        union = (guess | truth).sum(1).clamp_min(1)
        values["iou"] = float(((guess & truth).sum(1) / union).mean())
        sums.update(values)
    return {k: v / len(held_out) for k, v in sums.items()}


def train_object(recipe: ObjectRecipe, log: Any = print) -> Progress:
    """Train until the loop's budget is spent; the checkpoint, its log and curves lie at ``loop.checkpoint``."""
    options, loop = recipe.object, recipe.loop
    torch.set_num_threads(recipe.threads)
    join(loop.device)
    corpus = Corpus(options.shards, held_out=False, weighting=options.weighting)
    held = Corpus(options.shards, held_out=True)
    source = batches(held, options, 0, augment=False)
    fixed = [next(source) for _ in range(6)]
    log(f"{len(corpus)} objects to train on, {len(held)} held out")

    def on_checkpoint(model: nn.Module, step: int) -> dict[str, float]:
        scores = validate(model, fixed, options.mirror)
        look(cast(ObjectNet, model), fixed[0], loop.checkpoint.with_name("look.png"))
        log(f"step {step}: " + "  ".join(f"{k} {v:.4f}" for k, v in scores.items()))
        return scores

    torch.manual_seed(loop.seed)
    model = ObjectNet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if recipe.init is not None:
        log(f"{warm(model, recipe.init)} tensors from {recipe.init}")
    losses_of = functools.partial(loss_fn, options=options)
    return fit(model, lambda step: batches(corpus, options, step), losses_of, loop, on_checkpoint)
