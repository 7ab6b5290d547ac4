"""Whatever else trimesh opens (OFF, STEP with the extra cad) -> parts."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..assets import Mesh
from .source import Found, Source, moved

#: Keeps trimesh's warnings off the terminal of programs that have not set up logging.
_UNHEARD = logging.NullHandler()


def opens(suffix: str) -> bool:
    """Whether trimesh knows files of this suffix (lower case, with its dot)."""
    import trimesh

    return suffix.lstrip(".") in trimesh.exchange.load.mesh_formats()


def read(source: Source, kind: str) -> Found:
    """Every triangle geometry of the scene in place; positions, faces and vertex colours alone."""
    import trimesh

    logging.getLogger("trimesh").addHandler(_UNHEARD)
    scene = trimesh.load_scene(str(source.path), file_type=kind, process=False)
    parts = []
    for node in sorted(scene.graph.nodes_geometry):
        matrix, name = scene.graph[node]
        geometry = scene.geometry[name]
        if isinstance(geometry, trimesh.Trimesh):
            source.spend(len(geometry.faces))
            parts.append(moved(_part(geometry, str(name)), np.asarray(matrix, np.float64)))
    return Found(kind.upper(), parts)


def _part(geometry: Any, name: str) -> Mesh:
    positions = np.asarray(geometry.vertices, np.float64)
    faces = np.asarray(geometry.faces, np.int64).reshape(-1, 3)
    faces = faces[((faces >= 0) & (faces < len(positions))).all(axis=1)]
    return Mesh(
        positions.astype(np.float32),
        np.ascontiguousarray(faces, np.int32),
        colors=_colors(geometry.visual, len(positions)),
        name="" if name.startswith("geometry_") else name,
    )


def _colors(visual: Any, count: int) -> NDArray[np.float32] | None:
    """Vertex colours; colours of faces go to their corners."""
    colors = visual.vertex_colors if visual.kind in ("vertex", "face") else None
    if colors is None or len(colors) != count:
        return None
    values = np.asarray(colors)[:, :3]
    top = 1.0 if values.dtype.kind == "f" else float(np.iinfo(values.dtype).max)
    return np.clip(np.nan_to_num(values / top), 0, 1).astype(np.float32)
