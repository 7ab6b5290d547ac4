"""Few pictures: the best pair by its essential matrix, the others resected on what the pair shows (Nister 2004)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...lens import Lens
from ...runtime import Runtime
from .agreement import residuals
from .mapping import Model, triangulated
from .matching import Matched, Pair, colmap, lens_of

Floats = NDArray[np.float64]

#: Most pictures for which this is tried, and the degrees between the rays of a pair that say anything of depth.
MOST = 8
_ANGLE = 1.0


def from_pairs(matched: Matched, runtime: Runtime) -> Model | None:
    """A model of few pictures, or None where no pair tells a baseline."""
    pycolmap = colmap()
    lenses = _lenses(pycolmap, matched)
    rated = [(score, pair, pose) for pair in matched.pairs for score, pose in [_relative(pycolmap, pair, lenses)]]
    rated = sorted(rated, key=lambda row: -row[0])
    if not rated or rated[0][0] <= 0:
        return None
    _, first, b_from_a = rated[0]
    poses: dict[int, Floats] = {first.a: np.eye(4), first.b: np.linalg.inv(b_from_a).astype(np.float64)}
    for _ in range(len(matched.ids)):
        more = _resected(pycolmap, matched.pairs, lenses, poses)
        if more is None:
            break
        poses[more[0]] = more[1]
    model = triangulated(matched, dict(sorted(poses.items())), lenses, runtime, refine=True)
    return model if len(model.points) >= 10 else None


def _lenses(pycolmap: Any, matched: Matched) -> dict[int, Lens]:
    with pycolmap.Database.open(matched.database) as opened:
        return {i: lens_of(opened.read_camera(number)) for i, number in enumerate(matched.cameras)}


def _relative(pycolmap: Any, pair: Pair, lenses: dict[int, Lens]) -> tuple[float, Floats]:
    """How much a pair tells (matches times degrees between rays, 0 for none), and b_from_a 4x4, a baseline of 1."""
    a, b = (_camera(pycolmap, lenses[i]) for i in (pair.a, pair.b))
    options = pycolmap.TwoViewGeometryOptions(compute_relative_pose=True)
    options.ransac.random_seed = 0
    rows = np.repeat(np.arange(len(pair.pixels_a), dtype=np.uint32)[:, None], 2, 1)
    found = pycolmap.estimate_calibrated_two_view_geometry(a, pair.pixels_a, b, pair.pixels_b, rows, options)
    out = np.eye(4)
    if found is None or found.cam2_from_cam1 is None or not len(found.inlier_matches):
        return 0.0, out
    out[:3] = found.cam2_from_cam1.matrix()
    length = np.linalg.norm(out[:3, 3])
    angle = float(np.degrees(found.tri_angle))
    if length < 1e-9 or not angle >= _ANGLE:
        return 0.0, out
    out[:3, 3] /= length
    return len(found.inlier_matches) * min(angle, 20.0), out


def _camera(pycolmap: Any, lens: Lens) -> Any:
    camera = pycolmap.Camera()
    camera.width, camera.height = lens.width, lens.height
    camera.model = pycolmap.CameraModelId.OPENCV
    camera.params = [lens.fx, lens.fy, lens.cx, lens.cy, *lens.distortion]
    return camera


def _resected(
    pycolmap: Any, pairs: Sequence[Pair], lenses: dict[int, Lens], poses: dict[int, Floats]
) -> tuple[int, Floats] | None:
    """The next picture and its pose, by points that two placed pictures show and it shares with one of them."""
    best: tuple[int, int, Floats] | None = None
    for new in lenses:
        if new in poses:
            continue
        spots, places = [], []
        for known in (pair for pair in pairs if pair.a in poses and pair.b in poses):
            good, points = _points(known, lenses, poses)
            for shared in (pair for pair in pairs if new in (pair.a, pair.b)):
                s, p = _linked(known, good, points, shared, new)
                spots.append(s)
                places.append(p)
        if not spots or sum(map(len, spots)) < 12:
            continue
        found = pycolmap.estimate_and_refine_absolute_pose(
            np.concatenate(spots), np.concatenate(places), _camera(pycolmap, lenses[new])
        )
        if found is not None and found["num_inliers"] >= 10 and (best is None or found["num_inliers"] > best[0]):
            pose = np.eye(4)
            pose[:3] = found["cam_from_world"].inverse().matrix()
            best = (int(found["num_inliers"]), new, pose)
    return None if best is None else best[1:]


def _points(pair: Pair, lenses: dict[int, Lens], poses: dict[int, Floats]) -> tuple[NDArray[np.bool_], Floats]:
    """Which matches of a placed pair are sound, and their points (N, 3): midpoints of the rays."""
    distance, front = residuals(pair, lenses, poses)
    rays = []
    for i, pixels in ((pair.a, pair.pixels_a), (pair.b, pair.pixels_b)):
        depth = np.ones(len(pixels))
        rays.append(lenses[i].camera(poses[i]).unproject(lenses[i].straightened(pixels), depth) - poses[i][:3, 3])
    d, e = rays
    w = poses[pair.a][:3, 3] - poses[pair.b][:3, 3]
    aa, bb, ab, aw, bw = (d * d).sum(1), (e * e).sum(1), (d * e).sum(1), d @ w, e @ w
    determinant = np.maximum(aa * bb - ab**2, 1e-15)
    s, t = (ab * bw - bb * aw) / determinant, (aa * bw - ab * aw) / determinant
    points = 0.5 * (poses[pair.a][:3, 3] + s[:, None] * d + poses[pair.b][:3, 3] + t[:, None] * e)
    return front & (distance < 4.0), points


def _linked(known: Pair, good: NDArray[np.bool_], points: Floats, shared: Pair, new: int) -> tuple[Floats, Floats]:
    """Pixels of the new picture and the points they show, by the same pixels of a picture both pairs have."""
    old = shared.b if shared.a == new else shared.a
    if old not in (known.a, known.b):
        return np.zeros((0, 2)), np.zeros((0, 3))
    in_known = known.pixels_a if old == known.a else known.pixels_b
    in_old, in_new = (shared.pixels_b, shared.pixels_a) if shared.a == new else (shared.pixels_a, shared.pixels_b)
    rows = {tuple(pixel): k for k, pixel in enumerate(in_known) if good[k]}
    links = [(k, rows[tuple(pixel)]) for k, pixel in enumerate(in_old) if tuple(pixel) in rows]
    index = np.array(links, np.int64).reshape(-1, 2)
    return in_new[index[:, 0]], points[index[:, 1]]
