"""A picture of a plan -> its sheet, whatever its suffix; a PDF or DXF under a picture's name is read as what it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .load import sheets
from .sheet import Sheet


def read(path: Path, pages: Sequence[int] | None = None) -> list[Sheet]:
    """The sheets of a file told by its bytes; see ``load.sheets``."""
    return sheets(path, pages)
