"""Which side of a face is outside: patches wound alike, edges of many faces parted, loose and hidden parts dropped."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..assets import Mesh
from ..render import Scene
from . import surface
from .workpiece import Bools, Floats, Ints, Workpiece

#: Rays from each side of a sampled face, and faces sampled of one patch at most.
_RAYS, _SAMPLES = 16, 48
#: Rays altogether, about.
_MOST_RAYS = 600_000
#: Where rays start above the face, as a share of the diagonal.
_LIFT = 1e-4
#: Share of rays that must escape before a side counts as open to the outside.
_OPEN = 0.02
#: ... and before what lies there counts as well exposed.
_EXPOSED = 0.2
#: A patch with both sides open that holds on to others is a fin when its area is below this share of the whole.
_FIN = 0.1
#: How far apart fans are drawn that met in one point, as a share of the diagonal.
_APART = 2e-5


@dataclass(frozen=True)
class Patches:
    """Faces connected through edges of two faces.

    label (F,): patch of each face. turned (F,): faces wound against the rest of their patch. orientable (N,): whether
    a patch can be wound alike at all. border (N,), crowded (N,): whether it has edges of one face, of three or more.
    """

    label: Ints
    turned: Bools
    orientable: Bools
    border: Bools
    crowded: Bools

    @property
    def closed(self) -> Bools:
        """(N,): whether every edge of the patch has two faces."""
        return ~self.border & ~self.crowded & self.orientable


def patches(faces: Ints) -> Patches:
    """The patches of faces (F, 3)."""
    edge, order, uses = surface.undirected(faces)
    start, _ = surface.half_edges(faces)
    first = np.cumsum(uses) - uses
    two = np.flatnonzero(uses == 2)
    h, g = order[first[two]], order[first[two] + 1]
    same = start[h] == start[g]
    upright, turned_over = _double_cover(h // 3, g // 3, same, len(faces))
    twisted = upright == turned_over
    if twisted.any():
        keep = _forest(h // 3, g // 3, same, len(faces)) | ~twisted[h // 3]
        upright, turned_over = _double_cover(h[keep] // 3, g[keep] // 3, same[keep], len(faces))
    count, label = surface.renumbered(np.minimum(upright, turned_over))
    at_edge = uses[edge].reshape(-1, 3)

    def any_of(mask: Bools) -> Bools:
        return np.bincount(label[mask], minlength=count) > 0

    border, crowded = any_of(np.asarray((at_edge == 1).any(1))), any_of(np.asarray((at_edge > 2).any(1)))
    return Patches(label, upright > turned_over, ~any_of(twisted), border, crowded)


def _double_cover(f: Ints, g: Ints, same: Bools, count: int) -> tuple[Ints, Ints]:
    """Component of every face as it is wound, and turned over: neighbours that run alike join unlike copies."""
    if not same.any():
        label = _connected(f, g, count)
        return label, label + count
    over = np.where(same, count, 0)
    label = _connected(np.r_[f, f + count], np.r_[g + over, g + count - over], 2 * count)
    return label[:count], label[count:]


def _forest(f: Ints, g: Ints, same: Bools, count: int) -> Bools:
    """Which of the pairs (f, g) make a spanning forest, those wound alike first."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import minimum_spanning_tree

    weight = 1.0 + same
    tree = minimum_spanning_tree(coo_matrix((weight, (f, g)), shape=(count, count)).tocsr()).tocoo()
    inside = np.isin(f * count + g, tree.row.astype(np.int64) * count + tree.col)
    _, first = np.unique(np.stack([f, g]), axis=1, return_index=True)
    once = np.zeros(len(f), bool)
    once[first] = True
    return np.asarray(inside & once)


def _connected(a: Ints, b: Ints, count: int) -> Ints:
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    graph = coo_matrix((np.ones(len(a)), (a.astype(np.int32), b.astype(np.int32))), shape=(count, count))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def openness(work: Workpiece, label: Ints, chosen: Bools, seed: int) -> tuple[Floats, Floats]:
    """Shares of rays from front and back (N,) of the chosen groups of faces that escape, by area; 0 of the others.

    label (F,): group of each face; chosen (N,). The orientation by visibility of Takayama et al. (A simple method for
    correcting facet orientations in polygon meshes based on ray casting, 2014).
    """
    front, back = np.zeros(len(chosen)), np.zeros(len(chosen))
    face = np.flatnonzero(chosen[label])
    if not len(face):
        return front, back
    rng = np.random.default_rng(seed)
    area = work.areas[face]
    groups = max(int(chosen.sum()), 1)
    most = int(np.clip(_MOST_RAYS / (2 * _RAYS * groups), 2, _SAMPLES))
    luck = np.log(np.maximum(rng.random(len(face)), 1e-300)) / np.maximum(area, 1e-300)
    order = np.lexsort((-luck, label[face]))
    group = label[face[order]]
    new = np.r_[True, group[1:] != group[:-1]]
    rank = np.arange(len(order)) - np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))
    face = face[order[rank < most]]
    # drawn by area already, so every sample counts alike
    count = np.maximum(np.bincount(label[face], minlength=len(chosen)), 1)
    out = _escaping(work, face, rng)
    front = np.bincount(label[face], out[0], len(chosen)) / count
    back = np.bincount(label[face], out[1], len(chosen)) / count
    return front, back


