"""The stereo network: its comparison of views against geometry, its parts against torch, and depth of known scenes."""

from __future__ import annotations

import functools

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("numba")

from synthetic import solid_pattern  # noqa: E402

from liftform.camera import Camera  # noqa: E402
from liftform.capture import Capture, Photo  # noqa: E402
from liftform.reconstruct.stereo import learned  # noqa: E402
from liftform.reconstruct.stereo.cost import View  # noqa: E402
from liftform.runtime import Runtime  # noqa: E402
from liftform.train import export_stereo, stereo, stereo_pass, stereo_scenes  # noqa: E402
from liftform.zoo import engines, stereo_net, stereo_warp, weights  # noqa: E402

HEIGHT, WIDTH = 64, 96


def a_camera(x=0.0, y=0.0, yaw=0.0, width=WIDTH, height=HEIGHT):
    """Near the origin, looking along +Z, a little turned."""
    pose = np.eye(4)
    c, s = np.cos(yaw), np.sin(yaw)
    pose[:3, :3] = [[c, 0, s], [0, 1, 0], [-s, 0, c]]
    pose[:3, 3] = x, y, 0.0
    return Camera(width, height, 90.0, 92.0, width / 2 + 1, height / 2 - 2, pose)


def cameras():
    return [a_camera(), a_camera(0.3, 0.05, -0.06), a_camera(-0.3, 0.1, 0.07), a_camera(0.05, -0.3)]


def wall(camera, normal=(0.25, -0.15, 1.0), distance=3.0, seed=0):
    """A patterned plane: rgb (H, W, 3) in [0, 1] and exact depth (H, W)."""
    origin, rays = camera.rays()
    n = np.array(normal)
    depth = (distance - origin @ n) / (rays @ n)
    points = origin + rays * depth[..., None]
    grey = solid_pattern(points * 0.3, seed)
    return np.stack([grey, 0.5 * grey + 0.2, 1 - grey], -1).astype(np.float32), depth.astype(np.float32)


def a_tuple(seed=0):
    """A sample of training: four views of a slanted wall."""
    shots = [wall(c, seed=seed) for c in cameras()]
    return {
        "rgb": np.stack([np.uint8(rgb * 255 + 0.5) for rgb, _ in shots]),
        "depth": np.stack([depth for _, depth in shots]),
        "lens": np.array([(c.fx, c.fy, c.cx, c.cy) for c in cameras()]),
        "pose": np.stack([c.world_from_camera for c in cameras()]),
    }


def a_batch(count=1, neighbours=3, rng=None):
    return stereo.collate([stereo.arranged(a_tuple(n), neighbours, rng) for n in range(count)], 16, None)


@functools.cache
def a_net():
    torch.manual_seed(0)
    return stereo_net.StereoNet().eval()


def places(camera):
    """Descriptors that say where each pixel is: x and y, counted from the corner."""
    x, y = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    return np.stack([x, y], -1).astype(np.float32)


def test_samples_lie_where_the_cameras_say():
    first, second = a_camera(), a_camera(0.4, -0.2, 0.1, 120, 80)
    turn, shift = stereo_warp.relation(first, second)
    base = np.full((HEIGHT, WIDTH), 0.2, np.float32)
    total, seen = np.zeros((HEIGHT, WIDTH, 3, 2), np.float32), np.zeros((HEIGHT, WIDTH, 3), np.float32)
    one = np.ones((HEIGHT, WIDTH), np.float32)
    ones = np.ones((HEIGHT, WIDTH, 2), np.float32)
    stereo_warp.add_likeness(ones, places(second), turn, shift, base, np.float32(0.1), one, total, seen)
    for d in range(3):
        points = first.unproject(places(first), np.full((HEIGHT, WIDTH), 1 / (0.2 + 0.1 * d)))
        there, _ = second.project(points)
        inner = ((there > 1) & (there < [119, 79])).all(-1)
        outer = ((there < 0) | (there > [120, 80])).any(-1)
        assert inner.sum() > 1000
        assert np.abs(total[inner, d] - there[inner]).max() < 2e-3
        assert (seen[inner, d] == 1).all()
        assert not seen[outer, d].any()
        assert not total[outer, d].any()


