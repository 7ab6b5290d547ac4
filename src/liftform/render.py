"""Pictures of meshes by ray casting (Embree), without a GPU or a window: for previews, baking, measuring and tests."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from .appearance import sample_linear
from .assets import FloatArray, Mesh
from .camera import Camera
from .conventions import linear_to_srgb, srgb_to_linear
from .errors import UsageError
from .topology import merge_map

Shading = Literal["textured", "clay", "normals", "seen", "unlit"]
Color = tuple[float, float, float]

#: sRGB colours of the "seen" map, apart also for the colour-blind (Okabe and Ito): blue was seen, orange invented.
SEEN_COLOR: Color = (0.00, 0.45, 0.70)
INVENTED_COLOR: Color = (0.90, 0.62, 0.00)
CLAY_COLOR: Color = (0.80, 0.79, 0.77)

#: Towards the soft headlight, in the camera frame: over the viewer's left shoulder.
_HEADLIGHT = np.array([-0.40, -0.55, -0.73], np.float32)
#: Corners bent more than 40 degrees (this is the cosine) from their face are shaded flat: boxes keep their edges.
_CREASE_COS = 0.766
#: Neighbouring pixels that differ by more than this (linear) are refined when supersampling.
_EDGE = 0.1


@dataclass(frozen=True)
class Hits:
    """Where rays met the mesh.

    face (N,) int32, -1 where nothing was met. barycentric (N, 3) float32, weights of the face's corners.
    distance (N,) float32 in lengths of the ray's direction, infinite where nothing was met.
    front (N,) bool: whether the face's outside was met.
    """

    face: NDArray[np.int32]
    barycentric: FloatArray
    distance: FloatArray
    front: NDArray[np.bool_]

    @property
    def found(self) -> NDArray[np.bool_]:
        """(N,): whether the ray met anything."""
        return self.face >= 0

    def at(self, index: NDArray[Any]) -> Hits:
        """The hits of some of the rays (boolean mask or indices)."""
        return Hits(self.face[index], self.barycentric[index], self.distance[index], self.front[index])


@dataclass(frozen=True)
class Rendering:
    """One rendered view.

    image (H, W, 4) float32 sRGB-encoded, straight alpha. The rest is taken at the pixel centres:
    depth (H, W) float32 z-distance, NaN outside. normals (H, W, 3) float32 unit in the camera frame, as the mesh
    is wound (pointing away from the camera on back faces), zero outside. face (H, W) int32, -1 outside.
    barycentric (H, W, 3) float32.
    """

    image: FloatArray
    depth: FloatArray
    normals: FloatArray
    face: NDArray[np.int32]
    barycentric: FloatArray

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(H, W): whether the pixel's centre shows the mesh."""
        return self.face >= 0


