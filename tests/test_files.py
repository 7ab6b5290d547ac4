"""Files of several materials, all maps, quads, levels: round trips, units, what validators say, hostile bytes."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from synthetic import SIDE_COLORS, box, family, full_material, grid_torus, sphere, textured_box, two_materials
from test_export import glb, validated, validator  # noqa: F401

from liftform.appearance import vertex_colors
from liftform.assets import Material
from liftform.errors import InputError, LiftformError, MissingExtraError, TooLargeError, UnreadableError
from liftform.export import ExportOptions, save
from liftform.read_mesh import archive, pictures, read_mesh, usd
from liftform.topology import health

ROOT = Path(__file__).parent.parent


def needs(package):
    return pytest.importorskip(package, reason=f"{package} is not installed")


@pytest.mark.parametrize("suffix", [".glb", ".obj", ".usda", ".usdc", ".usdz"])
def test_materials_and_maps_come_back(tmp_path, suffix):
    if suffix.startswith(".usd"):
        needs("pxr")
    mesh = two_materials()
    save(mesh, tmp_path / f"a{suffix}")
    back = read_mesh(tmp_path / f"a{suffix}", flatten=False)
    assert [material.name.replace("_", " ") for material in back.materials] == ["skin", "red paint"]
    assert (back.quads, np.bincount(back.face_material).tolist()) == (6, [6, 6])
    assert back.metadata["file"]["warnings"] == []
    assert back.metadata["scale"]["unit"] == "metre"
    before, after = mesh.materials[0], back.materials[0]
    for name in ("normal_texture", "occlusion_texture", "roughness_texture", "metallic_texture"):
        assert np.array_equal(getattr(after, name), getattr(before, name)), name
    factor = np.where(suffix.startswith(".usd"), 1.0, before.base_color[1])  # worked into USD's texture
    assert after.base_color[1] == pytest.approx(factor, abs=1e-4)
    assert np.array_equal(after.base_color_texture[..., 3], before.base_color_texture[..., 3])
    assert np.array_equal(after.base_color_texture[..., 0], before.base_color_texture[..., 0])
    assert after.alpha_mode == "mask"
    assert back.materials[1].base_color == pytest.approx((1, 0, 0, 1), abs=1e-4)
    lit = back.uv[back.faces][np.argsort(back.face_material, kind="stable")]
    assert np.sort(lit[:6].reshape(-1)) == pytest.approx(np.sort(mesh.uv[mesh.faces][:6].reshape(-1)), abs=1e-6)
    assert health(back).volume == pytest.approx(1)


def test_glb_keeps_what_only_it_can(tmp_path):
    save(two_materials(), tmp_path / "a.glb")
    after, before = read_mesh(tmp_path / "a.glb", flatten=False).materials[0], full_material()
    assert (after.emissive, after.alpha_cutoff, after.double_sided) == (before.emissive, 0.25, True)
    assert np.array_equal(after.base_color_texture, before.base_color_texture)
    assert np.array_equal(after.emissive_texture, before.emissive_texture)
    document, _ = glb(tmp_path / "a.glb")
    assert len(document["images"]) == 4  # occlusion, roughness and metallic lie in one
    orm = document["materials"][0]["pbrMetallicRoughness"]["metallicRoughnessTexture"]
    assert document["materials"][0]["occlusionTexture"] == orm


def test_flattened_colors_are_those_of_the_materials(tmp_path):
    mesh = textured_box()
    blue = Material(base_color=(0.0, 0.0, 1.0, 1.0), name="blue")
    which = np.repeat([0, 1], 6).astype(np.int32)
    mesh = mesh.with_(material=None, materials=(mesh.material, blue), face_material=which)
    wanted = np.where(np.arange(6)[:, None] < 3, SIDE_COLORS, [0, 0, 255])
    assert np.rint(vertex_colors(mesh)[::4] * 255) == pytest.approx(wanted, abs=1)
    save(mesh, tmp_path / "a.glb")
    flat = read_mesh(tmp_path / "a.glb")
    assert (flat.material, flat.materials, flat.uv) == (None, (), None)
    assert np.rint(flat.colors[flat.faces[::2, 0]] * 255) == pytest.approx(wanted, abs=1)


@pytest.mark.parametrize("suffix", [".obj", ".ply", ".usda"])
def test_quads_stay_whole(tmp_path, suffix):
    if suffix == ".usda":
        needs("pxr")
    torus = grid_torus(6, 5)
    at = np.arange(30).reshape(6, 5)
    quads = np.stack([at, np.roll(at, -1, 0), np.roll(at, (-1, -1), (0, 1)), np.roll(at, -1, 1)], -1).reshape(-1, 4)
    halves = quads[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3)
    mesh = torus.with_(faces=np.concatenate([halves[:-2], halves[-2:]]).astype(np.int32), quads=29)
    save(mesh, tmp_path / f"a{suffix}")
    if suffix == ".obj":
        corners = [len(line.split()) - 1 for line in (tmp_path / "a.obj").read_text().splitlines() if line[:2] == "f "]
        assert (corners.count(4), corners.count(3)) == (29, 2)
    back = read_mesh(tmp_path / f"a{suffix}")
    assert np.array_equal(back.vertices[back.polygons[0]], mesh.vertices[mesh.polygons[0]])
    assert np.array_equal(back.vertices[back.polygons[1]], mesh.vertices[mesh.polygons[1]])


def test_levels_and_collision_parts(tmp_path):
    written = save(family(), tmp_path / "a.glb")
    assert [file.name for file in written] == ["a.glb", "a_collision.glb"]
    document, _ = glb(written[0])
    nodes = document["nodes"]
    assert [nodes[k]["name"] for k in nodes[0]["extensions"]["MSFT_lod"]["ids"]] == ["box_LOD1"]
    assert document["scenes"] == [{"nodes": [0]}]
    assert [node["name"] for node in glb(written[1])[0]["nodes"]] == ["UCX_box_00", "UCX_box_01"]
    assert len(read_mesh(written[0]).faces) == 12
    assert len(read_mesh(written[1]).faces) == 24
    inside = save(family(), tmp_path / "b.glb", ExportOptions(levels="both", hulls="inside"))
    assert [file.name for file in inside] == ["b.glb", "b_lod1.glb"]
    assert len(read_mesh(inside[0]).faces) == 12
    apart = [file.name for file in save(family(), tmp_path / "c.stl")]
    assert apart == ["c.stl", "c_lod1.stl", "c_collision.stl"]
    assert health(read_mesh(tmp_path / "c_collision.stl")).volume == pytest.approx(1.125)


@pytest.mark.parametrize("compress", ["quantise", "meshopt", "draco"])
def test_packed_glb_is_smaller_and_close(tmp_path, compress):
    if compress != "quantise":
        needs("meshoptimizer" if compress == "meshopt" else "DracoPy")
    ball = sphere(40, 60)
    ramp = ((ball.vertices + 1) / 2).astype(np.float32)
    ball = ball.with_(colors=ramp, seen=ramp[:, 0].copy(), normals=ball.vertices)
    save(ball, tmp_path / "a.glb")
    save(ball, tmp_path / "b.glb", ExportOptions(compress=compress))
    back = read_mesh(tmp_path / "b.glb")
    share = (tmp_path / "b.glb").stat().st_size / (tmp_path / "a.glb").stat().st_size
    assert share < {"quantise": 0.75, "meshopt": 0.4, "draco": 0.3}[compress]
    assert np.linalg.norm(back.vertices, axis=1) == pytest.approx(1, abs=2e-4)
    assert back.colors == pytest.approx((back.vertices + 1) / 2, abs=5e-3)
    assert back.seen == pytest.approx((back.vertices[:, 0] + 1) / 2, abs=0.01)
    found = health(back)
    assert (found.watertight, found.outward, found.faces) == (True, True, len(ball.faces))


def test_packing_without_its_package_names_the_extra(tmp_path, monkeypatch):
    for name in ("meshoptimizer", "DracoPy"):
        monkeypatch.setitem(sys.modules, name, None)
    for compress in ("meshopt", "draco"):
        with pytest.raises(MissingExtraError, match=r"liftform\[compress\]"):
            save(box(), tmp_path / "a.glb", ExportOptions(compress=compress))
    assert list(tmp_path.iterdir()) == []


# --- what other programs say -----------------------------------------------------------------------------------------


def test_khronos_finds_no_errors_in_any_variant(tmp_path, validator):  # noqa: F811
    needs("meshoptimizer"), needs("DracoPy")
    files = []
    for compress in ("none", "quantise", "meshopt", "draco"):
        files.append(tmp_path / f"{compress}.glb")
        save(family(), files[-1], ExportOptions(compress=compress, hulls="inside"))
    issues = validated(validator, files)
    assert [report["numErrors"] for report in issues] == [0, 0, 0, 0]
    # MikkTSpace is what glTF asks for without tangents; extensions it does not know are notes, no warnings.
    codes = {m["code"] for report in issues for m in report["messages"] if m["severity"] < 2}
    assert codes <= {"MESH_PRIMITIVE_GENERATED_TANGENT_SPACE"}


@pytest.mark.parametrize("suffix", [".usda", ".usdc", ".usdz"])
def test_usd_validators_find_nothing(tmp_path, suffix):
    needs("pxr")
    from pxr import Usd, UsdGeom, UsdValidation

    registry = UsdValidation.ValidationRegistry()
    context = UsdValidation.ValidationContext(registry.GetOrLoadAllValidators())
    save(two_materials(), tmp_path / f"a b{suffix}")
    stage = Usd.Stage.Open(str(tmp_path / f"a b{suffix}"))
    assert [error.GetMessage() for error in context.Validate(stage)] == []
    assert (UsdGeom.GetStageMetersPerUnit(stage), UsdGeom.GetStageUpAxis(stage)) == (1.0, "Y")
    assert stage.GetDefaultPrim().GetName() == "Root"
    stage.GetRootLayer().defaultPrim = ""
    assert context.Validate(stage) != []  # it does look


def test_usdz_is_laid_out_as_arkit_wants(tmp_path):
    needs("pxr")
    save(two_materials(), tmp_path / "a.usdz")
    data = (tmp_path / "a.usdz").read_bytes()
    members = zipfile.ZipFile(io.BytesIO(data)).infolist()
    assert members[0].filename == "a.usdc"
    assert {Path(member.filename).suffix for member in members[1:]} == {".png"}
    for member in members:
        start = member.header_offset + 30 + sum(struct.unpack_from("<HH", data, member.header_offset + 26))
        assert (member.compress_type, start % 64) == (zipfile.ZIP_STORED, 0)


def test_3mf_reopens_with_lib3mf(tmp_path):
    wrapper = needs("lib3mf").get_wrapper()
    red, clear = Material(base_color=(1, 0, 0, 1), name="a<b"), Material(base_color=(0, 0, 1, 0.5), name="c&d")
    painted = box().with_(materials=(red, clear), face_material=np.repeat([0, 1], 6).astype(np.int32))
    degenerate = textured_box().with_(faces=np.concatenate([textured_box().faces, np.int32([[0, 0, 1]])]))
    for name, mesh in {"painted": painted, "textured": degenerate, "plain": box((0.1, 0.2, 0.3))}.items():
        save(mesh.with_(name='q"<>&'), tmp_path / f"{name}.3mf")
        model = wrapper.CreateModel()
        reader = model.QueryReader("3mf")
        reader.SetStrictModeActive(True)
        reader.ReadFromFile(str(tmp_path / f"{name}.3mf"))
        assert reader.GetWarningCount() == 0
        found = model.GetMeshObjects()
        assert found.MoveNext()
        solid = found.GetCurrentMeshObject()
        assert (solid.GetTriangleCount(), solid.IsManifoldAndOriented(), solid.GetName()) == (12, True, 'q"<>&')
        heights = [solid.GetVertex(k).Coordinates[2] for k in range(solid.GetVertexCount())]
        assert max(heights) - min(heights) == pytest.approx(200 if name == "plain" else 1000)  # millimetres, +Z up
        groups = model.GetBaseMaterialGroups() if name == "painted" else model.GetColorGroups()
        assert groups.MoveNext() == (name != "plain")


def test_same_bytes_each_time(tmp_path):
    suffixes = [".glb", ".obj", ".3mf", *([".usda", ".usdz"] if find_spec("pxr") else [])]
    code = (
        "import sys; sys.path.insert(0, sys.argv[2]); from synthetic import family\n"
        "from liftform.export import save\n"
        "for suffix in sys.argv[3:]: save(family(), sys.argv[1] + suffix)"
    )
    for seed in ("1", "2"):
        (tmp_path / seed).mkdir()
        command = [sys.executable, "-c", code, str(tmp_path / seed / "a"), str(ROOT / "tests"), *suffixes]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": seed})
    first, second = ({f.name: f.read_bytes() for f in (tmp_path / seed).iterdir()} for seed in ("1", "2"))
    assert first == second


# --- what files say of themselves ------------------------------------------------------------------------------------

MODEL = """<?xml version="1.0"?>{doctype}
<model unit="{unit}" xmlns="http://schemas.microsoft.com/3dmanufacturing/core/2015/02">
<resources><object id="1" type="model"><mesh><vertices><vertex x="0" y="0" z="0"/><vertex x="1" y="0" z="0"/>
<vertex x="0" y="1" z="0"/><vertex x="0" y="0" z="2"/></vertices><triangles><triangle v1="0" v2="2" v3="1"/>
<triangle v1="0" v2="1" v3="3"/><triangle v1="1" v2="2" v3="3"/><triangle v1="2" v2="0" v3="3"/></triangles></mesh>
</object>{more}</resources><build><item objectid="{item}"/></build></model>"""


def write_3mf(path, unit="inch", doctype="", more="", item="1", **members):
    text = MODEL.format(unit=unit, doctype=doctype, more=more, item=item)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {"3D/3dmodel.model": text, **members}.items():
            archive.writestr(name, content)
    return path


def test_units_are_believed_where_a_file_has_them(tmp_path):
    inch = read_mesh(write_3mf(tmp_path / "a.3mf"))
    assert np.ptp(inch.vertices, axis=0) == pytest.approx([0.0254, 0.0508, 0.0254])  # +Z is up in the file
    assert inch.metadata["scale"]["unit"] == "metre"
    save(box(), tmp_path / "b.3mf")
    unknown = read_mesh(tmp_path / "b.3mf")
    assert (unknown.metadata["scale"]["unit"], np.ptp(unknown.vertices, axis=0).tolist()) == ("unknown", [1, 1, 1])
    for suffix in (".stl", ".ply", ".obj"):
        save(two_materials(), tmp_path / f"a{suffix}")
        save(box(), tmp_path / f"b{suffix}")
        units = [read_mesh(tmp_path / f"{name}{suffix}").metadata["scale"]["unit"] for name in "ab"]
        assert units == ["metre", "unknown"]


def test_usd_units_axes_and_faults(tmp_path):
    needs("pxr")
    text = """#usda 1.0
