"""Carrying seen colours into unseen parts of a surface without a seam, and filling the gaps of a texture."""

from __future__ import annotations

from dataclasses import dataclass
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
REACH = 0.12


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


@dataclass(frozen=True)
class Links:
    """Near samples on a surface: near (N, K) their numbers, weight (N, K) how much they belong together, step: the
    usual distance between neighbours."""

    near: NDArray[np.intp]
    weight: FloatArray
    step: float

    @classmethod
    def of(cls, points: FloatArray, normals: FloatArray) -> Links:
        """Links (K = 8, less where there are fewer samples) of near points (N, 3) whose unit normals are alike."""
        from scipy.spatial import cKDTree

        count = min(_NEIGHBOURS, len(points) - 1)
        if count < 1:
            return cls(np.zeros((len(points), 0), np.intp), np.zeros((len(points), 0), np.float32), 1.0)
        distance, near = cKDTree(points).query(points, k=count + 1, workers=2)
        distance, near = distance[:, 1:], near[:, 1:]
        step = max(float(np.median(distance)), 1e-12)
        alike = np.clip(np.einsum("ik,ijk->ij", normals, normals[near]), 0, 1) ** 2
        weight = alike * np.exp(-((distance / (2 * step)) ** 2)) + 1e-4 * (alike > 0)
        return cls(near, weight.astype(np.float32), step)


def membrane(
    links: Links,
    difference: NDArray[np.floating],
    weight: FloatArray,
    size: float,
    jumps: NDArray[np.floating] | None = None,
    towards: NDArray[np.floating] | None = None,
    reach: float | FloatArray = REACH,
) -> FloatArray:
    """A smooth field (N, 3) that equals ``difference`` where weight is 1 and dies away along the surface elsewhere,
    over ``reach`` (of all, or of each (N,)) times the size.

    towards (N, 3): what it fades to in place of 0. jumps (N, K, 3): what the field should rise from each linked sample
    to this one, so that patches laid side by side meet without a seam. Solves (L + diag(big weight) + decay) x =
    big weight difference + decay towards + div jumps with the graph Laplacian L of the links (a screened Poisson
    membrane; Perez, Gangnet, Blake: Poisson image editing, 2003).
    """
    from scipy.sparse import coo_matrix, diags

    count = len(weight)
    if not links.near.shape[1] or not ((weight > 0).any() or (jumps is not None and jumps.any())):
        return np.zeros((count, 3), np.float32)
    rows = np.repeat(np.arange(count), links.near.shape[1])
    graph = coo_matrix((links.weight.ravel(), (rows, links.near.ravel())), shape=(count, count)).tocsr()
    graph = 0.5 * (graph + graph.T)
    degree = np.asarray(graph.sum(1)).ravel()
    held = 50.0 * np.asarray(weight, np.float64) ** 2
    decay = float(degree.mean()) / 4 * (links.step / (np.broadcast_to(reach, (count,)) * size)) ** 2
    diagonal = degree + held + decay
    system = (diags(diagonal) - graph).tocsr().astype(np.float32)
    wanted = held[:, None] * np.clip(difference, -_MOST, _MOST)
    if towards is not None:
        wanted += decay[:, None] * np.clip(towards, -_MOST, _MOST)
    if jumps is not None:
        flow = 0.5 * links.weight[..., None] * np.clip(jumps, -_MOST, _MOST)
        there = [np.bincount(links.near.ravel(), flow[..., k].ravel(), count) for k in range(3)]
        wanted += flow.sum(1) - np.stack(there, 1)
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
    """A copy of the image (H, W, C) with unknown pixels taken from ever coarser means of the known ones around."""
    if known.all() or not known.any() or min(known.shape) < 2:
        return image
    total = np.zeros((-(-known.shape[0] // 2), -(-known.shape[1] // 2)), np.float32)
    coarse = np.zeros((*total.shape, image.shape[2]), np.float32)
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
