"""Which way up a sheet is, and whether it is seen from behind: by which way its words can be read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from . import script

FloatImage = NDArray[np.float32]

#: So many words are tried; share of words that must be readable to leave a sheet as it is; gain that turns it.
_TRIED, _FINE, _GAIN = 14, 0.5, 0.1
_SAID = {1: "turned by a quarter", 2: "upside down", 3: "turned by a quarter"}


def way(flat: FloatImage, glyphs: Sequence[script.Box], readable: int) -> tuple[int, bool]:
    """(quarter turns anticlockwise, mirrored) that make a flat sheet's words readable; (0, False) where few are.

    glyphs: boxes of what may be words; readable: how many words could be read as the sheet lies.
    """
    boxes = _boxes(glyphs)
    if len(boxes) < 4 or not script.can_read():
        return 0, False
    level, stands = [b for b, up in boxes if not up], [b for b, up in boxes if up]
    turned = len(stands) > 2 * len(level)
    if not turned and readable > _FINE * len(level):
        return 0, False
    # words that stand read upwards are a quarter turn anticlockwise: turning the sheet clockwise lays them down
    ways = [(turns, mirrored) for mirrored in (False, True) for turns in ((3, 1) if turned else (0, 2))]
    crops = [_crop(flat, box) for box in (stands if turned else level)[:_TRIED]]
    rated = {
        (turns, mirrored): _sure([np.rot90(c[:, ::-1] if mirrored else c, turns) for c in crops])
        for turns, mirrored in ways
    }
    best = max(rated, key=lambda key: (rated[key], not key[1]))
    return best if rated[best] > rated.get((0, False), 0.0) + _GAIN and rated[best] > 0.6 else (0, False)


def said(turns: int, mirrored: bool) -> str:
    """What was found, in words."""
    words = [_SAID[turns]] if turns else []
    words += ["mirrored"] if mirrored else []
    return f"the sheet was {' and '.join(words)}; set right"


def _boxes(boxes: Sequence[script.Box]) -> list[tuple[script.Box, bool]]:
    """Boxes of words long enough to tell, whether each stands upright; the longest first."""
    found = []
    for box in boxes:
        wide, high = box[2] - box[0], box[3] - box[1]
        if max(wide, high) > 2.0 * min(wide, high) and min(wide, high) >= 7:
            found.append((box, high > wide))
    return sorted(found, key=lambda item: -max(item[0][2] - item[0][0], item[0][3] - item[0][1]))


def _crop(flat: FloatImage, box: script.Box) -> FloatImage:
    x0, y0, x1, y1 = box
    pad = max(3, round(0.12 * min(x1 - x0, y1 - y0)))
    return flat[max(0, y0 - pad) : y1 + pad, max(0, x0 - pad) : x1 + pad]


def _sure(crops: list[FloatImage]) -> float:
    """How sure crops are read on average, by the square root of how much is read."""
    read = script.read(crops)
    return float(np.mean([sure * min(1.0, len(text) / 3) for text, sure in read])) if read else 0.0
