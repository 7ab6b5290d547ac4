"""The object bench: lift every case, save it, measure it, and have the bench's own scorer judge the shapes."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from importlib import resources
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import InputNotFoundError, LiftformError, UnreadableError
from ..read_mesh import read_mesh
from ..topology import health
from ..zoo import familiarity
from .fidelity import fidelity
from .metrics import camera_angles_deg

Make = Callable[..., Any]
Case = dict[str, Any]
Record = dict[str, Any]


@dataclass(frozen=True)
class Evaluation:
    """Everything measured: one record a case, in the order of the cases, and the scorer's JSON."""

    records: tuple[Record, ...]
    scores: dict[str, Any]


def evaluate_object(
    cases: str | Path,
    out: str | Path,
    make: Make | None = None,
    limit: int | None = None,
    workers: int = 1,
    resume: bool = True,
    options: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Run ``make`` (default: ``liftform.make``) on every line of a ``cases.jsonl`` and score the results.

    Writes out/predictions/<id>.glb, out/records.jsonl (one line a case, as it is finished) and out/scores.json. limit
    takes that many cases, evenly spread over the list. workers > 1 uses processes (``make`` must be picklable). resume
    keeps cases that this version, these options and these weights have already made; failures are tried again.
    A failing case is recorded with its error and never raised. The scorer is ``score_objects.py`` two folders above the
    cases, run as a program. Raises InputNotFoundError (cases or scorer missing) and LiftformError (the scorer failed).
    """
    cases, out = Path(cases), Path(out)
    chosen = spread(read_cases(cases), limit)
    (out / "predictions").mkdir(parents=True, exist_ok=True)
    made_by = fingerprint(options or {})
    wanted = {case["id"] for case in chosen}
    done = {name: record for name, record in _finished(out, made_by).items() if resume and name in wanted}
    todo = [case for case in chosen if case["id"] not in done]
    job = functools.partial(run_case, out=out, make=make, options=dict(options or {}), made_by=made_by)
    with (out / "records.jsonl").open("w", encoding="utf-8") as log:
        for i, record in enumerate(chain(list(done.values()), mapped(job, todo, workers))):
            done[record["id"]] = record
            log.write(json.dumps(record) + "\n")
            log.flush()
            progress(i + 1, len(chosen))
    return Evaluation(tuple(done[case["id"]] for case in chosen), score(chosen, cases, out))


def read_cases(path: Path) -> list[Case]:
    """The lines of a cases file, image and truth as absolute paths; raises InputNotFoundError, UnreadableError."""
    if not path.is_file():
        raise InputNotFoundError(f"{path}: no such file of cases", "give the bench's cases.jsonl")
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        folder = path.parent.resolve()
        return [{**case, "image": str(folder / case["image"]), "truth": str(folder / case["truth"])} for case in lines]
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableError(f"{path}: not a file of cases ({error})", "give the bench's cases.jsonl") from error


def spread(cases: Sequence[Case], limit: int | None) -> list[Case]:
    """``limit`` cases evenly spread over the list, so that every source has its share."""
    if limit is None or limit >= len(cases):
        return list(cases)
    return [cases[i * len(cases) // limit] for i in range(limit)]


def run_case(case: Case, out: Path, make: Make | None, options: dict[str, Any], made_by: str) -> Record:
    """Lift one case into out/predictions; the record holds the measures, or the error."""
    record: Record = {"id": case["id"], "made_by": made_by}
    target = out / "predictions" / f"{case['id']}.glb"
    target.unlink(missing_ok=True)
    try:
        start = time.perf_counter()
        result = (make or _default_make())(case["image"], **options)
        record["seconds_make"] = time.perf_counter() - start
        result.save(target)
        record["seconds"] = time.perf_counter() - start
        record.update(_measured(case, result, target))
    except Exception as error:  # any failure of a case is a result of the bench
        record["error"] = f"{type(error).__name__}: {error}"
    record["peak_memory_mb"] = peak_memory_mb()
    return record


def score(chosen: Sequence[Case], cases: Path, out: Path, scorer: str | Path | None = None) -> dict[str, Any]:
    """Run the scorer (default: the one that lies beside the bench) on out/predictions and read its JSON."""
    scorer = Path(scorer) if scorer else cases.resolve().parent.parent / "score_objects.py"
    if not scorer.is_file():
        raise InputNotFoundError(f"{scorer}: the scorer is missing", "use the bench's own folder of cases")
    listed, scores = out / "cases.jsonl", out / "scores.json"
    listed.write_text("".join(json.dumps(case) + "\n" for case in chosen), encoding="utf-8")
    command = [sys.executable, str(scorer), str(out / "predictions"), "--cases", str(listed), "--json", str(scores)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        last = (ended.stderr.strip().splitlines() or ["no message"])[-1]
        raise LiftformError(f"{scorer}: the scorer failed ({last})", "run it by hand to see more")
    found: dict[str, Any] = json.loads(scores.read_text(encoding="utf-8"))
    return found


def read_scores(folder: Path) -> dict[str, float]:
    """id -> F@0.1 in the folder of an evaluation (scores.json) or of one of trust (results.jsonl).

    Raises InputNotFoundError where there is neither.
    """
    scores, results = folder / "scores.json", folder / "results.jsonl"
    if results.is_file():
        rows = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
        return {row["id"]: row["f@0.1"] for row in rows if "f@0.1" in row}
    if not scores.is_file():
        raise InputNotFoundError(f"{folder}: no scores", "run `liftform evaluate object` first")
    found = json.loads(scores.read_text(encoding="utf-8"))["cases"]
    return {name: float(case["f@0.1"]) for name, case in found.items()}


def fingerprint(options: Mapping[str, Any]) -> str:
    """16 hexadecimal digits that change with the version, the options and the embedded networks that make the mesh."""
    table = resources.files("liftform") / "weights" / "table.json"
    rows = json.loads(table.read_text(encoding="utf-8")) if table.is_file() else {}
    weights = {name: row["sha256"] for name, row in rows.items() if name != familiarity.NAME}
    text = json.dumps([__version__, {k: str(v) for k, v in sorted(options.items())}, weights])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def peak_memory_mb() -> float | None:
    """Largest resident memory of this process so far, in MB; None on Windows, which does not tell."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


def _default_make() -> Make:
    from ..pipeline import make

    return make


def _measured(case: Case, result: Any, target: Path) -> Record:
    """Likeness to the picture, health of the saved file, and errors of the camera."""
    found = health(read_mesh(target))
    yfov, elevation = camera_angles_deg(result.capture.photo.camera)
    record: Record = {
        **asdict(fidelity(result)),
        "seen": result.report.seen,
        "signals": result.mesh.metadata.get("trust", {}).get("signals"),
        **{name: getattr(found, name) for name in ("faces", "watertight", "manifold", "outward", "components")},
        **{name: getattr(found, name) for name in ("degenerate_faces", "self_intersecting")},
        "yfov_error_deg": yfov - case["yfov_deg"] if "yfov_deg" in case else None,
        "elevation_error_deg": elevation - case["elevation_deg"] if "elevation_deg" in case else None,
    }
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in record.items()}


def _finished(out: Path, made_by: str) -> dict[str, Record]:
    """Records of cases that are made and need not be made again."""
    log = out / "records.jsonl"
    found = {}
    for line in log.read_text(encoding="utf-8").splitlines() if log.is_file() else []:
        try:
            record = json.loads(line)
        except ValueError:
            continue  # the line that an interruption cut off
        there = (out / "predictions" / f"{record['id']}.glb").is_file()
        if record["made_by"] == made_by and "error" not in record and there:
            found[record["id"]] = record
    return found


def mapped(job: Callable[[Case], Record], todo: Sequence[Case], workers: int) -> Iterator[Record]:
    """The job's records in the order of the cases, made in ``workers`` processes."""
    if workers <= 1:
        yield from map(job, todo)
        return
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        yield from pool.map(job, todo)
