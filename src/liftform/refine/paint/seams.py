"""Where photos meet: shares that pass smoothly from one to the next, and offsets that make them agree at the seam.

Offsets are those of Lempitsky, Ivanov 2007 (see ``choice``), of logarithms of colours: they are changes of light.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...assets import FloatArray
from ...render import Scene
from .. import blend
from .choice import Candidates
from .views import View, sample

Ints = NDArray[np.integer]

#: How stiff offsets are along the surface beside the wish that both photos agree at a seam, and how much they want 0.
_STIFF, _HOME = 2.0, 0.02
#: Differences of logarithms beyond this are of shape, not of light, and count ever less.
_LIGHT = 0.25
#: Largest offset, as a logarithm.
_MOST = 0.7


@dataclass(frozen=True)
class Shares:
    """How much each photo gives at each vertex: vertex (N,), view (N,), share (N,), one row a pair, sorted by view and
    then vertex; the shares of a vertex sum to 1. count: vertices."""

    vertex: Ints
    view: Ints
    share: FloatArray
    count: int

    @classmethod
    def of(cls, matrix: Any) -> Shares:
        """From a sparse matrix (vertices, views) of weights."""
        from scipy.sparse import diags

        total = np.asarray(matrix.sum(1)).ravel()
        even = (diags(1 / np.maximum(total, 1e-30)) @ matrix).tocsc()
        even.sort_indices()
        view = np.repeat(np.arange(even.shape[1]), np.diff(even.indptr))
        return cls(even.indices.astype(np.int64), view, even.data.astype(np.float32), even.shape[0])

    def of_view(self, view: int) -> slice:
        """The rows of one photo."""
        return slice(*np.searchsorted(self.view, [view, view + 1]))

    def dense(self, view: int, values: FloatArray) -> FloatArray:
        """Values (N, ...) of the rows of one photo at all vertices (V, ...), 0 where it gives nothing."""
        rows = self.of_view(view)
        out = np.zeros((self.count, *values.shape[1:]), np.float32)
        out[self.vertex[rows]] = values[rows]
        return out


def by_labels(faces: Ints, label: Ints, area: FloatArray, count: int, views: int, rings: int) -> Any:
    """Weights (vertices, views), sparse: area of the faces around that take their colour from a photo, smoothed over
    ``rings`` rings of neighbours."""
    from scipy.sparse import coo_matrix, diags

    known = label >= 0
    rows, columns = faces[known].ravel(), np.repeat(label[known], 3)
    matrix = coo_matrix((np.repeat(area[known], 3) + 1e-20, (rows, columns)), (count, views)).tocsr()
    if rings and matrix.nnz:
        a, b = faces.ravel(), np.roll(faces, -1, axis=1).ravel()
        graph = coo_matrix((np.ones(2 * len(a), np.float32), (np.r_[a, b], np.r_[b, a])), (count, count)).tocsr()
        graph.data[:] = 1
        around = graph + diags(np.maximum(np.asarray(graph.sum(1)).ravel(), 1))
        around = diags(1 / np.maximum(np.asarray(around.sum(1)).ravel(), 1)) @ around
        matrix = diags(1 / np.maximum(np.asarray(matrix.sum(1)).ravel(), 1e-30)) @ matrix
        for _ in range(rings):
            matrix = around @ matrix
            matrix.data[matrix.data < 0.01] = 0
            matrix.eliminate_zeros()
    return matrix


def by_quality(faces: Ints, found: Candidates, outlier: NDArray[np.bool_], count: int, views: int) -> Any:
    """Weights (vertices, views), sparse: the square of how finely a photo shows the faces around, outliers left out."""
    from scipy.sparse import coo_matrix

    use = found.there & ~outlier
    best = np.maximum(found.quality.max(1, keepdims=True), 1e-12)
    weight = np.where(use, (found.quality / best) ** 2, 0)
    row, slot = np.nonzero(use)
    rows, columns = faces[row].ravel(), np.repeat(found.view[row, slot], 3)
    return coo_matrix((np.repeat(weight[row, slot], 3), (rows, columns)), (count, views)).tocsr()


def levelled(
    shares: Shares, edges: Ints, positions: FloatArray, normals: FloatArray, views: Sequence[View], gains: FloatArray,
    scene: Scene, lift: float,
) -> tuple[FloatArray, float, float]:  # fmt: skip
    """Offsets (N, 3) of every row of ``shares``, to be added to logarithms after ``gains``; and the mean difference of
    photos at seams before and after.

    edges (E, 2): pairs of neighbouring vertices.
    """
    shade, known = _shades(shares, positions, normals, views, gains, scene, lift)
    one, two = _meeting(shares, known)
    if not len(one):
        return np.zeros((len(shares.vertex), 3), np.float32), 0.0, 0.0
    jump = shade[two] - shade[one]
    offset = _solved(len(shares.vertex), one, two, jump, _along(shares, edges))
    before, after = np.abs(jump).mean(), np.abs(jump + offset[two] - offset[one]).mean()
    return np.clip(offset, -_MOST, _MOST), float(before), float(after)


def _shades(
    shares: Shares, positions: FloatArray, normals: FloatArray, views: Sequence[View], gains: FloatArray, scene: Scene,
    lift: float,
) -> tuple[FloatArray, NDArray[np.bool_]]:  # fmt: skip
    """Logarithmic colour (N, 3) of every row's vertex in its photo, and whether it is seen there."""
    shade = np.zeros((len(shares.vertex), 3), np.float32)
    known = np.zeros(len(shares.vertex), bool)
    for number, view in enumerate(views):
        rows = shares.of_view(number)
        at = shares.vertex[rows]
        if not len(at):
            continue
        place, _, cosine = view.shows(scene, positions[at], normals[at], lift)
        found = sample(view.soft, place)
        shade[rows] = blend.encode(found[:, :3] * np.exp(gains[number]))
        known[rows] = (cosine > 0) & (found[:, 3] > 0.5)
    return shade, known


