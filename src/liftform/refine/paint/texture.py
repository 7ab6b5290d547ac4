"""Texels from photos: mixed in linear light, ghosts by what else sees them, the rest filled along the surface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...assets import FloatArray
from ...conventions import linear_to_srgb, to_uint8
from ...render import Scene
from ...runtime import Runtime
from .. import blend
from ..texels import Texels, in_threads
from .seams import Shares
from .views import View, sample

Ints = NDArray[np.integer]

#: Total weight at which a texel counts as fully seen.
_FULL = 0.25


@dataclass(frozen=True)
class Canvas:
    """What is painted on: the texels, the vertex (V) of each corner of each face (F, 3), the mesh for its shadows, and
    how far above the surface rays start."""

    texels: Texels
    corner: Ints
    scene: Scene
    lift: float

    def at_texels(self, chosen: Ints, values: FloatArray) -> FloatArray:
        """Values (V, ...) per vertex, interpolated at texels (n,)."""
        corner, weight = self.corner[self.texels.face[chosen]], self.texels.weight[chosen]
        out = np.zeros((len(chosen), *values.shape[1:]), np.float32)
        for k in range(3):
            part = weight[:, k].reshape(-1, *[1] * (values.ndim - 1))
            out += part * values[corner[:, k]]
        return out


def mixed(
    canvas: Canvas, views: Sequence[View], shares: Shares, offset: FloatArray, gains: FloatArray, runtime: Runtime
) -> tuple[FloatArray, FloatArray]:
    """Linear colour (N, 3) and weight (N,) of all texels: every photo by its share, where it really sees the texel.
    What is hidden there is taken from all photos that see it, the nearest and squarest most."""
    count = len(canvas.texels.pixel)
    color, total = np.zeros((count, 3), np.float32), np.zeros(count, np.float32)
    for number, view in enumerate(views):
        share = shares.dense(number, shares.share)
        moved = shares.dense(number, offset)
        touched = np.asarray((share[canvas.corner] > 0).any(1))
        part = np.flatnonzero(touched[canvas.texels.face])
        _add(canvas, view, part, share, moved, np.exp(gains[number]), color, total, runtime)
        runtime.progress("paint", 0.5 + 0.3 * (number + 1) / len(views))
    weak = np.flatnonzero(total < _FULL)
    if len(weak):
        spare, rest = _by_all(canvas, views, weak, gains, runtime)
        need = np.maximum(1 - total[weak] / _FULL, 0) * _FULL
        color[weak] += spare * (need * np.minimum(rest, 1))[:, None]
        total[weak] += need * np.minimum(rest, 1)
    color /= np.maximum(total, 1e-9)[:, None]
    return color, np.minimum(total / np.float32(_FULL), np.float32(1))


def _add(
    canvas: Canvas, view: View, chosen: Ints, share: FloatArray, moved: FloatArray, gain: FloatArray,
    color: FloatArray, total: FloatArray, runtime: Runtime,
) -> None:  # fmt: skip
    """Add one photo's part to the chosen texels."""

    def look(part: slice) -> None:
        at = chosen[part]
        weight = canvas.at_texels(at, share)
        points, normals = canvas.texels.surface(at)
        place, _, cosine = view.shows(canvas.scene, points, normals, canvas.lift)
        found = sample(view.picture, place)
        weight *= found[:, 3] * np.clip(4 * cosine, 0, 1)
        some = np.flatnonzero(weight > 1e-4)
        linear = blend.applied(found[some, :3] * gain, canvas.at_texels(at[some], moved))
        color[at[some]] += weight[some, None] * linear
        total[at[some]] += weight[some]

    in_threads(look, _lots(len(chosen)), runtime)


def _by_all(
    canvas: Canvas, views: Sequence[View], chosen: Ints, gains: FloatArray, runtime: Runtime
) -> tuple[FloatArray, FloatArray]:
    """Mean colour (n, 3) of texels over every photo that sees them, and how well (n,) the best does."""
    color, total = np.zeros((len(chosen), 3), np.float32), np.zeros(len(chosen), np.float32)
    best = np.zeros(len(chosen), np.float32)

    for number, view in enumerate(views):

        def look(part: slice, view: View = view, number: int = number) -> None:
            points, normals = canvas.texels.surface(chosen[part])
            place, z, cosine = view.shows(canvas.scene, points, normals, canvas.lift)
            found = sample(view.picture, place)
            seen = found[:, 3] * np.clip(4 * cosine, 0, 1)
            weight = seen * (cosine * view.camera.fx / np.maximum(z, 1e-9)) ** 4
            color[part] += weight[:, None] * found[:, :3] * np.exp(gains[number])
            total[part] += weight
            np.maximum(best[part], seen, out=best[part])

        in_threads(look, _lots(len(chosen)), runtime)
    color /= np.maximum(total, 1e-30)[:, None]
    return color, best


