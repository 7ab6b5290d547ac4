"""Where the data lean: score by kind of object beside how much of that kind was trained on, as a page and a plot."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputNotFoundError
from ..files import whole_file
from ..runtime import need
from .tables import Grid

#: Bench cases below which a category is put together with the others of its origin.
_FEWEST = 4


@dataclass(frozen=True)
class Leaning:
    """One category: where it comes from, objects and families trained on, bench cases, mean F@0.1, its spread."""

    origin: str
    category: str
    trained: int
    families: int
    cases: int
    f: float
    spread: float


def leanings(scores: Mapping[str, float], manifest: Path) -> list[Leaning]:
    """Scores (id -> F@0.1) of split "bench" gathered by origin and category, beside the counts of split "train".

    Categories of fewer than four scored cases are put together as "others". Raises InputNotFoundError.
    """
    if not manifest.is_file():
        raise InputNotFoundError(f"{manifest}: no such manifest", "give the corpus's manifest.jsonl")
    rows = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines() if line.strip()]
    scored: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in rows:
        if row["split"] == "bench" and row["id"] in scores:
            scored[place_of(row)].append(scores[row["id"]])
    kept = {place for place, values in scored.items() if len(values) >= _FEWEST}

    def home(row: Mapping[str, Any]) -> tuple[str, str]:
        place = place_of(row)
        return place if place in kept else (place[0], "others")

    cases: dict[tuple[str, str], list[float]] = defaultdict(list)
    trained: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in rows:
        if row["split"] == "bench" and row["id"] in scores:
            cases[home(row)].append(scores[row["id"]])
        elif row["split"] == "train":
            trained[home(row)].append(row["family"])
    return sorted(
        (
            Leaning(*place, len(trained[place]), len(set(trained[place])), len(f), float(np.mean(f)), float(np.std(f)))
            for place, f in cases.items()
        ),
        key=lambda leaning: (-leaning.trained, leaning.origin, leaning.category),
    )


def place_of(row: Mapping[str, Any]) -> tuple[str, str]:
    """(origin, category) of a row of the manifest: kits, furniture, scans or models, and its own category."""
    source = str(row["source"])
    kits = source.startswith(("quaternius", "kenney", "kaykit", "market"))
    origin = "scans" if row.get("scan") else "furniture" if "sweethome" in source else "kits" if kits else "models"
    words = str(row.get("category") or "").replace("_", " ").split("/")[0].strip().lower()
    return origin, words or "without category"


def grid(found: Sequence[Leaning]) -> Grid:
    """The table, the most trained on first."""
    rows = tuple(
        (f"{x.origin}: {x.category}", str(x.trained), str(x.families), str(x.cases), f"{x.f:.3f}", f"{x.spread:.3f}")
        for x in found
    )
    head = ("category", "trained on", "families", "bench cases", "F@0.1", "spread")
    return Grid("Score by what was trained on", head, rows)


def correlation(found: Sequence[Leaning]) -> float:
    """Spearman correlation of families trained on and F@0.1 over the categories; NaN for fewer than three."""
    from scipy.stats import spearmanr

    if len(found) < 3:
        return float("nan")
    return float(spearmanr([x.families for x in found], [x.f for x in found]).statistic)


def write_page(found: Sequence[Leaning], page: Path, plot: Path, command: str) -> None:
    """The page with its plot beside it; needs matplotlib (extra "train"). Raises OutputError, MissingExtraError."""
    draw(found, plot)
    strength = correlation(found)
    text = (
        "# Where the data lean\n\n"
        f"    {command}\n\n"
        "How well objects of the bench come out, by kind, beside how many objects of that kind (and families, which\n"
        "count more) were trained on. Kinds of fewer than four bench cases are put together as \"others\".\n\n"
        f"Spearman correlation of families trained on and F@0.1 over these {len(found)} kinds: {strength:.2f}.\n\n"
        f"![F@0.1 by training families]({_beside(plot, page)})\n\n{grid(found).markdown()}"
    )  # fmt: skip
    with whole_file(page) as beside:
        beside.write_text(text, encoding="utf-8")


def draw(found: Sequence[Leaning], path: Path) -> None:
    """F@0.1 against training families, a dot a category, its area by the bench cases."""
    need("matplotlib", "train")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    # Okabe and Ito's colours, apart for the colour-blind too.
    colours = {"kits": "#0072B2", "furniture": "#D55E00", "scans": "#009E73", "models": "#CC79A7"}
    for origin, colour in colours.items():
        group = [x for x in found if x.origin == origin]
        axes.scatter(
            [max(x.families, 0.5) for x in group], [x.f for x in group], [12 * x.cases for x in group], colour,
            alpha=0.7, label=origin, linewidths=0,
        )  # fmt: skip
        for x in group:
            axes.annotate(
                x.category, (max(x.families, 0.5), x.f), fontsize=6, xytext=(4, 2), textcoords="offset points"
            )
    axes.set(xscale="log", xlabel="families trained on", ylabel="F@0.1 on the bench")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, markerscale=0.5)
    with whole_file(path) as beside:
        figure.savefig(beside, metadata={"Software": None})


def _beside(plot: Path, page: Path) -> str:
    import os

    return Path(os.path.relpath(plot, page.parent)).as_posix()
