"""Light in a finished scene: lamps, windows, sun and sky with soft shadows, and several bounces between patches.

Every quantity is exitant: irradiance over pi, so that radiance = albedo x light. Patches hold what gather rays bring
back (radiosity by Monte Carlo form factors); each picture then gathers anew at every pixel (final gathering).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .shell import Lamp, Site, Sky
from .trace import Hits, World

FloatArray = NDArray[np.float32]
_LIFT = 2e-3


@dataclass
class Lighting:
    """world and its lamps; radiance (P, 2, 3): what the front and back of each patch send out."""

    world: World
    site: Site
    radiance: FloatArray

    @property
    def open_air(self) -> bool:
        """Whether the sky lights the scene directly, instead of through windows."""
        return self.site.kind == "outdoor"


def prepare(world: World, site: Site, rng: np.random.Generator, rays: int = 40, bounces: int = 4) -> Lighting:
    """Solve the light between patches."""
    lighting = Lighting(world, site, np.zeros((world.patches, 2, 3), np.float32))
    points, normals, owner, albedo, shines = _samples(world, rng)
    direct = direct_light(lighting, points, normals, rng, 4)
    directions = hemisphere(normals, rays, rng)
    starts = np.repeat(points, rays, 0) + np.repeat(normals, rays, 0) * _LIFT
    hits = world.tracer.cast(starts, directions)
    slot = owner[:, 0] * 2 + owner[:, 1]
    count = np.maximum(np.bincount(slot, minlength=world.patches * 2), 1)[:, None]

    def per_patch(values: FloatArray) -> FloatArray:
        sums = np.stack([np.bincount(slot, values[:, k], world.patches * 2) for k in range(3)], -1)
        return (sums / count).reshape(world.patches, 2, 3).astype(np.float32)

    own = per_patch(albedo * np.where(shines[:, None], 0, direct))  # what shines is a lamp, and counted as one
    lighting.radiance = own
    for _ in range(bounces):
        gathered = incoming(lighting, hits, directions).reshape(-1, rays, 3).mean(1)
        lighting.radiance = own + per_patch(albedo * gathered)
    return lighting


def _samples(
    world: World, rng: np.random.Generator, each: int = 2
) -> tuple[FloatArray, FloatArray, NDArray[np.int64], FloatArray, NDArray[np.bool_]]:
    """Points on every patch, on both sides: points, normals, (patch, side), albedo, whether they shine themselves."""
    order = np.argsort(world.patch, kind="stable")
    cumulative = np.cumsum(world.area[order].astype(np.float64) + 1e-12)
    first = np.searchsorted(world.patch[order], np.arange(world.patches))
    last = np.searchsorted(world.patch[order], np.arange(world.patches), side="right") - 1
    used = np.flatnonzero(last >= first)
    low = np.where(first[used] > 0, cumulative[first[used] - 1], 0.0)
    at = low[:, None] + (cumulative[last[used]] - low)[:, None] * rng.random((len(used), each))
    chosen = np.searchsorted(cumulative, at)
    faces = order[np.clip(chosen, first[used][:, None], last[used][:, None])].ravel()
    u, v = rng.random((2, len(faces)))
    over = u + v > 1
    u, v = np.where(over, 1 - u, u).astype(np.float32), np.where(over, 1 - v, v).astype(np.float32)
    hits = Hits(faces.astype(np.int32), u, v, np.zeros(len(faces), np.float32))
    points, normals = world.points(hits), world.facing[faces]
    albedo = world.albedo(hits, np.full(len(faces), 0.3, np.float32))
    shines = world.glow[world.material[faces]].max(-1) > 0
    patch = world.patch[faces]
    owner = np.concatenate([np.stack([patch, np.zeros_like(patch)], -1), np.stack([patch, np.ones_like(patch)], -1)])
    both = np.concatenate([points, points]), np.concatenate([normals, -normals])
    return *both, owner.astype(np.int64), np.tile(albedo, (2, 1)), np.tile(shines, 2)


def incoming(lighting: Lighting, hits: Hits, directions: FloatArray) -> FloatArray:
    """Radiance (N, 3) that gather rays bring back. Indoors nothing comes from outside: windows are lamps there."""
    world = lighting.world
    out = np.zeros((len(hits.face), 3), np.float32)
    found = hits.face >= 0
    face = hits.face[found]
    back = (np.einsum("ij,ij->i", world.facing[face], directions[found]) > 0).astype(np.int64)
    light = lighting.radiance[world.patch[face], back]
    if lighting.open_air:
        out[~found] = sky_radiance(lighting.site.sky, directions[~found])
    else:
        light = np.where(world.outside[world.material[face]][:, None], 0, light)
    out[found] = light
    return out


def hemisphere(normals: FloatArray, rays: int, rng: np.random.Generator) -> FloatArray:
    """Cosine-weighted directions (N * rays, 3) about normals (N, 3)."""
    n = np.repeat(normals, rays, 0)
    d = rng.standard_normal((len(n), 3), dtype=np.float32)
    d /= np.maximum(np.sqrt(np.einsum("ij,ij->i", d, d)), 1e-6)[:, None]
    d += n * 1.0001
    return d


def direct_light(
    lighting: Lighting, points: FloatArray, normals: FloatArray, rng: np.random.Generator, tries: int
) -> FloatArray:
    """Light (N, 3) at points from lamps, windows and the sun, with traced shadows.

    Each try picks one lamp by its unshadowed light there (resampled importance sampling, Talbot et al. 2005).
    """
    tracer = lighting.world.tracer
    start = points + normals * _LIFT
    out = _sunlight(lighting, start, normals, rng)
    lamps = lighting.site.lamps
    if not lamps or not len(points):
        return out
    guess = np.stack([_unshadowed(lamp, lamp.centre[None], points, normals, soft=True) for lamp in lamps], -1)
    weight = guess + 0.02 * guess.mean(-1, keepdims=True) + 1e-9
    total = weight.sum(-1)
    steps = np.cumsum(weight, -1) / total[:, None]
    for _ in range(tries):
        pick = np.minimum((steps < rng.random(len(points))[:, None]).sum(-1), len(lamps) - 1)
        ratio = total / weight[np.arange(len(points)), pick]
        for number, lamp in enumerate(lamps):
            mine = np.flatnonzero(pick == number)
            if not len(mine):
                continue
            a, b = rng.uniform(-1, 1, (2, len(mine), 1)).astype(np.float32)
            ball = rng.standard_normal((len(mine), 3), dtype=np.float32) * lamp.reach * 0.6
            target = lamp.centre + a * lamp.u + b * lamp.v + ball
            strength = _unshadowed(lamp, target, points[mine], normals[mine])
            strength = np.minimum(strength, 2 * guess[mine, number])  # a guess far too low would leave a white speck
            lit = strength > 1e-6
            seen, to = mine[lit], target[lit] - start[mine[lit]]
            distance = np.linalg.norm(to, axis=1)
            free = ~tracer.blocked(start[seen], to, np.maximum(1 - lamp.gap / np.maximum(distance, 1e-6), 0.01))
            keep = seen[free]
            out[keep] += (strength[lit][free] * ratio[keep] / tries)[:, None] * _tinted(lamp)
    return out


def _tinted(lamp: Lamp) -> FloatArray:
    """A lamp's colour, its mean 1."""
    return (lamp.power / max(float(lamp.power.mean()), 1e-9)).astype(np.float32)


