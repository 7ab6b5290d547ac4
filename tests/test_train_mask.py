"""The mask network's workshop: composites by seed, a run that learns and resumes, an export that equals torch."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from liftform.errors import InputNotFoundError, UnreadableError, UsageError  # noqa: E402
from liftform.train import backgrounds, composed, composites, cutouts, export, mask, panoramas  # noqa: E402
from liftform.train.checkpoints import load_weights  # noqa: E402
from liftform.train.loop import LoopOptions, Progress, fit, learning_rate  # noqa: E402
from liftform.zoo.mask_net import MaskNet  # noqa: E402

SIZE = 64
NARROW = (8, 12, 16, 24)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Networks this small lose more to waiting threads than they gain."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny bank: blobs instead of rendered objects, small backgrounds."""
    folder = tmp_path_factory.mktemp("shards")
    cutouts.write_shard(folder / "blobs_000", cutouts.blobs(20, 80, 0))
    cutouts.write_shard(folder / "backgrounds_000", backgrounds.bank(12, 96, 0, 0))
    cutouts.write_shard(folder / "textures_000", backgrounds.texture_bank(4, 64, 0))
    return folder


@pytest.fixture(scope="module")
def bank(shards: Path) -> composites.Bank:
    opened = composites.open_bank(shards, held=False)
    composed.write(opened, shards, 1, SIZE, 0)
    return opened


def test_composites_follow_from_seed_and_index(bank: composites.Bank) -> None:
    image, alpha = composites.composite(bank, SIZE, 3, 5)
    again, alpha_again = composites.composite(bank, SIZE, 3, 5)
    other, _ = composites.composite(bank, SIZE, 3, 6)
    assert image.shape == (SIZE, SIZE, 3)
    assert alpha.shape == (SIZE, SIZE)
    assert np.array_equal(image, again)
    assert np.array_equal(alpha, alpha_again)
    assert not np.array_equal(image, other)


def test_composites_have_subjects_of_many_sizes_with_soft_edges(bank: composites.Bank) -> None:
    alphas = np.stack([composites.composite(bank, SIZE, 0, i)[1] for i in range(40)]) / 255.0
    shares = alphas.mean((1, 2))
    assert np.median(shares) > 0.08
    assert shares.max() - shares.min() > 0.3
    assert ((alphas > 0.1) & (alphas < 0.9)).any((1, 2)).mean() > 0.8


def test_held_out_material_is_disjoint(shards: Path) -> None:
    used, held = composites.open_bank(shards, held=False), composites.open_bank(shards, held=True)
    assert len(held.subjects)
    assert len(held.places)
    assert not set(used.subjects) & set(held.subjects)
    places = [{int(i) for _, numbers in bank.places for i in numbers} for bank in (used, held)]
    assert not places[0] & places[1]


def test_an_empty_folder_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError, match="liftform train data mask"):
        composites.open_bank(tmp_path, held=False)


def test_shards_give_back_what_was_packed(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (h, w, 6), np.uint8) for h, w in ((3, 5), (8, 2), (1, 1))]
    cutouts.write_shard(tmp_path / "objects_000", ((image, {"n": i}) for i, image in enumerate(images)))
    opened = cutouts.Shards(tmp_path, "objects_*")
    assert [row["n"] for row in opened.rows] == [0, 1, 2]
    assert all(np.array_equal(opened[i], image) for i, image in enumerate(images))


def test_a_rendered_box_casts_its_shadow_on_the_ground_beside_it(tmp_path: Path) -> None:
    pytest.importorskip("moderngl")
    import trimesh

    trimesh.creation.box((1, 1, 1)).export(tmp_path / "box.glb")
    row = {"file": str(tmp_path / "box.glb"), "id": "box", "held": False, "views": 6}
    cuts = [cut for cut, _ in cutouts.render_objects([row], 64, 0)]
    assert len(cuts) == 6
    for cut in cuts:
        solid = cut[..., 3] > 250
        assert solid.mean() > 0.15
    outside = [((cut[..., 4] > 60) & (cut[..., 3] < 5)).any() for cut in cuts]
    assert sum(outside) >= 3


