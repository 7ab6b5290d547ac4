"""PLY, text or binary of either byte order -> one part with colours, texture coordinates and what liftform wrote.

G. Turk, "The PLY Polygon File Format", 1994.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..assets import Material, Mesh
from . import polygons
from .pictures import Pictures
from .source import Found, Source, readable, unit_or_none

_KINDS = {
    **{"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"},
    **{"float": "f4", "double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2"},
    **{"int32": "i4", "uint32": "u4", "float32": "f4", "float64": "f8"},
}
_END = re.compile(rb"^end_header[ \t]*\r?\n", re.M)
_LISTS = ("vertex_indices", "vertex_index")
_UV = (("u", "v"), ("s", "t"), ("texture_u", "texture_v"), ("texture_s", "texture_t"))

#: A column: numbers (N,), or a list of them: (lengths (N,), all values).
_Column = NDArray[Any] | tuple[NDArray[np.int64], NDArray[Any]]


@dataclass
class _Element:
    """name, count, and of each property (name, kind of list lengths or None, kind of values)."""

    name: str
    count: int
    properties: list[tuple[str, str | None, str]] = field(default_factory=list)


def read(source: Source) -> Found:
    """The polygons of the file. Raises ValueError or UnreadableError for what is damaged."""
    end = _END.search(source.data)
    if end is None:
        raise source.damaged("its header has no end")
    lines = [readable(line) for line in source.data[: end.start()].splitlines()]
    form, elements = _header(source, lines)
    body = memoryview(source.data)[end.end() :]
    reader = _Text(body.tobytes().split()) if form == "ascii" else _Binary(body, "<" if "little" in form else ">")
    tables: dict[str, dict[str, _Column]] = {}
    for element in elements:
        tables.setdefault(element.name, {}).update(reader.table(source, element))
        if {"vertex", "face"} <= set(tables):
            break
    own = any(line.startswith("comment liftform") and "unit: metre" in line for line in lines)
    texture = next((line.split(None, 2)[2] for line in lines if line.lower().startswith("comment texturefile ")), None)
    part = _part(source, tables.get("vertex", {}), tables.get("face", {}), texture)
    return Found("PLY", [] if part is None else [part], 1.0 if own else None)


def _header(source: Source, lines: list[str]) -> tuple[str, list[_Element]]:
    form, elements = "", list[_Element]()
    for words in (line.split() for line in lines[1:]):
        if words[:1] == ["format"]:
            form = words[1]
        elif words[:1] == ["element"]:
            elements.append(_Element(words[1], int(words[2])))
            if elements[-1].count < 0 or elements[-1].count > len(source.data):
                raise source.damaged(f"it claims {elements[-1].count:,} of {words[1]}")
            if words[1] == "face":
                source.allow(elements[-1].count)
        elif words[:2] == ["property", "list"]:
            elements[-1].properties.append((words[4], _KINDS[words[2]], _KINDS[words[3]]))
        elif words[:1] == ["property"]:
            elements[-1].properties.append((words[2], None, _KINDS[words[1]]))
    if form not in ("ascii", "binary_little_endian", "binary_big_endian"):
        raise source.damaged(f"unknown format {form[:40]!r}")
    return form, elements


class _Binary:
    """Reads elements from bytes, in blocks where every list has the same length."""

    def __init__(self, body: memoryview, order: str) -> None:
        self._body, self._order, self._at = body, order, 0

    def table(self, source: Source, element: _Element) -> dict[str, _Column]:
        """The columns of the next element."""
        lengths = self._first_lengths(source, element)
        kinds = self._row(element, lengths)
        rows = self._rows(kinds, element.count)
        lists = [k for k, (_, length, _) in enumerate(element.properties) if length]
        if rows is not None and all((rows[f"n{k}"] == lengths[k]).all() for k in lists):
            self._at += kinds.itemsize * element.count
            return {
                name: rows[f"v{k}"] if length is None else (rows[f"n{k}"].astype(np.int64), rows[f"v{k}"].reshape(-1))
                for k, (name, length, _) in enumerate(element.properties)
            }
        if not lists:
            raise source.damaged("the file is cut short")
        return self._row_by_row(source, element)

    def _first_lengths(self, source: Source, element: _Element) -> dict[int, int]:
        """Lengths of the lists in the first row."""
        at, lengths = self._at, {}
        for k, (_, length, kind) in enumerate(element.properties if element.count else ()):
            if length:
                lengths[k] = int(self._number(source, at, length))
                at += np.dtype(length).itemsize
            at += np.dtype(kind).itemsize * max(lengths.get(k, 1), 0)
        return lengths

    def _row(self, element: _Element, lengths: Mapping[int, int]) -> np.dtype[Any]:
        fields: list[Any] = []
        for k, (_, length, kind) in enumerate(element.properties):
            if length:
                fields.append((f"n{k}", self._order + length))
            n = max(lengths.get(k, 0), 0)
            fields.append((f"v{k}", self._order + kind, (n,)) if length else (f"v{k}", self._order + kind))
        return np.dtype(fields)

    def _rows(self, kind: np.dtype[Any], count: int) -> NDArray[Any] | None:
        if self._at + kind.itemsize * count > len(self._body):
            return None
        return np.frombuffer(self._body, kind, count, self._at) if count else np.zeros(0, kind)

    def _number(self, source: Source, at: int, kind: str) -> Any:
        if at + np.dtype(kind).itemsize > len(self._body):
            raise source.damaged("the file is cut short")
        return np.frombuffer(self._body, self._order + kind, 1, at)[0]

    def _row_by_row(self, source: Source, element: _Element) -> dict[str, _Column]:
        """Lists of different lengths: each row is found by the lengths before it."""
        lengths: dict[int, list[int]] = {k: [] for k in range(len(element.properties))}
        parts: dict[int, list[memoryview]] = {k: [] for k in range(len(element.properties))}
        sizes = [np.dtype(kind).itemsize for _, _, kind in element.properties]
        heads = [0 if length is None else np.dtype(length).itemsize for _, length, _ in element.properties]
        signed = [length is not None and length.startswith("i") for _, length, _ in element.properties]
        order, at, body = "little" if self._order == "<" else "big", self._at, self._body
        for _ in range(element.count):
            for k, head in enumerate(heads):
                n = int.from_bytes(body[at : at + head], order, signed=signed[k]) if head else 1  # type: ignore[arg-type]
                end = at + head + n * sizes[k]
                if n < 0 or end > len(body):
                    raise source.damaged("the file is cut short")
                lengths[k].append(n)
                parts[k].append(body[at + head : end])
                at = end
        self._at = at
        out: dict[str, _Column] = {}
        for k, (name, length, kind) in enumerate(element.properties):
            values = np.frombuffer(b"".join(parts[k]), self._order + kind)
            out[name] = values if length is None else (np.array(lengths[k], np.int64), values)
        return out


class _Text:
    """Reads elements from words."""

    def __init__(self, words: list[bytes]) -> None:
        self._words, self._at = words, 0

    def table(self, source: Source, element: _Element) -> dict[str, _Column]:
        """The columns of the next element."""
        if any(length for _, length, _ in element.properties):
            return self._lists(source, element)
        width = len(element.properties)
        flat = self._taken(source, element.count * width)
        rows = np.array(flat, dtype=np.float64).reshape(element.count, width)
        return {name: rows[:, k].astype(kind) for k, (name, _, kind) in enumerate(element.properties)}

    def _lists(self, source: Source, element: _Element) -> dict[str, _Column]:
        lengths: dict[int, list[int]] = {k: [] for k in range(len(element.properties))}
        values: dict[int, list[bytes]] = {k: [] for k in range(len(element.properties))}
        for _ in range(element.count):
            for k, (_, length, _) in enumerate(element.properties):
                n = int(self._taken(source, 1)[0]) if length else 1
                lengths[k].append(n)
                values[k] += self._taken(source, n)
        out: dict[str, _Column] = {}
        for k, (name, length, kind) in enumerate(element.properties):
            column = np.array(values[k], dtype=np.float64).astype(kind)
            out[name] = column if length is None else (np.array(lengths[k], np.int64), column)
        return out

    def _taken(self, source: Source, n: int) -> list[bytes]:
        taken = self._words[self._at : self._at + n] if n >= 0 else []
        if len(taken) != n:
            raise source.damaged("the file is cut short")
        self._at += n
        return taken


def _part(
    source: Source, vertex: Mapping[str, _Column], face: Mapping[str, _Column], texture: str | None
) -> Mesh | None:
    """The mesh of the two tables, or None where there are no faces."""
    listed = next((face[name] for name in _LISTS if name in face), None)
    plain = {name: values for name, values in vertex.items() if not isinstance(values, tuple)}
    if not isinstance(listed, tuple) or not {"x", "y", "z"} <= set(plain):
        return None
    positions = np.stack([plain[axis] for axis in "xyz"], axis=1).astype(np.float32)
    sizes, corners = listed
    source.allow(int(np.maximum(sizes - 2, 0).sum()))
    corners = corners.astype(np.int64)
    chosen, quads, _ = polygons.triangulated(corners, sizes, positions)
    faces = corners[chosen]
    source_uv, wedges = _columns(plain, _UV), face.get("texcoord")
    mesh = Mesh(
        positions,
        faces.astype(np.int32),
        normals=_normals(plain),
        uv=None if source_uv is None else np.stack([source_uv[:, 0], 1 - source_uv[:, 1]], 1).astype(np.float32),
        colors=_colors(plain),
        seen=_share(plain.get("seen")),
        confidence=_share(plain.get("confidence")),
        quads=quads,
    )
    if isinstance(wedges, tuple) and np.array_equal(wedges[0], 2 * sizes) and np.isfinite(wedges[1]).all():
        mesh = _with_wedges(mesh, faces, wedges[1].reshape(-1, 2)[chosen.reshape(-1)])
    if texture is None or mesh.uv is None:
        return mesh
    picture = Pictures(source).named(texture)
    return mesh if picture is None else mesh.with_(material=Material(picture[..., :3].copy()))


def _with_wedges(mesh: Mesh, faces: NDArray[np.int64], uv: NDArray[Any]) -> Mesh:
    """The mesh with texture coordinates (C, 2) of its corners; vertices that have several are doubled."""
    rows, index = np.unique(uv, axis=0, return_inverse=True)
    (v, t), corners = polygons.unified([faces.reshape(-1), index.reshape(-1)])
    fields = {
        name: None if value is None else value[v]
        for name in ("normals", "colors", "seen", "confidence")
        for value in (getattr(mesh, name),)
    }
    flipped = np.stack([rows[t, 0], 1 - rows[t, 1]], axis=1).astype(np.float32)
    return mesh.with_(vertices=mesh.vertices[v], faces=corners.reshape(-1, 3).astype(np.int32), uv=flipped, **fields)


def _columns(plain: Mapping[str, NDArray[Any]], choices: tuple[tuple[str, ...], ...]) -> NDArray[np.float64] | None:
    """The first of ``choices`` that is there, as (V, n); None without, or where it is not finite."""
    names = next((names for names in choices if set(names) <= set(plain)), None)
    if names is None:
        return None
    values = np.stack([plain[name] for name in names], axis=1).astype(np.float64)
    return values if np.isfinite(values).all() else None


def _normals(plain: Mapping[str, NDArray[Any]]) -> NDArray[np.float32] | None:
    normals = _columns(plain, (("nx", "ny", "nz"),))
    return None if normals is None or not len(normals) else unit_or_none(normals)


def _colors(plain: Mapping[str, NDArray[Any]]) -> NDArray[np.float32] | None:
    named = (("red", "green", "blue"), ("r", "g", "b"), ("diffuse_red", "diffuse_green", "diffuse_blue"))
    colors = _columns(plain, named)
    if colors is None:
        return None
    kind = next(plain[name].dtype for name in ("red", "r", "diffuse_red") if name in plain)
    top = 1.0 if kind.kind == "f" else float(np.iinfo(kind).max)
    return np.clip(colors / top, 0, 1).astype(np.float32)


def _share(values: NDArray[Any] | None) -> NDArray[np.float32] | None:
    return None if values is None else np.clip(np.nan_to_num(values.astype(np.float32)), 0, 1)
