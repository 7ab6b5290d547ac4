"""What can be asked of splats."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...recipe import option

Background = Literal["auto", "white", "black", "random"]


@dataclass(frozen=True)
class SplatsOptions:
    """How splats are optimised."""

    steps: int = option(6000, "pictures that are looked at, one after another", low=1, high=1_000_000)
    minutes: float | None = option(
        None, "stop by the clock instead of after `steps` (the result then depends on the machine)", "minutes", low=0.02
    )
    gaussians: int = option(60_000, "most Gaussians that are used", keyword="gaussians", low=100, high=5_000_000)
    degree: int = option(2, "how colours change with the direction: degree of the harmonics", low=0, high=2)
    background: Background = option(  # noqa: RUF009
        "auto", "what lies behind masked pictures while they are learned: random colours, white or black (auto: random)"
    )
    surroundings: bool = option(True, "far Gaussians for what lies beyond the scene, where pictures have no masks")
    exposure: bool = option(True, "a brightness of its own for every picture")
    max_side: int = option(800, "longest side, in pixels, of the pictures that are learned from", low=32)
    similarity: float = option(0.2, "share of structural similarity in the loss", low=0.0, high=1.0)
    checkpoint: Path | None = option(  # noqa: RUF009
        None, "a file that keeps the state: written now and then, gone on from if it is there", "checkpoint"
    )
    preview: Path | None = option(  # noqa: RUF009
        None, "a PNG of the first picture and its rendering, every few seconds", "preview"
    )
