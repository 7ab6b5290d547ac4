"""A set with known cameras as pinhole cameras see it: only placed photos, free of distortion, evenly bright."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..capture import Capture, Mask, Photo, Sparse
from ..conventions import linear_to_srgb, srgb_to_linear
from ..errors import ReconstructionError
from ..lens import Lens, undistorted


def straight(capture: Capture, even: bool = True) -> Capture:
    """The photos that have a camera, each as ``photo.camera`` sees it; masks and sightings with them.

    even: brightness brought to the set's middle by ``photo.exposure`` (in linear light), which is then 0. Photos of
    the result have pinhole lenses; sightings of photos that are left out are dropped, points are kept.
    Raises ReconstructionError when fewer than two photos have a camera.
    """
    kept = [i for i, photo in enumerate(capture.photos) if photo.camera is not None]
    if len(kept) < 2:
        raise ReconstructionError("fewer than two pictures have a camera", "find their places first: liftform poses")
    photos = tuple(_straight(capture.photos[i], even) for i in kept)
    sparse = None if capture.sparse is None else _renumbered(capture.sparse, capture.photos, kept)
    return replace(capture, photos=photos, sparse=sparse)


def _straight(photo: Photo, even: bool) -> Photo:
    lens, camera = photo.lens, photo.camera
    assert camera is not None
    bent = lens is not None and not lens.is_pinhole
    image = undistorted(photo.image, lens) if bent and lens else photo.image
    if even and photo.exposure:
        light = srgb_to_linear(image) * np.float32(2.0**-photo.exposure)
        image = linear_to_srgb(np.clip(light, 0.0, 1.0)).astype(np.float32)
    mask, alpha = photo.mask, photo.alpha
    if bent and lens:
        mask = None if mask is None else _mask(mask, lens)
        alpha = None if alpha is None else undistorted(alpha, lens)
    exposure = 0.0 if even and photo.exposure is not None else photo.exposure
    return replace(photo, image=image, alpha=alpha, mask=mask, lens=Lens.of(camera), exposure=exposure)


def _mask(mask: Mask, lens: Lens) -> Mask:
    return replace(mask, alpha=undistorted(mask.alpha, lens), foreground=undistorted(mask.foreground, lens))


def _renumbered(sparse: Sparse, photos: tuple[Photo, ...], kept: list[int]) -> Sparse:
    """Sightings of the kept photos, by their new numbers, where the straight pictures show them."""
    number = np.full(len(photos), -1, np.int32)
    number[kept] = np.arange(len(kept), dtype=np.int32)
    pixels = np.array(sparse.pixels, np.float32)
    for i in kept:
        lens, of = photos[i].lens, sparse.photo == i
        if lens is not None and not lens.is_pinhole and of.any():
            pixels[of] = lens.straightened(pixels[of])
    there = number[sparse.photo] >= 0
    return replace(sparse, photo=number[sparse.photo][there], point=sparse.point[there], pixels=pixels[there])
