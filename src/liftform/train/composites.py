"""Training pictures for the mask network: cut-outs stood on backgrounds, photographed badly, with their soft alpha.

Everything follows from (seed, index): picture ``index`` is the same on every machine and with any number of workers.
"""

from __future__ import annotations

import functools
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from ..conventions import linear_to_srgb, srgb_to_linear
from ..errors import InputNotFoundError
from .cutouts import Shards
from .textures import ByteImage, Rng, noise

FloatArray = NDArray[np.float32]

_LINEAR_OF_BYTE = srgb_to_linear(np.arange(256, dtype=np.float32) / 255.0)
_ENCODED_OF_12_BIT = linear_to_srgb(np.arange(4097, dtype=np.float32) / 4096.0)


#: Kinds of backgrounds, each kind's shards named so, and how often one of it is drawn.
_PLACES = {"backgrounds": 0.28, "panoramas": 0.5, "rooms": 0.22}


@dataclass(frozen=True)
class Bank:
    """What composites are made of: shards of cut-outs, backgrounds and textures, and which of them are in use.

    places: the backgrounds of each kind that there is (painted, views of panoramas, rooms), and each kind's share.
    """

    cutouts: Shards
    backgrounds: Shards
    textures: Shards
    subjects: NDArray[np.int64]
    places: list[tuple[float, NDArray[np.int64]]]


def open_bank(folder: Path, held: bool, blobs: float = 0.12) -> Bank:
    """The bank of training material, or of held-out families and backgrounds (``held``).

    blobs: share of procedural foregrounds. Raises InputNotFoundError where nothing has been prepared.
    """
    cutouts, backgrounds = Shards(folder, "objects_*", "blobs_*"), Shards(folder, *(f"{kind}_*" for kind in _PLACES))
    textures = Shards(folder, "textures_*")
    if not len(cutouts) or not len(backgrounds) or not len(textures):
        raise InputNotFoundError(f"{folder}: no training shards", "run: liftform train data mask --recipe …")
    chosen = np.array([i for i, row in enumerate(cutouts.rows) if row["held"] == held])
    is_blob = np.array([cutouts.rows[i]["kind"] == "blob" for i in chosen])
    few = max(1, int(blobs * (~is_blob).sum()))
    subjects = np.concatenate([chosen[~is_blob], chosen[is_blob][:few]]) if is_blob.any() else chosen
    return Bank(cutouts, backgrounds, textures, subjects, _places(backgrounds, held))


def _places(backgrounds: Shards, held: bool) -> list[tuple[float, NDArray[np.int64]]]:
    """Numbers of the training or held-out backgrounds by kind, with their shares; rows without "held": every 20th."""
    found: dict[str, list[int]] = {kind: [] for kind in _PLACES}
    for i, row in enumerate(backgrounds.rows):
        if row.get("held", i % 20 == 7) == held:
            found[row.get("kind", "backgrounds")].append(i)
    total = sum(_PLACES[kind] for kind, numbers in found.items() if numbers)
    return [(_PLACES[kind] / total, np.array(numbers)) for kind, numbers in found.items() if numbers]


def composite(bank: Bank, size: int, seed: int, index: int) -> tuple[ByteImage, ByteImage]:
    """Picture ``index`` of the endless set ``seed``: (image (S, S, 3) uint8 sRGB, alpha (S, S) uint8)."""
    rng = np.random.default_rng([seed, index])
    behind, horizon = _background(bank, size, rng)
    picture = _LINEAR_OF_BYTE[_defocused(_cluttered(bank, behind, horizon, rng), rng)]
    alpha = np.zeros((size, size), np.float32)
    if rng.random() > 0.02:
        for cut, corner in _arranged(bank, size, horizon, rng):
            _place(picture, alpha, cut, corner, rng)
    return _photographed(picture, alpha, rng), (alpha * 255 + 0.5).astype(np.uint8)


