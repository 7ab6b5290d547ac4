"""The learned grids of an implicit surface: a signed distance, and colours with harmonics in a band around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..surface import Grid
from . import kernels
from .sweep import swept

FloatArray = NDArray[np.float32]
Floats = NDArray[np.float64]


@dataclass
class Volume:
    """One level. sdf (X, Y, Z) float32, negative inside, in units of the box's longest side: node (i, j, k) lies at
    ``low + unit * h * (i, j, k)`` of the world, ``unit`` being that side.

    nodes (R,) int32: flat numbers of the band's nodes in C order; index (X, Y, Z) int32: their rows, -1 elsewhere.
    colors (R, 3 S) float32: for each channel, sRGB-encoded, the S coefficients of ``kernels.harmonics``. bound (R,):
    values below which the distance does not fall. m, v: moments of Adam. cells, blocks: uint8 flags for marching.
    """

    low: Floats
    unit: float
    h: float
    sdf: FloatArray
    index: NDArray[np.int32]
    nodes: NDArray[np.int32]
    colors: FloatArray
    bound: FloatArray
    m: FloatArray
    v: FloatArray
    color_m: FloatArray
    color_v: FloatArray
    cells: NDArray[np.uint8]
    blocks: NDArray[np.uint8]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Nodes along each axis."""
        x, y, z = self.sdf.shape
        return x, y, z

    def world(self, nodes: NDArray[np.integer] | None = None) -> Floats:
        """Places (N, 3) of nodes by flat number; of the band's without."""
        at = np.stack(np.unravel_index(self.nodes if nodes is None else nodes, self.shape), -1)
        return self.low + self.unit * self.h * at

    def units(self, points: NDArray[np.floating]) -> Floats:
        """World points (N, 3) in the box's unit."""
        return (np.asarray(points, np.float64) - self.low) / self.unit

    def grid(self) -> Grid:
        """The distance in the world's unit, as the contour code takes it."""
        return Grid((self.sdf * self.unit).astype(np.float32), self.low, self.unit * self.h)


def shape_of(size: Floats, cells: int, margin: int = 3) -> tuple[tuple[int, int, int], float]:
    """Nodes along each axis for a box of this size with ``cells`` along its longest side and ``margin`` more at all
    ends, and the width of a cell in the unit of the longest side."""
    x, y, z = (int(np.ceil(cells * length / size.max())) + 1 + 2 * margin for length in size)
    return (x, y, z), 1.0 / cells


def banded(
    sdf: FloatArray, low: Floats, unit: float, h: float, width: float, harmonics: int, least: FloatArray | None = None
) -> Volume:
    """A volume whose band are the nodes within ``width`` cells of the zero level, grey, at rest.

    sdf: any field with the right zero level: it is made a distance. least (X, Y, Z): bounds of the distance, or None.
    """
    distance = swept(sdf, h, (width + 2) * h)
    nodes = _band(distance, width * h)
    index = np.full(distance.shape, -1, np.int32)
    index.ravel()[nodes] = np.arange(len(nodes), dtype=np.int32)
    colors = np.zeros((len(nodes), 3 * harmonics), np.float32)
    colors[:, ::harmonics] = 0.5
    bound = np.full(len(nodes), -1e9, np.float32) if least is None else least.ravel()[nodes]
    cells, blocks = _flags(index)
    zero, zeros = np.zeros(len(nodes), np.float32), np.zeros_like(colors)
    still = (zero, zero.copy(), zeros, zeros.copy())
    return Volume(low, unit, h, distance, index, nodes, colors, bound, *still, cells, blocks)


def rebanded(volume: Volume, width: float, least: FloatArray | None) -> Volume:
    """The volume with its band where the surface now is; what was learned of nodes that stay is kept."""
    harmonics = volume.colors.shape[1] // 3
    new = banded(volume.sdf, volume.low, volume.unit, volume.h, width, harmonics, least)
    old = volume.index.ravel()[new.nodes]
    stay = old >= 0
    near = stay & (np.abs(volume.sdf.ravel()[new.nodes]) < 0.75 * width * volume.h)
    new.sdf.ravel()[new.nodes[near]] = volume.sdf.ravel()[new.nodes[near]]
    for name in ("colors", "m", "v", "color_m", "color_v"):
        getattr(new, name)[stay] = getattr(volume, name)[old[stay]]
    _fill(new, stay)
    return new


