"""Foregrounds by public networks, each a row: U2-Net small, IS-Net general-use, BiRefNet lite, as ONNX files.

References
    Qin et al., "U2-Net: Going Deeper with Nested U-Structure for Salient Object Detection", 2020.
    Qin et al., "Highly Accurate Dichotomous Image Segmentation" (IS-Net), 2022.
    Zheng et al., "Bilateral Reference for High-Resolution Dichotomous Image Segmentation" (BiRefNet), 2024.
    The ONNX files and how their inputs are scaled: Gatis, rembg.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..capture import Capture
from ..errors import WeightsError
from ..runtime import Runtime, silent
from ..zoo.device import within_memory
from .mask import MaskOptions, estimator, is_plain
from .matting import resized_planes

if TYPE_CHECKING:
    from ..zoo.engines import Session

__all__ = ["MaskOptions", "birefnet_lite", "isnet", "probability", "u2netp"]

FloatArray = NDArray[np.float32]

_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Row:
    """How one network is fed. side: of its square input, in pixels; mean, std: per channel, sRGB in [0, 1]; bright:
    the picture is first divided by its brightest value; logits: its answer still needs the logistic function."""

    side: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    bright: bool = False
    logits: bool = False


#: name in the table of public models -> row.
ROWS = {
    "u2netp": Row(320, *_IMAGENET, bright=True),
    "isnet": Row(1024, (0.5, 0.5, 0.5), (1.0, 1.0, 1.0), bright=True),
    "birefnet-lite": Row(1024, *_IMAGENET, logits=True),
}


def salient(name: str, options: MaskOptions, runtime: Runtime) -> Callable[[Capture], Capture]:
    """Estimator that sets ``photo.mask`` as ``understand.mask.mask`` does, by the public network ``name``.

    Raises what that raises, and what ``zoo.weights.files`` raises; nothing is pulled where a file or alpha decides.
    """

    def predict(image: FloatArray, pick: tuple[float, float] | None) -> FloatArray:
        if is_plain(image):
            return np.zeros(image.shape[:2], np.float32)
        with within_memory(f"the mask network {name}", "try --mask-model u2netp, or close other programs"):
            return probability(image, ROWS[name], session_of(name, runtime))

    return estimator(options, runtime, predict, f"network {name}")


u2netp = functools.partial(salient, "u2netp")
isnet = functools.partial(salient, "isnet")
birefnet_lite = functools.partial(salient, "birefnet-lite")


def session_of(name: str, runtime: Runtime) -> Session:
    """The network of a row, pulled if need be, opened once in this process."""
    from ..zoo import weights

    path = weights.files(name, runtime)["weights"]
    return _session(path, path.stat().st_mtime_ns, replace(runtime, seed=0, progress=silent))


@functools.lru_cache(maxsize=2)
def _session(path: Path, changed: int, runtime: Runtime) -> Session:
    from ..zoo.engines import opened

    return opened(path, runtime, runtime.device)


def probability(image: FloatArray, row: Row, session: Session) -> FloatArray:
    """Probability of foreground (h, w), of the image's shape and at most ``row.side`` long, of an image (H, W, 3) sRGB
    in [0, 1]. The picture is stretched to the network's square, as these networks were trained.

    Raises WeightsError when the network is not of this kind (input (1, 3, side, side), first output its map).
    """
    feed = session.get_inputs()[0]
    sides = [size for size in feed.shape[2:] if isinstance(size, int)]
    if len(session.get_inputs()) != 1 or len(feed.shape) != 4 or any(size != row.side for size in sides):
        raise WeightsError(
            f"these are not weights of such a network: input {feed.name!r} {feed.shape}", "check the file"
        )
    square = resized_planes(image, row.side, row.side)
    if row.bright:
        square = square / max(float(square.max()), 1e-6)
    mean, std = np.array(row.mean, np.float32), np.array(row.std, np.float32)
    scaled: FloatArray = np.asarray((square - mean) / std, np.float32)
    answer = session.run([session.get_outputs()[0].name], {feed.name: _planes(scaled, feed.type)})[0]
    found: FloatArray = np.asarray(answer, np.float32).reshape(answer.shape[-2:])
    if row.logits:
        found = np.asarray(1 / (1 + np.exp(-np.clip(found, -30, 30))), np.float32)
    scale = row.side / max(image.shape[:2])
    width, height = (max(1, round(n * min(scale, 1.0))) for n in (image.shape[1], image.shape[0]))
    return np.clip(resized_planes(found, width, height), 0, 1)


def _planes(image: FloatArray, kind: str) -> NDArray[np.floating]:
    """(1, 3, H, W) in the numbers that the network reads."""
    batch = np.ascontiguousarray(image.transpose(2, 0, 1)[None])
    return batch.astype(np.float16 if "float16" in kind else np.float32, copy=False)
