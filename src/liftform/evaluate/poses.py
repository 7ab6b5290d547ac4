"""Cameras found beside cameras known: every photo set of a folder, aligned by a similarity (Umeyama 1991)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputNotFoundError, LiftformError
from ..photoset.posed import is_photo_set, read_photo_set
from ..poses import poses

Floats = NDArray[np.float64]

HEAD = (
    "set",
    "pictures",
    "placed",
    "known",
    "centre mean",
    "centre max",
    "% of extent",
    "turn deg",
    "sure",
    "s",
    "said",
)
_WARNED = ("not placed", "apart", "repeated parts", "weakly placed")


@dataclass(frozen=True)
class Row:
    """One set. known: placed pictures whose camera is known. Errors of centres in the set's unit after alignment, and
    as a share of the extent of the true centres; turn: median error of rotations, degrees; said: warnings."""

    name: str
    pictures: int
    placed: int
    known: int
    mean: float
    most: float
    share: float
    turn: float
    sure: float
    seconds: float
    said: str

    def cells(self) -> list[str]:
        """As the table shows it."""
        errors = [f"{self.mean:.4g}", f"{self.most:.4g}", f"{100 * self.share:.2f}", f"{self.turn:.2f}"]
        return [
            self.name,
            *(str(count) for count in (self.pictures, self.placed, self.known)),
            *errors,
            f"{self.sure:.2f}",
            f"{self.seconds:.0f}",
            self.said,
        ]


def evaluate_poses(folder: Path, names: list[str], options: dict[str, Any]) -> Iterator[Row]:
    """A row for every photo set with known cameras under ``folder`` (or those of ``names``); poses are not read, lenses
    are unless options say otherwise."""
    sets = [path for path in sorted(folder.iterdir()) if path.is_dir() and is_photo_set(path)]
    sets = [path for path in sets if not names or path.name in names]
    if not sets:
        raise InputNotFoundError(f"{folder}: no photo sets with known cameras in it", "give the folder of the sets")
    for path in sets:
        yield score(path, options)


def score(path: Path, options: dict[str, Any]) -> Row:
    """Find the cameras of one set and compare."""
    truth = {photo.path.name: photo.camera.world_from_camera for photo in read_photo_set(path).photos}
    start = time.perf_counter()
    try:
        found = poses(path, **{"cameras": "lens", **options})
    except LiftformError as error:
        nothing = float("nan")
        seconds = time.perf_counter() - start
        return Row(path.name, len(truth), 0, 0, nothing, nothing, nothing, nothing, 0.0, seconds, error.message)
    seconds = time.perf_counter() - start
    photos = found.capture.photos
    both = [(p.camera.world_from_camera, truth[p.source]) for p in photos if p.camera and p.source in truth]
    sure = found.decided("sure")
    said = "; ".join(f"{d.what}: {d.value}" for d in found.capture.decisions if d.what in _WARNED)
    mean, most, share, turn = compared(*(np.array(poses) for poses in zip(*both, strict=True)))
    value = float(sure.value) if sure else 0.0
    return Row(path.name, len(photos), found.placed, len(both), mean, most, share, turn, value, seconds, said)


def compared(estimated: Floats, true: Floats) -> tuple[float, float, float, float]:
    """Mean and most distance of centres, the mean as a share of the extent of the true ones, and the median error of
    rotations in degrees, of poses (N, 4, 4) after the best similarity of the centres."""
    scale, turn, shift = similarity(estimated[:, :3, 3], true[:, :3, 3])
    moved = scale * estimated[:, :3, 3] @ turn.T + shift
    away = np.linalg.norm(moved - true[:, :3, 3], axis=1)
    extent = np.linalg.norm(np.ptp(true[:, :3, 3], axis=0))
    rest = np.einsum("nji,njk->nik", turn @ estimated[:, :3, :3], true[:, :3, :3])
    angles = np.degrees(np.arccos(np.clip((np.trace(rest, axis1=1, axis2=2) - 1) / 2, -1, 1)))
    return float(away.mean()), float(away.max()), float(away.mean() / max(extent, 1e-12)), float(np.median(angles))


def similarity(source: Floats, target: Floats) -> tuple[float, Floats, Floats]:
    """scale, rotation (3, 3) and shift (3,) that bring points (N, 3) nearest to their targets in least squares."""
    a, b = source - source.mean(0), target - target.mean(0)
    u, s, vt = np.linalg.svd(b.T @ a)
    sign = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    turn = u @ sign @ vt
    scale = float((s * np.diag(sign)).sum() / max((a**2).sum(), 1e-15))
    return scale, turn, target.mean(0) - scale * turn @ source.mean(0)
