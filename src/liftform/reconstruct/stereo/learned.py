"""Depth of a photo from its neighbours by the embedded stereo network: proposals and descriptors for PatchMatch.

onnxruntime runs the network's four graphs, numba works out the likeness between them. Pictures are looked at up to
``SIZE`` pixels, whatever the level that asks: the network needs what is fine to be sure of what is plain.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...camera import Camera
from ...capture import Capture
from ...runtime import Runtime
from ...zoo import stereo_warp, weights
from .cost import Proposal, View

FloatArray = NDArray[np.float32]

#: Longest side of the pictures that the network sees, most neighbours, photos whose descriptors are kept.
SIZE, NEIGHBOURS, KEPT = 800, 5, 16
#: Hypotheses of the first stage: at least and at most, and how many pixels of the picture may lie between two.
FEWEST, MOST, APART = 32, 64, 3.0
#: Hypotheses of the finer stages and how much finer they lie; groups of channels by stage (``zoo.stereo_net``).
DEPTHS, FINER, GROUPS = (16, 8), 3.0, (8, 8, 4)
#: Probability of lying within a pixel below which a proposal does not make other depths dearer. Rendered scenes lose
#: what they gain by it where it is lower (docs/models/stereo.md).
SURE = 0.7
#: Sides must be multiples of this.
_CELL = 16


@dataclass(frozen=True)
class Seen:
    """One picture as the network sees it: descriptors (h, w, C) at an eighth, a quarter and half of the size of
    ``camera``, which is that of the padded picture; size: (width, height) without the padding."""

    camera: Camera
    maps: tuple[FloatArray, FloatArray, FloatArray]
    size: tuple[int, int]


@dataclass(frozen=True)
class Estimate:
    """z (H, W) float32 z-distance; error (H, W): its expected error as a share of z; pixel (H, W): the share of
    z that one pixel of disparity means, to the neighbour that is farthest off."""

    z: FloatArray
    error: FloatArray
    pixel: FloatArray


class Learned:
    """A ``Matcher`` for the photos of one capture."""

    def __init__(self, capture: Capture, runtime: Runtime | None = None, size: int = SIZE, share: float = 0.0) -> None:
        """size: longest side that the network looks at. share: of the descriptors in a cost
        (``cost.FEATURE_SHARE``); none by default, because rendered scenes come out worse with them."""
        self.capture, self.size, self.share = capture, size, share
        self.runtime = runtime or Runtime()
        self._seen: OrderedDict[int, Seen] = OrderedDict()

    def features(self, view: View) -> FloatArray | None:
        """Descriptors at half the size of the picture that the network sees, of unit length."""
        if self.share <= 0:
            return None
        seen = self.seen(view.number)
        width, height = seen.size
        found = seen.maps[2][: height // 2, : width // 2]
        length = np.linalg.norm(found, axis=-1, keepdims=True)
        return np.asarray(found / np.maximum(length, 1e-6), np.float32)

    def propose(self, view: View, others: Sequence[View], near: float, far: float) -> Proposal | None:
        """Depth at the size that the network sees; sure: how probably it lies within a pixel (errors that fall off
        exponentially, Laplace), counted from ``SURE`` on: below, a proposal is one hypothesis among others."""
        if not others:
            return None
        found = estimate(
            self.seen(view.number), [self.seen(o.number) for o in others[:NEIGHBOURS]], near, far, self.runtime
        )
        sure = 1 - np.exp(-found.pixel / np.maximum(found.error, 1e-9))
        return Proposal(found.z, (np.maximum(sure - SURE, 0) / (1 - SURE)).astype(np.float32))

    def seen(self, number: int) -> Seen:
        """A photo's descriptors, made once as long as few others are asked for."""
        if number not in self._seen:
            photo = self.capture.photos[number]
            assert photo.camera is not None
            self._seen[number] = look(photo.image, photo.camera, self.size, self.runtime)
        self._seen.move_to_end(number)
        while len(self._seen) > KEPT:
            self._seen.popitem(last=False)
        return self._seen[number]


