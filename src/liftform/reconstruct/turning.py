"""From where a picture shows a finished shape: turned about the vertical until it looks like what the picture shows.

Networks that draw a shape put it in a frame of their own, its front to +Z; the road works in the view frame, where the
camera's azimuth is 0. What both share is the vertical. The turn is searched by looking at the shape from all around and
comparing silhouette, normals and depth with what the embedded network reads in the picture; the same agreement ranks
several shapes drawn for one picture.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..assets import Mesh
from ..camera import Camera
from ..capture import Photo
from ..conventions import rotation_y
from ..render import Scene
from ..runtime import Runtime
from ..zoo import lifter
from ..zoo.object_frame import bounding_box, resample, virtual_camera

FloatArray = NDArray[np.float32]

#: Turns looked at first, then half-widths (degrees) of the searches around the best of them.
_ALL_AROUND, _FINER_DEG = 24, (10.0, 5.0, 2.5)
#: How many of the first turns are looked at more finely: a box looks nearly the same from four sides.
_KEPT = 3
#: Side of the silhouette to whose bounding box the shape is fitted, in pixels.
_OUTLINE_PX = 256
#: Depth off by this much (view units) counts a third.
_DEPTH = 0.05
#: Agreement that a turn by half a circle has to gain: of a bottle every side is its front, and then none is turned.
_INERTIA = 0.02


@dataclass(frozen=True)
class Agreement:
    """How alike shape and picture are, each in [0, 1]: ``outline`` (intersection over union), ``normals`` (mean cosine)
    and ``depth`` where both show the object; ``whole`` is what shapes are ranked by."""

    outline: float = 0.0
    normals: float = 0.0
    depth: float = 0.0

    @property
    def whole(self) -> float:
        """The outline counts for everything; what lies inside it for two thirds."""
        return self.outline * (1 + self.normals + self.depth) / 3


@dataclass(frozen=True)
class Placement:
    """p_view = ``scale`` R_y(-``turn``) (p - ``middle``) + ``shift``. turn (radians): azimuth from which the picture
    shows the shape, 0 its front (+Z), growing towards its +X."""

    turn: float
    scale: float
    middle: NDArray[np.float64]
    shift: NDArray[np.float64]
    agreement: Agreement = Agreement()

    def to_view(self, points: NDArray[np.floating]) -> FloatArray:
        """Points (N, 3) of the shape's own frame in the view frame."""
        return ((points - self.middle) @ rotation_y(self.turn) * self.scale + self.shift).astype(np.float32)

    def to_own(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Points (N, 3) of the view frame in the shape's own."""
        return self.directions_to_own(points - self.shift) + self.middle

    def directions_to_own(self, vectors: NDArray[np.floating]) -> NDArray[np.float64]:
        """Differences (N, 3) of points of the view frame in the shape's own."""
        return np.asarray(vectors @ rotation_y(-self.turn) / self.scale)


@dataclass(frozen=True)
class View:
    """What the picture shows of its object. camera: of the square crop around it; outline (S, S) bool; small: the same
    camera at the size of the maps ``solid`` (T, T) bool, depth (T, T) relative to the view frame's origin and normals
    (T, T, 3) in the camera's frame, the last two as the embedded network reads them."""

    camera: Camera
    outline: NDArray[np.bool_]
    small: Camera
    solid: NDArray[np.bool_]
    depth: FloatArray
    normals: FloatArray

    @classmethod
    def of(cls, photo: Photo, runtime: Runtime) -> View:
        """From a photo with mask and camera."""
        assert photo.mask is not None
        assert photo.camera is not None
        mask = photo.mask
        virtual = virtual_camera(photo.camera, bounding_box(mask.alpha), lifter.input_size())
        image, _ = lifter.crop(mask.foreground, mask.alpha, photo.camera, virtual)
        reading = lifter.read(image, runtime)
        sharp = virtual.resized(_OUTLINE_PX, _OUTLINE_PX)
        _, alpha = resample(mask.foreground, mask.alpha, photo.camera, sharp)
        small = virtual.resized(*reading.depth.T.shape)
        normals = np.ascontiguousarray(reading.normals.transpose(1, 2, 0))
        return cls(sharp, alpha > 0.5, small, reading.solid, reading.depth, normals)

    def placed(self, mesh: Mesh) -> Placement:
        """The shape where it agrees best with the picture; mesh: its own frame, +Y up. Deterministic."""
        scene = Scene(mesh)
        few = mesh.vertices[:: max(1, len(mesh.vertices) // 3000)].astype(np.float64)

        def best(turns: list[float], keep: int) -> list[Placement]:
            found = [self._at(turn, scene, few) for turn in turns]
            return sorted(found, key=lambda p: p.agreement.whole - _INERTIA * (1 - np.cos(p.turn)) / 2)[-keep:]

        kept = best([2 * np.pi * i / _ALL_AROUND for i in range(_ALL_AROUND)], _KEPT)
        for i, step in enumerate(np.radians(_FINER_DEG)):
            kept = best([p.turn + k * step for p in kept for k in (-1, 0, 1)], 1 if i else _KEPT)
        return replace(kept[-1], turn=float((kept[-1].turn + np.pi) % (2 * np.pi) - np.pi))

    def _at(self, turn: float, scene: Scene, few: NDArray[np.float64]) -> Placement:
        """The shape at one turn, fitted to the outline's bounding box, and how well it agrees there."""
        turned = few @ rotation_y(turn)
        low, high = turned.min(0), turned.max(0)
        middle = (low + high) / 2
        scale, shift = self._fitted(turned - middle, 1 / float((high - low).max()))
        placement = Placement(turn, scale, rotation_y(turn) @ middle, shift)
        return replace(placement, agreement=self._agreement(placement, scene))

    def _fitted(self, points: NDArray[np.float64], scale: float) -> tuple[float, NDArray[np.float64]]:
        """Scale and shift by which points (N, 3) about their middle fill the outline's bounding box; the middle stays
        at the depth of the view frame's origin."""
        left, top, right, bottom = bounding_box(self.outline.astype(np.float32))
        across, down = self.camera.world_from_camera[:3, 0], self.camera.world_from_camera[:3, 1]
        unit = float(np.linalg.norm(self.camera.position)) / self.camera.fx  # view units a pixel, at the origin
        shift = np.zeros(3)
        for _ in range(4):
            pixels, _ = self.camera.project(points * scale + shift)
            low, high = pixels.min(0), pixels.max(0)
            scale *= float(np.sqrt((right - left) * (bottom - top) / np.prod(np.maximum(high - low, 1e-6))))
            off = (np.array([left + right, top + bottom]) - low - high) / 2
            shift = shift + (off[0] * across + off[1] * down) * unit
        return scale, shift

    def _agreement(self, placement: Placement, scene: Scene) -> Agreement:
        """Outline, normals and depth of the placed shape against those of the picture, at the maps' size."""
        origin, rays = self.small.rays()
        own = placement.directions_to_own(rays.reshape(-1, 3))
        hits = scene.cast(placement.to_own(origin[None])[0], own)
        shown = hits.found.reshape(self.solid.shape)
        both = shown & self.solid
        outline = float(both.sum() / max((shown | self.solid).sum(), 1))
        if not both.any():
            return Agreement(outline)
        there = hits.at(both.ravel())
        corners = scene.mesh.vertices[scene.mesh.faces[there.face]].astype(np.float64)
        facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        facing /= np.maximum(np.linalg.norm(facing, axis=1), 1e-12)[:, None]
        seen = facing @ rotation_y(placement.turn) @ self.small.world_from_camera[:3, :3]
        cosine = np.clip((seen * self.normals[both]).sum(1), 0, 1)
        # A ray's own length is one of depth; how deep the middle lies is as uncertain in the reading as in the fit.
        gap = there.distance - self.depth[both]
        gap = gap - np.median(gap)
        return Agreement(outline, float(cosine.mean()), float(np.exp(-np.abs(gap) / _DEPTH).mean()))
