"""How well hidden sides are coloured: each way of filling them against the truth, seen from behind under flat light."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from ..assets import FloatArray, Mesh
from ..camera import Camera
from ..conventions import linear_to_srgb, rotation_y, srgb_to_linear, to_uint8
from ..errors import InputNotFoundError, LiftformError
from ..files import whole_file
from ..read_mesh import read_mesh
from ..refine.synthesis import Kind
from ..render import Rendering, Scene
from .protocols import Case, read_cases, spread
from .tables import Grid

Bools = NDArray[np.bool_]

#: Azimuths in degrees, from the picture's camera, of the views from which hidden sides are judged, and their elevation.
HIDDEN_DEG, ELEVATION_DEG = (120.0, 180.0, 240.0), 12.0
#: Side of a view in pixels, and the blur (pixels) under which colours count as low-frequency.
SIZE_PX, BLUR_PX = 160, 4.0
#: Neighbouring pixels whose depths differ by less (share of the diagonal) lie on one surface.
_SAME_SURFACE = 0.02
#: Side in pixels of a tile on the picture.
_TILE_PX = 112
#: Fine contrast from which a photo counts as showing grain, and the most rows of the picture.
_GRAIN, _ROWS = 0.06, 9
#: What encloses the tables on a page.
_MARKS = ("<!-- measured -->", "<!-- /measured -->")
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Scores:
    """Means over the hidden views, where result and truth overlap.

    psnr (dB) and ssim of the low-frequency colours; gradients: distance of the distributions of colour gradients at two
    scales (earth mover's, share of the truth's mean gradient plus a grey level a pixel): 0 is as detailed as the truth;
    jump: 90th percentile of the colour difference between neighbouring pixels of one surface where seen meets unseen.
    """

    psnr: float
    ssim: float
    gradients: float
    jump: float


@dataclass(frozen=True)
class Row:
    """One object: its scores by kind, the decision on it, and pictures (tiles of equal size) for a strip."""

    name: str
    scores: Mapping[str, Scores]
    facts: Mapping[str, Any]
    tiles: Sequence[FloatArray]


def evaluate_texture(
    cases: str | Path,
    objects: str | Path,
    limit: int | None = 12,
    kinds: Sequence[Kind] = KINDS,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Row]:
    """Lift ``limit`` cases, evenly spread over a ``cases.jsonl``, and bake each in every way.

    objects: folder with manifest.jsonl and the truth's GLBs. Cases that cannot be lifted are left out. Raises
    InputNotFoundError when the cases or the objects are missing.
    """
    files = _files(Path(objects))
    chosen = spread([case for case in read_cases(Path(cases)) if _object(case, files)], limit)
    rows = []
    for i, case in enumerate(chosen):
        with contextlib.suppress(LiftformError):
            rows.append(_row(case, Path(objects) / files[_object(case, files)], kinds))
        progress(i + 1, len(chosen))
    return rows


def _object(case: Case, files: Mapping[str, str]) -> str:
    """The object that a case shows: its id is the object's, or that and the number of the view; "" when unknown."""
    name = str(case["id"])
    return next((n for n in (name, name.rpartition("__")[0]) if n in files), "")


def _files(objects: Path) -> dict[str, str]:
    manifest = objects / "manifest.jsonl"
    if not manifest.is_file():
        raise InputNotFoundError(f"{manifest}: no such manifest", "give the folder of the objects with --objects")
    lines = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines() if line.strip()]
    return {line["id"]: line["file"] for line in lines}


def _row(case: Case, file: Path, kinds: Sequence[Kind]) -> Row:
    from ..pipeline import Road
    from ..runtime import silent

    road = Road.of(None, silent, {"as_": "object"})
    capture = road.understand(road.load(case["image"]))
    dense = road._stage("clean", road.reconstruct(capture))
    mesh = road._stage("unwrap", road._stage("simplify", dense))
    return compared(case["id"], mesh, dense, capture, truth_of(case, file), kinds)


def truth_of(case: Case, file: Path) -> Mesh:
    """The true object turned so that the picture's camera stands at azimuth 0."""
    mesh = read_mesh(file)
    turned = mesh.vertices @ rotation_y(-np.radians(float(case["azimuth_deg"]))).T
    return mesh.with_(vertices=turned.astype(np.float32), normals=None)


