"""A field to a closed surface, coarse to fine: only cells near the surface are ever evaluated at full resolution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import ReconstructionError

FloatArray = NDArray[np.float32]
#: Signed values at points: (N, 3) -> (N,), negative inside.
ScalarField = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True)
class Grid:
    """values (X, Y, Z) at the nodes ``low + step * (i, j, k)``; negative inside."""

    values: FloatArray
    low: NDArray[np.float64]
    step: float

    def points(self, mask: NDArray[np.bool_]) -> FloatArray:
        """Positions (N, 3) of the nodes where mask (X, Y, Z) holds, in C order."""
        return (np.argwhere(mask) * self.step + self.low).astype(np.float32)


def sample_field(
    field: ScalarField,
    low: NDArray[np.floating],
    high: NDArray[np.floating],
    resolution: int,
    include: NDArray[np.floating] | None = None,
    coarse: int = 32,
) -> Grid:
    """The field on a grid of ``resolution`` cells along the longest side of the object found inside [low, high].

    include: points (N, 3) that the grid has to hold as well.

    A first pass over the whole box finds where the object is; then the grid over its bounds is doubled from about
    ``coarse`` cells up, and at each level only nodes next to a change of sign are evaluated, the rest interpolated.
    Raises ReconstructionError when nothing in the box is inside.
    """
    low, high = _bounds(field, np.asarray(low, np.float64), np.asarray(high, np.float64), coarse + 8)
    if include is not None and len(include):
        low, high = np.minimum(low, include.min(0)), np.maximum(high, include.max(0))
    levels = max(0, int(np.ceil(np.log2(resolution / coarse))))
    step = float((high - low).max()) / (resolution / 2**levels)
    shape = np.ceil((high - low) / step).astype(int) + 3
    grid = Grid(np.zeros(shape, np.float32), low - step, step)
    grid.values[...] = field(grid.points(np.ones(shape, bool))).reshape(shape)
    return sealed(refined(field, grid, levels))


def refined(field: ScalarField, grid: Grid, levels: int) -> Grid:
    """The grid at 2**levels times its resolution, evaluated only near the surface and interpolated elsewhere.

    Signs are those of evaluating every node, but for parts so thin that they pass between nodes: what rises about as
    fast as distance does is found where it comes within a quarter of a coarse cell of a node.
    """
    for _ in range(levels):
        grid = _doubled(field, grid)
    return grid


def _bounds(
    field: ScalarField, low: NDArray[np.float64], high: NDArray[np.float64], cells: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bounds of the inside on a coarse grid, a cell wider on every side."""
    step = float((high - low).max()) / cells
    shape = np.ceil((high - low) / step).astype(int) + 1
    grid = Grid(np.zeros(shape, np.float32), low, step)
    # Thin parts can slip between coarse nodes: whatever is nearly inside counts.
    inside = (field(grid.points(np.ones(shape, bool))) < 0.35 * step).reshape(shape)
    if not inside.any():
        raise ReconstructionError("the network found no surface in this picture", "check the mask (--mask, --pick)")
    found = np.argwhere(inside)
    return low + (found.min(0) - 1) * step, low + (found.max(0) + 1) * step


def _doubled(field: ScalarField, grid: Grid) -> Grid:
    """The grid at half the step; only nodes of cells that the surface crosses, or nearly, are evaluated."""
    corners = [grid.values[i:, j:, k:][tuple(slice(n - 1) for n in grid.values.shape)] for i, j, k in _CORNERS]
    lowest, highest = np.minimum.reduce(corners), np.maximum.reduce(corners)
    slack = 0.25 * grid.step  # a thin part may hide between nodes of one sign
    crossed = (lowest < slack) & (highest > -slack)
    values = _upsampled(grid.values)
    ask = np.zeros(values.shape, bool)
    for i in range(3):
        for j in range(3):
            for k in range(3):
                a, b, c = crossed.shape
                ask[i : i + 2 * a : 2, j : j + 2 * b : 2, k : k + 2 * c : 2] |= crossed
    ask[::2, ::2, ::2] = False  # known already
    fine = Grid(values, grid.low, grid.step / 2)
    values[ask] = field(fine.points(ask))
    return fine


_CORNERS = [(i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1)]


def _upsampled(values: FloatArray) -> FloatArray:
    """Trilinear interpolation to twice the resolution: n nodes become 2 n - 1."""
    for axis in range(3):
        v = np.moveaxis(values, axis, 0)
        out = np.empty((2 * len(v) - 1, *v.shape[1:]), np.float32)
        out[::2], out[1::2] = v, 0.5 * (v[1:] + v[:-1])
        values = np.moveaxis(out, 0, axis)
    return np.ascontiguousarray(values)


