"""Between which depths each photo of a set shows anything: from sparse points, or from cameras and masks alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..camera import Camera
from ..capture import Capture, Photo, Sparse

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: Points that a photo needs for its range to be believed, the share of them that may lie outside, and the slack.
_ENOUGH = 30
_OUTSIDE = 2.0
_SLACK = 1.3
#: Rays along a side of a photo, and depths along a ray, on which the cameras alone are asked.
_RAYS = 14
_DEPTHS = 80
#: Share of the rays that must lie in other pictures; share of pictures that may deny that a point lies in their mask.
_SHARE = 0.03
_DENIED = 0.1
#: Rays of two pictures that meet at a larger angle than this (its cosine) do not show the same.
_WIDEST = np.cos(np.radians(60.0))


def depth_ranges(capture: Capture) -> Floats:
    """Nearest and farthest z-distance (N, 2) of what every photo shows; the farthest may be infinite.

    Photos are pinhole and have cameras (``straight``). With masks: where the ray lies within the masks of the others
    (the visual hull). Without: the sparse points that the photo shows, or all that fall into it where nobody knows
    who saw them; without enough of those, the depths at which at least two others (one, of two photos) look at the
    same place.
    """
    masked = all(foreground(photo) is not None for photo in capture.photos)
    found = np.zeros((len(capture.photos), 2))
    for number, photo in enumerate(capture.photos):
        by_points = None if masked or capture.sparse is None else _of_points(photo, capture.sparse, number)
        found[number] = _of_cameras(capture, number) if by_points is None else by_points
    return found


def foreground(photo: Photo) -> Bools | None:
    """(H, W): what of the photo is to be reconstructed, by its mask or transparency; None where it has neither."""
    alpha = photo.alpha if photo.mask is None else photo.mask.alpha
    return None if alpha is None else alpha > 0.5


def inside(camera: Camera, points: Floats, mask: Bools | None = None) -> Bools:
    """(...): which world points (..., 3) fall into the picture, and into its mask."""
    at, z = camera.project(points)
    x, y = np.floor(at[..., 0]), np.floor(at[..., 1])
    within = (z > 0) & (x >= 0) & (y >= 0) & (x < camera.width) & (y < camera.height)
    if mask is not None:
        rows, columns = (np.where(within, value, 0).astype(np.int64) for value in (y, x))
        within &= mask[rows, columns]
    return np.asarray(within)


def rays_of(photo: Photo, count: int) -> Floats:
    """Pixels (K, 2) of the photo's mask, or of the whole photo, on a grid of about ``count`` along its longer side."""
    width, height = photo.size
    mask = foreground(photo)
    left, top, right, bottom = 0.0, 0.0, float(width), float(height)
    if mask is not None and mask.any():
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        left, top, right, bottom = columns[0], rows[0], columns[-1] + 1.0, rows[-1] + 1.0
    cell = max(right - left, bottom - top) / count
    x = np.arange(left + cell / 2, right, cell)
    y = np.arange(top + cell / 2, bottom, cell)
    at = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
    if mask is None:
        return at
    kept = at[mask[at[:, 1].astype(int), at[:, 0].astype(int)]]
    return kept if len(kept) else at


def _of_points(photo: Photo, sparse: Sparse, number: int) -> tuple[float, float] | None:
    assert photo.camera is not None
    mine = sparse.seen_by(number)
    points = sparse.points[mine] if len(sparse.photo) else sparse.points
    z = photo.camera.project(points)[1]
    if not len(sparse.photo):
        z = z[inside(photo.camera, points)]
    z = z[z > 0]
    if len(z) < _ENOUGH:
        return None
    near, far = np.percentile(z, [_OUTSIDE, 100 - _OUTSIDE])
    return float(near / _SLACK), float(far * _SLACK)


def _of_cameras(capture: Capture, number: int) -> tuple[float, float]:
    """By where the others look."""
    photo = capture.photos[number]
    camera = photo.camera
    assert camera is not None
    others = [p for i, p in enumerate(capture.photos) if i != number]
    away = np.sort([np.linalg.norm(p.camera.position - camera.position) for p in others if p.camera])
    base = float(away[min(3, len(away) - 1)]) or 1.0
    depths = base * np.geomspace(0.1, 300.0, _DEPTHS)
    at = rays_of(photo, _RAYS)
    points = camera.unproject(np.repeat(at[:, None], _DEPTHS, 1), np.broadcast_to(depths, (len(at), _DEPTHS)))
    towards = _unit(points - camera.position)
    seeing = np.zeros(points.shape[:2], int)
    framed, denied = np.zeros(points.shape[:2]), np.zeros(points.shape[:2])
    for other in others:
        assert other.camera is not None
        mask = foreground(other)
        whole = inside(other.camera, points)
        alive = whole if mask is None else inside(other.camera, points, mask)
        framed += whole
        denied += whole & ~alive
        seeing += alive & ((towards * _unit(points - other.camera.position)).sum(-1) > _WIDEST)
    good = (seeing >= min(2, len(others))) & (denied <= _DENIED * framed)
    there = np.flatnonzero(good.mean(0) >= _SHARE)
    if not len(there):
        there = np.flatnonzero(good.any(0))
    if not len(there):
        return float(depths[0]), np.inf
    first, last = max(there[0] - 1, 0), min(there[-1] + 1, _DEPTHS - 1)
    return float(depths[first]), np.inf if last == _DEPTHS - 1 else float(depths[last])


def _unit(v: Floats) -> Floats:
    return np.asarray(v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-12))
