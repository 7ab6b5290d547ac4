"""Large patches made as fine as their surroundings and bent so that they continue the curvature of what is around."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import topology
from . import surface
from .holes import edge_keys
from .workpiece import Bools, Floats, Ints, Workpiece

#: Patches whose longest edge exceeds this multiple of the rim's own edges are refined.
_COARSE = 2.0
#: Surroundings with more than this share of edges bent by more than this angle (its cosine) have no curvature to go on.
_CREASED, _CREASE_COS = 0.08, 0.77
#: Largest bulge, as a share of the patch's radius: what a cap of 90 degrees has.
_BULGE = 0.42
#: Where patches would get more faces than the first, edges wanted at a new point are this multiple of the mean of those
#: wanted around it: far from wide rims faces may be larger.
_DENSE, _GROWTH = 10_000, 1.25
#: Most new faces.
_MOST = 300_000


def faired(work: Workpiece, first: int) -> Workpiece:
    """The invented faces from number ``first`` on refined to the density of their rims and made smooth.

    Liepa: Filling holes in meshes, 2003 (refinement); Botsch and Kobbelt: An intuitive framework for real-time freeform
    modeling, 2004 (the bilaplacian vanishes inside, the surroundings fix value and slope at the rim).
    """
    if first >= len(work.faces):
        return work
    size = densities(work.points, work.faces[:first])
    patch = work.faces[first:]
    sides = np.linalg.norm(work.points[patch] - work.points[np.roll(patch, -1, axis=1)], axis=2)
    if not (sides.max(1) > _COARSE * np.nan_to_num(size[patch]).mean(1)).any():
        return work
    points, patch = _refined(work.points, patch, np.nan_to_num(size))
    grown = Workpiece(points, work.faces[:first], work.corner[:first], work.source[:first]).extended(patch)
    # corners that already were the patch's own (middles of fans) move along
    free = np.zeros(len(points), bool)
    free[patch] = True
    free[work.faces[:first]] = False
    free = np.flatnonzero(free)
    if not len(free):
        return grown
    bent, membrane, label = smoothed(points, grown.faces, free)
    crossing = _crossing(grown.with_(points=bent), first, free, label)
    return grown.with_(points=np.where(crossing[:, None], membrane, bent))


def _crossing(work: Workpiece, first: int, free: Ints, label: Ints) -> Bools:
    """Points (P,) of the patches (label of each free point) that cut something."""
    found = topology.self_intersections(work.rounded, work.faces, among=np.arange(len(work.faces)) >= first)
    out = np.zeros(len(work.points), bool)
    if found is None or not len(found):
        return out
    owner = np.full(len(work.points), -1, np.int64)
    owner[free] = label
    hit = np.unique(owner[work.faces[found]])
    out[free] = np.isin(label, hit[hit >= 0])
    return out


def densities(points: Floats, faces: Ints) -> Floats:
    """Mean length (P,) of the edges at each point, NaN without."""
    start, end = surface.half_edges(faces)
    length = np.linalg.norm(points[start] - points[end], axis=1)
    total = np.bincount(start, length, len(points)) + np.bincount(end, length, len(points))
    count = np.bincount(start, minlength=len(points)) + np.bincount(end, minlength=len(points))
    with np.errstate(invalid="ignore"):
        return np.asarray(total / np.where(count == 0, np.nan, count))


def _refined(points: Floats, faces: Ints, size: Floats) -> tuple[Floats, Ints]:
    """Faces split at their middle while that is far from all corners for the sizes wanted there; edges swapped."""
    area = np.linalg.norm(surface.cross_products(points, faces), axis=1) / 2
    expected = float((area / np.maximum(0.43 * size[faces].mean(1) ** 2, 1e-300)).sum())
    growth = _GROWTH if expected > _DENSE else 1.0
    faces = _swapped(points, faces)
    for _ in range(14):
        corners = points[faces]
        middle, wanted = corners.mean(1), size[faces].mean(1)
        far = np.sqrt(2) * np.linalg.norm(corners - middle[:, None], axis=2)
        split = ((far > wanted[:, None]) & (far > size[faces])).all(1)
        if not split.any() or len(faces) > _MOST:
            break
        new = len(points) + np.arange(int(split.sum()))
        a, b, c = faces[split].T
        thirds = [np.stack(x, 1) for x in ((a, b, new), (b, c, new), (c, a, new))]
        points, size = np.concatenate([points, middle[split]]), np.r_[size, growth * wanted[split]]
        faces = _swapped(points, np.concatenate([faces[~split], *thirds]))
    return points, faces


def _swapped(points: Floats, faces: Ints, rounds: int = 20) -> Ints:
    """Edges inside the patch turned while the two angles opposite to one add up to more than a straight angle."""
    for _ in range(rounds):
        h, g = surface.pairs(faces)
        flat = faces.ravel()
        a, b, c, d = flat[h], flat[g], flat[_before(h)], flat[_before(g)]
        wide = _angle(points, c, a, b) + _angle(points, d, a, b) > np.pi + 1e-3
        key = np.minimum(c, d) * np.int64(len(points)) + np.maximum(c, d)
        pick = np.flatnonzero(wide)
        pick = pick[~np.isin(key[pick], edge_keys(faces, len(points)))]
        pick = pick[_stays_up(points, a[pick], b[pick], c[pick], d[pick])]
        lowest = np.full(len(faces), len(h), np.int64)
        np.minimum.at(lowest, h[pick] // 3, pick)
        np.minimum.at(lowest, g[pick] // 3, pick)
        pick = pick[(lowest[h[pick] // 3] == pick) & (lowest[g[pick] // 3] == pick)]
        # two edges turned at once must not become the same one
        pick = pick[np.sort(np.unique(key[pick], return_index=True)[1])]
        if not len(pick):
            break
        faces = faces.copy()
        faces[h[pick] // 3] = np.stack([c, a, d], 1)[pick]
        faces[g[pick] // 3] = np.stack([d, b, c], 1)[pick]
    return faces


def _angle(points: Floats, tip: Ints, a: Ints, b: Ints) -> Floats:
    u, v = points[a] - points[tip], points[b] - points[tip]
    return np.arctan2(np.linalg.norm(np.cross(u, v), axis=1), np.einsum("ij,ij->i", u, v))


def _stays_up(points: Floats, a: Ints, b: Ints, c: Ints, d: Ints) -> Bools:
    """Whether the faces (c, a, d) and (d, b, c) look the way that (a, b, c) and (b, a, d) do."""
    normal = [np.cross(points[y] - points[x], points[z] - points[x]) for x, y, z in ((a, b, c), (b, a, d))]
    mean = normal[0] + normal[1]
    after = [np.cross(points[y] - points[x], points[z] - points[x]) for x, y, z in ((c, a, d), (d, b, c))]
    return np.asarray((np.einsum("ij,ij->i", after[0], mean) > 0) & (np.einsum("ij,ij->i", after[1], mean) > 0))


def _before(h: Ints) -> Ints:
    return h - h % 3 + (h + 2) % 3


def smoothed(points: Floats, faces: Ints, free: Ints) -> tuple[Floats, Floats, Ints]:
    """Points with the free ones where the bilaplacian vanishes, and where the Laplacian does (a membrane); all others
    stay. And the patch of each free point.

    Patches in creased surroundings, which say nothing about curvature, get the membrane in any case, and so do those
    that would bulge out from it by much of their width.
    """
    from scipy.sparse.linalg import splu

    used, local, inner = _surroundings(points, faces, free)
    p = points[used]
    laplace = _laplacian(p, local)
    fixed = np.setdiff1d(np.arange(len(used)), inner)
    solved = []
    for operator in (laplace, laplace @ laplace):
        rows = operator[inner]
        solved.append(splu(rows[:, inner].tocsc()).solve(-(rows[:, fixed] @ p[fixed])))
    membrane, bent = solved
    number, patch = _patches(local, inner, len(used))
    width, away = np.zeros(number), np.zeros(number)
    np.maximum.at(width, patch, np.linalg.norm(membrane - _means(membrane, patch, number)[patch], axis=1))
    np.maximum.at(away, patch, np.linalg.norm(np.nan_to_num(bent, nan=np.inf) - membrane, axis=1))
    plain = (away > _BULGE * width) | (_creased(p, local, inner, patch, number) > _CREASED)
    one, two = points.copy(), points.copy()
    one[free], two[free] = np.where(plain[patch][:, None], membrane, bent), membrane
    return one, two, patch


def _surroundings(points: Floats, faces: Ints, free: Ints) -> tuple[Ints, Ints, Ints]:
    """The points within three rings of the free ones, the faces between them, and which of them are free."""
    near = np.zeros(len(points), bool)
    near[free] = True
    for _ in range(2):
        near[faces[near[faces].any(1)]] = True
    used, local = np.unique(faces[near[faces].any(1)], return_inverse=True)
    return used, local.reshape(-1, 3), np.searchsorted(used, free)


def _laplacian(points: Floats, faces: Ints) -> Any:
    """Scale-dependent umbrella operator (Fujiwara 1995): mean of the neighbours by inverse distance, less the point."""
    from scipy.sparse import coo_matrix, identity

    count = len(points)
    start, end = surface.half_edges(faces)
    start, end = np.r_[start, end], np.r_[end, start]
    weight = 1 / np.maximum(np.linalg.norm(points[start] - points[end], axis=1), 1e-300)
    weight /= np.bincount(start, weight, count)[start]
    return coo_matrix((weight, (start, end)), shape=(count, count)).tocsr() - identity(count, format="csr")


def _patches(faces: Ints, inner: Ints, count: int) -> tuple[int, Ints]:
    """Number of patches that the inner points make, and the patch of each."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    free = np.zeros(count, bool)
    free[inner] = True
    start, end = surface.half_edges(faces)
    both = free[start] & free[end]
    graph = coo_matrix((np.ones(int(both.sum()), np.int8), (start[both], end[both])), shape=(count, count))
    _, patch = np.unique(connected_components(graph, directed=False)[1][inner], return_inverse=True)
    return int(patch.max()) + 1, patch