def compared(name: str, mesh: Mesh, dense: Mesh, capture: Any, truth: Mesh, kinds: Sequence[Kind] = KINDS) -> Row:
    """Bake an unwrapped mesh in every way and score it against the truth (both in the view frame)."""
    from ..refine.bake import BakeOptions, bake
    from ..runtime import Runtime

    front, *behind = _views(truth, (0.0, *HIDDEN_DEG))
    scores: dict[str, Scores] = {}
    facts: dict[str, Any] = {}
    tiles = [front.image, *(view.image for view in behind[:2])]
    for kind in kinds:
        made = bake(mesh, dense, capture, BakeOptions(texture=kind), Runtime())
        mine = _views(made, (0.0, *HIDDEN_DEG))
        light = _light(mine[0], front)
        assert made.seen is not None
        seen = _views(made.with_(material=None, colors=np.repeat(made.seen[:, None], 3, 1)), HIDDEN_DEG)
        found = [_scored(a, b, light, s) for a, b, s in zip(mine[1:], behind, seen, strict=True)]
        scores[kind] = Scores(*(float(x) for x in np.nanmean(np.array(found), 0)))
        facts[kind] = made.metadata["bake"]
        tiles += [view.image for view in mine[1:3]]
    return Row(name, scores, facts, tiles)


def _views(mesh: Mesh, azimuths_deg: Sequence[float]) -> list[Rendering]:
    """Unlit views of a mesh scaled to its bounding box's diagonal."""
    low, high = mesh.bounds
    scene = Scene(mesh.with_(vertices=((mesh.vertices - (low + high) / 2) / np.linalg.norm(high - low)).astype("f4")))
    cameras = [
        Camera.orbit(SIZE_PX, np.radians(30), np.radians(a), np.radians(ELEVATION_DEG), 2.1) for a in azimuths_deg
    ]
    return [scene.render(camera, "unlit", (1.0, 1.0, 1.0), 2) for camera in cameras]


def _light(mine: Rendering, truth: Rendering) -> FloatArray:
    """Gain (3,) from the truth's unlit colours to the photo's light, from the side that the photo shows."""
    both = mine.mask & truth.mask
    if not both.any():
        return np.ones(3, np.float32)
    a, b = (srgb_to_linear(view.image[both][:, :3]) + 0.01 for view in (mine, truth))
    return np.exp(np.median(np.log(a) - np.log(b), 0)).astype(np.float32)


def _scored(mine: Rendering, truth: Rendering, light: FloatArray, seen: Rendering) -> tuple[float, ...]:
    """psnr, ssim, gradients, jump of one view; NaN where nothing overlaps."""
    from scipy.ndimage import binary_erosion

    both = binary_erosion(mine.mask & truth.mask, iterations=2)
    if both.sum() < 50:
        return (np.nan,) * 4
    a = mine.image[..., :3]
    b = linear_to_srgb(srgb_to_linear(truth.image[..., :3]) * light)
    low_a, low_b = (_blurred(x, both) for x in (a, b))
    psnr = -10 * np.log10(max(float(((low_a - low_b)[both] ** 2).mean()), 1e-6))
    return psnr, _ssim(low_a, low_b, both), _gradient_distance(a, b, both), _jump(mine, seen.image[..., 0])


def _blurred(image: FloatArray, inside: Bools, sigma: float = BLUR_PX) -> FloatArray:
    """Masked Gaussian mean (H, W, 3)."""
    from scipy.ndimage import gaussian_filter

    weight = gaussian_filter(inside.astype(np.float32), sigma)
    parts = [gaussian_filter(np.where(inside, image[..., k], 0), sigma) for k in range(3)]
    return np.asarray(np.stack(parts, -1) / np.maximum(weight, 1e-6)[..., None], np.float32)


def _ssim(a: FloatArray, b: FloatArray, inside: Bools) -> float:
    """Structural similarity (Wang et al. 2004) of two pictures inside a mask, windows of twice the blur."""
    x, y = (_blurred(p, inside, 2 * BLUR_PX) for p in (a, b))
    xx, yy, xy = (_blurred(p, inside, 2 * BLUR_PX) for p in (a * a, b * b, a * b))
    top = (2 * x * y + 1e-4) * (2 * (xy - x * y) + 9e-4)
    bottom = (x * x + y * y + 1e-4) * (xx - x * x + yy - y * y + 9e-4)
    return float((top / bottom)[inside].mean())


def _gradient_distance(a: FloatArray, b: FloatArray, inside: Bools) -> float:
    """Earth mover's distance between the distributions of gradients, at one and two pixels."""
    out = []
    for step in (1, 2):
        g = [np.sort(_gradients(p, inside, step)) for p in (a, b)]
        at = np.linspace(0, 1, 201)
        qa, qb = (np.quantile(x, at) for x in g)
        out.append(float(np.abs(qa - qb).mean() / (qb.mean() + 1 / 255)))
    return float(np.mean(out))


def _gradients(image: FloatArray, inside: Bools, step: int) -> FloatArray:
    """Magnitudes of the differences ``step`` pixels to the right and down, both ends inside."""
    across = np.linalg.norm(image[:, step:] - image[:, :-step], axis=-1)[inside[:, step:] & inside[:, :-step]]
    down = np.linalg.norm(image[step:] - image[:-step], axis=-1)[inside[step:] & inside[:-step]]
    return np.concatenate([across, down])


