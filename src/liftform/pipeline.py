"""The straight road from a picture to an asset: ``make(source, recipe) -> Result``; photo sets go on to ``scan``."""

from __future__ import annotations

import functools
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .capture import Capture, Decision
from .errors import OutputError, UsageError
from .photoset.sources import is_set
from .road import MODELS, Recipe, Section, Stages, keywords
from .runtime import Progress, silent
from .zoo import public, registry

if TYPE_CHECKING:
    from .assets import Mesh, Model, PointCloud
    from .report import Report
    from .scan import Scan

__all__ = [
    "OBJECT_STAGES",
    "SCENE_STAGES",
    "STAGES",
    "WANTED_STAGES",
    "Recipe",
    "Result",
    "Road",
    "Section",
    "keywords",
    "make",
]

#: The stages that report a time and progress, in order.
STAGES = (*(task for task in registry.tasks("make") if task not in ("subject", "export")), "report")
#: Those that only a scene takes, and those that it leaves out; an object whose mask leaves doubt takes "depth" too.
SCENE_STAGES = ("depth", "relief")
OBJECT_STAGES = ("object", "clean", "simplify", "unwrap", "bake", "trust")
#: Those that are taken only where they are asked for.
WANTED_STAGES = ("retopo", "delight", "lods", "collide")


def make(
    source: Any, recipe: Recipe | str | Path | None = None, *, progress: Progress = silent, **options: Any
) -> Result | Scan:
    """One picture in, a clean, textured, checked mesh out; of a photo set, what ``scan`` makes of it.

    source: a path, a PIL image, or an array (H, W[, 1, 3 or 4]) of uint8, uint16 or floats in [0, 1]; or a set: a
    folder, film, zip archive, pattern with wildcards, or list of paths, whose options and recipe are those of ``scan``.
    recipe: a Recipe or the path of a TOML file. options: flat keywords that win over the recipe, see docs/recipes.md:
    ``make("chair.jpg", height=0.45, faces=5000)``. progress receives (stage, fraction).

    Returns a Result whose mesh is textured, watertight, upright and on the floor, front to +Z, in metres when a height
    was given. A picture of a scene becomes an open relief of what it shows instead, textured by itself.
    Raises the errors of ``liftform.errors``: UsageError, InputError, WeightsError, ReconstructionError.
    """
    if is_set(source):
        from .scan import scan, set_recipe

        return scan(source, set_recipe(recipe), progress=progress, **options)
    road = Road.of(recipe, progress, options)
    capture = road.load(source)
    capture = road.understand(capture)
    dense = road.reconstruct(capture)
    mesh = road.refine(dense, capture)
    return road.report(road.detail(mesh), capture)


