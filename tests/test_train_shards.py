"""The shard format: round trip, other readers, order, resuming, damage."""

from __future__ import annotations

import io
import itertools
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from liftform.errors import InputNotFoundError, LiftformError, OutputError, UnreadableError, UsageError
from liftform.train import shards


def _sample(key: str, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        "key": key,
        "rgb": rng.integers(0, 256, (5, 7, 3), np.uint8),
        "depth": np.array([[np.inf, 1.5]], np.float16),
        "empty": np.zeros((0, 3), np.float32),
        "yfov": np.float32(0.5),
        "name": "Lämpchen",
        "meta": {"licences": ["CC0"], "size": [1, 2.5], "none": None},
        "photo": b"\xff\xd8\xff\xe0 not really",
    }


def test_samples_come_back_as_they_went(tmp_path: Path) -> None:
    long = "a" * 150  # beyond what a plain tar header holds
    went = [_sample("one", 1), _sample("sub/two", 2), _sample(long, 3)]
    assert shards.write(tmp_path / "x.tar", went) == 3
    came = list(shards.read(tmp_path / "x.tar"))
    assert [s["key"] for s in came] == ["one", "sub/two", long]
    for a, b in zip(went, came, strict=True):
        assert a.keys() == b.keys()
        for field in a:
            np.testing.assert_array_equal(a[field], b[field])
    assert came[0]["depth"].dtype == np.float16
    assert came[0]["rgb"].flags.writeable
    assert not shards.Shard(tmp_path / "x.tar").value(0, "rgb").flags.writeable


def test_a_shard_is_an_ordinary_tar_of_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in ("a.tar", "b.tar"):
        shards.write(tmp_path / name, [_sample("one")])
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    with tarfile.open(tmp_path / "a.tar") as tar:
        names = tar.getnames()
        inside = tar.extractfile("one.rgb.npy")
        assert inside is not None
        np.testing.assert_array_equal(np.load(io.BytesIO(inside.read())), _sample("one")["rgb"])
    assert {"one.name.json", "one.meta.json", "one.photo.jpg"} < set(names)


def _folder(tmp_path: Path, sizes: tuple[int, ...]) -> list[Path]:
    paths = [tmp_path / f"{i}.tar" for i in range(len(sizes))]
    for i, (path, size) in enumerate(zip(paths, sizes, strict=True)):
        shards.write(path, ({"key": f"{i}-{j}", "x": np.int32(j)} for j in range(size)))
    return paths


@pytest.mark.parametrize("buffer", [1, 6, 1000])
def test_every_sample_once_an_epoch_over_all_ranks_and_resumed_anywhere(tmp_path: Path, buffer: int) -> None:
    paths = _folder(tmp_path, (4, 0, 7, 1, 3))  # 15 samples

    def keys(count: int, **options: int) -> list[str]:
        return [s["key"] for s in itertools.islice(shards.stream(paths, 5, buffer=buffer, **options), count)]

    alone = keys(45)
    assert len(set(alone)) == 15
    assert all(len(set(alone[i : i + 15])) == 15 for i in (0, 15, 30))
    assert alone[:15] != alone[15:30]
    for start in (1, 14, 15, 16, 31):
        assert keys(10, start=start) == alone[start : start + 10]
    assert [keys(11, rank=r, world=4) for r in range(4)] == [alone[r : 41 + r : 4][:11] for r in range(4)]
    assert keys(5, rank=2, world=4, start=3) == alone[14:34:4]


def test_neighbouring_shards_are_mixed(tmp_path: Path) -> None:
    paths = _folder(tmp_path, (20, 20))
    first = [s["key"][0] for s in itertools.islice(shards.stream(paths, 0, buffer=40), 20)]
    assert set(first) == {"0", "1"}


def test_a_failing_writer_leaves_nothing(tmp_path: Path) -> None:
    def samples() -> Any:
        yield _sample("one")
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left"):
        shards.write(tmp_path / "x.tar", samples())
    for bad in ([_sample("a.b")], [_sample("a"), _sample("a")], [{"key": "a", "x": np.array([None])}]):
        with pytest.raises(UsageError):
            shards.write(tmp_path / "x.tar", bad)
    assert list(tmp_path.iterdir()) == []


def test_damaged_shards_say_so(tmp_path: Path) -> None:
    shards.write(tmp_path / "x.tar", [_sample("one"), _sample("two")])
    whole = (tmp_path / "x.tar").read_bytes()
    for damage in (b"", b"not a tar at all", whole[:700], whole[: len(whole) // 2 + 100]):
        (tmp_path / "bad.tar").write_bytes(damage)
        with pytest.raises(UnreadableError, match=r"bad\.tar"):
            list(shards.read(tmp_path / "bad.tar"))
    with pytest.raises(InputNotFoundError):
        shards.Shard(tmp_path / "none.tar")
    with pytest.raises(LiftformError):
        next(shards.stream([], 0))
