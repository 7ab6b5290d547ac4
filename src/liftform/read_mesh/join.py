"""Parts -> one Mesh: with all their materials, or flattened to one look."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..appearance import vertex_colors
from ..assets import Material, Mesh

_Values = NDArray[np.float32]


def joined(parts: Sequence[Mesh], flatten: bool) -> Mesh:
    """One mesh of all parts, quadrilaterals first, then the parts' order; name and metadata are those of the first.

    Materials are told apart as objects. flatten: of several only the colours survive, as vertex colours; else they
    come back in ``materials``, with a plain one for parts that have none.
    """
    if len(parts) == 1:
        return parts[0]
    distinct = {id(part.material): part.material for part in parts}
    if len(distinct) > 1 and flatten:
        parts = [part.with_(colors=vertex_colors(part), material=None, uv=None) for part in parts]
    several = len(distinct) > 1 and not flatten
    textured = any(material is not None and material.textures for material in distinct.values())
    counts = [len(part.vertices) for part in parts]
    faces, order, quads = _faces(parts, counts)
    numbers = {key: k for k, key in enumerate(distinct)}
    of_part = [numbers.get(id(part.material), 0) for part in parts]
    of_face = np.repeat(of_part, [len(part.faces) for part in parts])
    return Mesh(
        np.concatenate([part.vertices for part in parts]),
        faces,
        normals=_stacked([part.normals for part in parts]),
        uv=_stacked([part.uv for part in parts], counts, 0.0 if several and textured else None),
        colors=_stacked([part.colors for part in parts], counts, 1.0),
        seen=_stacked([part.seen for part in parts]),
        confidence=_stacked([part.confidence for part in parts]),
        material=None if several else parts[0].material,
        name=parts[0].name,
        metadata=parts[0].metadata,
        materials=tuple(material or Material(name="plain") for material in distinct.values()) if several else (),
        face_material=of_face[order].astype(np.int32) if several else None,
        quads=quads,
    )


def _faces(parts: Sequence[Mesh], counts: Sequence[int]) -> tuple[NDArray[np.int32], NDArray[np.int64], int]:
    """All faces with quadrilaterals first, the order that put them there, and the number of quadrilaterals."""
    starts = np.cumsum([0, *counts])[:-1]
    stacked = np.concatenate([part.faces + int(start) for part, start in zip(parts, starts, strict=True)])
    of_quad = np.concatenate([np.arange(len(part.faces)) < 2 * part.quads for part in parts])
    order = np.argsort(~of_quad, kind="stable")
    return stacked[order].astype(np.int32), order, sum(part.quads for part in parts)


def _stacked(
    values: Sequence[_Values | None], counts: Sequence[int] = (), filling: float | None = None
) -> _Values | None:
    """One array of all parts', or None when a part has none; with ``filling``, that is what those parts have."""
    known = [value for value in values if value is not None]
    if known and filling is not None:
        shape = known[0].shape[1:]
        pairs = zip(values, counts, strict=True)
        known = [np.full((n, *shape), filling, np.float32) if v is None else v for v, n in pairs]
    return np.concatenate(known) if len(known) == len(values) else None
