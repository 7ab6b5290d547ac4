"""Depth maps -> truncated signed distances on sparse voxels, weighted by how far each depth is believed.

Curless and Levoy: A Volumetric Method for Building Complex Models from Range Images, 1996; Nießner et al.: Real-time 3D
Reconstruction at Scale using Voxel Hashing, 2013. Depth maps come one at a time: the volume alone stays in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from ...errors import ReconstructionError
from .agreement import in_order
from .blocks import SIDE, Blocks, Floats, touched
from .maps import Map

#: Bytes of a block while it is filled.
BLOCK_BYTES = 2 * 4 * SIDE**3
#: Weight of a view that looks through a node, against one that shows a surface there.
_THROUGH = 0.6
#: Weight of a view whose mask says that nothing is there.
_OUTSIDE = 1.0
#: Blocks that one thread works on at a time.
_LOT = 512


@dataclass(frozen=True)
class Volume:
    """distance (B, 8, 8, 8) float32: mean signed distance in cells, positive outside; weight: what it rests on."""

    blocks: Blocks
    distance: NDArray[np.float32]
    weight: NDArray[np.float32]


def covered(
    maps: Sequence[Map], low: Floats, step: float, reach: float, farthest: Sequence[float], most: int
) -> tuple[Blocks, float]:
    """The blocks near all depths, and the step they needed: larger than asked for if there were more than ``most``.

    Raises ReconstructionError when nothing is near enough.
    """
    while True:
        found = np.zeros(0, np.int64)
        for one, far in zip(maps, farthest, strict=True):
            found = np.union1d(found, touched(one, low, step, reach * step, far))
            if len(found) > most:
                break
        if not len(found):
            raise ReconstructionError("no depth is near enough to be joined", "see what the stereo stage found")
        if len(found) <= most:
            return Blocks(low, step, found), step
        step *= 1.25


def integrated(
    blocks: Blocks, maps: Sequence[Map], reach: float, threads: int, progress: Callable[[float], None]
) -> Volume:
    """Distances of all maps at all nodes; reach: where distances are cut off, in cells."""
    count = len(blocks.key)
    distance = np.zeros((count, SIDE, SIDE, SIDE), np.float32)
    weight = np.zeros_like(distance)
    places = blocks.places()
    for number, one in enumerate(maps):
        pose = np.ascontiguousarray(one.camera.camera_from_world[:3])

        def lot(start: int, one: Map = one, pose: Any = pose) -> None:
            part = slice(start, start + _LOT)
            _integrate(
                *(one.z, one.trust, one.normals, one.lens, pose, places[part], blocks.low, blocks.step, reach),
                *(distance[part], weight[part]),
            )

        in_order(lot, range(0, count, _LOT), threads)
        progress((number + 1) / len(maps))
    np.divide(distance, weight, out=distance, where=weight > 0)
    return Volume(blocks, distance, weight)


@numba.njit(cache=True, nogil=True)
def _integrate(
    z: Any, trust: Any, normals: Any, lens: Any, pose: Any, places: Any, low: Any, step: float, reach: float,
    distance: Any, weight: Any,
) -> None:  # fmt: skip
    """Add one view to some blocks: distances to the plane that the pixel's depth and normal say."""
    height, width = z.shape
    radius = 0.5 * SIDE * step * 1.7321
    for b in range(len(places)):
        cx = low[0] + step * (places[b, 0] * SIDE + 0.5 * (SIDE - 1))
        cy = low[1] + step * (places[b, 1] * SIDE + 0.5 * (SIDE - 1))
        cz = low[2] + step * (places[b, 2] * SIDE + 0.5 * (SIDE - 1))
        depth = pose[2, 0] * cx + pose[2, 1] * cy + pose[2, 2] * cz + pose[2, 3]
        if depth < -radius:
            continue
        if depth > radius:
            nearest = depth - radius
            u = (pose[0, 0] * cx + pose[0, 1] * cy + pose[0, 2] * cz + pose[0, 3]) / depth * lens[0] + lens[2]
            v = (pose[1, 0] * cx + pose[1, 1] * cy + pose[1, 2] * cz + pose[1, 3]) / depth * lens[1] + lens[3]
            slack = 2 * radius * max(lens[0], lens[1]) / nearest
            if u < -slack or v < -slack or u > width + slack or v > height + slack:
                continue
        for i in range(SIDE):
            for j in range(SIDE):
                for k in range(SIDE):
                    px = low[0] + step * (places[b, 0] * SIDE + i)
                    py = low[1] + step * (places[b, 1] * SIDE + j)
                    pz = low[2] + step * (places[b, 2] * SIDE + k)
                    qz = pose[2, 0] * px + pose[2, 1] * py + pose[2, 2] * pz + pose[2, 3]
                    if qz <= 1e-9:
                        continue
                    qx = (pose[0, 0] * px + pose[0, 1] * py + pose[0, 2] * pz + pose[0, 3]) / qz
                    qy = (pose[1, 0] * px + pose[1, 1] * py + pose[1, 2] * pz + pose[1, 3]) / qz
                    x, y = int(np.floor(qx * lens[0] + lens[2])), int(np.floor(qy * lens[1] + lens[3]))
                    if x < 0 or y < 0 or x >= width or y >= height:
                        continue
                    d = z[y, x]
                    if np.isnan(d):
                        continue
                    if np.isinf(d):
                        distance[b, i, j, k] += reach * _OUTSIDE
                        weight[b, i, j, k] += _OUTSIDE
                        continue
                    believed = trust[y, x]
                    if believed <= 0:
                        continue
                    size = np.sqrt(qx * qx + qy * qy + 1)
                    cosine = 0.5
                    if np.isfinite(normals[y, x, 0]):
                        nx, ny, nz = normals[y, x, 0], normals[y, x, 1], normals[y, x, 2]
                        slope = nx * qx + ny * qy + nz
                        cosine = min(max(-slope / size, 0.15), 1.0)
                        middle = nx * (x + 0.5 - lens[2]) / lens[0] + ny * (y + 0.5 - lens[3]) / lens[1] + nz
                        if slope < -0.1 * size:
                            d *= min(max(middle / slope, 0.97), 1.03)
                    along = (d - qz) * size / step
                    away = along * cosine
                    if along > 2.5 * reach or away > reach:
                        w = believed * _THROUGH * cosine
                        distance[b, i, j, k] += reach * w
                        weight[b, i, j, k] += w
                    elif away > -reach and along > -2.5 * reach:
                        w = believed * cosine
                        if away < 0:
                            w *= 1 + away / reach
                        w = max(w, 1e-4)
                        distance[b, i, j, k] += away * w
                        weight[b, i, j, k] += w
