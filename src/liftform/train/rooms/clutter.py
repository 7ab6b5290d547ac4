"""Procedural small things, screens, lamps and what hangs on walls."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..textures import Rng
from . import materials
from .geometry import Look, Part, Prop, box, boxes, panel, prop, turned


def carton(rng: Rng, size: float) -> Prop:
    """A box of cardboard, plastic or print."""
    w, h, d = size * rng.uniform(0.4, 1.0, 3) / 2 * (1, 2, 1)
    mood = rng.random()
    if mood < 0.4:
        look = Look(
            materials.concrete(rng).texture, 0.5, materials.linear(np.array([0.95, 0.75, 0.52]) * rng.uniform(0.8, 1.1))
        )
    elif mood < 0.7:
        look = materials.plain(materials.colour(rng))
    else:
        look = Look(materials.picture(rng), float(max(w, h)))
    parts = [box(look, (-w, 0, -d), (w, h, d))]
    if rng.random() < 0.4:
        parts.append(
            box(
                materials.plain(materials.colour(rng)),
                (-w * 1.03, h * 0.85, -d * 1.03),
                (w * 1.03, h * 1.005, d * 1.03),
            )
        )
    return prop(parts, "carton")


def book(rng: Rng) -> Prop:
    """One book, or a pile of up to five."""
    parts, y = [], 0.0
    for _ in range(int(rng.choice([1, 1, 2, 3, 5]))):
        w, h, d = rng.uniform(0.06, 0.11), rng.uniform(0.008, 0.045), rng.uniform(0.09, 0.15)
        cover = Look(materials.picture(rng, 64)) if rng.random() < 0.5 else materials.plain(materials.colour(rng))
        x, z = rng.normal(0, 0.006, 2)
        parts.append(box(materials.plain((0.9, 0.88, 0.82)), (x - w, y, z - d), (x + w - 0.004, y + h - 0.002, z + d)))
        parts.append(panel(cover, (x - w, y + h, z + d), (2 * w, 0, 0), (0, 0, -2 * d)))
        y += h + 0.001
    return prop(parts, "book")


def paper(rng: Rng) -> Prop:
    """A sheet, magazine or leaflet that lies flat."""
    w, d = rng.uniform(0.07, 0.15), rng.uniform(0.1, 0.21)
    look = Look(materials.document(rng))
    return prop(
        [
            box(materials.plain((0.9, 0.9, 0.9)), (-w, 0, -d), (w, 0.002, d)),
            panel(look, (-w, 0.0025, d), (2 * w, 0, 0), (0, 0, -2 * d)),
        ],
        "paper",
    )


def screen(rng: Rng) -> Prop:
    """A monitor on a foot, on or off."""
    w, h = rng.uniform(0.2, 0.36), rng.uniform(0.26, 0.4)
    black = materials.plain(np.full(3, rng.choice([0.03, 0.06, 0.7])), 0.03)
    y = rng.uniform(0.06, 0.16)
    parts = [
        box(black, (-w, y, -0.02), (w, y + h, 0.015)),
        box(black, (-0.03, 0.01, -0.04), (0.03, y + 0.1, -0.02)),
        box(black, (-0.12, 0, -0.1), (0.12, 0.012, 0.08)),
    ]
    parts.append(panel(_display(rng), (-w + 0.012, y + 0.012, 0.0155), (2 * w - 0.024, 0, 0), (0, h - 0.024, 0)))
    return prop(parts, "screen")


def television(rng: Rng) -> Prop:
    """A flat screen to hang or to stand."""
    w = rng.uniform(0.4, 0.8)
    h = w * 2 * 0.57
    parts = [box(materials.plain((0.03, 0.03, 0.03), 0.04), (-w, 0, -0.03), (w, h, 0.02))]
    parts.append(panel(_display(rng), (-w + 0.015, 0.015, 0.0205), (2 * w - 0.03, 0, 0), (0, h - 0.03, 0)))
    return prop(parts, "television")


def _display(rng: Rng) -> Look:
    if rng.random() < 0.45:
        return materials.plain((0.03, 0.03, 0.035), 0.08)
    shine = float(rng.uniform(0.2, 0.8))
    return Look(materials.picture(rng), 1.0, (0.2, 0.2, 0.2), 0.03, (shine, shine, shine))


def keyboard(rng: Rng) -> Prop:
    """A keyboard: a slab with rows of keys."""
    look = materials.plain(np.full(3, rng.choice([0.04, 0.1, 0.8])))
    keys = [
        ((x, 0.016, z), (x + 0.02, 0.024, z + 0.016))
        for x in np.arange(-0.2, 0.19, 0.026)
        for z in np.arange(-0.06, 0.05, 0.022)
    ]
    return prop([box(look, (-0.215, 0, -0.07), (0.215, 0.016, 0.07)), boxes(look, keys)], "keyboard")


def vessel(rng: Rng) -> Prop:
    """A turned thing: bottle, cup, bowl, vase, tin, jar."""
    colour = materials.colour(rng)
    look = materials.plain(colour, 0.05) if rng.random() < 0.7 else Look(materials.picture(rng, 64), 0.15)
    kind, r = rng.integers(5), rng.uniform(0.025, 0.05)
    if kind == 0:
        h = rng.uniform(0.18, 0.32)
        line = [(0.001, 0), (r, 0.0), (r, h * 0.6), (r * 0.35, h * 0.78), (r * 0.35, h), (0.001, h)]
    elif kind == 1:
        line = [(0.001, 0), (r * 0.9, 0), (r, 0.09), (r * 0.92, 0.09), (r * 0.85, 0.01), (0.001, 0.01)]
    elif kind == 2:
        r *= 2.5
        line = [(0.001, 0), (r * 0.4, 0), (r, r * 0.7), (r * 0.95, r * 0.7), (r * 0.4, 0.012), (0.001, 0.012)]
    elif kind == 3:
        h = rng.uniform(0.15, 0.45)
        line = [
            (0.001, 0),
            (h * 0.2, 0),
            (h * rng.uniform(0.2, 0.35), h * 0.4),
            (h * 0.1, h * 0.85),
            (h * 0.16, h),
            (h * 0.1, h * 0.84),
        ]
    else:
        h = rng.uniform(0.06, 0.2)
        line = [(0.001, 0), (r, 0), (r, h), (0.001, h)]
    return prop([turned(look, line, 18)], "vessel")


def desk_lamp(rng: Rng) -> Prop:
    """A table lamp with a shade that glows."""
    h, r = rng.uniform(0.3, 0.55), rng.uniform(0.09, 0.17)
    return prop(_shaded_lamp(rng, h, r), "lamp", lamp=h * 0.85)


def floor_lamp(rng: Rng) -> Prop:
    """A standing lamp with a shade that glows."""
    h, r = rng.uniform(1.3, 1.75), rng.uniform(0.14, 0.24)
    return prop(_shaded_lamp(rng, h, r), "floor lamp", lamp=h * 0.93)


def _shaded_lamp(rng: Rng, height: float, radius: float) -> list[Part]:
    glow = tuple(float(v) for v in rng.uniform(1.2, 3.0) * np.array([1.0, 0.82, 0.58]) ** rng.uniform(0.2, 1.2))
    shade = Look(materials.WHITE, 1, (0.7, 0.65, 0.55), 0.0, (glow[0], glow[1], glow[2]))
    stem = materials.plain(materials.colour(rng), 0.05)
    low = height - radius * rng.uniform(1.0, 1.5)
    return [
        turned(stem, [(0.001, 0), (radius * 0.75, 0), (radius * 0.7, 0.02), (0.012, 0.03), (0.012, low + 0.05)], 14),
        turned(shade, [(radius, low), (radius * rng.uniform(0.5, 0.95), height)], 20),
    ]


def ceiling_lamp(rng: Rng, drop: float) -> Prop:
    """A lamp whose top is the ceiling: panel, disc, tube or pendant ``drop`` metres long."""
    glow = tuple(float(v) for v in rng.uniform(2.5, 6) * np.array([1.0, 0.9, 0.75]) ** rng.uniform(0, 1.5))
    bright = Look(materials.WHITE, 1, (0.8, 0.8, 0.8), 0.0, (glow[0], glow[1], glow[2]))
    kind = rng.integers(4)
    if kind == 0:
        w, d = rng.choice([0.3, 0.6, 0.15]) / 2, rng.choice([0.6, 1.2, 1.2]) / 2
        return prop([box(bright, (-w, 0, -d), (w, 0.05, d))], "panel", lamp=-0.03)
    if kind == 1:
        return prop([turned(bright, [(0.001, 0), (0.1, 0.01), (0.17, 0.05), (0.17, 0.09)])], "disc", lamp=-0.05)
    cord = materials.plain((0.1, 0.1, 0.1))
    shade = (
        turned(bright, [(0.2, 0), (0.14, 0.12), (0.03, 0.2)])
        if kind == 2
        else turned(bright, [(0.001, 0), (0.11, 0.05), (0.15, 0.14), (0.11, 0.23), (0.02, 0.28)])
    )
    return prop([shade, box(cord, (-0.005, 0.15, -0.005), (0.005, 0.2 + drop, 0.005))], "pendant", lamp=-0.04)


def framed(rng: Rng, width: float, height: float) -> Prop:
    """A picture, poster, mirror or board to hang; its back at -Z."""
    look = Look(materials.picture(rng, 128), 1.0, gloss=float(rng.choice([0.0, 0.04])))
    w, edge = width / 2, float(rng.choice([0.0, 0.015, 0.04]))
    frame = materials.surface(rng)
    parts = [box(frame, (-w - edge, 0, 0), (w + edge, height + 2 * edge, 0.008 + edge * 0.5))]
    parts.append(panel(look, (-w, edge, 0.0085 + edge * 0.5), (width, 0, 0), (0, height, 0)))
    return prop(parts, "picture")


def plate(rng: Rng) -> Prop:
    """A light switch, a socket, a thermostat or a clock."""
    shade = materials.plain(np.full(3, rng.uniform(0.75, 0.95)))
    if rng.random() < 0.2:
        r = float(rng.uniform(0.1, 0.18))
        face = Look(materials.document(rng), 1.0)
        rim = materials.plain(materials.colour(rng))
        return prop(
            [
                box(rim, (-r, 0, 0), (r, 2 * r, 0.025)),
                panel(face, (-r * 0.9, r * 0.1, 0.0255), (1.8 * r, 0, 0), (0, 1.8 * r, 0)),
            ],
            "clock",
        )
    w, h = rng.uniform(0.035, 0.08), rng.uniform(0.07, 0.13)
    return prop(
        [
            box(shade, (-w, 0, 0), (w, h, 0.012)),
            box(materials.plain((0.5, 0.5, 0.5)), (-w * 0.4, h * 0.3, 0.012), (w * 0.4, h * 0.7, 0.017)),
        ],
        "plate",
    )


#: Small procedural things that stand on boards and table tops.
SMALL: tuple[Callable[[Rng], Prop], ...] = (
    book,
    book,
    vessel,
    vessel,
    vessel,
    paper,
    paper,
    lambda rng: carton(rng, float(rng.uniform(0.06, 0.25))),
)
