"""What one sheet of a drawing holds: strokes and fills, text, or a picture; plain data in the sheet's own units."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Stroke:
    """One path: its rings in sheet units, y up; curves are chords already.

    rings: (N, 2) float64 each; closed ones repeat their first point. width: of the pen in sheet units, 0 where the
    path is not stroked. stroke, fill: sRGB in [0, 1] or None. even_odd: how a fill counts its rings (else non-zero
    winding). layer: its name in the file, or "".
    """

    rings: tuple[FloatArray, ...]
    width: float = 0.0
    stroke: Colour | None = None
    fill: Colour | None = None
    even_odd: bool = False
    dashed: bool = False
    layer: str = ""


@dataclass(frozen=True)
class Text:
    """One line of text: its string, the centre of its box and the box's size (along, across) in sheet units.

    angle: radians of the reading direction against the x axis. size: font size. sure in [0, 1]: 1 where the file says
    the characters, less where they were read from pixels.
    """

    text: str
    centre: tuple[float, float]
    extent: tuple[float, float]
    angle: float = 0.0
    size: float = 0.0
    layer: str = ""
    sure: float = 1.0


@dataclass(frozen=True)
class Sheet:
    """One page. Sheet units are points (PDF), pixels of ``image`` (pictures) or drawing units (DXF); y is up.

    size: (width, height) in sheet units. mm_per_unit: millimetres of paper per unit, None where nobody knows.
    m_per_unit: metres of building per unit where the file says so (DXF), else None. image (H, W) float32 grey in
    [0, 1] with its first row on top, None for vector sheets. page counts from 1.
    """

    source: str
    page: int
    pages: int
    kind: str
    size: tuple[float, float]
    strokes: tuple[Stroke, ...] = ()
    texts: tuple[Text, ...] = ()
    mm_per_unit: float | None = None
    m_per_unit: float | None = None
    image: NDArray[np.float32] | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that anything lies on, sorted."""
        return tuple(sorted({stroke.layer for stroke in self.strokes} - {""}))
