"""Holes closed: their rims found, and each filled with the triangulation of least area and bend between its corners."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import surface
from .workpiece import Bools, Floats, Ints, Workpiece

#: Rims of more corners are cut in two across their narrowest place before they are triangulated.
_LONGEST_RIM = 160
#: A triangle is as good as flat when its doubled area is below this share of its longest edge squared.
_FLAT = 2e-3
#: Cost of an edge that is in the mesh already, as a multiple of the rim's squared extent.
_TAKEN = 1e4


@dataclass(frozen=True)
class Rim:
    """A hole: its corners in the order in which new faces run along them, and the normals (N, 3) of the old faces
    behind the edges from each corner to the next (zero where there is none)."""

    points: Ints
    normals: Floats

    def extent(self, points: Floats) -> float:
        """Diagonal of its bounding box."""
        return surface.diagonal(points[self.points])


def rims(work: Workpiece) -> list[Rim]:
    """All holes of an oriented mesh whose points have one fan each (see sides.parted); rims of two edges left out."""
    start, end = surface.half_edges(work.faces)
    open_ = np.ones(len(start), bool)
    open_[np.concatenate(surface.pairs(work.faces))] = False
    half = np.flatnonzero(open_)
    if not len(half):
        return []
    normal = surface.cross_products(work.points, work.faces[half // 3])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-300)
    # new faces run against the old ones: from the end of an open half-edge to its start
    after = dict(zip(end[half].tolist(), range(len(half)), strict=True))
    to, done = start[half].tolist(), [False] * len(half)
    out = []
    for i in range(len(half)):
        chain = []
        while not done[i]:
            done[i] = True
            chain.append(i)
            i = after.get(to[i], i)
        if len(chain) > 2 and i == chain[0]:
            out.append(Rim(end[half[chain]], normal[chain]))
    return out


def filled(work: Workpiece, holes: list[Rim], bend: float = 1.0) -> Workpiece:
    """With the given holes closed by faces between their corners (or around a new middle point where those would
    repeat an edge). Triangulations of least weight (Barequet and Sharir 1995, Liepa 2003): area by the hole's size, and
    ``bend`` times the length of every edge by 1 - the cosine of the angle between its faces."""
    taken = edge_keys(work.faces, len(work.points))
    pieces = [piece for hole in holes for piece in _halved(hole, work.points, taken)]
    by_length: dict[int, list[Rim]] = {}
    for piece in pieces:
        by_length.setdefault(len(piece.points), []).append(piece)
    faces, blocked = [], []
    for length, group in sorted(by_length.items()):
        batch = max(1, 1_500_000 // length**2)
        for i in range(0, len(group), batch):
            new, bad = _triangulated(group[i : i + batch], work.points, taken, bend)
            faces.append(new)
            blocked += [group[i + k] for k in np.flatnonzero(bad)]
    middles = np.array([work.points[rim.points].mean(0) for rim in blocked]).reshape(-1, 3)
    for k, rim in enumerate(blocked):
        tip = np.full(len(rim.points), len(work.points) + k)
        faces.append(np.stack([rim.points, np.roll(rim.points, -1), tip], 1))
    return work.extended(np.concatenate(faces) if faces else np.zeros((0, 3), np.int64), middles)


def edge_keys(faces: Ints, count: int) -> Ints:
    """Every edge once as low * count + high, ascending."""
    start, end = surface.half_edges(faces)
    key = np.sort(np.minimum(start, end) * np.int64(count) + np.maximum(start, end))
    return key[np.r_[True, key[1:] != key[:-1]]] if len(key) else key


def _is_taken(taken: Ints, a: Ints, b: Ints, count: int) -> Bools:
    key = np.minimum(a, b) * np.int64(count) + np.maximum(a, b)
    at = np.minimum(np.searchsorted(taken, key), len(taken) - 1)
    return np.asarray(taken[at] == key)


def _halved(rim: Rim, points: Floats, taken: Ints) -> list[Rim]:
    """A long rim cut across where it is narrow for the way around, again and again."""
    n = len(rim.points)
    if n <= _LONGEST_RIM:
        return [rim]
    p = points[rim.points]
    along = np.r_[0, np.cumsum(np.linalg.norm(np.roll(p, -1, axis=0) - p, axis=1))]
    some = np.arange(0, n, max(1, n // 500))
    i, j = (x.ravel() for x in np.meshgrid(some, some, indexing="ij"))
    good = (j - i >= n // 5) & (j - i <= n - n // 5)
    i, j = i[good], j[good]
    way = np.minimum(along[j] - along[i], along[-1] - along[j] + along[i])
    ratio = np.linalg.norm(p[i] - p[j], axis=1) / np.maximum(way, 1e-300)
    ratio[_is_taken(taken, rim.points[i], rim.points[j], len(points))] = np.inf
    best = int(ratio.argmin())
    a, b = int(i[best]), int(j[best])
    none = np.zeros((1, 3))
    inner = Rim(rim.points[a : b + 1], np.concatenate([rim.normals[a:b], none]))
    outer = Rim(np.r_[rim.points[b:], rim.points[: a + 1]], np.concatenate([rim.normals[b:], rim.normals[:a], none]))
    return _halved(inner, points, taken) + _halved(outer, points, taken)


def _triangulated(group: list[Rim], points: Floats, taken: Ints, bend: float) -> tuple[Ints, Bools]:
    """Faces of rims of one length, and which of the rims (H,) could not be filled without repeating an edge."""
    rim = np.stack([one.points for one in group])
    count, n = rim.shape
    p = points[rim]
    scale = np.maximum(np.linalg.norm(p.max(1) - p.min(1), axis=1), 1e-300)
    known = _is_taken(taken, rim[:, :, None], rim[:, None, :], len(points))
    normal = np.zeros((count, n, n, 3))
    cost, split = np.zeros((count, n, n)), np.zeros((count, n, n), np.int64)
    step = np.arange(n - 1)
    normal[:, step, step + 1] = np.stack([one.normals[:-1] for one in group])
    last = np.stack([one.normals[-1] for one in group])
    for gap in range(2, n):
        i = np.arange(n - gap)
        j, m = i + gap, i[:, None] + np.arange(1, gap)
        a, b, c = p[:, i, None], p[:, m], p[:, j, None]
        cross = np.cross(b - a, c - a)
        doubled = np.sqrt(np.einsum("...i,...i->...", cross, cross))
        unit = cross / np.maximum(doubled, 1e-300)[..., None]
        side = [np.sqrt(np.einsum("...i,...i->...", y - x, y - x)) for x, y in ((a, b), (b, c), (c, a))]
        bent = side[0] * _bend(unit, normal[:, i[:, None], m]) + side[1] * _bend(unit, normal[:, m, j[:, None]])
        if gap == n - 1:
            bent = bent + side[2] * _bend(unit, last[:, None, None])
        total = cost[:, i[:, None], m] + cost[:, m, j[:, None]] + doubled / 2 + bend * scale[:, None, None] * bent
        longest = np.maximum(np.maximum(side[0], side[1]), side[2])
        total += np.where(doubled <= _FLAT * longest**2, scale[:, None, None] * longest, 0)
        if gap < n - 1:
            total += np.where(known[:, i, j], _TAKEN * scale[:, None] ** 2, 0)[..., None]
        best = total.argmin(-1)[..., None]
        cost[:, i, j] = np.take_along_axis(total, best, 2)[..., 0]
        split[:, i, j] = m[i, best[..., 0]]
        normal[:, i, j] = np.take_along_axis(unit, best[..., None], 2)[:, :, 0]
    bad = cost[:, 0, n - 1] >= _TAKEN * scale**2
    return _unrolled(rim, split, ~bad), bad


def _bend(a: Floats, b: Floats) -> Floats:
    """1 - cosine of unit normals, 0 beside nothing."""
    there = (b[..., 0] != 0) | (b[..., 1] != 0) | (b[..., 2] != 0)
    return np.where(there, 1 - np.einsum("...i,...i->...", a, b), 0.0)


def _unrolled(rim: Ints, split: Ints, chosen: Bools) -> Ints:
    """The triangles that the table of best corners stands for."""
    h = np.flatnonzero(chosen)
    i, j = np.zeros(len(h), np.int64), np.full(len(h), rim.shape[1] - 1)
    out: list[NDArray[Any]] = []
    while len(h):
        m = split[h, i, j]
        out.append(np.stack([rim[h, i], rim[h, m], rim[h, j]], 1))
        h, i, j = np.r_[h, h], np.r_[i, m], np.r_[m, j]
        deep = j - i > 1
        h, i, j = h[deep], i[deep], j[deep]
    return np.concatenate(out) if out else np.zeros((0, 3), np.int64)
