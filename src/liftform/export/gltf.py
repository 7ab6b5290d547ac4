"""glTF 2.0 binary (GLB): a mesh with all its materials, levels of detail and collision parts, everything in one file.

Khronos glTF 2.0 specification, https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html; levels by MSFT_lod.
"""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..assets import Assembly, Material, Mesh, Model, Node
from .content import lots, quads_among
from .gltf_data import Buffer, Rows, attributes, draco
from .gltf_material import Materials, used

if TYPE_CHECKING:
    from . import ExportOptions

_JSON_CHUNK, _BIN_CHUNK = 0x4E4F534A, 0x004E4942


def encode(model: Model, path: Path, options: ExportOptions) -> dict[Path, bytes]:
    """The model as the bytes of one .glb file.

    A primitive for each material; vertex colours become COLOR_0 (linear light) where there is no texture, which they
    would tint. ``seen`` and ``confidence`` become the application-specific attributes _SEEN and _CONFIDENCE. Metadata
    goes to the extras of the mesh, under "liftform", and the number of quadrilaterals to those of its primitives.
    Levels hang on the mesh's node (MSFT_lod); collision parts are nodes named UCX_<mesh>_00 and on, as Unreal Engine
    expects them. Raises MissingExtraError when a compression's package is missing.
    """
    writer = _Writer(options)
    finest = writer.node(model.mesh, model.mesh.name)
    levels = [writer.node(mesh, f"{model.mesh.name}_LOD{k + 1}") for k, mesh in enumerate(model.levels)]
    hulls = writer.hulls(model)
    if levels:
        node = writer.document["nodes"][finest]
        node["extensions"] = {"MSFT_lod": {"ids": levels}}
        node["extras"] = {"MSFT_screencoverage": [*(0.5 ** (k + 1) for k in range(len(levels))), 0.0]}
        used(writer.document, "MSFT_lod")
    writer.document["scenes"] = [{"nodes": [finest, *hulls]}]
    return {path: writer.container()}


def encode_assembly(assembly: Assembly, path: Path, options: ExportOptions) -> dict[Path, bytes]:
    """A tree of named nodes as the bytes of one .glb file; a mesh that several nodes share is written once.

    Metadata goes to the extras of nodes and of the scene, under "liftform".
    """
    writer = _Writer(options)
    scene: dict[str, Any] = {"name": assembly.name, "nodes": [writer.tree(node) for node in assembly.nodes]}
    if assembly.metadata:
        scene["extras"] = {"liftform": plain(assembly.metadata)}
    writer.document["scenes"] = [scene]
    return {path: writer.container()}


def encode_hulls(model: Model, path: Path, options: ExportOptions) -> dict[Path, bytes]:
    """The collision parts alone as the bytes of one .glb file, named as in ``encode``."""
    writer = _Writer(options)
    writer.document["scenes"] = [{"nodes": writer.hulls(model)}]
    return {path: writer.container()}


