"""What was observed, what was invented, what the asset is fit for: JSON beside the asset, a table on the terminal."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import __version__
from .assets import Mesh
from .capture import Capture, Decision, Photo
from .files import whole_file

if TYPE_CHECKING:
    from rich.table import Table

    from .topology import Health

#: A mesh of more faces is heavy for a browser or a phone; half of it for something far from a game's camera.
_MANY_FACES = 100_000
_SIGNIFICANT_DIGITS = 6
#: Decisions that only the JSON tells: true of nearly every picture, and dull.
_LOADING_DETAILS = ("file type", "picture size", "working size", "colour", "alpha", "orientation")
#: Unit of a mesh -> what is known of its scale.
_SCALES = {"metre": "metric", "guessed metre": "guess"}
#: A JSON list of plain values spread over lines; strings never hold a raw line break.
_FLAT_LIST = re.compile(r"\[\n\s*([^\[\]{}]*?)\n\s*\]")


@dataclass(frozen=True)
class Fitness:
    """Whether the asset suits one use: fit is "yes", "with care" or "no"; why is empty for a plain yes."""

    use: str
    fit: str
    why: str = ""


@dataclass(frozen=True)
class Report:
    """All that is known about one result.

    mesh: as finished, in the world frame. photo: the input. decisions: oldest first. seconds: stage -> time.
    kind: "object" or "scene", which is an open relief. scale: "metric", "guess" (metres, as a network guesses them) or
    "unknown". seen: share of the surface in [0, 1] that the picture showed, None when the mesh does not say.
    files: name -> bytes. recipe: plain tables of the options that led to it.
    """

    mesh: Mesh = field(repr=False, compare=False)
    photo: Photo = field(repr=False, compare=False)
    health: Health
    decisions: tuple[Decision, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    kind: str = "object"
    scale: str = "unknown"
    seen: float | None = None
    fitness: tuple[Fitness, ...] = ()
    warnings: tuple[str, ...] = ()
    files: Mapping[str, int] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    recipe_digest: str = ""
    version: str = __version__

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
            "decisions": [vars(decision) for decision in self.decisions],
            "kind": self.kind,
            "scale": {"kind": self.scale, "unit": _unit(self.scale), "extent": list(self.extent)},
            "mesh": self.health.to_dict(),
            "surface": None if self.seen is None else {"seen": self.seen, "invented": 1 - self.seen},
            "trust": self.trust,
            "texture": None if self.texture is None else list(self.texture),
            "fitness": [vars(fitness) for fitness in self.fitness],
            "warnings": list(self.warnings),
            "files": dict(self.files),
            "recipe": dict(self.recipe),
        }
        if times:
            facts["seconds"] = {**self.seconds, "total": sum(self.seconds.values())}
        plain: dict[str, Any] = _plain(facts)
        return plain

    def to_json(self, times: bool = True) -> str:
        """``to_dict`` as indented text ending in a newline."""
        text = json.dumps(self.to_dict(times), indent=2, ensure_ascii=False, allow_nan=False)
        return _FLAT_LIST.sub(lambda found: "[" + re.sub(r"\s*\n\s*", " ", found[1]) + "]", text) + "\n"

    def write(self, path: str | Path, times: bool = True) -> None:
        """Write the JSON whole or not at all; raises OutputError."""
        with whole_file(path) as beside:
            beside.write_text(self.to_json(times), encoding="utf-8")

    def table(self) -> Table:
        """A short table for the terminal."""
        return table(self.to_dict())


def report(mesh: Mesh, capture: Capture, seconds: Mapping[str, float] | None = None, recipe_digest: str = "") -> Report:
    """Measure a finished mesh (world frame) and gather what was decided on the way to it.

    Of ``mesh.metadata``: "model" names the network that made it, "kind" a scene, ["scale"]["unit"] says "metre" where a
    real size was given, and "guessed metre" where a network guessed it.
    """
    from .preview import seen_share
    from .topology import health

    found = health(mesh)
    photo = capture.photo
    kind = str(mesh.metadata.get("kind", "object"))
    scale = _SCALES.get(mesh.metadata.get("scale", {}).get("unit"), "unknown")
    decisions = (*capture.decisions, *_mesh_decisions(mesh, scale))
    seen = None if mesh.seen is None else seen_share(mesh)
    textured = mesh.material is not None and mesh.material.base_color_texture is not None
    return Report(
        mesh=mesh,
        photo=photo,
        health=found,
        decisions=decisions,
        seconds={} if seconds is None else seconds,
        kind=kind,
        scale=scale,
        seen=seen,
        fitness=tuple(fitness_of_scene(found, scale) if kind == "scene" else fitness(found, scale, seen, textured)),
        warnings=tuple(
            scene_warnings(mesh, found, scale)
            if kind == "scene"
            else (*warnings(found, photo, seen), *_trust_warnings(mesh))
        ),
        recipe_digest=recipe_digest,
    )


def fitness(health: Health, scale: str, seen: float | None, textured: bool) -> list[Fitness]:
    """An honest verdict for the common uses, from what was measured."""
    heavy = f"{health.faces:,} faces: simplify first" if health.faces > _MANY_FACES else ""
    broken = "" if health.manifold and health.outward else "the mesh has defects"
    plain = "" if textured else "no texture"
    size = "" if scale == "metric" else "real size unknown: give a height"
    far = "" if health.faces <= _MANY_FACES // 2 else f"{health.faces:,} faces: simplify first"
    invented = "most of the surface was invented" if seen is None else f"{1 - seen:.0%} of the surface was invented"
    return [
        Fitness("concept", "yes"),
        _judged("web", heavy, broken),
        _judged("AR", heavy, broken, size),
        _judged("game background", far, broken, plain),
        Fitness("close-up", "with care", f"{invented} from one picture"),
        Fitness("manufacturing", "no", f"{invented}, dimensions are not measured"),
    ]


def fitness_of_scene(health: Health, scale: str) -> list[Fitness]:
    """The verdict for a scene: a relief of what one picture showed. Nobody asks of it to be closed."""
    heavy = f"{health.faces:,} faces: simplify first" if health.faces > _MANY_FACES else ""
    size = {"metric": "", "guess": "its size is a guess: give a height or a distance"}.get(scale, "real size unknown")
    return [
        Fitness("backdrop near the camera's place", "yes"),
        _judged("web", heavy),
        _judged("walking a few steps", "what the picture hides is missing or invented"),
        _judged("measuring", size, "depth is a network's estimate"),
        Fitness("seen from behind", "no", "a picture shows a scene from one side only"),
        Fitness("printing", "no", "an open surface, as every scene from one picture"),
    ]


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


#: What to do about a result of each verdict.
_ADVICE = {
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
    return f"{stated}: {_ADVICE[trust['verdict']]}{because}"


def table(facts: Mapping[str, Any]) -> Table:
    """``Report.to_dict`` as a short rich table, two columns without a frame."""
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    drawn.add_column(style="bold")
    drawn.add_column()
    for what, text in _rows(facts):
        drawn.add_row(what, Text(text, style="yellow" if what == "warning" else ""))
    return drawn


def _rows(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the terminal shows, a line each."""
    source, mesh, surface = facts["input"], facts["mesh"], facts["surface"]
    rows = [("input", f"{source['name']}  {source['size'][0]} x {source['size'][1]} px")]
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


