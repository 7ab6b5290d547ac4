"""Tangents of a mesh with texture coordinates, as MikkTSpace makes them, and normals in and out of their frame.

Follows Mikkelsen (Simulation of wrinkled surfaces revisited, 2008) as glTF 2.0 asks: the face's direction of growing U,
projected to the vertex normal's plane, weighted by the corner's angle, averaged over the faces of one handedness that
share the vertex. Vertices are taken as stored (MikkTSpace would also weld equal ones). The bitangent is
sign * cross(normal, tangent) and points where V shrinks, upwards on the texture; neither is normalised in between.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..assets import FloatArray, Mesh

Floats = NDArray[np.float64]


def corner_tangents(mesh: Mesh, corner_normals: NDArray[np.floating]) -> FloatArray:
    """(F, 3, 4) float32: unit tangent of every face's corners and the sign of the bitangent; corner_normals (F, 3, 3).

    Where uv has no area the tangent is any direction across the normal. Needs uv.
    """
    assert mesh.uv is not None
    direction, sign = _of_faces(mesh)
    normals = np.asarray(corner_normals, np.float64)
    weighted = _unit(direction[:, None] - _along(direction[:, None], normals)) * _angles(mesh, normals)[..., None]
    key = (2 * mesh.faces.astype(np.int64) + (sign > 0)[:, None]).ravel()
    count = 2 * len(mesh.vertices)
    total = np.stack([np.bincount(key, weighted[..., k].ravel(), count) for k in range(3)], 1)
    mean = np.asarray(total[key].reshape(-1, 3, 3), np.float64)
    tangent = _unit(mean - _along(mean, normals))
    lost = (tangent == 0).all(-1)
    if lost.any():
        tangent[lost] = _across(normals[lost])
    signs = np.broadcast_to(sign[:, None, None], (*tangent.shape[:2], 1))
    return np.concatenate([tangent, signs], -1).astype(np.float32)


def to_world(encoded: FloatArray, normal: FloatArray, tangent: FloatArray) -> FloatArray:
    """Unit world directions (N, 3) of tangent-space ones (N, 3); normal (N, 3), tangent (N, 4) interpolated."""
    bitangent = np.cross(normal, tangent[:, :3]) * tangent[:, 3:]
    out = encoded[:, :1] * tangent[:, :3] + encoded[:, 1:2] * bitangent + encoded[:, 2:] * normal
    return np.asarray(out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12), np.float32)


def to_tangent(world: FloatArray, normal: FloatArray, tangent: FloatArray) -> FloatArray:
    """Unit tangent-space directions (N, 3) of world ones: the inverse of ``to_world``."""
    t = tangent[:, :3]
    b = np.cross(normal, t) * tangent[:, 3:]
    tt, nn, tn = (np.einsum("ij,ij->i", p, q) for p, q in ((t, t), (normal, normal), (t, normal)))
    wt, wn = np.einsum("ij,ij->i", world, t), np.einsum("ij,ij->i", world, normal)
    det = np.maximum(tt * nn - tn * tn, 1e-12)
    y = np.einsum("ij,ij->i", world, b) / np.maximum(np.einsum("ij,ij->i", b, b), 1e-12)
    out = np.stack([(nn * wt - tn * wn) / det, y, (tt * wn - tn * wt) / det], 1)
    return np.asarray(out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12), np.float32)


def _of_faces(mesh: Mesh) -> tuple[Floats, Floats]:
    """Direction of growing U (F, 3), not unit, and the handedness (F,) of uv with V upwards."""
    assert mesh.uv is not None
    p, q = mesh.vertices[mesh.faces].astype(np.float64), mesh.uv[mesh.faces].astype(np.float64)
    e, g = p[:, 1] - p[:, 0], p[:, 2] - p[:, 0]
    du_e, dv_e = q[:, 1, 0] - q[:, 0, 0], q[:, 0, 1] - q[:, 1, 1]
    du_g, dv_g = q[:, 2, 0] - q[:, 0, 0], q[:, 0, 1] - q[:, 2, 1]
    sign = np.where(du_e * dv_g - du_g * dv_e >= 0, 1.0, -1.0)
    return sign[:, None] * (dv_g[:, None] * e - dv_e[:, None] * g), sign


def _angles(mesh: Mesh, normals: Floats) -> Floats:
    """Angle of every corner (F, 3) in the plane of its normal."""
    p = mesh.vertices[mesh.faces].astype(np.float64)
    ahead, behind = np.roll(p, -1, axis=1) - p, np.roll(p, 1, axis=1) - p
    ahead, behind = _unit(ahead - _along(ahead, normals)), _unit(behind - _along(behind, normals))
    return np.asarray(np.arccos(np.clip(np.einsum("ijk,ijk->ij", ahead, behind), -1, 1)))


def _along(vectors: NDArray[Any], normals: Floats) -> Floats:
    """The part of vectors along unit normals."""
    return np.asarray((vectors * normals).sum(-1, keepdims=True) * normals)


def _across(normals: Floats) -> Floats:
    """Some unit direction across each normal (N, 3)."""
    axis: Floats = np.eye(3)[np.abs(normals).argmin(1)]
    return _unit(axis - _along(axis, normals))


def _unit(vectors: NDArray[Any]) -> Floats:
    """Unit vectors (..., 3); zero stays zero."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(np.where(length > 1e-30, vectors / np.maximum(length, 1e-300), 0.0))
