"""Materials of a glTF file: every map of metallic-roughness, and where its textures lie on the surface."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..assets import Material
from .gltf_data import Accessors
from .pictures import Pictures, Pixels
from .source import Source

_ALPHA: dict[str, Literal["opaque", "mask", "blend"]] = {"OPAQUE": "opaque", "MASK": "mask", "BLEND": "blend"}
_CLAMP = 33071


@dataclass(frozen=True)
class Placement:
    """Which texture coordinates a material reads, and what is done to them first."""

    channel: int = 0
    offset: tuple[float, float] = (0.0, 0.0)
    rotation: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    clamp: tuple[bool, bool] = (False, False)

    def applied(self, uv: NDArray[Any]) -> NDArray[np.float32]:
        """(V, 2) float32 by KHR_texture_transform; held in [0, 1] where the sampler clamps."""
        s, c = np.sin(self.rotation), np.cos(self.rotation)
        if (self.offset, self.rotation, self.scale) != ((0.0, 0.0), 0.0, (1.0, 1.0)):
            turn = np.array([[c, s], [-s, c]])
            uv = (uv.astype(np.float64) * self.scale) @ turn.T + self.offset
        clamped = np.where(self.clamp, np.clip(uv, 0, 1), uv)
        return clamped.astype(np.float32)


class Materials:
    """The materials of one document by number, each made once, so that equal ones are the same object."""

    def __init__(self, source: Source, document: Mapping[str, Any], accessors: Accessors) -> None:
        self._source, self._document, self._accessors = source, document, accessors
        self._pictures = Pictures(source)
        self._made: dict[int, tuple[Material, Placement]] = {}

    def of(self, index: int | None) -> tuple[Material | None, Placement]:
        """The material of a primitive and the placement of its textures."""
        entries = self._document.get("materials") or []
        if index is None or not 0 <= int(index) < len(entries):
            return None, Placement()
        if int(index) not in self._made:
            self._made[int(index)] = self._material(entries[int(index)])
        return self._made[int(index)]

    def _material(self, entry: Mapping[str, Any]) -> tuple[Material, Placement]:
        pbr = entry.get("pbrMetallicRoughness") or {}
        extensions = entry.get("extensions") or {}
        old = extensions.get("KHR_materials_pbrSpecularGlossiness")
        base_slot, factor = pbr.get("baseColorTexture"), pbr.get("baseColorFactor", (1, 1, 1, 1))
        metallic, roughness = pbr.get("metallicFactor", 1.0), pbr.get("roughnessFactor", 1.0)
        if old is not None and not pbr:
            self._source.note("specular-glossiness materials are read as rough dielectrics")
            base_slot, factor = old.get("diffuseTexture"), old.get("diffuseFactor", (1, 1, 1, 1))
            metallic, roughness = 0.0, 1.0 - float(old.get("glossinessFactor", 1.0))
        orm_slot, names = pbr.get("metallicRoughnessTexture"), ("normalTexture", "occlusionTexture", "emissiveTexture")
        slots = [base_slot, orm_slot, *(entry.get(name) for name in names)]
        placement = next((self._placement(slot) for slot in slots if slot), Placement())
        base, orm, normal, occlusion, glow = (self._texture(slot, placement) for slot in slots)
        alpha = _ALPHA.get(str(entry.get("alphaMode", "OPAQUE")), "opaque")
        r, g, b, a = (float(x) for x in np.clip(np.asarray(factor, np.float64).reshape(4), 0, 1))
        return Material(
            base if base is None or (alpha != "opaque" and (base[..., 3] < 255).any()) else base[..., :3].copy(),
            (r, g, b, a),
            metallic=float(metallic),
            roughness=float(roughness),
            double_sided=bool(entry.get("doubleSided", False)),
            name=str(entry.get("name") or "material"),
            normal_texture=_scaled_normals(normal, entry.get("normalTexture")),
            occlusion_texture=_strengthened(occlusion, entry.get("occlusionTexture")),
            roughness_texture=_channel(orm, 1),
            metallic_texture=_channel(orm, 2),
            emissive=self._emissive(entry, extensions),
            emissive_texture=None if glow is None else glow[..., :3].copy(),
            alpha_mode=alpha,
            alpha_cutoff=float(entry.get("alphaCutoff", 0.5)),
        ), placement

    def _emissive(self, entry: Mapping[str, Any], extensions: Mapping[str, Any]) -> tuple[float, float, float]:
        strength = float((extensions.get("KHR_materials_emissive_strength") or {}).get("emissiveStrength", 1.0))
        r, g, b = (float(x) * strength for x in entry.get("emissiveFactor", (0, 0, 0)))
        return r, g, b

    def _placement(self, slot: Mapping[str, Any]) -> Placement:
        transform = (slot.get("extensions") or {}).get("KHR_texture_transform") or {}
        offset, scale = transform.get("offset", (0, 0)), transform.get("scale", (1, 1))
        channel = transform.get("texCoord", slot.get("texCoord", 0))
        texture = self._entry("textures", slot.get("index"))
        sampler = self._entry("samplers", texture.get("sampler"))
        return Placement(
            int(channel),
            (float(offset[0]), float(offset[1])),
            float(transform.get("rotation", 0)),
            (float(scale[0]), float(scale[1])),
            (sampler.get("wrapS") == _CLAMP, sampler.get("wrapT") == _CLAMP),
        )

    def _texture(self, slot: Mapping[str, Any] | None, placement: Placement) -> Pixels | None:
        """The picture (H, W, 4) of a slot; None without, or when it lies elsewhere than the material's others."""
        if not slot:
            return None
        if self._placement(slot) != placement:
            self._source.note("textures on further texture coordinates are left out")
            return None
        texture = self._entry("textures", slot.get("index"))
        webp = (texture.get("extensions") or {}).get("EXT_texture_webp") or {}
        basis = (texture.get("extensions") or {}).get("KHR_texture_basisu") or {}
        index = webp.get("source", texture.get("source", basis.get("source")))
        image = self._entry("images", index)
        name = str(image.get("uri") or image.get("name") or f"image {index}")
        if image.get("bufferView") is not None:
            return self._pictures.decode(f"{name}#{index}", self._accessors.view(int(image["bufferView"])))
        if name.startswith("data:"):
            return self._pictures.decode(f"image {index}", self._accessors.data_uri(name))
        return self._pictures.named(name)

    def _entry(self, kind: str, index: Any) -> Mapping[str, Any]:
        """An entry of the document, or an empty one."""
        entries = self._document.get(kind) or []
        found: Mapping[str, Any] = entries[index] if isinstance(index, int) and 0 <= index < len(entries) else {}
        return found


def _channel(texture: Pixels | None, k: int) -> Pixels | None:
    """One channel of a packed texture; None where it says nothing."""
    if texture is None or (texture[..., k] == 255).all():
        return None
    return texture[..., k].copy()


def _scaled_normals(texture: Pixels | None, slot: Mapping[str, Any] | None) -> Pixels | None:
    """A normal map with its scale worked in."""
    if texture is None:
        return None
    scale = float((slot or {}).get("scale", 1.0))
    if scale == 1.0:
        return texture[..., :3].copy()
    n = texture[..., :3].astype(np.float32) / 127.5 - 1
    n[..., :2] *= scale
    n /= np.maximum(np.linalg.norm(n, axis=-1, keepdims=True), 1e-6)
    return np.rint((n + 1) * 127.5).clip(0, 255).astype(np.uint8)


def _strengthened(texture: Pixels | None, slot: Mapping[str, Any] | None) -> Pixels | None:
    """An occlusion map with its strength worked in."""
    red = _channel(texture, 0)
    strength = float((slot or {}).get("strength", 1.0))
    if red is None or strength == 1.0:
        return red
    return np.rint(255 + strength * (red.astype(np.float32) - 255)).clip(0, 255).astype(np.uint8)
