"""Things of known size beside an object: found, told apart, refused; and the size that comes of them."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw
from synthetic import box

from liftform import runtime
from liftform.assets import Mesh
from liftform.camera import Camera
from liftform.capture import Capture, Depth, Mask, Photo
from liftform.errors import MissingExtraError, NothingFoundError, UsageError
from liftform.evaluate import size
from liftform.refine.yardstick import measured
from liftform.runtime import Runtime
from liftform.understand import reference as module
from liftform.understand.quads import quads
from liftform.understand.reference import ReferenceOptions, rectified, reference

#: 30 x 40 x 25 cm, standing on the floor.
THING = box((0.30, 0.40, 0.25), centre=(0.0, 0.20, 0.0))


@functools.cache
def case(kind: str, seed: int = 0) -> size.View:
    return size.view(THING, kind, np.random.default_rng(seed), kind, (640, 480))


def found_in(view: size.View, **options) -> Capture:
    return reference(ReferenceOptions(**options), Runtime())(size.known(view.capture))


@pytest.mark.parametrize(("kind", "seed"), [("a4", 0), ("letter", 1), ("card", 2), ("aruco", 3), ("apriltag", 4)])
def test_the_size_comes_back(kind: str, seed: int) -> None:
    pytest.importorskip("cv2")
    result = size.by_geometry(case(kind, seed))
    assert abs(result.error) < 0.03, result.why
    assert abs(result.error) < 3 * result.expected


def test_the_camera_looks_down_as_the_reference_says() -> None:
    view = case("a4")
    truth = view.capture.photo.camera
    assert truth is not None
    tilted = replace(truth, world_from_camera=np.eye(4))  # what the network thought, wrongly
    wrong = replace(view.capture, photos=(replace(view.capture.photo, camera=tilted),))
    seen = found_in(replace(view, capture=wrong), kind="a4").photo.camera
    assert seen is not None
    up_true, up_seen = truth.camera_from_world[:3, 1], seen.camera_from_world[:3, 1]
    assert np.degrees(np.arccos(up_true @ up_seen)) < 2.0


def test_a_marker_without_its_side_gives_tilt_but_no_size() -> None:
    pytest.importorskip("cv2")
    view = case("aruco", 3)
    capture = found_in(view, kind="aruco")
    assert "not the size" in next(d.note for d in capture.decisions if d.what == "reference")
    assert capture.photo.reference is not None
    assert capture.photo.reference.size_m is None
    assert "factor" not in measured(THING, capture.photo).metadata["reference"]


def sheet_alone(kind: str, elevation: float, distance: float) -> Capture:
    """A white sheet on grey, 640 x 480 px, drawn with soft edges; its camera is known."""
    camera = Camera.orbit(480, 0.8, 0.3, elevation, distance)
    camera = Camera.from_fov(640, 480, 0.8, camera.world_from_camera)
    long, short = module.SHEETS[kind]
    corners = np.array([[-1, 0, -1], [1, 0, -1], [1, 0, 1], [-1, 0, 1]]) * np.array([long, 0, short]) / 2
    pixels, _ = camera.project(corners)
    canvas = Image.new("L", (640 * 6, 480 * 6), 90)
    ImageDraw.Draw(canvas).polygon([tuple(p) for p in pixels * 6], fill=235)
    image = np.repeat(np.asarray(canvas.resize((640, 480), Image.Resampling.BOX), np.float32)[..., None] / 255, 3, -1)
    return Capture((Photo(image, camera=camera),))


@pytest.mark.parametrize("kind", ["a4", "letter"])
def test_auto_tells_a4_from_letter(kind: str) -> None:
    photo = reference(ReferenceOptions("auto"), Runtime())(size.known(sheet_alone(kind, 0.8, 0.6))).photo
    assert photo.reference is not None
    assert photo.reference.kind == kind


def test_auto_asks_when_the_picture_cannot_tell() -> None:
    far = sheet_alone("a4", 0.6, 1.0)
    undecided = reference(ReferenceOptions("auto"), Runtime())(far)
    assert undecided.photo.reference is None
    assert "say --reference" in undecided.decisions[-1].note
    assert "a4" in undecided.decisions[-1].value


def test_a_scene_is_measured_where_the_reference_lies() -> None:
    capture = sheet_alone("a4", 0.6, 0.8)
    photo = reference(ReferenceOptions("a4"), Runtime())(size.known(capture)).photo
    assert photo.camera is not None
    camera = replace(photo.camera, world_from_camera=np.eye(4))
    _, rays = capture.photo.camera.rays()
    z = capture.photo.camera.position[1] / -rays[..., 1]  # of the floor on which the sheet lies
    x, y = np.meshgrid(np.arange(0, 640, 8), np.arange(200, 480, 8))
    points = camera.unproject(np.stack([x, y], -1) + 0.5, z[y, x]).reshape(-1, 3)
    half = Mesh((points / 2).astype(np.float32), np.array([[0, 1, 2]], np.int32))
    scene = replace(photo, camera=camera, mask=None, depth=Depth(z.astype(np.float32)))
    facts = measured(half, scene).metadata["reference"]
    assert facts["factor"] == pytest.approx(2.0, rel=0.02)


def test_rectified_is_what_was_printed() -> None:
    pytest.importorskip("cv2")
    view = case("apriltag", 4)
    photo = found_in(view, kind="apriltag", marker_m=view.marker_m).photo
    assert photo.reference is not None
    crop = rectified(photo.image, photo.reference, 80)
    assert crop.shape == (80, 80, 3)
    rim = np.concatenate([crop[3:7, 5:-5].reshape(-1, 3), crop[5:-5, 3:7].reshape(-1, 3)])
    assert rim.max() < 0.3  # the border of an AprilTag is black all round


def plain(width: int = 320, height: int = 240) -> Capture:
    image = np.full((height, width, 3), 0.5, np.float32)
    return Capture((Photo(image, camera=Camera.from_fov(width, height, 0.8)),))


def test_what_is_not_there_is_said() -> None:
    with pytest.raises(NothingFoundError, match="no A4 sheet was found"):
        reference(ReferenceOptions("a4"), Runtime())(plain())
    found = reference(ReferenceOptions("auto"), Runtime())(plain())
    assert found.photo.reference is None
    assert found.decisions[-1].value == "none"
    assert reference(ReferenceOptions(), Runtime())(plain()).decisions == ()


def test_a_poster_on_the_wall_is_no_sheet_on_the_table() -> None:
    camera = Camera.from_fov(640, 480, 0.8)
    capture = plain(640, 480)
    image = capture.photo.image.copy()
    image[150 : 150 + 140, 220 : 220 + 198] = 0.95  # an upright white rectangle of A4's shape, seen squarely
    poster = Capture((replace(capture.photo, image=image, camera=camera),))
    assert quads(image)
    with pytest.raises(NothingFoundError):
        reference(ReferenceOptions("a4"), Runtime())(size.known(tilted_up(poster)))


def tilted_up(capture: Capture) -> Capture:
    """The same picture with the rectangle narrower below, as seen from under it."""
    image = capture.photo.image
    rows = np.arange(image.shape[0])
    out = np.full_like(image, 0.5)
    for y in rows[150:290]:
        half = 99 - (y - 150) * 0.15
        out[y, round(319 - half) : round(319 + half)] = 0.95
    return replace(capture, photos=(replace(capture.photo, image=out),))


def test_a_sheet_taken_for_the_object_is_cut_from_the_mask() -> None:
    capture = sheet_alone("a4", 0.8, 0.9)
    image = capture.photo.image.copy()
    image[30:130, 40:140] = (0.6, 0.1, 0.1)
    thing = np.zeros((480, 640), np.float32)
    thing[30:130, 40:140] = 1
    sheet = (image.min(2) > 0.7).astype(np.float32)
    for alpha, left in ((np.maximum(thing, sheet), 10_000), (sheet, None)):
        photo = replace(capture.photo, image=image, mask=Mask(alpha, image, 0.9))
        seen = size.known(replace(capture, photos=(photo,)))
        if left is None:
            with pytest.raises(NothingFoundError, match="itself was taken for the object"):
                reference(ReferenceOptions("a4"), Runtime())(seen)
            continue
        mask = reference(ReferenceOptions("a4"), Runtime())(seen).photo.mask
        assert mask is not None
        assert (mask.alpha > 0.5).sum() == left
        assert np.array_equal(mask.alpha > 0.5, thing > 0.5)


def test_wrong_wishes() -> None:
    with pytest.raises(UsageError, match="--marker is for printed markers"):
        reference(ReferenceOptions("a4", 0.05), Runtime())
    with pytest.raises(UsageError, match="camera"):
        reference(ReferenceOptions("a4"), Runtime())(Capture((Photo(np.zeros((20, 20, 3), np.float32)),)))


def test_markers_without_opencv_name_the_extra(monkeypatch) -> None:
    def absent(name: str):
        raise ImportError(name)

    monkeypatch.setattr(runtime.importlib, "import_module", absent)
    with pytest.raises(MissingExtraError, match=r"liftform\[markers\]"):
        reference(ReferenceOptions("aruco"), Runtime())(plain())


def test_paper_is_white() -> None:
    view = case("card", 2)  # dark blue
    with pytest.raises(NothingFoundError):
        found_in(view, kind="a4")
    assert module.SHEETS["card"] == (0.0856, 0.05398)
