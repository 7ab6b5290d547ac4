"""The verdict: for which use a mesh is fit, with the figure behind every reason. One judge for all of liftform.

The limits are one table (``limits.LIMITS``); docs/gates.md is drawn from it by ``liftform inspect --limits``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import UsageError
from ..recipe import suggest
from .limits import LIMITS, SOURCES, USES, Limit, Use
from .measures import FIGURES, Measures, written

#: What the three levels are called for people.
LEVELS = {"yes": "fit", "with care": "with care", "no": "not fit"}


@dataclass(frozen=True)
class Reason:
    """Why a use is not plainly fit. level: "with care" or "no". value: the figure, None when not measured; limit:
    where the level begins. text: the reason in words; do: what helps; cure: "say", "tool" or "hand"."""

    level: str
    figure: str
    value: float | None
    limit: float | None
    text: str
    do: str
    cure: str


@dataclass(frozen=True)
class Fitness:
    """Whether the asset suits one use: fit is "yes", "with care" or "no"; why is empty for a plain yes.

    by: "as it is", "after fixing" (by tools, or by saying what is unknown), "finished by hand" or "by hand" (do not
    start from this mesh). reasons: the refusing ones first.
    """

    use: str
    fit: str
    why: str = ""
    by: str = "as it is"
    reasons: tuple[Reason, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def judge(measures: Measures, uses: Sequence[Use] | None = None) -> tuple[Fitness, ...]:
    """A verdict for every use of the mesh's kind, or for the given ones, in the order of the table."""
    figures = measures.figures()
    asked = [use for use in USES if measures.kind in use.kinds] if uses is None else uses
    return tuple(_judged(use, figures) for use in asked)


def chosen(names: Iterable[str]) -> tuple[Use, ...]:
    """The uses of these names: "print", "3D print", "e-commerce". Raises UsageError with a suggestion."""
    known = {_plain(name): use for use in USES for name in (use.title, use.key) if "object" in use.kinds}
    found = []
    for name in names:
        if _plain(name) not in known:
            keys = [use.key for use in USES if "object" in use.kinds]
            raise UsageError(f"no use named {name.strip()!r}", suggest(name.strip(), keys))
        found.append(known[_plain(name)])
    return tuple(dict.fromkeys(found))


def page() -> str:
    """Every limit and its source as Markdown: what docs/gates.md holds below its introduction."""
    return "\n".join(_page_lines()) + "\n"


def _judged(use: Use, figures: dict[str, float | None]) -> Fitness:
    found = [reason for limit in LIMITS if limit.use == use.key and (reason := _reason(limit, figures))]
    found.sort(key=lambda reason: reason.level != "no")
    worst = "yes" if not found else "no" if found[0].level == "no" else "with care"
    why = ", ".join(reason.text + (f": {reason.do}" if reason.cure == "say" else "") for reason in found)
    return Fitness(use.title, worst, why, _by(found), tuple(found))


def _by(reasons: Sequence[Reason]) -> str:
    """Who has to do what before the mesh serves."""
    if not reasons:
        return "as it is"
    by_hand = [reason for reason in reasons if reason.cure == "hand"]
    if any(reason.level == "no" for reason in by_hand):
        return "by hand"
    return "finished by hand" if by_hand else "after fixing"


def _reason(limit: Limit, figures: dict[str, float | None]) -> Reason | None:
    """What one limit has to say of these figures; None when it is kept."""
    value = figures.get(limit.figure)
    if value is None:
        unknown = limit.unknown
        return Reason("with care", limit.figure, None, None, unknown, limit.do, limit.cure) if unknown else None
    for level, bound in (("no", limit.refuse), ("with care", limit.care)):
        if bound is not None and (value < bound if limit.below else value > bound):
            shown = {"value": written(limit.figure, value), "limit": written(limit.figure, bound)}
            return Reason(level, limit.figure, value, bound, limit.says.format(**shown), limit.do, limit.cure)
    return None


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _page_lines() -> Iterator[str]:
    for use in USES:
        yield f"### {use.title}{' (of a scene)' if 'object' not in use.kinds else ''}"
        yield ""
        flag = f" `--for {use.key}`" if "object" in use.kinds else ""
        yield f"{use.what[0].upper()}{use.what[1:]}.{flag}"
        yield ""
        rows = [limit for limit in LIMITS if limit.use == use.key]
        if not rows:
            yield "Always fit.\n"
            continue
        yield "| figure | with care | not fit | what helps | source |"
        yield "|---|---|---|---|---|"
        yield from (_row(limit) for limit in rows)
        yield ""
    yield "### Sources"
    yield ""
    yield from (f"- **{key}**: {text}." for key, text in SOURCES.items())


def _row(limit: Limit) -> str:
    title = FIGURES[limit.figure][0]
    cells = [_bound(limit, limit.care), _bound(limit, limit.refuse)]
    if limit.unknown:
        cells[0] += " or not measured"
    helps = {"say": "{}", "tool": "{}", "hand": "{} (by hand)"}[limit.cure].format(limit.do or "nothing")
    return f"| {title} | {cells[0]} | {cells[1]} | {helps} | {limit.source} |"


def _bound(limit: Limit, bound: float | None) -> str:
    if bound is None:
        return "never"
    if limit.figure == "always":
        return "always"
    if limit.figure == "size_known":
        return {1: "not stated", 0.5: "unknown or guessed", 0.2: "unknown"}[bound]
    if FIGURES[limit.figure][1] == "yes":
        return "yes"
    return f"{'below' if limit.below else 'above'} {written(limit.figure, bound)}"
