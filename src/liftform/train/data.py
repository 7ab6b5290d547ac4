"""The corpus to shards: every training object as lit views, signed points and coloured surface points.

Shards are written whole or not at all, 64 objects each, by a pool of processes or by Ray; what is there is never made
again, so an interrupted run goes on. An object's sample depends on its id and the options alone: two workers and one
give the same. Splits of the manifest are respected: nothing of split "bench" is ever read.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..camera import Camera
from ..conventions import linear_to_srgb, rotation_y, to_uint8, view_from_camera
from ..errors import UnreadableError, UsageError
from ..files import write_whole
from ..recipe import option
from ..zoo.object_frame import CROP_PADDING, distance_of
from . import engines, meshes, procedural, render, shards
from .corpus import KITS, Row, read_manifest

#: Objects in one shard: some 45 MB, half a minute of one process.
OBJECTS_A_SHARD = 64


@dataclass(frozen=True)
class DataOptions:
    """What a shard holds."""

    size_px: int = option(128, "side of the rendered views", low=32, high=512)
    target_px: int = option(64, "side of the depth and normal targets", low=16, high=512)
    views: int = option(12, "views of an object that is not from a kit", low=1)
    kit_views: int = option(5, "views of an object from a kit, or of a procedural one", low=1)
    points: int = option(16384, "signed points an object", low=256)
    surface_points: int = option(2048, "coloured surface points an object", low=64)
    shell: float = option(0.006, "half thickness given to open sheets, in units of the longest side", low=0.0)


@dataclass(frozen=True)
class _Job:
    """One shard to write."""

    path: Path
    rows: tuple[Row, ...]
    options: DataOptions


def build_shards(
    manifest: Path, out: Path, options: DataOptions, workers: int = 2, engine: str = "pool", invented: int = 0
) -> Iterator[str]:
    """Write what is missing of split "train" under ``out``; yields each id done, or ``id: reason`` when left out.

    invented: how many procedural objects are made beside those of the manifest.

    Raises UsageError when ``out`` holds shards of other options, OutputError when the disk refuses.
    """
    out.mkdir(parents=True, exist_ok=True)
    _check_options(out, options)
    faults: list[str] = []
    rows = read_manifest(manifest, report=faults.append) + procedural.rows(invented)
    done, number = yield from _done(out)
    yield from faults
    rows = [r for r in rows if r["id"] not in done]
    rows = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]  # any prefix is a fair sample
    jobs: list[_Job] = []
    for i in range(0, len(rows), OBJECTS_A_SHARD):
        jobs.append(_Job(out / f"objects-{number + len(jobs):05d}.tar", tuple(rows[i : i + OBJECTS_A_SHARD]), options))
    while jobs:
        broken: list[_Job] = []
        for job, answer in engines.each(_build_one, jobs, workers, engine):
            if not isinstance(answer, engines.WorkerDied):
                yield from answer
            elif len(job.rows) == 1:
                yield f"{job.rows[0]['id']}: {answer.reason}"
            else:
                broken.append(job)
        jobs = [half for job in broken for half in _halves(job)]


def _done(out: Path) -> Generator[str, None, tuple[set[str], int]]:
    """Returns the ids in the shards of ``out`` and the first free number; yields a line for each damaged shard."""
    for left in out.glob(".liftform-*.tar"):  # what killed workers were writing; a living one is never silent so long
        if time.time() - left.stat().st_mtime > 1800:
            left.unlink(missing_ok=True)
    ids, number = set[str](), 0
    for path in sorted(out.glob("objects-*.tar")):
        number = max(number, int(path.stem.split("-")[1]) + 1)
        try:
            ids.update(shards.Shard(path).keys)
        except UnreadableError:
            path.rename(path.with_suffix(".damaged"))
            yield f"{path.name}: damaged, its objects are made again"
    return ids, number


def _halves(job: _Job) -> list[_Job]:
    """A job that kills its worker in two smaller ones, until the guilty object is alone."""
    middle = len(job.rows) // 2
    second = job.path.with_stem(f"{job.path.stem}-{job.rows[middle]['id'][:60]}")
    return [
        dataclasses.replace(job, rows=job.rows[:middle]),
        dataclasses.replace(job, path=second, rows=job.rows[middle:]),
    ]


def _check_options(out: Path, options: DataOptions) -> None:
    """One folder, one set of options: pictures of two sizes cannot share a batch."""
    path, now = out / "options.json", dataclasses.asdict(options)
    if not path.exists():
        write_whole({path: json.dumps(now, indent=1).encode()})
    elif json.loads(path.read_bytes()) != now:
        raise UsageError(f"{out}: holds shards of other [data] options", "choose another folder, or delete this one")


def _build_one(job: _Job) -> list[str]:
    lines: list[str] = []

    def samples() -> Iterator[shards.Sample]:
        for row in job.rows:
            try:
                sample = shard(row, job.options)
            except Exception as error:  # a broken mesh of a large corpus is left out aloud, not fatal
                lines.append(f"{row['id']}: {type(error).__name__}: {' '.join(str(error).split())[:200]}")
            else:
                yield sample
                lines.append(row["id"])

    if not shards.write(job.path, samples()):
        job.path.unlink()  # nothing of it was sound
    return lines


def import_arrays(folder: Path, out: Path) -> Iterator[str]:
    """Pack a folder of one ``.npz`` an object (what earlier versions wrote) into shards; yields each id; resumes.

    An unreadable file is left out: its line is ``name: reason``.
    """
    out.mkdir(parents=True, exist_ok=True)
    done, number = yield from _done(out)
    files = [path for path in sorted(folder.glob("[!.]*.npz")) if path.stem not in done]
    for i in range(0, len(files), OBJECTS_A_SHARD):
        lines: list[str] = []
        path = out / f"objects-{number + i // OBJECTS_A_SHARD:05d}.tar"
        shards.write(path, _imported(files[i : i + OBJECTS_A_SHARD], lines))
        yield from lines


def _imported(files: Sequence[Path], lines: list[str]) -> Iterator[shards.Sample]:
    for path in files:
        try:
            with np.load(path) as file:
                arrays = {k: file[k] for k in file.files}
            meta = {k: str(arrays.pop(k)) for k in ("family", "source")}
            sample = {"key": path.stem, **arrays, "planes": symmetry_planes(arrays["surface"]), "meta": meta}
        except Exception as error:  # zipfile, numpy and pickle each have their own words for a damaged file
            lines.append(f"{path.name}: {type(error).__name__}: {error}")
        else:
            yield sample
            lines.append(path.stem)


_RASTERISER: render.Rasteriser | None = None


def shard(row: dict[str, Any], options: DataOptions) -> dict[str, Any]:
    """The sample of one object; see ``view``, ``signed_points`` and ``symmetry_planes`` for the arrays' shapes."""
    global _RASTERISER
    _RASTERISER = _RASTERISER or render.rasteriser()
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(row["id"].encode()).digest()[:8], "little"))
    surface, mesh = meshes.surface_of(row)
    _RASTERISER.load(surface)
    count = options.kit_views if row["source"] in KITS | {procedural.SOURCE} else options.views
    views = [view(_RASTERISER, surface, mesh, rng, options) for _ in range(count)]
    arrays = {key: np.stack([v[key] for v in views]) for key in views[0]}
    arrays["points"], arrays["distance"] = signed_points(mesh, rng, options)
    arrays["surface"], arrays["surface_rgb"] = coloured_points(surface, mesh, rng, options.surface_points)
    arrays["planes"] = symmetry_planes(arrays["surface"])
    facts = {k: row[k] for k in ("family", "source", "category", "licence", "credit") if k in row}
    return {"key": row["id"], **arrays, "meta": facts}


