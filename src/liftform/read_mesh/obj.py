"""Wavefront OBJ with its materials -> parts, one for each material; quadrilaterals are remembered.

B1 of "Advanced Visualizer" (Wavefront, 1993); vertex colours as "v x y z r g b".
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..assets import Material, Mesh
from . import mtl, polygons
from .source import Found, Source, readable, unit_or_none

#: Bytes that are parsed at a time: few enough for their numbers to stay in the processor's cache.
_CHUNK = 1 << 22
_EVENT = re.compile(rb"^[ \t]*(usemtl|mtllib|o|g)(?:[ \t]+([^\r\n]*))?$", re.M)
_FACE = re.compile(rb"^[ \t]*fo?[ \t]+([^\r\n#]+)", re.M)
_ROWS = {key: re.compile(rb"^[ \t]*" + key.encode() + rb"[ \t]+([^\r\n#]+)", re.M) for key in ("v", "vt", "vn")}


@dataclass
class _Parsed:
    """The file so far: rows of v, vt and vn, and for every face block its corners (C, 3), -1 where absent."""

    rows: dict[str, list[NDArray[np.float64]]] = field(default_factory=lambda: {key: [] for key in _ROWS})
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_ROWS, 0))
    corners: dict[str, list[NDArray[np.int32]]] = field(default_factory=dict)
    sizes: dict[str, list[NDArray[np.int64]]] = field(default_factory=dict)
    libraries: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    material: str = ""
    faces: int = 0


def read(source: Source) -> Found:
    """The file's polygons; texture coordinates are turned to origin top-left.

    A missing material library or texture becomes a note. Raises ValueError for lines that are no numbers.
    """
    data = source.data.replace(b"\\\r\n", b" ").replace(b"\\\n", b" ")
    parsed = _Parsed()
    for chunk in _chunks(data):
        _parse(chunk, parsed, source)
    materials = mtl.read(source, parsed.libraries)
    positions, colors = _positions(parsed.rows["v"])
    parts = []
    several = len(parsed.corners) > 1
    for name in list(parsed.corners):
        material = materials.get(name)
        if name and material is None and materials:
            source.note(f"material {name!r} is not in the library")
        parts.append(_part(parsed, name, several, positions, colors, material))
    names = [name for name in dict.fromkeys(parsed.names) if name]
    title = names[0] if len(names) == 1 else ""
    metres = 1.0 if data.startswith(b"# liftform ") and b"unit: metre" in data[:200] else None
    return Found("OBJ", [part.with_(name=title) for part in parts], metres)


def _chunks(data: bytes) -> Iterator[bytes]:
    """The file in pieces that end at line ends; carriage returns alone end lines too."""
    if b"\n" not in data:
        data = data.replace(b"\r", b"\n")
    start = 0
    while start < len(data):
        end = data.find(b"\n", start + _CHUNK)
        end = len(data) if end < 0 else end + 1
        yield data[start:end]
        start = end


def _parse(chunk: bytes, parsed: _Parsed, source: Source) -> None:
    """Add a piece of the file."""
    before = dict(parsed.counts)
    for key, pattern in _ROWS.items():
        lines = pattern.findall(chunk)
        parsed.counts[key] += len(lines)
        if lines:
            parsed.rows[key].append(_numbers(lines))
    at = 0
    for event in [*_EVENT.finditer(chunk), None]:
        end = event.start() if event else len(chunk)
        _faces(chunk, at, end, before, parsed, source)
        at = event.end() if event else end
        if event:
            _note_event(event, parsed)


def _note_event(event: re.Match[bytes], parsed: _Parsed) -> None:
    word, value = event[1], " ".join(readable(event[2] or b"").split())
    if word == b"usemtl":
        parsed.material = value
    elif word == b"mtllib":
        parsed.libraries.append(value)
    else:
        parsed.names.append(value)


def _numbers(lines: Sequence[bytes]) -> NDArray[np.float64]:
    """Rows of numbers (N, 7), absent ones NaN; fast where all have the same length."""
    rows = np.full((len(lines), 7), np.nan)
    text = b"\n".join(lines)
    sizes = _words_per_line(text)
    width = int(sizes[0])
    if (sizes == width).all():
        rows[:, : min(width, 7)] = _values(text, np.float64, width * len(lines)).reshape(-1, width)[:, :7]
        return rows
    for row, line in zip(rows, lines, strict=True):
        values = line.split()[:7]
        row[: len(values)] = [float(value) for value in values]
    return rows


def _words_per_line(text: bytes) -> NDArray[np.int64]:
    """How many words each line has."""
    codes = np.frombuffer(text, np.uint8)
    begins = (codes > 32) & np.concatenate([[True], codes[:-1] <= 32])
    ends = np.append(np.flatnonzero(codes == 10), len(codes) - 1)
    return np.diff(np.cumsum(begins, dtype=np.int32)[ends], prepend=0).astype(np.int64)


def _values(text: bytes, kind: type, count: int) -> NDArray[Any]:
    """The ``count`` numbers of a text. Raises ValueError when it holds anything else."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # what older numpy says of words that are no numbers
        try:
            values: NDArray[Any] = np.fromstring(text.decode("latin-1"), kind, sep=" ")
        except DeprecationWarning as error:
            raise ValueError("a word is no number") from error
    if len(values) != count:
        raise ValueError("a word is no number")
    return values