@dataclass(frozen=True)
class Result:
    """What ``make`` gives: the model (world frame), what was learned of the picture, and the report."""

    model: Model
    capture: Capture
    report: Report
    recipe: Recipe

    @property
    def mesh(self) -> Mesh:
        """The finished mesh, the finest of the model."""
        return self.model.mesh

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
        html: bool = False,
    ) -> list[Path]:
        """Write the asset, ``<stem>.report.json`` and ``<stem>.preview.png``: all of them whole, or none.

        The suffix chooses the format (.glb .obj .ply .stl). turntable: the file of an animation (.webp or .mp4).
        points: the asset is the point cloud of a scene (.ply) instead of its mesh. html: the report also as a page with
        pictures, ``<stem>.report.html``.
        Returns the paths written, the asset first. Raises OutputError, and nothing is left behind.
        """
        from .export import check_target
        from .files import write_whole

        path = check_target(path)
        encoded = registry.factory("export", self.recipe.sections["export"].backend)
        asset = self.points() if points else self.model
        files: dict[Path, bytes] = encoded(asset, path, self.recipe.sections["export"].options)
        size = sum(map(len, files.values()))
        if preview:
            files[path.with_name(f"{path.stem}.preview.png")] = self._preview_png()
        if report:
            files[path.with_name(f"{path.stem}.report.json")] = (
                self._finished_report(files, size).to_json().encode("utf-8", "replace")
            )
        if html:
            files[path.with_name(f"{path.stem}.report.html")] = self._finished_report(files, size).to_html()
        _spare_the_input(Path(self.capture.photo.source), files)
        extra = [self._animated(turntable)] if turntable else []
        return sorted([*write_whole(files), *extra], key=lambda file: file != path)

    def _finished_report(self, files: Mapping[Path, bytes], size: int) -> Report:
        """The report, with the asset's size in bytes, those of the files beside it and the recipe that led to them."""
        sizes = {path.name: len(data) for path, data in files.items()}
        return replace(self.report.sized(size), files=sizes, recipe=self.recipe.to_tables())

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
class Road(Stages):
    """The stages from a picture to its mesh."""

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
        understood: Capture = self._stage("reference", self._stage("camera", found))
        return understood

    def reconstruct(self, capture: Capture) -> Mesh:
        """A dense closed mesh of an object, or the open relief of a scene, in the view frame."""
        mesh: Mesh = self._stage("relief" if capture.photo.is_scene else "object", capture)
        return mesh

    def refine(self, dense: Mesh, capture: Capture) -> Mesh:
        """One clean component, simplified, unwrapped, textured, with its own trust, standing on the floor.

        A scene is all that but closed already: it only finds its floor and size.
        """
        from .refine.yardstick import measured

        if capture.photo.is_scene:
            if self._wanted("retopo"):
                raise UsageError("quads are for objects", "leave out --quads, or say --as object")
            placed: Mesh = self._stage("scale", measured(self._if_wanted("delight", dense), capture.photo))
            return placed
        dense = self._stage("clean", dense)
        mesh = self._stage("unwrap", self._stage("retopo" if self._wanted("retopo") else "simplify", dense))
        mesh = self._if_wanted("delight", self._looked_up("bake", mesh, dense, capture))
        mesh = self._looked_up("trust", mesh, dense, capture)
        finished: Mesh = self._stage("scale", measured(mesh, capture.photo))
        return finished

    def _looked_up(self, task: str, mesh: Mesh, dense: Mesh, capture: Capture) -> Mesh:
        """A stage that needs more than the mesh: what it was before it was reduced, and the picture."""
        stage = registry.factory(task, self._name(task))
        changed: Mesh = self._run(task, stage, mesh, dense, capture, *self._settings(task))
        return changed

    def report(self, model: Model, capture: Capture) -> Result:
        """Check the mesh and gather what was decided, seen and invented."""
        from .report import report

        task = "depth" if capture.photo.is_scene else "object"
        told = capture.learned(capture.photo, self._network(task, model.mesh.metadata.get("model")))
        facts = self._run("report", report, model, told, self.times, self.recipe.digest)
        return Result(model, capture, facts, self.recipe)

    def _network(self, task: str, known_as: str | None) -> Decision:
        """Which network made the shape; of the embedded one, what another would be."""
        name = self._name(task)
        if name != registry.default(task):
            row = public.MODELS.get(name)
            return Decision("model", known_as or name, "given", row.licence_line if row else "")
        flag = {backend: word for word, backend in MODELS.items()}[task].replace("_", "-")
        others = [
            f"--{flag} {other} ({row.weights}, {public.size_text(row.size)})"
            for other, row in public.MODELS.items()
            if row.task == task and other in registry.names(task)
        ]
        pulled = f"; larger ones, pulled at first use: {', '.join(others)}; see liftform models" if others else ""
        note = f"embedded: small and quick{pulled}"
        return Decision("model", known_as or name, "guessed", note)

    def _marked(self) -> bool:
        """Whether the recipe names a mask or a pixel on the object."""
        options = self.recipe.sections["mask"].options
        return any(getattr(options, name, None) is not None for name in ("path", "pick"))


def _spare_the_input(source: Path, files: Mapping[Path, bytes]) -> None:
    """Raise OutputError when a file to be written is the input picture itself."""
    for file in files:
        if source.is_file() and file.exists() and file.samefile(source):
            raise OutputError(f"{source}: the input picture would be overwritten", "choose another name or folder")
