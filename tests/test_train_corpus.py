"""Gathering a corpus: CAD and meshes, lost textures, posed photographs in every notation, views of them, duplicates."""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("moderngl")
pytest.importorskip("matplotlib")
import trimesh
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from liftform.camera import Camera
from liftform.conventions import GL_FROM_CV
from liftform.errors import LiftformError, UnreadableError
from liftform.lens import bent
from liftform.photoset import posed
from liftform.train import (
    collect,
    corpus,
    coverage,
    duplicates,
    engines,
    meshes,
    pack,
    photo_views,
    render,
    shards,
)


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


def _step_box(size: tuple[float, float, float]) -> str:
    """A box in millimetres as a faceted boundary representation (ISO 10303-214)."""
    rows, no = list[str](), "''"

    def add(kind: str, *parts: str) -> str:
        rows.append(f"#{len(rows) + 1}={kind}({','.join(parts)});")
        return f"#{len(rows)}"

    def many(parts: Any) -> str:
        return f"({','.join(str(p) for p in parts)})"

    corners = np.array([[x, y, z] for x in (0.0, 1) for y in (0, 1) for z in (0, 1)]) * size
    points = [add("CARTESIAN_POINT", no, many(c)) for c in corners]
    faces = []
    for q in [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]:
        bound = add("FACE_OUTER_BOUND", no, add("POLY_LOOP", no, many(points[i] for i in q)), ".T.")
        along = corners[q[1]] - corners[q[0]]
        axes = [np.cross(along, corners[q[2]] - corners[q[0]]), along]
        named = [add("DIRECTION", no, many(a / np.linalg.norm(a))) for a in axes]
        plane = add("PLANE", no, add("AXIS2_PLACEMENT_3D", no, points[q[0]], *named))
        faces.append(add("FACE_SURFACE", no, many([bound]), plane, ".T."))
    brep = add("FACETED_BREP", no, add("CLOSED_SHELL", no, many(faces)))
    units = [
        add("", "LENGTH_UNIT()NAMED_UNIT(*)SI_UNIT(.MILLI.,.METRE.)"),
        add("", "NAMED_UNIT(*)PLANE_ANGLE_UNIT()SI_UNIT($,.RADIAN.)"),
        add("", "NAMED_UNIT(*)SI_UNIT($,.STERADIAN.)SOLID_ANGLE_UNIT()"),
    ]
    context = f"GEOMETRIC_REPRESENTATION_CONTEXT(3)GLOBAL_UNIT_ASSIGNED_CONTEXT({many(units)})"
    world = add("", f"{context}REPRESENTATION_CONTEXT({no},{no})")
    shape = add("FACETED_BREP_SHAPE_REPRESENTATION", no, many([brep]), world)
    use = add("APPLICATION_CONTEXT", "'automotive design'")
    product = add("PRODUCT", "'box'", "'box'", no, many([add("PRODUCT_CONTEXT", no, use, "'mechanical'")]))
    form = add("PRODUCT_DEFINITION_FORMATION", no, no, product)
    stage = add("PRODUCT_DEFINITION_CONTEXT", "'part definition'", use, "'design'")
    definition = add("PRODUCT_DEFINITION", no, no, form, stage)
    add("SHAPE_DEFINITION_REPRESENTATION", add("PRODUCT_DEFINITION_SHAPE", no, no, definition), shape)
    head = "FILE_DESCRIPTION((''),'2;1');FILE_NAME('','',(''),(''),'','','');FILE_SCHEMA(('AUTOMOTIVE_DESIGN'));"
    return f"ISO-10303-21;HEADER;{head}ENDSEC;DATA;{''.join(rows)}ENDSEC;END-ISO-10303-21;"


def test_step_stands_upright_in_metres(tmp_path: Path) -> None:
    pytest.importorskip("cascadio")
    (tmp_path / "part.step").write_text(_step_box((10, 20, 30)))
    np.testing.assert_allclose(np.ptp(meshes.open_mesh(tmp_path / "part.step").vertices, axis=0), [0.01, 0.02, 0.03])
    (row,) = collect.collect([tmp_path], {"licence": "CC0", "metric": True})
    assert isinstance(row, dict)
    assert row["bbox_m"] == [0.01, 0.03, 0.02]
    _, mesh = meshes.surface_of(row)
    np.testing.assert_allclose(np.ptp(mesh.vertices, axis=0), [1 / 3, 1, 2 / 3], atol=1e-6)
    assert mesh.volume == pytest.approx(2 / 9)


