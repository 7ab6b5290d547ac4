"""The stereo network from pictures to depth, with gradients: all stages in the order that they have in use."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..zoo import stereo_warp
from ..zoo.stereo_net import DEPTHS, FINER, GROUPS, Found, StereoNet, doubled
from .loop import Batch


class Stage(NamedTuple):
    """base (B, h, w): inverse depth of hypothesis 0; step (B,): from one to the next; what was found among them."""

    base: Tensor
    step: Tensor
    found: Found


class Answer(NamedTuple):
    """inverse (B, H, W): inverse depth at the picture's size; log_error (B, H, W): of its expected error in ``step``
    (B,); the three stages."""

    inverse: Tensor
    log_error: Tensor
    step: Tensor
    stages: list[Stage]


def through(net: StereoNet, batch: Batch) -> Answer:
    """images (B, V, 3, H, W), turn (B, V - 1, 3, 3), shift (B, V - 1, 3), ends (B, 2) inverse depths, depths (): D."""
    images, ends = batch["images"], batch["ends"]
    b, v = images.shape[:2]
    maps = [f.float().unflatten(0, (b, v)) for f in net.features(images.flatten(0, 1))]
    depths, stages = int(batch["depths"]), list[Stage]()
    step = (ends[:, 0] - ends[:, 1]) / (depths - 1)
    h, w = maps[0].shape[-2:]
    base, trust = ends[:, 1, None, None].expand(-1, h, w), torch.ones(b, v - 1, h, w, device=images.device)
    for number, volume in enumerate((net.coarse, net.middle, net.fine)):
        scale = 8 >> number
        pair = [compared(maps[number], batch, k, base, step, depths, GROUPS[number], scale) for k in range(v - 1)]
        if number == 0:
            trust = torch.stack([_trust(net, likeness, seen) for likeness, seen in pair], 1)
        found = volume(_joined(pair, trust), maps[number][:, 0], depths)
        stages.append(Stage(base, step, found))
        place = base + found.index * step[:, None, None]
        if number < 2:
            depths, step = DEPTHS[number], step / FINER
            base = doubled(place.detach()[:, None])[:, 0] - 0.5 * (depths - 1) * step[:, None, None]
            trust = doubled(trust.detach())
    unit = step[:, None, None, None]
    sure = [F.interpolate(s.found.sure[:, None], size=place.shape[-2:], mode="nearest") for s in stages]
    steps, log_error = net.finish(maps[2][:, 0], place[:, None] / unit, sure[2], sure[0])
    return Answer((steps * unit)[:, 0], log_error[:, 0], step, stages)


def _trust(net: StereoNet, likeness: Tensor, seen: Tensor) -> Tensor:
    """Likeness (B, h, w, D, G) and seen (B, h, w, D) of one neighbour -> (B, h, w)."""
    return net.trust(likeness.permute(0, 3, 4, 1, 2), seen.permute(0, 3, 1, 2))


def _joined(pair: list[tuple[Tensor, Tensor]], trust: Tensor) -> Tensor:
    """All neighbours' likeness as one volume (B * D, G + 1, h, w): means by trust, and the share that sees it."""
    weights = [trust[:, k, :, :, None] * seen for k, (_, seen) in enumerate(pair)]
    total = sum((w[..., None] * likeness for w, (likeness, _) in zip(weights, pair, strict=True)), torch.zeros(()))
    seen = sum(weights, torch.zeros(()))
    mean = total / (seen[..., None] + 1e-4)
    share = seen / (trust.sum(1)[..., None] + 1e-4)
    return torch.cat([mean, share[..., None]], -1).permute(0, 3, 4, 1, 2).flatten(0, 1)


