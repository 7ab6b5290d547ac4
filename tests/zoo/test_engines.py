"""ONNX networks by name: fed as they were trained, the same by either engine, and never on another device."""

from __future__ import annotations

import numpy as np
import pytest

from liftform.capture import Capture, Photo
from liftform.errors import MissingExtraError, NothingFoundError, UsageError, WeightsError
from liftform.runtime import Runtime
from liftform.understand import salient
from liftform.understand.mask import MaskOptions
from liftform.zoo import engines, weights

onnx = pytest.importorskip("onnx")

#: As the published files have them: names of input and first output, how many outputs.
SIGNATURES = {
    "u2netp": ("input.1", "1959", 7),
    "isnet": ("input_image", "output_image", 1),
    "birefnet-lite": ("input_image", "output_image", 1),
}


def network(name: str, weight: list[float], bias: float, side: int = 0) -> bytes:
    """An ONNX graph of a published signature: one 1 x 1 convolution over the channels; logistic where theirs is."""
    feed, answer, count = SIGNATURES[name]
    row = salient.ROWS[name]
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    side = side or row.side
    outputs = [answer, *(f"other{i}" for i in range(1, count))]
    last = "Identity" if row.logits else "Sigmoid"
    nodes = [helper.make_node("Conv", [feed, "w", "b"], ["mixed"]), helper.make_node(last, ["mixed"], [answer])]
    nodes += [helper.make_node("Neg", ["mixed"], [other]) for other in outputs[1:]]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(feed, kind, [1, 3, side, side])],
        [helper.make_tensor_value_info(out, kind, [1, 1, side, side]) for out in outputs],
        [helper.make_tensor("w", kind, [1, 3, 1, 1], weight), helper.make_tensor("b", kind, [1], [bias])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return model.SerializeToString()


def telling(name: str) -> bytes:
    """A network that answers with the logistic function of 20 (r - 0.5), whatever the row did to the picture."""
    row = salient.ROWS[name]
    return network(name, [20 * row.std[0], 0.0, 0.0], 20 * (row.mean[0] - 0.5))


@pytest.fixture
def picture():
    """A red disc, off the middle, on black; one pixel is white."""
    y, x = np.mgrid[:120, :160]
    image = np.zeros((120, 160, 3), np.float32)
    image[(x - 60) ** 2 + (y - 50) ** 2 < 900] = 0.9, 0.1, 0.1
    image[0, 0] = 1
    return image


@pytest.mark.parametrize("engine", engines.ENGINES)
@pytest.mark.parametrize("name", salient.ROWS)
def test_pictures_are_scaled_as_each_network_was_trained(name, engine, picture):
    if engine == "openvino":
        pytest.importorskip("openvino")
    session = engines.opened(telling(name), Runtime(threads=1, engine=engine))
    found = salient.probability(picture, salient.ROWS[name], session)
    assert found.shape == picture.shape[:2]
    truth = 1 / (1 + np.exp(-20 * (picture[..., 0] - 0.5)))
    inner = np.s_[8:-8, 8:-8]
    assert np.abs(found - truth)[inner].mean() < 0.02
    assert ((found > 0.5) == (truth > 0.5))[inner].mean() > 0.99


def test_a_named_network_makes_the_mask(picture, monkeypatch, tmp_path):
    (tmp_path / "u2netp.onnx").write_bytes(telling("u2netp"))
    monkeypatch.setattr(weights, "files", lambda name, runtime: {"weights": tmp_path / f"{name}.onnx"})
    found = salient.u2netp(MaskOptions(), Runtime(threads=1))(Capture((Photo(picture),)))
    assert abs(float(found.photo.mask.alpha.sum()) - 900 * np.pi) < 60
    assert found.decisions[-1].note.startswith("network u2netp, refined at the edge")
    with pytest.raises(NothingFoundError):
        salient.u2netp(MaskOptions(), Runtime(threads=1))(Capture((Photo(picture[90:, 100:]),)))


def test_a_network_of_another_kind_is_refused(picture, tmp_path):
    wrong = engines.opened(network("isnet", [1.0, 0.0, 0.0], 0.0, side=512), Runtime(threads=1))
    with pytest.raises(WeightsError, match="not weights of such a network"):
        salient.probability(picture, salient.ROWS["isnet"], wrong)
    (tmp_path / "x.onnx").write_bytes(telling("isnet")[:-40])
    for engine in engines.ENGINES:
        if engine == "openvino":
            pytest.importorskip("openvino")
        with pytest.raises(WeightsError, match=f"x.onnx: {engine} cannot open it"):
            engines.opened(tmp_path / "x.onnx", Runtime(threads=1, engine=engine))


@pytest.mark.parametrize(
    ("device", "message"),
    [("cuda", "no 'cuda' device .*onnxruntime-gpu"), ("mps", "no 'mps' device .*--device cpu")],
)
def test_a_device_that_is_not_there_is_refused(device, message):
    with pytest.raises(UsageError, match=message):
        engines.opened(telling("u2netp"), Runtime(), device)


def test_an_engine_that_is_not_installed_names_its_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'liftform\[openvino\]'"):
        engines.opened(telling("u2netp"), Runtime(engine="openvino"))


def test_embedded_networks_are_the_same_by_either_engine():
    pytest.importorskip("openvino")
    image = np.random.default_rng(0).random((1, 3, 192, 192), np.float32)
    both = [
        weights.session("mask", Runtime(threads=1, engine=e)).run(["logits"], {"image": image})[0]
        for e in engines.ENGINES
    ]
    assert np.abs(both[0] - both[1]).max() < 1e-3
    settings = [weights.metadata("object_field", Runtime(threads=1, engine=e)) for e in engines.ENGINES]
    assert settings[0] == settings[1]
