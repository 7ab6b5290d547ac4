"""One masked picture of an object to a dense closed mesh with colour, by the embedded implicit-surface network."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..assets import Mesh
from ..camera import Camera
from ..capture import Capture, Photo
from ..errors import UsageError
from ..recipe import option
from ..runtime import Runtime
from ..zoo import lifter
from ..zoo.object_frame import FRAME_WIDTH, bounding_box, resample, virtual_camera
from . import constraints, evidence
from .optimise import Fit, optimise
from .surface import Grid, bridged, sample_field, sealed, surface_of, without_loose

FloatArray = NDArray[np.float32]
#: Points (N, 3) of the view frame -> signed distance and colour (N, 4).
Field = Callable[[FloatArray], FloatArray]

#: Half the box searched for the object, in view units: width and height of the crop, and depth.
SEARCH = (0.75, 0.75, 1.2)
#: Side of the silhouette used to carve, in pixels.
SILHOUETTE_PX = 256
#: The network is asked up to this far outside what is cut (view units): more than ``sample_field`` calls nearly inside.
NEAR = 0.03
#: A mirror plane is passed on to later stages above this trust.
MIRROR_TRUST = 0.7
#: ... and only if it lies along the view rather than across it: a front copied to the back gives an owl two faces.
MIRROR_SIDEWAYS = 0.5


@dataclass(frozen=True)
class ObjectOptions:
    """How finely the surface is sought."""

    resolution: int = option(64, "cells along the longest side of the object", "resolution", 32, 512)
    both_ways: bool = option(True, "read the picture and its mirror image and average what they say: slower, truer")
    optimise: int | Literal["auto"] = option(
        "auto",
        "auto: cut what the picture rules out; N: and fit the field to visible depth in N iterations; 0: neither",
        "optimise",
        0,
        10_000,
    )
    symmetry: float = option(
        0.0, "weight of mirror symmetry when N iterations fit the field; the network knows it already", "", 0, 10
    )


def object_(options: ObjectOptions, runtime: Runtime) -> Callable[[Capture], Mesh]:
    """Reconstructor: Capture whose photo has mask and camera -> dense Mesh in the view frame.

    Its ``confidence`` is preliminary (see evidence); metadata["signals"] and ["code"] are what refine.trust reads.
    Raises UsageError without mask or camera, ReconstructionError when the network finds no surface.
    """

    def reconstruct(capture: Capture) -> Mesh:
        photo = capture.photo
        if photo.mask is None or photo.camera is None:
            raise UsageError("reconstruction needs a mask and a camera", "run the mask and camera stages first")
        crop = _Crop.of(photo, options.both_ways, options.optimise != 0, runtime)
        runtime.progress("object", 0.2)
        grid = sample_field(crop.carved, *crop.search_box(), options.resolution, crop.visible_points())
        runtime.progress("object", 0.7)
        fit = crop.fitted(grid, 0 if options.optimise == "auto" else options.optimise, options.symmetry)
        whole, missing = _with_missing_parts(fit.grid, crop)
        grid, struts = bridged(without_loose(whole, crop.rules.hold) if crop.rules else whole)
        vertices, faces = surface_of(grid)
        values = crop.field.apart(vertices)
        doubts = evidence.doubt(values[..., 0], vertices, grid)
        notes = _notes(crop, len(faces), struts) | {"code": crop.reading.maps["code"][0]}
        if fit.energies:
            notes["optimise"] = {"energies": [round(e, 6) for e in fit.energies], "terms": fit.parts}
        notes["signals"] = {"missing": missing, "struts": float(struts), **crop.signals(grid, doubts)}
        runtime.progress("object", 1.0)
        colours = np.ascontiguousarray(values.mean(0)[:, 1:])
        return Mesh(vertices, faces, colors=colours, confidence=evidence.confidence_of(doubts), metadata=notes)

    return reconstruct


@dataclass(frozen=True)
class _Crop:
    """One reading of the photo, with the silhouette that the surface has to respect."""

    virtual: Camera
    reading: lifter.Reading
    #: of the mirror image, when that was read too.
    twin: lifter.Reading | None
    field: _Mean
    #: signed distance to the silhouette in pixels of SILHOUETTE_PX, positive outside.
    outline: FloatArray = dataclasses.field(repr=False)
    #: what else is ruled out, unless that is not wanted.
    rules: constraints.Rules | None = dataclasses.field(default=None, repr=False)

    @classmethod
    def of(cls, photo: Photo, both_ways: bool, ruled: bool, runtime: Runtime) -> _Crop:
        assert photo.mask is not None
        assert photo.camera is not None
        mask = photo.mask
        virtual = virtual_camera(photo.camera, bounding_box(mask.alpha), lifter.input_size())
        image, _ = lifter.crop(mask.foreground, mask.alpha, photo.camera, virtual)
        reading = lifter.read(image, runtime)
        fields, twin = [lifter.field_of(reading, virtual, runtime)], None
        if both_ways:
            twin = lifter.read(np.ascontiguousarray(image[..., ::-1]), runtime)
            fields.append(lifter.field_of(twin, virtual, runtime))
            reading = dataclasses.replace(reading, depth=0.5 * (reading.depth + twin.depth[:, ::-1]))
        sharp = virtual.resized(SILHOUETTE_PX, SILHOUETTE_PX)
        _, alpha = resample(mask.foreground, mask.alpha, photo.camera, sharp)
        rules = constraints.Rules.of(reading, virtual) if ruled else None
        return cls(virtual, reading, twin, _Mean(tuple(fields)), _signed_distance(alpha), rules)

    def search_box(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Corners in the view frame of the box around the camera-aligned search box."""
        corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * SEARCH
        upright = corners @ self.virtual.world_from_camera[:3, :3].T
        return upright.min(0), upright.max(0)

    def visible_points(self) -> NDArray[np.float64]:
        """Points (N, 3) of the view frame on the visible surface, as the network's depth places it."""
        within = dataclasses.replace(self.reading, depth=np.clip(self.reading.depth, -SEARCH[2], SEARCH[2]))
        return constraints.visible_points(within, self.virtual)

    def fitted(self, grid: Grid, iterations: int, symmetry: float = 0.0) -> Fit:
        """The grid fitted to what the picture fixes, cut by the silhouette again; untouched for 0 iterations."""
        if not iterations:
            return Fit(grid, (), {})
        fit = optimise(grid, constraints.terms(self.reading, self.virtual, grid, symmetry), iterations)
        new = (fit.grid.values < NEAR) & (fit.grid.values < grid.values)
        values = fit.grid.values.copy()
        values[new] = np.maximum(values[new], self.cut(fit.grid.points(new)))
        return dataclasses.replace(fit, grid=sealed(Grid(values, grid.low, grid.step)))

    def signals(self, grid: Grid, doubts: FloatArray) -> dict[str, float]:
        """How far the surface on ``grid`` agrees with what was read, see evidence.signals."""
        return evidence.signals(self.reading, self.twin, self.virtual, grid, self.visible_points(), doubts)

    def silhouette(self, points: FloatArray) -> FloatArray:
        """Signed distance (N,) in view units of points (N, 3) to the cone through the silhouette, positive outside."""
        from scipy.ndimage import map_coordinates

        pixels, depth = self.virtual.resized(SILHOUETTE_PX, SILHOUETTE_PX).project(points)
        at = np.clip(pixels - 0.5, 0, SILHOUETTE_PX - 1)
        value = map_coordinates(self.outline, [at[:, 1], at[:, 0]], order=1, mode="nearest")
        value = value + np.abs(pixels - 0.5 - at).max(1)
        unit = 2 * np.tan(self.virtual.yfov / 2) * np.maximum(depth, 1e-3) / SILHOUETTE_PX
        return (value * unit).astype(np.float32)

    def cut(self, points: FloatArray) -> FloatArray:
        """Value (N,) that points (N, 3) have at least: outside the silhouette, or where the rules let nothing be."""
        value = self.silhouette(points)
        return np.maximum(value, self.rules.broken(points)) if self.rules else value

    def carved(self, points: FloatArray) -> FloatArray:
        """The network's signed distance, cut; the network is asked only where it can matter."""
        value = self.cut(points)
        ask = value < NEAR
        if ask.any():
            value[ask] = np.maximum(value[ask], self.field(points[ask])[:, 0])
        return value


