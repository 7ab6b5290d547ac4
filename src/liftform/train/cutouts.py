"""Foreground cut-outs for the mask network: objects of the corpus rendered with alpha and ground shadow, and blobs.

A cut-out is (H, W, 6) uint8: straight sRGB colour (spread beyond the edge, so that it can be resampled without
fringes), alpha, the sun's shadow on the ground, and the soft contact shadow. They are packed into shards.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from ..camera import Camera
from ..conventions import to_uint8
from ..errors import LiftformError
from . import meshes, procedural, render, textures
from .corpus import KITS, read_manifest

ByteImage = NDArray[np.uint8]
Rng = np.random.Generator


class Shards:
    """Packed images of many sizes: <name>.bin holds the bytes, <name>.json one row each (offset, shape, and more).

    ``shards[i]`` is image i, read through the operating system's cache; ``rows`` are the descriptions.
    """

    def __init__(self, folder: Path, *patterns: str) -> None:
        self.rows: list[dict[str, Any]] = []
        self._maps: list[NDArray[np.uint8]] = []
        for index in [path for pattern in patterns for path in sorted(folder.glob(f"{pattern}.json"))]:
            rows = json.loads(index.read_text(encoding="utf-8"))
            self.rows += [{**row, "map": len(self._maps)} for row in rows]
            self._maps.append(np.memmap(index.with_suffix(".bin"), np.uint8, "r"))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> ByteImage:
        row = self.rows[i]
        count = int(np.prod(row["shape"]))
        flat = self._maps[row["map"]][row["offset"] : row["offset"] + count]
        return np.asarray(flat).reshape(row["shape"])


def write_shard(path: Path, images: Iterator[tuple[ByteImage, dict[str, Any]]]) -> int:
    """Pack images into ``path``.bin and ``path``.json (the second is written last, so half a shard is never read)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows, offset = [], 0
    with path.with_suffix(".bin").open("wb") as file:
        for image, row in images:
            file.write(np.ascontiguousarray(image).tobytes())
            rows.append({"offset": offset, "shape": list(image.shape), **row})
            offset += image.size
    part = path.with_suffix(".part")
    part.write_text(json.dumps(rows), encoding="utf-8")
    os.replace(part, path.with_suffix(".json"))
    return len(rows)


def corpus(manifest: Path, invented: int = 0) -> list[dict[str, Any]]:
    """Rows of the train split, each with the glb's full path and ``held``: a fixed 6 % of families for validation.

    invented: how many procedural objects come with them.
    """
    import zlib

    rows = read_manifest(manifest) + procedural.rows(invented)
    for row in rows:
        row["held"] = zlib.crc32(row["family"].encode()) % 100 < 6
    return rows


def render_objects(rows: Sequence[dict[str, Any]], size: int, seed: int) -> Iterator[tuple[ByteImage, dict[str, Any]]]:
    """Cut-outs of each row's object from ``row["views"]`` random cameras; objects that cannot be read are left out."""
    machine = render.rasteriser()
    for row in rows:
        try:
            surface, mesh = meshes.surface_of(row)
        except (LiftformError, ValueError, OSError, KeyError, IndexError, AttributeError):
            continue
        for view in range(row["views"]):
            rng = np.random.default_rng([seed, view, *row["id"].encode()])
            cut = _rendered(machine, surface, mesh, size, rng)
            if cut is not None:
                yield cut, {"id": row["id"], "held": row["held"], "kind": "object"}


def _rendered(machine: render.Rasteriser, surface: render.Surface, mesh: Any, size: int, rng: Rng) -> ByteImage | None:
    camera, light = _camera(surface, size, rng), render.random_light(rng)
    machine.load(surface)
    buffer = machine.draw(camera)
    if not 0.01 < float(buffer.alpha.mean()) < 0.9:
        return None
    colour = render.relight(buffer, camera, light, mesh, rng, rays=5)
    sun = light.sun if light.sun[1] > 0.3 else np.array([0.6, 0.6, 0.5], np.float32)
    cast = _shadow(machine, surface, camera, sun)
    contact = _shadow(machine, surface, camera, np.array([0.0, 1.0, 0.0], np.float32))
    contact = np.asarray(Image.fromarray(contact).filter(ImageFilter.GaussianBlur(size * rng.uniform(0.01, 0.03))))
    cast = np.asarray(Image.fromarray(cast).filter(ImageFilter.GaussianBlur(size * rng.uniform(0.002, 0.02))))
    return trimmed(np.dstack([to_uint8(colour), to_uint8(buffer.alpha), cast, contact]))


def _camera(surface: render.Surface, size: int, rng: Rng) -> Camera:
    """Any azimuth, mostly from slightly above, field of view 15 to 65 degrees, the object in about 3/4 of the frame."""
    low, high = [(-12, 15), (5, 35), (30, 75)][rng.choice(3, p=[0.3, 0.5, 0.2])]
    elevation, fov = np.radians(rng.uniform(low, high)), np.radians(rng.uniform(15, 65))
    radius = float(np.linalg.norm(surface.corners.reshape(-1, 3), axis=1).max())
    distance = max(radius / np.sin(fov / 2) * 0.98, radius + 0.05)
    return Camera.orbit(size, fov, rng.uniform(-np.pi, np.pi), elevation, distance)


