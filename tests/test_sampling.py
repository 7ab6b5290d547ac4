"""sampling: points by area, in the colours and normals of the place, apart where that is asked."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree
from synthetic import SIDE_COLORS, as_mesh, box, sphere, textured_box

from liftform.assets import Material
from liftform.errors import InputError, UsageError
from liftform.export import save
from liftform.sampling import sampled


def side_of(points):
    """0..5 as the sides of the box: -x, +x, -y, +y, -z, +z."""
    axis = np.argmax(np.abs(points), axis=1)
    return 2 * axis + (points[np.arange(len(points)), axis] > 0)


def test_every_side_gets_its_share_in_its_color(tmp_path):
    cloud = sampled(textured_box(), 6000, seed=3).validate()
    side = side_of(cloud.points)
    assert np.abs(np.bincount(side) - 1000).max() <= 1
    assert np.rint(cloud.colors * 255) == pytest.approx(SIDE_COLORS[side], abs=1)
    assert cloud.normals == pytest.approx(box().face_normals()[::2][side], abs=1e-6)
    assert [file.name for file in save(cloud, tmp_path / "a.ply")] == ["a.ply"]


def test_of_several_materials_each_shows_its_own():
    blue = Material(base_color=(0.0, 0.0, 1.0, 1.0), name="blue")
    several = (np.arange(12) >= 4).astype(np.int32)
    mesh = textured_box()
    mesh = mesh.with_(material=None, materials=(mesh.material, blue), face_material=several)
    cloud = sampled(mesh, 600)
    wanted = np.where(side_of(cloud.points)[:, None] < 2, SIDE_COLORS[side_of(cloud.points)], [0, 0, 255])
    assert np.rint(cloud.colors * 255) == pytest.approx(wanted, abs=1)


@pytest.mark.parametrize("mesh", [box(), sphere(20, 30)], ids=["box", "ball"])
def test_points_keep_their_distance(mesh):
    loose, apart = (sampled(mesh, 2000, apart=way).points for way in (False, True))
    nearest = [cKDTree(points).query(points, 2)[0][:, 1].min() for points in (loose, apart)]
    area = 6.0 if len(mesh.faces) == 12 else 4 * np.pi
    assert nearest[1] > 0.55 * 2 * np.sqrt(area / (2 * np.sqrt(3) * 2000)) > nearest[0]
    assert np.linalg.norm(sampled(sphere(40, 60), 50, apart=True).points, axis=1) == pytest.approx(1, abs=0.01)


def test_the_seed_decides():
    first, again, other = (sampled(box(), 50, seed, apart=True).points for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_what_cannot_be_sampled():
    with pytest.raises(InputError, match="no area"):
        sampled(as_mesh([[0, 0, 0], [1, 0, 0], [2, 0, 0]], [[0, 1, 2]]), 10)
    for count in (0, 10**9):
        with pytest.raises(UsageError):
            sampled(box(), count)
