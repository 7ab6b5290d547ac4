"""Edge collapse of any triangle mesh, many edges at once: seams, borders and material lines keep their place.

Quadric error metrics over places and attributes (Garland and Heckbert: Simplifying surfaces with color and texture
using quadric error metrics, 1998), collapses of one vertex into a neighbour (Hoppe 1996), so that every remaining
vertex keeps its place and attributes exactly. In each round the cheapest edges that do not touch each other collapse
together, those alone that pass the link condition (Dey et al. 1999) and turn no face over: a closed manifold stays one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import surface
from .raster import expand

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: Collapses of one round are chosen from this share of the edges, the cheapest, in so many passes.
_CHEAPEST, _PASSES = 0.45, 3
#: How an edge's squared length counts beside squared distances, so that flat parts get well-shaped faces.
_LENGTH = 1e-6
#: A line's planes weigh this much beside the faces.
_LINE = 4.0
#: No face may turn by more than acos of this, or become thinner than this (doubled area over squared longest edge)
#: unless it nearly was; never thinner than the last.
_TURN, _THIN, _THINNEST = 0.25, 0.02, 1e-4
#: Collapses whose cost is worked out at once.
_CHUNK = 1 << 15
#: Rounds after which edges that could not collapse are tried again.
_RETRY = 6


@dataclass
class Piece:
    """A mesh being reduced: distinct points (P, 3) in units of the diagonal; wedges: what is stored for a point on one
    side of a seam. faces, corners (F, 3): point and wedge of every corner; origin (F,): number of each face at first.

    values (W, D): place and scaled attributes of every wedge. uv (W, 2) or None: may not turn over.
    """

    points: Floats
    values: Floats
    uv: Floats | None
    faces: Ints
    corners: Ints
    material: Ints
    origin: Ints


def collapsed(piece: Piece, targets: list[int], fixed: Bools | None = None) -> Iterator[Piece]:
    """The piece at each of the face counts (descending); ends after the first that it cannot get down to. Points that
    are ``fixed`` (P,) stay."""
    quadrics = _quadrics(piece)
    locked = _locked(piece) if fixed is None else _locked(piece) | fixed
    blocked = np.zeros(0, np.int64)
    for target in targets:
        idle = 0
        while len(piece.faces) > target:
            edges = _Edges.of(piece)
            moves = _moves(piece, edges, locked, quadrics, blocked)
            before = len(piece.faces)
            piece, refused = _round(piece, edges, moves, quadrics, (before - target + 1) // 2)
            idle = idle + 1 if len(piece.faces) == before else 0
            blocked = np.zeros(0, np.int64) if idle == 1 else np.union1d(blocked, refused)
            if idle > _RETRY or (idle > 1 and not len(refused)):
                yield piece
                return
        yield piece


@dataclass(frozen=True)
class _Edges:
    """Distinct edges between points a < b. first, second (E,): half-edges 3 * face + corner, second -1 at borders;
    count (E,): faces. line (E,): 0 inside, else the kind of line that the edge belongs to."""

    a: Ints
    b: Ints
    first: Ints
    second: Ints
    count: Ints
    line: NDArray[np.int8]

    @classmethod
    def of(cls, piece: Piece) -> _Edges:
        start, end = surface.half_edges(piece.faces)
        low, high = np.minimum(start, end), np.maximum(start, end)
        key = low * len(piece.points) + high
        order = np.argsort(key, kind="stable")
        ordered = key[order]
        head = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        count = np.diff(np.r_[head, len(key)])
        first = order[head]
        second = np.where(count > 1, order[np.minimum(head + 1, len(key) - 1)], -1)
        return cls(low[first], high[first], first, second, count, _lines(piece, start, first, second, count))


def _after(half: Ints) -> Ints:
    """The next half-edge of the same face."""
    return half - half % 3 + (half + 1) % 3


def _lines(piece: Piece, start: Ints, first: Ints, second: Ints, count: Ints) -> NDArray[np.int8]:
    """1 border, 2 broken (three faces, or two that run the same way), 3 seam, 4 border of materials; 0 none."""
    wedge = piece.corners.ravel()
    line = np.zeros(len(first), np.int8)
    line[piece.material[first // 3] != piece.material[second // 3]] = 4
    seam = (wedge[first] != wedge[_after(second)]) | (wedge[_after(first)] != wedge[second])
    line[seam] = 3
    line[(count > 2) | (start[first] == start[second])] = 2
    line[count == 1] = 1
    return line


def _quadrics(piece: Piece) -> Floats:
    """Of every wedge (W, M): the area-weighted squared distance to its faces' planes in the space of values, plus that
    to planes that stand on the lines it lies on; see ``_terms`` for the order."""
    x = piece.values[piece.corners]
    e, g = x[:, 1] - x[:, 0], x[:, 2] - x[:, 0]
    area = np.linalg.norm(surface.cross_products(piece.points, piece.faces), axis=1) / 2
    e = e / np.maximum(np.linalg.norm(e, axis=1, keepdims=True), 1e-300)
    g = g - np.einsum("ij,ij->i", g, e)[:, None] * e
    g = g / np.maximum(np.linalg.norm(g, axis=1, keepdims=True), 1e-300)
    dim = x.shape[2]
    matrix = np.eye(dim) - e[:, :, None] * e[:, None, :] - g[:, :, None] * g[:, None, :]
    of_face = _packed(matrix, x[:, 0]) * (area / 3)[:, None]
    total = np.zeros((len(piece.values), of_face.shape[1]))
    for i in range(3):
        _add(total, piece.corners[:, i], of_face)
    edges = _Edges.of(piece)
    on_line = np.flatnonzero(edges.line)
    for half in (edges.first[on_line], edges.second[on_line]):
        half = half[half >= 0]
        place, normal, weight = _standing(piece, half)
        matrix = np.zeros((len(half), dim, dim))
        matrix[:, :3, :3] = normal[:, :, None] * normal[:, None, :]
        of_line = _packed(matrix, place) * (_LINE * weight)[:, None]
        for corner in (half, _after(half)):
            _add(total, piece.corners.ravel()[corner], of_line)
    return total


def _standing(piece: Piece, half: Ints) -> tuple[Floats, Floats, Floats]:
    """Of half-edges: a place on each, the unit normal of the plane that stands on the face there, squared length."""
    start = piece.faces.ravel()[half]
    along = piece.points[piece.faces.ravel()[_after(half)]] - piece.points[start]
    normal = np.cross(surface.cross_products(piece.points, piece.faces[half // 3]), along)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-300)
    return piece.values[piece.corners.ravel()[half]], normal, (along**2).sum(1)


def _packed(matrix: Floats, through: Floats) -> Floats:
    """Coefficients (N, M) of (x - p)' A (x - p): upper triangle of A (off-diagonal doubled), -2 A p, p' A p."""
    rows, columns = np.triu_indices(matrix.shape[1])
    linear = np.einsum("ijk,ik->ij", matrix, through)
    constant = np.einsum("ij,ij->i", linear, through)
    upper = matrix[:, rows, columns] * np.where(rows == columns, 1.0, 2.0)
    return np.concatenate([upper, -2 * linear, constant[:, None]], 1)


def _terms(x: Floats) -> Floats:
    """What the coefficients are multiplied with at values x (N, D): products, the values, 1."""
    rows, columns = np.triu_indices(x.shape[1])
    return np.concatenate([x[:, rows] * x[:, columns], x, np.ones((len(x), 1))], 1)


def _add(total: Floats, index: Ints, rows: Floats) -> None:
    """total[index] += rows, repeats included."""
    for k in range(rows.shape[1]):
        total[:, k] += np.bincount(index, rows[:, k], len(total))


def _locked(piece: Piece) -> Bools:
    """Points (P,) at which fans of faces touch in nothing but this point, or a broken edge ends: they stay."""
    edges = _Edges.of(piece)
    out = np.zeros(len(piece.points), bool)
    broken = edges.line == 2
    out[edges.a[broken]] = out[edges.b[broken]] = True
    # a single fan has as many edges as faces, one more when open; several open fans give themselves away so, and
    # several closed ones by the components of their faces
    faces_at = np.bincount(piece.faces.ravel(), minlength=len(out))
    edges_at = np.bincount(np.r_[edges.a, edges.b], minlength=len(out))
    out |= edges_at > faces_at + 1
    return out | (_fans(piece, edges, len(out)) > 1)


def _fans(piece: Piece, edges: _Edges, count: int) -> Ints:
    """Number of fans of faces at every point (P,)."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    two = np.flatnonzero((edges.count == 2) & (edges.line != 2))
    h, t = edges.first[two], edges.second[two]
    i, j = np.r_[h, _after(h)], np.r_[_after(t), t]
    total = piece.faces.size
    number, fan = connected_components(coo_matrix((np.ones(len(i), np.int8), (i, j)), shape=(total, total)), False)
    owner = np.empty(number, np.int64)
    owner[fan] = piece.faces.ravel()
    return np.bincount(owner, minlength=count)


