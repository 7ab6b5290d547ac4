"""Depth by public networks instead of the embedded one: Depth Anything V2 (relative) and MoGe-2 (metric)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..capture import Capture, Decision, Depth, Photo
from ..errors import WeightsError
from ..recipe import option
from ..runtime import Runtime
from ..zoo import checkpoint, device, weights
from . import matting

if TYPE_CHECKING:
    import torch

FloatArray = NDArray[np.float32]

#: Both networks read patches of this many pixels.
_PATCH = 14
#: Inverse depth under this share of its largest is no longer told apart from infinitely far.
_FARTHEST = 0.01
_MEMORY = "try a smaller side, --precision bfloat16, or another device"


@dataclass(frozen=True)
class RelativeOptions:
    """How Depth Anything is run."""

    side: int = option(518, "shorter side, in pixels, of the picture that the depth network reads", low=70, high=2100)


@dataclass(frozen=True)
class MetricOptions:
    """How MoGe is run."""

    tokens: int = option(1800, "patches that the depth network reads: more are finer and slower", low=100, high=10_000)


def relative(options: RelativeOptions, runtime: Runtime) -> Callable[[Capture], Capture]:
    """Estimator that sets ``photo.depth`` by Depth Anything V2 Small (Yang et al., arXiv 2406.09414).

    The network's inverse depth lacks a factor and a shift, so its scale is "affine": near and far are right, how much
    further is not. z is 1 over it, NaN where it vanishes. Raises WeightsError, MissingExtraError, ReconstructionError.
    """

    def estimate(capture: Capture) -> Capture:
        photo = capture.photo
        inverse = inverse_depth(photo.image, options.side, runtime)
        known = inverse > _FARTHEST * float(inverse.max())
        z = np.where(known, float(inverse.max()) / np.maximum(inverse, 1e-9), np.nan).astype(np.float32)
        depth = Depth(z, "affine", sky=~known, source="depth-anything")
        return _learned(capture, photo, depth, "near and far are right; distances lack a factor and a shift")

    return estimate


def inverse_depth(image: FloatArray, side: int, runtime: Runtime) -> FloatArray:
    """Depth Anything's inverse depth (h, w) >= 0, affine, of an image (H, W, 3) sRGB in [0, 1] whose shorter side
    becomes about ``side``."""
    import torch

    from ..zoo.dinov2 import MEAN, STD

    network = _network("depth-anything", runtime)
    height, width = image.shape[:2]
    scale = side / min(height, width)
    size = [max(1, round(n * scale / _PATCH)) * _PATCH for n in (width, height)]
    mean, deviation = (np.array(values, np.float32) for values in (MEAN, STD))
    small: FloatArray = (matting.resized_planes(image, size[0], size[1]) - mean) / deviation
    with device.within_memory("Depth Anything", _MEMORY), device.torch_threads(runtime), torch.inference_mode():
        return np.asarray(network(_batched(small, runtime))[0].float().cpu().numpy(), np.float32)


def metric(options: MetricOptions, runtime: Runtime) -> Callable[[Capture], Capture]:
    """Estimator that sets ``photo.depth`` by MoGe-2 (Wang et al., arXiv 2507.02546): metres, normals, field of view.

    z is NaN where the network says that nothing is; ``sky`` is there. The focal length of the photo's file, where it
    has one, is kept. Raises WeightsError, MissingExtraError, ReconstructionError.
    """

    def estimate(capture: Capture) -> Capture:
        photo = capture.photo
        depth = measured(photo, options.tokens, runtime)
        said = "metres as the network guesses them" if depth.scale == "metric" else "distances right among each other"
        return _learned(capture, photo, depth, said)

    return estimate


def measured(photo: Photo, tokens: int, runtime: Runtime) -> Depth:
    """MoGe-2's depth of a photo, at most 1000 pixels wide or high."""
    import torch

    from ..zoo.moge import focal_and_shift

    network = _network("moge", runtime)
    image = matting.reduced(photo.image, 1000)
    with device.within_memory("MoGe", _MEMORY), device.torch_threads(runtime), torch.inference_mode():
        found = network(_batched(image, runtime), tokens)
    points = found.points[0].float().cpu().numpy()
    known = np.ones(points.shape[:2], bool) if found.mask is None else found.mask[0].float().cpu().numpy() > 0.5
    known &= np.isfinite(points).all(-1)
    half_diagonal = 0.5 * float(np.hypot(*photo.size))
    focal, shift = focal_and_shift(points, known, photo.focal_px and photo.focal_px / half_diagonal)
    z = points[..., 2] + shift
    known &= z > 0
    if found.metres is not None:
        z = z * float(found.metres[0])
    normals = None
    if found.normals is not None:
        normals = np.ascontiguousarray(found.normals[0].float().cpu().numpy(), np.float32)
    scale: Literal["metric", "relative"] = "relative" if found.metres is None else "metric"
    tan_half = max(photo.size) / (2 * focal * half_diagonal)
    z = np.where(known, z, np.nan).astype(np.float32)
    return Depth(z, scale, normals, ~known, None, "moge", float(tan_half))


def _learned(capture: Capture, photo: Photo, depth: Depth, note: str) -> Capture:
    """The capture with its depth, and the decision for the report."""
    known = depth.z[np.isfinite(depth.z)]
    near, far = np.percentile(known, (2, 98)) if len(known) else (np.nan, np.nan)
    sky = 0.0 if depth.sky is None else float(depth.sky.mean())
    value = {"near": round(float(near), 3), "far": round(float(far), 3), "sky": round(sky, 4), "model": depth.source}
    return capture.learned(
        replace(photo, depth=depth), Decision("depth", value, "estimated", f"{depth.source}; {note}")
    )


def _batched(image: FloatArray, runtime: Runtime) -> torch.Tensor:
    """(H, W, 3) as (1, 3, H, W) where and how the network runs."""
    import torch

    planes = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32))
    return planes.to(device.torch_device(runtime), device.torch_dtype(runtime))


def _network(name: str, runtime: Runtime) -> Any:
    """The network of a public model, loaded once in this process."""
    files = weights.files(name, runtime)
    where, dtype = device.torch_device(runtime), device.torch_dtype(runtime)
    return _opened(name, files["weights"], files.get("config"), str(where), dtype)


@functools.lru_cache(maxsize=2)
def _opened(name: str, file: Path, config: Path | None, where: str, dtype: torch.dtype) -> Any:
    from ..zoo import depth_anything, dinov2, moge

    if name == "moge":
        whole = checkpoint.contents(file)
        if not isinstance(whole.get("model_config"), dict) or not isinstance(whole.get("model"), dict):
            raise WeightsError(f"{file}: no MoGe-2, whose file holds its configuration", "check name and revision")
        network: Any = moge.MoGe(whole["model_config"])
        state = moge.renamed(whole["model"])
    else:
        network = depth_anything.built({} if config is None else checkpoint.settings(config))
        state = dinov2.without_training(checkpoint.read(file))
    checkpoint.load(network, state, name)
    return network.to(where, dtype).eval()
