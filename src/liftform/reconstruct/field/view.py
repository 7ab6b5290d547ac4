"""What a camera sees of a field: colours, alpha and depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...assets import RadianceField
from ...camera import Camera
from .bricks import Bricks
from .draw import drawn
from .learn import LEAST, SCALE, SETTINGS, STEP
from .space import Space
from .trace import CHANNELS, POINTS

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class View:
    """color (H, W, 3) float32, sRGB, premultiplied; alpha (H, W) in [0, 1]; depth (H, W): z-distance, NaN where alpha
    is below one half."""

    color: FloatArray
    alpha: FloatArray
    depth: FloatArray

    def on(self, background: Sequence[float]) -> FloatArray:
        """The picture (H, W, 3) in [0, 1] over a colour (3,) in sRGB."""
        behind = np.asarray(background, np.float32)
        return np.clip(self.color + (1 - self.alpha[..., None]) * behind, 0, 1).astype(np.float32)


def bricks_of(field: RadianceField) -> Bricks:
    """The field's arrays as the kernels take them, the empty brick first."""
    count = len(field.places) + 1
    places = np.concatenate([np.zeros((1, 3), np.int32), field.places])
    index = np.zeros(field.size // 8 + 1, np.int32)
    index[tuple(places[1:].T)] = np.arange(1, count, dtype=np.int32)
    nothing = np.full(POINTS, field.empty, np.float32)
    return Bricks(
        field.size,
        index,
        places,
        np.concatenate([np.zeros(1, np.uint64), field.cells]),
        np.concatenate([nothing, field.density.reshape(-1)]),
        np.concatenate([np.zeros((POINTS, CHANNELS), np.float32), field.features.reshape(-1, CHANNELS)]),
    )


def settings_of(field: RadianceField) -> FloatArray:
    """Settings with which the kernels draw."""
    values = np.zeros(SETTINGS, np.float32)
    values[STEP], values[LEAST], values[SCALE] = field.step, 1e-3, field.scale
    return values


def view(field: RadianceField, camera: Camera, bricks: Bricks | None = None) -> View:
    """What ``camera`` (world frame) sees. bricks: of ``bricks_of``, where many views are drawn."""
    bricks = bricks or bricks_of(field)
    space = Space(field.kind, field.frame_from_world)
    inverse = np.array(
        [[1 / camera.fx, 0, -camera.cx / camera.fx], [0, 1 / camera.fy, -camera.cy / camera.fy], [0, 0, 1.0]]
    )
    turn = camera.world_from_camera[:3, :3] @ inverse
    frame = space.frame_from_world
    centre = frame[:3, :3] @ camera.position + frame[:3, 3]
    cameras = tuple(np.ascontiguousarray(a[None], np.float32) for a in (centre, frame[:3, :3] @ turn, turn))
    shape = (camera.height, camera.width)
    found = View(np.zeros((*shape, 3), np.float32), np.zeros(shape, np.float32), np.zeros(shape, np.float32))
    size = bricks.size.astype(np.float32)
    drawn(
        space.code,
        size,
        cameras,
        camera.width,
        camera.height,
        settings_of(field),
        bricks.grid,
        bricks.features,
        field.decoder,
        found.color,
        found.alpha,
        found.depth,
    )
    return found


def background_of(field: RadianceField) -> tuple[float, float, float]:
    """The colour that lies behind everything: white for cut-out objects, else the backdrop that was learnt with."""
    if field.metadata.get("masked", True):
        return (1.0, 1.0, 1.0)
    red, green, blue = (float(value) for value in field.backdrop)
    return red, green, blue


def cameras_of(field: RadianceField) -> list[Camera]:
    """The cameras of the pictures that the field was learnt from."""
    keys = ("width", "height", "fx", "fy", "cx", "cy")
    return [
        Camera(**{k: row[k] for k in keys}, world_from_camera=np.array(row["world_from_camera"], np.float64))
        for row in field.cameras
    ]
