"""STL (binary): geometry alone, 50 bytes a triangle.

3D Systems, "StereoLithography Interface Specification", 1988.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..assets import Model
from .content import signature

if TYPE_CHECKING:
    from . import ExportOptions


def encode(model: Model, path: Path, options: ExportOptions) -> dict[Path, bytes]:
    """The mesh as one .stl file, coordinates as they are. STL knows neither axes nor units: the header notes both."""
    mesh = model.mesh
    header = signature(mesh).encode("ascii")
    triangles = np.zeros(len(mesh.faces), [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    triangles["normal"] = mesh.face_normals()
    triangles["corners"] = mesh.vertices[mesh.faces] + np.float32(0)
    return {path: header.ljust(80)[:80] + struct.pack("<I", len(triangles)) + triangles.tobytes()}
