"""What stands around a plan: room names, areas, dimension chains, grid axes, title blocks, tags, north arrows."""

from __future__ import annotations

import itertools
import math

import numpy as np

from .canvas import Canvas
from .layouts import Layout, Rng


def labels(canvas: Canvas, layout: Layout, font: str, letter: float, rng: Rng) -> None:
    """Names in the rooms, often with areas; tags beside doors; a north arrow or a watermark somewhere."""
    area, sides = rng.random() < 0.5, rng.random() < 0.25
    for room in layout.rooms:
        if rng.random() < 0.1:
            continue
        x, y = room.shape.representative_point().coords[0]
        size = letter * (1.0 if room.shape.area > 3 else 0.75)
        canvas.text(room.label, (x, y), size, font)
        if area:
            said = f"{room.shape.area:.1f} m²" if rng.random() < 0.6 else f"{room.shape.area * 10.764:.0f} sq ft"
            canvas.text(said, (x, y - 1.5 * size), 0.8 * size, font)
        elif sides:
            x0, y0, x1, y1 = room.shape.bounds
            canvas.text(f"{x1 - x0:.2f} x {y1 - y0:.2f}", (x, y - 1.5 * size), 0.8 * size, font)
    if rng.random() < 0.25:
        for k, hole in enumerate(layout.holes):
            middle = (np.array(hole.a) + np.array(hole.b)) / 2
            at = middle + rng.choice([-1, 1]) * rng.uniform(0.35, 0.6)
            canvas.circle(at, 1.1 * letter, letter / 12, 0, 255 if rng.random() < 0.5 else None)
            canvas.text(f"{hole.kind[0].upper()}{k}", at, 0.7 * letter, font)
    x0, y0, x1, y1 = layout.solid.bounds
    for _ in range(int(rng.integers(0, 5))):
        at = (rng.uniform(x0 - 4, x1 + 4), rng.uniform(y0 - 3, y0 - 1) if rng.random() < 0.6 else rng.uniform(y0, y1))
        words = str(rng.choice(["GROUND FLOOR PLAN", "1:100", "ENTRANCE", "+0.00", "h = 2.60", "UP", "DN", "A-101"]))
        canvas.text(words, at, letter * rng.uniform(0.7, 2.0), font)


def dimensions(canvas: Canvas, layout: Layout, pen: float, font: str, letter: float, rng: Rng) -> None:
    """Chains of dimensions along the four sides, now and then one through the rooms."""
    x0, y0, x1, y1 = layout.solid.bounds
    mark = str(rng.choice(["tick", "arrow", "dot", "cross"]))
    unit = str(rng.choice(["m", "mm", "cm", "ft"]))
    away = rng.uniform(0.6, 1.4)
    ends = [h for hole in layout.holes for h in (hole.a, hole.b)]
    xs = _marks([p[0] for p in ends], x0, x1, rng)
    ys = _marks([p[1] for p in ends], y0, y1, rng)
    chains: list[tuple[list[float], float, bool]] = []
    for k in range(int(rng.integers(1, 3))):
        chains += [([*xs] if k == 0 else [x0, x1], y0 - away - 0.6 * k, False)]
        chains += [([*ys] if k == 0 else [y0, y1], x0 - away - 0.6 * k, True)]
        if rng.random() < 0.6:
            chains += [(_marks(xs, x0, x1, rng), y1 + away + 0.6 * k, False)]
        if rng.random() < 0.6:
            chains += [(_marks(ys, y0, y1, rng), x1 + away + 0.6 * k, True)]
    if rng.random() < 0.35:
        chains.append((_marks(xs, x0, x1, rng), rng.uniform(y0 + 0.5, y1 - 0.5), False))
    if rng.random() < 0.35:
        chains.append((_marks(ys, y0, y1, rng), rng.uniform(x0 + 0.5, x1 - 0.5), True))
    for places, level, upright in chains:
        _chain(canvas, places, level, upright, (y0, y1, x0, x1), pen, font, letter, mark, unit, rng)


def _marks(places: list[float], low: float, high: float, rng: Rng) -> list[float]:
    """Ends of a chain and some places between, at least 0.4 m apart."""
    kept = [low]
    for place in sorted(places):
        if place - kept[-1] > 0.4 and high - place > 0.4 and rng.random() < 0.6:
            kept.append(place)
    return [*kept, high]


