"""The process that opens a USD stage: meshes in place with their preview surfaces (extra usd).

Universal Scene Description (Pixar), UsdPreviewSurface specification 2.6. Run by ``usd`` as
a child; what it found, or the error, is pickled into a file.
"""

from __future__ import annotations

import json
import pickle
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..assets import Mesh
from ..conventions import linear_to_srgb
from ..errors import LiftformError, UnreadableError
from . import polygons
from .source import Found, Source, moved, opened, unit_or_none, untextured
from .usd_material import Looks

#: More prims than this are no asset; instances of instances can claim any number.
_MAX_PRIMS = 200_000


def main(file: str, max_faces: str, answer: str) -> None:
    """Write what ``file`` holds, (Found, notes), or the error that says why not, to the file ``answer``."""
    said: Any
    try:
        source = opened(Path(file), int(max_faces))
        said = (_found(source), source.notes)
    except LiftformError as error:
        said = error
    except Exception as error:  # a damaged file can break any assumption of the library
        said = UnreadableError(f"{file}: damaged, or not USD ({type(error).__name__})", "export it again")
    Path(answer).write_bytes(pickle.dumps(said))


def _found(source: Source) -> Found:
    """Every visible mesh at the default time; subdivision surfaces by their cage."""
    from pxr import Usd, UsdGeom

    with tempfile.TemporaryDirectory(prefix="liftform-") as folder, np.errstate(all="ignore"):
        stage = Usd.Stage.Open(str(_with_right_suffix(source, Path(folder))))
        looks = Looks(source)
        parts = [part for prim in _meshes(source, stage) for part in _parts(source, prim, looks)]
        metres = float(UsdGeom.GetStageMetersPerUnit(stage))
        z_up = UsdGeom.GetStageUpAxis(stage) == UsdGeom.Tokens.z
        noted = _notes(stage.GetRootLayer().customLayerData)
    if noted is not None:  # liftform notes the unit there
        parts = [part.with_(metadata=noted) for part in parts]
    known = noted is None and np.isfinite(metres) and metres > 0
    return Found("USD", parts, metres if known else None, bool(z_up))


def _notes(layer: Mapping[str, Any]) -> dict[str, Any] | None:
    """The metadata that liftform wrote, or None in other files."""
    text = layer.get("liftform")
    noted = json.loads(text) if isinstance(text, str) else None
    return noted if isinstance(noted, dict) else None


def _with_right_suffix(source: Source, folder: Path) -> Path:
    """The file itself, or a copy whose name says what it is: USD goes by suffix."""
    head = source.data[:8]
    kinds = {b"#usda": ".usda", b"PXR-USDC": ".usdc", b"PK\x03\x04": ".usdz"}
    suffix = next((suffix for magic, suffix in kinds.items() if head.startswith(magic)), "")
    if not suffix:
        raise source.damaged("not readable as USD")
    given = source.path.suffix.lower()
    if given == suffix or (given == ".usd" and suffix != ".usdz"):
        return source.path.resolve()
    copy = folder / f"scene{suffix}"
    copy.write_bytes(source.data)
    return copy


def _meshes(source: Source, stage: Any) -> Iterator[Any]:
    """Visible mesh prims, instances too."""
    from pxr import Usd, UsdGeom

    everything = Usd.PrimRange(stage.GetPseudoRoot(), Usd.TraverseInstanceProxies(Usd.PrimDefaultPredicate))
    for number, prim in enumerate(everything):
        if number > _MAX_PRIMS:
            raise source.damaged(f"it holds more than {_MAX_PRIMS:,} prims")
        shown = UsdGeom.Imageable(prim)
        if prim.IsA(UsdGeom.PointInstancer) or (prim.IsA(UsdGeom.Gprim) and not prim.IsA(UsdGeom.Mesh)):
            source.note(f"prims of type {prim.GetTypeName()} are left out")
        elif prim.IsA(UsdGeom.Mesh) and _seen(shown):
            yield prim


def _seen(prim: Any) -> bool:
    from pxr.UsdGeom import Tokens

    return prim.ComputeVisibility() != Tokens.invisible and prim.ComputePurpose() in (Tokens.default_, Tokens.render)