class Scene:
    """A mesh made ready for rays; keep it to render many views of the same mesh."""

    def __init__(self, mesh: Mesh) -> None:
        """Build the ray tree; raises InputError when the mesh is not valid."""
        from embreex.mesh_construction import TriangleMesh
        from embreex.rtcore_scene import EmbreeScene

        self.mesh = mesh.validate()
        self._centre = mesh.bounds.astype(np.float64).mean(0)
        vertices = np.ascontiguousarray(mesh.vertices - self._centre, np.float32)
        self._tree = EmbreeScene()
        self._triangles = TriangleMesh(self._tree, vertices, np.ascontiguousarray(mesh.faces))
        nowhere = np.ones((1, 3), np.float32)
        self._tree.run(nowhere, nowhere)  # the first call builds the tree; later ones may come from threads

    def cast(self, origins: NDArray[np.floating], directions: NDArray[np.floating]) -> Hits:
        """First hits of rays: origins (N, 3) or (3,), directions (N, 3), in the mesh's frame; both sides count."""
        d = np.ascontiguousarray(directions, np.float32)
        o = np.ascontiguousarray(np.broadcast_to(np.asarray(origins) - self._centre, d.shape), np.float32)
        if len(d) == 0:
            none = np.zeros(0, np.float32)
            return Hits(none.astype(np.int32), np.zeros((0, 3), np.float32), none, none.astype(bool))
        raw = self._tree.run(o, d, output=True)
        face = raw["primID"].astype(np.int32, copy=False)
        bary = np.stack([1.0 - raw["u"] - raw["v"], raw["u"], raw["v"]], -1)
        front = np.einsum("ij,ij->i", raw["Ng"], d) < 0
        return Hits(face, bary, np.where(face >= 0, raw["tfar"], np.float32(np.inf)), front)

    def occluded(self, origins: NDArray[np.floating], directions: NDArray[np.floating]) -> NDArray[np.bool_]:
        """(N,): whether each ray meets the mesh at all; quicker than cast."""
        d = np.ascontiguousarray(directions, np.float32)
        o = np.ascontiguousarray(np.broadcast_to(np.asarray(origins) - self._centre, d.shape), np.float32)
        return np.asarray(self._tree.run(o, d, query="OCCLUDED")) >= 0 if len(d) else np.zeros(0, bool)

    def interpolate(self, values: NDArray[np.floating], hits: Hits) -> FloatArray:
        """Values per vertex (V,) or (V, C), or per corner (F, 3, C), at hits that all found something."""
        corners = values[hits.face] if values.ndim == 3 else values[self.mesh.faces[hits.face]]
        return np.asarray(np.einsum("ij...,ij->i...", corners, hits.barycentric), np.float32)

    @functools.cached_property
    def corner_normals(self) -> FloatArray:
        """(F, 3, 3) unit normals of every face's corners: smooth over the surface, flat at creases."""
        flat = self.mesh.face_normals()[:, None]
        of_vertex = smooth_normals(self.mesh) if self.mesh.normals is None else self.mesh.normals
        corners = of_vertex[self.mesh.faces]
        if self.mesh.normals is not None:
            return corners
        return np.where((corners * flat).sum(-1, keepdims=True) >= _CREASE_COS, corners, flat)

    @functools.cached_property
    def texture_linear(self) -> FloatArray | None:
        """The base colour texture (H, W, 3) in linear light, or None."""
        material = self.mesh.material
        if material is None or material.base_color_texture is None or self.mesh.uv is None:
            return None
        decoded = srgb_to_linear(np.arange(256, dtype=np.float32) / 255.0)
        return np.asarray(decoded[material.base_color_texture[..., :3]], np.float32)

    @functools.cached_property
    def colors_linear(self) -> FloatArray | None:
        """The vertex colours (V, 3) in linear light, or None."""
        return None if self.mesh.colors is None else srgb_to_linear(self.mesh.colors)

    def base_color_linear(self, hits: Hits) -> FloatArray:
        """Unlit colour (N, 3) at hits that all found something: texture, else vertex colours, else the factor."""
        if self.mesh.face_material is not None:
            return self._of_several(hits, self.mesh.face_material[hits.face])
        material = self.mesh.material
        factor = np.array(material.base_color[:3] if material else (0.8, 0.8, 0.8), np.float32)
        if self.texture_linear is not None and self.mesh.uv is not None:
            return sample_bilinear(self.texture_linear, self.interpolate(self.mesh.uv, hits)) * factor
        if self.colors_linear is not None:
            return self.interpolate(self.colors_linear, hits)
        return np.broadcast_to(factor, (len(hits.face), 3))

    def _of_several(self, hits: Hits, index: NDArray[np.int32]) -> FloatArray:
        """The same where materials (N,) differ; textures are decoded where they are looked at, not whole."""
        plain = self.colors_linear
        out = np.ones((len(index), 3), np.float32) if plain is None else self.interpolate(plain, hits)
        for number, material in enumerate(self.mesh.materials):
            mine = np.flatnonzero(index == number)
            if len(mine) and material.base_color_texture is not None and self.mesh.uv is not None:
                out[mine] = sample_linear(material.base_color_texture, self.interpolate(self.mesh.uv, hits.at(mine)))
            out[mine] *= np.array(material.base_color[:3], np.float32)
        return out

    def render(
        self,
        camera: Camera,
        shading: Shading = "textured",
        background: Color | None = None,
        supersample: int = 1,
    ) -> Rendering:
        """See ``render``."""
        if shading not in get_args(Shading):
            raise UsageError(f"no shading named {shading!r}", f"known: {', '.join(get_args(Shading))}")
        x, y = _covered_pixels(self.mesh, camera)
        hits = self.cast(camera.position, _directions(camera, x + 0.5, y + 0.5))
        found = np.flatnonzero(hits.found)
        met = hits.at(found)
        normals = self._camera_normals(met, camera)
        color = np.zeros((len(x), 4), np.float32)
        color[found] = self._shaded(met, normals, camera, shading)
        if supersample > 1:
            _refine_edges(self, camera, shading, supersample, (x, y), color)
        picture = np.broadcast_to(_encoded(np.zeros((1, 4), np.float32), background), (camera.height, camera.width, 4))
        image = _placed(picture.copy(), (y, x), _encoded(color, background))
        at, shape = (y[found], x[found]), (camera.height, camera.width)
        return Rendering(
            image=image,
            depth=_placed(np.full(shape, np.nan, np.float32), at, met.distance),
            normals=_placed(np.zeros((*shape, 3), np.float32), at, normals),
            face=_placed(np.full(shape, -1, np.int32), at, met.face),
            barycentric=_placed(np.zeros((*shape, 3), np.float32), at, met.barycentric),
        )

    def _shaded(self, hits: Hits, normals: FloatArray, camera: Camera, shading: Shading) -> FloatArray:
        """Opaque linear RGBA (N, 4) of hits that all found something; normals in the camera frame."""
        out = np.ones((len(hits.face), 4), np.float32)
        out[:, :3] = self._color(hits, np.where(hits.front[:, None], normals, -normals), camera, shading)
        return out

    def _color(self, hits: Hits, normals: FloatArray, camera: Camera, shading: Shading) -> FloatArray:
        """Linear RGB (N, 3); normals on the side that the camera sees."""
        if shading == "unlit":
            return self.base_color_linear(hits)
        if shading == "normals":
            return srgb_to_linear(normals * np.array([0.5, -0.5, -0.5], np.float32) + 0.5)
        light = _light(normals, camera, strength=0.7 if shading == "textured" else 1.0)[:, None]
        if shading == "clay":
            return srgb_to_linear(np.array(CLAY_COLOR, np.float32)) * light
        if shading == "seen":
            return self._seen_color(hits) * light
        return self.base_color_linear(hits) * light

    def _seen_color(self, hits: Hits) -> FloatArray:
        if self.mesh.seen is None:
            return np.broadcast_to(srgb_to_linear(np.array(CLAY_COLOR, np.float32)), (len(hits.face), 3))
        seen = self.interpolate(self.mesh.seen, hits)[:, None]
        ends = srgb_to_linear(np.array([INVENTED_COLOR, SEEN_COLOR], np.float32))
        return np.asarray(ends[0] + (ends[1] - ends[0]) * seen, np.float32)

    def _camera_normals(self, hits: Hits, camera: Camera) -> FloatArray:
        n = self.interpolate(self.corner_normals, hits) @ camera.world_from_camera[:3, :3].astype(np.float32)
        return np.asarray(n / np.maximum(np.linalg.norm(n, axis=1, keepdims=True), 1e-12), np.float32)


