"""Gathering a corpus: CAD and meshes, lost textures, posed photographs in every notation, views of them, duplicates."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("moderngl")
import trimesh
from PIL import Image

from liftform.camera import Camera
from liftform.conventions import GL_FROM_CV
from liftform.errors import LiftformError, UnreadableError
from liftform.train import collect, engines, meshes, photo_views, posed, shards


@pytest.fixture(autouse=True)
def _no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "each", lambda f, jobs, workers=1, engine="pool": ((j, f(j)) for j in jobs))


def _textured_obj(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    Image.new("RGB", (4, 4), (200, 30, 20)).save(folder / "red.png")
    (folder / "t.mtl").write_text("newmtl m\nmap_Kd red.png\n")
    corners = "v 0 0 0\nv 1 0 0\nv 0 2 0\nv 0 0 1\nvt 0 0\nvt 1 0\nvt 0 1\n"
    faces = "usemtl m\nf 1/1 3/3 2/2\nf 1/1 2/2 4/3\nf 1/1 4/2 3/3\nf 2/1 3/2 4/3\n"
    (folder / "tetra.obj").write_text(f"mtllib t.mtl\n{corners}{faces}")
    return folder / "tetra.obj"


def test_a_library_becomes_rows_and_what_is_broken_is_told(tmp_path: Path) -> None:
    root = tmp_path / "lib"
    (root / "chairs").mkdir(parents=True)
    (root / "source.toml").write_text('licence = "CC0-1.0"\nsource = "lib"\n')
    (root / "chairs" / "source.toml").write_text('licence = "CC-BY-4.0"\ncredit = "Ann"\nup = "Z"\n')
    for name in ("chair_01.stl", "chair_02.ply", "chair_b.glb"):
        trimesh.creation.box((1, 1, 2)).export(root / "chairs" / name)
    _textured_obj(root / "good")
    for name in ("no_picture", "bad_picture", "no_library"):
        _textured_obj(root / name)
    (root / "no_picture" / "red.png").unlink()
    (root / "bad_picture" / "red.png").write_bytes((root / "good" / "red.png").read_bytes()[:40])
    (root / "no_library" / "t.mtl").unlink()
    (root / "cut.glb").write_bytes((root / "chairs" / "chair_b.glb").read_bytes()[:200])
    (root / "flat.stl").write_bytes(b"")
    found = list(collect.collect([root], {}))
    rows = {row["id"]: row for row in found if isinstance(row, dict)}
    assert set(rows) == {
        "lib__chairs_chair_01", "lib__chairs_chair_02", "lib__chairs_chair_b", "lib__good_tetra",
    }  # fmt: skip
    chair = rows["lib__chairs_chair_01"]
    assert (chair["licence"], chair["credit"], chair["up"], chair["n_faces"]) == ("CC-BY-4.0", "Ann", "Z", 12)
    assert len({rows[f"lib__chairs_chair_{n}"]["family"] for n in ("01", "02", "b")}) == 1
    assert len({rows[f"lib__chairs_chair_{n}"]["split"] for n in ("01", "02", "b")}) == 1
    assert rows["lib__good_tetra"]["textured"]
    lines = [line for line in found if isinstance(line, str)]
    assert len(lines) == 5
    for word in ("red.png is missing", "red.png is missing or damaged", "t.mtl", "cut.glb", "flat.stl"):
        assert any(word in line for line in lines), word


def test_surfaces_stand_upright_and_keep_their_colour(tmp_path: Path) -> None:
    trimesh.creation.box((1, 1, 2)).export(tmp_path / "tall.stl")
    surface, mesh = meshes.surface_of({"file": tmp_path / "tall.stl", "up": "Z"})
    np.testing.assert_allclose(np.ptp(mesh.vertices, axis=0), [0.5, 1.0, 0.5], atol=1e-6)
    assert mesh.volume > 0
    assert (surface.texture == 255).all()
    surface, _ = meshes.surface_of({"file": _textured_obj(tmp_path / "o")})
    assert tuple(surface.texture[0, 0]) == (200, 30, 20)
    picture = tmp_path / "o" / "red.png"
    mesh = trimesh.load(tmp_path / "o" / "tetra.obj", process=False)
    mesh.export(tmp_path / "tetra.glb")
    meshes.check_textures(tmp_path / "tetra.glb")
    whole = (tmp_path / "tetra.glb").read_bytes()
    at = whole.index(b"\x89PNG") + 30
    (tmp_path / "bad.glb").write_bytes(whole[:at] + bytes(30) + whole[at + 30 :])
    with pytest.raises(UnreadableError, match="texture"):
        meshes.surface_of({"file": tmp_path / "bad.glb"})
    assert picture.exists()


STEP = """ISO-10303-21;
HEADER;
FILE_DESCRIPTION((''),'2;1');
FILE_NAME('','',(''),(''),'','','');
FILE_SCHEMA(('AUTOMOTIVE_DESIGN { 1 0 10303 214 1 1 1 1 }'));
ENDSEC;
DATA;
"""


def test_step_asks_for_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "part.step").write_text(STEP)
    monkeypatch.setitem(__import__("sys").modules, "cascadio", None)
    (line,) = collect.collect([tmp_path], {"licence": "CC0"})
    assert "liftform[cad]" in str(line)


CAMERAS = [Camera.orbit(64, 0.7, a, e, 3.0) for a, e in ((0.3, 0.4), (2.0, -0.2), (-1.1, 0.9))]


def _photos(folder: Path, size: tuple[int, int] = (64, 64)) -> None:
    (folder / "images").mkdir(parents=True)
    for i in range(len(CAMERAS)):
        Image.fromarray(np.random.default_rng(i).integers(0, 255, (*size, 3), np.uint8)).save(
            folder / f"images/{i}.png"
        )


def _quaternion(turn: np.ndarray) -> list[float]:
    w = np.sqrt(max(1 + np.trace(turn), 1e-12)) / 2
    axis = [turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]]
    return [float(w), *(float(a / (4 * w)) for a in axis)]


def _write_transforms(folder: Path) -> None:
    frames: list[dict[str, Any]] = [
        {"file_path": f"images/{i}", "transform_matrix": (c.world_from_camera @ GL_FROM_CV).tolist()}
        for i, c in enumerate(CAMERAS)
    ]
    facts = {"w": 64, "h": 64, "camera_angle_x": 0.7, "k1": 0.01, "frames": [*frames, {"file_path": "images/x.png"}]}
    (folder / "transforms.json").write_text(json.dumps(facts))


def _write_text(folder: Path) -> None:
    (folder / "sparse" / "0").mkdir(parents=True)
    f = CAMERAS[0].fx
    (folder / "sparse/0/cameras.txt").write_text(f"# list\n7 SIMPLE_RADIAL 64 64 {f!r} 32 32 0.01\n")
    lines = []
    for i, camera in enumerate(CAMERAS):
        m = camera.camera_from_world
        numbers = " ".join(repr(float(v)) for v in [*_quaternion(m[:3, :3]), *m[:3, 3]])
        lines += [f"{i + 1} {numbers} 7 {i}.png", "1.0 2.0 -1" if i else ""]
    (folder / "sparse/0/images.txt").write_text("# list\n" + "\n".join(lines) + "\n")
    (folder / "sparse/0/points3D.txt").write_text("1 0 0 0.5 9 9 9 0.1 1 1\n")


def _write_binary(folder: Path) -> None:
    (folder / "sparse").mkdir(parents=True)
    f = CAMERAS[0].fx
    (folder / "sparse/cameras.bin").write_bytes(struct.pack("<QiiQQ4d", 1, 7, 2, 64, 64, f, 32, 32, 0.01))
    data = struct.pack("<Q", len(CAMERAS))
    for i, camera in enumerate(CAMERAS):
        m = camera.camera_from_world
        data += struct.pack("<i7di", i + 1, *_quaternion(m[:3, :3]), *m[:3, 3], 7) + f"{i}.png".encode() + b"\0"
        data += struct.pack("<Q", i) + struct.pack("<ddq", 1, 2, -1) * i
    (folder / "sparse/images.bin").write_bytes(data)
    point = struct.pack("<Q3d3BdQ", 1, 0, 0, 0.5, 9, 9, 9, 0.1, 1) + struct.pack("<ii", 1, 1)
    (folder / "sparse/points3D.bin").write_bytes(struct.pack("<Q", 1) + point)


@pytest.mark.parametrize("write", [_write_transforms, _write_text, _write_binary])
def test_poses_are_read_from_every_notation(tmp_path: Path, write: Any) -> None:
    _photos(tmp_path)
    write(tmp_path)
    got = posed.read_photo_set(tmp_path)
    assert [p.path for p in got.photos] == [tmp_path / f"images/{i}.png" for i in range(3)]
    for photo, camera in zip(got.photos, CAMERAS, strict=True):
        np.testing.assert_allclose(photo.camera.world_from_camera, camera.world_from_camera, atol=1e-9)
        assert photo.camera.fx == pytest.approx(camera.fx)
        assert photo.distortion == (0.01, 0, 0, 0)
    assert got.points.tolist() == ([] if write is _write_transforms else [[0, 0, 0.5]])


@pytest.mark.parametrize("damage", ["cut", "fisheye", "no pose", "mirror"])
def test_damaged_poses_say_so(tmp_path: Path, damage: str) -> None:
    if damage == "cut":
        _write_binary(tmp_path)
        (tmp_path / "sparse/images.bin").write_bytes((tmp_path / "sparse/images.bin").read_bytes()[:100])
    elif damage == "fisheye":
        _write_binary(tmp_path)
        (tmp_path / "sparse/cameras.bin").write_bytes(struct.pack("<QiiQQ8d", 1, 7, 5, 64, 64, *range(8)))
    else:
        frames = [{"file_path": "0.png", "transform_matrix": [[2.0] * 4] * 4}] if damage == "mirror" else []
        (tmp_path / "transforms.json").write_text(json.dumps({"w": 8, "h": 8, "fl_x": 9, "frames": frames}))
    with pytest.raises(LiftformError, match=str(tmp_path)):
        posed.read_photo_set(tmp_path)


def test_a_scan_gives_its_photographs_exact_depth(tmp_path: Path) -> None:
    """A ball of radius 1 at (0, 0, 10), photographed and scanned: depth and normals in the photographs' own world."""
    ball = trimesh.creation.icosphere(4, 1.0)
    ball.apply_translation([0, 0, 10])
    ball.export(tmp_path / "mesh.ply")
    _photos(tmp_path, (120, 160))
    pose = np.eye(4)
    frames = [{"file_path": f"images/{i}.png", "transform_matrix": (pose @ GL_FROM_CV).tolist()} for i in range(3)]
    facts = {"w": 160, "h": 120, "fl_x": 400.0, "cx": 90.0, "cy": 55.0, "frames": frames}
    (tmp_path / "transforms.json").write_text(json.dumps(facts))
    (tmp_path / "images/1.png").write_bytes(b"no picture")
    (row,) = collect.collect([tmp_path], {"licence": "CC0", "split": "train", "metric": True})
    assert isinstance(row, dict)
    assert row["kind"] == "scan-photos"
    from liftform.train.corpus import write_manifest

    write_manifest(tmp_path / "m.jsonl", [row])
    lines = list(photo_views.build_views(tmp_path / "m.jsonl", tmp_path / "out"))
    assert len(lines) == 2
    assert "1.png" in lines[0]
    samples = list(shards.read(next((tmp_path / "out").glob("*.tar"))))
    assert len(samples) == 2
    depth, normals = samples[0]["depth"].astype(float), samples[0]["normals"].astype(float) / 127
    assert depth.shape == (144, 192)
    x, y = (np.arange(192) + 0.5 - 108) / 480, (np.arange(144) + 0.5 - 66) / 480
    u, v = np.meshgrid(x, y)
    a, b = u * u + v * v + 1, -20.0
    inside = b * b - 4 * a * 99 > 1.0  # not the grazing rim
    truth = (-b - np.sqrt(np.maximum(b * b - 4 * a * 99, 0))) / (2 * a)
    assert np.abs(depth - truth)[inside].max() < 0.02
    assert np.isnan(depth[~np.isfinite(depth)]).all()
    assert abs(np.isfinite(depth).mean() - (b * b - 4 * a * 99 > 0).mean()) < 0.01
    outward = np.stack([u * truth, v * truth, truth - 10], -1)
    assert (normals * outward).sum(-1)[inside].min() > 0.97
    assert list(photo_views.build_views(tmp_path / "m.jsonl", tmp_path / "out")) == []


