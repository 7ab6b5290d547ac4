"""The frame in which the object network sees: a square crop, and a view frame scaled so that the crop has one size.

A single picture fixes an object up to scale, so scale is chosen: the plane through the object's middle, square to the
optical axis, is FRAME_WIDTH units wide inside the crop. The virtual camera looks at the view frame's origin, which
lies on the crop's central ray at that plane; it has azimuth 0, no roll, and elevation ``e``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..camera import Camera
from ..conventions import view_from_camera

#: Width of the crop in view units at the distance of the origin.
FRAME_WIDTH = 1.2

#: The crop's side over the longer side of the object's bounding box in the picture.
CROP_PADDING = 1.12


def distance_of(yfov: float | NDArray[np.floating]) -> float | NDArray[np.floating]:
    """Distance from the virtual camera to the origin, in view units, for a crop of vertical field of view ``yfov``."""
    return 0.5 * FRAME_WIDTH / np.tan(0.5 * np.asarray(yfov))


def crop_camera(size_px: int, yfov: float, elevation: float) -> Camera:
    """The virtual camera of a crop; its world is the view frame."""
    return Camera.from_fov(size_px, size_px, yfov, view_from_camera(elevation, float(distance_of(yfov))))
