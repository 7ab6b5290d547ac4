"""Making a broken surface solid again: weld, part what only touches, drop offending faces, fill holes, else remesh."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ReconstructionError
from . import surface
from .raster import rasterize

Vertices = NDArray[np.float32]
Faces = NDArray[np.int32]


def solid(vertices: Vertices, faces: Faces, allow_remesh: bool = True) -> tuple[Vertices, Faces, str]:
    """A solid (see surface.is_solid) near the given surface, and how it was made: "stitched", "merged" or "remeshed".

    Raises ReconstructionError when nothing solid can be made of it.
    """
    for how, repair in (("stitched", stitched), ("merged", merged), ("remeshed", remeshed)):
        if how == "remeshed" and not allow_remesh:
            break
        v, f = repair(vertices, faces)
        if surface.is_solid(v, f):
            return v, f, how
    raise ReconstructionError("no closed surface can be made of this mesh", "try another picture, or give a mask")


def stitched(vertices: Vertices, faces: Faces) -> tuple[Vertices, Faces]:
    """Welded, touching sheets parted, offending faces dropped, pinches split, holes filled; the largest part."""
    for _ in range(3):
        vertices, faces = _unglued(*_welded(vertices, faces))
        faces = _oriented_edges_once(faces)
        if not len(faces):
            break
        vertices, faces = _unpinched(vertices, faces)
        vertices, faces = _filled(vertices, faces)
        vertices, faces = largest(vertices, faces)
        if surface.is_solid(vertices, faces):
            break
    return vertices, faces


def merged(vertices: Vertices, faces: Faces) -> tuple[Vertices, Faces]:
    """What manifold3d makes of the stitched surface once edges shorter than its tolerance are collapsed."""
    vertices, faces = stitched(vertices, faces)
    if len(faces) < 4:
        return vertices, faces
    body = to_manifold(vertices, faces)
    size = surface.diagonal(vertices)
    for tolerance in (2e-6, 2e-5, 2e-4, 1e-3):
        v, f = from_manifold(body.simplify(tolerance * size))
        if len(f) and surface.is_solid(v, f):
            return v, f
        if len(f) and surface.is_solid(*(again := stitched(v, f))):
            return again
    return vertices, faces


def remeshed(vertices: Vertices, faces: Faces, cells: int = 112) -> tuple[Vertices, Faces]:
    """A fresh surface around all with winding number above one half, from a grid of ``cells`` on the longest side."""
    from skimage.measure import marching_cubes

    if not len(faces) or not np.ptp(vertices, axis=0).max() > 0:
        return vertices[:0], faces[:0]
    low = vertices.min(0).astype(np.float64)
    step = float(np.ptp(vertices, axis=0).max()) / cells
    shape = np.ceil(np.ptp(vertices, axis=0) / step).astype(int) + 6
    grid = (vertices - low) / step + 3
    field = np.mean([_winding(grid, faces, shape, axis) for axis in range(3)], axis=0)
    field = _blurred(field)
    if not (field > 0.5).any():
        return vertices[:0], faces[:0]
    v, f, _, _ = marching_cubes(field, 0.5)
    # cell i of the field is sampled at its centre, i + 0.5 in grid units
    v = ((v + 0.5 - 3) * step + low).astype(np.float32)
    f = f.astype(np.int32)
    v, f = largest(v, f if surface.volumes(v, f).sum() > 0 else f[:, ::-1])
    return (v, f) if surface.is_solid(v, f) else merged(v, f)


def largest(vertices: Vertices, faces: Faces) -> tuple[Vertices, Faces]:
    """The part with the largest area, turned outward, its vertices renumbered."""
    if not len(faces):
        return vertices[:0], faces
    _, label = surface.components(faces, len(vertices))
    part = label[faces[:, 0]]
    area = np.bincount(part, np.linalg.norm(surface.cross_products(vertices, faces), axis=1))
    kept, old = surface.compact(faces[part == area.argmax()], len(vertices))
    if surface.volumes(vertices[old], kept).sum() < 0:
        kept = np.ascontiguousarray(kept[:, ::-1])
    return vertices[old], kept


def to_manifold(vertices: Vertices, faces: Faces) -> Any:
    """A manifold3d.Manifold of a triangle mesh; its status says whether it is one."""
    import manifold3d

    return manifold3d.Manifold(
        manifold3d.Mesh(np.ascontiguousarray(vertices, np.float32), np.ascontiguousarray(faces, np.uint32))
    )


def from_manifold(body: Any) -> tuple[Vertices, Faces]:
    """Vertices (V, 3) float32 and faces (F, 3) int32 of a manifold3d.Manifold."""
    mesh = body.to_mesh()
    return np.array(mesh.vert_properties[:, :3], np.float32), np.array(mesh.tri_verts, np.int32)


def _welded(vertices: Vertices, faces: Faces) -> tuple[Vertices, Faces]:
    """Equal positions become one vertex; faces that lose a corner go, and pairs of faces on the same three vertices."""
    unique, index = np.unique(vertices + np.float32(0), axis=0, return_inverse=True)
    faces = index.reshape(-1)[faces]
    faces = faces[(faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])]
    _, group, size = np.unique(np.sort(faces, 1), axis=0, return_inverse=True, return_counts=True)
    kept, old = surface.compact(faces[size[group.reshape(-1)] == 1], len(unique))
    return unique[old], kept


def _unglued(vertices: Vertices, faces: Faces) -> tuple[Vertices, Faces]:
    """Where two sheets touch along an edge (four faces), each gets its own middle vertex, drawn a little inward."""
    start, end = surface.half_edges(faces)
    base = len(vertices)
    edge = np.minimum(start, end) * base + np.maximum(start, end)
    order = np.lexsort((start > end, edge))
    _, first, size = np.unique(edge[order], return_index=True, return_counts=True)
    four = order[first[size == 4][:, None] + np.arange(4)]
    four = four[((start > end)[four] == [False, False, True, True]).all(1)]
    # one edge of a face at a time: the next round takes the others
    taken = np.unique(np.r_[four.ravel() // 3], return_index=True)[1]
    alone = np.zeros(four.size, bool)
    alone[taken] = True
    four = four[alone.reshape(-1, 4).all(1)]
    if not len(four):
        return vertices, faces
    pairs = np.concatenate(_sheets(vertices, faces, four))
    tip = faces.ravel()[_before(pairs)]
    a, b = start[pairs[:, 0]], end[pairs[:, 0]]
    p = vertices.astype(np.float64)
    middle = 0.45 * (p[a] + p[b]) + 0.05 * (p[tip[:, 0]] + p[tip[:, 1]])
    new = base + np.arange(len(pairs))
    flat = faces.astype(np.int64).ravel()
    extra = np.stack([np.repeat(new, 2), end[pairs].ravel(), tip.ravel()], 1)
    flat[_after(pairs)] = new[:, None]
    faces = np.concatenate([flat.reshape(-1, 3), extra]).astype(np.int32)
    return np.concatenate([vertices, middle.astype(np.float32)]), faces


def _sheets(vertices: Vertices, faces: Faces, four: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For edges with half-edges (up, up, down, down): the two pairs around the thinner wedges of material."""
    start, end = surface.half_edges(faces)
    p = vertices.astype(np.float64)
    a, b = p[start[four[:, 0]]], p[end[four[:, 0]]]
    axis = (b - a) / np.maximum(np.linalg.norm(b - a, axis=1, keepdims=True), 1e-300)
    arm = p[faces.ravel()[_before(four)]] - a[:, None]
    arm -= np.einsum("ijk,ik->ij", arm, axis)[..., None] * axis[:, None]
    side = np.cross(axis, arm[:, 0])
    angle = np.arctan2(np.einsum("ijk,ik->ij", arm, side), np.einsum("ijk,ik->ij", arm, arm[:, 0]))
    # seen along the edge, the material of an upward half-edge's face lies clockwise of that face
    wedge = np.mod(angle[:, :2, None] - angle[:, None, 2:], 2 * np.pi)
    straight = wedge[:, 0, 0] + wedge[:, 1, 1] <= wedge[:, 0, 1] + wedge[:, 1, 0]
    partner = np.where(straight[:, None], [2, 3], [3, 2])
    rows = np.arange(len(four))
    return (
        np.stack([four[:, 0], four[rows, partner[:, 0]]], 1),
        np.stack([four[:, 1], four[rows, partner[:, 1]]], 1),
    )


