"""How far the finished mesh can be trusted: its own estimated F-score, and a confidence for every vertex."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..assets import FloatArray, Mesh
from ..capture import Capture, Photo
from ..preview import seen_share
from ..recipe import option
from ..runtime import Runtime
from ..zoo import familiarity
from . import surface

#: What of ``dense.metadata`` is only meant for this stage.
_PRIVATE = ("signals", "code")


@dataclass(frozen=True)
class TrustOptions:
    """Whether trust is estimated."""

    estimate: bool = option(True, "estimate how far the result can be trusted, as a whole and for every vertex")


def trust(mesh: Mesh, dense: Mesh, capture: Capture, options: TrustOptions, runtime: Runtime) -> Mesh:
    """Copy of ``mesh`` (baked, view frame) with ``confidence`` (V,) and metadata["trust"], where that can be said.

    dense: the reconstruction, whose preliminary confidence, "signals" and "code" (see reconstruct.evidence) are read.
    metadata["trust"]: f, low, high, verdict, reasons, looks_like, trained_on, unfamiliar, near (expected shares within
    5 % of the longest side: of the "whole" surface, of what was "seen", of what was "invented"), signals; or only
    "unknown", the reason why there is no estimate, and signals.
    """
    metadata = {key: value for key, value in mesh.metadata.items() if key not in _PRIVATE}
    if not options.estimate or "signals" not in dense.metadata:
        return mesh.with_(metadata=metadata)
    table = familiarity.table()
    found = signals(mesh, dense, capture)
    if table is None:
        return mesh.with_(metadata={**metadata, "trust": {"unknown": familiarity.why_none(), "signals": found}})
    likeness = table.likeness(dense.metadata["code"])
    found["unfamiliar"] = likeness.distance
    estimate = table.estimate(found)
    confidence = table.confidence(evidence(mesh, dense), estimate.f)
    facts: dict[str, Any] = {name: _short(value) for name, value in asdict(estimate).items()}
    facts |= {"looks_like": likeness.kind, "trained_on": likeness.count, "unfamiliar": _short(likeness.distance)}
    facts |= {"near": _near(mesh, confidence), "signals": found}
    return mesh.with_(confidence=confidence, metadata={**metadata, "trust": facts})


def signals(mesh: Mesh, dense: Mesh, capture: Capture) -> dict[str, float]:
    """Everything by which results differ in trust, by name: the reconstruction's own signals, shape, mask, views."""
    photo = capture.photo
    found = {**dense.metadata["signals"], **_shape(dense), **_outline(photo)}
    found["joined"] = float(dense.metadata.get("clean", {}).get("parts_joined", 0))
    found["seen"] = seen_share(mesh) if mesh.seen is not None else np.nan
    found["mask_estimated"] = float(any(d.what == "mask" and d.origin == "estimated" for d in capture.decisions))
    return {name: _short(value) for name, value in found.items() if np.isfinite(value)}


def evidence(mesh: Mesh, dense: Mesh) -> NDArray[np.float64]:
    """What is known of every vertex (V, 5).

    doubt: how far the readings would move it, in units of 2 % of the view; seen; away: distance to what was seen, as a
    share of the longest side; mirrored: whether its mirror
    image was seen, times the trust in the plane; facing: cosine between normal and the direction of the camera.
    """
    from scipy.spatial import cKDTree

    size = float(np.ptp(mesh.bounds, axis=0).max())
    seen = np.zeros(len(mesh.vertices)) if mesh.seen is None else np.asarray(mesh.seen, np.float64)
    doubt = np.full(len(seen), 0.02)
    if dense.confidence is not None:
        tree = cKDTree(dense.vertices, balanced_tree=False, compact_nodes=False)
        doubt = 1 / np.maximum(dense.confidence[tree.query(mesh.vertices)[1]], 1e-3) - 1.0
    shown = mesh.vertices[seen > 0.5]
    if not len(shown):
        return np.stack([doubt, seen, np.full(len(seen), 0.5), np.zeros(len(seen)), np.zeros(len(seen))], 1)
    tree = cKDTree(shown, balanced_tree=False, compact_nodes=False)
    away = tree.query(mesh.vertices)[0] / size
    normals = mesh.normals if mesh.normals is not None else np.zeros_like(mesh.vertices)
    return np.stack([doubt, seen, away, _mirrored(mesh, dense, tree, size), normals[:, 2].astype(np.float64)], 1)