def render(
    mesh: Mesh,
    camera: Camera,
    shading: Shading = "textured",
    background: Color | None = None,
    supersample: int = 1,
) -> Rendering:
    """Render a mesh as ``camera`` sees it; both sides of a face are drawn.

    shading: "textured" (base colour under a soft headlight and a hemisphere of sky), "clay", "normals" (camera frame,
    red right, green up, blue towards the viewer), "seen" (blue where the picture showed the surface, orange where it
    was invented), "unlit" (base colour alone: what to compare with photos). background: sRGB, or None for
    transparent. supersample: pixels on edges are averaged over supersample^2 rays. Raises InputError for a mesh that
    is not valid, UsageError for an unknown shading.
    """
    return Scene(mesh).render(camera, shading, background, supersample)


def render_views(
    scene: Scene,
    cameras: Sequence[Camera],
    shading: Shading = "textured",
    background: Color | None = None,
    supersample: int = 1,
) -> list[Rendering]:
    """Several views of one scene, rendered in parallel threads."""
    _ = scene.corner_normals, scene.texture_linear  # made once, before the threads start
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda camera: scene.render(camera, shading, background, supersample), cameras))


def orbit_cameras(
    mesh: Mesh,
    views: Sequence[tuple[float, float]],
    size_px: int = 384,
    yfov: float = np.radians(30.0),
    margin: float = 0.06,
) -> list[Camera]:
    """Square cameras at (azimuth, elevation) radians that all frame the whole mesh from one common distance.

    Azimuth 0 looks at the front (+Z), growing towards +X; ``margin`` is the free share of the picture at each border.
    """
    centre = mesh.bounds.astype(np.float64).mean(0)
    points = mesh.vertices - centre
    reach = np.tan(yfov / 2) * (1 - 2 * margin)
    distance = 1e-6
    for azimuth, elevation in views:
        p = points @ Camera.orbit(size_px, yfov, azimuth, elevation, 0.0).world_from_camera[:3, :3]
        distance = max(distance, float((np.abs(p[:, :2]).max(1) / reach - p[:, 2]).max()))
    to_centre = np.eye(4)
    to_centre[:3, 3] = centre
    return [Camera.orbit(size_px, yfov, a, e, distance).moved(to_centre) for a, e in views]