def test_a_fronto_parallel_plane_warps_by_its_homography():
    first, second = a_camera(), a_camera(0.4, -0.2, 0.1)
    k1, k2 = (np.array([[c.fx, 0, c.cx], [0, c.fy, c.cy], [0, 0, 1]]) for c in (first, second))
    move = second.camera_from_world @ first.world_from_camera
    homography = k2 @ (move[:3, :3] + np.outer(move[:3, 3], [0, 0, 1]) / 2.5) @ np.linalg.inv(k1)
    turn, shift = stereo_warp.relation(first, second)
    pixels = np.concatenate([places(first), np.ones((HEIGHT, WIDTH, 1))], -1).reshape(-1, 3)
    ours = pixels @ turn.T + shift / 2.5
    theirs = pixels @ homography.T
    assert np.abs(ours[:, :2] / ours[:, 2:] - theirs[:, :2] / theirs[:, 2:]).max() < 1e-3


def test_likeness_and_its_gradient_are_those_of_grid_sampling():
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(1, 2, 8, 10, 14, generator=generator, requires_grad=True)
    pairs = stereo_warp.relation(*(c.resized(14, 10) for c in (a_camera(), a_camera(0.3, 0.1, 0.05))))
    turn, shift = (torch.from_numpy(p)[None, None] for p in pairs)
    base, step = torch.rand(1, 10, 14, generator=generator) * 0.1 + 0.2, torch.tensor([0.05])
    batch = {"turn": turn, "shift": shift}
    wanted = torch.randn(1, 10, 14, 5, 4, generator=generator)
    ours = stereo_pass.compared(maps, batch, 0, base, step, 5, 4, 1)
    theirs = stereo_pass.by_grid(maps[:, 0], maps[:, 1], turn[:, 0], shift[:, 0], base, step, 5, 4)
    assert torch.equal(ours[1], theirs[1])
    assert 0.3 < float(ours[1].mean()) < 1
    assert torch.allclose(ours[0], theirs[0], atol=1e-4)
    slopes = [torch.autograd.grad((out * wanted).sum(), maps)[0] for out, _ in (ours, theirs)]
    assert torch.allclose(*slopes, atol=2e-3)


def test_slices_with_their_neighbours_make_a_3d_convolution():
    slab = stereo_net.Slab(2, 3).eval()
    x = torch.randn(2, 4, 2, 5, 6, generator=torch.Generator().manual_seed(0))
    kernel = slab.mix[0].weight.detach().unflatten(1, (3, 2)).transpose(1, 2)
    wanted = torch.nn.functional.conv3d(x.transpose(1, 2), kernel, padding=1).transpose(1, 2)
    found = slab.mix[0](stereo_net.with_neighbours(x.flatten(0, 1), 4)).unflatten(0, (2, 4))
    assert torch.allclose(found, wanted, atol=1e-5)


def test_a_peak_lies_between_hypotheses():
    logits = torch.full((1, 8, 1, 1), -9.0)
    logits[0, 5], logits[0, 6], logits[0, 0] = 3.0, 3.0, 2.0
    found = stereo_net.peak(logits)
    assert float(found.index) == pytest.approx(5.5, abs=0.01)
    assert float(found.sure) == pytest.approx(2 / (2 + np.exp(-1)), abs=0.01)


def test_the_network_is_small_and_answers_at_the_picture_s_size():
    assert sum(p.numel() for p in a_net().parameters()) < 1_000_000
    batch = a_batch(2)
    with torch.no_grad():
        answer = stereo_pass.through(a_net(), batch)
    assert answer.inverse.shape == answer.log_error.shape == (2, HEIGHT, WIDTH)
    assert [tuple(s.found.index.shape[1:]) for s in answer.stages] == [(8, 12), (16, 24), (32, 48)]
    assert bool(answer.inverse.isfinite().all())


def test_mirrored_tuples_keep_their_geometry():
    rng = np.random.default_rng(3)
    mirrored = set()
    for _ in range(12):
        found = stereo.arranged(a_tuple(), 2, rng)
        x, y = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
        rays = np.stack([x, y, np.ones_like(x)], -1)
        there = rays @ found["turn"][0].T + found["shift"][0] / found["depth"][..., None]
        column, row = ((there[..., k] / there[..., 2]).astype(int) for k in (0, 1))
        inside = np.isfinite(found["depth"]) & (column >= 0) & (row >= 0) & (column < WIDTH) & (row < HEIGHT)
        same = found["rgb"][0][inside].astype(float), found["rgb"][1][row[inside], column[inside]].astype(float)
        assert inside.sum() > 1500
        assert np.corrcoef(same[0].ravel(), same[1].ravel())[0, 1] > 0.8
        mirrored.add(bool(found["turn"][0][0, 0] < 0) or float(found["depth"][0, 0]) > float(found["depth"][-1, -1]))
    assert mirrored == {False, True}


