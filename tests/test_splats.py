"""Splats: blending against plain sums, gradients against differences, files, moving, runs that resume, viewers."""

from __future__ import annotations

import dataclasses
import gzip
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import box

from liftform.assets import PointCloud, Splats
from liftform.camera import Camera
from liftform.capture import Capture, Photo
from liftform.errors import OutputError, UnreadableError, UsageError
from liftform.export import save
from liftform.export.splats import read_splats
from liftform.reconstruct.splats import SplatsOptions, density, splats
from liftform.reconstruct.splats.layout import LOGIT, MEAN, SCALE, TURN, columns, to_splats, to_table
from liftform.reconstruct.splats.loss import Loss
from liftform.reconstruct.splats.start import from_points
from liftform.reconstruct.splats.view import back, painted, render
from liftform.runtime import Runtime

ROOT = Path(__file__).parents[1]


def random_table(count=24, degree=2, seed=0) -> np.ndarray:
    """Gaussians (count, columns) float64 within about half a unit of the origin."""
    rng = np.random.default_rng(seed)
    table = rng.normal(0, 0.25, (count, columns(degree)))
    table[:, MEAN:SCALE] = rng.normal(0, 0.4, (count, 3))
    table[:, SCALE:TURN] = np.log(0.12) + rng.normal(0, 0.3, (count, 3))
    table[:, TURN:LOGIT] = rng.normal(size=(count, 4))
    table[:, LOGIT] = rng.normal(0, 1, count)
    return table


def a_few(count=40, degree=2, seed=0) -> Splats:
    """Splats as files may hold them."""
    asset = to_splats(random_table(count, degree, seed).astype(np.float32))
    return asset.with_(harmonics=np.clip(asset.harmonics, -0.95, 0.95)).validate()


# --- pictures ---------------------------------------------------------------------------------------------------------


def test_blending_is_the_sum_that_the_paper_writes():
    """Every pixel by plain numpy: project, weigh, sort by depth, blend (Kerbl et al. 2023, equations 3 and 5)."""
    table, camera, background = random_table(degree=0), Camera.orbit(40, 0.7, 0.4, 0.3, 2.5), np.array([0.2, 0.5, 0.9])
    asset = to_splats(table.astype(np.float32))
    world = camera.camera_from_world
    places = asset.means @ world[:3, :3].T + world[:3, 3]
    x, y = np.meshgrid(np.arange(40) + 0.5, np.arange(40) + 0.5)
    picture, clear = np.zeros((40, 40, 3)), np.ones((40, 40))
    for i in np.argsort(places[:, 2]):
        a, b, z = places[i]
        slope = np.array([[camera.fx / z, 0, -camera.fx * a / z**2], [0, camera.fy / z, -camera.fy * b / z**2]])
        half = slope @ world[:3, :3] @ rotation(asset.rotations[i]) * asset.scales[i]
        inverse = np.linalg.inv(half @ half.T + 0.3 * np.eye(2))
        away = np.stack([x - camera.fx * a / z - camera.cx, y - camera.fy * b / z - camera.cy], -1)
        alpha = asset.opacities[i] * np.exp(-0.5 * np.einsum("hwi,ij,hwj->hw", away, inverse, away))
        alpha = np.where(alpha < 1 / 255, 0, np.minimum(alpha, 0.99))
        picture += (clear * alpha)[..., None] * np.maximum(0.5 + 0.28209479 * asset.harmonics[i, 0], 0)
        clear *= 1 - alpha
    drawn = painted(table, camera, background, 0.01)
    expected = picture + clear[..., None] * background
    away = np.abs(np.moveaxis(drawn.picture, 0, -1) - expected)
    assert away.max() < 5e-3  # at the edge of what is drawn, 1/255, a pixel may fall either way
    assert away.mean() < 2e-5


def rotation(q) -> np.ndarray:
    """Rotation (3, 3) of a unit quaternion wxyz, by what it does to the axes."""
    w, v = float(q[0]), np.asarray(q[1:], np.float64)
    cross = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    return np.eye(3) + 2 * w * cross + 2 * cross @ cross


