"""Ray casting of a finished soup (Embree) and the compiled inner loops: texture lookups, light filtering."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from ...conventions import linear_to_srgb, srgb_to_linear
from .geometry import ByteImage, Soup

FloatArray = NDArray[np.float32]
_DECODE = srgb_to_linear(np.divide(np.arange(256), 255, dtype=np.float32))
#: Largest side of a stored texture: enough for pictures of 200 pixels.
_SIDE = 256


@dataclass(frozen=True)
class Hits:
    """face (N,) int32, -1 for none; u, v (N,) barycentric weights of corners 1 and 2; distance (N,) in lengths of the
    direction, inf for none."""

    face: NDArray[np.int32]
    u: FloatArray
    v: FloatArray
    distance: FloatArray


class Tracer:
    """Triangles (F, 3, 3) made ready for rays."""

    def __init__(self, corners: FloatArray) -> None:
        from embreex.mesh_construction import TriangleMesh
        from embreex.rtcore_scene import EmbreeScene

        self._tree = EmbreeScene()
        vertices = np.ascontiguousarray(corners.reshape(-1, 3), np.float32)
        self._mesh = TriangleMesh(self._tree, vertices, np.arange(len(vertices), dtype=np.int32).reshape(-1, 3))
        nowhere = np.ones((1, 3), np.float32)
        self._tree.run(nowhere, nowhere)

    def cast(self, origins: ArrayLike, directions: ArrayLike) -> Hits:
        """First hits of rays (N, 3)."""
        o, d = (np.ascontiguousarray(x, np.float32) for x in (origins, directions))
        raw = self._tree.run(o, d, output=True)
        face = np.ascontiguousarray(raw["primID"], np.int32)
        return Hits(face, raw["u"], raw["v"], np.where(face >= 0, raw["tfar"], np.float32(np.inf)))

    def blocked(self, origins: ArrayLike, directions: ArrayLike, lengths: ArrayLike | None = None) -> NDArray[np.bool_]:
        """(N,): whether anything lies on each ray within its length (in lengths of the direction)."""
        o, d = (np.ascontiguousarray(x, np.float32) for x in (origins, directions))
        reach = None if lengths is None else np.ascontiguousarray(lengths, np.float32)
        return np.asarray(self._tree.run(o, d, reach, query="OCCLUDED")) >= 0


class World:
    """A soup's arrays, with the textures of all materials in one block of mip levels."""

    def __init__(self, soup: Soup) -> None:
        self.corners = np.concatenate(soup.corners)
        self.normals = np.concatenate(soup.normals)
        self.uv, self.tint = np.concatenate(soup.uv), np.concatenate(soup.tint)
        self.material, self.patch = np.concatenate(soup.material), np.concatenate(soup.patch)
        self.piece = np.concatenate(soup.piece)
        self.patches, self.pieces = soup.patches, soup.pieces
        self.gloss, self.glow = np.array(soup.gloss, np.float32), np.array(soup.glow, np.float32).reshape(-1, 3)
        self.outside = np.array(soup.outside, bool)
        levels = [_mips(t) for t in soup.textures]
        self.texels = np.concatenate([t for t, _ in levels])
        self.start = np.cumsum([0, *(len(t) for t, _ in levels[:-1])]).astype(np.int64)
        self.side = np.array([s for _, s in levels], np.int64)
        cross = np.cross(self.corners[:, 1] - self.corners[:, 0], self.corners[:, 2] - self.corners[:, 0])
        length = np.linalg.norm(cross, axis=1)
        self.area = (length / 2).astype(np.float32)
        self.facing = (cross / np.maximum(length, 1e-12)[:, None]).astype(np.float32)
        a, b = self.uv[:, 1] - self.uv[:, 0], self.uv[:, 2] - self.uv[:, 0]
        spread = np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) / np.maximum(length, 1e-12)
        #: Texels a metre of each face.
        self.density = (np.sqrt(spread) * self.side[self.material]).astype(np.float32)
        self.tracer = Tracer(self.corners)

    def points(self, hits: Hits) -> FloatArray:
        """World points (N, 3) of hits that all found something."""
        return _blend(self.corners, hits.face, hits.u, hits.v)

    def shading_normals(self, hits: Hits, directions: FloatArray) -> FloatArray:
        """Unit normals (N, 3), smooth over round things, turned against the rays."""
        return _normals(self.normals, self.facing, hits.face, hits.u, hits.v, directions)

    def albedo(self, hits: Hits, blur: FloatArray) -> FloatArray:
        """Linear colour (N, 3) at hits that all found something; blur (N,): metres that a sample covers."""
        return _albedo(
            hits.face, hits.u, hits.v, blur, self.uv, self.tint, self.material, self.density,
            self.texels, self.start, self.side, _DECODE,
        )  # fmt: skip


