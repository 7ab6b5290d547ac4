"""Pictures for people: the preview beside an asset, its turntable, and labelled tiles on a sheet."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .assets import Mesh
from .camera import Camera
from .capture import Photo
from .conventions import linear_to_srgb, srgb_to_linear, to_uint8
from .errors import OutputError
from .files import whole_file
from .render import INVENTED_COLOR, SEEN_COLOR, Scene, orbit_cameras, render_views
from .runtime import need

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

#: What lies behind everything, sRGB.
BACKGROUND = (0.925, 0.925, 0.92)
#: label, azimuth and elevation in degrees of the preview's views.
VIEWS = (("front", 30.0, 18.0), ("right", 90.0, 10.0), ("back", 205.0, 18.0), ("above", -25.0, 55.0))

_LABEL_PX = 26
_MAP_PX = 76
_INK = (70, 70, 72)
_OUTLINE = (255, 32, 120)
_SHADOW_STEP = 4
#: Height above the floor, as a share of the object's size, from which nothing casts a shadow any more.
_SHADOW_REACH = 0.3


def preview(photo: Photo, mesh: Mesh, path: str | Path, size_px: int = 320) -> None:
    """Write a PNG: the input with its mask's outline beside four rendered views, and small maps of what was seen.

    photo: with or without a mask. mesh: in the world frame. size_px: side of one tile. Written whole or not at all;
    raises OutputError when the target cannot be written.
    """
    sheet = preview_image(photo, mesh, size_px)
    with whole_file(path) as beside:
        sheet.save(beside, format="PNG", compress_level=3)


def preview_image(photo: Photo, mesh: Mesh, size_px: int = 320) -> Image.Image:
    """The preview as a Pillow image: five tiles in a row, above their labels and the maps of what was seen."""
    scene = Scene(mesh)
    cameras = view_cameras(mesh, size_px, [(azimuth, elevation) for _, azimuth, elevation in VIEWS])
    pictures = [photo_tile(photo, size_px), *view_tiles(scene, cameras)]
    labels = [photo.source.rsplit("/", 1)[-1], *(label for label, _, _ in VIEWS)]
    sheet = labelled(pictures, labels, 0 if mesh.seen is None else _MAP_PX - _LABEL_PX)
    if mesh.seen is not None:
        _legend(sheet, seen_share(mesh), size_px)
        _seen_maps(sheet, scene, cameras)
    return sheet


def beside_photos(photos: Sequence[Photo], mesh: Mesh, size_px: int = 320) -> Image.Image:
    """Photos of a set, each beside the mesh as its camera sees it, and the whole mesh from above, as a Pillow image.

    mesh: metadata["asset_from_view"] takes the cameras' world to its frame.
    """
    matrix = np.asarray(mesh.metadata.get("asset_from_view", np.eye(4)), np.float64)
    scale = float(np.cbrt(np.linalg.det(matrix[:3, :3])))
    shift = np.eye(4)
    shift[:3, 3] = matrix[:3, 3]
    scene = Scene(mesh)

    def seen(camera: Camera) -> NDArray[np.float32]:
        return scene.render(camera.moved(shift, scale), "unlit", BACKGROUND, 2).image[..., :3]

    whole = view_tiles(scene, view_cameras(mesh, size_px, [(30.0, 35.0)]))
    return beside_views(photos, seen, size_px, whole)


def beside_views(
    photos: Sequence[Photo],
    seen: Callable[[Camera], NDArray[np.float32]],
    size_px: int = 320,
    whole: Sequence[NDArray[np.uint8]] = (),
) -> Image.Image:
    """Photos of a set, each beside what ``seen`` draws for its camera (H, W, 3), then ``whole`` tiles."""
    tiles, labels = [], []
    for photo in photos:
        assert photo.camera is not None
        ratio = (size_px - 8) / max(photo.size)
        width, height = (max(1, round(side * ratio)) for side in photo.size)
        top, left = (size_px - height) // 2, (size_px - width) // 2
        tile = np.full((size_px, size_px, 3), byte_color(BACKGROUND), np.uint8)
        tile[top : top + height, left : left + width] = to_uint8(seen(photo.camera.resized(width, height)))
        tiles += [photo_tile(photo, size_px, outline=False), tile]
        labels += [photo.source.rsplit("/", 1)[-1], "the asset from there"]
    return labelled([*tiles, *whole], [*labels, *("as a whole" for _ in whole)])


def compared(before: Mesh, after: Mesh, size_px: int = 320) -> Image.Image:
    """A mesh as it came and as it is, from the same four cameras, in two rows."""
    from PIL import Image

    cameras = view_cameras(after, size_px, [(azimuth, elevation) for _, azimuth, elevation in VIEWS])
    rows = []
    for word, mesh in (("before", before), ("after", after)):
        own = cameras if np.allclose(mesh.bounds, after.bounds, rtol=0.2) else None
        own = own or view_cameras(mesh, size_px, [(azimuth, elevation) for _, azimuth, elevation in VIEWS])
        rows.append(labelled(view_tiles(Scene(mesh), own), [f"{word}, {label}" for label, _, _ in VIEWS]))
    sheet = Image.new("RGB", (rows[0].width, sum(row.height for row in rows)))
    for number, row in enumerate(rows):
        sheet.paste(row, (0, number * rows[0].height))
    return sheet


def photo_tile(photo: Photo, size_px: int, outline: bool = True) -> NDArray[np.uint8]:
    """The photo fitted into a square (size_px, size_px, 3), over the background where transparent, mask outlined."""
    from PIL import Image, ImageChops, ImageFilter

    photo = _thinned(photo, max(photo.size) // (2 * size_px))
    width, height = photo.size
    ratio = (size_px - 8) / max(width, height)
    size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    picture = Image.fromarray(to_uint8(_over_background(photo.image, photo.alpha))).resize(size, Image.Resampling.BOX)
    if outline and photo.mask is not None:
        alpha = Image.fromarray(to_uint8(photo.mask.alpha)).resize(size, Image.Resampling.BOX)
        solid = alpha.point(lambda value: 255 if value > 127 else 0)
        rim = ImageChops.subtract(solid.filter(ImageFilter.MaxFilter(5)), solid)
        picture.paste(_OUTLINE, mask=rim.filter(ImageFilter.GaussianBlur(0.5)))
    tile = Image.new("RGB", (size_px, size_px), byte_color(BACKGROUND))
    tile.paste(picture, ((size_px - size[0]) // 2, (size_px - size[1]) // 2))
    return np.asarray(tile)


def cutout_tile(photo: Photo, size_px: int) -> NDArray[np.uint8]:
    """What the mask kept of the photo, fitted into a square (size_px, size_px, 3)."""
    if photo.mask is None:
        return message_tile("no mask", size_px, size_px)
    return photo_tile(replace(photo, image=photo.mask.foreground, alpha=photo.mask.alpha), size_px, outline=False)


def message_tile(text: str, width: int, height: int) -> NDArray[np.uint8]:
    """A tile (height, width, 3) with text on it, broken into lines between words."""
    from PIL import Image, ImageDraw

    tile = Image.new("RGB", (width, height), byte_color(BACKGROUND))
    draw = ImageDraw.Draw(tile)
    for i, line in enumerate(textwrap.wrap(text, max(8, (width - 24) // 8))):
        write_line(draw, line, 12, 12 + 20 * i, width - 24)
    return np.asarray(tile)


def view_cameras(mesh: Mesh, size_px: int, angles_deg: Sequence[tuple[float, float]]) -> list[Camera]:
    """Cameras at (azimuth, elevation) degrees that frame the mesh with room for its shadow."""
    return orbit_cameras(mesh, [(np.radians(a), np.radians(e)) for a, e in angles_deg], size_px, margin=0.09)


def view_tiles(scene: Scene, cameras: Sequence[Camera]) -> list[NDArray[np.uint8]]:
    """Rendered views (H, W, 3) on the background, with the object's soft shadow on the floor."""
    with ThreadPoolExecutor(4) as pool:
        views = render_views(scene, cameras, supersample=2)
        return list(pool.map(lambda camera, view: _on_floor(scene, camera, view.image), cameras, views))


