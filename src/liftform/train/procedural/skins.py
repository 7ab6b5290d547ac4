"""What procedural things wear: four looks side by side in one texture, laid on by box projection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray

from ...conventions import srgb_to_linear
from .. import render
from ..textures import Rng, palette, texture
from .pieces import Piece

_CELL = 192


def skinned(pieces: Sequence[Piece], rng: Rng) -> tuple[render.Surface, Any]:
    """Pieces as (Surface, trimesh mesh), centred, longest side 1."""
    offsets = np.cumsum([0] + [len(p.vertices) for p in pieces])
    vertices = np.concatenate([p.vertices for p in pieces])
    faces = np.concatenate([p.faces + o for p, o in zip(pieces, offsets, strict=False)])
    skin = np.concatenate([np.full(len(p.faces), p.skin % 4) for p in pieces])
    low, high = vertices.min(0), vertices.max(0)
    vertices = (vertices - (low + high) / 2) / float((high - low).max())
    corners = vertices[faces].astype(np.float32)
    normals = render.corner_normals(corners)
    scale = np.exp(rng.uniform(np.log(0.5), np.log(1.0), 4))
    surface = render.Surface(corners, normals, _uv(corners, skin, scale), atlas(rng), _tints(corners, rng))
    return surface, trimesh.Trimesh(vertices, faces, process=False)


def atlas(rng: Rng) -> NDArray[np.uint8]:
    """Four looks (2 x 2 cells): plain colours that go together, quiet or loud textures."""
    colours = palette(rng, 4)
    plain = rng.random()  # some things are one colour all over
    cells = []
    for colour in colours if plain < 0.9 else np.repeat(colours[:1], 4, 0):
        flat = np.broadcast_to(colour, (_CELL, _CELL, 3)) * 255
        share = rng.choice([0.0, rng.uniform(0.1, 0.4), 1.0], p=[0.45, 0.25, 0.3])
        pattern = texture(rng, _CELL).astype(np.float32)
        cells.append(flat * (1 - share) + (pattern if share == 1 else pattern - pattern.mean((0, 1)) + flat) * share)
    rows = [np.concatenate(cells[:2], 1), np.concatenate(cells[2:], 1)]
    return np.clip(np.concatenate(rows, 0), 0, 255).astype(np.uint8)


def _uv(corners: NDArray[np.float32], skin: NDArray[np.int64], scale: NDArray[np.float64]) -> NDArray[np.float32]:
    """Box projection: each face along its normal's main axis, inside its look's cell."""
    normal = np.abs(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]))
    axis = normal.argmax(1)
    pick = np.array([[2, 1], [0, 2], [0, 1]])[axis]
    flat = np.take_along_axis(corners, np.repeat(pick[:, None], 3, 1), 2) + 0.5
    inside = 0.02 + 0.96 * np.clip(flat, 0, 1) * scale[skin][:, None, None]
    inside[..., 1] = 1 - inside[..., 1]
    cell = np.stack([skin % 2, skin // 2], 1)[:, None]
    return ((cell + inside) / 2).astype(np.float32)


def _tints(corners: NDArray[np.float32], rng: Rng) -> NDArray[np.float32]:
    """White, or a slow change of colour from the bottom to the top."""
    if rng.random() < 0.75:
        return np.ones_like(corners)
    low, high = srgb_to_linear(rng.uniform(0.5, 1, (2, 3)).astype(np.float32))
    t = corners[..., 1:2] + 0.5
    return np.asarray(low * (1 - t) + high * t, np.float32)
