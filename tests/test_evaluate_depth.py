"""The depth protocol on analytic depth: alignments, groups, kinds of truth, the sheet."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from liftform.errors import InputNotFoundError, UnreadableError
from liftform.evaluate.depth import compared, evaluate_depth, fitted, read_pairs, robust_affine, robust_scale


def ramp(height: int = 48, width: int = 64) -> np.ndarray:
    """A tilted floor, 1 to about 5 m."""
    y, x = np.mgrid[:height, :width]
    return 1 + 3 * y / height + x / width


@given(st.floats(0.01, 100), st.floats(-50, 50))
def test_an_affine_change_of_the_truth_scores_perfectly(scale, shift):
    truth = ramp()
    scores = compared((truth - shift) / scale, truth)
    assert scores.affine[0] < 1e-5
    assert scores.affine[1] == 1
    assert scores.squares[0] < 1e-7


def test_scale_alone_does_not_forgive_a_shift():
    truth = ramp()
    assert compared(7 * truth, truth).scale == pytest.approx((0, 1), abs=1e-9)
    assert compared(truth + 2, truth).scale[0] > 0.1


def test_robust_alignment_ignores_outliers_and_least_squares_does_not():
    truth = ramp()
    depth = 2 * truth + 1
    truth[:4, :4] = 500
    scores = compared(depth, truth)
    outliers = 16 / truth.size
    assert scores.affine[1] == pytest.approx(1 - outliers, abs=1e-9)
    assert scores.squares[1] < 0.8


def test_robust_affine_is_the_minimum():
    rng = np.random.default_rng(0)
    depth, truth = rng.uniform(1, 3, 400), rng.uniform(1, 9, 400)

    def cost(scale, shift):
        return np.sum(np.abs(scale * depth + shift - truth) / truth)

    scale, shift = robust_affine(depth, truth)
    around = [cost(scale + a, shift + b) for a in (-0.05, 0, 0.05) for b in (-0.05, 0, 0.05)]
    assert cost(scale, shift) <= min(around) + 1e-6
    best = robust_scale(depth, truth)
    assert cost(best, 0) <= min(cost(best * 1.02, 0), cost(best * 0.98, 0))


def test_negative_aligned_depth_is_never_close():
    truth = np.full((20, 20), 1.0)
    truth[0, 0] = 100.0
    depth = truth.copy()
    depth[10:, :] = -1.0
    assert compared(depth, truth).scale[1] <= 0.5


def test_answers_of_another_size_and_not_finite_are_brought_to_the_truth():
    found = fitted(np.array([[1.0, 2.0], [np.inf, np.nan]]), np.ones((4, 6)))
    assert found.shape == (4, 6)
    assert found[0, 0] == pytest.approx(1)
    assert found.max() == pytest.approx(2)


def write_pairs(folder, kinds=("depth_metric", "disparity")):
    (folder / "rgb").mkdir(parents=True)
    (folder / "depth").mkdir()
    items = []
    for i, kind in enumerate(kinds):
        stored = ramp() * 1000 if kind == "depth_metric" else 64 * 20 / ramp()
        stored = np.round(stored).astype(np.uint16)
        stored[0, 0] = 0
        Image.fromarray(stored).save(folder / f"depth/{i}.png")
        Image.fromarray(np.full((48, 64, 3), 90, np.uint8)).save(folder / f"rgb/{i}.jpg")
        dataset = "NYUv2" if kind == "depth_metric" else "stereo"
        scale = 1000.0 if kind == "depth_metric" else 64.0
        items.append(
            {"id": str(i), "dataset": dataset, "kind": kind, "scale": scale, "real": True}
            | {"rgb": f"rgb/{i}.jpg", "depth": f"depth/{i}.png"}
        )
    (folder / "meta.json").write_text(json.dumps({"items": items}))
    return folder


def test_a_true_model_scores_perfectly_on_both_kinds_of_truth_and_beside_the_baselines(tmp_path):
    folder = write_pairs(tmp_path / "pairs")
    found = evaluate_depth(folder, {"truth": lambda image: ramp()}, tmp_path / "sheet.png")
    assert [p.group for p in found.pairs] == ["real indoor", "real stereo"]
    assert found.pairs[0].depth[5, 5] == pytest.approx(ramp()[5, 5], abs=1e-3)
    assert np.isnan(found.pairs[0].depth[0, 0])
    for group in ("real indoor", "real stereo"):
        assert found.mean("truth", group)[0] < 0.01
        assert found.mean("truth", group)[1] == 1
    # The floor falls towards the top: the gradient fits with a negative scale, the constant cannot.
    assert found.mean("bottom-near gradient", "real indoor")[0] < found.mean("constant", "real indoor")[0]
    assert len(found.grids()) == 2
    assert json.loads(json.dumps(found.to_dict()))["groups"]["synthetic"]["truth"]["absrel"] is None
    assert Image.open(tmp_path / "sheet.png").width > 3 * 240


def test_a_folder_that_is_not_whole_is_a_clear_error(tmp_path):
    with pytest.raises(InputNotFoundError, match=r"meta\.json"):
        read_pairs(tmp_path)
    folder = write_pairs(tmp_path / "pairs", ("depth_metric",))
    (folder / "depth/0.png").unlink()
    with pytest.raises(InputNotFoundError, match=r"0\.png"):
        read_pairs(folder)
    (folder / "meta.json").write_text("[]")
    with pytest.raises(UnreadableError, match=r"meta\.json"):
        read_pairs(folder)
