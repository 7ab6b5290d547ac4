"""The training loop: schedule, several processes, numbers that fail, disks that fail, signals, and its commands."""

from __future__ import annotations

import dataclasses
import errno
import itertools
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
import torch
import trimesh
import two_ranks
from torch import nn

from liftform import cli
from liftform.errors import DivergedError, OutputError, TerminatedError, UnreadableError, UsageError
from liftform.recipe import changed
from liftform.train import checkpoints, data, loop, memory, object, ranks, replay, shards, speed
from liftform.train.loop import Batch, LoopOptions, Progress, fit, learning_rate
from liftform.zoo.depth_net import DepthNet


def net() -> nn.Module:
    """Small, with a batch norm, always the same."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))


def loss(model: nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
    return {"loss": (model(batch["x"]) - batch["x"].sum(1, keepdim=True)).square().mean()}


def batches(first: int, at: Callable[[int], None] = lambda step: None) -> Iterator[Batch]:
    """Batches that depend on the step alone; ``at`` is called with each step before."""
    for step in itertools.count(first):
        at(step)
        yield {"x": torch.randn(6, 3, generator=torch.Generator().manual_seed(step))}


def options(folder: Path, steps: int, **other: object) -> LoopOptions:
    base = LoopOptions(max_steps=steps, lr=0.01, warmup_steps=1, decay=0.0, precision="fp32", log_every=2)
    return dataclasses.replace(base, checkpoint=folder / "last.pt", **other)


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.fixture(autouse=True)
def no_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than the whole of these trainings; one test of test_train_mask.py looks at it."""
    monkeypatch.setattr(loop, "draw_curve", lambda rows, path: None)


# -- schedule -------------------------------------------------------------------------------------------------------


def test_the_rate_is_held_then_falls_and_a_plateau_can_be_lengthened() -> None:
    plan = LoopOptions(max_steps=1000, lr=2.0, warmup_steps=10, decay=0.2, final_lr=0.1)
    rates = [learning_rate(Progress(step), plan) for step in range(1001)]
    assert rates[4] == pytest.approx(1.0)
    assert rates[9:801] == pytest.approx([2.0] * 792)
    assert rates[900] == pytest.approx(2.0 * (0.1 + 0.9 * 0.5))
    assert rates[1000] == pytest.approx(0.2)
    assert (np.diff(rates[800:]) < 0).all()
    longer = dataclasses.replace(plan, max_steps=2000)
    assert [learning_rate(Progress(s), longer) for s in range(801)] == rates[:801]


# -- several processes ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of two small objects that are not held out."""
    folder = tmp_path_factory.mktemp("loop")
    names = [name for name in map(str, range(9)) if not object.is_held_out(name)][:2]
    for name in names:
        trimesh.creation.box((0.4, 1.0, 0.3 + 0.1 * int(name))).export(folder / f"{name}.glb")
    small = data.DataOptions(views=2, points=400, surface_points=100, size_px=48, target_px=24)
    rows = [{"id": f"box{n}", "file": str(folder / f"{n}.glb"), "source": "test", "family": n} for n in names]
    (folder / "shards").mkdir()
    shards.write(folder / "shards" / "objects-00000.tar", [data.shard(row, small) for row in rows])
    return folder


def test_two_processes_give_the_losses_of_one_and_a_killed_one_costs_nothing(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "shards").symlink_to(corpus / "shards")
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(speed._free_port())}
    line = [sys.executable, two_ranks.__file__, str(tmp_path)]
    both = [
        subprocess.Popen(
            line, env={**os.environ, **shared, "RANK": n, "OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE, text=True
        )
        for n in "01"
    ]
    alone, progress = two_ranks.train_object(corpus / "shards", tmp_path / "alone" / "last.pt")
    said = [process.communicate(timeout=120)[1] for process in both]
    assert (tmp_path / "rank1.pt").exists(), said

    rows = checkpoints.read(tmp_path / "shared" / "last.pt")["rows"]
    assert len(rows) == two_ranks.STEPS
    for ours, theirs in zip(rows, progress.rows, strict=True):
        assert {k: v for k, v in ours.items() if k != "seconds"} == pytest.approx(
            {k: v for k, v in theirs.items() if k != "seconds"}, rel=1e-4
        )
    first, second = (torch.load(tmp_path / f"rank{n}.pt") for n in (0, 1))
    for name, value in alone.state_dict().items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], value, rtol=0, atol=2e-5)
    torch.manual_seed(3)
    begun = two_ranks.ObjectNet().state_dict()
    assert max((alone.state_dict()[k] - v).abs().max() for k, v in begun.items() if v.is_floating_point()) > 1e-4

    # Rank 1 was then killed in the middle of another run: rank 0 must have kept what was done until then.
    assert both[1].returncode == -signal.SIGKILL
    assert both[0].returncode not in (0, None)
    assert checkpoints.read(tmp_path / "killed" / "last.pt")["step"] == two_ranks.DIES_AT
    short = LoopOptions(max_steps=6, checkpoint=tmp_path / "killed" / "last.pt", precision="fp32")
    assert fit(nn.Linear(3, 1), two_ranks.noughts, two_ranks.square, short).step == 6


