"""Transfer: looks arrive where they belong, the sides of thin walls stay apart, normals keep the convention."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic import SIDE_COLORS, as_mesh, box, flipped, joined, sphere, textured_box

from liftform.assets import Material
from liftform.conventions import linear_to_srgb
from liftform.refine.nearest import Nearest, closest_on
from liftform.refine.tangents import corner_tangents, to_tangent, to_world
from liftform.refine.transfer import TransferOptions, transfer
from liftform.refine.unwrap import UnwrapOptions, unwrap
from liftform.runtime import Runtime

SMALL = TransferOptions(size=256, rays=16)


def opened(mesh):
    return unwrap(UnwrapOptions(), Runtime())(mesh)


def plate(normal=(0.0, 0.0, 1.0), **fields):
    """A unit square facing +z, uv over the whole texture: u along +x, v along -y."""
    corners = [(0, 1, 0), (0, 0, 0), (1, 0, 0), (1, 1, 0)]
    unit = np.asarray(normal) / np.linalg.norm(normal)
    uv = np.float32([(0, 0), (0, 1), (1, 1), (1, 0)])
    return as_mesh(corners, [(0, 1, 2), (0, 2, 3)], uv=uv, normals=np.float32([unit] * 4), **fields)


def texel(texture, mesh, face):
    """The texture in the middle of a face."""
    u, v = mesh.uv[mesh.faces[face]].mean(0) * len(texture)
    return texture[int(v), int(u)]


def test_a_texture_arrives_on_the_right_sides_and_repeats():
    source = textured_box()
    for shift in (0, 3):
        new = transfer(opened(box()), source.with_(uv=source.uv + np.float32(shift)), SMALL, Runtime()).validate()
        for face in range(12):
            assert (
                np.abs(texel(new.material.base_color_texture, new, face).astype(int) - SIDE_COLORS[face // 2]).max() < 3
            )
        assert new.material.roughness == pytest.approx(0.7)
        assert "roughness_texture" not in new.material.textures
        np.testing.assert_array_equal(new.vertices, opened(box()).vertices)


def test_several_materials_become_one_with_maps_of_what_varies():
    paint = Material(base_color=(1.0, 0.0, 0.0, 1.0), roughness=0.2, metallic=1.0)
    lamp = Material(
        base_color=(0.0, 0.5, 0.0, 0.25), roughness=0.8, metallic=1.0, emissive=(0, 0, 1), alpha_mode="blend"
    )
    source = box().with_(materials=(paint, lamp), face_material=np.int32([0] * 6 + [1] * 6))
    new = transfer(opened(box()), source, SMALL, Runtime()).validate()
    m = new.material
    assert (m.alpha_mode, m.metallic, m.metallic_texture) == ("blend", 1.0, None)
    for face, one in ((0, paint), (11, lamp)):
        color = np.r_[linear_to_srgb(np.float32(one.base_color[:3])), 1.0 if one is paint else 0.25]
        assert np.abs(texel(m.base_color_texture, new, face) / 255 - color).max() < 0.01
        assert texel(m.roughness_texture, new, face) / 255 == pytest.approx(one.roughness, abs=0.01)
        assert np.abs(texel(m.emissive_texture, new, face) / 255 - one.emissive).max() < 0.01
    assert (m.roughness, m.emissive) == (1.0, (1.0, 1.0, 1.0))


def test_normal_maps_lean_right_with_u_and_up_against_v():
    for lean in ((0.5, 0, 1), (0, 0.5, 1)):
        new = transfer(plate(), plate(lean), SMALL, Runtime())
        got = new.material.normal_texture[128, 128] / 255 * 2 - 1
        assert np.abs(got - np.array(lean) / np.linalg.norm(lean)).max() < 0.01
    assert transfer(plate(), plate(), SMALL, Runtime()).material.normal_texture is None


def test_a_ball_with_wrong_normals_gets_the_fine_balls():
    fine, coarse = sphere(60, 80), opened(sphere(8, 12))
    wrong = coarse.normals + 0.3 * np.cross((0.3, 1, 0.2), coarse.normals)
    wrong = np.float32(wrong / np.linalg.norm(wrong, axis=1, keepdims=True))
    new = transfer(coarse.with_(normals=wrong), fine.with_(normals=fine.vertices), SMALL, Runtime())
    assert new.metadata["transfer"]["along_normal"] > 0.99
    at, cosines = new.vertices[new.faces].mean(1), []
    tangents = corner_tangents(new, wrong[new.faces])
    for face in range(len(new.faces)):
        there = np.float32([texel(new.material.normal_texture, new, face) / 255 * 2 - 1])
        frame = wrong[new.faces[face]].mean(0, keepdims=True), tangents[face].mean(0, keepdims=True)
        cosines.append(to_world(there, *frame)[0] @ at[face] / np.linalg.norm(at[face]))
    errors = np.degrees(np.arccos(np.clip(cosines, -1, 1)))
    assert errors.mean() < 1.5  # 15 degrees without the map
    assert errors.max() < 6  # texels are coarse here


def test_a_map_of_the_source_survives_being_turned():
    map_ = np.zeros((8, 8, 3), np.uint8)
    map_[:] = np.rint((np.array([0.6, 0.0, 0.8]) * 0.5 + 0.5) * 255)
    source = plate(material=Material(normal_texture=map_))
    turned = plate().with_(uv=np.float32([(0, 1), (1, 1), (1, 0), (0, 0)]))  # u runs along -y
    new = transfer(turned, source, SMALL, Runtime())
    assert np.abs(new.material.normal_texture[128, 128] / 255 * 2 - 1 - [0, 0.6, 0.8]).max() < 0.02


def test_tangent_space_and_back():
    rng = np.random.default_rng(3)
    normal, tangent, world = (rng.normal(size=(50, 3)) for _ in range(3))
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    world /= np.linalg.norm(world, axis=1, keepdims=True)
    tangent = np.concatenate([tangent, rng.choice([-1, 1], (50, 1))], 1)
    np.testing.assert_allclose(to_world(to_tangent(world, normal, tangent), normal, tangent), world, atol=1e-5)


@pytest.mark.parametrize("with_uv", [True, False])
def test_the_sides_of_a_double_wall_are_not_mixed(with_uv):
    inner = flipped(box((0.99,) * 3))
    colors = np.float32([(1, 0, 0)] * 8 + [(0, 0, 1)] * 8)
    source = joined(box(), inner).with_(colors=colors)
    new = transfer(opened(box()) if with_uv else box(), source, SMALL, Runtime())
    shown = new.material.base_color_texture.reshape(-1, 3) / 255 if with_uv else new.colors
    np.testing.assert_allclose(shown, np.broadcast_to((1, 0, 0), shown.shape), atol=0.01)


def test_faces_turned_round_still_give_their_looks():
    solid = box((1, 1, 0.02))
    faces = solid.faces.copy()
    faces[10] = faces[10][::-1]  # one half of the +z side
    colors = np.where(solid.vertices[:, 2:] > 0, np.float32((0, 1, 0)), np.float32((1, 0, 0)))
    new = transfer(opened(solid), solid.with_(faces=faces, colors=colors), SMALL, Runtime())
    for face in (10, 11):
        assert texel(new.material.base_color_texture, new, face).tolist() == [0, 255, 0]


def test_occlusion_is_light_outside_and_dark_in_the_corner_of_a_cup():
    walls = flipped(box()).with_(
        faces=flipped(box()).faces[[0, 1, 2, 3, 4, 5, 8, 9, 10, 11]]
    )  # seen from inside, top open
    ball = transfer(opened(sphere()), sphere(), SMALL, Runtime()).material.occlusion_texture
    cup = transfer(opened(walls), walls, SMALL, Runtime())
    assert ball.min() > 240
    bottom, rim = cup.material.occlusion_texture.min(), cup.material.occlusion_texture.max()
    assert bottom < 140
    assert rim > bottom + 60


def test_seen_is_interpolated_and_never_grows():
    source = sphere(20, 30)
    source = source.with_(seen=(source.vertices[:, 2] > 0).astype(np.float32), colors=np.abs(source.vertices))
    mesh = opened(sphere(9, 14))
    new = transfer(mesh, source, SMALL, Runtime())
    side = new.vertices[:, 2]
    assert (new.seen[side > 0.2] > 0.99).all()
    assert (new.seen[side < -0.2] < 0.01).all()
    capped = transfer(mesh.with_(seen=np.zeros(len(side), np.float32)), source, SMALL, Runtime())
    assert not capped.seen.any()


def test_nearest_points_are_exact():
    rng = np.random.default_rng(0)
    mesh, points = sphere(15, 20), rng.normal(size=(200, 3))
    places = Nearest(mesh)(points)
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    every = np.stack([closest_on(np.repeat(p[None], len(corners), 0), corners)[1] for p in points]).min(1)
    np.testing.assert_allclose(places.distance, np.sqrt(every), atol=1e-6)
