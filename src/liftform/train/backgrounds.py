"""Procedural backgrounds: studio sweeps, rooms, tables, streets, landscapes, foliage, bokeh, façades.

Each maker returns a Scene: a square picture and the row of its horizon, under which things stand on the ground.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from .textures import ByteImage, Rng, noise, palette, ramp, texture

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Scene:
    """picture (S, S, 3) uint8 sRGB; horizon: its row as a share of S, negative where the ground fills all."""

    picture: ByteImage
    horizon: float


def scene(rng: Rng, size: int = 320) -> Scene:
    """A random background (size, size)."""
    makers = list(_KINDS)
    shares = np.array(list(_KINDS.values()), float)
    made = makers[rng.choice(len(makers), p=shares / shares.sum())](rng, size)
    return Scene(_muted(_lit(made.picture, rng), rng), made.horizon)


def _muted(picture: ByteImage, rng: Rng) -> ByteImage:
    """Less saturated at random: most of the world is."""
    image = Image.fromarray(picture)
    return np.asarray(Image.blend(image, image.convert("L").convert("RGB"), float(rng.beta(1.2, 1.5))))


def smooth_light(rng: Rng, size: int) -> FloatArray:
    """A slow gain (size, size, 1) around 1: window light, falloff, a shadow's soft edge."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size - 0.5
    turn = rng.uniform(0, 2 * np.pi)
    along = x * np.cos(turn) + y * np.sin(turn)
    field = along * rng.uniform(0, 1.2)
    if rng.random() < 0.4:
        field = field - ((x - rng.normal(0, 0.3)) ** 2 + (y - rng.normal(0, 0.3)) ** 2) * rng.uniform(0, 2.5)
    if rng.random() < 0.25:
        edge = (along + noise(rng, size, 2.2) * rng.uniform(0, 0.1) - rng.normal(0, 0.2)) * rng.uniform(4, 60)
        field = field - rng.uniform(0.2, 1.0) / (1 + np.exp(-edge))
    gain: FloatArray = np.exp(field - field.mean())[..., None].astype(np.float32)
    return gain


def plane(rng: Rng, surface: ByteImage, size: int, horizon: float) -> ByteImage:
    """``surface`` tiled on the ground and seen in perspective, below row ``horizon * size``; above it, its mean."""
    s, n = 2 * size, surface.shape[0]
    top = horizon * s
    rows = np.arange(max(0, int(np.ceil(top + 1))), s, dtype=np.float32)
    z = s / np.maximum(rows + 0.5 - top, 2.0)
    yaw, zoom = rng.uniform(0, 2 * np.pi), rng.uniform(0.12, 0.7) * n
    x = (np.arange(s, dtype=np.float32) / s - 0.5)[None, :] * z[:, None]
    u = (x * np.cos(yaw) - z[:, None] * np.sin(yaw)) * zoom
    v = (x * np.sin(yaw) + z[:, None] * np.cos(yaw)) * zoom
    ground = surface[v.astype(int) % n, u.astype(int) % n]
    mean = surface.mean((0, 1))
    out = np.empty((s, s, 3), np.uint8)
    out[:] = mean.astype(np.uint8)
    far = np.clip((z - 3) / rng.uniform(6, 40), 0, 1)[:, None, None] * 0.9
    out[s - len(rows) :] = (ground * (1 - far) + mean * far).astype(np.uint8)
    return np.asarray(Image.fromarray(out).reduce(2))


def _lit(picture: ByteImage, rng: Rng) -> ByteImage:
    if rng.random() < 0.3:
        return picture
    lit: ByteImage = np.clip(picture * smooth_light(rng, picture.shape[0]), 0, 255).astype(np.uint8)
    return lit


def _plain(rng: Rng, size: int) -> Scene:
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    turn = rng.uniform(0, 2 * np.pi)
    field = 0.5 + ((x - 0.5) * np.cos(turn) + (y - 0.5) * np.sin(turn)) * rng.uniform(0, 1)
    colours = palette(rng, int(rng.integers(1, 4)))
    if rng.random() < 0.45:  # white and grey paper are what product photographs stand on
        colours = np.clip(rng.uniform(0.55, 1.0) + rng.normal(0, 0.03, (2, 3)), 0, 1).astype(np.float32)
    if rng.random() < 0.25:
        colours = np.ones((1, 3), np.float32) * rng.choice([1.0, 0.99, 0.97, 0.0])
    return Scene(ramp(field, colours), -1.0 if rng.random() < 0.5 else rng.uniform(0.3, 0.6))


