"""Resting sides, ways up, and turning: analytic bodies, rotations that must come back, nothing turned unasked."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import as_mesh, box, grid_torus, joined, sphere, textured_box

from liftform.assets import Mesh
from liftform.cli.fix import parser
from liftform.evaluate.pose import fitted, turned
from liftform.refine.pose import PoseOptions, pose, turn_up
from liftform.refine.stable import rest
from liftform.refine.upright import NAMES, Candidates, candidates, upright
from liftform.runtime import Runtime

UP = np.array([0.0, 1.0, 0.0])


def table() -> Mesh:
    """A top on four legs, standing on y = 0."""
    legs = [box((0.06, 0.7, 0.06), (x, 0.35, z)) for x in (-0.5, 0.5) for z in (-0.3, 0.3)]
    return joined(box((1.2, 0.05, 0.8), (0, 0.725, 0)), *legs)


def rotation(seed: int) -> np.ndarray:
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q if np.linalg.det(q) > 0 else -q


def posed(mesh: Mesh, **options) -> Mesh:
    return pose(PoseOptions(**options), Runtime())(mesh)


class TestRest:
    """Goldberg's chances: solid angles, and rolling to the side below which the centre of mass lies."""

    def test_a_cube_has_six_equal_sides(self) -> None:
        found = rest(box())
        assert np.allclose(found.chance[:6], 1 / 6)
        assert len(found.down) == 6

    def test_a_slab_lies_flat(self) -> None:
        found = rest(box((1.0, 0.1, 1.0)))
        assert np.abs(found.down[0] @ UP) == pytest.approx(1)
        # A square of side 1 seen from 0.05 above its middle covers this much of the sphere:
        covered = 4 * np.arctan2(0.25, 0.05 * np.sqrt(0.25 + 0.25 + 0.05**2)) / (4 * np.pi)
        assert found.cover[0] == pytest.approx(covered)

    def test_what_cannot_stand_rolls_on(self) -> None:
        lean = box((0.2, 1.0, 0.2))
        sheared = lean.with_(vertices=lean.vertices + lean.vertices[:, 1:2] * np.float32([0.9, 0, 0]))
        found = rest(sheared)
        ends = np.abs(found.down @ UP) > 0.999
        assert found.cover[ends].min() > 0
        assert found.chance[ends].max() == 0  # the centre of mass hangs over the edge

    @settings(max_examples=15, deadline=None)
    @given(st.floats(0.2, 3), st.floats(0.2, 3), st.floats(0.2, 3), st.integers(0, 1000))
    def test_chances_sum_to_one_however_it_is_turned(self, a, b, c, seed) -> None:
        found = rest(turned(box((a, b, c)), rotation(seed)))
        assert found.chance.sum() == pytest.approx(1, abs=1e-6)
        assert np.allclose(np.linalg.norm(found.down, axis=1), 1)

    def test_the_centre_is_the_solids_or_the_hulls(self) -> None:
        ell = joined(box((1, 0.2, 0.2), (0.5, 0.1, 0)), box((0.2, 1, 0.2), (0.1, 0.75, 0)))  # a gap between
        whole = rest(ell)
        assert whole.solid
        assert np.allclose(whole.centre[:2], [(0.5 + 0.1) / 2, (0.1 + 0.75) / 2], atol=1e-3)  # equal volumes
        opened = rest(Mesh(ell.vertices, ell.faces[1:]))
        assert not opened.solid
        assert opened.centre[0] > whole.centre[0]

    @pytest.mark.parametrize("flat", [[[0, 0, 0], [1, 0, 0], [0, 0, 1]], [[0, 0, 0], [1, 0, 0], [2, 1e-9, 0]]])
    def test_flat_meshes_and_lines(self, flat) -> None:
        assert rest(as_mesh(flat, [[0, 1, 2]])).chance.sum() == pytest.approx(1, abs=1e-3)

    def test_a_ball_is_quick(self) -> None:
        assert len(rest(sphere(30, 40)).down) <= 40


