"""Which pictures a set has: a folder, a pattern, a zip archive or a list, with masks beside them and known cameras."""

from __future__ import annotations

import glob
import re
import stat
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, InputNotFoundError, LiftformError, TooLargeError, UnreadableError
from ..picture.sniff import SUFFIXES
from .posed import PhotoSet, PosedPhoto, is_photo_set, read_photo_set

#: What is opened at most: pictures of a set; members and bytes of an archive, unpacked.
MAX_PICTURES = 2000
MAX_MEMBERS = 10_000
MAX_BYTES = 8 << 30

PICTURES = frozenset(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)
VIDEOS = frozenset((".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".3gp", ".wmv", ".mts"))
#: What else of an archive is of use.
_BESIDE = frozenset((".json", ".txt", ".bin", ".ply"))
_MASK_WORD = re.compile(r"[._-]mask$", re.IGNORECASE)


@dataclass(frozen=True)
class Item:
    """One picture of a set: its file, what is known of its camera, and the file of its mask."""

    path: Path
    known: PosedPhoto | None = None
    mask: Path | None = None


@dataclass(frozen=True)
class Found:
    """The pictures of a set, in order. kind: "folder", "archive", "files" or "video" (``items`` is then the film).

    points (N, 3): of the surfaces, from the file of the cameras.
    """

    kind: str
    items: tuple[Item, ...]
    points: NDArray[np.float64]


@contextmanager
def found(source: str | Path | Sequence[str | Path]) -> Iterator[Found]:
    """Look a set up; an archive stays unpacked, in a folder of its own, until the end of the ``with``.

    Raises InputNotFoundError (nothing there, no pictures), UnreadableError (a damaged archive or file of cameras),
    TooLargeError (more pictures or bytes than are opened), InputError (an archive that would write elsewhere).
    """
    if not isinstance(source, str | Path):
        yield _files([Path(path).expanduser() for path in source], "the list")
        return
    path = Path(source).expanduser()
    if path.is_dir():
        yield _folder(path)
    elif path.is_file() and path.suffix.lower() in VIDEOS:
        yield Found("video", (Item(path),), np.zeros((0, 3)))
    elif path.is_file() and zipfile.is_zipfile(path):
        with tempfile.TemporaryDirectory(prefix="liftform-") as room:
            yield replace(_folder(_unpacked(path, Path(room)), str(path)), kind="archive")
    elif path.is_file() and path.suffix.lower() == ".zip":
        raise UnreadableError(f"{path}: the archive is damaged or cut short", "copy it again")
    elif path.is_file() and path.name.endswith("transforms.json"):
        yield _folder(path.parent)
    elif path.is_file():
        raise InputError(f"{path}: one picture is no set", "give a folder, or lift it with `liftform make`")
    elif glob.has_magic(str(source)):
        yield _files([Path(name) for name in glob.glob(str(path), recursive=True)], str(source))
    else:
        raise InputNotFoundError(f"{source}: no such file or folder", "check the path")


def is_set(source: object) -> bool:
    """Whether a source is a photo set: a folder, film, zip archive, file of cameras, pattern or list of paths."""
    if isinstance(source, list | tuple):
        return True
    if not isinstance(source, str | Path):
        return False
    try:
        path = Path(source).expanduser()
        if path.suffix.lower() in (*VIDEOS, ".zip") or path.is_dir() or path.name.endswith("transforms.json"):
            return True
        return not path.exists() and glob.has_magic(str(source))
    except (OSError, ValueError):  # no name that a file can have: what is wrong with it says its opening
        return False


def natural(path: Path) -> list[tuple[int, int, str]]:
    """A key that sorts img2 before img10."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", str(path).lower())]


def _files(paths: Sequence[Path], named: str) -> Found:
    missing = next((path for path in paths if not path.is_file()), None) if named == "the list" else None
    if missing is not None:
        raise InputNotFoundError(f"{missing}: no such file", "check the path")
    pictures = sorted((path for path in paths if _is_picture(path)), key=natural)
    films = [path for path in paths if path.suffix.lower() in VIDEOS]
    if not pictures and len(films) == 1:
        return Found("video", (Item(films[0]),), np.zeros((0, 3)))
    return Found("files", _items(pictures, named), np.zeros((0, 3)))


def _folder(folder: Path, named: str = "") -> Found:
    """A folder with pictures, or with images/ that has them, or with cameras that name them."""
    named = named or str(folder)
    if is_photo_set(folder):
        return _posed(folder, named)
    for where in (folder, folder / "images", folder / "keyframes" / "images"):
        files = sorted(where.iterdir(), key=natural) if where.is_dir() else []
        if pictures := [path for path in files if _is_picture(path)]:
            return Found("folder", _items(pictures, named), np.zeros((0, 3)))
        if len(films := [path for path in files if path.suffix.lower() in VIDEOS]) == 1:
            return Found("video", (Item(films[0]),), np.zeros((0, 3)))
    known = ", ".join(sorted(suffix[1:] for suffix in PICTURES)[:12])
    raise InputNotFoundError(f"{named}: no pictures in it", f"put pictures there ({known}, ...) or one film")


def _is_picture(path: Path) -> bool:
    marked = _MASK_WORD.search(path.stem) or path.name.startswith(".")
    return path.suffix.lower() in PICTURES and not marked and path.is_file()


def _items(pictures: Sequence[Path], named: str) -> tuple[Item, ...]:
    if not pictures:
        raise InputNotFoundError(f"{named}: no pictures in it", "check the path")
    if len(pictures) > MAX_PICTURES:
        told = f"{named}: {len(pictures)} pictures are more than liftform opens together"
        raise TooLargeError(told, f"give at most {MAX_PICTURES}")
    return tuple(Item(path, mask=mask_beside(path)) for path in pictures)


def mask_beside(picture: Path) -> Path | None:
    """The file of a picture's mask: masks/NAME.png, masks/STEM.png, STEM.mask.png or STEM_mask.png, or None."""
    beside = [picture.with_name(f"{picture.stem}{word}.png") for word in (".mask", "_mask", "-mask")]
    for folder in (picture.parent / "masks", picture.parent.parent / "masks"):
        beside += [folder / f"{picture.name}.png", folder / f"{picture.stem}.png", folder / picture.name]
    return next((path for path in beside if path.is_file() and path != picture), None)


def _posed(folder: Path, named: str) -> Found:
    try:
        photos: PhotoSet = read_photo_set(folder)
    except LiftformError as error:
        raise type(error)(error.message.replace(str(folder), named), error.hint) from error
    items = [Item(p.path, p, p.mask or mask_beside(p.path)) for p in photos.photos]
    items += [Item(path, mask=mask_beside(path)) for path in photos.unposed]
    if len(items) > MAX_PICTURES:
        raise TooLargeError(f"{named}: {len(items)} pictures are too many", f"give at most {MAX_PICTURES}")
    return Found("folder", tuple(sorted(items, key=lambda item: natural(item.path))), photos.points)


def _unpacked(archive: Path, room: Path) -> Path:
    """Unpack what is of use below ``room``; the folder in it that holds the set."""
    left = MAX_BYTES
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [info for info in opened.infolist() if not info.is_dir()]
            if len(members) > MAX_MEMBERS:
                raise TooLargeError(f"{archive}: {len(members)} members are too many", f"give at most {MAX_MEMBERS}")
            for info in members:
                name = _safe(info, archive)
                if PurePosixPath(name).suffix.lower() not in (*PICTURES, *VIDEOS, *_BESIDE):
                    continue
                target = room / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(info) as stream, target.open("wb") as out:
                    while block := stream.read(1 << 20):
                        left -= len(block)
                        if left < 0:  # the sizes that an archive claims are not believed
                            raise TooLargeError(f"{archive}: unpacks to more than {MAX_BYTES >> 30} GiB", "split it")
                        out.write(block)
    except LiftformError:
        raise
    except Exception as error:  # zipfile raises many kinds on damaged archives
        reason = " ".join(str(error).split())[:100]
        raise UnreadableError(f"{archive}: the archive cannot be unpacked ({reason})", "pack it again") from error
    inner = [path for path in room.iterdir() if path.name != "__MACOSX"]
    return inner[0] if len(inner) == 1 and inner[0].is_dir() and inner[0].name != "images" else room


def _safe(info: zipfile.ZipInfo, archive: Path) -> str:
    """A member's name; InputError when it leads out of the folder or is a link."""
    name = info.filename.replace("\\", "/")
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or ":" in parts[0] or stat.S_ISLNK(info.external_attr >> 16):
        raise InputError(f"{archive}: its member {name[:80]!r} leads out of the archive", "do not trust this file")
    return name
