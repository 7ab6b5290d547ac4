"""Where things may stand: against walls, free on the floor, on boards, on walls, without overlap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..textures import Rng
from . import clutter, corpus
from .geometry import Prop, turn
from .layout import Area
from .shell import Lamp, Site

FloatArray = NDArray[np.float32]
Rect = tuple[float, float, float, float]


class Placer:
    """Chooses props and finds places for them in one site: at walls, on the floor, on boards, on walls."""

    def __init__(self, site: Site, manifest: Path | None, rng: Rng) -> None:
        """manifest: the object corpus, or None for procedural things alone."""
        self.site, self.rng = site, rng
        self.roles = corpus.roles(manifest) if manifest else {}
        self.lit = rng.random()

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
        self.site.targets.append((((low + high) / 2).astype(np.float32), float((high - low).max())))
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
        power = (warm * strength).astype(np.float32)
        gap = max(prop.size) / 2 + 0.05 if at[1] < 1.6 else 0.1
        self.site.lamps.append(Lamp(centre, zero, zero, zero, power, gap, reach=0.12))

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
        _w, _h, _d = prop.size
        top = top_of(prop)
        boards = [*prop.shelves]
        if top is not None:
            boards.append(top)
        for x0, z0, x1, z1, level, free in boards:
            area, taken = (x1 - x0) * (z1 - z0), list[tuple[float, float, float]]()
            wanted = self.rng.poisson(count * min(area, 1.5) * 6)
            for _ in range(int(min(wanted, 20))):
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
            return clutter.SMALL[self.rng.integers(len(clutter.SMALL))](self.rng)
        return self.from_corpus("small" if mood < 0.9 else "food")

    def on_top(self, prop: Prop, at: NDArray[np.float64], yaw: float, local: tuple[float, float], level: float) -> None:
        """Put a thing on a table at a local place."""
        world = turn(yaw) @ np.array([local[0], 0, local[1]], np.float32)
        self.put(
            prop,
            (float(at[0] + world[0]), level, float(at[1] + world[2])),
            yaw + float(self.rng.normal(0, 0.08)),
            floor=False,
        )

    def behind(self, flat: Prop, prop: Prop, at: NDArray[np.float64], yaw: float, y: float) -> None:
        """Put something flat at a prop's back, unless a window is there."""
        shift = turn(yaw) @ np.array([0, 0, -prop.size[2] / 2 - 0.008 + flat.size[2] / 2], np.float32)
        spot = (float(at[0] + shift[0]), y, float(at[1] + shift[2]))
        low, high = bounds(flat, spot, yaw)
        if not self.before_window((float(low[0]), float(low[2]), float(high[0]), float(high[2])), float(high[1]), y):
            self.put(flat, spot, yaw, floor=False)

    def on_wall(self, area: Area, prop: Prop, y: float) -> tuple[NDArray[np.float64], float, float] | None:
        """Hang a prop flat at height y, clear of openings and of other things; its place, yaw and height, or None."""
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
            return ground, yaw, y
        return None


def bounds(prop: Prop, at: Sequence[float], yaw: float) -> tuple[FloatArray, FloatArray]:
    """The axis-aligned box (low, high) of a placed prop."""
    w, h, d = prop.size
    c, s = abs(np.cos(yaw)), abs(np.sin(yaw))
    half = np.array([(w * c + d * s) / 2, 0.0, (w * s + d * c) / 2])
    place = np.asarray(at, np.float64)
    return (place - half).astype(np.float32), (place + half + (0, h, 0)).astype(np.float32)


def _overlap(a0: FloatArray, a1: FloatArray, b0: FloatArray, b1: FloatArray) -> bool:
    return bool(((a0 < b1 - 0.005) & (a1 > b0 + 0.005)).all())


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
