"""Any mesh -> quads of even size that follow its form: pure or dominant, symmetry kept, drawn back to the source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..assets import Mesh
from ..recipe import option
from ..render import smooth_normals
from ..runtime import Runtime, need
from ..topology import components, merged
from . import mend, surface
from .deviation import Yardstick, spread
from .field_quads import field_quads
from .nearest import Nearest
from .polygons import Polygons, paired, regularity, subdivided
from .reduce import ReduceOptions, reduce
from .settle import Ground, Held, crossings, settled
from .walking import completed

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

#: Parts that fall to fewer polygons than this are made by pairing triangles.
_FEW = 120
#: A plane is kept when so many points' mirror images lie this near (share of the diagonal).
_MIRRORED, _NEAR = 0.99, 0.002
#: Quads that follow the field are taken when nothing of the source is farther from them than this share of its
#: diagonal, or of the usual edge where that is more.
_FARTHEST, _OF_EDGE = 0.02, 0.8
#: Triangles walk through quads that stay at least so square, 1 is a rectangle; less so where none may be left.
_SQUARE, _FAIR, _SKEW = 0.5, 0.3, 0.02
#: How far they may walk where others may stay, and how many times as long the last ones are looked for elsewhere.
_NEARBY, _PATIENCE = 4.0, 6


@dataclass(frozen=True)
class RetopoOptions:
    """What quads are made."""

    kind: Literal["none", "dominant", "pure"] = option(
        "none",
        "a new surface of quads: mostly quads, which follows the form better (dominant), or nothing else (pure); they "
        "stay whole in OBJ, PLY and USD (extra quads)",
        "quads",
        bare="dominant",
    )
    faces: int = option(5000, "about so many of them", "quad_count", 8, 500_000)
    symmetry: Literal["auto", "none"] = option("auto", "keep a plane of symmetry where there is one")
    crease_deg: float = option(30.0, "edges bent more than this are kept sharp", "", 0, 180)

    @property
    def wanted(self) -> bool:
        """Whether quads are asked for."""
        return self.kind != "none"


def retopo(options: RetopoOptions, runtime: Runtime) -> Callable[[Mesh], Mesh]:
    """Refiner: a new mesh of quads over the same surface, ``Mesh.quads`` set; positions and smooth normals alone (see
    ``transfer`` for the rest).

    Each part is laid out along a field of directions by Instant Meshes (extra ``quads``), mended, its triangles walked
    to each other and joined (see module ``walking``), and drawn to the source's nearest points and sharp edges. Small
    parts, open ones, and those that come back broken or farther than 2 % of the diagonal from the source, are reduced
    instead, their triangles paired and divided into quads (more of them than asked for where fewer would make the
    surface cut itself). "pure": a quarter as many polygons are divided into quads; where that fails, all triangles are
    walked away. A mirror plane through the middle, across an axis, is kept exactly: one half is made, and mirrored.
    What is closed and manifold stays so.

    metadata["retopo"]: quads (share of faces), valence4 (share of vertices), aspect, squareness (see ``Regularity``),
    deviation both ways (see ``Deviation``), flipped (faces that look away from the source), symmetry (axis or null),
    parts by the field and by pairing. "none" gives the mesh back as it is. Raises MissingExtraError without the extra.
    """
    if options.wanted:
        need("pyinstantmeshes", "quads")

    def run(mesh: Mesh) -> Mesh:
        if not options.wanted:
            return mesh
        mesh.validate()
        points, faces = merged(mesh)
        source = Mesh(points, faces)
        axis = _mirror_axis(source) if options.symmetry == "auto" and _is_closed(faces, len(points)) else None
        made, ways = _made(source, axis, options, runtime)
        runtime.progress("retopo", 0.9)
        out = made.mesh(mesh.name)
        out = out.with_(normals=smooth_normals(out), metadata=mesh.metadata)
        facts = _facts(out, source) | ways
        return out.with_(metadata={**mesh.metadata, "retopo": facts})

    return run


def _facts(out: Mesh, source: Mesh) -> dict[str, Any]:
    """Statistics of the quads and their likeness to the source."""
    places = Nearest(source)(out.vertices[out.faces].mean(1), out.face_normals())
    figures = {name: round(value, 4) for name, value in vars(regularity(out)).items()}
    return {
        "faces": out.quads + len(out.faces) - 2 * out.quads,
        **figures,
        "deviation": Yardstick(source)(out).facts(),
        "flipped": int((~places.like).sum()),
    }


def _is_closed(faces: NDArray[np.integer[Any]], count: int) -> bool:
    twin = surface.twins(faces)
    return twin is not None and not surface.pinched(faces, twin, count)


@dataclass(frozen=True)
class _Part:
    """One part to be made: ``mesh`` (a half is open at the mirror plane), the same closed, what it is drawn to, and
    the plane's axis and place, None for whole parts."""

    mesh: Mesh
    closed: Mesh
    ground: Ground
    axis: int | None
    middle: float

    def held(self, polygons: Polygons) -> Held:
        """The border stays, in the plane where there is one."""
        return Held(_on_border(polygons), self.axis, self.middle, 0.05 * _step(polygons))


