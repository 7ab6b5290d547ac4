"""Does the result look like the picture? Rendered from the estimated camera and compared inside the mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..assets import Mesh
from ..camera import Camera
from ..capture import Photo
from ..errors import UsageError
from ..render import render
from .metrics import psnr, silhouette_iou


@dataclass(frozen=True)
class Fidelity:
    """psnr: dB where mask and rendering overlap. psnr_whole_mask: dB over the whole mask, pixels that the rendering
    does not cover counting as mid-grey. iou: of the mask and the rendered silhouette."""

    psnr: float
    psnr_whole_mask: float
    iou: float


def fidelity(result: Any) -> Fidelity:
    """Compare ``result.mesh``, unlit, with ``result.capture.photo``; raises UsageError without a mask or a camera."""
    photo: Photo = result.capture.photo
    if photo.mask is None:
        raise UsageError("the result's photo has no mask", "run the understand stage first")
    camera = camera_in_asset(photo, result.mesh).resized(*photo.size)
    view = render(result.mesh, camera, shading="unlit", supersample=2)
    mask = photo.mask.alpha > 0.5
    picture = np.where(view.image[..., 3:] > 0, view.image[..., :3], np.float32(0.5))
    return Fidelity(
        psnr(picture, photo.image, mask & view.mask),
        psnr(picture, photo.image, mask),
        silhouette_iou(mask, view.mask),
    )


def camera_in_asset(photo: Photo, mesh: Mesh) -> Camera:
    """The photo's camera in the frame of the finished asset, by ``mesh.metadata["asset_from_view"]`` (4x4)."""
    if photo.camera is None:
        raise UsageError("the result's photo has no camera", "run the understand stage first")
    asset_from_view = np.asarray(mesh.metadata.get("asset_from_view", np.eye(4)), np.float64)
    scale = float(np.cbrt(np.linalg.det(asset_from_view[:3, :3])))
    rigid = asset_from_view.copy()
    rigid[:3, :3] /= scale
    return photo.camera.moved(rigid, scale)
