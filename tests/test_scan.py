"""From a photo set to an asset: what counts as a set, the choice and why, the report, bad input, breaking off."""

from __future__ import annotations

import errno
import functools
import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import synthetic
from conftest import FAKES
from PIL import Image

import liftform
from liftform import batch, scan
from liftform.assets import Material, Mesh
from liftform.camera import Camera
from liftform.capture import Capture, Decision, Depth, Mask, Photo, Sparse
from liftform.cli import make as cli
from liftform.errors import InputError, LiftformError, OutputError, ReconstructionError, UsageError
from liftform.lens import Lens
from liftform.photoset import kept
from liftform.photoset.sources import is_set
from liftform.recipe import option
from liftform.refine.scale import SizeOptions, stand
from liftform.refine.tidy import TidyOptions, tidy
from liftform.render import render
from liftform.report.sighted import shares
from liftform.runtime import Runtime
from liftform.scan import Scan, ScanRecipe
from liftform.understand import choose
from liftform.understand.choose import Facts, chosen
from liftform.zoo import registry

# -- stand-ins: what lies between them can be tested without measuring -------------------------------------------------

BALL = synthetic.sphere(24, 32, 0.5, (0.0, 0.5, 0.0))
BALL = BALL.with_(colors=np.clip(BALL.vertices + np.array([0.5, 0.0, 0.5]), 0, 1).astype(np.float32))


@dataclass(frozen=True)
class FakeOptions:
    """amount: calls leave a file beside this one."""

    log: str = option("", "file that is written to when the stage is walked")


def poses(options: FakeOptions, runtime: Runtime):
    """The cameras that are given; nothing where there are none."""

    def run(capture: Capture) -> Capture:
        _log(options, "poses")
        if not any(photo.camera for photo in capture.photos):
            raise ReconstructionError("no camera can be found: no two show the same place", "step sideways")
        points = BALL.vertices.astype(np.float64)
        seen = np.arange(len(points), dtype=np.int32)
        views = range(len(capture.photos))
        sparse = Sparse(
            points,
            BALL.colors,
            np.zeros(len(points), np.float32),
            np.repeat(np.arange(len(views), dtype=np.int32), len(seen)),
            np.tile(seen, len(views)),
            np.zeros((len(seen) * len(views), 2), np.float32),
        )
        said = Decision("sure", 0.9, "estimated", "true"), Decision("not placed", "x.png", "estimated", "no texture")
        return replace(capture, sparse=sparse, decisions=(*capture.decisions, *said))

    return run


def stereo(options: FakeOptions, runtime: Runtime):
    """True depths."""

    def run(capture: Capture) -> Capture:
        _log(options, "stereo")
        photos = [replace(p, depth=Depth(render(BALL, p.camera).depth)) for p in capture.photos]
        return replace(capture, photos=tuple(photos))

    return run


def fusion(options: FakeOptions, runtime: Runtime):
    """The true surface; a fault where a file of that name is there."""

    def run(capture: Capture) -> Mesh:
        _log(options, "fusion")
        if options.log and Path(options.log).with_name("stop").exists():
            raise KeyboardInterrupt
        return BALL

    return run


def field(options: FakeOptions, runtime: Runtime):
    """Something that is no mesh."""
    return lambda capture: Glow()


def paint(options: FakeOptions, runtime: Runtime):
    """Grey; the lower half was never seen."""

    def run(mesh: Mesh, capture: Capture) -> Mesh:
        texture = np.full((4, 4, 3), 128, np.uint8)
        seen = (mesh.vertices[:, 1] > 0.5).astype(np.float32)
        return mesh.with_(material=Material(texture), seen=seen)

    return run


@dataclass(frozen=True)
class Glow:
    """A field of no use."""

    def validate(self) -> Glow:
        """Always sound."""
        return self


def _log(options: FakeOptions, word: str) -> None:
    if options.log:
        with Path(options.log).open("a") as file:
            file.write(word + "\n")


STAND_INS = {"poses": poses, "stereo": stereo, "fusion": fusion, "implicit": fusion, "field": field, "paint": paint}


@pytest.fixture(autouse=True, scope="module")
def stand_ins():
    """Registered for this module alone."""
    for task, made in STAND_INS.items():
        registry.add(task, "stand-in", registry.Backend(f"{__name__}:{made.__name__}", f"{__name__}:FakeOptions"))
    yield
    for task in STAND_INS:
        del registry._ADDED[task]["stand-in"]


