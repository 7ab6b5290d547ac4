"""The report as one self-contained page: verdicts, pictures, figures, decisions; nothing is loaded from outside."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files as package_files
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..assets import Mesh, Model
from ..capture import Decision, Photo
from .done import done
from .gallery import gallery
from .gates import LEVELS, Fitness, Reason
from .limits import USES
from .measures import FIGURES, Measures, written
from .words import hands

if TYPE_CHECKING:
    from .pictures import Picture

#: Level of a verdict -> class of the style sheet, and a sign that does not rest on colour.
_CLASSES = {"yes": "yes", "with care": "care", "no": "no"}
_SIGNS = {"yes": "✓", "with care": "!", "no": "✕"}
#: Heading -> figures below it.
_GROUPS = {
    "Soundness": ("open_edges", "nonmanifold", "flipped", "self_intersections", "degenerate", "parts"),
    "Walls and printing": ("wall_p1", "wall_median", "wall_thin", "wall_missing", "print_from", "overhang"),
    "Standing": ("tipping", "off_floor", "off_centre", "lying"),
    "Polygons": ("faces", "quad_share", "regular", "flow", "slivers", "levels"),
    "Texture": (
        *("texture_side", "texture_memory", "materials", "density", "texels_across", "density_spread"),
        *("stretch", "uv_overlap", "uv_outside"),
    ),
}
_LONGEST = 300
#: The browser itself refuses whatever a hostile name might smuggle in: only pictures from inside the page are shown.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


@dataclass(frozen=True)
class Content:
    """What a page tells. title: of the page. mesh, measures, fitness: the asset and its verdict.

    before, before_measures: the mesh as it came, when it was changed. model: its levels and collision parts. photo:
    the picture it was made from. trust: a sentence. files: name -> bytes. Every text may be hostile.
    """

    title: str
    mesh: Mesh = field(repr=False)
    measures: Measures = field(repr=False)
    fitness: tuple[Fitness, ...]
    before: Mesh | None = field(default=None, repr=False)
    before_measures: Measures | None = field(default=None, repr=False)
    photo: Photo | None = field(default=None, repr=False)
    decisions: tuple[Decision, ...] = ()
    warnings: tuple[str, ...] = ()
    trust: str = ""
    model: Model | None = field(default=None, repr=False)
    files: Mapping[str, int] = field(default_factory=dict)


def page(content: Content) -> bytes:
    """The whole page, UTF-8; the same content gives the same bytes. Takes a second or two: pictures are rendered."""
    style = package_files(__package__).joinpath("style.css").read_text(encoding="utf-8")
    title = _text(content.title)
    body = "\n".join(part for part in _parts(content) if part)
    lines = (
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">',
        f"<title>{title} – liftform report</title>",
        f"<style>\n{style}</style></head>",
        f"<body>\n{body}\n</body></html>\n",
    )
    return "\n".join(lines).encode("utf-8", "replace")


def _parts(content: Content) -> Iterator[str]:
    yield f"<header>{_head(content)}</header>\n<main>"
    if content.warnings:
        lines = "".join(f"<li>{_text(line)}</li>" for line in content.warnings)
        yield f'{_heading("Warnings")}<ul class="warnings">{lines}</ul>'
    yield _heading("What it is fit for") + _verdicts(content.fitness, content.measures.picture)
    for group in gallery(content):
        legend = "".join(f'<li><i style="background:{color}"></i>{_text(text)}</li>' for text, color in group.legend)
        yield _heading(group.title) + (f'<ul class="legend">{legend}</ul>' if legend else "")
        yield f'<p class="soft">{_text(group.note)}</p>' if group.note else ""
        yield _pictures(group.pictures)
    yield _heading("Figures") + _figures(content)
    yield _changes(content.model or Model(content.mesh))
    yield _decisions(content.decisions)
    yield _files(content.files)
    yield "</main>"
    yield f"<footer>Drawn by liftform {_text(__version__)}. Every limit and its source: docs/gates.md.</footer>"


def _head(content: Content) -> str:
    found = content.measures
    facts = [("Size", extent(found)), ("Real size", written("size_known", found.figures()["size_known"]))]
    facts += [("Triangles", f"{found.health.faces:,}"), ("Watertight", "yes" if found.health.watertight else "no")]
    if found.file_bytes is not None:
        facts.append(("File", written("file_bytes", found.file_bytes)))
    if found.seen is not None:
        facts.append(("Surface", f"{found.seen:.0%} seen, {1 - found.seen:.0%} invented"))
    items = "".join(f"<li><b>{_text(name)}</b>{_text(value)}</li>" for name, value in facts)
    trust = f'<p class="soft">{_text(content.trust)}</p>' if content.trust else ""
    return (
        f'<h1><bdi>{_text(content.title)}</bdi></h1>{trust}{_headline(content.fitness)}<ul class="facts">{items}</ul>'
    )


def _headline(fitness: Sequence[Fitness]) -> str:
    """Three boxes: fit, with care, not fit."""
    boxes = ""
    for level, name in LEVELS.items():
        uses = [f.use for f in fitness if f.fit == level]
        if uses:
            sentence = f"{_SIGNS[level]} {name[0].upper()}{name[1:]} for"
            boxes += f'<div class="{_CLASSES[level]}"><strong>{sentence}</strong>{_text(", ".join(uses))}</div>'
    return f'<div class="headline">{boxes}</div>'


def _verdicts(fitness: Sequence[Fitness], from_picture: bool) -> str:
    """The table; of what a network made it says whether the network's work will do, or a hand is needed."""
    what = {use.title: use.what for use in USES}
    rows = ""
    for f in fitness:
        badge = f'<span class="badge {_CLASSES[f.fit]}">{_SIGNS[f.fit]} {LEVELS[f.fit]}</span>'
        reasons = "".join(f"<li>{_reason(reason)}</li>" for reason in f.reasons) or "<li>nothing stands against it</li>"
        rows += f'<tr><th scope="row">{_text(f.use)}<small>{_text(what.get(f.use, ""))}</small></th><td>{badge}</td>'
        rows += f"<td><ul>{reasons}</ul></td><td>{_text(hands(f.by, from_picture))}</td></tr>"
    head = _row_of_heads("Use", "Verdict", "Why", "AI or by hand" if from_picture else "How to use it")
    return f'<div class="scroll"><table class="verdicts"><thead>{head}</thead><tbody>{rows}</tbody></table></div>'


