"""Compressed geometry of glTF -> numbers: EXT_meshopt_compression and KHR_draco_mesh_compression (extra compress)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..runtime import need

_EXTRA = "compress"
#: Draco's data types; the package widens small integers.
_DRACO_KINDS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 9: "f4", 10: "f8", 11: "u1"}


def meshopt_view(packed: bytes, count: int, stride: int, mode: str, kind: str) -> bytes:
    """The ``count * stride`` bytes of a view; mode ATTRIBUTES, TRIANGLES or INDICES, kind: the filter undone after.

    Raises MissingExtraError without the package, and what it raises for damaged streams.
    """
    meshopt = need("meshoptimizer", _EXTRA)
    if mode == "ATTRIBUTES":
        rows = meshopt.decode_vertex_buffer(count, stride, packed, dtype=np.dtype((np.void, stride)))
        return _unfiltered(meshopt, np.frombuffer(rows.tobytes(), np.uint8), count, stride, kind)
    decode = {"TRIANGLES": meshopt.decode_index_buffer, "INDICES": meshopt.decode_index_sequence}[mode]
    indices = decode(count, 4, packed)
    return bytes(indices.astype("<u2" if stride == 2 else "<u4").tobytes())


def _unfiltered(meshopt: Any, values: NDArray[np.uint8], count: int, stride: int, kind: str) -> bytes:
    if kind == "NONE":
        return values.tobytes()
    undo, strides = {
        "OCTAHEDRAL": (meshopt.decode_filter_oct, (4, 8)),
        "QUATERNION": (meshopt.decode_filter_quat, (8,)),
        "EXPONENTIAL": (meshopt.decode_filter_exp, tuple(range(4, 260, 4))),
    }[kind]
    if stride not in strides:
        raise InputError(f"a {kind} filter with a stride of {stride} bytes")
    return bytes(undo(values, count, stride).tobytes())


def draco_primitive(
    packed: bytes, attributes: Mapping[str, int]
) -> tuple[dict[str, NDArray[Any]], NDArray[np.integer[Any]]]:
    """Attributes (V, n) by name and corner indices (C,); attributes: name -> unique id in the stream.

    Raises MissingExtraError without the package, and what it raises for damaged streams.
    """
    mesh = need("DracoPy", _EXTRA).decode(packed)
    faces = np.asarray(getattr(mesh, "faces", np.zeros((0, 3))), np.int64)
    by_id = {
        int(entry["unique_id"]): np.asarray(entry["data"]).astype(_DRACO_KINDS[int(entry["data_type"])])
        for entry in mesh.attributes
    }
    count = len(mesh.points)
    values = {name: by_id[number].reshape(count, -1) for name, number in attributes.items() if number in by_id}
    return values, faces.reshape(-1)
