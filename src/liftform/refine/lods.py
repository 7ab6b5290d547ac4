"""A mesh -> levels of detail: each reduced from the last, with seams, borders and materials kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..assets import Mesh
from ..errors import UsageError
from ..recipe import option
from ..runtime import Runtime
from .deviation import Yardstick
from .reduce import ReduceOptions, reduce


@dataclass(frozen=True)
class LodOptions:
    """Levels of detail."""

    budgets: str | None = option(None, "face budgets of coarser levels of detail: 20k,5k,1k", "lod")

    @property
    def wanted(self) -> bool:
        """Whether any level is asked for."""
        return bool(self.numbers())

    def numbers(self) -> tuple[int, ...]:
        """The budgets; () for none. Raises UsageError for anything that is no list of numbers."""
        words = [word.strip().lower() for word in (self.budgets or "").split(",") if word.strip()]
        try:
            return tuple(round(1000 * float(w[:-1])) if w.endswith("k") else int(w) for w in words)
        except ValueError as error:
            raise UsageError(f"--lod {self.budgets!r} is no list of face budgets", "as in --lod 20k,5k,1k") from error


def levels(options: LodOptions, runtime: Runtime) -> Callable[[Mesh], tuple[Mesh, ...]]:
    """Backend: a mesh -> the levels that were asked for, see ``lods``."""
    budgets = _falling(options.numbers())
    return lambda mesh: lods(mesh, budgets, runtime)


def lods(mesh: Mesh, budgets: Sequence[int], runtime: Runtime) -> tuple[Mesh, ...]:
    """One mesh for every face budget, finest first; they share the mesh's textures, uv and materials.

    A level with nothing left to reduce is the level above. metadata["lod"]: level (1 the finest), faces, and the
    deviation from ``mesh`` itself. Raises UsageError unless budgets are positive and fall.
    """
    _falling(budgets)
    yardstick, out, current = Yardstick(mesh), [], mesh
    for level, budget in enumerate(budgets, 1):
        current = reduce(ReduceOptions(faces=budget), runtime)(current)
        runtime.progress("lods", level / len(budgets))
        facts = {"level": level, "faces": len(current.faces), "deviation": yardstick(current).facts()}
        out.append(current.with_(name=f"{mesh.name}_lod{level}", metadata={**current.metadata, "lod": facts}))
    return tuple(out)


def _falling(budgets: Sequence[int]) -> Sequence[int]:
    """The budgets, if each is below the last."""
    if any(b < 4 for b in budgets) or any(a <= b for a, b in pairwise(budgets)):
        raise UsageError(f"levels of detail must become coarser: {list(budgets)}", "write them as 20000 5000 1000")
    return budgets
