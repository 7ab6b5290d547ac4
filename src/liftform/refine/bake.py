"""The photo and the network's colours -> one texture: seen where the camera saw, guessed elsewhere, without a seam."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..assets import FloatArray, Material, Mesh
from ..capture import Capture
from ..conventions import linear_to_srgb, srgb_to_linear, to_uint8
from ..errors import InputError
from ..recipe import option
from ..runtime import Runtime
from . import blend, surface
from .observe import Observer
from .raster import rasterize

Ints = NDArray[np.integer]
T = TypeVar("T")

#: The colour field is worked out on blocks of texels, this many to a side of the texture.
_BLOCKS = 170
#: Texels worked on at once.
_CHUNK = 1 << 16


@dataclass(frozen=True)
class BakeOptions:
    """How the texture is made."""

    size: int = option(1024, "side of the texture in pixels", "texture_size", 256, 4096)
    mirror: bool = option(True, "show the seen side on the hidden one where the object is symmetric", "")


def bake(mesh: Mesh, dense: Mesh, capture: Capture, options: BakeOptions, runtime: Runtime) -> Mesh:
    """Textured copy of ``mesh`` (uv, normals, in the photo's view frame), with ``seen`` per vertex.

    The photo's foreground where its camera saw the surface, faded at grazing angles and at the mask's edge; elsewhere
    the vertex colours of ``dense`` (or the photo's mirrored side where dense.metadata["mirror"] = (normal (3,), offset)
    says that normal . p = offset is a plane of symmetry), brought to the photo's light and joined to the seen colours
    by a membrane along the surface. Blended in linear light. metadata["bake"]: seen_share of the area, texture_size,
    texels_per_unit, gain. Raises InputError when uv, normals, camera or mask are missing.
    """
    if mesh.uv is None or mesh.normals is None:
        raise InputError("this mesh has no texture coordinates", "run unwrap before bake")
    texels = _Texels.of(mesh, options.size)
    observer = Observer(capture.photo, mesh, texels.per_unit)
    blocks = _Blocks.of(texels)
    photo, weight = _observed(texels, blocks, observer, runtime)
    runtime.progress("bake", 0.6)
    guess = _Guess.of(blocks, dense, observer, options.mirror)
    texture = _textured(texels, photo, weight, guess, runtime)
    facts = {
        "seen_share": round(texels.share(weight), 4),
        "texture_size": options.size,
        "texels_per_unit": round(texels.per_unit, 2),
        "gain": [round(float(x), 3) for x in np.exp(guess.gain)],
        "mirrored": guess.plane is not None,
    }
    return mesh.with_(
        seen=observer(mesh.vertices, mesh.normals)[1],
        material=Material(base_color_texture=texture, metallic=0.0, roughness=0.9),
        metadata={**mesh.metadata, "bake": facts},
    )


@dataclass(frozen=True)
class _Texels:
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
    def of(cls, mesh: Mesh, size: int) -> _Texels:
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
class _Blocks:
    """Square blocks of texels, one per chart they touch: the samples on which colours are guessed and carried on.

    of_texel (N,) int32: the block of each texel. grid (rows, rows): block of one of the charts there, -1 where none.
    After ``_observed``: points, normals (B, 3), known (B,) mean weight, shown (B, 3) mean linear colour where known.
    """

    texels: _Texels
    step: int
    of_texel: Ints
    grid: Ints
    chart: Ints
    points: FloatArray
    normals: FloatArray
    known: FloatArray
    shown: FloatArray

    @classmethod
    def of(cls, texels: _Texels) -> _Blocks:
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

    def interpolated(self, values: FloatArray, chosen: Ints) -> FloatArray:
        """Values (B, C) at some texels, bilinear between the blocks of the same chart."""
        y, x = np.divmod(self.texels.pixel[chosen], np.int32(self.texels.size))
        own = self.of_texel[chosen]
        chart = self.chart[own]
        last = self.grid.shape[0] - 1
        fy = (y.astype(np.float32) + 0.5) / self.step - 0.5
        fx = (x.astype(np.float32) + 0.5) / self.step - 0.5
        y0, x0 = np.floor(fy).astype(np.int32), np.floor(fx).astype(np.int32)
        fy, fx = fy - y0, fx - x0
        out = 1e-6 * values[own]
        total = np.full(len(chosen), 1e-6, np.float32)
        for dy, wy in ((0, 1 - fy), (1, fy)):
            for dx, wx in ((0, 1 - fx), (1, fx)):
                block = self.grid[np.clip(y0 + dy, 0, last), np.clip(x0 + dx, 0, last)]
                w = wy * wx * ((block >= 0) & (self.chart[block] == chart))
                out += w[:, None] * values[block]
                total += w
        return np.asarray(out / total[:, None], np.float32)


def _in_threads(work: Callable[[slice], T], parts: Iterable[slice], runtime: Runtime) -> list[T]:
    """Results of ``work`` for every part, in order; numpy and Embree let threads run side by side."""
    with ThreadPoolExecutor(min(4, runtime.threads or os.cpu_count() or 1)) as pool:
        return list(pool.map(work, parts))


def _observed(texels: _Texels, blocks: _Blocks, observer: Observer, runtime: Runtime) -> tuple[FloatArray, FloatArray]:
    """Linear colour (N, 3) and weight (N,) that the photo gives every texel; their means are left in the blocks."""
    photo = np.empty((len(texels.pixel), 3), np.float32)
    weight = np.empty(len(texels.pixel), np.float32)

    def look(part: slice) -> tuple[int, list[NDArray[Any]]]:
        points, normals = texels.surface(part)
        photo[part], seen = observer(points, normals)
        weight[part] = seen
        own = blocks.of_texel[part]
        low = int(own.min())
        columns = (None, *points.T, *normals.T, seen, *(photo[part] * seen[:, None]).T)
        return low, [np.bincount(own - low, column) for column in columns]

    sums = np.zeros((11, len(blocks.chart)))
    for low, parts in _in_threads(look, texels.chunks(), runtime):
        sums[:, low : low + len(parts[0])] += parts
    count = np.maximum(sums[0], 1)
    blocks.points = (sums[1:4] / count).T.astype(np.float32)
    length = np.maximum(np.linalg.norm(sums[4:7], axis=0), 1e-12)
    blocks.normals = (sums[4:7] / length).T.astype(np.float32)
    blocks.known = (sums[7] / count).astype(np.float32)
    blocks.shown = (sums[8:11] / np.maximum(sums[7], 1e-9)).T.astype(np.float32)
    return photo, weight


@dataclass(frozen=True)
class _Guess:
    """Colours for what was not seen: per block a linear base (B, 3) and the membrane's correction (B, 3) of it.

    gain (3,): logarithmic correction that brought the network's colours to the photo's. plane: see ``_mirror``.
    """

    blocks: _Blocks
    observer: Observer
    base: FloatArray
    field: FloatArray
    gain: NDArray[np.float64]
    plane: tuple[NDArray[np.float64], float] | None

    @classmethod
    def of(cls, blocks: _Blocks, dense: Mesh, observer: Observer, mirror: bool) -> _Guess:
        base, gain = _network_colors(blocks, dense)
        plane = _mirror(dense) if mirror else None
        shown = base if plane is None else _mirrored(observer, plane, blocks.points, blocks.normals, base)
        difference = blend.encode(blocks.shown) - blend.encode(shown)
        field = blend.membrane(blocks.points, blocks.normals, difference, blocks.known, observer.size)
        return cls(blocks, observer, base if plane is not None else blend.applied(base, field), field, gain, plane)

    def at(self, chosen: Ints) -> FloatArray:
        """Linear colours (n, 3) of some texels."""
        if self.plane is None:
            return self.blocks.interpolated(self.base, chosen)
        both = self.blocks.interpolated(np.concatenate([self.base, self.field], 1), chosen)
        points, normals = self.blocks.texels.surface(chosen)
        return blend.applied(_mirrored(self.observer, self.plane, points, normals, both[:, :3]), both[:, 3:])


def _network_colors(blocks: _Blocks, dense: Mesh) -> tuple[FloatArray, NDArray[np.float64]]:
    """The network's linear colour of every block (B, 3), brought to the photo's light, and the gain (3,) used."""
    from scipy.spatial import cKDTree

    if dense.colors is None:
        middle = np.average(blocks.shown, axis=0, weights=blocks.known + 1e-9)
        return np.broadcast_to(middle, blocks.shown.shape).astype(np.float32), np.zeros(3)
    tree = cKDTree(dense.vertices, balanced_tree=False, compact_nodes=False)
    _, near = tree.query(blocks.points, k=3)
    guess = srgb_to_linear(dense.colors[near]).mean(1)
    gain = blend.gain(blocks.shown, guess, blocks.known)
    needed = blend.learned(blocks.shown, guess, blocks.known, gain)
    return blend.applied(guess, needed), gain


def _mirror(dense: Mesh) -> tuple[NDArray[np.float64], float] | None:
    """The plane of symmetry (unit normal, offset) that the reconstruction found, or None."""
    given: Any = dense.metadata.get("mirror")
    if given is None:
        return None
    normal = np.asarray(given[0], np.float64)
    length = float(np.linalg.norm(normal))
    return (normal / length, float(given[1]) / length) if length > 0 else None


def _mirrored(
    observer: Observer,
    plane: tuple[NDArray[np.float64], float],
    points: FloatArray,
    normals: FloatArray,
    otherwise: FloatArray,
) -> FloatArray:
    """The photo's colour of the mirrored points where those were seen, else the given colours."""
    normal, offset = plane[0].astype(np.float32), plane[1]
    there = points - 2 * (points @ normal - np.float32(offset))[:, None] * normal
    color, weight = observer(there, normals - 2 * (normals @ normal)[:, None] * normal, offset=0.015)
    return weight[:, None] * color + (1 - weight[:, None]) * otherwise


def _textured(
    texels: _Texels, photo: FloatArray, weight: FloatArray, guess: _Guess, runtime: Runtime
) -> NDArray[np.uint8]:
    """The sRGB texture (size, size, 3): photo (N, 3) and guess mixed by weight (N,) in linear light, gaps filled."""
    image = np.zeros((texels.size**2, 3), np.uint8)

    def draw(part: slice) -> None:
        unseen = part.start + np.flatnonzero(weight[part] < 1)
        mix = weight[unseen, None]
        photo[unseen] = mix * photo[unseen] + (1 - mix) * guess.at(unseen)
        image[texels.pixel[part]] = to_uint8(linear_to_srgb(photo[part]))

    _in_threads(draw, texels.chunks(), runtime)
    known = np.zeros(texels.size**2, bool)
    known[texels.pixel] = True
    square = (texels.size, texels.size)
    return blend.filled(image.reshape(*square, 3), known.reshape(square))
