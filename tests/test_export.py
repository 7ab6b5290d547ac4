"""export: round trips through our reader and trimesh, determinism, whole-or-nothing writing, the Khronos validator."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import SIDE_COLORS, as_mesh, box, grid_torus, joined, sphere, textured_box

from liftform.assets import Material, PointCloud
from liftform.errors import InputError, OutputError
from liftform.export import ExportOptions, check_target, save
from liftform.files import write_whole
from liftform.read_mesh import read_mesh
from liftform.topology import health

ROOT = Path(__file__).parent.parent
SUFFIXES = (".glb", ".obj", ".ply", ".stl")
JPEG = ExportOptions(texture_format="jpeg")


def colored_ball():
    mesh = sphere()
    ramp = ((mesh.vertices + 1) / 2).astype(np.float32)
    return mesh.with_(
        colors=ramp, seen=ramp[:, 0].copy(), name="ball", metadata={"scale": {"unit": "metre"}, "n": np.int64(3)}
    )


def sampled_everything():
    """One mesh of each kind that the road or a reader can give."""
    wide = textured_box()
    return {
        "textured": textured_box(),
        "repeating": wide.with_(uv=wide.uv * 3 - 1),
        "colored": colored_ball(),
        "plain": grid_torus(),
        "material": box().with_(material=Material(base_color=(0.5, 0.2, 0.1, 0.4), metallic=1.0, double_sided=True)),
        "two parts": joined(box(), sphere(centre=(3, 0, 0))),
        "32 bit indices": grid_torus(300, 230),
        "normals": sphere().with_(normals=sphere().vertices * np.float32(3)),
    }


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", ["textured", "colored", "plain", "two parts"])
def test_same_counts_after_reopening(tmp_path, suffix, kind):
    mesh = sampled_everything()[kind]
    save(mesh, tmp_path / f"a{suffix}")
    before, after = health(mesh).to_dict(), health(read_mesh(tmp_path / f"a{suffix}")).to_dict()
    before.pop("vertices_stored"), after.pop("vertices_stored")
    assert after == before


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_trimesh_finds_the_same_solid(tmp_path, suffix):
    save(textured_box(), tmp_path / f"a{suffix}")
    other = trimesh.load_mesh(tmp_path / f"a{suffix}")
    other.merge_vertices(merge_tex=True, merge_norm=True)
    assert (len(other.vertices), len(other.faces)) == (8, 12)
    assert other.is_watertight
    assert other.volume == pytest.approx(1)


def test_glb_keeps_everything(tmp_path):
    mesh = textured_box().with_(metadata={"unit": "metre", "recipe": {"seed": 0}})
    save(mesh, tmp_path / "a.glb")
    back = read_mesh(tmp_path / "a.glb")
    for name in ("vertices", "faces", "normals", "seen"):
        assert np.array_equal(getattr(back, name), getattr(mesh, name)), name
    assert back.uv == pytest.approx(mesh.uv, abs=1e-7)
    assert np.array_equal(back.material.base_color_texture, mesh.material.base_color_texture)
    assert (back.material.roughness, back.material.metallic, back.material.name) == (pytest.approx(0.7), 0.0, "paint")
    assert back.name == "box"
    assert back.metadata["scale"]["unit"] == "unknown"  # nobody said what it is
    assert {key: back.metadata[key] for key in mesh.metadata} == mesh.metadata


def test_glb_colors_are_linear_in_the_file_and_encoded_in_memory(tmp_path):
    grey = box().with_(colors=np.full((8, 3), 0.5, np.float32))
    save(grey, tmp_path / "a.glb")
    document, binary = glb(tmp_path / "a.glb")
    view = document["bufferViews"][
        document["accessors"][document["meshes"][0]["primitives"][0]["attributes"]["COLOR_0"]]["bufferView"]
    ]
    stored = np.frombuffer(binary, "<f4", 24, view["byteOffset"])
    assert stored == pytest.approx(0.2140411, abs=1e-5)
    assert read_mesh(tmp_path / "a.glb").colors == pytest.approx(0.5, abs=1e-5)


def test_glb_holds_what_the_specification_asks(tmp_path):
    save(textured_box().with_(colors=np.ones((24, 3), np.float32)), tmp_path / "a.glb")
    document, binary = glb(tmp_path / "a.glb")
    attributes = document["meshes"][0]["primitives"][0]["attributes"]
    assert set(attributes) == {"POSITION", "NORMAL", "TEXCOORD_0", "_SEEN"}  # colours would tint the texture
    position = document["accessors"][attributes["POSITION"]]
    assert (position["min"], position["max"]) == ([-0.5] * 3, [0.5] * 3)
    assert all(view["byteOffset"] % 4 == 0 for view in document["bufferViews"])
    assert document["buffers"] == [{"byteLength": len(binary)}]
    assert document["asset"]["generator"].startswith("liftform ")


def test_obj_shares_positions_and_turns_the_texture(tmp_path):
    written = save(textured_box(), tmp_path / "my chair.obj")
    assert [p.name for p in written] == ["my chair.obj", "my_chair_color.png", "my_chair.mtl"]
    lines = written[0].read_text().splitlines()
    count = {key: sum(line.startswith(f"{key} ") for line in lines) for key in ("v", "vt", "vn", "f", "usemtl")}
    assert count == {"v": 8, "vt": 24, "vn": 6, "f": 12, "usemtl": 1}
    assert "mtllib my_chair.mtl" in lines
    assert "map_Kd my_chair_color.png" in written[2].read_text()
    back = read_mesh(written[0])
    assert side_colors(back) == pytest.approx(SIDE_COLORS, abs=1)


@pytest.mark.parametrize("options", [ExportOptions(), JPEG], ids=["png", "jpeg"])
@pytest.mark.parametrize("suffix", [".glb", ".obj"])
def test_texture_lies_where_it_lay(tmp_path, suffix, options):
    save(textured_box(), tmp_path / f"a{suffix}", options)
    assert side_colors(read_mesh(tmp_path / f"a{suffix}")) == pytest.approx(SIDE_COLORS, abs=4)


def test_ply_takes_its_colors_from_the_texture(tmp_path):
    apart = textured_box().vertices + np.arange(24, dtype=np.float32)[:, None]
    torn = textured_box().with_(vertices=apart)  # every vertex at its own position: nothing is averaged
    save(torn, tmp_path / "a.ply")
    back = read_mesh(tmp_path / "a.ply")
    assert np.rint(back.colors[::4] * 255) == pytest.approx(SIDE_COLORS, abs=1)
    assert back.seen == pytest.approx(torn.seen)


def test_ply_averages_over_seams(tmp_path):
    save(textured_box(), tmp_path / "a.ply")
    back = read_mesh(tmp_path / "a.ply")
    assert len(back.vertices) == 8
    corner = np.flatnonzero((textured_box().vertices == back.vertices[0]).all(1))
    assert back.seen[0] == pytest.approx(textured_box().seen[corner].mean())


def test_ply_point_cloud(tmp_path):
    rng = np.random.default_rng(0)
    cloud = PointCloud(rng.random((50, 3), np.float32), colors=rng.random((50, 3), np.float32))
    save(cloud, tmp_path / "a.ply")
    other = trimesh.load(tmp_path / "a.ply")
    assert np.array_equal(np.asarray(other.vertices, np.float32), cloud.points)
    assert np.asarray(other.colors)[:, :3] / 255 == pytest.approx(cloud.colors, abs=0.51 / 255)
    with pytest.raises(OutputError, match="point cloud"):
        save(cloud, tmp_path / "a.stl")
    with pytest.raises(InputError, match="no faces"):
        read_mesh(tmp_path / "a.ply")


def test_stl_is_binary_with_outward_normals(tmp_path):
    save(box(), tmp_path / "a.stl")
    save(colored_ball(), tmp_path / "b.stl")
    assert b"unit: metre" in (tmp_path / "b.stl").read_bytes()[:80]
    data = (tmp_path / "a.stl").read_bytes()
    assert len(data) == 84 + 50 * 12
    assert data.startswith(b"liftform ")
    assert b"unit: unknown" in data[:80]
    assert struct.unpack("<I", data[80:84]) == (12,)
    assert struct.unpack("<3f", data[84:96]) == (-1, 0, 0)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([".obj", ".ply", ".stl", ".glb"]))
def test_positions_come_back_bit_by_bit(tmp_path_factory, seed, suffix):
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.integers(-6, 7, (30, 1))
    mesh = as_mesh(rng.normal(size=(30, 3)) * scale, np.arange(30).reshape(10, 3))
    path = tmp_path_factory.mktemp("bits") / f"a{suffix}"
    save(mesh, path)
    back = read_mesh(path)
    assert np.array_equal(back.vertices[back.faces], mesh.vertices[mesh.faces])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_same_bytes_each_time(tmp_path, suffix):
    script = (
        "import sys; sys.path.insert(0, sys.argv[2]); from synthetic import textured_box\n"
        "from liftform.export import save; save(textured_box().with_(metadata={'b': 1, 'a': 'x'}), sys.argv[1])"
    )
    runs = []
    for seed in ("1", "2"):
        folder = tmp_path / seed
        folder.mkdir()
        env = {**os.environ, "PYTHONHASHSEED": seed}
        target = str(folder / f"a{suffix}")
        subprocess.run([sys.executable, "-c", script, target, str(ROOT / "tests")], check=True, env=env)
        runs.append({file.name: file.read_bytes() for file in sorted(folder.iterdir())})
    assert runs[0] == runs[1]


# --- targets and failures --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.fbx", "a", "a.glb.txt", ".glb"])
def test_unknown_suffix_names_the_known_ones(tmp_path, name):
    with pytest.raises(OutputError, match=r"known: \.glb \.obj \.ply \.stl"):
        check_target(tmp_path / name)


def test_targets_in_the_way(tmp_path):
    (tmp_path / "folder.glb").mkdir()
    (tmp_path / "file").write_text("x")
    for target, message in (
        ("folder.glb", "is a folder"),
        ("missing/a.glb", "does not exist"),
        ("file/a.glb", "is not a folder"),
        ("nul\0.glb", "not a usable file name"),
        ("n" * 300 + ".glb", "not a usable file name"),
    ):
        with pytest.raises(OutputError, match=message):
            check_target(tmp_path / target)
    assert check_target(tmp_path / "A.GLB") == tmp_path / "A.GLB"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_device_is_no_target(tmp_path):
    (tmp_path / "a.glb").symlink_to("/dev/full")
    with pytest.raises(OutputError, match="not a regular file"):
        save(box(), tmp_path / "a.glb")
    assert Path("/dev/full").is_char_device()


def test_a_symbolic_link_is_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "a.stl").symlink_to(tmp_path / "real" / "b.stl")
    save(box(), tmp_path / "a.stl")
    assert (tmp_path / "a.stl").is_symlink()
    assert (tmp_path / "real" / "b.stl").stat().st_size == 684


FULL_DISK = """
import resource, sys
sys.path.insert(0, sys.argv[2])
from synthetic import textured_box
from liftform.errors import OutputError
from liftform.export import save
save  # everything is imported before the disk "fills up"
import liftform.export.gltf, liftform.export.obj, PIL.PngImagePlugin
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    save(textured_box(), sys.argv[1])
except OutputError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file size are POSIX")
@pytest.mark.parametrize("suffix", [".glb", ".obj"])
def test_no_room_leaves_the_old_files(tmp_path, suffix):
    save(textured_box(8), tmp_path / f"a{suffix}")
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    run = subprocess.run(
        [sys.executable, "-B", "-c", FULL_DISK, str(tmp_path / f"a{suffix}"), str(ROOT / "tests")],
        capture_output=True,
        text=True,
    )
    assert "cannot write" in run.stdout, run.stderr
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_obj_is_one_transaction(tmp_path):
    (tmp_path / "a.mtl").write_text("old")
    (tmp_path / "a_color.png").write_text("old")
    (tmp_path / "b").mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        write_whole(
            {tmp_path / "a.mtl": b"new", tmp_path / "fresh": b"new", tmp_path / "b": b"x", tmp_path / "c": b"x"}
        )
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.mtl", "a_color.png", "b"]
    assert (tmp_path / "a.mtl").read_text() == "old"


