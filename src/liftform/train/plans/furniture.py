"""Furniture, fixtures, stairs and floor patterns as they are drawn in plans: put into rooms, clear of doors."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from shapely.geometry import Polygon, box
from shapely.geometry.base import BaseGeometry

from .canvas import Canvas, Points
from .layouts import Rng, Space

#: Draws a piece into a frame: (canvas, frame to metres, width, depth, pen, grey).
Piece = Callable[["Pencil", float, float, Rng], None]


@dataclass(frozen=True)
class Pencil:
    """Lines in the frame of a piece: its corner, its unit axes, its pen."""

    canvas: Canvas
    corner: tuple[float, float]
    x: tuple[float, float]
    y: tuple[float, float]
    pen: float
    grey: int
    fill: int | None

    def to(self, points: Points) -> list[tuple[float, float]]:
        """Metres of points in the frame."""
        (cx, cy), (ax, ay), (bx, by) = self.corner, self.x, self.y
        return [(cx + ax * u + bx * v, cy + ay * u + by * v) for u, v in points]

    def box(self, x0: float, y0: float, x1: float, y1: float, filled: bool = True) -> None:
        """A rectangle."""
        ring = self.to([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
        self.canvas.ring(ring, self.pen, self.grey, self.fill if filled else None)

    def line(self, *points: tuple[float, float]) -> None:
        """A polyline."""
        self.canvas.line(self.to(points), self.pen, self.grey)

    def oval(self, x: float, y: float, rx: float, ry: float) -> None:
        """An ellipse."""
        turn = np.linspace(0, 2 * math.pi, 21)[:-1]
        ring = self.to([(x + rx * math.cos(t), y + ry * math.sin(t)) for t in turn])
        self.canvas.ring(ring, self.pen, self.grey, self.fill)


def _bed(p: Pencil, w: float, d: float, rng: Rng) -> None:
    p.box(0, 0, w, d)
    pillows = 2 if w > 1.2 else 1
    for k in range(pillows):
        p.box((k + 0.1) * w / pillows, 0.08, (k + 0.9) * w / pillows, 0.42)
    p.line((0, 0.6), (w, 0.6))
    if rng.random() < 0.5:
        p.line((w, 0.6), (0.5 * w, 0.95), (w, 0.95))


def _sofa(p: Pencil, w: float, d: float, rng: Rng) -> None:
    p.box(0, 0, w, d)
    p.line((0.15, d), (0.15, 0.2), (w - 0.15, 0.2), (w - 0.15, d))
    if rng.random() < 0.6:
        p.line((w / 2, 0.2), (w / 2, d))


def _table(p: Pencil, w: float, d: float, rng: Rng) -> None:
    if rng.random() < 0.3:
        p.oval(w / 2, d / 2, 0.32 * min(w, d), 0.32 * min(w, d))
    else:
        p.box(0.35, 0.35, w - 0.35, d - 0.35)
    for k in range(max(1, int((w - 0.7) / 0.6))):
        for y in (0.02, d - 0.42):
            p.box(0.45 + 0.6 * k, y, 0.85 + 0.6 * k, y + 0.4)


def _wc(p: Pencil, w: float, d: float, rng: Rng) -> None:
    p.box(0, 0, w, 0.18)
    p.oval(w / 2, 0.18 + (d - 0.18) / 2, 0.42 * w, (d - 0.18) / 2)


def _sink(p: Pencil, w: float, d: float, rng: Rng) -> None:
    if rng.random() < 0.7:
        p.box(0, 0, w, d)
    p.oval(w / 2, d / 2, 0.38 * w, 0.36 * d)


def _bath(p: Pencil, w: float, d: float, rng: Rng) -> None:
    p.box(0, 0, w, d)
    p.oval(w / 2, d / 2, 0.42 * w, 0.38 * d) if rng.random() < 0.5 else p.box(0.08, 0.08, w - 0.08, d - 0.08)
    p.oval(0.25, d / 2, 0.05, 0.05)


def _shower(p: Pencil, w: float, d: float, rng: Rng) -> None:
    p.box(0, 0, w, d)
    if rng.random() < 0.7:
        p.line((0, 0), (w, d))
        p.line((0, d), (w, 0))
    p.oval(w / 2, d / 2, 0.06, 0.06)


def _counter(p: Pencil, w: float, d: float, rng: Rng) -> None:
    p.box(0, 0, w, d)
    at = rng.uniform(0.1, max(0.11, w - 0.8))
    for k in range(4):
        p.oval(at + 0.15 + 0.3 * (k % 2), 0.15 + 0.28 * (k // 2), 0.1, 0.1)
    if w > 1.6:
        other = at - 0.8 if at > 0.9 else at + 0.75
        p.box(other, 0.1, other + 0.5, d - 0.1)
    for k in range(1, int(w / 0.6)):
        if rng.random() < 0.4:
            p.line((0.6 * k, 0), (0.6 * k, d))


def _wardrobe(p: Pencil, w: float, d: float, rng: Rng) -> None:
    p.box(0, 0, w, d)
    if rng.random() < 0.5:
        p.line((0, 0), (w, d))
        if rng.random() < 0.5:
            p.line((0, d), (w, 0))
    else:
        p.line((0, d / 2), (w, d / 2))
        for k in range(int(w / 0.12)):
            p.line((0.12 * k + 0.05, 0.1), (0.12 * k + rng.uniform(-0.03, 0.1), d - 0.1))


def _stairs(p: Pencil, w: float, d: float, rng: Rng) -> None:
    p.box(0, 0, w, d, filled=False)
    step = rng.uniform(0.24, 0.3)
    for k in range(1, int(d / step) + 1):
        p.line((0, step * k), (w, step * k))
    if rng.random() < 0.7:
        p.line((w / 2, 0.1), (w / 2, d - 0.1))
        p.line((w / 2 - 0.12, d - 0.3), (w / 2, d - 0.1), (w / 2 + 0.12, d - 0.3))
    if rng.random() < 0.4:
        p.line((0, 0.55 * d), (w, 0.55 * d + 0.3))


def _car(p: Pencil, w: float, d: float, rng: Rng) -> None:
    p.box(0, 0, w, d)
    p.box(0.15, 0.25 * d, w - 0.15, 0.75 * d)


#: name -> (draw, widths, depths, rooms it stands in, or () for any)
PIECES: dict[str, tuple[Piece, tuple[float, float], tuple[float, float], tuple[str, ...]]] = {
    "bed": (_bed, (0.9, 1.9), (1.95, 2.1), ("bedroom",)),
    "wardrobe": (_wardrobe, (1.0, 2.6), (0.5, 0.65), ("bedroom", "corridor", "closet")),
    "sofa": (_sofa, (1.5, 2.4), (0.8, 1.0), ("living_room", "office")),
    "table": (_table, (1.5, 2.4), (1.5, 1.8), ("living_room", "kitchen", "dining_room")),
    "wc": (_wc, (0.36, 0.42), (0.6, 0.72), ("bathroom", "restroom")),
    "sink": (_sink, (0.45, 0.7), (0.4, 0.5), ("bathroom", "restroom", "washing_room")),
    "bath": (_bath, (1.5, 1.8), (0.7, 0.8), ("bathroom",)),
    "shower": (_shower, (0.8, 1.0), (0.8, 1.0), ("bathroom",)),
    "counter": (_counter, (1.8, 3.2), (0.6, 0.65), ("kitchen",)),
    "stairs": (_stairs, (0.85, 1.1), (2.0, 3.2), ("corridor", "living_room", "none")),
    "desk": (_sink, (1.2, 1.6), (0.6, 0.8), ("office", "bedroom")),
    "car": (_car, (1.7, 1.9), (4.0, 4.5), ("garage",)),
}


def furnish(canvas: Canvas, room: Space, keep: BaseGeometry, pen: float, grey: int, fill: int | None, rng: Rng) -> None:
    """Put some pieces against the walls of a room, or amid it, where they meet neither each other nor ``keep``."""
    names = [n for n, (*_, where) in PIECES.items() if room.kind in where or rng.random() < 0.06]
    taken = keep
    for name in rng.permutation(names)[: int(rng.integers(1, 6))]:
        draw, widths, depths, _ = PIECES[str(name)]
        w, d = rng.uniform(*widths), rng.uniform(*depths)
        place = _place(room.shape, taken, w, d, name == "table", rng)
        if place is None:
            continue
        corner, x, y, area = place
        solid = fill if name != "stairs" else None
        canvas.label(area, "stairs" if name == "stairs" else "fixture", only=("room", "outside", "fixture"))
        draw(Pencil(canvas, corner, x, y, pen, grey, solid), w, d, rng)
        taken = taken.union(area)


Pair = tuple[float, float]


def _place(
    room: Polygon, taken: BaseGeometry, w: float, d: float, amid: bool, rng: Rng
) -> tuple[Pair, Pair, Pair, Polygon] | None:
    """A free frame (corner, axes, area), its back to one of the room's sides unless it stands ``amid``."""
    points = np.array(room.exterior.coords)
    if not room.exterior.is_ccw:
        points = points[::-1]
    for _ in range(6):
        k = int(rng.integers(len(points) - 1))
        side = points[k + 1] - points[k]
        length = float(np.hypot(*side))
        if length < w:
            continue
        x = side / length
        y = np.array([-x[1], x[0]])
        place = (length - w) * (rng.random() if rng.random() < 0.6 else float(rng.integers(2)))
        corner = points[k] + x * place + y * (rng.uniform(0.2, 1.5) if amid else 0.01)
        area = Polygon([corner, corner + w * x, corner + w * x + d * y, corner + d * y])
        if room.buffer(0.02).contains(area) and not area.intersects(taken):
            return (corner[0], corner[1]), (x[0], x[1]), (y[0], y[1]), area
    return None


def tiled(canvas: Canvas, room: Space, pen: float, rng: Rng) -> None:
    """Tiles or boards drawn on the floor."""
    step, grey = float(rng.uniform(0.12, 0.4)), int(rng.integers(120, 215))
    turn = float(rng.choice([0.0, math.pi / 4]))
    canvas.hatch(room.shape, step, turn, pen, grey)
    if rng.random() < 0.6:
        crossed = canvas.image.copy()
        layer = Canvas(canvas.size, canvas.scale, canvas.corner)
        layer.hatch(room.shape, step, turn + math.pi / 2, pen, grey)
        darker = np.minimum(np.asarray(crossed), np.asarray(layer.image))
        canvas.image.paste(_picture(darker), mask=canvas.mask(room.shape))


def _picture(values: np.ndarray) -> Any:
    from PIL import Image

    return Image.fromarray(values)


def clearances(holes: list[tuple[Pair, Pair]], reach: float) -> BaseGeometry:
    """Squares before doors that are kept free."""
    from shapely.ops import unary_union

    return unary_union([box(min(a[0], b[0]) - reach, min(a[1], b[1]) - reach, max(a[0], b[0]) + reach,
                            max(a[1], b[1]) + reach) for a, b in holes])  # fmt: skip
