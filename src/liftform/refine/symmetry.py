"""Planes of symmetry put to the test: does the shape agree, and do the colours where both sides were seen?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..assets import FloatArray, Mesh
from . import blend, surface
from .visible import Sheet

Floats = NDArray[np.float64]

#: Share of reflected points that must come to lie this near (share of the diagonal) to the surface.
_FIT, _NEAR = 0.65, 0.025
#: Share of the visible pixels whose partner must be visible too before colours can confirm or refute a plane.
_EVIDENCE = 0.02
#: Likeness of the detail of partners below which a plane is refuted (1 the same, 0 unrelated), their difference in hue
#: (logarithmic) that refutes it too, and the detail (logarithmic) below which there is nothing to compare.
_ALIKE, _HUE, _PLAIN = 0.25, 0.4, 0.05
#: Planes are confirmed without colours to compare only when they lie along the view: cosine of normal and view.
_ACROSS = 0.5


@dataclass(frozen=True)
class Plane:
    """A vertical plane normal . p = offset. fit: share of the shape that agrees. evidence: share of the visible pixels
    whose partner is visible; alike: likeness of their detail (None when there is none); hue: their difference in hue.

    confirmed: what it shows may be copied whole, print included. refuted: why it must not be used, or "".
    """

    normal: Floats
    offset: float
    fit: float
    evidence: float
    alike: float | None
    hue: float
    across: float

    @property
    def refuted(self) -> str:
        """Why the plane must not be used, or ""."""
        if self.fit < _FIT:
            return f"the shape disagrees ({self.fit:.0%} fits)"
        if self.evidence >= _EVIDENCE and self.hue > _HUE:
            return "the colours of both sides differ"
        if self.evidence >= _EVIDENCE and self.alike is not None and self.alike < _ALIKE:
            return f"what is drawn on both sides differs (likeness {self.alike:.2f})"
        return ""

    @property
    def confirmed(self) -> bool:
        """Whether print too may be copied: the colours agree, or the plane lies along the view and nothing objects."""
        if self.refuted:
            return False
        compared = self.evidence >= _EVIDENCE and self.alike is not None
        return self.across < _ACROSS or (compared and self.across < 0.9)

    def reflect(self, points: NDArray[Any]) -> NDArray[Any]:
        """Mirror images of points (N, 3)."""
        distance = points @ self.normal.astype(points.dtype) - points.dtype.type(self.offset)
        return points - 2 * distance[:, None] * self.normal.astype(points.dtype)

    def turn(self, vectors: NDArray[Any]) -> NDArray[Any]:
        """Mirror images of directions (N, 3)."""
        n = self.normal.astype(vectors.dtype)
        return vectors - 2 * (vectors @ n)[:, None] * n


def plane_of(dense: Mesh) -> tuple[Floats, float] | None:
    """The plane (unit normal, offset) that dense.metadata["plane"] or ["mirror"] names, or None."""
    given: Any = dense.metadata.get("plane", dense.metadata.get("mirror"))
    if given is None:
        return None
    normal = np.asarray(given[0], np.float64)
    length = float(np.linalg.norm(normal))
    return (normal / length, float(given[1]) / length) if length > 0 else None


def judged(normal: Floats, offset: float, dense: Mesh, tree: Any, sheet: Sheet) -> Plane:
    """A plane with all that is known for and against it. tree: a cKDTree of dense's vertices."""
    towards = sheet.camera.world_from_camera[:3, 2] * np.array([1.0, 0.0, 1.0])
    across = abs(float(normal @ towards)) / max(float(np.linalg.norm(towards)), 1e-9)
    plane = Plane(normal, offset, 0.0, 0.0, None, 0.0, across)
    some = dense.vertices[:: max(1, len(dense.vertices) // 800)]
    near = tree.query(plane.reflect(some))[0] < _NEAR * surface.diagonal(dense.vertices)
    evidence, alike, hue = _compared(plane, sheet, surface.diagonal(dense.vertices))
    return Plane(normal, offset, float(near.mean()), evidence, alike, hue, across)


def _compared(plane: Plane, sheet: Sheet, size: float) -> tuple[float, float | None, float]:
    """Evidence, likeness of detail and difference in hue of visible pixels and their visible partners."""
    known = np.flatnonzero(sheet.known)
    if not len(known):
        return 0.0, None, 0.0
    points, normals = sheet.point.reshape(-1, 3), sheet.normal.reshape(-1, 3)
    there, turned = plane.reflect(points[known]), plane.turn(normals[known])
    uv, _ = sheet.camera.project(there)
    uv /= [sheet.camera.width, sheet.camera.height]
    partner, inside = sheet.pixels(uv)
    good = inside & sheet.known.ravel()[partner]
    good &= np.linalg.norm(points[partner] - there, axis=1) < 2 * _NEAR * size
    good &= np.einsum("ij,ij->i", normals[partner], turned) > 0.7
    good &= np.linalg.norm(there - points[known], axis=1) > 0.06 * size
    evidence = float(good.mean())
    if good.sum() < 20:
        return evidence, None, 0.0
    detail, log = sheet.detail().reshape(-1, 3), blend.encode(sheet.color).reshape(-1, 3)
    a, b = known[good], partner[good]
    energy = float((detail[a] ** 2).sum(1).mean() + (detail[b] ** 2).sum(1).mean()) / 2
    differs = float(((detail[a] - detail[b]) ** 2).sum(1).mean()) / 2
    hues = log - log.mean(1, keepdims=True)
    hue = float(np.linalg.norm(hues[a] - hues[b], axis=1).mean())
    return evidence, None if energy < 3 * _PLAIN**2 else 1 - differs / energy, hue


def reflection(plane: Plane) -> tuple[FloatArray, FloatArray]:
    """The reflection as a matrix (3, 3) and a shift (3,)."""
    matrix = np.eye(3) - 2 * np.outer(plane.normal, plane.normal)
    return matrix.astype(np.float32), (2 * plane.offset * plane.normal).astype(np.float32)
