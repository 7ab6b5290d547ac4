"""The camera and object stages with the embedded network, on a picture of a shaded ball and on a real example."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from liftform.capture import Capture, Mask, Photo
from liftform.errors import UsageError
from liftform.reconstruct.object import ObjectOptions, object_
from liftform.runtime import Runtime
from liftform.topology import health
from liftform.understand.camera import CameraOptions, camera
from liftform.zoo import lifter
from liftform.zoo.object_frame import bounding_box, virtual_camera

SOFA = Path(__file__).parents[1] / "examples" / "pictures" / "sofa.png"


def _ball(width: int = 400, height: int = 300, centre: tuple[int, int] = (200, 150), radius: int = 90) -> Capture:
    rows, columns = np.mgrid[:height, :width] + 0.5
    x, y = (columns - centre[0]) / radius, (rows - centre[1]) / radius
    z = np.sqrt(np.maximum(1 - x * x - y * y, 0))
    alpha = (x * x + y * y < 1).astype(np.float32)
    light = 0.35 + 0.6 * np.maximum(0.4 * -y + 0.3 * x + 0.86 * z, 0)
    image = (light[..., None] * np.array([0.8, 0.35, 0.2])).astype(np.float32)
    return Capture((Photo(image, alpha, "ball", (width, height), mask=Mask(alpha, image, 1.0)),))


def _seen(capture: Capture, **options: float) -> Capture:
    return camera(CameraOptions(**options), Runtime())(capture)


def test_what_the_user_says_of_the_camera_holds() -> None:
    seen = _seen(_ball(), fov_deg=30.0, elevation_deg=12.0)
    assert np.degrees(seen.photo.camera.yfov) == pytest.approx(30.0)
    origins = {d.what: d.origin for d in seen.decisions}
    assert origins == {"field of view": "given", "elevation": "given"}
    assert {d.what: d.value for d in seen.decisions}["elevation"] == 12.0


def test_exif_wins_over_the_estimate_and_the_user_over_exif() -> None:
    ball = _ball()
    ball = replace(ball, photos=(replace(ball.photo, focal_px=600.0),))
    assert _seen(ball).photo.camera.fy == 600.0
    assert next(d.origin for d in _seen(ball).decisions if d.what == "field of view") == "file"
    assert np.degrees(_seen(ball, fov_deg=50.0).photo.camera.yfov) == pytest.approx(50.0)


def test_estimates_are_possible_cameras() -> None:
    seen = _seen(_ball())
    assert 8 <= np.degrees(seen.photo.camera.yfov) <= 95
    assert all(d.origin == "estimated" for d in seen.decisions)
    box = bounding_box(seen.photo.mask.alpha)
    pixel, depth = seen.photo.camera.project(np.zeros((1, 3)))
    np.testing.assert_allclose(pixel[0], [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2], atol=1e-6)
    assert depth[0] > 0


def test_stages_say_what_they_miss() -> None:
    bare = Capture((Photo(np.zeros((32, 32, 3), np.float32)),))
    with pytest.raises(UsageError, match="mask"):
        _seen(bare)
    with pytest.raises(UsageError, match="camera"):
        object_(ObjectOptions(), Runtime())(bare)


def test_a_ball_becomes_a_closed_ball_inside_its_silhouette() -> None:
    seen = _seen(_ball(centre=(240, 130)), fov_deg=35.0, elevation_deg=10.0)
    mesh = object_(ObjectOptions(resolution=64), Runtime())(seen).validate()
    assert health(mesh).watertight
    assert ((mesh.colors >= 0) & (mesh.colors <= 1)).all()
    assert mesh.colors.mean(0)[0] > mesh.colors.mean(0)[2]  # it was reddish
    extent = np.ptp(mesh.vertices, axis=0)
    assert extent.max() / extent.min() < 1.5
    pixels, _ = seen.photo.camera.project(mesh.vertices)
    assert np.hypot(pixels[:, 0] - 240, pixels[:, 1] - 130).max() < 92.5
    assert np.hypot(pixels[:, 0] - 240, pixels[:, 1] - 130).max() > 84


def test_the_field_does_not_depend_on_how_points_are_batched() -> None:
    seen = _seen(_ball(), fov_deg=35.0, elevation_deg=10.0)
    photo = seen.photo
    virtual = virtual_camera(photo.camera, bounding_box(photo.mask.alpha), lifter.input_size())
    image, _ = lifter.crop(photo.mask.foreground, photo.mask.alpha, photo.camera, virtual)
    field = lifter.field_of(lifter.read(image), virtual)
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (lifter.CHUNK + 100, 3)).astype(np.float32)
    whole = field(points)
    assert whole.shape == (len(points), 4)
    np.testing.assert_allclose(whole[-100:], field(points[-100:]), atol=1e-4)
    assert field(np.zeros((1, 3)))[0, 0] < 0
    assert field(np.full((1, 3), 0.55))[0, 0] > 0
    assert field(np.zeros((0, 3))).shape == (0, 4)
