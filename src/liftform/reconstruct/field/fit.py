"""From a capture to a field: the plan, the budget of time or steps, previews, and a state that survives an end."""

from __future__ import annotations

import io
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numba
import numpy as np

from ...assets import RadianceField
from ...capture import Capture, Photo
from ...conventions import to_uint8
from ...errors import DivergedError, TerminatedError
from ...files import write_whole
from ...runtime import Runtime, numba_threads
from ..rays import Extent, Rays, alpha_of, extent, hull, rays
from . import bricks as brick
from . import keep
from .decode import fresh_decoder
from .options import FieldOptions
from .space import space_of
from .state import Plan, State, cameras_of, one_step
from .view import view

#: Seconds between previews, and between checkpoints.
_PREVIEW, _CHECKPOINT = 5.0, 20.0
#: Background's grey that masked pictures are compared on -> its mean and its mean square.
_GREY = {"auto": (0.5, 1 / 3), "random": (0.5, 1 / 3), "white": (1.0, 1.0), "black": (0.0, 0.0)}
#: Steps of a stage at least where time is what ends it.
_LEAST = 300
#: Lattice cells along the longest side that a budget of minutes on two cores can fill well.
_FINEST = ((0.3, 160), (0.75, 224), (1.5, 256), (4.0, 320), (1e9, 384))


