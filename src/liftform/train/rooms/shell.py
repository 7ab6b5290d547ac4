"""The shell of a storey: walls, openings and their fittings, floors, ceilings, and what lies outside."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..textures import Rng, noise
from . import materials, pieces
from .geometry import Look, Part, Soup, box, boxes, moved, sheet
from .layout import Layout, Opening, Wall

FloatArray = NDArray[np.float32]
#: Side of the cells into which large surfaces are cut for indirect light, metres.
CELL = 0.6


@dataclass(frozen=True)
class Lamp:
    """A light. centre (3,); u, v (3,): half edges of a rectangle that shines along ``normal``, or zero for a lamp that
    shines all around; power (3,): radiance of the rectangle, or intensity, linear RGB; gap: metres before the centre
    within which nothing blocks it (its own shade); reach: half the size of a lamp, which softens its shadows."""

    centre: FloatArray
    u: FloatArray
    v: FloatArray
    normal: FloatArray
    power: FloatArray
    gap: float
    reach: float


@dataclass(frozen=True)
class Sky:
    """Light from outside. sun: unit direction towards it; sun_colour: irradiance over pi; zenith, horizon, ground:
    radiance, linear RGB; texture: clouds (S, S, 3) uint8, white where the sky is as the gradient says."""

    sun: FloatArray
    sun_colour: FloatArray
    zenith: FloatArray
    horizon: FloatArray
    ground: FloatArray
    clouds: NDArray[np.uint8]


@dataclass
class Site:
    """A scene under construction. taken: floor rectangles (x0, z0, x1, z1, height) per room; zones: rectangles that
    stay free (doors); placed: what stands where, for checks: (name, low (3,), high (3,), base it rests on)."""

    soup: Soup
    layout: Layout
    sky: Sky
    lamps: list[Lamp] = field(default_factory=list)
    taken: list[tuple[float, float, float, float, float]] = field(default_factory=list)
    zones: list[tuple[float, float, float, float]] = field(default_factory=list)
    placed: list[tuple[str, FloatArray, FloatArray, float]] = field(default_factory=list)
    targets: list[tuple[FloatArray, float]] = field(default_factory=list)
    kind: str = "indoor"


def random_sky(rng: Rng, brightness: float) -> Sky:
    """Clear, cloudy, overcast or evening; radiance of the zenith about ``brightness``."""
    mood, azimuth, height = rng.random(), rng.uniform(-np.pi, np.pi), rng.uniform(0.12, 1.2)
    sun = np.array([np.sin(azimuth) * np.cos(height), np.sin(height), np.cos(azimuth) * np.cos(height)], np.float32)
    if mood < 0.45:
        zenith, horizon, strength = np.array([0.25, 0.45, 0.95]), np.array([0.75, 0.85, 1.0]), rng.uniform(1.5, 5)
    elif mood < 0.85:
        zenith, horizon, strength = np.full(3, 0.8), np.full(3, 0.95), rng.uniform(0.0, 0.6)
    else:
        zenith, horizon, strength = np.array([0.35, 0.38, 0.6]), np.array([1.0, 0.7, 0.45]), rng.uniform(0.3, 2)
    cover = noise(rng, 128, rng.uniform(1.4, 2.0), rng.uniform(1, 3)) * rng.uniform(0.1, 0.5) + rng.uniform(-0.2, 0.4)
    clouds = np.clip(cover, 0, 1)[..., None] * np.ones(3)
    warm = np.array([1.0, 0.9, 0.75]) if height > 0.3 else np.array([1.0, 0.7, 0.4])
    haze = rng.normal(0, 0.03, 3)
    return Sky(
        sun,
        (brightness * strength * warm).astype(np.float32),
        (brightness * np.clip(zenith + haze, 0.02, 2)).astype(np.float32),
        (brightness * np.clip(horizon + haze, 0.02, 2)).astype(np.float32),
        (brightness * 0.35 * np.ones(3)).astype(np.float32),
        (clouds * 255).astype(np.uint8),
    )


def build(site: Site, rng: Rng) -> None:
    """Walls, floors, ceilings and the fittings of every opening."""
    layout, soup = site.layout, site.soup
    inner = [materials.wall(rng, a.kind in ("bath", "wc", "kitchen")) for a in layout.areas]
    if rng.random() < 0.5:  # one paint throughout, but where the walls are tiled
        inner = [inner[0] if rng.random() < 0.8 else look for look in inner]
    trim = (
        materials.plain(np.clip(rng.uniform(0.75, 0.95) + rng.normal(0, 0.02, 3), 0, 1))
        if rng.random() < 0.7
        else materials.wood(rng, 1)
    )
    outer = materials.paint(rng)
    for wall in layout.walls:
        _wall(site, wall, inner, trim, outer)
        for opening in wall.openings:
            _fit(site, wall, opening, trim, rng)
    _floors(site, rng)
    _ceiling(site, rng)
    _skirting(site, trim, rng)
    if soup.pieces and any(o.kind == "window" or w.exterior for w in layout.walls for o in w.openings):
        _outside(site, rng)


def _point(wall: Wall, s: float, across: float, y: float) -> NDArray[np.float64]:
    """World point at ``s`` along the wall, ``across`` from its centre line, height y."""
    ground = wall.a + wall.along * s + np.array([-wall.along[1], wall.along[0]]) * across
    return np.array([ground[0], y, ground[1]])


def _wall(site: Site, wall: Wall, inner: list[Look], trim: Look, outer: Look) -> None:
    """The wall around its openings, as upright blocks; each side wears the paint of the room it faces."""
    h, half = site.layout.height, wall.thickness / 2
    marks = sorted((max(-half, o.start), min(wall.length + half, o.end), o) for o in wall.openings)
    at = -half
    piece = (site.soup.new_piece(), site.soup.new_piece())
    for start, end, opening in marks:
        if start > at + 1e-6:
            _block(site, wall, at, start, 0.0, h, inner, trim, outer, piece)
        if opening.sill > 0.01:
            _block(site, wall, start, end, 0.0, opening.sill, inner, trim, outer, piece)
        if opening.head < h - 0.01:
            _block(site, wall, start, end, opening.head, h, inner, trim, outer, piece)
        at = max(at, end)
    if at < wall.length + half - 1e-6:
        _block(site, wall, at, wall.length + half, 0.0, h, inner, trim, outer, piece)


def _block(
    site: Site, wall: Wall, s0: float, s1: float, y0: float, y1: float,
    inner: list[Look], trim: Look, outer: Look, piece: tuple[int, int],
) -> None:  # fmt: skip
    half, along = wall.thickness / 2, np.array([wall.along[0], 0, wall.along[1]])
    for side, number in ((1.0, piece[0]), (-1.0, piece[1])):
        # u x v must point away from the wall
        origin = _point(wall, s1 if side > 0 else s0, side * half, y0)
        u = along * (s1 - s0) * -side
        _side(site, origin, u, y1 - y0, side, wall, inner, outer, number)
    for s, facing in ((s0, 1), (s1, -1)):
        a, b = _point(wall, s, -half * facing, y0), _point(wall, s, half * facing, y0)
        part, patch = sheet(trim, a, b - a, (0, y1 - y0, 0), CELL)
        site.soup.add(part, patch, piece[0])
    for y in (y0, y1):
        a, b, c = _point(wall, s0, -half, y), _point(wall, s1, -half, y), _point(wall, s0, half, y)
        part, patch = sheet(trim, a, b - a, c - a, CELL)
        site.soup.add(part, patch, piece[0])


def _side(
    site: Site, origin: NDArray[np.float64], u: NDArray[np.float64], height: float, side: float, wall: Wall,
    inner: list[Look], outer: Look, piece: int,
) -> None:  # fmt: skip
    """One side, cut into upright strips where the room before it changes."""
    length = float(np.linalg.norm(u))
    unit = u / max(length, 1e-9)
    off = np.array([-wall.along[1], wall.along[0]]) * side * 0.08
    n = max(1, round(length / 0.1))
    samples = np.array([(origin + unit * length * (k + 0.5) / n)[[0, 2]] + off for k in range(n)])
    rooms = site.layout.area_at(samples)
    cuts = [0, *(np.flatnonzero(np.diff(rooms)) + 1).tolist(), n]
    for a, b in itertools.pairwise(cuts):
        look = outer if rooms[a] < 0 else inner[rooms[a]]
        start = origin + unit * length * a / n
        shift = (float(start[[0, 2]] @ np.abs(unit[[0, 2]])), float(origin[1]))
        part, patch = sheet(look, start, unit * length * (b - a) / n, (0, height, 0), CELL, shift)
        site.soup.add(part, patch, piece)


def _fit(site: Site, wall: Wall, opening: Opening, trim: Look, rng: Rng) -> None:
    """Frames, doors, window crosses, panes, curtains, blinds; registers windows as lights and keeps doorways free."""
    half = wall.thickness / 2
    yaw = float(np.arctan2(-wall.along[1], wall.along[0]))
    width = opening.end - opening.start
    middle = _point(wall, (opening.start + opening.end) / 2, 0, 0)
    reach = 0.75 if opening.kind == "door" else 0.4
    if opening.sill < 0.05:
        corners = np.array(
            [_point(wall, s, k, 0)[[0, 2]] for s in (opening.start, opening.end) for k in (-reach, reach)]
        )
        low, high = corners.min(0), corners.max(0)
        site.zones.append((float(low[0]), float(low[1]), float(high[0]), float(high[1])))
    if opening.kind == "window" or (wall.exterior and opening.kind == "opening"):
        _window(site, wall, opening, trim, rng)
    elif opening.kind == "door":
        if rng.random() < 0.8:
            edge, proud = 0.07, half + 0.012
            w, head = width / 2, opening.head
            spans: list[tuple[ArrayLike, ArrayLike]] = [
                ((-w - edge, 0, -proud), (-w, head + edge, proud)), ((w, 0, -proud), (w + edge, head + edge, proud)),
                ((-w, head, -proud), (w, head + edge, proud)),
            ]  # fmt: skip
            _in_wall(site, boxes(trim, spans, across=False), middle, yaw)
        if wall.exterior or rng.random() < 0.75:
            _door(site, opening, middle, yaw, half, wall.exterior, trim, rng)


def _in_wall(site: Site, part: Part, middle: NDArray[np.float64], yaw: float) -> None:
    site.soup.add(moved(part, middle, yaw))


def _door(
    site: Site, opening: Opening, middle: NDArray[np.float64], yaw: float, half: float, shut: bool, trim: Look, rng: Rng
) -> None:
    """A leaf with panels and handles, hinged at one jamb, shut or ajar."""
    width, head = opening.end - opening.start - 0.01, opening.head - 0.01
    look = trim if rng.random() < 0.6 else materials.surface(rng)
    side = float(rng.choice([-1, 1]))
    angle = 0.0 if shut or rng.random() < 0.35 else float(rng.uniform(0.2, 1.75)) * side
    leaf = [box(look, (0, 0.006, -0.02), (width, head, 0.02))]
    if rng.random() < 0.6:
        rows = int(rng.integers(1, 4))
        ys = np.linspace(0.15, head - 0.12, rows + 1)
        cuts: list[tuple[ArrayLike, ArrayLike]] = [
            ((0.13, a, -0.026), (width - 0.13, b - 0.08, 0.026)) for a, b in itertools.pairwise(ys)
        ]
        leaf.append(boxes(look, cuts, across=False))
    metal = materials.plain(np.full(3, rng.choice([0.15, 0.6])), 0.05)
    leaf.append(boxes(metal, [((width - 0.16, 1.02, z), (width - 0.05, 1.045, z + 0.02)) for z in (-0.07, 0.05)]))
    shift = np.array([np.cos(yaw), 0, -np.sin(yaw)]) * (-width / 2)
    at = middle + shift + np.array([np.sin(yaw), 0, np.cos(yaw)]) * half * 0.6 * (-side)
    piece = site.soup.new_piece()
    for part in leaf:
        site.soup.add(moved(part, at, yaw + angle), piece=piece)
    if angle:
        tip = at + np.array([np.cos(yaw + angle), 0, -np.sin(yaw + angle)]) * width
        low, high = np.minimum(at, tip) - 0.1, np.maximum(at, tip) + 0.1
        site.zones.append((float(low[0]), float(low[2]), float(high[0]), float(high[2])))


def _window(site: Site, wall: Wall, opening: Opening, trim: Look, rng: Rng) -> None:
    """Frame, bars, sill, then what covers it: nothing, a frosted pane, a blind or curtains."""
    width, low, high = opening.end - opening.start, opening.sill, opening.head
    yaw = float(np.arctan2(-wall.along[1], wall.along[0]))
    middle = _point(wall, (opening.start + opening.end) / 2, 0, 0)
    w, t = width / 2, rng.uniform(0.03, 0.07)
    spans: list[tuple[ArrayLike, ArrayLike]] = [
        ((-w, low, -0.03), (w, low + t, 0.03)),
        ((-w, high - t, -0.03), (w, high, 0.03)),
    ]
    columns, rows = max(1, round(width / rng.uniform(0.5, 1.2))), 1 if rng.random() < 0.6 else 2
    spans += [
        ((x - t / 2, low, -0.03), (x + t / 2, high, 0.03)) for x in np.linspace(-w + t / 2, w - t / 2, columns + 1)
    ]
    spans += [((-w, y - t / 2, -0.03), (w, y + t / 2, 0.03)) for y in np.linspace(low, high, rows + 1)[1:-1]]
    _in_wall(site, boxes(trim, spans, across=False), middle, yaw)
    normal = np.array([-wall.along[1], 0, wall.along[0]])
    sides = [
        s
        for s in (1.0, -1.0)
        if site.layout.area_at((middle + normal * s * (wall.thickness / 2 + 0.1))[None, [0, 2]])[0] >= 0
    ]
    if not sides:
        return
    inward = sides[0]
    cover, shade = rng.random(), site.sky.horizon * 0.6 + site.sky.zenith * 0.4
    covered = cover < 0.3
    if covered:
        _blind(site, middle, yaw, w, low, high, wall.thickness / 2 * inward * 0.6, shade, cover < 0.15, rng)
    if rng.random() < 0.35 and opening.sill > 0.3:
        depth = wall.thickness / 2 + 0.06
        z = sorted((0.03 * inward, depth * inward))
        _in_wall(site, box(trim, (-w, low - 0.03, z[0]), (w, low, z[1])), middle, yaw)
    if rng.random() < 0.4:
        _curtains(site, middle, yaw, w, low, high, (wall.thickness / 2 + 0.07) * inward, rng)
    along = np.array([wall.along[0], 0, wall.along[1]])
    centre = middle + np.array([0, (low + high) / 2, 0]) + normal * inward * (wall.thickness / 2 * 0.75)
    power = shade * (0.5 if covered else 0.75)
    arrays = (centre, along * w * 0.9, np.array([0, (high - low) / 2 * 0.9, 0]), normal * inward, power)
    place, u, v, facing, colour = (np.asarray(x, np.float32) for x in arrays)
    site.lamps.append(Lamp(place, u, v, facing, colour, 0.02, 0.0))


def _blind(
    site: Site, middle: NDArray[np.float64], yaw: float, w: float, low: float, high: float, z: float,
    shade: FloatArray, slats: bool, rng: Rng,
) -> None:  # fmt: skip
    """Bright slats or a frosted pane that lets light through."""
    colour = np.clip(rng.uniform(0.7, 0.95) + rng.normal(0, 0.03, 3), 0, 1)
    glow = shade * rng.uniform(0.3, 0.7)
    look = Look(materials.WHITE, 1.0, materials.linear(colour), 0.0, (float(glow[0]), float(glow[1]), float(glow[2])))
    if slats:
        pitch = float(rng.uniform(0.03, 0.06))
        spans: list[tuple[ArrayLike, ArrayLike]] = [
            ((-w, y, z - 0.012), (w, y + pitch * 0.75, z - 0.009)) for y in np.arange(low + 0.02, high - 0.03, pitch)
        ]
        part = boxes(look, spans)
    else:
        bottom = low if rng.random() < 0.6 else float(rng.uniform(low, low + 0.7 * (high - low)))
        part = box(look, (-w, bottom, z - 0.004), (w, high, z))
    site.soup.add(moved(part, middle, yaw), np.zeros(len(part.corners), np.int64))


def _curtains(
    site: Site, middle: NDArray[np.float64], yaw: float, w: float, low: float, high: float, z: float, rng: Rng
) -> None:
    """A pair of curtains beside the window, to the sill or to the floor, on a rod."""
    bottom = 0.02 if rng.random() < 0.6 else max(0.02, low - 0.1)
    top = min(high + rng.uniform(0.05, 0.2), site.layout.height - 0.03)
    cloth = pieces.curtain(rng, float(rng.uniform(0.25, max(0.3, 0.9 * w))), top - bottom)
    half = cloth.size[0] / 2
    for side in (-1, 1):
        x = side * max(w + 0.1 - half, half)
        part = moved(cloth.parts[0], (x, bottom, z))
        site.soup.add(moved(part, middle, yaw))
    rod = box(materials.plain((0.2, 0.17, 0.15)), (-w - 0.25, top, z - 0.012), (w + 0.25, top + 0.025, z + 0.012))
    site.soup.add(moved(rod, middle, yaw))


def _floors(site: Site, rng: Rng) -> None:
    soup, layout = site.soup, site.layout
    x0, z0, x1, z1 = layout.bounds
    part, patch = sheet(materials.wood(rng, 1), (x0, -0.004, z1), (x1 - x0, 0, 0), (0, 0, z0 - z1), 2.0)
    soup.add(part, patch)
    shared = materials.floor(rng)
    for area in layout.areas:
        look = shared if rng.random() < 0.5 else materials.floor(rng, area.kind)
        swap = rng.random() < 0.5
        piece = soup.new_piece()
        for a, b, c, d in area.cells():
            if swap:
                part, patch = sheet(look, (a, 0, b), (0, 0, d - b), (c - a, 0, 0), CELL, (b, a))
            else:
                part, patch = sheet(look, (a, 0, d), (c - a, 0, 0), (0, 0, b - d), CELL, (a, -d))
            soup.add(part, patch, piece)


def _ceiling(site: Site, rng: Rng) -> None:
    """One ceiling over the storey; at times beams under it."""
    soup, layout, h = site.soup, site.layout, site.layout.height
    x0, z0, x1, z1 = layout.bounds
    look = materials.ceiling(rng)
    part, patch = sheet(look, (x0, h, z0), (x1 - x0, 0, 0), (0, 0, z1 - z0), CELL)
    soup.add(part, patch)
    part, patch = sheet(look, (x0, h + 0.3, z1), (x1 - x0, 0, 0), (0, 0, z0 - z1), 2.0)
    soup.add(part, patch)
    if rng.random() < 0.15 and h > 2.4:
        beam, deep, wide = materials.surface(rng), rng.uniform(0.1, min(0.3, h - 2.2)), rng.uniform(0.08, 0.25)
        spans: list[tuple[ArrayLike, ArrayLike]] = [
            ((x, h - deep, z0), (x + wide, h, z1)) for x in np.arange(x0 + 0.5, x1, rng.uniform(0.6, 2.0))
        ]
        soup.add(boxes(beam, spans))


def _skirting(site: Site, trim: Look, rng: Rng) -> None:
    """A board along the foot of each room's walls, but not across doorways."""
    if rng.random() < 0.25:
        return
    high, deep = rng.uniform(0.05, 0.13), 0.012
    openings = [(w, o) for w in site.layout.walls for o in w.openings if o.sill < 0.01]
    for area in site.layout.areas:
        spans: list[tuple[ArrayLike, ArrayLike]] = []
        for a, b in zip(area.polygon, np.roll(area.polygon, -1, axis=0), strict=True):
            length = float(np.linalg.norm(b - a))
            if length < 0.1:
                continue
            unit = (b - a) / length
            for s0, s1 in _clear(a, unit, length, openings):
                p, q = a + unit * s0, a + unit * s1
                low, high_xz = np.minimum(p, q) - deep, np.maximum(p, q) + deep
                spans.append(((low[0], 0, low[1]), (high_xz[0], high, high_xz[1])))
        if spans:
            site.soup.add(boxes(trim, spans))


