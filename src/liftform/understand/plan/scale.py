"""How many metres a unit of the sheet is: printed scales, scale bars, dimensions, areas; voted, conflicts told."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...drawing.sheet import Sheet, Text
from ...floorplan import Scale, ScaleVote
from . import grammar

FloatArray = NDArray[np.float64]

#: Relative difference within which two cues say the same.
_AGREE = 0.02
_SAME = 0.006
#: Weight of one vote of a kind: how much it is worth beside the others.
_WORTH = {"printed": 3.0, "bar": 2.5, "dimension": 1.0, "area": 0.6, "sides": 0.8, "door": 0.1}
#: Plausible sizes of a whole drawing in metres.
_LEAST, _MOST = 0.5, 2000.0


@dataclass(frozen=True)
class Dimension:
    """A printed length and the two places on the sheet that it is between, as the scale's vote found them."""

    text: Text
    metres: float
    a: tuple[float, float]
    b: tuple[float, float]


def printed(sheet: Sheet) -> list[ScaleVote]:
    """Votes of printed scales (1:50, 1/4" = 1'-0"); only where the size of the paper is known."""
    if sheet.mm_per_unit is None:
        return []
    votes = []
    for text in sheet.texts:
        ratio = grammar.ratio(text.text, alone=bool(grammar.ratio(text.text.strip("() "), True)) and len(text.text) < 8)
        if ratio:
            votes.append(ScaleVote("printed", text.text, ratio * sheet.mm_per_unit / 1000, _WORTH["printed"]))
    return votes


def bars(sheet: Sheet, segments: FloatArray) -> list[ScaleVote]:
    """Votes of scale bars: numbers from 0 upwards, evenly spaced along a line, with a bar beside them."""
    numbers = []
    for text in sheet.texts:
        found = grammar.length(text.text) if abs(math.sin(text.angle)) < 0.05 else None
        bare = text.text.strip()
        if bare == "0" or (found and found.unit in ("", "m", "cm", "ftin") and len(bare) < 8):
            numbers.append((text, 0.0 if bare == "0" else found.value if found else 0.0, found.unit if found else ""))
    votes = []
    for zero, value, _ in numbers:
        if value != 0.0:
            continue
        row = [n for n in numbers if abs(n[0].centre[1] - zero.centre[1]) < 0.4 * _height(zero) and n[1] > 0]
        row = sorted((n for n in row if n[0].centre[0] > zero.centre[0]), key=lambda n: n[0].centre[0])
        vote = _bar(sheet, zero, row, segments)
        if vote:
            votes.append(vote)
    return votes


def _height(text: Text) -> float:
    return max(text.size, text.extent[1], 1e-6)


def _bar(sheet: Sheet, zero: Text, row: list[tuple[Text, float, str]], segments: FloatArray) -> ScaleVote | None:
    if not row:
        return None
    values = np.array([n[1] for n in row])
    places = np.array([n[0].centre[0] - zero.centre[0] for n in row])
    steady = values / places
    keep = np.abs(steady / np.median(steady) - 1) < 0.04
    if keep.sum() < 1 or (keep.sum() == 1 and not _has_bar(zero, row[-1][0], segments)):
        return None
    values, places = values[keep], places[keep]
    far = row[int(np.flatnonzero(keep)[-1])]
    unit = far[2] or _unit_beside(sheet, far[0])
    factor = {"ft": grammar.FOOT, "ftin": 1.0, "mm": 0.001, "cm": 0.01}.get(unit, 1.0)
    slope = _drawn_length(zero, far[0], segments)
    metres = values[-1] * factor
    per_unit = float(metres / slope if slope else (values @ places) / (places @ places) * factor)
    return ScaleVote("bar", f"0 to {values[-1]:g} {unit or 'm'}", per_unit, _WORTH["bar"] * (1.0 if slope else 0.5))


def _unit_beside(sheet: Sheet, last: Text) -> str:
    """The unit printed at the end of a bar: "ft" or ""."""
    for text in sheet.texts:
        away = (text.centre[0] - last.centre[0], text.centre[1] - last.centre[1])
        if 0 < away[0] < 12 * _height(last) and abs(away[1]) < 3.5 * _height(last):
            word = text.text.strip(" .()").lower()
            if word in ("ft", "feet", "foot", "'"):
                return "ft"
            if word in ("m", "meter", "metres", "meters", "mètres", "cm", "mm"):
                return word if word in ("cm", "mm") else "m"
    return ""


def _edges_near(zero: Text, last: Text, segments: FloatArray) -> FloatArray:
    """x of the upright strokes and ends of lines that lie close above or below the row of numbers."""
    y, reach = zero.centre[1], 4 * _height(zero)
    near = (np.abs(segments[:, :, 1] - y) < reach).all(1)
    xs = segments[near][:, :, 0].ravel()
    slack = 2 * _height(zero)
    return np.unique(xs[(xs > zero.centre[0] - slack) & (xs < last.centre[0] + slack)])


