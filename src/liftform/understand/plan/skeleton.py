"""Thin ink -> centre lines: the skeleton followed straight through its crossings, corners and pens measured."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from shapely.geometry import LineString

from ...drawing.sheet import FloatArray, Stroke
from .ink import circle_through

Mask = NDArray[np.bool_]
#: How far (pixels) a chord may stray from its line, and the shortest line that is kept.
_STRAY, _SHORTEST = 0.9, 5.0
#: A turn (radians) between two chords that is a corner and no curve.
_CORNER = 0.6
_AROUND = [(-1, 0), (0, 1), (1, 0), (0, -1), (-1, -1), (-1, 1), (1, 1), (1, -1)]


def strokes(flat: NDArray[np.float32], thin: Mask) -> list[Stroke]:
    """Unfilled strokes (pixels, y down) along the thin ink, with the width of their pens in classes."""
    from skimage.morphology import skeletonize

    if not thin.any():
        return []
    bones = skeletonize(thin)
    chains = _followed(_edges(bones))
    lines = [_chords(chain) for chain in chains]
    lines = [line for line in lines if len(line) > 1 and _length(line) >= _SHORTEST]
    lines = _cornered([_refined(line, flat) for line in lines])
    widths = [_width(line, flat) for line in lines]
    classes = _pens(np.array(widths), np.array([_length(line) for line in lines]))
    return [Stroke((line,), width, (0.0, 0.0, 0.0)) for line, width in zip(lines, classes, strict=True)]


def _length(line: FloatArray) -> float:
    return float(np.hypot(*np.diff(line, axis=0).T).sum())


def _edges(bones: Mask) -> list[tuple[int, int, list[tuple[int, int]]]]:
    """(node, node, pixels) of the skeleton's graph; nodes are clusters of pixels with other than two neighbours."""
    padded = np.pad(bones, 1)
    count = ndimage.convolve(padded.astype(np.uint8), np.ones((3, 3), np.uint8), mode="constant") - padded
    node_mask = padded & (count != 2)
    nodes, _ = ndimage.label(node_mask, np.ones((3, 3)))
    pixels: set[tuple[int, int]] = {(r, c) for r, c in np.argwhere(padded & ~node_mask).tolist()}
    node_at = nodes
    edges = []
    starts = np.argwhere(node_mask).tolist()
    for r, c in starts:
        for dr, dc in _AROUND:
            here = (r + dr, c + dc)
            if here in pixels:
                path = _walk(here, pixels, node_at, int(node_at[r, c]))
                edges.append((int(node_at[r, c]), path[1], [(r, c), *path[0]]))
    while pixels:  # closed loops without any node
        first = pixels.pop()
        pixels.add(first)
        loop, _ = _walk(first, pixels, node_at, -1)
        edges.append((-1, -1, [*loop, loop[0]]))
    return edges


def _walk(
    here: tuple[int, int], pixels: set[tuple[int, int]], node_at: NDArray[np.int32], origin: int
) -> tuple[list[tuple[int, int]], int]:
    """Pixels from ``here`` on to the next node (its number), taken out of ``pixels``."""
    path = [here]
    pixels.discard(here)
    while True:
        r, c = here
        onward = next(((r + dr, c + dc) for dr, dc in _AROUND if (r + dr, c + dc) in pixels), None)
        met = [
            (int(node_at[r + dr, c + dc]), (r + dr, c + dc))
            for dr, dc in _AROUND
            if node_at[r + dr, c + dc] and not (len(path) < 3 and node_at[r + dr, c + dc] == origin)
        ]
        if met and (onward is None or len(path) > 1):
            return [*path, met[0][1]], met[0][0]
        if onward is None:
            return path, 0
        pixels.discard(onward)
        path.append(onward)
        here = onward


