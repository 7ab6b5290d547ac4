"""How far a reconstruction agrees with itself: what later stages need to say how much to trust it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..camera import Camera
from ..zoo.lifter import Reading
from .surface import Grid

FloatArray = NDArray[np.float32]

#: Distances beyond this (view units) say no more than "wrong"; the field saturates there too.
FAR = 0.1
#: ``confidence`` of a dense mesh is 1 / (1 + doubt / HALF): one half where the readings differ by this much.
HALF = 0.02


def doubt(values: FloatArray, vertices: FloatArray, grid: Grid) -> FloatArray:
    """How far (N,), in view units, each reading would move the surface at its vertices (N, 3).

    values (K, N): signed distance by each of K readings at the vertices; divided by how steeply the field rises there.
    Parts that no reading knows (sheets, struts, what the silhouette cut) show up as well: the field is not zero there.
    """
    steep = np.linalg.norm(slope(grid, vertices), axis=1)
    moved = np.abs(values).mean(0) / np.clip(steep, 0.25, 1.0)
    return np.minimum(moved, FAR).astype(np.float32)


def confidence_of(doubts: FloatArray) -> FloatArray:
    """Doubt (N,) in view units as a preliminary confidence in (0, 1]."""
    return (1 / (1 + doubts / HALF)).astype(np.float32)


def slope(grid: Grid, points: NDArray[np.floating]) -> FloatArray:
    """Gradient (N, 3) of a grid's values at points (N, 3) of its frame, by differences over two cells."""
    from scipy.ndimage import map_coordinates

    at = ((points - grid.low) / grid.step).T
    sides = []
    for axis in range(3):
        ends = []
        for move in (1, -1):
            there = at.copy()
            there[axis] += move
            ends.append(map_coordinates(grid.values, there, order=1, mode="nearest"))
        sides.append((ends[0] - ends[1]) / (2 * grid.step))
    return np.stack(sides, 1).astype(np.float32)


def signals(
    reading: Reading,
    twin: Reading | None,
    virtual: Camera,
    grid: Grid,
    visible: NDArray[np.floating],
    doubts: FloatArray,
) -> dict[str, float]:
    """Figures of agreement, all in view units, radians or shares; the twin's are missing where there is no twin.

    reading: of the picture, its depth averaged with the twin's. twin: of the mirror image. visible (N, 3): the points
    of ``reading.solid`` in the view frame at the network's depth. doubts: of the surface's vertices.
    """
    from scipy.ndimage import map_coordinates

    rise = slope(grid, visible)
    length = np.linalg.norm(rise, axis=1)
    height = map_coordinates(grid.values, ((visible - grid.low) / grid.step).T, order=1, mode="nearest")
    gap = np.minimum(np.abs(height) / np.clip(length, 0.25, 1.0), FAR)
    normals = reading.normals[:, reading.solid].T
    facing = ((rise @ virtual.world_from_camera[:3, :3]) * normals).sum(1) / np.maximum(length, 1e-6)
    depth = reading.depth[reading.solid]
    found = {
        "doubt": doubts.mean(),
        "doubt_most": np.percentile(doubts, 90),
        "steepness": np.clip(length, 0, 2).mean(),
        "depth_gap": gap.mean(),
        "depth_gap_most": np.percentile(gap, 90),
        "normal_gap": 1 - facing.mean(),
        "relief": np.percentile(depth, 95) - np.percentile(depth, 5),
        "elevation": reading.elevation,
        "log_fov": np.log(reading.tan_half),
        "camera_gap": abs(reading.elevation - float(np.arcsin(-virtual.world_from_camera[1, 2]))),
        "mirror_trust": reading.mirror[2],
        "mirror_sideways": abs(reading.mirror[0][0]),
    }
    return {name: float(value) for name, value in (found | _twin_signals(reading, twin)).items()}


def _twin_signals(reading: Reading, twin: Reading | None) -> dict[str, float]:
    """How differently the network reads the mirror image."""
    if twin is None:
        return {}
    solid = reading.solid
    depth = 2 * np.abs(twin.depth[:, ::-1] - reading.depth)[solid]
    other = twin.normals[:, :, ::-1] * np.array([-1, 1, 1], np.float32)[:, None, None]
    codes = [r.maps["code"].ravel().astype(np.float64) for r in (reading, twin)]
    cosine = float(codes[0] @ codes[1]) / max(float(np.linalg.norm(codes[0]) * np.linalg.norm(codes[1])), 1e-12)
    return {
        "twin_depth": float(np.minimum(depth, FAR).mean()),
        "twin_normals": float(1 - (reading.normals * other).sum(0)[solid].mean()),
        "twin_code": 1 - cosine,
        "twin_elevation": abs(reading.elevation - twin.elevation),
        "twin_fov": abs(float(np.log(reading.tan_half / twin.tan_half))),
        "twin_mirror": abs(reading.mirror[2] - twin.mirror[2]),
    }
