"""A material as a UsdPreviewSurface network, and its textures as files (extra usd)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..assets import Material
from .content import Pixels, encode_texture, texture_suffix, times, tinted

if TYPE_CHECKING:
    from . import ExportOptions

#: Input of the surface -> (role of its texture, output, colour space).
_TEXTURED = {
    "diffuseColor": ("color", "rgb", "sRGB"),
    "opacity": ("color", "a", "sRGB"),
    "normal": ("normal", "rgb", "raw"),
    "roughness": ("roughness", "r", "raw"),
    "metallic": ("metallic", "r", "raw"),
    "occlusion": ("occlusion", "r", "raw"),
    "emissiveColor": ("emissive", "rgb", "sRGB"),
}


def textures(material: Material, prefix: str, options: ExportOptions) -> dict[str, tuple[str, bytes]]:
    """Role -> (file name, bytes) of every texture of a material. Factors are worked in: few viewers multiply."""
    base, rough, metal = material.base_color_texture, material.roughness_texture, material.metallic_texture
    if base is not None and material.alpha_mode == "opaque":
        base = base[..., :3]
    glow = material.emissive_texture
    maps: dict[str, Pixels | None] = {
        "color": None if base is None else tinted(base, material.base_color),
        "normal": material.normal_texture,
        "roughness": None if rough is None else times(rough, material.roughness),
        "metallic": None if metal is None else times(metal, material.metallic),
        "occlusion": material.occlusion_texture,
        "emissive": None if glow is None else tinted(glow, [min(x, 1.0) for x in material.emissive]),
    }
    return {
        role: (f"{prefix}_{role}.{texture_suffix(texture, options)}", encode_texture(texture, options))
        for role, texture in maps.items()
        if texture is not None
    }


def surface(stage: Any, path: str, material: Material, maps: dict[str, str]) -> Any:
    """Define the material at ``path`` of the stage; maps: texture files by role."""
    from pxr import Sdf, UsdShade

    look = UsdShade.Material.Define(stage, path)
    shader = UsdShade.Shader.Define(stage, f"{path}/Surface")
    shader.CreateIdAttr("UsdPreviewSurface")
    look.CreateSurfaceOutput().ConnectToSource(shader.ConnectableAPI(), "surface")
    kinds = Sdf.ValueTypeNames
    r, g, b, a = material.base_color
    through = material.alpha_mode != "opaque" or a < 1
    values = {
        "diffuseColor": (kinds.Color3f, (r, g, b)),
        "emissiveColor": (kinds.Color3f, tuple(material.emissive)),
        "roughness": (kinds.Float, float(material.roughness)),
        "metallic": (kinds.Float, float(material.metallic)),
        "opacity": (kinds.Float, float(a) if through else 1.0),
        "normal": (kinds.Normal3f, (0.0, 0.0, 1.0)),
        "occlusion": (kinds.Float, 1.0),
    }
    if material.alpha_mode == "mask":
        shader.CreateInput("opacityThreshold", kinds.Float).Set(float(material.alpha_cutoff))
    with_alpha = material.base_color_texture is not None and material.base_color_texture.shape[2] == 4 and through
    for name, (kind, value) in values.items():
        role, output, space = _TEXTURED[name]
        file = maps.get(role) if name != "opacity" or with_alpha else None
        if file is not None:
            node = _texture(stage, path, role, file, space)
            shader.CreateInput(name, kind).ConnectToSource(node.ConnectableAPI(), output)
        elif name not in ("normal", "occlusion"):
            shader.CreateInput(name, kind).Set(value)
    return look


def _texture(stage: Any, path: str, role: str, file: str, space: str) -> Any:
    """The node that reads a texture, defined once, and the one that feeds it coordinates."""
    from pxr import Sdf, UsdShade

    kinds = Sdf.ValueTypeNames
    reader = UsdShade.Shader.Define(stage, f"{path}/Coordinates")
    reader.CreateIdAttr("UsdPrimvarReader_float2")
    reader.CreateInput("varname", kinds.String).Set("st")
    reader.CreateOutput("result", kinds.Float2)
    node = UsdShade.Shader.Define(stage, f"{path}/{role.capitalize()}")
    node.CreateIdAttr("UsdUVTexture")
    node.CreateInput("file", kinds.Asset).Set(Sdf.AssetPath(file if "/" in file else f"./{file}"))
    node.CreateInput("sourceColorSpace", kinds.Token).Set(space)
    node.CreateInput("st", kinds.Float2).ConnectToSource(reader.ConnectableAPI(), "result")
    for axis in ("wrapS", "wrapT"):
        node.CreateInput(axis, kinds.Token).Set("repeat")
    if role == "normal":  # from [0, 1] to [-1, 1]
        node.CreateInput("scale", kinds.Float4).Set((2.0, 2.0, 2.0, 1.0))
        node.CreateInput("bias", kinds.Float4).Set((-1.0, -1.0, -1.0, 0.0))
    for output, kind in (("rgb", kinds.Float3), ("r", kinds.Float), ("a", kinds.Float)):
        node.CreateOutput(output, kind)
    return node
