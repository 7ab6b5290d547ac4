"""Mesh -> mesh with texture coordinates: few charts, laid flat by projection, packed into the unit square."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..assets import Mesh
from ..recipe import option
from ..runtime import Runtime
from ..topology import merge_map
from . import surface
from .charts import segmented
from .packing import packed

Floats = NDArray[np.float64]
Ints = NDArray[np.integer]


@dataclass(frozen=True)
class UnwrapOptions:
    """How the surface is cut open and laid out on the texture."""

    method: Literal["fast", "xatlas"] = option("fast", "charts by projection (fast), or xatlas (slow, little stretch)")
    padding: int = option(4, "texels between charts on a 1024 px texture", "", 2, 64)


def unwrap(options: UnwrapOptions, runtime: Runtime) -> Callable[[Mesh], Mesh]:
    """Refiner: adds uv (origin top-left, in [0, 1]) and smooth normals; vertices on seams doubled, bit-identical.

    Takes a solid without uv; and any other mesh too, whose vertices at one place are then one, whose uv is laid out
    anew as one atlas for all materials, and whose textured materials, which belonged to the old uv, are left behind
    (``transfer`` brings them over). The order of faces stays, and quads stay whole; xatlas knows none, and where it
    cuts one they are all triangles.

    metadata["unwrap"]: method, charts, coverage (share of the texture used), stretch (area distortion: root mean
    square of the texel density over its mean, 1 is none) and stretch_max.
    """

    def run(mesh: Mesh) -> Mesh:
        mesh = _bare(mesh)
        normals = surface.vertex_normals(mesh.vertices, mesh.faces)
        opened = _by_xatlas if options.method == "xatlas" else _by_projection
        origin, faces, uv, charts = opened(mesh, options.padding)
        facts = {"method": options.method, "charts": charts, **_measures(mesh.vertices[origin], faces, uv)}
        return mesh.with_(
            vertices=mesh.vertices[origin],
            faces=faces,
            normals=normals[origin],
            uv=uv,
            colors=None if mesh.colors is None else mesh.colors[origin],
            seen=None if mesh.seen is None else mesh.seen[origin],
            confidence=None if mesh.confidence is None else mesh.confidence[origin],
            quads=mesh.quads if _uncut(faces, mesh.quads) else 0,
            metadata={**mesh.metadata, "unwrap": facts},
        )

    return run


def _bare(mesh: Mesh) -> Mesh:
    """The mesh without uv and what hangs on it, every place one vertex; a mesh that is so already, itself."""
    first, new = merge_map(mesh.vertices)
    if mesh.uv is None and len(first) == len(mesh.vertices):
        return mesh
    textured = any(material.textures for material in mesh.all_materials)
    kept = {name: getattr(mesh, name) for name in ("colors", "seen", "confidence")}
    return mesh.with_(
        vertices=mesh.vertices[first],
        faces=new[mesh.faces].astype(np.int32),
        normals=None,
        uv=None,
        **{name: None if value is None else value[first] for name, value in kept.items()},
        **({"material": None, "materials": (), "face_material": None} if textured else {}),
    )


def _uncut(faces: NDArray[np.int32], quads: int) -> bool:
    """Whether the halves of all quads still share their diagonals."""
    pairs = faces[: 2 * quads].reshape(-1, 6)
    return bool((pairs[:, [0, 2]] == pairs[:, [3, 4]]).all())


def _by_projection(mesh: Mesh, padding: int) -> tuple[Ints, NDArray[np.int32], NDArray[np.float32], int]:
    """Original vertex of each new one, faces, uv and number of charts, by our own segmentation and packing."""
    layout = segmented(mesh.vertices, mesh.faces, mesh.quads)
    chart, place = layout.chart, packed(layout, padding / 1024)
    count = len(mesh.vertices)
    key = chart[:, None] * count + mesh.faces
    corner_key, first, index = np.unique(key, return_index=True, return_inverse=True)
    uv = place.reshape(-1, 2)[first]
    return corner_key % count, index.reshape(-1, 3).astype(np.int32), uv.astype(np.float32), int(chart.max()) + 1


def _by_xatlas(mesh: Mesh, padding: int) -> tuple[Ints, NDArray[np.int32], NDArray[np.float32], int]:
    """The same by xatlas (github.com/jpcy/xatlas): about 3 s for 20,000 faces."""
    import xatlas

    atlas = xatlas.Atlas()
    atlas.add_mesh(mesh.vertices, mesh.faces.astype(np.uint32))
    packing = xatlas.PackOptions()
    packing.resolution, packing.padding = 1024, padding
    atlas.generate(pack_options=packing)
    origin, faces, uv = atlas[0]
    return origin.astype(np.int64), faces.astype(np.int32), uv.astype(np.float32), int(atlas.chart_count)


def _measures(vertices: NDArray[np.float32], faces: NDArray[np.int32], uv: NDArray[np.float32]) -> dict[str, Any]:
    area = np.linalg.norm(surface.cross_products(vertices, faces), axis=1) / 2
    a, b, c = (uv[faces[:, i]].astype(np.float64) for i in range(3))
    flat = np.abs((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2
    density = np.sqrt(flat / np.maximum(area, 1e-300))
    mean = float((density * area).sum() / area.sum())
    return {
        "coverage": round(float(flat.sum()), 4),
        "stretch": round(float(np.sqrt((density**2 * area).sum() / area.sum()) / mean), 4),
        "stretch_max": round(float(mean / max(density[area > 1e-9 * area.sum()].min(), 1e-9)), 3),
    }
