"""Posed photographs and photogrammetry scans to shards of views: real pictures, and the depth and normals behind them.

A sample has rgb (H, W, 3) uint8 sRGB, undistorted; depth (H, W) float16, z-distance, NaN where nothing is known;
normals (H, W, 3) int8 in the camera frame times 127, zero where unknown; alpha (H, W) uint8 where the set has masks;
meta. Depth and normals are those of the scan's mesh; a set without mesh gives the depth of its sparse points alone.
Where the unit is not the metre (``metric`` false) the median depth of each view becomes 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..camera import Camera
from ..conventions import linear_to_srgb, srgb_to_linear, to_uint8
from ..errors import UnreadableError
from ..lens import bent
from ..photoset.posed import PhotoSet, PosedPhoto, read_photo_set
from . import engines, meshes, render, shards
from .corpus import PHOTO_KINDS, Row, read_manifest

#: Sizes (H, W) of a view; the one nearest the photograph's shape is taken, the middle cut out.
SIZES = ((144, 192), (192, 144), (160, 160))
_ASPECT_SLACK = 0.02


@dataclass(frozen=True)
class _Job:
    path: Path
    row: Row


def build_views(manifest: Path, out: Path, workers: int = 2, engine: str = "pool") -> Iterator[str]:
    """One shard ``views-<id>.tar`` for each photo set of split "train"; yields the ids, or ``id: reason``; resumes."""
    out.mkdir(parents=True, exist_ok=True)
    faults: list[str] = []
    rows = read_manifest(manifest, kinds=PHOTO_KINDS, report=faults.append)
    yield from faults
    jobs = [_Job(out / f"views-{row['id']}.tar", row) for row in rows]
    for job, answer in engines.each(_build_one, [j for j in jobs if not j.path.exists()], workers, engine):
        if isinstance(answer, engines.WorkerDied):
            yield f"{job.row['id']}: {answer.reason}"
        else:
            yield from answer


def _build_one(job: _Job) -> list[str]:
    lines: list[str] = []
    if not shards.write(job.path, _views(job.row, lines)):
        job.path.unlink()
    return [*lines, job.row["id"]] if job.path.exists() else lines


def _views(row: Row, lines: list[str]) -> Iterator[shards.Sample]:
    """Every sound photograph of one set; what is wrong is added to ``lines``."""
    try:
        photos = read_photo_set(Path(row.get("photos") or row["file"]))
        scene = _Scene(Path(row["file"])) if row["kind"] == "scan-photos" else None
    except Exception as error:  # one broken set of a large corpus is left out aloud
        lines.append(f"{row['id']}: {error}")
        return
    for number, photo in enumerate(photos.photos):
        try:
            sample = view(photo, photos, scene)
        except Exception as error:
            lines.append(f"{row['id']} {photo.path.name}: {error}")
            continue
        if not row.get("metric"):
            known = sample["depth"][np.isfinite(sample["depth"])]
            scale = 2.0 / float(np.median(known)) if len(known) else 1.0
            sample["depth"] = sample["depth"] * scale
        sample["depth"] = sample["depth"].astype(np.float16)
        facts = {k: row[k] for k in ("family", "source", "category", "licence", "credit") if k in row}
        sample["meta"] = {**sample["meta"], **facts, "set": row["id"], "metric": bool(row.get("metric"))}
        yield {"key": f"{row['id']}-{number:04d}", **sample}


class _Scene:
    """A scan's mesh in the photographs' world, ready to be drawn."""

    def __init__(self, path: Path) -> None:
        meshes.check_textures(path)
        mesh = meshes.open_mesh(path)
        low, high = mesh.vertices.min(0).astype(np.float64), mesh.vertices.max(0).astype(np.float64)
        self.middle, self.extent = (low + high) / 2, float((high - low).max())
        self.rasteriser = render.rasteriser()
        self.rasteriser.load(meshes.surface_from_mesh(mesh)[0])

    def draw(self, camera: Camera) -> render.GBuffer:
        """Depth in the world's unit and normals from ``camera``."""
        pose = camera.world_from_camera.copy()
        pose[:3, 3] = (pose[:3, 3] - self.middle) / self.extent
        buffer = self.rasteriser.draw(replace(camera, world_from_camera=pose), supersample=1)
        return replace(buffer, depth=buffer.depth * np.float32(self.extent))