def _parts(source: Source, prim: Any, looks: Looks) -> Iterator[Mesh]:
    """A mesh prim as parts, one for each material bound to its faces."""
    from pxr import Usd, UsdGeom

    mesh = UsdGeom.Mesh(prim)
    positions = _array(mesh.GetPointsAttr().Get(), 3)
    sizes = _array(mesh.GetFaceVertexCountsAttr().Get(), 0).astype(np.int64)
    corners = _array(mesh.GetFaceVertexIndicesAttr().Get(), 0).astype(np.int64)
    if (sizes < 0).any() or sizes.sum() != len(corners):
        raise source.damaged(f"the faces of {prim.GetName()} do not add up")
    source.spend(max(int(np.maximum(sizes - 2, 0).sum()), len(positions) // 3))
    chosen, quads, polygon = polygons.triangulated(corners, sizes, positions)
    if mesh.GetOrientationAttr().Get() == UsdGeom.Tokens.leftHanded:
        chosen = _turned(chosen, quads)
    table = _Corners(prim, corners, sizes)
    matrix = np.array(UsdGeom.XformCache(Usd.TimeCode.Default()).GetLocalToWorldTransform(prim)).T
    for material, faces in looks.bound(prim, len(sizes)):
        kept = np.ones(len(chosen), bool) if faces is None else np.isin(polygon, faces)
        if kept.any():
            part = _part(positions, table, chosen[kept], int(kept[: 2 * quads].sum()) // 2)
            plain = part.uv is None and material is not None
            part = part.with_(material=untextured(material) if plain and material else material, name=prim.GetName())
            yield moved(part, matrix)


def _turned(chosen: NDArray[np.int64], quads: int) -> NDArray[np.int64]:
    """Triangles of the other handedness; halves of quadrilaterals stay pairs."""
    pairs = chosen[: 2 * quads].reshape(-1, 6)[:, [0, 5, 2, 0, 2, 1]].reshape(-1, 3)
    return np.concatenate([pairs, chosen[2 * quads :, ::-1]])


class _Corners:
    """What each corner of a prim's polygons shows: rows of texture coordinates, normals and colours."""

    def __init__(self, prim: Any, corners: NDArray[np.int64], sizes: NDArray[np.int64]) -> None:
        from pxr import UsdGeom

        self.positions, self._sizes = corners, sizes
        api = UsdGeom.PrimvarsAPI(prim)
        named = [api.FindPrimvarWithInheritance(name) for name in ("st", "UVMap", "st0", "uv")]
        others = [p for p in api.FindPrimvarsWithInheritance() if str(p.GetTypeName()) in ("texCoord2f[]", "float2[]")]
        found = next((p for p in [*named, *others] if p and p.HasValue()), None)
        self.uv = self._column(found, 2)
        self.colors = self._column(api.FindPrimvarWithInheritance("displayColor"), 3)
        self.normals = self._column(api.GetPrimvar("normals"), 3)
        if self.normals is None:
            mesh = UsdGeom.Mesh(prim)
            values = _array(mesh.GetNormalsAttr().Get(), 3)
            self.normals = self._rows(values, None, str(mesh.GetNormalsInterpolation())) if len(values) else None
        self.shares = {name: self._column(api.GetPrimvar(name), 1) for name in ("seen", "confidence")}

    def _column(self, primvar: Any, width: int) -> tuple[NDArray[np.int64], NDArray[np.float64]] | None:
        if not primvar or not primvar.HasValue():
            return None
        indices = primvar.GetIndices() if primvar.IsIndexed() else None
        return self._rows(_array(primvar.Get(), width), indices, str(primvar.GetInterpolation()))

    def _rows(
        self, values: NDArray[np.float64], indices: Any, interpolation: str
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]] | None:
        """(row of every corner, rows), or None where that does not fit or is not finite."""
        count = len(self.positions)
        at = {
            "constant": np.zeros(count, np.int64),
            "uniform": np.repeat(np.arange(len(self._sizes)), self._sizes),
            "faceVarying": np.arange(count),
        }.get(interpolation, self.positions)
        if indices is not None:
            table = np.asarray(indices, np.int64)
            if len(at) and (at.min() < 0 or at.max() >= len(table)):
                return None
            at = table[at]
        if not len(at) or at.min() < 0 or at.max() >= len(values) or not np.isfinite(values).all():
            return None
        return at, values


def _part(positions: NDArray[np.float64], table: _Corners, chosen: NDArray[np.int64], quads: int) -> Mesh:
    """The chosen triangles; corners that agree in everything become one vertex."""
    flat = chosen.reshape(-1)
    columns = [table.positions[flat]]
    every = {"uv": table.uv, "normals": table.normals, "colors": table.colors, **table.shares}
    shown = {name: found for name, found in every.items() if found is not None}
    columns += [found[0][flat] for found in shown.values()]
    (v, *rest), index = polygons.unified(columns)
    values = {name: found[1][rows] for (name, found), rows in zip(shown.items(), rest, strict=True)}
    uv, colors, normals = values.get("uv"), values.get("colors"), values.get("normals")
    return Mesh(
        positions[v].astype(np.float32),
        index.reshape(-1, 3).astype(np.int32),
        normals=None if normals is None else unit_or_none(normals),
        uv=None if uv is None else np.stack([uv[:, 0], 1 - uv[:, 1]], axis=1).astype(np.float32),
        colors=None if colors is None else linear_to_srgb(np.clip(colors, 0, 1).astype(np.float32)),
        seen=_share(values.get("seen")),
        confidence=_share(values.get("confidence")),
        quads=quads,
    )


def _share(values: NDArray[np.float64] | None) -> NDArray[np.float32] | None:
    return None if values is None else np.clip(values[:, 0], 0, 1).astype(np.float32)


def _array(values: Any, width: int) -> NDArray[np.float64]:
    """(N, width) or, for width 0, (N,) of a USD array; empty without a value."""
    rows = np.asarray([] if values is None else values, np.float64)
    return rows.reshape(-1, width) if width else rows.reshape(-1)
