"""The binary part of a GLB: views and accessors of vertex attributes, as floats, quantised, meshopt or Draco.

KHR_mesh_quantization, EXT_meshopt_compression and KHR_draco_mesh_compression, https://github.com/KhronosGroup/glTF.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..assets import Mesh
from ..conventions import srgb_to_linear
from ..runtime import need
from .content import unit_normals

_COMPONENTS = {"f4": 5126, "i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125}
_KINDS = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4"}
ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963
_MESHOPT = "EXT_meshopt_compression"
#: Attributes that Draco has a type for; all others are generic.
_DRACO_TYPES = {"POSITION": 0, "NORMAL": 1, "TEXCOORD_0": 3}


class Buffer:
    """The binary chunk while it grows, with the views and accessors into it. Every view starts at a multiple of 4.

    packed: attributes and indices are stored by meshoptimizer's codec; their plain form exists only as the sizes of a
    second buffer, which readers without the extension would need.
    """

    def __init__(self, packed: bool = False) -> None:
        self.data = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []
        self._plain = 0
        self._codec: Any = need("meshoptimizer", "compress") if packed else None

    @property
    def buffers(self) -> list[dict[str, Any]]:
        """The document's entry for each buffer."""
        own: list[dict[str, Any]] = [{"byteLength": len(self.data)}]
        if self._plain:
            own.append({"byteLength": self._plain, "extensions": {_MESHOPT: {"fallback": True}}})
        return own

    def view(self, content: bytes, **more: Any) -> int:
        """Append bytes; the number of their view."""
        self.views.append({"buffer": 0, **self._placed(content), **more})
        return len(self.views) - 1

    def _placed(self, content: bytes) -> dict[str, int]:
        place = {"byteOffset": len(self.data), "byteLength": len(content)}
        self.data += content + b"\0" * (-len(content) % 4)
        return place

    def attribute(self, values: NDArray[Any], normalized: bool = False, bounds: bool = False) -> int:
        """Append rows (N, n) of a vertex attribute; each row starts at a multiple of 4. The number of its accessor."""
        width = values.shape[1] * values.itemsize
        stride = width + -width % 4
        rows = np.zeros((len(values), stride), np.uint8)
        rows[:, :width] = np.ascontiguousarray(values).view(np.uint8).reshape(len(values), width)
        more = {"byteStride": stride} if stride != width or self._codec else {}
        if self._codec is None:
            view = self.view(rows.tobytes(), **more, target=ARRAY_BUFFER)
        else:
            self._codec.encode_vertex_version(0)  # later versions are not those of the extension
            content = self._codec.encode_vertex_buffer(rows)
            view = self._packed(content, len(values), stride, "ATTRIBUTES", more, ARRAY_BUFFER)
        return self.accessor(values, view, normalized, bounds)

    def indices(self, faces: NDArray[Any], vertices: int) -> int:
        """Append triangles (F, 3) over so many vertices; the number of their accessor."""
        # 65535 itself is reserved in 16 bits: it restarts a primitive.
        flat = faces.reshape(-1, 1).astype("<u2" if vertices <= 65535 else "<u4")
        if self._codec is None:
            view = self.view(flat.tobytes(), target=ELEMENT_ARRAY_BUFFER)
        else:
            self._codec.encode_index_version(1)
            content = self._codec.encode_index_buffer(flat[:, 0].astype(np.uint32), len(flat), vertices)
            view = self._packed(content, len(flat), flat.itemsize, "TRIANGLES", {}, ELEMENT_ARRAY_BUFFER)
        return self.accessor(flat, view)

    def accessor(self, values: NDArray[Any], view: int | None, normalized: bool = False, bounds: bool = False) -> int:
        """Append an accessor for rows (N, n). ``bounds`` adds the exact lowest and highest values."""
        accessor: dict[str, Any] = {} if view is None else {"bufferView": view}
        kind = values.dtype.str[1:]
        accessor |= {"componentType": _COMPONENTS[kind], "count": len(values), "type": _KINDS[values.shape[1]]}
        if normalized:
            accessor["normalized"] = True
        if bounds:
            low, high = values.min(0), values.max(0)
            accessor |= {"min": low.astype(float).tolist(), "max": high.astype(float).tolist()}
        self.accessors.append(accessor)
        return len(self.accessors) - 1

    def _packed(self, content: bytes, count: int, stride: int, mode: str, more: dict[str, int], target: int) -> int:
        """The view of compressed rows, which lies in the plain buffer that is not there."""
        stored = {"buffer": 0, **self._placed(content), "byteStride": stride, "mode": mode, "count": count}
        plain = {"buffer": 1, "byteOffset": self._plain, "byteLength": count * stride}
        self._plain += count * stride + -count * stride % 4
        self.views.append({**plain, **more, "target": target, "extensions": {_MESHOPT: stored}})
        return len(self.views) - 1


