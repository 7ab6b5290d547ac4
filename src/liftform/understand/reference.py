"""A thing of known size in the photo: printed ArUco or AprilTag markers, an A4 or US-letter sheet, a bank card.

It lies on what the object stands on. Its corners fix that plane: how the camera looks down on it, how far away it is,
and with that the size of the object (refine.yardstick).

References
    Garrido-Jurado, Muñoz-Salinas, Madrid-Cuevas, Marín-Jiménez, "Automatic generation and detection of highly reliable
    fiducial markers under occlusion", 2014 (ArUco). Olson, "AprilTag: a robust and flexible visual fiducial system",
    2011. ISO 216 (A4: 210 x 297 mm), ANSI Y14.1 (letter: 8.5 x 11 in), ISO/IEC 7810 ID-1 (85.60 x 53.98 mm).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..capture import Capture, Decision, Mask, Photo, Reference
from ..errors import NothingFoundError, UsageError
from ..lengths import shown
from ..planar import UNIT, PlanePose, homography, moved, plane_pose
from ..recipe import option
from ..runtime import Runtime, need
from ..zoo.object_frame import bounding_box, photo_camera
from .quads import Quad, area, grey, quads, refined

Floats = NDArray[np.float64]

#: Long and short side in metres, and how to call it.
SHEETS = {"a4": (0.297, 0.210), "letter": (0.2794, 0.2159), "card": (0.0856, 0.05398)}
_CALLED = {"a4": "A4 sheet", "letter": "US-letter sheet", "card": "bank card"}
#: OpenCV's dictionaries that are looked for.
DICTIONARIES = {
    "aruco": ("4X4_50", "5X5_100", "6X6_250", "ARUCO_ORIGINAL"),
    "apriltag": ("APRILTAG_36h11",),
}
#: How well corners must agree with the claimed shape: pixels, and share of the square root of its area.
_OFF_PX, _OFF_SHARE = 0.7, 0.008
#: What is not much worse fits as well: two kinds of sheet within this ratio are not told apart.
_AS_WELL = 2.0
#: The plane is seen from at least this far above, the camera turned by at most this much (radians).
_FROM_ABOVE, _ROLL = np.radians(7.0), np.radians(25.0)
#: Relative spread (logarithmic) of estimated focal lengths, and of those that the file states.
_FOCAL_SPREAD, _FOCAL_STATED = 0.3, 0.03
#: Least certainty at which a sheet or card that is said to be there counts as found.
_LEAST = 0.35
#: Nobody said that there is a sheet: least certainty, number of levels, contrast, and share of the picture.
_UNASKED = (0.85, 5, 0.1, 0.01)
#: A sheet that the mask takes for part of the object is less likely one; what is cut from the mask around it (pixels).
_COVERED, _RIM_PX = 0.6, 3


@dataclass(frozen=True)
class ReferenceOptions:
    """What of known size lies beside the object."""

    kind: Literal["none", "auto", "a4", "letter", "card", "aruco", "apriltag"] = option(
        "none", "what of known size lies beside the object; auto looks for markers and sheets", "reference"
    )
    marker_m: float | None = option(
        None, "side of the printed marker's black square, such as 50mm; without it a marker gives no size",
        "marker", 1e-4, 10.0, True,
    )  # fmt: skip


def reference(options: ReferenceOptions, runtime: Runtime) -> Callable[[Capture], Capture]:
    """Estimator that looks for the reference and takes tilt (and an unknown focal length) of the camera from it.

    A marker's side makes it look for markers by itself. What was asked for by its kind and is not there raises
    NothingFoundError; "auto" says so and goes on. Markers need the extra "markers": MissingExtraError. UsageError when
    the camera is not known yet, or a marker's side is given for something else.
    """
    wanted = _wanted(options)

    def find(capture: Capture) -> Capture:
        photo = capture.photo
        if not wanted:
            return capture
        if photo.camera is None:
            raise UsageError("a reference is measured with the photo's camera", "run the camera stage first")
        stated = any(d.what == "field of view" and d.origin in ("given", "file") for d in capture.decisions)
        found = sorted(_candidates(photo, wanted, options, stated), key=lambda c: -c.reference.sure)
        if not found:
            return _absent(capture, options)
        best = found[0]
        if len(rivals := _rivals(best, found)) > 1 and options.kind == "auto":
            return _undecided(capture, rivals)
        return _learned(capture, best)

    return find


def rectified(image: NDArray[np.float32], found: Reference, long_px: int = 256) -> NDArray[np.float32]:
    """The reference as seen from straight above: (h, w, 3), its longer side ``long_px``, corner 0 top-left."""
    from scipy.ndimage import map_coordinates

    scale = long_px / max(found.shape)
    width, height = (max(1, round(side * scale)) for side in found.shape)
    grid = np.stack(np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height), -1)
    at = moved(homography(UNIT, found.corners_px), grid) - 0.5
    planes = [map_coordinates(image[..., k], [at[..., 1], at[..., 0]], order=1, mode="nearest") for k in range(3)]
    return np.stack(planes, -1).astype(np.float32)


@dataclass(frozen=True)
class _Candidate:
    """A reference, its plane (in metres, or in shorter sides) and the focal length it was solved with."""

    reference: Reference
    pose: PlanePose
    focal: float


def _wanted(options: ReferenceOptions) -> tuple[str, ...]:
    kind = options.kind
    if options.marker_m is not None and kind in SHEETS:
        raise UsageError(f"--marker is for printed markers, not for --reference {kind}", "its size is known")
    if kind == "none":
        return () if options.marker_m is None else tuple(DICTIONARIES)
    return (*DICTIONARIES, "a4", "letter") if kind == "auto" else (kind,)


def _candidates(photo: Photo, wanted: tuple[str, ...], options: ReferenceOptions, stated: bool) -> Iterator[_Candidate]:
    """Everything in the photo that may be what is wanted and lies as it should."""
    markers = {kind: DICTIONARIES[kind] for kind in wanted if kind in DICTIONARIES}
    sheets = [kind for kind in wanted if kind in SHEETS]
    if markers and (options.kind != "auto" or _has_opencv()):
        for found in _markers(photo.image, markers, options.marker_m):
            yield from _placed(photo, found, stated)
    if sheets:
        for quad in quads(photo.image):
            covered = _covered(photo, quad.corners)
            if options.kind == "auto" and (covered or not _striking(photo, quad)):
                continue
            for kind in sheets:
                for found in _as_sheet(photo.image, quad, kind):
                    likely = replace(found, sure=found.sure * (_COVERED if covered else 1.0))
                    yield from (c for c in _placed(photo, likely, stated) if c.reference.sure >= _least(options))


def _least(options: ReferenceOptions) -> float:
    return _UNASKED[0] if options.kind == "auto" else _LEAST


def _striking(photo: Photo, quad: Quad) -> bool:
    """Whether a field is large and clear enough to be taken for a sheet that nobody spoke of."""
    _, levels, contrast, share = _UNASKED
    large = area(quad.corners) >= share * photo.size[0] * photo.size[1]
    return large and quad.levels >= levels and quad.contrast >= contrast


def _has_opencv() -> bool:
    import importlib.util

    return importlib.util.find_spec("cv2") is not None


def _markers(image: NDArray[np.float32], kinds: dict[str, tuple[str, ...]], side: float | None) -> Iterator[Reference]:
    """Printed markers by OpenCV, their corners fitted again to the edges of the black square."""
    cv2 = need("cv2", "markers")
    pixels = (grey(image)[0] * 255 + 0.5).astype(np.uint8)
    for kind, names in kinds.items():
        for name in names:
            dictionary = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, f"DICT_{name}"))
            corners, numbers, _ = cv2.aruco.ArucoDetector(dictionary).detectMarkers(pixels)
            for four, number in zip(corners, [] if numbers is None else np.ravel(numbers), strict=True):
                at = four.reshape(4, 2).astype(np.float64) + 0.5  # OpenCV's pixel centres are whole numbers
                sharp = refined(grey(image), at, reach=2.0)
                size = None if side is None else (side, side)
                called = f"{'AprilTag' if kind == 'apriltag' else 'ArUco'} {name.lower().replace('apriltag_', '')}"
                error = 0.5 if sharp is None else sharp.error_px
                at = at if sharp is None else sharp.corners
                sure = 0.9 if name.startswith("4X4") else 0.99
                yield Reference(kind, f"{called} #{number}", at, (1.0, 1.0), size, sure, error)


def _covered(photo: Photo, corners: Floats) -> bool:
    """Whether the mask takes a field for part of the object."""
    if photo.mask is None:
        return False
    inside = moved(homography(UNIT, corners), np.stack(np.meshgrid(*[np.linspace(0.1, 0.9, 9)] * 2), -1))
    x, y = (np.clip(inside[..., k].astype(int), 0, photo.size[k] - 1) for k in (0, 1))
    return bool((photo.mask.alpha[y, x] > 0.5).mean() >= 0.5)


def _as_sheet(image: NDArray[np.float32], quad: Quad, kind: str) -> Iterator[Reference]:
    """The field taken for a sheet or card, lying along or across; paper is white and lighter than what it lies on."""
    if kind != "card" and not _is_paper(image, quad):
        return
    long, short = SHEETS[kind]
    sure = quad.support * min(1.0, quad.contrast / 0.08) * min(1.0, (quad.levels + 2) / 8)
    for size in ((long, short), (short, long)):
        shape = (size[0] / short, size[1] / short)
        yield Reference(kind, _CALLED[kind], quad.corners, shape, size, sure, quad.error_px)


def _is_paper(image: NDArray[np.float32], quad: Quad) -> bool:
    to_image = homography(UNIT, quad.corners)
    inside, outside = (_sampled(image, moved(to_image, points)) for points in _WITHIN_AND_AROUND)
    lightness = inside.mean(1)
    colour = float(np.median(inside.max(1) - inside.min(1)))
    white = float(np.percentile(image[::8, ::8].mean(2), 95))
    return bool(
        np.median(lightness) > max(0.4, 0.6 * white) and colour < 0.22 and np.median(lightness) > np.median(outside)
    )


def _ring() -> tuple[Floats, Floats]:
    """Points of the unit square well inside it, and around it."""
    t = np.linspace(0.06, 0.94, 12)
    inside = np.stack(np.meshgrid(t, t), -1).reshape(-1, 2)
    ends = (-0.06, 1.06)
    around = [p for s in t for e in ends for p in ((s, e), (e, s))]
    return inside, np.array(around)


_WITHIN_AND_AROUND = _ring()


def _sampled(image: NDArray[np.float32], points: Floats) -> NDArray[np.float32]:
    """Nearest pixels (N, 3)."""
    x, y = (np.clip(points[:, k].astype(int), 0, image.shape[1 - k] - 1) for k in (0, 1))
    return image[y, x]


def _placed(photo: Photo, found: Reference, stated: bool) -> Iterator[_Candidate]:
    """The candidate with its plane, if shape, perspective and place agree."""
    assert photo.camera is not None
    middle = np.array([photo.camera.cx, photo.camera.cy])
    size = found.size_m or found.shape
    corners = found.corners_px - middle
    focal, spread = photo.camera.fy, _FOCAL_STATED
    if not stated:
        focal, spread = _focal(size, corners, focal, max(found.error_px, 0.3))
    pose = plane_pose(size, corners, focal)
    limit = _OFF_PX + _OFF_SHARE * np.sqrt(area(corners))
    if pose.error_px > limit or not _lies(pose):
        return
    sure = found.sure * float(np.exp(-0.5 * (pose.error_px / limit) ** 2))
    yield _Candidate(replace(found, sure=round(sure, 3), focal_error=spread), pose, focal)


def _lies(pose: PlanePose) -> bool:
    """Whether a plane is seen from above by a camera that is held about upright."""
    sight = pose.translation / np.linalg.norm(pose.translation)
    return bool(
        -sight @ pose.normal > np.sin(_FROM_ABOVE) and pose.normal[1] < 0.1 and abs(pose.normal[0]) < np.sin(_ROLL)
    )


def _focal(size: tuple[float, float], corners: Floats, guess: float, error_px: float) -> tuple[float, float]:
    """Focal length in pixels and its relative error, from an estimate and from how the rectangle is foreshortened."""
    steps = np.linspace(-0.9, 0.9, 19)
    errors = np.array([plane_pose(size, corners, guess * np.exp(s)).error_px for s in steps])
    cost = 0.5 * (steps / _FOCAL_SPREAD) ** 2 + 2 * (errors / error_px) ** 2
    weight = np.exp(cost.min() - cost)
    mean = float(weight @ steps / weight.sum())
    spread = float(np.sqrt(weight @ (steps - mean) ** 2 / weight.sum()))
    return guess * float(np.exp(mean)), max(spread, 0.03)


def _rivals(best: _Candidate, found: list[_Candidate]) -> list[_Candidate]:
    """The candidates of other kinds that the same corners fit about as well, the best first."""
    limit = _AS_WELL * max(best.pose.error_px, 0.5 * best.reference.error_px, 0.25)
    same = [c for c in found if np.array_equal(c.reference.corners_px, best.reference.corners_px)]
    others = {c.reference.kind: c for c in reversed(same) if c.pose.error_px <= limit and c.reference.kind in SHEETS}
    return [best, *(c for kind, c in others.items() if kind != best.reference.kind)]


def _absent(capture: Capture, options: ReferenceOptions) -> Capture:
    if options.kind == "auto":
        looked = "markers and sheets" if _has_opencv() else "sheets; markers need liftform[markers]"
        return capture.learned(capture.photo, Decision("reference", "none", "estimated", f"looked for {looked}"))
    what = _CALLED.get(options.kind, "printed marker")
    hint = "show all of it, flat, on what the object stands on; or give --height"
    raise NothingFoundError(f"{capture.photo.source}: no {what} was found in the picture", hint)


def _undecided(capture: Capture, rivals: list[_Candidate]) -> Capture:
    kinds = " or ".join(c.reference.kind for c in rivals)
    note = f"too small or too flat in the picture to tell: say --reference {kinds}"
    return capture.learned(capture.photo, Decision("reference", kinds, "estimated", note))


def _learned(capture: Capture, best: _Candidate) -> Capture:
    """The photo with its reference, and its camera as the reference shows it."""
    photo, found = replace(capture.photo, reference=best.reference), best.reference
    value: dict[str, Any] = {"kind": found.name, "sure": found.sure}
    if found.size_m:
        value["size"] = " x ".join(shown(side) for side in found.size_m)
    note = (
        "" if found.size_m else "gives the camera's tilt, not the size: say --marker and the side of its black square"
    )
    said = [Decision("reference", value, "estimated", note)]
    if photo.mask is not None and _covered(photo, found.corners_px):
        photo = replace(photo, mask=_without(photo, photo.mask, found))
        said.append(
            Decision("mask", "without the reference", "estimated", f"the {found.name} is no part of the object")
        )
    if photo.mask is not None and photo.camera is not None:
        photo, more = _looked(capture, photo, best)
        said += more
    return capture.learned(photo, *said)


def _without(photo: Photo, mask: Mask, found: Reference) -> Mask:
    """The mask without the reference and what is cut off by it; raises NothingFoundError when nothing else is left."""
    from scipy.ndimage import binary_dilation, label

    across = UNIT * 2 - 0.5  # twice as large
    outer = moved(homography(UNIT, found.corners_px), across)
    low = np.maximum(np.floor(outer.min(0)).astype(int), 0)
    high = np.minimum(np.ceil(outer.max(0)).astype(int), photo.size)
    y, x = np.mgrid[low[1] : high[1], low[0] : high[0]]
    at = moved(homography(found.corners_px, UNIT), np.stack([x, y], -1) + 0.5)
    cut = np.zeros(mask.alpha.shape, bool)
    cut[low[1] : high[1], low[0] : high[0]] = ((at > 0) & (at < 1)).all(-1)
    alpha = np.where(binary_dilation(cut, iterations=_RIM_PX), 0, mask.alpha).astype(np.float32)
    parts, _ = label(alpha > 0.5)
    sizes = np.bincount(parts.ravel())[1:]
    if not len(sizes) or sizes.max() < 0.1 * (mask.alpha > 0.5).sum():
        hint = "say where the object is with --pick x,y or --mask"
        raise NothingFoundError(f"{photo.source}: the {found.name} itself was taken for the object", hint)
    keep = parts == sizes.argmax() + 1
    alpha[~binary_dilation(keep, iterations=_RIM_PX)] = 0
    return replace(mask, alpha=alpha)


def _looked(capture: Capture, photo: Photo, best: _Candidate) -> tuple[Photo, list[Decision]]:
    """The camera of an object placed again: it looks down on the object as it looks down on the reference's plane."""
    assert photo.mask is not None
    assert photo.camera is not None
    given = any(d.what == "elevation" and d.origin == "given" for d in capture.decisions)
    box, focal = bounding_box(photo.mask.alpha), best.focal
    ray = np.array([(box[0] + box[2]) / 2 - photo.camera.cx, (box[1] + box[3]) / 2 - photo.camera.cy, focal])
    sine = float(-best.pose.normal @ ray / np.linalg.norm(ray))
    if given:
        return photo, []
    elevation = float(np.arcsin(np.clip(sine, -1, 1)))
    camera = photo_camera(photo.size, focal, box, elevation)
    said = [
        Decision(
            "elevation", round(float(np.degrees(elevation)), 2), "estimated", f"degrees, from the {best.reference.name}"
        )
    ]
    if abs(focal / photo.camera.fy - 1) > 0.01:
        degrees = round(float(np.degrees(camera.yfov)), 2)
        said.append(
            Decision("field of view", degrees, "estimated", f"vertical, degrees, with the {best.reference.name}")
        )
    return replace(photo, camera=camera), said
