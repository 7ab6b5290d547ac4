"""Simplification: within the budget, near the surface, and still a solid."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic import ball, both, brick, marched, ring, waves

from liftform.assets import Mesh
from liftform.refine import surface
from liftform.refine.clean import CleanOptions, clean
from liftform.refine.simplify import SimplifyOptions, simplify
from liftform.runtime import Runtime


def simplified(shape, cells=64, paint=None, **options) -> tuple[Mesh, Mesh]:
    dense = clean(CleanOptions(), Runtime())(marched(shape, cells, paint=paint))
    return dense, simplify(SimplifyOptions(**options), Runtime())(dense)


@pytest.mark.parametrize("budget", [100, 400, 3000])
def test_the_budget_is_a_maximum(budget: int) -> None:
    _, mesh = simplified(ring(0.3, 0.12), faces=budget, error=0.0)
    assert surface.is_solid(mesh.vertices, mesh.faces)
    assert 0.8 * budget <= len(mesh.faces) <= budget
    assert mesh.metadata["simplify"]["faces"] == len(mesh.faces)


def test_a_simple_shape_takes_few_faces() -> None:
    dense, mesh = simplified(brick((0.4, 0.2, 0.3)))
    assert len(mesh.faces) < 0.1 * len(dense.faces)
    assert surface.volumes(mesh.vertices, mesh.faces).sum() == pytest.approx(8 * 0.4 * 0.2 * 0.3, rel=0.02)


def test_the_error_bound_holds_against_the_truth() -> None:
    _, mesh = simplified(ball(0.4), error=0.002)
    diagonal = surface.diagonal(mesh.vertices)
    a, b, c = surface.corners(mesh.vertices, mesh.faces)
    middle = np.linalg.norm((a + b + c) / 3, axis=1)
    assert np.quantile(np.abs(middle - 0.4), 0.99) < 0.004 * diagonal
    assert mesh.metadata["simplify"]["deviation"] <= 0.002


def test_a_tighter_bound_keeps_more_faces() -> None:
    few, many = (len(simplified(ball(0.4), error=e)[1].faces) for e in (0.004, 0.0005))
    assert many > 2 * few


def test_thin_things_stay_solid() -> None:
    plate = brick((0.45, 0.012, 0.45))
    legs = [brick((0.014, 0.2, 0.014), (x, -0.2, z)) for x in (-0.4, 0.4) for z in (-0.4, 0.4)]
    for budget in (20000, 500, 120):
        _, mesh = simplified(both(plate, *legs), cells=80, faces=budget)
        assert surface.is_solid(mesh.vertices, mesh.faces)
        assert len(mesh.faces) <= budget
        assert mesh.vertices[:, 1].min() < -0.35


def test_colours_are_carried() -> None:
    _, mesh = simplified(ball(0.4), paint=waves)
    assert np.abs(mesh.colors - waves(mesh.vertices)).max() < 0.06


def test_a_small_solid_within_the_bound_is_left_alone() -> None:
    dense, mesh = simplified(ball(0.4), cells=16, error=0.0)
    assert np.array_equal(mesh.vertices, dense.vertices)
    assert np.array_equal(mesh.faces, dense.faces)


def test_same_in_same_out() -> None:
    (_, a), (_, b) = (simplified(ring(0.3, 0.1), paint=waves, faces=800) for _ in range(2))
    for name in ("vertices", "faces", "colors"):
        assert np.array_equal(getattr(a, name), getattr(b, name))