def _escaping(work: Workpiece, face: Ints, rng: np.random.Generator, at: Floats | None = None) -> Floats:
    """Shares (2, N) of rays from front and back of faces, from points ``at`` on them or any, that meet nothing."""
    scene = Scene(Mesh(work.rounded, work.faces.astype(np.int32)))
    normal = surface.cross_products(work.points, work.faces[face])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-300)
    if at is None:
        at = np.einsum("ij,ijk->ik", rng.dirichlet((1.0, 1.0, 1.0), len(face)), work.points[work.faces[face]])
    ball = rng.normal(size=(_RAYS, len(face), 3))
    ball /= np.linalg.norm(ball, axis=2, keepdims=True)
    shares = []
    for sign in (1.0, -1.0):
        direction = ball + 1.02 * sign * normal  # cosine-weighted
        origin = np.broadcast_to(at + sign * _LIFT * work.size * normal, direction.shape)
        met = scene.occluded(origin.reshape(-1, 3), direction.reshape(-1, 3))
        shares.append(1 - met.reshape(_RAYS, -1).mean(0))
    return np.stack(shares)


def oriented(work: Workpiece, seed: int) -> Workpiece:
    """Every patch wound alike, and outward: by its volume where it is closed, by what shows of it where it is open."""
    if not len(work.faces):
        return work
    found = patches(work.faces)
    work = work.flipped(found.turned)
    count = len(found.orientable)
    volume = np.bincount(found.label, surface.volumes(work.points, work.faces), count)
    front, back = openness(work, found.label, ~found.closed, seed)
    # where both sides show alike, most of the faces stay as they were
    turned = np.bincount(found.label, work.areas * np.where(found.turned, 1, -1), count) > 0
    alike = np.abs(front - back) <= 0.1 * (front + back)
    over = np.where(found.closed, volume < 0, np.where(alike, turned, back > front))
    return work.flipped(over[found.label])


def manifold(work: Workpiece, seed: int) -> Workpiece:
    """Every edge with one or two faces and every point with one fan: inner walls and fins dropped, touching sheets
    parted. Faces come out oriented."""
    work = oriented(work, seed)
    sheet = np.zeros(len(work.faces), bool)
    for _ in range(4):
        found = patches(work.faces)
        sheet = np.zeros(len(work.faces), bool)
        if not found.crowded.any():
            break
        front, back = openness(work, found.label, found.crowded, seed)
        area = np.bincount(found.label, work.areas)
        wall = found.crowded & (front < _OPEN) & (back < _OPEN)
        both = (np.minimum(front, back) > _OPEN) & (np.minimum(front, back) > 0.3 * np.maximum(front, back))
        loose = found.crowded & found.border
        sheet = (loose & both)[found.label]
        fin = loose & both & (area < _FIN * area.sum())
        # many fins are no debris but leaves, blades or curtains
        fin &= area[fin].sum() < _FIN / 2 * area.sum()
        drop = wall | fin | (loose & (np.bincount(found.label) == 1))
        if not drop.any() or drop.all():
            break
        work = oriented(work.kept(~drop[found.label]), seed)
    work = parted(work, sheet)
    for _ in range(3):
        edge, _, uses = surface.undirected(work.faces)
        crowded = np.asarray((uses[edge] > 2).reshape(-1, 3).any(1))
        if not crowded.any():
            break
        work = parted(work.kept(~crowded))
    return work.compacted()


def parted(work: Workpiece, sheet: Bools | None = None) -> Workpiece:
    """Every fan of faces gets a point of its own; all but the largest fan at a point move a little into themselves.

    sheet (F,): faces of open sheets, which let go of the edges that they share with two or more others.
    """
    if not len(work.faces):
        return work
    h, g = _paired(work, np.zeros(len(work.faces), bool) if sheet is None else sheet)
    fan = _connected(np.r_[h, _after(h)], np.r_[_after(g), g], 3 * len(work.faces))
    point = work.faces.ravel()
    count = int(fan.max()) + 1
    if count == len(surface.used(point, len(work.points))):
        return work
    home = np.empty(count, np.int64)
    home[fan] = point
    size = np.bincount(fan, minlength=count)
    order = np.lexsort((np.arange(count), -size, home))
    new = np.r_[True, home[order][1:] != home[order][:-1]]
    rank = np.empty(count, np.int64)
    rank[order] = np.arange(count) - np.maximum.accumulate(np.where(new, np.arange(count), 0))
    return work.with_(points=_moved(work, fan, home, rank), faces=fan.reshape(-1, 3))


