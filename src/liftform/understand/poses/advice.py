"""What to say of a set: how sure its cameras are, which pictures were left out and why, and what would help."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...capture import Decision, Photo
from . import agreement
from .mapping import Model
from .matching import Matched

#: Fewer features than this are weak texture; so many pictures are named one by one.
_FEW_FEATURES, _NAMED = 150, 8
#: What a well-placed picture has: points, and the median degrees between the rays to a point.
_POINTS, _ANGLE = 150, 6.0
#: Differences of exposure, in stops, that are worth a word.
_STOPS = 0.15


def named(photos: Sequence[Photo], which: Sequence[int]) -> str:
    """Pictures by name: a.jpg, b.jpg and 4 more."""
    names = [photos[i].source for i in which]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def hopeless(photos: Sequence[Photo], found: Matched) -> tuple[str, str]:
    """Message and hint of a set of which nothing can be placed."""
    weak = [i for i, count in enumerate(found.features) if count < _FEW_FEATURES]
    if len(weak) > len(photos) / 2:
        return (
            f"no camera can be found: {len(weak)} of {len(photos)} pictures show almost no texture",
            "take sharper pictures, with patterned things (newspaper) around the object",
        )
    if not found.pairs:
        return (
            f"no camera can be found: no two of the {len(photos)} pictures show the same place",
            "each picture should show two thirds of the one before; step sideways, 10 to 15 degrees at a time",
        )
    alike = named(photos, sorted({i for pair in found.pairs for i in (pair.a, pair.b)}))
    return (
        f"no camera can be found: the pictures that match ({alike}) seem taken from one place",
        "walk around the object: turning on the spot, or zooming, shows no depth",
    )


def left_out(photos: Sequence[Photo], found: Matched, model: Model) -> tuple[Decision, ...]:
    """A decision for each reason why pictures were not placed."""
    reasons: dict[str, list[int]] = {}
    for i in sorted(set(range(len(photos))) - set(model.poses)):
        reasons.setdefault(_reason(i, found, model), []).append(i)
    return tuple(Decision("not placed", named(photos, which), "estimated", why) for why, which in reasons.items())


def _reason(i: int, found: Matched, model: Model) -> str:
    if found.features[i] < _FEW_FEATURES:
        return "almost no texture: sharper pictures, or patterned things around the object, would help"
    own = [pair for pair in found.pairs if i in (pair.a, pair.b)]
    if not own:
        return "they share nothing with the rest: pictures in between, 10 to 15 degrees apart, would help"
    placed = sum(len(p.pixels_a) for p in own if (p.b if p.a == i else p.a) in model.poses)
    if not placed:
        return "they match only pictures that are not placed either: pictures in between would help"
    return "what they share with the rest fits no single place: too little, repeated parts, or something moved"


def doubts(photos: Sequence[Photo], found: Matched, model: Model) -> tuple[Decision, ...]:
    """What makes the cameras doubtful: pictures that look alike but are not, and pictures held by few points."""
    out = []
    false = agreement.contradicting(found.pairs, model.lenses, model.poses)
    if false:
        a, b, count = max(false, key=lambda row: row[2])
        note = f"{photos[a].source} and {photos[b].source} share {count} matches, yet show different places"
        out.append(Decision("repeated parts", len(false), "estimated", f"pairs; most: {note}"))
    weak = [i for i, count in model.sightings.items() if count < 40]
    if weak:
        out.append(Decision("weakly placed", named(photos, weak), "estimated", "held by fewer than 40 points"))
    return tuple(out)


def exposure(stops: Mapping[int, float]) -> tuple[Decision, ...]:
    """A decision where pictures differ in brightness."""
    span = max(stops.values()) - min(stops.values()) if stops else 0.0
    if span < _STOPS:
        return ()
    return (Decision("exposure", round(span, 2), "estimated", "stops between the darkest and brightest picture"),)


def confidence(model: Model) -> Decision:
    """How sure the cameras are, in [0, 1]: a rule of thumb from points a picture, angles, and distances in pixels."""
    if not len(model.photo):
        return Decision("sure", 0.0, "estimated", "no point confirms the cameras")
    counts = np.array(list(model.sightings.values()))
    angle, error = float(np.median(_angles(model))), float(np.sqrt((model.errors**2).mean()))
    third = float((np.bincount(model.point, minlength=len(model.points)) >= 3).mean())
    parts = (
        min(1.0, float(np.percentile(counts, 10)) / _POINTS),
        min(1.0, angle / _ANGLE),
        min(1.0, 1.5 / max(error, 1e-6)),
        1.0 if len(model.poses) == 2 else min(1.0, 0.5 + third),
    )
    ceiling = 0.5 if len(model.poses) == 2 else 1.0  # nothing confirms a single pair
    note = f"{int(np.median(counts))} points a picture, rays {angle:.1f} degrees apart, {error:.2f} px off (medians)"
    return Decision("sure", round(ceiling * float(np.prod(parts)), 2), "estimated", note)


def _angles(model: Model) -> np.ndarray:
    """Degrees between the first and the last picture that show each point, for up to 2,000 points."""
    order = np.argsort(model.point, kind="stable")
    point, photo = model.point[order], model.photo[order]
    starts = np.flatnonzero(np.r_[True, np.diff(point) > 0])
    ends = np.r_[starts[1:], len(point)] - 1
    keep = slice(None, None, max(1, len(starts) // 2000))
    middle = {i: pose[:3, 3] for i, pose in model.poses.items()}
    a, b = (
        np.array([middle[int(i)] for i in photo[rows[keep]]]) - model.points[point[starts[keep]]]
        for rows in (starts, ends)
    )
    cosine = (a * b).sum(1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-12)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))
