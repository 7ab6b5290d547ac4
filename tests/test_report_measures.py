"""Figures of meshes whose walls, pose, polygons and layout are known."""

from __future__ import annotations

import numpy as np
import pytest
import synthetic
from hypothesis import given, settings
from hypothesis import strategies as st

from liftform.assets import Material, Model
from liftform.render import Scene
from liftform.report import measure
from liftform.report.defects import defects
from liftform.report.flow import polygons
from liftform.report.layout import layout
from liftform.report.measures import FIGURES, written
from liftform.report.solid import overhang, pose, walls


def flat(uv, size=64):
    """A mesh in the plane z = 0, two triangles for each four corners, whose texture coordinates are given apart."""
    corners = np.asarray(uv, np.float32).reshape(-1, 4, 2)
    places = np.concatenate([corners, np.zeros((*corners.shape[:2], 1), np.float32)], -1).reshape(-1, 3)
    start = 4 * np.arange(len(corners))[:, None]
    faces = (start + np.array([0, 1, 2, 0, 2, 3])).reshape(-1, 3)
    texture = np.zeros((size, size, 3), np.uint8)
    return synthetic.as_mesh(places, faces, uv=corners.reshape(-1, 2), material=Material(texture))


def square(u, v, width, height):
    return [(u, v), (u + width, v), (u + width, v + height), (u, v + height)]


def quad_tube(rows=24, columns=16, twist=0.0):
    """An open tube along y of quads, turned by ``twist`` columns from end to end."""
    i, j = np.meshgrid(np.arange(rows + 1), np.arange(columns), indexing="ij")
    angle = 2 * np.pi * (j + twist * i / rows) / columns
    vertices = np.stack([0.2 * np.sin(angle), i / rows, 0.2 * np.cos(angle)], -1).reshape(-1, 3)
    at = (i * columns + j)[:-1]
    right, up = (i * columns + (j + 1) % columns)[:-1], at + columns
    both = right + columns
    faces = np.stack([at, right, both, at, both, up], -1).reshape(-1, 3)
    return synthetic.as_mesh(vertices, faces, quads=rows * columns)


def test_walls_of_a_hollow_box():
    outer, inner = synthetic.box((2, 2, 2)), synthetic.flipped(synthetic.box((1.8, 1.8, 1.8)))
    found = walls(Scene(synthetic.joined(outer, inner)), 1.0)
    assert found.measured == 1.0
    assert found.percentiles()["p5"] == pytest.approx(0.1, rel=1e-3)
    assert found.below(0.09) == 0.0
    assert found.below(0.11) > 0.8


@settings(max_examples=20, deadline=None)
@given(st.floats(1e-4, 1e4), st.tuples(*[st.floats(-10, 10)] * 3))
def test_wall_of_a_sphere_is_its_diameter(radius, centre):
    ball = synthetic.sphere(24, 32, radius, np.array(centre) * radius)
    for mesh, outward in ((ball, 1.0), (synthetic.flipped(ball), -1.0)):
        found = walls(Scene(mesh), outward)
        assert found.measured > 0.99
        assert found.percentiles()["p50"] == pytest.approx(2 * radius, rel=0.03)


def test_overlapping_parts_are_one_wall():
    leg, seat = synthetic.box((0.2, 1, 0.2)), synthetic.box((1, 0.2, 1), (0, 0.5, 0))
    found = walls(Scene(synthetic.joined(leg, seat)), 1.0)
    assert found.measured > 0.99
    assert found.percentiles()["p1"] == pytest.approx(0.2, rel=1e-3)  # not 0.1, as the hidden parts have


def test_an_open_sheet_has_no_walls():
    box = synthetic.box()
    assert walls(Scene(box.with_(faces=box.faces[2:4])), 1.0).measured == 0.0


def test_overhang_of_a_table():
    table = synthetic.joined(synthetic.box((1, 1, 1)), synthetic.box((3, 1, 3), (0, 1, 0)))
    assert overhang(table, 1.0) == pytest.approx(9 / (6 + 2 * 9 + 4 * 3))
    assert overhang(synthetic.box(), 1.0) == 0.0  # what lies on the bed does not hang


def test_pose_of_boxes():
    stands = pose(synthetic.box((1, 2, 1), (0, 1, 0)), True)
    assert stands.tipping_deg == pytest.approx(np.degrees(np.arctan(0.5)), abs=1e-3)
    assert (stands.off_floor, stands.off_centre, stands.contact, stands.up) == pytest.approx((0, 0, 1, "+Y"))
    moved = pose(synthetic.box((1, 2, 1), (1, 2, 0)), True)
    assert (moved.off_floor, moved.off_centre) == pytest.approx((0.5, 0.5))


def test_a_thing_on_its_edge_asks_to_be_turned():
    wedge = synthetic.box((1, 1, 3))
    turn = np.array([[1, -1, 0], [1, 1, 0], [0, 0, np.sqrt(2)]]) / np.sqrt(2)
    found = pose(wedge.with_(vertices=(wedge.vertices @ turn.T).astype(np.float32)), True)
    assert found.tipping_deg < 1
    assert found.up in ("+Z", "-Z")


