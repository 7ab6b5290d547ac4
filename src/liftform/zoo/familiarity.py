"""How far to trust a result: a small calibrated table from signs of agreement and likeness to what was trained on.

The table (``weights/familiarity.npz``, made by ``liftform train familiarity``) holds a codebook of the training
objects in the object network's own code, a ridge regression of the F-score on rank-normalised signals, its
conformal interval (Vovk et al. 2005; cross-conformal: Barber et al., "Predictive inference with the jackknife+",
2021; whole families left out), and a logistic model of which vertices are near the true surface. numpy evaluates it.
"""

from __future__ import annotations

import functools
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import WeightsError
from . import weights

Floats = NDArray[np.floating[Any]]

#: Row of the weights table.
NAME = "familiarity"
#: The networks whose results the table was calibrated on: another file of theirs makes it void.
NETWORKS = ("object_encoder", "object_field")
#: A vertex is near when the true surface lies within this share of the longest side (F@0.1 counts the same way).
NEAR = 0.05
#: Signals of an unknown picture beyond the calibrated ones (in standard deviations) count as this far.
_REACH = 2.5


@dataclass(frozen=True)
class Likeness:
    """Where a picture lies among the training objects.

    distance: to the nearest entry of the codebook, as a quantile in [0, 1] of the training objects' own distances.
    kind: the commonest kind of object there, in plain words; count: how many of that kind were trained on.
    """

    distance: float
    kind: str
    count: int


@dataclass(frozen=True)
class Estimate:
    """f: expected F@0.1 (about the share of the surface that lies right to 5 % of the longest side), in [0, 1].

    low, high: between them it lies in 80 % of cases. verdict: "good", "fair" or "poor". reasons: what lowered the
    estimate most, in plain words, the weightiest first.
    """

    f: float
    low: float
    high: float
    verdict: str
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """The calibrated table; ``parts`` as written by ``liftform train familiarity`` (see ``pack``).

    centres (M, D) unit rows, kinds and counts of M clusters; the rest plain numbers by name.
    """

    centres: Floats
    parts: Mapping[str, Any]

    def likeness(self, code: Floats) -> Likeness:
        """Of the object network's code (D,)."""
        likeness = self.centres @ normalised(code, self.parts["code_mean"], self.parts["code_scale"])
        best = int(np.argmax(likeness))
        ladder = np.asarray(self.parts["distances"])
        quantile = np.interp(1 - likeness[best], ladder, np.linspace(0, 1, len(ladder)))
        return Likeness(float(quantile), self.parts["kinds"][best], int(self.parts["counts"][best]))

    def estimate(self, signals: Mapping[str, float]) -> Estimate:
        """Of one result. Signals that are missing count as the median; raises WeightsError when most are missing."""
        names: list[str] = self.parts["signals"]
        if sum(name in signals for name in names) < len(names) / 2:
            raise WeightsError("too few signals for an estimate of trust", "use the embedded object network")
        values = np.array([[signals.get(name, np.nan) for name in names]])
        ranks = ranked(values, np.asarray(self.parts["knots"]))
        shares = ranks[0] * np.asarray(self.parts["weights"])
        f = float(np.clip(self.parts["offset"] + shares.sum(), 0, 1))
        spread = spread_of(f, self.parts["spread"])
        tails = self.parts["quantiles"]["estimated" if signals.get("mask_estimated", 0) > 0.5 else "given"]
        low, high = (float(np.clip(f + q * spread, 0, 1)) for q in tails)
        return Estimate(f, min(low, f), max(high, f), self._verdict(f), self._reasons(names, shares))

    def confidence(self, evidence: Floats, f: float) -> NDArray[np.float32]:
        """Probability (V,) that the true surface lies within 5 % of the longest side, from vertex evidence (V, K)."""
        inputs = vertex_inputs(evidence, f)
        logit = inputs @ np.asarray(self.parts["vertex_weights"]) + self.parts["vertex_offset"]
        return np.asarray(1 / (1 + np.exp(-np.clip(logit, -20, 20))), np.float32)

    def _verdict(self, f: float) -> str:
        return "good" if f >= self.parts["good"] else "poor" if f < self.parts["poor"] else "fair"

    def _reasons(self, names: list[str], shares: Floats) -> tuple[str, ...]:
        """Words for the signals that took most from the estimate, each word once, at most three."""
        found: dict[str, float] = {}
        for name, share in zip(names, shares, strict=True):
            word = REASONS.get(name)
            if word:
                found[word] = found.get(word, 0.0) + float(share)
        heavy = sorted((share, word) for word, share in found.items() if share < -0.01)
        return tuple(word for _, word in heavy[:3])


