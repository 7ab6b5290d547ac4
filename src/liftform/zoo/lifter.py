"""The object network at inference: ONNX sessions behind numpy calls (architecture and training: object_net.py)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..camera import Camera
from ..runtime import Runtime
from . import weights
from .object_frame import resample

FloatArray = NDArray[np.float32]

#: Points per call of the field network: large enough to fill two cores, small enough to stay in cache.
CHUNK = 16384


@dataclass(frozen=True)
class Reading:
    """What the network says of one crop.

    camera: the virtual camera it was read with, or None when only the camera is wanted. alpha (S, S). depth (T, T) of
    the visible surface relative to the origin, and normals (3, T, T), both in the virtual camera's frame and view
    units. elevation (radians) and tan_half (tangent of half the crop's field of view) are the network's estimates.
    mirror: unit normal (3,), offset and trust in [0, 1] of a vertical symmetry plane in the view frame.
    maps: inputs of the field network.
    """

    alpha: FloatArray
    depth: FloatArray
    normals: FloatArray
    elevation: float
    tan_half: float
    mirror: tuple[FloatArray, float, float]
    maps: dict[str, FloatArray]

    @property
    def solid(self) -> NDArray[np.bool_]:
        """Which cells (T, T) of the depth map show the object."""
        step = self.alpha.shape[0] // self.depth.shape[0]
        return self.alpha[::step, ::step] > 0.6


def input_size() -> int:
    """Side of the crop the embedded network takes, in pixels."""
    return int(weights.session("object_encoder").get_inputs()[0].shape[2])


def crop(colour: FloatArray, alpha: FloatArray, photo: Camera, virtual: Camera) -> tuple[FloatArray, FloatArray]:
    """The network's input (1, 4, S, S) and the crop's alpha (S, S), for a photo (H, W, 3) sRGB and alpha (H, W)."""
    rgb, cover = resample(colour, alpha, photo, virtual)
    image = np.concatenate([rgb * cover[..., None] + 0.5 * (1 - cover[..., None]), cover[..., None]], -1)
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32), cover


def read(image: FloatArray, runtime: Runtime | None = None) -> Reading:
    """Run the encoder on an input made by ``crop``."""
    session = weights.session("object_encoder", runtime)
    names = [o.name for o in session.get_outputs()]
    out = dict(zip(names, session.run(names, {"image": image}), strict=True))
    angle = 0.5 * np.arctan2(out["mirror"][0, 1], out["mirror"][0, 0])
    normal = np.array([np.cos(angle), 0.0, np.sin(angle)], np.float32)
    trust = float(1 / (1 + np.exp(-out["mirror"][0, 3])))
    return Reading(
        image[0, 3],
        out["depth"][0, 0],
        out["normals"][0],
        float(out["camera"][0, 0]),
        float(np.exp(out["camera"][0, 1])),
        (normal, float(out["mirror"][0, 2]), trust),
        {"alpha": image[:, 3:], **{k: out[k] for k in ("features", "depth", "code", "mirror")}},
    )


def field_of(
    reading: Reading, virtual: Camera, runtime: Runtime | None = None
) -> Callable[[NDArray[np.floating]], FloatArray]:
    """The field as a function of points (N, 3) in the view frame -> (N, 4): signed distance in view units
    (negative inside, saturating beyond about 0.08) and sRGB colour in [0, 1]."""
    session = weights.session("object_field", runtime)
    settings = weights.metadata("object_field", runtime)
    scale = float(settings["field_scale"])
    pose = virtual.world_from_camera
    elevation = np.array([np.arcsin(-pose[1, 2])], np.float32)
    tan_half = np.array([np.tan(virtual.yfov / 2)], np.float32)
    fixed = {**reading.maps, "elevation": elevation, "tan_half": tan_half}

    def field(points: NDArray[np.floating]) -> FloatArray:
        q = (np.asarray(points, np.float32) @ pose[:3, :3].astype(np.float32))[None]
        parts = [session.run(None, {**fixed, "q": q[:, i : i + CHUNK]})[0][0] for i in range(0, q.shape[1], CHUNK)]
        out = np.concatenate(parts) if parts else np.zeros((0, 4), np.float32)
        colour = 1 / (1 + np.exp(-np.clip(out[:, 1:], -20, 20)))
        return np.concatenate([out[:, :1] * scale, colour], 1).astype(np.float32)

    return field
