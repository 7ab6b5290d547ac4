"""3MF -> parts: objects, components and build items in place; base materials, colours and textures of triangles.

3D Manufacturing Format, core specification 1.3 and materials and properties extension 1.2 (3MF Consortium).
"""

from __future__ import annotations

import posixpath
import xml.parsers.expat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..assets import Material, Mesh
from ..conventions import srgb_to_linear
from . import polygons
from .archive import Archive
from .pictures import Pictures
from .source import Found, Source, moved

_METRES = {"micron": 1e-6, "millimeter": 1e-3, "centimeter": 1e-2, "inch": 0.0254, "foot": 0.3048, "meter": 1.0}
_MODEL = "http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"
#: Components within components beyond this depth are taken for a circle.
_DEPTH = 32


@dataclass
class _Object:
    """One object: its mesh, or what it is composed of. Triangle rows: v1 v2 v3, property group, three indices of it."""

    vertices: list[tuple[float, float, float]] = field(default_factory=list)
    triangles: list[tuple[int, int, int, int, int, int, int]] = field(default_factory=list)
    components: list[tuple[str, NDArray[np.float64]]] = field(default_factory=list)
    name: str = ""
    group: int = -1
    index: int = 0
    kind: str = "model"


@dataclass
class _Group:
    """A property group: names and sRGB colours (N, 4) in [0, 1], or texture coordinates (N, 2) into ``texture``."""

    names: list[str] = field(default_factory=list)
    colors: list[tuple[float, float, float, float]] = field(default_factory=list)
    coordinates: list[tuple[float, float]] = field(default_factory=list)
    texture: int = -1
    single: bool = False


@dataclass
class _Model:
    """One .model member: objects, groups and textures by number, and what shall be built."""

    unit: str = "millimeter"
    notes: dict[str, str] = field(default_factory=dict)
    objects: dict[str, _Object] = field(default_factory=dict)
    groups: dict[int, _Group] = field(default_factory=dict)
    textures: dict[int, str] = field(default_factory=dict)
    items: list[tuple[str, NDArray[np.float64]]] = field(default_factory=list)


def read(source: Source) -> Found:
    """The build items of the archive's model; 3MF has a unit, and +Z points up.

    Raises UnreadableError for what is damaged, declares entities, is composed of itself or unpacks to too much.
    """
    archive = Archive(source)
    root = _root(archive)
    if root is None:
        raise source.damaged("it holds no 3D model")
    book = _Book(source, archive)
    main = book.model(root)
    items = main.items or [(f"{root}#{key}", np.eye(4)) for key, thing in main.objects.items() if thing.triangles]
    parts = [part for key, matrix in items for part in book.placed(key, matrix, 0)]
    if main.unit not in _METRES:
        source.note(f"unknown unit {main.unit[:40]!r}: taken for millimetres")
    guessed = main.notes.get("Description", "").startswith("unit: unknown")  # as liftform writes it
    return Found("3MF", parts, _METRES.get(main.unit, 1e-3), z_up=True, guessed=guessed)


def _root(archive: Archive) -> str | None:
    """The member that the package's relations call the 3D model, else the first that looks like one."""
    targets: list[str] = []

    def start(name: str, attributes: Mapping[str, str]) -> None:
        if name == "Relationship" and attributes.get("Type", "").endswith("/3dmodel"):
            targets.append(attributes.get("Target", "").lstrip("/"))

    relations = archive.read("_rels/.rels")
    if relations is not None:
        _walk(relations, start)
    models = sorted(name for name in archive.names if name.lower().endswith(".model"))
    return next((name for name in [*targets, *models] if name in archive.names), None)


