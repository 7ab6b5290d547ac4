"""Depth from one picture against measured depth: MoGe's affine-invariant protocol, least squares, trivial baselines."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputNotFoundError, UnreadableError
from .tables import Grid

FloatArray = NDArray[np.float32]
Floats = NDArray[np.float64]
#: (H, W, 3) float32 sRGB in [0, 1] -> depth (h, w), larger is farther, of any unit; any size of the same shape.
Model = Callable[[FloatArray], NDArray[np.floating[Any]]]

#: Data sets of real rooms with a depth camera's metric depth: the group "real indoor".
INDOOR = ("NYUv2", "SUN RGB-D", "TUM RGB-D", "Redwood/Open3D sample", "slambook RGB-D (Kinect)", "7-Scenes")
#: Data sets of real streets with a laser's sparse metric depth: the group "real outdoor".
OUTDOOR = ("KITTI",)
GROUPS = ("real indoor", "real outdoor", "real stereo", "synthetic")
#: Samples a side at which MoGe aligns, and how many times the nearest depth (1st percentile) still counts.
_ALIGN_SIDE, _DROP = 64, 1000.0


@dataclass(frozen=True)
class Pair:
    """One picture and its truth. rgb: path. depth (H, W) float64, NaN where nothing was measured; metres, or for
    stereo pairs the inverse of disparity: true up to scale, and up to the offset that the data set does not tell."""

    name: str
    dataset: str
    group: str
    rgb: Path
    depth: Floats

    def image(self) -> FloatArray:
        """The picture (H, W, 3) float32 sRGB in [0, 1]."""
        return np.asarray(_opened(self.rgb, "RGB"), np.float32) / np.float32(255)


@dataclass(frozen=True)
class Scores:
    """AbsRel (lower is better) and delta1 (share within a factor of 1.25, higher is better) after three alignments.

    affine: scale and shift that minimise the sum of |error| / truth, on a 64 x 64 grid of samples, as MoGe does (Wang
    et al. 2025). squares: scale and shift by plain least squares in depth (Ranftl et al. 2020, Ke et al. 2024).
    scale: scale alone that minimises the sum of |error| / truth.
    """

    affine: tuple[float, float]
    squares: tuple[float, float]
    scale: tuple[float, float]

    def figures(self) -> tuple[float, ...]:
        """The six figures, AbsRel before delta1."""
        return (*self.affine, *self.squares, *self.scale)


@dataclass(frozen=True)
class DepthEvaluation:
    """name of a model -> scores of every pair, in the order of ``pairs``; and the models' median seconds a picture."""

    pairs: tuple[Pair, ...]
    scores: dict[str, tuple[Scores, ...]]
    seconds: dict[str, float]

    def mean(self, model: str, group: str, key: str = "affine") -> tuple[float, float]:
        """Mean (AbsRel, delta1) of a model over a group's pairs; NaN for an empty group."""
        found = [getattr(s, key) for s, p in zip(self.scores[model], self.pairs, strict=True) if p.group == group]
        absrel, delta = np.mean(found, 0) if found else (np.nan, np.nan)
        return float(absrel), float(delta)

    def grids(self) -> list[Grid]:
        """A table of the groups, and one of every pair for the models that are no baselines."""
        head = ("", "pairs", *_HEAD)
        rows = [row for group in GROUPS for row in self._group_rows(group)]
        found = [Grid("Depth: means over the pairs of each group", head, tuple(rows))]
        for model in [name for name in self.scores if name not in BASELINES]:
            cells = zip(self.pairs, self.scores[model], strict=True)
            lines = tuple((f"{p.name} {p.dataset}", p.group, *_texts(s.figures())) for p, s in cells)
            title = f"{model}, {1000 * self.seconds[model]:.0f} ms a picture (median)"
            found.append(Grid(title, ("pair", "group", *_HEAD), lines))
        return found

    def _group_rows(self, group: str) -> Iterator[tuple[str, ...]]:
        chosen = [i for i, pair in enumerate(self.pairs) if pair.group == group]
        for model, scores in self.scores.items() if chosen else ():
            means = np.mean([scores[i].figures() for i in chosen], 0)
            yield (f"{group}: {model}", str(len(chosen)), *_texts(means))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: the groups' means and every pair."""
        groups = {g: {m: dict(zip(_KEYS, self._means(m, g), strict=True)) for m in self.scores} for g in GROUPS}
        names = [{"id": p.name, "dataset": p.dataset, "group": p.group} for p in self.pairs]
        each = {m: [dict(zip(_KEYS, s.figures(), strict=True)) for s in found] for m, found in self.scores.items()}
        return {"groups": groups, "pairs": names, "scores": each, "seconds": self.seconds}

    def _means(self, model: str, group: str) -> tuple[float | None, ...]:
        every = [x for key in ("affine", "squares", "scale") for x in self.mean(model, group, key)]
        return tuple(None if np.isnan(x) else x for x in every)


