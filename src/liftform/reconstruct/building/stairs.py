"""Flights of stairs, straight or turning, and railings of bars."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from ...assets import Mesh
from ...floorplan import Point, Ring, Stair, Wall
from ...runtime import need
from .blocks import Cell, Surface, solid
from .finishes import named
from .site import Site
from .walls import FINISH, PARAPET, RAILING

#: Metres: the rise that a step is chosen near; a railing's bar, its rails, and the gap between bars.
RISE, BAR, RAIL, GAP = 0.18, 0.016, 0.04, 0.11


def stair_mesh(stair: Stair, site: Site, rise: float, origin: Point, name: str) -> Mesh | None:
    """A flight that climbs ``rise`` metres along its path; None without one."""
    count = stair.steps if stair.steps > 1 else max(2, round(rise / RISE))
    low = site.base - FINISH
    cells = [
        Cell(cell, ((low, site.base + rise * (k + 1) / count),))
        for k, places in enumerate(site.steps(stair, count))
        for cell in places
    ]
    side = named("wall")
    surface = solid(cells, lambda *_: side, named("tread"), side)
    return surface.mesh(name, origin) if surface.faces else None


def is_parapet(wall: Wall) -> bool:
    """Whether a railing is a low wall rather than bars."""
    return wall.thickness >= PARAPET


def railing_mesh(wall: Wall, site: Site, origin: Point, name: str) -> Mesh | None:
    """A railing of bars between two rails, where no wall stands and no opening leads through."""
    shapely = need("shapely", "plans")
    gaps = [site.holes[o.id] for o in site.storey.openings if o.wall == wall.id]
    line = shapely.difference(shapely.LineString(wall.centre_line), shapely.union_all([site.walled, *gaps]))
    high = site.base + (wall.height or RAILING)
    surface = Surface()
    for part in getattr(line, "geoms", [line]):
        points = [(float(x), float(y)) for x, y in part.coords]
        for p, q in pairwise(points):
            if math.dist(p, q) > 0.1:
                _bars(surface, p, q, site.base, high)
    return surface.mesh(name, origin) if surface.faces else None


def _bars(surface: Surface, p: Point, q: Point, low: float, high: float) -> None:
    """One straight run: two rails and, between them, upright bars."""
    length, look = math.dist(p, q), named("metal")
    _beam(surface, (p, q), RAIL, (high - RAIL, high), look)
    _beam(surface, (p, q), RAIL, (low + 0.06, low + 0.06 + RAIL / 2), look)
    count = max(2, math.ceil(length / GAP))
    ux, uy = (q[0] - p[0]) / length, (q[1] - p[1]) / length
    for k in range(count):
        along = BAR + (length - 2 * BAR) * k / (count - 1)
        end = along - BAR / 2, along + BAR / 2
        run = tuple((p[0] + ux * t, p[1] + uy * t) for t in end)
        post = k in (0, count - 1)
        _beam(surface, run, BAR, (low if post else low + 0.06 + RAIL / 2 + 0.001, high - RAIL - 0.001), look)


def _beam(surface: Surface, line: Ring, width: float, heights: tuple[float, float], look: Any) -> None:
    """A box along a line."""
    from ...floorplan import strip

    ring = list(strip(line, width))
    for z, up in ((heights[1], True), (heights[0], False)):
        surface.flat(ring, [(0, 1, 2), (0, 2, 3)], z, up, look)
    for a, b in zip(ring, ring[1:] + ring[:1], strict=True):
        surface.upright(a, b, *heights, look)
