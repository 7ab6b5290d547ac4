"""Solid mesh -> solid mesh with fewer faces: quadric edge collapse to a budget and an error bound, always checked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from ..assets import Mesh
from ..errors import ReconstructionError
from ..recipe import option
from ..render import Scene
from ..runtime import Runtime
from . import mend, surface

Vertices = NDArray[np.float32]
Faces = NDArray[np.int32]

#: fast_simplification keeps its mesh in static variables.
_ONE_AT_A_TIME = threading.Lock()
#: The first run of collapses stops here, later ones each at this share of the faces; never below this many by choice.
_FIRST, _STEP, _FEWEST = 20_000, 0.6, 100
#: Points of the dense surface at which the deviation is measured.
_PROBES = 4000


@dataclass(frozen=True)
class SimplifyOptions:
    """How far the mesh is simplified."""

    faces: int = option(20000, "most triangles in the result", "faces", 100, 2_000_000)
    error: float = option(
        0.0008, "simplify beyond the budget while the surface moves less than this share of the diagonal", "", 0, 0.1
    )


def simplify(options: SimplifyOptions, runtime: Runtime) -> Callable[[Mesh], Mesh]:
    """Refiner: at most ``faces`` triangles by quadric edge collapse (Garland and Heckbert 1997), fewer where few do.

    Takes a solid (see clean) and returns one: closed, manifold, one component, outward, no degenerate faces. Colours
    are interpolated. metadata["simplify"] gives the faces before and after and the measured deviation (99.5 % of the
    surface, as a share of the diagonal). Raises ReconstructionError when no solid fits the budget.
    """

    def run(mesh: Mesh) -> Mesh:
        probe = _Probe(mesh)
        vertices, faces = within_budget(mesh.vertices, mesh.faces, options.faces)
        deviation = probe.deviation(vertices, faces)
        while len(faces) >= 2 * _FEWEST and deviation <= options.error:
            fewer = next(_solids(vertices, faces, int(len(faces) * _STEP)), None)
            moved = np.inf if fewer is None else probe.deviation(*fewer)
            if fewer is None or moved > options.error:
                break
            (vertices, faces), deviation = fewer, moved
        facts = {"faces_before": len(mesh.faces), "faces": len(faces), "deviation": round(float(deviation), 6)}
        return Mesh(
            vertices,
            faces,
            colors=_interpolated(mesh, vertices),
            name=mesh.name,
            metadata={**mesh.metadata, "simplify": facts},
        )

    return run


def within_budget(vertices: Vertices, faces: Faces, budget: int) -> tuple[Vertices, Faces]:
    """A solid of at most ``budget`` faces; raises ReconstructionError when every way fails.

    Goes down in steps, because one long run of edge collapses raises its threshold faster than is good for the shape.
    """
    if len(faces) <= budget and surface.is_solid(vertices, faces):
        return vertices, faces
    whole = vertices, faces
    target = max(budget, min(_FIRST, len(faces)))
    while True:
        ways = chain(_solids(vertices, faces, target), _last_resorts(*whole, budget))
        found = _first_alike(ways, *whole)
        if found is None:
            raise ReconstructionError(
                f"no closed surface of {budget} faces is near this mesh", "allow more faces with --faces"
            )
        vertices, faces = found
        if len(faces) <= budget:
            return vertices, faces
        target = max(budget, int(len(faces) * _STEP))


def _first_alike(
    ways: Iterator[tuple[Vertices, Faces]], vertices: Vertices, faces: Faces
) -> tuple[Vertices, Faces] | None:
    """The first mesh with nearly the extent and volume of the given one, else the first mesh, else None."""
    spare = None
    low, high, size = vertices.min(0), vertices.max(0), surface.diagonal(vertices)
    volume = float(surface.volumes(vertices, faces).sum())
    for v, f in ways:
        moved = max(np.abs(v.min(0) - low).max(), np.abs(v.max(0) - high).max())
        if moved < 0.03 * size and abs(float(surface.volumes(v, f).sum()) / volume - 1) < 0.25:
            return v, f
        spare = spare or (v, f)
    return spare


def _solids(vertices: Vertices, faces: Faces, target: int) -> Iterator[tuple[Vertices, Faces]]:
    """Solids of at most ``target`` faces by edge collapse, mended where a collapse broke them."""
    for share, aggression in ((1.0, 5.0), (0.995, 5.0), (0.98, 4.0), (0.95, 7.0), (0.9, 7.0)):
        v, f = _collapsed(vertices, faces, int(target * share), aggression)
        if surface.is_solid(v, f):
            if len(f) <= target:
                yield v, f
            continue
        v, f = mend.stitched(v, f)
        if len(f) <= target and surface.is_solid(v, f):
            yield v, f


def _last_resorts(vertices: Vertices, faces: Faces, budget: int) -> Iterator[tuple[Vertices, Faces]]:
    """Solids of at most ``budget`` faces by manifold3d at growing tolerance, then from ever coarser voxels."""
    body = mend.to_manifold(vertices, faces)
    for tolerance in 5e-4 * 1.5 ** np.arange(12):
        v, f = mend.from_manifold(body.simplify(float(tolerance) * surface.diagonal(vertices)))
        if 0 < len(f) <= budget:
            v, f = mend.stitched(v, f)
            if len(f) <= budget and surface.is_solid(v, f):
                yield v, f
    for cells in (96, 64, 40, 24, 12, 8, 5, 3):
        v, f = mend.remeshed(vertices, faces, cells)
        yield from ((v, f),) if len(f) <= budget and surface.is_solid(v, f) else _solids(v, f, budget)


def _collapsed(vertices: Vertices, faces: Faces, target: int, aggression: float) -> tuple[Vertices, Faces]:
    """fast_simplification's answer as a compact mesh; ``target`` faces at most, if it gets there."""
    import fast_simplification

    if not 0 < target < len(faces):
        return vertices, faces
    with _ONE_AT_A_TIME:
        v, f = fast_simplification.simplify(
            np.ascontiguousarray(vertices, np.float64), np.ascontiguousarray(faces), target_count=target, agg=aggression
        )
    kept, old = surface.compact(f, len(v))
    return np.asarray(v[old], np.float32), kept


