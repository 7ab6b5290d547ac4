"""The corpus manifest, one JSON object a line: what there is, whose, under which licence, in which split.

A row has id, file, kind, source, family, split, category, licence, credit; more is carried along. Of photographs alone
``file`` is the set's folder; a scan with its photographs names their folder as ``photos``. Families (a product, a kit's
chairs) never straddle a split. What cannot be trusted is reported and left out: broken lines, ids
used twice, licences outside the list, attribution without anyone to credit, files that are not there.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

from ..errors import InputNotFoundError, UnreadableError
from ..files import whole_file
from .licences import COMMERCIAL, strictest

Row: TypeAlias = dict[str, Any]
#: Told of every line left out, as one line of text.
Report: TypeAlias = Callable[[str], None]

#: What a row can be: a mesh from a model or CAD library, a textured scan, photographs with poses, a scan with them.
KINDS = ("model", "scan", "photos", "scan-photos")
MESH_KINDS = ("model", "scan", "scan-photos")
PHOTO_KINDS = ("photos", "scan-photos")

#: Sources made of many flat-coloured low-poly pieces: they get fewer views, or the network learns kits.
KITS = frozenset({"quaternius", "quaternius_fbx", "kenney", "kaykit", "market"})

#: Objects that may not be used: this box is CC BY-NC by its repository's own attribution list, though the manifest
#: calls it CC-BY.
BARRED = frozenset({"bigym__box_box"})

_ID = re.compile(r"[\w-]{1,180}")


def unheard(line: str) -> None:
    """A report nobody reads."""


def read_manifest(
    path: Path,
    split: str | None = "train",
    kinds: Iterable[str] = MESH_KINDS,
    allow: Iterable[str] = COMMERCIAL,
    report: Report = unheard,
) -> list[Row]:
    """Rows of ``split`` (None: of all) and ``kinds`` that may be used; why others may not is told to ``report``.

    allow: licence classes (licences.CLASSES). ``file`` and ``photos`` become full paths; licence_class, credit,
    kind, name, category and bbox_m (size in metres, or None) are filled in where a row lacks them.
    Raises InputNotFoundError, or UnreadableError for a file that is no text.
    """
    allowed, rows, ids = frozenset(allow), list[Row](), set[str]()
    for where, row in _lines(path, report):
        wrong = _fault(row, allowed, ids)
        if wrong:
            report(f"{where}: {wrong}")
            continue
        ids.add(row["id"])
        if split is None or row["split"] == split:
            rows.append(_completed(row, path.parent))
    return [row for row in rows if row["kind"] in tuple(kinds)]


def _lines(path: Path, report: Report) -> Iterator[tuple[str, Row]]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputNotFoundError(f"{path}: {error.strerror}", "give the manifest of a corpus") from error
    except UnicodeDecodeError as error:
        raise UnreadableError(f"{path}: is no text file", "give the manifest of a corpus (JSON lines)") from error
    for number, line in enumerate(text.splitlines(), 1):
        where = f"{path.name} line {number}"
        try:
            row = json.loads(line) if line.strip() else None
        except ValueError as error:
            report(f"{where}: no JSON ({error})")
            continue
        if isinstance(row, dict):
            yield where, row
        elif row is not None:
            report(f"{where}: no JSON object")


def _fault(row: Row, allowed: frozenset[str], ids: set[str]) -> str:
    """Why this row may not be used, or nothing."""
    for key in ("id", "file", "split", "family", "source"):
        if not isinstance(row.get(key), str) or not row[key]:
            return f"{row.get('id', 'a row')}: {key!r} is missing"
    name = row["id"]
    if not _ID.fullmatch(name):
        return f"{name!r}: an id has letters, digits, _ and - alone"
    if name in ids:
        return f"{name}: the id is used twice"
    if name in BARRED:
        return f"{name}: barred, its licence is not what the manifest says"
    licence = licence_of(row)
    if licence not in allowed:
        return f"{name}: licence {row.get('licence') or 'not given'!r} is {licence}, which is not allowed"
    if licence == "attribution" and not credit_of(row):
        return f"{name}: {row['licence']!r} asks for credit, and nobody is named"
    return ""


def licence_of(row: Row) -> str:
    """The licence's class, by the strictest of what the row says."""
    return (
        strictest(str(row.get("licence") or ""), str(row.get("licence_class") or ""))
        if row.get("licence")
        else ("unknown")
    )


def credit_of(row: Row) -> str:
    """Who is to be named: the credit, else author and repository."""
    parts = [str(row[k]) for k in ("author", "repo") if row.get(k)]
    return str(row.get("credit") or ", ".join(parts))


def _completed(row: Row, folder: Path) -> Row:
    kind = row.get("kind") or ("scan" if row.get("scan") else "model")
    name = row["id"].split("__")[-1].replace("_", " ")
    known = {"kind": kind, "category": "", "name": name, "bbox_m": None, **row}
    paths = {k: str(folder / row[k]) for k in ("file", "photos") if row.get(k)}
    return {**known, "licence_class": licence_of(row), "credit": credit_of(row), **paths}


def write_manifest(path: Path, rows: Iterable[Row]) -> None:
    """Write rows as JSON lines, whole or not at all; files and folders are named relative to the manifest."""
    folder = path.resolve().parent
    with whole_file(path) as beside, beside.open("w", encoding="utf-8") as out:
        for row in rows:
            paths = {k: os.path.relpath(Path(row[k]).resolve(), folder) for k in ("file", "photos") if row.get(k)}
            out.write(json.dumps({**row, **paths}, ensure_ascii=False, sort_keys=True) + "\n")


def split_of(family: str, bench: float = 0.1) -> str:
    """The split of a family that has none yet: a fixed share of all families is kept back as "bench"."""
    number = int.from_bytes(hashlib.sha256(f"split {family}".encode()).digest()[:8], "little")
    return "bench" if number < bench * 2**64 else "train"