def test_step_asks_for_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "part.step").write_text("ISO-10303-21;")
    monkeypatch.setitem(sys.modules, "cascadio", None)
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
    corpus.write_manifest(tmp_path / "m.jsonl", [row])
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
        du, dv = bent(ideal_u, ideal_v, bend)
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


def _library(folder: Path) -> Path:
    """Textured, coloured and plain objects with their manifest."""
    folder.mkdir()
    textured = trimesh.load(_textured_obj(folder / "obj"), process=False)
    textured.export(folder / "tetra.glb")
    torus = trimesh.creation.torus(1.0, 0.3, major_sections=40, minor_sections=20)
    torus.visual.vertex_colors = (np.linspace(0, 255, len(torus.vertices) * 3).reshape(-1, 3) % 256).astype(np.uint8)
    torus.export(folder / "torus.glb")
    trimesh.creation.box((1, 2, 3)).export(folder / "box.stl")
    (folder / "bad.glb").write_bytes(b"glTF")
    rows = [
        {"id": Path(name).stem, "file": str(folder / name), "source": "lib", "family": name, "split": "train",
         "licence": "CC-BY-4.0", "author": "Ann", "bbox_m": [1, 2, 3], "up": "Z" if name == "box.stl" else "Y"}
        for name in ("tetra.glb", "torus.glb", "box.stl", "bad.glb")
    ]  # fmt: skip
    corpus.write_manifest(folder / "m.jsonl", rows)
    return folder / "m.jsonl"


def test_a_packed_corpus_comes_back(tmp_path: Path) -> None:
    manifest, told = _library(tmp_path / "lib"), list[str]()
    assert pack.pack(manifest, tmp_path / "p.tar", report=told.append) == 3
    assert [line.split(":")[0] for line in told] == ["bad"]
    assert sorted(pack.unpack(tmp_path / "p.tar", tmp_path / "out")) == ["box", "tetra", "torus"]
    before = {r["id"]: r for r in corpus.read_manifest(manifest)}
    after = {r["id"]: r for r in corpus.read_manifest(tmp_path / "out" / "manifest.jsonl")}
    for name in ("box", "tetra", "torus"):
        assert all(after[name][k] == before[name][k] for k in ("family", "credit", "licence", "bbox_m"))
        (a, mesh), (b, again) = meshes.surface_of(before[name]), meshes.surface_of(after[name])
        assert (len(again.faces), again.is_watertight) == (len(mesh.faces), mesh.is_watertight)
        assert again.volume == pytest.approx(mesh.volume, rel=5e-3)
        np.testing.assert_allclose(again.bounds, mesh.bounds, atol=2.5e-4)
        machine, pictures = render.rasteriser(), []
        for surface in (a, b):
            machine.load(surface)
            pictures.append(machine.draw(Camera.orbit(64, 0.7, 0.5, 0.4, 2.5)))
        both = (pictures[0].alpha == 1) & (pictures[1].alpha == 1)
        assert np.abs(pictures[0].albedo_linear - pictures[1].albedo_linear)[both].mean() < 0.02
    (tmp_path / "out" / "glb" / "box.glb").unlink()
    assert list(pack.unpack(tmp_path / "p.tar", tmp_path / "out")) == ["box"]
    sample = next(shards.read(tmp_path / "p.tar"))
    shards.write(tmp_path / "bad.tar", [{**sample, "xyz": sample["xyz"][:50]}])
    with pytest.raises(UnreadableError, match="damaged"):
        list(pack.unpack(tmp_path / "bad.tar", tmp_path / "other"))


