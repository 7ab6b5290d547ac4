"""Furniture and clutter, placed as in lived-in rooms: backs to walls, chairs at tables, small things on boards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..textures import Rng
from . import corpus, materials, pieces
from .geometry import Prop, turn
from .layout import Area
from .shell import Lamp, Site

FloatArray = NDArray[np.float32]
Rect = tuple[float, float, float, float]


class Furnisher:
    """Places props in one site. Every room is served by its kind's recipe, then filled with common things."""

    def __init__(self, site: Site, manifest: Path | None, rng: Rng) -> None:
        """manifest: the object corpus, or None for procedural things alone."""
        self.site, self.rng = site, rng
        self.roles = corpus.roles(manifest) if manifest else {}
        self.lit = rng.random()

    def furnish(self, area: Area, budget: float) -> None:
        """Fill one room; budget scales the amount."""
        self.lights(area)
        if area.size < 1.2:
            return
        plan = _PLANS.get(area.kind, _PLANS["other"])
        for step, share in plan:
            if self.rng.random() < share * budget:
                step(self, area)
        for step, share in _COMMON:
            if self.rng.random() < share * budget:
                step(self, area)

    # -- choosing ----------------------------------------------------------------------------------------------------

    def from_corpus(self, role: str) -> Prop | None:
        """A random object of ``role``."""
        entries = self.roles.get(role)
        if not entries:
            return None
        return corpus.load(entries[self.rng.integers(len(entries))], self.rng)

    def either(self, role: str, make: Callable[[], Prop], share: float = 0.55) -> Prop:
        """From the corpus with probability ``share``, else procedural."""
        found = self.from_corpus(role) if self.rng.random() < share else None
        return found or make()

    # -- placing -----------------------------------------------------------------------------------------------------

    def free(self, area: Area, rect: Rect, height: float = 1.0, margin: float = 0.0) -> bool:
        """Whether a floor rectangle lies in the room, clear of doors and of what stands there."""
        x0, z0, x1, z1 = rect
        inset = 0.013
        points = np.array(
            [(x, z) for x in np.linspace(x0 + inset, x1 - inset, 4) for z in np.linspace(z0 + inset, z1 - inset, 4)]
        )
        if not area.contains(points).all():
            return False

        def hit(other: Sequence[float], gap: float) -> bool:
            return x0 - gap < other[2] and x1 + gap > other[0] and z0 - gap < other[3] and z1 + gap > other[1]

        if height > 0.05 and any(hit(zone, 0.0) for zone in self.site.zones):
            return False
        return not any(hit(t, margin) for t in self.site.taken)

    def put(self, prop: Prop, at: Sequence[float], yaw: float, floor: bool = True) -> None:
        """Place a prop and remember the space it takes, its boards and its light."""
        self.site.soup.place(prop, at, yaw)
        low, high = bounds(prop, at, yaw)
        self.site.placed.append((prop.name, low, high, float(at[1])))
        if floor:
            self.site.taken.append((float(low[0]), float(low[2]), float(high[0]), float(high[2]), float(high[1])))
        self.site.targets.append(((low + high) / 2, float((high - low).max())))
        if prop.lamp is not None:
            self.shine(prop, at)

    def shine(self, prop: Prop, at: Sequence[float]) -> None:
        """Make a lamp's light."""
        if self.lit < 0.25 and self.rng.random() < 0.85:  # a day without lamps
            return
        centre = np.array([at[0], at[1] + (prop.lamp or 0.0), at[2]], np.float32)
        warm = np.array([1.0, 0.86, 0.66]) ** self.rng.uniform(0.0, 1.6)
        strength = self.rng.uniform(0.6, 2.2) * (1.0 if at[1] > 1.6 else 0.35)
        zero = np.zeros(3, np.float32)
        reach = 0.12
        self.site.lamps.append(
            Lamp(
                centre,
                zero,
                zero,
                zero,
                (warm * strength).astype(np.float32),
                max(prop.size) / 2 + 0.05 if at[1] < 1.6 else 0.1,
                reach,
            )
        )

    def against_wall(
        self, area: Area, prop: Prop, tries: int = 14, gap: float = 0.0, y: float = 0.0, tall: bool = True
    ) -> tuple[NDArray[np.float64], float] | None:
        """Stand a prop with its back to a random wall; its place and yaw, or None when no room was found."""
        edges = list(zip(area.polygon, np.roll(area.polygon, -1, axis=0), strict=True))
        lengths = np.array([np.linalg.norm(b - a) for a, b in edges])
        if (lengths <= prop.size[0]).all():
            return None
        weights = np.where(lengths > prop.size[0] + 0.02, lengths, 0)
        for _ in range(tries):
            k = int(self.rng.choice(len(edges), p=weights / weights.sum()))
            a, b = edges[k]
            unit = (b - a) / lengths[k]
            normal = np.array([-unit[1], unit[0]])
            if not area.contains(((a + b) / 2 + normal * 0.05)[None])[0]:
                normal = -normal
            slack = lengths[k] - prop.size[0]
            s = prop.size[0] / 2 + float(
                self.rng.choice([0.01, slack - 0.01, self.rng.uniform(0, slack)], p=[0.2, 0.2, 0.6])
            )
            gap_here = gap + float(self.rng.choice([0.015, self.rng.uniform(0.015, 0.08)]))
            ground = a + unit * s + normal * (prop.size[2] / 2 + gap_here)
            yaw = float(np.arctan2(normal[0], normal[1]))
            low, high = bounds(prop, (ground[0], y, ground[1]), yaw)
            rect = (float(low[0]), float(low[2]), float(high[0]), float(high[2]))
            if not self.free(area, rect) or (
                prop.size[1] > 0.9 and tall and self.before_window(rect, y + prop.size[1], y)
            ):
                continue
            self.put(prop, (ground[0], y, ground[1]), yaw)
            return ground, yaw
        return None

    def before_window(self, rect: Rect, top: float, bottom: float) -> bool:
        """Whether a rectangle against a wall would cover a window."""
        for wall in self.site.layout.walls:
            for o in wall.openings:
                if o.sill < top - 0.1 and o.head > bottom:
                    ends = np.array([wall.a + wall.along * s for s in (o.start, o.end)])
                    low, high = ends.min(0) - wall.thickness / 2 - 0.12, ends.max(0) + wall.thickness / 2 + 0.12
                    if rect[0] < high[0] and rect[2] > low[0] and rect[1] < high[1] and rect[3] > low[1]:
                        return True
        return False

    def standing(
        self, area: Area, prop: Prop, tries: int = 12, centre: bool = False, square: bool = True
    ) -> tuple[NDArray[np.float64], float] | None:
        """Stand a prop free on the floor, square to the walls or at any angle."""
        low, high = area.polygon.min(0), area.polygon.max(0)
        for _ in range(tries):
            spot = (
                self.rng.uniform(low, high)
                if not centre
                else (low + high) / 2 + self.rng.normal(0, 0.18, 2) * (high - low) / 2
            )
            yaw = float(
                self.rng.integers(4) * np.pi / 2
                + (self.rng.normal(0, 0.05) if square else self.rng.uniform(-np.pi, np.pi))
            )
            a, b = bounds(prop, (spot[0], 0, spot[1]), yaw)
            if self.free(area, (float(a[0]), float(a[2]), float(b[0]), float(b[2])), prop.size[1]):
                self.put(prop, (spot[0], 0.0, spot[1]), yaw)
                return spot, yaw
        return None

    def strew(self, prop: Prop, at: NDArray[np.float64], yaw: float, count: float, y: float = 0.0) -> None:
        """Put small things on a prop's top and boards, without overlap."""
        rotation = turn(yaw)
        w, h, d = prop.size
        top = top_of(prop)
        boards = [*prop.shelves]
        if top is not None:
            boards.append(top)
        for x0, z0, x1, z1, level, free in boards:
            area, taken = (x1 - x0) * (z1 - z0), list[tuple[float, float, float]]()
            wanted = self.rng.poisson(count * min(area, 1.5) * 4)
            for _ in range(int(min(wanted, 14))):
                small = self.small()
                if small is None or small.size[1] > free - 0.01:
                    continue
                r = max(small.size[0], small.size[2]) / 2
                turned_by = float(self.rng.uniform(-np.pi, np.pi))
                if min(x1 - x0, z1 - z0) < 2 * r:
                    continue
                for _ in range(5):
                    p = self.rng.uniform((x0 + r, z0 + r), (x1 - r, z1 - r))
                    if all((p[0] - q[0]) ** 2 + (p[1] - q[1]) ** 2 > (r + q[2]) ** 2 for q in taken):
                        taken.append((float(p[0]), float(p[1]), r))
                        world = rotation @ np.array([p[0], level, p[1]], np.float32) + np.array(
                            [at[0], y, at[1]], np.float32
                        )
                        self.put(small, world.tolist(), yaw + turned_by, floor=False)
                        break

    def small(self) -> Prop | None:
        """Something to stand on a board."""
        mood = self.rng.random()
        if mood < 0.5:
            return pieces.SMALL[self.rng.integers(len(pieces.SMALL))](self.rng)
        return self.from_corpus("small" if mood < 0.9 else "food")

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

        def made() -> Prop:
            if rng.random() < 0.2:
                return pieces.round_table(rng, rng.uniform(0.35, 0.65), rng.uniform(0.7, 0.78))
            return pieces.table(rng, rng.uniform(0.8, 2.2), rng.uniform(0.6, 1.0), rng.uniform(0.7, 0.78))

        prop = self.either("table", made, 0.4)
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
            screen = self.either("tv", lambda: pieces.screen(rng), 0.15)
            if screen.size[1] < 0.8:
                self.on_top(screen, at, yaw, (float(rng.uniform(-0.2, 0.2)), -prop.size[2] / 2 + 0.2), top[4])
                if rng.random() < 0.8 and prop.size[2] > 0.55:
                    self.on_top(pieces.keyboard(rng), at, yaw, (0.0, prop.size[2] / 2 - 0.15), top[4])
        else:
            self.strew(prop, at, yaw, rng.uniform(0.6, 2.5))
        seat = self.either("officechair", lambda: pieces.office_chair(rng), 0.25)
        world = turn(yaw) @ np.array([0, 0, prop.size[2] / 2 + seat.size[2] / 2 + rng.uniform(0.02, 0.4)], np.float32)
        spot, angle = at + world[[0, 2]], yaw + np.pi + float(rng.normal(0, 0.5))
        low, high = bounds(seat, (spot[0], 0, spot[1]), angle)
        if self.free(area, (float(low[0]), float(low[2]), float(high[0]), float(high[2])), margin=-0.02):
            self.put(seat, (spot[0], 0.0, spot[1]), angle)

    def on_top(self, prop: Prop, at: NDArray[np.float64], yaw: float, local: tuple[float, float], level: float) -> None:
        """Put a thing on a table at a local place."""
        world = turn(yaw) @ np.array([local[0], 0, local[1]], np.float32)
        self.put(
            prop,
            (float(at[0] + world[0]), level, float(at[1] + world[2])),
            yaw + float(self.rng.normal(0, 0.08)),
            floor=False,
        )

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
                self.against_wall(area, prop)

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
            self.on_top(self.either("tv", lambda: pieces.television(rng), 0.4), *where, (0.0, 0.0), top[4])

    def hang(self, area: Area) -> None:
        """Pictures, posters, mirrors and boards on the walls."""
        rng = self.rng
        for _ in range(int(rng.integers(1, 7))):
            w, h = rng.uniform(0.2, 1.3), rng.uniform(0.25, 1.0)
            prop = self.either("wallflat", lambda w=w, h=h: pieces.framed(rng, float(w), float(h)), 0.1)  # type: ignore[misc]
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

    def on_wall(self, area: Area, prop: Prop, y: float) -> None:
        """Hang a prop flat at height y, clear of openings and of other things."""
        edges = list(zip(area.polygon, np.roll(area.polygon, -1, axis=0), strict=True))
        for _ in range(6):
            a, b = edges[self.rng.integers(len(edges))]
            length = float(np.linalg.norm(b - a))
            if length < prop.size[0] + 0.1:
                continue
            unit = (b - a) / length
            normal = np.array([-unit[1], unit[0]])
            if not area.contains(((a + b) / 2 + normal * 0.05)[None])[0]:
                normal = -normal
            ground = (
                a
                + unit * self.rng.uniform(prop.size[0] / 2, length - prop.size[0] / 2)
                + normal * (prop.size[2] / 2 + 0.002)
            )
            yaw = float(np.arctan2(normal[0], normal[1]))
            at = (float(ground[0]), y, float(ground[1]))
            low, high = bounds(prop, at, yaw)
            rect = (float(low[0]), float(low[2]), float(high[0]), float(high[2]))
            if self.before_window(rect, y + prop.size[1], y) or any(
                _overlap(low, high, p[1], p[2]) for p in self.site.placed
            ):
                continue
            self.put(prop, at, yaw, floor=False)
            return

    def floor_things(self, area: Area) -> None:
        """Boxes, bags, plants, bins and other things on the floor."""
        rng = self.rng
        for _ in range(int(rng.integers(1, 6))):
            mood = rng.random()
            if mood < 0.35:
                prop: Prop | None = pieces.carton(rng, rng.uniform(0.25, 0.75))
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
        prop = self.either("floorlamp", lambda: pieces.floor_lamp(self.rng), 0.3)
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
            from .geometry import box, prop, turned

            shape = turned(look, [(r, 0), (r, h)]) if rng.random() < 0.4 else box(look, (-r, 0, -r), (r, h, r))
            self.standing(area, prop([shape], "column"))
        elif area.size > 14:
            steps = pieces.stairs(rng, rng.uniform(0.8, 1.2), int(min(h / 0.19, rng.integers(4, 14))))
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
        prop = pieces.ceiling_lamp(rng, float(rng.uniform(0.1, max(0.15, h - 2.2))))
        if self.lit < 0.25 and rng.random() < 0.7:  # off: the same lamp without its glow
            prop = Prop(tuple(_dark(p) for p in prop.parts), prop.size, prop.name)
        for i in range(min(nx, 4)):
            for k in range(min(nz, 4)):
                spot = low + (high - low) * ((i + 0.5) / min(nx, 4), (k + 0.5) / min(nz, 4))
                if area.contains(spot[None])[0]:
                    self.put(prop, (float(spot[0]), h - prop.size[1], float(spot[1])), 0.0, floor=False)


