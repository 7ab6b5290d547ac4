"""A photo and its depth to a textured mesh: torn where depth is, without sky, filled behind the tears on demand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..assets import Material, Mesh, PointCloud
from ..camera import Camera
from ..capture import Capture, Depth, Photo
from ..conventions import linear_to_srgb, srgb_to_linear, to_uint8
from ..errors import ReconstructionError, UsageError
from ..recipe import option
from ..runtime import Runtime
from . import behind, tears, triangles
from .sheet import COARSEST, Sheet, inverse, meshed, torn_triangles

Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
_Move = Callable[[Floats], Floats]

#: Share of the triangles for what is seen, where the rest is filled.
_FRONT_SHARE = 0.7
#: Longest side in pixels of the picture of what is hidden.
_PLATE = 768
#: Share of the picture that level surfaces must cover to be called a floor.
_LEAST_FLOOR = 0.03
#: Cosine from which a surface counts as floor or another level place.
_LEVEL = 0.93


@dataclass(frozen=True)
class ReliefOptions:
    """How depth becomes a mesh."""

    faces: int = option(60000, "most triangles in the result, of a scene", "faces", 100, 2_000_000)
    fill: bool = option(False, "fill what the foreground hides; that is invented, and marked so", "fill")
    cells: int = option(512, "cells along the longer side of the grid that is laid over the depth", "", 32, 2048)
    island: float = option(0.001, "loose pieces that cover less than this share of the picture are dropped", "", 0, 0.5)


def relief(options: ReliefOptions, runtime: Runtime) -> Callable[[Capture], Mesh]:
    """Reconstructor: Capture whose photo has depth and camera -> Mesh in the view frame, textured by the photo itself.

    It is a sheet and not a solid: open at the picture's borders, at tears and at the sky. ``seen`` is 0 where it was
    filled. metadata: "model", "kind" = "scene", "depth_scale", "middle" (distance to what the picture's centre shows),
    "floor" (its height, where a level surface was found), "missing" (share of the picture without depth),
    "filled_faces".
    Raises UsageError without depth or camera, ReconstructionError when nothing is left to mesh.
    """

    def reconstruct(capture: Capture) -> Mesh:
        photo = capture.photo
        if photo.depth is None or photo.camera is None:
            raise UsageError("a scene is lifted by its depth and camera", "run the depth and camera stages first")
        layers = _layers(photo.depth, photo.camera, options)
        if not len(layers.front):
            raise ReconstructionError(f"{photo.source}: no depth that could be meshed", "use a picture with less sky")
        runtime.progress("relief", 0.7)
        mesh = _assembled(photo, photo.camera, layers)
        return mesh.with_(metadata=_facts(photo.depth, layers, mesh))

    return reconstruct


def points(photo: Photo) -> PointCloud:
    """Every pixel of the photo's depth as a coloured point of the view frame; loners at tears are left out.

    Raises UsageError without depth or camera, ReconstructionError when no pixel has a depth.
    """
    if photo.depth is None or photo.camera is None:
        raise UsageError("points come from a scene's depth", "lift the picture with --as scene")
    z = photo.depth.z
    height, width = z.shape
    w = inverse(z)
    lonely = np.zeros(w.shape, int)
    cell = 1 / photo.camera.resized(width, height).fx
    right, down = tears.torn_edges(w, cell, cell)
    for torn, a, b in ((right, np.s_[:, :-1], np.s_[:, 1:]), (down, np.s_[:-1], np.s_[1:])):
        lonely[a] += torn
        lonely[b] += torn
    rows, columns = np.nonzero(np.isfinite(w) & (lonely < 3))
    if not len(rows):
        raise ReconstructionError(f"{photo.source}: no pixel has a depth", "use a picture with less sky")
    at = np.stack([(columns + 0.5) * photo.size[0] / width, (rows + 0.5) * photo.size[1] / height], -1)
    i, j = np.minimum(at.astype(int), np.array(photo.size) - 1).T
    places = photo.camera.unproject(at, 1 / w[rows, columns]).astype(np.float32)
    return PointCloud(places, np.ascontiguousarray(photo.image[j, i], np.float32)).validate()


@dataclass(frozen=True)
class _Layers:
    """Triangles (T, 3), corners as flat indices of the sheet: front, what is seen; back, on the hidden layer, sewn to
    the visible background."""

    sheet: Sheet
    hidden: behind.Hidden | None
    front: Ints
    back: Ints


def _layers(depth: Depth, camera: Camera, options: ReliefOptions) -> _Layers:
    """The finest layers that together keep within the budget."""
    if not options.fill:
        sheet, front = meshed(depth, camera, options.faces, options.cells, options.island)
        return _Layers(sheet, None, front, np.zeros((0, 3), np.int64))
    cells = options.cells
    while True:
        sheet, front = meshed(depth, camera, int(options.faces * _FRONT_SHARE), cells, options.island)
        edge = np.zeros(sheet.w.shape, bool)
        edge.ravel()[torn_triangles(sheet, depth, camera)] = True
        hidden = behind.hidden_layer(sheet.w, sheet.right, sheet.down, edge)
        back = _back(sheet, hidden, options.faces - len(front))
        if len(front) + len(back) <= options.faces or sheet.cells <= COARSEST:
            return _Layers(sheet, hidden, front, back)
        cells = max(COARSEST, sheet.cells * 2 // 3)


def _back(sheet: Sheet, hidden: behind.Hidden, budget: int) -> Ints:
    """Triangles of the hidden layer, at least one corner of which is invented."""
    finite = np.isfinite(hidden.w)
    edge = tears.ends(finite[:, 1:] != finite[:, :-1], finite[1:] != finite[:-1])
    costs = triangles.split_costs(hidden.w, edge | (finite & ~hidden.invented), sheet.block)
    known, invented = finite.ravel(), hidden.invented.ravel()

    def keep(faces: Ints) -> Ints:
        return faces[known[faces].all(1) & invented[faces].any(1)]

    return triangles.within_budget(costs, sheet.block, keep, max(budget, 0))


def _assembled(photo: Photo, camera: Camera, layers: _Layers) -> Mesh:
    """All layers as one mesh in the view frame."""
    sheet, hidden, count = layers.sheet, layers.hidden, layers.sheet.w.size
    pixels, depth = sheet.pixels.reshape(-1, 2), 1 / sheet.w.ravel()
    seen, uv, faces, texture = np.ones(count), pixels / photo.size, layers.front, to_uint8(photo.image)
    if hidden is not None:
        # Invented vertices are their own; those of the visible background are shared with the front.
        back = np.where(hidden.invented.ravel()[layers.back], layers.back + count, layers.back)
        faces = np.concatenate([faces, back])
        texture, of_front, of_back = _atlas(texture, hidden)
        uv = np.concatenate([of_front(uv), of_back(uv)])
        pixels, depth = np.tile(pixels, (2, 1)), np.concatenate([depth, 1 / hidden.w.ravel()])
        seen = np.concatenate([seen, np.zeros(count)])
    # Counter-clockwise from the camera, whose rows count downwards.
    used, index = np.unique(faces[:, ::-1], return_inverse=True)
    return Mesh(
        vertices=camera.unproject(pixels[used], depth[used]).astype(np.float32),
        faces=index.reshape(-1, 3).astype(np.int32),
        uv=np.clip(uv[used], 0, 1).astype(np.float32),
        seen=seen[used].astype(np.float32),
        material=Material(texture, double_sided=True, roughness=1.0, name="photo"),
        name="scene",
    ).validate()


def _atlas(texture: NDArray[np.uint8], hidden: behind.Hidden) -> tuple[NDArray[np.uint8], _Move, _Move]:
    """The photo with the hidden layer's colours below it, and how the photo's uv (N, 2) move into either part."""
    from PIL import Image

    height, width = texture.shape[:2]
    scale = min(1.0, _PLATE / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = np.asarray(Image.fromarray(texture).resize(size, Image.Resampling.BOX), np.float32) / np.float32(255)
    invented = to_uint8(linear_to_srgb(behind.plate(srgb_to_linear(small), hidden)))
    joined = np.zeros((height + size[1], width, 3), np.uint8)
    joined[:height], joined[height:, : size[0]] = texture, invented
    joined[height:, size[0] :] = invented[:, -1:]
    total = height + size[1]
    half = 0.5 / np.array(size)

    def of_front(uv: Floats) -> Floats:
        return np.asarray(np.minimum(uv, 1 - 0.5 / np.array([width, height])) * [1, height / total])

    def of_back(uv: Floats) -> Floats:
        return np.asarray(np.clip(uv, half, 1 - half) * [size[0] / width, size[1] / total] + [0, height / total])

    return joined, of_front, of_back


def _facts(depth: Depth, layers: _Layers, mesh: Mesh) -> dict[str, Any]:
    """What later stages and the report tell of the scene."""
    sheet, front = layers.sheet, len(layers.front)
    middle = sheet.w[sheet.w.shape[0] * 2 // 5 : sheet.w.shape[0] * 3 // 5 + 1]
    middle = middle[:, sheet.w.shape[1] * 2 // 5 : sheet.w.shape[1] * 3 // 5 + 1]
    nearby = middle if np.isfinite(middle).any() else sheet.w
    facts: dict[str, Any] = {
        "kind": "scene",
        "model": depth.source,
        "depth_scale": depth.scale,
        "middle": float(1 / np.nanmedian(nearby)),
        "missing": round(float(np.isnan(sheet.w).mean()), 4),
        "filled_faces": len(mesh.faces) - front,
    }
    floor = _floor(mesh, front)
    return facts if floor is None else facts | {"floor": floor}


def _floor(mesh: Mesh, front: int) -> float | None:
    """Height of the lowest level surface worth the name among the first ``front`` faces, or None."""
    faces = mesh.faces[:front]
    seen = mesh.with_(faces=faces)
    assert mesh.uv is not None
    corners = mesh.uv[faces].astype(np.float64)
    u, v = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    share = np.abs(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0])
    level = seen.face_normals()[:, 1] > _LEVEL
    if share[level].sum() < _LEAST_FLOOR * share.sum():
        return None
    heights = mesh.vertices[faces[level], 1].mean(1)
    order = np.argsort(heights)
    total = np.cumsum(share[level][order])
    return float(heights[order][np.searchsorted(total, 0.1 * total[-1])])