def _unshadowed(
    lamp: Lamp, target: FloatArray, points: FloatArray, normals: FloatArray, soft: bool = False
) -> FloatArray:
    """Mean light (N,) that a point of the lamp would give if nothing stood between; soft: a cautious guess."""
    to = target - points
    square = np.maximum(np.einsum("ij,ij->i", to, to), 0.05)
    distance = np.sqrt(square)
    cosine = np.einsum("ij,ij->i", to, normals) / distance
    strength = float(lamp.power.mean())
    if soft:
        cosine = cosine * 0.9 + 0.1
    light = np.maximum(cosine, 0) * strength / square
    if lamp.normal.any():
        away = -(to @ lamp.normal) / distance
        if soft:
            away = away * 0.8 + 0.2
        size = 4 * float(np.linalg.norm(lamp.u) * np.linalg.norm(lamp.v))
        light = light * np.maximum(away, 0) * size / np.pi
        light = np.minimum(light, strength)
    return np.asarray(light, np.float32)


def _sunlight(lighting: Lighting, start: FloatArray, normals: FloatArray, rng: np.random.Generator) -> FloatArray:
    sky = lighting.site.sky
    facing = np.maximum(normals @ sky.sun, 0)
    out = np.zeros((len(start), 3), np.float32)
    if sky.sun_colour.max() < 1e-3:
        return out
    lit = np.flatnonzero(facing > 1e-3)
    towards = sky.sun + rng.normal(0, 0.006, (len(lit), 3)).astype(np.float32)
    free = lit[~lighting.world.tracer.blocked(start[lit], towards)]
    out[free] = facing[free, None] * sky.sun_colour
    return out


def sky_radiance(sky: Sky, directions: FloatArray) -> FloatArray:
    """Radiance (N, 3) of the sky along directions; under the horizon, of far ground."""
    d = directions / np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-9)
    up = np.clip(d[:, 1:2], 0, 1)
    blend = np.sqrt(up)
    colour = sky.horizon * (1 - blend) + sky.zenith * blend
    n = sky.clouds.shape[0]
    flat = d[:, [0, 2]] / (up + 0.12)
    at = np.floor(flat * n * 0.12).astype(np.int64) % n
    cover = sky.clouds[at[:, 1], at[:, 0]].astype(np.float32) / 255
    white = sky.horizon.mean() * 1.15
    colour = colour * (1 - cover) + white * cover
    below = np.clip(-d[:, 1:2] * 8, 0, 1)
    return np.asarray(colour * (1 - below) + sky.ground * below, np.float32)


def gathered_light(
    lighting: Lighting, points: FloatArray, normals: FloatArray, rng: np.random.Generator, rays: int = 24
) -> FloatArray:
    """Light (N, 3) at the points of a picture that comes from the patches and, in the open, from the sky."""
    directions = hemisphere(normals, rays, rng)
    starts = np.repeat(points + normals * _LIFT, rays, 0)
    hits = lighting.world.tracer.cast(starts, directions)
    return np.asarray(incoming(lighting, hits, directions).reshape(-1, rays, 3).mean(1), np.float32)


def mirrored(
    lighting: Lighting, points: FloatArray, normals: FloatArray, directions: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Radiance (N, 3) that comes back along mirrored, slightly rough rays."""
    world = lighting.world
    along = np.einsum("ij,ij->i", directions, normals)[:, None]
    d = directions - 2 * along * normals
    d /= np.maximum(np.linalg.norm(d, axis=1, keepdims=True), 1e-9)
    d = (d + rng.normal(0, 0.04, d.shape)).astype(np.float32)
    hits = world.tracer.cast(points + normals * _LIFT, d)
    out = incoming(lighting, hits, d)
    material = world.material[np.maximum(hits.face, 0)]
    if not lighting.open_air:
        away = (hits.face < 0) | world.outside[material]
        out[away] = sky_radiance(lighting.site.sky, d[away])
    out += np.where((hits.face >= 0)[:, None], world.glow[material], 0)
    return np.asarray(out, np.float32)