#: What a signal that lowers the estimate means to a user.
REASONS = {
    "unfamiliar": "little in the training data looks like it",
    **dict.fromkeys(
        ("doubt", "doubt_most", "twin_depth", "twin_normals", "twin_code", "twin_mirror"),
        "its mirror image is read as another shape",
    ),
    **dict.fromkeys(("depth_gap", "depth_gap_most", "normal_gap", "steepness"), "the network's parts disagree"),
    **dict.fromkeys(("twin_elevation", "twin_fov", "camera_gap", "elevation", "log_fov"), "the camera is uncertain"),
    **dict.fromkeys(("mirror_trust", "mirror_sideways"), "no symmetry to lean on"),
    **dict.fromkeys(("missing", "struts", "joined"), "thin parts were lost and patched"),
    **dict.fromkeys(("solidity", "thinness", "outline", "fill", "genus"), "a thin or branching shape"),
    **dict.fromkeys(("flat", "slim", "deep", "relief"), "unusual proportions"),
    **dict.fromkeys(("mask_estimated", "mask_doubt", "cut_off"), "the foreground is uncertain"),
    "seen": "little of the surface was seen",
}


def normalised(code: Floats, mean: Any, scale: Any) -> Floats:
    """Codes (..., D) standardised and brought to unit length."""
    flat = (np.asarray(code, np.float64) - np.asarray(mean)) / np.asarray(scale)
    return flat / np.maximum(np.linalg.norm(flat, axis=-1, keepdims=True), 1e-9)


def ranked(values: Floats, knots: Floats) -> Floats:
    """Values (N, S) as normal scores of their rank among the calibration's: knots (Q, S) are its quantiles.

    Ranks tame long tails and hold whatever lies beyond the calibration at its edge; ties get the middle of their ranks,
    and NaN becomes 0, the median.
    """
    from scipy.special import ndtri

    levels = (np.arange(len(knots)) + 0.5) / len(knots)
    columns = []
    for x, ladder in zip(values.T, knots.T, strict=True):
        last = np.interp(x, ladder, levels)
        first = np.interp(-x, -ladder[::-1], levels[::-1])
        columns.append((first + last) / 2)
    scores = np.clip(ndtri(np.stack(columns, 1)), -_REACH, _REACH)
    return np.where(np.isnan(values), 0.0, scores)


def spread_of(f: Any, coefficients: Any) -> Any:
    """Typical size of the error of an estimate ``f``, from (constant, slope) of its logarithm."""
    return np.exp(coefficients[0] + coefficients[1] * np.asarray(f))


def vertex_inputs(evidence: Floats, f: float) -> Floats:
    """Inputs (V, 6) of the vertex model from evidence (V, 5) (see refine.trust) and the estimated F-score."""
    doubt, seen, away, mirrored, facing = np.asarray(evidence, np.float64).T
    whole = np.full(len(seen), f)
    return np.stack([np.log(0.05 + doubt), seen, np.sqrt(away), mirrored, facing, whole], 1)


@functools.cache
def table() -> Table | None:
    """The embedded table; None where there is none, or where it was calibrated on other networks.

    Raises WeightsError when its bytes are not those recorded.
    """
    rows = weights.table()
    if NAME not in rows:
        return None
    found = unpack(weights.verified_bytes(NAME))
    return found if found.parts["networks"] == [rows[name].sha256 for name in NETWORKS if name in rows] else None


def why_none() -> str:
    """Why ``table`` gives none, and what to do, in a line."""
    known = NAME in weights.table()
    why = "its table was calibrated on other networks" if known else "there is no table"
    return f"trust cannot be estimated: {why}; run `liftform train familiarity`"


def pack(centres: Floats, parts: Mapping[str, Any]) -> bytes:
    """A table as the bytes of its file: the centres in half precision, the rest as JSON."""
    text = np.frombuffer(json.dumps(parts, sort_keys=True).encode(), np.uint8)
    file = io.BytesIO()
    np.savez_compressed(file, centres=np.asarray(centres, np.float16), parts=text)
    return file.getvalue()


def unpack(data: bytes) -> Table:
    """The reverse of ``pack``; raises WeightsError when the bytes are not a table."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            return Table(file["centres"].astype(np.float64), json.loads(file["parts"].tobytes()))
    except Exception as error:  # zip, numpy and JSON each have errors of their own
        raise WeightsError(f"the table of familiarity is damaged ({error})", "reinstall liftform") from error
