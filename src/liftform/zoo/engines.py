"""Who runs an ONNX network: onnxruntime, or OpenVINO behind the same few calls; only ever the one asked for."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError, WeightsError
from ..runtime import ENGINES, Runtime, need

#: onnxruntime's provider for a kind of device.
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "xpu": "OpenVINOExecutionProvider"}
_NUMBERS = {"bfloat16": "bf16", "float16": "f16"}
_TYPES = {"f32": "tensor(float)", "f16": "tensor(float16)", "i64": "tensor(int64)"}


class Session(Protocol):
    """The part of ``onnxruntime.InferenceSession`` that liftform uses."""

    def run(self, names: Sequence[str] | None, feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """The named outputs, or all, for arrays by the inputs' names."""

    def get_inputs(self) -> Sequence[Any]:
        """Ports with ``name``, ``shape`` and ``type``."""

    def get_outputs(self) -> Sequence[Any]:
        """Ports with ``name``, ``shape`` and ``type``."""

    def get_modelmeta(self) -> Any:
        """Has ``custom_metadata_map``, text by text."""


def opened(model: bytes | Path, runtime: Runtime, device: str = "cpu") -> Session:
    """A session of an ONNX network, from its bytes or its file, by the runtime's engine, threads and precision.

    onnxruntime computes in the numbers that the file has; OpenVINO in float32 unless bfloat16 or float16 is asked for.

    Raises UsageError (no such engine, or it has no such device), MissingExtraError (OpenVINO is not installed),
    WeightsError (not a network).
    """
    engine = runtime.engine
    if engine not in ENGINES:
        raise UsageError(f"no runtime named {engine!r}", f"known: {', '.join(ENGINES)}")
    what = str(model) if isinstance(model, Path) else "an embedded network"
    try:
        return (
            _OpenVino(model, runtime, device) if engine == "openvino" else _onnxruntime(model, runtime.threads, device)
        )
    except (RuntimeError, ValueError) as error:  # both engines' own errors for bytes that are no network
        first = (str(error).splitlines() or [""])[0][:160]
        raise WeightsError(f"{what}: {engine} cannot open it ({first})", "is it an ONNX file of this model?") from error
    except Exception as error:
        if type(error).__module__.startswith("onnxruntime"):
            raise WeightsError(f"{what}: {engine} cannot open it ({_reason(error)})", "pull it again") from error
        raise


def _reason(error: Exception) -> str:
    return str(error).replace("\n", " ")[:160]


def _onnxruntime(model: bytes | Path, threads: int, device: str) -> Session:
    import onnxruntime

    kind, _, number = device.partition(":")
    provider = _PROVIDERS.get(kind, "")
    if provider not in onnxruntime.get_available_providers():
        hint = "pip install onnxruntime-gpu instead of onnxruntime" if kind == "cuda" else "use --device cpu"
        raise UsageError(f"this onnxruntime has no {device!r} device", hint)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.log_severity_level = 3
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    chosen = provider if kind == "cpu" else (provider, {"device_id": number or "0"})
    source = str(model) if isinstance(model, Path) else model
    session = onnxruntime.InferenceSession(source, settings, providers=[chosen])
    if provider not in session.get_providers():  # it falls back to the CPU with no more than a log line
        raise UsageError(f"onnxruntime found no usable {device!r} device", "check its driver, or use --device cpu")
    return session


@dataclass(frozen=True)
class _Port:
    name: str
    shape: list[int | str]
    type: str


class _OpenVino:
    """An OpenVINO network that answers to onnxruntime's calls; every thread has a request of its own."""

    def __init__(self, model: bytes | Path, runtime: Runtime, device: str) -> None:
        openvino = need("openvino", "openvino")
        kind, _, number = device.partition(":")
        place = {"cpu": "CPU", "xpu": "GPU"}.get(kind, "")
        core = openvino.Core()
        if not place or not any(found.startswith(place) for found in core.available_devices):
            raise UsageError(f"OpenVINO has no {device!r} device here", "use --device cpu")
        # Left alone it computes in bfloat16 wherever the processor can.
        numbers = _NUMBERS.get(runtime.precision, "f32")
        settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": numbers}
        if place == "CPU" and runtime.threads:
            settings["INFERENCE_NUM_THREADS"] = runtime.threads
        network = core.read_model(model)
        self._compiled = core.compile_model(network, f"{place}.{number}" if number else place, settings)
        self._meta = _texts(network)
        self._local = threading.local()

    def run(self, names: Sequence[str] | None, feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """As onnxruntime's; the arrays are the caller's own."""
        request = getattr(self._local, "request", None)
        if request is None:
            request = self._local.request = self._compiled.create_infer_request()
        found = request.infer({name: np.ascontiguousarray(value) for name, value in feed.items()}, share_inputs=True)
        wanted = names or [port.name for port in self.get_outputs()]
        return [np.array(found[name]) for name in wanted]

    def get_inputs(self) -> list[_Port]:
        """The inputs in the network's order."""
        return [_port(port) for port in self._compiled.inputs]

    def get_outputs(self) -> list[_Port]:
        """The outputs in the network's order."""
        return [_port(port) for port in self._compiled.outputs]

    def get_modelmeta(self) -> SimpleNamespace:
        """The network's own settings."""
        return SimpleNamespace(custom_metadata_map=self._meta)


def _port(port: Any) -> _Port:
    """OpenVINO keeps every name that a tensor ever had; those of inner nodes have a slash."""
    name = min(port.get_names(), key=lambda text: ("/" in text, text))
    shape = [size.get_length() if size.is_static else "any" for size in port.get_partial_shape()]
    kind = port.get_element_type().get_type_name()
    return _Port(name, shape, _TYPES.get(kind, kind))


def _texts(network: Any) -> dict[str, str]:
    """The ONNX file's metadata, which OpenVINO keeps under "framework"."""
    info = network.get_rt_info()
    held = dict(info["framework"]) if "framework" in info else {}
    return {str(key): str(value.value if hasattr(value, "value") else value) for key, value in held.items()}
