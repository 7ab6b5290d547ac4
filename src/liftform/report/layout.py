"""The mesh's skin: textures, maps, and how its UV layout spends texels, stretches and overlaps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..assets import Mesh

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Overlap is counted on a grid of this many cells a side, less where that would take too many tests.
_GRID = 256
_MOST_TESTS = 20_000_000
#: Cells are divided into this many steps, so that edges shared by two faces are decided exactly.
_STEPS = 256
#: A layout reaching further than this beyond the unit square repeats its texture.
_OUTSIDE = 1e-3

#: glTF's names of the maps, in Khronos' order of importance -> field of a Material.
MAPS = {
    "base colour": "base_color_texture",
    "roughness": "roughness_texture",
    "metallic": "metallic_texture",
    "occlusion": "occlusion_texture",
    "normal": "normal_texture",
    "emissive": "emissive_texture",
}


@dataclass(frozen=True)
class Look:
    """color: "texture", "vertices", "plain" (a factor) or "none". maps: name -> largest (width, height) in pixels.

    materials: their number. memory: bytes of all textures on a graphics card, uncompressed with mip levels.
    power_of_two: whether every side of every texture is one.
    """

    color: str
    maps: dict[str, tuple[int, int]]
    materials: int
    memory: int
    power_of_two: bool

    @property
    def side(self) -> int:
        """Longest side of any texture in pixels, 0 without."""
        return max((max(size) for size in self.maps.values()), default=0)


@dataclass(frozen=True)
class Layout:
    """A UV layout. coverage: share of the unit square in use, at most 1. overlap: share of the used that is used twice.

    outside: share of the surface whose texture coordinates leave the unit square. density: texels per unit of length,
    median over the surface; its 5th and 95th percentile are ``density_range``, None without textures. spread: the
    ratio of those two. stretch: how unlike the directions are treated, 95th percentile over the surface of the ratio
    of a face's largest to its smallest scale; 1 is none (singular values after Sander et al. 2001).
    """

    coverage: float
    overlap: float
    outside: float
    density: float | None
    density_range: tuple[float, float] | None
    spread: float
    stretch: float


def look(mesh: Mesh) -> Look:
    """What the mesh is painted with."""
    materials = mesh.all_materials
    maps: dict[str, tuple[int, int]] = {}
    every = []
    for name, field in MAPS.items():
        textures = [texture for material in materials if (texture := getattr(material, field)) is not None]
        every += textures
        if textures:
            largest = max(textures, key=lambda texture: texture.shape[0] * texture.shape[1])
            maps[name] = (largest.shape[1], largest.shape[0])
    sides = [side for texture in every for side in texture.shape[:2]]
    return Look(
        color=_color(mesh, maps),
        maps=maps,
        materials=len(materials),
        memory=sum(texture.shape[0] * texture.shape[1] * 4 * 4 // 3 for texture in every),
        power_of_two=all(side & (side - 1) == 0 for side in sides),
    )


def layout(mesh: Mesh) -> Layout | None:
    """Measure the UV layout; None without uv, or when no face has any area in it."""
    if mesh.uv is None:
        return None
    corners, uv = mesh.vertices[mesh.faces].astype(np.float64), mesh.uv[mesh.faces].astype(np.float64)
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    flat = np.abs(_doubled(uv)) / 2
    sound = (area > 0) & (flat > 1e-14)
    if not sound.any():
        return None
    outside = ((uv < -_OUTSIDE) | (uv > 1 + _OUTSIDE)).any((1, 2))
    sides = _texture_sides(mesh)
    density = np.sqrt(flat / np.where(area > 0, area, 1)) * (np.ones(1) if sides is None else sides)
    weight = np.where(sound, area, 0)
    low, middle, high = _percentiles(density, weight, (0.05, 0.5, 0.95))
    index = mesh.face_material if mesh.face_material is not None else np.zeros(len(mesh.faces), np.int32)
    coverage, overlap = _overlap(uv[sound], index[sound])
    return Layout(
        coverage=coverage,
        overlap=overlap,
        outside=float(area[outside].sum() / area.sum()),
        density=None if sides is None else middle,
        density_range=None if sides is None else (low, high),
        spread=high / max(low, 1e-30),
        stretch=_percentiles(_anisotropy(corners[sound], uv[sound]), area[sound], (0.95,))[0],
    )


def _color(mesh: Mesh, maps: dict[str, tuple[int, int]]) -> str:
    if "base colour" in maps:
        return "texture"
    if mesh.colors is not None:
        return "vertices"
    plain = (1.0, 1.0, 1.0)
    return "plain" if any(material.base_color[:3] != plain for material in mesh.all_materials) else "none"


def _texture_sides(mesh: Mesh) -> Floats | None:
    """For every face (F,) the geometric mean of its base texture's sides in pixels, 0 without; None without any."""
    sides = []
    for material in mesh.all_materials:
        texture = material.base_color_texture
        texture = next(iter(material.textures.values()), None) if texture is None else texture
        sides.append(0.0 if texture is None else float(np.sqrt(texture.shape[0] * texture.shape[1])))
    if not any(sides):
        return None
    index = mesh.face_material if mesh.face_material is not None else np.zeros(len(mesh.faces), np.int32)
    return np.array(sides)[index]


