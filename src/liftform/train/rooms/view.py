"""Pictures of a lit scene: random cameras, exact depth and normals, and the photograph a camera would take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from ...camera import Camera
from ...conventions import linear_to_srgb
from .light import Lighting, direct_light, gathered_light, mirrored, sky_radiance
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


@dataclass(frozen=True)
class _Grid:
    """What a camera sees at every pixel centre: hits, directions, normals and points (H * W, ...), depth (H, W)."""

    camera: Camera
    hits: Hits
    directions: FloatArray
    depth: FloatArray
    normals: FloatArray
    points: FloatArray
    found: NDArray[np.int64]

    @classmethod
    def of(cls, world: World, camera: Camera) -> _Grid:
        hits, directions, depth, normals = geometry(world, camera)
        found = np.flatnonzero(hits.face >= 0)
        points = np.zeros((len(depth), 3), np.float32)
        points[found] = world.points(_at(hits, found))
        return cls(camera, hits, directions, depth.reshape(camera.height, camera.width), normals, points, found)

    @property
    def met(self) -> Hits:
        return _at(self.hits, self.found)

    def image(self, values: FloatArray) -> FloatArray:
        """Values (N, 3) of the pixels that see something, as (H, W, 3)."""
        out = np.zeros((self.depth.size, 3), np.float32)
        out[self.found] = values
        return out.reshape(*self.depth.shape, 3)

    def smoothed(self, values: FloatArray, steps: tuple[int, ...]) -> FloatArray:
        """The same, with the noise of few rays filtered away."""
        grid, shape = self.image(values), (*self.depth.shape, 3)
        for step in steps:
            grid = smooth(grid, self.normals.reshape(shape), self.points.reshape(shape), self.depth, step)
        return grid

    def finer(self, light: FloatArray, fine: _Grid) -> FloatArray:
        """Light (H, W, 3) of this grid on a finer one."""
        shape, wide = (*self.depth.shape, 3), (*fine.depth.shape, 3)
        factor = fine.depth.shape[0] // shape[0]
        return np.asarray(
            upsample(light, self.normals.reshape(shape), self.depth, fine.normals.reshape(wide), fine.depth, factor)
        )


def render(lighting: Lighting, camera: Camera, rng: Rng, supersample: int = 2) -> View:
    """A photograph of the scene with its truth. Shadows are traced at every pixel, bounced light at every fourth."""
    world = lighting.world
    grid = _Grid.of(world, camera)
    fine = _Grid.of(world, camera.resized(camera.width * supersample, camera.height * supersample))
    coarse = _Grid.of(world, camera.resized(camera.width // 2, camera.height // 2))
    met, points, normals = grid.met, grid.points[grid.found], grid.normals[grid.found]
    near = direct_light(lighting, points, normals, rng, 5)
    far = gathered_light(lighting, coarse.points[coarse.found], coarse.normals[coarse.found], rng)
    if not lighting.open_air:
        out = world.outside[world.material[met.face]]
        near[out] = _daylight(lighting, normals[out])
        far[world.outside[world.material[coarse.met.face]]] = 0
    light = grid.finer(grid.smoothed(near, (1, 2)), fine) + coarse.finer(coarse.smoothed(far, (1, 2)), fine)
    radiance = _coloured(lighting, fine, light)
    radiance = radiance.reshape(camera.height, supersample, camera.width, supersample, 3).mean((1, 3))
    radiance += grid.smoothed(_shine(lighting, met, points, normals, grid.directions[grid.found], rng), (1, 1))
    rotation = camera.camera_from_world[:3, :3].astype(np.float32)
    return View(develop(radiance, rng), grid.depth, (grid.normals @ rotation.T).reshape(*grid.depth.shape, 3))


def _daylight(lighting: Lighting, normals: FloatArray) -> FloatArray:
    """What falls on things beyond the windows: open sky and sun, without shadows."""
    sky = lighting.site.sky
    up = (normals[:, 1:2] + 1) / 2
    return np.asarray(
        sky.zenith * up + sky.ground * (1 - up) + np.maximum(normals @ sky.sun, 0)[:, None] * sky.sun_colour, np.float32
    )


def _coloured(lighting: Lighting, fine: _Grid, light: FloatArray) -> FloatArray:
    """Radiance (fH, fW, 3): colours under the light; the sky where nothing is."""
    world, found, met = lighting.world, fine.found, fine.met
    directions = fine.directions[found]
    along = np.abs(np.einsum("ij,ij->i", fine.normals[found], directions)) / np.linalg.norm(directions, axis=1)
    blur = (met.distance / fine.camera.fy / np.sqrt(np.maximum(along, 0.02))).astype(np.float32)
    colour = world.albedo(met, blur) * light.reshape(-1, 3)[found] + world.glow[world.material[met.face]]
    out = fine.image(colour).reshape(-1, 3)
    empty = fine.hits.face < 0
    out[empty] = sky_radiance(lighting.site.sky, fine.directions[empty])
    return out.reshape(*fine.depth.shape, 3)


def _shine(
    lighting: Lighting, met: Hits, points: FloatArray, normals: FloatArray, directions: FloatArray, rng: Rng
) -> FloatArray:
    """Mirrored light (N, 3) of glossy surfaces (Schlick's Fresnel), the mean of two rough rays."""
    out = np.zeros((len(points), 3), np.float32)
    gloss = lighting.world.gloss[lighting.world.material[met.face]]
    some = np.flatnonzero(gloss > 0)
    if len(some):
        d, n, p = directions[some], normals[some], points[some]
        cosine = np.abs(np.einsum("ij,ij->i", d, n)) / np.linalg.norm(d, axis=1)
        share = np.minimum(gloss[some] + (1 - gloss[some]) * (1 - cosine) ** 5 * 0.5, 0.35)
        bright = (mirrored(lighting, p, n, d, rng) + mirrored(lighting, p, n, d, rng)) / 2
        out[some] = np.minimum(bright, 4 * np.maximum(np.median(bright), 0.1)) * share[:, None]
    return out


def develop(radiance: FloatArray, rng: Rng) -> NDArray[np.uint8]:
    """Linear radiance (H, W, 3) to a photograph, uint8: exposure, white balance, glare, vignette, tone, noise."""
    height, width = radiance.shape[:2]
    luminance = radiance.mean(-1)
    key = float(np.exp(np.log(np.maximum(luminance, 1e-4)).mean()))
    key = 0.7 * key + 0.3 * float(np.median(luminance)) + 1e-4
    gain = 0.19 * np.exp(rng.normal(0, 0.3)) / key
    if rng.random() < 0.85:  # meters keep most of the picture from burning out
        gain = min(gain, rng.uniform(0.75, 1.1) / max(float(np.quantile(luminance, 0.8)), 1e-4))
    image = radiance * gain
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
    image = image + rng.normal(0, 1, image.shape) * np.sqrt(
        np.maximum(image, 0) * rng.uniform(0, 6e-4) + rng.uniform(0, 8e-6)
    )
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
    hits, _, depth, _normals = geometry(world, small)
    if depth.min() < NEAREST or float((depth < 0.4).mean()) > 0.6:
        return False
    if float(np.median(depth)) < 1.1 and rng.random() < 0.7:  # most photographs keep some distance
        return False
    found = hits.face >= 0
    if not found.any() or (~found).mean() > 0.75:
        return False
    piece = world.piece[hits.face[found]]
    share = np.bincount(piece).max() / len(depth)
    dull = share > 0.72 or len(np.unique(piece)) < 5
    return not dull or bool(rng.random() < 0.05)