def _shadow(machine: render.Rasteriser, surface: render.Surface, camera: Camera, sun: NDArray[np.float32]) -> ByteImage:
    """Where the object, pressed along the sun's direction onto the ground under it, covers the picture (Blinn 1988)."""
    corners = surface.corners.copy()
    floor = corners[..., 1].min()
    corners -= sun * ((corners[..., 1:2] - floor) / sun[1])
    if camera.world_from_camera[1, 3] <= floor + 0.02:
        return np.zeros((camera.height, camera.width), np.uint8)
    machine.load(dataclasses.replace(surface, corners=corners, texture=np.full((1, 1, 3), 255, np.uint8)))
    return to_uint8(machine.draw(camera, supersample=1).alpha)


def trimmed(cut: ByteImage) -> ByteImage:
    """The cut-out cropped to what is not empty, its colour spread over the pixels outside the object."""
    from scipy.ndimage import distance_transform_edt

    used = cut[..., 3:].max(-1) > 3
    rows, columns = np.nonzero(used.any(1))[0], np.nonzero(used.any(0))[0]
    cut = cut[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].copy()
    nearest = distance_transform_edt(cut[..., 3] < 128, return_distances=False, return_indices=True)
    cut[..., :3] = cut[..., :3][tuple(nearest)]
    return cut


def blobs(count: int, size: int, seed: int) -> Iterator[tuple[ByteImage, dict[str, Any]]]:
    """Procedural foregrounds of the kind that kits lack: soft limbs and bodies with fur, spots and stripes."""
    for i in range(count):
        rng = np.random.default_rng([seed, 77, i])
        cut = _blob(size, rng)
        if cut is not None:
            yield cut, {"id": f"blob_{i}", "held": i % 16 == 0, "kind": "blob"}


def _blob(size: int, rng: Rng) -> ByteImage | None:
    from scipy.ndimage import label, uniform_filter

    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    height = np.zeros((size, size), np.float32)
    at = np.array([0.5, 0.47]) + rng.normal(0, 0.03, 2)
    body = rng.uniform(0.18, 0.34)
    for part in range(int(rng.integers(2, 12))):
        long = body if part == 0 else body * rng.uniform(0.25, 1.1)
        wide = long * (rng.uniform(0.4, 0.95) if part == 0 else rng.uniform(0.15, 0.9))
        heading = rng.uniform(0, 2 * np.pi)
        centre = at + np.array([np.cos(heading), np.sin(heading)]) * (rng.uniform(0.3, 1.15) * body if part else 0.0)
        turn = heading + rng.normal(0, 0.3)
        u = (x - centre[0]) * np.cos(turn) + (y - centre[1]) * np.sin(turn)
        v = -(x - centre[0]) * np.sin(turn) + (y - centre[1]) * np.cos(turn)
        bump = 1 - (u / long) ** 2 - (v / wide) ** 2
        height = np.maximum(height, np.sqrt(np.maximum(bump, 0)) * wide)
    ragged = textures.noise(rng, size, rng.uniform(0.5, 1.6)) * rng.choice([0.0, rng.uniform(0.001, 0.012)])
    regions, _ = label(height > 0)
    height *= regions == regions[int(at[1] * size), int(at[0] * size)]
    alpha = np.clip((height - 0.008 + ragged * (height > 0)) * rng.uniform(60, 250), 0, 1)
    if not 0.02 < float(alpha.mean()) < 0.8:
        return None
    skin = textures.texture(rng, size).astype(np.float32) / 255
    gy, gx = np.gradient(uniform_filter(height, 5) * size)
    normal = np.dstack([-gx, -gy, np.full_like(gx, rng.uniform(0.5, 1.5))])
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    sun = rng.normal(size=3) + np.array([0, -0.8, 0.8])
    shade = np.maximum(normal @ (sun / np.linalg.norm(sun)), 0) * rng.uniform(0.3, 1.0) + rng.uniform(0.15, 0.7)
    ground = np.asarray(Image.fromarray(to_uint8(np.roll(alpha, size // 30, 0))).filter(ImageFilter.GaussianBlur(6)))
    ground = (ground * np.clip((y - 0.5) * 3, 0, 1)).astype(np.uint8)
    return trimmed(np.dstack([to_uint8(skin * shade[..., None]), to_uint8(alpha), ground, ground]))


def plan(rows: Sequence[dict[str, Any]], views: int, kit_views: int, family_cap: int) -> list[dict[str, Any]]:
    """Rows with ``views`` set: ``kit_views`` for flat-coloured kits and procedural objects, else ``views``.

    At most ``family_cap`` objects of a family are kept.
    """
    seen: dict[str, int] = {}
    out = []
    for row in rows:
        seen[row["family"]] = seen.get(row["family"], 0) + 1
        if seen[row["family"]] <= family_cap:
            out.append({**row, "views": kit_views if row["source"] in KITS | {procedural.SOURCE} else views})
    return out


def prepare(rows: Sequence[dict[str, Any]], folder: Path, size: int, seed: int, shards: int, workers: int) -> None:
    """Render ``rows`` into ``shards`` object shards and one of blobs; shards that are there already are kept."""
    import multiprocessing

    jobs = [(list(rows[i::shards]), folder / f"objects_{i:03d}", size, seed) for i in range(shards)]
    jobs = [job for job in jobs if not job[1].with_suffix(".json").exists()]
    if not (folder / "blobs_000.json").exists():
        write_shard(folder / "blobs_000", blobs(max(16, len(rows) // 4), size, seed))
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for _ in pool.imap_unordered(_prepare_one, jobs):
            pass


def _prepare_one(job: tuple[list[dict[str, Any]], Path, int, int]) -> int:
    rows, path, size, seed = job
    return write_shard(path, render_objects(rows, size, seed))
