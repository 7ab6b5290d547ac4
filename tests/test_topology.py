"""topology: figures known by construction, and an exact oracle for crossing triangles."""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from synthetic import as_mesh, box, flipped, grid_torus, joined, moebius, sphere, textured_box

from liftform.errors import InputError
from liftform.topology import (
    _Boxes,
    components,
    degenerate,
    health,
    merge_map,
    merged,
    self_intersections,
    signed_volume,
    signed_volumes,
)


@pytest.mark.parametrize(
    ("mesh", "genus"), [(box(), 0), (sphere(), 0), (grid_torus(), 1)], ids=["box", "sphere", "torus"]
)
def test_sound_shapes_are_sound(mesh, genus):
    found = health(mesh)
    assert found.watertight
    assert found.manifold
    assert found.outward
    assert (found.genus, found.components, found.euler) == (genus, 1, 2 - 2 * genus)
    assert (found.vertices, found.faces) == (len(mesh.vertices), len(mesh.faces))
    defects = ("boundary_edges", "nonmanifold_edges", "flipped_edges", "nonmanifold_vertices")
    defects += ("degenerate_faces", "duplicate_faces", "self_intersecting")
    assert {name: getattr(found, name) for name in defects} == dict.fromkeys(defects, 0)


def test_measures_of_a_box():
    found = health(box(size=(2, 3, 4), centre=(10, 20, 30)))
    assert found.volume == pytest.approx(24)
    assert found.area == pytest.approx(52)
    assert found.bounds == ((9, 18.5, 28), (11, 21.5, 32))


def test_volume_of_a_fine_torus():
    assert health(grid_torus(96, 48), 0).volume == pytest.approx(2 * np.pi**2 * 0.3**2, rel=5e-3)


def test_seams_are_no_defect():
    found = health(textured_box())
    assert (found.vertices, found.vertices_stored) == (8, 24)
    assert found.manifold
    assert found.outward


def test_open_box():
    found = health(box().with_(faces=box().faces[2:]))
    assert (found.boundary_edges, found.watertight, found.manifold, found.outward) == (4, False, False, False)
    assert (found.euler, found.genus, found.nonmanifold_vertices) == (1, None, 0)


def test_moebius_strip_cannot_be_oriented():
    found = health(moebius(24))
    assert (found.boundary_edges, found.flipped_edges, found.nonmanifold_edges) == (48, 1, 0)
    assert (found.euler, found.watertight, found.outward) == (0, False, False)


def test_inside_out_sphere():
    found = health(flipped(sphere()))
    assert found.manifold
    assert not found.outward
    assert found.volume < 0


def test_one_flipped_face():
    faces = box().faces.copy()
    faces[5] = faces[5][::-1]
    found = health(box().with_(faces=faces))
    assert (found.watertight, found.flipped_edges, found.manifold, found.outward) == (True, 3, False, False)


def test_two_apart_and_an_inner_shell():
    apart = health(joined(sphere(), sphere(centre=(3, 0, 0))))
    assert (apart.components, apart.genus, apart.outward, apart.self_intersecting) == (2, 0, True, 0)
    hollow = health(joined(sphere(), flipped(sphere(radius=0.5))))
    assert (hollow.components, hollow.manifold, hollow.outward) == (2, True, False)
    assert hollow.volume == pytest.approx(health(sphere()).volume * 7 / 8, rel=1e-5)


def test_two_boxes_meeting_in_a_corner():
    found = health(joined(box(), box(centre=(1, 1, 1))))
    assert (found.vertices, found.nonmanifold_vertices, found.components) == (15, 1, 2)
    assert (found.watertight, found.manifold, found.genus) == (True, False, None)


def test_two_boxes_meeting_in_an_edge():
    found = health(joined(box(), box(centre=(1, 1, 0))))
    assert (found.vertices, found.nonmanifold_edges, found.components) == (14, 1, 1)
    assert (found.watertight, found.manifold) == (False, False)