@dataclass(frozen=True)
class _Mean:
    """Mean of the field, and of the one read from the mirror image; the virtual camera stands in the plane x = 0."""

    fields: tuple[Field, ...]

    def apart(self, points: FloatArray) -> FloatArray:
        """What each reading says (K, N, 4)."""
        sides = [points, points * np.array([-1, 1, 1], np.float32)]
        return np.stack([field(side) for field, side in zip(self.fields, sides, strict=False)])

    def __call__(self, points: FloatArray) -> FloatArray:
        """What they say on average (N, 4)."""
        return self.apart(points).mean(0)


def _signed_distance(alpha: FloatArray) -> FloatArray:
    """Signed distance in pixels to the half-way line of alpha (H, W), positive outside, exact to a part of a pixel."""
    from scipy.ndimage import distance_transform_edt

    inside = alpha > 0.5
    if inside.all() or not inside.any():
        return np.full(alpha.shape, -1.0 if inside.all() else 1.0, np.float32)
    out = distance_transform_edt(~inside) - distance_transform_edt(inside)
    near = np.abs(out) < 1.5  # there the coverage itself says where the line runs
    out = np.where(near, np.clip(0.5 - alpha, -0.5, 0.5) * 2, out - np.sign(out) * 0.5)
    return out.astype(np.float32)


