"""The object network's workshop: renderers against analysis and each other, signs, frames, batches, export."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
import torch
import trimesh

from liftform.camera import Camera
from liftform.train import data, export_object, object, render, shards
from liftform.train.zbuffer import ZBufferRasteriser
from liftform.zoo import object_net


def _surface(mesh: trimesh.Trimesh) -> render.Surface:
    corners = mesh.triangles.astype(np.float32)
    colour = np.array([0.8, 0.3, 0.1], np.float32)
    return render.Surface(
        corners,
        mesh.vertex_normals[mesh.faces].astype(np.float32),
        np.zeros((len(corners), 3, 2), np.float32),
        np.full((1, 1, 3), 255, np.uint8),
        np.broadcast_to(colour, corners.shape).copy(),
    )


@pytest.fixture(scope="module")
def glb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("glb") / "box.glb"
    trimesh.creation.box((0.4, 1.0, 0.6)).export(path)
    return path


def _rasterisers() -> list[render.Rasteriser]:
    both: list[render.Rasteriser] = [ZBufferRasteriser()]
    with contextlib.suppress(Exception):  # no EGL here: the z-buffer alone is checked
        both.append(render.GlRasteriser())
    return both


def test_rasterisers_see_a_sphere_where_it_is() -> None:
    ball = _surface(trimesh.creation.icosphere(5, 0.5))
    camera = Camera.orbit(96, np.radians(35), 0.7, 0.3, 2.2)
    _, rays = camera.rays()
    unit = rays / np.linalg.norm(rays, axis=-1, keepdims=True)
    along = -(unit @ camera.position)
    hit = camera.position @ camera.position - along**2 < 0.25
    distance = along - np.sqrt(np.maximum(0.25 - (camera.position @ camera.position - along**2), 0))
    depth = distance / np.linalg.norm(rays, axis=-1)
    for rasteriser in _rasterisers():
        rasteriser.load(ball)
        got = rasteriser.draw(camera)
        assert abs((got.alpha > 0.5).mean() - hit.mean()) < 0.01
        inner = hit & (got.alpha == 1) & (along - distance > 0.1)
        assert np.abs(got.depth - depth)[inner].max() < 4e-3
        points = camera.position + unit * distance[..., None]
        assert ((got.normals * points * 2).sum(-1)[inner]).min() > 0.99
        np.testing.assert_allclose(got.albedo_linear[inner].mean(0), [0.8, 0.3, 0.1], atol=1e-3)


def test_texture_is_neither_flipped_nor_mirrored() -> None:
    quad = np.array(
        [[[-0.5, 0.5, 0], [-0.5, -0.5, 0], [0.5, -0.5, 0]], [[-0.5, 0.5, 0], [0.5, -0.5, 0], [0.5, 0.5, 0]]]
    )
    uv = np.array([[[0, 0], [0, 1], [1, 1]], [[0, 0], [1, 1], [1, 0]]], np.float32)
    texture = np.zeros((8, 8, 3), np.uint8)
    texture[:4, :4] = (255, 0, 0)  # red top left
    texture[4:, 4:] = (0, 0, 255)  # blue bottom right
    normal = np.broadcast_to(np.float32([0, 0, 1]), quad.shape)
    surface = render.Surface(quad.astype(np.float32), normal, uv, texture, np.ones((2, 3, 3), np.float32))
    for rasteriser in _rasterisers():
        rasteriser.load(surface)
        image = rasteriser.draw(Camera.orbit(64, np.radians(40), 0.0, 0.0, 2.0)).albedo_linear
        assert image[24, 24, 0] > 0.9
        assert image[40, 40, 2] > 0.9
        assert image[24, 40].max() < 0.1


def test_frame_holds_the_object_and_agrees_with_the_crop_camera() -> None:
    from liftform.zoo.object_frame import CROP_PADDING, crop_camera

    rng = np.random.default_rng(0)
    vertices = rng.uniform(-0.5, 0.5, (200, 3)) * [1.0, 0.5, 0.3]
    for azimuth, elevation in ((0.0, 0.2), (1.1, -0.1), (-2.0, 0.6)):
        camera, view_from_object = data.frame(vertices, azimuth, elevation, 0.5, CROP_PADDING, 128)
        pixels, _ = camera.project(vertices)
        span = (pixels.max(0) - pixels.min(0)).max()
        assert span == pytest.approx(128 / CROP_PADDING, rel=0.02)
        moved = vertices @ view_from_object[:3, :3].T + view_from_object[:3, 3]
        virtual = crop_camera(128, camera.yfov, float(np.arcsin(-camera.world_from_camera[1, 2])))
        np.testing.assert_allclose(virtual.project(moved)[0], pixels, atol=1e-6)


def test_network_axes_agree_with_the_camera() -> None:
    from liftform.zoo.object_frame import crop_camera

    virtual = crop_camera(128, 0.6, 0.3)
    points = np.random.default_rng(1).normal(size=(1, 50, 3)) * 0.3
    q = torch.from_numpy(points @ virtual.world_from_camera[:3, :3])
    back = object_net.upright_from_camera(q, torch.tensor([0.3], dtype=torch.float64))
    np.testing.assert_allclose(back.numpy(), points, atol=1e-12)
    again = object_net.camera_from_upright(back, torch.tensor([0.3], dtype=torch.float64))
    np.testing.assert_allclose(again.numpy(), q.numpy(), atol=1e-12)


def test_signs_hold_for_closed_open_and_hollow_meshes() -> None:
    rng, options = np.random.default_rng(0), data.DataOptions(points=4000)
    ball = trimesh.creation.icosphere(4, 0.5)
    points, distance = data.signed_points(ball, rng, options)
    truth = np.linalg.norm(points.astype(float), axis=1) - 0.5
    sure = np.abs(truth) > 0.01
    assert ((distance < 0) == (truth < 0))[sure].all()
    hollow = trimesh.util.concatenate([ball, trimesh.Trimesh(ball.vertices * 0.8, ball.faces[:, ::-1])])
    points, distance = data.signed_points(hollow, rng, options)
    assert (distance < 0)[np.linalg.norm(points.astype(float), axis=1) < 0.48].all()  # no picture shows the hollow
    sheet = trimesh.Trimesh([[-0.5, 0, -0.5], [0.5, 0, -0.5], [0, 0, 0.5]], [[0, 1, 2]])
    points, distance = data.signed_points(sheet, rng, options)
    assert 0 < (distance < 0).mean() < 0.6
    assert np.abs(points[distance < 0].astype(float)[:, 1]).max() <= options.shell + 1e-3


def test_symmetry_of_a_box_and_of_none() -> None:
    box = trimesh.sample.sample_surface(trimesh.creation.box((1, 0.5, 0.4)), 2048, seed=0)[0]
    planes = data.symmetry_planes(box.astype(np.float16))
    assert {0, 90} == {round(float(np.degrees(a))) for a in planes}
    lump = np.concatenate([box + np.array([0, 0, 0.2]), box[:700] * 0.5 + [0.7, 0.3, 0.5]])
    assert len(data.symmetry_planes(lump.astype(np.float16))) == 0


def test_shards_are_the_same_twice_and_train(glb: Path, tmp_path: Path) -> None:
    row = {"id": "box", "file": str(glb), "source": "test", "family": "b0"}
    options = data.DataOptions(views=2, points=512, surface_points=128, size_px=64, target_px=32)
    first, second = data.shard(row, options), data.shard(row, options)
    for name, sample in (("a.tar", first), ("b.tar", second)):
        shards.write(tmp_path / name, [sample])
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    corpus = object.Corpus(tmp_path, held_out=object.is_held_out("b0"))
    small = object.ObjectOptions(shards=tmp_path, batch=2, points=64, colour_points=32)
    batch = next(object.batches(corpus, small, 0))
    torch.manual_seed(0)
    net = object_net.ObjectNet()
    optimiser = torch.optim.Adam(net.parameters(), 2e-3)
    history = []
    for _ in range(8):
        losses = object.loss_fn(net, batch)
        optimiser.zero_grad()
        losses["loss"].backward()
        optimiser.step()
        history.append(float(losses["loss"].detach()))
    assert history[-1] < 0.85 * history[0]


def test_flip_is_the_mirror_image(glb: Path) -> None:
    row = {"id": "box", "file": str(glb), "source": "test", "family": "b0"}
    shard = data.shard(row, data.DataOptions(views=1, points=512, surface_points=128, size_px=64, target_px=32))
    view = object._view(shard, np.random.default_rng(0), object.ObjectOptions(points=64, colour_points=8), False)
    flipped = object._flipped(view)
    np.testing.assert_array_equal(flipped["rgb"], view["rgb"][:, ::-1])
    x, z = view["plane_normal"]
    point = view["points"][0]
    height = point[0] * x + point[2] * z - view["plane_offset"]
    a, b = flipped["plane_normal"]
    other = flipped["points"][0]
    assert other[0] * a + other[2] * b - flipped["plane_offset"] == pytest.approx(height, abs=1e-6)


def test_exported_network_equals_torch(tmp_path: Path) -> None:
    import onnxruntime

    torch.manual_seed(0)
    net = object_net.ObjectNet().eval()
    encoder, field = export_object.export_object(net, tmp_path)
    assert export_object._difference(net, encoder, field) < 1e-4
    assert onnxruntime.InferenceSession(str(field)).get_modelmeta().custom_metadata_map["field_scale"] == "0.08"


def test_the_early_look_is_a_picture(tmp_path: Path, glb: Path) -> None:
    from PIL import Image

    from liftform.train.look import TILE, look

    row = {"id": "box", "file": str(glb), "source": "test", "family": "b0"}
    options = data.DataOptions(views=1, points=512, surface_points=128, size_px=64, target_px=32)
    shards.write(tmp_path / "box.tar", [data.shard(row, options)])
    corpus = object.Corpus(tmp_path, held_out=object.is_held_out("b0"))
    small = object.ObjectOptions(shards=tmp_path, batch=2, points=128, colour_points=8, late_size=64)
    batch = next(object.batches(corpus, small, 0, augment=False))
    look(object_net.ObjectNet().eval(), batch, tmp_path / "look.png", rows=1)
    image = np.asarray(Image.open(tmp_path / "look.png"))
    assert image.shape == (TILE, 4 * TILE, 3)
    assert image[:, :TILE].std() > 1


def test_scattered_points_are_truly_empty(glb: Path) -> None:
    row = {"id": "box", "file": str(glb), "source": "test", "family": "b0"}
    shard = data.shard(row, data.DataOptions(views=1, points=512, surface_points=512, size_px=64, target_px=32))
    points, distance = np.zeros((200, 3), np.float32), np.full(200, -1, np.float32)
    object._scatter(points, distance, shard, 0, np.random.default_rng(0))
    moved = distance > 0
    assert moved.mean() > 0.5
    outside = (np.abs(points) > np.array([0.2, 0.5, 0.3])).any(1)  # the box of the fixture, longest side 1
    assert outside[moved].all()
    assert (points[~moved] == 0).all()


def test_a_slim_checkpoint_starts_another_run(tmp_path: Path) -> None:
    from liftform.train.checkpoints import load_weights, slim

    torch.manual_seed(1)
    net = object_net.ObjectNet()
    state = {"model": net.state_dict(), "average": {}, "step": 7, "seconds": 1.0}
    torch.save(state, tmp_path / "last.pt")
    slim(tmp_path / "last.pt", tmp_path / "slim.pt")
    assert (tmp_path / "slim.pt").stat().st_size < 0.6 * (tmp_path / "last.pt").stat().st_size
    other = object_net.ObjectNet()
    assert load_weights(other, tmp_path / "slim.pt")["step"] == 7
    for ours, theirs in zip(net.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
