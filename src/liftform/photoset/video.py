"""A film to still pictures: sharp frames, evenly spread over the camera's motion (PyAV, extra ``video``)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..capture import Decision
from ..errors import InputError, UnreadableError
from ..runtime import Runtime, need

#: Frames that are looked at in each stretch of the film of which one may be kept, and the size they are looked at.
_LOOKS, _SMALL = 8, 96
#: Films longer than this, in seconds, are read by their key frames alone.
_LONG = 900.0
#: Below this sum of motion (see ``motion``) a film shows one view.
_STILL = 0.02


@dataclass(frozen=True)
class Frame:
    """A frame (H, W, 3) uint8, upright; its time in seconds, how sharp it is, and it small and grey (float32)."""

    pixels: NDArray[np.uint8]
    seconds: float
    sharpness: float
    small: NDArray[np.float32]


def frames(path: Path, count: int, max_side: int, runtime: Runtime) -> tuple[list[Frame], tuple[Decision, ...]]:
    """At most ``count`` frames of a film, longest side ``max_side``, in order.

    The film is decoded once; of each stretch the sharpest frame is kept in memory, about 2 to 4 stretches for each
    frame asked for, and of those the ones that spread best over what moves. What breaks off is read as far as it goes.
    Raises UnreadableError (no film, not two frames), InputError (nothing moves), MissingExtraError.
    """
    av: Any = need("av", "video")
    kept: list[Frame] = []
    broken = ""
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise UnreadableError(f"{path}: no pictures in this film", "give another file")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            length = container.duration / 1e6 if container.duration else 0.0
            if length > _LONG:
                stream.codec_context.skip_frame = "NONKEY"
            stretch = max(length / (3 * count), 1e-3) if length else 0.25
            for frame in _sharpest(container.decode(stream), stretch, max_side):
                kept.append(frame)
                runtime.progress("photos", min(frame.seconds / length, 1.0) if length else 0.5)
                if len(kept) > 4 * count:  # a film longer than it says
                    kept = [max(pair, key=lambda f: f.sharpness) for pair in zip(kept[::2], kept[1::2], strict=False)]
    except av.FFmpegError as error:
        broken = " ".join(str(error).split())[:80]
    if len(kept) < 2:
        what = f"damaged or cut short ({broken})" if broken else "fewer than two frames"
        raise UnreadableError(f"{path}: {what}", "record or copy the film again")
    chosen = spread(kept, count)
    if len(chosen) < 2:
        raise InputError(f"{path}: nothing moves in this film", "walk around the object while filming")
    note = f"sharp ones of {len(kept)}, spread over the motion" + (
        f"; the film breaks off ({broken})" if broken else ""
    )
    return chosen, (Decision("frames", len(chosen), "estimated", note),)


def _sharpest(decoded: Iterator[Any], stretch: float, max_side: int) -> Iterator[Frame]:
    """The sharpest frame of each stretch (seconds)."""
    window, best, last_look = 0, None, -1.0
    for number, raw in enumerate(decoded):
        seconds = float(raw.time) if raw.time is not None else number / 30.0
        if int(seconds / stretch) != window and best is not None:
            yield _whole(*best, max_side)
            best = None
        if best is None:
            window = int(seconds / stretch)
        elif seconds - last_look < stretch / _LOOKS:
            continue
        last_look = seconds
        small = _small(raw)
        sharp = sharpness(small)
        if best is None or sharp > best[2]:
            best = (raw, seconds, sharp, small)
    if best is not None:
        yield _whole(*best, max_side)


def _small(raw: Any) -> NDArray[np.float32]:
    scale = 4 * _SMALL / max(raw.width, raw.height)
    size = (max(8, round(raw.width * scale)), max(8, round(raw.height * scale)))
    grey = raw.reformat(*size, format="gray").to_ndarray()
    return np.divide(grey, 255, dtype=np.float32)


def sharpness(grey: NDArray[np.float32]) -> float:
    """Variance of the Laplacian over the variance of the picture (H, W): falls with blur, not with contrast."""
    inner = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * inner
    return float(laplacian.var() / (inner.var() + 1e-6))


def _whole(raw: Any, seconds: float, sharp: float, small: NDArray[np.float32], max_side: int) -> Frame:
    scale = min(1.0, max_side / max(raw.width, raw.height))
    pixels = raw.reformat(round(raw.width * scale), round(raw.height * scale), format="rgb24").to_ndarray()
    turns = round(getattr(raw, "rotation", 0) / 90) % 4  # how a phone was held, counter-clockwise
    rows, columns = small.shape[0] // 4 * 4, small.shape[1] // 4 * 4
    tiny = small[:rows, :columns].reshape(rows // 4, 4, columns // 4, 4).mean((1, 3))
    return Frame(np.ascontiguousarray(np.rot90(pixels, turns)), seconds, sharp, np.rot90(tiny, turns))


def motion(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """How far two small pictures of one size are from each other: shift by phase correlation, as a share of the longer
    side, and a quarter of what correlation then lacks."""
    f, g = (np.fft.rfft2((p - p.mean()) * _window(p.shape)) for p in (a, b))
    cross = f * np.conj(g)
    peak = np.fft.irfft2(cross / (np.abs(cross) + 1e-9), a.shape)
    at = np.array(np.unravel_index(int(np.argmax(peak)), a.shape), float)
    shift = np.linalg.norm((at + np.array(a.shape) / 2) % a.shape - np.array(a.shape) / 2) / max(a.shape)
    likeness = float((f * np.conj(g)).real.sum() / np.sqrt((abs(f) ** 2).sum() * (abs(g) ** 2).sum() + 1e-12))
    return float(min(shift, 0.25) + 0.25 * (1 - likeness))


def _window(shape: tuple[int, ...]) -> NDArray[np.float64]:
    return np.outer(np.hanning(shape[0]), np.hanning(shape[1]))


def spread(kept: list[Frame], count: int) -> list[Frame]:
    """At most ``count`` of the frames: evenly spaced in the sum of motion, the sharpest near each place; fewer, or one,
    where little moves."""
    steps = np.array([0.0, *(motion(a.small, b.small) for a, b in itertools.pairwise(kept))])
    noise = 0.3 * float(np.median(steps[1:])) if len(kept) > 2 else 0.0  # grain and trembling are no motion
    way = np.cumsum(np.maximum(steps - min(noise, 0.005), 0.0))
    if way[-1] < _STILL:
        return kept[:1]
    places = np.linspace(0, way[-1], min(count, len(kept)))
    reach = 0.5 * (places[1] - places[0])
    chosen: list[int] = []
    for place in places:
        near = [i for i in range(len(kept)) if abs(way[i] - place) <= reach and i not in chosen]
        if near:
            chosen.append(max(near, key=lambda i: kept[i].sharpness))
    return [kept[i] for i in sorted(chosen)]
