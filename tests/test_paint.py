"""Textures from the photos of a set: true colours, one exposure, no ghosts, seams that meet, the unseen filled."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic import as_mesh, ball, box, marched, waves

from liftform.camera import Camera
from liftform.capture import Capture, Depth, Mask, Photo
from liftform.conventions import linear_to_srgb, srgb_to_linear
from liftform.errors import InputError
from liftform.evaluate.metrics import psnr
from liftform.refine.paint import PaintOptions, paint
from liftform.refine.paint.choice import Candidates, Faces, chosen, evened
from liftform.refine.paint.seams import Shares, by_labels
from liftform.refine.unwrap import UnwrapOptions, unwrap
from liftform.render import Scene
from liftform.runtime import Runtime

ONE = Runtime(threads=1)
SIZE = 96


def photographed(mesh, cameras):
    """Unlit photos of a mesh with vertex colours; masks known."""
    scene, photos = Scene(mesh), []
    for camera in cameras:
        shown = scene.render(camera, "unlit", (0.9, 0.1, 0.9), 2)
        image, alpha = np.ascontiguousarray(shown.image[..., :3]), shown.mask.astype(np.float32)
        photos.append(Photo(image, mask=Mask(alpha, image, 1.0), camera=camera))
    return Capture(tuple(photos))


def around(count=8, elevations=(-0.6, 0.6), distance=2.0):
    return [
        Camera.orbit(SIZE, 0.6, 2 * np.pi * (i + 0.5 * k) / count, e, distance)
        for k, e in enumerate(elevations)
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def truth():
    return marched(ball(), cells=64, paint=waves)


@pytest.fixture(scope="module")
def opened():
    """The same ball, coarser and without colours, unwrapped."""
    return unwrap(UnwrapOptions(), ONE)(marched(ball(), cells=20))


@pytest.fixture(scope="module")
def capture(truth):
    return photographed(truth, around())


def likeness(painted, truth):
    """PSNR of unlit colours in views that were not used."""
    views = [(Scene(painted).render(c, "unlit"), Scene(truth).render(c, "unlit")) for c in around(3, (0.1,))]
    both = [a.mask & b.mask for a, b in views]
    ours = np.concatenate([a.image[m][:, :3] for (a, _), m in zip(views, both, strict=True)])
    theirs = np.concatenate([b.image[m][:, :3] for (_, b), m in zip(views, both, strict=True)])
    gain = np.median(srgb_to_linear(theirs)) / np.median(srgb_to_linear(ours))
    return psnr(linear_to_srgb(srgb_to_linear(ours) * np.float32(gain)), theirs)


@pytest.mark.parametrize("mode", ["best", "blend"])
def test_colours_are_those_of_the_photos(opened, capture, truth, mode):
    done = paint(PaintOptions(mode=mode), ONE)(opened, capture)
    assert likeness(done, truth) > 29
    assert done.metadata["paint"]["seen_share"] > 0.99
    assert done.seen.min() > 0.9


def test_exposures_are_evened(opened, capture, truth):
    rng = np.random.default_rng(0)
    stops = rng.normal(0, 0.3, len(capture.photos))
    lit = [
        replace(photo, image=linear_to_srgb(srgb_to_linear(photo.image) * np.float32(2**stop)))
        for photo, stop in zip(capture.photos, stops, strict=True)
    ]
    uneven = Capture(tuple(lit))
    done = paint(PaintOptions(), ONE)(opened, uneven)
    found = -np.array(done.metadata["paint"]["exposure"])
    assert np.abs((found - found.mean()) - (stops - stops.mean())).max() < 0.12
    left = paint(PaintOptions(even=False, level=False), ONE)(opened, uneven)
    assert likeness(done, truth) > likeness(left, truth) + 3


def test_seams_meet(opened, capture):
    rng = np.random.default_rng(1)
    lit = [
        replace(p, image=linear_to_srgb(srgb_to_linear(p.image) * np.float32(2 ** rng.normal(0, 0.3))))
        for p in capture.photos
    ]
    done = paint(PaintOptions(even=False), ONE)(opened, Capture(tuple(lit)))
    before, after = done.metadata["paint"]["seams"]
    assert after < 0.8 * before


def test_a_passer_by_is_left_out(opened, capture, truth):
    photos = list(capture.photos)
    for i in (1, 6):
        image = photos[i].image.copy()
        image[36:60, 36:60] = (0.0, 1.0, 0.0)
        photos[i] = replace(photos[i], image=image)
    ghosts = Capture(tuple(photos))
    with_them = paint(PaintOptions(ghosts=False), ONE)(opened, ghosts)
    without = paint(PaintOptions(), ONE)(opened, ghosts)
    assert without.metadata["paint"]["ghosts"] > 0
    assert likeness(without, truth) > likeness(with_them, truth) + 3
    assert likeness(without, truth) > 27


def test_what_stands_before_it_by_depth_gives_no_colour(opened, capture, truth):
    """A screen before the first camera, known by its depth."""
    first = capture.photos[0]
    screen = replace(first, image=np.zeros_like(first.image), depth=Depth(np.full((SIZE, SIZE), 0.5, np.float32)))
    done = paint(PaintOptions(ghosts=False, even=False, level=False), ONE)(
        opened, Capture((screen, *capture.photos[1:]))
    )
    assert likeness(done, truth) > 28


def test_what_no_photo_saw_is_filled_smoothly_and_marked(opened, truth):
    done = paint(PaintOptions(), ONE)(opened, photographed(truth, [Camera.orbit(SIZE, 0.6, 0.0, 0.0, 2.0)]))
    back = done.vertices[:, 2] < -0.2
    front = done.vertices[:, 2] > 0.3
    assert done.seen[back].max() == 0
    assert done.seen[front].min() > 0.9
    texture = Scene(done).render(Camera.orbit(48, 0.6, np.pi, 0.0, 2.0), "unlit")
    inside = texture.image[texture.mask][:, :3]
    assert inside.min() > 0.1  # neither black nor the photo's ground
    assert np.abs(inside - inside.mean(0)).max() < 0.45


def test_hidden_surfaces_take_no_colour_through_others():
    """Two plates, one behind the other: the front one red, the rear one blue; the rear is hidden in the middle."""
    front = box((0.4, 0.4, 0.02), (0, 0, 0.3))
    rear = box((1.0, 1.0, 0.02), (0, 0, -0.1))
    vertices = np.concatenate([front.vertices, rear.vertices])
    faces = np.concatenate([front.faces, rear.faces + 8])
    colors = np.repeat(np.float32([[0.9, 0.1, 0.1], [0.1, 0.1, 0.9]]), 8, axis=0)
    both = as_mesh(vertices, faces, colors=colors)
    cameras = [Camera.orbit(SIZE, 0.6, a, e, 2.5) for a in (-0.35, 0.0, 0.35) for e in (-0.3, 0.3)]
    capture = photographed(both, cameras)
    done = paint(PaintOptions(size=256), ONE)(unwrap(UnwrapOptions(), ONE)(both.with_(colors=None)), capture)
    shown = Scene(done).render(Camera.orbit(SIZE, 0.6, 1.0, 0.2, 2.5), "unlit")
    met = shown.mask & (shown.normals[..., 2] < 0)
    hue = shown.image[met]
    red, blue = hue[:, 0] > 0.5, hue[:, 2] > 0.5
    assert (red | blue).mean() > 0.95


def test_labels_are_smooth_and_shares_sum_to_one(opened):
    strip = np.array([[i, i + 1, i + 2] for i in range(30)])
    positions = np.stack([np.arange(32) / 2, np.arange(32) % 2, np.zeros(32)], 1).astype(np.float32)
    faces = Faces.of(positions, strip)
    rng = np.random.default_rng(0)
    quality = np.exp(0.1 * rng.normal(size=(30, 2))).astype(np.float32)
    found = Candidates(np.tile(np.int16([0, 1]), (30, 1)), quality, np.zeros((30, 2, 3), np.float32))
    none = np.zeros((30, 2), bool)
    ragged, smooth = chosen(found, none, faces, 0.0), chosen(found, none, faces, 2.0)
    np.testing.assert_array_equal(ragged, quality.argmax(1))
    assert len(np.unique(smooth)) == 1
    matrix = by_labels(strip, ragged.astype(int), faces.area, 32, 2, 2)
    shares = Shares.of(matrix)
    np.testing.assert_allclose(np.bincount(shares.vertex, shares.share), 1, atol=1e-5)


def test_gains_and_outliers_of_known_candidates():
    rng = np.random.default_rng(0)
    colors, gains = rng.normal(-1, 0.5, (300, 1, 3)), np.array([0.3, -0.2, 0.0, -0.1])
    view = np.stack([rng.permutation(4) for _ in range(300)]).astype(np.int16)
    shade = (colors + gains[view][..., None] + rng.normal(0, 0.02, (300, 4, 3))).astype(np.float32)
    shade[:20, 0] += 1.5
    light = evened(Candidates(view, np.ones((300, 4), np.float32), shade), 4)
    assert np.abs((-light.gains - gains[:, None]) - np.median(-light.gains - gains[:, None])).max() < 0.03
    assert light.outlier[:20, 0].all()
    assert light.outlier.sum() < 26


def test_the_same_bytes_again_and_missing_things_named(opened, capture):
    one, two = (paint(PaintOptions(size=256), Runtime(threads=n))(opened, capture) for n in (1, 3))
    np.testing.assert_array_equal(one.material.base_color_texture, two.material.base_color_texture)
    with pytest.raises(InputError, match="no texture coordinates"):
        paint(PaintOptions(), ONE)(marched(ball(), cells=12), capture)
    with pytest.raises(InputError, match="no photo of this set has a camera"):
        paint(PaintOptions(), ONE)(opened, Capture((Photo(np.zeros((4, 4, 3), np.float32)),)))
