"""Which way up a thing belongs: every side it could stand on is judged by what upright things have in common.

References
    Fu, Cohen-Or, Dror, Sheffer, "Upright orientation of man-made objects", SIGGRAPH 2008: bases from the convex hull,
    judged by stability, symmetry, parallelism and what they show. Here the judge is a conditional logit (McFadden
    1973) whose weights `liftform evaluate pose --fit` finds on objects of known pose.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..assets import Mesh
from ..render import Scene
from .stable import Rest, rest

Floats = NDArray[np.float64]

#: Candidates nearer than this are one (cosine of 8 degrees); most that are judged.
_APART, _MOST = 0.990, 28
#: Sides of the hull among them, likeliest first; directions that most of the surface faces.
_RESTING, _FACED = 14, 3
#: Rays along each side of the square of rays that looks at a thing from above and from below.
_RAYS = 32
#: Reflected points this near (share of the diagonal) to the surface count as symmetric; points and planes tried.
_NEAR, _POINTS, _PLANES = 0.015, 220, 100
#: What lies this near (share of the diagonal) to the floor touches it.
_TOUCH = 0.01

#: Name of each feature -> its weight in the sum whose exponential is the odds; found by `liftform evaluate pose --fit`.
WEIGHTS: dict[str, float] = {
    "chance": 1.87,
    "log chance": 0.315,
    "cover": -4.95,
    "base": 2.91,
    "margin": 2.42,
    "steady": -0.118,
    "centre": 0.421,
    "surface centre": 3.55,
    "tall": 1.12,
    "detail": 2.27,
    "foot": 1.73,
    "lid": 3.35,
    "narrow above": -0.334,
    "level": 5.67,
    "upright": 2.52,
    "faces up": -8.2,
    "slopes up": 7.27,
    "mirror": 13.9,
    "topsy": -0.00876,
    "axis": 5.71,
    "sunk": 2.69,
    "raised": 2.07,
    "rough above": -20.8,
    "rough below": -15.1,
    "flat below": -0.353,
    "flat above": 0.249,
    "thick": -2.03,
}


@dataclass(frozen=True)
class Upright:
    """The judged ways up: up (K, 3) unit, likeliest first; probability (K,) that it is the right one, sum 1.

    chance (K,): of coming to rest that way when dropped.
    """

    up: Floats
    probability: Floats
    chance: Floats


def upright(mesh: Mesh, prior: dict[tuple[int, int, int], float] | None = None) -> Upright:
    """Judge every way up of a mesh. prior: axis of the file -> factor on its odds, such as {(0, 1, 0): 20.0}."""
    extra = np.array(list(prior or {}), np.float64).reshape(-1, 3)
    table = candidates(mesh, extra)
    score = table.features @ np.array([WEIGHTS[name] for name in NAMES])
    for axis, odds in (prior or {}).items():
        score = score + np.log(odds) * (table.up @ np.array(axis) > 0.9999)
    odds = np.exp(score - score.max())
    order = np.argsort(-odds, kind="stable")
    return Upright(table.up[order], (odds / odds.sum())[order], table.chance[order])


@dataclass(frozen=True)
class Candidates:
    """up (K, 3) unit; features (K, len(NAMES)); chance (K,) of coming to rest that way when dropped."""

    up: Floats
    features: Floats
    chance: Floats


def candidates(mesh: Mesh, extra: Floats | None = None) -> Candidates:
    """The ways up worth judging, ``extra`` (N, 3) among them, and what is to be said of each."""
    found = rest(mesh)
    body = _Body.of(mesh, found)
    both = np.concatenate([body.axes, body.faced(), body.turned()])
    ways = np.concatenate([-found.down[:_RESTING], both, -both])
    ups = _apart(ways if extra is None else np.concatenate([extra, ways]))
    rows = [_features(body, found, up) for up in ups]
    chance = np.array([found.chance[found.down @ -up > _APART].sum() for up in ups])
    return Candidates(ups, np.array([[row[name] for name in NAMES] for row in rows]), chance)


def _apart(directions: Floats) -> Floats:
    """The first directions that differ."""
    kept: list[Floats] = []
    for d in directions:
        if all(d @ k <= _APART for k in kept):
            kept.append(d)
        if len(kept) == _MOST:
            break
    return np.array(kept)


@dataclass(frozen=True)
class _Body:
    """A mesh prepared for being judged from any side, scaled to a diagonal of 1 about its centre of mass.

    points (N, 3): spread over the surface by area, with the unit normals of their faces. axes (3, 3): principal axes of
    the surface as rows. mirrors: unit normals (M, 3) of planes through the middle, with their symmetry in [0, 1].
    """

    scene: Scene
    hull: Floats
    points: Floats
    normals: Floats
    corners: Floats
    axes: Floats
    mirrors: tuple[Floats, Floats]

    def faced(self) -> Floats:
        """The directions (N, 3) that most of the surface faces, or faces away from."""
        left, found = np.ones(len(self.normals), bool), []
        some = self.normals[:: max(1, len(self.normals) // 250)]
        for _ in range(_FACED):
            near = np.abs(self.normals[left] @ some.T) > 0.98
            if not near.size or not near.any():
                break
            best = some[near.sum(0).argmax()]
            found.append(best)
            left &= np.abs(self.normals @ best) < 0.94
        return np.array(found).reshape(-1, 3)

    def turned(self) -> Floats:
        """Directions (N, 3) in which planes of symmetry meet: the axis of what was turned on a lathe."""
        normals, share = self.mirrors
        order = np.argsort(-share, kind="stable")
        first = normals[order[0]]
        across = [n for n in normals[order[1:]] if abs(n @ first) < 0.87][:1]
        meets = np.array([np.cross(first, n) for n in across]).reshape(-1, 3)
        return np.concatenate([meets / np.maximum(np.linalg.norm(meets, axis=1, keepdims=True), 1e-12), first[None]])

    @classmethod
    def of(cls, mesh: Mesh, found: Rest) -> _Body:
        size = float(np.linalg.norm(np.ptp(found.hull, axis=0)))
        vertices = (mesh.vertices.astype(np.float64) - found.centre) / size
        small = Mesh(vertices.astype(np.float32), mesh.faces)
        points, normals = _spread(vertices, mesh.faces)
        middle = points - points.mean(0)
        axes = np.linalg.eigh(middle.T @ middle)[1].T
        used = vertices[np.unique(mesh.faces)]
        return cls(
            Scene(small), (found.hull - found.centre) / size, points, normals, used, axes, _mirrors(middle, axes)
        )


def _spread(vertices: Floats, faces: NDArray[np.int32], count: int = 2000) -> tuple[Floats, Floats]:
    """Points (N, 3) spread over the surface by area, always the same, and the unit normals of their faces."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    cross = np.cross(b - a, c - a)
    area = np.linalg.norm(cross, axis=1)
    rng = np.random.default_rng(0)
    at = (np.arange(count) + rng.random(count)) / count * area.sum()
    face = np.minimum(np.searchsorted(np.cumsum(area), at), len(faces) - 1)
    u, v = rng.random((2, count))
    u, v = np.where(u + v > 1, 1 - u, u), np.where(u + v > 1, 1 - v, v)
    points = a[face] + u[:, None] * (b - a)[face] + v[:, None] * (c - a)[face]
    return points, cross[face] / np.maximum(area[face], 1e-30)[:, None]


