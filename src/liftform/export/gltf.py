"""glTF 2.0 binary (GLB): one mesh, one metallic-roughness material, everything in one file.

Khronos glTF 2.0 specification, https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..assets import Material, Mesh
from ..conventions import srgb_to_linear
from .content import encode_texture, unit_normals

if TYPE_CHECKING:
    from . import ExportOptions

_FLOAT, _USHORT, _UINT = 5126, 5123, 5125
_ARRAY_BUFFER, _ELEMENT_ARRAY_BUFFER = 34962, 34963
_LINEAR, _LINEAR_MIPMAP_LINEAR, _CLAMP, _REPEAT = 9729, 9987, 33071, 10497
_JSON_CHUNK, _BIN_CHUNK = 0x4E4F534A, 0x004E4942


def encode(mesh: Mesh, path: Path, options: ExportOptions) -> dict[Path, bytes]:
    """The mesh as the bytes of one .glb file.

    Vertex colours become COLOR_0 (linear light), unless there is a texture, which they would tint. ``seen`` and
    ``confidence`` become the application-specific attributes _SEEN and _CONFIDENCE (float). Metadata goes to the extras
    of the mesh, under "liftform".
    """
    buffer = _Buffer()
    primitive: dict[str, Any] = {"attributes": _attributes(buffer, mesh), "indices": _indices(buffer, mesh), "mode": 4}
    node_mesh: dict[str, Any] = {"name": mesh.name, "primitives": [primitive]}
    if mesh.metadata:
        node_mesh["extras"] = {"liftform": _plain(mesh.metadata)}
    document: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": f"liftform {__version__}"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"name": mesh.name, "mesh": 0}],
        "meshes": [node_mesh],
    }
    if mesh.material is not None or mesh.colors is not None:
        primitive["material"] = 0
        _add_material(document, buffer, mesh, options)
    document |= {"accessors": buffer.accessors, "bufferViews": buffer.views}
    document["buffers"] = [{"byteLength": len(buffer.data)}]
    return {path: _container(document, bytes(buffer.data))}


class _Buffer:
    """The binary chunk while it grows, with the views and accessors into it. Every view starts at a multiple of 4."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def view(self, content: bytes, target: int | None = None) -> int:
        """Append bytes; the number of their view."""
        view = {"buffer": 0, "byteOffset": len(self.data), "byteLength": len(content)}
        self.views.append(view if target is None else {**view, "target": target})
        self.data += content + b"\0" * (-len(content) % 4)
        return len(self.views) - 1

    def accessor(self, values: NDArray[Any], component: int, kind: str, target: int, bounds: bool = False) -> int:
        """Append an array; the number of its accessor. ``bounds`` adds the exact lowest and highest values."""
        view = self.view(values.tobytes(), target)
        accessor = {"bufferView": view, "componentType": component, "count": len(values), "type": kind}
        if bounds:
            accessor |= {"min": values.min(0).astype(float).tolist(), "max": values.max(0).astype(float).tolist()}
        self.accessors.append(accessor)
        return len(self.accessors) - 1


def _attributes(buffer: _Buffer, mesh: Mesh) -> dict[str, int]:
    """Accessor of each vertex attribute the mesh holds."""

    def add(values: NDArray[Any], kind: str, bounds: bool = False) -> int:
        return buffer.accessor(values.astype("<f4"), _FLOAT, kind, _ARRAY_BUFFER, bounds)

    attributes = {"POSITION": add(mesh.vertices, "VEC3", bounds=True)}
    if mesh.normals is not None:
        attributes["NORMAL"] = add(unit_normals(mesh.normals), "VEC3")
    if mesh.uv is not None:
        attributes["TEXCOORD_0"] = add(mesh.uv, "VEC2")
    if mesh.colors is not None and (mesh.material is None or mesh.material.base_color_texture is None):
        attributes["COLOR_0"] = add(srgb_to_linear(np.clip(mesh.colors, 0, 1)), "VEC3")
    for name, values in (("_SEEN", mesh.seen), ("_CONFIDENCE", mesh.confidence)):
        if values is not None:
            attributes[name] = add(np.clip(np.nan_to_num(values), 0, 1), "SCALAR")
    return attributes


def _indices(buffer: _Buffer, mesh: Mesh) -> int:
    # 65535 itself is reserved in 16 bits: it restarts a primitive.
    short = len(mesh.vertices) <= 65535
    flat = mesh.faces.reshape(-1).astype("<u2" if short else "<u4")
    return buffer.accessor(flat, _USHORT if short else _UINT, "SCALAR", _ELEMENT_ARRAY_BUFFER)


def _add_material(document: dict[str, Any], buffer: _Buffer, mesh: Mesh, options: ExportOptions) -> None:
    """Material, texture, image and sampler, as far as the mesh has them."""
    material = mesh.material or Material()
    pbr: dict[str, Any] = {"metallicFactor": material.metallic, "roughnessFactor": material.roughness}
    if tuple(material.base_color) != (1.0, 1.0, 1.0, 1.0):
        pbr["baseColorFactor"] = [float(x) for x in material.base_color]
    entry: dict[str, Any] = {"name": material.name, "pbrMetallicRoughness": pbr}
    if material.double_sided:
        entry["doubleSided"] = True
    if material.base_color[3] < 1:
        entry["alphaMode"] = "BLEND"
    document["materials"] = [entry]
    if material.base_color_texture is None or mesh.uv is None:
        return
    pbr["baseColorTexture"] = {"index": 0}
    content = encode_texture(material.base_color_texture, options)
    inside = bool((mesh.uv >= 0).all() and (mesh.uv <= 1).all())
    wrap = _CLAMP if inside else _REPEAT
    document["textures"] = [{"sampler": 0, "source": 0}]
    document["images"] = [
        {
            "name": f"{material.name}_color",
            "mimeType": f"image/{options.texture_format}",
            "bufferView": buffer.view(content),
        }
    ]
    document["samplers"] = [{"magFilter": _LINEAR, "minFilter": _LINEAR_MIPMAP_LINEAR, "wrapS": wrap, "wrapT": wrap}]


def _container(document: dict[str, Any], binary: bytes) -> bytes:
    """Header, JSON chunk padded with spaces, binary chunk padded with zeros (4.4 of the specification)."""
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    total = 12 + 8 + len(text) + 8 + len(binary)
    header = struct.pack("<4sII", b"glTF", 2, total)
    chunks = struct.pack("<II", len(text), _JSON_CHUNK) + text + struct.pack("<II", len(binary), _BIN_CHUNK)
    return header + chunks + binary


def _plain(value: Any) -> Any:
    """``value`` as JSON knows it: numpy becomes lists and numbers, not-a-number null, anything else its text."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value if value is None or isinstance(value, str | int | bool) else str(value)
