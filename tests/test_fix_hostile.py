"""``liftform fix`` and ``inspect`` on what is no mesh, hardly one, or lies under an odd name: one line, or a result."""

from __future__ import annotations

import json
import os
import sys

import numpy as np
import pytest
import synthetic as shapes

from liftform.cli import main
from liftform.export import save
from liftform.read_mesh import read_mesh
from liftform.topology import health

TETRAHEDRON = "v 0 0 0\nv {0} 0 0\nv 0 {0} 0\nv 0 0 {0}\nf 1 3 2\nf 1 2 4\nf 2 3 4\nf 1 4 3\n"
BARE = ("--no-preview", "-q")


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        ("", 3, "the file is empty"),
        ("v 0 0 0\nv 1 0 0\n", 3, "has no faces"),
        ("v 1 1 1\nv 1 1 1\nv 1 1 1\nf 1 2 3\n", 3, "in one point"),
        ("v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n", 7, "bad has no surface"),
        (TETRAHEDRON.format("nan"), 3, "not finite"),
        (TETRAHEDRON.format("1e39"), 3, "not finite"),
        ("<html>404</html>", 3, "has no faces"),
    ],
)
def test_what_is_no_mesh_ends_in_one_line_and_leaves_nothing(tmp_path, capsys, content, code, says):
    (tmp_path / "bad.obj").write_text(content)
    assert main(["fix", str(tmp_path / "bad.obj"), *BARE]) == code
    said = capsys.readouterr().err
    assert says in said
    assert len(said.splitlines()) == 1
    assert "unexpected" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["bad.obj"]


@pytest.mark.parametrize("size", ["1e-30", "1e-12", "1000000", "1e30"])
def test_coordinates_of_any_size_are_mended(tmp_path, size):
    (tmp_path / "t.obj").write_text(TETRAHEDRON.format(size).rsplit("f ", 1)[0])  # one face is missing
    assert main(["fix", str(tmp_path / "t.obj"), *BARE]) == 0
    mended = read_mesh(tmp_path / "t.fixed.glb")
    assert health(mended).outward
    assert np.ptp(mended.vertices, axis=0) == pytest.approx([float(size)] * 3)


def test_one_triangle_becomes_a_thin_plate(tmp_path):
    (tmp_path / "one.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    assert main(["fix", str(tmp_path / "one.obj"), *BARE]) == 0
    plate = health(read_mesh(tmp_path / "one.fixed.glb"))
    assert plate.outward
    assert 0 < plate.volume < 0.01


@pytest.mark.skipif(sys.platform != "linux", reason="names that are no UTF-8")
def test_names_that_are_no_utf8(tmp_path, capsys):
    path = tmp_path / os.fsdecode(b"m\xf6bel\xff.obj")
    path.write_text("o tisch\n" + TETRAHEDRON.format(1))
    assert main(["fix", str(path), "--html", "-q"]) == 0
    assert main(["fix", str(path), "-o", str(path.with_name(os.fsdecode(b"\xe4.obj"))), *BARE]) == 0
    made = sorted(os.listdir(os.fsencode(tmp_path)))
    assert b"m\xf6bel\xff.fixed.report.html" in made
    assert b"\xe4.obj" in made
    assert json.loads(path.with_name(path.stem + ".fixed.report.json").read_text())["after"]
    assert main(["inspect", str(path), "--json"]) == 0


def test_textures_of_obj_are_found_whatever_its_name(tmp_path):
    path = tmp_path / os.fsdecode(b"a\xe4 b.obj") if sys.platform == "linux" else tmp_path / "a b.obj"
    save(shapes.textured_box(), path)
    assert read_mesh(path).material.base_color_texture is not None
