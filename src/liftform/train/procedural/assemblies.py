"""Things put together from solids: stacks with symmetric limbs, rows, profiles, vehicles, houses."""

from __future__ import annotations

import manifold3d
import numpy as np
from numpy.typing import NDArray

from ..textures import Rng
from .pieces import FloatArray, Piece, block, drum, fitted, of_manifold, outline, ring, solid, tube, warped

_QUARTER = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


def stacked(rng: Rng) -> list[Piece]:
    """A main solid with others on its top and sides, mostly symmetric, at times on legs."""
    size = np.exp(rng.normal(0, 0.45, 3))
    main = solid(rng).placed(size).worn(0)
    pieces = [main]
    for _ in range(int(rng.integers(1, 6))):
        base = pieces[rng.integers(len(pieces))]
        pieces += _attached(base, rng)
    if rng.random() < 0.3:
        pieces += _legs(main, rng)
    return warped(pieces, rng) if rng.random() < 0.25 else pieces


def _attached(base: Piece, rng: Rng) -> list[Piece]:
    """A smaller solid set on a face of ``base``, sunk in a little; its mirror image too when it is off the middle."""
    low, high = base.bounds()
    span = high - low
    size = span * np.exp(rng.normal(-0.6, 0.4, 3))
    axis = int(rng.choice(3, p=[0.35, 0.4, 0.25]))
    side = 1.0 if axis == 1 and rng.random() < 0.75 else float(rng.choice([-1, 1]))
    at = (low + high) / 2 + rng.uniform(-0.35, 0.35, 3) * span
    if axis != 0 and rng.random() < 0.55:
        at[0] = (low + high)[0] / 2
    at[axis] = (high if side > 0 else low)[axis] + side * size[axis] * rng.uniform(0.1, 0.48)
    turn = None
    if rng.random() < 0.25:
        turn = rotation(rng.normal(size=3), rng.normal(0, 0.6))
    piece = solid(rng).placed(size, at, turn).worn(int(rng.integers(4)))
    return [piece] if abs(at[0]) < 1e-6 or rng.random() < 0.2 else [piece, piece.mirrored()]


def rotation(axis: FloatArray, angle: float) -> FloatArray:
    """Rodrigues' formula: (3, 3)."""
    x, y, z = axis / max(float(np.linalg.norm(axis)), 1e-9)
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * k @ k)


def _legs(main: Piece, rng: Rng) -> list[Piece]:
    low, high = main.bounds()
    span, thick = high - low, rng.uniform(0.03, 0.15) * float((high - low).max())
    length = rng.uniform(0.2, 1.0) * float(span.max())
    kind, skin = (drum if rng.random() < 0.5 else block)(rng), int(rng.integers(4))
    x, z = (span[0] - thick) / 2 * rng.uniform(0.5, 1), (span[2] - thick) / 2 * rng.uniform(0.5, 1)
    middle = (low + high) / 2
    spots = [(-x, -z), (x, -z), (-x, z), (x, z)] if rng.random() < 0.7 else [(-x, -z), (x, -z), (0, z)]
    y = low[1] - length / 2 + 0.1 * span[1]
    return [fitted(kind).placed((thick, length, thick), (middle[0] + a, y, middle[2] + b)).worn(skin) for a, b in spots]