def _dark(part: object) -> object:
    from dataclasses import replace

    return replace(part, glow=(0.0, 0.0, 0.0))  # type: ignore[type-var]


def bounds(prop: Prop, at: Sequence[float], yaw: float) -> tuple[FloatArray, FloatArray]:
    """The axis-aligned box (low, high) of a placed prop."""
    w, h, d = prop.size
    c, s = abs(np.cos(yaw)), abs(np.sin(yaw))
    half = np.array([(w * c + d * s) / 2, 0.0, (w * s + d * c) / 2])
    place = np.asarray(at, np.float64)
    return (place - half).astype(np.float32), (place + half + (0, h, 0)).astype(np.float32)


def _overlap(a0: FloatArray, a1: FloatArray, b0: FloatArray, b1: FloatArray) -> bool:
    return bool(((a0 < b1 - 0.005) & (a1 > b0 + 0.005)).all())


_TOPS: dict[str, tuple[float, float, float, float, float, float] | None] = {}


def top_of(prop: Prop) -> tuple[float, float, float, float, float, float] | None:
    """The largest flat part of a prop's upper side, as a board (x0, z0, x1, z1, height, free), or None.

    A grid of heights is looked at from above; the board is grown from its middle while the heights agree.
    """
    n = 13
    w, h, d = prop.size
    if min(w, d) < 0.2 or prop.name in ("rug", "chair", "office chair", "picture"):
        return None
    xs, zs = np.linspace(-w / 2, w / 2, n + 2)[1:-1], np.linspace(-d / 2, d / 2, n + 2)[1:-1]
    heights = _heights(np.concatenate([p.corners for p in prop.parts]), xs, zs)
    i = j = n // 2
    level = heights[i, j]
    if not np.isfinite(level) or level < 0.25 * h or level < 0.2:
        return None
    flat = np.abs(heights - level) < 0.008
    i0, i1, j0, j1 = i, i, j, j
    grew = True
    while grew:
        grew = False
        if i0 > 0 and flat[i0 - 1, j0 : j1 + 1].all():
            i0, grew = i0 - 1, True
        if i1 < n - 1 and flat[i1 + 1, j0 : j1 + 1].all():
            i1, grew = i1 + 1, True
        if j0 > 0 and flat[i0 : i1 + 1, j0 - 1].all():
            j0, grew = j0 - 1, True
        if j1 < n - 1 and flat[i0 : i1 + 1, j1 + 1].all():
            j1, grew = j1 + 1, True
    if i1 - i0 < 2 or j1 - j0 < 2:
        return None
    return float(xs[i0]), float(zs[j0]), float(xs[i1]), float(zs[j1]), float(level), 2.0


