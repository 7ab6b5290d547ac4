"""Dense mesh -> one watertight outward manifold: floaters and inner shells removed, holes closed, lightly smoothed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..assets import Mesh
from ..errors import ReconstructionError
from ..recipe import option
from ..runtime import Runtime
from . import mend, surface

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class CleanOptions:
    """How the raw surface is tidied."""

    smooth: int = option(2, "smoothing passes that remove the staircase of the voxel grid", "smooth", 0, 50)
    keep: float = option(
        0.03, "separate parts with at least this share of the surface are joined by a thin strut, not dropped", "", 0, 1
    )
    reach: float = option(0.12, "longest strut, as a share of the object's diagonal", "", 0, 1)


def clean(options: CleanOptions, runtime: Runtime) -> Callable[[Mesh], Mesh]:
    """Refiner: exactly one closed, edge- and vertex-manifold, outward component; colours follow their vertices.

    metadata["clean"] counts what was removed and repaired. Raises ReconstructionError when no volume is left.
    """

    def run(mesh: Mesh) -> Mesh:
        vertices, faces, counts = _largest(mesh.vertices, mesh.faces, options)
        vertices = taubin(vertices, faces, options.smooth)
        if not surface.is_solid(vertices, faces):
            vertices, faces, how = mend.solid(vertices, faces)
            counts["repair"] = how
        colors, confidence = carried(mesh, vertices)
        metadata = {**mesh.metadata, "clean": counts}
        return Mesh(vertices, faces, colors=colors, confidence=confidence, name=mesh.name, metadata=metadata)

    return run


def taubin(vertices: NDArray[np.float32], faces: NDArray[np.int32], passes: int) -> NDArray[np.float32]:
    """Vertices after ``passes`` of smoothing without shrinking (Taubin: A signal processing approach to fair surfaces,
    1995)."""
    if not passes or not len(faces):
        return vertices
    start, end = surface.half_edges(faces)
    count = len(vertices)
    degree = np.maximum(np.bincount(start, minlength=count), 1)
    v = [np.asarray(vertices[:, k], np.float64) for k in range(3)]
    for step in (0.5, -0.53) * passes:
        v = [x + step * (np.bincount(start, x[end], count) / degree - x) for x in v]
    return np.stack(v, 1).astype(np.float32)


def carried(
    source: Mesh, vertices: NDArray[np.floating]
) -> tuple[NDArray[np.float32] | None, NDArray[np.float32] | None]:
    """Colours and confidence of the source's nearest vertices, each None where it has none.

    The same number of vertices are the same vertices, moved.
    """
    from scipy.spatial import cKDTree

    if len(vertices) == len(source.vertices) or (source.colors is None and source.confidence is None):
        return source.colors, source.confidence
    tree = cKDTree(source.vertices, balanced_tree=False, compact_nodes=False)
    near: Ints = tree.query(vertices)[1]
    colors, confidence = source.colors, source.confidence
    return None if colors is None else colors[near], None if confidence is None else confidence[near]


def _largest(
    vertices: NDArray[np.float32], faces: NDArray[np.int32], options: CleanOptions
) -> tuple[NDArray[np.float32], NDArray[np.int32], dict[str, Any]]:
    """The largest part, outward, joined with other large parts nearby; and counts of what was dropped."""
    broken = np.asarray(~np.isfinite(vertices[faces]).all(axis=(1, 2)))
    vertices, faces = _cut(vertices, faces, ~broken)
    areas = np.linalg.norm(surface.cross_products(vertices, faces), axis=1) / 2
    if len(faces) < 4 or not areas.sum() > 0:
        raise ReconstructionError("the surface is empty", "try another picture, or give a mask with --mask")
    number, label = surface.components(faces, len(vertices))
    part = label[faces[:, 0]]
    area = np.bincount(part, areas, number)
    volume = np.bincount(part, surface.volumes(vertices, faces), number)
    main = int(area.argmax())
    if volume[main] < 0:
        faces, volume = np.ascontiguousarray(faces[:, ::-1]), -volume
    others = np.delete(np.arange(number), main)
    large = others[(area[others] >= options.keep * area.sum()) & (volume[others] > 0)]
    body, joined = _cut(vertices, faces, part == main), []
    for i in large[np.argsort(-area[large], kind="stable")]:
        grown = _joined(body, _cut(vertices, faces, part == i), options.reach)
        if grown is not None:
            body = grown
            joined.append(i)
    inner = int((volume[others] < 0).sum())
    return *body, {
        "floaters_removed": len(others) - inner - len(joined),
        "inner_shells_removed": inner,
        "parts_joined": len(joined),
        "broken_faces_removed": int(broken.sum()),
        "area_removed": round(float(1 - area[[main, *joined]].sum() / area.sum()), 6),
        "smoothing_passes": options.smooth,
        "repair": "none",
    }


def _cut(
    vertices: NDArray[np.float32], faces: NDArray[np.int32], chosen: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """The chosen faces (F,) with the vertices they use."""
    kept, old = surface.compact(faces[chosen], len(vertices))
    return vertices[old], kept


def _joined(
    body: tuple[NDArray[np.float32], NDArray[np.int32]],
    part: tuple[NDArray[np.float32], NDArray[np.int32]],
    reach: float,
) -> tuple[NDArray[np.float32], NDArray[np.int32]] | None:
    """Union of two solids and a thin strut across their nearest points; None if too far apart or not solids."""
    import manifold3d
    from scipy.spatial import cKDTree

    gap, near = cKDTree(body[0]).query(part[0])
    i = int(gap.argmin())
    size = surface.diagonal(body[0])
    if gap[i] > reach * size:
        return None
    solids = [mend.to_manifold(*x) for x in (body, part)]
    if any(s.status() != manifold3d.Error.NoError for s in solids):
        return None
    strut = _strut(body[0][near[i]].astype(np.float64), part[0][i].astype(np.float64), 0.012 * size)
    union = manifold3d.Manifold.batch_boolean([*solids, strut], manifold3d.OpType.Add)
    pieces = sorted(union.decompose(), key=lambda m: -m.surface_area())
    if sum(p.volume() > 0 for p in pieces) != 1:
        return None
    return mend.from_manifold(pieces[0])


def _strut(a: Floats, b: Floats, radius: float) -> Any:
    """A hexagonal prism from a to b that reaches one radius into both sides."""
    import manifold3d

    axis = b - a
    length = float(np.linalg.norm(axis))
    axis = axis / length if length > 1e-12 else np.array([0.0, 1.0, 0.0])
    side = np.cross(axis, np.eye(3)[np.abs(axis).argmin()])
    side /= np.linalg.norm(side)
    angle = np.arange(6) * np.pi / 3
    ring = radius * (np.cos(angle)[:, None] * side + np.sin(angle)[:, None] * np.cross(axis, side))
    ends = np.concatenate([a - radius * axis + ring, b + radius * axis + ring])
    return manifold3d.Manifold.hull_points(ends.astype(np.float32))
