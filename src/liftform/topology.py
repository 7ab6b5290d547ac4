"""Is a mesh sound? Counts, closedness, orientation, shells and self-intersections of a Mesh, as plain figures.

Vertices doubled for UV seams are no defect: everything here looks at the mesh after bit-identical positions are merged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .assets import Mesh

Ints = NDArray[np.integer[Any]]
Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]

#: Above this many faces self-intersections are not counted unless ``health`` is told to.
INTERSECTION_FACE_LIMIT = 300_000

#: A face is degenerate when its doubled area is at most this share of its longest edge squared.
DEGENERATE_RATIO = 1e-6

#: Self-intersections are given up where more boxes than this overlap, and more than so many for each face.
_MAX_PAIRS, _MAX_PAIRS_A_FACE = 6_000_000, 24
_FLOAT32_ROUNDING = 4 * float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class Health:
    """What is sound and what is broken in a mesh; lengths in the mesh's unit.

    vertices: distinct positions in use; vertices_stored: as stored, seams doubled. faces: as stored.
    watertight: every edge belongs to exactly two faces. manifold: watertight, the two faces of each edge run through
    it in opposite directions, and the faces around each vertex form one fan. outward: manifold edges, and every
    component encloses a positive volume (so an inner cavity is not outward). nonmanifold_edges: edges of three or more
    faces; flipped_edges: edges through which two faces run in the same direction. components: parts connected through
    edges. volume: signed, meaningful when watertight. degenerate_faces: a repeated corner or (relatively) no area.
    duplicate_faces: faces on the same three positions as an earlier one. self_intersecting: pairs of faces without a
    common corner that cut each other deeper than float32 rounding, or None if not counted (see ``note``).
    euler: V - E + F; genus: of all components together, None unless manifold. bounds: lowest and highest corner.
    """

    vertices: int
    vertices_stored: int
    faces: int
    watertight: bool
    manifold: bool
    outward: bool
    boundary_edges: int
    nonmanifold_edges: int
    flipped_edges: int
    nonmanifold_vertices: int
    components: int
    degenerate_faces: int
    duplicate_faces: int
    self_intersecting: int | None
    euler: int
    genus: int | None
    volume: float
    area: float
    bounds: tuple[tuple[float, float, float], tuple[float, float, float]]
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The same figures as JSON-ready values; bounds become lists."""
        return {**asdict(self), "bounds": [list(corner) for corner in self.bounds]}


def health(mesh: Mesh, intersection_limit: int = INTERSECTION_FACE_LIMIT) -> Health:
    """Measure ``mesh``; self-intersections only up to ``intersection_limit`` faces (0: never).

    Raises InputError when the arrays are not a mesh at all (shapes, types, indices, no faces, NaN).
    """
    mesh.validate()
    positions, faces = merged(mesh)
    edges = _Edges.of(faces)
    labels = components(faces)
    used = np.unique(faces)
    bowties = int((_fans_per_vertex(faces, edges) > 1).sum())
    watertight = bool((edges.uses == 2).all())
    consistent = bool((edges.balance[edges.uses == 2] == 0).all())
    manifold = watertight and consistent and bowties == 0
    volumes = signed_volumes(positions, faces, labels)
    euler = len(used) - len(edges.uses) + len(faces)
    crossings, note = _crossings(positions, faces, intersection_limit)
    low, high = (tuple(float(x) for x in corner) for corner in (positions[used].min(0), positions[used].max(0)))
    return Health(
        vertices=len(used),
        vertices_stored=len(mesh.vertices),
        faces=len(faces),
        watertight=watertight,
        manifold=manifold,
        outward=watertight and consistent and bool((volumes > 0).all()),
        boundary_edges=int((edges.uses == 1).sum()),
        nonmanifold_edges=int((edges.uses > 2).sum()),
        flipped_edges=int((edges.balance[edges.uses == 2] != 0).sum()),
        nonmanifold_vertices=bowties,
        components=len(volumes),
        degenerate_faces=int(degenerate(positions, faces).sum()),
        duplicate_faces=_duplicates(faces),
        self_intersecting=crossings,
        euler=euler,
        genus=(2 * len(volumes) - euler) // 2 if manifold else None,
        volume=float(volumes.sum()),
        area=float(_doubled_areas(positions, faces).sum() / 2),
        bounds=(low, high),  # type: ignore[arg-type]
        note=note,
    )


