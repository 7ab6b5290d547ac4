"""Photos with known cameras -> 3D Gaussian splats, optimised on the CPU: tile rasteriser in numba, analytic gradients.

B. Kerbl, G. Kopanas, T. Leimkühler, G. Drettakis, "3D Gaussian Splatting for Real-Time Radiance Field Rendering",
SIGGRAPH 2023.
"""

from __future__ import annotations

from collections.abc import Callable

from ...assets import Splats
from ...capture import Capture
from ...runtime import Runtime, need
from .options import SplatsOptions

__all__ = ["SplatsOptions", "splats"]


def splats(options: SplatsOptions, runtime: Runtime) -> Callable[[Capture], Splats]:
    """Capture (straight, with cameras) -> Splats in the world frame.

    The Gaussians begin at measured depths, shared points or silhouettes, whatever the capture has. The call raises
    ReconstructionError (no cameras, silhouettes without anything in common), DivergedError (numbers not finite any
    more), UnreadableError (a checkpoint of something else) and MissingExtraError (no numba).
    """
    need("numba", "fields")
    from .fit import fitted

    return lambda capture: fitted(capture, options, runtime)
