"""pipeline: recipes are strict and complete, the road is walked in order, results are written whole and repeat."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import FAKES, environment
from PIL import Image

import liftform
from liftform.errors import InputNotFoundError, OutputError, UsageError
from liftform.pipeline import SCENE_STAGES, STAGES, WANTED_STAGES, Recipe, Road, keywords, make

SOFA = Path(__file__).parents[1] / "examples" / "pictures" / "sofa.png"


@pytest.fixture(scope="module")
def fake() -> Recipe:
    """The road with stand-ins."""
    return Recipe.from_options(backends=FAKES)


def test_make_walks_the_road_and_tells_of_it(picture, fake):
    events = []
    result = make(picture, fake, progress=lambda stage, fraction: events.append((stage, fraction)))
    walked = [stage for stage in STAGES if stage not in SCENE_STAGES + WANTED_STAGES]
    assert list(dict.fromkeys(stage for stage, _ in events)) == walked
    assert {stage for stage, fraction in events if fraction == 1.0} == set(walked)
    assert set(result.report.seconds) == set(walked)
    assert [d.what for d in result.capture.decisions][-3:] == ["mask", "subject", "camera"]
    assert result.mesh.bounds[0, 1] == 0
    assert result.report.recipe_digest == fake.digest


def test_paths_arrays_and_pillow_give_the_same_mesh(picture, fake):
    image = Image.open(picture)
    meshes = [make(source, fake).mesh for source in (picture, str(picture), image, np.asarray(image))]
    for mesh in meshes[1:]:
        assert np.array_equal(mesh.vertices, meshes[0].vertices)
        assert np.array_equal(mesh.material.base_color_texture, meshes[0].material.base_color_texture)


def test_stages_can_be_called_one_by_one(picture, fake):
    road = Road.of(fake, lambda stage, fraction: None, {})
    capture = road.load(picture)
    assert capture.photo.mask is None
    capture = road.understand(capture)
    assert capture.photo.mask is not None
    dense = road.reconstruct(capture)
    mesh = road.refine(dense, capture)
    assert dense.material is None
    assert mesh.material is not None
    assert np.array_equal(road.report(road.detail(mesh), capture).mesh.vertices, make(picture, fake).mesh.vertices)


def test_options_reach_the_backend(picture, fake):
    small = make(picture, fake, cube_size=0.2).mesh
    assert np.ptp(small.vertices[:, 0]) == pytest.approx(0.4)


@pytest.mark.parametrize("suffix", [".glb", ".obj", ".ply", ".stl"])
def test_save_writes_asset_report_and_preview(picture, fake, tmp_path, suffix):
    folder = tmp_path / "out"
    folder.mkdir()
    written = make(picture, fake).save(folder / f"thing{suffix}")
    assert written[0] == folder / f"thing{suffix}"
    assert set(written) == set(folder.iterdir())
    facts = json.loads((folder / "thing.report.json").read_text())
    assert Recipe.from_tables(facts["recipe"]) == fake
    assert facts["recipe_digest"] == fake.digest
    assert set(facts["files"]) == {path.name for path in written} - {"thing.report.json"}
    assert Image.open(folder / "thing.preview.png").width > 500
    assert len(liftform.read_mesh(written[0]).faces) == 12


def test_report_and_preview_can_be_left_out(picture, fake, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    assert make(picture, fake).save(folder / "a.glb", report=False, preview=False) == [folder / "a.glb"]
    assert list(folder.iterdir()) == [folder / "a.glb"]


def test_save_refuses_to_overwrite_the_input(fake, tmp_path):
    path = tmp_path / "thing_color.png"  # what the texture of thing.obj is called
    Image.new("RGB", (40, 40), (200, 30, 30)).save(path)
    before = path.read_bytes()
    with pytest.raises(OutputError, match="input picture would be overwritten"):
        make(path, fake).save(tmp_path / "thing.obj")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_save_says_what_is_in_the_way(picture, fake, tmp_path):
    result = make(picture, fake)
    for target, words in [
        (tmp_path / "thing.fbx", "unknown output format"),
        (tmp_path / "thing", "no suffix"),
        (tmp_path / "nowhere" / "thing.glb", "does not exist"),
        (tmp_path, "no suffix|is a folder"),
        (picture / "thing.glb", "is not a folder|not a directory|Not a directory"),
    ]:
        with pytest.raises(OutputError, match=words):
            result.save(target)
    assert list(tmp_path.iterdir()) == [picture]


def test_same_recipe_same_bytes_in_another_process(picture, fake, tmp_path):
    make(picture, fake).save(tmp_path / "a.glb")
    code = (
        "from liftform import make; import sys; from conftest import FAKES;"
        f"make({str(picture)!r}, backends=FAKES).save({str(tmp_path / 'b.glb')!r})"
    )
    env = {**environment(), "PYTHONHASHSEED": "7"}
    env["PYTHONPATH"] += f":{Path(__file__).parent}"
    subprocess.run([sys.executable, "-c", code], check=True, env=env)
    assert (tmp_path / "a.glb").read_bytes() == (tmp_path / "b.glb").read_bytes()
    assert (tmp_path / "a.preview.png").read_bytes() == (tmp_path / "b.preview.png").read_bytes()


def test_flat_keywords_may_stand_in_a_recipe_file(tmp_path):
    path = tmp_path / "flat.toml"
    path.write_text("seed = 2\nheight = 0.45\n[simplify]\nfaces = 4000\n[relief]\nfaces = 4000\n")
    assert Recipe.from_toml(path) == Recipe.from_options(seed=2, height=0.45, faces=4000)


def test_recipe_tables_read_back():
    recipe = Recipe.from_options(seed=3, faces=5000, height=0.45)
    assert Recipe.from_tables(recipe.to_tables()) == recipe
    assert recipe.sections["simplify"].options.faces == 5000
    assert recipe.sections["scale"].options.height_m == 0.45
    assert list(recipe.to_tables())[5:] == list(recipe.sections)


def test_models_are_named_by_keywords(tmp_path):
    marked = Recipe.from_options(mask=Path("cup.png"), mask_model="u2netp")
    assert marked.sections["mask"].backend == "u2netp"
    assert marked.sections["mask"].options.path == Path("cup.png")
    back = marked.with_options(mask_model="auto")
    assert back.sections["mask"].backend == "embedded"
    assert back == Recipe.from_options(mask=Path("cup.png"))
    (tmp_path / "r.toml").write_text('mask_model = "isnet"\n[mask]\npath = "cup.png"\n')
    assert Recipe.from_toml(tmp_path / "r.toml") == Recipe.from_options(mask=Path("cup.png"), mask_model="isnet")
    with pytest.raises(UsageError, match=r"no mask model named 'u2net' .*did you mean 'u2netp'"):
        Recipe.from_options(mask_model="u2net")
    with pytest.raises(
        UsageError, match="'height' in options is no option of the scale backend 'fake' — 'floor' has it"
    ):
        Recipe.from_options(backends={"scale": "fake"}, height=0.3)
    with pytest.raises(UsageError, match="no model named 3"):
        Recipe.from_options(model=3)


def test_the_report_names_the_network_and_what_could_be_pulled(picture, fake):
    own = Road.of(None, lambda *_: None, {})._network("object", None)
    assert (own.value, own.origin) == ("embedded", "guessed")
    assert "--model triposr (MIT, 1.7 GB)" in own.note
    named = Road.of(None, lambda *_: None, {"mask_model": "u2netp"})._network("mask", None)
    assert (named.value, named.origin) == ("u2netp", "given")
    assert "code Apache-2.0, weights Apache-2.0; commercial use allowed" in named.note
    facts = make(picture, fake).report.to_dict()
    assert [d["value"] for d in facts["decisions"] if d["what"] == "model"] == ["fake"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "gpu"}, "device in options must be one of cpu"),
        ({"device": "cuda:x"}, "device in options must be"),
        ({"precision": "half"}, "precision in options must be"),
        ({"runtime": "tflite"}, "runtime in options must be one of onnxruntime, openvino"),
        ({"device": "cuda"}, "embedded networks run on the CPU .*name a public model"),
        ({"precision": "bfloat16"}, "embedded networks run on the CPU in their own numbers"),
    ],
)
def test_device_precision_and_runtime_are_never_changed_silently(options, message):
    with pytest.raises(UsageError, match=message):
        make(np.zeros((8, 8, 3), np.uint8), **options)


def test_digest_changes_with_what_decides_the_result():
    plain = Recipe()
    assert plain.digest == Recipe.from_options(threads=2).digest
    digests = {plain.digest, Recipe.from_options(seed=1).digest, Recipe.from_options(faces=5000).digest}
    assert len(digests | {Recipe.from_options(backends={"mask": "fake"}).digest}) == 4


def test_options_win_over_the_recipe_file(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text('seed = 5\n[simplify]\nbackend = "quadric"\nfaces = 4000\n[scale]\nheight_m = 2\n')
    recipe = Recipe.from_toml(path, faces=3000)
    assert (recipe.seed, recipe.sections["simplify"].options.faces) == (5, 3000)
    assert recipe.sections["scale"].options.height_m == 2.0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[simplfy]\nfaces = 1\n", "unknown option 'simplfy'.*did you mean 'simplify'"),
        ("[simplify]\nface = 500\n", "unknown option 'face'.*did you mean 'faces'"),
        ("[simplify]\nfaces = 'many'\n", "faces must be int"),
        ("[simplify]\nfaces = -1\n", "faces must lie between"),
        ("[mask]\nbackend = 'embeded'\n", "no backend named 'embeded'.*did you mean 'embedded'"),
        ("[mask]\nbackend = 3\n", "backend.*must be a name"),
        ("simplify = 3\n", "must be a table"),
        ("seed = -1\n", "seed.*whole number"),
        ("sed = 1\n", "unknown option 'sed'.*did you mean 'seed'"),
        ("hight = 2.0\n", "unknown option 'hight'.*did you mean 'height'"),
        ("[simplify\n", "not a TOML recipe"),
    ],
)
def test_recipe_files_are_strict(tmp_path, text, words):
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=words) as caught:
        Recipe.from_toml(path)
    assert "wrong.toml" in str(caught.value) or "backend named" in str(caught.value)


def test_wrong_options_are_usage_errors():
    with pytest.raises(UsageError, match=r"unknown option 'hight'.*did you mean 'height'"):
        Recipe.from_options(hight=1)
    with pytest.raises(UsageError, match="height"):
        Recipe.from_options(height="tall")
    with pytest.raises(UsageError, match="no task named 'msk'"):
        Recipe.from_options(backends={"msk": "fake"})
    with pytest.raises(InputNotFoundError):
        Recipe.from_toml("nowhere.toml")


def test_the_promised_keywords_exist():
    words = {"height", "faces", "texture_size", "mask", "pick", "fov", "elevation"}
    assert words <= set(keywords())


@pytest.mark.parametrize("source", [SOFA, SOFA.with_suffix(".jpg")], ids=["alpha", "plain photo"])
def test_the_real_road_repeats_itself_and_is_sound(source, tmp_path):
    first = make(source, faces=3000, texture_size=512)
    first.save(tmp_path / "a.glb", report=False, preview=False)
    code = (
        f"import liftform; liftform.make({str(source)!r}, faces=3000, texture_size=512)"
        f".save({str(tmp_path / 'b.glb')!r}, report=False, preview=False)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (tmp_path / "a.glb").read_bytes() == (tmp_path / "b.glb").read_bytes()
    health = first.report.health
    assert health.watertight
    assert health.manifold
    assert health.outward
    assert (health.components, health.degenerate_faces) == (1, 0)
    assert health.faces <= 3000
    assert first.mesh.bounds[0, 1] == pytest.approx(0, abs=1e-6)
