"""STL, binary or text -> one part; corners at bit-identical positions become one vertex.

3D Systems, "StereoLithography Interface Specification", 1988.
"""

from __future__ import annotations

import re
import struct

import numpy as np
from numpy.typing import NDArray

from ..assets import Mesh
from ..topology import merge_map
from .source import Found, Source, readable

_VERTEX = re.compile(rb"^[ \t]*vertex[ \t]+([^\r\n]+)", re.M | re.I)
_TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def read(source: Source) -> Found:
    """The triangles of the file; STL knows no unit, but liftform notes it in the header of its own."""
    data = source.data
    binary = len(data) >= 84 and len(data) == 84 + 50 * struct.unpack_from("<I", data, 80)[0]
    text = not binary and data[:512].lstrip().lower().startswith(b"solid") and b"facet" in data[:65536].lower()
    corners = _text(source) if text else _binary(source)
    rows = corners.reshape(-1, 3) + np.float32(0)  # -0 and 0 are one place
    first, index = merge_map(rows)
    faces = np.asarray(index, np.int32).reshape(-1, 3)
    metres = 1.0 if data.startswith(b"liftform ") and b"unit: metre" in data[:80] else None
    name = readable(data[:80].splitlines()[0][5:]) if text else ""
    return Found("STL", [Mesh(rows[first], faces, name=name)], metres)


def _binary(source: Source) -> NDArray[np.float32]:
    """Corners (F, 3, 3)."""
    if len(source.data) < 84:
        raise source.damaged("the file is cut short")
    count = struct.unpack_from("<I", source.data, 80)[0]
    if 84 + 50 * count > len(source.data):
        raise source.damaged(f"it claims {count:,} triangles and is cut short")
    source.allow(count)
    return np.ascontiguousarray(np.frombuffer(source.data, _TRIANGLE, count, 84)["corners"])


def _text(source: Source) -> NDArray[np.float32]:
    rows = _VERTEX.findall(source.data)
    if len(rows) % 3:
        raise source.damaged("a triangle has no three corners")
    source.allow(len(rows) // 3)
    return np.array(b" ".join(rows).split(), dtype=np.float64).reshape(-1, 3, 3).astype(np.float32)
