"""Any mesh -> a valid one: the damage diagnosed, then mended locally, or the whole remade as a solid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from .. import topology
from ..assets import Mesh
from ..errors import ReconstructionError
from ..recipe import option
from ..runtime import Runtime
from . import mend
from .local import local, prepared
from .solidify import solidified
from .workpiece import Workpiece

#: Furthest that cutting out self-intersections may move 99 % of what shows, as a share of the diagonal; and where less
#: than this share of the faces was cut out (spikes, that is).
_MOVED, _MOVED_FAR, _FEW_CUT = 0.01, 0.05, 0.03


@dataclass(frozen=True)
class RepairOptions:
    """How a damaged mesh is made valid. Lengths are shares of the mesh's diagonal."""

    road: Literal["auto", "local", "solid"] = option(
        "auto", "mend where it is broken (local), remake the whole (solid), or decide by the damage", "repair"
    )
    open: bool = option(False, "leave large holes and open sheets as they are", "open")
    resolution: int = option(0, "cells along the longest side where the whole is remade (0: 160 to 256)", "", 0, 1024)
    weld: float = option(2e-3, "corners of open edges this near each other become one", "", 0, 0.05)
    small: float = option(0.05, "holes up to this size are closed even where open is set", "", 0, 1)
    floaters: float = option(0.12, "loose pieces below this size are dropped where nothing larger is near", "", 0, 1)
    gap: float = option(0.02, "how far a loose piece must be from anything larger to be dropped", "", 0, 1)
    inner: bool = option(False, "keep parts and shells that cannot be seen from outside")
    thickness: float = option(0.004, "thickness that open sheets are given", "", 1e-4, 0.2)


@dataclass(frozen=True)
class Diagnosis:
    """What is broken, counted on the mesh as given; ``topology.health`` has the definitions.

    border_edges after bit-identical positions are made one; crossings: pairs of faces, -1 when too many to count.
    """

    faces: int
    degenerate: int
    duplicates: int
    border_edges: int
    crowded_edges: int
    flipped_edges: int
    pinched_vertices: int
    parts: int
    crossings: int

    @property
    def sound(self) -> bool:
        """Whether nothing needs to be done, winding outward aside."""
        broken = (self.degenerate, self.duplicates, self.border_edges, self.crowded_edges, self.flipped_edges)
        return not any((*broken, self.pinched_vertices, self.crossings))


def diagnosed(mesh: Mesh, count_crossings: bool = True) -> Diagnosis:
    """The mesh's damage; raises InputError when the arrays are no mesh at all."""
    found = topology.health(mesh, len(mesh.faces) if count_crossings else 0)
    return Diagnosis(
        faces=found.faces,
        degenerate=found.degenerate_faces,
        duplicates=found.duplicate_faces,
        border_edges=found.boundary_edges,
        crowded_edges=found.nonmanifold_edges,
        flipped_edges=found.flipped_edges,
        pinched_vertices=found.nonmanifold_vertices,
        parts=found.components,
        crossings=-1 if found.self_intersecting is None else found.self_intersecting,
    )


def repair(options: RepairOptions, runtime: Runtime) -> Callable[[Mesh], Mesh]:
    """Refiner: a closed, manifold, outward mesh without degenerate, duplicate or self-intersecting faces.

    The local road keeps untouched faces with their uv, colours and materials bit for bit; new faces continue the
    attributes of the nearest one and their new vertices are not ``seen``. The solid road gives geometry alone. With
    ``options.open`` large holes stay. metadata["repair"] holds the road taken, why, what was done in counts, and the
    diagnosis. Raises ReconstructionError when there is no surface at all.
    """

    def run(mesh: Mesh) -> Mesh:
        work = _whole(mesh)
        facts: dict[str, Any] = {"damage": asdict(diagnosed(_finite(mesh), count_crossings=False))}
        if options.road != "solid":
            out, done = _locally(work, mesh, options, runtime)
            reason = _objection(out, done, options)
            facts |= done
            if options.road == "local" or not reason:
                facts |= {"road": "local", "left": reason}
                return out.with_(metadata={**mesh.metadata, "repair": facts})
            facts["why"] = reason
        out, done = _as_solid(work, mesh, options, runtime)
        facts |= {"road": "solid", **done}
        return out.with_(metadata={**mesh.metadata, "repair": facts})

    return run


def _finite(mesh: Mesh) -> Mesh:
    """The mesh with what is not finite left out."""
    good = np.asarray(np.isfinite(mesh.vertices).all(1))
    if good.all():
        return mesh
    faces = mesh.faces[good[mesh.faces].all(1)]
    return Mesh(np.where(good[:, None], mesh.vertices, np.float32(0)), faces)


def _whole(mesh: Mesh) -> Workpiece:
    work = Workpiece.of(mesh)
    if not len(work.faces) or not work.areas.sum() > 0:
        what = f"{mesh.name or 'the mesh'} has no surface: every face is degenerate"
        raise ReconstructionError(what, "give a mesh with some area")
    return work


def _locally(work: Workpiece, mesh: Mesh, options: RepairOptions, runtime: Runtime) -> tuple[Mesh, dict[str, Any]]:
    """The local road."""
    done, counts = local(work, options, runtime.seed)
    if not len(done.faces):
        return mesh.with_(faces=mesh.faces[:0]), {**counts, "faces_kept": 0}
    if _untouched(work, done):
        return mesh, {**counts, "faces_kept": len(mesh.faces)}
    kept = int((done.corner >= 0).all(1).sum())
    return done.mesh(mesh), {**counts, "faces_kept": kept, "faces_new": len(done.faces) - kept}


def _untouched(before: Workpiece, after: Workpiece) -> bool:
    return np.array_equal(before.corner, after.corner) and np.array_equal(before.points, after.points)


def _objection(mesh: Mesh, counts: dict[str, Any], options: RepairOptions) -> str:
    """Why the local road's result will not do, or ""."""
    if len(mesh.faces) < 4:
        return "nothing is left"
    found = topology.health(mesh, 0)
    if not options.open and not found.manifold:
        return "not manifold"
    if options.open and found.nonmanifold_edges + found.nonmanifold_vertices + found.flipped_edges:
        return "not manifold"
    if not options.open and not found.outward:
        return "not outward"
    if found.degenerate_faces + found.duplicate_faces:
        return "faces without area"
    if counts.get("crossings_left"):
        return "it cuts itself"
    few = counts.get("faces_cut", 0) < _FEW_CUT * (counts["faces_kept"] + counts.get("faces_cut", 0))
    if counts.get("surface_moved", 0) > (_MOVED_FAR if few else _MOVED):
        return "too much would have to be cut out"
    return ""


def _as_solid(work: Workpiece, mesh: Mesh, options: RepairOptions, runtime: Runtime) -> tuple[Mesh, dict[str, Any]]:
    """The solid road; mend.solid where even that is not valid."""
    body, counts = prepared(work, options, runtime.seed)
    vertices, faces, how = solidified(body.points, body.faces, options.resolution)
    if not len(faces):
        vertices, faces, how["last_resort"] = mend.solid(mesh.vertices, mesh.faces)
    return Mesh(vertices, faces, name=mesh.name), {**counts, **how}