def _sweep(rng: Rng, size: int) -> Scene:
    """A paper sweep: floor and wall that melt into each other."""
    horizon = rng.uniform(0.25, 0.7)
    y = np.mgrid[0:size, 0:size][0].astype(np.float32) / size
    t = 1 / (1 + np.exp(-(y - horizon) / rng.uniform(0.004, 0.12)))
    grey = np.clip(rng.uniform(0.3, 1) + rng.normal(0, 0.06, (2, 3)), 0, 1)
    wall, floor = palette(rng, 2) if rng.random() < 0.6 else grey
    picture = wall * (1 - t[..., None]) + floor * t[..., None]
    return Scene((np.clip(picture + rng.normal(0, 0.01, (size, size, 1)), 0, 1) * 255).astype(np.uint8), horizon)


def _surface(rng: Rng, size: int) -> Scene:
    """One texture: seen flat, or as a table or floor that fills the picture."""
    made = texture(rng, 256)
    if rng.random() < 0.45:
        scale = int(size * rng.uniform(0.8, 2.0))
        big = Image.fromarray(made).resize((scale, scale), Image.Resampling.BICUBIC)
        tiled = np.tile(np.asarray(big), (2, 2, 1)) if scale < size else np.asarray(big)
        return Scene(np.ascontiguousarray(tiled[:size, :size]), -1.0)
    horizon = rng.uniform(-1.2, -0.05)
    return Scene(plane(rng, made, size, horizon), horizon)


def _table(rng: Rng, size: int) -> Scene:
    """A table or floor with flat things on it: sheets, charts, markers, mats, cloths, plates drawn in perspective."""
    sheet = Image.fromarray(texture(rng, 256)).resize((768, 768), Image.Resampling.BICUBIC)
    if rng.random() < 0.5:
        sheet = Image.new("RGB", (768, 768), tuple((palette(rng, 1)[0] * 255).astype(int).tolist()))
    for _ in range(int(rng.integers(1, 9))):
        side = int(rng.uniform(40, 420))
        item = Image.fromarray(texture(rng, 128) if rng.random() < 0.6 else _marker(rng)).resize((side, side))
        shape = Image.new("L", (side, side), 0)
        draw = ImageDraw.Draw(shape)
        if rng.random() < 0.65:
            draw.rectangle((0, 0, side, side * rng.uniform(0.3, 1)), fill=255)
        else:
            draw.ellipse((0, 0, side, side), fill=255)
        turn = rng.uniform(0, 360)
        item, shape = item.rotate(turn, expand=True), shape.rotate(turn, expand=True)
        sheet.paste(item, (int(rng.uniform(-100, 600)), int(rng.uniform(-100, 600))), shape)
    horizon = rng.uniform(-2.0, -0.15) if rng.random() < 0.7 else rng.uniform(0.05, 0.4)
    picture = plane(rng, np.asarray(sheet), size, horizon)
    if horizon > 0:
        picture = _above(picture, _wall(rng, size), horizon)
    return Scene(picture, horizon)


def _marker(rng: Rng) -> ByteImage:
    """A fiducial, checker or colour chart (128, 128, 3)."""
    cells = int(rng.integers(3, 9))
    board = (rng.random((cells, cells)) < 0.5).astype(np.uint8)
    if rng.random() < 0.4:
        board = np.indices((cells, cells)).sum(0).astype(np.uint8) % 2
    if rng.random() < 0.25:
        chart: ByteImage = np.kron(rng.random((cells, cells, 3)) * 255, np.ones((24, 24, 1))).astype(np.uint8)
        return chart
    board = np.pad(board, 1)
    marker: ByteImage = np.kron(board[..., None] * 230 + 10, np.ones((20, 20, 3))).astype(np.uint8)
    return marker


def _above(below: ByteImage, above: ByteImage, horizon: float) -> ByteImage:
    cut = int(np.clip(horizon, 0, 1) * below.shape[0])
    return np.vstack([above[:cut], below[cut:]])


