"""Where on the photo each hidden block of the surface takes its texture from: whole moves first, then coherence search.

Every hidden block b gets an affine map from space to the photo's window, uv = a_b p + c_b. Candidates are the
projections after rigid moves of the object (mirror planes that passed their test; reflections through its upright axis
that carry the visible side round to the back; the straight ray through the object), and the visible pixel most like
the block by guessed colour, height, distance from the axis and slant. Of these the cheapest is taken after the costs of
whole moves are smoothed along the surface (Rhemann et al., Fast cost-volume filtering, 2011; moves as labels: Pritch,
Kav-Venaki, Peleg, Shift-map image editing, 2009), then neighbours hand their maps on while that makes the texture more
coherent (Barnes et al., PatchMatch, 2009; Ashikhmin, Synthesizing natural textures, 2001).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..assets import FloatArray
from . import blend
from .symmetry import Plane, reflection
from .visible import Sheet

Bools = NDArray[np.bool_]
Ints = NDArray[np.integer]
Kind = Literal["plain", "mirror", "synthesise"]

#: What a block can be: guessed colours alone, the mirrored photo, texture continued from the photo.
PLAIN, MIRRORED, CONTINUED = 0, 1, 2
#: Weights of the features by which source and target are compared: brightness, hue, height and distance from the axis
#: (shares of the object's size), slant.
_BRIGHT, _HUE, _PLACE, _SLANT = 0.4, 2.0, 3.0, 0.4
#: Cost above which a block keeps its guessed colour; what print costs; what tearing from a neighbour costs, and
#: what it costs to move alone.
_MOST, _PRINT, _TEAR, _ALONE = 0.8, 9.0, 0.8, 0.2
#: Azimuths (degrees from the camera) of the planes through the axis that carry the visible side round.
_ROUND = (90.0, 60.0, -60.0)
#: What each further move costs more than the one before, so that of equals one is taken throughout.
_LATER = 0.03
_ROUNDS = 4


@dataclass(frozen=True)
class Samples:
    """Places on the surface that are compared: points, normals (N, 3), guessed logarithmic colour (N, 3)."""

    points: FloatArray
    normals: FloatArray
    guess: FloatArray

    def features(self, axis: FloatArray, size: float) -> FloatArray:
        """(N, 6): what a source and a target should share."""
        mean = self.guess.mean(1, keepdims=True)
        hue = (self.guess - mean)[:, [0, 2]]
        out = np.hypot(self.points[:, 0] - axis[0], self.points[:, 2] - axis[2]) / size
        columns = (
            _BRIGHT * mean[:, 0],
            *(_HUE * hue.T),
            _PLACE * self.points[:, 1] / size,
            _PLACE * out,
            _SLANT * self.normals[:, 1],
        )
        return np.stack(columns, 1).astype(np.float32)


@dataclass(frozen=True)
class Maps:
    """matrix (N, 2, 3), shift (N, 2): window coordinates of the source; kind (N,): PLAIN, MIRRORED or CONTINUED."""

    matrix: FloatArray
    shift: FloatArray
    kind: NDArray[np.int8]

    @classmethod
    def none(cls, count: int) -> Maps:
        """Maps of blocks that all keep their guess."""
        return cls(np.zeros((count, 2, 3), np.float32), np.zeros((count, 2), np.float32), np.zeros(count, np.int8))

    def at(self, which: Ints, points: FloatArray) -> FloatArray:
        """Window coordinates (..., 2) of points (..., 3) by the maps of the given blocks (...)."""
        matrix = self.matrix[which]
        out = self.shift[which]  # a copy; three products are quicker than einsum
        for axis in range(3):
            out += matrix[..., axis] * points[..., axis, None]
        return out


class Search:
    """Everything that candidates are weighed by."""

    def __init__(self, sheet: Sheet, source_guess: FloatArray, blocks: Samples, hidden: Bools, links: blend.Links):
        """source_guess (h * w, 3): guessed logarithmic colours of the sheet's pixels; hidden (B,): blocks to fill."""
        self.sheet, self.blocks, self.links = sheet, blocks, links
        self.hidden = np.flatnonzero(hidden)
        low, high = blocks.points.min(0), blocks.points.max(0)
        self.axis, self.size = (low + high) / 2, float(np.linalg.norm(high - low))
        source = Samples(sheet.point.reshape(-1, 3), sheet.normal.reshape(-1, 3), source_guess)
        self.source = source.features(self.axis, self.size)
        self.target = blocks.features(self.axis, self.size)
        self.usable = sheet.known.ravel()
        self.print = _PRINT * sheet.unique.ravel()
        self.frames = _frames(blocks.normals)
        distance = float(np.linalg.norm(self.axis - sheet.camera.position))
        self.scale = 1 / (2 * np.tan(sheet.camera.yfov / 2) * distance)  # window heights per unit, seen straight on

    def projected(self, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Window coordinates (N, 2) of points and their derivative by the points (N, 2, 3)."""
        camera = self.sheet.camera
        turn = camera.world_from_camera[:3, :3].T.astype(np.float32)
        p = (points - camera.position.astype(np.float32)) @ turn.T
        z = np.maximum(p[:, 2], 1e-6)[:, None]
        focal = np.array([camera.fx / camera.width, camera.fy / camera.height], np.float32)
        middle = np.array([camera.cx / camera.width, camera.cy / camera.height], np.float32)
        slope = p[:, :2] / z
        change = (focal[:, None] * (turn[None, :2] - slope[:, :, None] * turn[None, 2])) / z[:, :, None]
        return (slope * focal + middle).astype(np.float32), change.astype(np.float32)

    def cost(self, block: Ints, uv: FloatArray, matrix: FloatArray, with_print: bool = False) -> FloatArray:
        """What it costs (...) blocks (...) to take their texture around uv (..., 2) by a matrix (..., 2, 3)."""
        pixel, inside = self.sheet.pixels(uv)
        unlike = np.sqrt(((self.source[pixel] - self.target[block]) ** 2).sum(-1))
        flat = np.einsum("...ij,...kj->...ik", matrix, self.frames[block])
        area = np.abs(flat[..., 0, 0] * flat[..., 1, 1] - flat[..., 0, 1] * flat[..., 1, 0])
        aspect = self.sheet.camera.width / self.sheet.camera.height
        squeezed = np.clip(1 - area * aspect / (0.35 * self.scale**2), 0, 1)
        total = unlike + squeezed + (0 if with_print else self.print[pixel])
        return np.where(inside & self.usable[pixel], total, np.inf).astype(np.float32)

    def moved(self, matrix: FloatArray, shift: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """uv, maps' matrices and the moved points of the hidden blocks after a rigid move of the object."""
        there = self.blocks.points[self.hidden] @ matrix.T + shift
        uv, change = self.projected(there)
        return uv, change @ matrix, there

    def by_plane(self, plane: Plane) -> tuple[FloatArray, FloatArray, FloatArray]:
        """uv, matrix and cost of showing the mirror image: only where the mirrored point itself was seen."""
        uv, matrix, there = self.moved(*reflection(plane))
        pixel, _ = self.sheet.pixels(uv)
        cost = self.cost(self.hidden, uv, matrix, plane.confirmed)
        far = np.linalg.norm(self.sheet.point.reshape(-1, 3)[pixel] - there, axis=1) > 0.04 * self.size
        turned = plane.turn(self.blocks.normals[self.hidden])
        away = np.einsum("ij,ij->i", self.sheet.normal.reshape(-1, 3)[pixel], turned) < 0.5
        return uv, matrix, np.where(far | away, np.inf, 0.4 * cost if plane.confirmed else cost)

    def by_likeness(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """uv, matrix and cost of the most alike visible pixel, turned so that up stays up."""
        from scipy.spatial import cKDTree

        good = np.flatnonzero(self.usable & (self.print == 0))[::3]
        if not len(good):
            count = len(self.hidden)
            return np.zeros((count, 2), np.float32), np.zeros((count, 2, 3), np.float32), np.full(count, np.inf)
        near = good[cKDTree(self.source[good]).query(self.target[self.hidden], workers=2)[1]]
        uv, change = self.projected(self.sheet.point.reshape(-1, 3)[near])
        frames = _frames(self.sheet.normal.reshape(-1, 3)[near])
        matrix = np.einsum("nij,nkj,nkl->nil", change, frames, self.frames[self.hidden])
        return uv, matrix, self.cost(self.hidden, uv, matrix) + _ALONE


def found(search: Search, planes: list[Plane], kind: Kind) -> Maps:
    """The maps of all blocks; those not hidden are PLAIN and carry their own projection."""
    points = search.blocks.points
    uv, matrix = search.projected(points)
    kinds = np.zeros(len(points), np.int8)
    candidates = [(*search.by_plane(plane), MIRRORED) for plane in planes]
    if kind == "synthesise":
        for number, move in enumerate(_moves(search)):
            uv_, matrix_, _ = search.moved(*move)
            cost = search.cost(search.hidden, uv_, matrix_) + np.float32(_LATER * number)
            candidates.append((uv_, matrix_, cost, CONTINUED))
        candidates.append((*search.by_likeness(), CONTINUED))
    if not candidates or not len(search.hidden):
        return _maps(uv, matrix, points, kinds)
    costs = _smoothed(np.stack([c[2] for c in candidates]), search)
    best = costs.argmin(0)
    column = np.arange(len(search.hidden))
    h = search.hidden
    uv[h] = np.stack([c[0] for c in candidates])[best, column]
    matrix[h] = np.stack([c[1] for c in candidates])[best, column]
    own = np.stack([c[2] for c in candidates])[best, column]
    kinds[h] = np.where(own < _MOST, np.array([c[3] for c in candidates], np.int8)[best], PLAIN)
    if kind == "synthesise":
        _handed_on(search, uv, matrix, kinds, own)
    return _maps(uv, matrix, points, kinds)


def _maps(uv: FloatArray, matrix: FloatArray, points: FloatArray, kinds: NDArray[np.int8]) -> Maps:
    return Maps(matrix, (uv - np.einsum("nij,nj->ni", matrix, points)).astype(np.float32), kinds)


def _moves(search: Search) -> list[tuple[FloatArray, FloatArray]]:
    """The identity (the ray straight through the object), and reflections that carry the visible side round."""
    moves = [(np.eye(3, dtype=np.float32), np.zeros(3, np.float32))]
    view = search.sheet.camera.position - search.axis
    start = np.arctan2(view[0], view[2])
    for degrees in _ROUND:
        along = start + np.radians(degrees)
        normal = np.array([np.cos(along), 0.0, -np.sin(along)])
        moves.append(reflection(Plane(normal, float(normal @ search.axis), 1, 0, None, 0, 0)))
    return moves


def _smoothed(costs: FloatArray, search: Search) -> FloatArray:
    """Costs (L, H) of whole moves, averaged along the surface so that large pieces move together."""
    place = np.full(len(search.blocks.points), -1)
    place[search.hidden] = np.arange(len(search.hidden))
    near = place[search.links.near[search.hidden]]
    share = np.where(near >= 0, search.links.weight[search.hidden], 0)
    total = share.sum(1) + 1e-9
    out = np.minimum(costs, 2.0)
    for _ in range(2 * _ROUNDS):
        out = 0.5 * out + 0.5 * np.einsum("lhk,hk->lh", out[:, near], share) / total
    return np.where(np.isfinite(costs), out, 9.0)


def _handed_on(search: Search, uv: FloatArray, matrix: FloatArray, kinds: NDArray[np.int8], own: FloatArray) -> None:
    """Hidden blocks take over a neighbour's map where it costs less, torn links included; half of them at a time."""
    near_all = search.links.near[:, :4]
    points = search.blocks.points
    best = own.copy()
    for turn in range(_ROUNDS):
        some = np.flatnonzero(np.arange(len(search.hidden)) % 2 == turn % 2)
        h = search.hidden[some]
        near = near_all[h]
        offered = uv[near] + np.einsum("hkij,hkj->hki", matrix[near], points[h][:, None] - points[near])
        filled = (kinds[near] != PLAIN) | ~_is_hidden(search)[near]
        keep = np.concatenate([uv[h][:, None], offered], 1)
        costs = np.concatenate(
            [best[some][:, None], search.cost(np.broadcast_to(h[:, None], near.shape), offered, matrix[near])], 1
        )
        costs[:, 1:][~filled] = np.inf
        apart = np.abs(keep[:, :, None] - offered[:, None]).max(-1) / (4 / max(search.sheet.known.shape))
        tear = (np.minimum(apart, 1) * filled[:, None]).sum(-1) / np.maximum(filled.sum(1), 1)[:, None]
        pick = (np.minimum(costs, 9) + _TEAR * tear).argmin(1)
        row = np.arange(len(some))
        taken = np.flatnonzero((pick > 0) & (costs[row, pick] < _MOST))
        who = near[taken, pick[taken] - 1]
        target = h[taken]
        uv[target], matrix[target] = keep[taken, pick[taken]], matrix[who]
        kinds[target] = np.where(kinds[who] == MIRRORED, MIRRORED, CONTINUED)
        best[some[taken]] = costs[taken, pick[taken]]


def _is_hidden(search: Search) -> Bools:
    out = np.zeros(len(search.blocks.points), bool)
    out[search.hidden] = True
    return out


def _frames(normals: FloatArray) -> FloatArray:
    """(N, 2, 3): right and up along the surface; on level ground right is +x."""
    up = np.array([0.0, 1.0, 0.0], np.float32)
    right = np.cross(up, normals)
    length = np.linalg.norm(right, axis=1, keepdims=True)
    right = np.where(length > 0.05, right / np.maximum(length, 1e-9), np.array([1.0, 0.0, 0.0], np.float32))
    above = np.cross(normals, right)
    above /= np.maximum(np.linalg.norm(above, axis=1, keepdims=True), 1e-9)
    return np.stack([right, above], 1).astype(np.float32)
