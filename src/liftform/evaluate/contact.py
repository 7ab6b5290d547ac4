"""A contact sheet of many pictures: input, cut-out and three views of each result, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..capture import Photo
from ..errors import LiftformError
from ..files import whole_file
from ..preview import cutout_tile, labelled, message_tile, photo_tile, view_cameras, view_tiles
from ..render import Scene

if TYPE_CHECKING:
    from PIL import Image

#: label, azimuth and elevation in degrees.
VIEWS = (("as photographed", 0.0, 12.0), ("turned", 50.0, 18.0), ("back", 180.0, 12.0))


def contact_sheet(
    sources: Sequence[str | Path],
    out_png: str | Path,
    make: Callable[..., Any] | None = None,
    size_px: int = 224,
    columns: int = 2,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, str]:
    """Lift every picture and write one sheet (PNG, or JPEG by its suffix), ``columns`` pictures to a row.

    A picture that cannot be lifted keeps its place, with the reason. Returns source -> reason of the failures; raises
    OutputError when the sheet cannot be written.
    """
    from ..pipeline import make as default

    strips, failures = [], {}
    for i, source in enumerate(sources):
        tiles, reason = strip(source, make or default, size_px)
        strips.append(tiles)
        if reason:
            failures[str(source)] = reason
        progress(i + 1, len(sources))
    with whole_file(out_png) as beside:
        stacked(strips, columns).save(beside, optimize=True, quality=88)
    return failures


def strip(source: str | Path, make: Callable[..., Any], size_px: int, label: str = "") -> tuple[Image.Image, str]:
    """One picture's row of tiles, and why it failed ("" when it did not). label: under the input, else its name."""
    name = label or Path(source).name
    try:
        result = make(source)
        mesh, photo = result.mesh, result.capture.photo
        angles = [(azimuth, elevation) for _, azimuth, elevation in VIEWS]
        views = view_tiles(Scene(mesh), view_cameras(mesh, size_px, angles))
        tiles = [photo_tile(photo, size_px, outline=False), cutout_tile(photo, size_px), *views]
        return labelled(tiles, [name, "cut-out", *(label for label, _, _ in VIEWS)]), ""
    except Exception as error:  # one bad picture must not cost the whole sheet
        known = isinstance(error, LiftformError)
        reason = str(error).replace(str(source), name) if known else f"unexpected {type(error).__name__}: {error}"
        tiles = [_input_tile(source, size_px), message_tile(reason, size_px * (1 + len(VIEWS)), size_px)]
        return labelled(tiles, [name, "failed"]), reason


def _input_tile(source: str | Path, size_px: int) -> NDArray[np.uint8]:
    """The picture as any viewer shows it, or an empty tile when it cannot even be opened."""
    from PIL import Image, ImageOps

    try:
        with Image.open(source) as opened:
            picture = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"), np.float32) / np.float32(255)
    except (OSError, ValueError, Image.DecompressionBombError):
        return message_tile("", size_px, size_px)
    return photo_tile(Photo(picture), size_px)


def stacked(strips: Sequence[Image.Image], columns: int) -> Image.Image:
    """Strips of one size on a sheet, row by row, with a narrow gap between columns."""
    from PIL import Image

    from ..preview import BACKGROUND, byte_color

    columns = max(1, min(columns, len(strips)))
    rows = -(-len(strips) // columns)
    width, height = strips[0].size
    gap = 24
    sheet = Image.new("RGB", (columns * width + (columns - 1) * gap, rows * height), byte_color(BACKGROUND))
    for i, strip in enumerate(strips):
        sheet.paste(strip, ((i % columns) * (width + gap), (i // columns) * height))
    return sheet
