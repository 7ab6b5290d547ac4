"""The fusion bench: depth maps of known things, exact and spoilt, joined; textures in views kept back."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..assets import Mesh, PointCloud
from ..capture import Capture
from ..conventions import linear_to_srgb, srgb_to_linear
from ..errors import LiftformError
from ..files import whole_file
from ..reconstruct.fusion import FusionOptions, fusion, points
from ..refine import surface
from ..refine.paint import PaintOptions, paint
from ..refine.unwrap import UnwrapOptions, unwrap
from ..render import Scene
from ..runtime import Runtime
from .damage import distances
from .fusion_scenes import SPOILS, Spoil, photographed, seen_points, spoilt, things, unevenly_lit
from .metrics import psnr, surface_points
from .tables import Grid

Floats = NDArray[np.float64]

#: Points on either surface between which distances are taken.
_POINTS = 20_000
#: Share of the diagonal within which a place counts as reconstructed.
NEAR = 0.005
#: Width, in pixels, of the voxels of meshes that are painted: coarse enough that a texture has something to add.
_CELL = 2.5
#: ways of painting -> options.
PAINTS: dict[str, PaintOptions | None] = {
    "vertex colours": None,
    "blend": PaintOptions(mode="blend"),
    "best": PaintOptions(),
    "best, not levelled": PaintOptions(level=False),
    "best, exposures as they are": PaintOptions(even=False),
    "best, ghosts kept": PaintOptions(ghosts=False),
}


@dataclass(frozen=True)
class Shape:
    """One surface or cloud beside the truth; distances as shares of the thing's diagonal.

    away, away_p99: mean and 99th percentile from the result to the truth; missed, missed_p99: from what the photos show
    of the truth to the result; whole: share of that within NEAR; middle: its median distance.
    """

    thing: str
    spoil: str
    method: str
    away: float = 0.0
    away_p99: float = 0.0
    missed: float = 0.0
    missed_p99: float = 0.0
    middle: float = 0.0
    whole: float = 0.0
    faces: int = 0
    seconds: float = 0.0
    error: str = ""


@dataclass(frozen=True)
class Texture:
    """One texture: PSNR (dB) of unlit colours in views kept back, over what both show; seconds of painting."""

    thing: str
    way: str
    psnr: float
    seconds: float


def evaluate_fusion(
    objects: Path | None,
    count: int = 4,
    size: int = 240,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[list[Shape], list[Texture]]:
    """Every thing with every kind of depth by both methods; then its texture in every way. objects: folder with
    manifest.jsonl, or None for the ball, the box and the ring alone."""
    shapes: list[Shape] = []
    textures: list[Texture] = []
    found = list(things(objects, count, seed))
    for number, (name, mesh) in enumerate(found):
        exact = photographed(mesh, size)
        for k, spoil in enumerate(SPOILS):
            capture = spoilt(exact, spoil, np.random.default_rng([seed, number, k]))
            shapes += [_shape(name, mesh, exact, capture, spoil, method) for method in ("tsdf", "poisson", "points")]
        textures += _textures(name, mesh, size, np.random.default_rng([seed, number, 9]))
        progress(number + 1, len(found))
    return shapes, textures


def _shape(name: str, truth: Mesh, exact: Capture, capture: Capture, spoil: Spoil, method: str) -> Shape:
    start = time.perf_counter()
    try:
        made = _made(method, capture)
    except LiftformError as error:
        return Shape(name, spoil.name, method, error=str(error))
    seconds = time.perf_counter() - start
    diagonal = surface.diagonal(truth.vertices)
    shown = seen_points(exact, _POINTS).astype(np.float64)
    if isinstance(made, Mesh):
        there = distances(surface_points(made, _POINTS).astype(np.float64), truth)
        missed = distances(shown, made)
    else:
        there, missed = _of_points(made, truth, shown)
    there, missed = there / diagonal, missed / diagonal
    return Shape(
        *(name, spoil.name, method, float(there.mean()), float(np.quantile(there, 0.99))),
        *(float(missed.mean()), float(np.quantile(missed, 0.99)), float(np.median(missed))),
        *(float((missed < NEAR).mean()), len(made.faces) if isinstance(made, Mesh) else len(made.points), seconds),
    )


def _made(method: str, capture: Capture) -> Mesh | PointCloud:
    if method == "points":
        return points(capture)
    return fusion(FusionOptions(method=method), Runtime())(capture)  # type: ignore[arg-type]


def _of_points(made: PointCloud, truth: Mesh, shown: Floats) -> tuple[Floats, Floats]:
    """Distances of points to the truth, and of what is shown to the nearest point."""
    from scipy.spatial import cKDTree

    some = made.points[:: max(1, len(made.points) // _POINTS)]
    return distances(some.astype(np.float64), truth), cKDTree(made.points).query(shown)[0]


def _textures(name: str, mesh: Mesh, size: int, rng: np.random.Generator) -> list[Texture]:
    """A coarse surface joined from lightly spoilt depth, unwrapped, painted from unevenly lit photos."""
    exact, test = photographed(mesh, size), photographed(mesh, size, kept_back=True)
    capture = unevenly_lit(spoilt(exact, SPOILS[1], rng), rng)
    made = fusion(FusionOptions(cell=_CELL), Runtime())(capture)
    opened = unwrap(UnwrapOptions(), Runtime())(made)
    rows = []
    for way, options in PAINTS.items():
        start = time.perf_counter()
        painted = made if options is None else paint(options, Runtime())(opened, capture)
        rows.append(Texture(name, way, likeness(painted, test), time.perf_counter() - start))
    return rows


def likeness(mesh: Mesh, test: Capture) -> float:
    """PSNR (dB) over the pixels of all views that show the object in both, after one gain for all (exposures of a set
    are only known up to a common factor)."""
    scene, ours, theirs = Scene(mesh), [], []
    for photo in test.photos:
        assert photo.camera is not None
        assert photo.alpha is not None
        shown = scene.render(photo.camera, "unlit")
        both = shown.mask & (photo.alpha > 0.99)
        ours.append(shown.image[both][:, :3])
        theirs.append(photo.image[both])
    one, two = np.concatenate(ours), np.concatenate(theirs)
    linear = srgb_to_linear(one)
    gain = np.float32(np.median(srgb_to_linear(two).mean(1) / np.maximum(linear.mean(1), 1e-3)))
    return psnr(linear_to_srgb(linear * gain), two)


# --- tables -----------------------------------------------------------------------------------------------------------


def grids(shapes: Sequence[Shape], textures: Sequence[Texture]) -> list[Grid]:
    """Means over all things by kind of depth and method; every thing; textures."""
    head = ("depth", "method", "away %", "p99 %", "missed %", "p99 %", "median %", f"within {100 * NEAR:g} %", "s")
    methods = list(dict.fromkeys(row.method for row in shapes))
    means = []
    for spoil in dict.fromkeys(row.spoil for row in shapes):
        for method in methods:
            some = [row for row in shapes if (row.spoil, row.method) == (spoil, method) and not row.error]
            if some:
                means.append((spoil, method, *_figures(some)))
    every = [(f"{row.thing}, {row.spoil}", row.method, *_figures([row])) for row in shapes if not row.error]
    out = [
        Grid("Surfaces, mean over all things", head, tuple(means)),
        _texture_grid(textures),
        Grid("Every surface", ("thing", *head[1:]), tuple(every)),
    ]
    failed = tuple((f"{row.thing}, {row.spoil}", row.method, row.error) for row in shapes if row.error)
    return out + ([Grid("Failed", ("thing", "method", "why"), failed)] if failed else [])


def _figures(rows: Sequence[Shape]) -> tuple[str, ...]:
    def mean(name: str) -> float:
        return float(np.mean([getattr(row, name) for row in rows]))

    names = ("away", "away_p99", "missed", "missed_p99", "middle")
    return (*(f"{100 * mean(n):.3f}" for n in names), f"{100 * mean('whole'):.1f}", f"{mean('seconds'):.1f}")


def _texture_grid(textures: Sequence[Texture]) -> Grid:
    names = list(dict.fromkeys(row.thing for row in textures))
    rows = []
    for way in dict.fromkeys(row.way for row in textures):
        some = {row.thing: row for row in textures if row.way == way}
        mean = np.mean([row.psnr for row in some.values()])
        seconds = np.mean([row.seconds for row in some.values()])
        rows.append((way, *(f"{some[n].psnr:.2f}" for n in names), f"{mean:.2f}", f"{seconds:.1f}"))
    return Grid("Textures seen from views kept back, PSNR dB", ("way", *names, "mean", "s"), tuple(rows))


def write_page(shapes: Sequence[Shape], textures: Sequence[Texture], path: Path, command: str) -> None:
    """Put the tables between the marks of a page, or write a bare page; raises OutputError."""
    tables = f"    {command}\n\n" + "\n".join(grid.markdown() for grid in grids(shapes, textures))
    text = path.read_text(encoding="utf-8") if path.is_file() else f"# Surfaces\n\n{_BEGIN}\n{_END}\n"
    before, _, rest = text.partition(_BEGIN)
    after = rest.partition(_END)[2]
    with whole_file(path) as beside:
        beside.write_text(f"{before}{_BEGIN}\n\n{tables}\n{_END}{after}", encoding="utf-8")


_BEGIN, _END = "<!-- measured -->", "<!-- end -->"
