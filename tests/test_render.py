"""The ray-cast renderer against analytic truth: spheres, planes, textured quads."""

from __future__ import annotations

import numpy as np
import pytest
import synthetic
from hypothesis import given, settings
from hypothesis import strategies as st

from liftform.assets import Material, Mesh
from liftform.camera import Camera
from liftform.conventions import linear_to_srgb, srgb_to_linear
from liftform.errors import InputError, UsageError
from liftform.render import (
    CLAY_COLOR,
    INVENTED_COLOR,
    SEEN_COLOR,
    Scene,
    orbit_cameras,
    render,
    render_views,
    sample_bilinear,
    smooth_normals,
)

RADIUS, DISTANCE, YFOV, SIZE = 0.4, 2.0, np.radians(40.0), 96


@pytest.fixture(scope="module")
def ball() -> Mesh:
    return synthetic.sphere(rings=96, segments=192, radius=RADIUS, centre=(0.3, 0.1, -0.2))


@pytest.fixture(scope="module")
def eye() -> Camera:
    """Looks at the ball's centre from 30 degrees to the right and 20 above."""
    at = np.eye(4)
    at[:3, 3] = (0.3, 0.1, -0.2)
    return Camera.orbit(SIZE, YFOV, np.radians(30), np.radians(20), DISTANCE).moved(at)


