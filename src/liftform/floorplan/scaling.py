"""A plan made larger or smaller in the plane."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from typing import Any, TypeVar

from .types import Plan, Storey

_T = TypeVar("_T")
_LENGTHS = {"a", "b", "polygon", "path", "holes", "thickness"}


def scaled(plan: Plan, factor: float) -> Plan:
    """Everything drawn, times a factor; heights stay."""
    return replace(plan, storeys=tuple(_storey(storey, factor) for storey in plan.storeys))


def _storey(storey: Storey, factor: float) -> Storey:
    kinds = ("walls", "openings", "rooms", "stairs", "columns", "fixtures")
    parts: dict[str, Any] = {kind: tuple(_part(part, factor) for part in getattr(storey, kind)) for kind in kinds}
    rows = tuple((a / factor, b / factor, c) for a, b, c in storey.sheet_from_m)
    return replace(storey, sheet_from_m=rows, **parts)


def _part(part: _T, factor: float) -> _T:
    names = [f.name for f in dataclasses.fields(part) if f.name in _LENGTHS]  # type: ignore[arg-type]
    changes = {name: _times(getattr(part, name), factor) for name in names}
    new: _T = replace(part, **changes)  # type: ignore[type-var]
    return new


def _times(value: Any, factor: float) -> Any:
    return tuple(_times(item, factor) for item in value) if isinstance(value, tuple) else value * factor
