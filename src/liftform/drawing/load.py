"""A file of a plan -> its sheets: PDF, DXF or a picture, told by its bytes; hostile files are typed errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, InputNotFoundError, TooLargeError, UnreadableError, UsageError
from ..picture import decode
from ..picture.sniff import kind_of
from . import dxf, pdf
from .sheet import Sheet

#: Largest file (bytes) and most pixels of a picture that is worked on; larger ones are made smaller.
_MOST_BYTES, _MOST_PIXELS = 300_000_000, 24_000_000
_SMALLEST = 64
#: Median lightness of a sheet of coloured lines on dark ground.
_DARK = 0.2


def sheets(source: str | Path, pages: Sequence[int] | None = None) -> list[Sheet]:
    """The sheets of a PDF (``pages`` counted from 1, None = all of up to 12), a DXF, or a picture.

    Raises InputNotFoundError, UnreadableError, TooLargeError, InputError, UsageError (a page that is not there),
    MissingExtraError (packages of the extra "plans").
    """
    path = Path(source).expanduser()
    if not path.is_file():
        raise InputNotFoundError(f"{source}: no such file", "check the path")
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            head = stream.read(1024)
    except OSError as error:
        raise UnreadableError(f"{path}: cannot be read", "check its permissions") from error
    if size > _MOST_BYTES:
        raise TooLargeError(f"{path}: {size / 1e6:.0f} MB", "export one page of the plan alone")
    if size == 0:
        raise UnreadableError(f"{path}: an empty file", "export the plan again")
    if b"%PDF-" in head:
        return pdf.read(path, pages)
    if pages is not None and list(pages) != [1]:
        raise UsageError(f"{path}: only a PDF has several pages", "leave --page out")
    if dxf.is_dxf(head):
        return dxf.read(path)
    if kind_of(head) is None and path.suffix.lower() in (".pdf", ".dxf", ".dwg"):
        hint = "save it as DXF" if path.suffix.lower() == ".dwg" else "export the plan again"
        raise UnreadableError(f"{path}: not a readable {path.suffix[1:].upper()}", hint)
    return [_picture(path)]


def _picture(path: Path) -> Sheet:
    """A scan, screenshot or photo as a grey image of bounded size."""
    raw = decode.from_path(path, 20_000)
    image = decode.upright(raw.pixels, raw.orientation)
    grey = _grey(image)
    rows, columns = grey.shape
    if min(rows, columns) < _SMALLEST:
        raise InputError(f"{path}: {columns} x {rows} pixels are too few for a plan", "give a larger picture")
    shrink = max(1, math.ceil(math.sqrt(rows * columns / _MOST_PIXELS)))
    notes: tuple[str, ...] = ()
    if shrink > 1:
        rows, columns = rows // shrink, columns // shrink
        blocks = grey[: rows * shrink, : columns * shrink].reshape(rows, shrink, columns, shrink)
        grey = blocks.mean((1, 3), dtype=np.float32)
        notes = (f"worked on at 1/{shrink} of its pixels",)
    dpi = _dpi(path)
    mm = None if dpi is None else 25.4 / dpi * shrink
    return Sheet(str(path), 1, 1, "raster", (float(columns), float(rows)), (), (), mm, None, grey, notes)


def _grey(image: NDArray[Any]) -> NDArray[np.float32]:
    """Lightness float32 (H, W) of decoded pixels, transparent ones over white."""
    scale = 1.0 if image.dtype.kind == "f" else float(np.iinfo(image.dtype).max)
    channels = image if image.ndim == 3 else image[..., None]
    if channels.shape[2] >= 3:
        grey: NDArray[Any] = channels[..., 0] * np.float32(0.3) + channels[..., 1] * np.float32(0.59)
        grey = (grey + channels[..., 2] * np.float32(0.11)) / np.float32(scale)
        if float(np.median(grey)) < _DARK:  # coloured lines on black: as light as their lightest channel
            grey = channels[..., :3].max(2).astype(np.float32) / np.float32(scale)
    else:
        grey = channels[..., 0].astype(np.float32) / np.float32(scale)
    if channels.shape[2] in (2, 4):
        alpha = channels[..., -1].astype(np.float32) / np.float32(scale)
        grey = grey * alpha + (1 - alpha)
    return np.asarray(grey, np.float32)


def _dpi(path: Path) -> float | None:
    """Dots an inch that a picture's header states, where a scanner or plotter may have meant them."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            x, y = picture.info.get("dpi", (0, 0))
    except (OSError, ValueError, TypeError, Image.DecompressionBombError):
        return None
    x, y = float(x), float(y)
    return x if 90 < x < 2500 and abs(x - y) < 0.02 * x and round(x) != 96 else None
