"""What the pictures of a set have in common: features and verified matches, in a database of COLMAP's (pycolmap)."""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...capture import Photo
from ...conventions import to_uint8
from ...lens import Lens
from ...runtime import Runtime, need

#: Up to so many pictures every pair is tried; above, neighbours in order.
EXHAUSTIVE = 120
#: Matches of a pair that are believed.
INLIERS = 15
#: Focal length in longest sides where nothing tells it, as COLMAP has it.
_FOCAL = 1.2


@dataclass(frozen=True)
class Pair:
    """Two pictures (indices) and where they show the same points: pixels_a, pixels_b (N, 2) float64."""

    a: int
    b: int
    pixels_a: NDArray[np.float64]
    pixels_b: NDArray[np.float64]


@dataclass(frozen=True)
class Matched:
    """The database, in a folder of its own; ids: number of each photo in it; cameras: its cameras, one for each photo
    (many may be one); given: whether their lenses are known; features: how many each photo has; pairs: verified ones.
    """

    room: Path
    ids: tuple[int, ...]
    cameras: tuple[int, ...]
    given: tuple[bool, ...]
    features: tuple[int, ...]
    pairs: tuple[Pair, ...]

    @property
    def database(self) -> Path:
        """The database's file."""
        return self.room / "matches.db"


def colmap() -> Any:
    """pycolmap, told to be quiet. Raises MissingExtraError."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    module: Any = need("pycolmap", "sets")
    module.logging.minloglevel = 3  # libraries do not print
    if threading.current_thread() is threading.main_thread():
        for number, handler in kept.items():  # its import installs handlers that print stack traces
            if handler is not None:
                signal.signal(number, handler)
    return module


def matched(
    photos: Sequence[Photo], room: Path, shared: str, lens_model: str, features: int, runtime: Runtime
) -> Matched:
    """Find features (inside masks) and match them. shared: "auto", "shared" or "each"; lens_model: COLMAP's name."""
    pycolmap = colmap()
    pycolmap.set_random_seed(runtime.seed)
    names = _written(photos, room, _groups(photos, shared))
    threads = runtime.threads or -1
    reader = pycolmap.ImageReaderOptions(camera_model=lens_model)
    if (room / "masks").is_dir():
        reader.mask_path = room / "masks"
    finding = pycolmap.FeatureExtractionOptions(num_threads=threads, use_gpu=False)
    finding.sift.max_num_features = features
    database = room / "matches.db"
    runtime.progress("features", 0.0)
    pycolmap.extract_features(
        database, room / "images", sorted(names), pycolmap.CameraMode.PER_FOLDER, reader, finding, pycolmap.Device.cpu
    )
    with pycolmap.Database.open(database) as opened:
        images = {image.name: image for image in opened.read_all_images()}
        ids = tuple(images[name].image_id for name in names)
        cameras = tuple(images[name].camera_id for name in names)
        given = _lenses(opened, photos, cameras)
        counts = tuple(opened.num_keypoints_for_image(i) for i in ids)
    runtime.progress("features", 1.0)
    _match(pycolmap, database, len(photos), threads, runtime)
    return Matched(room, ids, cameras, given, counts, _pairs(pycolmap, database, ids))


def _groups(photos: Sequence[Photo], shared: str) -> list[int]:
    """Which photos share one camera: a number for each. Auto: those of one size, lens and focal length."""
    keys: list[object] = []
    for number, photo in enumerate(photos):
        focal = None if photo.focal_px is None else round(photo.focal_px)
        keys.append({"each": number, "shared": photo.size}.get(shared, (photo.size, photo.lens, focal)))
    first = {key: number for number, key in reversed(list(enumerate(keys)))}
    return [first[key] for key in keys]


