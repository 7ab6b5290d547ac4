"""A missing back or bottom made up: by mirror symmetry where the shape confirms it, else by closing it smoothly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..assets import Mesh
from ..recipe import option
from ..runtime import Runtime
from . import holes, sides, surface, weld
from .crossings import manifold_of, resolved, returned, settled
from .fairing import faired
from .workpiece import Bools, Floats, Workpiece

#: Points at which a plane of symmetry is judged, and offsets tried along each of its directions.
_POINTS, _OFFSETS = 500, 41
#: A point agrees when its mirror image is this near the surface (share of the diagonal).
_NEAR = 0.012
#: A plane holds when so large a share of the points agree, and of those whose image does not lie beyond a rim.
_EVIDENCE, _AGREE = 0.2, 0.93
#: ... and so large a share of the images lies beyond an opening: otherwise it has nothing to give.
_BEYOND = 0.04
#: How far a mirrored part reaches into what is there, as a share of the diagonal.
_INTO = 0.01


@dataclass(frozen=True)
class CompleteOptions:
    """How a missing side is made up."""

    wanted: bool = option(False, "make up a missing back, side or bottom before mending", "complete")
    missing: float = option(0.1, "openings from this size on (share of the diagonal) are missing sides", "", 0, 1)
    symmetry: bool = option(True, "mirror what is there where the shape is symmetric")


@dataclass(frozen=True)
class Mirror:
    """A plane normal . p = offset; evidence: share of the points that agree; agree: of those that could; beyond: share
    of the points whose image lies beyond an opening."""

    normal: Floats
    offset: float
    evidence: float
    agree: float
    beyond: float

    def reflect(self, points: Floats) -> Floats:
        """Mirror images of points (N, 3)."""
        return points - 2 * (points @ self.normal - self.offset)[:, None] * self.normal


def complete(options: CompleteOptions, runtime: Runtime) -> Callable[[Mesh], Mesh]:
    """Refiner: openings of an otherwise sound surface closed by what symmetry says lies there, else smoothly.

    New vertices get ``seen`` 0, faces that stay keep their attributes bit for bit. metadata["complete"] says how:
    method (none, mirror, smooth), openings, the plane, and the share of the area that was invented.
    """

    def run(mesh: Mesh) -> Mesh:
        work = weld.without_degenerate(weld.welded(Workpiece.of(mesh), 2e-3))
        work = sides.manifold(work, runtime.seed)
        rims = [rim for rim in holes.rims(work) if rim.extent(work.points) >= options.missing * work.size]
        facts: dict[str, Any] = {"method": "none", "openings": len(rims)}
        if not rims:
            return mesh.with_(metadata={**mesh.metadata, "complete": facts})
        mirror = mirror_of(work, rims, runtime.seed) if options.symmetry else None
        found = _mirrored(work, rims, mirror) if mirror else None
        if found and mirror:
            facts |= {
                "method": "mirror",
                "plane": [*mirror.normal.tolist(), float(mirror.offset)],
                "agree": mirror.agree,
            }
        else:
            facts["method"] = "smooth"
            closed = settled(faired(holes.filled(work, holes.rims(work)), len(work.faces)))
            found = closed, closed.source < 0
        done, invented = found
        facts["invented"] = round(float(done.areas[invented].sum() / done.areas.sum()), 4)
        return unseen(done.mesh(mesh), invented).with_(metadata={**mesh.metadata, "complete": facts})

    return run


def unseen(mesh: Mesh, faces: Bools) -> Mesh:
    """With ``seen`` 0 at vertices that only the given faces (F,) use."""
    seen = np.ones(len(mesh.vertices), np.float32) if mesh.seen is None else mesh.seen.copy()
    only = np.ones(len(mesh.vertices), bool)
    only[mesh.faces[~faces]] = False
    seen[only] = 0
    return mesh.with_(seen=seen)


def mirror_of(work: Workpiece, rims: list[holes.Rim], seed: int) -> Mirror | None:
    """The plane of symmetry that the open surface confirms best, or None.

    Tried are the axes of the frame and of inertia at many offsets. An image agrees when it lies on the surface; one
    that lies beyond an opening (its nearest place is the rim) says nothing; any other speaks against the plane.
    """
    judge = _Judge(work, rims, seed)
    offsets = np.linspace(0.15, 0.85, _OFFSETS)
    best: Mirror | None = None
    for normal in judge.directions():
        low, high = np.quantile(judge.points @ normal, [0, 1])
        planes = [judge(normal, float(low + share * (high - low))) for share in offsets]
        top = max(planes, key=lambda plane: plane.evidence * plane.agree)
        top = judge.fitted(top)
        holds = top.evidence >= _EVIDENCE and top.agree >= _AGREE and top.beyond >= _BEYOND
        if holds and (best is None or top.agree > best.agree):
            best = top
    return best


class _Judge:
    """Points on the surface and on its openings, to try planes on."""

    def __init__(self, work: Workpiece, rims: list[holes.Rim], seed: int) -> None:
        from scipy.spatial import cKDTree

        rng = np.random.default_rng(seed)
        share = np.cumsum(work.areas)
        face = np.minimum(np.searchsorted(share, rng.random(40_000) * share[-1]), len(share) - 1)
        weight = rng.dirichlet((1.0, 1.0, 1.0), len(face))
        spread = np.einsum("ij,ijk->ik", weight, work.points[work.faces[face]])
        self.points, self.spread, self.size = spread[:_POINTS], spread, work.size
        normal = surface.cross_products(work.points, work.faces[face])
        self.normals = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-300)
        self.tree, self.coarse = cKDTree(spread), cKDTree(spread[:4000])
        edge = np.concatenate([work.points[rim.points] for rim in rims])
        after = np.concatenate([work.points[np.roll(rim.points, -1)] for rim in rims])
        self.rim = cKDTree(np.concatenate([edge, (edge + after) / 2]))

    def directions(self) -> Floats:
        """Unit normals to try."""
        axes = np.linalg.eigh(np.cov(self.points.T))[1].T
        return np.concatenate([np.eye(3), axes])

    def __call__(self, normal: Floats, offset: float) -> Mirror:
        image = Mirror(normal, offset, 0, 0, 0).reflect(self.points)
        agrees = np.isfinite(self.tree.query(image, distance_upper_bound=_NEAR * self.size)[0])
        beyond = ~agrees
        gap = self.coarse.query(image[~agrees])[0]
        beyond[~agrees] = self.rim.query(image[~agrees])[0] < 1.15 * gap + _NEAR * self.size
        # points near the plane are their own images and say little
        counts = np.abs(self.points @ normal - offset) > 3 * _NEAR * self.size
        told = agrees & counts
        agree = float(told.sum() / max((counts & ~beyond).sum(), 1))
        return Mirror(normal, offset, float(told.mean()), agree, float(beyond.mean()))

    def fitted(self, plane: Mirror) -> Mirror:
        """The plane with the offset at which images lie in the tangents of the places nearest to them."""
        offset = plane.offset
        for _ in range(8):
            image = Mirror(plane.normal, offset, 0, 0, 0).reflect(self.points)
            gap, near = self.tree.query(image)
            slope = 2 * (self.normals[near] @ plane.normal)
            error = np.einsum("ij,ij->i", image - self.spread[near], self.normals[near])
            told = gap < _NEAR * self.size
            weight = float((slope[told] ** 2).sum())
            if weight < 1e-9:
                break
            offset -= float((error[told] * slope[told]).sum()) / weight
        return self(plane.normal, offset)


def _mirrored(work: Workpiece, rims: list[holes.Rim], mirror: Mirror) -> tuple[Workpiece, Bools] | None:
    """The surface closed and united with the part of its mirror image beyond each opening; which faces are invented.

    None where the parts make no solid, or the image adds nothing.
    """
    import manifold3d as m

    closed = settled(holes.filled(work, holes.rims(work)))
    whole = manifold_of(closed, np.arange(len(closed.faces)))
    image = closed.with_(points=mirror.reflect(closed.points)).flipped(np.ones(len(closed.faces), bool))
    count = len(closed.faces)
    other = manifold_of(image, np.arange(count), first=count)
    if m.Error.NoError not in (whole.status(), other.status()) or whole.status() != other.status():
        return None
    parts = [other.trim_by_plane(*_beyond(work, rim)) for rim in rims]
    union = m.Manifold.batch_boolean([whole, *parts], m.OpType.Add).simplify(2e-6 * work.size)
    body = max(union.decompose(), key=lambda piece: piece.volume(), default=None)
    if body is None or body.volume() < 1.02 * whole.volume():
        return None
    both = closed.extended(image.faces + len(closed.points), image.points, image.source, image.corner)
    out = returned(both, both.kept(np.zeros(0, np.int64)), body.to_mesh64())
    origin = np.asarray(body.to_mesh64().face_id).astype(np.int64)
    invented = (origin >= count) | (both.source[origin] < 0)
    known = _known(out)
    done, _ = resolved(settled(out.compacted()))
    return done, _looked_up(known, invented, done)


def _known(work: Workpiece) -> Floats:
    return np.asarray(work.points[work.faces].mean(1))


def _looked_up(middles: Floats, values: Bools, work: Workpiece) -> Bools:
    """The values of the faces whose middles are nearest to those of the work's faces."""
    from scipy.spatial import cKDTree

    return np.asarray(values[cKDTree(middles).query(_known(work))[1]])


def _beyond(work: Workpiece, rim: holes.Rim) -> tuple[tuple[float, ...], float]:
    """The half-space beyond an opening: unit normal and offset of the plane through its rim, a little inward."""
    p = work.points[rim.points]
    normal = np.cross(p - p.mean(0), np.roll(p, -1, axis=0) - p.mean(0)).sum(0)
    normal /= max(float(np.linalg.norm(normal)), 1e-300)
    return tuple(normal.tolist()), float((p @ normal).mean() - _INTO * work.size)
