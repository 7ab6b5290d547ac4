"""Dense stereo: planes and a sphere of known depth, partners, ranges, what is filtered out, bad input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liftform.camera import Camera
from liftform.capture import Capture, Mask, Photo, Sparse
from liftform.errors import ReconstructionError, UsageError
from liftform.lens import Lens
from liftform.photoset.neighbours import neighbours
from liftform.photoset.ranges import depth_ranges
from liftform.reconstruct.stereo import StereoOptions, stereo
from liftform.runtime import Runtime
from synthetic import ball_on_floor

pytest.importorskip("numba")

SIZE = (144, 108)


def looking(eye, at=(0.0, 0.3, 0.0)) -> Camera:
    """A level camera at ``eye`` that looks at ``at``."""
    eye = np.asarray(eye, float)
    z = np.asarray(at) - eye
    z /= np.linalg.norm(z)
    x = np.cross(z, [0.0, 1.0, 0.0])
    x /= np.linalg.norm(x)
    pose = np.eye(4)
    pose[:3] = np.stack([x, np.cross(z, x), z, eye], -1)
    return Lens(*SIZE, 170.0, 170.0, SIZE[0] / 2, SIZE[1] / 2).camera(pose)


def arc(count: int, step_deg: float = 9.0) -> list[Camera]:
    """Cameras around the sphere, alternately low and high."""
    turns = np.radians(step_deg) * (np.arange(count) - (count - 1) / 2)
    return [looking((2 * np.sin(a), 1.0 + 0.25 * (i % 2), 2 * np.cos(a))) for i, a in enumerate(turns)]


def shot(cameras: list[Camera], masked: bool = False, **scene) -> tuple[Capture, list]:
    """The sphere as these cameras see it, and its true maps."""
    true = [ball_on_floor(camera, floor=not masked, **scene) for camera in cameras]
    photos = []
    for number, (camera, (image, _, ball, _)) in enumerate(zip(cameras, true, strict=True)):
        mask = Mask(ball.astype(np.float32), image, 1.0) if masked else None
        photos.append(Photo(image, source=f"{number}.png", original_size=SIZE, camera=camera, mask=mask))
    return Capture(tuple(photos)), true


@pytest.fixture(scope="module")
def measured():
    capture, true = shot(arc(5))
    return stereo(StereoOptions(), Runtime(seed=1))(capture), true


def test_depth_of_a_sphere_on_a_floor_is_measured(measured):
    capture, true = measured
    found, z = capture.photos[2].depth, true[2][1]
    assert found.z.shape == z.shape
    assert found.scale == "relative"
    known = np.isfinite(found.z) & np.isfinite(z)
    error = np.abs(found.z - z)[known] / z[known]
    assert known.sum() > 0.75 * np.isfinite(z).sum()
    assert np.median(error) < 0.002
    assert (error < 0.01).mean() > 0.95
    assert np.isnan(found.spread[~np.isfinite(found.z)]).all()
    assert np.median(found.spread[known]) < 0.01


def test_normals_are_those_of_the_surface(measured):
    capture, true = measured
    found, (_, z, _, normals) = capture.photos[2].depth, true[2]
    known = np.isfinite(found.z) & np.isfinite(z)
    cosine = (found.normals * normals).sum(-1)[known]
    assert np.median(cosine) > np.cos(np.radians(12))
    assert (cosine > 0).mean() > 0.97