def turntable(
    mesh: Mesh,
    path: str | Path,
    size_px: int = 480,
    frames: int = 60,
    fps: int = 24,
    progress: Callable[[float], None] = lambda fraction: None,
) -> None:
    """Write a full turn around the mesh as an animated .webp or .gif, or as .mp4 (H.264, extra "video").

    Written whole or not at all. Raises OutputError for another suffix or an unwritable target, MissingExtraError when
    .mp4 is asked for without PyAV.
    """
    path = Path(path)
    writers = {".webp": _write_webp, ".gif": _write_gif, ".mp4": _write_mp4}
    if path.suffix.lower() not in writers:
        raise OutputError(f"{path}: no turntable of the kind {path.suffix!r}", f"use {', '.join(writers)}")
    if path.suffix.lower() == ".mp4":
        need("av", extra="video")
    scene = Scene(mesh)
    cameras = view_cameras(mesh, size_px, [(360.0 * i / frames, 15.0) for i in range(frames)])
    pictures = []
    for i in range(0, frames, 4):
        pictures += view_tiles(scene, cameras[i : i + 4])
        progress(len(pictures) / frames)
    with whole_file(path) as beside:
        writers[path.suffix.lower()](pictures, beside, fps)


def film(pictures: Sequence[NDArray[np.uint8]], path: str | Path, fps: int = 24) -> None:
    """Write pictures (H, W, 3), all of one size, as an animated .webp or .gif, or as .mp4 (H.264, extra "video").

    Written whole or not at all. Raises OutputError for another suffix or an unwritable target, MissingExtraError when
    .mp4 is asked for without PyAV.
    """
    path = Path(path)
    writers = {".webp": _write_webp, ".gif": _write_gif, ".mp4": _write_mp4}
    write = writers.get(path.suffix.lower())
    if write is None:
        raise OutputError(f"{path}: no film of the kind {path.suffix!r}", f"use {', '.join(writers)}")
    if path.suffix.lower() == ".mp4":
        need("av", extra="video")
    with whole_file(path) as beside:
        write(pictures, beside, fps)


