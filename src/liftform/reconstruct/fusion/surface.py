"""The reconstructor: posed photos with depth -> mesh with vertex colours, or a dense cloud of oriented points."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...assets import Mesh, PointCloud
from ...capture import Capture
from ...conventions import linear_to_srgb
from ...errors import ReconstructionError
from ...recipe import option
from ...render import smooth_normals
from ...runtime import Runtime
from . import tsdf
from .agreement import Agreed, Points, Tolerance, agreed, in_order, joined, partners
from .blocks import zero_level
from .coat import coat_of, painted, trimmed
from .maps import Map, maps_of, usual_footprint
from .poisson import smoothed, solved

#: Surfaces seen by pixels this many times wider than on the nearer ones are too far away to be joined with the others.
_FAR = 6.0
#: Distances are cut off so many cells from the surface, more where depths are noisy.
_REACH, _REACH_MOST = 4.0, 12.0
#: Weight of a depth that no other view confirms, where two views are enough.
_ALONE = 0.15
#: Weight below which a distance counts for nothing.
_FAINT = 0.01


@dataclass(frozen=True)
class FusionOptions:
    """How depth maps become a surface. method "auto": poisson where all photos have masks, else tsdf."""

    method: Literal["auto", "tsdf", "poisson"] = option(
        "auto", "distances averaged on voxels (tsdf), small holes closed too (poisson), or as masks say", "fusion"
    )
    cell: float = option(1.25, "width of a voxel in pixels of the pictures' depth maps", "", 0.5, 16)
    views: int = option(3, "views that have to agree on a point, fewer where there are fewer", "", 1, 12)
    share: float = option(0.01, "depths agree that differ by less than this share", "", 0.0005, 0.1)
    pixels: float = option(1.5, "and come back to the pixel within this distance", "", 0.2, 8)
    memory: int = option(1500, "most memory for voxels, MB: larger scenes get larger voxels", "", 64, 65536)
    points: int = option(5_000_000, "most points of the dense cloud", "", 1000, 200_000_000)
    smooth: int = option(1, "passes that average distances with those of neighbouring voxels", "", 0, 20)
    fill: float = option(0.01, "poisson closes holes as far as this from what was seen, share of the size", "", 0, 1)
    pieces: float = option(0.002, "loose parts below this share of the surface are removed", "", 0, 1)


@dataclass(frozen=True)
class Found:
    """All views made ready: maps, which view is compared with which, what each agrees on, how many have to."""

    maps: list[Map]
    others: list[list[int]]
    agreements: list[Agreed]
    least: int

    @property
    def noise(self) -> float:
        """Spread of single depths about the common one, share of the depth."""
        return float(np.median([one.noise for one in self.agreements]))


def fusion(options: FusionOptions, runtime: Runtime) -> Callable[[Capture], Mesh]:
    """Reconstructor: photos with depth and cameras -> one open surface with vertex colours, ``seen``, ``confidence``.

    Depths that other views contradict are left out, what lies outside a mask is kept empty, surfaces whose pixels are
    six times wider than on the nearer ones (a far background) are left out, and so are small loose parts.
    metadata["fusion"]: method, views, how many have to agree (least), width of a voxel (cell), blocks of 512 voxels,
    noise (spread of single depths, share), faces. Raises ReconstructionError when there is no depth or no surface.
    """

    def run(capture: Capture) -> Mesh:
        settled = replace(options, method=method_for(capture, options))
        found = prepared(maps_of(capture), settled, runtime)
        mesh, voxels = _surface(found, settled, runtime)
        mesh = finished(mesh, found, voxels["cell"], settled, runtime)
        facts: dict[str, Any] = {"method": settled.method, "views": len(found.maps), "least": found.least, **voxels}
        facts |= {"noise": round(found.noise, 6), "faces": len(mesh.faces)}
        return mesh.with_(metadata={"fusion": facts}).validate()

    return run


def method_for(capture: Capture, options: FusionOptions) -> Literal["auto", "tsdf", "poisson"]:
    """The method that "auto" stands for."""
    if options.method != "auto":
        return options.method
    masked = all(p.mask is not None or p.alpha is not None for p in capture.photos if p.depth is not None)
    return "poisson" if masked else "tsdf"


def points(capture: Capture, options: FusionOptions | None = None, runtime: Runtime | None = None) -> PointCloud:
    """Points of the surfaces that enough views agree on, with normals and sRGB colours, each surface once.

    At most ``options.points``, thinned evenly. Raises ReconstructionError when there is none.
    """
    options, runtime = options or FusionOptions(), runtime or Runtime()
    return cloud(prepared(maps_of(capture), options, runtime), options)


def cloud(found: Found, options: FusionOptions) -> PointCloud:
    """The same of views made ready."""
    parts = list(_thinned(joined_points(found, options), options.points))
    if not sum(len(part.places) for part in parts):
        raise ReconstructionError("the views agree on no point", "more pictures that overlap are needed")
    colors = linear_to_srgb(np.concatenate([part.linear for part in parts]))
    places = np.concatenate([part.places for part in parts]).astype(np.float32)
    return PointCloud(places, colors, np.concatenate([part.normals for part in parts])).validate()


def joined_points(found: Found, options: FusionOptions) -> Iterator[Points]:
    """View after view the points that enough views agree on."""
    tolerance = Tolerance(options.share, options.pixels)
    return joined(found.maps, iter(found.agreements), found.others, found.least, tolerance)


def _thinned(parts: Iterator[Points], most: int) -> Iterator[Points]:
    """All points, or every second, third, ... of all views where there would be more than ``most``."""
    held: list[Points] = []
    stride = 1
    for part in parts:
        held.append(_every(part, stride))
        while sum(len(one.places) for one in held) > most:
            held = [_every(one, 2) for one in held]
            stride *= 2
    return iter(held)


def _every(part: Points, stride: int) -> Points:
    return Points(part.places[::stride], part.normals[::stride], part.linear[::stride], part.views[::stride])


def prepared(maps: list[Map], options: FusionOptions, runtime: Runtime) -> Found:
    """Compare all views with each other; depths become those that they agree on."""
    tolerance = Tolerance(options.share, options.pixels)
    others = partners(maps, tolerance, runtime.threads)
    done = [0]

    def one(i: int) -> Agreed:
        result = agreed(maps, i, others[i], tolerance)
        done[0] += 1
        runtime.progress("fusion", 0.3 * done[0] / len(maps))
        return result

    found = in_order(one, range(len(maps)), runtime.threads)
    most = int(np.median([len(row) for row in others])) + 1
    least = max(1, min(options.views, most))
    return Found(maps, others, found, least)


def believed(found: Found) -> list[Map]:
    """The maps with common depths; those too few views confirm, or more contradict, are not trusted."""
    out = []
    for one, common in zip(found.maps, found.agreements, strict=True):
        enough = common.views + 1 >= found.least
        trust = one.trust * np.where(enough, np.minimum(common.views + 1, 6) / 6, _ALONE / 6)
        trust = np.where(common.against > common.views, 0, trust).astype(np.float32)
        z = np.where(np.isinf(one.z), one.z, np.where(enough, common.z, one.z))
        out.append(one.with_depth(z.astype(np.float32), trust))
    return out


def _surface(found: Found, options: FusionOptions, runtime: Runtime) -> tuple[Mesh, dict[str, float]]:
    """The zero level of the fused distances, untrimmed; cell size and number of blocks."""
    maps = believed(found)
    middle = usual_footprint(maps)
    step = options.cell * middle
    depth = middle * float(np.median([one.camera.fx for one in maps]))
    reach = float(np.clip(3 * found.noise * depth / step, _REACH, _REACH_MOST))
    farthest = [_FAR * middle * one.camera.fx for one in maps]
    both = zip(maps, farthest, strict=True)
    near = [one.with_depth(one.z, np.where(one.z <= far, one.trust, np.float32(0))) for one, far in both]
    low = np.median([one.camera.position for one in maps], axis=0)
    most = options.memory * 1_000_000 // tsdf.BLOCK_BYTES
    blocks, step = tsdf.covered(near, low, step, reach, farthest, most)

    def told(done: float) -> None:
        runtime.progress("fusion", 0.3 + 0.5 * done)

    if options.method == "poisson":
        volume = solved(blocks, near, reach, options.smooth, runtime.threads, told)
        known = np.ones(volume.weight.shape, bool)
    else:
        volume = smoothed(tsdf.integrated(blocks, near, reach, runtime.threads, told), options.smooth)
        known = volume.weight > _FAINT
    vertices, faces = zero_level(volume.blocks, volume.distance, known)
    return Mesh(vertices, faces), {"cell": round(step, 6), "blocks": len(volume.blocks.key)}


def finished(mesh: Mesh, found: Found, step: float, options: FusionOptions, runtime: Runtime) -> Mesh:
    """Coloured, without what no view shows (but for closed holes), what views look through, and loose parts."""
    coat = coat_of(mesh.vertices, smooth_normals(mesh), found.maps, 2 * step, options.share, runtime.threads)
    shown = coat.views > 0
    keep = shown & (coat.through <= coat.views)
    if options.method == "poisson" and options.fill > 0 and keep.any():
        size = float(np.linalg.norm(np.ptp(mesh.vertices[shown], axis=0)))
        keep |= ~shown & (coat.through == 0) & _close_to(mesh.vertices, keep, options.fill * size)
    keep &= coat.outside <= _allowed(coat.asked)
    return trimmed(painted(mesh, coat), keep, options.pieces)


def _close_to(points: NDArray[np.float32], chosen: NDArray[np.bool_], reach: float) -> NDArray[np.bool_]:
    """Which points (V,) lie within ``reach`` of a chosen one."""
    from scipy.spatial import cKDTree

    out = chosen.copy()
    rest = np.flatnonzero(~chosen)
    out[rest] = np.isfinite(cKDTree(points[chosen]).query(points[rest], distance_upper_bound=reach)[0])
    return out


def _allowed(asked: NDArray[np.int32]) -> NDArray[np.int32]:
    """How many masks may be wrong about a point."""
    return (asked // 10).astype(np.int32)
