"""``liftform views``: what a camera sees that flies through a field: film, pictures, depths; its mesh and points."""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..assets import RadianceField
from ..camera import Camera
from ..errors import OutputError, UsageError
from . import terminal
from .arguments import Parser, add_common

_EXAMPLES = """examples:
  liftform views statue.field --path orbit -o clip.mp4
  liftform views room.field --path keyframes.json -o frames/ --depth      pictures and depth maps, one a frame
  liftform views statue.field --path photos -o seen/                      from where the photos were taken
  liftform views statue.field --mesh statue.glb --points statue.ply
"""
_FILMS = (".mp4", ".webp", ".gif")


def parser() -> Parser:
    """The arguments of ``liftform views``."""
    text = "Draw a radiance field along a path of cameras, or turn it into a mesh and points."
    p = Parser(prog="liftform views", description=text, epilog=_EXAMPLES)
    p.add_argument("field", type=Path, help="a .field file of liftform field")
    p.add_argument("-o", "--output", type=Path, metavar="PATH", help=".mp4 .webp .gif, or a folder for PNG frames")
    p.add_argument(
        "--path", default="auto", metavar="PATH", help="orbit, spiral, photos, or a JSON of keyframes (auto)"
    )
    p.add_argument("--frames", type=int, default=90, metavar="N", help="how many (90)")
    p.add_argument("--fps", type=int, default=24, metavar="N", help="frames a second of a film (24)")
    p.add_argument("--size", type=int, default=480, metavar="PX", help="longest side of a frame (480)")
    p.add_argument("--depth", action="store_true", help="also depth: a .npy a frame, or grey beside a film's picture")
    p.add_argument("--mesh", type=Path, metavar="FILE", help="also its surface, coloured: .glb .obj .ply .stl ...")
    p.add_argument("--resolution", type=int, default=192, metavar="N", help="cells along the mesh's longest side (192)")
    p.add_argument("--points", type=Path, metavar="FILE", help="also a coloured point cloud, .ply")
    add_common(p)
    return p


def run(args: argparse.Namespace) -> int:
    """Draw what was asked for."""
    from .. import field_file

    _check(args)
    field = field_file.read(args.field)
    written: list[str] = []
    if args.output is not None:
        written += _draw(field, args)
    written += _shapes(field, args)
    if args.json:
        print(json.dumps({"written": written}))
    elif not args.quiet:
        print("\n".join(written))
    return 0


def _check(args: argparse.Namespace) -> None:
    """Everything that can be known to be wrong before work begins."""
    if args.output is None and args.mesh is None and args.points is None:
        raise UsageError("nothing to make", "say -o clip.mp4, -o frames/, --mesh FILE or --points FILE")
    if not (0 < args.frames <= 10_000 and 0 < args.fps <= 240 and 16 <= args.size <= 8192):
        raise UsageError("--frames, --fps or --size is out of range", "1 to 10000 frames, 1 to 240 fps, 16 to 8192 px")
    if not 8 <= args.resolution <= 1024:
        raise UsageError(f"--resolution {args.resolution} is out of range", "8 to 1024")
    if args.output is not None and args.output.suffix and args.output.suffix.lower() not in _FILMS:
        raise OutputError(f"{args.output}: no film of this kind", f"use {', '.join(_FILMS)}, or a folder")


def _path(field: RadianceField, args: argparse.Namespace) -> list[Camera]:
    """The cameras to draw, at the size asked for."""
    from .. import camera_path
    from ..reconstruct.field.view import cameras_of

    own = cameras_of(field)
    ratio = args.size / max(own[0].width, own[0].height)
    like = own[0].resized(max(2, round(own[0].width * ratio)), max(2, round(own[0].height * ratio)))
    same = [like, *own[1:]]
    middle = 0.5 * (field.low + field.high)
    kind = args.path
    if kind == "auto":
        kind = "spiral" if field.kind == "frustum" else "orbit"
    if kind == "photos":
        return [_sized(camera, args.size) for camera in own]
    if kind == "orbit":
        return camera_path.orbit(same, middle, args.frames)
    if kind == "spiral":
        return camera_path.spiral(same, middle, args.frames)
    keys, closed = camera_path.read_keyframes(kind, like)
    return camera_path.through(keys, args.frames, closed)


def _sized(camera: Camera, side: int) -> Camera:
    ratio = side / max(camera.width, camera.height)
    return camera.resized(max(2, round(camera.width * ratio)), max(2, round(camera.height * ratio)))


def _seen(field: RadianceField, cameras: list[Camera], args: argparse.Namespace) -> Iterator[tuple[Any, Any]]:
    """Picture (H, W, 3) uint8 and depth (H, W) of every camera, with progress."""
    from ..conventions import to_uint8
    from ..reconstruct.field.view import background_of, bricks_of, view

    bricks, behind = bricks_of(field), background_of(field)
    with terminal.progress(1, shown=not (args.quiet or args.json), stages=("views",)) as bar:
        for number, camera in enumerate(cameras):
            bar("views", number / len(cameras))
            seen = view(field, camera, bricks)
            yield to_uint8(seen.on(behind)), seen.depth


def _draw(field: RadianceField, args: argparse.Namespace) -> list[str]:
    """A film, or a folder of frames."""
    from ..files import write_whole
    from ..preview import film

    cameras = _path(field, args)
    if args.output.suffix:
        if not args.output.absolute().parent.is_dir():
            raise OutputError(f"{args.output}: no such folder", "make it first")
        if args.path == "photos" and len({(c.width, c.height) for c in cameras}) > 1:
            raise UsageError("the photos differ in size: they make no film", "give a folder: -o frames/")
        frames = [_beside(picture, depth) if args.depth else picture for picture, depth in _seen(field, cameras, args)]
        film(frames, args.output, args.fps)
        return [str(args.output)]
    try:
        args.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{args.output}: cannot make this folder", "choose another") from error
    written = []
    for number, (picture, depth) in enumerate(_seen(field, cameras, args)):
        files = {args.output / f"{number:04d}.png": _png(picture)}
        if args.depth:
            buffer = io.BytesIO()
            np.save(buffer, depth)
            files[args.output / f"{number:04d}.depth.npy"] = buffer.getvalue()
        written += [str(path) for path in write_whole(files)]
    return written


def _png(picture: Any) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return buffer.getvalue()


def _beside(picture: Any, depth: Any) -> Any:
    """The picture beside its depth as grey: near is bright, nothing is black."""
    there = depth[np.isfinite(depth)]
    near, far = np.percentile(there, [2, 98]) if there.size else (1.0, 2.0)
    grey = np.nan_to_num(np.clip((1 / depth - 1 / far) / max(1 / near - 1 / far, 1e-9), 0, 1) * 0.9 + 0.1)
    return np.concatenate([picture, np.repeat((grey * 255).astype(np.uint8)[..., None], 3, 2)], 1)


def _shapes(field: RadianceField, args: argparse.Namespace) -> list[str]:
    """The mesh and the points."""
    from ..export import save
    from ..reconstruct.field.surface import mesh_of, points_of

    written = []
    if args.mesh is not None:
        written += [str(path) for path in save(mesh_of(field, args.resolution), args.mesh)]
    if args.points is not None:
        written += [str(path) for path in save(points_of(field), args.points)]
    return written
