"""Delight: shading that was painted on goes in part, plain paint and white stay as they are."""

from __future__ import annotations

import numpy as np
from synthetic import sphere, textured_box

from liftform.assets import Material
from liftform.conventions import linear_to_srgb, srgb_to_linear, to_uint8
from liftform.refine.delight import DelightOptions, delight, fitted, harmonics
from liftform.refine.texels import Texels
from liftform.refine.unwrap import UnwrapOptions, unwrap
from liftform.runtime import Runtime


def painted(light):
    """A ball of two paints with light of a function of the normal baked in, and its paint without light."""
    mesh = unwrap(UnwrapOptions(), Runtime())(sphere(40, 60))
    texels = Texels.of(mesh, 256)
    points, normals = texels.surface(slice(None))
    paint = np.where(points[:, :1] > 0, np.float32((0.5, 0.2, 0.1)), np.float32((0.15, 0.3, 0.4)))
    images = []
    for linear in (paint * light(normals)[:, None], paint):
        image = np.zeros((256 * 256, 3), np.uint8)
        image[texels.pixel] = to_uint8(linear_to_srgb(linear.astype(np.float32)))
        images.append(image.reshape(256, 256, 3))
    return mesh.with_(material=Material(base_color_texture=images[0])), images[1], texels


def unevenness(texture, truth, texels):
    """Spread of the logarithmic ratio of two textures over the surface."""
    a, b = (
        srgb_to_linear(t.reshape(-1, 3)[texels.pixel].astype(np.float32) / np.float32(255)).sum(1)
        for t in (texture, truth)
    )
    return float(np.std(np.log(a + 1e-3) - np.log(b + 1e-3)))


def test_light_from_above_is_taken_out_in_part():
    mesh, truth, texels = painted(lambda n: 0.6 + 0.35 * n[:, 1])
    out = delight(DelightOptions(0.7, material=True), Runtime())(mesh)
    before, after = (unevenness(m.material.base_color_texture, truth, texels) for m in (mesh, out))
    assert out.metadata["delight"]["applied"]
    assert after < 0.5 * before
    ratio = out.material.base_color_texture.astype(float).mean() / mesh.material.base_color_texture.mean()
    assert 0.9 < ratio < 1.15


def test_even_light_leaves_the_texture_alone():
    mesh, _, _ = painted(lambda n: np.full(len(n), 0.8))
    out = delight(DelightOptions(0.7, material=True), Runtime())(mesh)
    difference = out.material.base_color_texture.astype(int) - mesh.material.base_color_texture
    assert np.abs(difference).max() <= 6
    assert out.metadata["delight"]["guess"]["metallic"] == 0.0


def test_sides_of_different_paint_are_not_taken_for_light():
    mesh = textured_box()
    out = delight(DelightOptions(strength=0.7), Runtime())(mesh)
    ratio = out.material.base_color_texture.astype(float) / np.maximum(mesh.material.base_color_texture, 1)
    assert ratio[mesh.material.base_color_texture > 60].min() > 0.75
    assert out.material.roughness == mesh.material.roughness


def test_the_light_is_found_again():
    rng = np.random.default_rng(0)
    normals = rng.normal(size=(5000, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    true = np.array([0, 0.1, 0.3, -0.1, 0, 0, 0, 0.05, 0])
    colors = 0.3 * np.exp(harmonics(normals) @ true)[:, None] * np.ones(3)
    light, explained = fitted(colors.astype(np.float32), normals.astype(np.float32))
    np.testing.assert_allclose(light, true, atol=0.05)
    assert explained > 0.9


def test_a_mesh_without_texture_comes_back():
    mesh = sphere()
    out = delight(DelightOptions(0.7, material=True), Runtime())(mesh)
    assert out.material is None
    assert not out.metadata["delight"]["applied"]
