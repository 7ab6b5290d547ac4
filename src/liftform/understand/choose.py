"""Which way leads from a photo set to an asset: weighed from number, overlap and texture of its pictures, with why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ..capture import Capture, Decision, Photo
from ..conventions import luminance
from ..recipe import option
from ..runtime import Runtime

#: Below this certainty of the cameras the pictures do not measure anything.
_SURE = 0.02
#: Outlines carry a shape from so many masked pictures on; and texture below this share does not.
_OUTLINES, _PLAIN = 10, 0.35
#: What counts as texture: this standard deviation of luminance in windows of so many pixels of a picture of this side.
_VARIES, _WINDOW, _SIDE = 0.02, 7, 320
#: A point that fewer pictures show than this is seen by neighbours alone.
_THICK = 3


@dataclass(frozen=True)
class ChooseOptions:
    """Which way is taken."""

    method: Literal["auto", "stereo", "surface", "field", "splat"] = option(
        "auto",
        "measured depth (stereo), an implicit surface, a radiance field, Gaussian splats, or what fits the pictures",
        "method",
    )
    keep: str = option("", "folder that keeps cameras and depths as they are found, and from which to go on", "keep")


@dataclass(frozen=True)
class Facts:
    """What the choice rests on.

    placed: pictures with a camera. sure: certainty of the cameras in [0, 1], None where unsaid. views: median number of
    pictures that show a point that two share; thick: share of the points that three or more show (both None without
    sightings). texture: share of what the pictures show, within their masks, that varies. masked: share of the
    pictures with a mask.
    """

    placed: int
    sure: float | None
    views: float | None
    thick: float | None
    texture: float
    masked: float


def choose(options: ChooseOptions, runtime: Runtime) -> Callable[[Capture], Capture]:
    """An estimator: adds the decisions "overlap", "texture" and "method" (stereo, surface, field, splat or single).

    Of a capture with cameras, sparse points and, where there are any, masks. "single": no measurement is possible, and
    one picture must do.
    """

    def run(capture: Capture) -> Capture:
        found = facts_of(capture)
        said = [Decision("texture", round(found.texture, 2), "estimated", "share of what is shown that varies")]
        if found.views is not None and found.thick is not None:
            note = f"{found.views:.0f} pictures show a point (median), {found.thick:.0%} of the points three or more"
            said.append(Decision("overlap", round(found.views, 1), "estimated", note))
        method, why = chosen(found)
        if options.method != "auto":
            method, why = options.method, "" if method == options.method else f"by itself: {method}, for {why}"
        origin = "estimated" if options.method == "auto" else "given"
        return replace(capture, decisions=(*capture.decisions, *said, Decision("method", method, origin, why)))

    return run


def chosen(found: Facts) -> tuple[str, str]:
    """The method that gives the best surface, and why."""
    if found.placed < 2:
        return "single", f"{found.placed or 'none'} of the pictures could be placed, which measures nothing"
    if found.sure is not None and found.sure < _SURE:
        return "single", f"the cameras are too uncertain ({found.sure:.2f}) to measure with"
    outlined = found.masked >= 0.8
    pictures = f"{found.placed} pictures"
    if found.texture >= _PLAIN:
        return "stereo", f"{found.texture:.0%} of what {pictures} show has texture to measure by"
    if outlined and found.placed >= _OUTLINES:
        return "surface", f"little texture ({found.texture:.0%}), but the outlines of {pictures} tell the shape"
    why = f"little texture ({found.texture:.0%})"
    if not outlined and found.placed >= _OUTLINES:
        return "stereo", f"{why} and no masks: expect holes; masks would tell outlines (--masks estimated)"
    return "stereo", f"{why} and too few pictures for anything else: expect holes"


def facts_of(capture: Capture) -> Facts:
    """Measure what the choice rests on."""
    photos = [photo for photo in capture.photos if photo.camera is not None]
    sure = next((float(d.value) for d in reversed(capture.decisions) if d.what == "sure"), None)
    views = thick = None
    if capture.sparse is not None and len(capture.sparse.point):
        counts = np.bincount(capture.sparse.point)
        counts = counts[counts >= 2]
        if len(counts):
            views, thick = float(np.median(counts)), float((counts >= _THICK).mean())
    masked = float(np.mean([photo.mask is not None for photo in photos])) if photos else 0.0
    return Facts(len(photos), sure, views, thick, texture(photos), masked)


def texture(photos: Sequence[Photo]) -> float:
    """Share of what the photos show, within their masks, where luminance varies; 0 of none."""
    found = [_varied(photo) for photo in photos[:: max(1, len(photos) // 24)]]
    total = sum(weight for _, weight in found)
    return float(sum(share * weight for share, weight in found) / total) if total else 0.0


def _varied(photo: Photo) -> tuple[float, float]:
    """Share of one photo that varies, and the pixels it is of."""
    from scipy.ndimage import uniform_filter

    step = max(1, max(photo.size) // _SIDE)
    grey = luminance(photo.image)  # of sRGB as it is: what the eye calls varied
    grey = uniform_filter(grey, step)[::step, ::step] if step > 1 else grey
    mean = uniform_filter(grey, _WINDOW)
    spread = np.sqrt(np.maximum(uniform_filter(grey**2, _WINDOW) - mean**2, 0))
    varies = spread > _VARIES
    inside = np.ones(varies.shape, bool)
    if photo.mask is not None:
        inside = photo.mask.alpha[::step, ::step][: varies.shape[0], : varies.shape[1]] > 0.5
    return (float(varies[inside].mean()) if inside.any() else 0.0), float(inside.sum())
