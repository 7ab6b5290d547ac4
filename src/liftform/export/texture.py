"""What several formats need: a texture as PNG or JPEG bytes, normals that are truly unit."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from . import ExportOptions

#: zlib level of PNG textures: higher ones cost seconds at 4096 px for a percent of size.
_PNG_LEVEL = 4


def encode_texture(texture: NDArray[np.uint8], options: ExportOptions) -> bytes:
    """An sRGB texture (H, W, 3) as the bytes of a PNG or, without chroma subsampling, a JPEG file."""
    from PIL import Image

    image, file = Image.fromarray(np.ascontiguousarray(texture[..., :3])), io.BytesIO()
    if options.texture_format == "jpeg":
        image.save(file, "JPEG", quality=options.jpeg_quality, subsampling=0)
    else:
        image.save(file, "PNG", compress_level=_PNG_LEVEL)
    return file.getvalue()


def unit_normals(normals: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Normals (V, 3) at unit length; those without a direction point up."""
    long = np.nan_to_num(np.asarray(normals, np.float64))
    length = np.linalg.norm(long, axis=1, keepdims=True)
    up = np.array([0.0, 1.0, 0.0])
    return np.where(length > 1e-12, long / np.maximum(length, 1e-12), up).astype(np.float32)
