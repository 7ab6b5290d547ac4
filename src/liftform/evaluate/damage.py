"""The damage bench: broken meshes with a known truth repaired in several ways, judged alike, set in a table."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import topology
from ..assets import Mesh
from ..errors import LiftformError
from ..files import whole_file
from ..refine import surface
from ..render import Scene, orbit_cameras
from ..runtime import need
from .damage_cases import Case
from .damage_peers import Way
from .metrics import psnr, surface_points
from .tables import Grid

Record = dict[str, Any]
Floats = NDArray[np.float64]

#: Points on either surface between which distances are taken.
_POINTS = 12_000
#: Self-intersections are counted among up to this many pairs of faces with overlapping boxes.
_PAIRS = 60_000_000


def evaluate_damage(
    cases: Iterable[Case],
    ways: Mapping[str, Way],
    records: Path | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Record]:
    """One record for every case and way; ``records``: a file of JSON lines that is continued where it stops."""
    known = {(r["case"], r["way"]): r for r in read_records(records)} if records else {}
    out = []
    for number, case in enumerate(cases):
        for name, way in ways.items():
            if case.truth is None and name != "liftform":
                continue  # peers are compared where there is a truth to compare with
            record = known.get((case.name, name))
            if record is None:
                record = {"case": case.name, "group": case.group, "strength": case.strength, "way": name}
                record |= judged(case, way)
                if records:
                    with records.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(record) + "\n")
            out.append(record)
        progress(number + 1)
    return out


def read_records(path: Path) -> list[Record]:
    """The records in a file of JSON lines; none where there is no file."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def judged(case: Case, way: Way) -> Record:
    """What a repair made of a case: seconds, validity, distances, volume, likeness."""
    start = _processor()
    try:
        mesh = way(case.mesh)
        mesh.validate()
    except (LiftformError, RuntimeError, ValueError, IndexError, TypeError, AttributeError) as error:
        return {"error": f"{type(error).__name__}: {error}"[:200], "seconds": _processor() - start}
    record: Record = {"seconds": _processor() - start, "faces": len(mesh.faces)}
    record["road"] = mesh.metadata.get("repair", {}).get("road", "")
    record |= validity(mesh)
    record |= closeness(mesh, case)
    if case.truth is not None and record["road"] == "local" and (mesh.uv is not None or mesh.colors is not None):
        # the truth of overlapping bodies has no colours, but from outside they look as given
        painted = case.truth.uv is not None or case.truth.colors is not None
        record["psnr"] = likeness(mesh, case.truth if painted else case.mesh)
    return record


