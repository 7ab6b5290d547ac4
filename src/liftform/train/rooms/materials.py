"""Looks of synthetic rooms: paint, wallpaper, wood, tiles, carpet, fabric, brick, façades, screens and pictures."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw

from ...conventions import srgb_to_linear
from .. import backgrounds
from ..textures import ByteImage, Rng, noise, palette, ramp, texture
from .geometry import Look

WHITE = np.full((1, 1, 3), 255, np.uint8)


def linear(colour: ArrayLike) -> tuple[float, float, float]:
    """An sRGB colour in [0, 1] as linear RGB."""
    r, g, b = srgb_to_linear(np.clip(np.asarray(colour, np.float32), 0, 1)).tolist()
    return (r, g, b)


def plain(colour: ArrayLike, gloss: float = 0.0) -> Look:
    """One colour (sRGB)."""
    return Look(WHITE, 1.0, linear(colour), gloss)


def paint_colour(rng: Rng) -> NDArray[np.float64]:
    """A wall's paint: mostly white, cream or grey, at times coloured or dark (sRGB)."""
    mood = rng.random()
    if mood < 0.5:
        base = rng.uniform(0.72, 0.95) + rng.normal(0, 0.015, 3) + np.array([0.015, 0.0, -0.03]) * rng.normal(0.6, 1)
    elif mood < 0.75:
        base = np.array([0.86, 0.78, 0.64]) * rng.uniform(0.6, 1.05) + rng.normal(0, 0.04, 3)
    elif mood < 0.93:
        base = rng.uniform(0.35, 0.85) + rng.normal(0, 0.09, 3)
    else:
        base = rng.uniform(0.1, 0.45) + rng.normal(0, 0.1, 3)
    out: NDArray[np.float64] = np.clip(base, 0.03, 0.97)
    return out


def colour(rng: Rng) -> NDArray[np.float64]:
    """A thing's colour (sRGB): dark and light greys, browns, and now and then a strong one."""
    out: NDArray[np.float64] = palette(rng, 1)[0].astype(np.float64)
    if rng.random() < 0.3:
        out = np.clip(rng.choice([0.06, 0.12, 0.25, 0.6, 0.88]) + rng.normal(0, 0.03, 3), 0.02, 0.97)
    return out


def _mottled(rng: Rng, size: int, low: float, high: float, slope: float) -> NDArray[np.float32]:
    return (1 + noise(rng, size, slope) * rng.uniform(low, high)).astype(np.float32)


def _image(field: NDArray[np.floating]) -> ByteImage:
    return np.clip(field * 255, 0, 255).astype(np.uint8)


def paint(rng: Rng, base: ArrayLike | None = None) -> Look:
    """Painted plaster: fine grain over slow stains."""
    shade = paint_colour(rng) if base is None else np.asarray(base)
    field = _mottled(rng, 128, 0.0, 0.012, 0.4) * _mottled(rng, 128, 0.0, 0.03 * rng.random() ** 2, 1.8)
    return Look(_image(field[..., None] * shade), rng.uniform(1.5, 4))


def wood(rng: Rng, boards: int | None = None) -> Look:
    """Boards along the texture's y, with rings, knots and joints; ``boards`` across one repeat."""
    size, count = 256, int(rng.integers(4, 9)) if boards is None else boards
    x = np.mgrid[0:size, 0:size][1].astype(np.float32) / size
    base = _WOODS[rng.integers(len(_WOODS))] * rng.uniform(0.7, 1.2) + rng.normal(0, 0.03, 3)
    grain = noise(rng, size, rng.uniform(0.8, 1.3), 0.06) * rng.uniform(0.03, 0.12)
    rings = np.sin((x + noise(rng, size, 1.7, 0.12) * 0.03) * 2 * np.pi * rng.integers(8, 40)) * rng.uniform(0, 0.08)
    index = np.minimum((x * count).astype(int), count - 1)
    field = 1 + grain + rings + rng.normal(0, rng.uniform(0.02, 0.14), count)[index]
    if count > 1:
        y = np.mgrid[0:size, 0:size][0].astype(np.float32) / size
        gap = ((x * count) % 1 < 0.03) | (np.abs(y - rng.random(count)[index]) < 0.004)
        field = np.where(gap, field * rng.uniform(0.35, 0.8), field)
    return Look(_image(field[..., None] * base), float(count * rng.uniform(0.08, 0.18)), gloss=rng.choice([0.0, 0.03]))