def smooth_normals(mesh: Mesh) -> FloatArray:
    """Angle-weighted unit vertex normals (V, 3) (Thürmer and Wüthrich 1998), so that how a side is cut into triangles
    does not matter; vertices at the same position (texture seams) share theirs."""
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    edges = np.roll(corners, -1, axis=1) - corners
    edges /= np.maximum(np.linalg.norm(edges, axis=-1, keepdims=True), 1e-30)
    cosines = -np.einsum("ijk,ijk->ij", edges, np.roll(edges, 1, axis=1))
    weighted = np.arccos(np.clip(cosines, -1, 1))[..., None] * mesh.face_normals()[:, None]
    first, place = merge_map(mesh.vertices)
    index = place[mesh.faces].ravel()
    total = np.stack([np.bincount(index, weighted[..., k].ravel(), len(first)) for k in range(3)], -1)
    return np.asarray(total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-30), np.float32)[place]


def sample_bilinear(texture: FloatArray, uv: NDArray[np.floating]) -> FloatArray:
    """Texture (H, W, C) at uv (N, 2), origin top-left, repeated outside [0, 1] as glTF does by default."""
    height, width = texture.shape[:2]
    x, y = uv[:, 0] * width - 0.5, uv[:, 1] * height - 0.5
    x0, y0 = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    fx, fy = (x - x0)[:, None].astype(np.float32), (y - y0)[:, None].astype(np.float32)
    left, right, top, bottom = x0 % width, (x0 + 1) % width, y0 % height * width, (y0 + 1) % height * width
    flat = texture.reshape(-1, texture.shape[2])
    above = flat[top + left] * (1 - fx) + flat[top + right] * fx
    below = flat[bottom + left] * (1 - fx) + flat[bottom + right] * fx
    return np.asarray(above * (1 - fy) + below * fy, np.float32)


