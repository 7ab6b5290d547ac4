"""Composites made ahead: shards of finished training pictures, and endless varied batches of them.

Composing costs about as much processor time as a training step on the result, so each picture is stored once and
used many times, each time cropped, mirrored, squeezed and recoloured anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from . import ranks, shards
from .composites import Bank, composite
from .loop import Batch
from .textures import ByteImage, Rng

#: Composites in a shard.
PER_SHARD = 500


def write(bank: Bank, folder: Path, count: int, size: int, seed: int) -> None:
    """``count`` shards of finished composites of ``size`` pixels, those that are there already kept."""
    for k in range(count):
        path = folder / f"composed_{k:03d}.tar"
        if not path.exists():
            shards.write(path, (_sample(bank, size, seed, k * PER_SHARD + i) for i in range(PER_SHARD)))


def _sample(bank: Bank, size: int, seed: int, index: int) -> shards.Sample:
    image, alpha = composite(bank, size, seed, index)
    return {"key": f"{index:07d}", "rgba": np.dstack([image, alpha])}


def batches(paths: Sequence[Path], batch: int, sizes: Sequence[int], seed: int, first: int) -> Iterator[Batch]:
    """Batches from step ``first`` on: "image" (B, S, S, 3) and "alpha" (B, S, S), uint8, S drawn from ``sizes``.

    Batch n is the same however the run was cut.
    """
    samples = shards.stream(paths, seed, first * batch, ranks.rank(), ranks.world(), 4 * PER_SHARD)
    for step, _ in enumerate(iter(int, 1), first):
        rng = np.random.default_rng([seed, 31, step])
        size = int(rng.choice(sizes))
        pictures = np.stack([_varied(next(samples)["rgba"], size, rng) for _ in range(batch)])
        yield {"image": torch.from_numpy(pictures[..., :3].copy()), "alpha": torch.from_numpy(pictures[..., 3].copy())}


def _varied(rgba: ByteImage, size: int, rng: Rng) -> ByteImage:
    """The same picture mirrored, cropped and squeezed a little, its channels scaled and their curves bent."""
    whole = rgba.shape[0]
    width, height = whole * rng.uniform(0.72, 1.0) * rng.uniform(0.85, 1.0, 2)
    x, y = rng.uniform(0, whole - width), rng.uniform(0, whole - height)
    image = Image.fromarray(rgba, "RGBX").resize((size, size), Image.Resampling.BILINEAR, (x, y, x + width, y + height))
    out = np.array(image)
    if rng.random() < 0.5:
        out = out[:, ::-1]
    if rng.random() < 0.7:
        steps = np.arange(256, dtype=np.float32) / 255
        bend, gains = np.exp(rng.normal(0, 0.25)), np.exp(rng.normal(0, 0.12) + rng.normal(0, 0.07, 3))
        for c in range(3):
            out[..., c] = np.clip(steps**bend * gains[c] * 255 + 0.5, 0, 255).astype(np.uint8)[out[..., c]]
    return out