def _moved(work: Workpiece, fan: Ints, home: Ints, rank: Ints) -> Floats:
    """Positions of fans: all but the first at a point drawn towards the middle of their own faces."""
    centre = np.repeat(work.points[work.faces].mean(1), 3, axis=0)
    size = np.bincount(fan, minlength=len(home))
    mean = np.stack([np.bincount(fan, centre[:, k], len(home)) / size for k in range(3)], 1)
    points = work.points[home]
    way = mean - points
    length = np.maximum(np.linalg.norm(way, axis=1), 1e-300)
    step = np.maximum(_APART * work.size, 16 * float(np.finfo(np.float32).eps) * np.abs(work.points).max())
    step = np.minimum(step * (1 + 0.5 * (rank - 1)), 0.3 * length)
    return np.where((rank > 0)[:, None], points + (step / length)[:, None] * way, points)


def _paired(work: Workpiece, sheet: Bools) -> tuple[Ints, Ints]:
    """Half-edges that belong together: twins, and at edges of many faces those around the same wedge of material."""
    h, g = surface.pairs(work.faces)
    edge, order, uses = surface.undirected(work.faces)
    many = order[uses[edge[order]] > 2]
    many = many[~sheet[many // 3]]
    if not len(many):
        return h, g
    start, end = (x[many] for x in surface.half_edges(work.faces))
    low, high = np.minimum(start, end), np.maximum(start, end)
    axis = work.points[high] - work.points[low]
    axis /= np.maximum(np.linalg.norm(axis, axis=1, keepdims=True), 1e-300)
    arm = work.points[work.faces.ravel()[_before(many)]] - work.points[low]
    side = np.eye(3)[np.abs(axis).argmin(1)]
    side -= np.einsum("ij,ij->i", side, axis)[:, None] * axis
    angle = np.arctan2(np.einsum("ij,ij->i", arm, np.cross(axis, side)), np.einsum("ij,ij->i", arm, side))
    up = start < end
    turn = np.lexsort((up, angle, edge[many]))
    group = edge[many[turn]]
    size = np.bincount(group)[group]
    position = np.arange(len(turn)) - np.searchsorted(group, group)
    before = np.arange(len(turn)) - position + (position - 1) % size
    # seen along the edge, the material of an upward half-edge's face lies clockwise of that face
    good = up[turn] & ~up[turn[before]]
    return np.r_[h, many[turn[good]]], np.r_[g, many[turn[before[good]]]]


def _after(h: Ints) -> Ints:
    return h - h % 3 + (h + 1) % 3


def _before(h: Ints) -> Ints:
    return h - h % 3 + (h + 2) % 3


def parts(work: Workpiece) -> tuple[int, Ints]:
    """Number of parts connected through points, and the part of each face (F,); numbered without gaps."""
    if not len(work.faces):
        return 0, np.zeros(0, np.int64)
    label = _connected(*surface.half_edges(work.faces), len(work.points))[work.faces[:, 0]]
    return surface.renumbered(label)


def without_inner(work: Workpiece, seed: int) -> tuple[Workpiece, int]:
    """Without the parts that nothing of shows from outside (inner shells, inner walls of double ones), and how many."""
    number, part = parts(work)
    if number < 2:
        return work, 0
    area = np.bincount(part, work.areas)
    others = np.ones(number, bool)
    others[area.argmax()] = False
    front, back = openness(work, part, others, seed)
    hidden = others & (np.maximum(front, back) < _OPEN / 4)
    return work.kept(~hidden[part]), int(hidden.sum())


def without_floaters(work: Workpiece, small: float, far: float, seed: int) -> tuple[Workpiece, int]:
    """Without parts, or groups of parts near each other, of a diagonal below ``small`` further than ``far`` from
    everything larger (shares of the diagonal of the largest), and how many parts they were. Up to twice as large ones
    go where they are much further."""
    number, part = parts(work)
    if number < 2 or small <= 0:
        return work, 0
    spread, owner = _spread(work, seed)
    group = _groups(work, part, spread, owner, far * float(extents(work, part).max()) / 2.5)
    extent = extents(work, group)
    size = float(extent.max())
    little = extent < 2 * small * size
    if not little.any() or little.all():
        return work, 0
    wanted = far * size * np.maximum(1, extent / (small * size)) ** 2
    while little.any():  # what is near enough stays, and what is near to that
        near = little & (_gaps(work, group, little, spread[~little[group[owner]]]) <= wanted)
        if not near.any():
            break
        little &= ~near
    lost = little[group]
    return work.kept(~lost), len(np.unique(part[lost]))


def _spread(work: Workpiece, seed: int) -> tuple[Floats, Ints]:
    """Points all over the surface, and the face of each."""
    rng = np.random.default_rng(seed)
    share = np.cumsum(work.areas)
    face = np.minimum(np.searchsorted(share, rng.random(60_000) * share[-1]), len(share) - 1)
    return np.einsum("ij,ijk->ik", rng.dirichlet((1.0, 1.0, 1.0), len(face)), work.points[work.faces[face]]), face


def _groups(work: Workpiece, part: Ints, spread: Floats, owner: Ints, cell: float) -> Ints:
    """Group (F,) of each face: parts with points in the same or neighbouring cells of a grid belong together."""
    at = np.concatenate([spread, work.points[work.faces[:, 0]]])
    member = np.r_[part[owner], part]
    index = np.floor((at - at.min(0)) / cell).astype(np.int64) + 1
    wide = index.max(0) + 2
    cells, number = np.unique(np.ravel_multi_index(tuple(index.T), tuple(wide)), return_inverse=True)
    stride = np.array([wide[1] * wide[2], wide[2], 1])
    links = [np.stack([number, len(cells) + member])]
    for way in np.ndindex(3, 3, 3):
        step = int((np.array(way) - 1) @ stride)
        if step > 0:
            near = np.minimum(np.searchsorted(cells, cells + step), len(cells) - 1)
            links.append(np.stack([np.arange(len(cells)), near])[:, cells[near] == cells + step])
    a, b = np.concatenate(links, axis=1)
    label = _connected(a, b, len(cells) + int(part.max()) + 1)[len(cells) :]
    return surface.renumbered(label)[1][part]


def extents(work: Workpiece, group: Ints) -> Floats:
    """Diagonal (N,) of the bounding box of each group of faces."""
    owner, number = np.repeat(group, 3), int(group.max()) + 1
    low, high = np.full((3, number), np.inf), np.full((3, number), -np.inf)
    for axis, at in enumerate(work.points[work.faces.ravel()].T):
        np.minimum.at(low[axis], owner, at)
        np.maximum.at(high[axis], owner, at)
    return np.asarray(np.linalg.norm(high - low, axis=0))


def _gaps(work: Workpiece, group: Ints, little: Bools, others: Floats) -> Floats:
    """Distance (N,) of every little group to points on the others, about."""
    from scipy.spatial import cKDTree

    tree = cKDTree(np.concatenate([others, work.points[surface.used(work.faces[~little[group]], len(work.points))]]))
    mine = np.flatnonzero(little[group])
    gap = np.full(len(little), np.inf)
    np.minimum.at(gap, np.repeat(group[mine], 3), tree.query(work.points[work.faces[mine].ravel()])[0])
    return gap


def moved(before: Workpiece, after: Workpiece, seed: int) -> float:
    """How far what showed well of a surface now is from it: the 99th percentile, as a share of the diagonal."""
    from scipy.spatial import cKDTree

    rng = np.random.default_rng(seed)
    spread, face = _spread(before, seed)
    some = rng.permutation(len(face))[:6000]
    # a spike pushed through a body leaves a funnel, which shows, but badly
    shows = _escaping(before, face[some], rng, spread[some]).max(0) > _EXPOSED
    if not shows.any():
        return 0.0
    gap = cKDTree(_spread(after, seed)[0]).query(spread[some[shows]])[0]
    return float(np.quantile(gap, 0.99) / before.size)


def covering(work: Workpiece, lid: Ints, seed: int) -> Floats:
    """How much each of the faces ``lid`` (N,) hides: the share of the rays from behind it that first meet the front of
    another face. Behind a lid over a hollow body there are the backs of its faces, over a vessel the fronts of its
    inside."""
    rest = np.ones(len(work.faces), bool)
    rest[lid] = False
    scene = Scene(Mesh(work.rounded, work.faces[rest].astype(np.int32)))
    normal = surface.cross_products(work.points, work.faces[lid])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-300)
    at = work.points[work.faces[lid]].mean(1) - _LIFT * work.size * normal
    ball = np.random.default_rng(seed).normal(size=(_RAYS, len(lid), 3))
    ball /= np.linalg.norm(ball, axis=2, keepdims=True)
    way = ball - 1.02 * normal
    hits = scene.cast(np.broadcast_to(at, way.shape).reshape(-1, 3), way.reshape(-1, 3))
    return np.asarray((hits.found & hits.front).reshape(_RAYS, -1).mean(0))
