"""Does liftform know when it is wrong? Predictions scored against truth beside what they said of themselves.

``collect`` lifts every case, keeps the signs by which trust is judged and has the bench's scorer judge the shapes;
``judge`` lays the embedded table's estimates beside the scores. Training collects on held-out families, the check on
the bench.
"""

from __future__ import annotations

import functools
import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..assets import Mesh
from ..conventions import rotation_y
from ..errors import LiftformError
from ..export import save
from ..files import whole_file
from ..pipeline import Recipe, Road
from ..refine import trust
from ..runtime import Runtime
from ..zoo import familiarity
from .metrics import fitted, in_unit_cube
from .protocols import Case, Record, fingerprint, mapped, read_cases, read_scores, score, spread

#: Vertices kept of each result, drawn by the area around them.
_VERTICES = 500
#: Cases scored at once: an interruption loses no more.
_BATCH = 12


@dataclass(frozen=True)
class Judged:
    """One case: its true F@0.1, what was estimated, and each kept vertex's confidence and error.

    error (n,): distance to the true surface as a share of the longest side, posed as the picture saw it.
    """

    id: str
    true: float
    estimate: familiarity.Estimate
    confidence: NDArray[np.float32]
    seen: NDArray[np.float32]
    error: NDArray[np.float32]


def collect(
    cases: str | Path,
    out: str | Path,
    scorer: str | Path | None = None,
    limit: int | None = None,
    workers: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Record]:
    """Lift and score the cases that these weights have not lifted yet; one record a case, in the cases' order.

    Writes out/results.jsonl (a line a case), out/evidence/<id>.npz and out/predictions/<id>.ply; resumes, trying
    failures again. A record holds id, made_by, "signals", "code", the scorer's figures ("f@0.1" …) and its case's
    "family" and "source" where given; or "error". scorer: as ``score``. Raises InputNotFoundError, LiftformError (the
    scorer failed).
    """
    cases, out = Path(cases), Path(out)
    chosen = spread(read_cases(cases), limit)
    for folder in ("predictions", "evidence"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    recipe = Recipe.from_options(texture_size=256, as_="object")  # what trust does not depend on, made quickly
    made_by = fingerprint({"recipe": recipe.digest})
    log = out / "results.jsonl"
    done = {r["id"]: r for r in _lines(log) if r.get("made_by") == made_by and "error" not in r}
    todo = [case for case in chosen if case["id"] not in done]
    job = functools.partial(_lifted, recipe=recipe, out=out, made_by=made_by)
    for start in range(0, len(todo), _BATCH):
        batch = todo[start : start + _BATCH]
        records = {r["id"]: r for r in mapped(job, batch, workers)}
        scores = score([c for c in batch if "error" not in records[c["id"]]], cases, out, scorer)["cases"]
        for name, record in records.items():
            done[name] = {**record, **scores.get(name, {})}
        text = "".join(json.dumps(r) + "\n" for r in done.values())
        with whole_file(log) as beside:
            beside.write_text(text, encoding="utf-8")
        progress(len(chosen) - len(todo) + start + len(batch), len(chosen))
    return [done[case["id"]] for case in chosen]


def reused(folder: str | Path) -> list[Record]:
    """Records for ``judge`` from the folder of an `evaluate object` run, which say nothing of vertices.

    Raises InputNotFoundError where there is no such run.
    """
    folder = Path(folder)
    scores = read_scores(folder)
    return [{**r, "f@0.1": scores[r["id"]]} for r in _lines(folder / "records.jsonl") if r.get("signals")]


def judge(records: Sequence[Record], out: str | Path, table: familiarity.Table | None = None) -> list[Judged]:
    """Estimates by the table (default: the embedded one) for the records of ``collect`` that have a score.

    Raises LiftformError when there is no table for these weights.
    """
    table = table or familiarity.table()
    if table is None:
        raise LiftformError(familiarity.why_none(), "fit one on held-out predictions first")
    found = []
    for record in records:
        if "error" in record or "f@0.1" not in record:
            continue
        signals = dict(record["signals"])
        if "code" in record:
            signals["unfamiliar"] = table.likeness(np.array(record["code"])).distance
        estimate = table.estimate(signals)
        evidence, error = _evidence(Path(out) / "evidence" / f"{record['id']}.npz")
        confidence = table.confidence(evidence, estimate.f)
        seen = evidence[:, 1].astype(np.float32)
        found.append(Judged(record["id"], record["f@0.1"], estimate, confidence, seen, error))
    return found


def _evidence(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Evidence (n, 5) and error (n,) of a result's kept vertices; none where none were kept."""
    if not path.is_file():
        return np.zeros((0, 5)), np.zeros(0, np.float32)
    with np.load(path) as file:
        return file["evidence"].astype(np.float64), file["error"].astype(np.float32)


def figures(judged: Sequence[Judged]) -> dict[str, Any]:
    """spearman of estimated and true F@0.1; coverage and width of the 80 % interval; error and bias of the estimate;
    auc of single vertices (is a near one trusted more than a far one?) and near: stated and measured share, where
    vertices were kept. Raises LiftformError when there is nothing to judge."""
    from scipy.stats import spearmanr

    if not judged:
        raise LiftformError("nothing to judge: no result has a score", "see the failures of the run")
    f, true = np.array([j.estimate.f for j in judged]), np.array([j.true for j in judged])
    low, high = np.array([j.estimate.low for j in judged]), np.array([j.estimate.high for j in judged])
    found = {
        "cases": len(judged),
        "spearman": float(spearmanr(f, true).statistic) if len(judged) > 2 else math.nan,
        "coverage": float(((true >= low) & (true <= high)).mean()),
        "below": float((true < low).mean()),
        "above": float((true > high).mean()),
        "width": float((high - low).mean()),
        "mean_error": float(np.abs(f - true).mean()),
        "bias": float((f - true).mean()),
    }
    return found | _vertex_figures(judged)


def _vertex_figures(judged: Sequence[Judged]) -> dict[str, float]:
    from scipy.stats import rankdata

    confidence = np.concatenate([j.confidence for j in judged])
    near = np.concatenate([j.error for j in judged]) < familiarity.NEAR
    if not len(near):
        return {}
    ranks = rankdata(confidence)
    pairs = max(int(near.sum()) * int((~near).sum()), 1)
    return {
        "auc": float((ranks[near].sum() - near.sum() * (near.sum() + 1) / 2) / pairs),
        "near_stated": float(confidence.mean()),
        "near_measured": float(near.mean()),
    }


def verdicts(judged: Sequence[Judged]) -> dict[str, tuple[int, float, float]]:
    """verdict -> cases, mean estimate, mean true F@0.1."""
    groups = {word: [j for j in judged if j.estimate.verdict == word] for word in ("good", "fair", "poor")}
    return {
        word: (len(js), float(np.mean([j.estimate.f for j in js])), float(np.mean([j.true for j in js])))
        for word, js in groups.items()
        if js
    }


def vertex_bins(judged: Sequence[Judged], edges: Sequence[float] = (0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.01)) -> list[Any]:
    """Rows (low, high, vertices, stated, measured share within 5 %, median error) of confidence in bins."""
    confidence = np.concatenate([j.confidence for j in judged])
    error = np.concatenate([j.error for j in judged])
    rows = []
    for low, high in itertools.pairwise(edges):
        inside = (confidence >= low) & (confidence < high)
        if inside.any():
            near = float((error[inside] < familiarity.NEAR).mean())
            rows.append((low, min(high, 1.0), int(inside.sum()), float(confidence[inside].mean()), near,
                         float(np.median(error[inside]))))  # fmt: skip
    return rows


@dataclass(frozen=True)
class _Noting(Road):
    """A road that keeps what its trust stage was given."""

    given: dict[str, Mesh] = field(default_factory=dict)

    def _run(self, stage: str, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if stage == "trust":
            self.given.update(mesh=args[0], dense=args[1])
        return super()._run(stage, call, *args, **kwargs)


def _lifted(case: Case, recipe: Recipe, out: Path, made_by: str) -> Record:
    """One case through the real road, its evidence and prediction written; failures are records too."""
    record: Record = {"id": case["id"], "made_by": made_by, **{k: case[k] for k in ("family", "source") if k in case}}
    try:
        road = _Noting(recipe, Runtime(threads=1))
        capture = road.understand(road.load(case["image"]))
        made = road.refine(road.reconstruct(capture), capture)
        mesh, dense = road.given["mesh"], road.given["dense"]
        record |= {
            "signals": trust.signals(mesh, dense, capture),
            "code": [float(f"{x:.4g}") for x in dense.metadata["code"]],
        }
        chosen, error = _errors(mesh, case)
        evidence = trust.evidence(mesh, dense)[chosen]
        np.savez(out / "evidence" / f"{case['id']}.npz", evidence=evidence.astype(np.float16), error=error)
        save(Mesh(made.vertices, made.faces), out / "predictions" / f"{case['id']}.ply")
    except Exception as error:  # a case that fails is a result
        record["error"] = f"{type(error).__name__}: {error}"
    return record


def _errors(mesh: Mesh, case: Mapping[str, Any]) -> tuple[NDArray[np.int64], NDArray[np.float16]]:
    """Vertices drawn by area, and their distance to the true surface as a share of the longest side."""
    from scipy.spatial import cKDTree

    truth = in_unit_cube(np.load(case["truth"])["points"].astype(np.float64))
    turned = mesh.vertices @ rotation_y(math.radians(case["azimuth_deg"])).T
    placed = fitted(in_unit_cube(turned), truth)
    a, b, c = (mesh.vertices[mesh.faces[:, i]].astype(np.float64) for i in range(3))
    areas = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    around = np.zeros(len(mesh.vertices))
    np.add.at(around, mesh.faces.ravel(), np.repeat(areas, 3))
    chosen = np.random.default_rng(0).choice(len(around), _VERTICES, p=around / around.sum())
    return chosen, (cKDTree(truth).query(placed[chosen])[0] / 2).astype(np.float16)


def _lines(path: Path) -> list[Record]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
