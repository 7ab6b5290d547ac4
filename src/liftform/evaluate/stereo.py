"""Dense stereo measured: rendered scenes with exact depth, and photo sets with known cameras, with truth or without."""

from __future__ import annotations

import io
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..camera import Camera
from ..capture import Capture, Photo
from ..errors import InputNotFoundError, LiftformError
from .tables import Grid

FloatArray = NDArray[np.float32]
Floats = NDArray[np.float64]

HEAD = (
    *("set", "costs", "photos", "px", "surface %", "pixels %", "median error %", "with depth %", "3 agree %"),
    *("s a photo", "peak MB", "said"),
)
#: What counts as measured, a share of the diagonal; photos that must see a place for it to be visible.
WITHIN = 0.005
SEEN_BY = 3
#: Most pixels of a photo that are asked for, and that answer.
_ASKED, _ANSWERS = 8_000, 60_000
#: Photos agree when a point comes back within so many pixels, and as deep up to this share.
_BACK_PX, _BACK_DEPTH = 1.0, 0.01


@dataclass(frozen=True)
class Case:
    """What is to be measured. source: "rendered" or a folder; name: number of the scene, or the set's folder."""

    source: str
    name: str
    size: int = 800
    limit: int = 0
    costs: str = "photometric"
    threads: int = 0
    sheet: str = ""


@dataclass(frozen=True)
class Truth:
    """True z (H, W) of every photo at the size of its depth, NaN where unknown or nothing; normals (H, W, 3), camera
    frame; diagonal of what is measured."""

    z: tuple[FloatArray, ...]
    normals: tuple[FloatArray, ...]
    diagonal: float


@dataclass(frozen=True)
class Row:
    """One set. Shares in [0, 1], NaN without truth. surface: of the places that at least three photos show, those with
    a measured point within 0.5 % of the diagonal; pixels: the same pixel by pixel of each photo; error: median distance
    of measured depths from the true surface, share of the diagonal; depth: pixels (of the masks) with depth; agree: of
    those, on which at least three photos agree. seconds: a photo; peak: of the process, megabytes."""

    name: str
    costs: str
    photos: int
    size: int
    surface: float
    pixels: float
    error: float
    depth: float
    agree: float
    seconds: float
    peak: float
    said: str = ""

    def cells(self) -> tuple[str, ...]:
        """As the table shows it."""

        def share(value: float, digits: int = 1) -> str:
            return "" if np.isnan(value) else f"{100 * value:.{digits}f}"

        return (
            *(self.name, self.costs, str(self.photos), str(self.size), share(self.surface), share(self.pixels)),
            *(share(self.error, 3), share(self.depth), share(self.agree), f"{self.seconds:.1f}", f"{self.peak:.0f}"),
            self.said,
        )


def cases(source: str, names: Sequence[str], costs: Sequence[str], **how: Any) -> list[Case]:
    """The cases of ``rendered`` (scenes by number), or of a folder of sets with known cameras.

    Raises InputNotFoundError when the folder holds no such set.
    """
    from ..photoset.posed import is_photo_set

    if source == "rendered":
        chosen = list(names) or [str(number) for number in range(4)]
    else:
        folder = Path(source)
        if is_photo_set(folder):
            source, chosen = str(folder.parent), [folder.name]
        else:
            every = sorted(path.name for path in folder.iterdir() if is_photo_set(path)) if folder.is_dir() else []
            chosen = [name for name in every if not names or name in names]
    if not chosen:
        raise InputNotFoundError(f"{source}: no photo sets with known cameras in it", "give the folder of the sets")
    return [Case(source, name, costs=cost, **how) for name in chosen for cost in costs]


def evaluate_stereo(given: Sequence[Case]) -> Iterator[Row]:
    """A row for every case, each measured in a process of its own, so that its memory is its own."""
    for case in given:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            yield pool.submit(measured, case).result()


def grid(rows: Sequence[Row]) -> Grid:
    """The table."""
    return Grid("Dense stereo", HEAD, tuple(row.cells() for row in rows))


def measured(case: Case) -> Row:
    """Measure one case in this process."""
    from ..reconstruct.stereo import StereoOptions, stereo
    from ..runtime import Runtime

    capture, truth = _opened(case)
    options = StereoOptions(size=case.size, costs=case.costs)  # type: ignore[arg-type]
    runtime = Runtime(threads=case.threads)
    _warm(options, runtime)
    start = time.perf_counter()
    try:
        found = stereo(options, runtime)(capture)
    except LiftformError as failure:
        no = float("nan")
        return Row(
            case.name, case.costs, len(capture.photos), case.size, no, no, no, 0.0, no, no, _peak(), failure.message
        )
    seconds = (time.perf_counter() - start) / len(capture.photos)
    peak = _peak()
    if case.sheet:
        write_sheet(found, Path(case.sheet), truth)
    surface, pixels, error = compared(found, truth) if truth else (float("nan"),) * 3
    said = "; ".join(str(d.value) for d in found.decisions if d.what == "stereo without partners")
    size = max(_z(found.photos[0]).shape)
    shares = (surface, pixels, error, _filled(found), agreement(found))
    return Row(case.name, case.costs, len(found.photos), size, *shares, seconds, peak, said)


