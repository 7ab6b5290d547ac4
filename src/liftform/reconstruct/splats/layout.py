"""One row a Gaussian: how the numbers that are optimised lie in a table, and its way to and from ``assets.Splats``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...assets import Splats

Floats = NDArray[np.floating[Any]]

#: Columns of a row: mean, logarithm of the scales, quaternion wxyz of any length, logit of the opacity, then spherical
#: harmonics, coefficient by coefficient, each red, green, blue.
MEAN, SCALE, TURN, LOGIT, HARMONICS = 0, 3, 6, 10, 11
#: Opacities are kept this far from 0 and 1, so that their logit is finite.
EDGE = 1e-4


def columns(degree: int) -> int:
    """How many numbers a Gaussian has with harmonics up to ``degree``."""
    return HARMONICS + 3 * (degree + 1) ** 2


def degree_of(table: Floats) -> int:
    """The degree of the harmonics in a table (N, columns)."""
    return round(((table.shape[1] - HARMONICS) // 3) ** 0.5) - 1


def to_table(asset: Splats) -> NDArray[np.float32]:
    """A table (N, columns) of the Gaussians."""
    table = np.empty((len(asset.means), columns(asset.degree)), np.float32)
    table[:, MEAN:SCALE] = asset.means
    table[:, SCALE:TURN] = np.log(np.maximum(asset.scales, 1e-12))
    table[:, TURN:LOGIT] = asset.rotations
    opacity = np.clip(asset.opacities, EDGE, 1 - EDGE)
    table[:, LOGIT] = np.log(opacity / (1 - opacity))
    table[:, HARMONICS:] = asset.harmonics.reshape(len(table), -1)
    return table


def to_splats(table: Floats, **fields: Any) -> Splats:
    """The Gaussians of a table (N, columns); quaternions at unit length, w >= 0."""
    turns = table[:, TURN:LOGIT].astype(np.float64)
    turns /= np.maximum(np.linalg.norm(turns, axis=1, keepdims=True), 1e-12)
    turns[turns[:, 0] < 0] *= -1
    return Splats(
        np.ascontiguousarray(table[:, MEAN:SCALE], np.float32),
        np.exp(table[:, SCALE:TURN]).astype(np.float32),
        turns.astype(np.float32),
        (1 / (1 + np.exp(-table[:, LOGIT].astype(np.float64)))).astype(np.float32),
        np.ascontiguousarray(table[:, HARMONICS:].reshape(len(table), -1, 3), np.float32),
        **fields,
    )
