"""Are plans built well? Every plan of a folder built and furnished: solids closed, files that reopen, seconds."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputNotFoundError, LiftformError
from ..floorplan import Plan, Storey, read
from .tables import Grid

#: IFC class -> how many of it a plan should give.
_COUNTS: dict[str, Callable[[Storey], int]] = {
    "IfcWall": lambda s: sum(w.kind == "wall" for w in s.walls),
    "IfcRailing": lambda s: sum(w.kind == "railing" for w in s.walls),
    "IfcDoor": lambda s: sum(o.type == "door" for o in s.openings),
    "IfcWindow": lambda s: sum(o.type == "window" for o in s.openings),
    "IfcSpace": lambda s: len(s.rooms),
}


def evaluate_buildings(folder: Path, ifc: bool = False) -> list[dict[str, Any]]:
    """A record for each plan (NAME.json) of a folder, or what went wrong under "error".

    ifc: also write IFC, reopen it, compare counts and check it against the schema (extra ifc; seconds a plan).
    """
    files = sorted(folder.glob("*.json"))
    if not files:
        raise InputNotFoundError(f"{folder}: no plans in it", "give a folder of plans, NAME.json")
    return [_record(path, ifc) for path in files]


def _record(path: Path, ifc: bool) -> dict[str, Any]:
    from .. import home
    from ..export import encoded

    try:
        plan = read(path)
        start = time.perf_counter()
        built = home.plan(plan, ceilings=True, furnish=True)
        seconds = time.perf_counter() - start
        size = sum(len(data) for data in encoded(built.best, "x.glb").values())
        furniture = built.best.metadata["furniture"]
        found = {**home.solids(built.best), "seconds": round(seconds, 3), "bytes": size, "pieces": furniture["pieces"]}
        return {"plan": path.stem, **found, **({"ifc_faults": ifc_faults(plan)} if ifc else {})}
    except LiftformError as error:
        return {"plan": path.stem, "error": str(error)}


def ifc_faults(plan: Plan) -> int:
    """How many counts differ after reopening, plus messages of the schema's validator."""
    import ifcopenshell
    from ifcopenshell import validate

    from ..export.plans import encoded

    (data,) = encoded(plan, "x.ifc").values()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.ifc"
        path.write_bytes(data)
        file, log = ifcopenshell.open(path), validate.json_logger()
    validate.validate(file, log)
    wrong = sum(len(file.by_type(kind)) != sum(map(count, plan.storeys)) for kind, count in _COUNTS.items())
    return wrong + len(log.statements)


def grids(records: list[dict[str, Any]]) -> list[Grid]:
    """One line for all plans."""
    good = [one for one in records if "error" not in one]
    closed = sum(one["meshes"] == one["watertight"] for one in good)
    seconds, sizes = [one["seconds"] for one in good], [one["bytes"] for one in good]
    rows = [
        ("plans", str(len(records))),
        ("built", str(len(good))),
        ("with every solid closed", str(closed)),
        ("solids", str(sum(one["meshes"] for one in good))),
        ("seconds, median and most", f"{np.median(seconds):.2f}, {max(seconds):.2f}" if seconds else ""),
        ("kB of GLB, median", f"{np.median(sizes) / 1000:.0f}" if sizes else ""),
        ("pieces of furniture, median", f"{np.median([one['pieces'] for one in good]):.0f}" if good else ""),
    ]
    if good and "ifc_faults" in good[0]:
        rows.append(("IFC reopened without a fault", str(sum(one["ifc_faults"] == 0 for one in good))))
    return [Grid("Buildings from plans, with ceilings and furniture", ("", "all"), tuple(rows))]
