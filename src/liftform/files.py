"""One file written whole or not at all, for whatever can only write to a path."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import OutputError


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A file beside ``path`` to write into: it takes the name at the end, or vanishes after an error.

    Raises OutputError when the disk refuses (no such folder, no permission, no room).
    """
    path = Path(path)
    beside = path.with_name(f".liftform-{secrets.token_hex(8)}{path.suffix}")
    try:
        yield beside
        os.replace(beside, path)
    except OSError as error:
        raise OutputError(f"{path}: cannot write there ({error.strerror or error})", "choose another target") from error
    finally:
        beside.unlink(missing_ok=True)
