"""What the views say of a surface's vertices: colour, how many show them, look through them; and the trimming."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from ...assets import FloatArray, Mesh
from ...conventions import linear_to_srgb, srgb_to_linear
from ...errors import ReconstructionError
from ...topology import components
from .agreement import in_order, sampled
from .maps import Map

_LINEAR = srgb_to_linear(np.divide(np.arange(256), 255, dtype=np.float32))
#: Vertices that one thread works on at a time.
_LOT = 1 << 15


@dataclass(frozen=True)
class Coat:
    """Of every vertex: linear (V, 3) float32 colour, mean of the views that show it, by how squarely and closely they
    do; views (V,): how many show it; through (V,): how many look through it; outside (V,): how many see it outside
    their mask; asked (V,): into how many pictures it falls."""

    linear: FloatArray
    views: NDArray[np.int32]
    through: NDArray[np.int32]
    outside: NDArray[np.int32]
    asked: NDArray[np.int32]


def coat_of(
    vertices: FloatArray, normals: FloatArray, maps: Sequence[Map], near: float, share: float, threads: int
) -> Coat:
    """What all maps say of points (V, 3) with normals (V, 3). near, share: how far (world units, and as a share of
    the depth) a depth may be from a point that it shows."""
    count = len(vertices)
    linear, weight = np.zeros((count, 3), np.float32), np.zeros(count, np.float32)
    counts = [np.zeros(count, np.int32) for _ in range(4)]
    for one in maps:
        pose = np.ascontiguousarray(one.camera.camera_from_world[:3])

        def lot(start: int, one: Map = one, pose: Any = pose) -> None:
            p = slice(start, start + _LOT)
            _look(
                *(vertices[p], normals[p], one.z, one.lens, pose, one.colors, _LINEAR, near, share, linear[p]),
                *(weight[p], *(c[p] for c in counts)),
            )

        in_order(lot, range(0, count, _LOT), threads)
    return Coat((linear / np.maximum(weight, 1e-12)[:, None]).astype(np.float32), *counts)


@numba.njit(cache=True, nogil=True)
def _look(
    points: Any, normals: Any, z: Any, lens: Any, pose: Any, colors: Any, table: Any, near: float, share: float,
    linear: Any, weight: Any, views: Any, through: Any, outside: Any, asked: Any,
) -> None:  # fmt: skip
    height, width = z.shape
    for i in range(len(points)):
        px, py, pz = points[i, 0], points[i, 1], points[i, 2]
        qz = pose[2, 0] * px + pose[2, 1] * py + pose[2, 2] * pz + pose[2, 3]
        if qz <= 1e-9:
            continue
        qx = pose[0, 0] * px + pose[0, 1] * py + pose[0, 2] * pz + pose[0, 3]
        qy = pose[1, 0] * px + pose[1, 1] * py + pose[1, 2] * pz + pose[1, 3]
        u, v = qx / qz * lens[0] + lens[2], qy / qz * lens[1] + lens[3]
        if u < 0 or v < 0 or u >= width or v >= height:
            continue
        asked[i] += 1
        d = sampled(z, u, v)
        if np.isnan(d):
            continue
        if np.isinf(d):
            outside[i] += 1
            continue
        slack = near + share * qz
        if d > qz + 3 * slack:
            through[i] += 1
            continue
        if abs(d - qz) > slack:
            continue
        size = np.sqrt(qx * qx + qy * qy + qz * qz)
        cosine = 0.0
        for k in range(3):
            n = pose[k, 0] * normals[i, 0] + pose[k, 1] * normals[i, 1] + pose[k, 2] * normals[i, 2]
            cosine -= n * (qx if k == 0 else (qy if k == 1 else qz)) / size
        if cosine < 0.1:
            continue
        views[i] += 1
        w = (cosine * lens[0] / qz) ** 2
        weight[i] += w
        row, column = int(v), int(u)
        fx, fy = u - 0.5, v - 0.5
        x0, y0 = max(0, min(width - 2, int(np.floor(fx)))), max(0, min(height - 2, int(np.floor(fy))))
        fx, fy = min(max(fx - x0, 0.0), 1.0), min(max(fy - y0, 0.0), 1.0)
        for k in range(3):
            if width < 2 or height < 2:
                linear[i, k] += w * table[colors[row, column, k]]
            else:
                a = table[colors[y0, x0, k]] * (1 - fx) + table[colors[y0, x0 + 1, k]] * fx
                b = table[colors[y0 + 1, x0, k]] * (1 - fx) + table[colors[y0 + 1, x0 + 1, k]] * fx
                linear[i, k] += w * (a * (1 - fy) + b * fy)


def trimmed(mesh: Mesh, keep: NDArray[np.bool_], pieces: float) -> Mesh:
    """The faces all of whose vertices are kept (V,), without loose parts smaller than ``pieces`` of the whole area.

    Raises ReconstructionError when nothing is left.
    """
    faces = mesh.faces[keep[mesh.faces].all(1)]
    if len(faces):
        corners = mesh.vertices[faces].astype(np.float64)
        area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
        label = components(faces)
        part = np.bincount(label, area)
        faces = faces[(part >= min(pieces * part.sum(), part.max()))[label]]
    if not len(faces):
        raise ReconstructionError("the views agree on no surface", "more pictures that overlap are needed")
    used = np.zeros(len(mesh.vertices), bool)
    used[faces.ravel()] = True
    number = np.cumsum(used) - 1
    kept = {name: getattr(mesh, name) for name in ("normals", "colors", "seen", "confidence")}
    return mesh.with_(
        vertices=mesh.vertices[used],
        faces=number[faces].astype(np.int32),
        **{name: None if value is None else value[used] for name, value in kept.items()},
    )


def painted(mesh: Mesh, coat: Coat) -> Mesh:
    """The mesh with vertex colours, ``seen`` where a view shows it, and ``confidence`` by how many do; what none shows
    takes its colour from around it."""
    seen = (coat.views > 0).astype(np.float32)
    linear = spread_along(mesh.faces, coat.linear, seen > 0)
    confidence = (1 - 0.6 ** np.minimum(coat.views, 12)).astype(np.float32)
    return mesh.with_(colors=linear_to_srgb(linear), seen=seen, confidence=confidence)


def spread_along(
    faces: NDArray[np.int32], values: FloatArray, known: NDArray[np.bool_], rounds: int = 200
) -> FloatArray:
    """Values (V, C) carried from known vertices over the edges to the others, mean of neighbours ring by ring."""
    from scipy.sparse import coo_matrix

    count = len(values)
    a, b = faces.ravel(), np.roll(faces, -1, axis=1).ravel()
    graph = coo_matrix((np.ones(2 * len(a), np.float32), (np.r_[a, b], np.r_[b, a])), (count, count)).tocsr()
    out, there = np.where(known[:, None], values, 0).astype(np.float32), known.copy()
    for _ in range(rounds):
        if there.all():
            break
        near = graph @ there.astype(np.float32)
        fresh = ~there & (near > 0)
        if not fresh.any():
            break
        out[fresh] = (graph[fresh] @ (out * there[:, None])) / near[fresh, None]
        there |= fresh
    if known.any() and not there.all():
        out[~there] = values[known].mean(0)
    return out