_HEAD = ("AbsRel ↓", "delta1 ↑", "AbsRel lsq", "delta1 lsq", "AbsRel scale", "delta1 scale")
_KEYS = ("absrel", "delta1", "absrel_squares", "delta1_squares", "absrel_scale", "delta1_scale")


def constant(image: FloatArray) -> FloatArray:
    """Baseline: everything equally far."""
    return np.ones(image.shape[:2], np.float32)


def gradient(image: FloatArray) -> FloatArray:
    """Baseline: the bottom row is near, and depth doubles linearly towards the top; aligned, that is a + b * row."""
    height, width = image.shape[:2]
    return np.repeat(np.linspace(2, 1, height, dtype=np.float32)[:, None], width, 1)


BASELINES: dict[str, Model] = {"constant": constant, "bottom-near gradient": gradient}


def evaluate_depth(
    folder: str | Path,
    models: Mapping[str, Model],
    sheet: str | Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> DepthEvaluation:
    """Score models, and the trivial baselines beside them, on every pair of ``folder/meta.json``.

    sheet: a PNG or JPEG of every pair: picture, truth, and each model aligned to it (not the baselines).
    Raises InputNotFoundError, UnreadableError, OutputError.
    """
    pairs = read_pairs(folder)
    every = {**BASELINES, **models}
    scores: dict[str, list[Scores]] = {name: [] for name in every}
    seconds: dict[str, list[float]] = {name: [] for name in every}
    strips = []
    for i, pair in enumerate(pairs):
        image = pair.image()
        aligned = []
        for name, model in every.items():
            start = time.perf_counter()
            depth = fitted(model(image), pair.depth)
            seconds[name].append(time.perf_counter() - start)
            scores[name].append(compared(depth, pair.depth))
            if name in models:
                aligned.append(_affine(depth, pair.depth, *robust_affine(*_samples(depth, pair.depth))))
        if sheet is not None:
            strips.append(_strip(pair, image, aligned, scores, list(models)))
        progress(i + 1, len(pairs))
    if sheet is not None:
        _write_sheet(strips, sheet)
    medians = {name: float(np.median(found)) for name, found in seconds.items()}
    return DepthEvaluation(tuple(pairs), {name: tuple(found) for name, found in scores.items()}, medians)


def read_pairs(folder: str | Path) -> list[Pair]:
    """The pairs that ``folder/meta.json`` lists; raises InputNotFoundError or UnreadableError naming the file."""
    file = Path(folder) / "meta.json"
    if not file.is_file():
        raise InputNotFoundError(f"{file}: no such file", "give the folder of the depth pairs")
    try:
        items = json.loads(file.read_text(encoding="utf-8"))["items"]
        return [_pair(item, file.parent) for item in items]
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableError(f"{file}: not a list of depth pairs ({error!r})") from error


def _pair(item: dict[str, Any], folder: Path) -> Pair:
    """One line of meta.json: png / scale is metres ("depth_metric") or disparity in pixels; 0 is unknown."""
    stored = np.asarray(_opened(folder / item["depth"], ""), np.float64)
    value = np.where(stored > 0, stored, np.nan) / float(item["scale"])
    depth = {"depth_metric": value, "disparity": 1.0 / value}[item["kind"]]
    depth = np.where(depth <= _DROP * np.nanquantile(depth, 0.01), depth, np.nan)
    return Pair(item["id"], item["dataset"], _group(item), folder / item["rgb"], depth)


def _group(item: dict[str, Any]) -> str:
    if not item["real"]:
        return "synthetic"
    if item["kind"] == "disparity":
        return "real stereo"
    if item["dataset"] in OUTDOOR:
        return "real outdoor"
    if item["dataset"] in INDOOR:
        return "real indoor"
    raise ValueError(f"the data set {item['dataset']!r} is not known as indoor or outdoor")


def _opened(path: Path, mode: str) -> Any:
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return picture.convert(mode) if mode else picture.copy()
    except FileNotFoundError as error:
        raise InputNotFoundError(f"{path}: no such file", "the folder of the pairs is not whole") from error
    except OSError as error:
        raise UnreadableError(f"{path}: not a readable picture ({error})") from error


def fitted(depth: NDArray[np.floating[Any]], truth: Floats) -> Floats:
    """A model's answer (h, w) at the truth's size (bilinear); where it is not finite, its farthest depth stands."""
    from scipy.ndimage import zoom

    found = np.asarray(depth, np.float64)
    finite = np.isfinite(found)
    found = np.where(finite, found, found[finite].max() if finite.any() else 1.0)
    if found.shape != truth.shape:
        factors = [t / n for t, n in zip(truth.shape, found.shape, strict=True)]
        found = zoom(found, factors, order=1, mode="nearest", grid_mode=True)
    return np.asarray(found, np.float64)


def compared(depth: Floats, truth: Floats) -> Scores:
    """Scores of a depth map against the truth (H, W), NaN where that is unknown; both of one size."""
    known = np.isfinite(truth)
    d, t = depth[known], truth[known]
    at, to = _samples(depth, truth)
    return Scores(
        affine=_figures(_affine(d, t, *robust_affine(at, to)), t),
        squares=_figures(_affine(d, t, *least_squares(d, t)), t),
        scale=_figures(d * robust_scale(at, to), t),
    )


def _figures(depth: Floats, truth: Floats) -> tuple[float, float]:
    """AbsRel and delta1; a depth that the alignment made negative never counts as close."""
    safe = np.maximum(depth, 1e-9)
    close = np.maximum(safe / truth, truth / safe) < 1.25
    return float(np.mean(np.abs(depth - truth) / truth)), float(np.mean(close))


def _affine(depth: Floats, truth: Floats, scale: float, shift: float) -> Floats:
    return depth * scale + shift


def _samples(depth: Floats, truth: Floats, side: int = _ALIGN_SIDE) -> tuple[Floats, Floats]:
    """Depth and truth (N,) on a grid of ``side`` x ``side`` cells: of each, the known pixel nearest its centre."""
    height, width = truth.shape
    rows, columns = np.nonzero(np.isfinite(truth))
    y, x = (rows + 0.5) * side / height, (columns + 0.5) * side / width
    cell = y.astype(np.int64) * side + x.astype(np.int64)
    away = ((y % 1 - 0.5) * height) ** 2 + ((x % 1 - 0.5) * width) ** 2
    order = np.lexsort((away, cell))
    first = order[np.unique(cell[order], return_index=True)[1]]
    return depth[rows[first], columns[first]], truth[rows[first], columns[first]]


def robust_scale(depth: Floats, truth: Floats) -> float:
    """The scale s that minimises sum |s * depth - truth| / truth: a weighted median of truth / depth."""
    safe = np.maximum(depth, 1e-9)
    return _weighted_median(truth / safe, safe / truth)


def robust_affine(depth: Floats, truth: Floats) -> tuple[float, float]:
    """Scale and shift that minimise sum |s * depth + t - truth| / truth.

    For a fixed scale the best shift is a weighted median; what remains is convex in the scale and found by golden
    section from the least-squares answer. A constant depth gets scale 0.
    """
    weight = 1.0 / truth
    start, _ = least_squares(depth, truth)
    spread = float(depth.std())
    if spread <= 1e-9 * float(np.abs(depth).max()):
        return 0.0, _weighted_median(truth, weight)

    def cost(scale: float) -> float:
        rest = truth - scale * depth
        return float(np.sum(weight * np.abs(rest - _weighted_median(rest, weight))))

    reach = float(truth.std()) / spread
    while min(cost(start - reach), cost(start + reach)) < cost(start):
        reach *= 2
    scale = _golden(cost, start - reach, start + reach)
    return scale, _weighted_median(truth - scale * depth, weight)


def least_squares(depth: Floats, truth: Floats) -> tuple[float, float]:
    """Scale and shift of plain least squares in depth; scale 0 for a constant depth."""
    spread = depth - depth.mean()
    variance = float(np.mean(spread**2))
    scale = float(np.mean(spread * truth)) / variance if variance > 1e-18 * float(np.mean(depth**2)) else 0.0
    return scale, float(truth.mean() - scale * depth.mean())


def _weighted_median(values: Floats, weights: Floats) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])


