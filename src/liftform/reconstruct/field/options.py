"""What can be asked of a radiance field."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...recipe import option


@dataclass(frozen=True)
class FieldOptions:
    """How a radiance field is learnt."""

    minutes: float = option(
        3.0, "time to learn (the result then depends on the machine; with `steps`, the most time)", "minutes", low=0.02
    )
    steps: int = option(0, "steps of 32 blocks of 8 x 8 pixels instead of a time (0: by `minutes`)", low=0)
    resolution: int = option(
        0, "lattice cells along the longest side (0: about one a pixel, as the time allows)", "resolution", 0, 1024
    )
    background: Literal["auto", "white", "black", "random"] = option(
        "auto", "what masked pictures are compared on: any grey (random), white or black (auto: random)", "background"
    )
    smooth: float = option(1.0, "how much neighbours pull at each other, 0 for not at all", low=0.0, high=100.0)
    spread: float = option(0.0, "how much density is drawn together along rays, against mist", low=0.0, high=10.0)
    solid: float = option(0.01, "how much rays without masks are kept from passing through everything", low=0.0)
    exposure: bool = option(True, "gain and offset for each picture, where there are no masks")
    max_side: int = option(800, "longest side, in pixels, of the pictures that are learnt from", low=32)
    checkpoint: Path | None = option(  # noqa: RUF009
        None, "a file that keeps the state: written now and then, gone on from if it is there", "checkpoint"
    )
    preview: Path | None = option(  # noqa: RUF009
        None, "a PNG of a picture beside the field, every few seconds", "preview"
    )
