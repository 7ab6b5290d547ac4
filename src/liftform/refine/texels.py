"""The texels of a texture that lie on the surface, and blocks of them on which slow things are worked out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..assets import FloatArray, Mesh
from ..runtime import Runtime
from . import surface
from .raster import rasterize

Ints = NDArray[np.integer]
T = TypeVar("T")

#: Guesses are worked out on blocks of texels, this many to a side of the texture.
_BLOCKS = 128
#: Texels worked on at once.
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Texels:
    """The texels that lie on the surface, in the order of their faces; worked on in chunks that stay in the cache.

    pixel (N,) int32 as y * size + x; face (N,) int32; weight (N, 3) barycentric; corners (F, 3, 6): positions and
    normals; chart (F,); area (F,): surface per texel; per_unit: texels per unit of length.
    """

    size: int
    pixel: Ints
    face: Ints
    weight: FloatArray
    corners: FloatArray
    chart: Ints
    area: FloatArray
    per_unit: float

    @classmethod
    def of(cls, mesh: Mesh, size: int) -> Texels:
        assert mesh.uv is not None
        assert mesh.normals is not None
        flat = mesh.uv[mesh.faces].astype(np.float64) * size
        face, pixel, weight = rasterize(flat, size, size)
        e, g = flat[:, 1] - flat[:, 0], flat[:, 2] - flat[:, 0]
        texels = np.abs(e[:, 0] * g[:, 1] - e[:, 1] * g[:, 0]) / 2
        solid = np.linalg.norm(surface.cross_products(mesh.vertices, mesh.faces), axis=1) / 2
        chart = surface.components(mesh.faces, len(mesh.vertices))[1][mesh.faces[:, 0]]
        corners = np.concatenate([mesh.vertices, mesh.normals], 1)[mesh.faces]
        area = (solid / np.maximum(texels, 1e-12)).astype(np.float32)
        return cls(size, pixel, face, weight, corners, chart, area, float(np.sqrt(texels.sum() / solid.sum())))

    def chunks(self) -> Iterator[slice]:
        """Ranges of texels."""
        return (slice(i, min(i + _CHUNK, len(self.pixel))) for i in range(0, len(self.pixel), _CHUNK))

    def surface(self, chosen: slice | Ints) -> tuple[FloatArray, FloatArray]:
        """Points (n, 3) and unit normals (n, 3) of some texels."""
        face, weight = self.face[chosen], self.weight[chosen]
        at = self.corners[:, 0][face] * weight[:, :1]
        for i in (1, 2):
            at += self.corners[:, i][face] * weight[:, i : i + 1]
        normals = at[:, 3:] / np.maximum(np.linalg.norm(at[:, 3:], axis=1, keepdims=True), 1e-12)
        return np.ascontiguousarray(at[:, :3]), normals

    def share(self, weight: FloatArray) -> float:
        """Mean of a weight (N,) over the surface's area."""
        count = len(self.area)
        seen = float(np.bincount(self.face, weight, count) @ self.area)
        return seen / max(float(np.bincount(self.face, None, count) @ self.area), 1e-30)


@dataclass
class Blocks:
    """Square blocks of texels, one per chart they touch: the samples on which colours are guessed and carried on.

    of_texel (N,) int32: the block of each texel. grid (rows, rows): block of one of the charts there, -1 where none.
    After ``bake``: points, normals (B, 3), known (B,) mean weight, shown (B, 3) mean linear colour where known.
    """

    texels: Texels
    step: int
    of_texel: Ints
    grid: Ints
    chart: Ints
    points: FloatArray
    normals: FloatArray
    known: FloatArray
    shown: FloatArray

    @classmethod
    def of(cls, texels: Texels) -> Blocks:
        step = max(1, round(texels.size / _BLOCKS))
        rows = -(-texels.size // step)
        place = np.empty(len(texels.pixel), np.int32)
        for part in texels.chunks():
            y, x = np.divmod(texels.pixel[part], np.int32(texels.size))
            place[part] = (y // step) * rows + x // step
        owner = np.full(rows * rows, -1, np.int64)
        owner[place[::-1]] = texels.chart[texels.face[::-1]]
        grid = np.where(owner >= 0, np.cumsum(owner >= 0) - 1, -1)
        of_texel = grid[place].astype(np.int32)
        stray = np.flatnonzero(texels.chart[texels.face] != owner[place])
        key = texels.chart[texels.face[stray]] * (rows * rows) + place[stray]
        others, index = np.unique(key, return_inverse=True)
        number = int((owner >= 0).sum())
        of_texel[stray] = number + index.reshape(-1)
        chart = np.r_[owner[owner >= 0], others // (rows * rows)]
        none = np.zeros((len(chart), 3), np.float32)
        return cls(texels, step, of_texel, grid.reshape(rows, rows), chart, none, none, none[:, 0], none)

    def around(self, chosen: Ints) -> Iterator[tuple[Ints, FloatArray]]:
        """The four blocks around some texels, each with its bilinear weight (n,); 0 where of another chart."""
        y, x = np.divmod(self.texels.pixel[chosen], np.int32(self.texels.size))
        chart = self.chart[self.of_texel[chosen]]
        last = self.grid.shape[0] - 1
        fy = (y.astype(np.float32) + 0.5) / self.step - 0.5
        fx = (x.astype(np.float32) + 0.5) / self.step - 0.5
        y0, x0 = np.floor(fy).astype(np.int32), np.floor(fx).astype(np.int32)
        fy, fx = fy - y0, fx - x0
        for dy, wy in ((0, 1 - fy), (1, fy)):
            for dx, wx in ((0, 1 - fx), (1, fx)):
                block = self.grid[np.clip(y0 + dy, 0, last), np.clip(x0 + dx, 0, last)]
                yield block, wy * wx * ((block >= 0) & (self.chart[block] == chart))

    def interpolated(self, values: FloatArray, chosen: Ints) -> FloatArray:
        """Values (B, C) at some texels, bilinear between the blocks of the same chart."""
        out = 1e-6 * values[self.of_texel[chosen]]
        total = np.full(len(chosen), 1e-6, np.float32)
        for block, w in self.around(chosen):
            out += w[:, None] * values[block]
            total += w
        return np.asarray(out / total[:, None], np.float32)


def in_threads(work: Callable[[slice], T], parts: Iterable[slice], runtime: Runtime) -> list[T]:
    """Results of ``work`` for every part, in order; numpy and Embree let threads run side by side."""
    with ThreadPoolExecutor(min(4, runtime.threads or os.cpu_count() or 1)) as pool:
        return list(pool.map(work, parts))
