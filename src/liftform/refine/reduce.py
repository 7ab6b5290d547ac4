"""Any mesh -> fewer faces, to a budget or an error bound: seams, borders and material lines keep their place and UV."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..assets import Mesh
from ..errors import ReconstructionError, UsageError
from ..recipe import option
from ..render import smooth_normals
from ..runtime import Runtime
from ..topology import INTERSECTION_FACE_LIMIT, merge_map, merged, self_intersections
from . import surface
from .collapse import Piece, collapsed
from .deviation import Yardstick
from .nearest import Nearest
from .simplify import within_budget

Floats = NDArray[np.float64]

#: How a shift of the texture counts beside one of the surface, and what a change of colour by 1 is in diagonals.
_SHIFT, _SHADE = 0.5, 0.03
#: Under an error bound the deviation is measured each time so many of the faces are left; never fewer than these.
_STEP, _FEWEST = 0.75, 12
#: How often a surface that began to cut itself is reduced anew.
_ATTEMPTS = 2
#: Meshes of so many times the faces are kept on the way: such a surface is begun anew from the first that will do.
_AMPLE = (1.5, 2.5, 4.0)
#: Points farther than this (share of the diagonal) from where it cut itself are free again.
_HELD = 0.01
#: The quick road's answer is left alone when it is no farther off than this, share of the diagonal.
_ALIKE = 0.02


@dataclass(frozen=True)
class ReduceOptions:
    """How far a mesh is reduced."""

    faces: int | None = option(None, "most triangles in the result", "faces", 4, 10_000_000)
    error: float | None = option(
        None, "how far the surface may move, as a share of the diagonal; ends the reduction before the budget", "", 0, 1
    )


def reduce(options: ReduceOptions, runtime: Runtime) -> Callable[[Mesh], Mesh]:
    """Refiner: at most ``faces`` triangles, or as few as keep within ``error``; both: whichever ends first.

    Works on any mesh, open and non-manifold ones included, and keeps what it is: closed stays closed, manifold stays
    manifold, no face is turned over or made degenerate. Edges between charts, at borders and between materials
    keep their place; their vertices only slide away along straight stretches. Every vertex that stays has its
    attributes as they were; normals, where there were any, are made anew, smooth. A solid without uv and materials
    is reduced by the quicker road of ``simplify``, its attributes interpolated. Triangles only: quads are no more.

    A surface that does not cut itself is made anew where it began to, with those places held fast.

    metadata["reduce"]: method, faces before and after, deviation both ways (see ``Deviation``), ended ("budget",
    "error", or "stuck": nothing more could go),
    new_self_intersections where they were looked for (up to 300,000 faces). Raises UsageError without any bound.
    """
    if options.faces is None and options.error is None:
        raise UsageError("nothing says how far to reduce", "give a number of faces or an error")

    def run(mesh: Mesh) -> Mesh:
        mesh.validate()
        yardstick = Yardstick(mesh)
        best, ended = mesh.with_(quads=0), "budget"
        rungs = [best]
        for smaller in _ladder(mesh, options, yardstick):
            if smaller is None:
                ended = "stuck"
                break
            if options.error is not None and yardstick(smaller).largest > options.error:
                ended = "error"
                break
            best = smaller
            rungs.append(best)
        ample = [rung for rung in reversed(rungs) if len(rung.faces) >= _AMPLE[0] * len(best.faces)]
        best, crossings = _uncrossed(ample or rungs[:1], best, yardstick)
        if mesh.normals is not None:
            best = best.with_(normals=smooth_normals(best))
        facts = {
            "method": "solid" if _plain_solid(mesh) else "lines kept",
            "faces_before": len(mesh.faces),
            "faces": len(best.faces),
            "deviation": yardstick(best).facts(),
            "ended": ended,
            **({} if crossings is None else {"new_self_intersections": crossings}),
        }
        return best.with_(metadata={**mesh.metadata, "reduce": facts})

    return run


def _ladder(mesh: Mesh, options: ReduceOptions, yardstick: Yardstick) -> Iterator[Mesh | None]:
    """Ever smaller meshes down to the budget; without an error bound that one and a few on the way. None when stuck
    above the budget."""
    budget = options.faces or _FEWEST
    if len(mesh.faces) <= budget:
        return
    targets = [budget]
    if not _plain_solid(mesh):
        targets = [int(k * budget) for k in reversed(_AMPLE) if k * budget < len(mesh.faces)] + targets
    if options.error is not None:
        steps = int(np.ceil(np.log(len(mesh.faces) / budget) / -np.log(_STEP)))
        targets = [max(budget, int(len(mesh.faces) * _STEP ** (i + 1))) for i in range(steps)]
    yield from _solids(mesh, targets, yardstick) if _plain_solid(mesh) else _pieces(mesh, targets)


def _plain_solid(mesh: Mesh) -> bool:
    """Whether there are neither charts nor materials to mind, and the quick road is safe."""
    return mesh.uv is None and mesh.face_material is None and surface.is_solid(mesh.vertices, mesh.faces)


def _solids(mesh: Mesh, targets: list[int], yardstick: Yardstick) -> Iterator[Mesh | None]:
    vertices, faces = mesh.vertices, mesh.faces
    for target in targets:
        try:
            vertices, faces = within_budget(vertices, faces, target)
        except ReconstructionError:
            yield from _pieces(mesh, [target])
            return
        quick = _interpolated(mesh, vertices, faces)
        if yardstick(quick).largest <= _ALIKE:
            yield quick
            continue
        slow = next(_pieces(mesh, [target]))
        better = slow is not None and len(slow.faces) <= target and yardstick(slow).largest < yardstick(quick).largest
        yield slow if better else quick


def _interpolated(mesh: Mesh, vertices: NDArray[np.float32], faces: NDArray[np.int32]) -> Mesh:
    """The new surface with the attributes of the nearest points of the mesh."""
    new = Mesh(vertices, faces, material=mesh.material, name=mesh.name)
    values = {name: getattr(mesh, name) for name in ("colors", "seen", "confidence")}
    values = {name: value for name, value in values.items() if value is not None}
    if not values:
        return new
    places = Nearest(mesh)(vertices, smooth_normals(new))
    corners = mesh.faces[places.face]
    carried = {k: np.einsum("ij...,ij->i...", v[corners], places.weight) for k, v in values.items()}
    return new.with_(**{k: np.clip(v, 0, 1).astype(np.float32) for k, v in carried.items()})


def _uncrossed(rungs: list[Mesh], reduced: Mesh, yardstick: Yardstick) -> tuple[Mesh, int | None]:
    """The reduced mesh, made anew where it cut itself from larger ones that do not; and how many of its faces cut
    others all the same, None when that was not counted. rungs: larger ones, in the order in which they are tried."""
    crossing = _crossing(reduced)
    if not crossing or len(reduced.faces) == len(rungs[-1].faces):
        return reduced, None if crossing is None else 0
    best, fewest, sound = reduced, len(crossing), False
    for rung in rungs:
        if fewest and _crossing(rung) == []:
            sound = True
            found, left = _anew(rung, reduced, crossing, yardstick)
            if left < fewest:
                best, fewest = found, left
    return best, fewest if sound else None


def _anew(mesh: Mesh, reduced: Mesh, crossing: list[int], yardstick: Yardstick) -> tuple[Mesh, int]:
    """A mesh reduced as far as ``reduced``, with what that cut itself at held fast; the best try, and how many of its
    faces cut others."""
    held, best = np.zeros(len(merge_map(mesh.vertices)[0]), bool), reduced
    fewest, budget, farthest = len(crossing), len(reduced.faces), yardstick(reduced).largest
    for _ in range(_ATTEMPTS):
        held |= _near(mesh, reduced, crossing)
        found = next(_pieces(mesh, [budget], held))
        if found is None or len(found.faces) > budget or yardstick(found).largest > 1.5 * farthest + 1e-3:
            break
        reduced, crossing = found, _crossing(found) or []
        if len(crossing) < fewest:
            best, fewest = reduced, len(crossing)
        if not crossing:
            break
    return best, fewest


def _crossing(mesh: Mesh) -> list[int] | None:
    """Faces that cut others, None when there are too many to look."""
    if len(mesh.faces) > INTERSECTION_FACE_LIMIT:
        return None
    pairs = self_intersections(*merged(mesh))
    return None if pairs is None else np.unique(pairs).tolist()


def _near(mesh: Mesh, reduced: Mesh, faces: list[int]) -> NDArray[np.bool_]:
    """Distinct points of the mesh that lie around some faces of the reduced one."""
    from scipy.spatial import cKDTree

    corners = reduced.vertices[reduced.faces[faces]]
    centre = corners.mean(1)
    radius = np.linalg.norm(corners - centre[:, None], axis=2).max(1)
    radius = np.minimum(radius, _HELD * surface.diagonal(mesh.vertices))
    points = mesh.vertices[merge_map(mesh.vertices)[0]]
    out = np.zeros(len(points), bool)
    for around in cKDTree(points).query_ball_point(centre, radius):
        out[around] = True
    return out


def _pieces(mesh: Mesh, targets: list[int], fixed: NDArray[np.bool_] | None = None) -> Iterator[Mesh | None]:
    whole, vertex = _piece(mesh)
    for piece, target in zip(collapsed(whole, targets, fixed), targets, strict=False):
        yield _as_mesh(mesh, piece, vertex)
        if len(piece.faces) > target:
            yield None
            return


def _piece(mesh: Mesh) -> tuple[Piece, NDArray[np.integer[Any]]]:
    """The mesh as collapse takes it, and a vertex of the mesh for every wedge."""
    centre, size = mesh.bounds.astype(np.float64).mean(0), max(surface.diagonal(mesh.vertices), 1e-30)
    first, point = merge_map(mesh.vertices)
    columns = [point[:, None].astype(np.float64)]
    columns += [value.astype(np.float64) for value in (mesh.uv, mesh.colors) if value is not None]
    _, vertex, wedge = np.unique(np.concatenate(columns, 1), axis=0, return_index=True, return_inverse=True)
    faces, corners = point[mesh.faces].astype(np.int64), wedge.reshape(-1)[mesh.faces]
    sound = (faces != np.roll(faces, 1, axis=1)).all(1)
    place = (mesh.vertices[vertex] - centre) / size
    values = [place]
    if mesh.uv is not None:
        values.append(mesh.uv[vertex] * (_SHIFT * _per_uv(mesh) / size))
    if mesh.colors is not None:
        values.append(mesh.colors[vertex] * _SHADE)
    material = np.zeros(len(mesh.faces), np.int64) if mesh.face_material is None else mesh.face_material
    piece = Piece(
        points=(mesh.vertices[first] - centre) / size,
        values=np.concatenate(values, 1).astype(np.float64),
        uv=None if mesh.uv is None else mesh.uv[vertex].astype(np.float64),
        faces=faces[sound],
        corners=corners[sound],
        material=material[sound].astype(np.int64),
        origin=np.flatnonzero(sound),
    )
    return piece, vertex


def _per_uv(mesh: Mesh) -> float:
    """Length on the surface of one unit of uv, in the middle."""
    assert mesh.uv is not None
    q = mesh.uv[mesh.faces].astype(np.float64)
    e, g = q[:, 1] - q[:, 0], q[:, 2] - q[:, 0]
    flat = np.abs(e[:, 0] * g[:, 1] - e[:, 1] * g[:, 0])
    solid = np.linalg.norm(surface.cross_products(mesh.vertices, mesh.faces), axis=1)
    used = (flat > 1e-12) & (solid > 0)
    return float(np.median(np.sqrt(solid[used] / flat[used]))) if used.any() else 0.0


def _as_mesh(mesh: Mesh, piece: Piece, vertex: NDArray[np.integer[Any]]) -> Mesh:
    """The reduced piece with the attributes of the mesh's vertices that are left."""
    faces, wedges = surface.compact(piece.corners, len(vertex))
    left = vertex[wedges]
    kept = {k: getattr(mesh, k) for k in ("uv", "colors", "seen", "confidence")}
    return mesh.with_(
        vertices=mesh.vertices[left],
        faces=faces,
        normals=None,
        **{k: None if v is None else v[left] for k, v in kept.items()},
        face_material=None if mesh.face_material is None else mesh.face_material[piece.origin],
        quads=0,
    )
