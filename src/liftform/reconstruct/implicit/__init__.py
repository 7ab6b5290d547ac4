"""Capture with cameras -> Mesh: a signed distance learned by volume rendering, on voxels from coarse to fine.

The surface is the zero level of a grid of signed distances; the pictures are rendered from it and from coloured
voxels around it, and their difference pulls on both. After NeuS (Wang et al. 2021, arXiv 2106.10689: unbiased logistic
density), Voxurf (Wu et al. 2023, arXiv 2208.12697: voxel grids from coarse to fine), DVGO (Sun et al. 2022) and
Geo-NeuS (Fu et al. 2022: known points lie on the surface); the eikonal term is that of IGR (Gropp et al. 2020).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from ...assets import Mesh
from ...capture import Capture
from ...errors import ReconstructionError
from ...recipe import option
from ...runtime import Runtime, numba_threads
from ..rays import extent, has_masks

if TYPE_CHECKING:
    from .training import Problem, State


@dataclass(frozen=True)
class ImplicitOptions:
    """How an implicit surface is learned."""

    cells: int = option(160, "cells along the longest side of the object's box", low=32, high=512)
    steps: int = option(2400, "steps of the optimisation, where no time is given", low=30, high=1_000_000)
    minutes: float = option(0.0, "time to spend; 0: as many steps as said", "minutes", low=0, high=10_000)
    harmonics: Literal[0, 1, 2] = option(1, "degree of the harmonics by which colours depend on the direction of view")
    mask: float = option(0.3, "cost of silhouettes that differ from the masks", low=0, high=100)
    eikonal: float = option(0.1, "cost of slopes other than one", low=0, high=100)
    smooth: float = option(0.02, "cost of curvature", low=0, high=100)
    anchors: float = option(0.05, "cost of known points (shared points, depth maps) off the surface", low=0, high=100)
    forgiven: float = option(0.04, "share of the masks that may be wrong about a place", low=0, high=0.5)
    checkpoint: str = option("", "file (.npz) that keeps the state, and from which to go on; empty: none")
    preview: str = option("", "PNG of the first picture as it looks so far, drawn every few seconds; empty: none")


@dataclass(frozen=True)
class Learned:
    """What came out: the mesh, and the state behind it, of which views can be drawn."""

    mesh: Mesh
    state: State
    problem: Problem


def implicit(options: ImplicitOptions, runtime: Runtime) -> Callable[[Capture], Mesh]:
    """A reconstructor: a straight capture (``photoset.straight``) to the surface of what it shows.

    With masks (or transparency, or before a plain backdrop) the surface lies inside the visual hull and what is beyond
    is left out; without, a box around the shared points is learned, and what lies beyond it as a background.
    Vertices have colors, seen (0 where no picture shows a place) and confidence. With ``minutes`` the clock decides,
    and results differ from run to run; else the same input, options and seed give the same bytes.
    Raises ReconstructionError (fewer than two pictures with cameras, silhouettes that have nothing in common, no
    surface left), UnreadableError or UsageError for a checkpoint, OutputError, MissingExtraError (extra ``fields``).
    """

    def reconstruct(capture: Capture) -> Mesh:
        return learned(capture, options, runtime).mesh

    return reconstruct


def learned(capture: Capture, options: ImplicitOptions, runtime: Runtime) -> Learned:
    """``implicit``, with the state behind the mesh."""
    with numba_threads(runtime.threads, "fields"):
        return _learned(capture, options, runtime)


def _learned(capture: Capture, options: ImplicitOptions, runtime: Runtime) -> Learned:
    from . import checkpoint
    from .extract import mesh_of
    from .training import optimised

    runtime.progress("implicit", 0.0)
    problem = posed(capture, options, runtime.seed)
    mark = checkpoint.fingerprint(problem, options.steps)
    kept = Path(options.checkpoint) if options.checkpoint else None
    state = None if kept is None else checkpoint.load(kept, mark)
    if state is None:
        state = problem.start()
    state = optimised(problem, state, options.steps, options.minutes, _Watch(problem, options, runtime, mark))
    if kept is not None:
        checkpoint.save(state, kept, mark)
    mesh = mesh_of(state.volume, problem.capture, problem.silhouettes)
    runtime.progress("implicit", 1.0)
    return Learned(mesh, state, problem)


def posed(capture: Capture, options: ImplicitOptions, seed: int) -> Problem:
    """The problem that a capture poses: box, silhouettes, known points, levels."""
    from .anchors import anchors
    from .plain import before_plain
    from .schedule import levels
    from .start import Silhouettes
    from .training import Costs, Problem

    if len(capture.photos) < 2 or any(photo.camera is None for photo in capture.photos):
        told = "a surface takes two pictures or more, all with cameras"
        raise ReconstructionError(told, "find their places first: liftform poses")
    if not has_masks(capture):
        capture = before_plain(capture) or capture
    box, silhouettes = extent(capture), None
    if has_masks(capture):
        silhouettes = Silhouettes.of(capture, options.forgiven)
        low, high = silhouettes.box(box.low, box.high)
        box = replace(box, low=low, high=high)
    costs = Costs(options.mask if silhouettes else 0.0, options.eikonal, options.smooth, options.anchors)
    known = anchors(capture, box, seed)
    steps = levels(options.cells, options.minutes > 0)
    return Problem(capture, box, silhouettes, known, steps, costs, (options.harmonics + 1) ** 2, seed)


class _Watch:
    """Progress, previews and checkpoints on the way."""

    def __init__(self, problem: Problem, options: ImplicitOptions, runtime: Runtime, mark: str) -> None:
        self._problem, self._options, self._runtime, self._mark = problem, options, runtime, mark
        self._drawn = self._saved = time.perf_counter()

    def __call__(self, state: State, done: float) -> None:
        from . import checkpoint
        from .views import preview

        now = time.perf_counter()
        if state.total % 10 == 0:
            self._runtime.progress("implicit", 0.98 * done)
        if self._options.preview and now - self._drawn > _PREVIEW_S:
            camera = self._problem.capture.photo.camera
            assert camera is not None
            sharpness = float(np.mean(self._problem.levels[state.level].sharpness))
            preview(state, camera, sharpness, Path(self._options.preview))
            self._drawn = time.perf_counter()
        if self._options.checkpoint and now - self._saved > _SAVE_S:
            checkpoint.save(state, Path(self._options.checkpoint), self._mark)
            self._saved = time.perf_counter()


#: Seconds between previews, and between checkpoints.
_PREVIEW_S, _SAVE_S = 8.0, 60.0
