"""What lies beyond the box of an implicit surface: nested spheres of coloured, partly transparent texture.

A multi-sphere image (Attal et al. 2020) as a background model: sphere k has radius ``radius / (1 - k / K)``, the last
is far away; a ray meets each where it leaves it. Textures are laid out by longitude and latitude.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

#: Spheres, and texels of each down; twice as many across.
_SPHERES, _ROWS = 6, 96
#: The last sphere's radius, in multiples of the first.
_FAR = 60.0


@numba.njit(cache=True)
def _texel(o: Any, d: Any, radius: Any, rows: Any) -> Any:
    """Column and row of the texture where a ray leaves the sphere about the origin, and whether it meets it."""
    along = o[0] * d[0] + o[1] * d[1] + o[2] * d[2]
    square = along * along - (o[0] * o[0] + o[1] * o[1] + o[2] * o[2]) + radius * radius
    if square <= 0:
        return 0.0, 0.0, False
    t = -along + np.sqrt(square)
    if t <= 0:
        return 0.0, 0.0, False
    x, y, z = o[0] + t * d[0], o[1] + t * d[1], o[2] + t * d[2]
    across = (np.arctan2(x, z) / (2 * np.pi) + 0.5) * 2 * rows
    down = np.arccos(min(max(y / radius, -1.0), 1.0)) / np.pi * rows
    return across, min(max(down - 0.5, 0.0), rows - 1.001), True


@numba.njit(cache=True)
def _looked_up(texture: Any, u: Any, v: Any, out: Any) -> None:
    rows, columns = texture.shape[0], texture.shape[1]
    i, j = int(v), int(np.floor(u - 0.5))
    a, b = v - i, u - 0.5 - j
    for c in range(4):
        above = texture[i, j % columns, c] * (1 - b) + texture[i, (j + 1) % columns, c] * b
        below = texture[min(i + 1, rows - 1), j % columns, c] * (1 - b)
        below += texture[min(i + 1, rows - 1), (j + 1) % columns, c] * b
        out[c] = above * (1 - a) + below * a


@numba.njit(cache=True)
def _spread(texture: Any, u: Any, v: Any, pull: Any) -> None:
    rows, columns = texture.shape[0], texture.shape[1]
    i, j = int(v), int(np.floor(u - 0.5))
    a, b = v - i, u - 0.5 - j
    for c in range(4):
        texture[i, j % columns, c] += (1 - a) * (1 - b) * pull[c]
        texture[i, (j + 1) % columns, c] += (1 - a) * b * pull[c]
        texture[min(i + 1, rows - 1), j % columns, c] += a * (1 - b) * pull[c]
        texture[min(i + 1, rows - 1), (j + 1) % columns, c] += a * b * pull[c]


@numba.njit(cache=True)
def colors_of(origins: Any, directions: Any, radii: Any, textures: Any, out: Any) -> None:
    """out (N, 3): colours of rays about the spheres' middle; textures (K, rows, columns, 4): colour, and log-odds of
    opacity; the last sphere is opaque."""
    value = np.empty(4)
    for n in range(len(origins)):
        light = 1.0
        out[n] = 0.0
        for k in range(len(radii)):
            u, v, met = _texel(origins[n], directions[n], radii[k], textures.shape[1])
            if not met:
                continue
            _looked_up(textures[k], u, v, value)
            alpha = 1.0 if k == len(radii) - 1 else 1 / (1 + np.exp(-value[3]))
            for c in range(3):
                out[n, c] += light * alpha * value[c]
            light *= 1 - alpha


@numba.njit(cache=True)
def colors_back(origins: Any, directions: Any, radii: Any, textures: Any, pulls: Any, by: Any) -> None:
    """Add to by (K, rows, columns, 4) the derivatives by the textures, given those by the colours, pulls (N, 3)."""
    spheres = len(radii)
    values, places, lights, alphas = (
        np.empty((spheres, 4)),
        np.empty((spheres, 2)),
        np.empty(spheres),
        np.empty(spheres),
    )
    pull = np.empty(4)
    for n in range(len(origins)):
        light = 1.0
        for k in range(spheres):
            u, v, met = _texel(origins[n], directions[n], radii[k], textures.shape[1])
            places[k, 0], places[k, 1], lights[k], alphas[k] = u, v, light, 0.0
            if met:
                _looked_up(textures[k], u, v, values[k])
                alphas[k] = 1.0 if k == spheres - 1 else 1 / (1 + np.exp(-values[k, 3]))
                light *= 1 - alphas[k]
        behind = 0.0
        for k in range(spheres - 1, -1, -1):
            if alphas[k] == 0.0:
                continue
            here = 0.0
            for c in range(3):
                here += pulls[n, c] * values[k, c]
                pull[c] = lights[k] * alphas[k] * pulls[n, c]
            pull[3] = 0.0 if k == spheres - 1 else lights[k] * (here - behind) * alphas[k] * (1 - alphas[k])
            _spread(by[k], places[k, 0], places[k, 1], pull)
            behind = alphas[k] * here + (1 - alphas[k]) * behind


@dataclass
class Shells:
    """A background. middle (3,) and radii (K,) in the box's unit; textures (K, rows, 2 rows, 4); m, v: of Adam."""

    middle: NDArray[np.float64]
    radii: NDArray[np.float64]
    textures: FloatArray
    m: FloatArray
    v: FloatArray

    @classmethod
    def around(cls, middle: NDArray[np.float64], radius: float) -> Shells:
        """Grey spheres from ``radius`` on, nearly clear but for the last."""
        radii = radius / np.maximum(1 - np.arange(_SPHERES) / (_SPHERES - 1), 1 / _FAR)
        textures = np.full((_SPHERES, _ROWS, 2 * _ROWS, 4), 0.5, np.float32)
        textures[..., 3] = -2.5
        return cls(middle, radii, textures, np.zeros_like(textures), np.zeros_like(textures))

    def colors(self, origins: NDArray[np.floating], directions: NDArray[np.floating]) -> FloatArray:
        """Colours (N, 3) that rays in the box's unit would have without the box."""
        out = np.empty((len(origins), 3), np.float32)
        colors_of(origins - self.middle, directions, self.radii, self.textures, out)
        return out

    def learn(
        self, origins: NDArray[np.floating], directions: NDArray[np.floating], pulls: FloatArray, rate: float
    ) -> None:
        """One step of Adam, given derivatives (N, 3) by the colours; texels that no ray met stay."""
        by = np.zeros_like(self.textures)
        colors_back(origins - self.middle, directions, self.radii, self.textures, pulls, by)
        met = by != 0
        self.m[met] = 0.9 * self.m[met] + 0.1 * by[met]
        self.v[met] = np.maximum(0.99 * self.v[met], by[met] ** 2)
        self.textures[met] -= rate * self.m[met] / (np.sqrt(self.v[met]) + 1e-12)
