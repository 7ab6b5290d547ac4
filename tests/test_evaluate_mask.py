"""The mask protocol: composites by seed with true alpha, scores of answers that are known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from liftform.errors import InputNotFoundError, UnreadableError
from liftform.evaluate import cli, masks


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    """Four red discs, cut out, and two grey photographs."""
    (tmp_path / "views").mkdir()
    y, x = np.mgrid[:96, :96]
    lines = []
    for i in range(4):
        rgba = np.zeros((96, 96, 4), np.uint8)
        rgba[(x - 48) ** 2 + (y - 48) ** 2 < (20 + 6 * i) ** 2] = (220, 20, 20, 255)
        Image.fromarray(rgba).save(tmp_path / "views" / f"{i}.png")
        lines.append(json.dumps({"id": f"disc{i}", "image": f"views/{i}.png"}))
    (tmp_path / "cases.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "photos").mkdir()
    for i in range(2):
        noise = np.random.default_rng(i).integers(90, 150, (60, 90, 1), np.uint8).repeat(3, 2)
        Image.fromarray(noise).save(tmp_path / "photos" / f"{i}.jpg")
    return tmp_path


def made(bench: Path, seed: int = 0, limit: int | None = None) -> list[masks.Composite]:
    return masks.composed(bench / "cases.jsonl", masks.photographs([bench / "photos"]), seed, limit)


def test_objects_stand_where_their_alpha_says_and_at_the_promised_size(bench: Path) -> None:
    pictures = made(bench)
    assert [picture.name for picture in pictures] == [f"disc{i}" for i in range(4)]
    for picture in pictures:
        height, width = picture.alpha.shape
        assert max(height, width) == 512
        assert picture.image.shape == (height, width, 3)
        red = picture.image[..., 0] > picture.image[..., 1] + 0.2
        assert masks.iou(red.astype(np.float32), picture.alpha) > 0.98
        rows = np.flatnonzero((picture.alpha > 0.5).any(1))
        assert 0.38 <= (rows[-1] - rows[0] + 1) / height <= 0.87


def test_composites_follow_from_the_seed(bench: Path) -> None:
    first, again, other = made(bench), made(bench), made(bench, seed=1)
    assert all(np.array_equal(a.image, b.image) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a.alpha, b.alpha) for a, b in zip(first, other, strict=True))
    assert [picture.name for picture in made(bench, limit=2)] == ["disc0", "disc3"]


def test_scores_of_known_answers(bench: Path) -> None:
    pictures = made(bench)
    red = lambda image: np.asarray(image[..., 0] > image[..., 1] + 0.2, np.float32)  # noqa: E731
    scores = masks.score(pictures, {"truth": red, "nothing": lambda image: np.zeros(image.shape[:2], np.float32)})
    assert min(scores["truth"]) > 0.98
    assert scores["nothing"] == [0.0] * 4
    assert masks.grid(scores).rows[1][1:] == ("0.000", "0.000", "0.000", "0.000")
    truth = np.zeros((40, 60), np.float32)
    truth[10:30, 10:50] = 1
    assert masks.iou(np.roll(truth, 10, 1), truth) == pytest.approx(600 / 1000)
    assert masks.iou(truth[::2, ::2], truth) > 0.9


def test_the_command_prints_scores_and_draws_a_sheet(
    bench: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    import argparse

    monkeypatch.setattr(masks, "network", lambda image: image[..., 0])
    monkeypatch.setattr(masks, "stage", lambda image: image[..., 0])
    parser = argparse.ArgumentParser()
    cli.add_commands(parser.add_subparsers())
    words = ["mask", str(bench / "photos"), "--cases", str(bench / "cases.jsonl"), "-o", str(bench / "s.png"), "--json"]
    args = parser.parse_args(words)
    assert args.run(args) == 0
    assert len(json.loads(capsys.readouterr().out)["iou"]["whole stage"]) == 4
    assert Image.open(bench / "s.png").width == 1920


def test_missing_material_is_named(bench: Path) -> None:
    (bench / "empty").mkdir()
    with pytest.raises(InputNotFoundError, match=r"empty: no photograph"):
        masks.photographs([bench / "empty"])
    with pytest.raises(InputNotFoundError, match=r"none\.jsonl"):
        masks.composed(bench / "none.jsonl", [])
    (bench / "photos" / "0.jpg").write_bytes(b"no picture")
    (bench / "photos" / "1.jpg").write_bytes(b"no picture")
    with pytest.raises(UnreadableError, match=r"[01]\.jpg"):
        made(bench)