def _judged(use: str, *reasons: str) -> Fitness:
    why = ", ".join(reason for reason in reasons if reason)
    return Fitness(use, "with care" if why else "yes", why)


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
    return [f"do not rely on this result: {_ADVICE['poor']}"] if trust.get("verdict") == "poor" else []


def _mesh_decisions(mesh: Mesh, scale: str) -> Iterator[Decision]:
    """What was decided after the picture was understood."""
    if "model" in mesh.metadata:
        yield Decision("model", mesh.metadata["model"], "guessed", "the recipe's network, whatever the picture shows")
    if mesh.metadata.get("struts"):
        yield Decision("struts", mesh.metadata["struts"], "guessed", "loose parts joined, to make one piece")
    if hidden := mesh.metadata.get("bake", {}).get("hidden"):
        filled = ", ".join(f"{hidden[how]:.0%} {how}" for how in ("mirrored", "continued", "guessed") if hidden[how])
        yield Decision("hidden colour", filled or "none", "guessed", hidden["why"])
    if scale == "metric" and mesh.metadata.get("depth_scale") != "metric":
        yield Decision("scale", scale, "given", "from the height or distance that was given")
    elif scale == "metric":
        yield Decision("scale", scale, "file", "from the depth, which is in metres")
    elif scale == "guess":
        yield Decision("scale", scale, "guessed", "metres as the depth network guesses them")
    else:
        yield Decision("scale", scale, "guessed", "no height was given: the longest side is 1 unit")


def _unit(scale: str) -> str:
    return {"metric": "metre", "guess": "guessed metre"}.get(scale, "unknown")


def _plain(value: Any) -> Any:
    """Numbers rounded to a few significant digits, numpy and paths turned into what JSON can hold, NaN into None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic | np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, float):
        return float(f"{value:.{_SIGNIFICANT_DIGITS}g}") if math.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value
