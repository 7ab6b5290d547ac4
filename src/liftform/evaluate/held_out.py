"""Which pictures of a set are learned from, and which are kept back to be compared with drawn views."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from ..capture import Capture, Photo

#: Where nothing is said, the first of so many pictures is kept back (NeRF's protocol for real scenes).
_EVERY = 8


def parted(folder: Path, capture: Capture) -> tuple[Capture, tuple[Photo, ...]]:
    """The capture without, and the photos that are held out: those that transforms.json calls test or val in "split",
    else every eighth.

    Points that came with the set are dropped: they may be its truth, or were found in pictures that are held out.
    """
    told = folder / "transforms.json"
    frames = json.loads(told.read_text(encoding="utf-8"))["frames"] if told.is_file() else []
    names = {Path(frame["file_path"]).stem for frame in frames if frame.get("split") in ("test", "val")}
    names = names or {Path(photo.source).stem for photo in capture.photos[::_EVERY]}
    held = tuple(photo for photo in capture.photos if Path(photo.source).stem in names)
    rest = tuple(photo for photo in capture.photos if Path(photo.source).stem not in names)
    return replace(capture, photos=rest, sparse=None), held
