"""Procedural furniture: tables, shelves with books, cabinets, counters, seats, beds, rugs, curtains, stairs."""

from __future__ import annotations

import itertools

import numpy as np

from ..textures import Rng
from . import materials
from .geometry import Look, Part, Prop, box, boxes, merged, panel, prop, sheet, turned


def table(rng: Rng, width: float, depth: float, height: float) -> Prop:
    """A top on four legs, two cheeks, a foot or a frame."""
    top, leg = materials.surface(rng), materials.surface(rng) if rng.random() < 0.5 else None
    leg = leg or top
    thick, w, d = rng.uniform(0.018, 0.05), width / 2, depth / 2
    parts = [box(top, (-w, height - thick, -d), (w, height, d), across=True)]
    style, t, inset = rng.random(), rng.uniform(0.03, 0.08), rng.uniform(0.0, 0.08)
    under = height - thick
    if style < 0.6:
        for x in (-w + inset, w - inset - t):
            for z in (-d + inset, d - inset - t):
                parts.append(box(leg, (x, 0, z), (x + t, under, z + t)))
        if rng.random() < 0.5:
            a, b = under - rng.uniform(0.05, 0.1), 0.02
            parts.append(box(leg, (-w + inset, a, -d + inset + b), (w - inset, under, -d + inset + 2 * b)))
            parts.append(box(leg, (-w + inset, a, d - inset - 2 * b), (w - inset, under, d - inset - b)))
    elif style < 0.8:
        for x in (-w + inset, w - inset - t / 2):
            parts.append(box(leg, (x, 0, -d), (x + t / 2, under, d)))
        if rng.random() < 0.5:
            parts.append(box(leg, (-w + inset, under * 0.3, -d), (w - inset, under, -d + 0.02)))
    else:
        parts.append(turned(leg, [(0.25 * depth, 0), (0.05, 0.05), (0.04, under)]))
    return prop(parts, "table")


def round_table(rng: Rng, radius: float, height: float) -> Prop:
    """A round top on one foot."""
    top = materials.surface(rng)
    disc = [(0.001, height - 0.03), (radius, height - 0.03), (radius, height), (0.001, height)]
    flat = turned(top, disc, 28)
    edge = _faceted(flat)
    return prop([edge, turned(top, [(radius * 0.5, 0), (0.06, 0.04), (0.04, height - 0.03)])], "round table")


def _faceted(part: Part) -> Part:
    """Flat shading: every corner takes its face's normal."""
    normal = np.cross(part.corners[:, 1] - part.corners[:, 0], part.corners[:, 2] - part.corners[:, 0])
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    normal = np.where(length > 1e-12, normal / np.maximum(length, 1e-12), part.normals[:, 0])
    normals = np.repeat(normal[:, None], 3, 1).astype(np.float32)
    return Part(part.corners, normals, part.uv, part.tint, part.texture, part.gloss, part.glow)


def shelf(rng: Rng, width: float, depth: float, height: float) -> Prop:
    """Boards between cheeks, with or without a back, partly filled with books."""
    look, t = materials.surface(rng), rng.uniform(0.015, 0.03)
    w, d = width / 2, depth / 2
    columns = max(1, round(width / rng.uniform(0.5, 1.0)))
    rows = max(1, round(height / rng.uniform(0.27, 0.42)))
    xs, ys = np.linspace(-w, w - t, columns + 1), np.linspace(rng.choice([0.0, 0.06]), height - t, rows + 1)
    spans = [((x, 0, -d), (x + t, height, d)) for x in xs] + [((-w, y, -d), (w, y + t, d)) for y in ys]
    parts, boards = [boxes(look, spans)], []
    if rng.random() < 0.75:
        parts.append(box(look, (-w, 0, -d), (w, height, -d + 0.008)))
    filled, books = rng.uniform(0.2, 1.0), Look(materials.spines(rng))
    for x0, x1 in itertools.pairwise(xs):
        for y0, y1 in itertools.pairwise(ys):
            free = float(y1 - y0 - t)
            if rng.random() < filled * 0.75 and depth > 0.15:
                parts.append(_books(books, x0 + t, x1, y0 + t, free, d, rng))
            else:
                boards.append((x0 + t, -d + 0.02, x1, d, y0 + t, free))
    return prop(parts, "shelf", shelves=boards)


