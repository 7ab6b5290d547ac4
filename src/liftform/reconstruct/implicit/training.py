"""The optimisation of an implicit surface: rays drawn, rendered, compared and pulled, level by level."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ...capture import Capture
from ...errors import ReconstructionError
from ..rays import Extent, Rays, rays
from . import kernels
from .schedule import Level, fading
from .shells import Shells
from .start import Silhouettes, ball, behind_points
from .volume import Volume, banded, finer, rebanded, shape_of

FloatArray = NDArray[np.float32]
Floats = NDArray[np.float64]

#: Rays of one step, and those of a list that one thread fills.
RAYS, _CHUNK = 4096, 128
#: Entries of such a list for each of its rays.
_POINTS, _SHADES = 96, 48
#: Length of a step on a ray, in cells.
STEP = 0.75
#: Steps after which the band follows the surface.
_FOLLOW = 150
#: Rates of Adam: of the distance in cells, of colours; first and last of a level.
_SDF_RATE, _COLOR_RATE = (0.06, 0.012), (0.03, 0.006)


@dataclass(frozen=True)
class Costs:
    """What things cost: see ``ImplicitOptions``; mask is 0 where there are no masks."""

    mask: float
    eikonal: float
    smooth: float
    anchors: float


@dataclass(frozen=True)
class Anchors:
    """Points (N, 3) of the world that lie on the surface, and how far each is to be trusted, (N,) in [0, 1]."""

    points: Floats
    trust: FloatArray


@dataclass
class State:
    """How far the work is: which level, steps done in it and in all, seconds spent, grids."""

    level: int
    step: int
    total: int
    seconds: float
    volume: Volume
    shells: Shells | None
    cost: float = float("nan")


@dataclass(frozen=True)
class Problem:
    """A straight capture made ready. box: where the surface lies; silhouettes: where there are masks."""

    capture: Capture
    box: Extent
    silhouettes: Silhouettes | None
    anchors: Anchors
    levels: tuple[Level, ...]
    costs: Costs
    harmonics: int
    seed: int
    _bounds: dict[int, FloatArray] = field(default_factory=dict, repr=False)

    @property
    def unit(self) -> float:
        """The longest side of the box."""
        return float(self.box.size.max())

    def frame(self, level: Level) -> tuple[Floats, tuple[int, int, int], float]:
        """low, shape and width of the cells (unit 1) of a level's grid."""
        shape, h = shape_of(self.box.size, level.cells)
        middle = 0.5 * (self.box.low + self.box.high)
        return middle - 0.5 * self.unit * h * (np.array(shape) - 1), shape, h

    def least(self, number: int) -> FloatArray | None:
        """Bounds of the distance on a level's grid: outside of the visual hull nothing is. Coarse levels leave thin
        parts the room of half a cell."""
        if self.silhouettes is None:
            return None
        if number not in self._bounds:
            low, shape, h = self.frame(self.levels[number])
            slack = 0.0 if number == len(self.levels) - 1 else 0.5 * h
            outside = self.silhouettes.on_grid(low, self.unit * h, shape) / np.float32(self.unit)
            self._bounds.clear()
            self._bounds[number] = outside - np.float32(slack)
        return self._bounds[number]

    def start(self) -> State:
        """The first level's grids before the first step."""
        level = self.levels[0]
        low, shape, h = self.frame(level)
        least, shells = self.least(0), None
        if least is not None:
            if not (least < 0).any():
                told = "the silhouettes of the pictures have no place in common"
                raise ReconstructionError(told, "check the masks and the cameras (liftform poses)")
            field = least
        else:
            solid = behind_points(self.capture, low, self.unit * h, shape)
            field = ball(low, self.unit * h, shape) if solid is None else solid
            half = 0.5 * h * (np.array(shape) - 1)
            shells = Shells.around(half, float(np.linalg.norm(half)))
        volume = banded(field, low, self.unit, h, level.width, self.harmonics, least)
        return State(0, 0, 0, 0.0, volume, shells)

    def raised(self, state: State) -> State:
        """The state at the next level."""
        number = state.level + 1
        level = self.levels[number]
        low, shape, h = self.frame(level)
        least = self.least(number)
        bound = np.full(shape, -1e9, np.float32) if least is None else least
        volume = finer(state.volume, low, h, level.width, bound)
        if not len(volume.nodes):
            raise ReconstructionError("the surface vanished while it was optimised", "check masks and cameras")
        return State(number, 0, state.total, state.seconds, volume, state.shells, state.cost)


