"""From a photo set or a film to cameras: ``poses(source, recipe) -> Poses``."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from .assets import PointCloud
from .capture import Capture, Decision, Photo
from .errors import OutputError
from .road import Recipe, Stages
from .runtime import Progress, silent
from .zoo import registry

#: The stages that report a time and progress, in order.
STAGES = ("photos", "masks", "features", "matching", "mapping")
#: Where in a set's folder its pictures may lie.
_INSIDE = ("images", "keyframes/images", "keyframes/corrected_images", "corrected_images")


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
    found: Capture = road._stage("poses", capture)
    return Poses(found, road.recipe, _folder_of(source, found), road.times)


def _folder_of(source: Any, capture: Capture) -> Path | None:
    """Where the pictures lie, so that they can be named from elsewhere; None where they are no files of their own."""
    names = [photo.source for photo in capture.photos]
    if isinstance(source, str | Path):
        whole = Path(source).expanduser()
        near = [whole, *(whole / name for name in _INSIDE), whole.parent]
    else:
        near = [Path(path).expanduser().parent for path in source[:1]] if isinstance(source, Sequence) else []
    return next((folder for folder in near if all((folder / name).is_file() for name in names)), None)


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
        """Write transforms.json (nerfstudio) at ``path`` (.json) and <stem>.points.ply beside it: all, or none.

        Frames of a film and pictures of an archive, which lie nowhere, are written too, into the folder <stem>_images.

        Raises OutputError (another suffix, no room, the cameras that were read would be overwritten).
        """
        from .export.poses import encode
        from .files import write_whole

        path = Path(path).expanduser()
        if path.suffix.lower() != ".json":
            raise OutputError(f"{path}: cameras are written as .json", "name it poses.json")
        if not path.absolute().parent.is_dir():
            raise OutputError(f"{path}: no such folder", "make it first")
        if path.exists() and path.name == "transforms.json":
            raise OutputError(f"{path}: the cameras that were read would be overwritten", "choose another name")
        extra = {"decisions": [vars(d) for d in self.capture.decisions]}
        if self.folder is not None:
            return write_whole(encode(self.capture, path, self.folder, extra))
        folder = path.with_name(f"{path.stem}_images")
        made = not folder.exists()
        try:
            folder.mkdir(exist_ok=True)
            capture = replace(self.capture, photos=tuple(_as_file(photo) for photo in self.capture.photos))
            pictures = {folder / photo.source: _jpeg(photo) for photo in capture.photos}
            return write_whole({**pictures, **encode(capture, path, folder, extra)})
        except (OSError, OutputError) as error:
            if made and folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
            if isinstance(error, OutputError):
                raise
            raise OutputError(f"{folder}: cannot write there ({error.strerror})", "choose another target") from error


def _as_file(photo: Photo) -> Photo:
    """The photo under the name and the size that it is written with."""
    return replace(photo, source=f"{Path(photo.source).stem}.jpg", original_size=photo.size)


def _jpeg(photo: Photo) -> bytes:
    from PIL import Image

    from .conventions import to_uint8

    buffer = io.BytesIO()
    Image.fromarray(to_uint8(photo.image)).save(buffer, format="JPEG", quality=95)
    return buffer.getvalue()


@dataclass(frozen=True)
class Road(Stages):
    """The stages from a set to its cameras."""

    RECIPE: ClassVar[type[Recipe]] = PosesRecipe
    recipe: PosesRecipe

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
