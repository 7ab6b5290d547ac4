"""Scenes: depth to a mesh that renders the same depth; torn at steps and nowhere else; filled; upright; decided."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import synthetic
from hypothesis import given, settings
from hypothesis import strategies as st

from liftform.camera import Camera
from liftform.capture import Capture, Depth, Mask, Photo
from liftform.errors import NothingFoundError, OutputError, ReconstructionError, UsageError, WeightsError
from liftform.pipeline import OBJECT_STAGES, SCENE_STAGES, STAGES, make
from liftform.reconstruct.relief import ReliefOptions, points, relief
from liftform.reconstruct.tears import torn_edges
from liftform.reconstruct.triangles import cut, split_costs
from liftform.refine.scale import ScaleOptions, scale
from liftform.render import render
from liftform.report import report
from liftform.runtime import Runtime
from liftform.understand import depth as depth_stage
from liftform.understand.depth import DepthOptions, Reading, depth, sharpened
from liftform.understand.gravity import normals_of, pose, upright
from liftform.understand.subject import SubjectOptions, subject, weighed
from liftform.zoo import weights

WIDTH, HEIGHT = 160, 120


def photo_of(z, camera=None, image=None, **fields) -> Photo:
    height, width = z.shape
    camera = camera or Camera.from_fov(width, height, np.radians(50.0))
    if image is None:
        image = np.random.default_rng(0).random((height, width, 3)).astype(np.float32)
    found = Depth(z.astype(np.float32), **fields)
    return Photo(image, original_size=(width, height), depth=found, camera=camera)


def lifted(photo, **options):
    return relief(ReliefOptions(**options), Runtime())(Capture((photo,)))


def seen_again(mesh, photo):
    return render(mesh, photo.camera, "unlit")


# -- meshing --------------------------------------------------------------------------------------------------------


def test_a_room_renders_the_depth_and_the_picture_it_was_made_of():
    camera = Camera.from_fov(WIDTH, HEIGHT, np.radians(60.0))
    camera = replace(camera, world_from_camera=pose(np.radians(12), np.radians(3)))
    room = synthetic.room_depth(camera)
    smooth = np.broadcast_to(np.linspace(0.2, 0.8, WIDTH, dtype=np.float32)[None, :, None], (HEIGHT, WIDTH, 3))
    photo = photo_of(room, camera, np.ascontiguousarray(smooth))
    mesh = lifted(photo)
    view = seen_again(mesh, photo)
    assert view.mask.mean() > 0.999
    error = np.abs(view.depth / room - 1)
    assert np.nanmax(error) < 0.01
    assert np.nanmedian(error) < 0.002
    assert np.abs(view.image[..., :3] - photo.image)[2:-2, 2:-2].max() < 0.02
    assert len(mesh.faces) < 0.4 * WIDTH * HEIGHT  # walls are flat
    assert (mesh.seen == 1).all()
    towards = (mesh.vertices[mesh.faces].mean(1) * mesh.face_normals()).sum(1)  # the camera is at the origin
    assert (towards < 0).all()
    assert mesh.metadata["floor"] == pytest.approx(-1.4, abs=0.03)


@pytest.mark.parametrize("width", [96, 200, 640])
def test_a_step_tears_at_any_resolution_and_a_grazing_plane_does_not(width):
    camera = Camera.from_fov(width, width, np.radians(60.0))
    y = (np.arange(width) + 0.5 - width / 2) / camera.fy
    floor = 1.0 / np.maximum(y + 0.62, 0.03)  # towards a horizon just above the picture: 1 m to over 20 m
    plane = np.repeat(floor[:, None], width, 1)
    right, down = torn_edges(1 / plane, 1 / camera.fx, 1 / camera.fy)
    assert not right.any()
    assert not down.any()
    step = np.full((width, width), 2.0)
    step[:, : width // 2] = 1.8
    right, down = torn_edges(1 / step, 1 / camera.fx, 1 / camera.fy)
    assert right[:, width // 2 - 1].all()
    assert right.sum() == width
    assert not down.any()
    mesh = lifted(photo_of(step, camera))
    from liftform.topology import components

    assert len(np.unique(components(mesh.faces))) == 2


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 0.1), st.floats(0.2, 30))
def test_any_threshold_cuts_without_cracks(seed, share, threshold):
    rng = np.random.default_rng(seed)
    height, width, block = 33, 49, 16
    w = 1 + 0.3 * rng.random((height, width))
    forced = rng.random((height, width)) < share
    triangles = cut(split_costs(w, forced, block), threshold, block)
    y, x = np.divmod(triangles, width)
    area = ((x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (x[:, 2] - x[:, 0]) * (y[:, 1] - y[:, 0])) / 2
    assert (area > 0).all()
    assert area.sum() == (height - 1) * (width - 1)
    edges = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), 1)
    edges, count = np.unique(edges, axis=0, return_counts=True)
    row, column = np.divmod(edges[count == 1], width)
    rim = (row == 0).all(1) | (row == height - 1).all(1) | (column == 0).all(1) | (column == width - 1).all(1)
    assert count.max() <= 2
    assert rim.all()
    used = np.zeros(height * width, bool)
    used[triangles] = True
    assert used.reshape(height, width)[forced].all()


def test_sky_is_left_out_and_specks_are_dropped():
    z = np.full((HEIGHT, WIDTH), 4.0)
    z[:50] = np.nan
    z[10:13, 10:13] = 9.0  # a bird
    photo = photo_of(z)
    view = seen_again(lifted(photo), photo)
    assert not view.mask[:48].any()
    assert view.mask[52:].all()


def test_a_budget_is_kept_even_where_everything_is_torn():
    rng = np.random.default_rng(0)
    z = rng.uniform(1, 20, (64, 96))
    for faces in (100, 2000):
        for fill in (False, True):
            try:
                assert len(lifted(photo_of(z), faces=faces, fill=fill).faces) <= faces
            except ReconstructionError:
                assert faces == 100  # nothing but tears is left of the coarsest grid


def box_before_wall():
    z = np.full((HEIGHT, WIDTH), 4.0)
    z[40:80, 60:100] = 2.0
    return z


def test_fill_closes_what_a_moved_camera_would_see_through():
    image = np.full((HEIGHT, WIDTH, 3), 0.25, np.float32)
    image[40:80, 60:100] = 0.9
    photo = photo_of(box_before_wall(), image=image)
    moved = photo.camera.world_from_camera.copy()
    moved[0, 3] += 0.25
    aside = replace(photo.camera, world_from_camera=moved)
    inner = np.s_[10:-10, 10:-30]
    torn = render(lifted(photo), aside, "unlit")
    assert (~torn.mask[inner]).sum() > 200
    mesh = lifted(photo, fill=True)
    filled = render(mesh, aside, "unlit")
    assert filled.mask[inner].all()
    hidden = ~torn.mask & filled.mask
    hidden[:10], hidden[-10:], hidden[:, :10], hidden[:, -30:] = False, False, False, False
    assert np.nanmedian(np.abs(filled.depth[hidden] - 4.0)) < 0.02
    assert np.median(np.abs(filled.image[hidden][:, :3] - 0.25)) < 0.03  # the wall's colour, not the box's
    assert (mesh.seen == 0).sum() > 0
    # From where the photo was taken nothing of what was invented shows, but for the rim of the box.
    assert np.abs(seen_again(mesh, photo).depth / photo.depth.z - 1 > 0.02).mean() < 0.03


@pytest.mark.parametrize("fill", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 3), (17, 1000)])
def test_odd_shapes_of_depth_are_meshed(shape, fill):
    image = np.full((*shape, 3), 0.5, np.float32)
    mesh = lifted(photo_of(np.full(shape, 3.0), Camera.from_fov(shape[1], shape[0], 0.8), image), fill=fill)
    assert mesh.vertices[:, 2] == pytest.approx(3.0, abs=1e-5)  # the camera's own frame


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, 0.0])
def test_a_picture_without_usable_depth_is_a_clear_error(value):
    photo = photo_of(np.full((40, 40), value))
    with pytest.raises(ReconstructionError, match="array"):
        lifted(photo)
    with pytest.raises(ReconstructionError):
        points(photo)


def test_relief_asks_for_depth_and_camera_and_repeats_itself():
    with pytest.raises(UsageError, match="depth"):
        relief(ReliefOptions(), Runtime())(Capture((Photo(np.zeros((20, 20, 3), np.float32)),)))
    one, two = (lifted(photo_of(box_before_wall()), fill=True) for _ in range(2))
    assert np.array_equal(one.vertices, two.vertices)
    assert np.array_equal(one.material.base_color_texture, two.material.base_color_texture)


def test_points_lie_where_the_depth_says_and_have_the_pixels_colours():
    photo = photo_of(box_before_wall())
    cloud = points(photo)
    pixels, z = photo.camera.project(cloud.points)
    column, row = np.floor(pixels).astype(int).T
    assert len(cloud.points) == WIDTH * HEIGHT
    assert np.allclose(z, photo.depth.z[row, column], rtol=1e-5)
    assert np.allclose(cloud.colors, photo.image[row, column])


# -- upright, size, report -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("elevation", "roll"), [(0, 0), (25, -4), (-15, 5), (45, 0)])
def test_gravity_is_found_in_a_room(elevation, roll):
    camera = Camera.from_fov(WIDTH, HEIGHT, np.radians(60.0))
    camera = replace(camera, world_from_camera=pose(np.radians(elevation), np.radians(roll)))
    found = Depth(synthetic.room_depth(camera).astype(np.float32))
    e, r, agreement = upright(found, camera)
    assert np.degrees([e, r]) == pytest.approx([elevation, roll], abs=1.5)
    assert agreement > 0.5
    assert upright(found, camera, np.radians(elevation))[0] == pytest.approx(np.radians(elevation))


def test_a_ball_of_all_directions_says_nothing_of_gravity():
    y, x = np.mgrid[-1:1:101j, -1:1:101j]
    inside = x**2 + y**2 < 0.95
    normals = np.stack([x, y, -np.sqrt(np.maximum(1 - x**2 - y**2, 0))], -1) * inside[..., None]
    found = upright(
        Depth(np.ones((101, 101), np.float32), normals=normals.astype(np.float32)), Camera.from_fov(9, 9, 1)
    )
    assert found[1:] == (0.0, 0.0) or found[2] < 0.5


def test_normals_of_a_wall_face_the_camera():
    normals = normals_of(np.full((20, 30), 2.0), Camera.from_fov(30, 20, 1.0))
    assert np.allclose(normals[1:-1, 1:-1], (0, 0, -1), atol=1e-6)


def test_a_scenes_metres_are_a_guess_until_they_are_given():
    photo = photo_of(box_before_wall())
    capture, dense = Capture((photo,)), lifted(photo)
    for options, kind, factor in (
        (ScaleOptions(), "guess", 1.0),
        (ScaleOptions(distance_m=6.0), "metric", 3.0),  # the box in the middle is 2 away
        (ScaleOptions(height_m=2 * np.ptp(dense.vertices[:, 1])), "metric", 2.0),
    ):
        mesh = scale(options, Runtime())(dense)
        facts = report(mesh, capture)
        assert np.ptp(mesh.vertices[:, 0]) == pytest.approx(factor * np.ptp(dense.vertices[:, 0]), rel=1e-4)
        assert facts.scale == kind
        assert any("guess" in line for line in facts.warnings) == (kind == "guess")
    metric = photo_of(box_before_wall(), scale="metric")
    assert report(scale(ScaleOptions(), Runtime())(lifted(metric)), capture).scale == "metric"
    affine = scale(ScaleOptions(), Runtime())(lifted(photo_of(box_before_wall(), scale="affine")))
    assert np.ptp(affine.vertices, axis=0).max() == pytest.approx(1.0)
    assert report(affine, capture).scale == "unknown"


def test_nobody_asks_of_a_scene_to_be_closed():
    photo = photo_of(box_before_wall())
    facts = report(scale(ScaleOptions(), Runtime())(lifted(photo)), Capture((photo,)))
    said = json.dumps(facts.to_dict())
    assert "not watertight" not in said
    assert {f.use: f.fit for f in facts.fitness}["printing"] == "no"
    assert facts.to_dict()["kind"] == "scene"
    with pytest.raises(UsageError, match="--distance"):
        scale(ScaleOptions(distance_m=1.0), Runtime())(synthetic.box())


# -- the network's answer --------------------------------------------------------------------------------------------


def reading_of(z, sky=None, tan_half=0.6) -> Reading:
    flat = np.zeros((*z.shape, 3), np.float32)
    flat[..., 2] = -1
    none = np.zeros(z.shape, np.float32)
    return Reading(z.astype(np.float32), flat, none if sky is None else sky, none + 0.1, tan_half)


def test_smeared_steps_become_steps_along_edges_of_colour():
    z = np.full((48, 64), 1.0)
    z[:, 32:] = 3.0
    z[:, 31:34] = (1.3, 1.8, 2.6)  # a network's soft step
    guide = np.zeros((144, 192, 3), np.float32)
    guide[:, 97:] = 1.0  # the true edge
    found = sharpened(reading_of(z), guide)
    between = (found.z > 1.15) & (found.z < 2.7)
    assert between.mean() == 0
    assert np.abs((found.z > 2).argmax(1) - 97).max() <= 2


def test_planes_are_not_sharpened_and_sky_becomes_unknown():
    w = 0.1 + 0.01 * np.arange(48)[:, None] + np.zeros((1, 64))
    sky = np.zeros((48, 64), np.float32)
    sky[:16] = 1
    guide = np.full((144, 192, 3), 0.3, np.float32)
    guide[:48] = 0.9
    found = sharpened(reading_of(1 / w, sky), guide)
    assert np.isnan(found.z[:44]).all()
    below = found.z[60:-6]
    assert np.diff(1 / below, axis=0) == pytest.approx(0.01 / 3, rel=0.05)


class Session:
    """The embedded network's contract: a floor that recedes, at half the input's size."""

    def __init__(self):
        self.shapes = []

    def get_outputs(self):
        return [SimpleNamespace(name=n) for n in ("depth", "normals", "sky", "spread", "fov")]

    def run(self, names, feed):
        _, channels, height, width = feed["image"].shape
        self.shapes.append((width, height))
        assert channels == 3
        assert 0 <= feed["image"].min() <= feed["image"].max() <= 1
        camera = Camera(width // 2, height // 2, width / 2, width / 2, width / 4, height / 4)
        z = synthetic.room_depth(replace(camera, world_from_camera=pose(0.2, 0.0)))[None, None].astype(np.float32)
        normals = normals_of(z[0, 0], camera).transpose(2, 0, 1)[None]
        return [z, normals, 0 * z, 0 * z + 0.1, np.array([0.5], np.float32)]


@pytest.fixture
def network(monkeypatch) -> Session:
    session, real = Session(), weights.session
    monkeypatch.setattr(weights, "session", lambda name, threads=0: session if name == "depth" else real(name, threads))
    return session


@pytest.mark.parametrize(("size", "fed"), [((640, 480), (192, 144)), ((300, 1000), (64, 192)), ((16, 16), (192, 192))])
def test_the_network_reads_multiples_of_32_in_the_pictures_shape(network, size, fed):
    image = np.full((size[1], size[0], 3), 0.4, np.float32)
    capture = depth(DepthOptions(), Runtime())(Capture((Photo(image),)))
    assert network.shapes == [fed, fed]  # the picture and its mirror image
    found = capture.photo.depth
    assert found.scale == "relative"
    assert found.tan_half == 0.5
    assert found.z.shape[0] / found.z.shape[1] == pytest.approx(size[1] / size[0], rel=0.05)
    assert capture.decisions[-1].what == "depth"
    assert depth_stage.depth_of(image).shape == (fed[1] // 2, fed[0] // 2)


def test_a_picture_read_both_ways_gives_the_mirror_image_of_its_mirror_images_depth():
    image = np.random.default_rng(1).random((96, 144, 3)).astype(np.float32)
    a, b = depth_stage.read(image, 96, True), depth_stage.read(np.ascontiguousarray(image[:, ::-1]), 96, True)
    assert b.z[:, ::-1] == pytest.approx(a.z, rel=1e-4)
    assert b.normals[:, ::-1] * (-1, 1, 1) == pytest.approx(a.normals, abs=1e-3)
    once = depth_stage.read(image, 96, False)
    assert np.abs(once.z / a.z - 1).max() > 1e-3  # one look alone says something else


# -- the whole road --------------------------------------------------------------------------------------------------


def test_make_lifts_a_scene_by_its_own_stages(network, tmp_path):
    image = np.random.default_rng(0).random((120, 160, 3)).astype(np.float32)
    events = []
    result = make(image, as_="scene", faces=4000, progress=lambda stage, fraction: events.append(stage))
    walked = list(dict.fromkeys(events))
    assert set(SCENE_STAGES) <= set(walked)
    assert not set(OBJECT_STAGES) & set(walked)
    assert set(walked) <= set(STAGES)
    assert len(result.mesh.faces) <= 4000
    assert result.mesh.bounds[0, 1] == pytest.approx(0, abs=0.05)  # it stands on its floor
    assert result.capture.photo.camera.fx == pytest.approx(160)  # tan of half the angle is 0.5
    said = {d.what: d for d in result.capture.decisions}
    assert (said["subject"].value, said["subject"].origin) == ("scene", "given")
    assert said["camera tilt"].value["down"] == pytest.approx(np.degrees(0.2), abs=1.5)
    cloud = result.points()
    low, high = result.mesh.bounds
    assert ((cloud.points > low - 0.1) & (cloud.points < high + 0.1)).all()
    (asset, *_) = result.save(tmp_path / "scene.ply", points=True)
    assert b"element vertex 19200" in asset.read_bytes()[:300]
    with pytest.raises(OutputError, match=r"\.ply"):
        result.save(tmp_path / "scene.glb", points=True)
    assert result.save(tmp_path / "scene.glb")[0].stat().st_size > 10_000
    assert result.report.kind == "scene"


# -- object or scene -------------------------------------------------------------------------------------------------


def stage(photo=None, error=None):
    """A stage that gives this photo, or fails; ``ran`` counts."""

    def run(capture):
        run.ran += 1
        if error:
            raise error
        return capture.learned(replace(capture.photo, **photo))

    run.ran = 0
    return run


def mask_of(alpha, confidence):
    return {"mask": Mask(alpha.astype(np.float32), np.zeros((*alpha.shape, 3), np.float32), confidence)}


def disc(radius=0.25, shape=(60, 80)):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.hypot(y - shape[0] / 2, x - shape[1] / 2) < radius * shape[1]


def decided(photo, mask, deep, kind="auto", marked=False):
    found = subject(Capture((photo,)), mask, deep, marked, SubjectOptions(kind), Runtime())
    (said,) = [d for d in found.decisions if d.what == "subject"]
    return found, said.value if isinstance(said.value, str) else said.value["kind"], said.origin


BUSY = Photo(np.random.default_rng(1).random((60, 80, 3)).astype(np.float32))


def test_what_is_told_or_plain_costs_no_depth():
    flat = {"depth": Depth(np.ones((60, 80), np.float32))}
    clear, unsure = mask_of(disc(), 0.9), mask_of(disc(), 0.3)
    for photo, mask, kind, marked, origin in (
        (replace(BUSY, alpha=disc().astype(np.float32)), unsure, "auto", False, "file"),
        (BUSY, unsure, "auto", True, "given"),
        (BUSY, unsure, "object", False, "given"),
        (BUSY, clear, "auto", False, "estimated"),
    ):
        deep = stage(flat)
        found, said, why = decided(photo, stage(mask), deep, kind, marked)
        assert (said, why, deep.ran) == ("object", origin, 0)
        assert not found.photo.is_scene
    found, said, why = decided(BUSY, stage(clear), stage(flat), "scene")
    assert (said, why, found.photo.is_scene) == ("scene", "given", True)


def test_no_object_means_a_scene_but_a_plain_picture_shows_nothing():
    nothing = stage(error=NothingFoundError("photo: no object found", "pick"))
    flat = stage({"depth": Depth(np.ones((60, 80), np.float32))})
    assert decided(BUSY, nothing, flat)[1] == "scene"
    with pytest.raises(NothingFoundError):
        decided(Photo(np.full((60, 80, 3), 0.5, np.float32)), nothing, flat)
    found, said, why = decided(BUSY, stage(mask_of(disc(), 0.3)), stage(error=WeightsError("no network")))
    assert (said, why) == ("object", "guessed")
    assert found.photo.mask is not None


def test_doubt_is_settled_by_the_depth():
    camera = Camera.from_fov(80, 60, np.radians(60.0))
    room = Depth(synthetic.room_depth(camera).astype(np.float32))
    before = room.z.copy()
    before[disc()] = 0.8
    lump, thing = mask_of(disc(0.45), 0.82)["mask"], mask_of(disc(), 0.82)["mask"]
    assert weighed(lump, room)[0] == "scene"
    kind, figures, note = weighed(thing, replace(room, z=before))
    assert kind == "object"
    assert figures["stands out"] < 0
    assert "--as scene" in note
