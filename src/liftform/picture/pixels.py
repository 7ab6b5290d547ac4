"""Pixel arithmetic shared by the stages: unit values, resizing in linear light, ICC profiles to sRGB."""

from __future__ import annotations

import functools
import io
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..capture import Decision
from ..conventions import linear_to_srgb, srgb_to_linear, to_uint8
from ..errors import InputError, UnreadableError

if TYPE_CHECKING:
    from PIL import Image

FloatArray = NDArray[np.float32]

#: Rows of the result made at once: small enough to stay in cache, large enough to keep the loop cheap.
_ROWS = 64
#: Largest change of any colour (of 255) by a profile that is called sRGB.
_SRGB_TOLERANCE = 2


def unit(pixels: NDArray[Any]) -> FloatArray:
    """Stored values of any shape (uint8, uint16, uint32 or float) to float32; full scale of an integer type is 1."""
    if pixels.dtype in (np.uint8, np.uint16):  # exact in float32: the correctly rounded quotient
        quotient: FloatArray = np.true_divide(pixels, np.float32(np.iinfo(pixels.dtype).max), dtype=np.float32)
        return quotient
    if pixels.dtype.kind == "u":
        return (pixels / np.float64(np.iinfo(pixels.dtype).max)).astype(np.float32)
    return np.asarray(pixels, np.float32)


def in_unit_range(array: NDArray[Any], name: str) -> FloatArray:
    """Floats of a caller's array as float32 in [0, 1].

    Raises UnreadableError on NaN and infinite values, InputError on another scale than [0, 1].
    """
    low, high = _finite_range(array, name)
    if low < -0.01 or high > 1.01:  # a resampling filter's overshoot is forgiven, another scale is not
        what = f"{name}: floating-point values from {low:g} to {high:g}"
        raise InputError(what, "scale them to [0, 1] (sRGB-encoded)")
    return np.asarray(np.clip(array, 0.0, 1.0), np.float32)


def brought_to_unit(array: NDArray[Any], name: str) -> tuple[FloatArray, list[Decision]]:
    """Floats of a file, whose scale nobody can be asked for, as float32 in [0, 1]: divided by the largest if above 1.

    Raises UnreadableError on NaN and infinite values.
    """
    _, high = _finite_range(array, name)
    if high <= 1.01:
        return np.clip(array, 0.0, 1.0).astype(np.float32), []
    note = f"floating-point values up to {high:g}: divided by the largest"
    return np.clip(array / high, 0.0, 1.0).astype(np.float32), [Decision("range", high, "guessed", note)]


def _finite_range(array: NDArray[Any], name: str) -> tuple[float, float]:
    low, high = float(array.min()), float(array.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise UnreadableError(f"{name}: contains NaN or infinite values", "replace them before saving the picture")
    return low, high


def resized(pixels: NDArray[Any], width: int, height: int) -> FloatArray:
    """Pixels (H, W, C) at another size, (height, width, C) float32 in [0, 1], sRGB-encoded, straight alpha.

    C is 1 (grey), 3 (RGB) or 4 (RGBA); values as ``unit`` takes them. Averages linear light, premultiplied by alpha
    (Porter and Duff 1984), with a Hamming-windowed filter that grows with the reduction, so nothing aliases.
    """
    rows, columns, channels = pixels.shape
    if (columns, rows) == (width, height):
        return unit(pixels)
    out = np.empty((height, width, channels), np.float32)
    step = rows / height
    for y0 in range(0, height, _ROWS):
        y1 = min(y0 + _ROWS, height)
        # The filter reaches one output pixel beyond the strip; one input row more covers the rounding.
        low, high = max(0, int((y0 - 1) * step) - 1), min(rows, int((y1 + 1) * step) + 2)
        box = (0.0, y0 * step - low, float(columns), min(y1 * step - low, high - low))
        out[y0:y1] = _resized_strip(pixels[low:high], (width, y1 - y0), box)
    return out


def _resized_strip(strip: NDArray[Any], size: tuple[int, int], box: tuple[float, float, float, float]) -> FloatArray:
    channels = strip.shape[2]
    colours = min(channels, 3)
    alpha = unit(strip[..., 3]) if channels == 4 else None
    out = np.empty((size[1], size[0], channels), np.float32)
    for c in range(colours):
        plane = _linear(strip[..., c])
        out[..., c] = _filtered(plane if alpha is None else plane * alpha, size, box)
    if alpha is not None:
        out[..., 3] = _filtered(alpha, size, box)
        out[..., :3] /= np.maximum(out[..., 3:], 1e-6)
    # 16 bits of linear light are finer than 1/40 of an 8-bit step everywhere, and a table is faster than a power.
    index = (np.clip(out[..., :colours], 0, 1) * np.float32(65535) + np.float32(0.5)).astype(np.uint16)
    out[..., :colours] = np.take(_encode_table(), index, mode="clip")
    return out


def _filtered(plane: FloatArray, size: tuple[int, int], box: tuple[float, float, float, float]) -> FloatArray:
    from PIL import Image

    return np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.HAMMING, box=box))


