"""A set's pixels as rays: flat arrays of colours and masks; the scene's box, its visual hull, what lies beyond."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..capture import Capture, Photo
from ..conventions import linear_to_srgb, srgb_to_linear, to_uint8
from ..errors import ReconstructionError

Floats = NDArray[np.float64]
FloatArray = NDArray[np.float32]

#: Cameras that look within this angle of their mean direction, from places close together, face one way.
_ONE_WAY = np.cos(np.radians(40))
#: Cells along each side of the box in which silhouettes are looked for at first.
_ROUGH = 56


@dataclass(frozen=True)
class Rays:
    """The pixels of P pictures, N in all, row by row, picture after picture.

    starts (P + 1,) int64: where a picture's pixels begin; widths, heights (P,) int32. centres (P, 3) float32, world.
    turns (P, 3, 3) float32: world direction = turn @ (x, y, 1), x and y in pixels with centres at (i + 0.5); directions
    are one unit of z-depth long, so that distances along a ray are z-depths. colors (N, 3) uint8 sRGB, straight;
    alphas (N,) uint8, 255 on the object, or None where the pictures have no masks.
    """

    starts: NDArray[np.int64]
    widths: NDArray[np.int32]
    heights: NDArray[np.int32]
    centres: FloatArray
    turns: FloatArray
    colors: NDArray[np.uint8]
    alphas: NDArray[np.uint8] | None

    @property
    def count(self) -> int:
        """How many rays there are, N."""
        return int(self.starts[-1])

    @property
    def pictures(self) -> int:
        """How many pictures there are, P."""
        return len(self.widths)

    def of(self, index: NDArray[np.integer]) -> tuple[FloatArray, FloatArray, NDArray[np.int32]]:
        """Origins (M, 3), directions (M, 3), both world, and the picture (M,) of rays by number."""
        index = np.asarray(index, np.int64)
        picture = (np.searchsorted(self.starts, index, side="right") - 1).astype(np.int32)
        row, column = np.divmod(index - self.starts[picture], self.widths[picture].astype(np.int64))
        pixel = np.stack([column + 0.5, row + 0.5, np.ones(len(index))], -1).astype(np.float32)
        return self.centres[picture], np.einsum("nij,nj->ni", self.turns[picture], pixel), picture


def rays(capture: Capture, max_side: int | None = None) -> Rays:
    """The pixels of a straight capture; pictures with a longer side than ``max_side`` are made smaller first (mean of
    the light that falls into a pixel). Masks count only where all pictures have one.

    Raises ReconstructionError for a picture without a camera.
    """
    photos = capture.photos
    masked = has_masks(capture)
    turns, centres, colors, alphas, sizes = [], [], [], [], []
    for photo in photos:
        if photo.camera is None:
            raise ReconstructionError(f"{photo.source} has no camera", "find its place first: liftform poses")
        image, alpha = _sized(photo, max_side)
        height, width = image.shape[:2]
        turn, centre = pixel_turn(photo, width, height)
        turns.append(turn)
        centres.append(centre)
        colors.append(to_uint8(image).reshape(-1, 3))
        alphas.append(to_uint8(alpha).reshape(-1))
        sizes.append((width, height))
    widths, heights = np.array(sizes, np.int32).T
    return Rays(
        np.cumsum([0, *(w * h for w, h in sizes)]).astype(np.int64),
        np.ascontiguousarray(widths),
        np.ascontiguousarray(heights),
        np.array(centres, np.float32),
        np.array(turns, np.float32),
        np.concatenate(colors),
        np.concatenate(alphas) if masked else None,
    )


def pixel_turn(photo: Photo, width: int, height: int) -> tuple[Floats, Floats]:
    """turn (3, 3), with world direction = turn @ (x, y, 1) for pixels of the picture at this size, and centre (3,)."""
    assert photo.camera is not None
    camera = photo.camera.resized(width, height)
    inverse = np.array(
        [[1 / camera.fx, 0, -camera.cx / camera.fx], [0, 1 / camera.fy, -camera.cy / camera.fy], [0, 0, 1.0]]
    )
    return camera.world_from_camera[:3, :3] @ inverse, camera.position


def alpha_of(photo: Photo) -> FloatArray | None:
    """The object's share (H, W) of every pixel: the mask, else the file's transparency, else None."""
    return photo.mask.alpha if photo.mask is not None else photo.alpha


def has_masks(capture: Capture) -> bool:
    """Whether every picture says what is object."""
    return all(alpha_of(photo) is not None for photo in capture.photos)


def _sized(photo: Photo, max_side: int | None) -> tuple[FloatArray, FloatArray]:
    """Colours (h, w, 3) and alpha (h, w) of a picture, smaller where it is larger than ``max_side``."""
    alpha = alpha_of(photo)
    image = photo.mask.foreground if photo.mask is not None else photo.image
    full = np.ones(image.shape[:2], np.float32) if alpha is None else alpha
    longest = max(image.shape[:2])
    if max_side is None or longest <= max_side:
        return image, full
    height, width = (max(1, round(side * max_side / longest)) for side in image.shape[:2])
    light = np.concatenate([srgb_to_linear(image) * full[..., None], full[..., None]], -1)
    small = _averaged(_averaged(light, height).transpose(1, 0, 2), width).transpose(1, 0, 2)
    straight = small[..., :3] / np.maximum(small[..., 3:], 1e-4)
    return linear_to_srgb(np.clip(straight, 0, 1)).astype(np.float32), small[..., 3].astype(np.float32)


def _averaged(values: FloatArray, rows: int) -> FloatArray:
    """Values (H, ...) as ``rows`` means over equal stretches of the first axis, parts of rows weighted."""
    whole = np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, 0, dtype=np.float64)])
    at = np.linspace(0, len(values), rows + 1)
    low = np.minimum(at.astype(int), len(values) - 1)
    part = (at - low).reshape(-1, *[1] * (values.ndim - 1))
    edges = whole[low] + part * (whole[low + 1] - whole[low])
    return (np.diff(edges, axis=0) * (rows / len(values))).astype(np.float32)


@dataclass(frozen=True)
class Extent:
    """Where the scene lies. low, high (3,) float64: its box in the world; what lies beyond is background.

    kind: "object" (masks: nothing beyond the box), "surrounded" (the cameras look at the box from around, the
    background is all about) or "forward" (they look one way through ``view``: distances from ``near`` to infinity).
    view: world_from_view (4, 4), OpenCV axes, of a camera amid the cameras. near: z-distance in that view before which
    nothing is. tan (2,): tangents of half the view across and down that take all the pictures in.
    """

    kind: Literal["object", "surrounded", "forward"]
    low: Floats
    high: Floats
    view: Floats
    near: float
    tan: tuple[float, float]

    @property
    def size(self) -> Floats:
        """Lengths of the box, (3,)."""
        return self.high - self.low


def extent(capture: Capture) -> Extent:
    """Where the scene of a straight capture lies: from masks, else from shared points, else from the cameras alone.

    Raises ReconstructionError where silhouettes have nothing in common.
    """
    poses = np.array([photo.camera.world_from_camera for photo in capture.photos if photo.camera is not None])
    points = _points(capture, poses)
    view, one_way = _middle(poses)
    near, tan = _frustum(capture, view, points)
    if has_masks(capture):
        low, high = _silhouette_box(capture, poses)
        return Extent("object", low, high, view, near, tan)
    low, high = _box(poses, points)
    spread = np.linalg.norm(poses[:, :3, 3] - poses[:, :3, 3].mean(0), axis=1).max()
    if one_way and spread < 0.75 * _distance(poses, points):
        return Extent("forward", low, high, view, near, tan)
    return Extent("surrounded", low, high, view, near, tan)


def _points(capture: Capture, poses: Floats) -> Floats:
    """Shared points (N, 3) that lie in front of at least two cameras; none where the set knows none."""
    if capture.sparse is None or len(capture.sparse.points) < 16:
        return np.zeros((0, 3))
    points = capture.sparse.points
    seen = sum((_in_view(photo, points).astype(int) for photo in capture.photos), np.zeros(len(points), int))
    return points[(seen >= 2) & np.isfinite(points).all(1)]


def _in_view(photo: Photo, points: Floats) -> NDArray[np.bool_]:
    assert photo.camera is not None
    pixels, z = photo.camera.project(points)
    inside = (pixels >= 0).all(1) & (pixels < [photo.camera.width, photo.camera.height]).all(1)
    return np.asarray(inside & (z > 0))


def _middle(poses: Floats) -> tuple[Floats, bool]:
    """world_from_view of a camera amid the cameras, and whether all look its way."""
    forward = poses[:, :3, 2].mean(0)
    forward /= max(float(np.linalg.norm(forward)), 1e-9)
    down = poses[:, :3, 1].mean(0)
    down -= forward * (down @ forward)
    if np.linalg.norm(down) < 1e-6:
        down = np.cross(forward, [1.0, 0.0, 0.0])
    down /= max(float(np.linalg.norm(down)), 1e-9)
    view = np.eye(4)
    view[:3, :3] = np.stack([np.cross(down, forward), down, forward], 1)
    view[:3, 3] = poses[:, :3, 3].mean(0)
    return view, bool((poses[:, :3, 2] @ forward).min() > _ONE_WAY)


def focus(poses: Floats) -> Floats:
    """The point (3,) nearest to all optical axes of poses (N, 4, 4), in least squares; far ahead where they are
    parallel."""
    axes, places = poses[:, :3, 2], poses[:, :3, 3]
    across = np.eye(3) - axes[:, :, None] * axes[:, None, :]
    reach = max(float(np.linalg.norm(np.ptp(places, axis=0))), 1e-6)
    ahead = places.mean(0) + axes.mean(0) * reach
    weak = 1e-4 * len(poses) * np.eye(3)
    right = np.einsum("nij,nj->i", across, places) + weak @ ahead
    return np.linalg.solve(across.sum(0) + weak, right)


def _distance(poses: Floats, points: Floats) -> float:
    """Median distance of what the cameras look at."""
    if len(points):
        z = (points[None] - poses[:, None, :3, 3]) * poses[:, None, :3, 2]
        return float(np.median(z.sum(-1)))
    return float(np.median(np.linalg.norm(poses[:, :3, 3] - focus(poses), axis=1)))


def _box(poses: Floats, points: Floats) -> tuple[Floats, Floats]:
    """A cube about what the cameras look at: most of the shared points, and not much more than the cameras' ring."""
    middle, away = focus(poses), _distance(poses, points)
    half = 0.6 * away
    if len(points):
        middle = 0.5 * (middle + np.median(points, 0))
        half = float(np.clip(np.percentile(np.abs(points - middle).max(1), 80) * 1.1, 0.25 * away, 1.2 * away))
    return middle - half, middle + half


