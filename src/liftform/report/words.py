"""The report in words: a sentence on trust, and the short table that a terminal shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .done import done_words
from .gates import LEVELS, Fitness

if TYPE_CHECKING:
    from rich.table import Table

#: What a use's ``by`` says to people: what is left for hands to do.
BY = {
    "as it is": "as it is",
    "after fixing": "after fixing",
    "finished by hand": "as a start; finish it by hand",
    "by hand": "model it by hand",
}
_BY_AI = {"as it is": "AI, as it is", "after fixing": "AI, after fixing", "finished by hand": "AI, finished by hand"}
_STYLES = {"yes": "green", "with care": "yellow", "no": "red"}

#: Decisions that only the JSON tells: true of nearly every picture, and dull.
_LOADING_DETAILS = ("file type", "picture size", "working size", "colour", "alpha", "orientation")

#: What to do about a result of each verdict.
ADVICE = {
    "good": "likely close to the real thing: use it after a look",
    "fair": "right in the large, wrong in places: look at it from all sides before you use it",
    "poor": "likely wrong in large parts: take another picture, or model it by hand",
}


def trust_words(trust: Mapping[str, Any]) -> str:
    """A sentence on how far to trust a result (``mesh.metadata["trust"]``), for people."""
    if "unknown" in trust:
        return str(trust["unknown"])
    reach = f"{trust['low']:.0%} to {trust['high']:.0%} in 4 of 5 cases"
    stated = f"about {trust['f']:.0%} of the surface right to 5 % of its size ({reach})"
    because = f" ({'; '.join(trust['reasons'])})" if trust["reasons"] and trust["verdict"] != "good" else ""
    return f"{stated}: {ADVICE[trust['verdict']]}{because}"


def picture_rows(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the terminal shows of a photo set (``sets.set_facts``)."""
    rows = [("pictures", f"{facts['used']} of {facts['pictures']} used")]
    if facts["sure"] is not None:
        rows.append(("cameras", f"sure to {facts['sure']['value']:.2f} of 1 ({facts['sure']['why']})"))
    if facts["method"] is not None:
        rows.append(("method", f"{facts['method']} ({facts['origin']}{': ' + facts['why'] if facts['why'] else ''})"))
    if facts["seen_by"] is not None:
        by = facts["seen_by"]
        rows.append(("seen by", f"one picture {by['1']:.0%}, two or more {by['2']:.0%}, three or more {by['3']:.0%}"))
    return rows


def table(facts: Mapping[str, Any]) -> Table:
    """``Report.to_dict`` (or ``BareReport.to_dict``) as a short rich table, two columns without a frame."""
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    drawn.add_column(style="bold")
    drawn.add_column()
    for what, text in _rows(facts):
        drawn.add_row(what, Text(text, style="yellow" if what == "warning" else ""))
    return drawn


def hands(by: str, from_picture: bool) -> str:
    """What a use's ``by`` says to people: AI or by hand, where a network made the mesh."""
    return _BY_AI.get(by, BY[by]) if from_picture else BY[by]


def listed(title: str, rows: Sequence[tuple[str, str]]) -> Table:
    """Names and values below a title, as a rich table; nothing in them is taken for markup."""
    from rich.table import Table
    from rich.text import Text

    drawn = Table(title=Text(title), title_justify="left", box=None, show_header=False, padding=(0, 2, 0, 0))
    drawn.add_column(style="bold")
    drawn.add_column()
    for name, value in rows:
        drawn.add_row(Text(name), Text(value, style="yellow" if name == "warning" else ""))
    return drawn


