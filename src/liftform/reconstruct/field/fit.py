"""From rays to a field: stages from coarse to fine within a budget of time or steps."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..rays import Rays
from . import bricks as brick
from .bricks import Bricks
from .decode import SIZE, fresh_decoder
from .descend import FIRST, SECOND, descended, smoothed
from .learn import BLOCK, SETTINGS, SIDE, learnt
from .space import Space

FloatArray = NDArray[np.float32]


@dataclass
class Plan:
    """How a field is learnt."""

    levels: tuple[float, ...] = (0.25, 0.5, 0.71, 1.0)
    until: tuple[float, ...] = (0.06, 0.2, 0.4, 1.0)
    blocks: int = 128
    step: float = 0.5
    start_alpha: float = 1e-2
    rate_density: float = 0.1
    rate_features: float = 0.05
    rate_decoder: float = 2e-3
    decay: float = 0.1
    smooth_density: float = 1e-5
    smooth_features: float = 1e-4
    pull: float = 0.01
    spread: float = 0.0
    solid: float = 0.0
    half: float = 0.5
    third: float = 1 / 3
    prune_alpha: float = 1e-3


@dataclass
class Fit:
    """A field on its way: values, decoder, looks of the pictures, and Adam's moments."""

    space: Space
    shape: NDArray[np.float64]
    longest: int
    plan: Plan
    backdrop: FloatArray
    bricks: Bricks
    decoder: FloatArray
    looks: FloatArray
    lanes: int
    seed: int = 0
    stage: int = 0
    number: int = 0
    since: int = 0
    moments: Any = None
    gradients: Any = None
    small: Any = field(default_factory=dict)

    @property
    def shift(self) -> float:
        return math.log(1 / (1 - self.plan.start_alpha) - 1)

    @property
    def scale(self) -> float:
        return self.plan_size / float(self.bricks.size.max())

    @property
    def plan_size(self) -> float:
        return float(brick.size_of(self.shape, self.longest).max())

    def room(self) -> None:
        """Moments and gradients for the bricks as they are."""
        n, c = self.bricks.features.shape
        self.moments = tuple(np.zeros(s, np.float32) for s in ((n,), (n,), (n, c), (n, c)))
        self.gradients = (np.zeros((self.lanes, n), np.float32), np.zeros((self.lanes, n, c), np.float32))
        self.touched = np.zeros((self.lanes, self.bricks.count), np.uint8)
        self.since = 0

    def settings(self) -> FloatArray:
        p = self.plan
        values = np.zeros(SETTINGS, np.float32)
        per_path = 1 / float(np.linalg.norm(self.bricks.size))
        values[:] = (p.step, 1e-3, self.shift, self.scale, 1e-4, p.pull, p.spread, p.solid, p.half, p.third, per_path)
        return values


def cameras_of(space: Space, rays: Rays) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Centres and turns in the frame, and turns in the world."""
    turn, shift = space.frame_from_world[:3, :3], space.frame_from_world[:3, 3]
    centres = rays.centres.astype(np.float64) @ turn.T + shift
    return centres.astype(np.float32), (turn @ rays.turns.astype(np.float64)).astype(np.float32), rays.turns


def one_step(fit: Fit, rays: Rays, cameras: Any, progress: float, rng: np.random.Generator) -> float:
    p = fit.plan
    n = p.blocks
    picture = rng.integers(0, rays.pictures, n)
    x = (rng.random(n) * (rays.widths[picture] + SIDE - 1)).astype(np.int32) - (SIDE - 1) // 2
    y = (rng.random(n) * (rays.heights[picture] + SIDE - 1)).astype(np.int32) - (SIDE - 1) // 2
    x, y = np.clip(x, 0, rays.widths[picture] - SIDE), np.clip(y, 0, rays.heights[picture] - SIDE)
    blocks = np.stack([picture, x, y], 1).astype(np.int32)
    jitter = rng.random((n, BLOCK), np.float32)
    b = fit.bricks
    of_decoder = np.zeros((fit.lanes, SIZE), np.float32)
    of_looks = np.zeros((fit.lanes, *fit.looks.shape), np.float32)
    alphas = rays.alphas if rays.alphas is not None else np.zeros(0, np.uint8)
    pictures = (rays.starts, rays.widths, rays.heights, rays.colors, alphas)
    out = (*fit.gradients, of_decoder, of_looks, fit.touched)
    error = learnt(fit.space.code, b.size.astype(np.float32), blocks, jitter, cameras, pictures, fit.backdrop, fit.looks,
                   fit.settings(), b.grid, b.features, fit.decoder, out)
    fit.number += 1
    fit.since += 1
    size = float(n)
    if p.smooth_density or p.smooth_features:
        smoothed(b.index, b.places, b.density, b.features, (np.float32(p.smooth_density * size), np.float32(p.smooth_features * size)),
                 *fit.gradients, fit.touched)
    fade = p.decay**progress
    rates = (np.float32(p.rate_density * fade), np.float32(p.rate_features * fade))
    descended(b.density, b.features, fit.moments, fit.gradients, fit.touched, rates, fit.since)
    _adam(fit, "decoder", fit.decoder, of_decoder.sum(0), p.rate_decoder * fade)
    if rays.alphas is None:
        _adam(fit, "looks", fit.looks, of_looks.sum(0), 1e-3 * fade)
    return error / (n * BLOCK * 3)


def _adam(fit: Fit, name: str, values: FloatArray, slope: FloatArray, rate: float) -> None:
    first, second = fit.small.setdefault(name, (np.zeros_like(values), np.zeros_like(values)))
    first += (1 - FIRST) * (slope - first)
    second += (1 - SECOND) * (slope * slope - second)
    n = fit.number
    values -= rate * (first / (1 - FIRST**n)) / (np.sqrt(second / (1 - SECOND**n)) + 1e-12)


def next_stage(fit: Fit, prune: bool = True) -> None:
    """Finer bricks, where there is something."""
    p = fit.plan
    old = fit.bricks
    least = math.log(math.exp(-math.log1p(-p.prune_alpha)) - 1) if False else _raw_of(p.prune_alpha / fit.scale) - fit.shift
    kept = brick.occupied_cells(old, least, fit.moments[3].any(1) if fit.since > 300 else None)
    size = brick.size_of(fit.shape, round(fit.longest * p.levels[fit.stage]))
    fit.bricks = brick.resampled(old, size, kept)
    fit.room()


def _raw_of(thick: float) -> float:
    """The raw number whose softplus is this."""
    return math.log(math.expm1(thick))
