"""Carrying seen colours into unseen parts of a surface without a seam, and filling the gaps of a texture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..assets import FloatArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: Keeps ratios of dark colours sane: colours are compared as log(linear + this).
_DARK = 0.03
#: Largest change of a colour, as a logarithm: a factor of three.
_MOST = 1.1
#: Steps of each channel in which guessed colours are told apart.
_SHADES = 16
#: Neighbours of a sample on the surface.
_NEIGHBOURS = 8
#: Share of the object's diagonal over which a correction dies away.
_REACH = 0.12


def encode(linear: NDArray[np.floating]) -> Floats:
    """Logarithmic colour, in which corrections are added: a change of light is the same for bright and dark."""
    return np.log(np.maximum(np.asarray(linear, np.float64), 0) + _DARK)


def applied(linear: FloatArray, correction: NDArray[np.floating]) -> FloatArray:
    """Linear colours (N, 3) after adding a correction (N, 3) to their logarithms."""
    return np.asarray(np.maximum((linear + _DARK) * np.exp(correction).astype(np.float32) - _DARK, 0), np.float32)


def gain(seen: FloatArray, guess: FloatArray, weight: FloatArray) -> Floats:
    """Correction (3,) that brings guessed colours to the seen ones: weighted median per channel, factor 3 at most."""
    difference = encode(seen) - encode(guess)
    if not weight.any():
        return np.zeros(3)
    out = np.empty(3)
    for k in range(3):
        order = np.argsort(difference[:, k], kind="stable")
        total = np.cumsum(weight[order])
        out[k] = difference[order[np.searchsorted(total, total[-1] / 2)], k]
    return np.clip(out, -_MOST, _MOST)


def learned(seen: FloatArray, guess: FloatArray, weight: FloatArray, fallback: Floats) -> FloatArray:
    """Correction (N, 3) of each guessed colour (N, 3): what samples of like guess needed where they were seen.

    A network errs alike on like colours, so what it called pale pink where the photo shows red is red elsewhere too.
    Kernel regression over a grid of guessed colours, drawn to ``fallback`` (3,) where little of the like was seen.
    """
    from scipy.ndimage import gaussian_filter, map_coordinates

    low, high = np.log(_DARK), np.log(1 + _DARK)
    at = np.clip((encode(guess) - low) / (high - low), 0, 1) * (_SHADES - 1)
    cell = np.rint(at).astype(np.int64) @ np.array([_SHADES**2, _SHADES, 1])
    need = np.clip(encode(seen) - encode(guess), -_MOST, _MOST) - fallback
    shape = (_SHADES,) * 3
    columns = [weight, *(need * weight[:, None]).T]
    total, *sums = (
        gaussian_filter(np.bincount(cell, c, _SHADES**3).reshape(shape), 1.0, mode="constant") for c in columns
    )
    trust = 0.002 * float(weight.sum()) + 1e-9
    change = np.stack([map_coordinates(s / (total + trust), at.T, order=1, mode="nearest") for s in sums], 1)
    return np.asarray(fallback + change, np.float32)


def membrane(
    points: FloatArray, normals: FloatArray, difference: Floats, weight: FloatArray, size: float
) -> FloatArray:
    """A smooth field (N, 3) that equals ``difference`` where weight is 1 and dies away along the surface elsewhere.

    Solves (L + diag(big weight) + decay) x = big weight difference with the graph Laplacian L of near samples with
    like normals (a screened Poisson membrane; Perez, Gangnet, Blake: Poisson image editing, 2003).
    """
    from scipy.sparse import coo_matrix, diags
    from scipy.spatial import cKDTree

    count = len(points)
    if count <= _NEIGHBOURS or not (weight > 0).any():
        return np.zeros((count, 3), np.float32)
    distance, near = cKDTree(points).query(points, k=_NEIGHBOURS + 1)
    distance, near = distance[:, 1:], near[:, 1:]
    step = float(np.median(distance))
    alike = np.clip(np.einsum("ik,ijk->ij", normals, normals[near]), 0, 1) ** 2
    link = (alike * np.exp(-((distance / (2 * step)) ** 2)) + 1e-4 * (alike > 0)).ravel()
    rows = np.repeat(np.arange(count), _NEIGHBOURS)
    graph = coo_matrix((link, (rows, near.ravel())), shape=(count, count)).tocsr()
    graph = graph.maximum(graph.T)
    degree = np.asarray(graph.sum(1)).ravel()
    held = 50.0 * np.asarray(weight, np.float64) ** 2
    decay = float(degree.mean()) / 4 * (step / (_REACH * size)) ** 2
    diagonal = degree + held + decay
    system = (diags(diagonal) - graph).tocsr().astype(np.float32)
    wanted = held[:, None] * np.clip(difference, -_MOST, _MOST)
    return _conjugate_gradients(system, wanted.astype(np.float32), (1 / diagonal).astype(np.float32))


def _conjugate_gradients(system: Any, wanted: FloatArray, inverse: FloatArray, rounds: int = 50) -> FloatArray:
    """x with system x = wanted for all columns at once, preconditioned by the diagonal's inverse; within a percent."""
    x = wanted * inverse[:, None]
    r = wanted - system @ x
    z = inverse[:, None] * r
    p = z
    rz = (r * z).sum(0)
    target = 1e-5 * np.sqrt((wanted**2).sum(0)) + 1e-12
    for _ in range(rounds):
        if (np.sqrt((r**2).sum(0)) < target).all():
            break
        q = system @ p
        step = rz / np.maximum((p * q).sum(0), 1e-30)
        x, r = x + step * p, r - step * q
        z = inverse[:, None] * r
        fresh = (r * z).sum(0)
        p, rz = z + fresh / np.maximum(rz, 1e-30) * p, fresh
    return x


def filled(image: NDArray[Any], known: Bools) -> NDArray[Any]:
    """A copy of the image (H, W, 3) with unknown pixels taken from ever coarser means of the known ones around."""
    if known.all() or not known.any() or min(known.shape) < 2:
        return image
    total = np.zeros((-(-known.shape[0] // 2), -(-known.shape[1] // 2)), np.float32)
    coarse = np.zeros((*total.shape, 3), np.float32)
    for dy in (0, 1):
        for dx in (0, 1):
            weight, value = known[dy::2, dx::2], image[dy::2, dx::2]
            place = np.s_[: weight.shape[0], : weight.shape[1]]
            total[place] += weight
            coarse[place] += value * weight[..., None].astype(np.float32)
    coarse /= np.maximum(total, 1)[..., None]
    coarse = filled(coarse, total > 0)
    out = image.copy()
    y, x = np.nonzero(~known)
    value = coarse[y // 2, x // 2]
    out[y, x] = value + 0.5 if image.dtype == np.uint8 else value
    return out
