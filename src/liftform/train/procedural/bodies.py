"""Soft bodies: animals and figures from limbs melted together, fruit, stones; distances, then marching cubes."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..textures import Rng
from .pieces import FloatArray, Piece, ball, fitted

#: Cells along the longest side of a melted body.
_CELLS = 56

#: A round cone: both ends, and the radius at each.
Limb: TypeAlias = tuple[FloatArray, FloatArray, float, float]


def body(rng: Rng) -> list[Piece]:
    """A symmetric creature: trunk, head, two or four legs, arms, ears, tail; eyes of another look. Front at +Z."""
    upright = rng.random() < 0.5
    limbs: list[Limb] = []
    long, thick = rng.uniform(0.4, 0.9), rng.uniform(0.14, 0.32)
    hip = np.array([0, rng.uniform(0.3, 0.8), 0.0])
    trunk = hip + (np.array([0, long, rng.normal(0, 0.08)]) if upright else np.array([0, rng.normal(0, 0.1), long]))
    limbs.append((hip, trunk, thick, thick * rng.uniform(0.7, 1.2)))
    head_r = rng.uniform(0.1, 0.3)
    head = trunk + np.array([0, thick * 0.6 + head_r * rng.uniform(0.5, 1.6), rng.uniform(0, 0.25)])
    limbs.append((trunk, head, thick * 0.5, head_r * 0.6))
    limbs.append((head, _off(head, z=head_r * rng.uniform(0.1, 0.9)), head_r, head_r * rng.uniform(0.4, 1)))
    _legs(limbs, rng, hip, trunk, thick, upright)
    if rng.random() < 0.6:
        ear = head + np.array([head_r * rng.uniform(0.3, 0.8), head_r * 0.7, 0])
        tip = ear + np.array([rng.uniform(-0.05, 0.2), rng.uniform(0.05, 0.4), rng.normal(0, 0.05)])
        _pair(limbs, ear, tip, rng.uniform(0.03, 0.08), rng.uniform(0.01, 0.06))
    if rng.random() < 0.6:
        way = hip + np.array([0, rng.uniform(-0.3, 0.4), -rng.uniform(0.2, 0.7)])
        limbs.append((_off(hip, z=-thick * 0.7), way, rng.uniform(0.03, 0.1), rng.uniform(0.015, 0.06)))
    pieces = [melted(limbs, rng.uniform(0.02, 0.12)).worn(0)]
    if rng.random() < 0.6:
        at = head + np.array([head_r * 0.45, head_r * 0.3, head_r * 0.85])
        eye = fitted(ball(rng)).placed(head_r * rng.uniform(0.2, 0.45), at).worn(1)
        pieces += [eye, eye.mirrored()]
    if rng.random() < 0.3:
        pieces.append(fitted(ball(rng)).placed(head_r * np.array([2.2, 1.0, 2.2]), _off(head, y=head_r * 0.8)).worn(2))
    return pieces


def _off(point: FloatArray, x: float = 0, y: float = 0, z: float = 0) -> FloatArray:
    """A point moved."""
    return point + np.array([x, y, z])


def _pair(limbs: list[Limb], a: FloatArray, b: FloatArray, r: float, s: float) -> None:
    flip = np.array([-1.0, 1, 1])
    limbs += [(a, b, r, s), (a * flip, b * flip, r, s)]


def _legs(
    limbs: list[Limb],
    rng: Rng,
    hip: FloatArray,
    trunk: FloatArray,
    thick: float,
    upright: bool,
) -> None:
    """Legs to the floor, and arms for who walks upright; knees and elbows bend a little."""
    r, foot = rng.uniform(0.04, 0.13), rng.uniform(0.03, 0.1)
    for root in [hip] if upright else [hip, trunk]:
        start = np.array([thick * rng.uniform(0.4, 0.9), root[1], root[2]])
        end = np.array([start[0] + rng.uniform(-0.02, 0.15), foot, root[2] + rng.normal(0, 0.12)])
        knee = _off((start + end) / 2, z=rng.normal(0, 0.06))
        _pair(limbs, start, knee, r, r * 0.9)
        _pair(limbs, knee, end, r * 0.9, foot)
        if rng.random() < 0.6:
            _pair(limbs, end, _off(end, z=rng.uniform(0.05, 0.2)), foot, foot)
    if upright and rng.random() < 0.85:
        shoulder = _off(trunk, thick * 0.9, -0.05)
        elbow = shoulder + np.array([rng.uniform(0.05, 0.35), rng.uniform(-0.35, 0.25), rng.normal(0, 0.1)])
        hand = elbow + np.array([rng.uniform(-0.1, 0.25), rng.uniform(-0.3, 0.3), rng.uniform(-0.05, 0.3)])
        arm = r * rng.uniform(0.6, 1)
        _pair(limbs, shoulder, elbow, arm, arm * 0.9)
        _pair(limbs, elbow, hand, arm * 0.9, arm * rng.uniform(0.8, 1.4))


def melted(limbs: list[Limb], blend: float) -> Piece:
    """Round cones (end, end, radius, radius), joined with a smooth minimum of width ``blend``."""
    ends = np.array([(a - max(r, s), b - max(r, s)) for a, b, r, s in limbs]).reshape(-1, 3)
    tops = np.array([(a + max(r, s), b + max(r, s)) for a, b, r, s in limbs]).reshape(-1, 3)
    low, high = ends.min(0) - 0.05 - blend, tops.max(0) + 0.05 + blend
    step = float((high - low).max()) / _CELLS
    axes = [np.arange(a, b + step, step) for a, b in zip(low, high, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).astype(np.float32)
    total = np.zeros(points.shape[:3], np.float32)
    for a, b, r, s in limbs:
        along = (b - a).astype(np.float32)
        t = np.clip(((points - a.astype(np.float32)) @ along) / max(float(along @ along), 1e-9), 0, 1)
        gap = np.linalg.norm(points - a.astype(np.float32) - t[..., None] * along, axis=-1) - (r + (s - r) * t)
        total += np.exp(np.clip(-gap / blend * 4, -40, 40))
    return _surface(-np.log(np.maximum(total, 1e-30)), low, step)


def _surface(field: NDArray[np.float32], low: FloatArray, step: float) -> Piece:
    from skimage.measure import marching_cubes

    vertices, faces, _, _ = marching_cubes(field, 0.0)
    return Piece(vertices.astype(float) * step + low, faces.astype(np.int64))


def rock(rng: Rng) -> list[Piece]:
    """A stone, a fruit, a shrub, a loaf: a few blobs, roughened."""
    blobs = []
    for _ in range(int(rng.integers(1, 6))):
        at = rng.normal(0, 0.2, 3)
        r = rng.uniform(0.15, 0.45)
        blobs.append((at, at + rng.normal(0, 0.15, 3), r, r * rng.uniform(0.6, 1)))
    piece = melted(blobs, rng.uniform(0.03, 0.15))
    rough, points = rng.uniform(0, 0.05), piece.vertices
    for scale in (3.0, 7.0, 15.0):
        waves = rng.normal(size=(6, 3)) * scale
        shift = np.sin(points @ waves.T + rng.uniform(0, 6.3, 6)).mean(1, keepdims=True) * rough * 3 / scale
        points = points + shift * points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-6)
    pieces = [Piece(points, piece.faces).placed((1, rng.uniform(0.5, 1.2), 1))]
    if rng.random() < 0.3:
        _, high = pieces[0].bounds()
        pieces.append(fitted(ball(rng)).placed((0.08, 0.3, 0.08), (0, high[1], 0)).worn(1))
    return pieces
