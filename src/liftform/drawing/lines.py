"""Small geometry of drawings: chords of curves, characters that make a line of text."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .sheet import FloatArray, Text

Point = tuple[float, float]


def bezier(p: Point, a: Point, b: Point, q: Point, chords: int) -> list[Point]:
    """Points of a cubic Bézier curve after its first, evenly in its parameter."""
    t = np.linspace(0, 1, chords + 1)[1:, None]
    s = 1 - t
    curve = s**3 * np.array(p) + 3 * s**2 * t * np.array(a) + 3 * s * t**2 * np.array(b) + t**3 * np.array(q)
    return [(float(x), float(y)) for x, y in curve]


def arc(centre: Point, radius: float, start: float, end: float, chords: int = 16) -> FloatArray:
    """Chords of a circle's part from ``start`` counter-clockwise to ``end`` (radians)."""
    span = (end - start) % (2 * math.pi) or 2 * math.pi
    angles = start + np.linspace(0, span, max(2, round(chords * span / (math.pi / 2))) + 1)
    return np.array(centre) + radius * np.stack([np.cos(angles), np.sin(angles)], 1)


def moved(points: FloatArray, matrix: FloatArray) -> FloatArray:
    """Points (N, 2) through a 3x3 affine matrix."""
    return points @ matrix[:2, :2].T + matrix[:2, 2]


@dataclass
class Span:
    """A line of text while it grows: characters, their boxes' corners, reading direction."""

    characters: str
    corners: list[FloatArray]
    angle: float
    size: float

    def text(self) -> Text:
        """The finished line."""
        along = np.array([math.cos(self.angle), math.sin(self.angle)])
        across = np.array([-along[1], along[0]])
        points = np.concatenate(self.corners)
        a, b = points @ along, points @ across
        centre = along * (a.min() + a.max()) / 2 + across * (b.min() + b.max()) / 2
        extent = (float(np.ptp(a)), float(np.ptp(b)))
        angle = math.remainder(self.angle, 2 * math.pi)
        return Text(self.characters.strip(), (float(centre[0]), float(centre[1])), extent, angle, self.size)


def add_character(spans: list[Span], character: str, corners: FloatArray, angle: float, size: float) -> None:
    """Put a character to the last span where it continues it, or begin another."""
    if spans and _continues(spans[-1], corners, angle):
        spans[-1].characters += character
        if not character.isspace():
            spans[-1].corners.append(corners)
    elif not character.isspace():
        spans.append(Span(character, [corners], angle, size))


def _continues(span: Span, corners: FloatArray, angle: float) -> bool:
    if abs(math.remainder(span.angle - angle, 2 * math.pi)) > 0.1:
        return False
    along = np.array([math.cos(span.angle), math.sin(span.angle)])
    across = np.array([-along[1], along[0]])
    last = span.corners[-1]
    height = max(np.ptp(np.concatenate(span.corners) @ across), np.ptp(corners @ across), 1e-6)
    gap = (corners @ along).min() - (last @ along).max()
    lift = np.abs((corners @ across).mean() - (last @ across).mean())
    return bool(-0.7 * height < gap < 1.1 * height and lift < 0.7 * height)
