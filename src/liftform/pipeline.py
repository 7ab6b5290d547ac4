"""The straight road from a picture to an asset: ``make(source, recipe) -> Result``, and the recipe it follows."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from .capture import Capture
from .errors import OutputError, UsageError
from .recipe import build, read_toml, suggest
from .runtime import Progress, Runtime, silent
from .zoo import registry

if TYPE_CHECKING:
    from .assets import Mesh, PointCloud
    from .report import Report

P = ParamSpec("P")
R = TypeVar("R")

#: The stages that report a time and progress, in order.
STAGES = (*(task for task in registry.tasks() if task not in ("subject", "export")), "report")
#: Those that only a scene takes, and those that it leaves out; an object whose mask leaves doubt takes "depth" too.
SCENE_STAGES = ("depth", "relief")
OBJECT_STAGES = ("object", "clean", "simplify", "unwrap", "bake", "trust")


def make(
    source: Any, recipe: Recipe | str | Path | None = None, *, progress: Progress = silent, **options: Any
) -> Result:
    """One picture in, a clean, textured, checked mesh out.

    source: a path, a PIL image, or an array (H, W[, 1, 3 or 4]) of uint8, uint16 or floats in [0, 1].
    recipe: a Recipe or the path of a TOML file. options: flat keywords that win over the recipe, see docs/recipes.md:
    ``make("chair.jpg", height=0.45, faces=5000)``. progress receives (stage, fraction).

    Returns a Result whose mesh is textured, watertight, upright and on the floor, front to +Z, in metres when a height
    was given. A picture of a scene becomes an open relief of what it shows instead, textured by itself.
    Raises the errors of ``liftform.errors``: UsageError, InputError, WeightsError, ReconstructionError.
    """
    road = Road.of(recipe, progress, options)
    capture = road.load(source)
    capture = road.understand(capture)
    dense = road.reconstruct(capture)
    mesh = road.refine(dense, capture)
    return road.report(mesh, capture)


@dataclass(frozen=True)
class Section:
    """What a recipe says about one task: the backend's name and its frozen options."""

    backend: str
    options: Any


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a result besides the picture. Frozen; equal recipes give equal bytes.

    seed feeds every random choice; threads = 0 lets the libraries choose; sections: task -> Section, always complete.
    """

    seed: int = 0
    threads: int = 0
    sections: Mapping[str, Section] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Fill in the sections that were left out."""
        whole = {task: self.sections.get(task) or _section(task, {}, "recipe") for task in registry.tasks()}
        object.__setattr__(self, "sections", whole)

    @classmethod
    def from_toml(cls, path: str | Path, **options: Any) -> Recipe:
        """The recipe in a TOML file; flat keywords win over it.

        Raises InputNotFoundError, or UsageError naming the file and the unknown or wrong key.
        """
        return cls.from_tables(read_toml(path), str(path)).with_options(**options)

    @classmethod
    def from_options(cls, **options: Any) -> Recipe:
        """The default recipe changed by flat keywords: ``Recipe.from_options(height=0.45, seed=1)``."""
        return cls().with_options(**options)

    @classmethod
    def from_tables(cls, tables: Mapping[str, Any], where: str = "recipe") -> Recipe:
        """From plain tables as in TOML: ``{"seed": 1, "height": 2.0, "simplify": {"faces": 5000}}``.

        A key is a task with a table of its options by name, or a flat keyword, which wins.
        """
        tasks = registry.tasks()
        sections = {
            task: _section(task, v, where) for task, v in tables.items() if task in tasks and isinstance(v, Mapping)
        }
        flat = {key: value for key, value in tables.items() if key not in sections}
        return cls(sections=sections)._changed(flat, where)

    def with_options(self, *, backends: Mapping[str, str] | None = None, **options: Any) -> Recipe:
        """A copy changed by flat keywords; ``backends`` maps tasks to backends' names. Raises UsageError."""
        chosen = {task: _section(task, {"backend": name}, "backends") for task, name in (backends or {}).items()}
        return replace(self, sections={**self.sections, **chosen})._changed(options, "options")

    def _changed(self, flat: Mapping[str, Any], where: str) -> Recipe:
        """A copy changed by flat keywords; ``where`` they stood, for messages."""
        known = keywords({task: section.backend for task, section in self.sections.items()})
        general, sections = {}, dict(self.sections)
        for given, value in flat.items():
            word = given.removesuffix("_")  # "as" is a word of Python: make(photo, as_="scene")
            if word in ("seed", "threads"):
                general[word] = _whole(word, value, where)
            elif word in known:
                for task, name in known[word]:
                    sections[task] = _with_field(sections[task], name, value, f"[{task}] of {where}")
            elif word in registry.tasks():
                raise UsageError(f"{word!r} in {where} must be a table, not {value!r}", f"write [{word}]")
            else:
                words = ["seed", "threads", *known, *registry.tasks()]
                raise UsageError(f"unknown option {word!r} in {where}", suggest(word, words))
        return replace(self, sections=sections, **general)

    def to_tables(self) -> dict[str, Any]:
        """Plain, JSON-ready tables that ``from_tables`` reads back."""
        tables: dict[str, Any] = {"seed": self.seed, "threads": self.threads}
        for task, section in self.sections.items():
            tables[task] = {"backend": section.backend, **_plain(dataclasses.asdict(section.options))}
        return tables

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that change with anything that decides the result; threads do not."""
        tables = {key: value for key, value in self.to_tables().items() if key != "threads"}
        return hashlib.sha256(json.dumps(tables, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Result:
    """What ``make`` gives: the finished mesh (world frame), what was learned of the picture, and the report."""

    mesh: Mesh
    capture: Capture
    report: Report
    recipe: Recipe

    def points(self) -> PointCloud:
        """What a scene's picture showed, a coloured point for every pixel of its depth, in the frame of the mesh.

        Raises UsageError when the picture was lifted as an object.
        """
        import numpy as np

        from .reconstruct.relief import points

        cloud = points(self.capture.photo)
        matrix = np.asarray(self.mesh.metadata["asset_from_view"])
        return replace(cloud, points=(cloud.points @ matrix[:3, :3].T + matrix[:3, 3]).astype(np.float32))

    def save(
        self,
        path: str | Path,
        report: bool = True,
        preview: bool = True,
        turntable: str | Path | None = None,
        points: bool = False,
    ) -> list[Path]:
        """Write the asset, ``<stem>.report.json`` and ``<stem>.preview.png``: all of them whole, or none.

        The suffix chooses the format (.glb .obj .ply .stl). turntable: the file of an animation (.webp or .mp4).
        points: the asset is the point cloud of a scene (.ply) instead of its mesh.
        Returns the paths written, the asset first. Raises OutputError, and nothing is left behind.
        """
        from .export import check_target
        from .files import write_whole

        path = check_target(path)
        encoded = registry.factory("export", self.recipe.sections["export"].backend)
        asset = self.points() if points else self.mesh
        files: dict[Path, bytes] = encoded(asset, path, self.recipe.sections["export"].options)
        if preview:
            files[path.with_name(f"{path.stem}.preview.png")] = self._preview_png()
        if report:
            files[path.with_name(f"{path.stem}.report.json")] = self._report_json(files)
        _spare_the_input(Path(self.capture.photo.source), files)
        extra = [self._animated(turntable)] if turntable else []
        return sorted([*write_whole(files), *extra], key=lambda file: file != path)

    def _report_json(self, files: Mapping[Path, bytes]) -> bytes:
        """The report, with the sizes of the files beside it and the recipe that led to them."""
        sizes = {path.name: len(data) for path, data in files.items()}
        return replace(self.report, files=sizes, recipe=self.recipe.to_tables()).to_json().encode()

    def _animated(self, path: str | Path) -> Path:
        from .preview import turntable

        turntable(self.mesh, path)
        return Path(path)

    def _preview_png(self) -> bytes:
        from .preview import preview_image

        buffer = io.BytesIO()
        preview_image(self.capture.photo, self.mesh).save(buffer, format="PNG", compress_level=4)
        return buffer.getvalue()


@dataclass(frozen=True)
class Road:
    """The stages of one recipe, ready to be walked one by one; ``times`` gathers seconds per stage."""

    recipe: Recipe
    runtime: Runtime
    times: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, recipe: Recipe | str | Path | None, progress: Progress, options: Mapping[str, Any]) -> Road:
        """The road of a recipe (or its file, or the default one) changed by flat options."""
        base = recipe if isinstance(recipe, Recipe) else Recipe.from_toml(recipe) if recipe else Recipe()
        final = base.with_options(**options)
        return cls(final, Runtime(final.seed, final.threads, progress))

    def load(self, source: Any) -> Capture:
        """A picture from any source as a Capture."""
        capture: Capture = self._run(
            "load", registry.factory("load", self._name("load")), source, *self._settings("load")
        )
        return capture

    def understand(self, capture: Capture) -> Capture:
        """Decide between object and scene; find the foreground of the one or the depth of the other; and the camera."""
        decide = registry.factory("subject", self._name("subject"))
        mask, depth = (functools.partial(self._stage, task) for task in ("mask", "depth"))
        found = decide(capture, mask, depth, self._marked(), *self._settings("subject"))
        understood: Capture = self._stage("camera", found)
        return understood

    def reconstruct(self, capture: Capture) -> Mesh:
        """A dense closed mesh of an object, or the open relief of a scene, in the view frame."""
        mesh: Mesh = self._stage("relief" if capture.photo.is_scene else "object", capture)
        return mesh

    def refine(self, dense: Mesh, capture: Capture) -> Mesh:
        """One clean component, simplified, unwrapped, textured, with its own trust, standing on the floor.

        A scene is all that but closed already: it only finds its floor and size.
        """
        if capture.photo.is_scene:
            placed: Mesh = self._stage("scale", dense)
            return placed
        dense = self._stage("clean", dense)
        mesh = self._stage("unwrap", self._stage("simplify", dense))
        for task in ("bake", "trust"):
            stage = registry.factory(task, self._name(task))
            mesh = self._run(task, stage, mesh, dense, capture, *self._settings(task))
        finished: Mesh = self._stage("scale", mesh)
        return finished

    def report(self, mesh: Mesh, capture: Capture) -> Result:
        """Check the mesh and gather what was decided, seen and invented."""
        from .report import report

        facts = self._run("report", report, mesh, capture, self.times, self.recipe.digest)
        return Result(mesh, capture, facts, self.recipe)

    def _marked(self) -> bool:
        """Whether the recipe names a mask or a pixel on the object."""
        options = self.recipe.sections["mask"].options
        return any(getattr(options, name, None) is not None for name in ("path", "pick"))

    def _stage(self, task: str, thing: Any) -> Any:
        """Make the task's backend and call it; opening a network counts as part of the stage."""
        factory = registry.factory(task, self._name(task))
        return self._run(task, lambda: factory(*self._settings(task))(thing))

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