class Batches:
    """The rays of one level, at a size of picture that suits its cells."""

    def __init__(self, problem: Problem, volume: Volume) -> None:
        """Choose the pictures' size, and the pixels that tell something."""
        self.rays: Rays = rays(problem.capture, _side(problem, volume))
        self._chosen = _telling(self.rays)
        self._volume = volume
        self._seed = problem.seed

    def draw(self, number: int, count: int) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
        """Origins, unit directions, premultiplied colours (N, 3), masks (N,) (-1 without), offsets (N,) in a step."""
        rng = np.random.default_rng((self._seed, number))
        index = rng.integers(0, len(self._chosen) if self._chosen is not None else self.rays.count, count)
        index = index if self._chosen is None else self._chosen[index]
        origins, directions = unit_rays(self.rays, index, self._volume)
        colors = self.rays.colors[index].astype(np.float32) / np.float32(255)
        masks: FloatArray = np.full(count, -1, np.float32)
        if self.rays.alphas is not None:
            masks = self.rays.alphas[index].astype(np.float32) / np.float32(255)
            colors *= masks[:, None]
        return origins, directions, colors, masks, rng.random(count, np.float32)


def unit_rays(all_rays: Rays, index: NDArray[np.integer], volume: Volume) -> tuple[FloatArray, FloatArray]:
    """Origins and unit directions (N, 3) of rays in the box's unit."""
    origins, directions, _ = all_rays.of(index)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return volume.units(origins).astype(np.float32), directions


def _side(problem: Problem, volume: Volume) -> int:
    """Longest side of the pictures at which a pixel is about three quarters of a cell."""
    middle = 0.5 * (problem.box.low + problem.box.high)
    sides = []
    for photo in problem.capture.photos:
        camera = photo.camera
        assert camera is not None
        away = max(float(np.linalg.norm(camera.position - middle)), 0.5 * problem.unit)
        footprint = away / np.sqrt(camera.fx * camera.fy)
        sides.append(max(camera.width, camera.height) * footprint / (0.75 * volume.h * problem.unit))
    return max(32, int(np.ceil(np.median(sides))))


def _telling(of: Rays) -> NDArray[np.int64] | None:
    """Numbers of the pixels in and near the masks, or None for all."""
    from scipy.ndimage import maximum_filter

    if of.alphas is None:
        return None
    near = []
    for start, width, height in zip(of.starts, of.widths, of.heights, strict=False):
        alpha = of.alphas[start : start + width * height].reshape(height, width)
        reach = 2 + round(0.03 * max(width, height))
        near.append(np.flatnonzero(maximum_filter(alpha, 2 * reach + 1).ravel() > 0) + start)
    return np.concatenate(near).astype(np.int64)


