"""Masks of pictures taken before a plain backdrop, by its colour alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...capture import Capture, Decision, Mask, Photo

FloatArray = NDArray[np.float32]

#: Width of the border that is looked at, as a share of the picture; share of it that has to be of one colour.
_BORDER, _ENOUGH = 0.03, 0.9
#: sRGB distances from the backdrop's colour: of what still belongs to it, and of what surely is object.
_SAME, _OTHER = 0.06, 0.12


def before_plain(capture: Capture) -> Capture | None:
    """The capture with masks, where nine of ten pictures show a border of one colour; None elsewhere."""
    masks = [_mask(photo) for photo in capture.photos]
    if sum(mask is not None for mask in masks) < _ENOUGH * len(masks):
        return None
    kept = [replace(photo, mask=mask) for photo, mask in zip(capture.photos, masks, strict=True) if mask is not None]
    if len(kept) < 2 or len(kept) < len(masks):
        return None
    told = Decision("masks", len(kept), "estimated", "the backdrop is plain: what differs from its colour is object")
    return replace(capture, photos=tuple(kept), decisions=(*capture.decisions, told))


def _mask(photo: Photo) -> Mask | None:
    """Foreground of one picture, or None where its border is not plain or nothing stands before it."""
    from scipy.ndimage import binary_fill_holes, binary_opening, label

    image = photo.image
    width = max(2, round(_BORDER * min(image.shape[:2])))
    ring = np.ones(image.shape[:2], bool)
    ring[width:-width, width:-width] = False
    color = np.median(image[ring], 0)
    away = np.abs(image - color).max(-1)
    if (away[ring] < _SAME).mean() < _ENOUGH:
        return None
    inside = binary_opening(binary_fill_holes(away > 0.5 * (_SAME + _OTHER)))
    labels, count = label(inside)
    if not count:
        return None
    sizes = np.bincount(labels.ravel())[1:]
    large = np.isin(labels, np.flatnonzero(sizes >= 0.05 * sizes.max()) + 1)
    return Mask(large.astype(np.float32), image, 0.7)
