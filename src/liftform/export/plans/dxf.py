"""DXF of a plan (R2010) by ezdxf, in metres, storeys side by side.

Layers after the AIA CAD Layer Guidelines: A-WALL, A-WALL-RAIL, A-DOOR, A-GLAZ, A-AREA, A-COLS, A-FLOR-STRS, A-ANNO.
"""

from __future__ import annotations

import io
import math
from typing import Any

from ...floorplan import Plan, Point
from ...runtime import need
from .lines import Drawing, drawing, offsets

_LAYERS = {
    "A-WALL": 7,
    "A-WALL-RAIL": 8,
    "A-DOOR": 30,
    "A-GLAZ": 140,
    "A-AREA": 94,
    "A-COLS": 7,
    "A-FLOR-STRS": 8,
    "A-ANNO": 2,
}


def encode(plan: Plan) -> bytes:
    """The drawing as the bytes of a text DXF; the same plan gives the same bytes."""
    ezdxf = need("ezdxf", "plans")
    fixed = ezdxf.options.write_fixed_meta_data_for_testing
    ezdxf.options.write_fixed_meta_data_for_testing = True
    try:
        document = ezdxf.new("R2010", setup=False)
        document.units = 6  # metres
        for name, color in _LAYERS.items():
            document.layers.add(name, color=color)
        for storey, shift in zip(plan.storeys, offsets(plan), strict=True):
            _Sheet(document.modelspace(), shift).draw(drawing(storey))
        text = io.StringIO()
        document.write(text)
    finally:
        ezdxf.options.write_fixed_meta_data_for_testing = fixed
    return text.getvalue().encode(document.output_encoding, errors="dxfreplace")


class _Sheet:
    """One storey drawn into the model space."""

    def __init__(self, space: Any, shift: Point) -> None:
        self._space, self._shift = space, shift

    def draw(self, lines: Drawing) -> None:
        for layer, shapes in (("A-WALL", lines.walls), ("A-WALL-RAIL", lines.railings)):
            for outer, holes in shapes:
                for ring in (outer, *holes):
                    self._ring(ring, layer)
        for _, outer, holes in lines.rooms:
            for ring in (outer, *holes):
                self._ring(ring, "A-AREA")
        for ring in lines.columns:
            self._ring(ring, "A-COLS")
        for ring in lines.steps:
            self._ring(ring, "A-FLOR-STRS")
        for layer, segments in (("A-DOOR", lines.leaves + lines.doors), ("A-GLAZ", lines.windows)):
            for p, q in segments:
                self._space.add_line(self._at(p), self._at(q), dxfattribs={"layer": layer})
        for hinge, closed, opened in lines.swings:
            self._swing(hinge, closed, opened)
        for place, text in lines.labels:
            about = {"layer": "A-ANNO", "char_height": 0.2, "attachment_point": 5, "insert": self._at(place)}
            self._space.add_mtext("\\P".join(line.replace("\\", "/") for line in text), dxfattribs=about)

    def _at(self, p: Point) -> Point:
        return p[0] + self._shift[0], p[1] + self._shift[1]

    def _ring(self, ring: list[Point], layer: str) -> None:
        self._space.add_lwpolyline([self._at(p) for p in ring], close=True, dxfattribs={"layer": layer})

    def _swing(self, hinge: Point, closed: Point, opened: Point) -> None:
        ends = [math.degrees(math.atan2(p[1] - hinge[1], p[0] - hinge[0])) for p in (closed, opened)]
        if (ends[1] - ends[0]) % 360 > 180:  # arcs run counter-clockwise
            ends.reverse()
        radius = math.dist(hinge, closed)
        self._space.add_arc(self._at(hinge), radius, ends[0], ends[1], dxfattribs={"layer": "A-DOOR"})
