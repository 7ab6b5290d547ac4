"""Depth maps of known shapes joined to points and surfaces: exact, noisy, wrong, incomplete, masked, far away."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("numba")

from synthetic import ball, marched, waves

from liftform.assets import PointCloud
from liftform.camera import Camera
from liftform.capture import Capture, Depth, Mask, Photo
from liftform.errors import OutputError, ReconstructionError
from liftform.export import save
from liftform.reconstruct.fusion import FusionOptions, fusion, points
from liftform.reconstruct.fusion.blocks import Blocks, packed, unpacked, zero_level
from liftform.reconstruct.fusion.maps import maps_of, normals_of
from liftform.refine.clean import CleanOptions, clean
from liftform.refine.unwrap import UnwrapOptions, unwrap
from liftform.runtime import Runtime
from liftform.topology import health

RADIUS = 0.4
ONE = Runtime(threads=1)


def sphere_depth(camera, radius=RADIUS):
    """Exact z-depth (H, W) of a ball about the origin, NaN beside it."""
    origin, rays = camera.rays()
    a, b = (rays**2).sum(-1), rays @ origin
    inner = b**2 - a * (origin @ origin - radius**2)
    with np.errstate(invalid="ignore"):
        return np.where(inner > 0, (-b - np.sqrt(inner)) / a, np.nan).astype(np.float32)


def ball_set(size=56, ring=8, spoil=None, masks=True):
    """A ball photographed from two rings around it, painted with waves."""
    photos = []
    for k, elevation in enumerate((-0.5, 0.6)):
        for i in range(ring):
            camera = Camera.orbit(size, 0.6, 2 * np.pi * (i + 0.5 * k) / ring, elevation, 2.0)
            z = sphere_depth(camera)
            alpha = np.isfinite(z).astype(np.float32)
            pixels = np.stack(np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5), -1)
            image = np.where(alpha[..., None] > 0, waves(camera.unproject(pixels, np.nan_to_num(z))), 0.5)
            image = image.astype(np.float32)
            mask = Mask(alpha, image, 1.0) if masks else None
            depth = Depth(z if spoil is None else spoil(z, len(photos)))
            photos.append(Photo(image, mask=mask, camera=camera, depth=depth))
    return Capture(tuple(photos))


def unprojected(photo):
    """Rows and columns (N, 2) of the pixels with depth, and their places (N, 3)."""
    z = photo.depth.z
    pixels = np.argwhere(np.isfinite(z))
    return pixels, photo.camera.unproject(pixels[:, ::-1] + 0.5, z[tuple(pixels.T)])


@pytest.fixture(scope="module")
def exact():
    return ball_set()


@pytest.fixture(scope="module")
def made(exact):
    return {method: fusion(FusionOptions(method=method), ONE)(exact) for method in ("tsdf", "poisson")}


def off(vertices):
    """Distance of points from the ball's surface, as a share of its diameter."""
    return np.abs(np.linalg.norm(vertices, axis=1) - RADIUS) / (2 * RADIUS)


@pytest.mark.parametrize("method", ["tsdf", "poisson"])
def test_a_ball_comes_out_within_a_fraction_of_a_voxel(made, method):
    mesh = made[method]
    cell = mesh.metadata["fusion"]["cell"] / (2 * RADIUS)
    assert off(mesh.vertices).mean() < 0.15 * cell
    assert np.quantile(off(mesh.vertices), 0.99) < 0.8 * cell
    outward = np.einsum("ij,ij->i", mesh.face_normals(), mesh.vertices[mesh.faces].mean(1))
    assert (outward > 0).mean() > 0.999
    assert np.abs(mesh.colors - waves(mesh.vertices)).mean() < 0.03


def test_voxels_leave_no_cracks_between_blocks(made):
    found = health(made["poisson"], 0)
    assert found.nonmanifold_edges == found.flipped_edges == 0
    assert found.components == 1
    ends = made["poisson"].vertices[:, 1]
    assert found.boundary_edges == 0 or np.ptp(ends) < 2 * RADIUS  # open only where no picture looks


