"""The frame in which the object network sees: a square crop, and a view frame scaled so that the crop has one size.

A single picture fixes an object up to scale, so scale is chosen: the plane through the object's middle, square to the
optical axis, is FRAME_WIDTH units wide inside the crop. The virtual camera of the crop looks at the view frame's
origin, which lies on the crop's central ray at that plane; it has azimuth 0, no roll, and elevation ``e``. The photo's
own camera stands at the same place, turned so that the object appears where it does in the photo.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..camera import Camera
from ..conventions import linear_to_srgb, rotation_y, srgb_to_linear, view_from_camera

FloatArray = NDArray[np.float32]

#: Width of the crop in view units at the distance of the origin.
FRAME_WIDTH = 1.2

#: The crop's side over the longer side of the object's bounding box in the picture.
CROP_PADDING = 1.12


def distance_of(yfov: float) -> float:
    """Distance from the virtual camera to the origin, in view units, for a crop of vertical field of view ``yfov``."""
    return float(0.5 * FRAME_WIDTH / np.tan(0.5 * yfov))


def crop_camera(size_px: int, yfov: float, elevation: float) -> Camera:
    """The virtual camera of a crop; its world is the view frame."""
    return Camera.from_fov(size_px, size_px, yfov, view_from_camera(elevation, distance_of(yfov)))


def bounding_box(alpha: FloatArray) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) in pixels of where alpha (H, W) exceeds one half, edges of pixels included."""
    columns, rows = np.nonzero((alpha > 0.5).any(0))[0], np.nonzero((alpha > 0.5).any(1))[0]
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def photo_camera(
    size: tuple[int, int], focal_px: float, box: tuple[float, float, float, float], elevation: float
) -> Camera:
    """The photo's camera in the view frame, for an object seen at ``box`` from ``elevation`` (radians).

    size (width, height) and focal_px in pixels of the photo; the principal point is the middle. Without roll, the
    photo's own tilt follows from the ray to the box's centre and the elevation of that ray. Where no such camera
    exists (an object at the rim of a very wide picture, seen from steeply above), the nearest elevation is taken.
    """
    width, height = size
    ray = np.array([(box[0] + box[2] - width) / (2 * focal_px), (box[1] + box[3] - height) / (2 * focal_px), 1.0])
    ray /= np.linalg.norm(ray)
    reach = np.hypot(ray[1], ray[2])
    tilt = np.arcsin(np.clip(np.sin(elevation) / reach, -1, 1)) - np.arctan2(ray[1], ray[2])
    rotation = view_from_camera(tilt, 0.0)[:3, :3]
    forward = rotation @ ray
    rotation = rotation_y(np.pi - np.arctan2(forward[0], forward[2])) @ rotation
    camera = Camera(width, height, focal_px, focal_px, width / 2, height / 2)
    pose = np.eye(4)
    pose[:3, :3] = rotation
    turned = Camera(width, height, focal_px, focal_px, width / 2, height / 2, pose)
    half = _half_extent(turned, box, float(np.arcsin(np.clip(-forward[1], -1, 1))))
    pose[:3, 3] = -rotation @ ray * distance_of(2 * np.arctan(half))
    return Camera(camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy, pose)


def _half_extent(camera: Camera, box: tuple[float, float, float, float], elevation: float) -> float:
    """Tangent of half the crop's field of view: the box's sides as the virtual camera sees them, padded."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    middles = np.array([[box[0], y], [box[2], y], [x, box[1]], [x, box[3]]])
    rays = camera.unproject(middles, np.ones(4)) - camera.position
    rays = rays @ view_from_camera(elevation, 0.0)[:3, :3]
    span = rays[:, :2] / rays[:, 2:]
    return float(np.abs(span).max() * CROP_PADDING)


def virtual_camera(camera: Camera, box: tuple[float, float, float, float], size_px: int) -> Camera:
    """The crop's camera for the object at ``box`` of a photo whose camera is placed in the view frame."""
    centre = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])
    ray = camera.unproject(centre, np.array(1.0)) - camera.position
    elevation = float(np.arcsin(np.clip(-ray[1] / np.linalg.norm(ray), -1, 1)))
    return crop_camera(size_px, 2 * np.arctan(_half_extent(camera, box, elevation)), elevation)


def resample(colour: FloatArray, alpha: FloatArray, photo: Camera, virtual: Camera) -> tuple[FloatArray, FloatArray]:
    """The photo as the virtual camera would have taken it: colour (S, S, 3) sRGB and alpha (S, S).

    Cameras share their centre, so this is a homography. Colours are mixed in linear light, weighted by alpha; the
    photo is first averaged down so that no pixel is skipped. Outside the photo alpha is 0.
    """
    from scipy.ndimage import map_coordinates

    _, rays = virtual.rays()
    pixels, _ = photo.project(photo.position + rays)
    step = np.linalg.norm(pixels[1:, 1:] - pixels[:-1, :-1], axis=-1).mean() / np.sqrt(2)
    layers = np.dstack([srgb_to_linear(colour) * alpha[..., None], alpha])
    low = np.maximum(np.floor(pixels.min((0, 1))).astype(int) - 2, 0)
    high = np.maximum(np.ceil(pixels.max((0, 1))).astype(int) + 2, low + 1)
    layers = layers[low[1] : high[1], low[0] : high[0]]
    block = max(1, int(step))
    layers = _block_mean(layers, block)
    at = (pixels - low) / block - 0.5
    out = np.stack(
        [map_coordinates(layers[..., i], [at[..., 1], at[..., 0]], order=1, mode="constant") for i in range(4)], -1
    )
    cover = np.clip(out[..., 3], 0, 1)
    return linear_to_srgb(out[..., :3] / np.maximum(cover, 1e-3)[..., None]), cover.astype(np.float32)


def _block_mean(layers: FloatArray, block: int) -> FloatArray:
    """Means over block x block pixels; the right and bottom edge is padded with zeros."""
    if block == 1:
        return layers
    height, width = (-(-n // block) * block for n in layers.shape[:2])
    padded = np.zeros((height, width, layers.shape[2]), np.float32)
    padded[: layers.shape[0], : layers.shape[1]] = layers
    return padded.reshape(height // block, block, width // block, block, -1).mean((1, 3))
