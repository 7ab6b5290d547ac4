"""registry: names are lazy, third parties are found, what is missing is said."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import FAKES, PLUGIN
from PIL import Image

from liftform.errors import LiftformError, MissingExtraError, UsageError
from liftform.zoo import registry


@pytest.mark.parametrize("task", registry.tasks())
def test_every_row_of_ours_is_a_callable_with_options_beside_it(task):
    for name, row in registry.BACKENDS[task].items():
        assert callable(registry.factory(task, name))
        options = registry.options_class(task, name)
        assert dataclasses.is_dataclass(options)
        assert options.__dataclass_params__.frozen
        assert row.factory.partition(":")[0] == row.options.partition(":")[0], "options belong beside their backend"
        for field in dataclasses.fields(options):
            assert field.metadata.get("help"), f"{options.__name__}.{field.name} has no help line"


@pytest.mark.parametrize("road", registry.ROADS)
def test_flat_keywords_are_unique_on_a_road(road):
    """All but ``faces`` of a picture, the budget of an object and of a scene, and those that methods of a set share."""
    words = [
        field.metadata["keyword"]
        for task in registry.tasks(road)
        for field in dataclasses.fields(registry.options_class(task))
        if field.metadata.get("keyword")
    ]
    shared = {"make": {"faces"}, "scan": {"minutes", "checkpoint", "preview"}}
    assert {word for word in words if words.count(word) > 1} == shared.get(road, set())
    assert not {"seed", "threads", "backends", "progress", "recipe", "source"} & set(words)


def test_third_parties_are_found_by_entry_point():
    assert registry.names("mask")[0] == registry.default("mask") == "embedded"
    assert "fake" in registry.names("mask")
    assert registry.factory("mask", "fake").__module__ == "liftform_fakes"
    assert registry.options_class("object", "fake").__name__ == "ObjectOptions"


def test_unknown_names_are_usage_errors_with_a_suggestion():
    with pytest.raises(UsageError, match="did you mean 'embedded'"):
        registry.factory("mask", "embeded")
    with pytest.raises(UsageError, match="did you mean 'simplify'"):
        registry.names("simplfy")


def test_a_missing_package_names_the_extra():
    with pytest.raises(MissingExtraError, match=r"pip install 'liftform\[fields\]'"):
        registry.factory("mask", "absent")
    with pytest.raises(MissingExtraError, match="liftform_no_such_package"):
        registry.factory("mask", "unimportable")


def test_an_entry_point_must_name_a_row():
    with pytest.raises(LiftformError, match="must name a liftform Backend row"):
        registry.factory("mask", "nonsense")


EXAMPLE = Path(__file__).parents[1] / "examples" / "05_own_backend.py"


def test_the_example_of_an_own_backend_is_found_as_a_package(tmp_path):
    """Installed as its first lines say, the real command knows the model and its flag."""
    shutil.copy(EXAMPLE, tmp_path / "border_masks.py")
    info = tmp_path / "border_masks-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: border-masks\nVersion: 1.0\n")
    (line,) = (text.strip() for text in EXAMPLE.read_text(encoding="utf-8").splitlines() if '"mask.border" =' in text)
    left, right = (part.strip(' "') for part in line.split("="))
    (info / "entry_points.txt").write_text(
        f"[liftform.backends]\n{left} = {right.replace('your_package.border', 'border_masks')}\n"
    )
    y, x = np.mgrid[:90, :120]
    picture = np.full((90, 120, 3), 250, np.uint8)
    picture[(x - 60) ** 2 + (y - 45) ** 2 < 700] = 180, 40, 30
    Image.fromarray(picture).save(tmp_path / "ball.png")
    fakes = [word for task in FAKES if task != "mask" for word in ("--backend", f"{task}=fake")]
    words = ["make", "ball.png", "--mask-model", "border", "--tolerance", "0.3", "--json", "--as", "object", *fakes]
    env = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{PLUGIN}"}
    line = [sys.executable, "-m", "liftform", *words, "--no-preview"]
    result = subprocess.run(line, capture_output=True, text=True, env=env, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)["report"]
    (found,) = (d for d in report["decisions"] if d["what"] == "mask")
    assert found["note"] == "border"
    assert found["value"] == pytest.approx(700 * np.pi / (90 * 120), abs=0.01)


def test_added_backends_take_no_name_over(monkeypatch):
    monkeypatch.setattr(registry, "_ADDED", {})
    row = registry.Backend("liftform_fakes:mask", "liftform_fakes:Options")
    registry.add("mask", "mine", row)
    assert registry.names("mask")[-1] == "mine"
    for name in ("mine", "embedded", "fake"):
        with pytest.raises(UsageError, match="already"):
            registry.add("mask", name, row)
