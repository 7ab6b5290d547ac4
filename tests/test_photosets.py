"""Photo sets: what is read from disk and films, cameras found, checked, turned upright, and written."""

from __future__ import annotations

import functools
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates

from liftform.camera import Camera
from liftform.capture import Capture, Mask, Photo
from liftform.conventions import GL_FROM_CV, linear_to_srgb
from liftform.errors import InputError, InputNotFoundError, LiftformError, OutputError, UnreadableError, UsageError
from liftform.evaluate.poses import compared, similarity
from liftform.lens import Lens, bent, undistorted
from liftform.load import PhotosOptions, photos
from liftform.photoset import posed, sources, video
from liftform.poses import Poses, poses
from liftform.runtime import Runtime
from liftform.understand.poses import agreement, looks, world
from liftform.understand.poses.mapping import Model
from liftform.understand.poses.matching import Pair

# -- a scene with known cameras ---------------------------------------------------------------------------------------


def looking(eye, at=(0.0, 0.6, 0.0)) -> np.ndarray:
    """world_from_camera of a level camera at ``eye`` that looks at ``at``."""
    eye = np.asarray(eye, float)
    z = np.asarray(at) - eye
    z /= np.linalg.norm(z)
    x = np.cross(z, [0.0, 1.0, 0.0])
    x /= np.linalg.norm(x)
    pose = np.eye(4)
    pose[:3] = np.stack([x, np.cross(z, x), z, eye], -1)
    return pose


def arc(count: int) -> list[np.ndarray]:
    """Cameras on a quarter of a circle about the corner of the room."""
    return [
        looking((2.6 * np.sin(a), 1.2 + 0.15 * (i % 3), 2.6 * np.cos(a)))
        for i, a in enumerate(np.linspace(0.35, 1.2, count))
    ]


@functools.cache
def texture(seed: int) -> np.ndarray:
    """Noise of two sizes (512, 512, 3), mean 0.5."""
    white = np.random.default_rng(seed).random((512, 512, 3))
    noise = [gaussian_filter(white, (s, s, 0), mode="wrap") for s in (1.2, 5.0)]
    return sum((n - n.mean()) / n.std() for n in noise) * 0.12 + 0.5


def room(camera: Camera, seed: int = 0) -> np.ndarray:
    """A corner of three patterned planes, y = 0, x = -1, z = -1, as the camera sees it (H, W, 3) float32."""
    origin, rays = camera.rays()
    image, nearest = np.zeros((*rays.shape[:2], 3)), np.full(rays.shape[:2], np.inf)
    for axis, height in ((1, 0.0), (0, -1.0), (2, -1.0)):
        with np.errstate(divide="ignore", invalid="ignore"):
            t = (height - origin[axis]) / rays[..., axis]
        front = (t > 0) & (t < nearest)
        nearest[front] = t[front]
        hit = origin + t[front][:, None] * rays[front]
        at = np.delete(hit, axis, 1).T * 100
        pattern = texture(3 * seed + axis)
        image[front] = np.stack([map_coordinates(pattern[..., c], at, order=1, mode="grid-wrap") for c in range(3)], -1)
    return np.clip(image, 0, 1).astype(np.float32)


LENS = Lens(256, 192, 240.0, 240.0, 128.0, 96.0)
POSES = arc(6)


@pytest.fixture(scope="module")
def shot() -> tuple[Photo, ...]:
    """Six pictures of the corner, the fourth half a stop darker, and one of another place."""
    cameras = [LENS.camera(pose) for pose in POSES]
    images = [room(camera) for camera in cameras] + [room(cameras[0], seed=9)]
    images[3] = images[3] * np.float32(0.5**0.5 ** (1 / 2.2))
    return tuple(Photo(image, source=f"{i}.png", original_size=(256, 192), lens=LENS) for i, image in enumerate(images))


@pytest.fixture(scope="module")
def placed(shot) -> Poses:
    pytest.importorskip("pycolmap")
    return poses(Capture(shot), distance="0.png,5.png=1.5m")


