"""Depths of a set without those in the sky: at roofs and branches stereo takes its blue for something near."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..capture import Capture, Decision, Photo

#: Share of a set's pixels under which sky is not worth a word.
_TOLD = 0.005


def without_sky(capture: Capture, estimate: Callable[[Capture], Capture]) -> Capture:
    """The capture with ``depth.sky`` set, and z NaN there, on every photo that has a depth and no mask.

    estimate: an estimator of single pictures that tells sky (``depth`` of the registry). Decision: "sky".
    """
    photos = tuple(
        photo if photo.depth is None or photo.mask is not None else _cleared(photo, estimate)
        for photo in capture.photos
    )
    skies = [photo.depth.sky for photo in photos if photo.depth is not None and photo.depth.sky is not None]
    share = float(np.mean([sky.mean() for sky in skies])) if skies else 0.0
    told = Decision("sky", round(share, 3), "estimated", "share of the pictures; nothing is measured there")
    return replace(capture, photos=photos, decisions=(*capture.decisions, *([told] if share > _TOLD else [])))


def _cleared(photo: Photo, estimate: Callable[[Capture], Capture]) -> Photo:
    found = estimate(Capture((replace(photo, depth=None),))).photo.depth
    depth = photo.depth
    assert depth is not None
    if found is None or found.sky is None or not found.sky.any():
        return photo
    sky = _resized(found.sky, depth.z.shape[0], depth.z.shape[1])
    z = np.where(sky, np.float32(np.nan), depth.z).astype(np.float32)
    return replace(photo, depth=replace(depth, z=z, sky=sky))


def _resized(sky: NDArray[np.bool_], height: int, width: int) -> NDArray[np.bool_]:
    """The nearest pixel's answer at another size."""
    rows = np.minimum((np.arange(height) + 0.5) * sky.shape[0] / height, sky.shape[0] - 1).astype(np.int64)
    columns = np.minimum((np.arange(width) + 0.5) * sky.shape[1] / width, sky.shape[1] - 1).astype(np.int64)
    return sky[rows[:, None], columns[None]]