def test_degenerate_and_duplicate_faces():
    corner = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [2, 0, 0], [1, 1e-9, 0]]
    mesh = as_mesh(corner, [[0, 1, 2], [2, 0, 1], [1, 0, 2], [0, 1, 3], [0, 0, 2], [0, 3, 4]])
    assert degenerate(mesh.vertices, mesh.faces).tolist() == [False, False, False, True, True, True]
    found = health(mesh)
    assert (found.degenerate_faces, found.duplicate_faces) == (3, 2)


def test_small_is_not_degenerate():
    tiny = sphere(radius=1e-6)
    assert health(tiny).degenerate_faces == 0
    assert health(tiny).self_intersecting == 0


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_a_crossing_pair(scale):
    flat = [[0, 0, 0], [4, 0, 0], [0, 4, 0]]
    upright = [[1, 1, -1], [1, 1, 1], [1, 2, 0]]
    mesh = as_mesh(np.array(flat + upright) * scale, [[0, 1, 2], [3, 4, 5]])
    assert self_intersections(mesh.vertices, mesh.faces).tolist() == [[0, 1]]
    beside = mesh.vertices.copy()
    beside[3:, 2] += 1.01 * scale
    assert len(self_intersections(beside, mesh.faces)) == 0


def test_touching_is_not_crossing():
    stacked = joined(box(), box(size=(0.3, 1, 0.3), centre=(0.25, 1, 0.25)))
    pairs = {tuple(pair) for pair in self_intersections(*merged(stacked)).tolist()}
    # The lower lid (6, 7) and the upper floor (16, 17) overlap in one plane; everything else only touches.
    assert pairs
    assert pairs <= {(6, 16), (6, 17), (7, 16), (7, 17)}
    assert len(self_intersections(*merged(joined(box(), box(centre=(0.2, 1.0001, 0)))))) == 0


def test_two_spheres_cross_in_a_ring():
    mesh = joined(sphere(24, 32), sphere(24, 32, centre=(0.7, 0.1, 0.05)))
    pairs = self_intersections(*merged(mesh))
    first = len(sphere(24, 32).faces)
    assert len(pairs) > 40
    assert (pairs[:, 0] < first).all()
    assert (pairs[:, 1] >= first).all()


def test_too_many_faces_are_not_counted_and_it_is_said():
    found = health(sphere(), intersection_limit=100)
    assert found.self_intersecting is None
    assert "100 faces" in found.note
    assert self_intersections(*merged(joined(*[sphere()] * 8)), max_pairs=1000) is None


@settings(max_examples=300, deadline=None)
@given(arrays(np.int8, (6, 3), elements=st.integers(-4, 4)))
def test_crossing_agrees_with_exact_arithmetic(corners):
    faces = np.array([[0, 1, 2], [3, 4, 5]])
    if degenerate(corners, faces).any():
        return
    assert bool(len(self_intersections(corners.astype(np.float32), faces))) == interiors_meet(
        corners[:3].tolist(), corners[3:].tolist()
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 70), st.integers(0, 2**32 - 1))
def test_tree_finds_every_pair_of_boxes(count, seed):
    rng = np.random.default_rng(seed)
    corners = rng.random((count, 1, 3)) + rng.normal(size=(count, 3, 3)) * rng.choice([0.01, 0.1, 1], (count, 1, 1))
    low, high = corners.min(1), corners.max(1)
    want = {(i, j) for i, j in combinations(range(count), 2) if (low[i] <= high[j]).all() and (low[j] <= high[i]).all()}
    among = rng.random(count) < 0.2
    some = {pair for pair in want if among[list(pair)].any()}
    for marks, expected in ((None, want), (among, some)):
        portions = list(_Boxes.of(corners, marks).overlapping(portion=50))
        got = [tuple(sorted(pair)) for portion in portions for pair in zip(*portion, strict=True)]
        assert len(got) == len(set(got))
        assert set(got) == expected


