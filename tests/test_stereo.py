"""Dense stereo: planes and a sphere of known depth, partners, ranges, what is filtered out, bad input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import ball_on_floor

from liftform.camera import Camera
from liftform.capture import Capture, Mask, Photo, Sparse
from liftform.errors import LiftformError, ReconstructionError, UsageError
from liftform.evaluate.stereo import Truth, agreement, compared
from liftform.lens import Lens
from liftform.photoset.neighbours import neighbours
from liftform.photoset.ranges import depth_ranges
from liftform.reconstruct.stereo import StereoOptions, stereo
from liftform.runtime import Runtime

pytest.importorskip("numba")
from liftform.reconstruct.stereo import filtering, levels
from liftform.reconstruct.stereo.cost import Proposal

# -- a scene of known depth -------------------------------------------------------------------------------------------


def looking(eye, at=(0.0, 0.3, 0.0), width: int = 144) -> Camera:
    """A level camera at ``eye`` that looks at ``at``."""
    eye = np.asarray(eye, float)
    z = np.asarray(at) - eye
    z /= np.linalg.norm(z)
    x = np.cross(z, [0.0, 1.0, 0.0])
    x /= np.linalg.norm(x)
    pose = np.eye(4)
    pose[:3] = np.stack([x, np.cross(z, x), z, eye], -1)
    height = width * 3 // 4
    return Lens(width, height, 1.2 * width, 1.2 * width, width / 2, height / 2).camera(pose)


def arc(count: int, step_deg: float = 9.0, width: int = 144) -> list[Camera]:
    """Cameras around the sphere, alternately low and high."""
    turns = np.radians(step_deg) * (np.arange(count) - (count - 1) / 2)
    return [looking((2 * np.sin(a), 1.0 + 0.25 * (i % 2), 2 * np.cos(a)), width=width) for i, a in enumerate(turns)]


def shot(cameras: list[Camera], masked: bool = False) -> tuple[Capture, list]:
    """The sphere as these cameras see it (with masks: without its floor), and its true maps."""
    true = [ball_on_floor(camera, floor=not masked) for camera in cameras]
    photos = []
    for number, (camera, (image, _, ball, _)) in enumerate(zip(cameras, true, strict=True)):
        mask = Mask(ball.astype(np.float32), image, 1.0) if masked else None
        photos.append(Photo(image, source=f"{number}.png", camera=camera, mask=mask))
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
    assert known.sum() > 0.8 * (z < 2.4).sum()
    assert np.median(error) < 0.002
    assert (error < 0.01).mean() > 0.93
    assert np.isnan(found.spread[~np.isfinite(found.z)]).all()
    assert np.median(error) / 4 < np.median(found.spread[known]) < np.median(error) * 4


def test_normals_are_those_of_the_surface(measured):
    capture, true = measured
    found, (_, z, _, normals) = capture.photos[2].depth, true[2]
    known = np.isfinite(found.z) & np.isfinite(z)
    cosine = (found.normals * normals).sum(-1)[known]
    assert np.median(cosine) > np.cos(np.radians(8))
    assert (cosine > 0).mean() > 0.97
    assert np.abs(np.linalg.norm(found.normals[known], axis=-1) - 1).max() < 1e-4


def test_the_figures_of_the_bench_are_those_of_the_truth(measured):
    capture, true = measured
    truth = Truth(tuple(t[1] for t in true), tuple(t[3].astype(np.float32) for t in true), 1.4)
    surface, pixels, error = compared(capture, truth)
    assert surface > pixels > 0.6
    assert error < 0.0015
    assert agreement(capture) > 0.9
    exact = [replace(p, depth=replace(p.depth, z=t[1])) for p, t in zip(capture.photos, true, strict=True)]
    assert compared(Capture(tuple(exact)), truth)[2] == 0
    farther = [replace(p, depth=replace(p.depth, z=t[1] * 1.1)) for p, t in zip(capture.photos, true, strict=True)]
    assert compared(Capture(tuple(farther)), truth)[1] == 0


def test_masks_and_seeds_decide_and_threads_do_not():
    capture, true = shot(arc(3, width=96), masked=True)
    runs = [stereo(StereoOptions(), Runtime(seed=s, threads=t))(capture) for s, t in ((0, 1), (0, 2), (5, 1))]
    one, two, other = (run.photos[1].depth.z for run in runs)
    assert one.tobytes() == two.tobytes()
    assert one.tobytes() != other.tobytes()
    ball = true[1][2]
    assert np.isnan(one[~ball]).all()
    assert np.isfinite(one[ball]).mean() > 0.6


def test_size_is_the_size_of_the_maps():
    capture, _ = shot(arc(3, width=96))
    found = stereo(StereoOptions(size=64, agree=2), Runtime())(capture)
    assert {photo.depth.z.shape for photo in found.photos} == {(48, 64)}
    assert found.decisions[-1].what == "stereo"


# -- learned costs ----------------------------------------------------------------------------------------------------


class Knowing:
    """A matcher that knows the depth."""

    def __init__(self, true):
        self.true = true

    def features(self, view):
        return None

    def propose(self, view, others, near, far):
        assert near < far
        z = self.true[view.number][1]
        return Proposal(z, np.isfinite(z).astype(np.float32))


def test_a_proposal_decides_where_pictures_are_plain():
    capture, true = shot(arc(3, width=96), masked=True)
    plain = Capture(tuple(replace(p, image=np.full_like(p.image, 0.5)) for p in capture.photos))
    ranges = depth_ranges(plain)
    partners = neighbours(plain, 2, ranges)
    shares = []
    for matcher in (None, Knowing(true)):
        sheets = levels.matched(plain, partners, ranges, 96, 0, matcher, lambda share: None)
        w, z, ball = sheets[1].planes[..., 0], true[1][1], true[1][2]
        shares.append((np.abs(w[ball] * z[ball] - 1) < 0.005).mean())
    assert shares[0] < 0.3
    assert shares[1] > 0.8


# -- geometry ---------------------------------------------------------------------------------------------------------


@given(st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_a_pair_sends_points_as_the_cameras_do(seed):
    rng = np.random.default_rng(seed)
    a, b = (looking(rng.normal([0, 1, 3], 0.3), rng.normal(0, 0.2, 3)) for _ in range(2))
    at, z = rng.uniform(0, 100, (8, 2)), rng.uniform(1, 9, 8)
    way = levels.pair(a, b).astype(float)
    ray = np.column_stack([at - 0.5, np.ones(8)])
    sent = ray @ way[:9].reshape(3, 3).T + way[9:] / z[:, None]
    there, want = sent[:, :2] / sent[:, 2:] + 0.5, b.project(a.unproject(at, z))[0]
    near = np.abs(want).max(1) < 1000  # the pair is kept in float32: places far outside the picture come out coarser
    np.testing.assert_allclose(there[near], want[near], atol=2e-3)
    assert near.any()


@given(st.integers(40, 77), st.integers(0, 100))
@settings(max_examples=20, deadline=None)
def test_a_slanted_plane_goes_on_exactly_at_the_next_level(width, seed):
    rng = np.random.default_rng(seed)
    capture, _ = shot(arc(2, width=width))
    reach = np.array([0.5, 9.0])
    fine = levels._sheet(capture.photos[0], reach, 1.0)
    coarse = levels._sheet(capture.photos[0], reach, 0.5)
    base, sx, sy = 0.5, *rng.uniform(-0.004, 0.004, 2)
    h, w = coarse.grey.shape
    height, whole = fine.grey.shape
    x, y = (np.arange(w) + 0.5) * whole / w, (np.arange(h) + 0.5) * height / h
    coarse.planes[..., 0] = base + sx * x[None] + sy * y[:, None]
    coarse.planes[..., 1:] = sx * whole / w, sy * height / h
    want = base + sx * (np.arange(whole) + 0.5)[None] + sy * (np.arange(height) + 0.5)[:, None]
    for guess in levels.continued(coarse, fine):
        np.testing.assert_allclose(guess[..., 0], want, atol=1e-5)


def exact_sheets(cameras: list[Camera]) -> tuple[list[levels.Sheet], list]:
    """Sheets that hold the true depth of the sphere on its floor."""
    capture, true = shot(cameras)
    sheets = [levels._sheet(photo, np.array([0.5, 9.0]), 1.0) for photo in capture.photos]
    for sheet, (_, z, _, normals) in zip(sheets, true, strict=True):
        w = np.where(np.isfinite(z), 1 / np.where(np.isfinite(z), z, 1), 0)
        rays = sheet.camera.rays()[1] @ sheet.camera.world_from_camera[:3, :3]
        slope = normals / np.minimum((normals * rays).sum(-1, keepdims=True), -1e-3) * w[..., None]
        sheet.planes[:] = np.stack([w, slope[..., 0] / sheet.camera.fx, slope[..., 1] / sheet.camera.fy], -1)
        sheet.cost[:] = 0.1
    return sheets, true


def test_what_others_do_not_see_is_filtered_out():
    sheets, true = exact_sheets(arc(4))
    partners = [[j for j in range(4) if j != i] for i in range(4)]
    z = true[1][1]
    kept = filtering.filtered(sheets, partners, 1, 3)
    assert (kept.inverse > 0)[z < 2.3].mean() > 0.9
    assert np.abs(kept.inverse * z - 1)[kept.inverse > 0].max() < 0.011
    assert kept.views.max() == 4
    wrong = np.zeros(z.shape, bool)
    wrong[40:60, 50:90] = True
    sheets[1].planes[wrong] *= 1.04
    sheets[1].planes[5:8, 5:8] = (0.9, 0, 0)  # something in the sky
    again = filtering.filtered(sheets, partners, 1, 3)
    assert (again.inverse > 0)[wrong].mean() < 0.02
    assert again.inverse[5:8, 5:8].max() < 0.5
    assert ((again.inverse > 0) == (kept.inverse > 0))[~wrong].mean() > 0.99


def test_hardly_alike_pictures_need_more_that_agree_and_specks_go():
    sheets, true = exact_sheets(arc(3))
    z = true[1][1]
    sheets[1].cost[:, :72] = 0.9
    kept = filtering.filtered(sheets, [[1, 2], [0, 2], [0, 1]], 1, 3)
    assert not kept.inverse[:, :72].any()
    assert (kept.inverse[:, 72:] > 0)[z[:, 72:] < 2.3].mean() > 0.8
    sheets[1].cost[:] = 0.1
    sheets[1].planes[:] *= np.float32(1.05)
    sheets[1].planes[70, 70] /= np.float32(1.05)  # one right pixel among wrong ones
    assert not filtering.filtered(sheets, [[1, 2], [0, 2], [0, 1]], 1, 3).inverse.any()


# -- partners and ranges ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sparse", [False, True])
def test_partners_lie_on_both_sides_at_a_good_angle(sparse):
    cameras = [*arc(9, 6.0), looking((0, 1, 2), (0, 1.5, 9))]  # the last looks away
    capture = Capture(tuple(Photo(np.zeros((108, 144, 3), np.float32), camera=c) for c in cameras))
    if sparse:
        points = np.random.default_rng(0).normal([0, 0.3, 0], 0.2, (200, 3))
        photo, point = np.repeat(np.arange(9, dtype=np.int32), 200), np.tile(np.arange(200, dtype=np.int32), 9)
        none = np.zeros((200, 3), np.float32)
        seen = Sparse(points, none, none[:, 0], photo, point, np.zeros((1800, 2), np.float32))
        capture = replace(capture, sparse=seen)
    found = neighbours(capture, 4)
    assert {n < 4 for n in found[4][:2]} == {True, False}
    assert found[0][0] in (1, 2, 3)  # 6 to 18 degrees
    assert 9 not in found[4]
    assert found[9] == []
    assert all(len(others) == 4 and i not in others for i, others in enumerate(found[:9]))


def test_ranges_hold_what_the_pictures_show():
    masked, true = shot(arc(6, 20.0), masked=True)
    for (near, far), (_, z, ball, _) in zip(depth_ranges(masked), true, strict=True):
        assert 0.6 * z[ball].min() < near < z[ball].min()
        assert z[ball].max() < far < 1.6 * z[ball].max()
    bare, _ = shot(arc(6, 20.0))
    near, far = depth_ranges(bare)[2]
    assert near < 1.5
    assert far > 2.5
    points = np.random.default_rng(0).normal([0, 0.3, 0], 0.1, (300, 3))
    points[0] = [0, 0.3, -900]
    none = np.zeros((300, 3), np.float32)
    unknown = np.zeros(0, np.int32)
    sparse = Sparse(points, none, none[:, 0], unknown, unknown, np.zeros((0, 2), np.float32))
    near, far = depth_ranges(replace(bare, sparse=sparse))[2]
    away = bare.photos[2].camera.project(points[1:])[1]
    assert 0.5 * away.min() < near < np.median(away) < far < 2 * away.max()


# -- bad input --------------------------------------------------------------------------------------------------------


def without_camera(photos):
    return (replace(photos[0], camera=None), *photos[1:])


def bent(photos):
    return (replace(photos[0], lens=Lens.of(photos[0].camera, (0.1, 0, 0, 0))), *photos[1:])


def of_another_size(photos):
    return (replace(photos[0], image=photos[0].image[:-4]), *photos[1:])


def with_a_broken_pose(photos):
    pose = np.full((4, 4), np.nan)
    return (replace(photos[0], camera=replace(photos[0].camera, world_from_camera=pose)), *photos[1:])


def looking_apart(photos):
    cameras = [looking((0, 1, s * 4), (0, 1, s * 9), 48) for s in (1, -1)]
    return tuple(replace(p, camera=c) for p, c in zip(photos, cameras, strict=False))


def of_different_places(photos):
    rng = np.random.default_rng(0)
    return tuple(replace(p, image=rng.random(p.image.shape).astype(np.float32)) for p in photos)


@pytest.mark.parametrize(
    ("spoil", "error", "said"),
    [
        (lambda photos: photos[:1], ReconstructionError, "one picture"),
        (without_camera, UsageError, "0.png: no camera"),
        (bent, UsageError, "0.png: its lens bends"),
        (of_another_size, UsageError, "0.png: its camera is for another size"),
        (with_a_broken_pose, UsageError, "0.png: its pose holds numbers that are not finite"),
        (looking_apart, ReconstructionError, "no two pictures look at the same place"),
        (of_different_places, ReconstructionError, "agree on no place"),
    ],
)
def test_what_cannot_be_measured_is_said_in_a_line(spoil, error, said):
    capture, _ = shot(arc(3, width=48))
    with pytest.raises(error, match=said) as caught:
        stereo(StereoOptions(), Runtime())(replace(capture, photos=spoil(capture.photos)))
    assert isinstance(caught.value, LiftformError)
    assert caught.value.hint


def test_a_picture_without_partners_gets_an_empty_map_and_is_named():
    capture, _ = shot(arc(3, width=48))
    away = Photo(capture.photos[0].image, source="away.png", camera=looking((0, 1, 4), (0, 1, 9), 48))
    found = stereo(StereoOptions(agree=2), Runtime())(replace(capture, photos=(*capture.photos, away)))
    assert np.isnan(found.photos[3].depth.z).all()
    assert found.decisions[-1].value == "away.png"
