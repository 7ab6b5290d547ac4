"""What several formats need: who wrote the file, a texture as PNG or JPEG bytes, normals that are truly unit."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..assets import Mesh, PointCloud

if TYPE_CHECKING:
    from . import ExportOptions

#: zlib level of PNG textures: higher ones cost seconds at 4096 px for a percent of size.
_PNG_LEVEL = 4


def signature(asset: Mesh | PointCloud) -> str:
    """One line of ASCII for headers: the program, the axes and the unit, "metre" or "unknown"."""
    scale = asset.metadata.get("scale") if isinstance(asset, Mesh) else None
    unit = scale.get("unit") if isinstance(scale, dict) else None
    return f"liftform {__version__}; +Y up, front +Z; unit: {unit if unit == 'metre' else 'unknown'}"


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
