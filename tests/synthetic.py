"""Shapes whose every figure is known: counts, volume, genus, colours. Shared by the tests."""

from __future__ import annotations

import numpy as np

from liftform.assets import Material, Mesh, Model

# --- meshes ----------------------------------------------------------------------------------------------------------


def as_mesh(vertices, faces, **fields) -> Mesh:
    """A Mesh from anything array-like."""
    return Mesh(np.asarray(vertices, np.float32), np.asarray(faces, np.int32), **fields)


def box(size=(1.0, 1.0, 1.0), centre=(0.0, 0.0, 0.0)) -> Mesh:
    """8 vertices, 12 faces; the two faces of side k are 2k and 2k + 1 (-x, +x, -y, +y, -z, +z)."""
    corners = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = [face for a, b, c, d in quads for face in ((a, b, c), (a, c, d))]
    return as_mesh(corners * np.array(size) + np.array(centre), faces)


def grid_torus(major=24, minor=12, radius=1.0, tube=0.3) -> Mesh:
    """A torus about the y axis: major * minor vertices, twice as many faces, genus 1, volume about 2 pi² R r²."""
    i, j = np.meshgrid(np.arange(major), np.arange(minor), indexing="ij")
    a, b = 2 * np.pi * i / major, 2 * np.pi * j / minor
    ring = radius + tube * np.cos(b)
    vertices = np.stack([ring * np.sin(a), tube * np.sin(b), ring * np.cos(a)], -1).reshape(-1, 3)
    return as_mesh(vertices, _wrapped_grid(major, minor))


def sphere(rings=12, segments=16, radius=1.0, centre=(0.0, 0.0, 0.0)) -> Mesh:
    """Latitude-longitude sphere: 2 + (rings - 1) * segments vertices, 2 * (rings - 1) * segments faces, outward."""
    theta = np.pi * np.arange(1, rings) / rings
    phi = 2 * np.pi * np.arange(segments) / segments
    t, p = np.meshgrid(theta, phi, indexing="ij")
    middle = np.stack([np.sin(t) * np.sin(p), np.cos(t), np.sin(t) * np.cos(p)], -1).reshape(-1, 3)
    vertices = np.concatenate([[[0, 1, 0]], middle, [[0, -1, 0]]]) * radius + np.array(centre)
    at = 1 + np.arange((rings - 1) * segments).reshape(rings - 1, segments)
    a, b, c, d = at[:-1], at[1:], np.roll(at[1:], -1, 1), np.roll(at[:-1], -1, 1)
    last = len(vertices) - 1
    faces = [np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)]
    faces += [np.stack([np.zeros(segments, int), at[0], np.roll(at[0], -1)], -1)]
    faces += [np.stack([np.full(segments, last), np.roll(at[-1], -1), at[-1]], -1)]
    return as_mesh(vertices, np.concatenate(faces))


def moebius(segments=24, width=0.3) -> Mesh:
    """A strip with one half twist: 2 * segments vertices and faces, one boundary, no orientation."""
    a = 2 * np.pi * np.arange(segments) / segments
    side = np.stack([np.cos(a / 2) * np.sin(a), np.sin(a / 2), np.cos(a / 2) * np.cos(a)], -1) * width / 2
    centre = np.stack([np.sin(a), 0 * a, np.cos(a)], -1)
    vertices = np.stack([centre + side, centre - side], 1).reshape(-1, 3)
    faces = []
    for i in range(segments):
        p, q = 2 * i, 2 * i + 1
        r, s = (2 * i + 2, 2 * i + 3) if i + 1 < segments else (1, 0)
        faces += [(p, q, r), (q, s, r)]
    return as_mesh(vertices, faces)


def joined(*meshes: Mesh) -> Mesh:
    """Several meshes as one, vertices and faces in order; positions only."""
    starts = np.cumsum([0, *(len(m.vertices) for m in meshes)])
    faces = [m.faces + start for m, start in zip(meshes, starts, strict=False)]
    return as_mesh(np.concatenate([m.vertices for m in meshes]), np.concatenate(faces))


