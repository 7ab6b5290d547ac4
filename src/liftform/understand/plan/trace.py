"""Pictures of plans -> strokes, fills and text: outlines of thick ink, centre lines of thin."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...drawing.sheet import Sheet, Stroke, Text
from . import outline, script, skeleton

Mask = NDArray[np.bool_]
FloatImage = NDArray[np.float32]

#: Ink is darker than this share of the paper around it; grey fills are darker than the other.
_INK, _TINT = 0.55, 0.82
#: Most of a sheet that may be ink before it is a photo of something else.
_MOST_INK = 0.45
#: Widest pen in pixels that is a line and not a fill, in widths of the commonest pen.
_PENS = 3.0
#: Share of what is not paper that is neither paper nor ink where lines are faint; window, weight of its threshold.
_FAINT, _WINDOW, _SAUVOLA = 0.55, 25, 0.22


@dataclass(frozen=True)
class Traced:
    """What is drawn on a flat picture, in its pixels, y down: strokes, and the boxes of what may be words."""

    strokes: tuple[Stroke, ...]
    boxes: tuple[script.Box, ...]


def traced(flat: FloatImage) -> Traced:
    """Strokes and boxes of words of a flat sheet (H, W), paper at 1; none where it is mostly dark."""
    ink = inked(flat)
    if ink.mean() > _MOST_INK or not ink.any():
        return Traced((), ())
    pen = pen_width(ink)
    thick = thick_ink(flat < _TINT, pen)
    thin = ink & ~ndimage.binary_dilation(thick, iterations=max(1, round(pen / 2)))
    glyphs, thin = script.separated(thin, pen)
    return Traced((*outline.fills(flat, thick, pen), *skeleton.strokes(flat, thin)), tuple(glyphs))


def lifted(sheet: Sheet, flat: FloatImage, found: Traced, texts: tuple[Text, ...]) -> Sheet:
    """A sheet whose picture is the flat one, with what was traced on it, y up."""
    rows = flat.shape[0]
    strokes = tuple(replace(s, rings=tuple(ring * (1, -1) + (0, rows) for ring in s.rings)) for s in found.strokes)
    flipped = tuple(replace(text, centre=(text.centre[0], rows - text.centre[1])) for text in texts)
    same = sheet.image is not None and sheet.image.shape == flat.shape
    return replace(
        sheet,
        image=flat,
        size=(float(flat.shape[1]), float(rows)),
        strokes=strokes,
        texts=flipped,
        mm_per_unit=sheet.mm_per_unit if same else None,
    )


def inked(flat: FloatImage) -> Mask:
    """Where ink is: darker than half the paper; on faint sheets (photographs, copies), darker than what lies around.

    The local threshold is that of Sauvola & Pietikäinen, "Adaptive document image binarization", 2000.
    """
    some, strong = float((flat < 0.85).mean()), float((flat < 0.5).mean())
    ink = flat < _INK
    if some < 1e-4 or strong > (1 - _FAINT) * some:
        return np.asarray(ink)
    mean = ndimage.uniform_filter(flat, _WINDOW)
    spread = np.sqrt(np.maximum(ndimage.uniform_filter(flat * flat, _WINDOW) - mean * mean, 0))
    return np.asarray(ink | (flat < mean * (1 + _SAUVOLA * (spread / 0.5 - 1))))


def pen_width(ink: Mask) -> float:
    """Width in pixels of the commonest line: twice the median distance to paper along the middle of ink runs."""
    counts = np.zeros(40)
    for plane in (ink, ink.T):
        lines = plane[:: max(1, plane.shape[0] // 800)]
        edges = np.diff(np.pad(lines, ((0, 0), (1, 1))).astype(np.int8), axis=1)
        starts, stops = np.flatnonzero(edges.ravel() == 1), np.flatnonzero(edges.ravel() == -1)
        runs = stops - starts
        counts += np.bincount(runs[runs < 40], minlength=40)[:40]
    return float(max(1, int(np.argmax(counts[1:13])) + 1))


def thick_ink(tinted: Mask, pen: float) -> Mask:
    """Ink or grey wider than pens in both directions: walls drawn solid."""
    side = math.ceil(_PENS * pen) | 1
    core = ndimage.minimum_filter(tinted, size=(side, 1))
    core = ndimage.minimum_filter(core, size=(1, side))
    grown = ndimage.maximum_filter(ndimage.maximum_filter(core, size=(side, 1)), size=(1, side))
    return np.asarray(grown & tinted)
