"""Baking: the photo where it was seen, the guess brought to its light elsewhere, no background and no seam."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from synthetic import ball, both, brick, marched, traced, waves

from liftform.assets import Mesh
from liftform.camera import Camera
from liftform.capture import Capture
from liftform.conventions import linear_to_srgb, srgb_to_linear
from liftform.errors import InputError
from liftform.refine import blend
from liftform.refine.bake import BakeOptions, bake
from liftform.refine.clean import CleanOptions, clean
from liftform.refine.simplify import SimplifyOptions, simplify
from liftform.refine.unwrap import UnwrapOptions, unwrap
from liftform.render import Rendering, render
from liftform.runtime import Runtime

CAMERA = Camera.orbit(256, np.radians(40), 0.0, np.radians(15), 1.6)
BACK = Camera.orbit(256, np.radians(40), np.pi, np.radians(15), 1.6)
BALL = ball(0.4)


def made(shape, guess=waves, cells=64) -> tuple[Mesh, Mesh]:
    """(unwrapped mesh, dense mesh with guessed colours)."""
    dense = clean(CleanOptions(), Runtime())(marched(shape, cells, paint=guess))
    return unwrap(UnwrapOptions(), Runtime())(simplify(SimplifyOptions(4000), Runtime())(dense)), dense


def baked(mesh: Mesh, dense: Mesh, capture: Capture, **options) -> Mesh:
    return bake(mesh, dense, capture, BakeOptions(**{"size": 512, **options}), Runtime())


@pytest.fixture(scope="module")
def ball_mesh() -> tuple[Mesh, Mesh]:
    return made(BALL)


@pytest.fixture(scope="module")
def ball_photo() -> Capture:
    return traced(BALL, CAMERA, waves)


def error(picture: Rendering, truth: Capture, edge: float = 0.0) -> np.ndarray:
    """Differences (N, 3) from the true picture where both show the object and its surface is at all turned to us."""
    assert truth.photo.mask is not None
    inside = picture.mask & (truth.photo.mask.alpha > 0.5) & (picture.normals[..., 2] < -edge)
    return picture.image[inside][:, :3] - truth.photo.mask.foreground[inside]


def psnr(difference: np.ndarray) -> float:
    return float(-10 * np.log10((difference**2).mean()))


def test_from_the_camera_it_looks_like_the_photo(ball_mesh, ball_photo) -> None:
    mesh = baked(*ball_mesh, ball_photo, size=1024)
    assert psnr(error(render(mesh, CAMERA, "unlit"), ball_photo)) > 38
    texture = mesh.validate().material.base_color_texture
    assert texture.shape == (1024, 1024, 3)
    assert texture.dtype == np.uint8
    assert (mesh.material.metallic, mesh.material.roughness) == (0.0, 0.9)


def test_from_behind_it_looks_like_the_guess(ball_mesh, ball_photo) -> None:
    mesh = baked(*ball_mesh, ball_photo, texture="plain")
    assert psnr(error(render(mesh, BACK, "unlit"), traced(BALL, BACK, waves), 0.2)) > 30
    assert np.allclose(mesh.metadata["bake"]["gain"], 1, atol=0.05)


def test_a_guess_in_other_light_is_brought_to_the_photos(ball_photo) -> None:
    darker = lambda p: linear_to_srgb(srgb_to_linear(waves(p)) * np.array([0.5, 0.8, 0.6], np.float32))  # noqa: E731
    mesh = baked(*made(BALL, darker), ball_photo, texture="plain")
    assert mesh.metadata["bake"]["gain"][0] > mesh.metadata["bake"]["gain"][1] > 1.1
    assert psnr(error(render(mesh, BACK, "unlit"), traced(BALL, BACK, waves), 0.2)) > 24


def test_no_seam_where_seeing_ends(ball_photo) -> None:
    """The guess is of another hue; across the border the colour must still not jump."""
    other = lambda p: np.clip(waves(p) * 0.7 + np.array([0.15, 0.0, 0.1]), 0, 1)  # noqa: E731
    mesh = baked(*made(BALL, other), ball_photo, size=1024, texture="plain")
    side = render(mesh, Camera.orbit(256, np.radians(40), np.pi / 2, 0.0, 1.6), "unlit")
    middle = side.mask[64:192, 64:192].all()
    assert middle
    image = side.image[64:192, 64:192, :3]
    assert np.abs(np.diff(image, axis=1)).max() < 0.06
    assert np.abs(np.diff(image, axis=0)).max() < 0.06


def test_no_background_bleeds_in(ball_mesh, ball_photo) -> None:
    """The photo's background is magenta; only the mask's foreground may be used, even a little outside of it."""
    green = traced(BALL, CAMERA, lambda p: np.broadcast_to((0.2, 0.6, 0.2), p.shape), background=(1.0, 0.0, 1.0))
    mesh, dense = ball_mesh
    plain = dense.with_(colors=np.full_like(dense.colors, [0.2, 0.6, 0.2]))
    texture = baked(mesh, plain, green).material.base_color_texture
    assert np.abs(texture.astype(int) - [51, 153, 51]).max() <= 2


def test_what_stands_behind_keeps_its_own_colour() -> None:
    """A small red ball before a large blue one: the large one's hidden spot must not turn red."""
    front, rear = ball(0.12, (0, 0, 0.42)), ball(0.28, (0, 0, -0.15))
    neck = brick((0.03, 0.03, 0.2), (0, 0, 0.2))
    shape = both(front, rear, neck)
    paint = lambda p: np.where((p[..., 2:] > 0.28), (0.9, 0.1, 0.1), (0.1, 0.1, 0.9))  # noqa: E731
    camera = Camera.orbit(256, np.radians(40), 0.0, 0.0, 1.8)
    mesh, dense = made(shape, paint)
    result = baked(mesh, dense, traced(shape, camera, paint), size=1024)
    above = Camera.orbit(256, np.radians(40), 0.0, np.radians(60), 1.6)
    assert psnr(error(render(result, above, "unlit"), traced(shape, above, paint), 0.2)) > 22
    hidden = (
        (result.vertices[:, 2] > 0.05) & (result.vertices[:, 2] < 0.15) & (np.hypot(*result.vertices[:, :2].T) < 0.08)
    )
    assert result.seen[hidden].max() < 0.5