def compared(
    maps: Tensor, batch: Batch, k: int, base: Tensor, step: Tensor, depths: int, groups: int, scale: int
) -> tuple[Tensor, Tensor]:
    """Likeness (B, h, w, D, G) of the first view to neighbour k, and where it was seen (B, h, w, D).

    maps (B, V, C, h, w): descriptors at 1 / ``scale`` of the pictures' size.
    """
    turn, shift = scaled(batch["turn"][:, k], batch["shift"][:, k], scale)
    first, second = maps[:, 0], maps[:, k + 1]
    if maps.device.type != "cpu":
        return by_grid(first, second, turn, shift, base, step, depths, groups)
    out = [
        _Likeness.apply(f.permute(1, 2, 0), s.permute(1, 2, 0), t, o, b, float(d), depths, groups)
        for f, s, t, o, b, d in zip(first, second, turn, shift, base, step, strict=True)
    ]
    return torch.stack([a for a, _ in out]), torch.stack([b for _, b in out])


def scaled(turn: Tensor, shift: Tensor, scale: int) -> tuple[Tensor, Tensor]:
    """The relation (B, 3, 3), (B, 3) of two views between pictures of 1 / ``scale`` of their size."""
    small = turn.new_tensor([1 / scale, 1 / scale, 1.0])
    return small[:, None] * turn / small, small * shift


class _Likeness(torch.autograd.Function):
    """``stereo_warp.add_likeness`` of one pair of views; hypotheses have no gradient."""

    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
        turn, shift, base, step, depths, groups = rest
        arrays = [_array(x) for x in (first, second, turn, shift, base)]
        h, w, _ = arrays[0].shape
        total, seen = np.zeros((h, w, depths, groups), np.float32), np.zeros((h, w, depths), np.float32)
        one = np.ones((h, w), np.float32)
        a, b, c, d, e = arrays
        stereo_warp.add_likeness(a, b, c, d, e, np.float32(step), one, total, seen)
        ctx.arrays, ctx.step = arrays, np.float32(step)
        shown = torch.from_numpy(seen)
        ctx.mark_non_differentiable(shown)
        return torch.from_numpy(total), shown

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        first, second, turn, shift, base = ctx.arrays
        to_first, to_second = np.zeros_like(first), np.zeros_like(second)
        slope = _array(gradients[0])
        stereo_warp.likeness_gradient(first, second, turn, shift, base, ctx.step, slope, to_first, to_second)
        return (torch.from_numpy(to_first), torch.from_numpy(to_second), *(None,) * 6)


def _array(x: Tensor) -> Any:
    return np.ascontiguousarray(x.detach().numpy(), np.float32)


def by_grid(
    first: Tensor, second: Tensor, turn: Tensor, shift: Tensor, base: Tensor, step: Tensor, depths: int, groups: int
) -> tuple[Tensor, Tensor]:
    """The same by torch's grid sampling, for GPUs: first, second (B, C, h, w), turn (B, 3, 3), shift (B, 3), base
    (B, h, w), step (B,)."""
    b, c, h, w = first.shape
    height, width = second.shape[-2:]
    y, x = torch.meshgrid(torch.arange(h).to(first) + 0.5, torch.arange(w).to(first) + 0.5, indexing="ij")
    rays = torch.stack([x, y, torch.ones_like(x)]).flatten(1)
    q = base[:, None] + torch.arange(depths).to(first)[None, :, None, None] * step[:, None, None, None]
    p = (turn @ rays)[:, :, None] + shift[:, :, None, None] * q.flatten(2)[:, None]
    s, t = p[:, 0] / p[:, 2].clamp_min(1e-6) - 0.5, p[:, 1] / p[:, 2].clamp_min(1e-6) - 0.5
    seen = (p[:, 2] >= 1e-6) & (s >= -0.5) & (t >= -0.5) & (s <= width - 0.5) & (t <= height - 0.5)
    grid = torch.stack([(s.clamp(0, width - 1.001) + 0.5) * (2 / width) - 1,
                        (t.clamp(0, height - 1.001) + 0.5) * (2 / height) - 1], -1)  # fmt: skip
    there = F.grid_sample(second, grid, mode="bilinear", align_corners=False)
    both = (there * first.flatten(2)[:, :, None]).reshape(b, groups, c // groups, depths, h, w).mean(2)
    shown = seen.reshape(b, depths, h, w).to(first)
    return (both * shown[:, None]).permute(0, 3, 4, 2, 1), shown.permute(0, 2, 3, 1)
