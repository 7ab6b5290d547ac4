"""TripoSG's adapter: the frame of its result, which shape is taken, and the whole of it on tiny random networks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synthetic

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")
pytest.importorskip("safetensors", reason="the extra 'torch' is not installed")

from safetensors.torch import save_file  # noqa: E402

from liftform.assets import Mesh  # noqa: E402
from liftform.capture import Capture, Mask, Photo  # noqa: E402
from liftform.conventions import rotation_y  # noqa: E402
from liftform.errors import ReconstructionError, UsageError, WeightsError  # noqa: E402
from liftform.reconstruct import diffusion  # noqa: E402
from liftform.reconstruct.diffusion import DiffusionOptions  # noqa: E402
from liftform.render import render  # noqa: E402
from liftform.runtime import Runtime  # noqa: E402
from liftform.zoo import dinov2, triposg  # noqa: E402
from liftform.zoo.object_frame import CROP_PADDING, bounding_box, crop_camera  # noqa: E402

#: A body with a nose to the front (+Z), an ear to its left (+X) and a hat on top (+Y): like no mirror image of itself.
TOY = synthetic.both(
    synthetic.both(synthetic.brick((0.45, 0.35, 0.25)), synthetic.brick((0.08, 0.08, 0.2), centre=(0.0, -0.05, 0.4))),
    synthetic.both(
        synthetic.brick((0.12, 0.2, 0.08), centre=(0.5, 0.2, 0.0)), synthetic.ball(0.16, centre=(-0.2, 0.45, 0.0))
    ),
)


def _capture(azimuth: float, size: int = 256) -> tuple[Capture, Mesh]:
    """A photo of the toy from an azimuth (radians), and the toy as it stands in the view frame of that photo."""
    toy = synthetic.marched(TOY, 40, 0.9)
    turned = toy.vertices @ rotation_y(azimuth) * 0.62
    toy = Mesh((turned - (turned.min(0) + turned.max(0)) / 2).astype(np.float32), toy.faces)
    camera = crop_camera(size, np.radians(35), np.radians(20))
    for _ in range(4):  # the crop's own frame: what is shown fills it but for its padding, around the middle
        pixels, depth = camera.project(toy.vertices)
        low, high = pixels.min(0), pixels.max(0)
        off = np.append((size - low - high) / 2 * depth.mean() / camera.fx, 0) @ camera.world_from_camera[:3, :3].T
        ratio = size / CROP_PADDING / float((high - low).max())
        toy = toy.with_(vertices=((toy.vertices + off) * ratio).astype(np.float32))
    shown = render(toy, camera, shading="clay")
    alpha = shown.mask.astype(np.float32)
    image = np.ascontiguousarray(shown.image[..., :3])
    photo = Photo(image, alpha, "toy", (size, size), mask=Mask(alpha, image, 1.0), camera=camera)
    return Capture((photo,)), toy


class _Drawn:
    """Stands in for the networks: every hypothesis is a field given beforehand."""

    def __init__(self, *fields: Any) -> None:
        self.fields = fields

    def tokens(self, picture: Any) -> Any:
        return picture

    def drawn(self, image: Any, options: DiffusionOptions) -> Any:
        return self.fields

    def field(self, latents: Any) -> Any:
        return latents


def _with(monkeypatch: pytest.MonkeyPatch, *fields: Any) -> None:
    monkeypatch.setattr(diffusion.weights, "files", lambda name, runtime: {})
    monkeypatch.setattr(diffusion._Model, "of", lambda files, runtime: _Drawn(*fields))


@pytest.mark.parametrize("degrees", [0.0, 40.0, -65.0])
def test_the_front_faces_where_the_picture_shows_it(monkeypatch: pytest.MonkeyPatch, degrees: float) -> None:
    """Own frame: front +Z, +Y up. View frame: as the picture shows it, of the same size, nothing mirrored."""
    capture, truth = _capture(np.radians(degrees))
    _with(monkeypatch, TOY)
    mesh = diffusion.diffusion(DiffusionOptions(resolution=48), Runtime())(capture)
    assert mesh.metadata["turned_deg"] == pytest.approx(degrees, abs=6)
    from scipy.spatial import cKDTree

    ours, theirs = (m.vertices - m.bounds.mean(0) for m in (mesh, truth))  # how deep it stands, no picture tells
    off = [cKDTree(a).query(b)[0] for a, b in ((ours, theirs), (theirs, ours))]
    assert max(float(np.percentile(side, 95)) for side in off) < 0.08, off
    pixels = capture.photo.camera.project(mesh.vertices)[0]
    assert [*pixels.min(0), *pixels.max(0)] == pytest.approx(bounding_box(capture.photo.mask.alpha), abs=4)
    assert mesh.colors is None  # the photo's are projected later


def test_the_shape_that_agrees_best_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    capture, _ = _capture(0.3)
    empty = lambda points: np.ones(len(points), np.float32)  # noqa: E731
    _with(monkeypatch, synthetic.ball(0.6), empty, TOY, synthetic.brick((0.5, 0.5, 0.1)))
    mesh = diffusion.diffusion(DiffusionOptions(hypotheses=4, resolution=40), Runtime(seed=7))(capture)
    ranked = mesh.metadata["hypotheses"]
    assert [ranked[0]["seed"], len(ranked)] == [9, 3]  # the empty one has no place in the list
    assert ranked == sorted(ranked, key=lambda one: -one["whole"])
    _with(monkeypatch, empty)
    with pytest.raises(ReconstructionError):
        diffusion.diffusion(DiffusionOptions(), Runtime())(capture)
    bare = capture.learned(replace(capture.photo, mask=None))
    with pytest.raises(UsageError, match="mask and a camera"):
        diffusion.diffusion(DiffusionOptions(), Runtime())(bare)


def test_the_picture_the_network_gets() -> None:
    alpha = np.zeros((60, 100), np.float32)
    alpha[10:30, 20:70] = 1
    picture = diffusion.mask_picture(Mask(alpha, np.zeros((60, 100, 3), np.float32), 1.0))
    assert picture.shape == (60, 60, 3)
    dark = np.argwhere(picture[..., 0] < 128)
    assert [*dark.min(0), *dark.max(0)] == [20, 5, 39, 54]  # centred, a tenth of the longer side free around it
    assert picture[0, 0].tolist() == [255, 255, 255]
    table = {
        "size": {"shortest_edge": 32},
        "crop_size": {"height": 28},
        "image_mean": [0, 0, 0],
        "image_std": [1, 1, 1],
    }
    pixels = diffusion.pixels_of(picture, table)
    assert pixels.shape == (3, 28, 28)
    assert pixels[:, 0, 0] == pytest.approx(1)
    assert pixels[:, 14, 14] == pytest.approx(0)


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """TripoSG in a tiny configuration with random weights, in files as they are published."""
    torch.manual_seed(3)
    configs = {
        "encoder": {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 224},
        "transformer": {
            "num_attention_heads": 2,
            "width": 16,
            "in_channels": 4,
            "num_layers": 3,
            "cross_attention_dim": 8,
        },
        "vae": {
            **{"latent_channels": 4, "num_attention_heads": 2, "width_encoder": 8, "width_decoder": 16},
            **{
                "num_layers_encoder": 1,
                "num_layers_decoder": 1,
                "embed_frequency": 1,
                "_class_name": "TripoSGVAEModel",
            },
        },
    }
    networks = {
        "encoder": dinov2.Dinov2(dinov2.Dinov2Config.of(configs["encoder"])),
        "transformer": triposg.FlowTransformer(triposg.configured(triposg.FlowConfig, configs["transformer"])),
        "vae": triposg.ShapeVae(triposg.configured(triposg.VaeConfig, configs["vae"])),
    }
    files = {}
    for role, network in networks.items():
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.4)
        files[role], files[f"{role}_config"] = tmp_path / f"{role}.safetensors", tmp_path / f"{role}.json"
        save_file(network.state_dict(), files[role])
        files[f"{role}_config"].write_text(json.dumps(configs[role]))
    files["scheduler_config"] = tmp_path / "scheduler.json"
    files["scheduler_config"].write_text(json.dumps({"num_train_timesteps": 1000, "shift": 1.0}))
    monkeypatch.setattr(diffusion.weights, "files", lambda name, runtime: files)
    return files


SMALL = DiffusionOptions(steps=3, hypotheses=2, tokens=16, resolution=32)


def test_all_of_it_on_tiny_networks(published: dict[str, Path]) -> None:
    """Same seed, same bytes; progress after every step."""
    capture, _ = _capture(0.2)
    told: list[float] = []

    def lift(seed: int) -> Mesh:
        return diffusion.diffusion(SMALL, Runtime(seed=seed, progress=lambda stage, share: told.append(share)))(capture)

    first = lift(0)
    assert len([share for share in told if 0.03 < share <= 0.9]) == SMALL.steps * SMALL.hypotheses
    assert told == sorted(told)
    assert first.vertices.tobytes() == lift(0).vertices.tobytes()


def test_it_can_be_interrupted_at_a_step(published: dict[str, Path]) -> None:
    def stop(stage: str, share: float) -> None:
        if share > 0.3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        diffusion.diffusion(SMALL, Runtime(progress=stop))(_capture(0.2)[0])


def test_files_of_another_model_are_refused(published: dict[str, Path]) -> None:
    capture, _ = _capture(0.2)
    published["transformer"], published["vae"] = published["vae"], published["transformer"]
    with pytest.raises(WeightsError, match=r"not the weights of TripoSG \(transformer\)"):
        diffusion.diffusion(SMALL, Runtime())(capture)
    published["encoder_config"].write_text("<html>")
    with pytest.raises(WeightsError, match="settings cannot be read"):
        diffusion.diffusion(SMALL, Runtime())(capture)
