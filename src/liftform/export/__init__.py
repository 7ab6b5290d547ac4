"""Asset -> file: glTF, OBJ, PLY, STL, USD, 3MF and SPZ, chosen by suffix, written whole or not at all."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from ..assets import Assembly, Mesh, Model, PointCloud, RadianceField, Splats
from ..errors import OutputError
from ..files import write_whole
from ..recipe import option
from .target import FORMATS, check_suffix, check_target

__all__ = ["FORMATS", "ExportOptions", "check_suffix", "check_target", "encoded", "save"]

_MODULES = {
    ".glb": "gltf",
    ".obj": "obj",
    ".ply": "ply",
    ".stl": "stl",
    ".usdz": "usd",
    ".usda": "usd",
    ".usdc": "usd",
    ".3mf": "threemf",
    ".las": "las",
}


@dataclass(frozen=True)
class ExportOptions:
    """How files are written."""

    texture_format: Literal["png", "jpeg"] = option(
        "png", "how textures are stored: png (exact) or jpeg (smaller)", keyword="texture_format"
    )
    jpeg_quality: int = option(92, "quality of jpeg textures", low=30, high=100)
    compress: Literal["none", "quantise", "meshopt", "draco"] = option(
        "none", "geometry of GLB files: as it is, in fewer bits, or packed (extra compress)", keyword="compress"
    )
    levels: Literal["together", "apart", "both"] = option(
        "together", "levels of detail: within the GLB (other formats: apart), as files of their own, or both", "levels"
    )
    hulls: Literal["apart", "inside"] = option(
        "apart", "collision parts: a file of their own, or within the GLB, where viewers show them", keyword="hulls"
    )


def save(
    asset: Mesh | PointCloud | Model | Assembly | Splats | RadianceField,
    path: str | Path,
    options: ExportOptions | None = None,
) -> list[Path]:
    """Write ``asset`` (world frame) in the format of the suffix; the same asset gives the same bytes.

    .glb: everything the mesh holds; ``seen`` as the attribute _SEEN, metadata as extras. .obj: with <name>.mtl and
    textures beside it. .ply: mesh with vertex colours and ``seen``, or a PointCloud; .las: a PointCloud alone. .stl:
    geometry alone. .usdz, .usda, .usdc (extra usd): with all materials; .3mf: geometry with colours. Coordinates are
    written as they are, +Y up, front to +Z, but in millimetres and +Z up in 3MF, and +Z up in LAS; the unit in
    ``metadata["scale"]["unit"]`` ("metre" or "unknown") is noted in the file. Quadrilaterals stay whole in .obj, .ply
    and USD.

    An Assembly keeps its tree of named nodes in .glb; other formats hold it as one mesh. A Model brings its levels of
    detail and collision parts: see ExportOptions; files of their own are called <name>_lod1… and <name>_collision.
    Splats go into .ply (as 3D Gaussian splatting writes them) and .spz, which holds nothing else.

    Returns the files written, the asset first. Raises OutputError (unknown suffix, target unwritable, disk full, an
    asset the format cannot hold) with nothing left behind, MissingExtraError, and InputError for an invalid asset.
    """
    path = check_target(path)
    written = write_whole(encoded(asset, path, options))
    return sorted(written, key=lambda file: file != path)


def encoded(
    asset: Mesh | PointCloud | Model | Assembly | Splats | RadianceField,
    path: str | Path,
    options: ExportOptions | None = None,
) -> dict[Path, bytes]:
    """What ``save`` would write: file -> bytes, for callers that write more beside it. Raises as ``save`` does."""
    path, options = Path(path), options or ExportOptions()
    if isinstance(asset, RadianceField):
        if path.suffix.lower() != ".field":
            raise OutputError(f"{path}: {path.suffix} files do not hold radiance fields", "save it as .field")
        from ..field_file import encoded as field_bytes

        return {path: field_bytes(asset)}
    suffix = check_suffix(path)
    asset.validate()
    if isinstance(asset, Splats):
        if suffix not in (".ply", ".spz"):
            raise OutputError(f"{path}: {suffix} files do not hold splats", "save them as .ply or .spz")
        from .splats import encode

        return encode(asset, path, options)
    if suffix == ".spz":
        raise OutputError(f"{path}: .spz files hold splats, this is {type(asset).__name__}", "save it as .glb or .ply")
    if isinstance(asset, PointCloud):
        if suffix not in (".ply", ".las"):
            raise OutputError(f"{path}: {suffix} files hold meshes, this is a point cloud", "save it as .ply or .las")
        return _encoded(asset, path, options)
    if suffix == ".las":
        raise OutputError(f"{path}: .las files hold points, this is {type(asset).__name__}", "save it as .glb or .ply")
    if isinstance(asset, Assembly):
        if suffix == ".glb":
            from .gltf import encode_assembly

            return encode_assembly(asset, path, options)
        asset = asset.merged()
    model = asset if isinstance(asset, Model) else Model(asset)
    one_file = suffix == ".glb"
    inside = replace(
        model,
        levels=model.levels if one_file and options.levels != "apart" else (),
        collision=model.collision if one_file and options.hulls == "inside" else (),
    )
    files = {} if one_file and options.levels == "together" else _levels(model, path, options)
    if model.collision and not inside.collision:
        files |= _hulls(model, path, options)
    return {**files, **_encoded(inside, path, options)}


def _encoded(asset: Model | PointCloud, path: Path, options: ExportOptions) -> dict[Path, bytes]:
    """The files of one asset by the module of its format."""
    encode = importlib.import_module(f".{_MODULES[path.suffix.lower()]}", __name__).encode
    files: dict[Path, bytes] = encode(asset, path, options)
    return files


def _levels(model: Model, path: Path, options: ExportOptions) -> dict[Path, bytes]:
    """A file for every level of detail."""
    files: dict[Path, bytes] = {}
    for k, mesh in enumerate(model.levels):
        files |= _encoded(Model(mesh), path.with_name(f"{path.stem}_lod{k + 1}{path.suffix}"), options)
    return files


def _hulls(model: Model, path: Path, options: ExportOptions) -> dict[Path, bytes]:
    """A file of the collision parts: named nodes in a GLB, else one mesh of separate pieces."""
    beside = path.with_name(f"{path.stem}_collision{path.suffix}")
    if path.suffix.lower() == ".glb":
        from .gltf import encode_hulls

        return encode_hulls(model, beside, options)
    starts = np.cumsum([0, *(len(hull.vertices) for hull in model.collision)])
    faces = [hull.faces + int(start) for hull, start in zip(model.collision, starts, strict=False)]
    together = Mesh(
        np.concatenate([hull.vertices for hull in model.collision]),
        np.concatenate(faces).astype(np.int32),
        name=f"{model.mesh.name}_collision",
        metadata={key: model.mesh.metadata[key] for key in ("scale",) if key in model.mesh.metadata},
    )
    return _encoded(Model(together), beside, options)
