"""Which photos of a set show the same from somewhere else: the best partners of every photo for measuring depth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..capture import Capture, Sparse
from .ranges import depth_ranges, foreground, inside, rays_of

Floats = NDArray[np.float64]

#: The best angle between two rays, and how fast smaller and larger ones lose (degrees).
_BEST_DEG = 12.0
_BELOW_DEG = 6.0
_ABOVE_DEG = 13.0
#: Sparse points that a photo must share for its partners to be chosen by them; most that are looked at.
_ENOUGH = 40
_MOST = 1500
#: Depths along a ray, and rays along a side of a photo, where there are no sparse points.
_DEPTHS = 6
_RAYS = 10
#: A partner worth less than this share of the best one is left out.
_WORTH = 0.03


def neighbours(capture: Capture, count: int, ranges: Floats | None = None) -> list[list[int]]:
    """For every photo the numbers of at most ``count`` others that see most of it at a good angle, best first.

    By sparse points that both show where there are enough, else by places along the photo's rays between its depths
    (``ranges`` (N, 2), by default ``depth_ranges``). Each choice counts less what the earlier ones see well already,
    so that partners lie on several sides (the idea of Goesele et al. 2007). Photos must have cameras. A list may be
    empty: such a photo shares nothing with the rest.
    """
    reach = depth_ranges(capture) if ranges is None else ranges
    return [_partners(capture, number, count, reach[number]) for number in range(len(capture.photos))]


def _partners(capture: Capture, number: int, count: int, reach: Floats) -> list[int]:
    value = _value(capture, number, reach)
    chosen: list[int] = []
    have = np.zeros(len(value))
    first = 0.0
    while len(chosen) < min(count, value.shape[1] - 1):
        gain = np.sqrt(have[:, None] + value).sum(0) - np.sqrt(have).sum()
        gain[[number, *chosen]] = -1.0
        best = int(np.argmax(gain))
        worth = float(value[:, best].sum())
        first = max(first, worth)
        if worth <= _WORTH * first:
            break
        chosen.append(best)
        have += value[:, best]
    return chosen


def _value(capture: Capture, number: int, reach: Floats) -> Floats:
    """What every photo is worth (P, N) at places that the photo shows: 0 where it does not see them, at most 1."""
    if capture.sparse is not None and len(mine := capture.sparse.seen_by(number)) >= _ENOUGH:
        return _by_points(capture, number, capture.sparse, mine)
    photo = capture.photos[number]
    camera = photo.camera
    assert camera is not None
    near, far = reach
    depths = 1 / np.linspace(1 / near, 0.5 / near / _DEPTHS if np.isinf(far) else 1 / far, _DEPTHS)
    at = rays_of(photo, _RAYS)
    places = camera.unproject(np.repeat(at, _DEPTHS, 0), np.tile(depths, len(at)))
    seen = [inside(p.camera, places, foreground(p)) for p in capture.photos if p.camera]
    return _angles(capture, number, places) * np.stack(seen, -1)


def _by_points(capture: Capture, number: int, sparse: Sparse, mine: NDArray[np.int32]) -> Floats:
    mine = np.unique(mine)
    mine = mine[:: -(-len(mine) // _MOST)]
    rank = np.full(len(sparse.points), -1)
    rank[mine] = np.arange(len(mine))
    seen = np.zeros((len(mine), len(capture.photos)))
    there = rank[sparse.point] >= 0
    seen[rank[sparse.point[there]], sparse.photo[there]] = 1
    return _angles(capture, number, sparse.points[mine]) * seen


def _angles(capture: Capture, number: int, places: Floats) -> Floats:
    """How good the angle between the rays of the photo and of each other photo is (P, N), in [0, 1]; coarser views
    less."""
    cameras = [photo.camera for photo in capture.photos if photo.camera]
    away = [places - camera.position for camera in cameras]
    far = [np.maximum(np.linalg.norm(a, axis=1), 1e-12) for a in away]
    own = away[number] / far[number][:, None]
    fine = cameras[number].fx / far[number]
    out = np.zeros((len(places), len(cameras)))
    for j, camera in enumerate(cameras):
        cosine = np.clip((own * away[j]).sum(1) / far[j], -1, 1)
        off = np.degrees(np.arccos(cosine)) - _BEST_DEG
        width = np.where(off < 0, _BELOW_DEG, _ABOVE_DEG)
        ratio = camera.fx / far[j] / fine
        out[:, j] = np.exp(-0.5 * (off / width) ** 2) * np.minimum(ratio, 1 / np.maximum(ratio, 1e-12))
    return out
