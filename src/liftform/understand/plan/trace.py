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


@dataclass(frozen=True)
class Paper:
    """A sheet's lightness with the paper at 1: flat (H, W) float32; the ink in it, and ink or grey fill."""

    flat: FloatImage
    ink: Mask
    tinted: Mask


def traced(sheet: Sheet) -> Sheet:
    """The sheet with strokes, fills and texts found in its picture, in pixels with y up."""
    assert sheet.image is not None
    paper = cleaned(sheet.image)
    if paper.ink.mean() > _MOST_INK or not paper.ink.any():
        return replace(sheet, strokes=(), texts=())
    pen = pen_width(paper.ink)
    thick = thick_ink(paper.tinted, pen)
    thin = paper.ink & ~ndimage.binary_dilation(thick, iterations=max(1, round(pen / 2)))
    glyphs, thin = script.separated(thin, pen)
    words = script.words(paper.flat, glyphs)
    strokes = outline.fills(paper.flat, thick, pen) + skeleton.strokes(paper.flat, thin)
    rows = sheet.image.shape[0]
    flipped = tuple(_flipped(stroke, rows) for stroke in strokes)
    texts = tuple(_text_flipped(text, rows) for text in words)
    return replace(sheet, strokes=flipped, texts=texts)


def _flipped(stroke: Stroke, rows: int) -> Stroke:
    return replace(stroke, rings=tuple(ring * (1, -1) + (0, rows) for ring in stroke.rings))


def _text_flipped(text: Text, rows: int) -> Text:
    return replace(text, centre=(text.centre[0], rows - text.centre[1]))


def cleaned(image: FloatImage) -> Paper:
    """Dark sheets inverted, the paper's shading divided out, ink and fills told from paper."""
    image = 1 - image if float(np.median(image)) < 0.45 else image
    step = 16
    rows, columns = (side // step * step for side in image.shape)
    blocks = image[:rows, :columns].reshape(rows // step, step, columns // step, step)
    light = np.percentile(blocks, 90, axis=(1, 3)) if rows * columns < 4e6 else blocks.max((1, 3))
    # paper is the lightest thing within a few hundred pixels, so that large fills do not count as shading
    reach = max(3, round(0.12 * max(light.shape)) | 1)
    paper = ndimage.gaussian_filter(ndimage.maximum_filter(light, reach), reach / 4)
    zoomed = ndimage.zoom(paper, step, order=1, grid_mode=True, mode="nearest")
    whole = np.ones(image.shape, np.float32)
    whole[:rows, :columns] = zoomed[:rows, :columns]
    flat = np.clip(image / np.maximum(whole, 0.2), 0, 1).astype(np.float32)
    return Paper(flat, flat < _INK, flat < _TINT)


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
