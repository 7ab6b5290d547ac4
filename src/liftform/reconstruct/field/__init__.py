"""Photos with known cameras -> a radiance field, learnt on the CPU: sparse voxel bricks in numba, own slopes.

Close to DVGO (Sun et al., CVPR 2022) and Plenoxels (Fridovich-Keil et al., CVPR 2022), decoded once a ray as SNeRG
(Hedman et al., ICCV 2021).
"""

from __future__ import annotations

from collections.abc import Callable

from ...assets import RadianceField
from ...capture import Capture
from ...runtime import Runtime, need
from .options import FieldOptions

__all__ = ["FieldOptions", "field"]


def field(options: FieldOptions, runtime: Runtime) -> Callable[[Capture], RadianceField]:
    """Capture (straight, with cameras) -> RadianceField in the world frame.

    The same capture, options and seed give the same bytes where ``steps`` are given, on one machine and number of
    threads. Ctrl-C while it learns ends the learning, not the call: the field comes as it is then. The call raises
    ReconstructionError (no cameras, silhouettes without anything in common), DivergedError (numbers not finite any
    more), UnreadableError (a checkpoint of something else) and MissingExtraError (no numba).
    """
    need("numba", "fields")
    from .fit import fitted

    return lambda capture: fitted(capture, options, runtime)
