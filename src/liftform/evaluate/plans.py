"""Score plans read from drawings: walls, openings, rooms, areas and scale against what was drawn."""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..drawing.load import sheets
from ..drawing.sheet import Sheet
from ..errors import LiftformError, UsageError
from ..files import write_whole
from ..floorplan import Plan
from .tables import Grid

Row = dict[str, Any]
#: Name's ending of a drawing -> the kind it is counted under.
_KINDS = {"scan": "scan", "scan1bit": "scan", "photo": "photo", "lowres": "low resolution"}
#: How far (m) the middle of an opening may lie from the true one; overlap at which a room is that room.
_NEAR, _SAME_ROOM = 0.30, 0.5


def evaluate_plans(
    drawings: Path, truth: Path, only: Sequence[str] = (), told: Callable[[str], None] = lambda _: None
) -> list[Row]:
    """Read every drawing of a folder (PDF, PNG, JPEG beside NAME.render.json) and score it by truth/NAME.json.

    ``only``: kinds to score ("vector", "raster", "scan", "photo", "low resolution"). A prediction is laid onto the
    truth by where it stands on the sheet; its scale is judged apart. Raises UsageError where nothing is found.
    """
    from ..understand.plan.read import plan

    rows: list[Row] = []
    for record in sorted(drawings.glob("*.render.json")):
        facts = json.loads(record.read_text(encoding="utf-8"))
        name = record.name.removesuffix(".render.json")
        true = json.loads((truth / f"{name}.json").read_text(encoding="utf-8"))
        for file, kind, matrix in _variants(facts):
            if only and kind not in only:
                continue
            told(file)
            row: Row = {"drawing": file, "kind": kind, "cue": facts.get("scaleinfo", facts["config"].get("scaleinfo"))}
            began = time.perf_counter()
            try:
                sheet = sheets(drawings / file)[0]
                found = plan([sheet])
            except LiftformError as error:
                rows.append(row | {"error": str(error)})
                continue
            row["seconds"] = time.perf_counter() - began
            rows.append(row | _scored(found, sheet, matrix, true))
    if not rows:
        raise UsageError(f"{drawings}: no drawings with a .render.json", "give the folder of rendered plans")
    return rows


def _variants(facts: Row) -> list[tuple[str, str, NDArray[np.float64]]]:
    """(file, kind, 3x3 from metres to its units: points with y up of a PDF, pixels with y down of a picture)."""
    points = np.vstack([np.array(facts["metres_to_pt"], float), [0, 0, 1]])
    found = [(facts["pdf"], "vector", points), (facts["png"], "raster", np.array(facts["metres_to_px"], float))]
    for variant in facts.get("variants", []):
        found.append((variant["file"], _KINDS.get(variant["kind"], variant["kind"]), np.array(variant["metres_to_px"])))
    return found


def _scored(found: Plan, sheet: Sheet, matrix: NDArray[np.float64], true: Row) -> Row:
    """The measures of one plan; see ``compare``."""
    storey = found.storeys[0]
    back = np.linalg.inv(matrix)
    to_sheet = np.array(storey.sheet_from_m, float)
    shrink = 1.0
    if sheet.image is not None:  # pixels of the file, y down
        shrink = max(1.0, float(sheet.notes[0].split("/")[1].split()[0])) if sheet.notes else 1.0
        flip = np.array([[shrink, 0, 0], [0, -shrink, shrink * sheet.size[1]], [0, 0, 1]])
        to_sheet = flip @ to_sheet
    whole = back @ to_sheet

    def laid(point: Sequence[float]) -> tuple[float, float]:
        x, y, w = whole @ (point[0], point[1], 1.0)
        return float(x / w), float(y / w)

    measures = compare(storey, true, laid)
    measures["scale_error"] = None if found.scale.metres_per_unit is None else _scale_error(laid, true["bounds"], whole)
    measures["origin"] = found.scale.origin
    measures["auto_accept"] = found.auto_accept
    return measures