class Lists:
    """Room for what ``kernels.backward`` writes."""

    def __init__(self, count: int, harmonics: int) -> None:
        """For ``count`` rays a step."""
        chunks = -(-count // _CHUNK)
        self.points = np.empty((chunks, _CHUNK * _POINTS, 4), np.float32)
        self.shades = np.empty((chunks, _CHUNK * _SHADES, 7), np.float32)
        self.bases = np.empty((count, harmonics), np.float32)
        self.counts = np.zeros((chunks, 2), np.int64)
        self.back = np.zeros((count, 3), np.float32)
        self.costs = np.zeros(count, np.float64)


class Optimiser:
    """Steps of one level."""

    def __init__(self, problem: Problem, state: State, count: int = RAYS) -> None:
        """Make the level's rays and room ready."""
        self.problem, self.state, self.count = problem, state, count
        self.level = problem.levels[state.level]
        self.batches = Batches(problem, state.volume)
        self._lists = Lists(count, problem.harmonics)
        self._least = problem.least(state.level)
        self._room()

    def _room(self) -> None:
        volume = self.state.volume
        rows = len(volume.nodes)
        self._by_sdf, self._by_colors = np.zeros(rows, np.float32), np.zeros_like(volume.colors)
        self._touched, self._flow = np.zeros(rows, np.uint8), np.zeros((rows, 3), np.float32)
        inside = (volume.units(self.problem.anchors.points) / volume.h).astype(np.float32)
        self._anchors = np.ascontiguousarray(inside)

    def sharpness(self, part: float) -> float:
        """s of the logistic density, a ``part`` in [0, 1] through the level."""
        return fading(*self.level.sharpness, part) / self.state.volume.h

    def step(self, part: float) -> float:
        """One step, a ``part`` in [0, 1] through the level; returns the mean cost of a ray."""
        state, volume, lists = self.state, self.state.volume, self._lists
        origins, directions, colors, masks, offsets = self.batches.draw(state.total, self.count)
        back = np.zeros((self.count, 3), np.float32)
        if state.shells is not None:
            back = state.shells.colors(origins, directions)
        weights = np.array([1.0, self.problem.costs.mask])
        grids = (volume.sdf, volume.cells, volume.blocks, volume.index, volume.colors)
        kernels.backward(
            *(origins, directions, offsets, back, colors, masks, weights, *grids),
            *(volume.h, STEP * volume.h, self.sharpness(part), _CHUNK),
            *(lists.points, lists.shades, lists.bases, lists.counts, lists.back, lists.costs),
        )
        of = (lists.points, lists.shades, lists.counts, lists.bases, volume.index, 1 / self.count)
        kernels.scatter(*of, self._by_sdf, self._by_colors, self._touched)
        self._regular()
        self._move(part)
        if state.shells is not None:
            state.shells.learn(origins, directions, lists.back, fading(*_COLOR_RATE, part))
        state.step, state.total, state.cost = state.step + 1, state.total + 1, float(lists.costs.mean())
        if state.step % _FOLLOW == 0:
            self.follow()
        return state.cost

    def _regular(self) -> None:
        volume, costs, anchors = self.state.volume, self.problem.costs, self.problem.anchors
        if len(anchors.points) and costs.anchors > 0:
            factor = costs.anchors / len(anchors.points)
            grids = (volume.sdf, volume.index, volume.h)
            kernels.anchor(self._anchors, anchors.trust, *grids, factor, self._by_sdf)
        kernels.eikonal_flow(volume.sdf, volume.nodes, volume.h, self._flow)
        band = (volume.sdf, volume.nodes, volume.index, self._flow, volume.h)
        kernels.regular(*band, costs.eikonal, costs.smooth, self._by_sdf)

    def _move(self, part: float) -> None:
        volume = self.state.volume
        rate = fading(*_SDF_RATE, part) * volume.h
        band = (volume.sdf, volume.nodes, self._by_sdf, volume.m, volume.v, volume.bound)
        kernels.adam_sdf(*band, rate, self.state.step + 1)
        rate = fading(*_COLOR_RATE, part)
        tinted = (volume.colors, self._by_colors, self._touched, volume.color_m, volume.color_v)
        kernels.adam_colors(*tinted, rate, 0.1 * rate)

    def follow(self) -> None:
        """Let the band follow the surface."""
        if not np.isfinite(self.state.volume.sdf).all() or not (self.state.volume.sdf < 0).any():
            raise ReconstructionError("the surface vanished while it was optimised", "check masks and cameras")
        self.state.volume = rebanded(self.state.volume, self.level.width, self._least)
        self._room()


#: Called now and then with the state and the share of the work that is done.
Watch = Callable[[State, float], None]


def optimised(problem: Problem, state: State, steps: int, minutes: float, watch: Watch) -> State:
    """Go from a state to the end of the last level.

    minutes = 0: ``steps`` in all, shared among the levels; else that much time, counted from the very first step.
    """
    ends = np.cumsum([level.share for level in problem.levels])
    while True:
        low = float(ends[state.level - 1]) if state.level else 0.0
        high = float(ends[state.level])
        optimiser = Optimiser(problem, state)
        own = max(1, round((high - low) * steps))
        since, before = time.perf_counter(), state.seconds
        while True:
            done = state.seconds / (60 * minutes) if minutes else low + (high - low) * state.step / own
            part = (done - low) / (high - low)
            if part >= 1:
                break
            watch(state, min(done, 1.0))
            optimiser.step(part)
            state.seconds = before + time.perf_counter() - since
        optimiser.follow()
        state = optimiser.state
        if state.level == len(problem.levels) - 1:
            return state
        state = problem.raised(state)
