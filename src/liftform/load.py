"""Files, arrays and pictures in memory -> Capture: upright, sRGB, at working size; hostile files are typed errors."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .capture import Capture, Decision, Photo
from .errors import InputError, UsageError
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