def _chain(
    canvas: Canvas,
    places: list[float],
    level: float,
    upright: bool,
    body: tuple[float, float, float, float],
    pen: float,
    font: str,
    letter: float,
    mark: str,
    unit: str,
    rng: Rng,
) -> None:
    def at(along: float, across: float) -> tuple[float, float]:
        return (across, along) if upright else (along, across)

    canvas.line([at(places[0] - 0.15, level), at(places[-1] + 0.15, level)], pen)
    near = body[2:] if upright else body[:2]
    start = near[0] - 0.15 if level < near[0] else near[1] + 0.15 if level > near[1] else level
    for place in places:
        canvas.line([at(place, start), at(place, level + math.copysign(0.15, level - start))], pen)
        _mark(canvas, at(place, level), mark, pen)
    for a, b in itertools.pairwise(places):
        if b - a > 2.5 * letter:
            canvas.text(_said(b - a, unit), at((a + b) / 2, level + (-0.75 if upright else 0.75) * letter),
                        letter, font, upright)  # fmt: skip


def _mark(canvas: Canvas, at: tuple[float, float], kind: str, pen: float) -> None:
    x, y = at
    if kind == "dot":
        canvas.circle(at, 0.04, pen, 0, 0)
    elif kind == "tick":
        canvas.line([(x - 0.08, y - 0.08), (x + 0.08, y + 0.08)], 2 * pen)
    elif kind == "cross":
        canvas.line([(x - 0.06, y), (x + 0.06, y)], pen)
    else:
        canvas.ring([(x, y), (x + 0.12, y + 0.03), (x + 0.12, y - 0.03)], pen, 0, 0)


def _said(metres: float, unit: str) -> str:
    if unit == "ft":
        inches = round(metres / 0.0254)
        return f"{inches // 12}'-{inches % 12}\""
    return {"m": f"{metres:.2f}", "mm": f"{metres * 1000:.0f}", "cm": f"{metres * 100:.0f}"}[unit]


def axes(canvas: Canvas, layout: Layout, pen: float, font: str, letter: float, rng: Rng) -> None:
    """Grid axes across the plan with their bubbles."""
    x0, y0, x1, y1 = layout.solid.bounds
    reach = rng.uniform(1.5, 3.0)
    for k, x in enumerate(_marks(list(rng.uniform(x0, x1, 4)), x0 + 0.1, x1 - 0.1, rng)):
        canvas.line([(x, y0 - reach), (x, y1 + reach)], pen, 0, 0.35)
        canvas.circle((x, y1 + reach + 1.4 * letter), 1.4 * letter, pen)
        canvas.text(str(k + 1), (x, y1 + reach + 1.4 * letter), letter, font)
    for k, y in enumerate(_marks(list(rng.uniform(y0, y1, 3)), y0 + 0.1, y1 - 0.1, rng)):
        canvas.line([(x0 - reach, y), (x1 + reach, y)], pen, 0, 0.35)
        canvas.circle((x0 - reach - 1.4 * letter, y), 1.4 * letter, pen)
        canvas.text("ABCDEFGH"[k % 8], (x0 - reach - 1.4 * letter, y), letter, font)


def frame(canvas: Canvas, layout: Layout, pen: float, font: str, letter: float, rng: Rng) -> None:
    """The sheet's frame, a title block with lines and words, a scale bar."""
    x0, y0, x1, y1 = layout.solid.bounds
    a, b, c, d = rng.uniform(2.2, 5.0, 4)
    x0, y0, x1, y1 = x0 - a, y0 - b, x1 + c, y1 + d
    canvas.ring([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], 2 * pen)
    wide, tall = rng.uniform(2.0, 4.5), rng.uniform(1.5, 4.0)
    left = x1 - wide
    canvas.ring([(left, y0), (x1, y0), (x1, y0 + tall), (left, y0 + tall)], 2 * pen)
    rows = int(rng.integers(2, 6))
    for k in range(rows):
        y = y0 + tall * k / rows
        canvas.line([(left, y), (x1, y)], pen)
        canvas.text(str(rng.choice(["PROJECT", "Test house", "2024-05-01", "A-100", "DRAWN"])),
                    (left + wide / 2, y + 0.5 * tall / rows), letter * rng.uniform(0.7, 1.6), font)  # fmt: skip
    start = x0 + rng.uniform(0.4, 1.0)
    for k in range(4):
        box = [(start + k, y0 + 0.4), (start + k + 1, y0 + 0.4), (start + k + 1, y0 + 0.55), (start + k, y0 + 0.55)]
        canvas.ring(box, pen, 0, 0 if k % 2 else 255)
        canvas.text(str(k), (start + k, y0 + 0.8), letter, font)
