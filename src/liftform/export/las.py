"""LAS 1.4 (binary, point format 7): a point cloud with 16-bit colours, for surveying tools.

ASPRS, "LAS Specification 1.4 - R15", 2019. LAS has no normals; +Z is up there.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..assets import PointCloud

if TYPE_CHECKING:
    from . import ExportOptions

_HEADER, _RECORD = 375, 36
#: Coordinates are whole numbers of a step: a power of ten, at most this part of the extent.
_FINE = 1e-7
_POINT = np.dtype(
    [
        *(("x", "<i4"), ("y", "<i4"), ("z", "<i4"), ("intensity", "<u2"), ("returns", "u1"), ("flags", "u1")),
        *(("class", "u1"), ("user", "u1"), ("angle", "<i2"), ("source", "<u2"), ("time", "<f8")),
        *(("red", "<u2"), ("green", "<u2"), ("blue", "<u2")),
    ]
)


def encode(asset: PointCloud, path: Path, options: ExportOptions) -> dict[Path, bytes]:
    """The cloud as one .las file: (x, -z, y) of the world frame, +Z up; no time, one return a point."""
    x, y, z = asset.points.astype(np.float64).T
    places = np.stack([x, -z, y], 1)
    low, high = places.min(0), places.max(0)
    step = 10.0 ** np.floor(np.log10(max(float((high - low).max()), 1e-9) * _FINE))
    offset = np.floor(low / step) * step
    rows = np.zeros(len(places), _POINT)
    for k, name in enumerate("xyz"):
        rows[name] = np.rint((places[:, k] - offset[k]) / step)
    rows["returns"] = 0x11  # the first of one
    if asset.colors is not None:
        for k, name in enumerate(("red", "green", "blue")):
            rows[name] = np.rint(np.clip(asset.colors[:, k], 0, 1) * 65535)
    return {path: _header(len(rows), step, offset, low, high) + rows.tobytes()}


def _header(
    count: int, step: float, offset: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]
) -> bytes:
    """The public header block; old counts are 0, as point format 7 demands."""
    bounds = [value for k in range(3) for value in (high[k], low[k])]
    parts = [
        b"LASF",
        struct.pack("<HHIHH8s", 0, 0x10, 0, 0, 0, b""),  # GPS time unused, coordinates without a system of WKT
        struct.pack("<BB32s32s", 1, 4, b"liftform", f"liftform {__version__}".encode("ascii")[:32]),
        struct.pack("<HHHIIBH", 0, 0, _HEADER, _HEADER, 0, 7, _RECORD),
        struct.pack("<I5I", 0, *[0] * 5),
        struct.pack("<3d3d6d", *[step] * 3, *offset, *bounds),
        struct.pack("<QQI", 0, 0, 0),
        struct.pack("<Q15Q", count, count, *[0] * 14),
    ]
    return b"".join(parts)
