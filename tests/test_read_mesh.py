"""read_mesh and appearance: scenes, transforms, materials and colours; damaged files end in one typed line."""

from __future__ import annotations

import json
import struct
import subprocess
import sys

import numpy as np
import pytest
import trimesh
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from synthetic import SIDE_COLORS, as_mesh, box, sphere, textured_box

from liftform.appearance import sample_linear, vertex_colors
from liftform.assets import Material, Mesh
from liftform.conventions import linear_to_srgb
from liftform.errors import InputError, InputNotFoundError, LiftformError, UnreadableError
from liftform.export import save
from liftform.read_mesh import read_mesh
from liftform.topology import health


def as_trimesh(mesh, **fields):
    return trimesh.Trimesh(mesh.vertices, mesh.faces, process=False, **fields)


def test_a_scene_is_flattened_with_its_transforms(tmp_path):
    scene = trimesh.Scene()
    solid = as_trimesh(box())
    scene.add_geometry(solid, transform=trimesh.transformations.translation_matrix([5, 0, 0]), geom_name="a")
    turned = trimesh.transformations.rotation_matrix(np.pi / 2, [0, 0, 1]) @ np.diag([1, 3, 1, 1])
    scene.add_geometry(solid, transform=turned, geom_name="b")
    scene.add_geometry(solid, transform=np.diag([-2, 2, 2, 1]) + shift(0, 9, 0), geom_name="mirrored")
    scene.export(tmp_path / "a.glb")
    found = health(read_mesh(tmp_path / "a.glb"))
    assert (found.components, found.outward) == (3, True)
    assert found.volume == pytest.approx(1 + 3 + 8)
    assert np.array(found.bounds) == pytest.approx(np.array([[-1.5, -0.5, -1], [5.5, 10, 1]]))


def shift(x, y, z):
    moved = np.zeros((4, 4))
    moved[:3, 3] = x, y, z
    return moved


def test_normals_turn_with_the_scene(tmp_path):
    scene = trimesh.Scene()
    solid = as_trimesh(textured_box(), vertex_normals=textured_box().normals)
    scene.add_geometry(solid, transform=trimesh.transformations.rotation_matrix(0.7, [1, 2, 3]) @ np.diag([1, 4, 1, 1]))
    scene.export(tmp_path / "a.glb", include_normals=True)
    mesh = read_mesh(tmp_path / "a.glb")
    assert mesh.normals[mesh.faces[:, 0]] == pytest.approx(mesh.face_normals(), abs=1e-5)


def test_of_several_materials_the_colors_survive(tmp_path):
    red = textured_box()
    visual = trimesh.visual.TextureVisuals(
        uv=np.stack([red.uv[:, 0], 1 - red.uv[:, 1]], 1),
        material=trimesh.visual.material.PBRMaterial(baseColorTexture=Image.fromarray(red.material.base_color_texture)),
    )
    plain = trimesh.visual.TextureVisuals(
        material=trimesh.visual.material.PBRMaterial(baseColorFactor=[0.0, 1.0, 0.0, 1.0])
    )
    scene = trimesh.Scene([as_trimesh(red, visual=visual), as_trimesh(sphere(centre=(3, 0, 0)), visual=plain)])
    scene.export(tmp_path / "a.glb")
    mesh = read_mesh(tmp_path / "a.glb")
    assert (mesh.material, mesh.uv, mesh.name) == (None, None, "a")
    right = mesh.vertices[:, 0] > 1.5
    assert mesh.colors[right] == pytest.approx(np.array([0, 1, 0]) + np.zeros((right.sum(), 3)), abs=2e-3)
    assert np.rint(mesh.colors[~right][::4] * 255) == pytest.approx(SIDE_COLORS, abs=1)


def test_obj_and_ply_and_off_of_other_programs(tmp_path):
    (tmp_path / "a.obj").write_text("v 0 0 0 1 0 0\nv 1 0 0 0 1 0\nv 0 1 0 0 0 1\nv 1 1 0 1 1 1\nf 1 2 4 3\n")
    quad = read_mesh(tmp_path / "a.obj")
    assert (len(quad.vertices), len(quad.faces)) == (4, 2)
    assert quad.colors == pytest.approx(np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]]))
    header = "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
    header += "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
    (tmp_path / "a.ply").write_text(header + "0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n")
    assert read_mesh(tmp_path / "a.ply").faces.tolist() == [[0, 1, 2]]
    (tmp_path / "a.off").write_text("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n")
    assert read_mesh(tmp_path / "a.off").colors is None


