"""The road from a photo set or film to an asset: ``scan(source, recipe) -> Scan``."""

from __future__ import annotations

import glob
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .assets import Mesh, Model, PointCloud, RadianceField, Splats
from .camera import Camera
from .capture import Capture, Decision, Photo
from .errors import OutputError, ReconstructionError, UsageError
from .photoset.kept import kept
from .photoset.sources import VIDEOS, found, natural
from .photoset.straight import straight
from .poses import PosesRecipe
from .poses import Road as PosesRoad
from .preview import BACKGROUND
from .road import Recipe
from .runtime import Progress, silent
from .zoo import registry

if TYPE_CHECKING:
    from .pipeline import Result
    from .report.facts import Report
    from .report.sets import BareReport

#: The stages that report a time and progress, in order.
STAGES = (
    *(
        "photos",
        "masks",
        "features",
        "matching",
        "mapping",
        "choose",
        "stereo",
        "sky",
        "fusion",
        "implicit",
        "field",
        "splats",
    ),
    *("tidy", "complete", "unwrap", "paint", "stand", "lods", "collide", "report"),
)
#: Method -> the task that makes its asset.
_MAKES = {"stereo": "fusion", "surface": "implicit", "field": "field", "splat": "splats"}
#: Suffix of a file that only one method writes.
METHOD_OF = {".field": "field", ".spz": "splat"}
#: Pictures of the preview, each beside what the asset looks like from its place.
_SHOWN = 3


def scan(
    source: str | Path | Sequence[str | Path] | Capture,
    recipe: ScanRecipe | str | Path | None = None,
    *,
    progress: Progress = silent,
    **options: Any,
) -> Scan:
    """A photo set or film in; a textured mesh, a radiance field or splats out (extras ``sets``, ``fields``, ``video``).

    source: as for ``poses``. recipe: a ScanRecipe or the path of a TOML file; options: flat keywords that win over it,
    see docs/photosets.md: ``scan("photos/", method="surface", faces=50000)``. progress receives (stage, fraction).

    The way is chosen from the pictures, and the report says why; where they measure nothing, the first one is lifted
    alone, which is said too. Raises the errors of ``liftform.errors``: InputError, ReconstructionError, UsageError,
    MissingExtraError.
    """
    road = Road.of(recipe, progress, options)
    named = name_of(source)
    alone = _only_picture(source)
    if alone is not None:
        return road.single(alone, Capture(()), named, "the set has one picture")
    capture = road.masked(road.photos(source))
    capture, why = road.placed(capture)
    if why:
        return road.single(capture.photo, capture, named, why)
    capture = road.chosen(capture)
    world = straight(capture)
    return road.finished(road.reconstructed(world, capture), world, capture, named)


@dataclass(frozen=True)
class ScanRecipe(PosesRecipe):
    """A recipe of the road from a set to an asset; see ``Recipe``."""

    ROAD: ClassVar[str] = "scan"


