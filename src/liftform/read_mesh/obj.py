"""Wavefront OBJ with its materials -> parts, one for each material; quadrilaterals are remembered.

B1 of "Advanced Visualizer" (Wavefront, 1993); vertex colours as "v x y z r g b".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..assets import Material, Mesh
from . import mtl, polygons
from .source import Found, Source, readable, unit_or_none

#: Bytes that are parsed at a time: bounds what lists of lines take.
_CHUNK = 1 << 25
_EVENT = re.compile(rb"^[ \t]*(usemtl|mtllib|o|g)(?:[ \t]+([^\r\n]*))?$", re.M)
_FACE = re.compile(rb"^[ \t]*fo?[ \t]+([^\r\n#]+)", re.M)
_ROWS = {key: re.compile(rb"^[ \t]*" + key.encode() + rb"[ \t]+([^\r\n#]+)", re.M) for key in ("v", "vt", "vn")}


@dataclass
class _Parsed:
    """The file so far: rows of v, vt and vn, and for every face block its corners (C, 3), -1 where absent."""

    rows: dict[str, list[NDArray[np.float64]]] = field(default_factory=lambda: {key: [] for key in _ROWS})
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_ROWS, 0))
    corners: dict[str, list[NDArray[np.int64]]] = field(default_factory=dict)
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
    for name in parsed.corners:
        material = materials.get(name)
        if name and material is None and materials:
            source.note(f"material {name!r} is not in the library")
        parts.append(_part(parsed, name, positions, colors, material))
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
    starts = {key: np.array([m.start() for m in pattern.finditer(chunk)]) for key, pattern in _ROWS.items()}
    before = dict(parsed.counts)
    for key, pattern in _ROWS.items():
        lines = pattern.findall(chunk)
        parsed.counts[key] += len(lines)
        if lines:
            parsed.rows[key].append(_numbers(lines))
    at = 0
    for event in [*_EVENT.finditer(chunk), None]:
        end = event.start() if event else len(chunk)
        _faces(chunk[at:end], at, starts, before, parsed, source)
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
    flat = np.array(b" ".join(lines).split(), dtype=np.float64)
    width = len(flat) // len(lines)
    first = len(lines[0].split())
    if width == first and width * len(lines) == len(flat) and all(len(line.split()) == width for line in lines):
        rows[:, : min(width, 7)] = flat.reshape(len(lines), width)[:, :7]
        return rows
    for row, line in zip(rows, lines, strict=True):
        values = line.split()[:7]
        row[: len(values)] = [float(value) for value in values]
    return rows


def _faces(
    block: bytes, offset: int, starts: dict[str, NDArray[Any]], before: dict[str, int], parsed: _Parsed, source: Source
) -> None:
    """Add the faces of one block, which all have the current material."""
    found = [(match.start() + offset, match[1]) for match in _FACE.finditer(block)]
    if not found:
        return
    words = [line.split() for _, line in found]
    sizes = np.array([len(corners) for corners in words], np.int64)
    parsed.faces += int(np.maximum(sizes - 2, 0).sum())
    source.allow(parsed.faces)
    corners = _corners([word for corners in words for word in corners])
    if (corners < 0).any():  # counted back from the last row before the face
        at = np.repeat([start for start, _ in found], sizes)
        for k, key in enumerate(_ROWS):
            known = before[key] + np.searchsorted(starts[key], at)
            corners[:, k] = np.where(corners[:, k] < 0, known + corners[:, k] + 1, corners[:, k])
            corners[corners[:, k] < 0, k] = 0
    parsed.corners.setdefault(parsed.material, []).append(corners - 1)
    parsed.sizes.setdefault(parsed.material, []).append(sizes)


def _corners(words: Sequence[bytes]) -> NDArray[np.int64]:
    """Words "a", "a/b", "a//c" or "a/b/c" as (C, 3), absent ones 0; fast where all are of the first one's form."""
    text = b" ".join(words)
    slashes = words[0].count(b"/")
    out = np.zeros((len(words), 3), np.int64)
    columns, parts = [0, 1, 2][: slashes + 1], text
    if b"//" in words[0]:
        columns, parts = [0, 2], text.replace(b"//", b"/")
    alike = text.count(b"/") == slashes * len(words) and (b"//" in words[0] or b"//" not in text)
    if alike and slashes <= 2:
        flat = np.array(parts.replace(b"/", b" ").split(), dtype=np.int64)
        if len(flat) == len(columns) * len(words):
            out[:, columns] = flat.reshape(len(words), len(columns))
            return out
    for row, word in zip(out, words, strict=True):
        numbers = word.split(b"/")[:3]
        row[: len(numbers)] = [int(number) if number else 0 for number in numbers]
    return out


def _positions(rows: list[NDArray[np.float64]]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Positions (V, 3) and, where every row has them, colours (V, 3)."""
    table = np.concatenate(rows) if rows else np.zeros((0, 7))
    colors = table[:, 3:6]
    colored = len(table) > 0 and bool(np.isfinite(colors).all())
    return table[:, :3].astype(np.float32), np.clip(colors, 0, 1).astype(np.float32) if colored else None


def _part(
    parsed: _Parsed,
    name: str,
    positions: NDArray[np.float32],
    colors: NDArray[np.float32] | None,
    material: Material | None,
) -> Mesh:
    """The faces of one material; corners that agree in position, texture coordinate and normal become one vertex."""
    corners, sizes = np.concatenate(parsed.corners[name]), np.concatenate(parsed.sizes[name])
    chosen, quads, _ = polygons.triangulated(corners[:, 0], sizes, positions)
    corners = corners[chosen.reshape(-1)]
    uv, normals = _table(parsed.rows["vt"], 2), _table(parsed.rows["vn"], 3)
    has_uv, has_normals = (_all_there(corners[:, k + 1], table) for k, table in enumerate((uv, normals)))
    if not has_uv and not has_normals and len(parsed.corners) == 1:
        faces = corners[:, 0].reshape(-1, 3).astype(np.int32)
        return Mesh(positions, faces, colors=colors, material=material, quads=quads)
    (v, t, n), index = polygons.unified(list((corners * [True, has_uv, has_normals]).T))
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


def _all_there(index: NDArray[np.int64], table: NDArray[np.float64]) -> bool:
    """Whether every corner names a finite row."""
    if not len(index) or index.min() < 0 or index.max() >= len(table):
        return False
    return bool(np.isfinite(table[np.unique(index)]).all())
