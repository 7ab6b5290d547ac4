"""Turned things: vessels with walls, handles, spouts and lids; lamps, posts, pawns and wheels."""

from __future__ import annotations

import manifold3d
import numpy as np

from ..textures import Rng
from .pieces import FloatArray, Piece, ball, drum, fitted, of_manifold, tube


def turned(profile: FloatArray, sides: int = 40) -> Piece:
    """A closed polygon (N, 2) of (radius >= 0, height) turned about y."""
    section = manifold3d.CrossSection([profile.tolist()], manifold3d.FillRule.NonZero)
    return of_manifold(section.revolve(sides).rotate((-90, 0, 0)))


def curve(rng: Rng, stops: int, low: float, high: float, smooth: bool) -> FloatArray:
    """Radii along the height: (N, 2) of (radius, height in [0, 1])."""
    heights = np.concatenate([[0], np.sort(rng.uniform(0.08, 0.92, stops)), [1]])
    radii = rng.uniform(low, high, stops + 2)
    if not smooth:
        return np.stack([radii, heights], 1)
    from scipy.interpolate import PchipInterpolator

    y = np.linspace(0, 1, 24)
    return np.stack([PchipInterpolator(heights, radii)(y), y], 1)


def vessel(rng: Rng) -> list[Piece]:
    """Bottle, vase, bowl, cup, pot, jug: open or closed, with what belongs to it."""
    high = float(np.exp(rng.uniform(np.log(0.35), np.log(2.6))))
    line = curve(rng, int(rng.integers(1, 5)), 0.18, 0.5, rng.random() < 0.75)
    if high > 1.4:  # bottles have necks
        line[line[:, 1] > rng.uniform(0.6, 0.8), 0] *= rng.uniform(0.35, 0.7)
    line = line * (1, high)
    sides = int(rng.choice([6, 8, 12, 40, 40, 40, 40]))
    skin = int(rng.integers(2))
    open_top = rng.random() < 0.6
    if open_top:
        wall, floor = rng.uniform(0.015, 0.06), rng.uniform(0.02, 0.1)
        inner = np.stack([np.maximum(line[:, 0] - wall, 0.01), np.maximum(line[:, 1], floor)], 1)[::-1]
        profile = np.concatenate([[(0, 0)], line, inner, [(0, floor)]])
    else:
        profile = np.concatenate([[(0, 0)], line, [(0, high)]])
    pieces = [turned(profile, sides).worn(skin)]
    rim = float(line[-1, 0])
    if not open_top or rng.random() < 0.25:
        lid = drum(rng) if rng.random() < 0.5 else ball(rng)
        size = (2 * rim * rng.uniform(0.9, 1.15), rng.uniform(0.04, 0.25), 2 * rim * rng.uniform(0.9, 1.15))
        pieces.append(fitted(lid).placed((size[0], size[1], size[0]), (0, high, 0)).worn(2))
        if rng.random() < 0.6:
            pieces.append(fitted(ball(rng)).placed(rng.uniform(0.06, 0.16), (0, high + size[1] / 2, 0)).worn(3))
    if rng.random() < 0.4:
        pieces += _handles(rng, line, high)
    if rng.random() < 0.15:
        at, tip = high * rng.uniform(0.3, 0.6), high * rng.uniform(0.75, 1.05)
        r = float(np.interp(at, line[:, 1], line[:, 0]))
        way = [(0, at, r * 0.7), (0, at + (tip - at) * 0.3, r + 0.12), (0, tip, r + rng.uniform(0.2, 0.4))]
        pieces.append(tube(_rounded(np.array(way)), np.linspace(0.09, 0.04, 12)).worn(skin))
    if rng.random() < 0.2:
        band = rng.uniform(0.2, 0.8) * high
        r = float(np.interp(band, line[:, 1], line[:, 0])) + 0.01
        width = high * rng.uniform(0.03, 0.15)
        rectangle = np.array([(0, band), (r, band), (r, band + width), (0, band + width)])
        if not open_top:
            pieces.append(turned(rectangle, sides).worn(2))
    squash = (1.0, 1.0, rng.uniform(0.5, 1.0)) if rng.random() < 0.2 else (1.0, 1.0, 1.0)
    return [p.placed(squash) for p in pieces]


def _rounded(points: FloatArray, count: int = 12) -> FloatArray:
    """A smooth line through few points."""
    from scipy.interpolate import CubicSpline

    return np.asarray(CubicSpline(np.linspace(0, 1, len(points)), points)(np.linspace(0, 1, count)))


def _handles(rng: Rng, line: FloatArray, high: float) -> list[Piece]:
    low_y, top_y = high * rng.uniform(0.1, 0.4), high * rng.uniform(0.6, 0.95)
    r0, r1 = (float(np.interp(y, line[:, 1], line[:, 0])) - 0.02 for y in (low_y, top_y))
    out = max(r0, r1) + rng.uniform(0.12, 0.35)
    way = np.array([(r0, low_y, 0), (out, low_y + (top_y - low_y) * rng.uniform(0.2, 0.8), 0), (r1, top_y, 0)])
    handle = tube(_rounded(way, 14), rng.uniform(0.02, 0.05)).worn(int(rng.integers(3)))
    if rng.random() < 0.5:
        return [handle, handle.mirrored()]
    angle = rng.uniform(0, 2 * np.pi)
    c, s = np.cos(angle), np.sin(angle)
    return [handle.placed(turn=np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]))]


def spindle(rng: Rng) -> list[Piece]:
    """A post, candlestick, pawn, lamp or goblet: a foot, a thin stem, a head."""
    foot, head = rng.uniform(0.2, 0.45), rng.uniform(0.15, 0.5)
    stem, high = rng.uniform(0.02, 0.09), rng.uniform(0.8, 2.4)
    low_h, top_h = rng.uniform(0.03, 0.2), rng.uniform(0.15, 0.5)
    line = [(0, 0), (foot, 0), (foot * rng.uniform(0.6, 1), low_h), (stem, low_h + 0.05), (stem, high), (0, high)]
    pieces = [turned(np.array(line)).worn(0)]
    style = rng.random()
    if style < 0.4:  # a shade: a thick shell open below and above
        top = head * rng.uniform(0.4, 1.0)
        shade = [(head, high - top_h / 2), (head - 0.02, high - top_h / 2), (top - 0.02, high + top_h / 2)]
        pieces.append(turned(np.array([*shade, (top, high + top_h / 2)])[::-1]).worn(1))
    elif style < 0.7:
        pieces.append(fitted(ball(rng)).placed((2 * head, top_h * 1.5, 2 * head), (0, high + top_h * 0.6, 0)).worn(1))
    else:
        knob = curve(rng, 2, 0.05, head, True) * (1, top_h) + np.array([0, high])
        pieces.append(turned(np.concatenate([[(0, high)], knob, [(0, high + top_h)]])).worn(1))
    return pieces
