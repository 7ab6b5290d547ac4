"""Depth maps as fusion reads them: camera, z, normals and colours of each view; outside its mask nothing is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from ...assets import FloatArray
from ...camera import Camera
from ...capture import Capture, Photo
from ...conventions import linear_to_srgb, srgb_to_linear, to_uint8
from ...errors import ReconstructionError

Floats = NDArray[np.float64]

#: Neighbours of a pixel this far apart in depth (share of it) lie on different surfaces.
_JUMP = 0.03
#: Opacity of a mask above which a pixel shows the object, and below which it shows nothing of it.
_SOLID, _EMPTY = 0.5, 0.1


@dataclass(frozen=True)
class Map:
    """One view. camera: pinhole at the size of ``z``.

    z (h, w) float32: z-distance, NaN where unknown, infinite where the mask or the sky says that nothing is there.
    normals (h, w, 3) float32, unit, camera frame, towards the camera, NaN where z is not finite. colors (h, w, 3)
    uint8 sRGB. trust (h, w) float32 in [0, 1]: how far a depth is believed.
    """

    camera: Camera
    z: FloatArray
    normals: FloatArray
    colors: NDArray[np.uint8]
    trust: FloatArray

    @property
    def lens(self) -> Floats:
        """fx, fy, cx, cy in pixels."""
        c = self.camera
        return np.array([c.fx, c.fy, c.cx, c.cy])

    @property
    def footprint(self) -> float:
        """Median width that a pixel covers on the surfaces it shows, world units; NaN without any."""
        known = self.z[np.isfinite(self.z)]
        return float(np.median(known) / self.camera.fx) if len(known) else float("nan")

    def with_depth(self, z: FloatArray, trust: FloatArray) -> Map:
        """The same view with other depths."""
        return replace(self, z=z, trust=trust)


def maps_of(capture: Capture) -> list[Map]:
    """A map for every photo with a camera and depth, in order.

    Raises ReconstructionError when there is none, or when depths are only known up to a shift ("affine").
    """
    chosen = [photo for photo in capture.photos if photo.camera is not None and photo.depth is not None]
    if any(photo.depth is not None and photo.depth.scale == "affine" for photo in chosen):
        raise ReconstructionError("depth known only up to a shift cannot be joined", "use depth from several pictures")
    found = [_map(photo) for photo in chosen]
    if not any(np.isfinite(one.z).any() for one in found):
        raise ReconstructionError("no picture of this set has depth", "run the stereo stage first")
    return found


def _map(photo: Photo) -> Map:
    assert photo.camera is not None
    assert photo.depth is not None
    depth = photo.depth
    height, width = depth.z.shape
    camera = photo.camera.resized(width, height)
    z = np.where(depth.z > 0, depth.z, np.nan).astype(np.float32)
    if depth.sky is not None:
        z[depth.sky] = np.inf
    alpha = photo.mask.alpha if photo.mask is not None else photo.alpha
    if alpha is not None:
        z = _masked(z, sized(alpha, width, height))
    lens = np.array([camera.fx, camera.fy, camera.cx, camera.cy])
    normals = normals_of(z, lens)
    if depth.normals is not None:
        normals = np.where(np.isfinite(z)[..., None], depth.normals, np.nan).astype(np.float32)
    trust = np.isfinite(z).astype(np.float32)
    if depth.spread is not None:
        trust *= _trusted(depth.spread)
    linear = sized(srgb_to_linear(photo.image), width, height)
    return Map(camera, z, normals, to_uint8(linear_to_srgb(linear)), trust)


def _masked(z: FloatArray, alpha: FloatArray) -> FloatArray:
    """Depth unknown at the mask's edge and infinite outside, a pixel and a half away from it."""
    from scipy.ndimage import binary_erosion

    empty = binary_erosion(alpha < _EMPTY, np.ones((3, 3)), border_value=1)
    return np.where(empty, np.float32(np.inf), np.where(alpha > _SOLID, z, np.float32(np.nan)))


