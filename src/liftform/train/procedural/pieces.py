"""Closed solids to build with, each in the unit box, and what can be done to them: place, mirror, bend, cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import manifold3d
import numpy as np
import trimesh
from numpy.typing import ArrayLike, NDArray

from ..textures import Rng

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Piece:
    """A closed triangle mesh: vertices (V, 3) float64, faces (F, 3); skin: number of the look it wears."""

    vertices: FloatArray
    faces: NDArray[np.int64]
    skin: int = 0

    def worn(self, skin: int) -> Piece:
        """The same in another look."""
        return replace(self, skin=skin)

    def placed(self, size: ArrayLike = 1.0, at: ArrayLike = 0.0, turn: FloatArray | None = None) -> Piece:
        """Scaled by ``size`` (3,), turned by a rotation (3, 3), then moved by ``at`` (3,)."""
        points = self.vertices * np.asarray(size, float)
        points = points if turn is None else points @ turn.T
        return replace(self, vertices=points + np.asarray(at, float))

    def mirrored(self) -> Piece:
        """The mirror image at x = 0, wound outward again."""
        return replace(self, vertices=self.vertices * (-1.0, 1.0, 1.0), faces=self.faces[:, ::-1])

    def bounds(self) -> tuple[FloatArray, FloatArray]:
        """Lowest and highest corner."""
        return self.vertices.min(0), self.vertices.max(0)


def of_trimesh(mesh: trimesh.Trimesh) -> Piece:
    """A trimesh mesh as a piece."""
    return Piece(np.asarray(mesh.vertices, float), np.asarray(mesh.faces, np.int64))


def of_manifold(solid: manifold3d.Manifold) -> Piece:
    """A manifold3d solid as a piece."""
    mesh = solid.to_mesh()
    return Piece(np.asarray(mesh.vert_properties[:, :3], float), np.asarray(mesh.tri_verts, np.int64))


def to_manifold(piece: Piece) -> manifold3d.Manifold:
    """A piece as a manifold3d solid; empty when it is not one."""
    return manifold3d.Manifold(manifold3d.Mesh(piece.vertices.astype(np.float32), piece.faces.astype(np.uint32)))


def block(rng: Rng) -> Piece:
    """A box, at times with rounded or bevelled edges."""
    if rng.random() < 0.45:
        return of_trimesh(trimesh.creation.box())
    edge = rng.uniform(0.03, 0.25)
    if rng.random() < 0.5:
        inner, long = manifold3d.Manifold.cube((1 - 2 * edge,) * 3, True), 1 / (1 - 2 * edge)
        return of_manifold(manifold3d.Manifold.batch_hull([inner.scale(s) for s in np.where(np.eye(3), long, 1.0)]))
    ball = manifold3d.Manifold.sphere(edge, 16)
    at = [(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    corners = [ball.translate(tuple(c * (0.5 - edge) for c in corner)) for corner in at]
    return of_manifold(manifold3d.Manifold.batch_hull(corners))


def drum(rng: Rng) -> Piece:
    """A prism or cylinder along y, straight, tapered or pointed."""
    sides = int(rng.choice([3, 4, 5, 6, 8, 24, 32, 32]))
    top = float(rng.choice([1.0, 1.0, 1.0, rng.uniform(0.3, 0.95), 0.0]))
    solid = manifold3d.Manifold.cylinder(1.0, 0.5, 0.5 * top, sides, True)
    return of_manifold(solid.rotate((-90, float(rng.choice([0, 180.0 / sides])), 0)))


def ball(rng: Rng) -> Piece:
    """A sphere, or the upper part of one."""
    solid = manifold3d.Manifold.sphere(0.5, int(rng.choice([12, 28, 36])))
    if rng.random() < 0.25:
        solid = solid.trim_by_plane((0.0, 1.0, 0.0), float(rng.uniform(-0.3, 0.1)))
    return of_manifold(solid)


def ring(rng: Rng) -> Piece:
    """A torus about y, round or square in section."""
    thick = rng.uniform(0.04, 0.2)
    outline = manifold3d.CrossSection.circle(thick, 12)
    if rng.random() < 0.3:
        outline = manifold3d.CrossSection.square((2 * thick, 2 * thick), True)
    return of_manifold(outline.translate((0.5 - thick, 0)).revolve(32).rotate((-90, 0, 0)))


def pill(rng: Rng) -> Piece:
    """A capsule along y."""
    radius = rng.uniform(0.12, 0.4)
    end = manifold3d.Manifold.sphere(radius, 20)
    return of_manifold(
        manifold3d.Manifold.batch_hull([end.translate((0, 0.5 - radius, 0)), end.translate((0, radius - 0.5, 0))])
    )


def outline(rng: Rng) -> FloatArray:
    """A simple polygon (N, 2) in the unit square: star-shaped, stepped, or a rounded blob."""
    style = rng.random()
    if style < 0.4:
        count = int(rng.integers(3, 11))
        angle = (
            np.sort(rng.uniform(0, 2 * np.pi, count)) if rng.random() < 0.5 else np.arange(count) * 2 * np.pi / count
        )
        radius = rng.uniform(0.2, 0.5, count)
        return _wide(np.stack([np.cos(angle), np.sin(angle)], 1) * radius[:, None])
    if style < 0.7:
        steps = int(rng.integers(2, 5))
        x, y = np.sort(rng.uniform(0.1, 1, steps))[::-1], np.sort(rng.uniform(0.1, 1, steps))
        line = [(0.0, 0.0)]
        for i in range(steps):
            line += [(x[i], y[i - 1] if i else 0.0), (x[i], y[i])]
        return _wide(np.array([*line, (0.0, y[-1])]) - 0.5)
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    waves = sum(rng.normal(0, 0.25 / k) * np.cos(k * angle + rng.uniform(0, 6.3)) for k in range(1, 5))
    return _wide(np.stack([np.cos(angle), np.sin(angle)], 1) * np.exp(waves)[:, None])


def _wide(points: FloatArray) -> FloatArray:
    low, high = points.min(0), points.max(0)
    out: FloatArray = (points - (low + high) / 2) / np.maximum(high - low, 0.05)
    return out


def prism(rng: Rng) -> Piece:
    """An outline along z, at times twisted or narrowing."""
    solid = manifold3d.CrossSection([outline(rng).tolist()]).extrude(
        1.0,
        6,
        float(rng.choice([0, 0, 0, rng.uniform(-90, 90)])),
        (float(rng.choice([1, 1, rng.uniform(0.3, 1)])),) * 2,
    )
    return of_manifold(solid.translate((0, 0, -0.5)))


_SOLIDS = (block, block, block, drum, drum, drum, ball, ring, pill, prism)


def solid(rng: Rng) -> Piece:
    """Any of the above, exactly filling the unit box, at times hollowed by another."""
    piece = _SOLIDS[rng.integers(len(_SOLIDS))](rng)
    if rng.random() < 0.08:
        tool = _SOLIDS[rng.integers(len(_SOLIDS))](rng).placed(rng.uniform(0.3, 0.8, 3), rng.uniform(-0.4, 0.4, 3))
        cut = to_manifold(piece) - to_manifold(tool)
        if not cut.is_empty():
            piece = of_manifold(cut)
    return fitted(piece)


def fitted(piece: Piece) -> Piece:
    """The piece filling the unit box."""
    low, high = piece.bounds()
    return piece.placed(1 / np.maximum(high - low, 1e-6), -(low + high) / 2 / np.maximum(high - low, 1e-6))


def tube(path: ArrayLike, radius: ArrayLike, sides: int = 10) -> Piece:
    """A closed tube along points (N, 3), with one radius or one for each point."""
    points = np.asarray(path, float)
    radii = np.broadcast_to(np.asarray(radius, float), len(points))
    along = np.gradient(points, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    first = np.cross(along[0], [0.0, 0.0, 1.0] if abs(along[0, 2]) < 0.9 else [1.0, 0.0, 0.0])
    frames = []
    for direction in along:  # the frame is carried along: no twist
        first = first - direction * (first @ direction)
        first = first / max(float(np.linalg.norm(first)), 1e-9)
        frames.append((first, np.cross(direction, first)))
    angle = np.arange(sides) * 2 * np.pi / sides
    rings = [
        p + r * (np.cos(angle)[:, None] * u + np.sin(angle)[:, None] * v)
        for p, r, (u, v) in zip(points, radii, frames, strict=True)
    ]
    vertices = np.concatenate([*rings, points[:1], points[-1:]])
    i, n = np.arange(sides), len(points)
    j = (i + 1) % sides
    walls = [np.stack([k * sides + i, k * sides + j, (k + 1) * sides + j], 1) for k in range(n - 1)]
    walls += [np.stack([k * sides + i, (k + 1) * sides + j, (k + 1) * sides + i], 1) for k in range(n - 1)]
    ends = [
        np.stack([np.full(sides, n * sides), j, i], 1),
        np.stack([np.full(sides, n * sides + 1), (n - 1) * sides + i, (n - 1) * sides + j], 1),
    ]
    return Piece(vertices, np.concatenate([*walls, *ends]).astype(np.int64))


def warped(pieces: Sequence[Piece], rng: Rng) -> list[Piece]:
    """All pieces tapered, sheared or twisted together about y, gently; coarse faces are split first."""
    low = np.min([p.bounds()[0] for p in pieces], 0)
    high = np.max([p.bounds()[1] for p in pieces], 0)
    height = max(float(high[1] - low[1]), 1e-6)
    top, lean, twist = rng.uniform(0.5, 1.3), rng.normal(0, 0.12), rng.normal(0, 0.4) * (rng.random() < 0.4)
    out = []
    for piece in pieces:
        vertices, faces = trimesh.remesh.subdivide_to_size(piece.vertices, piece.faces, height / 6, max_iter=6)
        t = (vertices[:, 1] - low[1]) / height
        factor, angle = 1 + (top - 1) * t, twist * t
        x = vertices[:, 0] * factor
        z = vertices[:, 2] * factor
        turned = np.stack(
            [x * np.cos(angle) + z * np.sin(angle), vertices[:, 1], z * np.cos(angle) - x * np.sin(angle)]
        )
        turned[2] += lean * height * t
        out.append(Piece(turned.T, np.asarray(faces, np.int64), piece.skin))
    return out
