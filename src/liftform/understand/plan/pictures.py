"""A picture of a plan -> its walls, openings, rooms and scale: made flat, seen by the network, laid onto the ink."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union

from ...drawing import rectify
from ...drawing.page import applied
from ...drawing.sheet import Sheet, Stroke, Text
from ...errors import NothingFoundError
from ...floorplan import ScaleVote
from . import pieces, scale, script, segment, shell, trace, upright
from .ink import polygons

FloatArray = NDArray[np.float64]

#: Difference of the scale across and along a sheet that is stretched out, and what is no stretch but a misreading.
_UNEVEN, _MOST_UNEVEN = 0.004, 0.16
#: Share of a drawing that has the paper's lightness.
_PAPER = 0.5
#: Factor by which a cue may differ from the network's guess of the scale.
_MISREAD = 1.7


@dataclass(frozen=True)
class Picture:
    """A sheet made flat and traced. loaded_from_flat: 3 x 3, pixels (y down) of the flat sheet to those as loaded."""

    sheet: Sheet
    loaded_from_flat: FloatArray
    seen: segment.Seen
    notes: tuple[str, ...] = ()
    photographed: bool = False


def picture(sheet: Sheet) -> Picture:
    """A loaded picture made flat, upright, traced and seen. Raises NothingFoundError where no plan is on it."""
    assert sheet.image is not None
    flat = rectify.flattened(sheet.image)
    nothing = NothingFoundError(
        f"{sheet.source}: no floor plan is seen in this picture", "give a picture of a floor plan, cut to the plan"
    )
    if float(np.ptp(flat.image)) < 0.1 or not _drawn(flat.image):
        raise nothing
    seen = segment.seen(flat.image)
    if seen is None:
        raise nothing
    notes, matrix, image = [*flat.notes], flat.loaded_from_flat, flat.image
    ink = trace.traced(image)
    texts = tuple(script.words(image, list(ink.boxes)))
    way = upright.way(image, ink.boxes, sum(len(t.text) > 2 and abs(t.angle) < 0.5 for t in texts))
    if way != (0, False):
        image, step = rectify.quarter(image, *way)
        matrix, ink, seen = matrix @ step, trace.traced(image), segment.seen(image) or seen
        texts = tuple(script.words(image, list(ink.boxes)))
        notes.append(upright.said(*way))
    traced = trace.lifted(sheet, image, ink, texts)
    stretch = _stretch(traced) if flat.photographed else 1.0
    if stretch != 1.0:
        image, step = _stretched(image, stretch)
        matrix, ink, seen = matrix @ step, trace.traced(image), segment.seen(image) or seen
        traced = replace(trace.lifted(sheet, image, ink, ()), texts=_texts(traced, stretch))
        notes.append(f"stretched by {stretch - 1:+.1%} along the page, as its dimensions say")
    return Picture(traced, matrix, seen, tuple(notes), flat.photographed)


def _drawn(flat: NDArray[np.float32]) -> bool:
    """Whether a picture has paper: one lightness that much of it has, unlike photographs of other things."""
    counts, _ = np.histogram(flat[::2, ::2], 50, (0, 1))
    near = np.convolve(counts, np.ones(5), "same")
    return bool(near.max() > _PAPER * counts.sum())


def _stretch(traced: Sheet) -> float:
    """Factor by which a sheet's height must grow so that its dimensions across and along agree."""
    segments = segments_of(traced.strokes)
    rates = []
    for upwards in (False, True):
        own = tuple(t for t in traced.texts if (abs(math.sin(t.angle)) > 0.7) == upwards)
        votes = scale.dimensions(replace(traced, texts=own), segments)[0]
        if len(votes) < 2:
            return 1.0
        rates.append(float(np.median([v.metres_per_unit for v in votes])))
    stretch = rates[1] / rates[0]
    off = abs(math.log(stretch))
    return stretch if _UNEVEN < off < _MOST_UNEVEN else 1.0


