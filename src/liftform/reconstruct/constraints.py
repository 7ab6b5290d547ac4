"""What a reading of the picture rules out in space, and the terms by which a sampled field is fitted to the rest.

Measured one by one in docs/optimise.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..camera import Camera
from ..zoo.lifter import Reading
from ..zoo.object_frame import FRAME_WIDTH
from .optimise import Term
from .surface import Grid

FloatArray = NDArray[np.float32]

#: Empty from this far before the visible surface (view units), solid from this far behind it: plates are thin.
BEFORE, BEHIND = 0.05, 0.015
#: How far inside or outside the field has to be where a term holds: a tenth of what it says deep inside.
CLEAR = 0.004
#: Slope of the depth map per cell, in view units, at which the depth is trusted half.
STEEP = 0.05
#: Symmetry is asked for above this trust, on the grid's nodes this near the surface (view units).
MIRROR_TRUST, BAND = 0.9, 0.05
#: Nothing is further than this before the visible surface, in view units ...
FRONT = 0.15
#: ... nor below the lowest point seen, which stands on the floor, nor above the highest; nor beyond the sides.
FLOOR, SIDE = 0.02, 0.03
#: Share of the visible points that may lie outside those ends: depth at an edge is often off.
CRUMBS = 0.005
#: Share of the visible points whose normals tell how the object meets the floor.
LOWEST = 0.03
#: A loose part no point of which is this near to the visible surface is invented.
GROUNDED = 0.2


@dataclass(frozen=True)
class Rules:
    """What a reading rules out; ``camera`` is the depth map's.

    nearest (T, T): depth of the visible surface relative to the origin, continued beyond the silhouette; the least of
    each 3 x 3, so that an edge between near and far belongs to the near side. low, high (3,): what is seen ends there
    (view frame; infinite along z, where it cannot be told).
    """

    camera: Camera
    nearest: FloatArray
    low: FloatArray
    high: FloatArray

    @classmethod
    def of(cls, reading: Reading, virtual: Camera) -> Rules:
        """From a reading and the virtual camera it was read with."""
        from scipy.ndimage import distance_transform_edt, minimum_filter

        camera = virtual.resized(*reading.depth.T.shape)
        if not reading.solid.any():
            far = np.full(3, np.inf, np.float32)
            return cls(camera, np.full_like(reading.depth, -np.inf), -far, far)
        rows, columns = distance_transform_edt(~reading.solid, return_distances=False, return_indices=True)
        ends = np.percentile(visible_points(reading, virtual), [100 * CRUMBS, 100 - 100 * CRUMBS], axis=0)
        below = FLOOR + _turned_under(reading, virtual)
        low, high = ends[0] - [SIDE, below, np.inf], ends[1] + [SIDE, FLOOR, np.inf]
        nearest = minimum_filter(reading.depth[rows, columns], 3)
        return cls(camera, nearest, low.astype(np.float32), high.astype(np.float32))

    def behind(self, points: NDArray[np.floating]) -> FloatArray:
        """How far (N,), along the optical axis, points (N, 3) of the view frame lie behind the visible surface."""
        from scipy.ndimage import map_coordinates

        pixels, depth = self.camera.project(points)
        at = np.clip(pixels - 0.5, 0, len(self.nearest) - 1)
        seen = map_coordinates(self.nearest, [at[:, 1], at[:, 0]], order=1, mode="nearest")
        return np.asarray(depth - distance(self.camera) - seen, np.float32)

    def broken(self, points: NDArray[np.floating]) -> FloatArray:
        """How far (N,), in view units, points (N, 3) are where nothing can be; negative where something can."""
        over = np.maximum(self.low - points, points - self.high).max(1)
        return np.asarray(np.maximum(over, -FRONT - self.behind(points)), np.float32)

    def hold(self, points: NDArray[np.floating]) -> bool:
        """Whether a loose part, given by points (N, 3) of its inside, is anywhere near what is seen."""
        return bool(np.abs(self.behind(points)).min() < GROUNDED)


def distance(camera: Camera) -> float:
    """From a virtual camera to the view frame's origin, in view units."""
    return float(0.5 * FRAME_WIDTH / np.tan(camera.yfov / 2))


def terms(reading: Reading, virtual: Camera, grid: Grid, symmetry: float = 0.0) -> list[Term]:
    """Visible depth, and mirror symmetry with the weight ``symmetry``, as terms on a grid of the view frame.

    The silhouette and the ``Rules`` are no terms: they are cut exactly, before and after.
    """
    return [*_depth_terms(reading, virtual), *_mirror_terms(reading, grid, symmetry)]


def visible_points(reading: Reading, virtual: Camera, deeper: float = 0.0) -> NDArray[np.float64]:
    """Points (N, 3) of the view frame on the visible surface of ``reading.solid``, or ``deeper`` behind it."""
    size = reading.depth.shape[0]
    rows, columns = np.nonzero(reading.solid)
    pixels = np.stack([columns + 0.5, rows + 0.5], -1)
    return virtual.resized(size, size).unproject(pixels, distance(virtual) + reading.depth[rows, columns] + deeper)


def _turned_under(reading: Reading, virtual: Camera) -> float:
    """How far the object may reach below the lowest point seen because its surface turns under there.

    A wall ends at the floor; a ball of radius r goes r (1 - cos b) deeper than where rays that fall at an angle b
    touch it. Between the two the normals at the lowest points decide.
    """
    points = visible_points(reading, virtual)
    lowest = points[:, 1] <= np.percentile(points[:, 1], 100 * LOWEST)
    normals = reading.normals[:, reading.solid].T[lowest] @ virtual.world_from_camera[1, :3]
    rays = points[lowest] - virtual.position
    fall = np.clip(-rays[:, 1] / np.linalg.norm(rays, axis=1), 0, 1)
    radius = 0.5 * float(np.ptp(points[:, :2], axis=0).min())
    return radius * float(np.median(np.maximum(-normals, 0) * (1 - np.sqrt(1 - fall**2))))


def _depth_terms(reading: Reading, virtual: Camera) -> list[Term]:
    """Empty before the visible surface, solid just behind it; where the depth jumps it is trusted less."""
    slope = np.hypot(*np.gradient(reading.depth))[reading.solid]
    trust = 1 / (1 + (slope / STEEP) ** 2)
    empty = [
        Term(f"before {k}", "outside", visible_points(reading, virtual, -k * BEFORE), CLEAR, trust=trust)
        for k in (1, 2, 4)
    ]
    return [*empty, Term("behind", "inside", visible_points(reading, virtual, BEHIND), -CLEAR, trust=trust)]


def _mirror_terms(reading: Reading, grid: Grid, weight: float) -> list[Term]:
    """The same on both sides of a plane that is sure."""
    normal, offset, trust = reading.mirror
    if trust < MIRROR_TRUST or not weight:
        return []
    near = np.abs(grid.values) < BAND
    near[1::2], near[:, 1::2], near[:, :, 1::2] = False, False, False
    points = grid.points(near)
    partners = points - 2 * ((points @ normal) - offset)[:, None] * normal
    return [Term("mirror", "same", points, partners=partners, weight=weight * trust)]
