"""What was observed, what was invented, what the asset is fit for: JSON beside the asset, a table, a page.

``report`` gathers the facts of one result of ``make``; ``measure`` and ``judge`` work on any mesh; ``html.page`` draws
either as one self-contained file.
"""

from __future__ import annotations

from .facts import Report, report, scene_warnings, warnings
from .gates import Fitness, Reason, judge
from .measures import Measures, measure
from .words import table, trust_words

__all__ = [
    "Fitness",
    "Measures",
    "Reason",
    "Report",
    "judge",
    "measure",
    "report",
    "scene_warnings",
    "table",
    "trust_words",
    "warnings",
]
