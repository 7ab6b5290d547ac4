"""Optimise Gaussians until they look like the photographs: the loop, its schedule and its clock."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...assets import FloatArray, Splats
from ...capture import Capture
from ...errors import DivergedError
from ...runtime import Runtime, numba_threads
from . import density, keep, start
from .adam import FIRST, SECOND, adam
from .frame import Frame
from .layout import HARMONICS, LOGIT, SCALE, TURN, to_splats
from .loss import Loss
from .options import SplatsOptions
from .pictures import Pictures
from .view import back, painted

#: Sizes of pictures: (share of the run from which on, how many times smaller).
LEVELS = ((0.0, 4), (0.06, 2), (0.25, 1))
#: Share of the run from which on colours change with the direction, by degree.
DEGREES = ((0.0, 0), (0.2, 1), (0.4, 2))
#: How often Gaussians are moved and added over a run, and until when; the number grows until then too.
MOVES, MOVES_END = 100, 0.8
#: What Gaussians move at most in a step: means in halves of the box (at first, at last), the rest as in Kerbl et al.,
#: some times faster: runs here are short.
RATE_MEAN = (5e-3, 5e-5)
RATE_SCALE, RATE_TURN, RATE_LOGIT, RATE_COLOR, RATE_REST, RATE_EXPOSURE = 1e-2, 4e-3, 5e-2, 1e-2, 1e-3, 1e-3
#: Weights that keep opacities and scales small (Kheradmand et al.), so that what is not needed fades.
FADE_OPACITY, FADE_SCALE = 0.005, 0.005
#: How far faint Gaussians wander in a step, in their own deviations, at first.
WANDER = 0.5
#: Seconds between previews, and between checkpoints.
PREVIEW_SECONDS, CHECKPOINT_SECONDS = 5.0, 30.0


@dataclass
class State:
    """Everything that a checkpoint holds.

    table (N, columns), moments (2, N, columns): see ``layout`` and ``adam``; gains (P, 3): logarithm of the pictures'
    brightness, its moments (2, P, 3); wrong (N,): error since Gaussians were last moved; step, seconds: of the run so
    far; moved: how often Gaussians were moved; queue: pictures still to come in this round; rng: of all choices.
    """

    table: FloatArray
    moments: FloatArray
    gains: FloatArray
    gain_moments: FloatArray
    wrong: FloatArray
    rng: np.random.Generator
    step: int = 0
    seconds: float = 0.0
    moved: int = 0
    queue: list[int] = field(default_factory=list)


class Fit:
    """One run over one set."""

    def __init__(self, capture: Capture, options: SplatsOptions, runtime: Runtime) -> None:
        self.options, self.runtime, self.metric = options, runtime, capture.metric
        self.frame = Frame.of(capture)
        self.pictures = Pictures(capture, self.frame, options.max_side)
        self.state, self.begun_from = self._begun(capture)
        self.near = 0.01 * self.pictures.distance
        self._losses: dict[tuple[int, int], Loss] = {}
        self._first = len(self.state.table)
        self.made_of = self.pictures.fingerprint(options, runtime.seed)

    def _begun(self, capture: Capture) -> tuple[State, str]:
        rng = np.random.default_rng(self.runtime.seed)
        many = self.options.gaussians
        points, colors, source = start.first_points(capture, min(many // 2, 100_000), rng)
        points = self.frame.inside(points)
        opacity = 0.1 if source == "nothing" else 0.5
        table = start.table_of(points, colors, self.options.degree, opacity)
        if self.options.surroundings and not self.pictures.masked:
            cameras = [photo.camera for photo in capture.photos]
            count = min(many // 8, 6000)
            far, tones = start.shell(self.frame.cameras(cameras), capture.photos, start.SHELL, count)
            if len(far) >= 4:
                table = np.concatenate([table, start.table_of(far, tones, self.options.degree, 0.9)])
        count, zeros = len(capture.photos), np.zeros_like(table)
        gains = np.zeros((count, 3), np.float32)
        wrong = np.zeros(len(table), np.float32)
        return State(table, np.stack([zeros, zeros]), gains, np.stack([gains, gains]), wrong, rng), source

    @property
    def done(self) -> float:
        """The share of the run that is over, in [0, 1]."""
        minutes = self.options.minutes
        share = self.state.step / self.options.steps if minutes is None else self.state.seconds / (60 * minutes)
        return min(share, 1.0)

    def step(self) -> float:
        """Look at one picture; its loss."""
        state, done = self.state, self.done
        which = self._next()
        shrink = _at(LEVELS, done)
        background = self._background()
        camera, photo, weight = self.pictures.target(which, shrink, background)
        degree = min(_at(DEGREES, done), self.options.degree)
        seen = painted(state.table, camera, background, self.near, degree)
        gain = np.exp(state.gains[which])[:, None, None]
        rest = seen.clear * background[:, None, None]
        shown = (seen.picture - rest) * gain + rest
        loss = self._loss(photo.shape[1:])
        value = loss(shown, photo, weight)
        if self.options.exposure:
            self._expose(which, (loss.gradient * (shown - rest)).sum((1, 2)))
        # The way back blends ``picture`` against ``gradient``: both as if the gain belonged to the colours.
        seen.picture[:] = shown / gain
        gradients, scores = back(state.table, seen, loss.gradient * gain, loss.error)
        state.step += 1
        self._move(gradients, seen.offsets, done)
        state.wrong += scores
        return value

    def _next(self) -> int:
        if not self.state.queue:
            self.state.queue = [int(k) for k in self.state.rng.permutation(self.pictures.count)]
        return self.state.queue.pop()

    def _background(self) -> FloatArray:
        chosen = self.options.background
        if not self.pictures.masked:
            return np.zeros(3, np.float32)
        if chosen in ("white", "black"):
            return np.full(3, chosen == "white", np.float32)
        return self.state.rng.random(3).astype(np.float32)

    def _loss(self, shape: tuple[int, ...]) -> Loss:
        size = (shape[0], shape[1])
        if size not in self._losses:
            self._losses[size] = Loss(*size, share=self.options.similarity)
        return self._losses[size]

    def _expose(self, which: int, gradient: FloatArray) -> None:
        """Adam on a picture's gain; the mean gain of all stays 1."""
        state = self.state
        first, second = state.gain_moments[:, which]
        first[:] = FIRST * first + (1 - FIRST) * gradient
        second[:] = SECOND * second + (1 - SECOND) * gradient**2
        turns = 1 + state.step // self.pictures.count
        size = (first / (1 - FIRST**turns)) / (np.sqrt(second / (1 - SECOND**turns)) + 1e-12)
        state.gains[which] -= RATE_EXPOSURE * size
        state.gains -= state.gains.mean(0)

    def _move(self, gradients: FloatArray, offsets: NDArray[np.int64], done: float) -> None:
        """One step of every Gaussian in the picture; then the faint ones wander."""
        state = self.state
        table, shown = state.table, np.diff(offsets) > 0
        opacity = 1 / (1 + np.exp(-table[:, LOGIT]))
        reach = np.maximum(1, np.abs(table[:, :3]).max(1)).astype(np.float32)
        fade = shown / max(len(table), 1)
        gradients[:, LOGIT] += FADE_OPACITY * fade * opacity * (1 - opacity)
        gradients[:, SCALE:TURN] += FADE_SCALE * (fade / reach)[:, None] * np.exp(table[:, SCALE:TURN]) / 3
        mean = RATE_MEAN[0] * (RATE_MEAN[1] / RATE_MEAN[0]) ** done
        rates = np.empty(table.shape[1], np.float32)
        rates[:SCALE], rates[SCALE:TURN], rates[TURN:LOGIT], rates[LOGIT] = mean, RATE_SCALE, RATE_TURN, RATE_LOGIT
        rates[HARMONICS : HARMONICS + 3], rates[HARMONICS + 3 :] = RATE_COLOR, RATE_REST
        adam(table, gradients, state.moments, offsets, rates, reach, state.step, FIRST, SECOND)
        if WANDER and done < MOVES_END:
            noise = state.rng.standard_normal((len(table), 3), np.float32)
            density.wander(table, noise, WANDER * mean / RATE_MEAN[0])

    def refine(self) -> None:
        """Move and add Gaussians, where that is due."""
        state, done = self.state, self.done
        if done >= MOVES_END or int(done * MOVES) <= state.moved:
            return
        state.moved = int(done * MOVES)
        share = min(1.0, done / (0.75 * MOVES_END))
        goal = int(self._first + share * max(0, self.options.gaussians - self._first))
        if not np.isfinite(state.table).all():
            raise DivergedError("the splats are no longer finite", "report this set; fewer Gaussians may help")
        state.table, state.moments = density.relocated(state.table, state.moments, state.wrong, goal, state.rng)
        state.wrong = np.zeros(len(state.table), np.float32)

    def resume(self) -> None:
        """Go on where a checkpoint ends, if there is one."""
        path = self.options.checkpoint
        if path is not None and path.exists():
            facts = keep.read(path, self.state, self.made_of)
            self._first, self.begun_from = int(facts["first"]), str(facts["begun_from"])

    def keep(self) -> None:
        """Write the checkpoint, if one is asked for."""
        if self.options.checkpoint is not None:
            facts = {"made_of": self.made_of, "first": self._first, "begun_from": self.begun_from}
            keep.write(self.options.checkpoint, self.state, facts)

    def preview(self, path: Path) -> None:
        """The first picture and its rendering as a PNG."""
        background = np.ones(3, np.float32) if self.pictures.masked else np.zeros(3, np.float32)
        camera, photo, _ = self.pictures.target(0, 1, background)
        keep.write_preview(path, photo, painted(self.state.table, camera, background, self.near).picture)

    def result(self) -> Splats:
        """The Gaussians in the world; invisible ones left out."""
        table = self.state.table
        table = table[table[:, LOGIT] > np.log(density.FAINT / (1 - density.FAINT))]
        # No seconds: the same steps must give the same bytes.
        facts = {"steps": self.state.step, "begun_from": self.begun_from, "metric": self.metric}
        return self.frame.outside(to_splats(table, metadata=facts))