def test_each_process_makes_its_own_pictures_and_no_others(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    views = object.Corpus(corpus / "shards", held_out=False)
    small = object.ObjectOptions(batch=4, points=20, empty_points=8, colour_points=8, sizes=(32, 48, 48, 48))
    whole = next(object.batches(views, small, 7))
    assert len({image.sum().item() for image in whole["image"]}) == 4
    made = []
    one_view = object._view
    monkeypatch.setattr(object, "_view", lambda *words: made.append(1) or one_view(*words))
    monkeypatch.setattr(ranks, "world", lambda: 2)
    parts = []
    for rank in (0, 1):
        monkeypatch.setattr(ranks, "rank", lambda rank=rank: rank)
        parts.append(next(object.batches(views, dataclasses.replace(small, batch=2), 7)))
    assert len(made) == 4
    for key, value in whole.items():
        torch.testing.assert_close(torch.cat([part[key] for part in parts]), value, rtol=0, atol=0, equal_nan=True)


# -- numbers that fail ----------------------------------------------------------------------------------------------


def test_a_step_without_finite_numbers_is_left_out_and_leaves_no_trace(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, bad = net(), {3, 4}
    seen = []

    def spoiled(model: nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
        seen.append(0)
        return loss(model, {"x": batch["x"] * (torch.nan if len(seen) - 1 in bad else 1.0)})

    progress = fit(model, batches, spoiled, options(tmp_path, 8))
    assert progress.step == 8
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())
    assert [row.get("skipped", 0) for row in progress.rows] == [0, 1, 1, 0]
    assert all(np.isfinite(row["loss"]) for row in progress.rows)
    assert caplog.text.count("step 3") == 1
    assert not list(tmp_path.glob("bad_*"))


def test_divergence_stops_with_the_batch_saved_and_replay_says_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = net()
    with pytest.raises(DivergedError, match=r"bad_5_0\.pt"):
        fit(model, lambda first: ({"x": b["x"] / (step < 2)} for step, b in enumerate(batches(first), first)),
            loss, options(tmp_path, 99, patience=4))  # fmt: skip
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())
    state = replay.read(tmp_path / "bad_5_0.pt")
    found = replay.again(state, net(), loss, "fp32")
    assert found["batch"] == ["x"]
    assert found["modules"][0] == "0"
    assert found["weights"] == []
    assert len(found["gradients"]) == len(list(model.parameters()))

    # The command knows the project's own networks.
    torch.manual_seed(0)
    depth = DepthNet()
    maps = {"depth": torch.full((1, 1, 16, 16), 2.0), "sky": torch.zeros(1, 1, 16, 16)}
    batch = {"image": torch.rand(1, 3, 32, 32), **maps, "normals": torch.ones(1, 3, 16, 16), "log_tan": torch.zeros(1)}
    before = replay.Before.of(list(depth.buffers()))
    for value, code, words in ((1.0, 0, ""), (torch.inf, 8, "of the batch, first: image")):
        batch["image"] = batch["image"] * value
        replay.save(tmp_path / "bad.pt", depth, batch, {"loss": torch.tensor(value)}, 7, "bf16", before)
        assert cli.main(["train", "replay", str(tmp_path / "bad.pt")]) == code
        out = capsys.readouterr().out
        assert "DepthNet, step 7" in out
        assert words in out
    assert cli.main(["train", "replay", str(tmp_path / "absent.pt")]) == 3


# -- disks that fail ------------------------------------------------------------------------------------------------


def test_a_cut_checkpoint_is_passed_over_for_the_one_before(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = net()
    fit(whole, batches, loss, options(tmp_path / "whole", 12))
    parts = tmp_path / "parts"
    for steps in (4, 8):
        fit(net(), batches, loss, options(parts, steps))
    last, before = parts / "last.pt", checkpoints.previous(parts / "last.pt")
    assert (checkpoints.read(last)["step"], checkpoints.read(before)["step"]) == (8, 4)
    last.write_bytes(last.read_bytes()[: last.stat().st_size // 2])
    (parts / "last.part").write_bytes(b"left by a killed process")
    model = net()
    fit(model, batches, loss, options(parts, 12, every_s=1e9))
    assert "last.pt: not a checkpoint" in caplog.text
    assert "step 4 of last.previous.pt" in caplog.text
    assert same(model, whole)
    assert checkpoints.read(before)["step"] == 4  # the damaged one did not take its place
    assert not (parts / "last.part").exists()
    last.unlink()
    assert fit(net(), batches, loss, options(parts, 5)).step == 5
    for path in (last, before):
        path.write_bytes(b"PK")
    with pytest.raises(UnreadableError, match=r"last\.pt"):
        fit(net(), batches, loss, options(parts, 12))


def test_a_full_disk_is_told_and_costs_nothing_but_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fit(net(), batches, loss, options(tmp_path, 3))
    sound = (tmp_path / "last.pt").read_bytes()
    real, room = torch.save, [0, 1, 0]

    def save(state: object, file: object) -> None:
        if not room or not room.pop(0):
            file.write(b"half")  # type: ignore[attr-defined]
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(state, file)

    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(OutputError, match="No space left on device"):
        fit(net(), batches, loss, options(tmp_path, 6, every_s=0.0))
    assert "step 4: " in caplog.text
    assert checkpoints.read(tmp_path / "last.pt")["step"] == 5
    assert checkpoints.previous(tmp_path / "last.pt").read_bytes() == sound
    assert not list(tmp_path.glob("*.part"))


def test_checkpoints_of_earlier_versions_go_on(tmp_path: Path) -> None:
    """They held one optimiser's state, unfused, and did not count the steps of an unfinished line of the log."""
    fit(net(), batches, loss, options(tmp_path, 3))
    state = checkpoints.read(tmp_path / "last.pt")
    assert state["counted"] == 1
    for key in ("counted", "skipped"):
        del state[key]
    (state["optimiser"],) = state["optimiser"]
    for group in state["optimiser"]["param_groups"]:
        group["fused"], group["foreach"] = None, True
    checkpoints.write(state, tmp_path / "last.pt")
    rows = fit(net(), batches, loss, options(tmp_path, 4)).rows
    assert rows[1]["loss"] == pytest.approx(fit(net(), batches, loss, options(tmp_path / "new", 4)).rows[1]["loss"])
    assert all(g["fused"] for g in checkpoints.read(tmp_path / "last.pt")["optimiser"][0]["param_groups"])
    checkpoints.slim(tmp_path / "last.pt", tmp_path / "slim" / "last.pt")
    with pytest.raises(UsageError, match="weights alone"):
        fit(net(), batches, loss, options(tmp_path / "slim", 9))


# -- signals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "error"), [(signal.SIGTERM, TerminatedError), (signal.SIGINT, KeyboardInterrupt)])
def test_a_signal_ends_the_run_after_the_step_with_a_checkpoint(
    tmp_path: Path, number: signal.Signals, error: type[BaseException]
) -> None:
    def hit(step: int) -> None:
        if step == 3:
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    with pytest.raises(error):
        fit(net(), lambda first: batches(first, hit), loss, options(tmp_path / "parts", 8))
    assert signal.getsignal(number) is before
    assert checkpoints.read(tmp_path / "parts" / "last.pt")["step"] == 4
    resumed, whole = net(), net()
    fit(resumed, batches, loss, options(tmp_path / "parts", 8))
    fit(whole, batches, loss, options(tmp_path / "whole", 8))
    assert same(resumed, whole)


def test_a_terminated_command_says_so_by_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(words: list[str]) -> int:
        raise TerminatedError("told to stop")

    monkeypatch.setattr(cli, "_dispatch", stop)
    assert cli.main(["train", "object"]) == 143
    assert "interrupted" in capsys.readouterr().err


# -- commands -------------------------------------------------------------------------------------------------------


def test_single_options_of_a_recipe_can_be_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "run.toml"
    recipe.write_text('threads = 1\n[loop]\nminutes = 3\ndevice = "cpu"\n', encoding="utf-8")
    words = ["loop.minutes=90.5", "loop.device=cuda", "object.sizes=[64, 64, 64, 80]", "threads=4", "data.views = 3"]
    read = object.read_recipe(recipe, words)
    assert (read.loop.minutes, read.loop.device, read.threads, read.data.views) == (90.5, "cuda", 4, 3)
    assert read.object.sizes == (64, 64, 64, 80)
    for wrong, hint in (("loop.minuts=1", "minutes"), ("lop.minutes=1", "loop"), ("data=3", "table"), ("threads", "=")):
        assert cli.main(["train", "object", "--recipe", str(recipe), "--set", wrong]) == 2
        assert hint in capsys.readouterr().err
    assert cli.main(["train", "data", "rooms", "--recipe", str(recipe), "--set", "loop.minutes=1"]) == 2
    tables = {"loop": {"minutes": 1}}
    assert changed(tables, ["loop.minutes=2"]) == {"loop": {"minutes": 2}}
    assert tables == {"loop": {"minutes": 1}}


def test_every_speed_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process; the command gives each measurement processes of its own."""
    monkeypatch.setattr(speed, "OBJECTS", 2)
    quick = speed.Speed(seconds=0.4, processes=(1,), batch=2)
    speed._prepare(quick, tmp_path)
    for name, job in speed._JOBS.items():
        assert job(quick, tmp_path, threading.Barrier(1)) > 0, name
    with pytest.raises(UsageError, match="positive"):
        speed.measure(speed.Speed(seconds=0))


def test_freed_memory_is_kept() -> None:
    if not memory.keep():
        pytest.skip("not glibc")
    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        np.ones(40_000_000, np.uint8)
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    assert faults < 1000  # a fresh block would take 9,766
