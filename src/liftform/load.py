"""Files, arrays, pictures and sets -> Capture: upright, sRGB, at working size; hostile files: typed errors."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .capture import Capture, Decision, Mask, Photo, Sparse
from .conventions import CONVENTIONS
from .errors import InputError, UsageError
from .lens import Lens
from .photoset.posed import PosedPhoto
from .photoset.sources import Found, Item, found
from .picture import decode, pixels
from .recipe import option
from .runtime import Runtime

Source: TypeAlias = "str | Path | bytes | Image.Image | NDArray[Any] | Photo | Capture"


@dataclass(frozen=True)
class LoadOptions:
    """How pictures are opened. max_side: longest side in pixels of the picture that is worked on."""

    max_side: int = option(2048, "longest side, in pixels, of the picture that is worked on", low=64, high=10000)


def load(source: Source, options: LoadOptions | None = None, runtime: Runtime | None = None) -> Capture:
    """Open a picture: a path, the bytes of a file, a Pillow image, an array, or a Photo or Capture (kept as it is).

    Arrays are (H, W), (H, W, 3) or (H, W, 4): uint8, uint16 or float in [0, 1], sRGB-encoded, straight alpha.
    The photo is float32 sRGB, upright by EXIF, its longest side at most ``max_side``, resized in linear light (large
    JPEGs are first halved by their decoder). What was decided is in the capture's decisions.
    Raises InputNotFoundError, UnreadableError, TooLargeError (above 100 megapixels, refused before decoding),
    InputError (under 16 px a side, arrays of a wrong shape, not finite or out of range).
    """
    options, runtime = options or LoadOptions(), runtime or Runtime()
    if isinstance(source, Capture):
        return source
    if isinstance(source, Photo):
        return Capture((source,))
    runtime.progress("load", 0.0)
    if isinstance(source, str | Path):
        name, raw = str(source), decode.from_path(source, options.max_side)
    elif isinstance(source, bytes):
        name, raw = "bytes", decode.from_stream(io.BytesIO(source), "bytes", "", options.max_side)
    elif isinstance(source, Image.Image):
        name = str(getattr(source, "filename", "") or "picture")
        raw = decode.from_pillow(source, name)
    elif isinstance(source, np.ndarray):
        name, raw = "array", decode.from_array(source)
    else:
        known = "a path, bytes, a Pillow image or a numpy array"
        raise UsageError(f"cannot load a {type(source).__name__}", f"give {known}")
    capture = _finished(raw, name, options.max_side, isinstance(source, str | Path | bytes))
    runtime.progress("load", 1.0)
    return capture


def _finished(raw: decode.Raw, name: str, max_side: int, from_file: bool) -> Capture:
    """Resize, colour-manage and turn a decoded picture, and write down what was decided."""
    rows, columns = raw.pixels.shape[:2]
    scale = min(1.0, max_side / max(rows, columns))
    width, height = round(columns * scale), round(rows * scale)
    if min(width, height) < decode.MIN_SIDE:
        what = f"{name}: {raw.full[0]} x {raw.full[1]} pixels are too narrow to work at {max_side} px"
        raise InputError(what, "crop it around the object or raise max_side")
    sized = pixels.resized(raw.pixels, width, height)
    alpha = _alpha_of(sized)
    image, colour = _in_srgb(sized, raw.icc)
    image = decode.upright(image, raw.orientation)
    original = raw.full if raw.orientation < 5 else raw.full[::-1]
    photo = Photo(
        image=image,
        alpha=None if alpha is None else decode.upright(alpha, raw.orientation),
        source=name,
        original_size=original,
        focal_px=None if raw.focal_px is None else raw.focal_px * max(width, height) / max(raw.full),
    )
    origin = "file" if from_file else "given"
    decisions = [Decision("picture size", list(original), origin)]
    if photo.size != original:
        decisions.append(Decision("working size", list(photo.size), "guessed", f"at most {max_side} px a side"))
    if raw.orientation != 1:
        decisions.append(Decision("orientation", raw.orientation, "file", "turned upright by its EXIF tag"))
    if alpha is not None:
        decisions.append(Decision("alpha", True, origin, "the picture has transparent pixels"))
    return Capture((photo,), (*decisions, *colour, *raw.decisions))


def _alpha_of(sized: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """The alpha plane (H, W), or None when there is none or it is opaque everywhere."""
    if sized.shape[2] != 4 or sized[..., 3].min() >= 1.0 - 0.5 / 255:
        return None
    return np.clip(sized[..., 3], 0.0, 1.0)


def _in_srgb(sized: NDArray[np.float32], icc: bytes | None) -> tuple[NDArray[np.float32], tuple[Decision, ...]]:
    image = np.repeat(sized, 3, 2) if sized.shape[2] == 1 else np.ascontiguousarray(sized[..., :3])
    if icc is None:
        return image, ()
    try:
        image, profile, changed = pixels.managed(image, icc)
    except ValueError as error:
        return image, (Decision("colour", "sRGB", "guessed", f"{error}: ignored"),)
    note = f"converted from the profile {profile!r}" if changed else f"the profile {profile!r} is sRGB already"
    return image, (Decision("colour", "sRGB", "file", note),)


#: Pixels that the photos of a set hold together at most: 1.5 GB of float32.
_SET_PIXELS = 128_000_000
_ASPECT_SLACK = 0.02


@dataclass(frozen=True)
class PhotosOptions:
    """How the pictures of a set are opened."""

    max_side: int = option(1600, "longest side, in pixels, of the pictures that are worked on", low=128, high=8192)
    frames: int = option(60, "most frames that are taken from a film", "frames", low=2, high=1000)
    masks: Literal["files", "none", "estimated"] = option(
        "files", "what is background: read masks beside the pictures (files), leave them, or estimate them", "masks"
    )
    cameras: Literal["use", "lens", "ignore"] = option(
        "use", "cameras that come with the pictures: use them, their lenses alone, or ignore them", "cameras"
    )
    convention: Literal["written", "other", "inverse", "inverse-other"] = option(
        "written",
        "axes of those cameras: as their format says, with y and z the other way, camera-from-world instead, or both",
        "convention",
    )


def photos(
    source: str | Path | Sequence[str | Path] | Capture,
    options: PhotosOptions | None = None,
    runtime: Runtime | None = None,
) -> Capture:
    """Open a set: a folder, a pattern with wildcards, a zip archive, a list of paths, or a film (extra ``video``).

    Pictures are opened as ``load`` does, in natural order; masks/NAME.png, STEM.mask.png or STEM_mask.png mark the
    object (white). A transforms.json, COLMAP model or Polycam export beside them gives lenses and cameras, whose world
    is the file's own. Pictures that cannot be opened and doubles are left out, said in the decisions; large sets are
    opened smaller. Raises as ``load`` and ``photoset.sources.found`` do, and InputError below two pictures.
    """
    options, runtime = options or PhotosOptions(), runtime or Runtime()
    if isinstance(source, Capture):
        return source
    with found(source) as things:
        named = str(source) if isinstance(source, str | Path) else "the list"
        if things.kind == "video":
            return _film(things.items[0].path, options, runtime)
        items, said = _without_doubles(things.items, named)
        # 3 : 4 pictures of this longer side fill what may be held
        side = min(options.max_side, int((_SET_PIXELS / max(len(items), 1) * 4 / 3) ** 0.5))
        kept: list[Photo] = []
        faults: list[InputError] = []
        for number, item in enumerate(items):
            runtime.progress("photos", number / len(items))
            try:
                kept.append(_of_set(item, side, options))
            except InputError as error:
                faults.append(error)
    if len(kept) < 2:
        if faults:
            raise faults[0]
        raise InputError(f"{named}: one picture is no set", "give two or more, or lift it with `liftform make`")
    if side < options.max_side and any(max(p.original_size) > side for p in kept):
        said.append(Decision("working size", side, "guessed", f"longest side: {len(kept)} pictures share the memory"))
    for fault in faults:
        said.append(Decision("left out", fault.message, "estimated", "a picture that cannot be opened"))
    given = sum(photo.posed for photo in kept)
    if given:
        said.append(Decision("given cameras", given, "file", f"of {len(kept)} pictures"))
    return Capture(tuple(kept), tuple(said), _given_points(things) if given else None)


def _film(path: Path, options: PhotosOptions, runtime: Runtime) -> Capture:
    from .photoset.video import frames

    side = min(options.max_side, int((_SET_PIXELS / (4 * options.frames) * 16 / 9) ** 0.5))
    taken, said = frames(path, options.frames, side, runtime)
    shots = [
        Photo(
            image=np.divide(frame.pixels, 255, dtype=np.float32),
            source=f"{path.stem}_{frame.seconds:08.3f}s.jpg",
            original_size=(frame.pixels.shape[1], frame.pixels.shape[0]),
        )
        for frame in taken
    ]
    return Capture(tuple(shots), (*said, Decision("film", path.name, "given")))


def _without_doubles(items: Sequence[Item], named: str) -> tuple[list[Item], list[Decision]]:
    """The items whose files differ; InputError where all are the same."""
    seen: dict[bytes, Item] = {}
    kept: list[Item] = []
    doubles: list[Item] = []
    for item in items:
        try:
            with item.path.open("rb") as stream:
                key = hashlib.file_digest(stream, "sha256").digest()
        except OSError:  # what is wrong with it says its opening
            kept.append(item)
            continue
        (doubles if key in seen else kept).append(item)
        seen.setdefault(key, item)
    if len(kept) == 1 and doubles:
        told = f"{named}: all {len(items)} pictures are the same"
        raise InputError(told, "move the camera between the pictures")
    said = [Decision("left out", item.path.name, "estimated", "the same as another picture") for item in doubles]
    return kept, said


def _of_set(item: Item, max_side: int, options: PhotosOptions) -> Photo:
    """One picture of a set with what is known of it."""
    raw = decode.from_path(item.path, max_side)
    known = item.known if options.cameras != "ignore" else None
    if known is not None:  # cameras refer to the pixels as they are stored
        raw.orientation = 1
    photo = _finished(raw, item.path.name, max_side, True).photo
    if known is not None:
        photo = _with_camera(photo, known, options)
    if options.masks == "files":
        photo = _with_mask(photo, item)
    return photo


def _with_camera(photo: Photo, known: PosedPhoto, options: PhotosOptions) -> Photo:
    """The photo with its lens, and with its pose where that is to be used."""
    width, height = photo.size
    if abs(width / height * known.camera.height / known.camera.width - 1) > _ASPECT_SLACK:
        told = f"{photo.source}: {width} x {height} pixels are not the shape of its camera"
        raise InputError(f"{told}, {known.camera.width} x {known.camera.height}", "was it turned or cropped since?")
    lens = Lens.of(known.camera, known.distortion).resized(width, height)
    if options.cameras == "lens":
        return replace(photo, lens=lens)
    pose = known.camera.world_from_camera
    if options.convention != "written":
        pose = CONVENTIONS[options.convention](pose)
    return replace(photo, lens=lens, camera=lens.camera(pose), posed=True)


def _with_mask(photo: Photo, item: Item) -> Photo:
    """The photo with the mask of its file, or of its own transparency."""
    alpha = photo.alpha
    if item.mask is not None:
        raw = decode.from_path(item.mask, max(photo.size))
        grey = pixels.resized(raw.pixels, *photo.size)
        alpha = np.clip(grey[..., 3] if grey.shape[2] == 4 and grey[..., 3].min() < 1 else grey[..., 0], 0, 1)
    if alpha is None:
        return photo
    return replace(photo, mask=Mask(alpha.astype(np.float32), photo.image, 1.0))


def _given_points(things: Found) -> Sparse | None:
    """Points that came with the cameras, of which nobody knows who saw them."""
    if not len(things.points):
        return None
    n, none = len(things.points), np.zeros(0, np.int32)
    colors, errors = np.full((n, 3), 0.5, np.float32), np.full(n, np.nan, np.float32)
    return Sparse(things.points, colors, errors, none, none, np.zeros((0, 2), np.float32))