def _jump(view: Rendering, seen: FloatArray) -> float:
    """90th percentile of the colour difference between neighbouring pixels of one surface of which one was seen."""
    known, image = seen > 0.5, view.image[..., :3]
    steps = []
    for one, two in ((np.s_[:, 1:], np.s_[:, :-1]), (np.s_[1:], np.s_[:-1])):
        joined = np.abs(view.depth[one] - view.depth[two]) < _SAME_SURFACE  # false for the NaN outside
        steps.append(np.linalg.norm(image[one] - image[two], axis=-1)[joined & (known[one] != known[two])])
    both = np.concatenate(steps)
    return float(np.percentile(both, 90)) if len(both) else np.nan


def grids(rows: Sequence[Row]) -> list[Grid]:
    """Means by kind, and every object's scores."""
    kinds = list(rows[0].scores) if rows else []
    head = ("hidden side", "PSNR (dB) ↑", "SSIM ↑", "gradients' distance ↓", "its median ↓", "border jump ↓")
    groups = {"all": list(rows), "with grain": [r for r in rows if _grain(r) > _GRAIN]}
    groups["flat"] = [r for r in rows if _grain(r) <= _GRAIN]
    mean = [
        (f"{name} ({len(some)}): {kind}", *_summary([row.scores[kind] for row in some]))
        for name, some in groups.items()
        if some
        for kind in kinds
    ]
    each = [
        (row.name, *(f"{row.scores[k].psnr:.1f} / {row.scores[k].gradients:.2f}" for k in kinds), _shares(row))
        for row in rows
    ]
    return [
        Grid(f"Hidden sides of {len(rows)} objects", head, tuple(mean)),
        Grid("Object by object: PSNR (dB) / gradients' distance", ("object", *kinds, "filled by"), tuple(each)),
    ]


def _grain(row: Row) -> float:
    """Fine contrast of the photo, as the last kind noted it."""
    return float(row.facts[list(row.facts)[-1]]["hidden"]["grain"])


def _summary(scores: Sequence[Scores]) -> tuple[str, ...]:
    """Means, and the median of the gradients' distance, which objects without any texture dominate."""
    psnr, ssim, gradients, jump = np.array([(s.psnr, s.ssim, s.gradients, s.jump) for s in scores]).T
    values = (np.nanmean(psnr), np.nanmean(ssim), np.nanmean(gradients), np.nanmedian(gradients), np.nanmean(jump))
    return tuple(f"{value:.2f}" for value in values)


def write_page(rows: Sequence[Row], path: str | Path, command: str) -> None:
    """Put the tables into a page between its two marker lines (or make the page), naming the command that made them."""
    path = Path(path)
    old = path.read_text(encoding="utf-8") if path.is_file() else "# Hidden sides\n\n" + "\n".join(_MARKS) + "\n"
    before, _, rest = old.partition(_MARKS[0])
    after = rest.partition(_MARKS[1])[2]
    tables = "\n".join(grid.markdown() for grid in grids(rows))
    with whole_file(path) as beside:
        text = f"{before}{_MARKS[0]}\n\n    {command}\n\n{tables}\n{_MARKS[1]}{after}"
        beside.write_text(text, encoding="utf-8")


def write_strip(rows: Sequence[Row], path: str | Path) -> None:
    """A picture of some rows: the truth (front, two hidden views), then the same hidden views by every kind.

    At most nine rows, evenly spread from where the last kind gains most detail over the first to where it loses most.
    """
    from PIL import Image

    from ..preview import labelled

    kinds = list(rows[0].scores)
    first, last = kinds[0], kinds[-1]
    order = sorted(rows, key=lambda row: row.scores[last].gradients / max(row.scores[first].gradients, 1e-9))
    count = min(_ROWS, len(order))
    sheets = []
    for row in (order[i * (len(order) - 1) // max(count - 1, 1)] for i in range(count)):
        kinds = [kind for kind in row.scores for _ in range(2)]
        labels = ["truth, front", "truth, hidden", "", *(k if i % 2 == 0 else "" for i, k in enumerate(kinds))]
        tiles = [Image.fromarray(to_uint8(tile[..., :3])).resize((_TILE_PX, _TILE_PX)) for tile in row.tiles]
        sheets.append(labelled([np.asarray(tile) for tile in tiles], labels))
    sheet = Image.new("RGB", (sheets[0].width, sum(s.height for s in sheets)))
    for i, part in enumerate(sheets):
        sheet.paste(part, (0, i * part.height))
    with whole_file(path) as beside:
        sheet.save(beside, quality=82, optimize=True)


def _shares(row: Row) -> str:
    """How the last kind filled the hidden surface."""
    facts = row.facts[list(row.facts)[-1]]["hidden"]
    words = {"mirrored": "mirrored", "continued": "continued", "guessed": "guessed"}
    return ", ".join(f"{facts[key]:.0%} {word}" for key, word in words.items() if facts.get(key))
