"""Surface extraction against analytic shapes, the crop's geometry, and the object stage with a field of known truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from liftform.assets import Mesh
from liftform.camera import Camera
from liftform.errors import ReconstructionError
from liftform.reconstruct.surface import sample_field, surface_of
from liftform.topology import health
from liftform.zoo import object_frame


def _ball(centre: tuple[float, float, float], radius: float):  # type: ignore[no-untyped-def]
    def field(points: NDArray[np.float32]) -> NDArray[np.float32]:
        return (np.linalg.norm(points - np.array(centre), axis=1) - radius).astype(np.float32)

    return field


@settings(max_examples=12, deadline=None)
@example((0.2423210660385438, 0.13488319970089122, 0.004477034427165627), 0.18730840010270458, 96)  # met a grid point
@given(
    st.tuples(*[st.floats(-0.3, 0.3)] * 3),
    st.floats(0.08, 0.4),
    st.sampled_from([32, 48, 96]),
)
def test_a_ball_comes_out_closed_and_true(centre: tuple[float, float, float], radius: float, resolution: int) -> None:
    low, high = np.full(3, -0.8), np.full(3, 0.8)
    mesh = Mesh(*surface_of(sample_field(_ball(centre, radius), low, high, resolution)))
    facts = health(mesh)
    assert facts.watertight
    assert facts.outward
    assert facts.components == 1
    assert facts.volume == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.05)
    off = np.abs(np.linalg.norm(mesh.vertices - np.array(centre), axis=1) - radius)
    assert off.max() < 0.2 * (2 * radius / resolution)


def test_only_a_band_is_evaluated() -> None:
    asked = []

    def field(points: NDArray[np.float32]) -> NDArray[np.float32]:
        asked.append(len(points))
        return _ball((0, 0, 0), 0.4)(points)

    grid = sample_field(field, np.full(3, -0.5), np.full(3, 0.5), 192)
    assert sum(asked) < 0.2 * grid.values.size


def test_the_same_surface_as_a_dense_grid() -> None:
    def field(points: NDArray[np.float32]) -> NDArray[np.float32]:
        table = np.maximum(np.abs(points[:, 1]) - 0.02, np.linalg.norm(points[:, ::2], axis=1) - 0.4)
        leg = np.maximum(np.abs(points[:, 1] + 0.2) - 0.2, np.linalg.norm(points[:, ::2], axis=1) - 0.03)
        return np.minimum(table, leg).astype(np.float32)

    sparse = sample_field(field, np.full(3, -0.6), np.full(3, 0.6), 96)
    dense = field(sparse.points(np.ones(sparse.values.shape, bool))).reshape(sparse.values.shape)
    inner = (slice(1, -1),) * 3
    assert ((sparse.values < 0) == (dense < 0))[inner].mean() > 0.9999


def test_nothing_inside_is_an_error() -> None:
    with pytest.raises(ReconstructionError, match="no surface"):
        sample_field(_ball((9, 9, 9), 0.1), np.full(3, -0.5), np.full(3, 0.5), 32)


@settings(max_examples=40, deadline=None)
@given(
    st.floats(-0.4, 0.9),
    st.floats(300, 4000),
    st.floats(20, 700),
    st.floats(20, 500),
    st.floats(40, 250),
)
def test_photo_and_crop_cameras_agree(elevation: float, focal: float, left: float, top: float, side: float) -> None:
    box = (left, top, left + side, top + 0.8 * side)
    photo = object_frame.photo_camera((1000, 800), focal, box, elevation)
    virtual = object_frame.virtual_camera(photo, box, 128)
    np.testing.assert_allclose(photo.position, virtual.position, atol=1e-9)
    ray = np.array([left + side / 2 - 500, top + 0.4 * side - 400, focal])
    if abs(np.sin(elevation)) < np.hypot(ray[1], ray[2]) / np.linalg.norm(ray):  # otherwise no such camera exists
        assert np.arcsin(-virtual.world_from_camera[1, 2]) == pytest.approx(elevation, abs=1e-6)
    np.testing.assert_allclose(virtual.project(np.zeros((1, 3)))[0], [[64, 64]], atol=1e-6)
    np.testing.assert_allclose(photo.project(np.zeros((1, 3)))[0], [[left + side / 2, top + 0.4 * side]], atol=1e-6)
    assert photo.world_from_camera[1, 0] == pytest.approx(0, abs=1e-12)  # no roll
    plane = virtual.unproject(np.array([[0, 64], [128, 64]]), np.full(2, np.linalg.norm(virtual.position)))
    assert np.linalg.norm(plane[1] - plane[0]) == pytest.approx(object_frame.FRAME_WIDTH, rel=1e-6)


def test_resampling_keeps_shape_colour_and_side() -> None:
    rows, columns = np.mgrid[:600, :800] + 0.5
    disc = (np.hypot(columns - 500, rows - 250) < 120).astype(np.float32)
    colour = np.zeros((600, 800, 3), np.float32)
    colour[..., 0] = np.where(columns < 500, 1.0, 0.2)
    box = object_frame.bounding_box(disc)
    assert box == (380, 130, 620, 370)
    photo = object_frame.photo_camera((800, 600), 900.0, box, 0.2)
    virtual = object_frame.virtual_camera(photo, box, 64)
    rgb, alpha = object_frame.resample(colour, disc, photo, virtual)
    assert alpha.sum() == pytest.approx(np.pi * (32 / object_frame.CROP_PADDING) ** 2, rel=0.05)
    assert rgb[32, 20, 0] == pytest.approx(1.0, abs=0.01)
    assert rgb[32, 44, 0] == pytest.approx(0.2, abs=0.01)


def test_missing_parts_come_back_as_sheets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A field that knows only a ball, under a silhouette that also shows a bar: the bar is added where depth says."""
    from liftform.reconstruct import object as stage
    from liftform.zoo import lifter

    virtual = object_frame.crop_camera(128, 0.5, 0.0)
    rows, columns = np.mgrid[:128, :128] + 0.5
    alpha = ((np.hypot(columns - 64, rows - 64) < 26) | ((np.abs(rows - 64) < 4) & (np.abs(columns - 64) < 56))).astype(
        np.float32
    )
    reading = lifter.Reading(
        alpha, np.zeros((64, 64), np.float32), np.zeros((3, 64, 64), np.float32), 0.0, 0.25,
        (np.array([1, 0, 0], np.float32), 0.0, 0.0), {},
    )  # fmt: skip
    big = np.kron(alpha, np.ones((2, 2), np.float32))

    def field(points: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.concatenate([_ball((0, 0, 0), 0.23)(points)[:, None], np.zeros((len(points), 3))], 1)

    crop = stage._Crop(virtual, reading, None, stage._Mean((field,)), stage._signed_distance(big))
    alone = Mesh(*surface_of(sample_field(crop.carved, *crop.search_box(), 64)))
    grid = sample_field(crop.carved, *crop.search_box(), 64, crop.visible_points())
    mended, share = stage._with_missing_parts(grid, crop)
    whole = Mesh(*surface_of(mended))
    assert 0.1 < share < 0.3
    assert np.abs(alone.vertices[:, 0]).max() < 0.3
    assert np.abs(whole.vertices[:, 0]).max() == pytest.approx(56 / 128 * 1.2, abs=0.03)
    assert np.abs(whole.vertices[np.abs(whole.vertices[:, 0]) > 0.35][:, 2]).max() < 0.08


def test_camera_reads_a_centre_as_a_centre() -> None:
    camera = Camera.from_fov(100, 80, 0.8)
    np.testing.assert_allclose(camera.project(np.array([[0, 0, 2.0]]))[0], [[50, 40]])


def test_loose_parts_are_joined_and_crumbs_are_not() -> None:
    from liftform.reconstruct.surface import bridged

    def field(points: NDArray[np.float32]) -> NDArray[np.float32]:
        balls = [
            _ball((0, 0, 0), 0.25),
            _ball((0.45, 0, 0), 0.12),
            _ball((0, 0.4, 0), 0.1),
            _ball((-0.4, -0.4, 0), 0.02),
        ]
        return np.minimum.reduce([ball(points) for ball in balls])

    grid = sample_field(field, np.full(3, -0.7), np.full(3, 0.7), 64)
    before = health(Mesh(*surface_of(grid)))
    joined, struts = bridged(grid)
    after = health(Mesh(*surface_of(joined)))
    assert before.components == 4
    assert struts == 2
    assert after.components == 2  # the crumb is left for cleaning
    assert after.watertight
    assert after.volume == pytest.approx(before.volume, rel=0.03)
