"""Rough rings of pixels -> straight edges along a drawing's own directions, each laid onto the ink that it means."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

FloatArray = NDArray[np.float64]
FloatImage = NDArray[np.float32]

#: Slant (radians), and rise in pixels of the ring, below which an edge is taken for level or upright.
_SLANT, _RISE = math.radians(1.5), 1.7
#: Widest run of ink (metres) that is a line and no fill; least darkness that is ink.
_LINE, _FAINT = 0.034, 0.17


@dataclass
class Edge:
    """A straight edge from p to q (pixels, y down), the outside on its left, and which way it runs: "h", "v", "o"."""

    p: FloatArray
    q: FloatArray
    way: str

    @property
    def unit(self) -> FloatArray:
        """Its direction."""
        if self.way == "h":
            return np.array([math.copysign(1.0, self.q[0] - self.p[0]), 0.0])
        if self.way == "v":
            return np.array([0.0, math.copysign(1.0, self.q[1] - self.p[1])])
        step = self.q - self.p
        return step / max(float(np.hypot(*step)), 1e-9)

    @property
    def length(self) -> float:
        """Pixels from end to end."""
        return float(np.hypot(*(self.q - self.p)))

    def moved(self, off: float) -> Edge:
        """The edge shifted to its right (inwards)."""
        shift = off * np.array([-self.unit[1], self.unit[0]])
        return Edge(self.p + shift, self.q + shift, self.way)


def regular(ring: FloatArray, rough: FloatArray, pixel: float) -> list[Edge]:
    """Edges of a closed ring (N, 2), walls to the right of its way (clockwise as seen with y down), from its simplified
    corners ``rough``; ``pixel``: how fine the ring is. Short slanted edges that only cut corners are dropped.
    """
    edges: list[Edge] = []
    for p, q in itertools.pairwise(rough):
        step = q - p
        length = float(np.hypot(*step))
        rise = max(_RISE * pixel, _SLANT * length)
        if abs(step[1]) < min(rise, 0.4 * abs(step[0])):
            way = "h"
        elif abs(step[0]) < min(rise, 0.4 * abs(step[1])):
            way = "v"
        elif length < 5.5 * pixel:
            continue
        else:
            way = "o"
        if length > 1.3 * pixel:
            edges.append(_levelled(Edge(p, q, way), ring, pixel))
    return _joined(edges, pixel)


def _levelled(edge: Edge, ring: FloatArray, pixel: float) -> Edge:
    """The edge laid through the middle of the ring's points beside it."""
    unit = edge.unit
    across = np.array([-unit[1], unit[0]])
    local = ring - edge.p
    along, away = local @ unit, local @ across
    inset = min(2 * pixel, 0.2 * edge.length)
    near = (along > inset) & (along < edge.length - inset) & (np.abs(away) < 2.5 * pixel)
    if not near.any():
        return Edge(edge.p, edge.p + unit * float((edge.q - edge.p) @ unit), edge.way)
    off = float(np.median(away[near]))
    start = edge.p + off * across
    return Edge(start, start + unit * float((edge.q - edge.p) @ unit), edge.way)


def _joined(edges: list[Edge], pixel: float) -> list[Edge]:
    """Neighbours of one direction and nearly one level made one edge."""
    out: list[Edge] = []
    for edge in edges:
        if out and _same(out[-1], edge, pixel):
            out[-1] = _one(out[-1], edge)
        else:
            out.append(edge)
    while len(out) > 1 and _same(out[-1], out[0], pixel):
        out[0] = _one(out.pop(), out[0])
    return out


def _same(a: Edge, b: Edge, pixel: float) -> bool:
    if a.way != b.way or a.way == "o" or float(a.unit @ b.unit) < 0:
        return False
    across = np.array([-a.unit[1], a.unit[0]])
    return abs(float((b.p - a.p) @ across)) < 1.2 * pixel