@dataclass(frozen=True)
class _Moves:
    """Possible collapses of point ``start`` into ``end`` (N,), cheapest first; pairs (N, 2, 2): wedges (from, to) on
    both sides of the edge, twice the same inside a chart."""

    start: Ints
    end: Ints
    pairs: Ints
    cost: Floats


def _moves(piece: Piece, edges: _Edges, locked: Bools, quadrics: Floats, blocked: Ints) -> _Moves:
    """All collapses allowed by lines and locks, the better direction of each edge; cheapest share only."""
    count = len(piece.points)
    on_line = edges.line > 0
    ends = np.r_[edges.a[on_line], edges.b[on_line]]
    lines_at = np.bincount(ends, minlength=count)
    kinds = np.zeros(count, np.int64)
    np.bitwise_or.at(kinds, ends, np.left_shift(1, np.tile(edges.line[on_line], 2)).astype(np.int64))
    one_kind = (kinds & (kinds - 1)) == 0
    free = (lines_at == 0) & ~locked
    sliding = (lines_at == 2) & one_kind & ~locked
    start, end, edge = np.r_[edges.a, edges.b], np.r_[edges.b, edges.a], np.tile(np.arange(len(edges.a)), 2)
    good = free[start] | (sliding[start] & on_line[edge])
    if len(blocked):
        good &= ~np.isin(start * count + end, blocked)
    start, end, edge = start[good], end[good], edge[good]
    pairs = _pairs(piece, edges, start, edge)
    cost = _cost(piece, quadrics, start, end, pairs)
    split = (pairs[:, 0, 0] == pairs[:, 1, 0]) & (pairs[:, 0, 1] != pairs[:, 1, 1])
    cost[split] = np.inf
    best = np.full(len(edges.a), np.inf)
    np.minimum.at(best, edge, cost)
    chosen = np.flatnonzero((cost <= best[edge]) & np.isfinite(cost))
    chosen = chosen[np.argsort(cost[chosen], kind="stable")][: max(int(_CHEAPEST * len(best)), 64)]
    return _Moves(start[chosen], end[chosen], pairs[chosen], cost[chosen])


