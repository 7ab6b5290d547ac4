"""The photos of a set -> the texture of a mesh: each place from the photo that shows it best, no seams, no ghosts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...assets import Material, Mesh
from ...capture import Capture, Photo
from ...conventions import srgb_to_linear
from ...errors import InputError
from ...recipe import option
from ...render import Scene
from ...runtime import Runtime
from ...topology import merge_map
from .. import surface
from ..texels import Texels
from .choice import Candidates, Faces, Light, candidates, chosen, evened
from .seams import Shares, by_labels, by_quality, levelled
from .texture import Canvas, at_vertices, drawn, edges_of, filled_in, mixed
from .views import View

#: Rays to the camera start so far above the surface, share of the mesh's diagonal.
_LIFT = 0.002
#: Width over which one photo passes into the next, in texels, and in rings of vertices at most.
_FEATHER, _RINGS = 12.0, 6
_SIZES = (256, 512, 1024, 2048, 4096)


@dataclass(frozen=True)
class PaintOptions:
    """How the photos become a texture."""

    size: int = option(0, "side of the texture in pixels; 0: as fine as the photos, 4096 at most", "", 0, 8192)
    mode: Literal["best", "blend"] = option("best", "each place from one photo, or a mean of all that show it", "paint")
    smooth: float = option(0.5, "how much neighbouring faces keep to one photo", "", 0, 10)
    level: bool = option(True, "make photos agree where they meet")
    even: bool = option(True, "bring all photos to one exposure and white balance")
    ghosts: bool = option(True, "leave out photos that show something else than the others")


def paint(options: PaintOptions, runtime: Runtime) -> Callable[[Mesh, Capture], Mesh]:
    """Refiner: a mesh with uv (see ``unwrap``) and the photos of a set -> the mesh with a base colour texture.

    Photos need cameras of the mesh's world (see ``photoset.straight``); masks, and depth that shows things before the
    mesh, are respected. mode "best": view selection with a smooth labelling, seam levelling and a soft passage
    (Waechter et al. 2014); "blend": a mean weighted by how finely each photo shows a place. All in linear light.
    What no photo saw is filled smoothly, from ``mesh.colors`` where there are any, and is 0 in ``seen``.

    metadata["paint"]: texture_size, views, seen_share of the area, ghosts (share of rejected candidates), patches,
    exposure (stops of each photo), seams ([before, after] levelling, mean difference of logarithms).
    Raises InputError without uv or without a photo that has a camera.
    """

    def run(mesh: Mesh, capture: Capture) -> Mesh:
        if mesh.uv is None:
            raise InputError("this mesh has no texture coordinates", "run unwrap before paint")
        photos = [photo for photo in capture.photos if photo.camera is not None]
        if not photos:
            raise InputError("no photo of this set has a camera", "find their places first: liftform poses")
        return _painted(mesh, photos, options, runtime)

    return run


def _painted(mesh: Mesh, photos: Sequence[Photo], options: PaintOptions, runtime: Runtime) -> Mesh:
    first, vertex = merge_map(mesh.vertices)
    positions, corner = mesh.vertices[first], vertex[mesh.faces]
    normals = surface.vertex_normals(positions, corner)
    faces, scene = Faces.of(positions, corner), Scene(mesh)
    lift = _LIFT * surface.diagonal(positions)
    views = [View.of(photo) for photo in photos]
    found = candidates(faces, scene, views, lift, lambda done: runtime.progress("paint", 0.4 * done))
    light = _light(found, len(views), options)
    matrix, patches = _weights(found, light, faces, corner, len(positions), len(views), options, _rings(found, faces))
    shares = Shares.of(matrix)
    edges = edges_of(corner)
    offset, seams = np.zeros((len(shares.vertex), 3), np.float32), (0.0, 0.0)
    if options.level and options.mode == "best" and len(shares.vertex):
        offset, before, after = levelled(shares, edges, positions, normals, views, light.gains, scene, lift)
        seams = (before, after)
    runtime.progress("paint", 0.5)
    size = options.size or _fine(mesh, found)
    with_normals = mesh if mesh.normals is not None else mesh.with_(normals=normals[vertex])
    canvas = Canvas(Texels.of(with_normals, size), corner, scene, lift)
    color, weight = mixed(canvas, views, shares, offset, light.gains, runtime)
    mean, seen = at_vertices(canvas, color, weight, len(positions))
    lengths = np.linalg.norm(positions[edges[:, 0]] - positions[edges[:, 1]], axis=1).astype(np.float32)
    guess = None if mesh.colors is None else srgb_to_linear(mesh.colors[first])
    fill = filled_in(mean, seen, edges, lengths, guess)
    texture = drawn(canvas, color, weight, fill, runtime)
    runtime.progress("paint", 1.0)
    facts = {
        "texture_size": size,
        "mode": options.mode,
        "views": len(np.unique(shares.view)),
        "seen_share": round(canvas.texels.share(weight), 4),
        "ghosts": round(float(light.outlier.sum() / max(int(found.there.sum()), 1)), 4),
        "patches": patches,
        "exposure": [round(float(g.mean() / np.log(2)), 3) for g in light.gains],
        "seams": [round(float(s), 4) for s in seams],
    }
    shown = seen if mesh.seen is None else np.minimum(seen, mesh.seen[first])
    return with_normals.with_(
        seen=shown[vertex].astype(np.float32),
        material=Material(base_color_texture=texture, metallic=0.0, roughness=0.9),
        materials=(),
        face_material=None,
        metadata={**mesh.metadata, "paint": facts},
    )


def _light(found: Candidates, views: int, options: PaintOptions) -> Light:
    """Gains and outliers, as far as they are wanted."""
    light = evened(found, views)
    gains = light.gains if options.even else np.zeros_like(light.gains)
    return Light(gains, light.outlier if options.ghosts else np.zeros_like(light.outlier))


def _weights(
    found: Candidates, light: Light, faces: Faces, corner: NDArray[Any], count: int, views: int, options: PaintOptions,
    rings: int,
) -> tuple[Any, int]:  # fmt: skip
    """Weights (vertices, views) of the photos, and the number of patches of one photo (0 when all are mixed)."""
    if options.mode == "blend":
        return by_quality(corner, found, light.outlier, count, views), 0
    label = chosen(found, light.outlier, faces, options.smooth)
    return by_labels(corner, label, faces.area, count, views, rings), _patches(label, faces)


def _patches(label: NDArray[np.int16], faces: Faces) -> int:
    """Connected parts of the surface that take their colour from one photo."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    same = faces.pairs[label[faces.pairs[:, 0]] == label[faces.pairs[:, 1]]]
    graph = coo_matrix((np.ones(len(same), np.int8), (same[:, 0], same[:, 1])), (len(label), len(label)))
    part = connected_components(graph, directed=False)[1]
    return len(np.unique(part[label >= 0]))


def _rings(found: Candidates, faces: Faces) -> int:
    """Rings of vertices that make up the passage between photos, whose pixels are about as large as texels."""
    known = found.quality[:, 0] > 0
    side = float(np.median(np.sqrt(2 * found.quality[known, 0]))) if known.any() else _FEATHER
    return int(np.clip(round(_FEATHER / max(side, 1e-6)) - 1, 0, _RINGS))


def _fine(mesh: Mesh, found: Candidates) -> int:
    """Size of the texture at which texels are about as small as the photos' pixels."""
    assert mesh.uv is not None
    a, b, c = (mesh.uv[mesh.faces[:, k]].astype(np.float64) for k in range(3))
    flat = np.abs((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2
    seen = found.quality[:, 0] > 0
    need = float(np.sqrt(found.quality[seen, 0].sum() / max(float(flat[seen].sum()), 1e-9))) if seen.any() else 0.0
    return next((size for size in _SIZES if size >= 0.9 * need), _SIZES[-1])


__all__ = ["PaintOptions", "paint"]
