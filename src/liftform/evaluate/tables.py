"""Tables of an evaluation: scores beside the floors, fidelity, health, camera and cost; terminal and Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..files import whole_file
from .protocols import Evaluation, Record

if TYPE_CHECKING:
    from rich.table import Table

#: What the silhouette inflated to circular cross-sections reaches on the whole bench, without any learning; measured
#: by the bench's authors with its own scorer (the bench's README, "FLOORS").
FLOORS: dict[str, dict[str, float]] = {
    "all": {"cd": 0.0957, "f@0.05": 0.417, "f@0.1": 0.663, "f@0.2": 0.876, "posed_f@0.1": 0.539},
    "scans": {"cd": 0.0864, "f@0.05": 0.434, "f@0.1": 0.698},
    "furniture": {"cd": 0.1069, "f@0.05": 0.354, "f@0.1": 0.602},
    "kits": {"cd": 0.0888, "f@0.05": 0.454, "f@0.1": 0.704},
}
FLOORS_SOURCE = "Floor: the picture's silhouette inflated to circular cross-sections, from the README of the bench."

_SCORES = ("cd", "f@0.05", "f@0.1", "f@0.2", "f@0.5", "posed_f@0.1")
_HEALTHY: dict[str, Callable[[Record], bool]] = {
    "watertight": lambda r: bool(r["watertight"]),
    "manifold": lambda r: bool(r["manifold"]),
    "outward": lambda r: bool(r["outward"]),
    "one part": lambda r: bool(r["components"] == 1),
    "no degenerate faces": lambda r: bool(r["degenerate_faces"] == 0),
    "no self-intersections": lambda r: bool(r["self_intersecting"] == 0),
}


@dataclass(frozen=True)
class Grid:
    """A plain table: title, head and rows of text."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def rich(self) -> Table:
        """For the terminal."""
        from rich import box
        from rich.table import Table

        drawn = Table(title=self.title, title_justify="left", box=box.SIMPLE_HEAD)
        for i, word in enumerate(self.head):
            drawn.add_column(word, justify="left" if i == 0 else "right")
        for row in self.rows:
            drawn.add_row(*row)
        return drawn

    def markdown(self) -> str:
        """For a page."""
        lines = [self.head, ("---", *["---:"] * (len(self.head) - 1)), *self.rows]
        return f"### {self.title}\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def grids(evaluation: Evaluation) -> list[Grid]:
    """All tables of an evaluation, the most important first; failures only where there are any."""
    made = [record for record in evaluation.records if "error" not in record]
    found = [_shape_grid(evaluation.scores), _likeness_grid(made), _health_grid(made), _cost_grid(evaluation.records)]
    failures = [(r["id"], r["error"]) for r in evaluation.records if "error" in r]
    failures += [(name, c["error"]) for name, c in evaluation.scores.get("cases", {}).items() if "error" in c]
    if failures:
        rows = tuple((name, " ".join(str(error).split())) for name, error in dict(reversed(failures)).items())
        found.append(Grid(f"Failures ({len(rows)})", ("case", "error"), rows))
    return found


def write_markdown(evaluation: Evaluation, path: str | Path, command: str) -> None:
    """Write the tables as a Markdown page that names the command which made them; raises OutputError."""
    text = "\n".join(grid.markdown() for grid in grids(evaluation))
    page = f"# Scoreboard: one picture to an object\n\n    {command}\n\n{text}\n{FLOORS_SOURCE}\n"
    with whole_file(path) as beside:
        beside.write_text(page, encoding="utf-8")


def _shape_grid(scores: dict[str, Any]) -> Grid:
    rows = []
    for group, row in scores.get("table", {}).items():
        rows.append((group, str(row["n"]), str(row["failed"]), *(_figure(row.get(name)) for name in _SCORES)))
        if group in FLOORS:
            rows.append((f"  floor of {group}", "", "", *(_figure(FLOORS[group].get(name)) for name in _SCORES)))
    head = ("group", "n", "failed", "CD ↓", "F@0.05", "F@0.1", "F@0.2", "F@0.5", "posed F@0.1")
    return Grid("Shape, by the bench's scorer", head, tuple(rows))


def _likeness_grid(made: Sequence[Record]) -> Grid:
    head = ("seen from the input camera", "median", "mean", "10th percentile")
    rows = [
        ("PSNR inside mask and rendering (dB)", *_spread(_values(made, "psnr"), 10)),
        ("PSNR inside the whole mask (dB)", *_spread(_values(made, "psnr_whole_mask"), 10)),
        ("silhouette IoU", *_spread(_values(made, "iou"), 10)),
        ("share of surface seen", *_spread(_values(made, "seen"), 10)),
    ]
    return Grid("Likeness to the picture", head, tuple(rows))


def _health_grid(made: Sequence[Record]) -> Grid:
    rows = [
        (name, f"{sum(map(good, made))} of {len(made)}", f"{100 * np.mean([good(r) for r in made]):.1f} %")
        for name, good in _HEALTHY.items()
        if made
    ]
    return Grid("Health of the saved meshes", ("property", "meshes", "share"), tuple(rows))


def _cost_grid(records: Sequence[Record]) -> Grid:
    """Errors of the camera and the cost of a case."""
    rows = [
        (f"{what} error (degrees)", *_spread(np.abs(_values(records, key)), 90), _signed(_values(records, key)))
        for what, key in (("field of view", "yfov_error_deg"), ("elevation", "elevation_error_deg"))
    ]
    for what, key in (("make (s)", "seconds_make"), ("make and save (s)", "seconds")):
        rows.append((what, *_spread(_values(records, key), 90), ""))
    memory = _values(records, "peak_memory_mb")
    rows.append(("peak memory (MB)", *(3 * (f"{memory.max():.0f}",) if len(memory) else ("-", "-", "-")), ""))
    return Grid("Camera and cost", ("", "median", "mean", "90th percentile", "bias"), tuple(rows))


def _values(records: Iterable[Record], key: str) -> Any:
    return np.array([r[key] for r in records if r.get(key) is not None], np.float64)


def _spread(values: Any, percentile: int) -> tuple[str, str, str]:
    if len(values) == 0:
        return "-", "-", "-"
    return _figure(np.median(values)), _figure(values.mean()), _figure(np.percentile(values, percentile))


def _signed(values: Any) -> str:
    return f"{values.mean():+.2f}" if len(values) else "-"


def _figure(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if value >= 2 else f"{value:.4f}"
