"""The numbers of a glTF file: buffers, views and accessors, plain, sparse, quantised or compressed."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .source import MAX_BYTES, Source

_TYPES = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}

#: Of a primitive: attributes (V, n) by name, corner indices (C,).
_Numbers = tuple[dict[str, NDArray[Any]], NDArray[Any]]


class Accessors:
    """Reads accessors of one document; every read is within the bytes there are, or an UnreadableError."""

    def __init__(self, source: Source, document: Mapping[str, Any], binary: bytes) -> None:
        self._source, self._document, self._binary = source, document, binary
        self._buffers: dict[int, bytes] = {}
        self._views: dict[int, bytes] = {}
        self._read: dict[int, NDArray[Any]] = {}

    def primitive(self, primitive: Mapping[str, Any]) -> _Numbers:
        """Attributes (V, n) by name, normalised where the file says so, and the corner indices (C,)."""
        draco = (primitive.get("extensions") or {}).get("KHR_draco_mesh_compression")
        attributes = {str(key): int(index) for key, index in (primitive.get("attributes") or {}).items()}
        if draco is not None:
            return self._draco(draco, attributes)
        values = {key: self.accessor(index) for key, index in attributes.items() if _wanted(key)}
        if primitive.get("indices") is not None:
            return values, self.accessor(int(primitive["indices"]))[:, 0]
        return values, np.arange(len(values["POSITION"]) if "POSITION" in values else 0)

    def accessor(self, index: int) -> NDArray[Any]:
        """(count, width) of an accessor; sparse values put in, normalised integers as float32 in [0, 1] or [-1, 1]."""
        if index not in self._read:
            accessor = self._entry("accessors", index)
            values = self._values(accessor)
            if accessor.get("sparse"):
                values = self._sparse(values.copy(), accessor["sparse"])
            self._read[index] = normalised(values) if accessor.get("normalized") else values
        return self._read[index]

    def view(self, index: int) -> bytes:
        """The bytes of a buffer view, decompressed."""
        if index not in self._views:
            view = self._entry("bufferViews", index)
            packed = (view.get("extensions") or {}).get("EXT_meshopt_compression")
            self._views[index] = self._slice(view) if packed is None else self._meshopt(packed)
        return self._views[index]

    def data_uri(self, uri: str) -> bytes | None:
        """The bytes of a data: URI, or None when it is none."""
        if not uri.startswith("data:"):
            return None
        head, _, body = uri.partition(",")
        try:
            return base64.b64decode(body, validate=False) if head.endswith(";base64") else body.encode()
        except (binascii.Error, ValueError) as error:
            raise self._source.damaged("a data URI is not base64") from error

    def _entry(self, kind: str, index: int) -> dict[str, Any]:
        entries = self._document.get(kind) or []
        if not 0 <= index < len(entries):
            raise self._source.damaged(f"{kind}[{index}] does not exist")
        entry: dict[str, Any] = entries[index]
        return entry

    def _buffer(self, index: int) -> bytes:
        if index not in self._buffers:
            uri = self._entry("buffers", index).get("uri")
            data = self._binary if uri is None else self.data_uri(str(uri))
            if data is None:
                data = self._source.beside(str(uri))
            if data is None:
                raise self._source.damaged(f"its buffer {str(uri)[:80]!r} is missing")
            self._buffers[index] = data
        return self._buffers[index]

    def _slice(self, view: Mapping[str, Any]) -> bytes:
        data = self._buffer(int(view["buffer"]))
        start, length = int(view.get("byteOffset", 0)), int(view["byteLength"])
        if start < 0 or length < 0 or start + length > len(data):
            raise self._source.damaged("the file is cut short, or a view lies outside of its buffer")
        return data[start : start + length]

    def _values(self, accessor: Mapping[str, Any]) -> NDArray[Any]:
        """The plain values (count, width) of an accessor, or zeros without a view."""
        kind, width = np.dtype(_TYPES[accessor["componentType"]]), _WIDTHS[accessor["type"]]
        count, offset = int(accessor["count"]), int(accessor.get("byteOffset", 0))
        self._check_size(count, width * kind.itemsize)
        if accessor.get("bufferView") is None:
            return np.zeros((count, width), kind)
        index = int(accessor["bufferView"])
        data = self.view(index)
        stride = int(self._entry("bufferViews", index).get("byteStride") or width * kind.itemsize)
        needed = offset + (count - 1) * stride + width * kind.itemsize if count else 0
        if offset < 0 or stride <= 0 or needed > len(data):
            raise self._source.damaged("an accessor lies outside of its view")
        rows = np.ndarray((count, width), kind, data, offset, (stride, kind.itemsize))
        return np.ascontiguousarray(rows)

    def _sparse(self, values: NDArray[Any], sparse: Mapping[str, Any]) -> NDArray[Any]:
        count, at, new = int(sparse["count"]), sparse["indices"], sparse["values"]
        rows = self._values({**at, "count": count, "type": "SCALAR"})[:, 0].astype(np.int64)
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(values):
            raise self._source.damaged("a sparse index lies outside of its accessor")
        width = next(name for name, n in _WIDTHS.items() if n == values.shape[1])
        component = next(code for code, name in _TYPES.items() if np.dtype(name) == values.dtype)
        values[rows] = self._values({**new, "count": count, "type": width, "componentType": component})
        return values

    def _check_size(self, count: int, size: int) -> None:
        if count < 0 or count * size > MAX_BYTES:
            raise self._source.damaged(f"an accessor claims {count:,} elements")

    def _meshopt(self, packed: Mapping[str, Any]) -> bytes:
        from . import compressed

        count, stride = int(packed["count"]), int(packed["byteStride"])
        self._check_size(count, stride)
        mode, kind = str(packed["mode"]), str(packed.get("filter", "NONE"))
        return compressed.meshopt_view(self._slice(packed), count, stride, mode, kind)

    def _draco(self, draco: Mapping[str, Any], attributes: Mapping[str, int]) -> _Numbers:
        from . import compressed

        names = {str(key): int(number) for key, number in draco["attributes"].items() if _wanted(str(key))}
        decoded, indices = compressed.draco_primitive(self.view(int(draco["bufferView"])), names)
        for key in decoded:
            accessor = self._entry("accessors", attributes[key]) if key in attributes else {}
            if accessor.get("normalized"):
                decoded[key] = normalised(decoded[key])
        return decoded, indices


def _wanted(name: str) -> bool:
    return name in ("POSITION", "NORMAL", "COLOR_0", "_SEEN", "_CONFIDENCE") or name.startswith("TEXCOORD_")


def normalised(values: NDArray[Any]) -> NDArray[Any]:
    """Integers as the floats they stand for (3.6.2.2 of the specification); floats as they are."""
    if values.dtype.kind not in "iu":
        return values
    top = np.float32(np.iinfo(values.dtype).max)
    return np.maximum(values.astype(np.float32) / top, np.float32(-1))