def _background(bank: Bank, size: int, rng: Rng) -> tuple[ByteImage, float]:
    """A crop of a background, mirrored and recoloured; and its horizon as a share of ``size``."""
    kind = rng.choice(len(bank.places), p=[share for share, _ in bank.places])
    i = int(rng.choice(bank.places[kind][1]))
    whole = Image.fromarray(bank.backgrounds[i])
    side = whole.width * rng.uniform(0.55, 1.0)
    x, y = rng.uniform(0, whole.width - side, 2)
    picture = np.asarray(whole.resize((size, size), Image.Resampling.BILINEAR, (x, y, x + side, y + side)))
    if rng.random() < 0.5:
        picture = picture[:, ::-1]
    if rng.random() < 0.3:
        picture = picture[..., rng.permutation(3)]
    return np.ascontiguousarray(picture), (bank.backgrounds.rows[i]["horizon"] * whole.width - y) / side


def _cluttered(bank: Bank, picture: ByteImage, horizon: float, rng: Rng) -> ByteImage:
    """Other objects behind what will be the subject: small ones or cut off by the border, and at times large ones.

    Places without things teach that any thing is the subject; what counts is which one stands in front and central.
    """
    size = picture.shape[0]
    sides = list(rng.uniform(0.06, 0.25, int(rng.integers(1, 6)))) if rng.random() < 0.25 else []
    sides += list(rng.uniform(0.25, 0.75, int(rng.integers(1, 4)))) if rng.random() < 0.3 else []
    if not sides:
        return picture
    light = _LINEAR_OF_BYTE[picture]
    ignored = np.zeros((size, size), np.float32)
    for side in sides:
        cut = _cutout(bank, size * side, 0.0, rng)
        base = size * rng.uniform(max(0.15, min(horizon, 0.8)), 1.0)
        corner = (int(rng.uniform(-0.1, 1.0) * size - cut.shape[1] / 2), int(base - cut.shape[0]))
        _place(light, ignored, cut, corner, rng)
    return (_encoded(light) * 255 + 0.5).astype(np.uint8)


def _defocused(picture: ByteImage, rng: Rng) -> ByteImage:
    """The background out of focus, slightly or wholly, in half of the pictures."""
    if rng.random() < 0.45:
        return picture
    sigma = float(picture.shape[0] / 224 * np.exp(rng.uniform(np.log(0.4), np.log(9))))
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(sigma)))


def _arranged(bank: Bank, size: int, horizon: float, rng: Rng) -> list[tuple[ByteImage, tuple[int, int]]]:
    """Mostly one subject, as people frame one, at times two or three; with the (x, y) of their upper left corners."""
    count = int(rng.choice([1, 2, 3], p=[0.88, 0.08, 0.04]))
    reach = size * (0.36 + 0.68 * rng.beta(1.7, 1.3)) / count**0.6
    middle = np.clip(rng.normal(0.5, 0.08), 0.2, 0.8)
    inside = rng.random() < 0.8
    items = []
    for i in range(count):
        tilt = rng.uniform(-180, 180) if rng.random() < 0.06 else rng.normal(0, 4)
        cut = _cutout(bank, reach * rng.uniform(0.75, 1.2) if i else reach, tilt, rng)
        x = (middle + (i - (count - 1) / 2) * rng.uniform(0.2, 0.45)) * size
        y = np.clip(rng.normal(0.52, 0.08), 0.2, 0.8) * size
        if y + cut.shape[0] / 2 < horizon * size and rng.random() < 0.6:  # what floats over the horizon is set down
            y = (horizon + rng.uniform(0.02, 0.15)) * size - cut.shape[0] / 2
        corner = [int(x - cut.shape[1] / 2), int(y - cut.shape[0] / 2)]
        if inside:
            corner = [int(np.clip(c, 0, max(0, size - n))) for c, n in zip(corner, cut.shape[1::-1], strict=True)]
        items.append((cut, (corner[0], corner[1])))
    return items