def _books(look: Look, x0: float, x1: float, y: float, free: float, d: float, rng: Rng) -> Part:
    """A row of books of unlike height and depth from x0 to (nearly) x1."""
    items, x, end = [], x0, x0 + (x1 - x0) * (1.0 if rng.random() < 0.6 else rng.uniform(0.3, 0.9))
    base = rng.uniform(0.6, 0.95)
    while x < end - 0.05:
        w = float(rng.uniform(0.03, 0.16))
        w = min(w, end - x)
        high = free * base * rng.uniform(0.8, 1.0)
        front = d - rng.uniform(0.0, 0.05)
        a, b = rng.uniform(0, 0.8, 2)
        front_face = panel(look, (x, y, front), (w, 0, 0), (0, high, 0))
        block = box(look, (x, y, front - min(0.2, 1.5 * d)), (x + w, y + high, front - 0.001))
        uv = np.stack([a + block.uv[..., 0] * 0.3, b + block.uv[..., 1] * 0.3], -1)
        share = w / 0.35
        items.append(
            Part(
                front_face.corners,
                front_face.normals,
                front_face.uv * (share, 1) + (a, 0),
                front_face.tint,
                look.texture,
            )
        )
        items.append(Part(block.corners, block.normals, uv.astype(np.float32), block.tint * 0.8, look.texture))
        x += w
    if not items:
        items.append(box(look, (x0, y, -d * 0.5), (x0 + 0.05, y + free * 0.7, d * 0.5)))
    return merged([Part(p.corners, p.normals, p.uv.astype(np.float32), p.tint, p.texture) for p in items])


def cabinet(rng: Rng, width: float, depth: float, height: float) -> Prop:
    """A closed body whose doors or drawers stand proud of it, with handles."""
    look = materials.surface(rng)
    front = look if rng.random() < 0.6 else materials.surface(rng)
    metal = materials.plain(np.full(3, rng.choice([0.12, 0.5, 0.75])), 0.05)
    w, d, gap, foot = width / 2, depth / 2, 0.004, float(rng.choice([0.0, 0.06, 0.12]))
    parts = [box(look, (-w, foot, -d), (w, height, d - 0.02), across=False)]
    if foot:
        parts.append(box(look, (-w + 0.03, 0, -d), (w - 0.03, foot, d - 0.07)))
    columns = max(1, round(width / rng.uniform(0.4, 0.65)))
    rows = 1 if rng.random() < 0.45 else max(1, round((height - foot) / rng.uniform(0.18, 0.5)))
    xs, ys = np.linspace(-w, w, columns + 1), np.linspace(foot, height - 0.02, rows + 1)
    doors, handles = [], []
    for x0, x1 in itertools.pairwise(xs):
        for y0, y1 in itertools.pairwise(ys):
            doors.append(((x0 + gap, y0 + gap, d - 0.02), (x1 - gap, y1 - gap, d - 0.001)))
            mid = (x0 + x1) / 2
            if rows > 1:
                handles.append(((mid - 0.06, y1 - 0.06, d - 0.001), (mid + 0.06, y1 - 0.045, d + 0.02)))
            else:
                y = (y0 + y1) / 2 if height > 1.2 else y1 - 0.16
                handles.append(((x1 - 0.05, y, d - 0.001), (x1 - 0.035, y + 0.12, d + 0.02)))
    parts.append(boxes(front, doors, across=False))
    if rng.random() < 0.8:
        parts.append(boxes(metal, handles))
    return prop(parts, "cabinet")


def chair(rng: Rng) -> Prop:
    """A seat on four legs with a slatted, ladder or closed back."""
    look = materials.surface(rng)
    seat_look = look if rng.random() < 0.5 else materials.fabric(rng)
    w, d, h = rng.uniform(0.19, 0.24), rng.uniform(0.19, 0.24), rng.uniform(0.42, 0.48)
    t, top = rng.uniform(0.025, 0.045), rng.uniform(0.78, 1.05)
    parts = [box(seat_look, (-w, h - rng.uniform(0.02, 0.06), -d), (w, h, d), across=True)]
    legs = [((x, 0, d - t), (x + t, h - 0.02, d)) for x in (-w, w - t)] + [
        ((x, 0, -d), (x + t, top, -d + t)) for x in (-w, w - t)
    ]
    parts.append(boxes(look, legs))
    style = rng.random()
    if style < 0.4:
        bars = [
            ((-w + t, y, -d + 0.005), (w - t, y + 0.06, -d + t - 0.005))
            for y in np.linspace(h + 0.1, top - 0.07, int(rng.integers(2, 5)))
        ]
    elif style < 0.7:
        bars = [
            ((x, h, -d + 0.005), (x + 0.03, top, -d + t - 0.005))
            for x in np.linspace(-w + t, w - t - 0.03, int(rng.integers(3, 6)))
        ]
        bars.append(((-w, top - 0.06, -d), (w, top, -d + t)))
    else:
        bars = [((-w, h + rng.uniform(0.05, 0.2), -d), (w, top, -d + t))]
    parts.append(boxes(look, bars))
    return prop(parts, "chair")


