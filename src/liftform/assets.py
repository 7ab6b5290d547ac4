"""The things liftform makes, as plain data that checks itself and knows no algorithm: Mesh, Model, Assembly ..."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .errors import InputError

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int32]

#: Textures of a material -> their numbers of channels (0: no axis of channels).
_CHANNELS = {
    "base_color_texture": (3, 4),
    "normal_texture": (3,),
    "occlusion_texture": (0,),
    "roughness_texture": (0,),
    "metallic_texture": (0,),
    "emissive_texture": (3,),
}


@dataclass(frozen=True)
class Material:
    """Metallic-roughness material (glTF 2.0).

    base_color_texture: (H, W, 3 or 4) uint8, sRGB-encoded (alpha as it is), or None. base_color: linear RGBA factor in
    [0, 1]. normal_texture: (H, W, 3) uint8, tangent space, +Y up along V upwards. occlusion_texture,
    roughness_texture, metallic_texture: (H, W) uint8, linear; the last two are multiplied by the factors.
    emissive: linear RGB factor; emissive_texture: (H, W, 3) uint8, sRGB-encoded.
    alpha_mode: opaque, mask (transparent below alpha_cutoff) or blend.
    """

    base_color_texture: NDArray[np.uint8] | None = None
    base_color: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    metallic: float = 0.0
    roughness: float = 0.9
    double_sided: bool = False
    name: str = "material"
    normal_texture: NDArray[np.uint8] | None = None
    occlusion_texture: NDArray[np.uint8] | None = None
    roughness_texture: NDArray[np.uint8] | None = None
    metallic_texture: NDArray[np.uint8] | None = None
    emissive: tuple[float, float, float] = (0.0, 0.0, 0.0)
    emissive_texture: NDArray[np.uint8] | None = None
    alpha_mode: Literal["opaque", "mask", "blend"] = "opaque"
    alpha_cutoff: float = 0.5

    @property
    def textures(self) -> dict[str, NDArray[np.uint8]]:
        """The textures that are there, by the name of their field."""
        fields = {name: getattr(self, name) for name in _CHANNELS}
        return {name: texture for name, texture in fields.items() if texture is not None}


@dataclass(frozen=True)
class Mesh:
    """Triangles in the world frame (+Y up, front +Z).

    vertices (V, 3) float32; faces (F, 3) int32, counter-clockwise seen from outside.
    normals (V, 3) float32 unit, or None. uv (V, 2) float32, origin top-left, or None: vertices on UV seams are
    doubled with bit-identical positions. colors (V, 3) float32 sRGB-encoded in [0, 1], or None.
    seen (V,) float32 in [0, 1], or None: 1 where the picture showed the surface, 0 where it was invented.
    confidence (V,) float32 in [0, 1], or None: of a finished mesh, the probability that the true surface lies within
    5 % of the longest side (see refine.trust); of a dense one, a preliminary measure of the network's agreement.
    material: of all faces. A mesh of several materials has ``materials`` and face_material (F,) int32, their index for
    every face, and no ``material``. quads: faces 2k and 2k + 1, for k < quads, are the halves (a, b, c) and (a, c, d)
    of the quadrilateral (a, b, c, d); all later faces are triangles.
    """

    vertices: FloatArray
    faces: IntArray
    normals: FloatArray | None = None
    uv: FloatArray | None = None
    colors: FloatArray | None = None
    seen: FloatArray | None = None
    confidence: FloatArray | None = None
    material: Material | None = None
    name: str = "object"
    metadata: dict[str, Any] = field(default_factory=dict)
    materials: tuple[Material, ...] = ()
    face_material: IntArray | None = None
    quads: int = 0

    @property
    def all_materials(self) -> tuple[Material, ...]:
        """Every material, one or several; () without."""
        return (self.material,) if self.material is not None else self.materials

    @property
    def polygons(self) -> tuple[IntArray, IntArray]:
        """The quadrilaterals (Q, 4) and the remaining triangles (T, 3)."""
        pairs = self.faces[: 2 * self.quads].reshape(-1, 6)
        return np.ascontiguousarray(pairs[:, [0, 1, 2, 5]]), self.faces[2 * self.quads :]

    def with_(self, **changes: Any) -> Mesh:
        """A copy with some fields replaced."""
        return replace(self, **changes)

    @property
    def bounds(self) -> FloatArray:
        """(2, 3): lowest and highest corner."""
        return np.stack([self.vertices.min(0), self.vertices.max(0)])

    def face_normals(self) -> FloatArray:
        """Unit normals (F, 3); zero for degenerate faces."""
        a, b, c = (self.vertices[self.faces[:, i]].astype(np.float64) for i in range(3))
        n = np.cross(b - a, c - a)
        unit: FloatArray = (n / np.maximum(np.linalg.norm(n, axis=1, keepdims=True), 1e-30)).astype(np.float32)
        return unit

    def validate(self) -> Mesh:
        """Return self, or raise InputError naming the first broken promise about shapes, types and ranges."""
        v, f = self.vertices, self.faces
        _check(v.ndim == 2 and v.shape[1] == 3 and v.dtype == np.float32, "vertices must be (V, 3) float32")
        _check(f.ndim == 2 and f.shape[1] == 3 and f.dtype == np.int32, "faces must be (F, 3) int32")
        _check(len(f) > 0, "the mesh has no faces")
        _check(bool(np.isfinite(v).all()), "vertices must be finite")
        _check(f.min() >= 0 and f.max() < len(v), "faces must index vertices")
        for name, width in (("normals", 3), ("uv", 2), ("colors", 3)):
            value = getattr(self, name)
            if value is not None:
                right = value.shape == (len(v), width) and value.dtype == np.float32
                _check(right, f"{name} must be (V, {width}) float32")
                _check(bool(np.isfinite(value).all()), f"{name} must be finite")
        for name in ("seen", "confidence"):
            value = getattr(self, name)
            if value is not None:
                _check(value.shape == (len(v),) and value.dtype == np.float32, f"{name} must be (V,) float32")
        for material in self.all_materials:
            _check_textures(material)
            _check(not material.textures or self.uv is not None, "a textured mesh needs uv")
        self._check_parts()
        return self

    def _check_parts(self) -> None:
        """Several materials and quadrilaterals."""
        index, count = self.face_material, len(self.materials)
        _check((index is None) == (count == 0), "materials and face_material come together")
        if index is not None:
            _check(self.material is None, "a mesh has one material or several, not both")
            _check(index.shape == (len(self.faces),) and index.dtype == np.int32, "face_material must be (F,) int32")
            _check(bool((index >= 0).all() and (index < count).all()), "face_material must index materials")
        _check(0 <= 2 * self.quads <= len(self.faces), "quads must be pairs of faces")
        pairs = self.faces[: 2 * self.quads].reshape(-1, 6)
        _check(bool((pairs[:, [0, 2]] == pairs[:, [3, 4]]).all()), "halves of a quad must share their diagonal")


@dataclass(frozen=True)
class Model:
    """A mesh with what belongs to it: coarser levels of detail, finest first, and convex parts for collisions."""

    mesh: Mesh
    levels: tuple[Mesh, ...] = ()
    collision: tuple[Mesh, ...] = ()

    def validate(self) -> Model:
        """Return self, or raise InputError naming the first broken promise of any part."""
        for mesh in (self.mesh, *self.levels, *self.collision):
            mesh.validate()
        return self


@dataclass(frozen=True)
class Node:
    """A named place in a tree of meshes: its own mesh or none, and the nodes below it.

    translation (metres) and yaw (radians about +Y, counter-clockwise seen from above) put the node, mesh and all, into
    its parent. Nodes may share one Mesh, which files then hold once. metadata: JSON-ready.
    """

    name: str
    mesh: Mesh | None = None
    children: tuple[Node, ...] = ()
    translation: tuple[float, float, float] = (0.0, 0.0, 0.0)
    yaw: float = 0.0
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """parent_from_node (4, 4)."""
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        x, y, z = self.translation
        return np.array([[c, 0, s, x], [0, 1, 0, y], [-s, 0, c, z], [0, 0, 0, 1]], np.float64)


@dataclass(frozen=True)
class Assembly:
    """Many meshes as a tree of named nodes: a home of storeys, rooms, walls and doors."""

    nodes: tuple[Node, ...]
    name: str = "assembly"
    metadata: dict[str, Any] = field(default_factory=dict)

    def walk(self) -> Iterator[tuple[Node, NDArray[np.float64]]]:
        """Every node, parents first, with its world_from_node (4, 4)."""
        stack = [(node, node.matrix) for node in reversed(self.nodes)]
        while stack:
            node, matrix = stack.pop()
            yield node, matrix
            stack += [(child, matrix @ child.matrix) for child in reversed(node.children)]

    def merged(self) -> Mesh:
        """All of it as one mesh of several materials, in the world frame; normals only where all parts have them, uv 0
        where a part has none."""
        placed = [(node.mesh, matrix) for node, matrix in self.walk() if node.mesh is not None]
        _check(bool(placed), "the assembly has no mesh")
        materials: list[Material] = []
        index: list[IntArray] = []
        for mesh, _ in placed:
            own = mesh.all_materials or (Material(),)
            numbers = []
            for material in own:
                known = next((k for k, other in enumerate(materials) if other is material), len(materials))
                if known == len(materials):
                    materials.append(material)
                numbers.append(known)
            of_face = np.zeros(len(mesh.faces), np.int32) if mesh.face_material is None else mesh.face_material
            index.append(np.asarray(numbers, np.int32)[of_face])
        starts = np.cumsum([0, *(len(mesh.vertices) for mesh, _ in placed)])
        return Mesh(
            np.concatenate([_moved(mesh.vertices, matrix, 1) for mesh, matrix in placed]),
            np.concatenate([m.faces + np.int32(k) for (m, _), k in zip(placed, starts, strict=False)]).astype(np.int32),
            normals=_joined([None if m.normals is None else _moved(m.normals, matrix, 0) for m, matrix in placed]),
            uv=_joined([np.zeros((len(m.vertices), 2), np.float32) if m.uv is None else m.uv for m, _ in placed]),
            materials=tuple(materials),
            face_material=np.concatenate(index),
            name=self.name,
            metadata=self.metadata,
        )

    def validate(self) -> Assembly:
        """Return self, or raise InputError naming the first broken promise of any part."""
        _check(any(node.mesh is not None for node, _ in self.walk()), "the assembly has no mesh")
        seen: set[int] = set()
        for node, matrix in self.walk():
            _check(bool(np.isfinite(matrix).all()), f"the place of node {node.name!r} must be finite")
            if node.mesh is not None and id(node.mesh) not in seen:
                seen.add(id(node.mesh))
                node.mesh.validate()
        return self


def _moved(rows: FloatArray, matrix: NDArray[np.float64], w: int) -> FloatArray:
    """Points (w = 1) or directions (w = 0) taken by a matrix (4, 4)."""
    moved: FloatArray = (rows @ matrix[:3, :3].T + w * matrix[:3, 3]).astype(np.float32)
    return moved


def _joined(parts: list[FloatArray | None]) -> FloatArray | None:
    """All parts in one array, or None where one is missing."""
    there = [part for part in parts if part is not None]
    return np.concatenate(there) if len(there) == len(parts) else None


@dataclass(frozen=True)
class PointCloud:
    """points (N, 3) float32 in the world frame; colors (N, 3) float32 sRGB in [0, 1]; normals (N, 3) unit."""

    points: FloatArray
    colors: FloatArray | None = None
    normals: FloatArray | None = None
    name: str = "points"

    def validate(self) -> PointCloud:
        """Return self, or raise InputError naming the first broken promise."""
        p = self.points
        _check(p.ndim == 2 and p.shape[1] == 3 and p.dtype == np.float32, "points must be (N, 3) float32")
        _check(len(p) > 0 and bool(np.isfinite(p).all()), "points must be finite and not empty")
        for name in ("colors", "normals"):
            value = getattr(self, name)
            _check(value is None or value.shape == p.shape, f"{name} must be (N, 3)")
        return self


@dataclass(frozen=True)
class RadianceField:
    """Density and colour everywhere, as sparse bricks of 8^3 lattice points with a small decoder: docs/fields.md.

    kind: "box", "contracted" or "frustum"; frame_from_world (4, 4) float64: how the world lies in the grid, see
    ``reconstruct.field.space``. size (3,) int32: lattice cells along each axis, multiples of 8. places (B, 3) int32:
    where each brick lies; cells (B,) uint64: which of its cells of 2^3 hold something. density (B, 512) float32, before
    softplus; empty: its value where there is no brick. features (B, 512, 8) float32; decoder (D,) float32.
    step: distance of samples in cells; scale: density times cells to optical depth. backdrop (3,): colour behind all,
    sRGB. looks (P, 6): gain and offset of each picture. cameras: JSON-ready facts of the pictures it was learnt from
    (name, width, height, fx, fy, cx, cy, world_from_camera). low, high (3,) float64: the box of what the pictures show.
    """

    kind: str
    frame_from_world: NDArray[np.float64]
    size: IntArray
    places: IntArray
    cells: NDArray[np.uint64]
    density: FloatArray
    features: FloatArray
    decoder: FloatArray
    looks: FloatArray
    backdrop: FloatArray
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    empty: float
    step: float
    scale: float
    cameras: tuple[dict[str, Any], ...] = ()
    name: str = "field"
    metadata: dict[str, Any] = field(default_factory=dict)

    def with_(self, **changes: Any) -> RadianceField:
        """A copy with some fields replaced."""
        return replace(self, **changes)

    def validate(self) -> RadianceField:
        """Return self, or raise InputError naming the first broken promise."""
        count = len(self.places)
        _check(self.kind in ("box", "contracted", "frustum"), f"{self.kind!r} is no kind of field")
        _check(self.frame_from_world.shape == (4, 4), "frame_from_world must be (4, 4)")
        _check(self.size.shape == (3,) and bool((self.size > 0).all()), "size must be three numbers above 0")
        _check(bool((self.size % 8 == 0).all() and (self.size <= 4096).all()), "size must be multiples of 8 to 4096")
        _check(self.places.shape == (count, 3) and self.places.dtype == np.int32, "places must be (B, 3) int32")
        inside = (self.places >= 0) & (self.places <= self.size // 8)
        _check(bool(inside.all()), "places must lie in the grid")
        _check(self.cells.shape == (count,) and self.cells.dtype == np.uint64, "cells must be (B,) uint64")
        _check(self.density.shape == (count, 512) and self.density.dtype == np.float32, "density must be (B, 512)")
        _check(self.features.shape == (count, 512, 8), "features must be (B, 512, 8)")
        for name in ("frame_from_world", "density", "features", "decoder", "looks", "backdrop", "low", "high"):
            _check(bool(np.isfinite(getattr(self, name)).all()), f"{name} must be finite")
        _check(self.step > 0 and self.scale > 0, "step and scale must be above 0")
        _check(bool((self.high > self.low).all()), "the box must not be empty")
        return self


@dataclass(frozen=True)
class Splats:
    """3D Gaussians in the world frame (+Y up): a scene as coloured, see-through ellipsoids (Kerbl et al. 2023).

    means (N, 3); scales (N, 3) > 0, standard deviations along the own axes; rotations (N, 4), unit quaternions wxyz,
    world from own axes; opacities (N,) in [0, 1]; harmonics (N, K, 3) with K = 1, 4, 9 or 16: real spherical harmonics
    in the order of 3DGS files; the colour seen along a unit direction is 0.5 + their sum, sRGB-encoded (what is
    optimised are encoded pictures, as everywhere with splats), cut off below 0. All float32. metadata: JSON-ready.
    """

    means: FloatArray
    scales: FloatArray
    rotations: FloatArray
    opacities: FloatArray
    harmonics: FloatArray
    name: str = "splats"
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def degree(self) -> int:
        """The degree of the harmonics: 0 where colours are the same from all sides."""
        return round(self.harmonics.shape[1] ** 0.5) - 1

    @property
    def colors(self) -> FloatArray:
        """Colours (N, 3), sRGB-encoded in [0, 1], without what changes with the direction."""
        return np.clip(0.5 + 0.28209479177387814 * self.harmonics[:, 0], 0, 1).astype(np.float32)

    def with_(self, **changes: Any) -> Splats:
        """A copy with some fields replaced."""
        return replace(self, **changes)

    def chosen(self, index: NDArray[Any]) -> Splats:
        """Some of the Gaussians (boolean mask or indices)."""
        rows = {name: getattr(self, name)[index] for name in _SPLAT_FIELDS}
        return replace(self, **rows)

    def validate(self) -> Splats:
        """Return self, or raise InputError naming the first broken promise."""
        count, coefficients = len(self.means), self.harmonics.shape[1:2]
        shapes = {"means": (count, 3), "scales": (count, 3), "rotations": (count, 4), "opacities": (count,)}
        shapes["harmonics"] = (count, *coefficients, 3)
        for name in _SPLAT_FIELDS:
            value = getattr(self, name)
            _check(value.shape == shapes[name] and value.dtype == np.float32, f"{name} must be {shapes[name]} float32")
            _check(bool(np.isfinite(value).all()), f"{name} must be finite")
        _check(count > 0, "there are no splats")
        _check(coefficients in ((1,), (4,), (9,), (16,)), "harmonics must be 1, 4, 9 or 16 a splat")
        _check(bool((self.scales > 0).all()), "scales must be above 0")
        _check(bool((np.abs(np.linalg.norm(self.rotations, axis=1) - 1) < 1e-3).all()), "rotations must be unit")
        _check(bool(((self.opacities >= 0) & (self.opacities <= 1)).all()), "opacities must lie in [0, 1]")
        return self


_SPLAT_FIELDS = ("means", "scales", "rotations", "opacities", "harmonics")


def _check_textures(material: Material) -> None:
    """Shapes and types of every texture."""
    for name, texture in material.textures.items():
        channels = texture.shape[2] if texture.ndim == 3 else 0
        right = texture.ndim in (2, 3) and channels in _CHANNELS[name] and texture.dtype == np.uint8 and texture.size
        _check(bool(right), f"{name} must be uint8 with {' or '.join(map(str, _CHANNELS[name]))} channels")


def _check(ok: bool, message: str) -> None:
    if not ok:
        raise InputError(f"invalid asset: {message}")
