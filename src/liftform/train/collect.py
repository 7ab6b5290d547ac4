"""Folders of models, CAD files, photo sets and scans to rows of the corpus manifest, each opened before it is believed.

What a folder holds, whose it is and under which licence is said by a ``source.toml`` in it or above it (the nearest
word counts): source, licence, credit, and as needed family, category, split, up ("Y" or "Z"), scan, metric.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .. import recipe
from ..errors import InputNotFoundError, UsageError
from ..photoset.posed import is_photo_set, read_photo_set
from . import engines, meshes
from .corpus import Row, split_of

FACTS = "source.toml"
_KNOWN = {"source", "licence", "credit", "family", "category", "split", "up", "scan", "metric"}


def collect(
    folders: list[Path], facts: Mapping[str, Any], workers: int = 2, engine: str = "pool"
) -> Iterator[Row | str]:
    """A row for everything usable under ``folders``, or a line that says what is wrong with a file.

    facts: what holds where no source.toml says otherwise. The split is drawn by family when nothing sets it. Raises
    InputNotFoundError for a missing folder, UsageError for a source.toml with unknown keys.
    """
    found: list[tuple[Path, Path, dict[str, Any]]] = []
    for folder in folders:
        if not folder.is_dir():
            raise InputNotFoundError(f"{folder}: no such folder", "give a folder of models or photo sets")
        found += [(folder, path, {**facts, **_facts(path, folder)}) for path in _things(folder)]
    seen = set[str]()
    for job, answer in engines.each(_row, found, workers, engine):
        if isinstance(answer, engines.WorkerDied):
            yield f"{job[1]}: {answer.reason}"
        elif isinstance(answer, str):
            yield answer
        elif answer["id"] in seen:
            yield f"{job[1]}: a file with the same id {answer['id']} is there already"
        else:
            seen.add(answer["id"])
            yield answer


def _things(folder: Path) -> Iterator[Path]:
    """Photo sets (folders) and mesh files below ``folder``, sorted; what lies in a photo set belongs to it."""
    if is_photo_set(folder):
        yield folder
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _things(path)
        elif path.suffix.lower() in meshes.MESHES:
            yield path


def _facts(path: Path, root: Path) -> dict[str, Any]:
    """Everything the source.toml files between ``root`` and ``path`` say, nearer ones last."""
    inside = path if path.is_dir() else path.parent
    chain = [root, *(root / part for part in _parents(inside.relative_to(root)))]
    told: dict[str, Any] = {}
    for folder in chain:
        if (folder / FACTS).is_file():
            table = recipe.read_toml(folder / FACTS)
            wrong = sorted(set(table) - _KNOWN)
            if wrong:
                raise UsageError(
                    f"{folder / FACTS}: unknown key {wrong[0]!r}", recipe.suggest(wrong[0], sorted(_KNOWN))
                )
            told |= table
    return told


def _parents(path: Path) -> list[Path]:
    return [Path(*path.parts[: n + 1]) for n in range(len(path.parts))]


def _row(job: tuple[Path, Path, dict[str, Any]]) -> Row | str:
    root, path, facts = job
    source = str(facts.get("source") or root.resolve().name)
    name = path.relative_to(root).with_suffix("").as_posix() if path != root else path.resolve().name
    family = str(facts.get("family") or f"{source}:{_kin(path)}")
    row: Row = {
        "id": _slug(f"{source}__{name}"),
        "file": str(path),
        "name": re.sub(r"[\W_]+", " ", path.stem).strip(),
        "source": source,
        "family": family,
        "category": str(facts.get("category") or path.resolve().parent.name),
        "split": str(facts.get("split") or split_of(family)),
        "licence": facts.get("licence"),
        "credit": facts.get("credit"),
        "up": str(facts.get("up") or ("Z" if path.suffix.lower() in meshes.CAD else "Y")),
    }
    try:
        return {**row, **(_photo_facts(path, facts) if path.is_dir() else _mesh_facts(path, facts, row["up"]))}
    except Exception as error:  # whatever a hostile file raises, it is told and left out
        return f"{path}: {' '.join(str(error).removeprefix(f'{path}: ').split())[:240]}"


def _mesh_facts(path: Path, facts: Mapping[str, Any], up: str) -> dict[str, Any]:
    found = meshes.describe(path, up)
    size = found.pop("size")
    return {"kind": "scan" if facts.get("scan") else "model", "bbox_m": size if facts.get("metric") else None, **found}


def _photo_facts(path: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    photos = read_photo_set(path).photos
    missing = [photo.path.name for photo in photos if not photo.path.is_file()]
    if len(missing) == len(photos):
        raise InputNotFoundError(
            f"{path}: none of its {len(photos)} photographs is there", "copy them beside the poses"
        )
    told = {"n_photos": len(photos) - len(missing), "metric": bool(facts.get("metric", False))}
    mesh = _mesh_of(path)
    if mesh is None:
        return {"kind": "photos", **told}
    return {**_mesh_facts(mesh, facts, "Y"), "kind": "scan-photos", "file": str(mesh), "photos": str(path), **told}


def _mesh_of(folder: Path) -> Path | None:
    """The scan's surface: mesh.*, textured.*, model.* or scan.* in the set's folder (points.ply is none)."""
    named = [p for p in sorted(folder.iterdir()) if p.suffix.lower() in meshes.MESHES]
    return next((p for p in named if p.stem.lower() in ("mesh", "textured", "model", "scan")), None)


def _kin(path: Path) -> str:
    """The name without numbers and single-letter variants at its end: chair_02 and chair-b are of one family."""
    name = path.stem if path.is_file() else path.resolve().name
    return re.sub(r"([ _.-]+(\d+|[a-zA-Z]|v\d+))+$|\d+$", "", name).lower() or name.lower()


def _slug(text: str) -> str:
    return re.sub(r"_{3,}", "__", re.sub(r"[^\w-]", "_", text)).strip("_")[:150]
