"""The first Gaussians: from measured depths, shared points, silhouettes or nothing; a far shell around the scene."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...assets import FloatArray, PointCloud, RadianceField, Splats
from ...camera import Camera
from ...capture import Capture, Photo
from .. import rays
from .layout import HARMONICS, LOGIT, MEAN, SCALE, TURN, columns
from .project import C0

Floats = NDArray[np.floating[Any]]
Rng = np.random.Generator

#: How far out the shell of the surroundings lies, in halves of the scene's box.
SHELL = 40.0
_HULL_CELLS = 96


def table_of(points: Floats, colors: Floats, degree: int, opacity: float = 0.5) -> FloatArray:
    """Round Gaussians at points (N, 3), as wide as their three nearest neighbours are away, with colours (N, 3)."""
    table = np.zeros((len(points), columns(degree)), np.float32)
    table[:, MEAN:SCALE] = points
    table[:, SCALE:TURN] = np.log(spacing(points))[:, None]
    table[:, TURN] = 1
    table[:, LOGIT] = np.log(opacity / (1 - opacity))
    table[:, HARMONICS : HARMONICS + 3] = (np.asarray(colors) - 0.5) / C0
    return table


def spacing(points: Floats) -> Floats:
    """Root mean square distance (N,) of points (N, 3) to their three nearest; at least a millionth of the extent."""
    from scipy.spatial import cKDTree

    least = 1e-6 * max(float(np.ptp(points, axis=0).max()), 1e-6)
    near = min(4, len(points))
    if near < 2:
        return np.full(len(points), 1.0)
    away = cKDTree(points).query(points, near)[0][:, 1:]
    return np.maximum(np.sqrt((away**2).mean(1)), least)


def first_points(capture: Capture, count: int, rng: Rng) -> tuple[Floats, Floats, str]:
    """At most ``count`` points (N, 3) of a straight capture's scene, colours (N, 3), and where they come from:
    "depth" (measured), "points" (shared by pictures), "silhouettes", or "nothing" (spread at random over the box)."""
    measured = [photo for photo in capture.photos if photo.depth is not None and photo.depth.scale != "affine"]
    if measured:
        found = [_unprojected(photo, -(-count // len(measured)), rng) for photo in measured]
        points, colors = (np.concatenate(part) for part in zip(*found, strict=True))
        if len(points) >= 16:
            return points, colors, "depth"
    if capture.sparse is not None and len(capture.sparse.points) >= 200:
        chosen = _some(len(capture.sparse.points), count, rng)
        return capture.sparse.points[chosen], capture.sparse.colors[chosen], "points"
    box = rays.extent(capture)
    if box.kind == "object":
        points = _hull_surface(capture, box, count, rng)
        return points, _colors_seen(capture, points), "silhouettes"
    points = box.low + rng.random((min(count, 20_000), 3)) * box.size
    return points, _colors_seen(capture, points), "nothing"


def _some(total: int, count: int, rng: Rng) -> NDArray[np.int64]:
    return np.sort(rng.choice(total, count, replace=False)) if total > count else np.arange(total)


def _unprojected(photo: Photo, count: int, rng: Rng) -> tuple[Floats, Floats]:
    """Points of a depth map, with the picture's colours."""
    assert photo.depth is not None
    assert photo.camera is not None
    z = photo.depth.z
    alpha = rays.alpha_of(photo)
    camera = photo.camera.resized(z.shape[1], z.shape[0])
    row, column = np.nonzero(np.isfinite(z))
    chosen = _some(len(row), count, rng)
    row, column = row[chosen], column[chosen]
    share = np.stack([(column + 0.5) / z.shape[1], (row + 0.5) / z.shape[0]], -1)
    if alpha is not None:
        inside = _at(alpha[..., None], share)[:, 0] > 0.5
        row, column, share = row[inside], column[inside], share[inside]
    points = camera.unproject(np.stack([column + 0.5, row + 0.5], -1), z[row, column])
    return points, _at(photo.image, share)


def _at(picture: FloatArray, share: Floats) -> FloatArray:
    """A picture (H, W, C) at places (N, 2) given as shares of its width and height: the nearest pixel."""
    height, width = picture.shape[:2]
    column = np.clip((share[:, 0] * width).astype(int), 0, width - 1)
    row = np.clip((share[:, 1] * height).astype(int), 0, height - 1)
    return picture[row, column]


