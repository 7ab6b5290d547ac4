"""Collision parts: closed, convex, named, covering the mesh; hulls where the extra is missing."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest
from synthetic import as_mesh, box, joined, marched, ring, sphere

from liftform.errors import MissingExtraError, ReconstructionError
from liftform.refine.collide import CollideOptions, collision
from liftform.runtime import Runtime
from liftform.topology import health


def convex(mesh):
    """Whether no vertex lies outside any face."""
    heights = (mesh.vertices[None] - mesh.vertices[mesh.faces[:, 0]][:, None]) @ mesh.face_normals()[..., None]
    return heights.max() < 1e-4


def test_hulls_are_one_for_each_component():
    mesh = joined(sphere(10, 12), box((0.5, 0.5, 0.5), (3, 0, 0))).with_(name="thing")
    parts = collision(mesh, CollideOptions(method="hulls"), Runtime())
    assert [part.name for part in parts] == ["thing_collision_00", "thing_collision_01"]
    assert all(health(part).manifold and convex(part) for part in parts)
    assert parts[0].metadata["collide"]["volume_ratio"] == pytest.approx(1, abs=1e-3)


@pytest.mark.skipif(importlib.util.find_spec("coacd") is None, reason="needs the extra collision")
def test_a_ring_keeps_its_hole():
    mesh = marched(ring(0.3, 0.1), 32)
    parts = collision(mesh, CollideOptions(method="parts", parts=12), Runtime())
    assert 4 <= len(parts) <= 12
    assert all(health(part).watertight and convex(part) for part in parts)
    assert parts[0].metadata["collide"]["volume_ratio"] < 1.6  # one hull would be 2.7
    middle = np.zeros(3)
    assert not any(_inside(part, middle) for part in parts)


def _inside(mesh, point):
    at = mesh.vertices[mesh.faces[:, 0]]
    return (((point - at) * mesh.face_normals()).sum(1) < 0).all()


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "coacd", None)
    assert collision(box(), CollideOptions("auto"), Runtime())[0].metadata["collide"]["method"] == "hulls"
    with pytest.raises(MissingExtraError, match="collision"):
        collision(box(), CollideOptions(method="parts"), Runtime())


def test_a_flat_mesh_has_no_collision_shape():
    flat = as_mesh([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [(0, 1, 2)])
    with pytest.raises(ReconstructionError):
        collision(flat, CollideOptions(method="hulls"), Runtime())