class _Book:
    """The models of one archive, each parsed once, and the triangles placed so far."""

    def __init__(self, source: Source, archive: Archive) -> None:
        self._source, self._archive = source, archive
        self._models: dict[str, _Model] = {}
        self._parts: dict[str, list[Mesh]] = {}
        self._pictures = Pictures(source)
        self._materials: dict[tuple[Any, ...], Material] = {}
        self._faces = 0

    def model(self, member: str) -> _Model:
        """A parsed member; objects are known by ``member#id``."""
        if member not in self._models:
            data = self._archive.read(member)
            if data is None:
                raise self._source.damaged(f"its model {member[:80]!r} is missing")
            self._models[member] = _parsed(self._source, data, member)
        return self._models[member]

    def placed(self, key: str, matrix: NDArray[np.float64], depth: int) -> Iterator[Mesh]:
        """The parts of an object and of its components, moved by ``matrix``."""
        if depth > _DEPTH:
            raise self._source.damaged("an object is composed of itself")
        member, _, number = key.rpartition("#")
        model = self.model(member)
        thing = model.objects.get(number)
        if thing is None:
            raise self._source.damaged(f"object {number[:20]!r} does not exist")
        if thing.kind not in ("model", "solidsupport"):
            self._source.note(f"objects of type {thing.kind} are left out")
            return
        self._faces += len(thing.triangles) or 1  # what is empty costs something too
        self._source.allow(self._faces)
        if thing.triangles:
            if key not in self._parts:
                self._parts[key] = self._meshes(model, thing)
            yield from (moved(part, matrix) for part in self._parts[key])
        for child, local in thing.components:
            yield from self.placed(child, matrix @ local, depth + 1)

    def _meshes(self, model: _Model, thing: _Object) -> list[Mesh]:
        """One part for each texture or base material of an object; colours of corners become vertex colours."""
        vertices = np.array(thing.vertices, np.float64).reshape(-1, 3).astype(np.float32)
        rows = np.array(thing.triangles, np.int64)
        inside = ((rows[:, :3] >= 0) & (rows[:, :3] < len(vertices))).all(axis=1)
        rows = rows[inside]
        lots: dict[tuple[int, int], list[NDArray[np.int64]]] = {}
        for number in np.unique(rows[:, 3]).tolist():
            group, chosen = model.groups.get(number), np.flatnonzero(rows[:, 3] == number)
            if group is not None and group.single:
                for k in np.unique(rows[chosen, 4]).tolist():
                    lots.setdefault((number, k), []).append(chosen[rows[chosen, 4] == k])
            else:
                lots.setdefault((number if group else -1, -1), []).append(chosen)
        return [
            self._part(model, vertices, rows[np.concatenate(found)], number, k).with_(name=thing.name)
            for (number, k), found in lots.items()
        ]

    def _part(self, model: _Model, vertices: NDArray[np.float32], rows: NDArray[np.int64], number: int, k: int) -> Mesh:
        """Triangles of one property group, with the vertices they use."""
        group = model.groups.get(number) or _Group(single=True)
        table: list[Any] = [] if group.single else group.coordinates if group.texture >= 0 else group.colors
        indices = np.clip(rows[:, 4:7].reshape(-1), 0, max(len(table) - 1, 0))
        (v, p), corners = polygons.unified([rows[:, :3].reshape(-1), indices if table else 0 * indices])
        mesh = Mesh(vertices[v], corners.reshape(-1, 3).astype(np.int32))
        if not table:
            return mesh.with_(material=self._single(group, k) if group.colors and k >= 0 else None)
        values = np.array(table, np.float32)[p]
        if group.texture < 0:
            return mesh.with_(colors=np.ascontiguousarray(values[:, :3]))
        material = self._textured(model.textures.get(group.texture, ""))
        uv = np.stack([values[:, 0], 1 - values[:, 1]], axis=1)
        return mesh if material is None else mesh.with_(uv=uv, material=material)

    def _single(self, group: _Group, k: int) -> Material:
        """A base material: one name and one colour."""
        r, g, b, a = group.colors[k] if 0 <= k < len(group.colors) else (1.0, 1.0, 1.0, 1.0)
        name = group.names[k] if 0 <= k < len(group.names) else ""
        linear = srgb_to_linear(np.array([r, g, b], np.float32)).tolist()
        key = (name, r, g, b, a)
        if key not in self._materials:
            factor = (linear[0], linear[1], linear[2], a)
            mode: Any = "blend" if a < 1 else "opaque"
            self._materials[key] = Material(base_color=factor, name=name or "material", alpha_mode=mode)
        return self._materials[key]

    def _textured(self, member: str) -> Material | None:
        name = posixpath.basename(member) or "texture"
        pixels = self._pictures.decode(name, self._archive.read(member) if member else None)
        if pixels is None:
            return None
        if (member,) not in self._materials:
            self._materials[(member,)] = Material(pixels[..., :3].copy(), name=name)
        return self._materials[(member,)]


