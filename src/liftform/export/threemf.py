"""3MF: geometry with colours for printing, in millimetres, +Z up.

3D Manufacturing Format, core specification 1.3 and materials and properties extension 1.2 (3MF Consortium).
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..appearance import vertex_colors
from ..assets import Material, Mesh, Model
from ..conventions import linear_to_srgb, to_uint8
from ..topology import merge_map
from .content import is_textured, lots, unit_of

if TYPE_CHECKING:
    from . import ExportOptions

_TYPES = """<?xml version="1.0" encoding="UTF-8"?>
<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">\
<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>\
<Default Extension="model" ContentType="application/vnd.ms-package.3dmanufacturing-3dmodel+xml"/></Types>
"""
_RELATIONS = """<?xml version="1.0" encoding="UTF-8"?>
<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">\
<Relationship Target="/3D/3dmodel.model" Id="rel0" \
Type="http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"/></Relationships>
"""
_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<model unit="millimeter" xml:lang="en-US" xmlns="http://schemas.microsoft.com/3dmanufacturing/core/2015/02" \
xmlns:m="http://schemas.microsoft.com/3dmanufacturing/material/2015/02">
"""
#: The date of every member: archives of equal content shall be equal.
_DATE = (1980, 1, 1, 0, 0, 0)
_MM = 1000.0


def encode(model: Model, path: Path, options: ExportOptions) -> dict[Path, bytes]:
    """The mesh as one .3mf file: one object, standing on the bed as +Y up stands.

    Several plain materials, or one, become base materials; textures and vertex colours become colours of the corners
    (m:colorgroup). A mesh of unknown unit is written as if in metres, and the file's metadata says so. Faces that
    repeat a position, which 3MF forbids, are left out.
    """
    body = _HEAD + "\n".join(_model(model.mesh)) + "\n</model>\n"
    members = {"[Content_Types].xml": _TYPES, "_rels/.rels": _RELATIONS, "3D/3dmodel.model": body}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, text in members.items():
            info = zipfile.ZipInfo(name, _DATE)
            info.compress_type, info.create_system = zipfile.ZIP_DEFLATED, 3
            archive.writestr(info, text.encode())
    return {path: file.getvalue()}


def _model(mesh: Mesh) -> Iterator[str]:
    """The lines within <model>."""
    first, index = merge_map(mesh.vertices)
    faces = index[mesh.faces]
    whole = (faces != np.roll(faces, 1, axis=1)).all(axis=1)
    unit = "metre" if unit_of(mesh) == "metre" else "unknown; one unit is written as one metre"
    yield f'<metadata name="Application">{"liftform " + __version__}</metadata>'
    yield f'<metadata name="Description">{"unit: " + unit}</metadata>'
    yield "<resources>"
    group, properties = _look(mesh, faces)
    yield from group
    default = ' pid="1" pindex="0"' if group else ""
    yield f'<object id="2" type="model" name={quoteattr(mesh.name)}{default}>'
    yield "<mesh><vertices>"
    z_up = np.stack([mesh.vertices[first, 0], -mesh.vertices[first, 2], mesh.vertices[first, 1]], axis=1)
    for x, y, z in (z_up.astype(np.float64) * _MM + 0.0).tolist():
        yield f'<vertex x="{x:.9g}" y="{y:.9g}" z="{z:.9g}"/>'
    yield "</vertices><triangles>"
    rows = np.concatenate([faces, properties], axis=1)[whole].tolist() if len(properties) else faces[whole].tolist()
    if not len(properties):
        yield from (f'<triangle v1="{a}" v2="{b}" v3="{c}"/>' for a, b, c in rows)
    else:
        yield from (
            f'<triangle v1="{a}" v2="{b}" v3="{c}" pid="1" p1="{p}" p2="{q}" p3="{r}"/>' for a, b, c, p, q, r in rows
        )
    yield "</triangles></mesh></object></resources>"
    yield '<build><item objectid="2"/></build>'


def _look(mesh: Mesh, faces: NDArray[Any]) -> tuple[list[str], NDArray[np.int64]]:
    """The property group (id 1) and each face's three indices into it (F, 3); nothing for a mesh without colour."""
    if mesh.colors is None and not is_textured(mesh):
        return _base_materials(mesh)
    colors = vertex_colors(mesh)
    assert colors is not None
    table, index = np.unique(to_uint8(colors), axis=0, return_inverse=True)
    entries = "".join(f'<m:color color="#{r:02X}{g:02X}{b:02X}"/>' for r, g, b in table.tolist())
    return [f'<m:colorgroup id="1">{entries}</m:colorgroup>'], index.reshape(-1)[mesh.faces].astype(np.int64)


def _base_materials(mesh: Mesh) -> tuple[list[str], NDArray[np.int64]]:
    """Materials without textures, by name and colour."""
    found = [(material, chosen) for material, chosen in lots(mesh) if material is not None]
    if not found:
        return [], np.zeros((0, 3), np.int64)
    properties = np.zeros((len(mesh.faces), 3), np.int64)
    for k, (_, chosen) in enumerate(found):
        properties[chosen] = k
    entries = "".join(f"<base name={quoteattr(m.name)} displaycolor={quoteattr(_hex(m))}/>" for m, _ in found)
    return [f'<basematerials id="1">{entries}</basematerials>'], properties


def _hex(material: Material) -> str:
    """#RRGGBB or, where it is seen through, #RRGGBBAA."""
    encoded = linear_to_srgb(np.asarray(material.base_color[:3], np.float32))
    values = [
        *to_uint8(encoded).tolist(),
        *([round(material.base_color[3] * 255)] if material.base_color[3] < 1 else []),
    ]
    return "#" + "".join(f"{value:02X}" for value in values)
