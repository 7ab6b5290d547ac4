"""Public depth networks: equal to transformers' where that is installed, and honest about what their depth means."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")
pytest.importorskip("safetensors", reason="the extra 'torch' is not installed")

from safetensors.torch import save_file  # noqa: E402

from liftform.capture import Capture, Photo  # noqa: E402
from liftform.errors import WeightsError  # noqa: E402
from liftform.runtime import Runtime  # noqa: E402
from liftform.understand import public_depth  # noqa: E402
from liftform.zoo import depth_anything, dinov2, moge  # noqa: E402

DEPTH_ANYTHING: dict[str, Any] = {
    "backbone_config": {
        **{"model_type": "dinov2", "hidden_size": 12, "num_hidden_layers": 4, "num_attention_heads": 2},
        **{"image_size": 56, "out_indices": [1, 2, 3, 4]},
    },
    **{"neck_hidden_sizes": [4, 6, 8, 10], "fusion_hidden_size": 8, "head_hidden_size": 4},
}


def _stack(last: int) -> dict[str, Any]:
    same = {"dim_res_blocks": [32] * 5, "resamplers": ["conv_transpose", "bilinear", "nearest", "pixel_shuffle"]}
    return {**same, "dim_in": [32] * 5, "dim_out": [None] * 4 + [last]}


MOGE: dict[str, Any] = {
    "encoder": {"backbone": "dinov2_vits14", "intermediate_layers": [0, 11], "dim_out": 8},
    "neck": {**_stack(32), "dim_in": [10, 2, 2, 2, 2], "dim_out": None, "num_res_blocks": [1, 1, 0, 0, 0]},
    **{"points_head": _stack(3), "normal_head": _stack(3), "mask_head": _stack(1)},
    **{"scale_head": {"dims": [384, 8, 1]}, "remap_output": "exp", "num_tokens_range": [20, 60]},
}


def _random(network: Any, wide: float = 0.2) -> Any:
    torch.manual_seed(0)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=wide if parameter.ndim > 1 else 0.1)
    return network.eval()


def _photo(height: int = 90, width: int = 120, focal_px: float | None = None) -> Capture:
    image = np.random.default_rng(0).random((height, width, 3)).astype(np.float32)
    return Capture((Photo(image, focal_px=focal_px),))


def _files(monkeypatch: pytest.MonkeyPatch, **files: Path) -> None:
    monkeypatch.setattr(public_depth.weights, "files", lambda name, runtime: files)


def test_depth_anything_equals_transformers() -> None:
    transformers = pytest.importorskip("transformers", reason="not installed: equality with it is not tested")
    table = {**DEPTH_ANYTHING, "reassemble_hidden_size": 12}
    encoder = transformers.Dinov2Config(**table["backbone_config"], apply_layernorm=True, reshape_hidden_states=False)
    theirs = _random(
        transformers.DepthAnythingForDepthEstimation(
            transformers.DepthAnythingConfig(**{**table, "backbone_config": encoder})
        )
    )
    theirs.head.conv3.bias.data.fill_(5.0)
    # Since version 5 it renames the encoder's attention when it reads; the published files keep the names of before.
    published = {
        "q_proj": "attention.query",
        "k_proj": "attention.key",
        "v_proj": "attention.value",
        "o_proj": "output.dense",
    }
    state = {
        re.sub(r"(?<=attention\.)([qkvo]_proj)", lambda found: published[found[0]], name): value
        for name, value in dinov2.without_training(theirs.state_dict()).items()
    }
    ours = depth_anything.DepthAnything(depth_anything.DepthAnythingConfig.of(DEPTH_ANYTHING)).eval()
    ours.load_state_dict(state)
    pixels = torch.randn(2, 3, 70, 42)
    with torch.inference_mode():
        want, found = theirs(pixels).predicted_depth, ours(pixels)
    assert want.std() > 0.01
    torch.testing.assert_close(found, want, rtol=1e-4, atol=1e-4)


def test_affine_depth_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = _random(depth_anything.DepthAnything(depth_anything.DepthAnythingConfig.of(DEPTH_ANYTHING)))
    network.head.conv3.bias.data.fill_(3.0)
    save_file(network.state_dict() | {"backbone.embeddings.mask_token": torch.zeros(1, 12)}, tmp_path / "w.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(DEPTH_ANYTHING))
    _files(monkeypatch, weights=tmp_path / "w.safetensors", config=tmp_path / "config.json")
    found = public_depth.relative(public_depth.RelativeOptions(side=84), Runtime())(_photo())
    depth = found.photo.depth
    assert (depth.scale, depth.z.shape, depth.source) == ("affine", (84, 112), "depth-anything")
    assert np.nanmin(depth.z) == pytest.approx(1)
    assert (np.isnan(depth.z) == depth.sky).all()
    inverse = public_depth.inverse_depth(_photo().photo.image, 84, Runtime())
    known = ~depth.sky
    assert np.corrcoef(1 / depth.z[known], inverse[known])[0, 1] == pytest.approx(1)
    assert found.decisions[-1].value["model"] == "depth-anything"


@pytest.mark.parametrize("focal_px", [None, 150.0])
def test_metric_depth_has_a_field_of_view(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, focal_px: float | None
) -> None:
    network = _random(moge.MoGe(MOGE), 0.03)
    torch.save({"model_config": MOGE, "model": network.state_dict()}, tmp_path / "model.pt")
    _files(monkeypatch, weights=tmp_path / "model.pt")
    depth = public_depth.metric(public_depth.MetricOptions(tokens=100), Runtime())(
        _photo(focal_px=focal_px)
    ).photo.depth
    assert (depth.scale, depth.z.shape, depth.normals.shape) == ("metric", (90, 120), (90, 120, 3))
    assert (np.isnan(depth.z) == depth.sky).all()
    assert np.nanmin(depth.z) > 0
    if focal_px:
        assert depth.tan_half == pytest.approx(60 / focal_px)


@pytest.mark.parametrize("known", [False, True])
def test_focal_length_and_shift_are_found(known: bool) -> None:
    """Points on the rays of their pixels, moved in z: both figures come back, through gaps as well."""
    rng, focal, shift = np.random.default_rng(1), 1.7, 0.8
    uv = moge.directions(60, 90, 1.5).numpy().transpose(1, 2, 0)
    z = 2 + rng.random((60, 90, 1))
    points = np.concatenate([uv * z / focal, z - shift], -1)
    there = rng.random((60, 90)) > 0.3
    points[~there] = 50
    found = moge.focal_and_shift(points, there, focal if known else None)
    assert found == pytest.approx((focal, shift), abs=1e-3)


def test_names_of_the_original_encoder() -> None:
    """One matrix for query, key and value there, three here."""
    joined = torch.arange(18.0).view(9, 2)
    state = {
        "blocks.3.attn.qkv.weight": joined,
        "blocks.0.ls1.gamma": joined[0],
        "mask_token": joined,
        "pos_embed": joined,
    }
    renamed = dinov2.from_original(state)
    start = "encoder.layer.3.attention.attention"
    assert set(renamed) == {
        *(f"{start}.{part}.weight" for part in ("query", "key", "value")),
        "encoder.layer.0.layer_scale1.lambda1",
        "embeddings.position_embeddings",
    }
    assert renamed[f"{start}.key.weight"].tolist() == joined[3:6].tolist()


def test_other_architectures_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WeightsError, match="metres"):
        depth_anything.DepthAnythingConfig.of({"depth_estimation_type": "metric"})
    with pytest.raises(WeightsError, match="SwiGLU"):
        dinov2.Dinov2Config.of({"use_swiglu_ffn": True})
    with pytest.raises(WeightsError, match="dinov9"):
        moge.MoGe({**MOGE, "encoder": {**MOGE["encoder"], "backbone": "dinov9"}})
    torch.save({"model": {}}, tmp_path / "model.pt")
    _files(monkeypatch, weights=tmp_path / "model.pt")
    with pytest.raises(WeightsError, match="no MoGe-2"):
        public_depth.metric(public_depth.MetricOptions(), Runtime())(_photo())
