"""An early look: held-out pictures beside what the network in training makes of them, as one PNG."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ..assets import Mesh
from ..camera import Camera
from ..conventions import to_uint8
from ..render import render
from ..zoo.object_frame import crop_camera
from ..zoo.object_net import Encoding, ObjectNet
from .loop import Batch

#: Half the cube that is looked at, and nodes along its side: enough to see a shape, cheap enough for every checkpoint.
REACH, NODES = 0.66, 44
TILE = 128


@torch.no_grad()
def look(model: ObjectNet, batch: Batch, path: Path, rows: int = 6) -> None:
    """Write ``path``: the first pictures of ``batch``, then the surface from the camera, right and back."""
    encoding = model.encode(batch["image"])
    sheet = [_row(model, encoding, batch, i) for i in range(min(rows, len(batch["image"])))]
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    Image.fromarray(to_uint8(np.concatenate(sheet))).save(part, format="PNG")
    os.replace(part, path)


def _row(model: ObjectNet, encoding: Encoding, batch: Batch, i: int) -> NDArray[np.float32]:
    one = Encoding(*(t[i : i + 1] for t in encoding))
    yfov = 2 * float(torch.atan(batch["tan_half"][i]))
    camera = crop_camera(TILE, yfov, float(one.camera[0, 0]))
    mesh = _surface(model, one, batch["alpha"][i : i + 1], camera)
    picture = batch["image"][i, :3].permute(1, 2, 0).numpy()
    views = [camera, *(Camera.orbit(TILE, 0.5, azimuth, 0.3, 3.0) for azimuth in (np.pi / 2, np.pi))]
    small = Image.fromarray(to_uint8(picture)).resize((TILE, TILE))
    tiles: list[NDArray[np.float32]] = [np.divide(np.asarray(small), 255, dtype=np.float32)]
    for view in views:
        if mesh is None:
            tiles.append(np.full((TILE, TILE, 3), 0.9, np.float32))
        else:
            tiles.append(render(mesh, view, shading="clay", background=(0.93, 0.93, 0.92)).image[..., :3])
    return np.concatenate(tiles, 1)


def _surface(model: ObjectNet, encoding: Encoding, alpha: torch.Tensor, camera: Camera) -> Mesh | None:
    """The zero level on a small dense grid, or None when there is none."""
    from skimage.measure import marching_cubes

    axis = np.linspace(-REACH, REACH, NODES)
    upright = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    q = torch.from_numpy((upright @ camera.world_from_camera[:3, :3]).astype(np.float32))[None]
    tan_half = torch.tensor([np.tan(camera.yfov / 2)], dtype=torch.float32)
    elevation = encoding.camera[:, 0]
    parts = [model.query(encoding, alpha, p, tan_half, elevation)[0, :, 0] for p in q.split(16384, 1)]
    values = torch.cat(parts).numpy().reshape(NODES, NODES, NODES)
    values = np.pad(values[1:-1, 1:-1, 1:-1], 1, constant_values=1.0)
    if not (values < 0).any():
        return None
    vertices, faces, _, _ = marching_cubes(values, 0.0, gradient_direction="descent")
    scale = 2 * REACH / (NODES - 1)
    return Mesh((vertices * scale - REACH).astype(np.float32), faces.astype(np.int32))
