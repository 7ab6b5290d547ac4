"""Devices and precision of torch: what was asked for or a clear refusal; want of memory says what to try."""

from __future__ import annotations

import pytest

from liftform.errors import ReconstructionError, UsageError
from liftform.runtime import Runtime
from liftform.zoo.device import torch_device, torch_dtype, within_memory

torch = pytest.importorskip("torch")


def test_the_device_is_the_one_asked_for(monkeypatch):
    assert torch_device(Runtime()) == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert torch_device(Runtime(device="cuda:1")) == torch.device("cuda", 1)
    with pytest.raises(UsageError, match="there is no 'cuda:2', only 2 of its kind"):
        torch_device(Runtime(device="cuda:2"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match=r"has no 'cuda' device .*--device cpu"):
        torch_device(Runtime(device="cuda"))
    for wrong in ("gpu", "cuda:x", "cpu0"):
        with pytest.raises(UsageError, match="no device named"):
            torch_device(Runtime(device=wrong))


def test_the_precision_is_the_one_asked_for():
    assert torch_dtype(Runtime()) is torch_dtype(Runtime(precision="float32")) is torch.float32
    assert torch_dtype(Runtime(precision="bfloat16")) is torch.bfloat16
    assert torch_dtype(Runtime(precision="float16", device="cuda")) is torch.float16
    with pytest.raises(UsageError, match="float16 needs a GPU"):
        torch_dtype(Runtime(precision="float16"))
    with pytest.raises(UsageError, match="no precision named 'fp8'"):
        torch_dtype(Runtime(precision="fp8"))


def too_large():
    """What torch really says when the CPU has not enough."""
    torch.empty(1 << 55, dtype=torch.uint8)


@pytest.mark.parametrize("error", [too_large, MemoryError, torch.OutOfMemoryError])
def test_want_of_memory_says_what_to_try(error):
    def fail():
        raised = error()
        raise raised

    with (
        pytest.raises(ReconstructionError, match=r"a net: not enough memory.* — use less"),
        within_memory("a net", "use less"),
    ):
        fail()


def test_other_errors_pass():
    with pytest.raises(ZeroDivisionError), within_memory("a net", "use less"):
        _ = 1 / 0
