"""Colours of sparse points, and how much brighter one picture of a set is than the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...capture import Photo
from ...conventions import luminance, srgb_to_linear
from .mapping import Model

#: Values that are too dark or burnt out say nothing of exposure (linear light).
_DARK, _BURNT = 0.01, 0.9


def colours(photos: Sequence[Photo], model: Model) -> NDArray[np.float32]:
    """sRGB (N, 3) of the model's points: the mean, in linear light, of the pixels they were seen at."""
    from ...conventions import linear_to_srgb

    total = np.zeros((len(model.points), 3))
    seen = _seen(photos, model)
    for channel in range(3):
        total[:, channel] = np.bincount(model.point, seen[:, channel], len(model.points))
    count = np.maximum(np.bincount(model.point, minlength=len(model.points)), 1)
    return linear_to_srgb((total / count[:, None]).astype(np.float32))


def exposures(photos: Sequence[Photo], model: Model) -> dict[int, float]:
    """Each picture's brightness over the set's middle, in stops, from the points it shares with others.

    Medians of log ratios, by turns over points and pictures: robust against highlights and occlusion.
    """
    light = luminance(_seen(photos, model))
    ok = (light > _DARK) & (light < _BURNT)
    photo, point, value = model.photo[ok], model.point[ok], np.log2(light[ok].astype(np.float64))
    stops = dict.fromkeys(model.poses, 0.0)
    own = np.zeros(max(model.poses) + 1)
    by_point, by_photo = _rows(point), _rows(photo)
    level = np.zeros(len(model.points))
    for _ in range(6):
        for number, rows in by_point.items():
            level[number] = np.median(value[rows] - own[photo[rows]])
        for number, rows in by_photo.items():
            own[number] = np.median(value[rows] - level[point[rows]])
        own -= np.median([own[i] for i in stops])
    return {i: round(float(own[i]), 3) for i in stops}


def _rows(labels: NDArray[np.int32]) -> dict[int, NDArray[np.int64]]:
    """label -> the rows that bear it."""
    order = np.argsort(labels, kind="stable")
    edges = np.flatnonzero(np.diff(labels[order])) + 1
    return {int(labels[rows[0]]): rows for rows in np.split(order, edges) if len(rows)}


def _seen(photos: Sequence[Photo], model: Model) -> NDArray[np.float32]:
    """Linear colour (M, 3) at each sighting."""
    out = np.zeros((len(model.photo), 3), np.float32)
    for i in model.poses:
        rows = model.photo == i
        width, height = photos[i].size
        at = np.clip(model.pixels[rows].astype(np.int64), 0, [width - 1, height - 1])
        out[rows] = srgb_to_linear(photos[i].image[at[:, 1], at[:, 0]])
    return out
