"""Where an implicit surface begins: the visual hull of masks, solid space behind shared points, or a ball."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...capture import Capture
from ...errors import ReconstructionError
from ..rays import alpha_of
from .sweep import crossed_by, outside_by

FloatArray = NDArray[np.float32]
Floats = NDArray[np.float64]

#: Pixels within which the edge of a mask is known: the most cautious of many edges would cut the surface.
_SURE = 0.5
#: Share of the pictures that must see a place where masks say what is object.
_FEWEST = 0.45
#: Cells along each side of the box in which the visual hull is looked for.
_ROUGH = 64


@dataclass(frozen=True)
class Silhouettes:
    """The masks of P pictures as signed distances in pixels; arrays as ``sweep.outside_by`` takes them.

    forgiven: share of the pictures that may call a place empty, of those that see it. fewest: pictures that must see a
    place, or nothing is there: what only one camera sees, close to it, is no object.
    """

    turns: Floats
    focal: Floats
    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]
    maps: FloatArray
    forgiven: float
    fewest: int

    @classmethod
    def of(cls, capture: Capture, forgiven: float) -> Silhouettes:
        """From the masks of a straight capture."""
        turns, focal, sizes, maps = [], [], [], []
        for photo in capture.photos:
            alpha, camera = alpha_of(photo), photo.camera
            assert alpha is not None
            assert camera is not None
            camera = camera.resized(alpha.shape[1], alpha.shape[0])
            k = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1.0]])
            turns.append(k @ camera.camera_from_world[:3])
            focal.append(np.sqrt(camera.fx * camera.fy))
            sizes.append((alpha.shape[1], alpha.shape[0]))
            maps.append(_signed(alpha).ravel() - np.float32(_SURE))
        starts = np.cumsum([0, *(len(m) for m in maps)])[:-1].astype(np.int64)
        fewest = min(len(maps), max(2, int(np.ceil(_FEWEST * len(maps)))))
        return cls(np.array(turns), np.array(focal), starts, np.array(sizes), np.concatenate(maps), forgiven, fewest)

    def outside(self, points: NDArray[np.floating]) -> FloatArray:
        """How far (N,) points (N, 3) of the world lie outside of the visual hull (negative: inside)."""
        out = np.empty(len(points), np.float32)
        most = int(self.forgiven * len(self.sizes)) + 1
        places = np.empty((max(1, min(64, len(points) // 512)), most))
        args = (self.turns, places, self.focal, self.starts, self.sizes, self.maps, self.forgiven, self.fewest)
        outside_by(np.ascontiguousarray(points, np.float64), *args, out)
        return out

    def box(self, low: Floats, high: Floats) -> tuple[Floats, Floats]:
        """The bounds of the visual hull inside a box, a cell wider. Raises ReconstructionError where it is empty."""
        for _ in range(3):
            step = float((high - low).max()) / _ROUGH
            x, y, z = (int(n) for n in np.ceil((high - low) / step) + 1)
            inside = np.argwhere(self.on_grid(low, step, (x, y, z)) < 0.5 * step)
            if not len(inside):
                told = "the silhouettes of the pictures have no place in common"
                raise ReconstructionError(told, "check the masks and the cameras (liftform poses)")
            tight = np.prod((np.ptp(inside, axis=0) + 3) / (x, y, z))
            low, high = low + (inside.min(0) - 1) * step, low + (inside.max(0) + 1) * step
            if tight > 0.6:
                break
        return low, high

    def on_grid(self, low: Floats, step: float, shape: tuple[int, int, int]) -> FloatArray:
        """The same at the nodes ``low + step * (i, j, k)`` of a grid (X, Y, Z), layer by layer."""
        out = np.empty(shape, np.float32)
        y, z = np.meshgrid(np.arange(shape[1]), np.arange(shape[2]), indexing="ij")
        layer = np.stack([np.zeros(y.size), y.ravel(), z.ravel()], -1) * step + low
        for i in range(shape[0]):
            out[i] = self.outside(layer + np.array([i * step, 0.0, 0.0])).reshape(shape[1:])
        return out


def _signed(alpha: FloatArray) -> FloatArray:
    """Distance in pixels to the edge of a mask (H, W), positive outside, within about a fifth of a pixel: the share of
    the edge's pixels that is covered counts."""
    from scipy.ndimage import distance_transform_edt

    inside = alpha >= 0.5
    if inside.all() or not inside.any():
        return np.full(alpha.shape, -1e4 if inside.all() else 1e4, np.float32)
    signed = np.where(inside, 0.5 - distance_transform_edt(inside), distance_transform_edt(~inside) - 0.5)
    edge = (np.abs(signed) < 0.75) & (alpha > 0.02) & (alpha < 0.98)
    return np.where(edge, 0.5 - alpha, signed).astype(np.float32)


def ball(low: Floats, step: float, shape: tuple[int, int, int], share: float = 0.6) -> FloatArray:
    """An ellipsoid's field on a grid: ``share`` of the box along each axis."""
    half = 0.5 * step * (np.array(shape) - 1)
    axes = [(np.arange(n) * step - half[k]) / (share * half[k]) for k, n in enumerate(shape)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    return ((np.sqrt(x**2 + y**2 + z**2) - 1) * share * half.min()).astype(np.float32)


def behind_points(capture: Capture, low: Floats, step: float, shape: tuple[int, int, int]) -> FloatArray | None:
    """A field on a grid, negative in space that is near the shared points' hull and that no sight of a point crosses,
    in the world's unit; None where too few points lie in the box, or nobody knows who saw them."""
    from scipy.ndimage import gaussian_filter

    sparse = capture.sparse
    if sparse is None or len(sparse.photo) < 200:
        return None
    points = np.asarray(sparse.points, np.float64)
    high = low + step * (np.array(shape) - 1)
    inside = ((points > low) & (points < high)).all(1)
    if inside.sum() < 100:
        return None
    crossed = np.zeros(shape, np.int32)
    for number, photo in enumerate(capture.photos):
        seen = sparse.seen_by(number)
        if photo.camera is not None and len(seen):
            ends = np.ascontiguousarray(points[seen])
            crossed_by(np.ascontiguousarray(photo.camera.position), ends, low - 0.5 * step, step, 2.5 * step, crossed)
    solid = (crossed < 2) & _enclosed(points[inside], low, step, shape)
    field = 0.5 - gaussian_filter(solid.astype(np.float32), 1.2)
    return (field * 2 * step).astype(np.float32) if (field < 0).any() else None


def _enclosed(points: Floats, low: Floats, step: float, shape: tuple[int, int, int]) -> NDArray[np.bool_]:
    """Nodes within the convex hull of most of the points."""
    from scipy.spatial import Delaunay, QhullError

    middle = np.median(points, 0)
    away = np.linalg.norm(points - middle, axis=1)
    try:
        hull = Delaunay(points[away <= np.percentile(away, 98)])
    except QhullError as error:
        raise ReconstructionError("the shared points lie in a plane", "take pictures from more sides") from error
    grid = np.stack(np.meshgrid(*(low[k] + step * np.arange(shape[k]) for k in range(3)), indexing="ij"), -1)
    return np.asarray(hull.find_simplex(grid.reshape(-1, 3)) >= 0).reshape(shape)