def recipe(log: Path | None = None, **options) -> ScanRecipe:
    """The road with stand-ins."""
    base = ScanRecipe.from_options(backends=dict.fromkeys(STAND_INS, "stand-in"))
    for task in ("poses", "stereo", "fusion") if log else ():
        section = replace(base.sections[task], options=FakeOptions(str(log)))
        base = replace(base, sections={**base.sections, task: section})
    return base.with_options(**options)


@functools.cache
def photos(count: int = 8, size: int = 64) -> tuple[Photo, ...]:
    """Pictures of the ball from all around, with masks and cameras."""
    found = []
    for k in range(count):
        lift = np.eye(4)
        lift[1, 3] = 0.5
        camera = Camera.orbit(size, 0.6, 2 * np.pi * k / count, 0.2, 2.5).moved(lift)
        image = render(BALL, camera).image
        mask = Mask(image[..., 3], image[..., :3], 1.0)
        name = f"{k}.png"
        found.append(Photo(image[..., :3], source=name, mask=mask, camera=camera, lens=Lens.of(camera), posed=True))
    return tuple(found)


# -- what is a set ----------------------------------------------------------------------------------------------------


def test_what_counts_as_a_set(tmp_path):
    (tmp_path / "odd[1].jpg").touch()
    sets = [tmp_path, "clip.mp4", "photos.zip", "photos/*.jpg", ["a.jpg", "b.jpg"], str(tmp_path / "transforms.json")]
    assert [is_set(source) for source in sets] == [True] * len(sets)
    pictures = ["a.jpg", tmp_path / "odd[1].jpg", np.zeros((4, 4, 3)), b"bytes", "no\0name"]
    assert [is_set(source) for source in pictures] == [False] * len(pictures)


def jobs(*words: str) -> list[batch.Job]:
    """What the command line would do."""
    return cli._jobs(cli.parser(sets=False).parse_args(list(words)))


def test_pictures_are_apart_unless_they_are_called_a_set(tmp_path):
    assert [job.is_set for job in jobs("a.jpg", "b.jpg")] == [False, False]
    (one,) = jobs("a.jpg", "b.jpg", "--set", "-o", "c.glb")
    assert (one.source, one.is_set) == ((Path("a.jpg"), Path("b.jpg")), True)
    with pytest.raises(UsageError, match="--set"):
        jobs("a.jpg", "b.jpg", "-o", "c.glb")
    folder = tmp_path / "statue" / "images"
    folder.mkdir(parents=True)
    mixed = jobs(str(folder), "a.jpg", f"{tmp_path}/statue/*.jpg", "-o", f"{tmp_path}/out/")
    assert [job.target.name for job in mixed] == ["statue.glb", "a.glb", "statue-2.glb"]
    assert [job.is_set for job in mixed] == [True, False, True]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a.jpg", "--method", "stereo"], "is for photo sets"),
        (["a.jpg", "b.jpg", "--set", "--texture", "mirror"], "is for single pictures"),
        (["a.jpg", "b.jpg", "--set", "--mask-model", "isnet"], "is for single pictures"),
    ],
)
def test_flags_of_the_other_road_are_named(words, said):
    with pytest.raises(UsageError, match=said):
        cli.run(cli.parser_for(words).parse_args(words))


# -- the choice -------------------------------------------------------------------------------------------------------

RICH = Facts(placed=20, sure=0.9, views=4.0, thick=0.9, texture=0.8, masked=1.0)


@pytest.mark.parametrize(
    ("change", "method", "why"),
    [
        ({}, "stereo", "80% of what 20 pictures show has texture"),
        ({"texture": 0.1}, "surface", "the outlines of 20 pictures"),
        ({"texture": 0.1, "masked": 0.0}, "stereo", "--masks estimated"),
        ({"texture": 0.1, "placed": 5}, "stereo", "expect holes"),
        ({"placed": 1}, "single", "1 of the pictures could be placed"),
        ({"placed": 0, "sure": None}, "single", "none of the pictures"),
        ({"sure": 0.0}, "single", "too uncertain"),
    ],
)
def test_the_way_is_chosen_with_a_reason(change, method, why):
    found = chosen(replace(RICH, **change))
    assert found[0] == method
    assert why in found[1]


