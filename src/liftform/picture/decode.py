"""Files, arrays and Pillow images -> raw pixels with what the file said of them; hostile files are typed errors."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import stat
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..capture import Decision
from ..errors import InputError, InputNotFoundError, LiftformError, TooLargeError, UnreadableError
from . import exif, pixels, sniff

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


@dataclass
class Raw:
    """A decoded picture before it is made upright and sized: pixels (H, W, C), C in 1, 3, 4, with what the file said.

    Not yet turned by ``orientation`` (EXIF, 1-8). ``focal_px`` is for ``full``, the file's own (width, height).
    """

    pixels: NDArray[Any]
    full: tuple[int, int]
    orientation: int = 1
    icc: bytes | None = None
    focal_px: float | None = None
    decisions: tuple[Decision, ...] = ()


def from_path(source: str | Path, max_side: int) -> Raw:
    """Open a file; ``max_side`` allows its decoder to give less where it can. Errors as ``load`` describes them."""
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
            return from_stream(stream, name, path.suffix, max_side)
    except PermissionError as error:
        raise UnreadableError(f"{name}: no permission to read it", "change its permissions or copy it") from error
    except (OSError, ValueError, RuntimeError) as error:  # ValueError: a NUL in the name; RuntimeError: no home for ~
        if isinstance(error, FileNotFoundError | NotADirectoryError | ValueError | RuntimeError):
            raise InputNotFoundError(f"{name!r}: no such file", "check the path") from error
        raise UnreadableError(f"{name}: cannot be read ({error.strerror})", "check the path and the disk") from error


def from_stream(stream: BinaryIO, name: str, suffix: str, max_side: int) -> Raw:
    """Decode an open file called ``name``; its content decides what it is, ``suffix`` is only compared."""
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


def _decoded(stream: BinaryIO, name: str, kind: str, max_side: int) -> Raw:
    if kind == "TIFF":
        from . import tiff

        deep = tiff.read_deep(stream, lambda size: _check_size(size, name), name)
        if deep is not None:
            raw = Raw(deep.pixels, deep.size, deep.orientation, deep.icc, decisions=deep.decisions)
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


def _from_pillow(picture: Image.Image, name: str, max_side: int | None) -> Raw:
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
    return Raw(array, full, exif.orientation(picture), icc, focal_px, (*decisions, *changes))


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
        for step in {"La": ("LA", "RGBA"), "RGBA": ()}.get(mode, ("RGBA",)):  # a needless convert copies 100 MP
            picture = picture.convert(step)
        return np.asarray(picture), icc, []
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


def from_pillow(picture: Image.Image, name: str) -> Raw:
    """A caller's Pillow image, opened lazily perhaps; decoded but not changed. Errors as ``from_stream``."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _from_pillow(picture, name, None)
    except LiftformError:
        raise
    except Exception as error:
        raise UnreadableError(f"{name}: the picture cannot be decoded ({type(error).__name__})", _COPY_AGAIN) from error


def from_array(array: NDArray[Any]) -> Raw:
    """A caller's array (H, W), (H, W, 3) or (H, W, 4), uint8, uint16 or float in [0, 1]; else InputError."""
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        raise InputError(f"array: shape {array.shape} is not a picture", "give (H, W), (H, W, 3) or (H, W, 4)")
    _check_size((array.shape[1], array.shape[0]), "array")
    if array.dtype.kind == "f":
        array = pixels.in_unit_range(array, "array")
    elif array.dtype not in (np.uint8, np.uint16):
        raise InputError(f"array: cannot read {array.dtype} pixels", "give uint8, uint16 or float in [0, 1]")
    return Raw(array, (array.shape[1], array.shape[0]))


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


def upright(plane: NDArray[np.float32], orientation: int) -> NDArray[np.float32]:
    """A plane (H, W, ...) turned as EXIF orientation 1-8 says (CIPA DC-008)."""
    if orientation >= 5:
        plane = plane.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        plane = plane[:, ::-1]
    if orientation in (3, 4, 7, 8):
        plane = plane[::-1]
    return np.ascontiguousarray(plane)
