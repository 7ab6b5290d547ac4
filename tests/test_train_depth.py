"""The depth network: losses against known answers, windows that keep their geometry, a run that learns and exports."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from liftform.errors import InputNotFoundError, UnreadableError  # noqa: E402
from liftform.train import depth, depth_losses, shards  # noqa: E402
from liftform.train.loop import LoopOptions  # noqa: E402
from liftform.train.photographed import photographed  # noqa: E402
from liftform.zoo.depth_net import DepthNet, Scene  # noqa: E402

YFOV = 0.9


def floor_view(height=48, width=64, wall=4.0):
    """A camera 1.5 m above a floor, looking level at a wall: picture, exact depth and normals."""
    v, u = np.mgrid[0:height, 0:width] + 0.5
    focal = height / 2 / np.tan(YFOV / 2)
    floor = 1.5 * focal / np.maximum(v - height / 2, 1e-6)
    on_floor = floor < wall
    z = np.where(on_floor, floor, wall)
    normals = np.where(on_floor[..., None], [0, -127, 0], [0, 0, -127]).astype(np.int8)
    rgb = np.where(on_floor[..., None], [150, 110, 70], [200, 200, 210]) + ((u + v).astype(int) % 2 * 20)[..., None]
    return {
        "rgb": rgb.astype(np.uint8),
        "depth": z.astype(np.float16),
        "normals": normals,
        "meta": {"yfov": YFOV},
    }


def scene_of(z, normals=None):
    """What a network would say that is right about ``z`` (B, 1, h, w)."""
    normals = torch.zeros(len(z), 3, *z.shape[-2:]) if normals is None else normals
    flat = torch.zeros_like(z)
    return Scene(z.log(), normals, flat - 20, flat - 3, torch.zeros(len(z)))


def a_depth(seed=0):
    return torch.rand(2, 1, 24, 32, generator=torch.Generator().manual_seed(seed)) * 4 + 1


def test_affine_error_ignores_scale_and_shift_and_nothing_else():
    z = a_depth()
    known = torch.ones_like(z, dtype=torch.bool)
    assert depth_losses.affine(scene_of(3 * z + 0.7), z, known).max() < 1e-4
    assert depth_losses.affine(scene_of(z * z), z, known).min() > 0.03


def test_affine_error_is_the_least_squares_one():
    z, guess = a_depth().double(), a_depth(1).double()
    known = torch.rand(z.shape) < 0.7
    found = depth_losses.affine(scene_of(guess), z, known)
    for i in range(2):
        y, x = z[i][known[i]].numpy(), guess[i][known[i]].numpy()
        scale, shift = np.linalg.lstsq(np.stack([x / y, 1 / y], 1), np.ones_like(y), rcond=None)[0]
        assert float(found[i]) == pytest.approx(np.mean(np.abs(scale * x + shift - y) / y), rel=1e-3)


def test_scale_free_losses_ignore_scale_but_see_shift():
    z = a_depth()
    known = torch.ones_like(z, dtype=torch.bool)
    right, shifted = (5 * z).log() - z.log(), (z + 2).log() - z.log()
    for loss in (lambda e: depth_losses.scale_free(e, known), lambda e: depth_losses.local(e, known, 4)):
        assert loss(right).max() < 1e-5
        assert loss(shifted).min() > 0.05
    assert depth_losses.slopes(right, known, 1).max() < 1e-5


def test_unknown_pixels_do_not_count():
    z = a_depth()
    z[:, :, :8] = torch.nan
    normals = torch.nn.functional.normalize(torch.randn(2, 3, 24, 32), dim=1)
    scene = scene_of(torch.nan_to_num(z, nan=77.0), normals)
    parts = depth_losses.all_losses(scene, z, normals, torch.zeros_like(z), torch.zeros(2))
    assert all(bool(v.isfinite()) for v in parts.values())
    for name in ("affine", "scale_free", "local", "slopes", "normals", "metric", "sky", "lens"):
        assert float(parts[name]) < 1e-4, name


def test_a_picture_of_nothing_but_sky_has_finite_losses():
    z = torch.full((2, 1, 24, 32), torch.nan)
    parts = depth_losses.all_losses(
        scene_of(a_depth()), z, torch.zeros(2, 3, 24, 32), torch.ones_like(z), torch.zeros(2)
    )
    assert float(parts["affine"]) == 0
    assert float(parts["sky"]) > 10  # the network swore that there was no sky


def test_a_window_keeps_the_geometry():
    view = floor_view()
    whole = depth.cut(view, 48, 64, None)
    assert float(whole["log_tan"]) == pytest.approx(np.log(np.tan(YFOV / 2) * 64 / 48), abs=1e-6)
    narrow = depth.cut(view, 48, 32, None)
    assert float(narrow["log_tan"]) == pytest.approx(np.log(np.tan(YFOV / 2)), abs=1e-6)
    tight = depth.cut(view, 48, 64, np.random.default_rng(0), 0.5)
    assert float(tight["log_tan"]) < float(whole["log_tan"])
    assert whole["depth"].shape == (24, 32)
    assert whole["depth"][0, 0] == 4.0


def test_mirrored_windows_mirror_their_normals():
    view = floor_view()
    view["normals"][..., 0] = 90
    seen = {float(np.sign(depth.cut(view, 48, 64, np.random.default_rng(i))["normals"][0, 0, 0])) for i in range(12)}
    assert seen == {-1.0, 1.0}


def test_sky_is_not_unknown():
    view = floor_view()
    view["depth"][:20] = np.inf
    view["depth"][40:] = np.nan
    window = depth.cut(view, 48, 64, None)
    assert (window["sky"][:10] == 1).all()
    assert np.isnan(window["sky"][20:]).all()
    assert (window["sky"][11:19] == 0).all()
    assert np.isnan(window["depth"][:10]).all()


def test_photographed_stays_a_picture_and_is_repeatable():
    image = torch.rand(3, 3, 16, 16)
    first, second = (photographed(image, torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(first, second)
    assert float(first.min()) >= 0
    assert float(first.max()) <= 1
    assert not torch.equal(first, image)


@pytest.fixture(scope="module")
def rooms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rooms")
    for number in range(2):
        views = [{"key": f"v{number}{i}", **floor_view(wall=2.0 + i + number)} for i in range(6)]
        shards.write(folder / f"rooms_{number:04d}.tar", views)
    return folder


def small(rooms, checkpoint):
    options = depth.DepthOptions(shards=rooms, batch=4, heights=(48,) * 4, widths=(64,) * 4, validation=4)
    loop = LoopOptions(max_steps=8, lr=2e-3, warmup_steps=1, ema=0.5, clip=5.0, precision="fp32", checkpoint=checkpoint)
    return depth.DepthRecipe(depth=options, loop=loop)


def test_it_learns_resumes_and_exports(rooms, tmp_path, monkeypatch):
    import onnxruntime

    from liftform.train import export_depth

    recipe = small(rooms, tmp_path / "last.pt")
    said = []
    progress = depth.train_depth(replace(recipe, loop=replace(recipe.loop, log_every=1)), said.append)
    assert progress.rows[-1]["loss"] < progress.rows[0]["loss"]
    assert "val_affine" in progress.rows[-1]
    assert (tmp_path / "look.png").is_file()
    longer = replace(recipe, loop=replace(recipe.loop, max_steps=9))
    assert depth.train_depth(longer, said.append).step == 9
    monkeypatch.setattr(export_depth, "write_row", lambda *row: None)
    out = tmp_path / "depth.onnx"
    assert export_depth.export_depth(tmp_path / "last.pt", out) < 0.03
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    for height, width in ((64, 96), (96, 64)):
        z, normals, sky, spread, fov = session.run(None, {"image": np.zeros((1, 3, height, width), np.float32)})
        assert z.shape == sky.shape == spread.shape == (1, 1, height // 2, width // 2)
        assert np.linalg.norm(normals, axis=1) == pytest.approx(1, abs=1e-3)
        assert z.min() > 0
        assert fov.shape == (1,)
        assert 0 <= sky.min() <= sky.max() <= 1


def test_it_starts_from_the_encoder_of_the_object_network(tmp_path):
    from liftform.zoo.object_net import ObjectNet

    source = ObjectNet()
    file = tmp_path / "object.pt"
    torch.save({"model": source.state_dict(), "average": {}, "step": 0, "seconds": 0.0}, file)
    net = DepthNet()
    assert depth.warm(net, file) > 100
    assert torch.equal(net.stage16[2].qkv.weight, source.stage16[2].qkv.weight)
    assert torch.equal(net.stage2[0].weight, source.stage2[0].weight[:, :3])


def test_it_starts_again_from_an_exported_network(tmp_path, monkeypatch):
    from liftform.train import export_depth, warm

    net = DepthNet()
    with torch.no_grad():  # untrained normalisation is all ones and zeros: equal tensors are stored once
        for name, value in net.state_dict().items():
            if value.is_floating_point() and "weight" not in name:
                value += torch.rand_like(value)
    torch.save({"model": net.state_dict(), "average": {}, "step": 0, "seconds": 0.0}, tmp_path / "last.pt")
    monkeypatch.setattr(export_depth, "write_row", lambda *row: None)
    export_depth.export_depth(tmp_path / "last.pt", tmp_path / "depth.onnx")
    again = DepthNet()
    counters = sum("num_batches" in name for name in again.state_dict())
    assert warm.warm(again, tmp_path / "dep*.onnx") == len(again.state_dict()) - counters
    for (name, ours), theirs in zip(net.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.allclose(ours.float(), theirs.float(), rtol=2e-3, atol=1e-4), name
    with pytest.raises(InputNotFoundError, match="no such file"):
        warm.warm(again, tmp_path / "none_*.onnx")


def test_no_shards_no_run(tmp_path):
    with pytest.raises(InputNotFoundError, match="no shards"):
        depth.train_depth(small(tmp_path, tmp_path / "last.pt"))
    (tmp_path / "not.pt").write_text(json.dumps({}))
    with pytest.raises(UnreadableError, match="not a checkpoint"):
        depth.warm(DepthNet(), tmp_path / "not.pt")
