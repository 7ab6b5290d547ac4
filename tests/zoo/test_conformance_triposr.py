"""TripoSR against reference tensors made by the original code: every listed tensor, views, names and shapes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")
pytest.importorskip("safetensors", reason="the extra 'torch' is not installed")

from liftform.errors import WeightsError  # noqa: E402
from liftform.zoo import checkpoint, triposr  # noqa: E402

FOLDER = Path(os.environ.get("LIFTFORM_CONFORMANCE", Path(__file__).parents[3] / "shared" / "conformance"))
#: Largest difference over largest value in float32; in bfloat16 the root mean square of the differences over it.
WITHIN, WITHIN_HALF = 1e-4, 2e-3


def _folders() -> list[Path]:
    """Every subfolder whose configuration is one of TripoSR."""
    configs = sorted(FOLDER.glob("*/tiny_config.json"))
    return [path.parent for path in configs if "vit" in json.loads(path.read_text())]


CASES = _folders()
needs_reference = pytest.mark.skipif(not CASES, reason=f"no reference tensors of TripoSR under {FOLDER}")


def _built(folder: Path, dtype: Any = torch.float32) -> triposr.TripoSR:
    said = json.loads((folder / "tiny_config.json").read_text())
    network = triposr.TripoSR(triposr.Config.from_tables(said["config"], said["vit"]))
    checkpoint.load(network, checkpoint.read(folder / "tiny_weights.safetensors"), "TripoSR")
    return network.halved(dtype).eval()


def _expected(folder: Path) -> dict[str, Any]:
    with np.load(folder / "tiny_expected.npz") as file:
        return {name: torch.from_numpy(np.asarray(file[name])) for name in file.files}


def _found(network: triposr.TripoSR, want: dict[str, Any]) -> dict[str, Any]:
    with torch.inference_mode():
        image = triposr.preprocessed(want["image"], network.config.image_size)
        tokens = network.image_tokenizer(image)
        planes = network.planes(tokens)
        field = network.field(planes[0])
        count, height, width, _ = want["views"].shape
        # Of exactly three views the original takes cross products over the views instead of their coordinates (torch's
        # default: the first dimension of length 3), so its cameras have no width: every pixel shows the central ray.
        lens = 0.0 if float(want["views"].std((1, 2)).max()) < 1e-4 else float(np.tan(np.deg2rad(20)))
        return {
            "preprocessed": image,
            "image_tokens": tokens.mT[:, None],
            "triplane": planes,
            "density": field.density(want["points"])[:, None],
            "color": field.color(want["points"]),
            "views": torch.stack([_view(field, 2 * np.pi * i / count, height, width, lens) for i in range(count)]),
        }


def _view(field: triposr.Field, azimuth: float, height: int, width: int, half: float) -> Any:
    """A picture (H, W, 3) on white, from distance 1.9 at elevation 0, +Z up; half: tangent of half the field of view.

    Samples lie in the middle of equal bins between where a ray enters and leaves the box (a thousandth smaller, so that
    all of them are inside); the opacity of a sample takes its bin as a share of that way.
    """
    x = torch.from_numpy((np.arange(width) + 0.5 - width / 2) * 2 * half / height)
    y = torch.from_numpy((height / 2 - np.arange(height) - 0.5) * 2 * half / height)
    c, s = np.cos(azimuth), np.sin(azimuth)
    back, right, up = torch.tensor([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    rays = x[None, :, None] * right + y[:, None, None] * up - back
    rays = rays / rays.norm(dim=-1, keepdim=True)
    slopes = torch.where(rays.abs() < 1e-6, 1e-6, rays)
    walls = torch.stack([(side * 0.999 * field.config.radius - 1.9 * back) / slopes for side in (-1, 1)])
    enter, leave = walls.amin(0).amax(-1), walls.amax(0).amin(-1)
    count = field.config.samples
    at = enter[..., None] + (leave - enter)[..., None] * ((torch.arange(count) + 0.5) / count)
    points = (1.9 * back + at[..., None] * rays[..., None, :]).reshape(-1, 3).float()
    opacity = 1 - torch.exp(-field.density(points).view(height, width, count) / count)
    through = torch.cumprod(torch.cat([torch.ones_like(opacity[..., :1]), 1 - opacity[..., :-1]], -1), -1)
    weight = (opacity * through * (leave > enter)[..., None])[..., None]
    return (weight * field.color(points).view(height, width, count, 3)).sum(2) + 1 - weight.sum(2)


@needs_reference
@pytest.mark.parametrize("folder", CASES, ids=lambda f: f.name)
def test_every_listed_tensor(folder: Path) -> None:
    want = _expected(folder)
    found = _found(_built(folder), want)
    assert found.keys() == want.keys() - {"image", "points"}
    for name, ours in found.items():
        theirs = want[name].reshape(ours.shape)
        assert float((ours - theirs).abs().max() / theirs.abs().max()) < WITHIN, name


@needs_reference
@pytest.mark.parametrize("folder", CASES, ids=lambda f: f.name)
def test_half_precision_stays_near(folder: Path) -> None:
    """The transformers alone run in it; of what follows, density and colour are what is looked at."""
    want = _expected(folder)
    found = _found(_built(folder, torch.bfloat16), want)
    for name, ours in found.items():
        assert ours.dtype == torch.float32, name
        theirs = want[name].reshape(ours.shape)
        assert float((ours - theirs).square().mean().sqrt() / theirs.abs().max()) < WITHIN_HALF, name


@needs_reference
@pytest.mark.parametrize("folder", CASES, ids=lambda f: f.name)
def test_the_tiny_checkpoint_under_the_names_of_newer_transformers(folder: Path) -> None:
    newer = {old: new for new, old in triposr._NEWER.items()}
    state = checkpoint.read(folder / "tiny_weights.safetensors")
    theirs = {}
    for name, value in state.items():
        for old, new in newer.items():
            name = name.replace(f".{old}.", f".{new}.") if ".encoder.layer." in name else name
        theirs[name.replace(".encoder.layer.", ".layers.")] = value
    assert theirs.keys() != state.keys()
    assert triposr.renamed(theirs).keys() == state.keys()
    assert triposr.renamed(state).keys() == state.keys()


FULL = [folder for folder in CASES if (folder / "full_state_dict_shapes.json").exists()]


@pytest.mark.skipif(not FULL, reason=f"no full-size shapes of TripoSR under {FOLDER}")
@pytest.mark.parametrize("folder", FULL, ids=lambda f: f.name)
def test_full_size_names_and_shapes(folder: Path) -> None:
    with torch.device("meta"):
        network = triposr.TripoSR(triposr.Config())
    shapes = {name: list(value.shape) for name, value in network.state_dict().items()}
    assert shapes == json.loads((folder / "full_state_dict_shapes.json").read_text())


def test_configurations_of_other_networks_are_refused() -> None:
    tables = {"tokenizer": {"num_channels": 64}, "backbone": {"in_channels": "${tokenizer.num_channels}"}}
    assert triposr.Config.from_tables(tables).width == 64
    for wrong in (
        {"backbone": {"activation_fn": "gelu"}},
        {"renderer": {"feature_reduction": "product"}},
        {"backbone": {"in_channels": "${nowhere.at_all}"}},
        {"backbone": {"cross_attention_dim": 1024}},
    ):
        with pytest.raises(WeightsError, match="not of TripoSR"):
            triposr.Config.from_tables(wrong)
