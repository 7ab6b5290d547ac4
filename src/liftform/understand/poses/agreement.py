"""Do cameras and matches agree? Epipolar distances and depths, mistaken conventions, pictures that contradict.

Symmetric epipolar distance: Hartley and Zisserman, Multiple View Geometry, 11.4.3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ...conventions import CONVENTIONS
from ...errors import InputError
from ...lens import Lens
from .matching import Pair

Floats = NDArray[np.float64]

#: Matches that a judgement needs; distance, as a share of the picture's longer side, up to which poses agree with
#: matches; share of the matches that must lie in front of both cameras.
_ENOUGH, _NEAR, _FRONT = 60, 0.006, 0.7
_MEANT = {
    "other": "their axes are OpenCV's (y down, z forward), not OpenGL's, or the reverse",
    "inverse": "they are camera-from-world matrices, not world-from-camera",
    "inverse-other": "they are camera-from-world matrices in the other axes",
}
#: Beyond this share of the longer side a pair's matches contradict the cameras.
_CONTRADICTS = 0.02


def residuals(pair: Pair, lenses: Mapping[int, Lens], poses: Mapping[int, Floats]) -> tuple[Floats, NDArray[np.bool_]]:
    """Symmetric epipolar distance (N,) in pixels of a pair's matches, and which lie in front of both cameras."""
    a, b = (_rays(lenses[i], pixels) for i, pixels in ((pair.a, pair.pixels_a), (pair.b, pair.pixels_b)))
    b_from_a = np.linalg.inv(poses[pair.b]) @ poses[pair.a]
    turn, shift = b_from_a[:3, :3], b_from_a[:3, 3]
    cross = np.array([[0, -shift[2], shift[1]], [shift[2], 0, -shift[0]], [-shift[1], shift[0], 0]])
    essential = cross @ turn
    lines_b, lines_a = a @ essential.T, b @ essential
    gap = np.abs((b * lines_b).sum(1))
    focal_a, focal_b = lenses[pair.a].fx, lenses[pair.b].fx
    tiny = 1e-12
    distance = (
        0.5
        * gap
        * (
            focal_b / (np.linalg.norm(lines_b[:, :2], axis=1) + tiny)
            + focal_a / (np.linalg.norm(lines_a[:, :2], axis=1) + tiny)
        )
    )
    return distance, _in_front(a @ turn.T, b, shift)


def _rays(lens: Lens, pixels: Floats) -> Floats:
    straight = lens.straightened(pixels)
    x, y = (straight[:, 0] - lens.cx) / lens.fx, (straight[:, 1] - lens.cy) / lens.fy
    return np.stack([x, y, np.ones(len(x))], -1)


def _in_front(turned_a: Floats, b: Floats, shift: Floats) -> NDArray[np.bool_]:
    """Depths along both rays where they come nearest: z_a * turned_a + shift = z_b * b, in least squares."""
    aa, bb, ab = (turned_a**2).sum(1), (b**2).sum(1), (turned_a * b).sum(1)
    sa, sb = turned_a @ shift, b @ shift
    determinant = np.maximum(aa * bb - ab**2, 1e-15)
    z_a, z_b = (ab * sb - bb * sa) / determinant, (aa * sb - ab * sa) / determinant
    return (z_a > 0) & (z_b > 0)


def check_given(pairs: Sequence[Pair], lenses: Mapping[int, Lens], poses: Mapping[int, Floats]) -> float | None:
    """The median distance, in pixels, of matches from what given poses say; None where too few matches could tell.

    Raises InputError when they contradict, naming the convention that would agree.
    """
    judged = [pair for pair in pairs if pair.a in poses and pair.b in poses]
    judged = sorted(judged, key=lambda pair: -len(pair.pixels_a))[:40]
    if sum(len(pair.pixels_a) for pair in judged) < _ENOUGH:
        return None
    limit = _NEAR * max(max(lens.width, lens.height) for lens in lenses.values())
    distance, front = _judged(judged, lenses, poses)
    if distance <= limit and front >= _FRONT:
        return distance
    what = f"the given cameras contradict the pictures: matches lie {distance:.1f} px beside where they should"
    what += f", {100 * front:.0f} % of them in front of both cameras"
    for name, changed in CONVENTIONS.items():
        other, before = _judged(judged, lenses, {i: changed(pose) for i, pose in poses.items()})
        if other <= limit and before >= _FRONT:
            raise InputError(f"{what}; it looks as if {_MEANT[name]}", f"say --convention {name}")
    hint = "say --cameras lens to find the poses anew, or --cameras ignore if the lenses are doubtful too"
    raise InputError(f"{what}; no usual convention fits: poses of other pictures, or a mirrored world?", hint)


def _judged(pairs: Sequence[Pair], lenses: Mapping[int, Lens], poses: Mapping[int, Floats]) -> tuple[float, float]:
    found = [residuals(pair, lenses, poses) for pair in pairs]
    return float(np.median(np.concatenate([f[0] for f in found]))), float(np.concatenate([f[1] for f in found]).mean())


def contradicting(
    pairs: Sequence[Pair], lenses: Mapping[int, Lens], poses: Mapping[int, Floats]
) -> list[tuple[int, int, int]]:
    """Pairs (a, b, matches) that look alike but, by the cameras found, do not show the same place: repeated parts."""
    out = []
    for pair in pairs:
        if pair.a not in poses or pair.b not in poses or len(pair.pixels_a) < 30:
            continue
        distance, _ = residuals(pair, lenses, poses)
        if np.median(distance) > _CONTRADICTS * max(lenses[pair.a].width, lenses[pair.a].height):
            out.append((pair.a, pair.b, len(pair.pixels_a)))
    return out