def flipped(mesh: Mesh) -> Mesh:
    """The same surface seen from the other side."""
    return mesh.with_(faces=np.ascontiguousarray(mesh.faces[:, ::-1]))


def textured_box(size_px=64) -> Mesh:
    """A unit box whose sides have a colour each: 24 vertices (8 positions), texture of 3 x 2 flat fields, seen 0..1."""
    solid = box()
    vertices, faces, uv, seen = [], [], [], []
    for side in range(6):
        a, b, c = solid.faces[2 * side]
        d = solid.faces[2 * side + 1][2]
        u, v = (side % 3) / 3, (side // 3) / 2
        faces += [
            [len(vertices), len(vertices) + 1, len(vertices) + 2],
            [len(vertices), len(vertices) + 2, len(vertices) + 3],
        ]
        vertices += [solid.vertices[k] for k in (a, b, c, d)]
        uv += [(u + s / 3, v + t / 2) for s, t in ((0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8))]
        seen += [side / 5] * 4
    material = Material(base_color_texture=side_texture(size_px), roughness=0.7, name="paint")
    normals = np.repeat(solid.face_normals()[::2], 4, axis=0)
    return as_mesh(
        vertices, faces, uv=np.float32(uv), seen=np.float32(seen), normals=normals, material=material, name="box"
    )


#: sRGB colours of the sides of ``textured_box``.
SIDE_COLORS = np.array(
    [[200, 30, 40], [20, 180, 60], [30, 60, 220], [230, 200, 10], [120, 20, 160], [250, 250, 250]], np.uint8
)


def side_texture(size_px: int) -> np.ndarray:
    """(2 s, 3 s, 3) uint8: the six colours as flat fields."""
    fields = SIDE_COLORS.reshape(2, 3, 3)
    return np.repeat(np.repeat(fields, size_px, axis=0), size_px, axis=1)


def _wrapped_grid(rows: int, columns: int) -> np.ndarray:
    at = np.arange(rows * columns).reshape(rows, columns)
    right, down = np.roll(at, -1, 1), np.roll(at, -1, 0)
    both = np.roll(right, -1, 0)
    return np.concatenate(
        [np.stack([at, down, both], -1).reshape(-1, 3), np.stack([at, both, right], -1).reshape(-1, 3)]
    )


# --- surfaces as a network makes them: signed distances on a grid, marched --------------------------------------------


def ball(radius=0.4, centre=(0.0, 0.0, 0.0)):
    """Signed distance of a sphere as a function of points (..., 3)."""
    return lambda p: np.linalg.norm(p - np.array(centre), axis=-1) - radius


def brick(half=(0.3, 0.3, 0.3), centre=(0.0, 0.0, 0.0)):
    """Signed distance of a box with the given half extents."""

    def distance(p):
        q = np.abs(p - np.array(centre)) - np.array(half)
        return np.linalg.norm(np.maximum(q, 0), axis=-1) + np.minimum(q.max(-1), 0)

    return distance


def ring(radius=0.3, tube=0.1, centre=(0.0, 0.0, 0.0)):
    """Signed distance of a torus about the z axis."""

    def distance(p):
        x, y, z = np.moveaxis(p - np.array(centre), -1, 0)
        return np.hypot(np.hypot(x, y) - radius, z) - tube

    return distance


def drum(radius=0.3, half=0.35):
    """Signed distance of an upright cylinder."""

    def distance(p):
        across, along = np.hypot(p[..., 0], p[..., 2]) - radius, np.abs(p[..., 1]) - half
        return np.hypot(np.maximum(across, 0), np.maximum(along, 0)) + np.minimum(np.maximum(across, along), 0)

    return distance


def both(*shapes):
    """Signed distance of a union."""
    return lambda p: np.minimum.reduce([shape(p) for shape in shapes])


def without(shape, hole):
    """Signed distance bound of a shape with another cut out."""
    return lambda p: np.maximum(shape(p), -hole(p))


def marched(shape, cells=48, reach=0.55, paint=None) -> Mesh:
    """Marching cubes of a signed distance on cells + 1 samples over [-reach, reach]^3, outward.

    What reaches over the border is left open there. paint: sRGB colours (..., 3) as a function of points.
    """
    from skimage.measure import marching_cubes

    axis = np.linspace(-reach, reach, cells + 1)
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1)
    vertices, faces, _, _ = marching_cubes(shape(points).astype(np.float32), 0.0)
    vertices = (vertices / cells * 2 - 1) * reach
    colors = None if paint is None else np.asarray(paint(vertices), np.float32)
    return as_mesh(vertices, faces, colors=colors)


