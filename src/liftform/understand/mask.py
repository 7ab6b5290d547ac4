"""Which pixels are the object: a mask file, the picture's own alpha, or the embedded network; then a clean edge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..capture import Capture, Decision, Mask, Photo
from ..errors import InputError, NothingFoundError, UsageError
from ..picture import decode, pixels
from ..recipe import option
from ..runtime import Runtime
from . import matting
from .component import chosen_component

FloatArray = NDArray[np.float32]

#: The whole picture (H, W, 3) sRGB in [0, 1], and the pick as fractions of width and height -> probability of
#: foreground (h, w), any size of the same shape.
Predict = Callable[[FloatArray, tuple[float, float] | None], FloatArray]

_HINT = "pass --mask mask.png, or --pick x,y on the object"
#: A picture whose channels span less than this (sRGB in [0, 1]) is plain.
_PLAIN = 0.03
#: Alpha under which a pixel counts as empty.
_EMPTY = 0.02
#: Confidence below which the report warns.
_LOW_CONFIDENCE = 0.6
#: How far the shapes of a mask file and its picture may differ.
_SHAPE_TOLERANCE = 0.02


@dataclass(frozen=True)
class MaskOptions:
    """What is known of the foreground. path: a mask file. pick: (x, y) in pixels of the original upright picture."""

    path: Path | None = option(None, "picture whose alpha, or white on black, marks the object", keyword="mask")  # noqa: RUF009
    pick: tuple[float, float] | None = option(
        None, "x,y of a pixel on the wanted object, in the original upright picture", keyword="pick"
    )


def mask(options: MaskOptions, runtime: Runtime) -> Callable[[Capture], Capture]:
    """Estimator that sets ``photo.mask``: from ``options.path``, else the file's alpha, else the network "mask".

    Raises NothingFoundError (fully transparent, nothing found, nothing under ``pick``), UsageError (``pick`` outside
    the picture), InputError (a mask file that is unreadable or of another shape), WeightsError.
    """
    return estimator(options, runtime, lambda image, pick: _network(image, pick, runtime))


def estimator(
    options: MaskOptions, runtime: Runtime, predict: Predict, network: str = "network"
) -> Callable[[Capture], Capture]:
    """The estimator over any ``predict``; ``network`` names it in the report."""

    def estimate(capture: Capture) -> Capture:
        runtime.progress("mask", 0.0)
        photo = capture.photo
        pick = _working_pick(photo, options.pick)
        small = matting.reduced(photo.image)
        if options.path is not None:
            alpha, confidence = _picked(_read_mask(options.path, photo), pick, photo.source), 1.0
            origin, note = "given", f"from {options.path}"
        elif photo.alpha is not None:
            alpha, confidence = _picked(photo.alpha, pick, photo.source), 1.0
            origin, note = "file", "the picture's own alpha"
        else:
            coarse, confidence = chosen_component(predict(small, pick), pick, photo.source, _HINT)
            alpha = matting.refined_alpha(photo.image, small, coarse)
            origin, note = "estimated", f"{network}, refined at the edge"
        if not (alpha > 0.5).any():
            raise NothingFoundError(f"{photo.source}: the foreground is too faint to lift", _HINT)
        runtime.progress("mask", 0.6)
        # Straight alpha: the file's colours are the object's own already.
        foreground = photo.image if origin == "file" else matting.decontaminated(photo.image, small, alpha)
        decision = _decision(alpha, confidence, origin, note, options.pick)
        runtime.progress("mask", 1.0)
        return capture.learned(replace(photo, mask=Mask(alpha, foreground, confidence)), decision)

    return estimate


def _working_pick(photo: Photo, pick: tuple[float, float] | None) -> tuple[float, float] | None:
    """``pick`` as fractions of the picture's width and height; UsageError when it lies outside."""
    if pick is None:
        return None
    width, height = photo.original_size if min(photo.original_size) > 0 else photo.size
    x, y = pick[0] / width, pick[1] / height
    if not (0 <= x < 1 and 0 <= y < 1):
        place = f"pick {pick[0]:g},{pick[1]:g} lies outside the picture"
        raise UsageError(f"{place} ({photo.source}: {width} x {height} pixels)", "give x,y in pixels from the top left")
    return x, y


def _read_mask(path: Path, photo: Photo) -> FloatArray:
    """A mask file as alpha (H, W) of the photo's size: its own alpha where it has one, else how white it is."""
    raw = decode.from_path(path, max(photo.size))
    values = pixels.unit(raw.pixels)
    plane = values[..., 3] if values.shape[2] == 4 and values[..., 3].min() < 1 else values[..., :3].mean(-1)
    plane = decode.upright(np.asarray(plane, np.float32), raw.orientation)
    shape, wanted = plane.shape[1] / plane.shape[0], photo.size[0] / photo.size[1]
    if abs(shape / wanted - 1) > _SHAPE_TOLERANCE:
        sizes = f"{plane.shape[1]} x {plane.shape[0]}, the picture {photo.original_size[0]} x {photo.original_size[1]}"
        raise InputError(f"{path}: the mask is {sizes}", "the mask must have the picture's shape")
    if float(plane.max()) < 0.5:
        raise NothingFoundError(f"{path}: the mask is empty", "paint the object white on black, or give it alpha")
    return np.clip(matting.resized_planes(plane, *photo.size), 0, 1)


def _picked(alpha: FloatArray, pick: tuple[float, float] | None, source: str) -> FloatArray:
    """A given alpha as it is, without specks of nothing; with ``pick`` only the connected part under it."""
    if float(alpha.max()) <= _EMPTY:
        raise NothingFoundError(f"{source}: the picture is fully transparent", _HINT)
    clean = np.where(alpha <= _EMPTY, np.float32(0), alpha)
    if pick is None:
        return clean
    from scipy.ndimage import label

    parts, _ = label(clean > 0)
    wanted = parts[int(pick[1] * alpha.shape[0]), int(pick[0] * alpha.shape[1])]
    if wanted == 0:
        raise NothingFoundError(f"{source}: nothing under the picked pixel", "pick a pixel on the object")
    return np.where(parts == wanted, clean, np.float32(0))


def _network(image: FloatArray, pick: tuple[float, float] | None, runtime: Runtime) -> FloatArray:
    """Foreground probability of an image (H, W, 3) by the embedded network, (h, w) of the same shape."""
    from ..zoo import weights
    from .foreground import foreground

    if is_plain(image):
        return np.zeros(image.shape[:2], np.float32)
    return foreground(image, pick, weights.session("mask", runtime))


def is_plain(image: FloatArray) -> bool:
    """Whether a picture (H, W, 3) is of one tone: it shows nothing, but a network always answers something."""
    low, high = np.percentile(image, (0.2, 99.8), axis=(0, 1))
    return float((high - low).max()) < _PLAIN


def _decision(alpha: FloatArray, confidence: float, origin: str, note: str, pick: Any) -> Decision:
    solid = alpha > 0.5
    edges = {"top": solid[0], "bottom": solid[-1], "left": solid[:, 0], "right": solid[:, -1]}
    touches = [name for name, line in edges.items() if line.mean() > 0.01]
    if pick is not None:
        note += ", the part that was picked"
    if confidence < _LOW_CONFIDENCE:
        note += "; uncertain, check the preview or pass --mask"
    if touches:
        note += f"; the object is cut off at the {' and '.join(touches)} of the picture"
    value = {"share": round(float(alpha.mean()), 4), "confidence": round(confidence, 3), "touches": touches}
    return Decision("mask", value, origin, note)
