"""Procedural surface textures: noise with natural statistics, wood, tiles, strokes, leaves, spots, print.

Flat pictures without perspective; ``backgrounds`` lays them on floors and walls, ``composites`` on foregrounds.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

FloatArray = NDArray[np.float32]
ByteImage = NDArray[np.uint8]
Rng = np.random.Generator


def texture(rng: Rng, size: int = 256) -> ByteImage:
    """A random texture (size, size, 3) uint8 sRGB."""
    makers = list(_KINDS)
    kind = makers[rng.choice(len(makers), p=np.array(list(_KINDS.values())) / sum(_KINDS.values()))]
    return kind(rng, size)


def palette(rng: Rng, count: int) -> FloatArray:
    """``count`` sRGB colours that go together: near one hue, natural, grey or wild."""
    mood = rng.random()
    if mood < 0.35:
        base = _NATURAL[rng.integers(len(_NATURAL))] + rng.normal(0, 0.06, 3)
        colours = base + rng.normal(0, 0.12, (count, 1)) + rng.normal(0, 0.04, (count, 3))
    elif mood < 0.6:
        colours = rng.uniform(0, 1) + rng.normal(0, 0.18, (count, 1)) + rng.normal(0, 0.025, (count, 3))
    elif mood < 0.85:
        base = rng.uniform(0, 1, 3)
        colours = base + rng.normal(0, 0.15, (count, 1)) + rng.normal(0, 0.08, (count, 3))
    else:
        colours = rng.uniform(0, 1, (count, 3))
    grey = colours.mean(-1, keepdims=True)
    colours = grey + (colours - grey) * rng.uniform(0.3, 1.0)
    out: FloatArray = np.clip(colours, 0.01, 0.99).astype(np.float32)
    return out


def noise(rng: Rng, size: int, slope: float = 1.0, stretch: float = 1.0) -> FloatArray:
    """Tileable noise (size, size) with amplitude spectrum 1/f^slope, zero mean, unit variance; stretched along y."""
    fy = np.fft.fftfreq(size)[:, None] * stretch
    fx = np.fft.rfftfreq(size)[None, :]
    radius = np.hypot(fx, fy)
    radius[0, 0] = 1.0
    spectrum = radius**-slope * np.exp(2j * np.pi * rng.random(radius.shape))
    spectrum[0, 0] = 0.0
    field = np.fft.irfft2(spectrum, s=(size, size))
    return (field / max(float(field.std()), 1e-9)).astype(np.float32)


def ramp(field: FloatArray, colours: FloatArray) -> ByteImage:
    """A scalar field, clipped to [0, 1], through a palette (N, 3) to uint8."""
    stops = np.linspace(0, 1, len(colours))
    table = np.stack([np.interp(np.linspace(0, 1, 256), stops, colours[:, c]) for c in range(3)], -1)
    return (table * 255).astype(np.uint8)[(np.clip(field, 0, 1) * 255).astype(np.uint8)]


def _cloudy(rng: Rng, size: int) -> ByteImage:
    slope = rng.uniform(0.6, 1.8)
    out = ramp(0.5 + noise(rng, size, slope) * rng.uniform(0.1, 0.35), palette(rng, 4)).astype(np.float32)
    for c in range(3):
        out[..., c] += noise(rng, size, slope) * rng.uniform(0, 12)
    return np.clip(out, 0, 255).astype(np.uint8)


def _grain(rng: Rng, size: int) -> ByteImage:
    base = palette(rng, 1)[0]
    field = noise(rng, size, rng.uniform(0.0, 0.7)) * rng.uniform(0.02, 0.14)
    field = field + noise(rng, size, 1.5) * rng.uniform(0.0, 0.08)
    out: ByteImage = (np.clip(base + field[..., None], 0, 1) * 255).astype(np.uint8)
    return out


def _wood(rng: Rng, size: int) -> ByteImage:
    x = np.mgrid[0:size, 0:size][1].astype(np.float32) / size
    warp = noise(rng, size, 1.6, 0.15) * rng.uniform(0.01, 0.06)
    rings = np.sin((x + warp) * 2 * np.pi * rng.integers(4, 24) + noise(rng, size, 1.3, 0.2) * 0.6)
    field = 0.5 + 0.3 * rings + noise(rng, size, 0.7, 0.08) * 0.12
    planks = rng.integers(1, 7)
    index = (x * planks).astype(int)
    field = field + rng.normal(0, 0.15, planks + 1)[index]
    out = ramp(field, palette(rng, 3)).astype(np.float32)
    if planks > 1:
        out *= np.where((x * planks) % 1 < 0.02, 0.5, 1.0)[..., None]
    return out.astype(np.uint8)


def _marble(rng: Rng, size: int) -> ByteImage:
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    phase = (x * rng.integers(0, 5) + y * rng.integers(1, 6)) * 2 * np.pi + noise(rng, size, 1.5) * rng.uniform(0.5, 3)
    return ramp(np.abs(np.sin(phase)) ** rng.uniform(0.3, 2) + noise(rng, size, 0.8) * 0.05, palette(rng, 3))


def _tiles(rng: Rng, size: int) -> ByteImage:
    nx, ny = int(rng.integers(2, 14)), int(rng.integers(2, 14))
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    row = (y * ny).astype(int)
    shifted = x * nx + (row % 2) * rng.choice([0.0, 0.5])
    column = shifted.astype(int) % nx
    field = rng.normal(0.5, rng.uniform(0.02, 0.35), (ny, nx))
    if rng.random() < 0.4:
        field = (np.add.outer(np.arange(ny), np.arange(nx)) % 2) * rng.uniform(0.3, 1.0)
    body = field[row, column] + noise(rng, size, 1.0) * rng.uniform(0.0, 0.12)
    out = ramp(body.astype(np.float32), palette(rng, 4)).astype(np.float32)
    gap = rng.uniform(0.0, 0.06)
    grout = ((shifted % 1) < gap) | (((y * ny) % 1) < gap * ny / nx)
    out[grout] = palette(rng, 1)[0] * 255
    return out.astype(np.uint8)


def _stripes(rng: Rng, size: int) -> ByteImage:
    x = np.mgrid[0:size, 0:size][1].astype(np.float32) / size
    colours = palette(rng, 6)
    warp = noise(rng, size, 1.7) * rng.uniform(0, 0.05)
    bands = np.interp((x + warp) % 1, np.sort(rng.random(12)), rng.random(12)).astype(np.float32)
    if rng.random() < 0.5:
        bands = np.round(np.interp(((x + warp) * rng.integers(1, 8)) % 1, [0, 1], [0, 5])).astype(np.float32) / 5
    if rng.random() < 0.35:
        bands = (bands + bands.T) / 2
    out = ramp(bands + noise(rng, size, 0.5) * 0.03, colours)
    return np.ascontiguousarray(out.swapaxes(0, 1)) if rng.random() < 0.5 else out


def _spots(rng: Rng, size: int) -> ByteImage:
    field = noise(rng, size, rng.uniform(1.5, 2.6)) - noise(rng, size, 2.2) * 0.3
    edge = 1 / (1 + np.exp(-(np.abs(field) - rng.uniform(0.2, 0.8)) * rng.uniform(4, 30)))
    out = ramp(edge.astype(np.float32) + noise(rng, size, 0.6) * 0.06, palette(rng, 3))
    return out


def _strokes(rng: Rng, size: int) -> ByteImage:
    """Fur, grass or straw: thousands of short lines along a slowly turning direction."""
    colours = palette(rng, 6)
    image = Image.fromarray(ramp(0.5 + noise(rng, size, 1.4) * 0.2, colours * rng.uniform(0.4, 1.0)))
    draw = ImageDraw.Draw(image)
    count, length = int(rng.integers(900, 2600)), rng.uniform(6, 40)
    angle = rng.uniform(0, np.pi) + noise(rng, size, 2.2) * rng.uniform(0.05, 0.8)
    at = rng.integers(0, size, (count, 2))
    turn = angle[at[:, 1], at[:, 0]] + rng.normal(0, rng.uniform(0.05, 0.5), count)
    tip = at + np.stack([np.cos(turn), np.sin(turn)], -1) * rng.uniform(0.3, 1, (count, 1)) * length
    shade = np.clip(colours[rng.integers(0, 6, count)] + rng.normal(0, 0.07, (count, 1)), 0, 1) * 255
    for (x0, y0), (x1, y1), colour in zip(at.tolist(), tip.tolist(), shade.astype(int).tolist(), strict=True):
        draw.line((x0, y0, x1, y1), fill=tuple(colour), width=1 if length < 20 else 2)
    return np.asarray(image)


def _leaves(rng: Rng, size: int) -> ByteImage:
    """Dead leaves: occluding ellipses and polygons with power-law sizes (Lee, Mumford & Huang 2001)."""
    colours = palette(rng, 8) if rng.random() < 0.7 else rng.uniform(0, 1, (8, 3))
    image = Image.fromarray(np.full((size, size, 3), colours[0] * 255, np.uint8))
    draw = ImageDraw.Draw(image)
    small, count = rng.uniform(2, 8), int(rng.integers(150, 700))
    radii = np.minimum(small * rng.random(count) ** (-1 / rng.uniform(1.2, 2.5)), size * 0.3)
    for radius in np.sort(radii)[::-1] if rng.random() < 0.5 else radii:
        x, y = rng.uniform(0, size, 2)
        colour = np.clip(colours[rng.integers(len(colours))] + rng.normal(0, 0.06), 0, 1) * 255
        fill = (int(colour[0]), int(colour[1]), int(colour[2]))
        turn, flat, corners = rng.uniform(0, np.pi), rng.uniform(0.25, 1), int(rng.integers(3, 10))
        t = np.linspace(0, 2 * np.pi, corners, endpoint=False)
        px, py = np.cos(t) * radius, np.sin(t) * radius * flat
        points = np.stack([x + px * np.cos(turn) - py * np.sin(turn), y + px * np.sin(turn) + py * np.cos(turn)], -1)
        draw.polygon([tuple(p) for p in points.tolist()], fill=fill)
    out = np.asarray(image).astype(np.float32)
    return np.clip(out + noise(rng, size, 0.8)[..., None] * rng.uniform(0, 14), 0, 255).astype(np.uint8)


def _print(rng: Rng, size: int) -> ByteImage:
    """Flat print: rows of glyph-like marks, boxes, rings and checks on paper."""
    paper, ink = palette(rng, 1)[0] * 0.3 + 0.7, palette(rng, 3)
    image = Image.fromarray((np.ones((size, size, 3)) * paper * 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(3, 14))):
        x, y = rng.uniform(0, size, 2)
        w, h = rng.uniform(8, size * 0.4, 2)
        colour = tuple((ink[rng.integers(3)] * 255).astype(int).tolist())
        shape = rng.integers(4)
        if shape == 0:
            draw.rectangle((x, y, x + w, y + h), fill=colour)
        elif shape == 1:
            draw.ellipse((x, y, x + w, y + w), outline=colour, width=int(rng.integers(1, 6)))
        elif shape == 2:
            cell = max(2.0, w / rng.integers(3, 9))
            for i, j in np.argwhere(rng.random((8, 8)) < 0.5).tolist():
                draw.rectangle((x + i * cell, y + j * cell, x + (i + 1) * cell, y + (j + 1) * cell), fill=colour)
        else:
            for line in np.arange(y, y + h, rng.uniform(4, 9)).tolist():
                for word in np.arange(x, x + w, 9).tolist():
                    draw.line((word, line, word + rng.uniform(3, 8), line), fill=colour, width=2)
    return np.asarray(image)


_NATURAL = np.array(
    [
        (0.30, 0.38, 0.16), (0.16, 0.22, 0.10), (0.45, 0.36, 0.24), (0.62, 0.52, 0.38), (0.75, 0.70, 0.60),
        (0.35, 0.24, 0.15), (0.55, 0.62, 0.70), (0.20, 0.20, 0.20), (0.50, 0.50, 0.48), (0.86, 0.84, 0.80),
        (0.60, 0.40, 0.20), (0.70, 0.60, 0.30), (0.25, 0.30, 0.38),
    ]
)  # fmt: skip

_KINDS: dict[Callable[[Rng, int], ByteImage], float] = {
    _cloudy: 3, _grain: 2, _wood: 2, _marble: 1, _tiles: 2, _stripes: 1, _spots: 1, _strokes: 2, _leaves: 2, _print: 1,
}  # fmt: skip
