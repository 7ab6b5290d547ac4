"""Objects and photographs that are in the corpus twice: what is tested on must not have been trained on.

Shapes are compared by descriptors that neither place, size nor the turn about the vertical changes: quantiles of the
distances between pairs of surface points (D2 of Osada et al. 2002), of heights and of distances from the axis. Near
ones are laid over each other in 24 turns: points of one must lie as near those of the other as those of its own. Looks
are compared by difference hashes of four unlit views (of photographs: of the picture itself). The same shape in other
colours is a duplicate too, when it agrees closely.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..camera import Camera
from ..conventions import linear_to_srgb, rotation_y, to_uint8
from ..photoset.posed import read_photo_set
from . import engines, meshes, render
from .corpus import Report, Row

FloatArray = NDArray[np.float32]

#: Largest difference of descriptors (root mean square) that is looked at more closely; and how many times as far as its
#: own points those of the other may lie when they look alike too, or when they do not: balls and boxes have one shape.
NEAR, SAME, SAME_SHAPE = 0.05, 1.2, 1.1
#: Bits of 256 by which pictures of one thing may differ.
ALIKE = 10
_POINTS, _PROBES, _TURNS = 2048, 512, 24


@dataclass(frozen=True)
class Print:
    """What is compared: descriptor (D,); points (N, 3), centred, root mean square radius 1; hashes (K, 32)."""

    id: str
    descriptor: FloatArray
    points: NDArray[np.float16]
    hashes: NDArray[np.uint8]


@dataclass(frozen=True)
class Pair:
    """Two rows that are one thing: "shape and look", "shape" (other colours) or "picture"; ``gap`` says how alike."""

    kept: str
    dropped: str
    what: str
    gap: float


def prints(rows: Sequence[Row], workers: int, engine: str, report: Report) -> list[Print]:
    """The print of every row that can be opened; the others are told."""
    found = []
    for row, answer in engines.each(_print, rows, workers, engine):
        if isinstance(answer, Print):
            found.append(answer)
        else:
            report(f"{row['id']}: {answer.reason if isinstance(answer, engines.WorkerDied) else answer}")
    return sorted(found, key=lambda p: p.id)


_RASTERISER: render.Rasteriser | None = None


def _print(row: Row) -> Print | str:
    global _RASTERISER
    try:
        if row["kind"] == "photos":
            return photos_print(row)
        _RASTERISER = _RASTERISER or render.rasteriser()
        return mesh_print(row, _RASTERISER)
    except Exception as error:  # a broken mesh of a large corpus is told, not fatal
        return " ".join(str(error).split())[:200]


def mesh_print(row: Row, rasteriser: render.Rasteriser) -> Print:
    """The print of an object, the same every time."""
    import trimesh

    surface, mesh = meshes.surface_of(row)
    seed = int.from_bytes(hashlib.sha256(row["id"].encode()).digest()[:4], "little")
    points = np.asarray(trimesh.sample.sample_surface(mesh, 4 * _POINTS, seed=seed)[0])
    points = points - (points.min(0) + points.max(0)) / 2
    points = points / max(float(np.sqrt((points**2).sum(1).mean())), 1e-9)
    rasteriser.load(surface)
    views = [rasteriser.draw(Camera.orbit(64, 0.6, k * np.pi / 2, 0.3, 3.2), 1) for k in range(4)]
    looks = [difference_hash(Image.fromarray(to_uint8(_on_grey(v)))) for v in views]
    return Print(row["id"], describe(points), points[:_POINTS].astype(np.float16), np.stack(looks))


def _on_grey(view: render.GBuffer) -> FloatArray:
    alpha = view.alpha[..., None]
    return linear_to_srgb(view.albedo_linear) * alpha + np.float32(0.5) * (1 - alpha)


def photos_print(row: Row) -> Print:
    """The print of a photo set: hashes of its pictures, no shape."""
    looks = []
    for photo in read_photo_set(Path(row["file"])).photos:
        if photo.path.is_file():
            with Image.open(photo.path) as picture:
                looks.append(difference_hash(picture))
    return Print(row["id"], np.zeros(0, np.float32), np.zeros((0, 3), np.float16), np.stack(looks))


def describe(points: NDArray[np.floating[Any]]) -> FloatArray:
    """Descriptor (48,) of centred points (N, 3): 16 quantiles each of pair distances, heights and axis distances."""
    half = len(points) // 2
    at = (np.arange(16) + 0.5) / 16
    pairs = np.linalg.norm(points[:half] - points[half : 2 * half], axis=1)
    radius = np.hypot(points[:, 0], points[:, 2])
    return np.concatenate([np.quantile(v, at) for v in (pairs, points[:, 1], radius)]).astype(np.float32)


def difference_hash(picture: Image.Image) -> NDArray[np.uint8]:
    """256 bits (32,) uint8: which of neighbouring cells of a 16 x 17 thumbnail is brighter (Krawetz 2013).

    Differences below two grey levels count as darker, so that flat pictures do not flicker.
    """
    small = np.asarray(picture.convert("L").resize((17, 16), Image.Resampling.BOX), np.int16)
    return np.packbits(small[:, 1:] > small[:, :-1] + 2)


def pairs(kept: Sequence[Print], others: Sequence[Print]) -> Iterator[Pair]:
    """Every print of ``others`` that is one thing with a print of ``kept``, with the nearest of those."""
    from scipy.spatial import cKDTree

    solid = [p for p in kept if len(p.descriptor)]
    tree = cKDTree(np.stack([p.descriptor for p in solid])) if solid else None
    for other in others:
        found = _same_pictures(kept, other) if not len(other.descriptor) else None
        if len(other.descriptor) and tree is not None:
            near = tree.query_ball_point(other.descriptor, NEAR * np.sqrt(len(other.descriptor)))
            found = min((p for i in near if (p := _compared(solid[i], other))), key=lambda p: p.gap, default=None)
        if found:
            yield found


def _compared(kept: Print, other: Print) -> Pair | None:
    gap, alike = gap_between(kept.points, other.points), _bits(kept.hashes, other.hashes) <= ALIKE
    if gap >= (SAME if alike else SAME_SHAPE):
        return None
    return Pair(kept.id, other.id, "shape and look" if alike else "shape", round(gap, 3))


def gap_between(a: NDArray[np.floating[Any]], b: NDArray[np.floating[Any]]) -> float:
    """How many times as far from each other as from their own kind the points (N, 3) of two shapes lie: 1 is the same.

    The larger of both ways, in the best turn about +Y.
    """
    from scipy.spatial import cKDTree

    a, b = a.astype(np.float64), b.astype(np.float64)
    in_a, in_b = cKDTree(a[_PROBES:]), cKDTree(b[_PROBES:])
    own_a, own_b = (max(float(t.query(p[:_PROBES])[0].mean()), 1e-3) for t, p in ((in_a, a), (in_b, b)))

    def gap(angle: float) -> float:
        turned = rotation_y(angle)
        there = float(in_a.query(b[:_PROBES] @ turned.T)[0].mean()) / own_a
        return max(there, float(in_b.query(a[:_PROBES] @ turned)[0].mean()) / own_b)

    step = 2 * np.pi / _TURNS
    best = min((gap(k * step), k * step) for k in range(_TURNS))
    for _ in range(5):  # 15 degrees are coarse: halve until half a degree
        step /= 2
        best = min([best, *((gap(best[1] + d), best[1] + d) for d in (-step, step))])
    return best[0]


def _same_pictures(kept: Sequence[Print], other: Print) -> Pair | None:
    sets = [p for p in kept if not len(p.descriptor)]
    bits = [(_bits(p.hashes, other.hashes), p.id) for p in sets]
    least = min(bits, default=(256, ""))
    return Pair(least[1], other.id, "picture", float(least[0])) if least[0] <= ALIKE else None


def _bits(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> int:
    """Fewest differing bits between any hash of ``a`` (K, 32) and any of ``b`` (M, 32)."""
    return int(np.unpackbits(a[:, None] ^ b[None], axis=-1).sum(-1, dtype=np.int64).min())


def check(rows: Sequence[Row], workers: int, engine: str, report: Report) -> tuple[list[Row], list[Pair]]:
    """The rows with every duplicate across splits taken out of "train", and the pairs.

    Such a row stays in the manifest as split "duplicate" with ``duplicate_of``; what cannot be opened becomes split
    "broken", so that neither is trained on.
    """
    made = {p.id: p for p in prints(rows, workers, engine, report)}
    train = [made[r["id"]] for r in rows if r["split"] == "train" and r["id"] in made]
    rest = [made[r["id"]] for r in rows if r["split"] not in ("train", "duplicate", "broken") and r["id"] in made]
    found = list(pairs(rest, train))
    twice = {p.dropped: p.kept for p in found}
    out = []
    for row in rows:
        if row["id"] not in made:
            row = {**row, "split": "broken"}
        elif row["id"] in twice:
            row = {**row, "split": "duplicate", "duplicate_of": twice[row["id"]]}
        out.append(row)
    return out, found
