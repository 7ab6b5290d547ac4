"""TripoSG against reference tensors made by the original code: every listed tensor, every name, every shape."""

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
from liftform.zoo import checkpoint, triposg  # noqa: E402

FOLDER = Path(os.environ.get("LIFTFORM_CONFORMANCE", Path(__file__).parents[3] / "shared" / "conformance"))
#: Largest difference over largest value: float32, and float16.
WITHIN, WITHIN_HALF = 1e-4, 2e-3


def _folders() -> list[Path]:
    """Every subfolder whose configuration is one of TripoSG."""
    configs = sorted(FOLDER.glob("*/tiny_config.json"))
    return [path.parent for path in configs if {"transformer", "vae"} <= json.loads(path.read_text()).keys()]


CASES = _folders()
needs_reference = pytest.mark.skipif(not CASES, reason=f"no reference tensors of TripoSG under {FOLDER}")


def _built(folder: Path) -> tuple[Any, Any, Any]:
    """Transformer, autoencoder and schedule of a tiny configuration, loaded as they are."""
    config = json.loads((folder / "tiny_config.json").read_text())
    state = checkpoint.read(folder / "tiny_weights.safetensors")
    built = []
    for role, kind, network in (
        ("transformer", triposg.FlowConfig, triposg.FlowTransformer),
        ("vae", triposg.VaeConfig, triposg.ShapeVae),
    ):
        model = network(triposg.configured(kind, config[role])).eval()  # type: ignore[arg-type]
        part = {name.removeprefix(f"{role}."): t for name, t in state.items() if name.startswith(f"{role}.")}
        checkpoint.load(model, part, f"TripoSG ({role})")
        built.append(model)
    return *built, triposg.configured(triposg.SchedulerConfig, config.get("scheduler", {}))  # type: ignore[return-value]


def _expected(folder: Path) -> dict[str, Any]:
    with np.load(folder / "tiny_expected.npz") as file:
        return {name: torch.from_numpy(np.asarray(file[name])) for name in file.files}


def _apart(ours: Any, theirs: Any) -> float:
    assert ours.shape == theirs.shape
    return float((ours.float() - theirs).abs().max() / theirs.abs().max())


@needs_reference
@pytest.mark.parametrize("folder", CASES, ids=lambda f: f.name)
def test_every_listed_tensor(folder: Path) -> None:
    transformer, vae, scheduler = _built(folder)
    want = _expected(folder)
    found: dict[str, Any] = {}
    with torch.inference_mode():
        memory = transformer.memory(want["image_embeds"])
        for name in want:
            if name.startswith("velocity_t"):
                t = torch.full((len(want["latents"]),), float(name.removeprefix("velocity_t").replace("_", ".")))
                found[name] = transformer(want["latents"], t, memory)
        steps, guidance = int(want["steps"]), float(want["guidance_scale"])
        found["timesteps"] = triposg.sigmas(scheduler, steps)[:-1] * scheduler.num_train_timesteps
        sample = triposg.sample(transformer, want["image_embeds"], want["latents"], steps, guidance, scheduler)
        found["sampled_latents"] = sample
        normalised = want["sampled_latents"] / want["sampled_latents"].std()
        for name, latents in (("latents", want["latents"]), ("normalised_sample", normalised)):
            found[f"field_of_{name}"] = vae.field(want["points"], vae.memory(latents))
    given = {"latents", "image_embeds", "points", "steps", "guidance_scale"}
    assert found.keys() == want.keys() - given
    assert {name: apart for name, value in found.items() if (apart := _apart(value, want[name])) > WITHIN} == {}


@needs_reference
@pytest.mark.parametrize("folder", CASES, ids=lambda f: f.name)
def test_zero_tokens_are_left_out_exactly(folder: Path) -> None:
    """The unconditional velocity, for which cross-attention is skipped, is that of image tokens that are all zero."""
    transformer, _, _ = _built(folder)
    want = _expected(folder)
    t = torch.full((len(want["latents"]),), 300.0)
    with torch.inference_mode():
        asked = transformer(want["latents"], t, transformer.memory(torch.zeros_like(want["image_embeds"])))
        assert _apart(transformer(want["latents"], t, None), asked) < 1e-6


@needs_reference
@pytest.mark.parametrize("folder", CASES, ids=lambda f: f.name)
def test_half_precision_stays_near(folder: Path) -> None:
    """float16 within 2e-3; bfloat16 errs at most twice as much as rounding the weights to it does already."""
    want = _expected(folder)

    def errors(round_to: Any, run_in: Any) -> list[float]:
        transformer, vae, _ = (
            p.to(round_to).to(run_in) if isinstance(p, torch.nn.Module) else p for p in _built(folder)
        )
        memory = transformer.memory(want["image_embeds"].to(run_in))
        velocity = transformer(want["latents"].to(run_in), torch.tensor([500.0]), memory)
        field = vae.field(want["points"], vae.memory(want["latents"]))
        return [_apart(velocity, want["velocity_t500"]), _apart(field, want["field_of_latents"])]

    with torch.inference_mode():
        assert max(errors(torch.float16, torch.float16)) < WITHIN_HALF
        rounded, run = errors(torch.bfloat16, torch.float32), errors(torch.bfloat16, torch.bfloat16)
    assert all(b < 2 * a for a, b in zip(rounded, run, strict=True)), (rounded, run)


@pytest.mark.parametrize("path", [f / "full_state_dict_shapes.json" for f in CASES] or [None])
def test_full_size_names_and_shapes(path: Path | None) -> None:
    if path is None or not path.exists():
        pytest.skip("no full-size shapes to compare with")
    with torch.device("meta"):
        built = {
            "transformer": triposg.FlowTransformer(triposg.FlowConfig()),
            "vae": triposg.ShapeVae(triposg.VaeConfig()),
        }
    ours = {role: {n: list(t.shape) for n, t in model.state_dict().items()} for role, model in built.items()}
    assert ours == json.loads(path.read_text())


def test_another_architecture_is_refused() -> None:
    with pytest.raises(WeightsError, match="use_cross_attention_2"):
        triposg.configured(triposg.FlowConfig, {"_class_name": "TripoSGDiTModel", "use_cross_attention_2": True})
    with pytest.raises(WeightsError, match="'layers'"):
        triposg.configured(triposg.VaeConfig, {"layers": 3})
    small = triposg.FlowTransformer(triposg.FlowConfig(2, 16, 4, 3, 8))
    state = small.state_dict()
    state.pop("proj_in.bias")
    with pytest.raises(WeightsError, match=r"1 missing, such as proj_in\.bias"):
        checkpoint.load(small, state, "TripoSG")
