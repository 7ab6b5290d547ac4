"""From a photo set or a film to cameras: ``poses(source, recipe) -> Poses``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from .assets import PointCloud
from .capture import Capture, Decision
from .errors import OutputError
from .road import Recipe, Stages
from .runtime import Progress, silent
from .zoo import registry

#: The stages that report a time and progress, in order.
STAGES = ("photos", "masks", "features", "matching", "mapping")


def poses(
    source: str | Path | Sequence[str | Path] | Capture,
    recipe: PosesRecipe | str | Path | None = None,
    *,
    progress: Progress = silent,
    **options: Any,
) -> Poses:
    """A photo set in, its cameras and sparse points out (extras ``sets``, and ``video`` for films).

    source: a folder, a pattern with wildcards, a zip archive, a film, a list of paths, or a Capture. recipe: a
    PosesRecipe or the path of a TOML file; options: flat keywords that win over it, see docs/photosets.md:
    ``poses("photos/", distance="first.jpg,last.jpg=1.2m")``. progress receives (stage, fraction).

    Cameras that come with the pictures (transforms.json, COLMAP, Polycam) are checked against them and kept. Pictures
    that cannot be placed are named, with what would help. Raises the errors of ``liftform.errors``: InputError,
    ReconstructionError (no camera can be found), UsageError, MissingExtraError.
    """
    road = Road.of(recipe, progress, options)
    capture = road.masked(road.photos(source))
    folder = Path(source).expanduser() if isinstance(source, str | Path) else None
    return Poses(road._stage("poses", capture), road.recipe, _pictures(folder), road.times)


def _pictures(folder: Path | None) -> Path | None:
    """Where the pictures of a folder lie, so that they can be named from elsewhere."""
    if folder is None or not folder.is_dir():
        return None
    return folder


@dataclass(frozen=True)
class PosesRecipe(Recipe):
    """A recipe of the road from a set to its cameras; see ``Recipe``."""

    ROAD: ClassVar[str] = "poses"


@dataclass(frozen=True)
class Poses:
    """What ``poses`` gives: the capture with cameras (None where a picture could not be placed), and the way there."""

    capture: Capture
    recipe: PosesRecipe
    folder: Path | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def placed(self) -> int:
        """How many pictures have a camera."""
        return sum(photo.camera is not None for photo in self.capture.photos)

    @property
    def points(self) -> PointCloud | None:
        """The sparse points, coloured, in the world frame."""
        from .export.poses import sparse_cloud

        return sparse_cloud(self.capture)

    def decided(self, what: str) -> Decision | None:
        """The last decision of this name."""
        return next((d for d in reversed(self.capture.decisions) if d.what == what), None)

    def to_dict(self) -> dict[str, Any]:
        """What was found, JSON-ready."""
        sparse = self.capture.sparse
        return {
            "pictures": len(self.capture.photos),
            "placed": self.placed,
            "points": 0 if sparse is None else len(sparse.points),
            "metric": self.capture.metric,
            "decisions": [vars(d) for d in self.capture.decisions],
            "seconds": {**self.seconds, "total": sum(self.seconds.values())},
            "recipe": self.recipe.to_tables(),
        }

    def save(self, path: str | Path) -> list[Path]:
        """Write transforms.json (nerfstudio) at ``path`` (.json) and <stem>.points.ply beside it: both, or none.

        Raises OutputError (another suffix, no room, the cameras that were read would be overwritten).
        """
        from .export.poses import encode
        from .files import write_whole

        path = Path(path).expanduser()
        if path.suffix.lower() != ".json":
            raise OutputError(f"{path}: cameras are written as .json", "name it poses.json")
        if not path.absolute().parent.is_dir():
            raise OutputError(f"{path}: no such folder", "make it first")
        given = self.folder / "transforms.json" if self.folder is not None else None
        if given is not None and path.exists() and given.exists() and path.samefile(given):
            raise OutputError(f"{path}: the cameras that were read would be overwritten", "choose another name")
        extra = {"decisions": [vars(d) for d in self.capture.decisions]}
        return write_whole(encode(self.capture, path, self.folder, extra))


@dataclass(frozen=True)
class Road(Stages):
    """The stages from a set to its cameras."""

    RECIPE: ClassVar[type[Recipe]] = PosesRecipe

    def photos(self, source: Any) -> Capture:
        """Open the set."""
        load = registry.factory("photos", self._name("photos"))
        opened: Capture = self._run("photos", load, source, *self._settings("photos"))
        return opened

    def masked(self, capture: Capture) -> Capture:
        """Estimate what is background, where that is asked for and not known."""
        if self.recipe.sections["photos"].options.masks != "estimated":
            return capture
        return self._run("masks", self._estimated, capture)

    def _estimated(self, capture: Capture) -> Capture:
        name = registry.default("mask")
        mask = registry.factory("mask", name)(registry.options_class("mask", name)(), replace(self.runtime))
        photos = tuple(photo if photo.mask else mask(Capture((photo,))).photo for photo in capture.photos)
        told = Decision("masks", len(photos), "estimated", "of the foreground; matches outside are not used")
        return replace(capture, photos=photos, decisions=(*capture.decisions, told))
