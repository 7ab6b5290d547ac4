"""The foreground against known alpha: objects of the bench, stood before photographs that no network was trained on.

Everything follows from a seed: which photograph, which part of it, where and how large the object stands.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..capture import Capture, Photo
from ..conventions import linear_to_srgb, srgb_to_linear
from ..errors import InputNotFoundError, NothingFoundError, UnreadableError
from ..files import whole_file
from ..runtime import Runtime
from ..understand import foreground
from ..zoo import registry, weights
from .tables import Grid

FloatArray = NDArray[np.float32]
#: (H, W, 3) sRGB in [0, 1] -> alpha or probability (h, w) of the same shape, any size.
Model = Callable[[FloatArray], FloatArray]

#: Longest side of a composite.
_SIDE = 512
#: Heights of the object as shares of the picture's.
_HEIGHTS = (0.40, 0.85)
_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True)
class Composite:
    """image (H, W, 3) float32 sRGB in [0, 1]; alpha (H, W) float32 in [0, 1]: the truth; name of the object."""

    name: str
    image: FloatArray
    alpha: FloatArray


def photographs(places: Sequence[Path]) -> list[Path]:
    """The pictures among ``places``, folders searched to the bottom; raises InputNotFoundError where there is none."""
    found = []
    for place in places:
        inside = sorted(place.rglob("*")) if place.is_dir() else [place]
        found += [path for path in inside if path.suffix.lower() in _SUFFIXES and path.exists()]
    if not found:
        raise InputNotFoundError(f"{places[0]}: no photograph", "give folders or files of photographs")
    return found


def composed(cases: Path, backgrounds: Sequence[Path], seed: int = 0, limit: int | None = None) -> list[Composite]:
    """One composite for every line of ``cases`` (id, image: RGBA), or for ``limit`` of them, evenly spread.

    Raises InputNotFoundError (no cases), UnreadableError (a picture).
    """
    if not cases.exists():
        raise InputNotFoundError(f"{cases}: no such file", "give the bench's cases.jsonl")
    rows = [json.loads(line) for line in cases.read_text(encoding="utf-8").splitlines() if line.strip()]
    chosen = np.linspace(0, len(rows) - 1, min(limit or len(rows), len(rows))).round().astype(int)
    out = []
    for i in chosen:
        rng = np.random.default_rng([seed, int(i)])
        behind = _opened(backgrounds[int(rng.integers(len(backgrounds)))], "RGB")
        out.append(_stood(rows[i]["id"], _opened(cases.parent / rows[i]["image"], "RGBA"), behind, rng))
    return out


def _opened(path: Path, mode: str) -> NDArray[np.uint8]:
    from PIL import Image

    try:
        with Image.open(path) as image:
            image.thumbnail((2 * _SIDE, 2 * _SIDE))
            return np.asarray(image.convert(mode))
    except OSError as error:
        raise UnreadableError(f"{path}: {error}") from error


def _stood(name: str, cut: NDArray[np.uint8], behind: NDArray[np.uint8], rng: np.random.Generator) -> Composite:
    """The object before a part of a photograph, 40 to 85 % of its height, near the middle, in similar light."""
    picture = _part(behind, rng)
    height, width = picture.shape[:2]
    rows, columns = (np.flatnonzero((cut[..., 3] > 8).any(axis)) for axis in (1, 0))
    cut = cut[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    zoom = min(rng.uniform(*_HEIGHTS) * height / cut.shape[0], 0.9 * width / cut.shape[1])
    cover, light = _scaled(cut, zoom)
    h, w = cover.shape
    x = int(np.clip(width * rng.normal(0.5, 0.05) - w / 2, 0, width - w))
    y = int(np.clip(height * rng.normal(0.52, 0.05) - h / 2, 0, height - h))
    under = picture[y : y + h, x : x + w]
    own = float((light * cover[..., None]).sum() / max(3 * float(cover.sum()), 1.0))
    light = light * np.float32(np.clip(((float(under.mean()) + 0.02) / (own + 0.02)) ** 0.35, 0.5, 2.0))
    under += cover[..., None] * (np.clip(light, 0, 1) - under)
    alpha = np.zeros((height, width), np.float32)
    alpha[y : y + h, x : x + w] = cover
    encoded = np.round(linear_to_srgb(picture) * 255) / np.float32(255)
    return Composite(name, np.asarray(encoded, np.float32), alpha)


def _part(behind: NDArray[np.uint8], rng: np.random.Generator) -> FloatArray:
    """Between 60 % and all of the photograph, its longest side _SIDE, a little out of focus; linear."""
    from PIL import Image, ImageFilter

    share = rng.uniform(0.6, 1.0)
    height, width = behind.shape[0] * share, behind.shape[1] * share
    x, y = rng.uniform(0, behind.shape[1] - width), rng.uniform(0, behind.shape[0] - height)
    zoom = _SIDE / max(width, height)
    size = (round(width * zoom), round(height * zoom))
    image = Image.fromarray(behind).resize(size, Image.Resampling.BICUBIC, (x, y, x + width, y + height))
    image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 2.5)))
    return srgb_to_linear(np.asarray(image, np.float32) / np.float32(255))


def _scaled(cut: NDArray[np.uint8], zoom: float) -> tuple[FloatArray, FloatArray]:
    """Alpha (h, w) and linear colour (h, w, 3) of a cut-out at another size, its colour free of what lies outside."""
    from PIL import Image

    size = (max(2, round(cut.shape[1] * zoom)), max(2, round(cut.shape[0] * zoom)))
    cover = cut[..., 3].astype(np.float32) / 255
    weighted = srgb_to_linear(cut[..., :3].astype(np.float32) / np.float32(255)) * cover[..., None]
    planes = [cover, *weighted.transpose(2, 0, 1)]
    small = [np.asarray(Image.fromarray(p).resize(size, Image.Resampling.BOX if zoom < 1 else 2)) for p in planes]
    return np.clip(small[0], 0, 1), np.stack(small[1:], -1) / np.maximum(small[0], 1e-4)[..., None]


def iou(guess: FloatArray, truth: FloatArray) -> float:
    """Intersection over union at 0.5 of an alpha (h, w) and the true one (H, W), the first scaled to the second."""
    from ..understand.matting import resized_planes

    hit, true = resized_planes(guess, truth.shape[1], truth.shape[0]) > 0.5, truth > 0.5
    return float((hit & true).sum() / max(int((hit | true).sum()), 1))


def network(image: FloatArray) -> FloatArray:
    """What the network alone says of the whole picture, in one look."""
    return foreground.look(image, weights.session("mask"))


def stage(image: FloatArray, name: str = "") -> FloatArray:
    """What the whole stage makes of the picture, by the backend ``name`` (the default one): network, choice of one
    object, edge; empty where it finds nothing."""
    make, options = registry.factory("mask", name), registry.options_class("mask", name)
    try:
        found = make(options(), Runtime())(Capture((Photo(image),))).photo.mask
    except NothingFoundError:
        return np.zeros(image.shape[:2], np.float32)
    alpha: FloatArray = found.alpha
    return alpha


@dataclass
class Timed:
    """A model that notes the seconds of each call."""

    model: Model
    seconds: list[float] = field(default_factory=list)

    def __call__(self, image: FloatArray) -> FloatArray:
        """What the model answers."""
        start = time.perf_counter()
        answer = self.model(image)
        self.seconds.append(time.perf_counter() - start)
        return answer


def candidates(names: Sequence[str] = ()) -> dict[str, Timed]:
    """Our network alone, our whole stage, and the stage with each of the named networks in it."""
    found: dict[str, Model] = {"network alone": network, "whole stage": stage}
    found |= {f"stage by {name}": functools.partial(stage, name=name) for name in names}
    return {name: Timed(model) for name, model in found.items()}


def score(
    pictures: Sequence[Composite],
    models: dict[str, Model] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, list[float]]:
    """IoU of every picture through every model; by default ``candidates()``."""
    models = models or {**candidates()}
    scores: dict[str, list[float]] = {name: [] for name in models}
    for i, picture in enumerate(pictures):
        for name, model in models.items():
            scores[name].append(iou(model(picture.image), picture.alpha))
        progress(i + 1, len(pictures))
    return scores


def grid(scores: dict[str, list[float]], models: Mapping[str, Timed] | None = None) -> Grid:
    """Mean, median and lower tenth of the IoU, the share of pictures at 0.9 or better; the models' median seconds."""
    rows, timed = [], models or {}
    for name, values in scores.items():
        found = (np.mean(values), np.median(values), np.quantile(values, 0.1), np.mean(np.array(values) >= 0.9))
        seconds = (f"{np.median(timed[name].seconds):.2f}",) if name in timed else ()
        rows.append((name, *(f"{value:.3f}" for value in found), *seconds))
    count = len(next(iter(scores.values())))
    head = ("", "mean", "median", "lowest tenth", "share >= 0.9", *(("seconds",) if timed else ()))
    return Grid(f"IoU at 0.5 of {count} composites", head, tuple(rows))


def sheet(pictures: Sequence[Composite], scores: Sequence[float], out: Path, model: Model = stage) -> None:
    """The composites from worst to best, each with what ``model`` keeps of it on white, and its IoU."""
    from PIL import Image, ImageDraw

    side, columns = 160, 6
    order = np.argsort(scores)
    whole = Image.new("RGB", (2 * side * columns, side * -(-len(order) // columns)), "white")
    for at, i in enumerate(order):
        image = pictures[i].image
        kept = image * (found := model(image)[..., None]) + (1 - found)
        for k, tile in enumerate((image, kept)):
            picture = Image.fromarray((tile * 255).astype(np.uint8))
            picture.thumbnail((side, side))
            whole.paste(picture, ((2 * (at % columns) + k) * side, at // columns * side))
        corner = (2 * (at % columns) * side + 4, at // columns * side + 4)
        ImageDraw.Draw(whole).text(corner, f"{scores[i]:.2f}", fill="red")
    with whole_file(out) as beside:
        whole.save(beside, quality=88)
