"""What came in, and what has been learned of it: Photo, Mask, Depth, Sparse, Decision, Capture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .camera import Camera
from .lens import Lens

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Decision:
    """One thing that was decided on the way: what, its value (JSON-ready), and where it came from.

    origin is one of "given" (the user), "file" (EXIF, alpha), "estimated" (a network or measurement),
    "guessed" (a default without evidence).
    """

    what: str
    value: Any
    origin: str
    note: str = ""


@dataclass(frozen=True)
class Mask:
    """Foreground of one photo.

    alpha (H, W) float32 in [0, 1]. foreground (H, W, 3) float32 sRGB: the photo with the background's colour
    removed from the object's edge (decontaminated), valid where alpha > 0. confidence in [0, 1].
    """

    alpha: FloatArray
    foreground: FloatArray
    confidence: float


@dataclass(frozen=True)
class Depth:
    """How far away everything in one photo is. All maps cover the whole photo, at its size or smaller.

    z (h, w) float32: z-distance > 0, NaN where unknown and where nothing is. scale says what z means: "metric"
    (metres), "relative" (true up to one factor), "affine" (true up to a factor and a shift). normals (h, w, 3) float32
    unit, camera frame, towards the camera, or None. sky (h, w) bool: nothing is there. spread (h, w) float32: expected
    relative error of z, or None. source: what estimated it. tan_half: tangent of half the field of view along the
    photo's longer side, as estimated with the depth, or None.
    """

    z: FloatArray
    scale: Literal["metric", "relative", "affine"] = "relative"
    normals: FloatArray | None = None
    sky: NDArray[np.bool_] | None = None
    spread: FloatArray | None = None
    source: str = "given"
    tan_half: float | None = None


@dataclass(frozen=True)
class Reference:
    """A flat rectangle of known shape in one photo, lying on what the object stands on.

    kind: "aruco", "apriltag", "a4", "letter" or "card"; name: how to call it. corners_px (4, 2) float64, pixels of the
    photo, clockwise as seen. size_m: (from corner 0 to 1, from 1 to 2) in metres, or None where only its shape is
    known; shape: the same with a shorter side of 1. sure in [0, 1]. error_px: standard error of a corner.
    focal_error: expected relative error of the focal length that it is measured with.
    """

    kind: str
    name: str
    corners_px: NDArray[np.float64]
    shape: tuple[float, float]
    size_m: tuple[float, float] | None = None
    sure: float = 1.0
    error_px: float = 0.1
    focal_error: float = 0.0


@dataclass(frozen=True)
class Photo:
    """One picture at working size, upright, in sRGB.

    image (H, W, 3) float32 in [0, 1], sRGB-encoded. alpha (H, W) float32 straight, or None where the file had none.
    source: the file's name, or "array". original_size: (width, height) of the file after EXIF orientation.
    focal_px: focal length in pixels of ``image`` from EXIF, or None.
    mask, depth and camera are None until a stage has found them; the camera's world is the view frame (conventions).
    A photo whose depth is known and whose mask is not is that of a scene. reference: a thing of known size beside the
    object, or None.
    Of a set: lens, how ``image`` was drawn, where that is known (``camera`` is then the lens's pinhole: it sees
    ``lens.undistorted(image, lens)``); posed: whether ``camera`` came with the picture; exposure: how much brighter it
    is than the set's middle, in stops of linear light, or None.
    """

    image: FloatArray
    alpha: FloatArray | None = None
    source: str = "array"
    original_size: tuple[int, int] = (0, 0)
    focal_px: float | None = None
    mask: Mask | None = None
    depth: Depth | None = None
    camera: Camera | None = None
    reference: Reference | None = None
    lens: Lens | None = None
    posed: bool = False
    exposure: float | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the working image."""
        return self.image.shape[1], self.image.shape[0]

    @property
    def is_scene(self) -> bool:
        """Whether the whole picture is lifted by its depth, and not one object in it."""
        return self.depth is not None and self.mask is None


@dataclass(frozen=True)
class Sparse:
    """Points of a scene that several photos of a set show, and which photos those are.

    points (N, 3) float64, world frame; colors (N, 3) float32 sRGB in [0, 1]; errors (N,) float32: root mean square
    distance to where they were seen, pixels. Sightings: photo (M,) int32, index into the capture's photos; point (M,)
    int32, index into ``points``; pixels (M, 2) float32 of the photo's image as it is (not undistorted).
    """

    points: NDArray[np.float64]
    colors: FloatArray
    errors: FloatArray
    photo: NDArray[np.int32]
    point: NDArray[np.int32]
    pixels: FloatArray

    def seen_by(self, photo: int) -> NDArray[np.int32]:
        """The points (K,) that a photo shows."""
        return self.point[self.photo == photo]


@dataclass(frozen=True)
class Capture:
    """Photos of one thing, and the decisions taken so far, oldest first.

    sparse: what a set's photos have in common, once their cameras are known. metric: whether the cameras' world is in
    metres.
    """

    photos: tuple[Photo, ...]
    decisions: tuple[Decision, ...] = ()
    sparse: Sparse | None = None
    metric: bool = False

    @property
    def photo(self) -> Photo:
        """The first photo: the only one on the single-picture road."""
        return self.photos[0]

    def learned(self, photo: Photo, *decisions: Decision) -> Capture:
        """A copy in which the first photo is replaced and decisions are added."""
        return replace(self, photos=(photo, *self.photos[1:]), decisions=(*self.decisions, *decisions))
