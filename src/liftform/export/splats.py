"""Splats as files: PLY as 3D Gaussian splatting writes it, and SPZ, packed to about a tenth; both read again.

PLY: Kerbl et al. 2023, the layout of the reference implementation. SPZ: Niantic Labs, github.com/nianticlabs/spz,
version 2 (version 3 is read too). Coordinates are written as they are, +Y up, which is SPZ's own frame (right, up,
back).
"""

from __future__ import annotations

import gzip
import json
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..assets import Splats
from ..errors import InputError, InputNotFoundError, OutputError, UnreadableError
from ..files import reason

if TYPE_CHECKING:
    from . import ExportOptions

Floats = NDArray[np.floating[Any]]

_MAGIC = 0x5053474E
_HEADER = struct.Struct("<IIIBBBB")
#: Colours are kept by this factor around the middle, so that some may lie beyond black and white.
_COLOR_SCALE = 0.15
#: Places after the binary point where the scene is small enough: a quarter of a millimetre in a world of metres.
_FRACTION = 12
_COEFFICIENTS = (1, 4, 9, 16)
#: Bytes that an SPZ file may unpack to.
_MOST = 1 << 31
_EDGE = 1e-6


def encode(asset: Splats, path: Path, options: ExportOptions) -> dict[Path, bytes]:
    """The splats as one .ply or .spz file, the same bytes every time. Raises OutputError for splats that reach too far
    out for SPZ."""
    return {path: spz(asset, path) if path.suffix.lower() == ".spz" else ply(asset)}


def ply(asset: Splats) -> bytes:
    """Binary little-endian PLY: x y z, nx ny nz (zeros), f_dc, f_rest (channel by channel), opacity (logit), scale
    (logarithm), rot (wxyz), all float32; what the splats are is told in comments."""
    rest = asset.harmonics[:, 1:].transpose(0, 2, 1).reshape(len(asset.means), -1)
    opacity = np.clip(asset.opacities.astype(np.float64), _EDGE, 1 - _EDGE)
    rows = np.concatenate(
        [
            asset.means,
            np.zeros_like(asset.means),
            asset.harmonics[:, 0],
            rest,
            np.log(opacity / (1 - opacity))[:, None],
            np.log(asset.scales),
            asset.rotations,
        ],
        axis=1,
    ).astype("<f4")
    names = _names(rest.shape[1])
    told = [f"comment liftform {__version__}; +Y up, front +Z; unit: {_unit(asset)}"]
    facts = {key: value for key, value in asset.metadata.items() if isinstance(value, str | int | float)}
    told += (
        [f"comment liftform-splats {json.dumps(facts)}"] if facts else []
    )  # short: viewers read headers in one piece
    lines = ["ply", "format binary_little_endian 1.0", *told, f"element vertex {len(rows)}"]
    lines += [*(f"property float {name}" for name in names), "end_header"]
    return ("\n".join(lines) + "\n").encode("ascii") + rows.tobytes()


def _names(rest: int) -> list[str]:
    plain = ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2"]
    last = ["opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"]
    return [*plain, *(f"f_rest_{k}" for k in range(rest)), *last]


def _unit(asset: Splats) -> str:
    return "metre" if asset.metadata.get("metric") else "unknown"