def labelled(pictures: Sequence[NDArray[np.uint8]], labels: Sequence[str], extra_px: int = 0) -> Image.Image:
    """Tiles of one height side by side, each with a line of text below it, and room for more below that."""
    from PIL import Image, ImageDraw

    height = pictures[0].shape[0]
    sheet = Image.new("RGB", (sum(p.shape[1] for p in pictures), height + _LABEL_PX + extra_px), byte_color(BACKGROUND))
    draw = ImageDraw.Draw(sheet)
    left = 0
    for picture, label in zip(pictures, labels, strict=True):
        sheet.paste(Image.fromarray(picture), (left, 0))
        write_line(draw, label, left + 8, height + 3, picture.shape[1] - 16)
        left += picture.shape[1]
    return sheet


def write_line(draw: ImageDraw.ImageDraw, text: str, x: int, y: int, width: int, size: int = 15) -> None:
    """One line of text at (x, y), its end cut off where it is wider than ``width`` pixels."""
    from PIL import ImageFont

    font = ImageFont.load_default(size)
    shown = whole = text.replace("—", "-")  # Pillow's own font has no dash
    while shown and draw.textlength(shown, font=font) > width:
        whole = whole[:-1]
        shown = whole and whole + "..."
    draw.text((x, y), shown, fill=_INK, font=font)


def byte_color(color: tuple[float, float, float]) -> tuple[int, int, int]:
    """A colour in [0, 1] as Pillow takes it."""
    red, green, blue = (round(255 * c) for c in color)
    return red, green, blue


def seen_share(mesh: Mesh) -> float:
    """Share of the surface's area that the picture showed, in [0, 1]; 0 when the mesh does not say."""
    if mesh.seen is None:
        return 0.0
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    return float((mesh.seen[mesh.faces].mean(1) * area).sum() / max(area.sum(), 1e-30))


