"""Where each picture of a set was taken from: Capture -> Capture with cameras in the world frame and sparse points.

Features, matching and mapping are COLMAP's (Schoenberger and Frahm, Structure-from-Motion Revisited, CVPR 2016; the
global way: Pan et al., Global Structure-from-Motion Revisited, ECCV 2024), by pycolmap, extra ``sets``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from ...capture import Capture, Decision, Photo, Sparse
from ...errors import InputError, ReconstructionError, UsageError
from ...lengths import metres
from ...recipe import option
from ...runtime import Runtime
from . import advice, agreement, looks, mapping, pairs, world
from .mapping import Model
from .matching import Matched, matched

_LENSES = {"plain": "SIMPLE_PINHOLE", "radial": "SIMPLE_RADIAL", "full": "OPENCV"}
#: Sets of known lenses from so many pictures on are mapped all at once: drift does not add up around a round.
_MANY = 10


@dataclass(frozen=True)
class PosesOptions:
    """How cameras are found."""

    method: Literal["auto", "incremental", "global"] = option(
        "auto",
        "picture by picture, all at once (global), or as fits: global from 10 pictures of known lenses",
        "mapping",
    )
    camera: Literal["auto", "shared", "each"] = option(
        "auto", "one camera for all pictures (shared), for each its own, or as sizes and focal lengths say", "camera"
    )
    lens: Literal["plain", "radial", "full"] = option(
        "radial", "distortion that is estimated: none, radial, or radial and tangential", "lens"
    )
    features: int = option(
        0, "most features of a picture (0: 8192, or 4096 where there are more than 16)", "", 0, 32768
    )
    metres_per_unit: float | None = option(
        None, "metres in one unit of the cameras that came with the pictures", "scale", low=1e-9, high=1e9
    )
    distance: str | None = option(
        None, "known distance between the places of two pictures: first.jpg,last.jpg=1.2m", "distance"
    )


def poses(options: PosesOptions, runtime: Runtime) -> Callable[[Capture], Capture]:
    """An estimator: gives every photo that can be placed a camera and a lens, and the capture sparse points.

    World: +Y up, floor at y = 0, the points' middle above the origin, the first placed camera in front (+Z); metres
    where a distance or scale tells them (``Capture.metric``), else the cameras' median distance is 1. Photos with a
    pose from their file keep it, moved as a whole; if it contradicts the pictures, InputError names the convention that
    would fit. Pictures that cannot be placed keep camera None; decisions say which and why.
    Raises ReconstructionError (nothing can be placed, with advice), UsageError, MissingExtraError (extra sets).
    """

    def estimate(capture: Capture) -> Capture:
        if len(capture.photos) < 2:
            raise InputError("one picture is no set", "give two or more, or lift it with `liftform make`")
        spacing = _spacing(options.distance, capture.photos)
        with tempfile.TemporaryDirectory(prefix="liftform-") as room:
            most = options.features or (8192 if len(capture.photos) <= 16 else 4096)
            found = matched(capture.photos, Path(room), options.camera, _LENSES[options.lens], most, runtime)
            runtime.progress("mapping", 0.0)
            given = {i: p.camera.world_from_camera for i, p in enumerate(capture.photos) if p.posed and p.camera}
            model, said = (
                _given(capture, found, given, runtime) if given else _found(capture.photos, found, options, runtime)
            )
            runtime.progress("mapping", 1.0)
        said = (*said, *advice.left_out(capture.photos, found, model), *advice.doubts(capture.photos, found, model))
        return _learned(capture, model, said, options, spacing, bool(given), runtime)

    return estimate


def _given(
    capture: Capture, found: Matched, given: dict[int, world.Floats], runtime: Runtime
) -> tuple[Model, tuple[Decision, ...]]:
    """Points of cameras that came with the pictures, once these are seen to agree."""
    lenses = {i: p.lens for i, p in enumerate(capture.photos) if i in given and p.lens}
    distance = agreement.check_given(found.pairs, lenses, given)
    model = mapping.triangulated(found, given, lenses, runtime)
    told = "too few matches to check them" if distance is None else f"matches agree within {distance:.2f} px (median)"
    return model, (Decision("poses", len(given), "file", told),)


def _found(
    photos: tuple[Photo, ...], found: Matched, options: PosesOptions, runtime: Runtime
) -> tuple[Model, tuple[Decision, ...]]:
    """The largest model; a patient second try and pairs where the first leaves out pictures of a small set."""
    how: str = options.method
    if how == "auto":
        how = "global" if all(found.given) and len(photos) >= _MANY else "incremental"
    best, rest = mapping.parts(mapping.mapped(found, how, runtime))
    if best is not None and len(best.poses) > 3:
        best = _without_lookalikes(found, best, how, runtime)
    linked = {i for pair in found.pairs for i in (pair.a, pair.b)}
    if best is None or linked - set(best.poses):
        patient = mapping.parts(mapping.mapped(found, "incremental", runtime, patient=True))
        if patient[0] is not None and (best is None or len(patient[0].poses) > len(best.poses)):
            (best, rest), how = patient, f"{how}, patient"
    if len(photos) <= pairs.MOST and (best is None or len(best.poses) < min(3, len(photos))):
        few = pairs.from_pairs(found, runtime)
        if few is not None and (best is None or len(few.poses) > len(best.poses)):
            best, rest, how = few, [], "essential matrix of the best pair"
    if best is None:
        raise ReconstructionError(*advice.hopeless(photos, found))
    said = [Decision("poses", len(best.poses), "estimated", f"of {len(photos)} pictures, {how}")]
    for model in rest:
        names = advice.named(photos, sorted(set(model.poses) - set(best.poses)))
        said.append(Decision("apart", names, "estimated", "placed among themselves, but not with the rest"))
    return best, tuple(said)


def _without_lookalikes(found: Matched, first: Model, method: str, runtime: Runtime) -> Model:
    """The model made again without pairs that contradict it: repeated parts bend a model. Kept if it places as many."""
    false = agreement.contradicting(found.pairs, first.lenses, first.poses)
    if not false:
        return first
    mapping.forget(found, [(a, b) for a, b, _ in false])
    again, _ = mapping.parts(mapping.mapped(found, method, runtime))
    return again if again is not None and len(again.poses) >= len(first.poses) else first


def _spacing(text: str | None, photos: tuple[Photo, ...]) -> tuple[int, int, float] | None:
    """Two photos and the metres between their places, of "a.jpg,b.jpg=1.2m"; UsageError."""
    if text is None:
        return None
    named, equals, length = text.rpartition("=")
    names = [name.strip() for name in named.split(",")]
    index = {photo.source: i for i, photo in reversed(list(enumerate(photos)))}
    index |= {str(i + 1): i for i in range(len(photos)) if str(i + 1) not in index}
    if not equals or len(names) != 2 or names[0] == names[1]:
        raise UsageError(f"--distance {text!r} is no distance", "write first.jpg,last.jpg=1.2m")
    for name in names:
        if name not in index:
            raise UsageError(f"--distance: no picture {name!r} in the set", "name files as they are called, or numbers")
    size = metres(length)
    if not size > 0:
        raise UsageError(f"--distance {text!r}: not above 0", "write first.jpg,last.jpg=1.2m")
    return index[names[0]], index[names[1]], size


def _scale(
    model: Model, options: PosesOptions, spacing: tuple[int, int, float] | None, given: bool
) -> tuple[float | None, bool, Decision]:
    """Units of the world in one of the model's (None: free), whether they are metres, and the decision."""
    if spacing is not None:
        a, b, size = spacing
        if a not in model.poses or b not in model.poses:
            raise ReconstructionError("--distance: one of its two pictures could not be placed", "name two others")
        apart = float(np.linalg.norm(model.poses[a][:3, 3] - model.poses[b][:3, 3]))
        if apart < 1e-12:
            raise ReconstructionError("--distance: its two pictures were taken from one place", "name two others")
        return size / apart, True, Decision("scale", "metric", "given", f"{size:g} m between two cameras")
    if options.metres_per_unit is not None:
        if not given:
            told = "--scale is for cameras that come with the pictures: those found here have no unit"
            raise UsageError(told, "give --distance first.jpg,last.jpg=1.2m")
        return options.metres_per_unit, True, Decision("scale", "metric", "given", "metres in one unit of the file")
    if given:
        return 1.0, False, Decision("scale", "unknown", "file", "the unit of the given cameras is kept")
    told = "pictures alone do not tell it; the cameras' median distance is 1: give --distance a.jpg,b.jpg=1.2m"
    return None, False, Decision("scale", "unknown", "guessed", told)


