"""What a photo says about points of a surface: their colour where they were seen, and how well they were seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..assets import FloatArray, Mesh
from ..camera import Camera
from ..capture import Photo
from ..conventions import srgb_to_linear
from ..errors import InputError
from ..render import Scene

Bools = NDArray[np.bool_]

#: Cosines between normal and view at which a surface counts as unseen, and as fully seen.
_GRAZING, _FACING = 0.06, 0.30
#: Only pixels at least this opaque give colour; others take the nearest such pixel's.
_SOLID = 0.9
#: Points that project this far outside the mask (share of its diagonal) no longer count as seen.
_MARGIN = 0.015
#: Side of the depth picture, and the depth (share of the object's diagonal) behind which a surface near an edge fades.
_DEPTH_SIZE, _BEHIND = 224, 0.03


class Observer:
    """A photo, its camera, and the mesh that hides parts of itself, ready to be asked about many points.

    picture (H, W, 4): linear colour and trust around the mask, spread outward; picture_camera: the camera of that crop.
    """

    def __init__(self, photo: Photo, mesh: Mesh, texels_per_unit: float) -> None:
        """``texels_per_unit``: how finely the answers will be stored; the photo is averaged down to that.

        Raises InputError when the photo has no camera or mask, or its mask is empty.
        """
        if photo.camera is None or photo.mask is None:
            raise InputError(
                f"{photo.source}: nothing is known of its camera or mask", "run the understand stages first"
            )
        self.scene = Scene(mesh)
        self.size = float(np.linalg.norm(np.ptp(mesh.vertices, axis=0)))
        self.position = photo.camera.position
        centre = mesh.bounds.astype(np.float64).mean(0)
        depth = float(np.linalg.norm(centre - self.position))
        photo_pixels_per_texel = photo.camera.fx / max(depth, 1e-9) / texels_per_unit
        self._load(photo, photo.camera, min(1.0, 1.0 / photo_pixels_per_texel))
        self._nearest, self._depth_camera = self._depths(photo.camera, mesh)

    def _load(self, photo: Photo, camera: Camera, shrink: float) -> None:
        """Crop to the mask, average down in premultiplied linear light, spread solid colours outward."""
        from scipy.ndimage import distance_transform_edt

        assert photo.mask is not None
        alpha = photo.mask.alpha
        rows, columns = np.flatnonzero(alpha.max(1) > 0.5), np.flatnonzero(alpha.max(0) > 0.5)
        if not len(rows):
            raise InputError(f"{photo.source}: its mask is empty", "give another with --mask")
        reach = _MARGIN * np.hypot(rows[-1] - rows[0], columns[-1] - columns[0])
        pad = int(np.ceil(1.5 * reach)) + 2
        y0, y1 = max(0, rows[0] - pad), min(alpha.shape[0], rows[-1] + pad + 1)
        x0, x1 = max(0, columns[0] - pad), min(alpha.shape[1], columns[-1] + pad + 1)
        a = alpha[y0:y1, x0:x1, None]
        premultiplied = np.concatenate([srgb_to_linear(photo.mask.foreground[y0:y1, x0:x1]) * a, a], 2)
        small = averaged(premultiplied, shrink)
        solid = small[..., 3] > min(_SOLID, 0.95 * float(small[..., 3].max()))
        outside, near = distance_transform_edt(~solid, return_indices=True)
        color = (small[..., :3] / np.maximum(small[..., 3:], 1e-6))[tuple(near)]
        fade = max(reach * small.shape[0] / a.shape[0], 1.0)
        trust = np.clip(1 - (outside - 1) / fade, 0, 1).astype(np.float32)
        self.picture = np.concatenate([color, trust[..., None]], 2)
        self._camera = camera
        self._window = np.array([x0, y0], np.float64), np.array([x1 - x0, y1 - y0], np.float64)
        cropped = replace(camera, width=x1 - x0, height=y1 - y0, cx=camera.cx - x0, cy=camera.cy - y0)
        self.picture_camera = cropped.resized(self.picture.shape[1], self.picture.shape[0])

    def _depths(self, camera: Camera, mesh: Mesh) -> tuple[FloatArray, Camera]:
        """The nearest depth within two pixels in a small picture of the mesh, and that picture's camera."""
        from scipy.ndimage import minimum_filter

        pixels, _ = camera.project(mesh.vertices)
        low, high = pixels.min(0), pixels.max(0)
        zoom = (_DEPTH_SIZE - 8) / float((high - low).max())
        small = Camera(
            _DEPTH_SIZE,
            _DEPTH_SIZE,
            camera.fx * zoom,
            camera.fy * zoom,
            (camera.cx - float(low[0])) * zoom + 4,
            (camera.cy - float(low[1])) * zoom + 4,
            camera.world_from_camera,
        )
        origin, directions = small.rays()
        depth = self.scene.cast(origin, directions.reshape(-1, 3)).distance.reshape(_DEPTH_SIZE, _DEPTH_SIZE)
        return minimum_filter(depth, 5), small

    def facing(self, points: FloatArray, normals: FloatArray) -> FloatArray:
        """Cosine (N,) between unit normals and the direction to the camera."""
        view = self.position.astype(np.float32) - points
        return np.asarray(
            np.einsum("ij,ij->i", view, normals) / np.maximum(np.linalg.norm(view, axis=1), 1e-12), np.float32
        )

    def __call__(self, points: FloatArray, normals: FloatArray, offset: float = 0.003) -> tuple[FloatArray, FloatArray]:
        """Linear colour (N, 3) and weight (N,) in [0, 1] of surface points (N, 3) with unit normals (N, 3).

        Weight 0: turned away, hidden (by rays that start ``offset`` times the mesh's diagonal above the surface),
        outside the mask or the picture. It fades in at grazing angles and behind the edges of nearer parts.
        """
        color, weight = np.zeros((len(points), 3), np.float32), np.zeros(len(points), np.float32)
        fade = np.clip((self.facing(points, normals) - _GRAZING) / (_FACING - _GRAZING), 0, 1)
        chosen = np.flatnonzero(fade > 0)
        p = points[chosen]
        slopes, depth = self._in_camera(p)
        seen = self._sampled(slopes)
        trust = seen[:, 3] * (fade * fade * (3 - 2 * fade))[chosen] * self._unhidden(slopes, depth)
        trust[depth <= 0] = 0
        alive = np.flatnonzero(trust > 0)
        start = p[alive] + (offset * self.size) * normals[chosen[alive]]
        trust[alive[self.scene.occluded(start, self.position.astype(np.float32) - start)]] = 0
        color[chosen], weight[chosen] = seen[:, :3], trust
        return color, weight

    def through_window(self, uv: FloatArray) -> FloatArray:
        """Linear colour and trust (N, 4) of the picture at window coordinates (N, 2) in [0, 1]."""
        height, width = self.picture.shape[:2]
        x = np.clip(uv[:, 0] * np.float32(width) - np.float32(0.5), 0, max(width - 1.001, 0))
        y = np.clip(uv[:, 1] * np.float32(height) - np.float32(0.5), 0, max(height - 1.001, 0))
        x0, y0 = x.astype(np.int32), y.astype(np.int32)
        fx, fy = (x - x0)[:, None].astype(np.float32), (y - y0)[:, None].astype(np.float32)
        flat, at = self.picture.reshape(-1, 4), y0 * np.int32(width) + x0
        right, down = int(width > 1), width * int(height > 1)
        above = flat[at] + fx * (flat[at + right] - flat[at])
        below = flat[at + down] + fx * (flat[at + down + right] - flat[at + down])
        return np.asarray(above + fy * (below - above), np.float32)

    def _in_camera(self, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """x / z and y / z (2, N) and depth z (N,) of points in the camera's frame; z kept from zero."""
        rotation = self._camera.world_from_camera[:3, :3].astype(np.float32)
        x, y, z = rotation.T @ (points - self.position.astype(np.float32)).T
        safe = np.where(np.abs(z) < 1e-9, np.float32(1e-9), z)
        return np.stack([x / safe, y / safe]), z

    def _sampled(self, slopes: FloatArray) -> FloatArray:
        """Colour and trust (N, 4) of the prepared photo along view rays (2, N); trust 0 outside it."""
        camera, (corner, extent) = self._camera, self._window
        uv = np.stack(
            [
                (slopes[0] * camera.fx + (camera.cx - corner[0])) / extent[0],
                (slopes[1] * camera.fy + (camera.cy - corner[1])) / extent[1],
            ],
            1,
        )
        values = self.through_window(uv)
        values[((uv < 0) | (uv > 1)).any(1), 3] = 0
        return values

    def _unhidden(self, slopes: FloatArray, depth: FloatArray) -> FloatArray:
        """1 where nothing much nearer lies within two small pixels, 0 where it does: (N,)."""
        camera = self._depth_camera
        x = np.clip(slopes[0] * camera.fx + camera.cx, 0, _DEPTH_SIZE - 1).astype(np.int64)
        y = np.clip(slopes[1] * camera.fy + camera.cy, 0, _DEPTH_SIZE - 1).astype(np.int64)
        behind = (depth - self._nearest[y, x]) / (_BEHIND * self.size)
        return np.asarray(np.clip(2 - behind, 0, 1), np.float32)


def averaged(image: FloatArray, scale: float) -> FloatArray:
    """The image (H, W, C) at ``scale`` times its size (at most 1), averaged over areas."""
    from PIL import Image

    if scale > 0.9:
        return image
    size = max(8, round(image.shape[1] * scale)), max(8, round(image.shape[0] * scale))
    planes = [
        np.asarray(Image.fromarray(np.ascontiguousarray(image[..., k])).resize(size, Image.Resampling.HAMMING))
        for k in range(image.shape[2])
    ]
    return np.stack(planes, 2)
