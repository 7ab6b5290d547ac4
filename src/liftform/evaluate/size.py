"""How well a reference beside an object gives its size.

Rendered tables with things of known size; and photos that hold none, for false alarms.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..assets import Material, Mesh
from ..camera import Camera
from ..capture import Capture, Mask, Photo
from ..conventions import rotation_y
from ..errors import InputNotFoundError, LiftformError
from ..render import Scene
from ..runtime import Runtime, need
from .tables import Grid

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]

KINDS = ("aruco", "apriltag", "a4", "letter", "card")
#: Long and short side in metres of what is not a marker.
_SHEETS = {"a4": (0.297, 0.210), "letter": (0.2794, 0.2159), "card": (0.0856, 0.05398)}
#: sRGB of the table, of paper and of a card.
_TABLE, _PAPER, _CARD = (128, 112, 96), (236, 236, 232), (40, 66, 110)
_PICTURE = (1280, 960)
#: Longest side in metres of what a card is laid beside.
_CARDS_UP_TO = 0.6


@dataclass(frozen=True)
class View:
    """One rendered case: the picture with its mask and true camera, and the object as it truly stands, in metres."""

    name: str
    kind: str
    marker_m: float | None
    capture: Capture
    truth: Mesh


@dataclass(frozen=True)
class Result:
    """Relative errors of the height, with the error that was expected; NaN where nothing was measured, and why."""

    name: str
    kind: str
    error: float
    expected: float
    why: str = ""


def views(objects: str | Path, count: int = 20, seed: int = 0) -> Iterator[View]:
    """Held-out objects of known size, each on a table beside a reference, seen from 20 to 50 degrees above.

    objects: a folder with manifest.jsonl (file, family, split, bbox_m). Raises InputNotFoundError.
    """
    rows = _rows(Path(objects))
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(rows))
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        fitting = [k for k in order if kind != "card" or max(rows[k]["bbox_m"]) <= _CARDS_UP_TO]
        row = rows[fitting[number % len(fitting)]]
        yield view(read(Path(objects) / row["file"]), kind, rng, f"{row['id']} {kind}")


def read(path: Path) -> Mesh:
    """An object's mesh, standing on the floor."""
    from ..read_mesh import read_mesh

    return read_mesh(path)


def view(thing: Mesh, kind: str, rng: np.random.Generator, name: str = "", pixels: tuple[int, int] = _PICTURE) -> View:
    """A picture of a thing (metres, on the floor y = 0) beside a reference, drawn again until all of that is seen."""
    size = float(np.linalg.norm(np.ptp(thing.vertices, axis=0)))
    side = round(0.22 * size, 3)
    printed, extent = _printed(kind, side, rng)
    alone = Scene(thing)
    for _ in range(500):
        camera, place, turn = _chosen(thing, extent, rng, pixels)
        if _whole(alone, camera, _laid(extent, place, turn)):
            break
    picture = Scene(_table(thing, printed, _laid(extent, place, turn))).render(camera, "textured", None, 2)
    face, things = picture.face, len(thing.faces)
    alpha = ((face >= 0) & (face < things)).astype(np.float32)
    image = picture.image[..., :3]
    photo = Photo(image, mask=Mask(alpha, image, 1.0), camera=camera, original_size=pixels, source=name)
    return View(name, kind, side if kind in ("aruco", "apriltag") else None, Capture((photo,)), thing)


def by_geometry(case: View) -> Result:
    """The reference found in the picture, with the true camera and shape at an unknown scale."""
    from ..refine.yardstick import measured
    from ..understand.reference import ReferenceOptions, reference

    photo = case.capture.photo
    options = ReferenceOptions(case.kind, case.marker_m)  # type: ignore[arg-type]
    given = replace(case.capture, photos=(replace(photo, focal_px=photo.camera.fy if photo.camera else None),))
    try:
        found = reference(options, Runtime())(known(given)).photo
    except LiftformError as error:
        return Result(case.name, case.kind, float("nan"), float("nan"), error.message)
    unit = 0.37  # the view frame's unit is anything
    mesh = case.truth.with_(vertices=case.truth.vertices * np.float32(unit))
    facts = measured(mesh, replace(found, camera=_scaled(photo.camera, unit))).metadata.get("reference", {})
    return Result(case.name, case.kind, facts["factor"] * unit - 1, facts["measuring_error"])