@given(st.integers(1, 40), st.integers(0, 2**31))
def test_any_faces_survive_the_order_that_packs_well(count: int, seed: int) -> None:
    faces = np.random.default_rng(seed).integers(0, count + 2, (count, 3), np.int32)
    new, old = pack.ordered(faces, count + 2)
    np.testing.assert_array_equal(pack._lowered(pack._highwater(new.ravel())).reshape(-1, 3), new)
    rolled = {tuple(np.roll(f, -i)) for f in faces.tolist() for i in range(3)}
    assert {tuple(f) for f in old[new].tolist()} <= rolled
    assert len(new) == len(faces)


def test_duplicates_across_splits_are_not_trained_on(tmp_path: Path) -> None:
    ball = trimesh.creation.icosphere(3, 1.0)
    lump = ball.copy()
    lump.vertices *= [1, 0.5, 0.8]
    lump.vertices[lump.vertices[:, 0] > 0] *= [1.4, 1, 1]
    turned = lump.copy()
    turned.apply_transform(trimesh.transformations.rotation_matrix(0.9, [0, 1, 0]))
    turned.apply_scale(7.0)
    turned.vertices += [5, 1, 0]
    red = trimesh.creation.torus(1, 0.2)
    blue = red.copy()
    red.visual.vertex_colors, blue.visual.vertex_colors = [255, 0, 0, 255], [0, 0, 255, 255]
    things = {"ball": ("train", ball), "lump": ("bench", lump), "turned": ("train", turned), "red": ("bench", red),
              "blue": ("train", blue), "box": ("train", trimesh.creation.box((1, 1, 2)))}  # fmt: skip
    rows = []
    for name, (split, mesh) in things.items():
        mesh.export(tmp_path / f"{name}.glb")
        rows.append({"id": name, "file": tmp_path / f"{name}.glb", "kind": "model", "split": split})
    (tmp_path / "bad.glb").write_bytes(b"glTF")
    rows.append({"id": "bad", "file": tmp_path / "bad.glb", "kind": "model", "split": "train"})
    for name, split, seed in (("set_a", "train", 1), ("set_b", "bench", 1), ("set_c", "train", 2)):
        _photos(tmp_path / name)
        _write_transforms(tmp_path / name)
        noise = np.random.default_rng(seed).integers(0, 255, (64, 64, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / name / "images" / "0.png")
        for i in (1, 2):
            (tmp_path / name / "images" / f"{i}.png").unlink()
        rows.append({"id": name, "file": tmp_path / name, "kind": "photos", "split": split})
    told: list[str] = []
    kept, pairs = duplicates.check(rows, 1, "pool", told.append)
    splits = {row["id"]: row["split"] for row in kept}
    assert {k for k, v in splits.items() if v == "duplicate"} == {"turned", "blue", "set_a"}
    assert splits["bad"] == "broken"
    assert len(told) == 1
    assert {k for k, v in splits.items() if v == "train"} == {"ball", "box", "set_c"}
    assert {(p.kept, p.dropped) for p in pairs} == {("lump", "turned"), ("red", "blue"), ("set_b", "set_a")}


def test_coverage_counts_what_is_there(tmp_path: Path) -> None:
    facts = {"kind": "model", "source": "lib", "category": "", "licence_class": "attribution", "n_faces": 10}
    rows = [
        {**facts, "id": "a", "name": "oak chair 2", "family": "f", "split": "train"},
        {
            **facts,
            "id": "b",
            "name": "thing",
            "category": "Chairs",
            "family": "f",
            "split": "bench",
            "source": "kenney",
        },
        {**facts, "id": "c", "name": "qqq", "family": "g", "split": "train", "kind": "scan", "textured": True},
    ]
    lines = {line.kind: line for line in coverage.cover(rows)}
    assert set(lines) == {"seats", coverage.OTHER}
    assert (lines["seats"].splits, lines["seats"].families, lines["seats"].kits) == ({"train": 1, "bench": 1}, 1, 1)
    written = coverage.write(rows, tmp_path / "c.md", "Title", ["line 3: no JSON"])
    assert "| seats | 1 | 1 | 1 | 0 | 1 | 0 | 10 | attribution 2 |" in written[0].read_text()
    assert "line 3: no JSON" in written[0].read_text()
    with Image.open(written[1]) as picture:
        assert picture.width > 500
