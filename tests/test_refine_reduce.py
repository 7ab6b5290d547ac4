"""Reduction: lines keep their place and uv, what is closed or manifold stays so, bounds hold; levels of detail."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import as_mesh, ball, both, box, brick, grid_torus, joined, marched, sphere, waves

from liftform.assets import Material
from liftform.errors import UsageError
from liftform.refine.collapse import Piece, collapsed
from liftform.refine.deviation import Yardstick
from liftform.refine.lods import lods
from liftform.refine.reduce import ReduceOptions, reduce
from liftform.refine.unwrap import UnwrapOptions, unwrap
from liftform.runtime import Runtime
from liftform.topology import health


def reduced(mesh, **options):
    return reduce(ReduceOptions(**options), Runtime())(mesh).validate()


def sheet(cells=20):
    """A flat unit square of two materials, left and right, each with a chart of its own."""
    faces, vertices, uv, material = [], [], [], []
    for half in (0, 1):
        x, y = np.meshgrid(np.arange(cells // 2 + 1) + half * cells // 2, np.arange(cells + 1), indexing="ij")
        at = sum(len(v) for v in vertices) + np.arange(x.size).reshape(x.shape)
        a, b, c, d = (k.ravel() for k in (at[:-1, :-1], at[1:, :-1], at[1:, 1:], at[:-1, 1:]))
        faces += [np.stack([a, b, c], 1), np.stack([a, c, d], 1)]
        material += [half] * (2 * len(a))
        vertices.append(np.stack([x.ravel(), y.ravel(), 0 * x.ravel()], 1) / cells)
        uv.append(np.stack([x.ravel() / cells * 0.4 + 0.1 * half, y.ravel() / cells * 0.4], 1))
    return as_mesh(
        np.concatenate(vertices),
        np.concatenate(faces),
        uv=np.float32(np.concatenate(uv)),
        materials=(Material(name="left"), Material(name="right")),
        face_material=np.int32(material),
    )


def areas(mesh):
    a, b, c = (mesh.vertices[mesh.faces[:, k]].astype(float) for k in range(3))
    return np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2


def test_borders_seams_and_materials_stay_exactly():
    out = reduced(sheet(), faces=12)
    assert len(out.faces) <= 12
    for half in (0, 1):
        chosen = out.face_material == half
        assert areas(out)[chosen].sum() == pytest.approx(0.5)
        corners = np.unique(out.faces[chosen])
        place, uv = out.vertices[corners], out.uv[corners]
        assert (place[:, 0] <= 0.5).all() if half == 0 else (place[:, 0] >= 0.5).all()
        np.testing.assert_allclose(uv, place[:, :2] * 0.4 + np.array([0.1 * half, 0]), atol=1e-6)


def test_a_seam_is_held_and_texture_does_not_slide():
    mesh = unwrap(UnwrapOptions(), Runtime())(marched(both(ball(0.3), brick((0.15, 0.45, 0.15))), 40))
    out = reduced(mesh, faces=1500)
    found = health(out)
    assert (found.manifold, found.outward, found.degenerate_faces) == (True, True, 0)
    flat = out.uv[out.faces].astype(float)
    e, g = flat[:, 1] - flat[:, 0], flat[:, 2] - flat[:, 0]
    assert ((e[:, 0] * g[:, 1] - e[:, 1] * g[:, 0]) > 0).all() or ((e[:, 0] * g[:, 1] - e[:, 1] * g[:, 0]) < 0).all()
    assert out.metadata["reduce"]["deviation"]["max_there"] < 0.012
    stored = {tuple(row) for row in np.c_[mesh.vertices, mesh.uv].tolist()}
    assert all(tuple(row) in stored for row in np.c_[out.vertices, out.uv].tolist())


def test_an_error_bound_is_kept_and_a_looser_one_leaves_less():
    mesh = marched(ball(0.4), 36, paint=waves)
    fine, rough = (reduced(mesh, error=e) for e in (0.002, 0.01))
    assert len(rough.faces) < len(fine.faces) < len(mesh.faces)
    for out, bound in ((fine, 0.002), (rough, 0.01)):
        assert Yardstick(mesh)(out).largest <= bound
        assert health(out).manifold
        assert np.abs(out.colors - waves(out.vertices)).max() < 0.06


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.sampled_from([0.5, 0.2, 0.05]))
def test_no_damage_is_added_to_any_mesh(seed, share):
    rng = np.random.default_rng(seed)
    mesh = joined(sphere(10, 12), grid_torus(14, 8), box((0.5, 0.5, 0.5), (2, 0, 0)), sphere(6, 7, 0.5, (2, 0, 0)))
    mesh = mesh.with_(faces=mesh.faces[rng.random(len(mesh.faces)) > 0.05])  # holes, pinches
    extra = rng.choice(len(mesh.vertices), (3, 3), replace=False).astype(np.int32)  # fins
    mesh = mesh.with_(faces=np.concatenate([mesh.faces, extra]))
    before, after = health(mesh), health(reduced(mesh, faces=max(4, int(len(mesh.faces) * share))))
    for defect in ("nonmanifold_edges", "nonmanifold_vertices", "degenerate_faces", "duplicate_faces", "flipped_edges"):
        assert getattr(after, defect) <= getattr(before, defect), defect
    assert after.boundary_edges <= before.boundary_edges
    assert after.components == before.components


def test_a_tetrahedron_cannot_be_reduced():
    points = np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1.0)])
    faces = np.array([(0, 2, 1), (0, 1, 3), (1, 2, 3), (0, 3, 2)])
    piece = Piece(points, points.copy(), None, faces, faces.copy(), np.zeros(4, int), np.arange(4))
    assert len(next(collapsed(piece, [2])).faces) == 4


def test_levels_of_detail_fall_and_share_the_texture():
    mesh = unwrap(UnwrapOptions(), Runtime())(sphere(30, 40)).with_(material=Material(name="paint"))
    levels = lods(mesh, (1000, 300, 90), Runtime())
    assert [len(level.faces) <= budget for level, budget in zip(levels, (1000, 300, 90), strict=True)] == [True] * 3
    assert [level.material is mesh.material for level in levels] == [True] * 3
    errors = [level.metadata["lod"]["deviation"]["max_there"] for level in levels]
    assert errors == sorted(errors)
    assert errors[0] < 0.01
    for wrong in ((100, 200), (0,)):
        with pytest.raises(UsageError):
            lods(mesh, wrong, Runtime())
    with pytest.raises(UsageError):
        reduced(mesh)