def _processor() -> float:
    """Seconds that this process and its finished children had of a processor."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def validity(mesh: Mesh) -> Record:
    """manifold: closed, oriented, one fan a vertex; outward; degenerate: faces without area or twice; crossings."""
    found = topology.health(mesh, 0)
    pairs = topology.self_intersections(*topology.merged(mesh), _PAIRS)
    degenerate = found.degenerate_faces + found.duplicate_faces
    return {
        "manifold": found.manifold,
        "outward": found.outward,
        "degenerate": degenerate,
        "crossings": -1 if pairs is None else len(pairs),
        "valid": bool(found.manifold and found.outward and not degenerate),
        "volume": found.volume,
    }


def closeness(mesh: Mesh, case: Case) -> Record:
    """Hausdorff and mean distance, as shares of the diagonal, and the error of the volume, where there is a truth.

    Without one, the surface that shows from outside must be met, and nothing be added far from the given faces.
    """
    given = case.mesh if case.truth is None else case.truth
    size = surface.diagonal(given.vertices[np.unique(given.faces)])
    wanted = _visible_points(given) if case.truth is None else surface_points(given, _POINTS)
    there = distances(wanted.astype(np.float64), mesh)
    back = distances(surface_points(mesh, _POINTS).astype(np.float64), given)
    out: Record = {
        "hausdorff": float(max(there.max(), back.max()) / size),
        "missing": float(there.max() / size),
        "added": float(back.max() / size),
        "mean": float((there.mean() + back.mean()) / 2 / size),
    }
    if case.truth is not None:
        volume = topology.signed_volume(*topology.merged(case.truth))
        out["volume_error"] = abs(topology.signed_volume(*topology.merged(mesh)) / volume - 1)
    return out


def _visible_points(mesh: Mesh) -> Floats:
    """Points on what shows from outside."""
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(normal, axis=1)
    rng = np.random.default_rng(0)
    face = rng.choice(len(area), _POINTS, p=area / area.sum())
    at = np.einsum("ij,ijk->ik", rng.dirichlet((1, 1, 1), len(face)), corners[face])
    way = rng.normal(size=(12, len(face), 3))
    side = np.sign(np.einsum("rij,ij->ri", way, normal[face]))[..., None]
    start = at + 1e-4 * surface.diagonal(mesh.vertices) * side * normal[face] / area[face, None]
    met = Scene(mesh).occluded(start.reshape(-1, 3), way.reshape(-1, 3)).reshape(len(way), -1)
    shown = (~met).sum(0) >= 2
    return np.asarray(at[shown] if shown.any() else at)


def distances(points: Floats, mesh: Mesh) -> Floats:
    """Distance (N,) from points (N, 3) to the nearest face of a mesh; needs igl (extra "train")."""
    igl: Any = need("igl", "train")
    squared = igl.point_mesh_squared_distance(points, mesh.vertices.astype(np.float64), mesh.faces.astype(np.int64))[0]
    return np.sqrt(np.asarray(squared, np.float64))


def likeness(mesh: Mesh, truth: Mesh) -> float:
    """PSNR (dB) of the unlit colours over the pixels that show either, four views together."""
    cameras = orbit_cameras(truth, [(0.4, 0.3), (2.0, 0.3), (3.5, -0.2), (5.1, 0.6)], 128)
    views = [[Scene(m).render(camera, "unlit") for camera in cameras] for m in (mesh, truth)]
    ours, theirs = (np.concatenate([v.image for v in view]) for view in views)
    shown = np.concatenate([a.mask & b.mask for a, b in zip(*views, strict=True)])
    return min(99.0, psnr(ours[..., :3], theirs[..., :3], shown))


# --- tables -----------------------------------------------------------------------------------------------------------


def grids(records: Sequence[Record]) -> list[Grid]:
    """The ways beside each other for broken, generated and downloaded meshes; ours by kind of damage; failures."""
    special = ("generated", "as they are")
    sets = {"Broken meshes with a known truth": [r for r in records if r["group"] not in special]}
    sets |= {"Generated meshes": [r for r in records if r["group"] == special[0]]}
    sets |= {"Objects as they are": [r for r in records if r["group"] == special[1]]}
    out = [_beside(title, some) for title, some in sets.items() if some]
    ours = [r for r in records if r["way"] == "liftform"]
    groups = list(dict.fromkeys(r["group"] for r in ours))
    rows = tuple(_row(group, [r for r in ours if r["group"] == group]) for group in groups)
    out.append(Grid("liftform by kind of damage", _HEAD, rows))
    bad = [r for r in ours if "error" in r or not r["valid"] or r["crossings"] or r["hausdorff"] > 0.01]
    bad = [r for r in bad if r["group"] != special[1]]
    return [*out, Grid(f"Cases that are not as wanted ({len(bad)})", ("case", "road", "why"), tuple(map(_why, bad)))]


_HEAD = (
    "", "cases", "valid", "no crossings", "Hausdorff median", "p95", "within 1 %", "volume error median", "p95",
    "PSNR median", "local road", "seconds median", "p95",
)  # fmt: skip


def _beside(title: str, records: Sequence[Record]) -> Grid:
    """The ways on the cases that all of them had."""
    ways = list(dict.fromkeys(r["way"] for r in records))
    had = [{r["case"] for r in records if r["way"] == way} for way in ways]
    all_cases, common = len(set.union(*had)), set.intersection(*had)
    if len(common) < all_cases:
        title = f"{title}: the {len(common)} of {all_cases} that every way was given"
    records = [r for r in records if r["case"] in common]
    return Grid(title, _HEAD, tuple(_row(way, [r for r in records if r["way"] == way]) for way in ways))


def _row(name: str, records: Sequence[Record]) -> tuple[str, ...]:
    count = len(records)

    def share(good: Callable[[Record], bool]) -> str:
        return f"{100 * sum('error' not in r and good(r) for r in records) / count:.1f} %"

    def column(key: str, missing: float) -> Floats:
        return np.array([r.get(key, missing) for r in records], np.float64)

    apart, volume = column("hausdorff", 1.0), column("volume_error", np.nan)
    volume[[("error" in r) for r in records]] = 1.0
    volume = volume[np.isfinite(volume)]
    alike = column("psnr", np.nan)
    alike = alike[np.isfinite(alike)]
    time_s = column("seconds", np.nan)
    return (
        name,
        str(count),
        share(lambda r: r["valid"]),
        share(lambda r: r["crossings"] == 0),
        f"{100 * np.median(apart):.3f} %",
        f"{100 * np.percentile(apart, 95):.2f} %",
        share(lambda r: r["hausdorff"] <= 0.01),
        f"{100 * np.median(volume):.3f} %" if len(volume) else "",
        f"{100 * np.percentile(volume, 95):.2f} %" if len(volume) else "",
        f"{np.median(alike):.1f}" if len(alike) else "",
        share(lambda r: r["road"] == "local"),
        f"{np.nanmedian(time_s):.2f}",
        f"{np.nanpercentile(time_s, 95):.2f}",
    )


def _why(record: Record) -> tuple[str, str, str]:
    if "error" in record:
        return record["case"], "", record["error"]
    reasons = [word for word, bad in (("not valid", not record["valid"]), ("cuts itself", record["crossings"])) if bad]
    if record["hausdorff"] > 0.01:
        reasons.append(f"Hausdorff {100 * record['hausdorff']:.1f} %")
    return record["case"], record["road"], ", ".join(reasons)


def write_page(records: Sequence[Record], path: Path, command: str, other: Sequence[Record] = ()) -> None:
    """The tables as docs/damage.md; other: records of another seed, summed up beside. Raises OutputError."""
    ours = [r for r in other if r["way"] == "liftform"]
    generated = [r for r in ours if r["group"] == "generated"]
    apart = {"broken": [r for r in ours if r not in generated], "generated": generated}
    summed = Grid("Another seed, on which nothing was settled", _HEAD, tuple(_row(k, v) for k, v in apart.items() if v))
    tables = "\n".join(grid.markdown() for grid in [*grids(records), *([summed] if summed.rows else [])])
    picture = path.parent / "images" / f"{path.stem}.jpg"
    shown = ""
    if picture.is_file():
        shown = f"![before and after](images/{picture.name})\n\nBacks of faces in red; what was invented in blue.\n\n"
    text = (
        "# Repair on broken meshes\n\n"
        f"    {command}\n\n"
        "Sound meshes (shapes made here, and watertight objects of the training split) are broken in twelve ways at\n"
        "three strengths and repaired; each way gets the same arrays. Valid: closed, manifold, outward, without\n"
        "degenerate and duplicate faces. Crossings: pairs of faces without a common corner that cut each other.\n"
        "Hausdorff distance: the largest distance between the two surfaces, either way, as a share of the truth's\n"
        "diagonal; a way that fails or returns nothing counts as 100 %. Objects as they are have no truth: theirs is\n"
        "the larger of two distances, from what shows of them from outside to the result, and from the result to\n"
        "anything that was there. Seconds are of one processor.\n\n"
        "PyMeshFix (GPL) and PyMeshLab (GPL) are no dependencies; they run here only where they are installed.\n\n"
        "Not every case can be won. A hole of a tenth of the diagonal can take away all there was to know of a star's\n"
        "tip or of a whole length of a thin ring; a face that is missing takes its texture along, which on a box of\n"
        "twelve faces is much of the picture (the PSNR counts such pixels too); thirty fins that make up a twelfth of\n"
        "a fork pass for blades; and walls drawn through a box from an edge to a corner can lie in its faces. These\n"
        "cases stay in, and count; they are named at the end. Rules of the repair were settled on cases of seed 0; a\n"
        "run with another seed, on which nothing was, is the fairer figure where it is given.\n\n"
        f"{shown}"
        f"{tables}"
    )  # fmt: skip
    with whole_file(path) as beside:
        beside.write_text(text, encoding="utf-8")
