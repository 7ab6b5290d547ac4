"""What an evaluation of trust shows: tables, a page, and the most and least trusted results in one picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..files import whole_file
from .contact import stacked, strip
from .protocols import Record
from .tables import Grid
from .trust import Judged, figures, verdicts, vertex_bins

#: What the issue of trust asks of the bench.
_WANTED = {"spearman": "at least 0.5", "coverage": "0.75 to 0.85"}
_WORDS = {
    "cases": "cases",
    "spearman": "Spearman correlation of estimated and true F@0.1",
    "coverage": "share of true values inside the 80 % interval",
    "below": "share below it",
    "above": "share above it",
    "width": "mean width of the interval",
    "mean_error": "mean absolute error of the estimate",
    "bias": "mean of estimate minus truth",
    "auc": "a near vertex is trusted more than a far one (AUC)",
    "near_stated": "share of the surface said to lie within 5 %",
    "near_measured": "share of the surface that lies within 5 %",
}


def grids(judged: Sequence[Judged], records: Sequence[Record]) -> list[Grid]:
    """Figures, verdicts, confidence of vertices, and failures where there are any."""
    found = figures(judged)
    rows = tuple(
        (words, _figure(found[name]), _WANTED.get(name, "")) for name, words in _WORDS.items() if name in found
    )
    said = tuple(
        (word, str(count), f"{stated:.3f}", f"{true:.3f}") for word, (count, stated, true) in verdicts(judged).items()
    )
    bins = tuple(
        (f"{low:.2f} to {high:.2f}", f"{count:,}", f"{stated:.3f}", f"{near:.3f}", f"{100 * error:.1f} %")
        for low, high, count, stated, near, error in vertex_bins(judged)
    )
    tables = [
        Grid("Trust in whole results", ("figure", "value", "wanted"), rows),
        Grid("Verdicts", ("verdict", "cases", "estimated F@0.1", "true F@0.1"), said),
    ]
    if bins:
        head = ("confidence", "vertices", "mean confidence", "within 5 % of the size", "median error")
        tables.append(Grid("Confidence of vertices", head, bins))
    failed = tuple((r["id"], " ".join(str(r["error"]).split())) for r in records if "error" in r)
    return [*tables, Grid(f"Failures ({len(failed)})", ("case", "error"), failed)] if failed else tables


def extremes(
    judged: Sequence[Judged],
    images: Mapping[str, str],
    path: str | Path,
    count: int = 5,
    make: Callable[..., Any] | None = None,
    size_px: int = 200,
) -> None:
    """The ``count`` most (left) and least trusted results side by side in one picture, the extremes first."""
    from ..pipeline import make as default

    ranked = sorted(judged, key=lambda j: (-j.estimate.f, j.id))
    pairs = zip(ranked[:count], ranked[::-1][:count], strict=True)
    strips = [
        strip(images[j.id], make or default, size_px, f"said {j.estimate.f:.2f}, true {j.true:.2f}")[0]
        for pair in pairs
        for j in pair
    ]
    with whole_file(path) as beside:
        stacked(strips, 2).save(beside, optimize=True, quality=88)


def write_page(judged: Sequence[Judged], records: Sequence[Record], path: str | Path, command: str) -> None:
    """The tables as a Markdown page that names its command; raises OutputError."""
    text = "\n".join(grid.markdown() for grid in grids(judged, records))
    with whole_file(path) as beside:
        beside.write_text(f"# Does it know when it is wrong?\n\n    {command}\n\n{text}", encoding="utf-8")


def _figure(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.3f}"