def _followed(edges: list[tuple[int, int, list[tuple[int, int]]]]) -> list[FloatArray]:
    """Edges joined where one goes straight on through a crossing: (N, 2) pixel positions (x, y) at pixel centres."""
    ends: dict[int, list[tuple[int, int]]] = defaultdict(list)
    points = [np.array(path, float)[:, ::-1] - 0.5 for *_, path in edges]
    for index, (a, b, _) in enumerate(edges):
        if a > 0:
            ends[a].append((index, 0))
        if b > 0:
            ends[b].append((index, 1))
    partner: dict[tuple[int, int], tuple[int, int]] = {}
    for members in ends.values():
        ways = [_way_out(points[i], end) for i, end in members]
        pairs = sorted(
            (float(ways[m] @ ways[n]), m, n) for m in range(len(members)) for n in range(m + 1, len(members))
        )
        used: set[int] = set()
        limit = -0.4 if len(members) == 2 else -0.93
        for dot, m, n in pairs:
            if dot < limit and m not in used and n not in used and members[m][0] != members[n][0]:
                partner[members[m]], partner[members[n]] = members[n], members[m]
                used |= {m, n}
    done: set[int] = set()
    chains = []
    free_first = sorted(range(len(edges)), key=lambda i: (i, 0) in partner and (i, 1) in partner)
    for index in free_first:
        if index in done:
            continue
        entry = 1 if (index, 0) in partner and (index, 1) not in partner else 0
        parts, here = [], (index, entry)
        while here[0] not in done:
            done.add(here[0])
            run = points[here[0]] if here[1] == 0 else points[here[0]][::-1]
            parts.append(run)
            leave = (here[0], 1 - here[1])
            if leave not in partner:
                break
            here = partner[leave]
        chains.append(np.concatenate(parts))
    return chains


def _way_out(points: FloatArray, end: int) -> FloatArray:
    """Unit direction in which an edge leaves its node."""
    run = points if end == 0 else points[::-1]
    way = run[min(len(run) - 1, 9)] - run[min(len(run) - 1, 1)]
    length = float(np.hypot(*way))
    return way / length if length > 0 else np.zeros(2)


def _chords(chain: FloatArray) -> FloatArray:
    """A chain as few chords; what is part of a circle between two corners, as even ones."""
    if len(chain) < 2:
        return chain
    rough = np.array(LineString(chain).simplify(_STRAY).coords)
    places: list[int] = [int(np.argmin(((chain - p) ** 2).sum(1))) for p in rough]
    turns = np.diff(np.unwrap(np.arctan2(*np.diff(rough, axis=0).T[::-1])))
    corners: list[int] = [0, *(int(k) + 1 for k in np.flatnonzero(np.abs(turns) > _CORNER)), len(rough) - 1]
    parts = []
    for first, last in itertools.pairwise(corners):
        run = chain[places[first] : places[last] + 1]
        parts.append(_on_circle(run) if last - first >= 3 else None)
        if parts[-1] is None:
            parts[-1] = rough[first : last + 1]
    joined = np.concatenate([part for part in parts if part is not None])
    keep = np.concatenate([[True], np.hypot(*np.diff(joined, axis=0).T) > 1e-9])
    return joined[keep]


