"""What constraints at inference buy for their time: the same cases lifted with ``optimise`` at several values."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..assets import Mesh
from ..capture import Capture
from ..conventions import rotation_y
from ..errors import ReconstructionError
from ..pipeline import Road
from ..runtime import silent
from .metrics import fitted, in_unit_cube, surface_points, surface_scores
from .protocols import Case, read_cases, spread
from .tables import Grid

#: Values of ``optimise`` that are compared, the first being the one that the others are held against.
VALUES: tuple[int | str, ...] = (0, "auto", 5, 20)
#: Points on a surface, and a difference of F@0.1 that counts as better or worse.
POINTS, NOTABLE = 6000, 0.01


@dataclass(frozen=True)
class Lifted:
    """One case at one value: scores as it stands (never turned), and seconds of the object stage on one's own CPUs."""

    name: str
    value: int | str
    scores: dict[str, float]
    seconds: float


def evaluate_optimise(
    cases: str | Path,
    limit: int | None = None,
    values: Sequence[int | str] = VALUES,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Lifted]:
    """Lift ``limit`` cases, evenly spread over a ``cases.jsonl``, once for each value of ``optimise``.

    Raises InputNotFoundError when the file of cases is missing; a case without a surface scores 0.
    """
    chosen = spread(read_cases(Path(cases)), limit)
    found = []
    for i, case in enumerate(chosen):
        base = Road.of(None, silent, {})
        capture = base.understand(base.load(case["image"]))
        found += [_lifted(case, capture, value) for value in values]
        progress(i + 1, len(chosen))
    return found


def _lifted(case: Case, capture: Capture, value: int | str) -> Lifted:
    road = Road.of(None, silent, {"optimise": value})
    start = time.process_time()
    try:
        dense = road._stage("object", capture)
    except ReconstructionError:
        return Lifted(case["id"], value, {"f@0.1": 0.0, "f@0.05": 0.0, "cd": 1.0}, time.process_time() - start)
    seconds = time.process_time() - start
    return Lifted(case["id"], value, scores(road._stage("clean", dense), case), seconds)


def scores(mesh: Mesh, case: Case) -> dict[str, float]:
    """Scores of a mesh in the view frame against the points of the case's truth; only shifted and scaled onto them."""
    truth = in_unit_cube(np.load(case["truth"])["points"])
    turned = surface_points(mesh, POINTS) @ rotation_y(np.radians(float(case["azimuth_deg"]))).T
    return surface_scores(fitted(in_unit_cube(turned), truth), truth)


def grid(found: Sequence[Lifted]) -> Grid:
    """One row a value: means, gain over the first value with its standard error, cases better and worse, seconds."""
    values = list(dict.fromkeys(one.value for one in found))
    by = {value: [one for one in found if one.value == value] for value in values}
    rows = []
    for value in values:
        gain = np.array([a.scores["f@0.1"] - b.scores["f@0.1"] for a, b in zip(by[value], by[values[0]], strict=True)])
        means = [f"{np.mean([one.scores[name] for one in by[value]]):.4f}" for name in ("f@0.1", "f@0.05", "cd")]
        error = gain.std() / np.sqrt(max(len(gain), 1))
        many = f"{(gain > NOTABLE).sum()} / {(gain < -NOTABLE).sum()}"
        seconds = np.mean([one.seconds for one in by[value]])
        rows.append((str(value), *means, f"{gain.mean():+.4f} ± {error:.4f}", many, f"{seconds:.2f}"))
    head = ("optimise", "posed F@0.1", "F@0.05", "CD ↓", "gain", "better / worse", "CPU s of the object stage")
    return Grid(f"Constraints at inference, {len(by[values[0]])} cases", head, tuple(rows))
