"""Scenes for measuring fusion and painting: things of known shape and colour, photographed all around, depth spoilt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..assets import FloatArray, Mesh
from ..camera import Camera
from ..capture import Capture, Depth, Mask, Photo
from ..conventions import linear_to_srgb, srgb_to_linear
from ..render import Scene, orbit_cameras
from .damage_cases import sound_objects

Floats = NDArray[np.floating[Any]]
Rng = np.random.Generator

#: Pictures around a thing: rings at these elevations (radians), and so many on each.
_RINGS, _ON_RING = (0.15, 0.75), 9
#: Views that nothing is made from: between the others.
_KEPT_BACK = [(0.17, 0.45), (1.9, 0.3), (3.3, 0.6), (5.0, 0.2)]
_YFOV = float(np.radians(35.0))
GROUND = 0.55


@dataclass(frozen=True)
class Spoil:
    """What is done to exact depth. noise: standard deviation as a share of the depth, alike over about three pixels;
    wrong: share of pixels, in patches, that are off by up to a tenth; missing: share without depth, in patches."""

    name: str
    noise: float = 0.0
    wrong: float = 0.0
    missing: float = 0.0


SPOILS = (Spoil("exact"), Spoil("light", 0.001, 0.02, 0.05), Spoil("heavy", 0.004, 0.08, 0.25))


def things(objects: Path | None, count: int, seed: int = 0) -> Iterator[tuple[str, Mesh]]:
    """A ball, a box and a ring with painted waves and bands, then ``count`` sound objects of a folder."""
    yield "ball", _waved(_ball(0.5))
    yield "box", _waved(_box((1.0, 0.7, 0.5)))
    yield "ring", _waved(_ring(0.5, 0.18))
    if objects is not None:
        for (name, mesh), _ in zip(sound_objects(objects, seed), range(count), strict=False):
            yield name, mesh


def photographed(mesh: Mesh, size: int, seed: int = 0, kept_back: bool = False) -> Capture:
    """18 unlit photos all around with exact depth, masks and cameras (four others when ``kept_back``), on grey."""
    rings = [(2 * np.pi * (i + 0.5 * k) / _ON_RING, e) for k, e in enumerate(_RINGS) for i in range(_ON_RING)]
    cameras = orbit_cameras(mesh, _KEPT_BACK if kept_back else rings, size, _YFOV)
    scene = Scene(mesh)
    return Capture(tuple(_photo(scene, camera) for camera in cameras))


def _photo(scene: Scene, camera: Camera) -> Photo:
    shown = scene.render(camera, "unlit", (GROUND,) * 3, 2)
    image = np.ascontiguousarray(shown.image[..., :3])
    alpha = shown.mask.astype(np.float32)
    depth = Depth(shown.depth, "relative", source="rendered")
    return Photo(image, alpha=alpha, mask=Mask(alpha, image, 1.0), depth=depth, camera=camera)


def spoilt(capture: Capture, how: Spoil, rng: Rng) -> Capture:
    """The capture with depth as stereo might give it."""
    return replace(capture, photos=tuple(_spoilt(photo, how, rng) for photo in capture.photos))


def _spoilt(photo: Photo, how: Spoil, rng: Rng) -> Photo:
    from scipy.ndimage import gaussian_filter

    assert photo.depth is not None
    z = photo.depth.z.copy()

    def field(width: float) -> Floats:
        noise = gaussian_filter(rng.normal(size=z.shape), width, mode="wrap")
        return np.asarray(noise / max(float(noise.std()), 1e-12))

    z *= (1 + how.noise * field(1.2)).astype(np.float32)
    wrong, missing = field(2.0), field(5.0)
    bad = wrong > np.quantile(wrong, 1 - how.wrong)
    z[bad] *= (1 + 0.1 * np.clip(field(3.0), -1, 1))[bad].astype(np.float32)
    z[missing > np.quantile(missing, 1 - how.missing)] = np.nan
    return replace(photo, depth=replace(photo.depth, z=z))


def unevenly_lit(capture: Capture, rng: Rng, stops: float = 0.3) -> Capture:
    """The capture with each photo brighter or darker, and a flat thing before the object in every sixth."""
    photos = []
    for i, photo in enumerate(capture.photos):
        image = linear_to_srgb(srgb_to_linear(photo.image) * np.float32(2 ** rng.normal(0, stops)))
        if i % 6 == 1:
            image = _passed_by(image, rng)
        photos.append(replace(photo, image=image))
    return replace(capture, photos=tuple(photos))


def _passed_by(image: FloatArray, rng: Rng) -> FloatArray:
    height, width = image.shape[:2]
    x, y = np.meshgrid(np.arange(width) / width, np.arange(height) / height)
    cx, cy = rng.uniform(0.4, 0.6, 2)
    out = image.copy()
    out[(x - cx) ** 2 + (y - cy) ** 2 < 0.09**2] = rng.uniform(0.0, 1.0, 3)
    return out


def seen_points(captures: Sequence[Capture] | Capture, count: int, seed: int = 0) -> FloatArray:
    """Points (count, 3) of the surface that the photos of exact captures show."""
    given = [captures] if isinstance(captures, Capture) else captures
    places = []
    for photo in (photo for capture in given for photo in capture.photos):
        assert photo.depth is not None
        assert photo.camera is not None
        rows, columns = np.nonzero(np.isfinite(photo.depth.z))
        pixels = np.stack([columns + 0.5, rows + 0.5], -1)
        places.append(photo.camera.unproject(pixels, photo.depth.z[rows, columns]))
    every = np.concatenate(places)
    return every[np.random.default_rng(seed).permutation(len(every))[:count]].astype(np.float32)


def _waved(mesh: Mesh) -> Mesh:
    """Vertex colours: waves of all colours with sharp dark bands over them."""
    p = mesh.vertices.astype(np.float64)
    waves = 0.55 + 0.3 * np.sin(np.stack([9 * p[:, 0] + 1, 8 * p[:, 1] + 2, 7 * p[:, 2] + 4 * p[:, 0]], -1))
    bands = np.sin(31 * p[:, 1] + 6 * np.sin(5 * p[:, 0] + 3 * p[:, 2])) > 0.6
    return mesh.with_(colors=np.where(bands[:, None], 0.25 * waves, waves).astype(np.float32))


def _grid(rows: int, columns: int) -> NDArray[np.int32]:
    """Faces of a grid whose rows and columns are joined end to start."""
    at = np.arange(rows * columns).reshape(rows, columns)
    right, down = np.roll(at, -1, 1), np.roll(at, -1, 0)
    both = np.roll(right, -1, 0)
    halves = [np.stack([at, down, both], -1).reshape(-1, 3), np.stack([at, both, right], -1).reshape(-1, 3)]
    return np.concatenate(halves).astype(np.int32)


def _ring(radius: float, tube: float, rows: int = 240, columns: int = 120) -> Mesh:
    """A torus about the y axis."""
    a, b = np.meshgrid(2 * np.pi * np.arange(rows) / rows, 2 * np.pi * np.arange(columns) / columns, indexing="ij")
    away = radius + tube * np.cos(b)
    vertices = np.stack([away * np.sin(a), tube * np.sin(b), away * np.cos(a)], -1).reshape(-1, 3)
    return Mesh(vertices.astype(np.float32), _grid(rows, columns))


def _box(size: tuple[float, float, float], cells: int = 64) -> Mesh:
    """A box of fine triangles."""
    vertices, faces = _cube(cells)
    return Mesh((vertices * np.array(size)).astype(np.float32), faces)


def _ball(radius: float, cells: int = 64) -> Mesh:
    """A ball: a cube of fine triangles blown up."""
    vertices, faces = _cube(cells)
    p = np.tan(vertices * (np.pi / 2)) / 2
    p /= np.linalg.norm(p, axis=1, keepdims=True)
    return Mesh((radius * p).astype(np.float32), faces)


def _cube(cells: int) -> tuple[Floats, NDArray[np.int32]]:
    """A unit cube about the origin, each side a grid; vertices of edges are shared."""
    u, v = np.meshgrid(*[np.linspace(-0.5, 0.5, cells + 1)] * 2, indexing="ij")
    at = np.arange((cells + 1) ** 2).reshape(cells + 1, cells + 1)
    a, b, c, d = at[:-1, :-1].ravel(), at[1:, :-1].ravel(), at[1:, 1:].ravel(), at[:-1, 1:].ravel()
    quads = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    points: list[Floats] = []
    faces: list[NDArray[np.int64]] = []
    for axis in range(3):
        for sign in (1, -1):
            side = np.empty((at.size, 3))
            side[:, axis], side[:, (axis + 1) % 3], side[:, (axis + 2) % 3] = 0.5 * sign, u.ravel(), v.ravel()
            faces.append((quads if sign > 0 else quads[:, ::-1]) + len(points) * at.size)
            points.append(side)
    every = np.round(np.concatenate(points), 9)
    unique, index = np.unique(every, axis=0, return_inverse=True)
    return unique, index.reshape(-1)[np.concatenate(faces)].astype(np.int32)