def _reason(reason: Reason) -> str:
    """The reason, the figure behind it, and what helps."""
    said = _text(reason.text)
    figure = FIGURES[reason.figure][0]
    shown = written(reason.figure, reason.value)
    if reason.value is not None and reason.figure != "always" and shown not in reason.text and shown != "yes":
        said += f' <span class="soft">({_text(figure)}: {_text(shown)})</span>'
    return said + (f' <span class="soft">→ {_text(reason.do)}</span>' if reason.do else "")


def _figures(content: Content) -> str:
    after = content.measures.figures()
    before = None if content.before_measures is None else content.before_measures.figures()
    tables = _size_table(content)
    for title, names in _GROUPS.items():
        rows = [
            (FIGURES[name][0], *([written(name, before.get(name))] if before else []), written(name, after.get(name)))
            for name in names
            if after.get(name) is not None or (before and before.get(name) is not None)
        ]
        tables += _table(title, rows, before is not None)
    return f'<div class="columns">{tables}</div>'


def _size_table(content: Content) -> str:
    both = [content.measures] if content.before_measures is None else [content.before_measures, content.measures]
    maps = [", ".join(f"{name} {w} × {h}" for name, (w, h) in m.look.maps.items()) or m.look.color for m in both]
    rows = [
        ("real size", *(written("size_known", m.figures()["size_known"]) for m in both)),
        ("width × height × depth", *(extent(m) for m in both)),
        ("area", *(_amount(m.health.area, m.metres, 2) for m in both)),
        ("volume", *(_amount(m.health.volume, m.metres, 3) if m.health.watertight else "open" for m in both)),
        ("colour and maps", *maps),
    ]
    return _table("Size and looks", rows, len(both) > 1)


