"""The damage bench: damage is damage, the judge finds what was done, and the tables add up."""

from __future__ import annotations

import numpy as np
import pytest
import synthetic as shapes

from liftform import topology
from liftform.evaluate import damage, damage_cases, damage_kinds
from liftform.evaluate.damage_cases import Case


@pytest.mark.parametrize("kind", damage_kinds.KINDS)
def test_each_kind_breaks_something_and_says_the_same_twice(kind):
    mesh = damage_cases.painted(shapes.grid_torus(), 0)
    one, two = (damage_kinds.broken(mesh, kind, 1, np.random.default_rng(5))[0] for _ in range(2))
    assert one.vertices.tobytes() == two.vertices.tobytes()
    assert one.faces.tobytes() == two.faces.tobytes()
    found = topology.health(one)
    sound = found.manifold and found.outward and not found.degenerate_faces and not found.self_intersecting
    assert not sound or found.components > 1


def test_refined_meshes_stay_closed_at_seams():
    fine = damage_kinds.refined(shapes.textured_box(), 200)
    assert len(fine.faces) == 768
    assert topology.health(fine).manifold


def test_shapes_made_here_can_serve_as_truth():
    for name, mesh in damage_cases.shapes():
        assert topology.health(mesh).outward, name
        assert damage_kinds.sound(mesh), name


def test_the_judge_measures_a_known_shift():
    pytest.importorskip("igl")
    box = shapes.box()
    higher = box.with_(vertices=box.vertices + np.float32([0, 0.1, 0]))
    found = damage.closeness(higher, Case("box", "moved", 0, box, box))
    assert found["hausdorff"] == pytest.approx(0.1 / np.sqrt(3), abs=1e-3)
    assert found["volume_error"] == pytest.approx(0, abs=1e-6)


def test_failures_count_against_a_way():
    good = {"case": "a", "group": "hole", "strength": 0, "way": "liftform", "seconds": 1.0, "road": "local"}
    good |= {"valid": True, "crossings": 0, "hausdorff": 0.001, "volume_error": 0.0}
    bad = {"case": "b", "group": "hole", "strength": 0, "way": "liftform", "seconds": 1.0, "error": "no"}
    row = damage.grids([good, bad])[0].rows[0]
    assert row[:4] == ("liftform", "2", "50.0 %", "50.0 %")
