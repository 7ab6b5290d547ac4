"""A field as a mesh (marching cubes on its density) and as a coloured point cloud (its depths seen by its cameras)."""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from ...assets import Mesh, PointCloud, RadianceField
from ...errors import ReconstructionError
from .space import Space
from .trace import CHANNELS, FAST, corners_of
from .view import bricks_of, cameras_of, view

FloatArray = NDArray[np.float32]

#: Optical depth of one of the field's cells at which its surface lies.
_LEVEL = 0.25
#: Parts smaller than this share of the largest are dust.
_DUST = 0.02


def mesh_of(field: RadianceField, resolution: int = 192) -> Mesh:
    """The surface within the field's box, ``resolution`` cells along the longest side, coloured at its vertices.

    Small loose parts are left out, and hollows without a way in are filled. World frame, faces
    outward. Raises ReconstructionError where nothing is dense.
    """
    from scipy.ndimage import binary_fill_holes, label
    from skimage.measure import marching_cubes

    cell = float((field.high - field.low).max()) / resolution
    shape = tuple(int(n) + 3 for n in np.ceil((field.high - field.low) / cell))
    start = field.low - cell
    volume = _volume(field, start, cell, shape)
    level = math.log(math.expm1(_LEVEL / field.scale))
    parts, count = label(volume > level)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    if not count:
        raise ReconstructionError("the field is nowhere dense: it has no surface", "let it learn longer: --minutes")
    small = np.concatenate([[False], sizes < _DUST * sizes.max()])
    volume[small[parts]] = level - 10
    volume[binary_fill_holes(volume > level) & (volume <= level)] = level + 10  # no ray came there
    for axis in range(3):  # closed at the box
        ends = np.moveaxis(volume, axis, 0)
        ends[0] = ends[-1] = np.minimum(level - 10, volume.min())
    vertices, faces, _, _ = marching_cubes(np.clip(volume, level - 10, level + 10), level)
    places = start + vertices * cell
    colors = np.clip(values_at(field, places)[1][:, :3], 0, 1)
    world = np.asarray(places, np.float32)
    return Mesh(world, np.ascontiguousarray(faces[:, ::-1], np.int32), colors=colors, name=field.name).validate()


def _volume(field: RadianceField, start: NDArray[np.float64], cell: float, shape: tuple[int, ...]) -> FloatArray:
    """Density before softplus at the points of a regular grid of the world, slice by slice."""
    bricks = bricks_of(field)
    space = Space(field.kind, field.frame_from_world)
    across = np.stack(np.meshgrid(*(np.arange(n) for n in shape[1:]), indexing="ij"), -1).reshape(-1, 2)
    volume = np.empty(shape, np.float32)
    for i in range(shape[0]):
        points = start + cell * np.concatenate([np.full((len(across), 1), i), across], 1)
        density = np.empty(len(points), np.float32)
        _density_at(bricks.index, bricks.density, _lattice(space, field, points), field.empty, density)
        volume[i] = density.reshape(shape[1:])
    return volume


def values_at(field: RadianceField, points: NDArray[np.floating]) -> tuple[FloatArray, FloatArray]:
    """Density before softplus (N,) and features (N, CHANNELS) at points (N, 3) of the world; features are means over
    the dense lattice points around."""
    bricks = bricks_of(field)
    lattice = _lattice(Space(field.kind, field.frame_from_world), field, np.asarray(points, np.float64))
    density = np.empty(len(points), np.float32)
    features = np.zeros((len(points), CHANNELS), np.float32)
    _density_at(bricks.index, bricks.density, lattice, field.empty, density)
    _features_at(bricks.index, bricks.density, bricks.features, lattice, features)
    return density, features


def _lattice(space: Space, field: RadianceField, points: NDArray[np.float64]) -> FloatArray:
    """Points of the world in lattice cells; -1 for what the grid does not hold."""
    unit = space.unit_from_world(points)
    held = np.asarray(np.isfinite(unit).all(1) & (unit >= 0).all(1) & (unit <= 1).all(1))
    return np.where(held[:, None], np.nan_to_num(unit) * field.size, -1.0).astype(np.float32)


@njit(cache=True, parallel=True, fastmath=FAST, error_model="numpy")
def _density_at(index, density, places, empty, out):  # type: ignore[no-untyped-def]
    for n in prange(len(places)):
        out[n] = empty
        if places[n, 0] >= 0:
            address, share = np.empty(8, np.uint32), np.empty(8, np.float32)
            corners_of(index, places[n], address, share)
            total = np.float32(0)
            for k in range(8):
                total += share[k] * density[address[k]]
            out[n] = total


@njit(cache=True, parallel=True, fastmath=FAST, error_model="numpy")
def _features_at(index, density, features, places, out):  # type: ignore[no-untyped-def]
    for n in prange(len(places)):
        if places[n, 0] >= 0:
            address, share = np.empty(8, np.uint32), np.empty(8, np.float32)
            corners_of(index, places[n], address, share)
            total = np.float32(1e-9)
            for k in range(8):
                part = share[k] * np.float32(math.exp(min(max(density[address[k]], np.float32(-8)), np.float32(4))))
                total += part
                for c in range(CHANNELS):
                    out[n, c] += part * features[address[k], c]
            for c in range(CHANNELS):
                out[n, c] /= total


def points_of(field: RadianceField, count: int = 200_000, side: int = 400) -> PointCloud:
    """About ``count`` coloured points where the field's own cameras see its surfaces, in the world frame.

    Each camera's depth map (longest side ``side`` px) is thinned evenly; points that fewer than two cameras see at the
    same depth (2 %) are left out where there are several. Raises ReconstructionError where nothing is dense.
    """
    bricks, cameras = bricks_of(field), []
    for camera in cameras_of(field):
        ratio = min(1.0, side / max(camera.width, camera.height))
        cameras.append(camera.resized(max(8, round(camera.width * ratio)), max(8, round(camera.height * ratio))))
    seen = [view(field, camera, bricks) for camera in cameras]
    total = sum(int(np.isfinite(each.depth).sum()) for each in seen)
    step = max(1, total // max(count, 1))
    places, colors, before = [], [], 0
    for camera, each in zip(cameras, seen, strict=True):
        rows, columns = np.nonzero(np.isfinite(each.depth))
        chosen = slice((-before) % step, None, step)
        before += len(rows)
        rows, columns = rows[chosen], columns[chosen]
        pixels = np.stack([columns + 0.5, rows + 0.5], 1)
        places.append(camera.unproject(pixels, each.depth[rows, columns]))
        colors.append(np.clip(each.color[rows, columns] / each.alpha[rows, columns, None], 0, 1))
    points = np.concatenate(places)
    agreed = np.zeros(len(points), np.int32)
    for camera, each in zip(cameras, seen, strict=True):
        pixels, z = camera.project(points)
        column, row = np.floor(np.clip(pixels, -1, 1e6)).astype(int).T
        there = (z > 0) & (column >= 0) & (row >= 0) & (column < camera.width) & (row < camera.height)
        depth = np.full(len(points), np.nan)
        depth[there] = each.depth[row[there], column[there]]
        agreed += np.abs(depth - z) < 0.02 * z
    kept = agreed >= min(2, len(cameras))
    if not kept.any():
        raise ReconstructionError("the field is nowhere dense: it has no points", "let it learn longer: --minutes")
    return PointCloud(points[kept].astype(np.float32), np.concatenate(colors)[kept].astype(np.float32), name=field.name)