def waves(points) -> np.ndarray:
    """Smooth sRGB colours in [0.2, 0.8] that differ everywhere on things of about unit size."""
    p = np.asarray(points, np.float64)
    return 0.5 + 0.3 * np.sin(np.stack([7 * p[..., 0] + 1, 6 * p[..., 1] + 2, 5 * p[..., 2] + 3 * p[..., 0]], -1))


#: sRGB of what is printed below, and of what it is printed on.
INK, GROUND = (0.1, 0.05, 0.15), (0.8, 0.65, 0.45)


def stripes(points) -> np.ndarray:
    """Level bands of two colours, seven to a unit of height."""
    return np.where(np.sin(2 * np.pi * 7 * np.asarray(points)[..., 1:2]) > 0, (0.15, 0.3, 0.6), (0.85, 0.8, 0.7))


def face(points) -> np.ndarray:
    """Two eyes and a mouth on the side of +z, the rest plain."""
    p = np.asarray(points, np.float64)
    x, y = p[..., 0], p[..., 1]
    eyes = np.hypot(np.abs(x) - 0.12, y - 0.1) < 0.045
    mouth = (np.abs(x) < 0.13) & (np.abs(y + 0.12 - 2 * x**2) < 0.025)
    return np.where(((eyes | mouth) & (p[..., 2] > 0))[..., None], INK, GROUND)


def printed(points) -> np.ndarray:
    """A few unlike strokes (an L, a slash and a ring) on the side of +z, the rest plain."""
    p = np.asarray(points, np.float64)
    x, y = p[..., 0], p[..., 1]
    letter = ((np.abs(x + 0.17) < 0.025) & (np.abs(y) < 0.13)) | (
        (np.abs(y + 0.11) < 0.025) & (np.abs(x + 0.12) < 0.07)
    )
    slash = (np.abs(x - 0.4 * y) < 0.025) & (np.abs(y) < 0.13)
    ring = np.abs(np.hypot(x - 0.16, y) - 0.08) < 0.025
    return np.where(((letter | slash | ring) & (p[..., 2] > 0))[..., None], INK, GROUND)


def traced(shape, camera, paint, background=(0.9, 0.1, 0.9)):
    """A Capture: a signed distance sphere-traced, unlit, on a flat background; mask and camera are known."""
    from liftform.capture import Capture, Mask, Photo

    origin, directions = camera.rays()
    unit = directions / np.linalg.norm(directions, axis=-1, keepdims=True)
    travelled = np.zeros(unit.shape[:2])
    for _ in range(80):
        travelled += np.clip(shape(origin + travelled[..., None] * unit), -0.1, 0.5)
    hit = np.abs(shape(origin + travelled[..., None] * unit)) < 1e-3
    color = np.where(hit[..., None], paint(origin + travelled[..., None] * unit), background).astype(np.float32)
    alpha = hit.astype(np.float32)
    foreground = np.where(hit[..., None], color, 0).astype(np.float32)
    return Capture((Photo(color, alpha=alpha, mask=Mask(alpha, foreground, 1.0), camera=camera),))