def test_lens_distortion_is_taken_out() -> None:
    """A straight line, bent by the lens, is straight again."""
    camera = Camera(200, 150, 150.0, 150.0, 100.0, 75.0)
    bend = (-0.2, 0.05, 0.001, -0.002)
    x = (np.arange(200) + 0.5 - 100) / 150
    v, u = np.meshgrid((np.arange(150) + 0.5 - 75) / 150, x, indexing="ij")
    ideal_u, ideal_v = u.copy(), v.copy()
    for _ in range(30):  # invert the lens at every pixel of the photograph
        du, dv = photo_views.bent(ideal_u, ideal_v, bend)
        ideal_u, ideal_v = ideal_u + u - du, ideal_v + v - dv
    photo = (0.3 * ideal_u - ideal_v > 0.05).astype(np.float32)[..., None]
    target = photo_views._framed(camera)
    got = photo_views._sampled(photo, camera, target, bend)[..., 0]
    tx = (np.arange(target.width) + 0.5 - target.cx) / target.fx
    ty = (np.arange(target.height) + 0.5 - target.cy) / target.fy
    truth = 0.3 * tx[None] - ty[:, None] > 0.05
    assert ((got > 0.5) != truth).mean() < 0.004


def test_hidden_points_give_no_depth() -> None:
    camera = Camera.from_fov(64, 64, 0.8)
    wall = np.stack([*np.meshgrid(np.linspace(-1, 1, 60), np.linspace(-1, 1, 60)), np.full((60, 60), 3.0)], -1)
    behind = wall[:, :30].reshape(-1, 3) * 2.0
    depth = photo_views.sparse_depth(camera, np.concatenate([wall.reshape(-1, 3), behind]))
    assert np.nanmax(depth) == pytest.approx(3.0)
    assert np.isfinite(depth).mean() > 0.3
    assert np.isnan(photo_views.sparse_depth(camera, np.zeros((0, 3)))).all()
