"""The benchmark of public models: the field that it cuts is the ball that it says, and unknown names are refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")

from liftform.assets import Mesh  # noqa: E402
from liftform.errors import UsageError  # noqa: E402
from liftform.evaluate import zoo  # noqa: E402
from liftform.reconstruct import triplane  # noqa: E402
from liftform.topology import health  # noqa: E402
from liftform.zoo import triposr  # noqa: E402

CONFIG = dataclasses.replace(
    triposr.Config(width=32, heads=1, head_size=8, layers=1, image_width=8, plane_size=8, features=8, neurons=16),
    vit=triposr.VitConfig(8, 1, 1, 8, 32, 16),
)


def test_the_measured_field_is_a_bumpy_ball() -> None:
    torch.manual_seed(0)
    network = triposr.TripoSR(CONFIG)
    with torch.no_grad():
        field = network.field(zoo._shape(network))
        vertices, faces = triplane.extracted(field, 64, triposr.ISO)
    radius = np.linalg.norm(vertices, axis=1) / (0.52 * CONFIG.radius)
    assert 0.9 < np.median(radius) < 1.1
    assert radius.std() > 0.01
    assert health(Mesh(vertices, faces)).watertight


def test_a_table_has_a_column_for_each_run_and_a_sum_without_loading() -> None:
    stages = {"load": (5.0, 4.0), "triplane": (2.0, 1.5), "colours": (1.0, 0.5)}
    one = zoo.Timing("triposr", "float32", "cpu", 1, stages, 2000.0, 0.0, {"vertices": 1000, "faces": 2000})
    assert one.total == (3.0, 2.0)
    table = zoo.grid([one, dataclasses.replace(one, precision="bfloat16")])
    assert table.head == ("seconds (of processors)", "float32, cpu", "bfloat16, cpu")
    assert ("picture to mesh", "3.00 (2.00)", "3.00 (2.00)") in table.rows
    assert {len(row) for row in table.rows} == {3}


def test_a_model_without_a_measurement_is_refused() -> None:
    with pytest.raises(UsageError, match="not measured"):
        zoo.measure_zoo("nobody")