def tiles(rng: Rng, side: float | None = None, base: ArrayLike | None = None) -> Look:
    """Tiles of ``side`` metres with grout, plain, mottled, chequered or patterned."""
    size, n = 256, int(rng.choice([2, 4]))
    shade = (paint_colour(rng) if rng.random() < 0.7 else colour(rng)) if base is None else np.asarray(base)
    other = shade * rng.uniform(0.3, 0.8) if rng.random() < 0.2 else shade
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size * n
    row, column = y.astype(int), x.astype(int)
    chequer = ((row + column) % 2)[..., None]
    field = (shade * (1 - chequer) + other * chequer) * (1 + rng.normal(0, rng.uniform(0, 0.08), (n, n)))[
        row, column, None
    ]
    field = field * (1 + noise(rng, size, 1.2) * rng.uniform(0, 0.1))[..., None]
    gap = rng.uniform(0.01, 0.04)
    field = np.where(((x % 1 < gap) | (y % 1 < gap))[..., None], shade * rng.uniform(0.4, 1.2), field)
    length = side or float(rng.choice([0.1, 0.15, 0.3, 0.3, 0.45, 0.6]))
    return Look(_image(field), length * n, gloss=float(rng.choice([0.0, 0.03, 0.05])))


def carpet(rng: Rng) -> Look:
    """Short pile: noise without structure, or flecks."""
    shade = colour(rng) * 0.8
    field = _mottled(rng, 256, 0.04, 0.14, 0.2) * _mottled(rng, 256, 0.0, 0.08, 1.3)
    return Look(_image(field[..., None] * shade), rng.uniform(0.8, 2.0))


def concrete(rng: Rng) -> Look:
    """Screed, plaster or stone."""
    shade = rng.uniform(0.3, 0.75) + rng.normal(0, 0.02, 3)
    field = _mottled(rng, 256, 0.03, 0.12, rng.uniform(0.9, 1.6)) * _mottled(rng, 256, 0.0, 0.06, 0.2)
    return Look(_image(field[..., None] * shade), rng.uniform(1.5, 4))


def brick(rng: Rng) -> Look:
    """Running bond."""
    size, ny, nx = 256, 8, 3
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    row = (y * ny).astype(int)
    shifted = x * nx + (row % 2) * 0.5
    tone = 1 + rng.normal(0, 0.15, (ny, nx))[row, shifted.astype(int) % nx]
    shade = np.array([(0.6, 0.33, 0.24), (0.72, 0.7, 0.66), (0.5, 0.4, 0.33), (0.85, 0.83, 0.8)])[rng.integers(4)]
    field = (tone * _mottled(rng, size, 0.03, 0.1, 0.8))[..., None] * shade
    mortar = (shifted % 1 < 0.04) | ((y * ny) % 1 < 0.12)
    return Look(_image(np.where(mortar[..., None], rng.uniform(0.45, 0.8), field)), 0.6)


def wallpaper(rng: Rng) -> Look:
    """Stripes, spots or ornaments, quiet against a paint."""
    base = paint_colour(rng)
    pattern = texture(rng, 128).astype(np.float32) / 255
    share = rng.uniform(0.08, 0.5)
    return Look(_image(base * (1 - share) + (pattern - pattern.mean() + base.mean()) * share), rng.uniform(0.4, 1.4))


def fabric(rng: Rng) -> Look:
    """Cloth: plain, striped or patterned."""
    if rng.random() < 0.25:
        return Look(texture(rng, 128), rng.uniform(0.3, 1.0))
    field = _mottled(rng, 128, 0.02, 0.08, 0.3) * _mottled(rng, 128, 0.0, 0.05, 1.5)
    return Look(_image(field[..., None] * colour(rng)), rng.uniform(0.3, 0.8))


def surface(rng: Rng) -> Look:
    """What furniture is made of: wood first, paint, laminate, metal."""
    mood = rng.random()
    if mood < 0.5:
        return wood(rng, int(rng.integers(1, 4)))
    if mood < 0.75:
        return plain(np.clip(rng.uniform(0.75, 0.97) + rng.normal(0, 0.02, 3), 0, 1), rng.choice([0.0, 0.03]))
    return plain(colour(rng), float(rng.choice([0.0, 0.03])))


def wall(rng: Rng, wet: bool = False) -> Look:
    """A wall's look: paint most of the time."""
    mood = rng.random()
    if wet and mood < 0.6:
        return tiles(rng, float(rng.choice([0.1, 0.15, 0.2, 0.3])))
    if mood < 0.72:
        return paint(rng)
    return (wallpaper, wallpaper, brick, concrete, wood)[rng.integers(5)](rng)


def floor(rng: Rng, kind: str = "") -> Look:
    """A floor's look, after the room's kind."""
    wet = kind in ("kitchen", "bath", "wc", "laundry", "entrance")
    mood = rng.random()
    if mood < (0.65 if wet else 0.15):
        return tiles(rng)
    if kind in ("storage", "garage") or mood > 0.95:
        return concrete(rng)
    if mood < 0.68:
        return wood(rng)
    return carpet(rng) if mood < 0.92 else Look(texture(rng, 256), rng.uniform(0.5, 2))


