"""Radiance fields: every kernel's slopes against finite differences, spaces, bricks, and a small field learnt."""

import numpy as np
import pytest

pytest.importorskip("numba")

from liftform.reconstruct.field import bricks as brick
from liftform.reconstruct.field import decode, learn, trace


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
        0, b.size.astype(np.float32), blocks, jitter, cameras, pictures, backdrop, looks, settings, b.grid,
        b.features, decoder, out,
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
            assert masked and values.size == 6
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