def repeated(rng: Rng) -> list[Piece]:
    """One solid many times: a grille, a rack, a fence, a crate, a ring of parts, with rails or plates that hold it."""
    part = solid(rng) if rng.random() < 0.5 else fitted((block if rng.random() < 0.6 else drum)(rng))
    if rng.random() < 0.35:
        count, radius = int(rng.integers(3, 13)), rng.uniform(0.25, 0.5)
        size = (rng.uniform(0.05, 0.2), rng.uniform(0.1, 1.2), rng.uniform(0.05, 0.2))
        turns = [rotation(np.array([0.0, 1, 0]), 2 * np.pi * k / count) for k in range(count)]
        pieces = [part.placed(size, (0, 0, radius)).placed(turn=t).worn(0) for t in turns]
        plate = fitted(drum(rng)).placed((2 * radius + 0.1, rng.uniform(0.03, 0.15), 2 * radius + 0.1)).worn(1)
        ends = [-size[1] / 2, size[1] / 2] if rng.random() < 0.6 else [-size[1] / 2]
        return pieces + [plate.placed(at=(0, y, 0)) for y in ends]
    nx, ny, nz = int(rng.integers(2, 9)), int(rng.choice([1, 1, 2, 3, 4])), int(rng.choice([1, 1, 1, 2, 3]))
    extent = np.array([rng.uniform(0.5, 1.5), rng.uniform(0.3, 1.2), rng.uniform(0.1, 0.8)])
    cell = extent / (nx, ny, nz)
    cell_size = cell * rng.uniform(0.25, 0.9, 3)
    pieces = [
        part.placed(cell_size, (np.array([i, j, k]) + 0.5) * cell - extent / 2).worn(int((i + j) % 2) if nx < 4 else 0)
        for i in range(nx)
        for j in range(ny)
        for k in range(nz)
    ]
    rail = fitted((block if rng.random() < 0.6 else drum)(rng)) if rng.random() < 0.5 else None
    plate = fitted(block(rng))
    t = rng.uniform(0.02, 0.08)
    for y in np.linspace(-extent[1] / 2, extent[1] / 2, ny + 1):
        if rail is None or rng.random() < 0.5:
            pieces.append(plate.placed((extent[0] * 1.05, t, max(extent[2] * 1.05, 2 * t)), (0, y, 0)).worn(2))
        else:
            pieces.append(rail.placed((t, extent[0] * 1.05, t), turn=_QUARTER).placed(at=(0, y, 0)).worn(2))
    if rng.random() < 0.5:
        side = plate.placed((t, extent[1] + t, max(extent[2] * 1.05, 2 * t)), (extent[0] * 0.52, 0, 0)).worn(2)
        pieces += [side, side.mirrored()]
    if rng.random() < 0.3:
        pieces.append(plate.placed((extent[0] * 1.05, extent[1] + t, t), (0, 0, -extent[2] * 0.52)).worn(3))
    return pieces


def profile(rng: Rng) -> list[Piece]:
    """A silhouette cut from a board or a slab, with holes and things laid on it: signs, tools, keys, relief."""
    shape = manifold3d.CrossSection([outline(rng).tolist()])
    for _ in range(int(rng.integers(0, 3))):
        other = manifold3d.CrossSection([(outline(rng) * rng.uniform(0.3, 0.8) + rng.uniform(-0.4, 0.4, 2)).tolist()])
        shape = shape + other if rng.random() < 0.6 else shape - other
    if rng.random() < 0.5:
        shape = shape + shape.mirror((1, 0))
    if shape.is_empty():
        return stacked(rng)
    if rng.random() < 0.3:
        shape = shape.offset(0.06, manifold3d.JoinType.Round)
    thick = float(np.exp(rng.uniform(np.log(0.03), np.log(0.7))))
    board = of_manifold(shape.extrude(thick).translate((0, 0, -thick / 2))).worn(0)
    pieces = [board]
    inner = shape.offset(-rng.uniform(0.03, 0.12), manifold3d.JoinType.Round)
    if not inner.is_empty() and rng.random() < 0.4:
        raised = thick * rng.uniform(1.1, 1.6)
        pieces.append(of_manifold(inner.extrude(raised).translate((0, 0, -raised / 2))).worn(1))
    for _ in range(int(rng.integers(0, 3))):
        size = np.array([*rng.uniform(0.08, 0.35, 2), thick * rng.uniform(1.2, 2.5)])
        pieces.append(solid(rng).placed(size, [*rng.uniform(-0.35, 0.35, 2), 0]).worn(int(rng.integers(4))))
    if rng.random() < 0.3:  # it lies flat
        flat = rotation(np.array([1.0, 0, 0]), -np.pi / 2)
        return [p.placed(turn=flat) for p in pieces]
    return pieces


