"""A drawing and the class of its every pixel, painted together: metres in, y up; the drawing at twice the pixels."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import shapely
import shapely.ops
from PIL import Image, ImageDraw, ImageFont
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry

from ...zoo.plan_net import CLASSES
from .layouts import Rng

CLASS = {name: index for index, name in enumerate(CLASSES)}
_UNDER_TEXT = np.array([name in ("outside", "room", "swing", "stairs", "fixture") for name in CLASSES])
Points = Sequence[Sequence[float]]
_FINE = 2
_FONTS = (
    "DejaVuSans.ttf", "LiberationSans-Regular.ttf", "LiberationSerif-Regular.ttf", "LiberationSansNarrow-Regular.ttf",
    "DejaVuSans-Bold.ttf", "LiberationSans-Bold.ttf", "DejaVuSansMono.ttf", "LiberationSans-Italic.ttf",
)  # fmt: skip


class Canvas:
    """``size`` pixels (width, height), a metre ``scale`` pixels long, ``corner``: the metres of the top left pixel."""

    def __init__(self, size: tuple[int, int], scale: float, corner: tuple[float, float], paper: int = 255) -> None:
        self.scale, self.corner, self.size = scale, corner, size
        self.image = Image.new("L", (size[0] * _FINE, size[1] * _FINE), paper)
        self.labels = Image.new("L", size, CLASS["outside"])
        self.draw, self.mark = ImageDraw.Draw(self.image), ImageDraw.Draw(self.labels)

    def at(self, points: Any, fine: float = _FINE) -> list[tuple[float, float]]:
        """Pixels of points in metres."""
        p = (np.asarray(points, np.float64).reshape(-1, 2) - self.corner) * (1, -1) * self.scale * fine
        return [(float(x), float(y)) for x, y in p]

    def line(self, points: Points, pen: float, grey: int = 0, dash: float = 0.0) -> None:
        """A polyline ``pen`` metres wide; ``dash``: length of dashes in metres, 0 for none."""
        wide = pen * self.scale * _FINE
        if wide < 1:  # thinner than a pixel: fainter
            grey = round(255 - (255 - grey) * max(wide, 0.35))
        strokes = [points] if dash <= 0 else _dashes(points, dash)
        for stroke in strokes:
            path = self.at(stroke)
            self.draw.line(path, fill=grey, width=max(1, round(wide)))
            if wide > 3:
                r = wide / 2 - 0.5
                for x, y in (path[0], path[-1]):
                    self.draw.rectangle((x - r, y - r, x + r, y + r), fill=grey)

    def ring(self, points: Points, pen: float, grey: int = 0, fill: int | None = None) -> None:
        """A closed outline, filled or not."""
        if fill is not None:
            self.draw.polygon(self.at(points), fill=fill)
        self.line([*points, points[0]], pen, grey)

    def circle(
        self, centre: Sequence[float], radius: float, pen: float, grey: int = 0, fill: int | None = None
    ) -> None:
        """A circle in metres."""
        ((x, y),) = self.at([centre])
        r = radius * self.scale * _FINE
        width = max(1, round(pen * self.scale * _FINE))
        self.draw.ellipse((x - r, y - r, x + r, y + r), fill=fill, outline=grey, width=width)

    def shape(self, shape: BaseGeometry, fill: int | None, pen: float = 0.0, grey: int = 0) -> None:
        """Polygons with holes: filled, outlined, or both."""
        if fill is not None:
            mask = self.mask(shape)
            self.image.paste(fill, mask=mask)
        if pen > 0:
            for ring in rings(shape):
                self.line(list(ring.coords), pen, grey)

    def mask(self, shape: BaseGeometry) -> Image.Image:
        """Where a shape lies, 255 inside, at the drawing's pixels."""
        mask = Image.new("1", self.image.size)
        pen = ImageDraw.Draw(mask)
        for polygon in polygons(shape):
            pen.polygon(self.at(polygon.exterior.coords), fill=1)
            for hole in polygon.interiors:
                pen.polygon(self.at(hole.coords), fill=0)
        return mask

    def label(self, shape: BaseGeometry, name: str, only: Iterable[str] = ()) -> None:
        """Mark a shape's pixels as a class; ``only``: where they are one of these so far."""
        polys = list(polygons(shape))
        if not polys:
            return
        if not only and not any(p.interiors for p in polys):
            for p in polys:
                self.mark.polygon([(x - 0.5, y - 0.5) for x, y in self.at(p.exterior.coords, 1)], fill=CLASS[name])
            return
        x0, y0, x1, y1 = self._window(shape.bounds)
        if x0 >= x1 or y0 >= y1:
            return
        mask = Image.new("1", (x1 - x0, y1 - y0))
        pen = ImageDraw.Draw(mask)
        for p in polys:
            for ring, fill in ((p.exterior, 1), *((hole, 0) for hole in p.interiors)):
                pen.polygon([(x - 0.5 - x0, y - 0.5 - y0) for x, y in self.at(ring.coords, 1)], fill=fill)
        if only:
            allowed = np.zeros(256, bool)
            allowed[[CLASS[word] for word in only]] = True
            here = allowed[np.asarray(self.labels.crop((x0, y0, x1, y1)))]
            mask = Image.fromarray(np.asarray(mask) & here)
        self.labels.paste(CLASS[name], (x0, y0, x1, y1), mask)

    def _window(self, bounds: tuple[float, float, float, float]) -> tuple[int, int, int, int]:
        """Pixels of the labels around bounds in metres."""
        (x0, y1), (x1, y0) = self.at([bounds[:2], bounds[2:]], 1)
        return max(0, int(x0) - 1), max(0, int(y0) - 1), min(self.size[0], int(x1) + 2), min(self.size[1], int(y1) + 2)

    def text(self, words: str, at: Sequence[float], height: float, font: str, upright: bool = False) -> None:
        """Words centred on a point, ``height`` metres tall, marked as text."""
        face = typeface(font, max(5, round(height * self.scale * _FINE)))
        box = self.draw.textbbox((0, 0), words, font=face)
        wide, tall = int(box[2] - box[0]) + 2, int(box[3] - box[1]) + 2
        glyphs = Image.new("L", (wide, tall))
        ImageDraw.Draw(glyphs).text((1 - box[0], 1 - box[1]), words, font=face, fill=255)
        if upright:
            glyphs = glyphs.transpose(Image.Transpose.ROTATE_90)
        ((x, y),) = self.at([at])
        left, top = round(x - glyphs.width / 2), round(y - glyphs.height / 2)
        self.image.paste(0, (left, top), glyphs)
        corners = [round(v / _FINE) for v in (left, top, left + glyphs.width, top + glyphs.height)]
        self._mark_text(*corners)

    def _mark_text(self, x0: int, y0: int, x1: int, y1: int) -> None:
        """Mark a rectangle of pixels as text, where nothing of the building's shell lies."""
        x0, y0, x1, y1 = max(0, x0), max(0, y0), min(self.size[0], x1), min(self.size[1], y1)
        if x0 >= x1 or y0 >= y1:
            return
        here = np.asarray(self.labels.crop((x0, y0, x1, y1)))
        free = Image.fromarray(_UNDER_TEXT[here])
        self.labels.paste(CLASS["text"], (x0, y0, x1, y1), free)

    def hatch(self, shape: BaseGeometry, step: float, angle: float, pen: float, grey: int) -> None:
        """Parallel lines across a shape, ``step`` metres apart."""
        layer = Image.new("L", self.image.size, 255)
        pencil = ImageDraw.Draw(layer)
        x0, y0, x1, y1 = shape.bounds
        middle, reach = np.array([(x0 + x1) / 2, (y0 + y1) / 2]), math.hypot(x1 - x0, y1 - y0) / 2
        way = np.array([math.cos(angle), math.sin(angle)])
        side = np.array([-way[1], way[0]])
        wide = pen * self.scale * _FINE
        shade = grey if wide >= 1 else round(255 - (255 - grey) * max(wide, 0.35))
        for k in range(-int(reach / step) - 1, int(reach / step) + 2):
            p = middle + side * k * step
            pencil.line(self.at([p - reach * way, p + reach * way]), fill=shade, width=max(1, round(wide)))
        self.image.paste(layer, mask=self.mask(shape))

    def finished(self) -> tuple[Any, Any]:
        """(lightness (H, W) uint8, class (H, W) uint8)."""
        return np.asarray(self.image.reduce(_FINE)), np.asarray(self.labels)


def polygons(shape: BaseGeometry) -> Iterable[Polygon]:
    """Its polygons."""
    parts = shapely.get_parts(shape)
    return [p for p in parts if isinstance(p, Polygon) and not p.is_empty]


def rings(shape: BaseGeometry) -> Iterable[Any]:
    """Its borders."""
    return [ring for p in polygons(shape) for ring in (p.exterior, *p.interiors)]


def _dashes(points: Points, dash: float) -> list[list[tuple[float, float]]]:
    line = shapely.LineString(points)
    count = max(1, int(line.length / (1.6 * dash)))
    pieces = [shapely.ops.substring(line, 1.6 * dash * k, 1.6 * dash * k + dash) for k in range(count)]
    return [list(p.coords) for p in pieces if p.geom_type == "LineString"]


@functools.lru_cache(maxsize=200)
def typeface(name: str, size: int) -> Any:
    """A font by its file's name, Pillow's own where the machine has it not."""
    try:
        return ImageFont.truetype(name, size)
    except OSError:
        return ImageFont.load_default(size)


def any_font(rng: Rng) -> str:
    """The name of a font."""
    return str(rng.choice(_FONTS))
