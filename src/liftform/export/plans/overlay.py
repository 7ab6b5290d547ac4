"""The plan drawn over the picture it was read from, to be checked by eye: what is doubtful is drawn in red."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...floorplan import Opening, Point, Storey, Wall
from .lines import Drawing, drawing, swing_arc

_WALL, _ROOM, _DOOR, _WINDOW = (40, 90, 200, 255), (90, 170, 90, 40), (220, 120, 0, 255), (0, 150, 190, 255)
_DOUBT = (225, 0, 40, 255)
if TYPE_CHECKING:
    from ...drawing.sheet import Sheet

#: Below this confidence an element is marked; longest side of the picture.
_SURE, _LONGEST = 0.8, 2400


def overlay(sheet: Sheet, storey: Storey) -> Any:
    """A Pillow picture: the sheet, faded, under the storey, whose ``sheet_from_m`` gives units of the sheet, y up."""
    from PIL import Image, ImageDraw

    ratio = _LONGEST / max(sheet.size) if sheet.image is None else min(1.0, _LONGEST / max(sheet.size))
    picture = _picture(sheet, ratio).convert("RGBA")
    faded = Image.blend(picture, Image.new("RGBA", picture.size, "white"), 0.35)
    layer = Image.new("RGBA", picture.size, (0, 0, 0, 0))
    down = np.array([[ratio, 0.0, 0.0], [0.0, -ratio, sheet.size[1] * ratio], [0.0, 0.0, 1.0]])
    matrix = down @ np.asarray(storey.sheet_from_m, np.float64)
    walls = Image.new("L", picture.size)
    _draw(ImageDraw.Draw(layer), ImageDraw.Draw(walls), drawing(storey), storey, matrix)
    faded.paste(_WALL[:3], mask=walls)
    return Image.alpha_composite(faded, layer).convert("RGB")


def _picture(sheet: Sheet, ratio: float) -> Any:
    """The sheet's image at a scale, or its strokes drawn at that scale."""
    from PIL import Image, ImageDraw

    size = max(1, round(sheet.size[0] * ratio)), max(1, round(sheet.size[1] * ratio))
    if sheet.image is not None:
        return Image.fromarray(np.rint(np.clip(sheet.image, 0, 1) * 255).astype(np.uint8)).resize(size)
    picture = Image.new("L", size, 255)
    draw = ImageDraw.Draw(picture)
    for stroke in sheet.strokes:
        for ring in stroke.rings:
            line = [(float(x) * ratio, (sheet.size[1] - float(y)) * ratio) for x, y in ring]
            if len(line) > 1:
                draw.line(line, fill=90)
    return picture


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
