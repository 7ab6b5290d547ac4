"""A sheet of broken meshes before and after repair: backs of faces in red, what was invented in blue."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..assets import Mesh
from ..camera import Camera
from ..conventions import to_uint8
from ..files import whole_file
from ..preview import BACKGROUND
from ..refine.repair import RepairOptions, repair
from ..render import Scene, orbit_cameras
from ..runtime import Runtime
from .damage_cases import Case, damaged, generated

#: Side of a picture in pixels; what the clay is multiplied with on backs of faces and on what was invented.
_TILE = 170
_BACK, _NEW = (0.95, 0.35, 0.3), (0.45, 0.65, 1.0)


def write(objects: Path | None, seed: int, path: Path) -> None:
    """Draw cases of the bench before and after, two cases a row; raises OutputError."""
    from PIL import Image, ImageDraw

    tiles = [(case.name, *_pair(case)) for case in _chosen(objects, seed)]
    sheet = Image.new("RGB", (4 * _TILE, (_TILE + 14) * ((len(tiles) + 1) // 2)), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (name, *pictures) in enumerate(tiles):
        left, top = 2 * _TILE * (number % 2), (_TILE + 14) * (number // 2)
        for k, picture in enumerate(pictures):
            sheet.paste(Image.fromarray(picture), (left + k * _TILE, top + 14))
        draw.text((left + 3, top + 1), name.split("__")[-1][:46], fill="black")
    with whole_file(path) as beside:
        sheet.save(beside, format="JPEG" if path.suffix.lower() in (".jpg", ".jpeg") else "PNG", quality=82)


def _chosen(objects: Path | None, seed: int) -> Iterator[Case]:
    """The hardest case of every kind of damage among the first ones, and two generated ones."""
    best: dict[str, Case] = {}
    for case in damaged(objects, 72, seed):
        if case.group not in best or case.strength > best[case.group].strength:
            best[case.group] = case
    yield from best.values()
    yield from list(generated(4, seed))[2:]


def _pair(case: Case) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The mesh as it came and as it was mended, from one place; backs of faces in red."""
    camera = orbit_cameras(case.truth or case.mesh, [(0.7, 0.5)], _TILE)[0]
    return _drawn(case.mesh, camera), _drawn(repair(RepairOptions(), Runtime())(case.mesh), camera)


def _drawn(mesh: Mesh, camera: Camera) -> NDArray[np.uint8]:
    """In clay, backs in red, invented corners in blue."""
    view = Scene(mesh).render(camera.resized(2 * camera.width, 2 * camera.height), "clay", BACKGROUND)
    image = view.image[..., :3].copy()
    behind = view.mask & (view.normals[..., 2] > 0)
    image[behind] *= np.array(_BACK, np.float32)
    if mesh.seen is not None:
        seen = np.einsum("hwk,hwk->hw", mesh.seen[mesh.faces[view.face]], view.barycentric)
        image[view.mask & (seen < 0.5)] *= np.array(_NEW, np.float32)
    return to_uint8(image.reshape(camera.height, 2, camera.width, 2, 3).mean((1, 3)))
