"""From the learned grids to a mesh: contour, crop to the silhouettes, largest parts, colours, what was seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...assets import Mesh
from ...capture import Capture
from ...errors import ReconstructionError
from ...render import Scene
from ...topology import components, signed_volumes
from ..surface import Grid, sealed, surface_of
from .start import Silhouettes
from .volume import Volume

FloatArray = NDArray[np.float32]

#: A part smaller than this share of the largest (by volume) is dropped.
_SMALL = 0.002
#: Views of which a place must be seen before its confidence can be full.
_ENOUGH = 4


def mesh_of(volume: Volume, capture: Capture, silhouettes: Silhouettes | None) -> Mesh:
    """The surface as a mesh in the world's frame: colors, seen (1 where two pictures or more show a place, 0 where none
    does) and confidence (from how many pictures show it, and from how wide their directions are spread).

    Raises ReconstructionError where there is no surface.
    """
    grid = volume.grid()
    if silhouettes is not None:
        outside = silhouettes.on_grid(grid.low, grid.step, volume.shape)
        grid = Grid(np.maximum(grid.values, outside), grid.low, grid.step)
    if not (grid.values < 0).any():
        raise ReconstructionError("no surface is left inside the silhouettes", "check the masks and the cameras")
    vertices, faces = surface_of(sealed(grid))
    vertices, faces = _largest(vertices, faces)
    plain = Mesh(vertices, faces)
    colors, seen, confidence = _looked_at(plain, volume, capture)
    return plain.with_(colors=colors, seen=seen, confidence=confidence, name="surface")


def _largest(vertices: FloatArray, faces: NDArray[np.int32]) -> tuple[FloatArray, NDArray[np.int32]]:
    """The parts that enclose a fair share of the largest's volume; hollows inside of parts are filled."""
    labels = components(faces)
    volumes = signed_volumes(vertices.astype(np.float64), faces, labels)
    kept = (volumes >= _SMALL * volumes.max())[labels]
    used, renumbered = np.unique(faces[kept], return_inverse=True)
    return vertices[used], renumbered.reshape(-1, 3).astype(np.int32)


def _looked_at(mesh: Mesh, volume: Volume, capture: Capture) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Colours (V, 3), seen (V,) and confidence (V,) of a mesh's vertices, from the pictures that show them."""
    normals = _normals(mesh)
    scene = Scene(mesh)
    lift = 1.5 * volume.unit * volume.h
    points = mesh.vertices + normals * np.float32(lift)
    count = np.zeros(len(points), np.float32)
    weight, mean = np.zeros(len(points), np.float32), np.zeros((len(points), 3), np.float32)
    for photo in capture.photos:
        camera = photo.camera
        assert camera is not None
        pixels, z = camera.project(mesh.vertices)
        within = ((pixels >= 0) & (pixels < [camera.width, camera.height])).all(1) & (z > 0)
        towards = (camera.position - mesh.vertices).astype(np.float32)
        towards /= np.linalg.norm(towards, axis=1, keepdims=True)
        slant = (towards * normals).sum(1)
        asked = np.flatnonzero(within & (slant > 0.15))
        shown = asked[~scene.occluded(points[asked], towards[asked])]
        count[shown] += 1
        weight[shown] += slant[shown]
        mean[shown] += slant[shown, None] * towards[shown]
    spread = 1 - np.linalg.norm(mean, axis=1) / np.maximum(weight, 1e-9)
    confidence = np.minimum(count / _ENOUGH, 1) * np.clip(0.5 + 5 * spread, 0, 1)
    fallback = np.where(weight[:, None] > 0, mean, normals)
    fallback /= np.maximum(np.linalg.norm(fallback, axis=1, keepdims=True), 1e-9)
    colors = _colors(volume, mesh.vertices, -fallback)
    return colors, np.clip(count / 2, 0, 1).astype(np.float32), np.where(count > 0, confidence, 0).astype(np.float32)


def _normals(mesh: Mesh) -> FloatArray:
    from ...render import smooth_normals

    return smooth_normals(mesh)


def _colors(volume: Volume, points: FloatArray, directions: FloatArray) -> FloatArray:
    """sRGB colours (N, 3) of places of the world seen along directions; the nearest learned ones for others."""
    from . import kernels

    at = (volume.units(points) / volume.h).astype(np.float64)
    size = volume.colors.shape[1] // 3
    out = np.empty((len(points), 3), np.float32)
    kernels.colors_at(volume.index, volume.colors, at, directions.astype(np.float64), np.empty(size), out)
    return np.clip(out, 0, 1)