def _hull_surface(capture: Capture, box: rays.Extent, count: int, rng: Rng) -> Floats:
    """Points of the outer cells of the visual hull."""
    cell = float(box.size.max()) / _HULL_CELLS
    cells = tuple(int(n) for n in np.maximum(np.ceil(box.size / cell), 1))
    inside = rays.hull(capture, box.low, box.high, (cells[0], cells[1], cells[2]), slack=0.0)
    if not inside.any():
        inside = rays.hull(capture, box.low, box.high, (cells[0], cells[1], cells[2]))
    padded = np.pad(inside, 1)
    covered = np.ones_like(inside)
    for axis in range(3):
        for step in (-1, 1):
            covered &= np.roll(padded, step, axis)[1:-1, 1:-1, 1:-1]
    at = np.argwhere(inside & ~covered)
    chosen = at[rng.integers(0, len(at), count)] if len(at) < count else at[_some(len(at), count, rng)]
    return box.low + (chosen + rng.random(chosen.shape)) * (box.size / np.array(cells))


def _colors_seen(capture: Capture, points: Floats) -> Floats:
    """The median colour (N, 3) of points in the pictures that have them in view and do not mask them out; grey else."""
    seen = np.full((len(capture.photos), len(points), 3), np.nan, np.float32)
    for k, photo in enumerate(capture.photos):
        assert photo.camera is not None
        pixels, z = photo.camera.project(points)
        share = pixels / [photo.camera.width, photo.camera.height]
        inside = (z > 0) & ((share >= 0) & (share < 1)).all(1)
        alpha = rays.alpha_of(photo)
        if alpha is not None:
            inside[inside] &= _at(alpha[..., None], share[inside])[:, 0] > 0.5
        seen[k, inside] = _at(photo.image, share[inside])
    known = np.isfinite(seen[..., 0]).any(0)
    out = np.full((len(points), 3), 0.5)
    out[known] = np.nanmedian(seen[:, known], axis=0)
    return out


def shell(cameras: list[Camera], photos: tuple[Photo, ...], radius: float, count: int) -> tuple[Floats, Floats]:
    """Points (M, 3) evenly over the part of a sphere about the origin that pictures show, with the median of their
    colours (M, 3) there; cameras of the photos in the same space."""
    k = np.arange(count) + 0.5
    y, turn = 1 - 2 * k / count, k * np.pi * (3 - np.sqrt(5.0))
    flat = np.sqrt(1 - y**2)
    points = radius * np.stack([flat * np.cos(turn), y, flat * np.sin(turn)], -1)
    shown = np.zeros(count, bool)
    for camera in cameras:
        pixels, z = camera.project(points)
        margin = 0.1 * max(camera.width, camera.height)
        high = np.array([camera.width, camera.height]) + margin
        shown |= (z > 0) & (pixels > -margin).all(1) & (pixels < high).all(1)
    placed = [replace(photo, camera=camera) for photo, camera in zip(photos, cameras, strict=True)]
    return points[shown], _colors_seen(Capture(tuple(placed)), points[shown])


def from_points(cloud: PointCloud, opacity: float = 0.9, flat: float = 0.2) -> Splats:
    """A dense point cloud as splats: discs across the normals (their thickness ``flat`` of their width), else balls, as
    wide as the points are apart. Nothing is optimised. Raises InputError for an invalid cloud."""
    cloud.validate()
    points = cloud.points.astype(np.float64)
    scales = np.repeat(spacing(points)[:, None], 3, 1)
    if cloud.normals is not None:
        scales[:, 2] *= flat
        turns = np.asarray(_from_z(cloud.normals.astype(np.float64)))
    else:
        turns = np.tile(np.array([1.0, 0.0, 0.0, 0.0]), (len(points), 1))
    colors = np.full((len(points), 3), 0.5) if cloud.colors is None else cloud.colors
    return Splats(
        cloud.points,
        scales.astype(np.float32),
        turns.astype(np.float32),
        np.full(len(points), opacity, np.float32),
        ((colors - 0.5) / C0)[:, None].astype(np.float32),
        name=cloud.name,
        metadata={"from": "points"},
    )


def from_field(field: RadianceField, count: int = 100_000) -> Splats:
    """A radiance field as splats: discs where its own cameras see its surfaces; nothing is optimised. World frame.

    Raises ReconstructionError where the field is empty.
    """
    from ..field.surface import points_of

    made = from_points(points_of(field, count))
    return made.with_(name=field.name, metadata={"from": "field"})


def _from_z(directions: Floats) -> Floats:
    """Quaternions (N, 4) wxyz that turn +z into directions (N, 3)."""
    unit = directions / np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-12)
    x, y, z = unit.T
    turns = np.stack([1 + z, -y, x, np.zeros_like(x)], -1)
    turns[z < -1 + 1e-7] = (0, 1, 0, 0)
    return turns / np.linalg.norm(turns, axis=1, keepdims=True)
