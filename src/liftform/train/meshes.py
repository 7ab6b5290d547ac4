"""Mesh files of the corpus as the renderers want them: GLB, OBJ, PLY, STL and, with the extra cad, STEP.

A texture that a file names but that is missing or damaged is an error here: a network trained on objects that lost
their look would learn that things are white.
"""

from __future__ import annotations

import base64
import io
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..assets import Mesh
from ..conventions import srgb_to_linear
from ..errors import InputError, UnreadableError
from ..read_mesh import read_mesh
from ..runtime import need
from . import procedural, render
from .corpus import Row

MESHES = (".glb", ".gltf", ".obj", ".ply", ".stl", ".step", ".stp")
CAD = (".step", ".stp")

#: World (+Y up) from a file whose up axis is the key.
_Y_UP = {"Y": np.eye(3), "Z": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])}


def surface_of(row: Row) -> tuple[render.Surface, Any]:
    """The object of a manifest row as (Surface, trimesh mesh): centred, longest side 1, +Y up whatever ``up`` was.

    A row of ``procedural.rows`` is built from its seed.

    Raises an InputError or ValueError for what cannot be read, has no extent, or has lost a texture.
    """
    if row.get("source") == procedural.SOURCE:
        return procedural.surface(row["seed"])
    path = Path(row["file"])
    check_textures(path)
    if path.suffix.lower() == ".glb" and row.get("up", "Y") == "Y":
        return render.surface_from_glb(str(path))
    return surface_from_mesh(turned(open_mesh(path), row.get("up", "Y")))


def open_mesh(path: Path) -> Mesh:
    """Any mesh file. Raises as read_mesh does, and MissingExtraError for STEP without cascadio."""
    if path.suffix.lower() in CAD:
        need("cascadio", "cad")
    return read_mesh(path)


def turned(mesh: Mesh, up: str) -> Mesh:
    """The mesh with ``up`` ("Y" or "Z") turned to +Y. Raises UnreadableError for another axis."""
    if up not in _Y_UP:
        raise UnreadableError(f"up is {up!r}", "known: Y, Z")
    return mesh.with_(vertices=(mesh.vertices @ _Y_UP[up].T).astype(np.float32), normals=None)


def surface_from_mesh(mesh: Mesh) -> tuple[render.Surface, Any]:
    """A Mesh as (Surface, trimesh mesh), centred on its bounding box, longest side 1. Raises ValueError without extent.

    Colour: texture times factor, else vertex colours times factor, else white.
    """
    import trimesh

    low, high = mesh.vertices.min(0).astype(np.float64), mesh.vertices.max(0).astype(np.float64)
    extent = float((high - low).max())
    if not extent > 0:
        raise ValueError(f"{mesh.name}: no extent")
    vertices = (mesh.vertices - (low + high) / 2) / extent
    corners = vertices[mesh.faces].astype(np.float32)
    uv, texture = np.zeros((len(mesh.faces), 3, 2), np.float32), np.full((1, 1, 3), 255, np.uint8)
    tint = np.ones((len(mesh.faces), 3, 3), np.float32)
    material = mesh.material
    if material is not None:
        tint *= np.asarray(material.base_color[:3], np.float32)
    if material is not None and material.base_color_texture is not None and mesh.uv is not None:
        uv, texture = mesh.uv[mesh.faces], np.asarray(material.base_color_texture)[..., :3]
    elif mesh.colors is not None:
        tint *= srgb_to_linear(mesh.colors)[mesh.faces]
    plain = trimesh.Trimesh(vertices, mesh.faces, process=False)
    return render.Surface(corners, render.corner_normals(corners), uv, texture, tint), plain


def check_textures(path: Path) -> None:
    """Raise UnreadableError naming the first picture that a mesh file refers to and that cannot be opened."""
    from PIL import Image

    for name, data in _pictures(path):
        try:
            with Image.open(io.BytesIO(data() if callable(data) else data)) as picture:
                picture.load()
        except Exception as error:  # Pillow raises many kinds for damaged files
            reason = " ".join(str(error).split())[:100]
            raise UnreadableError(f"{path}: its texture {name} is missing or damaged ({reason})", "mend it") from error