def view(
    rasteriser: render.Rasteriser, surface: render.Surface, mesh: Any, rng: np.random.Generator, options: DataOptions
) -> dict[str, Any]:
    """One random picture and its truth.

    rgb (S, S, 3) uint8, alpha (S, S) uint8; depth (T, T) float16, z-distance minus the origin's, in view units;
    normals (T, T, 3) int8 in the camera frame; view_from_object (4, 4) float32 similarity; elevation, yfov radians.
    """
    azimuth = rng.uniform(-1.3, 1.3) if rng.random() < 0.65 else rng.uniform(-np.pi, np.pi)
    elevation = rng.uniform(-0.14, 0.66) if rng.random() < 0.85 else rng.uniform(-0.3, 1.1)
    fov = np.exp(rng.uniform(np.log(0.17), np.log(0.85)))
    padding = CROP_PADDING * np.exp(rng.normal(0, 0.04))
    camera, view_from_object = frame(np.asarray(mesh.vertices), azimuth, elevation, fov, padding, options.size_px)
    buffer = rasteriser.draw(camera)
    rgb = render.relight(buffer, camera, render.random_light(rng), mesh, rng)
    target = rasteriser.draw(camera.resized(options.target_px, options.target_px), supersample=1)
    depth = _relative_depth(target.depth, camera, view_from_object)
    rotation = camera.camera_from_world[:3, :3]
    return {
        "rgb": to_uint8(rgb),
        "alpha": to_uint8(buffer.alpha),
        "depth": depth.astype(np.float16),
        "normals": np.round(target.normals @ rotation.T * 127).astype(np.int8),
        "view_from_object": view_from_object.astype(np.float32),
        "elevation": np.float32(_elevation_of(camera)),
        "yfov": np.float32(camera.yfov),
    }