def merge_map(positions: Floats) -> tuple[Ints, Ints]:
    """Bit-identical rows of ``positions`` (V, 3) float32: (first, new_from_old).

    ``first`` (M,) holds the index of each distinct position's first occurrence, ascending;
    ``new_from_old`` (V,) int32 numbers them. -0.0 equals 0.0.
    """
    keys = (np.asarray(positions, np.float32) + np.float32(0)).view(np.uint32)
    order = np.lexsort(keys.T)
    new_group = np.ones(len(order), bool)
    new_group[1:] = (keys[order[1:]] != keys[order[:-1]]).any(axis=1)
    first = order[new_group]  # lexsort is stable: the lowest index of a group comes first
    rank = np.empty(len(first), np.int32)
    rank[np.argsort(first)] = np.arange(len(first), dtype=np.int32)
    new_from_old = np.empty(len(order), np.int32)
    new_from_old[order] = rank[np.cumsum(new_group) - 1]
    return np.sort(first), new_from_old


def merged(mesh: Mesh) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Distinct positions (M, 3) float32, by first occurrence, and the faces (F, 3) int32 on them."""
    first, new_from_old = merge_map(mesh.vertices)
    return mesh.vertices[first], new_from_old[mesh.faces].astype(np.int32)


def components(faces: Ints) -> NDArray[np.int32]:
    """Part number (F,) int32 of each face, parts being connected through shared edges; numbered by their first face."""
    edges = _Edges.of(faces)
    following = edges.of_half[edges.order][1:] == edges.of_half[edges.order][:-1]
    pairs = np.stack([edges.order[:-1][following], edges.order[1:][following]]) // 3
    return _connected(pairs, len(faces))


def signed_volumes(positions: Floats, faces: Ints, labels: Ints | None = None) -> NDArray[np.float64]:
    """Signed volume of each part (C,): positive when its faces look outward. One part when ``labels`` is None."""
    p = np.asarray(positions, np.float64)
    p = p - (p.min(0) + p.max(0)) / 2
    a, b, c = (p[faces[:, i]] for i in range(3))
    volumes = np.einsum("ij,ij->i", a, np.cross(b, c)) / 6
    return np.bincount(np.zeros(len(faces), int) if labels is None else labels, volumes).astype(np.float64)


def signed_volume(positions: Floats, faces: Ints) -> float:
    """Signed volume enclosed by all faces; positive when they look outward."""
    return float(signed_volumes(positions, faces)[0])


def degenerate(positions: Floats, faces: Ints) -> Bools:
    """Which faces (F,) have a repeated corner or (relative to their longest edge) no area."""
    a, b, c = (np.asarray(positions, np.float64)[faces[:, i]] for i in range(3))
    squares = [np.einsum("ij,ij->i", q - p, q - p) for p, q in ((a, b), (b, c), (c, a))]
    flat: Bools = _doubled_areas(positions, faces) <= DEGENERATE_RATIO * np.maximum.reduce(squares)
    return flat


def self_intersections(
    positions: Floats, faces: Ints, max_pairs: int | None = None, among: Bools | None = None
) -> Ints | None:
    """Pairs of sound faces (N, 2), lower first, that share no corner and cut each other deeper than float32 rounding.

    Broad phase: a tree of boxes over the faces in Morton order, walked against itself, a bounded number of pairs at a
    time. Narrow phase: the separating axis test (Gottschalk, Lin, Manocha 1996; Ericson 2005, 5.2.1), coplanar overlap
    included. among (F,): only pairs with at least one of these faces. Returns None when more than ``max_pairs`` boxes
    overlap (default: 6 million, or 24 a face where that is more).
    """
    sound = np.flatnonzero(~degenerate(positions, faces))
    none = np.zeros((0, 2), np.int64)
    if len(sound) < 2 or (among is not None and not among[sound].any()):
        return none
    positions, faces = np.asarray(positions), faces[sound]
    depth = _FLOAT32_ROUNDING * float(np.abs(positions[faces]).max())
    tree = _Boxes.of(positions[faces], None if among is None else among[sound])
    left, found = max(_MAX_PAIRS, _MAX_PAIRS_A_FACE * len(faces)) if max_pairs is None else max_pairs, [none]
    for i, j in tree.overlapping():
        left -= len(i)
        if left < 0:
            return None
        found.append(np.sort(sound[_cutting(positions, faces, i, j, depth)], axis=1))
    pairs = np.concatenate(found)
    return pairs[np.lexsort(pairs.T[::-1])]


def _cutting(positions: Floats, faces: Ints, i: Ints, j: Ints, depth: float) -> Ints:
    """Those of the pairs i, j that share no corner and cut each other (N, 2)."""
    one, two = faces.take(i, axis=0), faces.take(j, axis=0)
    joined = np.zeros(len(i), bool)
    for a in range(3):
        for b in range(3):
            joined |= one[:, a] == two[:, b]
    apart = np.flatnonzero(~joined)
    i, j = i[apart], j[apart]
    p, q = (positions[faces[k]].astype(np.float64) for k in (i, j))
    for _ in range(2):
        keep = np.flatnonzero(_meets_plane(p, q, depth))
        i, j, p, q = j[keep], i[keep], q[keep], p[keep]
    cut = _triangles_cut(p, q, depth)
    return np.stack([i[cut], j[cut]], axis=1)


@dataclass(frozen=True)
class _Edges:
    """Undirected edges. Half-edge h = 3 * face + i runs from corner i to corner i + 1.

    of_half (3F,): edge number of each half-edge; order: half-edges sorted by edge; uses (E,): faces at each edge;
    balance (E,): runs upwards minus runs downwards.
    """

    of_half: Ints
    order: Ints
    uses: Ints
    balance: Ints

    @classmethod
    def of(cls, faces: Ints) -> _Edges:
        start = faces.astype(np.int64).ravel()
        end = np.roll(faces.astype(np.int64), -1, axis=1).ravel()
        keys = np.minimum(start, end) * (int(start.max()) + 1) + np.maximum(start, end)
        order = np.argsort(keys, kind="stable")
        first = np.ones(len(keys), bool)
        first[1:] = keys[order[1:]] != keys[order[:-1]]
        of_half = np.empty(len(keys), np.int64)
        of_half[order] = np.cumsum(first) - 1
        uses = np.bincount(of_half)
        return cls(of_half, order, uses, np.bincount(of_half, np.sign(end - start)).astype(np.int64))


def _connected(pairs: Ints, count: int) -> NDArray[np.int32]:
    """Label (count,) of each node's connected component, numbered by first node."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    a, b = pairs.astype(np.int32)  # the types that the search works with: nothing is converted on the way
    graph = coo_matrix((np.ones(len(a)), (a, b)), (count, count))
    labels: NDArray[np.int32] = connected_components(graph, directed=False)[1]
    return labels


