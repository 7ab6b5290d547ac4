"""Figures of any mesh: soundness, size, walls, pose, polygons, skin; in SI units where the unit is known.

``FIGURES`` names every figure that a verdict may rest on, with its title and how it is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..assets import Mesh, Model
from ..preview import seen_share

if TYPE_CHECKING:
    from ..topology import Health
    from .flow import Polygons
    from .layout import Layout, Look
    from .solid import Pose, Walls

#: Unit of a mesh (metadata["scale"]["unit"]) -> what is known of its scale.
SCALES = {"metre": "metric", "guessed metre": "guess"}
#: Formats that always have a unit, whether or not whoever wrote the file cared for it.
_UNIT_BY_FORMAT = ("glTF", "USD")
#: Walls thinner than this cannot be printed, see docs/gates.md; in millimetres.
THINNEST_MM = 0.8
#: Wall thicknesses of which the share below is told, in millimetres.
WALL_LIMITS_MM = (0.4, 0.8, 1.2, 2.0)


@dataclass(frozen=True)
class Measures:
    """All that can be measured of a mesh alone.

    kind: "object", or "scene", which is an open relief. scale: "metric" (a size was given or measured), "guess",
    "format" (only the file's format says metres) or "unknown". metres: length of one unit in metres, None when
    unknown. extent: width, height and depth in units. picture: whether it was made from a picture; seen: share of the
    surface that the picture showed, None when the mesh does not say. levels: of detail, the mesh included.
    """

    name: str
    kind: str
    health: Health
    scale: str
    metres: float | None
    extent: tuple[float, float, float]
    look: Look
    layout: Layout | None
    polygons: Polygons
    walls: Walls | None
    overhang: float
    pose: Pose
    picture: bool
    seen: float | None
    delighted: bool
    levels: int = 1
    collision: int = 0
    file_bytes: int | None = None

    @property
    def longest(self) -> float:
        """The longest side of the bounding box, in units."""
        return max(self.extent)

    def figures(self) -> dict[str, float | None]:
        """Every figure of ``FIGURES`` as a plain number, None where it cannot be told."""
        return {**_of_health(self.health), **_of_solid(self), **_of_skin(self), **_of_origin(self)}

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: lengths in metres, areas and volumes in their powers where the unit is known, else in units."""
        walls = None if self.walls is None else _walls_dict(self.walls, self.metres, self.longest)
        unit = 1.0 if self.metres is None else self.metres
        return {
            "scale": self.scale,
            "unit": "unit" if self.metres is None else "metre",
            "extent": [side * unit for side in self.extent],
            "area": self.health.area * unit**2,
            "volume": self.health.volume * unit**3 if self.health.watertight else None,
            "walls": walls,
            "overhang": self.overhang,
            "pose": asdict(self.pose),
            "polygons": asdict(self.polygons),
            "look": asdict(self.look),
            "layout": None if self.layout is None else _layout_dict(self.layout, self.metres, self.longest),
            "levels": self.levels,
            "collision": self.collision,
            "file_bytes": self.file_bytes,
        }


def measure(
    asset: Mesh | Model, *, path: Path | None = None, metres: float | None = None, health: Health | None = None
) -> Measures:
    """Measure a mesh, or the finest mesh of a model.

    path: the file it came from, whose size is told. metres: the length of one unit, when the user states it; it wins
    over what metadata["scale"] says. health: if known already. Raises InputError when the arrays are no mesh at all.
    """
    from .. import topology
    from ..render import Scene
    from .flow import polygons
    from .layout import layout, look
    from .solid import overhang, pose, walls

    model = asset if isinstance(asset, Model) else Model(asset)
    mesh = model.mesh
    found = topology.health(mesh) if health is None else health
    kind = str(mesh.metadata.get("kind", "object"))
    scale, unit = _scale(mesh, metres)
    outward = -1.0 if found.volume < 0 else 1.0
    width, height, depth = (float(x) for x in np.ptp(mesh.bounds.astype(np.float64), axis=0))
    return Measures(
        name=mesh.name,
        kind=kind,
        health=found,
        scale=scale,
        metres=unit,
        extent=(width, height, depth),
        look=look(mesh),
        layout=layout(mesh),
        polygons=polygons(mesh),
        walls=None if kind == "scene" else walls(Scene(mesh), outward),
        overhang=overhang(mesh, outward),
        pose=pose(mesh, found.watertight),
        picture="model" in mesh.metadata or "bake" in mesh.metadata,
        seen=None if mesh.seen is None else seen_share(mesh),
        delighted="explained" in mesh.metadata.get("delight", {}),
        levels=1 + len(model.levels),
        collision=len(model.collision),
        file_bytes=path.stat().st_size if path is not None and path.is_file() else None,
    )


def _scale(mesh: Mesh, metres: float | None) -> tuple[str, float | None]:
    """What is known of the scale, and the length of one unit in metres or None."""
    if metres is not None:
        return "metric", metres
    facts, file = (mesh.metadata.get(name, {}) for name in ("scale", "file"))
    said = facts.get("unit") if isinstance(facts, Mapping) else None
    if said not in SCALES:
        return "unknown", None
    by_format = isinstance(file, Mapping) and file.get("format") in _UNIT_BY_FORMAT
    if said == "metre" and by_format and "from" not in facts:
        return "format", 1.0
    return SCALES[said], 1.0


# -- figures ----------------------------------------------------------------------------------------------------------

#: figure -> (title, how it is written: see ``written``)
FIGURES: dict[str, tuple[str, str]] = {
    "always": ("what it is", "yes"),
    "faces": ("triangles", "count"),
    "open_edges": ("open edges", "count"),
    "nonmanifold": ("edges and vertices that are not manifold", "count"),
    "flipped": ("edges where the winding flips", "count"),
    "self_intersections": ("pairs of faces that cut each other", "count"),
    "degenerate": ("faces without area, or doubled", "count"),
    "parts": ("separate parts", "count"),
    "size_known": ("real size", "scale"),
    "longest": ("longest side", "metres"),
    "wall_p1": ("walls: 1 % of the surface is thinner than", "mm"),
    "wall_median": ("walls: half of the surface is thinner than", "mm"),
    "wall_thin": ("surface with walls below 0.8 mm", "share"),
    "wall_missing": ("surface without a far side", "share"),
    "print_from": ("prints with walls of 0.8 mm from a longest side of", "mm"),
    "overhang": ("surface that overhangs by more than 45 degrees", "share"),
    "tipping": ("leans before it tips", "degrees"),
    "off_floor": ("distance of the lowest point from the floor, of the longest side", "share"),
    "off_centre": ("distance of the middle from the vertical axis, of the longest side", "share"),
    "lying": ("another direction looks like up", "yes"),
    "quad_share": ("quadrilaterals among the polygons", "share"),
    "regular": ("inner vertices with the regular number of edges", "share"),
    "flow": ("edges along or across the bends", "share"),
    "slivers": ("triangles with an angle below 10 degrees", "share"),
    "levels": ("levels of detail", "count"),
    "file_bytes": ("file size", "bytes"),
    "texture_side": ("longest side of a texture", "pixels"),
    "texture_memory": ("textures on a graphics card", "bytes"),
    "odd_textures": ("textures whose sides are no powers of two", "yes"),
    "materials": ("materials", "count"),
    "colorless": ("neither texture nor colour", "yes"),
    "maps": ("of base colour, roughness and normal map", "count"),
    "no_uv": ("no texture coordinates", "yes"),
    "uv_overlap": ("used texels that lie under two faces", "share"),
    "uv_outside": ("surface with texture coordinates beyond the square", "share"),
    "stretch": ("stretch of the texture, 95th percentile", "ratio"),
    "density": ("texels per metre", "number"),
    "density_spread": ("texel density, 95th over 5th percentile", "ratio"),
    "texels_across": ("texels along the longest side", "number"),
    "invented": ("surface that was invented", "share"),
    "baked_light": ("light of the photo in the texture", "yes"),
}


def written(figure: str, value: float | None) -> str:
    """A figure's value for people: "12,345", "3.2 MB", "0.8 mm", "12 %", "unknown"."""
    if value is None:
        return "not measured"
    how = FIGURES[figure][1]
    if how == "bytes":
        return f"{value / 1e6:.3g} MB" if value >= 1e5 else f"{value / 1e3:.3g} kB"
    if how == "share":
        return "0%" if value == 0 else "under 0.1%" if value < 0.001 else f"{value * 100:.3g}%"
    if how in ("count", "number", "pixels"):
        return f"{value:,.0f}" + (" px" if how == "pixels" else "")
    if how == "metres":
        return f"{value:.3g} m" if value >= 1 else f"{value * 100:.3g} cm" if value >= 0.01 else f"{value * 1e3:.3g} mm"
    if how == "scale":
        return {1.0: "stated", 0.5: "not confirmed", 0.25: "guessed"}.get(value, "unknown")
    if how == "yes":
        return "yes" if value else "no"
    return f"{value:.3g}" + {"mm": " mm", "degrees": "°"}.get(how, "")


def _of_health(health: Health) -> dict[str, float | None]:
    return {
        "always": 1,
        "faces": health.faces,
        "open_edges": health.boundary_edges,
        "nonmanifold": health.nonmanifold_edges + health.nonmanifold_vertices,
        "flipped": health.flipped_edges or int(health.watertight and not health.outward),
        "self_intersections": health.self_intersecting,
        "degenerate": health.degenerate_faces + health.duplicate_faces,
        "parts": health.components,
    }


def _of_solid(found: Measures) -> dict[str, float | None]:
    known = found.metres is not None
    walls = {} if found.walls is None else found.walls.percentiles()
    mm = (found.metres or 1) * 1000
    thin = printable = None
    if walls and found.walls:
        from .solid import printable as smallest

        thin = found.walls.below(THINNEST_MM / mm) if known else None
        printable = smallest(found.walls, found.longest, THINNEST_MM)
    return {
        "size_known": {"metric": 1.0, "format": 0.5, "guess": 0.25}.get(found.scale, 0.0),
        "longest": found.longest * (found.metres or 1) if known else None,
        "wall_p1": walls["p1"] * mm if walls and known else None,
        "wall_median": walls["p50"] * mm if walls and known else None,
        "wall_thin": thin,
        "wall_missing": None if found.walls is None else 1 - found.walls.measured,
        "print_from": printable,
        "overhang": found.overhang,
        "tipping": found.pose.tipping_deg,
        "off_floor": abs(found.pose.off_floor),
        "off_centre": found.pose.off_centre,
        "lying": float(found.pose.up != "+Y"),
        "quad_share": found.polygons.quad_share,
        "regular": found.polygons.regular,
        "flow": found.polygons.flow,
        "slivers": found.polygons.slivers,
        "levels": found.levels,
    }


def _of_skin(found: Measures) -> dict[str, float | None]:
    look, layout = found.look, found.layout
    density = None if layout is None else layout.density
    return {
        "file_bytes": found.file_bytes,
        "texture_side": look.side,
        "texture_memory": look.memory,
        "odd_textures": float(not look.power_of_two),
        "materials": look.materials,
        "colorless": float(look.color == "none"),
        "maps": sum(name in look.maps for name in ("base colour", "roughness", "normal")),
        "no_uv": float(layout is None),
        "uv_overlap": None if layout is None else layout.overlap,
        "uv_outside": None if layout is None else layout.outside,
        "stretch": None if layout is None else layout.stretch,
        "density": None if density is None or found.metres is None else density / found.metres,
        "density_spread": None if layout is None else layout.spread,
        "texels_across": None if density is None else density * found.longest,
    }


def _of_origin(found: Measures) -> dict[str, float | None]:
    invented = (1.0 if found.picture else None) if found.seen is None else 1 - found.seen
    return {
        "invented": invented,
        "baked_light": float(not found.delighted) if found.picture and found.look.color == "texture" else None,
    }


def _walls_dict(walls: Walls, metres: float | None, longest: float) -> dict[str, Any]:
    """In millimetres where the unit is known, and always as a share of the longest side."""
    found = walls.percentiles()
    facts: dict[str, Any] = {"measured": walls.measured, "share": {p: v / longest for p, v in found.items()}}
    if metres is not None:
        facts["mm"] = {p: v * metres * 1000 for p, v in found.items()}
        facts["below_mm"] = {f"{limit:g}": walls.below(limit / 1000 / metres) for limit in WALL_LIMITS_MM}
    return facts


def _layout_dict(layout: Layout, metres: float | None, longest: float) -> dict[str, Any]:
    facts = asdict(layout)
    density = facts.pop("density"), *(facts.pop("density_range") or (None, None))
    scale = longest if metres is None else 1 / metres
    unit = "texels_per_longest_side" if metres is None else "texels_per_metre"
    facts[unit] = [None if value is None else value * scale for value in density]
    return facts