def test_cameras_of_a_rendered_corner_are_found(placed):
    photos = placed.capture.photos
    assert [p.camera is not None for p in photos] == [True] * 6 + [False]
    found = np.array([p.camera.world_from_camera for p in photos[:6]])
    mean, _, share, turn = compared(found, np.array(POSES))
    assert share < 0.004, mean
    assert turn < 0.2
    up = found[:, :3, 1]
    assert np.abs(up - np.array(POSES)[:, :3, 1]).max() < 0.7  # azimuth is free, up is not:
    np.testing.assert_allclose(up[:, 1], np.array(POSES)[:, 1, 1], atol=0.02)


def test_the_world_has_its_floor_front_and_metres(placed):
    photos = placed.capture.photos
    assert placed.capture.metric
    first, last = photos[0].camera.position, photos[5].camera.position
    assert np.linalg.norm(first - last) == pytest.approx(1.5, rel=1e-9)
    metre = 1.5 / np.linalg.norm(POSES[0][:3, 3] - POSES[5][:3, 3])
    assert placed.decided("floor").value
    assert first[1] == pytest.approx(POSES[0][1, 3] * metre, abs=0.02)
    assert abs(first[0]) < 0.05 * first[2]


def test_a_picture_of_another_place_is_named(placed):
    left = placed.decided("not placed")
    assert left.value == "6.png"
    assert "share nothing" in left.note


def test_what_is_written_is_read_back(placed, tmp_path):
    written = placed.save(tmp_path / "poses.json")
    assert [p.name for p in written[-2:]] == ["poses.json", "poses.points.ply"]
    (tmp_path / "poses.json").rename(tmp_path / "transforms.json")
    again = posed.read_photo_set(tmp_path)
    assert len(again.photos) == 6
    assert [p.name for p in again.unposed] == ["6.jpg"]
    assert len(again.points) == len(placed.capture.sparse.points)
    for photo, read in zip(placed.capture.photos, again.photos, strict=False):
        np.testing.assert_allclose(photo.camera.world_from_camera, read.camera.world_from_camera, atol=1e-9)
        assert read.camera.fx == pytest.approx(LENS.fx)
    frames = json.loads((tmp_path / "transforms.json").read_text())["frames"]
    assert all((tmp_path / frame["file_path"]).is_file() for frame in frames)
    with pytest.raises(OutputError, match="overwritten"):
        placed.save(tmp_path / "transforms.json")
    with pytest.raises(OutputError, match="cameras are written as"):
        placed.save(tmp_path / "poses.txt")


def test_given_cameras_are_kept_and_wrong_ones_named(shot):
    pytest.importorskip("pycolmap")
    right = tuple(replace(shot[i], camera=LENS.camera(POSES[i]), posed=True) for i in range(3))
    found = poses(Capture(right), scale=2.0)
    gap = np.linalg.norm(found.capture.photos[0].camera.position - found.capture.photos[2].camera.position)
    assert gap == pytest.approx(2 * np.linalg.norm(POSES[0][:3, 3] - POSES[2][:3, 3]))
    assert found.decided("poses").origin == "file"
    wrong = tuple(replace(p, camera=LENS.camera(p.camera.world_from_camera @ GL_FROM_CV)) for p in right)
    with pytest.raises(InputError, match="--convention other"):
        poses(Capture(wrong))


def test_two_pictures_are_placed_but_not_believed(shot):
    pytest.importorskip("pycolmap")
    found = poses(Capture(shot[1:3]))
    assert found.placed == 2
    assert found.decided("sure").value <= 0.5
    assert found.decided("scale").value == "unknown"
    with pytest.raises(LiftformError, match="no two of the 2 pictures show the same place"):
        poses(Capture((shot[0], shot[6])))
    with pytest.raises(UsageError, match="no picture"):
        poses(Capture(shot[:2]), distance="x.png,1.png=1m")


