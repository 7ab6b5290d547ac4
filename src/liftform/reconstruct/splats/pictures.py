"""Photographs as they are learned from: planes of colours at several sizes, before the background that is asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...assets import FloatArray
from ...camera import Camera
from ...capture import Capture
from ...conventions import to_uint8
from .. import rays
from .frame import Frame
from .keep import fingerprint
from .options import SplatsOptions

#: A smaller picture has at least so many pixels along its shorter side.
_SMALLEST = 48


class Pictures:
    """All photographs of a straight capture, eight bits a channel, largest size first; cameras in the frame's space."""

    def __init__(self, capture: Capture, frame: Frame, max_side: int) -> None:
        pixels = rays.rays(capture, max_side)
        self.masked = pixels.alphas is not None
        self.count = pixels.pictures
        sizes = [(int(w), int(h)) for w, h in zip(pixels.widths, pixels.heights, strict=True)]
        cameras = [
            photo.camera.resized(*size) for photo, size in zip(capture.photos, sizes, strict=True) if photo.camera
        ]
        self._levels = [[self._level(pixels, k) for k in range(self.count)]]
        self._cameras = [frame.cameras(cameras)]
        places = np.array([camera.position for camera in self._cameras[0]])
        ahead = [float(-camera.world_from_camera[:3, 2] @ camera.position) for camera in self._cameras[0]]
        self.distance = max(float(np.median(ahead)), 0.1 * float(np.linalg.norm(places, axis=1).mean()), 1e-3)

    def _level(self, pixels: rays.Rays, k: int) -> NDArray[np.uint8]:
        """Planes (3 or 4, H, W) of one picture; the fourth is alpha."""
        span = slice(pixels.starts[k], pixels.starts[k + 1])
        planes = pixels.colors[span].T
        if pixels.alphas is not None:
            planes = np.concatenate([planes, pixels.alphas[span][None]])
        return np.ascontiguousarray(planes).reshape(len(planes), pixels.heights[k], pixels.widths[k])

    def fingerprint(self, options: SplatsOptions, seed: int) -> str:
        """What a run is made of, see ``keep.fingerprint``."""
        return fingerprint(options, seed, self._cameras[0], self._levels[0])

    def target(self, which: int, shrink: int, background: FloatArray) -> tuple[Camera, FloatArray, FloatArray]:
        """Camera, colours (3, H, W) before the background, and weights (H, W) of one picture, ``shrink`` (1, 2 or 4)
        times smaller where it is not too small for that already."""
        level = {1: 0, 2: 1, 4: 2}[shrink]
        while len(self._levels) <= level:
            self._levels.append([_halved(planes) for planes in self._levels[-1]])
            self._cameras.append([_half(camera) for camera in self._cameras[-1]])
        while level and min(self._levels[level][which].shape[1:]) < _SMALLEST:
            level -= 1
        planes = self._levels[level][which].astype(np.float32) / 255
        colors, weight = planes[:3], np.ones(planes.shape[1:], np.float32)
        if len(planes) == 4:
            colors = colors * planes[3] + background[:, None, None] * (1 - planes[3])
        return self._cameras[level][which], np.ascontiguousarray(colors), weight


def _half(camera: Camera) -> Camera:
    """The camera of ``_halved`` planes: odd sizes gain half a pixel."""
    small = replace(camera, fx=camera.fx / 2, fy=camera.fy / 2, cx=camera.cx / 2, cy=camera.cy / 2)
    return replace(small, width=-(-camera.width // 2), height=-(-camera.height // 2))


def _halved(planes: NDArray[Any]) -> NDArray[np.uint8]:
    """Means of two by two pixels; odd borders are repeated; colours weighted by alpha, where there is one."""
    _, height, width = planes.shape
    padded = np.pad(planes, ((0, 0), (0, height % 2), (0, width % 2)), mode="edge").astype(np.float32) / 255
    if len(planes) == 4:
        padded[:3] *= padded[3]
    small = padded.reshape(len(planes), -(-height // 2), 2, -(-width // 2), 2).mean((2, 4))
    if len(planes) == 4:
        small[:3] /= np.maximum(small[3], 1e-4)
    return to_uint8(small)
