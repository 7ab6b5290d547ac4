"""DXF drawings -> sheets: lines, polylines, arcs, blocks, hatches, texts and dimensions of the model space."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, TooLargeError, UnreadableError
from ..runtime import need
from .sheet import Colour, FloatArray, Sheet, Stroke, Text

#: Entities, after blocks are taken apart, and points that are taken in; bytes of a file.
_MOST_ENTITIES, _MOST_POINTS, _MOST_BYTES = 300_000, 2_000_000, 150_000_000
#: $INSUNITS -> metres a drawing unit: inch, foot, mm, cm, m, dm.
_UNITS = {1: 0.0254, 2: 0.3048, 4: 0.001, 5: 0.01, 6: 1.0, 14: 0.1}
_HATCH_GREY: Colour = (0.6, 0.6, 0.6)
_BLACK: Colour = (0.0, 0.0, 0.0)


def is_dxf(head: bytes) -> bool:
    """Whether a file's first bytes are those of a text or binary DXF."""
    if head.startswith(b"AutoCAD Binary DXF"):
        return True
    lines = [line.strip() for line in head.replace(b"\r", b"\n").split(b"\n") if line.strip()][:40]
    pairs = list(zip(lines[::2], lines[1::2], strict=False))
    return (b"0", b"SECTION") in pairs or (b"999" in lines[:1] and b"SECTION" in lines)


def read(path: Path, pages: Sequence[int] | None = None) -> list[Sheet]:
    """The model space of a DXF file, its one page.

    Raises MissingExtraError, UnreadableError, TooLargeError, InputError (empty).
    """
    ezdxf = need("ezdxf", extra="plans")
    from ezdxf import recover

    if path.stat().st_size > _MOST_BYTES:
        raise TooLargeError(f"{path}: more than {_MOST_BYTES // 1_000_000} MB", "save the plan alone to a new file")
    try:
        document, _ = recover.readfile(path)
        space = document.modelspace()
    except (OSError, ezdxf.DXFError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise UnreadableError(f"{path}: not a readable DXF", "save it again as DXF R2010 or later") from error
    strokes, texts = _content(path, space)
    if not strokes:
        raise InputError(f"{path}: the model space is empty", "draw the plan in the model space, not on a layout only")
    points = np.concatenate([ring for stroke in strokes for ring in stroke.rings])
    low, high = np.percentile(points, 0.2, 0), np.percentile(points, 99.8, 0)
    moved = tuple(_shifted(stroke, low) for stroke in strokes)
    words = tuple(_shifted_text(text, low) for text in texts)
    width, height = (float(v) for v in np.maximum(high - low, 1e-6))
    unit = _UNITS.get(int(document.header.get("$INSUNITS", 0)))
    return [Sheet(str(path), 1, 1, "vector", (width, height), moved, words, None, unit)]


def _shifted(stroke: Stroke, origin: FloatArray) -> Stroke:
    rings = tuple(ring - origin for ring in stroke.rings)
    return Stroke(rings, stroke.width, stroke.stroke, stroke.fill, stroke.even_odd, stroke.dashed, stroke.layer)


def _shifted_text(text: Text, origin: FloatArray) -> Text:
    centre = (text.centre[0] - float(origin[0]), text.centre[1] - float(origin[1]))
    return Text(text.text, centre, text.extent, text.angle, text.size, text.layer)


def _content(path: Path, space: Iterable[Any]) -> tuple[list[Stroke], list[Text]]:
    from ezdxf import disassemble

    strokes: list[Stroke] = []
    texts: list[Text] = []
    points = 0
    for count, entity in enumerate(disassemble.recursive_decompose(space)):
        kind = entity.dxftype()
        if kind in ("TEXT", "MTEXT", "ATTRIB"):
            texts += _text(entity, kind)
            continue
        found = _hatch(entity) if kind == "HATCH" else _lines(entity)
        strokes += found
        points += sum(len(ring) for stroke in found for ring in stroke.rings)
        if count > _MOST_ENTITIES or points > _MOST_POINTS:
            raise TooLargeError(f"{path}: more than {_MOST_ENTITIES} entities", "save the plan alone to a new file")
    return strokes, texts


def _lines(entity: Any) -> list[Stroke]:
    from ezdxf import path as paths

    try:
        line = paths.make_path(entity)
        extent = max(line.control_vertices(), key=lambda v: v.magnitude).magnitude if len(line) else 0.0
        rings = [
            np.array([(p.x, p.y) for p in part.flattening(max(extent * 1e-5, 1e-6), segments=8)], float)
            for part in line.sub_paths()
        ]
    except (TypeError, ValueError, ArithmeticError, AttributeError):
        return []
    kept = tuple(ring for ring in rings if len(ring) > 1 and np.isfinite(ring).all())
    dashed = str(entity.dxf.get("linetype", "")).upper() not in ("", "BYLAYER", "BYBLOCK", "CONTINUOUS")
    colour = _index_colour(int(entity.dxf.get("color", 256)))
    return [Stroke(kept, 0.0, colour, None, False, dashed, str(entity.dxf.layer))] if kept else []


def _index_colour(index: int) -> Colour:
    """A colour that tells pens apart; which one does not matter."""
    return _BLACK if index in (0, 7, 256) else (index % 16 / 64, index // 16 % 16 / 64, 0.0)


def _hatch(entity: Any) -> list[Stroke]:
    from ezdxf import path as paths

    try:
        rings = [np.array([(p.x, p.y) for p in line.flattening(0.01)], float) for line in paths.from_hatch(entity)]
    except (TypeError, ValueError, ArithmeticError, AttributeError):
        return []
    kept = tuple(ring for ring in rings if len(ring) > 2 and np.isfinite(ring).all())
    return [Stroke(kept, 0.0, None, _HATCH_GREY, True, False, str(entity.dxf.layer))] if kept else []


def _text(entity: Any, kind: str) -> list[Text]:
    """Lines of a text entity; their boxes are estimated from the height."""
    try:
        content = entity.plain_text() if kind == "MTEXT" else entity.dxf.text
        height = float(entity.dxf.char_height if kind == "MTEXT" else entity.dxf.height)
        at = entity.dxf.insert
        angle = math.radians(float(entity.get_rotation() if kind == "MTEXT" else entity.dxf.get("rotation", 0.0)))
        middle = kind == "MTEXT" and int(entity.dxf.get("attachment_point", 1)) in (2, 5, 8)
        if kind != "MTEXT" and int(entity.dxf.get("halign", 0)) in (1, 4) and entity.dxf.hasattr("align_point"):
            at, middle = entity.dxf.align_point, True
    except (AttributeError, TypeError, ValueError):
        return []
    along, across = np.array([math.cos(angle), math.sin(angle)]), np.array([-math.sin(angle), math.cos(angle)])
    found = []
    for row, line in enumerate(line for line in str(content).splitlines() if line.strip()):
        wide = 0.7 * height * len(line)
        down = 0.5 if kind == "MTEXT" else -0.5
        centre = np.array([at.x, at.y]) + along * (0.0 if middle else wide / 2) - across * height * (1.5 * row + down)
        found.append(
            Text(line.strip(), (float(centre[0]), float(centre[1])), (wide, height), angle, height, entity.dxf.layer)
        )
    return found
