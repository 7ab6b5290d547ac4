"""glTF 2.0, text or binary -> parts: nodes with their transforms, primitives, vertex attributes, extras.

Khronos glTF 2.0 specification, https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..assets import Material, Mesh
from ..conventions import linear_to_srgb
from .gltf_data import Accessors
from .gltf_material import Materials, Placement
from .source import Found, Source, compact, moved, unit_or_none, untextured

#: Extensions that change how a file is read and are read; all others that a file calls required become notes.
_KNOWN = {
    "EXT_meshopt_compression",
    "EXT_texture_webp",
    "KHR_draco_mesh_compression",
    "KHR_materials_emissive_strength",
    "KHR_materials_pbrSpecularGlossiness",
    "KHR_materials_unlit",
    "KHR_mesh_quantization",
    "KHR_texture_transform",
    "MSFT_lod",
}
_TRIANGLES, _STRIP, _FAN = 4, 5, 6
#: Of a mesh in the scene: name, world from mesh, mesh.
_Placed = tuple[str, NDArray[np.float64], Mapping[str, Any]]
#: Names of collision parts (Unreal Engine's convention): they are not what is seen.
_COLLISION = "UCX_"


def read(source: Source) -> Found:
    """Every triangle primitive of the scene as a part in place; glTF is in metres and +Y up.

    Raises UnreadableError for what is damaged, MissingExtraError for compression without the extra that reads it.
    """
    document, binary = _document(source)
    for name in sorted(set(_list(document, "extensionsRequired")) - _KNOWN):
        source.note(f"the extension {name} is ignored")
    for what in ("skins", "animations"):
        if _list(document, what):
            source.note(f"{what} are ignored: the geometry is that of the file at rest")
    accessors = Accessors(source, document, binary)
    materials = Materials(source, document, accessors)
    placed = _without_collision(source, list(_placed(source, document)))
    source.allow(sum(_count(document, mesh) for _, _, mesh in placed))
    parts = []
    for name, matrix, mesh in placed:
        parts += [moved(part, matrix) for part in _parts(source, document, mesh, name, accessors, materials)]
    generator = (document.get("asset") or {}).get("generator")
    own = isinstance(generator, str) and generator.startswith("liftform ")  # which notes the unit in the metadata
    return Found("glTF", parts, metres=None if own else 1.0)


def _document(source: Source) -> tuple[dict[str, Any], bytes]:
    """The JSON and, of a binary file, its buffer."""
    data, binary = source.data, b""
    text = data
    if data[:4] == b"glTF":
        if len(data) < 20 or struct.unpack_from("<I", data, 4)[0] != 2:
            raise source.damaged("not glTF 2.0")
        size = struct.unpack_from("<I", data, 12)[0]
        text = data[20 : 20 + size]
        if len(text) < size:
            raise source.damaged("the file is cut short")
        rest = data[20 + size :]
        if len(rest) >= 8:
            binary = rest[8 : 8 + struct.unpack_from("<I", rest, 0)[0]]
    document = json.loads(text.decode("utf-8-sig", errors="replace"))
    if not isinstance(document, dict):
        raise source.damaged("its JSON is no object")
    return document, binary


def _list(document: Mapping[str, Any], key: str) -> list[Any]:
    value = document.get(key)
    return value if isinstance(value, list) else []


def _placed(source: Source, document: Mapping[str, Any]) -> Iterator[_Placed]:
    """Every node of the scene that has a mesh."""
    nodes, meshes = _list(document, "nodes"), _list(document, "meshes")
    scenes = _list(document, "scenes")
    if scenes:
        roots = _list(scenes[int(document.get("scene", 0))], "nodes")
    else:
        roots = sorted(set(range(len(nodes))) - {child for node in nodes for child in _list(node, "children")})
    if not nodes:
        yield from (("", np.eye(4), mesh) for mesh in meshes)
    waiting = [(int(k), np.eye(4)) for k in reversed(roots)]
    seen: set[int] = set()
    while waiting:
        k, parent = waiting.pop()
        if k in seen or not 0 <= k < len(nodes):
            continue
        seen.add(k)
        node = nodes[k]
        matrix = parent @ _local(node)
        waiting += [(int(child), matrix) for child in reversed(_list(node, "children"))]
        if "EXT_mesh_gpu_instancing" in (node.get("extensions") or {}):
            source.note("instances (EXT_mesh_gpu_instancing) are ignored")
        if node.get("mesh") is None:
            continue
        mesh = meshes[int(node["mesh"])]
        yield str(node.get("name") or mesh.get("name") or ""), matrix, mesh


def _without_collision(source: Source, placed: list[_Placed]) -> list[_Placed]:
    """What is seen: collision parts are left out, unless there is nothing else."""
    seen = [place for place in placed if not place[0].startswith(_COLLISION)]
    if 0 < len(seen) < len(placed):
        source.note(f"collision parts ({_COLLISION}…) are left out")
    return seen or placed


def _local(node: Mapping[str, Any]) -> NDArray[np.float64]:
    """parent_from_node, 4x4."""
    if "matrix" in node:
        return np.asarray(node["matrix"], np.float64).reshape(4, 4).T
    matrix = np.eye(4)
    x, y, z, w = (float(q) for q in node.get("rotation", (0, 0, 0, 1)))
    turn = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    matrix[:3, :3] = turn * np.asarray(node.get("scale", (1, 1, 1)), np.float64)
    matrix[:3, 3] = node.get("translation", (0, 0, 0))
    return matrix


def _count(document: Mapping[str, Any], mesh: Mapping[str, Any]) -> int:
    """How many triangles a mesh claims, before anything is read; at least a third of its vertices."""
    accessors, total = _list(document, "accessors"), 0
    for primitive in _list(mesh, "primitives"):
        mode = primitive.get("mode", _TRIANGLES)
        position = (primitive.get("attributes") or {}).get("POSITION")
        index = primitive.get("indices", position)
        if index is not None and position is not None and mode in (_TRIANGLES, _STRIP, _FAN):
            vertices, count = (int(accessors[int(k)].get("count", 0)) for k in (position, index))
            total += max(count // 3 if mode == _TRIANGLES else count - 2, vertices // 3)
    return total


def _parts(
    source: Source,
    document: Mapping[str, Any],
    mesh: Mapping[str, Any],
    name: str,
    accessors: Accessors,
    materials: Materials,
) -> Iterator[Mesh]:
    """Every primitive of a mesh in its own frame."""
    extras = mesh.get("extras")
    stored = extras.get("liftform") if isinstance(extras, dict) else None
    metadata = dict(stored) if isinstance(stored, dict) else {}
    for primitive in _list(mesh, "primitives"):
        if primitive.get("mode", _TRIANGLES) not in (_TRIANGLES, _STRIP, _FAN):
            source.note("points and lines are left out")
            continue
        if primitive.get("targets"):
            source.note("morph targets are ignored")
        material, placement = materials.of(primitive.get("material"))
        part = _part(primitive, accessors, material, placement)
        if part is not None:
            part = part.with_(name=name, metadata=metadata, quads=_quads(primitive, part))
            yield compact(part) if len(_list(mesh, "primitives")) > 1 else part  # which may share their vertices


def _part(
    primitive: Mapping[str, Any], accessors: Accessors, material: Material | None, placement: Placement
) -> Mesh | None:
    attributes, indices = accessors.primitive(primitive)
    positions = attributes.get("POSITION")
    if positions is None or not len(positions):
        return None
    count = len(positions)
    faces = _triangles(indices, primitive.get("mode", _TRIANGLES))
    faces = faces[((faces >= 0) & (faces < count)).all(axis=1)]
    whole = {key: value for key, value in attributes.items() if len(value) == count and np.isfinite(value).all()}
    uv, normals = whole.get(f"TEXCOORD_{placement.channel}"), whole.get("NORMAL")
    if uv is None and material is not None:
        material = untextured(material)
    return Mesh(
        positions[:, :3].astype(np.float32),
        np.ascontiguousarray(faces, np.int32),
        normals=None if normals is None else unit_or_none(normals[:, :3].astype(np.float64)),
        uv=None if uv is None else placement.applied(uv[:, :2]),
        colors=_colors(whole.get("COLOR_0")),
        seen=_share(whole.get("_SEEN")),
        confidence=_share(whole.get("_CONFIDENCE")),
        material=material,
    )


def _triangles(indices: NDArray[Any], mode: int) -> NDArray[np.int64]:
    """Corner indices of a primitive as triangles (F, 3)."""
    flat = indices.astype(np.int64).reshape(-1)
    if mode == _TRIANGLES:
        return flat[: len(flat) // 3 * 3].reshape(-1, 3)
    k = np.arange(max(len(flat) - 2, 0))
    if mode == _FAN:
        return np.stack([flat[k + 1], flat[k + 2], np.broadcast_to(flat[:1], k.shape)], axis=1)
    return np.stack([flat[k], flat[k + 1 + k % 2], flat[k + 2 - k % 2]], axis=1)


def _quads(primitive: Mapping[str, Any], part: Mesh) -> int:
    """Quadrilaterals that liftform noted in the extras, if the faces are such pairs."""
    extras = primitive.get("extras")
    noted = extras.get("liftform_quads") if isinstance(extras, dict) else None
    if not isinstance(noted, int) or not 0 < 2 * noted <= len(part.faces):
        return 0
    pairs = part.faces[: 2 * noted].reshape(-1, 6)
    return noted if (pairs[:, [0, 2]] == pairs[:, [3, 4]]).all() else 0


def _colors(linear: NDArray[Any] | None) -> NDArray[np.float32] | None:
    """COLOR_0 is in linear light."""
    return None if linear is None else linear_to_srgb(np.clip(linear[:, :3], 0, 1).astype(np.float32))


def _share(values: NDArray[Any] | None) -> NDArray[np.float32] | None:
    if values is None:
        return None
    return np.clip(values.reshape(len(values), -1)[:, 0], 0, 1).astype(np.float32)
