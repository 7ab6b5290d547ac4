"""Self-intersections taken out: overlapping parts united; where a part cuts itself, the place cut out and refilled."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import topology
from . import surface
from .fairing import faired
from .holes import filled, rims
from .sides import extents, parted, parts
from .weld import without_degenerate
from .workpiece import Ints, Workpiece

#: Rounds of cutting; the neighbourhood that is cut grows by a ring from the second on.
_ROUNDS = 7
#: Edges that a union makes are collapsed when they are shorter than this share of the diagonal.
_SHORT = 2e-6
#: Parts of less volume than this share of the cubed diagonal are what slivers leave behind.
_EMPTY = 1e-10
#: A piece that a cut leaves is dropped below this share of its part's area and this share of the diagonal.
_SCRAP, _LONG = 0.05, 0.08


def pairs(work: Workpiece) -> Ints | None:
    """Pairs of faces (N, 2) that cut each other as the mesh will be stored; None when there are too many to tell."""
    found = topology.self_intersections(work.rounded, work.faces)
    return None if found is None else found.astype(np.int64)


def resolved(work: Workpiece) -> tuple[Workpiece, dict[str, int]]:
    """Without self-intersections where that can be had, and counts: parts united, faces cut out, pairs left (-1: many).

    Every part must be closed, oriented and manifold.
    """
    counts = {"parts_united": 0, "faces_cut": 0, "crossings_left": 0}
    found = pairs(work)
    for turn in range(_ROUNDS):
        if found is None or not len(found):
            break
        _, part = parts(work)
        across = part[found[:, 0]] != part[found[:, 1]]
        if across.any() and turn < 2:
            together, number = united(work, part, np.unique(part[found[across]]))
            if number:
                work, counts["parts_united"] = together, counts["parts_united"] + number
                found = pairs(work)
                continue
        invented = np.unique(found)[work.source[np.unique(found)] < 0]
        if turn == 0 and len(invented):
            work = _filled_otherwise(work, invented)
        else:
            work, cut = recut(work, np.unique(found), rings=max(0, turn - 2))
            counts["faces_cut"] += cut
        found = pairs(work)
    counts["crossings_left"] = -1 if found is None else len(found)
    return work, counts


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
