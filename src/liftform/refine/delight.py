"""Less baked-in light in a base colour texture: its smooth shading over directions is fitted and divided out.

A picture's light on a rough surface varies with the normal as nine spherical harmonics do (Ramamoorthi and Hanrahan
2001). Those are fitted to the logarithm of luminance against the normals, robustly, the colours of the surface being
told apart by chromaticity so that a dark side is not taken for a dark paint; what the fit explains is divided out in
part. An estimate, and said to be one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..assets import FloatArray, Mesh
from ..conventions import linear_to_srgb, luminance, srgb_to_linear, to_uint8
from ..recipe import option
from ..render import smooth_normals
from ..runtime import Runtime
from . import blend
from .texels import Texels, in_threads

Floats = NDArray[np.float64]

#: Texels the light is fitted to, and rounds of weighing down what does not fit.
_SAMPLES, _ROUNDS = 20_000, 8
#: Kinds of colour told apart: cells of chromaticity along each of its two axes.
_CELLS = 6
#: Keeps logarithms of dark colours sane, and holds the light towards even (in shares of the samples).
_DARK, _RIDGE = 0.02, 0.01
#: The light may be corrected by at most this factor either way.
_MOST = 1.8
#: Residuals beyond this (logarithmic) count less and less.
_ODD = 0.25
#: Less of the variance than this explained by the light: it is left alone.
_LEAST = 0.04


@dataclass(frozen=True)
class DelightOptions:
    """How much of the light is taken out, and whether a material is guessed."""

    strength: float = option(
        0.0, "share of the light found in the texture that is taken out of it; alone: 0.7", "delight", 0, 1, bare=0.7
    )
    material: bool = option(
        False, "guess roughness and metallic from the colours where the texture is all there is", "guess_material"
    )

    @property
    def wanted(self) -> bool:
        """Whether anything is asked for."""
        return self.strength > 0 or self.material


def delight(options: DelightOptions, runtime: Runtime) -> Callable[[Mesh], Mesh]:
    """Refiner: the base colour texture with less shading in it; mean brightness stays. Needs uv and one material.

    Conservative: only what varies smoothly with direction goes (cast shadows and small highlights stay), nothing where
    that explains under 4 % of the variance, and no texel changes by more than 1.8 times. A mesh without a base colour
    texture, or of several materials, comes back as it is. With ``material``: roughness and metallic are guessed when
    they have no maps, see ``guessed_material``.

    metadata["delight"]: explained (share of the logarithmic variance that the light accounts for), strength, applied,
    light (nine coefficients, real spherical harmonics up to order 2 in the world frame, logarithmic), darkest and
    brightest correction, and guess: the material guessed, which is no measurement.
    """

    def run(mesh: Mesh) -> Mesh:
        mesh.validate()
        material = mesh.material
        if mesh.uv is None or material is None or material.base_color_texture is None:
            why = "several materials" if mesh.materials else "no texture"
            return mesh.with_(metadata={**mesh.metadata, "delight": {"applied": False, "why": why}})
        texture = material.base_color_texture
        size = min(max(texture.shape[:2]), 4096)
        texels = Texels.of(mesh if mesh.normals is not None else mesh.with_(normals=smooth_normals(mesh)), size)
        step = max(1, len(texels.pixel) // _SAMPLES)
        chosen = np.arange(0, len(texels.pixel), step)
        colors = _read(texture, texels, chosen)
        facts: dict[str, Any] = {"applied": False}
        if options.strength > 0:
            light, explained = fitted(colors, texels.surface(chosen)[1])
            facts = {"applied": explained >= _LEAST, "explained": round(explained, 4)}
        if facts["applied"]:
            texture, span = _evened(texture, texels, light * options.strength, runtime)
            facts |= {"strength": options.strength, "light": [round(float(x), 4) for x in light], "correction": span}
            material = replace(material, base_color_texture=texture)
        if options.material and material.roughness_texture is None and material.metallic_texture is None:
            roughness, metallic = guessed_material(colors)
            material = replace(material, roughness=roughness, metallic=metallic)
            facts["guess"] = {"roughness": roughness, "metallic": metallic, "basis": "colour statistics"}
        return mesh.with_(material=material, metadata={**mesh.metadata, "delight": facts})

    return run


def fitted(colors: FloatArray, normals: FloatArray) -> tuple[Floats, float]:
    """Light (9,) in logarithms, without its mean, and the share of variance it explains, from linear colours (N, 3)
    and unit normals (N, 3).

    Every kind of colour has a level of its own, fitted along with the light. Iteratively re-weighted least squares.
    """
    value = np.log(luminance(colors).astype(np.float64) + _DARK)
    kind = _kinds(colors)
    count = int(kind.max(initial=0)) + 1
    basis = harmonics(normals)
    weight = np.ones(len(value))
    light = np.zeros(9)
    for _ in range(_ROUNDS):
        total = np.maximum(np.bincount(kind, weight, count), 1e-9)
        level = np.bincount(kind, weight * value, count) / total
        mean = np.stack([np.bincount(kind, weight * basis[:, k], count) / total for k in range(9)], 1)
        inner, rest = basis - mean[kind], value - level[kind]
        normal = (inner * weight[:, None]).T @ inner + _RIDGE * weight.sum() * np.eye(9)
        light = np.linalg.solve(normal, (inner * weight[:, None]).T @ rest)
        left = rest - inner @ light
        weight = 1 / (1 + (left / _ODD) ** 2)
    variance = float((weight * rest**2).sum())
    explained = 1 - float((weight * left**2).sum()) / variance if variance > 1e-12 else 0.0
    light[0] = 0.0
    return light, max(explained, 0.0)


def harmonics(normals: NDArray[np.floating[Any]]) -> Floats:
    """Real spherical harmonics (N, 9) up to order 2 of unit directions (N, 3), without their constants."""
    x, y, z = np.asarray(normals, np.float64).T
    one = np.ones_like(x)
    return np.stack([one, x, y, z, x * y, y * z, z * x, x * x - y * y, 3 * z * z - 1], 1)


def guessed_material(colors: FloatArray) -> tuple[float, float]:
    """Roughness and metallic from linear colours (N, 3) of a surface, a guess: things are taken for rough and not
    metal; grey ones with a wide spread of brightness, as highlights leave it, for a little smoother."""
    spread = float(np.subtract(*np.quantile(luminance(colors), [0.99, 0.5])))
    grey = float((np.ptp(colors, axis=1) < 0.05).mean())
    return round(float(np.clip(0.9 - 0.4 * spread * (0.5 + 0.5 * grey), 0.5, 0.9)), 2), 0.0


def _kinds(colors: FloatArray) -> NDArray[np.int64]:
    """Cell of chromaticity (N,), numbered from 0; what is nearly black has one of its own."""
    total = colors.sum(1) + 1e-6
    cells = np.clip((colors[:, :2] / total[:, None] * _CELLS).astype(np.int64), 0, _CELLS - 1)
    key = np.where(total < 3 * _DARK, _CELLS**2, cells[:, 0] * _CELLS + cells[:, 1])
    return np.asarray(np.unique(key, return_inverse=True)[1].reshape(-1), np.int64)


def _places(texture: NDArray[np.uint8], texels: Texels, chosen: NDArray[np.integer[Any]] | slice) -> Any:
    """Rows and columns of the texture under some texels."""
    y, x = np.divmod(texels.pixel[chosen], np.int32(texels.size))
    height, width = texture.shape[:2]
    return (y * height) // texels.size, (x * width) // texels.size


def _read(texture: NDArray[np.uint8], texels: Texels, chosen: NDArray[np.integer[Any]]) -> FloatArray:
    """Linear colours (n, 3) of some texels."""
    return srgb_to_linear(texture[_places(texture, texels, chosen)][:, :3].astype(np.float32) / np.float32(255))


def _evened(
    texture: NDArray[np.uint8], texels: Texels, light: Floats, runtime: Runtime
) -> tuple[NDArray[np.uint8], list[float]]:
    """The texture divided by the light, and the smallest and largest factor; unused texels as those around them."""
    height, width = texture.shape[:2]
    log = np.zeros((height, width), np.float32)
    known = np.zeros((height, width), bool)

    def work(part: slice) -> None:
        place = _places(texture, texels, part)
        log[place] = (harmonics(texels.surface(part)[1]) @ light).astype(np.float32)
        known[place] = True

    in_threads(work, texels.chunks(), runtime)
    log -= log[known].mean()
    factor = np.exp(-np.clip(log, -np.log(_MOST), np.log(_MOST)))
    factor[~known] = 1
    factor = blend.filled(factor[..., None], known)
    out = texture.copy()
    for i in range(0, height, 256):
        rows = srgb_to_linear(texture[i : i + 256, :, :3].astype(np.float32) / np.float32(255))
        out[i : i + 256, :, :3] = to_uint8(linear_to_srgb(rows * factor[i : i + 256]))
    return out, [round(float(factor[known].min()), 3), round(float(factor[known].max()), 3)]
