"""The damage bench: damage is damage, the judge finds what was done, and the tables add up."""

from __future__ import annotations

import os
import sys
from dataclasses import replace

import numpy as np
import pytest
import synthetic as shapes

from liftform import topology
from liftform.evaluate import damage, damage_cases, damage_kinds, damage_peers, finish
from liftform.evaluate.damage_cases import Case
from liftform.refine.repair import RepairOptions, repair
from liftform.runtime import Runtime


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


def test_ways_are_compared_on_the_cases_that_all_had():
    good = {"group": "hole", "strength": 0, "seconds": 1.0, "road": "", "valid": True, "crossings": 0, "hausdorff": 0.0}
    records = [
        {**good, "case": case, "way": way} for case, way in (("a", "liftform"), ("b", "liftform"), ("a", "peer"))
    ]
    grid = damage.grids(records)[0]
    assert [row[:2] for row in grid.rows] == [("liftform", "1"), ("peer", "1")]
    assert "the 1 of 2" in grid.title


def test_noise_that_folds_is_relaxed_not_cut():
    axis = np.linspace(-1, 1, 65)
    away = np.linalg.norm(np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1), axis=-1)
    ball = damage_cases._marched(away - 0.7, 64)
    noise = np.random.default_rng(3).normal(size=ball.vertices.shape, scale=0.15 * 2 / 64)
    noisy = ball.with_(vertices=(ball.vertices + noise).astype(np.float32))
    done = repair(RepairOptions(), Runtime())(noisy)
    facts = done.metadata["repair"]
    assert topology.health(noisy).self_intersecting > 10
    assert topology.health(done).self_intersecting == 0
    assert facts["road"] == "local"
    assert facts["points_relaxed"] > facts["faces_cut"]


@pytest.mark.parametrize("kind", finish.DAMAGE)
def test_meshes_to_be_finished_are_broken_and_of_the_size_asked_for(kind):
    mesh = finish.made(kind, 4000)
    assert 2500 < len(mesh.faces) < 5000
    found = topology.health(mesh)
    assert not found.manifold
    assert found.components > 1
    assert (mesh.uv is None) == (kind == "scan")


def test_limits_of_finishing_are_told():
    slow = finish.Finish("scan", finish.LIMIT_SIZE, "local", seconds=9.0, memory_mb=100.0)
    assert not finish.within([slow])
    assert finish.grids([slow])[0].rows[0][-1] == "NO"
    assert finish.within([replace(slow, seconds=1.0)])


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_a_peer_may_crash_or_never_end():
    def forever(mesh):
        while True:
            pass

    assert len(damage_peers.limited(lambda mesh: mesh)(shapes.box()).faces) == 12
    for bad in (forever, lambda mesh: os._exit(3)):
        with pytest.raises(RuntimeError, match="crashed, or took more"):
            damage_peers.limited(bad, 1)(shapes.box())
    with pytest.raises(RuntimeError, match="AttributeError"):
        damage_peers.limited(lambda mesh: mesh.nothing)(shapes.box())