def test_quads_follow_a_tube_and_twisted_ones_do_not():
    straight, twisted = polygons(quad_tube()), polygons(quad_tube(twist=-8))
    assert (straight.quads, straight.triangles, straight.quad_share) == (384, 0, 1.0)
    assert straight.regular == 1.0
    assert straight.flow == pytest.approx(1.0)
    assert twisted.flow < 0.7
    as_triangles = polygons(quad_tube().with_(quads=0))
    assert as_triangles.quad_share == 0
    assert as_triangles.regular == 1.0  # six edges at every vertex


def test_slivers_are_counted():
    thin = synthetic.as_mesh([(0, 0, 0), (1, 0, 0), (0.5, 0.01, 0), (0.5, -1, 0)], [(0, 1, 2), (1, 0, 3)])
    assert polygons(thin).slivers == 0.5


def test_layout_density_and_overlap_are_exact():
    apart = layout(flat([square(0, 0, 0.5, 0.5), square(0.5, 0.5, 0.5, 0.5)]))
    assert (apart.coverage, apart.overlap, apart.outside) == (0.5, 0.0, 0.0)
    assert apart.density == pytest.approx(64)  # the plane is as large as the unit square
    assert apart.stretch == pytest.approx(1, abs=1e-4)
    assert layout(flat([square(0, 0, 0.5, 0.5), square(0.25, 0, 0.5, 0.5)])).overlap == pytest.approx(1 / 3)
    assert layout(flat([square(0.5, 0.5, 1, 1)])).outside == 1.0


def test_stretch_and_spread():
    mesh = flat([square(0, 0, 0.4, 0.4), square(0.5, 0.5, 0.4, 0.4)])
    wide = mesh.with_(vertices=mesh.vertices * np.float32([3, 1, 1]))
    assert layout(wide).stretch == pytest.approx(3, rel=1e-3)
    uneven = mesh.vertices.copy()
    uneven[4:] *= 2
    assert layout(mesh.with_(vertices=uneven)).spread == pytest.approx(2, rel=1e-3)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_triangulated_square_never_overlaps_itself(seed):
    from scipy.spatial import Delaunay

    points = np.vstack([np.random.default_rng(seed).random((40, 2)), [(0, 0), (0, 1), (1, 0), (1, 1)]])
    points = points.astype(np.float32)
    places = np.c_[points, np.zeros(len(points))]
    found = layout(synthetic.as_mesh(places, Delaunay(points).simplices, uv=points))
    assert found.overlap == 0.0
    assert found.coverage == pytest.approx(1.0, abs=1e-3)


def test_units_are_never_guessed():
    box = synthetic.textured_box()
    unknown, stated = measure(box), measure(box, metres=0.01)
    assert (unknown.scale, unknown.metres, stated.scale) == ("unknown", None, "metric")
    assert unknown.figures()["wall_p1"] is None
    assert unknown.figures()["density"] is None
    assert stated.figures()["wall_p1"] == pytest.approx(10, rel=1e-3)
    assert "mm" not in unknown.to_dict()["walls"]
    assert stated.to_dict()["extent"] == pytest.approx([0.01] * 3)
    said = {"scale": {"unit": "metre", "size": [1, 1, 1]}, "file": {"format": "glTF", "warnings": []}}
    assert measure(box.with_(metadata=said)).scale == "format"  # every glTF says metres
    said["scale"]["from"] = "given height"
    assert measure(box.with_(metadata=said)).scale == "metric"


def test_every_figure_has_a_title_and_can_be_written():
    found = measure(Model(synthetic.textured_box(), (synthetic.box(),), (synthetic.box(),)))
    assert found.levels == 2
    figures = found.figures()
    assert set(figures) == set(FIGURES)
    assert all(written(name, value) for name, value in figures.items())
    assert written("overhang", 0.5) == "50%"
    assert written("file_bytes", 3e6) == "3 MB"


def test_defects_are_where_they_are():
    ball, far = synthetic.sphere(24, 32), synthetic.box((0.1, 0.1, 0.1), (3, 0, 0))
    near, through = synthetic.box((0.1, 0.1, 0.1), (1.05, 0, 0)), synthetic.box((0.1, 3, 0.1))
    holed = ball.with_(faces=ball.faces[1:])
    found = defects(synthetic.joined(holed, far, near, through))
    assert (len(found.borders), len(found.nonmanifold), found.pieces) == (3, 0, 1)
    assert np.flatnonzero(found.floating).tolist() == list(range(len(holed.faces), len(holed.faces) + 12))
    assert found.cutting[-12:].any()
    fin = synthetic.as_mesh([(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1)], [(0, 1, 2), (1, 0, 3), (0, 1, 4)])
    assert defects(fin).counts()["nonmanifold"] == 1
