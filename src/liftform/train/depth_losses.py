"""Losses of the depth network; every one a mean over the batch, in log depth or pure numbers.

All maps are at half the picture's size. Where depth is unknown or nothing is there, only the sky loss looks.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..zoo.depth_net import Scene


def affine(scene: Scene, depth: Tensor, known: Tensor) -> Tensor:
    """Relative error (B,) after the least-squares scale and shift, both weighted by 1 / depth.

    This is the figure that depth estimators are compared by (Ranftl et al. 2020; Wang et al. 2025). depth (B, 1, h, w)
    metres, known (B, 1, h, w) bool.
    """
    guess = scene.log_depth.clamp(-4, 6).exp()
    weight = known / depth
    a, b, y = (guess * weight).flatten(1), weight.flatten(1), known.flatten(1).float()
    aa, ab, bb = (a * a).sum(1), (a * b).sum(1), (b * b).sum(1)
    ay, by = (a * y).sum(1), (b * y).sum(1)
    determinant = (aa * bb - ab * ab).clamp_min(1e-6 * aa * bb + 1e-12)
    scale, shift = (ay * bb - by * ab) / determinant, (by * aa - ay * ab) / determinant
    error = (scale[:, None] * a + shift[:, None] * b - y).abs().sum(1)
    return error / known.flatten(1).sum(1).clamp_min(1)


def scale_free(offset: Tensor, known: Tensor) -> Tensor:
    """L1 of the log error ``offset`` (B, 1, h, w) less its own mean over each picture: blind to scale, not to shift."""
    return _mean((offset - _average(offset, known)).abs(), known)


def local(offset: Tensor, known: Tensor, cells: int) -> Tensor:
    """The same in each cell of a grid of about ``cells`` cells along the shorter side: shape rather than layout."""
    size = max(2, min(offset.shape[-2:]) // cells)
    weight = F.avg_pool2d(known.float(), size, size, ceil_mode=True).clamp_min(1e-3)
    mean = F.avg_pool2d(torch.where(known, offset, 0.0), size, size, ceil_mode=True) / weight
    wide = mean.repeat_interleave(size, 2).repeat_interleave(size, 3)[..., : offset.shape[-2], : offset.shape[-1]]
    return _mean((offset - wide).abs(), known)


def slopes(offset: Tensor, known: Tensor, stride: int) -> Tensor:
    """L1 of the differences of the log error over ``stride`` pixels (Li & Snavely, "MegaDepth", 2018)."""
    total = torch.zeros(len(offset), device=offset.device)
    for axis in (2, 3):
        length = offset.shape[axis] - stride
        first, second = (torch.narrow(offset, axis, s, length) for s in (0, stride))
        both = torch.narrow(known, axis, 0, length) & torch.narrow(known, axis, stride, length)
        total = total + _mean((first - second).abs().clamp_max(1.0), both)
    return total / 2


def facing(scene: Scene, normals: Tensor, known: Tensor) -> Tensor:
    """1 - cosine of the normals; normals (B, 3, h, w)."""
    return _mean(1 - (scene.normals * normals).sum(1, keepdim=True), known)


def honesty(scene: Scene, offset: Tensor, known: Tensor) -> Tensor:
    """How badly the spread describes the error that is left after scale: negative log likelihood of a Laplace law."""
    error = (offset - _average(offset, known)).abs().detach()
    width = scene.log_spread.clamp(-6, 2)
    return _mean(error * (-width).exp() + width, known)


def all_losses(scene: Scene, depth: Tensor, normals: Tensor, sky: Tensor, log_tan: Tensor) -> dict[str, Tensor]:
    """Every loss, and "loss", their weighted sum.

    depth (B, 1, h, w) metres, NaN where unknown; normals (B, 3, h, w); sky (B, 1, h, w) in [0, 1], NaN where unknown;
    log_tan (B,).
    """
    known = depth.isfinite() & (depth > 0)
    depth = torch.where(known, depth, 1.0)
    offset = torch.where(known, scene.log_depth - depth.log(), 0.0)
    counted = (known.flatten(1).sum(1) > 50).float()
    share = counted / counted.sum().clamp_min(1)
    parts = {
        "affine": (affine(scene, depth, known).clamp_max(2) * share).sum(),
        "scale_free": (scale_free(offset, known) * share).sum(),
        "local": (local(offset, known, 4) * share).sum(),
        "slopes": ((slopes(offset, known, 1) + slopes(offset, known, 4)) * share).sum(),
        "normals": (facing(scene, normals, known) * share).sum(),
        "metric": (_average(offset, known).flatten().abs() * share).sum(),
        "honesty": (honesty(scene, offset, known) * share).sum(),
    }
    judged = sky.isfinite()
    bce = F.binary_cross_entropy_with_logits(scene.sky, torch.nan_to_num(sky), reduction="none")
    parts["sky"] = torch.where(judged, bce, 0.0).sum() / judged.sum().clamp_min(1)
    parts["lens"] = (scene.log_tan - log_tan).abs().mean()
    total = sum((WEIGHTS[name] * part for name, part in parts.items()), torch.zeros((), device=depth.device))
    return {"loss": total, **parts}


#: What each loss counts for.
WEIGHTS = {
    "affine": 1.0,
    "scale_free": 1.0,
    "local": 1.0,
    "slopes": 0.5,
    "normals": 0.5,
    "metric": 0.15,
    "honesty": 0.05,
    "sky": 0.3,
    "lens": 0.3,
}


def _average(x: Tensor, known: Tensor) -> Tensor:
    """Mean over the known pixels of each picture (B, 1, 1, 1)."""
    return torch.where(known, x, 0.0).sum((1, 2, 3), keepdim=True) / known.sum((1, 2, 3), keepdim=True).clamp_min(1)


def _mean(x: Tensor, known: Tensor) -> Tensor:
    """Mean over the known pixels of each picture (B,)."""
    return torch.where(known, x, 0.0).sum((1, 2, 3)) / known.sum((1, 2, 3)).clamp_min(1)