def _written(photos: Sequence[Photo], room: Path, groups: Sequence[int]) -> list[str]:
    """Grey pictures and masks for COLMAP, a folder for each camera; their names."""
    names = []
    for number, (photo, group) in enumerate(zip(photos, groups, strict=True)):
        name = f"{group:05d}/{number:05d}.pgm"
        _save(photo.image @ np.array([0.299, 0.587, 0.114], np.float32), room / "images" / name)
        if photo.mask is not None:
            _save((photo.mask.alpha > 0.5).astype(np.float32), room / "masks" / f"{name}.png")
        names.append(name)
    return names


def _save(plane: NDArray[np.float32], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(to_uint8(plane)).save(path)


def _lenses(database: Any, photos: Sequence[Photo], cameras: Sequence[int]) -> tuple[bool, ...]:
    """Write what is known of each camera's lens; whether it is known whole."""
    given = []
    for photo, number in zip(photos, cameras, strict=True):
        camera = database.read_camera(number)
        focal = photo.focal_px or _FOCAL * max(photo.size)
        if photo.lens is not None:
            describe(camera, photo.lens)
        else:
            camera.params = [focal, *camera.params[1:]]
        camera.has_prior_focal_length = photo.lens is not None or photo.focal_px is not None
        database.update_camera(camera)
        given.append(photo.lens is not None)
    return tuple(given)


def describe(camera: Any, lens: Lens) -> None:
    """Make COLMAP's camera draw as ``lens`` does."""
    import pycolmap

    straight = [lens.fx, lens.fy, lens.cx, lens.cy]
    camera.model = pycolmap.CameraModelId.PINHOLE if lens.is_pinhole else pycolmap.CameraModelId.OPENCV
    camera.params = straight if lens.is_pinhole else [*straight, *lens.distortion]


def lens_of(camera: Any) -> Lens:
    """The lens of a camera of COLMAP's (one of its pinholes, SIMPLE_RADIAL, RADIAL or OPENCV)."""
    p = [float(v) for v in camera.params]
    name = camera.model_name
    if name in ("PINHOLE", "OPENCV"):
        fx, fy, cx, cy, *rest = p
    else:
        fx, cx, cy, *rest = p
        fy = fx
    k1, k2, p1, p2 = (*rest, 0.0, 0.0, 0.0, 0.0)[:4]
    return Lens(int(camera.width), int(camera.height), fx, fy, cx, cy, (k1, k2, p1, p2))


def _match(pycolmap: Any, database: Path, count: int, threads: int, runtime: Runtime) -> None:
    runtime.progress("matching", 0.0)
    matching = pycolmap.FeatureMatchingOptions(num_threads=threads, use_gpu=False)
    verifying = pycolmap.TwoViewGeometryOptions(min_num_inliers=INLIERS)
    verifying.ransac.random_seed = runtime.seed
    if count <= EXHAUSTIVE:
        pairing = pycolmap.ExhaustivePairingOptions()
        pycolmap.match_exhaustive(database, matching, pairing, verifying, pycolmap.Device.cpu)
    else:
        pairing = pycolmap.SequentialPairingOptions(overlap=10, quadratic_overlap=True)
        pycolmap.match_sequential(database, matching, pairing, verifying, pycolmap.Device.cpu)
    runtime.progress("matching", 1.0)


def _pairs(pycolmap: Any, database: Path, ids: Sequence[int]) -> tuple[Pair, ...]:
    index = {number: i for i, number in enumerate(ids)}
    found = []
    with pycolmap.Database.open(database) as opened:
        spots = [np.asarray(opened.read_keypoints(number), np.float64)[:, :2] for number in ids]
        numbers, geometries = opened.read_two_view_geometries()
        for number, geometry in zip(numbers, geometries, strict=True):
            rows = np.asarray(geometry.inlier_matches, np.int64)
            if len(rows) >= INLIERS:
                a, b = (index[i] for i in pycolmap.pair_id_to_image_pair(number))
                found.append(Pair(a, b, spots[a][rows[:, 0]], spots[b][rows[:, 1]]))
    return tuple(sorted(found, key=lambda pair: (pair.a, pair.b)))
