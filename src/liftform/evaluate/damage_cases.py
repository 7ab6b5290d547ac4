"""The cases of the damage bench: sound shapes to break, meshes as generators make them, and downloads as they are."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import topology
from ..assets import Material, Mesh
from ..errors import InputNotFoundError, LiftformError
from ..read_mesh import read_mesh
from ..refine import mend
from .damage_kinds import KINDS, broken, sound

Rng = np.random.Generator

#: Sound meshes that are broken: shapes made here, and objects.
SHAPES, OBJECTS = 9, 16
#: Objects that can serve as truth have at least this many faces.
_FEWEST = 150


@dataclass(frozen=True)
class Case:
    """A mesh to repair. truth: the sound mesh, None where nobody knows it (group "as they are").

    group: the kind of damage, "generated" or "as they are". whole: whether all of the truth's surface must be met.
    """

    name: str
    group: str
    strength: int
    mesh: Mesh
    truth: Mesh | None


def damaged(objects: Path | None, count: int = 300, seed: int = 0) -> Iterator[Case]:
    """``count`` cases: sound meshes, each broken in all twelve ways, the strength going round.

    The first shapes and then objects that are needed; without a folder of objects only shapes. Raises
    InputNotFoundError when the folder has no manifest.
    """
    needed = -(-count // len(KINDS))
    truths = _alternating(shapes(seed), sound_objects(objects, seed) if objects else iter(()), needed)
    number = 0
    for index, (name, mesh) in enumerate(truths):
        for which, kind in enumerate(KINDS):
            if number == count:
                return
            number += 1
            strength = (index + which) % 3
            rng = np.random.default_rng([seed, index, which])
            bad, truth = broken(mesh, kind, strength, rng)
            yield Case(f"{name} / {kind} {strength + 1}", kind, strength, bad, truth)


def _alternating(
    ours: Iterator[tuple[str, Mesh]], theirs: Iterator[tuple[str, Mesh]], needed: int
) -> Iterator[tuple[str, Mesh]]:
    """One shape to two objects, so that few cases are mixed too."""
    for number in range(needed):
        found = next(ours, None) if number % 3 == 0 else next(theirs, None)
        found = found or next(theirs, None) or next(ours, None)
        if found is None:
            return
        yield found


# --- sound shapes -----------------------------------------------------------------------------------------------------


def shapes(seed: int = 0) -> Iterator[tuple[str, Mesh]]:
    """Analytic solids, painted: round and edged, fine and coarse, of one part and of several."""
    import manifold3d as m

    solid = m.Manifold
    block = solid.cube([1, 0.6, 0.4], True)
    bracket = (
        block - solid.cylinder(2, 0.15, 0.15, 48, True) - solid.cube([0.5, 0.8, 0.3], True).translate([0.4, 0, 0.2])
    )
    profile = [[0, 0], [0.4, 0], [0.5, 0.1], [0.55, 1], [0.5, 1], [0.45, 0.12], [0.38, 0.06], [0, 0.06]]
    cup = solid.revolve(m.CrossSection([profile]), 64)
    star = [[np.cos(a) * r, np.sin(a) * r] for a, r in zip(np.arange(20) * np.pi / 10, [1, 0.5] * 10, strict=True)]
    prism = solid.extrude(m.CrossSection([star]), 0.5)
    torus = solid.revolve(m.CrossSection.circle(0.3, 24).translate([1, 0]), 48)
    stairs = solid.batch_boolean(
        [solid.cube([1, 0.2, 1 - 0.2 * i]).translate([0, 0.2 * i, 0]) for i in range(4)], m.OpType.Add
    )
    ball, drum = solid.sphere(0.5, 64), solid.cylinder(1, 0.3, 0.3, 32).refine_to_length(0.1)
    lamp = solid.batch_boolean([solid.cylinder(0.1, 0.5, 0.4, 48), solid.cylinder(1.2, 0.05, 0.05, 24)], m.OpType.Add)
    shade = solid.revolve(m.CrossSection([[[0.22, 1.3], [0.56, 0.8], [0.6, 0.8], [0.25, 1.3]]]), 48)
    bodies = {
        "ball": ball,
        "bracket": bracket.refine_to_length(0.05),
        "cup": cup,
        "star": prism.refine_to_length(0.2),
        "torus": torus,
        "stairs": stairs,
        "drum": drum,
        "lamp": solid.compose([lamp, shade]),
        "coarse block": block,
    }
    order = np.random.default_rng(seed).permutation(len(bodies)) if seed else range(len(bodies))
    names = list(bodies)
    for i in order:
        vertices, faces = mend.from_manifold(bodies[names[i]])
        yield names[i], painted(Mesh(vertices, faces), seed + int(i))


def painted(mesh: Mesh, seed: int) -> Mesh:
    """With a texture of soft waves: every face has its place in a grid of charts."""
    count, size_px = len(mesh.faces), 512
    side = int(np.ceil(np.sqrt(count / 2)))
    cell, half = np.arange(count) // 2, np.arange(count) % 2
    corners = np.where(
        half[:, None, None] == 0, [[0.1, 0.1], [0.8, 0.1], [0.1, 0.8]], [[0.9, 0.9], [0.2, 0.9], [0.9, 0.2]]
    )
    uv = (corners + np.stack([cell % side, cell // side], 1)[:, None]) / side
    grid = (np.stack(np.meshgrid(*[np.arange(size_px)] * 2), -1) + 0.5) / size_px
    phase = np.random.default_rng(seed).uniform(0, 6, (2, 3))
    waves = 0.5 + 0.3 * np.sin(5 * grid[..., :1] + phase[0]) * np.cos(4 * grid[..., 1:] + phase[1])
    at = mesh.faces.ravel()
    faces = np.arange(len(at), dtype=np.int32).reshape(-1, 3)
    texture = (255 * waves).astype(np.uint8)
    return Mesh(
        mesh.vertices[at], faces, uv=uv.reshape(-1, 2).astype(np.float32), material=Material(base_color_texture=texture)
    )


# --- objects ----------------------------------------------------------------------------------------------------------


def listed(objects: Path, seed: int) -> list[dict[str, Any]]:
    """The rows of split "train" of a folder of objects, shuffled."""
    manifest = objects / "manifest.jsonl"
    if not manifest.is_file():
        raise InputNotFoundError(f"{manifest}: no such manifest", "give the folder of the objects")
    rows = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines() if line.strip()]
    rows = [row for row in rows if row["split"] == "train"]
    order = np.random.default_rng([seed, 1]).permutation(len(rows))
    return [rows[i] for i in order]


def sound_objects(objects: Path, seed: int) -> Iterator[tuple[str, Mesh]]:
    """Watertight objects of one texture that can serve as truth, one of a family."""
    families = set()
    for row in listed(objects, seed):
        if not row["watertight"] or row["n_faces"] < _FEWEST or row["family"] in families:
            continue
        try:
            mesh = read_mesh(objects / row["file"]).with_(normals=None, name=row["id"])
        except LiftformError:
            continue
        found = topology.health(mesh, 0)
        if found.manifold and found.outward and not found.degenerate_faces and sound(mesh):
            families.add(row["family"])
            yield row["id"], mesh


def as_they_are(objects: Path, count: int | None, seed: int = 0) -> Iterator[Case]:
    """Downloaded objects, broken or not; all of them when ``count`` is None."""
    for row in listed(objects, seed + 7)[:count]:
        try:
            mesh = read_mesh(objects / row["file"]).with_(normals=None)
        except LiftformError:
            continue
        yield Case(row["id"], "as they are", 0, mesh, None)


# --- generated ones ---------------------------------------------------------------------------------------------------

Field = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def generated(count: int = 40, seed: int = 0) -> Iterator[Case]:
    """Marching cubes of lumpy shapes, with what generators add: floaters, a second wall, an open bottom, noise."""
    for index in range(count):
        rng = np.random.default_rng([seed, 2, index])
        cells = int(rng.integers(64, 97))
        axis = np.linspace(-1, 1, cells + 1)
        points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1)
        clean = _lumps(points, rng)
        wall = 0.05 if index % 2 == 0 else 0.0
        field = np.abs(clean) - wall if wall else clean.copy()
        for _ in range(int(rng.integers(4, 20))):
            at = points.reshape(-1, 3)[rng.integers(points.size // 3)]
            radius = rng.uniform(1.1 * 2 / cells, 0.05)
            blob = np.linalg.norm(points - at, axis=-1) - radius
            if clean[tuple(((at + 1) / 2 * cells).round().astype(int))] > radius + 0.06 + wall:
                field = np.minimum(field, blob)
        bad = _marched(field, cells)
        if index % 4 >= 2:
            low = bad.bounds[0, 1]
            keep = bad.vertices[bad.faces][:, :, 1].min(1) > low + 0.04
            bad = bad.with_(faces=bad.faces[keep])
        if index % 3 == 0:
            noise = 0.15 * 2 / cells * rng.normal(size=bad.vertices.shape)
            bad = bad.with_(vertices=(bad.vertices + noise).astype(np.float32))
        yield Case(f"generated {index}", "generated", index % 3, bad, _marched(clean - wall, cells))


def _lumps(points: NDArray[np.float64], rng: Rng) -> NDArray[np.float64]:
    """Signed distance, about, of a few balls, boxes and rings grown together, clear of the border; one part."""
    field = np.linalg.norm(points, axis=-1) - 0.3
    for _ in range(int(rng.integers(2, 6))):
        way = rng.normal(size=3)
        at = points - way / np.linalg.norm(way) * rng.uniform(0.2, 0.4)
        kind = rng.integers(3)
        if kind == 0:
            other = np.linalg.norm(at, axis=-1) - rng.uniform(0.12, 0.3)
        elif kind == 1:
            q = np.abs(at) - rng.uniform(0.08, 0.3, 3)
            other = np.linalg.norm(np.maximum(q, 0), axis=-1) + np.minimum(q.max(-1), 0)
        else:
            tube = np.hypot(np.hypot(at[..., 0], at[..., 1]) - rng.uniform(0.2, 0.3), at[..., 2])
            other = tube - rng.uniform(0.08, 0.12)
        near = np.maximum(0.1 - np.abs(field - other), 0) / 0.1
        field = np.minimum(field, other) - near**2 * 0.1 / 4
    return np.asarray(field)


def _marched(field: NDArray[np.float64], cells: int) -> Mesh:
    """Marching cubes over [-1, 1]^3, outward, with soft vertex colours."""
    from skimage.measure import marching_cubes

    vertices, faces, _, _ = marching_cubes(field.astype(np.float32), 0.0)
    vertices = (vertices / cells * 2 - 1).astype(np.float32)
    colors = (0.5 + 0.3 * np.sin(3 * vertices + [1, 2, 3])).astype(np.float32)
    volume = float(np.einsum("ij,ij->", vertices[faces[:, 0]], np.cross(vertices[faces[:, 1]], vertices[faces[:, 2]])))
    faces = faces if volume > 0 else faces[:, ::-1]
    return Mesh(vertices, np.ascontiguousarray(faces, np.int32), colors=colors)
