"""Files -> Mesh: GLB, glTF, OBJ, PLY, STL, OFF and whatever else trimesh opens, hostile ones included."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .appearance import vertex_colors
from .assets import Material, Mesh
from .conventions import linear_to_srgb, srgb_to_linear
from .errors import InputError, InputNotFoundError, LiftformError, UnreadableError

FloatArray = NDArray[np.float32]

#: Suffixes offered in messages; all that trimesh opens are tried.
_COMMON = (".glb", ".gltf", ".obj", ".ply", ".stl", ".off")
_LINEAR_COLORS = (".glb", ".gltf")
#: Keeps trimesh's warnings off the terminal of programs that have not set up logging.
_UNHEARD = logging.NullHandler()


def read_mesh(path: str | Path) -> Mesh:
    """The triangles of a file as one Mesh, in the file's own frame and unit.

    A scene is flattened with its transforms. One material keeps its texture (origin of uv turned to top-left); of
    several materials only the colours survive, as vertex colours. Vertices are kept as stored (seams doubled), faces
    with a missing corner are dropped. ``seen``, ``confidence`` and metadata written by liftform come back.

    Raises InputNotFoundError (no such file, a folder), UnreadableError (empty, damaged, or no known format) and
    InputError (no faces, or coordinates that are not finite).
    """
    path = Path(path)
    _check_file(path)
    try:
        with np.errstate(all="ignore"):  # values beyond float32 become infinite, which is reported below
            parts = [part for part in _parts(_opened(path), path.suffix.lower()) if len(part.faces)]
            if not parts:
                raise InputError(f"{path}: has no faces", "points and lines cannot be used as a mesh")
            mesh = _joined(parts).with_(name=_name(parts, path))
    except LiftformError:
        raise
    except Exception as error:  # a damaged file can break any assumption of the reader
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        what = f"{path}: damaged, or not a {path.suffix} file ({reason})"
        raise UnreadableError(what, "export it again") from error
    if not np.isfinite(mesh.vertices).all():
        raise InputError(f"{path}: has coordinates that are not finite", "repair or export the file again")
    if not np.ptp(mesh.vertices, axis=0).any():  # what compressed geometry looks like to a reader that cannot decode it
        raise InputError(f"{path}: all its faces lie in one point", "if it is compressed (Draco), save it uncompressed")
    return mesh.validate()


@dataclass(frozen=True)
class _Part:
    """One geometry of the scene, moved to its place."""

    mesh: Mesh
    material_key: int

    @property
    def faces(self) -> NDArray[np.int32]:
        return self.mesh.faces


def _check_file(path: Path) -> None:
    """Raise when ``path`` is no file with something in it, or of no format that trimesh opens."""
    import trimesh

    try:
        if path.is_dir() or not path.exists():
            what = "is a folder" if path.is_dir() else "no such file"
            raise InputNotFoundError(f"{path}: {what}", "give the path of a mesh file")
        if path.stat().st_size == 0:
            raise UnreadableError(f"{path}: the file is empty", "export it again")
    except OSError as error:
        raise InputNotFoundError(f"{path}: {error.strerror}", "give the path of a mesh file") from error
    if path.suffix.lower().lstrip(".") not in trimesh.exchange.load.mesh_formats():
        what = path.suffix or "a name without suffix"
        raise UnreadableError(f"{path}: {what} is no known mesh format", f"use {' '.join(_COMMON)}")


def _opened(path: Path) -> Any:
    """The file as a trimesh Scene."""
    import trimesh

    logging.getLogger("trimesh").addHandler(_UNHEARD)
    return trimesh.load_scene(str(path), file_type=path.suffix.lower().lstrip("."), process=False)


def _parts(scene: Any, suffix: str) -> Iterator[_Part]:
    """Every triangle geometry of the scene in world coordinates, in a fixed order."""
    import trimesh

    for node in sorted(scene.graph.nodes_geometry):
        world_from_part, name = scene.graph[node]
        geometry = scene.geometry[name]
        if isinstance(geometry, trimesh.Trimesh):
            yield _part(geometry, np.asarray(world_from_part, np.float64), suffix, name)


def _part(geometry: Any, world_from_part: NDArray[np.float64], suffix: str, name: str) -> _Part:
    linear = world_from_part[:3, :3]
    positions = np.asarray(geometry.vertices, np.float64)
    if not np.array_equal(world_from_part, np.eye(4)):
        positions = positions @ linear.T + world_from_part[:3, 3]
    faces = np.asarray(geometry.faces, np.int64).reshape(-1, 3)
    faces = faces[((faces >= 0) & (faces < len(positions))).all(axis=1)]
    if np.linalg.det(linear) < 0:
        faces = faces[:, ::-1]
    visual = geometry.visual
    material, key = _material(visual)
    extras = geometry.metadata.get("liftform") if isinstance(geometry.metadata, dict) else None
    mesh = Mesh(
        positions.astype(np.float32),
        np.ascontiguousarray(faces, np.int32),
        normals=_normals(geometry, linear),
        uv=_uv(visual, len(positions)),
        colors=_colors(visual, len(positions), suffix),
        seen=_stored(geometry, "seen", len(positions)),
        confidence=_stored(geometry, "confidence", len(positions)),
        material=material,
        name=name,
        metadata=dict(extras) if isinstance(extras, dict) else {},
    )
    if mesh.uv is None and material is not None and material.base_color_texture is not None:
        mesh = mesh.with_(material=Material(base_color=material.base_color, name=material.name))
    return _Part(mesh, key)


def _normals(geometry: Any, linear: NDArray[np.float64]) -> FloatArray | None:
    """Unit normals of the file, moved; None where it has none."""
    if "vertex_normals" not in geometry._cache:  # asking the property would compute them
        return None
    moved = np.asarray(geometry.vertex_normals, np.float64) @ np.linalg.pinv(linear)
    length = np.linalg.norm(moved, axis=1, keepdims=True)
    if moved.shape != geometry.vertices.shape or not np.isfinite(moved).all() or (length < 1e-9).any():
        return None
    unit: FloatArray = (moved / length).astype(np.float32)
    return unit


def _uv(visual: Any, count: int) -> FloatArray | None:
    """Texture coordinates with their origin top-left (trimesh's is bottom-left)."""
    uv = getattr(visual, "uv", None)
    if uv is None or np.shape(uv)[0] != count or np.ndim(uv) != 2 or not np.isfinite(uv).all():
        return None
    return np.stack([uv[:, 0], 1.0 - np.asarray(uv[:, 1], np.float64)], axis=1).astype(np.float32)


def _colors(visual: Any, count: int, suffix: str) -> FloatArray | None:
    """Vertex colours, sRGB-encoded; glTF stores them in linear light. Colours of faces go to their corners."""
    colors = getattr(visual, "vertex_attributes", {}).get("color")
    if colors is None and visual.kind in ("vertex", "face"):
        colors = visual.vertex_colors
    if colors is None or len(colors) != count:
        return None
    colors = np.asarray(colors)
    scale = 1.0 if colors.dtype.kind == "f" else float(np.iinfo(colors.dtype).max)
    values = np.clip(np.nan_to_num(colors[:, :3] / scale), 0, 1).astype(np.float32)
    return linear_to_srgb(values) if suffix in _LINEAR_COLORS else values


def _stored(geometry: Any, name: str, count: int) -> FloatArray | None:
    """A number for every vertex that liftform wrote: ``seen`` is _SEEN in a GLB, seen in a PLY."""
    values = geometry.vertex_attributes.get(f"_{name.upper()}")
    if values is None:
        stored = geometry.metadata.get("_ply_raw", {}).get("vertex", {}).get("data")
        names = getattr(getattr(stored, "dtype", None), "names", None) or ()
        values = stored[name] if name in names else None
    if values is None or np.size(values) != count:
        return None
    return np.clip(np.nan_to_num(np.asarray(values, np.float32).reshape(-1)), 0, 1)


def _material(visual: Any) -> tuple[Material | None, int]:
    """The material and a number equal for geometries that share it; (None, 0) without one."""
    from trimesh.visual.material import PBRMaterial, SimpleMaterial

    material = getattr(visual, "material", None)
    if isinstance(material, PBRMaterial):
        texture, factor = material.baseColorTexture, _unit_rgba(material.baseColorFactor)
        metallic = 1.0 if material.metallicFactor is None else float(material.metallicFactor)
        roughness = 1.0 if material.roughnessFactor is None else float(material.roughnessFactor)
    elif isinstance(material, SimpleMaterial):
        texture, metallic, roughness = material.image, 0.0, 0.9
        encoded = _unit_rgba(material.diffuse)
        r, g, b = srgb_to_linear(np.array(encoded[:3], np.float32)).tolist()
        factor = (r, g, b, encoded[3])
    else:
        return None, 0
    pixels = None if texture is None else np.asarray(texture.convert("RGB"))
    made = Material(
        pixels, factor, metallic, roughness, bool(getattr(material, "doubleSided", False)), material.name or "material"
    )
    return made, id(material)


def _unit_rgba(color: Any) -> tuple[float, float, float, float]:
    if color is None:
        return 1.0, 1.0, 1.0, 1.0
    values = np.asarray(color)
    if values.dtype.kind in "iu":
        values = values / np.iinfo(values.dtype).max
    r, g, b, a = np.clip(np.append(values.astype(float), 1.0)[:4], 0, 1).tolist()
    return r, g, b, a


def _joined(parts: list[_Part]) -> Mesh:
    """One mesh of all parts."""
    if len(parts) == 1:
        return parts[0].mesh
    meshes = [part.mesh for part in parts]
    if len({part.material_key for part in parts}) > 1:
        meshes = [mesh.with_(colors=vertex_colors(mesh), material=None, uv=None) for mesh in meshes]
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    faces = np.concatenate([mesh.faces + start for mesh, start in zip(meshes, starts, strict=False)])
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        faces.astype(np.int32),
        normals=_stacked([mesh.normals for mesh in meshes]),
        uv=_stacked([mesh.uv for mesh in meshes]),
        colors=_stacked([mesh.colors for mesh in meshes], [len(mesh.vertices) for mesh in meshes]),
        seen=_stacked([mesh.seen for mesh in meshes]),
        confidence=_stacked([mesh.confidence for mesh in meshes]),
        material=meshes[0].material,
        metadata=meshes[0].metadata,
    )


def _stacked(values: list[FloatArray | None], white: list[int] | None = None) -> FloatArray | None:
    """One array of all parts', or None when a part has none; given ``white`` (counts), those parts become white."""
    known = [value for value in values if value is not None]
    if white is not None and known:
        known = [np.ones((n, 3), np.float32) if v is None else v for v, n in zip(values, white, strict=True)]
    return np.concatenate(known) if len(known) == len(values) else None


def _name(parts: list[_Part], path: Path) -> str:
    """The node's name when there is one that says something, else the file's."""
    name = parts[0].mesh.name
    generic = len(parts) > 1 or not name or name.startswith(("geometry_", "GLTF")) or name == path.name
    return path.stem if generic else name
