"""What cameras do to a rendered picture, drawn anew for each picture of a batch, so that networks learn not to mind."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def photographed(image: Tensor, generator: torch.Generator) -> Tensor:
    """image (B, 3, H, W) sRGB in [0, 1] -> the same shape, with another exposure, colour, sharpness and noise."""
    count = len(image)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    def uniform() -> Tensor:
        return torch.rand(count, 1, 1, 1, generator=generator)

    def chance(p: float) -> Tensor:
        return (uniform() < p).float()

    image = image.clamp_min(1e-4) ** torch.exp(0.22 * normal(count, 1, 1, 1))
    image = image * torch.exp(0.1 * normal(count, 3, 1, 1) + 0.15 * normal(count, 1, 1, 1))
    image = 0.5 + (image - 0.5) * torch.exp(0.15 * normal(count, 1, 1, 1))
    grey = image.mean(1, keepdim=True).expand_as(image)
    image = torch.lerp(image, grey, torch.maximum(chance(0.06), uniform() * chance(0.5) * 0.7))
    image = torch.lerp(image, F.avg_pool2d(image, 3, 1, 1, count_include_pad=False), chance(0.4) * uniform())
    sharp = image + (image - F.avg_pool2d(image, 3, 1, 1, count_include_pad=False)) * 0.7
    image = torch.lerp(image, sharp, chance(0.25) * uniform())
    return (image + normal(*image.shape) * 0.06 * uniform() ** 2).clamp(0, 1)
