"""A mesh -> convex parts for a physics engine: approximate convex decomposition, or one hull for each component."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..assets import Mesh
from ..errors import LiftformError, ReconstructionError
from ..recipe import option
from ..runtime import Runtime, need
from ..topology import components, merged
from . import mend, surface

#: coacd gets a mesh of at most this many faces: collision shapes are coarse, its search is slow.
_FACES = 20_000
#: Components smaller than this share of the whole's diagonal get no hull of their own.
_CRUMB = 0.01


@dataclass(frozen=True)
class CollideOptions:
    """What convex parts are made."""

    method: Literal["none", "auto", "parts", "hulls"] = option(
        "none",
        "convex parts for physics: by coacd (parts; extra collision), one hull for each component (hulls), or as "
        "installed (auto)",
        "collision",
        bare="auto",
    )
    concavity: float = option(0.05, "concavity allowed in a part: smaller makes more parts", "", 0.01, 1)
    parts: int = option(32, "most parts", "", 1, 1000)
    corners: int = option(64, "most vertices of a part", "", 4, 256)

    @property
    def wanted(self) -> bool:
        """Whether collision parts are asked for."""
        return self.method != "none"


def collide(options: CollideOptions, runtime: Runtime) -> Callable[[Mesh], tuple[Mesh, ...]]:
    """Backend: a mesh -> its collision parts, see ``collision``; () where none are asked for. Raises
    MissingExtraError when "parts" is asked for without the extra."""
    if options.wanted:
        _chosen(options.method)
    return lambda mesh: collision(mesh, options, runtime) if options.wanted else ()


def collision(mesh: Mesh, options: CollideOptions, runtime: Runtime) -> tuple[Mesh, ...]:
    """Closed convex meshes that together cover the mesh about, largest first, named <name>_collision_00 and so on.

    "parts" is CoACD (Wei et al.: Approximate convex decomposition for 3D meshes with collision-aware concavity and
    tree search, 2022; extra ``collision``), seeded by the runtime. "auto" falls back to hulls without the extra.
    metadata["collide"]: method, parts, volume_ratio (volume of all parts over the mesh's; above 1 what is filled).
    Raises MissingExtraError when "parts" is asked for without the extra, ReconstructionError for a mesh without any
    extent.
    """
    mesh.validate()
    points, faces = merged(mesh)
    whole = Mesh(points, faces)
    method = _chosen(options.method)
    shapes = _parts(whole, options, runtime) if method == "parts" else _hulls(whole)
    shapes = [shape for shape in shapes if shape.volume() > 0]
    if not shapes:
        raise ReconstructionError("no convex part has any volume", "the mesh is flat: no collision shape is needed")
    shapes = sorted(shapes, key=lambda shape: -shape.volume())[: options.parts]
    inside = abs(float(surface.volumes(points, faces).sum()))
    ratio = round(sum(shape.volume() for shape in shapes) / inside, 4) if inside > 0 else None
    facts = {"method": method, "parts": len(shapes), "volume_ratio": ratio}
    out = []
    for number, shape in enumerate(shapes):
        vertices, triangles = mend.from_manifold(shape)
        name = f"{mesh.name}_collision_{number:02d}"
        out.append(Mesh(vertices, triangles, name=name, metadata={"collide": facts}))
    return tuple(out)


def _chosen(method: str) -> Literal["parts", "hulls"]:
    """The method; raises MissingExtraError when parts are asked for and cannot be had."""
    if method == "hulls":
        return "hulls"
    try:
        need("coacd", "collision")
    except LiftformError:
        if method == "parts":
            raise
        return "hulls"
    return "parts"


def _hull(points: NDArray[np.floating[Any]]) -> Any:
    """The convex hull of points as a manifold3d.Manifold."""
    import manifold3d

    return manifold3d.Manifold.hull_points(np.ascontiguousarray(points, np.float32))


def _hulls(mesh: Mesh) -> list[Any]:
    """The hull of every component that is no crumb."""
    label = components(mesh.faces)
    size = surface.diagonal(mesh.vertices)
    parts = [mesh.vertices[np.unique(mesh.faces[label == k])] for k in range(int(label.max()) + 1)]
    large = [part for part in parts if surface.diagonal(part) > _CRUMB * size]
    return [_hull(part) for part in large or parts]


def _parts(mesh: Mesh, options: CollideOptions, runtime: Runtime) -> list[Any]:
    """CoACD's parts, each made a hull of few corners."""
    import coacd

    from .reduce import ReduceOptions, reduce

    coacd.set_log_level("error")
    small = reduce(ReduceOptions(faces=_FACES), runtime)(mesh) if len(mesh.faces) > _FACES else mesh
    found = coacd.run_coacd(
        coacd.Mesh(small.vertices.astype(np.float64), small.faces),
        threshold=options.concavity,
        max_convex_hull=options.parts,
        max_ch_vertex=options.corners,
        decimate=True,
        seed=runtime.seed,
    )
    return [_hull(vertices) for vertices, _ in found]
