"""Sets freed of lens distortion: the pinhole's picture, its sightings and its brightness."""

import numpy as np
import pytest

from liftform.camera import Camera
from liftform.capture import Capture, Photo, Sparse
from liftform.errors import ReconstructionError
from liftform.lens import Lens, bent
from liftform.photoset.straight import straight

LENS = Lens(96, 64, 80.0, 80.0, 48.0, 32.0, (-0.2, 0.03, 0.002, -0.001))


def picture(bend):
    """A smooth pattern of the plane z = 1, drawn through LENS with or without its distortion."""
    x = (np.arange(96) + 0.5 - LENS.cx) / LENS.fx
    y = (np.arange(64) + 0.5 - LENS.cy) / LENS.fy
    across, down = np.meshgrid(x, y)
    if bend:
        seen = np.stack([across * LENS.fx + LENS.cx, down * LENS.fy + LENS.cy], -1).reshape(-1, 2)
        flat = LENS.straightened(seen).reshape(64, 96, 2)
        across, down = (flat[..., 0] - LENS.cx) / LENS.fx, (flat[..., 1] - LENS.cy) / LENS.fy
    plane = 0.4 + 0.2 * np.sin(9 * across) * np.cos(7 * down)
    return np.repeat(plane[..., None], 3, 2).astype(np.float32)


def photo(**changes):
    settings = {"image": picture(True), "lens": LENS, "camera": LENS.camera(np.eye(4)), **changes}
    return Photo(**settings)


def test_lines_become_straight():
    shown = straight(Capture((photo(), photo()))).photos[0]
    inside = (slice(8, -8), slice(8, -8))
    assert np.abs(shown.image[inside] - picture(False)[inside]).max() < 0.01
    assert np.abs(photo().image[inside] - picture(False)[inside]).max() > 0.03
    assert shown.lens.is_pinhole


def test_sightings_move_with_the_picture_and_are_renumbered():
    ray = np.array([0.4, -0.25])
    seen = np.stack(bent(ray[0], ray[1], LENS.distortion)) * 80 + (48, 32)
    pixels = np.array([[1, 1], seen], np.float32)
    sparse = Sparse(
        np.ones((1, 3)), np.ones((1, 3), np.float32), np.zeros(1, np.float32), *np.int32([[0, 2], [0, 0]]), pixels
    )
    out = straight(Capture((photo(camera=None), photo(), photo()), sparse=sparse)).sparse
    assert out.photo.tolist() == [1]
    np.testing.assert_allclose(out.pixels[0], ray * 80 + (48, 32), atol=1e-3)


def test_brightness_is_evened_in_linear_light():
    plain = Lens.of(Camera(96, 64, 80, 80, 48, 32))
    bright = photo(image=np.full((64, 96, 3), 0.5, np.float32), lens=plain, exposure=1.0)
    out = straight(Capture((bright, bright))).photos[0]
    linear = ((0.5 + 0.055) / 1.055) ** 2.4 / 2
    np.testing.assert_allclose(out.image, 1.055 * linear ** (1 / 2.4) - 0.055, atol=1e-5)
    assert straight(Capture((bright, bright)), even=False).photos[0].exposure == 1.0


def test_two_placed_pictures_are_needed():
    with pytest.raises(ReconstructionError, match="fewer than two"):
        straight(Capture((photo(), photo(camera=None))))
