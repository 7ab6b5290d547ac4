"""What each pixel of a drawing is, by the embedded network, at the scale at which it was taught to look."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...runtime import Runtime
from ...zoo import weights

FloatImage = NDArray[np.float32]

#: As ``zoo.plan_net.CLASSES`` and PX_PER_M, which are not imported because they bring torch; the file says them too.
CLASSES = (
    "outside", "room", "wall", "window", "door", "opening", "railing", "swing", "stairs", "fixture", "text",
)  # fmt: skip
PX_PER_M = 40.0
SHELL = ("wall", "window", "door", "opening")
#: First guesses of the longer side (pixels), how near the wanted scale is near enough, most pixels looked at at once.
_SIDES, _NEAR, _MOST = (760, 1300, 420), 0.12, 3_600_000
#: Least area of walls (square metres) on a sheet that shows a plan.
_LEAST = 0.6

Look = Callable[[FloatImage], tuple[FloatImage, FloatImage]]


@dataclass(frozen=True)
class Seen:
    """shares (N, h, w) float32 of CLASSES at ``zoom`` pixels a pixel of the sheet; px_per_m: of the sheet, a guess."""

    shares: FloatImage
    zoom: float
    px_per_m: float

    @functools.cached_property
    def walled(self) -> NDArray[np.bool_]:
        """(h, w): where a wall is likelier than an opening of it."""
        return np.asarray(self.of("wall") > self.of("window", "door", "opening"))

    def of(self, *names: str) -> FloatImage:
        """Summed shares (h, w) of classes."""
        return np.asarray(sum(self.shares[CLASSES.index(name)] for name in names), np.float32)


def seen(flat: FloatImage, px_per_m: float | None = None, look: Look | None = None) -> Seen | None:
    """The classes on a flat sheet (H, W), paper 1; None where no plan is seen. ``px_per_m``: the scale, where known."""
    look = look or _network
    flat = _contrasted(flat)
    if px_per_m is not None:
        return _looked(flat, PX_PER_M / px_per_m, _all_ways(look))[0]
    best: tuple[float, Seen] | None = None
    for side in _SIDES:
        zoom = side / max(flat.shape)
        for _ in range(4):
            found, built = _looked(flat, zoom, look)
            if built < _LEAST:
                break
            if best is None or built > best[0]:
                best = built, found
            wanted = PX_PER_M / found.px_per_m
            if abs(math.log(wanted / zoom)) < _NEAR:
                return _looked(flat, zoom, _all_ways(look))[0]
            zoom = min(wanted, 2.5)
        if best is not None:
            return best[1]
    return None


def _all_ways(look: Look) -> Look:
    """A look at the drawing as it lies and turned by quarters, averaged: each sees a little else."""

    def whole(drawing: FloatImage) -> tuple[FloatImage, FloatImage]:
        sums: list[FloatImage] = []
        for turns in range(4):
            shares, scale = look(np.ascontiguousarray(np.rot90(drawing, turns)))
            back = [np.rot90(shares, -turns, (1, 2)), np.rot90(scale, -turns)]
            sums = [a + b for a, b in zip(sums, back, strict=True)] if sums else back
        return np.asarray(sums[0] / 4, np.float32), np.asarray(sums[1] / 4, np.float32)

    return whole


def _contrasted(flat: FloatImage) -> FloatImage:
    """Faint ink made as dark as ink is."""
    dark = float(np.percentile(flat, 0.4))
    return flat if dark < 0.12 or dark > 0.9 else np.clip(1 - (1 - flat) / (1 - dark), 0, 1).astype(np.float32)


def _looked(flat: FloatImage, zoom: float, look: Look) -> tuple[Seen, float]:
    """(what is seen at a zoom, square metres of walls in it)."""
    zoom = min(zoom, math.sqrt(_MOST / flat.size))
    high, wide = max(16, round(flat.shape[0] * zoom)), max(16, round(flat.shape[1] * zoom))
    small = _resized(flat, wide, high)
    padded = np.pad(small, ((0, -high % 16), (0, -wide % 16)), constant_values=1.0)
    shares, scale = look(padded)
    shares, scale = shares[:, :high, :wide], scale[:high, :wide]
    shell = sum(shares[CLASSES.index(name)] for name in SHELL)
    strong = np.asarray(shell) > 0.6
    if strong.sum() < 40:
        return Seen(shares, zoom, PX_PER_M / zoom), 0.0
    px = float(np.median(scale[strong]))
    return Seen(shares, zoom, px / zoom), float(strong.sum()) / px**2


def _resized(flat: FloatImage, wide: int, high: int) -> FloatImage:
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(flat, np.float32))
    shrinks = wide < picture.width
    kind = Image.Resampling.BOX if shrinks and wide * 2.2 < picture.width else Image.Resampling.BILINEAR
    return np.clip(np.asarray(picture.resize((wide, high), kind), np.float32), 0, 1)


def _network(drawing: FloatImage) -> tuple[FloatImage, FloatImage]:
    """(shares (N, H, W), pixels a metre (H, W)) of a drawing whose sides are multiples of 16."""
    session: Any = weights.session("plan", Runtime())
    shares, scale = session.run(["classes", "scale"], {"drawing": drawing[None, None]})
    return np.asarray(shares[0], np.float32), np.asarray(scale[0, 0], np.float32)