def _mirrors(points: Floats, axes: Floats) -> tuple[Floats, Floats]:
    """Normals (M, 3) of planes through the middle of centred points, and the share of points with a partner."""
    from scipy.spatial import KDTree

    tree, some = KDTree(points), points[:: max(1, len(points) // _POINTS)]

    def fit(normals: Floats) -> Floats:
        across = some @ normals.T
        reflected = some[:, None] - 2 * across[..., None] * normals
        gap, _ = tree.query(reflected.reshape(-1, 3), distance_upper_bound=4 * _NEAR)
        share: Floats = np.clip(1.5 - gap / (2 * _NEAR), 0, 1).reshape(across.shape).mean(0)
        return share

    normals = np.concatenate([axes, _half_sphere(_PLANES)])
    share, aside = fit(normals), _half_sphere(7)
    for reach in (0.06, 0.025, 0.01):
        best = normals[np.argsort(-share, kind="stable")[:5], None]
        tries = np.concatenate([best + reach * aside, best - reach * aside]).reshape(-1, 3)
        tries /= np.linalg.norm(tries, axis=1, keepdims=True)
        normals, share = np.concatenate([normals, tries]), np.concatenate([share, fit(tries)])
    return normals, share


def _half_sphere(count: int) -> Floats:
    """Unit directions (count, 3) spread evenly over a half sphere (a Fibonacci lattice)."""
    k = np.arange(count) + 0.5
    z, turn = 1 - k / count, np.pi * (1 + 5**0.5) * k
    r = np.sqrt(1 - z * z)
    return np.stack([r * np.cos(turn), r * np.sin(turn), z], -1)


def _features(body: _Body, found: Rest, up: Floats) -> dict[str, float]:
    """What is to be said of a thing that stands with ``up`` upwards; every figure is free of scale and of turning."""
    chance = float(found.chance[found.down @ -up > _APART].sum())
    cover = float(found.cover[found.down @ -up > _APART].sum())
    across = _beside(up)
    figures = {"chance": chance, "log chance": np.log(chance + 0.01), "cover": cover}
    figures |= _standing(body, up, across)
    figures |= _sides(body, up)
    figures |= _seen(body, up, across)
    return figures


def _beside(up: Floats) -> Floats:
    """Two unit vectors (2, 3) square to ``up`` and to each other."""
    first = np.cross(up, np.eye(3)[np.abs(up).argmin()])
    first /= np.linalg.norm(first)
    return np.stack([first, np.cross(up, first)])


def _standing(body: _Body, up: Floats, across: Floats) -> dict[str, float]:
    """How it stands: what touches the floor, whether the centre of mass lies above that, how tall it is."""
    height = body.corners @ up
    low, high = float(height.min()), float(height.max())
    touching = body.corners[height < low + _TOUCH] @ across.T
    footprint = _area(body.hull @ across.T)
    base, margin = _area(touching), _margin(touching)
    points = body.points @ up
    tall = max(high - low, 1e-6)
    return {
        "base": base / footprint,
        "margin": margin / np.sqrt(footprint),
        "steady": float(margin > 0),
        "centre": -low / tall,
        "surface centre": float(points.mean() - low) / tall,
        "tall": np.log(tall / np.sqrt(footprint)),
        "detail": float(height.mean() - points.mean()) / tall,
        "foot": float(((points < low + _TOUCH) & (body.normals @ up < -0.95)).mean()),
        "lid": float(((points > high - _TOUCH) & (body.normals @ up > 0.95)).mean()),
        "narrow above": _narrowing(body, up, across, low, tall),
    }


def _narrowing(body: _Body, up: Floats, across: Floats, low: float, tall: float) -> float:
    """Log of how much wider the lower third is than the upper."""
    points, height = body.points @ across.T, (body.points @ up - low) / tall
    wide = [
        float(np.sqrt(np.trace(np.cov(part.T))))
        for part in (points[height < 1 / 3], points[height > 2 / 3])
        if len(part) > 5
    ]
    return float(np.log((wide[0] + 0.02) / (wide[1] + 0.02))) if len(wide) == 2 else 0.0


def _sides(body: _Body, up: Floats) -> dict[str, float]:
    """How its sides lie: level, upright; and its planes of symmetry."""
    along = body.normals @ up
    normals, share = body.mirrors
    lie = np.abs(normals @ up)
    return {
        "level": float((np.abs(along) > 0.985).mean()),
        "upright": float((np.abs(along) < 0.17).mean()),
        "faces up": float((along > 0.985).mean() - (along < -0.985).mean()),
        "slopes up": float(np.clip(along, -1, 1).mean()),
        "mirror": float(share[lie < 0.09].max(initial=0.0)),
        "topsy": float(share[lie > 0.996].max(initial=0.0)),
        "axis": float(np.abs(body.axes @ up).max()),
    }


def _seen(body: _Body, up: Floats, across: Floats) -> dict[str, float]:
    """What is seen of it from above and from below: how deep and how rough, how much is seen twice."""
    flat = body.hull @ across.T
    low, high = flat.min(0), flat.max(0)
    steps = [np.linspace(a, b, _RAYS + 1)[:-1] + (b - a) / (2 * _RAYS) for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*steps), -1).reshape(-1, 2) @ across
    height = body.hull @ up
    tall = max(float(np.ptp(height)), 1e-6)
    gaps = []
    for direction, start in ((-up, height.max()), (up, height.min())):
        hits = body.scene.cast(grid + (start - 0.01 * direction @ up) * up, np.broadcast_to(direction, grid.shape))
        gaps.append(np.where(hits.found, hits.distance - 0.01, np.nan).reshape(_RAYS, _RAYS))
    above, below = gaps
    return {
        "sunk": _mean(above) / tall,
        "raised": _mean(below) / tall,
        "rough above": _rough(above),
        "rough below": _rough(below),
        "flat below": _mean(np.where(np.isnan(below), np.nan, below < _TOUCH)),
        "flat above": _mean(np.where(np.isnan(above), np.nan, above < _TOUCH)),
        "thick": 1 - (_mean(above) + _mean(below)) / tall,
    }


def _mean(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else 0.0


def _rough(gap: Floats) -> float:
    """Mean step of a map of depths between neighbours, steep ones counted as 0.1."""
    steps = np.concatenate([np.abs(np.diff(gap, axis=0)).ravel(), np.abs(np.diff(gap, axis=1)).ravel()])
    return _mean(np.minimum(steps, 0.1))


def _area(points: Floats) -> float:
    """Of the convex hull of points (N, 2) of the plane; of a point or a line next to nothing."""
    ring = _hull_2d(points)
    x, y = ring.T
    return max(0.5 * float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1))), 1e-6)


def _margin(points: Floats) -> float:
    """How far inside the hull of points (N, 2) the origin lies, negative outside."""
    ring = _hull_2d(points)
    if len(ring) < 3:
        return -float(np.linalg.norm(ring, axis=1).min())
    side = np.roll(ring, -1, axis=0) - ring
    left = np.stack([-side[:, 1], side[:, 0]], -1) / np.maximum(np.linalg.norm(side, axis=1), 1e-12)[:, None]
    return float(-(left * ring).sum(1).max())


def _hull_2d(points: Floats) -> Floats:
    """Corners (M, 2) of the convex hull, counter-clockwise; of points in one line, the points."""
    from scipy.spatial import ConvexHull, QhullError

    if len(points) < 3:
        return points
    try:
        corners: Floats = points[ConvexHull(points).vertices]
    except QhullError:
        return points[:2]
    return corners


NAMES = (
    *("chance", "log chance", "cover", "base", "margin", "steady", "centre", "surface centre", "tall", "detail"),
    *("foot", "lid", "narrow above", "level", "upright", "faces up", "slopes up", "mirror", "topsy", "axis"),
    *("sunk", "raised", "rough above", "rough below", "flat below", "flat above", "thick"),
)
