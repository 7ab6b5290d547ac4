"""What the parts of a building look like: a few materials by kind of room, with small textures drawn here.

Textures cover one metre by one metre, as texture coordinates are metres.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from ...assets import Material
from ...conventions import srgb_to_linear
from ...floorplan import OUTDOOR, WET, kind_of

_Pixels = NDArray[np.uint8]
_SIDE = 128

#: Rooms whose floor is of wooden boards; the others of stone, or of tiles where it gets wet.
_BOARDS = frozenset({"living_room", "dining_room", "bedroom", "office", "corridor", "closet", "none"})


@functools.cache
def plain(name: str, red: int, green: int, blue: int, roughness: float = 0.9, metallic: float = 0.0) -> Material:
    """A material of one colour, given as sRGB bytes, with the faintest of grain."""
    linear = srgb_to_linear(np.array([red, green, blue], np.float32) / np.float32(255))
    r, g, b = (round(float(x), 4) for x in linear)
    return Material(_grain(), (r, g, b, 1.0), roughness=roughness, metallic=metallic, name=name)


@functools.cache
def _grain() -> _Pixels:
    """Near white, uneven by a hundredth: one picture for all materials of one colour."""
    uneven = np.random.default_rng(0).integers(250, 256, (32, 32, 1), np.uint8)
    return np.repeat(uneven, 3, axis=2)


@functools.cache
def named(name: str) -> Material:
    """A material of the house by its name; KeyError for an unknown one."""
    if name in _TEXTURED:
        texture, roughness = _TEXTURED[name]
        return Material(base_color_texture=texture(), roughness=roughness, name=name)
    if name == "glass":
        return Material(base_color=(0.55, 0.7, 0.75, 0.25), roughness=0.05, alpha_mode="blend", name="glass")
    red, green, blue, roughness, metallic = _PLAIN[name]
    return plain(name, red, green, blue, roughness, metallic)


#: name -> sRGB colour, roughness, metallic.
_PLAIN: dict[str, tuple[int, int, int, float, float]] = {
    "facade": (214, 205, 190, 0.95, 0.0),
    "wall": (240, 237, 231, 0.9, 0.0),
    "wall_bedroom": (226, 229, 226, 0.9, 0.0),
    "wall_wet": (218, 228, 230, 0.35, 0.0),
    "cut": (92, 92, 96, 0.95, 0.0),
    "reveal": (243, 242, 238, 0.8, 0.0),
    "concrete": (168, 166, 162, 0.95, 0.0),
    "ceiling": (248, 247, 244, 0.95, 0.0),
    "stone": (178, 172, 163, 0.7, 0.0),
    "frame": (236, 236, 233, 0.5, 0.0),
    "leaf": (196, 165, 128, 0.55, 0.0),
    "entrance_leaf": (92, 66, 52, 0.5, 0.0),
    "metal": (120, 122, 126, 0.35, 0.9),
    "tread": (176, 142, 104, 0.6, 0.0),
}


def floor(room_type: str) -> Material:
    """The floor of a kind of room."""
    kind = kind_of(room_type)
    if kind in OUTDOOR:
        return named("deck")
    if kind in WET or kind == "kitchen":
        return named("tiles")
    return named("boards" if kind in _BOARDS else "stone")


def wall(room_type: str) -> Material:
    """The walls of a kind of room."""
    kind = kind_of(room_type)
    if kind in OUTDOOR:
        return named("facade")
    return named("wall_wet" if kind in WET else "wall_bedroom" if kind == "bedroom" else "wall")


def _boards() -> _Pixels:
    """Oak boards of an eighth of a metre, staggered; the same on every machine."""
    return _planks((198, 164, 122), 8, 0.5, 1)


def _deck() -> _Pixels:
    """Weathered boards of a seventh of a metre."""
    return _planks((150, 137, 122), 8, 1.0, 2)


def _planks(color: tuple[int, int, int], count: int, lengths: float, seed: int) -> _Pixels:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:_SIDE, 0:_SIDE] / _SIDE
    row = (y * count).astype(int)
    shift = rng.random(count)[row]
    piece = (((x + shift) % 1.0) / max(lengths, 1e-6)).astype(int)
    tone = rng.uniform(-9, 9, (count, 4))[row, piece]
    grain = 2.5 * np.sin(2 * np.pi * (3 * y * count + rng.random(count)[row]) + 1.5 * np.sin(2 * np.pi * x))
    gap = ((y * count) % 1.0 < count / _SIDE) | ((((x + shift) % 1.0) % lengths) < 1.0 / _SIDE)
    value = np.asarray(color)[None, None, :] + (tone + grain)[..., None] - 38.0 * gap[..., None]
    return np.clip(np.rint(value / 3) * 3, 0, 255).astype(np.uint8)


def _tiles() -> _Pixels:
    """Pale tiles of a quarter of a metre with grey joints."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[0:_SIDE, 0:_SIDE]
    pitch = _SIDE // 4
    tone = rng.uniform(-4, 4, (4, 4))[y // pitch, x // pitch]
    joint = (y % pitch < 1) | (x % pitch < 1)
    value = np.array([214, 219, 220])[None, None, :] + tone[..., None] - 44.0 * joint[..., None]
    return np.clip(np.rint(value), 0, 255).astype(np.uint8)


_TEXTURED = {"boards": (_boards, 0.6), "deck": (_deck, 0.85), "tiles": (_tiles, 0.3)}