def _walk(
    data: bytes,
    start: Callable[[str, Mapping[str, str]], None],
    note: Callable[[str, str], object] = lambda name, text: None,
) -> None:
    """Call ``start`` with the local name and attributes of every element, ``note`` with name and text of metadata.

    Raises ValueError for document types: 3MF forbids them, and entities are how small files become large.
    """
    named: list[str] = []

    def started(name: str, attributes: Mapping[str, str]) -> None:
        local = name.rpartition(" ")[2]
        named[:] = [attributes.get("name", "")] if local == "metadata" else []
        start(local, {key.rpartition(" ")[2]: value for key, value in attributes.items()})

    def told(text: str) -> None:
        if named and text.strip():
            note(named[0], text)

    def forbidden(*_: object) -> None:
        raise ValueError("it declares a document type")

    parser = xml.parsers.expat.ParserCreate(namespace_separator=" ")
    parser.StartDoctypeDeclHandler = forbidden
    parser.EntityDeclHandler = forbidden
    parser.StartElementHandler = started
    parser.CharacterDataHandler = told
    parser.Parse(data, True)


def _parsed(source: Source, data: bytes, member: str) -> _Model:
    """One .model member."""
    model, here = _Model(), _Cursor(member)
    vertices: list[tuple[float, float, float]] = []
    faces = 0

    def start(name: str, a: Mapping[str, str]) -> None:
        nonlocal vertices, faces
        if name == "vertex":
            vertices.append((float(a["x"]), float(a["y"]), float(a["z"])))
        elif name == "triangle":
            faces += 1
            if faces % 65536 == 0:
                source.allow(faces)
            here.thing.triangles.append(_triangle(a, here.thing))
        elif name == "object":
            here.thing = _Object(name=a.get("name", ""), kind=a.get("type", "model"))
            here.thing.group, here.thing.index = int(a.get("pid", -1)), int(a.get("pindex", 0))
            vertices = here.thing.vertices
            model.objects[a["id"]] = here.thing
        else:
            _other(name, a, model, here)

    _walk(data, start, lambda name, text: model.notes.setdefault(name, text.strip()))
    return model


@dataclass
class _Cursor:
    """Where the parser stands."""

    member: str
    thing: _Object = field(default_factory=_Object)
    group: _Group = field(default_factory=_Group)


def _other(name: str, a: Mapping[str, str], model: _Model, here: _Cursor) -> None:
    """Everything that is rare in a model."""
    if name == "model":
        model.unit = a.get("unit", "millimeter")
    elif name in ("component", "item"):
        member = a.get("path", here.member).lstrip("/")
        entry = (f"{member}#{a['objectid']}", _matrix(a.get("transform", "")))
        (here.thing.components if name == "component" else model.items).append(entry)
    elif name in ("basematerials", "colorgroup", "texture2dgroup"):
        here.group = _Group(single=name == "basematerials", texture=int(a.get("texid", -1)))
        model.groups[int(a["id"])] = here.group
    elif name in ("base", "color"):
        here.group.names.append(a.get("name", ""))
        here.group.colors.append(_color(a.get("displaycolor") or a.get("color") or "#FFFFFF"))
    elif name == "tex2coord":
        here.group.coordinates.append((float(a["u"]), float(a["v"])))
    elif name == "texture2d":
        model.textures[int(a["id"])] = a.get("path", "").lstrip("/")


def _triangle(a: Mapping[str, str], thing: _Object) -> tuple[int, int, int, int, int, int, int]:
    """A triangle's row; without properties of its own it takes the object's."""
    first = a.get("p1")
    if first is None:
        p = thing.index
        return int(a["v1"]), int(a["v2"]), int(a["v3"]), int(a.get("pid", thing.group)), p, p, p
    group = int(a.get("pid", thing.group))
    return int(a["v1"]), int(a["v2"]), int(a["v3"]), group, int(first), int(a.get("p2", first)), int(a.get("p3", first))


def _matrix(text: str) -> NDArray[np.float64]:
    """Twelve numbers, row by row for row vectors, as a 4x4 matrix acting on columns."""
    matrix = np.eye(4)
    if text.strip():
        matrix[:3, :] = np.array([float(word) for word in text.split()]).reshape(4, 3).T
    return matrix


def _color(text: str) -> tuple[float, float, float, float]:
    """#RRGGBB or #RRGGBBAA."""
    values = bytes.fromhex(text.lstrip("#").ljust(8, "F")[:8])
    return values[0] / 255, values[1] / 255, values[2] / 255, values[3] / 255
