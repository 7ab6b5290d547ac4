"""Mesh -> Mesh in its final place: on the floor y = 0, centred in x and z, of real height where it is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..assets import Mesh
from ..recipe import option
from ..runtime import Runtime


@dataclass(frozen=True)
class ScaleOptions:
    """Real size of the object."""

    height_m: float | None = option(None, "real height of the object in metres", "height", 1e-6, 1e6)


def scale(options: ScaleOptions, runtime: Runtime) -> Callable[[Mesh], Mesh]:
    """Refiner: lowest point at y = 0, bounding box centred in x and z; ``height_m`` high, else longest side 1 unit.

    metadata["scale"] = {"unit": "metre" or "unknown", "factor", "size": [x, y, z]}; metadata["asset_from_view"] is the
    4x4 matrix (nested lists) with p_asset = M p_view, by which the picture's camera can follow (Camera.moved).
    """

    def run(mesh: Mesh) -> Mesh:
        low, high = mesh.bounds.astype(np.float64)
        extent = high - low
        real = options.height_m is not None and extent[1] > 0
        factor = options.height_m / extent[1] if options.height_m is not None and real else 1.0 / extent.max()
        origin = np.array([(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2])
        vertices = ((mesh.vertices.astype(np.float64) - origin) * factor).astype(np.float32)
        matrix = np.diag([factor, factor, factor, 1.0])
        matrix[:3, 3] = -origin * factor
        facts: dict[str, Any] = {
            "unit": "metre" if real else "unknown",
            "factor": float(factor),
            "size": [round(float(x), 6) for x in np.ptp(vertices, axis=0)],
        }
        return mesh.with_(
            vertices=vertices, metadata={**mesh.metadata, "scale": facts, "asset_from_view": matrix.tolist()}
        )

    return run