def _made(source: Mesh, axis: int | None, options: RetopoOptions, runtime: Runtime) -> tuple[Polygons, dict[str, Any]]:
    """The polygons of all parts, and how many parts were made which way."""
    label = components(source.faces)
    area = np.linalg.norm(surface.cross_products(source.vertices, source.faces), axis=1) / 2
    parts, ways, mirrored = [], {"by_field": 0, "by_pairing": 0}, axis is not None
    for k in range(int(label.max()) + 1):
        kept, old = surface.compact(source.faces[label == k], len(source.vertices))
        mesh = Mesh(source.vertices[old], kept)
        budget = max(int(options.faces * area[label == k].sum() / max(area.sum(), 1e-300)), 4)
        polygons, way, halved = _of_part(mesh, budget, axis, options, runtime)
        parts.append(polygons)
        ways[way] += 1
        mirrored &= halved
    return _joined(parts), {"symmetry": "xyz"[axis] if mirrored and axis is not None else None, **ways}


def _of_part(
    mesh: Mesh, budget: int, axis: int | None, options: RetopoOptions, runtime: Runtime
) -> tuple[Polygons, str, bool]:
    """Polygons of one part, the way they were made, and whether mirrored: along the field, mirrored or else whole;
    else paired."""
    ground = Ground(mesh)
    whole = _Part(mesh, mesh, ground, None, 0.0)
    half = None if axis is None else _half(mesh, axis, ground)
    ways = [part for part in (half, whole) if part is not None]
    closed = _is_closed(mesh.faces, len(mesh.vertices))
    for part in ways:
        share = budget // 2 if part is half else budget
        found = _along_field(part, share, options, runtime) if closed and share >= _FEW else None
        if found is not None:
            return found, "by_field", part is half
    if half is not None:
        paired_half = _by_pairs(half, budget // 2, runtime)
        if _whole(paired_half) and not len(crossings(paired_half)):
            return paired_half, "by_pairing", True
    return _by_pairs(whole, budget, runtime), "by_pairing", False


def _along_field(part: _Part, budget: int, options: RetopoOptions, runtime: Runtime) -> Polygons | None:
    """Polygons that follow the field, or None where they are not whole, cut themselves, or miss the source."""
    if options.kind == "pure":
        quarter = _field(part, budget // 4, options, runtime)
        divided = None if quarter is None else _drawn(subdivided(quarter), part)
        if divided is not None:
            return divided
    found = _field(part, budget, options, runtime)
    if found is None:
        return None
    if options.kind == "pure":
        return _pure(found, part)
    return _drawn(completed(found, _SQUARE, farthest=_NEARBY), part) or _drawn(found, part)


def _field(part: _Part, target: int, options: RetopoOptions, runtime: Runtime) -> Polygons | None:
    """About ``target`` polygons along the field, as they come, open where a half was cut; None where it fails."""
    crease = options.crease_deg if options.crease_deg < 180 else -1.0
    closed = part.closed
    if part.axis is not None:  # the cut has to be covered too, and that will be thrown away
        target = int(target * _area(closed) / max(_area(part.mesh), 1e-300))
    found = field_quads(closed.vertices.astype(np.float64), closed.faces.astype(np.int64), target, crease, runtime)
    return found if found is None or part.axis is None else _uncapped(found, part.axis, part.middle)


def _pure(polygons: Polygons, part: _Part) -> Polygons | None:
    """All triangles walked away: those that leave fair quads before all is drawn to the ground, the last ones after;
    else all after. None as of ``_along_field``, and where one is left."""
    for start in (completed(polygons, _FAIR), polygons):
        drawn = _drawn(start, part)
        if drawn is not None and len(drawn.triangles):
            drawn = _checked(completed(completed(drawn, _FAIR), _SKEW, _PATIENCE), part.ground)
        if drawn is not None and not len(drawn.triangles):
            return drawn
    return None


def _drawn(polygons: Polygons, part: _Part) -> Polygons | None:
    """Polygons on the ground, mirrored where they are a half; None as of ``_along_field``."""
    drawn = settled(polygons, part.ground, part.held(polygons))
    return _checked(drawn if part.axis is None else _mirrored(drawn, part.axis, part.middle), part.ground)


def _checked(polygons: Polygons, ground: Ground) -> Polygons | None:
    """The polygons if they are whole, do not cut themselves and lie near the ground."""
    return polygons if _whole(polygons) and not len(crossings(polygons)) and _near(polygons, ground) else None


def _by_pairs(part: _Part, budget: int, runtime: Runtime) -> Polygons:
    """Quads by reduction to half as many triangles, pairing, and division of every pair and triangle left."""
    for more in (1, 2, 4):
        fewer = reduce(ReduceOptions(faces=max(more * budget // 2, 4)), runtime)(part.mesh)
        if not fewer.metadata["reduce"].get("new_self_intersections"):
            break
    polygons = subdivided(paired(fewer.vertices.astype(np.float64), fewer.faces.astype(np.int64)))
    if 4 * polygons.count <= 1.5 * budget:
        polygons = subdivided(polygons)
    polygons = settled(polygons, part.ground, part.held(polygons))
    return polygons if part.axis is None else _mirrored(polygons, part.axis, part.middle)


def _area(mesh: Mesh) -> float:
    return float(np.linalg.norm(surface.cross_products(mesh.vertices, mesh.faces), axis=1).sum() / 2)


def _whole(polygons: Polygons) -> bool:
    """Whether this is one closed manifold."""
    halves = polygons.halves
    return len(halves) >= 4 and int(components(halves).max()) == 0 and _is_closed(halves, len(polygons.points))


def _uncapped(polygons: Polygons, axis: int, middle: float) -> Polygons | None:
    """Without what covers the cut; the rim drawn into the plane. None when nothing is left."""
    points = polygons.points.copy()
    away = np.abs(points[:, axis] - middle) / _step(polygons)
    quads, triangles = (f[~_covers(points, f, away, axis)] for f in (polygons.quads, polygons.triangles))
    for _ in range(4):
        left = Polygons(points, quads, triangles)
        if not left.count:
            return None
        rim = _on_border(left)
        points[rim, axis] = middle
        lying = [rim[f].sum(1) for f in (quads, triangles)]
        if (lying[0] < 3).all() and (lying[1] < 3).all():
            break
        three = quads[lying[0] == 3]  # the corner between two on the rim goes: it would meet its own mirror image
        first = (~rim[three]).argmax(1)
        cut = np.stack([three[np.arange(len(three)), (first + k) % 4] for k in (0, 1, 3)], 1)
        quads, triangles = quads[lying[0] < 3], np.concatenate([triangles[lying[1] < 3], cut])
    used = np.unique(left.halves)
    number = np.full(len(points), -1)
    number[used] = np.arange(len(used))
    return Polygons(points[used], number[left.quads], number[left.triangles])


def _covers(points: Floats, polygons: Ints, away: Floats, axis: int) -> NDArray[np.bool_]:
    """Which polygons (N, 3 or 4) cover the cut: in the plane, or near it and along it; away: distances in steps."""
    far = away[polygons].max(1)
    normal = np.cross(points[polygons[:, 2]] - points[polygons[:, 0]], points[polygons[:, -1]] - points[polygons[:, 1]])
    along = np.abs(normal[:, axis]) > 0.75 * np.linalg.norm(normal, axis=1)
    return np.asarray((far < 0.3) | ((far < 0.8) & along))


def _on_border(polygons: Polygons) -> NDArray[np.bool_]:
    """Points (P,) on borders."""
    halves = polygons.halves
    alone = np.ones(halves.size, bool)
    alone[np.concatenate(surface.pairs(halves))] = False
    out = np.zeros(len(polygons.points), bool)
    for ends in surface.half_edges(halves):
        out[ends[alone]] = True
    return out


def _near(polygons: Polygons, ground: Ground) -> bool:
    """Whether nothing of the ground is far from the polygons, and nothing of them from it."""
    mesh = Mesh(polygons.points.astype(np.float32), polygons.halves.astype(np.int32))
    there = Nearest(mesh, 0)(spread(ground.mesh, 4000)).distance.max()
    back = ground.nearest(spread(mesh, 4000)).distance.max()
    return bool(max(there, back) <= max(_FARTHEST * ground.size, _OF_EDGE * _step(polygons)))


def _step(polygons: Polygons) -> float:
    """The usual length of an edge."""
    start, end = surface.half_edges(polygons.halves)
    return float(np.median(np.linalg.norm(polygons.points[start] - polygons.points[end], axis=1)))


def _joined(parts: list[Polygons]) -> Polygons:
    """Several as one."""
    starts = np.cumsum([0, *(len(p.points) for p in parts)])
    return Polygons(
        np.concatenate([p.points for p in parts]),
        np.concatenate([p.quads + s for p, s in zip(parts, starts, strict=False)]),
        np.concatenate([p.triangles + s for p, s in zip(parts, starts, strict=False)]),
    )


def _mirror_axis(mesh: Mesh) -> int | None:
    """0, 1 or 2 where the plane through the middle across that axis mirrors the mesh; x before z before y."""
    nearest, points = Nearest(mesh), spread(mesh, 3000)
    middle = mesh.bounds.astype(np.float64).mean(0)
    for axis in (0, 2, 1):
        there = points.copy()
        there[:, axis] = 2 * middle[axis] - there[:, axis]
        if (nearest(there).distance <= _NEAR * nearest.size).mean() >= _MIRRORED:
            return axis
    return None


def _half(mesh: Mesh, axis: int, ground: Ground) -> _Part | None:
    """The part beyond the middle, its rim exactly on the plane; None when the part cannot be cut there."""
    import manifold3d

    body = mend.to_manifold(mesh.vertices, mesh.faces)
    if body.status() != manifold3d.Error.NoError:
        return None
    middle = float(mesh.bounds[:, axis].astype(np.float64).mean())
    normal = [0.0, 0.0, 0.0]
    normal[axis] = 1.0
    vertices, faces = mend.from_manifold(body.trim_by_plane(normal, middle))
    if len(faces) < 4:
        return None
    on = np.abs(vertices[:, axis] - middle) <= 1e-5 * ground.size
    vertices[on, axis] = middle
    kept, old = surface.compact(faces[~on[faces].all(1)], len(vertices))
    rim = np.ones(kept.size, bool)
    rim[np.concatenate(surface.pairs(kept))] = False
    ends = np.concatenate([e[rim] for e in surface.half_edges(kept)])
    if not len(kept) or not on[old][ends].all():
        return None
    return _Part(Mesh(vertices[old], kept), Mesh(vertices, faces), ground, axis, middle)


def _mirrored(polygons: Polygons, axis: int, middle: float) -> Polygons:
    """Both halves of a part, joined along the plane."""
    points = polygons.points
    there = points.copy()
    there[:, axis] = 2 * middle - there[:, axis]
    on = _on_border(polygons) & (points[:, axis] == middle)
    number = np.where(on, np.arange(len(points)), len(points) + np.arange(len(points)))
    along = on[polygons.quads[:, [0, 2]]].all(1)  # a diagonal in the plane would be one with its own mirror image
    quads = np.where(along[:, None], np.roll(polygons.quads, -1, 1), polygons.quads)
    return Polygons(
        np.concatenate([points, there]),
        np.concatenate([quads, number[quads[:, [0, 3, 2, 1]]]]),
        np.concatenate([polygons.triangles, number[polygons.triangles[:, ::-1]]]),
    )