def test_gradients_are_those_of_finite_differences():
    table, camera = random_table(), Camera.orbit(40, 0.7, 0.4, 0.3, 2.5)
    rng, background = np.random.default_rng(1), np.array([0.2, 0.5, 0.9])
    weights, error = rng.normal(size=(3, 40, 40)), np.abs(rng.normal(size=(40, 40)))
    seen = painted(table, camera, background, 0.01)
    gradients, scores = back(table, seen, weights, error)
    for i in (0, 7, 19):
        for k in range(table.shape[1]):
            low, high = table.copy(), table.copy()
            low[i, k] -= 1e-5
            high[i, k] += 1e-5
            above, below = (painted(t, camera, background, 0.01).picture for t in (high, low))
            slope = ((above - below) * weights).sum()
            assert gradients[i, k] == pytest.approx(slope / 2e-5, rel=2e-4, abs=2e-4), f"Gaussian {i}, column {k}"
    assert scores.sum() == pytest.approx(((1 - seen.clear) * error).sum())


def test_gradient_of_the_loss_and_its_value():
    from skimage.metrics import structural_similarity

    rng = np.random.default_rng(2)
    picture, photo, weight = rng.random((3, 24, 20)), rng.random((3, 24, 20)), np.ones((24, 20))
    loss = Loss(24, 20, kind=np.float64)
    value = loss(picture, photo, weight)
    gradient = loss.gradient.copy()
    for c, y, x in ((0, 0, 0), (1, 12, 9), (2, 23, 19), (0, 5, 18)):
        low, high = picture.copy(), picture.copy()
        low[c, y, x] -= 1e-6
        high[c, y, x] += 1e-6
        slope = (loss(high, photo, weight) - loss(low, photo, weight)) / 2e-6
        assert gradient[c, y, x] == pytest.approx(slope, rel=1e-5)
    middle = loss._value[:, 5:-5, 5:-5]
    loss(picture, photo, weight)
    plain = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "full": True, "data_range": 1.0}
    known = structural_similarity(picture, photo, channel_axis=0, **plain)[1][:, 5:-5, 5:-5]
    assert middle == pytest.approx(known, abs=1e-9)
    assert value == pytest.approx(0.8 * np.abs(picture - photo).mean() + 0.2 * (1 - loss._value.mean()))


def test_threads_do_not_change_pictures_nor_gradients():
    import numba

    table, camera = random_table(300).astype(np.float32), Camera.orbit(70, 0.7, 0.4, 0.3, 2.5)
    weights, error = np.ones((3, 70, 70), np.float32), np.ones((70, 70), np.float32)
    results, most = [], numba.get_num_threads()
    for threads in (1, most):
        numba.set_num_threads(threads)
        seen = painted(table, camera, np.zeros(3, np.float32), 0.01)
        results.append((seen.picture, *back(table, seen, weights, error)))
    numba.set_num_threads(most)
    for one, other in zip(*results, strict=True):
        assert np.array_equal(one, other)


# --- where more are wanted --------------------------------------------------------------------------------------------


def test_a_gaussian_cut_in_two_paints_about_the_same_across_its_length():
    table = random_table(1, 0)
    table[0, MEAN:TURN] = [0, 0, 0, np.log(0.4), np.log(0.1), np.log(0.1)]
    table[0, TURN:LOGIT] = [1, 0, 0, 0]
    table[0, LOGIT] = np.log(0.3 / 0.7)
    first, second = density._halves(table)
    camera, black = Camera.orbit(48, 0.5, 0.0, 0.3, 4.0), np.zeros(3)
    whole = 1 - painted(table, camera, black, 0.01).clear
    halves = 1 - painted(np.concatenate([first, second]), camera, black, 0.01).clear
    assert whole.max() == pytest.approx(0.3, abs=0.01)
    assert np.abs(halves - whole).max() < 0.06
    assert halves.sum() == pytest.approx(0.9 * whole.sum(), rel=0.1)


