"""Radiance fields: every kernel's slopes against finite differences, spaces, bricks, and a small field learnt."""

import json

import numpy as np
import pytest

pytest.importorskip("numba")
pytest.importorskip("safetensors")

from liftform import camera_path, field_file
from liftform.camera import Camera
from liftform.capture import Capture, Photo
from liftform.cli import main
from liftform.errors import UnreadableError
from liftform.reconstruct.field import FieldOptions, decode, descend, field, learn, space, trace
from liftform.reconstruct.field import bricks as brick
from liftform.reconstruct.field.surface import mesh_of, points_of
from liftform.reconstruct.field.view import view
from liftform.runtime import Runtime

#: Room to work in for one lane.
ROOMS = learn.new_rooms(1)


def small_case(masked, seed=0):
    """A grid of 16^3 with a blob, one picture of 8 x 8, and everything that ``learnt`` takes."""
    rng = np.random.default_rng(seed)
    occupied = np.zeros((8, 8, 8), bool)
    occupied[1:7, 1:7, 2:7] = True
    b = brick.fresh(np.full(3, 16, np.int32), occupied)
    b.density[512:] = rng.normal(1.0, 1.5, len(b.density) - 512)
    b.features[512:] = rng.normal(0.4, 0.3, (len(b.features) - 512, trace.CHANNELS))
    decoder = rng.normal(0, 0.3, decode.SIZE).astype(np.float32)
    turn = np.array([[[0.06, 0, -0.24], [0, 0.06, -0.24], [0, 0, 1]]], np.float32)
    cameras = (np.array([[0.5, 0.48, -1.0]], np.float32), turn, turn)
    colors = rng.integers(0, 256, (64, 3)).astype(np.uint8)
    alphas = rng.integers(0, 256, 64).astype(np.uint8) if masked else np.zeros(0, np.uint8)
    one = np.array([8], np.int32)
    pictures = (np.array([0, 64], np.int64), one, one, colors, alphas)
    looks = np.array([[1.1, 0.9, 1.0, 0.05, -0.03, 0.0]], np.float32)
    settings = np.zeros(learn.SETTINGS, np.float32)
    settings[:] = (0.5, 0.0, -2.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.5, 1 / 3, 1 / 28)
    jitter = rng.random((1, 64), np.float32)
    return b, decoder, cameras, pictures, looks, settings, jitter


def learnt(case):
    """(sum of squared errors, gradients of density, features, decoder, looks)."""
    b, decoder, cameras, pictures, looks, settings, jitter = case
    lanes, n = 1, len(b.density)
    out = (
        np.zeros((lanes, n), np.float32),
        np.zeros((lanes, n, trace.CHANNELS), np.float32),
        np.zeros((lanes, decode.SIZE), np.float32),
        np.zeros((lanes, *looks.shape), np.float32),
        np.zeros((lanes, b.count), np.uint8),
    )
    blocks = np.zeros((1, 3), np.int32)
    backdrop = np.array([0.2, 0.5, 0.7], np.float32)
    error = learn.learnt(
        0,
        b.size.astype(np.float32),
        blocks,
        jitter,
        cameras,
        pictures,
        backdrop,
        looks,
        settings,
        b.grid,
        b.features,
        decoder,
        out,
        ROOMS,
    )
    return error, out


@pytest.mark.parametrize("masked", [True, False])
def test_slopes_of_a_step_are_those_of_finite_differences(masked):
    case = small_case(masked)
    b, decoder, _, _, looks, _, _ = case
    _, out = learnt(case)
    rng = np.random.default_rng(1)
    for values, slopes, step in (
        (b.density, out[0][0], 2e-2),
        (b.features.reshape(-1), out[1][0].reshape(-1), 2e-2),
        (decoder, out[2][0], 5e-3),
        (looks.reshape(-1), out[3][0].reshape(-1), 1e-2),
    ):
        if not np.abs(slopes).max() > 0:
            assert (masked, values.size) == (True, 6)
            continue
        chosen = rng.choice(np.flatnonzero(np.abs(slopes) > 0.1 * np.abs(slopes).max()), 6)
        for i in chosen:
            before = values[i]
            values[i] = before + step
            up = learnt(case)[0]
            values[i] = before - step
            down = learnt(case)[0]
            values[i] = before
            assert (up - down) / (2 * step) / 64 == pytest.approx(slopes[i], rel=0.03, abs=2e-5)


