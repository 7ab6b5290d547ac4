"""How many pictures of a set saw each part of a surface: what is measured, what is one picture's word."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..assets import Mesh
from ..capture import Photo
from ..render import Scene

#: Points of the surface that are looked at, and the least cosine between a surface and a line of sight that sees it.
_SAMPLES, _GRAZING = 20_000, 0.17
#: Lines of sight end this far before the surface, share of its diagonal.
_BEFORE = 2e-3


def shares(mesh: Mesh, photos: Sequence[Photo], seed: int = 0) -> dict[str, float]:
    """Shares of the surface, in [0, 1], that at least one, two and three of the photos see: {"1": …, "2": …, "3": …}.

    mesh: in the world of the photos' cameras. A photo sees a point that lies in it, within its mask, not hidden, and
    faces it by more than about ten degrees.
    """
    points, normals = _samples(mesh, seed)
    counts = sightings(Scene(mesh), points, normals, photos)
    return {str(n): float((counts >= n).mean()) for n in (1, 2, 3)}


def sightings(
    scene: Scene, points: NDArray[np.float64], normals: NDArray[np.float64], photos: Sequence[Photo]
) -> NDArray[np.int32]:
    """How many of the photos see each of the points (N, 3) with unit normals (N, 3)."""
    size = float(np.linalg.norm(np.ptp(scene.mesh.bounds.astype(np.float64), axis=0)))
    counts = np.zeros(len(points), np.int32)
    for photo in photos:
        camera = photo.camera
        if camera is None:
            continue
        pixels, depth = camera.project(points)
        away = camera.position - points
        distance = np.linalg.norm(away, axis=1)
        towards = away / np.maximum(distance, 1e-12)[:, None]
        inside = (depth > 0) & (pixels >= 0).all(1) & (pixels < [camera.width, camera.height]).all(1)
        inside &= (towards * normals).sum(1) > _GRAZING
        inside[inside] = _in_mask(photo, pixels[inside])
        rows = np.flatnonzero(inside)
        # from the surface outwards: the far side of the ray may lie anywhere
        hits = scene.cast(points[rows] + _BEFORE * size * (towards[rows] + normals[rows]), towards[rows])
        counts[rows[hits.distance >= distance[rows] * 0.98]] += 1
    return counts


def _in_mask(photo: Photo, pixels: NDArray[np.float64]) -> NDArray[np.bool_]:
    if photo.mask is None:
        return np.ones(len(pixels), bool)
    alpha, camera = photo.mask.alpha, photo.camera
    assert camera is not None
    at = (pixels * [alpha.shape[1] / camera.width, alpha.shape[0] / camera.height]).astype(int)
    inside: NDArray[np.bool_] = alpha[at[:, 1], at[:, 0]] > 0.5
    return inside


def _samples(mesh: Mesh, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points spread evenly over the surface, and the normals of their faces."""
    rng = np.random.default_rng(seed)
    a, b, c = (mesh.vertices[mesh.faces[:, k]].astype(np.float64) for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    edges = np.cumsum(area)
    face = np.minimum(np.searchsorted(edges, rng.random(_SAMPLES) * edges[-1], side="right"), len(area) - 1)
    weight = rng.dirichlet((1.0, 1.0, 1.0), _SAMPLES)
    points = np.einsum("ij,ijk->ik", weight, np.stack([a, b, c], 1)[face])
    return points, mesh.face_normals()[face].astype(np.float64)