def _clear(
    a: NDArray[np.float64], unit: NDArray[np.float64], length: float, openings: list[tuple[Wall, Opening]]
) -> list[tuple[float, float]]:
    """The parts of an edge that no floor-level opening crosses."""
    cuts = []
    for wall, o in openings:
        across = np.array([-unit[1], unit[0]])
        if abs(float((wall.a - a) @ across)) < wall.thickness / 2 + 0.05 and abs(float(wall.along @ across)) < 0.1:
            ends = sorted(float((wall.a + wall.along * s - a) @ unit) for s in (o.start, o.end))
            cuts.append((ends[0] - 0.07, ends[1] + 0.07))
    out, at = [], 0.0
    for s0, s1 in sorted(cuts):
        if s0 > at + 0.05:
            out.append((at, min(s0, length)))
        at = max(at, s1)
    if at < length - 0.05:
        out.append((at, length))
    return [(p, q) for p, q in out if q > p]


def _outside(site: Site, rng: Rng) -> None:
    """Ground and a few buildings and hedges beyond the windows, lit by the open sky."""
    x0, z0, x1, z1 = site.layout.bounds
    drop = float(rng.choice([-0.15, -0.15, -3.0, -6.0, -12.0]))
    grass = Look(materials.foliage(rng), 4.0) if rng.random() < 0.6 else materials.concrete(rng)
    for a, b, c, d in ((-90, -90, 90, z0), (-90, z1, 90, 90), (-90, z0, x0, z1), (x1, z0, 90, z1)):
        part, patch = sheet(grass, (a, drop, d), (c - a, 0, 0), (0, 0, b - d))
        site.soup.add(part, patch, outside=True)
    for _ in range(int(rng.integers(2, 9))):
        angle, far = rng.uniform(-np.pi, np.pi), rng.uniform(6, 45)
        x, z = (
            (x0 + x1) / 2 + np.sin(angle) * (far + (x1 - x0) / 2 + 6),
            (z0 + z1) / 2 + np.cos(angle) * (far + (z1 - z0) / 2 + 6),
        )
        w, h = rng.uniform(2, 8), rng.uniform(2, 14)
        look = (
            Look(materials.facade(rng), rng.uniform(3, 6)) if rng.random() < 0.6 else Look(materials.foliage(rng), 2.0)
        )
        site.soup.add(box(look, (x - w, drop, z - w * 0.7), (x + w, drop + h, z + w * 0.7)), outside=True)