def test_the_zero_level_of_a_known_field_is_closed_and_exact():
    places = np.stack(np.meshgrid(*[np.arange(-2, 2)] * 3, indexing="ij"), -1).reshape(-1, 3)
    blocks = Blocks(np.zeros(3), 0.1, np.sort(packed(places)))
    nodes = blocks.nodes(np.arange(len(blocks.key))).reshape(-1, 8, 8, 8, 3)
    field = ((np.linalg.norm(nodes - 0.02, axis=-1) - 0.9) / 0.1).astype(np.float32)
    vertices, faces = zero_level(blocks, field, np.ones(field.shape, bool))
    assert np.abs(np.linalg.norm(vertices - 0.02, axis=1) - 0.9).max() < 0.003
    found = health(marched(ball()).with_(vertices=vertices, faces=faces))
    assert found.manifold
    assert found.outward
    assert found.self_intersecting == 0


@given(st.lists(st.tuples(*[st.integers(-(2**20), 2**20 - 1)] * 3), min_size=1))
@settings(max_examples=30, deadline=None)
def test_keys_of_blocks_are_unique_and_reversible(places):
    p = np.array(places, np.int64)
    np.testing.assert_array_equal(unpacked(packed(p)), p)


def test_noise_is_averaged(exact):
    def noisy(z, number):
        return z * (1 + 0.004 * np.random.default_rng(number).normal(size=z.shape)).astype(np.float32)

    capture = ball_set(spoil=noisy)
    single = off(np.concatenate([unprojected(photo)[1] for photo in capture.photos]))
    mesh = fusion(FusionOptions(), ONE)(capture)
    assert off(mesh.vertices).mean() < 0.6 * single.mean()
    assert off(points(capture, FusionOptions(), ONE).points).mean() < 0.9 * single.mean()


def test_wrong_depths_leave_nothing_in_the_air():
    def wrong(z, number):
        out = z.copy()
        at = np.random.default_rng(number).integers(0, z.shape[0] - 6, (3, 2))
        for y, x in at:
            out[y : y + 6, x : x + 6] *= 0.75
        return out

    capture = ball_set(spoil=wrong, masks=False)
    mesh = fusion(FusionOptions(), ONE)(capture)
    assert np.quantile(off(mesh.vertices), 0.999) < 0.05
    assert off(points(capture, FusionOptions(), ONE).points).max() < 0.02


def test_points_come_once_with_outward_normals_and_their_colours(exact):
    cloud = points(exact, FusionOptions(), ONE)
    assert np.quantile(off(cloud.points), 0.99) < 0.004
    assert (np.einsum("ij,ij->i", cloud.normals, cloud.points / RADIUS) > 0.8).mean() > 0.97
    assert np.abs(cloud.colors - waves(cloud.points)).mean() < 0.03
    shown = sum(int(np.isfinite(photo.depth.z).sum()) for photo in exact.photos)
    assert len(cloud.points) < 0.6 * shown
    few = points(exact, FusionOptions(points=1000), ONE)
    assert 300 < len(few.points) <= 1000


def test_small_holes_close_and_are_marked(exact):
    def holed(z, number):
        pixels, places = unprojected(exact.photos[number])
        out = z.copy()
        out[tuple(pixels[np.linalg.norm(places - [0, 0, RADIUS], axis=1) < 0.06].T)] = np.nan
        return out

    capture = ball_set(spoil=holed)
    near = [0, 0, RADIUS]
    open_mesh = fusion(FusionOptions(method="tsdf"), ONE)(capture)
    closed = fusion(FusionOptions(method="poisson", fill=0.1), ONE)(capture)
    assert np.linalg.norm(open_mesh.vertices - near, axis=1).min() > 0.03
    gap = np.linalg.norm(closed.vertices - near, axis=1) < 0.04
    assert gap.any()
    assert (closed.seen[gap] == 0).mean() > 0.8
    assert off(closed.vertices[gap]).max() < 0.02