def test_interrupted_writing_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("liftform.files.os.fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save(box(), tmp_path / "a.glb")
    assert list(tmp_path.iterdir()) == []


def test_an_invalid_mesh_is_not_written(tmp_path):
    with pytest.raises(InputError):
        save(box().with_(faces=box().faces + 5), tmp_path / "a.glb")
    assert list(tmp_path.iterdir()) == []


# --- Khronos validator -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def validator():
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("the Khronos glTF validator needs node and npm, which are not installed")
    found = subprocess.run([ROOT / "scripts" / "get_gltf_validator.sh"], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    return found.stdout.strip()


def test_khronos_validator_has_nothing_to_say(tmp_path, validator):
    files = []
    for kind, mesh in sampled_everything().items():
        for options in (ExportOptions(), JPEG):
            files.append(tmp_path / f"{kind} {options.texture_format}.glb")
            save(mesh, files[-1], options)
    issues = validated(validator, files)
    assert len(issues) == len(files) == 16
    # Textures of any size are the user's choice; the validator only notes it.
    messages = [(i["file"], m) for i in issues for m in i["messages"] if m["code"] != "IMAGE_NPOT_DIMENSIONS"]
    assert messages == []


def test_khronos_validator_does_find_faults(tmp_path, validator):
    save(box(), tmp_path / "a.glb")
    data = (tmp_path / "a.glb").read_bytes()
    (tmp_path / "a.glb").write_bytes(data.replace(b'"max":[0.5', b'"max":[0.7'))
    assert validated(validator, [tmp_path / "a.glb"])[0]["numErrors"] > 0


def validated(validator, files):
    command = ["node", ROOT / "tests" / "validator" / "validate.cjs", validator, *files]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


def glb(path):
    """(JSON, binary) of a GLB file."""
    data = path.read_bytes()
    magic, version, length = struct.unpack("<4sII", data[:12])
    assert (magic, version, length) == (b"glTF", 2, len(data))
    size = struct.unpack("<I", data[12:16])[0]
    return json.loads(data[20 : 20 + size]), data[28 + size :]


def side_colors(mesh):
    """Texture colour at the middle of each side of the textured box, (6, 3) in 0..255, by nearest texel."""
    texture = mesh.material.base_color_texture
    middle = mesh.uv[mesh.faces].mean(1).reshape(6, 2, 2).mean(1)
    column, row = (middle * (texture.shape[1], texture.shape[0])).astype(int).T
    return texture[row, column].astype(int)
