"""Scan conversion: every pixel centre of a triangulated region belongs to exactly one triangle."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import Delaunay

from liftform.refine.raster import rasterize


def triangulated(seed: int, points: int) -> np.ndarray:
    """Triangles (F, 3, 2) that tile the convex hull of random points on half and quarter pixels, at random windings."""
    rng = np.random.default_rng(seed)
    p = np.unique(rng.integers(4, 160, (points, 2)), axis=0) / 4.0
    faces = Delaunay(p).simplices
    turned = rng.random(len(faces)) < 0.5
    faces[turned] = faces[turned, ::-1]
    return p[faces]


@given(st.integers(0, 10_000), st.integers(4, 60))
def test_a_tiling_covers_each_pixel_once(seed: int, points: int) -> None:
    triangles = triangulated(seed, points)
    _, pixel, _ = rasterize(triangles, 48, 44)
    count = np.bincount(pixel, minlength=48 * 44)
    assert count.max(initial=0) <= 1
    e, g = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    area = np.abs(e[:, 0] * g[:, 1] - e[:, 1] * g[:, 0]).sum() / 2
    rim = 2 * np.ptp(triangles.reshape(-1, 2), axis=0).sum()
    assert abs(count.sum() - area) <= rim


@given(st.integers(0, 10_000))
def test_weights_give_the_pixel_centre_back(seed: int) -> None:
    triangles = triangulated(seed, 12)
    face, pixel, weight = rasterize(triangles, 48, 48)
    centre = np.stack([pixel % 48, pixel // 48], 1) + 0.5
    assert np.abs(np.einsum("ij,ijk->ik", weight, triangles[face]) - centre).max(initial=0) < 0.02
    assert weight.min(initial=0) > -1e-3
    assert np.all(np.diff(face) >= 0)


def test_half_a_pixel_is_a_decision() -> None:
    square = np.array([[[1, 1], [3, 1], [3, 3]], [[1, 1], [3, 3], [1, 3]]], float)
    _, pixel, _ = rasterize(square, 5, 5)
    assert sorted(pixel) == [6, 7, 11, 12]
    _, pixel, _ = rasterize(square + 0.5, 5, 5)  # centres on the left and top edges are in, right and bottom out
    assert sorted(pixel) == [6, 7, 11, 12]


def test_outside_and_degenerate_triangles_draw_nothing() -> None:
    line = np.array([[[0, 0], [2, 2], [4, 4]], [[-9, -9], [-5, -9], [-7, -2]]], float)
    assert len(rasterize(line, 8, 8)[0]) == 0
    assert len(rasterize(np.zeros((0, 3, 2)), 8, 8)[0]) == 0


def test_what_reaches_over_the_border_is_cut() -> None:
    _, pixel, _ = rasterize(np.array([[[-10, -10], [30, -10], [-10, 30]]], float), 4, 4)
    assert sorted(pixel) == list(range(16))


def test_many_batches_give_what_one_gives() -> None:
    rng = np.random.default_rng(1)
    p = rng.random((3000, 2)) * 900
    triangles = p[Delaunay(p).simplices]
    face, pixel, _ = rasterize(triangles, 900, 900)
    for i in (0, 1500, len(triangles) - 1):
        alone = rasterize(triangles[i : i + 1], 900, 900)[1]
        assert np.array_equal(pixel[face == i], alone)
