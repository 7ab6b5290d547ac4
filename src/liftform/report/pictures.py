"""Pictures of the page: rendered views, defects in colour, wall thickness, wires, what was seen, the UV layout."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..assets import Mesh
from ..camera import Camera
from ..conventions import linear_to_srgb, srgb_to_linear, to_uint8
from ..preview import BACKGROUND, view_cameras, view_tiles
from ..render import Color, Hits, Rendering, Scene, render_views
from .defects import MARKS, Defects
from .flow import real_edges

Bytes = NDArray[np.uint8]
Floats = NDArray[np.floating]

#: Side of a rendered view in pixels, as shown at half that size on dense screens.
SIDE = 420
#: label, azimuth and elevation in degrees: two from above, one from straight behind, one from below.
VIEWS = (("front", 30.0, 18.0), ("side", 90.0, 8.0), ("back", 205.0, 18.0), ("below", 330.0, -35.0))
#: Above this many faces wires are a grey mist, and are not drawn.
WIRE_FACES = 40_000
#: Colours of thin, bearable and good walls.
WALL_COLORS: tuple[Color, Color, Color] = ((0.80, 0.16, 0.16), (0.93, 0.70, 0.24), (0.42, 0.63, 0.52))

_WEBP_QUALITY = 95
_LAYOUT_SIDE = 640
_WIRE = (0.13, 0.22, 0.36)
#: Opacity of marks that lie behind something.
_BEHIND = 0.35


@dataclass(frozen=True)
class Picture:
    """One picture of the page: its file's bytes as a data URI, size in pixels, caption, and text for the blind."""

    uri: str
    width: int
    height: int
    caption: str
    alt: str


def picture(image: Bytes, caption: str, alt: str) -> Picture:
    """An array (H, W, 3 or 4) as a WebP inside a data URI."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "WEBP", quality=_WEBP_QUALITY, method=4)
    encoded = base64.b64encode(buffer.getvalue()).decode("ascii")
    return Picture(f"data:image/webp;base64,{encoded}", image.shape[1], image.shape[0], caption, alt)


class Studio:
    """A mesh before the cameras of the page."""

    def __init__(self, mesh: Mesh, cameras: Sequence[Camera] | None = None) -> None:
        """cameras: those of another mesh's studio, to show both alike; else ones that frame this mesh."""
        self.mesh = mesh
        self.scene = Scene(mesh)
        angles = [(azimuth, elevation) for _, azimuth, elevation in VIEWS]
        self.cameras = list(cameras) if cameras is not None else view_cameras(mesh, SIDE, angles)

    def views(self, of: str) -> list[Picture]:
        """The mesh as it looks. of: what it is, for the texts."""
        tiles = view_tiles(self.scene, self.cameras)
        return self._named(tiles, f"{of}, rendered: ")

    def marked(self, found: Defects) -> list[Picture]:
        """In clay, with every kind of defect in its colour; edges that lie behind something are drawn faintly."""
        counts = ", ".join(f"{n} {MARKS[kind][0]}" for kind, n in found.counts().items() if n)
        return self._named(self._drawn(lambda camera: _marked(self.scene, camera, found)), f"Defects ({counts}): ")

    def wires(self) -> list[Picture]:
        """In clay, with the edges of its polygons, from the first and third camera."""
        edges = self.mesh.vertices[real_edges(self.mesh.faces, self.mesh.quads)]
        chosen = [0, 2]
        tiles = self._drawn(lambda camera: wired(self.scene, camera, edges), chosen)
        return self._named(tiles, "Polygons: ", chosen)

    def walls(self, thin: float, good: float) -> list[Picture]:
        """Wall thickness behind every visible point: below ``thin``, below ``good``, and above, in the mesh's unit."""
        tiles = self._drawn(lambda camera: _walled(self.scene, camera, thin, good))
        return self._named(tiles, "Wall thickness: ")

    def front(self, caption: str) -> Picture:
        """As it looks from the first camera alone."""
        (tile,) = view_tiles(self.scene, self.cameras[:1])
        return picture(tile, caption, f"The mesh with {caption}, rendered from the front")

    def parts(self, parts: Sequence[Mesh]) -> list[Picture]:
        """Other meshes in the place of this one, each in a colour of its own, from the first and third camera."""
        starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
        owner = np.repeat(np.arange(len(parts)), [len(part.faces) for part in parts])
        faces = np.concatenate([part.faces + start for part, start in zip(parts, starts, strict=False)])
        scene = Scene(Mesh(np.concatenate([part.vertices for part in parts]), faces.astype(np.int32)))
        hue = (owner * 0.618034) % 1  # golden steps: neighbours in number differ in colour
        colors = 0.62 + 0.3 * np.cos(2 * np.pi * (hue[:, None] + np.array([0, 1 / 3, 2 / 3])))
        tiles = self._drawn(lambda camera: _painted(scene, camera, colors), [0, 2])
        return self._named(tiles, "Collision shapes: ", [0, 2])

    def seen(self) -> list[Picture]:
        """Blue where the picture showed the surface, orange where it was invented."""
        views = render_views(self.scene, self.cameras, "seen", BACKGROUND, 2)
        return self._named([to_uint8(view.image[..., :3]) for view in views], "Seen in blue, invented in orange: ")

    def _drawn(self, draw: Callable[[Camera], Bytes], chosen: Sequence[int] = range(len(VIEWS))) -> list[Bytes]:
        _ = self.scene.corner_normals  # made once, before the threads start
        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(draw, [self.cameras[i] for i in chosen]))

    def _named(self, tiles: Sequence[Bytes], about: str, chosen: Sequence[int] = range(len(VIEWS))) -> list[Picture]:
        names = [VIEWS[i][0] for i in chosen]
        return [picture(tile, name, about + _from(name)) for name, tile in zip(names, tiles, strict=True)]