(
  metersPerUnit = 0.01
  upAxis = "Z"
)
def Mesh "Slab"
{
  int[] faceVertexCounts = [4, 3]
  int[] faceVertexIndices = [0, 1, 2, 3, 0, 2, 9]
  point3f[] points = [(0, 0, 5), (100, 0, 5), (100, 200, 5), (0, 200, 5)]
}
def Sphere "Ball"
{
}
"""
    (tmp_path / "a.glb").write_text(text)  # the content decides
    mesh = read_mesh(tmp_path / "a.glb")
    assert (len(mesh.faces), mesh.quads) == (2, 1)
    assert mesh.bounds.tolist() == pytest.approx(np.array([[0, 0.05, -2], [1, 0.05, 0]]))
    assert [note.split()[0] for note in mesh.metadata["file"]["warnings"]] == ["its", "prims"]
    (tmp_path / "b.usdc").write_bytes(b"PXR-USDC" + bytes(range(256)))
    with pytest.raises(UnreadableError, match="damaged"):
        read_mesh(tmp_path / "b.usdc")


def test_a_usd_file_that_takes_too_long_is_given_up(tmp_path, monkeypatch):
    needs("pxr")
    (tmp_path / "a.usda").write_text("#usda 1.0\n")
    monkeypatch.setattr(usd, "SECONDS", 0.01)
    with pytest.raises(UnreadableError, match="could not be opened within"):
        read_mesh(tmp_path / "a.usda")


def test_missing_things_are_told(tmp_path):
    save(two_materials(), tmp_path / "a.obj")
    (tmp_path / "a_skin_normal.png").unlink()
    (tmp_path / "a_skin_color.png").write_bytes(b"no picture")
    notes = read_mesh(tmp_path / "a.obj", flatten=False).metadata["file"]["warnings"]
    assert any("a_skin_normal.png' is missing" in note for note in notes)
    assert any("a_skin_color.png' cannot be read" in note for note in notes)
    (tmp_path / "a.mtl").unlink()
    bare = read_mesh(tmp_path / "a.obj", flatten=False)
    assert bare.metadata["file"]["warnings"] == ["material library 'a.mtl' is missing"]
    assert bare.uv is not None
    (tmp_path / "b.ply").write_bytes(stl_bytes(box()))
    assert "content is STL" in read_mesh(tmp_path / "b.ply").metadata["file"]["warnings"][0]


def stl_bytes(mesh):
    triangles = np.zeros(len(mesh.faces), [("n", "<f4", 3), ("c", "<f4", (3, 3)), ("a", "<u2")])
    triangles["c"] = mesh.vertices[mesh.faces]
    return bytes(80) + struct.pack("<I", len(triangles)) + triangles.tobytes()


def test_textures_are_found_only_beside_the_file(tmp_path):
    Image.new("RGB", (2, 2), (255, 0, 0)).save(tmp_path / "secret.png")
    folder = tmp_path / "asset"
    folder.mkdir()
    (folder / "a.mtl").write_text("newmtl m\nmap_Kd ../secret.png\nnewmtl n\nmap_Kd C:\\work\\TEX.PNG\n")
    (folder / "tex.png").write_bytes((tmp_path / "secret.png").read_bytes())
    rows = "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\n"
    (folder / "a.obj").write_text(f"mtllib a.mtl\n{rows}usemtl m\nf 1/1 2/2 3/3\nusemtl n\nf 3/3 2/2 1/1\n")
    mesh = read_mesh(folder / "a.obj", flatten=False)
    assert mesh.metadata["file"]["warnings"] == ["texture '../secret.png' is missing"]
    assert [material.base_color_texture is None for material in mesh.materials] == [True, False]


def test_obj_of_many_hands(tmp_path):
    text = b"# caf\xe9\nmtllib \xe9.mtl\no \xe9toile\nv 0 0 0\nv 1 0 0\nv 1 1 0 1.0\nv 0 1 0\nv .5 .2 0\n"
    text += b"vt 0 0\nvn 0 0 1\nusemtl x\\\n y\nf -5//1 -4//1 -3//1 -2//1\nf 1 2 5 3 4\nf 1 2 99\nl 1 2\n"
    (tmp_path / "a.obj").write_bytes(text)
    (tmp_path / "\xe9.mtl").write_bytes(b"newmtl x y\nKd 1 0 0\nd 0.5\n")
    mesh = read_mesh(tmp_path / "a.obj")
    assert (mesh.name, mesh.quads, len(mesh.faces)) == ("étoile", 1, 5)
    assert (mesh.material.name, mesh.material.base_color[3]) == ("x y", 0.5)
    area = np.linalg.norm(np.cross(*(np.diff(mesh.vertices[mesh.faces], axis=1).transpose(1, 0, 2))), axis=1) / 2
    assert area[:2].sum() == pytest.approx(1)
    assert area[2:].sum() == pytest.approx(0.75)  # the concave pentagon, without a fold
    assert (mesh.face_normals()[:, 2] > 0).all()


def test_ply_of_mixed_polygons_and_wedges(tmp_path):
    vertices = np.float32([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    head = "ply\nformat binary_big_endian 1.0\nelement vertex 4\n"
    head += "property double x\nproperty double y\nproperty double z\n"
    head += "element face 2\nproperty uchar flag\nproperty list uchar int vertex_indices\nend_header\n"
    body = vertices.astype(">f8").tobytes()
    body += b"\0\3" + np.array([0, 2, 3], ">i4").tobytes() + b"\0\4" + np.array([0, 1, 2, 3], ">i4").tobytes()
    (tmp_path / "a.ply").write_bytes(head.encode() + body)
    mesh = read_mesh(tmp_path / "a.ply")
    assert (mesh.quads, mesh.faces.tolist()) == (1, [[0, 1, 2], [0, 2, 3], [0, 2, 3]])
    Image.new("RGB", (2, 2), (0, 255, 0)).save(tmp_path / "t.png")
    head = "ply\nformat ascii 1.0\ncomment TextureFile t.png\nelement vertex 4\nproperty float x\nproperty float y\n"
    head += "property float z\nelement face 2\nproperty list uchar int vertex_indices\n"
    head += "property list uchar float texcoord\nend_header\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n"
    (tmp_path / "b.ply").write_text(head + "3 0 1 2 6 0 0 1 0 1 1\n3 0 2 3 6 .5 .5 1 1 0 1\n")
    wedged = read_mesh(tmp_path / "b.ply")
    assert len(wedged.vertices) == 5
    assert wedged.uv[wedged.faces[:, 0]].tolist() == [[0, 1], [0.5, 0.5]]
    assert wedged.material.base_color_texture[0, 0].tolist() == [0, 255, 0]


# --- hostile files ---------------------------------------------------------------------------------------------------


def edited(path, change):
    """Change the JSON of a GLB in place."""
    document, binary = glb(path)
    change(document)
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    head = struct.pack("<4sII", b"glTF", 2, 28 + len(text) + len(binary)) + struct.pack("<II", len(text), 0x4E4F534A)
    path.write_bytes(head + text + struct.pack("<II", len(binary), 0x004E4942) + binary)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (lambda d: d["accessors"][0].update(count=10**12), TooLargeError, "more than the limit"),
        (lambda d: d["bufferViews"][0].update(byteLength=10**9), UnreadableError, "damaged"),
        (lambda d: d["nodes"].extend({"mesh": 0} for _ in range(3000)), InputError, "a.glb"),
        (lambda d: d["nodes"][0].update(children=[0]), None, ""),
        (lambda d: d["nodes"][0].update(matrix=[float("nan")] * 16), InputError, "matrix"),
        (lambda d: d["buffers"][0].update(uri="../../etc/passwd"), UnreadableError, "missing"),
        (lambda d: d.update(extensionsRequired=["X_unheard"]), None, ""),
    ],
    ids=["count", "view", "instances", "circle", "nan", "outside", "extension"],
)
def test_hostile_gltf(tmp_path, change, kind, message):
    save(box(), tmp_path / "a.glb")
    edited(tmp_path / "a.glb", change)
    if message == "a.glb":
        edited(tmp_path / "a.glb", lambda d: d["scenes"][0].update(nodes=list(range(len(d["nodes"])))))
    if kind is None:
        assert len(read_mesh(tmp_path / "a.glb").faces) == 12
    else:
        with pytest.raises(kind, match=message):
            read_mesh(tmp_path / "a.glb", max_faces=20_000)


def test_more_faces_than_allowed_are_refused(tmp_path):
    mesh = grid_torus(10, 10)
    for suffix in (".glb", ".obj", ".ply", ".stl", ".3mf"):
        save(mesh, tmp_path / f"a{suffix}")
        assert len(read_mesh(tmp_path / f"a{suffix}", max_faces=200).faces) == 200
        with pytest.raises(TooLargeError, match="200 faces, more than the limit of 199"):
            read_mesh(tmp_path / f"a{suffix}", max_faces=199)


def test_a_texture_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "MAX_PIXELS", 100)
    save(textured_box(), tmp_path / "a.glb")
    with pytest.raises(TooLargeError, match="textures"):
        read_mesh(tmp_path / "a.glb")


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>'
CIRCLE = '<object id="7"><components><component objectid="7"/></components></object>'
SWARM = "".join(
    f'<object id="{k + 1}"><components>{f"""<component objectid="{k}"/>""" * 40}</components></object>'
    for k in range(1, 30)
)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"doctype": BOMB}, "document type"),
        ({"more": CIRCLE, "item": "7"}, "composed of itself"),
        ({"more": SWARM, "item": "30"}, "more than the limit|composed"),
        ({"item": "9"}, "does not exist"),
    ],
    ids=["entities", "circle", "swarm", "absent"],
)
def test_hostile_3mf(tmp_path, members, message):
    with pytest.raises(InputError, match=message):
        read_mesh(write_3mf(tmp_path / "a.3mf", **members), max_faces=20_000)


def test_archives_leave_nothing_outside(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    slip = write_3mf(tmp_path / "in" / "a.3mf", **{"../../slipped.txt": "x", "/slipped.txt": "x"})
    assert len(read_mesh(slip).faces) == 4
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.3mf", "in"]
    monkeypatch.setattr(archive, "MAX_BYTES", 500)
    with pytest.raises(UnreadableError, match="unpacks to more"):
        read_mesh(slip)


def test_numbers_that_are_none(tmp_path):
    for name, row in {"nan": "nan 0 0", "inf": "inf 0 0", "huge": "1e39 0 0"}.items():
        (tmp_path / f"{name}.obj").write_text(f"v {row}\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
        with pytest.raises(InputError, match="not finite"):
            read_mesh(tmp_path / f"{name}.obj")
    (tmp_path / "far.obj").write_text("v 1e30 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    assert len(read_mesh(tmp_path / "far.obj").faces) == 1
    with pytest.raises(LiftformError):
        read_mesh("nul\0.glb")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_bytes_never_surprise(tmp_path, capfd, data):
    kind = data.draw(st.sampled_from(["a.glb", "quantise.glb", "meshopt.glb", "draco.glb", "a.obj", "a.ply", "a.3mf"]))
    path = tmp_path / kind
    if not (tmp_path / f"whole {kind}").exists():
        compress = kind[:-4] if path.suffix == ".glb" and kind != "a.glb" else "none"
        try:
            save(two_materials(), path, ExportOptions(compress=compress))
        except MissingExtraError:
            return
        path.rename(tmp_path / f"whole {kind}")
    content = bytearray((tmp_path / f"whole {kind}").read_bytes())
    for _ in range(data.draw(st.integers(0, 6))):
        at = data.draw(st.integers(0, len(content) - 1) | st.integers(0, min(len(content) - 1, 3000)))
        content[at] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(1, len(content)))] if data.draw(st.booleans()) else content)
    message = ""
    try:
        read_mesh(path, flatten=data.draw(st.booleans())).validate()
    except LiftformError as error:
        message = str(error)
    assert "\n" not in message
    assert capfd.readouterr() == ("", "")
