"""All that a mesh says about its surface at any place of it: colour, normal, roughness, light, however stored."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..assets import FloatArray, Material, Mesh
from ..conventions import srgb_to_linear, to_uint8
from ..render import Scene
from . import surface
from .nearest import Places
from .tangents import corner_tangents, to_world

Encoding = Literal["srgb", "linear"]

_ENCODED: FloatArray = (np.arange(256) / 255).astype(np.float32)
_DECODED: dict[str, FloatArray] = {"srgb": srgb_to_linear(_ENCODED), "linear": _ENCODED}
#: Textures this many times as fine as what they are carried to are averaged down first.
_FINER = 2.0
#: Rows of a texture that are averaged at once.
_ROWS = 256


@dataclass(frozen=True)
class _Texture:
    """A texture read bilinearly, repeated outside [0, 1] as glTF does unless told otherwise; alpha is always linear."""

    pixels: NDArray[np.uint8]
    encoding: Encoding

    def __call__(self, uv: FloatArray) -> FloatArray:
        """Decoded values (N, C) at uv (N, 2)."""
        height, width, channels = self.pixels.shape
        x, y = uv[:, 0] * np.float32(width) - 0.5, uv[:, 1] * np.float32(height) - 0.5
        left, top = np.floor(x), np.floor(y)
        fx, fy = (x - left)[:, None], (y - top)[:, None]
        columns = [np.mod(left + k, width).astype(np.int64) for k in (0, 1)]
        rows = [np.mod(top + k, height).astype(np.int64) * width for k in (0, 1)]
        flat, table = self.pixels.reshape(-1, channels), _DECODED[self.encoding]
        out = np.zeros((len(uv), channels), np.float32)
        for row, wy in zip(rows, (1 - fy, fy), strict=True):
            for column, wx in zip(columns, (1 - fx, fx), strict=True):
                texel = flat[row + column]
                value = table[texel]
                if channels == 4:
                    value[:, 3] = _ENCODED[texel[:, 3]]
                out += value * (wx * wy)
        return out

    def reduced(self, factor: int) -> _Texture:
        """The texture averaged over squares of ``factor`` texels, in linear light."""
        height, width, channels = self.pixels.shape
        high, wide = -(-height // factor) * factor, -(-width // factor) * factor
        padded = np.pad(self.pixels, ((0, high - height), (0, wide - width), (0, 0)), mode="edge")
        out = np.empty((high // factor, wide // factor, channels), np.uint8)
        for i in range(0, len(out), _ROWS):
            block = padded[i * factor : (i + _ROWS) * factor].reshape(-1, factor, wide // factor, factor, channels)
            mean = _DECODED[self.encoding][block[..., :3]].mean((1, 3))
            out[i : i + _ROWS, :, :3] = encoded(mean) if self.encoding == "srgb" else to_uint8(mean)
            if channels == 4:
                out[i : i + _ROWS, :, 3] = to_uint8(_ENCODED[block[..., 3]].mean((1, 3)))
        return _Texture(out, self.encoding)


def encoded(linear: FloatArray) -> NDArray[np.uint8]:
    """Linear light, any shape, as sRGB bytes: by a table of 4096 steps of its square root, off by one at most."""
    index = np.sqrt(np.clip(linear, 0, 1)) * np.float32(4095) + np.float32(0.5)
    return _srgb_table()[index.astype(np.int32)]


@functools.cache
def _srgb_table() -> NDArray[np.uint8]:
    from ..conventions import linear_to_srgb

    return to_uint8(linear_to_srgb(((np.arange(4096) / 4095) ** 2).astype(np.float32)))


class Source:
    """A mesh asked about its surface. Without any material it is plain white unless it has vertex colours."""

    def __init__(self, mesh: Mesh, per_unit: float) -> None:
        """per_unit: samples that will be taken along a unit of length; finer textures are averaged down to that."""
        self.mesh = mesh
        self.scene = Scene(mesh)
        self.size = max(surface.diagonal(mesh.vertices), 1e-30)
        materials = mesh.all_materials or (Material(),)
        self._material = np.zeros(len(mesh.faces), np.int32) if mesh.face_material is None else mesh.face_material
        self._all = materials
        self.used = tuple(materials[i] for i in np.unique(self._material))
        self._factor = [self._reduction(i, per_unit) for i in range(len(materials))]
        self._read: dict[tuple[int, str], _Texture | None] = {}

    @functools.cached_property
    def corner_normals(self) -> FloatArray:
        """(F, 3, 3): the mesh's normals, or smooth ones with creases."""
        return self.scene.corner_normals

    @functools.cached_property
    def tangents(self) -> FloatArray | None:
        """(F, 3, 4) where some material has a normal map, else None."""
        mapped = any(m.normal_texture is not None for m in self.used) and self.mesh.uv is not None
        return corner_tangents(self.mesh, self.corner_normals) if mapped else None

    @property
    def colored(self) -> bool:
        """Whether colour varies over the surface."""
        factors = {m.base_color for m in self.used}
        return self.mesh.colors is not None or self._textured("base_color_texture") or len(factors) > 1

    def varies(self, name: str) -> bool:
        """Whether roughness, metallic, occlusion or emissive varies over the surface."""
        factors = {getattr(m, name, None) for m in self.used}
        return self._textured(f"{name}_texture") or len(factors) > 1

    def _textured(self, name: str) -> bool:
        return self.mesh.uv is not None and any(getattr(m, name) is not None for m in self.used)

    def color(self, places: Places) -> FloatArray:
        """Linear RGBA (N, 4): texture, else vertex colours, times the factor; alpha as the materials use it."""
        out = np.ones((len(places.face), 4), np.float32)
        for index, material, rows in self._by_material(places):
            texture = self._texture(index, "base_color_texture", "srgb")
            if texture is not None:
                value = texture(self._uv(places, rows))
                out[rows, : value.shape[1]] = value
            elif self.scene.colors_linear is not None:
                out[rows, :3] = self._at_corners(self.scene.colors_linear[self.mesh.faces], places, rows)
            out[rows] *= np.asarray(material.base_color, np.float32)
            out[rows, 3] = self._alpha(material, out[rows, 3])
        return out

    def scalar(self, name: str, places: Places) -> FloatArray:
        """Roughness, metallic or occlusion (N,) in [0, 1]."""
        out = np.ones(len(places.face), np.float32)
        for index, material, rows in self._by_material(places):
            texture = self._texture(index, f"{name}_texture", "linear")
            value = 1.0 if texture is None else texture(self._uv(places, rows))[:, 0]
            out[rows] = value * np.float32(getattr(material, name, 1.0))
        return out

    def emissive(self, places: Places) -> FloatArray:
        """Linear RGB (N, 3)."""
        out = np.ones((len(places.face), 3), np.float32)
        for index, material, rows in self._by_material(places):
            texture = self._texture(index, "emissive_texture", "srgb")
            value = 1.0 if texture is None else texture(self._uv(places, rows))
            out[rows] = value * np.asarray(material.emissive, np.float32)
        return out

    def normals(self, places: Places, facing: FloatArray) -> FloatArray:
        """Unit world normals (N, 3), normal maps included, on the side to which ``facing`` (N, 3) looks."""
        everything = np.arange(len(places.face))
        plain = self._at_corners(self.corner_normals, places, everything)
        plain /= np.maximum(np.linalg.norm(plain, axis=1, keepdims=True), 1e-12)
        out = plain
        if self.tangents is not None:
            out = plain.copy()
            for index, _, rows in self._by_material(places):
                texture = self._texture(index, "normal_texture", "linear")
                if texture is not None:
                    there = texture(self._uv(places, rows)) * 2 - 1
                    tangent = self._at_corners(self.tangents, places, rows)
                    out[rows] = to_world(there, plain[rows], tangent)
        away = np.einsum("ij,ij->i", plain, facing) < 0
        return np.where(away[:, None], -out, out)

    def points(self, places: Places) -> FloatArray:
        """(N, 3)."""
        return self._at_corners(self.mesh.vertices[self.mesh.faces], places, np.arange(len(places.face)))

    def attribute(self, values: FloatArray, places: Places) -> FloatArray:
        """A number of every vertex (V,), interpolated (N,)."""
        return self._at_corners(values[self.mesh.faces][..., None], places, np.arange(len(places.face)))[:, 0]

    def _by_material(self, places: Places) -> list[tuple[int, Material, NDArray[np.intp]]]:
        """Material and the rows of the places that have it."""
        if len(self._all) == 1:
            return [(0, self._all[0], np.arange(len(places.face)))]
        index = self._material[places.face]
        return [(int(i), self._all[i], np.flatnonzero(index == i)) for i in np.unique(index)]

    def _uv(self, places: Places, rows: NDArray[np.intp]) -> FloatArray:
        assert self.mesh.uv is not None
        return self._at_corners(self.mesh.uv[self.mesh.faces], places, rows)

    def _at_corners(self, values: FloatArray, places: Places, rows: NDArray[np.intp]) -> FloatArray:
        """Corner values (F, 3, C) at some places (n, C)."""
        face, weight = places.face[rows], places.weight[rows]
        out = values[face, 0] * weight[:, :1]
        for i in (1, 2):
            out += values[face, i] * weight[:, i : i + 1]
        return np.asarray(out, np.float32)

    def _alpha(self, material: Material, alpha: FloatArray) -> FloatArray:
        """What alpha means: nothing when opaque; yes or no when cut out beside materials that see it otherwise."""
        if material.alpha_mode == "opaque":
            return np.ones_like(alpha)
        cutoffs = {m.alpha_cutoff for m in self.used if m.alpha_mode == "mask"}
        mixed = len(cutoffs) > 1 or any(m.alpha_mode == "blend" for m in self.used)
        if material.alpha_mode == "mask" and mixed:
            return (alpha >= material.alpha_cutoff).astype(np.float32)
        return alpha

    def _texture(self, index: int, name: str, encoding: Encoding) -> _Texture | None:
        """A texture of a material, averaged down where that is due."""
        key = index, name
        if key not in self._read:
            pixels = getattr(self._all[index], name) if self.mesh.uv is not None else None
            self._read[key] = None if pixels is None else self._prepared(pixels, encoding, self._factor[index])
        return self._read[key]

    @staticmethod
    def _prepared(pixels: NDArray[np.uint8], encoding: Encoding, side: float) -> _Texture:
        """side: texels for every sample along one side, per texel of the texture's width."""
        texture = _Texture(pixels if pixels.ndim == 3 else pixels[..., None], encoding)
        finer = side * float(np.sqrt(pixels.shape[0] * pixels.shape[1]))
        return texture.reduced(int(2 ** np.floor(np.log2(finer)))) if finer >= _FINER else texture

    def _reduction(self, index: int, per_unit: float) -> float:
        """Of a material: side of its uv square that falls to one sample, 0 where unknown."""
        faces = self.mesh.faces[self._material == index]
        if self.mesh.uv is None or not len(faces):
            return 0.0
        solid = np.linalg.norm(surface.cross_products(self.mesh.vertices, faces), axis=1) / 2
        q = self.mesh.uv[faces].astype(np.float64)
        e, g = q[:, 1] - q[:, 0], q[:, 2] - q[:, 0]
        flat = np.abs(e[:, 0] * g[:, 1] - e[:, 1] * g[:, 0]) / 2
        # the median, so that a few faces that stretch over the whole texture do not blur the others
        ratio = np.sqrt(flat / np.maximum(solid, 1e-300))[solid > 0]
        return float(np.median(ratio)) / per_unit if len(ratio) else 0.0
