"""What a depth hypothesis costs, and where learned costs plug in: the arrays, their meaning, the protocol ``Matcher``.

**Hypotheses.** A pixel (u, v) of a view carries a slanted plane, as inverse depth and its slope: planes[v, u] = (w, wx,
wy), w = 1 / z at the pixel's centre (u + 0.5, v + 0.5), wx and wy its change per pixel to the right and down. Inverse
depth is linear over the picture of a plane, so that w + wx du + wy dv continues it exactly. The normal follows: n ~
-(wx fx, wy fy, w - wx (u + 0.5 - cx) - wy (v + 0.5 - cy)), camera frame, towards the camera.

**Photometric cost.** For each other view, m = 1 - NCC in [0, 2] of bilaterally weighted 9 x 9 patches (every second
pixel, 25 samples) of grey, warped by the plane; 2 where the plane leaves the other picture or falls off its mask. The
views of a pixel are weighted by how well they see what lies around it (Xu and Tao 2019, ACMH), and from the second
level on each adds its geometric error: by how many pixels a point misses when it is sent to the other view and back
by that view's own depth (ACMM).

**Learned costs** enter in two ways, both optional, by an object with the two methods of ``Matcher``:

- ``features``: descriptors of a picture. Then m becomes (1 - share) (1 - NCC) + share (1 - <f, f'>), where f is the
  descriptor at the pixel and f' that at the plane's place in the other view, both bilinear, share = ``FEATURE_SHARE``
  (or the matcher's attribute ``share``). It is called once a view and level, with the picture of that level.
- ``propose``: a depth map of a view, made from it and its neighbours (a regularised cost volume), with how sure it is.
  Called once a view, at the coarsest level (``View.image`` is then small). Its planes are among the first hypotheses
  there, are tried again at every level, and where it is sure the cost of a hypothesis rises by up to ``PRIOR`` times
  ``sure`` as it moves away from it (by ``PRIOR_PX`` pixels of disparity and more). So it decides where pictures are
  plain, and hardly elsewhere.

Nothing else changes: propagation, refinement, filtering are the same. A matcher must be deterministic, and is called
from one thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...camera import Camera

FloatArray = NDArray[np.float32]

#: How much of a cost is the descriptors' where there are any; how much a sure proposal may add, and from what distance.
FEATURE_SHARE = 0.5
PRIOR = 0.3
PRIOR_PX = 2.0


@dataclass(frozen=True)
class View:
    """One photo at the size of a level.

    image (H, W, 3) float32, sRGB in [0, 1]; camera: pinhole, of this size, the world is the capture's; mask (H, W)
    bool, False where nothing is to be reconstructed, or None. number: of the photo in its capture.
    """

    number: int
    image: FloatArray
    camera: Camera
    mask: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Proposal:
    """A depth map to start from. All maps cover the whole photo, at any one size.

    z (h, w) float32 z-distance, NaN where unknown. sure (h, w) float32 in [0, 1]: the probability that it lies within
    about a pixel of disparity. normals (h, w, 3) float32 unit, camera frame, towards the camera, or None: then the
    slope of z is taken.
    """

    z: FloatArray
    sure: FloatArray
    normals: FloatArray | None = None


class Matcher(Protocol):
    """Learned costs; either method may answer None: it has nothing to say."""

    def features(self, view: View) -> FloatArray | None:
        """Descriptors (h, w, C) float32 of unit length, covering the whole picture at its size or a fraction of it."""
        ...

    def propose(self, view: View, others: Sequence[View], near: float, far: float) -> Proposal | None:
        """Depth of ``view`` from ``others`` (best first), between the z-distances near and far."""
        ...
