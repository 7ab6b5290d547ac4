"""Coarse to fine: the pictures of a set at the size of a level, and PatchMatch over all photos, one after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...camera import Camera
from ...capture import Capture, Photo
from ...photoset.ranges import foreground
from . import patchmatch
from .cost import FEATURE_SHARE, PRIOR, Matcher, Proposal, View

FloatArray = NDArray[np.float32]
Floats = NDArray[np.float64]

#: The coarsest level is at least this long along its longer side.
_COARSEST = 110
#: Grey of sRGB (Rec. 601).
_GREY = np.array([0.299, 0.587, 0.114], np.float32)
#: Inverse depth of what is infinitely far, as a share of the nearest's.
_INFINITE = 1e-3


@dataclass(frozen=True)
class Plan:
    """Sweeps of a level. planes: random planes tried at the start; then sweeps without and with the geometric error;
    each sweep tries the planes of 4 near neighbours or 4 far ones too, and ``draws`` = (random, changed, by most pixels
    of disparity, by most slant)."""

    planes: int
    plain: int
    geometric: int
    arms: int
    draws: tuple[int, int, float, float]


#: By level, the coarsest first; between are those between the first and the last.
FIRST, BETWEEN, LAST = (
    Plan(40, 4, 2, 8, (2, 2, 2.0, 0.4)),
    Plan(0, 0, 2, 8, (1, 3, 1.0, 0.3)),
    Plan(0, 0, 2, 4, (1, 3, 0.7, 0.2)),
)


@dataclass
class Sheet:
    """One photo at a level: camera, grey (H, W), mask (H, W), planes (H, W, 3) and their costs (H, W); see ``cost``."""

    camera: Camera
    grey: FloatArray
    mask: NDArray[np.bool_]
    planes: FloatArray
    cost: FloatArray
    bounds: FloatArray
    features: FloatArray
    prior: FloatArray


Told = Callable[[float], None]


def matched(
    capture: Capture,
    partners: Sequence[Sequence[int]],
    ranges: Floats,
    size: int,
    seed: int,
    matcher: Matcher | None,
    told: Told,
) -> list[Sheet]:
    """Planes of every photo at the finest level, which is at most ``size`` pixels long (0: the photos' own size).

    partners: other photos for each, best first. ranges (N, 2): nearest and farthest z. Photos without partners stay
    empty. The inverse depths of the last level are refined to fractions of a pixel, ``cost`` is photometric.
    """
    shrink = _factors(capture, size)
    sheets: list[Sheet] = []
    proposals: list[Proposal | None] = [None] * len(capture.photos)
    effort = np.cumsum([0.0, *(_effort(factor, number, len(shrink)) for number, factor in enumerate(shrink))])
    for number, factor in enumerate(shrink):
        fresh = [_sheet(photo, reach, factor) for photo, reach in zip(capture.photos, ranges, strict=True)]
        if matcher is not None:
            _ask(matcher, capture, fresh, partners, ranges, proposals if number == 0 else None)
            for sheet, proposal in zip(fresh, proposals, strict=True):
                sheet.prior = _prior(proposal, sheet)
        plan = FIRST if number == 0 else LAST if number == len(shrink) - 1 else BETWEEN
        low, high = effort[number] / effort[-1], effort[number + 1] / effort[-1]
        _level(fresh, sheets, partners, plan, seed + 7919 * number, matcher, _part(told, low, high))
        sheets = fresh
    return sheets


def _part(told: Told, low: float, high: float) -> Told:
    return lambda share: told(float(low + (high - low) * share))


def _factors(capture: Capture, size: int) -> list[float]:
    """By how much pictures are shrunk at every level, the coarsest first."""
    longest = max(max(photo.size) for photo in capture.photos)
    finest = min(1.0, size / longest) if size else 1.0
    factors = [finest]
    while longest * factors[0] / 2 >= _COARSEST and len(factors) < 6:
        factors.insert(0, factors[0] / 2)
    return factors


def _effort(factor: float, number: int, count: int) -> float:
    """About how long a level takes beside the others."""
    return factor**2 * (10.0 if number == 0 else 4.0)


def _sheet(photo: Photo, reach: Floats, factor: float) -> Sheet:
    """A photo at a level, without planes."""
    width, height = (max(8, round(side * factor)) for side in photo.size)
    assert photo.camera is not None
    mask = foreground(photo)
    alive = np.ones((height, width), bool) if mask is None else _resized(mask.astype(np.float32), width, height) > 0.5
    near, far = 1 / float(reach[0]), 1 / float(reach[1])
    bounds = np.array([max(far, _INFINITE * near), near], np.float32)
    return Sheet(
        camera=photo.camera.resized(width, height),
        grey=_resized(photo.image @ _GREY, width, height),
        mask=alive,
        planes=np.zeros((height, width, 3), np.float32),
        cost=np.full((height, width), 2.0, np.float32),
        bounds=bounds,
        features=np.zeros((0, 0, 0), np.float32),
        prior=np.zeros((0, 0, 4), np.float32),
    )


def _resized(plane: FloatArray, width: int, height: int) -> FloatArray:
    """A map (H, W) at another size; shrunk by averaging."""
    if plane.shape == (height, width):
        return np.ascontiguousarray(plane, np.float32)
    small = width < plane.shape[1]
    way = Image.Resampling.BOX if small else Image.Resampling.BILINEAR
    whole = Image.fromarray(np.ascontiguousarray(plane, np.float32))
    return np.array(whole.resize((width, height), way), np.float32)


def _ask(
    matcher: Matcher,
    capture: Capture,
    sheets: Sequence[Sheet],
    partners: Sequence[Sequence[int]],
    ranges: Floats,
    proposals: list[Proposal | None] | None,
) -> None:
    """Fetch descriptors of every photo, and at the first level proposals."""

    def view(number: int) -> View:
        sheet, image = sheets[number], capture.photos[number].image
        height, width = sheet.grey.shape
        small = np.stack([_resized(image[..., c], width, height) for c in range(3)], -1)
        return View(number, small, sheet.camera, None if sheet.mask.all() else sheet.mask)

    for number, sheet in enumerate(sheets):
        found = matcher.features(view(number))
        if found is not None:
            sheet.features = np.ascontiguousarray(found, np.float32)
    if proposals is None:
        return
    for number in range(len(sheets)):
        near, far = ranges[number]
        others = [view(other) for other in partners[number]]
        far = 1 / float(sheets[number].bounds[0]) if np.isinf(far) else float(far)
        proposals[number] = matcher.propose(view(number), others, float(near), far) if others else None


def _prior(proposal: Proposal | None, sheet: Sheet) -> FloatArray:
    """(H, W, 4): plane of the proposal (w = 0 where there is none) and the most that leaving it costs; empty
    without."""
    if proposal is None:
        return np.zeros((0, 0, 4), np.float32)
    height, width = sheet.grey.shape
    with np.errstate(divide="ignore", invalid="ignore"):
        w = np.where(np.isfinite(proposal.z) & (proposal.z > 0), 1 / proposal.z, 0).astype(np.float32)
    known = w > 0
    share = _resized(known.astype(np.float32), width, height)
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = np.where(share > 0.99, _resized(w, width, height) / share, 0)
    out = np.zeros((height, width, 4), np.float32)
    there = inverse > 0
    out[..., 0] = inverse
    out[..., 1], out[..., 2] = _slopes(inverse, there)
    out[..., 3] = np.where(there, PRIOR * _resized(np.clip(proposal.sure, 0, 1), width, height), 0)
    return out


def _slopes(w: FloatArray, there: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
    """Change of a map to the right and down, of the two sides the smaller; 0 beside holes."""
    out = []
    for axis in (1, 0):
        step = np.diff(w, axis=axis)
        fine = np.take(there, range(1, w.shape[axis]), axis) & np.take(there, range(w.shape[axis] - 1), axis)
        step = np.where(fine, step, 0)
        pad = [(0, 0), (0, 0)]
        pad[axis] = (1, 0)
        before = np.pad(step, pad)
        pad[axis] = (0, 1)
        after = np.pad(step, pad)
        out.append(np.where(abs(before) < abs(after), before, after).astype(np.float32))
    return out[0], out[1]


def _level(
    sheets: list[Sheet],
    coarser: list[Sheet],
    partners: Sequence[Sequence[int]],
    plan: Plan,
    seed: int,
    matcher: Matcher | None,
    told: Told,
) -> None:
    """All photos of one level: first planes of all, then the sweeps without, then with the other photos' depth."""
    share = float(getattr(matcher, "share", FEATURE_SHARE)) if matcher is not None else 0.0
    rounds = (1 if plan.plain or not coarser else 0) + (1 if plan.geometric else 0)
    if coarser:
        for sheet, before in zip(sheets, coarser, strict=True):
            sheet.planes[:] = continued(before, sheet)[0] * sheet.mask[..., None]
    done = 0
    for kind in ("plain", "geometric"):
        sweeps = getattr(plan, kind)
        if kind == "plain" and coarser and not sweeps:
            continue
        for number, sheet in enumerate(sheets):
            if partners[number]:
                own = seed + 104729 * number
                work = _Work(sheet, [sheets[p] for p in partners[number]], share, kind == "geometric")
                if kind == "plain" or coarser:
                    work.begin(coarser[number] if coarser else None, plan.planes, own)
                work.sweeps(sweeps, plan, own + (kind == "geometric"))  # other numbers than before
            done += 1
            told(done / (rounds * len(sheets)))


def continued(coarse: Sheet, fine: Sheet) -> FloatArray:
    """Planes (4, H, W, 3) of the four nearest pixels of a coarser level, continued to the pixels of a finer one."""
    height, width = fine.grey.shape
    h, w = coarse.grey.shape
    sx, sy = w / width, h / height
    x, y = (np.arange(width) + 0.5) * sx - 0.5, (np.arange(height) + 0.5) * sy - 0.5
    out = np.zeros((4, height, width, 3), np.float32)
    nearest_x, nearest_y = np.round(x), np.round(y)
    other_x, other_y = (np.where(v > n, n + 1, n - 1) for v, n in ((x, nearest_x), (y, nearest_y)))
    for k, (i, j) in enumerate(
        ((nearest_y, nearest_x), (nearest_y, other_x), (other_y, nearest_x), (other_y, other_x))
    ):
        rows, columns = np.clip(i, 0, h - 1).astype(int), np.clip(j, 0, w - 1).astype(int)
        plane = coarse.planes[np.ix_(rows, columns)]
        along = plane[..., 1] * (x - columns)[None] + plane[..., 2] * (y - rows)[:, None]
        out[k, ..., 0] = np.where(plane[..., 0] > 0, np.maximum(plane[..., 0] + along, 0), 0)
        out[k, ..., 1], out[k, ..., 2] = plane[..., 1] * sx, plane[..., 2] * sy
    return out


class _Work:
    """One photo beside its partners, as the compiled sweeps take them."""

    def __init__(self, sheet: Sheet, others: Sequence[Sheet], share: float, geometric: bool) -> None:
        self.sheet = sheet
        own_lens = lens(sheet.camera)
        favour = np.ones(len(others), np.float32)
        described = sheet.features.size > 0 and all(o.features.size for o in others)
        own = sheet.features if described else np.zeros((0, 0, 0), np.float32)
        self.view = (sheet.grey, sheet.mask, own_lens, sheet.bounds, favour, own, sheet.prior, geometric)
        self.others = _packed(sheet, others, np.float32(share if described else 0.0))
        self.hints = sheet.prior[None, ..., :3] if sheet.prior.size else np.zeros((0, 1, 1, 3), np.float32)

    def begin(self, coarser: Sheet | None, planes: int, seed: int) -> None:
        """First planes."""
        guesses = np.zeros((0, 1, 1, 3), np.float32) if coarser is None else continued(coarser, self.sheet)
        if len(self.hints):
            hints = np.ascontiguousarray(self.hints)
            guesses = hints if coarser is None else np.concatenate([guesses, hints])
        patchmatch.start(self.sheet.planes, self.sheet.cost, self.view, self.others, guesses, seed, planes)

    def sweeps(self, count: int, plan: Plan, seed: int) -> None:
        """Whole sweeps, both colours; changes get smaller from one to the next."""
        hints = np.ascontiguousarray(self.hints)
        for step in range(count):
            random, changed, far, turn = plan.draws
            fade = 0.6**step
            draws = (plan.arms, random, changed, np.float32(far * fade), np.float32(turn * fade))
            for colour in (0, 1):
                patchmatch.sweep(
                    self.sheet.planes, self.sheet.cost, self.view, self.others, hints, colour, step, draws, seed
                )

    def polish(self, reach: float) -> None:
        """Fractions of a pixel, and photometric costs."""
        refined = np.empty_like(self.sheet.cost)
        patchmatch.polish(self.sheet.planes, self.view, self.others, refined, self.sheet.cost, np.float32(reach))
        self.sheet.planes[..., 0] = refined


def polished(sheets: list[Sheet], partners: Sequence[Sequence[int]], matcher: Matcher | None, reach: float) -> None:
    """Fractions of a pixel for every photo, in place; ``cost`` is photometric afterwards."""
    share = float(getattr(matcher, "share", FEATURE_SHARE)) if matcher is not None else 0.0
    for number, sheet in enumerate(sheets):
        if partners[number]:
            _Work(sheet, [sheets[p] for p in partners[number]], share, False).polish(reach)


def lens(camera: Camera) -> tuple[np.float32, np.float32, np.float32, np.float32]:
    """fx, fy, cx, cy for places counted from pixel centres."""
    values = (camera.fx, camera.fy, camera.cx - 0.5, camera.cy - 0.5)
    return tuple(np.float32(v) for v in values)  # type: ignore[return-value]


def pair(a: Camera, b: Camera) -> FloatArray:
    """(12,): how (x, y) with inverse depth w in view a lies in view b: rows of A (3 x 3), then t; A (x, y, 1) + w t."""
    inner, outer = (np.array([[c.fx, 0, c.cx - 0.5], [0, c.fy, c.cy - 0.5], [0, 0, 1]]) for c in (a, b))
    move = b.camera_from_world @ a.world_from_camera
    turn = outer @ move[:3, :3] @ np.linalg.inv(inner)
    return np.concatenate([turn.ravel(), outer @ move[:3, 3]]).astype(np.float32)


def _packed(sheet: Sheet, others: Sequence[Sheet], share: np.float32) -> tuple[Any, ...]:
    """The partners' pictures, masks, planes and descriptors end to end, where each begins, their sizes and geometry."""
    size = np.array([o.grey.shape[::-1] for o in others], np.int32)
    start = np.concatenate([[0], np.cumsum(size.prod(1))[:-1]]).astype(np.int64)
    pixels = np.concatenate([o.grey.ravel() for o in others])
    alive = np.concatenate([_grown(o.mask).ravel() for o in others]).astype(np.uint8)
    planes = np.concatenate([o.planes.reshape(-1, 3) for o in others])
    pairs = np.stack([pair(sheet.camera, o.camera) for o in others])
    back = np.stack([pair(o.camera, sheet.camera) for o in others])
    if share > 0:
        features = np.concatenate([o.features.reshape(-1, o.features.shape[2]) for o in others])
        fsize = np.array([o.features.shape[1::-1] for o in others], np.int32)
    else:
        features, fsize = np.zeros((1, 0), np.float32), np.ones((len(others), 2), np.int32)
    fstart = np.concatenate([[0], np.cumsum(fsize.prod(1))[:-1]]).astype(np.int64)
    return pixels, alive, planes, start, size, pairs, back, features, fstart, fsize, share


def _grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask and its neighbours: its edge is known to a pixel."""
    if mask.all():
        return mask
    out = mask.copy()
    out[1:] |= mask[:-1]
    out[:-1] |= mask[1:]
    out[:, 1:] |= out[:, :-1].copy()
    out[:, :-1] |= out[:, 1:].copy()
    return out
