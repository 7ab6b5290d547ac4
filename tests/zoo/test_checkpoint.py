"""Checkpoints: nothing that would run is read, what is damaged is said, and names and shapes must be exactly right."""

from __future__ import annotations

import os
import pickle

import pytest

from liftform.errors import WeightsError
from liftform.zoo import checkpoint

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.torch")


class Evil:
    """What a pickle may do."""

    def __reduce__(self):
        return os.system, ("touch /tmp/liftform-was-fooled",)


@pytest.fixture
def state():
    return {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}


def test_both_formats_are_read_by_what_they_are(tmp_path, state):
    safetensors.save_file(state, tmp_path / "a.ckpt")
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "b.bin")
    torch.save(state, tmp_path / "c.pt", _use_new_zipfile_serialization=False)
    for name in ("a.ckpt", "b.bin", "c.pt"):
        found = checkpoint.read(tmp_path / name)
        assert found.keys() == state.keys()
        assert all(torch.equal(found[key], state[key]) for key in state)
    assert checkpoint.contents(tmp_path / "b.bin")["epoch"] == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (b"\n<!DOCTYPE html><html>", "a web page"),
        (b'{"error": "rate limited"}', "JSON"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "pointer of Git LFS"),
        (b"PK\x03\x04" + bytes(100), "damaged or truncated"),
        (b"nothing of the kind, but long enough to be looked at", "damaged or truncated"),
        (pickle.dumps({"a": Evil()}, protocol=2), "would run code"),
        (pickle.dumps([1, 2]), "damaged or truncated"),
    ],
)
def test_what_is_no_checkpoint_is_one_clear_error(tmp_path, content, message):
    (tmp_path / "x.ckpt").write_bytes(content)
    with pytest.raises(WeightsError, match=message) as caught:
        checkpoint.read(tmp_path / "x.ckpt")
    assert "\n" not in str(caught.value)
    assert not os.path.exists("/tmp/liftform-was-fooled")


def test_code_inside_a_torch_file_is_refused(tmp_path):
    torch.save({"a": Evil()}, tmp_path / "x.pt")
    with pytest.raises(WeightsError, match="would run code"):
        checkpoint.read(tmp_path / "x.pt")
    torch.save({"a": 3}, tmp_path / "x.pt")
    with pytest.raises(WeightsError, match="'a' is no tensor"):
        checkpoint.read(tmp_path / "x.pt")
    with pytest.raises(WeightsError, match="cannot be read"):
        checkpoint.read(tmp_path / "absent.pt")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("kind", ["safetensors", "torch"])
def test_truncated_files_are_said_to_be(tmp_path, state, share, kind):
    path = tmp_path / "x"
    safetensors.save_file(state, path) if kind == "safetensors" else torch.save(state, path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(WeightsError, match="damaged or truncated"):
        checkpoint.read(path)


def test_names_and_shapes_must_be_exactly_right(state):
    def small():
        return torch.nn.ModuleDict({"a": torch.nn.Linear(3, 2)})

    with torch.device("meta"):
        model = small()
    checkpoint.load(model, state, "toy")
    assert torch.equal(model["a"].weight, state["a.weight"])
    wrong = {"a.weight": torch.zeros(2, 4), "b": torch.zeros(1), "c": torch.zeros(1)}
    with pytest.raises(WeightsError) as caught:
        checkpoint.load(small(), wrong, "toy")
    for words in ("weights of toy", "1 missing, such as a.bias", "2 unknown, such as b, c", "(2, 4) instead of (2, 3)"):
        assert words in str(caught.value)
