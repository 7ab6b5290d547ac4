"""How the pictures of this folder were made: python examples/photos/render.py FOLDER [count width height degrees]."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from liftform.assets import Material, Mesh
from liftform.camera import Camera
from liftform.conventions import linear_to_srgb, srgb_to_linear, to_uint8
from liftform.render import Scene

SIDE = 1024
SUN = np.array([0.5, 0.8, 0.35]) / np.linalg.norm([0.5, 0.8, 0.35])


def grain(fine: float, coarse: float, share: float, seed: int) -> np.ndarray:
    """Noise (SIDE, SIDE, 1) of two sizes in pixels, about 0."""
    rng = np.random.default_rng(seed)
    fields = [gaussian_filter(rng.standard_normal((SIDE, SIDE)), size, mode="wrap") for size in (fine, coarse)]
    return sum(w * f / f.std() for w, f in zip((1, share), fields, strict=True))[..., None]


def pot() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, faces, uv and texture of a turned pot, 75 cm high, with five shallow lobes."""
    t, p = np.meshgrid(np.linspace(0, 1, 160), np.linspace(0, 2 * np.pi, 241), indexing="ij")
    r = 0.16 + 0.15 * np.sin(np.pi * np.clip(1.05 * t, 0, 1)) ** 0.8 + 0.05 * np.exp(-(((t - 0.93) / 0.06) ** 2))
    r = r * (1 + 0.05 * np.cos(5 * p + 4 * t) * np.sin(np.pi * t)) * np.clip(50 * np.minimum(t, 1 - t), 0, 1)
    vertices = np.stack([r * np.sin(p), 0.75 * t, r * np.cos(p)], -1).reshape(-1, 3)
    i, j = np.meshgrid(np.arange(159), np.arange(240), indexing="ij")
    a = (i * 241 + j).reshape(-1)
    faces = np.concatenate([np.stack([a, a + 1, a + 241], -1), np.stack([a + 1, a + 242, a + 241], -1)])
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    band = (np.abs((7 * y) % 1 - 0.5) < 0.18) & (y > 0.15) & (y < 0.85)
    dark = np.sin(2 * np.pi * (24 * x + 3 * np.abs((14 * y) % 2 - 1))) > 0.2
    paint = np.full((SIDE, SIDE, 3), (0.62, 0.36, 0.22))
    paint[band & dark], paint[band & ~dark] = (0.15, 0.22, 0.35), (0.85, 0.75, 0.55)
    return (
        vertices,
        faces,
        np.stack([p / (4 * np.pi), 1 - t], -1).reshape(-1, 2),
        paint * (1 + 0.14 * grain(1.2, 5, 0.8, 3)),
    )


def cloth() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The same of a checked cloth at y = 0."""
    vertices = 1.1 * np.array([[-1, 0, -1], [1, 0, -1], [1, 0, 1], [-1, 0, 1]])
    uv = np.array([[0.5, 0], [1, 0], [1, 1], [0.5, 1]])
    y, x = np.mgrid[:SIDE, :SIDE] // 93
    paint = np.where(((x + y) % 2)[..., None] > 0, (0.55, 0.6, 0.5), (0.8, 0.78, 0.7))
    return vertices, np.array([[0, 2, 1], [0, 3, 2]]), uv, paint * (1 + 0.18 * grain(1.5, 6, 0.9, 9))


def scene() -> Scene:
    """The pot on the cloth."""
    (v, f, uv, left), (w, g, vw, right) = pot(), cloth()
    texture = to_uint8(np.concatenate([left, right], 1))
    corners, faces = np.concatenate([v, w]).astype(np.float32), np.concatenate([f, g + len(v)]).astype(np.int32)
    return Scene(Mesh(corners, faces, uv=np.concatenate([uv, vw]).astype(np.float32), material=Material(texture)))


def camera(azimuth: float, elevation: float, width: int, height: int) -> Camera:
    """A camera 1.75 m from the middle of the pot, 40 degrees high."""
    lift = np.eye(4)
    lift[1, 3] = 0.32
    whole = Camera.orbit(height, np.radians(40), azimuth, elevation, 1.75).moved(lift)
    return Camera(width, height, whole.fy, whole.fy, width / 2, height / 2, whole.world_from_camera)


def shot(things: Scene, seen_from: Camera, seed: int) -> np.ndarray:
    """A picture (H, W, 3) uint8 in the sun, with shadows and a little noise."""
    drawn = things.render(seen_from, "unlit", (0.75, 0.78, 0.82), 2)
    normals = drawn.normals @ seen_from.world_from_camera[:3, :3].T
    origin, rays = seen_from.rays()
    points = (origin + rays * np.nan_to_num(drawn.depth, nan=1)[..., None] + 2e-3 * normals).reshape(-1, 3)
    shaded = things.occluded(points, np.broadcast_to(SUN, points.shape)).reshape(drawn.depth.shape)
    light = gaussian_filter(np.where(shaded, 0, np.maximum(normals @ SUN, 0)), 0.7)
    lit = srgb_to_linear(drawn.image[..., :3]) * np.where(drawn.mask, 0.45 + 0.85 * light, 1)[..., None]
    noise = np.random.default_rng(seed).normal(0, 0.006, (*light.shape, 1))
    return to_uint8(linear_to_srgb(np.clip(lit, 0, 1)) + noise)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    count, width, height, degrees = (int(word) for word in sys.argv[2:]) if len(sys.argv) > 2 else (8, 352, 264, 84)
    folder.mkdir(parents=True, exist_ok=True)
    things = scene()
    turns = np.arange(count) / count if degrees == 360 else np.arange(count) / (count - 1) - 0.5
    for k, turn in enumerate(turns):
        picture = shot(things, camera(np.radians(degrees) * turn, 0.4 + 0.12 * (k % 2), width, height), k)
        Image.fromarray(picture).save(folder / f"pot_{k + 1}.jpg", quality=78)
