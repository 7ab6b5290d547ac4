"""Held-out predictions to a calibrated table: codebook, ridge of the F-score, conformal interval, model of vertices.

References
    Split and cross-conformal prediction: Vovk, Gammerman, Shafer, "Algorithmic Learning in a Random World", 2005;
    Barber, Candes, Ramdas, Tibshirani, "Predictive inference with the jackknife+", 2021. Locally scaled residuals:
    Lei, G'Sell, Rinaldo, Tibshirani, Wasserman, 2018. Groups are left out whole, since views of one object, and
    objects of one family, are not exchangeable with those of another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..zoo import familiarity

Floats = NDArray[np.floating[Any]]

_FOLDS = 10
_KNOTS = 33
#: Signals of trouble: more of them never raises the estimate, whatever a small sample says.
TROUBLE = {
    *("doubt", "doubt_most", "depth_gap", "depth_gap_most", "normal_gap", "camera_gap", "missing", "struts", "joined"),
    *("twin_depth", "twin_normals", "twin_code", "twin_elevation", "twin_fov", "twin_mirror", "genus", "unfamiliar"),
    *("mask_doubt", "mask_estimated", "cut_off"),
}
#: How confidence may follow familiarity.vertex_inputs: less with doubt and away from what was seen, more where seen or
#: mirrored, facing the camera, and in a trusted result.
VERTEX_SIGNS = (-1, 1, -1, 1, 1, 1)
_DAMPING = 1e-4
_PENALTIES = (10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)
#: A result is called good where this share of those trusted as much or more truly reach GOOD_F, poor likewise.
_SURE = 0.75
GOOD_F, POOR_F = 0.75, 0.66


@dataclass(frozen=True)
class Codes:
    """Codes (N, D) of training views, with the family and the id of the object of each."""

    codes: Floats
    families: Sequence[str]
    objects: Sequence[str]


@dataclass(frozen=True)
class Book:
    """centres (M, D) unit rows; parts: what familiarity.Table needs beside them."""

    centres: Floats
    parts: dict[str, Any]


def codebook(codes: Codes, count: int, kinds: Mapping[str, str], seed: int = 0) -> Book:
    """k-means of the standardised codes on the sphere, each centre called by the commonest kind of object near it."""
    from scipy.cluster.vq import kmeans2

    mean, scale = codes.codes.mean(0, dtype=np.float64), codes.codes.std(0, dtype=np.float64) + 1e-4
    flat = familiarity.normalised(codes.codes, mean, scale)
    rng = np.random.default_rng(seed)
    centres, _ = kmeans2(flat, min(count, len(flat)), iter=25, minit="++", seed=rng)
    centres /= np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-9)
    likeness = flat @ centres.T
    nearest = likeness.argmax(1)
    called = [kinds.get(family, "thing") for family in codes.families]
    sizes = Counter(kind for _, kind in set(zip(codes.objects, called, strict=True)))
    names = []
    for i in range(len(centres)):
        around = Counter(called[j] for j in np.nonzero(nearest == i)[0])
        names.append(max(sorted(around), key=lambda kind: around[kind]) if around else "thing")
    ladder = np.quantile(1 - likeness.max(1), np.linspace(0, 1, _KNOTS))
    parts = {
        "code_mean": _plain(mean),
        "code_scale": _plain(scale),
        "kinds": names,
        "counts": [sizes[name] for name in names],
        "distances": _plain(ladder),
    }
    return Book(centres.astype(np.float16).astype(np.float64), parts)


def fit(
    records: Sequence[Mapping[str, Any]], book: Book, evidence: Path, level: float
) -> tuple[dict[str, Any], dict[str, float]]:
    """The parts of a table, and how it does on families left out: spearman, coverage, width, mean_error, auc.

    records: of `liftform evaluate trust`, with "signals", "code", "f@0.1", "family" and "weight". evidence: folder of
    their vertex evidence.
    """
    from scipy.stats import spearmanr

    table = familiarity.Table(book.centres, book.parts)
    rows = [{**r["signals"], "unfamiliar": table.likeness(np.array(r["code"])).distance} for r in records]
    names = [n for n in sorted(set().union(*rows)) if len({row.get(n) for row in rows}) > 1]
    values = np.array([[row.get(n, np.nan) for n in names] for row in rows])
    knots = np.nanquantile(values, np.linspace(0, 1, _KNOTS), axis=0)
    x = familiarity.ranked(values, knots)
    y = np.array([r["f@0.1"] for r in records])
    weight = np.array([r["weight"] for r in records])
    group = folds([r["family"] for r in records], _FOLDS)
    trouble = np.array([name in TROUBLE for name in names])
    guess, penalty = chosen_penalty(x, y, weight, group, trouble)
    offset, slopes = ridge(x, y, weight, penalty, trouble)
    spread = _spread(guess, y - guess, weight)
    scaled = (y - guess) / familiarity.spread_of(guess, spread)
    families = np.array([r["family"] for r in records])
    masked = np.array([row.get("mask_estimated", 0.0) > 0.5 for row in rows])
    quantiles = {}
    for key, chosen in (("given", ~masked), ("estimated", masked)):
        enough = chosen if _enough(families[chosen]) else np.full(len(y), True)
        quantiles[key] = tail_quantiles(scaled, weight, families, level, enough)
    vertex, near = _vertices(records, guess, evidence, group)
    good, poor = thresholds(guess, y, weight)
    parts = {
        **book.parts,
        "signals": names,
        "knots": [_plain(row) for row in knots],
        "offset": round(offset, 5),
        "weights": _plain(slopes),
        "spread": _plain(spread),
        "quantiles": quantiles,
        "vertex_offset": vertex[0],
        "vertex_weights": vertex[1:],
        "good": good,
        "poor": poor,
        "level": level,
        "predictions": len(y),
        "families": len(set(families)),
    }
    sides = np.array([quantiles["estimated" if m else "given"] for m in masked])
    low, high = guess + sides.T * familiarity.spread_of(guess, spread)
    inside = (y >= low) & (y <= high)
    held = {
        "spearman": float(spearmanr(guess, y).statistic),
        "coverage": float(np.average(inside, weights=weight)),
        "width": float(np.average(high - low, weights=weight)),
        "mean_error": float(np.average(np.abs(y - guess), weights=weight)),
        "mean_error_of_the_mean": float(np.average(np.abs(y - np.average(y, weights=weight)), weights=weight)),
        "penalty": penalty,
        "vertex_auc": near,
    }
    return parts | {"held_out": {name: round(value, 4) for name, value in held.items()}}, held


def folds(families: Sequence[str], count: int) -> NDArray[np.int64]:
    """The fold of each record: families whole, the largest first, each to the emptiest fold."""
    sizes = Counter(families)
    filled, place = [0] * count, {}
    for family in sorted(sizes, key=lambda f: (-sizes[f], f)):
        place[family] = int(np.argmin(filled))
        filled[place[family]] += sizes[family]
    return np.array([place[family] for family in families])


def ridge(
    x: Floats, y: Floats, weight: Floats, penalty: float, falling: NDArray[np.bool_] | None = None
) -> tuple[float, Floats]:
    """Offset and slopes (S,) of the weighted least squares with ``penalty`` on the slopes; those of the ``falling``
    inputs (S,) never rise above 0."""
    from scipy.optimize import lsq_linear

    mean_x, mean_y = np.average(x, axis=0, weights=weight), float(np.average(y, weights=weight))
    root = np.sqrt(weight)[:, None]
    a = np.concatenate([(x - mean_x) * root, np.sqrt(penalty) * np.eye(x.shape[1])])
    b = np.concatenate([(y - mean_y) * root[:, 0], np.zeros(x.shape[1])])
    top = np.full(x.shape[1], np.inf) if falling is None else np.where(falling, 1e-12, np.inf)
    slopes = lsq_linear(a, b, (-np.inf, top), method="bvls").x if np.isfinite(top).any() else np.linalg.lstsq(a, b)[0]
    slopes = slopes if falling is None else np.where(falling, np.minimum(slopes, 0.0), slopes)
    return mean_y - float(mean_x @ slopes), slopes


def chosen_penalty(
    x: Floats, y: Floats, weight: Floats, group: NDArray[np.int64], falling: NDArray[np.bool_]
) -> tuple[Floats, float]:
    """Estimates (N,) of every record by a ridge that never saw its fold, at the penalty that makes them best."""
    best: tuple[float, Floats, float] | None = None
    for penalty in _PENALTIES:
        guess = np.zeros(len(y))
        for fold in np.unique(group):
            out = group == fold
            offset, slopes = ridge(x[~out], y[~out], weight[~out], penalty, falling)
            guess[out] = offset + x[out] @ slopes
        error = float(np.average((guess - y) ** 2, weights=weight))
        if best is None or error < best[0]:
            best = (error, guess, penalty)
    assert best is not None
    return np.clip(best[1], 0, 1), best[2]


def tail_quantiles(
    scaled: Floats, weight: Floats, families: NDArray[Any], level: float, chosen: NDArray[np.bool_]
) -> list[float]:
    """Lower and upper scaled residual between which ``level`` of the results lie, tails alike.

    Every family counts once beside its origin's weight; the finite number of families widens the tails.
    """
    number = len(set(families[chosen]))
    tail = max(0.0, (1 - level) / 2 - level / (2 * number))
    r, w = scaled[chosen], weight[chosen]
    order = np.argsort(r)
    place = (np.cumsum(w[order]) - 0.5 * w[order]) / w.sum()
    return [round(float(np.interp(q, place, r[order])), 4) for q in (tail, 1 - tail)]


def thresholds(guess: Floats, y: Floats, weight: Floats) -> tuple[float, float]:
    """(good, poor): from the first estimate up most results truly reach GOOD_F, below the second most miss POOR_F.

    Where the results never are that sure, the best and the worst twentieth.
    """
    order = np.argsort(guess)
    g, right, wrong, w = guess[order], y[order] >= GOOD_F, y[order] < POOR_F, weight[order]
    enough = 0.05 * w.sum()
    above, below = np.cumsum(w[::-1])[::-1], np.cumsum(w)
    sure = (np.cumsum((w * right)[::-1])[::-1] / above >= _SURE) & (above >= enough)
    lost = (np.cumsum(w * wrong) / below >= _SURE) & (below >= enough)
    good = g[sure].min() if sure.any() else np.quantile(g, 0.95)
    poor = g[lost].max() if lost.any() else np.quantile(g, 0.05)
    return round(float(good), 4), round(min(float(poor), float(good)), 4)


def _spread(guess: Floats, error: Floats, weight: Floats) -> list[float]:
    """(constant, slope) of the logarithm of the absolute error against the estimate."""
    offset, slope = ridge(guess[:, None], np.log(np.abs(error) + 0.02), weight, 1.0)
    return [round(offset, 5), round(float(slope[0]), 5)]


def _enough(families: NDArray[Any]) -> bool:
    return len(set(families)) >= 12


def _vertices(
    records: Sequence[Mapping[str, Any]], guess: Floats, folder: Path, group: NDArray[np.int64]
) -> tuple[list[float], float]:
    """Offset and weights of the vertex model, and the area under its ROC curve on families left out."""
    from scipy.stats import rankdata

    inputs, near, fold, weight = [], [], [], []
    for record, f, g in zip(records, guess, group, strict=True):
        with np.load(folder / f"{record['id']}.npz") as file:
            inputs.append(familiarity.vertex_inputs(file["evidence"].astype(np.float64), float(f)))
            near.append(file["error"] < familiarity.NEAR)
        fold.append(np.full(len(near[-1]), g))
        weight.append(np.full(len(near[-1]), record["weight"]))
    x, y, k, w = (np.concatenate(part) for part in (inputs, near, fold, weight))
    score = np.zeros(len(y))
    for one in np.unique(k):
        model = logistic(x[k != one], y[k != one], w[k != one], VERTEX_SIGNS)
        score[k == one] = model[0] + x[k == one] @ model[1:]
    ranks = rankdata(score)
    pairs = max(int(y.sum()) * int((~y).sum()), 1)
    auc = float((ranks[y].sum() - y.sum() * (y.sum() + 1) / 2) / pairs)
    return [round(float(v), 5) for v in logistic(x, y, w, VERTEX_SIGNS)], auc


def logistic(x: Floats, y: NDArray[np.bool_], weight: Floats, signs: Sequence[int] = ()) -> Floats:
    """Offset and weights (1 + K,) of a weighted logistic regression, slightly damped.

    signs (K,): 1 holds an input's weight from 0 up, -1 from 0 down, 0 leaves it free; none given leaves all free.
    """
    from scipy.optimize import minimize

    a = np.concatenate([np.ones((len(x), 1)), x], 1)
    w = weight / weight.sum()

    def loss(beta: Floats) -> tuple[float, Floats]:
        z = a @ beta
        value = float(w @ (np.logaddexp(0, z) - z * y)) + 0.5 * _DAMPING * float(beta @ beta)
        return value, a.T @ (w * (1 / (1 + np.exp(-z)) - y)) + _DAMPING * beta

    limits = [
        (None, None),
        *({1: (0, None), -1: (None, 0)}.get(sign, (None, None)) for sign in signs or [0] * x.shape[1]),
    ]
    return np.asarray(minimize(loss, np.zeros(a.shape[1]), jac=True, method="L-BFGS-B", bounds=limits).x)


def _plain(values: Any) -> list[float]:
    return [float(f"{v:.5g}") for v in np.asarray(values, np.float64)]
