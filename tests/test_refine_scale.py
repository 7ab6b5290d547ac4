"""The final place: on the floor, centred, of the asked height; and the matrix that says how it got there."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic import box

from liftform.errors import UsageError
from liftform.recipe import build
from liftform.refine.scale import ScaleOptions, scale
from liftform.runtime import Runtime

MESH = box((0.2, 0.5, 0.3), centre=(0.1, -0.2, 0.4))


def test_without_a_height_the_longest_side_is_one_unit() -> None:
    mesh = scale(ScaleOptions(), Runtime())(MESH)
    assert np.allclose(mesh.bounds, [[-0.2, 0, -0.3], [0.2, 1, 0.3]], atol=1e-6)
    assert mesh.metadata["scale"]["unit"] == "unknown"
    assert np.allclose(mesh.metadata["scale"]["size"], [0.4, 1, 0.6])


def test_with_a_height_it_is_in_metres() -> None:
    mesh = scale(ScaleOptions(0.45), Runtime())(MESH)
    assert np.ptp(mesh.vertices[:, 1]) == pytest.approx(0.45)
    assert mesh.vertices[:, 1].min() == 0
    assert mesh.metadata["scale"]["unit"] == "metre"


def test_the_matrix_moves_the_same_way() -> None:
    mesh = scale(ScaleOptions(2.0), Runtime())(MESH)
    m = np.array(mesh.metadata["asset_from_view"])
    assert np.allclose(MESH.vertices @ m[:3, :3].T + m[:3, 3], mesh.vertices, atol=1e-6)


def test_doubled_vertices_stay_together() -> None:
    doubled = MESH.with_(vertices=np.concatenate([MESH.vertices, MESH.vertices]))
    moved = scale(ScaleOptions(1.7), Runtime())(doubled).vertices
    assert np.array_equal(moved[:8], moved[8:])


@pytest.mark.parametrize("height", [0, -1.0, float("nan")])
def test_a_height_must_be_positive(height: float) -> None:
    with pytest.raises(UsageError):
        build(ScaleOptions, {"height_m": height}, "scale")