def room_depth(camera, width=4.0, height=2.7, back=4.0, floor=-1.4) -> np.ndarray:
    """z-depth (H, W) of an empty room around a camera at the origin: floor, ceiling, sides, and the back wall (-Z)."""
    _, rays = camera.rays()
    with np.errstate(divide="ignore"):
        planes = [
            np.where(rays[..., 1] < 0, floor / rays[..., 1], np.inf),
            np.where(rays[..., 1] > 0, (floor + height) / rays[..., 1], np.inf),
            np.abs(width / 2 / rays[..., 0]),
            np.where(rays[..., 2] < 0, -back / rays[..., 2], np.inf),
        ]
    return np.min(planes, axis=0)


# --- assets with everything -----------------------------------------------------------------------------------------


def noise(seed, *shape):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def full_material():
    """Every map and factor that a material can have; roughness and metallic maps of different size."""
    return Material(
        noise(0, 8, 8, 4),
        (1.0, 0.5, 1.0, 1.0),
        metallic=1.0,
        roughness=1.0,
        double_sided=True,
        name="skin",
        normal_texture=noise(1, 8, 8, 3),
        occlusion_texture=noise(2, 8, 8),
        roughness_texture=noise(3, 8, 8),
        metallic_texture=noise(4, 8, 8),
        emissive=(2.0, 1.0, 0.0),
        emissive_texture=noise(5, 8, 8, 3),
        alpha_mode="mask",
        alpha_cutoff=0.25,
    )


def two_materials():
    """The textured box with six quads: three sides of one material with every map, three painted red."""
    red = Material(base_color=(1.0, 0.0, 0.0, 1.0), name="red paint")
    which = np.repeat([0, 1], 6).astype(np.int32)
    return textured_box().with_(
        material=None,
        materials=(full_material(), red),
        face_material=which,
        quads=6,
        metadata={"scale": {"unit": "metre"}},
    )


def family():
    """A model with a level of detail and two collision parts."""
    return Model(two_materials(), (textured_box(),), (box(), box((0.5, 0.5, 0.5))))


# --- scenes for several cameras, with exact depth --------------------------------------------------------------------


def solid_pattern(points, seed=0) -> np.ndarray:
    """Grey pattern (...,) in [0.1, 0.9] that fills space: noise of two sizes."""
    from scipy.ndimage import map_coordinates

    total = np.zeros(points.shape[:-1])
    for size, share in ((0.045, 0.5), (0.16, 0.5)):
        lattice = np.random.default_rng([seed, int(size * 1000)]).random((40, 40, 40))
        total += share * map_coordinates(lattice, np.moveaxis(points / size, -1, 0), order=1, mode="grid-wrap")
    return np.clip(0.1 + 0.8 * (total - 0.5) * 2.2 + 0.4, 0.05, 0.95)


def ball_on_floor(camera, radius=0.4, floor=True, seed=0):
    """A patterned sphere about (0, radius, 0) on the patterned floor y = 0: image (H, W, 3), z (H, W) with NaN where
    nothing is, mask of the sphere (H, W), normals (H, W, 3) in the camera frame."""
    origin, rays = camera.rays()
    centre = np.array([0, radius, 0.0])
    a, b = (rays**2).sum(-1), ((origin - centre) * rays).sum(-1)
    inside = b**2 - a * (((origin - centre) ** 2).sum() - radius**2)
    with np.errstate(invalid="ignore", divide="ignore"):
        t = np.where(inside > 0, (-b - np.sqrt(np.maximum(inside, 0))) / a, np.nan)
        down = np.where(rays[..., 1] < 0, -origin[1] / rays[..., 1], np.nan)
    ball = np.isfinite(t)
    if floor:
        t = np.where(ball, t, np.where(down < 8, down, np.nan))
    points = origin + np.nan_to_num(t)[..., None] * rays
    image = np.where(np.isfinite(t), solid_pattern(points, seed), 0.5)
    normals = np.where(ball[..., None], (points - centre) / radius, [0, 1.0, 0]) @ camera.world_from_camera[:3, :3]
    return np.repeat(image[..., None], 3, -1).astype(np.float32), t.astype(np.float32), ball, normals
