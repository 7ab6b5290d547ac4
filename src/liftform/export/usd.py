"""USD (.usdz, .usda, .usdc; extra usd): a mesh with true quadrilaterals, its materials as preview surfaces.

Universal Scene Description (Pixar); UsdPreviewSurface 2.6; usdz 1.3, whose files lie uncompressed at multiples of 64.
"""

from __future__ import annotations

import json
import struct
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..assets import Mesh, Model
from ..conventions import srgb_to_linear
from ..runtime import need
from ..topology import merge_map
from .content import distinct, is_textured, lots, plain_name, unit_normals
from .gltf import plain
from .usd_material import surface, textures

if TYPE_CHECKING:
    from . import ExportOptions

_ALIGNMENT = 64


def encode(model: Model, path: Path, options: ExportOptions) -> dict[Path, bytes]:
    """The mesh as .usda or .usdc with its textures beside it, or everything as one .usdz; the stage comes last.

    metersPerUnit 1, +Y up, one mesh under the default prim, no subdivision, positions shared across UV seams,
    quadrilaterals whole, a face subset for each of several materials. Vertex colours become displayColor where there
    is no texture; ``seen`` and ``confidence`` become primvars, metadata the layer's customLayerData.
    Raises MissingExtraError without usd-core.
    """
    need("pxr", "usd")
    mesh, suffix = model.mesh, path.suffix.lower()
    names = distinct([plain_name(material.name, "material") for material in mesh.all_materials])
    packed, stem = suffix == ".usdz", plain_name(path.stem, "asset")
    files: dict[str, bytes] = {}
    maps: list[dict[str, str]] = []
    for material, name in zip(mesh.all_materials, names, strict=True):
        prefix = f"{stem}_{name}" if len(names) > 1 else stem
        found = textures(material, f"textures/{prefix}" if packed else prefix, options)
        files |= dict(found.values())
        maps.append({role: file for role, (file, _) in found.items()})
    stage = _stage(mesh, names, maps)
    if packed:
        return {path: _archive({f"{stem}.usdc": _exported(stage, ".usdc"), **files})}
    beside = {path.with_name(file): content for file, content in files.items()}
    return {**beside, path: _exported(stage, suffix)}


def _exported(stage: Any, suffix: str) -> bytes:
    """The bytes of a stage's layer, as text (.usda) or binary (.usdc)."""
    if suffix == ".usda":
        text: str = stage.GetRootLayer().ExportToString()
        return text.encode()
    with tempfile.TemporaryDirectory(prefix="liftform-") as folder:
        file = Path(folder) / f"layer{suffix}"
        stage.GetRootLayer().Export(str(file))
        return file.read_bytes()


def _stage(mesh: Mesh, names: list[str], maps: list[dict[str, str]]) -> Any:
    """The stage: /Root with the mesh and its materials; maps: texture files of each material by role."""
    from pxr import Kind, Sdf, Usd, UsdGeom

    stage = Usd.Stage.CreateInMemory()
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
    notes = json.dumps(plain(mesh.metadata), sort_keys=True)
    stage.GetRootLayer().customLayerData = {"creator": f"liftform {__version__}", "liftform": notes}
    root = UsdGeom.Xform.Define(stage, "/Root")
    stage.SetDefaultPrim(root.GetPrim())
    Usd.ModelAPI(root).SetKind(Kind.Tokens.component)
    word = plain_name(mesh.name)
    prim = UsdGeom.Mesh.Define(stage, Sdf.Path("/Root").AppendChild("Geometry" if word == "Materials" else word))
    order = _shape(prim, mesh)
    _bind(stage, prim, mesh, order, names, maps)
    return stage