def test_faint_gaussians_go_where_the_error_is():
    table = random_table(50, 0).astype(np.float32)
    table[:10, LOGIT] = -9
    wrong = np.zeros(50, np.float32)
    wrong[20:40] = 1
    moments = np.ones((2, 50, table.shape[1]), np.float32)
    moved, fresh = density.relocated(table.copy(), moments, wrong, 55, np.random.default_rng(0))
    assert len(moved) == 55
    assert (moved[:, LOGIT] > -6).all()
    changed = np.flatnonzero((moved[:50] != table).any(1))
    assert set(changed) <= {*range(10), *range(20, 40)}
    assert len(changed) == 25
    assert (fresh[:, changed] == 0).all()


# --- files ------------------------------------------------------------------------------------------------------------


@settings(max_examples=12, deadline=None)
@given(degree=st.integers(0, 2), seed=st.integers(0, 1000), size=st.sampled_from([0.01, 1.0, 300.0]))
def test_files_give_back_what_was_written(tmp_path_factory, degree, seed, size):
    folder, asset = tmp_path_factory.mktemp("splats"), a_few(30, degree, seed)
    asset = asset.with_(means=asset.means * np.float32(size), metadata={"steps": 7})
    save(asset, folder / "a.ply")
    save(asset, folder / "a.spz")
    exact, packed = read_splats(folder / "a.ply"), read_splats(folder / "a.spz")
    assert exact.metadata == {"steps": 7}
    for name in ("means", "rotations", "harmonics"):
        assert np.allclose(getattr(exact, name), getattr(asset, name), atol=1e-6)
    assert np.allclose(exact.scales, asset.scales, rtol=1e-5)
    assert np.allclose(exact.opacities, asset.opacities, atol=1e-5)
    assert np.abs(packed.means - asset.means).max() <= 2**-12 * max(1, size / 64)
    assert np.abs(np.log(packed.scales / asset.scales)).max() <= 1 / 32 + 1e-3
    assert np.abs(packed.opacities - asset.opacities).max() <= 0.5 / 255 + 1e-6
    assert np.abs(packed.harmonics[:, :1] - asset.harmonics[:, :1]).max() <= 0.5 / 255 / 0.15 + 1e-3
    if degree:
        assert np.abs(packed.harmonics[:, 1:] - asset.harmonics[:, 1:]).max() <= 1 / 16 + 1 / 128 + 1e-6
    assert np.abs((packed.rotations * asset.rotations).sum(1)).min() > 0.98


def test_the_ply_is_laid_out_as_viewers_expect(tmp_path):
    asset = a_few(3, 1)
    save(asset, tmp_path / "a.ply")
    head, body = (tmp_path / "a.ply").read_bytes().split(b"end_header\n", 1)
    names = [line.split()[-1] for line in head.decode().splitlines() if line.startswith("property")]
    rest = [f"f_rest_{k}" for k in range(9)]
    plain = ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2"]
    assert names == [*plain, *rest, "opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"]
    row = dict(zip(names, np.frombuffer(body, "<f4").reshape(3, -1)[1], strict=True))
    assert [row[f"f_rest_{k}"] for k in range(3)] == pytest.approx(list(asset.harmonics[1, 1:, 0]))  # all reds first
    assert row["scale_2"] == pytest.approx(np.log(asset.scales[1, 2]), rel=1e-5)
    assert row["rot_0"] == asset.rotations[1, 0] >= 0


def test_the_spz_is_laid_out_as_its_specification_says(tmp_path):
    means, scales = np.float32([[1, -2, 0.5]]), np.full((1, 3), np.exp(-3), np.float32)
    turn = np.float32([[0.5, -0.5, 0.5, 0.5]])
    save(Splats(means, scales, turn, np.float32([0.2]), np.zeros((1, 1, 3), np.float32)), tmp_path / "a.spz")
    data = gzip.decompress((tmp_path / "a.spz").read_bytes())
    assert data[:4] == b"NGSP"
    assert data[4:16] == bytes([2, 0, 0, 0, 1, 0, 0, 0, 0, 18, 0, 0])
    places = [int.from_bytes(data[at : at + 3], "little", signed=True) / 2**18 for at in (16, 19, 22)]
    assert places == [1, -2, 0.5]
    assert list(data[25:]) == [51, 128, 128, 128, 112, 112, 112, 64, 191, 191]


