"""The space that Gaussians are optimised in: the scene's box about the origin, half its longest side 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...assets import Splats
from ...camera import Camera
from ...capture import Capture
from .. import rays

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Frame:
    """inside = (world - centre) * scale."""

    centre: NDArray[np.float64]
    scale: float

    @classmethod
    def of(cls, capture: Capture) -> Frame:
        """About the box of a straight capture's scene; raises ReconstructionError (silhouettes that do not meet)."""
        box = rays.extent(capture)
        return cls(0.5 * (box.low + box.high), 2.0 / max(float(box.size.max()), 1e-12))

    def inside(self, points: Floats) -> NDArray[np.float64]:
        """Points (N, 3) of the world in this space."""
        return (np.asarray(points, np.float64) - self.centre) * self.scale

    def cameras(self, cameras: Sequence[Camera | None]) -> list[Camera]:
        """Cameras of the world in this space; those that are None left out."""
        move = np.eye(4)
        move[:3, 3] = -self.centre * self.scale
        return [camera.moved(move, self.scale) for camera in cameras if camera is not None]

    def outside(self, asset: Splats) -> Splats:
        """Splats of this space in the world."""
        means = asset.means.astype(np.float64) / self.scale + self.centre
        scales = asset.scales.astype(np.float64) / self.scale
        return asset.with_(means=means.astype(np.float32), scales=np.maximum(scales, 1e-30).astype(np.float32))