def _pairs(piece: Piece, edges: _Edges, start: Ints, edge: Ints) -> Ints:
    """Wedges (N, 2, 2) as in ``_Moves`` for collapses from ``start`` along ``edge``."""
    point, wedge = piece.faces.ravel(), piece.corners.ravel()
    out = np.empty((len(edge), 2, 2), np.int64)
    second = np.where(edges.second[edge] >= 0, edges.second[edge], edges.first[edge])
    for side, half in enumerate((edges.first[edge], second)):
        begins = point[half] == start
        tail, head = wedge[half], wedge[_after(half)]
        out[:, side, 0], out[:, side, 1] = np.where(begins, tail, head), np.where(begins, head, tail)
    return out


def _cost(piece: Piece, quadrics: Floats, start: Ints, end: Ints, pairs: Ints) -> Floats:
    """What each collapse costs: squared distances times area."""
    dim = piece.values.shape[1]
    diagonal = np.flatnonzero(np.equal(*np.triu_indices(dim)))
    cost = np.zeros(len(start))
    two = np.flatnonzero((pairs[:, 0] != pairs[:, 1]).any(1))
    parts = [(0, np.arange(i, min(i + _CHUNK, len(start)))) for i in range(0, len(start), _CHUNK)]
    parts += [(1, two[i : i + _CHUNK]) for i in range(0, len(two), _CHUNK)]
    for side, rows in parts:
        moved, stays = pairs[rows, side, 0], pairs[rows, side, 1]
        q = quadrics[moved] + quadrics[stays]
        area = q[:, diagonal].sum(1) / (dim - 2)
        length = ((piece.points[start[rows]] - piece.points[end[rows]]) ** 2).sum(1)
        cost[rows] += np.einsum("ij,ij->i", q, _terms(piece.values[stays])) + _LENGTH * area * length
    return cost


