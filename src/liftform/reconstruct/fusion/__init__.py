"""Depth maps of a set -> dense coloured points that views agree on, and one coloured surface."""

from __future__ import annotations

from .surface import FusionOptions, fusion, points

__all__ = ["FusionOptions", "fusion", "points"]
