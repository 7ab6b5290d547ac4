"""Quads: pairing, subdividing and drawing back keep a surface whole; the whole stage, where Instant Meshes is there."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest
from scipy.spatial import cKDTree
from synthetic import as_mesh, ball, both, box, brick, grid_torus, marched, sphere

from liftform.errors import MissingExtraError
from liftform.refine.polygons import Polygons, paired, regularity, squareness, subdivided
from liftform.refine.retopo import RetopoOptions, retopo
from liftform.refine.settle import Ground, Held, away, crossings, settled
from liftform.refine.walking import completed
from liftform.runtime import Runtime
from liftform.topology import health

needs_field = pytest.mark.skipif(importlib.util.find_spec("pyinstantmeshes") is None, reason="needs the extra quads")


def of(mesh):
    return mesh.vertices.astype(np.float64), mesh.faces.astype(np.int64)


def test_pairing_a_grid_gives_its_squares():
    mesh = grid_torus(24, 12)
    polygons = paired(*of(mesh))
    assert polygons.count == len(polygons.quads) == 24 * 12
    assert health(polygons.mesh()).manifold
    assert {tuple(sorted(f)) for f in polygons.halves} == {tuple(sorted(f)) for f in mesh.faces.tolist()}


def test_few_triangles_stay_alone():
    mesh = sphere(16, 15)  # an odd number of triangles around the poles
    polygons = paired(*of(mesh))
    assert len(polygons.triangles) < 0.03 * polygons.count
    assert squareness(polygons.points, polygons.quads).min() > 0.05


def test_subdividing_leaves_quads_alone_on_the_same_surface():
    for mesh in (sphere(8, 9), box()):
        fine = subdivided(paired(*of(mesh)))
        found = health(fine.mesh())
        assert len(fine.triangles) == 0
        assert found.manifold
        assert found.volume == pytest.approx(health(mesh).volume, rel=1e-5)


def test_squareness_of_a_square_a_dart_and_a_fold():
    points = np.array([(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (0.8, 0.8, 0), (0.1, 0.1, 0)], float)
    got = squareness(points, np.array([(0, 1, 2, 3), (1, 2, 3, 4), (0, 1, 2, 5)]))
    assert got[0] == pytest.approx(1)
    assert (got[1:] == 0).all()


def test_settling_finds_the_corners_of_a_box_and_turns_nothing():
    ground = Ground(box((1.0, 0.8, 0.6)))
    rough = marched(brick((0.49, 0.38, 0.29)), 14)  # its edges are cut off
    polygons = subdivided(paired(*of(rough)))
    assert health(rough).volume < 0.43
    out = settled(polygons, ground, Held(np.zeros(len(polygons.points), bool)))
    assert 0.44 < health(out.mesh()).volume < 0.481  # of 0.48: the edges are found too
    assert len(crossings(out)) == 0
    assert len(away(out, ground)) <= 2
    assert health(out.mesh()).manifold


def test_regularity_of_a_torus():
    mesh = paired(*of(grid_torus(40, 20))).mesh()
    found = regularity(mesh)
    assert (found.quads, found.valence4) == (1.0, 1.0)
    assert found.aspect == pytest.approx(1.65, abs=0.3)


@needs_field
@pytest.mark.parametrize("kind", ["dominant", "pure"])
def test_quads_over_a_symmetric_body(kind):
    source = marched(both(brick((0.4, 0.2, 0.3)), ball(0.28, (0, 0.15, 0))), 40)
    out = retopo(RetopoOptions(kind, faces=1600), Runtime())(source).validate()
    facts, found = out.metadata["retopo"], health(out)
    assert (found.manifold, found.outward, found.self_intersecting) == (True, True, 0)
    assert facts["quads"] >= (1.0 if kind == "pure" else 0.95)
    assert 1200 < facts["faces"] < 2000
    assert facts["symmetry"] == "x"
    there = out.vertices.astype(float) * (-1, 1, 1) + (2 * source.bounds[:, 0].mean(), 0, 0)
    assert cKDTree(out.vertices).query(there)[0].max() < 1e-5
    assert facts["deviation"]["mean_there"] < 0.002
    assert facts["valence4"] > 0.8
    assert facts["flipped"] == 0


@needs_field
def test_an_open_sheet_stays_open():
    n = 20
    x, y = (k.ravel() / n for k in np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij"))
    at = np.arange((n + 1) ** 2).reshape(n + 1, n + 1)
    a, b, c, d = (k.ravel() for k in (at[:-1, :-1], at[1:, :-1], at[1:, 1:], at[:-1, 1:]))
    sheet = as_mesh(np.stack([x, y, 0.1 * np.sin(4 * x)], 1), np.r_[np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    out = retopo(RetopoOptions("dominant", faces=200), Runtime())(sheet)
    assert out.metadata["retopo"]["quads"] == 1.0
    assert health(out).components == 1
    assert health(out).boundary_edges > 0
    np.testing.assert_allclose(out.bounds[:, :2], [[0, 0], [1, 1]], atol=1e-6)


def test_without_the_extra_the_error_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyinstantmeshes", None)
    with pytest.raises(MissingExtraError, match=r"liftform\[quads\]"):
        retopo(RetopoOptions("pure"), Runtime())


def test_polygons_become_a_mesh_with_quads_first():
    points = np.array([(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (2, 0.5, 0)], float)
    mesh = Polygons(points, np.array([(0, 1, 2, 3)]), np.array([(1, 4, 2)])).mesh()
    assert mesh.quads == 1
    np.testing.assert_array_equal(mesh.polygons[0], [[0, 1, 2, 3]])
    np.testing.assert_array_equal(mesh.polygons[1], [[1, 4, 2]])


def test_triangles_walk_to_each_other_and_leave_quads():
    """Two triangles far apart in a closed mesh of quads: the quads between them are cut anew."""
    mesh = grid_torus(16, 10)
    whole = paired(*of(mesh))
    quads = whole.quads.tolist()
    first, last = quads[0], quads[len(quads) // 2]
    inside = [(0.5, 0.2, 0.1, 0.2) @ whole.points[quad] for quad in (first, last)]
    points = np.concatenate([whole.points, inside])
    fans = []
    for middle, quad in ((len(points) - 2, first), (len(points) - 1, last)):  # a quad and two triangles in place of one
        a, b, c, d = quad
        fans += [(a, b, middle), (d, a, middle)]
        quads.append([b, c, d, middle])
    rest = [quad for quad in quads if quad not in (first, last)]
    odd = Polygons(points, np.array(rest), np.array(fans))
    out = completed(odd, 0.1)
    assert len(out.triangles) == 0
    assert out.count == odd.count - 2
    assert health(out.mesh()).manifold
    assert squareness(out.points, out.quads).min() > 0.09
    assert completed(odd, 0.1, farthest=0.0).count == odd.count
    assert completed(odd, 2.0).count == odd.count  # nothing is so square