def _covered_pixels(mesh: Mesh, camera: Camera) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """x and y (N,) of the pixels in the projected bounding rectangle; all pixels when the mesh reaches behind."""
    pixels, depth = camera.project(mesh.vertices)
    low, high = np.array([0, 0]), np.array([camera.width, camera.height])
    if depth.min() > 1e-9:
        box = np.clip([pixels.min(0) - 1, pixels.max(0) + 1], -1e9, 1e9)
        low, high = np.maximum(low, np.floor(box[0])), np.minimum(high, np.ceil(box[1]))
    spans = [np.arange(a, max(a, b), dtype=np.int64) for a, b in zip(low, high, strict=True)]
    x, y = np.meshgrid(*spans)
    return x.ravel(), y.ravel()


def _directions(camera: Camera, x_px: NDArray[np.floating], y_px: NDArray[np.floating]) -> FloatArray:
    """World directions (N, 3), one unit of z-depth long, through points of the picture."""
    right, down, forward = camera.world_from_camera[:3, :3].T.astype(np.float32)
    x = ((x_px - camera.cx) / camera.fx).astype(np.float32)
    y = ((y_px - camera.cy) / camera.fy).astype(np.float32)
    return np.stack([x * right[k] + (y * down[k] + forward[k]) for k in range(3)], -1)


def _light(normals: FloatArray, camera: Camera, strength: float) -> FloatArray:
    """Light (N,) on camera-frame normals: wrapped headlight plus a hemisphere, about 1 where the light falls full."""
    up = (camera.camera_from_world[:3, 1]).astype(np.float32)
    key = np.clip(normals @ _HEADLIGHT * 0.8 + 0.2, 0.0, 1.0)
    sky = 0.5 + 0.5 * (normals @ up)
    light = 0.06 + 0.74 * key + 0.30 * sky
    return np.asarray(1.0 + strength * (light - 1.0), np.float32)


def _refine_edges(
    scene: Scene,
    camera: Camera,
    shading: Shading,
    supersample: int,
    pixels: tuple[NDArray[np.int64], NDArray[np.int64]],
    color: FloatArray,
) -> None:
    """Replace in ``color`` (N, 4) the pixels that differ from a neighbour by the mean of a finer grid of rays."""
    x, y = pixels
    if len(x) == 0:
        return
    grid = color.reshape(y[-1] - y[0] + 1, x[-1] - x[0] + 1, 4)
    edge = np.zeros(grid.shape[:2], bool)
    across = np.abs(np.diff(grid, axis=1)).max(-1) > _EDGE
    down = np.abs(np.diff(grid, axis=0)).max(-1) > _EDGE
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    edge[1:] |= down
    edge[:-1] |= down
    chosen = np.flatnonzero(edge)
    total = np.zeros((len(chosen), 4), np.float32)
    for dx, dy in _subpixels(supersample):
        hits = scene.cast(camera.position, _directions(camera, x[chosen] + dx, y[chosen] + dy))
        found = np.flatnonzero(hits.found)
        met = hits.at(found)
        total[found] += scene._shaded(met, scene._camera_normals(met, camera), camera, shading)
    color[chosen] = total / supersample**2


def _subpixels(supersample: int) -> Iterator[tuple[float, float]]:
    steps = (np.arange(supersample) + 0.5) / supersample
    return ((float(dx), float(dy)) for dy in steps for dx in steps)


def _placed(picture: Any, at: tuple[NDArray[np.int64], NDArray[np.int64]], values: Any) -> Any:
    """``picture`` (H, W, ...) with ``values`` written at (rows, columns)."""
    picture[at] = values
    return picture


def _encoded(premultiplied_linear: FloatArray, background: Color | None) -> FloatArray:
    """Premultiplied linear RGBA (N, 4) to sRGB straight alpha, or over an opaque background."""
    color, alpha = premultiplied_linear[:, :3], premultiplied_linear[:, 3:]
    if background is not None:
        color = color + (1 - alpha) * srgb_to_linear(np.array(background, np.float32))
        alpha = np.ones_like(alpha)
    straight = np.asarray(color / np.maximum(alpha, 1e-6), np.float32)
    return np.concatenate([linear_to_srgb(straight), alpha], -1)