def _means(values: Floats, group: Ints, number: int) -> Floats:
    size = np.bincount(group, minlength=number)
    return np.stack([np.bincount(group, values[:, k], number) / size for k in range(3)], 1)


def _creased(points: Floats, faces: Ints, inner: Ints, patch: Ints, number: int) -> Floats:
    """Share (N,) of the edges around each patch, by length, where the old surface is bent sharply."""
    owner = np.full(len(points), -1, np.int64)
    owner[inner] = patch
    old = np.asarray((owner[faces] < 0).all(1))
    for _ in range(2):  # old faces belong to the patch that they touch, or whose neighbours they touch
        of_face = owner[faces].max(1)
        for k in range(3):
            owner[faces[:, k]] = np.maximum(owner[faces[:, k]], of_face)
    h, g = surface.pairs(faces)
    both = old[h // 3] & old[g // 3]
    h, g = h[both], g[both]
    normal = surface.cross_products(points, faces)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-300)
    sharp = np.einsum("ij,ij->i", normal[h // 3], normal[g // 3]) < _CREASE_COS
    start, end = (x[h] for x in surface.half_edges(faces))
    length, group = np.linalg.norm(points[start] - points[end], axis=1), owner[start]
    length, group, sharp = length[group >= 0], group[group >= 0], sharp[group >= 0]
    total = np.bincount(group, length, number)
    return np.bincount(group, length * sharp, number) / np.maximum(total, 1e-300)
