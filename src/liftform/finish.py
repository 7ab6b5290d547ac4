"""From any mesh to one that can be used: ``fix(source, recipe) -> Fixed``."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from .assets import Mesh, Model
from .errors import OutputError
from .road import Recipe, Stages
from .runtime import Progress, silent
from .zoo import registry

if TYPE_CHECKING:
    from .report import Fitness, Measures

#: The stages that report a time and progress, in order.
STAGES = ("read", *(task for task in registry.tasks("fix") if task != "export"), "report")
#: How far a remade surface may move while it is reduced, as a share of the diagonal.
_REMADE_ERROR = 0.0005


def fix(
    source: str | Path | Mesh,
    recipe: FixRecipe | str | Path | None = None,
    *,
    progress: Progress = silent,
    **options: Any,
) -> Fixed:
    """Any mesh in, a valid one out, with what was asked for: fewer faces, quads, new maps, levels, collision parts.

    source: a file that ``read_mesh`` opens, or a Mesh. recipe: a FixRecipe or the path of a TOML file; options: flat
    keywords that win over it, see docs/recipes.md: ``fix("scan.obj", faces=20000, height="45cm")``. progress receives
    (stage, fraction).

    What is sound stays as it is, bit for bit; what is mended, closed or turned is said in the result's metadata and
    report. Raises the errors of ``liftform.errors``: UsageError, InputError, ReconstructionError.
    """
    road = Road.of(recipe, progress, options)
    before = road.read(source)
    mesh = road.mend(before)
    mesh = road.shape(mesh)
    mesh = road.dress(mesh, before)
    mesh = road.place(mesh)
    return road.report(road.detail(mesh), before)


@dataclass(frozen=True)
class FixRecipe(Recipe):
    """A recipe of the road from a mesh; see ``Recipe``."""

    ROAD: ClassVar[str] = "fix"


@dataclass(frozen=True)
class Fixed:
    """What ``fix`` gives: the model, the mesh as it came, the figures and verdicts of both, and the way there."""

    model: Model
    before: Mesh
    measures: Measures
    measures_before: Measures
    fitness: tuple[Fitness, ...]
    recipe: FixRecipe
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def mesh(self) -> Mesh:
        """The finest mesh of the model."""
        return self.model.mesh

    def to_dict(self) -> dict[str, Any]:
        """Plain, JSON-ready facts: measures before and after, verdicts, what each stage did."""
        done = {
            task: self.mesh.metadata[task] for task in (*registry.tasks("fix"), "scale") if task in self.mesh.metadata
        }
        return {
            "before": self.measures_before.to_dict(),
            "after": self.measures.to_dict(),
            "fitness": [verdict.to_dict() for verdict in self.fitness],
            "done": done,
            "seconds": {**self.seconds, "total": sum(self.seconds.values())},
            "recipe": self.recipe.to_tables(),
            "recipe_digest": self.recipe.digest,
        }

    def save(self, path: str | Path, report: bool = True, preview: bool = True, html: bool = False) -> list[Path]:
        """Write the asset, ``<stem>.report.json`` and ``<stem>.preview.png`` (before and after): all, or none.

        The suffix chooses the format. html: the report also as a page with pictures, ``<stem>.report.html``.
        Returns the paths written, the asset first. Raises OutputError.
        """
        from .export import check_target
        from .files import write_whole

        path = check_target(path)
        section = self.recipe.sections["export"]
        encoded = registry.factory("export", section.backend)
        asset = self.model if self.model.levels or self.model.collision else self.mesh
        files: dict[Path, bytes] = encoded(asset, path, section.options)
        if preview:
            files[path.with_name(f"{path.stem}.preview.png")] = self._preview_png()
        if report:
            facts = {**self.to_dict(), "files": {file.name: len(data) for file, data in files.items()}}
            text = json.dumps(facts, indent=2, ensure_ascii=False, default=str) + "\n"
            files[path.with_name(f"{path.stem}.report.json")] = text.encode()
        if html:
            files[path.with_name(f"{path.stem}.report.html")] = self._page(files)
        return sorted(write_whole(files), key=lambda file: file != path)

    def _page(self, files: Mapping[Path, bytes]) -> bytes:
        """The report as a self-contained page."""
        from .report.html import Content, page

        content = Content(
            self.mesh.name,
            self.mesh,
            self.measures,
            self.fitness,
            before=self.before,
            before_measures=self.measures_before,
            model=self.model,
            files={file.name: len(data) for file, data in files.items()},
        )
        return page(content)

    def _preview_png(self) -> bytes:
        from .preview import compared

        buffer = io.BytesIO()
        compared(self.before, self.mesh).save(buffer, format="PNG", compress_level=4)
        return buffer.getvalue()


@dataclass(frozen=True)
class Road(Stages):
    """The stages from a mesh to a usable one."""

    RECIPE: ClassVar[type[Recipe]] = FixRecipe

    def read(self, source: str | Path | Mesh) -> Mesh:
        """The mesh as it is, all materials kept."""
        from .read_mesh import read_mesh

        if isinstance(source, Mesh):
            return source.validate()
        return self._run("read", read_mesh, source, flatten=False)

    def mend(self, mesh: Mesh) -> Mesh:
        """A valid mesh; first, where that was asked for, one with the sides that were missing."""
        if self._settings("complete")[0].wanted:
            mesh = self._stage("complete", mesh)
        mended: Mesh = self._stage("repair", mesh)
        return mended

    def shape(self, mesh: Mesh) -> Mesh:
        """Fewer faces where that was asked for, or where the whole was remade, on a fine grid."""
        options, runtime = self._settings("reduce")
        if options.faces is None and options.error is None:
            if mesh.metadata.get("repair", {}).get("road") != "solid":
                return mesh
            options = replace(options, error=_REMADE_ERROR)
        stage = registry.factory("reduce", self._name("reduce"))(options, runtime)
        reduced: Mesh = self._run("reduce", stage, mesh)
        return reduced

    def dress(self, mesh: Mesh, before: Mesh) -> Mesh:
        """A mesh that was remade gets texture coordinates and takes over the looks of the one that came."""
        if mesh.uv is not None or not (before.all_materials or before.colors is not None):
            return mesh
        textured = any(material.textures for material in before.all_materials)
        opened = self._stage("unwrap", mesh) if textured else mesh
        stage = registry.factory("transfer", self._name("transfer"))
        dressed: Mesh = self._run("transfer", stage, opened, before, *self._settings("transfer"))
        return dressed

    def place(self, mesh: Mesh) -> Mesh:
        """Upright and of real size, where that was asked for or the file says it; else just as it stood."""
        posed = self._stage("pose", mesh)
        placed: Mesh = self._stage("resize", posed)
        return placed

    def detail(self, mesh: Mesh) -> Model:
        """The mesh with the coarser levels that were asked for."""
        return Model(mesh, self._stage("lods", mesh))

    def report(self, model: Model, before: Mesh) -> Fixed:
        """Measure the mesh as it came and as it is, and judge it."""
        from .report import judge, measure

        was = self._run("report", measure, before)
        now = self._run("report", measure, model)
        recipe = self.recipe
        assert isinstance(recipe, FixRecipe)
        return Fixed(model, before, now, was, judge(now), recipe, self.times)


def spare_the_input(source: Path, target: Path) -> None:
    """Raise OutputError when the mesh to be written is the input itself."""
    if source.is_file() and target.exists() and target.samefile(source):
        raise OutputError(f"{source}: the input would be overwritten", "choose another name or folder")
