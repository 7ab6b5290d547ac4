"""Pictures of a lit scene: random cameras, exact depth and normals, and the photograph a camera would take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from ...camera import Camera
from ...conventions import linear_to_srgb
from .light import Lighting, mirrored, pixel_light, sky_radiance
from .trace import Hits, World, smooth, upsample

FloatArray = NDArray[np.float32]
Rng = np.random.Generator
#: Nothing nearer is of use: lenses do not focus there.
NEAREST = 0.12


@dataclass(frozen=True)
class View:
    """rgb (H, W, 3) uint8 sRGB; depth (H, W) float32 z-distance in metres, inf where nothing is; normals (H, W, 3)
    unit, camera frame, zero where nothing is."""

    rgb: NDArray[np.uint8]
    depth: FloatArray
    normals: FloatArray


def geometry(world: World, camera: Camera) -> tuple[Hits, FloatArray, FloatArray, FloatArray]:
    """Hits of all pixel centres, ray directions (N, 3), depth (N,), world normals (N, 3), zero where nothing is."""
    origin, rays = camera.rays()
    directions = np.ascontiguousarray(rays.reshape(-1, 3), np.float32)
    hits = world.tracer.cast(np.broadcast_to(origin.astype(np.float32), directions.shape), directions)
    normals = np.zeros((len(directions), 3), np.float32)
    found = hits.face >= 0
    normals[found] = world.shading_normals(_at(hits, found), directions[found])
    return hits, directions, hits.distance, normals


def _at(hits: Hits, index: NDArray[Any]) -> Hits:
    return Hits(hits.face[index], hits.u[index], hits.v[index], hits.distance[index])


def render(lighting: Lighting, camera: Camera, rng: Rng, supersample: int = 2) -> View:
    """A photograph of the scene with its truth."""
    world, shape = lighting.world, (camera.height, camera.width)
    hits, directions, depth, normals = geometry(world, camera)
    found = np.flatnonzero(hits.face >= 0)
    met = _at(hits, found)
    light = np.zeros((len(depth), 3), np.float32)
    points = world.points(met)
    light[found] = pixel_light(lighting, points, normals[found], rng)
    out = world.outside[world.material[met.face]]
    if not lighting.open_air and out.any():
        light[found[out]] = _daylight(lighting, normals[found[out]])
    smooth_light = light.reshape(*shape, 3)
    grid_normals, grid_depth = normals.reshape(*shape, 3), depth.reshape(shape)
    for step in (1, 2):
        smooth_light = smooth(smooth_light, grid_normals, grid_depth, step)
    radiance = _fine(lighting, camera, smooth_light, grid_normals, grid_depth, supersample)
    radiance = radiance.reshape(camera.height, supersample, camera.width, supersample, 3).mean((1, 3))
    radiance += _shine(lighting, met, points, normals, directions, found, shape, rng)
    rotation = camera.camera_from_world[:3, :3].astype(np.float32)
    return View(develop(radiance, rng), grid_depth, (normals @ rotation.T).reshape(*shape, 3))


def _daylight(lighting: Lighting, normals: FloatArray) -> FloatArray:
    """What falls on things beyond the windows: open sky and sun, without shadows."""
    sky = lighting.site.sky
    up = (normals[:, 1:2] + 1) / 2
    return np.asarray(sky.zenith * up + sky.ground * (1 - up) + np.maximum(normals @ sky.sun, 0)[:, None] * sky.sun_colour, np.float32)


def _fine(lighting: Lighting, camera: Camera, light: FloatArray, normals: FloatArray, depth: FloatArray, factor: int) -> FloatArray:
    """Radiance (fH, fW, 3): colours at ``factor`` squared samples a pixel under the smoothed light."""
    world = lighting.world
    big = camera.resized(camera.width * factor, camera.height * factor)
    hits, directions, fine_depth, fine_normals = geometry(world, big)
    shape = (big.height, big.width)
    spread = upsample(light, normals, depth, fine_normals.reshape(*shape, 3), fine_depth.reshape(shape), factor)
    found = hits.face >= 0
    met = _at(hits, found)
    along = np.abs(np.einsum("ij,ij->i", fine_normals[found], directions[found])) / np.linalg.norm(directions[found], axis=1)
    blur = met.distance / big.fy / np.sqrt(np.maximum(along, 0.02))
    out = np.zeros((len(directions), 3), np.float32)
    out[found] = world.albedo(met, blur.astype(np.float32)) * spread.reshape(-1, 3)[found] + world.glow[world.material[met.face]]
    out[~found] = sky_radiance(lighting.site.sky, directions[~found])
    return out.reshape(*shape, 3)


def _shine(
    lighting: Lighting, met: Hits, points: FloatArray, normals: FloatArray, directions: FloatArray,
    found: NDArray[np.int64], shape: tuple[int, int], rng: Rng,
) -> FloatArray:  # fmt: skip
    """Mirrored light (H, W, 3) of glossy surfaces (Schlick's Fresnel)."""
    out = np.zeros((shape[0] * shape[1], 3), np.float32)
    gloss = lighting.world.gloss[lighting.world.material[met.face]]
    some = np.flatnonzero(gloss > 0)
    if len(some):
        at = found[some]
        d, n = directions[at], normals[at]
        cosine = np.abs(np.einsum("ij,ij->i", d, n)) / np.linalg.norm(d, axis=1)
        share = gloss[some] + (1 - gloss[some]) * (1 - cosine) ** 5 * 0.6
        out[at] = mirrored(lighting, points[some], n, d, rng) * share[:, None]
    return out.reshape(*shape, 3)


def develop(radiance: FloatArray, rng: Rng) -> NDArray[np.uint8]:
    """Linear radiance (H, W, 3) to a photograph (H, W, 3) uint8: exposure, white balance, glare, tone, vignette, noise."""
    height, width = radiance.shape[:2]
    luminance = radiance.mean(-1)
    key = float(np.exp(np.log(np.maximum(luminance, 1e-4)).mean()))
    key = 0.7 * key + 0.3 * float(np.median(luminance)) + 1e-4
    image = radiance * (0.19 * np.exp(rng.normal(0, 0.3)) / key)
    image = image * np.exp(rng.normal(0, 0.06) * np.array([1, 0, -1]) + rng.normal(0, 0.03, 3))
    mean = image.mean((0, 1))
    image = image / (mean / mean.mean()) ** rng.uniform(0.2, 0.95)  # automatic white balance, never perfect
    glare = gaussian_filter(np.minimum(image, 6.0), (rng.uniform(3, 12),) * 2 + (0,))
    image = image + (glare - image) * rng.uniform(0.0, 0.08)
    if rng.random() < 0.6:
        y, x = np.mgrid[0:height, 0:width]
        r = ((x / width - 0.5) ** 2 + (y / height - 0.5) ** 2)[..., None]
        image = image * (1 - rng.uniform(0, 0.8) * r)
    shoulder = rng.uniform(0.55, 0.95)  # highlights roll off above this
    over = np.maximum(image - shoulder, 0)
    image = np.where(image > shoulder, shoulder + (1.02 - shoulder) * (1 - np.exp(-over / (1.02 - shoulder))), image)
    image = image + rng.normal(0, 1, image.shape) * np.sqrt(np.maximum(image, 0) * rng.uniform(0, 6e-4) + rng.uniform(0, 8e-6))
    picture = linear_to_srgb(np.clip(image, 0, 1).astype(np.float32))
    contrast = np.exp(rng.normal(0, 0.12))
    picture = np.clip(0.45 + (picture - 0.45) * contrast, 0, 1)
    return (picture * 255 + 0.5).astype(np.uint8)


# -- cameras ---------------------------------------------------------------------------------------------------------

SIZES = ((144, 192), (144, 192), (192, 144), (160, 160))


def look_at(position: NDArray[np.floating], yaw: float, pitch: float, roll: float) -> NDArray[np.float64]:
    """world_from_camera of a camera that looks along yaw (0: +Z, towards +X) and pitch (up positive), rolled."""
    forward = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    right = np.cross(forward, [0, 1.0, 0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    c, s = np.cos(roll), np.sin(roll)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right * c + down * s, down * c - right * s, forward], -1)
    pose[:3, 3] = position
    return pose


def fov_of(rng: Rng) -> float:
    """Vertical field of view (radians): phones and depth cameras first, then anything from 25 to 95 degrees."""
    mood = rng.random()
    degrees = rng.uniform(42, 58) if mood < 0.55 else rng.uniform(35, 75) if mood < 0.85 else rng.uniform(25, 95)
    return float(np.radians(degrees))


def acceptable(world: World, camera: Camera, rng: Rng) -> bool:
    """Whether a view shows something: not stuck in a wall, not all near, rarely one flat surface alone."""
    small = camera.resized(32, 24)
    hits, _, depth, normals = geometry(world, small)
    near = float((depth < 0.4).mean())
    if depth.min() < NEAREST or near > 0.6:
        return False
    found = hits.face >= 0
    if not found.any() or (~found).mean() > 0.75:
        return False
    piece = world.piece[hits.face[found]]
    share = np.bincount(piece).max() / len(depth)
    dull = share > 0.8 or len(np.unique(piece)) < 4
    return not dull or bool(rng.random() < 0.12)
