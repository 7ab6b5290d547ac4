"""Pictures of splats from any camera, and the way back from a picture's gradient to every Gaussian's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...assets import FloatArray, Splats
from ...camera import Camera
from . import raster
from .layout import degree_of, to_table
from .project import camera_numbers, project, project_back

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Painted:
    """A picture (3, H, W), the background's share ``clear`` (H, W) in it, and what the way back needs."""

    picture: Floats
    clear: Floats
    numbers: Floats
    degree: int
    flat: Floats
    offsets: NDArray[np.int64]
    lists: tuple[Any, ...]

    @property
    def shown(self) -> NDArray[np.bool_]:
        """Which Gaussians (N,) lie in the picture."""
        return np.asarray(np.diff(self.offsets) > 0)


def painted(table: Floats, camera: Camera, background: Floats, near: float, degree: int | None = None) -> Painted:
    """The Gaussians of a table (N, columns) as ``camera`` sees them, before ``background`` (3,).

    near: z-depth up to which nothing is drawn. degree: of the harmonics that are used, at most the table's own. The
    table's kind of float is that of everything; results are the same for any number of threads.
    """
    import numba

    kind, width, height = table.dtype, camera.width, camera.height
    degree = degree_of(table) if degree is None else degree
    numbers = camera_numbers(camera, near)
    flat, tiles = np.empty((len(table), 12), kind), np.empty((len(table), 4), np.int32)
    project(table, degree, numbers, width, height, flat, tiles, raster.SIDE)
    order = raster.depth_order(flat[:, 10].astype(np.float32), tiles)
    across, down = -(-width // raster.SIDE), -(-height // raster.SIDE)
    first, items, place, offsets = raster.deal(order, tiles, across, down)
    sequence = raster.shared_out(first, numba.get_num_threads())
    picture, clear = np.empty((3, height, width), kind), np.empty((height, width), kind)
    used = np.zeros(across * down, np.int64)
    raster.blend(sequence, first, items, flat, np.asarray(background, kind), picture, clear, used)
    return Painted(picture, clear, numbers, degree, flat, offsets, (sequence, first, items, place, used))


def back(table: Floats, seen: Painted, gradient: Floats, error: Floats) -> tuple[Floats, Floats]:
    """Gradients (N, columns) of a table from ``gradient`` (3, H, W), that of its picture; and scores (N,): ``error``
    (H, W) shared out to the Gaussians that paint the pixels."""
    sequence, first, items, place, used = seen.lists
    pairs = np.empty((len(items), 10), table.dtype)
    raster.blend_back(sequence, first, items, place, seen.flat, seen.picture, gradient, error, used, pairs)
    gradients, scores = np.empty_like(table), np.empty(len(table), table.dtype)
    project_back(table, seen.degree, seen.numbers, seen.flat, seen.offsets, pairs, gradients, scores)
    return gradients, scores


def render(
    asset: Splats, camera: Camera, background: tuple[float, float, float] | None = None, near: float | None = None
) -> FloatArray:
    """The splats from a camera: (H, W, 4) float32, sRGB-encoded, straight alpha; opaque (H, W, 3) before a background.

    near: z-depth up to which nothing is drawn (default: 1 % of the median distance of what lies ahead).
    """
    near = near_of(asset.means, [camera]) if near is None else near
    seen = painted(to_table(asset), camera, np.array(background or (0.0, 0.0, 0.0), np.float32), near)
    picture = np.moveaxis(seen.picture, 0, -1)
    if background is not None:
        return np.clip(picture, 0, 1)
    alpha = 1 - seen.clear[..., None]
    return np.concatenate([np.clip(picture / np.maximum(alpha, 1e-4), 0, 1), alpha], -1).astype(np.float32)


def near_of(means: Floats, cameras: list[Camera]) -> float:
    """1 % of the median z-depth of the means (N, 3) ahead of the cameras; 0.01 where nothing is."""
    depths = [
        means @ camera.world_from_camera[:3, 2] - camera.position @ camera.world_from_camera[:3, 2]
        for camera in cameras
    ]
    ahead = np.concatenate(depths)
    ahead = ahead[ahead > 0]
    return 0.01 * float(np.median(ahead)) if len(ahead) else 0.01
