"""The object bench with a fake make() and a fake scorer; likeness, tables, contact sheet and speed."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import synthetic
from PIL import Image

from liftform.camera import Camera
from liftform.capture import Capture, Mask, Photo
from liftform.conventions import to_uint8, view_from_camera
from liftform.errors import InputNotFoundError, LiftformError, NothingFoundError, UnreadableError
from liftform.evaluate import cli, speed
from liftform.evaluate.contact import contact_sheet
from liftform.evaluate.fidelity import camera_in_asset, fidelity
from liftform.evaluate.protocols import evaluate_object, read_cases, spread
from liftform.evaluate.tables import FLOORS, grids, write_markdown
from liftform.export import save
from liftform.render import render

ELEVATION, YFOV = np.radians(20.0), np.radians(35.0)

SCORER = """
import json, os, sys
folder, _, cases, _, out = sys.argv[1:]
listed = [json.loads(line) for line in open(cases)]
there = {c["id"]: os.path.exists(f"{folder}/{c['id']}.glb") for c in listed}
rows = {name: {"cd": 0.05} if found else {"cd": 1.0, "error": "missing"} for name, found in there.items()}
table = {"n": len(rows), "failed": sum("error" in r for r in rows.values()), "cd": 0.05, "f@0.05": 0.5, "f@0.1": 0.77,
         "f@0.2": 0.9, "f@0.5": 0.99, "posed_f@0.1": 0.72}
