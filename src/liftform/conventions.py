"""Frames, units and colour: the text that binds every module, and the only converters between them.

Transforms are named ``a_from_b`` (4x4, acting on columns). Radians inside, degrees only in names ending in ``_deg``.

=========  ==================================================================================
camera     OpenCV: +X right, +Y down, +Z forward. Pixel centres lie at (i + 0.5): W/2 is the middle.
world      right-handed, +Y up, the object's front faces +Z (glTF), metres, floor at y = 0.
view       gravity up (+Y), the camera at azimuth 0, that is in the plane x = 0, looking towards -Z.
           Single-object networks answer in this frame, in the unit box [-0.5, 0.5]^3 or close to it.
images     (H, W, 3) float32 in [0, 1], sRGB-encoded, straight alpha; linear arrays end in ``_linear``.
depth      z-distance, float32 (H, W), NaN where unknown.
meshes     (V, 3) float32, (F, 3) int32, counter-clockwise seen from outside; UV origin top-left.
=========  ==================================================================================
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

#: OpenGL camera (x right, y up, z back) from OpenCV camera (x right, y down, z forward); its own inverse.
GL_FROM_CV: NDArray[np.float64] = np.diag([1.0, -1.0, -1.0, 1.0])


#: What a pose that was read as world_from_camera (4x4, OpenCV axes) out of OpenGL axes may have meant instead: the pose
#: by the name of the mistake. "other": the axes were OpenCV's already; "inverse": it was OpenCV's camera_from_world;
#: "inverse-other": OpenGL's camera_from_world.
CONVENTIONS: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "other": lambda pose: pose @ GL_FROM_CV,
    "inverse": lambda pose: np.asarray(np.linalg.inv(pose @ GL_FROM_CV), np.float64),
    "inverse-other": lambda pose: np.asarray(np.linalg.inv(pose @ GL_FROM_CV) @ GL_FROM_CV, np.float64),
}


def srgb_to_linear(encoded: Array) -> Array:
    """sRGB-encoded values in [0, 1], any shape, to linear light (IEC 61966-2-1)."""
    x = np.asarray(encoded, np.float32)
    return np.where(x <= 0.04045, x / 12.92, ((np.maximum(x, 0.0) + 0.055) / 1.055) ** 2.4).astype(np.float32)


def linear_to_srgb(linear: Array) -> Array:
    """Linear light in [0, 1], any shape, to sRGB-encoded values (IEC 61966-2-1)."""
    x = np.clip(np.asarray(linear, np.float32), 0.0, 1.0)
    return np.where(x <= 0.0031308, x * 12.92, 1.055 * x ** (1 / 2.4) - 0.055).astype(np.float32)


def luminance(linear: Array) -> Array:
    """Relative luminance of linear RGB (..., 3) (ITU-R BT.709)."""
    return (np.asarray(linear, np.float32) @ np.array([0.2126, 0.7152, 0.0722], np.float32)).astype(np.float32)


def to_uint8(image: Array) -> NDArray[np.uint8]:
    """Values in [0, 1], any shape, to 0..255, rounded; NaN becomes 0."""
    return (np.clip(np.nan_to_num(image), 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


def view_from_camera(elevation: float, distance: float) -> NDArray[np.float64]:
    """view_from_camera (4x4) of a camera without roll at azimuth 0 that looks at the view frame's origin.

    elevation in radians, positive when the camera looks down on the object; distance in view units.
    The position is (0, d sin e, d cos e).
    """
    s, c = np.sin(elevation), np.cos(elevation)
    m = np.eye(4)
    m[:3, 0] = (1.0, 0.0, 0.0)
    m[:3, 1] = (0.0, -c, s)
    m[:3, 2] = (0.0, -s, -c)
    m[:3, 3] = (0.0, distance * s, distance * c)
    return m


def rotation_y(angle: float) -> NDArray[np.float64]:
    """Right-handed rotation (3x3) about +Y by ``angle`` radians: +Z turns towards +X."""
    s, c = np.sin(angle), np.cos(angle)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
