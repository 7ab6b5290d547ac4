"""Scans and photographs of sheets made flat and straight: page found, perspective, lens, skew and shadows taken out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import page, skew

FloatArray = NDArray[np.float64]
FloatImage = NDArray[np.float32]

#: Lightness of the median pixel below which a sheet is light on dark and turned over.
_DARK = 0.45
#: Turns (radians) smaller than this are left, and how much more the page is sampled than the photo.
_STRAIGHT, _FINER = 0.0006, 1.35
_MOST_PIXELS = 24_000_000


@dataclass(frozen=True)
class Flat:
    """A sheet made flat. image (H, W) float32: lightness with the paper near 1, dark sheets turned over.

    loaded_from_flat: 3 x 3, from its pixels to those of the picture as loaded (x right, y down, centres at +0.5).
    photographed: a page was cut out of a photograph, or its perspective was undone. notes: what was done, a line each.
    """

    image: FloatImage
    loaded_from_flat: FloatArray
    photographed: bool = False
    notes: tuple[str, ...] = ()


def flattened(image: FloatImage) -> Flat:
    """A picture (H, W) of lightness in [0, 1] as a flat sheet.

    A light page that lies on something darker is cut out by its four sides (perspective, and barrel or pincushion
    where the sides are bent); without one, the drawing's own two families of lines tell skew and perspective.
    """
    notes: list[str] = []
    matrix, photographed = np.eye(3), False
    lens = 0.0
    quad = page.find(image)
    if quad is not None:
        lens = page.bend(image, quad)
        if lens:
            image = page.straightened(image, lens)
            quad = page.find(image)
            notes.append(f"lens: sides of the page were bent ({lens:+.3f}); made straight")
    if quad is not None:
        matrix, size = page.rectangle(quad, image.shape)
        image, matrix = warped(image, matrix, size)
        image = page.without_rim(image)
        photographed = True
        notes.append("the page was cut out of a photograph")
    elif float(np.median(image)) < _DARK:
        image = 1 - image
        notes.append("light lines on dark ground were turned over")
    flat = evened(image)
    grid = skew.find(flat, perspective=quad is None)
    if grid.bent:
        lines = skew.quadrilateral(grid, flat.shape)
        step, size = page.rectangle(lines, flat.shape, whole=True)
        flat, step = warped(flat, step, size)
        matrix, photographed = matrix @ step, True
        notes.append("perspective was undone by the drawing's own lines")
        grid = skew.find(flat, perspective=False)
    if abs(grid.turn) > _STRAIGHT:
        flat, step = turned(flat, grid.turn)
        matrix = matrix @ step
        notes.append(f"turned by {math.degrees(grid.turn):+.2f} degrees")
    return Flat(flat, matrix, photographed, tuple(notes))


def evened(image: FloatImage) -> FloatImage:
    """Lightness with the paper's own, which varies slowly, divided out; paper becomes 1."""
    from scipy import ndimage

    step = 16
    rows, columns = (max(side // step, 1) * step for side in image.shape)
    if min(image.shape) < step:
        return image
    blocks = image[:rows, :columns].reshape(rows // step, step, columns // step, step)
    light = np.percentile(blocks, 90, axis=(1, 3)) if rows * columns < 4e6 else blocks.max((1, 3))
    # paper is the lightest thing within a few hundred pixels, so that large fills do not count as shading
    reach = max(3, round(0.12 * max(light.shape)) | 1)
    paper = ndimage.gaussian_filter(ndimage.maximum_filter(light, reach), reach / 4)
    if float(paper.max() - paper.min()) > 0.08:  # shadows are sharper than that: follow the paper more closely
        near = ndimage.grey_closing(light, 7)
        paper = np.minimum(paper, ndimage.gaussian_filter(np.maximum(near, 0.6 * paper), 1.0))
    zoomed = ndimage.zoom(paper, step, order=1, grid_mode=True, mode="nearest")
    whole = np.pad(zoomed, ((0, image.shape[0] - rows), (0, image.shape[1] - columns)), mode="edge")
    return np.clip(image / np.maximum(whole, 0.2), 0, 1).astype(np.float32)


def warped(image: FloatImage, image_from_out: FloatArray, size: tuple[int, int]) -> tuple[FloatImage, FloatArray]:
    """(the picture seen through a homography, the homography); ``size``: (width, height) asked for, made smaller where
    it is beyond what is worked on, finer by a third where it is not.
    """
    from PIL import Image

    finer = min(_FINER, math.sqrt(_MOST_PIXELS / max(size[0] * size[1], 1)))
    shrink = np.diag([1 / finer, 1 / finer, 1.0])
    matrix = image_from_out @ shrink
    matrix = matrix / matrix[2, 2]
    wide, high = max(16, round(size[0] * finer)), max(16, round(size[1] * finer))
    picture = Image.fromarray(np.ascontiguousarray(image, np.float32))  # coefficients take centres at +0.5, as we do
    out = picture.transform(
        (wide, high),
        Image.Transform.PERSPECTIVE,
        tuple(matrix.ravel()[:8]),
        Image.Resampling.BICUBIC,
        fillcolor=1.0,
    )
    return np.clip(np.asarray(out, np.float32), 0, 1), matrix


def turned(image: FloatImage, angle: float) -> tuple[FloatImage, FloatArray]:
    """(the sheet turned so that lines at ``angle`` lie level, with room for its corners, image_from_out)."""
    from PIL import Image

    high, wide = image.shape
    c, s = math.cos(angle), math.sin(angle)
    width, height = math.ceil(abs(wide * c) + abs(high * s)), math.ceil(abs(wide * s) + abs(high * c))
    if abs(angle) < 0.12:  # the margins of a nearly straight sheet are empty: keep its size
        width, height = wide, high
    centre = np.array([wide / 2, high / 2]) - np.array([[c, -s], [s, c]]) @ (width / 2, height / 2)
    matrix = np.array([[c, -s, centre[0]], [s, c, centre[1]], [0.0, 0.0, 1.0]])
    picture = Image.fromarray(np.ascontiguousarray(image, np.float32))
    out = picture.transform(
        (width, height), Image.Transform.AFFINE, tuple(matrix.ravel()[:6]), Image.Resampling.BICUBIC, fillcolor=1.0
    )
    return np.clip(np.asarray(out, np.float32), 0, 1), matrix


def quarter(image: FloatImage, turns: int, mirrored: bool) -> tuple[FloatImage, FloatArray]:
    """(the sheet mirrored left to right if so, then turned by quarters anticlockwise, image_from_out)."""
    out = np.rot90(image[:, ::-1] if mirrored else image, turns)
    high, wide = image.shape
    step = {
        0: np.eye(3),
        1: np.array([[0.0, -1.0, wide], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
        2: np.array([[-1.0, 0.0, wide], [0.0, -1.0, high], [0.0, 0.0, 1.0]]),
        3: np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, high], [0.0, 0.0, 1.0]]),
    }[turns % 4]
    flip = np.array([[-1.0, 0.0, wide], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]) if mirrored else np.eye(3)
    return np.ascontiguousarray(out), flip @ step
