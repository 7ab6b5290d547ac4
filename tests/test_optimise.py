"""Fitting a sampled field to geometric constraints, against balls whose every distance is known."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from liftform.assets import Mesh
from liftform.camera import Camera
from liftform.evaluate import optimise as evaluation
from liftform.reconstruct import constraints
from liftform.reconstruct import object as stage
from liftform.reconstruct.optimise import Term, optimise
from liftform.reconstruct.surface import Grid, sample_field, surface_of, without_loose
from liftform.topology import health
from liftform.zoo import lifter, object_frame

VIRTUAL = object_frame.crop_camera(112, 0.5, 0.3)
AXIS = VIRTUAL.world_from_camera[:3, 2]


def _ball_grid(centre: NDArray[np.floating], radius: float, cells: int = 40, half: float = 0.6) -> Grid:
    empty = Grid(np.zeros((cells,) * 3, np.float32), np.full(3, -half), 2 * half / (cells - 1))
    points = empty.points(np.ones((cells,) * 3, bool))
    values = np.linalg.norm(points - centre, axis=1) - radius
    return Grid(values.reshape(empty.values.shape).astype(np.float32), empty.low, empty.step)


def _directions(count: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(1)
    d = rng.normal(size=(count, 3))
    return d / np.linalg.norm(d, axis=1, keepdims=True)


def _shell_terms(radius: float) -> list[Term]:
    d = _directions(800)
    outer = [Term(f"out {k}", "outside", d * (radius + k), 0.0) for k in (0.01, 0.05, 0.1)]
    return [*outer, *(Term(f"in {k}", "inside", d * (radius - k), 0.0) for k in (0.01, 0.05, 0.1))]


def _seen_ball(radius: float, trust: float = 0.0) -> lifter.Reading:
    """What a perfect network says of a ball at the origin."""
    size = 56
    camera: Camera = VIRTUAL.resized(size, size)
    origin, rays = camera.rays()
    towards = -origin
    along, square = rays @ towards, (rays**2).sum(-1)
    inside = along**2 - square * (towards @ towards - radius**2)
    depth = np.where(inside > 0, (along - np.sqrt(np.maximum(inside, 0))) / square, np.linalg.norm(origin))
    alpha = np.kron((inside > 0).astype(np.float32), np.ones((2, 2), np.float32))
    mirror = (np.array([1, 0, 0], np.float32), 0.0, trust)
    points = camera.unproject(np.moveaxis(np.mgrid[:size, :size][::-1] + 0.5, 0, -1), depth)
    normals = np.moveaxis(points / radius @ VIRTUAL.world_from_camera[:3, :3], -1, 0).astype(np.float32)
    depth = (depth - constraints.distance(VIRTUAL)).astype(np.float32)
    return lifter.Reading(alpha, depth, normals, 0.3, 0.25, mirror, {})


def _crop(reading: lifter.Reading, centre: NDArray[np.floating], radius: float) -> stage._Crop:
    def field(points: NDArray[np.float32]) -> NDArray[np.float32]:
        distance = np.linalg.norm(points - centre, axis=1, keepdims=True) - radius
        return np.concatenate([distance, np.zeros((len(points), 3))], 1).astype(np.float32)

    big = np.kron(reading.alpha, np.ones((2, 2), np.float32))
    size = stage.SILHOUETTE_PX
    outline = stage._signed_distance(np.pad(big, (size - len(big)) // 2)[:size, :size] if len(big) != size else big)
    return stage._Crop(VIRTUAL, reading, None, field, outline, constraints.Rules.of(reading, VIRTUAL))  # type: ignore[arg-type]


@settings(max_examples=5, deadline=None)
@given(st.tuples(*[st.floats(-0.06, 0.06)] * 3), st.floats(0.25, 0.4))
def test_a_misplaced_ball_is_pulled_back(centre: tuple[float, float, float], radius: float) -> None:
    wrong = _ball_grid(np.array(centre), radius)
    fit = optimise(wrong, _shell_terms(0.32), 60)
    off = [np.abs(np.linalg.norm(surface_of(grid)[0], axis=1) - 0.32).mean() for grid in (wrong, fit.grid)]
    assert off[1] < 0.012
    assert off[1] <= max(0.5 * off[0], 0.011)
    assert health(Mesh(*surface_of(fit.grid))).watertight
    assert all(after < before for before, after in zip(fit.energies, fit.energies[1:], strict=False))


def test_no_iterations_change_nothing_and_the_same_gives_the_same() -> None:
    grid = _ball_grid(np.array([0.05, 0, 0]), 0.3)
    assert optimise(grid, _shell_terms(0.32), 0).grid is grid
    assert optimise(grid, [], 9).grid is grid
    once, again = (optimise(grid, _shell_terms(0.32), 9) for _ in range(2))
    assert once.grid.values.tobytes() == again.grid.values.tobytes()
    assert not np.array_equal(once.grid.values, grid.values)


def test_what_already_holds_is_left_alone() -> None:
    grid = _ball_grid(np.zeros(3), 0.32)
    fit = optimise(grid, _shell_terms(0.32), 20)
    assert np.abs(fit.grid.values - grid.values)[2:-2, 2:-2, 2:-2].max() < 0.002


def test_a_dent_is_filled_from_its_mirror_image() -> None:
    whole = _ball_grid(np.zeros(3), 0.35)
    points = whole.points(np.ones(whole.values.shape, bool))
    dent = 0.12 - np.linalg.norm(points - [0.35, 0, 0], axis=1).reshape(whole.values.shape)
    dented = Grid(np.maximum(whole.values, dent).astype(np.float32), whole.low, whole.step)
    near = whole.points(np.abs(dented.values) < 0.06)
    fit = optimise(dented, [Term("mirror", "same", near, partners=near * [-1, 1, 1])], 60)
    uneven = [np.abs(v - v[::-1])[np.abs(whole.values) < 0.06].mean() for v in (dented.values, fit.grid.values)]
    assert uneven[1] < 0.6 * uneven[0]
    assert fit.parts["mirror"][1] < 0.4 * fit.parts["mirror"][0]


def test_depth_pulls_a_ball_that_stands_too_far_back() -> None:
    reading = _seen_ball(0.35)
    grid = _ball_grid(AXIS * 0.12, 0.35)
    crop = _crop(reading, AXIS * 0.12, 0.35)
    fit = crop.fitted(grid, 40)
    seen = constraints.visible_points(reading, VIRTUAL)
    missed = []
    for g in (grid, fit.grid):
        vertices = surface_of(g)[0]
        front = vertices[vertices @ AXIS < -0.1]
        missed.append(np.abs(np.linalg.norm(front, axis=1) - 0.35).mean())
    assert np.allclose(np.linalg.norm(seen, axis=1), 0.35, atol=1e-3)
    assert missed[1] < 0.65 * missed[0]
    assert set(fit.parts) >= {"before 1", "behind"}
    assert crop.fitted(grid, 0).grid is grid


def test_points_behind_the_visible_surface_are_told_from_those_before() -> None:
    rules = constraints.Rules.of(_seen_ball(0.35), VIRTUAL)
    on_axis = AXIS * np.array([[-0.5], [-0.35], [0.0], [0.9]])
    np.testing.assert_allclose(rules.behind(on_axis), [-0.15, 0, 0.35, 1.25], atol=0.01)


def test_blobs_before_the_visible_surface_are_cut_and_far_behind_it_dropped() -> None:
    """A field with a ball where it is seen, one far before it and one far behind: only the first is believed."""
    crop = _crop(_seen_ball(0.35), np.zeros(3), 0.35)
    ball = crop.field
    spots = [AXIS * -0.9, AXIS * 0.95]

    def field(points: NDArray[np.float32]) -> NDArray[np.float32]:
        value = ball(points)
        blobs = [np.linalg.norm(points - spot, axis=1) - 0.12 for spot in spots]
        value[:, 0] = np.minimum.reduce([value[:, 0], *blobs])
        return value

    crop = stage._Crop(VIRTUAL, crop.reading, None, field, crop.outline, crop.rules)  # type: ignore[arg-type]
    grid = sample_field(crop.carved, *crop.search_box(), 64, crop.visible_points())
    before = surface_of(grid)[0] @ AXIS
    after = surface_of(without_loose(grid, crop.rules.hold))[0] @ AXIS
    assert before.min() > -0.52
    assert before.max() > 0.9
    assert after.max() == pytest.approx(0.35, abs=0.02)


def test_nothing_hangs_below_the_floor_or_over_the_sides_of_what_is_seen() -> None:
    """A ball turns under, and may reach deeper than a wall that ends at the same lowest point."""
    ball = _seen_ball(0.35)
    rules = constraints.Rules.of(ball, VIRTUAL)
    upright = dataclasses.replace(ball, normals=np.zeros_like(ball.normals))
    wall = constraints.Rules.of(upright, VIRTUAL)
    assert rules.low[1] == pytest.approx(-0.35, abs=0.05)
    assert wall.low[1] > rules.low[1] + 0.012
    over = rules.broken(np.array([[0, rules.low[1] - 0.1, 0.2], [rules.high[0] + 0.2, 0, 0.2], [0, 0, 0.2]]))
    np.testing.assert_allclose(over[:2], [0.1, 0.2], atol=1e-6)
    assert over[2] < 0


def test_the_grid_is_spent_on_the_object() -> None:
    """Cells along the longest side are what was asked for, not a third of it."""
    crop = _crop(_seen_ball(0.35), np.zeros(3), 0.35)
    grid = sample_field(crop.carved, *crop.search_box(), 64, crop.visible_points())
    assert 0.7 / grid.step > 0.75 * 64


def test_the_table_holds_every_value_against_the_first(tmp_path: Path) -> None:
    whole = Mesh(*surface_of(_ball_grid(np.array([0.05, 0, 0]), 0.35)))
    np.savez(tmp_path / "truth.npz", points=_directions(4000))
    case = {"id": "ball", "truth": str(tmp_path / "truth.npz"), "azimuth_deg": 30.0}
    found = evaluation.scores(whole, case)
    assert found["f@0.1"] > 0.99
    worse = {**found, "f@0.1": found["f@0.1"] - 0.2}
    rows = [evaluation.Lifted("ball", 0, worse, 1.0), evaluation.Lifted("ball", "auto", found, 1.5)]
    table = evaluation.grid(rows).rows
    assert [row[0] for row in table] == ["0", "auto"]
    assert table[1][4].startswith("+0.2000")
    assert table[1][5] == "1 / 0"