def spz(asset: Splats, path: Path) -> bytes:
    """Gzipped: 16 bytes of header; then of all splats positions (24 bits fixed point), opacities, colours, scales
    (logarithm, sixteenths), rotations (xyz, w >= 0), harmonics (5 bits for degree 1, 4 for higher), a byte a number."""
    reach = float(np.abs(asset.means).max())
    fraction = min(_FRACTION + 6, int(np.floor(np.log2((2**23 - 1) / max(reach, 1e-9)))))
    if fraction < 0:
        raise OutputError(f"{path}: splats {reach:.3g} from the origin are too far out for SPZ", "save them as .ply")
    fixed = np.round(asset.means.astype(np.float64) * 2**fraction).astype("<i4")
    turns = asset.rotations.astype(np.float64) / np.linalg.norm(asset.rotations, axis=1, keepdims=True)
    turns[turns[:, 0] < 0] *= -1
    parts = [
        fixed.reshape(-1, 1).view(np.uint8).reshape(-1, 4)[:, :3],
        _bytes(asset.opacities * 255.0),
        _bytes(asset.harmonics[:, 0] * (_COLOR_SCALE * 255) + 0.5 * 255),
        _bytes((np.log(asset.scales) + 10) * 16),
        _bytes(turns[:, 1:] * 127.5 + 127.5),
        _packed_harmonics(asset.harmonics[:, 1:]),
    ]
    header = _HEADER.pack(_MAGIC, 2, len(asset.means), asset.degree, fraction, 0, 0)
    return gzip.compress(header + b"".join(part.tobytes() for part in parts), mtime=0)