def _cutout(bank: Bank, side: float, tilt_deg: float, rng: Rng) -> ByteImage:
    """A random cut-out whose object is ``side`` pixels at its longest; shadows are dropped where it is tilted."""
    cut = bank.cutouts[int(rng.choice(bank.subjects))]
    solid = cut[..., 3] > 20
    rows, columns = np.nonzero(solid.any(1))[0], np.nonzero(solid.any(0))[0]
    zoom = side / max(rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1)
    shape = (max(2, round(cut.shape[1] * zoom)), max(2, round(cut.shape[0] * zoom)))
    halves = [Image.fromarray(np.ascontiguousarray(half)) for half in (cut[..., :3], cut[..., 3:])]
    halves = [half.resize(shape, Image.Resampling.BILINEAR) for half in halves]
    if abs(tilt_deg) > 1:
        halves = [half.rotate(tilt_deg, Image.Resampling.BILINEAR, expand=True) for half in halves]
    colour, rest = (np.array(half) for half in halves)
    if rng.random() < 0.5:
        colour, rest = colour[:, ::-1], rest[:, ::-1]
    if abs(tilt_deg) > 12:
        rest[..., 1:] = 0
    if rng.random() < 0.25:
        colour = _reskinned(bank, colour, rng)
    out = np.concatenate([colour, rest], 2)
    return _furred(out, rng) if rng.random() < 0.12 else out


def _furred(cut: ByteImage, rng: Rng) -> ByteImage:
    """The cut-out with its edge and skin shaken, like fur, leaves or cloth."""
    h, w = cut.shape[:2]
    if max(h, w) > 512:
        return cut
    dy, dx = _wobble(int(rng.integers(12)))
    reach = max(h, w) / 192 * rng.uniform(0.6, 3)
    y = np.arange(h)[:, None] + (dy[:h, :w] * reach).astype(int)
    x = np.arange(w)[None, :] + (dx[:h, :w] * reach).astype(int)
    out: ByteImage = cut[np.clip(y, 0, h - 1), np.clip(x, 0, w - 1)]
    out[..., 4:] = cut[..., 4:]
    return out


def _reskinned(bank: Bank, colour: ByteImage, rng: Rng) -> ByteImage:
    """The shading of ``colour`` under a texture, or both mixed."""
    skin = Image.fromarray(bank.textures[int(rng.integers(len(bank.textures)))])
    side = skin.width * rng.uniform(0.2, 1.0)
    x, y = rng.uniform(0, skin.width - side, 2)
    skin = skin.resize((colour.shape[1], colour.shape[0]), Image.Resampling.BILINEAR, (x, y, x + side, y + side))
    shade = colour.astype(np.float32).mean(-1, keepdims=True)
    shade /= max(float(shade.mean()), 8.0)
    share = float(rng.beta(1.0, 0.8))
    mixed = colour * (1 - share) + np.asarray(skin) * np.clip(shade, 0.15, 2.2) * share
    out: ByteImage = np.clip(mixed, 0, 255).astype(np.uint8)
    return out


@functools.lru_cache(maxsize=12)
def _wobble(i: int) -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(9000 + i)
    slope = rng.uniform(0.2, 1.0)
    return noise(rng, 512, slope), noise(rng, 512, slope)


def _place(picture: FloatArray, alpha: FloatArray, cut: ByteImage, corner: tuple[int, int], rng: Rng) -> None:
    """Blend a cut-out with its shadows into the linear ``picture``, and into ``alpha``, in place."""
    size, (x, y) = picture.shape[0], corner
    x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + cut.shape[1], size), min(y + cut.shape[0], size)
    if x1 <= x0 or y1 <= y0:
        return
    part = cut[y0 - y : y1 - y, x0 - x : x1 - x]
    under = picture[y0:y1, x0:x1]
    cover: FloatArray = part[..., 3:4].astype(np.float32) / np.float32(255)
    if rng.random() < 0.8:
        cast, contact = rng.choice([0.0, rng.uniform(0.1, 0.85)]), rng.uniform(0.1, 0.8)
        dark = (1 - part[..., 4:5] * np.float32(cast / 255)) * (1 - part[..., 5:6] * np.float32(contact / 255))
        under *= dark
    colour = _LINEAR_OF_BYTE[part[..., :3]] * _tint(under, part, cover, rng)
    if rng.random() < 0.06:
        _mirror(picture, part, (x0, y1), rng)
    under *= 1 - cover
    under += np.clip(colour, 0, 1.5) * cover
    now = alpha[y0:y1, x0:x1]
    now += (1 - now) * cover[..., 0]