def _golden(cost: Callable[[float], float], low: float, high: float) -> float:
    """Where a convex function is least between ``low`` and ``high``."""
    ratio = (np.sqrt(5) - 1) / 2
    a, b = high - ratio * (high - low), low + ratio * (high - low)
    at_a, at_b = cost(a), cost(b)
    for _ in range(50):
        if at_a <= at_b:
            high, b, at_b = b, a, at_a
            a = high - ratio * (high - low)
            at_a = cost(a)
        else:
            low, a, at_a = a, b, at_b
            b = low + ratio * (high - low)
            at_b = cost(b)
    return float((low + high) / 2)


def _texts(figures: Sequence[float] | NDArray[np.floating[Any]]) -> tuple[str, ...]:
    return tuple(f"{x:.3f}" for x in figures)


def _strip(
    pair: Pair, image: FloatArray, aligned: Sequence[Floats], scores: dict[str, list[Scores]], names: Sequence[str]
) -> Any:
    """One pair's tiles: the picture, the truth, and each model's aligned depth in the truth's colours."""
    from ..conventions import to_uint8
    from ..preview import labelled

    step = max(1, -(-max(pair.depth.shape) // 240))
    low, high = np.nanquantile(pair.depth, (0.01, 0.99))
    tiles = [to_uint8(image[::step, ::step]), coloured(pair.depth[::step, ::step], low, high)]
    tiles += [coloured(depth[::step, ::step], low, high) for depth in aligned]
    labels = [f"{pair.name} {pair.dataset}"[:30], f"{low:.2g} to {high:.2g}"]
    labels += [f"{name} {scores[name][-1].affine[0]:.3f}" for name in names]
    return labelled([_squared(tile, 240) for tile in tiles], labels)


def _squared(tile: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """A tile in the middle of a light square."""
    out = np.full((side, side, 3), 236, np.uint8)
    height, width = (min(side, n) for n in tile.shape[:2])
    top, left = (side - height) // 2, (side - width) // 2
    out[top : top + height, left : left + width] = tile[:height, :width]
    return out


def coloured(depth: NDArray[np.floating[Any]], low: float, high: float) -> NDArray[np.uint8]:
    """Depth (H, W) as colours (H, W, 3), near warm and far dark blue, by inverse depth; NaN black."""
    near, far = 1 / max(low, 1e-9), 1 / max(high, 2e-9)
    at = np.clip((1 / np.maximum(depth, 1e-9) - far) / max(near - far, 1e-12), 0, 1)
    known = np.isfinite(depth)
    channels = [np.interp(np.where(known, at, 0), np.linspace(0, 1, len(_RAMP)), _RAMP[:, c]) for c in range(3)]
    return np.where(known[..., None], np.stack(channels, -1), 0).astype(np.uint8)


_RAMP = np.array([(30, 20, 80), (40, 80, 190), (30, 170, 180), (140, 210, 90), (250, 200, 60), (220, 60, 40)], float)


def _write_sheet(strips: Sequence[Any], path: str | Path) -> None:
    from ..files import whole_file
    from .contact import stacked

    with whole_file(path) as beside:
        stacked(strips, 3).save(beside, optimize=True, quality=88)