def finer(volume: Volume, low: Floats, h: float, width: float, bound: FloatArray) -> Volume:
    """The volume on a grid with cells of ``h``, its shape and colours interpolated; bound: of the distance, there."""
    from scipy.ndimage import map_coordinates

    shape = bound.shape
    axes = [(low[k] - volume.low[k]) / volume.unit / volume.h + np.arange(shape[k]) * (h / volume.h) for k in range(3)]
    sdf = _interpolated(volume.sdf, axes)
    harmonics = volume.colors.shape[1] // 3
    new = banded(np.maximum(sdf, bound), low, volume.unit, h, width, harmonics, bound)
    at = np.stack([axis[i] for axis, i in zip(axes, np.unravel_index(new.nodes, shape), strict=True)])
    whole = np.zeros(volume.shape, np.float32)
    weight = map_coordinates((volume.index >= 0).astype(np.float32), at, order=1, mode="nearest")
    known = weight > 1e-3
    for c in range(volume.colors.shape[1]):
        whole.ravel()[volume.nodes] = volume.colors[:, c]
        value = map_coordinates(whole, at, order=1, mode="nearest")
        new.colors[known, c] = value[known] / weight[known]
    _fill(new, known)
    return new


def _interpolated(values: FloatArray, axes: list[Floats]) -> FloatArray:
    """Trilinear values at the crossings of coordinates along each axis (in nodes), clamped at the ends."""
    for axis, at in enumerate(axes):
        v = np.moveaxis(values, axis, 0)
        at = np.clip(at, 0, len(v) - 1.0)
        cell = np.minimum(at.astype(int), len(v) - 2)
        part = (at - cell).astype(np.float32).reshape(-1, 1, 1)
        values = np.moveaxis((1 - part) * v[cell] + part * v[cell + 1], 0, axis)
    return np.ascontiguousarray(values, np.float32)


def _band(distance: FloatArray, width: float) -> NDArray[np.int32]:
    """Flat numbers of the nodes within ``width`` of the zero level, two nodes or more away from the grid's ends."""
    near = np.zeros(distance.shape, bool)
    inner = (slice(2, -2),) * 3
    near[inner] = np.abs(distance[inner]) < width
    return np.flatnonzero(near).astype(np.int32)


def _flags(index: NDArray[np.int32]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Cells whose corners are all in the band, by their lowest corner, and blocks of them that hold any."""
    inside = index >= 0
    cells = np.zeros(index.shape, np.uint8)
    x, y, z = (int(length) - 1 for length in index.shape)
    cells[:x, :y, :z] = 1
    for i in (0, 1):
        for j in (0, 1):
            for k in (0, 1):
                cells[:x, :y, :z] &= inside[i : i + x, j : j + y, k : k + z]
    side = 1 << kernels.BLOCK
    padded = np.pad(cells, [(0, -int(length) % side) for length in index.shape])
    a, b, c = (int(n) // side for n in padded.shape)
    return cells, np.ascontiguousarray(padded.reshape(a, side, b, side, c, side).max((1, 3, 5)))


def _fill(volume: Volume, known: NDArray[np.bool_], rounds: int = 8) -> None:
    """Give rows without a colour the mean of their neighbours', ring by ring."""
    _, ny, nz = volume.shape
    known = known.copy()
    for _ in range(rounds):
        missing = np.flatnonzero(~known)
        if not len(missing):
            return
        total = np.zeros((len(missing), volume.colors.shape[1]), np.float32)
        count = np.zeros(len(missing), np.float32)
        for step in (ny * nz, -ny * nz, nz, -nz, 1, -1):
            row = volume.index.ravel()[volume.nodes[missing] + step]
            there = (row >= 0) & known[np.maximum(row, 0)]
            total[there] += volume.colors[row[there]]
            count += there
        found = count > 0
        volume.colors[missing[found]] = total[found] / count[found, None]
        known[missing[found]] = True