json.dump({"table": {"all": table}, "cases": rows}, open(out, "w"))
"""


@dataclass(frozen=True)
class FakeResult:
    """A coloured box as its own camera sees it."""

    mesh: object
    capture: Capture
    report: object

    def save(self, path):
        """Write the asset alone."""
        return save(self.mesh, path)


def fake_make(source, **options) -> FakeResult:
    """A box for every picture but those called bad."""
    if "bad" in Path(source).name:
        raise NothingFoundError(f"{source}: no foreground", "choose another")
    mesh = synthetic.textured_box()
    camera = Camera.from_fov(64, 64, YFOV, view_from_camera(ELEVATION, 3.0))
    view = render(mesh, camera, "unlit", supersample=3)
    image = np.ascontiguousarray(view.image[..., :3])
    photo = Photo(image, mask=Mask(view.mask.astype(np.float32), image, 1.0), camera=camera, source=str(source))
    return FakeResult(mesh, Capture((photo,)), SimpleNamespace(seen=0.4))


@pytest.fixture
def bench(tmp_path) -> Path:
    """cases.jsonl of two good cases and a bad one, with a scorer where the bench has its own."""
    folder = tmp_path / "bench" / "objects"
    (folder / "views").mkdir(parents=True)
    lines = []
    for name in ("one", "bad", "two"):
        Image.new("RGB", (8, 8)).save(folder / "views" / f"{name}.png")
        lines.append({"id": name, "image": f"views/{name}.png", "truth": f"truth/{name}.npz", "yfov_deg": 40.0})
        lines[-1] |= {"elevation_deg": 18.0, "azimuth_deg": 0.0, "scan": False, "source": "made"}
    (folder / "cases.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "bench" / "score_objects.py").write_text(SCORER)
    return folder / "cases.jsonl"


def test_every_case_is_recorded(bench, tmp_path):
    found = evaluate_object(bench, tmp_path / "out", fake_make)
    one, bad, two = found.records
    assert [one["id"], bad["id"], two["id"]] == ["one", "bad", "two"]
    assert bad["error"].startswith("NothingFoundError: ")
    for record in (one, two):
        assert record["iou"] > 0.99
        assert record["psnr"] > 30
        assert (record["watertight"], record["components"], record["degenerate_faces"]) == (True, 1, 0)
        assert record["yfov_error_deg"] == pytest.approx(-5.0)
        assert record["elevation_error_deg"] == pytest.approx(2.0)
        assert record["seconds"] >= record["seconds_make"] > 0
        assert record["peak_memory_mb"] > 10
    assert found.scores["cases"]["bad"]["error"] == "missing"
    assert sorted(p.name for p in (tmp_path / "out" / "predictions").iterdir()) == ["one.glb", "two.glb"]


def test_resume_makes_only_what_is_missing(bench, tmp_path):
    made = []

    def counting(source, **options):
        made.append(Path(source).stem)
        return fake_make(source)

    first = evaluate_object(bench, tmp_path / "out", counting)
    (tmp_path / "out" / "predictions" / "two.glb").unlink()
    with (tmp_path / "out" / "records.jsonl").open("a") as log:
        log.write('{"id": "one", "cut o')
    second = evaluate_object(bench, tmp_path / "out", counting)
    assert made == ["one", "bad", "two", "bad", "two"]
    assert second.records[0] == first.records[0]
    made.clear()
    evaluate_object(bench, tmp_path / "out", counting, options={"faces": 5})
    assert made == ["one", "bad", "two"]  # other options, other results
    made.clear()
    evaluate_object(bench, tmp_path / "out", counting, options={"faces": 5}, resume=False, limit=1)
    assert made == ["one"]


def test_workers_agree_with_one_process(bench, tmp_path):
    alone = evaluate_object(bench, tmp_path / "a", fake_make, limit=2)
    spread_out = evaluate_object(bench, tmp_path / "b", fake_make, limit=2, workers=2)
    for a, b in zip(alone.records, spread_out.records, strict=True):
        assert {k: a.get(k) for k in ("id", "psnr", "iou")} == {k: b.get(k) for k in ("id", "psnr", "iou")}


def test_a_limit_is_spread_over_the_list():
    cases = [{"id": i} for i in range(100)]
    assert [c["id"] for c in spread(cases, 4)] == [0, 25, 50, 75]
    assert spread(cases, None) == spread(cases, 1000) == cases


def test_what_is_missing_is_named(bench, tmp_path):
    with pytest.raises(InputNotFoundError, match=r"none\.jsonl"):
        evaluate_object(tmp_path / "none.jsonl", tmp_path / "out", fake_make)
    (tmp_path / "broken.jsonl").write_text('{"id": 1}\n')
    with pytest.raises(UnreadableError, match="not a file of cases"):
        read_cases(tmp_path / "broken.jsonl")
    scorer = bench.parent.parent / "score_objects.py"
    scorer.write_text("raise SystemExit('boom')")
    with pytest.raises(LiftformError, match="boom"):
        evaluate_object(bench, tmp_path / "out", fake_make)
    scorer.unlink()
    with pytest.raises(InputNotFoundError, match="scorer is missing"):
        evaluate_object(bench, tmp_path / "out", fake_make)


def test_tables_show_scores_beside_floors(bench, tmp_path):
    found = evaluate_object(bench, tmp_path / "out", fake_make)
    shape, likeness, health, camera, failures = grids(found)
    assert shape.rows[0] == ("all", "3", "1", "0.0500", "0.5000", "0.7700", "0.9000", "0.9900", "0.7200")
    assert shape.rows[1][:5] == ("  floor of all", "", "", "0.0957", "0.4170")
    assert health.rows[0] == ("watertight", "2 of 2", "100.0 %")
    assert camera.rows[0][1:] == ("5.00", "5.00", "5.00", "-5.00")
    assert likeness.rows[2][0] == "silhouette IoU"
    assert [row[0] for row in failures.rows] == ["bad"]
    assert "NothingFoundError" in failures.rows[0][1]
    write_markdown(found, tmp_path / "board.md", "liftform evaluate object --cases x")
    page = (tmp_path / "board.md").read_text()
    assert "    liftform evaluate object --cases x\n" in page
    assert re.search(r"\| all \| 3 \| 1 \| 0\.0500 \|", page)
    assert set(FLOORS) == {"all", "scans", "furniture", "kits"}


def test_fidelity_follows_the_asset_and_notices_errors():
    result = fake_make("x.png")
    matrix = np.diag([2.5, 2.5, 2.5, 1.0])
    matrix[:3, 3] = (0.3, 1.25, -4)
    vertices = np.float32(result.mesh.vertices * 2.5 + matrix[:3, 3])
    moved = result.mesh.with_(vertices=vertices, metadata={"asset_from_view": matrix.tolist()})
    exact = fidelity(replace(result, mesh=moved))
    assert exact.iou > 0.99
    assert exact.psnr > 30
    camera = camera_in_asset(result.capture.photo, moved)
    assert camera.project(vertices)[0] == pytest.approx(
        result.capture.photo.camera.project(result.mesh.vertices)[0], abs=1e-3
    )
    shifted = fidelity(replace(result, mesh=moved.with_(vertices=vertices + np.float32([0.8, 0, 0]))))
    assert shifted.iou < 0.7
    assert shifted.psnr_whole_mask < exact.psnr_whole_mask - 10


def test_contact_sheet_keeps_a_place_for_failures(tmp_path):
    for name in ("cup.png", "bad.png"):
        Image.fromarray(to_uint8(np.full((20, 30, 3), 0.3))).save(tmp_path / name)
    sources = [tmp_path / "cup.png", tmp_path / "bad.png", tmp_path / "bad_missing.png"]
    failures = contact_sheet(sources, tmp_path / "sheet.png", fake_make, size_px=48, columns=1)
    assert [Path(name).name for name in failures] == ["bad.png", "bad_missing.png"]
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"), int)
    assert sheet.shape[1] == 5 * 48
    row = sheet.shape[0] // 3
    ink = [(np.abs(sheet[i * row : i * row + 48, 48:] - sheet[0, -1]).max(-1) > 60).mean() for i in range(3)]
    assert all(share > 0.005 for share in ink)  # views, then the reason in words


def test_speed_judges_against_the_limits(monkeypatch, tmp_path):
    picture = tmp_path / "cup.png"
    Image.new("RGBA", (50, 20), (200, 30, 30, 255)).save(picture)
    speed.write_photo(picture, tmp_path / "big.jpg")
    with Image.open(tmp_path / "big.jpg") as big:
        assert big.size == speed.TWELVE_MEGAPIXELS
        assert np.abs(np.subtract(big.getpixel((2000, 1500)), (200, 30, 30))).max() < 8
    warm = json.dumps({"seconds": 2.0, "stages": {"load": 0.1}, "memory": 900.0})

    def ran(arguments):
        return speed._Run(9.0 if "make" in arguments else 0.2, 1000.0, warm)

    monkeypatch.setattr(speed, "_ran", ran)
    found = speed.measure_speed(picture, runs=1)
    assert {m.what: m.within for m in found.measures} == {
        "warm make and save, median": True,
        "cold command": False,
        "peak memory": True,
        "liftform --help": True,
        "embedded weights": True,
    }
    assert found.measures[2].value == 1000.0
    assert found.grids()[0].rows[1] == ("cold command", "9.00 s", "8 s", "NO")


def test_a_failing_program_is_reported():
    with pytest.raises(LiftformError, match="boom"):
        speed._ran(["-c", "raise SystemExit('boom')"])
    run = speed._ran(["-c", "print('x' * 100000)"])
    assert len(run.output) == 100001
    assert run.memory_mb > 3


def test_commands_print_tables_and_json(bench, tmp_path, capsys, monkeypatch):
    import argparse

    monkeypatch.setattr("liftform.evaluate.protocols._default_make", lambda: fake_make)
    parser = argparse.ArgumentParser()
    cli.add_commands(parser.add_subparsers())
    words = ["object", "--cases", str(bench), "--out", str(tmp_path / "out"), "--markdown", str(tmp_path / "b.md")]
    args = parser.parse_args(words)
    assert args.run(args) == 0
    assert "floor of all" in capsys.readouterr().out
    assert (tmp_path / "b.md").is_file()
    args = parser.parse_args([*words, "--json"])
    assert args.run(args) == 0
    assert json.loads(capsys.readouterr().out)["scores"]["table"]["all"]["n"] == 3
