"""The TripoSR adapter on a triplane whose shape, front and colours are known: an octahedron with six different arms."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial import cKDTree

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")

from liftform.assets import Mesh  # noqa: E402
from liftform.camera import Camera  # noqa: E402
from liftform.capture import Capture, Mask, Photo  # noqa: E402
from liftform.conventions import view_from_camera  # noqa: E402
from liftform.errors import ReconstructionError, UsageError, WeightsError  # noqa: E402
from liftform.reconstruct import triplane  # noqa: E402
from liftform.reconstruct.surface import Grid, surface_of  # noqa: E402
from liftform.render import Scene  # noqa: E402
from liftform.runtime import Runtime  # noqa: E402
from liftform.zoo import triposr  # noqa: E402

#: How far the shape reaches from the origin in the network's frame: +x (front), -x, +y (right), -y, +z (up), -z.
ARMS = (0.3, 0.7, 0.55, 0.4, 0.65, 0.5)
CONFIG = triposr.Config(
    **{"image_size": 32, "width": 32, "heads": 1, "head_size": 8, "layers": 1, "image_width": 8, "plane_size": 16},
    **{"features": 2, "neurons": 6, "hidden_layers": 1, "activation": "relu"},
    vit=triposr.VitConfig(8, 1, 1, 8, 32, 16),
)
OPTIONS = triplane.TriplaneOptions(resolution=96)


class Octahedron(triposr.TripoSR):
    """A network that sees the same shape in every picture, red in front and blue above."""

    def __init__(self) -> None:
        super().__init__(CONFIG)
        first, last = self.decoder["layers"][0], self.decoder["layers"][2]  # type: ignore[index]
        with torch.no_grad():
            for parameter in (*first.parameters(), *last.parameters()):
                parameter.zero_()
            for i, arm in enumerate(ARMS):
                # The plane of x and y carries both, that of x and z carries z; a feature each, in columns and rows.
                first.weight[i, (0, 1, 3)[i // 2]] = 1.0 if i % 2 == 0 else -1.0
                last.weight[0, i] = -8 / arm
            last.bias[0] = 8 + np.log(triposr.ISO) - CONFIG.density_bias
            last.weight[1, 0] = last.weight[3, 4] = 40
            last.bias[1:] = -4

    def forward(self, image: Any, progress: Any = lambda share: None) -> Any:
        side = 2 * CONFIG.plane_size
        across = ((torch.arange(side) + 0.5) / side * 2 - 1) * CONFIG.radius
        across[[0, -1]] *= 4  # planes are zero outside: what fades there must not look like the middle
        plane = torch.stack([across.expand(side, side), across[:, None].expand(side, side)])
        return plane.expand(1, 3, 2, side, side)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Octahedron:
    made = Octahedron().eval()
    monkeypatch.setattr(triplane, "opened", lambda runtime: made)
    return made


def _photographed() -> tuple[Capture, Any]:
    """A photo whose mask is the octahedron's silhouette, its box around the view frame's origin; the tips (6, 3)."""
    camera = Camera(200, 160, 220, 220, 90, 85, view_from_camera(0.3, 2.8))
    front, back, right, left, up, down = np.array(ARMS) * 0.8
    tips = np.array([[right, 0, 0], [-left, 0, 0], [0, up, 0], [0, -down, 0], [0, 0, front], [0, 0, -back]])
    for _ in range(8):
        pixels, _ = camera.project(tips)
        across = (np.array([90, 85]) - (pixels.min(0) + pixels.max(0)) / 2) * 2.8 / 220
        tips = tips + camera.world_from_camera[:3, :2] @ across
    faces = [(0, 2, 4), (2, 1, 4), (1, 3, 4), (3, 0, 4), (2, 0, 5), (1, 2, 5), (3, 1, 5), (0, 3, 5)]
    origin, rays = camera.rays()
    scene = Scene(Mesh(tips.astype(np.float32), np.array(faces, np.int32)))
    alpha = scene.occluded(origin, rays.reshape(-1, 3)).reshape(camera.height, camera.width).astype(np.float32)
    image = np.full((*alpha.shape, 3), 0.25, np.float32)
    return Capture((Photo(image, mask=Mask(alpha, image, 1.0), camera=camera),)), tips


def test_front_up_and_colours_arrive_in_the_view_frame(network: Octahedron) -> None:
    capture, tips = _photographed()
    seen: list[float] = []
    mesh = triplane.triplane(OPTIONS, Runtime(progress=lambda stage, share: seen.append(share)))(capture)
    mesh.validate()
    np.testing.assert_allclose(mesh.bounds[:, :2], [tips.min(0)[:2], tips.max(0)[:2]], atol=0.02)
    np.testing.assert_allclose(np.ptp(mesh.bounds[:, 2]), np.ptp(tips[:, 2]), atol=0.03)
    assert mesh.metadata["silhouette"] > 0.96
    assert mesh.colors is not None
    assert mesh.colors[mesh.vertices[:, 2].argmax(), 0] > 0.95
    assert mesh.colors[mesh.vertices[:, 2].argmin()].max() < 0.1
    assert mesh.colors[mesh.vertices[:, 1].argmax(), 2] > 0.95
    assert seen == sorted(seen)


def test_the_picture_is_centred_on_grey_and_as_large_as_trained() -> None:
    capture, _ = _photographed()
    photo = capture.photo
    assert photo.mask is not None
    assert photo.camera is not None
    image = triplane.framed(photo.mask, photo.camera, 128)
    object_ = np.argwhere(np.abs(image - 0.5).max(-1) > 0.125)
    assert image[0, 0].tolist() == [0.5, 0.5, 0.5]
    assert np.ptp(object_, axis=0).max() + 1 == pytest.approx(triplane.FOREGROUND * 128, abs=2)
    assert np.abs((object_.min(0) + object_.max(0) + 1) / 2 - 64).max() < 1.5


def _smooth(seed: int, cells: int) -> triposr.Field:
    """A field of random smooth planes."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn((3, 8, cells, cells), generator=generator)
    planes = torch.nn.functional.interpolate(noise, (32, 32), mode="bicubic")
    layers = [torch.nn.Linear(24, 16), torch.nn.Linear(16, 16), torch.nn.Linear(16, 4)]
    with torch.no_grad():
        for layer in layers:
            layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator) * (2 / layer.in_features) ** 0.5)
            layer.bias.zero_()
    config = dataclasses.replace(CONFIG, features=8, neurons=16, hidden_layers=2, activation="silu")
    return triposr.Field(config, layers, planes)