@dataclass(frozen=True)
class Rows:
    """One vertex attribute: rows (V, n) as they are stored, and whether integers stand for [0, 1] or [-1, 1]."""

    values: NDArray[Any]
    normalized: bool = False


def attributes(mesh: Mesh, quantised: bool) -> tuple[dict[str, Rows], dict[str, Any]]:
    """The attributes that a mesh holds by name, and what its node says to undo the quantisation of its positions."""
    rows: dict[str, Rows] = {}
    node: dict[str, Any] = {}
    if quantised:
        low = mesh.vertices.min(0).astype(np.float64)
        extent = max(float(np.ptp(mesh.vertices, axis=0).max()), 1e-30)
        rows["POSITION"] = _unsigned((mesh.vertices - low) / extent, "<u2")
        node = {"translation": low.tolist(), "scale": [extent] * 3}
    else:
        rows["POSITION"] = Rows(mesh.vertices.astype("<f4") + np.float32(0))
    if mesh.normals is not None:
        normals = unit_normals(mesh.normals)
        small = np.rint(normals * 127).astype("i1")
        rows["NORMAL"] = Rows(small, True) if quantised else Rows(normals.astype("<f4"))
    if mesh.uv is not None:
        inside = bool((mesh.uv >= 0).all() and (mesh.uv <= 1).all())
        rows["TEXCOORD_0"] = _unsigned(mesh.uv, "<u2") if quantised and inside else Rows(mesh.uv.astype("<f4"))
    if mesh.colors is not None:
        linear = srgb_to_linear(np.clip(mesh.colors, 0, 1))
        opaque = np.concatenate([linear, np.ones((len(linear), 1), np.float32)], axis=1)
        rows["COLOR_0"] = _unsigned(opaque, "<u2") if quantised else Rows(linear.astype("<f4"))
    for name, values in (("_SEEN", mesh.seen), ("_CONFIDENCE", mesh.confidence)):
        if values is not None:
            rows[name] = Rows(np.clip(np.nan_to_num(values), 0, 1)[:, None].astype("<f4"))  # Blender wants floats
    return rows, node


def _unsigned(values: NDArray[np.floating[Any]], kind: str) -> Rows:
    """Values in [0, 1] as normalised integers."""
    top = np.iinfo(kind).max
    return Rows(np.rint(np.clip(values, 0, 1) * float(top)).astype(kind), True)


def draco(rows: dict[str, Rows], faces: NDArray[Any]) -> tuple[bytes, dict[str, int], dict[str, Rows], NDArray[Any]]:
    """One primitive in Draco's stream: (bytes, unique ids by name, the rows and the faces as they will be decoded).

    Positions at 14 bits, texture coordinates at 12, normals at 10, colours at 16; vertices and faces are reordered.
    Raises MissingExtraError without the package.
    """
    codec = need("DracoPy", "compress")
    used, index = np.unique(faces, return_inverse=True)
    plain = {name: entry.values[used] for name, entry in rows.items()}
    if "COLOR_0" in plain:  # Draco's own colours have 8 bits, too few in linear light
        plain["COLOR_0"] = _unsigned(plain["COLOR_0"], "<u2").values
    generic = {name: np.ascontiguousarray(plain[name]) for name in plain if name not in _DRACO_TYPES}
    stream: bytes = codec.encode(
        plain["POSITION"],
        index.reshape(-1, 3).astype(np.uint32),
        quantization_bits=14,
        compression_level=7,
        normals=_doubles(plain.get("NORMAL")),
        tex_coord=_doubles(plain.get("TEXCOORD_0")),
        generic_attributes=generic or None,
        tex_coord_quantization_bits=12,
        normal_quantization_bits=10,
    )
    mesh = codec.decode(stream)
    ids, decoded = {}, {}
    for name in plain:
        kind = _DRACO_TYPES.get(name)
        found = mesh.get_attribute_by_name(name) if kind is None else mesh.get_attribute_by_type(kind)
        ids[name] = int(found["unique_id"])
        kind_of_rows = "<u2" if name == "COLOR_0" else "<f4"
        values = np.asarray(found["data"]).reshape(len(mesh.points), -1).astype(kind_of_rows)
        decoded[name] = Rows(values, normalized=name == "COLOR_0")
    return stream, ids, decoded, np.asarray(mesh.faces)


def _doubles(values: NDArray[Any] | None) -> NDArray[np.float64] | None:
    return None if values is None else values.astype(np.float64)