def _drawn_length(zero: Text, last: Text, segments: FloatArray) -> float | None:
    """Distance of the bar's ends as they are drawn under the numbers; None where nothing is drawn there."""
    xs = _edges_near(zero, last, segments)
    if len(xs) < 2:
        return None
    a, b = xs[np.argmin(np.abs(xs - zero.centre[0]))], xs[np.argmin(np.abs(xs - last.centre[0]))]
    wide, expected = b - a, last.centre[0] - zero.centre[0]
    return float(wide) if abs(wide / expected - 1) < 0.08 else None


def _has_bar(zero: Text, last: Text, segments: FloatArray) -> bool:
    return _drawn_length(zero, last, segments) is not None


@dataclass(frozen=True)
class _Read:
    text: Text
    value: float
    quantum: float
    sure: float


def dimension_texts(sheet: Sheet) -> tuple[list[_Read], str]:
    """Texts that are lengths, in metres, and the unit that bare numbers were taken to have."""
    found = []
    for text in sheet.texts:
        if grammar.area(text.text) is None:
            length = grammar.length(text.text)
            if length is not None and not (length.unit == "" and length.decimals == 0 and length.value < 10):
                found.append((text, length))
    if sum(length.unit == "ftin" for _, length in found) >= 2:  # bare numbers beside feet and inches are no metres
        found = [(text, length) for text, length in found if length.unit]
    bare_unit = grammar.unit_of_bare([length for _, length in found if not length.unit])
    reads = []
    for text, length in found:
        value, quantum = grammar.in_metres(length, bare_unit)
        if 0.05 < value < 300:
            reads.append(_Read(text, value, quantum, length.sure * text.sure))
    return reads, bare_unit


def dimensions(sheet: Sheet, segments: FloatArray) -> tuple[list[ScaleVote], list[Dimension]]:
    """Votes of dimension texts, each with the marks on its dimension line that it is between.

    A text lies beside or on a line that runs its way; the line is crossed by witness lines, ticks or arrow heads.
    Every pair of marks around the text is a guess; the scale that most texts can agree on decides between them.
    """
    reads, _ = dimension_texts(sheet)
    guesses: list[tuple[_Read, FloatArray, FloatArray]] = []
    for read in reads:
        spans = _spans(read, segments)
        if len(spans):
            lengths = np.hypot(*(spans[:, 1] - spans[:, 0]).T)
            guesses.append((read, spans, read.value / lengths))
    if not guesses:
        return [], []
    best = _most_agreed([rates for _, _, rates in guesses], [math.sqrt(r.value) * r.sure for r, _, _ in guesses])
    votes, dims = [], []
    for read, spans, rates in guesses:
        tolerance = max(_SAME, 0.75 * read.quantum / read.value)
        pick = int(np.argmin(np.abs(np.log(rates / best))))
        if abs(math.log(rates[pick] / best)) < tolerance:
            weight = _WORTH["dimension"] * read.sure * min(1.0, read.value / max(read.quantum, 1e-6) / 300)
            votes.append(ScaleVote("dimension", read.text.text, float(rates[pick]), weight))
            a, b = spans[pick]
            dims.append(Dimension(read.text, read.value, (float(a[0]), float(a[1])), (float(b[0]), float(b[1]))))
    return votes, dims


def _spans(read: _Read, segments: FloatArray) -> FloatArray:
    """(N, 2, 2) pairs of points on lines beside a text that it may measure."""
    text = read.text
    along = np.array([math.cos(text.angle), math.sin(text.angle)])
    across = np.array([-along[1], along[0]])
    local = (segments - np.array(text.centre)) @ np.stack([along, across], 1)
    height = _height(text)
    flat = np.abs(local[:, 1, 1] - local[:, 0, 1]) < 0.05 * np.abs(local[:, 1, 0] - local[:, 0, 0])
    low, high = local[:, :, 0].min(1), local[:, :, 0].max(1)
    level = local[:, :, 1].mean(1)
    near = flat & (np.abs(level) < 1.8 * height) & (low < text.extent[0] / 2) & (high > -text.extent[0] / 2)
    spans = []
    for y in np.unique(np.round(level[near] / (0.1 * height)))[:6] * (0.1 * height):
        row = flat & (np.abs(level - y) < 0.11 * height)
        y = float(level[row].mean()) if row.any() else float(y)
        marks = _marks(local, row, y, height)
        marks = marks[(marks > low[row].min() - height) & (marks < high[row].max() + height)]
        left, right = marks[marks < 0.1 * height][-6:], marks[marks > -0.1 * height][:6]
        for a in left:
            for b in right:
                if b - a > 0.35 * text.extent[0]:
                    spans.append(np.array([[a, y], [b, y]]) @ np.stack([along, across]) + np.array(text.centre))
    return np.array(spans).reshape(-1, 2, 2)


