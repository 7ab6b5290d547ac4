"""Points that are known to lie on the surface: shared points of the set, and depth maps where there are any."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...capture import Capture, Photo
from ..rays import Extent, alpha_of
from .training import Anchors

Floats = NDArray[np.float64]

#: Points at most.
_MOST = 60_000
#: Expected relative error of a depth that is trusted half.
_HALF = 0.01


def anchors(capture: Capture, box: Extent, seed: int) -> Anchors:
    """Shared points that no mask calls empty, and places of depth maps of the world's scale, inside the box."""
    parts = [_of_depth(photo) for photo in capture.photos]
    if capture.sparse is not None and len(capture.sparse.points):
        points = np.asarray(capture.sparse.points, np.float64)
        points = points[_kept(capture, points)]
        parts.append((points, np.full(len(points), 0.5, np.float32)))
    points = np.concatenate([np.zeros((0, 3)), *(p for p, _ in parts)])
    trust = np.concatenate([np.zeros(0, np.float32), *(t for _, t in parts)])
    inside = ((points > box.low) & (points < box.high)).all(1)
    points, trust = points[inside], trust[inside]
    if len(points) > _MOST:
        chosen = np.sort(np.random.default_rng(seed).choice(len(points), _MOST, replace=False))
        points, trust = points[chosen], trust[chosen]
    return Anchors(points, trust.astype(np.float32))


def _kept(capture: Capture, points: Floats) -> NDArray[np.bool_]:
    """Points that lie on the object in all pictures with masks that show them."""
    kept: NDArray[np.bool_] = np.asarray(np.isfinite(points).all(axis=1))
    for photo in capture.photos:
        alpha, camera = alpha_of(photo), photo.camera
        if alpha is None or camera is None:
            continue
        pixels, z = camera.resized(alpha.shape[1], alpha.shape[0]).project(np.nan_to_num(points))
        column, row = (np.clip(pixels, -1, 1e6)).astype(np.int64).T
        there = (z > 0) & (pixels >= 0).all(1) & (column < alpha.shape[1]) & (row < alpha.shape[0])
        kept[there] &= alpha[row[there], column[there]] > 0.5
    return kept


def _of_depth(photo: Photo) -> tuple[Floats, NDArray[np.float32]]:
    """Places (N, 3) of a depth map's pixels, every third one, and how far to trust them."""
    nothing = np.zeros((0, 3)), np.zeros(0, np.float32)
    depth, camera = photo.depth, photo.camera
    if depth is None or camera is None or depth.scale == "affine":
        return nothing
    rows, columns = np.meshgrid(*(np.arange(1, n, 3) for n in depth.z.shape), indexing="ij")
    z = depth.z[rows, columns]
    known = np.isfinite(z) & (z > 0)
    pixels = np.stack([columns[known] + 0.5, rows[known] + 0.5], -1)
    places = camera.resized(depth.z.shape[1], depth.z.shape[0]).unproject(pixels, z[known])
    if depth.spread is None:
        return places, np.full(len(places), 0.5, np.float32)
    spread = np.nan_to_num(depth.spread[rows, columns][known], nan=1.0)
    return places, (1 / (1 + (spread / _HALF) ** 2)).astype(np.float32)