def verdicts(fitness: Sequence[Fitness], from_picture: bool = False) -> Table:
    """A rich table of verdicts: use, level, a reason on each line with what helps, and who has to do it."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    drawn = Table("fit for", "", "why", "how to use it", box=box.SIMPLE_HEAD, pad_edge=False)
    for column, width in zip(drawn.columns, (15, 9, None, 14), strict=True):
        column.min_width = column.max_width = width
    for verdict in fitness:
        why = "\n".join(reason.text + (f" -> {reason.do}" if reason.do else "") for reason in verdict.reasons)
        level = Text(LEVELS[verdict.fit], style=_STYLES[verdict.fit])
        drawn.add_row(Text(verdict.use), level, Text(why), Text(hands(verdict.by, from_picture)))
    return drawn


def _rows(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the terminal shows, a line each."""
    if "asset" in facts:
        return _bare_rows(facts)
    source, mesh, surface = facts["input"], facts["mesh"], facts["surface"]
    rows = [("input", f"{source['name']}  {source['size'][0]} x {source['size'][1]} px")]
    if "pictures" in facts:
        rows = [("input", str(facts["pictures"]["name"])), *picture_rows(facts["pictures"])]
    rows += [
        (d["what"], _decision_text(d))
        for d in facts["decisions"]
        if d["value"] is not None and d["what"] not in _LOADING_DETAILS
    ]
    rows.append(("size", _extent_text(facts["scale"])))
    rows.append(("mesh", _sheet_text(mesh) if facts["kind"] == "scene" else _mesh_text(mesh)))
    if surface:
        rows.append(("surface", f"{surface['seen']:.0%} seen, {surface['invented']:.0%} invented"))
    rows += _trust_rows(facts.get("trust"))
    if facts["texture"]:
        rows.append(("texture", f"{facts['texture'][0]} x {facts['texture'][1]} px"))
    rows.append(("fit for", "; ".join(_fitness_text(f) for f in facts["fitness"] if f["fit"] != "no")))
    rows += [("not for", f"{f['use']}: {f['why']}") for f in facts["fitness"] if f["fit"] == "no"]
    rows += done_words(facts.get("done", {}))
    if facts.get("seconds"):
        rows.append(("time", _time_text(facts["seconds"])))
    return rows + [("warning", text) for text in facts["warnings"]]


def _bare_rows(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The same of an asset that is no mesh."""
    rows = [("input", str(facts["pictures"]["name"])), *picture_rows(facts["pictures"])]
    rows += [(d["what"], _decision_text(d)) for d in facts["decisions"] if d["what"] not in _LOADING_DETAILS]
    rows += [(name.replace("_", " "), _value_text(value)) for name, value in facts["asset"].items()]
    if facts.get("seconds"):
        rows.append(("time", _time_text(facts["seconds"])))
    return rows + [("warning", text) for text in facts["warnings"]]


def _trust_rows(trust: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    if not trust:
        return []
    rows = [("trust", str(trust["words"]))]
    near = trust.get("near", {})
    if "seen" in near and "invented" in near:
        rows.append(("right", f"{near['seen']:.0%} of what was seen, {near['invented']:.0%} of what was invented"))
    if "looks_like" in trust:
        rows.append(("looks like", f"{trust['looks_like']} ({trust['trained_on']:,} trained on)"))
    return rows


def _decision_text(decision: Mapping[str, Any]) -> str:
    value, note = decision["value"], decision["note"]
    if isinstance(value, dict):
        value = ", ".join(f"{key.replace('_', ' ')} {_value_text(v)}" for key, v in value.items() if v != [])
    else:
        value = _value_text(value)
    return f"{value} ({decision['origin']}{': ' + note if note else ''})"


def _value_text(value: Any) -> str:
    if isinstance(value, list):
        return " x ".join(_value_text(v) for v in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _extent_text(scale: Mapping[str, Any]) -> str:
    unit = {"metric": "m", "guess": "m by guess"}.get(scale["kind"], "units")
    return " x ".join(f"{x:.3g}" for x in scale["extent"]) + f" {unit} (width, height, depth)"


def _mesh_text(mesh: Mapping[str, Any]) -> str:
    words = [f"{mesh['faces']:,} faces"]
    words += [name if mesh[name] else f"NOT {name}" for name in ("watertight", "manifold", "outward")]
    words.append("one part" if mesh["components"] == 1 else f"{mesh['components']} parts")
    if mesh["self_intersecting"]:
        words.append(f"{mesh['self_intersecting']} self-intersections")
    return ", ".join(words)


def _sheet_text(mesh: Mapping[str, Any]) -> str:
    parts = "one sheet" if mesh["components"] == 1 else f"{mesh['components']} sheets"
    return f"{mesh['faces']:,} faces, {parts}, open as every scene from one picture"


def _fitness_text(fitness: Mapping[str, Any]) -> str:
    return str(fitness["use"]) if fitness["fit"] == "yes" else f"{fitness['use']} with care ({fitness['why']})"


def _time_text(seconds: Mapping[str, float]) -> str:
    stages = ", ".join(f"{name} {value:.2f}" for name, value in seconds.items() if name != "total")
    return f"{seconds['total']:.2f} s" + (f" ({stages})" if stages else "")