def _round(piece: Piece, edges: _Edges, moves: _Moves, quadrics: Floats, wanted: int) -> tuple[Piece, Ints]:
    """The piece after one round of at most ``wanted`` collapses, quadrics summed up; and keys of refused collapses."""
    count = len(piece.points)
    around = _Around.of(piece, edges)
    near = np.zeros(count, bool)
    point_map, wedge_map = np.arange(count), np.arange(len(piece.values))
    refused, left = [np.zeros(0, np.int64)], np.arange(len(moves.start))
    for _ in range(_PASSES):
        left = left[~(near[moves.start[left]] | near[moves.end[left]])]
        chosen = left[_apart(moves, left, edges, count)][:wanted]
        if not len(chosen):
            break
        sound = around.sound(piece, moves, chosen)
        refused.append(moves.start[chosen[~sound]] * count + moves.end[chosen[~sound]])
        done = chosen[sound]
        open_ = np.ones(len(moves.start), bool)
        open_[chosen] = False
        left = left[open_[left]]
        wanted -= len(done)
        point_map[moves.start[done]] = moves.end[done]
        pairs = moves.pairs[done]
        both = np.unique(np.concatenate([pairs[:, 0], pairs[:, 1]]), axis=0)
        wedge_map[both[:, 0]] = both[:, 1]
        np.add.at(quadrics, both[:, 1], quadrics[both[:, 0]])
        used = np.zeros(count, bool)
        used[moves.start[done]] = used[moves.end[done]] = True
        near |= used
        near[edges.a[used[edges.b]]] = near[edges.b[used[edges.a]]] = True
    faces = point_map[piece.faces]
    kept = (faces != np.roll(faces, 1, axis=1)).all(1)
    return (
        Piece(
            piece.points,
            piece.values,
            piece.uv,
            faces[kept],
            wedge_map[piece.corners[kept]],
            piece.material[kept],
            piece.origin[kept],
        ),
        np.concatenate(refused),
    )


def _apart(moves: _Moves, left: Ints, edges: _Edges, count: int) -> Ints:
    """Of the moves ``left`` (cheapest first) those that are the cheapest at all points next to their two, (n,)."""
    rank = np.arange(len(left))
    best = np.full(count, len(left))
    for ends in (moves.start[left], moves.end[left]):
        np.minimum.at(best, ends, rank)
    around = best.copy()
    np.minimum.at(around, edges.a, best[edges.b])
    np.minimum.at(around, edges.b, best[edges.a])
    return np.flatnonzero((around[moves.start[left]] == rank) & (around[moves.end[left]] == rank))