def test_version_3_of_spz_is_read(tmp_path):
    """The quaternion (x, y, z, w) = (0.5, -0.5, 0.1, 0.7): w is left out, the others in ten bits from x down."""
    parts = [0.5, -0.5, 0.1]
    word = 3
    for value in parts:
        word = (word << 10) | ((value < 0) << 9) | int(511 * abs(value) / np.sqrt(0.5) + 0.5)
    head = b"NGSP" + bytes([3, 0, 0, 0, 1, 0, 0, 0, 0, 12, 0, 0])
    body = bytes(9) + bytes([128]) + bytes(3) + bytes(3) + word.to_bytes(4, "little")
    (tmp_path / "a.spz").write_bytes(gzip.compress(head + body))
    turn = read_splats(tmp_path / "a.spz").rotations[0]
    assert turn == pytest.approx([0.7, 0.5, -0.5, 0.1], abs=2e-3)


def test_bad_files_and_targets_are_named(tmp_path):
    asset = a_few(30)
    for suffix in ("ply", "spz"):
        save(asset, tmp_path / f"a.{suffix}")
        whole = (tmp_path / f"a.{suffix}").read_bytes()
        for n, data in enumerate((whole[: len(whole) // 2], whole[:9], b"")):
            (tmp_path / f"b{n}.{suffix}").write_bytes(data)
            with pytest.raises(UnreadableError, match=f"b{n}.{suffix}"):
                read_splats(tmp_path / f"b{n}.{suffix}")
    with pytest.raises(OutputError, match="do not hold splats"):
        save(asset, tmp_path / "a.glb")
    with pytest.raises(OutputError, match="hold splats"):
        save(box(), tmp_path / "c.spz")
    with pytest.raises(OutputError, match="too far out"):
        save(asset.with_(means=asset.means * np.float32(1e8)), tmp_path / "d.spz")
    assert not (tmp_path / "c.spz").exists()
    assert not (tmp_path / "d.spz").exists()


# --- runs -------------------------------------------------------------------------------------------------------------


def two_balls(count=8, size_px=64) -> tuple[Capture, Splats]:
    """Masked pictures, from around, of splats that are known: a red ball and a smaller green one."""
    rng = np.random.default_rng(0)
    normals = rng.normal(size=(800, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    points = normals * np.repeat([0.4, 0.2], 400)[:, None] + np.repeat([[0, 0, 0], [0.5, 0.3, 0]], 400, axis=0)
    colors = np.repeat([[0.8, 0.2, 0.1], [0.1, 0.6, 0.2]], 400, axis=0)
    truth = from_points(PointCloud(*(a.astype(np.float32) for a in (points, colors, normals))))
    photos = []
    for k in range(count):
        camera = Camera.orbit(size_px, 0.6, 2 * np.pi * k / count, 0.5 * np.sin(k), 3.0)
        drawn = render(truth, camera)
        photos.append(Photo(drawn[..., :3].copy(), alpha=drawn[..., 3].copy(), source=f"{k}.png", camera=camera))
    return Capture(tuple(photos)), truth


QUICK = SplatsOptions(steps=300, gaussians=900, degree=1)
ONE = Runtime(threads=1)  # threads that wait for each other cost more than pictures this small


def test_splats_come_to_look_like_the_pictures_and_like_one_not_seen():
    capture, truth = two_balls()
    found = splats(QUICK, ONE)(capture).validate()
    camera = Camera.orbit(64, 0.6, 0.4, 0.2, 3.0)  # between the cameras
    error = render(found, camera, (1.0, 1.0, 1.0)) - render(truth, camera, (1.0, 1.0, 1.0))
    plain = 1.0 - render(truth, camera, (1.0, 1.0, 1.0))
    assert (error**2).mean() < 0.03 * (plain**2).mean()
    assert found.metadata["begun_from"] == "silhouettes"


def test_same_seed_same_bytes_and_a_stopped_run_goes_on_as_if_it_had_not(tmp_path):
    capture, _ = two_balls()
    options = dataclasses.replace(QUICK, steps=40, preview=tmp_path / "p.png")
    once = splats(options, ONE)(capture)
    kept = dataclasses.replace(options, checkpoint=tmp_path / "run.npz")

    def stop(stage: str, fraction: float) -> None:
        if fraction >= 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        splats(kept, Runtime(threads=1, progress=stop))(capture)
    again = splats(kept, ONE)(capture)
    for name in ("means", "scales", "rotations", "opacities", "harmonics"):
        assert np.array_equal(getattr(once, name), getattr(again, name)), name
    assert (tmp_path / "p.png").stat().st_size > 100
    with pytest.raises(UsageError, match="other pictures or options"):
        splats(dataclasses.replace(kept, degree=0), ONE)(capture)
    (tmp_path / "run.npz").write_bytes(b"PK broken")
    with pytest.raises(UnreadableError, match=r"run\.npz"):
        splats(kept, ONE)(capture)


def test_points_become_discs_across_their_normals():
    normals = np.float32([[0, 0, 1], [0, 0, -1], [1, 0, 0], [0.6, 0, 0.8]])
    points = np.float32([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 1]])
    made = from_points(PointCloud(points, np.full((4, 3), 0.25, np.float32), normals)).validate()
    for turn, normal, scales in zip(made.rotations, normals, made.scales, strict=True):
        assert rotation(turn)[:, 2] == pytest.approx(normal, abs=1e-6)
        assert scales[2] < 0.5 * scales[0] == pytest.approx(0.5 * scales[1])
    assert made.colors == pytest.approx(0.25, abs=1e-6)
    assert np.allclose(to_table(made)[:, SCALE:TURN], np.log(made.scales))


# --- public viewers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("viewer", ["spark", "gaussian-splats-3d"])
@pytest.mark.parametrize("suffix", ["ply", "spz"])
def test_files_open_in_a_public_viewer_the_right_way_up(tmp_path, viewer, suffix):
    """Balls on the axes, x red, y green, z blue, seen from the front, above and right: each where it belongs."""
    folders = sorted((ROOT / "build").glob("splat-viewers-*/node_modules"))
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if not folders or chromium is None or shutil.which("node") is None:
        pytest.skip("public splat viewers are not installed: scripts/get_splat_viewers.sh, node and chromium")
    from PIL import Image

    save(on_the_axes(), tmp_path / f"a.{suffix}")
    view = {"eye": [2, 1.5, 3], "target": [0, 0, 0], "yfov_deg": 40, "width": 256, "height": 256}
    command = ["node", ROOT / "tests" / "viewer" / "show.mjs", folders[-1].parent, viewer, tmp_path / f"a.{suffix}"]
    shown = subprocess.run([*command, tmp_path / "a.png", json.dumps(view)], capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout) == {"splats": 1200, "errors": []}
    picture = np.asarray(Image.open(tmp_path / "a.png").convert("RGB")).astype(int)
    red, green, blue = (np.argwhere(picture[..., k] > picture.sum(-1) * 0.6).mean(0) for k in range(3))
    assert green[0] < 90
    assert red[1] > 150 > 110 > blue[1]
    assert min(red[0], blue[0]) > 110


def on_the_axes() -> Splats:
    """Three balls of 400 splats: red at x, green at y, blue at z."""
    normals = np.random.default_rng(0).normal(size=(1200, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    points = 0.25 * normals + np.repeat(0.8 * np.eye(3), 400, axis=0)
    colors = np.repeat(0.1 + 0.8 * np.eye(3), 400, axis=0)
    return from_points(PointCloud(*(a.astype(np.float32) for a in (points, colors, normals))))
