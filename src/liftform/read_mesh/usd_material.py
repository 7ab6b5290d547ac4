"""UsdPreviewSurface materials of a USD stage, and the faces they are bound to (extra usd)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..assets import Material
from .archive import Archive
from .pictures import Pictures, Pixels
from .source import Source

_CHANNELS = {"r": 0, "g": 1, "b": 2, "a": 3}


class Looks:
    """The materials of one stage, each made once, so that equal ones are the same object."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._pictures = Pictures(source)
        self._archive = Archive(source) if source.data[:4] == b"PK\x03\x04" else None
        self._made: dict[tuple[str, bool], Material | None] = {}

    def bound(self, prim: Any, faces: int) -> Iterator[tuple[Material | None, NDArray[np.int64] | None]]:
        """(material, numbers of its polygons) of a mesh prim; None instead of numbers: all."""
        from pxr import UsdGeom, UsdShade

        subsets = UsdShade.MaterialBindingAPI(prim).GetMaterialBindSubsets()
        double_sided = bool(UsdGeom.Mesh(prim).GetDoubleSidedAttr().Get())
        left = np.ones(faces, bool)
        for subset in subsets:
            numbers = np.asarray(UsdGeom.Subset(subset).GetIndicesAttr().Get() or [], np.int64)
            numbers = numbers[(numbers >= 0) & (numbers < faces)]
            numbers = numbers[left[numbers]]
            left[numbers] = False
            yield self._of(subset.GetPrim(), double_sided), numbers
        if left.any():
            yield self._of(prim, double_sided), None if left.all() else np.flatnonzero(left)

    def _of(self, prim: Any, double_sided: bool) -> Material | None:
        from pxr import UsdShade

        material, _ = UsdShade.MaterialBindingAPI(prim).ComputeBoundMaterial()
        if not material:
            return None
        key = (str(material.GetPath()), double_sided)
        if key not in self._made:
            made = self._material(material)
            self._made[key] = made and replace(made, double_sided=double_sided)
        return self._made[key]

    def _material(self, material: Any) -> Material | None:
        shader, _, _ = material.ComputeSurfaceSource()
        if not shader or shader.GetIdAttr().Get() != "UsdPreviewSurface":
            self._source.note("materials other than UsdPreviewSurface are left out")
            return None
        base, glow = (
            self._input(shader, "diffuseColor", (0.18, 0.18, 0.18)),
            self._input(shader, "emissiveColor", (0, 0, 0)),
        )
        alpha, metal = self._input(shader, "opacity", 1.0), self._input(shader, "metallic", 0.0)
        rough, threshold = self._input(shader, "roughness", 0.5), self._input(shader, "opacityThreshold", 0.0)[0]
        normal, occlusion = self._input(shader, "normal", (0, 0, 1)), self._input(shader, "occlusion", 1.0)
        factor = (1.0, 1.0, 1.0) if base[1] is not None else _three(base[0])
        opacity = 1.0 if alpha[1] is not None else float(np.clip(alpha[0], 0, 1))
        picture, through = base[1], alpha[1] is not None and bool((alpha[1] < 255).any())
        if picture is not None and through and alpha[1] is not None and alpha[1].shape == picture.shape[:2]:
            picture = np.dstack([picture[..., :3], alpha[1]])
        elif picture is not None:
            picture, through = picture[..., :3].copy(), False
        return Material(
            picture,
            (*factor, opacity),
            metallic=1.0 if metal[1] is not None else float(metal[0]),
            roughness=1.0 if rough[1] is not None else float(rough[0]),
            name=str(material.GetPrim().GetName()),
            normal_texture=None if normal[1] is None else normal[1][..., :3].copy(),
            occlusion_texture=occlusion[1],
            roughness_texture=rough[1],
            metallic_texture=metal[1],
            emissive=(1.0, 1.0, 1.0) if glow[1] is not None else _three(glow[0]),
            emissive_texture=None if glow[1] is None else glow[1][..., :3].copy(),
            alpha_mode="opaque" if not through and opacity >= 1 else "mask" if float(threshold) > 0 else "blend",
            alpha_cutoff=float(threshold) if float(threshold) > 0 else 0.5,
        )

    def _input(self, shader: Any, name: str, default: Any) -> tuple[Any, Pixels | None]:
        """(value, picture) of a shader's input: (H, W, 4) of a colour, (H, W) of a single channel."""
        from pxr import UsdShade

        put = shader.GetInput(name)
        if not put:
            return default, None
        for attribute in UsdShade.Utils.GetValueProducingAttributes(put):
            node, output = UsdShade.Shader(attribute.GetPrim()), attribute.GetName()
            if output.startswith("outputs:") and node.GetIdAttr().Get() == "UsdUVTexture":
                pixels = self._picture(node.GetInput("file").Get())
                channel = _CHANNELS.get(output.partition(":")[2])
                return default, pixels if pixels is None or channel is None else pixels[..., channel].copy()
            if not output.startswith("outputs:"):
                value = attribute.Get()
                return default if value is None else value, None
        return default, None

    def _picture(self, file: Any) -> Pixels | None:
        """The picture of an asset path, from the archive or from beside the file."""
        if file is None:
            return None
        if self._archive is None:
            return self._pictures.named(str(file.path))
        inside = str(file.resolvedPath).rpartition("[")[2].rstrip("]")
        name = inside or str(file.path)
        return self._pictures.decode(name, self._archive.read(name))


def _three(value: Any) -> tuple[float, float, float]:
    r, g, b = (float(x) for x in np.clip(np.asarray(value, np.float64).reshape(3), 0, None))
    return r, g, b