def _warm(options: Any, runtime: Any) -> None:
    """Load the compiled sweeps, so that their loading is not counted: two pictures of a wall."""
    from ..reconstruct.stereo import stereo

    rng = np.random.default_rng(0)
    image = np.repeat(rng.random((32, 48, 1)), 3, -1).astype(np.float32)
    photos = []
    for shift in (0.0, 0.2):
        pose = np.eye(4)
        pose[0, 3] = shift
        moved = np.roll(image, -round(shift * 20), 1)
        photos.append(Photo(moved, camera=Camera(48, 32, 40.0, 40.0, 24.0, 16.0, pose)))
    try:
        stereo(replace(options, costs="photometric"), runtime)(Capture(tuple(photos)))
    except LiftformError:
        return


def _opened(case: Case) -> tuple[Capture, Truth | None]:
    if case.source == "rendered":
        from .stereo_scenes import rendered

        return rendered(int(case.name), case.size, case.limit or 12)
    from ..load import PhotosOptions, photos
    from ..photoset.straight import straight

    folder = Path(case.source) / case.name
    capture = photos(folder, PhotosOptions(max_side=case.size))
    placed = [photo for photo in capture.photos if photo.camera is not None]
    if case.limit:
        placed = placed[:: -(-len(placed) // case.limit)]
    capture = straight(replace(capture, photos=tuple(placed)))
    truth = _truth_of_mesh(folder / "mesh.ply", capture)
    return (replace(capture, sparse=None), truth) if truth else (capture, None)  # such points may be part of the truth


def _truth_of_mesh(path: Path, capture: Capture) -> Truth | None:
    """The truth of a set that has a mesh.ply in the frame of its cameras."""
    if not path.is_file():
        return None
    from ..read_mesh import read_mesh
    from ..render import Scene

    mesh = read_mesh(path)
    scene = Scene(mesh)
    shown = [scene.render(photo.camera, "normals") for photo in capture.photos if photo.camera]
    diagonal = float(np.linalg.norm(np.ptp(mesh.bounds, axis=0)))
    normals = []
    for view in shown:  # towards the camera, however the mesh is wound
        away = view.normals[..., 2:] > 0
        normals.append(np.where(away, -view.normals, view.normals))
    return Truth(tuple(view.depth for view in shown), tuple(normals), diagonal)


def compared(found: Capture, truth: Truth) -> tuple[float, float, float]:
    """surface, pixels and error of ``Row``, from pixels drawn at random from every photo."""
    from scipy.spatial import cKDTree

    near = WITHIN * truth.diagonal
    rng = np.random.default_rng(0)
    asked, answers, errors, hits = [], [], [], []
    for number, photo in enumerate(found.photos):
        z, true, camera = _z(photo), truth.z[number], _camera(photo)
        pixels = _drawn(np.isfinite(true), rng, _ASKED)
        places = _places(camera, true, pixels)
        ray = (places - camera.position) @ camera.world_from_camera[:3, :3] / true[pixels][:, None]  # z is 1
        off = np.abs(z[pixels] - true[pixels])
        visible = _seen_by(truth, found, number, places) >= SEEN_BY
        with np.errstate(invalid="ignore"):
            hits.append((off * np.linalg.norm(ray, axis=1) <= near)[visible])
        errors.append((off * np.abs((ray * truth.normals[number][pixels]).sum(1)))[np.isfinite(off)])
        asked.append(places[visible])
        answers.append(_places(camera, z, _drawn(np.isfinite(z), rng, _ANSWERS)))
    points, wanted, every = np.concatenate(answers), np.concatenate(asked), np.concatenate(errors)
    if not len(points) or not len(wanted) or not len(every):
        return 0.0, 0.0, float("nan")
    away = cKDTree(points).query(wanted, distance_upper_bound=near)[0]
    return float((away <= near).mean()), float(np.concatenate(hits).mean()), float(np.median(every)) / truth.diagonal


def _camera(photo: Photo) -> Camera:
    """The photo's camera at the size of its depth map."""
    assert photo.camera is not None
    height, width = _z(photo).shape
    return photo.camera.resized(width, height)


def _drawn(where: NDArray[np.bool_], rng: np.random.Generator, most: int) -> tuple[NDArray[np.int64], ...]:
    """Rows and columns of at most ``most`` pixels."""
    rows, columns = np.nonzero(where)
    kept = rng.permutation(len(rows))[:most]
    return rows[kept], columns[kept]


def _places(camera: Camera, z: FloatArray, pixels: tuple[NDArray[np.int64], ...]) -> Floats:
    """World points (N, 3) of pixels (rows, columns)."""
    rows, columns = pixels
    return camera.unproject(np.stack([columns + 0.5, rows + 0.5], -1), z[pixels])


def _seen_by(truth: Truth, found: Capture, number: int, places: Floats) -> NDArray[np.int64]:
    """(N,): photos that show true places of a photo, itself among them."""
    count = np.ones(len(places), np.int64)
    for other, photo in enumerate(found.photos):
        if other == number:
            continue
        there = truth.z[other]
        at, depth = _camera(photo).project(places)
        inside = (depth > 0) & (at > 0).all(-1) & (at < there.shape[::-1]).all(-1)
        x, y = (np.where(inside, at[:, k], 0).astype(int) for k in (0, 1))
        with np.errstate(invalid="ignore"):
            count += inside & (np.abs(there[y, x] - depth) < 0.01 * depth)
    return count


def agreement(found: Capture, photos: int = SEEN_BY) -> float:
    """Of all measured depths, the share on which at least so many photos agree by their own (filtered) depth."""
    rng, good, total = np.random.default_rng(0), 0, 0
    for number, photo in enumerate(found.photos):
        z, camera = _z(photo), _camera(photo)
        pixels = _drawn(np.isfinite(z), rng, _ASKED)
        here, places = np.stack([pixels[1] + 0.5, pixels[0] + 0.5], -1), _places(camera, z, pixels)
        count = np.ones(len(places), int)
        for other, partner in enumerate(found.photos):
            if other != number:
                count += _comes_back(partner, camera, here, z[pixels], places)
        good += int((count >= photos).sum())
        total += len(places)
    return good / total if total else float("nan")


def _comes_back(partner: Photo, camera: Camera, here: Floats, depth: FloatArray, places: Floats) -> NDArray[np.bool_]:
    """Whether the partner measured the same places."""
    there, lens = _z(partner), _camera(partner)
    at, front = lens.project(places)
    inside = (front > 0) & (at > 0).all(-1) & (at < there.shape[::-1]).all(-1)
    x, y = (np.where(inside, at[:, k], 0).astype(int) for k in (0, 1))
    measured = np.where(inside, there[y, x], np.nan)
    back, again = camera.project(lens.unproject(np.stack([x + 0.5, y + 0.5], -1), np.nan_to_num(measured)))
    # the pixel that was met has its centre beside the ray: what that moves the point is no disagreement
    shift = np.linalg.norm(at - np.stack([x + 0.5, y + 0.5], -1), axis=1)
    near = np.linalg.norm(back - here, axis=1) < _BACK_PX + shift
    return np.asarray(np.isfinite(measured) & near & (np.abs(again - depth) < _BACK_DEPTH * depth))


def _z(photo: Photo) -> FloatArray:
    assert photo.depth is not None
    return photo.depth.z


def _filled(found: Capture) -> float:
    """Share of the pixels, within masks, that have a depth."""
    from ..photoset.ranges import foreground

    have = whole = 0.0
    for photo in found.photos:
        mask, z = foreground(photo), _z(photo)
        have += float(np.isfinite(z).sum())
        whole += z.size * (1.0 if mask is None else float(mask.mean()))
    return have / max(whole, 1.0)


def _peak() -> float:
    """Most memory that this process has held, megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def write_sheet(found: Capture, path: Path, truth: Truth | None = None, most: int = 4, width: int = 400) -> None:
    """Photo, depth, normals and, where truth is known, error (black: none, white: 0.5 % of the diagonal and more, blue:
    not measured), of a few photos, as one picture."""
    from PIL import Image

    from ..files import write_whole

    rows = []
    for number in range(0, len(found.photos), -(-len(found.photos) // most)):
        tiles = _tiles(found.photos[number], truth, number)
        height = round(width * tiles[0].shape[0] / tiles[0].shape[1])
        small = [Image.fromarray((np.clip(t, 0, 1) * 255).astype(np.uint8)).resize((width, height)) for t in tiles]
        rows.append(np.concatenate([np.asarray(t) for t in small], 1))
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(rows)).save(buffer, format="PNG")
    write_whole({path: buffer.getvalue()})


def _tiles(photo: Photo, truth: Truth | None, number: int) -> list[FloatArray]:
    z = _z(photo)
    known = np.isfinite(z)
    inverse = np.where(known, 1 / np.where(known, z, 1), 0)
    low, high = np.percentile(inverse[known], [2, 98]) if known.any() else (0.0, 1.0)
    shade = np.clip((inverse - low) / max(high - low, 1e-12), 0, 1)
    turns = np.array([0.0, 0.33, 0.67])
    colour = 0.5 + 0.5 * np.cos(2 * np.pi * (shade[..., None] * 0.8 + turns))
    tiles = [photo.image, np.where(known[..., None], colour * (0.35 + 0.65 * shade[..., None]), 0)]
    assert photo.depth is not None
    if photo.depth.normals is not None:
        facing = photo.depth.normals * np.array([0.5, -0.5, -0.5]) + 0.5
        tiles.append(np.where(known[..., None], facing, 0))
    if truth is not None:
        off = np.nan_to_num(np.abs(z - truth.z[number]) / (WITHIN * truth.diagonal), nan=0.0)
        error = np.repeat(np.clip(off, 0, 1)[..., None], 3, -1)
        missing = np.isfinite(truth.z[number]) & ~known
        tiles.append(np.where(missing[..., None], np.array([0.1, 0.2, 0.7]), error))
    return [np.asarray(tile, np.float32) for tile in tiles]
