"""What scanning, photographing, copying and shrinking do to a drawing: lightness (H, W) uint8 in and out."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from .layouts import Rng


def damaged(image: Any, labels: Any, rng: Rng) -> tuple[Any, Any]:
    """The drawing as it may come in, already evened as the reader evens it: paper near 1; labels bent along."""
    kind = rng.random()
    flat = image.astype(np.float32) / 255
    if rng.random() < 0.12:
        flat = _inverted(flat, rng)
    if kind < 0.25:
        return _bytes(flat), labels
    if kind > 0.6 and rng.random() < 0.6:
        flat, labels = _bent(flat, labels, rng)
    if rng.random() < 0.5:
        flat = ndimage.gaussian_filter(flat, float(rng.uniform(0.3, 1.3)))
    if rng.random() < 0.25:
        flat = _shrunk(flat, rng)
    if rng.random() < 0.3:
        flat = _faded(flat, rng)
    if rng.random() < 0.5:
        flat = flat + rng.normal(0, rng.uniform(0.005, 0.06), flat.shape).astype(np.float32)
    if rng.random() < 0.25:
        flat = _speckled(flat, rng)
    if rng.random() < 0.35:
        flat = flat * _shade(flat.shape, rng)
    if rng.random() < 0.15:
        flat = (flat > rng.uniform(0.45, 0.8)).astype(np.float32)
    elif rng.random() < 0.5:
        flat = _jpeg(flat, int(rng.integers(25, 90)))
    return _bytes(flat), labels


def _bytes(flat: Any) -> Any:
    return np.rint(np.clip(flat, 0, 1) * 255).astype(np.uint8)


def _inverted(flat: Any, rng: Rng) -> Any:
    """A sheet of light lines on dark ground, turned over: pens of many greys."""
    return 1 - (1 - flat) * rng.uniform(0.45, 1.0)


def _shrunk(flat: Any, rng: Rng) -> Any:
    """Through a smaller picture and back."""
    h, w = flat.shape
    share = rng.uniform(0.5, 0.9)
    picture = Image.fromarray(_bytes(flat))
    small = picture.resize((max(8, int(w * share)), max(8, int(h * share))), Image.Resampling.BOX)
    return np.asarray(small.resize((w, h), Image.Resampling.BICUBIC)).astype(np.float32) / 255


def _faded(flat: Any, rng: Rng) -> Any:
    """Fainter ink, in patches."""
    return 1 - (1 - flat) * _smooth(rng.uniform(0.35, 1.0, (6, 6)), *flat.shape)


def _speckled(flat: Any, rng: Rng) -> Any:
    spots = rng.random(flat.shape) < rng.uniform(0.0002, 0.004)
    if rng.random() < 0.5:
        spots = ndimage.binary_dilation(spots)
    return np.where(spots, rng.uniform(0, 0.6), flat)


def _shade(shape: tuple[int, ...], rng: Rng) -> Any:
    """What evening leaves of shadows: a few per cent, slowly varying."""
    return _smooth(rng.uniform(0.86, 1.02, (4, 4)), shape[0], shape[1])


def _smooth(coarse: Any, height: int, width: int) -> Any:
    """A coarse grid of values drawn out to so many pixels."""
    small = Image.fromarray(coarse.astype(np.float32))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def _jpeg(flat: Any, quality: int) -> Any:
    out = io.BytesIO()
    Image.fromarray(_bytes(flat)).save(out, "JPEG", quality=quality)
    return np.asarray(Image.open(out)).astype(np.float32) / 255


def _bent(flat: Any, labels: Any, rng: Rng) -> tuple[Any, Any]:
    """Paper that does not lie flat: smooth shifts of up to two pixels."""
    h, w = flat.shape
    ys, xs = np.mgrid[:h, :w].astype(np.float32)
    shifts = [_smooth(rng.normal(0, 1.0, (4, 4)), h, w) for _ in range(2)]
    places = [ys + shifts[0], xs + shifts[1]]
    bent = ndimage.map_coordinates(flat, places, order=1, mode="nearest")
    return bent, ndimage.map_coordinates(labels, places, order=0, mode="nearest")
