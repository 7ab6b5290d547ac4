"""Flat rectangles seen by a pinhole camera: homographies, the pose of the plane they lie in, focal length, aspect.

References
    Hartley and Zisserman, "Multiple View Geometry", 2003, algorithm 4.2 (homography). Zhang, "A flexible new technique
    for camera calibration", 2000 (pose and focal length from a plane). Zhang and He, "Whiteboard scanning and image
    enhancement", 2007 (aspect ratio of a rectangle). Collins and Bartoli, "Infinitesimal plane-based pose estimation",
    2014 (a small plane has two likely poses).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Corners (4, 2) of the unit square in the order of a reference's corners.
UNIT = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
#: Steps of Gauss and Newton; a pose nearer than this (pixels, root mean square) to another fits as well.
_STEPS, _AS_GOOD = 12, 0.3


@dataclass(frozen=True)
class PlanePose:
    """Where a rectangle lies in the camera frame (OpenCV).

    rotation (3, 3), translation (3,): p_camera = rotation @ (x, y, 0) + translation, in the rectangle's unit.
    error_px: root mean square distance of its projected corners from where they were seen.
    """

    rotation: Floats
    translation: Floats
    error_px: float

    @property
    def normal(self) -> Floats:
        """Unit normal (3,) of the plane, towards the camera."""
        n = self.rotation[:, 2]
        return -n if n @ self.translation > 0 else n

    @property
    def distance(self) -> float:
        """From the camera to the plane, > 0: the plane is normal . p = -distance."""
        return float(-self.normal @ self.translation)


def homography(source: Floats, target: Floats) -> Floats:
    """The 3x3 matrix that takes source (N, 2) to target (N, 2), N >= 4, [2, 2] = 1; NaN where there is none."""
    (s, a), (t, b) = _normalised(source), _normalised(target)
    ones, none = np.ones((len(a), 1)), np.zeros((len(a), 3))
    p = np.concatenate([a, ones], 1)
    rows = np.concatenate([np.hstack([p, none, -b[:, :1] * p]), np.hstack([none, p, -b[:, 1:] * p])])
    h = np.linalg.inv(t) @ np.linalg.svd(rows)[2][-1].reshape(3, 3) @ s
    with np.errstate(all="ignore"):
        scaled: Floats = h / h[2, 2]
    return scaled


def moved(matrix: Floats, points: Floats) -> Floats:
    """Points (..., 2) taken by a homography."""
    p = points @ matrix[:, :2].T + matrix[:, 2]
    out: Floats = p[..., :2] / p[..., 2:]
    return out


def squareness(corners: Floats, focal: float) -> tuple[float, float]:
    """(aspect, cosine) of the parallelogram in space whose corners (4, 2) are seen at pixels from the principal point.

    aspect: length of its side from corner 0 to 1 over that from 1 to 2. cosine: of their angle, 0 for a rectangle.
    """
    h = homography(UNIT, corners)
    a, b = (h[:, k] / np.array([focal, focal, 1.0]) for k in (0, 1))
    la, lb = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    return la / lb, float(a @ b / (la * lb))


def plane_pose(size: tuple[float, float], corners: Floats, focal: float) -> PlanePose:
    """Pose of a rectangle (width, height) whose corners (4, 2) are seen at pixels from the principal point.

    Of the two poses that a small rectangle may have, the one that fits; where both fit, the one that faces upwards in
    the picture, as a floor or a table does.
    """
    points = UNIT * np.array(size)
    first = _from_homography(homography(points, corners), focal)
    found = [_refined(points, corners, focal, *start) for start in (first, _flipped(*first, points.mean(0)))]
    better, other = sorted(found, key=lambda pose: pose.error_px)
    upward = other.normal[1] < better.normal[1]  # camera y points down
    return other if upward and other.error_px < better.error_px + _AS_GOOD else better


def _normalised(points: Floats) -> tuple[Floats, Floats]:
    """The similarity that centres points and brings them to a mean distance of sqrt 2, and the points moved by it."""
    middle = points.mean(0)
    scale = np.sqrt(2) / max(float(np.linalg.norm(points - middle, axis=1).mean()), 1e-12)
    matrix = np.array([[scale, 0, -scale * middle[0]], [0, scale, -scale * middle[1]], [0, 0, 1.0]])
    return matrix, (points - middle) * scale


def _from_homography(h: Floats, focal: float) -> tuple[Floats, Floats]:
    """Rotation and translation of the plane z = 0 that a homography shows, in front of the camera."""
    columns = h / np.array([[focal], [focal], [1.0]])
    columns = columns / (0.5 * (np.linalg.norm(columns[:, 0]) + np.linalg.norm(columns[:, 1])))
    columns = columns * np.sign(columns[2, 2] or 1.0)
    a, b, t = columns.T
    u, _, v = np.linalg.svd(np.stack([a, b, np.cross(a, b)], 1))
    rotation = u @ np.diag([1.0, 1.0, np.linalg.det(u @ v)]) @ v
    return rotation, t


def _flipped(rotation: Floats, translation: Floats, middle: Floats) -> tuple[Floats, Floats]:
    """The other pose that looks nearly alike from afar: mirrored at the plane across the line of sight."""
    centre = rotation[:, :2] @ middle + translation
    sight = centre / np.linalg.norm(centre)
    mirror = np.eye(3) - 2 * np.outer(sight, sight)
    turned = mirror @ rotation @ np.diag([1.0, 1.0, -1.0])
    return turned, centre - turned[:, :2] @ middle


def _refined(points: Floats, corners: Floats, focal: float, rotation: Floats, translation: Floats) -> PlanePose:
    """Least squares of the pixels over the six degrees of freedom (Gauss and Newton, damped)."""
    damping, best = 1e-3, _residual(points, corners, focal, rotation, translation)
    for _ in range(_STEPS):
        local = points @ rotation[:, :2].T
        p = local + translation
        z = p[:, 2:]
        across = focal * np.stack([np.stack([1 / z[:, 0], 0 * z[:, 0], -p[:, 0] / z[:, 0] ** 2], -1),
                                   np.stack([0 * z[:, 0], 1 / z[:, 0], -p[:, 1] / z[:, 0] ** 2], -1)], 1)  # fmt: skip
        turning = -np.stack([_cross_matrix(q) for q in local])
        jacobian = np.concatenate([across @ turning, across], -1).reshape(-1, 6)
        normal = jacobian.T @ jacobian
        step = -np.linalg.solve(normal + damping * np.diag(np.diag(normal)) + 1e-15 * np.eye(6), jacobian.T @ best)
        tried = _turn(step[:3]) @ rotation, translation + step[3:]
        rest = _residual(points, corners, focal, *tried)
        if rest @ rest < best @ best:
            done = rest @ rest > (1 - 1e-9) * (best @ best) or np.abs(step).max() < 1e-10
            (rotation, translation), best, damping = tried, rest, damping / 10
            if done:
                break
        else:
            damping *= 10
    return PlanePose(rotation, translation, float(np.sqrt((best**2).reshape(-1, 2).sum(1).mean())))


def _residual(points: Floats, corners: Floats, focal: float, rotation: Floats, translation: Floats) -> Floats:
    """Projected minus seen (2 N,); large where a corner would lie behind the camera."""
    p = points @ rotation[:, :2].T + translation
    if (p[:, 2] <= 1e-9).any():
        return np.full(2 * len(points), 1e6)
    rest: Floats = (focal * p[:, :2] / p[:, 2:] - corners).ravel()
    return rest


def _cross_matrix(v: Floats) -> Floats:
    return np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])


def _turn(vector: Floats) -> Floats:
    """Rotation by the vector's length about its direction (Rodrigues)."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.eye(3)
    k = _cross_matrix(vector / angle)
    turned: Floats = np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * k @ k
    return turned