def _frustum(capture: Capture, view: Floats, points: Floats) -> tuple[float, tuple[float, float]]:
    """near and tan of ``Extent``."""
    from_world = np.linalg.inv(view)
    poses = np.array([photo.camera.world_from_camera for photo in capture.photos if photo.camera is not None])
    reach = float(np.linalg.norm(np.ptp(poses[:, :3, 3], axis=0)))
    if len(points):
        z = points @ from_world[2, :3] + from_world[2, 3]
        near = 0.85 * float(np.percentile(z[z > 0], 0.5)) if (z > 0).any() else 0.1 * reach
    else:
        near = 0.5 * _distance(poses, points)
    tan = np.array([0.1, 0.1])
    for photo in capture.photos:
        camera = photo.camera
        assert camera is not None
        corners = np.array([[0, 0], [camera.width, 0], [0, camera.height], [camera.width, camera.height]], float)
        for depth in (near, 100 * near + 10 * reach):
            seen = camera.unproject(corners, np.full(4, depth)) @ from_world[:3, :3].T + from_world[:3, 3]
            front = seen[:, 2] > 0.05 * depth
            if front.any():
                tan = np.maximum(tan, np.abs(seen[front, :2] / seen[front, 2:]).max(0))
    tan = np.minimum(tan, 4.0)
    return max(near, 1e-6), (float(tan[0]), float(tan[1]))


