"""From corpus to shards: licences, broken lines and meshes, killed workers, full disks, resuming."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("moderngl")
import trimesh
from deadly_jobs import squared_or_dead

from liftform.errors import MissingExtraError, OutputError, UsageError
from liftform.train import corpus, data, engines, licences, shards


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("CC0-1.0 (kit License.txt)", "public-domain"),
        ("CC0-1.0 (author: Kenney; this repo states only MIT)", "permissive"),
        ("Apache-2.0", "permissive"),
        ("CC-BY-4.0 (YCB object set); repo BSD-3-Clause-Clear", "attribution"),
        ("CC BY-SA 4.0 (license.md)", "share-alike"),
        ("MIT, but the textures are CC-BY-NC", "non-commercial"),
        ("CC BY-NC-SA 3.0", "non-commercial"),
        ("CC-BY-ND-4.0", "no-derivatives"),
        ("AGPL-3.0", "copyleft"),
        ("Copyright 2012 somebody", "unknown"),
        ("CC0 models; all rights reserved on names", "unknown"),
        ("public-domain", "public-domain"),
        ("non-commercial", "non-commercial"),
        ("", "unknown"),
        (None, "unknown"),
    ],
)
def test_the_strictest_licence_named_counts(line: str | None, expected: str) -> None:
    assert licences.classify(line) == expected


def _row(name: str, **changes: Any) -> dict[str, Any]:
    row = {
        "id": name,
        "file": f"{name}.glb",
        "source": "s",
        "family": f"f{name}",
        "split": "train",
        "licence": "CC0-1.0",
    }
    return {**row, **changes}


def test_manifest_lines_that_cannot_be_trusted_are_told_and_left_out(tmp_path: Path) -> None:
    rows = [
        _row("good", licence="CC-BY-4.0", author="Ann", repo="a/b"),
        _row("kept", split="bench"),
        _row("nc", licence="CC-BY-4.0", licence_class="CC-BY-NC", author="x"),
        _row("bare", licence=None, licence_class="CC0"),
        _row("uncredited", licence="CC-BY-4.0"),
        _row("good"),
        _row("no family", family=""),
        _row("../escape"),
        _row("bigym__box_box"),
    ]
    lines = [json.dumps(r) for r in rows] + ["{broken", '"text"', ""]
    (tmp_path / "m.jsonl").write_text("\n".join(lines), encoding="utf-8")
    told: list[str] = []
    got = corpus.read_manifest(tmp_path / "m.jsonl", report=told.append)
    assert [r["id"] for r in got] == ["good"]
    assert got[0]["credit"] == "Ann, a/b"
    assert got[0]["file"] == str(tmp_path / "good.glb")
    assert len(told) == 9
    for word in (
        "non-commercial",
        "bare",
        "asks for credit",
        "twice",
        "'family'",
        "letters",
        "barred",
        "line 10",
        "object",
    ):
        assert any(word in line for line in told), word
    assert [r["id"] for r in corpus.read_manifest(tmp_path / "m.jsonl", None)] == ["good", "kept"]


def test_a_manifest_survives_being_written_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    corpus.write_manifest(tmp_path / "a.jsonl", [_row("x", file=str(tmp_path / "x.glb"), licence="MIT")])
    rows = corpus.read_manifest(tmp_path / "a.jsonl")
    corpus.write_manifest(tmp_path / "deep" / "b.jsonl", rows)
    again = corpus.read_manifest(tmp_path / "deep" / "b.jsonl")[0]
    assert again["licence_class"] == "permissive"
    assert Path(again["file"]).resolve() == (tmp_path / "x.glb").resolve()


SMALL = data.DataOptions(size_px=32, target_px=16, views=1, kit_views=1, points=256, surface_points=64)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    for i in range(5):
        trimesh.creation.box((0.4, 1.0, 0.3 + 0.1 * i)).export(tmp_path / f"box{i}.glb")
    (tmp_path / "broken.glb").write_bytes(b"glTF but no more")
    names = [*(f"box{i}" for i in range(5)), "broken"]
    corpus.write_manifest(tmp_path / "m.jsonl", [_row(n, file=str(tmp_path / f"{n}.glb")) for n in names])
    return tmp_path / "m.jsonl"


def _here(function: Any, jobs: Any, workers: int, engine: str) -> Any:
    """An engine without processes: these tests are about what is written."""
    return ((job, function(job)) for job in jobs)


def _keys(out: Path) -> list[str]:
    return sorted(s["key"] for path in out.glob("[!.]*.tar") for s in shards.read(path))


def test_an_interrupted_build_goes_on_without_loss_or_double(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "each", _here)
    monkeypatch.setattr(data, "OBJECTS_A_SHARD", 2)
    out = tmp_path / "out"
    first = data.build_shards(library, out, SMALL)
    assert next(first).split(":")[0] in {"broken", *(f"box{i}" for i in range(5))}
    first.close()  # interrupted after the first shard
    assert len(list(out.glob("*.tar"))) == 1
    lines = list(data.build_shards(library, out, SMALL))
    assert _keys(out) == [f"box{i}" for i in range(5)]
    assert sum(line.startswith("broken: ") for line in lines) == 1
    for name, age in ((".liftform-old.tar", 3600), (".liftform-now.tar", 0)):
        (out / name).write_bytes(b"half a shard of a killed worker")
        os.utime(out / name, (time.time() - age,) * 2)
    damaged = next(iter(out.glob("objects*.tar")))
    damaged.write_bytes(damaged.read_bytes()[:1500])
    lines = list(data.build_shards(library, out, SMALL))
    assert [path.name for path in out.glob(".*")] == [".liftform-now.tar"]
    assert f"{damaged.name}: damaged, its objects are made again" in lines
    assert _keys(out) == [f"box{i}" for i in range(5)]
    with pytest.raises(UsageError, match="other"):
        list(data.build_shards(library, out, data.DataOptions()))


def test_a_full_disk_stops_the_build_and_leaves_nothing_half_written(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(engines, "each", _here)
    monkeypatch.setattr(shards, "_add", full)
    with pytest.raises(OutputError, match="No space left"):
        list(data.build_shards(library, tmp_path / "out", SMALL))
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["options.json"]


def test_a_folder_of_arrays_is_imported(library: Path, tmp_path: Path) -> None:
    row = corpus.read_manifest(library)[0]
    made = data.shard(row, SMALL)
    (tmp_path / "old").mkdir()
    arrays = {k: v for k, v in made.items() if k not in ("key", "meta", "planes")}
    np.savez(tmp_path / "old" / "box0.npz", **arrays, family=row["family"], source=row["source"])
    (tmp_path / "old" / "cut.npz").write_bytes(b"PK\x03\x04 cut")
    lines = list(data.import_arrays(tmp_path / "old", tmp_path / "new"))
    assert [line.split(":")[0] for line in lines] == ["box0", "cut.npz"] or "cut.npz" in lines[0] + lines[1]
    sample = next(shards.read(tmp_path / "new" / "objects-00000.tar"))
    for key in ("rgb", "points", "planes"):
        np.testing.assert_array_equal(sample[key], made[key])
    assert sample["meta"] == {"family": row["family"], "source": row["source"]}
    assert [line for line in data.import_arrays(tmp_path / "old", tmp_path / "new") if ":" not in line] == []


@pytest.mark.parametrize("engine", engines.ENGINES)
def test_a_killed_worker_costs_only_the_job_that_kills_every_time(
    tmp_path: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if engine == "ray":
        pytest.importorskip("ray")
        monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    jobs = [(n, str(tmp_path)) for n in range(7)]
    answers = {job[0]: answer for job, answer in engines.each(squared_or_dead, jobs, 2, engine)}
    assert answers == {**{n: n * n for n in range(7)}, 3: engines.WorkerDied()}


def _fails(job: int) -> int:
    raise OutputError("disk full", "free some")


def test_an_error_in_a_job_ends_the_run_as_itself() -> None:
    with pytest.raises(OutputError, match="disk full") as caught:
        list(engines.each(_fails, [1], 1))
    assert caught.value.hint == "free some"
    with pytest.raises(UsageError, match="unknown engine"):
        engines.each(_fails, [1], 1, "slurm")


def test_ray_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingExtraError, match="ray"):
        list(engines.each(_fails, [1], 1, "ray"))
