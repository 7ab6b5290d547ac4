"""The one shard format of all training data: plain tar files, written whole, read by memory map, streamed in any order.

The layout is that of webdataset (https://github.com/webdataset/webdataset): members ``<key>.<field>.<ext>``, all of a
sample together; ``.npy`` arrays, ``.json`` values, ``.jpg``, ``.png`` or ``.bin`` bytes. Tar pads members to 512 bytes
and npy aligns its data, so an array is used where it lies in the file, without reading the rest: memory stays bounded
by what the system keeps cached, however large the corpus is. Keys have no dot, because readers split names there.
"""

from __future__ import annotations

import ast
import io
import json
import mmap
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import InputNotFoundError, UnreadableError, UsageError
from ..files import whole_file

Sample = dict[str, Any]
_BLOCK = 512
_OPEN_SHARDS = 400  # every map holds a file descriptor; common limits are 1,024


def write(path: str | Path, samples: Iterable[Sample]) -> int:
    """Write ``samples`` as one shard, whole or not at all; returns how many.

    Every sample has "key" (str, unique, without dots); other values are numpy arrays or scalars, bytes, or whatever
    JSON holds. The same samples give the same bytes. Raises UsageError (bad key, object arrays), OutputError (disk).
    """
    seen = set[str]()
    with whole_file(path) as beside, beside.open("wb") as file:
        for sample in samples:
            key = sample["key"]
            if not key or "." in key or key in seen:
                raise UsageError(f"{path}: {key!r} cannot be the key of a sample", "use unique names without dots")
            seen.add(key)
            for name, value in sample.items():
                if name != "key":
                    extension, data = _encoded(value, f"{key}.{name}")
                    _add(file, f"{key}.{name}.{extension}", data)
        file.write(bytes(2 * _BLOCK))
    return len(seen)


