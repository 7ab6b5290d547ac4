"""The implicit surface: gradients by differences, a sphere from twelve views, silhouettes, resuming, bad input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from synthetic import ball, traced

pytest.importorskip("numba")

from liftform.camera import Camera
from liftform.capture import Capture
from liftform.errors import ReconstructionError, UnreadableError, UsageError
from liftform.reconstruct.implicit import ImplicitOptions, implicit, kernels, learned
from liftform.reconstruct.implicit.plain import before_plain
from liftform.reconstruct.implicit.shells import Shells, colors_back, colors_of
from liftform.reconstruct.implicit.start import Silhouettes
from liftform.reconstruct.implicit.sweep import swept
from liftform.reconstruct.implicit.volume import banded
from liftform.runtime import Runtime

CENTRE = np.array([0.05, 0.02, -0.03])
RADIUS = 0.4


def painted(points):
    return 0.5 + 0.35 * np.sin(9 * points)


def ring_of(count=12, size=64, background=(0.9, 0.1, 0.9)):
    views = [
        Camera.orbit(size, np.radians(36), 2 * np.pi * k / count, (0.5, -0.4, 1.1)[k % 3], 2.0) for k in range(count)
    ]
    return Capture(tuple(traced(ball(RADIUS, CENTRE), view, painted, background).photo for view in views))


def rough_volume(cells=12, harmonics=4):
    """A bumpy ball with random colours, all of its grid a band."""
    rng = np.random.default_rng(5)
    axis = np.arange(cells + 7) / cells - 0.75
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    volume = banded((np.sqrt(x**2 + y**2 + z**2) - 0.3).astype(np.float32), np.zeros(3), 1.0, 1 / cells, 9, harmonics)
    volume.sdf += rng.normal(0, 0.01, volume.shape).astype(np.float32)
    volume.colors[:] = rng.normal(0.3, 0.2, volume.colors.shape)
    return volume


def rays_at(volume, count=24):
    """Rays from all sides into the middle of a volume."""
    rng = np.random.default_rng(3)
    middle = 0.5 * volume.h * (np.array(volume.shape) - 1)
    places = rng.normal(size=(count, 3))
    places *= 1.5 / np.linalg.norm(places, axis=1, keepdims=True)
    targets = rng.normal(0, 0.15, (count, 3))
    directions = targets - places
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    colors, masks = rng.random((count, 3)), (rng.random(count) > 0.4).astype(np.float32)
    return tuple(
        np.ascontiguousarray(a, np.float32) for a in (places + middle, directions, rng.random(count), colors, masks)
    )


def cost_and_pulls(volume, rays, back, weights=(1.0, 0.3)):
    """The summed cost of rays, and its derivatives by distances, colours and background."""
    origins, directions, offsets, colors, masks = rays
    count, size = len(origins), volume.colors.shape[1] // 3
    points, shades = np.zeros((1, count * 96, 4), np.float32), np.zeros((1, count * 96, 7), np.float32)
    bases, counts = np.zeros((count, size), np.float32), np.zeros((1, 2), np.int64)
    pull, costs = np.zeros((count, 3), np.float32), np.zeros(count)
    kernels.backward(
        *(origins, directions, offsets, back, colors, masks, np.array(weights)),
        *(volume.sdf, volume.cells, volume.blocks, volume.index, volume.colors),
        *(volume.h, 0.75 * volume.h, 1.5 / volume.h, count, points, shades, bases, counts, pull, costs),
    )
    by_sdf, by_colors = np.zeros(len(volume.nodes), np.float32), np.zeros_like(volume.colors)
    touched = np.zeros(len(volume.nodes), np.uint8)
    kernels.scatter(points, shades, counts, bases, volume.index, 1.0, by_sdf, by_colors, touched)
    return costs.sum(), by_sdf, by_colors, pull


def slope(change, cost, size):
    """Central difference of cost() when change(+-size) is applied."""
    change(size)
    high = cost()
    change(-2 * size)
    low = cost()
    change(size)
    return (high - low) / (2 * size)


def test_rendering_pulls_as_differences_say():
    volume = rough_volume()
    rays = rays_at(volume)
    back = np.full((24, 3), 0.4, np.float32)
    cost, by_sdf, by_colors, pull = cost_and_pulls(volume, rays, back)
    assert cost > 1

    def total():
        return cost_and_pulls(volume, rays, back)[0]

    flat = volume.sdf.ravel()
    for row in np.argsort(-np.abs(by_sdf))[[0, 3, 10, 40, 100]]:

        def bend(by, node=volume.nodes[row]):
            flat[node] += np.float32(by)

        assert slope(bend, total, 2e-4) == pytest.approx(by_sdf[row], rel=0.03, abs=0.02)
    for place in np.argsort(-np.abs(by_colors).ravel())[[0, 7, 50, 200]]:

        def tint(by, place=place):
            volume.colors.ravel()[place] += np.float32(by)

        assert slope(tint, total, 2e-3) == pytest.approx(by_colors.ravel()[place], rel=0.01, abs=1e-3)
    ray = int(np.abs(pull).sum(1).argmax())

    def lighten(by):
        back[ray, 1] += np.float32(by)

    assert slope(lighten, total, 2e-3) == pytest.approx(pull[ray, 1], rel=0.01, abs=1e-3)


def test_regularity_and_anchors_pull_as_differences_say():
    volume = rough_volume(8)
    nodes, h, flat = volume.nodes, volume.h, volume.sdf.ravel()
    points = (np.array([[7.2, 7.1, 3.9], [3.4, 7.7, 7.0]])).astype(np.float32)
    trust = np.array([1.0, 0.5], np.float32)

    def costs():
        a, b, c = np.unravel_index(np.arange(volume.sdf.size), volume.shape)
        inner = (np.minimum.reduce([a, b, c]) > 0) & (np.maximum.reduce([a, b, c]) < volume.shape[0] - 1)
        f, bends = volume.sdf.astype(np.float64), 0.0
        for axis in range(3):
            second = np.roll(f, 1, axis) + np.roll(f, -1, axis) - 2 * f
            bends += (second.ravel()[inner] ** 2).sum() / h**2 / len(nodes)
        gradient = np.stack([(np.roll(f, -1, k) - np.roll(f, 1, k)) / (2 * h) for k in range(3)], -1).reshape(-1, 3)
        slopes = ((np.linalg.norm(gradient[nodes], axis=1) - 1) ** 2).mean()
        known = kernels.anchor(points, trust, volume.sdf, volume.index, h, 1.0, np.zeros(len(nodes), np.float32))
        return 0.7 * slopes + 0.2 * bends + 0.3 * known

    flow, out = np.zeros((len(nodes), 3), np.float32), np.zeros(len(nodes), np.float32)
    kernels.eikonal_flow(volume.sdf, nodes, h, flow)
    kernels.regular(volume.sdf, nodes, volume.index, flow, h, 0.7, 0.2, out)
    kernels.anchor(points, trust, volume.sdf, volume.index, h, 0.3, out)
    for row in np.argsort(-np.abs(out))[[0, 5, 40, 150, 300]]:

        def bend(by, node=nodes[row]):
            flat[node] += np.float32(by)

        assert slope(bend, costs, 1e-3) == pytest.approx(out[row], rel=0.02, abs=2e-3)


def test_the_background_pulls_as_differences_say():
    shells = Shells.around(np.zeros(3), 1.0)
    shells.textures[:] = np.random.default_rng(1).normal(0.2, 0.4, shells.textures.shape)
    origins, directions = np.array([[0.2, 0.1, -0.3], [3.0, 0.0, 0.1]]), np.array([[0.6, 0.0, 0.8], [-1.0, 0.0, 0.0]])
    weights = np.array([[1.0, -0.5, 0.3], [0.2, 0.9, -1.0]], np.float32)
    by, out = np.zeros_like(shells.textures), np.empty((2, 3), np.float32)
    colors_back(origins, directions, shells.radii, shells.textures, weights, by)

    def total():
        colors_of(origins, directions, shells.radii, shells.textures, out)
        return float((out.astype(np.float64) * weights).sum())

    for place in np.argsort(-np.abs(by).ravel())[[0, 4, 9, 20, 60]]:

        def change(step, place=place):
            shells.textures.ravel()[place] += np.float32(step)

        assert slope(change, total, 1e-2) == pytest.approx(by.ravel()[place], rel=0.01, abs=1e-4)


def test_sweeping_gives_distances():
    axis = np.linspace(-1, 1, 41)
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    far = np.sqrt(x**2 + y**2 + z**2) - 0.6
    out = swept((far * (2 + x)).astype(np.float32), 0.05, 0.3)
    near = np.abs(far) < 0.25
    assert np.abs(out - far)[near].max() < 0.03
    assert (np.abs(out) <= 0.3 + 1e-6).all()


@pytest.fixture(scope="module")
def sphere():
    return learned(ring_of(12, 96), ImplicitOptions(cells=40, steps=200), Runtime())


def test_a_sphere_comes_back(sphere):
    mesh = sphere.mesh.validate()
    away = np.linalg.norm(mesh.vertices - CENTRE, axis=1)
    assert abs(away.mean() / RADIUS - 1) < 0.01
    assert np.abs(away / RADIUS - 1).mean() < 0.01
    assert np.abs(mesh.colors - painted(mesh.vertices)).mean() < 0.06
    assert mesh.seen.mean() > 0.95
    assert sphere.problem.silhouettes.outside(mesh.vertices).max() < 0.2 * np.ptp(mesh.bounds) / 40


def test_the_same_seed_gives_the_same_bytes_and_a_checkpoint_goes_on(tmp_path):
    few = ring_of(6, 40)
    options = ImplicitOptions(cells=32, steps=36, checkpoint=str(tmp_path / "state.npz"))

    class Stop(Exception):
        pass

    def broken(stage, done):
        if done > 0.75:
            raise Stop

    whole = learned(few, ImplicitOptions(cells=32, steps=36), Runtime())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("liftform.reconstruct.implicit._SAVE_S", -1.0)
        with pytest.raises(Stop):
            learned(few, options, Runtime(progress=broken))
    again = learned(few, options, Runtime())
    assert again.state.total == whole.state.total == 36
    assert again.mesh.vertices.tobytes() == whole.mesh.vertices.tobytes()
    assert again.mesh.colors.tobytes() == whole.mesh.colors.tobytes()
    with pytest.raises(UsageError, match="other pictures or other options"):
        learned(few, ImplicitOptions(cells=32, steps=37, checkpoint=options.checkpoint), Runtime())
    (tmp_path / "state.npz").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(UnreadableError, match="damaged checkpoint"):
        learned(few, options, Runtime())


def test_silhouettes_know_inside_from_outside():
    hull = Silhouettes.of(ring_of(), 0.0)
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(50, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    assert hull.outside(CENTRE + 0.36 * directions).max() < 0
    assert hull.outside(CENTRE + 0.55 * directions).min() > 0


def test_a_plain_backdrop_is_a_mask():
    capture = ring_of(3, 64, (0.0, 0.0, 0.0))
    bare = Capture(tuple(replace(p, alpha=None, mask=None) for p in capture.photos))
    found = before_plain(bare)
    for photo, truth in zip(found.photos, capture.photos, strict=True):
        assert ((photo.mask.alpha > 0.5) != (truth.alpha > 0.5)).mean() < 0.03
    noise = np.random.default_rng(0).random((64, 64, 3)).astype(np.float32)
    assert before_plain(Capture(tuple(replace(p, image=noise, alpha=None, mask=None) for p in capture.photos))) is None


def test_what_cannot_be_done_says_so():
    capture = ring_of(3, 32)
    run = implicit(ImplicitOptions(cells=32, steps=30), Runtime())
    with pytest.raises(ReconstructionError, match="two pictures or more"):
        run(Capture(capture.photos[:1]))
    photo = capture.photos[0]
    corners = [np.zeros((32, 32), np.float32) for _ in range(2)]
    corners[0][:4, :4] = corners[1][-4:, -4:] = 1
    apart = tuple(replace(photo, alpha=None, mask=replace(photo.mask, alpha=alpha)) for alpha in corners)
    with pytest.raises(ReconstructionError, match="no place in common"):
        run(Capture(apart))