def _fans_per_vertex(faces: Ints, edges: _Edges) -> Ints:
    """How many separate fans of faces meet at each vertex: corners are joined across the edges they share."""
    following = edges.of_half[edges.order][1:] == edges.of_half[edges.order][:-1]
    h, g = edges.order[:-1][following], edges.order[1:][following]
    after_h, after_g = h - h % 3 + (h + 1) % 3, g - g % 3 + (g + 1) % 3
    vertex = faces.ravel()
    same_way = vertex[h] == vertex[g]
    pairs = np.stack(
        [np.concatenate([h, after_h]), np.concatenate([np.where(same_way, g, after_g), np.where(same_way, after_g, g)])]
    )
    fan = _connected(pairs, len(vertex))
    owner = np.empty(int(fan.max()) + 1, np.int64)
    owner[fan] = vertex
    return np.bincount(owner)


def _doubled_areas(positions: Floats, faces: Ints) -> NDArray[np.float64]:
    a, b, c = (np.asarray(positions, np.float64)[faces[:, i]] for i in range(3))
    normal = np.cross(b - a, c - a)
    doubled: NDArray[np.float64] = np.sqrt(np.einsum("ij,ij->i", normal, normal))
    return doubled


def _duplicates(faces: Ints) -> int:
    """How many faces lie on the same three positions as an earlier one."""
    a, b, c = np.sort(faces.astype(np.int64), axis=1).T
    order = np.lexsort((c, a * (int(c.max()) + 1) + b))
    x, y, z = a[order], b[order], c[order]
    return int(((x[1:] == x[:-1]) & (y[1:] == y[:-1]) & (z[1:] == z[:-1])).sum())


