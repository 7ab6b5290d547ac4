"""From a small network's looks at a picture to a map of its foreground: mirrored, closer, and by the colours it found.

References
    Colour models of both sides, taken from the map that they then mend: Rother, Kolmogorov, Blake, "GrabCut", 2004.
    Averaging over a picture and its mirror image: Krizhevsky, Sutskever, Hinton, 2012.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import NothingFoundError
from .component import chosen_component
from .matting import resized_planes

FloatArray = NDArray[np.float32]
Frame = tuple[slice, slice]

#: Longest side of the map.
_SIDE = 384
#: The closer look's frame is wider than the object by this share of its longer side; no look when it is that large.
_MARGIN, _LARGE = 0.25, 0.7
#: Colour histograms: cells a channel, blur in cells, share of the evidence that counts, passes.
_CELLS, _BLUR, _TRUST, _PASSES = 12, 1.0, 1.0, 3
#: The colours' evidence is averaged over windows of this share of the longest side.
_WINDOW = 0.013


def foreground(image: FloatArray, pick: tuple[float, float] | None, session: Any) -> FloatArray:
    """Probability of foreground (h, w), longest side _SIDE, of an image (H, W, 3) sRGB in [0, 1].

    ``session`` is that of a network that looks at squares. Where the object, the one under ``pick`` (fractions of
    width and height) or the salient one, fills only a part of the picture, that part is looked at again.
    """
    scale = _SIDE / max(image.shape[:2])
    width, height = (max(1, round(n * scale)) for n in (image.shape[1], image.shape[0]))
    image = resized_planes(image, width, height)
    logits = _both_ways(image, session)
    frame = _frame(_unit(logits), pick)
    if frame is not None:
        logits[frame] = 0.5 * (logits[frame] + _look(image[frame], session))
    return _by_colour(image, logits)


def look(image: FloatArray, session: Any) -> FloatArray:
    """Probability (h, w), of the image's shape, that the network alone gives in one look."""
    return _unit(_look(image, session))


def _look(image: FloatArray, session: Any) -> FloatArray:
    """Logits (H, W). The image is stretched to the network's square: it was trained on full squares, and takes grey
    bars for scenery."""
    side = int(session.get_inputs()[0].shape[2])
    square = resized_planes(image, side, side).transpose(2, 0, 1)[None]
    logits = session.run(["logits"], {"image": np.ascontiguousarray(square)})[0]
    return np.clip(resized_planes(logits[0, 0], image.shape[1], image.shape[0]), -7, 7)


def _both_ways(image: FloatArray, session: Any) -> FloatArray:
    return np.asarray(0.5 * (_look(image, session) + _look(image[:, ::-1], session)[:, ::-1]), np.float32)


def _unit(logits: FloatArray) -> FloatArray:
    return np.asarray(1 / (1 + np.exp(-logits)), np.float32)


def _frame(probability: FloatArray, pick: tuple[float, float] | None) -> Frame | None:
    """Where to look closer: around the chosen object; None where that is nearly all of the picture, or nothing."""
    try:
        solid = chosen_component(probability, pick, "", "")[0] > 0.5
    except NothingFoundError:
        return None
    rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
    if not len(rows):
        return None
    margin = int(_MARGIN * max(rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1))
    top, left = max(0, int(rows[0]) - margin), max(0, int(columns[0]) - margin)
    bottom, right = int(rows[-1]) + 1 + margin, int(columns[-1]) + 1 + margin
    frame = slice(top, min(bottom, solid.shape[0])), slice(left, min(right, solid.shape[1]))
    return frame if solid[frame].size < _LARGE * solid.size else None


def _by_colour(image: FloatArray, logits: FloatArray) -> FloatArray:
    """The probability after asking of each colour how much oftener it occurs inside than outside."""
    from scipy.ndimage import gaussian_filter, uniform_filter

    levels = np.minimum((np.clip(image, 0, 1) ** 0.8 * _CELLS).astype(np.int32), _CELLS - 1)
    cell = ((levels[..., 0] * _CELLS + levels[..., 1]) * _CELLS + levels[..., 2]).ravel()

    def occurs(weight: FloatArray) -> NDArray[np.float64]:
        counts = np.bincount(cell, weight.ravel() ** 2, _CELLS**3).reshape((_CELLS,) * 3)
        blurred = gaussian_filter(counts, _BLUR).ravel()
        return np.asarray(blurred / max(float(blurred.sum()), 1e-9) + 2e-5)

    probability = _unit(logits)
    window = max(1, round(_WINDOW * max(image.shape[:2])))
    for _ in range(_PASSES):
        ratio = np.log(occurs(probability) / occurs(1 - probability)).astype(np.float32)
        evidence = uniform_filter(ratio[cell].reshape(logits.shape), window)
        probability = _unit(logits + np.float32(_TRUST) * evidence)
    return probability
