"""Wavefront OBJ with its material library and textures: positions, texture coordinates and normals indexed apart.

B1 of "Advanced Visualizer" (Wavefront, 1993); Pr, Pm, norm… as in the PBR extension of MTL (Exocortex, 2014).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..assets import Material, Mesh, Model
from ..conventions import linear_to_srgb
from ..topology import merge_map
from .content import (
    Pixels,
    distinct,
    encode_texture,
    is_textured,
    lots,
    plain_name,
    polygons,
    signature,
    texture_suffix,
    times,
    unit_normals,
)

if TYPE_CHECKING:
    from . import ExportOptions


def encode(model: Model, path: Path, options: ExportOptions) -> dict[Path, bytes]:
    """The mesh as .obj, with <name>.mtl and <name>_color.png|jpg… where it has materials; the .obj comes last.

    Positions are shared across UV seams; quadrilaterals stay whole. Vertex colours follow the positions
    ("v x y z r g b") where there is no texture. Texture coordinates have their origin bottom-left, as OBJ wants.
    Roughness and metallic maps carry their factors. ``seen``, ``confidence`` and metadata are not kept.
    """
    mesh = model.mesh
    # many readers end a file name at the first space; the text is UTF-8, which not every file name is
    stem = re.sub(r"[\s\ud800-\udfff]+", "_", path.stem)
    files: dict[Path, bytes] = {}
    header = [f"# {signature(mesh)}"]
    names = distinct([_word(material.name) for material in mesh.all_materials])
    if names:
        files = _material_files(mesh, names, path, stem, options)
        header.append(f"mtllib {stem}.mtl")
    body = "\n".join([*header, f"o {_word(mesh.name)}", *_geometry(mesh, names)])
    return {**files, path: f"{body}\n".encode()}


def _material_files(mesh: Mesh, names: list[str], path: Path, stem: str, options: ExportOptions) -> dict[Path, bytes]:
    """The textures and the material library."""
    files: dict[Path, bytes] = {}
    library = [f"# liftform {__version__}"]
    words = distinct([plain_name(name, "material") for name in names])
    for material, name, word in zip(mesh.all_materials, names, words, strict=True):
        prefix = stem if len(names) == 1 else f"{stem}_{word}"
        maps = {}
        for role, texture in _maps(material).items():
            maps[role] = f"{prefix}_{role}.{texture_suffix(texture, options)}"
            files[path.with_name(maps[role])] = encode_texture(texture, options)
        library += _entry(material, name, maps)
    files[path.with_name(f"{stem}.mtl")] = ("\n".join(library) + "\n").encode()
    return files


def _maps(material: Material) -> dict[str, Pixels]:
    """The textures of a material by what they are called in files."""
    base, rough, metal = material.base_color_texture, material.roughness_texture, material.metallic_texture
    alpha = base is not None and base.shape[2] == 4 and material.alpha_mode != "opaque"
    maps = {
        "color": None if base is None else base[..., :3],
        "alpha": base[..., 3] if base is not None and alpha else None,
        "normal": material.normal_texture,
        "roughness": None if rough is None else times(rough, material.roughness),
        "metallic": None if metal is None else times(metal, material.metallic),
        "occlusion": material.occlusion_texture,
        "emissive": material.emissive_texture,
    }
    return {role: texture for role, texture in maps.items() if texture is not None}


#: What is written for each texture: the lines before its file name.
_STATEMENTS = {
    "color": ("map_Kd",),
    "alpha": ("map_d",),
    "normal": ("norm", "map_Bump -bm 1"),
    "roughness": ("map_Pr",),
    "metallic": ("map_Pm",),
    "occlusion": ("map_ao",),
    "emissive": ("map_Ke",),
}


def _entry(material: Material, name: str, maps: dict[str, str]) -> list[str]:
    """The lines of one material."""
    diffuse = linear_to_srgb(np.asarray(material.base_color[:3], np.float32))
    lines = [
        f"newmtl {name}",
        "Ka 0 0 0",
        f"Kd {_numbers(diffuse[None])[0]}",
        "Ks 0 0 0",
        f"d {material.base_color[3]:g}",
        f"Pr {1.0 if 'roughness' in maps else material.roughness:g}",
        f"Pm {1.0 if 'metallic' in maps else material.metallic:g}",
        "illum 1",
    ]
    if max(material.emissive) > 0:
        lines.append(f"Ke {_numbers(linear_to_srgb(np.asarray(material.emissive, np.float32))[None])[0]}")
    return lines + [f"{word} {file}" for role, file in maps.items() for word in _STATEMENTS[role]]


def _geometry(mesh: Mesh, names: list[str]) -> list[str]:
    """Lines v, vt, vn, usemtl and f."""
    first, position = merge_map(mesh.vertices)
    rows = mesh.vertices[first]
    if mesh.colors is not None and not is_textured(mesh):
        rows = np.concatenate([rows, np.clip(mesh.colors[first], 0, 1)], axis=1)
    lines = [f"v {row}" for row in _numbers(rows)]
    corners = [position]
    if mesh.uv is not None:
        rows, index = _distinct(np.stack([mesh.uv[:, 0], 1 - mesh.uv[:, 1].astype(np.float64)], 1).astype(np.float32))
        lines += [f"vt {row}" for row in _numbers(rows)]
        corners.append(index)
    if mesh.normals is not None:
        rows, index = _distinct(unit_normals(mesh.normals))
        lines += [f"vn {row}" for row in _numbers(rows)]
        corners.append(index)
    separator = "//" if mesh.uv is None and mesh.normals is not None else "/"
    words = [separator.join(map(str, row)) for row in (np.stack(corners, axis=1) + 1).tolist()]
    numbers = {id(material): k for k, material in enumerate(mesh.all_materials)}
    for material, faces in lots(mesh):
        if material is not None:
            lines.append(f"usemtl {names[numbers[id(material)]]}")
        quads, triangles = polygons(mesh, faces)
        lines += [f"f {words[a]} {words[b]} {words[c]} {words[d]}" for a, b, c, d in quads.tolist()]
        lines += [f"f {words[a]} {words[b]} {words[c]}" for a, b, c in triangles.tolist()]
    return lines


def _distinct(rows: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """Rows without repetition, by first occurrence, and the number of each old row."""
    first, index = merge_map(rows)
    return rows[first], index


def _numbers(rows: NDArray[np.float32]) -> list[str]:
    """Each row as the shortest decimals that read back to the same float32."""
    return [" ".join(row) for row in (np.asarray(rows, np.float32) + np.float32(0)).astype("U").tolist()]


def _word(name: str) -> str:
    return re.sub(r"\s+", "_", name.strip()) or "object"