def _mips(texture: ByteImage) -> tuple[NDArray[np.uint8], int]:
    """All mip levels of a texture, largest first, as texels (N, 3), and the side of the first, a power of two."""
    side = 1 if texture.shape[0] == 1 else int(min(_SIDE, 2 ** round(np.log2(max(texture.shape[:2])))))
    if texture.shape[:2] != (side, side):
        texture = np.asarray(Image.fromarray(np.ascontiguousarray(texture)).resize((side, side), Image.Resampling.BOX))
    level = _DECODE[texture]
    out = [texture.reshape(-1, 3)]
    while level.shape[0] > 1:
        n = level.shape[0] // 2
        level = level.reshape(n, 2, n, 2, 3).mean((1, 3))
        out.append((linear_to_srgb(level) * 255 + 0.5).astype(np.uint8).reshape(-1, 3))
    return np.concatenate(out), side


@numba.njit(cache=True)
def _blend(values: Any, face: Any, u: Any, v: Any) -> Any:
    out = np.empty((len(face), 3), np.float32)
    for i in range(len(face)):
        f, b, c = face[i], u[i], v[i]
        a = 1 - b - c
        for k in range(3):
            out[i, k] = a * values[f, 0, k] + b * values[f, 1, k] + c * values[f, 2, k]
    return out


@numba.njit(cache=True)
def _normals(normals: Any, facing: Any, face: Any, u: Any, v: Any, directions: Any) -> Any:
    out = np.empty((len(face), 3), np.float32)
    for i in range(len(face)):
        f, b, c = face[i], u[i], v[i]
        a = 1 - b - c
        x = a * normals[f, 0, 0] + b * normals[f, 1, 0] + c * normals[f, 2, 0]
        y = a * normals[f, 0, 1] + b * normals[f, 1, 1] + c * normals[f, 2, 1]
        z = a * normals[f, 0, 2] + b * normals[f, 1, 2] + c * normals[f, 2, 2]
        length = np.sqrt(x * x + y * y + z * z)
        if length < 1e-6:
            x, y, z, length = facing[f, 0], facing[f, 1], facing[f, 2], 1.0
        along = x * directions[i, 0] + y * directions[i, 1] + z * directions[i, 2]
        sign = -1.0 / length if along > 0 else 1.0 / length
        out[i, 0], out[i, 1], out[i, 2] = x * sign, y * sign, z * sign
    return out


@numba.njit(cache=True)
def _albedo(
    face: Any, u: Any, v: Any, blur: Any, uv: Any, tint: Any, material: Any, density: Any,
    texels: Any, start: Any, side: Any, decode: Any,
) -> Any:  # fmt: skip
    out = np.empty((len(face), 3), np.float32)
    for i in range(len(face)):
        f, b, c = face[i], u[i], v[i]
        a = 1 - b - c
        m = material[f]
        size, first = side[m], start[m]
        footprint = blur[i] * density[f]
        while footprint > 1.4 and size > 1:
            first += size * size
            size //= 2
            footprint *= 0.5
        s = (a * uv[f, 0, 0] + b * uv[f, 1, 0] + c * uv[f, 2, 0]) % 1.0 * size - 0.5
        t = (a * uv[f, 0, 1] + b * uv[f, 1, 1] + c * uv[f, 2, 1]) % 1.0 * size - 0.5
        x0, y0 = int(np.floor(s)), int(np.floor(t))
        fx, fy = s - x0, t - y0
        x1, y1 = (x0 + 1) % size, (y0 + 1) % size
        x0, y0 = x0 % size, y0 % size
        p, q, r, w = first + y0 * size + x0, first + y0 * size + x1, first + y1 * size + x0, first + y1 * size + x1
        for k in range(3):
            top = decode[texels[p, k]] * (1 - fx) + decode[texels[q, k]] * fx
            low = decode[texels[r, k]] * (1 - fx) + decode[texels[w, k]] * fx
            factor = a * tint[f, 0, k] + b * tint[f, 1, k] + c * tint[f, 2, k]
            out[i, k] = (top * (1 - fy) + low * fy) * factor
    return out