def sealed(grid: Grid) -> Grid:
    """A grid whose outermost nodes are outside, so that the surface closes."""
    values = grid.values
    for axis in range(3):
        for end in (0, -1):
            face = np.moveaxis(values, axis, 0)[end]
            np.maximum(face, 0.25 * grid.step, out=face)
    return grid


def without_loose(grid: Grid, holds: Callable[[FloatArray], bool]) -> Grid:
    """The grid without those loose parts whose inside, given as points (N, 3), does not hold; the largest stays."""
    from scipy.ndimage import find_objects, label

    labels, count = label(grid.values < 0, np.ones((3, 3, 3)))
    if count < 2:
        return grid
    largest = int(np.bincount(labels.ravel())[1:].argmax()) + 1
    values = grid.values.copy()
    for i, box in enumerate(find_objects(labels), 1):
        nodes = np.argwhere(labels[box] == i) + [side.start for side in box]
        if i != largest and not holds((nodes * grid.step + grid.low).astype(np.float32)):
            values[tuple(nodes.T)] = 0.25 * grid.step
    return Grid(values, grid.low, grid.step)


def bridged(grid: Grid, smallest: float = 0.004, longest: float = 0.3) -> tuple[Grid, int]:
    """The grid with its loose parts joined to the largest by thin struts, and how many struts that took.

    An asset is one piece, and a chair whose legs came out loose is better with struts than without legs. Parts of less
    than ``smallest`` of the inside, or further off than ``longest`` times the grid's diagonal, stay loose.
    """
    from scipy.ndimage import label
    from scipy.spatial import cKDTree

    labels, count = label(grid.values < 0, np.ones((3, 3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    order = [i + 1 for i in np.argsort(-sizes, kind="stable") if sizes[i] >= smallest * sizes.sum()]
    nodes = {i: np.argwhere(labels == i) for i in order}
    reach = longest * float(np.linalg.norm(grid.values.shape))
    values, struts = grid.values.copy(), 0
    joined, loose = [nodes[i] for i in order[:1]], order[1:]
    while loose:
        tree = cKDTree(np.concatenate(joined))
        found = [tree.query(nodes[i]) for i in loose]
        nearest = int(np.argmin([gaps.min() for gaps, _ in found]))
        gaps, partners = found[nearest]
        if gaps.min() > reach:
            break
        start = int(np.argmin(gaps))
        _add_strut(values, nodes[loose[nearest]][start], tree.data[partners[start]], grid.step)
        joined.append(nodes[loose.pop(nearest)])
        struts += 1
    return sealed(Grid(values, grid.low, grid.step)), struts


def _add_strut(values: FloatArray, a: NDArray[np.floating], b: NDArray[np.floating], step: float) -> None:
    """Unite ``values``, in place, with a capsule of radius 1.5 cells between the nodes a and b."""
    radius = 1.5
    low = np.maximum(np.floor(np.minimum(a, b) - radius - 2), 0).astype(int)
    high = np.minimum(np.ceil(np.maximum(a, b) + radius + 3), values.shape).astype(int)
    block = tuple(slice(i, j) for i, j in zip(low, high, strict=True))
    p = np.moveaxis(np.mgrid[block], 0, -1).astype(np.float64)
    axis = np.asarray(b, np.float64) - a
    along = np.clip(((p - a) @ axis) / max(float(axis @ axis), 1e-12), 0, 1)
    distance = np.linalg.norm(p - a - along[..., None] * axis, axis=-1) - radius
    values[block] = np.minimum(values[block], distance * step)


#: Smallest distance to the surface that a grid value may say, in cells.
_LEAST = 5e-5


def surface_of(grid: Grid) -> tuple[FloatArray, NDArray[np.int32]]:
    """Vertices (V, 3) and outward faces (F, 3) of the zero level (Lewiner et al. 2003).

    Raises ReconstructionError when there is none.
    """
    from skimage.measure import marching_cubes

    if not ((grid.values < 0).any() and (grid.values > 0).any()):
        raise ReconstructionError("the network found no surface in this picture", "check the mask (--mask, --pick)")
    # Values near zero put the corners of several edges on one point, as far as float32 can tell.
    least = np.float32(_LEAST * grid.step)
    values = np.where(np.abs(grid.values) < least, least, grid.values)
    vertices, faces, _, _ = marching_cubes(values, 0.0, gradient_direction="descent")
    return (vertices * grid.step + grid.low).astype(np.float32), faces.astype(np.int32)
