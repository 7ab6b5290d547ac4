"""Furniture by kind of room: pieces against walls, with room to use them, doors free to swing, and ways to walk.

A first sketch: places are tried at random (seeded) along the walls, and kept where nothing collides, every door can
open, and a person of 0.6 m can walk from every door to every other and to the pieces.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ..assets import Assembly, Node
from ..floorplan import Opening, Plan, Point, Room, kind_of
from ..floorplan.plane import Plane, polygons
from ..recipe import option
from ..runtime import Runtime, need
from .building.furniture import PIECES, Library, Piece

#: Kind of room -> pieces to try, in order; a name in brackets needs the piece before it ("a>b": b stands at a).
WANTED: dict[str, tuple[str, ...]] = {
    "living_room": ("sofa", "sofa>coffee_table", "lowboard", "dining_table", "armchair", "bookshelf"),
    "dining_room": ("dining_table", "bookshelf"),
    "kitchen": ("kitchen_counter|small_counter", "fridge", "dining_table"),
    "bedroom": ("double_bed|single_bed", "bed>nightstand", "wardrobe", "desk"),
    "office": ("desk", "bookshelf", "armchair"),
    "bathroom": ("bath|shower", "basin", "wc"),
    "restroom": ("wc", "basin"),
    "washing_room": ("washer", "basin"),
    "closet": ("closet",),
    "storage": ("closet", "closet"),
    "utility": ("washer", "closet"),
    "entrance": ("shoe_cabinet",),
    "corridor": ("shoe_cabinet",),
    "balcony": ("garden_table", "garden_chair"),
    "terrace": ("garden_table", "garden_chair", "garden_chair"),
}
#: Metres: from a wall, between pieces, half a person's width, what is kept free before a door; places tried of a piece.
_OFF, _BETWEEN, _HALF, _DOOR, _TRIES = 0.02, 0.03, 0.3, 0.75, 60


@dataclass(frozen=True)
class FurnishOptions:
    """Whether and how rooms are furnished."""

    furnish: bool = option(False, "place furniture by kind of room: a first sketch", "furnish")
    layouts: int = option(1, "how many different layouts", "layouts", low=1, high=20)
    library: str | None = option(
        None, "a folder of mesh files named after pieces: sofa.glb, double_bed_2.glb ...", "library"
    )

    @property
    def wanted(self) -> bool:
        """Whether the stage is walked."""
        return self.furnish


def furnish(options: FurnishOptions, runtime: Runtime) -> Callable[[Plan, Assembly], tuple[Assembly, ...]]:
    """A backend that puts furniture into a building: ``(plan, building) -> layouts``, the fullest first.

    The plan must be the one that was built. Nodes of pieces hang below their room's. Raises InputNotFoundError for a
    library that is not there.
    """
    library = Library(Path(options.library) if options.library else None)

    def layouts(plan: Plan, built: Assembly) -> tuple[Assembly, ...]:
        made = [_layout(plan, built, library, runtime.seed + 1000 * k) for k in range(options.layouts)]
        return tuple(sorted(made, key=lambda one: -float(one.metadata["furniture"]["score"])))

    return layouts


@dataclass(frozen=True)
class Placed:
    """A piece in a room: the middle of its back, the direction of its front (radians), what it covers and needs."""

    piece: Piece
    at: Point
    angle: float
    body: Any
    needs: Any


@dataclass
class RoomPlan:
    """A room while it is furnished: its free shape, what must stay free for doors, and the pieces so far."""

    room: Room
    shape: Any
    swings: Any
    doors: list[Point]
    windows: list[tuple[Any, float]]
    placed: list[Placed] = field(default_factory=list)

    def fits(self, new: Placed, alone: bool = True) -> bool:
        """Whether a piece lies in the room, clear of doors, pieces and their needs, and leaves ways to walk."""
        shapely = need("shapely", "plans")
        if not shapely.covers(self.shape, new.body) or shapely.intersects(self.swings, new.body):
            return False
        if any(new.piece.size[2] > sill and shapely.intersects(strip, new.body) for strip, sill in self.windows):
            return False
        bodies = [other.body for other in self.placed]
        near = shapely.buffer(new.body, _BETWEEN, join_style="mitre")
        if any(shapely.intersects(near, body) for body in bodies):
            return False
        if alone and any(shapely.intersects(other.needs, new.body) for other in self.placed):
            return False
        if alone and (
            not shapely.covers(self.shape, new.needs) or any(shapely.intersects(new.needs, b) for b in bodies)
        ):
            return False
        return self._walkable([*bodies, new.body], new)

    def _walkable(self, bodies: list[Any], new: Placed) -> bool:
        """Whether doors stay joined to each other by places where a person can stand, and the piece can be reached."""
        shapely = need("shapely", "plans")
        free = shapely.difference(
            shapely.buffer(self.shape, -_HALF, join_style="mitre"),
            shapely.buffer(shapely.union_all(bodies), _HALF * 0.9),
        )
        parts = polygons(free, 0.02)
        if len(self.doors) < 2 or not parts:
            return len(self.doors) < 2
        spots = [shapely.Point(door) for door in self.doors]
        return any(all(part.distance(spot) < 2.2 * _HALF for spot in spots) for part in parts)


def _layout(plan: Plan, built: Assembly, library: Library, seed: int) -> Assembly:
    """One layout of the whole home."""
    by_room: dict[tuple[int, str], list[Placed]] = {}
    asked = 0
    for level, storey in enumerate(plan.storeys):
        for number, one in enumerate(rooms_of(Plane(storey))):
            rng = np.random.default_rng((seed, level, number))
            wanted = WANTED.get(kind_of(one.room.type), ())
            asked += len(wanted)
            by_room[level, one.room.id] = arrange(one, wanted, rng)
    count = sum(map(len, by_room.values()))
    nodes = tuple(_with_pieces(node, level, by_room, library, built, seed) for level, node in enumerate(built.nodes))
    about = {"seed": seed, "pieces": count, "wanted": asked, "score": round(count / max(asked, 1), 3)}
    return replace(built, nodes=nodes, metadata={**built.metadata, "furniture": about})


def rooms_of(plane: Plane) -> list[RoomPlan]:
    """The rooms of a storey with what must stay free in them."""
    shapely = need("shapely", "plans")
    storey = plane.storey
    outlines = [part.polygon for part in storey.stairs] + [part.polygon for part in storey.columns]
    fixed = [plane.ring(outline) for outline in outlines]
    found = []
    for room, shape in plane.rooms:
        parts = polygons(shapely.difference(shape, shapely.union_all(fixed)), 0.3)
        if not parts:
            continue
        whole = max(parts, key=lambda part: part.area)
        swings, doors, windows = [], [], []
        for opening in storey.openings:
            if plane.holes[opening.id].distance(whole) > 0.06:
                continue
            zone = _kept_free(opening)
            if opening.type == "window":
                windows.append((shapely.buffer(plane.holes[opening.id], 0.3), opening.sill))
            else:
                swings.append(zone)
                middle = ((opening.a[0] + opening.b[0]) / 2, (opening.a[1] + opening.b[1]) / 2)
                doors.append(middle)
        found.append(RoomPlan(room, whole, shapely.union_all(swings), doors, windows))
    return found


def _kept_free(opening: Opening) -> Any:
    """What stays free for a door, both sides: a passage before it, and the square of its leaf where it swings."""
    shapely = need("shapely", "plans")
    deep = _DOOR
    if opening.type == "door" and opening.subtype in ("single", "entrance", "double"):
        deep = max(deep, opening.width * (0.55 if opening.subtype == "double" else 1.0) + 0.05)
    other = _DOOR if opening.swing else deep
    left, right = (deep, other) if opening.swing != "right" else (other, deep)
    angle = math.atan2(opening.b[1] - opening.a[1], opening.b[0] - opening.a[0])
    return _turned(shapely.box(0.0, -right - 0.1, opening.width, left + 0.1), opening.a, angle)


def _turned(shape: Any, at: Point, angle: float) -> Any:
    """A shape turned about the origin and moved to a place."""
    shapely = need("shapely", "plans")
    c, s = math.cos(angle), math.sin(angle)
    return shapely.transform(shape, lambda p: p @ np.array([[c, s], [-s, c]]) + at)


def arrange(room: RoomPlan, wanted: tuple[str, ...], rng: np.random.Generator) -> list[Placed]:
    """Place what is wanted, each piece where it fits; what fits nowhere is left out."""
    for words in wanted:
        anchor, _, names = words.rpartition(">")
        for name in names.split("|"):
            new = _beside(room, anchor, PIECES[name]) if anchor else _against_wall(room, PIECES[name], rng)
            if new is not None:
                room.placed.append(new)
                room.placed += _company(room, new)
                break
    return room.placed


def place(piece: Piece, at: Point, angle: float) -> Placed:
    """A piece with its back's middle at a place and its front in a direction (radians)."""
    shapely = need("shapely", "plans")
    w, d, _ = piece.size
    body = _turned(shapely.box(-w / 2, 0, w / 2, d), at, angle - math.pi / 2)
    needs = _turned(shapely.box(-w / 2, d, w / 2, d + max(piece.front, 0.01)), at, angle - math.pi / 2)
    return Placed(piece, at, angle, body, needs)


