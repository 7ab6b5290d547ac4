"""From any mesh to one that can be used: ``fix(source, recipe) -> Fixed``."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from .assets import Mesh, Model
from .errors import OutputError, UsageError
from .road import Recipe, Stages
from .runtime import Progress, silent
from .topology import merged
from .zoo import registry

if TYPE_CHECKING:
    from .report import Fitness, Measures

#: The stages that report a time and progress, in order.
STAGES = ("read", *(task for task in registry.tasks("fix") if task != "export"), "report")
#: How far a remade surface may move while it is reduced, as a share of the diagonal.
_REMADE_ERROR = 0.0005
#: A mesh of so many faces that is left with less than this share of them has lost detail worth a map.
_MANY, _HARD = 10_000, 0.25
#: Texture coordinates of which more than this share lies under two faces hold no maps of detail.
_SHARED = 0.01
#: Farther off than this share of the diagonal, a reduction that kept seams and material lines is tried without.
_SPOILED = 0.03


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
    mended = road.mend(before)
    mesh = road.shape(mended)
    mesh = road.dress(mesh, mended, before)
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

    @property
    def done(self) -> dict[str, Any]:
        """What each stage that was walked notes of its work, see ``report.done``."""
        from .report.done import done

        walked = {*self.seconds, *(("scale",) if "resize" in self.seconds else ())}
        return {task: facts for task, facts in done(self.model).items() if task in walked}

    def to_dict(self) -> dict[str, Any]:
        """Plain, JSON-ready facts: measures before and after, verdicts, what each stage did."""
        return {
            "before": self.measures_before.to_dict(),
            "after": self.measures.to_dict(),
            "fitness": [verdict.to_dict() for verdict in self.fitness],
            "done": self.done,
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
            files[path.with_name(f"{path.stem}.report.json")] = text.encode("utf-8", "replace")
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

    def _refuse(self) -> None:
        super()._refuse()
        if self._wanted("retopo") and self._fewer():
            raise UsageError("quads and fewer triangles are two ways", "say --quads --quad-count N, without --faces")

    def read(self, source: str | Path | Mesh) -> Mesh:
        """The mesh as it is, all materials kept."""
        from .read_mesh import read_mesh

        if isinstance(source, Mesh):
            return source.validate()
        return self._run("read", read_mesh, source, flatten=False)

    def mend(self, mesh: Mesh) -> Mesh:
        """A valid mesh; first, where that was asked for, one with the sides that were missing."""
        mended: Mesh = self._stage("repair", self._if_wanted("complete", mesh))
        return mended

    def shape(self, mesh: Mesh) -> Mesh:
        """A surface of quads or of fewer faces where that was asked for; of fewer too where the whole was remade, on a
        fine grid."""
        if self._wanted("retopo"):
            return self._if_wanted("retopo", mesh)
        options, runtime = self._settings("reduce")
        if not self._fewer():
            if mesh.metadata.get("repair", {}).get("road") != "solid":
                return mesh
            options = replace(options, error=_REMADE_ERROR)
        stage = registry.factory("reduce", self._name("reduce"))(options, runtime)
        reduced: Mesh = self._run("reduce", stage, mesh)
        return self._freely(stage, mesh, reduced)

    def _freely(self, stage: Callable[[Mesh], Mesh], mesh: Mesh, reduced: Mesh) -> Mesh:
        """The reduced mesh; where keeping seams and material lines spoiled it, one reduced without them if that comes
        nearer: it gets its looks anew."""
        facts = reduced.metadata["reduce"]
        if mesh.uv is None or (facts["ended"] != "stuck" and _farthest(facts) <= _SPOILED):
            return reduced
        bare = stage(Mesh(*merged(mesh), name=mesh.name, metadata=mesh.metadata))
        found = bare.metadata["reduce"]
        fewer = len(bare.faces) < len(reduced.faces) or facts["ended"] != "stuck"
        return bare if fewer and _farthest(found) < _farthest(facts) else reduced

    def _fewer(self) -> bool:
        """Whether fewer faces are asked for."""
        options = self._settings("reduce")[0]
        return options.faces is not None or options.error is not None

    def dress(self, mesh: Mesh, mended: Mesh, before: Mesh) -> Mesh:
        """What lost its looks takes them over from the mesh it was made of, new textures and all; maps of the detail
        that is gone from the shape, where asked for or much is gone; less of the light, where asked for."""
        source = mended if _has_looks(mended) or not _has_looks(before) else before
        if _has_looks(mesh) or not (_has_looks(source) or self._detailed(mesh)):
            dressed = self._detail_added(mesh, source) if self._detailed(mesh) else mesh
        else:
            textured = any(material.textures for material in source.all_materials)
            opened = self._stage("unwrap", mesh) if textured or self._detailed(mesh) else mesh
            dressed = self._transferred(opened, source)
        return self._if_wanted("delight", dressed)

    def _detailed(self, mesh: Mesh) -> bool:
        """Whether maps of the detail are asked for or, without a word, much of it is gone."""
        options = self._settings("transfer")[0]
        asked = (options.normal, options.occlusion)
        if any(asked) or asked == (False, False):
            return any(asked)
        if "reduce" not in self.times:
            return "retopo" in self.times
        counts = mesh.metadata["reduce"]
        return bool(counts["faces_before"] >= _MANY and counts["faces"] < _HARD * counts["faces_before"])

    def _detail_added(self, mesh: Mesh, source: Mesh) -> Mesh:
        """Maps of the source's detail beside the textures that are there; where the texture coordinates cannot hold
        them, all is laid out and carried over anew if the maps were asked for."""
        if mesh.material is not None and _holds_maps(mesh):
            made = self._transferred(mesh, source)
            assert made.material is not None
            maps = {name: getattr(made.material, name) for name in ("normal_texture", "occlusion_texture")}
            new = {name: texture for name, texture in maps.items() if texture is not None}
            return made.with_(material=replace(mesh.material, **new))
        options = self._settings("transfer")[0]
        if not (options.normal or options.occlusion):
            return mesh
        return self._transferred(self._stage("unwrap", mesh), source)

    def _transferred(self, mesh: Mesh, source: Mesh) -> Mesh:
        stage = registry.factory("transfer", self._name("transfer"))
        dressed: Mesh = self._run("transfer", stage, mesh, source, *self._settings("transfer"))
        return dressed

    def place(self, mesh: Mesh) -> Mesh:
        """Upright and of real size, where that was asked for or the file says it; else just as it stood."""
        posed = self._stage("pose", mesh)
        placed: Mesh = self._stage("resize", posed)
        return placed

    def report(self, model: Model, before: Mesh) -> Fixed:
        """Measure the mesh as it came and as it is, and judge it."""
        from .report import judge, measure

        was = self._run("report", measure, before)
        now = self._run("report", measure, model)
        recipe = self.recipe
        assert isinstance(recipe, FixRecipe)
        return Fixed(model, before, now, was, judge(now), recipe, self.times)


def _farthest(facts: Mapping[str, Any]) -> float:
    """The largest deviation that a reduction notes."""
    return max(float(facts["deviation"][name]) for name in ("max_there", "max_back"))


def _has_looks(mesh: Mesh) -> bool:
    """Whether there is anything that says what the surface looks like."""
    return mesh.uv is not None or bool(mesh.all_materials) or mesh.colors is not None


def _holds_maps(mesh: Mesh) -> bool:
    """Whether every face has a place of its own on the texture."""
    from .report.layout import layout

    found = layout(mesh)
    return found is not None and found.overlap <= _SHARED and found.outside == 0


def spare_the_input(source: Path, target: Path) -> None:
    """Raise OutputError when the mesh to be written is the input itself."""
    if source.is_file() and target.exists() and target.samefile(source):
        raise OutputError(f"{source}: the input would be overwritten", "choose another name or folder")