@pytest.mark.parametrize("seed", [0, 1])
def test_coarse_to_fine_finds_what_the_dense_lattice_finds(seed: int) -> None:
    field, nodes = _smooth(seed, 4), 64
    radius, step = CONFIG.radius, 2 * CONFIG.radius / 63
    with torch.no_grad():
        axis = torch.linspace(-radius, radius, nodes)
        points = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
        raw = field.raw_density(points)
        cut = float(raw.quantile(0.8))
        asked = []
        whole = field.raw_density
        field.raw_density = lambda points: asked.append(len(points)) or whole(points)  # type: ignore[func-returns-value,method-assign,assignment]
        vertices, faces = triplane.extracted(field, nodes, float(np.exp(cut)))
    dense = np.ones((nodes + 2,) * 3, np.float32)
    dense[1:-1, 1:-1, 1:-1] = (cut - raw).numpy().reshape(nodes, nodes, nodes)
    expected, _ = surface_of(Grid(dense, np.full(3, -radius - step), step))
    inner, wanted = (v[np.abs(v).max(1) < radius - 1.5 * step] for v in (vertices, expected))
    assert len(inner) == pytest.approx(len(wanted), rel=1e-3)
    assert (cKDTree(wanted).query(inner)[0] < 0.01 * step).mean() > 0.999
    assert (cKDTree(inner).query(wanted)[0] < 0.01 * step).mean() > 0.999
    assert sum(asked) < 0.7 * nodes**3
    assert np.bincount(faces.ravel()).min() >= 3  # closed at the walls too: every vertex inside a fan


def test_nothing_dense_is_a_clear_error() -> None:
    with pytest.raises(ReconstructionError, match="no object"), torch.no_grad():
        triplane.extracted(_smooth(0, 4), 32, 1e9)


def test_a_photo_without_mask_is_refused(network: Octahedron) -> None:
    with pytest.raises(UsageError, match="mask and a camera"):
        triplane.triplane(OPTIONS, Runtime())(Capture((Photo(np.zeros((4, 4, 3), np.float32)),)))


@pytest.mark.parametrize("text", ["[1, 2", "<!doctype html>", "- 1\n- 2"])
def test_a_broken_configuration_is_a_clear_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(WeightsError, match=r"config\.yaml"):
        triplane.read_config(tmp_path / "config.yaml")
