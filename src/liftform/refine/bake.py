"""The photo and the network's colours -> one texture: seen where the camera saw, guessed elsewhere, without a seam."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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

Ints = NDArray[np.int64]

#: The colour field is worked out on blocks of texels, this many to a side of the texture.
_BLOCKS = 170


@dataclass(frozen=True)
class BakeOptions:
    """How the texture is made."""

    size: int = option(1024, "side of the texture in pixels", "texture-size", 256, 4096)
    mirror: bool = option(True, "show the seen side on the hidden one where the object is symmetric", "")


def bake(mesh: Mesh, dense: Mesh, capture: Capture, options: BakeOptions, runtime: Runtime) -> Mesh:
    """Textured copy of ``mesh`` (uv, normals, in the photo's view frame), with ``seen`` per vertex.

    The photo's foreground where its camera saw the surface, faded at grazing angles and at the mask's edge; elsewhere
    the vertex colours of ``dense`` (or the photo's mirrored side where dense.metadata["mirror"] = (normal (3,), offset)
    says that normal . p = offset is a plane of symmetry), brought to the photo's light and joined to the seen colours by
    a membrane along the surface. Blended in linear light. metadata["bake"]: seen_share of the area, texture_size,
    texels_per_unit, gain. Raises InputError when uv, normals, camera or mask are missing.
    """
    if mesh.uv is None or mesh.normals is None:
        raise InputError("this mesh has no texture coordinates", "run unwrap before bake")
    texels = _Texels.of(mesh, options.size)
    observer = Observer(capture.photo, mesh, texels.per_unit)
    runtime.progress("bake", 0.2)
    photo, weight = observer(texels.points, texels.normals)
    runtime.progress("bake", 0.6)
    blocks = _Blocks.of(texels, options.size)
    base, fitted = _guessed(blocks, dense, photo, weight)
    plane = _mirror(dense) if options.mirror else None
    known, shown = blocks.mean(weight), blocks.mean(photo, weight)
    block_base = base if plane is None else _mirrored(observer, plane, blocks.points, blocks.normals, base)
    difference = blend.encode(shown) - blend.encode(block_base)
    field = blend.membrane(blocks.points, blocks.normals, difference, known, observer.size)
    rest = np.flatnonzero(weight < 1)
    smooth = blocks.interpolated(np.concatenate([base, field.astype(np.float32)], 1), rest)
    color = smooth[:, :3]
    if plane is not None:
        color = _mirrored(observer, plane, texels.points[rest], texels.normals[rest], color)
    color = blend.applied(color, smooth[:, 3:])
    mix = weight[rest, None]
    photo[rest] = mix * photo[rest] + (1 - mix) * color
    runtime.progress("bake", 0.9)
    facts = {
        "seen_share": round(float((weight * texels.area).sum() / texels.area.sum()), 4),
        "texture_size": options.size,
        "texels_per_unit": round(texels.per_unit, 2),
        "gain": [round(float(x), 3) for x in np.exp(fitted)],
        "mirrored": plane is not None,
    }
    return mesh.with_(
        seen=observer(mesh.vertices, mesh.normals)[1],
        material=Material(base_color_texture=_texture(texels, photo, options.size), metallic=0.0, roughness=0.9),
        metadata={**mesh.metadata, "bake": facts},
    )


@dataclass(frozen=True)
class _Texels:
    """The texels that lie on the surface: pixel (N,) as y * size + x, face (N,), points and unit normals (N, 3), area (N,)."""

    pixel: Ints
    face: Ints
    chart: Ints
    points: FloatArray
    normals: FloatArray
    area: FloatArray
    per_unit: float

    @classmethod
    def of(cls, mesh: Mesh, size: int) -> _Texels:
        assert mesh.uv is not None and mesh.normals is not None
        corners = mesh.uv[mesh.faces].astype(np.float64) * size
        face, pixel, weight = rasterize(corners, size, size)
        e, g = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
        flat = np.abs(e[:, 0] * g[:, 1] - e[:, 1] * g[:, 0]) / 2
        solid = np.linalg.norm(surface.cross_products(mesh.vertices, mesh.faces), axis=1) / 2
        chart = surface.components(mesh.faces, len(mesh.vertices))[1][mesh.faces[:, 0]]
        both = np.concatenate([mesh.vertices, mesh.normals], 1)
        at = _interpolated(both[mesh.faces], face, weight)
        normals = at[:, 3:] / np.maximum(np.linalg.norm(at[:, 3:], axis=1, keepdims=True), 1e-12)
        area = (solid / np.maximum(flat, 1e-12)).astype(np.float32)[face]
        density = float(np.sqrt(flat.sum() / max(solid.sum(), 1e-300)))
        return cls(pixel, face, chart[face], np.ascontiguousarray(at[:, :3]), normals, area, density)


def _interpolated(corners: FloatArray, face: Ints, weight: FloatArray) -> FloatArray:
    """Values per corner (F, 3, C) at (face, barycentric weight): (N, C)."""
    out = corners[:, 0][face] * weight[:, :1]
    for i in (1, 2):
        out += corners[:, i][face] * weight[:, i : i + 1]
    return out


@dataclass(frozen=True)
class _Blocks:
    """Square blocks of texels, one per chart they touch: the samples on which colours are guessed and carried on.

    of_texel (N,): the block of each texel. grid: (rows, rows) block of the first chart there, -1 where none.
    """

    of_texel: Ints
    place: Ints
    grid: Ints
    chart: Ints
    step: int
    size: int
    texels: _Texels
    points: FloatArray
    normals: FloatArray

    @classmethod
    def of(cls, texels: _Texels, size: int) -> _Blocks:
        step = max(1, round(size / _BLOCKS))
        rows = -(-size // step)
        y, x = np.divmod(texels.pixel, size)
        place = (y // step) * rows + x // step
        first = np.full(rows * rows, -1, np.int64)
        first[place[::-1]] = np.arange(len(place))[::-1]
        stray = texels.chart != texels.chart[first[place]]
        of_texel = np.empty(len(place), np.int64)
        grid = np.cumsum(first >= 0) - 1
        of_texel[~stray] = grid[place[~stray]]
        number = int(grid[-1]) + 1
        key = texels.chart[stray] * (rows * rows) + place[stray]
        _, example, index = np.unique(key, return_index=True, return_inverse=True)
        of_texel[stray] = number + index
        chosen = np.r_[first[first >= 0], np.flatnonzero(stray)[example]]
        total = np.maximum(np.bincount(of_texel, minlength=len(chosen)), 1)[:, None]
        means = [
            np.stack([np.bincount(of_texel, v[:, k], len(chosen)) for k in range(3)], 1) / total
            for v in (texels.points, texels.normals)
        ]
        normals = means[1] / np.maximum(np.linalg.norm(means[1], axis=1, keepdims=True), 1e-12)
        return cls(
            of_texel,
            place[chosen],
            np.where(first >= 0, grid, -1).reshape(rows, rows),
            texels.chart[chosen],
            step,
            size,
            texels,
            means[0].astype(np.float32),
            normals.astype(np.float32),
        )

    def mean(self, values: FloatArray, weight: FloatArray | None = None) -> FloatArray:
        """Means (B,) or (B, C) over the texels of each block, weighted where a weight (N,) is given."""
        count = len(self.points)
        total = np.bincount(self.of_texel, weight, count)
        columns = values.reshape(len(values), -1)
        sums = [np.bincount(self.of_texel, c if weight is None else c * weight, count) for c in columns.T]
        out = np.stack(sums, 1) / np.maximum(total, 1e-9)[:, None]
        return out.reshape(count, *values.shape[1:]).astype(np.float32)

    def interpolated(self, values: FloatArray, chosen: Ints) -> FloatArray:
        """Values (B, C) at some texels, bilinear between the blocks of the same chart."""
        y, x = np.divmod(self.texels.pixel[chosen], self.size)
        own = self.of_texel[chosen]
        chart = self.texels.chart[chosen]
        rows = self.grid.shape[0]
        fy, fx = (y + 0.5) / self.step - 0.5, (x + 0.5) / self.step - 0.5
        y0, x0 = np.floor(fy).astype(np.int64), np.floor(fx).astype(np.int64)
        fy, fx = (fy - y0).astype(np.float32), (fx - x0).astype(np.float32)
        out = np.zeros((len(chosen), values.shape[1]), np.float32)
        total = np.full(len(chosen), 1e-6, np.float32)
        out += 1e-6 * values[own]
        for dy, wy in ((0, 1 - fy), (1, fy)):
            for dx, wx in ((0, 1 - fx), (1, fx)):
                block = self.grid[np.clip(y0 + dy, 0, rows - 1), np.clip(x0 + dx, 0, rows - 1)]
                w = wy * wx * ((block >= 0) & (self.chart[block] == chart))
                out += w[:, None] * values[block]
                total += w
        return out / total[:, None]


def _guessed(
    blocks: _Blocks, dense: Mesh, photo: FloatArray, weight: FloatArray
) -> tuple[FloatArray, NDArray[np.float64]]:
    """The network's linear colour of every block (B, 3), brought to the photo's light, and the gain (3,) that did it."""
    from scipy.spatial import cKDTree

    known = blocks.mean(weight)
    shown = blocks.mean(photo, weight)
    if dense.colors is None:
        middle = np.average(shown, axis=0, weights=known + 1e-9)
        return np.broadcast_to(middle, shown.shape).astype(np.float32), np.zeros(3)
    tree = cKDTree(dense.vertices, balanced_tree=False, compact_nodes=False)
    _, near = tree.query(blocks.points, k=3)
    guess = srgb_to_linear(dense.colors[near]).mean(1)
    fitted = blend.gain(shown, guess, known)
    return blend.applied(guess, fitted), fitted


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


def _texture(texels: _Texels, color: FloatArray, size: int) -> NDArray[np.uint8]:
    """Colours of the texels as an sRGB image, the gaps filled from the nearest charts."""
    image = np.zeros((size * size, 3), np.float32)
    known = np.zeros(size * size, bool)
    image[texels.pixel], known[texels.pixel] = linear_to_srgb(color), True
    return to_uint8(blend.filled(image.reshape(size, size, 3), known.reshape(size, size)))
