"""Doors, windows and openings as they are drawn in plans, in many manners, with the class of what they cover."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from shapely.geometry import LineString, Polygon

from .canvas import Canvas
from .layouts import Hole, Rng


@dataclass(frozen=True)
class Manner:
    """How one sheet draws its openings: pens in metres, greys 0 to 255, choices by name."""

    pen: float
    grey: int
    leaf: str  # line, thick, none
    arc: str  # line, dashed, straight, none
    ajar: float  # radians that leaves stand open
    window: str
    frames: bool
    jambs: bool
    threshold: bool
    opening: str
    paper: int = 255


WINDOWS = ("two", "three", "four", "one", "box", "sill", "thick", "crossed", "wide")


def manner(pen: float, paper: int, rng: Rng) -> Manner:
    """A manner drawn by chance."""
    return Manner(
        pen,
        int(rng.choice([0, 0, 0, 60, 110])),
        str(rng.choice(["line", "line", "thick", "thick", "none"], p=[0.35, 0.2, 0.25, 0.15, 0.05])),
        str(rng.choice(["line", "dashed", "straight", "none"], p=[0.75, 0.12, 0.05, 0.08])),
        float(rng.choice([math.pi / 2, math.pi / 4, math.pi / 3], p=[0.88, 0.07, 0.05])),
        str(rng.choice(WINDOWS)),
        rng.random() < 0.25,
        rng.random() < 0.3,
        rng.random() < 0.25,
        str(rng.choice(["nothing", "nothing", "dashed", "lines"])),
        paper,
    )


class Frame:
    """A hole's own frame: u along it from a (0) to b (width), v to the left of it, in metres."""

    def __init__(self, canvas: Canvas, hole: Hole, how: Manner) -> None:
        self.canvas, self.hole, self.how = canvas, hole, how
        self.a = np.array(hole.a)
        self.x = (np.array(hole.b) - self.a) / max(hole.width, 1e-9)
        self.y = np.array([-self.x[1], self.x[0]])

    def to(self, *points: tuple[float, float]) -> list[tuple[float, float]]:
        """Metres of points in the frame."""
        return [tuple(self.a + u * self.x + v * self.y) for u, v in points]

    def line(self, *points: tuple[float, float], pen: float = 1.0, dash: float = 0.0) -> None:
        """A polyline with the manner's pen, ``pen`` times as wide."""
        self.canvas.line(self.to(*points), self.how.pen * pen, self.how.grey, dash)

    def box(self, u0: float, v0: float, u1: float, v1: float, fill: int | None = None) -> None:
        """A rectangle."""
        self.canvas.ring(self.to((u0, v0), (u1, v0), (u1, v1), (u0, v1)), self.how.pen, self.how.grey, fill)

    def label(self, name: str, *points: tuple[float, float]) -> None:
        """Mark a polygon of the frame."""
        self.canvas.label(Polygon(self.to(*points)), name)


def draw(canvas: Canvas, hole: Hole, how: Manner, rng: Rng) -> None:
    """One opening with its labels; its strip is marked last."""
    frame = Frame(canvas, hole, how)
    if hole.kind == "window":
        _window(frame)
    elif hole.kind == "door":
        {"sliding": _sliding, "pocket": _pocket, "folding": _folding, "garage": _garage}.get(hole.subtype, _hinged)(
            frame, rng
        )
    else:
        _opening(frame)
    t, w = hole.thickness / 2, hole.width
    if how.jambs and hole.kind != "opening":
        for u in (0.0, w):
            frame.line((u, -t), (u, t))
    canvas.label(LineString([hole.a, hole.b]).buffer(t, cap_style="flat"), hole.kind)


def _window(f: Frame) -> None:
    t, w, how = f.hole.thickness / 2, f.hole.width, f.how
    levels = {
        "two": (-1.0, 1.0), "three": (-1.0, 0.0, 1.0), "four": (-1.0, -0.25, 0.25, 1.0), "one": (0.0,),
        "box": (), "sill": (-1.0, -0.2, 0.2, 1.0), "thick": (0.0,), "crossed": (-1.0, 1.0), "wide": (-0.4, 0.4),
    }[how.window]  # fmt: skip
    for v in levels:
        f.line((0, v * t), (w, v * t), pen=3.0 if how.window == "thick" else 1.0)
    if how.window == "box":
        f.box(0, -0.45 * t, w, 0.45 * t, how.paper)
        f.line((0, 0), (w, 0))
    if how.window == "sill":
        f.box(-0.05, t, w + 0.05, t + 0.06)
    if how.window == "crossed":
        f.line((0, -t), (w, t))
    if how.frames:
        for u in (0.0, w - 0.06) + ((w / 2 - 0.03,) if w > 1.2 else ()):
            f.box(u, -0.35 * t, u + 0.06, 0.35 * t, how.paper)