@numba.njit(cache=True)
def smooth(light: Any, normal: Any, point: Any, depth: Any, step: int) -> Any:
    """One pass of an edge-avoiding wavelet filter (Dammertz et al. 2010): light, normals and points (H, W, 3), depth
    (H, W), inf for none. Only pixels that lie in one another's plane mix."""
    height, width = depth.shape
    kernel = (0.375, 0.25, 0.0625)
    out = light.copy()
    for y in range(height):
        for x in range(width):
            z = depth[y, x]
            if not np.isfinite(z):
                continue
            n0, n1, n2 = normal[y, x, 0], normal[y, x, 1], normal[y, x, 2]
            p0, p1, p2 = point[y, x, 0], point[y, x, 1], point[y, x, 2]
            total, r, g, b = 0.0, 0.0, 0.0, 0.0
            for dy in range(-2, 3):
                yy = y + dy * step
                if yy < 0 or yy >= height:
                    continue
                for dx in range(-2, 3):
                    xx = x + dx * step
                    if xx < 0 or xx >= width or not np.isfinite(depth[yy, xx]):
                        continue
                    same = n0 * normal[yy, xx, 0] + n1 * normal[yy, xx, 1] + n2 * normal[yy, xx, 2]
                    if same < 0.85:
                        continue
                    d0, d1, d2 = point[yy, xx, 0] - p0, point[yy, xx, 1] - p1, point[yy, xx, 2] - p2
                    off = abs(n0 * d0 + n1 * d1 + n2 * d2)
                    if off > 0.012 * z or d0 * d0 + d1 * d1 + d2 * d2 > 0.06 * z * z * step:
                        continue
                    weight = kernel[abs(dx)] * kernel[abs(dy)] * (same - 0.84)
                    total += weight
                    r += weight * light[yy, xx, 0]
                    g += weight * light[yy, xx, 1]
                    b += weight * light[yy, xx, 2]
            if total > 0:
                out[y, x, 0], out[y, x, 1], out[y, x, 2] = r / total, g / total, b / total
    return out


@numba.njit(cache=True)
def upsample(light: Any, normal: Any, depth: Any, fine_normal: Any, fine_depth: Any, factor: int) -> Any:
    """Light (H, W, 3) at ``factor`` times the size: of the 3 x 3 nearest pixels, those that lie on the same surface."""
    height, width = fine_depth.shape
    out = np.zeros((height, width, 3), np.float32)
    for y in range(height):
        for x in range(width):
            z = fine_depth[y, x]
            if not np.isfinite(z):
                continue
            cy, cx = y // factor, x // factor
            total, best = 0.0, -1.0
            for yy in range(max(0, cy - 1), min(depth.shape[0], cy + 2)):
                for xx in range(max(0, cx - 1), min(depth.shape[1], cx + 2)):
                    same = (
                        normal[yy, xx, 0] * fine_normal[y, x, 0]
                        + normal[yy, xx, 1] * fine_normal[y, x, 1]
                        + normal[yy, xx, 2] * fine_normal[y, x, 2]
                    )
                    far = abs(depth[yy, xx] - z) / z if np.isfinite(depth[yy, xx]) else 10.0
                    weight = max(same, 0.02) ** 4 * np.exp(-far * 40) + 1e-9
                    if yy == cy and xx == cx:
                        weight *= 2
                    total += weight
                    best = max(best, weight)
                    for k in range(3):
                        out[y, x, k] += weight * light[yy, xx, k]
            for k in range(3):
                out[y, x, k] /= total
    return out
