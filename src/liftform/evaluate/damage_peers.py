"""Ways to repair a mesh, side by side: ours, trimesh's own, and PyMeshFix and PyMeshLab where they are installed."""

from __future__ import annotations

import importlib.util
import multiprocessing
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..assets import Mesh
from ..refine.repair import RepairOptions, repair
from ..runtime import Runtime
from ..topology import merged

Way = Callable[[Mesh], Mesh]
#: Seconds of a processor after which a peer is given up.
SECONDS = 60


def missing() -> list[str]:
    """The peers that are not installed."""
    return [name for name in ("PyMeshFix", "PyMeshLab") if importlib.util.find_spec(name.lower()) is None]


def ways(wanted: tuple[str, ...] = ()) -> dict[str, Way]:
    """Name -> repair, ours first; those whose package is missing are left out. ``wanted``: only those names."""
    all_ways: dict[str, Way] = {
        "liftform": lambda mesh: repair(RepairOptions(), Runtime())(mesh),
        "liftform, solid": lambda mesh: repair(RepairOptions(road="solid", resolution=128), Runtime())(mesh),
        "trimesh": _trimesh,
    }
    if importlib.util.find_spec("pymeshfix"):
        all_ways["PyMeshFix"] = limited(_pymeshfix)
    if importlib.util.find_spec("pymeshlab"):
        all_ways["PyMeshLab"] = limited(_pymeshlab)
    return {name: way for name, way in all_ways.items() if not wanted or name in wanted}


def limited(way: Way, seconds: int = SECONDS) -> Way:
    """The way in a process of its own, which may crash or take too long; raises RuntimeError then."""
    if sys.platform == "win32":
        return way

    def run(mesh: Mesh) -> Mesh:
        context = multiprocessing.get_context("fork")
        here, there = context.Pipe(duplex=False)
        process = context.Process(target=_answer, args=(way, mesh, there, seconds))
        process.start()
        there.close()
        try:
            done = here.recv()
        except EOFError:
            raise RuntimeError(f"it crashed, or took more than {seconds} s of a processor") from None
        finally:
            process.join()
        if isinstance(done, Exception):
            raise done
        return done

    return run


def _answer(way: Way, mesh: Mesh, there: Any, seconds: int) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    try:
        there.send(way(mesh))
    except Exception as error:
        there.send(RuntimeError(f"{type(error).__name__}: {error}"))


def _mesh(vertices: NDArray[Any], faces: NDArray[Any]) -> Mesh:
    return Mesh(np.asarray(vertices, np.float32).reshape(-1, 3), np.asarray(faces, np.int32).reshape(-1, 3))


def _trimesh(mesh: Mesh) -> Mesh:
    """Everything trimesh.repair offers, in the order that its documentation gives."""
    import trimesh

    vertices, faces = merged(mesh)
    body = trimesh.Trimesh(vertices, faces, process=True, validate=True)
    body.update_faces(body.unique_faces() & body.nondegenerate_faces())
    body.merge_vertices()
    trimesh.repair.fix_winding(body)
    trimesh.repair.fill_holes(body)
    trimesh.repair.fix_normals(body, multibody=True)
    body.remove_unreferenced_vertices()
    return _mesh(body.vertices, body.faces)


def _pymeshfix(mesh: Mesh) -> Mesh:
    """MeshFix (Attene 2010), all parts kept: its default drops all but the largest."""
    import pymeshfix

    vertices, faces = merged(mesh)
    fix = pymeshfix.MeshFix(vertices.astype(np.float64), faces)
    fix.repair(joincomp=False, remove_smallest_components=False)
    return _mesh(fix.points, fix.faces)


def _pymeshlab(mesh: Mesh) -> Mesh:
    """The usual chain of MeshLab's cleaning filters."""
    import pymeshlab

    vertices, faces = merged(mesh)
    body = pymeshlab.MeshSet(verbose=False)
    body.add_mesh(pymeshlab.Mesh(vertices.astype(np.float64), faces))
    near = pymeshlab.PercentageValue(0.05)
    steps: list[tuple[str, dict[str, Any]]] = [
        ("meshing_merge_close_vertices", {"threshold": near}),
        ("meshing_remove_duplicate_faces", {}),
        ("meshing_remove_null_faces", {}),
        ("meshing_remove_folded_faces", {}),
        ("meshing_remove_t_vertices", {}),
        ("compute_selection_by_self_intersections_per_face", {}),
        ("meshing_remove_selected_faces", {}),
        ("meshing_remove_connected_component_by_diameter", {"mincomponentdiag": pymeshlab.PercentageValue(5)}),
        ("meshing_repair_non_manifold_edges", {}),
        ("meshing_repair_non_manifold_vertices", {}),
        ("meshing_re_orient_faces_coherently", {}),
        ("meshing_close_holes", {"maxholesize": 1000, "newfaceselected": False}),
        ("meshing_re_orient_faces_by_geometry", {}),
    ]
    for name, arguments in steps:
        try:
            body.apply_filter(name, **arguments)
        except pymeshlab.PyMeshLabException:
            continue  # a filter that refuses this mesh is left out, as a user would
    done = body.current_mesh()
    return _mesh(done.vertex_matrix(), done.face_matrix())
