"""Which photo gives each face its colour: candidates, their colours in one light, outliers, and a smooth choice.

Waechter, Moehrle, Goesele: Let There Be Color! Large-Scale Texturing of 3D Reconstructions, 2014; Lempitsky, Ivanov:
Seamless Mosaicing of Image-Based Texture Maps, 2007. The labelling is found by min-sum belief propagation
(Felzenszwalb, Huttenlocher: Efficient Belief Propagation for Early Vision, 2006).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...assets import FloatArray
from ...render import Scene
from .. import blend
from .views import View, sample

Ints = NDArray[np.integer]
Bools = NDArray[np.bool_]

#: Photos kept for each face.
_KEPT = 8
#: Where a face is looked at: its middle and near its corners.
_SPOTS = np.array([[1, 1, 1], [8, 1, 1], [1, 8, 1], [1, 1, 8]], np.float32)
_SPOTS /= _SPOTS.sum(1, keepdims=True)
#: Linear colours are at least this where logarithms of them are compared.
_BLACK = 0.003
#: Exposures are found from about so many faces, in so many rounds.
_ENOUGH, _TURNS = 20_000, 40
#: A colour is an outlier beyond so many spreads of its photo, and never below this difference of logarithms.
_SPREADS, _DIFFERENT = 4.0, 0.4
#: Cost of a colour outlier where no better photo shows the face, and of a photo half as near.
_OUTLIER, _HALF = 6.0, 0.5
_ROUNDS = 24


@dataclass(frozen=True)
class Faces:
    """What labelling needs of a mesh: corners (F, 3, 3), normals (F, 3) of its faces, area (F,), and pairs (E, 2) of
    faces with a common edge."""

    corners: FloatArray
    normals: FloatArray
    area: FloatArray
    pairs: Ints

    @classmethod
    def of(cls, positions: FloatArray, faces: Ints) -> Faces:
        """Of a mesh whose places are one vertex each."""
        corners = positions[faces]
        cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        size = np.linalg.norm(cross, axis=1)
        normals = (cross / np.maximum(size, 1e-30)[:, None]).astype(np.float32)
        return cls(corners, normals, (size / 2).astype(np.float32), _neighbours(faces))


def _neighbours(faces: Ints) -> Ints:
    """Pairs (E, 2) of faces that share an edge."""
    a, b = faces.ravel().astype(np.int64), np.roll(faces, -1, axis=1).ravel().astype(np.int64)
    key = np.minimum(a, b) * (int(faces.max()) + 1) + np.maximum(a, b)
    order = np.argsort(key, kind="stable")
    same = key[order[1:]] == key[order[:-1]]
    return np.stack([order[:-1][same], order[1:][same]], 1) // 3


@dataclass(frozen=True)
class Candidates:
    """Photos of every face, best first: view (F, K) int16, -1 where there are fewer; quality (F, K): pixels of the
    photo on the face; shade (F, K, 3): logarithm of the mean linear colour."""

    view: NDArray[np.int16]
    quality: FloatArray
    shade: FloatArray

    @property
    def there(self) -> Bools:
        """(F, K): whether there is such a candidate."""
        return self.view >= 0


def candidates(
    faces: Faces, scene: Scene, views: Sequence[View], lift: float, progress: Callable[[float], None]
) -> Candidates:
    """The eight photos with most pixels on each face, of those that show all of it."""
    count = len(faces.corners)
    view = np.full((count, _KEPT), -1, np.int16)
    quality = np.zeros((count, _KEPT), np.float32)
    shade = np.zeros((count, _KEPT, 3), np.float32)
    for number, one in enumerate(views):
        shown, pixels, colors = _faces_in(faces, scene, one, lift)
        slot = quality[shown].argmin(1)
        better = pixels > quality[shown, slot]
        shown, slot = shown[better], slot[better]
        view[shown, slot], quality[shown, slot], shade[shown, slot] = number, pixels[better], colors[better]
        progress((number + 1) / len(views))
    order = np.argsort(-quality, axis=1, kind="stable")
    rows = np.arange(count)[:, None]
    return Candidates(view[rows, order], quality[rows, order], shade[rows, order])


def _faces_in(faces: Faces, scene: Scene, view: View, lift: float) -> tuple[Ints, FloatArray, FloatArray]:
    """Faces (n,) that a view shows whole, their pixels (n,), their mean colours (n, 3) as logarithms."""
    middle = faces.corners.mean(1)
    shown = np.flatnonzero(view.framed(middle, faces.normals)[2] > 0)
    colors = np.zeros((len(shown), 3), np.float32)
    trust = np.ones(len(shown), np.float32)
    worst = np.ones(len(shown), np.float32)
    depth = np.zeros(len(shown), np.float32)
    for weight in _SPOTS:
        points = np.einsum("j,ijk->ik", weight, faces.corners[shown])
        place, z, cosine = view.shows(scene, points, faces.normals[shown], lift)
        found = sample(view.soft, place)
        colors += found[:, :3] / len(_SPOTS)
        trust, worst = np.minimum(trust, found[:, 3]), np.minimum(worst, cosine)
        depth += z / len(_SPOTS)
    good = (worst > 0) & (trust > 0.5)
    density = view.camera.fx * view.camera.fy / np.maximum(depth, 1e-9) ** 2
    pixels = faces.area[shown] * density * worst * trust
    shade = np.log(np.maximum(colors[good], _BLACK))
    return shown[good], pixels[good].astype(np.float32), shade.astype(np.float32)


@dataclass(frozen=True)
class Light:
    """gains (views, 3): what to add to the logarithms of a photo's colours so that all agree; outlier (F, K): whether
    a candidate shows something else than the others (a passer-by, a highlight)."""

    gains: FloatArray
    outlier: Bools


def evened(found: Candidates, count: int) -> Light:
    """Gains of all photos, by medians in turn over faces and photos, and the outliers."""
    several = np.flatnonzero(found.there.sum(1) > 1)
    view, shade, there = found.view[several], found.shade[several], found.there[several]
    step = max(1, len(several) // _ENOUGH)
    gains = _gains(view[::step], shade[::step], there[::step], count)
    outlier = np.zeros(found.view.shape, bool)
    if not len(several):
        return Light(gains, outlier)
    moved = shade + gains[view]
    middle = _middle(moved, there)
    away = np.abs(blend.encode(np.exp(moved)) - blend.encode(np.exp(middle))[:, None]).max(2)
    crowd = there & (there.sum(1) > 2)[:, None]
    for number in range(count):
        mine = (view == number) & crowd
        if mine.any():
            limit = max(_DIFFERENT, _SPREADS * 1.5 * float(np.median(away[mine])))
            outlier[several] |= mine & (away > limit)
    return Light(gains, outlier)


def _gains(view: NDArray[np.int16], shade: FloatArray, there: Bools, count: int) -> FloatArray:
    """Gains (count, 3) that bring the colours of every face together, their median 0."""
    gains = np.zeros((count, 3), np.float32)
    if not len(view):
        return gains
    places = [np.nonzero(view == number) for number in range(count)]
    for _ in range(_TURNS):
        middle = _middle(shade + gains[view], there)
        for number, place in enumerate(places):
            if len(place[0]) >= 8:
                gains[number] = np.median(middle[place[0]] - shade[place], axis=0)
        gains -= np.median(gains, axis=0)
    return np.clip(gains, -1.5, 1.5)


def _middle(values: FloatArray, there: Bools) -> FloatArray:
    """Median (F, 3) of those values (F, K, 3) that are there."""
    ordered = np.sort(np.where(there[..., None], values, np.float32(np.inf)), axis=1)
    number, rows = there.sum(1), np.arange(len(values))
    low, high = (number - 1) // 2, number // 2
    return np.asarray((ordered[rows, low] + ordered[rows, high]) / 2, np.float32)


def chosen(found: Candidates, outlier: Bools, faces: Faces, smooth: float) -> NDArray[np.int16]:
    """The photo (F,) of every face, -1 where none shows it: near and square on, and the same as the neighbours'.

    smooth: cost of a different photo across an edge, where a photo from 1.4 times as far costs as much as 0.25.
    """
    best = np.maximum(found.quality.max(1, keepdims=True), 1e-12)
    with np.errstate(divide="ignore"):
        cost = _HALF * np.log2(best / np.maximum(found.quality, 1e-12))
    cost = np.minimum(cost, _OUTLIER) + np.where(outlier, np.float32(_OUTLIER), 0)
    cost = np.where(found.there, cost, np.float32(1e6)).astype(np.float32)
    slot = _propagated(cost, found.view, faces.pairs, smooth)
    label = found.view[np.arange(len(slot)), slot]
    return np.where(found.there.any(1), label, -1).astype(np.int16)


def _propagated(cost: FloatArray, view: NDArray[np.int16], pairs: Ints, smooth: float) -> Ints:
    """Slots (F,) of low cost, by messages along both directions of every pair; half of the old message is kept."""
    if not len(pairs):
        return cost.argmin(1)
    source, target = np.concatenate([pairs[:, 0], pairs[:, 1]]), np.concatenate([pairs[:, 1], pairs[:, 0]])
    back = np.roll(np.arange(len(source)), len(pairs))
    same = view[source][:, None, :] == view[target][:, :, None]
    at, has = same.argmax(2), same.any(2)
    message = np.zeros((len(source), cost.shape[1]), np.float32)
    total = cost
    for _ in range(_ROUNDS):
        h = total[source] - message[back]
        low = h.min(1, keepdims=True)
        fresh = np.minimum(np.where(has, np.take_along_axis(h, at, 1), np.inf), low + smooth) - low
        message = 0.5 * message + 0.5 * fresh
        gathered = [np.bincount(target, message[:, k], len(cost)) for k in range(cost.shape[1])]
        total = cost + np.stack(gathered, 1).astype(np.float32)
    return total.argmin(1)
