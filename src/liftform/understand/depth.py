"""How far away everything in a picture is: the embedded depth network, its answer sharpened at the photo's edges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..capture import Capture, Decision, Depth
from ..recipe import option
from ..runtime import Runtime
from . import matting

FloatArray = NDArray[np.float32]

#: Both sides of the network's input are multiples of this.
_MULTIPLE = 16
#: Longest side of the sharpened maps.
_DETAIL = 576
#: The network saw an edge where inverse depth bends by more than this share of itself from pixel to pixel, and changes
#: by more than that share over its smear.
_BEND, _STEP = 0.06, 0.3
#: Reach, in the network's pixels, over which it smears an edge; and how alike colours count (sRGB in [0, 1]).
_SMEAR, _ALIKE = 2, 0.06
#: Share of sky under which a picture has none.
_LEAST_SKY = 0.002


@dataclass(frozen=True)
class DepthOptions:
    """How the depth network is run."""

    side: int = option(192, "longest side, in pixels, of the picture that the depth network reads", low=64, high=1536)
    both_ways: bool = option(True, "read the picture and its mirror image and average what they say: slower, truer")


@dataclass(frozen=True)
class Reading:
    """What the network says at half its input's size: z (h, w) > 0; normals (h, w, 3), unit, camera frame; sky (h, w)
    probability; spread (h, w), relative; tan_half of the longer side."""

    z: FloatArray
    normals: FloatArray
    sky: FloatArray
    spread: FloatArray
    tan_half: float


def depth(options: DepthOptions, runtime: Runtime) -> Callable[[Capture], Capture]:
    """Estimator that sets ``photo.depth`` by the network "depth"; its scale is "relative", sky is NaN.

    Raises WeightsError.
    """

    def estimate(capture: Capture) -> Capture:
        photo = capture.photo
        reading = read(photo.image, options.side, options.both_ways, runtime)
        runtime.progress("depth", 0.7)
        found = sharpened(reading, matting.reduced(photo.image, _DETAIL))
        known = found.z[np.isfinite(found.z)]
        near, far = np.percentile(known, (2, 98)) if len(known) else (np.nan, np.nan)
        value = {"near": round(float(near), 3), "far": round(float(far), 3), "sky": _share(found.sky)}
        note = "network; distances are right among each other, metres only by guess"
        return capture.learned(replace(photo, depth=found), Decision("depth", value, "estimated", note))

    return estimate


def depth_of(image: FloatArray) -> FloatArray:
    """The network's own depth (h, w) of an image (H, W, 3) sRGB in [0, 1], sky and all: what evaluation scores."""
    options = DepthOptions()
    return read(image, options.side, options.both_ways).z


def read(image: FloatArray, side: int, both_ways: bool, runtime: Runtime | None = None) -> Reading:
    """Run the embedded network on an image (H, W, 3) whose longest side becomes ``side``, and with ``both_ways`` on
    its mirror image too; raises WeightsError."""
    small = matting.resized_planes(image, *_input_size(image.shape[1], image.shape[0], side))
    reading = _look(small, runtime)
    return _mean(reading, _mirrored(_look(small[:, ::-1], runtime))) if both_ways else reading


def _mirrored(reading: Reading) -> Reading:
    """What is said of a picture, from what was said of its mirror image."""
    normals = reading.normals[:, ::-1] * np.array([-1, 1, 1], np.float32)
    return Reading(reading.z[:, ::-1], normals, reading.sky[:, ::-1], reading.spread[:, ::-1], reading.tan_half)


def _mean(a: Reading, b: Reading) -> Reading:
    """Of two readings: geometric of depths and of the field of view."""
    normals = a.normals + b.normals
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-6)
    z, tan_half = np.sqrt(a.z * b.z), float(np.sqrt(a.tan_half * b.tan_half))
    half = np.float32(0.5)
    return Reading(z, normals, (a.sky + b.sky) * half, (a.spread + b.spread) * half, tan_half)


def _look(small: FloatArray, runtime: Runtime | None) -> Reading:
    """What the network says of an image (H, W, 3) of a size it takes."""
    from ..zoo import weights

    session = weights.session("depth", runtime)
    names = [output.name for output in session.get_outputs()]
    fed = {"image": np.ascontiguousarray(small.transpose(2, 0, 1)[None], np.float32)}
    out = dict(zip(names, session.run(names, fed), strict=True))
    normals = np.ascontiguousarray(out["normals"][0].transpose(1, 2, 0), np.float32)
    z, sky, spread = (np.asarray(out[name][0, 0], np.float32) for name in ("depth", "sky", "spread"))
    return Reading(z, normals, sky, spread, float(out["fov"].ravel()[0]))


def _input_size(width: int, height: int, side: int) -> tuple[int, int]:
    """(width, height), multiples of 16, of nearly the picture's shape, the longer about ``side``."""
    scale = side / max(width, height)
    across, down = (max(1, round(n * scale / _MULTIPLE)) * _MULTIPLE for n in (width, height))
    return across, down


