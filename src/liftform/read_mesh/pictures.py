"""Texture files -> arrays, within a limit of pixels for the whole file."""

from __future__ import annotations

import io
import warnings

import numpy as np
from numpy.typing import NDArray

from ..errors import TooLargeError
from .source import Source

#: The most pixels of all textures of a file together: 0.8 GB of RGB.
MAX_PIXELS = 1 << 28

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TGA", "TIFF", "GIF", "DDS")

Pixels = NDArray[np.uint8]


class Pictures:
    """Decodes the textures of one file, each once. Missing and unreadable ones become notes of ``source``."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._left = MAX_PIXELS
        self._decoded: dict[str, Pixels | None] = {}

    def decode(self, name: str, data: bytes | None) -> Pixels | None:
        """(H, W, 4) uint8 of the picture called ``name``, origin top-left, or None with a note.

        Raises TooLargeError when the file's textures together hold more pixels than are read.
        """
        if name not in self._decoded:
            self._decoded[name] = self._fresh(name, data)
        return self._decoded[name]

    def named(self, name: str) -> Pixels | None:
        """The same, of a picture in a file beside the source."""
        if name in self._decoded:
            return self._decoded[name]
        return self.decode(name, self._source.beside(name))

    def _fresh(self, name: str, data: bytes | None) -> Pixels | None:
        from PIL import Image

        if data is None:
            self._source.note(f"texture {name!r} is missing")
            return None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                image = Image.open(io.BytesIO(data), formats=_FORMATS)
                self._spend(image.width * image.height)
                return _eight_bits(image)
        except TooLargeError:
            raise
        except Image.DecompressionBombError as error:
            raise self._too_large() from error
        except Exception as error:  # a damaged picture can break any assumption of its decoder
            reason = " ".join(str(error).split())[:60] or type(error).__name__
            if "cannot identify" in reason:
                reason = "KTX2 is not read" if data[1:7] == b"KTX 20" else "not a known picture"
            self._source.note(f"texture {name!r} cannot be read ({reason})")
            return None

    def _spend(self, pixels: int) -> None:
        self._left -= pixels
        if self._left < 0:
            raise self._too_large()

    def _too_large(self) -> TooLargeError:
        what = f"{self._source.path}: its textures hold more than {MAX_PIXELS >> 20} megapixels"
        return TooLargeError(what, "make the textures smaller")


def _eight_bits(image: object) -> Pixels:
    """RGBA with 8 bits a channel; 16-bit grey keeps its upper byte."""
    from PIL import Image

    assert isinstance(image, Image.Image)
    if image.mode.startswith("I"):
        deep = np.asarray(image).astype(np.int64)
        grey = (deep >> 8 if deep.max(initial=0) > 255 else deep).clip(0, 255).astype(np.uint8)
        return np.dstack([grey, grey, grey, np.full_like(grey, 255)])
    return np.ascontiguousarray(np.asarray(image.convert("RGBA"), np.uint8))
