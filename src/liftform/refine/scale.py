"""Mesh -> Mesh in its final place and size: real where it is known, guessed where asked, never silently."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..assets import Mesh
from ..errors import UsageError
from ..lengths import shown, unit
from ..recipe import option
from ..runtime import Runtime
from .typical import typical

Extent = NDArray[np.float64]

#: Sizes given together must ask for the same factor up to this share.
AGREE = 0.02
#: What a size in the picture's reference may differ from a given one before it is remarked.
_REMARK = 0.15


@dataclass(frozen=True)
class SizeOptions:
    """Real size. Lengths in metres, or with their unit: "45cm", "18in", "1ft6in"."""

    height_m: float | None = option(
        None,
        "real height of the object or scene: 45cm, 18in, 1ft6in; a bare number is metres",
        "height",
        1e-6,
        1e6,
        True,
    )
    width_m: float | None = option(
        None, "real width (left to right, seen from the front), instead of the height", "width", 1e-6, 1e6, True
    )
    longest_m: float | None = option(
        None, "real length of the longest of the three sides, instead of the height", "longest", 1e-6, 1e6, True
    )
    like: str | None = option(
        None, "kind of thing, such as chair: its usual size is taken as a guess where no real one is known", "like"
    )


@dataclass(frozen=True)
class ScaleOptions(SizeOptions):
    """Real size of the object, or of the scene."""

    distance_m: float | None = option(
        None, "real distance from the camera to the middle of a scene's picture", "distance", 1e-6, 1e6, True
    )


@dataclass(frozen=True)
class ResizeOptions(SizeOptions):
    """Real size of a mesh from a file."""

    unit: str | None = option(None, "what one unit of the file's coordinates is: mm, cm, m, in, ft", "unit")


@dataclass(frozen=True)
class Size:
    """What to multiply by, the unit that comes of it ("metre", "guessed metre", "unknown"), and who says so.

    error: expected relative error of the factor, or None where a given size leaves none or nothing is known.
    """

    factor: float
    unit: str
    origin: str
    error: float | None = None
    note: str = ""

    def facts(self, vertices: NDArray[np.float32]) -> dict[str, Any]:
        """metadata["scale"]."""
        found: dict[str, Any] = {"unit": self.unit, "factor": float(self.factor), "from": self.origin}
        found["size"] = [round(float(x), 6) for x in np.ptp(vertices, axis=0)]
        if self.error is not None:
            found["error"] = round(self.error, 4)
        return found | ({"note": self.note} if self.note else {})


def scale(options: ScaleOptions, runtime: Runtime) -> Callable[[Mesh], Mesh]:
    """Refiner: lowest point at y = 0, bounding box centred in x and z; of the size that is known best.

    In this order: a given height, width, longest side or distance; a reference in the picture (metadata["reference"],
    see refine.reference); for a scene, what its depth says; the usual size of what it is ``like``; else the longest
    side is 1 unit. A scene (metadata["kind"]) stands with its floor, where one was found, at y = 0.

    metadata["scale"] = {"unit": "metre", "guessed metre" or "unknown", "factor", "from": "given height", "marker", ...,
    "size": [x, y, z], "error": expected relative error, where there is one, "note"};
    metadata["asset_from_view"] is the 4x4 matrix (nested lists) with p_asset = M p_view, by which the picture's camera
    can follow (Camera.moved). Raises UsageError when given sizes disagree, a distance is given for an object, or the
    kind of thing is unknown.
    """
    if options.like is not None:
        typical(options.like)  # an unknown kind is refused before any work

    def run(mesh: Mesh) -> Mesh:
        low, high = mesh.bounds.astype(np.float64)
        size = _of_picture(mesh, high - low, options)
        floor = mesh.metadata.get("floor", low[1])
        origin = np.array([(low[0] + high[0]) / 2, floor, (low[2] + high[2]) / 2])
        vertices = ((mesh.vertices.astype(np.float64) - origin) * size.factor).astype(np.float32)
        matrix = np.diag([size.factor] * 3 + [1.0])
        matrix[:3, 3] = -origin * size.factor
        metadata = {**mesh.metadata, "scale": size.facts(vertices), "asset_from_view": matrix.tolist()}
        return mesh.with_(vertices=vertices, metadata=metadata)

    return run


def stand(options: SizeOptions, runtime: Runtime) -> Callable[[Mesh], Mesh]:
    """Refiner for what a photo set shows: an object on the floor and above the origin, a scene as its cameras have it.

    metadata["world"] = {"metric": whether the cameras' world is in metres, "object": whether masks cut the object out}.
    A given size decides; then metres that the cameras tell; then the usual size of what it is ``like``; else one unit
    stays what it is. metadata["scale"] and ["asset_from_view"] as of ``scale``, here from the cameras' world. Raises
    UsageError as ``scale`` does.
    """
    if options.like is not None:
        typical(options.like)

    def run(mesh: Mesh) -> Mesh:
        low, high = mesh.bounds.astype(np.float64)
        world = mesh.metadata.get("world", {})
        measured = Size(1.0, "metre", "cameras") if world.get("metric") else None
        size = _given(high - low, options)
        size = _remarked(size, measured) if size else measured or _usual(high - low, options)
        size = size or Size(1.0, "unknown", "cameras", note="pictures alone do not tell it: give a distance or height")
        origin = np.array([(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2]) if world.get("object") else 0.0
        vertices = ((mesh.vertices.astype(np.float64) - origin) * size.factor).astype(np.float32)
        matrix = np.diag([size.factor] * 3 + [1.0])
        matrix[:3, 3] = -np.asarray(origin) * size.factor
        metadata = {**mesh.metadata, "scale": size.facts(vertices), "asset_from_view": matrix.tolist()}
        return mesh.with_(vertices=vertices, metadata=metadata)

    return run


def resize(options: ResizeOptions, runtime: Runtime) -> Callable[[Mesh], Mesh]:
    """Refiner for a mesh from a file: its size changes about the origin, and only where one was asked for.

    A given size decides; then ``unit``, which turns the file's coordinates into metres; then a size that liftform wrote
    into the file; then the usual one of what it is ``like``. Where nothing is asked for, nothing changes.
    metadata["scale"] as of ``scale``, with "from": "file" for what liftform wrote. Raises UsageError as ``scale`` does,
    and for an unknown unit.
    """
    known = None if options.unit is None else unit(options.unit)
    if options.like is not None:
        typical(options.like)

    def run(mesh: Mesh) -> Mesh:
        if options == ResizeOptions():
            return mesh
        extent = np.ptp(mesh.bounds.astype(np.float64), axis=0)
        size = _given(extent, options) or (_by_unit(mesh, known, options) if known else None)
        size = size or _of_file(mesh) or _usual(extent, options) or Size(1.0, "unknown", "nothing")
        moved = mesh.vertices if size.factor == 1 else (mesh.vertices * np.float64(size.factor)).astype(np.float32)
        return mesh.with_(vertices=moved, metadata={**mesh.metadata, "scale": size.facts(moved)})

    return run


def _by_unit(mesh: Mesh, metres: float, options: ResizeOptions) -> Size:
    """One unit of the file's coordinates is so many metres; a reader that knew another unit has used that already."""
    said = mesh.metadata.get("scale", {})
    used = float(said.get("factor", 1.0)) if "file" in mesh.metadata and "from" not in said else 1.0
    return Size(metres / used, "metre", "given unit", note=f"the file's unit is {options.unit}")


def _of_picture(mesh: Mesh, extent: Extent, options: ScaleOptions) -> Size:
    scene = mesh.metadata.get("kind") == "scene"
    measured = _measured(mesh)
    if given := _given(extent, options) or _by_distance(mesh, scene, options):
        return _remarked(given, measured)
    if measured:
        return measured
    depth = mesh.metadata.get("depth_scale", "") if scene else ""
    if depth == "metric":
        return Size(1.0, "metre", "file", note="the depth is in metres")
    if usual := _usual(extent, options):
        return usual
    if depth == "relative":
        return Size(1.0, "guessed metre", "depth network")
    return Size(1.0 / float(extent.max()), "unknown", "nothing", note="the longest side is 1 unit")


def _given(extent: Extent, options: SizeOptions) -> Size | None:
    """The factor that given lengths ask for; they must agree."""
    sides = {"height": float(extent[1]), "width": float(extent[0]), "longest": float(extent.max())}
    wanted = {name: length for name in sides if (length := getattr(options, f"{name}_m")) is not None}
    for name in wanted:
        if sides[name] <= 0:
            raise UsageError(f"--{name} {shown(wanted[name])}: it has no {name}, it is flat", "give another side")
    if not wanted:
        return None
    factors = {name: length / sides[name] for name, length in wanted.items()}
    first = next(iter(factors))
    if max(factors.values()) > (1 + AGREE) * min(factors.values()):
        asked = " and ".join(f"--{name} {shown(length)}" for name, length in wanted.items())
        would = ", ".join(f"{name} {shown(sides[name] * factors[first])}" for name in factors if name != first)
        raise UsageError(f"{asked} do not agree: with that {first} it has {would}", "give one of them")
    origin = "given " + " and ".join("longest side" if name == "longest" else name for name in factors)
    return Size(
        float(np.mean(list(factors.values()))), "metre", origin, note=_far_from_usual(extent * factors[first], options)
    )


def _by_distance(mesh: Mesh, scene: bool, options: ScaleOptions) -> Size | None:
    if options.distance_m is None:
        return None
    if not scene:
        raise UsageError("--distance is for scenes", "give the object's --height")
    return Size(options.distance_m / mesh.metadata["middle"], "metre", "given distance")


def _measured(mesh: Mesh) -> Size | None:
    """By a reference in the picture."""
    found = mesh.metadata.get("reference", {})
    if "factor" not in found:
        return None
    return Size(found["factor"], "metre", found["kind"], found["error"], found.get("note", ""))


def _remarked(given: Size, measured: Size | None) -> Size:
    """A given size, with a remark where the picture's reference says something else."""
    if measured is None or abs(measured.factor / given.factor - 1) <= _REMARK + 2 * (measured.error or 0):
        return given
    note = f"the {measured.origin} in the picture says {measured.factor / given.factor:.2g} times that"
    return Size(given.factor, given.unit, given.origin, note=note)


def _usual(extent: Extent, options: SizeOptions) -> Size | None:
    if options.like is None:
        return None
    kind = typical(options.like)
    side = float(extent[1] if kind.what == "height" else extent.max())
    if side <= 0:
        return None
    note = f"a {kind.name} is usually {shown(kind.size_m)} {'high' if kind.what == 'height' else 'long'}"
    return Size(kind.size_m / side, "guessed metre", f"category guess: {kind.name}", kind.spread, note)


def _far_from_usual(extent: Extent, options: SizeOptions) -> str:
    """A remark on a given size that is far from what is usual; "" otherwise."""
    if options.like is None:
        return ""
    kind = typical(options.like)
    size = float(extent[1] if kind.what == "height" else extent.max())
    if abs(np.log(max(size, 1e-12) / kind.size_m)) <= 3 * np.log1p(kind.spread):
        return ""
    return f"{shown(size)} is far from usual for a {kind.name}, which is about {shown(kind.size_m)}"


def _of_file(mesh: Mesh) -> Size | None:
    """What liftform wrote into the file; that a format counts in metres does not yet make it true."""
    said = mesh.metadata.get("scale")
    if not isinstance(said, dict) or "from" not in said or said.get("unit") not in ("metre", "guessed metre"):
        return None
    return Size(1.0, said["unit"], "file", said.get("error"), str(said.get("from", "")))