def _one(a: Edge, b: Edge) -> Edge:
    axis = 1 if a.way == "h" else 0
    level = (a.p[axis] * a.length + b.p[axis] * b.length) / max(a.length + b.length, 1e-9)
    p, q = a.p.copy(), b.q.copy()
    p[axis] = q[axis] = level
    return Edge(p, q, a.way)


def corners(edges: list[Edge]) -> FloatArray | None:
    """The ring (N, 2), not repeating its first, where neighbouring edges meet; steps between parallels are squared."""
    if len(edges) < 2:
        return None
    points: list[FloatArray] = []
    for k, here in enumerate(edges):
        before = edges[k - 1]
        u, v = before.unit, here.unit
        cross = float(u[0] * v[1] - u[1] * v[0])
        if abs(cross) > 0.2:
            step = here.p - before.p
            points.append(before.p + u * float(step[0] * v[1] - step[1] * v[0]) / cross)
        else:
            middle = (before.q + here.p) / 2
            points += [before.p + u * float((middle - before.p) @ u), here.p + v * float((middle - here.p) @ v)]
    return np.array(points) if len(points) > 2 else None


def offset(
    edge: Edge,
    flat: FloatImage,
    reach: float,
    px_per_m: float,
    solid: Callable[[FloatArray], NDArray[np.bool_]] | None = None,
) -> float | None:
    """How far (pixels, inwards positive) the ink's own edge lies from an edge, within ``reach``; None where no ink is.

    solid: which of some places (N, 2) along the edge lie at a wall and not at one of its openings.
    A line counts by its middle, a fill by where half its darkness is reached coming from outside.
    """
    unit = edge.unit
    inward = np.array([-unit[1], unit[0]])
    inset = min(0.25 * edge.length, 0.08 * px_per_m)
    count = int(min(160, max(5, edge.length - 2 * inset)))
    places = edge.p + unit * np.linspace(inset, edge.length - inset, count)[:, None]
    if solid is not None:
        walled = solid(places + 0.04 * px_per_m * inward)
        places = places[walled] if walled.sum() > 4 else places
    fine = 0.5
    offsets = np.arange(-reach, reach + fine / 2, fine)
    grid = places[:, None] + inward * offsets[:, None]
    dark = 1 - ndimage.map_coordinates(flat, [grid[..., 1] - 0.5, grid[..., 0] - 0.5], order=1, mode="nearest")
    profile = np.percentile(dark, 58, axis=0)
    top = float(profile.max())
    if top < _FAINT:
        return None
    return _nearest(profile, offsets, 0.5 * top, max(_LINE * px_per_m, 3.2))


def _nearest(profile: FloatArray, offsets: FloatArray, half: float, line: float) -> float | None:
    """The place of the run of ink nearest to 0: the middle of a thin one, the outer border of a thick one."""
    inked = np.concatenate([[False], profile > half, [False]])
    starts, stops = np.flatnonzero(~inked[:-1] & inked[1:]), np.flatnonzero(inked[:-1] & ~inked[1:])
    best: tuple[float, float] | None = None
    for start, stop in zip(starts, stops, strict=True):
        low = _crossing(profile, offsets, half, int(start) - 1)
        high = _crossing(profile, offsets, half, int(stop) - 1)
        open_end = stop == len(profile)
        if high - low <= line and not open_end:
            share = profile[start:stop]
            place = float((share * offsets[start:stop]).sum() / share.sum())
        elif start > 0:
            place = low
        else:
            continue
        if best is None or abs(place) < best[0]:
            best = abs(place), place
    return None if best is None else best[1]


def _crossing(profile: FloatArray, offsets: FloatArray, half: float, before: int) -> float:
    """Where the profile passes ``half`` between samples ``before`` and ``before + 1``."""
    if before < 0:
        return float(offsets[0])
    if before + 1 >= len(profile):
        return float(offsets[-1])
    a, b = float(profile[before]), float(profile[before + 1])
    share = 0.5 if a == b else (half - a) / (b - a)
    return float(offsets[before] + min(max(share, 0.0), 1.0) * (offsets[before + 1] - offsets[before]))