def _with_missing_parts(grid: Grid, crop: _Crop) -> tuple[Grid, float]:
    """Thin parts that the picture shows and the field lost come back as sheets at the network's visible depth.

    The rays of the silhouette along which nothing is inside are found on the grid; there a slab two cells thick
    around the predicted depth is added. Also returns the share of the silhouette that was missing.
    """
    from scipy.ndimage import binary_dilation, map_coordinates

    size = crop.reading.alpha.shape[0]
    pixels, depth = crop.virtual.project(grid.points(grid.values < 0))
    at = np.floor(pixels).astype(int)
    ok = (at >= 0).all(1) & (at < size).all(1)
    hit = np.zeros((size, size), bool)
    hit[at[ok, 1], at[ok, 0]] = True
    hit = binary_dilation(hit)
    solid = crop.reading.alpha > 0.6
    missing = solid & ~hit
    share = float(missing.sum() / max(solid.sum(), 1))
    if not share:
        return grid, share
    missing = binary_dilation(missing, iterations=1)
    near = np.ones(grid.values.shape, bool)
    points = grid.points(near)
    pixels, depth = crop.virtual.project(points)
    at = np.clip(np.floor(pixels).astype(int), 0, size - 1)
    ask = np.nonzero(missing[at[:, 1], at[:, 0]])[0]
    scale = crop.reading.depth.shape[0] / size
    where = np.clip(pixels[ask] * scale - 0.5, 0, None)
    visible = map_coordinates(crop.reading.depth, [where[:, 1], where[:, 0]], order=1, mode="nearest")
    distance = 0.5 * FRAME_WIDTH / np.tan(crop.virtual.yfov / 2)
    thickness = 1.2 * grid.step
    slab = np.abs(depth[ask] - distance - visible - thickness) - thickness
    slab = np.maximum(slab, crop.silhouette(points[ask]))
    flat = grid.values.reshape(-1).copy()
    flat[ask] = np.minimum(flat[ask], slab)
    values = flat.reshape(grid.values.shape).astype(np.float32)
    return sealed(Grid(values, grid.low, grid.step)), share


def _notes(crop: _Crop, faces: int, struts: int) -> dict[str, object]:
    normal, offset, trust = crop.reading.mirror
    notes: dict[str, object] = {"model": "liftform-object", "dense_faces": faces, "struts": struts}
    notes["mirror_trust"] = round(trust, 3)
    if trust > MIRROR_TRUST:  # whichever way it lies: what is copied across it is decided where the texture is made
        notes["plane"] = (normal, offset)
    if trust > MIRROR_TRUST and abs(normal[0]) > MIRROR_SIDEWAYS:
        notes["mirror"] = (normal, offset)
    return notes