def _table(title: str, rows: Sequence[tuple[str, ...]], compared: bool) -> str:
    """A titled table of figures; two columns of them when before and after are compared."""
    if not rows:
        return ""
    body = "".join(
        f'<tr><th scope="row">{_text(name)}</th>'
        + "".join(f'<td class="number">{_text(value)}</td>' for value in values)
        + "</tr>"
        for name, *values in rows
    )
    columns = ("before", "after") if compared else ("value",)
    numbers = "".join(f'<th scope="col" class="number">{column}</th>' for column in columns)
    table = f'<table><thead><tr><th scope="col">figure</th>{numbers}</tr></thead><tbody>{body}</tbody></table>'
    return f'<section><h3>{_text(title)}</h3><div class="scroll">{table}</div></section>'


def _changes(model: Model) -> str:
    """What the refiners noted of their work."""
    rows = [(name, _said(facts)) for name, facts in done(model).items()]
    return _plain_table("What was done to the mesh", ("Step", "What it notes"), [row for row in rows if row[1]])


def _decisions(decisions: Sequence[Decision]) -> str:
    rows = [(d.what, _said(d.value), d.origin, d.note) for d in decisions if d.value is not None]
    return _plain_table("What was decided", ("What", "Value", "From", "Note"), rows)


def _files(files: Mapping[str, int]) -> str:
    rows = [(name, written("file_bytes", size)) for name, size in files.items()]
    return _plain_table("Files", ("Name", "Size"), rows)


def _plain_table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    body = "".join(
        f'<tr><th scope="row"><bdi>{_text(first)}</bdi></th>'
        + "".join(f"<td>{_text(cell)}</td>" for cell in rest)
        + "</tr>"
        for first, *rest in rows
    )
    table = f"<table><thead>{_row_of_heads(*heads)}</thead><tbody>{body}</tbody></table>"
    return f'{_heading(title)}<div class="scroll">{table}</div>'


def _row_of_heads(*names: str) -> str:
    return "<tr>" + "".join(f'<th scope="col">{_text(name)}</th>' for name in names) + "</tr>"


def _pictures(pictures: Sequence[Picture]) -> str:
    """A row of figures; of more than five, several rows."""
    if not pictures:
        return ""
    figures = "".join(
        f'<figure><img src="{p.uri}" width="{p.width}" height="{p.height}" alt="{_text(p.alt)}">'
        f"<figcaption>{_text(p.caption)}</figcaption></figure>"
        for p in pictures
    )
    return f'<div class="pictures" style="--columns:{min(max(len(pictures), 3), 5)}">{figures}</div>'


def _heading(title: str) -> str:
    return f"<h2>{_text(title)}</h2>"


def extent(found: Measures) -> str:
    """Width, height and depth with their unit."""
    if found.metres is None:
        return " × ".join(f"{side:.3g}" for side in found.extent) + " units"
    unit, name = (1.0, "m") if found.longest * found.metres >= 1 else (100.0, "cm")
    if found.longest * found.metres < 0.01:
        unit, name = 1000.0, "mm"
    return " × ".join(f"{side * found.metres * unit:.3g}" for side in found.extent) + f" {name}"


def _amount(value: float, metres: float | None, power: int) -> str:
    """An area or a volume in a unit that suits its size."""
    sign = "²" if power == 2 else "³"
    if metres is None:
        return f"{value:.4g} units{sign}"
    si = value * metres**power
    for unit, size in (("m", 1.0), ("cm", 0.01), ("mm", 0.001)):
        if abs(si) >= 0.1 * size**power or unit == "mm":
            return f"{si / size**power:.4g} {unit}{sign}"
    raise AssertionError(unit)


def _said(value: Any) -> str:
    """A value from metadata or a decision on one line: plain, and of bounded length."""
    if isinstance(value, Mapping):
        parts = [f"{str(key).replace('_', ' ')} {_said(item)}" for key, item in value.items()]
        said = ", ".join(parts)
    elif isinstance(value, list | tuple):
        said = " × ".join(_said(item) for item in value[:16])
    elif isinstance(value, bool):
        said = "yes" if value else "no"
    else:
        said = f"{value:.4g}" if isinstance(value, float) else str(value)
    return said if len(said) <= _LONGEST else said[: _LONGEST - 1] + "…"


def _text(value: object) -> str:
    """Escaped for text and attributes; control characters become visible blanks."""
    shown = "".join(" " if unicodedata.category(letter) in ("Cc", "Cs") else letter for letter in str(value))
    return html.escape(shown, quote=True)