def _heights(corners: FloatArray, xs: NDArray[np.float64], zs: NDArray[np.float64]) -> NDArray[np.float64]:
    """The highest surface over each grid point (X, Z), NaN where there is none."""
    from .trace import Tracer

    x, z = (k.ravel() for k in np.meshgrid(xs, zs, indexing="ij"))
    top = float(corners[..., 1].max()) + 1.0
    tracer = Tracer(corners)
    hit = tracer.cast(np.stack([x, np.full_like(x, top), z], -1), np.broadcast_to([0, -1.0, 0], (len(x), 3)))
    return np.where(hit.face >= 0, top - hit.distance, np.nan).reshape(len(xs), len(zs))


Step = tuple[Callable[[Furnisher, Area], None], float]
_F = Furnisher
_COMMON: tuple[Step, ...] = (
    (_F.hang, 0.85),
    (_F.floor_things, 0.75),
    (_F.lamp, 0.25),
    (_F.radiator, 0.3),
    (_F.person, 0.07),
    (_F.floor_things, 0.3),
)
_PLANS: dict[str, tuple[Step, ...]] = {
    "living": ((_F.rug, 0.6), (_F.column, 0.1), (_F.sofa, 0.95), (_F.sofa, 0.35), (_F.media, 0.6), (_F.storage, 0.7), (_F.lounge, 0.5), (_F.dining, 0.35), (_F.storage, 0.4), (_F.desk, 0.15)),
    "bedroom": ((_F.rug, 0.4), (_F.sleeping, 0.97), (_F.storage, 0.8), (_F.storage, 0.5), (_F.desk, 0.35), (_F.lounge, 0.2)),
    "kitchen": ((_F.kitchen, 0.97), (_F.dining, 0.7), (_F.storage, 0.3)),
    "dining": ((_F.rug, 0.3), (_F.dining, 1.0), (_F.storage, 0.7), (_F.storage, 0.4), (_F.lounge, 0.2)),
    "office": ((_F.column, 0.1), (_F.desk, 1.0), (_F.desk, 0.7), (_F.desk, 0.4), (_F.storage, 0.8), (_F.storage, 0.5), (_F.storage, 0.3)),
    "meeting": ((_F.meeting, 1.0), (_F.storage, 0.4), (_F.media, 0.4)),
    "bath": ((_F.bath, 1.0),),
    "corridor": ((_F.storage, 0.35), (_F.hang, 0.5)),
    "storage": ((_F.column, 0.3), (_F.storage, 0.9), (_F.storage, 0.7), (_F.storage, 0.5), (_F.floor_things, 0.9), (_F.floor_things, 0.7), (_F.desk, 0.3)),
    "garage": ((_F.column, 0.4), (_F.storage, 0.8), (_F.floor_things, 0.9), (_F.floor_things, 0.9)),
    "other": ((_F.rug, 0.3), (_F.column, 0.15), (_F.storage, 0.7), (_F.dining, 0.5), (_F.sofa, 0.4), (_F.desk, 0.3), (_F.floor_things, 0.6)),
}  # fmt: skip
