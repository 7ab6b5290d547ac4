"""Floor plan -> building: walls with their openings, doors, windows, floors, slabs, stairs, railings, storey on storey.

Every mesh is closed; every storey, room, wall and opening is a node of that name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import radians
from typing import Any

from ..assets import Assembly, Mesh, Node
from ..floorplan import OUTDOOR, Opening, Plan, Room, Storey, Wall, kind_of
from ..recipe import option
from ..runtime import Runtime, need
from .building.joinery import hung, joinery
from .building.site import Site
from .building.stairs import is_parapet, railing_mesh, stair_mesh
from .building.walls import CEILING, FINISH, SLAB, ceiling_mesh, column_mesh, floor_mesh, slab_mesh, wall_mesh


@dataclass(frozen=True)
class ExtrudeOptions:
    """How a building is made of its plan; heights in metres."""

    height: float | None = option(
        None, "from floor to ceiling, of every storey; else as the plan says", "height", low=1.5, high=20, length=True
    )
    door_height: float | None = option(
        None, "head of every door; else as the plan says", "door_height", low=1.2, high=20, length=True
    )
    ceilings: bool = option(False, "close the rooms with ceilings", "ceilings")
    ajar: float = option(30.0, "how far hinged doors stand open, in degrees", "ajar", low=0, high=90)


def extrude(options: ExtrudeOptions, runtime: Runtime) -> Callable[[Plan], Assembly]:
    """A backend that builds a valid plan; raises InputError for one that is not, MissingExtraError without shapely.

    World frame: +Y up, the plan's x to +X and its y to -Z, metres, the lowest floor at y = 0, the plan's middle at
    x = z = 0; metadata["origin"] holds that middle in the plan.
    """
    need("shapely", "plans")
    return lambda plan: build(plan, options)


def build(plan: Plan, options: ExtrudeOptions) -> Assembly:
    """See ``extrude``."""
    plan = with_heights(plan.validate(), options)
    boxes = [storey.bounds for storey in plan.storeys]
    origin = (
        round((min(b[0] for b in boxes) + max(b[2] for b in boxes)) / 2, 3),
        round((min(b[1] for b in boxes) + max(b[3] for b in boxes)) / 2, 3),
    )
    sites = sites_of(plan, CEILING if options.ceilings else 0.0)
    names = storey_names(plan)
    nodes = []
    for k, (site, name) in enumerate(zip(sites, names, strict=True)):
        below = sites[k - 1] if k else None
        above = sites[k + 1] if k + 1 < len(sites) else None
        nodes.append(_Builder(site, below, above, options, origin, name).node())
    about = {"scale": {"unit": "metre", "origin": plan.scale.origin}, "origin": list(origin), "plan": plan.id}
    return Assembly(tuple(nodes), plain_name(plan.id) or "home", about)


def with_heights(plan: Plan, options: ExtrudeOptions) -> Plan:
    """The plan with the heights that were asked for; heads never reach beyond the ceiling."""

    def opening(o: Opening, ceiling: float) -> Opening:
        head = options.door_height if options.door_height and o.type == "door" else o.head
        return replace(o, head=min(head, max(ceiling, o.sill + 0.1)))

    def wall(w: Wall) -> Wall:
        return replace(w, height=None) if options.height and w.kind == "wall" else w

    def storey(s: Storey) -> Storey:
        height = options.height or s.height
        walls = tuple(map(wall, s.walls))
        return replace(s, height=height, walls=walls, openings=tuple(opening(o, height) for o in s.openings))

    return replace(plan, storeys=tuple(map(storey, plan.storeys)))


def elevations(plan: Plan) -> list[float]:
    """Height (m) of every storey's floor, the lowest at 0: as the plan says where storeys do not overlap, else stacked
    with room for the slab."""
    out = [0.0]
    for low, high in zip(plan.storeys, plan.storeys[1:], strict=False):
        said, needed = high.elevation - low.elevation, low.height + CEILING
        out.append(out[-1] + (said if said >= needed + 0.05 else needed + SLAB + FINISH))
    return out


def sites_of(plan: Plan, raised: float = 0.0) -> list[Site]:
    """The storeys, each between its floor and the slab above, or its own height (plus ``raised``) at the top."""
    floors = elevations(plan)
    sites = []
    for k, storey in enumerate(plan.storeys):
        last = k + 1 == len(floors)
        top = floors[k] + storey.height + raised if last else floors[k + 1] - FINISH - SLAB
        sites.append(Site(storey, base=floors[k], top=max(top, floors[k] + 0.5)))
    return sites


def storey_names(plan: Plan) -> list[str]:
    """A distinct plain name for every storey."""
    names: list[str] = []
    for k, storey in enumerate(plan.storeys):
        name = plain_name(storey.name) or f"storey_{k}"
        names.append(f"{name}_{k}" if name in names else name)
    return names


def plain_name(text: str) -> str:
    """Letters, digits and _ alone, of any script."""
    return re.sub(r"\W+", "_", text).strip("_")


@dataclass
class _Builder:
    """One storey while it is built."""

    site: Site
    below: Site | None
    above: Site | None
    options: ExtrudeOptions
    origin: tuple[float, float]
    name: str
    void: Any = field(init=False)

    def __post_init__(self) -> None:
        """Where stairs come up through the floor."""
        shapely = need("shapely", "plans")
        stairs = self.below.storey.stairs if self.below else ()
        self.void = shapely.union_all([shapely.Polygon(stair.polygon).buffer(0) for stair in stairs if stair.path])

    def node(self) -> Node:
        """The storey and all it holds."""
        storey = self.site.storey
        parts = [self._room(room, shape) for room, shape in self.site.rooms]
        parts += [self._wall(wall) for wall in storey.walls]
        parts += [self._stair(stair) for stair in storey.stairs]
        for column in storey.columns:
            name = self._named("column", column.id)
            about = {"kind": "column", "id": column.id, "confidence": column.confidence}
            parts.append(_leaf(name, column_mesh(column.polygon, self.site, self.origin, name), about))
        name = f"{self.name}_slab"
        parts.append(_leaf(name, slab_mesh(self.site, self.origin, self.void, name), {"kind": "slab"}))
        about = {"kind": "storey", "name": storey.name, "elevation": self.site.base, "height": storey.height}
        return Node(self.name, None, tuple(part for part in parts if part is not None), metadata=about)

    def _named(self, *words: str) -> str:
        return "_".join([self.name, *filter(None, map(plain_name, words))])

    def _room(self, room: Room, shape: Any) -> Node | None:
        name = self._named("room", room.id, room.label or room.type)
        floor = floor_mesh(room, shape, self.site, self.origin, self.void, f"{name}_floor")
        parts = [_leaf(f"{name}_floor", floor, {"kind": "floor"})]
        if self.options.ceilings and kind_of(room.type) not in OUTDOOR:
            shapely = need("shapely", "plans")
            open_up = shapely.union_all([shapely.Polygon(s.polygon).buffer(0) for s in self.site.storey.stairs])
            closed = shapely.difference(shape, open_up) if self.above else shape
            ceiling = ceiling_mesh(closed, self.site, self.origin, f"{name}_ceiling")
            parts.append(_leaf(f"{name}_ceiling", ceiling, {"kind": "ceiling"}))
        about = {
            **{"kind": "room", "id": room.id, "type": room.type, "label": room.label},
            **{"area_m2": round(room.area, 3), "confidence": room.confidence},
        }
        return Node(name, None, tuple(part for part in parts if part), metadata=about)

    def _wall(self, wall: Wall) -> Node | None:
        name = self._named(wall.kind, wall.id)
        bars = wall.kind == "railing" and not is_parapet(wall)
        make = railing_mesh if bars else wall_mesh
        mesh = make(wall, self.site, self.origin, name)
        hosted = tuple(self._opening(o, name) for o in self.site.storey.openings if o.wall == wall.id)
        if mesh is None and not hosted:
            return None
        about = {
            **{"kind": wall.kind, "id": wall.id, "exterior": wall.exterior},
            **{"thickness": wall.thickness, "confidence": wall.confidence},
        }
        return Node(name, mesh, hosted, metadata=about)

    def _opening(self, opening: Opening, host: str) -> Node:
        name = f"{host}_{opening.type}_{plain_name(opening.id)}"
        slot = self.site.slot(opening)
        parts = joinery(
            slot, self.site.top - self.site.base, radians(self.options.ajar), self._leads_out(opening), name
        )
        about = {
            **{"kind": opening.type, "id": opening.id, "subtype": opening.subtype, "width": round(opening.width, 4)},
            **{"sill": opening.sill, "head": opening.head, "confidence": opening.confidence},
        }
        return hung(slot, self.site.base, self.origin, parts, name, about)

    def _leads_out(self, opening: Opening) -> bool:
        """Whether an opening has the open air on one side."""
        types = {room.id: kind_of(room.type) for room in self.site.storey.rooms}
        return any(room is None or types.get(room, "") in OUTDOOR for room in opening.rooms)

    def _stair(self, stair: Any) -> Node | None:
        shapely = need("shapely", "plans")
        outline = shapely.Polygon(stair.polygon).buffer(0)
        if self.above is None and outline.intersection(self.void).area > 0.3 * outline.area:
            return None  # the top of the flight from below, drawn again
        up = self.above.base if self.above else self.site.base + self.site.storey.height + SLAB
        name = self._named("stair", stair.id)
        mesh = stair_mesh(stair, self.site, up - self.site.base, self.origin, name)
        return _leaf(name, mesh, {"kind": "stair", "id": stair.id, "confidence": stair.confidence})


def _leaf(name: str, mesh: Mesh | None, about: dict[str, Any]) -> Node | None:
    return None if mesh is None else Node(name, mesh, metadata=about)