def _marks(local: FloatArray, row: NDArray[np.bool_], y: float, height: float) -> FloatArray:
    """Where a dimension line is met by others, and where its pieces end, in order, once each."""
    a, b = local[:, 0], local[:, 1]
    rise = b[:, 1] - a[:, 1]
    slack = 0.15 * height
    crossing = ~row & (np.minimum(a[:, 1], b[:, 1]) <= y + slack) & (np.maximum(a[:, 1], b[:, 1]) >= y - slack)
    crossing &= np.abs(rise) > 0.3 * height
    share = (y - a[crossing, 1]) / rise[crossing]
    met = a[crossing, 0] + np.clip(share, 0, 1) * (b[crossing, 0] - a[crossing, 0])
    marks = np.sort(np.concatenate([met, local[row][:, :, 0].ravel()]))
    if len(marks) == 0:
        return marks
    new = np.concatenate([[True], np.diff(marks) > 0.02 * height])
    return marks[new]


def _most_agreed(rates: list[FloatArray], weights: list[float]) -> float:
    """The scale that most texts (by weight) have a guess for, within a narrow band."""
    values = np.log(np.concatenate(rates))
    owners = np.concatenate([np.full(len(r), i) for i, r in enumerate(rates)])
    order = np.argsort(values)
    values, owners = values[order], owners[order]
    best, chosen = -1.0, float(values[0])
    for start in range(len(values)):
        stop = int(np.searchsorted(values, values[start] + _SAME))
        who = np.unique(owners[start:stop])
        worth = sum(weights[i] for i in who)
        if worth > best + 1e-9:
            best, chosen = worth, float(np.median(values[start:stop]))
    return math.exp(chosen)


def decide(votes: Sequence[ScaleVote], sheet: Sheet, given: float | None = None) -> Scale:
    """One scale from all votes: the group that agrees and weighs most; what disagrees is a conflict.

    ``given``: metres per unit that the user said; it wins, and what disagrees with it is told too.
    """
    extent = max(sheet.size) if max(sheet.size) > 0 else 1.0
    votes = [v for v in votes if _LEAST / extent < v.metres_per_unit < _MOST / extent * 100]
    if given is not None:
        return Scale(given, "given", 0.0, tuple(votes), _conflicts(votes, given), 1.0)
    if sheet.m_per_unit is not None and not votes:
        return Scale(sheet.m_per_unit, "file", 0.001, (), (), 0.95)
    if not votes:
        return Scale(None, "unknown", 1.0, (), ("no scale, dimension or area is printed: give --scale",), 0.0)
    group = _heaviest(votes)
    dims = [v for v in group if v.kind == "dimension"]
    best = _best(group)
    weight, total = sum(v.weight for v in group), sum(v.weight for v in votes)
    kinds = {v.kind for v in group}
    sure = min(0.99, (0.5 + 0.2 * min(len(group), 3) / 3 + 0.29 * (len(kinds) > 1 or len(dims) >= 4)) * weight / total)
    error = 0.001 if "printed" in kinds else 0.005 if dims else 0.01 if "bar" in kinds else 0.03
    if kinds <= {"door"}:
        sure, error = min(sure, 0.3), 0.15
    origin = {"dimension": "dimensions", "area": "areas", "sides": "areas", "door": "doors"}.get(best[0], best[0])
    return Scale(best[1], origin, error, tuple(votes), _conflicts(votes, best[1]), round(sure, 3))


def _heaviest(votes: Sequence[ScaleVote]) -> list[ScaleVote]:
    groups = [[v for v in votes if abs(math.log(v.metres_per_unit / w.metres_per_unit)) < _AGREE] for w in votes]
    return max(groups, key=lambda group: sum(min(v.weight, 3.0) for v in group))


def _best(group: list[ScaleVote]) -> tuple[str, float]:
    """(kind, metres per unit) of a group's most exact kind: printed, then dimensions together, bar, the rest."""
    for kind in ("printed", "dimension", "bar", "sides", "area", "door"):
        of_kind = [v for v in group if v.kind == kind]
        if of_kind:
            logs = np.log([v.metres_per_unit for v in of_kind])
            order = np.argsort(logs)
            weights = np.cumsum(np.array([v.weight for v in of_kind])[order])
            middle = int(np.searchsorted(weights, weights[-1] / 2))
            return kind, float(math.exp(logs[order][middle]))
    raise ValueError("no votes")


def _conflicts(votes: Sequence[ScaleVote], chosen: float) -> tuple[str, ...]:
    """One line for each kind of cue whose votes mostly say something else."""
    lines = []
    for kind in sorted({v.kind for v in votes}):
        off = [v for v in votes if v.kind == kind and abs(math.log(v.metres_per_unit / chosen)) > 1.5 * _AGREE]
        of_kind = sum(v.kind == kind for v in votes)
        if off and (kind in ("printed", "bar") or (len(off) > 1 and len(off) * 3 > of_kind)):
            worst = off[0]
            factor = worst.metres_per_unit / chosen
            lines.append(f"{kind} {worst.text!r} says {factor:.3g} times the scale that was taken")
    return tuple(lines)