# -- geometry ---------------------------------------------------------------------------------------------------------


@given(st.floats(-0.15, 0.2), st.floats(-0.05, 0.05), st.floats(-0.005, 0.005), st.floats(-0.005, 0.005))
@settings(max_examples=30, deadline=None)
def test_a_lens_is_undone(k1, k2, p1, p2):
    lens = Lens(640, 480, 600.0, 590.0, 310.0, 250.0, (k1, k2, p1, p2))
    x, y = np.meshgrid(np.linspace(-0.5, 0.5, 7), np.linspace(-0.4, 0.4, 7))
    seen = np.stack([v.ravel() for v in bent(x, y, lens.distortion)], -1) * [600, 590] + [310, 250]
    ideal = np.stack([x.ravel(), y.ravel()], -1) * [600, 590] + [310, 250]
    np.testing.assert_allclose(lens.straightened(seen), ideal, atol=1e-3)


def test_an_undistorted_picture_shows_straight_lines():
    lens = Lens(80, 60, 70.0, 70.0, 40.0, 30.0, (-0.2, 0.0, 0.0, 0.0))
    rows, columns = np.mgrid[:60, :80]
    ideal = lens.straightened(np.stack([columns.ravel() + 0.5, rows.ravel() + 0.5], -1))
    picture = ideal[:, 0].reshape(60, 80).astype(np.float32)  # shows at every pixel where it belongs
    got = undistorted(picture, lens)
    np.testing.assert_allclose(got[5:-5, 5:-5], (columns + 0.5)[5:-5, 5:-5], atol=0.1)


@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=30, deadline=None)
def test_up_is_found_in_any_frame_even_with_the_camera_on_its_side(seed, sideways):
    rng = np.random.default_rng(seed)
    frame = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    frame *= np.sign(np.linalg.det(frame))
    turns = []
    for i, azimuth in enumerate(rng.uniform(0, 2 * np.pi, 10)):
        eye = np.array([np.sin(azimuth), rng.uniform(0.2, 0.9), np.cos(azimuth)])
        turn = looking(eye, (0, 0, 0))[:3, :3]
        if sideways and i in (2, 5):
            turn = turn @ np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1.0]])
        turns.append(frame @ turn)
    up, stray = world.upward(np.array(turns))
    assert up @ frame[:, 1] > np.cos(np.radians(0.5))
    assert stray < 0.5


@pytest.mark.parametrize("seed", range(3))
def test_a_floor_is_found_under_a_thing_and_not_in_a_cloud(seed):
    rng = np.random.default_rng(seed)
    normal = np.array([0.1, 1.0, -0.05]) / np.linalg.norm([0.1, 1.0, -0.05])
    side = np.linalg.svd(normal[None])[2][1:]
    floor = rng.uniform(-2, 2, (300, 2)) @ side + 0.7 * normal + rng.normal(0, 0.004, (300, 3))
    thing = rng.normal(0, 0.3, (500, 3)) + 1.9 * normal
    found = world.find_floor(np.concatenate([floor, thing]), np.array([0, 1.0, 0]), seed)
    assert found[0] @ normal > np.cos(np.radians(0.5))
    assert found[1] == pytest.approx(0.7, abs=0.01)
    assert world.find_floor(rng.normal(0, 1, (800, 3)), np.array([0, 1.0, 0]), seed) is None


def _pairs_of(true: list[np.ndarray]) -> tuple[list[Pair], dict[int, Lens]]:
    points = np.random.default_rng(0).uniform([-0.6, 0, -0.6], [0.6, 1.2, 0.6], (80, 3))
    seen = [LENS.camera(pose).project(points)[0] for pose in true]
    return [Pair(a, b, seen[a], seen[b]) for a in range(3) for b in range(a + 1, 3)], dict.fromkeys(range(3), LENS)