def _opening(f: Frame) -> None:
    t, w = f.hole.thickness / 2, f.hole.width
    if f.how.opening != "nothing":
        for v in (-t, t):
            f.line((0, v), (w, v), dash=0.12 if f.how.opening == "dashed" else 0.0)


def _hinged(f: Frame, rng: Rng) -> None:
    w, side = f.hole.width, 1.0 if f.hole.swing == "left" else -1.0
    double = f.hole.subtype == "double"
    t = f.hole.thickness / 2
    level = side * t if rng.random() < 0.5 else 0.0
    leaves = [("a", w / 2), ("b", w / 2)] if double else [(f.hole.hinge, w)]
    for hinge, radius in leaves:
        _leaf(f, hinge, radius, side, level)
    if f.how.threshold:
        for v in (-t, t):
            f.line((0, v), (w, v))


def _leaf(f: Frame, hinge: str, radius: float, side: float, level: float) -> None:
    """A leaf hung at one end, with the arc that its edge sweeps."""
    how, w = f.how, f.hole.width
    root, sign = (0.0, 1.0) if hinge == "a" else (w, -1.0)

    def at(turn: float, r: float) -> tuple[float, float]:
        return root + sign * r * math.cos(turn), level + side * r * math.sin(turn)

    sweep = [at(turn, radius) for turn in np.linspace(0, how.ajar, 13)]
    if how.arc != "none" or how.leaf != "none":
        f.label("swing", (root, level), *sweep)
    tip = at(how.ajar, radius)
    if how.leaf == "thick":
        across = (0.04 * sign * math.sin(how.ajar), -0.04 * side * math.cos(how.ajar))
        inner = [(root, level), tip, (tip[0] + across[0], tip[1] + across[1]), (root + across[0], level + across[1])]
        f.canvas.ring(f.to(*inner), how.pen, how.grey, how.paper if how.window != "thick" else how.grey)
    elif how.leaf == "line" or how.arc == "none":
        f.line((root, level), tip)
    if how.arc == "straight":
        f.line((root + sign * radius, level), tip)
    elif how.arc != "none":
        f.line(*sweep, dash=0.1 if how.arc == "dashed" else 0.0)


def _sliding(f: Frame, rng: Rng) -> None:
    w, t = f.hole.width, f.hole.thickness / 2
    deep = min(0.05, 0.8 * t)
    panels = 2 if w < 2.6 or rng.random() < 0.7 else 3
    lap = 0.06
    for k in range(panels):
        u0, u1 = max(0.0, k * w / panels - lap), min(w, (k + 1) * w / panels + lap)
        v = -deep if k % 2 else 0.0
        if f.how.leaf == "line":
            f.line((u0, v + deep / 2), (u1, v + deep / 2))
        else:
            f.box(u0, v, u1, v + deep, f.how.paper)
    if f.how.threshold:
        for v in (-t, t):
            f.line((0, v), (w, v))


def _pocket(f: Frame, rng: Rng) -> None:
    w = f.hole.width
    shut = rng.uniform(0.2, 0.8)
    f.box(shut * w, -0.02, w, 0.02, f.how.paper)
    f.line((w, 0.03), (w + 0.8 * w, 0.03), dash=0.08)
    f.line((w, -0.03), (w + 0.8 * w, -0.03), dash=0.08)


def _folding(f: Frame, rng: Rng) -> None:
    w, side = f.hole.width, 1.0 if f.hole.swing == "left" else -1.0
    deep, reach = 0.3 * w, float(rng.uniform(0.35, 0.5)) * w
    f.line((0, 0), (0.5 * reach, side * deep), (reach, 0))
    f.label("swing", (0, 0), (0.5 * reach, side * deep), (reach, 0))
    if rng.random() < 0.6:
        f.line((w, 0), (w - 0.5 * reach, side * deep), (w - reach, 0))
        f.label("swing", (w, 0), (w - 0.5 * reach, side * deep), (w - reach, 0))


def _garage(f: Frame, rng: Rng) -> None:
    w, t = f.hole.width, f.hole.thickness / 2
    f.line((0, 0), (w, 0), pen=2.0)
    if rng.random() < 0.7:
        for v in (-t, t):
            f.line((0, v), (w, v))
    if rng.random() < 0.5:
        f.line((0, t), (0, t + 2.0), (w, t + 2.0), (w, t), dash=0.2)
