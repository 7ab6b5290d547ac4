"""SVG of a plan: one unit of the view box is a millimetre of the building, so that any print has a scale.

Scalable Vector Graphics 2, https://www.w3.org/TR/SVG2/. Groups: storey-N / rooms, walls, railings, doors, windows ...
"""

from __future__ import annotations

from html import escape

from ...floorplan import OUTDOOR, WET, Plan, Point, kind_of
from .lines import Drawing, drawing, offsets

_MARGIN = 0.5
_FILLS = {"wet": "#dfeef2", "outdoor": "#e6eadf", "dry": "#faf7f0"}


def encode(plan: Plan) -> bytes:
    """The drawing; width and height in millimetres at 1:50."""
    shifts = offsets(plan)
    boxes = [
        (storey.bounds[0] + dx, storey.bounds[1] + dy, storey.bounds[2] + dx, storey.bounds[3] + dy)
        for storey, (dx, dy) in zip(plan.storeys, shifts, strict=True)
    ]
    x0, y0 = min(box[0] for box in boxes) - _MARGIN, min(box[1] for box in boxes) - _MARGIN
    x1, y1 = max(box[2] for box in boxes) + _MARGIN, max(box[3] for box in boxes) + _MARGIN
    pen = _Pen(x0, y1)
    body = [pen.storey(drawing(s), shift, k) for k, (s, shift) in enumerate(zip(plan.storeys, shifts, strict=True))]
    width, height = (x1 - x0) * 1000, (y1 - y0) * 1000
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width / 50:.1f}mm" height="{height / 50:.1f}mm" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="sans-serif">'
    )
    title = f"<title>{escape(plan.id)}, 1:50</title>"
    return "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', head, title, *body, "</svg>", ""]).encode()


class _Pen:
    """Turns metres, y up, into millimetres, y down."""

    def __init__(self, x0: float, y1: float) -> None:
        self._x0, self._y1 = x0, y1
        self._shift = (0.0, 0.0)

    def storey(self, lines: Drawing, shift: Point, number: int) -> str:
        self._shift = shift
        rooms = [
            f'<path d="{self._area(outer, holes)}" fill="{_fill(kind)}" class="{escape(kind, quote=True)}"/>'
            for kind, outer, holes in lines.rooms
        ]
        doors = lines.leaves + lines.doors
        strokes = (
            ("walls", 'fill="#333" fill-rule="evenodd"', [self._area(*ring) for ring in lines.walls]),
            ("railings", 'fill="none" stroke="#333" stroke-width="15"', [self._area(*ring) for ring in lines.railings]),
            ("columns", 'fill="#333"', [self._area(ring, []) for ring in lines.columns]),
            ("steps", 'fill="none" stroke="#777" stroke-width="12"', [self._area(ring, []) for ring in lines.steps]),
            ("doors", 'fill="none" stroke="#555" stroke-width="30"', [self._line(*x) for x in doors]),
            ("swings", 'fill="none" stroke="#999" stroke-width="12"', [self._swing(*swing) for swing in lines.swings]),
            ("windows", 'fill="none" stroke="#3a78a8" stroke-width="18"', [self._line(*x) for x in lines.windows]),
        )
        groups = [f'<g class="rooms">{"".join(rooms)}</g>']
        drawn = ((name, look, " ".join(paths)) for name, look, paths in strokes if paths)
        groups += [f'<g class="{name}" {look}><path d="{paths}"/></g>' for name, look, paths in drawn]
        texts = "".join(self._label(place, text) for place, text in lines.labels)
        groups.append(f'<g class="labels" fill="#222" text-anchor="middle" font-size="190">{texts}</g>')
        name = escape(lines.storey.name, quote=True)
        return f'<g id="storey-{number}" data-name="{name}">\n' + "\n".join(groups) + "\n</g>"

    def _at(self, p: Point) -> str:
        x, y = p[0] + self._shift[0] - self._x0, self._y1 - p[1] - self._shift[1]
        return f"{x * 1000:.1f} {y * 1000:.1f}"

    def _area(self, outer: list[Point], holes: list[list[Point]]) -> str:
        return "".join(f"M{'L'.join(map(self._at, ring))}Z" for ring in (outer, *holes))

    def _line(self, p: Point, q: Point) -> str:
        return f"M{self._at(p)}L{self._at(q)}"

    def _swing(self, hinge: Point, closed: Point, opened: Point) -> str:
        radius = ((closed[0] - hinge[0]) ** 2 + (closed[1] - hinge[1]) ** 2) ** 0.5 * 1000
        left = (closed[0] - hinge[0]) * (opened[1] - hinge[1]) > (closed[1] - hinge[1]) * (opened[0] - hinge[0])
        return f"M{self._at(closed)}A{radius:.1f} {radius:.1f} 0 0 {0 if left else 1} {self._at(opened)}"

    def _label(self, place: Point, text: tuple[str, ...]) -> str:
        x, y = self._at(place).split()
        lines = (f'<tspan x="{x}" dy="{230 if k else 0}">{escape(line)}</tspan>' for k, line in enumerate(text))
        return f'<text x="{x}" y="{y}">' + "".join(lines) + "</text>"


def _fill(room_type: str) -> str:
    kind = kind_of(room_type)
    return _FILLS["wet" if kind in WET else "outdoor" if kind in OUTDOOR else "dry"]