def _wall(rng: Rng, size: int) -> ByteImage:
    """A wall with pictures, windows, shelves or boards on it, or a façade."""
    made = texture(rng, 256) if rng.random() < 0.5 else _plain(rng, 256).picture
    wall = Image.fromarray(made).resize((size, size), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(wall)
    if rng.random() < 0.35:
        _repeat(rng, draw, size)
    for _ in range(int(rng.integers(0, 7))):
        w, h = rng.uniform(0.05, 0.5, 2) * size
        x, y = rng.uniform(-0.1, 1.0, 2) * size
        if rng.random() < 0.5:
            inner = Image.fromarray(scene_patch(rng)).resize((max(2, int(w)), max(2, int(h))))
            wall.paste(inner, (int(x), int(y)))
        colour = tuple((palette(rng, 1)[0] * 255).astype(int).tolist())
        draw.rectangle((x, y, x + w, y + h), outline=colour, width=int(rng.integers(1, 9)))
        if rng.random() < 0.3:
            draw.rectangle((0, y + h, size, y + h + rng.uniform(2, 14)), fill=colour)
    return np.asarray(wall)


def scene_patch(rng: Rng) -> ByteImage:
    """What hangs in a frame or shines through a window (96, 96, 3)."""
    return texture(rng, 96) if rng.random() < 0.6 else _plain(rng, 96).picture


def _repeat(rng: Rng, draw: ImageDraw.ImageDraw, size: int) -> None:
    """Rows of windows, columns, books or railings."""
    nx, ny = int(rng.integers(2, 24)), int(rng.integers(1, 9))
    colours = (palette(rng, 5) * 255).astype(int).tolist()
    fill_x, fill_y = rng.uniform(0.3, 0.95, 2)
    for j in range(ny):
        for i in range(nx):
            jitter = rng.uniform(0.7, 1.0) if nx > 10 else 1.0
            x, y = i * size / nx, (j + 1 - fill_y * jitter) * size / ny
            draw.rectangle(
                (x, y, x + fill_x * size / nx, (j + 1) * size / ny - 1), fill=tuple(colours[rng.integers(5)])
            )


def _room(rng: Rng, size: int) -> Scene:
    """Floor and wall, sometimes a corner, a skirting board, a box to stand behind things."""
    horizon, edge = rng.uniform(0.1, 0.5), 0.0
    floor = plane(rng, texture(rng, 256), size, horizon)
    edge = horizon + rng.uniform(0.03, 0.3)
    wall = _wall(rng, size)
    if rng.random() < 0.4:
        side = np.clip(_wall(rng, size) * rng.uniform(0.5, 1.0), 0, 255).astype(np.uint8)
        column = int(rng.uniform(0.1, 0.9) * size)
        wall = np.hstack([wall[:, :column], side[:, column:]])
    picture = Image.fromarray(_above(floor, wall, edge))
    draw = ImageDraw.Draw(picture)
    if rng.random() < 0.5:
        colour = tuple((palette(rng, 1)[0] * 255).astype(int).tolist())
        draw.rectangle((0, (edge - rng.uniform(0.01, 0.05)) * size, size, edge * size), fill=colour)
    return Scene(np.asarray(picture), edge)


def _facade(rng: Rng, size: int) -> Scene:
    """A wall that fills the picture, skewed in perspective."""
    wall = Image.fromarray(_wall(rng, size))
    a, b, c, d, e, f, g, h = (rng.uniform(0, 0.3, 8) * size).tolist()
    quad = (a, b, c, size - d, size - e, size - f, size - g, h)
    skewed = wall.transform((size, size), Image.Transform.QUAD, quad, Image.Resampling.BILINEAR)
    return Scene(np.asarray(skewed), -1.0 if rng.random() < 0.5 else rng.uniform(0.6, 0.9))


def _sky(rng: Rng, size: int) -> FloatArray:
    y = np.mgrid[0:size, 0:size][0].astype(np.float32)[..., None] / size
    tops = np.array([(0.25, 0.45, 0.8), (0.5, 0.65, 0.85), (0.6, 0.62, 0.66), (0.1, 0.12, 0.25), (0.85, 0.6, 0.45)])
    lows = np.array([(0.75, 0.85, 0.95), (0.85, 0.9, 0.95), (0.85, 0.85, 0.85), (0.4, 0.35, 0.45), (0.98, 0.85, 0.65)])
    kind = int(rng.integers(5))
    t = np.clip(y * rng.uniform(1, 2.5), 0, 1)
    sky = (tops[kind] + rng.normal(0, 0.05, 3)) * (1 - t) + (lows[kind] + rng.normal(0, 0.05, 3)) * t
    cloud = np.clip((noise(rng, size, 1.7, rng.uniform(1, 3)) - rng.uniform(-0.5, 1.5)) * rng.uniform(0.2, 0.9), 0, 1)
    veiled: FloatArray = np.clip(sky + cloud[..., None] * (rng.uniform(0.7, 1.0) - sky), 0, 1).astype(np.float32)
    return veiled * 255


def _landscape(rng: Rng, size: int) -> Scene:
    """Sky, ragged skylines of hills, trees and houses, and ground in perspective."""
    horizon = rng.uniform(0.15, 0.65)
    picture = _sky(rng, size)
    x = np.arange(size)
    for layer in range(int(rng.integers(0, 4))):
        rough = np.cumsum(rng.normal(0, 1, size))
        rough = (rough - np.linspace(rough[0], rough[-1], size)) / max(float(np.abs(rough).max()), 1e-6)
        if rng.random() < 0.35:  # houses
            rough = np.repeat(rng.normal(0, 0.7, size // 16 + 1), 16)[:size]
        line = horizon * size - np.clip(0.35 + rough * 0.6, 0, 2) * size * rng.uniform(0.02, 0.25) + layer * size * 0.02
        cover = np.arange(size)[:, None] > line[x][None, :]
        skin = np.asarray(Image.fromarray(texture(rng, 256)).resize((size, size))) * rng.uniform(0.4, 1.0)
        haze = rng.uniform(0, 0.6)
        picture = np.where(cover[..., None], skin * (1 - haze) + np.array([190, 200, 210]) * haze, picture)
    ground = plane(rng, texture(rng, 256), size, horizon)
    return Scene(_above(ground, np.clip(picture, 0, 255).astype(np.uint8), horizon + 0.01), horizon)


def _foliage(rng: Rng, size: int) -> Scene:
    """Leaves, stalks and grass at several depths, each sharper and nearer than the one behind."""
    greens = palette(rng, 6)
    if rng.random() < 0.65:
        greens = np.clip(np.array([0.25, 0.38, 0.15]) + rng.normal(0, 0.12, (6, 1)) + rng.normal(0, 0.05, (6, 3)), 0, 1)
    image = Image.fromarray(ramp(0.4 + noise(rng, size, 1.4) * 0.2, (greens * rng.uniform(0.2, 1)).astype(np.float32)))
    upright = rng.random() < 0.5
    for depth in range(3):
        draw = ImageDraw.Draw(image)
        scale = size * rng.uniform(0.02, 0.12) * (depth + 1) / 2
        for _ in range(int(rng.integers(30, 200) / (depth + 1))):
            x, y = rng.uniform(-0.1, 1.1, 2) * size
            turn = rng.normal(-np.pi / 2, 0.4) if upright else rng.uniform(0, 2 * np.pi)
            long, wide = scale * rng.uniform(0.5, 3), scale * rng.uniform(0.05, 0.4)
            along, across = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
            points = [(x, y)]
            for t, w in ((0.3, 1.0), (0.65, 0.7), (1.0, 0.0), (0.65, -0.7), (0.3, -1.0)):
                points.append(tuple(np.array([x, y]) + along * long * t + across * wide * w))
            colour = np.clip(greens[rng.integers(6)] * (0.5 + 0.25 * depth) + rng.normal(0, 0.06), 0, 1) * 255
            draw.polygon(points, fill=tuple(colour.astype(int).tolist()))
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 3) * (2 - depth)))
    return Scene(np.asarray(image), -1.0 if rng.random() < 0.6 else rng.uniform(0.4, 0.7))