def look(image: FloatArray, camera: Camera, size: int = SIZE, runtime: Runtime | None = None) -> Seen:
    """Descriptors of a picture (H, W, 3) sRGB in [0, 1], shrunk to ``size`` where it is larger."""
    factor = min(1.0, size / max(image.shape[:2]))
    width, height = (max(_CELL, round(side * factor)) for side in (image.shape[1], image.shape[0]))
    small = _resized(image, width, height)
    right, below = -width % _CELL, -height % _CELL
    padded = np.pad(small, ((0, below), (0, right), (0, 0)), mode="edge").transpose(2, 0, 1)[None]
    session = weights.session("stereo_features", runtime)
    maps = session.run(["eighth", "quarter", "half"], {"image": np.ascontiguousarray(padded, np.float32)})
    lens = camera.resized(width, height)
    whole = Camera(width + right, height + below, lens.fx, lens.fy, lens.cx, lens.cy, lens.world_from_camera)
    eighth, quarter, half = (np.ascontiguousarray(m[0].transpose(1, 2, 0), np.float32) for m in maps)
    return Seen(whole, (eighth, quarter, half), (width, height))


def _resized(image: FloatArray, width: int, height: int) -> FloatArray:
    if image.shape[:2] == (height, width):
        return image
    parts = [
        Image.fromarray(np.ascontiguousarray(image[..., c])).resize((width, height), Image.Resampling.BOX)
        for c in range(3)
    ]
    return np.stack([np.asarray(p, np.float32) for p in parts], -1)


def estimate(
    view: Seen, others: Sequence[Seen], near: float, far: float, runtime: Runtime | None = None, depths: int = 0
) -> Estimate:
    """Depth of ``view`` between the z-distances near and far (may be infinite), at its size without padding.

    depths: hypotheses of the first stage, a multiple of 4; 0 chooses by how far apart they come to lie.
    """
    first, last = 1 / near, 0.0 if np.isinf(far) else 1 / far
    pairs = [stereo_warp.relation(view.camera, other.camera) for other in others]
    depths = depths or _hypotheses(view, pairs, first, last)
    step = (first - last) / (depths - 1)
    volumes = [_likeness(view, other, pair, 0, last, step, depths) for other, pair in zip(others, pairs, strict=True)]
    feed = {
        "likeness": np.stack([total for total, _ in volumes]),
        "seen": np.stack([seen for _, seen in volumes]),
        "picture": _picture(view, 0),
    }
    del volumes
    index, coarse_sure, trust = weights.session("stereo_coarse", runtime).run(["index", "sure", "trust"], feed)
    place = last + index[0] * step
    for stage, name in ((1, "middle"), (2, "fine")):
        depths, step = DEPTHS[stage - 1], step / FINER
        base = _doubled(place) - 0.5 * (depths - 1) * step
        trust = np.stack([_doubled(t) for t in trust])
        feed = {
            "likeness": _joined(view, others, pairs, stage, base, step, depths, trust),
            "picture": _picture(view, stage),
        }
        session = weights.session(f"stereo_{name}", runtime)
        if stage == 1:
            place = base + session.run(["index"], feed)[0][0] * step
    feed |= {"start": (base / step)[None].astype(np.float32), "coarse_sure": coarse_sure.repeat(4, 1).repeat(4, 2)}
    steps, log_error = session.run(["place", "log_error"], feed)
    return _finished(view, pairs, steps[0] * step, np.exp(np.clip(log_error[0], -4, 5)) * step, (first, last))


Pair = tuple[FloatArray, FloatArray]


def _hypotheses(view: Seen, pairs: Sequence[Pair], first: float, last: float) -> int:
    """So many that the picture of the middle moves by about ``APART`` pixels from one to the next, at most."""
    middle = np.array([view.size[0] / 2, view.size[1] / 2, 1.0])
    moved = max(np.linalg.norm(_at(pair, middle, first) - _at(pair, middle, last)) for pair in pairs)
    count = int(np.clip(moved / APART, FEWEST, MOST))
    return count + -count % 4


def _at(pair: Pair, pixel: NDArray[np.floating], inverse: float) -> NDArray[np.float64]:
    there = pair[0] @ pixel + inverse * pair[1]
    return np.asarray(there[:2] / max(float(there[2]), 1e-3), np.float64)


def _scaled(pair: Pair, scale: int) -> Pair:
    small = np.array([1 / scale, 1 / scale, 1.0])
    return (small[:, None] * pair[0] / small).astype(np.float32), (small * pair[1]).astype(np.float32)


