"""What many tests share: the stand-in backends of tests/plugin, a small picture, and the real command line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

PLUGIN = Path(__file__).parent / "plugin"
sys.path.insert(0, str(PLUGIN))  # its .dist-info makes it an installed package

#: Every stage but load and export by its stand-in.
FAKES = dict.fromkeys(("mask", "camera", "object", "clean", "simplify", "unwrap", "bake", "scale"), "fake")
FAKE_FLAGS = [word for task in FAKES for word in ("--backend", f"{task}=fake")]

Command = Callable[..., subprocess.CompletedProcess[str]]


def environment() -> dict[str, str]:
    """The environment of a subprocess that shall find the stand-ins."""
    return {**os.environ, "PYTHONPATH": str(PLUGIN)}


@pytest.fixture(scope="session")
def command() -> Command:
    """Run ``liftform WORDS…`` in a process of its own: (*words, cwd=None) -> CompletedProcess."""

    def run(*words: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "liftform", *map(str, words)]
        return subprocess.run(line, capture_output=True, text=True, cwd=cwd, env=environment(), timeout=120)

    return run


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A red ellipse on white, 96 x 64 px, as ``thing.png``."""
    y, x = np.mgrid[:64, :96]
    inside = ((x - 48) / 30) ** 2 + ((y - 32) / 20) ** 2 < 1
    image = np.where(inside[..., None], np.array([200, 40, 30]), 255).astype(np.uint8)
    path = tmp_path / "thing.png"
    Image.fromarray(image).save(path)
    return path