def _bokeh(rng: Rng, size: int) -> Scene:
    """Out-of-focus lights over a blurred scene."""
    behind = _KIND_BEHIND[rng.integers(len(_KIND_BEHIND))](rng, size)
    blurred = Image.fromarray(behind.picture).filter(ImageFilter.GaussianBlur(rng.uniform(5, 20)))
    light = Image.new("RGB", (size, size))
    radius = size * rng.uniform(0.01, 0.07)
    colours = palette(rng, 4)
    for _ in range(int(rng.integers(5, 70))):
        x, y = rng.uniform(0, size, 2)
        dot = Image.new("L", (size, size))
        r = radius * rng.uniform(0.6, 1.3)
        ImageDraw.Draw(dot).ellipse((x - r, y - r, x + r, y + r), fill=int(rng.uniform(30, 160)))
        light.paste(tuple((np.clip(colours[rng.integers(4)] * 1.4, 0, 1) * 255).astype(int).tolist()), mask=dot)
    glow = np.asarray(light.filter(ImageFilter.GaussianBlur(1.0))).astype(np.float32)
    picture = np.asarray(blurred).astype(np.float32) * rng.uniform(0.3, 1) + glow * rng.uniform(0.2, 1)
    return Scene(np.clip(picture, 0, 255).astype(np.uint8), behind.horizon)


_KIND_BEHIND: tuple[Callable[[Rng, int], Scene], ...] = (_plain, _landscape, _foliage, _room)

_KINDS: dict[Callable[[Rng, int], Scene], float] = {
    _plain: 3, _sweep: 2.5, _surface: 2.5, _table: 3, _room: 3, _facade: 1.5, _landscape: 3, _foliage: 2.5, _bokeh: 1,
}  # fmt: skip


def bank(count: int, size: int, seed: int, first: int) -> Iterator[tuple[ByteImage, dict[str, Any]]]:
    """Backgrounds ``first`` to ``first + count``, for packing into a shard."""
    for i in range(first, first + count):
        made = scene(np.random.default_rng([seed, 55, i]), size)
        yield made.picture, {"horizon": float(made.horizon)}


def texture_bank(count: int, size: int, seed: int) -> Iterator[tuple[ByteImage, dict[str, Any]]]:
    """Textures for packing into a shard."""
    for i in range(count):
        yield texture(np.random.default_rng([seed, 56, i]), size), {}