def keywords(backends: Mapping[str, str] | None = None) -> dict[str, list[tuple[str, str]]]:
    """flat keyword -> every (task, field) it sets, of the chosen backends' options (the defaults' where none is
    chosen); ``faces`` is the budget of an object's mesh and of a scene's."""
    found: dict[str, list[tuple[str, str]]] = {}
    for task in registry.tasks():
        for f in dataclasses.fields(registry.options_class(task, (backends or {}).get(task, ""))):
            if f.metadata.get("keyword"):
                found.setdefault(f.metadata["keyword"], []).append((task, f.name))
    return found


def _spare_the_input(source: Path, files: Mapping[Path, bytes]) -> None:
    """Raise OutputError when a file to be written is the input picture itself."""
    for file in files:
        if source.is_file() and file.exists() and file.samefile(source):
            raise OutputError(f"{source}: the input picture would be overwritten", "choose another name or folder")


def _section(task: str, values: Mapping[str, Any], where: str) -> Section:
    backend = values.get("backend", "") or registry.default(task)
    if not isinstance(backend, str):
        hint = f"known: {', '.join(registry.names(task))}"
        raise UsageError(f"{task}.backend in {where} must be a name, not {backend!r}", hint)
    rest = {key: value for key, value in values.items() if key != "backend"}
    return Section(backend, build(registry.options_class(task, backend), rest, f"[{task}] of {where}"))


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
