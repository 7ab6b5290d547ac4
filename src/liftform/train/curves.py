"""The log of a training run as CSV, and its curves as a picture."""

from __future__ import annotations

import csv
import os
from pathlib import Path


def write_log(rows: list[dict[str, float]], path: Path) -> None:
    """The log as CSV; columns that a row lacks stay empty."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    part = path.with_suffix(".part")
    with part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: f"{v:.6g}" for k, v in row.items()} for row in rows)
    os.replace(part, path)


def draw_curve(rows: list[dict[str, float]], path: Path) -> None:
    """The losses (left) and the validation scores (right) over steps, as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    apart = ("step", "seconds", "lr", "skipped")
    columns = list(dict.fromkeys(key for row in rows for key in row if key not in apart))
    for key in columns:
        pairs = [(row["step"], row[key]) for row in rows if key in row]
        axes, style = (right, "o-") if key.startswith("val_") else (left, "-")
        axes.plot(*zip(*pairs, strict=True), style, label=key, linewidth=1, markersize=3)
    left.set_yscale("log")
    for axes, title in ((left, "training losses"), (right, "validation")):
        axes.set_title(title)
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize=7)
    part = path.with_suffix(".part")
    figure.savefig(part, format="png", dpi=110)
    os.replace(part, path)