class _Probe:
    """Points on the dense surface with their normals, to measure how far a simplified surface lies from them."""

    def __init__(self, mesh: Mesh) -> None:
        step = max(1, len(mesh.faces) // _PROBES)
        chosen = mesh.faces[::step]
        self.points = mesh.vertices[chosen].mean(1)
        self.normals = mesh.with_(faces=chosen).face_normals()
        self.size = surface.diagonal(mesh.vertices)

    def deviation(self, vertices: Vertices, faces: Faces) -> float:
        """Distance along the normal that 99.5 % of the points keep within, as a share of the diagonal."""
        scene = Scene(Mesh(vertices, faces))
        start = 0.02 * self.size
        both = [scene.cast(self.points - s * start * self.normals, s * self.normals).distance for s in (1, -1)]
        away = np.minimum(np.minimum(*(np.abs(d - start) for d in both)), self.size)
        return float(np.quantile(away, 0.995) / self.size)


def _interpolated(source: Mesh, vertices: Vertices) -> NDArray[np.float32] | None:
    """Colours at new vertices from the three nearest old ones, by inverse distance."""
    from scipy.spatial import cKDTree

    if source.colors is None:
        return None
    tree = cKDTree(source.vertices, balanced_tree=False, compact_nodes=False)
    distance, near = tree.query(vertices, k=3)
    weight = 1.0 / (distance + 1e-6 * surface.diagonal(source.vertices))
    weight /= weight.sum(1, keepdims=True)
    return np.asarray(np.einsum("ij,ijk->ik", weight, source.colors[near]), np.float32)
