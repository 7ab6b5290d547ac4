"""Furniture and clutter, placed as in lived-in rooms: backs to walls, chairs at tables, small things on boards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from . import clutter, materials, pieces
from .geometry import Part, Prop, box, moved, turn, turned
from .geometry import prop as made
from .layout import Area
from .place import Placer, bounds, top_of

FloatArray = NDArray[np.float32]
Rect = tuple[float, float, float, float]


class Furnisher(Placer):
    """Furnishes rooms: every room is served by its kind's recipe, then filled with common things."""

    def furnish(self, area: Area, budget: float) -> None:
        """Fill one room; budget scales the amount."""
        self.lights(area)
        if area.size < 1.2:
            return
        plan = _PLANS.get(area.kind, _PLANS["other"])
        rounds = 1 + (area.size > 13) + (area.size > 26)  # large rooms hold more than one of most things
        for again in range(rounds):
            for step, share in (*plan, *_COMMON):
                if self.rng.random() < share * budget * (1.0 if again == 0 else 0.55):
                    step(self, area)

    # -- groups ------------------------------------------------------------------------------------------------------

    def seats(
        self,
        area: Area,
        at: NDArray[np.float64],
        yaw: float,
        size: Sequence[float],
        chairs: Callable[[], Prop],
        share: float,
    ) -> None:
        """Chairs around a table, drawn near or pushed back."""
        w, d = size[0] / 2, size[2] / 2
        places = []
        for k in range(max(1, int(size[0] / 0.65))):
            x = (k + 0.5) * size[0] / max(1, int(size[0] / 0.65)) - w
            places += [(x, d, np.pi), (x, -d, 0.0)]
        if size[2] > 0.6:
            places += [(w, 0.0, -np.pi / 2), (-w, 0.0, np.pi / 2)]
        chair = chairs()
        for x, z, facing in places:
            if self.rng.random() > share:
                continue
            out = chair.size[2] / 2 + float(self.rng.uniform(0.01, 0.35))
            local = np.array([x, 0, z]) + np.array([np.sin(facing), 0, np.cos(facing)]) * -out
            world = turn(yaw) @ local.astype(np.float32)
            spot = at + world[[0, 2]]
            angle = (
                yaw
                + facing
                + float(self.rng.normal(0, 0.15) if self.rng.random() < 0.8 else self.rng.uniform(-1.5, 1.5))
            )
            low, high = bounds(chair, (spot[0], 0, spot[1]), angle)
            if self.free(area, (float(low[0]), float(low[2]), float(high[0]), float(high[2])), margin=-0.02):
                self.put(chair, (spot[0], 0.0, spot[1]), angle)

    def dining(self, area: Area) -> None:
        """A table with chairs, laid or cluttered."""
        rng = self.rng

        def own() -> Prop:
            if rng.random() < 0.2:
                return pieces.round_table(rng, rng.uniform(0.35, 0.65), rng.uniform(0.7, 0.78))
            return pieces.table(rng, rng.uniform(0.8, 2.2), rng.uniform(0.6, 1.0), rng.uniform(0.7, 0.78))

        prop = self.either("table", own, 0.4)
        where = self.standing(area, prop, centre=True) or self.standing(area, prop)
        if where:
            self.strew(prop, *where, rng.uniform(0.3, 2.2))
            if prop.size[1] > 0.6:
                self.seats(
                    area,
                    *where,
                    prop.size,
                    lambda: self.either("chair", lambda: pieces.chair(rng)),
                    rng.uniform(0.5, 1),
                )

    def meeting(self, area: Area) -> None:
        """A long table with many chairs."""
        prop = pieces.table(self.rng, self.rng.uniform(2.0, 4.0), self.rng.uniform(0.9, 1.4), 0.74)
        where = self.standing(area, prop, centre=True)
        if where:
            self.strew(prop, *where, self.rng.uniform(0.2, 1))
            make = pieces.office_chair if self.rng.random() < 0.5 else pieces.chair
            self.seats(area, *where, prop.size, lambda: make(self.rng), 0.9)

    def desk(self, area: Area) -> None:
        """A desk against a wall with screen, keyboard, papers and a chair."""
        rng = self.rng
        prop = self.either(
            "desk",
            lambda: pieces.table(rng, rng.uniform(1.0, 2.0), rng.uniform(0.6, 0.85), rng.uniform(0.7, 0.78)),
            0.3,
        )
        where = self.against_wall(area, prop, tall=False) if rng.random() < 0.8 else self.standing(area, prop)
        if not where:
            return
        at, yaw = where
        top = top_of(prop)
        if top is not None and rng.random() < 0.75:
            screen = self.either("tv", lambda: clutter.screen(rng), 0.15)
            if screen.size[1] < 0.8:
                self.on_top(screen, at, yaw, (float(rng.uniform(-0.2, 0.2)), -prop.size[2] / 2 + 0.2), top[4])
                if rng.random() < 0.8 and prop.size[2] > 0.55:
                    self.on_top(clutter.keyboard(rng), at, yaw, (0.0, prop.size[2] / 2 - 0.15), top[4])
        else:
            self.strew(prop, at, yaw, rng.uniform(0.6, 2.5))
        seat = self.either("officechair", lambda: pieces.office_chair(rng), 0.25)
        world = turn(yaw) @ np.array([0, 0, prop.size[2] / 2 + seat.size[2] / 2 + rng.uniform(0.02, 0.4)], np.float32)
        spot, angle = at + world[[0, 2]], yaw + np.pi + float(rng.normal(0, 0.5))
        low, high = bounds(seat, (spot[0], 0, spot[1]), angle)
        if self.free(area, (float(low[0]), float(low[2]), float(high[0]), float(high[2])), margin=-0.02):
            self.put(seat, (spot[0], 0.0, spot[1]), angle)

    def sofa(self, area: Area) -> None:
        """A sofa, often with a low table, a rug and a television across the room."""
        rng = self.rng
        prop = self.either("sofa", lambda: pieces.sofa(rng, rng.uniform(1.3, 2.5)), 0.5)
        where = self.against_wall(area, prop, tall=False) if rng.random() < 0.8 else self.standing(area, prop)
        if not where:
            return
        at, yaw = where
        if rng.random() < 0.7:
            low = self.either(
                "coffee",
                lambda: pieces.table(rng, rng.uniform(0.6, 1.3), rng.uniform(0.4, 0.7), rng.uniform(0.32, 0.5)),
                0.5,
            )
            spot = (
                at
                + (
                    turn(yaw)
                    @ np.array([0, 0, prop.size[2] / 2 + low.size[2] / 2 + rng.uniform(0.25, 0.5)], np.float32)
                )[[0, 2]]
            )
            a, b = bounds(low, (spot[0], 0, spot[1]), yaw)
            if self.free(area, (float(a[0]), float(a[2]), float(b[0]), float(b[2]))):
                self.put(low, (spot[0], 0.0, spot[1]), yaw)
                self.strew(low, spot, yaw, rng.uniform(0.5, 3))

    def kitchen(self, area: Area) -> None:
        """A run of counters along a wall, cupboards above, things on the worktop, a fridge."""
        rng = self.rng
        looks = (materials.surface(rng), materials.surface(rng) if rng.random() < 0.6 else materials.concrete(rng))
        for _ in range(int(rng.integers(1, 4))):
            prop = pieces.counter(rng, float(rng.choice([1.2, 1.8, 2.4, 3.0])), looks)
            where = self.against_wall(area, prop, tall=False)
            if where is None:
                continue
            self.strew(prop, *where, rng.uniform(0.5, 2.5))
            at, yaw = where
            if rng.random() < 0.5:
                self.behind(pieces.splashback(rng, prop.size[0], float(rng.uniform(0.3, 0.55))), prop, at, yaw, 0.9)
            if rng.random() < 0.65:
                unit = pieces.wall_unit(rng, prop.size[0], looks[0])
                back = turn(yaw) @ np.array([0, 0, -prop.size[2] / 2 + unit.size[2] / 2], np.float32)
                spot = at + back[[0, 2]]
                low, high = bounds(unit, (spot[0], 1.4, spot[1]), yaw)
                rect = (float(low[0]), float(low[2]), float(high[0]), float(high[2]))
                if not self.before_window(rect, 2.2, 1.4) and 1.42 + unit.size[1] < self.site.layout.height:
                    self.put(unit, (spot[0], 1.42, spot[1]), yaw, floor=False)
        for role in ("fridge", "kitchenunit", "kitchenunit"):
            prop2 = self.from_corpus(role)
            if prop2 and rng.random() < 0.6:
                where = self.against_wall(area, prop2)
                if where and prop2.size[1] < 1.2:
                    self.strew(prop2, *where, 1.0)

    def bath(self, area: Area) -> None:
        """Basin, toilet, bath."""
        for role in ("bath", "toilet", "basin", "kitchenunit"):
            prop = self.from_corpus(role)
            if prop and self.rng.random() < 0.75:
                hung = role == "basin" and prop.size[1] < 0.7  # a basin without a foot hangs
                self.against_wall(area, prop, y=0.86 - prop.size[1] if hung else 0.0)

    def sleeping(self, area: Area) -> None:
        """A bed with a bedside table."""
        rng = self.rng
        prop = self.either("bed", lambda: pieces.bed(rng, float(rng.choice([0.9, 1.4, 1.6, 1.8]))), 0.4)
        where = self.against_wall(area, prop, tall=False)
        if where and rng.random() < 0.3:
            self.strew(prop, *where, 0.3)
        for _ in range(int(rng.integers(0, 3))):
            side = self.either(
                "bedside", lambda: pieces.cabinet(rng, rng.uniform(0.35, 0.5), 0.4, rng.uniform(0.4, 0.6)), 0.5
            )
            self.stocked(area, side)

    def stocked(self, area: Area, prop: Prop, amount: float | None = None) -> None:
        """Against a wall, with things on it."""
        where = self.against_wall(area, prop)
        if where:
            self.strew(prop, *where, self.rng.uniform(0.3, 2.5) if amount is None else amount)

    def storage(self, area: Area) -> None:
        """Shelves, a cabinet or a chest."""
        rng, mood = self.rng, self.rng.random()
        if mood < 0.4:
            prop = self.either(
                "bookcase",
                lambda: pieces.shelf(rng, rng.uniform(0.5, 2.4), rng.uniform(0.22, 0.42), rng.uniform(0.8, 2.2)),
                0.25,
            )
        elif mood < 0.7:
            prop = self.either(
                "dresser",
                lambda: pieces.cabinet(rng, rng.uniform(0.5, 1.8), rng.uniform(0.35, 0.6), rng.uniform(0.5, 1.1)),
                0.4,
            )
        else:
            prop = self.either(
                "wardrobe",
                lambda: pieces.cabinet(rng, rng.uniform(0.8, 2.2), rng.uniform(0.45, 0.65), rng.uniform(1.7, 2.2)),
                0.4,
            )
        if prop.size[1] < self.site.layout.height - 0.02:
            self.stocked(area, prop)

    def media(self, area: Area) -> None:
        """A television on a stand, or on the wall."""
        rng = self.rng
        stand = self.either(
            "tvstand", lambda: pieces.cabinet(rng, rng.uniform(1.0, 1.8), 0.42, rng.uniform(0.35, 0.6)), 0.4
        )
        where = self.against_wall(area, stand)
        top = top_of(stand)
        if where and top:
            self.on_top(self.either("tv", lambda: clutter.television(rng), 0.4), *where, (0.0, 0.0), top[4])

    def hang(self, area: Area) -> None:
        """Pictures, posters, mirrors and boards on the walls."""
        rng = self.rng
        for _ in range(int(rng.integers(1, 7))):
            w, h = rng.uniform(0.2, 1.3), rng.uniform(0.25, 1.0)
            prop = self.either("wallflat", lambda w=w, h=h: clutter.framed(rng, float(w), float(h)), 0.1)  # type: ignore[misc]
            if prop.size[2] > 0.2 or prop.size[1] > self.site.layout.height - 1.2:
                continue
            self.on_wall(
                area,
                prop,
                float(
                    np.clip(
                        rng.normal(1.55, 0.25) - prop.size[1] / 2, 0.7, self.site.layout.height - prop.size[1] - 0.05
                    )
                ),
            )

    def wall_things(self, area: Area) -> None:
        """Shelves on the wall with things on them, switches, sockets, clocks."""
        rng = self.rng
        for _ in range(int(rng.integers(0, 4))):
            shelf = pieces.wall_shelf(rng, float(rng.uniform(0.5, 1.6)))
            where = self.on_wall(area, shelf, float(rng.uniform(1.0, 1.6)))
            if where:
                self.strew(shelf, where[0], where[1], rng.uniform(1.5, 6), y=where[2])
        for _ in range(int(rng.integers(0, 6))):
            self.on_wall(area, clutter.plate(rng), float(rng.choice([0.28, 1.08, 1.9])))

    def partitions(self, area: Area) -> None:
        """Screens between working places."""
        for _ in range(int(self.rng.integers(1, 4))):
            self.standing(area, pieces.partition(self.rng, float(self.rng.uniform(1.0, 1.8))))

    def pipes(self, area: Area) -> None:
        """Pipes and ducts under the ceiling or up a wall, as in cellars and workshops."""
        rng, h = self.rng, self.site.layout.height
        low, high = area.polygon.min(0) + 0.05, area.polygon.max(0) - 0.05
        for _ in range(int(rng.integers(2, 7))):
            look, r = materials.plain(materials.colour(rng), 0.03), float(rng.choice([0.015, 0.03, 0.06, 0.15]))
            y, x, z = h - r - rng.uniform(0.02, 0.25), rng.uniform(low[0], high[0]), rng.uniform(low[1], high[1])
            if rng.random() < 0.45:
                part = box(look, (low[0], y - r, z - r), (high[0], y + r, z + r))
            elif rng.random() < 0.7:
                part = box(look, (x - r, y - r, low[1]), (x + r, y + r, high[1]))
            else:
                part = turned(look, [(r, 0), (r, h)], 10)
                spot = np.array([rng.choice([low[0] + r, high[0] - r]), z])
                if not area.contains(spot[None])[0]:
                    continue
                part = moved(part, (spot[0], 0, spot[1]))
            self.site.soup.add(part)

    def floor_things(self, area: Area) -> None:
        """Boxes, bags, plants, bins and other things on the floor."""
        rng = self.rng
        for _ in range(int(rng.integers(1, 6))):
            mood = rng.random()
            if mood < 0.35:
                prop: Prop | None = clutter.carton(rng, rng.uniform(0.25, 0.75))
            else:
                prop = self.from_corpus(str(rng.choice(["plant", "bin", "clutter", "clutter", "chair", "armchair"])))
            if prop is None:
                continue
            if rng.random() < 0.5:
                self.against_wall(area, prop)
            else:
                self.standing(area, prop, square=rng.random() < 0.5)

    def lounge(self, area: Area) -> None:
        """An armchair or two, at an angle."""
        for _ in range(int(self.rng.integers(1, 3))):
            prop = self.either("armchair", lambda: pieces.sofa(self.rng, self.rng.uniform(0.75, 1.0)), 0.6)
            self.standing(area, prop, square=False)

    def radiator(self, area: Area) -> None:
        """A radiator or a fireplace."""
        prop = self.from_corpus("radiator" if self.rng.random() < 0.7 else "fireplace")
        if prop:
            self.against_wall(area, prop)

    def rug(self, area: Area) -> None:
        """A carpet, laid before the furniture."""
        low, high = area.polygon.min(0), area.polygon.max(0)
        w, d = self.rng.uniform(0.8, 2.6), self.rng.uniform(0.6, 2.0)
        at = self.rng.uniform(low, high)
        prop = pieces.rug(self.rng, float(w), float(d))
        rect = (float(at[0] - w / 2), float(at[1] - d / 2), float(at[0] + w / 2), float(at[1] + d / 2))
        if self.free(area, rect, 0.01):
            self.put(prop, (float(at[0]), 0.0, float(at[1])), 0.0, floor=False)

    def lamp(self, area: Area) -> None:
        """A standing lamp."""
        prop = self.either("floorlamp", lambda: clutter.floor_lamp(self.rng), 0.3)
        self.against_wall(area, prop, gap=0.05)

    def person(self, area: Area) -> None:
        """Someone who stands there."""
        prop = self.from_corpus("person")
        if prop and prop.size[1] > 1.4 and max(prop.size[0], prop.size[2]) < 0.9:
            self.standing(area, prop, square=False)

    def column(self, area: Area) -> None:
        """A pillar from floor to ceiling, or steps along a wall."""
        rng, h = self.rng, self.site.layout.height
        if rng.random() < 0.5 and area.size > 12:
            r = rng.uniform(0.12, 0.3)
            look = materials.wall(rng)
            shape = turned(look, [(r, 0), (r, h)]) if rng.random() < 0.4 else box(look, (-r, 0, -r), (r, h, r))
            self.standing(area, made([shape], "column"))
        elif area.size > 14:
            steps = pieces.stairs(rng, rng.uniform(0.8, 1.2), min(int(h / 0.19), int(rng.integers(4, 14))))
            self.against_wall(area, steps)

    def lights(self, area: Area) -> None:
        """Lamps under the ceiling, one or a grid; they may be off."""
        rng, h = self.rng, self.site.layout.height
        low, high = area.polygon.min(0), area.polygon.max(0)
        nx, nz = (
            (1, 1)
            if rng.random() < 0.6
            else (
                max(1, round((high[0] - low[0]) / rng.uniform(1.6, 3))),
                max(1, round((high[1] - low[1]) / rng.uniform(1.6, 3))),
            )
        )
        prop = clutter.ceiling_lamp(rng, float(rng.uniform(0.1, max(0.15, h - 2.2))))
        if self.lit < 0.25 and rng.random() < 0.7:  # off: the same lamp without its glow
            prop = Prop(tuple(_dark(p) for p in prop.parts), prop.size, prop.name)
        for i in range(min(nx, 4)):
            for k in range(min(nz, 4)):
                spot = low + (high - low) * ((i + 0.5) / min(nx, 4), (k + 0.5) / min(nz, 4))
                if area.contains(spot[None])[0]:
                    self.put(prop, (float(spot[0]), h - prop.size[1], float(spot[1])), 0.0, floor=False)


