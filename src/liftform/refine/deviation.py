"""How far two surfaces lie apart, by exact distances of points spread over both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..assets import Mesh
from . import surface
from .nearest import Nearest, sampled

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Deviation:
    """Shares of the first surface's diagonal: mean and largest distance from the first to the second (there) and from
    the second to the first (back), at the points looked at."""

    mean_there: float
    max_there: float
    mean_back: float
    max_back: float

    @property
    def largest(self) -> float:
        """The symmetric Hausdorff distance, at the points looked at."""
        return max(self.max_there, self.max_back)

    def facts(self) -> dict[str, float]:
        """Rounded, for a report."""
        return {name: round(value, 6) for name, value in vars(self).items()}


class Yardstick:
    """Measures other surfaces against one; its samples and its tree are made once."""

    def __init__(self, mesh: Mesh, points: int = 4000) -> None:
        """points: so many are looked at on each surface."""
        self.count = points
        self.size = max(surface.diagonal(mesh.vertices), 1e-30)
        self._points = spread(mesh, points)
        self._nearest = Nearest(mesh, 0 if len(mesh.faces) > points else points)

    def __call__(self, mesh: Mesh) -> Deviation:
        """Deviation from the yardstick's surface to ``mesh``."""
        there = Nearest(mesh, self.count)(self._points).distance / self.size
        back = self._nearest(spread(mesh, self.count)).distance / self.size
        return Deviation(float(there.mean()), float(there.max()), float(back.mean()), float(back.max()))


def spread(mesh: Mesh, count: int) -> Floats:
    """About ``count`` points (N, 3), evenly by area, the same ones each time."""
    corners = np.stack(surface.corners(mesh.vertices, mesh.faces), 1)
    _, points = sampled(corners, count, every=False)
    return points