def _data(shards: Path) -> mask.MaskData:
    return mask.MaskData(shards=shards, batch=9, sizes=(SIZE,) * 4, validation=4, validation_size=SIZE)


def _train(shards: Path, checkpoint: Path, stop_at: int = 0) -> tuple[MaskNet, Progress]:
    """Twenty steps on nine composites, seen again and again; with ``stop_at``, interrupted there and taken up again."""
    torch.manual_seed(0)
    model, data = MaskNet(NARROW), _data(shards)
    options = LoopOptions(max_steps=20, lr=2e-3, warmup_steps=3, ema=0.5, precision="fp32", checkpoint=checkpoint)
    options = dataclasses.replace(options, log_every=5)
    batch = next(mask.batches(data, 0))
    seen = []

    def loss(net: torch.nn.Module, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        seen.append(0)
        if len(seen) == stop_at:
            raise KeyboardInterrupt
        return mask.loss(net, batch)

    def endless(first: int) -> Iterator[dict[str, torch.Tensor]]:
        while True:
            yield batch

    if stop_at:
        with pytest.raises(KeyboardInterrupt):
            fit(model, endless, loss, options)
        torch.manual_seed(99)
        model = MaskNet(NARROW)
    return model, fit(model, endless, loss, options)


@pytest.mark.usefixtures("bank")
def test_twenty_steps_lower_the_loss_and_resuming_changes_nothing(shards: Path, tmp_path: Path) -> None:
    whole, progress = _train(shards, tmp_path / "whole" / "last.pt")
    losses = [row["loss"] for row in progress.rows]
    assert losses[-1] < 0.85 * losses[0]
    parts, resumed = _train(shards, tmp_path / "parts" / "last.pt", stop_at=12)
    assert resumed.step == 20
    for a, b in zip(whole.state_dict().values(), parts.state_dict().values(), strict=True):
        assert torch.allclose(a.float(), b.float(), atol=1e-5)
    for name in ("log.csv", "curve.png"):
        assert (tmp_path / "parts" / name).stat().st_size > 0


def test_a_stream_taken_up_later_gives_the_same_batches(bank: composites.Bank, shards: Path) -> None:
    data = dataclasses.replace(_data(shards), batch=6, late_sizes=(SIZE // 2,) * 4, late_from=3)
    stream = mask.batches(data, 0)
    expected = [next(stream) for _ in range(5)]
    assert [len(batch["image"][0]) for batch in expected] == [SIZE] * 3 + [SIZE // 2] * 2
    for first in (2, 4):
        again = next(mask.batches(data, first))
        assert torch.equal(expected[first]["image"], again["image"])
        assert torch.equal(expected[first]["alpha"], again["alpha"])


def test_varied_pictures_keep_their_alpha_in_place() -> None:
    """A white square on black stays where its alpha is, whatever the crop."""
    rgba = np.zeros((SIZE, SIZE, 4), np.uint8)
    rgba[20:44, 16:40] = 255
    for seed in range(6):
        varied = composed._varied(rgba, 48, np.random.default_rng(seed)).astype(float) / 255
        assert varied[..., 3].mean() > 0.1
        assert np.abs(varied[..., :3].mean(-1) / varied[..., :3].max() - varied[..., 3]).max() < 0.35


def _rgbe(light: np.ndarray) -> bytes:
    """A Radiance file (Ward 1991) of a picture (H, W, 3), its rows as runs and literals of the four channels."""
    exponent = np.frexp(light.max(-1))[1]
    bytes_ = np.dstack([(light / np.ldexp(1.0, exponent)[..., None] * 256).astype(np.uint8), exponent + 128])
    height, width = light.shape[:2]
    out = bytearray(f"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y {height} +X {width}\n".encode())
    for row in bytes_.astype(np.uint8):
        out += bytes([2, 2, width >> 8, width & 255])
        for channel in row.T:
            for value in channel[: width // 2]:
                out += bytes([1, value])
            out += bytes([128 + width - width // 2, channel[-1]])
    return bytes(out)


def test_a_panorama_shows_what_lies_in_each_direction(tmp_path: Path) -> None:
    """Sky bright and blue above the horizon, ground dark and red below: a view's rows change where its horizon is."""
    light = np.zeros((32, 64, 3))
    light[:16], light[16:] = (1, 1, 4), (2, 0.5, 0.5)
    (tmp_path / "sky.hdr").write_bytes(_rgbe(light))
    read = panoramas.read_hdr(tmp_path / "sky.hdr")
    assert np.allclose(read, light, rtol=0.02)
    seen = 0
    for seed in range(8):
        made = panoramas.view(read, np.random.default_rng(seed), 64)
        row = round(made.horizon * 64)
        blue = made.picture[..., 2] > made.picture[..., 0]
        if 6 < row < 58:
            seen += 1
            assert blue[: row - 4].all()
            assert not blue[row + 4 :].any()
    assert seen >= 3
    (tmp_path / "cut.hdr").write_bytes((tmp_path / "sky.hdr").read_bytes()[:300])
    with pytest.raises(UnreadableError, match=r"cut\.hdr"):
        panoramas.read_hdr(tmp_path / "cut.hdr")


def test_judging_the_truth_gives_full_marks(shards: Path) -> None:
    held = mask.validation_set(_data(shards))

    class Oracle(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return torch.logit(held["alpha"][:, None].float() / 255, 1e-4)

    scores, _ = mask.judge(Oracle(), held)
    assert scores["iou"] == pytest.approx(1.0)
    assert scores["mae"] < 1e-3


def test_the_learning_rate_warms_up_and_ends_at_zero_by_time_or_steps() -> None:
    options = LoopOptions(minutes=1, lr=1.0, warmup_steps=10)
    assert learning_rate(Progress(step=0), options) == pytest.approx(0.1)
    assert learning_rate(Progress(step=100, seconds=30), options) == pytest.approx(0.5)
    assert learning_rate(Progress(step=100, seconds=60), options) == pytest.approx(0.0)
    both = dataclasses.replace(options, max_steps=100)
    assert learning_rate(Progress(step=100, seconds=1), both) == pytest.approx(0.0)


def test_a_run_without_budget_or_with_a_broken_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="budget"):
        fit(torch.nn.Linear(1, 1), iter(()), mask.loss, LoopOptions())
    (tmp_path / "last.pt").write_bytes(b"no")
    with pytest.raises(UnreadableError, match=r"last\.pt"):
        load_weights(torch.nn.Linear(1, 1), tmp_path / "last.pt")


def test_unknown_keys_of_a_recipe_are_errors(tmp_path: Path) -> None:
    (tmp_path / "mask.toml").write_text("[loop]\nminuts = 3\n", encoding="utf-8")
    with pytest.raises(UsageError, match="minutes"):
        mask.read_recipe(tmp_path / "mask.toml")


def test_the_export_equals_torch_and_leaves_other_rows_alone(tmp_path: Path) -> None:
    import onnxruntime

    torch.manual_seed(0)
    net = MaskNet()
    with torch.no_grad():
        net.train()(torch.rand(4, 3, SIZE, SIZE))  # moves the batch norms' statistics off their start
    torch.save({"model": net.state_dict(), "average": {}, "step": 1, "seconds": 0.0}, tmp_path / "last.pt")
    (tmp_path / "table.json").write_text(json.dumps({"object": {"file": "o"}}), encoding="utf-8")
    out = tmp_path / "mask.onnx"
    assert export.export_mask(tmp_path / "last.pt", out, SIZE) < 0.01
    assert out.stat().st_size <= 6_500_000
    rows = json.loads((tmp_path / "table.json").read_text(encoding="utf-8"))
    assert rows["object"] == {"file": "o"}
    assert rows["mask"]["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    image = torch.rand(1, 3, SIZE, SIZE)
    logits = session.run(["logits"], {"image": image.numpy()})[0]
    with torch.no_grad():
        assert np.allclose(net.eval()(image).numpy(), logits, atol=0.05)