def _mirrored(mesh: Mesh, dense: Mesh, tree: Any, size: float) -> NDArray[np.float64]:
    """1 where the mirrored place was seen, fading over 3 % of the size, times the trust in the plane."""
    plane = dense.metadata.get("mirror")
    if plane is None:
        return np.zeros(len(mesh.vertices))
    normal, offset = np.asarray(plane[0], np.float64), float(plane[1])
    there = mesh.vertices - 2 * np.outer(mesh.vertices @ normal - offset, normal)
    near = np.clip(1 - tree.query(there)[0] / (0.03 * size), 0, 1)
    return near * float(dense.metadata.get("mirror_trust", 1.0))


def _shape(mesh: Mesh) -> dict[str, float]:
    """Proportions of a closed mesh: of its volume, area, box and holes."""
    area = float(np.linalg.norm(surface.cross_products(mesh.vertices, mesh.faces), axis=1).sum() / 2)
    volume = abs(float(surface.volumes(mesh.vertices, mesh.faces).sum()))
    extent = np.maximum(np.ptp(mesh.bounds.astype(np.float64), axis=0), 1e-6)
    long, middle, short = sorted(extent, reverse=True)
    holes = 1 - (len(mesh.vertices) - len(mesh.faces) / 2) / 2
    return {
        "solidity": volume / float(np.prod(extent)),
        "thinness": volume / max(area * float(long), 1e-9),
        "flat": float(short / long),
        "slim": float(middle / long),
        "deep": float(extent[2] / max(extent[0], extent[1])),
        "genus": float(np.log1p(max(holes, 0.0))),
    }


def _outline(photo: Photo) -> dict[str, float]:
    """How the object fills the picture, and how sure its mask is."""
    if photo.mask is None:
        return {}
    solid = photo.mask.alpha > 0.5
    rows, columns = np.nonzero(solid.any(1))[0], np.nonzero(solid.any(0))[0]
    if not len(rows):
        return {}
    box = solid[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    step = max(1, max(box.shape) // 256)
    small = box[::step, ::step]
    edges = np.count_nonzero(small[1:] != small[:-1]) + np.count_nonzero(small[:, 1:] != small[:, :-1])
    rim = np.concatenate([solid[0], solid[-1], solid[:, 0], solid[:, -1]])
    return {
        "fill": float(box.mean()),
        "outline": float(edges / np.sqrt(max(int(np.count_nonzero(small)), 1))),
        "mask_doubt": 1 - photo.mask.confidence,
        "cut_off": float(rim.mean()),
    }


def _near(mesh: Mesh, confidence: FloatArray) -> dict[str, float]:
    """Mean confidence over the area of the whole surface, of its seen and of its invented part; parts that are empty
    are left out."""
    areas = np.linalg.norm(surface.cross_products(mesh.vertices, mesh.faces), axis=1)
    values, found = confidence[mesh.faces].mean(1), {}
    seen = np.zeros(len(areas)) if mesh.seen is None else mesh.seen[mesh.faces].mean(1)
    for name, share in (("whole", np.ones(len(areas))), ("seen", seen), ("invented", 1 - seen)):
        weight = areas * share
        if weight.sum() > 1e-6 * areas.sum():
            found[name] = _short(float((values * weight).sum() / weight.sum()))
    return found


def _short(value: Any) -> Any:
    """A number to five significant digits: what is written is no finer than it is known."""
    return float(f"{value:.5g}") if isinstance(value, float | np.floating) else value
