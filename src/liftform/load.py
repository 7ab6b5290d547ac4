"""Files, arrays and pictures in memory -> Capture: upright, sRGB, at working size; hostile files are typed errors."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import stat
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from . import exif, pixels, sniff
from .capture import Capture, Decision, Photo
from .errors import InputError, InputNotFoundError, LiftformError, TooLargeError, UnreadableError, UsageError
from .recipe import option
from .runtime import Runtime

Source: TypeAlias = "str | Path | bytes | Image.Image | NDArray[Any] | Photo | Capture"

#: The most pixels that are opened, and the shortest side that can show an object.
MAX_PIXELS = 100_000_000
MIN_SIDE = 16
MAX_ASPECT = 128

_READABLE = "use JPEG, PNG, WebP, TIFF, BMP, GIF, HEIC or AVIF"
_COPY_AGAIN = "copy or export the picture again"

#: kind -> (Pillow's names of it, the module that knows it; importing just that one spares 0.1 s for all the others).
_PILLOW = {
    "JPEG": (("JPEG", "MPO"), "MpoImagePlugin"),
    "PNG": (("PNG",), "PngImagePlugin"),
    "WebP": (("WEBP",), "WebPImagePlugin"),
    "TIFF": (("TIFF",), "TiffImagePlugin"),
    "BMP": (("BMP", "DIB"), "BmpImagePlugin"),
    "GIF": (("GIF",), "GifImagePlugin"),
    "AVIF": (("AVIF",), "AvifImagePlugin"),
}
_SILENT = logging.NullHandler()
_stderr_lock = threading.Lock()


@dataclass(frozen=True)
class LoadOptions:
    """How pictures are opened. max_side: longest side in pixels of the picture that is worked on."""

    max_side: int = option(2048, "longest side, in pixels, of the picture that is worked on", low=64, high=10000)


@dataclass
class _Raw:
    """A decoded picture before it is made upright and sized: pixels (H, W, C), C in 1, 3, 4, with what the file said.

    Not yet turned by ``orientation`` (EXIF, 1-8). ``focal_px`` is for ``full``, the file's own (width, height).
    """

    pixels: NDArray[Any]
    full: tuple[int, int]
    orientation: int = 1
    icc: bytes | None = None
    focal_px: float | None = None
    decisions: tuple[Decision, ...] = ()


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
        name, raw = str(source), _from_path(source, options.max_side)
    elif isinstance(source, bytes):
        name, raw = "bytes", _from_stream(io.BytesIO(source), "bytes", "", options.max_side)
    elif isinstance(source, Image.Image):
        name = str(getattr(source, "filename", "") or "picture")
        raw = _from_pillow(source, name, None)
    elif isinstance(source, np.ndarray):
        name, raw = "array", _from_array(source)
    else:
        known = "a path, bytes, a Pillow image or a numpy array"
        raise UsageError(f"cannot load a {type(source).__name__}", f"give {known}")
    capture = _finished(raw, name, options.max_side, isinstance(source, str | Path | bytes))
    runtime.progress("load", 1.0)
    return capture


def _from_path(source: str | Path, max_side: int) -> _Raw:
    name = str(source)
    if name.startswith(("http://", "https://")):
        raise InputNotFoundError(f"{name}: liftform does not fetch from the network", "download the picture first")
    try:
        path = Path(source).expanduser()
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise InputNotFoundError(f"{name}: a folder, not a picture", "give the path of one picture")
        if not stat.S_ISREG(mode):
            raise UnreadableError(f"{name}: not a regular file", _READABLE)
        with path.open("rb") as stream:
            return _from_stream(stream, name, path.suffix, max_side)
    except PermissionError as error:
        raise UnreadableError(f"{name}: no permission to read it", "change its permissions or copy it") from error
    except (OSError, ValueError, RuntimeError) as error:  # ValueError: a NUL in the name; RuntimeError: no home for ~
        if isinstance(error, FileNotFoundError | NotADirectoryError | ValueError | RuntimeError):
            raise InputNotFoundError(f"{name!r}: no such file", "check the path") from error
        raise UnreadableError(f"{name}: cannot be read ({error.strerror})", "check the path and the disk") from error


def _from_stream(stream: BinaryIO, name: str, suffix: str, max_side: int) -> _Raw:
    head = stream.read(512)
    if not head:
        raise UnreadableError(f"{name}: the file is empty (0 bytes)", _COPY_AGAIN)
    kind = sniff.kind_of(head[:64])
    if sniff.is_raw(kind, suffix):
        raise UnreadableError(f"{name}: camera raw files are not read", "export it as JPEG or TIFF first")
    if kind is None:
        raise UnreadableError(f"{name}: not a picture liftform reads, it is {sniff.describe(head)}", _READABLE)
    if kind == "WebP":
        _check_size(sniff.webp_size(head) or (MIN_SIDE, MIN_SIDE), name)
    with _typed_errors(stream, name, kind):
        raw = _decoded(stream, name, kind, max_side)
    if suffix and suffix.lower() not in sniff.SUFFIXES[kind]:
        note = f"named {suffix} but the content is {kind}; the content was believed"
        raw.decisions = (Decision("file type", kind, "file", note), *raw.decisions)
    return raw


@contextlib.contextmanager
def _typed_errors(stream: BinaryIO, name: str, kind: str) -> Iterator[None]:
    """Whatever a decoder does with a hostile file becomes one typed line; its warnings and logs stay unheard."""
    for library in ("tifffile", "PIL"):
        logging.getLogger(library).addHandler(_SILENT)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except LiftformError:
        raise
    except Image.DecompressionBombError as error:
        raise TooLargeError(f"{name}: more than {MAX_PIXELS // 10**6} megapixels", "make it smaller first") from error
    except MemoryError as error:
        raise TooLargeError(f"{name}: not enough memory to open it", "make it smaller first") from error
    except Exception as error:
        words = str(error).lower()
        if "truncat" in words or "incomplete" in words or sniff.cut_short(stream, kind):
            raise UnreadableError(f"{name}: the {kind} file is cut short (truncated)", _COPY_AGAIN) from error
        raise UnreadableError(f"{name}: the {kind} file is damaged or of an unknown variant", _COPY_AGAIN) from error


def _decoded(stream: BinaryIO, name: str, kind: str, max_side: int) -> _Raw:
    if kind == "TIFF":
        from . import tiff

        deep = tiff.read_deep(stream, lambda size: _check_size(size, name), name)
        if deep is not None:
            raw = _Raw(deep.pixels, deep.size, deep.orientation, deep.icc, decisions=deep.decisions)
            raw.focal_px, focal = exif.focal_length(deep.exif, raw.full)
            raw.decisions = (*raw.decisions, focal)
            return raw
    stream.seek(0)
    if kind == "HEIC":
        import pi_heif

        heif = pi_heif.open_heif(stream, convert_hdr_to_8bit=True)
        _check_size(heif.size, name)
        return _from_pillow(heif.to_pillow(), name, None)
    names, module = _PILLOW[kind]
    importlib.import_module(f"PIL.{module}")
    with _quiet_stderr() if kind == "TIFF" else contextlib.nullcontext():
        return _from_pillow(Image.open(stream, formats=names), name, max_side)


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Keep libtiff, which writes its complaints from C, from printing them on the user's terminal."""
    with _stderr_lock, open(os.devnull, "wb") as nowhere:
        try:
            kept = os.dup(2)
        except OSError:  # a process without a standard error has nothing to keep quiet
            yield
            return
        try:
            os.dup2(nowhere.fileno(), 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _from_pillow(picture: Image.Image, name: str, max_side: int | None) -> _Raw:
    """A Pillow image, its pixels perhaps not yet decoded; ``max_side`` allows JPEG to be decoded at a fraction."""
    _check_size(picture.size, name)
    full = picture.size
    tags = exif.read(picture)
    focal_px, focal = exif.focal_length(tags, full)
    decisions = [focal]
    if getattr(picture, "is_animated", False) and picture.format != "MPO":
        decisions.append(Decision("frames", "first", "guessed", "an animation: all frames but the first are ignored"))
    if any(";16" in str(tile[3]) for tile in getattr(picture, "tile", ())) and picture.mode in ("RGB", "RGBA"):
        decisions.append(Decision("bits", 8, "guessed", "16-bit colour, read at 8 bits a channel"))
    if max_side is not None and picture.format in ("JPEG", "MPO"):
        # A tenth below the working size is still enough: 4000 px are halved to 2000 in the decoder, four times faster.
        shrink = 0.9 * max_side / max(full)
        picture.draft(picture.mode, (int(full[0] * shrink), int(full[1] * shrink)))
    picture.load()
    icc = picture.info.get("icc_profile")
    array, icc, changes = _array_of(picture, icc if isinstance(icc, bytes) else None, name)
    # Read after decoding: Pillow turns TIFFs by itself and then takes the tag away.
    return _Raw(array, full, exif.orientation(picture), icc, focal_px, (*decisions, *changes))


def _array_of(picture: Image.Image, icc: bytes | None, name: str) -> tuple[NDArray[Any], bytes | None, list[Decision]]:
    """Pixels (H, W, 1 | 3 | 4) of a decoded Pillow image of any mode, the profile still to be applied, decisions."""
    mode = picture.mode
    if mode == "F" or mode.startswith("I"):
        array, changes = _deep_grey(np.asarray(picture), name)
        return array[..., None], icc, changes
    if mode == "CMYK":
        picture, profile = pixels.cmyk_to_rgb(picture, icc)
        note = f"CMYK by its profile {profile!r}" if profile else "CMYK without a usable profile: plain formula"
        return np.asarray(picture), None, [Decision("colour", "sRGB", "file" if profile else "guessed", note)]
    if mode in ("La", "LA", "PA", "RGBa", "RGBA") or "transparency" in picture.info:
        plain = {"La": "LA", "RGBa": "RGBA"}.get(mode, mode)
        return np.asarray(picture.convert(plain).convert("RGBA")), icc, []
    if mode in ("1", "L"):
        return np.asarray(picture.convert("L"))[..., None], icc, []
    if mode == "LAB":
        return np.asarray(pixels.lab_to_rgb(picture)), None, [Decision("colour", "sRGB", "file", "from CIELAB")]
    return np.asarray(picture if mode == "RGB" else picture.convert("RGB")), icc, []


def _deep_grey(array: NDArray[Any], name: str) -> tuple[NDArray[Any], list[Decision]]:
    """One plane (H, W) of 16 or 32-bit integers or floats: uint16, or float32 in [0, 1]."""
    if array.dtype.kind == "f":
        return pixels.brought_to_unit(array, name)
    if int(array.min()) < 0:
        raise UnreadableError(f"{name}: negative pixel values", "save it as unsigned 8 or 16 bits")
    if int(array.max()) <= 65535:  # Pillow's mode "I" is 32 bits wide but mostly holds 16-bit pictures
        return array.astype(np.uint16), []
    return (array / np.float64(2**31 - 1)).astype(np.float32), []


def _from_array(array: NDArray[Any]) -> _Raw:
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        raise InputError(f"array: shape {array.shape} is not a picture", "give (H, W), (H, W, 3) or (H, W, 4)")
    _check_size((array.shape[1], array.shape[0]), "array")
    if array.dtype.kind == "f":
        array = pixels.in_unit_range(array, "array")
    elif array.dtype not in (np.uint8, np.uint16):
        raise InputError(f"array: cannot read {array.dtype} pixels", "give uint8, uint16 or float in [0, 1]")
    return _Raw(array, (array.shape[1], array.shape[0]))


def _check_size(size: tuple[int, int], name: str) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        million = width * height / 1e6
        what = f"{name}: {width} x {height} pixels ({million:.0f} megapixels) are more than liftform opens"
        raise TooLargeError(what, f"make it smaller than {MAX_PIXELS // 10**6} megapixels")
    if min(width, height) < MIN_SIDE:
        raise InputError(f"{name}: {width} x {height} pixels are too few", f"give at least {MIN_SIDE} pixels a side")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise InputError(f"{name}: {width} x {height} pixels are too narrow", "crop it around the object")


def _finished(raw: _Raw, name: str, max_side: int, from_file: bool) -> Capture:
    """Resize, colour-manage and turn a decoded picture, and write down what was decided."""
    rows, columns = raw.pixels.shape[:2]
    scale = min(1.0, max_side / max(rows, columns))
    width, height = round(columns * scale), round(rows * scale)
    if min(width, height) < MIN_SIDE:
        what = f"{name}: {raw.full[0]} x {raw.full[1]} pixels are too narrow to work at {max_side} px"
        raise InputError(what, "crop it around the object or raise max_side")
    sized = pixels.resized(raw.pixels, width, height)
    alpha = _alpha_of(sized)
    image, colour = _in_srgb(sized, raw.icc)
    image = _upright(image, raw.orientation)
    original = raw.full if raw.orientation < 5 else raw.full[::-1]
    photo = Photo(
        image=image,
        alpha=None if alpha is None else _upright(alpha, raw.orientation),
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


def _upright(plane: NDArray[np.float32], orientation: int) -> NDArray[np.float32]:
    """A plane (H, W, ...) turned as EXIF orientation 1-8 says (CIPA DC-008)."""
    if orientation >= 5:
        plane = plane.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        plane = plane[:, ::-1]
    if orientation in (3, 4, 7, 8):
        plane = plane[::-1]
    return np.ascontiguousarray(plane)
