"""Mesh -> Mesh, upright and facing front: by given axes, or by how it would stand; nothing turns silently."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..assets import Mesh
from ..conventions import rotation_y
from ..recipe import option
from ..runtime import Runtime
from .upright import Upright, upright

Floats = NDArray[np.float64]

#: Way up of the file -> rotation (3x3) that makes it +Y, turning as little as can be; -Y turns about Z.
_TURNS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "y": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "z": ((1, 0, 0), (0, 0, 1), (0, -1, 0)),
    "-z": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
    "x": ((0, -1, 0), (1, 0, 0), (0, 0, 1)),
    "-x": ((0, 1, 0), (-1, 0, 0), (0, 0, 1)),
    "-y": ((-1, 0, 0), (0, -1, 0), (0, 0, 1)),
}
#: How much likelier than a way up of no axis a file's own axes are: most files are +Y up, many +Z.
PRIOR = {(0, 1, 0): 60.0, (0, 0, 1): 25.0, (0, -1, 0): 4.0, (0, 0, -1): 4.0, (1, 0, 0): 4.0, (-1, 0, 0): 4.0}
#: "auto" turns a mesh only when it is at least this sure of the new way up.
SURE = 0.5
_FRONTS = {"+z": 0.0, "-z": np.pi, "+x": -np.pi / 2, "-x": np.pi / 2}


@dataclass(frozen=True)
class PoseOptions:
    """Which way the mesh stands and faces."""

    up: Literal["keep", "auto", "y", "z", "-y", "x", "-x", "-z"] = option(
        "keep", "axis of the mesh, as it was read, that points up; auto finds out; keep turns nothing", "up"
    )
    front: Literal["keep", "+x", "-x", "+z", "-z"] = option(
        "keep", "axis that the front faces once the mesh is upright; it is turned to +Z", "front"
    )


def pose(options: PoseOptions, runtime: Runtime) -> Callable[[Mesh], Mesh]:
    """Refiner: the mesh turned upright (+Y), its front to +Z, standing on y = 0 with its box centred in x and z.

    Where nothing is turned the mesh stays where it is, bit for bit. "auto" judges every way it could stand
    (refine.upright) and keeps the file's when it is not at least SURE of another. Normals turn with the vertices; uv,
    colours and materials stay.

    metadata["pose"] = {"up", "front": as asked, "turned": bool, "sure": probability, only for auto, "why": in words,
    "asset_from_file": 4x4 matrix}; nothing is written when both options are "keep".
    """

    def run(mesh: Mesh) -> Mesh:
        if options.up == options.front == "keep":
            return mesh
        rotation, facts = _rotation(mesh, options)
        rotation = rotation_y(_FRONTS.get(options.front, 0.0)) @ rotation
        facts = {"up": options.up, "front": options.front, **facts}
        if np.array_equal(rotation, np.eye(3)):
            return mesh.with_(metadata={**mesh.metadata, "pose": {**facts, "turned": False}})
        return stood(mesh, rotation, {**facts, "turned": True})

    return run


def stood(mesh: Mesh, rotation: Floats, facts: dict[str, Any]) -> Mesh:
    """The mesh turned by a rotation (3x3) and set on the floor; ``facts`` and the matrix into metadata["pose"]."""
    turned = mesh.vertices.astype(np.float64) @ rotation.T
    used = turned[np.unique(mesh.faces)]
    low, high = used.min(0), used.max(0)
    offset = -np.array([(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2])
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, offset
    normals = None
    if mesh.normals is not None:
        normals = (mesh.normals.astype(np.float64) @ rotation.T).astype(np.float32)
    metadata = {**mesh.metadata, "pose": {**facts, "asset_from_file": matrix.tolist()}}
    metadata.pop("asset_from_view", None)  # of the picture it was made from: no longer true
    return mesh.with_(vertices=(turned + offset).astype(np.float32), normals=normals, metadata=metadata)


def _rotation(mesh: Mesh, options: PoseOptions) -> tuple[Floats, dict[str, Any]]:
    """What brings the way up to +Y, and why."""
    if options.up in ("keep", "y"):
        return np.eye(3), {}
    if options.up != "auto":
        return np.array(_TURNS[options.up], float), {"why": f"{options.up} of the file was said to be up"}
    found = upright(mesh, PRIOR)
    best = found.up[0]
    sure = round(float(found.probability[0]), 3)
    facts = {"sure": sure, "rest": round(float(found.chance[0]), 3), "found": _named(best)}
    if best[1] > 0.9999:
        return np.eye(3), {**facts, "why": "it stands as it should"}
    if sure < SURE:
        kept = {**facts, "sure": round(_of_file(found), 3)}
        return np.eye(3), {**kept, "why": f"kept as it was: only {sure:.0%} sure of {_named(best)}"}
    return turn_up(best), {**facts, "why": f"{_named(best)} of the file seems to be up"}


def turn_up(up: Floats) -> Floats:
    """The rotation (3x3) that brings a unit direction to +Y; exact where it is an axis."""
    for name, (_, second, _) in _TURNS.items():
        if np.abs(up - np.array(second)).max() < 1e-6:
            return np.array(_TURNS[name], float)
    axis = np.cross(up, [0.0, 1.0, 0.0])
    k = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    rotation: Floats = np.eye(3) + k + k @ k / (1 + up[1])
    return rotation


def _named(up: Floats) -> str:
    """ "+z", or the direction in figures."""
    k = int(np.abs(up).argmax())
    if abs(up[k]) > 0.9999:
        return ("+" if up[k] > 0 else "-") + "xyz"[k]
    return "(" + ", ".join(f"{x:.2f}" for x in up) + ")"


def _of_file(found: Upright) -> float:
    """Probability that the file's own way up is right."""
    return float(found.probability[found.up[:, 1] > 0.9999].sum())
