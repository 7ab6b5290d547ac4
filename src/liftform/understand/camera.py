"""Where the camera was: field of view and elevation, from the user, EXIF, or what the networks read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ..camera import Camera
from ..capture import Capture, Decision, Depth, Photo
from ..errors import UsageError
from ..recipe import option
from ..runtime import Runtime
from ..zoo import lifter
from ..zoo.object_frame import bounding_box, photo_camera, virtual_camera
from .gravity import pose, upright

#: Vertical field of view (degrees) of the first look, before the network has said its own.
FIRST_FOV_DEG = 38.0
#: Field of view (degrees) of the longer side of a scene of which nothing is known: that of most phones.
SCENE_FOV_DEG = 65.0
#: Fields of view a photo of an object can have; estimates are held inside.
FOV_RANGE_DEG = (8.0, 95.0)


@dataclass(frozen=True)
class CameraOptions:
    """What is known of the camera."""

    fov_deg: float | None = option(
        None, "vertical field of view of the picture in degrees (default: EXIF, else estimated)", "fov", 3.0, 150.0
    )
    elevation_deg: float | None = option(
        None, "angle at which the camera looks down in degrees (default: estimated)", "elevation", -89, 89
    )


def camera(options: CameraOptions, runtime: Runtime) -> Callable[[Capture], Capture]:
    """Estimator that places the first photo's camera in the view frame; needs the photo's mask, or its depth.

    Of an object, the view frame's origin is its middle; of a scene, the camera itself. Raises UsageError when neither
    has been found yet.
    """

    def estimate(capture: Capture) -> Capture:
        photo = capture.photo
        if photo.depth is not None and photo.is_scene:
            return _scene(capture, photo, photo.depth, options)
        if photo.mask is None:
            raise UsageError("the camera is estimated from the masked object", "run the mask stage first")
        focal, origin = _known_focal(photo, options)
        first = focal or _focal_of(photo, np.radians(FIRST_FOV_DEG))
        box = bounding_box(photo.mask.alpha)
        elevation, tan_half = _look(photo, first, np.radians(options.elevation_deg or 15.0), runtime)
        if focal is None:
            side = max(box[2] - box[0], box[3] - box[1])
            longest = max(photo.size)
            focal = float(np.clip(0.5 * side * 1.12 / tan_half, *_focal_limits(longest)))
            origin = "estimated"
        if options.elevation_deg is not None:
            elevation, how = float(np.radians(options.elevation_deg)), "given"
        else:
            how = "estimated"
        placed = photo_camera(photo.size, focal, box, elevation)
        return capture.learned(
            replace(photo, camera=placed),
            Decision("field of view", round(float(np.degrees(placed.yfov)), 2), origin, "vertical, degrees"),
            Decision("elevation", round(float(np.degrees(elevation)), 2), how, "camera above the object, degrees"),
        )

    return estimate


def _scene(capture: Capture, photo: Photo, depth: Depth, options: CameraOptions) -> Capture:
    """The camera of a scene: field of view from the user, EXIF or the depth network; upright by the surfaces."""
    focal, origin = _known_focal(photo, options)
    width, height = photo.size
    if focal is None:
        focal = 0.5 * max(width, height) / (depth.tan_half or np.tan(np.radians(SCENE_FOV_DEG) / 2))
        focal, origin = float(focal), "estimated" if depth.tan_half else "guessed"
    given = None if options.elevation_deg is None else float(np.radians(options.elevation_deg))
    camera = Camera(width, height, focal, focal, width / 2, height / 2)
    elevation, roll, agreement = upright(depth, camera, given)
    how = "given" if given is not None else "estimated" if agreement > 0 else "guessed"
    posed = replace(camera, world_from_camera=pose(elevation, roll))
    turn = {"down": round(float(np.degrees(elevation)), 2), "roll": round(float(np.degrees(roll)), 2)}
    note = "degrees" if agreement > 0 else "degrees; no level or upright surfaces to tell it from"
    return capture.learned(
        replace(photo, camera=posed),
        Decision("field of view", round(float(np.degrees(posed.yfov)), 2), origin, "vertical, degrees"),
        Decision("camera tilt", turn, how, note),
    )


def _look(photo: Photo, focal_px: float, elevation: float, runtime: Runtime) -> tuple[float, float]:
    """The network's elevation (radians) and tangent of half the crop's field of view."""
    assert photo.mask is not None
    box = bounding_box(photo.mask.alpha)
    placed = photo_camera(photo.size, focal_px, box, elevation)
    virtual = virtual_camera(placed, box, lifter.input_size())
    image, _ = lifter.crop(photo.mask.foreground, photo.mask.alpha, placed, virtual)
    # The mirror image has the same camera: the mean of both readings is the steadier one.
    both = [lifter.read(i, runtime) for i in (image, np.ascontiguousarray(image[..., ::-1]))]
    elevation = float(np.mean([reading.elevation for reading in both]))
    return float(np.clip(elevation, -1.5, 1.5)), float(np.sqrt(both[0].tan_half * both[1].tan_half))


def _known_focal(photo: Photo, options: CameraOptions) -> tuple[float | None, str]:
    if options.fov_deg is not None:
        return _focal_of(photo, np.radians(options.fov_deg)), "given"
    if photo.focal_px is not None:
        return photo.focal_px, "file"
    return None, "estimated"


def _focal_of(photo: Photo, yfov: float) -> float:
    return float(0.5 * photo.size[1] / np.tan(0.5 * yfov))


def _focal_limits(longest: int) -> tuple[float, float]:
    low, high = (0.5 * longest / np.tan(0.5 * np.radians(fov)) for fov in reversed(FOV_RANGE_DEG))
    return float(low), float(high)