def _at(steps: tuple[tuple[float, int], ...], done: float) -> int:
    """The value of the last step that is reached."""
    return [value for begins, value in steps if begins <= done][-1]


def fitted(capture: Capture, options: SplatsOptions, runtime: Runtime) -> Splats:
    """Run until the steps or the minutes are over. Raises as ``splats`` says; what was done is kept in the checkpoint,
    if there is one, when the run is interrupted."""
    with numba_threads(runtime.threads, "fields"):
        fit = Fit(capture, options, runtime)
        fit.resume()
        _run(fit, options, runtime)
        return fit.result()


def _run(fit: Fit, options: SplatsOptions, runtime: Runtime) -> None:
    """Step after step, with previews and checkpoints between."""
    kept = shown = time.monotonic()
    try:
        while fit.done < 1:
            begun = time.perf_counter()
            fit.step()
            fit.refine()
            fit.state.seconds += time.perf_counter() - begun
            runtime.progress("splats", fit.done)
            now = time.monotonic()
            if options.preview and now - shown > PREVIEW_SECONDS:
                fit.preview(options.preview)
                shown = now
            if options.checkpoint and now - kept > CHECKPOINT_SECONDS:
                fit.keep()
                kept = now
    except KeyboardInterrupt:
        fit.keep()
        raise
    fit.keep()
    if options.preview:
        fit.preview(options.preview)
