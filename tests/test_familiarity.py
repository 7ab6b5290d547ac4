"""Trust: the table's estimates, its calibration on made-up data of known truth, and the confidence of vertices."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import synthetic

from liftform import report
from liftform.assets import Mesh
from liftform.camera import Camera
from liftform.capture import Capture, Mask, Photo
from liftform.errors import WeightsError
from liftform.refine import trust
from liftform.runtime import Runtime
from liftform.zoo import familiarity

calibrate = pytest.importorskip("liftform.train.calibrate")
CODES = 12


def records(folder: Path, families: int, views: int, seed: int, noise: float = 0.05):
    """Predictions whose F-score falls with "doubt" and is scattered more where it is low; families are shifted."""
    rng = np.random.default_rng(seed)
    folder.mkdir(exist_ok=True)
    out = []
    for family in range(families):
        shift = rng.normal(0, noise / 2)
        for view in range(views):
            doubt, plain = rng.uniform(0, 1, 2)
            f = np.clip(0.9 - 0.35 * doubt + shift + rng.normal(0, noise * (0.3 + doubt)), 0, 1)
            seen = rng.uniform(0, 1, 60)
            error = np.abs(rng.normal(0, 0.02 + 0.08 * (1 - seen)))
            evidence = np.stack([np.full(60, doubt), seen, 0.3 * (1 - seen), 0 * seen, 2 * seen - 1], 1)
            name = f"{family}-{view}"
            np.savez(folder / f"{name}.npz", evidence=evidence, error=error)
            signals = {"doubt": doubt, "seen": plain, "mask_estimated": float(view % 2)}
            code = rng.normal(size=CODES).tolist()
            out.append({"id": name, "family": str(family), "f@0.1": f, "signals": signals, "code": code, "weight": 1.0})
    return out


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """(table, held-out figures) of 40 families of 6 views."""
    folder = tmp_path_factory.mktemp("evidence")
    rng = np.random.default_rng(5)
    centres = rng.normal(size=(4, CODES))
    codes = np.repeat(centres, 50, 0) + 0.05 * rng.normal(size=(200, CODES))
    kinds = {str(k): word for k, word in enumerate(("chair", "tree", "cup", "rock"))}
    named = calibrate.Codes(codes, [str(i // 50) for i in range(200)], [str(i // 2) for i in range(200)])
    book = calibrate.codebook(named, 4, kinds)
    parts, held = calibrate.fit(records(folder, 40, 6, 1), book, folder, 0.8)
    return familiarity.unpack(familiarity.pack(book.centres, parts | {"networks": []})), held, centres


def signs(doubt: float, **others: float) -> dict[str, float]:
    return {"doubt": doubt, "seen": 0.5, "mask_estimated": 0.0, "unfamiliar": 0.5, **others}


def test_more_doubt_never_means_more_trust(fitted):
    table = fitted[0]
    estimates = [table.estimate(signs(d)) for d in np.linspace(-0.5, 1.5, 41)]
    f = np.array([e.f for e in estimates])
    assert (np.diff(f) <= 1e-12).all()
    assert f[0] - f[-1] > 0.2
    assert all(0 <= e.low <= e.f <= e.high <= 1 for e in estimates)
    widths = [e.high - e.low for e in estimates]
    assert widths[-1] > 1.3 * widths[0]  # the made-up scatter grows with doubt
    order = ["poor", "fair", "good"]
    ranks = [order.index(e.verdict) for e in estimates]
    assert ranks == sorted(ranks, reverse=True)


def test_signs_of_trouble_never_raise_the_estimate():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(60, 4))
    y = 0.3 * x[:, 0] - 0.2 * x[:, 1] + 0.1 * x[:, 2] + 0.05 * rng.normal(size=60)
    free = calibrate.ridge(x, y, np.ones(60), 1.0)[1]
    held = calibrate.ridge(x, y, np.ones(60), 1.0, np.array([True, True, False, False]))[1]
    assert free[0] > 0.25
    assert held[0] <= 1e-9
    assert held[1] < -0.1
    assert held[2] > 0.05


def test_the_interval_covers_what_it_says_on_families_never_seen(fitted, tmp_path):
    table, held, _ = fitted
    fresh = records(tmp_path, 150, 4, 77)
    inside = [
        e.low <= r["f@0.1"] <= e.high for r in fresh for e in [table.estimate({**r["signals"], "unfamiliar": 0.5})]
    ]
    assert 0.74 < np.mean(inside) < 0.89
    assert held["spearman"] > 0.8
    assert held["mean_error"] < 0.6 * held["mean_error_of_the_mean"]


def test_no_family_is_in_two_folds():
    families = [f"f{i % 17}" for i in range(200)] + ["large"] * 60
    group = calibrate.folds(families, 5)
    assert all(len({g for f, g in zip(families, group, strict=True) if f == name}) == 1 for name in set(families))
    assert np.bincount(group).min() >= 40


def test_the_same_data_give_the_same_table(tmp_path):
    rng = np.random.default_rng(0)
    codes = calibrate.Codes(rng.normal(size=(60, CODES)), ["0"] * 60, [str(i) for i in range(60)])
    made = []
    for _ in range(2):
        book = calibrate.codebook(codes, 5, {"0": "chair"})
        parts, _ = calibrate.fit(records(tmp_path, 14, 2, 3), book, tmp_path, 0.8)
        made.append(familiarity.pack(book.centres, parts))
    assert made[0] == made[1]


def test_a_code_is_called_by_its_neighbours(fitted):
    table, _, centres = fitted
    assert [table.likeness(c).kind for c in centres] == ["chair", "tree", "cup", "rock"]
    assert table.likeness(centres[0]).count == 25
    assert table.likeness(centres[0]).distance < 0.2
    assert table.likeness(-centres.sum(0)).distance == 1.0


def test_missing_signals_count_as_the_median_and_too_few_are_refused(fitted):
    table = fitted[0]
    whole = table.estimate(signs(0.5))
    assert table.estimate({k: v for k, v in signs(0.5).items() if k != "seen"}).f == pytest.approx(whole.f, abs=0.03)
    with pytest.raises(WeightsError, match="too few signals"):
        table.estimate({"other": 1.0})
    with pytest.raises(WeightsError, match="damaged"):
        familiarity.unpack(b"not a table")


def ball() -> tuple[Mesh, Mesh, Capture]:
    """A finished ball seen from +Z, its reconstruction, and the capture."""
    mesh = synthetic.sphere(24, 32, 0.45)
    normals = mesh.vertices / np.linalg.norm(mesh.vertices, axis=1, keepdims=True)
    seen = (normals[:, 2] > 0.1).astype(np.float32)
    signals = {"doubt": 0.3, "mask_estimated": 0.0}
    confidence = np.full(len(seen), 0.7, np.float32)
    dense = mesh.with_(confidence=confidence, metadata={"signals": signals, "code": np.ones(CODES, np.float32)})
    alpha = np.ones((8, 8), np.float32)
    image = np.zeros((8, 8, 3), np.float32)
    photo = Photo(image, mask=Mask(alpha, image, 1.0), camera=Camera.orbit(8, 0.7, 0.0, 0.0, 2.5))
    finished = mesh.with_(normals=normals.astype(np.float32), seen=seen, metadata=dense.metadata)
    return finished, dense, Capture((photo,))


def test_what_was_not_seen_is_trusted_less(fitted, monkeypatch):
    monkeypatch.setattr(familiarity, "table", lambda: fitted[0])
    mesh, dense, capture = ball()
    done = trust.trust(mesh, dense, capture, trust.TrustOptions(), Runtime()).validate()
    shown, hidden = done.confidence[mesh.seen > 0.5], done.confidence[mesh.vertices[:, 2] < -0.2]
    assert shown.min() > hidden.max()
    assert shown.mean() > hidden.mean() + 0.15
    facts = done.metadata["trust"]
    assert facts["low"] <= facts["f"] <= facts["high"]
    assert "signals" not in done.metadata
    assert "code" not in done.metadata
    assert facts["near"]["seen"] > facts["near"]["whole"] > facts["near"]["invented"]
    json.dumps(facts)
    assert "%" in report.trust_words(facts)


def test_without_a_table_the_report_says_so(monkeypatch):
    monkeypatch.setattr(familiarity, "table", lambda: None)
    mesh, dense, capture = ball()
    done = trust.trust(mesh, dense, capture, trust.TrustOptions(), Runtime())
    assert done.confidence is None
    assert "liftform train familiarity" in report.trust_words(done.metadata["trust"])
    off = trust.trust(mesh, dense, capture, trust.TrustOptions(estimate=False), Runtime())
    assert "trust" not in off.metadata


def test_kinds_are_gathered_beside_what_was_trained_on(tmp_path):
    from liftform.evaluate import bias

    rows = [{"id": f"b{i}", "split": "bench", "source": "kenney", "category": "food", "family": "k"} for i in range(5)]
    rows += [{"id": "c", "split": "bench", "source": "ycb", "scan": True, "category": "ycb", "family": "y"}]
    rows += [
        {"id": f"t{i}", "split": "train", "source": "kenney", "category": "food", "family": f"f{i % 3}"}
        for i in range(7)
    ]
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    found = bias.leanings({f"b{i}": 0.5 + 0.1 * i for i in range(5)} | {"c": 0.9}, manifest)
    assert [(x.origin, x.category, x.trained, x.families, x.cases) for x in found] == [
        ("kits", "food", 7, 3, 5),
        ("scans", "others", 0, 0, 1),
    ]
    assert found[0].f == pytest.approx(0.7)


SCORER = """
import json, os, sys
folder, _, cases, _, out = sys.argv[1:]
names = [json.loads(line)["id"] for line in open(cases)]
assert all(os.path.exists(f"{folder}/{name}.ply") for name in names)
json.dump({"table": {}, "cases": {name: {"f@0.1": 0.7, "posed_f@0.1": 0.6} for name in names}}, open(out, "w"))
"""


def test_predictions_are_collected_once_and_judged(tmp_path, monkeypatch):
    """One real picture and one that is missing, by the real networks."""
    from liftform.evaluate import trust as collected
    from liftform.evaluate.trust_tables import grids

    sofa = Path(__file__).parents[1] / "examples" / "pictures" / "sofa.png"
    np.savez(tmp_path / "truth.npz", points=np.random.default_rng(0).uniform(-0.5, 0.5, (2000, 3)))
    rows = [
        {"id": name, "image": str(image), "truth": "truth.npz", "azimuth_deg": 20.0, "family": "sofa", "source": "x"}
        for name, image in (("sofa", sofa), ("gone", tmp_path / "gone.png"))
    ]
    cases, scorer = tmp_path / "cases.jsonl", tmp_path / "scorer.py"
    cases.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    scorer.write_text(SCORER, encoding="utf-8")
    made = collected.collect(cases, tmp_path / "out", scorer)
    assert made[0]["f@0.1"] == 0.7
    assert made[0]["family"] == "sofa"
    assert {"doubt", "twin_depth", "depth_gap", "seen", "solidity", "missing"} <= set(made[0]["signals"])
    assert "InputNotFoundError" in made[1]["error"]
    again, lift = [], collected._lifted
    monkeypatch.setattr(collected, "_lifted", lambda case, **rest: again.append(case["id"]) or lift(case, **rest))
    assert collected.collect(cases, tmp_path / "out", scorer) == made
    assert again == ["gone"]  # only failures are tried again
    length = len(made[0]["code"])
    codes = np.random.default_rng(1).normal(size=(20, length))
    book = calibrate.codebook(calibrate.Codes(codes, ["0"] * 20, [str(i) for i in range(20)]), 4, {"0": "sofa"})
    wide = [{**r, "code": codes[i % 20].tolist()} for i, r in enumerate(records(tmp_path / "made", 14, 2, 3))]
    parts, _ = calibrate.fit(wide, book, tmp_path / "made", 0.8)
    judged = collected.judge(made, tmp_path / "out", familiarity.Table(book.centres, parts))
    assert [(j.id, j.true) for j in judged] == [("sofa", 0.7)]
    assert len(judged[0].confidence) == len(judged[0].error) > 100
    assert any("Failures (1)" in grid.title for grid in grids(judged, made))
