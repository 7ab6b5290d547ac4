"""What the report says of a photo set: pictures used and left out, how sure the cameras are, the way taken, and why."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..assets import Model
from ..capture import Capture, Decision
from .facts import Report, plain, report
from .sighted import shares
from .words import table

if TYPE_CHECKING:
    from rich.table import Table

#: Decisions that name pictures to look at, and those that the report tells in its own words.
_DOUBTS = ("not placed", "apart", "weakly placed", "repeated parts", "left out")
_RETOLD = ("scale", "method", "sure", "poses")
#: Below this certainty the cameras are worth a warning; and below this share seen by two pictures, the surface is.
_SURE, _CONFIRMED = 0.3, 0.6


def set_facts(name: str, capture: Capture, seen_by: Mapping[str, float] | None = None) -> dict[str, Any]:
    """JSON-ready: name, pictures, used, doubts, sure, method, why, metric; seen_by: shares of the surface that at least
    so many pictures see."""
    last = {decision.what: decision for decision in capture.decisions}
    sure, method = last.get("sure"), last.get("method")
    return {
        "name": name,
        "pictures": len(capture.photos),
        "used": sum(photo.camera is not None for photo in capture.photos),
        "doubts": {d.what: f"{d.value} ({d.note})" for d in capture.decisions if d.what in _DOUBTS},
        "sure": None if sure is None else {"value": sure.value, "why": sure.note},
        "method": None if method is None else method.value,
        "origin": "" if method is None else method.origin,
        "why": "" if method is None else method.note,
        "metric": capture.metric,
        "seen_by": None if seen_by is None else dict(seen_by),
    }


def set_warnings(facts: Mapping[str, Any]) -> list[str]:
    """What to look at before the asset is trusted, one plain line each."""
    found = [f"{what}: {text}" for what, text in facts["doubts"].items()]
    sure, seen = facts["sure"], facts["seen_by"]
    if sure is not None and sure["value"] < _SURE:
        found.append(f"the cameras are uncertain ({sure['value']:.2f} of 1): {sure['why']}")
    if seen is not None and seen["2"] < _CONFIRMED:
        found.append(f"two or more pictures confirm only {seen['2']:.0%} of the surface")
    if not facts["metric"]:
        found.append("the size is unknown: give --distance a.jpg,b.jpg=1.2m, or --height")
    return found


def set_report(
    model: Model,
    world: Capture,
    capture: Capture,
    name: str,
    seconds: Mapping[str, float],
    recipe_digest: str,
    seen_by: Mapping[str, float] | None = None,
) -> Report:
    """The report of a mesh from a set. world: the photos that were used; capture: all, with what was decided.

    seen_by: see ``sighted.shares``, of the surface in the cameras' world.
    """
    facts = set_facts(name, capture, seen_by)
    decisions = tuple(d for d in capture.decisions if d.what not in _RETOLD)
    bare = replace(world.photo, mask=None, depth=None)  # what it says of one picture's mask is not true of a set's
    found = report(model, Capture((bare,), decisions), seconds, recipe_digest)
    known = facts["metric"] or found.scale != "unknown"
    said = set_warnings({**facts, "metric": known})
    return replace(found, pictures=facts, warnings=(*said, *found.warnings))


def confirmed(model: Model, world: Capture) -> dict[str, float]:
    """``sighted.shares`` of a mesh in the cameras' world."""
    return shares(model.mesh, world.photos)


@dataclass(frozen=True)
class BareReport:
    """All that is known of an asset that is no mesh: a field, splats, a cloud of points. kind names which."""

    kind: str
    pictures: Mapping[str, Any]
    asset: Mapping[str, Any]
    decisions: tuple[Decision, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    files: Mapping[str, int] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    recipe_digest: str = ""

    def to_dict(self, times: bool = True) -> dict[str, Any]:
        """Plain, JSON-ready facts in a fixed order; without ``times`` equal results give equal facts."""
        facts: dict[str, Any] = {
            "liftform": __version__,
            "recipe_digest": self.recipe_digest,
            "pictures": dict(self.pictures),
            "decisions": [vars(decision) for decision in self.decisions],
            "kind": self.kind,
            "asset": dict(self.asset),
            "warnings": list(self.warnings),
            "files": dict(self.files),
            "recipe": dict(self.recipe),
        }
        if times:
            facts["seconds"] = {**self.seconds, "total": sum(self.seconds.values())}
        rounded: dict[str, Any] = plain(facts)
        return rounded

    def to_json(self, times: bool = True) -> str:
        """``to_dict`` as indented text ending in a newline."""
        return json.dumps(self.to_dict(times), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def sized(self, file_bytes: int) -> BareReport:
        """The same: nothing is judged by the size of its file."""
        return self

    def table(self) -> Table:
        """A short table for the terminal."""
        return table(self.to_dict())


def bare_report(
    kind: str, asset: Mapping[str, Any], capture: Capture, name: str, seconds: Mapping[str, float], recipe_digest: str
) -> BareReport:
    """The report of an asset that is no mesh; asset: its figures."""
    facts = set_facts(name, capture)
    decisions = tuple(d for d in capture.decisions if d.what not in _RETOLD)
    return BareReport(kind, facts, asset, decisions, seconds, tuple(set_warnings(facts)), recipe_digest=recipe_digest)