def _on_floor(scene: Scene, camera: Camera, image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A transparent rendering (H, W, 4) over the background and the object's soft shadow, as (H, W, 3) uint8."""
    shadow = _floor_shadow(scene, camera)
    behind = srgb_to_linear(np.array(BACKGROUND, np.float32)) * (1 - 0.45 * shadow[..., None])
    alpha = image[..., 3:]
    return to_uint8(linear_to_srgb(behind * (1 - alpha) + srgb_to_linear(image[..., :3]) * alpha))


def _floor_shadow(scene: Scene, camera: Camera) -> NDArray[np.float32]:
    """(H, W) in [0, 1]: how closely the object covers the floor from straight above, blurred."""
    from PIL import Image, ImageFilter

    small = camera.resized(camera.width // _SHADOW_STEP, camera.height // _SHADOW_STEP)
    origin, directions = small.rays()
    size = float(np.ptp(scene.mesh.bounds, axis=0).max())
    floor = float(scene.mesh.bounds[0, 1]) - 1e-3 * size
    down = np.minimum(directions[..., 1], -1e-6)
    hit = directions[..., 1] < -1e-6
    points = origin + directions[hit] * ((floor - origin[1]) / down[hit])[:, None]
    height = scene.cast(points, np.broadcast_to(np.array([0, 1, 0], np.float32), points.shape)).distance
    cover = np.zeros(hit.shape, np.float32)
    cover[hit] = np.clip(1 - height / (_SHADOW_REACH * size), 0, 1)
    soft = Image.fromarray(to_uint8(cover)).filter(ImageFilter.GaussianBlur(camera.width / 35 / _SHADOW_STEP))
    soft = soft.resize((camera.width, camera.height), Image.Resampling.BICUBIC)
    return np.asarray(soft, np.float32) / np.float32(255)


def _seen_maps(sheet: Image.Image, scene: Scene, cameras: Sequence[Camera]) -> None:
    """Paste under each view a small one coloured by what the picture showed."""
    from PIL import Image

    small = [camera.resized(_MAP_PX, _MAP_PX) for camera in cameras]
    for i, (view, camera) in enumerate(zip(render_views(scene, small, "seen", BACKGROUND, 2), cameras, strict=True)):
        picture = Image.fromarray(to_uint8(view.image[..., :3]))
        sheet.paste(picture, ((i + 2) * camera.width - _MAP_PX - 8, camera.height))


def _legend(sheet: Image.Image, share: float, size_px: int) -> None:
    """Under the photo, two coloured squares with the shares of surface seen and invented."""
    from PIL import ImageDraw

    draw = ImageDraw.Draw(sheet)
    x, y = 8, size_px + _LABEL_PX + 8
    for text, color in ((f"seen {share:.0%}", SEEN_COLOR), (f"invented {1 - share:.0%}", INVENTED_COLOR)):
        draw.rectangle((x, y, x + 12, y + 12), fill=byte_color(color))
        write_line(draw, text, x + 18, y - 3, 130)
        x += 100


def _thinned(photo: Photo, step: int) -> Photo:
    """Every step-th pixel of a photo much larger than its tile: quick, and the tile's own resize smooths the rest."""
    if step < 2:
        return photo
    mask = photo.mask and replace(
        photo.mask, alpha=photo.mask.alpha[::step, ::step], foreground=photo.mask.foreground[::step, ::step]
    )
    alpha = None if photo.alpha is None else photo.alpha[::step, ::step]
    return replace(photo, image=photo.image[::step, ::step], alpha=alpha, mask=mask)


def _over_background(image: NDArray[np.float32], alpha: NDArray[np.float32] | None) -> NDArray[np.float32]:
    if alpha is None:
        return image
    a = alpha[..., None]
    behind = srgb_to_linear(np.array(BACKGROUND, np.float32))
    return linear_to_srgb(srgb_to_linear(image) * a + behind * (1 - a))


def _write_webp(pictures: Sequence[NDArray[np.uint8]], path: Path, fps: int) -> None:
    from PIL import Image

    first, *rest = [Image.fromarray(p) for p in pictures]
    first.save(
        path, "WEBP", save_all=True, append_images=rest, duration=round(1000 / fps), loop=0, quality=80, method=2
    )


def _write_gif(pictures: Sequence[NDArray[np.uint8]], path: Path, fps: int) -> None:
    from PIL import Image

    palette = Image.fromarray(np.concatenate(pictures[:: max(1, len(pictures) // 8)])).quantize(256)
    first, *rest = [Image.fromarray(p).quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for p in pictures]
    first.save(path, "GIF", save_all=True, append_images=rest, duration=round(1000 / fps), loop=0)


def _write_mp4(pictures: Sequence[NDArray[np.uint8]], path: Path, fps: int) -> None:
    av = need("av", extra="video")
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("h264", rate=fps, options={"crf": "20", "preset": "medium"})
        stream.height, stream.width = (2 * (n // 2) for n in pictures[0].shape[:2])
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(picture[: stream.height, : stream.width], format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
