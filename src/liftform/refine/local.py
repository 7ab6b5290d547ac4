"""The local road of repair: what is sound stays bit for bit, what is broken is mended where it is."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import holes, sides, surface, weld
from .crossings import resolved, settled
from .fairing import faired
from .workpiece import Bools, Ints, Workpiece

#: An open sheet of fewer faces than this and a smaller share of the diagonal than that is a scrap.
_FEW, _SCRAP = 4, 0.05
#: A closed sheet is thin when it is on average thinner than this share of its diagonal ...
_THIN = 0.02
#: ... and most of what closes it is invented: at least this share of its own area.
_LID = 0.3
#: A sheet so shallow that what closes it has more than this share of its own area is no body either.
_SHALLOW = 0.75
#: Lids of more than this share of the whole area are asked what they hide; more than that share of rays is too much.
_LARGE, _HIDES = 0.02, 0.35


def prepared(work: Workpiece, options: Any, seed: int) -> tuple[Workpiece, dict[str, Any]]:
    """Welded, manifold, oriented outward, without debris, closed unless ``options.open``; and what was done.

    Parts may still cut each other and themselves.
    """
    counts: dict[str, Any] = {}
    given = len(work.faces)
    work = weld.welded(work, options.weld)
    work = weld.without_degenerate(work)
    counts["faces_dropped"] = given - len(work.faces)
    work = weld.without_degenerate(weld.without_junctions(work, options.weld))
    before = len(work.faces)
    work = sides.manifold(work, seed)
    counts["walls_and_fins"] = before - len(work.faces)
    work, counts["floaters"] = sides.without_floaters(work, options.floaters, options.gap, seed)
    work, counts["holes"], counts["sheets"] = closed(work, options, seed)
    if not options.inner:
        work, counts["inner_shells"] = sides.without_inner(work, seed)
    return work, counts


def local(work: Workpiece, options: Any, seed: int) -> tuple[Workpiece, dict[str, Any]]:
    """Prepared, and without self-intersections where that can be had by cutting and uniting."""
    work, counts = prepared(work, options, seed)
    if not options.open:
        before = work
        work, crossings = resolved(work)
        counts |= crossings
        if crossings["faces_cut"] and len(work.faces):
            counts["surface_moved"] = round(sides.moved(before, work, seed), 5)
        if not options.inner and crossings["parts_united"] + crossings["faces_cut"]:
            work, more = sides.without_inner(work, seed)
            counts["inner_shells"] += more
    return work, counts


def closed(work: Workpiece, options: Any, seed: int) -> tuple[Workpiece, int, int]:
    """Holes filled and open sheets given a thickness, as far as the options say; and how many of either."""
    found = holes.rims(work)
    if options.open:
        found = [rim for rim in found if rim.extent(work.points) <= options.small * work.size]
    if not found:
        return work, 0, 0
    first = len(work.faces)
    trial = holes.filled(work, found)
    thin = np.zeros(len(trial.faces), bool)
    if not options.open:
        thin = thin_sheets(trial, first) | vessels(trial, first, seed)
    if not thin.any():
        return outward(_settled(faired(trial, first), options)), len(found), 0
    solid, sheet = trial.kept(~thin), trial.kept(thin & (np.arange(len(trial.faces)) < first))
    sheet = without_scraps(sheet, work.size) if len(solid.faces) else sheet
    kept = int((~thin[:first]).sum())
    number, _ = sides.parts(sheet)
    work = _settled(faired(solid, kept), options) if kept else solid
    if not number:
        return outward(work), len(found), 0
    both = thickened(sheet.compacted(), options.thickness * trial.size)
    work = work.extended(both.faces + len(work.points), both.points, both.source, both.corner)
    return outward(work.compacted()), len(found), number


def _settled(work: Workpiece, options: Any) -> Workpiece:
    return weld.without_degenerate(work) if options.open else settled(work)


def thin_sheets(work: Workpiece, first: int) -> Bools:
    """Faces (F,) of parts that closing (by the faces from number ``first`` on) gave next to no volume: open sheets."""
    number, part = sides.parts(work)
    volume = np.abs(np.bincount(part, surface.volumes(work.points, work.faces), number))
    lid = np.arange(len(work.faces)) >= first
    area, added = np.bincount(part, work.areas, number), np.bincount(part[lid], work.areas[lid], number)
    thickness = 2 * volume / np.maximum(area, 1e-300)
    thin = (thickness < _THIN * sides.extents(work, part)) & (added > _LID * (area - added))
    thin |= added > _SHALLOW * (area - added)
    return np.asarray(thin[part])


def vessels(work: Workpiece, first: int, seed: int) -> Bools:
    """Faces (F,) of parts whose large lids (of the faces from number ``first`` on) would hide what shows through the
    opening; openings that look down are bottoms that are missing and may be closed."""
    lid = first + np.flatnonzero(work.areas[first:] > 0)
    number, part = sides.parts(work)
    area = np.bincount(part[lid], work.areas[lid], number)
    lid = lid[area[part[lid]] > _LARGE * work.areas.sum()]
    if not len(lid):
        return np.zeros(len(work.faces), bool)
    normal = surface.cross_products(work.points, work.faces[lid])
    down = normal[:, 1] < -0.5 * np.linalg.norm(normal, axis=1)
    hidden = np.where(down, 0.0, sides.covering(work, lid, seed)) * work.areas[lid]
    share = np.bincount(part[lid], hidden, number) / np.maximum(area, 1e-300)
    return np.asarray((share > _HIDES)[part])


def without_scraps(sheet: Workpiece, size: float) -> Workpiece:
    """Without the sheets of a few faces that are small beside the whole of diagonal ``size``."""
    number, part = sides.parts(sheet)
    extent = np.zeros(number)
    corners = sheet.points[sheet.faces]
    np.maximum.at(extent, part, np.linalg.norm(corners.max(1) - corners.min(1), axis=1))
    scrap = (np.bincount(part, minlength=number) < _FEW) & (extent < _SCRAP * size)
    return sheet.kept(~scrap[part])


def thickened(work: Workpiece, thickness: float) -> Workpiece:
    """Open sheets made slabs: the faces stay, copies lie ``thickness`` behind them, and walls join their borders."""
    normal = surface.vertex_normals(work.points, work.faces).astype(np.float64)
    count = len(work.points)
    back = work.points - thickness * normal
    start, end = surface.half_edges(work.faces)
    rim = np.ones(len(start), bool)
    rim[np.concatenate(surface.pairs(work.faces))] = False
    a, b = start[rim], end[rim]
    after = np.arange(len(start)) - np.arange(len(start)) % 3 + (np.arange(len(start)) + 1) % 3
    flat = work.corner.ravel()
    one, two = flat[rim], flat[after[rim]]
    walls = np.concatenate([np.stack([b, a, a + count], 1), np.stack([b, a + count, b + count], 1)])
    corners = np.concatenate([np.stack([two, one, one], 1), np.stack([two, one, two], 1)])
    source = np.tile(np.repeat(work.source, 3)[rim], 2)
    turned = work.extended(work.faces[:, ::-1] + count, back, work.source, work.corner[:, ::-1])
    return turned.extended(walls, source=source, corner=corners)


def outward(work: Workpiece) -> Workpiece:
    """Closed parts turned so that each encloses a positive volume."""
    number, part = sides.parts(work)
    volume = np.bincount(part, surface.volumes(work.points, work.faces), number)
    border = np.bincount(part[_open_faces(work.faces)], minlength=number) > 0
    return work.flipped(((volume < 0) & ~border)[part])


def _open_faces(faces: Ints) -> Ints:
    """Faces with an edge of their own."""
    single = np.ones(3 * len(faces), bool)
    single[np.concatenate(surface.pairs(faces))] = False
    return np.flatnonzero(single.reshape(-1, 3).any(1))