def _likeness(
    view: Seen, other: Seen, pair: Pair, stage: int, base: float, step: float, depths: int
) -> tuple[FloatArray, FloatArray]:
    """One neighbour's likeness (D, G, h, w) and where it was seen (D, h, w), for hypotheses alike all over."""
    h, w, _ = view.maps[stage].shape
    total, seen = np.zeros((h, w, depths, GROUPS[stage]), np.float32), np.zeros((h, w, depths), np.float32)
    turn, shift = _scaled(pair, 8 >> stage)
    even, one = np.full((h, w), base, np.float32), np.ones((h, w), np.float32)
    stereo_warp.add_likeness(view.maps[stage], other.maps[stage], turn, shift, even, np.float32(step), one, total, seen)
    return np.ascontiguousarray(total.transpose(2, 3, 0, 1)), np.ascontiguousarray(seen.transpose(2, 0, 1))


def _joined(
    view: Seen, others: Sequence[Seen], pairs: Sequence[Pair], stage: int, base: FloatArray, step: float, depths: int,
    trust: FloatArray,
) -> FloatArray:  # fmt: skip
    """All neighbours' likeness, weighted by trust (N, h, w), and the share that sees the place: (D, G + 1, h, w)."""
    h, w, _ = view.maps[stage].shape
    total, seen = np.zeros((h, w, depths, GROUPS[stage]), np.float32), np.zeros((h, w, depths), np.float32)
    base = np.ascontiguousarray(base, np.float32)
    for other, pair, weight in zip(others, pairs, trust, strict=True):
        turn, shift = _scaled(pair, 8 >> stage)
        weight = np.ascontiguousarray(weight, np.float32)
        stereo_warp.add_likeness(
            view.maps[stage], other.maps[stage], turn, shift, base, np.float32(step), weight, total, seen
        )
    total /= seen[..., None] + np.float32(1e-4)
    seen /= trust.sum(0)[..., None] + np.float32(1e-4)
    return np.ascontiguousarray(np.concatenate([total, seen[..., None]], -1).transpose(2, 3, 0, 1))


def _picture(view: Seen, stage: int) -> FloatArray:
    return np.ascontiguousarray(view.maps[stage].transpose(2, 0, 1)[None])


def _doubled(plane: FloatArray) -> FloatArray:
    """A map (h, w) at twice the size, linear between the pixels, as the network was trained."""
    out: NDArray[Any] = plane
    for axis in (0, 1):
        out = np.moveaxis(out, axis, 0)
        before, after = np.concatenate([out[:1], out[:-1]]), np.concatenate([out[1:], out[-1:]])
        both = np.stack([0.75 * out + 0.25 * before, 0.75 * out + 0.25 * after], 1)
        out = np.moveaxis(both.reshape(-1, *out.shape[1:]), 0, axis)
    return np.asarray(out, np.float32)


def _finished(
    view: Seen, pairs: Sequence[Pair], inverse: FloatArray, error: FloatArray, ends: tuple[float, float]
) -> Estimate:
    """Inverse depth and its error as z and shares of z, without the padding."""
    width, height = view.size
    inverse, error = inverse[:height, :width], error[:height, :width]
    inverse = np.clip(inverse, max(ends[1] * 0.98, ends[0] * 1e-4), ends[0] * 1.02)
    pixel = _pixel(view, pairs, inverse)
    return Estimate((1 / inverse).astype(np.float32), (error / inverse).astype(np.float32), pixel)


def _pixel(view: Seen, pairs: Sequence[Pair], inverse: FloatArray, every: int = 4) -> FloatArray:
    """The share of z (H, W) that a pixel of disparity is, to the neighbour where it is least; it changes slowly."""
    some = inverse[::every, ::every]
    x, y = (np.arange(n, dtype=np.float32) * every + 0.5 for n in some.shape[::-1])
    rays = np.stack([*np.meshgrid(x, y), np.ones_like(some)], -1)
    most = np.full(some.shape, 1e-6, np.float32)
    for turn, shift in pairs:
        at = rays @ turn.T
        p, q = at + some[..., None] * shift, at + 1.01 * some[..., None] * shift
        moved = p[..., :2] / np.maximum(p[..., 2:], 1e-3) - q[..., :2] / np.maximum(q[..., 2:], 1e-3)
        most = np.maximum(most, np.linalg.norm(moved, axis=-1))
    height, width = inverse.shape
    return (0.01 / most).astype(np.float32).repeat(every, 0).repeat(every, 1)[:height, :width]