def test_what_lies_outside_a_mask_is_not_there():
    """Depths that go on behind the silhouette (a wall that masks call background) make no surface."""

    def walled(z, number):
        return np.where(np.isfinite(z), z, np.float32(2.3))

    mesh = fusion(FusionOptions(method="tsdf"), ONE)(ball_set(spoil=walled))
    assert off(mesh.vertices).max() < 0.05


def test_a_far_background_costs_no_memory():
    def far(z, number):
        return np.where(np.isfinite(z), z, np.float32(500.0))

    capture = ball_set(spoil=far, masks=False)
    mesh = fusion(FusionOptions(method="tsdf"), ONE)(capture)
    assert np.abs(mesh.vertices).max() < 1
    tight = fusion(FusionOptions(method="tsdf", memory=64, cell=0.5), ONE)(capture)
    assert tight.metadata["fusion"]["blocks"] * 4096 <= 64e6


def test_the_same_bytes_from_any_number_of_threads(exact):
    one, two = (fusion(FusionOptions(), Runtime(threads=n))(exact) for n in (1, 3))
    for name in ("vertices", "faces", "colors", "seen", "confidence"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_finishing_works_on_it(made):
    solid = clean(CleanOptions(), ONE)(made["poisson"])
    assert health(solid, 0).watertight
    assert unwrap(UnwrapOptions(), ONE)(made["tsdf"]).uv is not None


def test_normals_of_a_slanted_plane():
    camera = Camera.from_fov(32, 24, 0.7)
    _, rays = camera.rays()
    normal = np.array([0.3, -0.4, -0.87])
    normal /= np.linalg.norm(normal)
    z = (-2 / (rays @ normal)).astype(np.float32)
    got = normals_of(z, np.array([camera.fx, camera.fy, camera.cx, camera.cy]))
    np.testing.assert_allclose(got, np.broadcast_to(normal, got.shape), atol=2e-3)


def test_nothing_to_join_is_said():
    with pytest.raises(ReconstructionError, match="no picture of this set has depth"):
        maps_of(Capture((Photo(np.zeros((4, 4, 3), np.float32)),)))
    lone = ball_set().photos[0]
    with pytest.raises(ReconstructionError, match="up to a shift"):
        maps_of(Capture((replace(lone, depth=replace(lone.depth, scale="affine")),)))
    apart = replace(lone, depth=Depth(np.full_like(lone.depth.z, np.nan)))
    with pytest.raises(ReconstructionError):
        fusion(FusionOptions(), ONE)(Capture((apart, apart)))


def test_a_cloud_as_las(tmp_path, exact):
    cloud = points(exact, FusionOptions(points=2000), ONE)
    (path,) = save(cloud, tmp_path / "ball.las")
    data = path.read_bytes()
    assert data[:4] == b"LASF"
    assert len(data) == 375 + 36 * len(cloud.points)
    scale, offset = np.frombuffer(data, "<f8", 3, 131), np.frombuffer(data, "<f8", 3, 155)
    rows = np.frombuffer(data, np.uint8, offset=375).reshape(-1, 36)
    x, y, z = (np.ascontiguousarray(rows[:, :12]).view("<i4") * scale + offset).T
    np.testing.assert_allclose(np.stack([x, z, -y], 1), cloud.points, atol=1e-6)
    red = np.ascontiguousarray(rows[:, 30:32]).view("<u2")[:, 0] / 65535
    np.testing.assert_allclose(red, cloud.colors[:, 0], atol=1e-5)
    with pytest.raises(OutputError, match="hold points"):
        save(marched(ball()), tmp_path / "mesh.las")
    assert isinstance(cloud, PointCloud)
