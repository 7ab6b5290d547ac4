"""What came in, and what has been learned of it: Photo, Mask, Decision, Capture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .camera import Camera

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
class Photo:
    """One picture at working size, upright, in sRGB.

    image (H, W, 3) float32 in [0, 1], sRGB-encoded. alpha (H, W) float32 straight, or None where the file had none.
    source: the file's name, or "array". original_size: (width, height) of the file after EXIF orientation.
    focal_px: focal length in pixels of ``image`` from EXIF, or None.
    mask and camera are None until a stage has found them; the camera's world is the view frame (conventions).
    """

    image: FloatArray
    alpha: FloatArray | None = None
    source: str = "array"
    original_size: tuple[int, int] = (0, 0)
    focal_px: float | None = None
    mask: Mask | None = None
    camera: Camera | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the working image."""
        return self.image.shape[1], self.image.shape[0]


@dataclass(frozen=True)
class Capture:
    """Photos of one thing, and the decisions taken so far, oldest first."""

    photos: tuple[Photo, ...]
    decisions: tuple[Decision, ...] = ()

    @property
    def photo(self) -> Photo:
        """The first photo: the only one on the single-picture road."""
        return self.photos[0]

    def learned(self, photo: Photo, *decisions: Decision) -> Capture:
        """A copy in which the first photo is replaced and decisions are added."""
        return replace(self, photos=(photo, *self.photos[1:]), decisions=(*self.decisions, *decisions))