def _silhouette_box(capture: Capture, poses: Floats) -> tuple[Floats, Floats]:
    """The box of all places that lie inside every silhouette, with a margin of 4 %."""
    middle = focus(poses)
    half = 0.8 * float(np.linalg.norm(poses[:, :3, 3] - middle, axis=1).max())
    low, high = middle - half, middle + half
    for _ in range(4):
        inside = hull(capture, low, high, (_ROUGH, _ROUGH, _ROUGH))
        if not inside.any():
            told = "the silhouettes of the pictures have no place in common"
            raise ReconstructionError(told, "check the masks and the cameras (liftform poses)")
        cell = (high - low) / _ROUGH
        at = np.argwhere(inside)
        new_low, new_high = low + (at.min(0) - 1) * cell, low + (at.max(0) + 2) * cell
        shrunk = float(np.prod((new_high - new_low) / (high - low)))
        low, high = new_low, new_high
        if shrunk > 0.7:
            break
    margin = 0.02 * float((high - low).max())
    return low - margin, high + margin


def hull(
    capture: Capture, low: Floats, high: Floats, cells: tuple[int, int, int], slack: float = 0.04
) -> NDArray[np.bool_]:
    """Which cells (X, Y, Z) of a box may hold the object: no more than a share ``slack`` of the masks that see a cell
    has nothing there, and a third of all sees it. Masks are widened by a cell's reach, so that thin parts stay.
    """
    axes = [low[k] + (np.arange(cells[k]) + 0.5) * (high[k] - low[k]) / cells[k] for k in range(3)]
    centres = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    reach = 0.5 * float(np.linalg.norm((high - low) / cells))
    against = np.zeros(len(centres), np.int32)
    seen = np.zeros(len(centres), np.int32)
    for photo in capture.photos:
        alpha, camera = alpha_of(photo), photo.camera
        if alpha is None or camera is None:
            continue
        solid, step = _thinned(alpha > 0.02)
        pixels, z = camera.resized(alpha.shape[1], alpha.shape[0]).project(centres)
        pixels /= step
        if not (z > 0).any():
            continue
        spread = camera.fx * alpha.shape[1] / camera.width / step * reach / max(float(np.median(z[z > 0])), 1e-9)
        wide = _widened(solid, int(np.ceil(spread)) + 1)
        column, row = np.clip(pixels, -1, 1e6).astype(np.int64).T
        there = (z > 0) & (pixels[:, 0] >= 0) & (pixels[:, 1] >= 0) & (column < solid.shape[1]) & (row < solid.shape[0])
        seen += there
        against[there] += ~wide[row[there], column[there]]
    return ((seen >= max(1.0, len(capture.photos) / 3)) & (against <= slack * seen)).reshape(cells)


def _thinned(mask: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], int]:
    """A mask in larger pixels, about 200 along its longer side, each set where any of its own was; and their side."""
    step = max(1, max(mask.shape) // 200)
    height, width = (-(-side // step) for side in mask.shape)
    padded = np.zeros((height * step, width * step), bool)
    padded[: mask.shape[0], : mask.shape[1]] = mask
    return np.asarray(padded.reshape(height, step, width, step).any((1, 3))), step


def _widened(mask: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """A mask grown by ``reach`` pixels to all sides, in squares."""
    from scipy.ndimage import maximum_filter

    return np.asarray(maximum_filter(mask.view(np.uint8), 2 * reach + 1) > 0)
