"""PLY (binary, little endian): a mesh with vertex colours, ``seen`` and ``confidence``, or a coloured point cloud.

G. Turk, "The PLY Polygon File Format", 1994.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..appearance import vertex_colors
from ..assets import Model, PointCloud
from ..conventions import linear_to_srgb, srgb_to_linear, to_uint8
from ..topology import merge_map
from .content import signature, unit_normals

if TYPE_CHECKING:
    from . import ExportOptions

_TYPES = {"<f4": "float", "u1": "uchar"}


def encode(asset: Model | PointCloud, path: Path, options: ExportOptions) -> dict[Path, bytes]:
    """The asset as one .ply file.

    Quadrilaterals stay whole. A mesh's vertices doubled for UV seams become one: colours (from the texture if there is
    one), normals, ``seen`` and ``confidence`` are averaged over them, texture coordinates are not kept.
    """
    if isinstance(asset, PointCloud):
        return {path: _file(_columns(asset.points, asset.normals, asset.colors, {}), None, signature(asset))}
    mesh = asset.mesh
    first, index = merge_map(mesh.vertices)
    colors = vertex_colors(mesh)
    columns = _columns(
        mesh.vertices[first],
        None if mesh.normals is None else _averaged(mesh.normals, index),
        None if colors is None else linear_to_srgb(_averaged(srgb_to_linear(colors), index)),
        {
            name: _averaged(np.clip(np.nan_to_num(values), 0, 1)[:, None], index)
            for name, values in (("seen", mesh.seen), ("confidence", mesh.confidence))
            if values is not None
        },
    )
    return {path: _file(columns, [index[part] for part in mesh.polygons], signature(mesh))}


def _averaged(values: NDArray[np.floating[Any]], index: NDArray[Any]) -> NDArray[np.float32]:
    """Mean of the rows with the same index."""
    count = np.bincount(index)
    sums = [np.bincount(index, values[:, k].astype(np.float64)) / count for k in range(values.shape[1])]
    return np.stack(sums, axis=1).astype(np.float32)


def _columns(
    positions: NDArray[np.floating[Any]],
    normals: NDArray[np.floating[Any]] | None,
    colors: NDArray[np.float32] | None,
    shares: dict[str, NDArray[np.float32]],
) -> dict[str, NDArray[Any]]:
    """name -> values (N,) of every vertex property, in the file's order."""
    columns = dict(zip("xyz", positions.astype("<f4").T, strict=True))
    if normals is not None:
        columns |= dict(zip(("nx", "ny", "nz"), unit_normals(normals).astype("<f4").T, strict=True))
    if colors is not None:
        columns |= dict(zip(("red", "green", "blue"), to_uint8(colors).T, strict=True))
    return columns | {name: values[:, 0].astype("<f4") for name, values in shares.items()}


def _file(columns: dict[str, NDArray[Any]], faces: list[NDArray[Any]] | None, note: str) -> bytes:
    """Header, with ``note`` as its comment, and binary body; faces: (N, corners) for each number of corners."""
    kinds = [(name, "u1" if values.dtype == np.uint8 else "<f4") for name, values in columns.items()]
    vertices = np.empty(len(columns["x"]), kinds)
    for name, values in columns.items():
        vertices[name] = values
    lines = ["ply", "format binary_little_endian 1.0", f"comment {note}"]
    lines += [f"element vertex {len(vertices)}", *(f"property {_TYPES[kind]} {name}" for name, kind in kinds)]
    body = vertices.tobytes()
    if faces is not None:
        lines += [f"element face {sum(map(len, faces))}", "property list uchar int vertex_indices"]
        for part in faces:
            rows = np.empty(len(part), [("count", "u1"), ("corners", "<i4", part.shape[1])])
            rows["count"], rows["corners"] = part.shape[1], part
            body += rows.tobytes()
    return ("\n".join([*lines, "end_header"]) + "\n").encode("ascii") + body
