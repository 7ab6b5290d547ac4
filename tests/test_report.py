"""The report's facts, its verdict, its table, and the pictures beside it."""

from __future__ import annotations

import io
import json
import sys

import numpy as np
import pytest
import synthetic
from PIL import Image
from rich.console import Console

from liftform.capture import Capture, Decision, Mask, Photo
from liftform.errors import MissingExtraError, OutputError
from liftform.preview import BACKGROUND, labelled, photo_tile, preview, preview_image, seen_share, turntable
from liftform.report import report, table


@pytest.fixture
def photo() -> Photo:
    image = np.full((60, 90, 3), 0.25, np.float32)
    alpha = np.zeros((60, 90), np.float32)
    alpha[15:45, 30:60] = 1
    mask = Mask(alpha, image, 0.9)
    return Photo(image, source="folder/cup.jpg", original_size=(900, 600), mask=mask)


@pytest.fixture
def mesh():
    return synthetic.textured_box(16).with_(metadata={"model": "net"})


def reported(mesh, photo, **seconds):
    decisions = (Decision("camera", {"yfov_deg": 30.0}, "estimated"), Decision("focal length", None, "file"))
    decisions += (Decision("mask", {"share": 0.2, "touches": []}, "estimated"),)
    decisions += (Decision("working size", [90, 60], "guessed"),)
    return report(mesh, Capture((photo,), decisions), seconds or {"load": 0.25, "object": 1.0})


def test_facts_are_measured(mesh, photo):
    facts = json.loads(reported(mesh, photo).to_json())
    assert facts["input"] == {"name": "cup.jpg", "size": [900, 600]}
    assert facts["mesh"]["watertight"]
    assert facts["mesh"]["manifold"]
    assert facts["mesh"]["faces"] == 12
    assert facts["scale"] == {"kind": "unknown", "unit": "unknown", "extent": [1.0, 1.0, 1.0]}
    assert facts["surface"] == {"seen": 0.5, "invented": 0.5}  # sides of equal area, seen 0, .2, .4, .6, .8, 1
    assert facts["texture"] == [48, 32]
    assert facts["decisions"][0] == {
        "what": "camera",
        "value": {"yfov_deg": 30.0},
        "origin": "estimated",
        "note": "",
    }
    assert facts["seconds"] == {"load": 0.25, "object": 1.0, "total": 1.25}
    assert facts["warnings"] == []


def test_json_without_times_repeats(mesh, photo):
    first, second = reported(mesh, photo, load=1.0), reported(mesh, photo, load=2.0)
    assert first.to_json() != second.to_json()
    assert first.to_json(times=False) == second.to_json(times=False)
    assert "seconds" not in first.to_dict(times=False)


def test_json_survives_what_json_cannot_hold(mesh, photo):
    odd = (
        Decision("a", float("nan"), "guessed"),
        Decision("b", np.float32(0.1), "guessed"),
        Decision("c", np.arange(2), "guessed", "[ x ]"),
    )
    facts = json.loads(report(mesh, Capture((photo,), odd)).to_json())
    assert [d["value"] for d in facts["decisions"][:3]] == [None, 0.1, [0, 1]]
    assert facts["decisions"][2]["note"] == "[ x ]"


def test_verdict_is_honest(mesh, photo):
    verdict = {f.use: f for f in reported(mesh, photo).fitness}
    assert verdict["concept"].fit == verdict["web"].fit == verdict["game background"].fit == "yes"
    assert verdict["AR"].fit == "with care"  # the real size is not known
    assert "height" in verdict["AR"].why
    assert verdict["manufacturing"].fit == "no"
    assert "50% of the surface was invented" in verdict["manufacturing"].why
    metric = mesh.with_(metadata={"scale": {"unit": "metre", "from": "given height"}})
    assert {f.use: f.fit for f in reported(metric, photo).fitness}["AR"] == "yes"
    assert reported(metric, photo).to_dict()["scale"]["kind"] == "metric"
    assert [reported(m, photo).decisions[-1].origin for m in (mesh, metric)] == ["guessed", "given"]


def test_defects_are_named(photo):
    box = synthetic.box()
    open_box = box.with_(faces=box.faces[:-1])
    found = reported(open_box, photo)
    assert any("3 open edges" in warning for warning in found.warnings)
    assert {f.use: f.fit for f in found.fitness}["web"] == "with care"
    two = synthetic.joined(box, synthetic.box(centre=(3, 0, 0)))
    assert "the mesh has 2 separate parts" in reported(two, photo).warnings


