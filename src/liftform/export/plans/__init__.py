"""Floor plan -> file: plan JSON, SVG, DXF, IFC and a table of rooms, chosen by suffix."""

from __future__ import annotations

import csv
import importlib
import io
import json
from pathlib import Path

from ...errors import OutputError
from ...floorplan import Plan, to_json

#: Suffix -> what is written.
PLAN_FORMATS = {
    ".json": "the plan, to be edited and built again",
    ".svg": "a drawing at true scale for browsers and print",
    ".dxf": "a drawing for CAD, in metres, on layers",
    ".ifc": "IFC4 for building software (extra ifc)",
    ".csv": "a table of rooms and areas",
}
_MODULES = {".svg": "svg", ".dxf": "dxf", ".ifc": "ifc"}


def encoded(plan: Plan, path: str | Path) -> dict[Path, bytes]:
    """A valid plan as the file of the path's suffix; the same plan gives the same bytes.

    Storeys stand at the elevations that the plan gives. Raises OutputError for an unknown suffix, MissingExtraError.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in PLAN_FORMATS:
        raise OutputError(f"{path}: unknown format {suffix!r} of a plan", f"known: {' '.join(PLAN_FORMATS)}")
    if suffix == ".json":
        return {path: (json.dumps(to_json(plan), indent=1, ensure_ascii=False) + "\n").encode()}
    if suffix == ".csv":
        return {path: _table(plan).encode()}
    text: bytes = importlib.import_module(f".{_MODULES[suffix]}", __name__).encode(plan)
    return {path: text}


def rooms_table(plan: Plan) -> list[dict[str, object]]:
    """A row for every room: storey, id, label, type, square metres, perimeter (m), confidence."""
    from itertools import pairwise
    from math import dist

    return [
        {
            "storey": storey.name,
            "id": room.id,
            "label": room.label,
            "type": room.type,
            "area_m2": round(room.area, 2),
            "perimeter_m": round(sum(dist(p, q) for p, q in pairwise((*room.polygon, room.polygon[0]))), 2),
            "confidence": round(room.confidence, 3),
        }
        for storey in plan.storeys
        for room in storey.rooms
    ]


def _table(plan: Plan) -> str:
    rows, text = rooms_table(plan), io.StringIO()
    names = list(rows[0]) if rows else ["storey", "id", "label", "type", "area_m2", "perimeter_m", "confidence"]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _harmless(value) for key, value in row.items()} for row in rows)
    return text.getvalue()


def _harmless(value: object) -> object:
    """Text that a spreadsheet would take for a formula begins with an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value