def _meeting(shares: Shares, known: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """Pairs of rows of one vertex that both give something there, neighbours in the list of its photos."""
    rows = np.flatnonzero(known & (shares.share > 0.05))
    rows = rows[np.argsort(shares.vertex[rows], kind="stable")]
    same = shares.vertex[rows[1:]] == shares.vertex[rows[:-1]]
    return rows[:-1][same], rows[1:][same]


def _along(shares: Shares, edges: Ints) -> tuple[Ints, Ints]:
    """Pairs of rows of one photo at both ends of an edge."""
    key = shares.view * np.int64(shares.count) + shares.vertex
    ones, twos = [], []
    for view in np.unique(shares.view):
        a, b = (view * np.int64(shares.count) + edges[:, k] for k in (0, 1))
        i, j = (np.minimum(np.searchsorted(key, x), len(key) - 1) for x in (a, b))
        both = (key[i] == a) & (key[j] == b)
        ones.append(i[both])
        twos.append(j[both])
    return np.concatenate(ones), np.concatenate(twos)


def _solved(count: int, one: Ints, two: Ints, jump: FloatArray, along: tuple[Ints, Ints]) -> FloatArray:
    """Least squares of all wishes by conjugate gradients."""
    from scipy.sparse import coo_matrix, diags
    from scipy.sparse.linalg import cg

    i, j = np.concatenate([one, along[0]]), np.concatenate([two, along[1]])
    believed = 1 / (1 + (np.abs(jump).max(1) / _LIGHT) ** 2)
    weight = np.concatenate([believed, np.full(len(along[0]), _STIFF)])
    degree = np.bincount(i, weight, count) + np.bincount(j, weight, count) + _HOME
    off = coo_matrix((np.r_[weight, weight], (np.r_[i, j], np.r_[j, i])), (count, count))
    system = (diags(degree) - off).tocsr()
    out = np.zeros((count, 3), np.float32)
    for k in range(3):
        wish = believed * jump[:, k]
        wanted = np.bincount(one, wish, count) - np.bincount(two, wish, count)
        out[:, k] = cg(system, wanted, rtol=1e-4, maxiter=300, M=diags(1 / degree))[0]
    return out