def office_chair(rng: Rng) -> Prop:
    """A padded seat and back on a column with five feet."""
    look, metal = materials.fabric(rng), materials.plain(np.full(3, rng.choice([0.05, 0.1, 0.5])), 0.03)
    h, w = rng.uniform(0.42, 0.54), rng.uniform(0.22, 0.26)
    parts = [
        box(look, (-w, h - 0.07, -w), (w, h, w)),
        box(look, (-w * 0.9, h + 0.12, -w - 0.04), (w * 0.9, h + rng.uniform(0.45, 0.75), -w + 0.03)),
    ]
    parts.append(turned(metal, [(0.03, 0.07), (0.03, h - 0.06)], 10))
    parts.append(box(metal, (-0.03, h - 0.05, -w - 0.06), (0.03, h + 0.25, -w - 0.04)))
    for k in range(5):
        a = k * 2 * np.pi / 5
        x, z = 0.28 * np.sin(a), 0.28 * np.cos(a)
        parts.append(
            box(metal, (min(0, x) - 0.015, 0.05, min(0, z) - 0.015), (max(0, x) + 0.015, 0.08, max(0, z) + 0.015))
            if k == 0
            else _strut(metal, x, z)
        )
    if rng.random() < 0.6:
        parts.append(
            boxes(
                metal,
                [
                    ((s * (w + 0.03) - 0.02, h + 0.18, -w * 0.6), (s * (w + 0.03) + 0.02, h + 0.21, w * 0.6))
                    for s in (-1, 1)
                ],
            )
        )
    return prop(parts, "office chair")


def _strut(look: Look, x: float, z: float) -> Part:
    """A foot from the axis to (x, z), with a castor under it."""
    p, across = np.array([x, 0.06, z]), np.array([-z, 0, x]) / np.hypot(x, z) * 0.02
    part, _ = sheet(look, -across + (0, 0.06, 0), p, 2 * across)
    wheel = box(look, (x - 0.025, 0, z - 0.025), (x + 0.025, 0.055, z + 0.025))
    return merged([part, wheel])


def sofa(rng: Rng, width: float) -> Prop:
    """A base, arms, a back and cushions."""
    look = materials.fabric(rng)
    w, d, seat, top, arm = (
        width / 2,
        rng.uniform(0.4, 0.5),
        rng.uniform(0.38, 0.46),
        rng.uniform(0.7, 0.95),
        rng.uniform(0.1, 0.25),
    )
    foot = float(rng.choice([0.0, 0.08, 0.14]))
    spans = [((-w, foot, -d), (w, seat - 0.13, d)), ((-w, seat - 0.13, -d), (w, top, -d + 0.2))]
    spans += [
        ((-w, seat - 0.13, -d + 0.2), (-w + arm, seat + rng.uniform(0.08, 0.22), d)),
        ((w - arm, seat - 0.13, -d + 0.2), (w, seat + 0.18, d)),
    ]
    count = max(1, round((width - 2 * arm) / 0.7))
    xs = np.linspace(-w + arm, w - arm, count + 1)
    spans += [((a + 0.006, seat - 0.13, -d + 0.2), (b - 0.006, seat, d + 0.01)) for a, b in itertools.pairwise(xs)]
    spans += [((a + 0.006, seat, -d + 0.18), (b - 0.006, top + 0.03, -d + 0.32)) for a, b in itertools.pairwise(xs)]
    parts = [boxes(look, spans)]
    if foot:
        wood = materials.wood(rng, 1)
        parts.append(
            boxes(
                wood,
                [((x, 0, z), (x + 0.05, foot, z + 0.05)) for x in (-w + 0.04, w - 0.09) for z in (-d + 0.04, d - 0.09)],
            )
        )
    if rng.random() < 0.6 and w - arm > 0.25:
        for x in rng.uniform(-w + arm, w - arm - 0.35, int(rng.integers(1, 4))):
            parts.append(cushion(rng, float(x), seat, -d + 0.34))
    return prop(parts, "sofa")