def _learned(
    capture: Capture,
    model: Model,
    said: tuple[Decision, ...],
    options: PosesOptions,
    spacing: tuple[int, int, float] | None,
    given: bool,
    runtime: Runtime,
) -> Capture:
    """The capture with cameras, lenses, exposures and points in the world frame."""
    scale, metric, told = _scale(model, options, spacing, given)
    points = model.points
    if len(points) < 50 and capture.sparse is not None:
        points = capture.sparse.points
    placement = world.placed(model.poses, points, scale, runtime.seed, (*said, told))
    stops = looks.exposures(capture.photos, model) if len(model.photo) else {}
    photos = list(capture.photos)
    for i, pose in model.poses.items():
        lens = model.lenses[i]
        photos[i] = replace(
            photos[i], lens=lens, camera=lens.camera(placement.pose(pose)), exposure=stops.get(i), posed=given
        )
    for i in set(range(len(photos))) - set(model.poses):
        photos[i] = replace(photos[i], camera=None, posed=False)
    sparse = Sparse(
        placement.points(model.points),
        looks.colours(capture.photos, model),
        model.errors.astype(np.float32),
        model.photo,
        model.point,
        model.pixels.astype(np.float32),
    )
    decisions = (*capture.decisions, *placement.decisions, *advice.exposure(stops), advice.confidence(model))
    return Capture(tuple(photos), decisions, sparse, metric)