def view(photo: PosedPhoto, photos: PhotoSet, scene: _Scene | None) -> shards.Sample:
    """One sample but for its key; depth in the set's unit, float32. Raises UnreadableError for a bad picture."""
    pixels, camera = _opened(photo)
    target = _framed(camera)
    linear = _sampled(srgb_to_linear(np.divide(pixels, 255, dtype=np.float32)), camera, target, photo.distortion)
    out: shards.Sample = {"rgb": to_uint8(linear_to_srgb(linear))}
    if photo.mask is not None:
        out["alpha"] = to_uint8(_sampled(_mask(photo.mask, camera), camera, target, photo.distortion)[..., 0])
    if scene is not None:
        buffer = scene.draw(target)
        normals = buffer.normals @ target.world_from_camera[:3, :3]
        out["depth"], out["normals"] = buffer.depth, np.round(normals * 127).astype(np.int8)
    else:
        out["depth"] = sparse_depth(target, photos.points)
        out["normals"] = np.zeros((target.height, target.width, 3), np.int8)
    centre = [target.cx / target.width, target.cy / target.height]
    out["meta"] = {"yfov": target.yfov, "centre": centre, "truth": "mesh" if scene else "points"}
    return out


def _opened(photo: PosedPhoto) -> tuple[NDArray[np.uint8], Camera]:
    """The picture as stored (no turning: poses refer to the file's pixels) and the camera at its size."""
    try:
        with Image.open(photo.path) as picture:
            whole = picture.convert("RGBA")  # what is cut out on nothing gets grey behind it
            whole = Image.alpha_composite(Image.new("RGBA", whole.size, (128, 128, 128, 255)), whole)
            pixels = np.asarray(whole.convert("RGB"))
    except Exception as error:  # Pillow raises many kinds for damaged files
        reason = " ".join(str(error).split())[:100]
        raise UnreadableError(f"{photo.path}: missing or damaged ({reason})", "leave it out") from error
    height, width = pixels.shape[:2]
    if abs(width / height * photo.camera.height / photo.camera.width - 1) > _ASPECT_SLACK:
        raise UnreadableError(f"{photo.path}: its shape is not that of its camera", "was it turned or cropped?")
    return pixels, photo.camera.resized(width, height)


def _mask(path: Path, camera: Camera) -> NDArray[np.float32]:
    with Image.open(path) as picture:
        grey = picture.convert("L").resize((camera.width, camera.height))
    return np.divide(np.asarray(grey), 255, dtype=np.float32)[..., None]


def _framed(camera: Camera) -> Camera:
    """The camera of the view: the middle of the photograph, in the size whose shape is nearest."""
    aspect = camera.width / camera.height
    height, width = min(SIZES, key=lambda s: abs(np.log(s[1] / s[0] / aspect)))
    scale = max(width / camera.width, height / camera.height)
    left, top = (camera.width * scale - width) / 2, (camera.height * scale - height) / 2
    fx, fy, cx, cy = camera.fx * scale, camera.fy * scale, camera.cx * scale - left, camera.cy * scale - top
    return Camera(width, height, fx, fy, cx, cy, camera.world_from_camera)


def _sampled(
    picture: NDArray[np.float32], camera: Camera, target: Camera, distortion: tuple[float, float, float, float]
) -> NDArray[np.float32]:
    """``picture`` (H, W, C) as ``target`` sees it without lens distortion; whole pixels are averaged, then bilinear."""
    from scipy.ndimage import map_coordinates

    block = max(1, int(camera.fx / target.fx))
    height, width = picture.shape[0] // block, picture.shape[1] // block
    cut = picture[: height * block, : width * block]
    small = cut.reshape(height, block, width, block, -1).mean((1, 3)) if block > 1 else cut
    x = (np.arange(target.width) + 0.5 - target.cx) / target.fx
    y = (np.arange(target.height) + 0.5 - target.cy) / target.fy
    grid_x, grid_y = np.meshgrid(x, y)
    u, v = bent(grid_x, grid_y, distortion)
    at = [(v * camera.fy + camera.cy) / block - 0.5, (u * camera.fx + camera.cx) / block - 0.5]
    planes = [map_coordinates(small[..., c], at, order=1, mode="nearest") for c in range(small.shape[-1])]
    return np.stack(planes, -1).astype(np.float32)


def sparse_depth(camera: Camera, points: NDArray[np.float64]) -> NDArray[np.float32]:
    """z-depth (H, W) at the pixels that ``points`` (N, 3) fall on, NaN elsewhere.

    Points far behind what their neighbours show are hidden from this camera, and left out.
    """
    from scipy.ndimage import minimum_filter

    depth = np.full((camera.height, camera.width), np.inf, np.float32)
    if len(points):
        pixels, z = camera.project(points)
        at = np.floor(pixels).astype(np.int64)
        ok = (z > 0) & (at >= 0).all(1) & (at < [camera.width, camera.height]).all(1)
        np.minimum.at(depth, (at[ok, 1], at[ok, 0]), z[ok].astype(np.float32))
    front = minimum_filter(depth, 7)
    return np.where(np.isfinite(depth) & (depth < 1.08 * front), depth, np.nan).astype(np.float32)
