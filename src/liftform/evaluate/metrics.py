"""Figures of likeness: pictures (PSNR), silhouettes (IoU), surfaces (Chamfer distance, F-score), and cameras."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..assets import FloatArray, Mesh
from ..camera import Camera

Floats = NDArray[np.floating[Any]]


def psnr(image: Floats, reference: Floats, mask: NDArray[np.bool_] | None = None) -> float:
    """Peak signal-to-noise ratio in dB of values in [0, 1], shape (H, W[, C]), over the pixels of ``mask`` (H, W).

    Infinite for equal pictures, NaN when the mask is empty.
    """
    error = (np.asarray(image, np.float64) - reference) ** 2
    chosen = error if mask is None else error[mask]
    if chosen.size == 0:
        return float("nan")
    mean = float(chosen.mean())
    return float(-10 * np.log10(mean)) if mean > 0 else float("inf")


def silhouette_iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Intersection over union of two masks (H, W); 1 when both are empty."""
    union = int((a | b).sum())
    return float((a & b).sum() / union) if union else 1.0


def surface_points(mesh: Mesh, count: int = 10_000, seed: int = 0) -> FloatArray:
    """Points (count, 3) spread evenly over the area of the whole surface, inner parts included."""
    rng = np.random.default_rng(seed)
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    face = rng.choice(len(area), count, p=area / area.sum())
    root, other = np.sqrt(rng.random(count)), rng.random(count)
    weights = np.stack([1 - root, root * (1 - other), root * other], -1)  # uniform in a triangle (Turk 1990)
    return np.asarray(np.einsum("ij,ijk->ik", weights, corners[face]), np.float32)


def in_unit_cube(points: Floats) -> FloatArray:
    """Points (N, 3) centred on their bounding box and scaled so that its longest side spans [-1, 1]."""
    low, high = points.min(0), points.max(0)
    return np.asarray((points - (low + high) / 2) * (2 / max(float((high - low).max()), 1e-12)), np.float32)


def fitted(points: Floats, truth: Floats, rounds: int = 10) -> Floats:
    """Points (N, 3) shifted and scaled (by a few percent), never turned, onto truth (M, 3): least squares between
    nearest neighbours both ways, repeated."""
    from scipy.spatial import cKDTree

    tree, p = cKDTree(truth), np.asarray(points, np.float64)
    for _ in range(rounds):
        ours = np.concatenate([p, p[cKDTree(p).query(truth)[1]]])
        theirs = np.concatenate([truth[tree.query(p)[1]], truth])
        a, b = ours - ours.mean(0), theirs - theirs.mean(0)
        scale = float(np.clip((a * b).sum() / max(float((a * a).sum()), 1e-12), 0.97, 1.03))
        p = (p - ours.mean(0)) * scale + theirs.mean(0)
    return p


def surface_scores(points: Floats, truth: Floats, thresholds: Sequence[float] = (0.05, 0.1, 0.2)) -> dict[str, float]:
    """Chamfer distance and F-scores of two point sets (N, 3) and (M, 3) as they stand, without aligning them.

    "cd": mean of the two directed mean distances. "f@t": harmonic mean of precision and recall at distance t
    (Tatarchenko et al. 2019).
    """
    from scipy.spatial import cKDTree

    to_truth = cKDTree(truth).query(points)[0]
    to_points = cKDTree(points).query(truth)[0]
    scores = {"cd": float(to_truth.mean() + to_points.mean()) / 2}
    for t in thresholds:
        precision, recall = float((to_truth < t).mean()), float((to_points < t).mean())
        scores[f"f@{t}"] = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return scores


def camera_angles_deg(camera: Camera) -> tuple[float, float]:
    """Vertical field of view and elevation (positive when looking down) of a camera, in degrees."""
    forward = camera.world_from_camera[:3, 2]
    return float(np.degrees(camera.yfov)), float(np.degrees(np.arcsin(np.clip(-forward[1], -1, 1))))
