"""Made-up scenes for multi-view stereo: things on floors and before walls, seen by a few cameras, with exact depth.

What matters for matching is met on purpose: fine and coarse textures, plain surfaces, thin parts, things before one
another, gloss that moves with the camera, shadows, empty space. World: +Y up, lengths in sizes of the scene.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from ..camera import Camera
from ..conventions import linear_to_srgb
from . import corpus, procedural, render
from .meshes import surface_of
from .rooms import view
from .rooms.geometry import Look, Part, Soup, sheet
from .rooms.trace import World
from .textures import texture

FloatArray = NDArray[np.float32]
Rng = np.random.Generator


@dataclass(frozen=True)
class Scene:
    """world: what there is; light: what shines on it; empty: linear RGB where nothing is; marks: places to look at."""

    world: World
    light: render.Light
    empty: FloatArray
    marks: FloatArray


def scene(rows: Sequence[corpus.Row], rng: Rng) -> Scene:
    """A random arrangement of one to twelve things: corpus ``rows``, objects made from a seed, bent sheets."""
    soup, marks = Soup(), list[FloatArray]()
    alone = rng.random() < 0.3  # one object in empty space, as turntables and rendered sets show it
    for _ in range(1 if alone else int(rng.integers(3, 13))):
        part = _thing(rows, rng)
        size = 0.5 if alone else float(np.exp(rng.uniform(np.log(0.12), np.log(0.5))))
        place = np.zeros(3) if alone else rng.normal(0, 0.35, 3) * [1, 0, 1]
        turned = _placed(part, size, place, rng)
        soup.add(turned)
        marks.append(turned.corners.reshape(-1, 3))
    if not alone or rng.random() < 0.35:
        _surroundings(soup, rng)
    points = np.concatenate([m[rng.integers(len(m), size=12)] for m in marks]).astype(np.float32)
    backdrop = rng.choice([np.ones(3), np.zeros(3), rng.random(3), np.full(3, rng.random())], p=[0.4, 0.2, 0.2, 0.2])
    return Scene(World(soup), render.random_light(rng), backdrop.astype(np.float32), points)


def _thing(rows: Sequence[corpus.Row], rng: Rng) -> Part:
    """One object, longest side 1; half of them under a new texture, so that there is something to match."""
    if rng.random() < 0.12:
        return _bent_sheet(rng)
    for _ in range(20):
        made = not rows or rng.random() < 0.4
        try:
            row = (
                procedural.rows(1, int(rng.integers(1_000_000, 9_000_000)))[0]
                if made
                else rows[int(rng.integers(len(rows)))]
            )
            surface, _mesh = surface_of(row)
        except Exception:  # a broken file of a large corpus: take another
            continue
        if len(surface.corners) > 60000:
            continue
        part = Part(surface.corners, surface.normals, surface.uv, surface.tint, surface.texture)
        return _retextured(part, rng) if rng.random() < 0.6 else part
    return _bent_sheet(rng)


def _retextured(part: Part, rng: Rng) -> Part:
    """A random texture laid on along the axis that each face looks in."""
    normal = np.abs(np.cross(part.corners[:, 1] - part.corners[:, 0], part.corners[:, 2] - part.corners[:, 0]))
    axis = normal.argmax(1)
    plane = np.array([[2, 1], [0, 2], [0, 1]])[axis]
    uv = np.take_along_axis(part.corners, plane[:, None].repeat(3, 1), 2) / rng.uniform(0.25, 1.5) + rng.random(2)
    tint = np.ones_like(part.tint)
    return Part(part.corners, part.normals, uv.astype(np.float32), tint, texture(rng), float(rng.random() < 0.3))


def _bent_sheet(rng: Rng) -> Part:
    """A wavy textured sheet about as wide as high."""
    n = 24
    x, y = np.meshgrid(np.linspace(-0.5, 0.5, n + 1), np.linspace(-0.5, 0.5, n + 1))
    z = sum(
        rng.normal(0, 0.06 / k) * np.sin(k * np.pi * (x * np.cos(a) + y * np.sin(a)) + rng.uniform(0, 6))
        for k, a in ((1, rng.uniform(0, 3)), (2, rng.uniform(0, 3)), (4, rng.uniform(0, 3)), (7, rng.uniform(0, 3)))
    )
    points, uv = np.stack([x, y, z], -1), np.stack([x, y], -1) * rng.uniform(0.7, 3) + rng.random(2)

    def triangles(v: NDArray[np.floating]) -> FloatArray:
        a, b, c, d = v[:-1, :-1], v[:-1, 1:], v[1:, 1:], v[1:, :-1]
        return np.stack([a, b, c, a, c, d], 2).reshape(-1, 3, v.shape[-1]).astype(np.float32)

    corners = triangles(points)
    return Part(corners, render.corner_normals(corners, 60), triangles(uv), np.ones_like(corners), texture(rng))


def _placed(part: Part, size: float, place: NDArray[np.floating], rng: Rng) -> Part:
    """The part at another size, turned any way, standing on the floor."""
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0] if rng.random() < 0.5 else _upright(rng.uniform(-np.pi, np.pi))
    turn = turn * np.sign(np.linalg.det(turn))
    corners = part.corners @ turn.T * size
    corners = corners - [0, corners[..., 1].min() + 0.2 * size * (rng.random() < 0.2), 0] + place
    normals = (part.normals @ turn.T).astype(np.float32)
    gloss = part.gloss * float(rng.uniform(0.02, 0.3))
    return Part(corners.astype(np.float32), normals, part.uv, part.tint, part.texture, gloss)


def _upright(yaw: float) -> NDArray[np.float64]:
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def _surroundings(soup: Soup, rng: Rng) -> None:
    """A floor, and mostly walls behind, near or far."""
    reach = float(np.exp(rng.uniform(np.log(0.9), np.log(3.5))))
    look = Look(texture(rng), float(np.exp(rng.uniform(np.log(0.3), np.log(2.0)))))
    soup.add(sheet(look, (-reach, 0, reach), (2 * reach, 0, 0), (0, 0, -2 * reach))[0])
    if rng.random() < 0.7:
        ends = [(-reach, reach), (reach, reach), (reach, -reach), (-reach, -reach)]
        for (x0, z0), (x1, z1) in zip(ends, ends[1:] + ends[:1], strict=True):
            look = Look(texture(rng), float(np.exp(rng.uniform(np.log(0.3), np.log(2.5)))))
            soup.add(sheet(look, (x0, 0, z0), (x1 - x0, 0, z1 - z0), (0, 2.5 * reach, 0))[0])


def cameras(scene: Scene, count: int, size: tuple[int, int], rng: Rng) -> list[Camera]:
    """``count`` cameras about one place of the scene that all see it, near one another as the views of a set; none when
    it cannot be seen from there."""
    target = scene.marks[rng.integers(len(scene.marks))].astype(np.float64)
    azimuth, height = rng.uniform(-np.pi, np.pi), float(np.clip(rng.normal(0.5, 0.35), 0.03, 1.4))
    distance, spread = rng.uniform(0.7, 2.4), np.radians(np.exp(rng.uniform(np.log(3), np.log(22))))
    focal = float(np.exp(rng.uniform(np.log(220), np.log(900))))
    out, missed = list[Camera](), 0
    while len(out) < count and missed < 20 * count:
        yaw = azimuth + rng.normal(0, spread)
        pitch = float(np.clip(height + rng.normal(0, 0.6 * spread), 0.02, 1.5))
        away = max(0.95**missed, 0.3) * distance * (1 + rng.normal(0, 0.06))  # nearer where walls are in the way
        position = target + away * np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
        way = (target - position).astype(np.float32)
        if scene.world.tracer.blocked(position.astype(np.float32)[None], way[None], np.array([0.9], np.float32))[0]:
            missed += 1
            continue
        out.append(towards(position, target, focal * float(np.exp(rng.normal(0, 0.02))), size, rng))
    return out if len(out) == count else []


def towards(
    position: NDArray[np.floating], target: NDArray[np.floating], focal: float, size: tuple[int, int], rng: Rng
) -> Camera:
    """A camera of ``size`` (height, width) that looks at a place, or a little beside it."""
    to = target - position
    beside = 0.12 * min(size) / focal  # a share of the picture
    yaw = float(np.arctan2(to[0], to[2]) + rng.normal(0, beside))
    pitch = float(np.arctan2(to[1], np.hypot(to[0], to[2])) + rng.normal(0, beside))
    pose = view.look_at(position, yaw, float(np.clip(pitch, -1.5, 1.5)), float(rng.normal(0, 0.08)))
    return Camera(size[1], size[0], focal, focal, size[1] / 2, size[0] / 2, pose)


def photograph(scene: Scene, camera: Camera, rng: Rng, supersample: int = 2) -> tuple[NDArray[np.uint8], FloatArray]:
    """rgb (H, W, 3) uint8 and depth (H, W), inf where nothing is: a sun with hard shadows, a sky, gloss; then the
    exposure, blur and noise of one shot."""
    fine = camera.resized(camera.width * supersample, camera.height * supersample)
    hits, directions, _, normals = view.geometry(scene.world, fine)
    found = np.flatnonzero(hits.face >= 0)
    colour = np.broadcast_to(scene.empty, (len(directions), 3)).copy()
    if len(found):
        colour[found] = _shaded(scene, fine, hits, found, directions[found], normals[found])
    s = supersample
    picture = colour.reshape(camera.height, s, camera.width, s, 3).mean((1, 3))
    depth = view.geometry(scene.world, camera)[0].distance.reshape(camera.height, camera.width)
    return shot(picture * scene.light.exposure, rng), depth.astype(np.float32)


def _shaded(
    scene: Scene, fine: Camera, hits: Any, found: NDArray[np.int64], directions: FloatArray, normals: FloatArray
) -> FloatArray:
    """Radiance (N, 3) of what was hit."""
    world, light = scene.world, scene.light
    met = view._at(hits, found)
    lengths = np.linalg.norm(directions, axis=1)
    along = np.abs((normals * directions).sum(1)) / lengths
    albedo = world.albedo(met, (met.distance / fine.fy / np.sqrt(np.maximum(along, 0.02))).astype(np.float32))
    facing = np.maximum(normals @ light.sun, 0)
    start = world.points(met) + normals * 2e-3
    facing *= ~world.tracer.blocked(start, np.broadcast_to(light.sun, start.shape))
    up = (normals[:, 1:2] + 1) / 2
    colour = albedo * (light.sky_colour * up + light.ground_colour * (1 - up) + light.sun_colour * facing[:, None])
    half = light.sun - directions / lengths[:, None]
    half /= np.maximum(np.linalg.norm(half, axis=1, keepdims=True), 1e-6)
    lobe = np.maximum((half * normals).sum(1), 0) ** light.shininess
    gloss = world.gloss[world.material[met.face]] * (facing > 0) * 2
    return np.asarray(colour + (gloss * lobe)[:, None] * light.sun_colour, np.float32)


def shot(linear: FloatArray, rng: Rng) -> NDArray[np.uint8]:
    """One exposure of linear light (H, W, 3): gain, white balance, softness, noise; uint8 sRGB."""
    gain = np.exp(rng.normal(0, 0.12) + rng.normal(0, 0.025, 3))
    image: NDArray[Any] = linear_to_srgb(np.clip(linear * gain, 0, 1).astype(np.float32))
    if rng.random() < 0.4:
        image = gaussian_filter(image, (rng.uniform(0.2, 0.7),) * 2 + (0,))
    if rng.random() < 0.7:
        image = image + rng.normal(0, rng.uniform(0, 0.02), image.shape)
    return np.asarray(np.clip(image, 0, 1) * 255 + 0.5, np.uint8)