def _crossings(positions: Floats, faces: Ints, limit: int) -> tuple[int | None, str]:
    """Number of self-intersecting pairs, or None and the reason."""
    if len(faces) > limit:
        return None, f"self-intersections are not counted above {limit} faces"
    pairs = self_intersections(positions, faces)
    if pairs is None:
        return None, "self-intersections are not counted: too many faces overlap"
    return len(pairs), ""


def _morton_order(points: Floats) -> Ints:
    """Order of points (N, 3) along the Z-curve, 21 bits an axis."""
    low, high = points.min(0), points.max(0)
    q = ((points - low) / max(float((high - low).max()), 1e-30) * 2097151).astype(np.uint64)
    for shift, mask in (
        (32, 0x1F00000000FFFF),
        (16, 0x1F0000FF0000FF),
        (8, 0x100F00F00F00F00F),
        (4, 0x10C30C30C30C30C3),
        (2, 0x1249249249249249),
    ):
        q = (q | (q << np.uint64(shift))) & np.uint64(mask)
    return np.argsort(q[:, 0] | (q[:, 1] << np.uint64(1)) | (q[:, 2] << np.uint64(2)), kind="stable")


@dataclass(frozen=True)
class _Boxes:
    """A tree of axis-aligned boxes over triangles in Morton order.

    order (N,): triangle of each leaf. levels: from leaves to root, boxes (6, M) as three lowest and three highest
    coordinates, two neighbours of a level under one box of the next. wanted: of each level, which boxes hold a triangle
    that one asks about; None: all.
    """

    order: Ints
    levels: list[Floats]
    wanted: list[Bools] | None

    @classmethod
    def of(cls, corners: Floats, among: Bools | None) -> _Boxes:
        """The tree over triangles (N, 3, 3)."""
        order = _morton_order(corners.mean(1))
        a, b, c = (corners[:, i] for i in range(3))  # far quicker than corners.min(1)
        low, high = np.minimum(np.minimum(a, b), c)[order], np.maximum(np.maximum(a, b), c)[order]
        levels = [np.ascontiguousarray(np.concatenate([low, -high], axis=1).T)]
        marks = None if among is None else [among[order]]
        while levels[-1].shape[1] > 1:
            last = levels[-1]
            if last.shape[1] % 2:
                last = np.concatenate([last, np.full((6, 1), np.inf, last.dtype)], axis=1)
            levels.append(np.minimum(last[:, 0::2], last[:, 1::2]))
            if marks is not None:
                mark = np.append(marks[-1], False) if len(marks[-1]) % 2 else marks[-1]
                marks.append(mark[0::2] | mark[1::2])
        for level in levels:
            np.negative(level[3:], out=level[3:])
        return cls(order, levels, marks)

    def overlapping(self, portion: int = 400_000) -> Iterator[tuple[Ints, Ints]]:
        """All pairs of triangles (with a wanted one) whose boxes overlap; about so many pairs are held at once."""
        root: Ints = np.zeros(1, np.int64)
        waiting = [(len(self.levels) - 1, root, root)]
        while waiting:
            depth, a, b = waiting.pop()
            while depth and len(a):
                if len(a) > portion:
                    half = len(a) // 2
                    waiting.append((depth, a[half:], b[half:]))
                    a, b = a[:half], b[:half]
                depth -= 1
                a, b = self._children(depth, a, b)
            apart = np.flatnonzero(a != b)
            yield self.order[a[apart]], self.order[b[apart]]

    def _children(self, depth: int, a: Ints, b: Ints) -> tuple[Ints, Ints]:
        """The pairs under pairs a, b of the level above ``depth`` that overlap; tested an axis at a time."""
        inner = a == b
        same, left, right = a[inner] * 2, a[~inner] * 2, b[~inner] * 2
        a = np.concatenate([same, same, same + 1, left, left, left + 1, left + 1])
        b = np.concatenate([same, same + 1, same + 1, right, right + 1, right, right + 1])
        boxes = self.levels[depth]
        keep = b < boxes.shape[1]  # a <= b always
        if self.wanted is not None:
            mark = self.wanted[depth]
            keep &= mark.take(a, mode="clip") | mark.take(b, mode="clip")
        a, b = a[keep], b[keep]
        for axis in range(3):
            low, high = boxes[axis], boxes[axis + 3]
            both = np.flatnonzero((low.take(a) <= high.take(b)) & (low.take(b) <= high.take(a)))
            a, b = a.take(both), b.take(both)
        return a, b