def _lots(count: int, size: int = 1 << 16) -> list[slice]:
    return [slice(i, min(i + size, count)) for i in range(0, count, size)]


def at_vertices(canvas: Canvas, color: FloatArray, weight: FloatArray, count: int) -> tuple[FloatArray, FloatArray]:
    """Mean colour (V, 3) and weight (V,) of the texels around each vertex."""
    corner = canvas.corner[canvas.texels.face]
    near = canvas.texels.weight**2
    sums, seen, all_of = np.zeros((count, 3)), np.zeros(count), np.zeros(count)
    for k in range(3):
        w = near[:, k] * weight
        all_of += np.bincount(corner[:, k], near[:, k], count)
        seen += np.bincount(corner[:, k], w, count)
        for c in range(3):
            sums[:, c] += np.bincount(corner[:, k], w * color[:, c], count)
    mean = sums / np.maximum(seen, 1e-12)[:, None]
    return mean.astype(np.float32), (seen / np.maximum(all_of, 1e-12)).astype(np.float32)


def filled_in(
    color: FloatArray, seen: FloatArray, edges: Ints, lengths: FloatArray, guess: FloatArray | None
) -> FloatArray:
    """Colours (V, 3) of all vertices: as they are where seen, elsewhere smooth along the surface between them (a
    membrane); with a guess (V, 3), linear, its own colours carried on by such a membrane of the differences."""
    from scipy.sparse import coo_matrix, diags
    from scipy.sparse.linalg import cg

    count = len(color)
    known = seen > 0.3
    if known.all() or not known.any():
        return color if known.any() or guess is None else guess
    base = np.zeros_like(color) if guess is None else guess
    weight = (1 / np.maximum(lengths, 1e-6 * max(float(lengths.max()), 1e-12))).astype(np.float64)
    weight /= weight.mean()
    graph = coo_matrix(
        (np.r_[weight, weight], (np.r_[edges[:, 0], edges[:, 1]], np.r_[edges[:, 1], edges[:, 0]])), (count, count)
    ).tocsr()
    held = np.where(known, 1e3, 1e-5)  # what touches nothing seen drifts to the mean
    degree = np.asarray(graph.sum(1)).ravel() + held
    system = diags(degree) - graph
    middle = (color - base)[known].mean(0)
    out = np.empty_like(color)
    for k in range(3):
        target = np.where(known, (color - base)[:, k], middle[k])
        out[:, k] = cg(system, held * target, x0=target, rtol=1e-4, maxiter=400, M=diags(1 / degree))[0]
    return np.where(known[:, None], color, np.maximum(base + out, 0)).astype(np.float32)


def drawn(
    canvas: Canvas, color: FloatArray, weight: FloatArray, fill: FloatArray, runtime: Runtime
) -> NDArray[np.uint8]:
    """The sRGB texture (size, size, 3): photos over fill (V, 3) by weight, gaps between charts filled."""
    size = canvas.texels.size
    image = np.zeros((size * size, 3), np.uint8)

    def draw(part: slice) -> None:
        at = np.arange(part.start, part.stop)
        linear = color[part]
        unseen = np.flatnonzero(weight[part] < 1)
        mix = weight[part][unseen, None]
        linear[unseen] = mix * linear[unseen] + (1 - mix) * canvas.at_texels(at[unseen], fill)
        image[canvas.texels.pixel[part]] = to_uint8(linear_to_srgb(linear))

    in_threads(draw, canvas.texels.chunks(), runtime)
    known = np.zeros(size * size, bool)
    known[canvas.texels.pixel] = True
    return np.asarray(blend.filled(image.reshape(size, size, 3), known.reshape(size, size)))


def edges_of(faces: Ints) -> Ints:
    """Every edge (E, 2) once, of faces (F, 3)."""
    a, b = faces.ravel().astype(np.int64), np.roll(faces, -1, axis=1).ravel().astype(np.int64)
    pairs: Any = np.stack([np.minimum(a, b), np.maximum(a, b)], 1)
    return np.unique(pairs[a != b], axis=0)
