"""On which sides a body comes to rest when it is dropped: hull, centre of mass, and the chance of every resting side.

References
    Goldberg, Mirtich, Zhuang, Craig, Carlisle, Canny, "Part pose statistics: estimators and experiments", IEEE
    Transactions on Robotics and Automation 15(5), 1999: a body that lands on a facet rolls from facet to facet, always
    lowering its centre of mass; a facet is hit with the share of the sphere that it covers, seen from that centre.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..assets import Mesh
from ..topology import health

Floats = NDArray[np.float64]

#: Facets this near in direction are one side (cosine of 4 degrees).
_ONE_SIDE = 0.9976
#: Flat bodies are thickened by this share of their diagonal so that they have a hull.
_THIN = 1e-4
#: Sides that are told apart; a ball has more, and none matters.
_MOST = 40


@dataclass(frozen=True)
class Rest:
    """Sides that a body can lie on.

    down (K, 3): unit outward normals of the sides, likeliest first. chance (K,): probability of coming to rest there.
    cover (K,): share of the sphere that the side covers, rolling left aside. centre (3,): of mass. solid: whether that
    is the solid's, and not that of its hull because the surface is open. hull (M, 3): corners of the hull.
    """

    down: Floats
    chance: Floats
    cover: Floats
    centre: Floats
    solid: bool
    hull: Floats


def rest(mesh: Mesh) -> Rest:
    """The sides of the mesh's convex hull with their chances; deterministic."""
    from scipy.spatial import ConvexHull

    points = _hull_points(mesh)
    hull = ConvexHull(points)
    normals = hull.equations[:, :3]
    corners = points[hull.simplices]
    centre, solid = centre_of_mass(mesh, corners, normals)
    cover = _solid_angles(corners - centre) / (4 * np.pi)
    end = _rolled(corners, normals, hull.neighbors, centre)
    chance = np.bincount(end, cover, len(cover)).astype(np.float64)
    return _sides(normals, chance, cover, centre, solid, points[hull.vertices])


def centre_of_mass(mesh: Mesh, corners: Floats, normals: Floats) -> tuple[Floats, bool]:
    """Centre (3,) of the solid, or of the hull (corners (N, 3, 3), outward normals) when the surface does not close."""
    found = health(mesh, intersection_limit=0)
    if found.manifold and found.outward:
        own = mesh.vertices[mesh.faces].astype(np.float64)
        if (centre := _centroid(own, np.ones(len(own)))) is not None:
            return centre, True
    # Qhull's triangles are not wound: the outward normal says which way round they are.
    turned = np.sign(
        np.einsum("ij,ij->i", np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), normals)
    )
    centre = _centroid(corners, turned)
    return (corners.reshape(-1, 3).mean(0) if centre is None else centre), False


def _centroid(corners: Floats, sign: Floats) -> Floats | None:
    """Of the volume inside triangles (N, 3, 3); None where that is nothing to speak of."""
    origin = corners.reshape(-1, 3).mean(0)
    a, b, c = np.moveaxis(corners - origin, 1, 0)
    volume = sign * np.einsum("ij,ij->i", a, np.cross(b, c)) / 6
    total = volume.sum()
    if total <= 1e-9 * float(np.ptp(corners.reshape(-1, 3), axis=0).max()) ** 3:
        return None
    centre: Floats = origin + (volume[:, None] * (a + b + c)).sum(0) / (4 * total)
    return centre


def _hull_points(mesh: Mesh) -> Floats:
    """The distinct vertices in use, thickened where they lie in one plane or line."""
    points = np.unique(mesh.vertices[np.unique(mesh.faces)], axis=0).astype(np.float64)
    centred = points - points.mean(0)
    spread, axes = np.linalg.eigh(centred.T @ centred / len(points))
    size = float(np.linalg.norm(np.ptp(points, axis=0)))
    for axis in axes.T[np.sqrt(np.maximum(spread, 0)) < _THIN * size]:
        points = np.concatenate([points + _THIN * size * axis, points - _THIN * size * axis])
    return points


def _solid_angles(corners: Floats) -> Floats:
    """Of triangles (N, 3, 3) seen from the origin (Van Oosterom and Strackee 1983)."""
    a, b, c = np.moveaxis(corners, 1, 0)
    la, lb, lc = (np.linalg.norm(x, axis=1) for x in (a, b, c))
    top = np.abs(np.einsum("ij,ij->i", a, np.cross(b, c)))
    below = la * lb * lc + (a * b).sum(1) * lc + (b * c).sum(1) * la + (c * a).sum(1) * lb
    angles: Floats = 2 * np.arctan2(top, below)
    return angles


def _rolled(corners: Floats, normals: Floats, neighbours: NDArray[np.int32], centre: Floats) -> NDArray[np.int64]:
    """The triangle on which a body that lands on each triangle comes to rest."""
    height = np.einsum("ij,ij->i", corners[:, 0] - centre, normals)
    foot = centre + height[:, None] * normals
    a, b, c = np.moveaxis(corners, 1, 0)
    sides = [(b, c), (c, a), (a, b)]  # opposite to each corner, as Qhull orders the neighbours
    whole = np.einsum("ij,ij->i", np.cross(b - a, c - a), normals)
    share = [
        np.einsum("ij,ij->i", np.cross(q - p, foot - p), normals) / np.where(whole == 0, 1, whole) for p, q in sides
    ]
    worst = np.argmin(share, axis=0)
    inside = np.min(share, axis=0) >= -1e-9
    start = np.arange(len(corners))
    to = np.where(inside, start, neighbours[start, worst])
    to = np.where(height[to] <= height + 1e-9 * np.abs(height).max(), to, start)  # never uphill: no circles
    for _ in range(12):
        to = to[to]
    return to


def _sides(normals: Floats, chance: Floats, cover: Floats, centre: Floats, solid: bool, hull: Floats) -> Rest:
    """Facets gathered into sides, each named by its likeliest facet."""
    left = np.ones(len(normals), bool)
    order = np.lexsort((np.arange(len(normals)), -cover, -np.round(chance, 12)))
    down: list[Floats] = []
    chances: list[float] = []
    covers: list[float] = []
    for k in order:
        if len(down) == _MOST:
            break
        if not left[k]:
            continue
        near = left & (normals @ normals[k] > _ONE_SIDE)
        left &= ~near
        down.append(normals[k] if near.sum() == 1 else _mean(normals[near], cover[near]))
        chances.append(chance[near].sum())
        covers.append(cover[near].sum())
    best = np.lexsort((-np.array(covers), -np.round(chances, 12)))
    return Rest(np.array(down)[best], np.array(chances)[best], np.array(covers)[best], centre, solid, hull)


def _mean(normals: Floats, weights: Floats) -> Floats:
    """The direction of most weight: equal normals count together, so that a flat side keeps its exact normal."""
    rounded = np.round(normals, 6)
    _, inverse = np.unique(rounded, axis=0, return_inverse=True)
    total = np.bincount(inverse.ravel(), weights)
    first: Floats = normals[np.flatnonzero(inverse.ravel() == total.argmax())[0]]
    return first