@pytest.mark.parametrize("mistake", ["none", "other", "inverse", "inverse-other", "mirror"])
def test_mistaken_conventions_are_named(mistake):
    true = arc(3)
    pairs, lenses = _pairs_of(true)
    given = {
        "none": true,
        "other": [p @ GL_FROM_CV for p in true],
        "inverse": [np.linalg.inv(p) @ GL_FROM_CV for p in true],
        "inverse-other": [np.linalg.inv(p @ GL_FROM_CV) @ GL_FROM_CV for p in true],
        "mirror": [np.diag([-1.0, 1, 1, 1]) @ p @ np.diag([-1.0, 1, 1, 1]) for p in true],
    }[mistake]
    if mistake == "none":
        assert agreement.check_given(pairs, lenses, dict(enumerate(given))) < 1e-6
        return
    said = "no usual convention" if mistake == "mirror" else f"--convention {mistake}$"
    with pytest.raises(InputError, match=said):
        agreement.check_given(pairs, lenses, dict(enumerate(given)))


def test_pairs_that_only_look_alike_are_found():
    pairs, lenses = _pairs_of(arc(3))
    shuffled = Pair(0, 2, pairs[1].pixels_a, pairs[1].pixels_b[::-1])
    found = agreement.contradicting([pairs[0], shuffled], lenses, dict(enumerate(arc(3))))
    assert found == [(0, 2, 80)]


def test_exposures_are_measured_in_stops():
    rng = np.random.default_rng(1)
    light, stops = rng.uniform(0.1, 0.4, (40, 1)), np.array([0.0, 0.7, -0.5])
    pictures = [linear_to_srgb(np.repeat(light * 2.0**s, 3, 1).reshape(1, 40, 3).astype(np.float32)) for s in stops]
    photo, point = np.repeat(np.arange(3), 40).astype(np.int32), np.tile(np.arange(40), 3).astype(np.int32)
    at = np.stack([point + 0.5, np.full(120, 0.5)], -1)
    model = Model({i: np.eye(4) for i in range(3)}, {}, np.zeros((40, 3)), np.zeros(40), photo, point, at)
    assert looks.exposures([Photo(p) for p in pictures], model) == pytest.approx({0: 0.0, 1: 0.7, 2: -0.5}, abs=0.01)


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_the_similarity_of_two_clouds_is_exact(seed):
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    points = rng.normal(size=(6, 3))
    scale, found, shift = similarity(points, 2.5 * points @ turn.T + [1, 2, 3])
    assert scale == pytest.approx(2.5)
    np.testing.assert_allclose(found, turn, atol=1e-9)
    np.testing.assert_allclose(shift, [1, 2, 3], atol=1e-9)


# -- files ------------------------------------------------------------------------------------------------------------


def _write(folder: Path, count: int = 3, size: tuple[int, int] = (40, 30)) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    paths = []
    for i in range(count):
        paths.append(folder / f"p{8 + i}.png")
        Image.fromarray(rng.integers(0, 255, (size[1] + i, size[0], 3), np.uint8)).save(paths[-1])
    return paths


def test_a_folder_is_read_in_natural_order_with_masks_and_without_what_is_broken(tmp_path):
    first, second, third = _write(tmp_path / "images")
    Image.fromarray(np.full((30, 40), 255, np.uint8)).save(tmp_path / "images/p8_mask.png")
    (tmp_path / "masks").mkdir()
    Image.fromarray(np.zeros((31, 40), np.uint8)).save(tmp_path / "masks/p9.png.png")
    (tmp_path / "images/p11.png").write_bytes(third.read_bytes())  # a double
    (tmp_path / "images/p12.png").write_bytes(second.read_bytes()[:300])
    found = photos(tmp_path)
    assert [p.source for p in found.photos] == [first.name, second.name, third.name]
    assert [p.mask is not None and float(p.mask.alpha.mean()) for p in found.photos] == [1.0, 0.0, False]
    left = [d.value for d in found.decisions if d.what == "left out"]
    assert left[0] == "p11.png"
    assert "p12.png" in left[1]
    assert [p.source for p in photos(str(tmp_path / "images/p?.png")).photos] == ["p8.png", "p9.png"]
    assert len(photos([first, third], PhotosOptions(masks="none")).photos) == 2


