"""One object out of a map of foreground: the salient one or the one that was picked, without crumbs and pinholes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import NothingFoundError

FloatArray = NDArray[np.float32]

#: Probability from which a pixel is foreground; when nothing reaches it, half the best, if that is worth anything.
_FOREGROUND = 0.5
_WORTH_A_TRY = 0.3
#: Share of the picture that the smallest object covers.
_SMALLEST = 5e-4
#: Parts closer than this share of the longest side belong to one object.
_GAP = 0.02
#: Parts and holes smaller than these shares of the object are crumbs and pinholes.
_CRUMB, _PINHOLE = 0.004, 0.002
#: How far, as a share of the longest side, a pick may miss its object.
_PICK_REACH = 0.03


def chosen_component(
    probability: FloatArray, pick: tuple[float, float] | None, source: str, hint: str
) -> tuple[FloatArray, float]:
    """The map (h, w) of the chosen object alone, and the confidence in [0, 1].

    Parts that nearly touch count as one object. Without ``pick`` (fractions of width and height) the largest of
    area x centrality x probability wins. Raises NothingFoundError.
    """
    from scipy.ndimage import label, maximum_filter

    best = float(probability.max())
    level = _FOREGROUND if best >= _FOREGROUND else best / 2
    solid = probability > level
    if best < _WORTH_A_TRY or solid.mean() < _SMALLEST:
        raise NothingFoundError(f"{source}: no object found in the picture", hint)
    gap = max(1, round(_GAP * max(probability.shape) / 2))
    joined, _ = label(maximum_filter(solid, 2 * gap + 1))
    objects = np.where(solid, joined, 0)
    index = _salient(objects, probability) if pick is None else _under(objects, pick, source)
    own = _without_pinholes(_without_crumbs(objects == index), probability)
    # The object's soft rim belongs to it, other objects and their rims do not.
    near = maximum_filter(own, 2 * gap + 1) & ~(solid & ~own)
    alone = np.where(near, probability, 0)
    alone = np.where(own & (probability <= level), 1, alone)
    if level < _FOREGROUND:
        alone = np.clip(alone * (_FOREGROUND / level), 0, 1)
    return np.asarray(alone, np.float32), _confidence(probability, own, gap)


def _salient(objects: NDArray[np.integer], probability: FloatArray) -> int:
    """The object with the most of area x centrality x probability; centrality falls to 1/e at a third of the side."""
    height, width = objects.shape
    y, x = np.mgrid[:height, :width]
    distance = ((x + 0.5) / width - 0.5) ** 2 + ((y + 0.5) / height - 0.5) ** 2
    weight = probability * np.exp(-distance / (1 / 3) ** 2)
    scores = np.bincount(objects.ravel(), weight.ravel())
    scores[0] = 0
    return int(scores.argmax())


def _under(objects: NDArray[np.integer], pick: tuple[float, float], source: str) -> int:
    """The object at ``pick`` or nearest to it within reach."""
    height, width = objects.shape
    rows, columns = np.nonzero(objects)
    distance = np.hypot(columns + 0.5 - pick[0] * width, rows + 0.5 - pick[1] * height)
    nearest = int(distance.argmin())
    if distance[nearest] > max(1.0, _PICK_REACH * max(height, width)):
        raise NothingFoundError(f"{source}: no object under the picked pixel", "pick another pixel or pass --mask")
    return int(objects[rows[nearest], columns[nearest]])


def _without_crumbs(own: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy.ndimage import label

    parts, _ = label(own)
    sizes = np.bincount(parts.ravel())
    keep = sizes >= max(4, _CRUMB * own.sum())
    keep[sizes == sizes[1:].max()] = True
    keep[0] = False
    return np.asarray(keep[parts], np.bool_)


def _without_pinholes(own: NDArray[np.bool_], probability: FloatArray) -> NDArray[np.bool_]:
    """Fill holes that are tiny, or in which the network was not sure of the background either."""
    from scipy.ndimage import label

    holes, count = label(~own)
    if count == 0:
        return own
    sizes = np.bincount(holes.ravel())
    doubt = np.bincount(holes.ravel(), probability.ravel()) / np.maximum(sizes, 1)
    tiny = sizes <= max(4, _PINHOLE * own.sum())
    outside = np.unique(np.concatenate([holes[0], holes[-1], holes[:, 0], holes[:, -1]]))
    fill = tiny | (doubt > 0.35)
    fill[outside] = False
    fill[0] = False
    return np.asarray(own | fill[holes], np.bool_)


def _confidence(probability: FloatArray, own: NDArray[np.bool_], gap: int) -> float:
    """How decided the network is on and around the object, less the share of its pixels that it could not decide."""
    from scipy.ndimage import maximum_filter

    around = maximum_filter(own, 4 * gap + 1)
    decided = float(np.abs(probability[around] - 0.5).mean() * 2)
    unsure = float(((probability > 0.25) & (probability < 0.75) & around).sum() / own.sum())
    return float(np.clip(decided * (1 - 0.5 * min(unsure, 1.0)), 0, 1))
