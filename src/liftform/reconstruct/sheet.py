"""The picture's depth as a grid of vertices, and which of the triangles over it are surface."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..camera import Camera
from ..capture import Depth
from . import tears, triangles

Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

#: Side in cells of the squares that triangles are cut from; and the coarsest grid, in cells along the longer side.
_BLOCK, COARSEST = 32, 4
#: Share of the triangles that may go into tears alone; with more, the grid is too fine for the budget.
_TEAR_SHARE = 0.6
#: A cost that only forced vertices exceed.
_HUGE = 1e300
#: Cosine of the angle between ray and surface under which depth alone is smeared over a step ...
_GRAZING = 0.06
#: ... if the estimated normals say more than this there.
_NOT_GRAZING = 0.25
#: What lies farther than this many times the median is left out like the sky.
_FARTHEST = 40.0


@dataclass(frozen=True)
class Sheet:
    """A grid of vertices over the picture, in squares of ``block`` cells. w (H, W): inverse depth, NaN where there
    is nothing. right (H, W - 1) and
    down (H - 1, W): torn edges. pixels (H, W, 2): where the vertices lie, in pixels of the photo."""

    w: NDArray[np.float64]
    right: Bools
    down: Bools
    pixels: NDArray[np.float64]
    block: int

    @property
    def cells(self) -> int:
        """Cells along the longer side."""
        return max(self.w.shape) - 1

    @classmethod
    def of(cls, depth: Depth, camera: Camera, cells: int, island: float) -> Sheet:
        """The depth on a grid of about ``cells`` along the longer side, both sides multiples of the block.

        Pieces of less than ``island`` of the picture are laid onto what surrounds them, or left out if that is nothing.
        """
        width, height = camera.width, camera.height
        block = min(_BLOCK, 1 << (max(cells, COARSEST).bit_length() - 1))
        across, down = (max(1, round(n / max(width, height) * cells / block)) * block for n in (width, height))
        x, y = np.linspace(0, width, across + 1), np.linspace(0, height, down + 1)
        w = _sampled(inverse(depth.z), x / width, y / height)
        cell = width / across / camera.fx, height / down / camera.fy
        w = _without_specks(w, *tears.torn_edges(w, *cell), island)
        torn = tears.torn_edges(w, *cell)
        return cls(w, *torn, np.stack(np.meshgrid(x, y), -1), block)


def meshed(depth: Depth, camera: Camera, budget: int, cells: int, island: float) -> tuple[Sheet, Ints]:
    """The finest sheet, of at most ``cells``, that the budget of triangles allows; and its triangles (T, 3), corners as
    flat indices of the grid. Pieces that cover less than ``island`` of the picture are dropped."""
    cells = min(cells, max(COARSEST, *depth.z.shape))
    while True:
        sheet = Sheet.of(depth, camera, cells, island)
        keep = Keeper(sheet, depth, camera)
        costs = triangles.split_costs(sheet.w, tears.ends(sheet.right, sheet.down), sheet.block)
        least = len(keep(triangles.cut(costs, _HUGE, sheet.block)))
        if least <= _TEAR_SHARE * budget or cells <= COARSEST:
            kept = triangles.within_budget(costs, sheet.block, keep, budget)
            return sheet, _without_islands(kept, sheet, island)
        cells = max(COARSEST, cells * 2 // 3)


def inverse(z: Floats) -> NDArray[np.float64]:
    """1 / z in float64, NaN where z is not a usable distance or lies absurdly far behind everything else."""
    z = np.asarray(z, np.float64)
    usable = np.isfinite(z) & (z > 1e-9)
    if not usable.any():
        return np.full(z.shape, np.nan)
    usable &= z < _FARTHEST * np.median(z[usable])
    return np.where(usable, 1 / np.where(usable, z, 1), np.nan)


def _sampled(w: NDArray[np.float64], x: Floats, y: Floats) -> NDArray[np.float64]:
    """A map (h, w) at the fractions x of its width and y of its height: bilinear on surfaces, nearest across steps."""
    at_x, at_y = (np.clip(f * n - 0.5, 0, n - 1) for f, n in ((x, w.shape[1]), (y, w.shape[0])))
    i, j = np.floor(at_x).astype(int), np.floor(at_y).astype(int)
    i2, j2 = np.minimum(i + 1, w.shape[1] - 1), np.minimum(j + 1, w.shape[0] - 1)
    corners = np.stack([w[np.ix_(r, c)] for r, c in ((j, i), (j, i2), (j2, i), (j2, i2))])
    fx, fy = (at_x - i)[None], (at_y - j)[:, None]
    weights = np.stack([(1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx])
    smooth = (corners * weights).sum(0)
    step = corners.max(0) - corners.min(0) > tears.LEAST_STEP * corners.min(0)
    nearest = np.take_along_axis(corners, weights.argmax(0)[None], 0)[0]
    return np.where(step | ~np.isfinite(smooth), nearest, smooth)


def _without_specks(w: NDArray[np.float64], right: Bools, down: Bools, share: float) -> NDArray[np.float64]:
    """Inverse depth in which connected pieces of fewer vertices than this share take that of the nearest larger piece;
    those that border on more unknown than known vertices become unknown."""
    from scipy.ndimage import distance_transform_edt
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    index = np.arange(w.size).reshape(w.shape)
    a = np.concatenate([index[:, :-1].ravel(), index[:-1].ravel()])
    b = np.concatenate([index[:, 1:].ravel(), index[1:].ravel()])
    torn = np.concatenate([right.ravel(), down.ravel()])
    graph = coo_array((np.ones((~torn).sum(), np.int8), (a[~torn], b[~torn])), shape=(w.size, w.size))
    count, piece = connected_components(graph, directed=False)
    known = np.isfinite(w).ravel()
    sizes = np.bincount(piece, known, count)
    small = known & (sizes < min(share * w.size, sizes.max()))[piece]
    if not small.any():
        return w
    balance = np.zeros(count)
    for here, there in ((a[torn], b[torn]), (b[torn], a[torn])):
        balance += np.bincount(piece[here], np.where(known[there], 1.0, -1.0), count)
    kept = (known & ~small).reshape(w.shape)
    nearest = distance_transform_edt(~kept, return_distances=False, return_indices=True)
    out = np.where(small & (balance[piece] <= 0), np.nan, w.ravel())
    laid = small & (balance[piece] > 0)
    out[laid] = w[tuple(nearest)].ravel()[laid]
    return np.asarray(out.reshape(w.shape))


class Keeper:
    """Which triangles of a sheet are surface: known, not torn, not smeared over a step."""

    def __init__(self, sheet: Sheet, depth: Depth, camera: Camera) -> None:
        self.known = np.isfinite(sheet.w).ravel()
        self.width = sheet.w.shape[1]
        self.right = np.pad(sheet.right, ((0, 0), (0, 1))).ravel()
        self.down = np.pad(sheet.down, ((0, 1), (0, 0))).ravel()
        z = 1 / sheet.w.ravel()
        pixels = sheet.pixels.reshape(-1, 2)
        self.points = np.stack(
            [(pixels[:, 0] - camera.cx) / camera.fx * z, (pixels[:, 1] - camera.cy) / camera.fy * z, z], -1
        )
        self.normals = None if depth.normals is None else _nearest(depth.normals, sheet.w.shape).reshape(-1, 3)

    def __call__(self, faces: Ints) -> Ints:
        """The triangles (T, 3) worth keeping."""
        faces = faces[self.known[faces].all(1)]
        faces = faces[~self.torn(faces)]
        return faces if self.normals is None else faces[~self._smeared(faces)]

    def torn(self, faces: Ints) -> Bools:
        """Triangles of the finest size with a torn edge; larger ones never span a tear."""
        out = np.zeros(len(faces), bool)
        for k in range(3):
            low = np.minimum(faces[:, k], faces[:, k - 1])
            step = np.maximum(faces[:, k], faces[:, k - 1]) - low
            out |= (step == 1) & self.right[low]
            out |= (step == self.width) & self.down[low]
        return out

    def _smeared(self, faces: Ints) -> Bools:
        """Triangles nearly along the ray where the estimated normals say that no surface lies so."""
        assert self.normals is not None
        a, b, c = (self.points[faces[:, k]] for k in range(3))
        ray = a + b + c
        ray /= np.linalg.norm(ray, axis=1, keepdims=True)
        normal = np.cross(b - a, c - a)
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-30)
        claimed = self.normals[faces].mean(1)
        grazing = np.abs((normal * ray).sum(1)) < _GRAZING
        return np.asarray(grazing & (np.abs((claimed * ray).sum(1)) > _NOT_GRAZING), np.bool_)


def _nearest(plane: Floats, shape: tuple[int, ...]) -> Floats:
    """A map (h, w, C) at the vertices of a grid that spans it."""
    rows, columns = (
        np.minimum(np.linspace(0, n, count).astype(int), n - 1) for n, count in zip(plane.shape, shape, strict=False)
    )
    return plane[rows][:, columns]


def _without_islands(faces: Ints, sheet: Sheet, share: float) -> Ints:
    """The triangles but those of connected pieces that cover less than this share of the picture."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not len(faces):
        return faces
    count = sheet.w.size
    pairs = np.concatenate([faces[:, :2], faces[:, 1:]])
    graph = coo_array((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    piece = connected_components(graph, directed=False)[1][faces[:, 0]]
    area = _covered(faces, sheet)
    sizes = np.bincount(piece, area)
    return faces[(sizes >= min(share * float(np.prod(sheet.pixels[-1, -1])), sizes.max()))[piece]]


def _covered(faces: Ints, sheet: Sheet) -> Floats:
    """Area in pixels of the picture that each triangle covers."""
    a, b, c = (sheet.pixels.reshape(-1, 2)[faces[:, k]] for k in range(3))
    u, v = b - a, c - a
    return np.abs(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]) / 2


def torn_triangles(sheet: Sheet, depth: Depth, camera: Camera) -> Ints:
    """The triangles (T, 3) that were left out because they span a tear between two known depths."""
    costs = np.where(tears.ends(sheet.right, sheet.down), np.inf, 0.0)
    costs = triangles.split_costs(sheet.w, costs > 0, sheet.block)
    keep = Keeper(sheet, depth, camera)
    every = triangles.cut(costs, _HUGE, sheet.block)
    every = every[keep.known[every].all(1)]
    return every[keep.torn(every)]
