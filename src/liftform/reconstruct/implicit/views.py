"""Pictures of an implicit surface as its cameras would take them: by volume rendering, for previews and figures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...camera import Camera
from ...conventions import to_uint8
from ...files import whole_file
from . import kernels
from .training import STEP, State

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class View:
    """color (H, W, 3) sRGB-encoded, premultiplied by opacity (H, W) in [0, 1] where there is no background; depth
    (H, W): z-distance in the world's unit, NaN where opacity is below one half."""

    color: FloatArray
    opacity: FloatArray
    depth: FloatArray


def view(state: State, camera: Camera, sharpness: float) -> View:
    """What a camera sees. sharpness: cells times s of the logistic density."""
    volume = state.volume
    place, directions = camera.rays()
    lengths = np.linalg.norm(directions, axis=-1, keepdims=True)
    directions = np.ascontiguousarray((directions / lengths).reshape(-1, 3), np.float32)
    origins = np.broadcast_to(volume.units(place).astype(np.float32), directions.shape).copy()
    out = np.zeros((len(origins), 5), np.float32)
    grids = (volume.sdf, volume.cells, volume.blocks, volume.index, volume.colors)
    kernels.render(origins, directions, *grids, volume.h, STEP * volume.h, sharpness / volume.h, out)
    color, opacity = out[:, :3], out[:, 3]
    if state.shells is not None:
        color = color + (1 - opacity[:, None]) * state.shells.colors(origins, directions)
    distance = np.where(opacity > 0.5, out[:, 4] / np.maximum(opacity, 1e-6), np.nan) * volume.unit
    shape = (camera.height, camera.width)
    depth = (distance / lengths.ravel()).reshape(shape).astype(np.float32)
    return View(np.clip(color, 0, 1).reshape(*shape, 3), opacity.reshape(shape), depth)


def preview(state: State, camera: Camera, sharpness: float, path: Path, side: int = 320) -> None:
    """Write colours and shape as a camera sees them, side by side, as PNG. Raises OutputError."""
    from PIL import Image

    scale = min(1.0, side / max(camera.width, camera.height))
    camera = camera.resized(max(1, round(camera.width * scale)), max(1, round(camera.height * scale)))
    seen = view(state, camera, sharpness)
    picture = np.concatenate([seen.color + (1 - seen.opacity[..., None]), _shape(seen, camera)], 1)
    with whole_file(path) as part:
        Image.fromarray(to_uint8(np.clip(picture, 0, 1))).save(part, format="PNG")


def _shape(seen: View, camera: Camera) -> FloatArray:
    """Grey (H, W, 3) by how much the surface faces the camera."""
    z = seen.depth
    across, down = np.gradient(z, axis=1) * camera.fx / z, np.gradient(z, axis=0) * camera.fy / z
    facing = 1 / np.sqrt(1 + across**2 + down**2)
    grey = np.where(np.isfinite(facing), 0.15 + 0.8 * facing, 1.0)
    return np.repeat(grey[..., None], 3, 2).astype(np.float32)
