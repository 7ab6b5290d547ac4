"""Ambient occlusion: how much of the sky above each point of a surface is free, by rays (Embree)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..assets import FloatArray
from ..render import Scene
from . import surface

#: Rays start this far above the surface; what they meet beyond the reach does not darken. Shares of the diagonal.
_ABOVE, _REACH = 0.002, 0.4
#: Neighbouring points take turns among this many rotations of the same directions.
TURNS = 16


def openness(scene: Scene, points: FloatArray, normals: FloatArray, turn: NDArray[np.integer], rays: int) -> FloatArray:
    """(N,) in [0, 1], 1 where nothing is near: share of cosine-weighted rays that leave, near obstacles counting most.

    points (N, 3) on the surface, normals (N, 3) unit, turn (N,) in [0, TURNS): which rotation of the directions each
    point uses. An obstacle's weight falls linearly to nothing at the reach, so that the inside of a room is not black.
    """
    size = max(surface.diagonal(scene.mesh.vertices), 1e-30)
    origin = (points + _ABOVE * size * normals).astype(np.float32)
    side, other = _frames(normals)
    dark = np.zeros(len(points), np.float32)
    angles = 2 * np.pi * (np.arange(TURNS) * 0.6180339887498949 % 1)
    for k in range(rays):
        radius = np.float32(np.sqrt((k + 0.5) / rays))
        angle = (angles + 2 * np.pi * (k * 0.6180339887498949 % 1))[turn].astype(np.float32)
        height = np.float32(np.sqrt(max(0.0, 1 - float(radius) ** 2)))
        x, y = (radius * np.cos(angle))[:, None], (radius * np.sin(angle))[:, None]
        distance = scene.cast(origin, x * side + y * other + height * normals).distance
        dark += np.clip(1 - distance / np.float32(_REACH * size), 0, 1)
    return 1 - dark / np.float32(rays)


def _frames(normals: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Two unit directions across each normal (Duff et al.: Building an orthonormal basis, revisited, 2017)."""
    x, y, z = normals.T
    sign = np.where(z >= 0, np.float32(1), np.float32(-1))
    a = -1 / (sign + z)
    b = x * y * a
    side = np.stack([1 + sign * x * x * a, sign * b, -sign * x], 1)
    return side.astype(np.float32), np.stack([b, sign + y * y * a, -y], 1).astype(np.float32)