def _shape(prim: Any, mesh: Mesh) -> NDArray[np.int64]:
    """Write positions, polygons and what they carry; returns the polygon of every face."""
    from pxr import Sdf, UsdGeom

    first, position = merge_map(mesh.vertices)
    quads, triangles = mesh.polygons
    corners = np.concatenate([quads.reshape(-1), triangles.reshape(-1)])
    sizes = np.repeat([4, 3], [len(quads), len(triangles)]).astype(np.int32)
    points = mesh.vertices[first] + np.float32(0)
    prim.CreatePointsAttr(_vec3(points))
    prim.CreateExtentAttr(_vec3(np.stack([points.min(0), points.max(0)])))
    prim.CreateFaceVertexCountsAttr(_ints(sizes))
    prim.CreateFaceVertexIndicesAttr(_ints(position[corners]))
    prim.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    prim.CreateDoubleSidedAttr(any(material.double_sided for material in mesh.all_materials))
    if mesh.normals is not None:
        prim.CreateNormalsAttr(_vec3(unit_normals(mesh.normals)[corners]))
        prim.SetNormalsInterpolation(UsdGeom.Tokens.faceVarying)
    api, kinds = UsdGeom.PrimvarsAPI(prim), Sdf.ValueTypeNames
    if mesh.uv is not None:
        rows, index = merge_map(mesh.uv)
        flipped = np.stack([mesh.uv[rows, 0], 1 - mesh.uv[rows, 1]], axis=1).astype(np.float32)
        st = api.CreatePrimvar("st", kinds.TexCoord2fArray, UsdGeom.Tokens.faceVarying)
        st.Set(_vec2(flipped))
        st.SetIndices(_ints(index[corners]))
    if mesh.colors is not None and not is_textured(mesh):
        linear = srgb_to_linear(np.clip(mesh.colors[first], 0, 1))
        api.CreatePrimvar("displayColor", kinds.Color3fArray, UsdGeom.Tokens.vertex).Set(_vec3(linear))
    for name, values in (("seen", mesh.seen), ("confidence", mesh.confidence)):
        if values is not None:
            share = np.clip(np.nan_to_num(values[first]), 0, 1)
            api.CreatePrimvar(name, kinds.FloatArray, UsdGeom.Tokens.vertex).Set(_floats(share))
    return np.concatenate([np.repeat(np.arange(len(quads)), 2), len(quads) + np.arange(len(triangles))])


def _bind(
    stage: Any, prim: Any, mesh: Mesh, order: NDArray[np.int64], names: list[str], maps: list[dict[str, str]]
) -> None:
    """Write the materials and bind them: one to the mesh, several to subsets of its polygons."""
    from pxr import UsdGeom, UsdShade

    numbers = {id(material): k for k, material in enumerate(mesh.all_materials)}
    subsets = [lot for lot in lots(mesh) if lot[0] is not None]
    for material, faces in subsets:
        assert material is not None
        k = numbers[id(material)]
        look = surface(stage, f"/Root/Materials/{names[k]}", material, maps[k])
        target = prim.GetPrim()
        if len(subsets) > 1:
            polygons = np.unique(order[faces])
            subset = UsdGeom.Subset.CreateGeomSubset(
                prim, names[k], UsdGeom.Tokens.face, _ints(polygons), UsdShade.Tokens.materialBind
            )
            target = subset.GetPrim()
        UsdShade.MaterialBindingAPI.Apply(target).Bind(look)
    if len(subsets) > 1:
        UsdShade.MaterialBindingAPI(prim.GetPrim()).SetMaterialBindSubsetsFamilyType(UsdGeom.Tokens.partition)


def _ints(values: NDArray[Any]) -> Any:
    from pxr import Vt

    return Vt.IntArray.FromNumpy(np.ascontiguousarray(values, np.int32))


def _floats(values: NDArray[Any]) -> Any:
    from pxr import Vt

    return Vt.FloatArray.FromNumpy(np.ascontiguousarray(values, np.float32))


def _vec2(values: NDArray[Any]) -> Any:
    from pxr import Vt

    return Vt.Vec2fArray.FromNumpy(np.ascontiguousarray(values, np.float32))


def _vec3(values: NDArray[Any]) -> Any:
    from pxr import Vt

    return Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(values, np.float32))


def _archive(files: Mapping[str, bytes]) -> bytes:
    """A zip archive without compression whose members begin at multiples of 64 bytes; the same bytes every time."""
    body, directory = bytearray(), bytearray()
    for name, content in files.items():
        word, at, checksum = name.encode(), len(body), zlib.crc32(content)
        padding = -(at + 30 + len(word) + 4) % _ALIGNMENT
        extra = struct.pack("<HH", 0x1986, padding) + b"\0" * padding
        # version 1.0, no flags, stored, 1 January 1980, checksum, sizes, lengths of name and extra
        sizes = (len(content), len(content), len(word))
        head = struct.pack("<HHHHHIIIH", 10, 0, 0, 0, 0x21, checksum, *sizes)
        body += b"PK\x03\x04" + head + struct.pack("<H", len(extra)) + word + extra + content
        directory += b"PK\x01\x02" + struct.pack("<H", 10) + head + struct.pack("<HHHHII", 0, 0, 0, 0, 0, at) + word
    end = struct.pack("<HHHHIIH", 0, 0, len(files), len(files), len(directory), len(body), 0)
    return bytes(body + directory) + b"PK\x05\x06" + end
