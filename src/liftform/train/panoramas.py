"""Places behind the subjects: views out of panoramas in high dynamic range (Radiance .hdr), and views of rooms."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..conventions import linear_to_srgb, to_uint8
from ..errors import UnreadableError
from . import shards
from .backgrounds import Scene
from .textures import ByteImage, Rng

FloatArray = NDArray[np.float32]


def read_hdr(path: Path) -> FloatArray:
    """A Radiance RGBE picture (H, W, 3), linear (Ward, "Real Pixels", Graphics Gems II, 1991); run-length coded or not.

    Raises UnreadableError.
    """
    data = path.read_bytes()
    try:
        head, _, rest = data.partition(b"\n\n")
        size, _, body = rest.partition(b"\n")
        y, height, x, width = size.split()
        if not head.startswith(b"#?") or (y, x) != (b"-Y", b"+X"):
            raise ValueError("not a Radiance picture whose rows go down and columns right")
        rgbe = _rows(np.frombuffer(body, np.uint8), int(height), int(width))
    except (ValueError, IndexError) as error:
        raise UnreadableError(f"{path}: {error}", "give an equirectangular .hdr file") from error
    scale = np.ldexp(np.float32(1), rgbe[..., 3].astype(np.int32) - 136)[..., None]
    return np.asarray(rgbe[..., :3] * scale, np.float32)


def _rows(codes: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """The RGBE bytes (H, W, 4); a row's four channels follow each other as runs (over 128) and literals."""
    if len(codes) == height * width * 4:
        return codes.reshape(height, width, 4)
    out, at = np.zeros((height, 4 * width), np.uint8), 0
    for row in out:
        if tuple(codes[at : at + 2]) != (2, 2):
            raise ValueError("an old kind of run-length coding")
        at, done = at + 4, 0
        while done < 4 * width:
            count = int(codes[at])
            if count > 128:
                row[done : done + count - 128] = codes[at + 1]
                at, done = at + 2, done + count - 128
            else:
                row[done : done + count] = codes[at + 1 : at + 1 + count]
                at, done = at + 1 + count, done + count
    return out.reshape(height, 4, width).transpose(0, 2, 1)


def view(panorama: FloatArray, rng: Rng, size: int = 320) -> Scene:
    """What a camera at the panorama's place sees: any azimuth, 45 to 95 degrees wide, mostly looking down a little."""
    half = np.tan(np.radians(rng.uniform(45, 95)) / 2)
    pitch = np.radians(np.clip(rng.normal(-10, 14), -55, 25))
    v, u = (np.mgrid[0:size, 0:size].astype(np.float32) + 0.5) / size * 2 - 1
    up, ahead = -v * half, np.ones_like(u)
    height = np.sin(pitch) * ahead + np.cos(pitch) * up
    forward = np.cos(pitch) * ahead - np.sin(pitch) * up
    azimuth = np.arctan2(u * half, forward) + rng.uniform(0, 2 * np.pi)
    elevation = np.arctan2(height, np.hypot(u * half, forward))
    light = _sampled(panorama, azimuth, elevation)
    return Scene(_exposed(light, rng), float(0.5 + np.tan(pitch) / half / 2))


def _sampled(panorama: FloatArray, azimuth: FloatArray, elevation: FloatArray) -> FloatArray:
    from scipy.ndimage import map_coordinates

    height, width = panorama.shape[:2]
    rows = np.clip((0.5 - elevation / np.pi) * height - 0.5, 0, height - 1)
    columns = (azimuth / (2 * np.pi) % 1) * width - 0.5
    planes = [map_coordinates(panorama[..., c], [rows, columns], order=1, mode="grid-wrap") for c in range(3)]
    return np.stack(planes, -1)


def _exposed(light: FloatArray, rng: Rng) -> ByteImage:
    """As a camera would expose it: the middle tone at about 18 % grey, highlights rolled off a little or clipped."""
    middle = float(np.median(light)) + 1e-5
    light = light / middle * (0.18 * np.exp(rng.normal(0, 0.45)))
    knee = rng.uniform(0.5, 1.0)
    over = np.maximum(light - knee, 0)
    rolled = np.minimum(light, knee) + (1 - knee) * over / (over + 1 - knee + 1e-4)
    return to_uint8(linear_to_srgb(np.clip(rolled, 0, 1).astype(np.float32)))


def bank(folder: Path, views: int, seed: int) -> Iterator[tuple[ByteImage, dict[str, Any]]]:
    """``views`` views of every .hdr in ``folder`` with their rows; about every seventh panorama is held out."""
    for path in sorted(folder.glob("*.hdr")):
        panorama, number = read_hdr(path), zlib.crc32(path.stem.encode())
        for i in range(views):
            made = view(panorama, np.random.default_rng([seed, 41, number, i]))
            row = {"horizon": made.horizon, "held": number % 7 == 3, "kind": "panoramas", "place": path.stem}
            yield made.picture, row


def rooms(folder: Path, views: int) -> Iterator[tuple[ByteImage, dict[str, Any]]]:
    """At most ``views`` pictures of rooms and streets (train/rooms), their middles; the last twentieth held out."""
    count = 0
    for path in sorted(folder.glob("[!.]*.tar")):
        for sample in shards.read(path):
            height, width = sample["rgb"].shape[:2]
            side, meta = min(height, width), sample["meta"]
            top, left = (height - side) // 2, (width - side) // 2
            lift = np.tan(meta.get("pitch", 0.0)) / np.tan(meta["yfov"] / 2) / 2 * height / side
            row = {"horizon": float(0.5 + lift), "held": count >= 0.95 * views, "kind": "rooms"}
            yield sample["rgb"][top : top + side, left : left + side], row
            count += 1
            if count == views:
                return