def _tint(under: FloatArray, part: ByteImage, cover: FloatArray, rng: Rng) -> FloatArray:
    """The gain (3,) of a cut-out's linear colour: a random light, that of the place, or one that hides it there."""
    gain = np.exp(rng.normal(0, 0.3) + rng.normal(0, 0.1, 3))
    own = (_LINEAR_OF_BYTE[part[..., :3]] * cover).sum((0, 1)) / max(float(cover.sum()), 1.0)
    ratio = (under.mean((0, 1)) + 0.01) / (own + 0.01)
    kind = rng.random()
    if kind < 0.08:
        gain = ratio * np.exp(rng.normal(0, 0.25))
    elif kind < 0.5:
        gain *= ratio.mean() ** rng.uniform(0.3, 0.8)
    return np.clip(gain, 0.1, 6).astype(np.float32)


def _mirror(picture: FloatArray, part: ByteImage, foot: tuple[int, int], rng: Rng) -> None:
    """A fading reflection below a cut-out's foot (polished floors and tables)."""
    x, y = foot
    height = min(part.shape[0], picture.shape[0] - y)
    if height < 4:
        return
    flipped = part[::-1][:height]
    fade = np.linspace(rng.uniform(0.15, 0.5), 0, height, dtype=np.float32)[:, None, None]
    cover = flipped[..., 3:4].astype(np.float32) / 255 * fade
    under = picture[y : y + height, x : x + part.shape[1]]
    under *= 1 - cover
    under += _LINEAR_OF_BYTE[flipped[..., :3]] * cover


def _encoded(light: FloatArray) -> FloatArray:
    return _ENCODED_OF_12_BIT[(np.clip(light, 0, 1) * 4096).astype(np.int32)]


def _photographed(light: FloatArray, alpha: FloatArray, rng: Rng) -> ByteImage:
    """A camera's way with linear light: exposure, white balance, vignette, contrast, blur, noise, JPEG."""
    size = light.shape[0]
    light *= np.exp(rng.normal(0, 0.25) + rng.normal(0, 0.06, 3)).astype(np.float32)
    if rng.random() < 0.35:
        y, x = np.ogrid[0:size, 0:size]
        axis = rng.normal(0, 0.7, 2)
        radius = ((x / size - 0.5) ** 2 + (y / size - 0.5) ** 2) * rng.uniform(0, 2)
        light *= np.exp((x / size - 0.5) * axis[0] + (y / size - 0.5) * axis[1] - radius).astype(np.float32)[..., None]
    encoded = _encoded(light)
    if rng.random() < 0.4:
        encoded = (encoded - 0.5) * np.float32(rng.uniform(0.5, 1.4)) + np.float32(0.5 + rng.normal(0, 0.06))
    if rng.random() < 0.45:
        encoded = encoded + rng.normal(0, rng.uniform(0.003, 0.04), encoded.shape).astype(np.float32)
    image = Image.fromarray((np.clip(encoded, 0, 1) * 255 + 0.5).astype(np.uint8))
    if rng.random() < 0.3:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 1.3)))
    elif rng.random() < 0.2:
        image = image.filter(ImageFilter.UnsharpMask(rng.uniform(0.6, 2), int(rng.uniform(40, 150)), 0))
    if rng.random() < 0.06:
        image = image.convert("L").convert("RGB")
    if rng.random() < 0.4:
        packed = io.BytesIO()
        image.save(packed, "JPEG", quality=int(rng.uniform(30, 96)))
        image = Image.open(packed)
    return np.asarray(image)
