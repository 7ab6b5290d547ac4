"""What the foreground hides, invented: the background's planes go on behind it, and so do its colours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import tears

Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]

#: How far behind an edge the background goes on, and how much of it is read, as shares of the longer side.
_REACH, _READ = 0.14, 0.03
#: Radii over which planes are fitted to the background, as shares of the longer side; the finest that sees enough.
_RADII = (0.012, 0.04, 0.12)
#: Weight of background under which a radius sees too little; resistance of a plane to tilting.
_ENOUGH, _STIFF = 0.02, 0.02
#: The hidden surface lies at least this share of the depth behind the visible one, and at most this many times as far
#: as the background it continues.
_BEHIND, _FAR = 0.02, 3.0


@dataclass(frozen=True)
class Hidden:
    """A second sheet on the same grid (H, W). w: inverse depth, NaN where there is none. invented: its vertices that
    the picture hides; the others are the visible background at the edge, to which they are sewn. known: vertices
    whose colours go on behind the foreground."""

    w: NDArray[np.float64]
    invented: Bools
    known: Bools


def hidden_layer(w: Floats, right: Bools, down: Bools, edge: Bools) -> Hidden:
    """The background behind the near side of every tear.

    w: inverse depth (H, W), NaN where unknown; right, down: torn edges as in ``tears.torn_edges``; edge (H, W): corners
    of all triangles that span a tear, to which the layer must reach. Next to the unknown and the sky nothing goes on.
    """
    longer = max(w.shape)
    near, far = _sides(w, right, down)
    known = tears.spread(far, right, down, max(2, round(_READ * longer))) & ~near
    plane = _continued(w, known, longer)
    limit = np.where(np.isfinite(w), w, 0) * (1 - _BEHIND)
    # Where the background's plane comes up to the visible surface, the two touch, and nothing is hidden beyond.
    hides = np.isfinite(plane) & np.isfinite(w) & ((plane < limit) | near)
    invented = tears.spread(near & hides, right, down, max(2, round(_REACH * longer)), hides) & hides
    out = np.where(invented, np.minimum(plane, limit), np.where(edge, w, np.nan))
    return Hidden(out, invented, known)


def _sides(w: Floats, right: Bools, down: Bools) -> tuple[Bools, Bools]:
    """Vertices at the near and at the far end of a tear between two known depths."""
    near, far = np.zeros(w.shape, bool), np.zeros(w.shape, bool)
    for a, b, torn in (
        (np.s_[:, :-1], np.s_[:, 1:], right),
        (np.s_[:-1], np.s_[1:], down),
    ):
        both = torn & np.isfinite(w[a]) & np.isfinite(w[b])
        first = w[a] > w[b]
        near[a] |= both & first
        far[b] |= both & first
        near[b] |= both & ~first
        far[a] |= both & ~first
    return near, far


def _continued(w: Floats, known: Bools, longer: int) -> NDArray[np.float64]:
    """Inverse depth (H, W) of the planes through the known vertices, fitted around every vertex; NaN far from all.

    Normalised convolution of first order (Knutsson and Westin 1993); planes are linear in inverse depth.
    """
    out = np.full(w.shape, np.nan)
    for share in reversed(_RADII):
        plane, seen = _fitted(np.where(known, w, 0), known.astype(np.float64), max(1.0, share * longer))
        blend = np.clip(seen / _ENOUGH, 0, 1)
        usable = seen > 1e-6
        out = np.where(usable, np.where(np.isfinite(out), out + blend * (plane - out), plane), out)
    return out


def _fitted(value: Floats, weight: Floats, sigma: float) -> tuple[Floats, Floats]:
    """Planes fitted with a Gaussian window around every vertex, evaluated there; and the weight each one saw."""
    from scipy.ndimage import gaussian_filter

    height, width = value.shape
    y, x = np.mgrid[:height, :width] / sigma

    def mean(a: Floats) -> Floats:
        return np.asarray(gaussian_filter(a, sigma, mode="constant", truncate=3.0))

    total = mean(weight)
    safe = np.maximum(total, 1e-12)
    mx, my, mv = (mean(weight * a) / safe for a in (x, y, value))
    xx, yy, xy = (mean(weight * a) / safe - b for a, b in ((x * x, mx * mx), (y * y, my * my), (x * y, mx * my)))
    xv, yv = (mean(weight * a * value) / safe - b * mv for a, b in ((x, mx), (y, my)))
    xx, yy = xx + _STIFF, yy + _STIFF
    det = np.maximum(xx * yy - xy * xy, 1e-9)
    slope_x, slope_y = (xv * yy - yv * xy) / det, (yv * xx - xv * xy) / det
    plane = mv + slope_x * (x - mx) + slope_y * (y - my)
    return np.clip(plane, mv / _FAR, mv * _FAR), total


def plate(image: Floats, hidden: Hidden) -> NDArray[np.float32]:
    """Colours (h, w, 3) behind the foreground: the background reflected at its edge, softened where reflections meet.

    image (h, w, 3): the photo, reduced, linear or encoded. Exact at the edge itself; a guess beyond.
    """
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    height, width = image.shape[:2]
    known, wanted = (_resized(mask, height, width) for mask in (hidden.known, hidden.invented))
    known &= ~wanted
    if not known.any():
        return np.asarray(image, np.float32)
    away, nearest = distance_transform_edt(~known, return_indices=True)
    y, x = np.mgrid[:height, :width]
    row = np.clip(2 * nearest[0] - y, 0, height - 1)
    column = np.clip(2 * nearest[1] - x, 0, width - 1)
    inside = known[row, column]
    row, column = np.where(inside, row, nearest[0]), np.where(inside, column, nearest[1])
    out = np.where(wanted[..., None], image[row, column], image).astype(np.float32)
    soft = np.clip(away / (0.04 * max(height, width)), 0, 1)[..., None] * wanted[..., None]
    blurred = np.stack([gaussian_filter(out[..., c], 0.01 * max(height, width)) for c in range(3)], -1)
    return np.asarray(out + soft * (blurred - out), np.float32)


def _resized(mask: Bools, height: int, width: int) -> Bools:
    """A mask of grid vertices as one of pixels (nearest)."""
    rows = np.clip(np.rint((np.arange(height) + 0.5) * (mask.shape[0] - 1) / height), 0, mask.shape[0] - 1).astype(int)
    columns = np.clip(np.rint((np.arange(width) + 0.5) * (mask.shape[1] - 1) / width), 0, mask.shape[1] - 1).astype(int)
    return mask[rows][:, columns]