@pytest.mark.parametrize(
    ("name", "content", "kind", "message"),
    [
        ("missing.glb", None, InputNotFoundError, "no such file"),
        ("n" * 300 + ".glb", None, InputNotFoundError, "too long"),
        ("empty.glb", b"", UnreadableError, "empty"),
        ("text.glb", b"this is a text", UnreadableError, "damaged"),
        ("text.ply", b"this is a text", UnreadableError, "damaged"),
        ("a.jpg", b"abc", UnreadableError, "no known mesh format"),
        ("a", b"abc", UnreadableError, "no known mesh format"),
        ("points.obj", b"v 0 0 0\nv 1 0 0\n", InputError, "points.obj"),
        ("nan.obj", b"v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", InputError, "not finite"),
        ("flat.obj", b"v 1 1 1\nv 1 1 1\nv 1 1 1\nf 1 2 3\n", InputError, "one point"),
    ],
)
def test_bad_files_end_in_one_line(tmp_path, name, content, kind, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(kind, match=message) as caught:
        read_mesh(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_the_terminal_stays_quiet(tmp_path):
    save(textured_box(4), tmp_path / "a.obj")
    (tmp_path / "a_color.png").unlink()
    (tmp_path / "a.mtl").write_bytes(b"newmtl paint\nmap_Kd gone.png\nKd x\n")
    script = "import sys; from liftform.read_mesh import read_mesh; read_mesh(sys.argv[1])"
    run = subprocess.run([sys.executable, "-c", script, tmp_path / "a.obj"], capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_a_folder_is_no_mesh(tmp_path):
    with pytest.raises(InputNotFoundError, match="is a folder"):
        read_mesh(tmp_path)


def test_compressed_geometry_is_not_taken_for_a_point(tmp_path):
    save(box(), tmp_path / "a.glb")
    data = (tmp_path / "a.glb").read_bytes()
    size = struct.unpack("<I", data[12:16])[0]
    document = json.loads(data[20 : 20 + size])
    for accessor in document["accessors"]:
        del accessor["bufferView"]  # as in a file that leaves everything to KHR_draco_mesh_compression
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    rest = data[20 + size :]
    head = struct.pack("<4sIIII", b"glTF", 2, 20 + len(text) + len(rest), len(text), 0x4E4F534A)
    (tmp_path / "a.glb").write_bytes(head + text + rest)
    with pytest.raises(InputError, match="compressed"):
        read_mesh(tmp_path / "a.glb")


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_files_never_surprise(tmp_path, capfd, data):
    suffix = data.draw(st.sampled_from([".glb", ".obj", ".ply", ".stl"]))
    path = tmp_path / f"a{suffix}"
    save(textured_box(4), path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(0, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    message = ""
    try:
        assert isinstance(read_mesh(path).validate(), Mesh)
    except LiftformError as error:
        message = str(error)
    assert "\n" not in message
    assert capfd.readouterr() == ("", "")


def test_texture_samples_lie_at_texel_centres():
    texture = np.zeros((2, 4, 3), np.uint8)
    texture[0, 1] = 255
    at = np.array([[1.5 / 4, 0.25], [2 / 4, 0.25], [1.5 / 4, 0.5], [1.5 / 4 + 2, 0.25 - 3]])
    assert sample_linear(texture, at)[:, 0] == pytest.approx([1, 0.5, 0.5, 1])


def test_color_of_a_mesh_however_stored():
    assert vertex_colors(box()) is None
    factor = box().with_(material=Material(base_color=(0.2140411, 0.0, 1.0, 1.0)))
    assert vertex_colors(factor)[3] == pytest.approx([0.5, 0, 1], abs=1e-4)
    half = factor.with_(colors=np.ones((8, 3), np.float32))
    assert vertex_colors(half)[3] == pytest.approx([0.5, 0, 1], abs=1e-4)
    both = textured_box().with_(colors=np.zeros((24, 3), np.float32))
    assert np.rint(vertex_colors(both)[::4] * 255) == pytest.approx(SIDE_COLORS)
    mean = linear_to_srgb(np.float32([0.5]))[0]
    corner = as_mesh([[0, 0, 0]] * 3, [[0, 1, 2]], uv=np.float32([[0.5, 0.5]] * 3))
    checker = Material(base_color_texture=np.array([[[0] * 3, [255] * 3]] * 2, np.uint8))
    assert vertex_colors(corner.with_(material=checker))[0] == pytest.approx([mean] * 3, abs=1e-5)
