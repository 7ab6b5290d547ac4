"""Repair: every kind of damage ends in a sound solid near the truth, and what was sound stays bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import synthetic as shapes
from hypothesis import given, settings
from hypothesis import strategies as st

from liftform import topology
from liftform.assets import Material, Mesh
from liftform.errors import ReconstructionError
from liftform.refine import contour, fairing, holes, sides
from liftform.refine.complete import CompleteOptions, complete
from liftform.refine.repair import RepairOptions, repair
from liftform.refine.solidify import solidified
from liftform.refine.workpiece import Workpiece
from liftform.runtime import Runtime


def fixed(mesh: Mesh, **options) -> Mesh:
    """Repaired and checked: nothing that ``topology.health`` can find is left."""
    out = repair(RepairOptions(**options), Runtime())(mesh)
    found = topology.health(out.validate(), 1_000_000)
    assert found.manifold
    assert found.outward
    assert found.degenerate_faces == found.duplicate_faces == found.self_intersecting == 0
    return out


def volume(mesh: Mesh) -> float:
    return topology.signed_volume(*topology.merged(mesh))


def corners(mesh: Mesh) -> set[tuple[float, ...]]:
    """Every face as its positions and texture coordinates, wherever it starts."""
    rows = np.concatenate([mesh.vertices[mesh.faces], mesh.uv[mesh.faces]], -1)
    return {tuple(np.roll(row, -int(np.lexsort(row.T)[0]), axis=0).ravel().tolist()) for row in rows}


def test_a_sound_mesh_comes_back_as_it_is():
    mesh = shapes.textured_box()
    out = fixed(mesh)
    assert out.vertices is mesh.vertices
    assert out.faces is mesh.faces
    assert out.uv is mesh.uv
    assert out.metadata["repair"]["road"] == "local"


def test_untouched_faces_keep_positions_uv_and_materials_bit_for_bit():
    mesh = shapes.textured_box()
    two = mesh.with_(
        material=None,
        materials=(Material(name="a"), Material(name="b")),
        face_material=(np.arange(12) % 2).astype(np.int32),
        normals=None,
    )
    broken = two.with_(faces=two.faces[1:], face_material=two.face_material[1:])
    out = fixed(broken)
    assert corners(broken) <= corners(out)
    assert len(out.faces) == 12
    assert volume(out) == pytest.approx(1, abs=1e-6)
    names = {tuple(np.sort(f)): m for f, m in zip(out.faces.tolist(), out.face_material.tolist(), strict=True)}
    for face, material in zip(broken.faces.tolist(), broken.face_material.tolist(), strict=True):
        same = [f for f in names if np.array_equal(np.sort(out.uv[list(f)], 0), np.sort(broken.uv[face], 0))]
        assert same
        assert names[same[0]] == material


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 3e-5), st.floats(0, 0.5), st.floats(0, 0.05))
def test_soup_with_gaps_and_flipped_faces_is_sewn_outward(seed, gap, turned, missing):
    rng = np.random.default_rng(seed)
    ball = shapes.sphere(16, 24)
    faces = ball.faces[rng.random(len(ball.faces)) >= missing]
    points = ball.vertices[faces].reshape(-1, 3) + gap * rng.normal(size=(3 * len(faces), 3))
    soup = np.arange(3 * len(faces)).reshape(-1, 3)
    over = rng.random(len(soup)) < turned
    soup[over] = soup[over][:, ::-1]
    out = fixed(shapes.as_mesh(points, soup))
    assert volume(out) == pytest.approx(volume(ball), rel=0.01)


def test_overlapping_boxes_become_their_union_with_their_colours():
    two = shapes.joined(shapes.box(), shapes.box(centre=(0.5, 0.3, 0.2)))
    colors = np.repeat(np.float32([[1, 0, 0], [0, 0, 1]]), 8, axis=0)
    out = fixed(two.with_(colors=colors))
    assert volume(out) == pytest.approx(2 - 0.5 * 0.7 * 0.8, abs=1e-5)
    assert set(map(tuple, out.colors.tolist())) == {(1, 0, 0), (0, 0, 1)}


@pytest.mark.parametrize("shift", [(1, 0, 0), (1, 1, 0), (1, 1, 1)])
def test_boxes_that_touch_in_a_face_an_edge_or_a_point(shift):
    assert volume(fixed(shapes.joined(shapes.box(), shapes.box(centre=shift)))) == pytest.approx(2, abs=1e-3)


def test_inner_shells_floaters_and_fins_go():
    ball = shapes.sphere(20, 30)
    inner, floater = shapes.flipped(shapes.sphere(radius=0.8)), shapes.sphere(radius=0.03, centre=(1.3, 0, 0))
    fin = shapes.as_mesh([ball.vertices[50], ball.vertices[51], ball.vertices[50] * 1.1], [[0, 1, 2]])
    out = fixed(shapes.joined(ball, inner, floater, fin))
    assert len(out.faces) == len(ball.faces)
    counts = out.metadata["repair"]
    assert (counts["inner_shells"], counts["floaters"], counts["walls_and_fins"]) == (1, 1, 1)
    kept = repair(RepairOptions(inner=True, floaters=0.0), Runtime())(shapes.joined(ball, inner, floater))
    assert topology.health(kept).components == 3


def test_parts_near_each_other_are_no_floaters():
    beads = [shapes.sphere(8, 12, 0.05, (0.11 * i, 0, 0)) for i in range(9)]
    assert topology.health(fixed(shapes.joined(*beads))).components == 9


def test_spikes_through_the_other_side_are_cut_out():
    ball = shapes.sphere(40, 60)
    moved = ball.vertices.copy()
    moved[[200, 900, 1700]] *= -1.1
    out = fixed(ball.with_(vertices=moved))
    assert volume(out) == pytest.approx(volume(ball), rel=2e-3)
    assert np.linalg.norm(out.vertices, axis=1).max() < 1.001


def test_a_large_hole_continues_the_curvature_and_is_marked_unseen():
    ball = shapes.sphere(40, 60)
    open_ = ball.with_(faces=ball.faces[ball.vertices[ball.faces].mean(1)[:, 1] < 0.85])
    out = fixed(open_)
    new = out.seen == 0
    assert new.sum() > 50
    assert np.abs(np.linalg.norm(out.vertices[new], axis=1) - 1).max() < 0.03
    assert (out.vertices[new][:, 1] > 0.8).all()


def test_open_boundaries_stay_where_asked_but_small_holes_go():
    ball = shapes.sphere(40, 60)
    middle = ball.vertices[ball.faces].mean(1)
    gone = middle[:, 1] > 0.5
    gone[np.argmin(middle[:, 1])] = True
    out = repair(RepairOptions(open=True), Runtime())(ball.with_(faces=ball.faces[~gone]))
    assert topology.health(out).boundary_edges == 60


def test_a_sheet_becomes_a_slab():
    sheet = shapes.box().with_(faces=shapes.box().faces[:2])
    assert volume(fixed(sheet, thickness=0.01)) == pytest.approx(0.01 * np.sqrt(2), rel=0.02)


def test_a_strip_without_orientation_becomes_a_body():
    assert volume(fixed(shapes.moebius())) > 0


def test_solid_keeps_sharp_edges_exactly():
    angle = np.radians(20)
    spin = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    turn = spin @ spin[[1, 2, 0]][:, [1, 2, 0]]
    turned = shapes.box()
    turned = turned.with_(vertices=(turned.vertices @ turn.T).astype(np.float32))
    out = fixed(turned, road="solid", resolution=40)
    assert out.metadata["repair"]["road"] == "solid"
    assert volume(out) == pytest.approx(1, rel=2e-4)
    tips = np.linalg.norm(turned.vertices[:, None] - out.vertices[None], axis=2).min(1)
    assert tips.max() < 0.4 * out.metadata["repair"]["cell"]  # a tip may lie in a cell without a node inside
    near = np.abs(np.abs(out.vertices @ np.linalg.inv(turn).T).max(1) - 0.5)
    assert np.quantile(near, 0.97) < 1e-3


def test_solid_keeps_walls_thinner_than_a_cell():
    wall = shapes.box((1, 1, 0.004))
    out = fixed(wall, road="solid", resolution=40)
    assert topology.health(out).components == 1
    assert out.bounds[1, :2] - out.bounds[0, :2] == pytest.approx([1, 1], abs=0.03)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.2, 0.8))
def test_any_nodes_give_a_manifold(seed, share):
    inside = np.zeros((9, 9, 9), bool)
    inside[2:7, 2:7, 2:7] = np.random.default_rng(seed).random((5, 5, 5)) < share
    contour.well_composed(inside)
    none = [solid_hits() for _ in range(3)]
    vertices, quads, *_ = contour.dual(inside, none)
    faces = contour.triangulated(vertices, quads, np.zeros((len(quads), 3)))
    if len(faces):
        found = topology.health(Mesh(vertices.astype(np.float32), faces.astype(np.int32)), 0)
        assert found.manifold


def solid_hits():
    from liftform.refine.solidify import Crossings

    return Crossings(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int8), np.zeros((0, 3)))


def test_solid_of_nothing_is_nothing():
    points = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
    assert len(solidified(points, np.array([[0, 1, 2]]), 8)[1]) in (0, *range(4, 2000))


def test_a_rim_across_an_edge_is_filled_along_it():
    box = shapes.box()
    shared = [len(set(box.faces[0]) & set(face)) for face in box.faces.tolist()]
    square = np.abs(box.face_normals() @ box.face_normals()[0]) < 0.5
    neighbour = int(np.flatnonzero((np.array(shared) == 2) & square)[0])
    work = Workpiece.of(box.with_(faces=np.delete(box.faces, [0, neighbour], axis=0)))
    rims = holes.rims(work)
    assert len(rims) == 1
    whole = holes.filled(work, rims)
    assert volume(Mesh(whole.rounded, whole.faces.astype(np.int32))) == pytest.approx(1)


def test_a_plane_patch_stays_plane():
    n = 25
    grid = np.stack(np.meshgrid(np.arange(n), np.arange(n), [0], indexing="ij"), -1).reshape(-1, 3)
    at = np.arange(n * n).reshape(n, n)
    a, b, c, d = at[:-1, :-1], at[1:, :-1], at[1:, 1:], at[:-1, 1:]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    keep = np.abs(grid[faces].mean(1)[:, :2] - 12).max(1) > 6.1
    work = Workpiece.of(shapes.as_mesh(grid, faces[keep]))
    inner = [rim for rim in holes.rims(work) if rim.extent(work.points) < 20]
    out = fairing.faired(holes.filled(work, inner), len(work.faces))
    assert len(out.faces) > len(work.faces) + 60
    assert np.abs(out.points[:, 2]).max() < 1e-9
    assert out.areas.sum() == pytest.approx((n - 1) ** 2)


def test_patches_know_a_twisted_strip():
    found = sides.patches(Workpiece.of(shapes.moebius()).faces)
    assert found.orientable.tolist() == [False]


def test_a_missing_back_is_mirrored_and_marked():
    whole = shapes.marched(shapes.both(shapes.ball(0.3), shapes.brick((0.1, 0.1, 0.45))), 32, paint=shapes.waves)
    open_ = whole.with_(faces=whole.faces[whole.vertices[whole.faces].mean(1)[:, 2] > -0.2])
    out = complete(CompleteOptions(), Runtime())(open_)
    assert out.metadata["complete"]["method"] == "mirror"
    assert volume(out) == pytest.approx(volume(whole), rel=0.01)
    assert out.bounds[0, 2] == pytest.approx(-0.45, abs=0.01)
    assert (out.vertices[out.seen == 0][:, 2] < -0.15).all()
    assert (out.seen == 0).any()


def test_without_symmetry_a_missing_bottom_is_closed_smoothly():
    lump = shapes.both(shapes.ball(0.3), shapes.ball(0.2, (0.2, 0.2, 0.1)))
    whole = shapes.marched(lump, 32)
    open_ = whole.with_(faces=whole.faces[whole.vertices[whole.faces].mean(1)[:, 1] > -0.15])
    out = complete(CompleteOptions(symmetry=False), Runtime())(open_)
    assert out.metadata["complete"]["method"] == "smooth"
    assert topology.health(out).manifold
    assert (out.seen == 0).any()


def test_nothing_at_all_is_an_error_and_not_a_mesh():
    flat = shapes.as_mesh([[0, 0, 0], [1, 0, 0], [2, 0, 0]], [[0, 1, 2]])
    with pytest.raises(ReconstructionError, match="no surface"):
        repair(RepairOptions(), Runtime())(flat)


def test_the_same_mesh_gives_the_same_bytes():
    rng = np.random.default_rng(3)
    ball = shapes.sphere(20, 30)
    broken = ball.with_(faces=ball.faces[rng.random(len(ball.faces)) > 0.1])
    one, two = (repair(RepairOptions(), Runtime())(broken) for _ in range(2))
    assert one.vertices.tobytes() == two.vertices.tobytes()
    assert one.faces.tobytes() == two.faces.tobytes()