def _elevation_of(camera: Camera) -> float:
    return float(np.arcsin(-camera.world_from_camera[1, 2]))


def _relative_depth(depth: NDArray[np.float32], camera: Camera, view_from_object: NDArray[np.float64]) -> Any:
    scale = np.cbrt(np.linalg.det(view_from_object[:3, :3]))
    return depth * scale - distance_of(camera.yfov)


def frame(
    vertices: NDArray[np.floating], azimuth: float, elevation: float, fov: float, padding: float, size_px: int
) -> tuple[Camera, NDArray[np.float64]]:
    """A camera near (azimuth, elevation) whose square picture just holds ``vertices``, and the view frame.

    The camera turns (without roll) until the vertices' bounding box is centred, and moves until it spans about
    ``fov`` radians; the result is the crop that inference would cut. Returns (camera in the object's frame,
    view_from_object 4x4 similarity as object_frame defines it).
    """
    middle = (vertices.min(0) + vertices.max(0)) / 2
    towards = rotation_y(azimuth) @ np.array([0.0, np.sin(elevation), np.cos(elevation)])
    radius = float(np.linalg.norm(vertices - middle, axis=1).max())
    distance = radius / np.sin(fov / 2)
    for _ in range(3):
        position = middle + towards * distance
        yaw, pitch = azimuth, elevation
        for _ in range(3):
            rotation = rotation_y(yaw) @ view_from_camera(pitch, 0.0)[:3, :3]
            p = (vertices - position) @ rotation
            low, high = (p[:, :2] / p[:, 2:]).min(0), (p[:, :2] / p[:, 2:]).max(0)
            centre = (low + high) / 2
            yaw, pitch = yaw - np.arctan(centre[0]) / np.cos(pitch), pitch + np.arctan(centre[1])
        half = float((high - low).max()) / 2
        distance = max(distance * half / np.tan(fov / 2), 1.15 * radius)
    rotation = rotation_y(yaw) @ view_from_camera(pitch, 0.0)[:3, :3]
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, position
    camera = Camera.from_fov(size_px, size_px, 2 * np.arctan(half * padding), pose)
    depth = float((middle - position) @ rotation[:, 2])
    scale = float(distance_of(camera.yfov)) / depth
    origin = position + rotation[:, 2] * depth
    view = np.eye(4)
    view[:3, :3] = scale * rotation_y(-yaw)
    view[:3, 3] = -view[:3, :3] @ origin
    return camera, view