def test_texture_is_what_varies_within_the_masks():
    rng = np.random.default_rng(0)
    half = np.full((120, 160, 3), 0.5, np.float32)
    half[:, 80:] += rng.uniform(-0.3, 0.3, (120, 80, 1)).astype(np.float32)
    photo = Photo(half)
    assert choose.texture([photo]) == pytest.approx(0.5, abs=0.04)
    left = Mask((np.arange(160) < 70).astype(np.float32)[None].repeat(120, 0), half, 1.0)
    assert choose.texture([replace(photo, mask=left)]) == 0
    assert choose.texture([]) == 0


def test_what_was_asked_for_is_done_and_the_other_way_named():
    capture = poses(FakeOptions(), Runtime())(Capture(photos()))
    told = choose.choose(choose.ChooseOptions("field"), Runtime())(capture).decisions[-1]
    assert (told.what, told.value, told.origin) == ("method", "field", "given")
    assert "by itself: s" in told.note


# -- stages of the road -----------------------------------------------------------------------------------------------


def test_shares_of_a_box_that_one_two_and_three_pictures_see():
    box = synthetic.box()
    front = [Photo(np.zeros((64, 64, 3), np.float32), camera=Camera.orbit(64, 0.6, a, 0.0, 4.0)) for a in (0, np.pi)]
    found = shares(box, front)
    assert (found["1"], found["2"]) == (pytest.approx(2 / 6, abs=0.02), 0)
    found = shares(box, [*front, *front, front[0]])
    assert (found["2"], found["3"]) == (pytest.approx(2 / 6, abs=0.02), pytest.approx(1 / 6, abs=0.02))
    blind = replace(front[0], mask=Mask(np.zeros((64, 64), np.float32), front[0].image, 1.0))
    assert shares(box, [blind])["1"] == 0
    wall = synthetic.box((1.5, 1.5, 0.1), (0.0, 0.0, 1.0))
    hidden = Mesh(np.concatenate([box.vertices, wall.vertices]), np.concatenate([box.faces, wall.faces + 8]))
    assert shares(hidden, front[:1])["1"] == pytest.approx(2.25 / (2 * 2.25 + 4 * 0.15 + 6), abs=0.02)


def test_tidy_drops_floaters_and_leaves_openings():
    ball = synthetic.sphere(16, 20)
    open_ball = Mesh(ball.vertices, ball.faces[:-60], colors=np.abs(ball.vertices))
    dust = synthetic.sphere(6, 6, 0.02, (3.0, 0.0, 0.0))
    faces = np.concatenate([open_ball.faces, dust.faces + len(ball.vertices), [[0, 0, 1]]]).astype(np.int32)
    colors = np.concatenate([open_ball.colors, np.abs(dust.vertices)])
    both = Mesh(np.concatenate([ball.vertices, dust.vertices]), faces, colors=colors)
    done = tidy(TidyOptions(), Runtime())(both)
    assert len(done.faces) == len(open_ball.faces)
    assert done.metadata["tidy"]["parts_dropped"] == 1
    np.testing.assert_array_equal(done.colors, np.abs(done.vertices))
    fewer = tidy(TidyOptions(faces=200), Runtime())(both)
    assert 100 < len(fewer.faces) <= 200
    broken = both.with_(vertices=np.full_like(both.vertices, np.nan))
    with pytest.raises(ReconstructionError, match="empty"):
        tidy(TidyOptions(), Runtime())(broken)


def test_an_object_stands_on_the_floor_and_a_scene_where_its_cameras_are():
    box = synthetic.box((2.0, 1.0, 1.0), (5.0, 3.0, 0.0))
    thing = stand(SizeOptions(), Runtime())(box.with_(metadata={"world": {"metric": True, "object": True}}))
    np.testing.assert_allclose(thing.bounds, [[-1, 0, -0.5], [1, 1, 0.5]], atol=1e-6)
    assert thing.metadata["scale"]["unit"] == "metre"
    scene = stand(SizeOptions(), Runtime())(box.with_(metadata={"world": {"metric": False, "object": False}}))
    np.testing.assert_array_equal(scene.vertices, box.vertices)
    assert scene.metadata["scale"]["unit"] == "unknown"
    tall = stand(SizeOptions(height_m=2.0), Runtime())(box.with_(metadata={"world": {"metric": False, "object": True}}))
    np.testing.assert_allclose(tall.bounds[1], [2, 2, 1], atol=1e-6)
    matrix = np.array(tall.metadata["asset_from_view"])
    np.testing.assert_allclose(box.vertices @ matrix[:3, :3].T + matrix[:3, 3], tall.vertices, atol=1e-5)


# -- the whole road ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(stand_ins) -> Scan:
    """The ball by stand-ins, of a height that is given."""
    return scan(Capture(photos()), recipe(height=2.0))