def _on_circle(run: FloatArray) -> FloatArray | None:
    """Even chords of the circle that a run of pixels lies on, or None where it lies on none."""
    if len(run) < 12:
        return None
    arc = circle_through(run[1:-1], 0.03)
    if arc is None or arc.radius < 6 or not 0.5 < arc.sweep < 6.5:
        return None
    spokes = run - np.array(arc.centre)
    start = math.atan2(spokes[0, 1], spokes[0, 0])
    middle = spokes[len(run) // 2]
    turns = math.remainder(math.atan2(middle[1], middle[0]) - start, 2 * math.pi)
    sweep = math.copysign(arc.sweep, turns)
    angles = start + np.linspace(0, sweep, max(4, round(arc.sweep / 0.12)) + 1)
    return np.array(arc.centre) + arc.radius * np.stack([np.cos(angles), np.sin(angles)], 1)


def _refined(line: FloatArray, flat: NDArray[np.float32]) -> FloatArray:
    """A line whose axis-parallel chords lie on the middle of their ink, to a fraction of a pixel."""
    line = line.copy()
    for k in range(len(line) - 1):
        step = line[k + 1] - line[k]
        for axis in (0, 1):
            if abs(step[axis]) > 6 and abs(step[1 - axis]) <= max(1.5, 0.015 * abs(step[axis])):
                level = _middle(line[k], line[k + 1], axis, flat)
                if level is not None:
                    line[k, 1 - axis] = line[k + 1, 1 - axis] = level
    return line


def _middle(p: FloatArray, q: FloatArray, axis: int, flat: NDArray[np.float32]) -> float | None:
    """Where across an axis-parallel chord its ink lies in the middle (median along it)."""
    low, high = sorted((p[axis], q[axis]))
    inset = 2 if high - low > 8 else 0
    a, b = int(low) + inset, int(high) - inset + 1
    level = (p[1 - axis] + q[1 - axis]) / 2
    c = int(level)
    plane = flat if axis == 0 else flat.T
    band = 1 - plane[max(0, c - 3) : c + 4, max(0, a) : b]
    if band.shape[0] < 7 or band.shape[1] < 2:
        return None
    band = np.where(band > 0.15, band, 0)
    profile = np.median(band, 1)
    if profile.sum() < 0.2:
        return None
    core = np.where(np.abs(np.arange(7) - (level - c + 2.5)) < 2.6, profile, 0)
    return float((core @ (np.arange(7) + 0.5)) / core.sum() + c - 3) if core.sum() > 0.2 else None


def _cornered(lines: list[FloatArray]) -> list[FloatArray]:
    """Lines whose ends are put onto the axis-parallel line that they end beside, so that faces close."""
    flats: dict[int, list[tuple[float, float, float]]] = {0: [], 1: []}
    for line in lines:
        for p, q in itertools.pairwise(line):
            for axis in (0, 1):
                if p[1 - axis] == q[1 - axis] and p[axis] != q[axis]:
                    flats[axis].append((p[1 - axis], min(p[axis], q[axis]), max(p[axis], q[axis])))
    tables = {axis: np.array(sorted(rows)).reshape(-1, 3) for axis, rows in flats.items()}
    out = []
    for line in lines:
        line = line.copy()
        for k in range(len(line)):
            before = k > 0 and line[k - 1, 1] == line[k, 1]
            after = k + 1 < len(line) and line[k + 1, 1] == line[k, 1]
            upright_before = k > 0 and line[k - 1, 0] == line[k, 0]
            upright_after = k + 1 < len(line) and line[k + 1, 0] == line[k, 0]
            if (before or after) and not (upright_before or upright_after):
                line[k, 0] = _snapped(line[k], tables[1], 0)
            if (upright_before or upright_after) and not (before or after):
                line[k, 1] = _snapped(line[k], tables[0], 1)
        out.append(line)
    return out


def _snapped(point: FloatArray, table: FloatArray, coordinate: int, reach: float = 3.2) -> float:
    """A coordinate of a line's end moved onto the nearest line across it that passes there."""
    value, other = float(point[coordinate]), float(point[1 - coordinate])
    low, high = np.searchsorted(table[:, 0], [value - reach, value + reach])
    near = table[low:high]
    near = near[(near[:, 1] - reach < other) & (other < near[:, 2] + reach)]
    if len(near) == 0:
        return value
    return float(near[np.argmin(np.abs(near[:, 0] - value)), 0])


def _width(line: FloatArray, flat: NDArray[np.float32]) -> float:
    """Width in pixels of a line's pen: its darkness summed across it, median along its longest chord."""
    steps = np.hypot(*np.diff(line, axis=0).T)
    k = int(np.argmax(steps))
    p, q = line[k], line[k + 1]
    along = (q - p) / max(steps[k], 1e-9)
    across = np.array([-along[1], along[0]])
    places = p + along * np.linspace(0.2, 0.8, 9)[:, None] * steps[k]
    offsets = np.arange(-3, 3.01, 0.5)
    grid = places[:, None] + across * offsets[:, None]
    dark = 1 - ndimage.map_coordinates(flat, [grid[..., 1] - 0.5, grid[..., 0] - 0.5], order=1, mode="nearest")
    return float(np.median(np.where(dark > 0.12, dark, 0).sum(1)) * 0.5)


def _pens(widths: NDArray[np.float64], lengths: NDArray[np.float64]) -> list[float]:
    """Widths as those of one or two pens: split where a threshold parts them best (Otsu 1979, weighted by length)."""
    if len(widths) == 0:
        return []
    logs = np.log(np.maximum(widths, 0.2))
    order = np.argsort(logs)
    weight = np.cumsum(lengths[order])
    moment = np.cumsum((lengths * logs)[order])
    total, mean = weight[-1], moment[-1] / weight[-1]
    between = (mean * weight - moment) ** 2 / np.maximum(weight * (total - weight), 1e-9)
    cut = int(np.argmax(between[:-1])) if len(widths) > 1 else 0
    light, heavy = logs[order][: cut + 1], logs[order][cut + 1 :]
    if len(heavy) == 0 or np.median(heavy) - np.median(light) < math.log(1.45):
        return [float(np.exp(np.median(logs)))] * len(widths)
    values = float(np.exp(np.median(light))), float(np.exp(np.median(heavy)))
    return [values[int(log > logs[order][cut])] for log in logs]
