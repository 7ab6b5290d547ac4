"""How often a turned object is set upright again, and the fit of the weights that judge it (refine.upright)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..assets import Mesh
from ..errors import InputNotFoundError
from ..refine.pose import PRIOR, SURE, turn_up
from ..refine.upright import NAMES, Candidates, candidates, upright
from .tables import Grid

Floats = NDArray[np.float64]
Progress = Callable[[int, int], None]

#: An up direction this near to the true one is right (degrees).
RIGHT_DEG = 10.0
_AXES = np.array([(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)], float)
#: Penalty on the squares of the weights, features counted in their standard deviations.
_PENALTY = 1e-3


@dataclass(frozen=True)
class Turned:
    """One object: right by our judgement and by the most stable pose, and the probability that was claimed."""

    name: str
    right: bool
    stable: bool
    sure: float


def measure(
    objects: str | Path, limit: int | None = None, axes: bool = False, seed: int = 0, progress: Progress | None = None
) -> list[Turned]:
    """Held-out objects turned at random, or (axes) so that another axis of the file is up, +Y and +Z most often.

    objects: a folder with manifest.jsonl (id, file, family, split), every object +Y up. Raises InputNotFoundError.
    """
    rows = _rows(Path(objects), held_out=True)[:limit]
    rng = np.random.default_rng(seed)
    found = []
    for number, row in enumerate(rows):
        rotation = _axis_rotation(rng) if axes else _random_rotation(rng)
        judged = upright(turned(_read(Path(objects), row), rotation), PRIOR if axes else None)
        true = judged.up @ rotation[:, 1] > np.cos(np.radians(RIGHT_DEG))
        found.append(Turned(row["id"], bool(true[0]), bool(true[judged.chance.argmax()]), float(judged.probability[0])))
        if progress:
            progress(number + 1, len(rows))
    return found


def fit(objects: str | Path, limit: int = 600, seed: int = 0, progress: Progress | None = None) -> dict[str, float]:
    """Weights for refine.upright from objects that are not held out, each turned at random once."""
    rows = _rows(Path(objects), held_out=False)
    rng = np.random.default_rng(seed)
    chosen = [rows[k] for k in rng.permutation(len(rows))[:limit]]
    tables, right = [], []
    for number, row in enumerate(chosen):
        rotation = _random_rotation(rng)
        table = candidates(turned(_read(Path(objects), row), rotation))
        tables.append(table)
        right.append(table.up @ rotation[:, 1] > np.cos(np.radians(RIGHT_DEG)))
        if progress:
            progress(number + 1, len(chosen))
    return fitted(tables, right)


def fitted(tables: Sequence[Candidates], right: Sequence[NDArray[np.bool_]]) -> dict[str, float]:
    """The conditional logit's weights: the likeliest for the right candidates, with a small penalty."""
    from scipy.optimize import minimize

    spread = np.concatenate([table.features for table in tables]).std(0) + 1e-9
    cases = [(table.features / spread, good) for table, good in zip(tables, right, strict=True) if good.any()]

    def loss(weights: Floats) -> tuple[float, Floats]:
        total, slope = 0.0, np.zeros_like(weights)
        for features, good in cases:
            score = features @ weights
            odds = np.exp(score - score.max())
            share = odds / odds.sum()
            hit = share[good].sum() + 1e-12
            total -= float(np.log(hit))
            slope -= features.T @ (np.where(good, share / hit, 0) - share)
        penalty = _PENALTY * float(weights @ weights)
        return total / len(cases) + penalty, slope / len(cases) + 2 * _PENALTY * weights

    best = minimize(loss, np.zeros(len(NAMES)), jac=True, method="L-BFGS-B").x / spread
    return {name: float(f"{weight:.3g}") for name, weight in zip(NAMES, best, strict=True)}


def turned(mesh: Mesh, rotation: Floats) -> Mesh:
    """The mesh's shape turned by a rotation (3x3)."""
    return Mesh((mesh.vertices.astype(np.float64) @ rotation.T).astype(np.float32), mesh.faces)


def grid(groups: Mapping[str, Sequence[Turned]]) -> Grid:
    """A row for each group: how many are upright again, those that were sure, and by the most stable pose alone."""
    rows = []
    for name, found in groups.items():
        sure = [t for t in found if t.sure >= SURE]
        rows.append(
            (name, _share([t.right for t in found]), _share([t.right for t in sure]), _share([t.stable for t in found]))
        )
    head = ("turned", "upright again", f"of those at least {SURE:.0%} sure", "most stable pose")
    return Grid("Upright again, within 10 degrees", head, tuple(rows))


def _share(right: Sequence[bool]) -> str:
    return f"{np.mean(right):.0%} ({sum(right)} of {len(right)})" if right else "-"


def _rows(objects: Path, held_out: bool) -> list[dict[str, Any]]:
    """Objects of the train split, of held-out families or of the others."""
    from ..train.object import is_held_out

    manifest = objects / "manifest.jsonl"
    if not manifest.is_file():
        raise InputNotFoundError(f"{manifest}: no such file", "give a folder of objects with its manifest")
    rows = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    return [r for r in rows if r["split"] == "train" and is_held_out(r["family"]) == held_out]


def _read(objects: Path, row: dict[str, Any]) -> Mesh:
    from ..read_mesh import read_mesh

    return read_mesh(objects / row["file"])


def _random_rotation(rng: np.random.Generator) -> Floats:
    """Evenly drawn (Shoemake 1992)."""
    w, x, y, z = (q := rng.normal(size=4)) / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def _axis_rotation(rng: np.random.Generator) -> Floats:
    """+Y stays up in 4 of 10 cases, becomes +Z in 4, another axis in 2."""
    up = _AXES[rng.choice(6, p=[0.05, 0.05, 0.4, 0.05, 0.4, 0.05])]
    return turn_up(up).T


def shown(weights: dict[str, float]) -> Iterator[tuple[str, str]]:
    """Names and weights as text."""
    yield from ((name, f"{weight:g}") for name, weight in weights.items())