def test_a_tuple_without_anything_in_it_does_no_harm():
    sample = a_tuple()
    sample["depth"] = np.full_like(sample["depth"], np.inf)
    batch = stereo.collate([stereo.arranged(sample, 2, None)], 16, None)
    losses = stereo.loss_fn(a_net(), batch)
    assert all(bool(v.isfinite()) for v in losses.values())


def test_one_batch_is_learned():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    net = stereo_net.StereoNet()
    optimiser = torch.optim.AdamW(net.parameters(), 3e-3)
    batch = a_batch()
    seen = []
    for _ in range(8):
        losses = stereo.loss_fn(net, batch)
        optimiser.zero_grad()
        losses["loss"].backward()
        optimiser.step()
        seen.append(float(losses["loss"].detach()))
    assert seen[-1] < 0.7 * seen[0]


def test_onnx_and_numba_say_what_torch_says(tmp_path, monkeypatch):
    export_stereo.install(a_net(), tmp_path)
    sessions = functools.cache(lambda name: engines.opened(tmp_path / f"{name}.onnx", Runtime(threads=1)))
    monkeypatch.setattr(weights, "session", lambda name, runtime=None: sessions(name))
    batch = a_batch()
    with torch.no_grad():
        answer = stereo_pass.through(a_net(), batch)
    pictures = batch["images"][0].permute(0, 2, 3, 1).numpy()
    views = [learned.look(image, camera) for image, camera in zip(pictures, cameras(), strict=True)]
    first, last = batch["ends"][0].tolist()
    found = learned.estimate(views[0], views[1:], 1 / first, 1 / last, depths=16)
    ours = answer.inverse[0].numpy().clip(0.98 * last, 1.02 * first)
    off = np.abs(1 / found.z - ours) / float(answer.step[0])
    assert np.quantile(off, 0.95) < 0.05
    told = np.exp(answer.log_error[0].clamp(-4, 5).numpy()) * float(answer.step[0]) * found.z
    assert np.quantile(np.abs(np.log(found.error / told)), 0.95) < 0.05


def test_pictures_of_a_made_up_scene_agree_with_one_another():
    rng = np.random.default_rng(5)
    scene = stereo_scenes.scene([], rng)
    views = stereo_scenes.cameras(scene, 2, (64, 64), rng)
    (rgb, depth), (_, other) = (stereo_scenes.photograph(scene, c, rng) for c in views)
    assert rgb.shape == (64, 64, 3)
    assert rgb.dtype == np.uint8
    known = np.isfinite(depth)
    assert known.mean() > 0.05
    rows, columns = np.nonzero(known)
    points = views[0].unproject(np.stack([columns, rows], -1) + 0.5, depth[known])
    at, z = views[1].project(points)
    inside = ((at >= 0) & (at < 64)).all(-1) & (z > 0)
    there = other[at[inside, 1].astype(int), at[inside, 0].astype(int)]
    assert (np.abs(there / z[inside] - 1) < 0.03).mean() > 0.5
    assert (there > z[inside] * 1.05).mean() < 0.1  # the second camera never sees through what the first one saw


@pytest.mark.skipif("stereo_coarse" not in weights.table(), reason="the network is not in the package yet")
def test_the_shipped_network_measures_a_slanted_wall():
    views = [a_camera(0.0), a_camera(0.3, 0.05, -0.05), a_camera(-0.3, 0.1, 0.05), a_camera(0.05, -0.3)]
    views = [c.resized(384, 256) for c in views]
    shots = [wall(c) for c in views]
    photos = tuple(Photo(rgb, camera=camera) for camera, (rgb, _) in zip(views, shots, strict=True))
    matcher = learned.Learned(Capture(photos), Runtime(threads=1))
    seen = [View(k, photo.image, views[k]) for k, photo in enumerate(photos)]
    found = matcher.propose(seen[0], seen[1:], 1.8, 6.0)
    assert found is not None
    assert found.z.shape == found.sure.shape == (256, 384)
    error = np.abs(found.z / shots[0][1] - 1)[8:-8, 8:-8]
    assert np.median(error) < 0.006
    assert (found.sure[8:-8, 8:-8] > 0).mean() > 0.5
    assert (error[found.sure[8:-8, 8:-8] > 0] < 0.03).mean() > 0.9  # a pixel is 2.6 %
    again = learned.Learned(Capture(photos), Runtime(threads=1)).propose(seen[0], seen[1:], 1.8, 6.0)
    assert np.array_equal(again.z, found.z)


def test_without_neighbours_there_is_nothing_to_propose():
    camera = a_camera()
    photo = Photo(wall(camera)[0], camera=camera)
    assert learned.Learned(Capture((photo,))).propose(View(0, photo.image, camera), [], 1.0, 2.0) is None
