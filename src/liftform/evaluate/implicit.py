"""``liftform evaluate implicit``: surfaces learned from posed sets beside masks, true meshes and held-out pictures."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..assets import Mesh
from ..capture import Capture, Photo
from ..errors import InputNotFoundError, LiftformError
from ..files import whole_file
from ..photoset.posed import is_photo_set
from ..render import Scene
from ..runtime import Runtime
from .held_out import parted
from .metrics import psnr, silhouette_iou, surface_points
from .tables import Grid

if TYPE_CHECKING:
    from ..reconstruct.implicit import Learned

Floats = NDArray[np.floating[Any]]
Show = Callable[[argparse.Namespace, list[Grid], dict[str, Any]], None]

HEAD = ("set", "pictures", "held out", "faces", "IoU", "inside hull", "Chamfer %", "seen part %", "PSNR", "s", "said")
#: Points on each surface.
_POINTS = 100_000


@dataclass(frozen=True)
class Row:
    """One set. iou: of the mesh's silhouettes and the masks; inside: share of the former inside the latter (a pixel
    wider); chamfer, seen: of the whole surface, and of what two pictures or more show, as shares of the true diagonal;
    psnr: of held-out pictures, dB. NaN where there is no truth.
    """

    name: str
    pictures: int
    held_out: int
    faces: int
    iou: float
    inside: float
    chamfer: float
    seen: float
    psnr: float
    seconds: float
    said: str = ""

    def cells(self) -> tuple[str, ...]:
        """As the table shows it."""
        numbers = (f"{self.iou:.4f}", f"{self.inside:.4f}", f"{100 * self.chamfer:.2f}", f"{100 * self.seen:.2f}")
        counts = (str(self.pictures), str(self.held_out), str(self.faces))
        return (self.name, *counts, *numbers, f"{self.psnr:.2f}", f"{self.seconds:.0f}", self.said)


def add_commands(commands: Any, add_shown: Callable[[argparse.ArgumentParser, Any], None], show: Show) -> None:
    """Add the protocol to an argparse subparsers object."""
    p = commands.add_parser("implicit", help="learn surfaces from sets with known cameras; silhouettes, Chamfer, PSNR")
    p.add_argument("folder", type=Path, help="a set with known cameras, or a folder of them")
    p.add_argument("--sets", nargs="+", default=[], metavar="NAME", help="only these (default: all)")
    p.add_argument("--max-side", type=int, default=800, metavar="PX", help="longest side of the pictures (800)")
    p.add_argument("--cells", type=int, default=0, help="cells along the longest side (default: the option's)")
    p.add_argument("--steps", type=int, default=0, help="steps (default: the option's)")
    p.add_argument("--minutes", type=float, default=0.0, help="time for each set, instead of steps")
    p.add_argument("--masks", choices=("files", "estimated", "none"), default="files", help="(files)")
    p.add_argument("--seed", type=int, default=0, help="(0)")
    p.add_argument("-o", "--output", type=Path, metavar="FOLDER", help="keep meshes (.ply) and sheets (.png) there")
    add_shown(p, lambda args: _run(args, show))


def _run(args: argparse.Namespace, show: Show) -> int:
    from ..reconstruct.implicit import ImplicitOptions

    given = {name: getattr(args, name) for name in ("cells", "steps", "minutes") if getattr(args, name)}
    rows = list(evaluate_implicit(args, ImplicitOptions(**given)))
    show(args, [Grid("", HEAD, tuple(row.cells() for row in rows))], {row.name: vars(row) for row in rows})
    return 0


def evaluate_implicit(args: argparse.Namespace, options: Any) -> Iterator[Row]:
    """A row for every set of known cameras in or under ``args.folder``."""
    folder: Path = args.folder
    found = [folder] if is_photo_set(folder) else [p for p in _folders(folder) if is_photo_set(p)]
    found = [path for path in found if not args.sets or path.name in args.sets]
    if not found:
        raise InputNotFoundError(f"{folder}: no photo sets with known cameras in it", "give the folder of the sets")
    for path in found:
        try:
            yield score(path, args, options)
        except LiftformError as error:
            nothing = float("nan")
            yield Row(path.name, 0, 0, 0, *(nothing,) * 6, error.message)


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputNotFoundError(f"{folder}: no such folder", "give the folder of the sets")
    return sorted(path for path in folder.iterdir() if path.is_dir())


def score(path: Path, args: argparse.Namespace, options: Any) -> Row:
    """Learn one set without its held-out pictures, and compare."""
    from ..reconstruct.implicit import learned

    capture = opened(path, args.max_side, args.masks)
    train, test = parted(path, capture)
    start = time.perf_counter()
    found = learned(train, options, Runtime(seed=args.seed))
    seconds = time.perf_counter() - start
    shown = found.problem.capture.photos
    iou, inside = silhouettes(found.mesh, shown) if found.problem.silhouettes else (float("nan"),) * 2
    whole, seen = chamfer(found.mesh, path / "mesh.ply")
    if args.output is not None:
        _keep(found, shown, args.output, path.name)
    told = "" if found.problem.silhouettes else "no masks"
    counts = (len(train.photos), len(test), len(found.mesh.faces))
    return Row(path.name, *counts, iou, inside, whole, seen, views_psnr(found, test), seconds, told)


def opened(path: Path, max_side: int, masks: str) -> Capture:
    """A set with its own cameras, straight; masks "estimated" by the mask stage."""
    from ..load import PhotosOptions, photos
    from ..photoset.straight import straight
    from ..zoo import registry

    capture = photos(path, PhotosOptions(max_side=max_side, masks="files" if masks == "files" else "none"))
    if masks == "estimated":
        name = registry.default("mask")
        stage = registry.factory("mask", name)(registry.options_class("mask", name)(), Runtime())
        capture = replace(capture, photos=tuple(stage(Capture((photo,))).photo for photo in capture.photos))
    return straight(capture)


def silhouettes(mesh: Mesh, photos: tuple[Photo, ...]) -> tuple[float, float]:
    """Mean IoU of a mesh's silhouettes and the masks, and the share of the former inside the latter, a pixel wider."""
    from scipy.ndimage import binary_dilation

    scene, ious, inside = Scene(mesh), [], []
    for photo in photos:
        mask, camera = photo.mask.alpha if photo.mask else photo.alpha, photo.camera
        if mask is None or camera is None:
            continue
        drawn = scene.render(camera, "unlit").mask
        ious.append(silhouette_iou(drawn, mask >= 0.5))
        inside.append((drawn & binary_dilation(mask >= 0.5)).sum() / max(int(drawn.sum()), 1))
    return float(np.mean(ious)), float(np.mean(inside))


