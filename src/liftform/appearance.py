"""The colour of a mesh at its vertices, whatever it is stored as: texture, vertex colours or one factor."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .assets import Material, Mesh
from .conventions import linear_to_srgb, srgb_to_linear

FloatArray = NDArray[np.float32]


def vertex_colors(mesh: Mesh) -> FloatArray | None:
    """Colours (V, 3) float32, sRGB-encoded in [0, 1], or None when the mesh says nothing about colour.

    The texture wins over vertex colours (as when the mesh is drawn), and either is multiplied by the factor. Of a
    vertex that faces of several materials share, the last one's.
    """
    if mesh.face_material is None:
        return _of_one_material(mesh)
    colors = np.ones_like(mesh.vertices)
    for k, material in enumerate(mesh.materials):
        used = np.unique(mesh.faces[mesh.face_material == k])
        part = mesh.with_(material=material, materials=(), face_material=None)
        found = _of_one_material(_at_vertices(part, used))
        if found is not None:
            colors[used] = found
    return colors


def _at_vertices(mesh: Mesh, used: NDArray[np.int32]) -> Mesh:
    """The vertices ``used`` alone, with what gives them colour."""
    fields = {name: value[used] for name in ("uv", "colors") if (value := getattr(mesh, name)) is not None}
    return Mesh(mesh.vertices[used], mesh.faces[:0], material=mesh.material, **fields)


def _of_one_material(mesh: Mesh) -> FloatArray | None:
    """Colours at the vertices of a mesh with one material, or none."""
    material = mesh.material or Material()
    factor = np.asarray(material.base_color[:3], np.float32)
    if material.base_color_texture is not None and mesh.uv is not None:
        return linear_to_srgb(sample_linear(material.base_color_texture, mesh.uv) * factor)
    if mesh.colors is not None:
        return mesh.colors if (factor == 1).all() else linear_to_srgb(srgb_to_linear(mesh.colors) * factor)
    if mesh.material is None:
        return None
    return np.broadcast_to(linear_to_srgb(factor), mesh.vertices.shape).astype(np.float32)


def sample_linear(texture: NDArray[np.uint8], uv: NDArray[np.floating[Any]]) -> FloatArray:
    """Bilinear samples (N, 3) in linear light of an sRGB texture (H, W, 3) at ``uv`` (N, 2), origin top-left.

    Texel centres lie at (i + 0.5); coordinates outside [0, 1] repeat the texture.
    """
    height, width = texture.shape[:2]
    size = np.array([width, height])
    to_linear = srgb_to_linear((np.arange(256) / 255).astype(np.float32))
    at = np.asarray(uv, np.float64) * size - 0.5
    corner = np.floor(at)
    part = (at - corner).astype(np.float32)
    total = np.zeros((len(at), 3), np.float32)
    for dx in (0, 1):
        for dy in (0, 1):
            column, row = ((corner + np.array([dx, dy])) % size).astype(np.int64).T
            weight = np.abs(1 - dx - part[:, 0]) * np.abs(1 - dy - part[:, 1])
            total += weight[:, None] * to_linear[texture[row, column, :3]]
    return total