def test_what_is_no_set_says_so(tmp_path):
    (one,) = _write(tmp_path / "one", 1)
    with pytest.raises(InputError, match="one picture is no set"):
        photos(one)
    with pytest.raises(InputError, match="one picture is no set"):
        photos(tmp_path / "one")
    for i in range(3):
        (tmp_path / f"one/c{i}.png").write_bytes(one.read_bytes())
    with pytest.raises(InputError, match="all 4 pictures are the same"):
        photos(tmp_path / "one")
    (tmp_path / "none").mkdir()
    with pytest.raises(InputNotFoundError, match="no pictures in it"):
        photos(tmp_path / "none")
    with pytest.raises(InputNotFoundError, match="no such file"):
        photos(tmp_path / "nowhere")


def test_archives_are_read_bounded_and_never_outside(tmp_path, monkeypatch):
    paths = _write(tmp_path / "in")
    good, evil, cut = (tmp_path / f"{name}.zip" for name in ("good", "evil", "cut"))
    with zipfile.ZipFile(good, "w") as archive:
        for path in paths:
            archive.write(path, f"set/images/{path.name}")
    assert [p.source for p in photos(good).photos] == [p.name for p in paths]
    with zipfile.ZipFile(evil, "w") as archive:
        archive.write(paths[0], "../outside.png")
    with pytest.raises(InputError, match="leads out of the archive"):
        photos(evil)
    assert not (tmp_path.parent / "outside.png").exists()
    cut.write_bytes(good.read_bytes()[:-60])
    with pytest.raises(UnreadableError, match="damaged or cut short"):
        photos(cut)
    monkeypatch.setattr(sources, "MAX_BYTES", 1000)
    with pytest.raises(InputError, match="unpacks to more than"):
        photos(good)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m * np.nan, "not finite"),
        (lambda m: m @ np.diag([1, 1, -1, 1.0]), "mirrored"),
        (lambda m: m @ np.diag([2, 2, 2, 1.0]), "scales by 2"),
        (lambda m: m.T, "transposed"),
        (lambda m: m[:3], "3 x 4 numbers"),
        (lambda m: m @ np.diag([1, 3, 1, 1.0]), "no rotation"),
    ],
)
def test_what_is_wrong_with_a_pose_is_named(tmp_path, change, said):
    _write(tmp_path)
    matrix = change(POSES[0] @ GL_FROM_CV).tolist()
    frames = [{"file_path": "p8.png", "transform_matrix": matrix}]
    facts = {"w": 40, "h": 30, "fl_x": 50, "frames": frames}
    (tmp_path / "transforms.json").write_text(json.dumps(facts))
    with pytest.raises(UnreadableError, match=f"p8.png.*{said}"):
        photos(tmp_path)


def test_polycam_and_blender_cameras_are_read(tmp_path):
    matrix = POSES[1] @ GL_FROM_CV
    _write(tmp_path / "a/keyframes/images", 1)
    Image.open(tmp_path / "a/keyframes/images/p8.png").save(tmp_path / "a/keyframes/images/8.jpg")
    (tmp_path / "a/keyframes/cameras").mkdir()
    rows = {f"t_{r}{c}": matrix[r, c] for r in range(3) for c in range(4)}
    facts = {**rows, "fx": 50, "fy": 50, "cx": 20, "cy": 15, "width": 40, "height": 30}
    (tmp_path / "a/keyframes/cameras/8.json").write_text(json.dumps(facts))
    (photo,) = posed.read_photo_set(tmp_path / "a").photos
    assert photo.path.is_file()
    np.testing.assert_allclose(photo.camera.world_from_camera, POSES[1], atol=1e-12)
    _write(tmp_path / "b", 2, (40, 30))
    frames = [{"file_path": f"./p{k}", "transform_matrix": matrix.tolist()} for k in (8, 9)]
    (tmp_path / "b/transforms.json").write_text(json.dumps({"camera_angle_x": np.pi / 2, "frames": frames}))
    assert photos(tmp_path / "b").photos[1].lens == Lens(40, 31, pytest.approx(20.0), pytest.approx(20.0), 20.0, 15.5)