def _linear(plane: NDArray[Any]) -> FloatArray:
    if plane.dtype == np.uint8:
        return np.take(_linear_table(8), plane, mode="clip")
    if plane.dtype == np.uint16:
        return np.take(_linear_table(16), plane, mode="clip")
    return srgb_to_linear(unit(plane))


@functools.cache
def _linear_table(bits: int) -> FloatArray:
    top = 2**bits - 1
    return srgb_to_linear((np.arange(top + 1) / top).astype(np.float32))


@functools.cache
def _encode_table() -> FloatArray:
    return linear_to_srgb((np.arange(65536) / 65535).astype(np.float32))


def managed(image: FloatArray, icc: bytes) -> tuple[FloatArray, str, bool]:
    """An RGB image (H, W, 3) through its ICC profile to sRGB: (image, the profile's name, whether it was changed).

    A profile that moves no colour by more than 2/255 counts as sRGB and changes nothing; otherwise the result has
    8 bits a channel (that is what LittleCMS gives here). Raises ValueError on profiles that are damaged or not for
    this kind of picture. Relative colorimetric (ICC.1:2022) with black point compensation.
    """
    from PIL import Image

    profile, name, space = _opened(icc)
    grey = space == "GRAY"
    if not grey and space != "RGB":
        raise ValueError(f"the profile {name!r} is for {space or 'unknown'} pictures")
    if grey and not (image == image[..., :1]).all():
        raise ValueError(f"the profile {name!r} is for grey pictures")
    mode = "L" if grey else "RGB"
    if _is_srgb(profile, mode):
        return image, name, False
    stored = to_uint8(image[..., 0] if grey else image)
    return unit(np.asarray(_transformed(Image.fromarray(stored), profile, mode))), name, True


def cmyk_to_rgb(picture: Image.Image, icc: bytes | None) -> tuple[Image.Image, str]:
    """A Pillow CMYK image to RGB and the name of the profile used, "" for the plain formula (1-C)(1-K)."""
    if icc:
        try:
            profile, name, space = _opened(icc)
            if space == "CMYK":
                return _transformed(picture, profile, "CMYK"), name
        except ValueError:
            pass  # the plain formula below is the honest second best, and the empty name says so
    return picture.convert("RGB"), ""


def lab_to_rgb(picture: Image.Image) -> Image.Image:
    """A Pillow image in CIELAB (D50) to sRGB."""
    from PIL import ImageCms

    return _transformed(picture, ImageCms.createProfile("LAB"), "LAB")


def _opened(icc: bytes) -> tuple[Any, str, str]:
    """(profile, its description, its colour space); ValueError when damaged."""
    from PIL import ImageCms

    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        name = " ".join(ImageCms.getProfileDescription(profile).split())
        return profile, name[:80], str(profile.profile.xcolor_space).strip()
    except (OSError, ValueError, TypeError, ImageCms.PyCMSError) as error:
        raise ValueError("the ICC profile is damaged") from error


def _transformed(picture: Image.Image, profile: Any, mode: str) -> Image.Image:
    from PIL import ImageCms

    try:
        transform = ImageCms.buildTransform(
            profile,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        result = ImageCms.applyTransform(picture, transform)
    except (OSError, ValueError, ImageCms.PyCMSError) as error:
        raise ValueError("the ICC profile is damaged") from error
    if result is None:
        raise ValueError("the ICC profile is damaged")
    return result


def _is_srgb(profile: Any, mode: str) -> bool:
    from PIL import Image

    if mode == "L":
        probe = np.arange(256, dtype=np.uint8)[None]
        want = np.repeat(probe[..., None], 3, 2)
    else:
        steps = np.linspace(0, 255, 9).astype(np.uint8)
        want = probe = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(27, 27, 3)
    got = np.asarray(_transformed(Image.fromarray(probe), profile, mode))
    return int(np.abs(got.astype(int) - want).max()) <= _SRGB_TOLERANCE
