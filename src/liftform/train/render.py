"""Headless rendering for training: textured views with depth, normals and mask, lit softly at random.

Two rasterisers answer alike: moderngl on EGL (llvmpipe or a GPU), and a numba z-buffer where there is no GL.
Both give unlit surface buffers (G-buffers); ``relight`` turns them into pictures with a sky, a sun, gloss and
ray-traced ambient occlusion and shadow, so that one mesh gives many different photographs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..camera import Camera
from ..conventions import linear_to_srgb, srgb_to_linear
from ..errors import MissingExtraError

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Surface:
    """A mesh ready for rendering, in any frame: one triangle soup with one texture.

    corners (F, 3, 3) float32 positions; normals (F, 3, 3) float32 unit; uv (F, 3, 2) float32, origin top-left;
    texture (H, W, 3) uint8 sRGB; tint (F, 3, 3) float32 linear colour factor at the corners.
    """

    corners: FloatArray
    normals: FloatArray
    uv: FloatArray
    texture: NDArray[np.uint8]
    tint: FloatArray


@dataclass(frozen=True)
class GBuffer:
    """Unlit view: albedo (H, W, 3) linear, alpha (H, W), depth (H, W) z-distance with NaN outside,
    normals (H, W, 3) in the world frame, facing the camera."""

    albedo_linear: FloatArray
    alpha: FloatArray
    depth: FloatArray
    normals: FloatArray


class Rasteriser(Protocol):
    """Anything that turns a Surface and a Camera into a GBuffer."""

    def load(self, surface: Surface) -> None:
        """Make ``surface`` the one that is drawn."""

    def draw(self, camera: Camera, supersample: int = 2) -> GBuffer:
        """The loaded surface from ``camera``."""


def rasteriser() -> Rasteriser:
    """moderngl on EGL where it works, else the numba z-buffer."""
    try:
        return GlRasteriser()
    except Exception:  # moderngl raises plain Exception when no EGL device answers
        from .zbuffer import ZBufferRasteriser

        return ZBufferRasteriser()


_VERTEX = """
#version 330
uniform mat4 clip_from_world; uniform mat4 camera_from_world;
in vec3 position; in vec3 normal; in vec2 uv; in vec3 tint;
out vec3 v_normal; out vec2 v_uv; out vec3 v_tint; out vec3 v_camera;
void main() {
    gl_Position = clip_from_world * vec4(position, 1.0);
    v_normal = normal; v_uv = uv; v_tint = tint;
    v_camera = (camera_from_world * vec4(position, 1.0)).xyz;
}
"""

_FRAGMENT = """
#version 330
uniform sampler2D image; uniform vec3 eye_axis_x; uniform vec3 eye_axis_y; uniform vec3 eye_axis_z;
in vec3 v_normal; in vec2 v_uv; in vec3 v_tint; in vec3 v_camera;
layout(location = 0) out vec4 out_albedo; layout(location = 1) out vec4 out_geometry;
void main() {
    vec3 n = normalize(v_normal);
    vec3 ray = normalize(eye_axis_x * v_camera.x + eye_axis_y * v_camera.y + eye_axis_z * v_camera.z);
    if (dot(n, ray) > 0.0) n = -n;
    vec3 texel = texture(image, v_uv).rgb;
    vec3 linear = mix(texel / 12.92, pow((texel + 0.055) / 1.055, vec3(2.4)), step(0.04045, texel));
    out_albedo = vec4(linear * v_tint, 1.0);
    out_geometry = vec4(n, v_camera.z);
}
"""


class GlRasteriser:
    """moderngl on an EGL context: hundreds of frames a second at 256 px even in software (llvmpipe)."""

    def __init__(self) -> None:
        try:
            import moderngl
        except ImportError as error:
            raise MissingExtraError("rendering needs moderngl", "pip install 'liftform[train]'") from error
        self._gl = moderngl
        self._context = moderngl.create_context(standalone=True, backend="egl")  # type: ignore[arg-type]
        self._context.enable(moderngl.DEPTH_TEST)
        self._program = self._context.program(vertex_shader=_VERTEX, fragment_shader=_FRAGMENT)
        self._targets: dict[tuple[int, int], Any] = {}
        self._vao: Any = None
        self._held: list[Any] = []

    def load(self, surface: Surface) -> None:
        """Upload ``surface``; the previous one is released."""
        for thing in self._held:
            thing.release()
        columns = [surface.corners, surface.normals, surface.uv, surface.tint]
        data = np.concatenate([c.reshape(-1, c.shape[-1]) for c in columns], 1).astype("f4")
        buffer = self._context.buffer(data.tobytes())
        # No flip: row 0 of the picture is uploaded first and so is found at v = 0, the top, as in glTF.
        height, width = surface.texture.shape[:2]
        texture = self._context.texture(
            (width, height), 3, np.ascontiguousarray(surface.texture).tobytes(), alignment=1
        )
        texture.build_mipmaps()
        texture.filter = (self._gl.LINEAR_MIPMAP_LINEAR, self._gl.LINEAR)
        self._vao = self._context.vertex_array(
            self._program, [(buffer, "3f 3f 2f 3f", "position", "normal", "uv", "tint")]
        )
        self._texture = texture
        self._held = [self._vao, buffer, texture]

    def draw(self, camera: Camera, supersample: int = 2) -> GBuffer:
        """The loaded surface from ``camera``, antialiased by ``supersample`` squared samples a pixel."""
        width, height = camera.width * supersample, camera.height * supersample
        target = self._target(width, height)
        target.use()
        target.clear()
        world = camera.camera_from_world
        self._program["camera_from_world"].write(world.T.astype("f4").tobytes())  # type: ignore[union-attr]
        self._program["clip_from_world"].write((_clip_from_camera(camera) @ world).T.astype("f4").tobytes())  # type: ignore[union-attr]
        for i, name in enumerate(("eye_axis_x", "eye_axis_y", "eye_axis_z")):
            self._program[name].value = tuple(camera.world_from_camera[:3, i])  # type: ignore[union-attr]
        self._texture.use(0)
        self._vao.render(self._gl.TRIANGLES)
        albedo = np.frombuffer(target.read(components=4, attachment=0, dtype="f4"), "f4").reshape(height, width, 4)
        geometry = np.frombuffer(target.read(components=4, attachment=1, dtype="f4"), "f4").reshape(height, width, 4)
        return resolve(albedo, geometry, supersample)

    def _target(self, width: int, height: int) -> Any:
        if (width, height) not in self._targets:
            size = (width, height)
            colour = [self._context.texture(size, 4, dtype="f4") for _ in range(2)]
            self._targets[size] = self._context.framebuffer(colour, self._context.depth_renderbuffer(size))
        return self._targets[(width, height)]


def _clip_from_camera(camera: Camera) -> NDArray[np.float64]:
    """OpenGL clip space from the OpenCV camera, rows kept top-down (no flip when the buffer is read)."""
    near, far = 0.02, 100.0
    m = np.zeros((4, 4))
    m[0, 0], m[0, 2] = 2 * camera.fx / camera.width, 2 * camera.cx / camera.width - 1
    m[1, 1], m[1, 2] = 2 * camera.fy / camera.height, 2 * camera.cy / camera.height - 1
    m[2, 2], m[2, 3] = (far + near) / (far - near), -2 * far * near / (far - near)
    m[3, 2] = 1.0
    return m


def resolve(albedo: FloatArray, geometry: FloatArray, supersample: int) -> GBuffer:
    """Supersampled buffers (sH, sW, 4) to a GBuffer: colour averaged over what is covered, geometry likewise."""
    s = supersample
    height, width = albedo.shape[0] // s, albedo.shape[1] // s
    cover = albedo[..., 3:4]

    def mean(x: FloatArray) -> FloatArray:
        rows = (x * cover).reshape(height, s, -1).sum(1)  # whole rows first: five times faster than both at once
        return rows.reshape(height, width, s, 4).sum(2) / (s * s)

    colour, shape = mean(albedo), mean(geometry)
    alpha = colour[..., 3]
    safe = np.maximum(alpha, 1e-6)
    normal = shape[..., :3] / np.maximum(np.linalg.norm(shape[..., :3], axis=-1, keepdims=True), 1e-6)
    depth = np.where(alpha > 0.25, shape[..., 3] / safe, np.nan)
    return GBuffer(
        (colour[..., :3] / safe[..., None]).astype(np.float32),
        alpha.astype(np.float32),
        depth.astype(np.float32),
        normal.astype(np.float32),
    )


@dataclass(frozen=True)
class Light:
    """A soft sky and one sun. Directions are unit, in the world; colours linear RGB."""

    sun: FloatArray
    sun_colour: FloatArray
    sky_colour: FloatArray
    ground_colour: FloatArray
    gloss: float
    shininess: float
    exposure: float


def random_light(rng: np.random.Generator) -> Light:
    """A plausible studio, indoor or outdoor light."""
    azimuth, height = rng.uniform(-np.pi, np.pi), rng.uniform(0.15, 1.45)
    sun = np.array([np.sin(azimuth) * np.cos(height), np.sin(height), np.cos(azimuth) * np.cos(height)])
    share = rng.beta(1.2, 2.0)  # how much of the light is the sun: most scenes are mostly soft

    def warmth() -> NDArray[np.float64]:
        return np.exp(rng.normal(0, 0.08) * np.array([1.0, 0.0, -1.0]))

    return Light(
        sun.astype(np.float32),
        (2.2 * share * warmth()).astype(np.float32),
        ((1 - share) * 1.15 * warmth()).astype(np.float32),
        ((1 - share) * rng.uniform(0.25, 1.0) * warmth()).astype(np.float32),
        float(rng.choice([0.0, rng.uniform(0.02, 0.25)])),
        float(np.exp(rng.uniform(np.log(6), np.log(120)))),
        float(np.exp(rng.normal(0.2, 0.2))),
    )


def relight(
    buffer: GBuffer, camera: Camera, light: Light, occluder: Any | None, rng: np.random.Generator, rays: int = 12
) -> FloatArray:
    """A lit picture (H, W, 3) sRGB of ``buffer``; black outside.

    occluder: a trimesh mesh in the same world for ray-traced ambient occlusion and shadow, or None for none.
    """
    inside = buffer.alpha > 0.25
    normal = buffer.normals[inside]
    if occluder is None or not inside.any():
        openness, lit = np.ones(len(normal), np.float32), np.ones(len(normal), np.float32)
    else:
        openness, lit = _visibility(buffer, camera, light, occluder, rng, rays)
    up = (normal[:, 1:2] + 1) / 2
    sky = (light.sky_colour * up + light.ground_colour * (1 - up)) * openness[:, None]
    facing = np.maximum(normal @ light.sun, 0.0) * lit
    colour = buffer.albedo_linear[inside] * (sky + light.sun_colour * facing[:, None])
    colour += _gloss(buffer, camera, light, inside) * (light.gloss * lit * (0.3 + 0.7 * openness))[:, None]
    out = np.zeros_like(buffer.albedo_linear)
    out[inside] = linear_to_srgb(colour * light.exposure)
    return out


def _visibility(
    buffer: GBuffer, camera: Camera, light: Light, occluder: Any, rng: np.random.Generator, rays: int
) -> tuple[FloatArray, FloatArray]:
    """Share of open sky (smoothed over neighbours) and whether the sun is seen, per pixel inside."""
    inside = buffer.alpha > 0.25
    rows, columns = np.nonzero(inside)
    points = camera.unproject(np.stack([columns + 0.5, rows + 0.5], -1), buffer.depth[inside])
    normal = buffer.normals[inside].astype(np.float64)
    points += normal * 4e-3
    directions = rng.normal(size=(rays, len(points), 3))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    directions += normal  # cosine-weighted about the normal
    directions = np.concatenate([directions, np.broadcast_to(light.sun, (1, *points.shape))])
    origins = np.broadcast_to(points, directions.shape).reshape(-1, 3)
    blocked = occluder.ray.intersects_any(origins, directions.reshape(-1, 3)).reshape(rays + 1, -1)
    image = np.zeros(inside.shape, np.float32)
    image[inside] = 1.0 - blocked[:-1].mean(0)
    return _smooth(image, inside)[inside], _smooth_of(1.0 - blocked[-1], inside)


def _smooth_of(values: NDArray[np.floating], inside: NDArray[np.bool_]) -> FloatArray:
    image = np.zeros(inside.shape, np.float32)
    image[inside] = values
    return _smooth(image, inside)[inside]


def _smooth(image: FloatArray, inside: NDArray[np.bool_]) -> FloatArray:
    """3 x 3 mean over the pixels inside: a cheap denoiser for few rays."""
    from scipy.ndimage import uniform_filter

    weight = np.maximum(uniform_filter(inside.astype(np.float32), 3), 1e-6)
    return (uniform_filter(image, 3) / weight).astype(np.float32)


def _gloss(buffer: GBuffer, camera: Camera, light: Light, inside: NDArray[np.bool_]) -> FloatArray:
    """Blinn-Phong highlight (N, 3) of the sun, with a broad one for the sky (Blinn 1977)."""
    _, rays = camera.rays()
    to_eye = -rays[inside] / np.linalg.norm(rays[inside], axis=-1, keepdims=True)
    normal = buffer.normals[inside]

    def lobe(direction: NDArray[np.floating], power: float) -> NDArray[np.floating]:
        half = to_eye + direction
        half /= np.maximum(np.linalg.norm(half, axis=-1, keepdims=True), 1e-6)
        return np.maximum((normal * half).sum(-1), 0.0) ** power

    top = np.array([0.0, 0.9, 0.436])
    shine = lobe(light.sun, light.shininess)[:, None] * light.sun_colour * 2
    return (shine + lobe(top, light.shininess / 4)[:, None] * light.sky_colour * 0.3).astype(np.float32)


def surface_from_glb(path: str) -> tuple[Surface, Any]:
    """Read a GLB as (Surface, trimesh mesh), centred on its bounding box and scaled so its longest side is 1.

    Smooth normals within 35 degrees, flat across sharper edges. Raises ValueError for a mesh without extent.
    """
    import trimesh

    mesh: Any = trimesh.load(path, force="mesh", process=False)
    low, high = mesh.bounds
    extent = float((high - low).max())
    if not extent > 0:
        raise ValueError(f"{path}: no extent")
    vertices = (np.asarray(mesh.vertices) - (low + high) / 2) / extent
    faces = np.asarray(mesh.faces)
    plain = trimesh.Trimesh(vertices, faces, process=False)
    corners = vertices[faces].astype(np.float32)
    uv, texture, tint = _appearance(mesh, faces)
    return Surface(corners, corner_normals(corners), uv, texture, tint), plain


def corner_normals(corners: FloatArray, crease_deg: float = 35.0) -> FloatArray:
    """Corner normals (F, 3, 3): mean of the faces at the same position that lie within the crease angle."""
    from scipy.sparse import coo_matrix

    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).astype(np.float64)
    face = cross / np.maximum(np.linalg.norm(cross, axis=1, keepdims=True), 1e-20)
    _, ids = np.unique(np.round(corners.reshape(-1, 3), 5), axis=0, return_inverse=True)
    ids = ids.reshape(-1)
    n = len(ids)
    at = coo_matrix((np.ones(n), (np.arange(n), ids))).tocsr()
    degree = np.asarray(at.sum(0)).ravel()[ids]
    smooth = np.where((degree <= 32)[:, None], 0.0, np.repeat(face, 3, 0))  # crowded points stay flat: few, and cheap
    keep = np.nonzero(degree <= 32)[0]
    pairs = (at[keep] @ at[keep].T).tocoo()
    a, b = keep[pairs.row], keep[pairs.col]
    close = (face[a // 3] * face[b // 3]).sum(1) > np.cos(np.radians(crease_deg))
    np.add.at(smooth, a[close], cross[b[close] // 3])
    length = np.linalg.norm(smooth, axis=1, keepdims=True)
    smooth = np.where(length > 1e-12, smooth / np.maximum(length, 1e-12), np.repeat(face, 3, 0))
    return smooth.reshape(-1, 3, 3).astype(np.float32)


def _appearance(mesh: Any, faces: NDArray[np.integer]) -> tuple[FloatArray, NDArray[np.uint8], FloatArray]:
    """uv, texture and linear tint of a loaded GLB; white and 1 where it has none."""
    white = np.full((1, 1, 3), 255, np.uint8)
    uv = np.zeros((len(faces), 3, 2), np.float32)
    tint = np.ones((len(faces), 3, 3), np.float32)
    visual = mesh.visual
    if visual.kind == "texture" and visual.uv is not None:
        image = getattr(visual.material, "baseColorTexture", None) or getattr(visual.material, "image", None)
        factor = getattr(visual.material, "baseColorFactor", None)
        if factor is not None:
            tint *= srgb_or_linear_factor(np.asarray(factor))
        if image is not None:
            coords = np.asarray(visual.uv)[faces].astype(np.float32)
            return np.stack([coords[..., 0], 1 - coords[..., 1]], -1), np.asarray(image.convert("RGB")), tint
    elif visual.kind == "vertex":
        tint = (np.asarray(visual.vertex_colors)[faces][..., :3] / 255.0).astype(np.float32)
    return uv, white, tint


def srgb_or_linear_factor(factor: NDArray[Any]) -> FloatArray:
    """glTF factors are linear; trimesh hands them out as uint8 or float."""
    rgb = factor[:3].astype(np.float32)
    return rgb / 255.0 if factor.dtype == np.uint8 else rgb


def albedo_at(surface: Surface, faces: NDArray[np.integer], barycentric: NDArray[np.floating]) -> FloatArray:
    """Linear albedo (N, 3) at points on ``surface`` given by face index (N,) and barycentric weights (N, 3)."""
    weight = barycentric[..., None]
    uv = (surface.uv[faces] * weight).sum(1) % 1.0
    height, width = surface.texture.shape[:2]
    column = np.minimum((uv[:, 0] * width).astype(int), width - 1)
    row = np.minimum((uv[:, 1] * height).astype(int), height - 1)
    texel = srgb_to_linear(surface.texture[row, column].astype(np.float32) / 255.0)
    return (texel * (surface.tint[faces] * weight).sum(1)).astype(np.float32)
