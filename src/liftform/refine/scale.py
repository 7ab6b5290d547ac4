"""Mesh -> Mesh in its final place: on the floor y = 0, centred in x and z, of real height where it is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..assets import Mesh
from ..errors import UsageError
from ..recipe import option
from ..runtime import Runtime


@dataclass(frozen=True)
class ScaleOptions:
    """Real size of the object, or of the scene."""

    height_m: float | None = option(None, "real height of the object or scene in metres", "height", 1e-6, 1e6)
    distance_m: float | None = option(
        None, "real distance in metres from the camera to the middle of a scene's picture", "distance", 1e-6, 1e6
    )


def scale(options: ScaleOptions, runtime: Runtime) -> Callable[[Mesh], Mesh]:
    """Refiner: lowest point at y = 0, bounding box centred in x and z; ``height_m`` high, else longest side 1 unit.

    A scene (metadata["kind"]) stands with its floor, where one was found, at y = 0. Without a given height or distance
    it keeps the size its depth says: metres if that is metric, "guessed metre" if it is relative.
    metadata["scale"] = {"unit": "metre", "guessed metre" or "unknown", "factor", "size": [x, y, z]};
    metadata["asset_from_view"] is the 4x4 matrix (nested lists) with p_asset = M p_view, by which the picture's camera
    can follow (Camera.moved). Raises UsageError when a distance is given for an object.
    """

    def run(mesh: Mesh) -> Mesh:
        low, high = mesh.bounds.astype(np.float64)
        factor, unit = _factor(mesh, high - low, options)
        floor = mesh.metadata.get("floor", low[1])
        origin = np.array([(low[0] + high[0]) / 2, floor, (low[2] + high[2]) / 2])
        vertices = ((mesh.vertices.astype(np.float64) - origin) * factor).astype(np.float32)
        matrix = np.diag([factor, factor, factor, 1.0])
        matrix[:3, 3] = -origin * factor
        facts: dict[str, Any] = {
            "unit": unit,
            "factor": float(factor),
            "size": [round(float(x), 6) for x in np.ptp(vertices, axis=0)],
        }
        return mesh.with_(
            vertices=vertices, metadata={**mesh.metadata, "scale": facts, "asset_from_view": matrix.tolist()}
        )

    return run


def _factor(mesh: Mesh, extent: NDArray[np.float64], options: ScaleOptions) -> tuple[float, str]:
    """What to multiply by, and the unit that comes of it."""
    scene = mesh.metadata.get("kind") == "scene"
    if options.distance_m is not None:
        if not scene:
            raise UsageError("--distance is for scenes", "give the object's --height")
        return options.distance_m / mesh.metadata["middle"], "metre"
    if options.height_m is not None and extent[1] > 0:
        return options.height_m / float(extent[1]), "metre"
    known = {"metric": "metre", "relative": "guessed metre"}.get(mesh.metadata.get("depth_scale", ""))
    return (1.0, known) if scene and known else (1.0 / float(extent.max()), "unknown")
