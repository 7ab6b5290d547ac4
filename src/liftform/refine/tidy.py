"""Surface of a photo set -> what is worth keeping of it: floaters dropped, openings left, no more faces than wanted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from ..assets import Mesh
from ..errors import ReconstructionError
from ..recipe import option
from ..runtime import Runtime
from . import surface
from .reduce import ReduceOptions, reduce


@dataclass(frozen=True)
class TidyOptions:
    """What of a measured surface is kept."""

    faces: int = option(200_000, "most triangles in the result", "faces", 100, 5_000_000)
    parts: float = option(
        0.01, "loose parts with less than this share of the largest part's surface are dropped", "", 0, 1
    )


def tidy(options: TidyOptions, runtime: Runtime) -> Callable[[Mesh], Mesh]:
    """Refiner: broken faces and small loose parts dropped, then at most ``faces`` triangles; open stays open.

    Every vertex that stays keeps its attributes. metadata["tidy"]: parts and area that were dropped. Raises
    ReconstructionError when nothing is left.
    """

    def run(mesh: Mesh) -> Mesh:
        kept, facts = without_floaters(mesh, options.parts)
        tidied = kept.with_(metadata={**mesh.metadata, "tidy": facts})
        if len(tidied.faces) <= options.faces:
            return tidied
        return reduce(ReduceOptions(faces=options.faces), runtime)(tidied)

    return run


def without_floaters(mesh: Mesh, share: float) -> tuple[Mesh, dict[str, float]]:
    """The mesh without parts below ``share`` of the largest part's area, and without faces that have none."""
    good: NDArray[np.bool_] = np.asarray(np.isfinite(mesh.vertices).all(1))
    vertices = np.where(good[:, None], mesh.vertices, np.float32(0))
    areas = np.linalg.norm(surface.cross_products(vertices, mesh.faces), axis=1) / 2
    sound = good[mesh.faces].all(1) & (areas > 0)
    if not sound.any():
        raise ReconstructionError("the surface is empty", "take more pictures, each showing two thirds of the last")
    faces, areas = mesh.faces[sound], areas[sound]
    number, label = surface.components(faces, len(vertices))
    part = label[faces[:, 0]]
    area = np.bincount(part, areas, number)
    large = area >= share * area.max()
    keep = large[part]
    facts = {"parts_dropped": int((area > 0).sum() - large.sum()), "area_dropped": round(1 - _share(areas, keep), 4)}
    return _cut(mesh.with_(vertices=vertices, faces=faces), keep), facts


def _share(areas: NDArray[np.floating], keep: NDArray[np.bool_]) -> float:
    return float(areas[keep].sum() / areas.sum())


def _cut(mesh: Mesh, keep: NDArray[np.bool_]) -> Mesh:
    """The chosen faces, and their vertices with all that hangs on them."""
    faces, old = surface.compact(mesh.faces[keep], len(mesh.vertices))
    rows = {f.name for f in fields(mesh)} & {"vertices", "normals", "uv", "colors", "seen", "confidence"}
    hung = {name: value[old] for name in sorted(rows) if (value := getattr(mesh, name)) is not None}
    return mesh.with_(faces=faces, quads=0, **hung)