def _dark(part: Part) -> Part:
    return replace(part, glow=(0.0, 0.0, 0.0))


Step = tuple[Callable[[Furnisher, Area], None], float]
_F = Furnisher
_COMMON: tuple[Step, ...] = (
    (_F.hang, 0.8), (_F.wall_things, 0.6), (_F.floor_things, 0.8), (_F.lamp, 0.25), (_F.radiator, 0.3),
    (_F.person, 0.07), (_F.floor_things, 0.45),
)  # fmt: skip
_PLANS: dict[str, tuple[Step, ...]] = {
    "living": (
        (_F.rug, 0.6), (_F.column, 0.1), (_F.sofa, 0.95), (_F.sofa, 0.45), (_F.media, 0.65), (_F.storage, 0.8),
        (_F.lounge, 0.6), (_F.dining, 0.45), (_F.storage, 0.5), (_F.storage, 0.3), (_F.desk, 0.2),
    ),
    "bedroom": (
        (_F.rug, 0.4), (_F.sleeping, 0.97), (_F.storage, 0.85), (_F.storage, 0.6), (_F.desk, 0.45), (_F.lounge, 0.25),
    ),
    "kitchen": ((_F.kitchen, 0.97), (_F.kitchen, 0.4), (_F.dining, 0.75), (_F.storage, 0.35)),
    "dining": (
        (_F.rug, 0.3), (_F.dining, 1.0), (_F.storage, 0.8), (_F.storage, 0.5), (_F.lounge, 0.25), (_F.storage, 0.3),
    ),
    "office": (
        (_F.column, 0.1), (_F.desk, 1.0), (_F.desk, 0.85), (_F.desk, 0.6), (_F.partitions, 0.3), (_F.desk, 0.4),
        (_F.storage, 0.9), (_F.storage, 0.6), (_F.storage, 0.4), (_F.dining, 0.15),
    ),
    "meeting": ((_F.meeting, 1.0), (_F.storage, 0.5), (_F.media, 0.5), (_F.storage, 0.3)),
    "bath": ((_F.bath, 1.0), (_F.storage, 0.3)),
    "corridor": ((_F.storage, 0.5), (_F.storage, 0.35), (_F.hang, 0.5)),
    "storage": (
        (_F.pipes, 0.4), (_F.column, 0.3), (_F.storage, 0.9), (_F.storage, 0.8), (_F.storage, 0.6),
        (_F.floor_things, 0.95), (_F.floor_things, 0.8), (_F.desk, 0.4), (_F.floor_things, 0.6),
    ),
    "garage": (
        (_F.pipes, 0.6), (_F.column, 0.4), (_F.storage, 0.8), (_F.storage, 0.5), (_F.floor_things, 0.9),
        (_F.floor_things, 0.9),
    ),
    "other": (
        (_F.rug, 0.3), (_F.column, 0.15), (_F.storage, 0.8), (_F.dining, 0.6), (_F.sofa, 0.4), (_F.desk, 0.4),
        (_F.storage, 0.5), (_F.floor_things, 0.7),
    ),
}  # fmt: skip