def by_road(case: View, recipe: dict[str, Any] | None = None) -> Result:
    """The whole road: mask, camera and shape are estimated from the picture too."""
    from ..pipeline import make

    photo = case.capture.photo
    options = {"reference": case.kind, "as_": "object", **(recipe or {})}
    if case.marker_m:
        options["marker"] = case.marker_m
    try:
        mesh = make((photo.image * 255 + 0.5).astype(np.uint8), **options).mesh
    except LiftformError as error:
        return Result(case.name, case.kind, float("nan"), float("nan"), error.message)
    scale = mesh.metadata["scale"]
    if scale["unit"] != "metre":
        return Result(case.name, case.kind, float("nan"), float("nan"), "no size")
    longest = float(np.ptp(mesh.vertices, axis=0).max() / np.ptp(case.truth.vertices, axis=0).max())
    return Result(case.name, case.kind, longest - 1, scale["error"])


def false_alarms(pictures: Sequence[Path], progress: Callable[[int, int], None] = lambda done, total: None) -> Grid:
    """What is taken for a reference in pictures that hold none, by what was asked for, and the seconds it takes."""
    from ..load import load
    from ..understand.reference import ReferenceOptions, reference

    rows: dict[str, list[float]] = {kind: [0, 0.0] for kind in ("auto", *KINDS)}
    for done, path in enumerate(pictures):
        photo = load(path).photo
        width, height = photo.size
        camera = Camera.from_fov(width, height, np.radians(45.0))
        for kind, row in rows.items():
            start = time.perf_counter()
            try:
                found = reference(ReferenceOptions(kind), Runtime())(Capture((replace(photo, camera=camera),)))  # type: ignore[arg-type]
            except LiftformError:
                found = Capture((photo,))
            row[1] += time.perf_counter() - start
            if found.photo.reference:
                row[0] += 1
        progress(done + 1, len(pictures))
    body = tuple(
        (kind, f"{n:.0f} of {len(pictures)}", f"{1000 * s / len(pictures):.0f} ms") for kind, (n, s) in rows.items()
    )
    title = "False alarms in pictures that hold no reference"
    return Grid(title, ("--reference", "alarms", "mean time"), body)


def grid(title: str, results: Sequence[Result]) -> Grid:
    """A row for each kind of reference, and one for all."""
    groups = {kind: [r for r in results if r.kind == kind] for kind in KINDS}
    rows = [_row(kind, group) for kind, group in {**groups, "all": list(results)}.items() if group]
    head = ("reference", "measured", "median error", "largest", "mean (sign kept)", "within 2 x the expected error")
    return Grid(title, head, tuple(rows))


def _row(kind: str, results: Sequence[Result]) -> tuple[str, ...]:
    known = [r for r in results if np.isfinite(r.error)]
    if not known:
        return kind, f"0 of {len(results)}", "-", "-", "-", "-"
    error = np.array([r.error for r in known])
    within = sum(abs(r.error) <= 2 * r.expected for r in known)
    shown = (f"{np.median(np.abs(error)):.1%}", f"{np.abs(error).max():.1%}", f"{error.mean():+.1%}")
    return kind, f"{len(known)} of {len(results)}", *shown, f"{within} of {len(known)}"


def _rows(objects: Path) -> list[dict[str, Any]]:
    """Held-out objects of the train split whose size is known and fits a table."""
    from ..train.object import is_held_out

    manifest = objects / "manifest.jsonl"
    if not manifest.is_file():
        raise InputNotFoundError(f"{manifest}: no such file", "give a folder of objects with its manifest")
    rows = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    known = [r for r in rows if r["split"] == "train" and r["bbox_m"] and 0.06 < max(r["bbox_m"]) < 2.5]
    return [r for r in known if is_held_out(r["family"])]


def _printed(kind: str, side: float, rng: np.random.Generator) -> tuple[Bytes, tuple[float, float]]:
    """The reference's picture (H, W, 3), and its width and height in metres; of a marker with the white around it."""
    if kind in _SHEETS:
        long, short = _SHEETS[kind]
        picture = np.empty((round(1024 * short / long), 1024, 3), np.uint8)
        picture[:] = _CARD if kind == "card" else _PAPER
        return picture, (long, short)
    cv2 = need("cv2", "markers")
    name = "APRILTAG_36h11" if kind == "apriltag" else ("4X4_50", "5X5_100", "6X6_250")[int(rng.integers(3))]
    dictionary = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, f"DICT_{name}"))
    black = cv2.aruco.generateImageMarker(dictionary, int(rng.integers(40)), 840)
    picture = np.repeat(np.pad(black, 120, constant_values=255)[..., None], 3, -1)
    return np.minimum(picture, 240).astype(np.uint8), (side * 1080 / 840,) * 2


