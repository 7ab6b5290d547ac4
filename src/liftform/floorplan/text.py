"""Floor plans as JSON: schema ``liftform-plan/1``, and ``floorplan-truth/1`` read as well."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any, TypeVar

from ..errors import InputNotFoundError, TooLargeError, UnreadableError
from .shapes import Point, Ring
from .types import (
    OPENING_TYPES,
    OUTDOOR,
    Column,
    Fixture,
    Opening,
    Plan,
    Room,
    Scale,
    ScaleVote,
    Stair,
    Storey,
    Wall,
    kind_of,
)

SCHEMA, ALSO_READ = "liftform-plan/1", ("floorplan-truth/1",)
#: Largest plan file (bytes) and number of elements of one kind that are read; how far (m) width may be off.
_MOST_BYTES, _MOST_PARTS, _WIDTH_OFF = 50_000_000, 20_000, 0.01

_Part = TypeVar("_Part")
_KINDS: dict[str, type[Any]] = {
    "walls": Wall,
    "openings": Opening,
    "rooms": Room,
    "stairs": Stair,
    "columns": Column,
    "fixtures": Fixture,
}
_POINTS, _RINGS, _WORDS = {"a", "b"}, {"polygon", "path"}, {"rooms", "labels"}
_TEXTS = {"id", "type", "kind", "label", "name", "number", "wall", "subtype", "hinge", "swing", "origin", "text"}
#: Told from the others, or of the older schema only; read and not kept.
_DERIVED = {"width", "area"}


def to_json(plan: Plan) -> dict[str, Any]:
    """The plan as JSON-ready data: schema ``liftform-plan/1``."""
    head = {
        "schema": SCHEMA,
        "id": plan.id,
        "source": plan.source,
        "licence": plan.licence,
        "units": "m",
        "y_axis": "up",
        "scale": _plain(plan.scale),
        "auto_accept": plan.auto_accept,
        "checks": list(plan.checks),
    }
    storeys = [_storey_to_json(storey) for storey in plan.storeys]
    return head | storeys[0] if len(storeys) == 1 else head | {"storeys": storeys}


def _storey_to_json(storey: Storey) -> dict[str, Any]:
    data: dict[str, Any] = {
        "storey": {"name": storey.name, "elevation": storey.elevation, "height": storey.height},
        "page": storey.page,
        "sheet_from_m": [list(row) for row in storey.sheet_from_m],
    }
    for kind in _KINDS:
        data[kind] = [_plain(part) for part in getattr(storey, kind)]
    for entry, opening in zip(data["openings"], storey.openings, strict=True):
        entry["width"] = round(opening.width, 6)
    for entry, room in zip(data["rooms"], storey.rooms, strict=True):
        entry["area"] = round(room.area, 4)
    counts = {f"{kind}s": sum(o.type == kind for o in storey.openings) for kind in OPENING_TYPES}
    bounds = [round(value, 6) for value in storey.bounds]
    return data | {
        "bounds": bounds,
        "counts": {"walls": len(storey.walls), "rooms": len(storey.rooms)} | counts,
        "area_m2": round(sum(room.area for room in storey.rooms if kind_of(room.type) not in OUTDOOR), 2),
    }


def _plain(value: Any) -> Any:
    """Dataclasses as dicts without what is at its default emptiness, tuples as lists, lengths to the micrometre."""
    if dataclasses.is_dataclass(value):
        items = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return {key: _plain(item) for key, item in items.items() if item not in (None, (), "") or key == "label"}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return round(value, 6) if isinstance(value, float) else value


def read(path: str | Path) -> Plan:
    """The plan of a JSON file, checked.

    Raises InputNotFoundError, TooLargeError, UnreadableError (no JSON, another schema) and InputError (a wrong plan).
    """
    path = Path(path)
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise TooLargeError(f"{path} has more than {_MOST_BYTES // 1_000_000} MB", "give a plan of one home")
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise InputNotFoundError(f"there is no file {path}") from None
    except OSError as error:
        raise InputNotFoundError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"{path} is not JSON: {error}", "give a plan as `liftform plan` writes it") from None
    return dataclasses.replace(from_json(data, str(path)), source=str(path)).validate()


def from_json(data: Any, source: str = "the plan") -> Plan:
    """A plan from JSON data of ``liftform-plan/1`` or ``floorplan-truth/1``; not yet validated.

    Raises UnreadableError naming the place that is wrong. Of our own schema, unknown keys of an element are wrong.
    """
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema not in (SCHEMA, *ALSO_READ):
        raise UnreadableError(f"{source} is no plan: its schema is {schema!r}, not {SCHEMA!r}")
    strict = schema == SCHEMA
    try:
        storeys = tuple(_read_storey(entry, strict) for entry in _list(data.get("storeys", [data]), "storeys"))
        scale = _read_scale(data["scale"]) if "scale" in data else Scale(1.0, "file")
        return Plan(
            storeys,
            id=str(data.get("id", "plan")),
            source=str(data.get("source", "")),
            licence=str(data.get("licence", "")),
            scale=scale,
            checks=tuple(map(str, _list(data.get("checks", []), "checks"))),
            auto_accept=data.get("auto_accept") is True,
        )
    except _Wrong as error:
        raise UnreadableError(f"{source}: {error}", "correct the plan's JSON") from None


class _Wrong(Exception):
    """A place of the JSON that is wrong, and how."""


def _read_storey(data: Any, strict: bool) -> Storey:
    head = data.get("storey", {}) if isinstance(data, dict) else None
    if not isinstance(head, dict):
        raise _Wrong("storey must be an object")
    parts: dict[str, Any] = {}
    for kind, cls in _KINDS.items():
        entries = _list(data.get(kind, []), kind)
        parts[kind] = tuple(_read_part(cls, entry, f"{kind}[{k}]", strict) for k, entry in enumerate(entries))
    page = data.get("page")
    rows = [_ring3(row) for row in _list(data.get("sheet_from_m", []), "sheet_from_m")]
    return Storey(
        name=str(head.get("name", "Floor")),
        elevation=_number(head.get("elevation", 0.0), "storey.elevation"),
        height=_number(head.get("height", 2.4), "storey.height"),
        page=None if page is None else int(_number(page, "page")),
        sheet_from_m=tuple(rows),
        **parts,
    )


def _read_part(cls: type[_Part], entry: Any, where: str, strict: bool) -> _Part:
    """One element; ``where`` names its place."""
    if not isinstance(entry, dict):
        raise _Wrong(f"{where} must be an object")
    known = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(entry) - set(known) - _DERIVED)
    if strict and unknown:
        raise _Wrong(f"{where} has an unknown key {unknown[0]!r}")
    missing = [name for name, f in known.items() if f.default is dataclasses.MISSING and name not in entry]
    if missing:
        raise _Wrong(f"{where} has no {missing[0]!r}")
    values = {name: _value(name, entry[name], f"{where}.{name}") for name in known if name in entry}
    part = cls(**values)
    if isinstance(part, Opening) and "width" in entry:
        said = _number(entry["width"], f"{where}.width")
        if abs(said - part.width) > _WIDTH_OFF:
            raise _Wrong(f"{where}: width {said:g} is not the distance {part.width:.3f} of a and b: move a or b")
    return part


def _value(name: str, value: Any, where: str) -> Any:
    if name in _POINTS:
        return _point(value, where)
    if name in _RINGS:
        return _ring(value, where)
    if name == "holes":
        return tuple(_ring(ring, where) for ring in _list(value, where))
    if name in _WORDS:
        return tuple(None if word is None else str(word) for word in _list(value, where))
    if name == "exterior":
        return bool(value)
    if name in _TEXTS:
        if not (value is None or isinstance(value, str | int)):
            raise _Wrong(f"{where} must be text")
        return None if value is None and name in ("hinge", "swing") else str(value)
    if name == "height" and value is None:
        return None
    return int(_number(value, where)) if name == "steps" else _number(value, where)


def _read_scale(data: Any) -> Scale:
    if not isinstance(data, dict):
        raise _Wrong("scale must be an object")
    votes = tuple(
        ScaleVote(
            str(vote.get("kind", "")),
            str(vote.get("text", "")),
            _number(vote.get("metres_per_unit"), f"scale.votes[{k}].metres_per_unit"),
            _number(vote.get("weight", 1.0), f"scale.votes[{k}].weight"),
        )
        for k, vote in enumerate(_list(data.get("votes", []), "scale.votes"))
        if isinstance(vote, dict)
    )
    unit = data.get("metres_per_unit")
    return Scale(
        None if unit is None else _number(unit, "scale.metres_per_unit"),
        str(data.get("origin", "unknown")),
        _number(data.get("error", 0.0), "scale.error"),
        votes,
        tuple(map(str, _list(data.get("conflicts", []), "scale.conflicts"))),
        _number(data.get("confidence", 1.0), "scale.confidence"),
    )


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _Wrong(f"{where} must be a finite number")
    return float(value)


def _point(value: Any, where: str) -> Point:
    pair = _list(value, where)
    if len(pair) != 2:
        raise _Wrong(f"{where} must be a point [x, y]")
    return _number(pair[0], where), _number(pair[1], where)


def _ring(value: Any, where: str) -> Ring:
    """Points without repetitions, and without the first one again at the end."""
    points = [_point(point, where) for point in _list(value, where)]
    kept = [p for k, p in enumerate(points) if k == 0 or math.dist(p, points[k - 1]) > 1e-6]
    while len(kept) > 1 and math.dist(kept[0], kept[-1]) <= 1e-6:
        kept.pop()
    return tuple(kept)


def _ring3(value: Any) -> tuple[float, float, float]:
    row = [_number(number, "sheet_from_m") for number in _list(value, "sheet_from_m")]
    if len(row) != 3:
        raise _Wrong("sheet_from_m must be three rows of three numbers")
    return row[0], row[1], row[2]


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise _Wrong(f"{where} must be a list")
    if len(value) > _MOST_PARTS:
        raise _Wrong(f"{where} has more than {_MOST_PARTS} entries")
    return value
