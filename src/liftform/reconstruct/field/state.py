"""A field on its way: its bricks and decoder, what Adam remembers, one step, and the change to finer bricks."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..rays import Rays
from . import bricks as brick
from .bricks import Bricks
from .decode import SIZE
from .descend import FIRST, SECOND, descended, smoothed
from .learn import BLOCK, SETTINGS, SIDE, learnt, new_rooms
from .space import Space

FloatArray = NDArray[np.float32]

#: Share of a lattice cell's light that an empty field takes at the finest level, and below which a cell is given up.
START, GIVEN_UP = 3e-2, 2e-2
#: Steps after which every place that is seen has drawn colour from the pictures.
_SEEN_AFTER = 300


@dataclass(frozen=True)
class Plan:
    """How a field is learnt.

    longest: lattice cells along the longest side at the end. levels: shares of it, one for each stage; until: progress
    in [0, 1] at which each stage ends, but not before ``least`` steps (a slow machine stays coarse); sizes: pictures of
    each stage, 0 for half their side, 1 for whole. blocks: of 8 x 8 pixels a step. Rates are Adam's, which fall by
    ``decay`` to the end. half, third: mean and mean square of the background's grey. Others:
    see ``learn.learnt`` and ``descend.smoothed``.
    """

    longest: int = 256
    levels: tuple[float, ...] = (0.25, 0.5, 0.71, 1.0)
    until: tuple[float, ...] = (0.15, 0.35, 0.6, 1.0)
    least: int = 0
    sizes: tuple[int, ...] = (0, 0, 1, 1)
    blocks: int = 32
    step: float = 1.0
    rate_density: float = 0.3
    rate_features: float = 0.05
    rate_decoder: float = 2e-3
    decay: float = 0.1
    smooth_density: float = 1e-6
    smooth_features: float = 1e-4
    pull: float = 0.01
    spread: float = 0.0
    solid: float = 0.0
    half: float = 0.5
    third: float = 1 / 3
    exposure: bool = True


@dataclass
class State:
    """Everything that changes while a field is learnt. lanes: parts of a step that run at once. small: Adam's moments
    of the decoder and the looks. since: steps since the bricks changed."""

    space: Space
    shape: NDArray[np.float64]
    plan: Plan
    backdrop: FloatArray
    bricks: Bricks
    decoder: FloatArray
    looks: FloatArray
    lanes: int
    stage: int = 0
    number: int = 0
    since: int = 0
    small: dict[str, tuple[FloatArray, FloatArray]] = field(default_factory=dict)
    moments: Any = None
    gradients: Any = None
    touched: Any = None
    rooms: Any = None

    @property
    def shift(self) -> float:
        """Added to raw density: an empty field is thin mist."""
        return math.log(1 / (1 - START) - 1)

    @property
    def scale(self) -> float:
        """Density times lattice cells to optical depth: the same in the world at all levels."""
        return float(brick.size_of(self.shape, self.plan.longest).max()) / float(self.bricks.size.max())

    def make_room(self) -> None:
        """Moments and gradients, all 0, for the bricks as they are."""
        n, c = self.bricks.features.shape
        self.moments = tuple(np.zeros(shape, np.float32) for shape in ((n,), (n,), (n, c), (n, c)))
        self.gradients = (np.zeros((self.lanes, n), np.float32), np.zeros((self.lanes, n, c), np.float32))
        self.rooms = self.rooms or new_rooms(self.lanes)
        self.touched = np.zeros((self.lanes, self.bricks.count), np.uint8)
        self.since = 0

    def settings(self) -> FloatArray:
        """For ``learn.learnt``."""
        p = self.plan
        path = float(np.linalg.norm(self.bricks.size))
        values = np.zeros(SETTINGS, np.float32)
        values[:] = (p.step, 1e-3, self.shift, self.scale, 1e-4, p.pull, p.spread, p.solid, p.half, p.third, 1 / path)
        return values

    def advance(self, progress: float) -> bool:
        """Go to the stage of this progress; whether the bricks changed."""
        plan, before = self.plan, self.stage
        while self.stage + 1 < len(plan.levels) and progress > plan.until[self.stage] and self.since >= plan.least:
            self.stage += 1
            self._refine()
        return self.stage != before

    def _refine(self) -> None:
        """Bricks of the stage, where there is something."""
        thick = GIVEN_UP / self.scale
        seen = self.moments[3].any(1) if self.since > _SEEN_AFTER else None
        kept = brick.occupied_cells(self.bricks, math.log(math.expm1(thick)) - self.shift, seen, 0)
        size = brick.size_of(self.shape, round(self.plan.longest * self.plan.levels[self.stage]))
        if kept.any():
            self.bricks = brick.resampled(self.bricks, size, kept)
        self.make_room()


def cameras_of(space: Space, rays: Rays) -> tuple[FloatArray, FloatArray, FloatArray]:
    """What ``learn.aimed`` takes: centres and turns in the frame, and turns in the world."""
    turn, shift = space.frame_from_world[:3, :3], space.frame_from_world[:3, 3]
    centres = rays.centres.astype(np.float64) @ turn.T + shift
    return centres.astype(np.float32), (turn @ rays.turns.astype(np.float64)).astype(np.float32), rays.turns


def blocks_of(rays: Rays, count: int, rng: np.random.Generator) -> NDArray[np.int32]:
    """Places (count, 3) of blocks, (picture, x, y), evenly over all pictures; at the borders as often as inside."""
    picture = rng.integers(0, rays.pictures, count)
    places = [picture]
    for sides in (rays.widths, rays.heights):
        at = (rng.random(count) * (sides[picture] + SIDE - 1)).astype(np.int64) - (SIDE - 1) // 2
        places.append(np.clip(at, 0, np.maximum(sides[picture] - SIDE, 0)))
    return np.stack(places, 1).astype(np.int32)


def one_step(state: State, rays: Rays, cameras: Any, progress: float, rng: np.random.Generator) -> float:
    """Look at some blocks and move everything a step; returns the mean squared error."""
    plan, b = state.plan, state.bricks
    blocks = blocks_of(rays, plan.blocks, rng)
    jitter = rng.random((plan.blocks, BLOCK), np.float32)
    of_decoder = np.zeros((state.lanes, SIZE), np.float32)
    of_looks = np.zeros((state.lanes, *state.looks.shape), np.float32)
    alphas = rays.alphas if rays.alphas is not None else np.zeros(0, np.uint8)
    error: float = learnt(
        state.space.code,
        b.size.astype(np.float32),
        blocks,
        jitter,
        cameras,
        (rays.starts, rays.widths, rays.heights, rays.colors, alphas),
        state.backdrop,
        state.looks,
        state.settings(),
        b.grid,
        b.features,
        state.decoder,
        (*state.gradients, of_decoder, of_looks, state.touched),
        state.rooms,
    )
    state.number += 1
    state.since += 1
    if plan.smooth_density or plan.smooth_features:
        pulls = (np.float32(plan.smooth_density), np.float32(plan.smooth_features))
        of_density, of_features = state.gradients
        smoothed(b.index, b.places, b.density, b.features, pulls, of_density, of_features, state.touched)
    fade = plan.decay**progress
    rates = (np.float32(plan.rate_density * fade), np.float32(plan.rate_features * fade))
    descended(b.density, b.features, state.moments, state.gradients, state.touched, rates, state.since)
    _adam(state, "decoder", state.decoder, of_decoder.sum(0), plan.rate_decoder * fade)
    if rays.alphas is None and plan.exposure:
        _adam(state, "looks", state.looks, of_looks.sum(0), 1e-3 * fade)
        state.looks[:] -= state.looks.mean(0) - np.array([1, 1, 1, 0, 0, 0], np.float32)
    return error / (plan.blocks * BLOCK * 3)


def _adam(state: State, name: str, values: FloatArray, slope: FloatArray, rate: float) -> None:
    """One step of Adam for small arrays, in place."""
    first, second = state.small.setdefault(name, (np.zeros_like(values), np.zeros_like(values)))
    first += (1 - FIRST) * (slope - first)
    second += (1 - SECOND) * (slope * slope - second)
    n = state.number
    values -= rate * (first / (1 - FIRST**n)) / (np.sqrt(second / (1 - SECOND**n)) + 1e-12)
