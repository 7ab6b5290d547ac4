"""The networks that are trained here, by name: how each is read, run, made and judged. Naming one loads nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import UnreadableError


@dataclass(frozen=True)
class Network:
    """One row: the module of its training, its functions there, and its class in the zoo ("module:class")."""

    module: str
    train: str
    loss: str
    net: str

    def run(self, recipe: Path, changes: Sequence[str]) -> tuple[Any, Path]:
        """Train by a recipe file with changes; returns the loop's Progress and where the checkpoint lies."""
        module = import_module(f".{self.module}", __package__)
        options = module.read_recipe(recipe, changes)
        return getattr(module, self.train)(options), options.loop.checkpoint

    def make(self) -> Any:
        """A fresh network, its weights random."""
        module, _, name = self.net.partition(":")
        return getattr(import_module(f"..zoo.{module}", __package__), name)()

    def loss_fn(self) -> Callable[..., Any]:
        """Its loss function, as ``loop.fit`` takes it."""
        return getattr(import_module(f".{self.module}", __package__), self.loss)


NETWORKS = {
    "object": Network("object", "train_object", "loss_fn", "object_net:ObjectNet"),
    "mask": Network("mask", "train_mask", "loss", "mask_net:MaskNet"),
    "depth": Network("depth", "train_depth", "loss_fn", "depth_net:DepthNet"),
    "stereo": Network("stereo", "train_stereo", "loss_fn", "stereo_net:StereoNet"),
    "plan": Network("plan", "train_plan", "loss", "plan_net:PlanNet"),
}


def of_class(name: str) -> Network:
    """The row whose network's class is called ``name``. Raises UnreadableError for a class that is not in the table."""
    for row in NETWORKS.values():
        if row.net.endswith(f":{name}"):
            return row
    raise UnreadableError(f"a network called {name!r} is not trained here", "use the version that wrote the file")
