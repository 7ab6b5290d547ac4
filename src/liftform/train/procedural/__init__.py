"""Objects that no library holds, each from a number: assemblies, racks, vessels, bodies, profiles, vehicles, houses.

They widen the corpus where it is narrow (the idea: Xie et al., "LRM-Zero: Training large reconstruction models with
synthesized data", 2024). A row of the manifest whose ``source`` is ``procedural`` is built from its seed, not read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import render
from ..corpus import Row
from ..textures import Rng
from . import assemblies, bodies, turnery
from .pieces import Piece
from .skins import skinned

SOURCE = "procedural"

#: Share of each kind: the ones that look like things first.
_KINDS: dict[str, tuple[Callable[[Rng], list[Piece]], float]] = {
    "assembly": (assemblies.stacked, 0.2),
    "array": (assemblies.repeated, 0.1),
    "profile": (assemblies.profile, 0.12),
    "vehicle": (assemblies.vehicle, 0.08),
    "house": (assemblies.house, 0.07),
    "vessel": (turnery.vessel, 0.18),
    "spindle": (turnery.spindle, 0.07),
    "body": (bodies.body, 0.13),
    "rock": (bodies.rock, 0.05),
}


def rows(count: int, first: int = 0) -> list[Row]:
    """Manifest rows of ``count`` objects from seed ``first`` on; the family is the seed's own, so none repeats."""
    return [
        {
            "id": f"{SOURCE}__{kind_of(seed)}_{seed:06d}",
            "seed": seed,
            "file": "",
            "kind": "model",
            "source": SOURCE,
            "family": f"{SOURCE}/{seed:06d}",
            "category": kind_of(seed),
            "split": "train",
            "licence": "CC0-1.0",
            "credit": "liftform",
        }
        for seed in range(first, first + count)
    ]


def kind_of(seed: int) -> str:
    """Which kind of thing a seed makes."""
    shares = np.array([share for _, share in _KINDS.values()])
    return list(_KINDS)[int(np.random.default_rng([seed, 0]).choice(len(shares), p=shares / shares.sum()))]


def surface(seed: int) -> tuple[render.Surface, Any]:
    """The object of a seed as (Surface, trimesh mesh): centred, longest side 1, +Y up, front towards +Z.

    Its parts are closed and may run into each other: what is inside any of them is inside.
    """
    rng = np.random.default_rng([seed, 1])
    return skinned(_KINDS[kind_of(seed)][0](rng), rng)