def _against_wall(room: RoomPlan, piece: Piece, rng: np.random.Generator) -> Placed | None:
    """The first of some places along the room's edges that fits: corners first, then anywhere; tables stand free."""
    ring = np.asarray(room.shape.exterior.coords)[:: 1 if room.shape.exterior.is_ccw else -1]
    edges = [(p, q) for p, q in pairwise(ring) if np.linalg.norm(q - p) > piece.size[0] + 2 * _OFF]
    if not edges:
        return None
    lengths = np.array([np.linalg.norm(q - p) for p, q in edges])
    for attempt in range(_TRIES):
        p, q = edges[int(rng.choice(len(edges), p=lengths / lengths.sum()))]
        length = float(np.linalg.norm(q - p))
        along, half = (q - p) / length, piece.size[0] / 2 + _OFF
        middle = piece.name in ("sofa", "double_bed", "lowboard", "dining_table")
        corner = attempt % 3 < 2 and not middle
        t = (half, length - half)[int(rng.integers(2))] if corner else float(rng.uniform(half, length - half))
        t = length / 2 if middle and attempt % 2 == 0 else t
        inward = np.array([-along[1], along[0]])  # the room lies to the left of a counter-clockwise ring
        off = float(rng.uniform(0.75, 2.0)) if piece.name == "dining_table" else _OFF
        at = p + along * t + inward * off
        new = place(piece, (float(at[0]), float(at[1])), math.atan2(inward[1], inward[0]))
        if room.fits(new):
            return new
    return None


