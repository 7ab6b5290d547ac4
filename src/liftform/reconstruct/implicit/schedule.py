"""How the optimisation of an implicit surface goes from coarse to fine: levels, steps, sharpness, rates."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Level:
    """One grid. cells: along the box's longest side; share: of all the work (steps, or minutes); sharpness: cells
    times s of the logistic density, at the beginning and at the end; width: of the band to each side, cells."""

    cells: int
    share: float
    sharpness: tuple[float, float]
    width: float


#: Share of the steps, or of the time, that the three levels take.
_STEP_SHARES, _TIME_SHARES = (0.3, 0.3, 0.4), (0.12, 0.25, 0.63)


def levels(cells: int, timed: bool) -> tuple[Level, ...]:
    """A quarter, a half and all of ``cells``."""
    shares = _TIME_SHARES if timed else _STEP_SHARES
    sharp, widths = ((0.8, 2.0), (1.2, 3.0), (1.6, 5.0)), (8.0, 6.0, 5.0)
    counts = (max(cells // 4, 16), max(cells // 2, 24), cells)
    return tuple(Level(*row) for row in zip(counts, shares, sharp, widths, strict=True))


def fading(first: float, last: float, part: float) -> float:
    """From ``first`` to ``last`` by equal factors."""
    return first * (last / first) ** min(max(part, 0.0), 1.0)
