"""A mesh -> levels of detail: each reduced from the last, with seams, borders and materials kept."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from ..assets import Mesh
from ..errors import UsageError
from ..runtime import Runtime
from .deviation import Yardstick
from .reduce import ReduceOptions, reduce


def lods(mesh: Mesh, budgets: Sequence[int], runtime: Runtime) -> tuple[Mesh, ...]:
    """One mesh for every face budget, finest first; they share the mesh's textures, uv and materials.

    A level with nothing left to reduce is the level above. metadata["lod"]: level (1 the finest), faces, and the
    deviation from ``mesh`` itself. Raises UsageError unless budgets are positive and fall.
    """
    if any(b < 4 for b in budgets) or any(a <= b for a, b in pairwise(budgets)):
        raise UsageError(f"levels of detail must become coarser: {list(budgets)}", "write them as 20000 5000 1000")
    yardstick, out, current = Yardstick(mesh), [], mesh
    for level, budget in enumerate(budgets, 1):
        current = reduce(ReduceOptions(faces=budget), runtime)(current)
        runtime.progress("lods", level / len(budgets))
        facts = {"level": level, "faces": len(current.faces), "deviation": yardstick(current).facts()}
        out.append(current.with_(name=f"{mesh.name}_lod{level}", metadata={**current.metadata, "lod": facts}))
    return tuple(out)
