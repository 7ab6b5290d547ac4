"""The quads bench: objects mended and laid out in quads both ways; likeness, regularity, time, and a picture."""

from __future__ import annotations

import json
import os
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..assets import Mesh
from ..errors import LiftformError
from ..export import save
from ..files import whole_file
from ..read_mesh import read_mesh
from ..refine import surface
from ..refine.polygons import regularity
from ..refine.repair import RepairOptions, repair
from ..refine.retopo import RetopoOptions, retopo
from ..runtime import Runtime
from ..topology import health, merged
from .damage import distances
from .damage_cases import listed
from .metrics import surface_points
from .tables import Grid

Record = dict[str, Any]
Floats = NDArray[np.float64]

KINDS = ("dominant", "pure")
#: Points on either surface between which distances are taken.
_POINTS = 20_000


def chosen(objects: Path, count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Rows of split "train", one collection after the other in turn, no family twice."""
    groups: dict[str, list[dict[str, Any]]] = {}
    families = set()
    for row in listed(objects, seed + 11):
        if row["family"] not in families:
            families.add(row["family"])
            groups.setdefault(row["source"], []).append(row)
    ordered = [row for i in range(count) for group in groups.values() for row in group[i : i + 1]]
    return ordered[:count]


def evaluate_quads(
    objects: Path,
    out: Path,
    count: int = 30,
    faces: int = 5000,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Record]:
    """One record for every object and way; records and meshes are kept in ``out``, and it goes on where it stopped.

    Every object is read, mended as ``liftform fix`` mends it, and laid out in about ``faces`` quads.
    """
    out.mkdir(parents=True, exist_ok=True)
    kept = out / "records.jsonl"
    known = {(r["object"], r["kind"]): r for r in _read(kept)}
    records = []
    for number, row in enumerate(chosen(objects, count)):
        missing = [kind for kind in KINDS if (row["id"], kind) not in known]
        if missing:
            for record in _of_object(objects / row["file"], row, missing, faces, out):
                known[record["object"], record["kind"]] = record
                with kept.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(record) + "\n")
        records += [known[row["id"], kind] for kind in KINDS]
        progress(number + 1, count)
    return records


def _read(path: Path) -> list[Record]:
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _of_object(file: Path, row: dict[str, Any], kinds: Sequence[str], faces: int, out: Path) -> Iterator[Record]:
    """The records of one object; what fails is one too."""
    try:
        mended = repair(RepairOptions(), Runtime())(read_mesh(file))
        points, triangles = merged(mended)
        source = Mesh(points, triangles, name=row["id"])
        save(source, out / f"{row['id']}.source.obj")
    except LiftformError as error:
        yield from ({"object": row["id"], "kind": kind, "error": str(error)} for kind in kinds)
        return
    for kind in kinds:
        start = _seconds()
        record = {"object": row["id"], "kind": kind, "source": row["source"], "triangles": len(triangles)}
        try:
            made = retopo(RetopoOptions(kind, faces), Runtime())(source)  # type: ignore[arg-type]
        except LiftformError as error:
            yield record | {"error": str(error)}
            continue
        seconds = _seconds() - start
        save(made, out / f"{row['id']}.{kind}.obj")
        yield record | {"seconds": round(seconds, 2)} | judged(made, source)


def _seconds() -> float:
    """Processor time of this process and of those it waited for."""
    if os.name != "posix":
        return time.process_time()
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def judged(made: Mesh, source: Mesh) -> Record:
    """What became of a surface: counts, regularity, soundness, and distances both ways as shares of the diagonal.

    flipped: faces whose middle lies nearer to a part of the source that looks the other way than to any that looks
    the same way.
    """
    size = surface.diagonal(source.vertices)
    there = distances(surface_points(source, _POINTS).astype(np.float64), made) / size
    back = distances(surface_points(made, _POINTS, seed=1).astype(np.float64), source) / size
    both = np.concatenate([there, back])
    found = health(made)
    facts = made.metadata["retopo"]
    return {
        "faces": made.quads + len(made.faces) - 2 * made.quads,
        **{name: round(value, 4) for name, value in vars(regularity(made)).items()},
        "mean": float(both.mean()),
        "p95": float(np.quantile(both, 0.95)),
        "p99": float(np.quantile(both, 0.99)),
        "there": float(there.max()),
        "back": float(back.max()),
        "flipped": int(facts["flipped"]),
        "valid": bool(found.manifold and found.outward and not found.degenerate_faces),
        "crossings": found.self_intersecting,
        "by_field": facts["by_field"],
        "by_pairing": facts["by_pairing"],
    }


# --- tables and the picture -------------------------------------------------------------------------------------------


def grids(records: Sequence[Record]) -> list[Grid]:
    """Both ways over all objects, then every object in the better known way."""
    head = ("", "dominant", "pure")
    made = {kind: [r for r in records if r["kind"] == kind and "error" not in r] for kind in KINDS}
    rows = [("objects", *(f"{len(made[k])} of {sum(r['kind'] == k for r in records)}" for k in KINDS))]
    for title, name, how in _ROWS:
        rows.append((title, *(how([r[name] for r in made[k]]) if made[k] else "-" for k in KINDS)))
    every = [
        (
            *(r["object"], r["kind"], f"{r['faces']:,}", f"{100 * r['quads']:.1f}", f"{100 * r['valence4']:.0f}"),
            *(f"{r['aspect_p95']:.1f}", f"{100 * r['mean']:.3f}", f"{100 * r['p99']:.2f}"),
            *(f"{100 * max(r['there'], r['back']):.1f}", str(r["flipped"]), f"{r['seconds']:.0f}"),
        )
        for r in records
        if "error" not in r
    ]
    each = ("object", "way", "polygons", "quads %", "valence 4 %", "sides", "mean %", "p99 %", "most %", "flipped", "s")
    out = [Grid("Quads over whole objects", head, tuple(rows)), Grid("Every object", each, tuple(every))]
    failed = tuple((r["object"], r["kind"], r["error"]) for r in records if "error" in r)
    return out + ([Grid("Failed", ("object", "way", "why"), failed)] if failed else [])


def _middle(scale: float, form: str) -> Callable[[Sequence[float]], str]:
    """Median and the worst tenth's border on one line."""

    def say(values: Sequence[float]) -> str:
        low, half, high = np.quantile(np.asarray(values, np.float64) * scale, [0.1, 0.5, 0.9])
        return f"{half:{form}} ({low:{form}} to {high:{form}})"

    return say


def _share(values: Sequence[Any]) -> str:
    return f"{sum(bool(v) for v in values)} of {len(values)}"


def _total(values: Sequence[Any]) -> str:
    return f"{sum(int(v or 0) for v in values)}, in {sum(bool(v) for v in values)} objects"


def _mean_of(values: Sequence[float]) -> str:
    return f"{100 * float(np.mean(values)):.2f}"


_ROWS: tuple[tuple[str, str, Callable[[Sequence[Any]], str]], ...] = (
    ("polygons, median (10th to 90th percentile)", "faces", _middle(1, ",.0f")),
    ("quads, % of the polygons, mean", "quads", _mean_of),
    ("the same, median (10th to 90th percentile)", "quads", _middle(100, ".1f")),
    ("vertices that join four edges, %", "valence4", _middle(100, ".1f")),
    ("longest over shortest side of a quad, 95th percentile", "aspect_p95", _middle(1, ".2f")),
    ("squareness, mean (1: square)", "squareness", _middle(1, ".3f")),
    ("deviation both ways, mean, % of the diagonal", "mean", _middle(100, ".3f")),
    ("... 95th percentile of the points", "p95", _middle(100, ".3f")),
    ("... 99th percentile of the points", "p99", _middle(100, ".3f")),
    ("farthest point of the source from the quads, %", "there", _middle(100, ".2f")),
    ("farthest point of the quads from the source, %", "back", _middle(100, ".2f")),
    ("halves that look away from the source", "flipped", _total),
    ("closed, manifold, outward, none degenerate", "valid", _share),
    ("pairs of faces that cut each other", "crossings", _total),
    ("seconds of one processor", "seconds", _middle(1, ".1f")),
)


def write_page(records: Sequence[Record], path: Path, command: str, picture: Path | None, faces: int) -> None:
    """The tables as docs/quads.md; raises OutputError."""
    tables = "\n".join(grid.markdown() for grid in grids(records))
    shown = f"![wireframes]({os.path.relpath(picture, path.parent)})\n\n" if picture else ""
    text = (
        "# Quads on whole objects\n\n"
        f"    {command}\n\n"
        "Objects of the training split, one collection after the other, are mended as `liftform fix` mends them and\n"
        f"laid out anew in about {faces:,} quads, both ways: dominant (mostly quads) and pure. Deviation: exact\n"
        f"distances from {_POINTS:,} points on either surface to the other, both ways together, as shares of the\n"
        "diagonal of the mended mesh. Sides: longest over shortest side of a quad, 95th percentile. A half that looks\n"
        "away lies nearer to a face of the mended mesh that looks the other way than to one that looks its way.\n\n"
        f"{shown}{tables}"
    )  # fmt: skip
    with whole_file(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_picture(records: Sequence[Record], out: Path, path: Path, count: int = 4, side: int = 300) -> None:
    """Source, dominant and pure quads of a few objects side by side as wires, evenly spread over those made."""
    from PIL import Image

    from ..preview import view_cameras
    from ..render import Scene
    from ..report.flow import real_edges
    from ..report.pictures import wired

    names = list(dict.fromkeys(r["object"] for r in records if "error" not in r))
    names = [names[i] for i in np.unique(np.linspace(0, len(names) - 1, count).round().astype(int))]
    rows = []
    for name in names:
        meshes = [read_mesh(out / f"{name}.{kind}.obj") for kind in ("source", *KINDS)]
        camera = view_cameras(meshes[0], 2 * side, [(30.0, 18.0)])[0]
        edges = [mesh.vertices[real_edges(mesh.faces, mesh.quads)] for mesh in meshes]
        rows.append(
            np.concatenate([wired(Scene(mesh), camera, e) for mesh, e in zip(meshes, edges, strict=True)], 1)[..., :3]
        )
    with whole_file(path) as beside:
        Image.fromarray(np.concatenate(rows)).save(
            beside, format="JPEG" if path.suffix != ".png" else "PNG", quality=72
        )
