"""Furniture drawn here of boxes, in real sizes: a small set for first sketches of a home, and pieces from a folder.

A piece stands with the middle of its back at the origin, its front to +y, in the frame of the plan (z up), metres.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...assets import Mesh
from ...errors import InputNotFoundError
from .blocks import Surface
from .finishes import plain

_WOOD = plain("oak", 178, 140, 98, 0.6)
_WHITE = plain("white", 242, 242, 240, 0.4)
_CLOTH = plain("cloth", 118, 130, 142, 0.95)
_LINEN = plain("linen", 235, 231, 222, 0.95)
_DARK = plain("dark", 46, 48, 52, 0.4)
_STEEL = plain("steel", 176, 180, 184, 0.3, 0.9)
_CERAMIC = plain("ceramic", 248, 249, 250, 0.1)

#: (x0, y0, z0, x1, y1, z1) as shares of the piece's width, depth and height, and the material.
_Parts = list[tuple[tuple[float, float, float, float, float, float], object]]


@dataclass(frozen=True)
class Piece:
    """One kind of furniture: size (width, depth, height) in metres, and how much room it wants before its front."""

    name: str
    size: tuple[float, float, float]
    front: float
    parts: Callable[[], _Parts]

    def surface(self) -> Surface:
        """Its boxes at real size, a millimetre apart."""
        surface, (w, d, h) = Surface(), self.size
        for (x0, y0, z0, x1, y1, z1), look in self.parts():
            low = ((x0 - 0.5) * w + 5e-4, y0 * d + 5e-4, z0 * h + 5e-4)
            high = ((x1 - 0.5) * w - 5e-4, y1 * d - 5e-4, z1 * h - 5e-4)
            surface.box(low, high, look)  # type: ignore[arg-type]
        return surface


def _legs(top: float, look: object = _WOOD, thick: float = 0.06) -> _Parts:
    """Four legs up to a share of the height."""
    ends = ((0.02, 0.02 + thick), (0.98 - thick, 0.98))
    return [((x0, y0, 0.0, x1, y1, top), look) for x0, x1 in ends for y0, y1 in ends]


def _bed(pillows: int) -> Callable[[], _Parts]:
    def parts() -> _Parts:
        step = 1.0 / pillows
        found: _Parts = [
            ((0, 0, 0, 1, 0.03, 1), _WOOD),
            ((0, 0.03, 0.08, 1, 1, 0.32), _WOOD),
            ((0.02, 0.035, 0.32, 0.98, 0.99, 0.55), _LINEN),
            ((0.01, 0.36, 0.55, 0.99, 0.995, 0.6), _CLOTH),
        ]
        return found + [
            ((k * step + 0.06, 0.05, 0.55, (k + 1) * step - 0.06, 0.26, 0.68), _WHITE) for k in range(pillows)
        ]

    return parts


def _sofa() -> _Parts:
    return [
        ((0, 0, 0.06, 1, 0.25, 1), _CLOTH),
        ((0, 0.25, 0.06, 0.09, 1, 0.72), _CLOTH),
        ((0.91, 0.25, 0.06, 1, 1, 0.72), _CLOTH),
        ((0.09, 0.25, 0.06, 0.5, 1, 0.5), _CLOTH),
        ((0.5, 0.25, 0.06, 0.91, 1, 0.5), _CLOTH),
    ]


def _table() -> _Parts:
    return [((0, 0, 0.95, 1, 1, 1), _WOOD), *_legs(0.95)]


def _chair() -> _Parts:
    return [((0, 0, 0.48, 1, 1, 0.53), _WOOD), ((0, 0, 0.53, 1, 0.08, 1), _WOOD), *_legs(0.48, thick=0.1)]


def _cupboard() -> _Parts:
    return [
        ((0, 0, 0, 1, 0.96, 1), _WHITE),
        ((0.01, 0.96, 0.03, 0.495, 1, 0.98), _WOOD),
        ((0.505, 0.96, 0.03, 0.99, 1, 0.98), _WOOD),
    ]


def _shelves() -> _Parts:
    boards: _Parts = [((0.04, 0, z, 0.96, 1, z + 0.02), _WOOD) for z in (0.02, 0.22, 0.42, 0.62, 0.82, 0.98)]
    return [((0, 0, 0, 0.04, 1, 1), _WOOD), ((0.96, 0, 0, 1, 1, 1), _WOOD), *boards]


def _lowboard() -> _Parts:
    return [
        ((0, 0, 0, 1, 1, 0.45), _WOOD),
        ((0.12, 0.35, 0.47, 0.88, 0.45, 1), _DARK),
        ((0.4, 0.3, 0.45, 0.6, 0.5, 0.47), _DARK),
    ]


def _counter() -> _Parts:
    return [
        ((0, 0, 0, 1, 0.95, 0.95), _WHITE),
        ((0, 0, 0.95, 1, 1, 1), _DARK),
        ((0.08, 0.2, 1.0, 0.3, 0.8, 1.01), _STEEL),
        ((0.62, 0.15, 1.0, 0.9, 0.85, 1.01), _STEEL),
    ]


def _fridge() -> _Parts:
    return [
        ((0, 0, 0, 1, 0.95, 1), _STEEL),
        ((0.02, 0.95, 0.02, 0.98, 1, 0.35), _STEEL),
        ((0.02, 0.95, 0.36, 0.98, 1, 0.98), _STEEL),
    ]


def _wc() -> _Parts:
    return [
        ((0.05, 0, 0.5, 0.95, 0.3, 1), _CERAMIC),
        ((0.2, 0, 0, 0.8, 0.8, 0.48), _CERAMIC),
        ((0.02, 0.3, 0.48, 0.98, 1, 0.55), _CERAMIC),
    ]


def _basin() -> _Parts:
    return [
        ((0.05, 0, 0, 0.95, 0.9, 0.88), _WOOD),
        ((0, 0, 0.88, 1, 1, 1), _CERAMIC),
        ((0.46, 0.08, 1, 0.54, 0.35, 1.12), _STEEL),
    ]


def _bath() -> _Parts:
    return [
        ((0, 0, 0, 1, 0.08, 1), _CERAMIC),
        ((0, 0.92, 0, 1, 1, 1), _CERAMIC),
        ((0, 0.08, 0, 0.04, 0.92, 1), _CERAMIC),
        ((0.96, 0.08, 0, 1, 0.92, 1), _CERAMIC),
        ((0.04, 0.08, 0, 0.96, 0.92, 0.25), _CERAMIC),
    ]


def _shower() -> _Parts:
    return [
        ((0, 0, 0, 1, 1, 0.03), _CERAMIC),
        ((0.47, 0, 0.03, 0.53, 0.05, 1), _STEEL),
        ((0.4, 0, 0.96, 0.6, 0.3, 0.98), _STEEL),
    ]


def _washer() -> _Parts:
    return [((0, 0, 0, 1, 0.97, 1), _WHITE), ((0.25, 0.97, 0.25, 0.75, 1, 0.75), _DARK)]


def _block() -> _Parts:
    return [((0, 0, 0, 1, 1, 1), _WOOD)]


#: name -> piece. Sizes after Neufert's and the usual catalogues; front: room to use it.
PIECES: dict[str, Piece] = {
    piece.name: piece
    for piece in (
        Piece("double_bed", (1.65, 2.1, 0.85), 0.6, _bed(2)),
        Piece("single_bed", (0.95, 2.05, 0.8), 0.6, _bed(1)),
        Piece("nightstand", (0.45, 0.4, 0.5), 0.0, _block),
        Piece("wardrobe", (1.5, 0.6, 2.1), 0.7, _cupboard),
        Piece("closet", (1.0, 0.5, 2.0), 0.0, _shelves),
        Piece("desk", (1.2, 0.6, 0.74), 0.0, _table),
        Piece("office_chair", (0.5, 0.5, 0.85), 0.3, _chair),
        Piece("sofa", (2.0, 0.9, 0.8), 0.4, _sofa),
        Piece("armchair", (0.9, 0.85, 0.8), 0.3, _sofa),
        Piece("coffee_table", (1.0, 0.55, 0.4), 0.0, _table),
        Piece("lowboard", (1.6, 0.4, 1.15), 0.6, _lowboard),
        Piece("bookshelf", (0.9, 0.32, 1.9), 0.6, _shelves),
        Piece("dining_table", (1.4, 0.85, 0.74), 0.0, _table),
        Piece("chair", (0.45, 0.48, 0.88), 0.0, _chair),
        Piece("kitchen_counter", (2.4, 0.6, 0.9), 0.9, _counter),
        Piece("small_counter", (1.5, 0.6, 0.9), 0.8, _counter),
        Piece("fridge", (0.6, 0.65, 1.8), 0.8, _fridge),
        Piece("wc", (0.4, 0.68, 0.8), 0.5, _wc),
        Piece("basin", (0.6, 0.48, 0.86), 0.55, _basin),
        Piece("bath", (1.7, 0.75, 0.56), 0.5, _bath),
        Piece("shower", (0.9, 0.9, 2.1), 0.4, _shower),
        Piece("washer", (0.6, 0.6, 0.85), 0.7, _washer),
        Piece("shoe_cabinet", (0.9, 0.32, 0.9), 0.6, _cupboard),
        Piece("garden_table", (0.7, 0.7, 0.72), 0.0, _table),
        Piece("garden_chair", (0.5, 0.5, 0.85), 0.3, _chair),
    )
}


class Library:
    """Where meshes of pieces come from: a folder of mesh files by name (sofa.glb, sofa_2.glb), else the set here."""

    def __init__(self, folder: Path | None) -> None:
        if folder is not None and not folder.is_dir():
            raise InputNotFoundError(
                f"{folder}: no such folder of furniture", "give a folder with sofa.glb, bed.glb ..."
            )
        files = sorted(folder.iterdir()) if folder else []
        self._files = {
            name: [f for f in files if f.is_file() and f.stem.rstrip("0123456789").rstrip("_-") == name]
            for name in PIECES
        }
        self._made: dict[tuple[str, int], Mesh] = {}

    def mesh(self, name: str, variant: int = 0) -> Mesh:
        """The mesh of a piece in the world frame (front to -Z, the plan's +y), shared by all its uses."""
        files = self._files[name]
        key = (name, variant % max(len(files), 1))
        if key not in self._made:
            piece = PIECES[name]
            self._made[key] = _fitted(files[key[1]], piece) if files else piece.surface().mesh(name)
        return self._made[key]


def _fitted(path: Path, piece: Piece) -> Mesh:
    """A mesh file (front to +Z) with its back at the origin; scaled evenly to lie within the piece's box."""
    from ...read_mesh import read_mesh

    mesh = read_mesh(path, flatten=False)
    low, high = mesh.bounds.astype(np.float64)
    extent = np.maximum(high - low, 1e-9)
    w, d, h = piece.size
    ratio = float(min(np.array([w, h, d]) / extent))
    at = (mesh.vertices - ((low[0] + high[0]) / 2, low[1], low[2])) * ratio
    turned = np.array([-1.0, 1.0, -1.0])  # half a turn: its front from +Z to -Z
    normals = None if mesh.normals is None else (mesh.normals * turned).astype(np.float32)
    return mesh.with_(vertices=(at * turned).astype(np.float32), normals=normals, name=piece.name)