def _after(h: NDArray[np.int64]) -> NDArray[np.int64]:
    """The corner at a half-edge's end."""
    return h - h % 3 + (h + 1) % 3


def _before(h: NDArray[np.int64]) -> NDArray[np.int64]:
    """The corner opposite a half-edge."""
    return h - h % 3 + (h + 2) % 3


def _oriented_edges_once(faces: Faces) -> Faces:
    """Without the faces at edges used more than twice, or twice in the same direction."""
    start, end = (x.astype(np.int64) for x in surface.half_edges(faces))
    base = int(faces.max()) + 1 if len(faces) else 1
    edge = np.minimum(start, end) * base + np.maximum(start, end)
    _, group, size = np.unique(edge, return_inverse=True, return_counts=True)
    forward = np.bincount(group, start < end, len(size))
    bad = (size > 2) | ((size == 2) & (forward != 1))
    kept: Faces = faces[~bad[group].reshape(-1, 3).any(1)]
    return kept


def _unpinched(vertices: Vertices, faces: Faces) -> tuple[Vertices, Faces]:
    """Every fan of faces gets a vertex of its own; copies move a little into their own fan."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    a, b = surface.pairs(faces)
    i, j = np.r_[a, _after(a)], np.r_[_after(b), b]
    total = faces.size
    number, fan = connected_components(coo_matrix((np.ones(len(i), np.int8), (i, j)), shape=(total, total)), False)
    origin = np.empty(number, np.int64)
    origin[fan] = faces.ravel()
    moved = vertices[origin].astype(np.float64)
    copies = np.bincount(origin, minlength=len(vertices))[origin] > 1
    centre = vertices[faces].astype(np.float64).mean(1)[np.arange(total) // 3]
    size = np.bincount(fan, minlength=number)
    mean = np.stack([np.bincount(fan, centre[:, k], number) / size for k in range(3)], 1)
    moved[copies] = 0.9 * moved[copies] + 0.1 * mean[copies]
    return moved.astype(np.float32), fan.reshape(-1, 3).astype(np.int32)


def _filled(vertices: Vertices, faces: Faces) -> tuple[Vertices, Faces]:
    """Every hole closed by a fan around the mean of its rim (needs unpinched vertices)."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    start, end = surface.half_edges(faces)
    open_ = np.ones(len(start), bool)
    open_[np.concatenate(surface.pairs(faces))] = False
    if not open_.any():
        return vertices, faces
    a, b = end[open_], start[open_]
    total = len(vertices)
    _, loop = connected_components(coo_matrix((np.ones(len(a), np.int8), (a, b)), shape=(total, total)), False)
    _, loop = np.unique(loop[a], return_inverse=True)
    size = np.bincount(loop)
    middle = np.stack([np.bincount(loop, vertices[a, k].astype(np.float64)) / size for k in range(3)], 1)
    fan = np.stack([a, b, total + loop], 1).astype(np.int32)
    return np.concatenate([vertices, middle.astype(np.float32)]), np.concatenate([faces, fan])