def test_seen_is_what_the_camera_saw(ball_mesh, ball_photo) -> None:
    mesh = baked(*ball_mesh, ball_photo)
    to_camera = CAMERA.position - mesh.vertices
    cosine = np.einsum("ij,ij->i", mesh.vertices / 0.4, to_camera / np.linalg.norm(to_camera, axis=1, keepdims=True))
    assert mesh.seen[cosine > 0.45].min() > 0.95
    assert mesh.seen[cosine < 0].max() == 0
    cap = (1 - 0.4 / 1.6) / 2  # share of a sphere that faces a camera at this distance
    assert 0.75 * cap < mesh.metadata["bake"]["seen_share"] < cap


def test_a_plane_of_symmetry_shows_the_other_side(ball_mesh) -> None:
    """Colours symmetric in x, a useless grey guess: on the hidden flank, the mirrored photo is shown."""
    paint = lambda p: waves(np.abs(p) * np.array([1, 0, 0]) + p * [0, 1, 1])  # noqa: E731
    mesh, dense = ball_mesh
    camera = Camera.orbit(256, np.radians(40), np.radians(50), 0.0, 1.6)
    grey = dense.with_(colors=np.full_like(dense.colors, 0.5))
    photo = traced(BALL, camera, paint)
    behind = Camera.orbit(256, np.radians(40), np.radians(-50), 0.0, 1.6)
    truth = traced(BALL, behind, paint)
    plain = psnr(error(render(baked(mesh, grey, photo, texture="plain"), behind, "unlit"), truth, 0.4))
    told = grey.with_(metadata={"mirror": ((2.0, 0.0, 0.0), 0.0)})
    result = baked(mesh, told, photo, texture="mirror")
    assert result.metadata["bake"]["hidden"]["mirrored"] > 0.2
    assert psnr(error(render(result, behind, "unlit"), truth, 0.4)) > max(30, plain + 10)
    off = baked(mesh, told, photo, texture="plain")
    assert off.metadata["bake"]["hidden"]["mirrored"] == 0


def test_without_guessed_colours_the_seen_ones_spread(ball_mesh, ball_photo) -> None:
    mesh, dense = ball_mesh
    result = baked(mesh, dense.with_(colors=None), ball_photo)
    assert result.material.base_color_texture.std() > 5


def test_the_gaps_are_filled(ball_mesh, ball_photo) -> None:
    """No texel is left black: what is drawn smaller or filtered must not darken at seams."""
    texture = baked(*ball_mesh, ball_photo, size=256).material.base_color_texture
    assert texture.max(axis=-1).min() > 40


@pytest.mark.parametrize("size", [256, 1024])
def test_texture_size_is_kept(ball_mesh, ball_photo, size: int) -> None:
    mesh = baked(*ball_mesh, ball_photo, size=size)
    assert mesh.material.base_color_texture.shape == (size, size, 3)
    assert mesh.metadata["bake"]["texture_size"] == size


