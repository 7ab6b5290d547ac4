"""Twelve ways in which meshes break, at three strengths each: sound Mesh -> broken Mesh, and the truth to compare with.

Textures, colours and materials stay on what they were on; what is added has one flat colour.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..assets import Mesh
from ..refine import crossings, mend, sides, surface
from ..refine.workpiece import Workpiece
from ..render import Scene
from ..topology import merge_map, merged
from .metrics import surface_points

Rng = np.random.Generator
Floats = NDArray[np.float64]
#: (mesh, strength 0 to 2, random numbers) -> the broken mesh, and its truth when that is no longer the mesh itself.
Kind = Callable[[Mesh, int, Rng], tuple[Mesh, Mesh | None]]


def broken(mesh: Mesh, kind: str, strength: int, rng: Rng) -> tuple[Mesh, Mesh]:
    """A sound mesh broken in one way, and the truth."""
    bad, truth = KINDS[kind](mesh, strength, rng)
    return bad.with_(normals=None, quads=0, metadata={}).validate(), mesh if truth is None else truth


def _soup(mesh: Mesh, strength: int, rng: Rng) -> tuple[Mesh, Mesh | None]:
    """Every triangle on its own; corners a little apart."""
    loose = _unshared(mesh)
    jitter = (0, 1e-6, 3e-5)[strength] * surface.diagonal(mesh.vertices)
    moved = loose.vertices + jitter * rng.normal(size=loose.vertices.shape)
    return loose.with_(vertices=moved.astype(np.float32)), None


def _pinholes(mesh: Mesh, strength: int, rng: Rng) -> tuple[Mesh, Mesh | None]:
    """Single faces missing."""
    count = max(1 + strength, int(len(mesh.faces) * (0.005, 0.02, 0.05)[strength]))
    gone = np.zeros(len(mesh.faces), bool)
    gone[rng.choice(len(mesh.faces), min(count, len(mesh.faces) // 8), replace=False)] = True
    return _faces(mesh, ~gone), None


def _hole(mesh: Mesh, strength: int, rng: Rng) -> tuple[Mesh, Mesh | None]:
    """All faces around one place missing, to 3, 6 and 10 % of the diagonal."""
    radius = (0.03, 0.06, 0.1)[strength] * surface.diagonal(mesh.vertices)
    middle = mesh.vertices[mesh.faces].mean(1)
    away = np.linalg.norm(middle - middle[_by_area(mesh, 1, rng)], axis=1)
    gone = (away <= radius) & (away <= np.sort(away)[max(0, len(away) // 4 - 1)])
    return _faces(mesh, ~gone), None


def _slivers(mesh: Mesh, strength: int, rng: Rng) -> tuple[Mesh, Mesh | None]:
    """Faces twice, faces with a corner twice, and faces without area between a split edge and an unsplit one."""
    count = max(3, int(len(mesh.faces) * (0.01, 0.05, 0.15)[strength]))
    chosen = rng.choice(len(mesh.faces), count)
    third = max(1, count // 3)
    twice = mesh.faces[chosen[:third]]
    twice[::2] = twice[::2, ::-1]
    point = mesh.faces[chosen[third : 2 * third]].copy()
    point[:, 2] = point[:, 0]
    mesh = _with_faces(mesh, np.concatenate([twice, point]), np.r_[chosen[:third], chosen[third : 2 * third]])
    split = np.unique(chosen[2 * third :])
    a, b, c = mesh.faces[split].T
    halfway = _between(mesh, a, b, rng.uniform(0.3, 0.7, len(split)))
    new = len(mesh.vertices) + np.arange(len(split))
    keep = np.ones(len(mesh.faces), bool)
    keep[split] = False
    faces = np.concatenate([np.stack(x, 1) for x in ((a, new, c), (new, b, c), (a, b, new))])
    return _with_faces(_with_vertices(_faces(mesh, keep), halfway), faces, np.tile(split, 3)), None


def _crowded(mesh: Mesh, strength: int, rng: Rng) -> tuple[Mesh, Mesh | None]:
    """Fins on edges, and walls through the inside: edges with three and more faces."""
    size, count = surface.diagonal(mesh.vertices), (3, 10, 30)[strength]
    chosen = rng.choice(len(mesh.faces), min(count, len(mesh.faces)), replace=False)
    a, b, _ = mesh.faces[chosen].T
    normal = mesh.face_normals()[chosen]
    tips = _between(mesh, a, b, np.full(len(a), 0.5))
    tips["vertices"] = (tips["vertices"] + 0.03 * size * normal).astype(np.float32)
    fins = np.stack([a, b, len(mesh.vertices) + np.arange(len(a))], 1)
    inner = rng.choice(len(mesh.faces), min(count, len(mesh.faces)), replace=False)
    walls = np.stack([mesh.faces[inner][:, 0], mesh.faces[inner][:, 1], _opposite(mesh, inner)], 1)
    walls = walls[(walls[:, 2] != walls[:, 0]) & (walls[:, 2] != walls[:, 1])]
    whole = _with_faces(_with_vertices(mesh, tips), np.concatenate([fins, walls]), np.r_[chosen, inner[: len(walls)]])
    return whole, None


def _flipped(mesh: Mesh, strength: int, rng: Rng) -> tuple[Mesh, Mesh | None]:
    """Single faces turned over."""
    return _turned(mesh, rng.random(len(mesh.faces)) < (0.05, 0.25, 0.5)[strength]), None


def _inverted(mesh: Mesh, strength: int, rng: Rng) -> tuple[Mesh, Mesh | None]:
    """The whole inside out, or all of it in a half or in four octants of space."""
    middle = mesh.vertices[mesh.faces].mean(1) - mesh.bounds.mean(0)
    way = rng.normal(size=(3, 3))
    if strength == 0:
        return _turned(mesh, np.ones(len(mesh.faces), bool)), None
    return _turned(mesh, (middle @ way[0] > 0) if strength == 1 else (middle @ way.T > 0).sum(1) % 2 == 0), None


def _spikes(mesh: Mesh, strength: int, rng: Rng) -> tuple[Mesh, Mesh | None]:
    """Corners pushed through the opposite side."""
    mesh = refined(mesh, 4000)
    first, point = merge_map(mesh.vertices)
    size, moved = surface.diagonal(mesh.vertices), mesh.vertices[first].astype(np.float64)
    inward = -surface.vertex_normals(mesh.vertices[first], point[mesh.faces])
    chosen = rng.choice(len(first), (1, 3, 8)[strength], replace=False)
    start = 1e-3 * size
    depth = Scene(mesh).cast(moved[chosen] + start * inward[chosen], inward[chosen]).distance.astype(np.float64)
    depth = np.where(np.isfinite(depth), depth + start, 0)  # 0: where there is no other side
    moved[chosen] += np.where(depth > 0, depth + 0.05 * size, 0)[:, None] * inward[chosen]
    return mesh.with_(vertices=moved.astype(np.float32)[point]), None


def _floaters(mesh: Mesh, strength: int, rng: Rng) -> tuple[Mesh, Mesh | None]:
    """Small blobs, closed and open, some way off the surface."""
    size, there = surface.diagonal(mesh.vertices), surface_points(mesh, 20_000)
    for _ in range((3, 10, 30)[strength]):
        at = mesh.vertices[mesh.faces[_by_area(mesh, 1, rng)[0]]].mean(0) + rng.normal(size=3) * 0.08 * size
        gap = np.linalg.norm(there - at, axis=1).min()
        radius = rng.uniform(0.003, 0.02) * size
        if gap > 0.03 * size + radius:
            vertices, faces = ball(radius, at, rng)
            mesh = _joined(mesh, vertices, faces[: len(faces) - int(rng.integers(0, 3))])
    return mesh, None


def _shells(mesh: Mesh, strength: int, rng: Rng) -> tuple[Mesh, Mesh | None]:
    """A second wall a little inside the first, facing inward or outward."""
    positions, faces = merged(mesh)
    normal = surface.vertex_normals(positions, faces)
    inner = positions - (0.01, 0.006, 0.003)[strength] * surface.diagonal(positions) * normal
    return _joined(mesh, inner, faces if strength == 2 else faces[:, ::-1]), None


def _cracks(mesh: Mesh, strength: int, rng: Rng) -> tuple[Mesh, Mesh | None]:
    """Cut in pieces whose borders do not fit: a gap, and corners on one side that the other one lacks."""
    middle = mesh.vertices[mesh.faces].mean(1)
    piece = np.zeros(len(mesh.faces), int)
    for way in rng.normal(size=(2 + strength, 3)):
        piece = 2 * piece + ((middle - middle.mean(0)) @ way > 0)
    mesh = _torn(mesh, piece, (1e-5, 1e-4, 8e-4)[strength], rng)
    return _border_split(mesh, 0.3, rng), None


def _overlaps(mesh: Mesh, strength: int, rng: Rng) -> tuple[Mesh, Mesh | None]:
    """Closed bodies stuck into it; the truth is their union."""
    import manifold3d as m

    size, whole = surface.diagonal(mesh.vertices), mend.to_manifold(*merged(mesh))
    truth = whole
    for _ in range((1, 2, 4)[strength]):
        at = mesh.vertices[mesh.faces[_by_area(mesh, 1, rng)[0]]].mean(0)
        if rng.random() < 0.5:
            vertices, faces = ball(rng.uniform(0.05, 0.12) * size, at, rng, 2)
        else:
            cube = m.Manifold.cube([1, 1, 1], True).scale(rng.uniform(0.06, 0.2, 3) * size)
            vertices, faces = mend.from_manifold(cube.rotate(rng.uniform(0, 360, 3)).translate(at))
        mesh = _joined(mesh, vertices, faces)
        truth = truth + mend.to_manifold(vertices.astype(np.float32), faces)
    bodies = [mend.from_manifold(piece) for piece in truth.decompose() if piece.volume() > 0]
    out = Mesh(*bodies[0])
    for vertices, faces in bodies[1:]:
        out = _joined(out, vertices, faces)
    return mesh, out


KINDS: dict[str, Kind] = {
    "soup": _soup,
    "pinholes": _pinholes,
    "hole": _hole,
    "slivers": _slivers,
    "crowded edges": _crowded,
    "flipped faces": _flipped,
    "inverted": _inverted,
    "spikes": _spikes,
    "floaters": _floaters,
    "double walls": _shells,
    "cracks": _cracks,
    "overlaps": _overlaps,
}


# --- tools ------------------------------------------------------------------------------------------------------------


def refined(mesh: Mesh, faces: int) -> Mesh:
    """Every face in four until there are at least that many; seams stay closed, bit for bit."""
    while len(mesh.faces) < faces:
        start, end = surface.half_edges(mesh.faces)
        key = np.minimum(start, end) * np.int64(len(mesh.vertices)) + np.maximum(start, end)
        unique, number = np.unique(key, return_inverse=True)
        a, b = np.divmod(unique, len(mesh.vertices))
        middle = (number.reshape(-1, 3) + len(mesh.vertices)).astype(np.int32)
        new = _between(mesh, a, b, np.full(len(a), 0.5))
        (x, y, z), (p, q, r) = mesh.faces.T, middle.T
        four = np.concatenate([np.stack(f, 1) for f in ((x, p, r), (p, y, q), (r, q, z), (p, q, r))])
        parent = np.tile(np.arange(len(mesh.faces)), 4)
        mesh = _with_faces(_faces(_with_vertices(mesh, new), np.zeros(len(parent) // 4, bool)), four, parent, mesh)
    return mesh


def ball(
    radius: float, centre: NDArray[Any], rng: Rng, finer: int = 1
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """A lumpy ball: an octahedron refined."""
    tips = np.concatenate([np.eye(3), -np.eye(3)]).astype(np.float32)
    faces = [(0, 1, 2), (1, 3, 2), (3, 4, 2), (4, 0, 2), (1, 0, 5), (3, 1, 5), (4, 3, 5), (0, 4, 5)]
    mesh = refined(Mesh(tips, np.array(faces, np.int32)), 8 * 4**finer)
    round_ = mesh.vertices / np.linalg.norm(mesh.vertices, axis=1, keepdims=True)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turn[:, 0] *= np.sign(np.linalg.det(turn))
    return (round_ @ turn.T * radius * rng.uniform(0.7, 1.0, 3) + centre).astype(np.float32), mesh.faces


def _by_area(mesh: Mesh, count: int, rng: Rng) -> NDArray[np.int64]:
    area = np.linalg.norm(surface.cross_products(mesh.vertices, mesh.faces), axis=1)
    return rng.choice(len(area), count, p=area / area.sum())


def _faces(mesh: Mesh, chosen: NDArray[Any]) -> Mesh:
    material = None if mesh.face_material is None else mesh.face_material[chosen]
    return mesh.with_(faces=np.ascontiguousarray(mesh.faces[chosen]), face_material=material, quads=0)


def _with_faces(mesh: Mesh, faces: NDArray[Any], like: NDArray[Any], source: Mesh | None = None) -> Mesh:
    """More faces, with the materials of the faces ``like`` (of ``source``)."""
    given = (source or mesh).face_material
    material = (
        None if mesh.face_material is None or given is None else np.concatenate([mesh.face_material, given[like]])
    )
    return mesh.with_(faces=np.concatenate([mesh.faces, faces.astype(np.int32)]), face_material=material, quads=0)


def _between(mesh: Mesh, a: NDArray[Any], b: NDArray[Any], share: Floats) -> dict[str, Any]:
    """Fields of new vertices between vertices a and b."""
    t = share[:, None]
    out = {}
    for name in ("vertices", "uv", "colors"):
        value = getattr(mesh, name)
        if value is not None:
            out[name] = ((1 - t) * value[a] + t * value[b]).astype(np.float32)
    return out


def _with_vertices(mesh: Mesh, new: dict[str, Any]) -> Mesh:
    grown = {name: np.concatenate([getattr(mesh, name), value]) for name, value in new.items()}
    return mesh.with_(**grown, normals=None, seen=None, confidence=None)


def _joined(mesh: Mesh, vertices: NDArray[Any], faces: NDArray[Any]) -> Mesh:
    """With a flat-coloured piece beside it."""
    new: dict[str, Any] = {"vertices": np.asarray(vertices, np.float32)}
    if mesh.uv is not None:
        new["uv"] = np.repeat(mesh.uv[:1], len(vertices), axis=0)
    if mesh.colors is not None:
        new["colors"] = np.full((len(vertices), 3), 0.5, np.float32)
    return _with_faces(_with_vertices(mesh, new), faces + len(mesh.vertices), np.zeros(len(faces), np.int64))


def _unshared(mesh: Mesh) -> Mesh:
    at = mesh.faces.ravel()
    fields = {name: getattr(mesh, name)[at] for name in ("uv", "colors") if getattr(mesh, name) is not None}
    faces = np.arange(len(at), dtype=np.int32).reshape(-1, 3)
    return mesh.with_(vertices=mesh.vertices[at], faces=faces, normals=None, seen=None, confidence=None, **fields)


def _turned(mesh: Mesh, chosen: NDArray[np.bool_]) -> Mesh:
    faces = mesh.faces.copy()
    faces[chosen] = faces[chosen][:, ::-1]
    return mesh.with_(faces=faces, quads=0)


def _opposite(mesh: Mesh, face: NDArray[Any]) -> NDArray[np.int64]:
    """For each face the vertex that lies furthest behind it."""
    used = np.unique(mesh.faces)
    normal, middle = mesh.face_normals()[face], mesh.vertices[mesh.faces[face]].mean(1)
    heights = (mesh.vertices[used][None] - middle[:, None]) @ normal[:, :, None]
    return used[heights[..., 0].argmin(1)].astype(np.int64)


def _torn(mesh: Mesh, piece: NDArray[Any], gap: float, rng: Rng) -> Mesh:
    """Pieces with vertices of their own, each moved as a whole by ``gap`` of the diagonal."""
    total = len(mesh.vertices)
    key = mesh.faces.astype(np.int64) + total * piece[:, None]
    unique, number = np.unique(key, return_inverse=True)
    at, home = unique % total, unique // total
    shift = rng.normal(size=(int(piece.max()) + 1, 3)) / np.sqrt(3) * gap * surface.diagonal(mesh.vertices)
    fields = {name: getattr(mesh, name)[at] for name in ("uv", "colors") if getattr(mesh, name) is not None}
    moved = (mesh.vertices[at] + shift[home]).astype(np.float32)
    faces = number.reshape(-1, 3).astype(np.int32)
    return mesh.with_(vertices=moved, faces=faces, normals=None, seen=None, confidence=None, **fields)


def _border_split(mesh: Mesh, share: float, rng: Rng) -> Mesh:
    """Some open edges halved, which the edge across the crack is not."""
    _, point = merge_map(mesh.vertices)
    edge, _, uses = surface.undirected(point[mesh.faces])
    half = np.flatnonzero((uses[edge] == 1) & (rng.random(len(edge)) < share))
    _, first = np.unique(half // 3, return_index=True)
    half = half[first]
    face, i = half // 3, half % 3
    a, b, c = (mesh.faces[face, (i + k) % 3] for k in range(3))
    new = len(mesh.vertices) + np.arange(len(half))
    grown = _with_vertices(mesh, _between(mesh, a, b, rng.uniform(0.35, 0.65, len(half))))
    keep = np.ones(len(mesh.faces), bool)
    keep[face] = False
    faces = np.concatenate([np.stack([a, new, c], 1), np.stack([new, b, c], 1)])
    return _with_faces(_faces(grown, keep), faces, np.tile(face, 2), mesh)


def sound(mesh: Mesh) -> bool:
    """Whether a mesh can serve as truth: closed, manifold, outward, nothing hidden or cutting."""
    work = Workpiece.of(mesh)
    if surface.pairs(work.faces)[0].size * 2 != 3 * len(work.faces):
        return False
    found = crossings.pairs(work)
    return found is not None and not len(found) and sides.without_inner(work, 0)[1] == 0