def _winding(grid: NDArray[np.floating], faces: Faces, shape: NDArray[np.integer], axis: int) -> NDArray[np.float32]:
    """1 inside and 0 outside at every cell centre, from the signed crossings of rays along ``axis``; holes leak."""
    u, v = (axis + 1) % 3, (axis + 2) % 3
    width, height, depth = int(shape[u]), int(shape[v]), int(shape[axis])
    face, pixel, weight = rasterize(grid[faces][:, :, [u, v]], width, height)
    at = np.einsum("ij,ij->i", weight, grid[faces[face], axis])
    flat = grid[faces][:, :, [u, v]]
    e, g = flat[:, 1] - flat[:, 0], flat[:, 2] - flat[:, 0]
    sign = -np.sign(e[:, 0] * g[:, 1] - e[:, 1] * g[:, 0])[face]
    cell = np.clip(np.ceil(at - 0.5).astype(np.int64), 0, depth - 1)
    crossing = np.bincount(pixel * depth + cell, sign, width * height * depth).reshape(height, width, depth)
    inside = (np.cumsum(crossing, axis=2) > 0.5).astype(np.float32)
    return np.transpose(inside, np.argsort([v, u, axis]))


def _blurred(field: NDArray[np.floating]) -> NDArray[np.floating]:
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(field, 0.7))
