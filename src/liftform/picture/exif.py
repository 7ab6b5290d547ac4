"""What a camera wrote into a picture's EXIF: which way is up, and the focal length in pixels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from PIL import Image

from ..capture import Decision

ORIENTATION, EXIF_IFD = 0x0112, 0x8769
FOCAL_MM, FOCAL_35MM = 0x920A, 0xA405
WIDTH, HEIGHT = 0xA002, 0xA003
PLANE_X, PLANE_UNIT = 0xA20E, 0xA210

#: Diagonal of a 36 x 24 mm frame, which CIPA DC-008 takes for the 35 mm equivalent.
_DIAGONAL_35MM = math.hypot(36.0, 24.0)
#: 35 mm equivalents that a lens can have (a fisheye to a telescope); others are typing errors of the camera.
_PLAUSIBLE_35MM = (8.0, 2000.0)
#: Sensor widths in mm, phones to large format; several cameras write nonsense into FocalPlaneXResolution.
_PLAUSIBLE_SENSOR_MM = (2.0, 70.0)
#: Millimetres in one FocalPlaneResolutionUnit: inch (also the default), centimetre, millimetre, micrometre.
_UNIT_MM = {1: 25.4, 2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}


def read(picture: Image.Image) -> dict[int, Any]:
    """The main and camera tags of a Pillow image, {} when there are none or they are damaged."""
    try:
        tags = picture.getexif()
        return {**dict(tags), **tags.get_ifd(EXIF_IFD)}
    except Exception:  # Pillow's EXIF parser raises many kinds of error on damaged tags; they only carry extras
        return {}


def orientation(picture: Image.Image) -> int:
    """EXIF orientation 1-8; 1 when absent or not one of them."""
    value = number(read(picture).get(ORIENTATION))
    return int(value) if value in range(1, 9) else 1


def number(value: Any) -> float:
    """A tag's value as a float: rationals, tuples of one, numerator and denominator; 0.0 when it is none."""
    try:
        if isinstance(value, tuple | list) and len(value) == 2:
            value = value[0] / value[1]
        elif isinstance(value, tuple | list):
            value = value[0]
        result = float(value)
    except (TypeError, ValueError, ArithmeticError, IndexError):
        return 0.0
    return result if math.isfinite(result) else 0.0


def focal_length(tags: Mapping[int, Any], size: tuple[int, int]) -> tuple[float | None, Decision]:
    """Focal length in pixels of a picture whose file is ``size`` = (width, height), or None; and the decision.

    The 35 mm equivalent wins (by the diagonal, CIPA DC-008); else the focal length in mm and the pixel pitch of the
    sensor. Neither is believed when implausible, or when the tags tell that the picture was cropped afterwards.
    """
    shot = (number(tags.get(WIDTH)) or size[0], number(tags.get(HEIGHT)) or size[1])
    equivalent, source = _equivalent_35mm(tags, shot)
    if equivalent is None:
        return None, Decision("focal length", None, "file", source)
    if not _same_shape(shot, size):
        return None, Decision("focal length", None, "file", "the picture was cropped after it was taken")
    focal_px = equivalent / _DIAGONAL_35MM * math.hypot(*size)
    return focal_px, Decision("focal length", {"equivalent_35mm": round(equivalent, 1)}, "file", f"EXIF {source}")


def _equivalent_35mm(tags: Mapping[int, Any], shot: tuple[float, float]) -> tuple[float | None, str]:
    """(35 mm equivalent in mm, the tag it came from), or (None, why not)."""
    low, high = _PLAUSIBLE_35MM
    equivalent = number(tags.get(FOCAL_35MM))
    if low <= equivalent <= high:
        return equivalent, "FocalLengthIn35mmFilm"
    focal_mm = number(tags.get(FOCAL_MM))
    if focal_mm <= 0:
        return None, "no focal length in the file"
    pixels_per_mm = number(tags.get(PLANE_X)) / _UNIT_MM.get(int(number(tags.get(PLANE_UNIT))), 25.4)
    if pixels_per_mm <= 0:
        return None, "a focal length without the size of the sensor"
    width_mm = max(shot) / pixels_per_mm
    equivalent = focal_mm * pixels_per_mm * _DIAGONAL_35MM / math.hypot(*shot)
    if not (_PLAUSIBLE_SENSOR_MM[0] <= width_mm <= _PLAUSIBLE_SENSOR_MM[1] and low <= equivalent <= high):
        return None, "an implausible focal length or sensor size in the file"
    return equivalent, "FocalLength and FocalPlaneXResolution"


def _same_shape(a: tuple[float, float], b: tuple[float, float]) -> bool:
    """Whether two sizes have the same aspect ratio within 2 %, upright or lying."""
    ratio_a, ratio_b = max(a) / min(a), max(b) / min(b)
    return abs(ratio_a / ratio_b - 1.0) < 0.02