def test_slopes_with_every_regulariser():
    """The pull of plain colours takes the weights as fixed, so only its features are compared; distortion and opacity
    by all densities."""
    case = small_case(False)
    b, settings = case[0], case[5]
    settings[learn.SOLID] = 0.3
    _, with_solid = learnt(case)
    settings[learn.SOLID] = 0.0
    _, plain = learnt(case)
    settings[learn.SPREAD] = 0.7
    _, with_spread = learnt(case)
    settings[learn.SPREAD] = 0.0
    for name, weight, out in (("solid", 0.3, with_solid), ("spread", 0.7, with_spread)):
        slopes = out[0][0] - plain[0][0]
        for i in np.argsort(-np.abs(slopes))[[0, 5, 20]]:
            before = b.density[i]
            ends = []
            for step in (2e-2, -2e-2):
                b.density[i] = before + step
                ends.append(_regulariser(case, name))
            b.density[i] = before
            assert weight * (ends[0] - ends[1]) / 4e-2 / 64 == pytest.approx(slopes[i], rel=0.03, abs=1e-6)


def _regulariser(case, name):
    """Sum over the rays of the light that is left, squared, or of the distortion."""
    b, _, cameras, _, _, settings, jitter = case
    total = 0.0
    rows, cuts = learn.new_rows(learn.MOST), np.empty(24, np.float32)
    pieces, inputs = np.empty((12, 2, 3), np.float32), np.empty((decode.INPUTS, 64), np.float32)
    o, d = np.empty(3, np.float32), np.empty(3, np.float32)
    limits = (settings[learn.LEAST], settings[learn.SHIFT], settings[learn.SCALE])
    for n in range(64):
        learn.aimed(cameras, 0, np.float32(n % 8 + 0.5), np.float32(n // 8 + 0.5), o, d, inputs, n)
        size = b.size.astype(np.float32)
        count, light = trace.traced(0, o, d, size, settings[0], jitter[0, n], limits, b.grid, rows, (cuts, pieces))
        if name == "solid":
            total += float(light) ** 2
            continue
        w = (rows[3][:count] * rows[4][:count]).astype(np.float64)
        s = rows[5][:count].astype(np.float64) * settings[learn.PER_PATH]
        total += float((w[:, None] * w[None] * np.abs(s[:, None] - s[None])).sum())
    return total


def test_pull_draws_plain_colours_of_samples_to_the_picture():
    case = small_case(True)
    settings = case[5]
    _, plain = learnt(case)
    settings[learn.PULL] = 0.5
    _, pulled = learnt(case)
    change = (pulled[1] - plain[1])[0]
    assert np.abs(change[:, 3:]).max() == 0
    assert np.abs(change[:, :3]).max() > 0
    assert (pulled[0] == plain[0]).all()


def test_neighbours_pull_as_the_sum_of_their_squared_differences():
    b = small_case(True)[0]
    rng = np.random.default_rng(3)
    slopes = np.zeros((1, len(b.density)), np.float32)
    slopes[0, 512:] = 1e-30  # every point counts as touched
    of_features = np.zeros((1, *b.features.shape), np.float32)
    touched = np.ones((1, b.count), np.uint8)
    weights = (np.float32(0.5), np.float32(0.25))
    descend.smoothed(b.index, b.places, b.density, b.features, weights, slopes, of_features, touched)

    def energy(values):
        dense = np.full((*(b.size + 8), *values.shape[1:]), np.nan)
        for k, (x, y, z) in enumerate(b.places[1:] * 8, 1):
            dense[x : x + 8, y : y + 8, z : z + 8] = values[k * 512 : (k + 1) * 512].reshape(8, 8, 8, *values.shape[1:])
        return sum(float(np.nansum(np.diff(dense, axis=a) ** 2)) for a in range(3)) / 2

    for values, found, weight in ((b.density, slopes[0], 0.5), (b.features, of_features[0], 0.25)):
        for i in rng.integers(512, len(values), 5):
            at = (i,) if values.ndim == 1 else (i, 2)
            before = values[at]
            values[at] = before + 0.1
            up = energy(values)
            values[at] = before - 0.1
            down = energy(values)
            values[at] = before
            assert weight * (up - down) / 0.2 == pytest.approx(found[at], rel=1e-3, abs=1e-4)


def test_adam_is_that_of_the_paper_and_leaves_the_rest_alone():
    b = small_case(True)[0]
    before = b.density.copy(), b.features.copy()
    n, c = b.features.shape
    moments = tuple(np.zeros(s, np.float32) for s in ((n,), (n,), (n, c), (n, c)))
    slopes = np.zeros((2, n), np.float32), np.zeros((2, n, c), np.float32)
    slopes[0][:, 600], slopes[1][:, 600, 3] = (0.2, 0.1), (-1.0, 0.4)
    touched = np.zeros((2, b.count), np.uint8)
    touched[1, 1] = 1
    descend.descended(b.density, b.features, moments, slopes, touched, (np.float32(0.1), np.float32(0.2)), 1)
    assert b.density[600] == pytest.approx(before[0][600] - 0.1, abs=1e-5)  # the first step is the rate itself
    assert b.features[600, 3] == pytest.approx(before[1][600, 3] + 0.2, abs=1e-5)
    b.density[600], b.features[600, 3] = before[0][600], before[1][600, 3]
    assert (b.density == before[0]).all()
    assert (b.features == before[1]).all()
    assert not any(values.any() for values in (*slopes, touched))


# -- spaces ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", space.KINDS)
def test_pieces_of_a_ray_lie_on_it_and_follow_each_other(kind):
    s = space.Space(kind, np.eye(4))
    rng = np.random.default_rng(4)
    cuts, pieces = np.empty(24, np.float32), np.empty((space.MOST_PIECES, 2, 3), np.float32)
    room = np.empty(3, np.float32)
    hit = 0
    for _ in range(200):
        o = rng.normal(0, 1.5, 3).astype(np.float32)
        d = rng.normal(0, 1, 3).astype(np.float32)
        if kind == "box":
            d = (0.5 - o + 0.3 * d).astype(np.float32)
        if kind == "frustum":
            o, d = (o * 0.1).astype(np.float32), np.array([*(0.5 * d[:2]), 1], np.float32)
        made = space.straight_pieces(s.code, o, d, cuts, pieces)
        hit += made > 0
        last = -1e-4
        for start, end in pieces[:made]:
            for share in (0.1, 0.5, 0.9):
                unit = (start + share * (end - start)).astype(np.float32)
                point = s.world_from_unit(unit[None].astype(np.float64))[0]
                t = float(space.distance_of(s.code, o, d, unit, room))
                np.testing.assert_allclose(point, o + t * d.astype(np.float64), rtol=2e-3, atol=2e-3 * (1 + t))
                np.testing.assert_allclose(s.unit_from_world(point[None])[0], unit, atol=1e-4)
                assert t >= last - 1e-3 * (1 + abs(t))
                last = t
        if kind == "contracted":
            assert np.abs(pieces[made - 1, 1] - 0.5).max() == pytest.approx(0.5, abs=1e-5)  # to infinity
    assert hit > 50


# -- a whole small field --------------------------------------------------------------------------------------------


def ring_of_views(count=14, side=40, masked=True):
    """A capture of a coloured ball, drawn by its formula."""
    photos = []
    for k in range(count):
        camera = Camera.orbit(side, 0.6, 2 * np.pi * k / count, 0.5 * np.sin(k), 2.2)
        origin, ways = camera.rays()
        ways = ways / np.linalg.norm(ways, axis=-1, keepdims=True)
        b = ways @ origin
        inside = b**2 - (origin @ origin - 0.16)
        hit = inside > 0
        points = origin + (-b - np.sqrt(np.maximum(inside, 0)))[..., None] * ways
        image = np.where(hit[..., None], 0.5 + points, 0.9).astype(np.float32)
        photo = Photo(np.clip(image, 0, 1), alpha=hit.astype(np.float32) if masked else None, camera=camera)
        photos.append(photo)
    return Capture(tuple(photos))


@pytest.fixture(scope="module")
def learnt_ball():
    return field(FieldOptions(steps=160, resolution=48), Runtime(seed=3))(ring_of_views())


def test_a_ball_is_learnt(learnt_ball):
    capture = ring_of_views(15)
    photo = capture.photos[4]
    seen = view(learnt_ball, photo.camera)
    truth = photo.image * photo.alpha[..., None] + 1 - photo.alpha[..., None]
    assert -10 * np.log10(((seen.on((1, 1, 1)) - truth) ** 2).mean()) > 20
    middle = seen.depth[18:22, 18:22]
    assert np.abs(middle - 1.8).max() < 0.12


def test_the_same_steps_give_the_same_bytes():
    first, again = (field(FieldOptions(steps=12, resolution=32), Runtime(seed=3))(ring_of_views(4)) for _ in range(2))
    assert field_file.encoded(first.with_(metadata={})) == field_file.encoded(again.with_(metadata={}))


def test_a_field_as_file_mesh_and_points(learnt_ball, tmp_path):
    path = tmp_path / "ball.field"
    path.write_bytes(field_file.encoded(learnt_ball))
    back = field_file.read(path)
    camera = ring_of_views(15).photos[4].camera
    assert np.abs(view(back, camera).color - view(learnt_ball, camera).color).max() < 0.02
    mesh = mesh_of(back, 40)
    radii = np.linalg.norm(mesh.vertices, axis=1)
    assert np.median(radii) == pytest.approx(0.4, abs=0.04)
    normals = mesh.face_normals()
    middles = mesh.vertices[mesh.faces].mean(1)
    assert ((normals * middles).sum(1) > 0).mean() > 0.85  # less what no ray has reached
    cloud = points_of(back, 2000)
    away = np.abs(np.linalg.norm(cloud.points, axis=1) - 0.4)
    assert np.median(away) < 0.05  # a lattice cell is 0.03
    path.write_bytes(path.read_bytes()[:-999])
    with pytest.raises(UnreadableError, match="damaged"):
        field_file.read(path)


def test_learning_goes_on_from_a_checkpoint_as_if_it_had_not_stopped(tmp_path):
    capture, kept = ring_of_views(6), tmp_path / "ball.state"
    whole = field(FieldOptions(steps=20, resolution=32), Runtime())(capture)

    def stop(stage, fraction):
        if fraction > 0.4:
            raise KeyboardInterrupt

    half = field(FieldOptions(steps=20, resolution=32, checkpoint=kept), Runtime(progress=stop))(capture)
    assert half.metadata["interrupted"]
    assert half.metadata["steps"] == 10
    rest = field(FieldOptions(steps=20, resolution=32, checkpoint=kept), Runtime())(capture)
    np.testing.assert_array_equal(rest.density, whole.density)
    with pytest.raises(UnreadableError, match="seed"):
        field(FieldOptions(steps=20, resolution=32, checkpoint=kept), Runtime(seed=1))(capture)


def test_a_set_without_masks_is_learnt_with_what_lies_around():
    capture = ring_of_views(10, masked=False)
    made = field(FieldOptions(steps=80, resolution=40), Runtime())(capture)
    assert made.kind == "contracted"
    photo = capture.photos[3]
    seen = view(made, photo.camera)
    assert -10 * np.log10(((seen.on(made.backdrop) - photo.image) ** 2).mean()) > 16


# -- paths of cameras -----------------------------------------------------------------------------------------------


def test_an_orbit_looks_at_the_middle_from_all_sides():
    cameras = [photo.camera for photo in ring_of_views(8).photos]
    path = camera_path.orbit(cameras, np.zeros(3), 12)
    assert len(path) == 12
    for camera in path:
        pixel, z = camera.project(np.zeros((1, 3)))
        np.testing.assert_allclose(pixel[0], (20, 20), atol=1e-6)
        assert z[0] > 0
        assert camera.world_from_camera[1, 1] < 0  # upright
    angles = np.sort(np.arctan2(*np.array([c.position for c in path])[:, [0, 2]].T))
    np.testing.assert_allclose(np.diff(angles), 2 * np.pi / 12, atol=0.02)


def test_a_path_passes_its_keyframes(tmp_path):
    keys = [photo.camera for photo in ring_of_views(4).photos]
    path = camera_path.through(keys, 7)
    for k in range(4):
        np.testing.assert_allclose(path[2 * k].world_from_camera, keys[k].world_from_camera, atol=1e-9)
    rows = [{"matrix": (c.world_from_camera @ np.diag([1, -1, -1, 1])).ravel().tolist()} for c in keys]
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keyframes": rows, "is_cycle": True}))
    read, closed = camera_path.read_keyframes(file, keys[0])
    assert closed
    np.testing.assert_allclose(read[2].world_from_camera, keys[2].world_from_camera, atol=1e-9)
    file.write_text(json.dumps({"keyframes": [{"matrix": [0.0] * 16}]}))
    with pytest.raises(UnreadableError, match="rotation"):
        camera_path.read_keyframes(file, keys[0])


def test_views_and_shapes_on_the_command_line(learnt_ball, tmp_path, capsys):
    pytest.importorskip("av")
    path = tmp_path / "ball.field"
    path.write_bytes(field_file.encoded(learnt_ball))
    assert main(["views", str(path), "-o", str(tmp_path / "turn.mp4"), "--frames", "3", "--size", "32"]) == 0
    assert (tmp_path / "turn.mp4").stat().st_size > 500
    assert main(["views", str(path), "-o", str(tmp_path / "seen"), "--path", "photos", "--size", "24", "--depth"]) == 0
    assert np.load(tmp_path / "seen" / "0003.depth.npy").shape == (24, 24)
    assert main(["views", str(path), "--mesh", str(tmp_path / "ball.glb"), "--resolution", "24"]) == 0
    assert (tmp_path / "ball.glb").is_file()
    capsys.readouterr()
    assert main(["views", str(path)]) == 2
    assert "nothing to make" in capsys.readouterr().err
    assert main(["views", str(tmp_path / "turn.mp4"), "-o", str(tmp_path / "x.mp4")]) == 3
