"""Figures of likeness against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import synthetic
from hypothesis import given, settings
from hypothesis import strategies as st

from liftform.camera import Camera
from liftform.evaluate.metrics import (
    camera_angles_deg,
    in_unit_cube,
    psnr,
    silhouette_iou,
    surface_points,
    surface_scores,
)


@given(st.floats(1e-3, 1.0))
@settings(deadline=None)
def test_psnr_of_a_constant_error(error):
    a = np.zeros((4, 5, 3))
    assert psnr(a, a + error) == pytest.approx(-20 * np.log10(error))


def test_psnr_counts_only_the_mask():
    a, b = np.zeros((4, 4, 3)), np.zeros((4, 4, 3))
    b[0] = 1.0
    b[1] = 0.1
    mask = np.zeros((4, 4), bool)
    mask[1:] = True
    assert psnr(a, b, mask) == pytest.approx(20 + 10 * np.log10(3))
    assert psnr(a, b, mask & False) != psnr(a, b, mask & False)  # NaN
    assert psnr(a, a) == float("inf")


def test_iou_of_two_rectangles():
    a, b = np.zeros((10, 10), bool), np.zeros((10, 10), bool)
    a[:, :6] = True
    b[:, 4:] = True
    assert silhouette_iou(a, b) == pytest.approx(0.2)
    assert silhouette_iou(a & False, b & False) == 1.0
    assert silhouette_iou(a, b & False) == 0.0


def test_surface_scores_of_two_planes():
    grid = np.stack([*np.meshgrid(np.linspace(0, 1, 40), np.linspace(0, 1, 40)), np.zeros((40, 40))], -1).reshape(-1, 3)
    scores = surface_scores(grid + np.array([0, 0, 0.07]), grid)
    assert scores["cd"] == pytest.approx(0.07)
    assert scores["f@0.05"] == 0.0
    assert scores["f@0.1"] == 1.0


def test_f_score_is_the_harmonic_mean():
    truth = np.array([[0.0, 0, 0], [10, 0, 0]])
    scores = surface_scores(np.array([[0.0, 0, 0]]), truth, (0.1,))  # precision 1, recall 1/2
    assert scores["f@0.1"] == pytest.approx(2 / 3)
    assert scores["cd"] == pytest.approx((0 + 5) / 2)


def test_surface_points_are_even_and_repeat():
    box = synthetic.box(size=(4, 1, 1))
    points = surface_points(box, 20_000, seed=3)
    assert (points == surface_points(box, 20_000, seed=3)).all()
    ends = np.abs(np.abs(points[:, 0]) - 2) < 1e-5
    assert ends.mean() == pytest.approx(2 / 18, abs=0.01)  # two ends of area 1 of 18 in all
    assert np.abs(points[~ends].mean(0)).max() < 0.03


@given(st.tuples(*[st.floats(-100, 100)] * 3), st.floats(0.01, 100))
@settings(deadline=None, max_examples=25)
def test_unit_cube_forgets_place_and_size(centre, size):
    box = synthetic.box(size=(2, 1, 0.5)).vertices.astype(np.float64)
    assert np.abs(in_unit_cube(box * size + np.array(centre)) - box).max() < 1e-5


@given(st.floats(-1.4, 1.4), st.floats(0.1, 2.0), st.floats(-3, 3))
@settings(deadline=None, max_examples=25)
def test_camera_angles(elevation, yfov, azimuth):
    found = camera_angles_deg(Camera.orbit(64, yfov, azimuth, elevation, 2.0))
    assert found == pytest.approx(tuple(np.degrees([yfov, elevation])), abs=1e-5)