def _pictures(path: Path) -> Iterator[tuple[str, Any]]:
    """(name, bytes or function that reads them) of every colour texture of a GLB, glTF, OBJ or PLY."""
    suffix = path.suffix.lower()
    try:
        if suffix in (".glb", ".gltf"):
            yield from _gltf_pictures(path, suffix == ".glb")
        elif suffix == ".obj":
            yield from _obj_pictures(path)
        elif suffix == ".ply":
            head = path.read_bytes()[:4096].split(b"end_header")[0].decode("latin1")
            for line in head.splitlines():
                if line.lower().startswith("comment texturefile"):
                    yield _named(path.parent, line.split(maxsplit=2)[2].strip())
    except (ValueError, KeyError, IndexError, TypeError, struct.error) as error:
        raise UnreadableError(f"{path}: damaged ({error})", "export it again") from error


def _named(folder: Path, name: str) -> tuple[str, Any]:
    return name, (folder / name.replace("\\", "/")).read_bytes


def _obj_pictures(path: Path) -> Iterator[tuple[str, Any]]:
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if not line.startswith("mtllib "):
            continue
        library = path.parent / line.split(maxsplit=1)[1].strip().replace("\\", "/")
        if not library.is_file():
            raise UnreadableError(f"{path}: its materials {library.name} are missing", "put them beside it")
        for row in library.read_text(encoding="utf-8", errors="replace").splitlines():
            words = row.split()
            if words and words[0].lower() == "map_kd":
                yield _named(library.parent, row.split(maxsplit=1)[1].strip() if len(words) == 2 else words[-1])


def _gltf_pictures(path: Path, binary: bool) -> Iterator[tuple[str, Any]]:
    data, chunk = path.read_bytes(), b""
    if binary:
        if data[:4] != b"glTF" or len(data) < struct.unpack_from("<I", data, 8)[0]:
            raise UnreadableError(f"{path}: cut short, or not a GLB", "export it again")
        length = struct.unpack_from("<I", data, 12)[0]
        text, chunk = data[20 : 20 + length], data[28 + length :]
    else:
        text = data
    facts = json.loads(text)
    used = {
        m.get("pbrMetallicRoughness", {}).get("baseColorTexture", {}).get("index") for m in facts.get("materials", [])
    }
    for number in sorted(used - {None}):
        source = facts["textures"][number].get("source")
        if source is None:  # only an extension (WebP, KTX2) knows the picture
            continue
        image = facts["images"][source]
        uri, name = image.get("uri", ""), str(image.get("name") or image.get("uri", "")[:60] or source)
        if uri.startswith("data:"):
            yield name, base64.b64decode(uri.split(",", 1)[1])
        elif uri:
            yield _named(path.parent, uri)
        else:
            view = facts["bufferViews"][image["bufferView"]]
            start = view.get("byteOffset", 0)
            yield name, chunk[start : start + view["byteLength"]]


def describe(path: Path, up: str = "Y") -> dict[str, Any]:
    """n_faces, n_verts, size, textured and color_source of a sound mesh; raises as ``surface_of`` does."""
    check_textures(path)
    mesh = turned(open_mesh(path), up)
    if not np.ptp(mesh.vertices, axis=0).max() > 0:
        raise InputError(f"{path}: no extent", "its vertices all lie in one point")
    textured = mesh.material is not None and mesh.material.base_color_texture is not None
    source = "image" if textured else "vertex" if mesh.colors is not None else "material"
    size = [round(float(v), 4) for v in np.ptp(mesh.vertices, axis=0)]
    facts = {"n_faces": len(mesh.faces), "n_verts": len(mesh.vertices), "size": size}
    return {**facts, "textured": textured, "color_source": source}
