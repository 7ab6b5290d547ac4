"""TIFF files deeper than 8 bits (16 and 32-bit integers, floats), which Pillow reads coarsely or not at all."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..capture import Decision
from ..errors import UnreadableError
from . import exif, pixels

if TYPE_CHECKING:
    from tifffile import TiffPage

_ORIENTATION, _ICC, _EXIF = 274, 34675, 34665
_GREY_INVERTED = 0
_COLOURS = {0: 1, 1: 1, 2: 3}
_ALPHA_PREMULTIPLIED, _ALPHA_STRAIGHT = 1, 2
_EXIF_NAMES = {
    "FocalLength": exif.FOCAL_MM,
    "FocalLengthIn35mmFilm": exif.FOCAL_35MM,
    "PixelXDimension": exif.WIDTH,
    "PixelYDimension": exif.HEIGHT,
    "FocalPlaneXResolution": exif.PLANE_X,
    "FocalPlaneResolutionUnit": exif.PLANE_UNIT,
}


@dataclass(frozen=True)
class DeepTiff:
    """pixels (H, W, 1 | 3 | 4) as stored, uint16, uint32 or float32 in [0, 1]; the rest as in load."""

    pixels: NDArray[Any]
    size: tuple[int, int]
    orientation: int
    icc: bytes | None
    exif: dict[int, Any] = field(default_factory=dict)
    decisions: tuple[Decision, ...] = ()


def read_deep(stream: BinaryIO, check_size: Callable[[tuple[int, int]], None], name: str) -> DeepTiff | None:
    """The first page of a deep TIFF, or None where Pillow does as well (8 bits) or better (its compressions).

    ``check_size`` is called with (width, height) before anything is decoded. Raises UnreadableError on values that
    are not finite; errors of the decoder pass through.
    """
    import tifffile

    stream.seek(0)
    try:
        with tifffile.TiffFile(stream) as file:
            page = file.pages[0].aspage()
            size = (int(page.imagewidth), int(page.imagelength))
            if not _is_ours(page):
                return None
            check_size(size)
            _check_honest(page, stream, name)
            array = page.asarray()
            more = len(file.pages) > 1
    except tifffile.TiffFileError:
        return None  # Pillow has the last word on what is a TIFF
    except ValueError as error:
        if "imagecodecs" in str(error):
            return None
        raise
    array, decisions = _interleaved(array, page, name)
    if more:
        decisions.append(Decision("frames", "first", "guessed", "a TIFF of many pages: all but the first are ignored"))
    return DeepTiff(array, size, _orientation(page), _icc(page), _exif(page), tuple(decisions))


def _is_ours(page: TiffPage) -> bool:
    """Deep, grey or RGB, and one plane thick; everything else is left to Pillow."""
    dtype = page.dtype
    deep = dtype is not None and dtype.itemsize > 1 and dtype.kind in "uf"
    return deep and int(page.photometric) in _COLOURS and page.imagedepth == 1 and 1 <= page.samplesperpixel <= 8


def _check_honest(page: TiffPage, stream: BinaryIO, name: str) -> None:
    """Refuse pages whose strips or tiles are far larger than the picture, or uncompressed and beyond the file's end."""
    length = stream.seek(0, 2)
    if page.is_tiled and page.tilewidth * page.tilelength > 4 * max(page.imagewidth * page.imagelength, 1024**2):
        raise UnreadableError(f"{name}: the TIFF file is damaged", "export the picture again")
    ends = [o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=False)]
    if max(ends, default=length + 1) > length or len(ends) < math.prod(page.chunked):
        raise UnreadableError(f"{name}: the TIFF file is cut short (truncated)", "copy or export the picture again")


def _interleaved(array: NDArray[Any], page: TiffPage, name: str) -> tuple[NDArray[Any], list[Decision]]:
    """(H, W, 1 | 3 | 4) in [0, full scale], straight alpha."""
    colours = _COLOURS[int(page.photometric)]
    array = array.reshape(array.shape if array.ndim == 3 else (*array.shape, 1))
    if page.planarconfig == 2 and page.samplesperpixel > 1:
        array = np.moveaxis(array, 0, -1)
    decisions: list[Decision] = []
    if array.dtype.kind == "f":
        array, decisions = pixels.brought_to_unit(array, name)
    if int(page.photometric) == _GREY_INVERTED:
        array = np.concatenate([_full(array) - array[..., :1], array[..., 1:]], -1)
    extra = int(page.extrasamples[0]) if page.extrasamples else 0
    if extra not in (_ALPHA_PREMULTIPLIED, _ALPHA_STRAIGHT) or array.shape[2] <= colours:
        return np.ascontiguousarray(array[..., :colours]), decisions
    colour, alpha = array[..., :colours], array[..., colours : colours + 1]
    if extra == _ALPHA_PREMULTIPLIED:
        colour = pixels.unit(colour) / np.maximum(pixels.unit(alpha), 1e-6)
        colour, alpha = np.clip(colour, 0, 1), pixels.unit(alpha)
    return np.concatenate([*([colour] * (3 // colours)), alpha], -1), decisions


def _full(array: NDArray[Any]) -> Any:
    return array.dtype.type(1 if array.dtype.kind == "f" else np.iinfo(array.dtype).max)


def _orientation(page: TiffPage) -> int:
    value = int(exif.number(page.tags.valueof(_ORIENTATION)))
    return value if 1 <= value <= 8 else 1


def _icc(page: TiffPage) -> bytes | None:
    value = page.tags.valueof(_ICC)
    return value if isinstance(value, bytes) else None


def _exif(page: TiffPage) -> dict[int, Any]:
    value = page.tags.valueof(_EXIF)
    if not isinstance(value, dict):
        return {}
    return {number: value[name] for name, number in _EXIF_NAMES.items() if name in value}