def _doubled(uv: Floats) -> Floats:
    a, b = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
    return np.asarray(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])


def _percentiles(values: Floats, weight: Floats, shares: tuple[float, ...]) -> list[float]:
    """Values below which these shares of the weight lie."""
    order = np.argsort(values)
    total = np.cumsum(weight[order])
    at = np.searchsorted(total, np.array(shares) * total[-1])
    return [float(value) for value in values[order[np.minimum(at, len(values) - 1)]]]


def _anisotropy(corners: Floats, uv: Floats) -> Floats:
    """Ratio of the singular values of each face's map from texture to space, at least 1."""
    a, b = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
    p, q = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    double = _doubled(uv)[:, None]
    along_u = (p * b[:, 1:] - q * a[:, 1:]) / double
    along_v = (q * a[:, :1] - p * b[:, :1]) / double
    e, f, g = (np.einsum("ij,ij->i", x, y) for x, y in ((along_u, along_u), (along_u, along_v), (along_v, along_v)))
    root = np.sqrt((e - g) ** 2 + 4 * f**2)
    return np.asarray(np.sqrt((e + g + root) / np.maximum(e + g - root, 1e-12 * (e + g))))


def _overlap(uv: Floats, material: NDArray[np.int32]) -> tuple[float, float]:
    """(share of the square covered, share of the covered that lies under two faces or more of one material)."""
    grid = _GRID
    while grid > 32 and (np.minimum(np.ptp(uv, axis=1), 1).prod(1) * grid**2 + 4).sum() > _MOST_TESTS:
        grid //= 2
    uses = np.zeros((int(material.max()) + 1) * grid**2, np.int32)
    corners = np.rint(uv * grid * _STEPS).astype(np.int64) - _STEPS // 2
    tests = (np.ptp(corners, axis=1) // _STEPS + 2).prod(1)
    for part in np.split(np.arange(len(corners)), np.flatnonzero(np.diff(np.cumsum(tests) // 2_000_000)) + 1):
        cell, owner = _cells(corners[part], grid)
        np.add.at(uses, material[part][owner].astype(np.int64) * grid**2 + cell, 1)
    used = uses > 0
    covered = used.reshape(-1, grid**2).any(0).mean()
    return float(covered), float((uses > 1).sum() / max(used.sum(), 1))


def _cells(corners: Ints, grid: int) -> tuple[Ints, Ints]:
    """Cells (N,) as y * grid + x whose centres each triangle covers, and the triangle (N,); the texture repeats.

    Corners are whole steps, so that of two faces sharing an edge exactly one covers a centre that lies on it (the
    top-left rule).
    """
    flipped = _doubled(corners.astype(np.float64)) < 0
    corners = np.where(flipped[:, None, None], corners[:, ::-1], corners)
    low = -(-corners.min(1) // _STEPS)
    span = np.clip(corners.max(1) // _STEPS - low + 1, 0, 4 * grid)
    count = span.prod(1)
    owner = np.repeat(np.arange(len(corners)), count)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    x, y = low[owner, 0] + place % span[owner, 0], low[owner, 1] + place // span[owner, 0]
    inside = np.ones(len(owner), bool)
    for k in range(3):
        a, b = corners[:, k], corners[:, (k + 1) % 3]
        dx, dy = b[:, 0] - a[:, 0], b[:, 1] - a[:, 1]
        bias = np.where((dy < 0) | ((dy == 0) & (dx > 0)), 0, 1)
        side = dx[owner] * (y * _STEPS - a[owner, 1]) - dy[owner] * (x * _STEPS - a[owner, 0])
        inside &= side >= bias[owner]
    return (y[inside] % grid) * grid + x[inside] % grid, owner[inside]