def cushion(rng: Rng, x: float, y: float, z: float) -> Part:
    """A pillow that leans back from (x, y, z)."""
    look = materials.fabric(rng)
    part = turned(look, [(0.02, 0), (0.2, 0.03), (0.23, 0.07), (0.2, 0.11), (0.02, 0.14)], 4)
    c = part.corners @ np.array([[0.7, 0, 0.7], [0, 1, 0], [-0.7, 0, 0.7]], np.float32)
    tilt = np.array([[1, 0, 0], [0, 0.3, 0.954], [0, -0.954, 0.3]], np.float32)
    c = c @ tilt
    c = c - c.reshape(-1, 3).min(0) + np.array([x, y, z], np.float32)
    return _faceted(Part(c.astype(np.float32), part.normals, part.uv, part.tint, part.texture))


def bed(rng: Rng, width: float) -> Prop:
    """A frame, a mattress, a blanket and pillows; the head lies at -Z."""
    look, linen = materials.surface(rng), materials.fabric(rng)
    w, d, h = width / 2, rng.uniform(0.98, 1.08), rng.uniform(0.38, 0.6)
    white = materials.plain(np.clip(rng.uniform(0.7, 0.95) + rng.normal(0, 0.03, 3), 0, 1))
    parts = [
        box(look, (-w, 0.1, -d), (w, h - 0.18, d)),
        box(white, (-w + 0.02, h - 0.18, -d + 0.03), (w - 0.02, h - 0.02, d - 0.02)),
    ]
    parts.append(box(linen, (-w - 0.01, h - 0.22, -d * rng.uniform(0.1, 0.6)), (w + 0.01, h + 0.03, d + 0.005)))
    parts.append(boxes(look, [((x, 0, z), (x + 0.06, 0.1, z + 0.06)) for x in (-w, w - 0.06) for z in (-d, d - 0.06)]))
    if rng.random() < 0.8:
        parts.append(box(look, (-w, 0, -d - 0.05), (w, h + rng.uniform(0.2, 0.6), -d)))
    count = 1 if width < 1.2 else 2
    for k in range(count):
        x = -w + (k + 0.5) * width / count
        pillow = turned(white, [(0.02, 0), (0.3, 0.04), (0.3, 0.09), (0.02, 0.13)], 4)
        half = np.array([[0.7, 0, 0.7], [0, 1, 0], [-0.7, 0, 0.7]], np.float32)
        c = pillow.corners @ half * np.array([1.1, 1, 0.75], np.float32)
        parts.append(
            _faceted(
                Part(
                    (c + np.array([x, h - 0.03, -d + 0.3])).astype(np.float32),
                    pillow.normals,
                    pillow.uv,
                    pillow.tint,
                    pillow.texture,
                )
            )
        )
    return prop(parts, "bed")


def counter(rng: Rng, width: float, looks: tuple[Look, Look]) -> Prop:
    """A kitchen unit: plinth, doors and drawers under a worktop; (front, worktop) shared by the whole run."""
    front, top = looks
    w, d, h = width / 2, 0.3, 0.9
    parts = [
        box(front, (-w, 0.1, -d), (w, h - 0.04, d - 0.02)),
        box(materials.plain((0.1, 0.1, 0.1)), (-w, 0, -d), (w, 0.1, d - 0.08)),
    ]
    parts.append(box(top, (-w, h - 0.04, -d), (w, h, d + 0.02), across=True))
    count = max(1, round(width / 0.6))
    xs, doors, handles = np.linspace(-w, w, count + 1), [], []
    for a, b in itertools.pairwise(xs):
        ys = np.linspace(0.11, h - 0.05, 2 if rng.random() < 0.6 else 4)
        for y0, y1 in itertools.pairwise(ys):
            doors.append(((a + 0.003, y0 + 0.003, d - 0.02), (b - 0.003, y1 - 0.003, d - 0.001)))
            handles.append((((a + b) / 2 - 0.08, y1 - 0.05, d), ((a + b) / 2 + 0.08, y1 - 0.04, d + 0.025)))
    parts += [boxes(front, doors, across=False), boxes(materials.plain(np.full(3, 0.55), 0.05), handles)]
    return prop(parts, "counter")


