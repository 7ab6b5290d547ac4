"""All that is known about one result of ``make``: what was decided, measured, seen, invented; as JSON."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import __version__
from ..assets import Mesh, Model
from ..capture import Capture, Decision, Photo
from ..files import whole_file
from .done import done
from .gates import Fitness, judge
from .measures import Measures, measure
from .words import ADVICE, table, trust_words

if TYPE_CHECKING:
    from rich.table import Table

    from ..topology import Health

_SIGNIFICANT_DIGITS = 6
#: Stages of which the report tells what they did: those walked only where they are asked for.
_ON_DEMAND = ("retopo", "delight", "lods", "collide")
#: A JSON list of plain values spread over lines; strings never hold a raw line break.
_FLAT_LIST = re.compile(r"\[\n\s*([^\[\]{}]*?)\n\s*\]")


@dataclass(frozen=True)
class Report:
    """All that is known about one result.

    mesh: as finished, in the world frame. measures: its figures. photo: the input. decisions: oldest first. seconds:
    stage -> time. kind: "object" or "scene", which is an open relief. scale: "metric", "guess" (metres, as a network
    guesses them) or "unknown". seen: share of the surface in [0, 1] that the picture showed, None when the mesh does
    not say. done: what stages that were asked for note of their work. files: name -> bytes. recipe: plain tables of
    the options that led to it. pictures: of a photo set, see ``sets.set_facts``; empty for one picture.
    """

    mesh: Mesh = field(repr=False, compare=False)
    photo: Photo = field(repr=False, compare=False)
    health: Health
    measures: Measures = field(repr=False, compare=False)
    decisions: tuple[Decision, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    kind: str = "object"
    scale: str = "unknown"
    seen: float | None = None
    fitness: tuple[Fitness, ...] = ()
    warnings: tuple[str, ...] = ()
    done: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, int] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    recipe_digest: str = ""
    version: str = __version__
    pictures: Mapping[str, Any] = field(default_factory=dict)

    @property
    def extent(self) -> tuple[float, float, float]:
        """Width, height and depth, in metres or in units."""
        width, height, depth = (float(x) for x in np.ptp(self.mesh.bounds, axis=0))
        return width, height, depth

    @property
    def texture(self) -> tuple[int, int] | None:
        """(width, height) of the base colour texture in pixels, or None."""
        texture = self.mesh.material.base_color_texture if self.mesh.material else None
        return None if texture is None else (texture.shape[1], texture.shape[0])

    @property
    def trust(self) -> dict[str, Any] | None:
        """How far to trust the result, see refine.trust, with what to do about it in ``words``; None when unsaid."""
        found = self.mesh.metadata.get("trust")
        return None if found is None else {**found, "words": trust_words(found)}

    def to_dict(self, times: bool = True) -> dict[str, Any]:
        """Plain, JSON-ready facts in a fixed order; without ``times`` equal results give equal facts."""
        facts: dict[str, Any] = {
            "liftform": self.version,
            "recipe_digest": self.recipe_digest,
            "input": {"name": Path(self.photo.source).name, "size": list(self.photo.original_size)},
            **({"pictures": dict(self.pictures)} if self.pictures else {}),
            "decisions": [vars(decision) for decision in self.decisions],
            "kind": self.kind,
            "scale": {"kind": self.scale, "unit": _unit(self.scale), "extent": list(self.extent)},
            "mesh": self.health.to_dict(),
            "measures": self.measures.to_dict(),
            "surface": None if self.seen is None else {"seen": self.seen, "invented": 1 - self.seen},
            "trust": self.trust,
            "texture": None if self.texture is None else list(self.texture),
            "fitness": [fitness.to_dict() for fitness in self.fitness],
            "warnings": list(self.warnings),
            "done": dict(self.done),
            "files": dict(self.files),
            "recipe": dict(self.recipe),
        }
        if times:
            facts["seconds"] = {**self.seconds, "total": sum(self.seconds.values())}
        rounded: dict[str, Any] = plain(facts)
        return rounded

    def to_json(self, times: bool = True) -> str:
        """``to_dict`` as indented text ending in a newline."""
        text = json.dumps(self.to_dict(times), indent=2, ensure_ascii=False, allow_nan=False)
        return _FLAT_LIST.sub(lambda found: "[" + re.sub(r"\s*\n\s*", " ", found[1]) + "]", text) + "\n"

    def write(self, path: str | Path, times: bool = True) -> None:
        """Write the JSON whole or not at all; raises OutputError."""
        with whole_file(path) as beside:
            beside.write_text(self.to_json(times), encoding="utf-8")

    def sized(self, file_bytes: int) -> Report:
        """The same once the asset's file is known: its size is judged too."""
        measures = replace(self.measures, file_bytes=file_bytes)
        return replace(self, measures=measures, fitness=judge(measures))

    def to_html(self) -> bytes:
        """A self-contained page with pictures, see ``html.page``; rendering them takes a second or two."""
        from .html import Content, page

        trust = self.trust
        content = Content(
            title=str(self.pictures.get("name") or Path(self.photo.source).name or self.mesh.name),
            mesh=self.mesh,
            measures=self.measures,
            fitness=self.fitness,
            photo=self.photo,
            decisions=self.decisions,
            warnings=self.warnings,
            trust="" if trust is None else f"Trust: {trust['words']}.",
            files=self.files,
        )
        return page(content)

    def table(self) -> Table:
        """A short table for the terminal."""
        return table(self.to_dict())