def signed_points(mesh: Any, rng: np.random.Generator, options: DataOptions) -> tuple[Any, Any]:
    """points (N, 3) float16 in the object frame and their signed distance (N,) float16, negative inside.

    Inside means: generalised winding number above one half (Jacobson et al. 2013, fast evaluation of Barill et al.
    2018), or within ``shell`` of the surface of an open mesh, or sealed off from the outside: hollow interiors that
    no picture can show count as solid.
    """
    import igl

    n = options.points
    vertices, faces = np.ascontiguousarray(mesh.vertices, np.float64), np.ascontiguousarray(mesh.faces, np.int64)
    near, _ = _sample(mesh, 9 * n // 16, rng)
    spread = np.exp(rng.uniform(np.log(0.006), np.log(0.08), (len(near), 1)))
    low, high = mesh.bounds
    box = rng.uniform(low - 0.06, high + 0.06, (6 * n // 16, 3))
    cube = rng.uniform(-0.7, 0.7, (n - len(near) - len(box), 3))
    points = np.concatenate([near + rng.normal(size=near.shape) * spread, box, cube])
    points = points.astype(np.float16).astype(np.float64)  # signs belong to the stored, rounded positions
    distance = np.sqrt(igl.point_mesh_squared_distance(points, vertices, faces)[0])
    inside = igl.fast_winding_number(vertices, faces, points) > 0.5
    if not mesh.is_watertight:
        inside |= distance < options.shell
    inside[~inside] = sealed(mesh, points[~inside], rng)
    return points.astype(np.float16), np.where(inside, -distance, distance).astype(np.float16)


def sealed(mesh: Any, points: NDArray[np.float64], rng: np.random.Generator, rays: int = 24) -> NDArray[np.bool_]:
    """Which points (N, 3) see no way out along any of ``rays`` random directions."""
    low, high = mesh.bounds
    result = np.zeros(len(points), bool)
    todo = np.nonzero(((points > low) & (points < high)).all(1))[0]
    result[todo] = True
    for _ in range(rays):
        if not len(todo):
            break
        direction = rng.normal(size=3)
        blocked = mesh.ray.intersects_any(points[todo], np.broadcast_to(direction, (len(todo), 3)))
        result[todo[~blocked]] = False
        todo = todo[blocked]
    return result


def coloured_points(surface: render.Surface, mesh: Any, rng: np.random.Generator, count: int) -> tuple[Any, Any]:
    """Points on the surface (N, 3) float16 that can be seen from outside, and their albedo (N, 3) uint8 sRGB."""
    points, faces = _sample(mesh, 3 * count, rng)
    normal = np.asarray(mesh.face_normals)[faces]
    hidden = sealed(mesh, points + normal * 1e-3, rng, 12) & sealed(mesh, points - normal * 1e-3, rng, 12)
    order = np.argsort(hidden, kind="stable")[:count]  # the visible ones first; hidden ones only to fill up
    points, faces = points[order], faces[order]
    corners = np.asarray(mesh.triangles)[faces]
    import trimesh

    weights = trimesh.triangles.points_to_barycentric(corners, points)
    weights = np.nan_to_num(np.clip(weights, 0, 1), nan=1 / 3)
    return points.astype(np.float16), to_uint8(linear_to_srgb(render.albedo_at(surface, faces, weights)))


def _sample(mesh: Any, count: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    import trimesh

    return trimesh.sample.sample_surface(mesh, count, seed=rng)


def symmetry_planes(surface: NDArray[np.float16], angles: int = 24) -> NDArray[np.float32]:
    """Angles (K,) of the normals, about +Y from +X, of vertical mirror planes through the origin that hold.

    A plane holds when half the points, reflected, lie almost as near the other half as they did unreflected.
    """
    from scipy.spatial import cKDTree

    points = surface.astype(np.float64)
    a, b = points[::4], cKDTree(points[1::2])
    spread = b.query(a)[0].mean()
    theta = np.arange(angles) * np.pi / angles
    normals = np.stack([np.cos(theta), np.zeros(angles), np.sin(theta)], 1)
    errors = np.array([b.query(a - 2 * np.outer(a @ n, n))[0].mean() for n in normals])
    return np.asarray(theta[errors < 1.15 * spread + 0.002], np.float32)