def fitted(capture: Capture, options: FieldOptions, runtime: Runtime) -> RadianceField:
    """Learn the field of a capture; see ``field``."""
    with numba_threads(runtime.threads, "fields"):
        started = time.perf_counter()
        full = rays(capture, options.max_side)
        small = rays(capture, max(int(full.widths.max()), int(full.heights.max())) // 2)
        box = extent(capture)
        state, spent = _opened(capture, full, box, options, runtime)
        began = time.perf_counter() - spent
        interrupted = _learn(state, (small, full), capture, box, options, runtime, began)
        made = as_field(state, box, capture)
    told = {
        "pictures": full.pictures,
        "steps": state.number,
        "seconds": round(time.perf_counter() - started + spent, 2),
        "bricks": state.bricks.count - 1,
        "interrupted": interrupted,
    }
    return made.with_(metadata={**made.metadata, **told})


def _plan(options: FieldOptions, full: Rays, box: Extent) -> Plan:
    """The plan for these pictures and this budget."""
    minutes = options.minutes if not options.steps else options.steps / 6000
    longest = next(cells for most, cells in _FINEST if minutes <= most)
    half, third = _GREY[options.background]
    plan = Plan(
        longest=options.resolution or min(longest, max(32, int(1.2 * full.widths.max()))),
        least=0 if options.steps else _LEAST,
        smooth_density=1e-6 * options.smooth,
        smooth_features=1e-4 * options.smooth,
        spread=options.spread,
        solid=0.0 if full.alphas is not None else options.solid,
        half=half,
        third=third,
        exposure=options.exposure,
    )
    return plan if box.kind == "object" else replace(plan, step=0.75)


def _opened(capture: Capture, full: Rays, box: Extent, options: FieldOptions, runtime: Runtime) -> tuple[State, float]:
    """A state to begin with, or that of a checkpoint, and the seconds already spent on it."""
    plan = _plan(options, full, box)
    space, shape = space_of(box)
    size = brick.size_of(shape, round(plan.longest * plan.levels[0]))
    cells = (int(size[0]) // 2, int(size[1]) // 2, int(size[2]) // 2)
    occupied = hull(capture, box.low, box.high, cells) if box.kind == "object" else np.ones(cells, bool)
    looks = np.tile(np.array([1, 1, 1, 0, 0, 0], np.float32), (full.pictures, 1))
    grey = full.colors[:: max(1, full.count // 100_000)].mean(0) / 255
    backdrop = np.zeros(3, np.float32) if full.alphas is not None else grey.astype(np.float32)
    bricks = brick.fresh(size, occupied)
    bricks.features[:, :3] = grey if full.alphas is None else 0.0
    lanes = min(int(numba.get_num_threads()), 8)
    state = State(space, shape, plan, backdrop, bricks, fresh_decoder(runtime.seed), looks, lanes)
    state.make_room()
    if options.checkpoint is not None and options.checkpoint.is_file():
        return state, keep.restore(state, options.checkpoint, runtime.seed)
    return state, 0.0


def _learn(
    state: State,
    pictures: tuple[Rays, Rays],
    capture: Capture,
    box: Extent,
    options: FieldOptions,
    runtime: Runtime,
    began: float,
) -> bool:
    """Steps until the budget is spent; whether Ctrl-C ended them sooner."""
    cameras = [cameras_of(state.space, each) for each in pictures]
    shown = kept = time.perf_counter()
    recent = float("nan")
    interrupted = False
    try:
        while True:
            progress = _progress(state.number, time.perf_counter() - began, options)
            if progress >= 1.0:
                break
            state.advance(progress)
            which = state.plan.sizes[state.stage]
            rng = np.random.default_rng((runtime.seed, state.number))
            error = one_step(state, pictures[which], cameras[which], progress, rng)
            recent = error if recent != recent else recent + 0.05 * (error - recent)
            if not np.isfinite(error):
                raise DivergedError("the field's numbers are no longer finite", "try another --seed")
            now = time.perf_counter()
            if state.number % 5 == 0:
                runtime.progress("field", progress)
            if options.preview is not None and now - shown > _PREVIEW:
                write_preview(options.preview, state, box, capture)
                shown = time.perf_counter()
            if options.checkpoint is not None and now - kept > _CHECKPOINT:
                keep.save(state, options.checkpoint, now - began, runtime.seed)
                kept = time.perf_counter()
    except TerminatedError:
        if options.checkpoint is not None:
            keep.save(state, options.checkpoint, time.perf_counter() - began, runtime.seed)
        raise
    except KeyboardInterrupt:
        interrupted = True
    if options.checkpoint is not None:
        keep.save(state, options.checkpoint, time.perf_counter() - began, runtime.seed)
    if options.preview is not None:
        write_preview(options.preview, state, box, capture)
    return interrupted


def _progress(steps: int, seconds: float, options: FieldOptions) -> float:
    """How much of the budget is spent, in [0, 1]."""
    return steps / options.steps if options.steps else seconds / (60 * options.minutes)


def as_field(state: State, box: Extent, capture: Capture) -> RadianceField:
    """The state as plain data; only bricks that hold something, and their neighbours."""
    b = state.bricks
    count = b.count - 1
    return RadianceField(
        kind=state.space.kind,
        frame_from_world=state.space.frame_from_world,
        size=b.size,
        places=b.places[1:],
        cells=b.cells[1:],
        density=(b.density[512:] + np.float32(state.shift)).reshape(count, 512),
        features=b.features[512:].reshape(count, 512, -1),
        decoder=state.decoder.copy(),
        looks=state.looks.copy(),
        backdrop=state.backdrop,
        low=box.low,
        high=box.high,
        empty=state.shift,
        step=0.5 * state.plan.step,
        scale=state.scale,
        cameras=tuple(_facts(photo) for photo in capture.photos),
        metadata={"masked": box.kind == "object", "metric": capture.metric, "extent": box.kind},
    )


def _facts(photo: Photo) -> dict[str, Any]:
    """A picture's camera, JSON-ready."""
    camera = photo.camera
    assert camera is not None
    numbers = {name: getattr(camera, name) for name in ("width", "height", "fx", "fy", "cx", "cy")}
    return {"name": photo.source, **numbers, "world_from_camera": camera.world_from_camera.tolist()}


def write_preview(path: Path, state: State, box: Extent, capture: Capture) -> None:
    """A picture of the set beside the field from the same place, as PNG; whole or not at all."""
    from PIL import Image

    photo = capture.photos[0]
    assert photo.camera is not None
    ratio = min(1.0, 320 / max(photo.size))
    camera = photo.camera.resized(max(8, round(photo.size[0] * ratio)), max(8, round(photo.size[1] * ratio)))
    seen = view(as_field(state, box, capture), camera)
    alpha = alpha_of(photo)
    image = photo.image if alpha is None else photo.image * alpha[..., None] + 1 - alpha[..., None]
    small = Image.fromarray(to_uint8(image)).resize((camera.width, camera.height), Image.Resampling.BOX)
    sheet = np.concatenate([np.asarray(small), to_uint8(seen.on((1.0, 1.0, 1.0)))], 1)
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, format="PNG")
    write_whole({path: buffer.getvalue()})
