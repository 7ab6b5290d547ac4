"""A layout -> a drawing in one of many styles with the class of every pixel, and what the network is shown of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from shapely.ops import unary_union

from . import furniture, notes, symbols
from .canvas import Canvas, any_font
from .layouts import Layout, Rng, placed

#: How walls are drawn.
WALLS = ("solid", "grey", "outline", "hatch", "poche", "layers", "crossed", "mixed", "dots")


@dataclass(frozen=True)
class Style:
    """How one sheet is drawn: the scale's denominator, pens in metres of building, wall style, what is on it."""

    ratio: float
    heavy: float
    light: float
    walls: str
    apart: bool
    shade: int
    font: str
    letter: float
    furnished: float
    tiles: float
    tint: float
    dimensioned: bool
    axes: bool
    framed: bool


def style(rng: Rng) -> Style:
    """A style drawn by chance."""
    ratio = float(rng.choice([48, 50, 50, 64, 75, 75, 96, 100, 100, 150, 200], p=None))
    mm = ratio / 1000
    light = float(rng.choice([0.13, 0.18, 0.2, 0.25, 0.3])) * mm
    return Style(
        ratio,
        light * float(rng.choice([1.0, 1.5, 2.0, 2.5, 3.0])),
        light,
        str(rng.choice(WALLS, p=[0.24, 0.16, 0.22, 0.14, 0.08, 0.05, 0.03, 0.05, 0.03])),
        rng.random() < 0.1,
        int(rng.integers(0, 60)) if rng.random() < 0.5 else 0,
        any_font(rng),
        float(rng.uniform(1.6, 3.4)) * mm,
        float(rng.choice([0.0, 0.4, 0.8, 1.0])),
        float(rng.choice([0.0, 0.0, 0.25, 0.6])),
        float(rng.choice([0.0, 0.0, 0.0, 0.5, 1.0])),
        rng.random() < 0.7,
        rng.random() < 0.2,
        rng.random() < 0.4,
    )


def drawn(layout: Layout, how: Style, scale: float, rng: Rng, window: tuple[float, float, float, float]) -> Canvas:
    """The layout drawn with ``scale`` pixels a metre; ``window``: x0, y0, x1, y1 in metres of what is shown."""
    x0, y0, x1, y1 = window
    canvas = Canvas((math.ceil((x1 - x0) * scale), math.ceil((y1 - y0) * scale)), scale, (x0, y1))
    _floors(canvas, layout, how, rng)
    if how.axes:
        notes.axes(canvas, layout, how.light, how.font, how.letter, rng)
    paper = 255
    _walls(canvas, layout, how, rng)
    opened = symbols.manner(how.light, paper, rng)
    for rail in layout.rails:
        canvas.shape(rail, None if rng.random() < 0.7 else 200, how.light)
        canvas.label(rail, "railing")
    canvas.label(layout.solid, "wall")
    for hole in layout.holes:
        symbols.draw(canvas, hole, opened, rng)
    _swings_under_walls(canvas, layout)
    notes.labels(canvas, layout, how.font, how.letter, rng)
    if how.dimensioned:
        notes.dimensions(canvas, layout, how.light, how.font, how.letter * 0.85, rng)
    if how.framed:
        notes.frame(canvas, layout, how.light, how.font, how.letter, rng)
    return canvas


def _swings_under_walls(canvas: Canvas, layout: Layout) -> None:
    """Walls and strips of openings win over the swings of neighbours."""
    canvas.label(layout.cut, "wall", only=("swing",))
    for hole in layout.holes:
        canvas.label(hole.area, hole.kind, only=("swing",))


