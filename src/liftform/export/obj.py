"""Wavefront OBJ with its material library and texture: positions, texture coordinates and normals indexed apart.

B1 of "Advanced Visualizer" (Wavefront, 1993); Pr and Pm as in the PBR extension of MTL (Exocortex, 2014).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..assets import Material, Mesh
from ..conventions import linear_to_srgb
from ..topology import merge_map
from .content import encode_texture, signature, unit_normals

if TYPE_CHECKING:
    from . import ExportOptions


def encode(mesh: Mesh, path: Path, options: ExportOptions) -> dict[Path, bytes]:
    """The mesh as .obj, with <name>.mtl and <name>_color.png|jpg where it has a material; the .obj comes last.

    Positions are shared across UV seams. Vertex colours follow the positions ("v x y z r g b") where there is no
    texture. Texture coordinates have their origin bottom-left, as OBJ wants. ``seen``, ``confidence`` and
    metadata are not kept.
    """
    stem = re.sub(r"\s+", "_", path.stem)  # many readers end a file name at the first space
    files: dict[Path, bytes] = {}
    header = [f"# {signature(mesh)}"]
    if mesh.material is not None:
        files = _material_files(mesh.material, path, stem, options)
        header.append(f"mtllib {stem}.mtl")
    body = "\n".join([*header, f"o {_word(mesh.name)}", *_geometry(mesh)])
    return {**files, path: f"{body}\n".encode()}


def _material_files(material: Material, path: Path, stem: str, options: ExportOptions) -> dict[Path, bytes]:
    """The texture, if there is one, and the material library."""
    files: dict[Path, bytes] = {}
    texture = None
    if material.base_color_texture is not None:
        texture = f"{stem}_color.{'jpg' if options.texture_format == 'jpeg' else 'png'}"
        files[path.with_name(texture)] = encode_texture(material.base_color_texture, options)
    files[path.with_name(f"{stem}.mtl")] = _library(material, texture).encode()
    return files


def _library(material: Material, texture: str | None) -> str:
    diffuse = linear_to_srgb(np.asarray(material.base_color[:3], np.float32))
    lines = [
        f"# liftform {__version__}",
        f"newmtl {_word(material.name)}",
        "Ka 0 0 0",
        f"Kd {_numbers(diffuse[None])[0]}",
        "Ks 0 0 0",
        f"d {material.base_color[3]:g}",
        f"Pr {material.roughness:g}",
        f"Pm {material.metallic:g}",
        "illum 1",
    ]
    return "\n".join([*lines, f"map_Kd {texture}"] if texture else lines) + "\n"


def _geometry(mesh: Mesh) -> list[str]:
    """Lines v, vt, vn and f."""
    first, position = merge_map(mesh.vertices)
    rows = mesh.vertices[first]
    textured = mesh.material is not None and mesh.material.base_color_texture is not None
    if mesh.colors is not None and not textured:
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
    if mesh.material is not None:
        lines.append(f"usemtl {_word(mesh.material.name)}")
    return lines + _face_lines(mesh, corners)


def _face_lines(mesh: Mesh, corners: list[NDArray[Any]]) -> list[str]:
    """Lines "f a/b/c ..."; corners: per vertex, the number of its position, texture coordinate and normal."""
    separator = "//" if mesh.uv is None and mesh.normals is not None else "/"
    names = [separator.join(map(str, row)) for row in (np.stack(corners, axis=1) + 1).tolist()]
    return [f"f {names[a]} {names[b]} {names[c]}" for a, b, c in mesh.faces.tolist()]


def _distinct(rows: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """Rows without repetition, by first occurrence, and the number of each old row."""
    first, index = merge_map(rows)
    return rows[first], index


def _numbers(rows: NDArray[np.float32]) -> list[str]:
    """Each row as the shortest decimals that read back to the same float32."""
    return [" ".join(row) for row in (np.asarray(rows, np.float32) + np.float32(0)).astype("U").tolist()]


def _word(name: str) -> str:
    return re.sub(r"\s+", "_", name.strip()) or "object"
