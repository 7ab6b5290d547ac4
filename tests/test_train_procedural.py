"""Procedural objects: closed, outward, of unit size, the same again from the same seed; and what the shards hold."""

import numpy as np
import pytest

from liftform.train import data, object, procedural
from liftform.train.procedural import bodies, pieces, turnery


@pytest.mark.parametrize("kind", procedural._KINDS)
def test_every_kind_is_closed_and_fills_its_box(kind: str) -> None:
    seeds = [seed for seed in range(120) if procedural.kind_of(seed) == kind][:4]
    assert len(seeds) >= 3
    for seed in seeds:
        surface, mesh = procedural.surface(seed)
        assert mesh.is_watertight
        assert mesh.is_winding_consistent
        assert mesh.volume > 0
        assert np.ptp(mesh.vertices, axis=0).max() == pytest.approx(1)
        assert np.abs(mesh.bounds.sum(0)).max() < 1e-9
        assert surface.uv.min() >= 0
        assert surface.uv.max() <= 1
        assert surface.corners.shape == surface.normals.shape == surface.tint.shape


def test_a_seed_gives_the_same_thing_again_and_another_another() -> None:
    (a, _), (b, _), (c, _) = (procedural.surface(seed) for seed in (7, 7, 8))
    assert np.array_equal(a.corners, b.corners)
    assert np.array_equal(a.texture, b.texture)
    assert not np.array_equal(a.texture, c.texture)


def test_a_tube_is_a_cylinder() -> None:
    tube = pieces.tube([(0, 0, 0), (0, 0.5, 0), (0, 2, 0)], 0.5, sides=96)
    mesh = pieces.to_manifold(tube)
    assert mesh.volume() == pytest.approx(np.pi * 0.25 * 2, rel=2e-3)


def test_a_turned_profile_has_its_volume() -> None:
    cup = turnery.turned(np.array([(0, 0), (1, 0), (1, 1), (0.9, 1), (0.9, 0.1), (0, 0.1)]), sides=128)
    low, high = cup.bounds()
    assert (low[1], high[1]) == pytest.approx((0, 1))
    assert pieces.to_manifold(cup).volume() == pytest.approx(np.pi * (1 - 0.9**2 * 0.9), rel=2e-3)


def test_limbs_melt_into_one_solid_around_them() -> None:
    a, b = np.array([0.0, 0, 0]), np.array([0.0, 1, 0])
    mesh = pieces.to_manifold(bodies.melted([(a, b, 0.3, 0.3)], 0.05))
    assert mesh.volume() == pytest.approx(np.pi * 0.09 + 4 / 3 * np.pi * 0.027, rel=0.03)


def test_shards_take_procedural_objects_and_training_never_holds_them_out() -> None:
    options = data.DataOptions(size_px=32, target_px=16, views=3, kit_views=2, points=256, surface_points=64)
    sample = data.shard(procedural.rows(1, first=3)[0], options)
    assert sample["rgb"].shape == (2, 32, 32, 3)
    assert (sample["alpha"] > 128).any()
    inside = sample["distance"] < 0
    assert 0.02 < inside.mean() < 0.9
    assert sample["meta"]["licence"] == "CC0-1.0"
    assert object.origin(sample["meta"]["source"]) == "procedural"