def _bytes(values: Floats) -> NDArray[np.uint8]:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def _packed_harmonics(rest: Floats) -> NDArray[np.uint8]:
    """Coefficients (N, K, 3), rounded to steps of 1/16 (degree 1) or 1/8."""
    step = np.where(np.arange(rest.shape[1]) < 3, 8, 16)[:, None]
    fine = np.round(rest.astype(np.float64) * 128).astype(np.int64) + 128
    return np.clip((fine + step // 2) // step * step, 0, 255).astype(np.uint8)


def read_splats(path: str | Path) -> Splats:
    """Splats from a .ply or .spz file, whatever wrote it; coordinates as they are in the file.

    Raises InputNotFoundError, UnreadableError (damaged, cut short, no splats in it).
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise InputNotFoundError(f"{path}: no such file", "give the path of a .ply or .spz file")
    try:
        data = path.read_bytes()
        asset = _from_spz(data) if data[:2] == b"\x1f\x8b" else _from_ply(data)
        return asset.with_(name=path.stem).validate()
    except (ValueError, KeyError, IndexError, EOFError, struct.error, zlib.error, OverflowError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise UnreadableError(f"{path}: no splats can be read ({what})", "export it again") from error
    except OSError as error:
        raise UnreadableError(f"{path}: cannot be read ({reason(error)})", "export it again") from error
    except InputError as error:
        raise UnreadableError(f"{path}: {error.message}", "export it again") from error


def _from_ply(data: bytes) -> Splats:
    end = data.find(b"end_header\n")
    if not data.startswith(b"ply") or end < 0:
        raise ValueError("neither a PLY nor an SPZ file")
    lines = data[:end].decode("ascii", "replace").splitlines()
    if "format binary_little_endian 1.0" not in lines:
        raise ValueError("only binary little-endian PLY files hold splats")
    elements = [line.split() for line in lines if line.startswith("element")]
    names = [line.split()[2] for line in lines if line.startswith("property float ")]
    if len(elements) != 1 or elements[0][1] != "vertex":
        raise ValueError("it has elements other than vertices")
    if len(names) != sum(line.startswith("property") for line in lines):
        raise ValueError("it has properties that are not floats")
    count, start = int(elements[0][2]), end + len(b"end_header\n")
    if count < 1 or len(data) - start < 4 * count * len(names):
        raise ValueError("the file is cut short")
    rows = np.frombuffer(data, "<f4", count * len(names), start).reshape(count, len(names))
    column = {name: rows[:, k] for k, name in enumerate(names)}

    def stacked(*wanted: str) -> NDArray[np.float64]:
        return np.stack([column[name] for name in wanted], 1).astype(np.float64)

    rest = sum(name.startswith("f_rest_") for name in names)
    if rest // 3 + 1 not in _COEFFICIENTS or rest % 3:
        raise ValueError(f"{rest} coefficients of harmonics are of no degree")
    harmonics = stacked("f_dc_0", "f_dc_1", "f_dc_2")[:, None]
    if rest:
        higher = stacked(*(f"f_rest_{k}" for k in range(rest))).reshape(count, 3, -1).transpose(0, 2, 1)
        harmonics = np.concatenate([harmonics, higher], 1)
    return _splats(
        stacked("x", "y", "z"),
        stacked("scale_0", "scale_1", "scale_2"),
        stacked("rot_0", "rot_1", "rot_2", "rot_3"),
        1 / (1 + np.exp(-np.clip(column["opacity"].astype(np.float64), -80, 80))),
        harmonics,
        _told(lines),
    )


def _told(lines: list[str]) -> dict[str, Any]:
    """What liftform wrote of the splats."""
    mark = "comment liftform-splats "
    line = next((line for line in lines if line.startswith(mark)), None)
    found = json.loads(line[len(mark) :]) if line else {}
    return found if isinstance(found, dict) else {}


def _from_spz(data: bytes) -> Splats:
    unpacked = zlib.decompressobj(wbits=31).decompress(data, _MOST)
    magic, version, count, degree, fraction, _, _ = _HEADER.unpack_from(unpacked)
    if magic != _MAGIC or version not in (2, 3) or degree > 3 or count < 1:
        raise ValueError(f"version {version} of SPZ, degree {degree}, {count} splats")
    turn = 3 if version == 2 else 4
    widths = [9, 1, 3, 3, turn, 3 * (_COEFFICIENTS[degree] - 1)]
    if len(unpacked) - _HEADER.size < count * sum(widths):
        raise ValueError("the file is cut short")
    at, parts = _HEADER.size, list[NDArray[np.uint8]]()
    for width in widths:
        parts.append(np.frombuffer(unpacked, np.uint8, count * width, at).reshape(count, width))
        at += count * width
    fixed = np.zeros((count * 3, 4), np.uint8)
    fixed[:, 1:] = parts[0].reshape(-1, 3)
    means = (fixed.view("<i4").astype(np.int64) >> 8).reshape(count, 3) / 2.0**fraction
    color = (parts[2] / 255.0 - 0.5) / _COLOR_SCALE
    rest = (parts[5].astype(np.float64) - 128).reshape(count, -1, 3) / 128
    turns = _turns(parts[4]) if version == 2 else _smallest_three(parts[4])
    harmonics = np.concatenate([color[:, None], rest], 1)
    return _splats(means, parts[3] / 16.0 - 10, turns, parts[1][:, 0] / 255.0, harmonics, {})


def _turns(packed: NDArray[np.uint8]) -> NDArray[np.float64]:
    xyz = packed / 127.5 - 1
    w = np.sqrt(np.maximum(0, 1 - (xyz**2).sum(1, keepdims=True)))
    return np.concatenate([w, xyz], 1)


def _smallest_three(packed: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Version 3: which of xyzw is largest (2 bits), the others in ten bits each, sign and size up to sqrt(1/2)."""
    word = np.ascontiguousarray(packed).view("<u4")[:, 0].astype(np.int64)
    largest, turns = word >> 30, np.zeros((len(word), 4))
    for k in (3, 2, 1, 0):
        there = largest != k
        size = (word[there] & 511) / 511 * np.sqrt(0.5)
        turns[there, k] = np.where(word[there] & 512, -size, size)
        word[there] >>= 10
    rows = np.arange(len(word))
    turns[rows, largest] = np.sqrt(np.maximum(0, 1 - (turns**2).sum(1)))
    return turns[:, [3, 0, 1, 2]]


def _splats(
    means: Floats, log_scales: Floats, turns: Floats, opacities: Floats, harmonics: Floats, facts: dict[str, Any]
) -> Splats:
    size = np.linalg.norm(turns, axis=1, keepdims=True)
    turns = np.where(size > 1e-12, turns / np.maximum(size, 1e-12), [1.0, 0.0, 0.0, 0.0])
    return Splats(
        means.astype(np.float32),
        np.maximum(np.exp(np.clip(log_scales, -80, 80)), 1e-30).astype(np.float32),
        turns.astype(np.float32),
        opacities.astype(np.float32),
        np.ascontiguousarray(harmonics, np.float32),
        metadata=facts,
    )
