"""finish: what fix does on demand (quads, maps of detail, collision parts, levels, light), and how it is asked for."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest
from synthetic import ball, both, brick, marched, sphere, textured_box, waves
from test_export import validated, validator  # noqa: F401

from liftform.assets import Material
from liftform.cli.fix import parser
from liftform.errors import MissingExtraError, UsageError
from liftform.finish import FixRecipe, fix
from liftform.read_mesh import read_mesh
from liftform.refine.unwrap import UnwrapOptions, unwrap
from liftform.report.done import done_words
from liftform.runtime import Runtime

needs_field = pytest.mark.skipif(importlib.util.find_spec("pyinstantmeshes") is None, reason="needs the extra quads")


def bumpy(rings=72, segments=72):
    """A ball with fine waves, 10,224 faces, laid out as one atlas under a texture."""
    smooth = sphere(rings, segments)
    p = smooth.vertices
    wave = 1 + 0.02 * np.sin(25 * p[:, :1]) * np.sin(25 * p[:, 1:2])
    mesh = unwrap(UnwrapOptions(), Runtime())(smooth.with_(vertices=(p * wave).astype(np.float32)))
    texture = np.random.default_rng(0).integers(60, 200, (64, 64, 3)).astype(np.uint8)
    return mesh.with_(material=Material(base_color_texture=texture))


@needs_field
def test_pure_quads_reach_the_obj_with_textures_of_the_source(tmp_path):
    source = marched(both(brick((0.4, 0.2, 0.3)), ball(0.28, (0, 0.15, 0))), 28, paint=waves)
    result = fix(source, quads="pure", quad_count=700, texture_size=256)
    assert 2 * result.mesh.quads == len(result.mesh.faces)
    assert {"base_color_texture", "occlusion_texture"} <= set(result.mesh.material.textures)
    result.save(tmp_path / "a.obj", preview=False)
    back = read_mesh(tmp_path / "a.obj")
    assert back.quads == result.mesh.quads
    assert len(back.faces) == 2 * back.quads
    said = dict(done_words(result.done))
    assert "100 % quads" in said["quads"]
    assert "occlusion at 256 px" in said["maps"]
    assert result.to_dict()["done"]["retopo"]["flipped"] == 0


def test_what_is_asked_for_and_cannot_be_had_is_refused_before_the_file_is_opened(monkeypatch):
    with pytest.raises(UsageError, match="two ways"):
        fix("nowhere.obj", quads=True, faces=500)
    with pytest.raises(UsageError, match="coarser"):
        fix("nowhere.obj", lod="1k,2k")
    monkeypatch.setitem(sys.modules, "pyinstantmeshes", None)
    with pytest.raises(MissingExtraError, match=r"liftform\[quads\]"):
        fix("nowhere.obj", quads=True)


def test_flags_that_may_stand_alone_take_no_input_for_their_value():
    def read(line):
        args = parser().parse_args(line.split())
        return str(args.mesh), getattr(args, "quads", None), getattr(args, "delight", None)

    assert read("--quads in.obj") == ("in.obj", "dominant", None)
    assert read("in.obj --quads --delight") == ("in.obj", "dominant", 0.7)
    assert read("--delight 0.4 --quads pure in.obj") == ("in.obj", "pure", 0.4)
    assert read("--delight in.obj") == ("in.obj", None, 0.7)


def test_true_in_a_recipe_means_the_flag_alone():
    sections = FixRecipe.from_options(quads=True, delight=True, collision=False).sections
    assert sections["retopo"].options.kind == "dominant"
    assert sections["delight"].options.strength == 0.7
    assert not sections["collide"].options.wanted


def test_detail_lost_in_hard_reduction_is_kept_in_maps_beside_the_texture():
    mesh = bumpy()
    result = fix(mesh, faces=1500, texture_size=256)
    material = result.mesh.material
    assert len(result.mesh.faces) <= 1500
    assert {"normal_texture", "occlusion_texture"} <= set(material.textures)
    np.testing.assert_array_equal(material.base_color_texture, mesh.material.base_color_texture)
    assert (material.normal_texture[..., :2].astype(int) - 128).std() > 8  # the waves are in it
    plain = fix(mesh, faces=1500, normal_map=False, ao=False).mesh
    assert set(plain.material.textures) == {"base_color_texture"}
    np.testing.assert_array_equal(plain.vertices, result.mesh.vertices)


def test_a_map_asked_for_lays_out_anew_where_texture_coordinates_overlap():
    box = textured_box().with_(uv=textured_box().uv * 0)  # every side on one texel
    result = fix(box, ao=True, texture_size=256)
    assert {"base_color_texture", "occlusion_texture"} <= set(result.mesh.material.textures)
    assert result.measures.layout.overlap < 0.01
    assert set(fix(box).mesh.material.textures) == {"base_color_texture"}


def test_levels_and_collision_parts_come_within_and_beside(tmp_path):
    result = fix(bumpy(30, 40), lod="800,300", collision="hulls")
    assert [len(level.faces) <= most for level, most in zip(result.model.levels, (800, 300), strict=True)] == [True] * 2
    assert result.done["collide"]["parts"] == len(result.model.collision) == 1
    written = {path.name for path in result.save(tmp_path / "a.glb", report=False, preview=False)}
    assert written == {"a.glb", "a_collision.glb"}
    assert dict(done_words(result.done))["collision"].startswith("1 convex part (")


def test_light_stays_unless_asked_for():
    mesh = bumpy(30, 40)
    texture = np.ascontiguousarray(np.linspace(60, 220, 64)[:, None, None] * np.ones((1, 64, 3))).astype(np.uint8)
    mesh = mesh.with_(material=Material(base_color_texture=texture))
    assert fix(mesh).mesh.material.base_color_texture is texture
    guessed = fix(mesh, guess_material=True)
    assert guessed.mesh.material.base_color_texture is texture
    assert "a guess" in dict(done_words(guessed.done))["light"]
    assert "delight" in fix(mesh, delight=True).done


# --- what is written -------------------------------------------------------------------------------------------------

WRITTEN = {
    "as it is": {},
    "quads": {"quads": "dominant", "quad_count": 400},
    "levels and hulls": {"lod": "60,20", "collision": "hulls"},
    "solid": {"repair": "solid", "faces": 300, "ao": True, "normal_map": True, "texture_size": 256},
    "light": {"delight": True, "guess_material": True, "complete": True, "longest": "40cm"},
}


def test_khronos_finds_no_errors_in_what_fix_writes(tmp_path, validator):  # noqa: F811
    pytest.importorskip("pyinstantmeshes")
    files = []
    for name, options in WRITTEN.items():
        files += [path for path in fix(holed(), **options).save(tmp_path / f"{name}.glb") if path.suffix == ".glb"]
    issues = validated(validator, files)
    assert len(issues) == len(files) >= len(WRITTEN)
    assert [(i["file"], i["messages"]) for i in issues if i["numErrors"]] == []


def holed():
    """A textured ball of a thousand faces with a few of them missing."""
    mesh = bumpy(24, 24)
    return mesh.with_(faces=mesh.faces[5:])