@dataclass(frozen=True)
class Scan:
    """What ``scan`` gives: the asset (world frame), all pictures with what was learned of them, and the report.

    asset: a Model (a mesh with what belongs to it), a RadianceField or Splats. world: the pictures that were used,
    free of distortion, with depths where the method measured them. single: the result of the one picture that had to
    do, or None.
    """

    asset: Any
    capture: Capture
    world: Capture
    report: Report | BareReport
    recipe: ScanRecipe
    single: Result | None = None

    @property
    def method(self) -> str:
        """The way that was taken: stereo, surface, field, splat or single."""
        return method_of(self.capture)

    @property
    def model(self) -> Model:
        """The mesh with its levels and collision parts; UsageError of a field or splats."""
        if not isinstance(self.asset, Model):
            told = f"the method {self.method!r} makes no mesh"
            raise UsageError(told, "say method='stereo' or 'surface', or leave the choice")
        return self.asset

    @property
    def mesh(self) -> Mesh:
        """The finished mesh, the finest of the model; UsageError of a field or splats."""
        return self.model.mesh

    def points(self) -> PointCloud:
        """The dense points on which the pictures agree, coloured, in the frame of the mesh; UsageError where the method
        measured no depths."""
        if self.single is not None:
            return self.single.points()
        if all(photo.depth is None for photo in self.world.photos):
            told = f"the method {self.method!r} measures no dense points"
            raise UsageError(told, "say --method stereo")
        from .reconstruct.fusion import FusionOptions, points

        options = self.recipe.sections["fusion"].options
        cloud: PointCloud = points(self.world, options if isinstance(options, FusionOptions) else FusionOptions())
        matrix = np.asarray(self.mesh.metadata["asset_from_view"])
        return replace(cloud, points=(cloud.points @ matrix[:3, :3].T + matrix[:3, 3]).astype(np.float32))

    def save(
        self,
        path: str | Path,
        report: bool = True,
        preview: bool = True,
        turntable: str | Path | None = None,
        points: bool = False,
        html: bool = False,
    ) -> list[Path]:
        """Write the asset, ``<stem>.report.json`` and ``<stem>.preview.png``: all of them whole, or none.

        The suffix chooses the format: meshes as ``Result.save``, a field .field, splats .ply or .spz. turntable: the
        file of an animation of a mesh (.webp or .mp4). points: ``<stem>.points.ply`` is written too, or the asset
        itself where its name ends in .ply or .las. html: the report also as a page with pictures.
        Returns the paths written, the asset first. Raises OutputError, and nothing is left behind.
        """
        from .files import write_whole

        if self.single is not None:
            return self.single.save(path, report, preview, turntable, points, html)
        path = check_target(path, self.method)
        files = self._encoded(path, points)
        self._spare_the_input(files)
        size = sum(map(len, files.values()))
        facts = replace(self.report.sized(size), recipe=self.recipe.to_tables())
        if preview:
            files |= self._preview(path)
        if report:
            sizes = {file.name: len(data) for file, data in files.items()}
            text = replace(facts, files=sizes).to_json().encode("utf-8", "replace")
            files[path.with_name(f"{path.stem}.report.json")] = text
        if html and isinstance(self.asset, Model):
            files[path.with_name(f"{path.stem}.report.html")] = facts.to_html()  # type: ignore[union-attr]
        extra = []
        if turntable:
            from .preview import turntable as animate

            animate(self.mesh, turntable)
            extra = [Path(turntable)]
        return sorted([*write_whole(files), *extra], key=lambda file: file != path)

    def _encoded(self, path: Path, points: bool) -> dict[Path, bytes]:
        """The asset's files, and those of its points."""
        section = self.recipe.sections["export"]
        encoded = registry.factory("export", section.backend)
        if isinstance(self.asset, RadianceField):
            from .field_file import encoded as field_bytes

            return {path: field_bytes(self.asset)}
        if points and path.suffix.lower() in (".ply", ".las"):
            files: dict[Path, bytes] = encoded(self.points(), path, section.options)
            return files
        files = encoded(self.asset, path, section.options)
        if points:
            files |= encoded(self.points(), path.with_name(f"{path.stem}.points.ply"), section.options)
        return files

    def _preview(self, path: Path) -> dict[Path, bytes]:
        """Pictures of the set, each beside the asset from the same place."""
        from .preview import beside_photos, beside_views

        shown = spread(self.world.photos, _SHOWN)
        if isinstance(self.asset, Model):
            sheet = beside_photos(shown, self.mesh)
        elif (seen := _drawn(self.asset)) is not None:
            sheet = beside_views(shown, seen)
        else:
            return {}
        buffer = io.BytesIO()
        sheet.save(buffer, format="PNG", compress_level=4)
        return {path.with_name(f"{path.stem}.preview.png"): buffer.getvalue()}

    def _spare_the_input(self, files: Mapping[Path, bytes]) -> None:
        """Raise OutputError when a file to be written is one of the pictures."""
        names = {Path(photo.source).name for photo in self.capture.photos}
        for file in files:
            if file.name in names and file.exists():
                raise OutputError(f"{file}: a picture of the set would be overwritten", "choose another name or folder")


