"""Sparse voxels: cubes of 8 x 8 x 8 nodes, only where surfaces are; found by sorted keys, walked block by block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from ...errors import ReconstructionError
from .maps import Map

Floats = NDArray[np.float64]
Keys = NDArray[np.int64]

#: Nodes along the side of a block.
SIDE = 8
#: Blocks are numbered from -2**20 to 2**20 along each axis.
_HALF, _BITS = 1 << 20, 21


@dataclass(frozen=True)
class Blocks:
    """Blocks in use. Node (i, j, k) of the world lies at ``low + step * (i, j, k)``.

    key (B,) int64, ascending: see ``packed``.
    """

    low: Floats
    step: float
    key: Keys

    def places(self) -> NDArray[np.int64]:
        """Numbers (B, 3) of the blocks along the axes; their first node is eight times that."""
        return unpacked(self.key)

    def find(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Index of the blocks at places (..., 3), -1 where there is none."""
        key = packed(places)
        at = np.minimum(np.searchsorted(self.key, key), len(self.key) - 1)
        return np.where(self.key[at] == key, at, -1)

    def nodes(self, chosen: NDArray[np.int64]) -> Floats:
        """World positions (n, 512, 3) of all nodes of some blocks."""
        inner = np.stack(np.meshgrid(*[np.arange(SIDE)] * 3, indexing="ij"), -1).reshape(-1, 3)
        return (self.places()[chosen][:, None] * SIDE + inner) * self.step + self.low


def packed(places: NDArray[np.int64]) -> Keys:
    """Numbers (..., 3) of blocks along the axes as one key each, ordered like (x, y, z)."""
    p = places.astype(np.int64) + _HALF
    return (p[..., 0] << (2 * _BITS)) | (p[..., 1] << _BITS) | p[..., 2]


def unpacked(key: Keys) -> NDArray[np.int64]:
    """The reverse of ``packed``."""
    mask = (1 << _BITS) - 1
    return np.stack([key >> (2 * _BITS), (key >> _BITS) & mask, key & mask], -1) - _HALF


def touched(one: Map, low: Floats, step: float, reach: float, farthest: float) -> Keys:
    """Keys of the blocks within ``reach`` along the rays of a view's depths; depths above ``farthest`` left out."""
    stride = max(1, int(2 * step / max(one.footprint, 1e-30))) if np.isfinite(one.footprint) else 1
    pose = np.ascontiguousarray(one.camera.world_from_camera[:3])
    count = len(range(0, one.z.shape[0], stride)) * len(range(0, one.z.shape[1], stride))
    most = count * (int(np.ceil(2 * reach / (4 * step))) + 2) * 8
    keys = np.empty(min(most, 40_000_000), np.int64)
    number = _touch(one.z, one.trust, one.lens, pose, low, step, reach, farthest, min(stride, 8), keys)
    return np.unique(keys[:number])


@numba.njit(cache=True, nogil=True)
def _touch(
    z: Any, trust: Any, lens: Any, pose: Any, low: Any, step: float, reach: float, farthest: float, stride: int,
    keys: Any,
) -> int:  # fmt: skip
    height, width = z.shape
    number = 0
    last = np.int64(-1)
    half = np.int64(1 << 20)
    for y in range(0, height, stride):
        for x in range(0, width, stride):
            d = z[y, x]
            if not np.isfinite(d) or d > farthest or trust[y, x] <= 0:
                continue
            rx, ry = (x + 0.5 - lens[2]) / lens[0], (y + 0.5 - lens[3]) / lens[1]
            size = np.sqrt(rx * rx + ry * ry + 1)
            count = int(np.ceil(2 * reach / (4 * step))) + 1
            for s in range(count):
                e = d + (2 * s / (count - 1) - 1) * reach / size
                if e <= 0:
                    continue
                px = pose[0, 0] * rx * e + pose[0, 1] * ry * e + pose[0, 2] * e + pose[0, 3]
                py = pose[1, 0] * rx * e + pose[1, 1] * ry * e + pose[1, 2] * e + pose[1, 3]
                pz = pose[2, 0] * rx * e + pose[2, 1] * ry * e + pose[2, 2] * e + pose[2, 3]
                for corner in range(8):
                    i = np.int64(np.floor(((px - low[0]) / step + (2 if corner & 1 else -2)) / 8)) + half
                    j = np.int64(np.floor(((py - low[1]) / step + (2 if corner & 2 else -2)) / 8)) + half
                    k = np.int64(np.floor(((pz - low[2]) / step + (2 if corner & 4 else -2)) / 8)) + half
                    key = (i << 42) | (j << 21) | k
                    if key != last and number < len(keys):
                        keys[number] = key
                        number += 1
                        last = key
    return number