def test_a_set_becomes_a_mesh_with_its_report(made, tmp_path):
    np.testing.assert_allclose(made.mesh.bounds[:, 1], [0, 2], atol=1e-5)
    written = made.save(tmp_path / "ball.glb", points=True)
    assert [p.name for p in written] == ["ball.glb", "ball.points.ply", "ball.preview.png", "ball.report.json"]
    facts = json.loads((tmp_path / "ball.report.json").read_text())
    told = facts["pictures"]
    assert (told["pictures"], told["used"], told["method"]) == (8, 8, made.method)
    assert told["why"]
    assert told["seen_by"]["3"] <= told["seen_by"]["2"] <= told["seen_by"]["1"]
    assert told["seen_by"]["2"] > 0.7
    assert facts["surface"]["seen"] == pytest.approx(0.5, abs=0.05)
    assert "not placed: x.png (no texture)" in facts["warnings"]
    assert not [line for line in facts["warnings"] if "size" in line]
    assert facts["scale"]["kind"] == "metric"
    assert {verdict["use"] for verdict in facts["fitness"]} >= {"web", "3D print"}
    assert facts["recipe"]["poses"]["backend"] == "stand-in"


def test_dense_points_lie_on_the_asset(made):
    pytest.importorskip("numba")
    cloud = made.points()
    away = np.linalg.norm(cloud.points - [0, 1, 0], axis=1)
    assert len(cloud.points) > 500
    assert np.abs(away - 1).max() < 0.05


def test_what_is_unknown_is_said():
    found = scan(Capture(photos()), recipe())
    assert any("size is unknown" in line for line in found.report.warnings)
    assert found.report.scale == "unknown"


def test_equal_sets_give_equal_assets(made, tmp_path):
    again = scan(Capture(photos()), recipe(height=2.0))
    np.testing.assert_array_equal(again.mesh.vertices, made.mesh.vertices)
    assert again.report.to_json(times=False) == made.report.to_json(times=False)


def test_a_field_is_no_mesh(tmp_path):
    found = scan(Capture(photos()), recipe(method="field"))
    assert found.report.to_dict()["kind"] == "field"
    for asked in (lambda: found.mesh, found.points):
        with pytest.raises(UsageError, match="method"):
            asked()
    with pytest.raises(OutputError, match=r"\.field"):
        found.save(tmp_path / "ball.glb")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "method"), [("a.spz", "field"), ("a.field", "stereo"), ("a.glb", "splat"), ("a.x", "auto")]
)
def test_targets_that_do_not_fit_are_refused_before_any_work(tmp_path, name, method):
    with pytest.raises(OutputError):
        liftform.scan.__globals__["check_target"](tmp_path / name, method)
    liftform.scan.__globals__["check_target"](tmp_path / "a.field", "auto")


def test_a_recipe_of_the_other_road_is_refused(tmp_path):
    with pytest.raises(UsageError, match="single pictures"):
        liftform.make(tmp_path, liftform.Recipe())


# -- bad input --------------------------------------------------------------------------------------------------------


@pytest.fixture
def one_picture_road(monkeypatch):
    """The single-picture road by its stand-ins."""
    from liftform import pipeline

    monkeypatch.setattr(pipeline, "make", functools.partial(pipeline.make, backends=FAKES, as_="object"))


def thing(path: Path, shade: int = 30, size: tuple[int, int] = (96, 64)) -> Path:
    """A red ellipse on white."""
    y, x = np.mgrid[: size[1], : size[0]]
    inside = ((x - size[0] / 2) / 30) ** 2 + ((y - size[1] / 2) / 20) ** 2 < 1
    Image.fromarray(np.where(inside[..., None], [200, 40, shade], 255).astype(np.uint8)).save(path)
    return path


def test_one_picture_is_lifted_alone_and_that_is_said(tmp_path, one_picture_road):
    thing(tmp_path / "thing.png")
    found = liftform.make(tmp_path, recipe())
    assert found.method == "single"
    assert "lifted from one picture alone" in found.report.warnings[0]
    with pytest.raises(UsageError, match="one picture"):
        liftform.make(tmp_path, recipe(method="stereo"))


def test_pictures_that_share_nothing(tmp_path, one_picture_road):
    for k in range(3):
        thing(tmp_path / f"{k}.png", shade=30 + 60 * k)
    found = liftform.make(tmp_path, recipe())
    assert found.method == "single"
    assert "no two show the same place" in found.report.warnings[0]
    with pytest.raises(ReconstructionError, match="no camera"):
        liftform.make(tmp_path, recipe(method="stereo"))


