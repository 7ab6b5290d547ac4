"""Recipes, and the stages of one ready to be walked: what ``make`` and ``fix`` have in common."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec, Self, TypeVar

from .errors import UsageError
from .recipe import build, read_toml, suggest
from .runtime import DEVICES, ENGINES, PRECISIONS, Progress, Runtime
from .zoo import public, registry
from .zoo.device import torch_device, torch_dtype

if TYPE_CHECKING:
    from .assets import Mesh, Model

P = ParamSpec("P")
R = TypeVar("R")


#: Flat keyword -> the task whose backend it names; "auto" is the default one.
MODELS = {"model": "object", "mask_model": "mask", "depth_model": "depth"}
#: Flat keywords of the recipe itself.
GENERAL = ("seed", "threads", "device", "precision", "runtime")


@dataclass(frozen=True)
class Section:
    """What a recipe says about one task: the backend's name and its frozen options."""

    backend: str
    options: Any


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a result besides the picture. Frozen; equal recipes give equal bytes.

    seed feeds every random choice; threads = 0 lets the libraries choose; device, precision and runtime (who runs ONNX
    networks) as in ``runtime.Runtime``; sections: task -> Section, always complete. ROAD names the tasks, see
    ``registry.ROADS``.
    """

    ROAD: ClassVar[str] = "make"

    seed: int = 0
    threads: int = 0
    device: str = "cpu"
    precision: str = "auto"
    runtime: str = "onnxruntime"
    sections: Mapping[str, Section] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Fill in the sections that were left out."""
        whole = {task: self.sections.get(task) or _section(task, {}, "recipe") for task in registry.tasks(self.ROAD)}
        object.__setattr__(self, "sections", whole)

    @classmethod
    def from_toml(cls, path: str | Path, **options: Any) -> Self:
        """The recipe in a TOML file; flat keywords win over it.

        Raises InputNotFoundError, or UsageError naming the file and the unknown or wrong key.
        """
        return cls.from_tables(read_toml(path), str(path)).with_options(**options)

    @classmethod
    def from_options(cls, **options: Any) -> Self:
        """The default recipe changed by flat keywords: ``Recipe.from_options(height=0.45, seed=1)``."""
        return cls().with_options(**options)

    @classmethod
    def from_tables(cls, tables: Mapping[str, Any], where: str = "recipe") -> Self:
        """From plain tables as in TOML: ``{"seed": 1, "height": 2.0, "simplify": {"faces": 5000}}``.

        A key is a task with a table of its options by name, or a flat keyword, which wins.
        """
        tasks, named = registry.tasks(cls.ROAD), _models(tables, where, cls.ROAD)
        sections = {
            task: _section(task, {**v, "backend": named[task]} if task in named else v, where)
            for task, v in tables.items()
            if task in tasks and isinstance(v, Mapping)
        }
        flat = {key: value for key, value in tables.items() if key not in sections}
        return cls(sections=sections)._changed(flat, where)

    def with_options(self, *, backends: Mapping[str, str] | None = None, **options: Any) -> Self:
        """A copy changed by flat keywords; ``backends`` maps tasks to backends' names. Raises UsageError."""
        chosen = {task: _section(task, {"backend": name}, "backends") for task, name in (backends or {}).items()}
        return replace(self, sections={**self.sections, **chosen})._changed(options, "options")

    def _changed(self, flat: Mapping[str, Any], where: str) -> Self:
        """A copy changed by flat keywords; ``where`` they stood, for messages."""
        general, sections = {}, dict(self.sections)
        for task, name in _models(flat, where, self.ROAD).items():
            sections[task] = _switched(sections[task], task, name)
        known = keywords({task: section.backend for task, section in sections.items()}, self.ROAD)
        for given, value in flat.items():
            word = given.removesuffix("_")  # "as" is a word of Python: make(photo, as_="scene")
            if word in MODELS and MODELS[word] in sections:
                continue
            if word in GENERAL:
                general[word] = _general(word, value, where)
            elif word in known:
                for task, name in known[word]:
                    sections[task] = _with_field(sections[task], name, value, f"[{task}] of {where}")
            elif word in registry.tasks(self.ROAD):
                raise UsageError(f"{word!r} in {where} must be a table, not {value!r}", f"write [{word}]")
            elif word in (usual := keywords(road=self.ROAD)):
                task = usual[word][0][0]
                told = f"{word!r} in {where} is no option of the {task} backend {sections[task].backend!r}"
                raise UsageError(told, f"{registry.default(task)!r} has it")
            else:
                words = [*GENERAL, *MODELS, *known, *registry.tasks(self.ROAD)]
                raise UsageError(f"unknown option {word!r} in {where}", suggest(word, words))
        return replace(self, sections=sections, **general)

    def to_tables(self) -> dict[str, Any]:
        """Plain, JSON-ready tables that ``from_tables`` reads back."""
        tables: dict[str, Any] = {word: getattr(self, word) for word in GENERAL}
        for task, section in self.sections.items():
            tables[task] = {"backend": section.backend, **_plain(dataclasses.asdict(section.options))}
        return tables

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that change with anything that decides the result; threads do not."""
        tables = {key: value for key, value in self.to_tables().items() if key != "threads"}
        return hashlib.sha256(json.dumps(tables, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Stages:
    """The stages of one recipe, ready to be walked one by one; ``times`` gathers seconds per stage."""

    RECIPE: ClassVar[type[Recipe]] = Recipe

    recipe: Recipe
    runtime: Runtime
    times: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, recipe: Recipe | str | Path | None, progress: Progress, options: Mapping[str, Any]) -> Self:
        """The stages of a recipe (or its file, or the default one) changed by flat options."""
        base = recipe if isinstance(recipe, Recipe) else cls.RECIPE.from_toml(recipe) if recipe else cls.RECIPE()
        final = base.with_options(**options)
        runtime = Runtime(final.seed, final.threads, progress, final.device, final.precision, final.runtime)
        road = cls(final, runtime)
        road._refuse()
        return road

    def _refuse(self) -> None:
        """What is asked for and cannot be had is refused before any work: MissingExtraError, UsageError."""
        named = [task for task in registry.tasks(self.recipe.ROAD) if self._name(task) != registry.default(task)]
        asked = {"device": self.recipe.device != "cpu"}
        if self.recipe.runtime == "onnxruntime":  # which computes in the numbers that the file has
            asked["precision"] = self.recipe.precision not in ("auto", "float32")
        for word in (word for word, wanted in asked.items() if wanted and not named):
            told = f"{word} {getattr(self.recipe, word)!r}: the embedded networks run on the CPU in their own numbers"
            raise UsageError(told, "name a public model, as in --model triposr")
        if any(public.runs_on_torch(task, self._name(task)) for task in named):
            torch_device(self.runtime)
            torch_dtype(self.runtime)
        for task in filter(self._wanted, registry.tasks(self.recipe.ROAD)):
            registry.factory(task, self._name(task))(*self._settings(task))

    def _stage(self, task: str, thing: Any) -> Any:
        """Make the task's backend and call it; opening a network counts as part of the stage."""
        factory = registry.factory(task, self._name(task))
        return self._run(task, lambda: factory(*self._settings(task))(thing))

    def _wanted(self, task: str) -> bool:
        """Whether a stage that is walked on demand is asked for; its options say so."""
        return bool(getattr(self.recipe.sections[task].options, "wanted", False))

    def _if_wanted(self, task: str, mesh: Mesh) -> Mesh:
        """The mesh, after a stage that is walked on demand where it is asked for."""
        changed: Mesh = self._stage(task, mesh) if self._wanted(task) else mesh
        return changed

    def detail(self, mesh: Mesh) -> Model:
        """The mesh with the coarser levels and the collision parts that were asked for."""
        from .assets import Model

        levels, collision = (self._stage(task, mesh) if self._wanted(task) else () for task in ("lods", "collide"))
        return Model(mesh, levels, collision)

    def _name(self, task: str) -> str:
        return self.recipe.sections[task].backend

    def _settings(self, task: str) -> tuple[Any, Runtime]:
        return self.recipe.sections[task].options, self.runtime

    def _run(self, stage: str, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call one stage between two progress events, and note its seconds."""
        self.runtime.progress(stage, 0.0)
        start = time.perf_counter()
        result = call(*args, **kwargs)
        self.times[stage] = time.perf_counter() - start
        self.runtime.progress(stage, 1.0)
        return result


def keywords(backends: Mapping[str, str] | None = None, road: str = "make") -> dict[str, list[tuple[str, str]]]:
    """flat keyword -> every (task, field) it sets, of the chosen backends' options (the defaults' where none is
    chosen); ``faces`` is the budget of an object's mesh and of a scene's."""
    found: dict[str, list[tuple[str, str]]] = {}
    for task in registry.tasks(road):
        for f in dataclasses.fields(registry.options_class(task, (backends or {}).get(task, ""))):
            if f.metadata.get("keyword"):
                found.setdefault(f.metadata["keyword"], []).append((task, f.name))
    return found


def _section(task: str, values: Mapping[str, Any], where: str) -> Section:
    backend = values.get("backend", "") or registry.default(task)
    if not isinstance(backend, str):
        hint = f"known: {', '.join(registry.names(task))}"
        raise UsageError(f"{task}.backend in {where} must be a name, not {backend!r}", hint)
    rest = {key: value for key, value in values.items() if key != "backend"}
    return Section(backend, build(registry.options_class(task, backend), rest, f"[{task}] of {where}"))


def _models(flat: Mapping[str, Any], where: str, road: str) -> dict[str, str]:
    """task -> backend, of the keywords that name models; UsageError for anything but a name that is known."""
    found = {}
    for word, task in MODELS.items():
        if word not in flat or task not in registry.tasks(road):
            continue
        names = registry.names(task)
        name = flat[word]
        if name not in ("auto", *names):
            raise UsageError(f"no {word.replace('_', ' ')} named {name!r} in {where}", suggest(str(name), names))
        found[task] = names[0] if name == "auto" else name
    return found


def _switched(section: Section, task: str, name: str) -> Section:
    """The section with another backend, and of its options those that were chosen and the other has too."""
    if name == section.backend:
        return section
    chosen = {f.name: getattr(section.options, f.name) for f in dataclasses.fields(section.options)}
    usual = {f.name: f.default for f in dataclasses.fields(section.options)}
    known = {f.name for f in dataclasses.fields(registry.options_class(task, name))}
    kept = {key: value for key, value in chosen.items() if key in known and value != usual[key]}
    return _section(task, {"backend": name, **kept}, "recipe")


def _general(word: str, value: Any, where: str) -> Any:
    """A keyword of the recipe itself, checked; UsageError."""
    known = {"device": DEVICES, "precision": PRECISIONS, "runtime": ENGINES}.get(word)
    if known is None:
        return _whole(word, value, where)
    kind, _, number = str(value).partition(":")
    if kind not in known or (number and not (word == "device" and number.isdecimal())):
        told = f"{word} in {where} must be one of {', '.join(known)}, not {value!r}"
        raise UsageError(told, suggest(kind, list(known)))
    return value


def _whole(word: str, value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise UsageError(f"{word} in {where} must be a whole number from 0 up, not {value!r}")
    return value


def _with_field(section: Section, name: str, value: Any, where: str) -> Section:
    """A section with one option replaced, checked as if all had been read from a file."""
    values = {f.name: getattr(section.options, f.name) for f in dataclasses.fields(section.options)}
    return replace(section, options=build(type(section.options), {**values, name: value}, where))


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Paths as text, tuples as lists, so that JSON and TOML can hold them; fields that are None are left out."""
    as_text = {key: str(value) if isinstance(value, Path) else value for key, value in values.items()}
    return {key: list(v) if isinstance(v, tuple) else v for key, v in as_text.items() if v is not None}
