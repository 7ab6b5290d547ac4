"""Material libraries of OBJ files (.mtl), with the keys of physically based rendering.

B1 of "Advanced Visualizer" (Wavefront, 1993); Pr, Pm, map_Pr, map_Pm, norm: the PBR extension (Exocortex, 2014).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..assets import Material
from ..conventions import srgb_to_linear
from .pictures import Pictures, Pixels
from .source import Source, readable

#: Options of texture statements -> how many words follow at most; numbers are counted, words are not.
_OPTIONS = {"-o": 3, "-s": 3, "-t": 3, "-mm": 2}
_ONE_WORD = ("-blendu", "-blendv", "-boost", "-texres", "-clamp", "-bm", "-imfchan", "-type", "-cc")
#: MTL keys of the textures that are read.
_MAPS = ("map_kd", "map_d", "map_bump", "bump", "norm", "map_ke", "map_pr", "map_pm", "map_ao", "map_occlusion")


def read(source: Source, libraries: Sequence[str]) -> dict[str, Material]:
    """Materials by name, of all libraries that the file names; missing ones become notes."""
    pictures, found = Pictures(source), {}
    for name in dict.fromkeys(libraries):
        data = source.beside(name)
        if data is None:  # several files may be named in one line
            several = [source.beside(word) for word in name.split()]
            data = b"\n".join(part for part in several if part is not None) or None
        if data is None:
            source.note(f"material library {name!r} is missing")
            continue
        for entry in _entries(data):
            found[entry["newmtl"]] = _material(entry, pictures, source)
    return found


def _entries(data: bytes) -> list[dict[str, Any]]:
    """The statements of each material: lower-case key -> the rest of the line."""
    entries: list[dict[str, Any]] = []
    for raw in data.replace(b"\r", b"\n").split(b"\n"):
        key, _, value = raw.strip().partition(b" ") if b" " in raw.strip() else raw.strip().partition(b"\t")
        word, text = readable(key).lower(), readable(value)
        if word == "newmtl":
            entries.append({"newmtl": " ".join(text.split())})
        elif entries and word and not word.startswith("#"):
            entries[-1][word] = text
    return entries


def _material(entry: dict[str, str], pictures: Pictures, source: Source) -> Material:
    maps = {key: pictures.named(_file_name(entry[key])) for key in _MAPS if _file_name(entry.get(key, ""))}
    base, cut = maps.get("map_kd"), maps.get("map_d")
    encoded = _three(entry.get("kd"), (1.0, 1.0, 1.0))
    if base is not None and max(encoded) == 0:
        encoded = (1.0, 1.0, 1.0)  # exporters leave black where a texture takes over
    opacity = _number(entry.get("d"), 1 - _number(entry.get("tr"), 0.0))
    r, g, b = srgb_to_linear(np.clip(np.array(encoded, np.float32), 0, 1)).tolist()
    if base is not None and cut is not None and base.shape == cut.shape:
        base = np.dstack([base[..., :3], cut[..., 3] if (cut[..., 3] < 255).any() else cut[..., 0]])
    seen_through = base is not None and cut is not None and bool((base[..., 3] < 255).any())
    glow = maps.get("map_ke")
    er, eg, eb = srgb_to_linear(np.clip(np.array(_three(entry.get("ke"), (0, 0, 0)), np.float32), 0, 1)).tolist()
    if glow is not None and max(er, eg, eb) == 0:
        er = eg = eb = 1.0
    rough, metal = _grey(maps.get("map_pr")), _grey(maps.get("map_pm"))
    return Material(
        base if base is None or seen_through else base[..., :3].copy(),
        (r, g, b, float(np.clip(opacity, 0, 1))),
        metallic=float(np.clip(_number(entry.get("pm"), 0.0 if metal is None else 1.0), 0, 1)),
        roughness=float(np.clip(_number(entry.get("pr"), 0.9 if rough is None else 1.0), 0, 1)),
        name=entry["newmtl"] or "material",
        normal_texture=_normal_map(maps, source),
        occlusion_texture=_grey(maps.get("map_ao", maps.get("map_occlusion"))),
        roughness_texture=rough,
        metallic_texture=metal,
        emissive=(er, eg, eb),
        emissive_texture=None if glow is None else glow[..., :3].copy(),
        alpha_mode="mask" if seen_through else "blend" if opacity < 1 else "opaque",
    )


def _normal_map(maps: dict[str, Pixels | None], source: Source) -> Pixels | None:
    """``norm``, or a bump map that holds normals; heights are not read."""
    for key in ("norm", "map_bump", "bump"):
        found = maps.get(key)
        if found is None:
            continue
        if key == "norm" or found[..., 2].mean() > found[..., :2].mean() + 30:
            return found[..., :3].copy()
        source.note("bump maps of heights are left out")
    return None


def _grey(texture: Pixels | None) -> Pixels | None:
    return None if texture is None else texture[..., 0].copy()


def _file_name(value: str) -> str:
    """The file of a texture statement, behind its options; it may hold spaces."""
    words = value.split()
    while words and words[0].lower() in (*_OPTIONS, *_ONE_WORD):
        option = words.pop(0).lower()
        if option in _ONE_WORD:
            words = words[1:]
        else:
            taken = 0
            while words and taken < _OPTIONS[option] and _is_number(words[0]):
                words, taken = words[1:], taken + 1
    if not words:
        return ""
    return value[value.index(words[0]) :].strip().strip('"') if len(words) > 1 else words[0].strip('"')


def _is_number(word: str) -> bool:
    try:
        return np.isfinite(float(word))
    except ValueError:
        return False


def _number(value: str | None, default: float) -> float:
    word = (value or "").split()[-1:]
    return float(word[0]) if word and _is_number(word[0]) else default


def _three(value: str | None, default: tuple[float, float, float]) -> tuple[float, float, float]:
    words = (value or "").split()[:3]
    if len(words) != 3 or not all(_is_number(word) for word in words):
        return default
    r, g, b = (float(word) for word in words)
    return r, g, b