def _scale_error(
    laid: Callable[[Sequence[float]], tuple[float, float]], bounds: Sequence[float], whole: NDArray[np.float64]
) -> float:
    """How far a metre of the prediction is from a true metre in the middle of the plan, relatively."""
    x, y, w = np.linalg.inv(whole) @ ((bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2, 1.0)
    middle = (x / w, y / w)
    (ax, ay), (bx, by), (cx, cy) = (laid((middle[0] + dx, middle[1] + dy)) for dx, dy in ((0, 0), (1, 0), (0, 1)))
    return abs(math.sqrt(abs((bx - ax) * (cy - ay) - (by - ay) * (cx - ax))) - 1)


def compare(storey: Any, true: Row, laid: Callable[[Sequence[float]], tuple[float, float]]) -> Row:
    """Wall IoU, F1 of doors, windows and rooms, and the median relative error of room areas.

    Openings match by their middles (within 0.3 m), rooms by overlap (IoU of at least 0.5), each once, the best first.
    """
    from shapely.geometry import Polygon
    from shapely.ops import unary_union

    walls = unary_union([Polygon([laid(p) for p in w.outline]).buffer(0) for w in storey.walls if w.kind == "wall"])
    real = unary_union([Polygon(w["outer"], w["holes"]).buffer(0) for w in true["wall_solid"]])
    row: Row = {"wall_iou": walls.intersection(real).area / max(walls.union(real).area, 1e-9)}
    for kind in ("door", "window"):
        mine = [_middle(laid(o.a), laid(o.b)) for o in storey.openings if o.type == kind]
        theirs = [_middle(o["a"], o["b"]) for o in true["openings"] if o["type"] == kind]
        closeness = [[1 - math.dist(a, b) / _NEAR for b in theirs] for a in mine]
        row[f"{kind}_f1"] = _f1(len(_matched(closeness, 0.0)), len(mine), len(theirs))
    rings = [([laid(p) for p in r.polygon], [[laid(p) for p in hole] for hole in r.holes]) for r in storey.rooms]
    rooms = [Polygon(outer, holes).buffer(0) for outer, holes in rings]
    true_rooms = [Polygon(r["polygon"], r["holes"]).buffer(0) for r in true["rooms"]]
    overlaps = [[a.intersection(b).area / max(a.union(b).area, 1e-9) for b in true_rooms] for a in rooms]
    pairs = _matched(overlaps, _SAME_ROOM)
    row["room_f1"] = _f1(len(pairs), len(rooms), len(true_rooms))
    errors = [abs(rooms[i].area / true_rooms[j].area - 1) for i, j in pairs]
    row["area_error"] = statistics.median(errors) if errors else None
    return row


def _middle(a: Sequence[float], b: Sequence[float]) -> tuple[float, float]:
    return (a[0] + b[0]) / 2, (a[1] + b[1]) / 2


def _matched(worth: list[list[float]], least: float) -> list[tuple[int, int]]:
    """Pairs (row, column), the worthiest first, each once, at least so worthy."""
    order = sorted(((-value, i, j) for i, line in enumerate(worth) for j, value in enumerate(line) if value >= least))
    rows, columns, pairs = set(), set(), []
    for _, i, j in order:
        if i not in rows and j not in columns:
            rows.add(i)
            columns.add(j)
            pairs.append((i, j))
    return pairs


def _f1(hits: int, mine: int, theirs: int) -> float:
    return 2 * hits / (mine + theirs) if mine + theirs else 1.0


def grids(rows: list[Row]) -> list[Grid]:
    """A line for each kind of drawing, and one for each drawing."""
    head = ["drawings", "wall IoU", "door F1", "window F1", "room F1", "area error", "scale error", "seconds", "failed"]
    kinds = []
    for kind in dict.fromkeys(row["kind"] for row in rows):
        members = [row for row in rows if row["kind"] == kind]
        good = [row for row in members if "error" not in row]
        kinds.append((kind, str(len(members)), *_line(good, len(members)), str(len(members) - len(good))))
    names = [
        "drawing",
        "wall IoU",
        "door F1",
        "window F1",
        "room F1",
        "area error",
        "scale error",
        "scale by",
        "seconds",
    ]
    single = []
    for row in rows:
        if "error" in row:
            single.append((row["drawing"], *["-"] * 7, row["error"][:40]))
        else:
            line = _line([row], 1)
            single.append((row["drawing"], *line[:6], row["origin"], line[6]))
    return [Grid("Plans", ("kind", *head), tuple(kinds)), Grid("Each drawing", tuple(names), tuple(single))]


def _line(good: list[Row], count: int) -> list[str]:
    """Means of the scores (a failed drawing scores 0), medians of errors and times."""
    means = [sum(row[key] for row in good) / max(count, 1) for key in ("wall_iou", "door_f1", "window_f1", "room_f1")]
    areas = [row["area_error"] for row in good if row["area_error"] is not None]
    scales = [row["scale_error"] for row in good if row["scale_error"] is not None]
    times = [row["seconds"] for row in good]
    cells = [f"{value:.3f}" for value in means]
    cells += [f"{statistics.median(v):.2%}" if v else "-" for v in (areas, scales)]
    return [*cells, f"{statistics.median(times):.1f}" if times else "-"]


def write_page(rows: list[Row], path: Path, command: str) -> None:
    """The tables with the command that made them."""
    parts = [f"# Plans read from drawings\n\nMade by `{command}`.\n"]
    for grid in grids(rows):
        parts.append(grid.markdown())
    write_whole({path: "\n".join(parts).encode()})
