"""Solids that stand on a plan: cells of the plane, each filled between some heights, joined without gaps or overlaps.

A solid is given as plane cells that share their corners, and for each cell the heights between which it is full. Only
faces between full and empty are made, all cut at the same heights, so that every edge has exactly two faces.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...assets import Material, Mesh
from ...floorplan import Point
from ...floorplan.plane import apart, polygons
from ...runtime import need

Floats = NDArray[np.float64]
#: Material of a vertical face from (p, q, low, high, far): the edge p -> q has the solid on its left, so that its
#: outside lies to the right; far: whether the cell beyond the edge is one of the same solid (a reveal).
Paint = Callable[[Point, Point, float, float, bool], Material]


@dataclass
class Surface:
    """Faces while they are gathered, in the frame of the plan: x right, y up the sheet, z up; metres."""

    corners: list[tuple[float, float, float]] = field(default_factory=list)
    normals: list[tuple[float, float, float]] = field(default_factory=list)
    uv: list[Point] = field(default_factory=list)
    faces: list[tuple[int, int, int]] = field(default_factory=list)
    face_material: list[int] = field(default_factory=list)
    materials: list[Material] = field(default_factory=list)

    def flat(self, ring: Sequence[Point], triangles: Sequence[Sequence[int]], z: float, up: bool, m: Material) -> None:
        """A horizontal face: corners in the plane, triangles counter-clockwise; texture coordinates are x and -y."""
        start, number, way = len(self.corners), self._number(m), 1.0 if up else -1.0
        self.corners += [(x, y, z) for x, y in ring]
        self.uv += [(x, -y) for x, y in ring]
        self.normals += [(0.0, 0.0, way)] * len(ring)
        for a, b, c in triangles:
            self.faces.append((start + a, start + b, start + c) if up else (start + a, start + c, start + b))
            self.face_material.append(number)

    def upright(self, p: Point, q: Point, low: float, high: float, m: Material) -> None:
        """A vertical rectangle above p -> q, its outside to the right; texture runs along the line and down."""
        dx, dy = q[0] - p[0], q[1] - p[1]
        length = max((dx * dx + dy * dy) ** 0.5, 1e-12)
        ux, uy = dx / length, dy / length
        u, v = p[0] * ux + p[1] * uy, q[0] * ux + q[1] * uy
        corners = ((*p, low), (*q, low), (*q, high), (*p, high))
        self.quad(corners, (uy, -ux, 0.0), ((u, -low), (v, -low), (v, -high), (u, -high)), m)

    def quad(
        self, corners: Sequence[Any], normal: tuple[float, float, float], uv: Sequence[Point], m: Material
    ) -> None:
        """A flat quadrilateral, counter-clockwise seen from outside."""
        start = len(self.corners)
        self.corners += corners
        self.uv += uv
        self.normals += [normal] * 4
        self.faces += [(start, start + 1, start + 2), (start, start + 2, start + 3)]
        self.face_material += [self._number(m)] * 2

    def box(self, low: Sequence[float], high: Sequence[float], m: Material) -> None:
        """An upright box between two corners (x, y, z)."""
        (x0, y0, z0), (x1, y1, z1) = low, high
        ring = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
        self.flat(ring, [(0, 1, 2), (0, 2, 3)], z1, True, m)
        self.flat(ring, [(0, 1, 2), (0, 2, 3)], z0, False, m)
        for p, q in zip(ring, ring[1:] + ring[:1], strict=True):
            self.upright(p, q, z0, z1, m)

    def _number(self, material: Material) -> int:
        for k, known in enumerate(self.materials):
            if known is material:
                return k
        self.materials.append(material)
        return len(self.materials) - 1

    def mesh(self, name: str, origin: Point = (0.0, 0.0), frame: Floats | None = None) -> Mesh:
        """The faces as a mesh in the world frame (+Y up, the plan's y to -Z), ``origin`` of the plan at x = z = 0.

        frame: (3, 4), applied in the plan's frame before: what was built at the origin, turned and put into place.
        """
        p, n = np.asarray(self.corners, np.float64), np.asarray(self.normals, np.float64)
        if frame is not None:
            p, n = p @ frame[:, :3].T + frame[:, 3], n @ frame[:, :3].T
        p = p - (*origin, 0.0)
        swap = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], np.float64)
        parts: dict[str, Any] = {"material": self.materials[0]}
        if len(self.materials) > 1:
            parts = {"materials": tuple(self.materials), "face_material": np.asarray(self.face_material, np.int32)}
        return Mesh(
            (p @ swap.T).astype(np.float32) + np.float32(0),
            np.asarray(self.faces, np.int32),
            normals=(n @ swap.T).astype(np.float32) + np.float32(0),
            uv=np.asarray(self.uv, np.float32) if any(m.textures for m in self.materials) else None,
            name=name,
            **parts,
        )


@dataclass(frozen=True)
class Cell:
    """A part of the plane (a shapely Polygon) that is full between each pair of heights (low, high)."""

    polygon: Any
    full: tuple[tuple[float, float], ...]


def solid(
    cells: Sequence[Cell],
    paint: Paint,
    top: Material,
    bottom: Material,
    ledge: Material | None = None,
    into: Surface | None = None,
) -> Surface:
    """The surface of cells filled between heights, closed. The cells' corners must agree where the cells touch.

    top, ledge, bottom: materials of the horizontal faces that look up, at the greatest height and below it (None: the
    same), and down.
    """
    surface = into or Surface()
    ledge = ledge or top
    heights = sorted({z for cell in cells for pair in cell.full for z in pair})
    layers = list(pairwise(heights))
    full = [[any(a <= low and high <= b for a, b in cell.full) for low, high in layers] for cell in cells]
    beside: dict[tuple[Point, Point], int] = {}
    rings: list[list[list[Point]]] = []
    for k, cell in enumerate(cells):
        rings.append(_rings(cell.polygon))
        for ring in rings[-1]:
            beside |= dict.fromkeys(zip(ring, ring[1:] + ring[:1], strict=True), k)
        _lids(surface, rings[-1], heights, full[k], (top, ledge, bottom))
    for (p, q), k in beside.items():
        other = beside.get((q, p))
        for number, (low, high) in enumerate(layers):
            if full[k][number] and not (other is not None and full[other][number]):
                surface.upright(p, q, low, high, paint(p, q, low, high, other is not None))
    return surface


def _lids(
    surface: Surface,
    rings: list[list[Point]],
    heights: list[float],
    full: list[bool],
    looks: tuple[Material, Material, Material],
) -> None:
    """The horizontal faces of one cell; looks: of the top, of ledges, of what looks down."""
    corners, triangles = triangulated(rings)
    for k, z in enumerate(heights):
        below, above = k > 0 and full[k - 1], k < len(full) and full[k]
        if below != above:
            look = looks[2] if above else looks[0] if k == len(heights) - 1 else looks[1]
            surface.flat(corners, triangles, z, below, look)


def _rings(polygon: Any) -> list[list[Point]]:
    """Outer ring counter-clockwise, then the holes clockwise; first points not repeated."""
    shapely = need("shapely", "plans")
    right = shapely.orient_polygons(polygon)
    return [[(float(x), float(y)) for x, y in ring.coords[:-1]] for ring in (right.exterior, *right.interiors)]


def triangulated(rings: Sequence[Sequence[Point]]) -> tuple[list[Point], list[tuple[int, int, int]]]:
    """(corners, triangles counter-clockwise) of a polygon with holes; uses every corner and adds none."""
    import manifold3d

    corners = [point for ring in rings for point in ring]
    faces = manifold3d.triangulate([np.asarray(ring, np.float64) for ring in rings], epsilon=1e-9)
    return corners, [(int(a), int(b), int(c)) for a, b, c in faces]


def prism(polygon: Any, low: float, high: float, side: Material, top: Material, bottom: Material) -> Surface:
    """A polygon, or several, extruded from one height to another."""
    surface = Surface()
    for part in apart(polygons(polygon)):
        solid([Cell(part, ((low, high),))], lambda *_: side, top, bottom, into=surface)
    return surface