def sphere_truth(camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Analytic z-depth (H, W; NaN outside) and camera-frame normals of the ball, which lies straight ahead."""
    x = (np.arange(camera.width) + 0.5 - camera.cx) / camera.fx
    d = np.stack([*np.meshgrid(x, x), np.ones((SIZE, SIZE))], -1)
    a, b, c = (d**2).sum(-1), d[..., 2] * DISTANCE, DISTANCE**2 - RADIUS**2
    with np.errstate(invalid="ignore"):
        depth = (b - np.sqrt(b**2 - a * c)) / a
    return depth, (d * depth[..., None] - np.array([0, 0, DISTANCE])) / RADIUS


def textured_quad(texture: np.ndarray) -> Mesh:
    """A unit square in the plane z = 0 that faces +Z; the texture's top-left corner is at the upper left."""
    return Mesh(
        np.array([[-0.5, 0.5, 0], [-0.5, -0.5, 0], [0.5, -0.5, 0], [0.5, 0.5, 0]], np.float32),
        np.array([[0, 1, 2], [0, 2, 3]], np.int32),
        uv=np.array([[0, 0], [0, 1], [1, 1], [1, 0]], np.float32),
        material=Material(base_color_texture=texture),
    )


def head_on(size: int = 64, reach: float = 1.0) -> Camera:
    """Sees exactly the square |x|, |y| <= reach / 2 of the plane z = 0."""
    return Camera.orbit(size, 2 * np.arctan(reach / 4), 0.0, 0.0, 2.0)


def test_depth_and_normals_of_a_sphere(ball, eye):
    view = render(ball, eye, shading="normals")
    depth, normals = sphere_truth(eye)
    both = view.mask & np.isfinite(depth)
    inside = both & (normals[..., 2] < -0.3)
    assert np.abs(view.depth[both] - depth[both]).max() < 0.02
    assert np.abs(view.depth[inside] - depth[inside]).max() < 1e-3
    assert (view.normals[inside] * normals[inside]).sum(-1).min() > 0.999
    assert np.isnan(view.depth[~view.mask]).all()
    assert (view.normals[~view.mask] == 0).all()
    shown = view.image[inside][:, :3] * 2 - 1
    assert np.abs(shown - normals[inside] * [1, -1, -1]).max() < 0.05


def test_silhouette_area_of_a_sphere(ball, eye):
    alpha = render(ball, eye, supersample=4).image[..., 3]
    radius_px = eye.fx * RADIUS / np.sqrt(DISTANCE**2 - RADIUS**2)
    assert alpha.sum() == pytest.approx(np.pi * radius_px**2, rel=2e-3)


def test_face_and_barycentric_name_the_point(ball, eye):
    view = render(ball, eye)
    y, x = np.nonzero(view.mask)
    corners = ball.vertices[ball.faces[view.face[y, x]]]
    points = (corners * view.barycentric[y, x][..., None]).sum(1)
    expected = eye.unproject(np.stack([x + 0.5, y + 0.5], -1), view.depth[y, x])
    assert np.abs(points - expected).max() < 1e-4
    assert np.abs(view.barycentric[y, x].sum(-1) - 1).max() < 1e-5


def test_no_ray_slips_through_an_edge(ball, eye):
    depth, _ = sphere_truth(eye.resized(SIZE, SIZE))
    view = render(ball, eye)
    shrunk = np.isfinite(depth)
    for axis in (0, 1):
        shrunk &= np.roll(shrunk, 1, axis) & np.roll(shrunk, -1, axis)
    assert view.mask[shrunk].all()


def test_texture_is_neither_flipped_nor_mirrored():
    texture = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    picture = render(textured_quad(texture), head_on(8), "unlit").image
    assert np.abs(picture[..., :3] * 255 - texture).max() < 0.6
    assert (picture[..., 3] == 1).all()


def test_texture_is_blended_in_linear_light():
    texture = np.zeros((1, 2, 3), np.uint8)
    texture[:, 1] = 255
    middle = sample_bilinear(srgb_to_linear(texture / np.float32(255)), np.array([[0.5, 0.5]]))
    assert linear_to_srgb(middle)[0, 0] == pytest.approx(0.7354, abs=1e-3)  # not 0.5


@given(st.integers(1, 5), st.integers(1, 5), st.data())
@settings(max_examples=50, deadline=None)
def test_texel_centres_are_exact_and_repeat(width, height, data):
    texture = np.random.default_rng(0).random((height, width, 3)).astype(np.float32)
    i, j = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    turns = data.draw(st.integers(-2, 2))
    uv = np.array([[(i + 0.5) / width + turns, (j + 0.5) / height - turns]])
    assert np.abs(sample_bilinear(texture, uv)[0] - texture[j, i]).max() < 1e-4


def test_every_face_wears_its_own_material():
    box = synthetic.textured_box()
    red, blue = np.full((4, 4, 3), (255, 0, 0), np.uint8), np.full((4, 4, 3), (0, 0, 255), np.uint8)
    green = Material(base_color=(0.0, 1.0, 0.0, 1.0))
    index = np.repeat(np.arange(6), 2).astype(np.int32) % 3
    several = box.with_(material=None, materials=(Material(red), Material(blue), green), face_material=index)
    view = render(several, Camera.orbit(64, np.radians(30), np.radians(30), np.radians(20), 4.0), "unlit")
    wanted = np.array([(1, 0, 0), (0, 0, 1), (0, 1, 0)])[index[view.face[view.mask]]]
    assert np.abs(view.image[view.mask][:, :3] - wanted).max() < 0.01
    assert len(np.unique(index[view.face[view.mask]])) == 3


def test_vertex_colours_are_used_without_a_texture():
    quad = textured_quad(np.zeros((2, 2, 3), np.uint8))
    colors = np.array([[1, 0, 0]] * 4, np.float32)
    picture = render(quad.with_(material=None, uv=None, colors=colors), head_on(4), "unlit").image
    assert np.abs(picture - [1, 0, 0, 1]).max() < 1e-3


def test_seen_map_colours_the_ends():
    quad = textured_quad(np.zeros((2, 2, 3), np.uint8))
    light = render(quad, head_on(4), "clay").image[1, 1, :3]
    for seen, color in ((1.0, SEEN_COLOR), (0.0, INVENTED_COLOR)):
        picture = render(quad.with_(seen=np.full(4, seen, np.float32)), head_on(4), "seen").image[1, 1, :3]
        ratio = srgb_to_linear(light) / srgb_to_linear(np.array(CLAY_COLOR))
        assert np.abs(srgb_to_linear(picture) - srgb_to_linear(np.array(color)) * ratio).max() < 1e-3


def test_background_is_blended_in_linear_light():
    white = textured_quad(np.full((2, 2, 3), 255, np.uint8))
    camera = head_on(3, reach=3.0)  # the quad covers the middle pixel
    moved = camera.moved(np.array([[1, 0, 0, 0.5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]))
    picture = render(white, moved, "unlit", background=(0, 0, 0), supersample=2).image
    assert (picture[..., 3] == 1).all()
    assert picture[1, 0, 0] == pytest.approx(0.7354, abs=1e-3)  # half covered
    assert render(white, moved, "unlit", supersample=2).image[1, 0] == pytest.approx([1, 1, 1, 0.5], abs=1e-3)


def test_back_faces_are_lit_but_their_normals_stay():
    quad = textured_quad(np.full((2, 2, 3), 255, np.uint8))
    back = quad.with_(faces=quad.faces[:, ::-1].copy())
    front_view, back_view = (render(mesh, head_on(4), "clay") for mesh in (quad, back))
    assert np.allclose(front_view.image, back_view.image, atol=1e-5)
    assert np.allclose(front_view.normals, [0, 0, -1], atol=1e-5)
    assert np.allclose(back_view.normals, [0, 0, 1], atol=1e-5)


def test_boxes_are_flat_and_spheres_smooth(ball):
    box = synthetic.box()
    assert np.allclose(Scene(box).corner_normals, box.face_normals()[:, None], atol=1e-5)
    outward = (ball.vertices - [0.3, 0.1, -0.2]) / RADIUS
    assert ((smooth_normals(ball) * outward).sum(-1) > 0.999).all()


def test_seam_vertices_share_their_normal():
    box = synthetic.box()
    torn = box.with_(
        vertices=box.vertices[box.faces].reshape(-1, 3), faces=np.arange(36, dtype=np.int32).reshape(12, 3)
    )
    assert np.allclose(smooth_normals(torn), smooth_normals(box)[box.faces].reshape(-1, 3), atol=1e-6)


@given(st.floats(-3.2, 3.2), st.floats(-1.5, 1.5), st.floats(0.2, 1.2), st.tuples(*[st.floats(-50, 50)] * 3))
@settings(max_examples=30, deadline=None)
def test_orbit_cameras_frame_the_mesh(azimuth, elevation, yfov, centre):
    box = synthetic.box(size=(1, 3, 0.5), centre=centre)
    cameras = orbit_cameras(box, [(azimuth, elevation), (0, 0)], 100, yfov, margin=0.1)
    reached = []
    for camera in cameras:
        pixels, depth = camera.project(box.vertices)
        assert (depth > 0).all()
        assert pixels.min() > 9.9
        assert pixels.max() < 90.1
        reached.append(max(pixels.max() - 90, 10 - pixels.min()))
    assert max(reached) == pytest.approx(0, abs=0.1)  # no further away than it must be


def test_views_equal_single_renders_and_repeat(ball):
    cameras = orbit_cameras(ball, [(0.3, 0.2), (2.0, 0.1)], 48)
    many = render_views(Scene(ball), cameras, supersample=2)
    for camera, view in zip(cameras, many, strict=True):
        assert (render(ball, camera, supersample=2).image == view.image).all()


def test_empty_view_and_camera_inside(ball):
    away = np.eye(4)
    away[:3, 3] = (0, 0, 10)
    turned = Camera.from_fov(8, 8, 1.0, away)  # looks away from the ball
    assert not render(ball, turned, supersample=2).mask.any()
    inside = Camera.from_fov(8, 8, 1.0, np.array([[1, 0, 0, 0.3], [0, 1, 0, 0.1], [0, 0, 1, -0.2], [0, 0, 0, 1.0]]))
    assert render(ball, inside).mask.all()


def test_refuses_nonsense(ball, eye):
    with pytest.raises(UsageError, match="no shading named 'shiny'"):
        render(ball, eye, "shiny")
    with pytest.raises(InputError):
        render(ball.with_(vertices=ball.vertices * np.nan), eye)