def test_cameras_of_another_shape_are_left_out(tmp_path):
    _write(tmp_path, 3)
    frames = [{"file_path": f"p{8 + k}.png", "transform_matrix": POSES[k].tolist(), "h": 30 + k} for k in range(3)]
    frames[2] |= {"w": 32, "h": 40}
    (tmp_path / "transforms.json").write_text(json.dumps({"w": 40, "fl_x": 50, "frames": frames}))
    found = photos(tmp_path)
    assert [p.source for p in found.photos] == ["p8.png", "p9.png"]
    assert "p10.png: 40 x 32 pixels are not the shape of its camera" in found.decisions[0].value


# -- films ------------------------------------------------------------------------------------------------------------


def _film(path: Path, shifts: list[int], blurred: set[int]) -> None:
    av = pytest.importorskip("av")
    wall = (gaussian_filter(np.random.default_rng(0).random((120, 600)), 1.0) * 900 - 320).clip(0, 255)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.bit_rate = 160, 120, 4_000_000
        for i, shift in enumerate(shifts):
            view = wall[:, shift : shift + 160]
            view = gaussian_filter(view, 4) if i in blurred else view
            frame = av.VideoFrame.from_ndarray(np.repeat(view[..., None], 3, 2).astype(np.uint8), format="rgb24")
            out.mux(stream.encode(frame))
        out.mux(stream.encode())


def test_sharp_frames_are_taken_where_the_film_moves(tmp_path):
    shifts = [*range(0, 200, 5), *[200] * 40, *range(200, 400, 5)]  # the camera rests in the middle
    _film(tmp_path / "f.mp4", shifts, {i for i in range(120) if i % 4 == 1})
    found = photos(tmp_path / "f.mp4", PhotosOptions(frames=10))
    assert 7 <= len(found.photos) <= 10
    numbers = [round(float(p.source.split("_")[1][:-5]) * 30) for p in found.photos]
    assert all(n % 4 != 1 for n in numbers)
    assert sum(44 <= n < 76 for n in numbers) <= 1
    assert max(np.diff([shifts[n] for n in numbers])) <= 90


def test_films_that_stand_still_or_break_off(tmp_path):
    _film(tmp_path / "still.mp4", [50] * 30, set())
    with pytest.raises(InputError, match="nothing moves"):
        photos(tmp_path / "still.mp4")
    (tmp_path / "no.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + b"x" * 500)
    with pytest.raises(UnreadableError, match=r"no\.mp4"):
        photos(tmp_path / "no.mp4")


def test_motion_is_the_shift_of_the_picture():
    wall = gaussian_filter(np.random.default_rng(3).random((60, 120)), 1.5).astype(np.float32)
    near, far = (video.motion(wall[:, 20:100], wall[:, 20 + s : 100 + s]) for s in (2, 12))
    assert video.motion(wall, wall) == pytest.approx(0, abs=1e-6)
    assert 2 / 80 - 0.01 < near < far


def test_masks_keep_features_on_the_object(shot, tmp_path):
    pytest.importorskip("pycolmap")
    from liftform.understand.poses.matching import matched

    alpha = np.zeros((192, 256), np.float32)
    alpha[48:144, 64:192] = 1
    covered = [replace(p, mask=Mask(alpha, p.image, 1.0)) for p in shot[:2]]
    found = matched(covered, tmp_path, "auto", "SIMPLE_RADIAL", 2000, Runtime())
    (pair,) = found.pairs
    assert len(set(found.cameras)) == 1
    assert (pair.pixels_a > [63, 47]).all()
    assert (pair.pixels_a < [193, 145]).all()