class _Writer:
    """One document while it grows."""

    def __init__(self, options: ExportOptions) -> None:
        self._kind = options.compress
        self.document: dict[str, Any] = {
            "asset": {"version": "2.0", "generator": f"liftform {__version__}"},
            "scene": 0,
            "scenes": [],
            "nodes": [],
            "meshes": [],
        }
        self._buffer = Buffer(packed=options.compress == "meshopt")
        self._materials = Materials(self.document, self._buffer, options)
        self._shared: dict[int, tuple[Mesh, int, dict[str, Any]]] = {}  # the mesh too: id() holds while it lives
        if options.compress in ("quantise", "meshopt"):
            used(self.document, "KHR_mesh_quantization", required=True)
        if options.compress == "meshopt":
            used(self.document, "EXT_meshopt_compression", required=True)
        if options.compress == "draco":
            used(self.document, "KHR_draco_mesh_compression", required=True)

    def hulls(self, model: Model) -> list[int]:
        """Append a node for every collision part; their numbers."""
        return [self.node(mesh, f"UCX_{model.mesh.name}_{k:02d}") for k, mesh in enumerate(model.collision)]

    def tree(self, node: Node) -> int:
        """Append a node and all that is below it; its number."""
        children = [self.tree(child) for child in node.children]
        entry: dict[str, Any] = {"name": node.name}
        if any(node.translation):
            entry["translation"] = [float(x) for x in node.translation]
        if node.yaw:
            entry["rotation"] = [0.0, math.sin(node.yaw / 2), 0.0, math.cos(node.yaw / 2)]
        if node.metadata:
            entry["extras"] = {"liftform": plain(node.metadata)}
        if node.mesh is not None:
            shared = self._shared.get(id(node.mesh))
            if shared is None:
                number, placed = self._mesh(node.mesh, node.mesh.name)
                shared = self._shared[id(node.mesh)] = (node.mesh, number, placed)
            if shared[2]:  # what undoes the quantisation belongs below the node's own place
                children.insert(0, self._appended({"name": f"{node.name}_mesh", "mesh": shared[1], **shared[2]}))
            else:
                entry["mesh"] = shared[1]
        if children:
            entry["children"] = children
        return self._appended(entry)

    def _appended(self, node: dict[str, Any]) -> int:
        self.document["nodes"].append(node)
        return len(self.document["nodes"]) - 1

    def node(self, mesh: Mesh, name: str) -> int:
        """Append a mesh and its node; the node's number."""
        number, placed = self._mesh(mesh, name)
        return self._appended({"name": name, "mesh": number, **placed})

    def _mesh(self, mesh: Mesh, name: str) -> tuple[int, dict[str, Any]]:
        """Append a mesh; its number, and what its node says to undo the quantisation."""
        if self._kind == "meshopt":
            mesh = _in_cache_order(mesh)
        rows, placed = attributes(mesh, self._kind in ("quantise", "meshopt"))
        shared: dict[str, int] = {}
        entry: dict[str, Any] = {
            "name": name,
            "primitives": [self._primitive(mesh, rows, shared, *lot) for lot in lots(mesh)],
        }
        if mesh.metadata:
            entry["extras"] = {"liftform": plain(mesh.metadata)}
        self.document["meshes"].append(entry)
        return len(self.document["meshes"]) - 1, placed

    def _primitive(
        self,
        mesh: Mesh,
        rows: dict[str, Rows],
        shared: dict[str, int],
        material: Material | None,
        faces: NDArray[np.int64],
    ) -> dict[str, Any]:
        """The faces of one material; accessors of attributes are shared by all primitives of the mesh."""
        tinting = material is not None and material.base_color_texture is not None
        rows = {name: entry for name, entry in rows.items() if not (name == "COLOR_0" and tinting)}
        primitive: dict[str, Any] = {"mode": 4}
        if self._kind == "draco":
            primitive |= self._draco(rows, mesh.faces[faces])
        else:
            for name, entry in rows.items():
                if name not in shared:
                    shared[name] = self._buffer.attribute(entry.values, entry.normalized, bounds=name == "POSITION")
            primitive["attributes"] = {name: shared[name] for name in rows}
            primitive["indices"] = self._buffer.indices(mesh.faces[faces], len(mesh.vertices))
        if material is not None or mesh.colors is not None:
            inside = mesh.uv is not None and bool((mesh.uv >= 0).all() and (mesh.uv <= 1).all())
            shown = material or Material()
            primitive["material"] = self._materials.add(shown, inside, mesh.uv is not None)
        quads = quads_among(mesh, faces) if self._kind in ("none", "quantise") else 0  # others reorder
        return primitive | ({"extras": {"liftform_quads": quads}} if quads else {})

    def _draco(self, rows: dict[str, Rows], faces: NDArray[np.int32]) -> dict[str, Any]:
        stream, ids, decoded, triangles = draco(rows, faces)
        accessors = {
            name: self._buffer.accessor(entry.values, None, entry.normalized, bounds=name == "POSITION")
            for name, entry in decoded.items()
        }
        flat = triangles.reshape(-1, 1).astype("<u4")
        extension = {"bufferView": self._buffer.view(stream), "attributes": ids}
        return {
            "attributes": accessors,
            "indices": self._buffer.accessor(flat, None),
            "extensions": {"KHR_draco_mesh_compression": extension},
        }

    def container(self) -> bytes:
        """Header, JSON chunk padded with spaces, binary chunk padded with zeros (4.4 of the specification)."""
        document = self.document | {"accessors": self._buffer.accessors, "bufferViews": self._buffer.views}
        document["buffers"] = self._buffer.buffers
        text = json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
        text += b" " * (-len(text) % 4)
        binary = self._buffer.data
        total = 12 + 8 + len(text) + 8 + len(binary)
        header = struct.pack("<4sII", b"glTF", 2, total)
        chunks = struct.pack("<II", len(text), _JSON_CHUNK) + text + struct.pack("<II", len(binary), _BIN_CHUNK)
        return header + chunks + bytes(binary)


def _in_cache_order(mesh: Mesh) -> Mesh:
    """The mesh with faces, then vertices, in the order in which neighbours stand together: it packs tighter."""
    from meshoptimizer import optimize_vertex_cache

    lot = np.zeros(len(mesh.faces), np.int32) if mesh.face_material is None else mesh.face_material
    order = np.argsort(lot, kind="stable")
    faces, starts = mesh.faces[order], np.flatnonzero(np.diff(lot[order], prepend=-1))
    parts = []
    for part in np.split(faces, starts[1:]):
        flat = np.ascontiguousarray(part.reshape(-1), np.uint32)
        out = np.empty_like(flat)
        optimize_vertex_cache(out, flat, len(flat), len(mesh.vertices))
        parts.append(out.reshape(-1, 3))
    faces = np.concatenate(parts).astype(np.int64)
    used_vertices, first = np.unique(faces.reshape(-1), return_index=True)
    kept = used_vertices[np.argsort(first)]
    number = np.zeros(len(mesh.vertices), np.int32)
    number[kept] = np.arange(len(kept), dtype=np.int32)
    fields = ("normals", "uv", "colors", "seen", "confidence")
    values = {name: value[kept] for name in fields if (value := getattr(mesh, name)) is not None}
    material = None if mesh.face_material is None else mesh.face_material[order]
    return mesh.with_(vertices=mesh.vertices[kept], faces=number[faces], face_material=material, quads=0, **values)


def plain(value: Any) -> Any:
    """``value`` as JSON knows it: numpy becomes lists and numbers, not-a-number null, anything else its text."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value if value is None or isinstance(value, str | int | bool) else str(value)