def test_doubts_about_the_mask_are_named(mesh, photo):
    alpha = np.zeros((60, 90), np.float32)
    alpha[20:, 30:60] = 1
    cut = Photo(photo.image, mask=Mask(alpha, photo.image, 0.3))
    found = " ".join(reported(mesh, cut).warnings)
    assert "touches the picture's edge" in found
    assert "confidence 0.30" in found


def test_seen_share_weighs_area(mesh):
    tall = synthetic.box(size=(1, 3, 1))
    top = np.float32(tall.vertices[:, 1] > 0)
    assert seen_share(tall.with_(seen=top)) == pytest.approx(0.5)
    assert seen_share(tall) == 0.0


def test_table_says_the_essentials(mesh, photo):
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(table(json.loads(reported(mesh, photo).to_json())))
    text = console.export_text()
    for words in ("cup.jpg  900 x 600 px", "yfov deg 30 (estimated)", "12 faces, watertight, manifold", "50% seen"):
        assert words in text
    assert "1.25 s (load 0.25, object 1.00)" in text
    squeezed = " ".join(text.split())
    assert "mask share 0.2 (estimated)" in squeezed
    assert "working size" not in text
    assert "focal length" not in text  # nothing was found, nothing to say
    console.print(reported(mesh, photo).table())
    assert console.export_text() == text


def test_write_is_whole_or_not_at_all(mesh, photo, tmp_path):
    target = tmp_path / "cup.report.json"
    reported(mesh, photo).write(target)
    assert json.loads(target.read_text())["liftform"]
    with pytest.raises(OutputError, match="nowhere"):
        reported(mesh, photo).write(tmp_path / "nowhere" / "cup.json")
    assert [p.name for p in tmp_path.iterdir()] == ["cup.report.json"]


def test_preview_shows_input_and_views(mesh, photo, tmp_path):
    preview(photo, mesh, tmp_path / "cup.preview.png", size_px=96)
    sheet = np.asarray(Image.open(tmp_path / "cup.preview.png"), int)
    assert sheet.shape[1] == 5 * 96
    empty = (np.array(BACKGROUND) * 255).round()
    for i in range(5):
        tile = sheet[:96, i * 96 : (i + 1) * 96]
        assert 0.1 < (np.abs(tile - empty).max(-1) > 8).mean() < 0.9
        assert np.abs(tile[0, 0] - empty).max() <= 2
    front, blue = sheet[:96, 96:192], synthetic.SIDE_COLORS[5]
    assert np.abs(front[48, 30] - blue).max() < 40  # +Z, the white side, is in front
    assert (preview_image(photo, mesh, 96).tobytes()) == Image.open(tmp_path / "cup.preview.png").tobytes()


def test_photo_tile_outlines_the_mask(photo):
    plain, outlined = photo_tile(photo, 98, outline=False), photo_tile(photo, 98)
    changed = np.abs(plain.astype(int) - outlined).max(-1) > 60
    y, x = np.nonzero(changed)
    assert (y.min() - 19, y.max() - 19) == pytest.approx((13, 46), abs=1.5)  # 30 px high, around rows 15 to 45
    assert (x.min() - 4, x.max() - 4) == pytest.approx((28, 61), abs=1.5)
    assert not changed[19 + 18 : 19 + 42, 4 + 33 : 4 + 57].any()


@pytest.mark.parametrize("suffix", [".webp", ".gif", ".mp4"])
def test_turntable_turns(mesh, tmp_path, suffix):
    target = tmp_path / f"turn{suffix}"
    if suffix == ".mp4":
        av = pytest.importorskip("av")
        turntable(mesh, target, size_px=65, frames=8)
        with av.open(str(target)) as video:
            assert sum(1 for _ in video.decode(video=0)) == 8
            assert video.streams.video[0].width == 64
    else:
        turntable(mesh, target, size_px=64, frames=8)
        with Image.open(target) as movie:
            assert movie.n_frames == 8
            first = np.asarray(movie.convert("RGB"), int)
            movie.seek(2)
            assert np.abs(np.asarray(movie.convert("RGB"), int) - first).max() > 50


def test_turntable_refuses(mesh, tmp_path, monkeypatch):
    with pytest.raises(OutputError, match=r"\.avi"):
        turntable(mesh, tmp_path / "turn.avi")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"liftform\[video\]"):
        turntable(mesh, tmp_path / "turn.mp4")
    assert not list(tmp_path.iterdir())


def test_long_labels_are_cut():
    sheet = labelled([np.zeros((20, 100, 3), np.uint8)] * 2, ["a very long name of a picture — indeed.jpg", "b"])
    ink = np.abs(np.asarray(sheet, int)[20:] - np.asarray(sheet, int)[-1, -1]).max(-1) > 60
    columns = np.nonzero(ink.any(0))[0]
    assert columns[columns < 100].max() <= 93
    assert (columns > 100).any()
