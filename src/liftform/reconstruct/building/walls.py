"""Walls with real openings, floors, slabs, ceilings, columns, as closed solids."""

from __future__ import annotations

from typing import Any

from ...assets import Material, Mesh
from ...floorplan import Point, Room, Wall
from ...floorplan.plane import GRID, apart, cells_of, polygons
from ...runtime import need
from .blocks import Cell, Surface, prism, solid
from .finishes import floor, named, wall
from .site import Site

#: Thickness (m) of what lies on the floor, of the slab below, and of ceilings.
FINISH, SLAB, CEILING = 0.02, 0.2, 0.02
#: Height (m) of a railing or parapet whose own is not known, and from which thickness (m) it is a parapet.
RAILING, PARAPET = 1.05, 0.12


def height_of(wall: Wall, site: Site) -> float:
    """Where a wall ends (m): at its own height where that is lower than the storey, else with the storey."""
    if wall.kind == "railing":
        return min(site.base + (wall.height or RAILING), site.top)
    own = site.base + (wall.height or site.storey.height)
    return min(own, site.top) if own < site.base + site.storey.height - 0.05 else site.top


def wall_mesh(part: Wall, site: Site, origin: Point, name: str) -> Mesh | None:
    """One wall, sills and lintels and thresholds with it; None where other walls cover all of it."""
    top, bottom = height_of(part, site), site.base - FINISH
    surface = Surface()
    for piece in site.pieces[part.id]:
        cutting = [o for o in site.storey.openings if site.holes[o.id].intersects(piece)]
        cells = []
        for cell, inside in cells_of(piece, [site.holes[o.id] for o in cutting]):
            gaps = [(site.base + cutting[k].sill, site.base + cutting[k].head) for k in inside]
            cells.append(Cell(cell, full_between(bottom, top, gaps)))
        if any(cell.full for cell in cells):
            look = _Painter(site)
            reveal = named("reveal")
            solid(cells, look, named("cut"), reveal, ledge=reveal, into=surface)
    return surface.mesh(name, origin) if surface.faces else None


def full_between(bottom: float, top: float, gaps: list[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """What is left of a height when gaps are taken out; slivers below a centimetre go too, but for the threshold."""
    full = [(bottom, top)]
    for low, high in gaps:
        low = max(low, bottom)
        full = [pair for a, b in full for pair in ((a, min(b, low)), (max(a, high), b)) if pair[1] - pair[0] > 0.01]
    return tuple(full)


class _Painter:
    """Says which material a wall's face has: that of the room beside it, the facade's, or that of a reveal."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._known: dict[tuple[Point, Point], Material] = {}

    def __call__(self, p: Point, q: Point, low: float, high: float, far: bool) -> Material:
        """See ``blocks.Paint``."""
        if far:
            return named("reveal")
        if (p, q) not in self._known:
            room = self._site.room_beside(p, q)
            inside = room is None and self._site.is_inside(p, q)
            self._known[p, q] = wall(room.type) if room else named("wall" if inside else "facade")
        return self._known[p, q]


def floor_mesh(room: Room, shape: Any, site: Site, origin: Point, void: Any, name: str) -> Mesh | None:
    """The finish on a room's floor."""
    shapely = need("shapely", "plans")
    look = floor(room.type)
    surface = prism(shapely.difference(shape, void, grid_size=GRID), site.base - FINISH, site.base, look, look, look)
    return surface.mesh(name, origin) if surface.faces else None


def ceiling_mesh(shape: Any, site: Site, origin: Point, name: str) -> Mesh | None:
    """A room's ceiling, its underside at the storey's height."""
    look, low = named("ceiling"), site.base + site.storey.height
    surface = prism(shape, low, low + CEILING, look, look, look)
    return surface.mesh(name, origin) if surface.faces else None


def slab_mesh(site: Site, origin: Point, void: Any, name: str) -> Mesh | None:
    """The slab below the storey, open where stairs come up."""
    shapely = need("shapely", "plans")
    look, high = named("concrete"), site.base - FINISH
    surface = prism(
        shapely.difference(site.footprint, void, grid_size=GRID), high - SLAB, high, named("facade"), look, look
    )
    return surface.mesh(name, origin) if surface.faces else None


def column_mesh(outline: tuple[Point, ...], site: Site, origin: Point, name: str) -> Mesh | None:
    """A column from floor to ceiling, where no wall stands."""
    shapely = need("shapely", "plans")
    free = shapely.difference(shapely.Polygon(outline).buffer(0), site.walled, grid_size=GRID)
    look = named("wall")
    surface = Surface()
    for part in apart(polygons(free)):
        cells = [Cell(part, ((site.base - FINISH, site.top),))]
        solid(cells, lambda *_: look, named("cut"), look, into=surface)
    return surface.mesh(name, origin) if surface.faces else None
