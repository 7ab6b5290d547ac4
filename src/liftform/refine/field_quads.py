"""Quads along a smooth field of directions: Instant Meshes (Jakob et al. 2015), run beside this process, made whole."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..assets import Mesh
from ..errors import LiftformError
from ..runtime import Runtime, need
from ..topology import components, merge_map
from . import surface
from .polygons import Polygons, paired
from .repair import RepairOptions, repair

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

#: Instant Meshes judges areas by absolute numbers: meshes are handed over with this diagonal; and turned askew, since
#: it gives up (every direction NaN) where a crease lies exactly along an axis.
_DIAGONAL = 10.0
_ASKEW = np.linalg.qr(np.array([[0.8, 0.3, -0.5], [-0.4, 0.9, 0.2], [0.5, -0.1, 0.8]]))[0]
#: Seconds after which it is given up.
_PATIENCE = 300
#: It prints, keeps global state and now and then ends the process: it gets one of its own.
_PROGRAM = """
import sys, numpy as np, pyinstantmeshes
given = np.load(sys.argv[1])
vertices, faces = pyinstantmeshes.remesh(
    given["vertices"], given["faces"], target_face_count=int(given["target"]), crease_angle=float(given["crease"]),
    deterministic=True, align_to_boundaries=bool(given["border"]), smooth_iterations=2)
np.savez(sys.argv[2], vertices=vertices, faces=faces)
"""


def field_quads(points: Floats, faces: Ints, target: int, crease_deg: float, runtime: Runtime) -> Polygons | None:
    """About ``target`` polygons, mostly quads, over a closed surface, closed and manifold again; None when it fails.

    What Instant Meshes leaves open or crossed is mended by ``repair``'s local road, what that fills is paired to
    quads. Raises MissingExtraError without the extra ``quads``.
    """
    need("pyinstantmeshes", "quads")
    found = _remeshed(points, faces, target, crease_deg) or _remeshed(points, faces, target, -1.0)
    if found is None:
        return None
    vertices, triangles = found
    quads = _quads(triangles)
    mesh = Mesh(vertices.astype(np.float32), triangles.astype(np.int32))
    try:
        whole = repair(RepairOptions(road="local", floaters=0.0, inner=True), runtime)(mesh)
    except LiftformError:
        return None
    polygons = _kept(mesh, quads, whole)
    return polygons if polygons.count and _closed(polygons) else None


def _closed(polygons: Polygons) -> bool:
    """Whether the surface is closed, oriented and manifold."""
    twin = surface.twins(polygons.halves)
    return twin is not None and not surface.pinched(polygons.halves, twin, len(polygons.points))


def _remeshed(points: Floats, faces: Ints, target: int, crease_deg: float) -> tuple[Floats, Ints] | None:
    """What comes back: vertices, and triangles of which a quad is two; None when nothing does."""
    centre = (points.min(0) + points.max(0)) / 2
    scale = _DIAGONAL / max(surface.diagonal(points), 1e-30)
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "given.npz", Path(folder) / "made.npz"
        np.savez(
            given,
            vertices=((points - centre) * scale @ _ASKEW).astype(np.float32),
            faces=faces.astype(np.int32),
            target=target,
            crease=crease_deg,
            border=False,
        )
        command = [sys.executable, "-c", _PROGRAM, str(given), str(made)]
        try:
            done = subprocess.run(command, capture_output=True, timeout=_PATIENCE, cwd=folder, check=False)
        except subprocess.TimeoutExpired:
            return None
        if done.returncode or not made.is_file():
            return None
        with np.load(made) as result:
            vertices, triangles = result["vertices"].astype(np.float64), result["faces"].astype(np.int64)
    if len(triangles) < 4 or not np.isfinite(vertices).all():
        return None
    return vertices @ _ASKEW.T / scale + centre, triangles


def _quads(triangles: Ints) -> Ints:
    """Quads (Q, 4) among the triangles: (a, b, c, d) was written as (a, b, c), (d, a, c)."""
    joins = np.zeros(len(triangles), bool)
    joins[:-1] = (triangles[:-1, 0] == triangles[1:, 1]) & (triangles[:-1, 2] == triangles[1:, 2])
    first, i = [], 0
    while i < len(triangles):
        if joins[i]:
            first.append(i)
            i += 1
        i += 1
    at = np.asarray(first, np.int64)
    return np.concatenate([triangles[at], triangles[at + 1, :1]], 1)


def _kept(mesh: Mesh, quads: Ints, whole: Mesh) -> Polygons:
    """Polygons of the mended mesh: quads both of whose halves are still there, the other triangles paired."""
    _, place = merge_map(np.concatenate([mesh.vertices, whole.vertices]))
    mine, theirs = place[: len(mesh.vertices)], place[len(mesh.vertices) :]
    points = np.zeros((int(place.max()) + 1, 3))
    points[mine], points[theirs] = mesh.vertices, whole.vertices
    faces = theirs[whole.faces].astype(np.int64)
    label = components(faces)
    area = np.linalg.norm(surface.cross_products(points, faces), axis=1)
    faces = faces[label == np.bincount(label, area).argmax()]  # crumbs the field left beside the surface
    number = {face: i for i, face in enumerate(map(tuple, _turned(faces).tolist()))}
    used = np.zeros(len(faces), bool)
    kept = []
    for quad in mine[quads].astype(np.int64):
        halves = [number.get(tuple(h)) for h in _turned(quad[[[0, 1, 2], [0, 2, 3]]]).tolist()]
        if None not in halves:
            kept.append(quad)
            used[np.asarray(halves, np.int64)] = True
    rest = paired(points, faces[~used])
    own = np.asarray(kept, np.int64).reshape(-1, 4)
    return Polygons(points, np.concatenate([own, rest.quads]), rest.triangles)


def _turned(faces: Ints) -> Ints:
    """Faces (N, 3) begun at their lowest index."""
    first = faces.argmin(1)
    return np.stack([faces[np.arange(len(faces)), (first + k) % 3] for k in range(3)], 1)
