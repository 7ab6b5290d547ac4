"""Rectangles and cameras: what is projected by known poses must come back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liftform.camera import Camera
from liftform.planar import UNIT, homography, moved, plane_pose, squareness

CARD = (0.0856, 0.05398)


def seen(size, elevation, turn, distance, focal=1200.0):
    """Corners (4, 2) from the principal point of a rectangle on the floor, and its true plane (normal, distance)."""
    camera = Camera.orbit(1000, 2 * np.arctan(500 / focal), 0.0, elevation, distance)
    c, s = np.cos(turn), np.sin(turn)
    flat = (UNIT - 0.5) * size @ np.array([[c, s], [-s, c]]) + np.array([0.1, 0.05]) * distance
    pixels, _ = camera.project(np.stack([flat[:, 0], 0 * flat[:, 0], flat[:, 1]], -1))
    up = camera.camera_from_world[:3, 1]
    return pixels - 500.0, up, float(camera.position[1])


@settings(max_examples=25, deadline=None)
@given(st.floats(0.3, 1.4), st.floats(0, 6.28), st.floats(0.3, 1.5))
def test_the_pose_comes_back(elevation, turn, distance) -> None:
    corners, up, height = seen(CARD, elevation, turn, distance)
    pose = plane_pose(CARD, corners, 1200.0)
    assert pose.error_px < 1e-3
    assert pose.normal @ up > np.cos(np.radians(0.1))
    assert pose.distance == pytest.approx(height, rel=1e-3)


def test_a_noisy_small_card_is_still_taken_for_lying_on_the_floor() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        corners, up, _ = seen(CARD, 0.7, rng.random() * 6, 1.5)
        pose = plane_pose(CARD, corners + rng.normal(0, 0.2, (4, 2)), 1200.0)
        assert pose.normal @ up > np.cos(np.radians(15))


@given(st.floats(0.3, 1.4), st.floats(0, 6.28))
@settings(max_examples=25, deadline=None)
def test_aspect_and_right_angle(elevation, turn) -> None:
    corners, _, _ = seen(CARD, elevation, turn, 0.5)
    aspect, cosine = squareness(corners, 1200.0)
    assert aspect == pytest.approx(CARD[0] / CARD[1], rel=1e-6)
    assert cosine == pytest.approx(0, abs=1e-6)


def test_homography() -> None:
    target = np.array([[3.0, 4.0], [90.0, 10.0], [80.0, 95.0], [1.0, 70.0]])
    h = homography(UNIT, target)
    assert np.allclose(moved(h, UNIT), target)
    assert h[2, 2] == 1
