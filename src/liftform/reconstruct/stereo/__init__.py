"""Dense multi-view stereo on the CPU: a photo set with known cameras -> a depth map for every photo (extra ``sets``).

PatchMatch with slanted planes, coarse to fine, one photo after another (Barnes et al. 2009; Bleyer, Rhemann and Rother
2011; Galliani, Lasinger and Schindler 2015; Schönberger et al. 2016; Xu and Tao 2019), then only what several photos
agree on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from ...capture import Capture, Decision, Depth, Photo
from ...errors import ReconstructionError, UsageError
from ...photoset.neighbours import neighbours
from ...photoset.ranges import depth_ranges
from ...recipe import option
from ...runtime import Runtime, need, numba_threads

if TYPE_CHECKING:
    from .cost import Matcher
    from .filtering import Kept

Floats = NDArray[np.float64]

#: What ``Depth.source`` says.
SOURCE = "stereo"
#: Width of the last parabola, pixels of disparity to either side.
_POLISH_PX = 0.4


@dataclass(frozen=True)
class StereoOptions:
    """How depth is measured from the photos of a set."""

    size: int = option(800, "longest side, in pixels, of the depth maps (0: that of the photos)", low=0, high=8192)
    partners: int = option(6, "most other photos that a photo is compared with", low=1, high=16)
    agree: int = option(3, "photos that must agree on a place, itself among them", low=2, high=9)
    costs: Literal["photometric", "learned"] = option(
        "photometric", "what pictures are compared by: their pixels alone, or descriptors of a network too"
    )


def stereo(options: StereoOptions, runtime: Runtime) -> Callable[[Capture], Capture]:
    """Reconstructor: Capture of pinhole photos with cameras (``straight``) -> the same with ``depth`` (extra ``sets``).

    Depth.z (h, w) float32 at the photo's size or that of ``options.size``, NaN where nothing was measured, where
    fewer than ``options.agree`` photos agree, and outside masks; scale "metric" or, with one common factor, "relative";
    normals in the camera frame; spread: the expected relative error. A photo that shares nothing with the others gets
    an empty map. Decisions: "stereo" (share of pixels with depth), "stereo without partners".

    Raises UsageError (photos without cameras, with a lens that bends), ReconstructionError (fewer than two photos, no
    two look at the same place, nothing agrees), MissingExtraError.
    """

    def reconstruct(capture: Capture) -> Capture:
        need("numba", "sets")
        _check(capture)
        runtime.progress("stereo", 0.0)
        ranges = depth_ranges(capture)
        partners = neighbours(capture, options.partners, ranges)
        if not any(partners):
            told = "no two pictures look at the same place from different places"
            raise ReconstructionError(told, "step sideways between pictures, see docs/photosets.md")
        with numba_threads(runtime.threads, "sets"):
            kept = _measured(capture, partners, ranges, options, runtime)
        return _told(capture, kept, partners)

    return reconstruct


def _check(capture: Capture) -> None:
    if len(capture.photos) < 2:
        raise ReconstructionError("one picture has no second to be measured with", "give two or more")
    for photo in capture.photos:
        if photo.camera is None:
            raise UsageError(f"{photo.source}: no camera", "find the cameras first: liftform.poses, then straight")
        if photo.lens is not None and not photo.lens.is_pinhole:
            raise UsageError(f"{photo.source}: its lens bends straight lines", "free the pictures of it: straight")
        if (photo.camera.width, photo.camera.height) != photo.size:
            raise UsageError(f"{photo.source}: its camera is for another size", "resize the camera with the picture")
        if not np.isfinite(photo.camera.world_from_camera).all():
            raise UsageError(f"{photo.source}: its pose holds numbers that are not finite", "leave the picture out")


def _measured(
    capture: Capture, partners: Sequence[Sequence[int]], ranges: Floats, options: StereoOptions, runtime: Runtime
) -> list[Kept]:
    from . import filtering, levels

    matcher = _matcher(capture, options, runtime)
    progress = runtime.progress
    sheets = levels.matched(
        *(capture, partners, ranges, options.size, runtime.seed, matcher),
        told=lambda share: progress("stereo", 0.95 * share),
    )
    levels.polished(sheets, partners, matcher, _POLISH_PX)
    kept = [filtering.filtered(sheets, partners, number, options.agree) for number in range(len(sheets))]
    progress("stereo", 1.0)
    return kept


def _matcher(capture: Capture, options: StereoOptions, runtime: Runtime) -> Matcher | None:
    if options.costs == "photometric":
        return None
    from .learned import Learned

    return Learned(capture, runtime)


def _told(capture: Capture, kept: Sequence[Kept], partners: Sequence[Sequence[int]]) -> Capture:
    photos = tuple(_with_depth(p, k, capture.metric) for p, k in zip(capture.photos, kept, strict=True))
    share = float(np.mean([(k.inverse > 0).mean() for k in kept]))
    if share == 0:
        told = "the pictures agree on no place: nothing was measured"
        raise ReconstructionError(told, "are the cameras right? plain and shiny things cannot be measured")
    said = [Decision("stereo", round(share, 4), "estimated", "share of all pixels whose depth several photos agree on")]
    alone = [p.source for p, others in zip(capture.photos, partners, strict=True) if not others]
    if alone:
        said.append(Decision("stereo without partners", ", ".join(alone), "estimated", "share nothing with the rest"))
    return replace(capture, photos=photos, decisions=(*capture.decisions, *said))


def _with_depth(photo: Photo, kept: Kept, metric: bool) -> Photo:
    there = kept.inverse > 0
    with np.errstate(divide="ignore"):
        z = np.where(there, 1 / kept.inverse, np.nan).astype(np.float32)
    depth = Depth(
        z=z,
        scale="metric" if metric else "relative",
        normals=kept.normals,
        spread=np.where(there, kept.spread, np.nan).astype(np.float32),
        source=SOURCE,
    )
    return replace(photo, depth=depth)
