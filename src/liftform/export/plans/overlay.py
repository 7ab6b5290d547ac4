"""The plan drawn over the picture it was read from, to be checked by eye: what is doubtful is drawn in red."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...floorplan import Opening, Point, Storey, Wall
from .lines import Drawing, drawing, swing_arc

_WALL, _ROOM, _DOOR, _WINDOW = (40, 90, 200, 255), (90, 170, 90, 40), (220, 120, 0, 255), (0, 150, 190, 255)
_DOUBT = (225, 0, 40, 255)
#: Below this confidence an element is marked; longest side of the picture.
_SURE, _LONGEST = 0.8, 2400


def overlay(image: NDArray[np.uint8], storey: Storey) -> Any:
    """A Pillow picture: ``image`` (H, W, 3), faded, under the storey, whose ``sheet_from_m`` gives pixels of it."""
    from PIL import Image, ImageDraw

    picture = Image.fromarray(image).convert("RGBA")
    ratio = min(1.0, _LONGEST / max(picture.size))
    if ratio < 1:
        picture = picture.resize((round(picture.width * ratio), round(picture.height * ratio)))
    faded = Image.blend(picture, Image.new("RGBA", picture.size, "white"), 0.35)
    layer = Image.new("RGBA", picture.size, (0, 0, 0, 0))
    matrix = np.diag([ratio, ratio, 1.0]) @ np.asarray(storey.sheet_from_m, np.float64)
    walls = Image.new("L", picture.size)
    _draw(ImageDraw.Draw(layer), ImageDraw.Draw(walls), drawing(storey), storey, matrix)
    faded.paste(_WALL[:3], mask=walls)
    return Image.alpha_composite(faded, layer).convert("RGB")


def _draw(draw: Any, mask: Any, lines: Drawing, storey: Storey, matrix: NDArray[np.float64]) -> None:
    def at(points: Any) -> list[Point]:
        p = np.asarray(points, np.float64) @ matrix[:, :2].T + matrix[:, 2]
        return [(float(x / w), float(y / w)) for x, y, w in p]

    for _, outer, _ in lines.rooms:
        draw.polygon(at(outer), fill=_ROOM, outline=(60, 130, 60, 255))
    for outer, holes in lines.walls:
        mask.polygon(at(outer), fill=150)
        for hole in holes:
            mask.polygon(at(hole), fill=0)
        for ring in (outer, *holes):
            draw.line(at([*ring, ring[0]]), fill=_WALL, width=2)
    for segments, color in ((lines.leaves + lines.doors, _DOOR), (lines.windows, _WINDOW)):
        for segment in segments:
            draw.line(at(segment), fill=color, width=3)
    for swing in lines.swings:
        draw.line(at(swing_arc(*swing)), fill=_DOOR, width=2)
    parts: list[Wall | Opening] = [*storey.walls, *storey.openings]
    doubtful = [part for part in parts if part.confidence < _SURE]
    for part in doubtful:
        middle = ((part.a[0] + part.b[0]) / 2, (part.a[1] + part.b[1]) / 2)
        ((x, y),) = at([middle])
        draw.ellipse((x - 14, y - 14, x + 14, y + 14), outline=_DOUBT, width=3)
        draw.text((x + 16, y - 8), f"{part.id} {part.confidence:.2f}", fill=_DOUBT)
    for place, text in lines.labels:
        ((x, y),) = at([place])
        draw.multiline_text((x, y), "\n".join(text), fill=(20, 60, 20, 255), anchor="mm", align="center")