def ceiling(rng: Rng) -> Look:
    """White, rarely tinted, boarded or of office tiles."""
    mood = rng.random()
    if mood < 0.7:
        return paint(rng, np.clip(rng.uniform(0.8, 0.98) + rng.normal(0, 0.01, 3), 0, 1))
    if mood < 0.85:
        return tiles(rng, 0.6, np.full(3, rng.uniform(0.7, 0.95)))
    return wood(rng) if mood < 0.92 else paint(rng)


def picture(rng: Rng, size: int = 128) -> ByteImage:
    """Something to hang: a scene, a print, a texture."""
    mood = rng.random()
    if mood < 0.55:
        return backgrounds.scene(rng, size).picture
    return texture(rng, size) if mood < 0.8 else document(rng, size)


def document(rng: Rng, size: int = 128) -> ByteImage:
    """A printed page: lines of text, a heading, a picture."""
    sheet = Image.new(
        "RGB", (size, size), tuple(int(v) for v in np.clip(rng.uniform(215, 250) + rng.normal(0, 4, 3), 0, 255))
    )
    draw = ImageDraw.Draw(sheet)
    if rng.random() < 0.6:
        w, h = int(rng.uniform(0.2, 0.9) * size), int(rng.uniform(0.15, 0.5) * size)
        inner = Image.fromarray(texture(rng, 64)).resize((w, h))
        sheet.paste(inner, (int(rng.uniform(0.05, 0.95) * (size - w)), int(rng.uniform(0.02, 0.6) * size)))
    y = rng.uniform(0.05, 0.5) * size
    while y < size * 0.93:
        end = rng.uniform(0.5, 0.92) * size
        draw.line((0.08 * size, y, end, y), fill=(int(rng.uniform(30, 110)),) * 3, width=int(rng.integers(1, 3)))
        y += rng.uniform(3, 8)
    return np.asarray(sheet)


def spines(rng: Rng) -> ByteImage:
    """A row of book spines, upright (128, 128, 3)."""
    image = Image.new("RGB", (128, 128), (20, 18, 16))
    draw = ImageDraw.Draw(image)
    colours, x = (palette(rng, 8) * 255).astype(int).tolist(), 0
    while x < 128:
        w, top = int(rng.integers(4, 14)), int(rng.uniform(0, 34))
        draw.rectangle((x, top, x + w - 1, 128), fill=tuple(colours[rng.integers(8)]))
        if rng.random() < 0.6:
            y = int(rng.uniform(top + 8, 90))
            draw.rectangle((x + 1, y, x + w - 2, y + int(rng.integers(4, 25))), fill=tuple(colours[rng.integers(8)]))
        x += w
    return np.asarray(image)


def facade(rng: Rng) -> ByteImage:
    """One storey, two windows wide (128, 128, 3): tiles over a building."""
    base = (colour(rng) * 255).astype(int) if rng.random() < 0.5 else (np.asarray(paint_colour(rng)) * 230).astype(int)
    field = np.clip(base * _mottled(rng, 128, 0.02, 0.08, 0.9)[..., None], 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        small = Image.fromarray(brick(rng).texture).resize((128, 128))
        field = np.asarray(small)
    image = Image.fromarray(field)
    draw = ImageDraw.Draw(image)
    w, h, y = rng.uniform(18, 50), rng.uniform(40, 100), rng.uniform(8, 24)
    frame = tuple((np.clip(colour(rng) + 0.2, 0, 1) * 255).astype(int).tolist())
    for left in (32 - w / 2, 96 - w / 2):
        pane = tuple((np.clip(np.array([0.2, 0.25, 0.3]) * rng.uniform(0.3, 2), 0, 1) * 255).astype(int).tolist())
        draw.rectangle((left, y, left + w, y + h), fill=pane, outline=frame, width=int(rng.integers(2, 5)))
        draw.line((left + w / 2, y, left + w / 2, y + h), fill=frame, width=2)
    if rng.random() < 0.4:
        draw.rectangle((0, 120, 128, 128), fill=frame)
    return np.asarray(image)


def foliage(rng: Rng) -> ByteImage:
    """Leaves or grass, mostly green (128, 128, 3)."""
    greens = np.clip(
        np.array([0.24, 0.36, 0.12]) * rng.uniform(0.6, 1.4)
        + rng.normal(0, 0.05, (4, 1))
        + rng.normal(0, 0.03, (4, 3)),
        0,
        1,
    )
    return ramp(0.5 + noise(rng, 128, rng.uniform(0.2, 0.9)) * 0.25, greens.astype(np.float32))


_WOODS = np.array(
    [
        (0.72, 0.53, 0.34), (0.55, 0.36, 0.21), (0.38, 0.23, 0.14), (0.80, 0.66, 0.48), (0.62, 0.55, 0.47),
        (0.45, 0.27, 0.17), (0.85, 0.75, 0.60), (0.28, 0.19, 0.14), (0.66, 0.42, 0.24),
    ]
)  # fmt: skip
