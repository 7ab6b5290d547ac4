"""Plain peers of the radiance field in torch: NeRF's network, and a dense voxel grid; small, honest, given equal time.

NeRF: Mildenhall et al., ECCV 2020 (positional encoding, one network of 4 x 128, 96 samples a ray). Voxels: density and
colour on a dense grid with trilinear interpolation and Adam (Plenoxels of degree 0, without its sparsity).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ..capture import Capture, Photo
from ..reconstruct.rays import Extent, FloatArray, extent, pixel_turn, rays
from ..runtime import need

#: Rays a step, and samples of each.
_RAYS, _SAMPLES = 1024, 96
Draw = Callable[[Photo], FloatArray]


def nerf(capture: Capture, minutes: float, seed: int) -> Draw:
    """A network of positions and directions, learnt for ``minutes``."""
    torch: Any = need("torch", "torch")
    torch.manual_seed(seed)
    nn = torch.nn
    deep = [layer for _ in range(3) for layer in (nn.Linear(128, 128), nn.ReLU())]
    body = nn.Sequential(nn.Linear(63, 128), nn.ReLU(), *deep)
    density, color = nn.Linear(128, 1), nn.Sequential(nn.Linear(128 + 27, 64), nn.ReLU(), nn.Linear(64, 3))

    def encoded(x: Any, octaves: int) -> Any:
        scaled = torch.cat([x * 2.0**k * np.pi for k in range(octaves)], -1)
        return torch.cat([x, torch.sin(scaled), torch.cos(scaled)], -1)

    def field(places: Any, directions: Any) -> tuple[Any, Any]:
        inner = body(encoded(places, 10))
        seen = encoded(directions, 4).expand(*inner.shape[:-1], 27)
        return nn.functional.softplus(density(inner)[..., 0] - 1), color(torch.cat([inner, seen], -1))

    weights = [*body.parameters(), *density.parameters(), *color.parameters()]
    return _learnt(torch, capture, minutes, seed, field, torch.optim.Adam(weights, 1e-3))


def voxels(capture: Capture, minutes: float, seed: int) -> Draw:
    """A dense grid of 128^3, learnt for ``minutes``."""
    torch: Any = need("torch", "torch")
    torch.manual_seed(seed)
    grid = torch.zeros(1, 4, 128, 128, 128)
    grid.requires_grad_(True)

    def field(places: Any, directions: Any) -> tuple[Any, Any]:
        at = places.reshape(1, -1, 1, 1, 3)
        found = torch.nn.functional.grid_sample(grid, at, align_corners=True)[0, :, :, 0, 0].T
        found = found.reshape(*places.shape[:-1], 4)
        return torch.nn.functional.softplus(found[..., 0] - 2), found[..., 1:]

    return _learnt(torch, capture, minutes, seed, field, torch.optim.Adam([grid], 0.05))


def _learnt(torch: Any, capture: Capture, minutes: float, seed: int, field: Any, optimiser: Any) -> Draw:
    """Random rays until the time is over; then a function that draws."""
    box = extent(capture)
    data, rng = rays(capture, None), np.random.default_rng(seed)
    end = time.perf_counter() + 60 * minutes
    masked = data.alphas is not None
    while time.perf_counter() < end:
        index = rng.integers(0, data.count, _RAYS)
        origins, directions, _ = data.of(index)
        truth = torch.from_numpy(data.colors[index].astype(np.float32) / 255)
        if data.alphas is not None:
            alpha = torch.from_numpy(data.alphas[index].astype(np.float32) / 255)[:, None]
            truth = truth * alpha + 1 - alpha
        color, left = _rendered(torch, field, box, origins, directions, rng.random((_RAYS, _SAMPLES), np.float32))
        loss = ((color + left[:, None] * float(masked) - truth) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    def draw(photo: Photo) -> FloatArray:
        width, height = photo.size
        turn, centre = pixel_turn(photo, width, height)
        x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
        ways = (np.stack([x, y, np.ones_like(x)], -1).reshape(-1, 3) @ turn.T).astype(np.float32)
        parts = []
        with torch.no_grad():
            for start in range(0, len(ways), 4096):
                some = ways[start : start + 4096]
                from_ = np.broadcast_to(centre.astype(np.float32), some.shape)
                jitter = np.full((len(some), _SAMPLES), 0.5, np.float32)
                color, left = _rendered(torch, field, box, from_, some, jitter)
                parts.append((color + left[:, None] * float(masked)).clamp(0, 1).numpy())
        picture: FloatArray = np.concatenate(parts).reshape(height, width, 3)
        return picture

    return draw


def _rendered(torch: Any, field: Any, box: Extent, origins: Any, directions: Any, jitter: Any) -> tuple[Any, Any]:
    """Colours (N, 3) and the light (N,) that passes, by samples even in the box, or in inverse distance without one."""
    steps = (np.arange(_SAMPLES, dtype=np.float32) + jitter) / _SAMPLES
    middle, half = 0.5 * (box.low + box.high), 0.5 * box.size
    if box.kind == "object":
        with np.errstate(divide="ignore", invalid="ignore"):
            a, b = (box.low - origins) / directions, (box.high - origins) / directions
        near = np.nanmax(np.minimum(a, b), 1, keepdims=True).clip(0)
        far = np.maximum(np.nanmin(np.maximum(a, b), 1, keepdims=True), near + 1e-6)
        t = near + steps * (far - near)
    else:
        t = 1 / ((1 - steps) / (0.5 * box.near) + steps / (200 * box.near))
    places = (origins[:, None] + t[..., None] * directions[:, None] - middle) / half
    if box.kind != "object":  # what lies far away is drawn in (mip-NeRF 360), to [-1, 1]
        size = np.linalg.norm(places, axis=-1, keepdims=True).clip(1)
        places = places / size * (2 - 1 / size) / 2
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    ways = torch.from_numpy(unit.astype(np.float32))[:, None]
    density, color = field(torch.from_numpy(places.astype(np.float32)), ways)
    gaps = np.diff(t, axis=1, append=t[:, -1:] * 2 - t[:, -2:-1]) / float(half.max())
    thick = density * torch.from_numpy(gaps.astype(np.float32)) * 64
    through = torch.exp(-torch.cumsum(thick, 1))
    before = torch.cat([torch.ones_like(through[:, :1]), through[:, :-1]], 1)
    weights = before - through
    return (weights[..., None] * torch.sigmoid(color)).sum(1), through[:, -1]


PEERS: dict[str, Callable[[Capture, float, int], Draw]] = {"nerf": nerf, "voxels": voxels}
