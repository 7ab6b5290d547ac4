"""Radiance fields scored on views that were held out, beside two plain peers given the same time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..capture import Capture, Photo
from ..conventions import to_uint8
from ..files import whole_file
from ..load import PhotosOptions, photos
from ..photoset.straight import straight
from ..reconstruct.field import FieldOptions, field
from ..reconstruct.field.view import background_of, bricks_of, view
from ..reconstruct.rays import FloatArray, alpha_of
from ..runtime import Runtime
from .held_out import parted
from .metrics import psnr

HEAD = ("method", "pictures", "held out", "PSNR dB", "worst dB", "SSIM", "s to learn", "s a view")
#: Camera's photo -> picture (H, W, 3) on the evaluation's background.
Draw = Callable[[Photo], FloatArray]


@dataclass(frozen=True)
class Score:
    """One method on one set."""

    name: str
    pictures: int
    held: int
    psnr: float
    worst: float
    ssim: float
    seconds: float
    drawing: float

    def cells(self) -> list[str]:
        """As the table shows it."""
        numbers = [f"{self.psnr:.2f}", f"{self.worst:.2f}", f"{self.ssim:.4f}"]
        return [self.name, str(self.pictures), str(self.held), *numbers, f"{self.seconds:.0f}", f"{self.drawing:.2f}"]


def evaluate_field(
    folder: Path,
    minutes: float,
    side: int,
    peers: tuple[str, ...] = (),
    masks: bool = True,
    sheet: Path | None = None,
    seed: int = 0,
) -> Iterator[Score]:
    """Learn from the set's other pictures, given cameras taken as they are, and score the held-out ones.

    peers: names in ``field_peers.PEERS``. masks: False leaves out the set's masks. sheet: a PNG of the held-out
    pictures, the field's and its depths. Masked pictures are compared on white. Compiled kernels are loaded before the
    clock runs.
    """
    kept, held = split(folder, side, masks)
    _warm(kept, seed)
    start = time.perf_counter()
    made = field(FieldOptions(minutes=minutes, max_side=side), Runtime(seed=seed))(kept)
    seconds = time.perf_counter() - start
    bricks, behind = bricks_of(made), background_of(made)

    def draw(photo: Photo) -> FloatArray:
        assert photo.camera is not None
        return view(made, photo.camera, bricks).on(behind)

    yield scored("liftform field", kept, held, draw, seconds)
    if sheet is not None:
        _write_sheet(sheet, held, draw)
    for name in peers:
        from .field_peers import PEERS

        start = time.perf_counter()
        peer = PEERS[name](kept, minutes, seed)
        yield scored(name, kept, held, peer, time.perf_counter() - start)


def split(folder: Path, side: int, masks: bool = True) -> tuple[Capture, tuple[Photo, ...]]:
    """The capture to learn from and the photos that are held out: frames whose "split" in transforms.json is test or
    val, else every 8th."""
    whole = straight(photos(folder, PhotosOptions(max_side=side)), even=False)
    if not masks:
        whole = replace(whole, photos=tuple(replace(p, mask=None, alpha=None) for p in whole.photos))
    return parted(folder, whole)


def _warm(capture: Capture, seed: int) -> None:
    """Load compiled kernels."""
    field(FieldOptions(steps=2, max_side=64, resolution=32), Runtime(seed=seed))(capture)


def truth_of(photo: Photo) -> FloatArray:
    """The photo (H, W, 3), on white where it is masked."""
    alpha = alpha_of(photo)
    if alpha is None:
        return photo.image
    return (photo.image * alpha[..., None] + 1 - alpha[..., None]).astype(np.float32)


def scored(name: str, kept: Capture, held: tuple[Photo, ...], draw: Draw, seconds: float) -> Score:
    """Figures of pictures drawn from where the held-out photos were taken."""
    from skimage.metrics import structural_similarity

    start = time.perf_counter()
    drawn = [draw(photo) for photo in held]
    each = (time.perf_counter() - start) / len(held)
    values = [psnr(picture, truth_of(photo)) for picture, photo in zip(drawn, held, strict=True)]
    likeness = [
        float(structural_similarity(picture, truth_of(photo), channel_axis=2, data_range=1.0))
        for picture, photo in zip(drawn, held, strict=True)
    ]
    mean = float(np.mean(values))
    return Score(name, len(kept.photos), len(held), mean, min(values), float(np.mean(likeness)), seconds, each)


def _write_sheet(path: Path, held: tuple[Photo, ...], draw: Draw) -> None:
    from PIL import Image

    rows = [np.concatenate([to_uint8(draw(photo)), to_uint8(truth_of(photo))], 1) for photo in held[:6]]
    width = min(row.shape[1] for row in rows)
    with whole_file(path) as beside:
        Image.fromarray(np.concatenate([row[:, :width] for row in rows])).save(beside)
