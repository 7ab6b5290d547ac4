"""One scene: its layout, things and light, then its views as samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ...camera import Camera
from . import RoomOptions, view
from .furnish import Furnisher
from .geometry import Soup
from .layout import Area, Layout, from_plan, random_layout
from .light import Lighting, prepare
from .shell import Site, build, random_sky
from .trace import World

Rng = np.random.Generator


def assemble(options: RoomOptions, room: int) -> tuple[Lighting, Rng]:
    """Scene number ``room`` of a seed, lit; and its generator, from which its cameras follow."""
    rng = np.random.default_rng([options.seed, 77, room])
    if rng.random() < options.outdoor:
        from .outdoor import street

        site = street(options.manifest, rng)
    else:
        site = indoor(options, rng)
    world = World(site.soup)
    return prepare(world, site, rng), rng


def indoor(options: RoomOptions, rng: Rng) -> Site:
    """A furnished storey."""
    layout = _layout(options, rng)
    night = rng.random() < 0.15
    sky = random_sky(rng, float(rng.uniform(0.01, 0.05) if night else np.exp(rng.uniform(np.log(2), np.log(9)))))
    site = Site(Soup(), layout, sky)
    build(site, rng)
    furnisher = Furnisher(site, options.manifest if options.manifest.exists() else None, rng)
    if night:
        furnisher.lit = 1.0
    budget = float(rng.choice([0.5, 1.0, 1.3], p=[0.15, 0.6, 0.25]))
    for area in sorted(layout.areas, key=lambda a: -a.size)[:7]:
        furnisher.furnish(area, budget)
    return site


def _layout(options: RoomOptions, rng: Rng) -> Layout:
    if rng.random() < 0.3:
        paths = sorted(options.plans.glob("*.json"))
        for _ in range(3 if paths else 0):
            layout = from_plan(paths[rng.integers(len(paths))], rng)
            if layout:
                return layout
    return random_layout(rng)


def scene_views(options: RoomOptions, room: int) -> Iterator[dict[str, Any]]:
    """Samples of one scene: key, rgb, depth float16, normals int8, meta."""
    lighting, rng = assemble(options, room)
    made = 0
    for _ in range(options.views * 12):
        if made == options.views:
            break
        camera, pitch, roll = random_camera(lighting, rng)
        if not view.acceptable(lighting.world, camera, rng):
            continue
        shot = view.render(lighting, camera, rng)
        meta = {
            "yfov": camera.yfov, "pitch": pitch, "roll": roll, "height_m": float(camera.position[1]), "room": room,
            "kind": lighting.site.kind, "plan": lighting.site.layout.source, "licence": lighting.site.layout.licence,
        }  # fmt: skip
        yield {
            "key": f"{options.seed:02d}-{room:06d}-{made:02d}",
            "rgb": shot.rgb,
            "depth": shot.depth.astype(np.float16),
            "normals": np.round(shot.normals * 127).astype(np.int8),
            "meta": meta,
        }
        made += 1


def random_camera(lighting: Lighting, rng: Rng) -> tuple[Camera, float, float]:
    """A camera as people hold one; with its pitch and roll (radians)."""
    site = lighting.site
    if site.kind == "outdoor":
        from .outdoor import street_camera

        return street_camera(site, rng)
    if rng.random() < 0.22 and site.targets:
        return close_up(site, rng)
    areas = [a for a in site.layout.areas if a.size > 2.5] or site.layout.areas
    weights = np.array([a.size for a in areas]) ** 0.7
    area = areas[rng.choice(len(areas), p=weights / weights.sum())]
    spot = _spot(area, rng)
    top = site.layout.height - 0.15
    height = float(np.clip(rng.uniform(1.1, 1.75) if rng.random() < 0.7 else rng.uniform(0.4, 2.2), 0.3, top))
    position = np.array([spot[0], height, spot[1]])
    pitch = float(np.clip(rng.normal(-0.2, 0.24), -0.87, 0.35))
    yaw = float(rng.uniform(-np.pi, np.pi))
    inside = [t for t, size in site.targets if size > 0.3 and area.contains(t[None, [0, 2]])[0]]
    inside = [t for t in inside if t[1] < 1.3] or inside  # furniture rather than what hangs
    if inside and rng.random() < 0.8:
        to = inside[rng.integers(len(inside))] - position
        yaw = float(np.arctan2(to[0], to[2]) + rng.normal(0, 0.3))
        aim = float(np.arctan2(to[1], np.hypot(to[0], to[2])))
        pitch = float(np.clip(0.5 * aim + 0.5 * pitch + rng.normal(0, 0.08), -0.87, 0.35))
    return _camera(position, yaw, pitch, rng)


def _camera(position: Any, yaw: float, pitch: float, rng: Rng) -> tuple[Camera, float, float]:
    roll = float(rng.normal(0, 0.03) if rng.random() < 0.75 else np.clip(rng.normal(0, 0.16), -0.5, 0.5))
    height, width = view.SIZES[rng.integers(len(view.SIZES))]
    return Camera.from_fov(width, height, view.fov_of(rng), view.look_at(position, yaw, pitch, roll)), pitch, roll


def _spot(area: Area, rng: Rng) -> Any:
    """A place in a room, often near its walls, where one stands to see most."""
    low, high = area.polygon.min(0), area.polygon.max(0)
    for _ in range(30):
        share = rng.beta(0.7, 0.7, 2)
        spot = low + 0.3 + (high - low - 0.6) * share
        if area.contains(spot[None])[0]:
            return spot
    return (low + high) / 2


def close_up(site: Site, rng: Rng) -> tuple[Camera, float, float]:
    """A near look at a thing and what surrounds it, from above or level."""
    target, size = site.targets[rng.integers(len(site.targets))]
    distance = float(np.clip(size * rng.uniform(0.8, 2.2), 0.3, 2.0))
    yaw, pitch = float(rng.uniform(-np.pi, np.pi)), float(-rng.uniform(0.0, 0.95))
    forward = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    position = target - forward * distance
    position[1] = np.clip(position[1], 0.15, site.layout.height - 0.1)
    return _camera(position, yaw + float(rng.normal(0, 0.12)), pitch + float(rng.normal(0, 0.08)), rng)