def dense(
    blocks: Blocks, values: NDArray[np.float32], known: NDArray[np.bool_], side: int = 8
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.bool_]]]:
    """Values (B, 8, 8, 8) laid out as cubes of ``side`` blocks and one node more: first node (3,), values, known."""
    places = blocks.places()
    group = packed(places // side)
    width = side * SIDE
    for key in np.unique(group):
        first = unpacked(key[None])[0] * side
        around = first + np.stack(np.meshgrid(*[np.arange(side + 1)] * 3, indexing="ij"), -1)
        index = blocks.find(around)
        full = np.zeros((width + SIDE,) * 3, np.float32)
        there = np.zeros(full.shape, np.bool_)
        for a, b, c in np.argwhere(index >= 0):
            spot = np.s_[8 * a : 8 * a + 8, 8 * b : 8 * b + 8, 8 * c : 8 * c + 8]
            full[spot], there[spot] = values[index[a, b, c]], known[index[a, b, c]]
        cut = np.s_[: width + 1, : width + 1, : width + 1]
        yield first * SIDE, full[cut], there[cut]


#: Smallest size of a value, as a share of a cell at slope 1: corners never fall on nodes.
_LEAST = 1e-3


def zero_level(
    blocks: Blocks, values: NDArray[np.float32], known: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Vertices (V, 3) float32 world and faces (F, 3) int32 of the zero level of values (B, 8, 8, 8), in cells; faces
    look to where values grow. Cells with an unknown corner stay open (Lorensen and Cline 1987; Lewiner et al. 2003).

    Raises ReconstructionError when there is no surface.
    """
    from skimage.measure import marching_cubes

    vertices, faces, keys = [], [], []
    start, own = 0, np.int64(-1)
    corner = blocks.places().min(0) * SIDE
    for first, full, there in dense(blocks, values, known):
        cells = _whole(there) & _mixed(full)
        if not cells.any():
            continue
        mask = np.zeros(full.shape, np.bool_)
        mask[1:, 1:, 1:] = cells
        full = np.where(np.abs(full) < _LEAST, np.float32(_LEAST), full)
        v, f, _, _ = marching_cubes(full, 0.0, mask=mask, gradient_direction="descent")
        if not len(f):
            continue
        key, own = _edge_keys(v, first - corner, own)
        vertices.append(v.astype(np.float64) + first)
        faces.append(f.astype(np.int64) + start)
        keys.append(key)
        start += len(v)
    if not faces:
        raise ReconstructionError("the depth maps agree on no surface", "more pictures that overlap are needed")
    _, at, index = np.unique(np.concatenate(keys), return_index=True, return_inverse=True)
    joined = index.reshape(-1)[np.concatenate(faces)].astype(np.int32)
    joined = joined[(joined != np.roll(joined, 1, axis=1)).all(1)]
    return (np.concatenate(vertices)[at] * blocks.step + blocks.low).astype(np.float32), joined


def _whole(there: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Cells (n - 1, ...) all of whose eight corners are known."""
    for axis in range(3):
        there = np.minimum(*_ends(there, axis))
    return there


def _mixed(values: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Cells with corners of both signs."""
    low = high = values < 0
    for axis in range(3):
        low, high = np.minimum(*_ends(low, axis)), np.maximum(*_ends(high, axis))
    return high & ~low


def _ends(values: NDArray[Any], axis: int) -> tuple[NDArray[Any], NDArray[Any]]:
    moved = np.moveaxis(values, axis, 0)
    return np.moveaxis(moved[:-1], 0, axis), np.moveaxis(moved[1:], 0, axis)


def _edge_keys(v: NDArray[np.floating], first: NDArray[np.int64], own: np.int64) -> tuple[Keys, np.int64]:
    """A number for every vertex, the same for all that lie on one edge of the grid; those inside cells have their own,
    negative, counted down from ``own``."""
    down = np.floor(v).astype(np.int64)
    between = v != down
    axis = between.argmax(1)
    p = down + first
    key = (((p[:, 0] << 20) | p[:, 1]) << 20 | p[:, 2]) * 3 + axis
    inner = between.sum(1) != 1
    key[inner] = own - np.arange(int(inner.sum()))
    return key, np.int64(own - int(inner.sum()))