def chamfer(mesh: Mesh, truth: Path) -> tuple[float, float]:
    """Chamfer distance (mean of both directed means) to a true mesh as a share of its diagonal: of the whole surface,
    and of the part that two pictures or more show. NaN where there is no true mesh."""
    from scipy.spatial import cKDTree

    from ..read_mesh import read_mesh

    if not truth.is_file():
        return float("nan"), float("nan")
    known: Any = read_mesh(truth)
    known = getattr(known, "mesh", known)
    target = surface_points(known, _POINTS)
    diagonal = float(np.linalg.norm(np.ptp(known.vertices, axis=0)))
    out = []
    for part in (mesh, _seen(mesh)):
        points = surface_points(part, _POINTS)
        away = cKDTree(target).query(points)[0].mean(), cKDTree(points).query(target)[0].mean()
        out.append(float(sum(away)) / 2 / diagonal)
    return out[0], out[1]


def _seen(mesh: Mesh) -> Mesh:
    if mesh.seen is None:
        return mesh
    return Mesh(mesh.vertices, mesh.faces[(mesh.seen[mesh.faces] >= 1).all(1)])


def views_psnr(found: Learned, photos: tuple[Photo, ...]) -> float:
    """Mean PSNR of held-out pictures as the surface's volume shows them; over white where there are masks."""
    from ..reconstruct.implicit.views import view

    values = []
    sharpness = found.problem.levels[-1].sharpness[1]
    for photo in photos:
        assert photo.camera is not None
        alpha = photo.mask.alpha if photo.mask else photo.alpha
        if (alpha is None) != (found.problem.silhouettes is None):
            continue
        seen = view(found.state, photo.camera, sharpness)
        if alpha is None:
            values.append(psnr(seen.color, photo.image))
        else:
            truth = photo.image * alpha[..., None] + 1 - alpha[..., None]
            values.append(psnr(np.clip(seen.color + 1 - seen.opacity[..., None], 0, 1), truth))
    return float(np.mean(values)) if values else float("nan")


def _keep(found: Learned, photos: tuple[Photo, ...], folder: Path, name: str) -> None:
    """The mesh, and a sheet of photos beside renderings."""
    from PIL import Image

    from ..export import save

    folder.mkdir(parents=True, exist_ok=True)
    save(found.mesh, folder / f"{name}.ply")
    with whole_file(folder / f"{name}.png") as part:
        Image.fromarray(sheet(found.mesh, photos)).save(part, format="PNG")


def sheet(mesh: Mesh, photos: tuple[Photo, ...], count: int = 4, side: int = 320) -> NDArray[np.uint8]:
    """Rows of photo, colours, shape and what was seen, of ``count`` pictures spread over the set."""
    from ..conventions import to_uint8

    scene, rows = Scene(mesh), []
    for number in np.unique(np.linspace(0, len(photos) - 1, count).round().astype(int)):
        photo = photos[number]
        assert photo.camera is not None
        step = max(1, -(-max(photo.size) // side))
        image = photo.image[::step, ::step]
        camera = photo.camera.resized(image.shape[1], image.shape[0])
        drawn = [scene.render(camera, kind, (1.0, 1.0, 1.0)).image[..., :3] for kind in ("unlit", "clay", "seen")]
        rows.append(np.concatenate([image, *drawn], 1))
    width = max(row.shape[1] for row in rows)
    return to_uint8(np.concatenate([np.pad(r, [(0, 0), (0, width - r.shape[1]), (0, 0)]) for r in rows]))
