"""Zip archives in which meshes come: members are read into memory by name, within a limit, and never unpacked."""

from __future__ import annotations

import io
import posixpath
import zipfile

from .source import MAX_BYTES, Source


class Archive:
    """The members of a zip file. Nothing is written to disk, so that no member name can lead out of a folder."""

    def __init__(self, source: Source) -> None:
        """Raises UnreadableError when the bytes are no zip archive."""
        self._source = source
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(source.data))
        except Exception as error:  # zipfile raises many kinds on damaged archives
            raise source.damaged("not a zip archive") from error
        self._names = {_clean(info.filename): info for info in self._zip.infolist()}
        self._left = MAX_BYTES

    @property
    def names(self) -> list[str]:
        """The members, without a slash in front."""
        return list(self._names)

    def read(self, name: str) -> bytes | None:
        """A member's bytes, or None when there is none of that name.

        Raises UnreadableError when it is damaged, encrypted, or larger than what may still be unpacked: the sizes that
        the archive claims are not believed.
        """
        info = self._names.get(_clean(name))
        if info is None:
            return None
        try:
            with self._zip.open(info) as stream:
                data = stream.read(self._left + 1)
        except Exception as error:
            raise self._source.damaged(f"its member {name[:80]!r} cannot be unpacked") from error
        self._left -= len(data)
        if self._left < 0:
            raise self._source.damaged(f"it unpacks to more than {MAX_BYTES >> 20} MiB")
        return data


def _clean(name: str) -> str:
    return posixpath.normpath(name.replace("\\", "/")).lstrip("/")
