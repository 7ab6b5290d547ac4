"""Text in pictures: small pieces of ink that stand in rows are cut out and read; nothing else is."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...drawing.sheet import Text

Mask = NDArray[np.bool_]
Box = tuple[int, int, int, int]

#: Heights (pixels) of letters, most rows of text that are read, and the height they are read at.
_LETTER, _MOST_WORDS, _READ_HEIGHT = (7, 70), 220, 48
_LEAST_SURE = 0.55
#: Share of its box that a letter's ink fills at least.
_DENSE = 0.14


def separated(thin: Mask, pen: float) -> tuple[list[Box], Mask]:
    """(boxes x0, y0, x1, y1 of words, the ink without them)."""
    labels, _ = ndimage.label(thin, np.ones((3, 3)))
    small: list[tuple[int, Box]] = []
    inked = np.bincount(labels.ravel())
    for index, window in enumerate(ndimage.find_objects(labels), 1):
        rows, columns = window
        height, width = rows.stop - rows.start, columns.stop - columns.start
        sparse = max(height, width) > 22 and inked[index] < _DENSE * height * width  # an arc, a leaf, a corner
        if 2 <= max(height, width) <= _LETTER[1] and not sparse:
            small.append((index, (columns.start, rows.start, columns.stop, rows.stop)))
    letters = [(i, b) for i, b in small if _is_letter(b, pen)]
    groups = _rows([b for _, b in letters])
    words: list[Box] = []
    gone = np.zeros(int(labels.max()) + 1, bool)
    for members in groups:
        box = _around([letters[m][1] for m in members])
        if len(members) == 1 and not _alone(letters[members[0]][1]):
            continue
        words.append(box)
        for m in members:
            gone[letters[m][0]] = True
    for index, box in small:  # dots, primes and fraction bars that lie in a word
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        if any(w[0] - 6 <= x <= w[2] + 8 and w[1] - 4 <= y <= w[3] + 4 for w in words):
            gone[index] = True
    return words, thin & ~gone[labels]


def _is_letter(box: Box, pen: float) -> bool:
    width, height = box[2] - box[0], box[3] - box[1]
    low, high = _LETTER
    return bool(low <= max(width, height) <= high and min(width, height) >= max(1.0, 0.5 * pen))


def _alone(box: Box) -> bool:
    """Whether a single piece of ink is squat enough to be a letter rather than a tick."""
    width, height = box[2] - box[0], box[3] - box[1]
    return 0.25 < width / max(height, 1) < 1.6 and height >= 9


def _around(boxes: list[Box]) -> Box:
    b = np.array(boxes)
    return int(b[:, 0].min()), int(b[:, 1].min()), int(b[:, 2].max()), int(b[:, 3].max())


def _rows(boxes: list[Box]) -> list[list[int]]:
    """Letters that stand beside each other in a line of text, across or upright."""
    if not boxes:
        return []
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    b = np.array(boxes, float)
    centre = np.stack([(b[:, 0] + b[:, 2]) / 2, (b[:, 1] + b[:, 3]) / 2], 1)
    size = np.stack([b[:, 2] - b[:, 0], b[:, 3] - b[:, 1]], 1)
    pairs = cKDTree(centre).query_pairs(2.2 * float(np.percentile(size.max(1), 90)), output_type="ndarray")
    if len(pairs) == 0:
        return [[k] for k in range(len(boxes))]
    i, j = pairs.T
    joined = np.zeros(len(pairs), bool)
    for axis in (0, 1):
        tall = np.maximum(size[i, 1 - axis], size[j, 1 - axis])
        level = np.abs(centre[i, 1 - axis] - centre[j, 1 - axis]) < 0.35 * tall
        gap = np.abs(centre[i, axis] - centre[j, axis]) - (size[i, axis] + size[j, axis]) / 2
        joined |= level & (gap < 0.95 * tall) & (tall >= _LETTER[0])
    i, j = i[joined], j[joined]
    graph = coo_matrix((np.ones(len(i)), (i, j)), shape=(len(b), len(b)))
    _, label = connected_components(graph, directed=False)
    groups: dict[int, list[int]] = {}
    for index, number in enumerate(label.tolist()):
        groups.setdefault(number, []).append(index)
    return list(groups.values())


def words(flat: NDArray[np.float32], boxes: list[Box]) -> list[Text]:
    """What stands in the boxes, read by rapidocr where it is installed (extra "ocr"); [] without it."""
    if not can_read() or not boxes:
        return []
    boxes = sorted(boxes, key=lambda b: -(b[2] - b[0]) * (b[3] - b[1]))[:_MOST_WORDS]
    crops, upright = [], []
    for x0, y0, x1, y1 in boxes:
        pad = max(3, round(0.12 * min(x1 - x0, y1 - y0)))
        crop = flat[max(0, y0 - pad) : y1 + pad, max(0, x0 - pad) : x1 + pad]
        stands = (y1 - y0) > 1.25 * (x1 - x0) and y1 - y0 > 18
        upright.append(stands)
        crops.append(np.rot90(crop, -1) if stands else crop)
    found = []
    for box, stands, (text, sure) in zip(boxes, upright, read(crops), strict=True):
        if text.strip() and sure > _LEAST_SURE:
            width, height = box[2] - box[0], box[3] - box[1]
            extent = (float(height), float(width)) if stands else (float(width), float(height))
            centre = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
            found.append(Text(text.strip(), centre, extent, math.pi / 2 if stands else 0.0, extent[1], "", float(sure)))
    return found


def can_read() -> bool:
    """Whether rapidocr is installed."""
    return _engine() is not None


def read(crops: list[NDArray[np.float32]]) -> list[tuple[str, float]]:
    """(text, how sure) of crops (H, W) of lightness; nothing of any without rapidocr."""
    engine = _engine()
    if engine is None or not crops:
        return [("", 0.0) for _ in crops]
    return [(str(text), float(sure)) for text, sure in engine([_scaled(crop) for crop in crops])]


def _scaled(crop: NDArray[np.float32]) -> NDArray[np.uint8]:
    from PIL import Image

    picture = Image.fromarray((np.clip(crop, 0, 1) * 255).astype(np.uint8))
    width = max(16, round(crop.shape[1] * _READ_HEIGHT / crop.shape[0]))
    grey = np.asarray(picture.resize((min(width, 1600), _READ_HEIGHT), Image.Resampling.BICUBIC))
    return np.repeat(grey[..., None], 3, 2)


@functools.lru_cache(maxsize=1)
def _engine() -> Any:
    """A function from crops to (text, how sure) each, or None without rapidocr."""
    try:
        from rapidocr_onnxruntime import RapidOCR
    except ImportError:
        return None
    reader = RapidOCR(use_det=False, use_cls=False)

    def read(crops: list[NDArray[np.uint8]]) -> list[tuple[str, float]]:
        results, _ = reader.text_rec(crops)
        return [(str(text), float(sure)) for text, sure, *_ in results]

    return read
