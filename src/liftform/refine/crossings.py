"""Self-intersections taken out: overlapping parts united; where a part cuts itself, the place cut out and refilled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import topology
from . import surface
from .fairing import densities, faired
from .holes import edge_keys, filled, rims
from .sides import extents, parted, parts
from .weld import flat, without_degenerate
from .workpiece import Bools, Floats, Ints, Workpiece

#: Rounds of cutting; the neighbourhood that is cut grows by a ring from the second on.
_ROUNDS = 7
#: Corners of faces that cut close ones are drawn so many times, altogether no further than this share of the edges
#: around and this share of the diagonal.
_DRAWS, _DRAWN, _DRAWN_FAR = 8, 0.6, 0.007
#: Edges that a union makes are collapsed when they are shorter than this share of the diagonal.
_SHORT = 2e-6
#: Parts of less volume than this share of the cubed diagonal are what slivers leave behind.
_EMPTY = 1e-10
#: A piece that a cut leaves is dropped below this share of its part's area and this share of the diagonal.
_SCRAP, _LONG = 0.05, 0.08


def pairs(work: Workpiece, before: Workpiece | None = None, bad: Ints | None = None) -> Ints | None:
    """Pairs of faces (N, 2) that cut each other as the mesh will be stored; None when there are too many to tell.

    Given what the work was ``before``, and the faces ``bad`` that cut something then, only pairs with one of those or
    a face that was not there are looked for: all that there can be.
    """
    among = None
    if before is not None and bad is not None:
        good = np.ones(len(before.faces), bool)
        good[bad] = False
        among = ~np.isin(_fingerprints(work), _fingerprints(before.kept(good)))
    found = topology.self_intersections(work.rounded, work.faces, among=among)
    return None if found is None else found.astype(np.int64)


def _fingerprints(work: Workpiece) -> NDArray[np.uint64]:
    """A number (F,) for each face that tells its three places from all others, in whatever order they come."""
    bits = (work.rounded + np.float32(0)).view(np.uint32).astype(np.uint64)
    point = np.zeros(len(bits), np.uint64)
    for k in range(3):
        point = (point ^ bits[:, k]) * np.uint64(0x9E3779B97F4A7C15)
        point ^= point >> np.uint64(29)
    return np.asarray((point[work.faces] * point[work.faces]).sum(1) + point[work.faces].prod(1))


def resolved(work: Workpiece) -> tuple[Workpiece, dict[str, int]]:
    """Without self-intersections where that can be had, and counts: points drawn, parts united, faces cut, pairs left.

    Every part must be closed, oriented and manifold.
    """
    counts = {"points_relaxed": 0, "parts_united": 0, "faces_cut": 0, "crossings_left": 0}
    found = pairs(work)
    if found is not None and len(found):
        work, found, counts["points_relaxed"] = relaxed(work, found)
    for turn in range(_ROUNDS):
        if found is None or not len(found):
            break
        bad = np.unique(found)
        _, part = parts(work)
        across = part[found[:, 0]] != part[found[:, 1]]
        if across.any() and turn < 2:
            together, number = united(work, part, np.unique(part[found[across]]))
            if number:
                counts["parts_united"] += number
                found, work = pairs(together, work, bad), together
                continue
        invented = bad[work.source[bad] < 0]
        if turn == 0 and len(invented):
            mended = _filled_otherwise(work, invented)
        else:
            mended, cut = recut(work, bad, rings=max(0, turn - 2))
            counts["faces_cut"] += cut
        found, work = pairs(mended, work, bad), mended
    counts["crossings_left"] = -1 if found is None else len(found)
    return work, counts


def relaxed(work: Workpiece, found: Ints) -> tuple[Workpiece, Ints | None, int]:
    """Where faces cut others that are one edge away (noise, small folds), their corners drawn towards the mean of their
    neighbours, never far; the work, the pairs that are left, and how many points moved."""
    start, end = surface.half_edges(work.faces)
    degree = 2 * np.bincount(start, minlength=len(work.points))
    first, moved = work, np.zeros(len(work.points), bool)
    reach = np.minimum(_DRAWN * np.nan_to_num(densities(work.points, work.faces)), _DRAWN_FAR * work.size)
    left: Ints | None = found
    for _ in range(_DRAWS):
        if left is None or not len(left):
            break
        near = left[_next_to(work, left)]
        draw = np.zeros(len(work.points), bool)
        draw[work.faces[near]] = True
        mean = (
            np.stack([_gathered(start, end, work.points[:, k]) for k in range(3)], 1) / np.maximum(degree, 1)[:, None]
        )
        to = (work.points + mean) / 2
        draw &= np.linalg.norm(to - first.points, axis=1) <= reach
        if not draw.any():
            break
        moved |= draw
        drawn = work.with_(points=np.where(draw[:, None], to, work.points))
        left, work = pairs(drawn, work, np.unique(left)), drawn
    if left is None or len(left) >= len(found):
        return first, found, 0
    if flat(work.rounded.astype(np.float64), work.faces, work.size).any():
        work = settled(work)
        left = pairs(work)
    return work, left, int(moved.sum())


def _gathered(start: Ints, end: Ints, values: Floats) -> NDArray[Any]:
    """Sums (P,) of the values at the other ends of all half-edges, either way."""
    return np.asarray(np.bincount(start, values[end], len(values)) + np.bincount(end, values[start], len(values)))


def _next_to(work: Workpiece, found: Ints) -> Bools:
    """Which pairs (N,) of faces are joined by an edge from a corner of one to a corner of the other."""
    count = np.int64(len(work.points))
    keys = np.sort(edge_keys(work.faces, len(work.points)))
    a, b = work.faces[found[:, 0]][:, :, None], work.faces[found[:, 1]][:, None, :]
    asked = (np.minimum(a, b) * count + np.maximum(a, b)).reshape(len(found), 9)
    at = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)  # np.isin would sort all edges again
    return np.asarray((keys[at] == asked).any(1))


def united(work: Workpiece, part: Ints, chosen: Ints) -> tuple[Workpiece, int]:
    """The chosen parts as one body (manifold3d's union), and how many they were: 0 when it cannot be had.

    Faces that the union leaves whole keep their corners; parts of faces interpolate; sealed hollows go.
    """
    import manifold3d as m

    bodies = []
    for number in chosen:
        faces = np.flatnonzero(part == number)
        body = manifold_of(work, faces)
        if body.status() != m.Error.NoError:
            return work, 0
        bodies.append(body)
    union = m.Manifold.batch_boolean(bodies, m.OpType.Add).simplify(_SHORT * work.size)
    whole = [piece for piece in union.decompose() if piece.volume() > 0]
    if union.status() != m.Error.NoError or not whole:
        return work, 0
    rest = work.kept(~np.isin(part, chosen))
    for piece in whole:
        rest = returned(work, rest, piece.to_mesh64())
    return settled(rest.compacted()), len(chosen)


def settled(work: Workpiece) -> Workpiece:
    """Closed and manifold again after faces without area went: what they leave is filled, a few times over."""
    left = -1
    for _ in range(5):
        work = parted(without_degenerate(work))
        edge, _, uses = surface.undirected(work.faces)
        crowded = np.asarray((uses[edge] > 2).reshape(-1, 3).any(1))
        if crowded.any():
            work = parted(work.kept(~crowded))
        found = rims(work)
        if not found:
            break
        work = filled(work, found)
        if len(work.faces) == left:  # what was filled went again
            break
        left = len(work.faces)
    number, part = parts(work)
    volume = np.bincount(part, surface.volumes(work.points, work.faces), number)
    empty = np.abs(volume) < _EMPTY * work.size**3
    return (work if empty.all() else work.kept(~empty[part])).compacted()


def manifold_of(work: Workpiece, face: Ints, first: int = 0) -> Any:
    """Faces as a manifold3d.Manifold whose faces know their number, counted from ``first``."""
    import manifold3d as m

    faces, old = surface.compact(work.faces[face], len(work.points))
    return m.Manifold(
        m.Mesh64(
            np.ascontiguousarray(work.points[old]),
            np.ascontiguousarray(faces, np.uint64),
            face_id=np.ascontiguousarray(face + first, np.uint64),
        )
    )


def returned(work: Workpiece, rest: Workpiece, mesh: Any) -> Workpiece:
    """A body's faces put behind ``rest``, with the corners of the faces they come from where they still lie there."""
    positions = np.asarray(mesh.vert_properties, np.float64)[:, :3]
    faces = np.asarray(mesh.tri_verts).astype(np.int64)
    origin = np.asarray(mesh.face_id).astype(np.int64)
    # (F, corner now, corner then)
    same = (positions[faces][:, :, None] == work.points[work.faces[origin]][:, None]).all(-1)
    then = same.argmax(2)
    rows = np.arange(len(faces))[:, None]
    corner = np.where(same.any(2), work.corner[origin][rows, then], -1)
    return rest.extended(faces + len(rest.points), positions, work.source[origin], corner)


def _filled_otherwise(work: Workpiece, bad: Ints) -> Workpiece:
    """Fillings that cut something taken out whole and made anew, as small as can be and without bending them."""
    new = np.flatnonzero(work.source < 0)
    _, label = parts(work.kept(new))
    gone = np.zeros(len(work.faces), bool)
    gone[new[np.isin(label, label[np.isin(new, bad)])]] = True
    left = parted(work.kept(~gone)).compacted()
    return settled(filled(left, rims(left), bend=0.0))


def recut(work: Workpiece, bad: Ints, rings: int) -> tuple[Workpiece, int]:
    """The bad faces and ``rings`` rings around them cut out, scraps dropped, the holes filled and made smooth; and how
    many faces went."""
    gone = np.zeros(len(work.faces), bool)
    gone[bad] = True
    for _ in range(rings):
        touched = np.zeros(len(work.points), bool)
        touched[work.faces[gone]] = True
        gone |= touched[work.faces].any(1)
    _, part = parts(work)
    before = np.bincount(part, work.areas)
    left, home = work.kept(~gone), part[~gone]
    if not len(left.faces):
        return work, 0
    number, piece = parts(parted(left))
    owner = np.zeros(number, np.int64)
    owner[piece] = home
    area = np.bincount(piece, left.areas)
    biggest = np.zeros(len(before))
    np.maximum.at(biggest, owner, area)
    small = extents(left, piece) < _LONG * work.size
    scrap = (area < _SCRAP * before[owner]) & (area < biggest[owner]) & small
    left = parted(left.kept(~scrap[piece])).compacted()
    whole = settled(faired(filled(left, rims(left)), len(left.faces)))
    return whole, int(len(work.faces) - len(left.faces))
