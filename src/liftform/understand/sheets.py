"""Sheets of a drawing -> one plan: which storeys are meant, and what the user says about their scale."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..floorplan import Plan, Scale
from ..lengths import metres
from ..recipe import option
from ..runtime import Runtime

if TYPE_CHECKING:
    from ..drawing.sheet import Sheet


@dataclass(frozen=True)
class PlanOptions:
    """What is said about the drawing, and which part of it is wanted."""

    scale: str | None = option(
        None, 'the scale of the sheet: "1:50", "1/4in=1ft", or metres per unit (pixel, point) as a number', "scale"
    )
    wall: float | None = option(
        None, 'the true length of the longest wall, where no scale is printed: "3.20m"', "wall", low=0.1, length=True
    )
    page: str | None = option(None, "pages of a PDF that show the plan, as in 1 or 2-4 (default: all)", "page")
    storey: int | None = option(None, "build one storey alone, counted from 1", "storey", low=1, high=200)

    @property
    def pages(self) -> tuple[int, ...] | None:
        """The pages that were named, counted from 1, or None; raises UsageError for anything but numbers and ranges."""
        if self.page is None:
            return None
        found: list[int] = []
        for part in str(self.page).split(","):
            match = re.fullmatch(r"\s*(\d{1,4})\s*(?:-\s*(\d{1,4})\s*)?", part)
            first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
            if not 1 <= first <= last:
                raise UsageError(f"page {self.page!r} names no pages", "write 1, 2-4 or 1,3")
            found += range(first, last + 1)
        return tuple(dict.fromkeys(found))


def plan(options: PlanOptions, runtime: Runtime) -> Callable[[Sequence[Sheet]], Plan]:
    """A backend that reads sheets, the lowest storey first, into one plan in metres.

    A scale that is given holds for all sheets.

    Raises NothingFoundError where no sheet shows a plan, UsageError for a scale that says nothing.
    """
    from .plan.read import plan as read

    def estimate(sheets: Sequence[Sheet]) -> Plan:
        unit = unit_said(options.scale, sheets[0].mm_per_unit) if options.scale else None
        found = read(sheets, unit)
        if options.wall:
            found = read(sheets, _unit(found) * options.wall / longest_wall(found))
        return chosen(found, options.storey)

    return estimate


def unit_said(text: str, mm_per_unit: float | None) -> float:
    """Metres per unit of the sheet from what the user says; raises UsageError."""
    words = text.strip().lower()
    try:
        number = float(words)
    except ValueError:
        number = math.nan
    if number > 0 and math.isfinite(number):
        return number
    ratio = ratio_said(words)
    if ratio is None:
        raise UsageError(f"scale {text!r} is none", 'write "1:50", "1/4in=1ft" or metres per unit of the sheet')
    if mm_per_unit is None:
        raise UsageError(
            f"scale {text!r}: how large this picture is on paper is not known", 'say --wall "3.20m" instead'
        )
    return ratio * mm_per_unit / 1000


def ratio_said(text: str) -> float | None:
    """50.0 of "1:50" and 48.0 of "1/4in = 1ft" or 1/4" = 1'-0"; None for anything else."""
    match = re.fullmatch(r"1\s*[:/]\s*(\d+(?:\.\d+)?)", text)
    if match:
        return float(match[1]) or None
    left, equals, right = text.partition("=")
    if not equals:
        return None
    try:
        return _length(right) / _length(left)
    except (UsageError, ZeroDivisionError, ValueError):
        return None


def _length(text: str) -> float:
    """A length that may be a fraction: 1/4in, 1 1/2", 1'-0"."""
    match = re.fullmatch(r"\s*(?:(\d+)\s+)?(\d+)\s*/\s*(\d+)\s*(\D+)", text)
    if not match:
        return metres(text.replace("-", " ").strip())
    return (int(match[1] or 0) + int(match[2]) / int(match[3])) * metres(f"1{match[4].strip()}")


def longest_wall(plan: Plan) -> float:
    """Length in metres of the longest wall, as it is taken for now."""
    return max((math.dist(w.a, w.b) for s in plan.storeys for w in s.walls), default=1.0)


def _unit(plan: Plan) -> float:
    """Metres per unit that a plan was read with, even where they were only assumed."""
    rows = plan.storeys[0].sheet_from_m
    return plan.scale.metres_per_unit or (1 / math.hypot(rows[0][0], rows[1][0]) if rows else 1.0)


def chosen(plan: Plan, storey: int | None) -> Plan:
    """The plan with one of its storeys alone; raises UsageError where there is no such one."""
    if storey is None:
        return plan
    if storey > len(plan.storeys):
        raise UsageError(f"there is no storey {storey}", f"the plan has {len(plan.storeys)}")
    return replace(plan, storeys=(plan.storeys[storey - 1],))


def rescaled(plan: Plan, wall: float | None) -> Plan:
    """A plan that is in metres already, made so large that its longest wall has a length."""
    if wall is None:
        return plan
    from ..floorplan.scaling import scaled

    said = Scale(1.0, "given", confidence=1.0)
    return replace(scaled(plan, wall / longest_wall(plan)), scale=said)