def segments_of(strokes: Sequence[Stroke]) -> FloatArray:
    """All straight pieces (N, 2, 2) of strokes."""
    parts = [np.stack([ring[:-1], ring[1:]], 1) for stroke in strokes for ring in stroke.rings]
    return np.concatenate(parts) if parts else np.zeros((0, 2, 2))


def _stretched(image: NDArray[np.float32], stretch: float) -> tuple[NDArray[np.float32], FloatArray]:
    from PIL import Image

    high = round(image.shape[0] * stretch)
    out = Image.fromarray(image).resize((image.shape[1], high), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(out, np.float32), 0, 1), np.diag([1.0, image.shape[0] / high, 1.0])


def _texts(traced: Sheet, stretch: float) -> tuple[Text, ...]:
    """Texts where they stand once the sheet is stretched."""
    found = []
    for text in traced.texts:
        long = (1.0, stretch) if abs(math.sin(text.angle)) < 0.7 else (stretch, 1.0)
        extent = (text.extent[0] * long[0], text.extent[1] * long[1])
        found.append(replace(text, centre=(text.centre[0], text.centre[1] * stretch), extent=extent))
    return tuple(found)


def guess(found: Picture) -> float:
    """Metres a pixel as the network guesses from what walls and doors look like."""
    return 1 / found.seen.px_per_m


def plausible(votes: Sequence[ScaleVote], found: Picture) -> list[ScaleVote]:
    """Votes that agree roughly with what walls and doors look like; the others were misread."""
    return [v for v in votes if abs(math.log(v.metres_per_unit / guess(found))) < math.log(_MISREAD)]


def vote(found: Picture) -> ScaleVote:
    """The network's guess as the last resort of the scale."""
    return ScaleVote("door", "the usual size of walls and doors", guess(found), 0.1)


@dataclass(frozen=True)
class Built:
    """The parts of a storey in metres."""

    solid: BaseGeometry
    cut: BaseGeometry
    shell: shell.Shell
    rails: tuple[Polygon, ...]


def built(found: Picture, unit: float | None) -> Built:
    """The shell in metres at ``unit`` metres a pixel, or at the network's guess."""
    assert found.sheet.image is not None
    seen = found.seen
    if unit is not None and abs(math.log(unit * seen.px_per_m)) > 0.2:  # look again at the size it really has
        seen = segment.seen(found.sheet.image, 1 / unit) or seen
    if unit is not None:
        seen = replace(seen, px_per_m=1 / unit)
    unit = unit or guess(found)
    pixels = shell.find(seen, found.sheet.image)
    metric = shell.in_metres(pixels, found.sheet.image.shape[0], unit)
    cut = metric.solid.difference(unary_union([gap.area.buffer(1e-3, join_style="mitre") for gap in metric.gaps]))
    rails = [piece.shape for rail in polygons(unary_union(metric.rails)) for piece in pieces.split(rail)]
    return Built(metric.solid, cut, metric, tuple(rails or metric.rails))


def growth(found: Picture) -> float:
    """How many pixels as loaded one pixel of the flat sheet is, at its middle."""
    assert found.sheet.image is not None
    high, wide = found.sheet.image.shape
    middle = np.array([[wide / 2 + x, high / 2 + y] for x, y in ((0, 0), (1, 0), (0, 1))])
    p, q, r = applied(found.loaded_from_flat, middle)
    (ax, ay), (bx, by) = q - p, r - p
    return math.sqrt(abs(float(ax * by - ay * bx)))


def sheet_from_m(found: Picture, loaded: Sheet, unit: float) -> tuple[tuple[float, float, float], ...]:
    """The homography from metres to units of the sheet as loaded (pixels, y up)."""
    assert found.sheet.image is not None
    rows = found.sheet.image.shape[0]
    flat = np.array([[1 / unit, 0, 0], [0, -1 / unit, rows], [0, 0, 1]])
    flip = np.array([[1, 0, 0], [0, -1, loaded.size[1]], [0, 0, 1]])
    whole = flip @ found.loaded_from_flat @ flat
    whole = whole / whole[2, 2]
    a, b, c = ((float(row[0]), float(row[1]), float(row[2])) for row in whole)
    return a, b, c