@dataclass(frozen=True)
class Road(PosesRoad):
    """The stages from a set to an asset."""

    RECIPE: ClassVar[type[Recipe]] = ScanRecipe

    def placed(self, capture: Capture) -> tuple[Capture, str]:
        """The capture with cameras; or as it was, and why its pictures measure nothing."""
        try:
            return self._kept("poses", capture), ""
        except ReconstructionError as error:
            if self._asked() != "auto":
                raise
            return capture, f"{error.message}; {error.hint}"

    def chosen(self, capture: Capture) -> Capture:
        """The capture with the decision which way to take."""
        told: Capture = self._stage("choose", capture)
        return told

    def reconstructed(self, world: Capture, capture: Capture) -> Any:
        """A mesh, field or splats in the cameras' world; of stereo, the photos with depths beside the mesh."""
        method = method_of(capture)
        if method == "stereo":
            measured = self._run("sky", self._below_sky, self._kept("stereo", world))
            return measured, self._stage("fusion", measured)
        return world, self._stage(_MAKES[method], world)

    def _below_sky(self, capture: Capture) -> Capture:
        """The depths without the sky, as the network for single pictures sees it."""
        from .photoset.sky import without_sky

        name = registry.default("depth")
        estimate = registry.factory("depth", name)(
            registry.options_class("depth", name)(), replace(self.runtime, progress=silent)
        )
        return without_sky(capture, estimate)

    def _kept(self, stage: str, capture: Capture) -> Capture:
        """A stage whose result is kept in a folder, where that was asked for, and taken from there."""
        section, folder = self.recipe.sections[stage], getattr(self.recipe.sections["choose"].options, "keep", "")
        said = {"stage": section.backend, **asdict(section.options), "seed": self.recipe.seed}
        return kept(folder, stage, capture, said, lambda: self._stage(stage, capture))

    def finished(self, made: tuple[Capture, Any], world: Capture, capture: Capture, named: str) -> Scan:
        """A mesh tidied, completed where asked for, unwrapped, painted and put on its floor; and the report."""
        world, asset = made
        recipe = self.recipe
        assert isinstance(recipe, ScanRecipe)
        if not isinstance(asset, Mesh):
            from .report.sets import bare_report

            kind = _MAKES[method_of(capture)]
            told = bare_report(kind, figures_of(asset), capture, named, self.times, recipe.digest)
            return Scan(asset, capture, world, told, recipe)
        from .report.sets import confirmed, set_report

        mesh = self.dressed(asset, world)
        seen_by = confirmed(Model(mesh), world)
        model = self.detail(self._stage("stand", self._in_world(mesh, capture)))
        report = self._run("report", set_report, model, world, capture, named, self.times, recipe.digest, seen_by)
        return Scan(model, capture, world, report, recipe)

    def dressed(self, dense: Mesh, world: Capture) -> Mesh:
        """The surface without what is loose, closed where that was asked for, with a texture from the pictures."""
        mesh = self._stage("tidy", dense)
        if self._wanted("complete"):
            mesh = self._run("complete", self._completed, mesh)
        opened = self._stage("unwrap", mesh)
        paint = registry.factory("paint", self._name("paint"))
        painted: Mesh = self._run("paint", lambda: paint(*self._settings("paint"))(opened, world))
        return painted

    def _completed(self, mesh: Mesh) -> Mesh:
        """Closed: large openings as ``complete`` does, the small ones and what is broken by repair."""
        from .topology import health

        whole: Mesh = registry.factory("complete", self._name("complete"))(*self._settings("complete"))(mesh)
        if health(whole, 0).watertight:
            return whole
        options = registry.options_class("repair")()
        repaired: Mesh = registry.factory("repair")(options, self.runtime)(whole)
        return repaired

    def _in_world(self, mesh: Mesh, capture: Capture) -> Mesh:
        """Noted: whether the world is in metres, and whether masks cut the object out of it."""
        placed = [photo for photo in capture.photos if photo.camera is not None]
        masked = sum(photo.mask is not None for photo in placed) > 0.5 * len(placed)
        return mesh.with_(metadata={**mesh.metadata, "world": {"metric": capture.metric, "object": masked}})

    def single(self, source: Any, capture: Capture, named: str, why: str) -> Scan:
        """One picture lifted alone, by the single-picture road: most of it is invented, and the report says so."""
        from .pipeline import Recipe as OneRecipe
        from .pipeline import make

        if self._asked() != "auto":
            raise UsageError(f"--method {self._asked()}: {why}", "one picture measures nothing: leave --method out")
        recipe = self.recipe
        assert isinstance(recipe, ScanRecipe)
        faces = recipe.sections["tidy"].options.faces
        usual = type(recipe.sections["tidy"].options)().faces
        options = {} if faces == usual else {"faces": faces}
        base = OneRecipe(recipe.seed, recipe.threads)
        photo = replace(source, mask=None, depth=None, camera=None) if isinstance(source, Photo) else source
        result = make(photo, base, progress=self.runtime.progress, **options)
        assert not isinstance(result, Scan)
        told = Decision("method", "single", "estimated", why)
        known = replace(result.capture, decisions=(*capture.decisions, told, *result.capture.decisions))
        warning = f"lifted from one picture alone, {Path(result.capture.photo.source).name}: {why}"
        report = replace(
            result.report, decisions=(told, *result.report.decisions), warnings=(warning, *result.report.warnings)
        )
        single = replace(result, capture=known, report=report)
        return Scan(result.model, known, result.capture, report, recipe, single)

    def _asked(self) -> str:
        return str(getattr(self.recipe.sections["choose"].options, "method", "auto"))