def wall_unit(rng: Rng, width: float, front: Look) -> Prop:
    """Kitchen cupboards to hang over a counter."""
    h = float(rng.uniform(0.5, 0.8))
    w, d, count = width / 2, 0.17, max(1, round(width / 0.55))
    xs = np.linspace(-w, w, count + 1)
    doors = [((a + 0.003, 0.003, d - 0.02), (b - 0.003, h - 0.003, d)) for a, b in itertools.pairwise(xs)]
    return prop([box(front, (-w, 0, -d), (w, h, d - 0.02)), boxes(front, doors, across=False)], "wall unit")


def rug(rng: Rng, width: float, depth: float) -> Prop:
    """A thin carpet."""
    look = Look(materials.picture(rng, 128)) if rng.random() < 0.5 else materials.carpet(rng)
    w, d = width / 2, depth / 2
    body = box(materials.plain(materials.colour(rng)), (-w, 0, -d), (w, 0.008, d))
    return prop([body, panel(look, (-w, 0.0085, d), (width, 0, 0), (0, 0, -depth))], "rug")


def curtain(rng: Rng, width: float, height: float) -> Prop:
    """Hanging cloth in folds."""
    look, n = materials.fabric(rng), max(6, int(width / 0.05))
    s, depth = np.linspace(-width / 2, width / 2, n + 1), rng.uniform(0.015, 0.045)
    z = depth * np.sin(s * rng.uniform(35, 70) + rng.normal(0, 0.4, n + 1))
    quads = [
        sheet(look, (a, 0, p), (b - a, 0, q - p), (0, height, 0), shift=(a, 0))[0]
        for a, b, p, q in zip(s[:-1], s[1:], z[:-1], z[1:], strict=True)
    ]
    return prop([merged(quads)], "curtain")


def wall_shelf(rng: Rng, width: float) -> Prop:
    """A board on brackets, or two, to hang."""
    look, d, t = materials.surface(rng), rng.uniform(0.09, 0.14), 0.022
    w, rows = width / 2, int(rng.integers(1, 4))
    gap = float(rng.uniform(0.24, 0.36))
    spans = [((-w, k * gap, -d), (w, k * gap + t, d)) for k in range(rows)]
    if rows > 1:
        spans += [((x, 0, -d), (x + t, (rows - 1) * gap, d)) for x in (-w, w - t)]
    boards = [(-w + t, -d + 0.01, w - t, d, k * gap + t, gap - t) for k in range(rows)]
    return prop([boxes(look, spans)], "wall shelf", shelves=boards)


def partition(rng: Rng, width: float) -> Prop:
    """A free-standing screen between desks."""
    h, look = float(rng.uniform(1.1, 1.7)), materials.fabric(rng)
    edge = materials.plain(np.full(3, rng.choice([0.15, 0.6])))
    w = width / 2
    return prop(
        [
            box(look, (-w, 0.04, -0.025), (w, h, 0.025)),
            box(edge, (-w - 0.02, 0, -0.03), (-w, h + 0.02, 0.03)),
            box(edge, (w, 0, -0.03), (w + 0.02, h + 0.02, 0.03)),
            box(edge, (-w, h, -0.03), (w, h + 0.02, 0.03)),
        ],
        "partition",
    )


def splashback(rng: Rng, width: float, height: float) -> Prop:
    """Tiles behind a worktop."""
    look = materials.tiles(rng, float(rng.choice([0.075, 0.1, 0.15, 0.2])))
    return prop([box(look, (-width / 2, 0, 0), (width / 2, height, 0.006))], "splashback")


def stairs(rng: Rng, width: float, steps: int) -> Prop:
    """Solid steps that rise towards -Z."""
    look, rise, tread = materials.surface(rng), rng.uniform(0.16, 0.19), rng.uniform(0.24, 0.3)
    spans = [((-width / 2, 0, -(k + 1) * tread), (width / 2, (k + 1) * rise, -k * tread)) for k in range(steps)]
    return prop([boxes(look, spans)], "stairs")
