"""The mesh as a thing in the world: how thick its walls are, what hangs over, whether it stands, where it lies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..assets import Mesh
from ..render import Scene

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Rays by which walls are measured: 1 in 8,192 of the surface is the finest share that can be told.
_RAYS = 8192
#: Surfaces that a ray passes through before it gives up finding the far side of the wall it started in.
_LAYERS = 8
#: Of the height: what lies this close to the lowest point touches the floor (or the printer's bed).
_CONTACT = 0.01
#: Faces turned further down than this hang over: the cosine of 45 degrees.
_OVERHANG = 0.7071
#: A pose counts as stable when the thing can lean this far before it tips, in degrees.
STABLE_DEG = 5.0
#: Percentiles that are told of walls.
PERCENTILES = (1, 5, 50)

#: Directions that could be up, in the order of belief: the file's own first.
_UPS = {"+Y": (0, 1, 0), "+Z": (0, 0, 1), "-Z": (0, 0, -1), "+X": (1, 0, 0), "-X": (-1, 0, 0), "-Y": (0, -1, 0)}


@dataclass(frozen=True)
class Walls:
    """Wall thickness along the inward normal, from rays spread evenly over the surface.

    thickness: (N,) in the mesh's unit, sorted, of the rays that found the far side of their wall. measured: their
    share of all; low where the surface is open, or inside out.
    """

    thickness: Floats
    measured: float

    def percentiles(self) -> dict[str, float]:
        """Thickness that 1, 5 and 50 % of the surface stay below: {"p1": ..}; empty when nothing was measured."""
        if not len(self.thickness):
            return {}
        values = np.percentile(self.thickness, PERCENTILES)
        return {f"p{p}": float(value) for p, value in zip(PERCENTILES, values, strict=True)}

    def below(self, limit: float) -> float:
        """Share of the measured surface whose wall is thinner than ``limit``."""
        return float(np.searchsorted(self.thickness, limit)) / max(len(self.thickness), 1)


@dataclass(frozen=True)
class Pose:
    """How it stands. tipping_deg: the smallest lean that makes it fall, 0 when it does not stand at all.

    off_centre: distance of the bounding box's middle from the vertical axis, and off_floor: height of the lowest point
    over y = 0, as shares of the longest side. contact: share of the footprint's bounding box that the touching points
    span. up: the direction that looks like up ("+Y" unless another stands and this one does not).
    """

    tipping_deg: float
    off_centre: float
    off_floor: float
    contact: float
    up: str


def walls(scene: Scene, outward: float, rays: int = _RAYS) -> Walls:
    """Measure wall thickness; outward is -1 for a mesh that is inside out, else 1.

    Shape diameter by single rays (after Shapira, Shamir and Cohen-Or 2008): a ray leaves the wall where it has left
    as many parts as it has entered, so overlapping parts count as one piece of material.
    """
    points, _, normals = sampled(scene.mesh, rays)
    normals = normals * outward
    step = 1e-5 * float(np.ptp(scene.mesh.bounds, axis=0).max())
    above = scene.cast(points + normals * step, normals)
    bare = ~above.found | (above.front == (outward > 0))  # the others lie inside another part
    points, normals = points[bare], normals[bare]
    travelled, depth = np.full(len(points), step), np.ones(len(points), int)
    done = np.zeros(len(points), bool)
    index = np.arange(len(points))
    for _ in range(_LAYERS):
        hits = scene.cast(points[index] - normals[index] * travelled[index, None], -normals[index])
        index, hits = index[hits.found], hits.at(hits.found)
        travelled[index] += hits.distance + step
        depth[index] += np.where(hits.front == (outward > 0), 1, -1)
        done[index[depth[index] == 0]] = True
        index = index[depth[index] > 0]
    return Walls(np.sort(travelled[done] - step), float(done.mean()) if len(done) else 0.0)


def sampled(mesh: Mesh, count: int) -> tuple[Floats, Ints, Floats]:
    """Points (N, 3) spread evenly over the surface, their faces (N,) and unit normals (N, 3); always the same."""
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    double = np.linalg.norm(cross, axis=1)
    total = np.cumsum(double)
    i = np.arange(count)
    face = np.minimum(np.searchsorted(total, (i + 0.5) / count * total[-1], side="right"), len(double) - 1)
    u, v = (i * 0.7548776662466927) % 1, (i * 0.5698402909980532) % 1  # the plastic number: Roberts' R2 sequence
    folded = u + v > 1
    u, v = np.where(folded, 1 - u, u)[:, None], np.where(folded, 1 - v, v)[:, None]
    a, b, c = (corners[face, k] for k in range(3))
    normals = cross[face] / np.maximum(double[face], 1e-300)[:, None]
    return a + u * (b - a) + v * (c - a), face, normals


def overhang(mesh: Mesh, outward: float) -> float:
    """Share of the surface that looks down steeper than 45 degrees and does not lie on the bed."""
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) * outward
    area = np.linalg.norm(cross, axis=1)
    low = corners[..., 1].min()
    lifted = corners[..., 1].max(1) > low + _CONTACT * np.ptp(corners[..., 1])
    hanging = (cross[:, 1] < -_OVERHANG * area) & lifted
    return float(area[hanging].sum() / max(area.sum(), 1e-300))


def pose(mesh: Mesh, watertight: bool) -> Pose:
    """How the mesh stands and lies; the centre of mass is the solid's when it is watertight, else the surface's."""
    low, high = mesh.bounds.astype(np.float64)
    longest = max(float((high - low).max()), 1e-30)
    centre = _centre_of_mass(mesh, watertight)
    stands = {name: _tipping(mesh, centre, np.array(up, float)) for name, up in _UPS.items()}
    up = "+Y"
    if stands["+Y"][0] < STABLE_DEG:
        better = max(stands, key=lambda name: stands[name][0])
        up = better if stands[better][0] >= 3 * STABLE_DEG else up
    middle = (low + high) / 2
    return Pose(
        tipping_deg=stands["+Y"][0],
        off_centre=float(np.hypot(middle[0], middle[2]) / longest),
        off_floor=float(low[1] / longest),
        contact=stands["+Y"][1],
        up=up,
    )


def _centre_of_mass(mesh: Mesh, solid: bool) -> Floats:
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    middle = mesh.bounds.astype(np.float64).mean(0)
    a, b, c = (corners[:, k] - middle for k in range(3))
    cross = np.cross(b - a, c - a)
    weight = np.einsum("ij,ij->i", a, cross) if solid else np.linalg.norm(cross, axis=1)
    if abs(weight.sum()) < 1e-300:
        return np.asarray(middle)
    divisor = 4.0 if solid else 3.0
    return np.asarray(middle + ((a + b + c) / divisor * weight[:, None]).sum(0) / weight.sum())


def _tipping(mesh: Mesh, centre: Floats, up: Floats) -> tuple[float, float]:
    """Degrees to lean until it falls, standing with ``up`` up, and the share of the footprint's box it touches."""
    from scipy.spatial import ConvexHull, QhullError

    heights = mesh.vertices @ up
    low, tall = float(heights.min()), float(np.ptp(heights))
    across = np.flatnonzero(up == 0)
    feet = mesh.vertices[heights <= low + _CONTACT * tall][:, across].astype(np.float64)
    try:
        hull = ConvexHull(feet)
    except (QhullError, ValueError):  # a point or a line
        return 0.0, 0.0
    inside = float(-(hull.equations[:, :2] @ centre[across] + hull.equations[:, 2]).max())
    lean = np.degrees(np.arctan2(inside, max(float(centre @ up) - low, 1e-30)))
    box = np.ptp(mesh.vertices[:, across].astype(np.float64), axis=0).prod()
    return max(float(lean), 0.0), float(hull.volume / max(box, 1e-30))


def printable(walls: Walls, longest: float, thinnest_mm: float) -> float | None:
    """Longest side in mm from which on 99 % of the surface has walls of ``thinnest_mm``; None when not measured."""
    found: Mapping[str, float] = walls.percentiles()
    return thinnest_mm * longest / found["p1"] if found.get("p1") else None