def _faces(chunk: bytes, begin: int, end: int, before: dict[str, int], parsed: _Parsed, source: Source) -> None:
    """Add the faces between two places of a chunk, which all have the current material."""
    lines = _FACE.findall(chunk, begin, end)
    if not lines:
        return
    text = b"\n".join(lines)
    sizes = _words_per_line(text)
    parsed.faces += int(np.maximum(sizes - 2, 0).sum())
    source.allow(parsed.faces)
    corners = _corners(text, int(sizes.sum()))
    if (corners < 0).any():  # counted back from the last row before the face
        at = np.repeat([match.start() for match in _FACE.finditer(chunk, begin, end)], sizes)
        for k, (key, pattern) in enumerate(_ROWS.items()):
            known = before[key] + np.searchsorted([match.start() for match in pattern.finditer(chunk)], at)
            corners[:, k] = np.where(corners[:, k] < 0, known + corners[:, k] + 1, corners[:, k])
            corners[corners[:, k] < 0, k] = 0
    parsed.corners.setdefault(parsed.material, []).append(corners - 1)
    parsed.sizes.setdefault(parsed.material, []).append(sizes)


def _corners(text: bytes, count: int) -> NDArray[np.int32]:
    """Words "a", "a/b", "a//c" or "a/b/c" as (C, 3), absent ones 0; fast where all are of the first one's form."""
    first = text.split(None, 1)[0]
    slashes, double = first.count(b"/"), b"//" in first
    out = np.zeros((count, 3), np.int32)
    columns = [0, 2] if double else [0, 1, 2][: slashes + 1]
    alike = text.count(b"/") == slashes * count and text.count(b"//") == double * count
    if alike and slashes <= 2 and not first.endswith(b"/"):
        flat = _values(text.replace(b"//", b" ").replace(b"/", b" "), np.int64, len(columns) * count)
        out[:, columns] = _within(flat).reshape(count, len(columns))
        return out
    for row, word in zip(out, text.split(), strict=True):
        numbers = word.split(b"/")[:3]
        row[: len(numbers)] = _within(np.array([int(number) if number else 0 for number in numbers], np.int64))
    return out


def _within(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers that 32 bits hold: no file has rows beyond."""
    return np.clip(numbers, -(1 << 31) + 2, (1 << 31) - 2)


def _positions(rows: list[NDArray[np.float64]]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Positions (V, 3) and, where every row has them, colours (V, 3)."""
    table = np.concatenate(rows) if rows else np.zeros((0, 7))
    colors = table[:, 3:6]
    colored = len(table) > 0 and bool(np.isfinite(colors).all())
    return table[:, :3].astype(np.float32), np.clip(colors, 0, 1).astype(np.float32) if colored else None


def _part(
    parsed: _Parsed,
    name: str,
    several: bool,
    positions: NDArray[np.float32],
    colors: NDArray[np.float32] | None,
    material: Material | None,
) -> Mesh:
    """The faces of one material; corners that agree in position, texture coordinate and normal become one vertex."""
    corners, sizes = np.concatenate(parsed.corners.pop(name)), np.concatenate(parsed.sizes.pop(name))
    chosen, quads, _ = polygons.triangulated(corners[:, 0], sizes, positions)
    corners = corners[chosen.reshape(-1)]
    uv, normals = _table(parsed.rows["vt"], 2), _table(parsed.rows["vn"], 3)
    has_uv, has_normals = (_all_there(corners[:, k + 1], table) for k, table in enumerate((uv, normals)))
    if not has_uv and not has_normals and not several:
        faces = corners[:, 0].reshape(-1, 3).astype(np.int32)
        return Mesh(positions, faces, colors=colors, material=material, quads=quads)
    (v, t, n), index = polygons.unified(list((corners * np.array([1, has_uv, has_normals], np.int32)).T))
    flipped = np.stack([uv[t, 0], 1 - uv[t, 1]], axis=1).astype(np.float32) if has_uv else None
    return Mesh(
        positions[v],
        index.reshape(-1, 3).astype(np.int32),
        normals=unit_or_none(normals[n]) if has_normals else None,
        uv=flipped,
        colors=None if colors is None else colors[v],
        material=material,
        quads=quads,
    )


def _table(rows: list[NDArray[np.float64]], width: int) -> NDArray[np.float64]:
    return np.concatenate(rows)[:, :width] if rows else np.zeros((0, width))


def _all_there(index: NDArray[np.int32], table: NDArray[np.float64]) -> bool:
    """Whether every corner names a finite row."""
    if not len(index) or index.min() < 0 or index.max() >= len(table):
        return False
    used = np.zeros(len(table), bool)
    used[index] = True
    return bool(np.isfinite(table[used]).all())
