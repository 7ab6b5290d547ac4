"""Streets, parks and yards under an open sky, so that a network knows sky, ground and distance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...camera import Camera
from ..textures import Rng
from . import corpus, materials, view
from .geometry import Look, Prop, Soup, box, boxes, moved, prop, sheet, turned
from .layout import Area, Layout, Wall
from .place import bounds
from .shell import Site, random_sky


def street(manifest: Path, rng: Rng) -> Site:
    """A street with houses, or a park; the road runs along z."""
    city = rng.random() < 0.7
    half = float(rng.uniform(2.5, 6.0))
    walk = half + float(rng.uniform(1.2, 4.0)) * (1 if city else 0)
    length = 70.0
    corner = [np.array(p) for p in ((-walk, -length), (walk, -length), (walk, length), (-walk, length))]
    walls = [Wall(corner[0], corner[1], 0.1, True)]
    layout = Layout(walls, [Area(np.array(corner), "street")], 50.0, "street" if city else "park")
    site = Site(Soup(), layout, random_sky(rng, float(rng.uniform(0.7, 1.6))), kind="outdoor")
    _ground(site, half, walk, length, city, rng)
    yard = _Yard(site, manifest if manifest.exists() else None, rng)
    if city:
        _houses(site, walk, length, rng)
    yard.fill(half, walk, length, city)
    return site


def _ground(site: Site, half: float, walk: float, length: float, city: bool, rng: Rng) -> None:
    """Road, markings, kerbs and pavements; beyond them grass or yards."""
    far = 260.0
    wild = Look(materials.foliage(rng), 3.0) if rng.random() < 0.7 or not city else materials.concrete(rng)
    base, patch = sheet(wild, (-far, -0.02, far), (2 * far, 0, 0), (0, 0, -2 * far), 20.0)
    site.soup.add(base, patch)
    grey = rng.uniform(0.18, 0.5)
    road = (
        materials.concrete(rng)
        if city or rng.random() < 0.4
        else Look(materials.concrete(rng).texture, 3.0, (0.8, 0.65, 0.45))
    )
    road = Look(road.texture, road.scale_m, (grey, grey, grey))
    part, patch = sheet(road, (-half, 0.0, length), (2 * half, 0, 0), (0, 0, -2 * length), 4.0)
    site.soup.add(part, patch)
    if not city:
        return
    white = materials.plain(np.full(3, rng.uniform(0.7, 0.95)))
    dash = rng.uniform(1.5, 4)
    if rng.random() < 0.8:
        for z in np.arange(-length, length, dash * 2):
            part, patch = sheet(white, (-0.07, 0.004, z + dash), (0.14, 0, 0), (0, 0, -dash))
            site.soup.add(part, patch, 0)
    pave = materials.tiles(rng, float(rng.uniform(0.2, 0.6))) if rng.random() < 0.6 else materials.concrete(rng)
    for side in (-1, 1):
        low, high = sorted((side * half, side * walk))
        site.soup.add(box(pave, (low, 0.0, -length), (high, 0.13, length)))


def _houses(site: Site, walk: float, length: float, rng: Rng) -> None:
    """Rows of houses on both sides, of unlike width, height and setback, with gaps and roofs."""
    for side in (-1, 1):
        if rng.random() < 0.12:
            continue
        z, setback = -length, rng.uniform(0.0, 6.0) * (rng.random() < 0.6)
        while z < length:
            w = float(rng.uniform(5, 18))
            if rng.random() < 0.15:
                z += w * 0.7
                continue
            storey = float(rng.uniform(2.8, 3.8))
            h = storey * int(rng.integers(1, 7))
            near = walk + setback + float(rng.uniform(0, 1.5) * (rng.random() < 0.4))
            deep = float(rng.uniform(7, 14))
            x0, x1 = sorted((side * near, side * (near + deep)))
            wall = Look(materials.facade(rng), storey)
            site.soup.add(box(wall, (x0, 0, z), (x1, h, z + w)))
            if rng.random() < 0.5:
                roof = materials.plain(materials.colour(rng))
                site.soup.add(box(roof, (x0 - 0.3, h, z - 0.2), (x1 + 0.3, h + rng.uniform(0.2, 0.6), z + w + 0.2)))
            if rng.random() < 0.4:
                door = box(materials.plain(materials.colour(rng)), (0, 0, 0), (0.1, 2.2, 1.1))
                at = side * near - 0.05
                site.soup.add(moved(door, (at, 0.1, z + w * 0.4)))
            z += w + float(rng.choice([0.0, rng.uniform(0.5, 6)], p=[0.6, 0.4]))


class _Yard:
    """Puts things on the ground without overlap."""

    def __init__(self, site: Site, manifest: Path | None, rng: Rng) -> None:
        self.site, self.rng = site, rng
        self.roles = corpus.roles(manifest) if manifest else {}

    def put(self, role: str, x: float, z: float, y: float, yaw: float) -> None:
        entries = self.roles.get(role)
        thing = corpus.load(entries[self.rng.integers(len(entries))], self.rng) if entries else None
        thing = thing or _tree(self.rng)
        low, high = bounds(thing, (x, y, z), yaw)
        if any(low[0] < t[2] and high[0] > t[0] and low[2] < t[3] and high[2] > t[1] for t in self.site.taken):
            return
        self.site.soup.place(thing, (x, y, z), yaw)
        self.site.placed.append((thing.name, low, high, y))
        self.site.taken.append((float(low[0]), float(low[2]), float(high[0]), float(high[2]), float(high[1])))
        self.site.targets.append((((low + high) / 2).astype(np.float32), float((high - low).max())))

    def fill(self, half: float, walk: float, length: float, city: bool) -> None:
        """Cars along kerbs and on the road, trees, poles, people, bushes, rocks."""
        rng = self.rng
        if city:
            for kerb in (-1, 1):
                spacing = rng.uniform(5.5, 20)
                for z in np.arange(-length * 0.6, length * 0.6, spacing):
                    if rng.random() < 0.6:
                        role = "vehicle" if rng.random() < 0.7 else "car"
                        self.put(
                            role, kerb * (half - 1.05), float(z + rng.normal(0, 0.5)), 0.0, 0.0 if kerb < 0 else np.pi
                        )
            for _ in range(int(rng.integers(0, 4))):
                self.put(
                    "vehicle",
                    float(rng.choice([-1, 1]) * half * 0.4),
                    float(rng.uniform(-40, 40)),
                    0.0,
                    float(rng.choice([0, np.pi])),
                )
        kinds = (
            ("tree", "pole", "figure", "person", "streetclutter", "bush")
            if city
            else ("tree", "tree", "bush", "rock", "tree", "figure", "clutter")
        )
        for _ in range(int(rng.integers(15, 50) if city else rng.integers(50, 140))):
            role, side = str(rng.choice(kinds)), float(rng.choice([-1, 1]))
            x: float
            if city:
                x, y = side * rng.uniform(half + 0.5, walk - 0.3 if walk > half + 1 else half + 0.6), 0.13
            else:
                x, y = side * (half + abs(float(rng.normal(0, 10))) + 0.5), -0.02
            z = float(rng.uniform(-length * 0.5, length * 0.5))
            if rng.random() < 0.3:
                z *= 0.25
            self.put(role, float(x), z, y, float(rng.uniform(-np.pi, np.pi)))
        if not city and rng.random() < 0.5:
            self.fences(half, length)
        if not city and rng.random() < 0.6:
            self.woods()
        if not city and rng.random() < 0.4:
            for _ in range(int(rng.integers(1, 4))):
                self.put(
                    "house",
                    float(rng.choice([-1, 1]) * rng.uniform(15, 40)),
                    float(rng.uniform(-40, 40)),
                    -0.02,
                    float(rng.uniform(-np.pi, np.pi)),
                )

    def fences(self, half: float, length: float) -> None:
        """A wall, hedge or fence of posts along the way."""
        rng, side = self.rng, float(self.rng.choice([-1, 1]))
        x, h = side * (half + rng.uniform(0.3, 6)), rng.uniform(0.5, 2.2)
        mood = rng.random()
        if mood < 0.6:
            look = materials.brick(rng) if mood < 0.25 else Look(materials.foliage(rng), 1.5)
            self.site.soup.add(box(look, (x - 0.2, -0.02, -length), (x + 0.2, h, length * rng.uniform(0, 1))))
            return
        look = materials.wood(rng, 1)
        spans: list[tuple[Any, Any]] = [((x - 0.05, -0.02, z), (x + 0.05, h, z + 0.1)) for z in np.arange(-40, 40, 1.8)]
        spans += [((x - 0.02, h * k, -40), (x + 0.02, h * k + 0.1, 40)) for k in (0.35, 0.8)]
        self.site.soup.add(boxes(look, spans))

    def woods(self) -> None:
        """The edge of a wood, ragged, some way off on one side or both."""
        rng, look = self.rng, Look(materials.foliage(self.rng), 3.0)
        for side in (-1, 1):
            if rng.random() < 0.3:
                continue
            x, high = side * rng.uniform(18, 60), rng.uniform(4, 11)
            for z in np.arange(-110, 110, 3.0):
                h, r = high * rng.uniform(0.6, 1.15), rng.uniform(2.2, 3.5)
                a = np.linspace(-np.pi / 2, np.pi / 2, 6)
                crown = turned(look, np.stack([np.cos(a) * r + 1e-3, h / 2 + np.sin(a) * h / 2], -1), 7)
                self.site.soup.add(moved(crown, (x + rng.normal(0, 1.2), -0.1, z)))


def _tree(rng: Rng) -> Prop:
    """A trunk under a few balls of leaves."""
    h = float(rng.uniform(3, 8))
    bark = materials.plain((0.3, 0.22, 0.15))
    leaves = Look(materials.foliage(rng), 1.0)
    parts = [turned(bark, [(h * 0.04, 0), (h * 0.025, h * 0.6)], 8)]
    for _ in range(int(rng.integers(2, 6))):
        r = h * rng.uniform(0.12, 0.25)
        a = np.linspace(-np.pi / 2, np.pi / 2, 7)
        ball = turned(leaves, np.stack([np.cos(a) * r + 1e-3, np.sin(a) * r], -1), 10)
        parts.append(moved(ball, (rng.normal(0, h * 0.1), h * rng.uniform(0.6, 0.9), rng.normal(0, h * 0.1))))
    return prop(parts, "tree")


def street_camera(site: Site, rng: Rng) -> tuple[Camera, float, float]:
    """From the road or the pavement at eye or car height, along the street or across it, nearly level."""
    low, high = site.layout.areas[0].polygon.min(0), site.layout.areas[0].polygon.max(0)
    height = float(rng.uniform(1.2, 1.9) if rng.random() < 0.8 else rng.uniform(0.4, 3.5))
    position: Any = np.array([rng.uniform(low[0], high[0]), height, rng.uniform(low[1] * 0.4, high[1] * 0.4)])
    along = rng.random() < 0.6
    yaw = float(rng.choice([0, np.pi]) + rng.normal(0, 0.3) if along else rng.uniform(-np.pi, np.pi))
    pitch = float(np.clip(rng.normal(-0.04, 0.12), -0.6, 0.4))
    if not along and site.targets and rng.random() < 0.5:
        to = site.targets[rng.integers(len(site.targets))][0] - position
        yaw = float(np.arctan2(to[0], to[2]) + rng.normal(0, 0.2))
    roll = float(rng.normal(0, 0.02))
    h, w = view.SIZES[rng.integers(len(view.SIZES))]
    return Camera.from_fov(w, h, view.fov_of(rng), view.look_at(position, yaw, pitch, roll)), pitch, roll