def uv_picture(mesh: Mesh) -> Picture | None:
    """The UV layout over its texture: outlines of the charts and, where there is room, of the faces. None without."""
    from PIL import Image, ImageDraw

    if mesh.uv is None:
        return None
    side = _LAYOUT_SIDE
    texture = next((m.base_color_texture for m in mesh.all_materials if m.base_color_texture is not None), None)
    if texture is None:
        sheet = Image.new("RGB", (2 * side, 2 * side), (236, 236, 235))
    else:
        sheet = Image.fromarray(texture[..., :3]).resize((2 * side, 2 * side), Image.Resampling.BOX)
    draw = ImageDraw.Draw(sheet)
    edges = np.sort(real_edges(mesh.faces, mesh.quads), axis=1)
    key, uses = np.unique(edges[:, 0] * len(mesh.vertices) + edges[:, 1], return_counts=True)
    ends = np.stack([key // len(mesh.vertices), key % len(mesh.vertices)], 1)
    kinds: list[tuple[NDArray[np.int64], tuple[int, int, int], int]] = [(ends[uses == 1], (214, 32, 120), 3)]
    if len(mesh.faces) <= WIRE_FACES // 4:
        kinds.insert(0, (ends[uses != 1], (120, 190, 255) if texture is not None else (150, 160, 175), 1))
    for chosen, color, width in kinds:
        for line in (mesh.uv[chosen] % 1.000001 * 2 * side).reshape(-1, 4).tolist():
            if abs(line[0] - line[2]) < side and abs(line[1] - line[3]) < side:  # not one that wraps around
                draw.line(line, fill=color, width=width)
    small = np.asarray(sheet.resize((side, side), Image.Resampling.BOX))
    alt = "The UV layout over the base colour texture: borders of charts in pink"
    return picture(small, "UV layout; borders of charts in pink", alt)


def _from(name: str) -> str:
    return {"front": "from the front", "side": "from the side", "back": "from behind"}.get(name, "from below")


def _clay(scene: Scene, camera: Camera) -> tuple[Rendering, Floats]:
    """A view in clay at twice the size, and its colours (H, W, 3) on the background, sRGB."""
    view = scene.render(camera.resized(2 * camera.width, 2 * camera.height), "clay", BACKGROUND)
    return view, view.image[..., :3].copy()


def _halved(image: Floats) -> Bytes:
    """Twice the size down to once, averaged in linear light."""
    linear = srgb_to_linear(np.asarray(image, np.float32))
    height, width = image.shape[0] // 2, image.shape[1] // 2
    return to_uint8(linear_to_srgb(linear.reshape(height, 2, width, 2, 3).mean((1, 3))))


def _marked(scene: Scene, camera: Camera, found: Defects) -> Bytes:
    view, image = _clay(scene, camera)
    for kind, faces in (("floating", found.floating), ("cutting", found.cutting)):
        where = view.mask & faces[view.face]
        image[where] = _tinted(image[where], MARKS[kind][1])
        if not where.any():  # dust, or behind something: a dot for every face
            middle = scene.mesh.vertices[scene.mesh.faces[faces]].mean(1)
            image = _with_edges(image, view, camera, np.stack([middle, middle], 1), MARKS[kind][1], 5, _BEHIND)
    for kind, edges in (("borders", found.borders), ("nonmanifold", found.nonmanifold)):
        image = _with_edges(image, view, camera, edges, MARKS[kind][1], 5, _BEHIND)
    return _halved(image)


def wired(scene: Scene, camera: Camera, edges: Floats) -> Bytes:
    """A view in clay with edges (E, 2, 3) drawn where they show, at half the camera's size."""
    view, image = _clay(scene, camera)
    return _halved(_with_edges(image, view, camera, edges, _WIRE, 1, 0.0))


def _painted(scene: Scene, camera: Camera, colors: Floats) -> Bytes:
    """Every face in its colour (F, 3), sRGB."""
    view, image = _clay(scene, camera)
    image[view.mask] = _tinted(image[view.mask], colors[view.face[view.mask]])
    return _halved(image)


def _walled(scene: Scene, camera: Camera, thin: float, good: float) -> Bytes:
    """A ray goes inwards from every pixel to the far side of the wall; see ``solid.walls`` for the measured figures."""
    view, image = _clay(scene, camera)
    at = np.nonzero(view.mask)
    hits = Hits(view.face[at], view.barycentric[at], view.depth[at], np.ones(len(at[0]), bool))
    normals = scene.mesh.face_normals()[hits.face]
    points = scene.interpolate(scene.mesh.vertices, hits)
    step = 1e-5 * float(np.ptp(scene.mesh.bounds, axis=0).max())
    far = scene.cast(points - normals * step, -normals).distance
    colors = np.array(WALL_COLORS, np.float32)[np.searchsorted([thin, good], far, side="right")]
    measured = np.isfinite(far)
    rows, columns = at[0][measured], at[1][measured]
    image[rows, columns] = _tinted(image[rows, columns], colors[measured])
    return _halved(image)


def _tinted(clay: Floats, color: Color | Floats) -> Floats:
    """A colour in the light of the clay that it covers."""
    return np.clip(np.asarray(color) * (clay / 0.80), 0, 1)


def _with_edges(
    image: Floats, view: Rendering, camera: Camera, edges: Floats, color: Color, width: int, hidden: float
) -> Floats:
    """Draw edges (E, 2, 3); those behind something with the opacity ``hidden``; marks too short to see as dots."""
    from PIL import Image, ImageDraw

    if not len(edges):
        return image
    large = camera.resized(image.shape[1], image.shape[0])
    pixels, depth = large.project(edges)
    visible = _visible(view, pixels.mean(1), depth.mean(1))
    for chosen, opacity in ((~visible, hidden), (visible, 1.0)):
        if opacity and chosen.any():
            mask = Image.new("L", (image.shape[1], image.shape[0]))
            draw = ImageDraw.Draw(mask)
            for x0, y0, x1, y1 in pixels[chosen].reshape(-1, 4).tolist():
                draw.line((x0, y0, x1, y1), fill=255, width=width)
                if width > 1 and abs(x1 - x0) + abs(y1 - y0) < 2 * width:
                    draw.ellipse((x0 - width, y0 - width, x0 + width, y0 + width), fill=255)
            cover = np.asarray(mask, np.float32)[..., None] / 255 * opacity
            image = image * (1 - cover) + np.asarray(color, np.float32) * cover
    return image


def _visible(view: Rendering, pixels: Floats, depth: Floats) -> NDArray[np.bool_]:
    """Whether points (N, 2) at a z-depth (N,) lie in front of, or on, what the view shows around them."""
    height, width = view.depth.shape
    x, y = (np.clip(pixels[:, k].astype(int), 2, size - 3) for k, size in ((0, width), (1, height)))
    shown = np.where(np.isnan(view.depth), np.inf, view.depth)
    behind = np.max([shown[y + dy, x + dx] for dy in (-2, 0, 2) for dx in (-2, 0, 2)], axis=0)
    slack = 0.004 * float(np.median(depth))
    inside = (pixels[:, 0] >= 0) & (pixels[:, 0] < width) & (pixels[:, 1] >= 0) & (pixels[:, 1] < height)
    return np.asarray((depth <= behind + slack) & inside)
