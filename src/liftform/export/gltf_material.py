"""Materials of a GLB: every map of metallic-roughness, packed as glTF wants them, each picture stored once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..assets import Material
from .content import Pixels, encode_texture, texture_suffix

if TYPE_CHECKING:
    from . import ExportOptions
    from .gltf_data import Buffer

_LINEAR, _LINEAR_MIPMAP_LINEAR, _CLAMP, _REPEAT = 9729, 9987, 33071, 10497
_MIME = {"png": "image/png", "jpg": "image/jpeg"}


class Materials:
    """Materials, textures, images and samplers of one document while it grows."""

    def __init__(self, document: dict[str, Any], buffer: Buffer, options: ExportOptions) -> None:
        self._document, self._buffer, self._options = document, buffer, options
        self._materials: dict[tuple[int, bool], int] = {}
        self._textures: dict[tuple[Any, ...], int] = {}
        self._kept: list[Any] = []  # numbers by id() hold only while the object lives

    def add(self, material: Material, inside: bool, has_uv: bool) -> int:
        """The number of a material. inside: its texture coordinates stay in [0, 1], where edges shall not wrap."""
        key = (id(material), inside or not has_uv)
        if key not in self._materials:
            self._kept.append(material)
            entry = self._entry(material, _CLAMP if inside else _REPEAT, has_uv)
            self._materials[key] = self._appended("materials", entry)
        return self._materials[key]

    def _entry(self, material: Material, wrap: int, has_uv: bool) -> dict[str, Any]:
        pbr: dict[str, Any] = {"metallicFactor": material.metallic, "roughnessFactor": material.roughness}
        if tuple(material.base_color) != (1.0, 1.0, 1.0, 1.0):
            pbr["baseColorFactor"] = [float(x) for x in material.base_color]
        entry: dict[str, Any] = {"name": material.name, "pbrMetallicRoughness": pbr}
        self._add_emission(entry, material)
        if material.double_sided:
            entry["doubleSided"] = True
        if material.alpha_mode == "mask":
            entry |= {"alphaMode": "MASK", "alphaCutoff": float(material.alpha_cutoff)}
        elif material.alpha_mode == "blend" or material.base_color[3] < 1:
            entry["alphaMode"] = "BLEND"
        if has_uv:
            self._add_textures(entry, pbr, material, wrap)
        return entry

    def _add_emission(self, entry: dict[str, Any], material: Material) -> None:
        """The factor, with KHR_materials_emissive_strength where it is brighter than 1."""
        brightest = max(material.emissive)
        if brightest > 0:
            entry["emissiveFactor"] = [float(x) / max(brightest, 1.0) for x in material.emissive]
        if brightest > 1:
            entry["extensions"] = {"KHR_materials_emissive_strength": {"emissiveStrength": float(brightest)}}
            used(self._document, "KHR_materials_emissive_strength")

    def _add_textures(self, entry: dict[str, Any], pbr: dict[str, Any], material: Material, wrap: int) -> None:
        name, packed, occlusion = material.name, _packed(material), material.occlusion_texture
        together = packed is not None and occlusion is not None and occlusion.shape == packed.shape[:2]
        slots = [
            (pbr, "baseColorTexture", material.base_color_texture, "color"),
            (entry, "normalTexture", material.normal_texture, "normal"),
            (entry, "emissiveTexture", material.emissive_texture, "emissive"),
        ]
        for place, slot, texture, role in slots:
            if texture is not None:
                place[slot] = {"index": self._texture((id(texture),), texture, f"{name}_{role}", wrap)}
                self._kept.append(texture)
        if packed is not None:
            key = tuple(id(t) for t in (occlusion, material.roughness_texture, material.metallic_texture))
            self._kept += [occlusion, material.roughness_texture, material.metallic_texture]
            pbr["metallicRoughnessTexture"] = {"index": self._texture(key, packed, f"{name}_orm", wrap)}
        if together:
            entry["occlusionTexture"] = dict(pbr["metallicRoughnessTexture"])
        elif occlusion is not None:
            grey = np.repeat(occlusion[..., None], 3, axis=2)
            entry["occlusionTexture"] = {"index": self._texture((id(occlusion),), grey, f"{name}_occlusion", wrap)}
            self._kept.append(occlusion)

    def _texture(self, key: tuple[Any, ...], texture: Pixels, name: str, wrap: int) -> int:
        """The number of a texture; equal arrays are stored once."""
        if (*key, wrap) not in self._textures:
            if key not in self._textures:
                mime = _MIME[texture_suffix(texture, self._options)]
                view = self._buffer.view(encode_texture(texture, self._options))
                image = {"name": name, "mimeType": mime, "bufferView": view}
                self._textures[key] = self._appended("images", image)
            sampler = {"magFilter": _LINEAR, "minFilter": _LINEAR_MIPMAP_LINEAR, "wrapS": wrap, "wrapT": wrap}
            samplers = self._document.setdefault("samplers", [])
            if sampler not in samplers:
                samplers.append(sampler)
            entry = {"sampler": samplers.index(sampler), "source": self._textures[key]}
            self._textures[(*key, wrap)] = self._appended("textures", entry)
        return self._textures[(*key, wrap)]

    def _appended(self, kind: str, entry: dict[str, Any]) -> int:
        entries = self._document.setdefault(kind, [])
        entries.append(entry)
        return len(entries) - 1


def used(document: dict[str, Any], extension: str, required: bool = False) -> None:
    """Note an extension in the document."""
    for key in ("extensionsUsed", *(["extensionsRequired"] if required else [])):
        document[key] = sorted({*document.get(key, []), extension})


def _packed(material: Material) -> Pixels | None:
    """Occlusion, roughness and metallic as one picture (H, W, 3), or None without the last two.

    Occlusion is only packed when it is of the same size; of the other two the smaller one is enlarged.
    """
    rough, metal = material.roughness_texture, material.metallic_texture
    known = [texture for texture in (rough, metal) if texture is not None]
    if not known:
        return None
    height, width = (max(texture.shape[k] for texture in known) for k in (0, 1))
    occlusion = material.occlusion_texture
    if occlusion is not None and occlusion.shape != (height, width):
        occlusion = None
    planes = [
        np.full((height, width), 255, np.uint8) if t is None else _sized(t, width, height)
        for t in (occlusion, rough, metal)
    ]
    return np.stack(planes, axis=-1)


def _sized(texture: Pixels, width: int, height: int) -> NDArray[np.uint8]:
    from PIL import Image

    if texture.shape == (height, width):
        return texture
    return np.asarray(Image.fromarray(texture).resize((width, height), Image.Resampling.BILINEAR), np.uint8)