def _meets_plane(p: Floats, q: Floats, depth: float) -> Bools:
    """Whether triangles q (N, 3, 3) reach both sides of the planes of triangles p, or lie in them."""
    origin = p[:, 0]
    normal = np.cross(p[:, 1] - origin, p[:, 2] - origin)
    normal /= np.maximum(np.sqrt(np.einsum("ij,ij->i", normal, normal)), 1e-300)[:, None]
    heights = np.einsum("nkj,nj->nk", q, normal) - np.einsum("ij,ij->i", normal, origin)[:, None]
    low, high = heights.min(1), heights.max(1)
    keep: Bools = ((low < -depth) & (high > depth)) | (np.maximum(-low, high) <= depth)
    return keep


def _triangles_cut(p: Floats, q: Floats, depth: float) -> Bools:
    """Whether triangles p and q (N, 3, 3), known to reach through each other's plane, overlap by more than ``depth``
    along every other separating axis."""
    edges_p, edges_q = np.roll(p, -1, axis=1) - p, np.roll(q, -1, axis=1) - q
    normal_p, normal_q = np.cross(edges_p[:, 0], edges_p[:, 1]), np.cross(edges_q[:, 0], edges_q[:, 1])
    axes = [np.cross(edges_p[:, a], edges_q[:, b]) for a in range(3) for b in range(3)]
    axes += [np.cross(normal_p, edges_p[:, a]) for a in range(3)]
    axes += [np.cross(normal_q, edges_q[:, a]) for a in range(3)]
    origin = p[:, :1]
    p, q = p - origin, q - origin
    coplanar = np.abs(_along(q, normal_p)).max(1) <= depth
    cut: Bools = np.ones(len(p), bool)
    for number, axis in enumerate(axes):
        on_p, on_q = _along(p, axis), _along(q, axis)
        apart = (on_p.max(1) <= on_q.min(1) + depth) | (on_q.max(1) <= on_p.min(1) + depth)
        # In one plane, products of edges are the normal, along which both are flat; parallel edges give no axis.
        usable = (axis != 0).any(1) & ~(coplanar & (number < 9))
        cut &= ~(apart & usable)
    return cut


def _along(points: Floats, axis: Floats) -> Floats:
    """Positions (N, K) of points (N, K, 3) along axes (N, 3) of any length."""
    unit = axis / np.maximum(np.linalg.norm(axis, axis=1, keepdims=True), 1e-300)
    return np.asarray(np.einsum("nkj,nj->nk", points, unit))
