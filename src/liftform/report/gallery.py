"""Which pictures a page shows, in groups with legends: looks, defects, what was seen, walls, polygons, UV layout."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..assets import Mesh
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
#: Share of the surface with thin walls from which on it is worth showing where.
_WORTH_A_PICTURE = 0.0005


@dataclass(frozen=True)
class Group:
    """Pictures under one heading. legend: (text, CSS colour)."""

    title: str
    pictures: tuple[Picture, ...]
    note: str = ""
    legend: tuple[tuple[str, str], ...] = ()


def gallery(content: Content) -> Iterator[Group]:
    """Every group that has something to show, in the order of the page."""
    old = None if content.before is None else Studio(content.before)
    same = old is not None and _alike(old.mesh, content.mesh)
    studio = Studio(content.mesh, old.cameras if old is not None and same else None)
    if old is not None:
        yield Group("Before", tuple(old.views("The mesh before")))
    yield _looks(content, studio)
    if old is not None:
        yield _marked(old, "Defects before")
    yield _marked(studio, "Defects" if old is None else "Defects after")
    if content.mesh.seen is not None:
        legend = (("seen in the picture", _css(SEEN_COLOR)), ("invented", _css(INVENTED_COLOR)))
        yield Group("Seen and invented", tuple(studio.seen()), legend=legend)
    yield from _walls(content, studio)
    yield from _layouts(content, studio)
    yield from _parts(content, studio)


def _looks(content: Content, studio: Studio) -> Group:
    if content.photo is None:
        return Group("Looks" if content.before is None else "After", tuple(studio.views("The mesh")))
    caption = "the picture, what was lifted outlined"
    shown = picture(photo_tile(content.photo, SIDE), caption, "The picture that the asset was made from")
    return Group("Looks", (shown, *studio.views("The asset")))


def _alike(before: Mesh, after: Mesh) -> bool:
    """Whether two meshes lie so much in the same place that the same cameras frame both."""
    old, new = before.bounds.astype(float), after.bounds.astype(float)
    longest = max(float((old[1] - old[0]).max()), 1e-30)
    grown = float((new[1] - new[0]).max()) / longest
    return 0.5 < grown < 1.05 and float(abs(old.mean(0) - new.mean(0)).max()) < 0.25 * longest


def _marked(studio: Studio, title: str) -> Group:
    found = defects(studio.mesh)
    counts = {kind: n for kind, n in found.counts().items() if n}
    unsure = "" if found.counted else "Faces that cut each other were not looked for: the mesh is too large."
    if not counts:
        return Group(title, (), unsure or "None: no holes, no non-manifold edges, nothing cut, nothing afloat.")
    legend = tuple((f"{MARKS[kind][0]}: {n:,}", _css(MARKS[kind][1])) for kind, n in counts.items())
    note = f"What lies behind something is drawn faintly. {unsure}"
    return Group(title, tuple(studio.marked(found)), note.strip(), legend)


def _walls(content: Content, studio: Studio) -> Iterator[Group]:
    found = content.measures
    if found.walls is None or found.walls.measured < 0.5:
        return
    if found.metres is None:
        thin, good = _THIN * found.longest, _GOOD * found.longest
        names = (f"below {_THIN:.1%} of the longest side", f"below {_GOOD:.0%} of the longest side", "thicker")
        note = "The real size is unknown: on a print 10 cm long these are 0.8 and 2 mm."
    else:
        thin, good = THINNEST_MM / 1000 / found.metres, _GOOD_MM / 1000 / found.metres
        names, note = (f"below {THINNEST_MM:g} mm", f"below {_GOOD_MM:g} mm", "thicker"), ""
    if found.walls.below(good) < _WORTH_A_PICTURE:
        yield Group("Wall thickness", (), f"No wall is {names[1]}. {note}".strip())
        return
    legend = tuple((name, _css(color)) for name, color in zip(names, WALL_COLORS, strict=True))
    yield Group("Wall thickness", tuple(studio.walls(thin, good)), note, legend)


def _layouts(content: Content, studio: Studio) -> Iterator[Group]:
    """Polygons and UV layout."""
    shown = list(studio.wires()) if len(content.mesh.faces) <= WIRE_FACES else []
    flat = uv_picture(content.mesh)
    if flat is not None:
        shown.append(flat)
    if shown:
        yield Group("Polygons and UV layout", tuple(shown))


def _parts(content: Content, studio: Studio) -> Iterator[Group]:
    """Coarser levels of detail, and convex parts for collisions."""
    if content.model is not None and content.model.levels:
        shown = [
            Studio(level, studio.cameras).front(f"{len(level.faces):,} triangles") for level in content.model.levels
        ]
        yield Group("Levels of detail", (studio.front(f"{len(content.mesh.faces):,} triangles"), *shown[:4]))
    if content.model is not None and content.model.collision:
        count = len(content.model.collision)
        yield Group("Collision shapes", tuple(studio.parts(content.model.collision)), f"{count:,} convex parts.")


def _css(color: Color) -> str:
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in color)
