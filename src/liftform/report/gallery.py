"""Which pictures a page shows, in groups with legends: looks, defects, what was seen, walls, polygons, UV layout."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..preview import photo_tile
from ..render import INVENTED_COLOR, SEEN_COLOR, Color
from .defects import MARKS, defects
from .measures import THINNEST_MM
from .pictures import SIDE, WALL_COLORS, WIRE_FACES, Picture, Studio, picture, uv_picture

if TYPE_CHECKING:
    from .html import Content

#: Without a known size, walls below these shares of the longest side are marked: 0.8 and 2 mm on a 10 cm print.
_THIN, _GOOD = 0.008, 0.02
#: Walls from which on nobody worries, in millimetres.
_GOOD_MM = 2.0


@dataclass(frozen=True)
class Group:
    """Pictures under one heading. legend: (text, CSS colour); wide: larger ones, fewer in a row."""

    title: str
    pictures: tuple[Picture, ...]
    note: str = ""
    legend: tuple[tuple[str, str], ...] = ()
    wide: bool = False


def gallery(content: Content) -> Iterator[Group]:
    """Every group that has something to show, in the order of the page."""
    studio = Studio(content.mesh)
    if content.photo is not None:
        tile = photo_tile(content.photo, SIDE)
        shown = picture(tile, "the picture; outlined what was lifted", "The picture the asset was made from")
        yield Group("Looks", (shown, *studio.views("The asset")))
    else:
        yield Group("Looks" if content.before is None else "After", tuple(studio.views("The mesh")))
    yield from _defects(content, studio)
    if content.mesh.seen is not None:
        legend = (("seen in the picture", _css(SEEN_COLOR)), ("invented", _css(INVENTED_COLOR)))
        yield Group("Seen and invented", tuple(studio.seen()), legend=legend)
    yield from _walls(content, studio)
    yield from _layouts(content, studio)


def _defects(content: Content, studio: Studio) -> Iterator[Group]:
    """The defects of the mesh, and before it of the mesh that came in, seen by the same cameras."""
    if content.before is not None:
        old = Studio(content.before)
        yield Group("Before", tuple(old.views("The mesh before")))
        yield from _marked(old, "Defects before")
    yield from _marked(studio, "Defects" if content.before is None else "Defects after")


def _marked(studio: Studio, title: str) -> Iterator[Group]:
    found = defects(studio.mesh)
    counts = found.counts()
    unsure = "" if found.counted else "Faces that cut each other were not looked for: the mesh is too large."
    if any(counts.values()):
        legend = tuple((f"{n:,} {MARKS[kind][0]}", _css(MARKS[kind][1])) for kind, n in counts.items() if n)
        note = " ".join(filter(None, ("What lies behind something is drawn faintly.", unsure)))
        yield Group(title, tuple(studio.marked(found)), note, legend)
    else:
        yield Group(title, (), unsure or "None: no holes, no non-manifold edges, nothing cut, nothing afloat.")


def _walls(content: Content, studio: Studio) -> Iterator[Group]:
    found = content.measures
    if found.walls is None or found.walls.measured < 0.5:
        return
    if found.metres is None:
        thin, good = _THIN * found.longest, _GOOD * found.longest
        names = (f"below {_THIN:.1%} of the longest side", f"below {_GOOD:.0%}", "thicker")
        note = "The real size is unknown: on a print 10 cm long these are 0.8 and 2 mm."
    else:
        thin, good = THINNEST_MM / 1000 / found.metres, _GOOD_MM / 1000 / found.metres
        names, note = (f"below {THINNEST_MM:g} mm", f"below {_GOOD_MM:g} mm", "thicker"), ""
    legend = tuple((name, _css(color)) for name, color in zip(names, WALL_COLORS, strict=True))
    yield Group("Wall thickness", tuple(studio.walls(thin, good)), note, legend)


def _layouts(content: Content, studio: Studio) -> Iterator[Group]:
    """Polygons and UV layout."""
    shown = list(studio.wires()) if len(content.mesh.faces) <= WIRE_FACES else []
    flat = uv_picture(content.mesh)
    if flat is not None:
        shown.append(flat)
    if shown:
        yield Group("Polygons and UV layout", tuple(shown), wide=True)


def _css(color: Color) -> str:
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in color)