def _floors(canvas: Canvas, layout: Layout, how: Style, rng: Rng) -> None:
    doors = [(h.a, h.b) for h in layout.holes]
    keep = unary_union([layout.solid, furniture.clearances(doors, 0.35)]) if doors else layout.solid
    fill = None if rng.random() < 0.5 else 255
    for room in layout.rooms:
        canvas.label(room.shape, "room")
        if rng.random() < how.tint:
            canvas.shape(room.shape, int(rng.integers(205, 250)))
        if rng.random() < how.tiles and room.kind in ("bathroom", "kitchen", "balcony", "restroom", "washing_room"):
            furniture.tiled(canvas, room, how.light, rng)
        if rng.random() < how.furnished:
            grey = int(rng.choice([0, 0, 80, 130]))
            furniture.furnish(canvas, room, keep, how.light, grey, fill, rng)


def _walls(canvas: Canvas, layout: Layout, how: Style, rng: Rng) -> None:
    """The cut walls in the sheet's style, openings left as paper."""
    canvas.shape(layout.solid, 255)
    cut = layout.cut
    kind = how.walls
    if kind == "mixed":  # bearing walls solid, the others outlined
        thick = cut.buffer(-0.075).buffer(0.078, join_style="mitre")
        canvas.shape(cut, None, how.heavy)
        canvas.shape(thick.intersection(cut), how.shade)
        return
    if kind == "solid":
        canvas.shape(cut, how.shade)
        return
    if kind == "grey":
        canvas.shape(cut, int(rng.integers(70, 205)), how.heavy if rng.random() < 0.5 else 0.0)
        return
    if kind == "poche":
        canvas.shape(cut, int(rng.integers(175, 235)), how.heavy)
    if kind in ("hatch", "crossed"):
        step, turn = float(rng.uniform(0.05, 0.16)), float(rng.choice([math.pi / 4, -math.pi / 4, math.pi / 3]))
        canvas.hatch(cut, step, turn, how.light, int(rng.choice([0, 0, 90])))
        if kind == "crossed":
            layer = Canvas(canvas.size, canvas.scale, canvas.corner)
            layer.hatch(cut, step, -turn, how.light, 0)
            _darken(canvas, layer)
    if kind == "dots":
        _dots(canvas, cut, how.light, rng)
    if kind == "layers":
        inner = cut.buffer(-float(rng.uniform(0.03, 0.06)), join_style="mitre")
        canvas.shape(inner, None, how.light)
    if how.apart:
        for part in layout.parts:
            canvas.shape(part.intersection(cut), None, how.heavy)
    canvas.shape(cut, None, how.heavy, how.shade)


def _darken(canvas: Canvas, layer: Canvas) -> None:
    from PIL import ImageChops

    canvas.image.paste(ImageChops.darker(canvas.image, layer.image))


def _dots(canvas: Canvas, cut: Any, pen: float, rng: Rng) -> None:
    """Stipple, as concrete is drawn."""
    count = int(min(3000, cut.area * 60))
    x0, y0, x1, y1 = cut.bounds
    places = rng.uniform((x0, y0), (x1, y1), (count * 4, 2))
    layer = Canvas(canvas.size, canvas.scale, canvas.corner)
    for p in places:
        layer.circle(p, pen * 0.8, pen, 0, 0)
    canvas.image.paste(layer.image, mask=canvas.mask(cut))


def picture(layout: Layout, scale: float, tile: int, rng: Rng) -> tuple[Any, Any]:
    """A tile of a sheet: (lightness (T, T) uint8, class (T, T) uint8), turned at any angle now and then."""
    turn = float(rng.uniform(-180, 180)) if rng.random() < 0.12 else float(rng.normal(0, 0.4))
    layout = placed(layout, np.eye(2), turn)
    x0, y0, x1, y1 = unary_union([layout.solid, *layout.rails]).bounds
    side = tile / scale
    window = []
    for low, high in ((x0, x1), (y0, y1)):
        slack = 1.6 if rng.random() < 0.8 else 5.0
        start = rng.uniform(low - slack, max(low - slack + 1e-6, high + slack - side))
        if high - low + 2 * slack < side:
            start = rng.uniform(high + slack - side, low - slack)
        window.append(start)
    how = style(rng)
    canvas = drawn(layout, how, scale, rng, (window[0], window[1], window[0] + side, window[1] + side))
    image, labels = canvas.finished()
    return image[:tile, :tile], labels[:tile, :tile]