def _beside(room: RoomPlan, anchor: str, piece: Piece) -> Placed | None:
    """A coffee table before the sofa; a nightstand to the left or right of the bed's head."""
    host = next((other for other in room.placed if other.piece.name.endswith(anchor)), None)
    if host is None:
        return None
    fx, fy = math.cos(host.angle), math.sin(host.angle)
    if anchor == "sofa":
        away = host.piece.size[1] + 0.4
        spots = [(host.at[0] + fx * away, host.at[1] + fy * away)]
    else:
        aside = (host.piece.size[0] + piece.size[0]) / 2 + 0.05
        spots = [(host.at[0] - fy * aside * k, host.at[1] + fx * aside * k) for k in (1, -1)]
    fitting = (place(piece, spot, host.angle) for spot in spots)
    return next((new for new in fitting if room.fits(new, alone=False)), None)


def _company(room: RoomPlan, host: Placed) -> list[Placed]:
    """Chairs of a table or desk, on the sides where they fit."""
    found: list[Placed] = []
    w, d, _ = host.piece.size
    fx, fy = math.cos(host.angle), math.sin(host.angle)
    if host.piece.name == "desk":
        kind, seats = PIECES["office_chair"], [(0.0, d + 0.45, math.pi)]
    elif host.piece.name in ("dining_table", "garden_table"):
        kind = PIECES["chair" if host.piece.name == "dining_table" else "garden_chair"]
        back = kind.size[1] - 0.1
        ways = (-w / 4, w / 4) if w > 1 else (0.0,)
        seats = [(x, d + back, math.pi) for x in ways] + [(x, -back, 0.0) for x in ways]
    else:
        return []
    for x, y, turn in seats:
        at = (host.at[0] + fy * x + fx * y, host.at[1] - fx * x + fy * y)
        chair = place(kind, at, host.angle + turn)
        shapely = need("shapely", "plans")
        others = [other.body for other in (*room.placed, *found) if other is not host]
        free = shapely.covers(room.shape, chair.body) and not shapely.intersects(room.swings, chair.body)
        if free and not any(shapely.intersects(chair.body, body) for body in others):
            found.append(chair)
    return found


def _with_pieces(
    node: Node, level: int, by_room: dict[tuple[int, str], list[Placed]], library: Library, built: Assembly, seed: int
) -> Node:
    """A storey's node with pieces below the nodes of their rooms."""
    base = float(node.metadata["elevation"])
    ox, oy = built.metadata["origin"]
    children = []
    for child in node.children:
        pieces = by_room.get((level, str(child.metadata.get("id"))), []) if child.metadata.get("kind") == "room" else []
        more = tuple(
            Node(
                f"{child.name}_{one.piece.name}_{k}",
                library.mesh(one.piece.name, seed + k),
                translation=(one.at[0] - ox, base, -(one.at[1] - oy)),
                yaw=one.angle - math.pi / 2,
                metadata={"kind": "furniture", "type": one.piece.name},
            )
            for k, one in enumerate(pieces)
        )
        children.append(replace(child, children=(*child.children, *more)))
    return replace(node, children=tuple(children))
