"""What several formats need: who wrote the file, textures as bytes, true unit normals, faces by material."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..assets import Material, Mesh, PointCloud
from ..conventions import linear_to_srgb, srgb_to_linear

if TYPE_CHECKING:
    from . import ExportOptions

#: zlib level of PNG textures: higher ones cost seconds at 4096 px for a percent of size.
_PNG_LEVEL = 4

Pixels = NDArray[np.uint8]


def signature(asset: Mesh | PointCloud) -> str:
    """One line of ASCII for headers: the program, the axes and the unit, "metre" or "unknown"."""
    return f"liftform {__version__}; +Y up, front +Z; unit: {unit_of(asset)}"


def unit_of(asset: Mesh | PointCloud) -> str:
    """ "metre" where that is known, else "unknown"."""
    scale = asset.metadata.get("scale") if isinstance(asset, Mesh) else None
    unit = scale.get("unit") if isinstance(scale, dict) else None
    return "metre" if unit == "metre" else "unknown"


def encode_texture(texture: Pixels, options: ExportOptions) -> bytes:
    """A texture (H, W), (H, W, 3) or (H, W, 4) as the bytes of a PNG or, without chroma subsampling, a JPEG file.

    With alpha it is always a PNG: JPEG has none.
    """
    from PIL import Image

    image, file = Image.fromarray(np.ascontiguousarray(texture)), io.BytesIO()
    if texture_suffix(texture, options) == "jpg":
        image.save(file, "JPEG", quality=options.jpeg_quality, subsampling=0)
    else:
        image.save(file, "PNG", compress_level=_PNG_LEVEL)
    return file.getvalue()


def texture_suffix(texture: Pixels, options: ExportOptions) -> str:
    """ "png" or "jpg": what ``encode_texture`` makes of it."""
    return "jpg" if options.texture_format == "jpeg" and texture.shape[2:] != (4,) else "png"


def unit_normals(normals: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Normals (V, 3) at unit length; those without a direction point up."""
    long = np.nan_to_num(np.asarray(normals, np.float64))
    length = np.linalg.norm(long, axis=1, keepdims=True)
    up = np.array([0.0, 1.0, 0.0])
    return np.where(length > 1e-12, long / np.maximum(length, 1e-12), up).astype(np.float32)


def lots(mesh: Mesh) -> list[tuple[Material | None, NDArray[np.int64]]]:
    """(material, numbers of its faces) of every material in use; halves of quadrilaterals stay neighbours."""
    if mesh.face_material is None:
        return [(mesh.material, np.arange(len(mesh.faces)))]
    found = [(material, np.flatnonzero(mesh.face_material == k)) for k, material in enumerate(mesh.materials)]
    return [(material, faces) for material, faces in found if len(faces)]


def quads_among(mesh: Mesh, faces: NDArray[np.int64]) -> int:
    """How many quadrilaterals stand at the front of ``mesh.faces[faces]``, whole ones."""
    count = int(np.count_nonzero(faces < 2 * mesh.quads))
    pairs = faces[: count - count % 2].reshape(-1, 2)
    whole = (pairs[:, 0] % 2 == 0) & (pairs[:, 1] == pairs[:, 0] + 1)
    return len(pairs) if count % 2 == 0 and bool(whole.all()) else 0


def polygons(mesh: Mesh, faces: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The quadrilaterals (Q, 4) and triangles (T, 3) of some faces of a mesh."""
    quads = quads_among(mesh, faces)
    pairs = mesh.faces[faces[: 2 * quads]].reshape(-1, 6)
    return pairs[:, [0, 1, 2, 5]], mesh.faces[faces[2 * quads :]]


def is_textured(mesh: Mesh) -> bool:
    """Whether a texture gives some part of the mesh its colour, which vertex colours would tint."""
    return any(material.base_color_texture is not None for material in mesh.all_materials)


def times(texture: Pixels, factor: float) -> Pixels:
    """A linear texture with its factor worked in."""
    return texture if factor == 1 else np.rint(texture * np.float32(factor)).clip(0, 255).astype(np.uint8)


def tinted(texture: Pixels, factor: Sequence[float]) -> Pixels:
    """An sRGB texture (H, W, 3 or 4) with its linear factor worked in; a fourth number scales alpha."""
    if all(x == 1 for x in factor[:3]) and (texture.shape[2] == 3 or len(factor) < 4 or factor[3] == 1):
        return texture
    levels = srgb_to_linear((np.arange(256) / 255).astype(np.float32))
    out = texture.copy()
    for k in range(3):
        out[..., k] = np.rint(linear_to_srgb(levels * np.float32(factor[k])) * 255).astype(np.uint8)[texture[..., k]]
    if texture.shape[2] == 4 and len(factor) > 3:
        out[..., 3] = times(texture[..., 3], factor[3])
    return out


def plain_name(name: str, fallback: str = "object") -> str:
    """A name for files and identifiers: letters, digits and _ alone, not beginning with a digit."""
    word = re.sub(r"[^0-9A-Za-z_]+", "_", name.strip()).strip("_")
    return fallback if not word else f"_{word}" if word[0].isdigit() else word


def distinct(names: Sequence[str]) -> list[str]:
    """The names, repeated ones numbered."""
    taken: set[str] = set()
    out = []
    for name in names:
        new, k = name, 1
        while new in taken:
            new, k = f"{name}_{k}", k + 1
        taken.add(new)
        out.append(new)
    return out