def test_the_same_picture_many_times_is_refused(tmp_path):
    first = thing(tmp_path / "0.png")
    for k in (1, 2):
        shutil.copy(first, tmp_path / f"{k}.png")
    with pytest.raises(InputError, match="all 3 pictures are the same"):
        liftform.make(tmp_path, recipe())


def test_no_overlap_by_the_real_stage(tmp_path):
    pytest.importorskip("pycolmap")
    for k in range(2):
        noise = np.random.default_rng(k).integers(0, 255, (12, 16, 3)).astype(np.uint8)
        Image.fromarray(noise).resize((160, 120), Image.Resampling.NEAREST).save(tmp_path / f"{k}.png")
    with pytest.raises(ReconstructionError, match="no two of the 2 pictures show the same place"):
        liftform.make(tmp_path, recipe(method="stereo").with_options(backends={"poses": "colmap"}))


def test_cut_short_pictures_are_left_out_and_named(tmp_path):
    pictures = []
    for photo in photos():
        path = tmp_path / photo.source
        Image.fromarray((photo.image * 255).astype(np.uint8)).save(path)
        pictures.append(path)
    pictures[2].write_bytes(pictures[2].read_bytes()[:300])
    opened = registry.factory("photos")(tmp_path, registry.options_class("photos")(), Runtime())
    assert len(opened.photos) == 7
    assert [d.what for d in opened.decisions] == ["left out"]
    assert "2.png" in opened.decisions[0].value


def test_different_sizes_and_cameras_go_together():
    large = photos(4, 96)
    mixed = Capture((*photos()[:4], *(replace(p, source=f"large{p.source}") for p in large)))
    found = scan(mixed, recipe())
    assert found.report.to_dict()["pictures"]["used"] == 8


def test_a_full_disk_leaves_nothing(made, tmp_path, monkeypatch):
    def full(path: Path, data: bytes) -> None:
        path.write_bytes(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("liftform.files._write_synced", full)
    with pytest.raises(OutputError, match="No space left"):
        made.save(tmp_path / "ball.glb")
    assert not list(tmp_path.iterdir())


def test_what_was_broken_off_goes_on(tmp_path, capsys):
    log, keep = tmp_path / "log", tmp_path / "kept"
    (tmp_path / "stop").touch()
    way = recipe(log, keep=str(keep), method="stereo")
    with pytest.raises(KeyboardInterrupt):
        scan(Capture(photos()), way)
    assert log.read_text().split() == ["poses", "stereo", "fusion"]
    assert len(list(keep.iterdir())) == 2
    (tmp_path / "stop").unlink()
    whole = scan(Capture(photos()), way)
    assert log.read_text().split() == ["poses", "stereo", "fusion", "fusion"]
    assert whole.report.to_dict()["pictures"]["sure"]["value"] == 0.9
    broken = next(keep.glob("stereo*"))
    broken.write_bytes(broken.read_bytes()[:1000])
    scan(Capture(photos()), way)
    assert log.read_text().split()[4:] == ["stereo", "fusion"]
    scan(Capture(photos()), way.with_options(seed=3))
    assert log.read_text().split()[6:] == ["poses", "stereo", "fusion"]


def test_what_is_kept_is_all_that_was_found():
    capture = stereo(FakeOptions(), Runtime())(poses(FakeOptions(), Runtime())(Capture(photos(), metric=True)))
    bare = replace(capture, photos=tuple(replace(p, camera=None, lens=None, depth=None) for p in capture.photos))
    again = kept.restored(replace(bare, sparse=None, decisions=()), kept.packed(capture))
    assert (again.metric, again.decisions) == (True, capture.decisions)
    np.testing.assert_array_equal(again.sparse.points, capture.sparse.points)
    for a, b in zip(again.photos, capture.photos, strict=True):
        np.testing.assert_array_equal(a.camera.world_from_camera, b.camera.world_from_camera)
        np.testing.assert_array_equal(a.depth.z, b.depth.z)
        assert a.lens == b.lens


def test_finished_sets_are_not_made_again(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    thing(folder / "a.png")
    job = batch.Job(folder, tmp_path / "set.glb")
    (first,) = batch.run([job], liftform.Recipe(), sets=recipe(method="stereo"))
    assert first.state == "failed"
    assert isinstance(first.error, LiftformError)
    assert [p.name for p in tmp_path.iterdir()] == ["set"]