def _add(file: io.BufferedWriter, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    file.write(member.tobuf(tarfile.GNU_FORMAT))
    file.write(data)
    file.write(bytes(-len(data) % _BLOCK))


def _encoded(value: Any, what: str) -> tuple[str, bytes]:
    """Extension and bytes of one value."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        data = bytes(value)
        return "jpg" if data[:2] == b"\xff\xd8" else "png" if data[:4] == b"\x89PNG" else "bin", data
    if isinstance(value, (np.ndarray, np.generic)):
        array = np.asarray(value, order="C")
        if array.dtype.hasobject:
            raise UsageError(f"{what}: an array of Python objects cannot be stored", "use plain numbers")
        out = io.BytesIO()
        np.lib.format.write_array(out, array, (1, 0), allow_pickle=False)
        return "npy", out.getvalue()
    return "json", json.dumps(value, ensure_ascii=False, sort_keys=True).encode()


class _Member(NamedTuple):
    extension: str
    start: int
    size: int


class Shard:
    """One shard file, its samples found by number. Arrays are read-only views into the file's memory map."""

    def __init__(self, path: str | Path) -> None:
        """Reads the member headers alone. Raises InputNotFoundError, or UnreadableError for a cut or foreign file."""
        self.path = Path(path)
        self._members: dict[str, dict[str, _Member]] = {}
        data = _mapped(self.path)
        for name, start, size in _headers(data, self.path):
            key, _, rest = name.partition(".")
            field, _, extension = rest.rpartition(".")
            self._members.setdefault(key, {})[field] = _Member(extension, start, size)
        self.keys = list(self._members)

    def __len__(self) -> int:
        return len(self.keys)

    def sample(self, number: int) -> Sample:
        """Every field of the sample at ``number``, and its "key"."""
        key = self.keys[number]
        return {"key": key, **{field: self.value(number, field) for field in self._members[key]}}

    def fields(self, number: int) -> list[str]:
        """Names of what the sample at ``number`` holds."""
        return list(self._members[self.keys[number]])

    def value(self, number: int, field: str) -> Any:
        """One field of the sample at ``number``. Raises KeyError when it has none of that name."""
        member = self._members[self.keys[number]][field]
        data = _mapped(self.path)
        if member.extension == "npy":
            return _array(data, member)
        raw = data[member.start : member.start + member.size]
        return json.loads(raw) if member.extension == "json" else raw


def read(path: str | Path) -> Iterator[Sample]:
    """Every sample of a shard in its order; arrays are copies. Raises as Shard does."""
    shard = Shard(path)
    for number in range(len(shard)):
        yield _owned(shard.sample(number))


def stream(
    paths: Sequence[str | Path], seed: int = 0, start: int = 0, rank: int = 0, world: int = 1, buffer: int = 1024
) -> Iterator[Sample]:
    """Samples of all shards for ever, every epoch in a new order; rank ``rank`` of ``world`` gets every world-th.

    The order is that of the shards, drawn anew each epoch, with the samples of neighbouring shards (``buffer`` samples
    or the few more that fill a shard) shuffled among each other. It depends on ``paths`` and ``seed`` alone, so
    all ranks together see each sample once an epoch, and ``start`` (how many this rank has had) goes on where an
    interrupted run stopped. Arrays are copies. Raises UsageError without any sample, else as Shard does.
    """
    ordered = sorted(Path(path) for path in paths)
    shards = [Shard(path) for path in ordered]
    total = sum(len(shard) for shard in shards)
    if not total:
        raise UsageError("there is no sample in the given shards", "write shards first")
    number = start * world + rank
    while True:
        epoch, inside = divmod(number, total)
        for shard_number, at in _epoch([len(s) for s in shards], seed, epoch, inside, world, buffer):
            yield _owned(shards[shard_number].sample(at))
            number += world


def _epoch(
    counts: Sequence[int], seed: int, epoch: int, first: int, step: int, buffer: int
) -> Iterator[tuple[int, int]]:
    """(shard, sample) at places first, first + step, ... of the epoch's order."""
    order = np.random.default_rng([seed, epoch]).permutation(len(counts))
    block, size, begin = list[int](), 0, 0
    for place, shard in enumerate(order):
        block.append(int(shard))
        size += counts[shard]
        if size < buffer and place + 1 < len(order):
            continue
        if first < begin + size:
            pairs = [(s, i) for s in block for i in range(counts[s])]
            mixed = np.random.default_rng([seed, epoch, begin]).permutation(size)
            for at in range(first, begin + size, step):
                yield pairs[mixed[at - begin]]
                first = at + step
        begin, block, size = begin + size, [], 0


def _owned(sample: Sample) -> Sample:
    return {k: np.array(v) if isinstance(v, np.ndarray) else v for k, v in sample.items()}


def _mapped(path: Path) -> mmap.mmap:
    try:
        facts = path.stat()
        return _map(path, facts.st_mtime_ns, facts.st_size)
    except FileNotFoundError as error:
        raise InputNotFoundError(f"{path}: no such shard", "write it first") from error
    except (OSError, ValueError) as error:  # ValueError: an empty file cannot be mapped
        raise UnreadableError(f"{path}: cannot be read as a shard ({error})", "delete it and write it again") from error


@lru_cache(_OPEN_SHARDS)
def _map(path: Path, changed: int, size: int) -> mmap.mmap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _headers(data: mmap.mmap, path: Path) -> Iterator[tuple[str, int, int]]:
    """Name, first byte and size of every plain file of a tar (ustar, or GNU's long names)."""
    at, long_name = 0, ""
    while data[at : at + 1] != b"\0":
        header = data[at : at + _BLOCK]
        try:
            size = int(header[124:136].rstrip(b"\0 ") or b"0", 8)
            sound = len(header) == _BLOCK and header[257:262] == b"ustar" and at + _BLOCK + size <= len(data)
        except ValueError:
            sound = False
        if not sound:
            raise UnreadableError(f"{path}: cut short, or not a shard", "delete it and write it again")
        kind, start = header[156:157], at + _BLOCK
        if kind == b"L":
            long_name = data[start : start + size].rstrip(b"\0").decode()
        elif kind in (b"0", b"\0"):
            prefix = header[345:500].rstrip(b"\0") if header[257:265] == b"ustar\x0000" else b""
            short = header[:100].rstrip(b"\0")
            yield long_name or (prefix + b"/" + short if prefix else short).decode(), start, size
            long_name = ""
        at = start + size + (-size % _BLOCK)


def _array(data: mmap.mmap, member: _Member) -> NDArray[Any]:
    length = 10 + int.from_bytes(data[member.start + 8 : member.start + 10], "little")
    dtype, shape = _npy_header(data[member.start : member.start + length])
    count = int(np.prod(shape))
    return np.frombuffer(data, dtype, count, member.start + length).reshape(shape)


@lru_cache(4096)
def _npy_header(header: bytes) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """dtype and shape; headers are few and repeat, and reading them is what costs."""
    facts = ast.literal_eval(header[10:].decode("latin1"))
    dtype = np.dtype(facts["descr"])
    if header[:8] != b"\x93NUMPY\x01\x00" or dtype.hasobject or facts["fortran_order"]:
        raise UnreadableError("an array of a shard is of a kind that is never written", "write the shard again")
    return dtype, facts["shape"]
