"""Mesh -> PointCloud: points spread evenly over a surface, with its colours and normals."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .appearance import sample_linear, vertex_colors
from .assets import Material, Mesh, PointCloud
from .conventions import linear_to_srgb, srgb_to_linear
from .errors import InputError, UsageError

FloatArray = NDArray[np.float32]

#: The most points of one cloud.
MAX_POINTS = 50_000_000
#: Candidates for each point that shall keep its distance, and that distance in units of the densest packing's.
_CANDIDATES, _DISTANCE = 5, 0.62


def sampled(mesh: Mesh, count: int, seed: int = 0, apart: bool = False) -> PointCloud:
    """``count`` points on the surface, as many on every part as its share of the area.

    Faces are visited in order at equal steps of area, from an offset that ``seed`` decides; within a face points follow
    the R2 sequence (M. Roberts, 2018). apart: points also keep their distance from each other (a greedy Poisson disc
    over five times as many candidates), at some ten times the cost. Colours come from the textures where there are any,
    normals from the vertices, else the faces. Raises InputError for a mesh without area, UsageError for a bad count.
    """
    if not 0 < count <= MAX_POINTS:
        raise UsageError(f"{count} points cannot be sampled", f"ask for 1 to {MAX_POINTS:,}")
    mesh.validate()
    rng = np.random.default_rng(seed)
    face, weights, area = _places(mesh, count * (_CANDIDATES if apart else 1), rng)
    if apart:
        points = _between(mesh.vertices, mesh.faces[face], weights)
        spacing = _DISTANCE * 2 * np.sqrt(area / (2 * np.sqrt(3) * count))
        chosen = np.sort(_keeping_distance(points, spacing, rng)[:count])
        face, weights = face[chosen], weights[chosen]
    corners = mesh.faces[face]
    normals = mesh.face_normals()[face].astype(np.float64)
    if mesh.normals is not None:
        smooth = _between(mesh.normals, corners, weights)
        length = np.linalg.norm(smooth, axis=1, keepdims=True)
        normals = np.where(length > 1e-6, smooth / np.maximum(length, 1e-6), normals)
    return PointCloud(
        _between(mesh.vertices, corners, weights).astype(np.float32),
        colors=_colors(mesh, face, weights),
        normals=normals.astype(np.float32),
        name=mesh.name,
    )


def _places(mesh: Mesh, count: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.float64], float]:
    """Face (N,) and barycentric weights (N, 3) of every point, and the surface's area."""
    a, b, c = (mesh.vertices[mesh.faces[:, k]].astype(np.float64) for k in range(3))
    areas = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
    total = np.cumsum(areas)
    if not np.isfinite(total[-1]) or not total[-1] > 0:
        raise InputError("the mesh has no area to put points on", "repair it first")
    offset, u0, v0 = rng.random(3)
    i = np.arange(count)
    face = np.minimum(np.searchsorted(total, (i + offset) / count * total[-1], side="right"), len(areas) - 1)
    u, v = (u0 + i * 0.7548776662466927) % 1, (v0 + i * 0.5698402909980532) % 1  # powers of the plastic number
    folded = u + v > 1
    u, v = np.where(folded, 1 - u, u), np.where(folded, 1 - v, v)
    return face, np.stack([1 - u - v, u, v], axis=1), float(total[-1])


def _between(values: FloatArray, corners: NDArray[np.int32], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values of vertices (V, n) at barycentric places (N, n)."""
    return sum((values[corners[:, k]] * weights[:, k, None] for k in range(3)), np.zeros(values.shape[1]))


def _keeping_distance(points: NDArray[np.float64], spacing: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Numbers of the points: first those that lie no closer than ``spacing`` to each other, then the others."""
    from scipy.spatial import cKDTree

    order = rng.permutation(len(points))
    first, second = np.sort(cKDTree(points[order]).query_pairs(spacing, output_type="ndarray"), axis=1).T
    waiting, kept = np.ones(len(points), bool), np.zeros(len(points), bool)
    while waiting.any():
        blocked = np.zeros(len(points), bool)
        blocked[second[waiting[first] & waiting[second]]] = True
        now = waiting & ~blocked
        kept |= now
        waiting &= ~now
        waiting[second[now[first]]] = False
        waiting[first[now[second]]] = False
    return np.concatenate([order[kept], order[~kept]])


def _colors(mesh: Mesh, face: NDArray[np.int64], weights: NDArray[np.float64]) -> FloatArray | None:
    """sRGB colours (N, 3) of the points, or None when the mesh says nothing about colour."""
    fallback = vertex_colors(mesh)
    if fallback is None:
        return None
    linear = _between(srgb_to_linear(fallback), mesh.faces[face], weights).astype(np.float32)
    for k, material in enumerate(mesh.all_materials):
        there = np.ones(len(face), bool) if mesh.face_material is None else mesh.face_material[face] == k
        found = _from_texture(mesh, material, face[there], weights[there])
        if found is not None:
            linear[there] = found
    return linear_to_srgb(linear)


def _from_texture(
    mesh: Mesh, material: Material, face: NDArray[np.int64], weights: NDArray[np.float64]
) -> FloatArray | None:
    """Linear colours of points on faces of one material, or None without a texture."""
    if material.base_color_texture is None or mesh.uv is None:
        return None
    uv = _between(mesh.uv, mesh.faces[face], weights)
    return sample_linear(material.base_color_texture, uv) * np.asarray(material.base_color[:3], np.float32)