def _chosen(
    thing: Mesh, extent: tuple[float, float], rng: np.random.Generator, size: tuple[int, int]
) -> tuple[Camera, Floats, float]:
    """A camera, and where on the floor the reference lies (centre, turn)."""
    reach = float(np.linalg.norm(thing.vertices[:, [0, 2]], axis=1).max())
    azimuth, elevation = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(20, 50))
    yfov = np.radians(rng.uniform(28, 55))
    beside = azimuth + rng.choice([-1, 1]) * np.radians(rng.uniform(35, 95))
    away = reach * 0.85 + 0.62 * float(np.hypot(*extent))
    place = np.array([np.sin(beside), np.cos(beside)]) * away
    low, high = thing.bounds.astype(np.float64)
    middle = np.array([place[0] * 0.5, (low[1] + high[1]) / 2, place[1] * 0.5])
    radius = 0.5 * float(np.linalg.norm(high - low)) + 0.5 * away
    distance = radius / np.sin(yfov / 2) * rng.uniform(1.0, 1.2)
    side = Camera.orbit(size[1], yfov, azimuth, elevation, distance)
    camera = Camera.from_fov(*size, yfov, side.world_from_camera)
    to_middle = np.eye(4)
    to_middle[:3, 3] = middle
    return camera.moved(to_middle), place, float(rng.uniform(0, 2 * np.pi))


def _table(thing: Mesh, printed: Bytes, corners: Floats) -> Mesh:
    """One textured mesh: the thing, the reference (the next two faces), and the table under both."""
    texture, uv = _own_texture(thing)
    strip = np.empty((max(texture.shape[0], printed.shape[0]), texture.shape[1] + printed.shape[1] + 8, 3), np.uint8)
    strip[:] = _TABLE
    strip[: texture.shape[0], : texture.shape[1]] = texture
    strip[: printed.shape[0], texture.shape[1] : texture.shape[1] + printed.shape[1]] = printed
    height, width = strip.shape[:2]
    half = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    size = float(np.linalg.norm(np.ptp(thing.vertices, axis=0)))
    sheet = corners + np.array([0.0, 2e-4 * size, 0.0])
    floor = np.insert(half * 60 * size, 1, -1e-3 * size, axis=1)
    on_sheet = (half + 0.5) * [printed.shape[1] - 1, printed.shape[0] - 1] + [texture.shape[1] + 0.5, 0.5]
    on_table = np.full((4, 2), [width - 4, 4.0])
    coordinates = np.concatenate([uv * texture.shape[1::-1], on_sheet, on_table]) / [width, height]
    count = len(thing.vertices)
    quad = np.array([[0, 2, 1], [0, 3, 2]])
    faces = np.concatenate([thing.faces, quad + count, quad + count + 4]).astype(np.int32)
    vertices = np.concatenate([thing.vertices, sheet, floor]).astype(np.float32)
    return Mesh(vertices, faces, uv=coordinates.astype(np.float32), material=Material(strip))


def _own_texture(thing: Mesh) -> tuple[Bytes, Floats]:
    """The thing's texture (H, W, 3) and uv in it; plain clay where it has none."""
    texture = thing.material.base_color_texture if thing.material else None
    if texture is None or thing.uv is None:
        return np.full((4, 4, 3), (190, 120, 80), np.uint8), np.full((len(thing.vertices), 2), 0.5)
    return texture[..., :3], np.mod(thing.uv.astype(np.float64), 1.0 + 1e-9)


def _laid(extent: tuple[float, float], place: Floats, turn: float) -> Floats:
    """Corners (4, 3) of the reference on the floor."""
    half = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    flat = (half * extent) @ rotation_y(turn)[[0, 2]][:, [0, 2]].T + place
    return np.insert(flat, 1, 0.0, axis=1)


def _whole(thing: Scene, camera: Camera, corners: Floats) -> bool:
    """Whether the reference is seen unhidden, inside the picture, and not too small."""
    pixels, _ = camera.project(corners)
    x, y = pixels.T
    area = 0.5 * abs(x @ np.roll(y, -1) - y @ np.roll(x, -1))
    if (pixels < 12).any() or (pixels > np.array([camera.width, camera.height]) - 12).any() or area < 500:
        return False
    s, t = (k.ravel()[:, None] for k in np.meshgrid(*[np.linspace(0, 1, 12)] * 2))
    points = corners[0] + s * (corners[1] - corners[0]) + t * (corners[3] - corners[0])
    return not thing.occluded(camera.position, points - camera.position).any()


def known(capture: Capture) -> Capture:
    """With a focal length that the file states."""
    from ..capture import Decision

    return capture.learned(capture.photo, Decision("field of view", 0.0, "file"))


def _scaled(camera: Camera | None, unit: float) -> Camera:
    assert camera is not None
    return camera.moved(np.eye(4), unit)