def method_of(capture: Capture) -> str:
    """The way that was chosen."""
    return next((str(d.value) for d in reversed(capture.decisions) if d.what == "method"), "stereo")


def set_recipe(recipe: Recipe | str | Path | None) -> ScanRecipe | str | Path | None:
    """The recipe, if a set can be made by it; UsageError of a recipe of another road."""
    if isinstance(recipe, Recipe) and not isinstance(recipe, ScanRecipe):
        raise UsageError("this recipe is for single pictures", "give a liftform.scan.ScanRecipe, or options alone")
    return recipe


def check_target(path: str | Path, method: str = "auto") -> Path:
    """``path`` as a Path if an asset of this method can be written there; raises OutputError like
    ``export.check_target``."""
    from .export import check_target as check

    path = Path(path)
    suffix = path.suffix.lower()
    only = METHOD_OF.get(suffix)
    if only is not None and method not in ("auto", only):
        raise OutputError(
            f"{path}: {suffix} files hold what --method {only} makes, not {method}", "choose another name"
        )
    if method == "field" and suffix != ".field":
        raise OutputError(f"{path}: a radiance field is written as .field", "or leave --method out for a mesh")
    if method == "splat" and suffix not in (".ply", ".spz"):
        raise OutputError(f"{path}: splats are written as .ply or .spz", "or leave --method out for a mesh")
    if only is not None or method in ("field", "splat"):
        check(path.with_name(path.name + ".glb"))  # the same folder, a suffix that it knows
        if path.is_dir():
            raise OutputError(f"{path}: is a folder, not a file", "give it a name, as in statue.field")
        return path
    return check(path)


def name_of(source: Any) -> str:
    """What to call a set: its folder or file."""
    if isinstance(source, str | Path):
        path = Path(source).expanduser().resolve()
        return (
            path.parent.name if path.name in ("images", "transforms.json") or glob.has_magic(path.name) else path.name
        )
    if isinstance(source, Capture):
        return f"{len(source.photos)} pictures"
    return f"{len(source)} pictures"


def figures_of(asset: Any) -> dict[str, Any]:
    """Figures of a field or splats: how many parts it has, and the plain numbers that it notes of itself."""
    found: dict[str, Any] = {}
    if isinstance(asset, Splats):
        found["splats"] = len(asset.means)
    if isinstance(asset, RadianceField):
        found["bricks"] = len(asset.places)
    noted = getattr(asset, "metadata", {})
    return {**found, **{key: value for key, value in noted.items() if isinstance(value, int | float | str | bool)}}


def _drawn(asset: Any) -> Callable[[Camera], NDArray[np.float32]] | None:
    """What a field or splats look like from a camera, (H, W, 3) float32 sRGB."""
    if isinstance(asset, Splats):
        from .reconstruct.splats.view import render

        return lambda camera: render(asset, camera, BACKGROUND)
    if isinstance(asset, RadianceField):
        from .reconstruct.field.view import background_of, bricks_of, view

        bricks, behind = bricks_of(asset), np.asarray(background_of(asset), np.float32)

        def seen(camera: Camera) -> NDArray[np.float32]:
            found = view(asset, camera, bricks)
            return np.asarray(found.color + (1 - found.alpha[..., None]) * behind, np.float32)

        return seen
    return None


def spread(photos: Sequence[Photo], count: int) -> list[Photo]:
    """``count`` of the photos, evenly through their order, the first among them."""
    if len(photos) <= count:
        return list(photos)
    return [photos[round(k * len(photos) / count)] for k in range(count)]


def _only_picture(source: Any) -> Path | None:
    """The one picture of a folder, pattern or list that has one; None where there are more, or a film."""
    if isinstance(source, Capture):
        return None
    if isinstance(source, str | Path) and Path(source).suffix.lower() in (".zip", *VIDEOS):
        return None
    with found(source) as things:
        items = sorted((item.path for item in things.items), key=natural)
        return items[0] if things.kind != "video" and len(items) == 1 else None