def test_same_in_same_out(ball_mesh, ball_photo) -> None:
    a, b = (baked(*ball_mesh, ball_photo) for _ in range(2))
    assert np.array_equal(a.material.base_color_texture, b.material.base_color_texture)
    assert np.array_equal(a.seen, b.seen)


def test_missing_knowledge_is_named(ball_mesh, ball_photo) -> None:
    mesh, dense = ball_mesh
    with pytest.raises(InputError, match="texture coordinates"):
        baked(mesh.with_(uv=None), dense, ball_photo)
    blind = replace(ball_photo, photos=(replace(ball_photo.photo, camera=None),))
    with pytest.raises(InputError, match="camera"):
        baked(mesh, dense, blind)
    mask = replace(ball_photo.photo.mask, alpha=np.zeros_like(ball_photo.photo.mask.alpha))
    with pytest.raises(InputError, match="empty"):
        baked(mesh, dense, replace(ball_photo, photos=(replace(ball_photo.photo, mask=mask),)))


def test_what_the_network_calls_a_colour_is_learned_where_it_is_seen() -> None:
    """It says pink for red and is right about blue: one gain for all cannot mend that."""
    rng = np.random.default_rng(0)
    red = rng.random(4000) < 0.5
    guess = np.where(red[:, None], (0.6, 0.3, 0.3), (0.05, 0.05, 0.5)).astype(np.float32)
    truth = np.where(red[:, None], (0.7, 0.05, 0.05), (0.05, 0.05, 0.5)).astype(np.float32)
    weight = (np.arange(4000) < 2000).astype(np.float32)
    seen = np.where(weight[:, None] > 0, truth, 0).astype(np.float32)
    mended = blend.applied(guess, blend.learned(seen, guess, weight, blend.gain(seen, guess, weight)))
    assert np.abs(mended - truth).max() < 0.05
    odd = np.tile(np.array([[0.1, 0.9, 0.1]], np.float32), (4000, 1))  # green was never seen: the fallback holds
    both = np.concatenate([guess[:2000], odd[:2000]])
    needed = blend.learned(seen, both, weight, np.full(3, 0.3))
    assert np.abs(needed[2000:] - 0.3).max() < 0.02


def test_filling_takes_the_nearest_known() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(1, 255, (37, 50, 3)).astype(np.uint8)
    known = rng.random((37, 50)) < 0.02
    known[3, 4] = True
    full = blend.filled(np.where(known[..., None], image, 0).astype(np.uint8), known)
    assert np.array_equal(full[known], image[known])
    assert full.min() > 0
    lone = np.zeros((16, 16), bool)
    lone[5, 9] = True
    assert np.all(blend.filled(np.where(lone[..., None], [77, 77, 77], 0).astype(np.uint8), lone) == 77)


def test_the_membrane_holds_at_the_seen_and_dies_away() -> None:
    x, y = (a.ravel() for a in np.meshgrid(np.linspace(0, 1, 60), np.linspace(0, 1, 60)))
    points = np.stack([x, y, 0 * x], 1).astype(np.float32)
    normals = np.tile(np.array([0, 0, 1], np.float32), (len(x), 1))
    known = (x < 0.3).astype(np.float32)
    field = blend.membrane(blend.Links.of(points, normals), np.full((len(x), 3), 0.5), known, size=1.0)[:, 0].reshape(
        60, 60
    )
    assert np.abs(field[:, :15] - 0.5).max() < 0.02
    middle = field[30]
    assert np.all(np.diff(middle[20:]) < 1e-3)
    after = middle[np.searchsorted(x[:60], 0.3 + 0.12)] / 0.5  # one reach beyond the border
    assert 0.2 < after < 0.55
    assert abs(middle[-1]) < 0.03


def test_the_membrane_does_not_leap_to_the_other_side_of_a_plate() -> None:
    x, y = (a.ravel() for a in np.meshgrid(np.linspace(0, 1, 40), np.linspace(0, 1, 40)))
    top = np.stack([x, y, 0 * x + 0.002], 1)
    points = np.concatenate([top, top * [1, 1, -1]]).astype(np.float32)
    normals = np.repeat(np.array([[0, 0, 1], [0, 0, -1]], np.float32), len(x), 0)
    known = np.repeat(np.array([1, 0], np.float32), len(x))
    field = blend.membrane(blend.Links.of(points, normals), np.full((2 * len(x), 3), 0.5), known, size=1.0)
    assert np.abs(field[: len(x)] - 0.5).max() < 0.02
    assert np.abs(field[len(x) :]).max() < 0.02
