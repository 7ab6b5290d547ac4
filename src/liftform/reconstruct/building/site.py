"""One storey between two heights, ready to be built."""

from __future__ import annotations

from dataclasses import dataclass

from ...floorplan.plane import Plane


@dataclass
class Site(Plane):
    """A storey between two heights (m): ``base``, the finished floor, and ``top``, where its walls end."""

    base: float = 0.0
    top: float = 2.4