@dataclass(frozen=True)
class _Around:
    """Faces and neighbours of every point, as lists: those of point i are from first[i] to first[i + 1]."""

    face: Ints
    first_face: Ints
    near: Ints
    first_near: Ints
    edge_keys: Ints
    faces: Ints

    @classmethod
    def of(cls, piece: Piece, edges: _Edges) -> _Around:
        count = len(piece.points)
        corner = piece.faces.ravel()
        start, end = np.r_[edges.a, edges.b], np.r_[edges.b, edges.a]
        order = np.argsort(start, kind="stable")
        counts = [np.bincount(x, minlength=count) for x in (corner, start)]
        first_face, first_near = (np.r_[0, np.cumsum(c)] for c in counts)
        face = np.argsort(corner, kind="stable") // 3
        return cls(face, first_face, end[order], first_near, edges.a * count + edges.b, piece.faces)

    def sound(self, piece: Piece, moves: _Moves, chosen: Ints) -> Bools:
        """Which of the chosen collapses keep the surface's kind and turn no face over."""
        a, b = moves.start[chosen], moves.end[chosen]
        ok = self._linked(a, b)
        owner, at = expand(self.first_face[a + 1] - self.first_face[a], self.first_face[a])
        face = self.face[at]
        stays = (piece.faces[face] != b[owner, None]).all(1)
        ok &= np.bincount(owner, stays, len(chosen)) > 0
        owner, face = owner[stays], face[stays]
        moved = piece.faces[face] == a[owner, None]
        ok[owner[self._there(np.where(moved, b[owner, None], piece.faces[face]), b[owner])]] = False
        bad = _spoilt(piece.points[piece.faces[face]], piece.points[b[owner]], moved)
        if piece.uv is not None:
            pairs = moves.pairs[chosen][owner]
            own = piece.corners[face][moved]
            to = np.where(own == pairs[:, 0, 0], pairs[:, 0, 1], pairs[:, 1, 1])
            bad |= _turned(piece.uv[piece.corners[face]], piece.uv[to], moved)
        ok[owner[bad]] = False
        return ok

    def _linked(self, a: Ints, b: Ints) -> Bools:
        """The link condition on points: a and b have no common neighbours but the tips of the faces at their edge."""
        owner, at = expand(self.first_near[a + 1] - self.first_near[a], self.first_near[a])
        shared = np.bincount(owner, self._joined(self.near[at], b[owner]), len(a))
        owner, at = expand(self.first_face[a + 1] - self.first_face[a], self.first_face[a])
        tips = np.bincount(owner, (self.faces[self.face[at]] == b[owner, None]).any(1), len(a))
        return np.asarray(shared == tips)

    def _joined(self, a: Ints, b: Ints) -> Bools:
        """Whether there is an edge between points."""
        key = np.minimum(a, b) * (len(self.first_face) - 1) + np.maximum(a, b)
        place = np.minimum(np.searchsorted(self.edge_keys, key), len(self.edge_keys) - 1)
        return np.asarray(self.edge_keys[place] == key)

    def _there(self, faces: Ints, corner: Ints) -> Bools:
        """The link condition on edges: whether faces (N, 3) with a given corner are there already, either way round."""
        other = faces[faces != corner[:, None]].reshape(-1, 2)
        maybe = np.flatnonzero(self._joined(other[:, 0], corner) & self._joined(other[:, 1], corner))
        b = corner[maybe]
        owner, at = expand(self.first_face[b + 1] - self.first_face[b], self.first_face[b])
        same = (np.sort(self.faces[self.face[at]], 1) == np.sort(faces[maybe], 1)[owner]).all(1)
        out = np.zeros(len(faces), bool)
        out[maybe[owner[same]]] = True
        return out


def _spoilt(corners: Floats, target: Floats, moved: Bools) -> Bools:
    """Whether faces (N, 3, 3) turn too far or become too thin when one corner moves to ``target`` (N, 3)."""
    new = np.where(moved[..., None], target[:, None], corners)
    old_cross, new_cross = (np.cross(x[:, 1] - x[:, 0], x[:, 2] - x[:, 0]) for x in (corners, new))
    old_area, new_area = (np.linalg.norm(x, axis=1) for x in (old_cross, new_cross))
    turn = np.einsum("ij,ij->i", old_cross, new_cross) < _TURN * old_area * new_area
    old_long, new_long = (((x - np.roll(x, 1, axis=1)) ** 2).sum(-1).max(1) for x in (corners, new))
    least = np.clip(0.5 * old_area / np.maximum(old_long, 1e-300), _THINNEST, _THIN)
    thin = new_area < least * new_long
    return np.asarray(turn | thin | (new_area <= 4 * surface.MIN_AREA))


def _turned(corners: Floats, target: Floats, moved: Bools) -> Bools:
    """Whether faces (N, 3, 2) of the texture turn over, or lose all area, when one corner moves."""
    new = np.where(moved[..., None], target[:, None], corners)
    old, after = (
        (x[:, 1, 0] - x[:, 0, 0]) * (x[:, 2, 1] - x[:, 0, 1]) - (x[:, 1, 1] - x[:, 0, 1]) * (x[:, 2, 0] - x[:, 0, 0])
        for x in (corners, new)
    )
    return np.asarray((old != 0) & (old * after <= 0))