def vehicle(rng: Rng) -> list[Piece]:
    """A body from a side view, with wheels in pairs, a cabin, lamps: cars, carts, trains, tractors; front at +Z."""
    length, width, high = rng.uniform(1.2, 2.6), rng.uniform(0.6, 1.1), rng.uniform(0.3, 0.8)
    z = np.sort(rng.uniform(-0.5, 0.5, int(rng.integers(2, 6))))
    roof = [(float(a), float(b)) for a, b in zip(z, rng.uniform(0.4, 1.0, len(z)), strict=True)]
    side = np.array([(-0.5, 0), (0.5, 0), (0.5, rng.uniform(0.2, 0.6)), *roof[::-1], (-0.5, rng.uniform(0.2, 0.7))])
    body = manifold3d.CrossSection([side.tolist()]).extrude(1.0).translate((0, 0, -0.5))
    turn = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]]).T
    main = of_manifold(body).placed((length, high, width)).placed(turn=turn).worn(0)
    pieces = [main]
    radius = high * rng.uniform(0.3, 0.75)
    wheel = of_manifold(manifold3d.Manifold.cylinder(1, 0.5, 0.5, 24, True)).placed((2 * radius, 2 * radius, 0.14))
    wheel = wheel.placed(turn=turn)
    for at in np.linspace(-0.36, 0.36, int(rng.choice([2, 2, 2, 3, 4]))):
        one = wheel.placed(at=(width / 2 * rng.choice([0.92, 1.05]), 0, at * length)).worn(1)
        pieces += [one, one.mirrored()]
    if rng.random() < 0.6:
        size = np.array([width * rng.uniform(0.7, 0.98), high * rng.uniform(0.4, 1.1), length * rng.uniform(0.25, 0.6)])
        pieces.append(fitted(block(rng)).placed(size, (0, high, length * rng.uniform(-0.2, 0.2))).worn(2))
    for _ in range(int(rng.integers(0, 4))):
        pieces += _attached(main, rng)
    if rng.random() < 0.5:
        lamp = fitted(drum(rng)).placed(0.1, (width * 0.33, high * 0.3, length / 2)).worn(3)
        pieces += [lamp, lamp.mirrored()]
    return pieces


def house(rng: Rng) -> list[Piece]:
    """Walls, a roof, doors, windows, chimneys and towers; at times a terrace or a ground plate."""
    w, d, h = rng.uniform(0.6, 1.4), rng.uniform(0.6, 1.2), rng.uniform(0.4, 1.6)
    box_ = fitted(block(rng)) if rng.random() < 0.2 else fitted(Piece(*_cube()))
    pieces = [box_.placed((w, h, d), (0, h / 2, 0)).worn(0)]
    over, rise = rng.uniform(1.0, 1.25), rng.uniform(0.15, 0.7)
    style = rng.random()
    if style < 0.5:
        gable = manifold3d.CrossSection([[(-0.5, 0), (0.5, 0), (0, 1)]]).extrude(1).translate((0, 0, -0.5))
        pieces.append(of_manifold(gable).placed((w * over, rise, d * over), (0, h, 0)).worn(1))
    elif style < 0.7:
        cone = of_manifold(manifold3d.Manifold.cylinder(1, 0.7071, 0.0, 4).rotate((0, 0, 45)).rotate((-90, 0, 0)))
        pieces.append(cone.placed((w * over, rise, d * over), (0, h, 0)).worn(1))
    else:
        pieces.append(fitted(Piece(*_cube())).placed((w * over, 0.06, d * over), (0, h, 0)).worn(1))
    nx, ny = int(rng.integers(1, 5)), max(1, round(h / 0.45))
    size, deep = np.array([w / nx * 0.45, h / ny * 0.5, 0.03]), rng.choice([0.98, 1.0])
    for j in range(ny):
        for i in range(nx):
            x, y = ((i + 0.5) / nx - 0.5) * w, (j + 0.55) / ny * h
            for z in (d / 2, -d / 2) if rng.random() < 0.8 else (d / 2,):
                pieces.append(fitted(Piece(*_cube())).placed(size, (x, y, z * deep)).worn(2))
    pieces.append(fitted(block(rng)).placed((0.16, 0.34, 0.06), (rng.uniform(-0.3, 0.3) * w, 0.17, d / 2)).worn(3))
    for _ in range(int(rng.integers(0, 4))):
        tower = fitted((drum if rng.random() < 0.5 else block)(rng))
        size = np.array([1, rng.uniform(1, 6), 1]) * rng.uniform(0.08, 0.3)
        at = (rng.uniform(-0.5, 0.5) * w, rng.uniform(0.3, 1) * h + size[1] / 2, rng.uniform(-0.5, 0.5) * d)
        pieces.append(tower.placed(size, at).worn(int(rng.integers(4))))
    if rng.random() < 0.4:
        pieces.append(fitted(block(rng)).placed((w * 1.4, 0.06, d * 1.5), (0, 0, 0)).worn(3))
    if rng.random() < 0.2:
        arch = ring(rng).placed(0.5, (0, h / 2, d / 2), rotation(np.array([1.0, 0, 0]), np.pi / 2))
        pieces += [arch.worn(1), tube([(0, h, 0), (0, h + rise + 0.3, 0)], 0.015).worn(3)]
    return pieces


def _cube() -> tuple[FloatArray, NDArray[np.int64]]:
    piece = of_manifold(manifold3d.Manifold.cube((1, 1, 1), True))
    return piece.vertices, piece.faces