def sharpened(reading: Reading, guide: FloatArray) -> Depth:
    """The reading at the size of ``guide`` (H, W, 3), the photo reduced: smeared edges of depth become steps that run
    along edges of colour; sky becomes NaN."""
    size = guide.shape[1], guide.shape[0]
    inverse: FloatArray = np.asarray(1 / np.maximum(reading.z, 1e-6), np.float32)
    edge = _edges(inverse)
    w = matting.resized_planes(inverse, *size)
    w = _stepped(w, _snapped(inverse, edge), edge, guide)
    sky = _sky(reading.sky, guide)
    normals = matting.resized_planes(reading.normals, *size)
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-6)
    z = np.where(sky, np.float32(np.nan), 1 / w).astype(np.float32)
    spread = matting.resized_planes(reading.spread, *size)
    return Depth(z, "relative", normals, sky, spread, "liftform-depth", reading.tan_half)


def _sky(probability: FloatArray, guide: FloatArray) -> NDArray[np.bool_]:
    """(H, W) bool, refined at the guide's edges."""
    if float((probability > 0.5).mean()) < _LEAST_SKY:
        return np.zeros(guide.shape[:2], bool)
    return matting.refined_alpha(guide, guide, probability) > 0.5


def _edges(w: FloatArray) -> NDArray[np.bool_]:
    """Where inverse depth bends sharply, with the neighbourhood the network smears over; planes never bend."""
    from scipy.ndimage import maximum_filter, minimum_filter

    padded = np.pad(w, 1, mode="reflect", reflect_type="odd") if min(w.shape) > 1 else np.pad(w, 1, mode="edge")
    across = np.abs(padded[1:-1, 2:] + padded[1:-1, :-2] - 2 * w)
    down = np.abs(padded[2:, 1:-1] + padded[:-2, 1:-1] - 2 * w)
    change = maximum_filter(w, 2 * _SMEAR + 1) - minimum_filter(w, 2 * _SMEAR + 1)
    step = (np.maximum(across, down) > _BEND * w) & (change > _STEP * w)
    return np.asarray(maximum_filter(step, 2 * _SMEAR + 1), np.bool_)


def _snapped(w: FloatArray, edge: NDArray[np.bool_]) -> FloatArray:
    """On edges every pixel takes the side, near or far, that it is closer to."""
    from scipy.ndimage import maximum_filter, minimum_filter

    near, far = maximum_filter(w, 2 * _SMEAR + 1), minimum_filter(w, 2 * _SMEAR + 1)
    return np.where(edge, np.where(near - w < w - far, near, far), w).astype(np.float32)


def _stepped(w: FloatArray, snapped: FloatArray, edge: NDArray[np.bool_], guide: FloatArray) -> FloatArray:
    """``w`` (H, W) in which pixels on edges take the value that weighs most among the 3 x 3 nearest of ``snapped``
    (h, w): a joint bilateral filter (Kopf et al. 2007) that chooses instead of mixing."""
    height, width = w.shape
    rows, columns = np.nonzero(edge[_nearest(height, edge.shape[0])][:, _nearest(width, edge.shape[1])])
    colours = matting.resized_planes(guide, snapped.shape[1], snapped.shape[0])
    y = (rows + np.float32(0.5)) * (snapped.shape[0] / height) - np.float32(0.5)
    x = (columns + np.float32(0.5)) * (snapped.shape[1] / width) - np.float32(0.5)
    own = guide[rows, columns]
    values, weights = np.empty((9, len(rows)), np.float32), np.empty((9, len(rows)), np.float32)
    for k in range(9):
        j = np.clip(np.rint(y).astype(int) + k // 3 - 1, 0, snapped.shape[0] - 1)
        i = np.clip(np.rint(x).astype(int) + k % 3 - 1, 0, snapped.shape[1] - 1)
        values[k] = snapped[j, i]
        unlike = ((colours[j, i] - own) ** 2).sum(-1) / (2 * _ALIKE**2)
        weights[k] = np.exp(-unlike - 0.5 * ((y - j) ** 2 + (x - i) ** 2)) + 1e-9
    out = w.copy()
    out[rows, columns] = _weighted_median(values, weights)
    return out


def _weighted_median(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Of every column of (K, N)."""
    order = np.argsort(values, axis=0)
    total = np.cumsum(np.take_along_axis(weights, order, 0), axis=0)
    at = (total < total[-1] / 2).sum(0)
    return np.asarray(np.take_along_axis(values, np.take_along_axis(order, at[None], 0), 0)[0], np.float32)


def _nearest(count: int, source: int) -> NDArray[np.int64]:
    """Index of the source pixel under each of ``count`` pixels."""
    return np.asarray((np.arange(count) + 0.5) * source / count, np.int64)


def _share(sky: NDArray[np.bool_] | None) -> float:
    return 0.0 if sky is None else round(float(sky.mean()), 4)