def _trusted(spread: FloatArray) -> FloatArray:
    """Weight of a depth by its expected error, against the middle one: inverse variance, 1 at most."""
    known = spread[np.isfinite(spread) & (spread > 0)]
    middle = float(np.median(known)) if len(known) else 1.0
    ratio = middle / np.maximum(np.nan_to_num(spread, nan=4 * middle), 1e-9)
    return np.clip(ratio**2, 0.05, 1.0).astype(np.float32)


def sized(image: FloatArray, width: int, height: int) -> FloatArray:
    """An image (H, W) or (H, W, C), linear, averaged or interpolated to another size."""
    from PIL import Image

    if image.shape[:2] == (height, width):
        return image
    planes = image[..., None] if image.ndim == 2 else image
    out = [
        np.asarray(Image.fromarray(np.ascontiguousarray(planes[..., k])).resize((width, height), Image.Resampling.BOX))
        if width <= image.shape[1]
        else np.asarray(
            Image.fromarray(np.ascontiguousarray(planes[..., k])).resize((width, height), Image.Resampling.BILINEAR)
        )
        for k in range(planes.shape[2])
    ]
    return out[0] if image.ndim == 2 else np.stack(out, 2)


@numba.njit(cache=True, nogil=True)
def normals_of(z: Any, lens: Any) -> Any:
    """Normals (h, w, 3) float32 of a depth map, camera frame, towards the camera; NaN where they cannot be told.

    Slopes along rows and columns over two pixels to each side, as far as depth has no jump.
    """
    height, width = z.shape
    out = np.full((height, width, 3), np.nan, np.float32)
    t = np.zeros((2, 3))
    for y in range(height):
        for x in range(width):
            here = z[y, x]
            if not np.isfinite(here):
                continue
            sound = True
            for axis in range(2):
                low, high = 0, 0
                for step in (1, 2):
                    yy, xx = (y, x - step) if axis == 0 else (y - step, x)
                    if low == step - 1 and yy >= 0 and xx >= 0 and abs(z[yy, xx] - here) < _JUMP * here:
                        low = step
                    yy, xx = (y, x + step) if axis == 0 else (y + step, x)
                    if high == step - 1 and yy < height and xx < width and abs(z[yy, xx] - here) < _JUMP * here:
                        high = step
                if low + high == 0:
                    sound = False
                    break
                for k in range(3):
                    t[axis, k] = 0.0
                for side in range(2):
                    step = high if side == 0 else -low
                    yy, xx = (y, x + step) if axis == 0 else (y + step, x)
                    sign = 1.0 if side == 0 else -1.0
                    d = z[yy, xx]
                    t[axis, 0] += sign * (xx + 0.5 - lens[2]) / lens[0] * d
                    t[axis, 1] += sign * (yy + 0.5 - lens[3]) / lens[1] * d
                    t[axis, 2] += sign * d
            if not sound:
                continue
            a = t[0, 1] * t[1, 2] - t[0, 2] * t[1, 1]
            b = t[0, 2] * t[1, 0] - t[0, 0] * t[1, 2]
            c = t[0, 0] * t[1, 1] - t[0, 1] * t[1, 0]
            size = np.sqrt(a * a + b * b + c * c)
            facing = a * (x + 0.5 - lens[2]) / lens[0] + b * (y + 0.5 - lens[3]) / lens[1] + c
            if size < 1e-30:
                continue
            if facing > 0:
                size = -size
            out[y, x, 0], out[y, x, 1], out[y, x, 2] = a / size, b / size, c / size
    return out


def relative(to: Map, of: Map) -> Floats:
    """to_from_of (3, 4): takes points of one camera's frame to another's."""
    return np.ascontiguousarray((to.camera.camera_from_world @ of.camera.world_from_camera)[:3])


def usual_footprint(maps: Sequence[Map]) -> float:
    """Width of a pixel on the nearer surfaces, over all views: a quarter of all depths have a smaller one. Scenes may
    have more background than foreground in their pictures."""
    sizes = [one.z[np.isfinite(one.z)][::11] / one.camera.fx for one in maps]
    return float(np.quantile(np.concatenate(sizes), 0.25))