class TestUpright:
    """Figures do not depend on how the mesh comes; a table stands on its legs."""

    def test_figures_do_not_change_when_it_is_turned_and_scaled(self) -> None:
        r = rotation(3)
        first = candidates(table(), UP[None])
        again = candidates(turned(table().with_(vertices=table().vertices * np.float32(7)), r), (r @ UP)[None])
        gap = np.abs(first.features[0] - again.features[0])
        assert gap.max() < 0.12, dict(zip(NAMES, gap.round(3), strict=True))

    def test_a_table_is_set_on_its_legs_again(self) -> None:
        hits = 0
        for seed in range(4):
            r = rotation(seed)
            hits += upright(turned(table(), r)).up[0] @ (r @ UP) > 0.985
        assert hits == 4

    def test_probabilities(self) -> None:
        found = upright(table(), {(0, 1, 0): 1e6})
        assert found.probability.sum() == pytest.approx(1)
        assert (np.diff(found.probability) <= 1e-12).all()
        assert np.array_equal(found.up[0], UP)

    def test_the_fit_finds_the_feature_that_tells(self) -> None:
        rng = np.random.default_rng(0)
        tables, right = [], []
        for _ in range(60):
            features = rng.normal(size=(6, len(NAMES)))
            tables.append(Candidates(np.zeros((6, 3)), features, np.zeros(6)))
            right.append(features[:, 3] == features[:, 3].max())
        weights = fitted(tables, right)
        assert max(weights, key=lambda name: abs(weights[name])) == NAMES[3]


class TestPose:
    """Turning."""

    def test_keep_keeps(self) -> None:
        mesh = textured_box()
        assert posed(mesh) is mesh

    @pytest.mark.parametrize("up", ["y", "z", "-y", "x", "-x", "-z"])
    def test_a_given_axis_becomes_up(self, up: str) -> None:
        axis = np.zeros(3)
        axis["xyz".index(up[-1])] = -1.0 if up[0] == "-" else 1.0
        assert np.array_equal(turn_up(axis) @ axis, UP)
        mesh = textured_box().with_(vertices=textured_box().vertices * np.float32([1, 2, 3]) + np.float32(0.3))
        result = posed(mesh, up=up)
        matrix = np.array(result.metadata["pose"].get("asset_from_file", np.eye(4)))
        assert np.linalg.det(matrix[:3, :3]) == pytest.approx(1)
        assert np.allclose(matrix[:3, :3] @ axis, UP)
        assert np.allclose(mesh.vertices @ matrix[:3, :3].T + matrix[:3, 3], result.vertices, atol=1e-6)
        assert np.allclose(result.normals, np.repeat(result.face_normals()[::2], 4, axis=0), atol=1e-6)
        assert np.array_equal(result.uv, mesh.uv)
        assert result.material is mesh.material
        if up != "y":
            assert np.allclose(result.bounds.mean(0)[[0, 2]], 0, atol=1e-6)
            assert result.bounds[0, 1] == pytest.approx(0, abs=1e-7)

    @pytest.mark.parametrize("front", ["+x", "-x", "-z"])
    def test_a_given_front_faces_z(self, front: str) -> None:
        axis = np.zeros(3)
        axis["xyz".index(front[1])] = 1.0 if front[0] == "+" else -1.0
        matrix = np.array(posed(table(), front=front).metadata["pose"]["asset_from_file"])
        assert np.allclose(matrix[:3, :3] @ axis, [0, 0, 1])
        assert np.allclose(matrix[:3, :3] @ UP, UP)

    def test_z_up_files_are_found_out(self) -> None:
        z_up = turned(table(), turn_up(np.array([0.0, 0.0, 1.0])).T)
        result = posed(z_up, up="auto")
        said = result.metadata["pose"]
        assert said["turned"]
        assert said["found"] == "+z"
        assert said["sure"] >= 0.5
        assert np.allclose(np.ptp(result.vertices, axis=0), np.ptp(table().vertices, axis=0), atol=1e-5)

    def test_auto_leaves_alone_what_stands_or_cannot_be_told(self) -> None:
        for mesh in (table(), grid_torus()):
            result = posed(mesh, up="auto")
            assert result.vertices is mesh.vertices
            assert not result.metadata["pose"]["turned"]
            assert "why" in result.metadata["pose"]

    def test_signed_axes_on_the_command_line(self) -> None:
        args = parser().parse_args(["a.obj", "--up", "-z", "--front", "-x"])
        assert (args.up, args.front) == ("-z", "-x")
