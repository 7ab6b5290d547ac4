"""What a reading of the picture rules out in space, and the terms by which a sampled field is fitted to the rest."""

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

#: The field and the depth map may differ by this much (view units) before a term pulls.
MARGIN = 0.05
#: How far inside or outside the field has to be where a term holds: a tenth of what it says deep inside.
CLEAR = 0.004
#: Slope of the depth map per cell, in view units, at which the depth is trusted half.
STEEP = 0.05
#: Symmetry is asked for above this trust, on the grid's nodes this near the surface (view units).
MIRROR_TRUST, BAND = 0.9, 0.05
#: Nothing is this far below the lowest point seen.
FLOOR = 0.02


@dataclass(frozen=True)
class Visible:
    """The visible surface as the depth map places it, continued beyond the silhouette.

    camera: of the map. nearest (T, T): depth relative to the origin, the least of each 3 x 3, so that an edge between
    near and far belongs to the near side.
    """

    camera: Camera
    nearest: FloatArray

    @classmethod
    def of(cls, reading: Reading, virtual: Camera) -> Visible:
        """From a reading and the virtual camera it was read with."""
        from scipy.ndimage import distance_transform_edt, minimum_filter

        size = reading.depth.shape[0]
        depth = reading.depth
        if reading.solid.any():
            rows, columns = distance_transform_edt(~reading.solid, return_distances=False, return_indices=True)
            depth = depth[rows, columns]
        return cls(virtual.resized(size, size), minimum_filter(depth, 3))

    def behind(self, points: NDArray[np.floating]) -> FloatArray:
        """How far (N,), along the optical axis, points (N, 3) of the view frame lie behind the visible surface."""
        from scipy.ndimage import map_coordinates

        pixels, depth = self.camera.project(points)
        at = np.clip(pixels - 0.5, 0, len(self.nearest) - 1)
        seen = map_coordinates(self.nearest, [at[:, 1], at[:, 0]], order=1, mode="nearest")
        return np.asarray(depth - distance(self.camera) - seen, np.float32)


def distance(camera: Camera) -> float:
    """From a virtual camera to the view frame's origin, in view units."""
    return float(0.5 * FRAME_WIDTH / np.tan(camera.yfov / 2))


def terms(reading: Reading, virtual: Camera, grid: Grid) -> list[Term]:
    """Visible depth, mirror symmetry and floor contact as terms on a grid of the view frame.

    The silhouette is no term: it is cut exactly, before and after.
    """
    return [*_depth_terms(reading, virtual), *_mirror_terms(reading, grid), *_floor_terms(reading, virtual, grid)]


def visible_points(reading: Reading, virtual: Camera, deeper: float = 0.0) -> NDArray[np.float64]:
    """Points (N, 3) of the view frame on the visible surface of ``reading.solid``, or ``deeper`` behind it."""
    size = reading.depth.shape[0]
    rows, columns = np.nonzero(reading.solid)
    pixels = np.stack([columns + 0.5, rows + 0.5], -1)
    return virtual.resized(size, size).unproject(pixels, distance(virtual) + reading.depth[rows, columns] + deeper)


def _depth_terms(reading: Reading, virtual: Camera) -> list[Term]:
    """Empty before the visible surface, solid just behind it; where the depth jumps it is trusted less."""
    slope = np.hypot(*np.gradient(reading.depth))[reading.solid]
    trust = 1 / (1 + (slope / STEEP) ** 2)
    empty = [
        Term(f"before {k}", "outside", visible_points(reading, virtual, -k * MARGIN), CLEAR, trust=trust)
        for k in (1, 2, 4)
    ]
    return [*empty, Term("behind", "inside", visible_points(reading, virtual, MARGIN), -CLEAR, trust=trust)]


def _mirror_terms(reading: Reading, grid: Grid) -> list[Term]:
    """The same on both sides of a plane that is sure."""
    normal, offset, trust = reading.mirror
    if trust < MIRROR_TRUST:
        return []
    near = np.abs(grid.values) < BAND
    near[1::2], near[:, 1::2], near[:, :, 1::2] = False, False, False
    points = grid.points(near)
    partners = points - 2 * ((points @ normal) - offset)[:, None] * normal
    return [Term("mirror", "same", points, partners=partners, weight=0.3 * trust)]


def _floor_terms(reading: Reading, virtual: Camera, grid: Grid) -> list[Term]:
    """Nothing hidden hangs lower than what is seen to stand on the floor."""
    height = visible_points(reading, virtual)[:, 1]
    if not len(height):
        return []
    points = grid.points(grid.values < 0)
    return [Term("floor", "outside", points[points[:, 1] < np.percentile(height, 0.5) - FLOOR], CLEAR)]