def report(
    asset: Mesh | Model, capture: Capture, seconds: Mapping[str, float] | None = None, recipe_digest: str = ""
) -> Report:
    """Measure a finished mesh or model (world frame) and gather what was decided on the way to it.

    Of ``mesh.metadata``: "model" names the network that made it, "kind" a scene, ["scale"]["unit"] says "metre" where a
    real size was given, and "guessed metre" where a network guessed it.
    """
    model = asset if isinstance(asset, Model) else Model(asset)
    mesh, measures = model.mesh, measure(model)
    found, photo, kind, scale, seen = measures.health, capture.photo, measures.kind, measures.scale, measures.seen
    decisions = (*capture.decisions, *_mesh_decisions(mesh, scale))
    return Report(
        mesh=mesh,
        photo=photo,
        health=found,
        measures=measures,
        decisions=decisions,
        seconds={} if seconds is None else seconds,
        kind=kind,
        scale=scale,
        seen=seen,
        fitness=judge(measures),
        warnings=tuple(
            scene_warnings(mesh, found, scale)
            if kind == "scene"
            else (*warnings(found, photo, seen), *_trust_warnings(mesh))
        ),
        done={task: facts for task, facts in done(model).items() if task in _ON_DEMAND},
        recipe_digest=recipe_digest,
    )


def scene_warnings(mesh: Mesh, health: Health, scale: str) -> list[str]:
    """What a user should look at before trusting a scene, one plain line each."""
    found = []
    if scale == "guess":
        found.append("the scene's size is a network's guess, not a measure: give --height or --distance")
    if scale == "unknown":
        found.append("the scene's size is unknown: give --height or --distance")
    missing = float(mesh.metadata.get("missing", 0.0))
    if missing > 0.5:
        found.append(f"{missing:.0%} of the picture has no depth (sky, or unknown)")
    if health.degenerate_faces:
        found.append(f"{health.degenerate_faces} faces have no area")
    return found


def warnings(health: Health, photo: Photo, seen: float | None) -> list[str]:
    """What a user should look at before trusting the asset, one plain line each."""
    found = []
    if not health.watertight:
        found.append(f"the mesh is not watertight ({health.boundary_edges} open edges)")
    elif not (health.manifold and health.outward):
        found.append("the mesh is not a consistently outward manifold")
    if health.components > 1:
        found.append(f"the mesh has {health.components} separate parts")
    if health.degenerate_faces:
        found.append(f"{health.degenerate_faces} faces have no area")
    if health.self_intersecting:
        found.append(f"{health.self_intersecting} pairs of faces cut each other")
    if seen is not None and seen < 0.2:
        found.append(f"the picture showed only {seen:.0%} of the surface")
    return [*found, *_mask_warnings(photo)]


def _mask_warnings(photo: Photo) -> list[str]:
    if photo.mask is None:
        return []
    found = []
    if photo.mask.confidence < 0.6:
        found.append(f"the foreground is uncertain (confidence {photo.mask.confidence:.2f}): look at the preview")
    solid = photo.mask.alpha > 0.5
    border = np.concatenate([solid[0], solid[-1], solid[:, 0], solid[:, -1]])
    if border.mean() > 0.02:
        found.append("the object touches the picture's edge: what lies beyond was invented")
    return found


def _trust_warnings(mesh: Mesh) -> list[str]:
    trust = mesh.metadata.get("trust", {})
    return [f"do not rely on this result: {ADVICE['poor']}"] if trust.get("verdict") == "poor" else []


def _mesh_decisions(mesh: Mesh, scale: str) -> Iterator[Decision]:
    """What was decided after the picture was understood."""
    if mesh.metadata.get("struts"):
        yield Decision("struts", mesh.metadata["struts"], "guessed", "loose parts joined, to make one piece")
    if hidden := mesh.metadata.get("bake", {}).get("hidden"):
        filled = ", ".join(f"{hidden[how]:.0%} {how}" for how in ("mirrored", "continued", "guessed") if hidden[how])
        yield Decision("hidden colour", filled or "none", "guessed", hidden["why"])
    yield _scale_decision(mesh.metadata.get("scale", {}), scale)


def _scale_decision(said: Mapping[str, Any], scale: str) -> Decision:
    """Who says how large it is (metadata["scale"], see refine.scale), and how sure that is."""
    whose = str(said.get("from", "nothing"))
    if scale == "unknown":
        told = said.get("note", "") if whose == "cameras" else "no height was given: the longest side is 1 unit"
        return Decision("scale", scale, "guessed", told)
    origin = "given" if whose.startswith("given") else "file" if whose == "file" else "estimated"
    if scale == "guess":
        origin = "guessed"
    error = f"expected error {said['error']:.0%}" if said.get("error") is not None else ""
    return Decision("scale", scale, origin, "; ".join(text for text in (whose, said.get("note", ""), error) if text))


def _unit(scale: str) -> str:
    return {"metric": "metre", "guess": "guessed metre"}.get(scale, "unknown")


def plain(value: Any) -> Any:
    """Numbers rounded to a few significant digits, numpy and paths turned into what JSON can hold, NaN into None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic | np.ndarray):
        return plain(value.tolist())
    if isinstance(value, float):
        return float(f"{value:.{_SIGNIFICANT_DIGITS}g}") if math.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value