@settings(max_examples=50, deadline=None)
@given(arrays(np.float32, (20, 3), elements=st.sampled_from([-1.5, -0.0, 0.0, 0.25, 7.0])))
def test_merge_map_numbers_first_occurrences(positions):
    first, index = merge_map(positions)
    assert (positions[first][index] == positions).all()
    assert len(np.unique(positions + np.float32(0), axis=0)) == len(first)
    assert (np.diff(first) > 0).all()
    assert all(index[f] == k for k, f in enumerate(first))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_figures_do_not_depend_on_order_or_place(seed):
    rng = np.random.default_rng(seed)
    mesh = joined(grid_torus(9, 5), box(centre=(0, 2, 0)), sphere(4, 5, centre=(4, 0, 0)))
    order = rng.permutation(len(mesh.vertices))
    back = np.argsort(order)
    turned = np.stack([np.roll(f, rng.integers(3)) for f in rng.permutation(mesh.faces)])
    shuffled = as_mesh(mesh.vertices[order] + 1, back[turned])
    a, b = health(mesh).to_dict(), health(shuffled).to_dict()
    for name in ("volume", "area"):
        assert a.pop(name) == pytest.approx(b.pop(name), rel=1e-5)
    a.pop("bounds"), b.pop("bounds")
    assert a == b
    assert a["genus"] == 1


def test_components_and_their_volumes():
    mesh = joined(box(), flipped(box(size=(2, 1, 1), centre=(5, 0, 0))), box(size=(3, 1, 1), centre=(0, 5, 0)))
    labels = components(mesh.faces)
    assert labels.tolist() == [0] * 12 + [1] * 12 + [2] * 12
    assert signed_volumes(mesh.vertices, mesh.faces, labels) == pytest.approx([1, -2, 3])
    assert signed_volume(mesh.vertices, mesh.faces) == pytest.approx(2)


def test_merged_keeps_faces_in_order():
    positions, faces = merged(textured_box())
    assert (positions.shape, positions.dtype, faces.dtype) == ((8, 3), np.float32, np.int32)
    assert (positions[faces] == textured_box().vertices[textured_box().faces]).all()


def test_health_is_json_ready_and_refuses_what_is_no_mesh():
    text = json.dumps(health(box()).to_dict())
    assert json.loads(text)["bounds"] == [[-0.5] * 3, [0.5] * 3]
    with pytest.raises(InputError, match="no faces"):
        health(box().with_(faces=np.zeros((0, 3), np.int32)))


# --- exact oracle: do the relative interiors of two triangles with integer corners meet? (intervals, Moeller 1997) ---


def interiors_meet(p, q):
    heights_q, heights_p = heights(p, q), heights(q, p)
    if not any(heights_q):
        return coplanar_interiors_meet(p, q)
    if not (min(heights_q) < 0 < max(heights_q) and min(heights_p) < 0 < max(heights_p)):
        return False
    line = cross(normal(p), normal(q))
    low_p, high_p = span(p, heights_p, line)
    low_q, high_q = span(q, heights_q, line)
    return max(low_p, low_q) < min(high_p, high_q)


def heights(plane, points):
    return [dot(normal(plane), sub(point, plane[0])) for point in points]


def span(triangle, height, line):
    """Where the triangle crosses the other plane, as the interval of positions along the line."""
    along = [dot(line, corner) for corner in triangle]
    ends = []
    for i, j in ((0, 1), (1, 2), (2, 0)):
        if height[i] * height[j] < 0:
            ends.append(along[i] + Fraction(height[i], height[i] - height[j]) * (along[j] - along[i]))
    ends += [a for a, h in zip(along, height, strict=True) if h == 0]
    return min(ends), max(ends)


def coplanar_interiors_meet(p, q):
    n = normal(p)
    for triangle in (p, q):
        for i in range(3):
            axis = cross(n, sub(triangle[(i + 1) % 3], triangle[i]))
            on_p, on_q = [dot(axis, c) for c in p], [dot(axis, c) for c in q]
            if max(on_p) <= min(on_q) or max(on_q) <= min(on_p):
                return False
    return True


def normal(t):
    return cross(sub(t[1], t[0]), sub(t[2], t[0]))


def sub(a, b):
    return [x - y for x, y in zip(a, b, strict=True)]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def cross(a, b):
    return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
